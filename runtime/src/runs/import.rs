//! Stores a whole recording.
//!
//! It means the same as sending its requests one by one. So importing a file again changes nothing, a
//! file that has grown adds what is new, and one that contradicts what is stored is refused before
//! anything is written. The rows go in one atomic batch, or in several where they are too many; a crash
//! between two of these leaves a run in progress that importing the file again completes.

use std::collections::HashMap;

use super::Runs;
use super::record;
use super::recording::{Recorded, Recording};
use super::saved::{self, Head};
use super::settle::{Next, large};
use crate::clock;
use crate::error::{Error, Result};
use crate::ids::{RunId, Space, StepId};
use crate::limits;
use crate::store::{AfterKey, Batch, Key, RunKey, StepKey};

/// Which rows of a step are not stored yet.
struct Missing {
    before: bool,
    after: bool,
}

/// New rows of one batch.
struct Rows {
    batch: Batch,
    bytes: usize,
}

impl Rows {
    fn add<K: Key>(&mut self, key: &K, row: Vec<u8>) {
        self.bytes += row.len();
        self.batch.expect(key, None);
        self.batch.put(key, row);
    }
}

impl Runs {
    /// Stores what a recording says. Gives the run's id.
    ///
    /// # Errors
    /// `id_conflict` where a part of it is stored with other content, naming the step; `run_ended` where it
    /// adds to a run that has ended; `invalid_request` where two steps without an id are the same;
    /// `too_large`, `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn import(&self, space: &Space, recording: Recording) -> Result<RunId> {
        self.import_of(space, recording, clock::now_ms()).await
    }

    /// The same of a run of which somebody says when it was: what was made of it may know the day.
    ///
    /// # Errors
    /// As [`Runs::import`].
    pub async fn import_of(&self, space: &Space, recording: Recording, at_ms: u64) -> Result<RunId> {
        let step_ids = step_ids(space, &recording)?;
        self.compare(space, &recording, &step_ids)?;
        if let Some(values) = large(recording.values()) {
            self.set_aside(values).await?;
        }
        let mut from = Some(0);
        while let Some(step) = from {
            from = self.settle(|_| self.portion(space, &recording, &step_ids, step, at_ms)).await?;
        }
        Ok(recording.run_id)
    }

    /// As [`Runs::import`], without storing anything.
    ///
    /// # Errors
    /// As [`Runs::import`].
    pub fn could_import(&self, space: &Space, recording: &Recording) -> Result<()> {
        self.compare(space, recording, &step_ids(space, recording)?)
    }

    /// Refuses a recording that cannot be stored as a whole.
    fn compare(&self, space: &Space, recording: &Recording, step_ids: &[StepId]) -> Result<()> {
        let head = self.head(space, &recording.run_id)?;
        let mut next = head.map(|head| head.row).unwrap_or_default();
        if self.start_missing(space, recording)? {
            next.bytes = recording.start.bytes();
        }
        for (n, (recorded, step_id)) in recording.steps.iter().zip(step_ids).enumerate() {
            let missing = self.missing(space, recorded, step_id).map_err(|e| at_step(n, e))?;
            if missing.before {
                next = record::with_step(&recording.run_id, &next, &recorded.before, step_id).map_err(|e| at_step(n, e))?;
            }
            if let Some(after) = recorded.after.as_ref().filter(|_| missing.after) {
                next = record::with_result(&recording.run_id, &next, after).map_err(|e| at_step(n, e))?;
            }
        }
        self.end_missing(recording, &next).map(|_| ())
    }

    /// What is missing from step `from` on, as much as goes into one batch; and the step to go on from.
    pub(super) fn portion(
        &self,
        space: &Space,
        recording: &Recording,
        step_ids: &[StepId],
        from: usize,
        at_ms: u64,
    ) -> Result<Next<Option<usize>>> {
        let run_id = &recording.run_id;
        let head = self.head(space, run_id)?;
        let mut next = head.as_ref().map(|head| head.row.clone()).unwrap_or_default();
        let mut new = Rows { batch: Batch::new(), bytes: 0 };

        if self.start_missing(space, recording)? {
            let key = RunKey { space: space.clone(), run_id: run_id.clone() };
            new.add(&key, saved::encode(&saved::Start::of(&self.store, &recording.start, at_ms)?));
            next.bytes = recording.start.bytes();
        }
        for (n, (recorded, step_id)) in recording.steps.iter().zip(step_ids).enumerate().skip(from) {
            if new.bytes >= limits::IMPORT_BATCH_BYTES {
                self.put_head(&mut new.batch, space, run_id, head.as_ref(), &next);
                return Ok(Next::Write(new.batch, Some(n)));
            }
            let missing = self.missing(space, recorded, step_id).map_err(|e| at_step(n, e))?;
            if missing.before {
                let row = saved::encode(&saved::Before::of(&self.store, &recorded.before, next.steps, at_ms)?);
                next = record::with_step(run_id, &next, &recorded.before, step_id).map_err(|e| at_step(n, e))?;
                new.add(&StepKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() }, row);
            }
            if let Some(after) = recorded.after.as_ref().filter(|_| missing.after) {
                next = record::with_result(run_id, &next, after).map_err(|e| at_step(n, e))?;
                let row = saved::encode(&saved::After::of(&self.store, after, at_ms)?);
                new.add(&AfterKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() }, row);
            }
        }
        let ends = self.end_missing(recording, &next)?;
        if let Some(end) = recording.end.as_ref().filter(|_| ends) {
            next.end = Some(saved::End::of(&self.store, end, at_ms)?);
        }
        if new.bytes == 0 && !ends {
            return Ok(Next::Answer(None));
        }
        self.put_head(&mut new.batch, space, run_id, head.as_ref(), &next);
        Ok(Next::Write(new.batch, None))
    }

    fn start_missing(&self, space: &Space, recording: &Recording) -> Result<bool> {
        match self.store.get(&RunKey { space: space.clone(), run_id: recording.run_id.clone() })? {
            Some(bytes) => self.same_start(space, &recording.run_id, &bytes, &recording.start).map(|()| false),
            None => Ok(true),
        }
    }

    fn missing(&self, space: &Space, recorded: &Recorded, step_id: &StepId) -> Result<Missing> {
        let run_id = &recorded.before.run_id;
        let before = match self.store.get(&StepKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() })? {
            Some(bytes) => self.same_step(step_id, &bytes, &recorded.before).map(|()| false)?,
            None => true,
        };
        let Some(sent) = &recorded.after else { return Ok(Missing { before, after: false }) };
        let after = match self.store.get(&AfterKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() })? {
            Some(bytes) => self.same_result(step_id, &bytes, sent).map(|()| false)?,
            None => true,
        };
        Ok(Missing { before, after })
    }

    fn end_missing(&self, recording: &Recording, head: &Head) -> Result<bool> {
        match (&recording.end, &head.end) {
            (Some(sent), Some(stored)) => self.same_end(&recording.run_id, stored, sent).map(|()| false),
            (Some(_), None) => Ok(true),
            (None, _) => Ok(false),
        }
    }
}

/// Each step's id in this space.
pub(super) fn step_ids(space: &Space, recording: &Recording) -> Result<Vec<StepId>> {
    let mut first = HashMap::new();
    let mut step_ids = Vec::with_capacity(recording.steps.len());
    for (n, recorded) in recording.steps.iter().enumerate() {
        let step_id = recorded.before.id_in(space);
        if let Some(other) = first.insert(step_id.clone(), n) {
            let steps = format!("steps {} and {} of the recording", other + 1, n + 1);
            return Err(Error::invalid(steps, "have the same step_index and content; give each a step_id"));
        }
        step_ids.push(step_id);
    }
    Ok(step_ids)
}

/// Says which step of the recording an error is about, counted from 1.
fn at_step(n: usize, e: Error) -> Error {
    e.at(format!("step {} of the recording", n + 1))
}
