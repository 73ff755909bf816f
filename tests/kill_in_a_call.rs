//! A process is killed just before, in and just after one tool call; the call takes effect once, or the job says that
//! nobody knows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::counter::When;
use crate::support::dying::Killed;
use crate::support::site::{Job, Site, kinds};

/// True for the entry that says that call `n` is about to be made.
fn is_called(n: u64) -> impl Fn(&Value) -> bool {
    move |entry| entry["kind"] == "called" && entry["call"] == n
}

#[test]
fn c01_killed_before_the_tool_node_starts_another_worker_finishes_and_calls_it_once() {
    let site = Site::new();
    let held = site.counter.hold("/read/slow", When::Before);
    let nodes = [site.node("look", "read", "slow"), site.node("pay", "plain", "once"), site.node("check", "read", "c")];
    let job = site.job(&nodes, &json!({}));
    held.wait_until_held(1);
    site.kill();
    assert_eq!(site.count("plain", "once"), 0);
    held.release();
    site.start();
    site.completed(&job);
    assert_eq!(site.count("plain", "once"), 1);
}

#[test]
fn c02_killed_after_the_call_is_on_record_and_before_it_is_sent_each_effect_is_respected() {
    let site = Site::new();
    for kind in ["put", "keyed", "asked"] {
        let killed = Killed::new(&site, &["read", kind, "read"]);
        let (run, job) = killed.where_last_is("after", kind, is_called(2));
        site.completed(&job);
        assert_eq!(site.count(kind, &format!("{run}/2")), 1, "{kind}: the call is made once, now");
    }
    let killed = Killed::new(&site, &["read", "plain", "read"]);
    let (run, job) = killed.where_last_is("after", "plain", is_called(2));
    let stood = site.stood(&job);
    assert_eq!((&stood["status"], &stood["uncertain"]["call"]), (&json!("uncertain"), &json!(2)), "{stood:#}");
    assert_eq!(site.count("plain", &format!("{run}/2")), 0, "what nobody can be asked about is not repeated unasked");
}

#[test]
fn c03_killed_after_the_answer_came_and_before_it_was_on_disk_it_is_caught_up_without_a_second_call() {
    let site = Site::new();
    let killed = Killed::new(&site, &["read", "asked", "read"]);
    let (run, job) = killed.where_last_is("before", "asked", is_called(2));
    let done = site.completed(&job);
    assert_eq!(done["usage"]["attempts"], 2);
    let journal = site.journal(&job);
    assert!(kinds(&journal).ends_with(&["uncertain", "resolved", "called", "returned", "completed"]), "{:?}", kinds(&journal));
    let resolved = journal.iter().find(|entry| entry["kind"] == "resolved").unwrap();
    assert_eq!((&resolved["decision"]["happened"]["status"], &resolved["by"]), (&json!(200), &json!("reconcile")), "{resolved:#}");
    assert_eq!(site.count("asked", &format!("{run}/2")), 1);
}

/// A post of which nobody can be asked, that took effect and whose answer was lost.
fn lost_answer(site: &Site, name: &str) -> (String, Job, u64) {
    let killed = Killed::new(site, &["read", "plain", "read"]);
    let (run, job) = killed.where_last_is("before", name, is_called(2));
    let stood = site.stood(&job);
    assert_eq!((&stood["status"], &stood["uncertain"]["tool"]), (&json!("uncertain"), &json!("http/post")), "{stood:#}");
    let seq = stood["uncertain"]["seq"].as_u64().unwrap();
    assert_eq!(site.count("plain", &format!("{run}/2")), 1);
    (format!("{run}/2"), job, seq)
}

#[test]
fn c04_an_answer_that_was_lost_leaves_the_job_uncertain_until_someone_says_what_happened() {
    let site = Site::new();
    let output = json!({"status": 200, "headers": {}, "body": {"id": "r-1"}});
    {
        let (path, job, seq) = lost_answer(&site, "happened");
        let (status, answer) = site.say(&job, "resolve", &json!({"seq": seq, "decision": "happened", "output": output}));
        assert!(status < 300, "{answer:#}");
        site.completed(&job);
        assert_eq!(site.count("plain", &path), 1, "it is not called again");
        let journal = site.journal(&job);
        let resolved = journal.iter().find(|entry| entry["kind"] == "resolved").unwrap();
        assert_eq!(resolved["decision"], json!({"happened": output}), "{resolved:#}");
        assert_eq!(site.say(&job, "resolve", &json!({"seq": seq, "decision": "retry"})).0, 409, "it is settled");
    }
    {
        let (path, job, seq) = lost_answer(&site, "retry");
        assert!(site.say(&job, "resolve", &json!({"seq": seq, "decision": "retry"})).0 < 300);
        site.completed(&job);
        assert_eq!(site.count("plain", &path), 2, "someone said that it may be made again");
    }
    let (path, job, seq) = lost_answer(&site, "fail");
    let error = json!({"kind": "failed", "message": "the bank says no"});
    assert!(site.say(&job, "resolve", &json!({"seq": seq, "decision": "fail", "error": error})).0 < 300);
    let failed = site.stood(&job);
    assert_eq!((&failed["status"], &failed["failure"]["step"]), (&json!("failed"), &json!("s2")), "{failed:#}");
    assert!(failed["failure"]["message"].as_str().unwrap().contains("the bank says no"), "{failed:#}");
    assert_eq!(site.count("plain", &path), 1);
}

#[test]
fn c05_and_c06_once_the_answer_is_on_disk_it_is_given_and_nothing_is_called() {
    let site = Site::new();
    let killed = Killed::new(&site, &["plain", "plain", "put"]);
    // The answer to the first is flushed with the record of the second, or the second's with that of the third.
    let (run, job) = killed.where_last_is("after", "c05", is_called(3));
    let done = site.completed(&job);
    assert_eq!(done["usage"]["attempts"], 2);
    for call in ["1", "2", "3"] {
        let kind = if call == "3" { "put" } else { "plain" };
        assert_eq!(site.count(kind, &format!("{run}/{call}")), 1, "call {call}");
    }
    let (run, job) = killed.where_last_is("after", "c06", |entry| entry["kind"] == "completed");
    let done = site.completed(&job);
    assert_eq!(done["usage"]["attempts"], 1, "it had ended, and is not taken up: {done:#}");
    let journal = site.journal(&job);
    assert_eq!(kinds(&journal).iter().filter(|kind| **kind == "completed").count(), 1);
    for (call, kind) in [("1", "plain"), ("2", "plain"), ("3", "put")] {
        assert_eq!(site.count(kind, &format!("{run}/{call}")), 1, "call {call}");
    }
}

#[test]
fn c15_a_refund_whose_process_was_killed_in_the_call_is_one_refund_under_one_key() {
    let site = Site::new();
    for when in [When::Before, When::After] {
        let path = format!("refund-{when:?}");
        let nodes = [site.node("refund", "keyed", &path)];
        let issued = site.counter.issued();
        let url = format!("/keyed/{path}");
        let held = site.counter.hold(&url, when);
        let job = site.job(&nodes, &json!({}));
        held.wait_until_held(1);
        site.kill();
        held.release();
        site.start();
        let done = site.completed(&job);
        assert_eq!(site.counter.issued() - issued, 1, "one refund: {:?}", site.counter.seen());
        let keys = site.counter.by_key("POST", &url);
        assert_eq!(keys.into_values().collect::<Vec<_>>(), [2], "two attempts, one key");
        assert_eq!(done["output"]["body"]["id"], format!("r-{}", site.counter.issued()));
    }
}
