//! Jobs: durable executions of playbooks.
//!
//! It starts them, drives them through the sandbox on durable effects, and takes them up again after a crash.
//! It does not know where versions come from, nor HTTP. It must stay true that the journal is the only truth:
//! nothing here is remembered that is not written there, but for which jobs this process holds.

mod drive;
mod durable;
mod scheduler;
mod shared;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use scheduler::Scheduler;
pub use shared::Manner;

use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::journal::{self, Body, CreateError, Head, Log};
use crate::json::Json;
use crate::store::IdempotencyKey;
use crate::tools::Grant;
use crate::{limits, sandbox};

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
    /// What to run.
    pub target: Target,
    /// Its component.
    pub component: Digest,
    /// What to run it with.
    pub input: Json,
    /// Permissions for this job alone.
    pub grants: Vec<Grant>,
    /// The client's name for this request: the same name with the same content is the same job.
    pub idempotency_key: Option<String>,
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
    /// Creates a job and runs it. It is on disk when this returns.
    ///
    /// # Errors
    /// `id_conflict` where the idempotency key was used for something else, `too_busy`, `shutting_down`, what
    /// the store says.
    pub async fn start(&self, space: &Space, order: Order, manner: Manner) -> Result<JobId> {
        self.room()?;
        let store = &self.shared().store;
        let asked = asked(&order);
        let key = order.idempotency_key.clone().map(|key| IdempotencyKey { space: space.clone(), key });
        if let Some(job) = key.as_ref().map(|key| self.promised(key, &asked)).transpose()?.flatten() {
            return Ok(job);
        }
        let job = JobId::fresh();
        let created = Body::Created {
            playbook_id: order.target.playbook_id.clone(),
            version: order.target.version,
            component: order.component,
            input_digest: order.input.digest(),
            input: durable::save(store, order.input.clone()).await?,
            grants: order.grants.iter().map(|g| Json::from(&serde_json::to_value(g).expect("a grant has string keys"))).collect(),
            engine: sandbox::ENGINE_VERSION.to_owned(),
            fuel: limits::JOB_FUEL,
        };
        let promise = serde_json::to_vec(&Promise { v: 1, job_id: job, asked }).expect("a promise prints");
        match Log::create(store, space, job, created, key.clone().map(|key| (key, promise))).await {
            Ok(log) => {
                self.begin(log, order.target, manner);
                Ok(job)
            }
            Err(CreateError::Failed(e)) => Err(e),
            Err(CreateError::KeyTaken) => {
                let key = key.expect("only a key can be taken");
                self.promised(&key, &asked)?
                    .ok_or_else(|| Error::new(Code::Contended, "the idempotency key was taken and freed meanwhile; try again"))
            }
        }
    }

    /// The job that was made under this key before.
    fn promised(&self, key: &IdempotencyKey, asked: &Digest) -> Result<Option<JobId>> {
        let Some(row) = self.shared().store.get(key)? else { return Ok(None) };
        let promise: Promise = serde_json::from_slice(&row)
            .map_err(|e| Error::new(Code::DataCorrupt, format!("the row of idempotency key {:?}: {e}", key.key)))?;
        if promise.asked == *asked {
            return Ok(Some(promise.job_id));
        }
        Err(Error::new(Code::IdConflict, format!("idempotency_key {:?} was used before for another job", key.key))
            .with_details(serde_json::json!({"job_id": promise.job_id, "stored_digest": promise.asked, "sent_digest": asked})))
    }

    /// Waits until the job has ended or stands, at most for `time`. The row as it is then.
    ///
    /// # Errors
    /// `job_not_found`, what the store says.
    pub async fn wait(&self, space: &Space, job: &JobId, time: Duration) -> Result<Head> {
        // Subscribed before the row is read: what happens in between is not missed.
        let mut progress = self.follow(job);
        let deadline = tokio::time::Instant::now() + time.min(Duration::from_millis(limits::WAIT_MS_MAX));
        loop {
            let head = journal::head_of(&self.shared().store, space, job)?.ok_or_else(|| no_such_job(job))?;
            let moving = matches!(head.status, journal::Status::Ready | journal::Status::Running);
            let Some(watcher) = progress.as_mut().filter(|_| moving) else { return Ok(head) };
            match tokio::time::timeout_at(deadline, watcher.changed()).await {
                Err(_) => return Ok(head),
                Ok(Ok(())) => {}
                // The job let go: its last row is on disk.
                Ok(Err(_)) => progress = None,
            }
        }
    }
}

/// What makes two requests the same.
fn asked(order: &Order) -> Digest {
    let grants = serde_json::to_vec(&order.grants).expect("grants print");
    let version = order.target.version.to_be_bytes();
    Digest::of_parts(&[
        order.target.playbook_id.as_str().as_bytes(),
        &version,
        order.component.as_bytes(),
        order.input.as_str().as_bytes(),
        &grants,
    ])
}

/// The grants that a journal holds.
fn own_grants(stored: &[Json]) -> Result<Vec<Grant>> {
    let read = |json: &Json| {
        serde_json::from_str(json.as_str()).map_err(|e| Error::new(Code::DataCorrupt, format!("a grant in the journal: {e}")))
    };
    stored.iter().map(read).collect()
}

fn no_such_job(job: &JobId) -> Error {
    Error::new(Code::JobNotFound, format!("no job {job}; `reprise jobs list` shows what there is"))
}
