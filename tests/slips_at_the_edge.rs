//! Slips that would show only later are refused where they are made, with what would be right.

use serde_json::json;

use super::support::cli::{Place, Served, finished};
use super::support::recorded::record;
use super::support::server::Server;

const RUN: &str = r#"{"run": {"run_id": "read", "goal": "read it", "inputs": {"path": "p/a"}}}
{"tool": "fs/read", "input": {"path": "p/a"}, "output": {"text": "a"}}
{"end": {"status": "success"}}
"#;

#[test]
fn an_id_that_ends_like_a_version_or_is_a_place_in_a_path_is_no_name_for_a_new_playbook() {
    let place = Place::new();
    let file = place.file("read.jsonl", RUN);
    place.ok(&["record", file.to_str().unwrap()]);
    place.file("x.wasm", "");
    for command in [&["compile", "read", "--playbook", "p@1"][..], &["upload", "x.wasm", "--playbook", "p@1"]] {
        let ran = place.run(command);
        assert_eq!(ran.code, 2, "{command:?}: {ran:#?}");
        for word in ["means version 1 of a playbook \"p\"", "leave out @1"] {
            assert!(ran.stderr.contains(word), "{word}: {ran:#?}");
        }
    }
    place.ok(&["compile", "read", "--playbook", "p@home"]);
    let server = Server::start();
    record(&server, "r", json!({}), &[("tell", json!({"text": "x"}), json!({"output": {"told": true}}))]);
    for route in ["compile_from_run", "compile_from_runs"] {
        for id in ["p@2", ".", ".."] {
            let body = json!({"run_id": "r", "run_ids": ["r"], "playbook_id": id});
            let refused = server.post(&format!("/v1/memory/replay/playbooks/{route}"), &body).refused(400, "invalid_request");
            assert_eq!(refused["issues"][0]["path"], "/playbook_id", "{refused}");
        }
    }
}

#[test]
fn what_is_known_says_its_flag_where_it_is_no_json() {
    let place = Place::new();
    place.playbook("read", RUN);
    let ran = place.run(&["match", "read it", "--context", "{bad"]);
    assert!(ran.code == 2 && ran.stderr.contains("--context"), "{ran:#?}");
}

#[test]
fn who_disables_without_the_operators_token_is_told_that_it_is_missing() {
    let place = Place::new();
    place.playbook("read", RUN);
    let served = Served::start(&place, &[]);
    let elsewhere = place.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let of = |words: &[&str]| {
        let mut command = place.command(&[words, &["--url", &served.url]].concat());
        finished(command.env("REPRISE_DATA", &elsewhere).env_remove("REPRISE_OPERATOR_TOKEN"))
    };
    let ran = of(&["playbooks", "disable", "read", "--note", "x"]);
    assert_eq!(ran.code, 9, "{ran:#?}");
    assert!(ran.stderr.contains("operator_token_missing") && ran.stderr.contains("REPRISE_OPERATOR_TOKEN"), "{ran:#?}");
    assert_eq!(of(&["playbooks", "promote", "read", "--to", "active", "--note", "x"]).code, 4, "what evidence could earn is not earned");
}

#[test]
fn a_lock_that_was_removed_while_a_server_runs_is_said_to_be_gone() {
    let place = Place::new();
    let mut served = Served::start(&place, &[]);
    std::fs::remove_file(place.path("data/LOCK")).unwrap();
    let ran = place.run(&["jobs", "list"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    for word in ["data_dir_in_use", "another process has it open", "the file LOCK", "stop that process"] {
        assert!(ran.stderr.contains(word), "{word}: {ran:#?}");
    }
    assert!(!ran.stderr.contains("WouldBlock"), "{ran:#?}");
    served.child.interrupt();
    assert_eq!(served.child.ended(), Some(0));
}

#[test]
fn a_rejected_repair_says_that_it_was_rejected_and_where() {
    let place = Place::new();
    place.playbook("read", RUN);
    let patch = place.file("patch.json", r#"{"step_patches": [{"step_id": "s1", "set": {"input": {"constant": {"path": "p/b"}}}}]}"#);
    place.ok(&["repairs", "propose", "read", "--patch", patch.to_str().unwrap(), "--by", "ann"]);
    let held = |word: &str| {
        let ran = place.run(&["playbooks", "promote", "read@2", "--to", "active", "--note", "x"]);
        assert!(ran.code == 4 && ran.stderr.contains(word), "{ran:#?}");
        let ran = place.run(&["run", "read@2", "--input", "{}"]);
        assert!(ran.code == 4 && ran.stderr.contains(word), "{ran:#?}");
    };
    held("version 2 waits for a review");
    place.ok(&["repairs", "reject", "read@2", "--by", "bob", "--note", "no"]);
    held("version 2 was rejected by a review, which is version 3");
    let shown = place.ok(&["playbooks", "versions", "read"]);
    let second = shown.lines().find(|line| line.starts_with("│ 2 ")).unwrap();
    assert!(second.contains("rejected as 3") && !second.contains("pending"), "{shown}");
}
