//! Several recorded runs of one task become one playbook over HTTP, and it does the task in a world that nobody recorded.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::server::Server;

const ROUTES: [&str; 2] = ["/v1/memory/replay/playbooks/compile_from_runs", "/v1/playbooks/compile"];

/// Records how an agent copied files: lists them, reads each, writes each under another name, writes a list.
fn record(server: &Server, run: &str, host: &str, names: &[&str]) {
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
    let entries: Vec<Value> =
        names.iter().map(|name| json!({"path": format!("project/in/{name}"), "kind": "file", "bytes": name.len() + 1})).collect();
    let mut steps = vec![("fs/list", json!({"path": "project/in"}), json!({"path": "project/in", "entries": entries}))];
    for name in names {
        let from = format!("project/in/{name}");
        let text = format!("{name}\n");
        steps.push(("fs/read", json!({"path": from}), json!({"path": from, "bytes": text.len(), "text": text})));
        let to = format!("project/out/{host}-{name}");
        steps.push(("fs/write", json!({"path": to, "text": text, "create_dirs": true}), json!({"path": to, "bytes": text.len()})));
    }
    let list: String = names.iter().map(|name| format!("{host}-{name}\n")).collect();
    let index = json!({"path": "project/INDEX", "text": list});
    steps.push(("fs/write", index, json!({"path": "project/INDEX", "bytes": list.len()})));
    replay("run/start", json!({"run_id": run, "goal": "copy the files", "inputs": {"host": host}}));
    for (at, (tool, input, output)) in steps.into_iter().enumerate() {
        let index = at + 1;
        replay("step/before", json!({"run_id": run, "step_index": index, "tool_name": tool, "tool_input": input}));
        replay("step/after", json!({"run_id": run, "step_index": index, "status": "success", "output": output}));
    }
    replay("run/end", json!({"run_id": run, "status": "success"}));
}

fn project(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    names.iter().for_each(|name| std::fs::write(dir.path().join("in").join(name), format!("{name}\n")).unwrap());
    dir
}

fn grant(dir: &Path) -> String {
    format!("fs:project={}", dir.display())
}

#[test]
fn two_runs_become_a_loop_that_does_its_work_on_other_files() {
    let tree = project(&["omega-1.txt", "psi-22.txt", "chi-3.txt", "phi-4.txt"]);
    let server = Server::granting(&[grant(tree.path())]);
    record(&server, "r1", "web-3", &["alpha-1.txt", "beta-2.txt"]);
    record(&server, "r2", "db-17", &["gamma-7.txt", "delta-8.txt", "eps-9.txt"]);
    let made = server.post(ROUTES[0], &json!({"run_ids": ["r1", "r2"], "playbook_id": "copy"})).ok();
    assert_eq!(made["source_runs"], json!(["r1", "r2"]));
    assert_eq!((&made["version"], &made["proof"]["calls"]), (&json!(1), &json!(6 + 8)));
    assert_eq!(made["input_schema"]["required"], json!(["host"]));
    let again = server.post(ROUTES[1], &json!({"run_ids": ["r1", "r2"], "playbook_id": "copy"})).ok();
    assert_eq!((&again["version"], &again["digest"]), (&made["version"], &made["digest"]), "the same runs give the same version");

    let job = server.post("/v1/jobs", &json!({"playbook_id": "copy", "input": {"host": "mail-5"}, "wait_ms": 50_000})).json();
    assert_eq!(job["status"], "completed", "{job}");
    for name in ["omega-1.txt", "psi-22.txt", "chi-3.txt", "phi-4.txt"] {
        let copy = tree.path().join("out").join(format!("mail-5-{name}"));
        assert_eq!(std::fs::read_to_string(copy).unwrap(), format!("{name}\n"));
    }
    let index = std::fs::read_to_string(tree.path().join("INDEX")).unwrap();
    assert_eq!(index, "mail-5-chi-3.txt\nmail-5-omega-1.txt\nmail-5-phi-4.txt\nmail-5-psi-22.txt\n", "in the order of the list");
}

#[test]
fn a_further_run_refines_the_playbook_and_takes_the_earlier_ones_along() {
    let server = Server::start();
    record(&server, "r1", "web-3", &["alpha-1.txt", "beta-2.txt"]);
    record(&server, "r2", "db-17", &["gamma-7.txt", "delta-8.txt", "eps-9.txt"]);
    let first = server.post(ROUTES[1], &json!({"run_ids": ["r1"], "playbook_id": "copy"})).ok();
    assert_eq!(first["source_runs"], json!(["r1"]));
    let refined = server.post(ROUTES[1], &json!({"run_ids": ["r2"], "playbook_id": "copy"})).ok();
    assert_eq!((&refined["version"], &refined["source_runs"]), (&json!(2), &json!(["r1", "r2"])));
    record(&server, "r3", "mail-2", &["zeta-4.txt"]);
    let third = server.post(ROUTES[1], &json!({"run_ids": ["r3"], "playbook_id": "copy"})).ok();
    assert_eq!((&third["version"], &third["source_runs"]), (&json!(3), &json!(["r1", "r2", "r3"])));
}

#[test]
fn one_run_by_itself_says_what_it_leaves_out_of_what_was_learned() {
    let server = Server::start();
    record(&server, "r1", "web-3", &["alpha-1.txt", "beta-2.txt"]);
    record(&server, "r2", "db-17", &["gamma-7.txt", "delta-8.txt", "eps-9.txt"]);
    record(&server, "r3", "mail-2", &["zeta-4.txt"]);
    let alone = |run: &str, playbook: &str| {
        server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": run, "playbook_id": playbook})).ok()
    };
    server.post(ROUTES[0], &json!({"run_ids": ["r1", "r2"], "playbook_id": "copy"})).ok();
    let made = alone("r3", "copy");
    assert_eq!((&made["version"], &made["source_run_id"]), (&json!(2), &json!("r3")));
    assert_eq!(made["replaces"]["source_runs"], json!(["r1", "r2"]), "{made}");
    assert!(made["replaces"]["note"].as_str().unwrap().contains("compile_from_runs"), "{made}");
    assert_eq!(alone("r3", "copy").get("replaces"), None, "it is there already");
    assert_eq!(alone("r1", "other").get("replaces"), None);
    assert_eq!(alone("r2", "other").get("replaces"), None, "one run took the place of another one");
}

#[test]
fn runs_that_contradict_each_other_are_refused_with_the_place() {
    let server = Server::start();
    for (run, text) in [("r1", "alpha"), ("r2", "something else")] {
        let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
        replay("run/start", json!({"run_id": run, "goal": "write it", "inputs": {}}));
        let input = json!({"path": "project/a.txt", "text": text});
        replay("step/before", json!({"run_id": run, "step_index": 1, "tool_name": "fs/write", "tool_input": input}));
        replay("step/after", json!({"run_id": run, "step_index": 1, "status": "success", "output": {"path": "project/a.txt"}}));
        replay("run/end", json!({"run_id": run, "status": "success"}));
    }
    for (body, code, word) in [
        (json!({"run_ids": ["r1", "r2"]}), "not_compilable", "s1 at /text"),
        (json!({"run_ids": ["r1", "gone"]}), "replay_run_not_found", "gone"),
        (json!({"run_ids": []}), "invalid_request", "run_ids"),
        (json!({"run_ids": "r1"}), "invalid_request", "run_ids"),
        (json!({}), "invalid_request", "run_ids"),
    ] {
        for route in ROUTES {
            let answer = server.post(route, &body);
            assert_eq!(answer.json()["error"], code, "{body}: {}", answer.json());
            assert!(answer.json().to_string().contains(word), "{body}: {}", answer.json());
        }
    }
}

#[test]
fn the_command_line_takes_several_runs() {
    let place = Place::new();
    for (run, version) in [("r1", "1.4.0"), ("r2", "2.0.7"), ("r3", "3.3.3")] {
        let lines = [
            json!({"run": {"run_id": run, "goal": "tag it", "inputs": {"version": version}}}),
            json!({"tool": "fs/write", "input": {"path": "project/VERSION", "text": format!("{version}\n")}, "output": {"path": "project/VERSION"}}),
            json!({"end": {"status": "success"}}),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let file = place.file(&format!("{run}.jsonl"), &text);
        place.ok(&["record", file.to_str().unwrap()]);
    }
    let text = place.ok(&["compile", "r1", "r2", "--playbook", "tag"]);
    for word in ["Learned from 2 runs: r1 r2.", "version (string)", "input.version"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let made: Value = serde_json::from_str(&place.ok(&["compile", "r1", "r2", "--playbook", "tag", "--json"])).unwrap();
    assert_eq!((&made["version"], &made["source_runs"], &made["held_out"]), (&json!(1), &json!(["r1", "r2"]), &json!([])));
    // Named twice, a run counts once.
    let text = place.ok(&["compile", "r1", "r1", "r2", "--playbook", "tag"]);
    assert!(text.contains("Learned from 2 runs: r1 r2."), "{text}");
    assert!(!place.ok(&["compile", "r1", "r1", "--playbook", "one"]).contains("Learned from"));
    // A further run by itself takes along what was learned, unless it is to stand alone.
    let text = place.ok(&["compile", "r3", "--playbook", "tag"]);
    assert!(text.contains("Playbook tag, version 2") && text.contains("Learned from 3 runs: r1 r2 r3."), "{text}");
    let text = place.ok(&["compile", "r3", "--playbook", "tag", "--alone"]);
    assert!(text.contains("version 3") && text.contains("has nothing of r1 r2 r3"), "{text}");
    let ran = place.run(&["compile", "r1", "r2", "--playbook", "tag", "--alone"]);
    assert!(ran.code == 2 && ran.stderr.contains("--alone"), "{ran:#?}");
}
