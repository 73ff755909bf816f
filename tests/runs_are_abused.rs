//! Recorded runs that would mislead whoever learns from them, sent over HTTP: what was not meant must not happen.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::Place;
use crate::support::recorder::record;
use crate::support::server::Server;

/// Texts that mean something to a shell, a template, a terminal, a C string, a path or a parser of JSON.
const HOSTILE: &[&str] = &[
    r#"a "quoted" 'word' \ and \\ more"#,
    "before\u{0}after",
    "{{secret:token}} {{ inputs.x }} ${HOME} $(id) `id` %s %n",
    "{{",
    "}}{{{}}",
    "\u{1}\u{7f}\u{1b}[31m\r\n\t\u{8}",
    "\u{202e}right to left\u{200b}\u{feff}",
    "\u{fffd}\u{1f600}e\u{301}\u{10ffff}",
    r#"","tool":"fs/remove","x":""#,
    "\\u0000 \\ud800",
    "../../etc/passwd",
];

fn world() -> (TempDir, Server) {
    let tree = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:project={}", tree.path().display())]);
    (tree, server)
}

fn compile(server: &Server, run: &str) -> Value {
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": run, "playbook_id": format!("of-{run}")})).ok()
}

fn run(server: &Server, playbook: &str, input: &Value) -> Value {
    server.post("/v1/jobs", &json!({"playbook_id": playbook, "input": input, "wait_ms": 50_000})).ok()
}

fn wrote(path: &str, text: &str) -> (&'static str, Value, Value) {
    ("fs/write", json!({"path": path, "text": text}), json!({"path": path, "bytes": text.len(), "sha256": "00"}))
}

#[test]
fn a_hostile_text_is_text_as_a_constant_as_an_input_and_inside_another() {
    let (tree, server) = world();
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let id = format!("hostile-{n}");
        let given = format!("given {n} {hostile}");
        let steps = [
            wrote("project/constant.txt", hostile),
            wrote("project/input.txt", &given),
            wrote("project/inside.txt", &format!("[{given}]")),
        ];
        record(&server, &id, hostile, &json!({"text": given}), &steps);
        let made = compile(&server, &id);
        assert_eq!(made["proof"]["fallbacks"], json!([]), "{hostile:?}");
        let another = format!("{} for {hostile}", HOSTILE[(n + 1) % HOSTILE.len()]);
        let job = run(&server, &format!("of-{id}"), &json!({"text": another}));
        assert_eq!(job["status"], "completed", "{hostile:?}: {job:#}");
        let read = |name: &str| std::fs::read_to_string(tree.path().join(name)).unwrap();
        assert_eq!(read("constant.txt"), *hostile);
        assert_eq!(read("input.txt"), another);
        assert_eq!(read("inside.txt"), format!("[{another}]"));
    }
    server.assert_alive();
}

#[test]
fn half_a_character_is_refused_wherever_it_is_sent() {
    let (_tree, server) = world();
    record(&server, "whole", "g", &json!({"text": "whole"}), &[wrote("project/a.txt", "whole")]);
    compile(&server, "whole");
    for (path, body) in [
        ("/v1/memory/replay/run/start", r#"{"goal": "g", "inputs": {"text": "\ud800"}}"#),
        ("/v1/memory/replay/run/start", r#"{"goal": "\udc00\ud800"}"#),
        ("/v1/memory/replay/step/before", r#"{"run_id": "whole", "step_index": 9, "tool_name": "x", "tool_input": {"\ud83d": 1}}"#),
        ("/v1/memory/replay/step/after", r#"{"run_id": "whole", "step_index": 1, "status": "success", "output": ["\ud800x"]}"#),
        ("/v1/memory/replay/playbooks/compile_from_run", r#"{"run_id": "whole", "name": "\udfff"}"#),
        ("/v1/jobs", r#"{"playbook_id": "of-whole", "input": {"text": "\ud800"}}"#),
    ] {
        let answer = server.send("POST", path, &[("content-type", "application/json")], Some(body.as_bytes().to_vec()));
        answer.refused(400, "invalid_json");
    }
    server.assert_alive();
}

/// What a step was given stands in an earlier answer too, because it is short and common.
#[test]
fn what_stands_in_an_answer_by_accident_is_no_reason() {
    let (tree, server) = world();
    let found = json!({"dry": true, "count": 0, "one": "1", "word": "no", "empty": "", "list": ["x", 2, null], "letter": "a"});
    let read = |path: &str| ("fs/read", json!({"path": path, "as": "json"}), json!({"path": path, "bytes": 9, "json": found}));
    let list = ("fs/list", json!({"path": "project", "recursive": true}), json!({"path": "project", "entries": []}));
    let steps = [read("project/a.json"), list, wrote("project/no", "a"), wrote("project/1", "no"), wrote("project/x", "1")];
    record(&server, "accident", "g", &json!({"flag": true, "n": 0, "short": "a", "none": null}), &steps);
    let made = compile(&server, "accident");
    assert_eq!(made["parameters"], json!([]), "nothing of it is a parameter");
    std::fs::write(
        tree.path().join("a.json"),
        r#"{"dry": false, "count": 7, "one": "2", "word": "yes", "empty": "e", "list": [], "letter": "b"}"#,
    )
    .unwrap();
    let job = run(&server, "of-accident", &json!({}));
    assert_eq!(job["status"], "completed", "{job:#}");
    for (name, text) in [("no", "a"), ("1", "no"), ("x", "1")] {
        assert_eq!(std::fs::read_to_string(tree.path().join(name)).unwrap(), text, "{name} is as it was recorded");
    }
}

#[test]
fn a_run_of_five_thousand_steps_is_refused_where_it_becomes_too_long() {
    let place = Place::new();
    let mut recording = "{\"run\": {\"run_id\": \"long\", \"goal\": \"never ends\"}}\n".to_owned();
    for n in 0..5_000 {
        writeln!(recording, r#"{{"tool": "fs/read", "input": {{"path": "p/{n}.txt"}}, "output": {{"text": "{n}"}}}}"#).unwrap();
    }
    let file = place.file("long.jsonl", &(recording + "{\"end\": {\"status\": \"success\"}}\n"));
    let ran = place.run(&["record", file.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("line 2002") && ran.stderr.contains("at most 2000 steps"), "{}", ran.stderr);
    assert!(!place.path("data").exists(), "nothing of it was kept");
}
