//! Which job runs when: a bounded number at a time, the rest as `ready` in the store; on start what was
//! running goes on; on shutdown each stops between two steps.
//!
//! One process owns a store for now. Leases will make it several: a job's epoch in its row already fences
//! off whoever held it before.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::drive::drive;
use super::shared::{Manner, Shared};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::{self, Log};
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::tools::{Grant, Registry};
use crate::{blocking, limits};

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
    pub(super) fn begin(&self, log: Log, manner: Manner) {
        let (job, space, next_seq) = (log.job_id(), log.space().clone(), log.state().next_seq());
        // A job that was just made is held by nobody.
        let _ = self.hold(job, space, next_seq, Some(log), manner);
    }

    /// Runs `work` in a task of the scheduler's own: it comes to its end though nobody waits for it any more.
    ///
    /// # Errors
    /// What `work` fails with; `shutting_down` where it was not let come to its end.
    pub(super) async fn finish<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.tasks.lock().expect("nobody panics while holding it").spawn(async move {
            // Nobody may wait any more.
            let _ = answer.send(work.await);
        });
        answered.await.unwrap_or_else(|_| Err(Error::new(Code::ShuttingDown, "the server stopped; ask again when it is back")))
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
        if self.hold(job, space.clone(), head.next_seq, None, manner) {
            Ok(())
        } else {
            Err(Error::new(Code::JobStateConflict, format!("job {job} is already running here")))
        }
    }

    /// Takes up every job that was ready or running when the last process ended. Returns how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn resume_all(&self) -> Result<usize> {
        let mut resumed = 0;
        // In their order: what was under way before what was only accepted.
        for (space, job) in journal::runnable(&self.shared.store)? {
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

    /// Takes hold of a job and runs it in a task of its own; false where this process holds it already.
    fn hold(&self, job: JobId, space: Space, next_seq: u64, log: Option<Log>, manner: Manner) -> bool {
        match self.shared.held.lock().expect("nobody panics while holding it").entry(job) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(place) => place.insert(watch::channel(next_seq).0),
        };
        let held = Held { shared: Arc::clone(&self.shared), job };
        let mut tasks = self.tasks.lock().expect("nobody panics while holding it");
        while let Some(ended) = tasks.try_join_next() {
            if let Err(e) = ended
                && e.is_panic()
            {
                tracing::error!("a job's task panicked; the job goes on at the next start: {e}");
            }
        }
        tasks.spawn(async move {
            // Dropped last, also by a panic or an abort: whoever follows sees the channel close.
            let held = held;
            attempts(&held.shared, &space, job, log, manner).await;
        });
        true
    }
}

/// Attempts the job until it has ended or stands. Where the host fails, the next attempt waits longer each time.
async fn attempts(shared: &Arc<Shared>, space: &Space, job: JobId, mut log: Option<Log>, manner: Manner) {
    let mut wait = limits::ATTEMPT_WAIT_FIRST;
    loop {
        let Ok(slot) = shared.slots.acquire().await else { return };
        let ended = match log.take() {
            Some(log) => drive(shared, log, Vec::new(), manner).await,
            None => match reopened(shared, space, job).await {
                Ok((log, entries)) => drive(shared, log, entries, manner).await,
                Err(e) => Err(e),
            },
        };
        drop(slot);
        match ended {
            Ok(status) => return tracing::info!(%job, "is {status}"),
            Err(e) if e.code == Code::ShuttingDown => return tracing::info!(%job, "stopped between two steps; goes on at the next start"),
            Err(e) if manner.watched || !may_pass(e.code) => {
                return tracing::error!(%job, "interrupted by the host; goes on at the next start: {e}");
            }
            Err(e) => tracing::error!(%job, wait_s = wait.as_secs(), "interrupted by the host; tried again: {e}"),
        }
        let mut told_to_stop = std::pin::pin!(shared.stop.notified());
        told_to_stop.as_mut().enable();
        if shared.is_stopping() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = told_to_stop => return,
        }
        wait = (wait * 2).min(limits::ATTEMPT_WAIT_MAX);
    }
}

/// True for what another attempt in this process may not meet again.
fn may_pass(code: Code) -> bool {
    !matches!(code, Code::StorePoisoned | Code::DataCorrupt | Code::JobStateConflict | Code::JobNotFound)
}

/// A journal may have megabytes to read and check.
async fn reopened(shared: &Arc<Shared>, space: &Space, job: JobId) -> Result<(Log, Vec<journal::Entry>)> {
    let (store, space, runtime) = (shared.store.clone(), space.clone(), tokio::runtime::Handle::current());
    blocking::run(move || runtime.block_on(Log::reopen(&store, &space, job, 1, None))).await
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
