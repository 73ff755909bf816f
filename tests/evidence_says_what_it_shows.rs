//! A piece of evidence counts for what it shows of the playbook, once, and for nothing that a person did in its place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::graphs::{GraphJob, component};
use crate::support::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that jobs may write to, as `project`.
fn world() -> (TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:project={}", dir.path().display())]);
    (dir, server)
}

fn look() -> Value {
    json!({"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": "project/late.txt"}})
}

fn upload(server: &Server, nodes: &Value) {
    let bytes = component(nodes, &json!("done"));
    server.send("POST", "/v1/playbooks?id=p&name=p", &[("content-type", "application/wasm")], Some(bytes)).ok();
}

/// A job of `p` that is tried twice and then set aside; its id.
fn given_up(server: &Server) -> String {
    let options = json!({"job_tries": 2, "first_pause_ms": 1, "when_exhausted": "park"});
    let job = server.post("/v1/jobs", &json!({"playbook_id": "p", "options": options, "wait_ms": 50_000})).ok();
    let id = job["job_id"].as_str().unwrap().to_owned();
    has(server, &id, "parked", 1);
    id
}

/// Waits until the job's journal has so many entries of this kind.
fn has(server: &Server, job: &str, kind: &str, times: usize) {
    let begun = Instant::now();
    loop {
        let journal = server.get(&format!("/v1/jobs/{job}/journal?limit=500")).ok();
        if journal["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).count() >= times {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{kind} is not there {times} times: {journal:#}");
        std::thread::yield_now();
    }
}

fn retry(server: &Server, job: &str) {
    server.post(&format!("/v1/jobs/{job}/retry"), &json!({})).ok();
}

/// What jobs left behind, newest first, and what the policy makes of it.
fn evidence(server: &Server, id: &str) -> (Vec<Value>, Value) {
    let page = server.get(&format!("/v1/playbooks/{id}/evidence?kind=job")).ok();
    (page["evidence"].as_array().unwrap().clone(), page["verdict"].clone())
}

#[test]
fn a_job_that_is_given_up_is_a_failure_with_its_place_and_only_once() {
    let (dir, server) = world();
    upload(&server, &json!([look()]));
    let job = given_up(&server);
    let (rows, verdict) = evidence(&server, "p");
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!((&rows[0]["job_id"], &rows[0]["outcome"], &rows[0]["counts"]), (&json!(job), &json!("failure"), &json!(true)));
    assert_eq!((&rows[0]["drift"]["step"], &rows[0]["drift"]["cause"]), (&json!("look"), &json!("playbook")), "{rows:#?}");
    assert!(rows[0]["drift"]["why"].as_str().unwrap().starts_with("failed 2 times; the last time: "), "{rows:#?}");
    assert_eq!((&verdict["successes"], &verdict["failures"]), (&json!(0), &json!(1)));
    // Let go on and given up again, it is the same job, which failed.
    retry(&server, &job);
    has(&server, &job, "parked", 2);
    assert_eq!(evidence(&server, "p").0.len(), 1);
    // Its success, once it comes, is one.
    std::fs::write(dir.path().join("late.txt"), "here\n").unwrap();
    retry(&server, &job);
    has(&server, &job, "completed", 1);
    let (rows, verdict) = evidence(&server, "p");
    assert_eq!((rows.len(), &rows[0]["outcome"], &rows[0]["counts"]), (2, &json!("success"), &json!(true)), "{rows:#?}");
    assert_eq!((&verdict["successes"], &verdict["failures"]), (&json!(1), &json!(1)));
    let sums = server.get("/v1/playbooks/p/ledger").ok()["jobs"].clone();
    assert_eq!((&sums["successes"], &sums["failures"]), (&json!(1), &json!(0)), "one job is one in the ledger, as it ended: {sums}");
}

#[test]
fn a_job_that_was_given_up_and_fails_in_the_end_is_not_counted_twice() {
    let (dir, server) = world();
    let note = json!({"id": "note", "kind": "tool", "tool": "fs/write", "input": {"path": "project/note.txt", "text": "x"}});
    upload(&server, &json!([look(), note, {"id": "no", "kind": "fail", "message": "it is so"}]));
    let job = given_up(&server);
    std::fs::write(dir.path().join("late.txt"), "here\n").unwrap();
    retry(&server, &job);
    has(&server, &job, "failed", 1);
    let (rows, verdict) = evidence(&server, "p");
    let shown: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["outcome"], &row["counts"])).collect();
    assert_eq!(shown, [(&json!("failure"), &json!(false)), (&json!("failure"), &json!(true))], "{rows:#?}");
    assert_eq!(verdict["failures"], 1);
}

#[test]
fn a_job_that_fails_each_time_it_is_tried_again_is_one_failure() {
    let (dir, server) = world();
    upload(&server, &json!([look(), {"id": "no", "kind": "fail", "message": "it is so"}]));
    let job = server.post("/v1/jobs", &json!({"playbook_id": "p", "wait_ms": 50_000})).ok();
    let id = job["job_id"].as_str().unwrap();
    for times in 2..4 {
        retry(&server, id);
        has(&server, id, "failed", times);
    }
    let counted = |rows: &[Value]| rows.iter().filter(|row| row["counts"] == true).count();
    let (rows, verdict) = evidence(&server, "p");
    assert_eq!((rows.len(), counted(&rows), &verdict["failures"]), (3, 1, &json!(1)), "{rows:#?}");
    // Another job is another failure.
    std::fs::write(dir.path().join("late.txt"), "here\n").unwrap();
    server.post("/v1/jobs", &json!({"playbook_id": "p", "wait_ms": 50_000})).ok();
    let (rows, verdict) = evidence(&server, "p");
    assert_eq!((rows.len(), counted(&rows), &verdict["failures"]), (4, 2, &json!(2)), "{rows:#?}");
}

#[test]
fn enough_jobs_that_are_given_up_cost_a_playbook_its_status() {
    let (_dir, server) = world();
    server.operator("PUT", "/v1/policy", Some(&json!({"demote": {"window": 4, "min_failures": 2}}))).ok();
    upload(&server, &json!([look()]));
    server.operator("POST", "/v1/playbooks/p/promote", Some(&json!({"target_status": "active"}))).ok();
    (0..2).for_each(|_| drop(given_up(&server)));
    let begun = Instant::now();
    while server.get("/v1/playbooks/p").ok()["status"] != "draft" {
        assert!(begun.elapsed() < PATIENCE, "{:#}", server.get("/v1/playbooks/p/evidence").ok());
        std::thread::yield_now();
    }
    let told = server.get("/v1/playbooks/p/history").ok()["changes"][0].clone();
    assert_eq!(told["kind"], "auto_demoted", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("at step look: failed 2 times"), "{told}");
}

/// Nobody knows whether the call happened, and somebody says that it did: what came of it is their word, and no work of the playbook.
#[test]
fn what_a_person_vouched_for_is_no_success_of_the_playbook() {
    let server = Server::start();
    let pay = json!({"id": "pay", "kind": "tool", "tool": "agent/pay", "input": {}, "timeout_ms": 700});
    let rest = json!({"id": "rest", "kind": "tool", "tool": "fs/list", "input": {"path": "nowhere"}, "on_failure": "continue"});
    let both = json!({"id": "both", "kind": "parallel", "branches": [["pay"], ["rest"]]});
    for nodes in [json!([pay]), json!([both, pay, rest])] {
        let job = GraphJob::start(&server, &nodes, &json!("paid"), &json!({}));
        let playbook = server.get(&format!("/v1/jobs/{}", job.id)).ok()["playbook_id"].as_str().unwrap().to_owned();
        let begun = Instant::now();
        let taken = loop {
            let taken = server.post("/v1/calls/claim", &json!({"tools": ["agent/pay"]})).ok()["call"].clone();
            if taken.is_object() {
                break taken;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody calls");
        };
        // In a branch it is the branch that stands.
        let stands = taken["job_id"].as_str().unwrap();
        has(&server, stands, "uncertain", 1);
        let seq = server.get(&format!("/v1/jobs/{stands}")).ok()["uncertain"]["seq"].clone();
        let said = json!({"seq": seq, "decision": "happened", "output": {"paid": 12}, "actor": "ada"});
        server.post(&format!("/v1/jobs/{stands}/resolve"), &said).ok();
        job.until("completed");
        let (rows, verdict) = evidence(&server, &playbook);
        assert_eq!((rows.len(), &rows[0]["outcome"], &rows[0]["counts"]), (1, &json!("success"), &json!(false)), "{rows:#?}");
        let drift = &rows[0]["drift"];
        assert!(drift["step"] == "pay" && drift["why"].as_str().unwrap().starts_with("a person said that the call happened"), "{drift}");
        assert_eq!((&verdict["successes"], &verdict["failures"]), (&json!(0), &json!(0)), "{verdict}");
        // Nobody passes for the tool that knows what became of its call.
        let passing = json!({"seq": seq, "decision": "retry", "actor": "Reconcile"});
        assert_eq!(
            server.post(&format!("/v1/jobs/{stands}/resolve"), &passing).refused(400, "invalid_request")["issues"][0]["path"],
            "/actor"
        );
    }
}
