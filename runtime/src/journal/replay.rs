//! What a resumed guest is answered from.
//!
//! Its job: hold a journal beside a guest that begins again from the start, and say for each thing the guest asks
//! whether the answer is on record, was under way, is new, or does not fit. It is pure: it writes nothing and calls
//! no tool. The rule: an answer is given only for the same question in the same order (the same tool with the same
//! input, a wait for the same thing, a child for the same work); anything else is nondeterminism, and the guest must be
//! stopped before it does something else.
//!
//! The guest's step names are labels: they travel with a question for the message, and do not decide.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::checked::{Checked, HandedOver};
use super::control::Decision;
use super::entry::{Answer, Body, Entry, Recorded, RecordedKind};
use super::stored::digest_of;
use super::waits::{ChildStarted, On, Wake};
use crate::checks::At;
use crate::contract::{Effect, ToolId};
use crate::ids::Digest;
use crate::json::Json;
use crate::store::Payload;

/// A journal's questions and answers, oldest first; what the guest has already asked again is gone.
#[derive(Debug)]
pub struct Cursor {
    moves: VecDeque<Move>,
    next_call: u64,
}

/// What becomes of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It is on record: give this, call nothing.
    Answer {
        /// Its number.
        call: u64,
        /// What it came to.
        answer: Answer,
        /// True where a person saw that it had come to an error, and said so.
        settled: bool,
    },
    /// It was begun and the journal ends there: whether it took effect is not known. `pure` and `read` are repeated,
    /// `idempotent` is repeated with the same key, `once` is uncertain. The call is in the journal already.
    UnderWay {
        /// Its number.
        call: u64,
        /// The key that the tool saw.
        key: String,
        /// What repeating it would do.
        effect: Effect,
    },
    /// The journal has no more: this call is new.
    Live {
        /// The number it gets.
        call: u64,
    },
    /// The journal has something else here.
    Diverged(Diverged),
}

/// What becomes of a question for the time or a random number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextRecorded {
    /// It is on record: give this.
    Answer(Recorded),
    /// The journal has no more: this one is new.
    Live,
    /// The journal has something else here.
    Diverged(Diverged),
}

/// What becomes of a wait.
#[derive(Debug, Clone, PartialEq)]
pub enum NextWait {
    /// It is on record: this ended it.
    Answer(Ended),
    /// The journal has no more: this wait is new.
    Live,
    /// It is on record, and nothing has ended it yet.
    Standing,
    /// The journal has something else here.
    Diverged(Diverged),
}

/// What becomes of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextCheck {
    /// It is on record.
    Answer {
        /// What it came to.
        checked: Checked,
        /// True where a person saw that it refused the step and said that the step failed.
        settled: bool,
    },
    /// The journal has no more: it is judged now.
    Live,
    /// The journal has something else here.
    Diverged(Diverged),
}

/// What ended a wait, with what the guest is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It had slept long enough.
    Elapsed,
    /// The deadline passed first.
    Expired,
    /// The job is to be cancelled.
    Cancelled,
    /// A signal came with this.
    Signal(Payload),
    /// A person said yes, with this.
    Approved(Json),
    /// A person said no, with this.
    Rejected(Json),
    /// This child ended.
    Child(u32),
}

/// What becomes of a question about a child: its start, or its being cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextChild {
    /// It is on record, as the child of this number.
    Answer(u32),
    /// The journal has no more: this one is new.
    Live,
    /// The journal has something else here.
    Diverged(Diverged),
}

/// A guest that does not do again what its journal says it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverged {
    /// The entry that the guest did not repeat.
    pub seq: u64,
    /// What the journal has there.
    pub expected: String,
    /// What the guest did.
    pub found: String,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of the journal is {}, but the playbook came with {}", self.seq, self.expected, self.found)
    }
}

/// One question on record, and its answer.
#[derive(Debug)]
enum Move {
    Call {
        seq: u64,
        call: u64,
        step: Option<String>,
        tool: ToolId,
        effect: Effect,
        key: String,
        input: Digest,
        answer: Option<Answer>,
        settled: bool,
    },
    Recorded {
        seq: u64,
        step: Option<String>,
        value: Recorded,
    },
    Wait {
        seq: u64,
        step: Option<String>,
        on: On,
        ended: Option<Ended>,
    },
    Child {
        seq: u64,
        started: ChildStarted,
    },
    CancelChild {
        seq: u64,
        child: u32,
    },
    Check {
        seq: u64,
        checked: Checked,
        settled: bool,
    },
}

/// What a guest asks a child to be.
#[derive(Debug, Clone, Copy)]
pub enum AskedChild<'a> {
    /// Another branch of the same component.
    Branch(&'a str),
    /// Another playbook.
    Playbook(&'a str),
}

impl Cursor {
    /// Over a journal that the fold has accepted, as [`Log::reopen`](super::Log::reopen) gives it.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Cursor {
        let mut cursor = Cursor { moves: VecDeque::new(), next_call: 1 };
        let mut signals = HashMap::new();
        let mut handed: Option<HandedOver> = None;
        for Entry { seq, body, .. } in entries {
            match body {
                Body::Called { call, step, tool, effect, key, input_digest: input, .. } => {
                    cursor.next_call = call + 1;
                    cursor.moves.push_back(Move::Call { seq, call, step, tool, effect, key, input, answer: None, settled: false });
                }
                Body::Returned { answer, .. } => cursor.answered(answer),
                Body::Resolved(resolved) => match handed.take() {
                    Some(handed) => cursor.told(&handed, resolved.decision),
                    None => match resolved.decision {
                        Decision::Happened(output) => cursor.answered(Answer::Output(output)),
                        Decision::Fail(error) => {
                            cursor.answered(Answer::Error(error));
                            cursor.settled();
                        }
                        Decision::Retry => cursor.void_from(resolved.call),
                    },
                },
                Body::Checked(checked) => cursor.moves.push_back(Move::Check { seq, checked, settled: false }),
                Body::HandedOver(standing) => handed = Some(standing),
                Body::Retrying(retrying) => cursor.void_from(retrying.call),
                Body::Reattempted(again) => cursor.void_from(again.from_call),
                Body::Recorded { step, value } => cursor.moves.push_back(Move::Recorded { seq, step, value }),
                // These two are between the host and whoever performs a call; the guest asked for the call alone.
                Body::Waiting(waiting) if matches!(waiting.on, On::External { .. } | On::Pause { .. }) => {}
                Body::Waiting(waiting) => {
                    cursor.moves.push_back(Move::Wait { seq, step: waiting.step, on: waiting.on, ended: None });
                }
                Body::Woken(woken) => {
                    if let Some(Move::Wait { ended: ended @ None, .. }) = cursor.moves.back_mut() {
                        *ended = Some(ending(woken.by, &mut signals));
                    }
                }
                Body::Signalled(signal) => {
                    signals.insert(seq, signal.payload);
                }
                Body::ChildStarted(started) => cursor.moves.push_back(Move::Child { seq, started }),
                Body::ChildCancelled(cancelled) => cursor.moves.push_back(Move::CancelChild { seq, child: cancelled.child }),
                // These are about workers, people and the end; a guest sees none of them.
                Body::Created { .. }
                | Body::Resumed { .. }
                | Body::Uncertain { .. }
                | Body::ChildEnded(_)
                | Body::Paused(_)
                | Body::Parked(_)
                | Body::Continued(_)
                | Body::Drifted(_)
                | Body::CancelRequested(_)
                | Body::Cancelled(_)
                | Body::Completed { .. }
                | Body::Failed { .. } => {}
            }
        }
        cursor
    }

    fn answered(&mut self, given: Answer) {
        if let Some(Move::Call { answer, .. }) = self.moves.back_mut() {
            *answer = Some(given);
        }
    }

    /// A person has seen to what the guest asked last: it is not handed over again.
    fn settled(&mut self) {
        if let Some(Move::Call { settled, .. } | Move::Check { settled, .. }) = self.moves.back_mut() {
            *settled = true;
        }
    }

    /// What a person said of what was handed over to them.
    fn told(&mut self, handed: &HandedOver, decision: Decision) {
        match (handed.at, decision) {
            (_, Decision::Fail(_)) => self.settled(),
            (None, Decision::Happened(output)) => self.answered(Answer::Output(output)),
            (Some(At::After), Decision::Happened(output)) => {
                self.void_checks();
                self.answered(Answer::Output(output));
            }
            (Some(At::Before), _) => self.void_checks(),
            (_, Decision::Retry) => self.void_from(handed.call),
        }
    }

    /// The last checks of one step at one place are judged anew.
    fn void_checks(&mut self) {
        let Some(Move::Check { checked: last, .. }) = self.moves.back() else { return };
        let (step, at) = (last.step.clone(), last.at);
        while matches!(self.moves.back(), Some(Move::Check { checked, .. }) if checked.step == step && checked.at == at) {
            self.moves.pop_back();
        }
    }

    /// From this call on, the guest's questions are asked anew; where it was not made yet, from the checks before it.
    fn void_from(&mut self, call: u64) {
        self.next_call = call;
        if !self.moves.iter().any(|on_record| matches!(on_record, Move::Call { call: made, .. } if *made == call)) {
            return self.void_checks();
        }
        while let Some(last) = self.moves.pop_back() {
            if matches!(last, Move::Call { call: voided, .. } if voided == call) {
                break;
            }
        }
    }

    /// The guest calls `tool` with the input of this digest.
    pub fn next_call(&mut self, step: Option<&str>, tool: &ToolId, input: Digest) -> Next {
        match self.moves.pop_front() {
            None => {
                let call = self.next_call;
                self.next_call += 1;
                Next::Live { call }
            }
            Some(Move::Call { tool: on_record, input: recorded_input, call, effect, key, answer, settled, .. })
                if on_record == *tool && recorded_input == input =>
            {
                match answer {
                    Some(answer) => Next::Answer { call, answer, settled },
                    None => Next::UnderWay { call, key, effect },
                }
            }
            Some(other) => Next::Diverged(self.diverged(other, call_in_words(step, tool, &input))),
        }
    }

    /// The call that was just begun did not come to an end that counts: it is made again under the same number.
    pub fn again(&mut self, call: u64) {
        self.next_call = call + 1;
    }

    /// The guest asks for the time or a random number.
    pub fn next_recorded(&mut self, step: Option<&str>, kind: RecordedKind) -> NextRecorded {
        match self.moves.pop_front() {
            None => NextRecorded::Live,
            Some(Move::Recorded { value, .. }) if value.kind() == kind => NextRecorded::Answer(value),
            Some(other) => NextRecorded::Diverged(self.diverged(other, recorded_in_words(step, kind))),
        }
    }

    /// The guest asks for `check` to be judged.
    pub fn next_check(&mut self, step: Option<&str>, at: At, check: &Json) -> NextCheck {
        match self.moves.pop_front() {
            None => NextCheck::Live,
            Some(Move::Check { checked, settled, .. }) if checked.at == at && checked.check == *check => {
                NextCheck::Answer { checked, settled }
            }
            Some(other) => NextCheck::Diverged(self.diverged(other, check_in_words(step, at, check))),
        }
    }

    /// The guest waits for `on`.
    pub fn next_wait(&mut self, step: Option<&str>, on: &On) -> NextWait {
        match self.moves.pop_front() {
            None => NextWait::Live,
            Some(Move::Wait { on: on_record, ended, .. }) if on_record == *on => ended.map_or(NextWait::Standing, NextWait::Answer),
            Some(other) => NextWait::Diverged(self.diverged(other, wait_in_words(step, on))),
        }
    }

    /// The guest starts a child with the input of this digest.
    pub fn next_child(&mut self, step: Option<&str>, asked: AskedChild<'_>, input: Digest) -> NextChild {
        match self.moves.pop_front() {
            None => NextChild::Live,
            Some(Move::Child { started, .. }) if is_asked(&started, asked) && digest_of(&started.input) == input => {
                NextChild::Answer(started.child)
            }
            Some(other) => NextChild::Diverged(self.diverged(other, asked_in_words(step, asked, &input))),
        }
    }

    /// The guest asks for a child to be cancelled.
    pub fn next_cancel(&mut self, child: u32) -> NextChild {
        match self.moves.pop_front() {
            None => NextChild::Live,
            Some(Move::CancelChild { child: on_record, .. }) if on_record == child => NextChild::Answer(child),
            Some(other) => NextChild::Diverged(self.diverged(other, format!("the wish to cancel child {child}"))),
        }
    }

    /// The guest has ended, with an output or a failure.
    ///
    /// # Errors
    /// Where the journal says that it went on.
    pub fn end(&self) -> Result<(), Diverged> {
        match self.moves.front() {
            None => Ok(()),
            Some(left) => Err(Diverged { seq: left.seq(), expected: left.in_words(), found: "its end".to_owned() }),
        }
    }

    /// True once everything on record has been asked again: from here on, answers are new.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.moves.is_empty()
    }

    /// Questions on record that the guest has not asked again yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.moves.len()
    }

    /// The question stays where it is, so that whatever the guest tries next meets it again.
    fn diverged(&mut self, on_record: Move, found: String) -> Diverged {
        let diverged = Diverged { seq: on_record.seq(), expected: on_record.in_words(), found };
        self.moves.push_front(on_record);
        diverged
    }
}

fn ending(by: Wake, signals: &mut HashMap<u64, Payload>) -> Ended {
    match by {
        Wake::Elapsed => Ended::Elapsed,
        // Waits for who performs a call are none of the guest's; it gets the call's answer.
        Wake::Expired | Wake::Abandoned => Ended::Expired,
        Wake::Cancelled => Ended::Cancelled,
        // The fold accepted it, so the signal stood before it and was taken once.
        Wake::Signal { seq } => Ended::Signal(signals.remove(&seq).expect("a signal is stored before it is taken")),
        Wake::Approved(verdict) => Ended::Approved(verdict.answer),
        Wake::Rejected(verdict) => Ended::Rejected(verdict.answer),
        Wake::Child { child } => Ended::Child(child),
    }
}

fn is_asked(started: &ChildStarted, asked: AskedChild<'_>) -> bool {
    match asked {
        AskedChild::Branch(name) => started.branch.as_deref() == Some(name),
        AskedChild::Playbook(id) => started.branch.is_none() && started.playbook_id.as_str() == id,
    }
}

impl Move {
    fn seq(&self) -> u64 {
        match self {
            Move::Call { seq, .. }
            | Move::Recorded { seq, .. }
            | Move::Wait { seq, .. }
            | Move::Child { seq, .. }
            | Move::CancelChild { seq, .. }
            | Move::Check { seq, .. } => *seq,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Move::Call { step, tool, input, .. } => call_in_words(step.as_deref(), tool, input),
            Move::Recorded { step, value, .. } => recorded_in_words(step.as_deref(), value.kind()),
            Move::Wait { step, on, .. } => wait_in_words(step.as_deref(), on),
            Move::Child { started, .. } => {
                let asked = match &started.branch {
                    Some(branch) => AskedChild::Branch(branch),
                    None => AskedChild::Playbook(started.playbook_id.as_str()),
                };
                asked_in_words(started.step.as_deref(), asked, &digest_of(&started.input))
            }
            Move::CancelChild { child, .. } => format!("the wish to cancel child {child}"),
            Move::Check { checked, .. } => check_in_words(checked.step.as_deref(), checked.at, &checked.check),
        }
    }
}

fn call_in_words(step: Option<&str>, tool: &ToolId, input: &Digest) -> String {
    format!("a call of {tool} with the input of digest {input}{}", at_step(step))
}

fn recorded_in_words(step: Option<&str>, kind: RecordedKind) -> String {
    format!("a question for {kind}{}", at_step(step))
}

fn check_in_words(step: Option<&str>, at: At, check: &Json) -> String {
    format!("a check {} of digest {}{}", at.as_str(), check.digest(), at_step(step))
}

fn wait_in_words(step: Option<&str>, on: &On) -> String {
    format!("a wait for {}{}", on.in_words(), at_step(step))
}

fn asked_in_words(step: Option<&str>, asked: AskedChild<'_>, input: &Digest) -> String {
    let what = match asked {
        AskedChild::Branch(name) => format!("branch {name:?}"),
        AskedChild::Playbook(id) => format!("playbook {id:?}"),
    };
    format!("a child that does {what} with the input of digest {input}{}", at_step(step))
}

fn at_step(step: Option<&str>) -> String {
    step.map(|step| format!(" at step {step:?}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
