//! Which job runs when: a bounded number at a time, the rest as `ready` in the store; on start what was
//! running goes on; on shutdown each stops between two steps.
//!
//! One process owns a store for now. Leases will make it several: a job's epoch in its row already fences
//! off whoever held it before.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Target;
use super::drive::drive;
use super::shared::{Manner, Shared};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::{self, Log};
use crate::limits;
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::tools::{Grant, Registry};

/// Runs jobs. Cheap to clone; dropping the last clone stops what runs, to be resumed at the next start.
#[derive(Clone)]
pub struct Scheduler {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Scheduler {
    /// Over `store`; runs nothing yet.
    #[must_use]
    pub fn new(store: Store, sandbox: Sandbox, tools: Registry, grants: Vec<Grant>) -> Self {
        let shared = Shared::new(store, sandbox, tools, grants);
        Scheduler { shared: Arc::new(shared), tasks: Arc::default() }
    }

    /// What the operator granted to all jobs.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.shared.grants
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs a job that was just created.
    pub(super) fn begin(&self, log: Log, target: Target, manner: Manner) {
        self.spawn(log.job_id(), log.state().next_seq(), move |shared| async move {
            drive(&shared, log, Vec::new(), target, manner).await;
        });
    }

    /// # Errors
    /// `too_busy` where as many jobs stand in `ready` as the limit allows, `shutting_down`.
    pub(super) fn room(&self) -> Result<()> {
        if self.shared.is_stopping() {
            return Err(Error::new(Code::ShuttingDown, "the server is stopping; try again when it is back"));
        }
        let held = self.shared.held.lock().expect("nobody panics while holding it").len();
        if held >= limits::JOBS_READY_MAX {
            return Err(Error::new(Code::TooBusy, format!("{held} jobs are waiting to run; at most {}", limits::JOBS_READY_MAX)));
        }
        Ok(())
    }

    /// Takes up a job where it was left.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it has ended, stands as uncertain, or is already running here.
    pub async fn resume(&self, space: &Space, job: JobId, manner: Manner) -> Result<()> {
        let head = journal::head_of(&self.shared.store, space, &job)?.ok_or_else(|| super::no_such_job(&job))?;
        if !matches!(head.status, journal::Status::Ready | journal::Status::Running) {
            return Err(Error::new(
                Code::JobStateConflict,
                format!("job {job} is {}; only a ready or running one can be taken up", head.status),
            ));
        }
        if self.holds(&job) {
            return Err(Error::new(Code::JobStateConflict, format!("job {job} is already running here")));
        }
        let (space, target) = (space.clone(), Target { playbook_id: head.playbook_id, version: head.version });
        self.spawn(job, head.next_seq, move |shared| async move {
            match Log::reopen(&shared.store, &space, job).await {
                Ok((log, entries)) => drive(&shared, log, entries, target, manner).await,
                Err(e) => tracing::error!(%job, "cannot be taken up: {e}"),
            }
        });
        Ok(())
    }

    /// Takes up every job that was ready or running when the last process ended. Returns how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn resume_all(&self) -> Result<usize> {
        let jobs: HashSet<(Space, JobId)> = journal::runnable(&self.shared.store)?.into_iter().collect();
        let mut resumed = 0;
        for (space, job) in jobs {
            match self.resume(&space, job, Manner::default()).await {
                Ok(()) => resumed += 1,
                Err(e) => tracing::error!(%job, "cannot be resumed: {e}"),
            }
        }
        Ok(resumed)
    }

    /// The number of the job's next entry, as it grows; none where the job does not run here.
    #[must_use]
    pub fn follow(&self, job: &JobId) -> Option<watch::Receiver<u64>> {
        self.shared.held.lock().expect("nobody panics while holding it").get(job).map(watch::Sender::subscribe)
    }

    /// True while this process holds the job.
    #[must_use]
    pub fn holds(&self, job: &JobId) -> bool {
        self.shared.held.lock().expect("nobody panics while holding it").contains_key(job)
    }

    /// Lets every job come to the end of its step, and stops. Jobs that are not done go on at the next start.
    pub async fn shut_down(&self) {
        self.shared.stop();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().expect("nobody panics while holding it"));
        let all_done = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::SHUTDOWN_TIME_MAX, all_done).await.is_err() {
            tracing::warn!(left = tasks.len(), "some jobs did not come to the end of a step in time; they go on at the next start");
        }
    }

    fn spawn<F>(&self, job: JobId, next_seq: u64, work: impl FnOnce(Arc<Shared>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let (watcher, _) = watch::channel(next_seq);
        self.shared.held.lock().expect("nobody panics while holding it").insert(job, watcher);
        let held = Held { shared: Arc::clone(&self.shared), job };
        let mut tasks = self.tasks.lock().expect("nobody panics while holding it");
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            // Dropped last, also by a panic or an abort: whoever follows sees the channel close.
            let held = held;
            let shared = Arc::clone(&held.shared);
            let Ok(_slot) = shared.slots.acquire().await else { return };
            work(Arc::clone(&shared)).await;
        });
    }
}

/// This process holds a job for as long as this lives.
struct Held {
    shared: Arc<Shared>,
    job: JobId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.held.lock().expect("nobody panics while holding it").remove(&self.job);
    }
}
