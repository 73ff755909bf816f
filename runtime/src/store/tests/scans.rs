//! Reading by key and in ranges, against an ordered map.

use std::collections::BTreeMap;
use std::pin::pin;

use proptest::prelude::*;

use super::*;

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
    #![proptest_config(ProptestConfig::with_cases(24))]

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
