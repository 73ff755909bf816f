//! Reads runs back.

use super::run::{End, Run, RunSummary, Step};
use super::saved::{self, Head, Place, Start};
use super::{Runs, not_found};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, RunId, Space, StepId};
use crate::limits;
use crate::store::{AfterKey, RunHeadKey, RunKey, StepKey};

/// A row as it was read, so that a guard can name its bytes.
pub(super) struct Stored<T> {
    pub bytes: Vec<u8>,
    pub row: T,
}

impl Runs {
    /// The whole run with all its steps.
    ///
    /// A run in progress is given as it stood at one moment or another while it was being read; one
    /// that has ended never changes again.
    ///
    /// # Errors
    /// `replay_run_not_found`, `store_unavailable`, `data_corrupt`.
    pub fn get(&self, space: &Space, run_id: &RunId) -> Result<Run> {
        // The head comes first: once it says that the run has ended, the rows read after it are all there are.
        // Results come before steps: each result's step was there before it.
        let head = self.head(space, run_id)?.ok_or_else(|| not_found(space, run_id))?;
        let key = RunKey { space: space.clone(), run_id: run_id.clone() };
        let start = self
            .store
            .get(&key)?
            .ok_or_else(|| Error::new(Code::DataCorrupt, format!("run {:?} has a head but no start", run_id.as_str())))?;
        let mut run = saved::decode::<Start>(&start, "a run")?.load(&self.store, space, run_id, Digest::of(&start))?;
        let mut afters = std::collections::BTreeMap::new();
        for (key, bytes) in self.store.scan(&AfterKey::of_run(space, run_id), None, limits::RUN_STEPS_MAX)? {
            let after = saved::decode::<saved::After>(&bytes, "a step's result")?;
            afters.insert(key.step_id, after.load(&self.store, Digest::of(&bytes))?);
        }
        for (key, bytes) in self.store.scan(&StepKey::of_run(space, run_id), None, limits::RUN_STEPS_MAX)? {
            let mut step = self.step_of(key.step_id, &bytes)?;
            step.after = afters.remove(&step.step_id);
            run.steps.push(step);
        }
        if let Some(step_id) = afters.keys().next() {
            return Err(Error::new(
                Code::DataCorrupt,
                format!("run {:?} has a result for step {:?}, which it does not have", run_id.as_str(), step_id.as_str()),
            ));
        }
        run.steps.sort_by_key(|step| (step.step_index, step.ordinal));
        let written = Digest::of(&head.bytes);
        run.end = head.row.end.map(|end| end.load(&self.store, written)).transpose()?;
        Ok(run)
    }

    /// Runs of a space in the order of their ids, which is the order of starting for ids that were made here.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt`.
    pub fn list(&self, space: &Space, after: Option<&RunId>, limit: usize) -> Result<Vec<RunSummary>> {
        let after = after.map(|run_id| RunKey { space: space.clone(), run_id: run_id.clone() });
        let rows = self.store.scan(&RunKey::of_space(space), after.as_ref(), limit.min(limits::PAGE_ROWS_MAX))?;
        let summary = |(key, bytes): (RunKey, Vec<u8>)| {
            let start: Start = saved::decode(&bytes, "a run")?;
            let head = self.head(space, &key.run_id)?.map(|head| head.row).unwrap_or_default();
            Ok(start.summary(key.run_id, &head))
        };
        rows.into_iter().map(summary).collect()
    }

    /// What a run was for; none where there is no such run.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt`.
    pub fn goal_of(&self, space: &Space, run_id: &RunId) -> Result<Option<String>> {
        let row = self.store.get(&RunKey { space: space.clone(), run_id: run_id.clone() })?;
        let start = row.map(|bytes| saved::decode::<Start>(&bytes, "a run")).transpose()?;
        Ok(start.map(|start| start.summary(run_id.clone(), &Head::default()).goal))
    }

    /// What a run that has ended says of its end; none while it is in progress, or where there is no such run.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt`.
    pub fn end_of(&self, space: &Space, run_id: &RunId) -> Result<Option<End>> {
        let Some(head) = self.head(space, run_id)? else { return Ok(None) };
        let written = Digest::of(&head.bytes);
        head.row.end.map(|end| end.load(&self.store, written)).transpose()
    }

    /// The row that guards all writes to a run; none for a run that was never started.
    pub(super) fn head(&self, space: &Space, run_id: &RunId) -> Result<Option<Stored<Head>>> {
        let Some(bytes) = self.store.get(&RunHeadKey { space: space.clone(), run_id: run_id.clone() })? else { return Ok(None) };
        let row = saved::decode(&bytes, "a run's head")?;
        Ok(Some(Stored { bytes, row }))
    }

    /// The step, pending, out of its row.
    pub(super) fn step_of(&self, step_id: StepId, bytes: &[u8]) -> Result<Step> {
        saved::decode::<saved::Before>(bytes, "a step")?.load(&self.store, step_id, Digest::of(bytes))
    }

    /// The step with this index that was recorded last.
    pub(super) fn latest_with_index(&self, space: &Space, run_id: &RunId, head: &Head, step_index: u32) -> Result<Option<StepId>> {
        if let Some(last) = head.last.as_ref().filter(|last| last.step_index == step_index) {
            return Ok(Some(last.step_id.clone()));
        }
        let mut latest: Option<(u32, StepId)> = None;
        for (key, bytes) in self.store.scan(&StepKey::of_run(space, run_id), None, limits::RUN_STEPS_MAX)? {
            let place: Place = saved::decode(&bytes, "a step")?;
            if place.step_index == step_index && latest.as_ref().is_none_or(|(ordinal, _)| *ordinal < place.ordinal) {
                latest = Some((place.ordinal, key.step_id));
            }
        }
        Ok(latest.map(|(_, step_id)| step_id))
    }
}
