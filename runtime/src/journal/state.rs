//! What a job is: the fold of its entries.
//!
//! Its job: say which entry may come next, and what is known once it has. It is pure; it knows neither bytes nor
//! the store. The writer asks it before it writes, recovery asks it while it reads, and what people see is made of
//! it, so the three cannot disagree. The rule: a move that is not listed in [`State::apply`] is refused.

use std::fmt;

use super::entry::{Body, Entry, Failure};
use super::status::Status;
use crate::contract::{Effect, ToolId};
use crate::ids::{Digest, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

/// All that a journal says about its job.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    status: Status,
    next_seq: u64,
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
    /// The ledger: the journal seen by tool call, oldest first.
    pub calls: Vec<LedgerRow>,
    /// What the playbook returned.
    pub output: Option<Payload>,
    /// Why it stopped short.
    pub failure: Option<Failure>,
    /// Fuel used by the attempt that ended it.
    pub fuel_used: Option<u64>,
    /// The call that must be settled before it goes on.
    pub uncertain: Option<UncertainCall>,
    /// Workers that have begun it and left something in the journal.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When its last entry was written.
    pub updated_at_ms: u64,
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
}

/// How far a tool call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Asked for; no answer is on record, so it may or may not have happened.
    Intended,
    /// Its answer is on record.
    Returned,
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
        let illegal = || Illegal { seq: first.seq, entry: in_words(&first.body), status: None, next_seq: 1, open_call: None };
        match &first.body {
            Body::Created { playbook_id, version, component, input, input_digest, grants, engine, fuel } if first.seq == 1 => Ok(State {
                status: Status::Ready,
                next_seq: 2,
                playbook_id: playbook_id.clone(),
                version: *version,
                component: *component,
                input: input.clone(),
                input_digest: *input_digest,
                grants: grants.clone(),
                engine: engine.clone(),
                fuel: *fuel,
                calls: Vec::new(),
                output: None,
                failure: None,
                fuel_used: None,
                uncertain: None,
                attempts: 0,
                created_at_ms: first.at_ms,
                updated_at_ms: first.at_ms,
            }),
            _ => Err(illegal()),
        }
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

    /// Takes in the next entry. These are all the moves that there are:
    ///
    /// ```text
    /// ready, running           called k+1          running     with no call open; k calls so far
    /// running                  returned k          running     with call k open
    /// ready, running           recorded            running     with no call open
    /// ready, running           resumed n+1         running     n attempts so far; an open call stays open
    /// running                  uncertain k         uncertain   with call k open, and its effect `once`
    /// ready, running           completed           completed   with no call open
    /// ready, running           failed              failed      an open call stays as it is: its answer never came
    /// ```
    ///
    /// # Errors
    /// [`Illegal`] with the entry and what it met; the state is as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        let open = self.open_call().map(|row| (row.call, row.effect));
        if entry.seq != self.next_seq {
            return Err(self.illegal(entry));
        }
        self.status = match (self.status, open, &entry.body) {
            (Status::Ready | Status::Running, None, Body::Called { call, step, tool, effect, key, .. }) if *call == self.next_call() => {
                self.calls.push(LedgerRow {
                    call: *call,
                    step: step.clone(),
                    tool: tool.clone(),
                    effect: *effect,
                    key: key.clone(),
                    seq: entry.seq,
                    state: CallState::Intended,
                });
                Status::Running
            }
            (Status::Running, Some((open, _)), Body::Returned { call, .. }) if *call == open => {
                self.last_call().state = CallState::Returned;
                Status::Running
            }
            (Status::Ready | Status::Running, None, Body::Recorded { .. }) => Status::Running,
            (Status::Ready | Status::Running, _, Body::Resumed { attempt }) if *attempt == self.attempts + 1 => {
                self.attempts = *attempt;
                Status::Running
            }
            (Status::Running, Some((open, Effect::Once)), Body::Uncertain { call, reason }) if *call == open => {
                let row = self.last_call();
                row.state = CallState::Uncertain;
                let seq = row.seq;
                self.uncertain = Some(UncertainCall { call: *call, seq, reason: reason.clone() });
                Status::Uncertain
            }
            (Status::Ready | Status::Running, None, Body::Completed { output, fuel_used }) => {
                self.output = Some(output.clone());
                self.fuel_used = Some(*fuel_used);
                Status::Completed
            }
            (Status::Ready | Status::Running, _, Body::Failed { failure, fuel_used }) => {
                self.failure = Some(failure.clone());
                self.fuel_used = Some(*fuel_used);
                Status::Failed
            }
            _ => return Err(self.illegal(entry)),
        };
        // The first worker needs no entry of its own: what it leaves behind shows that it began.
        self.attempts = self.attempts.max(1);
        self.next_seq = entry.seq + 1;
        self.updated_at_ms = entry.at_ms;
        Ok(())
    }

    /// Where the job stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
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

    fn last_call(&mut self) -> &mut LedgerRow {
        self.calls.last_mut().expect("an open call is in the ledger")
    }

    fn illegal(&self, entry: &Entry) -> Illegal {
        Illegal {
            seq: entry.seq,
            entry: in_words(&entry.body),
            status: Some(self.status),
            next_seq: self.next_seq,
            open_call: self.open_call().map(|row| row.call),
        }
    }
}

impl CallState {
    /// The snake_case text that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CallState::Intended => "intended",
            CallState::Returned => "returned",
            CallState::Uncertain => "uncertain",
        }
    }
}

/// The kind, and the number that the move depends on.
fn in_words(body: &Body) -> String {
    match body {
        Body::Called { call, effect, .. } => format!("called {call} ({effect})"),
        Body::Returned { call, .. } => format!("returned {call}"),
        Body::Uncertain { call, .. } => format!("uncertain {call}"),
        Body::Resumed { attempt } => format!("resumed {attempt}"),
        _ => body.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_journal_that_a_worker_can_leave_folds_to_what_it_did((bodies, expected) in legal_journal()) {
            let entries = entries(bodies);
            let state = State::fold(&entries).unwrap();
            prop_assert_eq!(state.status(), expected.status);
            prop_assert_eq!(state.calls.len(), expected.calls);
            prop_assert_eq!(state.attempts, expected.attempts);
            prop_assert_eq!(state.next_seq(), entries.len() as u64 + 1);
            prop_assert_eq!(state.open_call().map(|row| row.call), expected.open);
            let unanswered = state.calls.iter().filter(|row| row.state != CallState::Returned).count();
            prop_assert!(unanswered <= 1, "at most the last call has no answer");
            prop_assert_eq!(state.uncertain.is_some(), expected.status == Status::Uncertain);
            prop_assert_eq!(state.output.is_some(), expected.status == Status::Completed);
            prop_assert_eq!(state.failure.is_some(), expected.status == Status::Failed);
            prop_assert_eq!(state.updated_at_ms, entries.last().unwrap().at_ms);
        }
    }

    /// Journals that stand in every situation there is.
    fn situations() -> Vec<(&'static str, Vec<Body>)> {
        let with = |more: Vec<Body>| [vec![created()], more].concat();
        vec![
            ("ready", with(vec![])),
            ("between calls", with(vec![called(1, Effect::Once), returned(1)])),
            ("in a once call", with(vec![called(1, Effect::Read), returned(1), called(2, Effect::Once)])),
            ("in an idempotent call", with(vec![called(1, Effect::Read), returned(1), called(2, Effect::Idempotent)])),
            ("uncertain", with(vec![called(1, Effect::Once), uncertain(1)])),
            ("completed", with(vec![completed()])),
            ("failed", with(vec![failed()])),
            ("failed in a call", with(vec![called(1, Effect::Once), failed()])),
        ]
    }

    /// Moves by the name under which the table lists them; a number is the call or attempt.
    fn moves() -> Vec<(&'static str, Body)> {
        vec![
            ("created", created()),
            ("called 1", called(1, Effect::Once)),
            ("called 2", called(2, Effect::Pure)),
            ("called 3", called(3, Effect::Once)),
            ("returned 1", returned(1)),
            ("returned 2", returned(2)),
            ("recorded", recorded(5)),
            ("resumed 1", Body::Resumed { attempt: 1 }),
            ("resumed 2", Body::Resumed { attempt: 2 }),
            ("resumed 3", Body::Resumed { attempt: 3 }),
            ("uncertain 1", uncertain(1)),
            ("uncertain 2", uncertain(2)),
            ("completed", completed()),
            ("failed", failed()),
        ]
    }

    #[test]
    fn a_move_that_is_not_listed_is_refused_and_changes_nothing() {
        let legal = [
            ("ready", &["called 1", "recorded", "resumed 1", "completed", "failed"][..]),
            ("between calls", &["called 2", "recorded", "resumed 2", "completed", "failed"]),
            ("in a once call", &["returned 2", "resumed 2", "uncertain 2", "failed"]),
            ("in an idempotent call", &["returned 2", "resumed 2", "failed"]),
            ("uncertain", &[]),
            ("completed", &[]),
            ("failed", &[]),
            ("failed in a call", &[]),
        ];
        for ((situation, before), (listed, allowed)) in situations().into_iter().zip(legal) {
            assert_eq!(situation, listed);
            for (name, body) in moves() {
                let all = entries([before.clone(), vec![body]].concat());
                let (last, first) = all.split_last().unwrap();
                let mut state = State::fold(first).unwrap();
                let untouched = state.clone();
                match state.apply(last) {
                    Ok(()) => assert!(allowed.contains(&name), "{name} was taken while {situation}"),
                    Err(illegal) => {
                        assert!(!allowed.contains(&name), "{name} was refused while {situation}: {illegal}");
                        assert_eq!(state, untouched, "{name} while {situation}");
                        assert!(illegal.to_string().contains(untouched.status().as_str()), "{illegal}");
                        assert!(illegal.to_string().contains(last.body.kind()), "{illegal}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_created_can_be_first_and_only_there() {
        for (name, body) in moves() {
            let folded = State::fold(&entries(vec![body]));
            assert_eq!(folded.is_ok(), name == "created", "{name}: {folded:?}");
        }
        assert!(State::fold([]).is_err());
        let late = &entries(vec![created(), created()])[1..];
        assert!(State::fold(late).is_err());
    }

    #[test]
    fn an_entry_out_of_its_place_is_refused() {
        let all = entries(vec![created(), recorded(1), recorded(2)]);
        let mut state = State::begin(&all[0]).unwrap();
        assert!(state.apply(&all[2]).is_err());
        state.apply(&all[1]).unwrap();
        let again = state.apply(&all[1]).unwrap_err();
        assert_eq!(again.to_string(), "entry 2, recorded, cannot come as entry 3 of a job that is running");
    }

    #[test]
    fn the_ledger_says_how_far_each_call_came() {
        let state =
            State::fold(&entries(vec![created(), called(1, Effect::Read), returned(1), called(2, Effect::Once), uncertain(2)])).unwrap();
        let rows: Vec<_> = state.calls.iter().map(|row| (row.call, row.seq, row.state, row.key.as_str())).collect();
        assert_eq!(rows, [(1, 2, CallState::Returned, "key-1"), (2, 4, CallState::Uncertain, "key-2")]);
        let uncertain = state.uncertain.unwrap();
        assert_eq!((uncertain.call, uncertain.seq), (2, 4));

        let state = State::fold(&entries(vec![created(), called(1, Effect::Once), failed()])).unwrap();
        assert_eq!(state.calls[0].state, CallState::Intended, "a job that failed in a call does not claim to know its outcome");
    }
}
