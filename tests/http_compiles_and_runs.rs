//! From a recorded run to a finished job over HTTP, on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::server::{Answer, Server};

/// A project on disk, as the agent found it.
fn project(version: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("package.json"), format!("{{\"name\": \"acme\", \"version\": \"{version}\"}}\n")).unwrap();
    std::fs::write(dir.path().join("README.md"), format!("acme {version}\n")).unwrap();
    dir
}

fn text(dir: &TempDir, file: &str) -> String {
    std::fs::read_to_string(dir.path().join(file)).unwrap()
}

fn grant(name: &str, dir: &Path) -> String {
    format!("fs:{name}={}", dir.display())
}

/// Records how an agent went from 1.3.0 to 1.4.0: one attempt failed.
fn record(server: &Server, run_id: &str) {
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
    let steps = [
        (
            "fs/read",
            json!({"path": "project/package.json", "as": "json"}),
            Some(json!({"path": "project/package.json", "bytes": 37, "json": {"name": "acme", "version": "1.3.0"}})),
        ),
        ("fs/replace", json!({"path": "project/package.json", "old": "'1.3.0'", "new": "'1.4.0'"}), None),
        (
            "fs/replace",
            json!({"path": "project/package.json", "old": "\"version\": \"1.3.0\"", "new": "\"version\": \"1.4.0\""}),
            Some(json!({"path": "project/package.json", "replaced": 1})),
        ),
        (
            "fs/replace",
            json!({"path": "project/README.md", "old": "acme 1.3.0", "new": "acme 1.4.0"}),
            Some(json!({"path": "project/README.md", "replaced": 1})),
        ),
    ];
    replay("run/start", json!({"run_id": run_id, "goal": "set the version", "inputs": {"version": "1.4.0"}}));
    for (at, (tool, input, output)) in steps.into_iter().enumerate() {
        let index = at + 1;
        replay("step/before", json!({"run_id": run_id, "step_index": index, "tool_name": tool, "tool_input": input}));
        let after = match output {
            Some(output) => json!({"run_id": run_id, "step_index": index, "status": "success", "output": output}),
            None => json!({"run_id": run_id, "step_index": index, "status": "failed", "error": "no such text"}),
        };
        replay("step/after", after);
    }
    replay("run/end", json!({"run_id": run_id, "status": "success"}));
}

fn compile(server: &Server, body: &Value) -> Answer {
    server.post("/v1/memory/replay/playbooks/compile_from_run", body)
}

/// Starts a job and waits for its end.
fn run(server: &Server, body: Value) -> Value {
    let mut body = body;
    body["wait_ms"] = json!(50_000);
    let answer = server.post("/v1/jobs", &body);
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

#[test]
fn a_recorded_run_becomes_a_playbook_and_does_its_work_on_another_tree() {
    let tree = project("2.0.0");
    let server = Server::granting(&[grant("project", tree.path())]);
    record(&server, "r1");
    let made = compile(&server, &json!({"run_id": "r1", "playbook_id": "set-version", "matchers": {"repo": "acme"}})).ok();
    for (field, value) in [
        ("playbook_id", json!("set-version")),
        ("version", json!(1)),
        ("status", json!("draft")),
        ("source_run_id", json!("r1")),
        ("parameters", json!([{"name": "version", "schema": made["parameters"][0]["schema"], "sample": "1.4.0"}])),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(made["dropped"][0]["step"], "s2");
    assert_eq!((&made["proof"]["calls"], &made["proof"]["fallbacks"]), (&json!(3), &json!([])));
    let imports: Vec<&str> = made["imports"].as_array().unwrap().iter().filter_map(|line| line["import"].as_str()).collect();
    assert!(imports.starts_with(&["tool:fs/read", "tool:fs/replace"]), "{imports:?}");
    assert_eq!(made["input_schema"]["required"], json!(["version"]));
    assert_eq!((&made["compile_summary"]["steps_total"], &made["compile_summary"]["source_steps_total"]), (&json!(3), &json!(4)));

    let job = run(&server, json!({"playbook_id": "set-version", "input": {"version": "2.1.0"}}));
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(text(&tree, "package.json"), "{\"name\": \"acme\", \"version\": \"2.1.0\"}\n");
    assert_eq!(text(&tree, "README.md"), "acme 2.1.0\n");
    assert_eq!(job["usage"]["calls"], 3);
    let id = job["job_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).ok(), job);

    // It looked for the version that was there, not for the recorded one; so it works on what it left behind, too.
    let again = run(&server, json!({"playbook_id": "set-version", "input": {"version": "3.0.0"}}));
    assert_eq!(again["status"], "completed", "{again}");
    assert_eq!(text(&tree, "README.md"), "acme 3.0.0\n");
}

#[test]
fn the_same_compilation_again_is_the_same_version_and_other_content_is_the_next() {
    let server = Server::start();
    record(&server, "r1");
    let first = compile(&server, &json!({"run_id": "r1"})).ok();
    assert_eq!(compile(&server, &json!({"run_id": "r1"})).ok(), first);
    let named = compile(&server, &json!({"run_id": "r1", "name": "another name"})).ok();
    assert_eq!((&named["playbook_id"], &named["version"]), (&first["playbook_id"], &json!(2)));
    assert_ne!(named["commit_id"], first["commit_id"]);
    let taken = compile(&server, &json!({"run_id": "r1", "version": 1, "name": "a third"})).refused(409, "id_conflict");
    assert_eq!((&taken["details"]["stored"]["name"], &taken["details"]["sent"]["name"]), (&json!("set the version"), &json!("a third")));
    let gap = compile(&server, &json!({"run_id": "r1", "version": 9, "name": "ninth"})).refused(409, "id_conflict");
    assert_eq!(gap["details"]["next_version"], 3);
}

#[test]
fn a_compiled_version_can_be_read_in_every_form() {
    let server = Server::start();
    record(&server, "r1");
    let made = compile(
        &server,
        &json!({"run_id": "r1", "playbook_id": "p-with", "risk_profile": "low", "success_criteria": {"a": 1}, "metadata": {"b": 2}}),
    )
    .ok();
    let got = server.post("/v1/memory/replay/playbooks/get", &json!({"playbook_id": "p-with"})).ok();
    let playbook = &got["playbook"];
    for field in ["commit_id", "commit_uri", "commit_hash", "version", "status", "source_run_id", "compile_summary"] {
        assert_eq!(playbook[field], made[field], "{field}");
    }
    assert_eq!((&playbook["uri"], &playbook["node_id"]), (&made["playbook_uri"], &made["playbook_node_id"]));
    assert_eq!(
        json!([playbook["risk_profile"], playbook["success_criteria"], playbook["matchers"], playbook["metadata"], playbook["name"]]),
        json!(["low", {"a": 1}, {}, {"b": 2}, "set the version"])
    );
    let steps = playbook["steps_template"].as_array().unwrap();
    let line = |step: &Value| json!([step["step_index"], step["step_id"], step["tool_name"], step["last_outcome"]]);
    assert_eq!(
        steps.iter().map(line).collect::<Vec<_>>(),
        [json!([1, "s1", "fs/read", "success"]), json!([3, "s3", "fs/replace", "success"]), json!([4, "s4", "fs/replace", "success"])]
    );
    assert_eq!(steps[1]["tool_input_template"]["new"], "\"version\": \"1.4.0\"");

    let version = server.get("/v1/playbooks/p-with/versions/1").ok();
    assert_eq!(server.get("/v1/playbooks/p-with").ok(), version);
    assert_eq!((&version["origin"], &version["component_digest"]), (&json!("compiled"), &made["digest"]));
    let component = server.get("/v1/playbooks/p-with/versions/1/component");
    assert_eq!((component.status, component.headers["content-type"].to_str().unwrap()), (200, "application/wasm"));
    assert_eq!(json!(component.bytes.len()), version["component_bytes"]);
    assert_eq!(reprise::ids::Digest::of(&component.bytes).to_string(), made["digest"].as_str().unwrap());
    let plan = server.get("/v1/playbooks/p-with/versions/1/plan").ok();
    assert_eq!((&plan["plan_version"], &plan["goal"], plan["body"].as_array().unwrap().len()), (&json!(1), &json!("set the version"), 3));
    let wit = server.get("/v1/playbooks/p-with/versions/1/wit");
    let world = String::from_utf8(wit.bytes).unwrap();
    assert!(world.contains("import tool:fs/replace;") && world.contains("export reprise:playbook/playbook@0.1.0;"), "{world}");

    server.get("/v1/playbooks/p-with/versions/2").refused(404, "replay_playbook_not_found");
    server.get("/v1/playbooks/p-with?scope=other").refused(404, "replay_playbook_not_found");
}

#[test]
fn a_run_that_did_not_succeed_is_compiled_only_when_asked_for() {
    let server = Server::start();
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body);
    replay("run/start", json!({"run_id": "empty", "goal": "g"})).ok();
    replay("run/end", json!({"run_id": "empty", "status": "success"})).ok();
    compile(&server, &json!({"run_id": "empty"})).refused(400, "replay_compile_no_steps");
    record(&server, "r1");
    replay("run/start", json!({"run_id": "bad", "goal": "g"})).ok();
    replay("step/before", json!({"run_id": "bad", "step_index": 1, "tool_name": "fs/list", "tool_input": {"path": "project"}})).ok();
    let list = json!({"path": "project", "entries": []});
    replay("step/after", json!({"run_id": "bad", "step_index": 1, "status": "success", "output": list})).ok();
    let open = compile(&server, &json!({"run_id": "bad"})).refused(400, "replay_compile_requires_successful_run");
    assert!(open["message"].as_str().unwrap().contains("has not ended"), "{open}");
    replay("run/end", json!({"run_id": "bad", "status": "failed"})).ok();
    compile(&server, &json!({"run_id": "bad"})).refused(400, "replay_compile_requires_successful_run");
    let partial = compile(&server, &json!({"run_id": "bad", "allow_partial": true})).ok();
    assert_eq!(partial["compile_summary"]["steps_total"], 1);
}

#[test]
fn bindings_and_roots_say_which_tool_and_which_directory_is_meant() {
    let tree = project("1.0.0");
    let server = Server::granting(&[grant("work", tree.path())]);
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body);
    replay("run/start", json!({"run_id": "r", "goal": "look"})).ok();
    let input = json!({"file": "/home/ada/acme/README.md"});
    replay("step/before", json!({"run_id": "r", "step_index": 1, "tool_name": "slurp", "tool_input": input})).ok();
    replay("step/after", json!({"run_id": "r", "step_index": 1, "status": "success", "output": {"body": "acme 1.0.0\n"}})).ok();
    replay("run/end", json!({"run_id": "r", "status": "success"})).ok();

    let unbound = compile(&server, &json!({"run_id": "r"})).ok();
    assert_eq!(unbound["imports"][0]["import"], "tool:agent/slurp");
    let bindings = json!({"slurp": {"tool": "fs/read", "input": {"file": "path"}, "output": {"body": "text"}}});
    let bound =
        compile(&server, &json!({"run_id": "r", "playbook_id": "bound", "bindings": bindings, "roots": {"/home/ada/acme": "work"}})).ok();
    assert_eq!(bound["imports"][0]["import"], "tool:fs/read");
    let job = run(&server, json!({"playbook_id": "bound"}));
    assert_eq!((&job["status"], &job["output"]["text"]), (&json!("completed"), &json!("acme 1.0.0\n")), "{job}");

    let outside = server.post("/v1/jobs", &json!({"playbook_id": unbound["playbook_id"], "wait_ms": 50_000}));
    assert_eq!((outside.status, &outside.json()["waiting_on"]["tool"]), (202, &json!("agent/slurp")), "{}", outside.json());

    compile(&server, &json!({"run_id": "r", "bindings": {"slurp": "no/such-tool"}})).refused(400, "invalid_configuration");
    let wrong = compile(&server, &json!({"run_id": "r", "bindings": {"slurp": 4, "a/b": {}}, "roots": {"/x": 1}, "version": 0}));
    let wrong = wrong.refused(400, "invalid_request");
    let places: Vec<&str> = wrong["issues"].as_array().unwrap().iter().filter_map(|issue| issue["path"].as_str()).collect();
    assert_eq!(places, ["/version", "/bindings/a~1b", "/bindings/slurp", "/roots/~1x"]);
}

#[test]
fn the_gate_judges_a_candidate_and_nothing_runs() {
    let server = Server::start();
    record(&server, "r1");
    compile(&server, &json!({"run_id": "r1", "playbook_id": "p", "matchers": {"repo": "acme"}})).ok();
    let ask = |gate: Value| {
        let mut body = json!({"playbook_id": "p"});
        if !gate.is_null() {
            body["deterministic_gate"] = gate;
        }
        server.post("/v1/memory/replay/playbooks/candidate", &body).ok()
    };
    for (gate, decision, mode, eligible, next) in [
        (json!(null), "disabled", "simulate", false, "deterministic_gate_not_requested"),
        (json!({}), "fallback_to_requested_mode", "simulate", false, "promote_or_select_a_replayable_playbook_version"),
        (json!({"on_mismatch": "reject"}), "rejected", "simulate", false, "inspect_gate_mismatch_before_execution"),
        (json!({"required_statuses": ["draft"]}), "promoted_to_strict", "strict", true, "safe_to_skip_primary_inference"),
        (
            json!({"required_statuses": ["draft"], "matchers": {"repo": "acme"}, "policy_constraints": {}}),
            "promoted_to_strict",
            "strict",
            true,
            "safe_to_skip_primary_inference",
        ),
        (
            json!({"required_statuses": ["draft"], "matchers": {"repo": "other"}}),
            "fallback_to_requested_mode",
            "simulate",
            false,
            "fallback_to_normal_planner_or_simulate",
        ),
        (
            json!({"required_statuses": ["draft"], "prefer_deterministic_execution": false}),
            "matched",
            "simulate",
            true,
            "safe_to_skip_primary_inference",
        ),
    ] {
        let answer = ask(gate.clone());
        assert_eq!(answer["deterministic_gate"]["decision"], decision, "{gate}");
        let candidate = &answer["candidate"];
        assert_eq!(
            json!([candidate["recommended_mode"], candidate["eligible_for_deterministic_replay"], candidate["next_action"]]),
            json!([mode, eligible, next]),
            "{gate}"
        );
        assert_eq!(answer["cost_signals"]["estimated_primary_model_calls_avoided"], u32::from(mode == "strict"), "{gate}");
    }
    assert_eq!(server.get("/v1/jobs").ok()["jobs"], json!([]));
}

#[test]
fn a_job_gets_what_was_granted_and_a_request_cannot_grant() {
    let (seen, unseen) = (project("1.0.0"), project("1.0.0"));
    let server = Server::granting(&[format!("{}:ro", grant("project", seen.path()))]);
    record(&server, "r1");
    compile(&server, &json!({"run_id": "r1", "playbook_id": "p"})).ok();
    let job = run(&server, json!({"playbook_id": "p", "input": {"version": "9.9.9"}}));
    assert_eq!((&job["status"], &job["failure"]["step"]), (&json!("failed"), &json!("s3")), "{job}");
    assert!(job["failure"]["message"].as_str().unwrap().contains("denied"), "{job}");
    assert_eq!(text(&seen, "README.md"), "acme 1.0.0\n");

    let more = json!({"playbook_id": "p", "input": {"version": "9.9.9"}, "grants": [{"kind": "fs", "path": unseen.path()}]});
    let refused = server.post("/v1/jobs", &more).refused(400, "invalid_request");
    assert_eq!(refused["issues"][0]["path"], "/grants");
    assert!(refused["message"].as_str().unwrap().contains("reprise serve --grant"), "{refused}");

    let granted = server.get("/v1/grants");
    assert_eq!(
        granted.ok()["grants"],
        json!([{"name": "project", "kind": "fs", "source": "flag", "access": "ro", "words": "read files below project/"}])
    );
    assert!(!String::from_utf8_lossy(&granted.bytes).contains(&*seen.path().to_string_lossy()), "a host path is nobody's business");
}

#[test]
fn an_input_that_does_not_fit_starts_no_job() {
    let server = Server::start();
    record(&server, "r1");
    compile(&server, &json!({"run_id": "r1", "playbook_id": "p"})).ok();
    for input in [json!({}), json!({"version": 3}), json!({"version": "1", "more": true}), json!("text")] {
        let body = server.post("/v1/jobs", &json!({"playbook_id": "p", "input": input})).refused(422, "input_does_not_fit");
        assert!(
            !body["issues"].as_array().unwrap().is_empty() && body["details"]["input_schema"]["required"] == json!(["version"]),
            "{body}"
        );
    }
    assert_eq!(server.get("/v1/jobs").ok()["jobs"], json!([]));
}

#[test]
fn a_journal_is_read_in_pages_and_hangs_together() {
    let tree = project("1.0.0");
    let server = Server::granting(&[grant("project", tree.path())]);
    record(&server, "r1");
    compile(&server, &json!({"run_id": "r1", "playbook_id": "p"})).ok();
    let job = run(&server, json!({"playbook_id": "p", "input": {"version": "1.1.0"}}));
    let journal = format!("/v1/jobs/{}/journal", job["job_id"].as_str().unwrap());
    let whole = server.get(&format!("{journal}?limit=500")).ok();
    assert_eq!(whole["next"], Value::Null);
    let whole = whole["entries"].as_array().unwrap();
    let kinds: Vec<&str> = whole.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert_eq!(kinds, ["created", "called", "returned", "called", "returned", "called", "returned", "completed"]);
    assert!(whole.windows(2).all(|pair| pair[1]["prev"] == pair[0]["hash"]));

    let mut paged = Vec::new();
    let mut after = json!(0);
    while !after.is_null() {
        let page = server.get(&format!("{journal}?limit=3&after={after}")).ok();
        paged.extend(page["entries"].as_array().unwrap().clone());
        after = page["next"].clone();
    }
    assert_eq!(paged, *whole);
    assert_eq!(server.get(&format!("{journal}?after=999")).ok()["entries"], json!([]));
    server.get(&format!("{journal}?scope=other")).refused(404, "job_not_found");
    server.get("/v1/jobs/not-a-uuid/journal").refused(404, "job_not_found");
}

#[test]
fn jobs_are_listed_newest_first_filtered_and_in_pages() {
    let tree = project("1.0.0");
    let server = Server::granting(&[grant("project", tree.path())]);
    record(&server, "r1");
    for playbook in ["a", "b"] {
        compile(&server, &json!({"run_id": "r1", "playbook_id": playbook})).ok();
    }
    // Every job gets to the file that is not there, and fails.
    std::fs::remove_file(tree.path().join("README.md")).unwrap();
    let mut started = Vec::new();
    for playbook in ["a", "b", "a", "a", "b"] {
        started.insert(0, run(&server, json!({"playbook_id": playbook, "input": {"version": "1.1.0"}})));
    }
    let ids = |jobs: &Value| jobs.as_array().unwrap().iter().map(|job| job["job_id"].clone()).collect::<Vec<_>>();
    let of =
        |playbook: &str| started.iter().filter(|job| job["playbook_id"] == playbook).map(|job| job["job_id"].clone()).collect::<Vec<_>>();
    let all: Vec<Value> = started.iter().map(|job| job["job_id"].clone()).collect();
    assert_eq!(ids(&server.get("/v1/jobs").ok()["jobs"]), all);
    assert_eq!(ids(&server.get("/v1/jobs?status=failed").ok()["jobs"]), all);
    assert_eq!(ids(&server.get("/v1/jobs?status=completed").ok()["jobs"]), Vec::<Value>::new());
    assert_eq!(ids(&server.get("/v1/jobs?playbook_id=b").ok()["jobs"]), of("b"));
    assert_eq!(ids(&server.get("/v1/jobs?tenant_id=other").ok()["jobs"]), Vec::<Value>::new());

    for (query, expected) in [("limit=2", all.clone()), ("limit=2&playbook_id=a", of("a")), ("limit=1&status=failed", all)] {
        let mut paged = Vec::new();
        let mut next = Value::Null;
        loop {
            let cursor = next.as_str().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = server.get(&format!("/v1/jobs?{query}{cursor}")).ok();
            paged.extend(ids(&page["jobs"]));
            next = page["next"].clone();
            if next.is_null() {
                break;
            }
        }
        assert_eq!(paged, expected, "{query}");
    }
}

#[test]
fn an_idempotency_key_names_one_job_for_good() {
    let tree = project("1.0.0");
    let mut server = Server::granting(&[grant("project", tree.path())]);
    record(&server, "r1");
    compile(&server, &json!({"run_id": "r1", "playbook_id": "p"})).ok();
    let request = json!({"playbook_id": "p", "input": {"version": "1.1.0"}, "idempotency_key": "order-7"});
    let first = run(&server, request.clone());
    assert_eq!(run(&server, request.clone())["job_id"], first["job_id"]);
    let other = json!({"playbook_id": "p", "input": {"version": "1.2.0"}, "idempotency_key": "order-7"});
    let conflict = server.post("/v1/jobs", &other).refused(409, "id_conflict");
    assert_eq!(conflict["details"]["job_id"], first["job_id"]);
    server.restart();
    assert_eq!(run(&server, request)["job_id"], first["job_id"]);
    assert_eq!(server.get("/v1/jobs").ok()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn tools_are_listed_with_what_they_may_change() {
    let server = Server::start();
    let tools = server.get("/v1/tools").ok();
    let lines: Vec<Value> = tools["tools"].as_array().unwrap().iter().map(|tool| json!([tool["id"], tool["effect"]])).collect();
    assert_eq!(
        lines,
        [
            json!(["exec/run", "once"]),
            json!(["fs/list", "read"]),
            json!(["fs/read", "read"]),
            json!(["fs/remove", "idempotent"]),
            json!(["fs/replace", "once"]),
            json!(["fs/write", "idempotent"]),
            json!(["http/delete", "idempotent"]),
            json!(["http/get", "read"]),
            json!(["http/patch", "once"]),
            json!(["http/post", "once"]),
            json!(["http/put", "idempotent"]),
            json!(["kv/delete", "idempotent"]),
            json!(["kv/get", "read"]),
            json!(["kv/list", "read"]),
            json!(["kv/set", "idempotent"])
        ]
    );
    assert!(tools["tools"].as_array().unwrap().iter().all(|tool| tool["input_schema"]["type"] == "object"));
}
