//! The durable side of [`Effects`]: answer from the journal, or record and do.
//!
//! The order of work for a call that changes something: append `Returned` of the call before and `Called` of
//! this one, flush, then do it; keep its answer pending until the next flush. Between two calls a guest cannot
//! touch anything, so a pending answer costs no flush of its own. A call that only looks needs no `Called` on
//! disk before it: if the process dies, looking again does no harm.
//!
//! Calls are made in `calling`, waits in `waiting`, children in `children`; what dies when: see the crash table in
//! `docs/JOURNAL.md`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::shared::{Shared, lost};
use super::steer::{out_of_time, take_mail};
use super::trying;
use crate::blocking;
use crate::contract::{Outcome, ToolId};
use crate::error::{Code, Error, Result};
use crate::journal::{Answer, Body, Cursor, Diverged, Ended, Log, NextRecorded, On, ParkReason, Parked, Recorded, RecordedKind, Status};
use crate::json::Json;
use crate::sandbox::{Answering, ChildKind, ChildOutcome, Effects, GuestFailure, Interruption, Level, StepOptions, Stop, Waited};
use crate::store::{Payload, Store};
use crate::tools::Grants;
use crate::{clock, ids, limits, metrics};

/// One job's effects while a guest runs.
pub(super) struct Durable {
    pub log: Log,
    pub(super) cursor: Cursor,
    pub(super) shared: Arc<Shared>,
    pub(super) grants: Grants,
    pub(super) step: Option<String>,
    pub(super) step_options: StepOptions,
    /// The guest undoes what it did: a request to cancel does not stop its calls.
    pub(super) compensating: bool,
    /// The guest was told, by a call or a wait, that the job is to be cancelled.
    pub(super) told_of_cancel: bool,
    pace: Option<Duration>,
    /// Changes when mail is left for the job.
    pub(super) mailbox: watch::Receiver<u64>,
    /// Changes when this worker has lost its lease.
    pub(super) lease: watch::Receiver<u64>,
}

impl Durable {
    pub(super) fn new(
        log: Log,
        cursor: Cursor,
        shared: Arc<Shared>,
        grants: Grants,
        pace: Option<Duration>,
        mailbox: watch::Receiver<u64>,
    ) -> Self {
        let lease = shared.lost.subscribe();
        Durable {
            log,
            cursor,
            shared,
            grants,
            step: None,
            step_options: StepOptions::default(),
            compensating: false,
            told_of_cancel: false,
            pace,
            mailbox,
            lease,
        }
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

    /// Puts pending entries on disk.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let before = self.log.pending();
        let bytes = self.log.pending_bytes();
        self.log.flush().await?;
        metrics::journal_written(before as u64, bytes as u64);
        Ok(())
    }

    pub(super) async fn flushed(&mut self) -> Result<(), Stop> {
        self.flush().await.map_err(Stop::Host)
    }

    pub(super) fn push(&mut self, body: Body) -> Result<(), Stop> {
        self.log.push(body).map(drop).map_err(|e| match e.code {
            Code::TooLarge => Stop::Limit(e.message),
            _ => Stop::Host(e),
        })
    }

    /// True where calls and waits come back with `cancelled`.
    pub(super) fn is_cancelled(&self) -> bool {
        self.log.state().cancel.is_some() && !self.compensating
    }

    /// Between two steps nothing is under way: here mail is taken in, here a job stops that was paused or has used up
    /// what it may, here it stops for shutdown, and here it waits where it was asked to go slowly.
    pub(super) async fn between_steps(&mut self) -> Result<(), Stop> {
        if self.lease.has_changed().unwrap_or(true) {
            return Err(Stop::Host(lost()));
        }
        self.go_slowly().await?;
        self.hear().await?;
        if self.shared.is_stopping() {
            self.log.release().await.map_err(Stop::Host)?;
            return Err(Stop::Host(Error::new(Code::ShuttingDown, "the job goes on at the next start")));
        }
        let state = self.log.state();
        let now = clock::now_ms();
        if let Some(most) = state.options.timeout_ms.filter(|most| now >= state.created_at_ms.saturating_add(*most)) {
            self.push(out_of_time(most))?;
            return Err(self.stand().await);
        }
        let used_ms = now.saturating_sub(state.created_at_ms);
        if let Some(most) = state.budget.wall_ms.filter(|most| state.cancel.is_none() && used_ms >= *most) {
            return Err(self.park(ParkReason::WallTime, format!("has taken {used_ms} ms of {most}")).await);
        }
        Ok(())
    }

    /// Takes in what others left for the job, and stops where that says so.
    pub(super) async fn hear(&mut self) -> Result<(), Stop> {
        if !self.mailbox.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.mailbox.mark_unchanged();
        take_mail(&self.shared, &mut self.log, &mut Vec::new()).await.map_err(Stop::Host)?;
        if matches!(self.log.state().status(), Status::Ready | Status::Running) {
            return Ok(());
        }
        Err(self.stand().await)
    }

    /// The job stands from here on: what says so is put on disk, and nobody holds the job any more.
    pub(super) async fn stand(&mut self) -> Stop {
        match self.flush().await {
            Ok(()) => Stop::Stands,
            Err(e) => Stop::Host(e),
        }
    }

    pub(super) async fn park(&mut self, reason: ParkReason, message: String) -> Stop {
        metrics::job_parked(reason.as_str());
        match self.push(Body::Parked(Parked { reason, message })) {
            Ok(()) => self.stand().await,
            Err(stop) => stop,
        }
    }

    async fn go_slowly(&mut self) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        let mut told_to_stop = std::pin::pin!(shared.stop.notified());
        // Listening before looking: a word in between is not missed.
        told_to_stop.as_mut().enable();
        let Some(pace) = self.pace.filter(|_| !self.shared.is_stopping()) else { return Ok(()) };
        self.flushed().await?;
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = told_to_stop => {}
        }
        Ok(())
    }

    /// What is left of the step's time, and of the job's.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let now = clock::now_ms();
        let state = self.log.state();
        let of_step = self.step_options.step_timeout_ms.or(state.options.step_timeout_ms);
        let since = match (&state.step, &self.step) {
            (Some((name, since)), Some(step)) if name == step => *since,
            _ => now,
        };
        let step = trying::left(since, of_step, now);
        let job = trying::left(state.created_at_ms, state.options.timeout_ms, now);
        step.into_iter().chain(job).min()
    }

    async fn recorded(&mut self, kind: RecordedKind, fresh: fn() -> Recorded) -> Result<u64, Stop> {
        match self.cursor.next_recorded(self.step.as_deref(), kind) {
            NextRecorded::Answer(value) => Ok(value.number()),
            NextRecorded::Diverged(diverged) => Err(stop_of(diverged)),
            NextRecorded::Live => {
                let value = fresh();
                self.push(Body::Recorded { step: self.step.clone(), value })?;
                if self.log.should_flush() {
                    self.flushed().await?;
                }
                Ok(value.number())
            }
        }
    }
}

impl Effects for Durable {
    fn step(&mut self, id: String, options: StepOptions) {
        self.step = Some(id);
        self.step_options = options;
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

    fn sleep(&mut self, ms: u64) -> Answering<'_, Waited<()>> {
        Box::pin(async move {
            match self.wait(On::Sleep { ms }, Some(ms)).await? {
                Ended::Cancelled => Ok(Err(Interruption::Cancelled)),
                _ => Ok(Ok(())),
            }
        })
    }

    fn wait_signal(&mut self, name: String, timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        Box::pin(async move {
            let ended = self.wait(On::Signal { name }, timeout_ms).await?;
            self.waited(ended).await
        })
    }

    fn approve(&mut self, title: String, request: Json, timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        Box::pin(async move {
            let on = self.approval(title, request).await?;
            let ended = self.wait(on, timeout_ms).await?;
            self.waited(ended).await
        })
    }

    fn check(&mut self, check: Json, answer: Option<Json>) -> Answering<'_, Result<(), GuestFailure>> {
        Box::pin(self.require(check, answer))
    }

    fn branch(&self) -> Option<String> {
        self.log.state().parent.as_ref().and_then(|parent| parent.branch.clone())
    }

    fn start_child(&mut self, kind: ChildKind, input: Json) -> Answering<'_, Result<u32, GuestFailure>> {
        Box::pin(self.child(kind, input))
    }

    fn join(&mut self, child: u32) -> Answering<'_, ChildOutcome> {
        Box::pin(self.child_outcome(child))
    }

    fn first(&mut self, children: Vec<u32>) -> Answering<'_, u32> {
        Box::pin(self.first_child(children))
    }

    fn cancel_child(&mut self, child: u32) -> Answering<'_, ()> {
        Box::pin(self.cancelled_child(child))
    }

    fn compensate(&mut self) -> Answering<'_, ()> {
        self.compensating = true;
        Box::pin(std::future::ready(Ok(())))
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

pub(super) fn stop_of(diverged: Diverged) -> Stop {
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

pub(super) async fn loaded(store: &Store, payload: Payload) -> Result<Json> {
    match payload {
        Payload::Inline(json) => Ok(json),
        blob @ Payload::Blob { .. } => {
            let store = store.clone();
            blocking::run(move || store.load(&blob)).await
        }
    }
}

pub(super) async fn outcome_of(store: &Store, answer: Answer) -> Result<Outcome> {
    match answer {
        Answer::Error(error) => Ok(Err(error)),
        Answer::Output(output) => loaded(store, output).await.map(Ok),
    }
}
