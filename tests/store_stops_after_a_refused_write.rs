//! The kernel refuses a process any file beyond a size, as a full disk would. The store says so, writes no more,
//! goes on reading, and has lost nothing that it acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use reprise::error::{Code, Error};
use reprise::ids::JobId;
use reprise::store::{Batch, EntryKey, Store};

const DIR: &str = "REPRISE_TEST_REFUSED_DIR";

/// Runs one of the tests below as a process that may not make files larger than `blocks` (of 512 or 1024 bytes, as
/// the shell has it), and gets an error rather than a signal where it tries.
fn run_limited(test: &str, blocks: u32, dir: &Path) -> Output {
    Command::new("sh")
        .args(["-c", &format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#)])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store_stops_after_a_refused_write::{test}"), "--nocapture"])
        .env(DIR, dir)
        .output()
        .unwrap()
}

fn key(seq: u64) -> EntryKey {
    EntryKey { job_id: JobId::from_bytes([1; 16]), seq }
}

fn row(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().repeat(4_000)
}

fn commit(store: &Store, seq: u64) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.put(&key(seq), row(seq));
    Ok(store.commit_blocking(batch)?)
}

#[test]
fn child_writes_until_refused() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(Path::new(&dir)).unwrap();
    let mut acknowledged = 0;
    let refused = loop {
        match commit(&store, acknowledged) {
            Ok(()) => acknowledged += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(refused.code, Code::StorePoisoned);
    assert!(refused.message.contains("File too large"), "the kernel's reason is told: {refused}");
    for seq in acknowledged..acknowledged + 3 {
        assert_eq!(commit(&store, seq).unwrap_err().code, Code::StorePoisoned);
    }
    for seq in 0..acknowledged {
        assert_eq!(store.get(&key(seq)).unwrap().unwrap(), row(seq));
    }
    assert_eq!(store.get(&key(acknowledged)).unwrap(), None, "what was refused is not shown");
    let blob = store.blobs().put(&vec![7; 40_000_000]).unwrap_err();
    assert_eq!(blob.code, Code::StoreUnavailable);
    assert!(blob.message.contains("File too large") && blob.message.contains("blobs"), "{blob}");
    assert!(store.blobs().put(b"small").is_ok());
    drop(store);
    println!("\nacknowledged {acknowledged}");
}

#[test]
fn after_a_refused_write_nothing_that_was_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let child = run_limited("child_writes_until_refused", 24_000, dir.path());
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let acknowledged = said.lines().find_map(|line| line.strip_prefix("acknowledged ")).and_then(|n| n.parse().ok());
    let acknowledged: u64 = acknowledged.unwrap_or_else(|| panic!("it came to its end: {said}"));
    assert!(acknowledged > 50, "{acknowledged}");
    let store = Store::open(dir.path()).unwrap();
    for seq in 0..acknowledged {
        assert_eq!(store.get(&key(seq)).unwrap().unwrap(), row(seq));
    }
    commit(&store, acknowledged).unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path().join("blobs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "two shards were begun, and no temporary file is left: {left:?}");
}

#[test]
fn child_opens_where_nothing_can_be_written() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let error = Store::open(Path::new(&dir)).unwrap_err();
    assert_eq!(error.code, Code::StoreUnavailable);
    assert!(error.message.contains(dir.to_str().unwrap()) && error.message.contains("File too large"), "{error}");
    println!("\nrefused");
}

#[test]
fn a_directory_in_which_nothing_can_be_written_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let child = run_limited("child_opens_where_nothing_can_be_written", 0, dir.path());
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("\nrefused"), "{said}{}", String::from_utf8_lossy(&child.stderr));
    Store::open(dir.path()).unwrap();
}
