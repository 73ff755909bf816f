//! What people and clients ask of a job: signals, cancel, pause, going on, settling, decisions.
//!
//! Each is one word to [`super::steer`]; whether it makes sense is judged on the journal, at the moment at which it is
//! entered. It does not know HTTP.

use super::durable::save;
use super::scheduler::Scheduler;
use super::steer::{Word, steer};
use crate::contract::ToolError;
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, Space};
use crate::journal::{
    self, Body, Budget, CancelRequested, Continued, Decision, Failure, Mail, On, OpenApproval, ParkReason, Paused, Reattempted, Resolved,
    Signalled, State, Status, Verdict, Wake, Woken,
};
use crate::json::Json;
use crate::store::ApprovalKey;
use crate::{clock, limits, metrics};

/// Names one approval: `<job>.<wait>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalId {
    /// The job.
    pub job_id: JobId,
    /// The number of its wait.
    pub wait: u64,
}

impl ApprovalId {
    /// From its text.
    ///
    /// # Errors
    /// `approval_not_found` where it names none.
    pub fn parse(text: &str) -> Result<ApprovalId> {
        let none = || no_such_approval(text);
        let (job, wait) = text.rsplit_once('.').ok_or_else(none)?;
        Ok(ApprovalId { job_id: JobId::parse(job).map_err(|_| none())?, wait: wait.parse().map_err(|_| none())? })
    }
}

impl std::fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.job_id, self.wait)
    }
}

/// What someone says about an uncertain call.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// It took effect, and gave this.
    Happened(Json),
    /// It may be made again.
    Retry,
    /// The guest is told that it failed.
    Fail(ToolError),
}

impl Scheduler {
    /// Stores a signal for a job. Where the job waits for it, it goes on. A second one with the same `signal_id` is the same signal.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where the job has ended and did not have this signal; `too_busy` where too many wait.
    pub async fn signal(
        &self,
        space: &Space,
        job: JobId,
        name: String,
        payload: Json,
        signal_id: Option<String>,
        by: Option<String>,
    ) -> Result<Status> {
        let payload = save(&self.shared.store, payload).await?;
        let known = signal_id.clone();
        if let Some(id) = &signal_id {
            let state = journal::fold(&self.shared.store, space, &job)?;
            let content = journal::signal_content(&name, &payload);
            if state.signal_ids.get(id).is_some_and(|before| *before != content) {
                let what = format!("signal_id {id:?} was used before for a signal with another name or payload");
                return Err(Error::new(Code::IdConflict, what));
            }
        }
        let mail = Mail::Signal(Signalled { name, payload, signal_id, by });
        let told = self.say(space, job, Word::Mail(mail)).await;
        if let (Err(e), Some(id)) = (&told, known)
            && e.code == Code::JobStateConflict
        {
            // It came too late, unless it is one that had come in time.
            let state = journal::fold(&self.shared.store, space, &job)?;
            if state.signal_ids.contains_key(&id) {
                return Ok(state.status());
            }
        }
        if told.is_ok() {
            metrics::signal_stored();
        }
        told
    }

    /// Asks for a job to end. One that runs is told at once, a tool under way is broken off; a playbook that can undo what it did is
    /// given the chance. With `force` it ends at once, whatever it is undoing. Said again, it is no other word.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it has ended.
    pub async fn cancel(&self, space: &Space, job: JobId, by: String, reason: Option<String>, force: bool) -> Result<Status> {
        let request = CancelRequested { by, reason };
        self.say(space, job, Word::Mail(if force { Mail::End(request) } else { Mail::Cancel(request) })).await
    }

    /// Asks for a job to stop at the next step until someone says otherwise.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it has ended.
    pub async fn pause(&self, space: &Space, job: JobId, by: String, reason: Option<String>) -> Result<Status> {
        self.say(space, job, Word::Mail(Mail::Pause(Paused { by, reason }))).await
    }

    /// Lets a paused or parked job go on, with a larger budget where one is given.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it is neither paused nor parked.
    pub async fn go_on(&self, space: &Space, job: JobId, by: String, budget: Budget) -> Result<Status> {
        let make = move |state: &State| match state.status() {
            Status::Paused | Status::Parked => {
                enough(state, budget)?;
                Ok(vec![Body::Continued(Continued { by: by.clone(), budget })])
            }
            status => Err(conflict(format!("job {job} is {status}; only a paused or parked one can go on"))),
        };
        self.say(space, job, Word::entries(make)).await
    }

    /// Looks whether what the job waits for is there by now; then it goes on.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn look(&self, space: &Space, job: JobId) -> Result<Status> {
        self.say(space, job, Word::Nothing).await
    }

    /// Begins a failed or parked job again from the calls that led to it; what was done before is not repeated.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` that says why nothing can be made again.
    pub async fn retry(&self, space: &Space, job: JobId, by: String) -> Result<Status> {
        let make = move |state: &State| {
            let status = state.status();
            if !matches!(status, Status::Failed | Status::Parked) {
                return Err(conflict(format!("job {job} is {status}; only a failed or parked one can be tried again")));
            }
            if state.parent.is_some() && status == Status::Failed {
                return Err(conflict(format!("job {job} is another job's child, which was told of its failure; try that one again")));
            }
            let Some(from_call) = state.again_from() else {
                if status == Status::Parked {
                    // The calls that led to it are to be made again as it is.
                    return Ok(vec![Body::Continued(Continued { by: by.clone(), budget: Budget::default() })]);
                }
                return Err(conflict(format!(
                    "job {job} failed after calls that took effect, and not in one of them: trying it again would come to the same"
                )));
            };
            let failure = state.failure.clone().unwrap_or_else(|| Failure {
                step: None,
                message: state.parked.as_ref().map_or_else(String::new, |parked| parked.message.clone()),
                detail: None,
                cause: journal::Cause::Playbook,
            });
            let tries = state.job_tries + 1;
            Ok(vec![Body::Reattempted(Reattempted { from_call, tries, failure, by: Some(by.clone()) })])
        };
        self.say(space, job, Word::entries(make)).await
    }

    /// Settles an uncertain call, or a step that was handed over. `seq` is the entry of the one or the other, so that nobody
    /// settles another one than they looked at.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where no call is uncertain, or another one is.
    pub async fn resolve(
        &self,
        space: &Space,
        job: JobId,
        seq: u64,
        settlement: Settlement,
        by: String,
        note: Option<String>,
    ) -> Result<Status> {
        let decision = match settlement {
            Settlement::Happened(output) => Decision::Happened(save(&self.shared.store, output).await?),
            Settlement::Retry => Decision::Retry,
            Settlement::Fail(error) => Decision::Fail(error),
        };
        let make = move |state: &State| {
            let standing = state.handed_over.as_ref().map(|standing| (standing.seq, standing.handed.call));
            let open = state.uncertain.as_ref().map(|uncertain| (uncertain.seq, uncertain.call)).or(standing);
            match open {
                None => {
                    let status = state.status();
                    Err(conflict(format!("job {job} is {status}; no call of it is uncertain, and nothing of it is handed over")))
                }
                Some((at, _)) if at != seq && state.uncertain.is_some() => {
                    Err(conflict(format!("the uncertain call of job {job} is that of entry {at}, not of entry {seq}")))
                }
                Some((at, _)) if at != seq => Err(conflict(format!("what job {job} has handed over is entry {at}, not entry {seq}"))),
                Some((_, call)) => {
                    let (decision, by, note) = (decision.clone(), by.clone(), note.clone());
                    Ok(vec![Body::Resolved(Resolved { call, decision, by, note })])
                }
            }
        };
        self.say(space, job, Word::entries(make)).await
    }

    /// Approvals that wait for a person, those of the oldest jobs first, behind `after`.
    ///
    /// # Errors
    /// `data_corrupt`, and what the store says.
    pub fn approvals(&self, space: &Space, after: Option<ApprovalId>, limit: usize) -> Result<Vec<(ApprovalId, OpenApproval)>> {
        let after = after.map(|id| ApprovalKey { space: space.clone(), job_id: id.job_id, wait: id.wait });
        let rows = self.shared.store.scan(&ApprovalKey::of_space(space), after.as_ref(), limit.min(limits::PAGE_ROWS_MAX))?;
        rows.into_iter().map(|(key, row)| Ok((ApprovalId { job_id: key.job_id, wait: key.wait }, read_approval(&row)?))).collect()
    }

    /// One approval that waits for a person.
    ///
    /// # Errors
    /// `approval_not_found` where it does not wait, or no longer.
    pub fn approval(&self, space: &Space, id: ApprovalId) -> Result<OpenApproval> {
        let key = ApprovalKey { space: space.clone(), job_id: id.job_id, wait: id.wait };
        let row = self.shared.store.get(&key)?.ok_or_else(|| no_such_approval(&id.to_string()))?;
        read_approval(&row)
    }

    /// Says yes or no to what `digest` names. The same decision once more is answered as the first time; a different one is refused.
    ///
    /// # Errors
    /// `approval_not_found`; `job_state_conflict` where it was decided otherwise, has expired, or shows something else than `digest`.
    pub async fn decide(&self, space: &Space, id: ApprovalId, yes: bool, digest: Digest, by: String, answer: Json) -> Result<Status> {
        let job = id.job_id;
        let state = match journal::fold(&self.shared.store, space, &job) {
            Err(e) if e.code == Code::JobNotFound => return Err(no_such_approval(&id.to_string())),
            folded => folded?,
        };
        if let Some(decided) = self.decided(space, id)? {
            let same = matches!((&decided, yes), (Wake::Approved(_), true) | (Wake::Rejected(_), false));
            return if same { Ok(state.status()) } else { Err(conflict(format!("approval {id} is decided: {}", in_words(&decided)))) };
        }
        let verdict = Verdict { by, digest, answer };
        let make = move |state: &State| {
            let wait = state.wait.as_ref().filter(|wait| wait.wait == id.wait);
            let Some(On::Approval { digest: shown, .. }) = wait.map(|wait| &wait.on) else {
                return Err(no_such_approval(&id.to_string()));
            };
            if wait.and_then(|wait| wait.until_ms).is_some_and(|until| until <= clock::now_ms()) {
                return Err(conflict(format!("approval {id} has expired")));
            }
            if *shown != digest {
                return Err(conflict(format!("approval {id} shows what has the digest {shown}, not {digest}: look at it again")));
            }
            let by = if yes { Wake::Approved(verdict.clone()) } else { Wake::Rejected(verdict.clone()) };
            Ok(vec![Body::Woken(Woken { wait: id.wait, by })])
        };
        let status = match self.say(space, job, Word::entries(make)).await {
            // Somebody else said so at this moment.
            Err(e) if e.code == Code::ApprovalNotFound => match self.decided(space, id)? {
                Some(Wake::Approved(_)) if yes => return Ok(journal::fold(&self.shared.store, space, &job)?.status()),
                Some(Wake::Rejected(_)) if !yes => return Ok(journal::fold(&self.shared.store, space, &job)?.status()),
                Some(decided) => return Err(conflict(format!("approval {id} is decided: {}", in_words(&decided)))),
                None => return Err(e),
            },
            said => said?,
        };
        metrics::approval_decided(if yes { "approved" } else { "rejected" });
        Ok(status)
    }

    /// What ended this wait, where something has.
    fn decided(&self, space: &Space, id: ApprovalId) -> Result<Option<Wake>> {
        let mut after = None;
        loop {
            let entries = journal::read(&self.shared.store, space, &id.job_id, after, limits::PAGE_ROWS_MAX)?;
            let Some(last) = entries.last() else { return Ok(None) };
            after = Some(last.seq);
            for entry in entries {
                match entry.body {
                    Body::Woken(woken) if woken.wait == id.wait => return Ok(Some(woken.by)),
                    _ => {}
                }
            }
        }
    }

    /// Enters a word in a task of its own: a client that hangs up leaves nothing half done.
    async fn say(&self, space: &Space, job: JobId, word: Word) -> Result<Status> {
        let (scheduler, space) = (self.clone(), space.clone());
        self.finish(Box::pin(async move { steer(&scheduler.shared, &space, job, word).await })).await
    }
}

fn read_approval(row: &[u8]) -> Result<OpenApproval> {
    serde_json::from_slice(row).map_err(|e| Error::stored("the row of an approval", &e))
}

/// A job that is parked for what it used up goes on only with more of it: else it would be parked again at once.
fn enough(state: &State, raised: Budget) -> Result<()> {
    let Some(parked) = state.parked.as_ref().filter(|_| state.paused.is_none()) else { return Ok(()) };
    let (name, given, before) = match parked.reason {
        ParkReason::Fuel => ("fuel", raised.fuel, Some(state.fuel)),
        ParkReason::Calls => ("calls", raised.calls, state.budget.calls),
        ParkReason::Bytes => ("bytes", raised.bytes, state.budget.bytes),
        ParkReason::WallTime => ("wall_ms", raised.wall_ms, state.budget.wall_ms),
        ParkReason::Retries | ParkReason::Poison | ParkReason::Drift => return Ok(()),
    };
    let before = before.unwrap_or_default();
    if given.is_some_and(|given| given > before) {
        return Ok(());
    }
    Err(conflict(format!("the job {}; it goes on with a budget of more {name} than {before}", parked.message)))
}

fn in_words(decided: &Wake) -> String {
    match decided {
        Wake::Approved(verdict) => format!("approved by {}", verdict.by),
        Wake::Rejected(verdict) => format!("rejected by {}", verdict.by),
        Wake::Expired => "it has expired".to_owned(),
        Wake::Cancelled => "its job is to be cancelled".to_owned(),
        _ => "it is over".to_owned(),
    }
}

fn no_such_approval(id: &str) -> Error {
    Error::new(Code::ApprovalNotFound, format!("no approval {id:?} waits; `reprise approvals list` shows those that do"))
}

fn conflict(message: String) -> Error {
    Error::new(Code::JobStateConflict, message)
}
