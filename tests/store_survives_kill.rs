//! A process that writes to the store is killed, 50 times on one directory. All that it acknowledged is there,
//! and no batch is torn.
//!
//! SIGKILL leaves the kernel's cache alone, so this sees a missing flush of the process's own buffers and not a
//! missing sync; the store's own tests hold the sync itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reprise::ids::{Digest, JobId, Space, random_u64};
use reprise::json::Json;
use reprise::store::{Batch, CommitError, EntryKey, JobKey, Payload, StatusKey, Store};
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 50;
const DIR: &str = "REPRISE_TEST_KILLED_DIR";
/// Two threads for each job, so that guards have something to guard.
const THREADS: u8 = 4;
const JOBS: u8 = 2;

/// What is written once per batch, guarded by its old value.
#[derive(Serialize, Deserialize, Clone, Copy, Default)]
struct Head {
    batches: u64,
    entries: usize,
}

/// One of the one to four entries of a batch; each names the whole batch.
#[derive(Serialize, Deserialize)]
struct Entry {
    batch: u64,
    first: usize,
    count: usize,
    writer: u8,
    filler: String,
    payload: Payload,
}

fn job_id(job: u8) -> JobId {
    JobId::from_bytes([job; 16])
}

fn head_key(job: u8) -> JobKey {
    JobKey { space: Space::default_space(), job_id: job_id(job) }
}

/// The index: a job stands in it under its number of batches, modulo 3.
fn status_key(job: u8, batches: u64) -> StatusKey {
    let status = [0, 1, 2].into_iter().find(|status| u64::from(*status) == batches % 3).expect("a remainder of 3");
    StatusKey { status, space: Space::default_space(), job_id: job_id(job) }
}

fn head(store: &Store, job: u8) -> (Head, Option<Vec<u8>>) {
    let row = store.get(&head_key(job)).unwrap();
    (row.as_ref().map_or(Head::default(), |row| serde_json::from_slice(row).unwrap()), row)
}

/// What an acknowledgement says of a batch: enough to know it again.
fn digest(rows: &[Vec<u8>]) -> Digest {
    Digest::of_parts(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(Path::new(&dir)).unwrap();
    // The test harness may have begun a line.
    println!();
    std::thread::scope(|scope| {
        for writer in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                loop {
                    // The line is made before the output is locked, or the writers would come one after another.
                    let line = write_one(store, writer);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// Commits one batch and returns the line that acknowledges it.
fn write_one(store: &Store, writer: u8) -> String {
    let job = writer % JOBS;
    loop {
        let (before, row) = head(store, job);
        let random = random_u64();
        let (count, first) = ([1, 2, 3, 4][usize::from(random.to_be_bytes()[0] % 4)], before.entries);
        let large = |one_in: u64| if random.is_multiple_of(one_in) { 50_000 } else { 10 };
        let rows: Vec<Vec<u8>> = (first..first + count)
            .map(|seq| {
                let json = Json::parse(format!(r#"["{}",{seq}]"#, "p".repeat(large(20))).as_bytes()).unwrap();
                let filler = "f".repeat(large(30));
                let entry = Entry { batch: before.batches, first, count, writer, filler, payload: store.save(&json).unwrap() };
                serde_json::to_vec(&entry).unwrap()
            })
            .collect();
        let after = Head { batches: before.batches + 1, entries: first + count };
        let mut batch = Batch::new();
        batch.expect(&head_key(job), row.as_deref());
        batch.put(&head_key(job), serde_json::to_vec(&after).unwrap());
        batch.delete(&status_key(job, before.batches));
        batch.put(&status_key(job, after.batches), vec![]);
        for (seq, row) in (first as u64..).zip(&rows) {
            batch.put(&EntryKey { job_id: job_id(job), seq }, row.clone());
        }
        match store.commit_blocking(batch) {
            Ok(()) => return format!("ack {job} {} {}\n", before.batches, digest(&rows)),
            Err(CommitError::Guard) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

/// Which batches were acknowledged, and with what in them.
type Acknowledged = BTreeMap<(u8, u64), String>;

/// Lets a child write until `acks` batches are acknowledged, kills it, and notes all that it said.
fn write_and_kill(dir: &Path, acks: u64, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_survives_kill::child_writes_until_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut heard = 0;
    while heard < acks {
        assert!(hear(&mut lines, &mut heard, acknowledged), "the child ended by itself: {:?}", child.wait());
    }
    kill(&mut child);
    while hear(&mut lines, &mut heard, acknowledged) {}
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let end = child.wait().unwrap();
    assert!(!end.success(), "it was killed: {end}");
}

/// One line of the child's; false at the end of what it wrote. A line that was cut acknowledges nothing.
fn hear(lines: &mut impl BufRead, heard: &mut u64, acknowledged: &mut Acknowledged) -> bool {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let Some(whole) = line.strip_suffix('\n') else { return false };
    if let ["ack", job, batch, digest] = whole.split(' ').collect::<Vec<_>>()[..] {
        let twice = acknowledged.insert((job.parse().unwrap(), batch.parse().unwrap()), digest.to_owned());
        assert_eq!(twice, None, "two writers were told that they wrote batch {batch} of job {job}");
        *heard += 1;
    }
    true
}

/// Holds what is stored to what was acknowledged, and to itself. Reads the large payloads of entries from `new_from` on.
fn verify(store: &Store, acknowledged: &Acknowledged, new_from: &mut [usize; JOBS as usize]) {
    for job in 0..JOBS {
        let (head, _) = head(store, job);
        let rows = store.scan(&EntryKey::of_job(&job_id(job)), None, usize::MAX).unwrap();
        assert_eq!(rows.len(), head.entries, "the head of job {job} counts its entries");
        let (mut at, mut batch) = (0, 0);
        while at < rows.len() {
            let first: Entry = serde_json::from_slice(&rows[at].1).unwrap();
            assert_eq!((first.batch, first.first), (batch, at));
            let whole: Vec<Vec<u8>> = rows[at..].iter().take(first.count).map(|(_, row)| row.clone()).collect();
            assert_eq!(whole.len(), first.count, "batch {batch} of job {job} is torn");
            for ((key, row), seq) in rows[at..].iter().take(whole.len()).zip(at..) {
                let entry: Entry = serde_json::from_slice(row).unwrap();
                let of_batch = (entry.batch, entry.first, entry.count, entry.writer);
                assert_eq!(of_batch, (first.batch, first.first, first.count, first.writer), "batch {batch} of job {job} is torn");
                assert_eq!(key.seq, seq as u64);
                if seq >= new_from[usize::from(job)] {
                    let json = store.load(&entry.payload).unwrap();
                    assert!(json.as_str().ends_with(&format!(",{seq}]")));
                }
            }
            if let Some(known) = acknowledged.get(&(job, batch)) {
                assert_eq!(known, &digest(&whole).to_string(), "batch {batch} of job {job} is not what was acknowledged");
            }
            at += whole.len();
            batch += 1;
        }
        assert_eq!(batch, head.batches);
        let last = acknowledged.range((job, 0)..=(job, u64::MAX)).next_back().map_or(0, |((_, batch), _)| batch + 1);
        assert!(last <= head.batches, "batch {} of job {job} was acknowledged and is gone; {} are there", last - 1, head.batches);
        for status in 0..3 {
            let listed = store.get(&status_key(job, status)).unwrap().is_some();
            assert_eq!(listed, batch > 0 && status == head.batches % 3, "the index was written with the head");
        }
        new_from[usize::from(job)] = head.entries;
    }
}

#[test]
fn c18_all_that_was_acknowledged_is_there_after_fifty_kills_and_nothing_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let (mut acknowledged, mut verified) = (Acknowledged::new(), [0; JOBS as usize]);
    for _ in 0..ROUNDS {
        write_and_kill(&dir, random_u64() % 200, &mut acknowledged);
        verify(&Store::open(&dir).unwrap(), &acknowledged, &mut verified);
    }
    verify(&Store::open(&dir).unwrap(), &acknowledged, &mut [0; JOBS as usize]);
    assert!(acknowledged.len() > ROUNDS * 20, "they had something to lose: {}", acknowledged.len());
}
