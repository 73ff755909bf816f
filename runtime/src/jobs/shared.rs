//! What the scheduler lends to every job that runs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};

use crate::ids::JobId;
use crate::limits;
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::tools::{Grant, Registry};

/// What every running job needs.
pub(super) struct Shared {
    pub store: Store,
    pub sandbox: Sandbox,
    pub tools: Registry,
    /// What the operator granted to all jobs.
    pub grants: Vec<Grant>,
    stopping: AtomicBool,
    /// Wakes those that pause between two steps.
    pub stop: Notify,
    pub slots: Semaphore,
    /// Jobs that this process holds, running or waiting for a slot, with the number of their next entry. The
    /// lock is held for look-ups and inserts only.
    pub held: Mutex<HashMap<JobId, watch::Sender<u64>>>,
}

impl Shared {
    pub(super) fn new(store: Store, sandbox: Sandbox, tools: Registry, grants: Vec<Grant>) -> Self {
        let slots = Semaphore::new(limits::JOBS_RUNNING_MAX);
        Shared { store, sandbox, tools, grants, stopping: AtomicBool::new(false), stop: Notify::new(), slots, held: Mutex::default() }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// From now on no job begins, and each that runs stops between two steps.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.slots.close();
        self.stop.notify_waiters();
    }

    /// Tells those who follow a job that its entries below `next_seq` are on disk.
    pub(super) fn progress(&self, job: JobId, next_seq: u64) {
        if let Some(watcher) = self.held.lock().expect("nobody panics while holding it").get(&job) {
            watcher.send_replace(next_seq);
        }
    }
}

/// How a job is to be run, beyond what its journal says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Time to wait before each call, so that a person can watch.
    pub pace: Option<Duration>,
    /// Let go of the job where the host fails, instead of trying again later: someone stands beside it.
    pub watched: bool,
}
