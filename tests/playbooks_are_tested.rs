//! `reprise test`: on copies, killed at every flush, and honest about what a crash leads to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::counter::Counter;

fn graph(place: &Place, nodes: &Value, output: &Value) {
    let graph = json!({"graph_version": 1, "goal": "be tested", "nodes": nodes, "output": output});
    place.file("graph.json", &graph.to_string());
}

fn prepared() -> Place {
    let place = Place::new();
    place.file("tree/notes.md", "one\n");
    place.file("tree/sub/kept.txt", "kept");
    std::fs::create_dir(place.path("tmp")).unwrap();
    place
}

/// The report, with its own place for temporary files, in which nothing is left.
fn tested(place: &Place, code: i32, arguments: &[&str]) -> Value {
    let arguments = [&["--json", "test"], arguments].concat();
    let ran = crate::support::cli::finished(place.command(&arguments).env("TMPDIR", place.path("tmp")));
    assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{ran:#?}");
    assert_eq!(std::fs::read_dir(place.path("tmp")).unwrap().count(), 0, "nothing is left");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:#?}"))
}

fn verdicts(report: &Value) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for crash in report["crashes"].as_array().unwrap() {
        *counts.entry(crash["verdict"].as_str().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn killed_at_every_flush_it_comes_to_the_same_and_what_the_user_has_is_untouched() {
    let place = prepared();
    let (path, old) = ("project/notes.md", "one\n");
    let nodes = json!([
        {"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": path}},
        {"id": "write", "kind": "tool", "tool": "fs/write", "input": {"path": "project/new.md", "text": {"$from": "look", "pointer": "/text"}}},
        {"id": "grow", "kind": "tool", "tool": "fs/replace", "input": {"path": path, "old": old, "new": "one\ntwo\n"}},
        {"id": "gone", "kind": "tool", "tool": "fs/remove", "input": {"path": "project/sub/kept.txt"}},
    ]);
    graph(&place, &nodes, &json!({"$from": "grow"}));
    let before = place.tree("tree");
    let report = tested(&place, 0, &["--graph", "graph.json", "--root", "project=tree", "--crash-everywhere", "--junit", "junit.xml"]);
    assert_eq!((&report["passed"], &report["status"], &report["output"]["replaced"]), (&json!(true), &json!("completed"), &json!(1)));
    let changed = json!([{"path": "project/new.md", "change": "added"}, {"path": "project/notes.md", "change": "changed"},
        {"path": "project/sub/kept.txt", "change": "removed"}]);
    let mut files = report["files"].as_array().unwrap().clone();
    files.sort_by_key(|file| file["path"].to_string());
    assert_eq!(json!(files), changed);
    // A worker, a job, three calls that change something, the end; each before and after. The worker may leave a last one behind.
    let mut counts = verdicts(&report);
    assert!(counts.remove("same").is_some_and(|same| (10..=12).contains(&same)), "{report:#}");
    assert_eq!(counts, [("reconciled", 1), ("uncertain_happened", 1)].into(), "{report:#}");
    let found: Vec<&Value> = report["crashes"].as_array().unwrap().iter().map(|crash| &crash["found"]).collect();
    assert!(found[0].is_null() && found.last().unwrap().as_str().unwrap().contains("completed"), "{found:?}");
    let junit = std::fs::read_to_string(place.path("junit.xml")).unwrap();
    assert_eq!((junit.matches("<testcase").count(), junit.matches("<failure").count()), (found.len() + 1, 0), "{junit}");
    assert_eq!(place.tree("tree"), before);
    assert!(!place.path("data").exists(), "no data directory is needed for a graph");
}

#[test]
fn branches_that_run_side_by_side_and_playbooks_that_start_others_are_killed_too() {
    let place = prepared();
    let child = json!([{"id": "c", "kind": "tool", "tool": "fs/write", "input": {"path": "project/child.md", "text": "child"}}]);
    graph(&place, &child, &json!("from the child"));
    place.file("tree/once.md", "first\n");
    let done = place.json(0, &["run", "--graph", "graph.json", "--grant", "fs:project=tree"]);
    std::fs::remove_file(place.path("tree/child.md")).unwrap();
    let nodes = json!([
        {"id": "both", "kind": "parallel", "branches": [["left"], ["late"]]},
        {"id": "left", "kind": "playbook", "playbook": done["playbook_id"]},
        {"id": "late", "kind": "wait", "signal": "never", "timeout_ms": 150, "on_expire": ["right"]},
        {"id": "right", "kind": "tool", "tool": "fs/replace", "input": {"path": "project/once.md", "old": "first\n", "new": "first\nsecond\n"}},
    ]);
    graph(&place, &nodes, &json!({"$from": "left"}));
    let report = tested(&place, 0, &["--graph", "graph.json", "--root", "project=tree", "--crash-everywhere"]);
    assert_eq!((&report["passed"], &report["output"]), (&json!(true), &json!("from the child")));
    assert!(report["crashes"].as_array().unwrap().len() > 20, "{report:#}");
    assert!(!verdicts(&report).contains_key("different"), "{report:#}");
    assert!(!place.path("tree/child.md").exists());
    let report = tested(&place, 0, &["--graph", "graph.json", "--root", "project=tree"]);
    assert_eq!(report["files"].as_array().unwrap().len(), 2, "nobody sent the signal, and it went on: {report:#}");

    let stored = tested(&place, 0, &[done["playbook_id"].as_str().unwrap(), "--root", "project=tree"]);
    assert_eq!((&stored["output"], &stored["files"][0]["change"]), (&json!("from the child"), &json!("added")));
}

#[test]
fn what_comes_to_something_else_after_a_crash_fails_and_says_what() {
    let place = prepared();
    let counter = Counter::start();
    // An answer that is different each time is what no two runs share.
    counter.issues("/things", false);
    let nodes = json!([{"id": "make", "kind": "tool", "tool": "http/put", "input": {"url": counter.url("/things"), "body": 1}}]);
    graph(&place, &nodes, &json!({"$from": "make", "pointer": "/body/id"}));
    let grant = format!("http:{}=PUT", counter.origin());
    let report = tested(&place, 1, &["--graph", "graph.json", "--grant", &grant, "--crash-everywhere", "--junit", "junit.xml"]);
    assert_eq!((&report["passed"], &report["output"]), (&json!(false), &json!("r-1")));
    assert_eq!(verdicts(&report).keys().copied().collect::<Vec<_>>(), ["different"], "{report:#}");
    let differs = report["crashes"][0]["differences"][0].as_str().unwrap();
    assert!(differs.contains("the output is \"r-") && differs.contains("and not \"r-1\""), "{differs}");
    let junit = std::fs::read_to_string(place.path("junit.xml")).unwrap();
    assert_eq!(junit.matches("<failure").count(), report["crashes"].as_array().unwrap().len(), "{junit}");
}

#[test]
fn what_cannot_be_tested_is_refused_or_said() {
    let place = prepared();
    graph(&place, &json!([{"id": "go", "kind": "wait", "signal": "go"}]), &json!(1));
    let report = tested(&place, 7, &["--graph", "graph.json", "--crash-everywhere"]);
    assert_eq!((&report["passed"], &report["status"], &report["crashes"]), (&json!(false), &json!("waiting"), &Value::Null));
    assert!(report["why"].as_str().unwrap().contains("go"), "{report:#}");
    for (code, arguments, says) in [
        (2, vec!["--graph", "graph.json", "--grant", "fs:project=tree"], "--root project="),
        (2, vec!["--graph", "graph.json", "--root", "project=nowhere"], "not a directory"),
        (2, vec![], "PLAYBOOK"),
        (3, vec!["nothing"], "no data directory"),
    ] {
        let ran = place.run(&[&["test"], &arguments[..]].concat());
        assert!(ran.code == code && ran.stderr.contains(says), "{arguments:?}: {ran:#?}");
    }
    let ran = place.run(&["--die-at", "after:1", "run", "--graph", "graph.json"]);
    assert!(ran.code != 0 && ran.code != -1 && ran.stderr.contains("SCRATCH"), "{ran:#?}");
}
