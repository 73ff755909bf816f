//! Who holds a job, how it lets go, and how those who do not hold it are heard: leases and mail at the journal's door.

use reprise::error::{Code, Error};
use reprise::ids::{JobId, Space};
use reprise::journal::{
    self, Body, CancelRequested, ChildEnd, ChildEnded, ChildStarted, Head, Log, Mail, On, Parent, Paused, Signalled, Status, Waiting, Wake,
    Woken, runnable,
};
use reprise::json::Json;
use reprise::store::{Batch, MailKey, Payload};

use crate::worker::{Place, called, completed, created, failed, json, place, returned, time};

const FIRST: u64 = 11;
const SECOND: u64 = 22;

async fn new_job(place: &Place) -> Log {
    Log::create(&place.store, &place.space, JobId::fresh(), created(), None, FIRST).await.unwrap()
}

fn head(place: &Place, job_id: JobId) -> Head {
    journal::head_of(&place.store, &place.space, &job_id).unwrap().unwrap()
}

async fn take(place: &Place, job_id: JobId, worker: u64, from: Option<u64>) -> Result<Log, Error> {
    Log::reopen(&place.store, &place.space, job_id, worker, from).await.map(|(log, _)| log)
}

fn go() -> On {
    On::Signal { name: "go".to_owned() }
}

fn waiting(wait: u64, on: On) -> Body {
    Body::Waiting(Waiting { wait, step: None, on, until_ms: None })
}

fn signal(id: Option<&str>, payload: &str) -> Signalled {
    Signalled { name: "go".to_owned(), payload: Payload::Inline(json(payload)), signal_id: id.map(str::to_owned), by: None }
}

async fn leave(place: &Place, job_id: JobId, mail: Mail) {
    let mut batch = Batch::new();
    mail.leave(&mut batch, &place.space, job_id);
    place.store.commit(batch).await.unwrap();
}

fn mail(place: &Place, job_id: JobId) -> Vec<(MailKey, Mail)> {
    Mail::of_job(&place.store, &place.space, &job_id).unwrap()
}

#[tokio::test]
async fn c20_a_worker_that_wakes_up_after_its_job_was_taken_writes_nothing_whatever_it_tries() {
    for what in ["answer", "wait", "signal", "mail struck out", "release", "end"] {
        let place = place();
        let mut zombie = new_job(&place).await;
        let job_id = zombie.job_id();
        zombie.push(called(1)).unwrap();
        zombie.flush().await.unwrap();
        leave(&place, job_id, Mail::Signal(signal(None, "1"))).await;

        let newer = take(&place, job_id, SECOND, Some(FIRST)).await.unwrap();
        let before = head(&place, job_id);
        assert_eq!((before.worker, before.epoch), (Some(SECOND), 2));
        let tried = match what {
            "answer" => zombie.push(returned(1)).map(|_| ()),
            "wait" => zombie.push(waiting(1, On::External { call: 1 })).map(|_| ()),
            "signal" => zombie.push(Body::Signalled(signal(None, "2"))).map(|_| ()),
            "mail struck out" => {
                zombie.strike(&mail(&place, job_id).remove(0).0);
                Ok(())
            }
            "end" => zombie.push(returned(1)).and_then(|_| zombie.push(completed())).map(|_| ()),
            _ => Ok(()),
        };
        tried.unwrap();
        let refused = if what == "release" { zombie.release().await } else { zombie.flush().await }.unwrap_err();
        assert_eq!(refused.code, Code::JobStateConflict, "{what}: {refused}");
        assert_eq!(head(&place, job_id), before, "{what}");
        assert_eq!(mail(&place, job_id).len(), 1, "{what}");
        assert_eq!(zombie.push(time(1)).unwrap_err().code, Code::JobStateConflict, "{what}: it is told at once from then on");
        drop(newer);
    }
}

#[tokio::test]
async fn c21_a_job_is_taken_only_from_the_worker_that_is_known_to_be_gone() {
    let place = place();
    let log = new_job(&place).await;
    let job_id = log.job_id();
    for wrong in [None, Some(SECOND), Some(33)] {
        let error = take(&place, job_id, SECOND, wrong).await.unwrap_err();
        assert_eq!(error.code, Code::JobStateConflict, "from {wrong:?}");
        assert_eq!(head(&place, job_id).worker, Some(FIRST), "from {wrong:?}");
    }
    take(&place, job_id, FIRST, None).await.unwrap();
    assert_eq!(head(&place, job_id).epoch, 2, "a worker takes up again what is its own");
    take(&place, job_id, SECOND, Some(FIRST)).await.unwrap();
    let error = take(&place, job_id, 33, Some(FIRST)).await.unwrap_err();
    assert_eq!(error.code, Code::JobStateConflict, "the one that was gone no longer has it");
}

#[tokio::test]
async fn c24_of_many_writers_that_know_the_same_end_one_appends_and_other_jobs_are_not_touched() {
    let place = place();
    let (job_id, other) = (new_job(&place).await.job_id(), new_job(&place).await.job_id());
    let mut writers = Vec::new();
    // All of them are the same worker, so that nothing but the end of the journal stands between them.
    for _ in 0..8 {
        writers.push(take(&place, job_id, FIRST, None).await.unwrap());
    }
    let mut elsewhere = take(&place, other, FIRST, None).await.unwrap();
    let newest = writers.len() - 1;
    let mut wrote = Vec::new();
    for (n, writer) in writers.iter_mut().enumerate() {
        writer.push(time(n as u64)).unwrap();
        match writer.flush().await {
            Ok(()) => wrote.push(n),
            Err(e) => assert_eq!(e.code, Code::JobStateConflict, "{e}"),
        }
        elsewhere.push(time(n as u64)).unwrap();
        elsewhere.flush().await.unwrap();
    }
    assert_eq!(wrote, [newest]);
    assert_eq!((head(&place, job_id).next_seq, head(&place, other).next_seq), (3, 10));
}

#[tokio::test]
async fn c25_a_job_that_nobody_needs_to_hold_is_let_go_of_with_the_flush_that_says_so() {
    let place = place();
    let ends: [(&str, Vec<Body>, Option<u64>); 8] = [
        ("runs", vec![called(1)], Some(FIRST)),
        ("waits", vec![waiting(1, go())], None),
        ("waits for someone outside", vec![called(1), waiting(1, On::External { call: 1 })], None),
        ("is uncertain", vec![called(1), crate::worker::uncertain(1)], None),
        ("is paused", vec![Body::Paused(Paused { by: "ada".to_owned(), reason: None })], None),
        ("is completed", vec![completed()], None),
        ("has failed", vec![failed()], None),
        ("goes on after a wait", vec![waiting(1, On::Sleep { ms: 1 }), Body::Woken(Woken { wait: 1, by: Wake::Elapsed })], Some(FIRST)),
    ];
    for (what, bodies, holder) in ends {
        let mut log = new_job(&place).await;
        for body in bodies {
            log.push(body).unwrap();
        }
        log.flush().await.unwrap();
        assert_eq!(head(&place, log.job_id()).worker, holder, "a job that {what}");
        if !matches!(log.state().status(), Status::Completed) {
            take(&place, log.job_id(), SECOND, holder).await.unwrap();
        }
    }
    let mut log = new_job(&place).await;
    log.push(called(1)).unwrap();
    log.release().await.unwrap();
    assert_eq!((head(&place, log.job_id()).worker, head(&place, log.job_id()).next_seq), (None, 3), "what was pending goes along");
    take(&place, log.job_id(), SECOND, None).await.unwrap();
}

#[tokio::test]
async fn c35_a_signal_is_on_disk_before_it_is_acknowledged_and_entered_exactly_once() {
    let place = place();
    let mut log = new_job(&place).await;
    let job_id = log.job_id();
    leave(&place, job_id, Mail::Signal(signal(Some("order-7"), "1"))).await;
    leave(&place, job_id, Mail::Signal(signal(Some("order-7"), "\"other\""))).await;
    leave(&place, job_id, Mail::Signal(signal(None, "2"))).await;
    let left = mail(&place, job_id);
    assert_eq!(left.len(), 3, "nothing that was acknowledged is written over: {left:?}");

    // Entered and struck out in one batch: before the flush all are as they were. The same signal twice is entered once.
    for (key, mail) in left {
        let Mail::Signal(signal) = mail else { panic!("{mail:?}") };
        if log.takes(&Body::Signalled(signal.clone())) {
            log.push(Body::Signalled(signal)).unwrap();
        }
        log.strike(&key);
    }
    assert_eq!((mail(&place, job_id).len(), head(&place, job_id).next_seq), (3, 2));
    log.flush().await.unwrap();
    assert_eq!((mail(&place, job_id).len(), head(&place, job_id).next_seq), (0, 4));

    // A third time, after it was entered: the row is there again and can only be struck out.
    leave(&place, job_id, Mail::Signal(signal(Some("order-7"), "1"))).await;
    let (key, Mail::Signal(again)) = mail(&place, job_id).remove(0) else { panic!("a signal") };
    assert!(!log.takes(&Body::Signalled(again)));
    log.strike(&key);
    log.flush().await.unwrap();
    assert_eq!((mail(&place, job_id).len(), head(&place, job_id).next_seq), (0, 4), "a flush of nothing but struck mail is one");

    // The wait that comes later takes the earlier of the two.
    log.push(waiting(1, go())).unwrap();
    let seq = log.state().untaken("go").unwrap().seq;
    log.push(Body::Woken(Woken { wait: 1, by: Wake::Signal { seq } })).unwrap();
    log.flush().await.unwrap();
    assert_eq!(log.state().signals.len(), 1);
}

#[tokio::test]
async fn mail_is_kept_in_its_order_for_its_own_job_only() {
    let place = place();
    let (one, two) = (new_job(&place).await.job_id(), new_job(&place).await.job_id());
    let cancel = || Mail::Cancel(CancelRequested { by: "ada".to_owned(), reason: Some("late".to_owned()) });
    let pause = || Mail::Pause(Paused { by: "bob".to_owned(), reason: None });
    let ended = || Mail::ChildEnded(ChildEnded { child: 1, end: ChildEnd::Cancelled });
    for mail in [pause(), cancel(), ended()] {
        leave(&place, one, mail).await;
    }
    leave(&place, two, cancel()).await;
    let of = |job_id| -> Vec<Mail> { mail(&place, job_id).into_iter().map(|(_, mail)| mail).collect() };
    assert_eq!((of(one), of(two)), (vec![pause(), cancel(), ended()], vec![cancel()]));
    let elsewhere = Space::parse(Some("other"), None).unwrap();
    assert!(Mail::of_job(&place.store, &elsewhere, &one).unwrap().is_empty());

    let (key, _) = mail(&place, two).remove(0);
    let mut batch = Batch::new();
    batch.put(&key, b"{}".to_vec());
    place.store.commit(batch).await.unwrap();
    assert_eq!(Mail::of_job(&place.store, &place.space, &two).unwrap_err().code, Code::DataCorrupt);
}

/// A child of the job `parent`.
async fn child_of(place: &Place, parent: JobId, job_id: JobId) -> Log {
    let mut body = created();
    let Body::Created { parent: named, .. } = &mut body else { panic!("created") };
    *named = Some(Parent { job_id: parent, child: 1, depth: 1, branch: None });
    Log::create(&place.store, &place.space, job_id, body, None, FIRST).await.unwrap()
}

fn started(job_id: JobId) -> Body {
    let Body::Created { playbook_id, version, component, input, .. } = created() else { panic!("created") };
    Body::ChildStarted(ChildStarted { child: 1, step: None, job_id, branch: None, playbook_id, version, component, input })
}

#[tokio::test]
async fn a_child_that_ends_says_so_to_its_parent_in_the_batch_that_ends_it() {
    let output: Json = json("{}");
    for (last, end) in [
        (completed(), ChildEnd::Completed(Payload::Inline(output.clone()))),
        (
            failed(),
            match failed() {
                Body::Failed { failure, .. } => ChildEnd::Failed(failure),
                _ => panic!("failed"),
            },
        ),
    ] {
        let place = place();
        let mut parent = new_job(&place).await;
        let child_id = JobId::fresh();
        parent.push(started(child_id)).unwrap();
        parent.flush().await.unwrap();
        let mut child = child_of(&place, parent.job_id(), child_id).await;
        child.push(time(1)).unwrap();
        child.flush().await.unwrap();
        assert!(mail(&place, parent.job_id()).is_empty());
        child.push(last).unwrap();
        child.flush().await.unwrap();
        let left = mail(&place, parent.job_id()).remove(0).1;
        assert_eq!(left, Mail::ChildEnded(ChildEnded { child: 1, end }));
    }
}

#[tokio::test]
async fn no_child_outlives_its_parent_unasked() {
    let place = place();
    let mut parent = new_job(&place).await;
    let child_id = JobId::fresh();
    parent.push(started(child_id)).unwrap();
    parent.flush().await.unwrap();
    assert!(mail(&place, child_id).is_empty());
    parent.push(completed()).unwrap();
    parent.flush().await.unwrap();
    let left = mail(&place, child_id);
    let [(_, Mail::Cancel(request))] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(request.by, "parent");
    assert!(request.reason.as_ref().unwrap().contains("is completed"), "{request:?}");
}

#[tokio::test]
async fn a_job_that_waits_is_not_among_those_that_should_run() {
    let place = place();
    let mut log = new_job(&place).await;
    log.push(waiting(1, go())).unwrap();
    log.flush().await.unwrap();
    assert_eq!(runnable(&place.store).unwrap().into_iter().map(|(space, job_id, _)| (space, job_id)).collect::<Vec<_>>(), []);
    let mut log = take(&place, log.job_id(), SECOND, None).await.unwrap();
    log.push(Body::Signalled(signal(None, "1"))).unwrap();
    log.push(Body::Woken(Woken { wait: 1, by: Wake::Signal { seq: 3 } })).unwrap();
    log.flush().await.unwrap();
    assert_eq!(
        runnable(&place.store).unwrap().into_iter().map(|(space, job_id, _)| (space, job_id)).collect::<Vec<_>>(),
        [(place.space.clone(), log.job_id())]
    );
}
