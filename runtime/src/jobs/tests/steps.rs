//! What becomes of a call that fails, hangs, or whose end nobody saw: tries, times, compensation, doubt.

use serde_json::{Value, json};

use super::rig::{Act, Rig, space};
use super::{call, call_with, wait};
use crate::contract::{ErrorKind, Reconciliation, ToolError};
use crate::error::Code;
use crate::jobs::{Scheduler, Settlement};
use crate::journal::{Budget, Cause, Confirm, Log, Options, ParkReason, Status, WhenExhausted};
use crate::json::Json;

fn fails(kind: ErrorKind, times: usize) -> Vec<Act> {
    vec![Act::Fail(kind); times]
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_a_call_whose_error_may_pass_is_made_again_with_the_same_key_and_another_is_not() {
    let tries = || Options { tries: 3, first_pause_ms: 1, ..Options::default() };
    for (effect, kind, calls, ends) in [
        ("once", ErrorKind::Unavailable, 3, Status::Completed),
        ("idempotent", ErrorKind::Timeout, 3, Status::Completed),
        ("once", ErrorKind::Failed, 1, Status::Failed),
        ("idempotent", ErrorKind::Denied, 1, Status::Failed),
        ("read", ErrorKind::InvalidInput, 1, Status::Failed),
    ] {
        let rig = Rig::new();
        let worker = rig.worker();
        rig.world.acts("a", fails(kind, 2));
        let job = rig.start_with(&worker, &json!([call("a", effect)]), tries()).await;
        rig.until(job, ends).await;
        let keys: std::collections::BTreeSet<String> = rig.world.seen().into_iter().map(|seen| seen.key).collect();
        assert_eq!((rig.world.count("a"), keys.len()), (calls, 1), "{effect} {kind:?}");
        assert_eq!(rig.count(job, "retrying"), calls - 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_that_are_used_up_park_the_job_and_it_goes_on_from_the_call() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("b", fails(ErrorKind::Unavailable, 2));
    let options = Options { tries: 2, first_pause_ms: 0, ..Options::default() };
    let job = rig.start_with(&worker, &json!([call("a", "once"), call("b", "once")]), options).await;
    let state = rig.until(job, Status::Parked).await;
    assert_eq!(state.parked.unwrap().reason, ParkReason::Retries);
    worker.go_on(&space(), job, "ada".to_owned(), Budget::default()).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_between_tries_holds_nothing() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", fails(ErrorKind::Unavailable, 1));
    let options = Options { tries: 2, first_pause_ms: 2_200, ..Options::default() };
    let job = rig.start_with(&worker, &json!([call("a", "once")]), options).await;
    rig.until(job, Status::Waiting).await;
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.world.count("a"), 2);
    assert!(rig.kinds(job).ends_with(&["retrying", "waiting", "woken", "called", "returned", "completed"]), "{:?}", rig.kinds(job));
}

#[tokio::test(flavor = "multi_thread")]
async fn c28_a_job_that_always_fails_is_tried_three_times_and_ends_only_then() {
    for (when_exhausted, ends) in [(WhenExhausted::Park, Status::Parked), (WhenExhausted::Fail, Status::Failed)] {
        let rig = Rig::new();
        let worker = rig.worker();
        rig.world.acts("b", fails(ErrorKind::Failed, 3));
        let options = Options { job_tries: 3, first_pause_ms: 1, when_exhausted, ..Options::default() };
        let job = rig.start_with(&worker, &json!([call("a", "once"), call("b", "once")]), options).await;
        let state = rig.until(job, ends).await;
        assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 3));
        let kinds = rig.kinds(job);
        assert_eq!(kinds.iter().filter(|kind| ["failed", "parked", "completed", "cancelled"].contains(kind)).count(), 1, "{kinds:?}");
        assert_eq!(*kinds.last().unwrap(), ends.as_str());
        assert!(ends == Status::Failed || state.parked.unwrap().reason == ParkReason::Retries);
        // A person may have it tried once more.
        worker.retry(&space(), job, "ada".to_owned()).await.unwrap();
        rig.until(job, Status::Completed).await;
        assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c52_a_failed_step_is_tried_again_from_where_it_failed_and_what_took_effect_is_not() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("b", fails(ErrorKind::Failed, 1));
    let job = rig.start(&worker, &json!([call("a", "once"), call("b", "once"), call("c", "once")])).await;
    rig.until(job, Status::Failed).await;
    worker.retry(&space(), job, "ada".to_owned()).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(["a", "b", "c"].map(|me| rig.world.count(me)), [1, 2, 1]);
    assert_eq!(worker.retry(&space(), job, "ada".to_owned()).await.unwrap_err().code, Code::JobStateConflict);
    let effect_stands = rig.start(&worker, &json!([call("d", "once"), {"id": "no", "kind": "fail", "message": "it is so"}])).await;
    rig.until(effect_stands, Status::Failed).await;
    let refused = worker.retry(&space(), effect_stands, "ada".to_owned()).await.unwrap_err();
    assert_eq!(refused.code, Code::JobStateConflict, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_call_out_of_time_is_tried_again_where_that_does_no_harm_and_in_doubt_where_it_may() {
    for (effect, known, ends, calls) in [
        ("idempotent", None, Status::Completed, 2),
        ("once", None, Status::Uncertain, 1),
        ("once", Some(Reconciliation::DidNotHappen), Status::Completed, 2),
        ("once", Some(Reconciliation::Happened(Json::from(&json!({"did": "a"})))), Status::Completed, 1),
    ] {
        let rig = Rig::new();
        let worker = rig.worker();
        rig.world.acts("a", [Act::Hold]);
        known.into_iter().for_each(|known| rig.world.knows("a", known));
        let nodes = json!([call_with("a", effect, &json!({"timeout_ms": 50, "retry": {"tries": 2, "first_pause_ms": 1}}))]);
        let job = rig.start(&worker, &nodes).await;
        rig.until(job, ends).await;
        assert_eq!(rig.world.count("a"), calls, "{effect}: {:?}", rig.kinds(job));
        // What was held comes back late, or never: it changes nothing.
        rig.world.let_go(1);
        assert_eq!(rig.state(job).status(), ends);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_once_call_that_always_runs_out_of_time_is_not_tried_for_ever() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", vec![Act::Hold; 9]);
    rig.world.knows("a", Reconciliation::DidNotHappen);
    let nodes = json!([call_with("a", "once", &json!({"timeout_ms": 20, "retry": {"tries": 3, "first_pause_ms": 1}}))]);
    let job = rig.start(&worker, &nodes).await;
    rig.until(job, Status::Failed).await;
    assert_eq!(rig.world.count("a"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_and_a_job_have_their_own_time() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", fails(ErrorKind::Unavailable, 90));
    let step = json!([call_with("a", "read", &json!({"step_timeout_ms": 100, "retry": {"tries": 90, "first_pause_ms": 40}}))]);
    let job = rig.start(&worker, &step).await;
    rig.until(job, Status::Failed).await;
    assert!((2..=8).contains(&rig.world.count("a")), "{}", rig.world.count("a"));
    for nodes in [json!([wait("w", "never")]), json!([call_with("h", "read", &json!({}))])] {
        rig.world.acts("h", [Act::Hold]);
        let job = rig.start_with(&worker, &nodes, Options { timeout_ms: Some(80), ..Options::default() }).await;
        rig.until(job, Status::Failed).await;
        assert!(nodes[0]["kind"] == "tool" || rig.failure(job).contains("has not ended within 0.08 s"), "{}", rig.failure(job));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c53_what_was_done_is_undone_once_on_failure_and_on_cancel() {
    let undo = json!({"compensate": {"tool": "test/idempotent", "input": {"me": "undo"}}});
    for cancelled in [false, true] {
        let rig = Rig::new();
        let worker = rig.worker();
        let last = if cancelled { Act::Hold } else { Act::Fail(ErrorKind::Failed) };
        rig.world.acts("b", [last]);
        let job = rig.start(&worker, &json!([call_with("a", "once", &undo), call("b", "once")])).await;
        rig.world.called("b", 1).await;
        if cancelled {
            worker.cancel(&space(), job, "ada".to_owned(), None, false).await.unwrap();
        }
        rig.until(job, if cancelled { Status::Cancelled } else { Status::Failed }).await;
        assert_eq!(["a", "b", "undo"].map(|me| rig.world.count(me)), [1, 1, 1], "{:?}", rig.kinds(job));
        assert_eq!(rig.count(job, "cancel_requested"), usize::from(cancelled));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_undoes_what_it_did_though_it_was_parked_for_its_budget() {
    let undo = json!({"compensate": {"tool": "test/idempotent", "input": {"me": "undo"}}});
    let rig = Rig::new();
    let worker = rig.worker();
    let options = Options { budget: Budget { calls: Some(1), ..Budget::default() }, ..Options::default() };
    let job = rig.start_with(&worker, &json!([call_with("a", "once", &undo), call("b", "once")]), options).await;
    rig.until(job, Status::Parked).await;
    worker.cancel(&space(), job, "ada".to_owned(), None, false).await.unwrap();
    rig.until(job, Status::Cancelled).await;
    assert_eq!(["a", "b", "undo"].map(|me| rig.world.count(me)), [1, 0, 1]);
}

/// A job whose worker died in the call of `a`: the call is on disk, its answer is not.
async fn died_in(rig: &Rig, effect: &str, options: Options) -> crate::ids::JobId {
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let (order, starts) = (rig.order(&json!([call("a", effect), call("b", "once")]), options), worker.clone());
    let job = dying.spawn(async move { starts.start(&space(), order, Default::default()).await.unwrap() }).await.unwrap();
    rig.world.called("a", 1).await;
    dying.shutdown_background();
    // Whoever knows that it is dead takes the job.
    let (mut log, _) = Log::reopen(&rig.store, &space(), job, 1, Some(worker.shared.worker())).await.unwrap();
    log.release().await.unwrap();
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn c04_a_once_call_in_doubt_stands_until_it_is_settled_in_one_of_three_ways() {
    let answer = Json::from(&json!({"did": "a"}));
    let failed = ToolError::new(ErrorKind::Failed, "it did not");
    for (settlement, a, b, ends) in [
        (Settlement::Happened(answer), 1, 1, Status::Completed),
        (Settlement::Retry, 2, 1, Status::Completed),
        (Settlement::Fail(failed), 1, 0, Status::Failed),
    ] {
        let rig = Rig::new();
        let job = died_in(&rig, "once", Options { job_tries: 3, first_pause_ms: 0, ..Options::default() }).await;
        let worker = rig.worker();
        worker.take_up(&space(), job, Default::default()).await.unwrap();
        let doubt = rig.until(job, Status::Uncertain).await.uncertain.unwrap();
        let settle = async |seq, settlement| worker.resolve(&space(), job, seq, settlement, "ada".to_owned(), None).await;
        assert_eq!(settle(doubt.seq + 1, Settlement::Retry).await.unwrap_err().code, Code::JobStateConflict, "another call");
        settle(doubt.seq, settlement.clone()).await.unwrap();
        rig.until(job, ends).await;
        assert_eq!(settle(doubt.seq, Settlement::Retry).await.unwrap_err().code, Code::JobStateConflict, "it is settled");
        assert_eq!((rig.world.count("a"), rig.world.count("b")), (a, b), "{settlement:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_a_call_under_way_when_its_worker_died_is_treated_by_its_effect() {
    let happened = Reconciliation::Happened(Json::from(&json!({"did": "a"})));
    for (effect, known, calls) in
        [("read", None, 2), ("idempotent", None, 2), ("once", Some(happened), 1), ("once", Some(Reconciliation::DidNotHappen), 2)]
    {
        let rig = Rig::new();
        known.into_iter().for_each(|known| rig.world.knows("a", known));
        let job = died_in(&rig, effect, Options::default()).await;
        let worker = rig.worker();
        worker.take_up(&space(), job, Default::default()).await.unwrap();
        rig.until(job, Status::Completed).await;
        let keys: std::collections::BTreeSet<String> =
            rig.world.seen().into_iter().filter(|seen| seen.me == "a").map(|seen| seen.key).collect();
        assert_eq!((rig.world.count("a"), keys.len(), rig.world.count("b")), (calls, 1, 1), "{effect}");
    }
}

async fn waits_after(rig: &Rig, worker: &Scheduler, confirm: Confirm) -> crate::ids::JobId {
    let options = Options { confirm, ..Options::default() };
    let job = rig.start_with(worker, &json!([call("a", "read"), wait("w", "go"), call("b", "once")]), options).await;
    rig.until(job, Status::Waiting).await;
    rig.world.changes("a");
    worker.signal(&space(), job, "go".to_owned(), Json::from(&Value::Null), None, None).await.unwrap();
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn c75_a_world_that_is_no_longer_so_fails_strictly_is_noted_or_is_asked_about() {
    let rig = Rig::new();
    let worker = rig.worker();
    let strict = waits_after(&rig, &worker, Confirm::Strict).await;
    let state = rig.until(strict, Status::Failed).await;
    assert_eq!((state.failure.unwrap().cause, rig.world.count("b")), (Cause::Drift, 0));
    let warn = waits_after(&rig, &worker, Confirm::Warn).await;
    rig.until(warn, Status::Completed).await;
    assert_eq!((rig.count(warn, "drifted"), rig.world.count("b")), (1, 1));
    let ask = waits_after(&rig, &worker, Confirm::Ask).await;
    let state = rig.until(ask, Status::Parked).await;
    assert_eq!((state.parked.unwrap().reason, rig.world.count("b")), (ParkReason::Drift, 1));
    worker.go_on(&space(), ask, "ada".to_owned(), Budget::default()).await.unwrap();
    rig.until(ask, Status::Completed).await;
    let off = waits_after(&rig, &worker, Confirm::Off).await;
    rig.until(off, Status::Completed).await;
    assert_eq!(rig.world.count("a"), 4, "confirming calls nothing");
}
