//! Finding a playbook for a task among ten thousand.

use std::time::{Duration, Instant};

use reprise::ids::PlaybookId;
use reprise::lifecycle::Status;
use reprise::lifecycle::matching::{Entry, Index, words};

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
