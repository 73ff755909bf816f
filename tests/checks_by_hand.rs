//! A playbook written by hand asks for whatever it likes: it is judged within bounds, or the playbook is stopped.

use serde_json::{Value, json};

use crate::support::guests::component;
use crate::support::server::Server;

/// Memory, and what the canonical ABI takes of it: it is never given back.
const HEAP: &str = r#"(memory (export "memory") 20)
        (global $heap (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
            (global.set $heap (i32.add (local.get $at) (local.get 3)))
            (local.get $at))"#;

/// Asks for its input as a check, without an answer (or as its own answer), once or for ever; returns 1.
fn asking(of_answer: bool, forever: bool) -> Vec<u8> {
    let answer = if of_answer { "(i32.const 1) (local.get $p) (local.get $n)" } else { "(i32.const 0) (i32.const 0) (i32.const 0)" };
    let again = if forever { "(br $again)" } else { "" };
    let core = format!(
        r#"(module
        (import "reprise:playbook/checks@0.1.0" "require" (func $require (param i32 i32 i32 i32 i32 i32)))
        {HEAP}
        (data (i32.const 64) "1")
        (func (export "reprise:playbook/playbook@0.1.0#run") (param $p i32) (param $n i32) (result i32)
            (loop $again
                (call $require (local.get $p) (local.get $n) {answer} (i32.const 256))
                (if (i32.load8_u (i32.const 256)) (then (return (i32.const 256))))
                {again})
            (i32.store8 (i32.const 512) (i32.const 0))
            (i32.store (i32.const 516) (i32.const 64))
            (i32.store (i32.const 520) (i32.const 1))
            (i32.const 512)))"#
    );
    let world = "world guest { import reprise:playbook/checks@0.1.0; export reprise:playbook/playbook@0.1.0; }";
    component(&core, world)
}

/// Each level names the next one twice: to follow it takes two to the power of the levels.
fn bomb(levels: usize) -> Value {
    let next = |level: usize| json!({"$ref": format!("#/$defs/d{}", level + 1)});
    let mut defs: serde_json::Map<String, Value> =
        (0..levels).map(|level| (format!("d{level}"), json!({"allOf": [next(level), next(level)]}))).collect();
    defs.insert(format!("d{levels}"), json!({"type": "integer"}));
    json!({"$ref": "#/$defs/d0", "$defs": defs})
}

/// Holds its input against itself as a schema with `data.check`; returns 1 where it fits, and 0 where not.
fn holding_to_itself() -> Vec<u8> {
    let core = format!(
        r#"(module
        (import "reprise:playbook/data@0.1.0" "check" (func $check (param i32 i32 i32 i32 i32)))
        {HEAP}
        (data (i32.const 64) "10")
        (func (export "reprise:playbook/playbook@0.1.0#run") (param $p i32) (param $n i32) (result i32)
            (call $check (local.get $p) (local.get $n) (local.get $p) (local.get $n) (i32.const 256))
            (i32.store8 (i32.const 512) (i32.const 0))
            (i32.store (i32.const 516) (i32.add (i32.const 64) (i32.load8_u (i32.const 256))))
            (i32.store (i32.const 520) (i32.const 1))
            (i32.const 512)))"#
    );
    component(&core, "world guest { import reprise:playbook/data@0.1.0; export reprise:playbook/playbook@0.1.0; }")
}

struct Asked {
    server: Server,
}

impl Asked {
    fn new(bytes: Vec<u8>) -> Asked {
        let server = Server::start();
        let headers = [("content-type", "application/wasm")];
        let uploaded = server.send("POST", "/v1/playbooks?id=asks", &headers, Some(bytes)).json();
        assert!(["checks.require", "data.check"].contains(&uploaded["imports"][0]["import"].as_str().unwrap()), "{uploaded}");
        Asked { server }
    }

    fn job(&self, input: &Value, mode: &str) -> Value {
        self.server.post("/v1/jobs", &json!({"playbook_id": "asks", "input": input, "mode": mode, "wait_ms": 50_000})).json()
    }
}

#[test]
fn whatever_a_playbook_asks_for_is_judged_or_stops_it() {
    let asked = Asked::new(asking(false, false));
    for (input, cause, why) in [
        (json!({"kind": "moon_is_full"}), "check_failed", "not a check"),
        (json!("no object"), "check_failed", "not a check"),
        (json!({"kind": "output_regex", "pattern": "(a{1000}){1000}"}), "check_failed", "the pattern cannot be used"),
        (json!({"kind": "shape", "schema": {"$ref": "http://example.com/x"}}), "check_failed", "the schema has a $ref"),
        (json!({"kind": "shape", "schema": bomb(40)}), "check_failed", "the schema has a $ref"),
        (json!({"kind": "shape", "schema": {"pattern": "(a{100}){100}"}}), "check_failed", "the schema is not valid"),
        (json!({"kind": "exit_code", "equals": 0}), "check_failed", "there is no answer yet"),
        (json!({"kind": "file_exists", "path": "\u{0}"}), "check_failed", "NUL"),
        (json!({"kind": "stdout_contains", "text": "x".repeat(20_000)}), "trap", "its argument `check` has"),
    ] {
        let job = asked.job(&input, "strict");
        let failure = &job["failure"];
        assert_eq!((&job["status"], &failure["cause"]), (&json!("failed"), &json!(cause)), "{input}: {job}");
        assert!(failure.to_string().contains(why), "{input}: {failure}");
    }
    assert_eq!(asked.job(&json!({"kind": "moon_is_full"}), "normal")["output"], json!(1), "what is unknown stops no other job");
    asked.server.assert_alive();
}

#[test]
fn a_schema_that_would_take_for_ever_holds_nobody_up() {
    let asked = Asked::new(asking(true, false));
    let check = json!({"kind": "shape", "schema": bomb(40)});
    let failed = asked.job(&check, "strict");
    assert_eq!(failed["failure"]["cause"], "check_failed", "{failed}");
    assert_eq!(asked.job(&check, "normal")["output"], json!(1), "what is unknown stops no other job");
    asked.server.assert_alive();
}

#[test]
fn data_check_follows_no_references_and_holds_a_document_to_any_other_schema() {
    let asked = Asked::new(holding_to_itself());
    let local = json!({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}});
    for (schema, fits) in [
        (json!({"type": "object", "properties": {"type": {"pattern": "^ob"}}}), 1),
        (json!({"type": "array"}), 0),
        (json!({"properties": {"a": {}}}), 1),
        (local, 0),
        (bomb(40), 0),
        (json!({"patternProperties": {"(a{100}){100}": {}}}), 0),
    ] {
        assert_eq!(asked.job(&schema, "normal")["output"], json!(fits), "{schema}");
    }
    asked.server.assert_alive();
}

#[test]
fn an_answer_that_is_of_no_call_is_judged_and_never_handed_over() {
    let asked = Asked::new(asking(true, false));
    let job = asked.job(&json!({"kind": "exists", "pointer": "/kind"}), "guided");
    assert_eq!(job["output"], json!(1), "{job}");
    let job = asked.job(&json!({"kind": "exists", "pointer": "/none"}), "guided");
    assert_eq!((&job["status"], &job["failure"]["cause"]), (&json!("failed"), &json!("check_failed")), "{job}");
}

#[test]
fn a_step_by_hand_is_handed_over_like_any_other() {
    let asked = Asked::new(asking(false, false));
    let job = asked.job(&json!({"kind": "file_exists", "path": "project/x"}), "guided");
    assert_eq!(job["output"], json!(1), "unknown is no failure: {job}");
    let job = asked.job(&json!({"kind": "other", "recorded": 1}), "strict");
    assert_eq!(job["failure"]["check"]["verdict"], "unknown", "{job}");
}

#[test]
fn asking_for_ever_uses_up_the_fuel() {
    let asked = Asked::new(asking(false, true));
    let options = json!({"budget": {"fuel": 3_000_000}});
    let job =
        asked.server.post("/v1/jobs", &json!({"playbook_id": "asks", "input": {"kind": "always"}, "options": options, "wait_ms": 50_000}));
    let job = job.json();
    assert_eq!((&job["status"], &job["parked"]["reason"]), (&json!("parked"), &json!("fuel")), "{job}");
    assert!(job["usage"]["journal_entries"].as_u64().is_some_and(|n| n > 10 && n < 10_000), "{job}");
}
