//! A job's past: handed out as a bundle and checked without its data directory, replayed, forked and asked for reasons.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};

use crate::support::cli::{Child, Place, Served, agent, assert_chained};

/// Sets a version: the old one is read, so that the second call depends on what the first one answered.
const SET_VERSION: &str = r#"{"run": {"run_id": "set-version", "goal": "set the version", "inputs": {"version": "recorded-new"}}}
{"tool": "fs/read", "input": {"path": "project/package.json", "as": "json"}, "output": {"path": "project/package.json", "bytes": 21, "json": {"version": "recorded-old"}}}
{"tool": "fs/replace", "input": {"path": "project/package.json", "old": "recorded-old", "new": "recorded-new"}, "output": {"path": "project/package.json", "replaced": 1}}
{"end": {"status": "success"}}
"#;
const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn place() -> Place {
    let place = Place::new();
    place.playbook("set-version", SET_VERSION);
    place.file("project/package.json", "{\"version\": \"2.0.0\"}\n");
    place.file("key", KEY);
    place
}

fn run(place: &Place) -> Value {
    place.json(0, &["run", "set-version", "--input", r#"{"version":"2.1.0"}"#, "--grant", "fs:project=project"])
}

fn job_of(place: &Place) -> String {
    run(place)["job_id"].as_str().unwrap().to_owned()
}

/// What a command that must fail with this code says.
fn refused(place: &Place, code: i32, arguments: &[&str]) -> Value {
    let ran = place.run(&[&["--json"], arguments].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
    serde_json::from_str(&ran.stderr).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {ran:#?}"))
}

#[test]
fn c09_a_replay_of_a_completed_job_calls_nothing_and_says_the_same_twice() {
    let place = place();
    let done = run(&place);
    let job = done["job_id"].as_str().unwrap();
    let before = place.journal(job);
    // What the tools worked on is gone: whatever asked them now would fail.
    std::fs::remove_dir_all(place.path("project")).unwrap();
    let replayed = place.json(0, &["jobs", "replay", job]);
    assert_eq!((&replayed["verdict"], &replayed["agrees"], &replayed["answered"]), (&json!("same"), &json!(true), &json!(2)));
    assert_eq!(replayed["output"].to_string(), done["output"].to_string());
    assert_eq!(replayed["last_hash"], before.last().unwrap()["hash"]);
    assert_eq!(place.json(0, &["jobs", "replay", job]), replayed);
    assert_eq!(place.journal(job), before, "a replay leaves nothing in the journal");
    assert!(!place.path("project").exists());
    assert!(place.ok(&["jobs", "replay", job]).contains("no tool called\nIt comes to the same ending."));
}

#[test]
fn c09_a_replay_of_a_failed_job_comes_to_the_same_failure() {
    let place = place();
    place.file("project/package.json", "{}");
    let failed = place.json(1, &["run", "set-version", "--input", r#"{"version":"2.1.0"}"#, "--grant", "fs:project=project"]);
    assert_eq!(failed["status"], "failed");
    place.file("project/package.json", "{\"version\": \"2.0.0\"}");
    let replayed = place.json(0, &["jobs", "replay", failed["job_id"].as_str().unwrap()]);
    assert_eq!((&replayed["verdict"], &replayed["status"]), (&json!("same"), &json!("failed")), "{replayed}");
}

#[test]
fn a_replay_of_a_job_that_was_killed_says_how_far_its_journal_goes() {
    let place = place();
    let arguments = [
        "--json",
        "run",
        "set-version",
        "--input",
        r#"{"version":"2.1.0"}"#,
        "--grant",
        "fs:project=project",
        "--follow",
        "--pace",
        "60000",
    ];
    let mut child = Child::start(&mut place.command(&arguments));
    let job = child.hear(|line| line.get("job_id").is_some())["job_id"].as_str().unwrap().to_owned();
    child.hear(|line| line["kind"] == "created");
    child.kill();
    let replayed = place.json(0, &["jobs", "replay", &job]);
    assert_eq!((&replayed["verdict"], &replayed["answered"]), (&json!("open"), &json!(0)), "{replayed}");
    let would =
        json!({"step": "s1", "what": "a call of fs/read", "tool": "fs/read", "input": {"as": "json", "path": "project/package.json"}});
    assert_eq!(replayed["would"], would);
    let bundle = place.path("bundle.json");
    place.json(0, &["jobs", "evidence", &job, "--out", bundle.to_str().unwrap()]);
    assert_eq!(place.json(0, &["verify", bundle.to_str().unwrap()])["entries"], 1, "a job under way has evidence too");
}

/// Writes the bundle of a finished job, signed, and says which key signed it.
fn bundle(place: &Place) -> (String, String) {
    let (job, file) = (job_of(place), place.path("bundle.json"));
    let key = place.path("key");
    let made = place.json(0, &["jobs", "evidence", &job, "--out", file.to_str().unwrap(), "--signing-key", key.to_str().unwrap()]);
    (file.to_str().unwrap().to_owned(), made["signed_by"].as_str().unwrap().to_owned())
}

#[test]
fn c71_a_bundle_is_verified_where_there_is_no_data_directory() {
    let place = place();
    let (file, key) = bundle(&place);
    let elsewhere = Place::new();
    let verified = elsewhere.json(0, &["verify", &file, "--public-key", &key]);
    assert_eq!((&verified["verified"], &verified["signed_by"], &verified["status"]), (&json!(true), &json!(key), &json!("completed")));
    assert_eq!((&verified["plan_is_component"], &verified["open_calls"], &verified["calls"]), (&json!(true), &json!([]), &json!(2)));
    assert!(elsewhere.ok(&["verify", &file]).starts_with("Verified: job "));

    let text = std::fs::read_to_string(&file).unwrap();
    let altered = |name: &str, text: &str| elsewhere.file(name, text).to_str().unwrap().to_owned();
    for (what, file, arguments, says) in [
        ("a tampered entry", altered("a", &text.replace("2.1.0", "6.6.6")), vec![], "entries: entry 1: hashes to".to_owned()),
        ("a tampered output", altered("b", &text.replacen("replaced", "deplaced", 1)), vec![], "entries: entry ".to_owned()),
        ("a tampered manifest", altered("c", &text.replace("\"attempts\":1", "\"attempts\":2")), vec![], "manifest: attempts".to_owned()),
        ("another time", altered("d", &text.replacen("\"made_at_ms\":1", "\"made_at_ms\":2", 1)), vec![], "manifest: hashes to".to_owned()),
        (
            "a tampered plan",
            altered("e", &text.replacen("\"goal\":\"set", "\"goal\":\"get", 1)),
            vec![],
            "manifest: plan_digest".to_owned(),
        ),
        ("a file cut short", altered("f", &text[..text.len() / 2]), vec![], "not an evidence bundle".to_owned()),
        ("a space more", altered("g", &text.replacen("{\"manifest\"", "{ \"manifest\"", 1)), vec![], "file: byte 1 is not".to_owned()),
        ("another key", file.clone(), vec!["--public-key", KEY_OF_ANOTHER], format!("signature: signed by {key}")),
    ] {
        let error = refused(&elsewhere, 5, &[vec!["verify", &file], arguments].concat());
        assert_eq!(error["error"], "evidence_broken", "{what}: {error}");
        // An edit of an entry that is not the last shows at the link behind it.
        let says = says.replace("entry 1: hashes to", "entry ");
        assert!(error["message"].as_str().unwrap().contains(&says), "{what}: {error}");
    }
    assert_eq!(refused(&elsewhere, 3, &["verify", "nowhere.json"])["error"], "file_not_found");
    assert_eq!(refused(&elsewhere, 2, &["verify", &file, "--public-key", "x"])["error"], "invalid_request");
}

/// A public key whose owner signed nothing here: that of RFC 8032's first example.
const KEY_OF_ANOTHER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn what_is_printed_or_sent_is_what_is_verified() {
    let place = place();
    let job = job_of(&place);
    let printed = place.ok(&["jobs", "evidence", &job]);
    let file = place.file("printed.json", &printed);
    assert_eq!(place.json(0, &["verify", file.to_str().unwrap()])["signed_by"], Value::Null);
    assert_eq!(refused(&place, 5, &["verify", file.to_str().unwrap(), "--public-key", KEY_OF_ANOTHER])["error"], "evidence_broken");
    let printed = place.ok(&["--json", "jobs", "evidence", &job]);
    place.json(0, &["verify", place.file("printed.json", &printed).to_str().unwrap()]);

    let served = Served::start(&place, &[]);
    let sent = agent().get(format!("{}/v1/jobs/{job}/evidence", served.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let verified = Place::new();
    let file = verified.file("sent.json", &sent);
    assert_eq!(verified.json(0, &["verify", file.to_str().unwrap()])["job_id"], job.as_str());
    let (status, missing) = served.get(&format!("/v1/jobs/{job}/why/99"));
    assert_eq!((status, &missing["error"]), (404, &json!("entry_not_found")));
    let (status, shown) = served.get(&format!("/v1/jobs/{job}?at=1"));
    assert_eq!((status, &shown["status"]), (200, &json!("ready")));
}

#[test]
fn a_fork_says_what_another_answer_would_have_led_to_and_does_nothing() {
    let place = place();
    let job = job_of(&place);
    let journal = place.journal(&job);
    assert_chained(&journal);
    let returned: Vec<&Value> = journal.iter().filter(|entry| entry["kind"] == "returned").collect();
    let (seq, was) = (returned[0]["seq"].to_string(), returned[0]["output"].clone());
    let tree = || std::fs::read_to_string(place.path("project/package.json")).unwrap();
    let before = tree();
    let fork = |answer: &Value| place.json(0, &["jobs", "fork", &job, "--at", &seq, "--answer", &answer.to_string()]);

    let forked = fork(&json!({"output": was}));
    assert_eq!((&forked["ending"], &forked["output"]), (&json!("output"), &returned[1]["output"]), "the same answer leads to the same end");
    let sources: Vec<&Value> = forked["asked"].as_array().unwrap().iter().map(|asked| &asked["recorded_at"]).collect();
    assert_eq!(sources, [&Value::Null, &journal[3]["seq"]]);

    let mut other = was.clone();
    other["json"]["version"] = "9.9.9".into();
    let forked = fork(&json!({"output": other}));
    assert_eq!((&forked["ending"], &forked["would"]["tool"]), (&json!("would"), &json!("fs/replace")), "{forked}");
    assert_eq!(forked["would"]["input"]["old"], "9.9.9");

    let forked = fork(&json!({"error": {"kind": "not-found", "message": "no such file"}}));
    assert_eq!((&forked["ending"], &forked["failure"]["step"]), (&json!("failure"), &json!("s1")), "{forked}");
    assert_eq!((tree(), place.journal(&job)), (before, journal.clone()), "nothing was done and nothing was written");

    assert_eq!(refused(&place, 3, &["jobs", "fork", &job, "--at", "99", "--answer", "1"])["error"], "entry_not_found");
    assert_eq!(refused(&place, 2, &["jobs", "fork", &job, "--at", "1", "--answer", "1"])["error"], "invalid_request");
    assert_eq!(refused(&place, 2, &["jobs", "fork", &job, "--at", &seq, "--answer", "{\"outcome\":1}"])["error"], "invalid_request");
}

#[test]
fn why_says_at_which_step_on_which_input_and_where_that_came_from() {
    let place = place();
    let job = job_of(&place);
    let journal = place.journal(&job);
    let called: Vec<&Value> = journal.iter().filter(|entry| entry["kind"] == "called").collect();
    for seq in [called[1]["seq"].as_u64().unwrap(), called[1]["seq"].as_u64().unwrap() + 1] {
        let why = place.json(0, &["jobs", "why", &job, &seq.to_string()]);
        assert_eq!((&why["step"], &why["call"]["tool"], &why["call"]["key"]), (&json!("s2"), &json!("fs/replace"), &called[1]["key"]));
        assert_eq!((&why["tries"], &why["attempt"], &why["approval"]), (&json!(1), &json!(1), &Value::Null));
        let from = |at: &str| why["input_from"].as_array().unwrap().iter().find(|origin| origin["at"] == at).unwrap().clone();
        assert_eq!(from("/new")["from"], "the job's input, input.version");
        assert_eq!((&from("/old")["from"], &from("/old")["seq"]), (&json!("the answer of step s1/json/version"), &json!(3)), "{why}");
        assert_eq!(from("/path")["from"], "the plan");
        assert_eq!(why["came_to"][0]["output"]["replaced"], 1);
        assert_eq!(why["grants"][0]["name"], "project");
        assert!(!why.to_string().contains(place.path("project").to_str().unwrap()), "the host's directory is not told: {why}");
    }
    assert!(place.ok(&["jobs", "why", &job, "4"]).contains("/old from the answer of step s1/json/version (entry 3)"));
    assert_eq!(refused(&place, 3, &["jobs", "why", &job, "0"])["error"], "entry_not_found");
}

#[test]
fn a_job_is_shown_as_it_was_at_an_entry() {
    let place = place();
    let job = job_of(&place);
    let last = place.journal(&job).len();
    for seq in 1..=last {
        let shown = place.json(0, &["jobs", "show", &job, "--at", &seq.to_string()]);
        assert_eq!(shown["usage"]["journal_entries"], seq);
        let status = if seq == 1 {
            "ready"
        } else if seq == last {
            "completed"
        } else {
            "running"
        };
        assert_eq!((&shown["status"], shown.get("output").is_some()), (&json!(status), seq == last));
    }
    assert_eq!(refused(&place, 3, &["jobs", "show", &job, "--at", "99"])["error"], "entry_not_found");
    assert!(Path::new(&place.path("project/package.json")).exists());
}
