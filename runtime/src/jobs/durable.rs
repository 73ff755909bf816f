//! The durable side of [`Effects`]: answer from the journal, or record and do.
//!
//! The order of work for a call that changes something: append `Returned` of the call before and `Called` of
//! this one, flush, then do it; keep its answer pending until the next flush. Between two calls a guest cannot
//! touch anything, so a pending answer costs no flush of its own. A call that only looks needs no `Called` on
//! disk before it: if the process dies, looking again does no harm.
//!
//! What dies when: see the crash table in `docs/JOURNAL.md`. Leases, waits, signals and the settling of
//! uncertain calls will be further answers here.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::blocking;
use crate::contract::{Effect, ErrorKind, Outcome, ToolError, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::journal::{Answer, Body, Cursor, Diverged, Log, Next, NextRecorded, Recorded, RecordedKind};
use crate::json::Json;
use crate::sandbox::{Answering, Effects, Level, StepOptions, Stop};
use crate::store::{Payload, Store};
use crate::tools::Grants;
use crate::{clock, ids, limits};

/// One job's effects while a guest runs.
pub(super) struct Durable {
    pub log: Log,
    cursor: Cursor,
    shared: Arc<Shared>,
    grants: Grants,
    step: Option<String>,
    pace: Option<Duration>,
}

impl Durable {
    pub(super) fn new(log: Log, cursor: Cursor, shared: Arc<Shared>, grants: Grants, pace: Option<Duration>) -> Self {
        Durable { log, cursor, shared, grants, step: None, pace }
    }

    /// # Errors
    /// Where the guest ended before it had done everything that its journal says it did.
    pub(super) fn end(&self) -> Result<(), Diverged> {
        self.cursor.end()
    }

    /// The step that the guest named last.
    pub(super) fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// Puts pending entries on disk and tells those who follow.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.log.flush().await?;
        self.shared.progress(self.log.job_id(), self.log.state().next_seq());
        Ok(())
    }

    async fn answer(&mut self, tool: &ToolId, input: Json) -> Result<Outcome, Stop> {
        let digest = input.digest();
        match self.cursor.next_call(self.step.as_deref(), tool, digest) {
            Next::Answer { answer, .. } => Ok(load(&self.shared.store, answer).await.map_err(Stop::Host)?),
            Next::Diverged(diverged) => Err(stop_of(diverged)),
            Next::UnderWay { call, effect: Effect::Once, .. } => Err(self.uncertain(call, tool).await?),
            Next::UnderWay { call, key, .. } => self.perform(call, tool, &key, &input).await,
            Next::Live { call } => self.live(call, tool, input, digest).await,
        }
    }

    /// The process died in the middle of a call that must not be repeated: nobody knows whether it happened.
    /// Settling it is a later entry's work; until then the job stands.
    async fn uncertain(&mut self, call: u64, tool: &ToolId) -> Result<Stop, Stop> {
        let reason = format!(
            "the process died after {tool} was called and before its answer was recorded; it may or may not have taken effect, and it is not repeated unasked"
        );
        self.log.push(Body::Uncertain { call, reason }).map_err(Stop::Host)?;
        self.flush().await.map_err(Stop::Host)?;
        Ok(Stop::Stands)
    }

    async fn live(&mut self, call: u64, tool: &ToolId, input: Json, input_digest: Digest) -> Result<Outcome, Stop> {
        self.pause_between_steps().await?;
        let effect = self.shared.tools.get(tool).map_or(Effect::Once, |info| info.effect);
        let key = self.key(call, tool, &input_digest);
        let payload = save(&self.shared.store, input.clone()).await.map_err(Stop::Host)?;
        let called =
            Body::Called { call, step: self.step.clone(), tool: tool.clone(), effect, key: key.clone(), input: payload, input_digest };
        self.push(called)?;
        if !effect.touches_nothing() || self.log.should_flush() {
            self.flush().await.map_err(Stop::Host)?;
        }
        self.perform(call, tool, &key, &input).await
    }

    /// The name that a tool sees for a call: made of job, place, step, tool and input, never of the attempt.
    fn key(&self, call: u64, tool: &ToolId, input: &Digest) -> String {
        let job = self.log.job_id();
        let (call, tool) = (call.to_be_bytes(), tool.to_string());
        let step = self.step.as_deref().unwrap_or_default();
        let whole = Digest::of_parts(&[job.as_bytes(), &call, step.as_bytes(), tool.as_bytes(), input.as_bytes()]);
        hex::encode(&whole.as_bytes()[..16])
    }

    async fn perform(&mut self, call: u64, tool: &ToolId, key: &str, input: &Json) -> Result<Outcome, Stop> {
        let outcome = if tool.is_external() {
            let message = format!("{tool} is performed by an agent outside, and this version cannot hand a call to one yet");
            Err(ToolError::new(ErrorKind::Unavailable, message))
        } else {
            self.shared.tools.call(tool, key, input, &self.grants).await
        };
        let answer = match &outcome {
            Ok(output) => Answer::Output(save(&self.shared.store, output.clone()).await.map_err(Stop::Host)?),
            Err(error) => Answer::Error(error.clone()),
        };
        self.push(Body::Returned { call, answer })?;
        if self.log.should_flush() {
            self.flush().await.map_err(Stop::Host)?;
        }
        Ok(outcome)
    }

    /// Between two steps nothing is under way: here a job stops for shutdown, and here it waits where it was
    /// asked to go slowly. Either way everything so far is on disk first.
    async fn pause_between_steps(&mut self) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        let mut told_to_stop = std::pin::pin!(shared.stop.notified());
        // Listening before looking: a word in between is not missed.
        told_to_stop.as_mut().enable();
        if let Some(pace) = self.pace.filter(|_| !self.shared.is_stopping()) {
            self.flush().await.map_err(Stop::Host)?;
            tokio::select! {
                () = tokio::time::sleep(pace) => {}
                () = told_to_stop => {}
            }
        }
        if self.shared.is_stopping() {
            self.flush().await.map_err(Stop::Host)?;
            return Err(Stop::Host(Error::new(Code::ShuttingDown, "the job goes on at the next start")));
        }
        Ok(())
    }

    async fn recorded(&mut self, kind: RecordedKind, fresh: fn() -> Recorded) -> Result<u64, Stop> {
        match self.cursor.next_recorded(self.step.as_deref(), kind) {
            NextRecorded::Answer(value) => Ok(value.number()),
            NextRecorded::Diverged(diverged) => Err(stop_of(diverged)),
            NextRecorded::Live => {
                let value = fresh();
                self.push(Body::Recorded { step: self.step.clone(), value })?;
                if self.log.should_flush() {
                    self.flush().await.map_err(Stop::Host)?;
                }
                Ok(value.number())
            }
        }
    }

    fn push(&mut self, body: Body) -> Result<(), Stop> {
        self.log.push(body).map(drop).map_err(|e| match e.code {
            Code::TooLarge => Stop::Limit(e.message),
            _ => Stop::Host(e),
        })
    }
}

impl Effects for Durable {
    fn step(&mut self, id: String, _options: StepOptions) {
        self.step = Some(id);
    }

    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome> {
        Box::pin(self.answer(tool, input))
    }

    fn now(&mut self) -> Answering<'_, u64> {
        Box::pin(self.recorded(RecordedKind::Now, || Recorded::Now(clock::now_ms())))
    }

    fn random(&mut self) -> Answering<'_, u64> {
        Box::pin(self.recorded(RecordedKind::Random, || Recorded::Random(ids::random_u64())))
    }

    fn log(&mut self, level: Level, message: String) {
        // A replayed part was logged when it happened.
        if !self.cursor.is_live() {
            return;
        }
        let (job, step) = (self.log.job_id(), self.step.as_deref().unwrap_or_default());
        match level {
            Level::Debug => tracing::debug!(target: "guest", %job, step, "{message}"),
            Level::Info => tracing::info!(target: "guest", %job, step, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", %job, step, "{message}"),
            Level::Error => tracing::error!(target: "guest", %job, step, "{message}"),
        }
    }
}

fn stop_of(diverged: Diverged) -> Stop {
    Stop::Diverged { at: diverged.seq, expected: diverged.expected, found: diverged.found }
}

/// Small values stay in the row; a large one is written and synced on a thread that may block.
pub(super) async fn save(store: &Store, json: Json) -> Result<Payload> {
    if json.as_str().len() <= limits::INLINE_BYTES_MAX {
        return Ok(Payload::Inline(json));
    }
    let store = store.clone();
    blocking::run(move || store.save(&json)).await
}

async fn load(store: &Store, answer: Answer) -> Result<Outcome> {
    match answer {
        Answer::Error(error) => Ok(Err(error)),
        Answer::Output(Payload::Inline(json)) => Ok(Ok(json)),
        Answer::Output(blob) => {
            let store = store.clone();
            blocking::run(move || store.load(&blob)).await.map(Ok)
        }
    }
}
