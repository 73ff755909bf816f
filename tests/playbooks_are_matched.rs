//! A task finds the playbooks that apply to it, filled from what is known.

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::server::Server;

const RELEASE: &str = r#"{"run": {"run_id": "release", "goal": "prepare a release: set the version of the package", "inputs": {"version": "2.1.0"}}}
{"tool": "fs/read", "input": {"path": "project/package.json"}, "output": {"text": "{\"version\": \"2.0.0\"}\n"}}
{"tool": "fs/write", "input": {"path": "project/VERSION", "text": "2.1.0"}, "output": {"bytes": 5}}
{"end": {"status": "success"}}
"#;

const ROTATE: &str = r#"{"run": {"run_id": "rotate", "goal": "rotate the logs", "inputs": {"file": "project/app.log"}}}
{"tool": "fs/list", "input": {"path": "project"}, "output": {"entries": []}}
{"tool": "fs/write", "input": {"path": "project/app.log", "text": ""}, "output": {"bytes": 0}}
{"end": {"status": "success"}}
"#;

fn ids(answer: &Value) -> Vec<String> {
    answer["matches"].as_array().unwrap().iter().map(|found| found["playbook_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_task_finds_active_playbooks_with_what_is_known_filled_in() {
    let place = Place::new();
    place.playbook("release", RELEASE);
    place.playbook("rotate", ROTATE);
    let found = |arguments: &[&str]| place.json(0, &[&["match", "prepare the next release version"], arguments].concat());
    assert_eq!(ids(&found(&[])), Vec::<String>::new(), "a draft is proposed to nobody");
    for id in ["release", "rotate"] {
        place.json(0, &["playbooks", "promote", id, "--note", "read it"]);
    }
    let matched = found(&[]);
    let first = &matched["matches"][0];
    assert_eq!(
        (&first["playbook_id"], &first["version"], &first["status"], &first["ready"]),
        (&json!("release"), &json!(2), &json!("active"), &json!(false))
    );
    assert_eq!((&first["missing_parameters"], &first["missing_tools"]), (&json!(["version"]), &json!([])));
    assert_eq!((&first["expected"]["jobs"], &first["expected"]["success"]), (&json!(0), &json!(0.0)));
    assert!(first["touches"].as_array().unwrap().contains(&json!("files below project (read and written)")), "{first:#}");

    let filled = found(&["--context", r#"{"release": {"Version": "2.2.0"}}"#]);
    let first = &filled["matches"][0];
    assert_eq!((&first["ready"], &first["input"]), (&json!(true), &json!({"version": "2.2.0"})));
    assert_eq!(first["filled"][0]["from"], "context/release/Version");
    assert_eq!(first["filled"][0]["why"], "it has the parameter's name, and is of the parameter's type");
    // That a parameter has the name of something that is known is no reason to propose what nobody asked for.
    let other = place.json(0, &["match", "bake bread", "--context", r#"{"version": "2.2.0", "file": "project/app.log"}"#]);
    assert_eq!(ids(&other), Vec::<String>::new());
    let unfit = found(&["--context", r#"{"version": 7}"#]);
    assert_eq!(unfit["matches"][0]["missing_parameters"], json!(["version"]), "a number is no text");
    let tools = found(&["--tool", "fs/read"]);
    assert_eq!(tools["matches"][0]["missing_tools"], json!(["fs/write"]));
    assert_eq!(ids(&place.json(0, &["match", "rotate log files"])), ["rotate"]);

    let words = place.ok(&["match", "rotate log files"]);
    assert!(words.starts_with("rotate@2  active"), "{words}");
    place.json(0, &["playbooks", "disable", "rotate", "--note", "it loses lines"]);
    assert_eq!(ids(&place.json(0, &["match", "rotate log files"])), Vec::<String>::new());
    assert_eq!(place.run(&["match", "rotate", "--context", "[]"]).code, 2);
}

#[test]
fn what_is_written_while_the_server_runs_is_found_and_what_falls_is_not() {
    let server = Server::start();
    let find = |goal: &str, shadow: bool| server.post("/v1/playbooks/match", &json!({"goal": goal, "include_shadow": shadow})).ok();
    assert_eq!(ids(&find("copy files", true)), Vec::<String>::new());
    let nodes = json!([{"id": "look", "kind": "tool", "tool": "fs/list", "input": {"path": "project"}}]);
    let component = crate::support::graphs::component(&nodes, &json!(1));
    server.send("POST", "/v1/playbooks?id=p&name=copy+files", &[("content-type", "application/wasm")], Some(component)).ok();
    let promote = |to: &str| drop(server.operator("POST", "/v1/playbooks/p/promote", Some(&json!({"target_status": to}))).ok());
    promote("shadow");
    assert_eq!((ids(&find("copy files", false)), ids(&find("copy files", true))), (vec![], vec!["p".to_owned()]));
    promote("active");
    assert_eq!(ids(&find("copy the file", false)), ["p"]);
    promote("draft");
    assert_eq!(ids(&find("copy files", true)), Vec::<String>::new());
    for (wrong, at) in [
        (json!({"goal": ""}), "/goal"),
        (json!({"goal": "x", "tools": ["no tool"]}), "/tools/0"),
        (json!({"goal": "x", "limit": 51}), "/limit"),
    ] {
        let refused = server.post("/v1/playbooks/match", &wrong).refused(400, "invalid_request");
        assert_eq!(refused["issues"][0]["path"], at, "{refused}");
    }
}

/// However a version came to its status, what is told of its component's jobs is one count, wherever it is told.
#[test]
fn the_jobs_of_a_component_are_counted_alike_before_and_after_a_promotion_everywhere() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let server = Server::granting(&[format!("fs:project={}:ro", dir.path().display())]);
    let nodes = json!([{"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": "project/a.txt"}}]);
    let bytes = crate::support::graphs::component(&nodes, &json!("x"));
    server.send("POST", "/v1/playbooks?id=look&name=look", &[("content-type", "application/wasm")], Some(bytes)).ok();
    let job = || server.post("/v1/jobs", &json!({"playbook_id": "look", "wait_ms": 50_000})).ok()["status"].clone();
    let counts = |successes: u64, failures: u64, of_status: (u64, u64)| {
        let verdict = server.get("/v1/playbooks/look/evidence").ok()["verdict"].clone();
        let component = &verdict["component"];
        assert_eq!((&component["successes"], &component["failures"]), (&json!(successes), &json!(failures)), "{verdict}");
        assert_eq!((&verdict["successes"], &verdict["failures"]), (&json!(of_status.0), &json!(of_status.1)), "{verdict}");
        let matched = server.post("/v1/playbooks/match", &json!({"goal": "look"})).ok()["matches"].clone();
        if let Some(expected) = matched[0].get("expected") {
            assert_eq!((&expected["jobs"], &expected["success"]), (&json!(successes + failures), &component["success_bound"]), "{matched}");
        }
        matched.as_array().map_or(0, Vec::len)
    };
    assert_eq!(job(), "failed");
    std::fs::write(dir.path().join("a.txt"), "a").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(job(), "completed");
    assert_eq!(counts(1, 1, (1, 1)), 0);
    server.operator("POST", "/v1/playbooks/look/promote", Some(&json!({"target_status": "active"}))).ok();
    assert_eq!(counts(1, 1, (0, 0)), 1, "an active version answers for what it did as such");
    assert_eq!(job(), "completed");
    assert_eq!(counts(2, 1, (1, 0)), 1);
    assert_eq!(job(), "completed");
    assert_eq!(counts(3, 1, (2, 0)), 1, "news is counted");
}
