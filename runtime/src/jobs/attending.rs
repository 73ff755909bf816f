//! Work that others do beside the jobs for as long as the scheduler runs: tasks that outlive a call are begun here alone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Scheduler;

/// One round of such work; it answers how long it may be until the next one, unless somebody rings.
pub type Round = Pin<Box<dyn Future<Output = Duration> + Send>>;

impl Scheduler {
    /// Does `round` now, whenever somebody rings, and when the time is over that the round before answered with, until the
    /// scheduler stops. A round that is under way then is broken off, as by a crash.
    pub fn attend(&self, bell: Arc<Notify>, round: impl Fn() -> Round + Send + Sync + 'static) {
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(async move {
            loop {
                let mut told_to_stop = std::pin::pin!(shared.stop.notified());
                told_to_stop.as_mut().enable();
                if shared.is_stopping() {
                    return;
                }
                let round = async {
                    let pause = round().await;
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = bell.notified() => {}
                    }
                };
                tokio::select! {
                    () = round => {}
                    () = told_to_stop => return,
                }
            }
        });
    }
}
