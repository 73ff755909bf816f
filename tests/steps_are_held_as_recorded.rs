//! A step learned from several runs is held as strictly as the recorded steps that it came from, and shown as one of them.

use serde_json::{Value, json};

use crate::support::recorded::record;
use crate::support::server::Server;

type Call = (&'static str, Value, Value);

/// Lists files, copies each, and writes a last file; `last` is the level of that, `copies` of the copying.
fn copied(names: &[&str], copies: &str, last: &str) -> Vec<Call> {
    let entries: Vec<Value> = names.iter().map(|name| json!({"path": format!("notes/in/{name}"), "kind": "file", "bytes": 1})).collect();
    let listed = json!({"path": "notes/in", "entries": entries});
    let mut calls = vec![("fs/list", json!({"path": "notes/in"}), json!({"safety_level": "auto_ok", "output": listed}))];
    for name in names {
        let (from, to) = (format!("notes/in/{name}"), format!("notes/out/{name}"));
        let text = format!("text of {name}");
        let answer = json!({"path": from, "bytes": text.len(), "text": text});
        calls.push(("fs/read", json!({"path": from}), json!({"safety_level": "auto_ok", "output": answer})));
        let answer = json!({"path": to, "bytes": text.len()});
        calls.push(("fs/write", json!({"path": to, "text": text, "create_dirs": true}), json!({"safety_level": copies, "output": answer})));
    }
    let answer = json!({"path": "notes/index.md", "bytes": 4});
    let said = json!({"safety_level": last, "preconditions": [{"kind": "always"}], "output": answer});
    calls.push(("fs/write", json!({"path": "notes/index.md", "text": "done"}), said));
    calls
}

/// What a strict run without any consent says of each step, and the steps as they are shown.
fn held(server: &Server, runs: &[Vec<Call>]) -> (Value, Vec<Value>, Vec<Value>) {
    let ids: Vec<String> = (0..runs.len()).map(|at| format!("r{at}")).collect();
    ids.iter().zip(runs).for_each(|(id, calls)| record(server, id, json!({}), calls));
    server.post("/v1/playbooks/compile", &json!({"run_ids": ids, "playbook_id": "p"})).ok();
    let shown = server.post("/v1/memory/replay/playbooks/get", &json!({"playbook_id": "p"})).ok();
    let shown = shown["playbook"]["steps_template"].as_array().or(shown["steps_template"].as_array()).cloned().unwrap_or_default();
    let ran = server.post("/v1/memory/replay/playbooks/run", &json!({"playbook_id": "p", "mode": "strict"})).ok();
    let errors = ran["steps"].as_array().into_iter().flatten().map(|step| step["error"].clone()).collect();
    (ran, shown, errors)
}

#[test]
fn a_step_behind_a_loop_is_held_as_it_was_recorded_and_not_as_one_of_the_turns() {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:notes={}", notes.path().display())]);
    let runs = [["a.txt", "b.txt"].as_slice(), &["c.txt", "d.txt", "e.txt"], &["f.txt"]];
    let runs = runs.map(|names| copied(names, "auto_ok", "manual_only"));
    let (ran, shown, errors) = held(&server, &runs);
    assert_eq!(errors, [Value::Null, Value::Null, Value::Null, json!("manual_only_step")], "{ran}");
    assert_eq!((&ran["run"]["status"], &ran["summary"]["executed_steps"]), (&json!("failed"), &json!(0)), "{ran}");
    assert_eq!(std::fs::read_dir(notes.path()).unwrap().count(), 0, "nothing was done");
    let last = &shown[3];
    assert_eq!((&last["tool_name"], &last["safety_level"]), (&json!("fs/write"), &json!("manual_only")), "{last}");
    assert_eq!((&last["tool_input_template"]["path"], &last["step_index"]), (&json!("notes/index.md"), &json!(4)), "{last}");
    assert_eq!(last["preconditions"], json!([{"kind": "always"}]), "{last}");
}

#[test]
fn a_single_stricter_turn_of_a_loop_holds_every_turn() {
    let server = Server::start();
    let mut runs = [["a.txt", "b.txt"].as_slice(), &["c.txt"], &["f.txt", "g.txt"]].map(|names| copied(names, "auto_ok", "auto_ok"));
    runs[2][4].2["safety_level"] = "needs_confirm".into();
    let (ran, _, errors) = held(&server, &runs);
    assert_eq!(errors, [Value::Null, Value::Null, json!("confirmation_required"), Value::Null], "{ran}");
}

#[test]
fn where_runs_disagree_the_strictest_holds() {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::granting(&[format!("fs:notes={}", notes.path().display())]);
    let runs = ["auto_ok", "manual_only", "manual_only"]
        .map(|level| vec![("fs/write", json!({"path": "notes/a.txt", "text": "one"}), json!({"safety_level": level}))]);
    let (ran, shown, errors) = held(&server, &runs);
    assert_eq!((errors, &shown[0]["safety_level"]), (vec![json!("manual_only_step")], &json!("manual_only")), "{ran}");
    assert_eq!(std::fs::read_dir(notes.path()).unwrap().count(), 0, "nothing was done");
}

/// The runs no longer say which step is which: what was recorded for the same tool holds.
#[test]
fn a_step_inserted_by_a_repair_loosens_none_of_the_others() {
    let server = Server::start();
    let runs = [["a.txt", "b.txt"].as_slice(), &["c.txt", "d.txt", "e.txt"], &["f.txt"]];
    held(&server, &runs.map(|names| copied(names, "auto_ok", "manual_only")));
    let step = json!({"tool_name": "fs/list", "tool_input_template": {"path": "notes"}});
    let patch = json!({"insert_after": [{"step_index": 1, "steps": [step]}]});
    server.post("/v1/memory/replay/playbooks/repair", &json!({"playbook_id": "p", "patch": patch})).ok();
    let shown = server.post("/v1/memory/replay/playbooks/get", &json!({"playbook_id": "p", "version": 2})).ok();
    let shown = shown["playbook"]["steps_template"].as_array().or(shown["steps_template"].as_array()).cloned().unwrap();
    let levels: Vec<&str> = shown.iter().map(|step| step["safety_level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["needs_confirm", "needs_confirm", "needs_confirm", "manual_only", "manual_only"], "{shown:?}");
}
