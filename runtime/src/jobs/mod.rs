//! Jobs: durable executions of playbooks.
//!
//! It starts them, drives them through the sandbox on durable effects, and takes them up again after a crash.
//! It does not know where versions come from, nor HTTP. It must stay true that the journal is the only truth:
//! nothing here is remembered that is not written there, but for which jobs this process holds.

mod attending;
mod calling;
mod checking;
mod children;
mod control;
mod drive;
mod durable;
mod external;
mod keeper;
mod lease;
mod scheduler;
mod shared;
mod slots;
mod steer;
mod trying;
mod waiting;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use attending::Round;
pub use control::{ApprovalId, Settlement};
pub use external::{CallId, Claimed, WaitingCall};
pub use scheduler::Scheduler;
pub use shared::{Catalogue, Manner, Rules};

use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::journal::{self, Body, CreateError, Head, Log, On, Options, Status};
use crate::json::Json;
use crate::store::{IdempotencyKey, JobKey, Store};
use crate::tools::Grant;
use crate::{limits, metrics, sandbox};

/// The playbook version that a job runs.
#[derive(Debug, Clone)]
pub struct Target {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// Its version.
    pub version: u32,
}

/// What is asked for when a job is started; everything is checked already.
#[derive(Debug, Clone)]
pub struct Order {
    /// The id that the job gets: a new one.
    pub job_id: JobId,
    /// What to run.
    pub target: Target,
    /// Its component.
    pub component: Digest,
    /// What to run it with.
    pub input: Json,
    /// Permissions for this job alone.
    pub grants: Vec<Grant>,
    /// How it is to be run.
    pub options: Options,
    /// Where its plan came from, where it was made for this job.
    pub origin: Option<Json>,
    /// The client's name for this request, and the digest of what it asked for: the same name with the same
    /// content is the same job.
    pub promise: Option<(String, Digest)>,
}

/// The row behind an idempotency key.
#[derive(Serialize, Deserialize)]
struct Promise {
    v: u8,
    job_id: JobId,
    /// Digest of what was asked for.
    asked: Digest,
}

impl Scheduler {
    /// Creates a job and runs it. It is on disk when this returns; and where nobody waits for that any more, it is
    /// made and run all the same.
    ///
    /// # Errors
    /// `id_conflict` where the idempotency key was used for something else, `too_busy`, `shutting_down`, what
    /// the store says.
    pub async fn start(&self, space: &Space, order: Order, manner: Manner) -> Result<JobId> {
        self.room()?;
        let (scheduler, space) = (self.clone(), space.clone());
        self.finish(Box::pin(async move { scheduler.create(&space, order, manner).await })).await
    }

    async fn create(&self, space: &Space, order: Order, manner: Manner) -> Result<JobId> {
        let store = &self.shared.store;
        let Order { job_id: job, target, component, input, grants, options, origin, promise } = order;
        let created = Body::Created {
            playbook_id: target.playbook_id,
            version: target.version,
            component,
            input_digest: input.digest(),
            input: durable::save(store, input).await?,
            grants: grants.iter().map(|g| Json::from(&serde_json::to_value(g).expect("a grant has string keys"))).collect(),
            engine: sandbox::ENGINE_VERSION.to_owned(),
            fuel: options.budget.fuel.unwrap_or(limits::JOB_FUEL),
            options: Box::new(options),
            parent: None,
            origin,
        };
        let row = |(key, asked): &(String, Digest)| {
            let row = Promise { v: 1, job_id: job, asked: *asked };
            (IdempotencyKey { space: space.clone(), key: key.clone() }, serde_json::to_vec(&row).expect("a promise prints"))
        };
        match Log::create(store, space, job, created, promise.as_ref().map(row), self.shared.worker()).await {
            Ok(log) => {
                metrics::job_started();
                self.begin(log.witnessed(self.shared.rules.at_end.clone()), manner);
                Ok(job)
            }
            Err(CreateError::Failed(e)) => Err(e),
            Err(CreateError::KeyTaken) => {
                let (key, asked) = promise.expect("only a key can be taken");
                let first = self.promised(space, &key, &asked, manner).await?;
                first.ok_or_else(|| Error::new(Code::Contended, "the idempotency key was taken and freed meanwhile; try again"))
            }
        }
    }

    /// The job that was made under this key before. Should nobody run it, though it could run, it is taken up.
    ///
    /// # Errors
    /// `id_conflict` where the key was used for something else.
    pub async fn promised(&self, space: &Space, key: &str, asked: &Digest, manner: Manner) -> Result<Option<JobId>> {
        let row = self.shared.store.get(&IdempotencyKey { space: space.clone(), key: key.to_owned() })?;
        let Some(row) = row else { return Ok(None) };
        let promise: Promise =
            serde_json::from_slice(&row).map_err(|e| Error::stored(format!("the row of idempotency key {key:?}"), &e))?;
        if promise.asked != *asked {
            return Err(Error::new(Code::IdConflict, format!("idempotency_key {key:?} was used before for another job"))
                .with_details(serde_json::json!({"job_id": promise.job_id, "stored_digest": promise.asked, "sent_digest": asked})));
        }
        match self.take_up(space, promise.job_id, manner).await {
            // It runs here, or there is nothing to run.
            Ok(()) | Err(Error { code: Code::JobStateConflict, .. }) => Ok(Some(promise.job_id)),
            Err(e) => Err(e),
        }
    }

    /// Waits until the job has ended, or stands until somebody says something, at most for `time`. The row as it is then.
    ///
    /// # Errors
    /// `job_not_found`, what the store says.
    pub async fn wait(&self, space: &Space, job: &JobId, time: Duration) -> Result<Head> {
        // Watched before the row is read: what happens in between is not missed.
        let mut moves = self.shared.store.watch(&JobKey { space: space.clone(), job_id: *job });
        let deadline = tokio::time::Instant::now() + time.min(Duration::from_millis(limits::WAIT_MS_MAX));
        loop {
            let head = journal::head_of(&self.shared.store, space, job)?.ok_or_else(|| no_such_job(job))?;
            let moves_by_itself = match head.status {
                Status::Ready | Status::Running => true,
                Status::Waiting => !waits_for_someone(&self.shared.store, space, job)?,
                _ => false,
            };
            if !moves_by_itself {
                return Ok(head);
            }
            if tokio::time::timeout_at(deadline, moves.changed()).await.is_err() {
                return Ok(head);
            }
        }
    }
}

/// True where the job goes on only once somebody outside says something, to it or to each of the children that it waits for;
/// otherwise time or another job will move it, or it has ended.
///
/// # Errors
/// `job_not_found`, and what the store says.
pub fn waits_for_someone(store: &Store, space: &Space, job: &JobId) -> Result<bool> {
    let state = journal::fold(store, space, job)?;
    match (state.status(), state.wait.as_ref().map(|wait| &wait.on)) {
        (Status::Paused | Status::Parked | Status::Uncertain, _) => Ok(true),
        (Status::Waiting, _) if state.handed_over.is_some() => Ok(true),
        (Status::Waiting, Some(On::Signal { .. } | On::Approval { .. } | On::External { .. })) => Ok(true),
        (Status::Waiting, Some(On::Children { children })) => {
            let awaited = state.children.iter().filter(|child| children.contains(&child.child) && child.end.is_none());
            for child in awaited {
                // One that a crash kept from being made will be, and then moves.
                let made = journal::head_of(store, space, &child.job_id)?.is_some();
                if !made || !waits_for_someone(store, space, &child.job_id)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether a component can undo what it did, and so is to be told of a request to cancel. One that cannot be loaded any more
/// can do nothing.
///
/// # Errors
/// Where it cannot be loaded just now: that says nothing about the component.
async fn compensates(shared: &Arc<shared::Shared>, component: &Digest) -> Result<bool> {
    match drive::load(shared, *component).await {
        Ok(playbook) => Ok(playbook.imports().flow.iter().any(|function| function == "compensate")),
        Err(e) if matches!(e.code, Code::StoreUnavailable | Code::StorePoisoned | Code::TooBusy) => Err(e),
        Err(_) => Ok(false),
    }
}

/// The grants that a journal holds.
fn own_grants(stored: &[Json]) -> Result<Vec<Grant>> {
    let read = |json: &Json| serde_json::from_str(json.as_str()).map_err(|e| Error::stored("a grant in the journal", &e));
    stored.iter().map(read).collect()
}

fn no_such_job(job: &JobId) -> Error {
    Error::new(Code::JobNotFound, format!("no job {job}; `reprise jobs list` shows what there is"))
}
