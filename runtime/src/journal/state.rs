//! What a job is: the fold of its entries.
//!
//! Its job: what is known of a job, and what follows from it. Which entry may come next stands in `moves`. It is pure; it
//! knows neither bytes nor the store. The writer asks it before it writes, recovery asks it while it reads, and what people see
//! is made of it, so the three cannot disagree. The rule: the status is never kept, it follows from the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::checked::{HandedOver, Refused, Standing};
use super::control::{CancelRequested, ParkReason, Parked, Paused};
use super::entry::{Body, Cause, Entry, Failure};
use super::options::{Budget, Options, Parent};
use super::status::Status;
use super::waits::{ChildEnd, On, Signalled};
use crate::contract::{Effect, ToolId};
use crate::ids::{Digest, JobId, PlaybookId};
use crate::json::Json;
use crate::limits;
use crate::store::Payload;

/// All that a journal says about its job.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub(super) next_seq: u64,
    /// The playbook it runs.
    pub playbook_id: PlaybookId,
    /// The playbook's version.
    pub version: u32,
    /// Digest of the playbook's component.
    pub component: Digest,
    /// What `run` is called with.
    pub input: Payload,
    /// Digest of the input's canonical text.
    pub input_digest: Digest,
    /// The permissions that were given to this job alone.
    pub grants: Vec<Json>,
    /// What executes it.
    pub engine: String,
    /// Fuel it may use.
    pub fuel: u64,
    /// How it is to be run.
    pub options: Options,
    /// What it may use up, as raised so far.
    pub budget: Budget,
    /// The job that started it.
    pub parent: Option<Parent>,
    /// Where its plan came from, where it was made for this job.
    pub origin: Option<Json>,
    /// The ledger: the journal seen by tool call, oldest first.
    pub calls: Vec<LedgerRow>,
    /// Bytes of tool inputs and answers.
    pub bytes: u64,
    /// How often the call that is to be made next, or is under way, has been tried without success.
    pub tries: u32,
    /// How often the job has failed and was begun again.
    pub job_tries: u32,
    /// Waits so far.
    pub waits: u64,
    /// What it waits for.
    pub wait: Option<Wait>,
    /// Signals that no wait has taken, in their order.
    pub signals: Vec<Untaken>,
    /// The senders' names of all signals that came, and the digest of what each said.
    pub signal_ids: BTreeMap<String, Digest>,
    /// Its children, in the order of their numbers.
    pub children: Vec<Child>,
    /// Who asked for it to be cancelled.
    pub cancel: Option<CancelRequested>,
    /// Who stopped it.
    pub paused: Option<Paused>,
    /// Why it was set aside.
    pub parked: Option<Parked>,
    /// Calls whose recorded answers were found to be no longer so.
    pub drifted: BTreeSet<u64>,
    /// What a person is to see to.
    pub handed_over: Option<Standing>,
    /// The check by which the step was refused, where nothing has happened since.
    pub refused: Option<Refused>,
    /// The answer that a person gave for the call that is made next: the tool is not called for it.
    pub given: Option<Payload>,
    /// Checks of steps whose answer a person gave, by the number of the next call and the digest of what they ask.
    pub accepted: BTreeSet<(u64, Digest)>,
    /// The first step that came to its answer by a person's hand and not by the playbook.
    pub by_hand: Option<HandedOver>,
    /// The first call of which a person said what became of it, though nobody knows: the playbook goes on from their word.
    pub vouched: Option<HandedOver>,
    /// What the latest try came to, of a call or of the whole job, that was followed by another one or by giving up.
    pub setback: Option<Failure>,
    /// How often it was set aside because it cannot go on by itself ([`Parked::gives_up`]).
    pub given_up: u32,
    /// How often it failed, or was given up, by the playbook's own doing.
    pub failures: u32,
    /// True once a person let it go on though the world was no longer as a recorded answer says.
    pub drift_accepted: bool,
    /// What it returned.
    pub output: Option<Payload>,
    /// Why it stopped short.
    pub failure: Option<Failure>,
    /// Fuel used by the attempt that ended it.
    pub fuel_used: Option<u64>,
    /// The call that must be settled before it goes on.
    pub uncertain: Option<UncertainCall>,
    /// Workers that have begun it and left something in the journal.
    pub attempts: u32,
    /// Attempts since the journal last moved on: a job that ends its worker shows here.
    pub fruitless: u32,
    /// The step of the last entry that has one, and when the first such entry was written.
    pub step: Option<(String, u64)>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When its last entry was written.
    pub updated_at_ms: u64,
    /// How it ended.
    pub(super) ended: Option<Status>,
    /// Children in the order in which they ended.
    pub(super) ended_children: Vec<u32>,
    /// Calls before the last wait or child: what stands before it is not made again.
    pub(super) fixed_calls: usize,
}

/// One tool call as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its number; the first is 1.
    pub call: u64,
    /// The step it belongs to.
    pub step: Option<String>,
    /// The tool.
    pub tool: ToolId,
    /// What repeating it would do.
    pub effect: Effect,
    /// What the tool sees as its name.
    pub key: String,
    /// The place of its `called` entry.
    pub seq: u64,
    /// How far it came.
    pub state: CallState,
    /// True where it must not be repeated unasked and its error leaves open whether it took effect.
    pub doubtful: bool,
}

/// How far a tool call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Asked for; no answer is on record, so it may or may not have happened.
    Intended,
    /// Its output is on record.
    Returned,
    /// Its error is on record.
    Errored,
    /// It may or may not have happened, and the job waits until someone says which.
    Uncertain,
}

/// The call that must be settled before its job goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncertainCall {
    /// Its number.
    pub call: u64,
    /// The place of its `called` entry.
    pub seq: u64,
    /// Why nobody knows whether it took effect.
    pub reason: String,
}

/// What a job waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// Its number; the first is 1.
    pub wait: u64,
    /// The place of its entry.
    pub seq: u64,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The step it belongs to.
    pub step: Option<String>,
    /// For what.
    pub on: On,
    /// Until when at the most, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
}

/// A signal that no wait has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Untaken {
    /// The place of its entry.
    pub seq: u64,
    /// When it was entered, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What arrived.
    pub signal: Signalled,
}

/// A child of the job.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its number; the first is 1.
    pub child: u32,
    /// The job that it is.
    pub job_id: JobId,
    /// The branch that it does; none where it runs a playbook.
    pub branch: Option<String>,
    /// What it runs.
    pub playbook_id: PlaybookId,
    /// The playbook's version.
    pub version: u32,
    /// Digest of its component.
    pub component: Digest,
    /// What it is run with.
    pub input: Payload,
    /// How it ended.
    pub end: Option<ChildEnd>,
    /// True once the guest asked for it to be cancelled.
    pub cancelled: bool,
}

/// An entry that cannot stand where it stands: the entry and the state that it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illegal {
    /// The entry's place.
    pub seq: u64,
    /// The entry's kind, and its call or attempt where it has one.
    pub entry: String,
    /// The status before it; none before the first entry.
    pub status: Option<Status>,
    /// The place that was next.
    pub next_seq: u64,
    /// The call that had no answer yet.
    pub open_call: Option<u64>,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}, {}, cannot come ", self.seq, self.entry)?;
        match self.status {
            None => write!(f, "first")?,
            Some(status) => write!(f, "as entry {} of a job that is {status}", self.next_seq)?,
        }
        match self.open_call {
            None => Ok(()),
            Some(call) => write!(f, " and waits for the answer to call {call}"),
        }
    }
}

impl std::error::Error for Illegal {}

impl State {
    /// The state after the first entry.
    ///
    /// # Errors
    /// Where it is not `created`, or not the first.
    pub fn begin(first: &Entry) -> Result<State, Illegal> {
        let Body::Created { playbook_id, version, component, input, input_digest, grants, engine, fuel, options, parent, origin } =
            &first.body
        else {
            return Err(not_first(first));
        };
        if first.seq != 1 {
            return Err(not_first(first));
        }
        Ok(State {
            next_seq: 2,
            playbook_id: playbook_id.clone(),
            version: *version,
            component: *component,
            input: input.clone(),
            input_digest: *input_digest,
            grants: grants.clone(),
            engine: engine.clone(),
            fuel: *fuel,
            options: (**options).clone(),
            budget: options.budget,
            parent: parent.clone(),
            origin: origin.clone(),
            calls: Vec::new(),
            bytes: 0,
            tries: 0,
            job_tries: 0,
            waits: 0,
            wait: None,
            signals: Vec::new(),
            signal_ids: BTreeMap::new(),
            children: Vec::new(),
            cancel: None,
            paused: None,
            parked: None,
            drifted: BTreeSet::new(),
            handed_over: None,
            refused: None,
            given: None,
            accepted: BTreeSet::new(),
            by_hand: None,
            vouched: None,
            setback: None,
            given_up: 0,
            failures: 0,
            drift_accepted: false,
            output: None,
            failure: None,
            fuel_used: None,
            uncertain: None,
            attempts: 0,
            fruitless: 0,
            step: None,
            created_at_ms: first.at_ms,
            updated_at_ms: first.at_ms,
            ended: None,
            ended_children: Vec::new(),
            fixed_calls: 0,
        })
    }

    /// The state after all of `entries`.
    ///
    /// # Errors
    /// The first that cannot stand where it stands; none at all counts as the first being missing.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<State, Illegal> {
        let mut entries = entries.into_iter();
        let nothing = || Illegal { seq: 1, entry: "nothing".to_owned(), status: None, next_seq: 1, open_call: None };
        let mut state = State::begin(entries.next().ok_or_else(nothing)?)?;
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Where the job stands. What a person must do comes before what time will bring.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            State { ended: Some(ended), .. } => *ended,
            State { paused: Some(_), .. } => Status::Paused,
            State { uncertain: Some(_), .. } => Status::Uncertain,
            State { parked: Some(_), .. } => Status::Parked,
            State { wait: Some(_), .. } | State { handed_over: Some(_), .. } => Status::Waiting,
            // The first worker needs no entry of its own: what it leaves behind shows that it began.
            State { attempts: 0, .. } => Status::Ready,
            _ => Status::Running,
        }
    }

    /// True before it has failed, or been given up, a second time: let go on, it is the same job.
    #[must_use]
    pub fn is_first_failure(&self) -> bool {
        self.failures <= 1
    }

    /// The failure for which it was given up; none where it ended its worker each time.
    #[must_use]
    pub fn given_up_for(&self) -> Option<&Failure> {
        self.setback.as_ref().filter(|_| self.parked.as_ref().is_some_and(|parked| parked.reason == ParkReason::Retries))
    }

    /// True where it stands because it was given up, for the first time: what that shows of the playbook is written down once.
    #[must_use]
    pub fn is_given_up_first(&self) -> bool {
        self.given_up == 1 && self.status() == Status::Parked && self.parked.as_ref().is_some_and(Parked::gives_up)
    }

    /// The place of the next entry.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The number of the next call.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        self.calls.len() as u64 + 1
    }

    /// The call that has no answer yet. Only the last one can be it: a playbook makes one call at a time.
    #[must_use]
    pub fn open_call(&self) -> Option<&LedgerRow> {
        self.calls.last().filter(|row| row.state == CallState::Intended)
    }

    /// When something is due though nobody says a word: a wait's deadline, or the job's own. In milliseconds since the Unix epoch.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        let wait = self.wait.as_ref().and_then(|wait| wait.until_ms);
        let job = self.options.timeout_ms.map(|ms| self.created_at_ms.saturating_add(ms));
        match self.status() {
            status if status.is_final() => None,
            // A wait that runs out while the job is stopped is told so when the job goes on; until then nothing is due.
            Status::Waiting => wait.into_iter().chain(job).min(),
            _ => job,
        }
    }

    /// The earliest call that a failed job can be begun again from: it and all after it failed or only looked, and
    /// no wait and no child stands between. The number of the next call where it is a check that is to be judged again.
    #[must_use]
    pub fn again_from(&self) -> Option<u64> {
        self.tail_that(|_| true).or_else(|| self.next_if_refused())
    }

    /// As [`State::again_from`], where nobody is there who could answer for a call that may have taken effect.
    #[must_use]
    pub fn again_unasked(&self) -> Option<u64> {
        self.tail_that(|row| !row.doubtful).or_else(|| self.next_if_refused())
    }

    /// Where a check refused the step and the call before it stands for good, no call is made again: the check is judged again.
    fn next_if_refused(&self) -> Option<u64> {
        self.refused.as_ref().map(|_| self.next_call())
    }

    fn tail_that(&self, may: impl Fn(&LedgerRow) -> bool) -> Option<u64> {
        let again = |row: &&LedgerRow| {
            may(row) && (row.state == CallState::Errored || (row.effect.touches_nothing() && row.state != CallState::Uncertain))
        };
        let step = self.calls.last()?.step.clone();
        let tail = self.calls[self.fixed_calls.min(self.calls.len())..].iter().rev();
        tail.take_while(again).take_while(|row| row.step == step).last().map(|row| row.call)
    }

    /// Calls of which nobody knows whether they took effect, though the job goes on or has ended: their answer left it open, or
    /// never came.
    pub fn in_doubt(&self) -> impl Iterator<Item = &LedgerRow> {
        let ended = self.status().is_final();
        let open = move |row: &LedgerRow| ended && row.state != CallState::Returned && row.state != CallState::Errored;
        self.calls.iter().filter(move |row| row.doubtful || (open(row) && !row.effect.touches_nothing()))
    }

    /// The first signal of this name that no wait has taken.
    #[must_use]
    pub fn untaken(&self, name: &str) -> Option<&Untaken> {
        self.signals.iter().find(|untaken| untaken.signal.name == name)
    }

    /// True where one more signal is one too many.
    #[must_use]
    pub fn is_full_of_signals(&self) -> bool {
        self.signals.len() >= limits::SIGNALS_UNTAKEN_MAX
    }

    /// How the job that has ended looks to the one that started it.
    #[must_use]
    pub fn end_as_child(&self) -> ChildEnd {
        match (self.status(), &self.output, &self.failure) {
            (Status::Completed, Some(output), _) => ChildEnd::Completed(output.clone()),
            (Status::Cancelled, ..) => ChildEnd::Cancelled,
            (_, _, Some(failure)) => ChildEnd::Failed(failure.clone()),
            _ => {
                let message = "it stopped short".to_owned();
                ChildEnd::Failed(Failure { step: None, message, detail: None, cause: Cause::Internal })
            }
        }
    }

    /// The child of this number.
    #[must_use]
    pub fn child(&self, child: u32) -> Option<&Child> {
        self.children.get(usize::try_from(child).ok()?.checked_sub(1)?)
    }

    /// The first of these children, in the order in which they ended, as far as any has.
    #[must_use]
    pub fn first_ended(&self, children: &[u32]) -> Option<u32> {
        self.ended_children.iter().copied().find(|child| children.contains(child))
    }
}

fn not_first(entry: &Entry) -> Illegal {
    Illegal { seq: entry.seq, entry: in_words(&entry.body), status: None, next_seq: 1, open_call: None }
}

impl CallState {
    /// The snake_case text that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CallState::Intended => "intended",
            CallState::Returned | CallState::Errored => "returned",
            CallState::Uncertain => "uncertain",
        }
    }
}

/// The kind, and the number that the move depends on.
pub(super) fn in_words(body: &Body) -> String {
    match body {
        Body::Called { call, effect, .. } => format!("called {call} ({effect})"),
        Body::Returned { call, .. } => format!("returned {call}"),
        Body::Uncertain { call, .. } => format!("uncertain {call}"),
        Body::Resumed { attempt } => format!("resumed {attempt}"),
        Body::Waiting(waiting) => format!("waiting {}", waiting.wait),
        Body::Woken(woken) => format!("woken {}", woken.wait),
        Body::Resolved(resolved) => format!("resolved {}", resolved.call),
        Body::Retrying(retrying) => format!("retrying {}", retrying.call),
        Body::HandedOver(handed) => format!("handed_over {}", handed.call),
        _ => body.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests;
