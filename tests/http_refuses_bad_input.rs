//! What is wrong with a request is said, with its code and its place, and the server goes on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reprise::limits;
use serde_json::{Value, json};

use crate::support::server::Server;

/// A request and what must come of it.
struct Row {
    method: &'static str,
    path: &'static str,
    body: Option<Vec<u8>>,
    status: u16,
    code: &'static str,
    says: &'static str,
}

fn post(path: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str, says: &'static str) -> Row {
    Row { method: "POST", path, body: Some(body.into()), status, code, says }
}

fn start(body: impl Into<Vec<u8>>, status: u16, code: &'static str, says: &'static str) -> Row {
    post("/v1/memory/replay/run/start", body, status, code, says)
}

fn get(path: &'static str, status: u16, code: &'static str, says: &'static str) -> Row {
    Row { method: "GET", path, body: None, status, code, says }
}

fn rows() -> Vec<Row> {
    let deep = |open: &str, close: &str| format!("{{\"goal\":{}{}}}", open.repeat(10_000), close.repeat(10_000));
    let too_long = vec![b' '; limits::HTTP_BODY_BYTES_MAX + 1];
    let big_value = json!({"goal": "g", "inputs": {"x": "y".repeat(limits::JSON_BYTES_MAX)}}).to_string();
    let big_meta = json!({"goal": "g", "metadata": {"x": "y".repeat(limits::STEP_META_BYTES_MAX)}}).to_string();
    let long_id = json!({"goal": "g", "run_id": "x".repeat(129)}).to_string();
    vec![
        // What is not JSON, or not JSON with one meaning.
        start("", 400, "invalid_json", "line 1 column 0"),
        start("{\"goal\": \"g\"", 400, "invalid_json", "line 1 column 12"),
        start("{\"goal\": \"g\",}", 400, "invalid_json", "line 1"),
        start("{\"goal\": NaN}", 400, "invalid_json", "line 1 column 10"),
        start("{\"goal\": \"g\"} {}", 400, "invalid_json", "line 1"),
        start(b"{\"goal\": \"\xff\"}".to_vec(), 400, "invalid_json", "unicode"),
        start(deep("[", "]"), 400, "json_too_deep", "64 levels"),
        start(deep("{\"a\":", "}"), 400, "json_too_deep", "64 levels"),
        start("[".repeat(2_000_000), 400, "json_too_deep", "64 levels"),
        start("{\"goal\": \"a\", \"goal\": \"b\"}", 400, "json_duplicate_key", "\"goal\" twice"),
        start("{\"goal\": \"a\", \"inputs\": {\"k\": {\"x\": 1, \"x\": 1}}}", 400, "json_duplicate_key", "\"x\" twice"),
        start("{\"goal\": \"a\", \"inputs\": {\"n\": 18446744073709551616}}", 400, "json_number_not_exact", "18446744073709551616"),
        start("{\"goal\": \"a\", \"inputs\": {\"n\": [-9223372036854775809]}}", 400, "json_number_not_exact", "-9223372036854775809"),
        start("{\"goal\": \"a\", \"inputs\": {\"n\": 1e999}}", 400, "json_number_not_exact", "out of range"),
        // JSON, but no request.
        start("[]", 400, "invalid_request", "not an object"),
        start("null", 400, "invalid_request", "not an object"),
        start("\"goal\"", 400, "invalid_request", "not an object"),
        start("{}", 400, "invalid_request", "/goal: is missing"),
        start(long_id, 400, "invalid_request", "1 to 128"),
        start("{\"goal\": \"g\", \"run_id\": \"a/b\"}", 400, "invalid_request", "'/'"),
        start("{\"goal\": \"g\", \"run_id\": \"a b\"}", 400, "invalid_request", "' '"),
        start("{\"goal\": \"g\", \"run_id\": \"a\\u200bb\"}", 400, "invalid_request", "\\u{200b}"),
        start("{\"goal\": \"g\", \"run_id\": \"\"}", 400, "invalid_request", "/run_id"),
        start("{\"goal\": \"g\", \"actor\": 7}", 400, "invalid_request", "/actor"),
        start("{\"goal\": \"g\", \"tenant_id\": \"a b\"}", 400, "invalid_tenant_id", "^[a-zA-Z0-9]"),
        start("{\"goal\": \"g\", \"tenant_id\": 7}", 400, "invalid_tenant_id", "not a text"),
        start("{\"goal\": \"g\", \"scope\": \"tenant:x\"}", 400, "invalid_scope", "tenant:"),
        start("{\"goal\": \"g\", \"scope\": \"\"}", 400, "invalid_scope", "1 to 256"),
        post("/v1/jobs", "{\"playbook_id\": \"p\", \"inptu\": 1}", 400, "invalid_request", "did you mean \"input\""),
        post("/v1/jobs", "{\"playbook_id\": \"p\", \"wait_ms\": -1}", 400, "invalid_request", "/wait_ms"),
        post("/v1/jobs", "{\"playbook_id\": \"p\"}", 404, "replay_playbook_not_found", "\"p\""),
        // Too large.
        start(too_long, 413, "too_large", "4194304 bytes"),
        start(big_value, 413, "too_large", "1048576"),
        start(big_meta, 413, "too_large", "65536"),
        post("/v1/no/such/route", vec![b' '; 9 * 1024 * 1024], 404, "route_not_found", "/openapi.json"),
        // Queries and paths.
        get("/v1/jobs?limit=0", 400, "invalid_request", "from 1 to 500"),
        get("/v1/jobs?limit=501", 400, "invalid_request", "from 1 to 500"),
        get("/v1/jobs?limit=ten", 400, "invalid_request", "\"ten\""),
        get("/v1/jobs?cursor=yesterday", 400, "invalid_request", "`next`"),
        get("/v1/jobs?status=done", 400, "invalid_request", "completed"),
        get("/v1/jobs?lmit=5", 400, "invalid_request", "takes tenant_id, scope, status"),
        get("/v1/jobs?limit=5&limit=6", 400, "invalid_request", "stands twice"),
        get("/v1/jobs?tenant_id=-", 400, "invalid_tenant_id", "\"-\""),
        get("/v1/jobs?scope=", 400, "invalid_scope", "1 to 256"),
        get("/v1/playbooks?cursor=a%2Fb", 400, "invalid_request", "?cursor"),
        get("/v1/playbooks/a%20b", 400, "invalid_request", "' '"),
        get("/v1/playbooks/a%2Fb", 400, "invalid_request", "'/'"),
        get("/v1/playbooks/%ff", 400, "invalid_request", "path"),
        get("/v1/playbooks/p/versions/0", 400, "invalid_request", "numbered 1, 2, 3"),
        get("/v1/playbooks/p/versions/latest", 400, "invalid_request", "numbered 1, 2, 3"),
        get("/v1/jobs/7", 404, "job_not_found", "UUID"),
        get("/v1/jobs/0192f0c1-2345-7000-8000-000000000000", 404, "job_not_found", "0192f0c1"),
        get("/v1/jobs/0192f0c1-2345-7000-8000-000000000000/journal?after=-1", 400, "invalid_request", "?after"),
        // Routes and methods.
        get("/", 404, "route_not_found", "no route /"),
        get("/v1/jobs/", 404, "route_not_found", "no route /v1/jobs/"),
        get("/v1/memory/replay/run/start", 405, "method_not_allowed", "it takes POST"),
        Row { method: "DELETE", path: "/v1/jobs", body: None, status: 405, code: "method_not_allowed", says: "it takes POST, GET" },
        Row { method: "OPTIONS", path: "/v1/jobs", body: None, status: 405, code: "method_not_allowed", says: "it takes POST, GET" },
    ]
}

#[test]
fn each_bad_request_gets_its_code_and_reason_and_the_server_goes_on() {
    let server = Server::start();
    for (n, Row { method, path, body, status, code, says }) in rows().into_iter().enumerate() {
        let answer = server.send(method, path, &[("content-type", "application/json")], body);
        let envelope = answer.refused(status, code);
        let message = envelope["message"].as_str().unwrap();
        assert!(message.contains(says), "row {n}, {method} {path}: {message}");
        assert!(message.len() < 2_000, "row {n}: a message is for people");
        server.assert_alive();
    }
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let server = Server::start();
    let body = json!({"run_id": 5, "step_index": "one", "tool_name": ["x"], "preconditions": [{}, 1], "retry_policy": [], "safety_level": "yolo",
        "metadata": "m", "decision_id": {}});
    let envelope = server.post("/v1/memory/replay/step/before", &body).refused(400, "invalid_request");
    let mut places: Vec<&str> = envelope["issues"].as_array().unwrap().iter().filter_map(|issue| issue["path"].as_str()).collect();
    places.sort_unstable();
    let all = ["/decision_id", "/metadata", "/preconditions/1", "/retry_policy", "/run_id", "/safety_level", "/step_index", "/tool_name"];
    assert_eq!(places, all);
    assert_eq!(envelope["details"]["contract"], "error_v1");

    let gate = json!({"enabled": 1, "on_mismatch": "explode", "required_statuses": ["draft", "published"], "matchers": 3, "policy_constraints": []});
    let body = json!({"playbook_id": "p", "deterministic_gate": gate});
    let envelope = server.post("/v1/memory/replay/playbooks/candidate", &body).refused(400, "invalid_request");
    assert_eq!(envelope["issues"].as_array().unwrap().len(), 5, "{envelope}");

    let envelope = server.get("/v1/jobs?limit=x&cursor=y&status=z&more=1").refused(400, "invalid_request");
    assert_eq!(envelope["issues"].as_array().unwrap().len(), 4, "{envelope}");
}

#[test]
fn whole_numbers_of_64_bits_come_back_as_they_were_sent() {
    let server = Server::start();
    let numbers = "[9007199254740993,18446744073709551615,-9223372036854775808,0.1,1e+21]";
    let raw = |route: &str, body: String| {
        let path = format!("/v1/memory/replay/{route}");
        let answer = server.send("POST", &path, &[("content-type", "application/json")], Some(body.into_bytes()));
        assert_eq!(answer.status, 200, "{}", answer.json());
        String::from_utf8(answer.bytes).unwrap()
    };
    raw("run/start", format!("{{\"run_id\":\"r\",\"goal\":\"g\",\"inputs\":{{\"n\":{numbers}}}}}"));
    raw("step/before", format!("{{\"run_id\":\"r\",\"step_id\":\"s\",\"step_index\":1,\"tool_name\":\"t\",\"tool_input\":{numbers}}}"));
    raw("step/after", format!("{{\"run_id\":\"r\",\"step_id\":\"s\",\"status\":\"success\",\"output\":{numbers}}}"));
    let whole = raw("runs/get", "{\"run_id\":\"r\"}".to_owned());
    assert_eq!(whole.matches(numbers).count(), 3, "{whole}");
}

#[test]
fn a_body_must_say_that_it_is_json_so_that_a_web_page_cannot_send_one_unasked() {
    let server = Server::start();
    let body = json!({"goal": "g"}).to_string().into_bytes();
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data; boundary=x")] {
        let headers: Vec<(&str, &str)> = kind.map(|kind| ("content-type", kind)).into_iter().collect();
        let answer = server.send("POST", "/v1/memory/replay/run/start", &headers, Some(body.clone()));
        let envelope = answer.refused(400, "invalid_request");
        assert!(envelope["message"].as_str().unwrap().contains("content-type: application/json"), "{envelope}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        let answer = server.send("POST", "/v1/memory/replay/run/start", &[("content-type", kind)], Some(body.clone()));
        assert_eq!(answer.status, 200, "{kind}");
    }
}

/// Sends raw bytes and gives what comes back until the server hangs up or has answered in full.
fn raw(server: &Server, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for part in parts {
        stream.write_all(part).unwrap();
    }
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn a_length_that_lies_and_a_body_without_one_are_held_to_the_limit_too() {
    let server = Server::start();
    let head = |more: &str| {
        format!(
            "POST /v1/memory/replay/run/start HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{more}\r\n\r\n"
        )
    };
    // No length at all: chunks, one byte more than the limit.
    let chunk = format!("{:x}\r\n{}\r\n", limits::HTTP_BODY_BYTES_MAX + 1, " ".repeat(limits::HTTP_BODY_BYTES_MAX + 1));
    let heard = raw(&server, &[head("transfer-encoding: chunked").as_bytes(), chunk.as_bytes(), b"0\r\n\r\n"]);
    assert!(heard.starts_with("HTTP/1.1 413") && heard.contains("\"too_large\""), "{heard}");
    // A length of petabytes from a client that waits for leave: refused before a byte is sent.
    let heard = raw(&server, &[head("content-length: 9007199254740993\r\nexpect: 100-continue").as_bytes()]);
    assert!(heard.starts_with("HTTP/1.1 413") && !heard.contains("100 Continue"), "{heard}");
    // A client with manners gets its leave.
    let heard = raw(&server, &[head("content-length: 12\r\nexpect: 100-continue").as_bytes(), b"{\"goal\":\"g\"}"]);
    assert!(heard.starts_with("HTTP/1.1 100") && heard.contains("HTTP/1.1 200"), "{heard}");
    // What is no HTTP at all.
    let heard = raw(&server, &[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"]);
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 400"), "{heard}");
    server.assert_alive();
}

#[test]
fn nothing_that_was_refused_was_kept() {
    let server = Server::start();
    for Row { method, path, body, .. } in rows() {
        server.send(method, path, &[("content-type", "application/json")], body);
    }
    for query in ["", "?tenant_id=acme"] {
        assert_eq!(server.get(&format!("/v1/jobs{query}")).ok()["jobs"], Value::Array(Vec::new()));
        assert_eq!(server.get(&format!("/v1/playbooks{query}")).ok()["playbooks"], Value::Array(Vec::new()));
    }
}

/// A web page whose own name was made to point to this machine sends that name.
#[test]
fn a_request_for_another_machines_name_is_refused() {
    let server = Server::start();
    let ask = |host: &str| raw(&server, &[format!("GET /v1/jobs HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()]);
    for ours in ["localhost", "127.0.0.1:7480", "[::1]:80"] {
        assert!(ask(ours).starts_with("HTTP/1.1 200"), "{ours}");
    }
    let heard = ask("evil.example:7480");
    assert!(heard.starts_with("HTTP/1.1 400") && heard.contains("\"host_not_allowed\"") && heard.contains("evil.example"), "{heard}");
}
