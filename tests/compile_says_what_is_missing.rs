//! Whoever compiles is told what the recording had that a job will not have: secrets, and conditions that nobody can judge.

use serde_json::{Value, json};

use super::support::cli::Place;
use super::support::recorded::record;
use super::support::server::Server;

const SECRET: &str = "sk-canary-0123456789-abcdef";

/// A run whose last step writes a key into a file, and whose first sends it.
fn recording(id: &str) -> String {
    let lines = [
        json!({"run": {"run_id": id, "goal": "write the configuration"}}),
        json!({"tool": "http/get", "input": {"url": "https://api.example/me", "headers": {"authorization": format!("Bearer {SECRET}")}}, "output": {"status": 200}}),
        json!({"tool": "fs/write", "input": {"path": "project/.env", "text": format!("API_KEY={SECRET}")}, "output": {"path": "project/.env", "bytes": 40}}),
        json!({"tool": "fs/list", "input": {"path": "project"}, "output": {"path": "project", "entries": []},
            "preconditions": [{"kind": "file_exsts", "path": "project/.env"}, {"kind": "file_exists", "path": "project/.env"}]}),
        json!({"end": {"status": "success"}}),
    ];
    lines.map(|line| line.to_string()).join("\n")
}

#[test]
fn the_secrets_that_a_playbook_needs_are_named_with_their_places_and_what_is_written_as_text_is_said() {
    let place = Place::new();
    let file = place.file("run.jsonl", &recording("keys"));
    place.ok(&["record", file.to_str().unwrap()]);
    let told = place.ok(&["compile", "keys", "--playbook", "keys"]);
    for words in [
        "s1 needs the secret authorization at /headers/authorization of what http/get is given",
        "reprise secrets set authorization",
        "WARNING: s2 needs the secret authorization at /text of what fs/write is given, and nothing puts it in there",
        "is given the text {{secret:authorization}} as it stands",
    ] {
        assert!(told.contains(words), "{words:?} is not in: {told}");
    }
    let made = place.json(0, &["compile", "keys", "--playbook", "keys"]);
    let uses: Vec<(&Value, &Value, &Value)> =
        made["secrets"].as_array().unwrap().iter().map(|one| (&one["step"], &one["at"], &one["filled_in"])).collect();
    assert_eq!(
        uses,
        [(&json!("s1"), &json!("/headers/authorization"), &json!("by_host")), (&json!("s2"), &json!("/text"), &json!("never"))]
    );
    // What was recorded is shown without it, in words and as JSON, and is kept as it was.
    for shown in [place.ok(&["runs", "show", "keys"]), place.json(0, &["runs", "show", "keys"]).to_string()] {
        // The table breaks lines where it likes.
        assert!(shown.contains("{{secret:") && !shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_recorded_condition_that_nobody_understands_is_said_by_every_compilation() {
    let place = Place::new();
    for id in ["one", "two"] {
        let file = place.file("run.jsonl", &recording(id));
        place.ok(&["record", file.to_str().unwrap()]);
    }
    for runs in [&["one"][..], &["one", "two"]] {
        let told = place.ok(&[&["compile"], runs, &["--playbook", "p"]].concat());
        for words in ["is not understood (there is no condition of the kind \"file_exsts\", did you mean file_exists", "fails a strict one"]
        {
            assert!(told.contains(words), "{words:?} is not in: {told}");
        }
    }
    let made = place.json(0, &["compile", "one", "two", "--playbook", "p"]);
    let unknown = made["summary"]["not_understood"].as_array().unwrap();
    assert_eq!((unknown.len(), &unknown[0]["step"]), (1, &json!("s3")), "{made}");
    assert_eq!((&made["open_questions"][0]["step"], &made["open_questions"][0]["at"]), (&json!("s3"), &json!("/checks")), "{made}");
    let server = Server::start();
    let odd = json!({"preconditions": [{"kind": "moon_is_full"}], "output": {"told": true}});
    record(&server, "odd", json!({}), &[("tell", json!({"password": "correct-horse-7"}), odd)]);
    let made = server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "odd"})).ok();
    assert_eq!(made["compile_summary"]["not_understood"][0]["recorded"], json!({"kind": "moon_is_full"}), "{made}");
    let expected = json!([{"secret": "password", "step": "s1", "tool": "agent/tell", "at": "/password", "filled_in": "never"}]);
    assert_eq!(made["secrets"], expected, "{made}");
}
