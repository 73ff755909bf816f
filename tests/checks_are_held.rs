//! What was recorded beside a step is held in every job: before the effect, of the answer, within the grants.

use serde_json::{Value, json};

use crate::support::held::Held;

fn none() -> Value {
    json!([])
}

#[test]
fn a_once_call_is_not_made_where_its_precondition_does_not_hold() {
    let held = Held::new(&[]);
    let made = held.playbook("lock", &json!([{"kind": "path_not_exists", "path": "project/lock"}]), &none(), &Value::Null);
    let imports: Vec<&str> = made["imports"].as_array().unwrap().iter().filter_map(|line| line["import"].as_str()).collect();
    assert!(imports.contains(&"checks.require"), "{imports:?}");
    held.file("lock");
    let job = held.job("lock", "normal");
    assert_eq!(
        (&job["status"], &job["failure"]["cause"], &job["failure"]["step"]),
        (&json!("failed"), &json!("check_failed"), &json!("s1"))
    );
    let check = &job["failure"]["check"];
    let expected = json!({"step": "s1", "at": "before", "verdict": "fail", "check": {"kind": "path_not_exists", "path": "project/lock"},
        "why": "\"project/lock\" is there"});
    assert_eq!(check, &expected);
    assert_eq!(held.notes(), "draft\n", "nothing was done");
    assert_eq!(held.kinds(&job), ["created", "checked", "failed"]);

    held.no_file("lock");
    let job = held.job("lock", "normal");
    assert_eq!((&job["status"], held.notes().as_str()), (&json!("completed"), "final\n"), "{job}");
    assert_eq!(held.kinds(&job), ["created", "checked", "called", "returned", "called", "returned", "completed"]);
    let id = job["job_id"].as_str().unwrap();
    let replay = held.server.get(&format!("/v1/jobs/{id}/replay")).ok();
    assert_eq!((&replay["verdict"], &replay["answered"]), (&json!("same"), &json!(3)), "{replay}");
}

#[test]
fn a_failed_check_of_an_answer_is_judged_again_when_the_job_is_tried_again_and_the_call_is_not() {
    let held = Held::new(&[]);
    held.playbook("mark", &none(), &json!([{"kind": "file_exists", "path": "project/done.txt"}]), &Value::Null);
    let job = held.job("mark", "normal");
    assert_eq!((&job["status"], &job["failure"]["check"]["at"]), (&json!("failed"), &json!("after")), "{job}");
    let is = job["failure"]["check"]["check"].clone();
    assert_eq!(is, json!({"kind": "file_exists", "path": "project/done.txt"}));
    assert_eq!(held.notes(), "final\n", "the call was made, and its answer does not hold");
    held.file("done.txt");
    let id = job["job_id"].as_str().unwrap();
    let said = held.server.post(&format!("/v1/jobs/{id}/retry"), &json!({"actor": "ada"})).status;
    assert!(said < 300, "{said}");
    let done = held.stood(&job);
    assert_eq!((&done["status"], &done["usage"]["calls"]), (&json!("completed"), &json!(2)), "{done}");
    let kinds = held.kinds(&job);
    assert_eq!(kinds.iter().filter(|kind| *kind == "called").count(), 2, "fs/replace once, fs/list once: {kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "checked").count(), 2, "{kinds:?}");
    assert_eq!(held.server.get(&format!("/v1/jobs/{id}/replay")).ok()["verdict"], "same");
}

#[test]
fn what_a_recorder_expected_of_an_answer_is_held_and_a_recording_that_contradicts_itself_says_so() {
    let held = Held::new(&[]);
    let signature = json!({"output_regex": "\"replaced\":1", "kind": "object"});
    let made = held.playbook(
        "signed",
        &none(),
        &json!([{"kind": "stdout_contains", "text": "x"}, {"kind": "output_regex", "pattern": "nothing like it"}]),
        &signature,
    );
    let fallbacks = made["proof"]["fallbacks"].as_array().unwrap();
    assert_eq!((fallbacks.len(), &fallbacks[0]["at"]), (1, &json!("/checks")), "{fallbacks:?}");
    assert!(fallbacks[0]["reason"].as_str().unwrap().contains("the recording itself does not fulfil it"), "{fallbacks:?}");
    let job = held.job("signed", "normal");
    assert_eq!(job["status"], "completed", "{job}");
    let verdicts: Vec<Value> =
        held.journal(&job).iter().filter(|entry| entry["kind"] == "checked").map(|entry| entry["verdict"].clone()).collect();
    assert_eq!(verdicts, ["pass", "unknown"], "an answer without a stdout says nothing of it");
    assert_eq!(held.tree.path().join("notes.md").metadata().unwrap().len(), 6);
}

#[test]
fn what_nobody_can_judge_stops_a_strict_job_and_no_other() {
    let held = Held::new(&[]);
    held.playbook("odd", &json!([{"kind": "moon_is_full", "since": 1}]), &none(), &Value::Null);
    let strict = held.job("odd", "strict");
    assert_eq!((&strict["status"], &strict["failure"]["cause"]), (&json!("failed"), &json!("check_failed")), "{strict}");
    assert_eq!(strict["failure"]["check"]["verdict"], "unknown");
    assert_eq!(strict["options"]["mode"], "strict");
    assert_eq!(held.notes(), "draft\n");
    let normal = held.job("odd", "normal");
    assert_eq!((&normal["status"], held.notes().as_str()), (&json!("completed"), "final\n"), "{normal}");
    let wrong = held.server.post("/v1/jobs", &json!({"playbook_id": "odd", "mode": "lax"})).refused(400, "invalid_request");
    assert_eq!(wrong["issues"][0]["path"], "/mode");
    let twice = json!({"playbook_id": "odd", "mode": "strict", "options": {"mode": "guided"}});
    held.server.post("/v1/jobs", &twice).refused(400, "invalid_request");
}

#[test]
fn a_check_beyond_the_grants_is_unknown_and_tells_nothing_about_the_host() {
    let outside = tempfile::tempdir().unwrap();
    let there = outside.path().join("there");
    std::fs::write(&there, "secret").unwrap();
    let absent = outside.path().join("absent");
    let held = Held::new(&[]);
    let (there, absent) = (there.to_str().unwrap(), absent.to_str().unwrap());
    std::os::unix::fs::symlink(there, held.tree.path().join("out")).unwrap();
    std::os::unix::fs::symlink(absent, held.tree.path().join("nowhere")).unwrap();
    // Each pair differs in what the host holds, and the reasons must not.
    let pairs = [
        ("file_exists", "path", there.to_owned(), absent.to_owned()),
        ("path_not_exists", "path", there.to_owned(), absent.to_owned()),
        ("file_exists", "path", format!("project/../..{there}"), format!("project/../..{absent}")),
        ("file_exists", "path", "project/out".to_owned(), "project/nowhere".to_owned()),
        ("command_available", "command", "sh".to_owned(), "no-such-program".to_owned()),
        ("env_exists", "name", "PATH".to_owned(), "NO_SUCH_VARIABLE".to_owned()),
        ("cwd_contains", "path", "../there".to_owned(), "../absent".to_owned()),
    ];
    for (at, (kind, field, yes, no)) in pairs.iter().enumerate() {
        let mut reasons = Vec::new();
        for (name, value) in [("yes", yes), ("no", no)] {
            let id = format!("host-{at}-{name}");
            held.playbook(&id, &json!([{"kind": kind, *field: value}]), &none(), &Value::Null);
            let job = held.job(&id, "strict");
            let check = &job["failure"]["check"];
            assert_eq!((&check["verdict"], &job["status"]), (&json!("unknown"), &json!("failed")), "{kind} {value}: {job}");
            reasons.push(check["why"].as_str().unwrap().replace(value.as_str(), "VALUE"));
        }
        let alike = |reason: &str| reason.replace("nowhere", "out");
        assert_eq!(alike(&reasons[0]), alike(&reasons[1]), "{kind}");
        assert!(!reasons[0].contains(outside.path().to_str().unwrap()), "{}", reasons[0]);
    }
    let port = json!([{"kind": "port_free", "port": held.server.address.port()}]);
    held.playbook("port", &port, &none(), &Value::Null);
    assert_eq!(held.job("port", "strict")["failure"]["check"]["verdict"], "unknown");
}

#[test]
fn programs_and_variables_are_judged_by_their_grants_and_a_value_is_never_said() {
    let held = Held::new(&["exec:/bin/sh@project=-c *".to_owned(), "env@some:MOOD=\"secretly good\"".replace('"', "")]);
    for (id, before, verdict) in [
        ("program", json!({"kind": "command_available", "command": "sh"}), "pass"),
        ("whole", json!({"kind": "command_available", "command": "/bin/sh"}), "pass"),
        ("other", json!({"kind": "command_available", "command": "/usr/bin/sh-of-another-name"}), "unknown"),
        ("set", json!({"kind": "env_exists", "name": "MOOD"}), "pass"),
        ("same", json!({"kind": "env_equals", "name": "MOOD", "value": "secretly good"}), "pass"),
        ("changed", json!({"kind": "env_equals", "name": "MOOD", "value": "bad"}), "fail"),
        ("in-directory", json!({"kind": "cwd_contains", "path": "notes.md"}), "pass"),
        ("not-in-directory", json!({"kind": "cwd_contains", "path": "none.md"}), "fail"),
    ] {
        std::fs::write(held.tree.path().join("notes.md"), "draft\n").unwrap();
        held.playbook(id, &json!([before]), &none(), &Value::Null);
        let job = held.job(id, "normal");
        let journal = held.journal(&job);
        let checked = journal.iter().find(|entry| entry["kind"] == "checked").unwrap_or_else(|| panic!("{id}: {job}"));
        assert_eq!(checked["verdict"], verdict, "{id}: {checked}");
        if id == "changed" {
            assert!(!checked["why"].to_string().contains("secretly"), "{checked}");
        }
    }
}

#[test]
fn a_job_that_came_to_a_halt_gives_all_that_whoever_repairs_it_needs() {
    let held = Held::new(&[]);
    held.playbook("halt", &none(), &json!([{"kind": "file_exists", "path": "project/done.txt"}]), &Value::Null);
    let job = held.job("halt", "normal");
    let packet = held.server.get(&format!("/v1/jobs/{}/repair-packet", job["job_id"].as_str().unwrap())).ok();
    for (at, value) in [
        ("/goal", json!("finish the notes")),
        ("/playbook_id", json!("halt")),
        ("/status", json!("failed")),
        ("/failing/step", json!("s1")),
        ("/failing/tool", json!("fs/replace")),
        ("/failing/input/old", json!("draft")),
        ("/failing/answer/replaced", json!(1)),
        ("/failing/error", Value::Null),
        ("/failing/cause", json!("check_failed")),
        ("/failing/check/verdict", json!("fail")),
        ("/failing/seq", Value::Null),
        ("/state/answers", json!({})),
        ("/done", json!([])),
        ("/remaining/0/step", json!("s2")),
        ("/remaining/0/tool", json!("fs/list")),
        ("/place", json!({"pointer": "/body/0", "index": 0})),
    ] {
        assert_eq!(packet.pointer(at), Some(&value), "{at}: {packet:#}");
    }

    // Before the call, what it would have been given stands there; and what is done stands with its answer.
    std::fs::write(held.tree.path().join("notes.md"), "draft\n").unwrap();
    held.playbook("early", &json!([{"kind": "file_exists", "path": "project/go"}]), &none(), &Value::Null);
    let job = held.job("early", "guided");
    let packet = held.server.get(&format!("/v1/jobs/{}/repair-packet", job["job_id"].as_str().unwrap())).ok();
    assert_eq!((&packet["failing"]["call"], &packet["failing"]["input"]["new"]), (&Value::Null, &json!("final")), "{packet:#}");
    assert_eq!(packet["failing"]["seq"], job["handed_over"]["seq"]);
    let done = held.resolve(&job, &json!({"decision": "happened", "output": Held::answer(1)}));
    assert_eq!(done["status"], "completed", "{done}");
    held.server.get(&format!("/v1/jobs/{}/repair-packet", job["job_id"].as_str().unwrap())).refused(409, "job_state_conflict");
}
