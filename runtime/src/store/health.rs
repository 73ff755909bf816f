//! Whether the store may still write.
//!
//! Its job: once a flush failed, say so to every writer, those that wait already included. There is no
//! way back but a restart: after a failed flush nobody knows which pages the kernel still holds, so a
//! second try could succeed without having written them.
//!
//! sled writes its log on threads of its own. When one of them panics, sled tells nobody, and a flush
//! waits for it for ever. So a panic hook listens for those threads; it passes every panic on.

use std::panic;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::error::{Code, Error, Result};

/// How sled names the threads that write its log.
const SLED_THREADS: &str = "sled-io";

/// Shared by a store, its committer and all who wait.
#[derive(Debug)]
pub(super) struct Health {
    /// Why no more is written.
    reason: OnceLock<String>,
    /// Has no permits; closing it wakes all who wait for one, now and later.
    end: Semaphore,
}

impl Health {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Health { reason: OnceLock::new(), end: Semaphore::new(0) })
    }

    /// Ends all writing. The first reason stays.
    pub(super) fn poison(&self, reason: &str) {
        if self.reason.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "the store stops writing; reads go on, and a restart is needed");
        }
        self.end.close();
    }

    /// # Errors
    /// `store_poisoned` once all writing has ended.
    pub(super) fn check(&self) -> Result<()> {
        match self.reason.get() {
            None => Ok(()),
            Some(reason) => Err(Error::new(
                Code::StorePoisoned,
                format!("{reason}; nothing more is written until a restart, and nothing that was acknowledged is lost"),
            )),
        }
    }

    /// Waits for the end of all writing.
    pub(super) async fn poisoned(&self) -> Error {
        let closed = self.end.acquire().await;
        debug_assert!(closed.is_err(), "there are no permits");
        self.check().expect_err("the semaphore is closed only after the reason was set")
    }
}

static WATCHED: Mutex<Vec<Weak<Health>>> = Mutex::new(Vec::new());

/// From now on, the death of one of sled's own threads poisons this store.
pub(super) fn watch_sleds_threads(health: &Arc<Health>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().name().is_some_and(|name| name.starts_with(SLED_THREADS)) {
                let what = info.payload_as_str().unwrap_or("no message");
                poison_all(&format!("a thread that writes the log died: {what}"));
            }
            before(info);
        }));
    });
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.retain(|health| health.strong_count() > 0);
    watched.push(Arc::downgrade(health));
}

/// sled's threads are shared by all stores of a process, and nothing says whose log one of them was writing.
fn poison_all(reason: &str) {
    let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for health in watched.iter().filter_map(Weak::upgrade) {
        health.poison(reason);
    }
}
