//! What the store promises, in one process. That it survives a real kill is tested from outside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::ids::{JobId, RunId, Space, StepId};

mod poison;

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
const FOR_EVER: std::time::Duration = std::time::Duration::from_secs(10);

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
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    fs::write(dir.path().join("sled/conf"), "segment_size: 512\nuse_compression: false\nversion: 0.34\nabcd").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.code, Code::DataCorrupt, "{error}");
    assert!(error.message.contains("sled"), "{error}");
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

#[test]
fn what_is_beyond_a_limit_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut long_key = Batch::new();
    long_key.put(&IdempotencyKey { space: Space::default_space(), key: "k".repeat(limits::KEY_BYTES_MAX) }, vec![]);
    let mut long_batch = Batch::new();
    for seq in 0..=(limits::BATCH_BYTES_MAX / limits::ROW_INLINE_BYTES_MAX) as u64 {
        long_batch.put(&entry(1, seq), vec![0; limits::ROW_INLINE_BYTES_MAX]);
    }
    for (batch, says) in
        [(long_key, "a key of"), (puts(&[(&entry(1, 0), &vec![0; limits::ROW_BYTES_MAX + 1])]), "a row of"), (long_batch, "a batch of")]
    {
        let error = Error::from(store.commit_blocking(batch).unwrap_err());
        assert_eq!(error.code, Code::TooLarge);
        assert!(error.message.contains(says), "{error}");
    }
    assert_eq!(store.scan(&EntryKey::of_job(&JobId::from_bytes([1; 16])), None, 10).unwrap(), []);
    let longest = StepKey {
        space: Space::parse(Some(&"t".repeat(64)), Some(&"😀".repeat(limits::SCOPE_CHARS_MAX))).unwrap(),
        run_id: RunId::parse(&"😀".repeat(limits::ID_CHARS_MAX)).unwrap(),
        step_id: StepId::parse(&"😀".repeat(limits::ID_CHARS_MAX)).unwrap(),
    };
    let mut batch = Batch::new();
    batch.put(&longest, b"the longest key that ids allow".to_vec());
    store.commit_blocking(batch).unwrap();
    assert!(store.get(&longest).unwrap().is_some());
}

/// sled does not sync the files that it makes for pages above a quarter of a segment, so there must be none.
#[test]
fn however_large_rows_and_keys_are_sled_keeps_them_in_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let filling = limits::KEY_BYTES_MAX - 40;
    let key = |order: u64| IdempotencyKey {
        space: Space::default_space(),
        key: format!("{order:020}{}", "k".repeat(filling)).chars().take(filling).collect(),
    };
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let beside = || fs::read_dir(dir.path().join("sled/blobs")).unwrap().count();
    for (from, many) in [(0, 1), (300, 50), (600, 150)] {
        for begin in (from..from + 300).step_by(many) {
            let mut batch = Batch::new();
            for n in begin..begin + many as u64 {
                batch.put(&key(n), vec![1; limits::ROW_INLINE_BYTES_MAX]);
                batch.put(&key(scattered(n)), vec![2; limits::ROW_INLINE_BYTES_MAX]);
                if n % 3 == 0 {
                    batch.delete(&key(scattered(n / 2)));
                }
            }
            store.commit_blocking(batch).unwrap();
            assert_eq!(beside(), 0, "after {} to {}", begin, begin + many as u64);
        }
    }
    // Enough small rows under long keys to fill pages of the index.
    for begin in (0..4_000).step_by(1_000) {
        let mut batch = Batch::new();
        (begin..begin + 1_000).for_each(|n| batch.put(&key(scattered(n)), vec![]));
        store.commit_blocking(batch).unwrap();
        assert_eq!(beside(), 0, "after {begin} short rows");
    }
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.get(&key(899)).unwrap().unwrap().len(), limits::ROW_INLINE_BYTES_MAX);
}

#[test]
fn a_json_value_is_saved_in_the_row_or_beside_it_and_loads_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for chars in [0, limits::INLINE_BYTES_MAX - 2, limits::INLINE_BYTES_MAX - 1, 400_000] {
        let json = Json::from(&serde_json::Value::from("x".repeat(chars)));
        let payload = store.save(&json).unwrap();
        assert_eq!(matches!(payload, Payload::Inline(_)), json.as_str().len() <= limits::INLINE_BYTES_MAX);
        let row = serde_json::to_vec(&payload).unwrap();
        let read: Payload = serde_json::from_slice(&row).unwrap();
        assert_eq!(read, payload);
        assert_eq!(store.load(&read).unwrap(), json);
    }
    let inline = store.save(&Json::parse(br#"{"b":1,"a":[2.5,"x"]}"#).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&inline).unwrap(), r#"{"inline":{"a":[2.5,"x"],"b":1}}"#);
    let blob = Payload::Blob { digest: Digest::of(b"no such"), bytes: 7 };
    assert_eq!(serde_json::to_string(&blob).unwrap(), format!(r#"{{"blob":{{"digest":"{}","bytes":7}}}}"#, Digest::of(b"no such")));
    assert_eq!(store.load(&blob).unwrap_err().code, Code::DataCorrupt);
}

/// Which entry of which job, and its new value or none.
type Change = ((u8, u64), Option<Vec<u8>>);

/// Changes that may be near each other, in three prefixes.
fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    prop::collection::vec(((1..4u8, 0..30u64), value), 0..40)
}

fn batch_of(changes: &[Change], model: &mut BTreeMap<(u8, u64), Vec<u8>>) -> Batch {
    let mut batch = Batch::new();
    for ((job, seq), value) in changes {
        match value {
            Some(value) => {
                batch.put(&entry(*job, *seq), value.clone());
                model.insert((*job, *seq), value.clone());
            }
            None => {
                batch.delete(&entry(*job, *seq));
                model.remove(&(*job, *seq));
            }
        }
    }
    batch
}

/// Reads everything in every way that there is, and compares with a map.
fn assert_reads_as(store: &Store, model: &BTreeMap<(u8, u64), Vec<u8>>, border: u64, limit: usize) {
    for job in 1..4 {
        let prefix = EntryKey::of_job(&JobId::from_bytes([job; 16]));
        let of_job = || model.range((job, 0)..=(job, u64::MAX)).map(|((job, seq), value)| (entry(*job, *seq), value.clone()));
        let all: Vec<_> = of_job().collect();
        assert_eq!(store.scan(&prefix, None, usize::MAX).unwrap(), all);
        assert_eq!(store.scan_back(&prefix, None, usize::MAX).unwrap(), all.into_iter().rev().collect::<Vec<_>>());
        let after: Vec<_> = of_job().filter(|(key, _)| key.seq > border).take(limit).collect();
        assert_eq!(store.scan(&prefix, Some(&entry(job, border)), limit).unwrap(), after);
        let before: Vec<_> = of_job().rev().filter(|(key, _)| key.seq < border).take(limit).collect();
        assert_eq!(store.scan_back(&prefix, Some(&entry(job, border)), limit).unwrap(), before);
        // A border outside the prefix leaves all of it, or nothing.
        let first: Vec<_> = of_job().take(limit).collect();
        let last: Vec<_> = of_job().rev().take(limit).collect();
        assert_eq!(store.scan(&prefix, Some(&entry(0, 0)), limit).unwrap(), first);
        assert_eq!(store.scan(&prefix, Some(&entry(9, 0)), limit).unwrap(), []);
        assert_eq!(store.scan_back(&prefix, Some(&entry(9, 0)), limit).unwrap(), last);
        assert_eq!(store.scan_back(&prefix, Some(&entry(0, 0)), limit).unwrap(), []);
        for seq in 0..30 {
            assert_eq!(store.get(&entry(job, seq)).unwrap().as_ref(), model.get(&(job, seq)));
        }
    }
}

proptest! {
    // A case opens a store; and where one waits in vain, so does every smaller one.
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_time: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_those_of_an_ordered_map_of_what_was_flushed(
        batches in prop::collection::vec(any_changes(), 0..4), unflushed in any_changes(), border in 0..31u64, limit in 0..8usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::open(dir.path());
        let mut model = BTreeMap::new();
        for rows in batches.iter().filter(|rows| !rows.is_empty()) {
            held.write(batch_of(rows, &mut model));
        }
        assert_reads_as(&held.store, &model, border, limit);
        let mut after = model.clone();
        let batch = batch_of(&unflushed, &mut after);
        if !batch.is_empty() {
            let mut commit = pin!(held.store.commit(batch));
            prop_assert!(poll(commit.as_mut()).is_pending());
            held.begun();
            assert_reads_as(&held.store, &model, border, limit);
            held.go_on.send(()).unwrap();
            finish(commit).unwrap();
        }
        assert_reads_as(&held.store, &after, border, limit);
        drop(held);
        assert_reads_as(&Store::open(dir.path()).unwrap(), &after, border, limit);
    }
}

#[test]
fn a_scan_longer_than_is_read_at_once_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let many = 2 * limits::SCAN_ROWS_AT_ONCE + 10;
    let mut batch = Batch::new();
    for seq in 0..many as u64 {
        batch.put(&entry(1, seq), seq.to_be_bytes().to_vec());
    }
    store.commit_blocking(batch).unwrap();
    let prefix = EntryKey::of_job(&JobId::from_bytes([1; 16]));
    for limit in [many - 1, many, many + 1, 2 * limits::SCAN_ROWS_AT_ONCE] {
        let up: Vec<u64> = store.scan(&prefix, None, limit).unwrap().into_iter().map(|(key, _)| key.seq).collect();
        assert_eq!(up, (0..many as u64).take(limit).collect::<Vec<_>>());
        let down: Vec<u64> = store.scan_back(&prefix, None, limit).unwrap().into_iter().map(|(key, _)| key.seq).collect();
        assert_eq!(down, (0..many as u64).rev().take(limit).collect::<Vec<_>>());
    }
}

/// A crash in the middle of an open, and a full disk, leave such files.
#[test]
fn a_torn_snapshot_does_not_stand_before_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let key = entry(1, 1);
    let store = Store::open(dir.path()).unwrap();
    store.commit_blocking(puts(&[(&key, b"there")])).unwrap();
    drop(store);
    let sled = dir.path().join("sled");
    for torn in ["snap.0000000000FFFFFF.generating", "snap.0000000000FFFFFF", "snap.00000000000000FF"] {
        for text in [&b""[..], b"torn"] {
            std::fs::write(sled.join(torn), text).unwrap();
            let store = Store::open(dir.path()).unwrap_or_else(|e| panic!("{torn}: {e}"));
            assert_eq!(store.get(&key).unwrap().unwrap(), b"there", "{torn}");
        }
    }
}
