//! What a client that was written for Aionis asks, in its words, from the first step to the dispatch.

use serde_json::{Value, json};

use crate::support::documented::document;
use crate::support::recorded::record;
use crate::support::server::Server;

const RUN: &str = "0b0f6f3e-2a6e-4f7e-9d38-7a5a3c1a2f10";
const PLAYBOOK: &str = "5d1d2c8c-7a3d-4a5b-8f7c-2f7d9e6b1a44";

/// Every field that Aionis answers with must be there.
fn has(answer: &Value, fields: &[&str], of: &str) {
    for field in fields {
        assert!(answer.get(field).is_some(), "{of} has no {field}: {answer}");
    }
}

const COMMIT: [&str; 3] = ["commit_id", "commit_uri", "commit_hash"];
const GATE: [&str; 16] = [
    "enabled",
    "requested_mode",
    "effective_mode",
    "decision",
    "mismatch_reasons",
    "inference_skipped",
    "playbook_status",
    "required_statuses",
    "status_match",
    "matchers_match",
    "policy_constraints_match",
    "matched",
    "request_matcher_fingerprint",
    "playbook_matcher_fingerprint",
    "request_policy_fingerprint",
    "playbook_policy_fingerprint",
];

fn write(path: &str, text: &str) -> (&'static str, Value, Value) {
    ("Write", json!({"file_path": path, "content": text}), json!({"safety_level": "auto_ok", "preconditions": [{"kind": "always"}]}))
}

#[test]
fn a_whole_sequence_of_an_aionis_client_works_unmodified() {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:notes={}", notes.path().display())]);
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body);
    let playbooks = |route: &str, mut body: Value| {
        body["playbook_id"] = PLAYBOOK.into();
        replay(&format!("playbooks/{route}"), body)
    };
    let read = |file: &str| std::fs::read_to_string(notes.path().join(file)).ok();

    record(&server, RUN, json!({}), &[write("notes/a.txt", "one"), write("notes/b.txt", "two")]);
    let got = replay("runs/get", json!({"run_id": RUN})).ok();
    has(&got, &["run", "steps", "artifacts", "timeline", "counters"], "runs/get");
    has(&got["run"], &["run_id", "status", "goal", "run_uri", "started_at", "ended_at"], "runs/get run");

    let made = playbooks("compile_from_run", json!({"run_id": RUN, "matchers": {"repo": "acme"}, "risk_profile": "low"})).ok();
    has(&made, &["version", "status", "source_run_id", "playbook_node_id", "playbook_uri", "compile_summary", "usage"], "compile");
    let got = playbooks("get", json!({})).ok();
    let fields = [
        "playbook_id",
        "name",
        "text_summary",
        "version",
        "status",
        "matchers",
        "success_criteria",
        "risk_profile",
        "source_run_id",
        "steps_template",
        "compile_summary",
        "uri",
        "node_id",
        "created_at",
        "updated_at",
    ];
    has(&got["playbook"], &[&fields[..], &COMMIT].concat(), "get");

    // A draft stands in for nobody's inference.
    let gate = json!({"matchers": {"repo": "acme"}});
    let candidate = playbooks("candidate", json!({"deterministic_gate": gate})).ok();
    has(&candidate["deterministic_gate"], &GATE, "candidate");
    assert_eq!(candidate["candidate"]["eligible_for_deterministic_replay"], false);
    assert_eq!(candidate["candidate"]["next_action"], "promote_or_select_a_replayable_playbook_version");

    let bearer = format!("Bearer {}", server.operator_token());
    let promote = |target: &str| {
        let body = json!({"playbook_id": PLAYBOOK, "target_status": target, "note": "it is good"});
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        server.send("POST", "/v1/memory/replay/playbooks/promote", &headers, Some(body.to_string().into_bytes())).ok()
    };
    let promoted = promote("shadow");
    has(&promoted, &[&["from_version", "to_version", "status", "playbook_node_id", "playbook_uri"][..], &COMMIT].concat(), "promote");
    assert_eq!((&promoted["from_version"], &promoted["to_version"], &promoted["status"]), (&json!(1), &json!(2), &json!("shadow")));
    let again = promote("shadow");
    assert_eq!((&again["unchanged"], &again["reason"]), (&json!(true), &json!("already_target_status_on_latest")));
    assert_eq!(promote("active")["to_version"], 3);
    let candidate = playbooks("candidate", json!({"deterministic_gate": gate})).ok();
    assert_eq!(candidate["candidate"]["next_action"], "safe_to_skip_primary_inference", "{candidate}");

    let patch =
        json!({"step_patches": [{"step_index": 2, "set": {"tool_input_template": {"file_path": "notes/b.txt", "content": "three"}}}]});
    let repaired = playbooks("repair", json!({"patch": patch, "note": "the second note says three"})).ok();
    let fields = ["from_version", "to_version", "status", "review_required", "review_state", "repair_summary"];
    has(&repaired, &[&fields[..], &COMMIT].concat(), "repair");
    assert_eq!((&repaired["to_version"], &repaired["status"]), (&json!(4), &json!("draft")));
    assert_eq!(repaired["review_state"], "pending_review");
    assert_eq!(
        repaired["repair_summary"],
        json!({"steps_override": false, "step_patches_applied": 1, "steps_removed": 0, "steps_inserted": 0, "top_level_updates": []})
    );
    assert_eq!(repaired["diff_lines"], json!(["~ s2 input/text: \"two\" -> \"three\""]), "{repaired}");

    let reviewed = playbooks("repair/review", json!({"action": "approve", "note": "yes", "shadow_validation_mode": "readiness"})).ok();
    let fields = ["from_version", "to_version", "status", "action", "review_state", "shadow_validation", "auto_promotion"];
    has(&reviewed, &[&fields[..], &["auto_promote_policy_resolution", "learning_projection_result"], &COMMIT].concat(), "review");
    assert_eq!((&reviewed["review_state"], &reviewed["status"], &reviewed["to_version"]), (&json!("approved"), &json!("draft"), &json!(5)));
    let fields = ["pass", "total_steps", "ready_steps", "blocked_steps", "unknown_steps", "checks"];
    has(&reviewed["shadow_validation"], &fields, "shadow_validation");
    assert_eq!(playbooks("repair/review", json!({"action": "approve"})).ok()["to_version"], 5, "a lost answer is told again");
    playbooks("repair/review", json!({"action": "reject"})).refused(409, "replay_repair_not_pending_review");
    assert_eq!(promote("active")["to_version"], 6);

    let simulated = playbooks("run", json!({"mode": "simulate"})).ok();
    let fields = ["playbook", "mode", "deterministic_gate", "run", "summary", "steps", "execution", "params_echo", "usage", "cost_signals"];
    has(&simulated, &fields, "run");
    assert_eq!(simulated["summary"]["replay_readiness"], "ready", "{simulated}");
    has(&simulated["summary"], &["total_steps", "ready_steps", "blocked_steps", "unknown_steps", "next_action"], "simulation");
    assert_eq!((read("a.txt"), read("b.txt")), (None, None), "a simulation touches nothing");

    let params = json!({"allow_local_exec": true, "auto_confirm": true, "record_run": true, "timeout_ms": 15000});
    let ran = playbooks("run", json!({"mode": "strict", "params": params})).ok();
    let fields = [
        "total_steps",
        "executed_steps",
        "succeeded_steps",
        "failed_steps",
        "repaired_steps",
        "blocked_steps",
        "skipped_steps",
        "pending_steps",
        "replay_readiness",
        "next_action",
    ];
    has(&ran["summary"], &fields, "summary");
    has(&ran["run"], &["run_id", "status", "run_uri", "run_end_uri", "commit_id_start", "commit_id_end"], "run");
    assert_eq!((&ran["run"]["status"], &ran["summary"]["succeeded_steps"]), (&json!("success"), &json!(2)), "{ran}");
    assert_eq!((read("a.txt").as_deref(), read("b.txt").as_deref()), (Some("one"), Some("three")));
    let recorded = replay("runs/get", json!({"run_id": ran["run"]["run_id"]})).ok();
    assert_eq!((&recorded["run"]["status"], recorded["steps"].as_array().unwrap().len()), (&json!("success"), 2), "{recorded}");

    std::fs::remove_file(notes.path().join("b.txt")).unwrap();
    let dispatched = playbooks("dispatch", json!({"deterministic_gate": gate, "params": params})).ok();
    has(&dispatched, &["dispatch", "candidate", "replay", "cost_signals"], "dispatch");
    assert_eq!(
        dispatched["dispatch"],
        json!({"decision": "deterministic_replay_executed", "primary_inference_skipped": true, "fallback_executed": false})
    );
    assert_eq!(dispatched["replay"]["run"]["status"], "success", "{dispatched}");
    assert_eq!(read("b.txt").as_deref(), Some("three"));
}

#[test]
fn dispatch_decides_as_aionis_does() {
    let server = Server::start();
    record(&server, "r", json!({}), &[("tell", json!({"who": "ann"}), json!({}))]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "r", "playbook_id": "p"})).ok();
    let dispatch = |more: Value| {
        let mut body = json!({"playbook_id": "p"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post("/v1/memory/replay/playbooks/dispatch", &body)
    };
    // Without a gate nothing is eligible, and a draft is not either.
    for gate in [json!({}), json!({"deterministic_gate": {}})] {
        let fallback = dispatch(gate.clone()).ok();
        assert_eq!(fallback["dispatch"]["decision"], "fallback_replay_executed", "{fallback}");
        assert_eq!((&fallback["replay"]["mode"], &fallback["cost_signals"]["fallback_executed"]), (&json!("simulate"), &json!(true)));
        let mut only = gate;
        only["execute_fallback"] = false.into();
        let only = dispatch(only).ok();
        assert_eq!((&only["dispatch"]["decision"], &only["replay"]), (&json!("candidate_only"), &Value::Null));
    }
    let rejecting = json!({"deterministic_gate": {"on_mismatch": "reject"}});
    dispatch(rejecting.clone()).refused(409, "replay_deterministic_gate_mismatch");
    let run = |body: Value| server.post("/v1/memory/replay/playbooks/run", &body);
    run(json!({"playbook_id": "p", "deterministic_gate": {"on_mismatch": "reject"}})).refused(409, "replay_deterministic_gate_mismatch");
}

#[test]
fn a_step_that_may_not_run_stops_all_of_it_before_anything_is_done() {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:notes={}", notes.path().display())]);
    let call =
        |name: &str, level: &str| ("Write", json!({"file_path": format!("notes/{name}"), "content": "x"}), json!({"safety_level": level}));
    record(&server, "r", json!({}), &[call("a", "auto_ok"), call("b", "needs_confirm"), call("c", "manual_only")]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "r", "playbook_id": "p"})).ok();
    let run = |mode: &str, params: Value| {
        server.post("/v1/memory/replay/playbooks/run", &json!({"playbook_id": "p", "mode": mode, "params": params})).ok()
    };
    for (mode, params, status, errors) in [
        ("strict", json!({}), "failed", vec![Value::Null, json!("confirmation_required"), json!("manual_only_step")]),
        ("strict", json!({"auto_confirm": true}), "failed", vec![Value::Null, Value::Null, json!("manual_only_step")]),
        ("guided", json!({"auto_confirm": true}), "partial", vec![Value::Null, Value::Null, json!("manual_only_step")]),
    ] {
        let ran = run(mode, params);
        let found: Vec<Value> = ran["steps"].as_array().unwrap().iter().map(|step| step["error"].clone()).collect();
        assert_eq!((ran["run"]["status"].as_str(), &found), (Some(status), &errors), "{ran}");
        assert_eq!((&ran["steps"][0]["status"], &ran["summary"]["executed_steps"]), (&json!("skipped"), &json!(0)));
    }
    assert_eq!(std::fs::read_dir(notes.path()).unwrap().count(), 0, "nothing was done");
    // A repair of how steps are held to changes what may run.
    let patch = json!({"step_patches": [{"step_index": 3, "set": {"safety_level": "auto_ok"}}]});
    server.post("/v1/memory/replay/playbooks/repair", &json!({"playbook_id": "p", "patch": patch})).ok();
    let approve = json!({"playbook_id": "p", "action": "approve"});
    let review = "/v1/memory/replay/playbooks/repair/review";
    server.post(review, &approve).ok();
    let ran = run("strict", json!({"auto_confirm": true}));
    assert_eq!(ran["run"]["status"], "failed", "what a step is held to is not loosened on the word of anybody at all: {ran}");
    server.post("/v1/memory/replay/playbooks/repair", &json!({"playbook_id": "p", "patch": patch, "from_version": 1})).ok();
    server.operator("POST", review, Some(&approve)).ok();
    let ran = run("strict", json!({"auto_confirm": true}));
    assert_eq!(ran["run"]["status"], "success", "{ran}");
    assert_eq!(std::fs::read_dir(notes.path()).unwrap().count(), 3);
}

/// A name without a slash would let whoever may write anywhere choose what runs under it.
#[test]
fn a_command_is_allowed_by_the_name_that_the_playbook_calls_it_by_and_no_other() {
    let work = tempfile::tempdir().unwrap();
    let grants = [format!("fs:work={}", work.path().display()), "exec:/bin/true@work=*".to_owned()];
    let server = Server::granting(&grants);
    let call = |program: &str| {
        (
            "exec/run",
            json!({"program": program, "args": [], "dir": "work"}),
            json!({"safety_level": "auto_ok", "output": {"code": 0, "stdout": "", "stderr": ""}}),
        )
    };
    for (id, program) in [("path", "/bin/true"), ("bare", "true")] {
        record(&server, id, json!({}), &[call(program)]);
        server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": id, "playbook_id": id})).ok();
    }
    for (id, allowed, refused) in [
        ("path", "true", true),
        ("path", "/usr/bin/true", true),
        ("path", "bin/true", true),
        ("path", "/bin/true", false),
        ("bare", "/bin/true", true),
        ("bare", "true", false),
    ] {
        let params = json!({"allow_local_exec": true, "allowed_commands": [allowed], "record_run": false});
        let ran = server.post("/v1/memory/replay/playbooks/run", &json!({"playbook_id": id, "mode": "strict", "params": params})).ok();
        let is = ran["steps"][0]["error"] == "command_not_allowed_or_missing";
        assert_eq!(is, refused, "{id} with {allowed}: {ran}");
    }
}

/// What is done for a run is written down with it: where that cannot be, nothing is done.
#[test]
fn a_run_that_was_refused_is_not_done_under_its_id_with_consent() {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:notes={}", notes.path().display())]);
    let call = ("Write", json!({"file_path": "notes/a", "content": "x"}), json!({"safety_level": "needs_confirm"}));
    record(&server, "r", json!({}), &[call]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "r", "playbook_id": "p"})).ok();
    let files = || std::fs::read_dir(notes.path()).unwrap().count();
    for (mode, status) in [("strict", "failed"), ("guided", "partial")] {
        let run =
            |params: Value| server.post("/v1/memory/replay/playbooks/run", &json!({"playbook_id": "p", "mode": mode, "params": params}));
        let refused = run(json!({"run_id": mode})).ok();
        assert_eq!((&refused["run"]["status"], files()), (&json!(status), 0), "{refused}");
        assert_eq!(run(json!({"run_id": mode})).ok()["run"], refused["run"], "the same refusal again");
        run(json!({"run_id": mode, "auto_confirm": true})).refused(409, "run_ended");
        assert_eq!(files(), 0, "nothing was done");
        assert!(server.get("/v1/jobs?playbook_id=p").ok()["jobs"].as_array().unwrap().is_empty());
    }
    let done =
        |params: Value| server.post("/v1/memory/replay/playbooks/run", &json!({"playbook_id": "p", "mode": "strict", "params": params}));
    let ran = done(json!({"run_id": "other", "auto_confirm": true})).ok();
    assert_eq!((&ran["run"]["status"], files()), (&json!("success"), 1), "{ran}");
    assert_eq!(done(json!({"run_id": "other", "auto_confirm": true})).ok()["run"], ran["run"], "a repeat finds its job");
}

#[test]
fn params_are_the_playbooks_input_and_a_name_that_nobody_takes_is_an_error() {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:notes={}", notes.path().display())]);
    let call = ("Write", json!({"file_path": "notes/v.txt", "content": "version 1.4.0"}), json!({"safety_level": "auto_ok"}));
    record(&server, "r", json!({"inputs": {"version": "1.4.0"}}), &[call]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "r", "playbook_id": "p"})).ok();
    let run = |mode: &str, params: Value| {
        server.post("/v1/memory/replay/playbooks/run", &json!({"playbook_id": "p", "mode": mode, "params": params}))
    };
    let text = || std::fs::read_to_string(notes.path().join("v.txt")).ok();
    // A simulation without any is on what was recorded; with some it shows what would be called.
    assert_eq!(run("simulate", json!({})).ok()["steps"][0]["input"]["text"], "version 1.4.0");
    assert_eq!(run("simulate", json!({"version": "2.0.0"})).ok()["steps"][0]["input"]["text"], "version 2.0.0");
    assert_eq!(text(), None);
    run("strict", json!({})).refused(422, "input_does_not_fit");
    run("strict", json!({"version": 2})).refused(422, "input_does_not_fit");
    run("simulate", json!({"version": 2})).refused(422, "input_does_not_fit");
    run("strict", json!({"version": "2.0.0", "colour": "red"})).refused(422, "input_does_not_fit");
    run("strict", json!({"version": "2.0.0", "timeout_ms": 5})).refused(400, "invalid_request");
    run("strict", json!({"version": "2.0.0", "auto_confirm": "yes"})).refused(400, "invalid_request");
    let ran = run("strict", json!({"version": "2.0.0", "run_id": "replay-1"})).ok();
    assert_eq!((&ran["run"]["status"], text().as_deref()), (&json!("success"), Some("version 2.0.0")), "{ran}");
    // Sent again after a lost answer: the same run, the same job, and nothing is done twice.
    std::fs::remove_file(notes.path().join("v.txt")).unwrap();
    let again = run("strict", json!({"version": "2.0.0", "run_id": "replay-1"})).ok();
    assert_eq!((&again["run"], &again["steps"], text()), (&ran["run"], &ran["steps"], None));
    run("strict", json!({"version": "3.0.0", "run_id": "replay-1"})).refused(409, "id_conflict");
    assert_eq!(text(), None);
    // What a run recorded can be read, and compiled like any other.
    let recorded = server.post("/v1/memory/replay/runs/get", &json!({"run_id": "replay-1"})).ok();
    assert_eq!(recorded["steps"][0]["tool_name"], "fs/write");
    let body = json!({"playbook_id": "p", "params": {"record_run": false, "run_id": "replay-2"}});
    server.post("/v1/memory/replay/playbooks/run", &body).ok();
    server.post("/v1/memory/replay/runs/get", &json!({"run_id": "replay-2"})).refused(404, "replay_run_not_found");
}

/// What Aionis' clients send, route by route. A field that goes from here stands in docs/AIONIS.md with its reason.
const REQUESTS: [(&str, &[&str]); 8] = [
    (
        "compile_from_run",
        &["run_id", "playbook_id", "name", "version", "matchers", "success_criteria", "risk_profile", "allow_partial", "metadata"],
    ),
    ("get", &["playbook_id"]),
    ("candidate", &["playbook_id", "version", "deterministic_gate"]),
    ("promote", &["playbook_id", "from_version", "target_status", "note", "metadata"]),
    ("repair", &["playbook_id", "from_version", "patch", "note", "review_required", "target_status", "metadata"]),
    (
        "repair/review",
        &[
            "playbook_id",
            "version",
            "action",
            "note",
            "auto_shadow_validate",
            "shadow_validation_mode",
            "target_status_on_approve",
            "auto_promote_on_pass",
            "auto_promote_target_status",
            "auto_promote_gate",
            "metadata",
        ],
    ),
    ("run", &["playbook_id", "version", "mode", "deterministic_gate", "params", "max_steps", "project_id"]),
    (
        "dispatch",
        &["playbook_id", "version", "deterministic_gate", "params", "max_steps", "project_id", "fallback_mode", "execute_fallback"],
    ),
];

#[test]
fn every_field_that_aionis_clients_send_is_known_and_every_route_is_on_the_page() {
    let page = std::fs::read_to_string(crate::support::page::repository().join("docs/AIONIS.md")).unwrap();
    for (route, fields) in REQUESTS {
        let path = format!("/v1/memory/replay/playbooks/{route}");
        let schema = &document()["paths"][&path]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"];
        for field in fields {
            assert!(schema.get(field).is_some(), "{path} does not know {field}");
        }
        assert!(page.contains(&format!("`playbooks/{route}`")), "{route}");
    }
    let others = ["run/start", "step/before", "step/after", "run/end", "runs/get"];
    assert!(others.iter().all(|route| page.contains(&format!("`{route}`"))));
}
