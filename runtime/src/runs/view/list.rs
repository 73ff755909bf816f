//! A list of runs.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::ids::Space;
use crate::runs::{RunPage, RunSummary};

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunsPage {
    /// Whose they are.
    pub tenant_id: String,
    /// Whose they are.
    pub scope: String,
    /// In the order of their ids. There may be fewer than asked for, and more on the next page.
    pub runs: Vec<RunRow>,
    /// The cursor of the next page; null on the last.
    pub next: Option<String>,
}

/// One run of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunRow {
    /// The run.
    pub run_id: String,
    /// What the agent set out to do.
    pub goal: String,
    /// `in_progress`, `success`, `failed` or `partial`.
    pub status: &'static str,
    /// How many steps it has so far.
    pub steps: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; null while it is in progress.
    pub ended_at: Option<String>,
}

impl RunsPage {
    /// As clients see it.
    #[must_use]
    pub fn of(space: &Space, page: RunPage) -> RunsPage {
        RunsPage {
            tenant_id: space.tenant().to_owned(),
            scope: space.scope().to_owned(),
            runs: page.runs.into_iter().map(RunRow::of).collect(),
            next: page.next.map(|run_id| run_id.to_string()),
        }
    }
}

impl RunRow {
    fn of(run: RunSummary) -> RunRow {
        let status = run.state().as_str();
        RunRow {
            run_id: run.run_id.to_string(),
            goal: run.goal,
            status,
            steps: run.steps,
            started_at: rfc3339(run.started_at_ms),
            ended_at: run.ended_at_ms.map(rfc3339),
        }
    }
}
