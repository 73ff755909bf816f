//! What the scheduler lends to every job that runs, and which jobs this process holds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::Target;
use super::slots::{Gates, Slots};
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::journal::AtEnd;
use crate::limits;
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::tools::grants::Kept;
use crate::tools::{Grant, Registry};

/// Finds the active version of a playbook, and its component.
pub type Catalogue = Arc<dyn Fn(&Space, &PlaybookId) -> Result<(Target, Digest)> + Send + Sync>;

/// What an operator settled for all jobs.
#[derive(Clone)]
pub struct Rules {
    /// What is granted to all jobs from the start of this process on; more is in the store.
    pub grants: Vec<Grant>,
    /// Time after which a worker that does not stir is taken for dead.
    pub lease: Duration,
    /// Jobs that hold a guest at the same time.
    pub running_max: usize,
    /// Calls at the same time, by tool.
    pub tools: Vec<(ToolId, usize)>,
    /// Jobs at the same time, by playbook.
    pub playbooks: Vec<(String, usize)>,
    /// What repeating a call does, by external tool; `once` for one that is not listed.
    pub external: HashMap<ToolId, Effect>,
    /// Whether this process looks after every job of the store, or only after those that it was told to run.
    pub looks_after_all: bool,
    /// What is written with the last entry of each job.
    pub at_end: AtEnd,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            grants: Vec::new(),
            lease: Duration::from_millis(limits::LEASE_MS_DEFAULT),
            running_max: limits::JOBS_RUNNING_MAX,
            tools: Vec::new(),
            playbooks: Vec::new(),
            external: HashMap::new(),
            looks_after_all: true,
            at_end: AtEnd::default(),
        }
    }
}

/// What every running job needs.
pub(super) struct Shared {
    pub store: Store,
    pub sandbox: Sandbox,
    pub tools: Registry,
    pub rules: Rules,
    /// What an operator granted to all jobs since.
    pub kept: Kept,
    pub catalogue: Catalogue,
    pub slots: Slots,
    pub tool_gates: Gates,
    pub playbook_gates: Gates,
    /// This worker's number; 0 before it is registered.
    worker: AtomicU64,
    /// Counts how often this worker lost its lease. Whoever runs a job stops when it changes.
    pub lost: watch::Sender<u64>,
    stopping: AtomicBool,
    /// Wakes those that pause.
    pub stop: Notify,
    /// Tells that a job was let go of.
    pub let_go: Notify,
    /// Tells the keeper that something is due earlier than it knew.
    pub timers: Notify,
    /// Jobs that this process holds: running, waiting for a slot, or being written. The lock is held for look-ups and inserts only.
    held: Mutex<HashMap<JobId, watch::Sender<()>>>,
    /// How jobs that were begun here are to be run, whenever they go on.
    manners: Mutex<HashMap<JobId, Manner>>,
    /// What runs for the scheduler.
    pub tasks: Mutex<JoinSet<()>>,
    /// Where it runs.
    home: OnceLock<Handle>,
    /// Registers the worker and starts the keeper, once.
    pub ready: tokio::sync::OnceCell<()>,
    /// Stands in for the guest where a test scripts it.
    #[cfg(test)]
    pub guest: Option<super::tests::Guest>,
}

impl Shared {
    pub(super) fn new(store: Store, sandbox: Sandbox, tools: Registry, rules: Rules, catalogue: Catalogue) -> Self {
        Shared {
            slots: Slots::new(rules.running_max.clamp(1, limits::JOBS_RUNNING_MAX)),
            tool_gates: Gates::new(rules.tools.iter().map(|(tool, most)| (tool.to_string(), *most))),
            playbook_gates: Gates::new(rules.playbooks.iter().cloned()),
            kept: Kept::new(store.clone()),
            store,
            sandbox,
            tools,
            rules,
            catalogue,
            worker: AtomicU64::new(0),
            lost: watch::channel(0).0,
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            let_go: Notify::new(),
            timers: Notify::new(),
            held: Mutex::default(),
            manners: Mutex::default(),
            tasks: Mutex::default(),
            home: OnceLock::new(),
            ready: tokio::sync::OnceCell::new(),
            #[cfg(test)]
            guest: None,
        }
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

    pub(super) fn worker(&self) -> u64 {
        self.worker.load(Ordering::Acquire)
    }

    pub(super) fn set_worker(&self, worker: u64) {
        self.worker.store(worker, Ordering::Release);
    }

    /// Takes hold of a job within this process; none where something here has it already.
    pub(super) fn hold(self: &Arc<Self>, job: JobId) -> Option<Held> {
        match self.held.lock().expect("nobody panics while holding it").entry(job) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(watch::channel(()).0);
                Some(Held { shared: Arc::clone(self), job })
            }
        }
    }

    /// Closes when this process lets go of the job; none where it does not hold it.
    pub(super) fn release_of(&self, job: &JobId) -> Option<watch::Receiver<()>> {
        self.held.lock().expect("nobody panics while holding it").get(job).map(watch::Sender::subscribe)
    }

    /// Tells whoever holds the job, and does nothing with it for now, that something is due.
    pub(super) fn ring(&self, job: &JobId) {
        if let Some(held) = self.held.lock().expect("nobody panics while holding it").get(job) {
            held.send_replace(());
        }
    }

    pub(super) fn holds(&self, job: &JobId) -> bool {
        self.held.lock().expect("nobody panics while holding it").contains_key(job)
    }

    /// One of the jobs that this process holds.
    #[cfg(test)]
    pub(super) fn any_held(&self) -> Option<JobId> {
        self.held.lock().expect("nobody panics while holding it").keys().next().copied()
    }

    pub(super) fn held(&self) -> usize {
        self.held.lock().expect("nobody panics while holding it").len()
    }

    /// Runs `work` in a task that ends with the scheduler.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().expect("nobody panics while holding it");
        while let Some(ended) = tasks.try_join_next() {
            if let Err(e) = ended
                && e.is_panic()
            {
                tracing::error!("a job's task panicked; the job goes on at the next start: {e}");
            }
        }
        // A guest that computes for long is not run by the threads that serve everyone; what it sets going is.
        tasks.spawn_on(work, self.home.get_or_init(Handle::current));
    }

    pub(super) fn manner(&self, job: &JobId) -> Manner {
        self.manners.lock().expect("nobody panics while holding it").get(job).copied().unwrap_or_default()
    }

    pub(super) fn set_manner(&self, job: JobId, manner: Manner) {
        if !self.rules.looks_after_all || manner != Manner::default() {
            self.manners.lock().expect("nobody panics while holding it").insert(job, manner);
        }
    }

    pub(super) fn forget_manner(&self, job: &JobId) {
        self.manners.lock().expect("nobody panics while holding it").remove(job);
    }

    /// Whether this process is to move the job though nobody asked it to just now.
    pub(super) fn looks_after(&self, job: &JobId) -> bool {
        self.rules.looks_after_all || self.manners.lock().expect("nobody panics while holding it").contains_key(job)
    }

    /// What repeating a call of an external tool does.
    pub(super) fn external_effect(&self, tool: &ToolId) -> Effect {
        self.rules.external.get(tool).copied().unwrap_or(Effect::Once)
    }
}

/// This process holds a job for as long as this lives.
pub(super) struct Held {
    pub shared: Arc<Shared>,
    pub job: JobId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.held.lock().expect("nobody panics while holding it").remove(&self.job);
        self.shared.let_go.notify_waiters();
    }
}

/// How a job is to be run, beyond what its journal says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// Time to wait before each call, so that a person can watch.
    pub pace: Option<Duration>,
    /// Let go of the job where the host fails, instead of trying again later: someone stands beside it.
    pub watched: bool,
}

pub(super) fn lost() -> Error {
    Error::new(Code::JobStateConflict, "this worker did not renew its lease in time, and its jobs are another's now")
}
