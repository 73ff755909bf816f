//! A task graph that is sent becomes a playbook version once, and a job that says which graph it runs.

use serde_json::{Value, json};

use super::support::cli::{Child, Place};
use super::support::server::Server;

/// Reads the file that the input names, and gives its text back.
fn graph() -> Value {
    json!({
        "graph_version": 1, "goal": "Read a note",
        "parameters": [{"name": "file"}],
        "nodes": [
            {"id": "read", "kind": "tool", "tool": "fs/read", "input": {"path": {"$text": ["project/", {"$input": "/file"}]}}},
            {"id": "empty", "kind": "condition", "if": {"value": {"$from": "read", "pointer": "/text"}, "is": "equals", "to": ""}, "then": ["none"]},
            {"id": "none", "kind": "fail", "message": "the note is empty"},
        ],
        "output": {"note": {"$from": "read", "pointer": "/text"}},
    })
}

fn prepared() -> (Place, Server) {
    let place = Place::new();
    place.file("tree/a.txt", "remember");
    place.file("tree/empty.txt", "");
    let server = Server::granting(&[format!("fs:project={}", place.path("tree").display())]);
    (place, server)
}

fn count(server: &Server, what: &str) -> usize {
    server.get(&format!("/v1/{what}")).ok()[what].as_array().unwrap().len()
}

#[test]
fn a_graph_that_is_sent_is_run_and_recorded_with_the_job() {
    let (_place, server) = prepared();
    let job = server.post("/v1/jobs", &json!({"graph": graph(), "input": {"file": "a.txt"}, "wait_ms": 50_000})).ok();
    assert_eq!((&job["status"], &job["output"]), (&json!("completed"), &json!({"note": "remember"})), "{job}");
    let digest = job["origin"]["graph_digest"].as_str().unwrap();
    assert_eq!(job["playbook_id"], format!("graph-{}", &digest[..16]));
    assert_eq!(job["origin"].as_object().unwrap().len(), 1, "the graph stands in the journal alone: {job}");
    let first = &server.get(&format!("/v1/jobs/{}/journal", job["job_id"].as_str().unwrap())).ok()["entries"][0];
    assert_eq!((&first["kind"], &first["origin"]["graph"]), (&json!("created"), &graph()));
    assert_eq!(first["origin"]["graph_digest"], digest);

    let failed = server.post("/v1/jobs", &json!({"graph": graph(), "input": {"file": "empty.txt"}, "wait_ms": 50_000})).ok();
    assert_eq!((&failed["status"], &failed["failure"]["step"]), (&json!("failed"), &json!("none")), "{failed}");
    assert_eq!((&failed["playbook_id"], &failed["version"]), (&job["playbook_id"], &json!(1)), "the same graph is the same version");
    assert_eq!(count(&server, "playbooks"), 1);
    let version = server.get(&format!("/v1/playbooks/{}", job["playbook_id"].as_str().unwrap())).ok();
    assert_eq!((&version["origin"], &version["name"]), (&json!("graph"), &json!("Read a note")));
    assert_eq!(version["component_digest"], job["component_digest"]);
    // It is a playbook like any other.
    let again = json!({"playbook_id": job["playbook_id"], "input": {"file": "a.txt"}, "wait_ms": 50_000});
    assert_eq!(server.post("/v1/jobs", &again).ok()["output"], job["output"]);
}

#[test]
fn an_idempotency_key_covers_the_graph() {
    let (_place, server) = prepared();
    let request = |graph: Value| json!({"graph": graph, "input": {"file": "a.txt"}, "idempotency_key": "k"});
    let first = server.post("/v1/jobs", &request(graph())).ok();
    assert_eq!(server.post("/v1/jobs", &request(graph())).ok()["job_id"], first["job_id"]);
    let mut other = graph();
    other["output"] = json!(1);
    server.post("/v1/jobs", &request(other)).refused(409, "id_conflict");
    let by_id = json!({"playbook_id": first["playbook_id"], "input": {"file": "a.txt"}, "idempotency_key": "k"});
    server.post("/v1/jobs", &by_id).refused(409, "id_conflict");
    assert_eq!((count(&server, "jobs"), count(&server, "playbooks")), (1, 1));
}

#[test]
fn what_cannot_be_run_is_refused_with_every_issue_and_nothing_is_kept() {
    let (_place, server) = prepared();
    let mut wrong = graph();
    wrong["nodes"][0]["inputs"] = json!({});
    wrong["nodes"][1]["if"]["is"] = json!("like");
    wrong["nodes"][1]["then"] = json!(["nobody"]);
    let mut unknown = graph();
    unknown["nodes"][0]["tool"] = json!("db/drop");
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    for (body, status, error, places) in [
        (json!({"graph": wrong}), 400, "invalid_graph", vec!["/graph/nodes/0/inputs", "/graph/nodes/1/if/is", "/graph/nodes/1/then/0"]),
        (json!({"graph": unknown, "input": {"file": "a"}}), 400, "invalid_graph", vec!["/graph/nodes/0/tool"]),
        (json!({"graph": graph()}), 422, "input_does_not_fit", vec![""]),
        (json!({"graph": graph(), "input": {"file": 7}}), 422, "input_does_not_fit", vec!["/file"]),
        (json!({"graph": "read"}), 400, "invalid_request", vec!["/graph"]),
        (json!({"graph": graph(), "goal": "x", "playbook_id": "y"}), 400, "invalid_request", vec!["/graph"]),
        (json!({"graph": graph(), "context": {}, "version": 1}), 400, "invalid_request", vec!["/context", "/version"]),
        (json!({"input": {}}), 400, "invalid_request", vec!["/playbook_id"]),
        (json!({"goal": "read a note"}), 400, "invalid_request", vec!["/goal"]),
        (json!({"graph": deep}), 400, "json_too_deep", vec![]),
    ] {
        let refused = server.post("/v1/jobs", &body).refused(status, error);
        let at = refused["issues"].as_array().map(|issues| issues.iter().map(|issue| issue["path"].as_str().unwrap()).collect::<Vec<_>>());
        let at = at.unwrap_or_default();
        assert!(places.iter().all(|place| at.contains(place)), "{at:?} lacks some of {places:?}: {refused}");
    }
    assert_eq!((count(&server, "jobs"), count(&server, "playbooks")), (0, 0));
}

#[test]
fn a_check_says_what_a_graph_would_do_and_keeps_nothing() {
    let (place, server) = prepared();
    let checked = server.post("/v1/graphs/check", &json!({"graph": graph()})).ok();
    let imports: Vec<&str> = checked["imports"].as_array().unwrap().iter().map(|line| line["import"].as_str().unwrap()).collect();
    assert!(imports.contains(&"tool:fs/read") && !imports.contains(&"tool:fs/write"), "{imports:?}");
    assert!(checked["cannot"].as_array().unwrap().contains(&json!("change any file")), "{checked}");
    assert_eq!(checked["grants_needed"], json!({"project": "ro"}));
    assert_eq!(checked["input_schema"]["required"], json!(["file"]));
    assert_eq!((count(&server, "jobs"), count(&server, "playbooks")), (0, 0));
    // What is checked is what is run.
    let job = server.post("/v1/jobs", &json!({"graph": graph(), "input": {"file": "a.txt"}})).ok();
    for field in ["playbook_id", "component_digest"] {
        assert_eq!(job[field], checked[field], "{field}");
    }
    assert_eq!(job["origin"]["graph_digest"], checked["graph_digest"]);
    let mut wrong = graph();
    wrong["nodes"][0]["tool"] = json!("db/drop");
    let refused = server.post("/v1/graphs/check", &json!({"graph": wrong})).refused(400, "invalid_graph");
    assert_eq!(refused["issues"][0]["path"], "/graph/nodes/0/tool");

    let file = place.file("graph.json", &graph().to_string());
    let file = file.to_str().unwrap();
    assert_eq!(place.json(0, &["graph", "check", file])["component_digest"], checked["component_digest"]);
    let words = place.ok(&["graph", "check", file]);
    assert!(words.contains("tool:fs/read") && words.contains("empty if read/text equals \"\""), "{words}");
    assert!(!place.path("data").exists(), "a graph is checked without a data directory");
}

#[test]
fn a_graph_of_the_largest_size_runs_and_is_read_back() {
    let (_place, server) = prepared();
    let text = "ü\"".repeat(220_000);
    let mut large = graph();
    large["output"] = json!({"text": text});
    let job = server.post("/v1/jobs", &json!({"graph": large, "input": {"file": "a.txt"}, "wait_ms": 50_000})).ok();
    assert_eq!((&job["status"], &job["output"]["text"]), (&json!("completed"), &json!(text)));
    let first = &server.get(&format!("/v1/jobs/{}/journal", job["job_id"].as_str().unwrap())).ok()["entries"][0];
    assert_eq!(first["origin"]["graph"], large);
    large["output"] = json!({"text": "x".repeat(1024 * 1024)});
    server.post("/v1/jobs", &json!({"graph": large, "input": {"file": "a.txt"}})).refused(413, "too_large");
}

#[test]
fn on_the_command_line_a_graph_is_run_from_its_file() {
    let place = Place::new();
    place.file("tree/a.txt", "remember");
    let file = place.file("graph.json", &graph().to_string());
    let (file, grant) = (file.to_str().unwrap(), format!("fs:project={}", place.path("tree").display()));
    let job = place.json(0, &["run", "--graph", file, "--input", r#"{"file": "a.txt"}"#, "--grant", &grant]);
    assert_eq!(job["output"], json!({"note": "remember"}));
    assert!(job["origin"]["graph_digest"].is_string(), "{job}");
    let wrong = place.file("wrong.json", r#"{"graph_version": 1, "goal": "", "nodes": []}"#);
    for (arguments, code, says) in [
        (vec!["run", "--graph", wrong.to_str().unwrap()], 2, "/nodes"),
        (vec!["run", "--graph", "nothing.json"], 3, "nothing.json"),
        (vec!["graph", "check", wrong.to_str().unwrap()], 2, "/goal"),
        (vec!["run", "--graph", file, "--input", "{}"], 5, "file"),
        (vec!["run", "--graph", file, "--goal", "x"], 2, "cannot be used with"),
        (vec!["run"], 2, "PLAYBOOK"),
        (vec!["run", "some", "--context", "{}"], 2, "cannot be used with"),
        (vec!["run", "--goal", "read a note"], 2, "no planner is configured"),
    ] {
        let ran = place.run(&arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:#?}");
    }
    assert_eq!(place.json(0, &["jobs", "list"])["jobs"].as_array().unwrap().len(), 1);
}

/// The plan that was recorded is what goes on, whatever becomes of the file.
#[test]
fn a_killed_job_goes_on_with_the_graph_that_it_began_with() {
    let place = Place::new();
    place.file("tree/a.txt", "remember");
    let file = place.file("graph.json", &graph().to_string());
    let grant = format!("fs:project={}", place.path("tree").display());
    let arguments = [
        "--json",
        "run",
        "--graph",
        file.to_str().unwrap(),
        "--input",
        r#"{"file": "a.txt"}"#,
        "--grant",
        &grant,
        "--follow",
        "--pace",
        "3600000",
    ];
    let mut child = Child::start(&mut place.command(&arguments));
    let job = child.hear(|entry| entry["job_id"].is_string())["job_id"].as_str().unwrap().to_owned();
    child.kill();
    std::fs::write(&file, "{}").unwrap();
    let done = place.json(0, &["jobs", "resume", &job]);
    assert_eq!(done["output"], json!({"note": "remember"}), "{done}");
    assert!(place.journal(&job).iter().any(|entry| entry["kind"] == "resumed"), "another process did it");
    assert_eq!(place.journal(&job)[0]["origin"]["graph"], graph());
}
