//! A loop of a real job: its turns have names of their own in the journal, and one that is killed goes on with the turn it was in.

use serde_json::{Value, json};

use crate::support::cli::{Place, finished};
use crate::support::server::Server;

/// Copies each file of a directory into another, under a name that says the number of letters in it.
fn graph() -> Value {
    json!({
        "graph_version": 1, "goal": "Copy all notes",
        "parameters": [{"name": "to", "default": "copies"}],
        "nodes": [
            {"id": "all", "kind": "tool", "tool": "fs/list", "input": {"path": "project/notes"}},
            {"id": "notes", "kind": "each", "list": {"$from": "all", "pointer": "/entries"}, "do": ["read", "copy"],
             "give": {"$item": "notes", "pointer": "/path"}},
            {"id": "read", "kind": "tool", "tool": "fs/read", "input": {"path": {"$item": "notes", "pointer": "/path"}}},
            {"id": "copy", "kind": "tool", "tool": "fs/write", "input": {
                "path": {"$text": ["project/", {"$input": "/to"}, "/", {"$item": "notes", "pointer": "/path", "rules": [{"piece": {"by": "/", "at": -1}}, {"piece": {"by": ".", "at": 0}}, "upper"]}, ".txt"]},
                "text": {"$from": "read", "pointer": "/text"}}},
        ],
        "output": {"copied": {"$from": "notes"}, "on": {"$today": true}},
    })
}

fn prepared() -> Place {
    let place = Place::new();
    for (name, text) in [("a.md", "one"), ("b.md", "two"), ("c.md", "three")] {
        place.file(&format!("tree/notes/{name}"), text);
    }
    std::fs::create_dir(place.path("tree/copies")).unwrap();
    place
}

#[test]
fn the_journal_names_each_turn_and_a_replay_gives_the_same() {
    let place = prepared();
    let server = Server::granting(&[format!("fs:project={}", place.path("tree").display())]);
    let job = server.post("/v1/jobs", &json!({"graph": graph(), "input": {}, "wait_ms": 50_000})).ok();
    assert_eq!(
        (&job["status"], &job["output"]["copied"]),
        (&json!("completed"), &json!(["project/notes/a.md", "project/notes/b.md", "project/notes/c.md"])),
        "{job}"
    );
    let today = job["created_at"].as_str().map(|at| at[..10].to_owned());
    assert_eq!(job["output"]["on"].as_str().map(str::to_owned), today, "{job}");
    let id = job["job_id"].as_str().unwrap();
    let entries = server.get(&format!("/v1/jobs/{id}/journal")).ok()["entries"].as_array().unwrap().clone();
    let steps: Vec<&str> = entries.iter().filter(|entry| entry["kind"] == "called").map(|entry| entry["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["all", "read[0]", "copy[0]", "read[1]", "copy[1]", "read[2]", "copy[2]"]);
    assert_eq!(std::fs::read_to_string(place.path("tree/copies/B.txt")).unwrap(), "two");
    // Why a turn's call was made as it was.
    let copy = entries.iter().find(|entry| entry["step"] == "copy[1]").unwrap();
    let why = server.get(&format!("/v1/jobs/{id}/why/{}", copy["seq"])).ok();
    let read = entries.iter().find(|entry| entry["step"] == "read[1]").unwrap()["seq"].as_u64().unwrap();
    let text = why["input_from"].as_array().unwrap().iter().find(|from| from["at"] == "/text").unwrap();
    assert_eq!((text["from"].as_str(), text["seq"].as_u64()), (Some("the answer of step read/text"), Some(read + 1)), "{why:#}");
    assert!(why["input_from"].to_string().contains("by rules: piece 1 from the end"), "{why:#}");
}

#[test]
fn killed_at_every_flush_a_loop_comes_to_the_same() {
    let place = prepared();
    place.file("graph.json", &graph().to_string());
    std::fs::create_dir(place.path("tmp")).unwrap();
    let arguments = ["--json", "test", "--graph", "graph.json", "--input", "{}", "--root", "project=tree", "--crash-everywhere"];
    let ran = finished(place.command(&arguments).env("TMPDIR", place.path("tmp")));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let crashes = report["crashes"].as_array().unwrap();
    // A worker, a job, three calls that change something, the end; each before and after.
    assert!(crashes.len() >= 10, "{report:#}");
    assert!(crashes.iter().all(|crash| crash["verdict"] == "same"), "{report:#}");
    assert_eq!(report["files"].as_array().unwrap().len(), 3, "{report:#}");
}
