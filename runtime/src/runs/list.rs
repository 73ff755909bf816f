//! Runs in a list, page by page.

use serde::Deserialize;

use super::run::{RunStatus, RunSummary};
use super::{Runs, saved};
use crate::error::Result;
use crate::ids::{RunId, Space};
use crate::limits;
use crate::store::StepKey;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Its end is not recorded yet.
    InProgress,
    /// It has ended so.
    Ended(RunStatus),
}

/// Which runs of a space are listed.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only those that stand so.
    pub state: Option<RunState>,
    /// Only those with a step that calls this tool, named as it was recorded.
    pub tool: Option<String>,
}

/// A page of runs.
#[derive(Debug, Clone)]
pub struct RunPage {
    /// In the order of their ids. There may be fewer than asked for, and more on the next page.
    pub runs: Vec<RunSummary>,
    /// Where the next page begins; none where there is none.
    pub next: Option<RunId>,
}

/// All of a step's row that a list asks for.
#[derive(Deserialize)]
struct Called {
    tool_name: String,
}

impl RunState {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, RunState)] = &[
        ("in_progress", RunState::InProgress),
        ("success", RunState::Ended(RunStatus::Success)),
        ("failed", RunState::Ended(RunStatus::Failed)),
        ("partial", RunState::Ended(RunStatus::Partial)),
    ];

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<RunState> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
    }

    /// The name that clients use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::InProgress => "in_progress",
            RunState::Ended(status) => status.as_str(),
        }
    }
}

impl RunSummary {
    /// How the run stands.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.status.map_or(RunState::InProgress, RunState::Ended)
    }
}

impl Runs {
    /// A page of the runs that `filter` lets through, in the order of their ids. Blocks.
    ///
    /// One page looks at a bounded number of runs and steps: where few of many fit, it is shorter than asked for.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt`.
    pub fn page(&self, space: &Space, filter: &RunFilter, after: Option<&RunId>, limit: usize) -> Result<RunPage> {
        let (mut runs, mut after, mut looked, mut steps): (Vec<RunSummary>, _, _, _) = (Vec::new(), after.cloned(), 0, 0);
        loop {
            let rows = self.list(space, after.as_ref(), limits::PAGE_ROWS_MAX.min(limit + 1))?;
            let Some(last) = rows.last().map(|run| run.run_id.clone()) else { return Ok(RunPage { runs, next: None }) };
            for run in rows {
                if looked >= limits::RUNS_LOOKED_AT_MAX || steps >= limits::RUN_STEPS_LOOKED_AT_MAX {
                    return Ok(RunPage { runs, next: after });
                }
                looked += 1;
                let run_id = run.run_id.clone();
                if self.is_listed(space, &run, filter, &mut steps)? {
                    if runs.len() == limit {
                        let next = runs.last().map(|run| run.run_id.clone());
                        return Ok(RunPage { runs, next });
                    }
                    runs.push(run);
                }
                after = Some(run_id);
            }
            after = Some(last);
        }
    }

    fn is_listed(&self, space: &Space, run: &RunSummary, filter: &RunFilter, steps: &mut usize) -> Result<bool> {
        if filter.state.is_some_and(|state| state != run.state()) {
            return Ok(false);
        }
        let Some(tool) = &filter.tool else { return Ok(true) };
        for (_, row) in self.store.scan(&StepKey::of_run(space, &run.run_id), None, limits::RUN_STEPS_MAX)? {
            *steps += 1;
            if saved::decode::<Called>(&row, "a step")?.tool_name == *tool {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
