//! What can be said to a job over HTTP: options, signals, cancel, pause, resume, retry, resolve; each where it makes sense, and
//! each refusal where it does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::graphs::{GraphJob, agent, signal};
use crate::support::server::{Answer, Server};

const NOBODY: &str = "0192f0c1-2345-7000-8000-000000000000";

fn from(id: &str) -> Value {
    json!({ "$from": id })
}

/// Waits for the signal `go` and gives it back.
fn waits(server: &Server) -> GraphJob<'_> {
    GraphJob::start(server, &json!([signal("go")]), &from("go"), &json!({}))
}

/// The places of an envelope's issues.
fn places(answer: &Answer) -> Vec<String> {
    let envelope = answer.refused(400, "invalid_request");
    envelope["issues"].as_array().unwrap().iter().map(|issue| issue["path"].as_str().unwrap().to_owned()).collect()
}

fn stands(answer: &Answer, code: u16, status: &str) {
    assert_eq!((answer.status, answer.json()["status"].as_str()), (code, Some(status)), "{}", answer.json());
}

/// Has claimed a once call and fell silent.
fn uncertain(server: &Server) -> (GraphJob<'_>, u64) {
    let nodes = json!([{"id": "pay", "kind": "tool", "tool": "agent/pay", "input": {}, "timeout_ms": 700}]);
    let job = GraphJob::start(server, &nodes, &from("pay"), &json!({}));
    job.until("waiting");
    // Somebody takes it, and says nothing more.
    let taken = server.post("/v1/calls/claim", &json!({"tools": ["agent/pay"]})).ok();
    assert_eq!(taken["call"]["job_id"], job.id.as_str(), "{taken}");
    job.until("uncertain");
    let seq = job.stood()["uncertain"]["seq"].as_u64().unwrap();
    (job, seq)
}

#[test]
fn a_signal_wakes_the_job_and_a_second_one_of_the_same_name_is_the_same() {
    let server = Server::start();
    let job = waits(&server);
    let waiting = job.stood();
    assert_eq!(waiting["status"], "waiting");
    assert_eq!((&waiting["waiting_on"]["kind"], &waiting["waiting_on"]["name"]), (&json!("signal"), &json!("go")));
    let other = json!({"name": "other", "payload": {"n": 0}});
    stands(&job.say("signals", &other), 202, "waiting");
    let sent = json!({"name": "go", "payload": {"n": 1}, "signal_id": "s-1", "actor": "billing"});
    assert_eq!(job.say("signals", &sent).status, 202);
    job.until("completed");
    let done = job.stood();
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({"n": 1})));
    stands(&job.say("signals", &sent), 200, "completed");
    job.say("signals", &json!({"name": "go", "signal_id": "s-2"})).refused(409, "job_state_conflict");
    let signals = job.kinds().into_iter().filter(|kind| kind == "signalled").count();
    assert_eq!(signals, 2, "{:?}", job.kinds());
}

#[test]
fn a_signal_that_came_before_anyone_waited_is_kept_and_a_null_payload_is_a_payload() {
    let server = Server::start();
    let job = GraphJob::start(&server, &json!([signal("one"), signal("two")]), &json!([from("one"), from("two")]), &json!({}));
    assert_eq!(job.say("signals", &json!({"name": "two", "payload": null})).status, 202);
    assert_eq!(job.say("signals", &json!({"name": "one", "payload": [1]})).status, 202);
    job.until("completed");
    assert_eq!(job.stood()["output"], json!([[1], null]));
}

#[test]
fn what_is_malformed_is_refused_with_each_place() {
    let server = Server::start();
    let job = waits(&server);
    for (what, body, expected) in [
        ("signals", json!({}), vec!["/name"]),
        ("signals", json!({"name": "", "signal_id": 7, "payloads": 1}), vec!["/name", "/signal_id", ""]),
        ("cancel", json!({"reason": 7}), vec!["/reason"]),
        ("pause", json!({"because": "x"}), vec![""]),
        ("resume", json!({"budget": {"calls": 0, "fuels": 1}}), vec!["/budget/fuels"]),
        ("resume", json!({"budget": {"calls": 0}}), vec!["/budget/calls"]),
        ("resume", json!({"budget": 7}), vec!["/budget"]),
        ("retry", json!({"from": 1}), vec![""]),
        ("resolve", json!({}), vec!["/seq", "/decision"]),
        ("resolve", json!({"seq": 1, "decision": "perhaps"}), vec!["/decision"]),
        ("resolve", json!({"seq": 1, "decision": "happened"}), vec!["/output"]),
        ("resolve", json!({"seq": 1, "decision": "fail"}), vec!["/error"]),
        (
            "resolve",
            json!({"seq": 1, "decision": "fail", "error": {"kind": "bad", "massage": "x"}}),
            vec!["/error/message", "/error/kind", "/error"],
        ),
        (
            "resolve",
            json!({"seq": 1, "decision": "retry", "output": null, "error": {"kind": "failed", "message": "m"}}),
            vec!["/output", "/error"],
        ),
    ] {
        assert_eq!(places(&job.say(what, &body)), expected, "{what} {body}");
    }
    for what in ["signals", "cancel", "pause", "resume", "retry", "resolve"] {
        let body = json!({"name": "go", "seq": 1, "decision": "retry"});
        let known: &[&str] = match what {
            "signals" => &["name"],
            "resolve" => &["seq", "decision"],
            _ => &[],
        };
        let body: Value = known.iter().map(|name| ((*name).to_owned(), body[name].clone())).collect();
        server.post(&format!("/v1/jobs/{NOBODY}/{what}"), &body).refused(404, "job_not_found");
    }
}

#[test]
fn options_are_kept_with_the_job_and_each_wrong_one_is_named() {
    let server = Server::start();
    let options = json!({"priority": 9, "tries": 3, "budget": {"calls": 5}, "timeout_ms": 60_000, "confirm": "warn"});
    let job = GraphJob::start(&server, &json!([signal("go")]), &from("go"), &json!({ "options": options }));
    assert_eq!(job.stood()["options"], options);
    let request = |options: Value| json!({"playbook_id": "x", "options": options});
    for (options, expected, word) in [
        (json!({"trys": 3}), vec!["/options/trys"], "expected one of `priority`, `tries`"),
        (json!({"priority": 10, "tries": 0}), vec!["/options/priority", "/options/tries"], "10 is not between 0 and 9"),
        (json!({"priority": -1, "confirm": "yes"}), vec!["/options/confirm", "/options/priority"], "expected one of `off`"),
        (json!({"budget": {"cals": 1, "fuel": "x"}}), vec!["/options/budget/cals", "/options/budget/fuel"], "expected one of `fuel`"),
        (json!({"budget": {"fuel": 0}}), vec!["/options/budget/fuel"], "0 is not between"),
        (json!(7), vec!["/options"], "is not an object"),
        (json!([9, 5]), vec!["/options"], "is not an object"),
        (json!({"budget": [1]}), vec!["/options/budget"], "is not an object"),
    ] {
        let answer = server.post("/v1/jobs", &request(options.clone()));
        assert_eq!(places(&answer), expected, "{options}");
        assert!(answer.json()["issues"].to_string().contains(word), "{}", answer.json());
    }
}

#[test]
fn a_cancelled_job_says_by_whom_and_why_and_takes_nothing_more() {
    let server = Server::start();
    let job = waits(&server);
    assert!((200..=202).contains(&job.say("cancel", &json!({"reason": "wrong order", "actor": "ada"})).status));
    job.until("cancelled");
    let ended = job.stood();
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["cancel"], json!({"by": "ada", "reason": "wrong order"}));
    for (what, body) in [
        ("cancel", json!({})),
        ("pause", json!({})),
        ("resume", json!({})),
        ("retry", json!({})),
        ("signals", json!({"name": "go"})),
        ("resolve", json!({"seq": 2, "decision": "retry"})),
    ] {
        job.say(what, &body).refused(409, "job_state_conflict");
    }
}

#[test]
fn a_paused_job_stands_until_it_is_resumed() {
    let server = Server::start();
    let job = waits(&server);
    assert_eq!(job.say("pause", &json!({"actor": "ada", "reason": "wait for monday"})).status, 202);
    job.until("paused");
    assert_eq!(job.stood()["paused"], json!({"by": "ada", "reason": "wait for monday"}));
    stands(&job.say("signals", &json!({"name": "go", "payload": 1})), 202, "paused");
    job.until("signalled");
    // What it waits for may come meanwhile; it is the next step that is not begun.
    assert_eq!(job.stood()["status"], "paused");
    assert!((200..=202).contains(&job.say("resume", &json!({})).status));
    job.until("completed");
    assert_eq!(job.stood()["output"], 1);
    let again = waits(&server);
    again.say("resume", &json!({})).refused(409, "job_state_conflict");
}

#[test]
fn a_job_that_used_up_its_budget_goes_on_with_a_larger_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:project={}", directory.path().display())]);
    let list = |id: &str| json!({"id": id, "kind": "tool", "tool": "fs/list", "input": {"path": "project"}});
    let nodes = json!([list("a"), list("b")]);
    let job = GraphJob::start(&server, &nodes, &json!("done"), &json!({"options": {"budget": {"calls": 1}}}));
    let parked = job.stood();
    assert_eq!((&parked["status"], &parked["parked"]["reason"]), (&json!("parked"), &json!("calls")), "{parked}");
    assert!((200..=202).contains(&job.say("resume", &json!({"budget": {"calls": 5}})).status));
    assert_eq!(job.stood()["status"], "completed");
}

#[test]
fn a_failed_job_is_tried_again_from_the_call_that_failed() {
    let server = Server::start();
    let job = GraphJob::start(&server, &json!([agent("first"), agent("second")]), &json!([from("first"), from("second")]), &json!({}));
    let perform = |tool: &str, came: Value| {
        let claimed = server.post("/v1/calls/claim", &json!({"tools": [tool]})).ok();
        let mut result = came;
        result["token"] = claimed["call"]["token"].clone();
        let id = claimed["call"]["call_id"].as_str().unwrap_or_else(|| panic!("{tool}: {claimed}")).to_owned();
        server.post(&format!("/v1/calls/{id}/result"), &result).ok();
        job.stood()
    };
    job.say("retry", &json!({})).refused(409, "job_state_conflict");
    perform("agent/first", json!({"output": 1}));
    let failed = perform("agent/second", json!({"error": {"kind": "failed", "message": "out of stock", "detail": {"left": 0}}}));
    assert_eq!(failed["status"], "failed");
    assert!(failed["failure"]["message"].as_str().unwrap().contains("out of stock"), "{failed}");
    assert_eq!(job.say("retry", &json!({"actor": "ada"})).status, 202);
    job.stood();
    assert_eq!(perform("agent/second", json!({"output": 2}))["output"], json!([1, 2]));
    let made = job.kinds().into_iter().filter(|kind| kind == "called").count();
    assert_eq!(made, 3, "the first call is not made again: {:?}", job.kinds());
}

#[test]
fn an_uncertain_call_is_settled_as_happened_as_failed_or_made_again() {
    let server = Server::start();
    let (job, seq) = uncertain(&server);
    let happened =
        |seq: u64| json!({"seq": seq, "decision": "happened", "output": {"paid": 12}, "note": "seen in the bank", "actor": "ada"});
    job.say("resolve", &happened(seq + 1)).refused(409, "job_state_conflict");
    job.say("signals", &json!({"name": "x"})).ok();
    assert!((200..=202).contains(&job.say("resolve", &happened(seq)).status));
    let done = job.stood();
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({"paid": 12})));
    job.say("resolve", &happened(seq)).refused(409, "job_state_conflict");

    let (job, seq) = uncertain(&server);
    let error = json!({"kind": "failed", "message": "the bank says no", "detail": {"code": 7}});
    assert!((200..=202).contains(&job.say("resolve", &json!({"seq": seq, "decision": "fail", "error": error})).status));
    let failed = job.stood();
    assert!(failed["failure"]["message"].as_str().unwrap().contains("the bank says no"), "{failed}");

    let (job, seq) = uncertain(&server);
    assert_eq!(job.say("resolve", &json!({"seq": seq, "decision": "retry"})).status, 202);
    job.until("resolved");
    let made = server.post("/v1/calls/claim", &json!({"tools": ["agent/pay"]})).ok();
    assert!(made["call"].is_null() || made["call"]["job_id"] == job.id.as_str(), "{made}");
}
