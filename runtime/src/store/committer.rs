//! The one thread that writes.
//!
//! Its job: take the batches that wait, judge each one's guards, apply those that pass as one, flush
//! once, and only then answer. It does not know what a batch is about.
//!
//! ```text
//! commit() --- bounded queue ---> committer: judge | apply | flush | reveal ---> answers
//! ```
//!
//! What must stay true: **no answer before the flush**, not even "a guard did not hold". A guard may have
//! failed because of an earlier batch of the same group, which is not on disk yet; who is told so
//! early would look, find the old value, and try in vain, or worse, answer somebody on the strength of it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::error::{Code, Error, Result};
use crate::store::batch::{Batch, CommitError};
use crate::store::health::Health;
use crate::store::row;
use crate::store::tree::{Flush, Group, Seen, Tree};
use crate::store::watch::Watchers;
use crate::{limits, metrics, spans};

/// A batch in the queue, and who waits for it.
struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

/// Hands batches to the thread. Dropping it lets the thread finish what was handed over and end.
pub(super) struct Committer {
    queue: mpsc::Sender<Waiting>,
    health: Arc<Health>,
    thread: JoinHandle<()>,
    /// Resolves, to an error, when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl Committer {
    pub(super) fn start(tree: Arc<Tree>, flush: Flush, health: Arc<Health>, watchers: Arc<Watchers>) -> Result<Self> {
        let (queue, waiting) = mpsc::channel(limits::COMMIT_QUEUE);
        let (ends, ended) = oneshot::channel();
        let mut work = Work { tree, flush, health: health.clone(), watchers };
        let thread = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                work.until_closed(waiting);
                drop((work, ends));
            })
            .map_err(|e| Error::new(Code::StoreUnavailable, format!("cannot start the thread that writes: {e}")))?;
        Ok(Committer { queue, health, thread, ended })
    }

    /// Resolves after the flush.
    ///
    /// The process dies before it resolves: the batch is there as a whole or not at all. After: it is there. The same
    /// holds where the future is dropped: a batch that was handed over is written though nobody waits for it.
    pub(super) async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.health.check()?;
        let done = async {
            let (answer, answered) = oneshot::channel();
            let handed_over = self.queue.send(Waiting { batch, answer }).await;
            match handed_over {
                Ok(()) => answered.await.unwrap_or_else(|_| Err(self.gone())),
                Err(_) => Err(self.gone()),
            }
        };
        tokio::select! {
            biased;
            result = done => result,
            error = self.health.poisoned() => Err(error.into()),
        }
    }

    pub(super) fn commit_blocking(&self, batch: Batch) -> Result<(), CommitError> {
        block_on(self.commit(batch))
    }

    /// The thread ended although the store is open: a mistake of ours made it panic.
    fn gone(&self) -> CommitError {
        self.health.poison("the thread that writes has ended");
        self.health.check().expect_err("it was just poisoned").into()
    }

    /// Lets the thread finish. False if it never will: it waits inside a flush for a thread of sled's that died.
    pub(super) fn finish(self) -> bool {
        let Committer { queue, health, thread, ended } = self;
        drop(queue);
        let ended = block_on(async {
            tokio::select! {
                biased;
                _ = ended => true,
                _ = health.poisoned() => false,
            }
        });
        ended && thread.join().is_ok()
    }
}

struct Work {
    tree: Arc<Tree>,
    flush: Flush,
    health: Arc<Health>,
    watchers: Arc<Watchers>,
}

impl Work {
    fn until_closed(&mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::with_capacity(limits::COMMIT_GROUP_MAX);
        while queue.blocking_recv_many(&mut waiting, limits::COMMIT_GROUP_MAX) > 0 {
            while !waiting.is_empty() {
                let fit = how_many_fit(&waiting);
                self.commit(waiting.drain(..fit));
            }
        }
    }

    /// One group: judge, apply, flush, reveal, answer.
    fn commit(&mut self, waiting: impl ExactSizeIterator<Item = Waiting>) {
        let mut group = Group::new();
        let mut answers = Vec::new();
        let span = spans::commit_group(waiting.len()).entered();
        let mut refused = self.health.check();
        for Waiting { mut batch, answer } in waiting {
            let told = std::mem::take(&mut batch.told);
            let verdict = match &refused {
                Err(_) => Ok(false),
                Ok(()) => judge(&self.tree, &mut group, batch),
            };
            if let Err(failed) = &verdict {
                // sled writes on threads of its own and tells of a refused write at whatever is called next, a
                // read too. So a read that fails here may be an earlier write's failure: nothing more is written.
                self.health.poison(&failed.message);
                refused = self.health.check();
            }
            answers.push((answer, told, verdict.unwrap_or(false)));
        }
        let written = refused.and_then(|()| self.write(group, answers.len()));
        span.record("outcome", if written.is_ok() { "ok" } else { "failed" });
        for (answer, told, passed) in answers {
            if passed && written.is_ok() {
                told.tell();
            }
            // Nobody may wait any more; the batch is written all the same.
            let _ = answer.send(match &written {
                Err(error) => Err(CommitError::Store(error.clone())),
                Ok(()) if passed => Ok(()),
                Ok(()) => Err(CommitError::Guard),
            });
        }
    }

    /// Makes a group durable, then visible. Any failure poisons the store.
    ///
    /// The process dies before the flush: the group is there as a whole or not at all, and nobody was told. After: it
    /// is there.
    fn write(&mut self, group: Group, batches: usize) -> Result<()> {
        if group.values().all(|seen| seen.change.is_none()) {
            return Ok(());
        }
        // Also where nobody watches yet: who begins to while the flush goes on reads what was there before it.
        let written: Vec<Vec<u8>> = group.iter().filter(|(_, seen)| seen.change.is_some()).map(|(key, _)| key.clone()).collect();
        let begun = Instant::now();
        let flushed = self.tree.apply(group).map_err(|e| e.message).and_then(|()| (self.flush)());
        metrics::store_flushed(batches, begun.elapsed().as_secs_f64(), flushed.is_ok());
        if let Err(reason) = flushed {
            self.health.poison(&reason);
        }
        // A thread of sled's may have died and yet the flush came back: it is not to be believed.
        self.health.check()?;
        self.tree.reveal();
        self.watchers.tell(&written);
        Ok(())
    }
}

/// True if the batch's guards hold, given the tree and what earlier batches of the group changed; then its changes
/// are part of the group.
fn judge(tree: &Tree, group: &mut Group, batch: Batch) -> Result<bool> {
    for (key, expected) in batch.guards {
        let seen = look(tree, group, key)?;
        let now = seen.change.as_ref().map_or(seen.durable.as_deref(), |change| change.as_deref());
        if !row::is(now, expected.as_deref()) {
            return Ok(false);
        }
    }
    for (key, row) in batch.writes {
        look(tree, group, key)?.change = Some(row);
    }
    Ok(true)
}

fn look<'g>(tree: &Tree, group: &'g mut Group, key: Vec<u8>) -> Result<&'g mut Seen> {
    use std::collections::btree_map::Entry;
    Ok(match group.entry(key) {
        Entry::Occupied(seen) => seen.into_mut(),
        Entry::Vacant(place) => {
            let durable = tree.latest(place.key())?;
            place.insert(Seen { durable, change: None })
        }
    })
}

/// How many of the batches that wait share the next flush: one at least, more while they are small.
fn how_many_fit(waiting: &[Waiting]) -> usize {
    let mut bytes = 0;
    let fit = waiting.iter().take_while(|waiting| {
        let before = bytes;
        bytes += waiting.batch.bytes();
        before == 0 || bytes <= limits::COMMIT_GROUP_BYTES_MAX
    });
    fit.count()
}

/// Runs a future on this thread, asleep while it waits. The store's own need no more than this.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
