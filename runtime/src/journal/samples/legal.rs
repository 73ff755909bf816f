//! Journals that a well-behaved worker, and the people and jobs around it, could have left.
//!
//! A model of its own says what may happen and counts what must come of it; it does not ask the fold that it is held against.

use proptest::prelude::*;

use super::super::checked::{Checked, HandedOver};
use super::super::control::*;
use super::super::entry::{Answer, Body, Failure, Recorded};
use super::super::options::{Budget, Mode};
use super::super::status::Status;
use super::super::waits::*;
use super::any::{any_answer, any_called, any_created, any_decision, any_end, any_error, any_failure, any_payload, any_recorded, any_step};
use super::{child_started, on_approval, on_signal, parsed, verdict};
use crate::checks::{self, At};
use crate::contract::{Effect, ToolError};
use crate::store::Payload;

/// What might happen next; which entry that makes, if any, depends on where the job is.
#[derive(Debug, Clone)]
enum Deed {
    Call(Body),
    Answer(Answer),
    Record(Option<String>, Recorded),
    Die,
    GiveUp,
    Resolve(Decision),
    TryAgain(ToolError),
    BeginAgain(Failure),
    Sleep(Option<u64>),
    WaitForSignal(bool, Option<u64>),
    AskForApproval(Option<u64>),
    HandOut(Option<u64>),
    Join(bool),
    PauseBetweenTries,
    WakeUp,
    Expire,
    Decide(bool),
    Signal(bool, Option<String>, Payload),
    StartChild,
    CancelChild,
    ChildEnds(ChildEnd),
    Pause,
    SetAside,
    GoOn(Option<u64>),
    Drift,
    Check(checks::Verdict),
    HandOver,
    AskToCancel,
    Cancel,
    Complete(Payload),
    Fail(Failure),
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let until = || prop::option::of(1_763_632_000_000..1_763_632_900_000u64);
    let id = prop::option::of("[ab]");
    prop_oneof![
        16 => any_called().prop_map(Deed::Call),
        16 => any_answer().prop_map(Deed::Answer),
        4 => (any_step(), any_recorded()).prop_map(|(step, value)| Deed::Record(step, value)),
        3 => Just(Deed::Die),
        2 => Just(Deed::GiveUp),
        2 => any_decision().prop_map(Deed::Resolve),
        2 => any_error().prop_map(Deed::TryAgain),
        2 => any_failure().prop_map(Deed::BeginAgain),
        2 => until().prop_map(Deed::Sleep),
        3 => (any::<bool>(), until()).prop_map(|(which, until)| Deed::WaitForSignal(which, until)),
        2 => until().prop_map(Deed::AskForApproval),
        2 => until().prop_map(Deed::HandOut),
        2 => any::<bool>().prop_map(Deed::Join),
        1 => Just(Deed::PauseBetweenTries),
        8 => Just(Deed::WakeUp),
        2 => Just(Deed::Expire),
        3 => any::<bool>().prop_map(Deed::Decide),
        4 => (any::<bool>(), id, any_payload()).prop_map(|(which, id, payload)| Deed::Signal(which, id, payload)),
        3 => Just(Deed::StartChild),
        1 => Just(Deed::CancelChild),
        3 => any_end().prop_map(Deed::ChildEnds),
        1 => Just(Deed::Pause),
        1 => Just(Deed::SetAside),
        4 => prop::option::of(any::<u64>()).prop_map(Deed::GoOn),
        1 => Just(Deed::Drift),
        3 => prop::sample::select(vec![checks::Verdict::Pass, checks::Verdict::Fail, checks::Verdict::Unknown]).prop_map(Deed::Check),
        3 => Just(Deed::HandOver),
        1 => Just(Deed::AskToCancel),
        2 => Just(Deed::Cancel),
        1 => any_payload().prop_map(Deed::Complete),
        1 => any_failure().prop_map(Deed::Fail),
    ]
}

/// What a journal of [`legal_journal`] must fold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Expected {
    pub(in super::super) status: Status,
    pub(in super::super) calls: usize,
    pub(in super::super) open: Option<u64>,
    pub(in super::super) attempts: u32,
    pub(in super::super) waits: u64,
    /// Signals that no wait has taken.
    pub(in super::super) untaken: usize,
    pub(in super::super) children: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Open,
    Gave,
    Erred,
    Unknown,
}

/// Where the job is, as far as it decides what may happen next.
#[derive(Debug, Default)]
struct Model {
    length: u64,
    calls: Vec<(Effect, Option<String>, Stand)>,
    /// Calls that are never made again, since a wait or a child stands behind them.
    fixed: usize,
    attempts: u32,
    waits: u64,
    wait: Option<(On, Option<u64>)>,
    signals: Vec<(u64, String)>,
    signal_ids: Vec<String>,
    children: Vec<bool>,
    ended_children: Vec<u32>,
    cancel: bool,
    paused: bool,
    parked: bool,
    mode: Mode,
    /// Where the check stands that refused the step.
    refused: Option<At>,
    /// What is handed over: a call's error, or a check.
    handed: Option<Option<At>>,
    ended: Option<Status>,
}

fn name(which: bool) -> &'static str {
    if which { "go" } else { "stop" }
}

impl Model {
    fn last(&self) -> Option<Stand> {
        self.calls.last().map(|call| call.2)
    }

    fn status(&self) -> Status {
        if let Some(ended) = self.ended {
            return ended;
        }
        match (self.paused, self.last() == Some(Stand::Unknown), self.parked, self.wait.is_some() || self.handed.is_some(), self.attempts) {
            (true, ..) => Status::Paused,
            (_, true, ..) => Status::Uncertain,
            (_, _, true, ..) => Status::Parked,
            (_, _, _, true, _) => Status::Waiting,
            (.., 0) => Status::Ready,
            _ => Status::Running,
        }
    }

    fn expected(&self) -> Expected {
        Expected {
            status: self.status(),
            calls: self.calls.len(),
            open: (self.last() == Some(Stand::Open)).then_some(self.calls.len() as u64),
            attempts: self.attempts,
            waits: self.waits,
            untaken: self.signals.len(),
            children: self.children.len(),
        }
    }

    fn settle(&mut self, stand: Stand) {
        self.calls.last_mut().expect("there is a call to settle").2 = stand;
    }

    /// The first of the calls at the end that may all be made again.
    fn again_from(&self) -> Option<usize> {
        let step = &self.calls.last()?.1;
        let may = |call: &(Effect, Option<String>, Stand)| {
            call.1 == *step && call.2 != Stand::Unknown && (call.2 == Stand::Erred || call.0.touches_nothing())
        };
        let stays = self.calls.iter().rposition(|call| !may(call)).map_or(0, |at| at + 1);
        let from = stays.max(self.fixed);
        (from < self.calls.len()).then_some(from)
    }

    fn begin_wait(&mut self, on: On, until_ms: Option<u64>) -> Body {
        if !matches!(on, On::Pause { .. } | On::External { .. }) {
            self.fixed = self.calls.len();
        }
        self.waits += 1;
        self.wait = Some((on.clone(), until_ms));
        Body::Waiting(Waiting { wait: self.waits, step: None, on, until_ms })
    }

    fn end_wait(&mut self, by: Wake) -> Option<Body> {
        self.wait = None;
        Some(Body::Woken(Woken { wait: self.waits, by }))
    }

    /// What ends the wait as it was meant to.
    fn wake(&mut self) -> Option<Body> {
        if !matches!(self.status(), Status::Waiting | Status::Paused) {
            return None;
        }
        match self.wait.clone()?.0 {
            _ if self.cancel => self.end_wait(Wake::Cancelled),
            On::Sleep { .. } | On::Pause { .. } => self.end_wait(Wake::Elapsed),
            On::Signal { name } => {
                let at = self.signals.iter().position(|(_, stored)| *stored == name)?;
                let (seq, _) = self.signals.remove(at);
                self.end_wait(Wake::Signal { seq })
            }
            On::Children { children } => {
                let child = *self.ended_children.iter().find(|child| children.contains(child))?;
                self.end_wait(Wake::Child { child })
            }
            On::Approval { .. } | On::External { .. } => None,
        }
    }

    /// The entry that this deed makes here.
    fn deed(&mut self, deed: Deed) -> Option<Body> {
        let status = self.status();
        let open = !status.is_final();
        let runs = matches!(status, Status::Ready | Status::Running);
        let in_call = self.last() == Some(Stand::Open);
        let between = runs && !in_call;
        let call = self.calls.len() as u64;
        let begun = |model: &mut Self| model.attempts = model.attempts.max(1);
        let body = match deed {
            Deed::Call(Body::Called { step, tool, effect, key, input, input_digest, .. }) if between => {
                self.refused = None;
                self.calls.push((effect, step.clone(), Stand::Open));
                Body::Called { call: call + 1, step, tool, effect, key, input, input_digest }
            }
            Deed::Answer(answer) if in_call && (runs || (status == Status::Waiting)) => {
                self.wait = None;
                self.settle(if matches!(answer, Answer::Output(_)) { Stand::Gave } else { Stand::Erred });
                Body::Returned { call, answer }
            }
            Deed::Record(step, value) if between => Body::Recorded { step, value },
            Deed::Die if runs => {
                self.attempts += 1;
                Body::Resumed { attempt: self.attempts }
            }
            Deed::GiveUp if runs && in_call && self.calls.last()?.0 == Effect::Once => {
                self.settle(Stand::Unknown);
                Body::Uncertain { call, reason: "?".to_owned() }
            }
            Deed::Resolve(decision) if open && self.last() == Some(Stand::Unknown) => {
                match &decision {
                    Decision::Happened(_) => self.settle(Stand::Gave),
                    Decision::Fail(_) => self.settle(Stand::Erred),
                    Decision::Retry => drop(self.calls.pop()),
                }
                Body::Resolved(Resolved { call, decision, by: "ada".to_owned(), note: None })
            }
            Deed::Resolve(decision) if open && self.handed.is_some() => {
                let at = self.handed.take()?;
                let number = if at == Some(At::Before) { call + 1 } else { call };
                if !matches!(decision, Decision::Fail(_)) {
                    self.refused = None;
                }
                match &decision {
                    Decision::Happened(_) if at != Some(At::Before) => self.settle(Stand::Gave),
                    Decision::Retry if at != Some(At::Before) => drop(self.calls.pop()),
                    _ => {}
                }
                Body::Resolved(Resolved { call: number, decision, by: "ada".to_owned(), note: None })
            }
            Deed::Check(verdict) if between => {
                let at = if self.calls.is_empty() { At::Before } else { At::After };
                self.refused = self.mode.refuses(verdict).then_some(at);
                Body::Checked(Checked {
                    step: None,
                    at,
                    check: parsed(r#"{"kind":"always"}"#),
                    verdict,
                    why: "?".to_owned(),
                    accepted: false,
                })
            }
            Deed::HandOver if between => {
                // What a wait or a child stands behind is not given anew.
                let stands = |at: &At| *at == At::Before || self.fixed < self.calls.len();
                let at = self.refused.filter(stands).map(Some).or((self.last() == Some(Stand::Erred)).then_some(None))?;
                self.handed = Some(at);
                let number = if at == Some(At::Before) { call + 1 } else { call };
                Body::HandedOver(HandedOver { call: number, step: None, at, why: "?".to_owned() })
            }
            Deed::TryAgain(error) if runs && in_call => {
                self.calls.pop();
                Body::Retrying(Retrying { call, tries: 1, error, until_ms: 1 })
            }
            Deed::BeginAgain(failure) if runs || matches!(status, Status::Parked | Status::Failed) => {
                let from = self.again_from().or(self.refused.map(|_| self.calls.len()))?;
                self.calls.truncate(from);
                (self.ended, self.parked, self.refused) = (None, false, None);
                Body::Reattempted(Reattempted { from_call: from as u64 + 1, tries: 1, failure, by: None })
            }
            Deed::Sleep(until) if between => self.begin_wait(On::Sleep { ms: 5 }, until),
            Deed::WaitForSignal(which, until) if between => self.begin_wait(on_signal(name(which)), until),
            Deed::AskForApproval(until) if between => self.begin_wait(on_approval(), until),
            Deed::HandOut(until) if runs && in_call => self.begin_wait(On::External { call }, until),
            Deed::Join(all) if between && !self.children.is_empty() => {
                let last = u32::try_from(self.children.len()).expect("a few");
                self.begin_wait(On::Children { children: if all { (1..=last).collect() } else { vec![last] } }, None)
            }
            Deed::PauseBetweenTries if between => self.begin_wait(On::Pause { call: call + 1 }, Some(1)),
            Deed::WakeUp => self.wake()?,
            Deed::Expire if matches!(status, Status::Waiting | Status::Paused) => {
                let (on, until) = self.wait.clone()?;
                until.filter(|_| matches!(on, On::Signal { .. } | On::Approval { .. } | On::External { .. }))?;
                self.end_wait(Wake::Expired)?
            }
            Deed::Decide(yes) if matches!(status, Status::Waiting | Status::Paused) => {
                matches!(self.wait, Some((On::Approval { .. }, _))).then_some(())?;
                self.end_wait(if yes { Wake::Approved(verdict(b"shown")) } else { Wake::Rejected(verdict(b"shown")) })?
            }
            Deed::Signal(which, signal_id, payload) if open => {
                if let Some(id) = &signal_id {
                    (!self.signal_ids.contains(id)).then(|| self.signal_ids.push(id.clone()))?;
                }
                self.signals.push((self.length + 1, name(which).to_owned()));
                Body::Signalled(Signalled { name: name(which).to_owned(), payload, signal_id, by: None })
            }
            Deed::StartChild if between => {
                self.fixed = self.calls.len();
                self.children.push(false);
                child_started(u32::try_from(self.children.len()).expect("a few"))
            }
            Deed::CancelChild if between && !self.children.is_empty() => {
                self.fixed = self.calls.len();
                Body::ChildCancelled(ChildCancelled { child: 1 })
            }
            Deed::ChildEnds(end) if open => {
                // The newest ends first, so that the order of ending is another than that of starting.
                let at = self.children.iter().rposition(|ended| !ended)?;
                self.children[at] = true;
                let child = u32::try_from(at + 1).expect("a few");
                self.ended_children.push(child);
                Body::ChildEnded(ChildEnded { child, end })
            }
            Deed::Pause if open && !self.paused => {
                self.paused = true;
                Body::Paused(Paused { by: "ada".to_owned(), reason: None })
            }
            Deed::SetAside if runs => {
                self.parked = true;
                Body::Parked(Parked { reason: ParkReason::Fuel, message: "no fuel".to_owned() })
            }
            Deed::GoOn(fuel) if matches!(status, Status::Paused | Status::Parked) => {
                (self.paused, self.parked) = (false, false);
                Body::Continued(Continued { by: "ada".to_owned(), budget: Budget { fuel, ..Budget::default() } })
            }
            Deed::Drift if runs => Body::Drifted(Drifted { call, what: "gone".to_owned() }),
            Deed::AskToCancel if open && !self.cancel => {
                self.cancel = true;
                Body::CancelRequested(CancelRequested { by: "ada".to_owned(), reason: None })
            }
            Deed::Cancel if open && self.cancel => {
                (self.ended, self.wait, self.handed) = (Some(Status::Cancelled), None, None);
                Body::Cancelled(Cancelled { failure: None, fuel_used: 3 })
            }
            Deed::Complete(output) if between => {
                self.ended = Some(Status::Completed);
                Body::Completed { output, fuel_used: 1 }
            }
            Deed::Fail(failure) if open => {
                (self.ended, self.wait, self.handed) = (Some(Status::Failed), None, None);
                Body::Failed { failure, fuel_used: 2 }
            }
            _ => return None,
        };
        match body {
            Body::Signalled(_) | Body::ChildEnded(_) | Body::Paused(_) | Body::Continued(_) | Body::CancelRequested(_) => {}
            _ => begun(self),
        }
        Some(body)
    }
}

/// A journal that could have been left, at any point of a job's life.
pub(in super::super) fn legal_journal() -> impl Strategy<Value = (Vec<Body>, Expected)> {
    (any_created(), prop::collection::vec(any_deed(), 0..60)).prop_map(|(created, deeds)| {
        let mode = if let Body::Created { options, .. } = &created { options.mode } else { Mode::Normal };
        let mut bodies = vec![created];
        let mut model = Model { length: 1, mode, ..Model::default() };
        for deed in deeds {
            if let Some(body) = model.deed(deed) {
                bodies.push(body);
                model.length += 1;
            }
        }
        (bodies, model.expected())
    })
}
