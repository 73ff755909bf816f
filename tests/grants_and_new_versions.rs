//! A new version of a playbook that asks for more than the one that runs waits for an operator; any other runs at once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::cli::{Place, Served, finished};
use crate::support::graphs::component;
use crate::support::server::{Answer, Server};

/// A component that calls these tools and comes to its `mark`.
fn calling(tools: &[&str], mark: &str) -> Vec<u8> {
    let input = |tool: &str| match tool {
        "fs/write" => json!({"path": "project/x", "text": mark}),
        _ => json!({"path": "project"}),
    };
    // On failure it goes on, so that a job comes to its end without any grant.
    let node = |(at, tool): (usize, &&str)| json!({"id": format!("n{at}"), "kind": "tool", "tool": tool, "input": input(tool), "on_failure": "continue"});
    let nodes: Vec<Value> = tools.iter().enumerate().map(node).collect();
    component(&json!(nodes), &json!(mark))
}

fn upload(server: &Server, bytes: Vec<u8>) -> Answer {
    server.send("POST", "/v1/playbooks?id=p&name=p", &[("content-type", "application/wasm")], Some(bytes))
}

/// Number, standing and difference of what was uploaded.
fn standing(answer: &Answer) -> (u64, String, u64, Value) {
    let shown = answer.ok();
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    (shown["version"].as_u64().unwrap(), text("activation"), shown["active_version"].as_u64().unwrap(), shown["permission_diff"].clone())
}

fn diff(added: &[&str], removed: &[&str]) -> Value {
    json!({"added": added, "removed": removed})
}

/// The version that runs where none is named, and what it came to.
fn runs(server: &Server) -> (u64, Value) {
    let job = server.post("/v1/jobs", &json!({"playbook_id": "p", "wait_ms": 50_000})).ok();
    (job["version"].as_u64().unwrap(), job["output"].clone())
}

#[test]
fn a_version_that_asks_for_more_waits_and_one_that_does_not_runs_at_once() {
    let server = Server::start();
    let look = || calling(&["fs/list"], "first");
    let first = upload(&server, look());
    assert_eq!((first.status, standing(&first)), (201, (1, "active".to_owned(), 1, diff(&[], &[]))));
    assert_eq!(first.json()["asks"], json!([{"ask": "tool:fs/list", "words": "list directories (fs/list)"}]));
    assert_eq!(standing(&upload(&server, calling(&["fs/list"], "second"))), (2, "active".to_owned(), 2, diff(&[], &[])));

    let wider = upload(&server, calling(&["fs/list", "fs/write"], "third"));
    assert_eq!(
        (wider.status, standing(&wider)),
        (201, (3, "needs_approval".to_owned(), 2, diff(&["create files, and replace the whole content of files (fs/write)"], &[])))
    );
    assert_eq!(runs(&server), (2, json!("second")));
    // Other tools are more, however few they are.
    let other = upload(&server, calling(&["fs/read"], "fourth"));
    assert_eq!(standing(&other), (4, "needs_approval".to_owned(), 2, diff(&["read files (fs/read)"], &["list directories (fs/list)"])));
    assert_eq!(server.get("/v1/playbooks/p").ok()["version"], 2);
    let list = server.get("/v1/playbooks").ok();
    assert_eq!((&list["playbooks"][0]["latest_version"], &list["playbooks"][0]["active_version"]), (&json!(4), &json!(2)));
    assert_eq!(standing(&server.get("/v1/playbooks/p/versions/3")), standing(&wider));
    // Who names it runs it: that is no upgrade behind anybody's back.
    let named = server.post("/v1/jobs", &json!({"playbook_id": "p", "version": 3, "wait_ms": 50_000})).ok();
    assert_eq!((&named["version"], &named["output"]), (&json!(3), &json!("third")));

    let path = "/v1/playbooks/p/versions/3/activate";
    server.post(path, &json!({})).refused(401, "operator_token_missing");
    assert_eq!(runs(&server).0, 2);
    // A change of status is a version: who said so, and why, stands in the history for ever.
    let said = json!({"actor": "ann", "note": "it has to write from now on"});
    let activated = server.operator("POST", path, Some(&said));
    assert_eq!(standing(&activated), (5, "active".to_owned(), 5, diff(&[], &[])));
    assert_eq!(runs(&server), (5, json!("third")));
    let told = server.get("/v1/playbooks/p/history").ok()["changes"][0].clone();
    assert_eq!(
        (&told["version"], &told["kind"], &told["from_version"], &told["status"]),
        (&json!(5), &json!("promoted"), &json!(3), &json!("active")),
        "{told}"
    );
    assert_eq!((&told["by"], &told["note"], &told["by_operator"]), (&said["actor"], &said["note"], &json!(true)), "{told}");
    assert!(!told["overrode"].as_array().unwrap().is_empty(), "{told}");
    assert_eq!(standing(&server.operator("POST", path, Some(&json!({})))).0, 5, "what is so is not made so anew");
    // It is held against the one that runs by now, which an operator made active: no draft takes its place.
    let narrower = upload(&server, calling(&["fs/write"], "fifth"));
    assert_eq!(standing(&narrower), (6, "inactive".to_owned(), 5, diff(&[], &["list directories (fs/list)"])));
    let again = upload(&server, look());
    assert_eq!((again.status, standing(&again).1), (200, "inactive".to_owned()), "a repeat activates nothing");
    assert_eq!(runs(&server).0, 5);
    // An older one, without a word about it.
    assert_eq!(standing(&server.operator("POST", "/v1/playbooks/p/versions/1/activate", Some(&json!({})))).0, 7);
    assert_eq!(runs(&server), (7, json!("first")));
    assert_eq!(server.get("/v1/playbooks/p/history").ok()["changes"][0]["note"], "version 1 was activated");

    server.operator("POST", "/v1/playbooks/p/versions/9/activate", Some(&json!({}))).refused(404, "replay_playbook_not_found");
    server.operator("POST", "/v1/playbooks/q/versions/1/activate", Some(&json!({}))).refused(404, "replay_playbook_not_found");
    let odd = server.operator("POST", path, Some(&json!({"force": true}))).refused(400, "invalid_request");
    assert!(odd["message"].as_str().unwrap().contains("force"), "{odd}");
}

#[test]
fn what_was_activated_stays_over_a_restart_and_a_child_runs_the_active_version() {
    let mut server = Server::start();
    upload(&server, calling(&["fs/read"], "first")).ok();
    upload(&server, calling(&["fs/read", "fs/list"], "second")).ok();
    server.restart();
    assert_eq!(runs(&server), (1, json!("first")));
    let start = json!([{"id": "child", "kind": "playbook", "playbook": "p", "input": {}}]);
    let parent = component(&start, &json!({"$from": "child"}));
    let wasm = [("content-type", "application/wasm")];
    let parent = server.send("POST", "/v1/playbooks?id=parent", &wasm, Some(parent)).ok();
    assert_eq!(parent["asks"], json!([{"ask": "playbooks", "words": "start other playbooks as jobs"}]));
    let run = || server.post("/v1/jobs", &json!({"playbook_id": "parent", "wait_ms": 50_000})).ok()["output"].clone();
    assert_eq!(run(), "first");
    server.operator("POST", "/v1/playbooks/p/versions/2/activate", Some(&json!({}))).ok();
    assert_eq!(run(), "second");
    // To start other playbooks is more, too.
    upload(&server, calling(&["fs/read"], "third")).ok();
    let starting = upload(&server, component(&start, &json!("fourth")));
    assert_eq!(
        standing(&starting),
        (
            5,
            "needs_approval".to_owned(),
            3,
            diff(&["start other playbooks as jobs"], &["list directories (fs/list)", "read files (fs/read)"])
        )
    );
}

const NARROW: &str = r##"{"run": {"run_id": "narrow", "goal": "note", "inputs": {"date": "2026-12-01"}}}
{"tool": "fs/replace", "input": {"path": "project/notes.md", "old": "# Notes\n", "new": "# Notes\n- 2026-12-01\n"}, "output": {"replaced": 1}}
{"end": {"status": "success"}}
"##;

const WIDE: &str = r##"{"run": {"run_id": "wide", "goal": "note", "inputs": {"date": "2026-12-01"}}}
{"tool": "fs/read", "input": {"path": "project/notes.md"}, "output": {"text": "# Notes\n"}}
{"tool": "fs/replace", "input": {"path": "project/notes.md", "old": "# Notes\n", "new": "# Notes\n- 2026-12-01\n"}, "output": {"replaced": 1}}
{"end": {"status": "success"}}
"##;

#[test]
fn the_command_line_shows_the_difference_and_an_operator_activates() {
    let place = Place::new();
    place.playbook("note", NARROW);
    let wide = place.file("wide.jsonl", WIDE);
    place.ok(&["record", wide.to_str().unwrap()]);
    let made = place.json(0, &["compile", "wide", "--playbook", "note"]);
    assert_eq!((&made["version"], &made["activation"], &made["active_version"]), (&json!(2), &json!("needs_approval"), &json!(1)));
    assert_eq!(made["permission_diff"], diff(&["read files (fs/read)"], &[]));
    let says = "NOT ACTIVE: it asks for more than version 1, which goes on running where no version is named.\n  + read files (fs/read)\n";
    let compiled = place.ok(&["compile", "wide", "--playbook", "note"]);
    assert!(compiled.contains(says) && compiled.contains("reprise playbooks activate note@2"), "{compiled}");
    let inspected = place.ok(&["inspect", "note@2"]);
    assert!(inspected.starts_with("Playbook note, version 2\n") && inspected.contains(says), "{inspected}");
    let shown = place.json(0, &["inspect", "note@2"]);
    assert_eq!(
        (&shown["version"], &shown["activation"], &shown["permission_diff"]),
        (&json!(2), &json!("needs_approval"), &made["permission_diff"])
    );
    assert_eq!(place.json(0, &["inspect", "note"])["version"], 1);
    let listed = &place.json(0, &["playbooks", "list"])["playbooks"][0];
    assert_eq!((&listed["latest_version"], &listed["active_version"]), (&json!(2), &json!(1)));

    let unnamed = place.run(&["playbooks", "activate", "note"]);
    assert!(unnamed.code == 2 && unnamed.stderr.contains("names no version; write note@2"), "{unnamed:#?}");
    assert_eq!(place.run(&["playbooks", "activate", "note@9"]).code, 3);
    let now = place.json(0, &["playbooks", "activate", "note@2"]);
    assert_eq!((&now["activation"], &now["active_version"]), (&json!("active"), &json!(3)));
    let inspected = place.ok(&["inspect", "note@1"]);
    let says = "It is not active: where no version is named, version 3 runs.\n  - read files (fs/read)\n";
    assert!(inspected.contains(says), "{inspected}");

    // At a server the token is shown, which the command finds by itself.
    let served = Served::start(&place, &[]);
    let back = ["playbooks", "activate", "note@1", "--by", "ann", "--note", "it reads too much", "--url", &served.url];
    let elsewhere = finished(place.command(&back).env("REPRISE_DATA", place.path("elsewhere")));
    assert!(elsewhere.code == 9 && elsewhere.stderr.contains("operator.token"), "{elsewhere:#?}");
    assert_eq!(
        place.ok(&back),
        "Version 1 of playbook note is active: it runs where no version is named, as version 4. It asks to:\n  replace text inside files (fs/replace)\n"
    );
    let runs = served.get("/v1/playbooks/note/history").1["changes"][0].clone();
    assert_eq!((&runs["version"], &runs["by"], &runs["note"]), (&json!(4), &json!("ann"), &json!("it reads too much")));
    assert_eq!(served.get("/v1/playbooks/note").1["version"], 4);
}
