//! Who holds the newest row of a job writes its journal, and nobody else; what was flushed is there, and nothing else.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use reprise::error::{Code, Error, Result};
use reprise::ids::{Digest, JobId, Space};
use reprise::journal::{self, Body, CreateError, Entry, Head, Log, Status, runnable};
use reprise::limits;
use reprise::store::{Batch, EntryKey, IdempotencyKey, JobKey, StatusKey, Store};

use crate::worker::{Place, called, completed, created, failed, json, place, returned, time, uncertain};

async fn new_job(place: &Place) -> Log {
    Log::create(&place.store, &place.space, JobId::fresh(), created(), None, FIRST).await.unwrap()
}

/// Workers by their numbers: the one that makes a job, and the one that takes it up where the first is gone.
const FIRST: u64 = 1;
const SECOND: u64 = 2;

async fn reopened(place: &Place, job_id: JobId) -> (Log, Vec<Entry>) {
    Log::reopen(&place.store, &place.space, job_id, SECOND, Some(FIRST)).await.unwrap()
}

async fn refused(place: &Place, job_id: JobId) -> Error {
    Log::reopen(&place.store, &place.space, job_id, SECOND, Some(FIRST)).await.map(|_| ()).unwrap_err()
}

/// What lies in the store, in words.
fn kinds(place: &Place, job_id: JobId) -> Vec<&'static str> {
    let entries = journal::read(&place.store, &place.space, &job_id, None, 500).unwrap();
    entries.iter().map(|entry| entry.body.kind()).collect()
}

fn head(place: &Place, job_id: JobId) -> Head {
    journal::head_of(&place.store, &place.space, &job_id).unwrap().unwrap()
}

/// The statuses under which the job is listed; there must be one.
fn listed_as(place: &Place, job_id: JobId) -> Vec<Status> {
    let is_listed = |status: &Status| {
        let key = StatusKey { status: status.number(), space: place.space.clone(), job_id };
        place.store.get(&key).unwrap().is_some()
    };
    Status::ALL.into_iter().filter(is_listed).collect()
}

#[tokio::test]
async fn a_created_job_is_there_with_everything_by_which_it_is_found() {
    let place = place();
    let key = IdempotencyKey { space: place.space.clone(), key: "order-7".to_owned() };
    let job_id = JobId::fresh();
    let log = Log::create(&place.store, &place.space, job_id, created(), Some((key.clone(), b"row".to_vec())), FIRST).await.unwrap();
    assert_eq!((log.state().status(), log.pending(), log.epoch()), (Status::Ready, 0, 1));
    assert_eq!(kinds(&place, job_id), ["created"]);
    assert_eq!(head(&place, job_id).next_seq, 2);
    assert_eq!(listed_as(&place, job_id), [Status::Ready]);
    assert_eq!(place.store.get(&key).unwrap().as_deref(), Some(b"row".as_slice()));

    // The same key again: refused, and nothing of the second job is there.
    let second = JobId::fresh();
    let again = Log::create(&place.store, &place.space, second, created(), Some((key, b"other".to_vec())), FIRST).await;
    assert!(matches!(again, Err(CreateError::KeyTaken)), "{again:?}");
    assert!(journal::head_of(&place.store, &place.space, &second).unwrap().is_none());
    assert_eq!(listed_as(&place, second), []);
    assert!(place.store.get(&EntryKey { job_id: second, seq: 1 }).unwrap().is_none());

    // The same job id again, under another key: refused, and the key stays free.
    let key = IdempotencyKey { space: place.space.clone(), key: "order-8".to_owned() };
    let again = Log::create(&place.store, &place.space, job_id, created(), Some((key.clone(), b"row".to_vec())), FIRST).await;
    assert!(matches!(again, Err(CreateError::Failed(Error { code: Code::JobStateConflict, .. }))), "{again:?}");
    assert!(place.store.get(&key).unwrap().is_none());
}

#[tokio::test]
async fn a_job_begins_with_created_and_with_nothing_else() {
    let place = place();
    let made = Log::create(&place.store, &place.space, JobId::fresh(), called(1), None, FIRST).await;
    assert!(matches!(made, Err(CreateError::Failed(Error { code: Code::InternalError, .. }))), "{made:?}");
}

#[tokio::test]
async fn nothing_is_on_disk_before_the_flush_and_all_of_it_after() {
    let place = place();
    let mut log = new_job(&place).await;
    let job_id = log.job_id();
    for body in [time(1), called(1)] {
        log.push(body).unwrap();
    }
    assert_eq!((log.pending(), kinds(&place, job_id)), (2, vec!["created"]));
    assert_eq!(listed_as(&place, job_id), [Status::Ready]);
    assert!(log.pending_bytes() > 0);

    log.flush().await.unwrap();
    assert_eq!((log.pending(), log.pending_bytes(), kinds(&place, job_id)), (0, 0, vec!["created", "recorded", "called"]));
    assert_eq!(listed_as(&place, job_id), [Status::Running]);

    log.push(returned(1)).unwrap();
    log.push(completed()).unwrap();
    log.flush().await.unwrap();
    log.flush().await.unwrap();
    assert_eq!(kinds(&place, job_id), ["created", "recorded", "called", "returned", "completed"]);
    assert_eq!(listed_as(&place, job_id), [Status::Completed]);
    let head = head(&place, job_id);
    assert_eq!((head.status, head.next_seq, head.epoch), (Status::Completed, 6, 1));
}

#[tokio::test]
async fn an_entry_that_cannot_follow_is_refused_and_leaves_the_log_usable() {
    let place = place();
    let mut log = new_job(&place).await;
    log.push(called(1)).unwrap();
    let before = log.state().clone();
    let error = log.push(completed()).unwrap_err();
    assert_eq!(error.code, Code::InternalError);
    assert_eq!(error.message, "entry 3, completed, cannot come as entry 3 of a job that is running and waits for the answer to call 1");
    assert_eq!((log.state(), log.pending()), (&before, 1));
    log.push(returned(1)).unwrap();
    log.push(completed()).unwrap();
    log.flush().await.unwrap();
    assert_eq!(kinds(&place, log.job_id()), ["created", "called", "returned", "completed"]);
}

#[tokio::test]
async fn what_waits_for_a_flush_is_bounded_and_a_flush_makes_room() {
    let place = place();
    let mut log = new_job(&place).await;
    for n in 0..limits::JOURNAL_PENDING_MAX {
        assert_eq!(log.should_flush(), n >= limits::JOURNAL_PENDING_MAX / 2, "{n}");
        log.push(time(7)).unwrap();
    }
    let error = log.push(time(7)).unwrap_err();
    assert_eq!(error.code, Code::TooLarge);
    assert!(error.message.contains("256 entries wait for a flush; 256 may"), "{error}");
    log.flush().await.unwrap();
    log.push(time(7)).unwrap();
    log.flush().await.unwrap();
    assert_eq!(head(&place, log.job_id()).next_seq, 2 + 257);
}

#[tokio::test]
async fn c20_a_worker_that_was_overtaken_writes_nothing_any_more() {
    let place = place();
    let mut older = new_job(&place).await;
    let job_id = older.job_id();
    older.push(called(1)).unwrap();
    older.flush().await.unwrap();
    older.push(returned(1)).unwrap();
    older.push(completed()).unwrap();

    let (mut newer, entries) = reopened(&place, job_id).await;
    assert_eq!((entries.len(), newer.epoch()), (2, 2));
    let error = older.flush().await.unwrap_err();
    assert_eq!(error.code, Code::JobStateConflict);
    assert!(error.message.contains("another worker has taken this job"), "{error}");
    assert_eq!(kinds(&place, job_id), ["created", "called"], "nothing of the older worker's is there");
    assert_eq!(listed_as(&place, job_id), [Status::Running]);

    // It stays so, and the newer one goes on as if nothing had been.
    assert_eq!(older.push(completed()).unwrap_err().code, Code::JobStateConflict);
    assert_eq!(older.flush().await.unwrap_err().code, Code::JobStateConflict);
    newer.push(Body::Resumed { attempt: 2 }).unwrap();
    newer.push(uncertain(1)).unwrap();
    newer.flush().await.unwrap();
    assert_eq!(kinds(&place, job_id), ["created", "called", "resumed", "uncertain"]);
    assert_eq!(listed_as(&place, job_id), [Status::Uncertain]);
}

#[tokio::test]
async fn c07_of_many_workers_that_take_a_job_at_once_one_can_write() {
    let place = place();
    let job_id = new_job(&place).await.job_id();
    let take = || {
        let (store, space) = (place.store.clone(), place.space.clone());
        move |worker| tokio::spawn(async move { write_once(&store, &space, job_id, worker).await })
    };
    let workers: Vec<_> = (10..26).map(|worker| take()(worker)).collect();
    let mut wrote = 0;
    for worker in workers {
        match worker.await.unwrap() {
            Ok(()) => wrote += 1,
            Err(e) => assert_eq!(e.code, Code::JobStateConflict, "{e}"),
        }
    }
    // Whoever took it after another one had written found the job completed.
    assert_eq!(wrote, 1);
    assert_eq!(kinds(&place, job_id), ["created", "completed"]);
}

#[tokio::test]
async fn of_two_workers_that_take_a_job_up_at_the_same_moment_one_gets_it() {
    let place = place();
    let mut refused = 0;
    for _ in 0..20 {
        let job_id = new_job(&place).await.job_id();
        let take = |worker| Log::reopen(&place.store, &place.space, job_id, worker, Some(FIRST));
        let (a, b) = tokio::join!(take(SECOND), take(SECOND + 1));
        let errors: Vec<Error> = [a, b].into_iter().filter_map(Result::err).collect();
        assert!(errors.len() < 2, "one of them gets it");
        for error in errors {
            assert_eq!(error.code, Code::JobStateConflict, "{error}");
            refused += 1;
        }
    }
    assert_eq!(refused, 20, "whoever knew the first to be gone knows nothing of the one that took its place");
}

async fn write_once(store: &Store, space: &Space, job_id: JobId, worker: u64) -> Result<()> {
    let (mut log, _) = Log::reopen(store, space, job_id, worker, Some(FIRST)).await?;
    log.push(completed())?;
    log.flush().await
}

#[tokio::test]
async fn a_reopened_job_goes_on_from_what_was_flushed() {
    let place = place();
    let mut log = new_job(&place).await;
    let job_id = log.job_id();
    log.push(called(1)).unwrap();
    log.flush().await.unwrap();
    log.push(returned(1)).unwrap();
    let flushed = head(&place, job_id);
    drop(log);

    let Place { store, space, dir } = place;
    drop(store);
    let place = Place { store: Store::open(dir.path()).unwrap(), space, dir };
    assert_eq!(
        runnable(&place.store).unwrap().into_iter().map(|(space, job_id, _)| (space, job_id)).collect::<Vec<_>>(),
        [(place.space.clone(), job_id)]
    );
    let (mut log, entries) = reopened(&place, job_id).await;
    assert_eq!(entries.iter().map(|e| (e.seq, e.body.kind())).collect::<Vec<_>>(), [(1, "created"), (2, "called")]);
    assert_eq!(entries[1].body, called(1));
    assert_eq!(
        head(&place, job_id),
        Head { epoch: 2, worker: Some(SECOND), ..flushed },
        "taking a job up changes its lease and nothing else"
    );
    assert_eq!(log.push(returned(1)).unwrap().seq, 3);
    log.push(failed()).unwrap();
    log.flush().await.unwrap();
    assert_eq!(kinds(&place, job_id), ["created", "called", "returned", "failed"]);
    assert_eq!(journal::fold(&place.store, &place.space, &job_id).unwrap(), *log.state());
}

#[tokio::test]
async fn a_job_that_is_not_there_or_has_ended_is_not_taken_up() {
    let place = place();
    assert_eq!(refused(&place, JobId::fresh()).await.code, Code::JobNotFound);
    let mut log = new_job(&place).await;
    let elsewhere = Space::parse(Some("other"), None).unwrap();
    assert_eq!(Log::reopen(&place.store, &elsewhere, log.job_id(), SECOND, Some(FIRST)).await.unwrap_err().code, Code::JobNotFound);
    log.push(completed()).unwrap();
    log.flush().await.unwrap();
    let before = head(&place, log.job_id());
    let error = refused(&place, log.job_id()).await;
    assert_eq!(error.code, Code::JobStateConflict);
    assert!(error.message.ends_with("is completed and takes no more entries"), "{error}");
    assert_eq!(head(&place, log.job_id()), before);
}

#[tokio::test]
async fn a_write_without_an_answer_ends_the_writing() {
    let place = place();
    let mut log = new_job(&place).await;
    let job_id = log.job_id();
    let mut flushed = 1;
    // Drops a flush in the middle, as a cancelled task does. One that was answered at once was none in the middle.
    loop {
        log.push(time(flushed)).unwrap();
        let in_the_middle = pin!(log.flush()).poll(&mut Context::from_waker(Waker::noop()));
        match in_the_middle {
            Poll::Pending => break,
            Poll::Ready(done) => done.unwrap(),
        }
        flushed += 1;
        assert!(flushed < 1000, "a flush of a real disk is not answered at once every time");
    }
    for error in [log.push(time(0)).unwrap_err(), log.flush().await.unwrap_err()] {
        assert_eq!(error.code, Code::StoreUnavailable);
        assert!(error.message.contains("must be reopened"), "{error}");
    }
    // Whether the entry is there or not, the journal is whole and can be gone on with.
    let (mut log, entries) = reopened(&place, job_id).await;
    let there = entries.len() as u64;
    assert!(there == flushed || there == flushed + 1, "{there} entries after {flushed} known flushes");
    log.push(completed()).unwrap();
    log.flush().await.unwrap();
}

/// Changes stored bytes behind the journal's back, reopens the job and says what became of it.
async fn tampered(change: impl FnOnce(&Place, JobId, &mut Batch)) -> Error {
    let place = place();
    let mut log = new_job(&place).await;
    let job_id = log.job_id();
    for body in [called(1), returned(1), called(2), returned(2)] {
        log.push(body).unwrap();
    }
    log.flush().await.unwrap();
    let mut batch = Batch::new();
    change(&place, job_id, &mut batch);
    place.store.commit(batch).await.unwrap();

    let first = refused(&place, job_id).await;
    let again = refused(&place, job_id).await;
    assert_eq!(first.message, again.message, "what is damaged is reported, never repaired");
    assert!(first.message.contains(&job_id.to_string()), "{first}");
    first
}

fn entry_bytes(place: &Place, job_id: JobId, seq: u64) -> Vec<u8> {
    place.store.get(&EntryKey { job_id, seq }).unwrap().unwrap()
}

#[tokio::test]
async fn a_journal_that_is_not_what_was_written_is_refused_with_the_place() {
    let edited = |seq: u64, from: &'static str, to: &'static str| {
        tampered(move |place, job_id, batch| {
            let text = String::from_utf8(entry_bytes(place, job_id, seq)).unwrap();
            assert!(text.contains(from), "{text}");
            batch.put(&EntryKey { job_id, seq }, text.replace(from, to).into_bytes());
        })
    };
    let removed = |seq| tampered(move |_, job_id, batch| batch.delete(&EntryKey { job_id, seq }));
    let swapped = tampered(|place, job_id, batch| {
        batch.put(&EntryKey { job_id, seq: 3 }, entry_bytes(place, job_id, 4));
        batch.put(&EntryKey { job_id, seq: 4 }, entry_bytes(place, job_id, 3));
    });
    let added = tampered(|place, job_id, batch| {
        let head = head(place, job_id);
        let (_, bytes) = journal::stored::seal(head.next_seq, 1, head.last_hash, completed());
        batch.put(&EntryKey { job_id, seq: head.next_seq }, bytes);
    });
    let head_says = |change: fn(Head) -> Head| {
        tampered(move |place, job_id, batch| {
            let key = JobKey { space: place.space.clone(), job_id };
            batch.put(&key, change(head(place, job_id)).encode());
        })
    };
    for (what, error, seq) in [
        ("an edited output", edited(3, r#""bytes":9"#, r#""bytes":8"#).await, 4),
        ("an edited last entry", edited(5, r#""bytes":9"#, r#""bytes":8"#).await, 5),
        ("an edited link", edited(3, r#""prev":""#, r#""prev":"0"#).await, 3),
        ("no JSON any more", edited(2, "{", "[").await, 2),
        ("an entry taken out", removed(2).await, 2),
        ("the last entry taken out", removed(5).await, 5),
        ("two entries swapped", swapped.await, 3),
        ("an entry put behind the end", added.await, 6),
        ("a row of another length", head_says(|head| Head { next_seq: 5, ..head }).await, 5),
        ("a row with another end", head_says(|head| Head { last_hash: Digest::of(b"other"), ..head }).await, 5),
        ("a row with another status", head_says(|head| Head { status: Status::Ready, ..head }).await, 5),
        ("a row of another size", head_says(|head| Head { journal_bytes: 1, ..head }).await, 5),
    ] {
        assert_eq!(error.code, Code::DataCorrupt, "{what}: {error}");
        assert_eq!(error.details, Some(serde_json::json!({ "seq": seq })), "{what}: {error}");
        assert!(error.message.contains(&format!("entry {seq}: ")), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_row_that_does_not_follow_from_the_journal_says_in_what() {
    let error = tampered(|place, job_id, batch| {
        let head = head(place, job_id);
        let wrong = Head { status: Status::Ready, version: 2, ..head };
        batch.put(&JobKey { space: place.space.clone(), job_id }, wrong.encode());
    });
    let message = error.await.message;
    let says = r#"entry 5: the job's row does not follow from the journal: status is "ready" and should be "running", version is 2 and should be 1"#;
    assert!(message.ends_with(says), "{message}");
}

#[tokio::test]
async fn a_worker_that_still_writes_does_not_keep_the_next_one_out() {
    let place = place();
    let mut older = new_job(&place).await;
    let job_id = older.job_id();
    // As fast as it can, until it is told that the job is no longer its own.
    let writing = tokio::spawn(async move {
        for _ in 0..10_000 {
            older.push(time(1))?;
            older.flush().await?;
        }
        Ok::<(), Error>(())
    });
    while head(&place, job_id).next_seq < 5 {
        tokio::task::yield_now().await;
    }
    let (mut newer, entries) = reopened(&place, job_id).await;
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.code, Code::JobStateConflict, "{error}");
    newer.push(completed()).unwrap();
    newer.flush().await.unwrap();
    assert_eq!(head(&place, job_id).next_seq, entries.len() as u64 + 2, "nothing came between");
}

#[tokio::test]
async fn a_value_in_a_blob_is_on_disk_before_the_entry_that_names_it() {
    let place = place();
    let mut log = new_job(&place).await;
    let large = json(&format!("{:?}", "x".repeat(limits::INLINE_BYTES_MAX)));
    let output = place.store.save(&large).unwrap();
    log.push(Body::Completed { output: output.clone(), fuel_used: 1 }).unwrap();
    log.flush().await.unwrap();
    let state = journal::fold(&place.store, &place.space, &log.job_id()).unwrap();
    assert_eq!(state.output.as_ref(), Some(&output));
    assert_eq!(place.store.load(&output).unwrap(), large);
    assert!(head(&place, log.job_id()).journal_bytes < 2_000, "the entry holds the blob's name, not its bytes");
}
