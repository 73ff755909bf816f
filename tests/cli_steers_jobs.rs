//! The words to jobs on the command line: in a data directory of one's own, and through a server that has it open.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use reprise::compiler::emit::emit;
use reprise::compiler::graph::Graph;
use reprise::contract::Effect;
use serde_json::{Value, json};

use crate::support::cli::{Child, Place, Served};
use crate::support::page::repository;

const NOBODY: &str = "0192f0c1-2345-7000-8000-000000000000";
const INPUT: &str = r#"{"order": "A-17", "amount": 12.5}"#;

/// The example that the pages use: a signal, an approval, a call that a worker performs.
fn example() -> (PathBuf, Vec<u8>) {
    let examples = repository().join("docs/examples");
    let graph = Graph::parse(&std::fs::read(examples.join("refund.json")).unwrap()).unwrap();
    (examples.join("refund.wasm"), emit(&graph.lower(|_| Some(Effect::Once)).unwrap()).unwrap())
}

#[test]
fn the_example_component_is_what_its_graph_compiles_to() {
    let (path, compiled) = example();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &compiled).unwrap();
    }
    assert!(std::fs::read(&path).unwrap_or_default() == compiled, "{} differs; BLESS=1 rewrites it", path.display());
}

/// Runs `reprise` with the flags of a server where there is one.
struct Person<'a> {
    place: &'a Place,
    url: Option<String>,
}

impl Person<'_> {
    fn says(&self, code: i32, words: &[&str]) -> Value {
        let mut words = words.to_vec();
        words.extend(self.url.iter().flat_map(|url| ["--url", url]));
        self.place.json(code, &words)
    }

    fn hears(&self, code: i32, words: &[&str]) -> String {
        let mut words = words.to_vec();
        words.extend(self.url.iter().flat_map(|url| ["--url", url]));
        let ran = self.place.run(&words);
        assert_eq!(ran.code, code, "{words:?}: {ran:#?}");
        ran.stdout + &ran.stderr
    }

    /// Exit codes of words after which the job still waits: here it was stayed with, there it was told.
    fn told(&self) -> i32 {
        if self.url.is_some() { 0 } else { 7 }
    }
}

fn place() -> Place {
    let place = Place::new();
    let component = place.path("refund.wasm");
    std::fs::write(&component, example().1).unwrap();
    place.json(0, &["upload", component.to_str().unwrap(), "--playbook", "refund"]);
    place
}

fn started(place: &Place) -> String {
    place.json(7, &["run", "refund", "--input", INPUT])["job_id"].as_str().unwrap().to_owned()
}

/// The whole story; `settle` waits until the job stands again.
fn story(person: &Person<'_>, job: &str, settle: &dyn Fn(&str)) {
    let told = person.told();
    let waits = person.hears(0, &["jobs", "show", job]);
    assert!(waits.contains(&format!("reprise jobs signal {job} goods-back --payload JSON")), "{waits}");
    person.says(told, &["jobs", "signal", job, "goods-back", "--payload", r#"{"box": 3}"#, "--signal-id", "s-1"]);
    settle("approval");
    let listed = person.says(0, &["approvals", "list"]);
    let approval = listed["approvals"][0]["approval_id"].as_str().unwrap().to_owned();
    let shown = person.says(0, &["approvals", "show", &approval]);
    assert_eq!(shown["request"], json!({"tool": "agent/refund", "input": {"order": "A-17", "amount": 12.5}}));
    let wrong = "0".repeat(64);
    person.hears(4, &["approvals", "approve", &approval, "--digest", &wrong]);
    let said = person.hears(told, &["approvals", "approve", &approval, "--comment", "fine", "--by", "ada"]);
    assert!(said.contains("This will be done") && said.contains(r#""order": "A-17""#), "{said}");
    settle("external_call");
    let digest = shown["digest"].as_str().unwrap();
    person.hears(told, &["approvals", "approve", &approval, "--digest", digest]);
    person.hears(4, &["approvals", "reject", &approval, "--digest", digest]);
    person.hears(3, &["approvals", "reject", &approval]);
    assert_eq!(person.says(0, &["calls", "list", "--tool", "agent/refund"])["calls"][0]["tool"], "agent/refund");
    let claimed = person.says(0, &["calls", "claim", "agent/refund", "--lease", "10m", "--by", "bo"]);
    let (call, token) = (claimed["call"]["call_id"].as_str().unwrap(), claimed["call"]["token"].as_str().unwrap());
    assert_eq!((&claimed["call"]["lease_ms"], &claimed["call"]["claimed_by"]), (&json!(600_000), &json!("bo")));
    assert_eq!(person.says(3, &["calls", "claim", "agent/refund"])["call"], Value::Null);
    person.hears(4, &["calls", "extend", call, "--token", "x"]);
    assert_eq!(person.says(0, &["calls", "extend", call, "--token", token])["lease_ms"], 600_000);
    person.says(0, &["calls", "complete", call, "--token", token, "--output", r#"{"refund": "R-1"}"#]);
    settle("");
    let done = person.says(0, &["jobs", "show", job]);
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({"goods": {"box": 3}, "refund": {"refund": "R-1"}})));
    person.hears(4, &["calls", "complete", call, "--token", token, "--output", "1"]);
    person.hears(4, &["jobs", "cancel", job]);
    for words in [vec!["jobs", "pause", NOBODY], vec!["jobs", "retry", NOBODY], vec!["jobs", "resume", NOBODY]] {
        person.hears(3, &words);
    }
}

#[test]
fn a_person_and_a_worker_bring_a_job_to_its_end_in_their_own_directory() {
    let place = place();
    let job = started(&place);
    story(&Person { place: &place, url: None }, &job, &|_| {});
}

#[test]
fn the_same_words_go_to_the_server_that_has_the_directory() {
    let place = place();
    let served = Served::start(&place, &[]);
    let request = json!({"playbook_id": "refund", "input": {"order": "A-17", "amount": 12.5}, "idempotency_key": "k", "wait_ms": 50_000});
    let (_, started) = served.post("/v1/jobs", &request).unwrap();
    let job = started["job_id"].as_str().unwrap();
    let refused = place.run(&["jobs", "signal", job, "goods-back"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains(&format!("where a server has it, add: --url {}", served.url)), "{}", refused.stderr);
    // The same request again waits until the job stands.
    let settle = |kind: &str| {
        let (_, stood) = served.post("/v1/jobs", &request).unwrap();
        assert_eq!(stood["waiting_on"]["kind"].as_str().unwrap_or_default(), kind, "{stood}");
    };
    story(&Person { place: &place, url: Some(served.url.clone()) }, job, &settle);
    for wrong in ["nowhere", "ftp://127.0.0.1"] {
        assert_eq!(place.run(&["jobs", "cancel", job, "--url", wrong]).code, 2, "{wrong}");
    }
    assert_eq!(place.run(&["jobs", "cancel", job, "--url", "http://127.0.0.1:9"]).code, 6);
}

#[test]
fn a_job_is_paused_resumed_and_cancelled() {
    let place = place();
    let job = started(&place);
    let paused = place.json(0, &["jobs", "pause", &job, "--reason", "monday", "--by", "ada"]);
    assert_eq!((&paused["status"], &paused["paused"]), (&json!("paused"), &json!({"by": "ada", "reason": "monday"})));
    assert_eq!(place.json(7, &["jobs", "signal", &job, "goods-back"])["status"], "paused");
    assert_eq!(place.json(7, &["jobs", "resume", &job])["waiting_on"]["kind"], "approval");
    assert_eq!(place.json(0, &["jobs", "cancel", &job])["status"], "cancelled");
    assert_eq!(place.run(&["jobs", "resume", &job]).code, 4);
}

#[test]
fn the_flags_of_a_job_are_its_options() {
    let place = place();
    let run = |flags: &[&str]| place.run(&[&["--json", "run", "refund", "--input", INPUT], flags].concat());
    let flags =
        ["--options", r#"{"priority": 1, "budget": {"calls": 2, "bytes": 9}}"#, "--priority", "7", "--tries", "3", "--job-tries", "2"];
    let more = [
        "--call-timeout",
        "30s",
        "--step-timeout",
        "2m",
        "--timeout",
        "1h",
        "--confirm",
        "warn",
        "--budget-calls",
        "5",
        "--budget-time",
        "1d",
    ];
    let ran = run(&[&flags[..], &more[..], &["--budget-fuel", "1000000"]].concat());
    let job: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let expected = json!({
        "priority": 7, "tries": 3, "job_tries": 2, "call_timeout_ms": 30_000, "step_timeout_ms": 120_000, "timeout_ms": 3_600_000,
        "confirm": "warn", "budget": {"calls": 5, "bytes": 9, "wall_ms": 86_400_000, "fuel": 1_000_000},
    });
    assert_eq!(job["options"], expected);
    for (flags, word) in [
        (["--tries", "0"], "/tries"),
        (["--priority", "10"], "/priority"),
        (["--timeout", "30"], "not a time with its unit"),
        (["--confirm", "maybe"], "expected one of `off`"),
        (["--options", "{\"trys\": 1}"], "/trys"),
        (["--budget-calls", "0"], "/budget/calls"),
    ] {
        let ran = run(&flags);
        assert!(ran.code == 2 && ran.stderr.contains(word), "{flags:?}: {ran:?}");
    }
}

#[test]
fn a_call_of_which_nobody_knows_is_shown_with_the_words_that_settle_it() {
    let place = Place::new();
    let pay = json!([{"id": "pay", "kind": "tool", "tool": "agent/pay", "input": {}, "timeout_ms": 700}]);
    let component = crate::support::graphs::component(&pay, &json!({"$from": "pay"}));
    std::fs::write(place.path("pay.wasm"), component).unwrap();
    place.json(0, &["upload", place.path("pay.wasm").to_str().unwrap(), "--playbook", "pay"]);
    // A server watches the clock; a person alone does not.
    let served = Served::start(&place, &[]);
    let job = served.post("/v1/jobs", &json!({"playbook_id": "pay"})).unwrap().1["job_id"].as_str().unwrap().to_owned();
    let mut watching = Child::start(&mut place.command(&["--json", "jobs", "watch", &job, "--url", &served.url]));
    while watching.answer()["kind"] != "waiting" {}
    // Somebody takes it, and says nothing more.
    let taken = served.post("/v1/calls/claim", &json!({"tools": ["agent/pay"]})).unwrap().1;
    assert_eq!(taken["call"]["job_id"], job.as_str(), "{taken}");
    while watching.answer()["kind"] != "uncertain" {}
    drop((watching, served));
    let shown = place.ok(&["jobs", "show", &job]);
    assert!(shown.contains(&format!("reprise jobs resolve {job} ")) && shown.contains("--happened OUTPUT"), "{shown}");
    let seq = place.json(0, &["jobs", "show", &job])["uncertain"]["seq"].to_string();
    assert_eq!(place.run(&["jobs", "resolve", &job, &seq]).code, 2);
    assert_eq!(place.run(&["jobs", "resolve", &job, &seq, "--retry", "--fail", "x"]).code, 2);
    assert_eq!(place.run(&["jobs", "resolve", &job, "999", "--retry"]).code, 4);
    let done = place.json(0, &["jobs", "resolve", &job, &seq, "--happened", "12", "--note", "seen in the bank"]);
    assert_eq!(done["output"], 12);
}

/// A playbook of these nodes in a place of its own.
fn place_with(nodes: &Value, output: &Value) -> Place {
    let place = Place::new();
    std::fs::write(place.path("it.wasm"), crate::support::graphs::component(nodes, output)).unwrap();
    place.json(0, &["upload", place.path("it.wasm").to_str().unwrap(), "--playbook", "it"]);
    place
}

#[test]
fn a_job_whose_branches_wait_for_people_is_left_with_the_words_that_show_them() {
    let branches = json!([["left"], ["right"]]);
    let nodes = json!([
        {"id": "both", "kind": "parallel", "branches": branches},
        {"id": "left", "kind": "wait", "signal": "left"},
        {"id": "right", "kind": "wait", "signal": "right"},
    ]);
    let place = place_with(&nodes, &json!([{"$from": "left"}, {"$from": "right"}]));
    let ran = place.run(&["run", "it"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let job = place.json(0, &["jobs", "list"])["jobs"].as_array().unwrap().last().unwrap()["job_id"].as_str().unwrap().to_owned();
    let shown = place.json(0, &["jobs", "show", &job]);
    let child = |n: usize| shown["children"][n]["job_id"].as_str().unwrap().to_owned();
    assert!(ran.stdout.contains(&format!("reprise jobs show {}", child(0))), "{}", ran.stdout);
    place.json(0, &["jobs", "signal", &child(0), "left", "--payload", "1"]);
    place.run(&["jobs", "resume", &job]);
    place.json(0, &["jobs", "signal", &child(1), "right", "--payload", "2"]);
    place.run(&["jobs", "resume", &job]);
    let done = place.json(0, &["jobs", "show", &job]);
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!([1, 2])), "{done}");
}

#[test]
fn a_sleep_that_was_interrupted_is_slept_to_its_end_by_whoever_resumes() {
    let place = place_with(&json!([{"id": "nap", "kind": "wait", "sleep_ms": 1_500}]), &json!("rested"));
    let mut napping = Child::start(&mut place.command(&["--json", "run", "it", "--follow"]));
    let job = napping.hear(|entry| entry["job_id"].is_string())["job_id"].as_str().unwrap().to_owned();
    napping.hear(|entry| entry["kind"] == "waiting");
    napping.kill();
    let done = place.json(0, &["jobs", "resume", &job]);
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!("rested")));
}
