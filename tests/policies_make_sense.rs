//! A policy that could do nothing of what it says is refused wherever it is settled, with what would be right.

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::graphs::component;
use crate::support::server::Server;

/// What is refused, where, and what is said instead.
fn nonsense() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({"demote": {"window": 0}}), "/demote/window", "`auto_demote` false"),
        (json!({"demote": {"min_failures": 0}}), "/demote/min_failures", "at least 1"),
        (json!({"demote": {"min_failures": 11}}), "/demote/min_failures", "at most 10"),
        (json!({"demote": {"floor": 0}}), "/demote/floor", "a share above 0"),
        (json!({"demote": {"floor": 1.5}}), "/demote/floor", "a number from 0 to 1"),
        (json!({"demote": {"floor": -0.5}}), "/demote/floor", "a number from 0 to 1"),
        (json!({"active": {"wilson_floor": 2}}), "/active/wilson_floor", "a number from 0 to 1"),
        (json!({"canary_share": 1.1}), "/canary_share", "a number from 0 to 1"),
    ]
}

const RECORDING: &str = r#"{"run": {"run_id": "first", "goal": "read a file", "inputs": {"path": "project/a.txt"}}}
{"tool": "fs/read", "input": {"path": "project/a.txt"}, "output": {"text": "a\n"}}
{"end": {"status": "success"}}
"#;

fn upload(server: &Server) {
    let bytes = component(&json!([{"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": "project/a"}}]), &json!("x"));
    server.send("POST", "/v1/playbooks?id=p&name=p", &[("content-type", "application/wasm")], Some(bytes)).ok();
}

#[test]
fn a_policy_that_does_nothing_is_refused_over_http_for_a_space_and_for_a_playbook() {
    let server = Server::start();
    upload(&server);
    for path in ["/v1/policy", "/v1/playbooks/p/policy"] {
        for (change, place, right) in nonsense() {
            let refused = server.operator("PUT", path, Some(&change)).refused(400, "invalid_request");
            assert_eq!(refused["issues"].as_array().map(Vec::len), Some(1), "{refused}");
            assert_eq!(refused["issues"][0]["path"], place, "{refused}");
            assert!(refused["issues"][0]["message"].as_str().unwrap_or_default().contains(right), "{refused}");
        }
        let got = server.get(path).ok();
        assert_eq!((&got["settled"], &got["policy"]["demote"]["window"]), (&json!({}), &json!(10)), "nothing of it is kept");
    }
    // Both are the least that it takes, and three jobs with three inputs are two jobs and more.
    for path in ["/v1/policy", "/v1/playbooks/p/policy"] {
        let settled = server.operator("PUT", path, Some(&json!({"active": {"successes": 2, "distinct_inputs": 3}}))).ok();
        assert_eq!(settled["policy"]["active"]["successes"], 2, "{settled}");
        server.operator("PUT", path, Some(&json!({}))).ok();
    }
    // It is what comes of all that is settled above that has to make sense.
    server.operator("PUT", "/v1/policy", Some(&json!({"demote": {"window": 4}}))).ok();
    let refused = server.operator("PUT", "/v1/playbooks/p/policy", Some(&json!({"demote": {"min_failures": 5}})));
    assert!(refused.refused(400, "invalid_request")["message"].as_str().unwrap_or_default().contains("at most 4"));
    server.operator("PUT", "/v1/playbooks/p/policy", Some(&json!({"demote": {"min_failures": 4}}))).ok();
    // What was settled below goes along with what becomes of that.
    server.operator("PUT", "/v1/policy", Some(&json!({"demote": {"window": 3}}))).ok();
    assert_eq!(server.get("/v1/playbooks/p/policy").ok()["policy"]["demote"]["min_failures"], 3);
    // Switched off for the space, with numbers that mean nothing there: the playbook that says that it demotes still does.
    server.operator("PUT", "/v1/playbooks/p/policy", Some(&json!({"auto_demote": true}))).ok();
    for demote in [json!({"window": 0}), json!({"floor": 0}), json!({"min_failures": 0})] {
        server.operator("PUT", "/v1/policy", Some(&json!({"auto_demote": false, "demote": demote}))).ok();
        let policy = server.get("/v1/playbooks/p/policy").ok()["policy"].clone();
        assert_eq!((&policy["auto_demote"], &policy["demote"]["window"]), (&json!(true), &json!(10)), "{policy}");
        assert_eq!((&policy["demote"]["floor"], &policy["demote"]["min_failures"]), (&json!(0.35), &json!(3)), "{policy}");
    }
}

#[test]
fn the_command_line_and_the_configuration_refuse_it_too() {
    let place = Place::new();
    place.playbook("p", RECORDING);
    let set = |part: &str| place.run(&["playbooks", "policy", "--set", part]);
    let refused = set("demote.window=0");
    assert!(refused.code == 2 && refused.stderr.contains("`auto_demote` false switches that off"), "{refused:#?}");
    assert!(set("canary_share=3").stderr.contains("a number from 0 to 1"));
    for (text, says) in [
        ("[lifecycle.demote]\nwindow = 0\n", "demote.window is 0"),
        ("[lifecycle.demote]\nwindow = 2\n", "demote.min_failures is 3, more than the 2 jobs"),
        ("[lifecycle.demote]\nfloor = 1.01\n", "demote.floor is not a number from 0 to 1"),
    ] {
        let config = place.file("policy.toml", text);
        let refused = place.run(&["--config", config.to_str().unwrap_or_default(), "playbooks", "list"]);
        assert!(refused.code == 2 && refused.stderr.contains(says), "{text}: {refused:#?}");
    }
    let config = place.file("policy.toml", "[lifecycle.active]\nsuccesses = 2\ndistinct_inputs = 3\n");
    place.ok(&["--config", config.to_str().unwrap_or_default(), "playbooks", "list"]);
    place.ok(&["playbooks", "policy", "--set", "auto_demote=false"]);
}

#[test]
fn where_demotion_is_switched_off_a_playbook_keeps_its_status_whatever_it_does() {
    // Without a grant nothing would count: a file that is not there does.
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let server = Server::granting(&[format!("fs:project={}:ro", dir.path().display())]);
    upload(&server);
    server.operator("POST", "/v1/playbooks/p/promote", Some(&json!({"target_status": "active"}))).ok();
    let policy = |auto_demote: bool| json!({"auto_demote": auto_demote, "demote": {"window": 1, "min_failures": 1, "floor": 0.9}});
    let settle = |auto_demote| drop(server.operator("PUT", "/v1/playbooks/p/policy", Some(&policy(auto_demote))).ok());
    settle(false);
    let failed = server.post("/v1/jobs", &json!({"playbook_id": "p", "wait_ms": 50_000})).ok();
    assert_eq!(failed["status"], "failed", "{failed}");
    let status = || server.get("/v1/playbooks/p").ok()["status"].clone();
    let falls = || server.get("/v1/playbooks/p/evidence").ok()["verdict"].clone();
    assert_eq!((falls()["failures"].clone(), falls()["falls"].clone()), (json!(1), json!(null)));
    assert_eq!(status(), "active");
    settle(true);
    let begun = std::time::Instant::now();
    while status() != "draft" {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:#}", falls());
        std::thread::yield_now();
    }
}
