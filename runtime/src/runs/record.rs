//! Records what a recorder sends, each request in one atomic, flushed batch.
//!
//! Each of the four looks in one order: read the head; is it a repeat? answer as the first time, or say
//! what differs; may it be written at all? then write, expecting the head to be as it was read.

use serde_json::{Value, json};

use super::receipt::{Answered, Commit, Ended, Node, Opened, Part, Receipt, Started};
use super::request::{RunEnd, RunStart, StepAfter, StepBefore, StepRef};
use super::saved::{self, Head, Last};
use super::settle::{Next, large};
use super::{Runs, not_found};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, RunId, Space, StepId};
use crate::limits;
use crate::store::{AfterKey, Batch, RunKey, StepKey};

impl Runs {
    /// Starts a run.
    ///
    /// # Errors
    /// `id_conflict` where a run of this id was started with other content; `contended`, `store_unavailable`,
    /// `store_poisoned`.
    pub async fn start(&self, space: &Space, sent: RunStart) -> Result<Started> {
        let run_id = sent.run_id.clone().unwrap_or_else(RunId::fresh);
        self.settle(|aside| self.look_start(space, &run_id, &sent, aside)).await
    }

    /// Records a step before its call.
    ///
    /// # Errors
    /// `replay_run_not_found`; `id_conflict` where the run has another step of this id; `run_ended`; `too_large` for more
    /// steps or bytes than a run may have; `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn before(&self, space: &Space, sent: StepBefore) -> Result<Opened> {
        let step_id = sent.id_in(space);
        self.settle(|aside| self.look_before(space, &step_id, &sent, aside)).await
    }

    /// Records what came of a step.
    ///
    /// # Errors
    /// `replay_run_not_found`, `replay_step_not_found`; `id_conflict` where something else came of the step before;
    /// `run_ended`; `too_large` for more bytes than a run may have; `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn after(&self, space: &Space, sent: StepAfter) -> Result<Answered> {
        self.settle(|aside| self.look_after(space, &sent, aside)).await
    }

    /// Ends a run. From then on nothing is added to it.
    ///
    /// # Errors
    /// `replay_run_not_found`; `id_conflict` where it has ended otherwise; `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn end(&self, space: &Space, sent: RunEnd) -> Result<Ended> {
        self.settle(|aside| self.look_end(space, &sent, aside)).await
    }

    pub(super) fn look_start(&self, space: &Space, run_id: &RunId, sent: &RunStart, aside: bool) -> Result<Next<Started>> {
        let answer = |bytes: &[u8], repeated| {
            let node = Node::of_run(space, Part::Run, run_id);
            Started { run_id: run_id.clone(), receipt: receipt(space, node, bytes, repeated) }
        };
        let key = RunKey { space: space.clone(), run_id: run_id.clone() };
        if let Some(bytes) = self.store.get(&key)? {
            self.same_start(space, run_id, &bytes, sent)?;
            return Ok(Next::Answer(answer(&bytes, true)));
        }
        if let Some(values) = large(sent.values()).filter(|_| !aside) {
            return Ok(Next::SetAside(values));
        }
        let row = saved::encode(&saved::Start::of(&self.store, sent, clock::now_ms())?);
        let answer = answer(&row, false);
        let mut batch = Batch::new();
        batch.expect(&key, None);
        batch.put(&key, row);
        self.put_head(&mut batch, space, run_id, None, &Head { bytes: sent.bytes(), ..Head::default() });
        Ok(Next::Write(batch, answer))
    }

    pub(super) fn look_before(&self, space: &Space, step_id: &StepId, sent: &StepBefore, aside: bool) -> Result<Next<Opened>> {
        let run_id = &sent.run_id;
        let answer = |bytes: &[u8], repeated| {
            let node = Node::of_step(space, Part::Step, run_id, step_id);
            let receipt = receipt(space, node, bytes, repeated);
            Opened { run_id: run_id.clone(), step_id: step_id.clone(), step_index: sent.step_index, receipt }
        };
        let head = self.head(space, run_id)?.ok_or_else(|| not_found(space, run_id))?;
        let key = StepKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() };
        if let Some(bytes) = self.store.get(&key)? {
            self.same_step(step_id, &bytes, sent)?;
            return Ok(Next::Answer(answer(&bytes, true)));
        }
        let next = with_step(run_id, &head.row, sent, step_id)?;
        if let Some(values) = large(sent.values()).filter(|_| !aside) {
            return Ok(Next::SetAside(values));
        }
        let row = saved::encode(&saved::Before::of(&self.store, sent, head.row.steps, clock::now_ms())?);
        let answer = answer(&row, false);
        let mut batch = Batch::new();
        batch.expect(&key, None);
        batch.put(&key, row);
        self.put_head(&mut batch, space, run_id, Some(&head), &next);
        Ok(Next::Write(batch, answer))
    }

    pub(super) fn look_after(&self, space: &Space, sent: &StepAfter, aside: bool) -> Result<Next<Answered>> {
        let run_id = &sent.run_id;
        let head = self.head(space, run_id)?.ok_or_else(|| not_found(space, run_id))?;
        let step_id = self.find(space, run_id, &head.row, &sent.step)?;
        let answer = |bytes: &[u8], repeated| {
            let node = Node::of_step(space, Part::StepResult, run_id, &step_id);
            let receipt = receipt(space, node, bytes, repeated);
            let (run_id, step_id) = (run_id.clone(), step_id.clone());
            Answered { run_id, step_id, status: sent.status, repair_applied: sent.repair_applied, receipt }
        };
        let key = AfterKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() };
        if let Some(bytes) = self.store.get(&key)? {
            self.same_result(&step_id, &bytes, sent)?;
            return Ok(Next::Answer(answer(&bytes, true)));
        }
        let next = with_result(run_id, &head.row, sent)?;
        if let Some(values) = large(sent.values()).filter(|_| !aside) {
            return Ok(Next::SetAside(values));
        }
        let row = saved::encode(&saved::After::of(&self.store, sent, clock::now_ms())?);
        let answer = answer(&row, false);
        let mut batch = Batch::new();
        batch.expect(&key, None);
        batch.put(&key, row);
        self.put_head(&mut batch, space, run_id, Some(&head), &next);
        Ok(Next::Write(batch, answer))
    }

    pub(super) fn look_end(&self, space: &Space, sent: &RunEnd, aside: bool) -> Result<Next<Ended>> {
        let run_id = &sent.run_id;
        let answer = |bytes: &[u8], repeated| {
            let node = Node::of_run(space, Part::RunEnd, run_id);
            Ended { run_id: run_id.clone(), status: sent.status, receipt: receipt(space, node, bytes, repeated) }
        };
        let head = self.head(space, run_id)?.ok_or_else(|| not_found(space, run_id))?;
        if let Some(end) = &head.row.end {
            self.same_end(run_id, end, sent)?;
            return Ok(Next::Answer(answer(&head.bytes, true)));
        }
        if let Some(values) = large(sent.values()).filter(|_| !aside) {
            return Ok(Next::SetAside(values));
        }
        let next = Head { end: Some(saved::End::of(&self.store, sent, clock::now_ms())?), ..head.row.clone() };
        let mut batch = Batch::new();
        let row = self.put_head(&mut batch, space, run_id, Some(&head), &next);
        Ok(Next::Write(batch, answer(&row, false)))
    }

    fn find(&self, space: &Space, run_id: &RunId, head: &Head, step: &StepRef) -> Result<StepId> {
        let found = match step {
            StepRef::Id(step_id) => {
                let key = StepKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() };
                self.store.get(&key)?.map(|_| step_id.clone())
            }
            StepRef::Index(step_index) => self.latest_with_index(space, run_id, head, *step_index)?,
        };
        found.ok_or_else(|| {
            let (name, value) = match step {
                StepRef::Id(step_id) => ("step_id", Value::from(step_id.as_str())),
                StepRef::Index(step_index) => ("step_index", Value::from(*step_index)),
            };
            Error::new(Code::ReplayStepNotFound, format!("run {:?} has no step with {name} {value}", run_id.as_str()))
                .with_details(json!({"run_id": run_id, name: value}))
        })
    }
}

/// The head with one step more.
pub(super) fn with_step(run_id: &RunId, head: &Head, sent: &StepBefore, step_id: &StepId) -> Result<Head> {
    if head.end.is_some() {
        return Err(ended(run_id, "a step"));
    }
    if head.steps as usize >= limits::RUN_STEPS_MAX {
        return Err(Error::new(
            Code::TooLarge,
            format!("run {:?} has {} steps, as many as one run may have", run_id.as_str(), limits::RUN_STEPS_MAX),
        ));
    }
    let last = Some(Last { step_index: sent.step_index, step_id: step_id.clone() });
    Ok(Head { steps: head.steps + 1, bytes: with_bytes(run_id, head.bytes, sent.bytes())?, last, end: None })
}

/// The head with what came of one step.
pub(super) fn with_result(run_id: &RunId, head: &Head, sent: &StepAfter) -> Result<Head> {
    if head.end.is_some() {
        return Err(ended(run_id, "a step's result"));
    }
    Ok(Head { bytes: with_bytes(run_id, head.bytes, sent.bytes())?, ..head.clone() })
}

/// A run's bytes with some more. What ends a run is not held against it: a full one must be able to say how it ended.
fn with_bytes(run_id: &RunId, bytes: u64, more: u64) -> Result<u64> {
    let sum = bytes.saturating_add(more);
    if sum > limits::RUN_BYTES_MAX {
        let message =
            format!("run {:?} has {bytes} bytes and would have {sum}; one run may have at most {}", run_id.as_str(), limits::RUN_BYTES_MAX);
        return Err(Error::new(Code::TooLarge, message));
    }
    Ok(sum)
}

fn ended(run_id: &RunId, what: &str) -> Error {
    Error::new(Code::RunEnded, format!("run {:?} has ended and does not take {what} any more", run_id.as_str()))
        .with_details(json!({"run_id": run_id}))
}

fn receipt(space: &Space, node: Node, row: &[u8], repeated: bool) -> Receipt {
    Receipt { commit: Commit::of(space, Digest::of(row)), node, repeated }
}
