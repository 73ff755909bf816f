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
        self.finish(async move { scheduler.create(&space, order, manner).await }).await
    }

    async fn create(&self, space: &Space, order: Order, manner: Manner) -> Result<JobId> {
        let store = &self.shared().store;
        let Order { target, component, input, grants, promise } = order;
        let job = JobId::fresh();
        let created = Body::Created {
            playbook_id: target.playbook_id,
            version: target.version,
            component,
            input_digest: input.digest(),
            input: durable::save(store, input).await?,
            grants: grants.iter().map(|g| Json::from(&serde_json::to_value(g).expect("a grant has string keys"))).collect(),
            engine: sandbox::ENGINE_VERSION.to_owned(),
            fuel: limits::JOB_FUEL,
            options: Box::default(),
            parent: None,
            origin: None,
        };
        let row = |(key, asked): &(String, Digest)| {
            let row = Promise { v: 1, job_id: job, asked: *asked };
            (IdempotencyKey { space: space.clone(), key: key.clone() }, serde_json::to_vec(&row).expect("a promise prints"))
        };
        match Log::create(store, space, job, created, promise.as_ref().map(row), 1).await {
            Ok(log) => {
                self.begin(log, manner);
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
        let row = self.shared().store.get(&IdempotencyKey { space: space.clone(), key: key.to_owned() })?;
        let Some(row) = row else { return Ok(None) };
        let promise: Promise =
            serde_json::from_slice(&row).map_err(|e| Error::new(Code::DataCorrupt, format!("the row of idempotency key {key:?}: {e}")))?;
        if promise.asked != *asked {
            return Err(Error::new(Code::IdConflict, format!("idempotency_key {key:?} was used before for another job"))
                .with_details(serde_json::json!({"job_id": promise.job_id, "stored_digest": promise.asked, "sent_digest": asked})));
        }
        match self.resume(space, promise.job_id, manner).await {
            // It runs here, or there is nothing to run.
            Ok(()) | Err(Error { code: Code::JobStateConflict, .. }) => Ok(Some(promise.job_id)),
            Err(e) => Err(e),
        }
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
