//! What to expect of a job, from the jobs that a component has done: counted once, and again when there is news.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Expected;
use crate::engine::Engine;
use crate::error::Result;
use crate::ids::{Digest, PlaybookId, Space};
use crate::lifecycle::Version;
use crate::lifecycle::evidence::{Event, EventKind, Outcome};
use crate::lifecycle::policy::JobCounts;
use crate::{clock, limits};

/// How the jobs of components went, as far as that was asked for lately.
#[derive(Default)]
pub(super) struct Records(Mutex<HashMap<(Space, PlaybookId, Digest), Record>>);

#[derive(Clone, Copy)]
struct Record {
    /// The newest piece of evidence that is counted.
    newest: [u8; 16],
    counted_ms: u64,
    jobs: JobCounts,
    /// Of the successful ones, on average.
    calls: Option<f64>,
    seconds: Option<f64>,
}

impl Engine {
    /// What to expect of a job of this version, whose plan has so many steps. Counted over the component, as everywhere: copies of a
    /// version share their evidence.
    ///
    /// One row is read where there is no news. Two jobs that end at once may write their rows the other way round than they are
    /// named, and so what was counted is counted again after a while though the newest is the same.
    pub(super) fn expected(&self, space: &Space, version: &Version, steps: usize) -> Result<Expected> {
        let plain = f64::from(u32::try_from(steps).unwrap_or(u32::MAX));
        let newest = self.lifecycle.evidence(space, version, None, 1)?.first().map(|(id, _)| *id);
        let Some(newest) = newest else { return Ok(Expected { success: 0.0, jobs: 0, calls: plain, seconds: None }) };
        let records = || self.matching.records.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (space.clone(), version.playbook_id.clone(), version.component);
        let now = clock::now_ms();
        let is_so = |record: &Record| record.newest == newest && now.saturating_sub(record.counted_ms) < limits::MATCH_RECORD_MS_MAX;
        let known = records().get(&key).copied().filter(is_so);
        let record = match known {
            Some(record) => record,
            None => {
                let record = counted(&self.lifecycle.jobs_of(space, version)?, newest, now);
                let mut all = records();
                if all.len() >= limits::MATCH_RECORDS_MAX {
                    all.clear();
                }
                all.insert(key, record);
                record
            }
        };
        Ok(Expected {
            success: record.jobs.bound(),
            jobs: record.jobs.successes + record.jobs.failures,
            calls: record.calls.unwrap_or(plain),
            seconds: record.seconds,
        })
    }
}

fn counted(jobs: &[Event], newest: [u8; 16], counted_ms: u64) -> Record {
    let good: Vec<&Event> = jobs.iter().filter(|event| event.kind == EventKind::Job && event.outcome == Outcome::Success).collect();
    let average = |of: fn(&Event) -> u64| -> Option<f64> {
        let sum: u64 = good.iter().map(|event| of(event)).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^52")]
        let average = (!good.is_empty()).then(|| (sum as f64 / good.len() as f64 * 1000.0).round() / 1000.0);
        average
    };
    let seconds = average(|event| event.ms).map(|ms| ms / 1000.0);
    Record { newest, counted_ms, jobs: JobCounts::of(jobs), calls: average(|event| event.calls), seconds }
}
