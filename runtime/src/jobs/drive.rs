//! One attempt at one job: load the component, run the guest on durable effects, write down how it ended.

use std::any::Any;
use std::sync::Arc;

use super::durable::{Durable, save};
use super::own_grants;
use super::shared::{Manner, Shared};
use crate::blocking;
use crate::error::{Code, Error, Result};
use crate::journal::{Body, Cause, Cursor, Entry, Failure, Log, Status};
use crate::sandbox::{Ending, Playbook, Stop};
use crate::tools::Grants;

/// Runs the job to its end, or to where it has to stand. `entries` are those of earlier attempts.
///
/// # Errors
/// Where the host fails: the disk, the store, a grant that cannot be used now. Then nothing of it is the job's
/// doing: it stays as it was, and another attempt takes it up from there.
pub(super) async fn drive(shared: &Arc<Shared>, mut log: Log, entries: Vec<Entry>, manner: Manner) -> Result<Status> {
    let resumed = !entries.is_empty();
    let state = log.state();
    let (fuel, component, input) = (state.fuel, state.component, state.input.clone());
    if resumed {
        let attempt = state.attempts + 1;
        log.push(Body::Resumed { attempt })?;
    }
    let store = shared.store.clone();
    let input = blocking::run(move || store.load(&input)).await?;
    let grants = effective_grants(shared, &log).await.map_err(|e| e.at("a grant of the job cannot be used now"))?;
    let mut durable = Durable::new(log, Cursor::new(entries), Arc::clone(shared), grants, manner.pace);
    let playbook = match load(shared, component).await {
        Ok(playbook) => playbook,
        Err(e) if matches!(e.code, Code::StoreUnavailable) => return Err(e),
        Err(e) => return finish(&mut durable, failed(None, e.to_string(), Cause::Component), 0).await,
    };
    let finished = shared.sandbox.run(&playbook, &input, Box::new(durable), fuel).await;
    let effects: Box<dyn Any> = finished.effects;
    let mut durable = effects
        .downcast::<Durable>()
        .map_err(|_| Error::new(Code::InternalError, "the sandbox gave back other effects than it was lent"))?;
    let body = match finished.ending {
        Ending::Stopped(Stop::Host(e)) => return Err(e),
        Ending::Stopped(Stop::Stands) => return Ok(Status::Uncertain),
        ending => ended(shared, &durable, ending).await?,
    };
    finish(&mut durable, body, finished.fuel_used).await
}

enum End {
    Completed(crate::store::Payload),
    Failed(Failure),
}

async fn finish(durable: &mut Durable, end: End, fuel_used: u64) -> Result<Status> {
    durable.log.push(match end {
        End::Completed(output) => Body::Completed { output, fuel_used },
        End::Failed(failure) => Body::Failed { failure, fuel_used },
    })?;
    durable.flush().await?;
    Ok(durable.log.state().status())
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
            End::Failed(Failure { step: named.or(step), message, detail, cause: Cause::Playbook })
        }
        Ending::Broke(how) => failed(step, how, Cause::Trap),
        Ending::OutOfFuel => failed(step, format!("used up its fuel of {}", durable.log.state().fuel), Cause::Fuel),
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

async fn load(shared: &Arc<Shared>, component: crate::ids::Digest) -> Result<Playbook> {
    if let Some(playbook) = shared.sandbox.ready(&component) {
        return Ok(playbook);
    }
    let shared = Arc::clone(shared);
    blocking::run(move || shared.sandbox.load(&component, |tool| shared.tools.get(tool).is_some(), || shared.store.blobs().get(&component)))
        .await
}

/// What the operator granted to all jobs, and what was granted to this one. Opened at every attempt, so that a
/// grant that was taken back is gone, and a directory that was made anew is the new one.
async fn effective_grants(shared: &Arc<Shared>, log: &Log) -> Result<Grants> {
    let own = own_grants(&log.state().grants)?;
    let shared = Arc::clone(shared);
    blocking::run(move || Grants::open(&shared.grants)?.with(&own)).await
}
