//! How anyone but a job's own worker changes what is in its journal.
//!
//! A job that nobody holds is taken, written and let go of, or run on where it can; one that a worker holds is left mail, which
//! its worker enters at the next chance. Either way it is on disk before the caller is told. It does not know who asks.
//!
//! What must stay true: no word is lost between a worker that lets go and someone who leaves mail at that moment. The one looks
//! for mail after it has let go, the other looks for the worker after it has left the mail; the store orders the two.

use std::sync::Arc;
use std::time::Duration;

use super::compensates;
use super::drive::Take;
use super::lease::is_free;
use super::scheduler::{reopened, run, taken_up};
use super::shared::{Held, Shared};
use crate::contract::{Effect, ErrorKind, ToolError};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::{
    self, Answer, Body, CancelRequested, Cancelled, Cause, Continued, Decision, Entry, Failure, Log, Mail, On, Resolved, State, Status,
    Wake, Woken,
};
use crate::store::{Batch, ClaimKey, CommitError, JobKey, MailKey};
use crate::{clock, limits, metrics};

/// What someone wants entered.
pub(super) enum Word {
    /// May be left as mail.
    Mail(Mail),
    /// Needs the job to stand: made of what the job is at that moment.
    Entries(Make),
    /// Nothing new: look for mail and for what is due.
    Nothing,
}

/// Makes the entries, and what is to be written in one with them; fails where the job is not so that they make sense.
type Make = Box<dyn Fn(&State) -> Result<(Vec<Body>, Batch)> + Send + Sync>;

impl Word {
    pub(super) fn entries(make: impl Fn(&State) -> Result<Vec<Body>> + Send + Sync + 'static) -> Word {
        Word::Entries(Box::new(move |state| Ok((make(state)?, Batch::new()))))
    }
}

/// Enters `word` into the job's journal, or leaves it for the worker that holds the job. The job's status afterwards.
///
/// # Errors
/// `job_not_found`; `job_state_conflict` where the job has ended, or what the entries' maker says; `contended` where the job
/// could not be had for some seconds.
pub(super) async fn steer(shared: &Arc<Shared>, space: &Space, job: JobId, word: Word) -> Result<Status> {
    let deadline = tokio::time::Instant::now() + limits::STEER_TIME_MAX;
    loop {
        // Watched before it is looked at: a release in between is not missed.
        let mut moves = shared.store.watch(&JobKey { space: space.clone(), job_id: job });
        let head = journal::head_of(&shared.store, space, &job)?.ok_or_else(|| super::no_such_job(&job))?;
        let reopens = matches!(word, Word::Entries(_)) && head.status == Status::Failed;
        if head.status.is_final() && !reopens {
            forget_mail(shared, space, job).await?;
            return match word {
                Word::Nothing => Ok(head.status),
                _ => Err(Error::new(Code::JobStateConflict, format!("job {job} is {}; nothing more can happen to it", head.status))),
            };
        }
        if let Word::Entries(make) = &word {
            // What makes no sense now is refused before anybody is disturbed.
            make(&journal::fold(&shared.store, space, &job)?)?;
        }
        let mut held_here = None;
        if is_free(shared, &head)? {
            match shared.hold(job) {
                Some(held) => match enter(shared, space, held, head.worker, &word).await? {
                    Entered::Done(status) => return Ok(status),
                    Entered::Refused(e) => return Err(e),
                    // Whoever was faster has it now, or has let go of it: looked at again.
                    Entered::Taken => {}
                },
                None => held_here = shared.release_of(&job),
            }
        }
        match &word {
            Word::Nothing => return Ok(head.status),
            Word::Mail(mail) => {
                // One that stands is let go of in a moment: then what it makes of the word is known when it is answered.
                if let (Some(held), false) = (&mut held_here, matches!(head.status, Status::Ready | Status::Running)) {
                    let released = async { while held.changed().await.is_ok() {} };
                    if tokio::time::timeout_at(deadline, released).await.is_ok() {
                        continue;
                    }
                }
                leave(shared, space, job, mail.clone()).await?;
                // Whoever held the job may have let go just before the mail was there.
                nudge(shared, space.clone(), job);
                return Ok(head.status);
            }
            Word::Entries(_) => {
                let released = async {
                    match &mut held_here {
                        Some(held) => while held.changed().await.is_ok() {},
                        None => drop(moves.changed().await),
                    }
                };
                if tokio::time::timeout_at(deadline, released).await.is_err() {
                    return Err(Error::new(
                        Code::JobStateConflict,
                        format!("job {job} is {} and under way; this needs it to stand", head.status),
                    ));
                }
            }
        }
    }
}

/// Leaves mail for a job.
///
/// # Errors
/// `too_busy` where more lies there than one job may have.
async fn leave(shared: &Shared, space: &Space, job: JobId, mail: Mail) -> Result<()> {
    let signals = |mail: &(MailKey, Mail)| matches!(mail.1, Mail::Signal(_));
    if matches!(mail, Mail::Signal(_))
        && Mail::of_job(&shared.store, space, &job)?.iter().filter(|mail| signals(mail)).count() >= limits::SIGNALS_UNTAKEN_MAX
    {
        return Err(Error::new(Code::TooBusy, format!("job {job} has {} signals that it has not taken in", limits::SIGNALS_UNTAKEN_MAX)));
    }
    let mut batch = Batch::new();
    mail.leave(&mut batch, space, job);
    shared.store.commit(batch).await.map_err(Error::from)
}

/// A job that has ended takes nothing in any more.
async fn forget_mail(shared: &Shared, space: &Space, job: JobId) -> Result<()> {
    let key = JobKey { space: space.clone(), job_id: job };
    let row = shared.store.get(&key)?;
    if row.as_ref().is_some_and(|row| !journal::Head::decode(row).is_ok_and(|head| head.status.is_final())) {
        return Ok(());
    }
    let left = Mail::of_job(&shared.store, space, &job)?;
    if left.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::new();
    // A failed job that is begun again meanwhile keeps what was left for it.
    batch.expect(&key, row.as_deref());
    left.iter().for_each(|(key, _)| batch.delete(key));
    match shared.store.commit(batch).await {
        Ok(()) | Err(CommitError::Guard) => Ok(()),
        Err(CommitError::Store(e)) => Err(e),
    }
}

/// Looks after a job though nobody waits for it: mail, and what is due.
pub(super) fn nudge(shared: &Arc<Shared>, space: Space, job: JobId) {
    let of = Arc::clone(shared);
    shared.spawn(async move {
        let told = match steer(&of, &space, job, Word::Nothing).await {
            // A child that a crash kept from being made, of a parent that has ended since.
            Err(e) if e.code == Code::JobNotFound => forget_mail(&of, &space, job).await,
            Err(e) if e.code == Code::JobStateConflict => Ok(()),
            told => told.map(drop),
        };
        if let Err(e) = told {
            tracing::error!(%job, "its mail could not be delivered now: {e}");
        }
    });
}

/// This process has let go of a job: what came for it meanwhile, and what it left for others, is delivered.
pub(super) fn after(shared: &Arc<Shared>, space: &Space, job: JobId) {
    if shared.is_stopping() {
        return;
    }
    match Mail::of_job(&shared.store, space, &job) {
        Ok(left) if left.is_empty() => {}
        Ok(_) => nudge(shared, space.clone(), job),
        Err(e) => tracing::error!(%job, "its mail could not be looked for: {e}"),
    }
}

/// What came of entering a word.
enum Entered {
    /// It is on disk.
    Done(Status),
    /// The job is not so that it makes sense.
    Refused(Error),
    /// Another worker has the job.
    Taken,
}

/// Takes a job that is free, enters what there is to enter, and runs it on or lets go of it.
async fn enter(shared: &Arc<Shared>, space: &Space, held: Held, from: Option<u64>, word: &Word) -> Result<Entered> {
    let job = held.job;
    let (mut log, mut entries) = match reopened(shared, space, job, from).await {
        Err(e) if e.code == Code::JobStateConflict => return Ok(Entered::Taken),
        opened => opened?,
    };
    if matches!(log.state().status(), Status::Ready | Status::Running) {
        // Its worker died: this is the next one, and counts as such.
        let attempt = log.state().attempts + 1;
        push(&mut log, &mut entries, Body::Resumed { attempt })?;
    }
    let before = log.state().next_seq();
    let asked = match word {
        Word::Nothing => Ok(()),
        Word::Mail(mail) => enter_mail(shared, &mut log, &mut entries, mail.clone()).await,
        Word::Entries(make) => make(log.state()).and_then(|(bodies, beside)| {
            log.beside(beside);
            bodies.into_iter().try_for_each(|body| push(&mut log, &mut entries, body))
        }),
    };
    if let Err(e) = asked {
        drop(log);
        return put_back(shared, space, held, e).await;
    }
    let taken = match take_mail(shared, &mut log, &mut entries).await {
        Ok(left) => settle(shared, &mut log, &mut entries).map(|()| left),
        Err(e) => Err(e),
    };
    let left = match taken {
        Ok(left) => left,
        // Whatever it was, the job is not left with a worker's number and nobody who runs it.
        Err(e) => {
            drop(log);
            return put_back(shared, space, held, e).await;
        }
    };
    let moved = log.state().next_seq() != before;
    let runs = matches!(log.state().status(), Status::Ready | Status::Running);
    let written = match (moved, runs) {
        (true, _) => log.flush().await,
        (false, true) => Ok(()),
        (false, false) => log.release().await,
    };
    match written {
        Err(e) if e.code == Code::JobStateConflict => {
            let epoch = log.epoch();
            drop(log);
            if journal::head_of(&shared.store, space, &job)?.is_none_or(|head| head.epoch != epoch) {
                return Ok(Entered::Taken);
            }
            // The job is still this worker's: what was to be written beside the entries did not hold.
            let why = Error::new(Code::JobStateConflict, format!("job {job}: what this was about has changed meanwhile"));
            return put_back(shared, space, held, why).await;
        }
        written => written?,
    }
    let status = log.state().status();
    let family = family(log.state());
    let due = log.state().due_ms().is_some();
    let told = log.state().cancel.is_some() || status.is_final();
    if runs {
        run(held, space.clone(), Take::Open(Box::new(log), entries));
    } else {
        drop(held);
        // What the job has no room for is looked at again when it moves on.
        if Mail::of_job(&shared.store, space, &job)?.len() > left {
            nudge(shared, space.clone(), job);
        }
    }
    if status.is_final() {
        shared.forget_manner(&job);
    }
    if told {
        family.into_iter().for_each(|relative| nudge(shared, space.clone(), relative));
    }
    if due {
        shared.timers.notify_one();
    }
    Ok(Entered::Done(status))
}

/// What came of listening.
pub(super) enum Heard {
    /// It may run, and is to be taken so.
    Runs(Take),
    /// It does not run now: it stands, or has ended.
    Stands(Status),
}

/// Enters what was left for a job that waits for its place, and what is due for it.
pub(super) async fn heard(shared: &Arc<Shared>, space: &Space, job: JobId, take: Take) -> Result<Heard> {
    let (mut log, mut entries) = match take {
        Take::Open(log, entries) => (*log, entries),
        Take::From(from) => taken_up(shared, space, job, from).await?,
    };
    take_mail(shared, &mut log, &mut entries).await?;
    settle(shared, &mut log, &mut entries)?;
    if log.state().cancel.is_some() && !log.state().status().is_final() {
        // There is no guest to be told. Where nothing can be undone, or nothing was done, none is needed.
        let did_nothing = log.state().calls.is_empty() && log.state().children.is_empty();
        if did_nothing || !compensates(shared, &log.state().component).await? {
            push(&mut log, &mut entries, Body::Cancelled(Cancelled { failure: None, fuel_used: 0 }))?;
        }
    }
    let status = log.state().status();
    if matches!(status, Status::Ready | Status::Running) {
        return Ok(Heard::Runs(Take::Open(Box::new(log), entries)));
    }
    let family = family(log.state());
    log.flush().await?;
    family.into_iter().for_each(|relative| nudge(shared, space.clone(), relative));
    Ok(Heard::Stands(status))
}

/// Nothing that was asked for is written; what was there before is left as it was found, and runs where it can.
async fn put_back(shared: &Arc<Shared>, space: &Space, held: Held, why: Error) -> Result<Entered> {
    let (mut log, _) = reopened(shared, space, held.job, Some(shared.worker())).await?;
    if matches!(log.state().status(), Status::Ready | Status::Running) {
        run(held, space.clone(), Take::From(Some(shared.worker())));
        return Ok(Entered::Refused(why));
    }
    log.release().await?;
    let job = held.job;
    drop(held);
    after(shared, space, job);
    Ok(Entered::Refused(why))
}

/// Those to whom the end of this job was told.
pub(super) fn family(state: &State) -> Vec<JobId> {
    let children = state.children.iter().filter(|child| child.end.is_none()).map(|child| child.job_id);
    state.parent.iter().map(|parent| parent.job_id).chain(children).collect()
}

pub(super) fn push(log: &mut Log, entries: &mut Vec<Entry>, body: Body) -> Result<()> {
    let kind = body.kind();
    if !log.takes(&body) {
        let status = log.state().status();
        return Err(Error::new(Code::JobStateConflict, format!("job {} is {status}: {kind} cannot come now", log.job_id())));
    }
    entries.push(log.push(body)?);
    Ok(())
}

/// Enters all mail that lies there. How many pieces are left lying, because the job keeps as many signals as it may.
pub(super) async fn take_mail(shared: &Arc<Shared>, log: &mut Log, entries: &mut Vec<Entry>) -> Result<usize> {
    let mut left = 0;
    for (key, mail) in Mail::of_job(&shared.store, log.space(), &log.job_id())? {
        // Its row is there until the next flush; it is entered once.
        if log.has_struck(&key) {
            continue;
        }
        // A job that was in a call for long may find more than may wait for one flush.
        if log.should_flush() {
            log.flush().await?;
        }
        match enter_mail(shared, log, entries, mail).await {
            Ok(()) => log.strike(&key),
            // It came twice, or too late: it is struck out and leaves no entry.
            Err(e) if e.code == Code::JobStateConflict => log.strike(&key),
            Err(e) if matches!(e.code, Code::TooBusy | Code::TooLarge) => left += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(left)
}

async fn enter_mail(shared: &Arc<Shared>, log: &mut Log, entries: &mut Vec<Entry>, mail: Mail) -> Result<()> {
    match mail {
        Mail::Signal(signal) => {
            let known = signal.signal_id.as_ref().is_some_and(|id| log.state().signal_ids.contains_key(id));
            if known {
                return Ok(());
            }
            if log.state().is_full_of_signals() {
                return Err(Error::new(Code::TooBusy, format!("{} signals wait to be taken by the job", limits::SIGNALS_UNTAKEN_MAX)));
            }
            push(log, entries, Body::Signalled(signal))
        }
        Mail::ChildEnded(ended) => push(log, entries, Body::ChildEnded(ended)),
        Mail::Pause(paused) => push(log, entries, Body::Paused(paused)),
        Mail::End(cancel) => {
            if log.state().cancel.is_none() {
                push(log, entries, Body::CancelRequested(cancel))?;
            }
            push(log, entries, Body::Cancelled(Cancelled { failure: None, fuel_used: 0 }))
        }
        Mail::Cancel(cancel) => {
            let by = cancel.by.clone();
            if log.state().cancel.is_some() {
                // Said again, it is no other word.
                return Ok(());
            }
            push(log, entries, Body::CancelRequested(cancel))?;
            {
                // A wait for them ends when they have: what a child did is known then, and can be undone.
                for child in log.state().children.iter().filter(|child| child.end.is_none()).map(|child| child.job_id).collect::<Vec<_>>() {
                    let reason = Some(format!("job {}, which had started it, is to be cancelled", log.job_id()));
                    log.send(child, Mail::Cancel(CancelRequested { by: CancelRequested::BY_PARENT.to_owned(), reason }));
                }
            }
            let status = log.state().status();
            if matches!(status, Status::Ready | Status::Running) {
                // Its worker answers the guest so, at the next chance.
                return Ok(());
            }
            let undoes = compensates(shared, &log.state().component).await?;
            if !undoes {
                return push(log, entries, Body::Cancelled(Cancelled { failure: None, fuel_used: 0 }));
            }
            // The playbook undoes what it did: it is let go on, and told.
            if let Some(uncertain) = log.state().uncertain.clone() {
                let message = "the job was cancelled before it was settled whether this call took effect";
                let error = ToolError::new(ErrorKind::Cancelled, message);
                let decision = Decision::Fail(error);
                push(log, entries, Body::Resolved(Resolved { call: uncertain.call, decision, by: by.clone(), note: None }))?;
            }
            if let Some(standing) = log.state().handed_over.clone() {
                let error = ToolError::new(ErrorKind::Cancelled, "the job was cancelled before anybody had seen to it");
                let decision = Decision::Fail(error);
                push(log, entries, Body::Resolved(Resolved { call: standing.handed.call, decision, by: by.clone(), note: None }))?;
            }
            if matches!(log.state().status(), Status::Paused | Status::Parked) {
                push(log, entries, Body::Continued(Continued { by, budget: journal::Budget::default() }))?;
            }
            Ok(())
        }
    }
}

/// Enters what follows from what is there: a wait that is over, a deadline that has passed.
fn settle(shared: &Shared, log: &mut Log, entries: &mut Vec<Entry>) -> Result<()> {
    let now = clock::now_ms();
    if let Some(most) = log.state().options.timeout_ms
        && !log.state().status().is_final()
        && now >= log.state().created_at_ms.saturating_add(most)
    {
        return push(log, entries, out_of_time(most));
    }
    let Some(wait) = log.state().wait.clone().filter(|_| matches!(log.state().status(), Status::Waiting)) else { return Ok(()) };
    let is_over = wait.until_ms.is_some_and(|until| until <= now);
    let woken = |by| Body::Woken(Woken { wait: wait.wait, by });
    let cancelled = log.state().cancel.is_some();
    match &wait.on {
        On::Children { children } if let Some(child) = log.state().first_ended(children) => {
            push(log, entries, woken(Wake::Child { child }))
        }
        // One that came after the deadline came too late for this wait, whatever the process was doing when it passed.
        On::Signal { name }
            if let Some(untaken) = log.state().untaken(name)
                && wait.until_ms.is_none_or(|until| untaken.at_ms <= until) =>
        {
            let seq = untaken.seq;
            push(log, entries, woken(Wake::Signal { seq }))
        }
        On::External { call } if cancelled || is_over => {
            push(log, entries, woken(if cancelled { Wake::Cancelled } else { Wake::Expired }))?;
            let claim = ClaimKey { space: log.space().clone(), job_id: log.job_id(), call: *call };
            let claimed = shared.store.get(&claim)?.is_some();
            unanswered(log, entries, *call, cancelled, claimed)
        }
        // Its children were told, and say so when they have ended.
        On::Children { .. } => Ok(()),
        _ if cancelled => push(log, entries, woken(Wake::Cancelled)),
        On::Sleep { .. } | On::Pause { .. } if is_over => push(log, entries, woken(Wake::Elapsed)),
        On::Signal { .. } | On::Approval { .. } if is_over => {
            if matches!(wait.on, On::Approval { .. }) {
                metrics::approval_decided("expired");
            }
            push(log, entries, woken(Wake::Expired))
        }
        _ => Ok(()),
    }
}

/// Nobody said what became of a call that someone outside was to perform.
pub(super) fn unanswered(log: &mut Log, entries: &mut Vec<Entry>, call: u64, cancelled: bool, claimed: bool) -> Result<()> {
    let effect = log.state().open_call().map_or(Effect::Once, |row| row.effect);
    let (kind, why) = match (claimed, cancelled) {
        (false, true) => (ErrorKind::Cancelled, "the job is to be cancelled; nobody had taken the call"),
        (false, false) => (ErrorKind::Unavailable, "nobody took the call within the time"),
        (true, true) => (ErrorKind::Cancelled, "the job is to be cancelled, and nobody has said whether the call was performed"),
        (true, false) => (ErrorKind::Timeout, "nobody has said within the time whether the call was performed"),
    };
    if effect == Effect::Once && claimed && !cancelled {
        return push(log, entries, Body::Uncertain { call, reason: why.to_owned() });
    }
    push(log, entries, Body::Returned { call, answer: Answer::Error(ToolError::new(kind, why)) })
}

/// The job's own time is over.
pub(super) fn out_of_time(most_ms: u64) -> Body {
    let message = format!("the job has not ended within {} s", Duration::from_millis(most_ms).as_secs_f64());
    Body::Failed { failure: Failure { step: None, message, detail: None, cause: Cause::Time }, fuel_used: 0 }
}
