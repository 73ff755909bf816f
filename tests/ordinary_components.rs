//! A component that knows nothing of Reprise, written with std and WASI 0.2 alone: what it reaches, and what it does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::counter::Counter;
use crate::support::page::repository;
use crate::support::server::Server;
use crate::support::toolchains::{build_directory, has_rust_for_components, rust_environment};

/// The component of `tests/guests/ordinary`, built; none where this machine cannot build one.
fn ordinary() -> Option<Vec<u8>> {
    if !has_rust_for_components() {
        return None;
    }
    let target = build_directory("ordinary");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-wasip2"]);
    for (name, value) in rust_environment() {
        match value {
            Some(value) => cargo.env(name, value),
            None => cargo.env_remove(name),
        };
    }
    cargo.arg("--target-dir").arg(&target).current_dir(repository().join("tests/guests/ordinary"));
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(std::fs::read(target.join("wasm32-wasip2/release/ordinary.wasm")).unwrap())
}

fn taken_in(server: &Server, component: &[u8]) -> Value {
    server.send("POST", "/v1/tools", &[("content-type", "application/wasm")], Some(component.to_vec())).ok()
}

fn call(server: &Server, tool: &str, input: Value) -> Value {
    server.post(&format!("/v1/tools/clerk/{tool}/call"), &json!({ "input": input })).ok()
}

fn output(server: &Server, tool: &str, input: Value) -> Value {
    let answer = call(server, tool, input);
    assert_eq!(answer["ok"], true, "{tool}: {answer}");
    answer["output"].clone()
}

fn error(server: &Server, tool: &str, input: Value) -> String {
    let answer = call(server, tool, input);
    assert_eq!(answer["ok"], false, "{tool}: {answer}");
    format!("{} {}", answer["error"]["message"].as_str().unwrap(), answer["log"].as_str().unwrap_or_default())
}

#[test]
fn without_grants_everything_is_there_and_stands_still() {
    let Some(component) = ordinary() else { return };
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("a.txt"), "hello").unwrap();
    let counter = Counter::start();
    counter.json("/read", &json!({"n": 1}));
    // What the built-in tools have, and another namespace has, is not this component's.
    let grants = [
        format!("fs:project={}", tree.path().display()),
        format!("fs@other:files={}", tree.path().display()),
        format!("http:{}=GET", counter.origin()),
        "kv:notes".to_owned(),
        "env@other:NAME=value".to_owned(),
    ];
    let server = Server::granting(&grants);
    let uploaded = taken_in(&server, &component);
    let asks: Vec<&str> = uploaded["asks"].as_array().unwrap().iter().map(|ask| ask["ask"].as_str().unwrap()).collect();
    assert_eq!(asks, ["files", "web", "environment", "clock", "randomness", "key-value", "configuration"]);
    assert!(uploaded["tools"].as_array().unwrap().iter().all(|tool| tool["effect"] == "once"), "the worst is assumed: {uploaded}");

    for path in ["a.txt", "/project/a.txt", "/files/a.txt", "/etc/passwd", "../a.txt"] {
        error(&server, "read", json!({ "path": path }));
    }
    assert_eq!(output(&server, "variable", json!({"name": "NAME"})), Value::Null);
    assert_eq!(output(&server, "variable", json!({"name": "PATH"})), Value::Null, "the host's own environment is nobody's");
    assert_eq!(output(&server, "setting", json!({"name": "NAME"})), Value::Null);
    assert_eq!(output(&server, "seconds", json!({})), 0);
    assert_eq!(output(&server, "dice", json!({})), output(&server, "dice", json!({})));
    let authority = counter.origin().trim_start_matches("http://").to_owned();
    let refused = error(&server, "fetch", json!({"authority": authority, "path": "/read"}));
    assert!(refused.contains("HttpRequestDenied") && refused.contains("no grant covers"), "{refused}");
    assert!(error(&server, "connect", json!({"address": authority})).to_lowercase().contains("permission"), "no socket is ever made");
    let refused = error(&server, "remember", json!({"bucket": "notes", "key": "k", "value": "v"}));
    assert!(refused.contains("access denied") && refused.contains("the space \"notes\""), "{refused}");
    assert_eq!(counter.count("GET", "/read"), 0);
}

#[test]
fn each_grant_to_its_namespace_opens_one_thing() {
    let Some(component) = ordinary() else { return };
    let (tree, shelf) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(tree.path().join("a.txt"), "hello").unwrap();
    let counter = Counter::start();
    counter.json("/read", &json!({"n": 1}));
    counter.json("/other", &json!({"n": 2}));
    let grants = [
        format!("fs@clerk:project={}", tree.path().display()),
        format!("fs@clerk:shelf={}:ro", shelf.path().display()),
        format!("http@clerk:{}=GET", counter.origin()),
        "kv@clerk:notes".to_owned(),
        "kv@clerk:library:ro".to_owned(),
        "env@clerk:NAME=value".to_owned(),
        "clock@clerk".to_owned(),
        "random@clerk".to_owned(),
    ];
    let mut server = Server::granting(&grants);
    taken_in(&server, &component);
    assert_eq!(output(&server, "read", json!({"path": "/project/a.txt"})), "hello");
    assert_eq!(output(&server, "write", json!({"path": "/project/b.txt", "text": "new"})), Value::Null);
    assert_eq!(std::fs::read_to_string(tree.path().join("b.txt")).unwrap(), "new");
    error(&server, "write", json!({"path": "/shelf/b.txt", "text": "new"}));
    error(&server, "read", json!({"path": "/project/../../etc/passwd"}));
    assert!(std::fs::read_dir(shelf.path()).unwrap().next().is_none());

    assert_eq!(output(&server, "variable", json!({"name": "NAME"})), "value");
    assert_eq!(output(&server, "setting", json!({"name": "NAME"})), "value");
    assert!(output(&server, "seconds", json!({})).as_u64().unwrap() > 1_700_000_000);
    assert_ne!(output(&server, "dice", json!({})), output(&server, "dice", json!({})));

    let authority = counter.origin().trim_start_matches("http://").to_owned();
    let fetched = output(&server, "fetch", json!({"authority": authority, "path": "/read"}));
    assert_eq!(fetched, json!([200, "{\"n\":1}"]));
    let refused = error(&server, "fetch", json!({"authority": "127.0.0.1:1", "path": "/read"}));
    assert!(refused.contains("HttpRequestDenied"), "{refused}");
    let smuggled = error(&server, "fetch", json!({"authority": authority, "path": "/read", "header": ["x-original-url", "/other"]}));
    assert!(smuggled.contains("x-original-url"), "{smuggled}");
    assert_eq!(counter.count("GET", "/other"), 0);

    assert_eq!(output(&server, "remember", json!({"bucket": "notes", "key": "k", "value": "v"})), Value::Null);
    assert_eq!(output(&server, "count", json!({"bucket": "notes", "key": "n"})), 1);
    assert_eq!(output(&server, "count", json!({"bucket": "notes", "key": "n"})), 2);
    let refused = error(&server, "remember", json!({"bucket": "library", "key": "k", "value": "v"}));
    assert!(refused.contains("access denied") && refused.contains("read-only"), "{refused}");
    server.restart_granting(&grants);
    assert_eq!(output(&server, "recall", json!({"bucket": "notes", "key": "k"})), "v");
    assert_eq!(output(&server, "keys", json!({"bucket": "notes"})), json!(["k", "n"]));
}

#[test]
fn it_uses_a_secret_that_it_never_sees() {
    let Some(component) = ordinary() else { return };
    let counter = Counter::start();
    let value = "canary/4711+wasi";
    counter.reply(
        "/echo",
        Arc::new(|seen| {
            (200, vec![("x-echo", seen.headers["authorization"].clone())], format!("{:?} {}", seen.headers, seen.query).into())
        }),
    );
    let server = Server::granting(&[
        format!("http@clerk:{}=GET", counter.origin()),
        format!("secret:canary@{}=header:authorization", counter.origin().trim_start_matches("http://").replace(':', "-")),
        "env@clerk:TOKEN=Bearer {{secret:canary}}".to_owned(),
    ]);
    server.operator("PUT", "/v1/secrets/canary", Some(&json!({"value": value}))).ok();
    taken_in(&server, &component);
    assert_eq!(output(&server, "variable", json!({"name": "TOKEN"})), "Bearer {{secret:canary}}");
    assert_eq!(output(&server, "setting", json!({"name": "TOKEN"})), "Bearer {{secret:canary}}");
    let authority = counter.origin().trim_start_matches("http://").to_owned();
    let fetch = |path: &str, header: [&str; 2]| call(&server, "fetch", json!({"authority": authority, "path": path, "header": header}));

    let fetched = fetch("/echo", ["authorization", "Bearer {{secret:canary}}"]);
    assert_eq!(counter.seen()[0].headers["authorization"], format!("Bearer {value}"));
    let answer = fetched["output"][1].as_str().unwrap();
    assert!(answer.contains("\"authorization\": \"Bearer {{secret:canary}}\"") && !fetched.to_string().contains(value), "{fetched}");
    // Elsewhere it is nothing but a refusal, which names what is missing.
    for (path, header, says) in [
        (
            "/echo",
            ["x-token", "{{secret:canary}}"],
            "the header \"x-token\" holds {{secret:canary}}, and no grant lets that secret stand there",
        ),
        ("/echo?key={{secret:canary}}", ["x-a", "b"], "key in the query of the URL holds {{secret:canary}}"),
        ("/{{secret:canary}}", ["x-a", "b"], "the path of the URL holds {{secret:canary}}"),
    ] {
        let refused = fetch(path, header);
        assert!(refused["ok"] == false && refused["log"].as_str().unwrap().contains(says), "{refused}");
    }
    assert_eq!(counter.seen().len(), 1);
    // What it prints is without secrets as well, whichever way it came by one.
    let said = call(&server, "say", json!({"text": format!("I know {value}")}));
    assert!(said["log"].as_str().unwrap().starts_with("I know {{secret:canary}}\nI know {{secret:canary}}!\n"), "{said}");
}

#[test]
fn what_it_prints_is_in_the_answer_and_its_exit_is_an_error() {
    let Some(component) = ordinary() else { return };
    let server = Server::start();
    taken_in(&server, &component);
    let said = call(&server, "say", json!({"text": "a word"}));
    assert_eq!(said["log"], "a word\na word!\n[warn] desk: a word\n");
    assert_eq!(said["usage"]["log_bytes"], said["log"].as_str().unwrap().len());
    let left = call(&server, "leave", json!({"code": 3}));
    assert_eq!(left["error"]["kind"], "broken");
    assert!(left["error"]["message"].as_str().unwrap().contains("exit code"), "{left}");
    assert_eq!(output(&server, "seconds", json!({})), 0, "the next call is as good as the first");
}
