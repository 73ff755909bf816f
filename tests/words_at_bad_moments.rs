//! Words that come at a bad moment: more of them than one flush takes, to a job that waits for its place, after the deadline,
//! between the branches of a parallel part.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::counter::When;
use crate::support::site::{Job, Site, kinds};

/// Follows the job's events until one of this kind is there.
fn until(site: &Site, job: &Job, kind: &str) {
    let url = format!("{}/v1/jobs/{}/journal", site.server().url, job.id);
    let mut answer = ureq::get(&url).header("accept", "text/event-stream").call().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(answer.body_mut().as_reader()));
    let wanted = format!("event: {kind}");
    assert!(lines.map(Result::unwrap).any(|line| line == wanted), "the job ended without {kind}");
}

#[test]
fn more_words_than_one_flush_takes_are_all_entered() {
    let site = Site::new();
    let held = site.counter.hold("/read/slow", When::Before);
    let waits = (0..3).map(|n| json!({"id": format!("w{n}"), "kind": "wait", "signal": "go"}));
    let nodes: Vec<Value> = std::iter::once(site.node("look", "read", "slow")).chain(waits).collect();
    let job = site.job(&nodes, &json!({}));
    held.wait_until_held(1);
    for n in 0..300 {
        let (status, said) = site.say(&job, "signals", &json!({"name": "go", "payload": n}));
        assert_eq!(status, 202, "{said}");
    }
    held.release();
    site.completed(&job);
    let journal = site.journal(&job);
    let taken: Vec<&Value> = journal.iter().filter(|entry| entry["kind"] == "woken").collect();
    assert_eq!(taken.len(), 3, "one wait takes one signal");
    let payloads: Vec<&Value> = journal.iter().filter(|entry| entry["kind"] == "signalled").map(|entry| &entry["payload"]).collect();
    assert_eq!(payloads, (0..payloads.len()).map(|n| json!(n)).collect::<Vec<_>>().iter().collect::<Vec<_>>(), "in their order");
    assert!(payloads.len() > 256, "{}", payloads.len());
}

#[test]
fn a_branch_that_was_done_is_undone_though_another_one_was_waited_for_when_the_job_was_cancelled() {
    for order in [["wait", "work"], ["work", "wait"]] {
        let site = Site::new();
        let mut work = site.node("work", "plain", "done");
        work["compensate"] = json!({"tool": "http/put", "input": {"url": site.counter.url("/put/undone"), "body": {}}});
        let both = json!({"id": "both", "kind": "parallel", "branches": [[order[0]], [order[1]]]});
        let wait = json!({"id": "wait", "kind": "wait", "signal": "never"});
        let job = site.job(&[both, work, wait], &json!({}));
        until(&site, &job, "child_ended");
        assert_eq!(site.count("plain", "done"), 1);
        assert!(site.say(&job, "cancel", &json!({})).0 < 300);
        until(&site, &job, "cancelled");
        assert_eq!(site.count("put", "undone"), 1, "{order:?}");
        let children = site.get(&job)["children"].clone();
        assert!(children.as_array().unwrap().iter().all(|child| !child["ended"].is_null()), "{children:#}");
    }
}

#[test]
fn a_yes_that_comes_after_the_deadline_is_no_yes() {
    let site = Site::new();
    let ask = json!({"id": "ask", "kind": "approval", "title": "May it?", "for": "pay", "timeout_ms": 700});
    let job = site.job(&[ask, site.node("pay", "plain", "late")], &json!({}));
    let stood = site.stood(&job);
    let id = stood["waiting_on"]["approval_id"].as_str().unwrap().to_owned();
    let digest = stood["waiting_on"]["digest"].clone();
    // Paused, nothing expires; the time passes all the same.
    assert!(site.say(&job, "pause", &json!({})).0 < 300);
    let until_ms: jiff::Timestamp = stood["waiting_on"]["until"].as_str().unwrap().parse().unwrap();
    while jiff::Timestamp::now() <= until_ms {
        std::thread::yield_now();
    }
    let (status, refused) = site.server().post(&format!("/v1/approvals/{id}/approve"), &json!({"digest": digest})).unwrap();
    assert_eq!(status, 409, "{refused}");
    assert!(site.say(&job, "resume", &json!({})).0 < 300);
    assert_eq!(site.stood(&job)["status"], "failed");
    assert_eq!(site.count("plain", "late"), 0);
}

#[test]
fn a_job_that_waits_for_its_place_can_be_cancelled_and_runs_out_of_time() {
    let site = Site::configured("[scheduler]\nrunning_max = 1\n");
    let held = site.counter.hold("/read/slow", When::Before);
    let first = site.job(&[site.node("look", "read", "slow")], &json!({}));
    held.wait_until_held(1);
    let cancelled = site.job(&[site.node("a", "plain", "cancelled")], &json!({}));
    let late = site.job(&[site.node("a", "plain", "late")], &json!({"options": {"timeout_ms": 300}}));
    assert!(site.say(&cancelled, "cancel", &json!({})).0 < 300);
    until(&site, &cancelled, "cancelled");
    until(&site, &late, "failed");
    assert_eq!(site.get(&late)["failure"]["cause"], "time");
    let status = site.get(&first)["status"].clone();
    assert!(status == "ready" || status == "running", "the place was never free: {status}");
    held.release();
    site.completed(&first);
    assert_eq!((site.count("plain", "cancelled"), site.count("plain", "late")), (0, 0));
}

#[test]
fn who_lets_a_step_be_tried_again_gives_it_its_time_anew() {
    let site = Site::new();
    site.counter.answer("/read/broken", 400, "text/plain", &[], "no");
    let mut look = site.node("look", "read", "broken");
    look["step_timeout_ms"] = json!(900);
    let job = site.job(&[look], &json!({}));
    assert_eq!(site.stood(&job)["status"], "failed");
    let journal = site.journal(&job);
    let called: jiff::Timestamp = journal.iter().find(|entry| entry["kind"] == "called").unwrap()["at"].as_str().unwrap().parse().unwrap();
    while jiff::Timestamp::now().as_millisecond() <= called.as_millisecond() + 900 {
        std::thread::yield_now();
    }
    site.counter.json("/read/broken", &json!({"mended": true}));
    assert!(site.say(&job, "retry", &json!({})).0 < 300);
    site.completed(&job);
    assert_eq!(kinds(&site.journal(&job)).iter().filter(|kind| **kind == "reattempted").count(), 1);
}
