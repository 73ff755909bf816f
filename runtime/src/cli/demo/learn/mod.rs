//! `reprise demo learn`: five runs become one playbook, which earns its status, loses it when the world changes, is repaired
//! with a recorded correction under review, and earns its status again.
//!
//! Everything is real and in a directory of its own: the files, the calls, the jobs, the policy that promotes and demotes.

mod workshop;

use std::path::Path;

use serde_json::{Value, json};

use super::super::args::DemoLearn;
use super::super::output::{Output, printable, table};
use super::super::{exit, show};
use super::{cannot, indented};
use crate::blocking;
use crate::compiler::Options;
use crate::compiler::rehearse::{Held, Verdict};
use crate::engine::{
    AutoPromoteGate, Engine, JobRequest, JobView, LearnRequest, LearnedVersion, RepairRequest, RepairWith, Repaired, ReviewRequest,
    Settings, Wanted,
};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, RunId, Space};
use crate::jobs::Manner;
use crate::journal;
use crate::json::Json;
use crate::lifecycle::{ChangeKind, Status, Version};
use crate::limits;
use crate::tools::grants::{FsGrant, GrantName, To};
use crate::tools::{Access, Grant, Grants};
use workshop::{Agent, GOAL, PLACES, SERVICES};

/// What has to be shown before the playbook is trusted: little, so that the story is short.
const POLICY: &str = "[lifecycle]\nshadow = { recordings = 5 }\nactive = { successes = 3, distinct_inputs = 3, wilson_floor = 0.4, min_age_s = 0 }\n\
                      demote = { floor = 0.3, window = 10, min_failures = 2 }\nseparate_reviewer = true\nopen_review = true\n";

/// Tells the story.
pub(in crate::cli) async fn demo(args: DemoLearn, output: &Output) -> Result<u8> {
    let home = tempfile::Builder::new().prefix("reprise-learn-").tempdir().map_err(|e| cannot("make a temporary directory", &e))?;
    let told = tell(home.path(), output).await;
    if args.keep || told.is_err() {
        let home = home.keep();
        output.say(format!("\nEverything is kept in {}", home.display()));
    }
    told.map(|report| {
        output.show(|| report, String::new);
        exit::OK
    })
}

async fn tell(home: &Path, output: &Output) -> Result<Value> {
    let (root, data) = (home.join("services"), home.join("data"));
    workshop::make(&root).map_err(|e| cannot("write the services", &e))?;
    std::fs::create_dir_all(&data).map_err(|e| cannot("make the data directory", &e))?;
    std::fs::write(data.join(crate::config::FILE_NAME), POLICY).map_err(|e| cannot("write the configuration", &e))?;
    let name = Some(GrantName::parse("project")?);
    let grant = Grant::Fs(FsGrant::new(name, &root, Access::ReadWrite, To::builtin())?);
    let grants = Grants::open(std::slice::from_ref(&grant))?;
    let settings = Settings { grants: vec![grant], ..Settings::of(&data) };
    let engine = blocking::run(move || Engine::open(&settings)).await?;
    let story = Story { root: &root, output, space: Space::default_space(), id: PlaybookId::parse("next-version")?, engine, grants };
    let report = story.tell().await;
    story.engine.shut_down().await;
    report
}

struct Story<'a> {
    root: &'a Path,
    output: &'a Output,
    space: Space,
    id: PlaybookId,
    engine: Engine,
    grants: Grants,
}

impl Story<'_> {
    async fn tell(&self) -> Result<Value> {
        self.chapter("1. Five times an agent notes the next version of a service, and is recorded");
        let mut runs = Vec::new();
        for (name, _) in &SERVICES[..5] {
            runs.push(self.agent().note(name, name, &PLACES[..1]).await?);
        }

        self.chapter("2. The five runs become one playbook: what each decision rests on");
        let made = self.learn(runs).await?;
        let words: Vec<String> = made.source_runs.iter().map(ToString::to_string).collect();
        self.say(show::compiled(&made.learned.compiled));
        self.say(show::learned(&words, &made.learned.open_questions, &made.learned.held_out, made.learned.not_held_out.as_deref()));

        self.chapter("3. It has to earn its status: the policy is data, and evidence decides");
        self.say(POLICY);
        self.settled(Status::Shadow).await?;
        let trusted = self.jobs(&SERVICES[5..8]).await?;
        self.each_noted(&SERVICES[5..8])?;
        let active = self.settled(Status::Active).await?;

        self.chapter("4. The world changes: every description is moved. Jobs fail, and the playbook is demoted by itself");
        workshop::tidy_up(self.root).map_err(|e| cannot("move the descriptions", &e))?;
        let failed = self.jobs(&SERVICES[8..10]).await?;
        let demoted = self.settled(Status::Draft).await?;

        self.chapter("5. An agent shows the way; its run becomes a repair, which somebody else approves");
        let corrected = self.agent().note("corrected", SERVICES[8].0, &PLACES).await?;
        let repaired = self.repair(corrected).await?;
        self.say(repaired.details.diff.lines().join("\n"));
        self.say(held(&repaired));
        let approved = self.approve().await?;

        self.chapter("6. The repaired version earns its status like any other");
        self.settled(Status::Shadow).await?;
        let again = self.jobs(&SERVICES[8..11]).await?;
        self.each_noted(&SERVICES[8..11])?;
        let last = self.settled(Status::Active).await?;
        self.say(format!("What stands in notes/{}.md now:\n{}", SERVICES[8].0, workshop::note(self.root, SERVICES[8].0)));

        self.chapter("7. What happened to it, and why, is kept with every version");
        let mut versions = self.engine.versions(&self.space, &self.id, None, limits::PAGE_ROWS_MAX)?;
        versions.reverse();
        let row = |v: &Version| [v.version.to_string(), v.status.as_str().to_owned(), v.made_by.kind.as_str().to_owned(), why(v)];
        self.say(table(["version", "status", "how it came about", "why"], versions.iter().map(row)));
        self.output.say("\nYour own: `reprise compile RUN RUN ...`, `reprise playbooks show ID`, docs/LEARNING.md.");
        let ended = |jobs: &[JobView]| jobs.iter().map(JobView::to_json).collect::<Vec<_>>();
        let history = |v: &Version| json!({"version": v.version, "status": v.status, "made_by": v.made_by.kind.as_str(), "why": why(v)});
        Ok(json!({
            "playbook_id": self.id, "source_runs": made.source_runs, "learned": made.version.version,
            "plan": made.learned.compiled.plan, "proof": made.learned.compiled.proof, "held_out": made.learned.held_out,
            "active": active.version, "demoted": demoted.version, "demoted_because": why(&demoted), "repaired": repaired.version.version,
            "diff": repaired.details.diff.lines(), "approved": approved, "active_again": last.version,
            "jobs": {"trusted": ended(&trusted), "failed": ended(&failed), "again": ended(&again)},
            "history": versions.iter().map(history).collect::<Vec<_>>(),
        }))
    }

    fn agent(&self) -> Agent<'_> {
        Agent { engine: &self.engine, space: &self.space, grants: &self.grants, output: self.output }
    }

    async fn learn(&self, run_ids: Vec<RunId>) -> Result<LearnedVersion> {
        let wanted = Wanted {
            name: Some(GOAL.to_owned()),
            risk_profile: "low".to_owned(),
            ..Wanted::plain(Some(self.id.clone()), Options::default())
        };
        self.engine.compile_from_runs(&self.space, LearnRequest { run_ids, wanted }).await
    }

    /// A job for each service; no version is named.
    async fn jobs(&self, services: &[(&str, &str)]) -> Result<Vec<JobView>> {
        let mut ended = Vec::new();
        for (name, _) in services {
            let request = JobRequest {
                playbook_id: self.id.clone(),
                version: None,
                input: Json::from(&json!({"service": name})),
                idempotency_key: None,
                grants: Vec::new(),
                options: journal::Options::default(),
            };
            let job = self.engine.start_job(&self.space, request, Manner { pace: None, watched: true }).await?;
            self.engine.follow(&self.space, &job, |_| Ok(())).await?;
            let view = self.engine.job(&self.space, &job).await?;
            let failure = view.state.failure.as_ref();
            let place = failure.map_or(String::new(), |f| format!(" at {}: {}", f.step.as_deref().unwrap_or("the start"), f.message));
            self.say(format!(
                "reprise run {} --input '{{\"service\": \"{name}\"}}': {}{}",
                self.id,
                view.state.status(),
                printable(&place)
            ));
            ended.push(view);
        }
        Ok(ended)
    }

    fn each_noted(&self, services: &[(&str, &str)]) -> Result<()> {
        let wrong = |(name, version): &&(&str, &str)| workshop::note(self.root, name) != workshop::noted(name, version);
        match services.iter().find(wrong) {
            None => Ok(()),
            Some((name, _)) => Err(broken(format!("the note of {name} is wrong: {}", workshop::note(self.root, name)))),
        }
    }

    /// Lets the policy do what it says; the newest version, which must have this status now.
    async fn settled(&self, status: Status) -> Result<Version> {
        self.engine.consider().await?;
        let newest = self.engine.versions(&self.space, &self.id, None, 1)?.pop();
        let newest = newest.ok_or_else(|| broken("the playbook has no version".to_owned()))?;
        if newest.status != status {
            return Err(broken(format!("version {} is {}, and not {}", newest.version, newest.status.as_str(), status.as_str())));
        }
        self.say(format!("version {} is {}: {}", newest.version, newest.status.as_str(), printable(&why(&newest))));
        Ok(newest)
    }

    async fn repair(&self, run_id: RunId) -> Result<Repaired> {
        let request = RepairRequest {
            playbook_id: self.id.clone(),
            from_version: None,
            with: RepairWith::Run { run_id, failing_step: None },
            author: Some("ann".to_owned()),
            note: Some("the descriptions were moved".to_owned()),
            review_required: true,
            target_status: Status::Shadow,
            metadata: None,
            by_operator: false,
        };
        let repaired = self.engine.repair(&self.space, request).await?;
        self.say(format!("version {} waits for a review; ann made it, so that ann cannot approve it", repaired.version.version));
        Ok(repaired)
    }

    async fn approve(&self) -> Result<u32> {
        let request = |reviewer: &str| ReviewRequest {
            playbook_id: self.id.clone(),
            version: None,
            approve: true,
            reviewer: Some(reviewer.to_owned()),
            note: Some("looked at the difference".to_owned()),
            validate: true,
            validation_mode: "readiness".to_owned(),
            target_status: Some(Status::Shadow),
            auto_promote: None,
            gate: AutoPromoteGate::default(),
            metadata: None,
            by_operator: false,
        };
        if self.engine.review_repair(&self.space, request("ann")).await.is_ok() {
            return Err(broken("whoever made the repair could approve it".to_owned()));
        }
        let outcome = self.engine.review_repair(&self.space, request("bob")).await?;
        self.say(format!("bob approves: version {} is {}", outcome.version.version, outcome.version.status.as_str()));
        Ok(outcome.version.version)
    }

    fn chapter(&self, title: &str) {
        self.output.say(format!("\n{title}"));
    }

    fn say(&self, text: impl AsRef<str>) {
        if !text.as_ref().trim().is_empty() {
            self.output.say(indented(text.as_ref()));
        }
    }
}

/// What each recording says of the repaired version.
fn held(repaired: &Repaired) -> String {
    let line = |held: &Held| {
        let step = held.step.as_deref().unwrap_or("its end");
        let said = match held.verdict {
            Verdict::Same => "it does the same".to_owned(),
            Verdict::Differs => format!("it does something else at {step}, as the repair says"),
            Verdict::Broken => format!("it breaks at {step}"),
        };
        format!("on recording {}: {said}", held.run_id)
    };
    repaired.details.proof.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Why a version is there.
fn why(version: &Version) -> String {
    let change = &version.made_by;
    let by = change.by.as_ref().map(|by| format!("{by}: ")).unwrap_or_default();
    match (&change.reason, &change.note, change.kind) {
        (Some(reason), _, _) => reason.clone(),
        (None, Some(note), _) => format!("{by}{note}"),
        (None, None, ChangeKind::Learned) => format!("from {} runs", version.provenance.source_runs.len()),
        (None, None, _) => String::new(),
    }
}

fn broken(what: String) -> Error {
    Error::new(Code::InternalError, what)
}
