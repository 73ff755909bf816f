//! What a playbook saves: what its recorded runs cost, against what its jobs do.
//!
//! Pure sums over evidence and recordings. What a recording does not say is not made up: tokens and money are there only where
//! the runs have them.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::evidence::{Event, Outcome};
use crate::runs::Run;

/// What a recorded run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunCost {
    /// Recorded steps.
    pub calls: u64,
    /// From its start to its end.
    pub ms: u64,
    /// Tokens, where it says so.
    pub tokens: Option<u64>,
    /// US dollars, where it says so.
    pub usd: Option<f64>,
}

impl RunCost {
    /// Of a run; tokens and money from its metrics, in Aionis' names.
    #[must_use]
    pub fn of(run: &Run) -> RunCost {
        let metrics = run.end.as_ref().and_then(|end| end.metrics.as_ref()).map_or(Value::Null, crate::json::Json::value);
        RunCost {
            calls: run.steps.len() as u64,
            ms: run.end.as_ref().map_or(0, |end| end.ended_at_ms.saturating_sub(run.started_at_ms)),
            tokens: metrics["total_tokens"].as_u64(),
            usd: metrics["cost_usd"].as_f64().filter(|usd| usd.is_finite() && *usd >= 0.0),
        }
    }
}

/// What a playbook cost and saved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Ledger {
    /// Its recorded runs; each number is for one of them, on average.
    pub per_run: PerRun,
    /// Its jobs.
    pub jobs: JobSums,
    /// What the successful jobs would have cost as runs, less what they did cost. A playbook that takes longer saves less than nothing.
    pub saved: Saved,
    /// How its jobs went, oldest first, as a small picture: the higher, the more of them succeeded.
    pub trend: String,
}

/// One recorded run, on average.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PerRun {
    /// How many there are.
    pub runs: u64,
    /// Calls of tools.
    pub calls: f64,
    /// Seconds.
    pub seconds: f64,
    /// Tokens; absent where no run says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<f64>,
    /// US dollars; absent where no run says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

/// All jobs together.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobSums {
    /// Those that succeeded.
    pub successes: u64,
    /// Those that failed.
    pub failures: u64,
    /// Calls of tools.
    pub calls: u64,
    /// Seconds.
    pub seconds: f64,
}

/// What was saved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Saved {
    /// Calls of tools.
    pub calls: f64,
    /// Seconds.
    pub seconds: f64,
    /// Tokens: a job asks no model. Absent where no run says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<f64>,
    /// US dollars. Absent where no run says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^52")]
fn number(n: u64) -> f64 {
    n as f64
}

fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / number(n))
}

/// Adds up. `jobs` are newest first.
#[must_use]
pub fn ledger(runs: &[RunCost], jobs: &[Event]) -> Ledger {
    // A job that was given up, and then let go on to its end, has said two things: what it came to in the end is what it is.
    let mut seen = HashSet::new();
    let jobs: Vec<&Event> = jobs.iter().filter(|job| job.job_id.is_none_or(|id| seen.insert(id))).collect();
    let calls = average(runs.iter().map(|run| number(run.calls))).unwrap_or(0.0);
    let seconds = average(runs.iter().map(|run| number(run.ms) / 1000.0)).unwrap_or(0.0);
    let tokens = average(runs.iter().filter_map(|run| run.tokens.map(number)));
    let usd = average(runs.iter().filter_map(|run| run.usd));
    let good: Vec<&Event> = jobs.iter().copied().filter(|job| job.outcome == Outcome::Success).collect();
    let n = number(good.len() as u64);
    let sum = |jobs: &[&Event], of: fn(&Event) -> u64| jobs.iter().map(|job| of(job)).sum::<u64>();
    // Without a run there is nothing to hold a job against.
    let against = |run: f64, job: f64| if runs.is_empty() { 0.0 } else { rounded(run * n - job) };
    let outcomes: Vec<bool> = jobs.iter().rev().map(|job| job.outcome == Outcome::Success).collect();
    Ledger {
        per_run: PerRun { runs: runs.len() as u64, calls: rounded(calls), seconds: rounded(seconds), tokens: tokens.map(rounded), usd },
        jobs: JobSums {
            successes: good.len() as u64,
            failures: (jobs.len() - good.len()) as u64,
            calls: sum(&jobs, |job| job.calls),
            seconds: rounded(number(sum(&jobs, |job| job.ms)) / 1000.0),
        },
        saved: Saved {
            calls: against(calls, number(sum(&good, |job| job.calls))),
            seconds: against(seconds, number(sum(&good, |job| job.ms)) / 1000.0),
            tokens: tokens.map(|tokens| rounded(tokens * n)),
            usd: usd.map(|usd| rounded(usd * n)),
        },
        trend: picture(&outcomes),
    }
}

/// Columns of the picture.
const COLUMNS: usize = 24;

/// A column for each stretch of jobs, oldest first; its height is the share of them that succeeded.
#[must_use]
pub fn picture(outcomes: &[bool]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = outcomes.len().min(COLUMNS);
    let column = |at: usize| {
        let part = &outcomes[at * outcomes.len() / columns..(at + 1) * outcomes.len() / columns];
        let good = part.iter().filter(|good| **good).count();
        HEIGHTS[good * (HEIGHTS.len() - 1) / part.len().max(1)]
    };
    (0..columns).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::super::evidence::EventKind;
    use super::*;

    fn job(outcome: Outcome, calls: u64, ms: u64) -> Event {
        Event {
            kind: EventKind::Job,
            version: 1,
            outcome,
            counts: true,
            input_digest: None,
            job_id: None,
            run_id: None,
            drift: None,
            calls,
            ms,
            at: 1,
        }
    }

    #[test]
    fn what_was_saved_is_what_runs_would_have_cost_less_what_jobs_did() {
        let runs = [
            RunCost { calls: 8, ms: 60_000, tokens: Some(1000), usd: Some(0.5) },
            RunCost { calls: 4, ms: 20_000, tokens: None, usd: None },
        ];
        let jobs = [job(Outcome::Failure, 1, 500), job(Outcome::Success, 4, 1000), job(Outcome::Success, 4, 3000)];
        let sums = ledger(&runs, &jobs);
        assert_eq!((sums.per_run.calls, sums.per_run.seconds, sums.per_run.tokens), (6.0, 40.0, Some(1000.0)));
        assert_eq!((sums.jobs.successes, sums.jobs.failures, sums.jobs.calls, sums.jobs.seconds), (2, 1, 9, 4.5));
        assert_eq!((sums.saved.calls, sums.saved.seconds, sums.saved.tokens, sums.saved.usd), (4.0, 76.0, Some(2000.0), Some(1.0)));
        let nothing = ledger(&[], &jobs);
        assert_eq!((nothing.saved.calls, nothing.saved.seconds, nothing.saved.tokens), (0.0, 0.0, None));
        let slower = ledger(&[RunCost { calls: 1, ms: 1000, tokens: None, usd: None }], &jobs);
        assert_eq!((slower.saved.calls, slower.saved.seconds), (-6.0, -2.0));
    }

    #[test]
    fn the_picture_shows_how_jobs_went() {
        assert_eq!(picture(&[]), "");
        assert_eq!(picture(&[true, true, false, true]), "██▁█");
        let many: Vec<bool> = (0..240).map(|at| at < 120 || at % 2 == 0).collect();
        assert_eq!(picture(&many), format!("{}{}", "█".repeat(12), "▄".repeat(12)));
    }
}
