//! Children: each with a journal of its own, and none outlives its parent unasked.

use serde_json::{Value, json};

use super::rig::{Act, Rig, space};
use super::{call, wait};
use crate::contract::ErrorKind;
use crate::ids::JobId;
use crate::journal::{Options, Status};
use crate::limits;
use crate::store::MailKey;

fn parallel(branches: &Value, join: &str) -> Value {
    json!({"id": "p", "kind": "parallel", "branches": branches, "join": join})
}

fn children(rig: &Rig, job: JobId) -> Vec<JobId> {
    rig.state(job).children.iter().map(|child| child.job_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_run_side_by_side_and_their_order_decides_what_comes_of_them() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let nodes = json!([parallel(&json!([["a"], ["b"]]), "all"), call("a", "once"), call("b", "once")]);
    let output = json!([{"$from": "a", "pointer": "/did"}, {"$from": "b", "pointer": "/did"}]);
    let job = worker.start(&space(), rig.order_with(&nodes, &output, Options::default()), Default::default()).await.unwrap();
    rig.world.called("b", 1).await;
    rig.world.let_go(1);
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!(["a", "b"]));
    assert_eq!((rig.count(job, "child_started"), rig.count(job, "child_ended"), rig.count(job, "woken")), (2, 2, 2));
    for child in children(&rig, job) {
        assert_eq!(rig.kinds(child), ["created", "called", "returned", "completed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_branch_to_end_cancels_the_others() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let nodes = json!([
        parallel(&json!([["a"], ["b"], ["w"]]), "first"),
        call("a", "once"),
        call("b", "once"),
        wait("w", "never"),
        call("c", "once")
    ]);
    let job = rig.start(&worker, &nodes).await;
    rig.until(job, Status::Completed).await;
    let ends: Vec<Status> = children(&rig, job).into_iter().map(|child| rig.state(child).status()).collect();
    assert_eq!(ends, [Status::Cancelled, Status::Completed, Status::Cancelled]);
    assert_eq!((rig.count(job, "child_cancelled"), rig.world.count("c")), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn c54_of_branches_one_of_which_fails_the_others_effects_stay_and_only_it_is_tried_again() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("b", [Act::Fail(ErrorKind::Unavailable), Act::Fail(ErrorKind::Unavailable)]);
    let nodes = json!([parallel(&json!([["a"], ["b"], ["c"]]), "all"), call("a", "once"), call("b", "once"), call("c", "once")]);
    let job = rig.start_with(&worker, &nodes, Options { tries: 2, first_pause_ms: 0, ..Options::default() }).await;
    let failing = rig.until_state(job, "has all children", |state| state.children.len() == 3).await.children[1].job_id;
    rig.until(failing, Status::Parked).await;
    rig.until_state(job, "has heard of the others", |state| state.children.iter().filter(|child| child.end.is_some()).count() == 2).await;
    worker.go_on(&space(), failing, "ada".to_owned(), Default::default()).await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(["a", "b", "c"].map(|me| rig.world.count(me)), [1, 3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_cancelled_leaves_no_child_behind() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.world.acts("a", [Act::Hold]);
    let nodes = json!([parallel(&json!([["a"], ["w"]]), "all"), call("a", "once"), wait("w", "never")]);
    let job = rig.start(&worker, &nodes).await;
    rig.world.called("a", 1).await;
    rig.until(job, Status::Waiting).await;
    worker.cancel(&space(), job, "ada".to_owned(), None, false).await.unwrap();
    rig.until(job, Status::Cancelled).await;
    for child in children(&rig, job) {
        rig.until(child, Status::Cancelled).await;
    }
    // What nobody will take in is cleared away.
    let cleared = async {
        while !rig.store.scan(&MailKey::all(), None, 9).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::rig::DEADLINE, cleared).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_worker_died_before_it_was_made_is_made_when_its_parent_goes_on() {
    let rig = Rig::new();
    let worker = rig.worker();
    let nodes = json!([parallel(&json!([["a"], ["b"]]), "all"), call("a", "once"), call("b", "once")]);
    let whole = rig.start(&worker, &nodes).await;
    rig.until(whole, Status::Completed).await;
    // The same job once more, left right behind its first `child_started`.
    let started = rig.entries(whole).into_iter().find(|entry| entry.body.kind() == "child_started").unwrap().body;
    let crate::journal::Body::ChildStarted(started) = started else { panic!("{started:?}") };
    let child = JobId::fresh();
    let job = rig.left(&nodes).await;
    let (mut log, _) = crate::journal::Log::reopen(&rig.store, &space(), job, 1, Some(1)).await.unwrap();
    log.push(crate::journal::Body::ChildStarted(crate::journal::ChildStarted { job_id: child, ..started })).unwrap();
    log.flush().await.unwrap();
    drop(log);
    worker.resume_all().await.unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.until(child, Status::Completed).await.parent.unwrap().job_id, job);
    assert_eq!((rig.world.count("a"), rig.world.count("b")), (2, 2), "each job once");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_playbook_is_a_child_and_one_that_is_not_there_says_so() {
    let rig = Rig::new();
    let worker = rig.worker();
    rig.playbook("other", &json!([call("o", "once")]), &json!({"$from": "o"}));
    let start = |name: &str| json!([{"id": "s", "kind": "playbook", "playbook": name, "input": {}}]);
    let job = worker
        .start(&space(), rig.order_with(&start("other"), &json!({"$from": "s"}), Options::default()), Default::default())
        .await
        .unwrap();
    rig.until(job, Status::Completed).await;
    assert_eq!(rig.output(job), json!({"did": "o"}));
    let unknown = rig.start(&worker, &start("nobody")).await;
    rig.until(unknown, Status::Failed).await;
    assert!(rig.failure(unknown).contains("nobody"), "{}", rig.failure(unknown));
    assert!(children(&rig, unknown).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_starts_itself_comes_to_an_end() {
    let rig = Rig::new();
    let worker = rig.worker();
    let job = rig.start(&worker, &json!([{"id": "s", "kind": "playbook", "playbook": "main", "input": {}}])).await;
    rig.until(job, Status::Failed).await;
    let (mut depth, mut deepest) = (0, job);
    while let Some(child) = children(&rig, deepest).first() {
        (depth, deepest) = (depth + 1, *child);
    }
    assert_eq!(depth, limits::CHILD_DEPTH_MAX);
    assert!(rig.failure(deepest).contains("jobs stand above this one"), "{}", rig.failure(deepest));
}
