//! A run's whole life over HTTP, with the routes and field names that Aionis has.

use serde_json::{Value, json};

use crate::support::server::{Answer, Server};

fn replay(server: &Server, route: &str, body: &Value) -> Answer {
    server.post(&format!("/v1/memory/replay/{route}"), body)
}

/// A run of two steps, the second of which was tried twice, in the order in which it is recorded.
fn recording() -> Vec<(&'static str, Value)> {
    vec![
        (
            "run/start",
            json!({"run_id": "release-1", "goal": "prepare the release", "inputs": {"version": "1.4.0"}, "actor": "ada",
                "context_snapshot_ref": "notes#4", "context_snapshot_hash": "ab".repeat(32), "metadata": {"agent": "a"}}),
        ),
        (
            "step/before",
            json!({"run_id": "release-1", "step_id": "look", "decision_id": "d-1", "step_index": 1, "tool_name": "fs/read",
                "tool_input": {"path": "project/package.json"}, "expected_output_signature": {"kind": "file"},
                "preconditions": [{"kind": "file_exists", "path": "package.json"}], "retry_policy": {"max": 2},
                "safety_level": "auto_ok", "metadata": {"n": 1}}),
        ),
        (
            "step/after",
            json!({"run_id": "release-1", "step_id": "look", "status": "success", "output": {"text": "1.3.0"},
                "output_signature": {"kind": "file"}, "postconditions": [{"kind": "read"}], "artifact_refs": ["log-1", {"uri": "x"}],
                "metadata": {"ms": 3}}),
        ),
        (
            "step/before",
            json!({"run_id": "release-1", "step_id": "wrong", "step_index": 2, "tool_name": "edit", "tool_input": "free text"}),
        ),
        ("step/after", json!({"run_id": "release-1", "step_id": "wrong", "status": "failed", "error": "no such text"})),
        (
            "step/before",
            json!({"run_id": "release-1", "step_id": "right", "step_index": 2, "tool_name": "edit", "tool_input": [1, "two", null]}),
        ),
        (
            "step/after",
            json!({"run_id": "release-1", "step_index": 2, "status": "success", "output": "done", "repair_applied": true, "repair_note": "quotes"}),
        ),
        (
            "run/end",
            json!({"run_id": "release-1", "status": "success", "summary": "prepared", "success_criteria": {"tests": "green"},
                "metrics": {"steps": 2}, "output": 42, "metadata": {"by": "ada"}}),
        ),
    ]
}

#[test]
fn a_run_is_recorded_and_read_back_whole_with_aionis_fields() {
    let server = Server::start();
    for (route, body) in recording() {
        let answer = replay(&server, route, &body).ok();
        assert_eq!((&answer["tenant_id"], &answer["scope"]), (&json!("default"), &json!("default")), "{route}");
        let hash = answer["commit_hash"].as_str().unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|c| c.is_ascii_hexdigit()), "{route}: {hash}");
        assert_eq!(answer["commit_uri"], format!("aionis://default/default/commit/{}", answer["commit_id"].as_str().unwrap()), "{route}");
    }

    let whole = replay(&server, "runs/get", &json!({"run_id": "release-1"})).ok();
    let run = &whole["run"];
    for (field, value) in [
        ("status", json!("success")),
        ("goal", json!("prepare the release")),
        ("inputs", json!({"version": "1.4.0"})),
        ("output", json!(42)),
        ("actor", json!("ada")),
        ("summary", json!("prepared")),
        ("metadata", json!({"agent": "a"})),
        ("end_metadata", json!({"by": "ada"})),
    ] {
        assert_eq!(run[field], value, "{field}");
    }
    let steps = whole["steps"].as_array().unwrap();
    let line = |step: &Value| {
        json!([step["step_id"], step["step_index"], step["status"], step["tool_input"], step["output"], step["safety_level"]])
    };
    assert_eq!(
        steps.iter().map(line).collect::<Vec<_>>(),
        [
            json!(["look", 1, "success", {"path": "project/package.json"}, {"text": "1.3.0"}, "auto_ok"]),
            json!(["wrong", 2, "failed", "free text", null, "needs_confirm"]),
            json!(["right", 2, "success", [1, "two", null], "done", "needs_confirm"]),
        ]
    );
    assert_eq!(steps[1]["error"], "no such text");
    assert_eq!((&steps[2]["repair_applied"], &steps[2]["repair_note"]), (&json!(true), &json!("quotes")));
    assert_eq!(whole["artifacts"], json!(["log-1", {"uri": "x"}]));
    assert_eq!(whole["counters"], json!({"total_nodes": 8, "step_nodes": 3, "step_result_nodes": 3, "artifact_refs": 2}));
    assert_eq!(whole["timeline"].as_array().unwrap().len(), 8);

    let short = replay(&server, "runs/get", &json!({"run_id": "release-1", "include_steps": false, "include_artifacts": false})).ok();
    assert_eq!((&short["steps"], &short["artifacts"], &short["run"]), (&json!([]), &json!([]), run));
}

#[test]
fn a_repeat_is_answered_as_the_first_time_even_by_another_process() {
    let mut server = Server::start();
    let record = |server: &Server| recording().iter().map(|(route, body)| replay(server, route, body).ok()).collect::<Vec<Value>>();
    let once = record(&server);
    assert_eq!(record(&server), once);
    server.restart();
    assert_eq!(record(&server), once);
}

#[test]
fn the_same_id_with_other_content_is_a_conflict_that_shows_both() {
    let server = Server::start();
    for (route, body) in recording() {
        replay(&server, route, &body).ok();
    }
    for (route, change, stored, sent) in [
        ("run/start", json!({"run_id": "release-1", "goal": "another"}), json!("prepare the release"), json!("another")),
        (
            "step/before",
            json!({"run_id": "release-1", "step_id": "look", "step_index": 9, "tool_name": "fs/list"}),
            json!("fs/read"),
            json!("fs/list"),
        ),
        ("step/after", json!({"run_id": "release-1", "step_id": "look", "status": "partial"}), json!("success"), json!("partial")),
        ("run/end", json!({"run_id": "release-1", "status": "failed"}), json!("success"), json!("failed")),
    ] {
        let body = replay(&server, route, &change).refused(409, "id_conflict");
        let shows = |side: &str, value: &Value| body["details"][side].as_object().unwrap().values().any(|v| v == value);
        assert!(shows("stored", &stored) && shows("sent", &sent), "{route}: {body}");
    }
}

#[test]
fn a_step_may_stay_pending_and_an_ended_run_takes_nothing_more() {
    let server = Server::start();
    let started = replay(&server, "run/start", &json!({"goal": "no id of its own"})).ok();
    let run_id = &started["run_id"];
    let step = json!({"run_id": run_id, "step_index": 1, "tool_name": "bash"});
    let before = replay(&server, "step/before", &step).ok();
    assert_eq!(before["status"], "pending");
    assert_eq!(replay(&server, "step/before", &step).ok(), before, "a step without an id is recognised by its content");
    let whole = replay(&server, "runs/get", &json!({"run_id": run_id})).ok();
    assert_eq!((&whole["run"]["status"], &whole["run"]["ended_at"]), (&json!("in_progress"), &Value::Null));
    assert_eq!((&whole["steps"][0]["status"], &whole["steps"][0]["result_uri"]), (&json!("pending"), &Value::Null));

    replay(&server, "run/end", &json!({"run_id": run_id, "status": "partial"})).ok();
    replay(&server, "step/before", &json!({"run_id": run_id, "step_index": 2, "tool_name": "bash"})).refused(409, "run_ended");
    replay(&server, "step/after", &json!({"run_id": run_id, "step_index": 1, "status": "success"})).refused(409, "run_ended");
    assert_eq!(replay(&server, "runs/get", &json!({"run_id": run_id})).ok()["counters"]["step_nodes"], 1);
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let server = Server::start();
    replay(&server, "run/start", &json!({"run_id": "here", "goal": "g"})).ok();
    for (route, body, code, says) in [
        ("step/before", json!({"run_id": "gone", "step_index": 1, "tool_name": "t"}), "replay_run_not_found", "gone"),
        ("step/after", json!({"run_id": "gone", "step_index": 1, "status": "success"}), "replay_run_not_found", "gone"),
        ("run/end", json!({"run_id": "gone", "status": "success"}), "replay_run_not_found", "gone"),
        ("runs/get", json!({"run_id": "gone"}), "replay_run_not_found", "gone"),
        ("step/after", json!({"run_id": "here", "step_id": "s9", "status": "success"}), "replay_step_not_found", "s9"),
        ("step/after", json!({"run_id": "here", "step_index": 7, "status": "success"}), "replay_step_not_found", "7"),
        ("playbooks/compile_from_run", json!({"run_id": "gone"}), "replay_run_not_found", "gone"),
        ("playbooks/get", json!({"playbook_id": "nothing"}), "replay_playbook_not_found", "nothing"),
        ("playbooks/candidate", json!({"playbook_id": "nothing"}), "replay_playbook_not_found", "nothing"),
    ] {
        let body = replay(&server, route, &body).refused(404, code);
        assert!(body["message"].as_str().unwrap().contains(says), "{route}: {body}");
    }
    let neither = replay(&server, "step/after", &json!({"run_id": "here", "status": "success"}));
    neither.refused(400, "replay_step_reference_required");
}

#[test]
fn tenants_and_scopes_see_nothing_of_each_other() {
    let server = Server::start();
    let spaces = [json!({}), json!({"tenant_id": "acme"}), json!({"scope": "team/a"}), json!({"tenant_id": "acme", "scope": "team/a"})];
    let within = |space: &Value, fields: Value| {
        let mut body = fields;
        body.as_object_mut().unwrap().extend(space.as_object().unwrap().clone());
        body
    };
    let mut commits = Vec::new();
    for (n, space) in spaces.iter().enumerate() {
        replay(&server, "runs/get", &within(space, json!({"run_id": "same"}))).refused(404, "replay_run_not_found");
        let goal = format!("goal {n}");
        let started = replay(&server, "run/start", &within(space, json!({"run_id": "same", "goal": goal}))).ok();
        commits.push(started["commit_id"].clone());
        let step = json!({"run_id": "same", "step_id": "s", "step_index": 1, "tool_name": "t", "tool_input": n});
        replay(&server, "step/before", &within(space, step)).ok();
    }
    for (n, space) in spaces.iter().enumerate() {
        let run = replay(&server, "runs/get", &within(space, json!({"run_id": "same"}))).ok();
        assert_eq!((&run["run"]["goal"], &run["steps"][0]["tool_input"]), (&json!(format!("goal {n}")), &json!(n)));
        assert_eq!(
            (&run["tenant_id"], &run["scope"]),
            (space.get("tenant_id").unwrap_or(&json!("default")), space.get("scope").unwrap_or(&json!("default")))
        );
    }
    commits.sort_by_key(Value::to_string);
    commits.dedup();
    assert_eq!(commits.len(), spaces.len());
}

#[test]
fn a_clients_name_for_its_request_comes_back_and_a_hostile_one_does_not() {
    let server = Server::start();
    let named =
        |id: &str| server.send("GET", "/healthz", &[("x-request-id", id)], None).headers["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(named("mine-1"), "mine-1");
    assert_ne!(named(&"x".repeat(129)), "x".repeat(129));
    let fresh = || server.get("/healthz").headers["x-request-id"].clone();
    assert_ne!(fresh(), fresh());
}
