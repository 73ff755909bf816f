//! What a run did becomes the narrowest grants that cover it, and an operator approves them as they are.

use serde_json::{Value, json};

use crate::support::cli::{Place, Served, finished};
use crate::support::counter::Counter;
use crate::support::server::Server;

const NOTE: &str = r##"{"run": {"run_id": "note-run", "goal": "note a day", "inputs": {"date": "2026-12-01"}}}
{"tool": "fs/read", "input": {"path": "project/docs/notes.md"}, "output": {"path": "project/docs/notes.md", "bytes": 8, "text": "# Notes\n"}}
{"tool": "fs/write", "input": {"path": "project/docs/2026-12-01.md", "text": "noted\n"}, "output": {"path": "project/docs/2026-12-01.md"}}
{"end": {"status": "success"}}
"##;

/// A project with more in it than the run needs, and the run as a playbook.
fn prepared() -> Place {
    let place = Place::new();
    place.file("acme/docs/notes.md", "# Notes\n");
    place.file("acme/private/plan.md", "secret plan");
    place.playbook("note", NOTE);
    place
}

/// Reads a file beside what the run needed.
fn beside(place: &Place) -> Value {
    let graph = json!({
        "graph_version": 1, "goal": "look beside", "parameters": [],
        "nodes": [{"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": "project/private/plan.md"}}],
        "output": {"$from": "look", "pointer": "/text"},
    });
    place.file("beside.json", &graph.to_string());
    place.json(1, &["run", "--graph", "beside.json"])
}

#[test]
fn a_run_is_approved_as_it_is_and_nothing_beside_it() {
    let place = prepared();
    let input = ["run", "note", "--input", r#"{"date": "2027-01-15"}"#];
    assert_eq!(place.run(&input).code, 1, "nothing is granted yet");

    let made = place.json(0, &["compile", "note-run", "--playbook", "note"]);
    let proposed = &made["grants_proposed"][0];
    assert_eq!(
        (&proposed["name"], &proposed["words"], &proposed["standing"], &proposed["steps"]),
        (&json!("project"), &json!("read and write files below project/docs/"), &json!("new"), &json!(["s1", "s2"]))
    );
    let said = place.ok(&["compile", "note-run", "--playbook", "note"]);
    assert!(
        said.contains(
            "  project: read and write files below project/docs/\nAn operator grants just that with: reprise grants approve note-run\n"
        ),
        "{said}"
    );
    let inspected = place.ok(&["inspect", "note"]);
    assert!(
        inspected.contains("The narrowest grants that cover it:\n  project: read and write files below project/docs/\n"),
        "{inspected}"
    );

    // Where the project lies, nobody but the operator knows.
    let unknown = place.run(&["grants", "approve", "note-run"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("approve with --root project=DIR"), "{unknown:#?}");
    let approve = ["grants", "approve", "note-run", "--root", "project=acme"];
    let docs = place.path("acme/docs").canonicalize().unwrap().display().to_string();
    let shown = place.ok(&[&approve[..], &["--dry-run"]].concat());
    let toml = format!(
        "# nothing is granted as \"project\"\n[[grant]]\naccess = \"rw\"\nat = \"docs\"\nkind = \"fs\"\nname = \"project\"\npath = {docs:?}\n"
    );
    assert_eq!(shown, toml);
    assert_eq!(place.json(0, &["grants", "list"])["grants"], json!([]), "a look grants nothing");

    let approved = place.ok(&approve);
    assert_eq!(approved, format!("All jobs may now:\n  project: read and write files below {docs}, seen as project/docs/\n"));
    assert_eq!(place.run(&input).code, 0);
    assert_eq!(std::fs::read_to_string(place.path("acme/docs/2027-01-15.md")).unwrap(), "noted\n");
    let denied = beside(&place)["failure"]["message"].as_str().unwrap().to_owned();
    assert!(denied.contains("covers \"project/docs\"") && !denied.contains("secret plan"), "{denied}");
    assert_eq!(place.ok(&approve), "Nothing is to be granted: all of it is granted already.\n");

    // What it printed is a file that can be approved, too.
    place.ok(&["grants", "remove", "project"]);
    place.file("proposed.toml", &shown);
    assert_eq!(place.json(0, &["grants", "approve", "proposed.toml"])["granted"][0]["name"], "project");
    place.file("more.toml", &format!("{shown}\n[scheduler]\nlease_ms = 5000\n"));
    for (arguments, code, says) in [
        (&["grants", "approve", "more.toml"][..], 2, "holds more than [[grant]]"),
        (&["grants", "approve", "none"], 3, "none"),
        (&["grants", "approve", "note-run", "--root", "project=nowhere"], 2, "is not a directory"),
        (&["grants", "approve", "note-run", "--root", "project=data"], 2, "covers the data directory"),
    ] {
        let ran = place.run(arguments);
        assert!(ran.code == code && ran.stderr.contains(says), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn a_server_proposes_and_grants_to_operators() {
    let place = prepared();
    let served = Served::start(&place, &[]);
    let arguments = ["grants", "approve", "note-run", "--root", "project=acme", "--url", &served.url];
    let elsewhere = finished(place.command(&arguments).env("REPRISE_DATA", place.path("elsewhere")));
    assert!(elsewhere.code == 9 && elsewhere.stderr.contains("operator.token"), "{elsewhere:#?}");
    assert_eq!(place.json(0, &arguments)["granted"][0]["grant"]["at"], "docs");
    let (status, job) = served.post("/v1/jobs", &json!({"playbook_id": "note", "input": {"date": "d"}, "wait_ms": 50_000})).unwrap();
    assert_eq!((status, &job["status"]), (200, &json!("completed")), "{job}");
}

/// Records a run over HTTP.
fn record(server: &Server, run: &str, calls: &[(&str, Value)]) {
    let replay = |part: &str, body: Value| server.post(&format!("/v1/memory/replay/{part}"), &body).ok();
    replay("run/start", json!({"run_id": run, "goal": run}));
    for (at, (tool, input)) in calls.iter().enumerate() {
        replay("step/before", json!({"run_id": run, "step_index": at + 1, "tool_name": tool, "tool_input": input}));
        replay("step/after", json!({"run_id": run, "step_index": at + 1, "status": "success", "output": {"at": at}}));
    }
    replay("run/end", json!({"run_id": run, "status": "success"}));
}

#[test]
fn compiling_proposes_what_the_run_reached_and_a_proposal_narrows_what_is_granted() {
    let (server, counter) = (Server::start(), Counter::start());
    let project = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(project.path().join("docs/old")).unwrap();
    let real = project.path().canonicalize().unwrap();
    server.operator("PUT", "/v1/grants/project", Some(&json!({"kind": "fs", "path": real, "access": "rw"}))).ok();
    let web = json!({"kind": "http", "origin": counter.origin(), "methods": ["GET", "POST"], "key_header": "X-Key"});
    server.operator("PUT", "/v1/grants/shop", Some(&web)).ok();
    record(
        &server,
        "r",
        &[
            ("fs/list", json!({"path": "project/docs"})),
            ("fs/read", json!({"path": "project/docs/old/a.md"})),
            ("http/get", json!({"url": counter.url("/v1/orders/7")})),
            ("http/get", json!({"url": counter.url("/v1/carts/7")})),
            ("kv/set", json!({"space": "seen", "key": "7", "value": true})),
        ],
    );
    let compile = json!({"run_id": "r", "playbook_id": "p"});
    let compiled = server.post("/v1/memory/replay/playbooks/compile_from_run", &compile).ok();
    let origin = counter.origin();
    let lines = |answer: &Value, list: &str| -> Vec<Value> {
        let line = |p: &Value| json!([p["name"], p["words"], p["standing"], p["note"]]);
        answer[list].as_array().unwrap().iter().map(line).collect()
    };
    let expected = [
        json!(["project", "read files below project/docs/", "narrows", "narrows the grant \"project\""]),
        json!(["shop", format!("GET at {origin} below /v1"), "narrows", "narrows the grant \"shop\""]),
        json!(["seen", "read and write keys in the space seen", "new", "nothing is granted as \"seen\""]),
    ];
    assert_eq!(lines(&compiled, "grants_proposed"), expected);
    assert!(!compiled.to_string().contains(real.to_str().unwrap()), "where the project lies is nobody's business: {compiled}");
    assert_eq!(compiled["grants_proposed"][0].get("grant"), None);

    server.post("/v1/grant-proposals", &json!({"run_id": "r"})).refused(401, "operator_token_missing");
    let proposed = server.operator("POST", "/v1/grant-proposals", Some(&json!({"run_id": "r"}))).ok();
    assert_eq!(lines(&proposed, "proposals"), expected);
    let docs = real.join("docs");
    assert_eq!(proposed["proposals"][0]["grant"], json!({"kind": "fs", "at": "docs", "path": docs, "access": "ro"}));
    let shop = json!({"kind": "http", "origin": origin, "methods": ["GET"], "path": "/v1", "key_header": "X-Key"});
    assert_eq!(proposed["proposals"][1]["grant"], shop, "what was promised of the server stays");

    // Each is put as it stands, and then is what is granted.
    for proposal in proposed["proposals"].as_array().unwrap() {
        let path = format!("/v1/grants/{}", proposal["name"].as_str().unwrap());
        server.operator("PUT", &path, Some(&proposal["grant"])).ok();
    }
    let again = server.operator("POST", "/v1/grant-proposals", Some(&json!({"run_id": "r"}))).ok();
    let standing: Vec<&Value> = again["proposals"].as_array().unwrap().iter().map(|p| &p["standing"]).collect();
    assert_eq!(standing, ["same", "same", "same"], "{again}");

    let none = json!({"run_id": "none"});
    server.operator("POST", "/v1/grant-proposals", Some(&none)).refused(404, "replay_run_not_found");
    let relative = json!({"run_id": "r", "directories": {"project": "here"}});
    let refused = server.operator("POST", "/v1/grant-proposals", Some(&relative)).refused(400, "invalid_request");
    assert_eq!(refused["issues"][0]["path"], "/directories/project");
}
