//! Calls that someone outside performs: claimed, extended, answered; and what becomes of a claimer that falls silent.

use std::time::Duration;

use serde_json::json;

use super::call;
use super::rig::{Rig, space};
use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::error::Code;
use crate::ids::JobId;
use crate::jobs::{CallId, Claimed, Scheduler, Settlement};
use crate::journal::Status;
use crate::json::Json;
use crate::store::{ClaimKey, ExternalKey};

const LONG: Duration = Duration::from_secs(600);

fn tool() -> ToolId {
    ToolId::agent("edit")
}

async fn asks(rig: &Rig, worker: &Scheduler) -> JobId {
    let agent = json!({"id": "e", "kind": "tool", "tool": "agent/edit", "input": {"n": 1}});
    let order = rig.order_with(&json!([agent, call("b", "once")]), &json!({"$from": "e"}), Default::default());
    let job = worker.start(&space(), order, Default::default()).await.unwrap();
    rig.until(job, Status::Waiting).await;
    job
}

async fn claim(worker: &Scheduler, lease: Duration) -> Option<Claimed> {
    worker.claim(&space(), &[tool()], "bob", lease).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_claimed_by_one_who_extends_it_and_answers_it_once() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = asks(&rig, &worker).await;
    let mut race = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let worker = worker.clone();
        race.spawn(async move { claim(&worker, LONG).await });
    }
    let claimed: Vec<Claimed> = race.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1, "one has it");
    let (id, token) = (claimed[0].call.id, &claimed[0].token);
    assert_eq!((id, claimed[0].input.value(), claimed[0].effect), (CallId { job_id: job, call: 1 }, json!({"n": 1}), Effect::Once));
    assert_eq!(worker.extend(&space(), id, token).await.unwrap(), LONG);
    let answer = Json::from(&json!({"edited": true}));
    for (wrong, code) in [("not mine", Code::ClaimLost), ("", Code::ClaimLost)] {
        assert_eq!(worker.answer_call(&space(), id, wrong, Ok(answer.clone())).await.unwrap_err().code, code);
    }
    worker.answer_call(&space(), id, token, Ok(answer.clone())).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!({"edited": true}));
    assert_eq!(worker.answer_call(&space(), id, token, Ok(answer)).await.unwrap_err().code, Code::ClaimLost, "it is answered");
    assert!(rig.store.scan(&ExternalKey::of_space(&space()), None, 9).unwrap().is_empty());
    assert!(rig.store.scan(&ClaimKey::all(), None, 9).unwrap().is_empty());
    assert_eq!(rig.world.count("b"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_may_say_that_it_failed_and_may_answer_while_the_job_is_paused() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = asks(&rig, &worker).await;
    let claimed = claim(&worker, LONG).await.unwrap();
    worker.pause(&space(), job, "ada".to_owned(), None).await.unwrap();
    let error = ToolError::new(ErrorKind::Failed, "no such file");
    worker.answer_call(&space(), claimed.call.id, &claimed.token, Err(error)).await.unwrap();
    assert_eq!(rig.state(job).status(), Status::Paused);
    worker.go_on(&space(), job, "ada".to_owned(), Default::default()).await.unwrap();
    rig.until(job, Status::Failed).await;
    assert!(rig.failure(job).contains("no such file"), "{}", rig.failure(job));
    assert_eq!(rig.world.count("b"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_claimers_call_goes_to_another_where_it_may_be_repeated() {
    let rig = Rig::new();
    let worker = rig.worker_with(|rules| rules.external = [(tool(), Effect::Idempotent)].into());
    let job = asks(&rig, &worker).await;
    let silent = claim(&worker, Duration::from_millis(50)).await.unwrap();
    let key = ClaimKey { space: space(), job_id: job, call: 1 };
    let mut freed = rig.store.watch(&key);
    while rig.store.get(&key).unwrap().is_some() {
        tokio::time::timeout(super::rig::DEADLINE, freed.changed()).await.unwrap().unwrap();
    }
    let other = claim(&worker, LONG).await.unwrap();
    assert_eq!((other.call.id, &other.call.row.key), (silent.call.id, &silent.call.row.key), "the same call, under the same name");
    let answer = || Ok(Json::from(&json!({})));
    assert_eq!(worker.answer_call(&space(), silent.call.id, &silent.token, answer()).await.unwrap_err().code, Code::ClaimLost);
    worker.answer_call(&space(), other.call.id, &other.token, answer()).await.unwrap();
    rig.until(job, Status::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_claimers_call_that_must_happen_once_is_in_doubt() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = asks(&rig, &worker).await;
    let silent = claim(&worker, Duration::from_millis(50)).await.unwrap();
    let doubt = rig.until(job, Status::Uncertain).await.uncertain.unwrap();
    assert!(doubt.reason.contains("bob"), "{}", doubt.reason);
    assert!(claim(&worker, LONG).await.is_none(), "it is not handed out again unasked");
    let late = worker.answer_call(&space(), silent.call.id, &silent.token, Ok(Json::from(&json!({})))).await;
    assert_eq!(late.unwrap_err().code, Code::ClaimLost);
    worker.resolve(&space(), job, doubt.seq, Settlement::Retry, "ada".to_owned(), None).await.unwrap();
    rig.until(job, Status::Waiting).await;
    let again = claim(&worker, LONG).await.unwrap();
    assert_eq!(again.call.row.key, silent.call.row.key);
    worker.answer_call(&space(), again.call.id, &again.token, Ok(Json::from(&json!({"n": 2})))).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!({"n": 2}));
}
