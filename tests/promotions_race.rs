//! Several clients change a playbook's status at once, over HTTP: every change that was answered stands in the history once, and
//! what runs is what the newest of them says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::graphs::component;
use crate::support::server::{Answer, Server};

/// A server with `versions` versions of playbook `p`; each comes to its own number.
fn server_with(versions: usize) -> Server {
    let server = Server::granting(&[]);
    // A share of jobs would go to a shadow that stands beside what is active.
    server.operator("PUT", "/v1/policy", Some(&json!({"canary_share": 0}))).ok();
    for version in 1..=versions {
        let nodes = json!([{"id": "nap", "kind": "wait", "sleep_ms": 1}]);
        let bytes = component(&nodes, &json!(version));
        server.send("POST", "/v1/playbooks?id=p&name=p", &[("content-type", "application/wasm")], Some(bytes)).ok();
    }
    server
}

/// What each promotion is answered with, all being sent at the same moment.
fn at_once(server: &Server, promotions: &[Value]) -> Vec<Answer> {
    let ready = Barrier::new(promotions.len());
    std::thread::scope(|scope| {
        let send = |body| {
            let ready = &ready;
            move || {
                ready.wait();
                server.operator("POST", "/v1/playbooks/p/promote", Some(body))
            }
        };
        let sent: Vec<_> = promotions.iter().map(|body| scope.spawn(send(body))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    })
}

/// The history, oldest first, whose versions have no gap.
fn history(server: &Server) -> Vec<Value> {
    let mut changes = server.get("/v1/playbooks/p/history?limit=100").ok()["changes"].as_array().unwrap().clone();
    changes.reverse();
    let versions: Vec<u64> = changes.iter().map(|change| change["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>(), "{changes:#?}");
    changes
}

#[test]
fn of_many_that_make_a_version_active_at_once_one_does_and_the_others_find_it_so() {
    let server = server_with(1);
    let asked = vec![json!({"target_status": "active", "from_version": 1}); 6];
    let answers: Vec<Value> = at_once(&server, &asked).iter().map(Answer::ok).collect();
    let made = answers.iter().filter(|answer| answer["unchanged"] == false).count();
    assert_eq!(made, 1, "{answers:#?}");
    assert!(answers.iter().all(|answer| answer["to_version"] == 2), "{answers:#?}");
    assert_eq!(history(&server).len(), 2);
}

#[test]
fn promotions_that_contradict_each_other_are_done_one_after_the_other() {
    let server = server_with(2);
    for round in 0..6 {
        let before = history(&server).len();
        let asked: Vec<Value> = [("active", 1), ("active", 2), ("disabled", 1), ("shadow", 2)]
            .map(|(target, from)| json!({"target_status": target, "from_version": from, "note": format!("{target} {from} of {round}")}))
            .to_vec();
        let answers: Vec<Value> = at_once(&server, &asked).iter().map(Answer::ok).collect();
        let changes = history(&server);
        let mut made: Vec<u64> = answers.iter().filter(|a| a["unchanged"] == false).map(|a| a["to_version"].as_u64().unwrap()).collect();
        made.sort_unstable();
        assert_eq!(made, (before as u64 + 1..=changes.len() as u64).collect::<Vec<_>>(), "each is a version: {answers:#?}");
        for (asked, answer) in asked.iter().zip(&answers).filter(|(_, answer)| answer["unchanged"] == false) {
            let change = &changes[usize::try_from(answer["to_version"].as_u64().unwrap()).unwrap() - 1];
            assert_eq!((&change["status"], &change["note"]), (&asked["target_status"], &asked["note"]), "{change:#}");
        }
        let newest = changes.last().unwrap();
        let job = server.post("/v1/jobs", &json!({"playbook_id": "p", "wait_ms": 50_000}));
        match newest["status"].as_str().unwrap() {
            "disabled" => drop(job.refused(409, "playbook_disabled")),
            "active" => assert_eq!(job.ok()["output"], newest["from_version"], "{newest:#}"),
            // A shadow takes the place of nothing but a draft, and enables what was disabled.
            _ => assert_eq!(job.ok()["status"], "completed"),
        }
    }
}
