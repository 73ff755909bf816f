//! Recorded runs that would mislead whoever learns from them, sent over HTTP: what was not meant must not happen.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use reprise::ids::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::Place;
use crate::support::recorder::record;
use crate::support::server::{Answer, Server};

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

/// What compiling these runs together is answered with.
fn together(server: &Server, runs: &[&str], playbook: &str) -> Answer {
    server.post("/v1/memory/replay/playbooks/compile_from_runs", &json!({"run_ids": runs, "playbook_id": playbook}))
}

fn run(server: &Server, playbook: &str, input: &Value) -> Value {
    server.post("/v1/jobs", &json!({"playbook_id": playbook, "input": input, "wait_ms": 50_000})).ok()
}

fn wrote(path: &str, text: &str) -> (&'static str, Value, Value) {
    (
        "fs/write",
        json!({"path": path, "text": text}),
        json!({"path": path, "bytes": text.len(), "sha256": Digest::of(text.as_bytes()).to_string()}),
    )
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

#[test]
fn runs_that_contradict_each_other_are_refused_with_the_place() {
    let (_tree, server) = world();
    let read = |name: &str| {
        ("fs/read", json!({"path": "project/a.json", "as": "json"}), json!({"path": "project/a.json", "bytes": 9, "json": {"name": name}}))
    };
    let list = ("fs/list", json!({"path": "project"}), json!({"path": "project", "entries": []}));
    let inputs = json!({"who": "anabel"});
    // The same inputs and the same answers, and something else was done.
    let left = [read("acme"), wrote("project/out.txt", "left of it")];
    let right = [read("acme"), wrote("project/out.txt", "right of it")];
    let elsewhere = [read("acme"), wrote("project/other.txt", "left of it")];
    let other_way = [read("acme"), list, wrote("project/out.txt", "left of it")];
    for (id, steps) in [("left", &left[..]), ("right", &right[..]), ("elsewhere", &elsewhere[..]), ("other-way", &other_way[..])] {
        record(&server, id, "g", &inputs, steps);
    }
    for (runs, place, values) in [
        (["left", "right"], "s2 at /text", ["left of it", "right of it"]),
        (["left", "elsewhere"], "s2 at /path", ["project/out.txt", "project/other.txt"]),
        (["left", "other-way"], "s2", ["fs/write", "fs/list"]),
    ] {
        let said = together(&server, &runs, "never").refused(422, "not_compilable");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(place) && values.iter().all(|value| message.contains(value)), "{runs:?}: {message}");
        assert!(runs.iter().all(|run| message.contains(run)), "the runs are named: {message}");
    }
    server.get("/v1/playbooks/never").refused(404, "replay_playbook_not_found");
}

/// Each run has a reason of its own for a value; no reason holds in all of them.
#[test]
fn what_explains_a_single_run_by_accident_is_no_reason() {
    let (_tree, server) = world();
    let read = |code: &str, word: &str| {
        (
            "fs/read",
            json!({"path": "project/a.json", "as": "json"}),
            json!({"path": "project/a.json", "bytes": 9, "json": {"code": code, "word": word}}),
        )
    };
    let runs = [("one", "alpha-1", "alpha-1", "other-9"), ("two", "beta-22", "code-77", "beta-22"), ("three", "gamma-3", "x-1", "y-1")];
    for (id, text, code, word) in runs {
        record(&server, id, "g", &json!({"given": text.replace("gamma", "delta")}), &[read(code, word), wrote("project/out.txt", text)]);
    }
    for chosen in [&["one", "two", "three"][..], &["two", "three"], &["one", "three"]] {
        let said = together(&server, chosen, "never").refused(422, "not_compilable");
        assert!(said["message"].as_str().unwrap().contains("s2 at /text"), "{chosen:?}: {said}");
    }
}

/// Short and common values that are the same in all runs, in the answers too: they stay what they are.
#[test]
fn what_all_runs_have_in_common_by_accident_stays_literal() {
    let (tree, server) = world();
    for (n, id) in (1..).zip(["one", "two", "three"]) {
        let found = json!({"dry": true, "count": 0, "word": "no", "letter": "a", "id": format!("item-{n}00{n}")});
        let read =
            ("fs/read", json!({"path": "project/a.json", "as": "json"}), json!({"path": "project/a.json", "bytes": 9, "json": found}));
        let steps = [read, wrote("project/word.txt", "no"), wrote("project/id.txt", &format!("item-{n}00{n} a 0 true"))];
        record(&server, id, "g", &json!({"dry": true, "letter": "a", "day": format!("2026-11-0{n}")}), &steps);
    }
    together(&server, &["one", "two", "three"], "common").ok();
    let plan = server.get("/v1/playbooks/common/versions/1/plan").ok();
    let inputs: String = plan["body"].as_array().unwrap().iter().map(|node| node["step"]["input"].to_string()).collect();
    assert!(!inputs.contains("/json/word") && !inputs.contains("/json/letter") && inputs.contains("/json/id"), "{inputs}");
    std::fs::write(tree.path().join("a.json"), r#"{"dry": true, "count": 0, "word": "no", "letter": "a", "id": "item-5005"}"#).unwrap();
    let job = run(&server, "common", &sample(&server, "common"));
    assert_eq!(job["status"], "completed", "{job:#}");
    assert_eq!(std::fs::read_to_string(tree.path().join("word.txt")).unwrap(), "no");
    assert_eq!(std::fs::read_to_string(tree.path().join("id.txt")).unwrap(), "item-5005 a 0 true");
}

/// An input of what the playbook takes, as it was recorded.
fn sample(server: &Server, playbook: &str) -> Value {
    let plan = server.get(&format!("/v1/playbooks/{playbook}/versions/1/plan")).ok();
    let field = |parameter: &Value| (parameter["name"].as_str().unwrap().to_owned(), parameter["sample"].clone());
    plan["parameters"].as_array().unwrap().iter().map(field).collect()
}

#[test]
fn hostile_texts_of_several_runs_are_text_in_what_they_have_in_common() {
    let (tree, server) = world();
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let ids: Vec<String> = (0..3).map(|run| format!("several-{n}-{run}")).collect();
        for (run, id) in ids.iter().enumerate() {
            let given = format!("given {run}{run}{run} {hostile}");
            let steps = [wrote("project/constant.txt", hostile), wrote("project/inside.txt", &format!("{hostile}[{given}]{hostile}"))];
            record(&server, id, "g", &json!({"text": given}), &steps);
        }
        let playbook = format!("several-{n}");
        together(&server, &ids.iter().map(String::as_str).collect::<Vec<_>>(), &playbook).ok();
        let another = format!("{} for {hostile}", HOSTILE[(n + 1) % HOSTILE.len()]);
        let job = run(&server, &playbook, &json!({"text": another}));
        let read = |name: &str| std::fs::read_to_string(tree.path().join(name)).unwrap();
        assert_eq!(job["status"], "completed", "{hostile:?}: {job:#}");
        assert_eq!(read("constant.txt"), *hostile);
        assert_eq!(read("inside.txt"), format!("{hostile}[{another}]{hostile}"));
    }
    server.assert_alive();
}
