//! Which entry may follow what, and what is known once it has: the one table of a job's moves.
//!
//! It is pure. The rule: a move that is not listed in [`State::apply`] is refused and changes nothing.

use super::checked::HandedOver;
use super::checked::Standing;
use super::control::{Continued, Decision, ParkReason, Reattempted, Resolved, Retrying};
use super::entry::{Answer, Body, Cause, Entry, Failure};
use super::state::{CallState, Child, Illegal, LedgerRow, State, UncertainCall, Untaken, Wait, in_words};
use super::status::Status;
use super::waits::{ChildEnd, On, Waiting, Wake, Woken, signal_content};
use crate::contract::{Effect, ErrorKind};
use crate::store::Payload;

impl State {
    /// Takes in the next entry. These are all the moves that there are; "runs" is `ready` or `running`, and every
    /// status but the three last ones is open.
    ///
    /// ```text
    /// runs, no call open          called k+1           k calls so far
    /// runs, call k open           returned k           also while the job waits, or is paused, for the one who performs k
    /// runs, no call open          recorded
    /// runs                        resumed n+1          n attempts so far; an open call stays open
    /// runs, call k open           uncertain k          where it may have changed something
    /// uncertain about k           resolved k           happened, fail: k has its answer; retry: k is to be made
    /// runs, call k open           retrying k           k is to be made
    /// runs, parked, failed        reattempted k        k and all after it failed or only looked: they are to be made
    /// runs, no call open          waiting w+1          w waits so far; for who performs call k: with k open
    /// waiting, paused             woken w              by what the wait is for, its deadline, or a request to cancel
    /// open                        signalled            its sender's name for it is new
    /// runs, no call open          child_started c+1    c children so far
    /// runs, no call open          child_cancelled c
    /// open                        child_ended c        once for each
    /// open, not paused            paused
    /// runs                        parked
    /// paused, parked              continued
    /// runs                        drifted
    /// runs, no call open          checked
    /// runs, no call open          handed_over k        k came to an error, or a check refused its step; nothing since
    /// handed over k               resolved k           happened: k has this answer; fail: it stays as it is; retry: k is to be made
    /// open                        cancel_requested     once
    /// open, asked to be cancelled cancelled            an open call stays as it is: its answer never came
    /// runs, no call open          completed
    /// open                        failed               an open call stays as it is
    /// ```
    ///
    /// # Errors
    /// [`Illegal`] with the entry and what it met; the state is as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        if entry.seq != self.next_seq || !self.takes(&entry.body) {
            return Err(Illegal {
                seq: entry.seq,
                entry: in_words(&entry.body),
                status: Some(self.status()),
                next_seq: self.next_seq,
                open_call: self.open_call().map(|row| row.call),
            });
        }
        self.fruitless = match &entry.body {
            Body::Resumed { .. } => self.fruitless + 1,
            // What others say does not show that the guest came any further.
            body if is_guests(body) => 0,
            Body::Continued(_) | Body::Reattempted(_) => 0,
            _ => self.fruitless,
        };
        if begins(&entry.body) {
            self.attempts = self.attempts.max(1);
        }
        if let Some(step) = step_of(&entry.body)
            && self.step.as_ref().is_none_or(|(before, _)| before != step)
        {
            self.step = Some((step.to_owned(), entry.at_ms));
        }
        self.take(entry);
        self.next_seq = entry.seq + 1;
        self.updated_at_ms = entry.at_ms;
        Ok(())
    }

    /// Whether an entry of this body may come next.
    pub(super) fn takes(&self, body: &Body) -> bool {
        let status = self.status();
        let is_open = !status.is_final();
        let runs = matches!(status, Status::Ready | Status::Running);
        let call_open = self.open_call().map(|row| row.call);
        let between_calls = runs && call_open.is_none();
        match body {
            Body::Created { .. } => false,
            Body::Called { call, .. } => between_calls && *call == self.next_call(),
            Body::Returned { call, .. } => call_open == Some(*call) && (runs || self.waits_for_performer_of(*call)),
            Body::Recorded { .. } | Body::Checked(_) | Body::Completed { .. } => between_calls,
            Body::HandedOver(handed) => between_calls && self.handed_over.is_none() && self.may_be_handed_over(handed),
            Body::Resumed { attempt } => runs && *attempt == self.attempts + 1,
            Body::Uncertain { call, .. } => runs && self.open_call().is_some_and(|row| row.call == *call && !row.effect.touches_nothing()),
            Body::Resolved(resolved) => {
                let uncertain = self.uncertain.as_ref().is_some_and(|uncertain| uncertain.call == resolved.call);
                is_open && (uncertain || self.handed_over.as_ref().is_some_and(|standing| standing.handed.call == resolved.call))
            }
            Body::Retrying(retrying) => runs && call_open == Some(retrying.call),
            Body::Reattempted(Reattempted { from_call, .. }) => {
                (runs || matches!(status, Status::Parked | Status::Failed))
                    && self.again_from().is_some_and(|first| (first..self.next_call().max(first + 1)).contains(from_call))
            }
            Body::Waiting(waiting) => runs && waiting.wait == self.waits + 1 && self.may_wait_for(waiting, call_open),
            Body::Woken(woken) => matches!(status, Status::Waiting | Status::Paused) && self.may_wake(woken),
            Body::Signalled(signal) => {
                is_open && !self.is_full_of_signals() && signal.signal_id.as_ref().is_none_or(|id| !self.signal_ids.contains_key(id))
            }
            Body::ChildStarted(started) => between_calls && started.child as usize == self.children.len() + 1,
            Body::ChildCancelled(cancelled) => between_calls && self.child(cancelled.child).is_some(),
            Body::ChildEnded(ended) => is_open && self.child(ended.child).is_some_and(|child| child.end.is_none()),
            Body::Paused(_) => is_open && status != Status::Paused,
            Body::Parked(_) | Body::Drifted(_) => runs,
            Body::Continued(_) => matches!(status, Status::Paused | Status::Parked),
            Body::CancelRequested(_) => is_open && self.cancel.is_none(),
            Body::Cancelled(_) => is_open && self.cancel.is_some(),
            Body::Failed { .. } => is_open,
        }
    }

    fn waits_for_performer_of(&self, call: u64) -> bool {
        matches!(self.status(), Status::Waiting | Status::Paused) && self.wait.as_ref().is_some_and(|wait| wait.on == On::External { call })
    }

    fn may_wait_for(&self, waiting: &Waiting, call_open: Option<u64>) -> bool {
        match &waiting.on {
            On::External { call } => call_open == Some(*call),
            On::Children { children } => call_open.is_none() && !children.is_empty() && children.iter().all(|c| self.child(*c).is_some()),
            On::Pause { call } => call_open.is_none() && *call == self.next_call(),
            On::Sleep { .. } | On::Signal { .. } | On::Approval { .. } => call_open.is_none(),
        }
    }

    fn may_wake(&self, woken: &Woken) -> bool {
        let Some(wait) = self.wait.as_ref().filter(|wait| wait.wait == woken.wait) else { return false };
        match (&wait.on, &woken.by) {
            (_, Wake::Cancelled) => self.cancel.is_some(),
            (On::Sleep { .. } | On::Pause { .. }, Wake::Elapsed) => true,
            (On::Signal { .. } | On::Approval { .. } | On::External { .. }, Wake::Expired) => wait.until_ms.is_some(),
            (On::External { .. }, Wake::Abandoned) => true,
            (On::Signal { name }, Wake::Signal { seq }) => self.untaken(name).is_some_and(|untaken| untaken.seq == *seq),
            (On::Approval { digest, .. }, Wake::Approved(verdict) | Wake::Rejected(verdict)) => verdict.digest == *digest,
            (On::Children { children }, Wake::Child { child }) => self.first_ended(children) == Some(*child),
            _ => false,
        }
    }

    /// What is known once an entry that may come has come.
    fn take(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Created { .. } | Body::Recorded { .. } => {}
            Body::Drifted(drifted) => drop(self.drifted.insert(drifted.call)),
            Body::Checked(checked) => self.checked(entry.seq, checked),
            Body::HandedOver(handed) => self.handed_over = Some(Standing { seq: entry.seq, handed: handed.clone() }),
            Body::Called { call, step, tool, effect, key, input, .. } => {
                self.refused = None;
                self.bytes += length(input);
                self.calls.push(LedgerRow {
                    call: *call,
                    step: step.clone(),
                    tool: tool.clone(),
                    effect: *effect,
                    key: key.clone(),
                    seq: entry.seq,
                    state: CallState::Intended,
                    doubtful: false,
                });
            }
            Body::Returned { answer, .. } => {
                self.wait = None;
                self.given = None;
                self.answered(answer);
            }
            Body::Resumed { attempt } => self.attempts = *attempt,
            Body::Uncertain { call, reason } => {
                let row = self.last_call();
                row.state = CallState::Uncertain;
                let seq = row.seq;
                self.uncertain = Some(UncertainCall { call: *call, seq, reason: reason.clone() });
            }
            Body::Resolved(Resolved { decision, .. }) if self.handed_over.is_some() => {
                let Some(standing) = self.handed_over.take() else { return };
                if let Some(output) = self.told(&standing.handed, decision) {
                    self.answered(&Answer::Output(output));
                }
            }
            Body::Resolved(Resolved { call, decision, by, .. }) => {
                let reason = self.uncertain.take().map(|uncertain| uncertain.reason).unwrap_or_default();
                match decision {
                    Decision::Happened(output) => {
                        if by != Resolved::BY_RECONCILING {
                            let step = self.last_call().step.clone();
                            self.vouched.get_or_insert(HandedOver { call: *call, step, at: None, why: reason });
                        }
                        self.answered(&Answer::Output(output.clone()));
                    }
                    Decision::Fail(error) => {
                        self.answered(&Answer::Error(error.clone()));
                        self.last_call().doubtful = true;
                    }
                    Decision::Retry => {
                        self.void_from(*call);
                        self.step = None;
                    }
                }
            }
            Body::Retrying(Retrying { call, tries, error, .. }) => {
                let step = self.last_call().step.clone();
                self.setback = Some(Failure { step, message: error.to_string(), detail: None, cause: Cause::Playbook });
                self.void_from(*call);
                self.tries = *tries;
            }
            Body::Reattempted(Reattempted { from_call, tries, failure, .. }) => {
                self.setback = Some(failure.clone());
                self.void_from(*from_call);
                self.refused = None;
                (self.tries, self.job_tries) = (0, *tries);
                // Whoever lets it try again gives the step its time anew.
                self.step = None;
                (self.ended, self.parked, self.failure, self.fuel_used) = (None, None, None, None);
            }
            Body::Waiting(Waiting { wait, step, on, until_ms }) => {
                if !matches!(on, On::Pause { .. } | On::External { .. }) {
                    self.fixed_calls = self.calls.len();
                }
                self.waits = *wait;
                let since_ms = entry.at_ms;
                self.wait = Some(Wait { wait: *wait, seq: entry.seq, since_ms, step: step.clone(), on: on.clone(), until_ms: *until_ms });
            }
            Body::Woken(woken) => {
                self.wait = None;
                if let Wake::Signal { seq } = woken.by {
                    self.signals.retain(|untaken| untaken.seq != seq);
                }
            }
            Body::Signalled(signal) => {
                let content = signal_content(&signal.name, &signal.payload);
                self.signal_ids.extend(signal.signal_id.clone().map(|id| (id, content)));
                self.signals.push(Untaken { seq: entry.seq, at_ms: entry.at_ms, signal: signal.clone() });
            }
            Body::ChildStarted(started) => {
                self.fixed_calls = self.calls.len();
                self.children.push(Child {
                    child: started.child,
                    job_id: started.job_id,
                    branch: started.branch.clone(),
                    playbook_id: started.playbook_id.clone(),
                    version: started.version,
                    component: started.component,
                    input: started.input.clone(),
                    end: None,
                    cancelled: false,
                });
            }
            Body::ChildCancelled(cancelled) => {
                self.fixed_calls = self.calls.len();
                self.child_mut(cancelled.child).cancelled = true;
            }
            Body::ChildEnded(ended) => {
                self.child_mut(ended.child).end = Some(ended.end.clone());
                self.ended_children.push(ended.child);
            }
            Body::Paused(paused) => self.paused = Some(paused.clone()),
            Body::Parked(parked) => {
                self.parked = Some(parked.clone());
                self.given_up += u32::from(parked.gives_up());
                let of_the_playbook = parked.gives_up() && self.given_up_for().is_none_or(Failure::is_of_the_playbook);
                self.failures += u32::from(of_the_playbook);
            }
            Body::Continued(Continued { budget, .. }) => {
                self.drift_accepted |= self.parked.as_ref().is_some_and(|parked| parked.reason == ParkReason::Drift);
                (self.paused, self.parked) = (None, None);
                self.budget = self.budget.raised(*budget);
                self.fuel = self.budget.fuel.unwrap_or(self.fuel);
                self.tries = 0;
                self.step = None;
            }
            Body::CancelRequested(cancel) => self.cancel = Some(cancel.clone()),
            Body::Cancelled(cancelled) => {
                self.failure.clone_from(&cancelled.failure);
                self.end(Status::Cancelled, cancelled.fuel_used);
            }
            Body::Completed { output, fuel_used } => {
                self.output = Some(output.clone());
                self.end(Status::Completed, *fuel_used);
            }
            Body::Failed { failure, fuel_used } => {
                self.failure = Some(failure.clone());
                self.failures += u32::from(failure.is_of_the_playbook());
                self.end(Status::Failed, *fuel_used);
            }
        }
    }

    fn answered(&mut self, answer: &Answer) {
        self.tries = 0;
        let state = match answer {
            Answer::Output(output) => {
                self.bytes += length(output);
                CallState::Returned
            }
            Answer::Error(_) => CallState::Errored,
        };
        let row = self.last_call();
        row.state = state;
        row.doubtful = row.effect == Effect::Once
            && matches!(answer, Answer::Error(error) if matches!(error.kind, ErrorKind::Timeout | ErrorKind::Broken | ErrorKind::Cancelled));
    }

    /// These calls are to be made, under the same numbers and so with the same keys.
    fn void_from(&mut self, call: u64) {
        self.calls.retain(|row| row.call < call);
        self.vouched.take_if(|vouched| vouched.call >= call);
    }

    fn end(&mut self, status: Status, fuel_used: u64) {
        self.ended = Some(status);
        self.fuel_used = Some(fuel_used);
        (self.wait, self.handed_over) = (None, None);
    }

    fn last_call(&mut self) -> &mut LedgerRow {
        self.calls.last_mut().expect("an open call is in the ledger")
    }

    fn child_mut(&mut self, child: u32) -> &mut Child {
        self.children.iter_mut().find(|row| row.child == child).expect("it was looked for before")
    }
}

/// True for what a guest brought about.
fn is_guests(body: &Body) -> bool {
    matches!(
        body,
        Body::Called { .. }
            | Body::Returned { .. }
            | Body::Recorded { .. }
            | Body::Checked(_)
            | Body::HandedOver(_)
            | Body::Retrying(_)
            | Body::Waiting(_)
            | Body::ChildStarted(_)
            | Body::ChildCancelled(_)
    )
}

/// True for what only a worker that drives the guest writes, or what the end of a job is.
fn begins(body: &Body) -> bool {
    !matches!(body, Body::Signalled(_) | Body::ChildEnded(_) | Body::Paused(_) | Body::Continued(_) | Body::CancelRequested(_))
}

fn step_of(body: &Body) -> Option<&str> {
    match body {
        Body::Called { step, .. } | Body::Recorded { step, .. } => step.as_deref(),
        Body::Waiting(waiting) => waiting.step.as_deref(),
        Body::ChildStarted(started) => started.step.as_deref(),
        Body::Checked(checked) => checked.step.as_deref(),
        _ => None,
    }
}

fn length(payload: &Payload) -> u64 {
    match payload {
        Payload::Inline(json) => json.as_str().len() as u64,
        Payload::Blob { bytes, .. } => *bytes,
    }
}

impl ChildEnd {
    /// The snake_case text that is shown.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            ChildEnd::Completed(_) => "completed",
            ChildEnd::Failed(_) => "failed",
            ChildEnd::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
