//! The one task of a scheduler that acts though nobody asks: it renews the lease, watches the others, fires what is due and
//! delivers mail that lies around after a crash.
//!
//! It looks at rows that say what is to be done (timers, mail, claims, workers), never at the jobs that wait: ten thousand
//! of them cost it nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::external::Claims;
use super::lease::{self, Leases};
use super::shared::Shared;
use super::steer::nudge;
use crate::error::Result;
use crate::store::{MailKey, TimerKey};
use crate::{clock, limits, metrics};

/// Registers the worker and starts its keeper.
pub(super) async fn start(shared: &Arc<Shared>) -> Result<()> {
    let leases = Leases::begin(shared).await?;
    let keeper = Arc::clone(shared);
    shared.spawn(async move { keep(keeper, leases).await });
    Ok(())
}

async fn keep(shared: Arc<Shared>, mut leases: Leases) {
    let mut claims = Claims::default();
    let tick = (shared.rules.lease / 3).min(limits::KEEPER_TICK);
    let mut last = Instant::now();
    loop {
        let mut told_to_stop = std::pin::pin!(shared.stop.notified());
        told_to_stop.as_mut().enable();
        if shared.is_stopping() {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(until_next(&shared, tick)) => {}
            () = shared.timers.notified() => {}
            () = told_to_stop => break,
        }
        if last.elapsed() > shared.rules.lease {
            // Stopped and continued, or a very busy machine: what the others did meanwhile was not watched.
            leases.forget_times();
            claims.forget_times();
        }
        last = Instant::now();
        if let Err(e) = round(&shared, &mut leases, &mut claims).await {
            tracing::error!("the scheduler's round failed and is tried again: {e}");
            tokio::time::sleep(tick).await;
        }
    }
    until_let_go(&shared, &mut leases, tick).await;
    leases.end().await;
}

/// Jobs that come to the end of their step are still this worker's: nobody may take it for dead, nor see it gone.
async fn until_let_go(shared: &Shared, leases: &mut Leases, tick: Duration) {
    loop {
        let mut let_go = std::pin::pin!(shared.let_go.notified());
        let_go.as_mut().enable();
        if shared.held() == 0 {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            () = let_go => {}
        }
        if let Err(e) = leases.keep_on().await {
            tracing::error!("the lease could not be renewed: {e}");
        }
    }
}

/// Time until the next timer, and no longer than a tick.
fn until_next(shared: &Shared, tick: Duration) -> Duration {
    let now = clock::now_ms();
    // What is due already was looked at, and is held by someone: it has time until the next tick.
    let after = TimerKey { due_ms: now, space: crate::ids::Space::default_space(), job_id: crate::ids::JobId::from_bytes([0; 16]) };
    let next = shared.store.scan(&TimerKey::all(), Some(&after), 1).ok().and_then(|rows| rows.first().map(|(key, _)| key.due_ms));
    next.map_or(tick, |due| tick.min(Duration::from_millis(due.saturating_sub(now).max(1))))
}

/// What is due, and nothing of what is not.
fn due(shared: &Shared, now: u64) -> Result<Vec<TimerKey>> {
    const AT_ONCE: usize = 64;
    let mut due: Vec<TimerKey> = Vec::new();
    while due.len() < limits::DUE_AT_ONCE {
        let rows = shared.store.scan(&TimerKey::all(), due.last(), AT_ONCE)?;
        let (found, before) = (rows.len(), due.len());
        due.extend(rows.into_iter().map(|(key, _)| key).take_while(|key| key.due_ms <= now));
        if due.len() - before < found || found < AT_ONCE {
            break;
        }
    }
    Ok(due)
}

async fn round(shared: &Arc<Shared>, leases: &mut Leases, claims: &mut Claims) -> Result<()> {
    leases.round().await?;
    let now = clock::now_ms();
    for key in due(shared, now)? {
        if shared.holds(&key.job_id) {
            // One that runs looks at the clock by itself; one that waits for a place is told.
            shared.ring(&key.job_id);
        } else if shared.looks_after(&key.job_id) {
            metrics::timer_fired();
            nudge(shared, key.space, key.job_id);
        }
    }
    let mut last = None;
    for (key, _) in shared.store.scan(&MailKey::all(), None, limits::DUE_AT_ONCE)? {
        let job = (key.space, key.job_id);
        // A job that runs here hears of its mail by itself.
        if last.as_ref() != Some(&job) && shared.looks_after(&job.1) && !shared.holds(&job.1) {
            nudge(shared, job.0.clone(), job.1);
        }
        last = Some(job);
    }
    claims.round(shared).await
}

/// Takes up what the last process left. Returns how many jobs.
pub(super) async fn resume_all(shared: &Arc<Shared>) -> Result<usize> {
    lease::take_over(shared).await
}
