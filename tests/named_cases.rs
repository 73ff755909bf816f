//! Cases of durable execution that have no module of their own: signals at the wrong moment, graphs that hang together wrongly,
//! a journal that was damaged, the clock in a replay, one request sent fifty times.

use serde_json::{Value, json};

use crate::support::cli::{agent, post};
use crate::support::counter::When;
use crate::support::site::{Site, kinds};

#[test]
fn c31_c39_a_signal_has_a_name_and_wakes_only_who_waits_for_that_name() {
    let site = Site::new();
    let wait = json!({"id": "wait", "kind": "wait", "signal": "paid"});
    let job = site.job(&[wait, site.node("ship", "plain", "signal")], &json!({}));
    assert_eq!(site.stood(&job)["status"], "waiting");
    let (status, refused) = site.say(&job, "signals", &json!({"payload": 1}));
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_request")), "{refused}");
    let (status, _) = site.say(&job, "signals", &json!({"name": "unpaid", "payload": 1}));
    assert_eq!(status, 202, "it is stored, for a wait that may come");
    assert_eq!(site.get(&job)["status"], "waiting", "and wakes nobody");
    assert_eq!(site.count("plain", "signal"), 0);
    let (status, _) = site.say(&job, "signals", &json!({"name": "paid", "payload": 1}));
    assert_eq!(status, 202);
    site.completed(&job);
    assert_eq!(site.count("plain", "signal"), 1);
    let journal = site.journal(&job);
    assert_eq!(kinds(&journal).iter().filter(|kind| **kind == "woken").count(), 1);
    assert_eq!(kinds(&journal).iter().filter(|kind| **kind == "signalled").count(), 2, "the other one is on record");
}

#[test]
fn c34_a_signal_that_was_accepted_is_delivered_though_the_server_is_killed_at_once() {
    let site = Site::new();
    let held = site.counter.hold("/read/slow", When::Before);
    let wait = json!({"id": "wait", "kind": "wait", "signal": "go"});
    let job = site.job(&[site.node("look", "read", "slow"), wait, site.node("do", "plain", "after-signal")], &json!({}));
    held.wait_until_held(1);
    // Its worker is in a call, so the signal is mail when it is acknowledged.
    let (status, _) = site.say(&job, "signals", &json!({"name": "go", "payload": {"n": 1}}));
    assert_eq!(status, 202);
    site.kill();
    held.release();
    site.start();
    site.completed(&job);
    assert_eq!(site.count("plain", "after-signal"), 1);
    assert_eq!(kinds(&site.journal(&job)).iter().filter(|kind| **kind == "signalled").count(), 1);
}

#[test]
fn c40_what_needs_an_approval_is_made_once_after_a_yes_and_never_after_a_no() {
    let site = Site::new();
    for (yes, calls, ends) in [(true, 1, "completed"), (false, 0, "failed")] {
        let path = format!("approved-{yes}");
        let ask = json!({"id": "ask", "kind": "approval", "title": "May it?", "for": "pay"});
        let job = site.job(&[ask, site.node("pay", "plain", &path)], &json!({}));
        let stood = site.stood(&job);
        let waits = &stood["waiting_on"];
        let id = waits["approval_id"].as_str().unwrap();
        let shown = site.server().get(&format!("/v1/approvals/{id}")).1;
        assert_eq!(shown["request"]["tool"], "http/post", "it shows what will be done: {shown}");
        assert_eq!(site.count("plain", &path), 0);
        let decide = format!("/v1/approvals/{id}/{}", if yes { "approve" } else { "reject" });
        let (status, answer) = site.server().post(&decide, &json!({"digest": shown["digest"], "actor": "ada"})).unwrap();
        assert!(status == 200 || status == 202, "{answer}");
        assert_eq!(site.stood(&job)["status"], ends);
        assert_eq!(site.count("plain", &path), calls);
        let journal = site.journal(&job);
        let decided = journal.iter().find(|entry| entry["kind"] == "woken").unwrap();
        assert!(decided["by"][if yes { "approved" } else { "rejected" }]["by"] == "ada", "{decided}");
    }
}

#[test]
fn c55_a_diamond_is_done_in_order_and_a_cycle_or_an_empty_graph_is_refused() {
    let site = Site::new();
    let node = |id: &str, after: &[&str]| {
        let mut node = site.node(id, "plain", &format!("diamond-{id}"));
        node["after"] = json!(after);
        node
    };
    let job = site.job(&[node("d", &["b", "c"]), node("b", &["a"]), node("c", &["a"]), node("a", &[])], &json!({}));
    site.completed(&job);
    let called: Vec<Value> =
        site.journal(&job).iter().filter(|entry| entry["kind"] == "called").map(|entry| entry["step"].clone()).collect();
    assert_eq!(called, ["a", "b", "c", "d"]);
    for (nodes, says) in [(json!([]), "node"), (json!([node("x", &["y"]), node("y", &["x"])]), "x")] {
        let graph = json!({"graph_version": 1, "goal": "?", "nodes": nodes, "output": null});
        let (status, refused) = site.server().post("/v1/jobs", &json!({"graph": graph})).unwrap();
        assert_eq!((status, &refused["error"]), (400, &json!("invalid_graph")), "{refused}");
        assert!(refused["issues"].to_string().contains(says), "{refused}");
    }
    assert!(site.server().get("/v1/jobs?limit=10").1["jobs"].as_array().unwrap().len() == 1, "nothing of it is a job");
}

#[test]
fn c57_a_job_whose_journal_was_damaged_is_not_run_from_an_empty_state() {
    use reprise::ids::{JobId, Space};
    use reprise::store::{Batch, EntryKey, Store};
    let site = Site::new();
    let held = site.counter.hold("/read/slow", When::Before);
    let first = [site.node("first", "plain", "damaged"), site.node("second", "plain", "whole"), site.node("look", "read", "slow")];
    let job = site.job(&first, &json!({}));
    held.wait_until_held(1);
    site.kill();
    held.release();
    {
        let store = Store::open(&site.place.path("data")).unwrap();
        let job_id = JobId::parse(&job.id).unwrap();
        let key = EntryKey { job_id, seq: 2 };
        let damaged = String::from_utf8(store.get(&key).unwrap().unwrap()).unwrap().replace("damaged", "changed");
        let mut batch = Batch::new();
        batch.put(&key, damaged.into_bytes());
        store.commit_blocking(batch).unwrap();
        assert!(reprise::journal::head_of(&store, &Space::default_space(), &job_id).unwrap().is_some());
    }
    site.start();
    let (status, read) = site.server().get(&format!("/v1/jobs/{}", job.id));
    assert_eq!((status, &read["error"]), (500, &json!("data_corrupt")), "{read}");
    // Another job comes to its end meanwhile: the server looked at what was left, and left it.
    site.completed(&site.job(&[site.node("other", "plain", "other")], &json!({})));
    assert_eq!(site.count("plain", "damaged"), 1);
    assert_eq!(site.counter.count("POST", "/plain/changed"), 0);
}

#[test]
fn c58_time_and_chance_are_after_a_crash_what_they_were_before() {
    let site = Site::new();
    let component = wat::parse_str(include_str!("guests/clock.wat")).unwrap();
    let url = format!("{}/v1/playbooks?id=clock", site.server().url);
    let uploaded = agent().post(&url).content_type("application/wasm").send(&component[..]).unwrap();
    assert_eq!(uploaded.status(), 201);
    let job = site.ask(json!({"playbook_id": "clock", "idempotency_key": "clock"}));
    assert_eq!(site.stood(&job)["status"], "waiting");
    let recorded = |journal: &[Value]| -> Vec<Value> {
        let of = |name: &'static str| move |entry: &Value| entry.get(name).cloned();
        journal.iter().filter_map(of("now")).chain(journal.iter().filter_map(of("random"))).collect()
    };
    let before = recorded(&site.journal(&job));
    assert_eq!(before.len(), 2);
    site.kill();
    site.start();
    assert_eq!(site.say(&job, "signals", &json!({"name": "go"})).0, 202);
    let done = site.completed(&job);
    assert_eq!(done["output"], Value::Array(before.clone()));
    assert_eq!(recorded(&site.journal(&job)), before, "nothing was asked anew");
}

#[test]
fn c81_one_request_sent_fifty_times_at_once_is_one_job() {
    let site = Site::new();
    let graph = json!({"graph_version": 1, "goal": "once", "nodes": [site.node("pay", "plain", "fifty")], "output": null});
    let request = json!({"graph": graph, "idempotency_key": "the same", "wait_ms": 50_000});
    let url = site.server().url.clone();
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| post(&agent(), &url, "/v1/jobs", &request).unwrap());
        let clients: Vec<_> = (0..50).map(|_| one()).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let first = &answers[0].1["job_id"];
    assert!(answers.iter().all(|(status, job)| *status == 200 && job["job_id"] == *first), "{answers:?}");
    assert_eq!(site.count("plain", "fifty"), 1);
}
