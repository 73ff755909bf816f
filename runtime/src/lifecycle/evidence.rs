//! Evidence: what was seen of a component, one row for each proof, each rehearsal on a recording and each job.
//!
//! A job's row is written in one with its last entry, together with the mark that the policy has to look: a crash loses neither
//! or both. Rows are written once and never change. They hold digests, numbers and the words of a
//! failure, never the input or the output of a job.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Version;
use crate::error::{Error, Result};
use crate::ids::{self, Digest, JobId, PlaybookId, RunId, Space};
use crate::journal::{self, Cause, Failure, HandedOver, State, Status as JobStatus};
use crate::store::{Batch, ConsiderKey, EvidenceKey, RecordingKey, Store};
use crate::{clock, limits};

/// What was done with the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It was proved against a recording when it was compiled.
    Proof,
    /// It was run on a recording, without touching anything.
    Shadow,
    /// A job ran it.
    Job,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it is for.
    Success,
    /// It did not.
    Failure,
}

impl EventKind {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, EventKind)] =
        &[("proof", EventKind::Proof), ("shadow", EventKind::Shadow), ("job", EventKind::Job)];
}

impl Outcome {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, Outcome)] = &[("success", Outcome::Success), ("failure", Outcome::Failure)];
}

/// Which pieces of evidence are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFilter {
    /// Only those of this kind.
    pub kind: Option<EventKind>,
    /// Only those that came to this.
    pub outcome: Option<Outcome>,
}

impl EventFilter {
    /// True where the event is listed.
    #[must_use]
    pub fn lets(self, event: &Event) -> bool {
        self.kind.is_none_or(|kind| kind == event.kind) && self.outcome.is_none_or(|outcome| outcome == event.outcome)
    }
}

/// Where it went another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// The step, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why, in words.
    pub why: String,
    /// Whose doing it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What was done.
    pub kind: EventKind,
    /// Under which number.
    pub version: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// False for what says nothing of the component: a failure for want of a grant or of time, one that was counted when its job was
    /// given up, or a success for which a person vouched.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub counts: bool,
    /// Digest of a job's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_digest: Option<Digest>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The recorded run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Where it went another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// Calls of tools.
    pub calls: u64,
    /// Milliseconds from beginning to end.
    pub ms: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at: u64,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_true(counts: &bool) -> bool {
    *counts
}

#[derive(Serialize, Deserialize)]
struct Row {
    v: u8,
    #[serde(flatten)]
    event: Event,
}

/// The mark that the policy has to look at a playbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    v: u8,
    /// Another one for each new reason to look.
    id: String,
    /// Not before this, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
}

impl Mark {
    pub(super) fn due(due: Option<u64>) -> Mark {
        Mark { v: 1, id: hex::encode(ids::fresh_order()), due }
    }

    pub(super) fn row(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a mark prints")
    }

    pub(super) fn read(row: &[u8]) -> Result<Mark> {
        serde_json::from_slice(row).map_err(|e| Error::stored("a mark to consider", &e))
    }
}

/// Puts one piece of evidence on a component. What was shown on a recording is kept under a key of its own as well, the latest of its
/// kind for each run: it does not grow old, and no number of jobs pushes it out of what a decision looks back at.
pub(super) fn put(batch: &mut Batch, space: &Space, playbook_id: &PlaybookId, component: &Digest, event: Event) {
    let row = |event: &Event| serde_json::to_vec(&Row { v: 1, event: event.clone() }).expect("evidence prints");
    if let (EventKind::Proof | EventKind::Shadow, Some(run_id)) = (event.kind, event.run_id.clone()) {
        let (space, playbook_id, rehearsed) = (space.clone(), playbook_id.clone(), event.kind == EventKind::Shadow);
        batch.put(&RecordingKey { space, playbook_id, component: *component, rehearsed, run_id }, row(&event));
    }
    let key = EvidenceKey { space: space.clone(), playbook_id: playbook_id.clone(), component: *component, id: ids::fresh_order() };
    batch.put(&key, row(&event));
}

/// Marks the playbook for the policy to look at.
pub(super) fn mark(batch: &mut Batch, space: &Space, playbook_id: &PlaybookId) {
    batch.put(&ConsiderKey { space: space.clone(), playbook_id: playbook_id.clone() }, Mark::due(None).row());
}

/// That a version was proved against each of the runs it comes from, and that the policy has to look at it; nothing of one that
/// comes from none. For whoever adds a version whose component was proved so.
#[must_use]
pub fn proofs(space: &Space, version: &Version) -> Batch {
    let mut batch = Batch::new();
    for run in &version.provenance.source_runs {
        let event = of_run(EventKind::Proof, version, run, None, 0);
        put(&mut batch, space, &version.playbook_id, &version.component, event);
    }
    if !version.provenance.source_runs.is_empty() {
        mark(&mut batch, space, &version.playbook_id);
    }
    batch
}

pub(super) fn of_run(kind: EventKind, version: &Version, run: &RunId, drift: Option<Drift>, calls: u64) -> Event {
    let outcome = if drift.is_some() { Outcome::Failure } else { Outcome::Success };
    let run_id = Some(run.clone());
    Event {
        kind,
        version: version.version,
        outcome,
        counts: true,
        input_digest: None,
        job_id: None,
        run_id,
        drift,
        calls,
        ms: 0,
        at: clock::now_ms(),
    }
}

/// What is written with the last entry of a job, or with the first by which it is given up: the evidence, and the mark. Nothing of a
/// branch, which is part of another job, and nothing of one that somebody cancelled, which shows nothing.
///
/// A job that is given up is a failure there and then. If it is let go on, or one that failed is tried again, and comes to its end,
/// that is another row: a success is a success, and a failure is kept and does not count a second time.
pub(super) fn of_job(store: &Store, space: &Space, job: &JobId, state: &State) -> Batch {
    let mut batch = Batch::new();
    let branch = state.parent.as_ref().is_some_and(|parent| parent.branch.is_some());
    let seen = match state.status() {
        _ if branch => None,
        JobStatus::Completed => Some(completed(store, space, state)),
        JobStatus::Failed => Some(failed(state)),
        JobStatus::Parked => Some(given_up(state)),
        _ => None,
    };
    let Some((outcome, counts, drift)) = seen else { return batch };
    let event = Event {
        kind: EventKind::Job,
        version: state.version,
        outcome,
        counts,
        input_digest: Some(state.input_digest),
        job_id: Some(*job),
        run_id: None,
        drift,
        calls: state.calls.len() as u64,
        ms: state.updated_at_ms.saturating_sub(state.created_at_ms),
        at: state.updated_at_ms,
    };
    put(&mut batch, space, &state.playbook_id, &state.component, event);
    mark(&mut batch, space, &state.playbook_id);
    batch
}

/// What a job showed: what came of it, whether that counts, and where it went another way.
type Seen = (Outcome, bool, Option<Drift>);

/// What came to its end because somebody said what a step's answer is shows nothing good of the playbook: in guided mode the step
/// had failed. Where nobody knew what became of a call, and somebody said that it happened, it shows nothing at all.
fn completed(store: &Store, space: &Space, state: &State) -> Seen {
    let drift = |step: HandedOver, what: &str| Drift { step: step.step, why: clipped(&format!("{what}: {}", step.why)), cause: None };
    match by_hand(store, space, state, 0) {
        Some(ByHand::Answered(step)) => (Outcome::Failure, true, Some(drift(step, "answered by hand"))),
        Some(ByHand::Vouched(step)) => (Outcome::Success, false, Some(drift(step, "a person said that the call happened"))),
        Some(ByHand::Unknown(why)) => (Outcome::Success, false, Some(Drift { step: None, why: clipped(&why), cause: None })),
        None => (Outcome::Success, true, None),
    }
}

fn failed(state: &State) -> Seen {
    let failure = state.failure.as_ref();
    let drift = failure.map(|failure| Drift { step: failure.step.clone(), why: clipped(&failure.message), cause: Some(failure.cause) });
    (Outcome::Failure, state.is_first_failure() && failure.is_none_or(Failure::is_of_the_playbook), drift)
}

fn given_up(state: &State) -> Seen {
    let setback = state.given_up_for();
    let step = setback.and_then(|failure| failure.step.clone()).or_else(|| state.step.as_ref().map(|(step, _)| step.clone()));
    let why = state.parked.as_ref().map(|parked| clipped(&parked.message)).unwrap_or_default();
    let drift = Drift { step, why, cause: setback.map(|failure| failure.cause) };
    (Outcome::Failure, state.is_first_failure() && setback.is_none_or(Failure::is_of_the_playbook), Some(drift))
}

/// What a person did in the place of the playbook.
enum ByHand {
    /// They gave a step's answer.
    Answered(HandedOver),
    /// They said that a call happened of which nobody knew.
    Vouched(HandedOver),
    /// What a branch of it came to cannot be read.
    Unknown(String),
}

/// The first step of the job, or of a branch of it, that a person answered or vouched for.
fn by_hand(store: &Store, space: &Space, state: &State, depth: u32) -> Option<ByHand> {
    let own = state.by_hand.clone().map(ByHand::Answered);
    if own.is_some() || depth > limits::CHILD_DEPTH_MAX {
        return own;
    }
    let branches = state.children.iter().filter(|child| child.branch.is_some());
    let mut vouched = state.vouched.clone().map(ByHand::Vouched);
    for branch in branches {
        let found = match journal::fold(store, space, &branch.job_id) {
            Ok(branch) => by_hand(store, space, &branch, depth + 1),
            Err(e) => Some(ByHand::Unknown(format!("a branch of it does not read back: {e}"))),
        };
        match found {
            answered @ Some(ByHand::Answered(_)) => return answered,
            other => vouched = vouched.or(other),
        }
    }
    vouched
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(limits::EVIDENCE_WHY_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Evidence on a component, newest first; that before `before` where one is given. Each with its id.
///
/// # Errors
/// What the store says, `data_corrupt`.
pub(super) fn of_component(
    store: &Store,
    space: &Space,
    playbook_id: &PlaybookId,
    component: &Digest,
    before: Option<[u8; 16]>,
    limit: usize,
) -> Result<Vec<([u8; 16], Event)>> {
    let prefix = EvidenceKey::of_component(space, playbook_id, component);
    let before = before.map(|id| EvidenceKey { space: space.clone(), playbook_id: playbook_id.clone(), component: *component, id });
    let rows = store.scan_back(&prefix, before.as_ref(), limit)?;
    rows.iter().map(|(key, row)| Ok((key.id, read(row)?))).collect()
}

/// What a decision about a component looks at: everything that was shown on recordings, then its latest jobs, newest first.
///
/// # Errors
/// What the store says, `data_corrupt`.
pub(super) fn for_decision(store: &Store, space: &Space, playbook_id: &PlaybookId, component: &Digest) -> Result<Vec<Event>> {
    let shown = store.scan(&RecordingKey::of_component(space, playbook_id, component), None, limits::RECORDINGS_LOOK_BACK)?;
    let mut events = shown.iter().map(|(_, row)| read(row)).collect::<Result<Vec<Event>>>()?;
    // The same stands between the jobs, and takes no place of theirs. What is only there is from before it had a key of its own.
    let back = limits::EVIDENCE_LOOK_BACK + events.len();
    events.extend(of_component(store, space, playbook_id, component, None, back)?.into_iter().map(|(_, event)| event));
    Ok(events)
}

fn read(row: &[u8]) -> Result<Event> {
    let row: Row = serde_json::from_slice(row).map_err(|e| Error::stored("a row of evidence", &e))?;
    Ok(row.event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_of_evidence_keeps_its_names() {
        let job = JobId::from_bytes([7; 16]);
        let whole = json!({
            "v": 1, "kind": "job", "version": 3, "outcome": "failure", "counts": false, "input_digest": "00".repeat(32),
            "job_id": job, "run_id": "r", "drift": {"step": "s2", "why": "gone", "cause": "playbook"}, "calls": 2, "ms": 5, "at": 9,
        });
        let row: Row = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(&row).unwrap(), whole);
        let least = json!({"v": 1, "kind": "proof", "version": 1, "outcome": "success", "calls": 0, "ms": 0, "at": 9});
        let row: Row = serde_json::from_value(least.clone()).unwrap();
        assert!(row.event.counts);
        assert_eq!(serde_json::to_value(&row).unwrap(), least);
    }

    #[test]
    fn a_failure_that_any_playbook_would_have_met_does_not_count() {
        let failure = |cause, detail: Option<serde_json::Value>| Failure {
            step: None,
            message: String::new(),
            detail: detail.map(|detail| crate::json::Json::from(&detail)),
            cause,
        };
        for (failure, counts) in [
            (failure(Cause::Playbook, None), true),
            (failure(Cause::Playbook, Some(json!({"kind": "not_found"}))), true),
            (failure(Cause::Playbook, Some(json!({"kind": "denied", "tool": "fs/read"}))), false),
            (failure(Cause::Trap, None), true),
            (failure(Cause::Time, None), false),
            (failure(Cause::Limit, None), false),
            (failure(Cause::Internal, None), false),
        ] {
            assert_eq!(failure.is_of_the_playbook(), counts, "{failure:?}");
        }
    }
}
