//! After a failed flush, or the death of a thread that writes, nothing more is written and reads go on.

use super::*;

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
    let watchers = Arc::<Watchers>::default();
    let committer = Committer::start(tree.clone(), flush, health.clone(), watchers.clone()).unwrap();
    let dir_held = Arc::new(DataDir::open(dir.path()).unwrap());
    let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
    let store = Store(Arc::new(Open {
        committer: Some(committer),
        tree: Some(tree),
        blobs,
        health,
        dir: dir_held,
        watchers,
        opening: crate::ids::fresh_uuid(),
        fates: Default::default(),
    }));
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
        .args(["--exact", "store::tests::poison::child_loses_a_thread_of_sleds", "--nocapture"])
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

#[tokio::test]
async fn a_row_too_large_for_the_tree_is_a_blob_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (seq, bytes) in [limits::ROW_INLINE_BYTES_MAX, limits::ROW_INLINE_BYTES_MAX + 1, 5_000_000].into_iter().enumerate() {
        let (key, value) = (entry(1, seq as u64), vec![b'x'; bytes]);
        store.commit(puts(&[(&key, &value)])).await.unwrap();
        assert_eq!(store.get(&key).unwrap().unwrap(), value);
        assert_eq!(store.blobs().path(&Digest::of(&value)).is_file(), bytes > limits::ROW_INLINE_BYTES_MAX);
        let mut other = value.clone();
        other[0] = b'y';
        for (expected, holds) in [(None, false), (Some(&other), false), (Some(&value), true)] {
            let mut batch = Batch::new();
            batch.expect(&key, expected.map(Vec::as_slice));
            assert_eq!(store.commit_blocking(batch).is_ok(), holds);
        }
        store.commit_blocking(puts(&[(&key, &other)])).unwrap();
        assert_eq!(store.scan(&EntryKey::of_job(&key.job_id), None, 10).unwrap().pop().unwrap(), (key, other));
    }
}
