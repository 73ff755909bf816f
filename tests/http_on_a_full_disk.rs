//! The disk takes no more: the server says so, keeps answering what it has, and tells nobody where its files are.

use std::process::Command;

use serde_json::json;

use crate::support::server::Server;

const CHILD: &str = "REPRISE_TEST_FULL_DISK";

/// Runs as a process that may not make files larger than some megabytes, and gets an error where it tries.
#[test]
fn child_serves_until_the_disk_is_full() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::start();
    let start = |n: u32| {
        let inputs = json!({"text": "x".repeat(30_000), "n": n});
        server.post("/v1/memory/replay/run/start", &json!({"run_id": format!("run-{n}"), "goal": "g", "inputs": inputs}))
    };
    let refused = (0..).find(|n| start(*n).status != 200).unwrap();
    assert!(refused > 20, "the server worked before");
    for answer in [start(refused), server.get("/healthz"), server.get("/health")] {
        let envelope = answer.refused(503, "store_poisoned");
        let message = envelope["message"].as_str().unwrap();
        assert!(message.contains("Nothing that was acknowledged is lost") && message.contains("the log has the rest"), "{message}");
        assert!(!message.contains('/') && !message.contains("File too large"), "the reason is for the log: {message}");
        assert_eq!(envelope["details"]["request_id"], answer.headers["x-request-id"].to_str().unwrap());
        assert!(answer.headers.contains_key("retry-after"));
    }
    for n in [0, refused - 1] {
        let run = server.post("/v1/memory/replay/runs/get", &json!({"run_id": format!("run-{n}")})).ok();
        assert_eq!(run["run"]["inputs"]["n"], n);
    }
    assert_eq!(start(0).status, 200, "a repeat of what was kept needs no disk");
    server.post("/v1/memory/replay/runs/get", &json!({"run_id": format!("run-{refused}")})).refused(404, "replay_run_not_found");
    println!("\nthe child came to its end");
}

#[test]
fn a_server_on_a_full_disk_says_so_and_goes_on_reading() {
    let child = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 24000; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "http_on_a_full_disk::child_serves_until_the_disk_is_full", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("the child came to its end"), "{said}{}", String::from_utf8_lossy(&child.stderr));
}
