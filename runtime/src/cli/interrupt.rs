//! Ctrl-C, or a supervisor's SIGTERM.

use crate::error::{Code, Error, Result};

/// Hears from the moment it is made on, so that nobody who was told that the program is there finds it deaf.
pub(super) struct Interrupt {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let deaf = |e| Error::new(Code::InternalError, format!("cannot listen for signals: {e}"));
        Ok(Interrupt {
            interrupt: signal(SignalKind::interrupt()).map_err(deaf)?,
            terminate: signal(SignalKind::terminate()).map_err(deaf)?,
        })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self> {
        Ok(Interrupt {})
    }

    /// Resolves when the program is asked to stop.
    #[cfg(unix)]
    pub(super) async fn asked(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn asked(self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
