//! The `http` tools against a server that counts: what goes out, what comes back, and what an error promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use reprise::contract::{Confirmation, Effect, ErrorKind, Outcome, Reconciliation, ToolError, ToolId};
use reprise::json::Json;
use reprise::tools::{Grant, Grants, Registry};
use serde_json::{Value, json};

use crate::support::counter::{Counter, When};
use crate::support::server::Server;

/// A counting server, and a job that may call it.
struct Web {
    counter: Counter,
    registry: Registry,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
}

impl Web {
    /// With a grant for all methods, and these fields in it.
    fn granting(fields: &Value) -> Web {
        let counter = Counter::start();
        let mut grant =
            json!({"kind": "http", "name": "web", "origin": counter.origin(), "methods": ["GET", "PUT", "DELETE", "POST", "PATCH"]});
        grant.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let grant: Grant = serde_json::from_value(grant).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Web { counter, registry: Registry::builtin(), grants: Grants::open(&[grant]).unwrap(), runtime }
    }

    fn new() -> Web {
        Web::granting(&json!({}))
    }

    /// `more` beside the URL of this path.
    fn input(&self, path: &str, more: &Value) -> Json {
        let mut input = json!({ "url": self.counter.url(path) });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Json::from(&input)
    }

    fn call(&self, tool: &str, path: &str, more: &Value) -> Outcome {
        let outcome = self.runtime.block_on(self.registry.call(&id(tool), "the-key", &self.input(path, more), &self.grants));
        if let Ok(output) = &outcome {
            jsonschema::validate(&self.registry.get(&id(tool)).unwrap().output_schema, &output.value()).unwrap();
        }
        outcome
    }

    fn refused(&self, tool: &str, path: &str, more: &Value) -> ToolError {
        self.call(tool, path, more).unwrap_err()
    }

    fn reconcile(&self, path: &str, more: &Value) -> Reconciliation {
        self.runtime.block_on(self.registry.reconcile(&id("http/post"), "the-key", &self.input(path, more), &self.grants))
    }
}

fn id(tool: &str) -> ToolId {
    ToolId::parse(tool).unwrap()
}

const TOOLS: [&str; 5] = ["http/get", "http/put", "http/delete", "http/post", "http/patch"];

/// Whether the other side does it again where it is sent again.
fn is_once(tool: &str) -> bool {
    matches!(tool, "http/post" | "http/patch")
}

#[test]
fn a_request_carries_the_calls_key_and_an_answer_its_body_and_a_few_headers() {
    let web = Web::new();
    let headers = [("ETag", "\"1\""), ("Set-Cookie", "secret"), ("Location", "/there"), ("Link", "<a>"), ("link", "<b>")];
    web.counter.answer("/json", 201, "application/json; charset=utf-8", &headers, r#"{"b": 2, "a": [1]}"#);
    web.counter.answer("/text", 200, "text/html", &[], "<p>ü</p>");
    web.counter.answer("/moved", 302, "text/plain", &[("location", "http://127.0.0.1:1/elsewhere")], "");
    let sent = json!({ "headers": { "Authorization": "Bearer x" }, "body": { "amount": 12 } });
    let output = web.call("http/post", "/json?q=1", &sent).unwrap();
    let shown = json!({ "content-type": "application/json; charset=utf-8", "etag": "\"1\"", "link": "<a>, <b>", "location": "/there" });
    assert_eq!(output.value(), json!({ "status": 201, "headers": shown, "body": { "a": [1], "b": 2 } }));
    let seen = web.counter.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.query.as_str(), seen.body.as_str()), ("POST", "q=1", r#"{"amount":12}"#));
    assert_eq!((seen.key.as_deref(), seen.headers["authorization"].as_str()), (Some("the-key"), "Bearer x"));
    assert_eq!((seen.headers["content-type"].as_str(), seen.headers.contains_key("accept-encoding")), ("application/json", false));

    assert_eq!(web.call("http/get", "/text", &json!({})).unwrap().value()["body"], "<p>ü</p>");
    let moved = web.call("http/get", "/moved", &json!({})).unwrap().value();
    assert_eq!((&moved["status"], &moved["body"]), (&json!(302), &Value::Null), "not followed");
    web.call("http/put", "/text", &json!({ "headers": { "content-type": "text/csv" }, "body": "a,b" })).unwrap();
    web.call("http/delete", "/text", &json!({})).unwrap();
    web.call("http/post", "/text", &json!({})).unwrap();
    web.call("http/post", "/text", &json!({ "body": null })).unwrap();
    web.call("http/patch", "/text", &json!({ "headers": { "content-type": "application/merge-patch+json" }, "body": { "a": null } }))
        .unwrap();
    let sent: Vec<(String, String, bool)> =
        web.counter.seen().into_iter().skip(1).map(|seen| (seen.method, seen.body, seen.key.is_some())).collect();
    let expected = [
        ("GET", "", false),
        ("GET", "", false),
        ("PUT", "a,b", true),
        ("DELETE", "", true),
        ("POST", "", true),
        ("POST", "null", true),
        ("PATCH", r#"{"a":null}"#, true),
    ];
    assert_eq!(sent, expected.map(|(method, body, key)| (method.to_owned(), body.to_owned(), key)));
}

#[test]
fn each_status_is_an_error_of_one_kind_and_a_once_call_is_not_told_that_nothing_happened() {
    let web = Web::new();
    let keyed = Web::granting(&json!({ "key_header": "X-Key" }));
    for (status, kind, of_once) in [
        (400, "failed", "failed"),
        (401, "failed", "failed"),
        (403, "failed", "failed"),
        (404, "not-found", "not-found"),
        (408, "unavailable", "timeout"),
        (409, "conflict", "conflict"),
        (410, "not-found", "not-found"),
        (412, "conflict", "conflict"),
        (422, "failed", "failed"),
        (425, "unavailable", "unavailable"),
        (429, "unavailable", "unavailable"),
        (500, "unavailable", "failed"),
        (501, "unavailable", "failed"),
        (502, "unavailable", "timeout"),
        (503, "unavailable", "timeout"),
        (504, "unavailable", "timeout"),
    ] {
        let path = format!("/{status}");
        for web in [&web, &keyed] {
            web.counter.answer(&path, status, "application/problem+json", &[], r#"{"why": "so"}"#);
        }
        for tool in TOOLS {
            let error = web.refused(tool, &path, &json!({}));
            assert_eq!(error.kind.as_str(), if is_once(tool) { of_once } else { kind }, "{tool} {status}");
            let detail = error.detail.unwrap().value();
            assert_eq!((&detail["status"], &detail["body"]["why"]), (&json!(status), &json!("so")));
        }
        for tool in ["http/post", "http/patch"] {
            assert_eq!(keyed.refused(tool, &path, &json!({})).kind.as_str(), kind, "repeating is safe there");
        }
    }
    web.counter.answer("/long", 500, "application/json", &[], vec![b'x'; 100_000]);
    assert!(web.refused("http/get", "/long", &json!({})).detail.unwrap().as_str().len() < 10_000);
}

#[test]
fn what_was_not_sent_is_unavailable_and_what_got_no_answer_is_not_known() {
    let web = Web::new();
    web.counter.json("/", &json!(1));
    for when in [When::Before, When::After] {
        for tool in TOOLS {
            web.counter.json("/cut", &json!(1));
            web.counter.cut("/cut", 1, when);
            let error = web.refused(tool, "/cut", &json!({}));
            let (kind, says) =
                if tool == "http/get" { (ErrorKind::Unavailable, "no whole answer") } else { (ErrorKind::Timeout, "not known") };
            assert!(error.kind == kind && error.message.contains(says), "{tool}: {error}");
        }
    }
    assert_eq!(web.counter.seen().len(), 2 * TOOLS.len(), "nothing is sent twice unasked");

    let held = web.counter.hold("/held", When::Before);
    for (n, tool) in TOOLS.into_iter().enumerate() {
        let error = web.refused(tool, "/held", &json!({ "timeout_ms": 200 }));
        assert_eq!(error.kind, ErrorKind::Timeout, "{tool}");
        assert!(error.message.contains("within 200 ms"), "{error}");
        assert_eq!(error.message.contains("not known"), tool != "http/get", "{error}");
        held.wait_until_gone(n + 1);
    }

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for origin in [format!("http://{nobody}"), format!("https://{}", nobody), "http://no-such-host.invalid".to_owned()] {
        let grants = Grants::open(&[Grant::parse_flag(&format!("http:{origin}=GET,PUT,DELETE,POST,PATCH")).unwrap()]).unwrap();
        for tool in TOOLS {
            let input = Json::from(&json!({ "url": format!("{origin}/?token=secret") }));
            let error = web.runtime.block_on(web.registry.call(&id(tool), "k", &input, &grants)).unwrap_err();
            assert!(error.kind == ErrorKind::Unavailable && error.message.ends_with("nothing was sent"), "{tool} {origin}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
}

#[test]
fn a_plain_server_spoken_to_with_tls_is_not_sent_anything() {
    let web = Web::new();
    let origin = web.counter.origin().replace("http:", "https:");
    let grants = Grants::open(&[Grant::parse_flag(&format!("http:{origin}=POST")).unwrap()]).unwrap();
    let input = Json::from(&json!({ "url": format!("{origin}/"), "timeout_ms": 5_000 }));
    let error = web.runtime.block_on(web.registry.call(&id("http/post"), "k", &input, &grants)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    // Unless this machine has no certificates to judge others by.
    let no_certificates = error.message.contains("No CA certificates");
    assert!(no_certificates || !error.message.contains("from here"), "the reason is the other side's: {error}");
    assert_eq!(web.counter.count("POST", "/"), 0);
}

#[test]
fn an_answer_that_cannot_be_passed_on_says_that_it_came() {
    let web = Web::new();
    web.counter.answer("/binary", 200, "image/png", &[], vec![0xff, 0xd8]);
    web.counter.answer("/broken", 200, "application/json", &[], "{");
    web.counter.answer("/twice", 200, "application/json", &[], r#"{"a":1,"a":2}"#);
    web.counter.answer("/large", 200, "text/plain", &[], vec![b'x'; 512 * 1024 + 1]);
    web.counter.answer("/controls", 200, "text/plain", &[], vec![1; 512 * 1024]);
    web.counter.answer("/deep", 200, "application/json", &[], "[".repeat(64) + &"]".repeat(64));
    web.counter.answer("/full", 200, "text/plain", &[], vec![b'x'; 512 * 1024]);
    web.counter.answer("/deepest", 200, "application/json", &[], "[".repeat(63) + &"]".repeat(63));
    for (path, says) in [
        ("/binary", "answered with 200, but the body is not UTF-8"),
        ("/broken", "answered with 200, but its JSON body is not JSON"),
        ("/twice", "twice"),
        ("/large", "answered with 200 and a body of more than the 524288 bytes"),
        ("/controls", "would have 3145"),
        ("/deep", "nested deeper"),
    ] {
        let error = web.refused("http/post", path, &json!({}));
        assert_eq!(error.kind, ErrorKind::Failed, "{path}: {error}");
        assert!(error.message.contains(says), "{path}: {error}");
    }
    assert!(web.call("http/get", "/full", &json!({})).is_ok());
    let deepest = web.call("http/get", "/deepest", &json!({})).unwrap();
    assert_eq!(Json::parse(deepest.as_str().as_bytes()).unwrap(), deepest);
}

#[test]
fn nothing_is_sent_that_is_not_granted_or_too_large() {
    let web = Web::granting(&json!({ "methods": ["POST"], "path": "/v1" }));
    web.counter.json("/", &json!(1));
    for (tool, path, more, kind, says) in [
        ("http/get", "/v1", json!({}), "denied", "no grant covers GET http://127.0.0.1"),
        ("http/post", "/v2", json!({}), "denied", "this job has: web (POST at http://127.0.0.1"),
        ("http/post", "/v1/../v2", json!({}), "invalid-input", "could lead out of a grant"),
        ("http/post", "/v1", json!({ "headers": { "Host": "evil.example" } }), "invalid-input", "leave it out"),
        ("http/post", "/v1", json!({ "headers": { "a": 1 } }), "invalid-input", "/headers/a"),
        ("http/post", "/v1", json!({ "body": "x".repeat(1024 * 1024) }), "invalid-input", "the input has"),
        ("http/post", "/v1", json!({ "timeout_ms": 0 }), "invalid-input", "/timeout_ms"),
        ("http/post", "/v1", json!({ "timeout_ms": 25_001 }), "invalid-input", "/timeout_ms"),
        ("http/get", "/v1", json!({ "body": 1 }), "invalid-input", "'body'"),
        ("http/post", "/v1", json!({ "method": "GET" }), "invalid-input", "'method'"),
    ] {
        let error = web.refused(tool, path, &more);
        assert_eq!(error.kind.as_str(), kind, "{tool} {path}: {error}");
        assert!(error.message.contains(says), "{tool} {path}: {error}");
    }
    assert_eq!(web.counter.seen(), [], "nothing arrived");
}

#[test]
fn dropping_a_call_closes_its_connection_at_once() {
    let web = Web::new();
    let held = web.counter.hold("/", When::Before);
    for (n, tool) in TOOLS.into_iter().enumerate() {
        let (registry, grants, input) = (web.registry.clone(), web.grants.clone(), web.input("/", &json!({})));
        let call = web.runtime.spawn(async move { registry.call(&id(tool), "k", &input, &grants).await });
        held.wait_until_held(n + 1);
        call.abort();
        // Long before the call's own time would be over.
        held.wait_until_gone(n + 1);
        assert!(web.runtime.block_on(call).unwrap_err().is_cancelled());
    }
}

#[test]
fn an_uncertain_post_is_asked_after_where_the_grant_says() {
    let web = Web::granting(&json!({ "reconcile": "/refunds/by-key/{key}" }));
    web.counter.issues("/refunds", false);
    let more = json!({ "headers": { "authorization": "Bearer x", "content-type": "application/json" }, "body": 1 });
    web.counter.cut("/refunds", 1, When::Before);
    assert_eq!(web.refused("http/post", "/refunds", &more).kind, ErrorKind::Timeout);
    assert_eq!(web.reconcile("/refunds", &more), Reconciliation::DidNotHappen);
    web.counter.cut("/refunds", 1, When::After);
    assert_eq!(web.refused("http/post", "/refunds", &more).kind, ErrorKind::Timeout);
    let output = json!({ "status": 200, "headers": { "content-type": "application/json" }, "body": { "id": "r-1" } });
    assert_eq!(web.reconcile("/refunds", &more), Reconciliation::Happened(Json::from(&output)));
    let asked = web.counter.seen().pop().unwrap();
    assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.body.as_str()), ("GET", "/refunds/by-key/the-key", ""));
    assert_eq!((asked.headers["authorization"].as_str(), asked.headers.get("content-type")), ("Bearer x", None));
    assert_eq!((web.counter.count("POST", "/refunds"), web.counter.issued()), (2, 1), "asking does nothing");

    for status in [201, 204, 302, 401, 410, 500, 503] {
        web.counter.answer("/refunds/by-key", status, "application/json", &[], "1");
        let told = web.reconcile("/refunds", &more);
        assert!(matches!(&told, Reconciliation::Unknown(why) if why.contains(&status.to_string())), "{status}: {told:?}");
    }
    web.counter.cut("/refunds/by-key", 1, When::Before);
    assert!(matches!(web.reconcile("/refunds", &more), Reconciliation::Unknown(_)));
    let silent = Web::new();
    assert!(matches!(silent.reconcile("/refunds", &more), Reconciliation::Unknown(why) if why.contains("names no path")));
    assert_eq!(silent.counter.seen(), []);
}

#[test]
fn a_post_may_be_repeated_where_the_grant_names_the_header_of_the_key() {
    let keyed = Web::granting(&json!({ "key_header": "X-Request-Key", "path": "/pay" }));
    keyed.counter.issues("/pay", true);
    let effect = |web: &Web, tool: &str, path: &str| web.registry.effect_of(&id(tool), &web.input(path, &json!({})), &web.grants);
    assert_eq!(effect(&keyed, "http/post", "/pay/1"), Effect::Idempotent);
    assert_eq!(effect(&keyed, "http/post", "/elsewhere"), Effect::Once);
    assert_eq!(effect(&Web::new(), "http/post", "/pay"), Effect::Once);
    assert_eq!(
        ["http/get", "http/put", "http/delete"].map(|tool| effect(&keyed, tool, "/pay")),
        [Effect::Read, Effect::Idempotent, Effect::Idempotent]
    );
    assert_eq!((effect(&keyed, "http/patch", "/pay/1"), effect(&Web::new(), "http/patch", "/pay")), (Effect::Idempotent, Effect::Once));
    keyed.call("http/post", "/pay", &json!({})).unwrap();
    let seen = keyed.counter.seen().remove(0);
    assert_eq!((seen.headers["x-request-key"].as_str(), seen.key), ("the-key", None));
}

#[test]
fn what_was_got_is_confirmed_by_getting_it_again() {
    let web = Web::new();
    web.counter.json("/a", &json!({ "n": 1 }));
    let output = web.call("http/get", "/a", &json!({})).unwrap();
    let confirm = || web.runtime.block_on(web.registry.confirm(&id("http/get"), &web.input("/a", &json!({})), &output, &web.grants));
    web.counter.answer("/a", 200, "application/json", &[("etag", "other")], r#"{ "n": 1 }"#);
    assert_eq!(confirm(), Confirmation::Holds, "the same status and the same value");
    web.counter.json("/a", &json!({ "n": 2 }));
    assert!(matches!(confirm(), Confirmation::Changed(_)));
    web.counter.answer("/a", 404, "text/plain", &[], "");
    assert!(matches!(confirm(), Confirmation::Changed(_)));
    web.counter.answer("/a", 503, "text/plain", &[], "");
    assert!(matches!(confirm(), Confirmation::Unknown(_)));
}

/// Runs the `http` examples of `docs/TOOLS.md` from top to bottom, against a server that answers as the page says.
#[test]
fn the_examples_of_the_documentation_are_true() {
    let page = std::fs::read_to_string(crate::support::page::repository().join("docs/TOOLS.md")).unwrap();
    let web = Web::new();
    web.counter.answer("/carts", 204, "", &[], "");
    web.counter.answer("/orders/7", 200, "application/json", &[("etag", "\"a1\"")], r#"{"order": 7, "paid": true}"#);
    web.counter.answer("/orders/8", 404, "application/json", &[], r#"{"error": "no such order"}"#);
    web.counter.issues("/refunds", false);
    web.counter.answer("/notes", 200, "text/plain", &[], "noted");
    let mut examples = 0;
    for block in page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap()).filter(|block| block.contains("\"http/")) {
        let block = block.replace("http://127.0.0.1:9000", &web.counter.origin());
        let example: Value = serde_json::from_str(&block).unwrap();
        let input = Json::from(&example["input"]);
        match web.runtime.block_on(web.registry.call(&id(example["tool"].as_str().unwrap()), "k", &input, &web.grants)) {
            Ok(output) => assert_eq!(output.value(), example["output"], "{block}"),
            Err(error) => assert_eq!(serde_json::to_value(&error).unwrap(), example["error"], "{block}"),
        }
        examples += 1;
    }
    assert_eq!(examples, 7);
}

/// From the operator's flag to the other side, through a component: recorded, compiled, run.
#[test]
fn a_playbook_calls_what_the_operator_granted_and_nothing_else() {
    let counter = Counter::start();
    counter.issues("/refunds", true);
    let server = Server::granting(&[format!("http:{}=POST", counter.origin())]);
    let granted = server.get("/v1/grants").ok()["grants"][0].clone();
    let words = format!("POST at {}", counter.origin());
    let expected =
        json!({"kind": "http", "name": granted["name"], "origin": counter.origin(), "methods": ["POST"], "source": "flag", "words": words});
    assert_eq!(granted, expected);

    for (run, url, status) in [
        ("granted", counter.url("/refunds"), "completed"),
        ("elsewhere", counter.url("/refunds").replace("127.0.0.1", "localhost"), "failed"),
    ] {
        let step = json!({"run_id": run, "step_index": 1, "tool_name": "http/post", "tool_input": {"url": url, "body": {"order": 7}}});
        let answered = json!({"status": 200, "headers": {}, "body": {"id": "r-9"}});
        server.post("/v1/memory/replay/run/start", &json!({"run_id": run, "goal": "refund"})).ok();
        server.post("/v1/memory/replay/step/before", &step).ok();
        let after = json!({"run_id": run, "step_index": 1, "status": "success", "output": answered});
        server.post("/v1/memory/replay/step/after", &after).ok();
        server.post("/v1/memory/replay/run/end", &json!({"run_id": run, "status": "success"})).ok();
        server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": run, "playbook_id": run})).ok();
        let job = server.post("/v1/jobs", &json!({"playbook_id": run, "input": {}, "wait_ms": 30_000})).ok();
        assert_eq!(job["status"], status, "{job}");
        if status == "failed" {
            assert!(job["failure"]["message"].as_str().unwrap().contains("no grant covers POST http://localhost"), "{job}");
        }
    }
    let seen = counter.seen();
    assert_eq!((seen.len(), seen[0].body.as_str(), counter.issued()), (1, r#"{"order":7}"#, 1));
    assert!(seen[0].key.as_ref().is_some_and(|key| !key.is_empty()));
}
