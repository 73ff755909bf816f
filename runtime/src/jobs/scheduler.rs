//! Which job runs when: a bounded number at a time, the most urgent first, the rest as `ready` in the store; on start what was
//! running goes on; on shutdown each stops between two steps and is let go of.
//!
//! Several schedulers may share a store: none touches a job that a living worker holds ([`super::lease`]).

use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use super::children;
use super::drive::{Take, drive};
use super::keeper;
use super::shared::{Catalogue, Held, Manner, Rules, Shared, lost};
use super::steer::{self, Heard};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::{self, Entry, Log, Status};
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::tools::Registry;
use crate::{blocking, limits, metrics, spans};
use tracing::Instrument as _;

/// Runs jobs. Cheap to clone; dropping the last clone stops what runs, to be resumed at the next start.
#[derive(Clone)]
pub struct Scheduler {
    pub(super) shared: Arc<Shared>,
    _running: Arc<Running>,
}

/// The tasks hold what they share, and so would each other, for ever: they end with this.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Scheduler {
    /// Over `store`; runs nothing yet.
    #[must_use]
    pub fn new(store: Store, sandbox: Sandbox, tools: Registry, rules: Rules, catalogue: Catalogue) -> Self {
        let shared = Arc::new(Shared::new(store, sandbox, tools, rules, catalogue));
        Scheduler { _running: Arc::new(Running(Arc::clone(&shared))), shared }
    }

    /// Registers this worker and begins to look after what is due, where that has not been done yet.
    ///
    /// # Errors
    /// What the store says.
    pub async fn ready(&self) -> Result<()> {
        self.shared.ready.get_or_try_init(|| keeper::start(&self.shared)).await.copied()
    }

    /// Runs a job that was just created.
    pub(super) fn begin(&self, log: Log, manner: Manner) {
        begin(&self.shared, log, manner);
    }

    /// Runs `work` in a task of the scheduler's own: it comes to its end though nobody waits for it any more.
    ///
    /// # Errors
    /// What `work` fails with; `shutting_down` where it was not let come to its end.
    pub(super) async fn finish<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.ready().await?;
        let (answer, answered) = oneshot::channel();
        self.shared.spawn(async move {
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
        let held = self.shared.held();
        if held >= limits::JOBS_READY_MAX {
            return Err(Error::new(Code::TooBusy, format!("{held} jobs are waiting to run; at most {}", limits::JOBS_READY_MAX)));
        }
        Ok(())
    }

    /// Takes up a job where it was left.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where the job has ended, stands, or is already running.
    pub async fn take_up(&self, space: &Space, job: JobId, manner: Manner) -> Result<()> {
        self.ready().await?;
        let head = journal::head_of(&self.shared.store, space, &job)?.ok_or_else(|| super::no_such_job(&job))?;
        if !matches!(head.status, Status::Ready | Status::Running) {
            return Err(Error::new(
                Code::JobStateConflict,
                format!("job {job} is {}; only a ready or running one can be taken up", head.status),
            ));
        }
        self.shared.set_manner(job, manner);
        if super::lease::is_free(&self.shared, &head)? && take_up(&self.shared, space, job, head.worker) {
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
        self.ready().await?;
        keeper::resume_all(&self.shared).await
    }

    /// From now on this process moves the job whenever it can go on, also where it looks after no others.
    pub fn look_after(&self, job: JobId, manner: Manner) {
        self.shared.set_manner(job, manner);
    }

    /// True while this process holds the job.
    #[must_use]
    pub fn holds(&self, job: &JobId) -> bool {
        self.shared.holds(job)
    }

    /// Lets every job come to the end of its step, and stops. Jobs that are not done go on at the next start.
    pub async fn shut_down(&self) {
        self.shared.stop();
        let mut tasks = std::mem::take(&mut *self.shared.tasks.lock().expect("nobody panics while holding it"));
        let all_done = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::SHUTDOWN_TIME_MAX, all_done).await.is_err() {
            tracing::warn!(left = tasks.len(), "some jobs did not come to the end of a step in time; they go on at the next start");
        }
    }
}

/// Runs a job that was just created.
pub(super) fn begin(shared: &Arc<Shared>, log: Log, manner: Manner) {
    let (job, space) = (log.job_id(), log.space().clone());
    shared.set_manner(job, manner);
    // A job that was just made is held by nobody.
    if let Some(held) = shared.hold(job) {
        run(held, space, Take::Open(Box::new(log), Vec::new()));
    }
}

/// Takes hold of a job that `from` held, if anyone, and runs it in a task of its own; false where this process holds it already.
pub(super) fn take_up(shared: &Arc<Shared>, space: &Space, job: JobId, from: Option<u64>) -> bool {
    match shared.hold(job) {
        None => false,
        Some(held) => {
            run(held, space.clone(), Take::From(from));
            true
        }
    }
}

/// Runs a held job in a task of its own.
pub(super) fn run(held: Held, space: Space, take: Take) {
    let shared = Arc::clone(&held.shared);
    let span = spans::job_attempt(&held.job);
    shared.spawn(
        async move {
            // Dropped last, also by a panic or an abort: whoever waits for the release sees it.
            let held = held;
            let mut lost_lease = held.shared.lost.subscribe();
            tokio::select! {
                () = attempts(&held.shared, &space, held.job, take) => {}
                _ = lost_lease.changed() => tracing::warn!(job = %held.job, "{}", lost().message),
            }
            let (shared, job) = (Arc::clone(&held.shared), held.job);
            drop(held);
            steer::after(&shared, &space, job);
        }
        .instrument(span),
    );
}

/// Attempts the job until it has ended or stands. Where the host fails, the next attempt waits longer each time.
async fn attempts(shared: &Arc<Shared>, space: &Space, job: JobId, mut take: Take) {
    let manner = shared.manner(&job);
    let mut wait = limits::ATTEMPT_WAIT_FIRST;
    loop {
        let ended = attempt(shared, space, job, take).await;
        match ended {
            Ok(None) => return,
            Ok(Some(status)) => {
                if status.is_final() {
                    shared.forget_manner(&job);
                }
                return tracing::info!(%job, "is {status}");
            }
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
        take = Take::From(Some(shared.worker()));
    }
}

/// One attempt, once there is a place for it; none where this process is stopping, or the job is another's or at its end by then.
async fn attempt(shared: &Arc<Shared>, space: &Space, job: JobId, take: Take) -> Result<Option<Status>> {
    let (priority, playbook) = match &take {
        Take::Open(log, _) => (log.state().options.priority, log.state().playbook_id.clone()),
        Take::From(_) => {
            let head = journal::head_of(&shared.store, space, &job)?.ok_or_else(|| super::no_such_job(&job))?;
            (head.priority, head.playbook_id)
        }
    };
    let place = async {
        let gate = shared.playbook_gates.enter(playbook.as_str()).await;
        shared.slots.acquire(priority).await.map(|slot| (gate, slot))
    };
    let mut place = std::pin::pin!(place);
    let mut take = take;
    let mut rings = shared.release_of(&job);
    let mut mailbox = children::mailbox(shared, space, job);
    let _place = loop {
        let rung = async {
            match &mut rings {
                Some(rings) => drop(rings.changed().await),
                None => std::future::pending().await,
            }
        };
        let is_due = tokio::select! {
            biased;
            got = &mut place => match got {
                Some(place) => break place,
                None => return Ok(None),
            },
            _ = mailbox.changed() => false,
            () = rung => true,
        };
        // What is said to a job that waits for its place, or is due for it, needs none.
        let is_cancelled = matches!(&take, Take::Open(log, _) if log.state().cancel.is_some());
        if is_due || is_cancelled || !journal::Mail::of_job(&shared.store, space, &job)?.is_empty() {
            match steer::heard(shared, space, job, take).await? {
                Heard::Stands(status) => return Ok(Some(status)),
                Heard::Runs(open) => take = open,
            }
        }
    };
    let (log, entries) = match take {
        Take::Open(log, entries) => (*log, Some(entries).filter(|entries| !entries.is_empty())),
        Take::From(from) => {
            let (log, entries) = match taken_up(shared, space, job, from).await {
                Ok(opened) => opened,
                // Whoever had it by the time that it was this one's turn has seen to it.
                Err(e) if e.code == Code::JobStateConflict => {
                    tracing::debug!(%job, "not taken up: {e}");
                    return Ok(None);
                }
                Err(e) => return Err(e),
            };
            (log, Some(entries))
        }
    };
    drive(shared, log, entries.unwrap_or_default(), shared.manner(&job)).await.map(Some)
}

/// A job that another attempt had, which this one goes on with.
pub(super) async fn taken_up(shared: &Arc<Shared>, space: &Space, job: JobId, from: Option<u64>) -> Result<(Log, Vec<Entry>)> {
    let (mut log, mut entries) = reopened(shared, space, job, from).await?;
    let attempt = log.state().attempts + 1;
    entries.push(log.push(journal::Body::Resumed { attempt })?);
    metrics::retried("attempt");
    Ok((log, entries))
}

/// True for what another attempt in this process may not meet again.
fn may_pass(code: Code) -> bool {
    !matches!(code, Code::StorePoisoned | Code::DataCorrupt | Code::JobStateConflict | Code::JobNotFound)
}

/// A journal may have megabytes to read and check.
pub(super) async fn reopened(shared: &Arc<Shared>, space: &Space, job: JobId, from: Option<u64>) -> Result<(Log, Vec<Entry>)> {
    let (store, space, runtime) = (shared.store.clone(), space.clone(), tokio::runtime::Handle::current());
    let worker = shared.worker();
    let (log, entries) = blocking::run(move || runtime.block_on(Log::reopen(&store, &space, job, worker, from))).await?;
    Ok((log.witnessed(shared.rules.at_end.clone()), entries))
}
