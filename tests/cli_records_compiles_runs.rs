//! The way from a recording to a finished job, by hand: record, compile, inspect, run, look.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::cli::{Place, assert_chained, assert_golden, calls};

const RECORDING: &str = include_str!("../playbooks/release/recording.jsonl");
const INPUT: &str = r#"{"version":"2.0.0","date":"2027-01-31"}"#;

/// A project at `version` in `directory`.
fn project(place: &Place, directory: &str, name: &str, version: &str) {
    for (file, text) in files(name, version) {
        place.file(&format!("{directory}/{file}"), &text);
    }
}

fn files(name: &str, version: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("package.json".to_owned(), format!("{{\n  \"name\": \"{name}\",\n  \"version\": \"{version}\"\n}}\n")),
        ("Cargo.toml".to_owned(), format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n")),
        ("README.md".to_owned(), format!("# {name}\n\nThis is {name} {version}.\n")),
        ("CHANGELOG.md".to_owned(), format!("# Changelog\n\n## {version}\n\nEarlier changes.\n")),
    ])
}

/// The project as exactly one release leaves it.
fn released(name: &str, old: &str, new: &str, date: &str) -> BTreeMap<String, String> {
    let mut files = files(name, new);
    let log = format!("# Changelog\n\n## {new} - {date}\n\nAll changes since {old}.\n\n## {old}\n\nEarlier changes.\n");
    files.insert("CHANGELOG.md".to_owned(), log);
    let notes = format!("{name} {new}, {date}, after {old}\nchanged: package.json, Cargo.toml, README.md, CHANGELOG.md\n");
    files.insert(format!("releases/{new}.txt"), notes);
    files
}

/// A place with the release playbook, and the projects `mine` at 1.9.0 and `acme` as it was recorded.
fn prepared() -> Place {
    let place = Place::new();
    place.playbook("release", RECORDING);
    project(&place, "mine", "mine", "1.9.0");
    project(&place, "acme", "acme-widgets", "1.3.0");
    place
}

#[test]
fn a_recording_becomes_a_playbook_that_releases_another_project() {
    let place = prepared();
    let ran = place.json(0, &["run", "release", "--input", INPUT, "--grant", "fs:project=mine"]);
    assert_eq!(ran["status"], "completed");
    assert_eq!(place.tree("mine"), released("mine", "1.9.0", "2.0.0", "2027-01-31"));
    assert_eq!(place.tree("acme"), files("acme-widgets", "1.3.0"), "nothing else was touched");
    assert_eq!(ran["output"]["path"], "project/releases/2.0.0.txt");

    let job = ran["job_id"].as_str().unwrap();
    assert_eq!(place.json(0, &["jobs", "show", job]), ran, "what was shown is what is kept");
    let list = place.json(0, &["jobs", "list"]);
    assert_eq!((list["jobs"].as_array().unwrap().len(), &list["jobs"][0]["job_id"]), (1, &json!(job)));
    assert_eq!(place.json(0, &["jobs", "list", "--status", "failed"])["jobs"], json!([]));
    let journal = place.journal(job);
    assert_chained(&journal);
    assert_eq!(calls(&journal).len(), 8);
    let later = place.json(0, &["jobs", "journal", job, "--after", "17"]);
    assert_eq!(later["entries"].as_array().unwrap().as_slice(), &journal[17..]);
    assert!(place.ok(&["jobs", "journal", job]).contains("completed"));
    assert!(place.ok(&["jobs", "show", job]).contains("8 tool calls"));
}

/// So that the recording is one, and not something that was made up beside the tools.
#[test]
fn the_tools_give_what_the_recording_says_they_gave() {
    let place = prepared();
    let input = r#"{"version":"1.4.0","date":"2026-11-20"}"#;
    let ran = place.json(0, &["run", "release", "--input", input, "--grant", "fs:project=acme"]);
    let journal = place.journal(ran["job_id"].as_str().unwrap());
    let of = |kind: &str, field: &str| -> Vec<Value> {
        journal.iter().filter(|entry| entry["kind"] == kind).map(|entry| entry[field].clone()).collect()
    };
    let lines: Vec<Value> = RECORDING.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let recorded =
        |field: &str| -> Vec<Value> { lines.iter().filter(|line| line.get("output").is_some()).map(|line| line[field].clone()).collect() };
    assert_eq!(of("called", "input"), recorded("input"));
    assert_eq!(of("returned", "output"), recorded("output"));
    assert_eq!(lines.iter().filter(|line| line.get("tool").is_some()).count(), 9, "one attempt failed");
}

#[test]
fn every_command_shows_the_same_in_words_and_in_json() {
    let place = prepared();
    let run = place.json(0, &["runs", "show", "release-acme-widgets"]);
    assert_eq!(run["steps"].as_array().unwrap().len(), 9);
    assert_eq!(run["run"]["inputs"]["version"], "1.4.0");
    assert_eq!(place.json(0, &["runs", "list"])["runs"][0]["run_id"], "release-acme-widgets");
    let listed = |more: &[&str]| place.json(0, &[&["runs", "list"][..], more].concat())["runs"].as_array().unwrap().len();
    assert_eq!([listed(&["--status", "success"]), listed(&["--status", "in_progress"])], [1, 0]);
    assert_eq!([listed(&["--tool", "fs/replace"]), listed(&["--tool", "fs/remove-all"])], [1, 0]);
    assert_eq!(place.json(0, &["playbooks", "list"])["playbooks"][0]["playbook_id"], "release");
    assert_eq!(place.json(0, &["tools", "list"])["tools"].as_array().unwrap().len(), reprise::tools::Registry::builtin().list().len());
    for (command, says) in [
        (&["runs", "list"][..], &["release-acme-widgets", "success", "Prepare a release"][..]),
        (&["runs", "show", "release-acme-widgets"], &["fs/replace", "failed", "not-found"]),
        (&["playbooks", "list"], &["release", "Prepare a release"]),
        (&["tools", "list"], &["fs/replace", "once", "fs/remove", "idempotent"]),
        (&["compile", "release-acme-widgets"], &["Playbook", "input.version", "left out s4", "Proved", "Next: reprise inspect"]),
    ] {
        let text = place.ok(command);
        for word in says {
            assert!(text.contains(word), "{command:?} does not say {word:?}:\n{text}");
        }
    }
}

#[test]
fn a_reviewer_reads_in_the_inspection_what_the_component_may_reach_and_does() {
    let place = prepared();
    assert_golden("inspect-release.txt", &place.ok(&["inspect", "release"]));
    let inspection = place.json(0, &["inspect", "release@1"]);
    assert_eq!(inspection["explained_by"], "plan");
    assert_eq!(inspection["grants_needed"], json!({"project": "rw"}));
    let changed: Vec<_> = inspection["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert_eq!(changed.len(), 5);
    assert_eq!(changed[4], r#""project/releases/" + input.version + ".txt""#);
}

#[test]
fn a_component_file_is_inspected_without_a_data_directory() {
    let place = prepared();
    place.ok(&["compile", "release-acme-widgets", "--playbook", "release", "--out", "release.wasm"]);
    let stored = place.ok(&["inspect", "release"]);
    let alone = Place::new();
    let copy = alone.path("sent.wasm");
    std::fs::copy(place.path("release.wasm"), &copy).unwrap();
    assert_eq!(alone.ok(&["inspect", "sent.wasm"]), stored);
    assert!(!alone.path("data").exists());
}

#[test]
fn the_same_recording_is_the_same_run_and_the_same_key_the_same_job() {
    let place = prepared();
    let path = place.file("again.jsonl", RECORDING);
    let again = place.json(0, &["record", path.to_str().unwrap()]);
    assert_eq!(again["run_id"], "release-acme-widgets");
    assert_eq!(place.json(0, &["runs", "list"])["runs"].as_array().unwrap().len(), 1);

    let run = ["run", "release", "--input", INPUT, "--grant", "fs:project=mine", "--idempotency-key", "release-2.0.0"];
    let first = place.json(0, &run);
    assert_eq!(place.json(0, &run), first);
    assert_eq!(place.tree("mine"), released("mine", "1.9.0", "2.0.0", "2027-01-31"), "it was released once");
    assert_eq!(place.json(0, &["jobs", "list"])["jobs"].as_array().unwrap().len(), 1);
    let other = place.run(&["run", "release", "--input", r#"{"version":"3","date":""}"#, "--idempotency-key", "release-2.0.0"]);
    assert_eq!(other.code, 4, "{other:#?}");
    assert!(other.stderr.contains("release-2.0.0") && other.stderr.contains("id_conflict"), "{other:#?}");
}

#[test]
fn without_the_grant_the_job_fails_and_names_it() {
    let place = prepared();
    for grants in [&[][..], &["--grant", "fs:mine"]] {
        let ran = place.run(&[&["run", "release", "--input", INPUT], grants].concat());
        assert_eq!(ran.code, 1, "{ran:#?}");
        assert!(ran.stdout.contains("failed at step s1") && ran.stdout.contains("\"project\""), "{ran:#?}");
    }
    let read_only = place.run(&["run", "release", "--input", INPUT, "--grant", "fs:project=mine:ro"]);
    assert_eq!(read_only.code, 1, "{read_only:#?}");
    assert!(read_only.stdout.contains("failed at step s3") && read_only.stdout.contains("project"), "{read_only:#?}");
    assert_eq!(place.tree("mine"), files("mine", "1.9.0"));
}

#[test]
fn a_configuration_that_was_there_before_the_first_start_grants() {
    let place = Place::new();
    place.file("data/reprise.toml", "[[grant]]\nkind = \"fs\"\nname = \"project\"\npath = \"../mine\"\naccess = \"ro\"\n");
    project(&place, "mine", "mine", "1.9.0");
    place.playbook("release", RECORDING);
    let ran = place.run(&["run", "release", "--input", INPUT]);
    assert!(ran.stdout.contains("failed at step s3"), "it reads, and writes nothing: {ran:#?}");
    place.file("data/reprise.toml", "[[grant]]\nkind = \"fs\"\nname = \"project\"\npath = \"../mine\"\naccess = \"rw\"\n");
    place.ok(&["run", "release", "--input", INPUT]);
    assert_eq!(place.tree("mine"), released("mine", "1.9.0", "2.0.0", "2027-01-31"));

    let beside = Place::new();
    beside.file("data/reprise.toml", "");
    beside.file("data/notes.txt", "");
    let ran = beside.run(&["jobs", "list"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("data_dir_not_ours") && ran.stderr.contains("notes.txt"), "{ran:#?}");
}

#[test]
fn an_input_that_does_not_fit_names_each_field_and_starts_nothing() {
    let place = prepared();
    for (input, says) in [
        (r#"{"version":"2.0.0"}"#, &["date"][..]),
        (r#"{"version":2,"date":"2027-01-31"}"#, &["/version", "string"]),
        (r#"{"version":"2.0.0","date":"2027-01-31","dry":true}"#, &["dry"]),
        ("{}", &["date", "version"]),
    ] {
        let ran = place.run(&["run", "release", "--input", input, "--grant", "fs:project=mine"]);
        assert_eq!(ran.code, 5, "{input}: {ran:#?}");
        assert!(says.iter().all(|word| ran.stderr.contains(word)) && ran.stderr.contains("input_does_not_fit"), "{input}: {ran:#?}");
    }
    assert_eq!(place.json(0, &["jobs", "list"])["jobs"], json!([]));
    assert_eq!(place.tree("mine"), files("mine", "1.9.0"));
}

#[test]
fn tools_of_other_names_are_bound_and_recorded_directories_become_grants() {
    let place = Place::new();
    let recording = r#"{"run": {"run_id": "agent", "goal": "greet", "inputs": {"name": "Ada Lovelace"}}}
{"tool": "my_writer", "input": {"path": "/home/ada/notes/hello.txt", "text": "hello Ada Lovelace"}, "output": {}}
{"tool": "ask_friend", "input": {"about": "Ada Lovelace"}, "output": {}}
{"end": {"status": "partial"}}
"#;
    let path = place.file("agent.jsonl", recording);
    place.ok(&["record", path.to_str().unwrap()]);
    let compile =
        ["compile", "agent", "--allow-partial", "--playbook", "greet", "--bind", "my_writer=fs/write", "--root", "/home/ada/notes=notes"];
    let compiled = place.json(0, &compile);
    assert_eq!(compiled["status"], "draft", "{compiled:#}");
    let text = place.ok(&["inspect", "greet"]);
    assert!(text.contains("tool:agent/ask-friend") && text.contains("notes: read and write"), "{text}");
    std::fs::create_dir(place.path("my-notes")).unwrap();
    let ran = place.run(&["run", "greet", "--input", r#"{"name":"Grace Hopper"}"#, "--grant", "fs:notes=my-notes"]);
    assert_eq!(ran.code, 7, "an agent is asked, and the job waits: {ran:#?}");
    assert!(ran.stdout.contains("claim it with: reprise calls claim agent/ask-friend"), "{ran:#?}");
    assert_eq!(place.tree("my-notes")["hello.txt"], "hello Grace Hopper");
}
