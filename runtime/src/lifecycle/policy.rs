//! What follows from evidence: whether a version rises, whether it falls, and what is missing. Pure: no store, no clock.

use std::collections::BTreeSet;

use super::evidence::{Drift, Event, EventKind, Outcome};
use super::version::Status;
use crate::config::Policy;

/// The normal quantile of Wilson's interval: 97.5 % certainty on one side.
const Z: f64 = 1.96;

/// The least that the true share of successes is, with that certainty. 0 where nothing was tried.
#[must_use]
pub fn wilson(successes: u64, failures: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let (n, s) = ((successes + failures) as f64, successes as f64);
    if n == 0.0 {
        return 0.0;
    }
    let (p, z2) = (s / n, Z * Z);
    let middle = p + z2 / (2.0 * n);
    let spread = Z * ((p * (1.0 - p) + z2 / (4.0 * n)) / n).sqrt();
    ((middle - spread) / (1.0 + z2 / n)).clamp(0.0, 1.0)
}

/// Jobs of a component that count, under whatever version and status: what `match`, `show` and the evidence say alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Those that succeeded.
    pub successes: u64,
    /// Those that failed.
    pub failures: u64,
}

impl JobCounts {
    /// Counts them.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> JobCounts {
        let mut counts = JobCounts::default();
        for event in events.into_iter().filter(|event| event.kind == EventKind::Job && event.counts) {
            match event.outcome {
                Outcome::Success => counts.successes += 1,
                Outcome::Failure => counts.failures += 1,
            }
        }
        counts
    }

    /// The least that the share of successes is, to three digits.
    #[must_use]
    pub fn bound(self) -> f64 {
        (wilson(self.successes, self.failures) * 1000.0).round() / 1000.0
    }
}

/// The evidence on a component, counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Recordings that it was proved against.
    pub proofs: u64,
    /// Recordings that it reproduced without touching anything.
    pub recordings: u64,
    /// What went another way on a recording, and on which run.
    pub differs: Vec<(String, Drift)>,
    /// Jobs that succeeded.
    pub successes: u64,
    /// Jobs that failed, where that says something of the component.
    pub failures: u64,
    /// Different inputs of the jobs that succeeded.
    pub distinct_inputs: u64,
    /// Successes and failures among the latest jobs, as far back as the policy looks.
    pub latest: (u64, u64),
    /// The latest failure that counts.
    pub last_failure: Option<Drift>,
    /// All jobs of the component, whether they count for the status that it has or for an earlier one.
    pub component: JobCounts,
}

/// Counts evidence, newest first. Jobs count from `since` on; what was shown on recordings does not grow old.
#[must_use]
pub fn tally<'a>(events: impl IntoIterator<Item = &'a Event>, since_ms: u64, policy: &Policy) -> Tally {
    let mut tally = Tally::default();
    let (mut proved, mut rehearsed, mut inputs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for event in events {
        match (event.kind, event.outcome) {
            (EventKind::Proof, Outcome::Success) => drop(proved.insert(event.run_id.clone())),
            (EventKind::Proof, Outcome::Failure) => {}
            (EventKind::Shadow, outcome) => {
                // Newest first: what a run showed last is what it shows.
                let run = event.run_id.as_ref().map(ToString::to_string).unwrap_or_default();
                if rehearsed.insert(run.clone()) {
                    match (outcome, &event.drift) {
                        (Outcome::Failure, Some(drift)) => tally.differs.push((run, drift.clone())),
                        _ => tally.recordings += 1,
                    }
                }
            }
            (EventKind::Job, _) if !event.counts => {}
            (EventKind::Job, outcome) => {
                tally.component.successes += u64::from(outcome == Outcome::Success);
                tally.component.failures += u64::from(outcome == Outcome::Failure);
                if event.at < since_ms {
                    continue;
                }
                let in_window = tally.latest.0 + tally.latest.1 < policy.demote.window;
                if outcome == Outcome::Success {
                    tally.successes += 1;
                    tally.latest.0 += u64::from(in_window);
                    inputs.insert(event.input_digest);
                } else {
                    tally.failures += 1;
                    tally.latest.1 += u64::from(in_window);
                    tally.last_failure = tally.last_failure.or_else(|| event.drift.clone());
                }
            }
        }
    }
    (tally.proofs, tally.distinct_inputs) = (proved.len() as u64, inputs.len() as u64);
    tally
}

/// What there is to know of a version beside its evidence.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Its status.
    pub status: Status,
    /// Milliseconds since it has this status.
    pub age_ms: u64,
    /// Whether it asks for more than the version that runs.
    pub wider: bool,
    /// Whether it lost its status before: then recordings, which it reproduced then too, do not bring it back.
    pub lost: bool,
}

/// What the evidence says of a version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The status that it has earned.
    pub promote_to: Option<Status>,
    /// What is missing for the next status, in words; empty where it has earned it, or there is none.
    pub missing: Vec<String>,
    /// Why it loses its status; none where it does not.
    pub demote: Option<String>,
    /// How long until age alone is no longer missing; none where more is missing.
    pub in_ms: Option<u64>,
}

/// What the evidence says: one step up, or down.
#[must_use]
pub fn judge(policy: &Policy, standing: Standing, tally: &Tally) -> Verdict {
    let may_fall = policy.auto_demote && matches!(standing.status, Status::Shadow | Status::Active);
    let demote = if may_fall { fall(policy, tally) } else { None };
    if demote.is_some() {
        return Verdict { demote, ..Verdict::default() };
    }
    match standing.status {
        Status::Draft => {
            let missing = for_shadow(policy, standing, tally);
            Verdict { promote_to: missing.is_empty().then_some(Status::Shadow), missing, ..Verdict::default() }
        }
        Status::Shadow => {
            let (mut missing, left_ms) = for_active(policy, standing, tally);
            let in_ms = left_ms.filter(|_| missing.is_empty());
            missing.extend(left_ms.map(|ms| {
                format!("time: it has been a shadow for {} s of at least {} s", standing.age_ms / 1000, (standing.age_ms + ms) / 1000)
            }));
            Verdict { promote_to: missing.is_empty().then_some(Status::Active), missing, in_ms, ..Verdict::default() }
        }
        Status::Active | Status::Disabled => Verdict::default(),
    }
}

/// What is missing on the way from its status to `target`, in words.
#[must_use]
pub fn missing(policy: &Policy, standing: Standing, tally: &Tally, target: Status) -> Vec<String> {
    let shadow = || if standing.status == Status::Draft { for_shadow(policy, standing, tally) } else { Vec::new() };
    match (standing.status, target) {
        (from, to) if from == to => Vec::new(),
        (Status::Disabled, _) | (_, Status::Disabled) => vec!["an operator's word: evidence neither disables nor enables".to_owned()],
        (Status::Draft, Status::Shadow) => shadow(),
        (_, Status::Active) => {
            let (mut missing, left_ms) = for_active(policy, standing, tally);
            // What is no shadow yet has no age as one.
            let age = left_ms.or((standing.status == Status::Draft).then_some(policy.active.min_age_s * 1000).filter(|ms| *ms > 0));
            missing.extend(age.map(|_| format!("time: {} s as a shadow", policy.active.min_age_s)));
            shadow().into_iter().chain(missing).collect()
        }
        _ => match fall(policy, tally) {
            Some(_) => Vec::new(),
            None => vec!["an operator's word: its jobs give no reason to lower it".to_owned()],
        },
    }
}

fn for_shadow(policy: &Policy, standing: Standing, tally: &Tally) -> Vec<String> {
    let rule = &policy.shadow;
    let mut missing = Vec::new();
    if rule.proved && tally.proofs == 0 {
        missing.push("a proof against a recording".to_owned());
    }
    if tally.recordings < rule.recordings {
        missing.push(format!("{} of {} recordings that it reproduces without touching anything", tally.recordings, rule.recordings));
    }
    for (run, drift) in &tally.differs {
        let place = drift.step.as_ref().map(|step| format!(" at step {step}")).unwrap_or_default();
        missing.push(format!("it does not reproduce run {run}{place}: {}", drift.why));
    }
    if standing.lost {
        missing.extend(record(policy, tally));
    }
    missing.extend(fall(policy, tally));
    missing
}

/// What is missing of jobs, and the time that is.
fn for_active(policy: &Policy, standing: Standing, tally: &Tally) -> (Vec<String>, Option<u64>) {
    let mut missing = record(policy, tally);
    if standing.wider {
        missing.push("an operator's word: it asks for more than the version that runs".to_owned());
    }
    let left = (policy.active.min_age_s * 1000).saturating_sub(standing.age_ms);
    (missing, (left > 0 && standing.status == Status::Shadow).then_some(left))
}

fn record(policy: &Policy, tally: &Tally) -> Vec<String> {
    let rule = &policy.active;
    let mut missing = Vec::new();
    if tally.successes < rule.successes {
        missing.push(format!("{} of {} successful jobs", tally.successes, rule.successes));
    }
    if tally.distinct_inputs < rule.distinct_inputs {
        missing.push(format!("{} of {} different inputs among them", tally.distinct_inputs, rule.distinct_inputs));
    }
    let bound = wilson(tally.successes, tally.failures);
    if bound < rule.wilson_floor {
        let (s, n) = (tally.successes, tally.successes + tally.failures);
        missing.push(format!(
            "certainty: {s} of {n} jobs succeeded, which shows a success rate of {bound:.2}; it takes {:.2}",
            rule.wilson_floor
        ));
    }
    missing
}

/// Why the latest jobs cost a version its status.
fn fall(policy: &Policy, tally: &Tally) -> Option<String> {
    let rule = &policy.demote;
    let (successes, failures) = tally.latest;
    let bound = wilson(successes, failures);
    if failures == 0 || failures < rule.min_failures || bound >= rule.floor {
        return None;
    }
    let last = tally.last_failure.as_ref().map(|drift| {
        let place = drift.step.as_ref().map(|step| format!(" at step {step}")).unwrap_or_default();
        format!("; the last one{place}: {}", drift.why)
    });
    let n = successes + failures;
    Some(format!(
        "{failures} of its latest {n} jobs failed, which shows a success rate of {bound:.2} where {:.2} is asked{}",
        rule.floor,
        last.unwrap_or_default()
    ))
}

/// True where the evidence speaks against a component that was active before.
pub(super) fn is_bad(policy: &Policy, tally: &Tally) -> bool {
    fall(policy, tally).is_some()
}

#[cfg(test)]
mod tests;
