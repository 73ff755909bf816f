//! Leases: exactly one worker runs a job, whoever dies, stops or is stopped.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::call;
use super::rig::{Act, DEADLINE, Gate, Rig, space};
use crate::contract::Reconciliation;
use crate::error::Code;
use crate::jobs::Scheduler;
use crate::journal::{self, AtEnd, Body, Log, Options, ParkReason, Status};
use crate::json::Json;
use crate::limits;
use crate::store::{Batch, WorkerKey};

const SHORT: Duration = Duration::from_millis(600);

/// A worker on a runtime of its own, which has one thread.
struct Alone {
    runtime: Option<tokio::runtime::Runtime>,
    worker: Scheduler,
}

impl Alone {
    fn new(rig: &Rig, lease: Duration) -> Alone {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Alone { runtime: Some(runtime), worker: rig.worker_with(|rules| rules.lease = lease) }
    }

    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.as_ref().unwrap().spawn(work).await.unwrap()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c20_a_worker_that_froze_in_a_call_is_refused_when_it_thaws_and_stops() {
    let rig = Arc::new(Rig::new());
    let gate = Arc::new(Gate::default());
    rig.world.acts("a", [Act::Block(Arc::clone(&gate))]);
    rig.world.knows("a", Reconciliation::Happened(Json::from(&json!({"did": "a"}))));
    let frozen = Alone::new(&rig, SHORT);
    let (of, worker) = (Arc::clone(&rig), frozen.worker.clone());
    let job = frozen.run(async move { of.start(&worker, &json!([call("a", "once"), call("b", "once")])).await }).await;
    rig.world.called("a", 1).await;
    let epoch = journal::head_of(&rig.store, &space(), &job).unwrap().unwrap().epoch;
    let other = rig.worker_with(|rules| rules.lease = SHORT);
    other.ready().await.unwrap();
    rig.until(job, Status::Completed).await;
    let head = journal::head_of(&rig.store, &space(), &job).unwrap().unwrap();
    assert!(head.epoch > epoch, "the other one took it");
    let told = rig.kinds(job);
    gate.open();
    // It thaws: what it held it lets go of, and nothing that it does is written.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while frozen.worker.holds(&job) {
        assert!(tokio::time::Instant::now() < deadline, "it never stopped");
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.kinds(job), told);
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 1));
    assert_eq!(journal::head_of(&rig.store, &space(), &job).unwrap().unwrap(), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn c21_c24_of_two_who_hold_a_journal_only_the_later_one_writes() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = rig.start(&worker, &json!([{"id": "nap", "kind": "wait", "sleep_ms": 3_600_000}])).await;
    rig.until(job, Status::Waiting).await;
    let push = |log: &mut Log, name: &str| {
        let signal = journal::Signalled {
            name: name.to_owned(),
            payload: rig.store.save(&Json::from(&json!(1))).unwrap(),
            signal_id: None,
            by: None,
        };
        log.push(Body::Signalled(signal)).map(drop)
    };
    let (mut first, _) = Log::reopen(&rig.store, &space(), job, 71, None).await.unwrap();
    let refused = Log::reopen(&rig.store, &space(), job, 72, None).await.unwrap_err();
    assert_eq!(refused.code, Code::JobStateConflict, "someone holds it");
    let (mut second, _) = Log::reopen(&rig.store, &space(), job, 72, Some(71)).await.unwrap();
    push(&mut first, "stale").unwrap();
    push(&mut second, "good").unwrap();
    second.release().await.unwrap();
    assert_eq!(first.flush().await.unwrap_err().code, Code::JobStateConflict);
    assert_eq!(push(&mut first, "again").unwrap_err().code, Code::JobStateConflict, "it knows that it lost the job");
    assert_eq!(rig.count(job, "signalled"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c07_c22_c90_of_many_workers_that_race_for_a_job_one_runs_it() {
    let rig = Rig::new();
    let workers: Vec<Scheduler> = (0..8).map(|_| rig.worker_with(|rules| rules.lease = Duration::from_secs(20))).collect();
    for round in 0..10 {
        let me = format!("a{round}");
        let job = rig.left(&json!([call(&me, "once")])).await;
        let mut race = tokio::task::JoinSet::new();
        for worker in workers.clone() {
            race.spawn(async move { worker.take_up(&space(), job, Default::default()).await });
        }
        while race.join_next().await.is_some() {}
        rig.until(job, Status::Completed).await;
        assert_eq!(rig.world.count(&me), 1);
        assert_eq!(rig.count(job, "resumed"), 1);
        for worker in &workers {
            assert_eq!(worker.take_up(&space(), job, Default::default()).await.unwrap_err().code, Code::JobStateConflict);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_the_jobs_of_a_worker_that_fell_silent_go_on_and_those_that_wait_stay() {
    let rig = Rig::new();
    let silent = Alone::new(&rig, SHORT);
    rig.world.acts("a", [Act::Hold]);
    let (order, waits) =
        (rig.order(&json!([call("a", "idempotent"), call("b", "once")]), Options::default()), json!([super::wait("w", "go")]));
    let waits = rig.order(&waits, Options::default());
    let worker = silent.worker.clone();
    let (job, waiting) = silent
        .run(async move {
            let job = worker.start(&space(), order, Default::default()).await.unwrap();
            (job, worker.start(&space(), waits, Default::default()).await.unwrap())
        })
        .await;
    rig.world.called("a", 1).await;
    rig.until(waiting, Status::Waiting).await;
    let before = journal::head_of(&rig.store, &space(), &waiting).unwrap();
    drop(silent);
    let other = rig.worker_with(|rules| rules.lease = SHORT);
    other.ready().await.unwrap();
    rig.until(job, Status::Completed).await;
    let keys: Vec<String> = rig.world.seen().into_iter().filter(|seen| seen.me == "a").map(|seen| seen.key).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "made again with the same key: {keys:?}");
    assert_eq!(rig.world.count("b"), 1);
    assert_eq!(journal::head_of(&rig.store, &space(), &waiting).unwrap(), before, "nobody touched the one that waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn c25_a_worker_that_shuts_down_keeps_what_is_in_a_call_and_hands_over_the_rest_at_once() {
    let rig = Rig::new();
    let long = Duration::from_secs(500);
    let (first, second) = (rig.worker_with(|rules| rules.lease = long), rig.worker_with(|rules| rules.lease = long));
    second.ready().await.unwrap();
    rig.world.acts("a", [Act::Hold]);
    let job = rig.start(&first, &json!([call("a", "once"), call("b", "once")])).await;
    rig.world.called("a", 1).await;
    let registered = || rig.store.scan(&WorkerKey::all(), None, 10).unwrap().len();
    let mut moves = rig.store.watch(&rig.store.scan(&WorkerKey::all(), None, 10).unwrap()[0].0);
    moves.mark_unchanged();
    let stopping = tokio::spawn({
        let first = first.clone();
        async move { first.shut_down().await }
    });
    while !first.shared.is_stopping() {
        tokio::task::yield_now().await;
    }
    // The other one looks several times meanwhile.
    for _ in 0..3 {
        second.shared.timers.notify_one();
        tokio::task::yield_now().await;
    }
    assert_eq!((registered(), rig.kinds(job).contains(&"uncertain")), (2, false), "it is not gone while a job of its is in a call");
    rig.world.let_go(1);
    stopping.await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 1));
    assert_eq!(rig.answers(job), ["ok", "ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_were_frozen_together_do_not_take_each_other_for_dead() {
    let rig = Rig::new();
    let gate = Arc::new(Gate::default());
    let both = Alone::new(&rig, SHORT);
    let (a, b) = (both.worker.clone(), rig.worker_with(|rules| rules.lease = SHORT));
    let (first, second) = (a.clone(), b.clone());
    both.run(async move {
        first.ready().await.unwrap();
        second.ready().await.unwrap();
    })
    .await;
    let numbers = (a.shared.worker(), b.shared.worker());
    let row = |worker| rig.store.get(&WorkerKey { worker }).unwrap();
    // Both have seen each other: both renew.
    for worker in [numbers.0, numbers.1] {
        let mut beats = rig.store.watch(&WorkerKey { worker });
        tokio::time::timeout(DEADLINE, beats.changed()).await.unwrap().unwrap();
    }
    rig.world.acts("a", [Act::Block(Arc::clone(&gate))]);
    let (order, starts) = (rig.order(&json!([call("a", "once")]), Options::default()), a.clone());
    let job = both.run(async move { starts.start(&space(), order, Default::default()).await.unwrap() }).await;
    rig.world.called("a", 1).await;
    // The one thread that both live on stands still for three leases.
    let frozen = (row(numbers.0), row(numbers.1));
    let thaw = tokio::time::Instant::now() + SHORT * 3;
    tokio::time::timeout_at(thaw, std::future::pending::<()>()).await.unwrap_err();
    assert_eq!((row(numbers.0), row(numbers.1)), frozen, "nobody renewed");
    gate.open();
    rig.until(job, Status::Completed).await;
    for worker in [numbers.0, numbers.1] {
        let mut beats = rig.store.watch(&WorkerKey { worker });
        tokio::time::timeout(DEADLINE, beats.changed()).await.unwrap().unwrap();
    }
    assert_eq!((a.shared.worker(), b.shared.worker()), numbers);
    assert!(row(numbers.0).is_some() && row(numbers.1).is_some());
    assert_eq!((rig.count(job, "resumed"), rig.world.count("a")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_its_worker_each_time_is_set_aside() {
    let rig = Rig::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let worker = rig.worker_with(|rules| {
        rules.at_end = AtEnd::new(move |_, _, state| {
            hears.lock().unwrap().push(state.status());
            Batch::new()
        });
    });
    let job = rig.left(&json!([call("a", "once")])).await;
    for attempt in 1..=limits::FRUITLESS_ATTEMPTS_MAX {
        let (mut log, _) = Log::reopen(&rig.store, &space(), job, 1, Some(1)).await.unwrap();
        log.push(Body::Resumed { attempt }).unwrap();
        log.flush().await.unwrap();
    }
    worker.resume_all().await.unwrap();
    let state = rig.until(job, Status::Parked).await;
    assert_eq!(state.parked.unwrap().reason, ParkReason::Poison);
    assert_eq!(rig.world.count("a"), 0, "its guest did not run once more");
    assert_eq!(*heard.lock().unwrap(), [Status::Parked], "that it was given up is said in the same write");
    worker.go_on(&space(), job, "ada".to_owned(), Default::default()).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(*heard.lock().unwrap(), [Status::Parked, Status::Completed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_on_disk_before_its_guest_runs() {
    let rig = Rig::new();
    let first = Alone::new(&rig, SHORT);
    rig.world.acts("a", [Act::Hold, Act::Hold]);
    let (order, worker) = (rig.order(&json!([call("a", "read")]), Options::default()), first.worker.clone());
    let job = first.run(async move { worker.start(&space(), order, Default::default()).await.unwrap() }).await;
    rig.world.called("a", 1).await;
    drop(first);
    let second = rig.worker_with(|rules| rules.lease = SHORT);
    second.ready().await.unwrap();
    rig.world.called("a", 2).await;
    assert_eq!(rig.kinds(job), ["created", "resumed"], "should this one die too, it shows");
    rig.world.let_go(1);
    rig.until(job, Status::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_job_runs_first_and_no_more_at_a_time_than_are_allowed() {
    let rig = Rig::new();
    let worker = rig.worker_with(|rules| rules.running_max = 1);
    rig.world.acts("first", [Act::Hold]);
    let mut jobs = vec![rig.start(&worker, &json!([call("first", "once")])).await];
    rig.world.called("first", 1).await;
    for (me, priority) in [("low", 1), ("usual", 5), ("high", 9)] {
        jobs.push(rig.start_with(&worker, &json!([call(me, "once")]), Options { priority, ..Options::default() }).await);
    }
    let waiting = async {
        while worker.shared.slots.waiting() < 3 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap();
    rig.world.let_go(1);
    for job in jobs {
        rig.until(job, Status::Completed).await;
    }
    let order: Vec<String> = rig.world.seen().into_iter().map(|seen| seen.me).collect();
    assert_eq!(order, ["first", "high", "usual", "low"]);
    assert_eq!(rig.world.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_of_a_tool_and_jobs_of_a_playbook_run_at_a_time_than_are_allowed() {
    for by_tool in [true, false] {
        let rig = Rig::new();
        let worker = rig.worker_with(|rules| match by_tool {
            true => rules.tools = vec![(crate::contract::ToolId::parse("test/once").unwrap(), 2)],
            false => rules.playbooks = vec![("main".to_owned(), 2)],
        });
        let names: Vec<String> = (0..6).map(|n| format!("n{n}")).collect();
        let mut jobs = Vec::new();
        for me in &names {
            rig.world.acts(me, [Act::Hold]);
            jobs.push(rig.start(&worker, &json!([call(me, "once")])).await);
        }
        for _ in &jobs {
            rig.world.let_go(1);
        }
        for job in jobs {
            rig.until(job, Status::Completed).await;
        }
        assert!(rig.world.most_at_once() <= 2, "{}", rig.world.most_at_once());
        assert_eq!(rig.world.seen().len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_turn_at_a_tool_can_be_cancelled() {
    let rig = Rig::new();
    let worker = rig.worker_with(|rules| rules.tools = vec![(crate::contract::ToolId::parse("test/once").unwrap(), 1)]);
    rig.world.acts("a", [Act::Hold]);
    let first = rig.start(&worker, &json!([call("a", "once")])).await;
    rig.world.called("a", 1).await;
    let second = rig.start(&worker, &json!([call("look", "read"), call("b", "once")])).await;
    rig.world.called("look", 1).await;
    worker.cancel(&space(), second, "ada".to_owned(), None, false).await.unwrap();
    rig.until(second, Status::Cancelled).await;
    rig.world.let_go(1);
    rig.until(first, Status::Completed).await;
    assert_eq!(rig.world.count("b"), 0);
}
