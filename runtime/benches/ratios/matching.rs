//! Finding a playbook for a task among ten thousand.

use std::path::Path;
use std::time::{Duration, Instant};

use reprise::compiler::{self, Options};
use reprise::engine::{Engine, MatchRequest, Promotion, Settings, Upload};
use reprise::ids::{PlaybookId, Space};
use reprise::lifecycle::Status;
use reprise::lifecycle::matching::{Entry, Index, words};
use reprise::runs::Recording;
use reprise::sandbox::Sandbox;
use reprise::tools::Registry;
use serde_json::json;
use tokio::task::JoinSet;

use super::report::{Report, median};

const PLAYBOOKS: usize = 10_000;
const VERBS: [&str; 8] = ["prepare", "rotate", "migrate", "clean", "fetch", "publish", "verify", "archive"];
const THINGS: [&str; 12] =
    ["release", "logs", "configuration", "records", "pages", "package", "backup", "report", "index", "invoices", "images", "accounts"];

/// A goal as agents write them; each shares most of its words with many others.
fn goal(n: usize) -> String {
    let (verb, thing, other) = (VERBS[n % 8], THINGS[n / 8 % 12], THINGS[n / 96 % 12]);
    format!(
        "{verb} the {thing} of project-{} and write what was done into the {other} file tool:fs/read tool:fs/write version path date",
        n % 997
    )
}

pub(super) fn among_ten_thousand(report: &mut Report) {
    let mut index = Index::default();
    let start = Instant::now();
    for n in 0..PLAYBOOKS {
        let playbook_id = PlaybookId::parse(&format!("p{n}")).expect("it is an id");
        index.put(Entry { playbook_id, status: Status::Active, has_shadow: false }, &words(&goal(n)));
    }
    report.fact("indexing 10,000 playbooks", format!("{:.1?}", start.elapsed()));
    let mut took = Vec::new();
    for round in 0..report.rounds(500) {
        let asked: Vec<(String, f64)> = words(&goal(round * 37)).into_iter().map(|word| (word, 1.0)).collect();
        let start = Instant::now();
        let found = index.search(&asked, |entry| entry.status == Status::Active, 10);
        took.push(start.elapsed());
        assert_eq!(found.len(), 10, "every goal shares words with many playbooks");
    }
    report.at_most("find the ten best of 10,000 playbooks, worst case words", median(took), Duration::from_millis(5));
}

/// A component that writes two files named after its parameters.
async fn writing() -> Vec<u8> {
    let recording = concat!(
        r#"{"run":{"goal":"write the notes","inputs":{"version":"1.4.0","project":"acme-widgets"}}}"#,
        "\n",
        r#"{"tool":"fs/write","input":{"path":"notes/acme-widgets.md","content":"acme-widgets 1.4.0"},"output":{"bytes":18}}"#,
        "\n",
        r#"{"tool":"fs/write","input":{"path":"notes/acme-widgets.txt","content":"1.4.0"},"output":{"bytes":5}}"#,
        "\n",
        r#"{"end":{"status":"success"}}"#,
    );
    let run = Recording::read(recording.as_bytes()).expect("it is a recording").as_run(&Space::default_space(), 0);
    let sandbox = Sandbox::new(None).expect("the engine starts");
    compiler::compile(&sandbox, &Registry::builtin(), &run, &Options::default()).await.expect("the run compiles").component
}

async fn active(engine: Engine, n: usize, bytes: Vec<u8>) {
    let (space, id) = (Space::default_space(), PlaybookId::parse(&format!("p{n}")).expect("it is an id"));
    let upload = Upload { playbook_id: Some(id.clone()), name: Some(goal(n)), bytes };
    engine.upload(&space, upload).await.expect("it is a playbook");
    let promotion =
        Promotion { playbook_id: id, from_version: None, target: Status::Active, by: None, note: None, metadata: None, operator: true };
    engine.promote(&space, &promotion).await.expect("an operator promotes it");
}

/// The same through the engine: the playbooks are on disk, parameters are filled, and what to expect is told.
pub(super) async fn by_the_engine(home: &Path, report: &mut Report) {
    let engine = Engine::open(&Settings::of(home.join("match"))).expect("the directory opens");
    let (bytes, playbooks) = (writing().await, report.rounds(PLAYBOOKS));
    for hundred in (0..playbooks).step_by(100) {
        let mut made: JoinSet<()> = (hundred..playbooks.min(hundred + 100)).map(|n| active(engine.clone(), n, bytes.clone())).collect();
        while made.join_next().await.transpose().expect("none panics").is_some() {}
    }
    let mut took = Vec::new();
    for round in 0..=report.rounds(200) {
        let context = json!({"version": "2.0.0", "project": "bolts"}).as_object().cloned().unwrap_or_default();
        let request = MatchRequest { goal: goal(round * 37), context, tools: None, include_shadow: false, limit: 10 };
        let start = Instant::now();
        let found = engine.match_playbooks(&Space::default_space(), request).await.expect("it is searched");
        took.push(start.elapsed());
        assert!(found.matches.len() == playbooks.min(10) && found.matches[0].ready, "{found:#?}");
    }
    report.fact("the first match of a process, which reads all 10,000 playbooks", format!("{:.1?}", took.remove(0)));
    report.at_most("match among 10,000 playbooks, ten answers with parameters filled", median(took), Duration::from_millis(5));
}
