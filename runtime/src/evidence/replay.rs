//! Audit replay: the guest runs once more, answered from its journal alone, and its ending is held against the journal's.
//!
//! Resuming and replaying are different modes: this one never goes live. Where the journal has no more, the guest is stopped.

use std::any::Any;

use serde_json::{Value, json};

use super::record::{OnRecord, Source, Would};
use crate::error::{Code, Error, Result};
use crate::ids::JobId;
use crate::journal::{Cause, Cursor, Exact, Failure, State, Status, view};
use crate::json::Json;
use crate::sandbox::{Ending, Finished, Playbook, Sandbox, Stop};
use crate::store::Store;

/// What a replay showed. It holds no time and nothing of the machine: the same journal gives the same report.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The job.
    pub job_id: JobId,
    /// Where its journal says that it stands.
    pub status: Status,
    /// Entries of the journal.
    pub entries: u64,
    /// Hash of the last one.
    pub last_hash: crate::ids::Digest,
    /// Questions of the guest that the journal answered.
    pub answered: u64,
    /// How it compares.
    pub verdict: Verdict,
    /// What the guest returned, where it came to its end.
    pub output: Option<Json>,
    /// Fuel that it used.
    pub fuel_used: u64,
}

/// How a replay compares with the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The guest came to the very ending that the journal has.
    Same,
    /// The journal goes up to here; the guest would go on so.
    Open(Would),
    /// The job was ended from outside while the guest stood at this question.
    EndedOutside(Would),
    /// The guest did something else than this entry says.
    Diverged {
        /// The entry.
        seq: u64,
        /// What it says.
        expected: String,
        /// What the guest did.
        found: String,
    },
    /// The guest came to another ending.
    OtherEnding {
        /// What the journal has.
        expected: String,
        /// What the guest came to.
        found: String,
    },
}

/// Runs the guest against its journal.
///
/// # Errors
/// What the store says of a value that lies in a blob, and where this machine has no place for another instance.
pub async fn replay(sandbox: &Sandbox, playbook: &Playbook, store: &Store, job_id: JobId, exact: Exact) -> Result<Replay> {
    let Exact { entries, state, head, .. } = exact;
    let input = load(store, &state).await?;
    let effects = OnRecord::new(Source::Journal(Cursor::new(entries)), store.clone(), state.clone());
    let finished = sandbox.run(playbook, &input, Box::new(effects), state.fuel).await;
    let (ending, fuel_used, effects) = taken(finished)?;
    let output = if let Ending::Output(output) = &ending { Some(output.clone()) } else { None };
    let verdict = verdict(store, &state, ending, &effects).await?;
    let entries = head.next_seq - 1;
    Ok(Replay {
        job_id,
        status: state.status(),
        entries,
        last_hash: head.last_hash,
        answered: effects.answered,
        verdict,
        output,
        fuel_used,
    })
}

/// What the job was run with.
pub(super) async fn load(store: &Store, state: &State) -> Result<Json> {
    let (store, input) = (store.clone(), state.input.clone());
    crate::blocking::run(move || store.load(&input)).await
}

/// The ending, and the effects that were lent.
pub(super) fn taken(finished: Finished) -> Result<(Ending, u64, Box<OnRecord>)> {
    let effects: Box<dyn Any> = finished.effects;
    let effects = effects.downcast::<OnRecord>();
    let effects = effects.map_err(|_| Error::new(Code::InternalError, "the sandbox gave back other effects than it was lent"))?;
    Ok((finished.ending, finished.fuel_used, effects))
}

async fn verdict(store: &Store, state: &State, ending: Ending, effects: &OnRecord) -> Result<Verdict> {
    if let (Ending::Output(_) | Ending::Failure { .. }, Source::Journal(cursor)) = (&ending, &effects.source)
        && let Err(left) = cursor.end()
    {
        return Ok(Verdict::Diverged { seq: left.seq, expected: left.expected, found: left.found });
    }
    let found = match ending {
        Ending::Stopped(Stop::Host(e)) => return Err(e),
        Ending::Stopped(Stop::Stands) => {
            let would = effects.would.clone().ok_or_else(|| Error::new(Code::InternalError, "a guest stands at no question"))?;
            return Ok(if state.status().is_final() { Verdict::EndedOutside(would) } else { Verdict::Open(would) });
        }
        // A job that failed by this does it again.
        Ending::Stopped(Stop::Diverged { .. }) if cause(state) == Some(Cause::Nondeterminism) => return Ok(Verdict::Same),
        Ending::Stopped(Stop::Diverged { at, expected, found }) => return Ok(Verdict::Diverged { seq: at, expected, found }),
        Ending::Output(output) => Found::Output(output),
        Ending::Failure { step, message, detail } => {
            let step = step.or_else(|| effects.step().map(str::to_owned));
            let cause = state.cause_of(detail.as_ref());
            Found::Failure(Failure { step, message, detail, cause })
        }
        other => broke(other),
    };
    compared(store, state, found, effects).await
}

/// What a guest came to by itself.
enum Found {
    Output(Json),
    Failure(Failure),
    Broke(Cause, String),
}

fn broke(ending: Ending) -> Found {
    match ending {
        Ending::OutOfFuel => Found::Broke(Cause::Fuel, "used up its fuel".to_owned()),
        Ending::OverTime(how) => Found::Broke(Cause::Time, how),
        Ending::OverLimit(how) | Ending::Stopped(Stop::Limit(how)) => Found::Broke(Cause::Limit, how),
        Ending::Stopped(Stop::NotSupported(what)) => Found::Broke(Cause::NotSupported, what),
        Ending::Broke(how) => Found::Broke(Cause::Trap, how),
        other => Found::Broke(Cause::Internal, format!("{other:?}")),
    }
}

fn cause(state: &State) -> Option<Cause> {
    state.failure.as_ref().map(|failure| failure.cause)
}

async fn compared(store: &Store, state: &State, found: Found, effects: &OnRecord) -> Result<Verdict> {
    let same = match (&found, state.status()) {
        (Found::Output(output), Status::Completed) => {
            let (store, recorded) = (store.clone(), state.output.clone());
            let recorded = crate::blocking::run(move || recorded.map(|payload| store.load(&payload)).transpose()).await?;
            recorded.as_ref() == Some(output)
        }
        (Found::Failure(failure), Status::Failed | Status::Cancelled) => state.failure.as_ref() == Some(failure),
        (Found::Broke(broke, _), Status::Failed) => cause(state) == Some(*broke),
        // A job that is cancelled on its way out ends as cancelled, whatever it returned.
        (_, Status::Cancelled) => state.failure.is_none(),
        _ => false,
    };
    if same {
        return Ok(Verdict::Same);
    }
    let found = match found {
        Found::Output(output) => format!("the output {output}"),
        Found::Failure(failure) => format!("the failure {}", view::failure(&failure)),
        Found::Broke(cause, how) => format!("an end by {}: {how}", cause.as_str()),
    };
    if !state.status().is_final() {
        return Ok(Verdict::Open(Would { step: effects.step().map(str::to_owned), what: found, tool: None, input: None }));
    }
    let expected = match (&state.output, &state.failure) {
        (Some(crate::store::Payload::Inline(output)), _) => format!("the output {output}"),
        (Some(crate::store::Payload::Blob { digest, .. }), _) => format!("the output of digest {digest}"),
        (None, Some(failure)) => format!("the failure {}", view::failure(failure)),
        (None, None) => format!("an end as {}", state.status()),
    };
    Ok(Verdict::OtherEnding { expected, found })
}

impl Verdict {
    /// One word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Open(_) => "open",
            Verdict::EndedOutside(_) => "ended_outside",
            Verdict::Diverged { .. } => "diverged",
            Verdict::OtherEnding { .. } => "other_ending",
        }
    }
}

impl Replay {
    /// True where the guest did what the journal says, as far as that goes.
    #[must_use]
    pub fn agrees(&self) -> bool {
        !matches!(self.verdict, Verdict::Diverged { .. } | Verdict::OtherEnding { .. })
    }

    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut shown = json!({
            "job_id": self.job_id, "status": self.status, "entries": self.entries, "last_hash": self.last_hash, "answered": self.answered,
            "verdict": self.verdict.as_str(), "agrees": self.agrees(), "fuel_used": self.fuel_used,
        });
        let fields = shown.as_object_mut().expect("an object was written above");
        if let Some(output) = &self.output {
            fields.insert("output".to_owned(), output.value());
            fields.insert("output_digest".to_owned(), output.digest().to_string().into());
        }
        match &self.verdict {
            Verdict::Same => {}
            Verdict::Open(would) | Verdict::EndedOutside(would) => {
                fields.insert("would".to_owned(), would.to_json());
            }
            Verdict::Diverged { seq, expected, found } => {
                fields.insert("differs".to_owned(), json!({"seq": seq, "expected": expected, "found": found}));
            }
            Verdict::OtherEnding { expected, found } => {
                fields.insert("differs".to_owned(), json!({"expected": expected, "found": found}));
            }
        }
        shown
    }
}
