//! Who wants to know when a row changes.
//!
//! Its job: after a group is on disk, tell those who watch one of its keys. It does not say what changed: whoever is told
//! reads. What must stay true: a change that is acknowledged has been told, and one that came before the watch began is
//! there to be read. Watched first and read then, nothing is missed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::keys::topic;

/// Keys that are watched. Cheap where nobody watches.
#[derive(Default)]
pub(super) struct Watchers {
    by_key: Mutex<HashMap<Vec<u8>, watch::Sender<u64>>>,
}

impl Watchers {
    /// Resolves `changed()` after each write of `key` from now on.
    pub(super) fn watch(&self, key: Vec<u8>) -> watch::Receiver<u64> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whom nobody listens to any more go, once there are as many of them as may be listened to.
        if by_key.len() >= 64 && by_key.len().is_power_of_two() {
            by_key.retain(|_, told| told.receiver_count() > 0);
        }
        by_key.entry(topic(&key).to_vec()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// These keys were written, and it is on disk.
    pub(super) fn tell(&self, written: &[Vec<u8>]) {
        let by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        for told in written.iter().filter_map(|key| by_key.get(topic(key))) {
            told.send_modify(|times| *times += 1);
        }
    }
}
