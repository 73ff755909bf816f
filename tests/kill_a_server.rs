//! A server is killed or frozen with jobs under way, and many clients want the same: each job is run once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::{agent, post};
use crate::support::counter::When;
use crate::support::site::{Job, Site, in_full, kinds};

/// Sends these requests from a few clients at once; the answers in any order. None where the server went away.
fn from_clients(site: &Site, requests: &[(String, Value)]) -> Vec<Option<(u16, Value)>> {
    let url = site.server().url.clone();
    std::thread::scope(|scope| {
        let clients: Vec<_> = requests
            .chunks(requests.len().div_ceil(8))
            .map(|requests| {
                let url = url.as_str();
                scope.spawn(move || {
                    let agent = agent();
                    requests.iter().map(|(path, body)| post(&agent, url, path, body)).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// A request for a job that sends its name to `/KIND/NAME`, for each name.
fn orders(site: &Site, kinds: &[&str], names: &[String]) -> Vec<(String, Value)> {
    let node = |(at, kind): (usize, &&str)| {
        let mut node = site.node(&format!("s{at}"), kind, "");
        let url = node["input"]["url"].as_str().unwrap().to_owned();
        node["input"]["url"] = json!({"$text": [url, {"$input": "/name"}]});
        node
    };
    let nodes: Vec<Value> = kinds.iter().enumerate().map(node).collect();
    let last = json!({"$from": format!("s{}", kinds.len() - 1)});
    let graph = json!({"graph_version": 1, "goal": "many", "parameters": [{"name": "name"}], "nodes": nodes, "output": last});
    let order = |name: &String| ("/v1/jobs".to_owned(), json!({"graph": graph, "input": {"name": name}, "idempotency_key": name}));
    names.iter().map(order).collect()
}

/// As the order, but waits for the end.
fn waiting((path, body): &(String, Value)) -> (String, Value) {
    let mut body = body.clone();
    body["wait_ms"] = json!(50_000);
    (path.clone(), body)
}

fn assert_all_completed(answers: &[Option<(u16, Value)>]) {
    for answer in answers {
        let (_, job) = answer.as_ref().unwrap();
        assert_eq!(job["status"], "completed", "{job:#}");
    }
}

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|at| format!("{prefix}-{at}")).collect()
}

#[test]
fn c16_jobs_that_call_sleep_or_wait_are_unaffected_by_a_server_that_is_killed_and_restarted() {
    let site = Site::new();
    let held = site.counter.hold("/put/slow", When::Before);
    let calls = site.job(&[site.node("a", "put", "slow"), site.node("b", "put", "b")], &json!({}));
    let sleeps = site.job(&[json!({"id": "z", "kind": "wait", "sleep_ms": 300}), site.node("c", "put", "c")], &json!({}));
    let waits = site.job(&[json!({"id": "go", "kind": "wait", "signal": "go"}), site.node("d", "put", "d")], &json!({}));
    held.wait_until_held(1);
    assert_eq!(site.stood(&waits)["status"], "waiting");
    site.kill();
    held.release();
    site.start();
    assert!(site.say(&waits, "signals", &json!({"name": "go", "payload": 1})).0 < 300);
    for job in [&calls, &sleeps, &waits] {
        site.completed(job);
    }
    for path in ["b", "c", "d"] {
        assert_eq!(site.count("put", path), 1, "{path}");
    }
}

#[test]
fn c20_a_server_that_was_frozen_for_longer_than_its_lease_goes_on_and_doubles_nothing() {
    let site = Site::configured("[scheduler]\nlease_ms = 1000\n");
    let held = site.counter.hold("/plain/slow", When::After);
    let job = site.job(&[site.node("a", "plain", "slow"), site.node("b", "plain", "next")], &json!({}));
    held.wait_until_held(1);
    let pid = site.server().child.pid().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    // The time itself is what is tested here: longer than the lease, and nothing happens meanwhile.
    let (_never, nothing) = channel::<()>();
    assert!(nothing.recv_timeout(Duration::from_millis(2_500)).is_err());
    signal("-CONT");
    held.release();
    site.completed(&job);
    assert_eq!((site.count("plain", "slow"), site.count("plain", "next")), (1, 1));
}

#[test]
fn c22_and_c90_a_job_that_many_clients_take_up_at_once_is_executed_once() {
    let site = Site::new();
    let held = site.counter.hold("/asked/slow", When::After);
    let job = site.job(&[site.node("a", "asked", "slow"), site.node("b", "plain", "after")], &json!({}));
    held.wait_until_held(1);
    site.kill();
    held.release();
    site.start();
    let resume = (format!("/v1/jobs/{}/resume", job.id), json!({}));
    let answers = from_clients(&site, &vec![resume; 24]);
    assert!(answers.iter().all(|answer| matches!(answer, Some((200 | 202 | 409, _)))), "{answers:#?}");
    site.completed(&job);
    assert_eq!((site.count("asked", "slow"), site.count("plain", "after")), (1, 1));
    let journal = site.journal(&job);
    assert_eq!(kinds(&journal).iter().filter(|kind| **kind == "resumed").count(), 1, "{:?}", kinds(&journal));
    let (status, refusal) = site.say(&job, "resume", &json!({}));
    assert_eq!(status, 409, "a completed job is nobody's to take up: {refusal:#}");
}

#[test]
fn c91_many_independent_jobs_are_each_executed_once() {
    let site = Site::new();
    let all = orders(&site, &["plain"], &names("c91", if in_full() { 1_000 } else { 250 }));
    // Each is asked for twice, by different clients, and then waited for.
    let twice: Vec<(String, Value)> = all.iter().chain(all.iter().rev()).cloned().collect();
    assert!(from_clients(&site, &twice).iter().all(Option::is_some));
    assert_all_completed(&from_clients(&site, &all.iter().map(waiting).collect::<Vec<_>>()));
    for (_, order) in &all {
        assert_eq!(site.count("plain", order["input"]["name"].as_str().unwrap()), 1, "{}", order["input"]);
    }
    assert_eq!(site.counter.issued(), all.len());
}

#[test]
fn c92_two_hundred_jobs_in_flight_when_the_server_is_killed_again_and_again_are_each_done_once() {
    let site = Site::new();
    let all = orders(&site, &["put", "asked", "keyed"], &names("c92", 200));
    let gates =
        [("/put", When::Before), ("/asked", When::After), ("/keyed", When::After)].map(|(path, when)| site.counter.hold(path, when));
    assert!(from_clients(&site, &all).iter().all(Option::is_some), "all are accepted");
    for gate in &gates {
        // As many as run at the same time; the others wait for a place.
        gate.wait_until_held(all.len().min(reprise::limits::JOBS_RUNNING_MAX));
        site.kill();
        gate.release();
        site.start();
    }
    assert_all_completed(&from_clients(&site, &all.iter().map(waiting).collect::<Vec<_>>()));
    for (_, order) in &all {
        let name = order["input"]["name"].as_str().unwrap();
        assert_eq!(site.count("asked", name), 1, "{name}");
        assert_eq!(site.counter.by_key("POST", &format!("/keyed/{name}")).len(), 1, "{name} has one key");
        assert_eq!(site.counter.by_key("PUT", &format!("/put/{name}")).len(), 1, "{name} has one key");
    }
    assert_eq!(site.counter.issued(), 2 * all.len(), "two things for each job");
}

/// Of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Time from asking for a job to its end: the median of some.
fn latency(site: &Site, name: &str) -> Duration {
    let mut times: Vec<Duration> = orders(site, &["read"], &names(name, 21))
        .iter()
        .map(|order| {
            let begun = std::time::Instant::now();
            let (path, body) = waiting(order);
            let (_, job) = site.server().post(&path, &body).unwrap();
            assert_eq!(job["status"], "completed");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn c93_parked_jobs_cost_no_time_and_little_memory_and_all_that_are_signalled_at_once_are_done() {
    let (parked, signalled) = if in_full() { (10_000, 1_000) } else { (1_000, 100) };
    let site = Site::new();
    let waits = json!({"graph_version": 1, "goal": "wait", "parameters": [{"name": "name"}],
        "nodes": [{"id": "go", "kind": "wait", "signal": "go"}], "output": {"$from": "go"}});
    let order = |name: String| ("/v1/jobs".to_owned(), json!({"graph": waits, "input": {"name": name}, "idempotency_key": name}));
    let all: Vec<(String, Value)> = names("parked", parked).into_iter().map(order).collect();
    let (first, rest) = all.split_at(signalled);
    from_clients(&site, &first.iter().map(waiting).collect::<Vec<_>>());
    let fast = latency(&site, "alone");
    let before = resident(site.server().child.pid());
    let answers = from_clients(&site, &rest.iter().map(waiting).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| answer.as_ref().is_some_and(|(_, job)| job["status"] == "waiting")));
    let grown = resident(site.server().child.pid()).saturating_sub(before);
    let slow = latency(&site, "crowded");
    println!("{parked} parked: {grown} KiB more, latency {fast:?} before and {slow:?} after");
    assert!(slow < fast * 4 + Duration::from_millis(50), "{slow:?} with {parked} parked jobs, {fast:?} before");
    // What sled caches of what was written counts too.
    assert!(grown < 64 * 1024, "{grown} KiB more for {parked} parked jobs");

    // Taken up by a new process, and signalled there.
    site.restart();
    let jobs: Vec<String> =
        from_clients(&site, first).into_iter().map(|job| job.unwrap().1["job_id"].as_str().unwrap().to_owned()).collect();
    let signals: Vec<(String, Value)> =
        jobs.iter().map(|job| (format!("/v1/jobs/{job}/signals"), json!({"name": "go", "payload": job}))).collect();
    assert!(from_clients(&site, &signals).iter().all(|answer| answer.as_ref().is_some_and(|(status, _)| *status < 300)));
    for done in from_clients(&site, &first.iter().map(waiting).collect::<Vec<_>>()) {
        let (_, job) = done.unwrap();
        assert_eq!((&job["status"], &job["output"]), (&json!("completed"), &job["job_id"]), "{job:#}");
    }
}

#[test]
fn c94_a_long_journal_grows_at_the_same_cost_to_its_end() {
    let steps = if in_full() { 1_000 } else { 100 };
    let site = Site::new();
    site.counter.answer("/put/down", 503, "text/plain", &[], "down");
    // Five tries with two entries each.
    let node = |at: usize| {
        let mut node = site.node(&format!("s{at}"), "put", "down");
        node["retry"] = json!({"tries": 5, "first_pause_ms": 0});
        node["on_failure"] = json!("continue");
        node
    };
    let nodes: Vec<Value> = (0..steps).map(node).chain([site.node("end", "put", "up")]).collect();
    let job: Job = site.job(&nodes, &json!({}));
    site.completed(&job);
    let journal = site.journal(&job);
    assert_eq!(journal.len(), 10 * steps + 4);
    let size = |entries: &[Value]| entries.iter().map(|entry| entry.to_string().len()).sum::<usize>();
    let at = |entry: &Value| entry["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let tenth = steps;
    let (first, last) = (&journal[1..=tenth], &journal[journal.len() - 1 - tenth..journal.len() - 1]);
    let took = |entries: &[Value]| at(&entries[entries.len() - 1]) - at(&entries[0]);
    println!("{} entries: the first {tenth} took {} ms, the last {} ms", journal.len(), took(first), took(last));
    assert!(took(last) < took(first) * 4 + 50, "the first {tenth} entries took {} ms, the last {} ms", took(first), took(last));
    assert!(size(last) < size(first) * 11 / 10, "an entry does not carry what came before it");
}
