//! The runs of a space, page by page, over HTTP and on the command line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::server::Server;

fn record(server: &Server, run_id: &str, tools: &[&str], status: Option<&str>) {
    let send = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
    send("run/start", json!({"run_id": run_id, "goal": format!("goal of {run_id}")}));
    for (at, tool) in tools.iter().enumerate() {
        send("step/before", json!({"run_id": run_id, "step_index": at + 1, "tool_name": tool}));
    }
    if let Some(status) = status {
        send("run/end", json!({"run_id": run_id, "status": status}));
    }
}

fn recorded() -> Server {
    let server = Server::start();
    record(&server, "a", &["Read", "Write"], Some("success"));
    record(&server, "b", &["Read"], Some("failed"));
    record(&server, "c", &[], None);
    record(&server, "d", &["Write", "Read"], Some("success"));
    record(&server, "e", &["Write"], Some("partial"));
    server
}

fn ids(page: &Value) -> Vec<&str> {
    page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect()
}

#[test]
fn a_list_of_runs_shows_those_that_are_asked_for() {
    let server = recorded();
    for (query, wanted) in [
        ("", &["a", "b", "c", "d", "e"][..]),
        ("?status=success", &["a", "d"]),
        ("?status=failed", &["b"]),
        ("?status=partial", &["e"]),
        ("?status=in_progress", &["c"]),
        ("?tool=Write", &["a", "d", "e"]),
        ("?tool=Write&status=success", &["a", "d"]),
        ("?tool=write", &[]),
        ("?cursor=c", &["d", "e"]),
        ("?scope=elsewhere", &[]),
    ] {
        let page = server.get(&format!("/v1/runs{query}")).ok();
        assert_eq!((ids(&page), &page["next"]), (wanted.to_vec(), &Value::Null), "{query}: {page}");
    }
    let page = server.get("/v1/runs?status=failed").ok();
    let run = &page["runs"][0];
    assert_eq!((&run["goal"], &run["status"], &run["steps"]), (&json!("goal of b"), &json!("failed"), &json!(1)), "{page}");
    assert!(run["started_at"].is_string() && run["ended_at"].is_string(), "{page}");
    for wrong in ["?status=done", "?tool=", "?limit=0", "?limit=501", "?colour=red", "?cursor=", "?status=failed&status=success"] {
        server.get(&format!("/v1/runs{wrong}")).refused(400, "invalid_request");
    }
}

#[test]
fn pages_of_runs_leave_none_out_and_show_none_twice() {
    let server = recorded();
    for (query, wanted) in [("", &["a", "b", "c", "d", "e"][..]), ("&tool=Write", &["a", "d", "e"]), ("&status=success", &["a", "d"])] {
        for limit in 1..=6 {
            let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = server.get(&format!("/v1/runs?limit={limit}{query}{cursor}")).ok();
                assert!(ids(&page).len() <= limit, "{page}");
                found.extend(ids(&page).into_iter().map(str::to_owned));
                pages += 1;
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(
                (found, pages),
                (wanted.iter().map(|id| (*id).to_owned()).collect(), wanted.len().div_ceil(limit)),
                "{limit}{query}"
            );
        }
    }
}
