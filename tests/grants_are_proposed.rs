//! What a run did becomes the narrowest grants that cover it: enough for its playbook, and no more.

use serde_json::{Value, json};

use crate::support::cli::Place;

const RUN: &str = r#"{"run": {"run_id": "note-1", "goal": "note a release", "inputs": {"version": "1.4.0", "plan": "project/docs/plan.md"}}}
{"tool": "fs/read", "input": {"path": "project/docs/plan.md"}, "output": {"path": "project/docs/plan.md", "bytes": 5, "text": "plan\n"}}
{"tool": "fs/write", "input": {"path": "project/releases/1.4.0.txt", "text": "1.4.0\n"}, "output": {"path": "project/releases/1.4.0.txt", "bytes": 6, "sha256": "9b1bbf4c5b4d6ae9cfa9d6b4b7c3a3e86a1b2ef6f0dd0b7f9f5c4e3d2c1b0a99"}}
{"end": {"status": "success"}}
"#;

#[test]
fn what_a_run_needed_is_proposed_approved_and_enough() {
    let place = Place::new();
    place.file("tree/docs/plan.md", "plan\n");
    place.file("tree/releases/.keep", "");
    place.file("tree/secret/key.txt", "not for jobs\n");
    place.playbook("note", RUN);
    let root = format!("project={}", place.path("tree").display());

    let dry = place.ok(&["grants", "approve", "note-1", "--root", &root, "--dry-run"]);
    assert!(dry.contains("[[grant]]") && dry.contains("releases"), "{dry}");
    assert_eq!(place.json(0, &["grants", "list"])["grants"], json!([]), "it grants nothing");

    place.json(0, &["grants", "approve", "note-1", "--root", &root]);
    let listed = place.json(0, &["grants", "list"])["grants"].clone();
    let paths: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|grant| grant["path"].as_str()).collect();
    let whole = place.path("tree").canonicalize().unwrap();
    assert!(!paths.is_empty() && paths.iter().all(|path| *path != whole.to_str().unwrap()), "narrower than the whole: {listed}");

    let run = |version: &str, plan: &str, code: i32| -> Value {
        place.json(code, &["run", "note", "--input", &json!({"version": version, "plan": plan}).to_string()])
    };
    assert_eq!(run("1.5.0", "project/docs/plan.md", 0)["status"], "completed");
    assert_eq!(place.tree("tree")["releases/1.5.0.txt"], "1.5.0\n");
    let refused = run("1.6.0", "project/secret/key.txt", 1);
    assert!(refused["failure"]["message"].as_str().unwrap().contains("denied"), "{refused}");
}
