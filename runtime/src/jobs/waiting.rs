//! Waits of a durable job: answered from the journal, over at once where what is waited for is there, or else the job lets
//! go of everything and stands until somebody or the clock wakes it.

use super::durable::{Durable, loaded, save, stop_of};
use crate::error::Result;
use crate::journal::{Body, Ended, NextWait, On, Waiting, Wake, Woken, shown};
use crate::json::Json;
use crate::sandbox::{Interruption, Stop, Waited};
use crate::{clock, limits};

impl Durable {
    /// Waits for `on`, at most for so long.
    pub(super) async fn wait(&mut self, on: On, timeout_ms: Option<u64>) -> Result<Ended, Stop> {
        let ended = self.ended(on, timeout_ms).await?;
        self.told_of_cancel |= ended == Ended::Cancelled;
        Ok(ended)
    }

    async fn ended(&mut self, on: On, timeout_ms: Option<u64>) -> Result<Ended, Stop> {
        match self.cursor.next_wait(self.step.as_deref(), &on) {
            NextWait::Answer(ended) => return Ok(ended),
            NextWait::Diverged(diverged) => return Err(stop_of(diverged)),
            NextWait::Standing => return Err(Stop::Stands),
            NextWait::Live => {}
        }
        self.between_steps().await?;
        let wait = self.log.state().waits + 1;
        let until_ms = timeout_ms.map(|ms| clock::now_ms().saturating_add(ms.min(limits::WAIT_TIME_MS_MAX)));
        self.push(Body::Waiting(Waiting { wait, step: self.step.clone(), on: on.clone(), until_ms }))?;
        let Some((by, ended)) = self.over_at_once(&on) else { return Err(self.stand().await) };
        self.push(Body::Woken(Woken { wait, by }))?;
        if self.log.should_flush() {
            self.flushed().await?;
        }
        Ok(ended)
    }

    /// What is waited for is there already.
    fn over_at_once(&self, on: &On) -> Option<(Wake, Ended)> {
        let state = self.log.state();
        match on {
            On::Children { children } => {
                let child = state.first_ended(children)?;
                Some((Wake::Child { child }, Ended::Child(child)))
            }
            _ if self.is_cancelled() => Some((Wake::Cancelled, Ended::Cancelled)),
            On::Sleep { ms: 0 } => Some((Wake::Elapsed, Ended::Elapsed)),
            On::Signal { name } => {
                let untaken = state.untaken(name)?;
                Some((Wake::Signal { seq: untaken.seq }, Ended::Signal(untaken.signal.payload.clone())))
            }
            _ => None,
        }
    }

    /// What a person is shown, and the digest by which they say that they saw it.
    pub(super) async fn approval(&mut self, title: String, request: Json) -> Result<On, Stop> {
        let digest = shown(&title, &request);
        let request = save(&self.shared.store, request).await.map_err(Stop::Host)?;
        Ok(On::Approval { title, request, digest })
    }

    /// What the guest is given for a signal or an approval.
    pub(super) async fn waited(&mut self, ended: Ended) -> Result<Waited<Json>, Stop> {
        Ok(match ended {
            Ended::Signal(payload) => Ok(loaded(&self.shared.store, payload).await.map_err(Stop::Host)?),
            Ended::Approved(answer) => Ok(answer),
            Ended::Rejected(answer) => Err(Interruption::Rejected(answer)),
            Ended::Cancelled => Err(Interruption::Cancelled),
            Ended::Expired | Ended::Elapsed | Ended::Child(_) => Err(Interruption::Expired),
        })
    }
}
