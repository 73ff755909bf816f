//! One attempt at one job: load the component, run the guest on durable effects, write down how it ended.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::durable::{Durable, save};
use super::shared::{Manner, Shared};
use super::steer::{self, take_mail};
use super::{children, own_grants, trying};
use crate::blocking;
use crate::error::{Code, Error, Result};
use crate::journal::{
    Body, Cancelled, Cause, Cursor, Entry, Failure, Log, On, ParkReason, Parked, Reattempted, Status, Waiting, WhenExhausted,
};
use crate::sandbox::{Ending, Finished, Playbook, Stop};
use crate::store::Payload;
use crate::tools::Grants;
use crate::{clock, limits, metrics};

/// How a job comes into the hands of who runs it.
pub(super) enum Take {
    /// Its journal is open; the entries are those that the guest is answered from.
    Open(Box<Log>, Vec<Entry>),
    /// It is to be taken from this worker, or from nobody.
    From(Option<u64>),
}

/// Runs the job to its end, or to where it has to stand. `entries` are those of earlier attempts.
///
/// # Errors
/// Where the host fails: the disk, the store, a grant that cannot be used now. Then nothing of it is the job's
/// doing: it stays as it was, and another attempt takes it up from there.
pub(super) async fn drive(shared: &Arc<Shared>, mut log: Log, mut entries: Vec<Entry>, manner: Manner) -> Result<Status> {
    // Before the mail is looked for: what comes in between is heard of.
    let mailbox = children::mailbox(shared, log.space(), log.job_id());
    if !entries.is_empty() {
        take_mail(shared, &mut log, &mut entries).await?;
        if !matches!(log.state().status(), Status::Ready | Status::Running) {
            log.flush().await?;
            return Ok(stands(shared, &log));
        }
    }
    children::make_missing(shared, &mut log, &mut entries).await?;
    let state = log.state();
    let (fuel, component, input) = (state.fuel, state.component, state.input.clone());
    let store = shared.store.clone();
    let input = blocking::run(move || store.load(&input)).await?;
    let grants = effective_grants(shared, &log).await.map_err(|e| e.at("a grant of the job cannot be used now"))?;
    if log.state().fruitless > 0 {
        // On disk before the guest runs, and after all that the host could fail at: a guest that ends its worker must show.
        poisoned(&mut log)?;
        log.flush().await?;
        if !matches!(log.state().status(), Status::Ready | Status::Running) {
            return Ok(stands(shared, &log));
        }
    }
    let mut durable = Durable::new(log, Cursor::new(entries), Arc::clone(shared), grants, manner.pace, mailbox);
    #[cfg(test)]
    if let Some(guest) = &shared.guest {
        return concluded(shared, guest(Box::new(durable)).await).await;
    }
    let playbook = match load(shared, component).await {
        Ok(playbook) => playbook,
        Err(e) if matches!(e.code, Code::StoreUnavailable) => return Err(e),
        Err(e) => return finish(shared, &mut durable, failed(None, e.to_string(), Cause::Component), 0).await,
    };
    let finished = shared.sandbox.run(&playbook, &input, Box::new(durable), fuel).await;
    concluded(shared, finished).await
}

/// Writes down how the guest ended.
async fn concluded(shared: &Arc<Shared>, finished: Finished) -> Result<Status> {
    metrics::fuel_used(finished.fuel_used);
    let effects: Box<dyn Any> = finished.effects;
    let mut durable = effects
        .downcast::<Durable>()
        .map_err(|_| Error::new(Code::InternalError, "the sandbox gave back other effects than it was lent"))?;
    let end = match finished.ending {
        Ending::Stopped(Stop::Host(e)) => return Err(e),
        Ending::Stopped(Stop::Stands) => return Ok(stands(shared, &durable.log)),
        ending => ended(shared, &durable, ending).await?,
    };
    finish(shared, &mut durable, end, finished.fuel_used).await
}

/// The job ended, or stands: those who are to hear of it are told.
fn stands(shared: &Arc<Shared>, log: &Log) -> Status {
    let state = log.state();
    let status = state.status();
    if state.due_ms().is_some() {
        shared.timers.notify_one();
    }
    if status.is_final() {
        let seconds = Duration::from_millis(state.updated_at_ms.saturating_sub(state.created_at_ms)).as_secs_f64();
        metrics::job_ended(status.as_str(), seconds);
        steer::family(state).into_iter().for_each(|relative| steer::nudge(shared, log.space().clone(), relative));
    }
    status
}

/// A job that ended its worker each time it was taken up is set aside, so that it does not go on doing so.
fn poisoned(log: &mut Log) -> Result<()> {
    let times = log.state().fruitless;
    if times > limits::FRUITLESS_ATTEMPTS_MAX {
        let message = format!("it was taken up {times} times in a row without coming any further; its worker died or failed each time");
        metrics::job_parked(ParkReason::Poison.as_str());
        log.push(Body::Parked(Parked { reason: ParkReason::Poison, message }))?;
    }
    Ok(())
}

pub(super) enum End {
    Completed(Payload),
    Failed(Failure),
    Parked(Parked),
    /// The playbook failed at a call that may be made again.
    Again(Failure, u64),
}

async fn finish(shared: &Arc<Shared>, durable: &mut Durable, end: End, fuel_used: u64) -> Result<Status> {
    let told = durable.told_of_cancel;
    let log = &mut durable.log;
    let cancelled = log.state().cancel.is_some();
    match end {
        // It had come to its end before it could be told.
        End::Completed(output) if !(cancelled && told) => drop(log.push(Body::Completed { output, fuel_used })?),
        End::Failed(failure) | End::Again(failure, _) if cancelled => {
            log.push(Body::Cancelled(Cancelled { failure: Some(failure), fuel_used }))?;
        }
        End::Completed(_) | End::Parked(_) if cancelled => drop(log.push(Body::Cancelled(Cancelled { failure: None, fuel_used }))?),
        End::Completed(output) => drop(log.push(Body::Completed { output, fuel_used })?),
        End::Failed(failure) => drop(log.push(Body::Failed { failure, fuel_used })?),
        End::Parked(parked) => {
            metrics::job_parked(parked.reason.as_str());
            log.push(Body::Parked(parked))?;
        }
        End::Again(failure, from_call) => again(log, failure, from_call)?,
    }
    durable.flush().await?;
    Ok(stands(shared, &durable.log))
}

/// The calls that led to the failure are made again after a pause, or once someone says so where the tries are used up.
fn again(log: &mut Log, failure: Failure, from_call: u64) -> Result<()> {
    let options = log.state().options.clone();
    let tries = log.state().job_tries + 1;
    let message = format!("failed {tries} times; the last time: {}", failure.message);
    metrics::retried("job");
    log.push(Body::Reattempted(Reattempted { from_call, tries, failure, by: None }))?;
    if tries >= options.job_tries {
        metrics::job_parked(ParkReason::Retries.as_str());
        log.push(Body::Parked(Parked { reason: ParkReason::Retries, message }))?;
        return Ok(());
    }
    let pause = trying::pause_ms(options.first_pause_ms, tries);
    let (wait, step) = (log.state().waits + 1, log.state().step.as_ref().map(|(step, _)| step.clone()));
    let waiting = Waiting { wait, step, on: On::Pause { call: from_call }, until_ms: Some(clock::now_ms() + pause) };
    log.push(Body::Waiting(waiting))?;
    Ok(())
}

fn failed(step: Option<String>, message: String, cause: Cause) -> End {
    End::Failed(Failure { step, message, detail: None, cause })
}

/// What the ending means for the job. A guest that ended too early for its journal is no better than one
/// that did something else.
async fn ended(shared: &Shared, durable: &Durable, ending: Ending) -> Result<End> {
    let step = durable.step().map(str::to_owned);
    if let (Ending::Output(_) | Ending::Failure { .. }, Err(diverged)) = (&ending, durable.end()) {
        return Ok(failed(step, diverged.to_string(), Cause::Nondeterminism));
    }
    Ok(match ending {
        Ending::Output(output) => End::Completed(save(&shared.store, output).await?),
        Ending::Failure { step: named, message, detail } => {
            let state = durable.log.state();
            let cause = state.cause_of(detail.as_ref());
            let failure = Failure { step: named.or(step), message, detail, cause };
            let exhausted = state.job_tries + 1 >= state.options.job_tries;
            match state.again_unasked() {
                Some(from) if state.options.job_tries > 1 && !(exhausted && state.options.when_exhausted == WhenExhausted::Fail) => {
                    End::Again(failure, from)
                }
                _ => End::Failed(failure),
            }
        }
        Ending::Broke(how) => failed(step, how, Cause::Trap),
        Ending::OutOfFuel => {
            let message = format!("used up its fuel of {}; `reprise jobs resume --fuel` lets it go on with more", durable.log.state().fuel);
            End::Parked(Parked { reason: ParkReason::Fuel, message })
        }
        Ending::OverTime(how) => failed(step, how, Cause::Time),
        Ending::OverLimit(how) | Ending::Stopped(Stop::Limit(how)) => failed(step, how, Cause::Limit),
        Ending::Stopped(Stop::Diverged { at, expected, found }) => {
            failed(step, format!("entry {at} of the journal is {expected}, but the playbook came with {found}"), Cause::Nondeterminism)
        }
        Ending::Stopped(Stop::NotSupported(what)) => failed(step, what, Cause::NotSupported),
        Ending::Stopped(stop @ (Stop::Host(_) | Stop::Stands)) => {
            return Err(Error::new(Code::InternalError, format!("{stop:?} is no ending of a job")));
        }
    })
}

pub(super) async fn load(shared: &Arc<Shared>, component: crate::ids::Digest) -> Result<Playbook> {
    if let Some(playbook) = shared.sandbox.ready(&component) {
        return Ok(playbook);
    }
    let shared = Arc::clone(shared);
    blocking::run(move || shared.sandbox.load(&component, |tool| shared.tools.get(tool).is_some(), || shared.store.blobs().get(&component)))
        .await
}

/// What the operator granted to all jobs at the start and in the store, and what was granted to this one. Opened at every attempt, so that a
/// grant that was taken back is gone, and a directory that was made anew is the new one.
async fn effective_grants(shared: &Arc<Shared>, log: &Log) -> Result<Grants> {
    let own = own_grants(&log.state().grants)?;
    let shared = Arc::clone(shared);
    blocking::run(move || {
        let kept = shared.kept.grants()?;
        let in_the_store = |e: Error| Error { message: format!("{}; `reprise grants list` shows what is in the store", e.message), ..e };
        Grants::open(&shared.rules.grants)?.with(&kept).map_err(in_the_store)?.with(&own)
    })
    .await
}
