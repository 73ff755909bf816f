//! The table that is printed.

use std::fmt;
use std::time::{Duration, Instant};

use super::machine::Written;

/// One line: what was measured, what it came to, what it should be.
struct Row {
    what: String,
    measured: String,
    target: String,
    met: bool,
}

pub(super) struct Report {
    pub quick: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(quick: bool) -> Self {
        Report { quick, rows: Vec::new() }
    }

    /// `full` rounds, or one where only working is to be shown.
    pub(super) fn rounds(&self, full: usize) -> usize {
        if self.quick { 1 } else { full }
    }

    pub(super) fn fact(&mut self, what: &str, measured: String) {
        self.rows.push(Row { what: what.to_owned(), measured, target: String::new(), met: true });
    }

    /// A time that should be at most `target`.
    pub(super) fn at_most(&mut self, what: &str, time: Duration, target: Duration) {
        self.rows.push(Row {
            what: what.to_owned(),
            measured: format!("{time:.1?}"),
            target: format!("< {target:?}"),
            met: time <= target,
        });
    }

    /// A ratio that should be at most `target`.
    pub(super) fn ratio_at_most(&mut self, what: &str, ratio: f64, target: f64, unit: &str) {
        self.rows.push(Row {
            what: what.to_owned(),
            measured: format!("{ratio:.2} {unit}"),
            target: format!("<= {target} {unit}"),
            met: ratio <= target,
        });
    }

    /// Bytes written for each of `many`: those handed to the kernel should be below 2 KiB; those that reach the disk are
    /// whole blocks, as for the bare fdatasync.
    pub(super) fn written(&mut self, what: &str, before: &Option<Written>, after: &Option<Written>, many: f64) {
        let (Some(before), Some(after)) = (before, after) else { return };
        let each = |bytes: u64| f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / many / 1024.0;
        self.ratio_at_most(&format!("  bytes written per {what}"), each(after.handed_over - before.handed_over), 2.0, "KiB");
        self.fact("    the same in the file system's blocks", format!("{:.2} KiB", each(after.to_disk - before.to_disk)));
    }

    /// A rate that should be at least `target`.
    pub(super) fn rate_at_least(&mut self, what: &str, rate: f64, target: f64, unit: &str) {
        self.rows.push(Row {
            what: what.to_owned(),
            measured: format!("{rate:.0} {unit}"),
            target: format!(">= {target:.0} {unit}"),
            met: rate >= target,
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| what | measured | target | |\n|---|---|---|---|")?;
        for Row { what, measured, target, met } in &self.rows {
            let verdict = match (target.is_empty(), met) {
                (true, _) => "",
                (false, true) => "met",
                (false, false) => "missed",
            };
            writeln!(f, "| {what} | {measured} | {target} | {verdict} |")?;
        }
        Ok(())
    }
}

/// The middle of `rounds` measurements.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What one in a hundred is slower than.
pub(super) fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

/// How long `work` takes, the middle of `rounds`.
pub(super) fn time(rounds: usize, mut work: impl FnMut()) -> Duration {
    median(
        (0..rounds)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed()
            })
            .collect(),
    )
}
