//! What the scheduler lends to every job that runs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::ids::JobId;
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
    pub stopping: AtomicBool,
    pub slots: Semaphore,
    /// Jobs that this process holds, running or waiting for a slot, with the number of their next entry. The
    /// lock is held for look-ups and inserts only.
    pub held: Mutex<HashMap<JobId, watch::Sender<u64>>>,
}

impl Shared {
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
}
