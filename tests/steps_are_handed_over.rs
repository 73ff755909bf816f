//! In guided mode a step that fails is for a person: its answer is given, it is made again, or it fails. Never skipped.

use serde_json::{Value, json};

use crate::support::cli::{Place, assert_chained};
use crate::support::held::Held;

/// A job that has handed its first step over before the call.
fn before_the_call(held: &Held, id: &str) -> Value {
    held.playbook(id, &json!([{"kind": "path_not_exists", "path": "project/lock"}]), &json!([]), &Value::Null);
    held.file("lock");
    let job = held.job(id, "guided");
    assert_eq!((&job["status"], &job["handed_over"]["at"]), (&json!("waiting"), &json!("before")), "{job}");
    assert_eq!(held.notes(), "draft\n");
    job
}

#[test]
fn an_answer_that_is_given_must_be_one_of_the_tool_and_the_tool_is_not_called_for_it() {
    let held = Held::new(&[]);
    let job = before_the_call(&held, "given");
    assert_eq!(held.kinds(&job), ["created", "checked", "handed_over"]);
    let (id, seq) = (job["job_id"].as_str().unwrap(), &job["handed_over"]["seq"]);
    let say = |body: Value| held.server.post(&format!("/v1/jobs/{id}/resolve"), &body);
    let wrong = say(json!({"seq": seq, "decision": "happened", "output": {"replaced": "one"}})).refused(400, "invalid_request");
    assert!(wrong["message"].as_str().unwrap().contains("this is no answer of fs/replace"), "{wrong}");
    say(json!({"seq": 1, "decision": "retry"})).refused(409, "job_state_conflict");
    let output = Held::answer(7);
    let done = held.resolve(&job, &json!({"decision": "happened", "output": output, "note": "did it by hand"}));
    assert_eq!((&done["status"], held.notes().as_str()), (&json!("completed"), "draft\n"), "{done}");
    let journal = held.journal(&job);
    let checked: Vec<&Value> = journal.iter().filter(|entry| entry["kind"] == "checked").collect();
    assert_eq!((checked.len(), &checked[1]["verdict"], &checked[1]["accepted"]), (2, &json!("fail"), &json!(true)), "{journal:#?}");
    let returned = journal.iter().find(|entry| entry["kind"] == "returned").unwrap();
    assert_eq!(returned["output"], output);
    assert_eq!(journal.iter().find(|entry| entry["kind"] == "resolved").unwrap()["by"], "ada");
    say(json!({"seq": seq, "decision": "retry"})).refused(409, "job_state_conflict");
    assert_eq!(held.server.get(&format!("/v1/jobs/{id}/replay")).ok()["verdict"], "same");
}

#[test]
fn a_step_is_tried_again_once_the_world_is_mended_or_fails_if_a_person_says_so() {
    let held = Held::new(&[]);
    let job = before_the_call(&held, "mended");
    let still = held.resolve(&job, &json!({"decision": "retry"}));
    assert_eq!(still["status"], "waiting", "it still does not hold: {still}");
    held.no_file("lock");
    let done = held.resolve(&job, &json!({"decision": "retry"}));
    assert_eq!((&done["status"], held.notes().as_str()), (&json!("completed"), "final\n"), "{done}");

    std::fs::write(held.tree.path().join("notes.md"), "draft\n").unwrap();
    let job = before_the_call(&held, "given-up");
    let failed = held.resolve(&job, &json!({"decision": "fail", "error": {"kind": "failed", "message": "nobody can"}}));
    assert_eq!((&failed["status"], &failed["failure"]["cause"]), (&json!("failed"), &json!("check_failed")), "{failed}");
    assert_eq!(held.notes(), "draft\n");
    assert_eq!(held.server.get(&format!("/v1/jobs/{}/replay", job["job_id"].as_str().unwrap())).ok()["verdict"], "same");
}

#[test]
fn a_call_that_comes_to_an_error_is_handed_over_too() {
    let held = Held::new(&[]);
    held.playbook("error", &json!([]), &json!([]), &Value::Null);
    std::fs::write(held.tree.path().join("notes.md"), "something else\n").unwrap();
    assert_eq!(held.job("error", "normal")["failure"]["cause"], "playbook", "nobody is asked in other modes");
    let job = held.job("error", "guided");
    assert_eq!(
        (&job["status"], &job["handed_over"]["at"], &job["handed_over"]["tool"]),
        (&json!("waiting"), &Value::Null, &json!("fs/replace")),
        "{job}"
    );
    let kinds = held.kinds(&job);
    assert_eq!(kinds.last().map(String::as_str), Some("handed_over"), "{kinds:?}");
    std::fs::write(held.tree.path().join("notes.md"), "draft\n").unwrap();
    let done = held.resolve(&job, &json!({"decision": "retry"}));
    assert_eq!((&done["status"], held.notes().as_str()), (&json!("completed"), "final\n"), "{done}");

    let job = held.job("error", "guided");
    let done = held.resolve(&job, &json!({"decision": "happened", "output": Held::answer(1)}));
    assert_eq!(done["status"], "completed", "{done}");
    let job = held.job("error", "guided");
    let failed = held.resolve(&job, &json!({"decision": "fail", "error": {"kind": "failed", "message": "let it be"}}));
    assert_eq!((&failed["status"], &failed["failure"]["cause"]), (&json!("failed"), &json!("playbook")), "{failed}");
    assert_eq!(held.server.get(&format!("/v1/jobs/{}/replay", job["job_id"].as_str().unwrap())).ok()["verdict"], "same");
}

#[test]
fn what_people_answer_for_earns_a_playbook_nothing() {
    let held = Held::new(&[]);
    let policy = json!({
        "shadow": {"proved": false, "recordings": 0}, "canary_share": 0,
        "active": {"successes": 5, "distinct_inputs": 0, "wilson_floor": 0, "min_age_s": 0}, "auto_demote": false,
    });
    held.server.operator("PUT", "/v1/policy", Some(&policy)).ok();
    for n in 0..5 {
        // Now a check that is passed over, now an error that is.
        let job = if n % 2 == 0 {
            held.file("lock");
            let id = "p";
            if n == 0 {
                held.playbook(id, &json!([{"kind": "path_not_exists", "path": "project/lock"}]), &json!([]), &Value::Null);
            }
            held.job(id, "guided")
        } else {
            held.no_file("lock");
            std::fs::write(held.tree.path().join("notes.md"), "something else\n").unwrap();
            held.job("p", "guided")
        };
        assert_eq!(job["status"], "waiting", "{job}");
        assert_eq!(held.resolve(&job, &json!({"decision": "happened", "output": Held::answer(1)}))["status"], "completed");
    }
    let mut page = Value::Null;
    for _ in 0..10_000 {
        page = held.server.get("/v1/playbooks/p/evidence").ok();
        if page["evidence"].as_array().is_some_and(|events| events.iter().filter(|event| event["kind"] == "job").count() == 5) {
            break;
        }
        std::thread::yield_now();
    }
    let jobs: Vec<&Value> = page["evidence"].as_array().unwrap().iter().filter(|event| event["kind"] == "job").collect();
    assert_eq!(jobs.len(), 5, "{page:#}");
    for job in jobs {
        assert_eq!((&job["outcome"], &job["drift"]["step"]), (&json!("failure"), &json!("s1")), "{job}");
        assert!(job["drift"]["why"].as_str().unwrap().starts_with("answered by hand: "), "{job}");
    }
    assert_eq!((&page["verdict"]["successes"], &page["verdict"]["failures"]), (&json!(0), &json!(5)), "{page:#}");
    assert_ne!(held.server.get("/v1/playbooks/p").ok()["status"], "active");
}

#[test]
fn an_answer_that_does_not_hold_can_be_given_anew_and_what_was_done_is_not_done_again() {
    let held = Held::new(&[]);
    held.playbook("after", &json!([]), &json!([{"kind": "file_exists", "path": "project/done.txt"}]), &Value::Null);
    let job = held.job("after", "guided");
    assert_eq!((&job["status"], &job["handed_over"]["at"]), (&json!("waiting"), &json!("after")), "{job}");
    assert_eq!(held.notes(), "final\n");
    let done = held.resolve(&job, &json!({"decision": "happened", "output": Held::answer(3)}));
    assert_eq!(done["status"], "completed", "{done}");
    let kinds = held.kinds(&job);
    assert_eq!(kinds.iter().filter(|kind| *kind == "called").count(), 2, "{kinds:?}");
    assert_eq!(held.server.get(&format!("/v1/jobs/{}/replay", job["job_id"].as_str().unwrap())).ok()["verdict"], "same");
}

#[test]
fn a_job_that_stands_for_a_person_can_be_cancelled_and_paused_and_outlives_the_server() {
    let mut held = Held::new(&[]);
    let job = before_the_call(&held, "cancelled");
    let id = job["job_id"].as_str().unwrap().to_owned();
    let said = held.server.post(&format!("/v1/jobs/{id}/cancel"), &json!({"actor": "ada"})).status;
    assert!(said < 300, "{said}");
    assert_eq!(held.stood(&job)["status"], "cancelled");

    let job = before_the_call(&held, "paused");
    let id = job["job_id"].as_str().unwrap().to_owned();
    let said = held.server.post(&format!("/v1/jobs/{id}/pause"), &json!({"actor": "ada"})).status;
    assert!(said < 300, "{said}");
    assert_eq!(held.stood(&job)["status"], "paused");
    let own = format!("fs:project={}", held.tree.path().display());
    held.server.restart_granting(&[own]);
    let said = held.server.post(&format!("/v1/jobs/{id}/resume"), &json!({"actor": "ada"})).status;
    assert!(said < 300, "{said}");
    let shown = held.stood(&job);
    assert_eq!((&shown["status"], &shown["handed_over"]), (&json!("waiting"), &job["handed_over"]), "{shown}");
    held.no_file("lock");
    assert_eq!(held.resolve(&job, &json!({"decision": "retry"}))["status"], "completed");
}

/// A recording of one step that may not be repeated, held to a condition before it and one after it.
const RECORDING: &str = r#"{"run": {"run_id": "notes", "goal": "finish the notes"}}
{"tool": "fs/replace", "input": {"path": "project/notes.md", "old": "draft", "new": "final"}, "output": {"path": "project/notes.md", "replaced": 1}, "preconditions": [{"kind": "path_not_exists", "path": "project/lock"}], "postconditions": [{"kind": "file_exists", "path": "project/notes.md"}]}
{"tool": "fs/write", "input": {"path": "project/log.md", "text": "finished\n"}, "output": {"path": "project/log.md", "bytes": 9}, "preconditions": [{"kind": "file_exists", "path": "project/notes.md"}]}
{"end": {"status": "success"}}
"#;

fn place() -> Place {
    let place = Place::new();
    place.playbook("notes", RECORDING);
    place.file("tree/notes.md", "draft\n");
    place
}

#[test]
fn killed_at_every_flush_a_job_with_checks_comes_to_the_same() {
    let place = place();
    let report = place.json(0, &["test", "notes", "--root", "project=tree", "--crash-everywhere"]);
    assert_eq!((&report["passed"], &report["status"]), (&json!(true), &json!("completed")), "{report:#}");
    assert!(report["crashes"].as_array().unwrap().len() >= 10, "{report:#}");
}

#[test]
fn killed_around_every_flush_of_a_hand_over_nothing_is_skipped_and_nothing_done_twice() {
    let place = place();
    place.file("data/SCRATCH", "");
    let grant = ["--grant", "fs:project=tree"];
    let mut handed_over = 0;
    for flush in 1.. {
        let mut ended = false;
        for moment in ["before", "after"] {
            place.file("tree/notes.md", "draft\n");
            place.file("tree/lock", "");
            let key = format!("{moment}-{flush}");
            let point = format!("{moment}:{flush}");
            let run = [&["run", "notes", "--mode", "guided", "--idempotency-key", &key][..], &grant].concat();
            let killed = place.run(&[&["--json", "--die-at", &point][..], &run].concat());
            ended |= killed.code == 7;
            assert!(killed.code == 7 || killed.code == -1, "{killed:#?}");
            // The same request once more is the same job, from where it was left.
            let job = place.json(7, &run);
            assert_eq!((&job["status"], &job["handed_over"]["at"]), (&json!("waiting"), &json!("before")), "{job:#}");
            handed_over += 1;
            assert_eq!(place.tree("tree")["notes.md"], "draft\n", "{point}");
            let id = job["job_id"].as_str().unwrap();
            std::fs::remove_file(place.path("tree/lock")).unwrap();
            let seq = job["handed_over"]["seq"].to_string();
            // Killed while it is told, and told again: what is on disk holds.
            let told = place.run(&[&["--json", "--die-at", "after:2", "jobs", "resolve", id, &seq, "--retry"][..]].concat());
            assert!(told.code == -1 || told.code == 0, "{told:#?}");
            let shown = place.json(0, &["jobs", "show", id]);
            if shown["status"] == "waiting" {
                place.run(&["jobs", "resolve", id, &seq, "--retry"]);
            }
            let last = place.run(&["--json", "jobs", "resume", id]);
            let shown = place.json(0, &["jobs", "show", id]);
            if shown["status"] == "uncertain" {
                // It died in the call, and nobody but a person knows.
                let seq = shown["uncertain"]["seq"].to_string();
                let done = place.tree("tree")["notes.md"] == "final\n";
                let output = &Held::answer(1).to_string();
                let said = if done { vec!["--happened", output] } else { vec!["--retry"] };
                place.run(&[&["jobs", "resolve", id, &seq][..], &said].concat());
            }
            let shown = place.json(0, &["jobs", "show", id]);
            assert_eq!(shown["status"], "completed", "{point}: {shown:#} {last:#?}");
            assert_eq!(place.tree("tree")["notes.md"], "final\n");
            assert_chained(&place.journal(id));
        }
        if ended {
            break;
        }
    }
    assert!(handed_over >= 6, "{handed_over}");
}

#[test]
fn the_command_line_says_what_to_do_and_shows_the_packet() {
    let place = place();
    place.file("tree/lock", "");
    let ran = place.run(&["run", "notes", "--mode", "guided", "--grant", "fs:project=tree"]);
    assert_eq!(ran.code, 7, "{ran:#?}");
    assert!(ran.stdout.contains("handed over at step s1") && ran.stdout.contains("--happened OUTPUT"), "{}", ran.stdout);
    let job = place.json(0, &["jobs", "list"])["jobs"][0]["job_id"].as_str().unwrap().to_owned();
    let packet = place.json(0, &["jobs", "packet", &job]);
    assert_eq!((&packet["failing"]["step"], &packet["failing"]["check"]["check"]["kind"]), (&json!("s1"), &json!("path_not_exists")));
    let words = place.ok(&["jobs", "packet", &job]);
    assert!(words.contains("failing: s1, which calls fs/replace") && words.contains("not reached: s2 fs/write"), "{words}");
    let strict = place.run(&["--json", "run", "notes", "--mode", "strict", "--grant", "fs:project=tree"]);
    let failed: Value = serde_json::from_str(&strict.stdout).unwrap();
    assert_eq!((strict.code, &failed["failure"]["cause"]), (1, &json!("check_failed")), "{failed:#}");
    assert_eq!(place.run(&["run", "notes", "--mode", "lax"]).code, 2);
}
