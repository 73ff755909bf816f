//! Waits: sleep, signals, approvals. A job that waits holds nothing, and goes on exactly once.

use serde_json::{Value, json};

use super::rig::{Act, Rig, space};
use super::{call, wait};
use crate::error::Code;
use crate::ids::{Digest, JobId};
use crate::jobs::{ApprovalId, Scheduler};
use crate::journal::Status;
use crate::json::Json;
use crate::store::{ApprovalKey, EntryKey, MailKey, StatusKey, TimerKey};

async fn signal(worker: &Scheduler, job: JobId, name: &str, n: u32, id: Option<&str>) -> crate::error::Result<Status> {
    let (payload, id) = (Json::from(&json!({"n": n})), id.map(str::to_owned));
    worker.signal(&space(), job, name.to_owned(), payload, id, None).await
}

/// Waits for `names` one after the other and returns what came.
async fn waits_for(rig: &Rig, worker: &Scheduler, names: &[&str]) -> JobId {
    let nodes: Value = names.iter().enumerate().map(|(n, name)| wait(&format!("w{n}"), name)).collect();
    let output: Value = (0..names.len()).map(|n| json!({"$from": format!("w{n}"), "pointer": "/n"})).collect();
    let order = rig.order_with(&nodes, &output, Default::default());
    worker.start(&space(), order, Default::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_ends_by_itself_and_is_not_slept_again() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = rig.start(&worker, &json!([call("a", "once"), {"id": "nap", "kind": "wait", "sleep_ms": 30}, call("b", "once")])).await;
    let state = rig.until(job, Status::Completed).await;
    assert!(state.updated_at_ms - state.created_at_ms >= 30, "it slept");
    assert_eq!(rig.kinds(job), ["created", "called", "returned", "waiting", "woken", "called", "returned", "completed"]);
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn c35_a_signal_that_comes_early_is_taken_on_arrival() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let order = rig.order_with(&json!([call("a", "once"), wait("w", "go")]), &json!({"$from": "w"}), Default::default());
    let job = worker.start(&space(), order, Default::default()).await.unwrap();
    rig.world.called("a", 1).await;
    signal(&worker, job, "go", 7, None).await.unwrap();
    signal(&worker, job, "other", 8, None).await.unwrap();
    rig.world.let_go(1);
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!({"n": 7}));
    assert_eq!((rig.count(job, "signalled"), rig.count(job, "woken")), (2, 1));
    assert_eq!(rig.state(job).signals.len(), 1, "the other one is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_come_between_calls_that_only_look_are_entered_once() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    rig.world.acts("b", [Act::Hold]);
    let nodes = json!([call("a", "read"), call("b", "read"), call("c", "read"), call("d", "read"), wait("w", "end")]);
    let job = rig.start(&worker, &nodes).await;
    for (n, me) in (0..).zip(["a", "b"]) {
        rig.world.called(me, 1).await;
        signal(&worker, job, "go", n, None).await.unwrap();
        rig.world.let_go(1);
    }
    rig.until(job, Status::Waiting).await;
    assert_eq!(rig.count(job, "signalled"), 2, "{:?}", rig.kinds(job));
}

#[tokio::test(flavor = "multi_thread")]
async fn c32_the_same_signal_before_during_and_after_is_one() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("b", [Act::Hold]);
    let job = rig.start(&worker, &json!([wait("w", "go"), call("b", "once")])).await;
    rig.until(job, Status::Waiting).await;
    for _ in 0..2 {
        signal(&worker, job, "go", 1, Some("one")).await.unwrap();
    }
    rig.world.called("b", 1).await;
    signal(&worker, job, "go", 1, Some("one")).await.unwrap();
    rig.world.let_go(1);
    rig.until(job, Status::Completed).await;
    assert_eq!(signal(&worker, job, "go", 1, Some("one")).await.unwrap(), Status::Completed);
    assert_eq!(signal(&worker, job, "go", 1, Some("two")).await.unwrap_err().code, Code::JobStateConflict, "it is too late for another");
    assert_eq!((rig.count(job, "signalled"), rig.count(job, "woken"), rig.world.count("b")), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn c33_of_many_signals_at_once_one_is_taken() {
    for (id, kept) in [(Some("the same"), 1), (None, 10)] {
        let rig = Rig::new();
        let worker = rig.worker();
        let job = waits_for(&rig, &worker, &["go", "end"]).await;
        rig.until(job, Status::Waiting).await;
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..10 {
            let worker = worker.clone();
            senders.spawn(async move { signal(&worker, job, "go", n, id).await.unwrap() });
        }
        while senders.join_next().await.transpose().unwrap().is_some() {}
        let state = rig.until_state(job, "took one", |state| state.waits == 2 && state.signals.len() == kept - 1).await;
        assert_eq!(state.status(), Status::Waiting, "the second wait waits");
        assert_eq!((rig.count(job, "signalled"), rig.count(job, "woken")), (kept, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c36_the_second_wait_waits_though_another_worker_took_over_in_between() {
    let rig = Rig::new();
    let first = rig.worker();
    let job = waits_for(&rig, &first, &["go", "go"]).await;
    rig.until(job, Status::Waiting).await;
    first.shut_down().await;
    let second = rig.worker();
    second.resume_all().await.unwrap();
    assert_eq!(rig.state(job).waits, 1);
    signal(&second, job, "go", 1, None).await.unwrap();
    rig.until_state(job, "came to its second wait", |state| state.waits == 2 && state.status() == Status::Waiting).await;
    second.shut_down().await;
    let third = rig.worker();
    signal(&third, job, "go", 2, None).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!([1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn c37_c41_after_a_signal_the_tool_runs_once_with_what_was_there_before_on_another_worker() {
    let rig = Rig::new();
    let first = rig.worker();
    rig.world.acts("a", [Act::Answer(json!({"n": 5}))]);
    let after = json!({"id": "b", "kind": "tool", "tool": "test/once", "input": {"me": "b", "of": {"$from": "a", "pointer": "/n"}}});
    let nodes = json!([call("a", "once"), wait("w", "go"), after]);
    let output = json!([{"$from": "a"}, {"$from": "w"}]);
    let job = first.start(&space(), rig.order_with(&nodes, &output, Default::default()), Default::default()).await.unwrap();
    let waiting = rig.until(job, Status::Waiting).await;
    first.shut_down().await;
    let second = rig.worker();
    signal(&second, job, "go", 9, None).await.unwrap();
    let done = rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!([{"n": 5}, {"n": 9}]));
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 1));
    assert_eq!((done.component, &done.input, &done.calls[0]), (waiting.component, &waiting.input, &waiting.calls[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn c30_a_job_that_waits_costs_nothing_and_changes_nothing() {
    let rig = Rig::new();
    let workers: Vec<Scheduler> = (0..2).map(|_| rig.worker_with(|rules| rules.lease = std::time::Duration::from_millis(300))).collect();
    let job = waits_for(&rig, &workers[0], &["go"]).await;
    rig.until(job, Status::Waiting).await;
    workers[1].resume_all().await.unwrap();
    while workers[0].holds(&job) {
        tokio::task::yield_now().await;
    }
    let rows = || {
        let count = |rows: usize| rows;
        let of = &rig.store;
        let head = crate::journal::head_of(of, &space(), &job).unwrap().unwrap();
        (
            count(of.scan(&EntryKey::of_job(&job), None, 100).unwrap().len()),
            count(of.scan(&StatusKey::of_status(Status::Waiting.number()), None, 100).unwrap().len()),
            count(of.scan(&TimerKey::all(), None, 100).unwrap().len()),
            count(of.scan(&MailKey::all(), None, 100).unwrap().len()),
            (head.epoch, head.worker, head.next_seq),
        )
    };
    let before = rows();
    assert_eq!((before.0, before.1, before.2, before.3, before.4.1), (2, 1, 0, 0, None), "nobody holds it, and nothing is due");
    // Three leases go by, as the workers' own beats show: each renews its row at least three times a lease.
    let own = rig.store.scan(&crate::store::WorkerKey::all(), None, 10).unwrap();
    let mut beats = rig.store.watch(&own[0].0);
    for _ in 0..9 {
        tokio::time::timeout(super::rig::DEADLINE, beats.changed()).await.unwrap().unwrap();
    }
    assert_eq!(rows(), before);
    assert!(workers.iter().all(|worker| !worker.holds(&job)));
}

/// A job that asks before it does `pay`; says `no` where it may not, `late` where nobody answers.
async fn asks(rig: &Rig, worker: &Scheduler, timeout_ms: Option<u64>) -> (JobId, ApprovalId) {
    let mut ask = json!({"id": "ask", "kind": "approval", "title": "Pay?", "for": "pay", "on_reject": ["no"]});
    if let Some(ms) = timeout_ms {
        (ask["timeout_ms"], ask["on_expire"]) = (json!(ms), json!(["late"]));
    }
    let mut nodes = vec![ask, call("pay", "once"), call("no", "once")];
    nodes.extend(timeout_ms.map(|_| call("late", "once")));
    let job = rig.start(worker, &Value::from(nodes)).await;
    (job, ApprovalId { job_id: job, wait: 1 })
}

#[tokio::test(flavor = "multi_thread")]
async fn c38_approve_reject_and_expire_are_three_answers_and_a_rejected_call_is_not_made() {
    let yes = Json::from(&json!({}));
    for (decision, timeout_ms, done) in [(Some(true), None, "pay"), (Some(false), None, "no"), (None, Some(20), "late")] {
        let rig = Rig::new();
        let worker = rig.worker();
        let (job, id) = asks(&rig, &worker, timeout_ms).await;
        if let Some(approves) = decision {
            rig.until(job, Status::Waiting).await;
            assert!(rig.world.seen().is_empty(), "nothing is done before someone says so");
            let shown = worker.approval(&space(), id).unwrap();
            assert_eq!(rig.store.load(&shown.request).unwrap().value(), json!({"tool": "test/once", "input": {"me": "pay"}}));
            worker.decide(&space(), id, approves, shown.digest, "ada".to_owned(), yes.clone()).await.unwrap();
        }
        rig.until(job, Status::Completed).await;
        let seen: Vec<String> = rig.world.seen().into_iter().map(|seen| seen.me).collect();
        assert_eq!(seen, [done]);
        assert!(rig.store.scan(&ApprovalKey::of_space(&space()), None, 10).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_counts_for_what_was_shown_and_the_first_one_stands() {
    let rig = Rig::new();
    let worker = rig.worker();
    let (job, id) = asks(&rig, &worker, None).await;
    rig.until(job, Status::Waiting).await;
    let shown = worker.approval(&space(), id).unwrap();
    let decide = async |yes, digest| worker.decide(&space(), id, yes, digest, "ada".to_owned(), Json::from(&json!({}))).await;
    let wrong = decide(true, Digest::of(b"something else")).await.unwrap_err();
    assert_eq!((wrong.code, rig.state(job).status()), (Code::JobStateConflict, Status::Waiting), "{wrong}");
    decide(true, shown.digest).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(decide(true, shown.digest).await.unwrap(), Status::Completed, "the same once more");
    assert_eq!(decide(false, shown.digest).await.unwrap_err().code, Code::JobStateConflict);
    assert_eq!((rig.count(job, "woken"), rig.world.count("pay")), (1, 1));
    let nobody = ApprovalId { job_id: JobId::fresh(), wait: 1 };
    let none = worker.decide(&space(), nobody, true, shown.digest, String::new(), Json::from(&json!({}))).await.unwrap_err();
    assert_eq!(none.code, Code::ApprovalNotFound);
}
