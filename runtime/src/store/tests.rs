//! What the store promises, in one process. That it survives a real kill is tested from outside.

use std::fs::{self, File};
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::ids::{JobId, RunId, Space, StepId};

mod scans;
mod sizes;

fn entry(job: u8, seq: u64) -> EntryKey {
    EntryKey { job_id: JobId::from_bytes([job; 16]), seq }
}

fn puts(rows: &[(&EntryKey, &[u8])]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(*key, value.to_vec());
    }
    batch
}

/// A store whose flushes wait for a word from the test: it hears that one has begun, and lets it go on.
///
/// `go_on` stands first, so that it is dropped first: a store that is dropped waits for its committer.
struct Held {
    go_on: mpsc::Sender<()>,
    begun: mpsc::Receiver<()>,
    store: Store,
}

impl Held {
    fn open(dir: &Path) -> Held {
        let (begins, begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let around = |mut flush: Flush| -> Flush {
            Box::new(move || {
                let _ = begins.send(());
                let _ = may_go_on.recv();
                flush()
            })
        };
        Held { go_on, begun, store: Store::open_with(dir, around).unwrap() }
    }

    /// Waits until a flush has begun.
    fn begun(&self) {
        self.begun.recv_timeout(FOR_EVER).unwrap();
    }

    /// Writes without holding.
    fn write(&self, batch: Batch) {
        self.go_on.send(()).unwrap();
        self.store.commit_blocking(batch).unwrap();
        self.begun();
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A test that waits this long would wait for ever.
const FOR_EVER: std::time::Duration = std::time::Duration::from_secs(30);

/// Polls until it is ready, which it will be without further help.
fn finish<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let begin = std::time::Instant::now();
    while begin.elapsed() < FOR_EVER {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return value;
        }
        std::thread::yield_now();
    }
    panic!("nobody answers");
}

#[test]
fn what_was_committed_is_there_after_closing_and_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20u64 {
        let store = Store::open(dir.path()).unwrap();
        for before in 0..round {
            assert_eq!(store.get(&entry(1, before)).unwrap().unwrap(), before.to_be_bytes());
        }
        assert_eq!(store.get(&entry(1, round)).unwrap(), None);
        store.commit_blocking(puts(&[(&entry(1, round), &round.to_be_bytes())])).unwrap();
        let clone = store.clone();
        drop(store);
        assert!(clone.get(&entry(1, round)).unwrap().is_some(), "a clone keeps it open");
    }
}

#[test]
fn a_second_open_is_refused_until_the_first_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.note("serving on 127.0.0.1:7480").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.code, Code::DataDirInUse);
    assert!(error.message.contains(&std::process::id().to_string()), "{error}");
    assert!(error.message.contains("127.0.0.1:7480"), "{error}");
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[test]
fn damaged_files_are_an_error_and_no_panic() {
    for (file, content) in
        [("conf", &b"segment_size: 512\nuse_compression: false\nversion: 0.34\nabcd"[..]), ("snap.0000000000000100", b"no snapshot")]
    {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        fs::write(dir.path().join("sled").join(file), content).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert_eq!(error.code, Code::DataCorrupt, "{error}");
        assert!(error.message.contains("sled"), "{error}");
    }
}

#[test]
fn a_batch_whose_guard_fails_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit_blocking(puts(&[(&entry(1, 0), b"a")])).unwrap();
    for (key, expected, holds) in [
        (entry(1, 0), Some(&b"a"[..]), true),
        (entry(1, 0), Some(b"b"), false),
        (entry(1, 0), Some(b""), false),
        (entry(1, 0), None, false),
        (entry(1, 1), None, true),
        (entry(1, 1), Some(b""), false),
    ] {
        let mut batch = puts(&[(&entry(2, 0), b"written"), (&entry(2, 1), b"too")]);
        batch.expect(&key, expected);
        let result = store.commit_blocking(batch);
        assert_eq!(result.is_ok(), holds, "{key:?} {expected:?}");
        assert!(holds || matches!(result, Err(CommitError::Guard)));
        for seq in [0, 1] {
            assert_eq!(store.get(&entry(2, seq)).unwrap().is_some(), holds, "{key:?} {expected:?}");
        }
        let mut batch = Batch::new();
        batch.delete(&entry(2, 0));
        batch.delete(&entry(2, 1));
        store.commit_blocking(batch).unwrap();
        assert_eq!(store.get(&entry(2, 0)).unwrap(), None);
    }
    assert_eq!(Error::from(CommitError::Guard).code, Code::Contended);
}

#[test]
fn within_a_batch_guards_come_before_writes_and_the_last_write_stands() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut batch = puts(&[(&entry(1, 0), b"first"), (&entry(1, 0), b"last")]);
    batch.expect(&entry(1, 0), None);
    batch.put(&entry(1, 1), b"gone".to_vec());
    batch.delete(&entry(1, 1));
    store.commit_blocking(batch).unwrap();
    assert_eq!(store.get(&entry(1, 0)).unwrap().unwrap(), b"last");
    assert_eq!(store.get(&entry(1, 1)).unwrap(), None);
    store.commit_blocking(Batch::new()).unwrap();
    assert!(Batch::new().is_empty());
}

#[test]
fn many_threads_that_increment_under_a_guard_lose_nothing() {
    const THREADS: u64 = 8;
    const EACH: u64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, refused) = (&store, &refused);
            scope.spawn(move || {
                for n in 0..EACH {
                    loop {
                        let now = store.get(&entry(1, 0)).unwrap();
                        let count = now.as_ref().map_or(0, |now| u64::from_be_bytes(now.as_slice().try_into().unwrap()));
                        let mut batch = puts(&[(&entry(1, 0), &(count + 1).to_be_bytes()), (&entry(2, thread * EACH + n), b"")]);
                        batch.expect(&entry(1, 0), now.as_deref());
                        match store.commit_blocking(batch) {
                            Ok(()) => break,
                            Err(CommitError::Guard) => refused.fetch_add(1, Ordering::Relaxed),
                            Err(e) => panic!("{e}"),
                        };
                    }
                }
            });
        }
    });
    assert_eq!(store.get(&entry(1, 0)).unwrap().unwrap(), (THREADS * EACH).to_be_bytes());
    let written = store.scan(&EntryKey::of_job(&JobId::from_bytes([2; 16])), None, usize::MAX).unwrap();
    assert_eq!(written.len() as u64, THREADS * EACH);
    assert!(refused.into_inner() > 0, "the threads did meet");
}

#[test]
fn of_two_batches_in_one_group_the_second_sees_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::open(dir.path());
    let store = &held.store;
    let guarded = |value: &[u8]| {
        let mut batch = puts(&[(&entry(1, 0), value)]);
        batch.expect(&entry(1, 0), None);
        batch
    };
    // The first flush is held, so that the three that follow wait together and become one group.
    let mut opener = pin!(store.commit(puts(&[(&entry(9, 0), b"")])));
    assert!(poll(opener.as_mut()).is_pending());
    held.begun();
    let (mut a, mut b, mut c) =
        (pin!(store.commit(guarded(b"a"))), pin!(store.commit(guarded(b"b"))), pin!(store.commit(puts(&[(&entry(1, 1), b"c")]))));
    assert!(poll(a.as_mut()).is_pending() && poll(b.as_mut()).is_pending() && poll(c.as_mut()).is_pending());
    held.go_on.send(()).unwrap();
    finish(opener).unwrap();
    held.begun();
    assert!(poll(b.as_mut()).is_pending(), "that the guard failed is not told before the flush either");
    held.go_on.send(()).unwrap();
    finish(a).unwrap();
    assert!(matches!(finish(b), Err(CommitError::Guard)));
    finish(c).unwrap();
    assert_eq!(store.get(&entry(1, 0)).unwrap().unwrap(), b"a");
    assert!(held.begun.try_recv().is_err(), "three batches took one flush");
}

#[test]
fn nothing_is_acknowledged_nor_seen_before_the_flush() {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::open(dir.path());
    let store = &held.store;
    held.write(puts(&[(&entry(1, 0), b"old"), (&entry(1, 1), b"stays")]));
    let mut batch = puts(&[(&entry(1, 0), b"new"), (&entry(1, 2), b"new")]);
    batch.delete(&entry(1, 1));
    let mut commit = pin!(store.commit(batch));
    assert!(poll(commit.as_mut()).is_pending());
    held.begun();
    // It is applied, and the flush has begun. If it were acknowledged now, the answer would be here already.
    assert!(poll(commit.as_mut()).is_pending());
    let rows = |store: &Store| store.scan(&EntryKey::of_job(&JobId::from_bytes([1; 16])), None, 10).unwrap();
    assert_eq!(rows(store), [(entry(1, 0), b"old".to_vec()), (entry(1, 1), b"stays".to_vec())]);
    assert_eq!(store.get(&entry(1, 0)).unwrap().unwrap(), b"old");
    assert_eq!(store.get(&entry(1, 1)).unwrap().unwrap(), b"stays");
    assert_eq!(store.get(&entry(1, 2)).unwrap(), None);
    held.go_on.send(()).unwrap();
    finish(commit).unwrap();
    assert_eq!(rows(store), [(entry(1, 0), b"new".to_vec()), (entry(1, 2), b"new".to_vec())]);
}

#[test]
fn a_batch_is_written_though_nobody_waits_for_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::open(dir.path());
    {
        let mut commit = pin!(held.store.commit(puts(&[(&entry(1, 0), b"whole"), (&entry(1, 1), b"whole")])));
        assert!(poll(commit.as_mut()).is_pending());
        held.begun();
    }
    // One that was never polled is not handed over.
    drop(held.store.commit(puts(&[(&entry(2, 0), b"never")])));
    held.go_on.send(()).unwrap();
    drop(held);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.get(&entry(1, 0)).unwrap().unwrap(), b"whole");
    assert_eq!(store.get(&entry(1, 1)).unwrap().unwrap(), b"whole");
    assert_eq!(store.get(&entry(2, 0)).unwrap(), None);
}

/// What is seen of a store after its log could not be synced any more.
fn assert_poisoned(store: &Store, acknowledged: &EntryKey, refused: &EntryKey, reason: &str) {
    for _ in 0..3 {
        let error = Error::from(store.commit_blocking(puts(&[(&entry(7, 0), b"later")])).unwrap_err());
        assert_eq!(error.code, Code::StorePoisoned);
        assert!(error.message.contains(reason), "{error}");
    }
    assert!(store.get(acknowledged).unwrap().is_some());
    assert_eq!(store.get(refused).unwrap(), None, "what was not acknowledged is not shown");
    assert_eq!(store.scan(&EntryKey::of_job(&refused.job_id), None, 10).unwrap(), []);
}

#[test]
fn when_the_disk_refuses_the_sync_the_store_stops_writing_and_goes_on_reading() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = entry(1, 0);
    let store = Store::open(dir.path()).unwrap();
    store.commit_blocking(puts(&[(&acknowledged, b"kept")])).unwrap();
    drop(store);

    // The real flush, its log exchanged for a device that the kernel cannot sync. Only fdatasync notices.
    let tree = Arc::new(Tree::open(&dir.path().join("sled")).unwrap());
    let health = Health::new();
    let flush = tree.flusher_onto(File::open("/dev/null").unwrap());
    let committer = Committer::start(tree.clone(), flush, health.clone()).unwrap();
    let dir_held = Arc::new(DataDir::open(dir.path()).unwrap());
    let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
    let store = Store(Arc::new(Open { committer: Some(committer), tree: Some(tree), blobs, health, dir: dir_held }));
    let error = Error::from(store.commit_blocking(puts(&[(&entry(2, 0), b"a value to be found in the log")])).unwrap_err());
    assert_eq!(error.code, Code::StorePoisoned);
    let log = fs::read(dir.path().join("sled/db")).unwrap();
    let found = log.windows(30).any(|window| window == b"a value to be found in the log");
    assert!(found, "the log is written before it is synced, not after");
    assert_poisoned(&store, &acknowledged, &entry(2, 0), "refused to sync");
}

#[test]
fn a_panic_of_the_thread_that_writes_poisons_the_store_as_a_failure_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut flushes = 0;
    let around = |mut flush: Flush| -> Flush {
        Box::new(move || {
            flushes += 1;
            assert!(flushes < 2, "the flush broke");
            flush()
        })
    };
    let store = Store::open_with(dir.path(), around).unwrap();
    store.commit_blocking(puts(&[(&entry(1, 0), b"kept")])).unwrap();
    let error = Error::from(store.commit_blocking(puts(&[(&entry(2, 0), b"")])).unwrap_err());
    assert_eq!(error.code, Code::StorePoisoned);
    assert_poisoned(&store, &entry(1, 0), &entry(2, 0), "");
}

/// Only as a process of its own: the death of one of sled's threads poisons every store of the process.
#[test]
fn child_loses_a_thread_of_sleds() {
    if std::env::var_os("REPRISE_TEST_LOSES_A_THREAD").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let held = Held::open(dir.path());
    let store = &held.store;
    held.write(puts(&[(&entry(1, 0), b"kept")]));
    let mut under_way = Box::pin(store.commit(puts(&[(&entry(2, 0), b"")])));
    assert!(poll(under_way.as_mut()).is_pending());
    held.begun();
    let mut queued = Box::pin(store.commit(puts(&[(&entry(2, 1), b"")])));
    assert!(poll(queued.as_mut()).is_pending());
    // The committer now waits in a flush that does not come back.
    let dies = std::thread::Builder::new().name("sled-io-7".to_owned()).spawn(|| panic!("segment double-freed")).unwrap();
    assert!(dies.join().is_err());
    for result in [finish(under_way.as_mut()), finish(queued.as_mut())] {
        let error = Error::from(result.unwrap_err());
        assert_eq!(error.code, Code::StorePoisoned);
        assert!(error.message.contains("segment double-freed"), "{error}");
    }
    assert_poisoned(store, &entry(1, 0), &entry(2, 0), "segment double-freed");
    drop((under_way, queued));
    drop(held.store);
    println!("the child came to its end");
}

#[test]
fn when_a_thread_of_sleds_dies_all_who_wait_are_told_and_the_process_lives() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_loses_a_thread_of_sleds", "--nocapture"])
        .env("REPRISE_TEST_LOSES_A_THREAD", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("the child came to its end"), "{said}{}", String::from_utf8_lossy(&child.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_commit_at_once_and_each_finds_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for job in 0..64u8 {
        let store = store.clone();
        tasks.spawn(async move {
            for seq in 0..10u64 {
                let mut batch = puts(&[(&entry(job, seq), &[job; 100]), (&entry(job, 100), &seq.to_be_bytes())]);
                batch.expect(&entry(job, seq), None);
                store.commit(batch).await.unwrap();
                assert_eq!(store.get(&entry(job, 100)).unwrap().unwrap(), seq.to_be_bytes(), "who was acknowledged reads it");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    for job in 0..64u8 {
        assert_eq!(store.scan(&EntryKey::of_job(&JobId::from_bytes([job; 16])), None, 1000).unwrap().len(), 11);
    }
}
