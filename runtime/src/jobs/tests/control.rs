//! Cancel, pause, budgets, and a playbook that does not do again what it did.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::rig::{Act, Rig, space};
use super::{call, wait};
use crate::error::Code;
use crate::journal::{Body, Budget, Cause, Log, Options, ParkReason, Status};
use crate::json::Json;

#[tokio::test(flavor = "multi_thread")]
async fn c60_a_cancelled_job_ends_within_a_second_whatever_it_is_doing() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let running = rig.start(&worker, &json!([call("a", "once"), call("b", "once")])).await;
    rig.world.called("a", 1).await;
    let waiting = rig.start(&worker, &json!([wait("w", "go")])).await;
    rig.until(waiting, Status::Waiting).await;
    let parked =
        rig.start_with(&worker, &json!([call("c", "once"), call("d", "once")]), Options { budget: calls(1), ..Options::default() }).await;
    rig.until(parked, Status::Parked).await;
    for job in [running, waiting, parked] {
        let asked = Instant::now();
        worker.cancel(&space(), job, "ada".to_owned(), Some("no more".to_owned()), false).await.unwrap();
        rig.until(job, Status::Cancelled).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(rig.count(job, "cancel_requested"), 1);
        assert_eq!(worker.cancel(&space(), job, "ada".to_owned(), None, false).await.unwrap_err().code, Code::JobStateConflict);
    }
    assert_eq!(["a", "b", "c", "d"].map(|me| rig.world.count(me)), [1, 0, 1, 0]);
}

fn calls(most: u64) -> Budget {
    Budget { calls: Some(most), ..Budget::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn c83_a_paused_job_stops_at_the_next_step_and_goes_on_where_it_was() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let job = rig.start(&worker, &json!([call("a", "once"), call("b", "once")])).await;
    rig.world.called("a", 1).await;
    worker.pause(&space(), job, "ada".to_owned(), None).await.unwrap();
    rig.world.let_go(1);
    rig.until(job, Status::Paused).await;
    assert_eq!((rig.world.count("b"), rig.answers(job)), (0, vec!["ok".to_owned()]), "the call came to its end");
    worker.go_on(&space(), job, "ada".to_owned(), Budget::default()).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_in_a_pause_ends_when_the_job_goes_on() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = rig.start(&worker, &json!([wait("w", "go"), call("b", "once")])).await;
    rig.until(job, Status::Waiting).await;
    worker.pause(&space(), job, "ada".to_owned(), None).await.unwrap();
    rig.until(job, Status::Paused).await;
    worker.signal(&space(), job, "go".to_owned(), Json::from(&Value::Null), None, None).await.unwrap();
    rig.until_state(job, "has its signal", |state| state.signals.len() == 1).await;
    assert_eq!((rig.state(job).status(), rig.world.count("b")), (Status::Paused, 0));
    worker.go_on(&space(), job, "ada".to_owned(), Budget::default()).await.unwrap();
    rig.until(job, Status::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_where_a_job_stands_is_refused_at_once() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = rig.start(&worker, &json!([wait("w", "go")])).await;
    rig.until(job, Status::Waiting).await;
    let before = rig.kinds(job);
    for refused in [
        worker.go_on(&space(), job, "ada".to_owned(), Budget::default()).await,
        worker.retry(&space(), job, "ada".to_owned()).await,
        worker.resolve(&space(), job, 2, crate::jobs::Settlement::Retry, "ada".to_owned(), None).await,
    ] {
        assert_eq!(refused.unwrap_err().code, Code::JobStateConflict);
    }
    assert_eq!(rig.kinds(job), before);
    let head = crate::journal::head_of(&rig.store, &space(), &job).unwrap().unwrap();
    assert_eq!((head.worker, head.status), (None, Status::Waiting), "it is let go of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_parks_the_job_until_it_is_raised() {
    let small = |budget| Options { budget, ..Options::default() };
    for (budget, raised, reason) in [
        (calls(1), calls(9), ParkReason::Calls),
        (Budget { bytes: Some(20), ..Budget::default() }, Budget { bytes: Some(2_000), ..Budget::default() }, ParkReason::Bytes),
        (Budget { fuel: Some(100), ..Budget::default() }, Budget { fuel: Some(100_000_000), ..Budget::default() }, ParkReason::Fuel),
        (Budget { wall_ms: Some(1), ..Budget::default() }, Budget { wall_ms: Some(3_600_000), ..Budget::default() }, ParkReason::WallTime),
    ] {
        let rig = Rig::new();
        let worker = rig.worker();
        rig.world.acts("a", [Act::Hold]);
        rig.world.let_go(1);
        let job = rig.start_with(&worker, &json!([call("a", "once"), call("b", "once")]), small(budget)).await;
        let state = rig.until(job, Status::Parked).await;
        assert_eq!(state.parked.unwrap().reason, reason);
        worker.go_on(&space(), job, "ada".to_owned(), raised).await.unwrap();
        rig.until(job, Status::Completed).await;
        assert_eq!((rig.world.count("a"), rig.world.count("b")), (1, 1), "{reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_does_something_else_than_its_journal_says_is_stopped() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = rig.left(&json!([call("a", "once")])).await;
    let (mut log, _) = Log::reopen(&rig.store, &space(), job, 1, Some(1)).await.unwrap();
    let input = Json::from(&json!({"me": "somebody else"}));
    log.push(Body::Called {
        call: 1,
        step: Some("a".to_owned()),
        tool: crate::contract::ToolId::parse("test/once").unwrap(),
        effect: crate::contract::Effect::Once,
        key: "k".to_owned(),
        input_digest: input.digest(),
        input: rig.store.save(&input).unwrap(),
    })
    .unwrap();
    log.flush().await.unwrap();
    worker.resume_all().await.unwrap();
    let state = rig.until(job, Status::Failed).await;
    assert_eq!((state.failure.unwrap().cause, rig.world.seen().len()), (Cause::Nondeterminism, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_a_call_does_not_disturb_it_and_too_many_do_not_stop_the_job() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let job = rig.start(&worker, &json!([call("a", "once"), wait("w", "end")])).await;
    rig.world.called("a", 1).await;
    let send = async |name: &str| worker.signal(&space(), job, name.to_owned(), Json::from(&Value::Null), None, None).await;
    for _ in 0..3 {
        send("noise").await.unwrap();
    }
    rig.world.let_go(1);
    rig.until(job, Status::Waiting).await;
    assert_eq!((rig.world.count("a"), rig.count(job, "signalled")), (1, 3));
    send("end").await.unwrap();
    rig.until(job, Status::Completed).await;
}
