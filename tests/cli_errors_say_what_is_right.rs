//! A bad command says what would have been right, under the documented exit code. The tests are a table.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::support::cli::{Child, Place, Ran, finished};

const STEP: &str = r#"{"tool": "fs/read", "input": {"path": "project/a.txt"}, "output": {"text": "a"}}"#;

/// A command line, its exit code, and what stderr must say.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

/// A place with the playbook `read`, recorded runs that went otherwise, and a directory `project`.
fn prepared() -> Place {
    let place = Place::new();
    let run = |id: &str, steps: &str, status: &str| {
        format!("{{\"run\": {{\"run_id\": \"{id}\", \"goal\": \"read\"}}}}\n{steps}\n{{\"end\": {{\"status\": \"{status}\"}}}}\n")
    };
    place.playbook("read", &run("good", STEP, "success"));
    for (id, steps, status) in [("gone-wrong", STEP, "failed"), ("empty", "", "success")] {
        let path = place.file(&format!("{id}.jsonl"), &run(id, steps, status));
        place.ok(&["record", path.to_str().unwrap()]);
    }
    place.file("project/a.txt", "a");
    place
}

/// Runs each case in words and with `--json`.
fn check(place: &Place, cases: &[Case<'_>]) {
    for (arguments, code, says) in cases {
        let ran = place.run(arguments);
        assert_eq!(ran.code, *code, "{arguments:?}: {ran:#?}");
        for word in *says {
            assert!(ran.stderr.contains(word), "{arguments:?} does not say {word:?}: {ran:#?}");
        }
        assert_eq!(ran.stdout, "", "{arguments:?}: an error is nothing that a pipe should get");
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
        let error = place.run(&[&["--json"], *arguments].concat());
        assert_json_error(&error, *code);
    }
}

/// One object on stderr, nothing on stdout.
fn assert_json_error(ran: &Ran, code: i32) -> Value {
    let error: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|e| panic!("stderr is not one JSON document: {e}: {ran:#?}"));
    assert_eq!(error["exit_code"], code, "{ran:#?}");
    assert!(error["error"].as_str().is_some_and(|code| !code.is_empty()), "{ran:#?}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{ran:#?}");
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""));
    error
}

#[test]
fn a_slip_in_the_command_line_is_shown_beside_what_was_meant() {
    let place = prepared();
    check(
        &place,
        &[
            (&["recrod", "x.jsonl"], 2, &["recrod", "record"]),
            (&["jobs", "lst"], 2, &["lst", "list"]),
            (&["run", "read", "--inptu", "{}"], 2, &["--inptu", "--input"]),
            (&["jobs", "list", "--limit", "0"], 2, &["--limit", "1 to 500"]),
            (&["jobs", "list", "--status", "done"], 2, &["--status", "\"done\"", "completed"]),
            (&["jobs", "show", "seven"], 2, &["seven"]),
            (&["jobs", "list", "--cursor", "seven"], 3, &["seven", "a UUID"]),
            (&["compile", "good", "--bind", "edit"], 2, &["--bind", "LEFT=RIGHT"]),
            (&["compile", "good", "--bind", "edit=replace"], 2, &["--bind edit=replace", "such as fs/read"]),
            (&["compile", "a/b"], 2, &["a/b", "/"]),
            (&["--tenant", "a b", "runs", "list"], 2, &["tenant"]),
            (&["serve", "--listen", "7480"], 2, &["--listen"]),
            (&[], 2, &["Usage", "demo"]),
        ],
    );
}

#[test]
fn what_is_not_there_is_named_with_where_to_look() {
    let place = prepared();
    check(
        &place,
        &[
            (&["record", "no.jsonl"], 3, &["no.jsonl", "No such file"]),
            (&["inspect", "no.wasm"], 3, &["no.wasm"]),
            (&["run", "read", "--input", "@no.json"], 3, &["@no.json", "No such file"]),
            (&["runs", "show", "no"], 3, &["no", "replay_run_not_found"]),
            (&["compile", "no"], 3, &["no", "replay_run_not_found"]),
            (&["inspect", "no"], 3, &["no", "replay_playbook_not_found"]),
            (&["run", "no"], 3, &["no", "replay_playbook_not_found"]),
            (&["run", "read@7"], 3, &["7", "replay_playbook_not_found"]),
            (&["jobs", "show", "01a1f8b6-ba1a-7145-9a37-6f3852913910"], 3, &["01a1f8b6", "job_not_found", "tenant and scope"]),
            (&["jobs", "journal", "01a1f8b6-ba1a-7145-9a37-6f3852913910"], 3, &["01a1f8b6", "job_not_found"]),
            (&["jobs", "resume", "01a1f8b6-ba1a-7145-9a37-6f3852913910"], 3, &["01a1f8b6", "job_not_found"]),
            (&["--data", "nowhere", "jobs", "list"], 3, &["nowhere", "--data", "reprise record"]),
            (&["--data", "nowhere", "run", "read"], 3, &["nowhere", "--data"]),
            (&["--config", "no.toml", "jobs", "list"], 3, &["no.toml", "No such file"]),
        ],
    );
    assert!(!place.path("nowhere").exists(), "a command that reads makes no data directory");
}

#[test]
fn an_input_that_is_not_json_is_shown_with_line_and_column() {
    let place = prepared();
    place.file("input.json", "{\n  \"a\": 1,,\n}");
    check(
        &place,
        &[
            (&["run", "read", "--input", "{\"a\": }"], 2, &["--input", "line 1 column 7"]),
            (&["run", "read", "--input", "@input.json"], 2, &["line 2 column 10"]),
            (&["run", "read", "--input", ""], 2, &["--input", "line 1 column 0"]),
            (&["run", "read", "--input", r#"{"a":1,"a":2}"#], 2, &["json_duplicate_key", "\"a\""]),
            (&["run", "read", "--input", "123456789012345678901"], 2, &["json_number_not_exact"]),
        ],
    );
}

#[test]
fn a_mistake_in_a_recording_is_shown_with_its_line() {
    let place = prepared();
    let head = "{\"run\": {\"goal\": \"read\"}}\n";
    for (name, text) in [
        ("typo.jsonl", format!("{head}\n{{\"tool\": \"fs/read\", \"inptu\": 1}}\n")),
        ("cut.jsonl", format!("{head}{{\"tool\": \"fs/read\"\n")),
        ("headless.jsonl", format!("{STEP}\n")),
        ("nothing.jsonl", String::new()),
        ("status.jsonl", format!("{head}{{\"tool\": \"x\", \"status\": \"done\"}}\n")),
        ("other.jsonl", "{\"run\": {\"run_id\": \"good\", \"goal\": \"another\"}}\n".to_owned()),
        ("more.jsonl", format!("{{\"run\": {{\"run_id\": \"good\", \"goal\": \"read\"}}}}\n{STEP}\n{{\"tool\": \"x\"}}\n")),
    ] {
        place.file(name, &text);
    }
    check(
        &place,
        &[
            (&["record", "typo.jsonl"], 2, &["typo.jsonl", "line 3", "\"inptu\"", "did you mean \"input\"?"]),
            (&["record", "cut.jsonl"], 2, &["cut.jsonl", "line 2", "each line is one whole JSON object"]),
            (&["record", "headless.jsonl"], 2, &["line 1", r#"{"run": {"goal": "..."}}"#]),
            (&["record", "nothing.jsonl"], 2, &["nothing.jsonl", r#"{"run": {"goal": "..."}}"#]),
            (&["record", "status.jsonl"], 2, &["line 2", "\"done\"", "\"success\""]),
            (&["record", "other.jsonl"], 4, &["id_conflict", "good"]),
            (&["record", "more.jsonl"], 4, &["run_ended", "good"]),
        ],
    );
}

#[test]
fn a_run_that_cannot_become_a_playbook_says_why() {
    let place = prepared();
    check(
        &place,
        &[
            (&["compile", "gone-wrong"], 2, &["replay_compile_requires_successful_run", "gone-wrong"]),
            (&["compile", "empty"], 2, &["replay_compile_no_steps", "no successful step"]),
        ],
    );
}

#[test]
fn a_grant_that_cannot_be_given_is_refused_before_anything_runs() {
    let place = prepared();
    let run = |grant: &'static str| ["run", "read", "--grant", grant];
    check(
        &place,
        &[
            (&run("project"), 2, &["\"project\"", "fs:DIR"]),
            (&run("http:example.org"), 2, &["http:example.org", "fs:DIR"]),
            (&run("fs:none"), 2, &["\"none\"", "No such file"]),
            (&run("fs:project/a.txt"), 2, &["project/a.txt", "not a directory"]),
            (&run("fs:a b=project"), 2, &["\"a b\"", "A-Z a-z 0-9"]),
            (&run("fs:."), 2, &[""]),
            (&run("fs:p=."), 2, &["grant \"p\"", "data directory"]),
            (&run("fs:p=data"), 2, &["grant \"p\"", "data directory"]),
            (&run("fs:p=data/blobs"), 2, &["grant \"p\"", "data directory"]),
            (&["run", "read", "--grant", "fs:project", "--grant", "fs:project:ro"], 2, &["two grants are named \"project\""]),
            (&["serve", "--listen", "127.0.0.1:0", "--grant", "fs:p=data"], 2, &["grant \"p\"", "data directory"]),
        ],
    );
    assert_eq!(place.json(0, &["jobs", "list"])["jobs"], serde_json::json!([]), "no job was made");
}

#[test]
fn an_address_that_cannot_be_had_is_refused() {
    let place = prepared();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    check(
        &place,
        &[
            (&["serve", "--listen", "0.0.0.0:7480"], 8, &["0.0.0.0:7480", "127.0.0.1", "authentication"]),
            (&["serve", "--listen", "[::]:7480"], 8, &["127.0.0.1"]),
            (&["serve", "--listen", &taken], 6, &[&taken, "cannot_listen", "in use"]),
        ],
    );
}

#[test]
fn a_data_directory_that_is_not_ours_or_newer_or_damaged_is_left_as_it_is() {
    let place = prepared();
    place.file("newer/FORMAT", "format 99\n");
    place.file("strange/FORMAT", "hello\n");
    place.file("home/letter.txt", "dear");
    place.file("file", "");
    check(
        &place,
        &[
            (&["--data", "newer", "jobs", "list"], 6, &["newer", "format 99", "use a newer one", "data_dir_too_new"]),
            (&["--data", "strange", "jobs", "list"], 70, &["strange", "format 1", "data_corrupt"]),
            (&["--data", "home", "jobs", "list"], 2, &["home", "letter.txt", "an empty or a new directory"]),
            (&["--data", "home", "record", "read.jsonl"], 2, &["home", "letter.txt"]),
            (&["--data", "file", "jobs", "list"], 6, &["file", "store_unavailable"]),
            (&["--data", "file/below", "record", "read.jsonl"], 6, &["file/below"]),
        ],
    );
    assert_eq!(place.tree("home").len(), 1, "nothing was put beside what is not ours: {:?}", place.tree("home").keys());
}

#[test]
fn a_configuration_with_a_mistake_is_shown_with_its_line() {
    let place = prepared();
    let good = "[[grant]]\nkind = \"fs\"\npath = \"./project\"\naccess = \"ro\"\n";
    place.file("typo.toml", &good.replace("access", "acess"));
    place.file("gone.toml", &good.replace("./project", "./gone"));
    place.file("cut.toml", "[[grant]]\nkind = ");
    std::fs::create_dir(place.path("dir.toml")).unwrap();
    symlink("nothing", place.path("dangling.toml")).unwrap();
    std::fs::write(place.path("latin.toml"), b"# caf\xe9\n").unwrap();
    check(
        &place,
        &[
            (&["--config", "typo.toml", "jobs", "list"], 2, &["typo.toml:4", "acess", "`access`"]),
            (&["--config", "gone.toml", "jobs", "list"], 2, &["gone.toml:3", "gone"]),
            (&["--config", "cut.toml", "jobs", "list"], 2, &["cut.toml:2"]),
            (&["--config", "latin.toml", "jobs", "list"], 2, &["latin.toml:1", "UTF-8"]),
            (&["--config", "dir.toml", "jobs", "list"], 2, &["dir.toml", "cannot be read"]),
            (&["--config", "dangling.toml", "jobs", "list"], 3, &["dangling.toml"]),
        ],
    );
    // The one in the data directory is read unasked.
    place.file("data/reprise.toml", &good.replace("\"ro\"", "\"wo\""));
    check(&place, &[(&["jobs", "list"], 2, &["data/reprise.toml:4", "wo", "\"ro\""])]);
}

#[test]
fn a_file_that_is_no_component_is_told_apart_from_one() {
    let place = Place::new();
    place.file("garbage.wasm", "not wasm at all");
    place.file("empty.wasm", "");
    std::fs::write(place.path("core.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    std::fs::write(place.path("cut.wasm"), &wat::parse_str("(component (core module))").unwrap()[..10]).unwrap();
    std::fs::write(place.path("wants.wasm"), wat::parse_str(r#"(component (import "tool:exec/run" (func)))"#).unwrap()).unwrap();
    check(
        &place,
        &[
            (&["inspect", "garbage.wasm"], 5, &["not_a_component"]),
            (&["inspect", "empty.wasm"], 5, &["not_a_component"]),
            (&["inspect", "core.wasm"], 5, &["not_a_component", "core module"]),
            (&["inspect", "cut.wasm"], 5, &["not_a_component"]),
            (&["inspect", "wants.wasm"], 5, &["tool:exec/run"]),
        ],
    );
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let place = prepared();
    let run = ["--json", "run", "read", "--grant", "fs:project", "--follow", "--pace", "60000"];
    let mut child = Child::start(&mut place.command(&run));
    child.hear(|entry| entry["kind"] == "created");
    child.interrupt();
    let job = child.answer();
    assert!(job["status"] == "ready" || job["status"] == "running", "{job:#}");
    let job = job["job_id"].as_str().unwrap();
    assert_eq!(child.ended(), Some(7));
    assert!(place.ok(&["jobs", "show", job]).contains(&format!("reprise jobs resume {job}")));
    assert_eq!(place.json(0, &["jobs", "resume", job])["status"], "completed");
    check(&place, &[(&["jobs", "resume", job], 4, &["job_state_conflict", "completed"])]);
}

#[test]
fn help_lists_every_exit_code_with_what_it_means() {
    let place = Place::new();
    let help = place.ok(&["--help"]);
    let table = help.split("Exit codes:").nth(1).unwrap();
    let listed: BTreeSet<u8> = table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    // Each of them but 1 (a failed job: `cli_records_compiles_runs`) and 9 (`grants_on_the_command_line`) ends a command in this file.
    assert_eq!(listed, BTreeSet::from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 70]));
    assert_eq!(finished(&mut place.command(&["--version"])).stdout, format!("reprise {}\n", env!("CARGO_PKG_VERSION")));
}
