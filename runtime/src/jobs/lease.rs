//! Leases: which workers there are, which of them live, and what becomes of the jobs of one that does not.
//!
//! Each worker has a row with a beat that it raises. Whoever sees a row stay the same for the worker's lease time, on its own
//! monotonic clock, takes the worker for dead: it removes the row, guarded by the bytes it saw, and only then takes the
//! jobs. A worker that finds its own row gone has lost everything it held and stops at once; until it notices, the
//! higher epoch in the jobs' rows keeps it from writing. Wall clocks are never compared.
//!
//! One row for all of a worker's jobs, so that a renewal costs the same with one job as with a thousand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::scheduler::take_up;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::{self, Head};
use crate::store::{Batch, CommitError, Store, WorkerKey};
use crate::{clock, metrics};

#[derive(Serialize, Deserialize)]
struct Row {
    v: u8,
    /// The opening of the data directory that it lives in: with another opening's lock in our hand, it is dead.
    opening: uuid::Uuid,
    beat: u64,
    lease_ms: u64,
}

/// What a scheduler knows of itself and of the others.
pub(super) struct Leases {
    shared: Arc<Shared>,
    row: Vec<u8>,
    beat: u64,
    renewed: Instant,
    /// The others' rows as last seen, and since when they are so.
    seen: HashMap<u64, (Vec<u8>, Instant)>,
    /// A worker is gone whose jobs have not been looked at yet.
    gone: bool,
}

impl Leases {
    /// Registers a worker under a number that nobody had before.
    pub(super) async fn begin(shared: &Arc<Shared>) -> Result<Leases> {
        let (worker, row) = register(shared).await?;
        shared.set_worker(worker);
        Ok(Leases { shared: Arc::clone(shared), row, beat: 0, renewed: Instant::now(), seen: HashMap::new(), gone: false })
    }

    /// This process slept: how long the others' rows have been the same is not known any more.
    pub(super) fn forget_times(&mut self) {
        let now = Instant::now();
        self.seen.values_mut().for_each(|(_, since)| *since = now);
    }

    /// Renews the own lease, and takes over from those who let theirs run out.
    pub(super) async fn round(&mut self) -> Result<()> {
        let begun = Instant::now();
        let store = self.shared.store.clone();
        let rows = store.scan(&WorkerKey::all(), None, usize::MAX)?;
        let own = WorkerKey { worker: self.shared.worker() };
        if rows.iter().find(|(key, _)| *key == own).is_none_or(|(_, row)| *row != self.row) {
            return self.lost().await;
        }
        let others: Vec<&(WorkerKey, Vec<u8>)> = rows.iter().filter(|(key, _)| *key != own).collect();
        // Alone, nobody is there to take the jobs: nothing has to be written.
        if !others.is_empty() && self.renewed.elapsed() >= self.shared.rules.lease / 3 && !self.renew().await? {
            return self.lost().await;
        }
        self.gone |= self.seen.keys().any(|worker| !others.iter().any(|(key, _)| key.worker == *worker));
        self.seen.retain(|worker, _| others.iter().any(|(key, _)| key.worker == *worker));
        if begun.elapsed() >= self.shared.rules.lease / 3 {
            // Stopped in the middle, perhaps with all the others: what they did meanwhile was not seen.
            self.forget_times();
        }
        for (key, row) in others {
            let (before, since) = self.seen.entry(key.worker).or_insert_with(|| (row.clone(), Instant::now()));
            if before != row {
                (*before, *since) = (row.clone(), Instant::now());
            }
            let read = read(row)?;
            let silent = since.elapsed();
            if read.opening != store.opening() || silent >= Duration::from_millis(read.lease_ms) {
                tracing::warn!(worker = key.worker, silent_ms = silent.as_millis(), "a worker is taken for dead; its jobs go on here");
                self.gone |= fence(&store, key, row).await?;
            }
        }
        if self.gone {
            take_over(&self.shared).await?;
            self.gone = false;
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<bool> {
        let key = WorkerKey { worker: self.shared.worker() };
        let row = encode(&self.shared, self.beat + 1);
        let mut batch = Batch::new();
        batch.expect(&key, Some(&self.row));
        batch.put(&key, row.clone());
        match self.shared.store.commit(batch).await {
            Ok(()) => {
                (self.row, self.beat, self.renewed) = (row, self.beat + 1, Instant::now());
                Ok(true)
            }
            Err(CommitError::Guard) => Ok(false),
            Err(CommitError::Store(e)) => Err(e),
        }
    }

    /// Whatever runs here stops; from now on this is another worker.
    async fn lost(&mut self) -> Result<()> {
        tracing::error!(worker = self.shared.worker(), "this worker did not renew its lease in time; what it ran is stopped");
        metrics::lease("lost");
        let (worker, row) = register(&self.shared).await?;
        self.shared.set_worker(worker);
        (self.row, self.beat, self.renewed) = (row, 0, Instant::now());
        self.shared.lost.send_modify(|times| *times += 1);
        // Whoever took this one for dead may have died before it took the jobs, or may look after its own alone.
        self.gone = true;
        Ok(())
    }

    /// Renews the own lease and looks at nobody else: the last jobs come to the end of their step.
    pub(super) async fn keep_on(&mut self) -> Result<()> {
        if self.renewed.elapsed() >= self.shared.rules.lease / 3 && !self.renew().await? {
            return self.lost().await;
        }
        Ok(())
    }

    /// Whoever watches need not wait for the lease to run out.
    pub(super) async fn end(&self) {
        let key = WorkerKey { worker: self.shared.worker() };
        let _ = fence(&self.shared.store, &key, &self.row).await;
    }
}

async fn register(shared: &Shared) -> Result<(u64, Vec<u8>)> {
    let row = encode(shared, 0);
    let mut worker = clock::now_ms();
    loop {
        let key = WorkerKey { worker };
        let mut batch = Batch::new();
        batch.expect(&key, None);
        batch.put(&key, row.clone());
        match shared.store.commit(batch).await {
            Ok(()) => return Ok((worker, row)),
            Err(CommitError::Guard) => worker += 1,
            Err(CommitError::Store(e)) => return Err(e),
        }
    }
}

/// Removes a worker's row as it was seen; false where it has stirred since.
async fn fence(store: &Store, key: &WorkerKey, seen: &[u8]) -> Result<bool> {
    let mut batch = Batch::new();
    batch.expect(key, Some(seen));
    batch.delete(key);
    match store.commit(batch).await {
        Ok(()) => Ok(true),
        Err(CommitError::Guard) => Ok(false),
        Err(CommitError::Store(e)) => Err(e),
    }
}

/// Takes up every job that could run and that no living worker holds. Returns how many.
pub(super) async fn take_over(shared: &Arc<Shared>) -> Result<usize> {
    // In this order: a worker that holds a job of this list was registered before it was read.
    let jobs = journal::runnable(&shared.store)?;
    let mut taken = 0;
    for (space, job, head) in jobs {
        if !shared.looks_after(&job) || !is_free(shared, &head)? {
            continue;
        }
        if take_up(shared, &space, job, head.worker) {
            metrics::lease("taken");
            taken += 1;
        }
    }
    Ok(taken)
}

/// True where no living worker holds the job, this one excepted.
pub(super) fn is_free(shared: &Shared, head: &Head) -> Result<bool> {
    match head.worker {
        None => Ok(true),
        Some(worker) if worker == shared.worker() => Ok(true),
        Some(worker) => Ok(!lives(&shared.store, worker)?),
    }
}

fn lives(store: &Store, worker: u64) -> Result<bool> {
    match store.get(&WorkerKey { worker })? {
        None => Ok(false),
        Some(row) => Ok(read(&row)?.opening == store.opening()),
    }
}

fn encode(shared: &Shared, beat: u64) -> Vec<u8> {
    let lease_ms = u64::try_from(shared.rules.lease.as_millis()).expect("a lease is seconds");
    serde_json::to_vec(&Row { v: 1, opening: shared.store.opening(), beat, lease_ms }).expect("text and numbers print")
}

fn read(row: &[u8]) -> Result<Row> {
    serde_json::from_slice(row).map_err(|e| Error::stored("the row of a worker", &e))
}

/// A job by its space, for messages and maps.
pub(super) type JobAt = (Space, JobId);
