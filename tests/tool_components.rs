//! Components that provide tools, over HTTP: taken in, called, replaced, refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::guests::{Provided, component, provider};
use crate::support::page::repository;
use crate::support::server::{Answer, Server};

const WASM: &[(&str, &str)] = &[("content-type", "application/wasm")];

const CLOCK: &str = "package wasi:clocks@0.2.0 { interface monotonic-clock { now: func() -> u64; } }";
const ASKS_FOR_CLOCK: Provided<'_> = Provided {
    name: "test/tool",
    effect: 1,
    schemas: ["{}", "{}"],
    imports: "import wasi:clocks/monotonic-clock@0.2.0;",
    packages: CLOCK,
    core: r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))"#,
    call: "(drop (call $now))",
    answer: "\"with a clock\"",
};

fn upload(server: &Server, query: &str, bytes: Vec<u8>) -> Answer {
    server.send("POST", &format!("/v1/tools{query}"), WASM, Some(bytes))
}

fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn call(server: &Server, tool: &str, input: &Value) -> Value {
    server.post(&format!("/v1/tools/{tool}/call"), &json!({ "input": input })).ok()
}

#[test]
fn the_example_in_binary_form_is_the_one_in_text_form() {
    let bytes = text(&std::fs::read_to_string(repository().join("docs/examples/adder.wat")).unwrap());
    let path = repository().join("docs/examples/adder.wasm");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "run this test once with BLESS=1");
}

#[test]
fn a_component_that_knows_nothing_of_us_is_a_tool() {
    let server = Server::start();
    let adder = std::fs::read(repository().join("docs/examples/adder.wasm")).unwrap();
    let uploaded = upload(&server, "", adder.clone());
    assert_eq!(uploaded.status, 201);
    let uploaded = uploaded.json();
    assert_eq!((&uploaded["namespace"], &uploaded["version"], &uploaded["activation"]), (&json!("adder"), &json!(1), &json!("active")));
    assert_eq!(uploaded["tools"][0]["effect"], "pure", "it can do nothing but compute");
    assert_eq!(uploaded["asks"], json!([]));

    let sum = call(&server, "adder/add", &json!({"a": 4_000_000_000_u32, "b": 2}));
    assert_eq!((&sum["ok"], &sum["output"]), (&json!(true), &json!(4_000_000_002_u32)));
    for used in ["fuel", "memory_bytes", "wall_us", "output_bytes"] {
        assert!(sum["usage"][used].as_u64().unwrap() > 0, "{used}: {sum}");
    }
    let divided = call(&server, "adder/divide", &json!({"a": 7, "b": 0}));
    assert_eq!(divided["error"], json!({"kind": "failed", "message": "division by zero", "detail": "division by zero"}));
    let wrong = call(&server, "adder/add", &json!({"a": -1, "c": 2}));
    assert_eq!(wrong["error"]["kind"], "invalid-input");
    let again = upload(&server, "", adder.clone());
    assert_eq!((again.status, again.json()["repeated"].clone()), (200, json!(true)));
    let elsewhere = upload(&server, "?namespace=sums", adder);
    assert_eq!(elsewhere.json()["tools"][0]["id"], "sums/add");
}

#[test]
fn an_uploaded_tool_is_there_after_a_restart_and_playbooks_import_it() {
    let mut server = Server::start();
    let play = r#"(component (import "tool:test/tool" (instance (export "call" (func (param "input" string) (result string))))))"#;
    let missing = server.send("POST", "/v1/playbooks?id=p", WASM, Some(text(play))).refused(422, "imports_unsatisfied");
    assert!(missing["message"].as_str().unwrap().contains("tool:test/tool"), "{missing}");
    upload(&server, "", provider(Provided::default())).ok();
    assert_eq!(call(&server, "test/tool", &json!({}))["output"], "done");
    server.restart();
    assert_eq!(call(&server, "test/tool", &json!({}))["output"], "done");
    let ids: Vec<String> = server.get("/v1/tools").ok()["tools"].as_array().unwrap().iter().map(|t| t["id"].to_string()).collect();
    assert!(ids.contains(&"\"test/tool\"".to_owned()) && ids.is_sorted(), "{ids:?}");
}

#[test]
fn a_version_that_asks_for_more_waits_for_an_operator() {
    let server = Server::start();
    upload(&server, "", provider(Provided { answer: "\"first\"", ..Provided::default() })).ok();
    let wider = upload(&server, "", provider(ASKS_FOR_CLOCK));
    assert_eq!(wider.status, 201);
    let wider = wider.json();
    assert_eq!((&wider["version"], &wider["activation"]), (&json!(2), &json!("needs_approval")));
    assert_eq!(wider["permission_diff"], json!({"added": ["know the time"], "removed": []}));
    assert_eq!(call(&server, "test/tool", &json!({}))["output"], "first", "it is not called before someone says so");

    let activate = "/v1/tool-components/test/versions/2/activate";
    server.post(activate, &json!({})).refused(401, "operator_token_missing");
    assert_eq!(call(&server, "test/tool", &json!({}))["output"], "first");
    let token = format!("Bearer {}", server.operator_token());
    let json_headers = [("content-type", "application/json"), ("authorization", token.as_str())];
    let active = server.send("POST", activate, &json_headers, Some(b"{}".to_vec())).ok();
    assert_eq!(active["activation"], "active");
    assert_eq!(call(&server, "test/tool", &json!({}))["output"], "with a clock");

    // One that asks for the same, or for less, is active at once.
    let less = upload(&server, "", provider(Provided { answer: "\"less\"", ..Provided::default() })).ok();
    assert_eq!((&less["activation"], &less["permission_diff"]["removed"]), (&json!("active"), &json!(["know the time"])));
    assert_eq!(call(&server, "test/tool", &json!({}))["output"], "less");
    let all = server.get("/v1/tool-components/test").ok();
    let states: Vec<&Value> = all["versions"].as_array().unwrap().iter().map(|v| &v["activation"]).collect();
    assert_eq!(states, ["active", "needs_approval", "inactive"]);
}

#[test]
fn what_cannot_provide_tools_is_refused_with_its_reason() {
    let server = Server::start();
    let resource = r#"(component
        (type $r (resource (rep i32)))
        (core module $m (func (export "f") (param i32)))
        (core instance $i (instantiate $m))
        (export $e "thing" (type $r))
        (func $f (param "it" (own $e)) (canon lift (core func $i "f")))
        (export "use-up" (func $f)))"#;
    let tool = "import tool:fs/read;";
    let tool_package = "package tool:fs { interface read { use reprise:playbook/types@0.1.0.{json, tool-error}; call: func(input: json) -> result<json, tool-error>; } }";
    let call = r#"(import "tool:fs/read" "call" (func (param i32 i32 i32)))"#;
    let calls_tools = provider(Provided { core: call, imports: tool, packages: tool_package, ..Provided::default() });
    for (bytes, query, status, code, says) in [
        (text("(component)"), "", 422, "no_tools", "exports no function"),
        (text("(module)"), "", 422, "not_a_component", "core module"),
        (b"hello".to_vec(), "", 422, "not_a_component", "do not begin"),
        (text(resource), "?namespace=odd", 422, "no_tools", "resource"),
        (
            text(r#"(component (import "acme:x/y" (instance (export "f" (func)))))"#),
            "",
            422,
            "imports_unsatisfied",
            "nothing here provides it",
        ),
        (calls_tools, "", 422, "imports_unsatisfied", "a tool calls no tools"),
        (provider(Provided { name: "fs/read", ..Provided::default() }), "", 400, "invalid_request", "is taken"),
        (provider(Provided { name: "agent/x", ..Provided::default() }), "", 400, "invalid_request", "is taken"),
        (provider(Provided { name: "Odd", ..Provided::default() }), "", 422, "no_tools", "two kebab-case words"),
        (provider(Provided { schemas: ["{", "{}"], ..Provided::default() }), "", 422, "no_tools", "input-schema that is not JSON"),
        (provider(Provided { schemas: ["{}", r#"{"type": 7}"#], ..Provided::default() }), "", 422, "no_tools", "no JSON Schema"),
        (provider(Provided::default()), "?namespace=other", 400, "invalid_request", "describes tools of test"),
        (provider(Provided::default()), "?namespace=No", 400, "invalid_request", "not a namespace"),
    ] {
        let refused = upload(&server, query, bytes).refused(status, code);
        assert!(refused["message"].as_str().unwrap().contains(says), "{refused}");
    }
    assert_eq!(server.get("/v1/tool-components").ok(), json!({"namespaces": []}), "nothing that was refused is kept");
    server.get("/v1/tools/none/here").refused(404, "tool_not_found");
    server.post("/v1/tools/none/here/call", &json!({"input": {}})).refused(404, "tool_not_found");
}

/// A component that exports one function, which takes `ty`, under many names.
fn exporting(count: usize, ty: &str) -> Vec<u8> {
    let exports: String = (0..count).map(|n| format!("(export \"f{n}\" (func $f))")).collect();
    text(&format!(
        r#"(component
             (core module $m (memory (export "m") 1) (func (export "f") (param i32)) (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 8))
             (core instance $i (instantiate $m)) (alias core export $i "m" (core memory $mem))
             (func $f (param "x" {ty}) (canon lift (core func $i "f") (memory $mem) (realloc (core func $i "r"))))
             (instance $x {exports}) (export "a:b/c" (instance $x)))"#
    ))
}

#[test]
fn a_component_that_exports_one_function_under_many_names_is_refused_before_its_types_are_read() {
    let server = Server::start();
    // Read first, each of these would be refused with an issue of its own, since its type has too many places.
    let refused = upload(&server, "", exporting(200, &format!("(tuple {})", "u8 ".repeat(2_000)))).refused(422, "no_tools");
    assert!(refused["message"].as_str().unwrap().contains("exports 200 functions; at most 128"), "{refused}");
    assert!(refused["issues"].as_array().is_none_or(Vec::is_empty), "{refused}");
}

#[test]
fn a_function_whose_schema_is_too_large_is_no_tool() {
    let server = Server::start();
    let refused = upload(&server, "", exporting(1, &format!("(tuple {})", "s64 ".repeat(900)))).refused(422, "no_tools");
    assert!(refused["issues"][0]["message"].as_str().unwrap().contains("JSON Schema takes"), "{refused}");
    upload(&server, "", exporting(1, &format!("(tuple {})", "s64 ".repeat(100)))).ok();
}

#[test]
fn a_tool_is_held_to_its_own_schemas() {
    let server = Server::start();
    let number = r#"{"type": "number"}"#;
    upload(&server, "", provider(Provided { schemas: [number, number], ..Provided::default() })).ok();
    assert_eq!(call(&server, "test/tool", &json!("x"))["error"]["kind"], "invalid-input");
    let broken = call(&server, "test/tool", &json!(1));
    assert_eq!(broken["error"]["kind"], "broken");
    assert!(broken["error"]["message"].as_str().unwrap().contains("its own output schema does not allow"), "{broken}");
    upload(&server, "", provider(Provided { answer: "not json", ..Provided::default() })).ok();
    let broken = call(&server, "test/tool", &json!({}));
    assert!(broken["error"]["message"].as_str().unwrap().contains("not JSON"), "{broken}");
}

/// An address of a function's result may lie anywhere; a component whose parts do not fit together never gets that far.
#[test]
fn components_are_made_for_tests_as_the_contract_says() {
    let bytes = component(
        r#"(module (memory (export "memory") 1) (func (export "test:guest/mine#f") (result i32) i32.const 7))"#,
        "interface mine { f: func() -> s32; }\nworld guest { export mine; }",
    );
    let server = Server::start();
    upload(&server, "", bytes).ok();
    assert_eq!(call(&server, "guest/f", &json!({}))["output"], 7);
}
