//! `reprise demo refund`: a person in the loop. A goal becomes a graph, the job looks and decides, a person approves exactly
//! what will be done, the worker is killed while the money moves, another one takes over, and the money has moved once.
//!
//! Everything is real and on this machine: the shop, the processes, the SIGKILL, the bundle. No key, no network.

mod shop;
mod told;
mod worker;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::args::DemoRefund;
use super::super::exit;
use super::super::output::{Output, printable, table};
use super::{cannot, indented};
use crate::blocking;
use crate::compiler::graph::Graph;
use crate::engine::{self, Engine, Settings, verify_evidence};
use crate::error::{Code, Result};
use crate::evidence::Signer;
use crate::ids::{JobId, Space, random_u64};
use crate::jobs::Manner;
use crate::limits;
use shop::{ORDER, Shop};
use worker::{Worker, broken};

/// Time for one part of the story; on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who approves where nobody is asked.
const PERSON: &str = "demo";

/// Tells the story.
pub(in crate::cli) async fn demo(args: DemoRefund, output: &Output) -> Result<u8> {
    let home = tempfile::Builder::new().prefix("reprise-refund-").tempdir().map_err(|e| cannot("make a temporary directory", &e))?;
    let story = Story { data: home.path().join("data"), home: home.path(), output, shop: Shop::open()?, ask: args.ask };
    let told = story.tell().await;
    if args.keep || told.is_err() {
        let home = home.keep();
        output.say(format!("\nEverything is kept in {}", home.display()));
    }
    told.map(|report| {
        output.show(|| report, String::new);
        exit::OK
    })
}

struct Story<'a> {
    home: &'a Path,
    data: PathBuf,
    output: &'a Output,
    shop: Shop,
    ask: bool,
}

/// What the person was shown, and said.
struct Approval {
    shown: Value,
    yes: bool,
}

impl Story<'_> {
    async fn tell(&self) -> Result<Value> {
        let goal = format!("refund order {ORDER}");
        let graph = self.prepare().await?;
        self.chapter("1. A goal becomes a task graph, by a template; what it will do is known before it runs");
        self.say(format!("Goal: {goal}"));
        let checked = engine::check_graph_file(&graph).await?;
        self.say(checked.inspection.outline.join("\n"));
        let reach: Vec<&str> =
            checked.inspection.imports.iter().filter(|line| line.effect.is_some()).map(|line| line.import.as_str()).collect();
        self.say(format!(
            "It was compiled to a component of {} bytes, which reaches {} and nothing else.",
            checked.inspection.component_bytes,
            reach.join(", ")
        ));

        self.chapter("2. The job looks, decides, and stops for a person");
        let worker = Worker::start(&self.data).await?;
        let job = worker.post("/v1/jobs", &json!({"goal": goal, "wait_ms": limits::WAIT_MS_MAX})).await?;
        let (job_id, approval_id) = waiting(&job)?;
        self.say(format!(
            "Job {job_id} in process {} is {}: it holds no memory and no thread.",
            worker.pid(),
            job["status"].as_str().unwrap_or_default()
        ));
        let approval = self.approval(&worker, &approval_id).await?;

        self.chapter(if approval.yes {
            "3. The person approves; the worker is killed while the shop pays"
        } else {
            "3. The person rejects"
        });
        let killed = self.decide(worker, &approval_id, &approval).await?;

        self.chapter("4. Another process takes the job up");
        let job = match killed {
            Some(_) => {
                self.say(format!("reprise jobs resume {job_id}"));
                tokio::time::timeout(PATIENCE, worker::take_up(&self.data, &job_id))
                    .await
                    .map_err(|_| broken("the job did not end".to_owned()))??
            }
            None => {
                self.say("There is nothing to take up: what was rejected is not done.");
                Value::Null
            }
        };
        self.end(&job_id, job, &approval, killed).await
    }

    /// The configuration, and the graph that it names.
    async fn prepare(&self) -> Result<Graph> {
        let text = include_str!("refund.json").replace("SHOP", &self.shop.origin());
        let config = format!(
            "[[grant]]\nkind = \"http\"\nname = \"shop\"\norigin = \"{}\"\nmethods = [\"GET\", \"POST\"]\nreconcile = \"/refunds/by-key/{{key}}\"\n\n\
             [planner]\nkind = \"template\"\n\n[[planner.template]]\ngoal = \"refund order {{order}}\"\ngraph = \"../refund.json\"\n",
            self.shop.origin()
        );
        let graph = Graph::parse(text.as_bytes())?;
        let (data, file) = (self.data.clone(), self.home.join("refund.json"));
        let write = move || -> std::io::Result<()> {
            std::fs::create_dir_all(&data)?;
            std::fs::write(file, text)?;
            std::fs::write(data.join(crate::config::FILE_NAME), config)
        };
        blocking::run(write).await.map_err(|e| cannot("write the configuration", &e))?;
        Ok(graph)
    }

    /// Shows what will be done, and hears what the person says.
    async fn approval(&self, worker: &Worker, id: &str) -> Result<Approval> {
        let shown = worker.get(&format!("/v1/approvals/{id}")).await?;
        let title = printable(shown["title"].as_str().unwrap_or_default());
        let call = printable(&shown["request"].to_string());
        self.say(format!(
            "{title}\nThis call will be made, and no other:\n  {call}\n  sha256 {}",
            shown["digest"].as_str().unwrap_or_default()
        ));
        if !self.ask {
            return Ok(Approval { shown, yes: true });
        }
        let question = format!("   {title} {call} [y/N] ");
        let said = blocking::run(move || {
            let _ = write!(std::io::stderr(), "{question}").and_then(|()| std::io::stderr().flush());
            let mut said = String::new();
            std::io::stdin().read_line(&mut said).map(|_| said)
        });
        let said = said.await.map_err(|e| cannot("hear the answer", &e))?;
        Ok(Approval { shown, yes: matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes") })
    }

    /// Tells the worker, and where the answer was yes kills it once the shop has paid. The process that was killed.
    async fn decide(&self, worker: Worker, id: &str, approval: &Approval) -> Result<Option<u32>> {
        let by = if self.ask { "you" } else { PERSON };
        let decision = json!({"digest": approval.shown["digest"], "actor": by, "comment": "as shown"});
        if !approval.yes {
            worker.post(&format!("/v1/approvals/{id}/reject"), &decision).await?;
            self.say(format!("Rejected by {by}."));
            worker.kill().await?;
            return Ok(None);
        }
        self.shop.hold();
        worker.post(&format!("/v1/approvals/{id}/approve"), &decision).await?;
        self.say(format!("Approved by {by}: bound to that digest, so nothing else can be done under it."));
        tokio::time::timeout(PATIENCE, self.shop.held()).await.map_err(|_| broken("no refund came to the shop".to_owned()))?;
        let pid = worker.pid();
        worker.kill().await?;
        self.say(format!("The shop has paid and not answered yet. SIGKILL to process {pid}: nobody but the shop knows that it happened."));
        Ok(Some(pid))
    }

    /// What came of it, and the proof.
    async fn end(&self, job_id: &JobId, job: Value, approval: &Approval, killed: Option<u32>) -> Result<Value> {
        let settings = Settings { serves: false, ..Settings::of(&self.data) };
        let engine = blocking::run(move || Engine::open(&settings)).await?;
        let space = Space::default_space();
        if !approval.yes {
            // The server may have been ended before the job was.
            match engine.resume_job(&space, job_id, Manner { pace: None, watched: true }).await {
                Ok(()) => drop(engine.follow(&space, job_id, |_| Ok(())).await?),
                Err(e) if e.code == Code::JobStateConflict => {}
                Err(e) => return Err(e),
            }
        }
        let entries = engine.journal(&space, job_id, None, limits::PAGE_ROWS_MAX)?;
        let steps = told::steps(&entries, &self.shop.seen());
        let rows = steps.iter().map(|told| [told.step.clone(), told.what.clone(), told.times.clone(), told.afterwards.clone()]);
        self.say(table(["step", "what", "how often", "after the kill"], rows));
        let view = engine.job(&space, job_id).await?;
        let refunds = self.shop.refunds();
        self.say(format!("The job is {}. refunds issued: {refunds}", view.state.status()));
        if refunds != usize::from(approval.yes) {
            return Err(broken(format!("{refunds} refunds were issued")));
        }
        let evidence = self.prove(&engine, &space, job_id).await?;
        engine.shut_down().await;
        Ok(json!({
            "job": view.to_json(), "taken_up": job, "approval": approval.shown, "approved": approval.yes, "killed_process": killed,
            "steps": steps.iter().map(told::Told::to_json).collect::<Vec<_>>(), "requests": self.shop.seen(), "refunds_issued": refunds, "evidence": evidence,
        }))
    }

    /// A signed bundle, checked as a stranger would check it; and once more with one digit of it changed.
    async fn prove(&self, engine: &Engine, space: &Space, job_id: &JobId) -> Result<Value> {
        self.chapter("5. The evidence, for someone who was not there");
        let replay = engine.replay(space, job_id).await?;
        let signer = Signer::from_bytes(&secret());
        let bundle = engine.evidence(space, job_id, Some(&signer)).await?;
        let bytes = blocking::run(move || bundle.to_bytes()).await;
        let file = self.home.join("refund.evidence");
        std::fs::write(&file, &bytes).map_err(|e| cannot("write the bundle", &e))?;
        let verified = verify_evidence(bytes.clone(), Some(signer.public())).await?;
        self.say(format!("reprise verify refund.evidence --public-key {}", signer.public()));
        self.say(super::super::evidence::verified_in_words(&verified));
        let changed = String::from_utf8_lossy(&bytes).replacen("49.9", "94.9", 1).into_bytes();
        let found = match verify_evidence(changed, Some(signer.public())).await {
            Err(e) => e.message,
            Ok(_) => return Err(broken("a changed bundle was taken for a whole one".to_owned())),
        };
        self.say(format!("With 49.9 changed to 94.9 in it: {}", printable(&found)));
        let same = replay.agrees();
        self.say(format!(
            "Replayed from the journal, without calling anyone: {}",
            if same { "it comes to the same" } else { "IT DIFFERS" }
        ));
        Ok(
            json!({"verified": true, "entries": verified.manifest.entries, "signed_by": verified.manifest.signed_by, "changed_bundle": found, "replay_agrees": same}),
        )
    }

    fn chapter(&self, title: &str) {
        self.output.say(format!("\n{title}"));
    }

    fn say(&self, text: impl AsRef<str>) {
        self.output.say(indented(text.as_ref()));
    }
}

/// The job, and what it waits for.
fn waiting(job: &Value) -> Result<(JobId, String)> {
    let id = job["job_id"].as_str().and_then(|id| JobId::parse(id).ok());
    let approval = job["waiting_on"]["approval_id"].as_str().map(str::to_owned);
    id.zip(approval).ok_or_else(|| broken(format!("the job does not wait for a person: {job}")))
}

/// A key for this telling alone.
fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    secret.chunks_mut(8).for_each(|part| part.copy_from_slice(&random_u64().to_be_bytes()));
    secret
}
