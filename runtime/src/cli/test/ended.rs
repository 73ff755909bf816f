//! What a job came to in a scratch world, and whether another world came to the same.
//!
//! It does not know who crashed and when. What must stay true: two worlds are the same only if output, files and the
//! calls that must happen once are.

use std::collections::{BTreeMap, BTreeSet};

use super::Subject;
use super::world::{Found, World};
use crate::contract::{Effect, ToolError};
use crate::engine::{Engine, JobRequest};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, Space};
use crate::jobs::{Manner, Settlement};
use crate::journal::{Answer, Body, Decision, Entry, Filter, On, Options, State, Status, view};
use crate::json::Json;
use crate::store::Payload;
use crate::{blocking, clock, limits};

/// The client's name for the job of a world: who asks again after a crash means the same job.
const KEY: &str = "reprise-test";

/// A call as all worlds know it: step, tool, digest of its input.
type Call = (Option<String>, String, Digest);

/// How it stands with a world whose job has ended or can go no further.
pub(super) struct Ended {
    pub status: Status,
    pub output: Option<Json>,
    /// Why it failed, or what it stands at.
    pub why: Option<String>,
    pub files: BTreeMap<String, Found>,
    /// The last entry that a crash left, in words; none where there was no job.
    pub found: Option<String>,
    /// Calls of which nobody knows whether they happened.
    pub uncertain: Vec<Uncertain>,
    /// Uncertain calls that the tool itself settled.
    pub reconciled: usize,
    /// How often each call that must happen once was begun and not taken back.
    once: BTreeMap<Call, usize>,
    answers: BTreeMap<Call, std::result::Result<Json, ToolError>>,
}

/// A call that a person would have to settle.
pub(super) struct Uncertain {
    job: JobId,
    seq: u64,
    call: Call,
}

/// What a person says of an uncertain call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Happened,
    Retry,
}

/// Runs the job of a world, or what is left of it, to its end or to where it stands.
///
/// # Errors
/// What the engine says; nothing of that is the playbook's doing.
pub(super) async fn run_on(world: &World, subject: &Subject) -> Result<Ended> {
    let engine = open(world).await?;
    let ended = go_on(&engine, world, subject).await;
    close(engine).await;
    ended
}

/// As [`run_on`], after somebody said so of every uncertain call. What it gave is what it gave in the world that nobody disturbed.
pub(super) async fn settle(world: &World, subject: &Subject, uncertain: &[Uncertain], said: Said, undisturbed: &Ended) -> Result<Ended> {
    let engine = open(world).await?;
    let settled = async {
        for Uncertain { job, seq, call } in uncertain {
            let settlement = match (said, undisturbed.answers.get(call)) {
                (Said::Retry, _) => Settlement::Retry,
                (Said::Happened, Some(Ok(output))) => Settlement::Happened(output.clone()),
                (Said::Happened, Some(Err(error))) => Settlement::Fail(error.clone()),
                // It is not made where nothing crashes: what it gave cannot be said.
                (Said::Happened, None) => continue,
            };
            engine.resolve(&Space::default_space(), *job, *seq, settlement, "reprise test".to_owned(), None).await?;
        }
        go_on(&engine, world, subject).await
    };
    let settled = settled.await;
    close(engine).await;
    settled
}

async fn open(world: &World) -> Result<Engine> {
    let settings = world.settings();
    blocking::run(move || Engine::open(&settings)).await
}

/// What runs ends, and the directory is free for whoever comes next.
async fn close(engine: Engine) {
    engine.shut_down().await;
    blocking::run(move || drop(engine)).await;
}

/// Runs the job of a world, in a process that is to die meanwhile.
///
/// # Errors
/// As [`run_on`].
pub(super) async fn run_to_die(world: &World, subject: &Subject) -> Result<()> {
    let engine = open(world).await?;
    run_job(&engine, subject).await.map(drop)
}

/// Runs the job of a world until it has ended or stands.
async fn run_job(engine: &Engine, subject: &Subject) -> Result<JobId> {
    let space = Space::default_space();
    engine.resume_all().await?;
    let request = JobRequest {
        playbook_id: subject.playbook_id().clone(),
        version: None,
        input: subject.input.clone(),
        idempotency_key: Some(KEY.to_owned()),
        grants: Vec::new(),
        options: Options::default(),
    };
    let job = engine.start_job(&space, request, Manner { pace: None, watched: true }).await?;
    stay_with(engine, &space, &job).await?;
    Ok(job)
}

async fn go_on(engine: &Engine, world: &World, subject: &Subject) -> Result<Ended> {
    let space = Space::default_space();
    let found = last_entry(engine, &space)?;
    let job = run_job(engine, subject).await?;
    let view = engine.job(&space, &job).await?;
    let failure = view.state.failure.as_ref().map(|failure| failure.message.clone());
    let standing = || {
        view.state
            .parked
            .as_ref()
            .map(|parked| parked.message.clone())
            .or_else(|| view.state.wait.as_ref().map(|wait| format!("it waits: {:?}", wait.on)))
    };
    let mut ended = Ended {
        status: view.state.status(),
        output: view.output.clone(),
        why: failure.or_else(standing),
        files: world.files()?,
        found,
        uncertain: Vec::new(),
        reconciled: 0,
        once: BTreeMap::new(),
        answers: BTreeMap::new(),
    };
    for job in jobs(engine, &space)? {
        ended.take_in(engine, job, &entries(engine, &space, &job)?).await?;
    }
    Ok(ended)
}

/// Until the job has ended, or stands and nothing in its world will change that soon.
async fn stay_with(engine: &Engine, space: &Space, job: &JobId) -> Result<()> {
    loop {
        tokio::select! {
            status = engine.follow(space, job, |_| Ok(())) => {
                if status? != Status::Waiting || !something_goes_on_soon(engine, space).await? {
                    return Ok(());
                }
            }
            // A parent is not told that its child stands so.
            looked = until_one_is_uncertain(engine, space) => return looked,
        }
        tokio::time::sleep(limits::TEST_LOOK_AGAIN).await;
    }
}

/// True where a job of this world is under way, or waits for something that comes without anybody.
async fn something_goes_on_soon(engine: &Engine, space: &Space) -> Result<bool> {
    let soon = clock::now_ms().saturating_add(limits::TEST_WAIT_MS_MAX);
    let mut ended = BTreeSet::new();
    // The newest first, so children before their parents: what ends in between is met again in the parent, which wakes then.
    for job in jobs(engine, space)? {
        let state = engine.job(space, &job).await?.state;
        let status = state.status();
        if status.is_final() {
            ended.insert(job);
            continue;
        }
        let under_way = matches!(status, Status::Ready | Status::Running);
        if under_way || state.due_ms().is_some_and(|due| due <= soon) || waits_for_one_of(&state, &ended) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True where the word that wakes the job is written already: a child says that it ended with the flush in which it does.
fn waits_for_one_of(state: &State, ended: &BTreeSet<JobId>) -> bool {
    let Some(On::Children { children }) = state.wait.as_ref().map(|wait| &wait.on) else { return false };
    state.children.iter().any(|child| children.contains(&child.child) && ended.contains(&child.job_id))
}

async fn until_one_is_uncertain(engine: &Engine, space: &Space) -> Result<()> {
    let filter = Filter { status: Some(Status::Uncertain), playbook_id: None };
    while engine.jobs(space, &filter, None, 1)?.jobs.is_empty() {
        tokio::time::sleep(limits::TEST_LOOK_AGAIN).await;
    }
    Ok(())
}

impl Ended {
    async fn take_in(&mut self, engine: &Engine, job: JobId, entries: &[Entry]) -> Result<()> {
        let state = engine.job(&Space::default_space(), &job).await?.state;
        let mut calls: BTreeMap<u64, (Call, Effect)> = BTreeMap::new();
        for entry in entries {
            match &entry.body {
                Body::Called { call, step, tool, effect, input_digest, .. } => {
                    let made = (step.clone(), tool.to_string(), *input_digest);
                    if *effect == Effect::Once {
                        *self.once.entry(made.clone()).or_default() += 1;
                    }
                    calls.insert(*call, (made, *effect));
                }
                Body::Returned { call, answer } => {
                    let answer = match answer {
                        Answer::Output(output) => Ok(loaded(engine, output).await?),
                        Answer::Error(error) => Err(error.clone()),
                    };
                    if let Some((made, _)) = calls.get(call) {
                        self.answers.insert(made.clone(), answer);
                    }
                }
                Body::Resolved(resolved) => {
                    self.reconciled += usize::from(resolved.by == "reconcile");
                    // It did not happen, and is made again.
                    if let (Decision::Retry, Some((made, Effect::Once))) = (&resolved.decision, calls.get(&resolved.call)) {
                        self.once.entry(made.clone()).and_modify(|times| *times -= 1);
                    }
                }
                _ => {}
            }
        }
        if let Some(uncertain) = &state.uncertain
            && let Some((made, _)) = calls.get(&uncertain.call)
        {
            self.uncertain.push(Uncertain { job, seq: uncertain.seq, call: made.clone() });
        }
        Ok(())
    }

    /// What is different from `other`, which nobody disturbed; nothing where both are the same.
    pub(super) fn differences(&self, other: &Ended) -> Vec<String> {
        let mut all = Vec::new();
        if self.status != other.status {
            let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            all.push(format!("the job is {} and not {}{why}", self.status, other.status));
        }
        if self.output != other.output {
            let text = |ended: &Ended| ended.output.as_ref().map_or("nothing", Json::as_str).chars().take(200).collect::<String>();
            all.push(format!("the output is {} and not {}", text(self), text(other)));
        }
        all.extend(changes(&other.files, &self.files).into_iter().map(|(path, how)| format!("{path} {}", how.than_undisturbed())));
        for (call, times) in &self.once {
            let expected = other.once.get(call).copied().unwrap_or_default();
            if *times > expected {
                all.push(format!("{} of step {} was called {times} times and not {expected}", call.1, call.0.as_deref().unwrap_or("-")));
            }
        }
        all
    }
}

/// How a path in one world differs from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Changed,
    Removed,
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Change::Added => "added",
            Change::Changed => "changed",
            Change::Removed => "removed",
        }
    }

    fn than_undisturbed(self) -> &'static str {
        match self {
            Change::Added => "is there and should not be",
            Change::Changed => "has another content",
            Change::Removed => "is missing",
        }
    }
}

/// What became of the files between two looks.
pub(super) fn changes(before: &BTreeMap<String, Found>, after: &BTreeMap<String, Found>) -> BTreeMap<String, Change> {
    let gone = before.keys().filter(|path| !after.contains_key(*path)).map(|path| (path.clone(), Change::Removed));
    let other = after.iter().filter_map(|(path, found)| match before.get(path) {
        None => Some((path.clone(), Change::Added)),
        Some(was) if was != found => Some((path.clone(), Change::Changed)),
        Some(_) => None,
    });
    gone.chain(other).collect()
}

fn last_entry(engine: &Engine, space: &Space) -> Result<Option<String>> {
    // The newest is listed first; a job that was started by another one is younger than that.
    let Some(job) = jobs(engine, space)?.pop() else { return Ok(None) };
    let last = entries(engine, space, &job)?.pop();
    Ok(last.map(|entry| format!("{} {} {}", entry.seq, entry.body.kind(), view::line(&entry))))
}

/// Every job of a world, the newest first.
fn jobs(engine: &Engine, space: &Space) -> Result<Vec<JobId>> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = engine.jobs(space, &Filter::default(), before, limits::PAGE_ROWS_MAX)?;
        all.extend(page.jobs.iter().map(|(job, _)| *job));
        let Some(next) = page.next else { return Ok(all) };
        before = Some(next);
    }
}

fn entries(engine: &Engine, space: &Space, job: &JobId) -> Result<Vec<Entry>> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let page = engine.journal(space, job, all.last().map(|entry| entry.seq), limits::PAGE_ROWS_MAX)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn loaded(engine: &Engine, payload: &Payload) -> Result<Json> {
    match payload {
        Payload::Inline(json) => Ok(json.clone()),
        Payload::Blob { digest, .. } => {
            let text = String::from_utf8(engine.component(*digest).await?);
            text.map(Json::trusted).map_err(|_| Error::new(Code::DataCorrupt, format!("blob {digest} is not text, so it is no saved JSON")))
        }
    }
}
