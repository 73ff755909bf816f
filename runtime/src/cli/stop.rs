//! Whoever runs the program asks it to end: Ctrl-C, or a supervisor's SIGTERM.
//!
//! The rule that must stay true: from [`Stop::heard`] on, no such wish is lost or ends the process by itself. So it is
//! called before anything is said that makes somebody send one.

use crate::error::{Code, Error, Result};

/// Hears wishes to end.
pub(super) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// `internal_error` where the system does not let a process listen.
    pub(super) fn heard() -> Result<Stop> {
        use tokio::signal::unix::{SignalKind, signal};
        let cannot = |e| Error::new(Code::InternalError, format!("cannot listen for signals: {e}"));
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
            terminate: signal(SignalKind::terminate()).map_err(cannot)?,
        })
    }

    /// Resolves at the first wish, also one that came before it was asked for.
    pub(super) async fn asked(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
