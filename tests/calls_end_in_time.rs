//! Calls that take too long, fail, are tried again, and are broken off: over a real connection to a server that counts.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::counter::When;
use crate::support::site::{Site, kinds};

/// A cancelled call ends well within this. The promise is one second; the rest is for a busy machine, and still less than
/// any clock of the product's ticks.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn c50_a_call_that_is_too_slow_is_tried_again_under_its_key_and_its_late_answer_counts_for_nothing() {
    let site = Site::new();
    let held = site.counter.hold("/put/slow", When::After);
    let mut node = site.node("a", "put", "slow");
    node["timeout_ms"] = json!(300);
    node["retry"] = json!({"tries": 2, "first_pause_ms": 1});
    let job = site.job(&[node, site.node("b", "put", "next")], &json!({}));
    held.wait_until_held(2);
    held.release();
    let stood = site.stood(&job);
    assert_eq!(site.counter.by_key("PUT", "/put/slow").into_values().collect::<Vec<_>>(), [2], "two tries, one key: {stood:#}");
    let journal = site.journal(&job);
    assert_eq!(kinds(&journal).iter().filter(|kind| **kind == "retrying").count(), 1, "{:?}", kinds(&journal));
    let retrying = journal.iter().find(|entry| entry["kind"] == "retrying").unwrap();
    assert_eq!(retrying["error"]["kind"], "timeout", "{retrying:#}");
    // The second try was let go on before its time was over, or was not.
    let answers = journal.iter().filter(|entry| entry["kind"] == "returned" && entry["call"] == 1).count();
    assert_eq!(answers, 1, "one answer is recorded");
}

#[test]
fn c51_a_call_that_fails_twice_is_made_three_times_with_one_key_and_one_that_cannot_pass_once() {
    let site = Site::new();
    site.counter.fail_first("/put/flaky", 2, 503);
    site.counter.fail_first("/put/wrong", 2, 422);
    let flaky = |name: &str| {
        let mut node = site.node("a", "put", name);
        node["retry"] = json!({"tries": 3, "first_pause_ms": 1});
        node
    };
    let job = site.job(&[flaky("flaky")], &json!({}));
    site.completed(&job);
    assert_eq!(site.counter.by_key("PUT", "/put/flaky").into_values().collect::<Vec<_>>(), [3]);
    let job = site.job(&[flaky("wrong")], &json!({}));
    let failed = site.stood(&job);
    assert_eq!((&failed["status"], &failed["failure"]["step"]), (&json!("failed"), &json!("a")), "{failed:#}");
    assert_eq!(site.count("put", "wrong"), 1, "an error that cannot pass is not tried again");
}

#[test]
fn c51_the_tries_that_were_made_are_counted_across_a_crash() {
    let site = Site::new();
    site.counter.fail_first("/put/flaky", 2, 503);
    let held = site.counter.hold("/put/flaky", When::Before);
    let mut node = site.node("a", "put", "flaky");
    node["retry"] = json!({"tries": 3, "first_pause_ms": 1});
    // Rules that were added last come first: each try is held, and fails or not once it is let go on.
    let job = site.job(&[node], &json!({}));
    held.wait_until_held(1);
    site.kill();
    // Else the one that was cut off might be let go on, and be one of the two that fail.
    held.wait_until_gone(1);
    held.release();
    site.start();
    site.completed(&job);
    let keys = site.counter.by_key("PUT", "/put/flaky");
    assert_eq!(keys.into_values().collect::<Vec<_>>(), [4], "one that was cut off, two that failed, one that did not: under one key");
}

#[test]
fn c52_a_failed_job_is_retried_from_the_failed_call_alone() {
    let site = Site::new();
    site.counter.fail_first("/put/down", 1, 500);
    site.counter.fail_first("/put/later", 1, 500);
    let job = site.job(&[site.node("a", "plain", "kept"), site.node("b", "put", "down")], &json!({}));
    assert_eq!(site.stood(&job)["status"], "failed");
    let (status, answer) = site.say(&job, "retry", &json!({}));
    assert!(status < 300, "{answer:#}");
    site.completed(&job);
    assert_eq!((site.count("plain", "kept"), site.count("put", "down")), (1, 2), "what succeeded stays");
    // Unasked, where the job's options say so.
    let options = json!({"options": {"job_tries": 2, "first_pause_ms": 1}});
    let job = site.job(&[site.node("a", "plain", "kept-too"), site.node("b", "put", "later")], &options);
    site.completed(&job);
    assert_eq!((site.count("plain", "kept-too"), site.count("put", "later")), (1, 2));
}

#[test]
fn c60_a_request_to_cancel_reaches_a_call_under_way_and_closes_its_connection() {
    let site = Site::new();
    let held = site.counter.hold("/put/slow", When::Before);
    let job = site.job(&[site.node("a", "put", "slow"), site.node("b", "put", "next")], &json!({}));
    held.wait_until_held(1);
    let begun = Instant::now();
    let (status, answer) = site.say(&job, "cancel", &json!({"reason": "no longer wanted"}));
    assert!(status < 300, "{answer:#}");
    held.wait_until_gone(1);
    assert_eq!(site.stood(&job)["status"], "cancelled");
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
    assert_eq!(site.count("put", "next"), 0);
    let journal = site.journal(&job);
    let asked = kinds(&journal).iter().filter(|kind| **kind == "cancel_requested").count();
    assert_eq!((asked, journal.last().unwrap()["kind"].as_str()), (1, Some("cancelled")), "{:?}", kinds(&journal));

    let waits = site.job(&[json!({"id": "go", "kind": "wait", "signal": "go"}), site.node("b", "put", "next")], &json!({}));
    assert_eq!(site.stood(&waits)["status"], "waiting");
    assert!(site.say(&waits, "cancel", &json!({})).0 < 300);
    assert_eq!(site.stood(&waits)["status"], "cancelled");
    site.restart();
    for job in [&job, &waits] {
        assert_eq!(site.stood(job)["status"], "cancelled", "it stays so");
    }
    assert_eq!(site.count("put", "next"), 0);
}

#[test]
fn c83_a_running_job_that_is_paused_stops_before_its_next_step_and_goes_on_there_after_a_crash_too() {
    let site = Site::new();
    let held = site.counter.hold("/put/two", When::Before);
    let nodes = ["one", "two", "three"].map(|name| site.node(name, "put", name));
    let job = site.job(&nodes, &json!({}));
    held.wait_until_held(1);
    assert!(site.say(&job, "pause", &json!({"reason": "let me look"})).0 < 300);
    held.release();
    let paused = site.stood(&job);
    assert_eq!((&paused["status"], &paused["paused"]["reason"]), (&json!("paused"), &json!("let me look")), "{paused:#}");
    assert_eq!((site.count("put", "two"), site.count("put", "three")), (1, 0));
    site.restart();
    assert_eq!(site.stood(&job)["status"], "paused");
    assert!(site.say(&job, "resume", &json!({})).0 < 300);
    site.completed(&job);
    assert_eq!(["one", "two", "three"].map(|name| site.count("put", name)), [1, 1, 1]);
}
