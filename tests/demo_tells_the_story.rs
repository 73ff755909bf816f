//! `reprise demo` is the first thing that a newcomer runs: it must work on an empty machine, and show everything.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::support::cli::Place;

#[test]
fn in_json_the_job_was_killed_in_the_middle_and_every_call_stands_once() {
    let place = Place::new();
    let report = place.json(0, &["demo"]);
    assert_eq!(report["job"]["status"], "completed");
    assert!(report["killed_after_seq"].as_u64().unwrap() > 1, "{report:#}");
    assert_eq!(report["job"]["usage"]["attempts"], 2);
    assert_eq!(report["calls"], 8);
    assert_eq!(report["proof"]["calls"], 8);
    assert_eq!(report["job"]["usage"]["calls"], 8);
    let text = report["job"]["output"]["text"].as_str().unwrap();
    assert!(text.starts_with("zephyr-clocks 1.0.0, 2026-12-01, after 0.9.2\n"), "{text}");
    assert!(place.tree("").is_empty(), "nothing is left but what was asked for: {:?}", place.tree(""));
}

#[test]
fn in_words_each_part_of_the_story_is_there_in_its_order() {
    let place = Place::new();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let output = place.command(&["demo"]).env("TMPDIR", &temporary).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let mut rest = text.as_str();
    for part in [
        "1. An agent works",
        "FAILED",
        "2. The run is compiled",
        "version (string), \"1.4.0\" in the recording",
        "holds the run's input.version",
        "holds what s2 answered at /json/version",
        "left out s4",
        "Proved",
        "3. The component says what it may reach",
        "tool:fs/replace",
        "It cannot open a network connection",
        "4. It runs on the second project",
        "reprise run release",
        "SIGKILL to process",
        "5. It is resumed",
        "reprise jobs resume",
        "attempt 2 goes on from here",
        "completed",
        "exactly once",
        "This is zephyr-clocks 1.0.0.",
        "docs/RECORDING.md",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing, or not in its place:\n{text}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn with_keep_everything_it_made_can_be_looked_at() {
    let place = Place::new();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    assert!(place.command(&["--json", "demo", "--keep"]).env("TMPDIR", &temporary).output().unwrap().status.success());
    let kept = std::fs::read_dir(&temporary).unwrap().next().unwrap().unwrap().path();
    let jobs = place.json(0, &["--data", kept.join("data").to_str().unwrap(), "jobs", "list"]);
    assert_eq!(jobs["jobs"][0]["status"], "completed");
    let notes = kept.join("zephyr-clocks/releases/1.0.0.txt");
    assert!(std::fs::read_to_string(notes).unwrap().starts_with("zephyr-clocks 1.0.0"));
}

#[test]
fn the_refund_is_paid_once_though_its_worker_was_killed_while_it_was_paid() {
    let place = Place::new();
    let report = place.json(0, &["demo", "refund"]);
    assert_eq!((&report["refunds_issued"], &report["job"]["status"]), (&json!(1), &json!("completed")), "{report:#}");
    assert!(report["killed_process"].as_u64().unwrap() > 1);
    let requests = json!({"GET /orders/A-1001": 1, "GET /refunds/by-key/…": 1, "POST /refunds": 1});
    assert_eq!(report["requests"], requests, "sent once, and asked after once");
    let shown = &report["approval"]["request"];
    assert_eq!((&shown["tool"], &shown["input"]["body"]), (&json!("http/post"), &json!({"order": "A-1001", "amount": 49.9})));
    let steps: Vec<&str> = report["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["query", "ask", "refund"]);
    assert!(report["steps"][2]["after_the_kill"].as_str().unwrap().contains("it had happened"), "{report:#}");
    assert_eq!(report["job"]["origin"]["planner"]["template"], "refund order {order}");
    let evidence = &report["evidence"];
    assert_eq!((&evidence["verified"], &evidence["replay_agrees"]), (&json!(true), &json!(true)), "{evidence}");
    assert!(evidence["changed_bundle"].as_str().unwrap().contains("entry"), "{evidence}");
    assert!(place.tree("").is_empty(), "nothing is left but what was asked for: {:?}", place.tree(""));
}

#[test]
fn a_person_who_is_asked_and_says_no_keeps_the_money() {
    for (said, refunds, status) in [("n\n", 0, "failed"), ("", 0, "failed"), ("y\n", 1, "completed")] {
        let place = Place::new();
        let mut child = place.command(&["--json", "demo", "refund", "--ask"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let asked = String::from_utf8_lossy(&out.stderr);
        assert!(asked.contains("Pay the money back?") && asked.contains("49.9"), "what will be done is shown before: {asked}");
        let report: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {asked}"));
        assert_eq!((&report["refunds_issued"], &report["job"]["status"]), (&json!(refunds), &json!(status)), "{said:?}: {report:#}");
    }
}

#[test]
fn in_words_the_refund_is_told_in_its_order() {
    let text = Place::new().ok(&["demo", "refund"]);
    let mut rest = text.as_str();
    for part in [
        "1. A goal becomes a task graph",
        "decide if query/body/days is less than 31",
        "reaches tool:http/get, tool:http/post and nothing else",
        "2. The job looks, decides, and stops for a person",
        "This call will be made, and no other",
        "sha256",
        "Approved by demo",
        "SIGKILL to process",
        "4. Another process takes the job up",
        "not sent again",
        "refunds issued: 1",
        "5. The evidence",
        "Verified",
        "approved by \"demo\"",
        "it comes to the same",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing, or not in its place:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn five_runs_become_a_playbook_that_is_trusted_distrusted_and_repaired() {
    let place = Place::new();
    let report = place.json(0, &["demo", "learn"]);
    assert_eq!(report["source_runs"], json!(["billing", "search", "mail", "orders", "login"]));
    let history: Vec<&str> = report["history"].as_array().unwrap().iter().map(|version| version["made_by"].as_str().unwrap()).collect();
    assert_eq!(
        history,
        ["learned", "auto_promoted", "auto_promoted", "auto_demoted", "repaired", "reviewed", "auto_promoted"],
        "{report:#}"
    );
    let because = report["demoted_because"].as_str().unwrap();
    assert!(because.contains("s1"), "the place is named: {because}");
    let status = |when: &str| -> Vec<Value> { report["jobs"][when].as_array().unwrap().iter().map(|job| job["status"].clone()).collect() };
    assert_eq!((status("trusted"), status("failed")), (vec![json!("completed"); 3], vec![json!("failed"); 2]));
    assert_eq!(status("again"), vec![json!("completed"); 3]);
    assert!(place.tree("").is_empty(), "nothing is left but what was asked for: {:?}", place.tree(""));
}

#[test]
fn in_words_what_is_learned_is_told_in_its_order() {
    let text = Place::new().ok(&["demo", "learn"]);
    let mut rest = text.as_str();
    for part in [
        "1. Five times",
        "project/billing/service.json",
        "2. The five runs become one playbook",
        "service (string)",
        "Proved",
        "Learned from 5 runs: billing search mail orders login",
        "3. It has to earn its status",
        "version 2 is shadow",
        "completed",
        "version 3 is active",
        "4. The world changes",
        "failed at s1",
        "version 4 is draft",
        "5. An agent shows the way",
        "FAILED",
        "project/proxy/about/service.json",
        "~ s1",
        "bob approves",
        "6. The repaired version earns its status",
        "version 7 is active",
        "# proxy",
        "now 6.0.20, next 6.0.21, by proxy-team",
        "auto_demoted",
        "docs/LEARNING.md",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing, or not in its place:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}
