//! Rows and values of every size: in the tree, beside it, or refused.

use super::*;

#[tokio::test]
async fn a_row_too_large_for_the_tree_is_a_blob_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (seq, bytes) in [limits::ROW_INLINE_BYTES_MAX, limits::ROW_INLINE_BYTES_MAX + 1, 5_000_000].into_iter().enumerate() {
        let (key, value) = (entry(1, seq as u64), vec![b'x'; bytes]);
        store.commit(puts(&[(&key, &value)])).await.unwrap();
        assert_eq!(store.get(&key).unwrap().unwrap(), value);
        assert_eq!(store.blobs().has(&Digest::of(&value)), bytes > limits::ROW_INLINE_BYTES_MAX);
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
