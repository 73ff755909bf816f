//! Approvals and external calls over HTTP: what is asked, who may answer, and every answer that is not taken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::graphs::{GraphJob, agent};
use crate::support::server::Server;

const NOTHING: &str = "0192f0c1-2345-7000-8000-000000000000.1";

fn from(id: &str) -> Value {
    json!({ "$from": id })
}

/// Asks before it pays; `timeout_ms` as given.
fn asks(server: &Server, timeout_ms: Option<u64>) -> GraphJob<'_> {
    let mut ask = json!({"id": "ask", "kind": "approval", "title": "Pay 12 EUR to Bo", "for": "pay"});
    if let Some(ms) = timeout_ms {
        ask["timeout_ms"] = json!(ms);
    }
    let pay = json!({"id": "pay", "kind": "tool", "tool": "agent/pay", "input": {"to": "Bo", "amount": 12}});
    GraphJob::start(server, &json!([ask, pay]), &from("pay"), &json!({}))
}

fn approval_of(job: &GraphJob<'_>) -> (String, String) {
    let waiting = job.stood()["waiting_on"].clone();
    assert_eq!(waiting["kind"], "approval", "{waiting}");
    (waiting["approval_id"].as_str().unwrap().to_owned(), waiting["digest"].as_str().unwrap().to_owned())
}

#[test]
fn an_approval_shows_what_will_be_done_and_is_bound_to_its_digest() {
    let server = Server::start();
    let job = asks(&server, None);
    let (id, digest) = approval_of(&job);
    let shown = server.get(&format!("/v1/approvals/{id}")).ok();
    assert_eq!(shown["request"], json!({"tool": "agent/pay", "input": {"to": "Bo", "amount": 12}}));
    assert_eq!((&shown["title"], &shown["step"], &shown["until"]), (&json!("Pay 12 EUR to Bo"), &json!("ask"), &Value::Null));
    assert_eq!((shown["digest"].as_str(), shown["job_id"].as_str()), (Some(&*digest), Some(&*job.id)));
    let decide = |what: &str, body: Value| server.post(&format!("/v1/approvals/{id}/{what}"), &body);
    decide("approve", json!({"digest": "0".repeat(64)})).refused(409, "job_state_conflict");
    decide("approve", json!({})).refused(400, "invalid_request");
    decide("approve", json!({"digest": "abc"})).refused(400, "invalid_request");
    decide("approve", json!({"digest": digest, "answer": 1, "comment": "x"})).refused(400, "invalid_request");
    assert_eq!(server.get("/v1/calls").ok()["calls"], json!([]), "nothing runs before it is approved");
    let yes = json!({"digest": digest, "comment": "fine", "actor": "ada"});
    assert_eq!(decide("approve", yes.clone()).status, 200);
    job.stood();
    assert_eq!(server.get("/v1/calls").ok()["calls"][0]["tool"], "agent/pay");
    assert_eq!(decide("approve", yes).status, 200, "the same decision again");
    decide("reject", json!({"digest": digest})).refused(409, "job_state_conflict");
    server.get(&format!("/v1/approvals/{id}")).refused(404, "approval_not_found");
    let journal = server.get(&format!("/v1/jobs/{}/journal?limit=500", job.id)).ok().to_string();
    assert!(journal.contains(r#""by":"ada""#) && journal.contains(r#"{"comment":"fine"}"#), "{journal}");
}

#[test]
fn what_is_rejected_does_not_run_and_what_expires_is_not_approved() {
    let server = Server::start();
    let job = asks(&server, None);
    let (id, digest) = approval_of(&job);
    assert_eq!(server.post(&format!("/v1/approvals/{id}/reject"), &json!({"digest": digest, "answer": {"why": "no"}})).status, 200);
    assert_eq!(job.stood()["status"], "failed");
    assert_eq!(server.post(&format!("/v1/approvals/{id}/reject"), &json!({"digest": digest})).status, 200, "the same decision again");
    server.post(&format!("/v1/approvals/{id}/approve"), &json!({"digest": digest})).refused(409, "job_state_conflict");

    let job = asks(&server, Some(1));
    let woken = job.until("woken");
    let failed = job.stood();
    assert_eq!(failed["status"], "failed", "{woken}");
    let id = format!("{}.1", job.id);
    let late = server.post(&format!("/v1/approvals/{id}/approve"), &json!({"digest": digest})).refused(409, "job_state_conflict");
    assert!(late["message"].as_str().unwrap().contains("expired"), "{late}");
    assert_eq!(server.get("/v1/calls").ok()["calls"], json!([]));
}

#[test]
fn approvals_are_listed_page_by_page_and_unknown_ones_are_not_found() {
    let server = Server::start();
    let jobs: Vec<GraphJob<'_>> = (0..3).map(|_| asks(&server, None)).collect();
    let expected: Vec<String> = jobs.iter().map(|job| approval_of(job).0).collect();
    let mut listed = Vec::new();
    let mut path = "/v1/approvals?limit=2".to_owned();
    loop {
        let page = server.get(&path).ok();
        listed.extend(page["approvals"].as_array().unwrap().iter().map(|row| row["approval_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/approvals?limit=2&cursor={next}");
    }
    assert_eq!(listed, expected);
    assert_eq!(server.get("/v1/approvals?scope=other").ok()["approvals"], json!([]));
    for id in [NOTHING, "x", "7.1"] {
        server.get(&format!("/v1/approvals/{id}")).refused(404, "approval_not_found");
        server.post(&format!("/v1/approvals/{id}/approve"), &json!({"digest": "0".repeat(64)})).refused(404, "approval_not_found");
    }
    server.get("/v1/approvals?cursor=x").refused(400, "invalid_request");
}

#[test]
fn a_worker_claims_extends_and_answers_and_nobody_else_can() {
    let server = Server::start();
    let job = GraphJob::start(&server, &json!([agent("edit")]), &from("edit"), &json!({}));
    let row = &server.get("/v1/calls?tool=agent/edit").ok()["calls"][0];
    assert_eq!((&row["tool"], &row["step"], &row["claimed_by"]), (&json!("agent/edit"), &json!("edit"), &Value::Null));
    assert_eq!(job.stood()["waiting_on"]["call_id"], row["call_id"]);
    let claim = || server.post("/v1/calls/claim", &json!({"tools": ["agent/other", "agent/edit"], "actor": "bo", "lease_ms": 60_000})).ok();
    let call = claim()["call"].clone();
    assert_eq!((&call["input"], &call["effect"], &call["claimed_by"]), (&json!({"me": "edit"}), &json!("once"), &json!("bo")));
    assert_eq!(call["lease_ms"], 60_000);
    assert_eq!(claim()["call"], Value::Null, "it is claimed already");
    let id = call["call_id"].as_str().unwrap();
    let say = |what: &str, body: Value| server.post(&format!("/v1/calls/{id}/{what}"), &body);
    say("extend", json!({"token": "not-it"})).refused(409, "claim_lost");
    say("result", json!({"token": "not-it", "output": 1})).refused(409, "claim_lost");
    assert_eq!(say("extend", json!({"token": call["token"]})).ok()["lease_ms"], 60_000);
    for wrong in [
        json!({"token": call["token"]}),
        json!({"token": call["token"], "output": 1, "error": {"kind": "failed", "message": "m"}}),
        json!({"output": 1}),
        json!({"token": call["token"], "error": {"kind": "odd", "message": "m"}}),
        json!({"token": call["token"], "outputs": 1}),
    ] {
        say("result", wrong).refused(400, "invalid_request");
    }
    say("result", json!({"token": call["token"], "output": null})).ok();
    let done = job.stood();
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &Value::Null));
    say("result", json!({"token": call["token"], "output": 2})).refused(409, "claim_lost");
    say("extend", json!({"token": call["token"]})).refused(409, "claim_lost");
}

#[test]
fn calls_are_listed_by_tool_page_by_page_and_unknown_ones_are_not_found() {
    let server = Server::start();
    let jobs: Vec<GraphJob<'_>> =
        ["a", "b", "a"].iter().map(|tool| GraphJob::start(&server, &json!([agent(tool)]), &from(tool), &json!({}))).collect();
    let listed = |mut path: String| {
        let mut jobs = Vec::new();
        let first = path.clone();
        loop {
            let page = server.get(&path).ok();
            jobs.extend(page["calls"].as_array().unwrap().iter().map(|row| row["job_id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { return jobs };
            path = format!("{first}&cursor={next}");
        }
    };
    assert_eq!(listed("/v1/calls?limit=1".to_owned()), [0, 2, 1].map(|n: usize| jobs[n].id.clone()));
    assert_eq!(listed("/v1/calls?limit=1&tool=agent/b".to_owned()), [jobs[1].id.clone()]);
    assert_eq!(listed("/v1/calls?limit=1&scope=other".to_owned()), [""; 0]);
    server.get("/v1/calls?tool=x").refused(400, "invalid_request");
    server.get(&format!("/v1/calls?tool=agent/a&cursor=agent/b.{NOTHING}")).refused(400, "invalid_request");
    for body in [json!({}), json!({"tools": []}), json!({"tools": ["fs/read"]}), json!({"tools": ["agent/a"], "lease_ms": 3_600_001})] {
        server.post("/v1/calls/claim", &body).refused(400, "invalid_request");
    }
    for id in [NOTHING, "x"] {
        server.post(&format!("/v1/calls/{id}/extend"), &json!({"token": "t"})).refused(404, "call_not_found");
        server.post(&format!("/v1/calls/{id}/result"), &json!({"token": "t", "output": 1})).refused(404, "call_not_found");
    }
}

#[test]
fn a_worker_that_fell_silent_has_lost_its_claim_and_its_once_call_is_uncertain() {
    let server = Server::start();
    let job = GraphJob::start(&server, &json!([agent("edit")]), &from("edit"), &json!({}));
    let call = server.post("/v1/calls/claim", &json!({"tools": ["agent/edit"], "lease_ms": 1})).ok()["call"].clone();
    job.until("uncertain");
    let uncertain = job.stood()["uncertain"].clone();
    assert_eq!((&uncertain["tool"], &uncertain["key"]), (&json!("agent/edit"), &call["key"]));
    let id = call["call_id"].as_str().unwrap();
    let late = json!({"token": call["token"], "output": 1});
    server.post(&format!("/v1/calls/{id}/result"), &late).refused(409, "claim_lost");
    server.post(&format!("/v1/calls/{id}/extend"), &json!({"token": call["token"]})).refused(409, "claim_lost");
    assert_eq!(server.get("/v1/calls").ok()["calls"], json!([]), "it is not handed out again unasked");
}
