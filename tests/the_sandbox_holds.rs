//! One tiny guest for each thing that a guest may not do; each ends with the right reason, and the next one runs.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reprise::contract::{ErrorKind, Outcome, ToolError, ToolId};
use reprise::ids::Digest;
use reprise::json::Json;
use reprise::limits;
use reprise::sandbox::{Answering, Effects, Ending, Finished, Level, Sandbox, StepOptions, Stop};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A playbook whose `run` is `body`: WebAssembly text that leaves an address of a result on the stack. At 8 lies
/// `"ok"`, at 16 the result `ok("ok")`, at 64 what host functions answer.
fn guest(imports: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            {imports}
            (memory (export "memory") 40)
            (table $table 1 funcref)
            (global $heap (mut i32) (i32.const 1048576))
            (data (i32.const 8) "\"ok\"")
            (data (i32.const 16) "\00\00\00\00\08\00\00\00\04\00\00\00")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (global.get $heap))
            (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
            (func (export "reprise:playbook/playbook@0.1.0#run") (param i32 i32) (result i32) (local $n i32) {body}))"#
    );
    let mut module = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}"));
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
    let tool = "package tool:agent; interface noop { use reprise:playbook/types@0.1.0.{json, tool-error}; call: func(input: json) -> result<json, tool-error>; }";
    resolve.push_source("tool.wit", tool).unwrap();
    let world = "package test:it; world it { import reprise:playbook/flow@0.1.0; import reprise:playbook/data@0.1.0; import tool:agent/noop; export reprise:playbook/playbook@0.1.0; }";
    let package = resolve.push_source("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).and_then(|mut encoder| encoder.encode()).unwrap()
}

/// Counts what reaches it, and answers every call with an error.
#[derive(Default)]
struct Counting {
    calls: Arc<AtomicUsize>,
    lines: Arc<AtomicUsize>,
}

impl Effects for Counting {
    fn step(&mut self, _: String, _: StepOptions) {}

    fn call<'a>(&'a mut self, _: &'a ToolId, _: Json) -> Answering<'a, Outcome> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Err(ToolError::new(ErrorKind::Failed, "no")))))
    }

    fn now(&mut self) -> Answering<'_, u64> {
        Box::pin(std::future::ready(Err(Stop::NotSupported("no clock".to_owned()))))
    }

    fn random(&mut self) -> Answering<'_, u64> {
        Box::pin(std::future::ready(Ok(4)))
    }

    fn log(&mut self, _: Level, message: String) {
        assert!(message.chars().count() <= limits::LOG_LINE_CHARS_MAX + 1);
        self.lines.fetch_add(1, Ordering::Relaxed);
    }
}

async fn run(sandbox: &Sandbox, imports: &str, body: &str, fuel: u64) -> Finished {
    let bytes = guest(imports, body);
    let playbook = sandbox.load(&Digest::of(&bytes), |_| true, || Ok(bytes.clone())).unwrap();
    sandbox.run(&playbook, &Json::parse(b"{}").unwrap(), Box::new(Counting::default()), fuel).await
}

const NOOP: &str = r#"(import "tool:agent/noop" "call" (func $call (param i32 i32 i32)))"#;
const SELECT: &str = r#"(import "reprise:playbook/data@0.1.0" "select" (func $select (param i32 i32 i32 i32 i32)))"#;
const LOG: &str = r#"(import "reprise:playbook/flow@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const NOW: &str = r#"(import "reprise:playbook/flow@0.1.0" "now" (func $now (result i64)))"#;

/// What it does, its imports, its body, and how it ends.
type Attack = (&'static str, &'static str, &'static str, fn(&Ending) -> bool);

#[tokio::test]
async fn a_guest_that_breaks_a_rule_ends_with_the_reason_and_the_next_one_runs() {
    let sandbox = Sandbox::new(None).unwrap();
    let guests: [Attack; 11] = [
        ("loops for ever", "", "(loop $l (br $l)) unreachable", |e| matches!(e, Ending::OutOfFuel)),
        ("recurses for ever", "", "(call $deep (i32.const 0))", |e| matches!(e, Ending::OverLimit(how) if how.contains("stack"))),
        (
            "grabs memory",
            "",
            "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable)) (i32.const 16)",
            |e| matches!(e, Ending::OverLimit(how) if how.contains("memory") && how.contains("67108864")),
        ),
        (
            "grabs a table",
            "",
            "(if (i32.eq (table.grow $table (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable)) (i32.const 16)",
            |e| matches!(e, Ending::OverLimit(how) if how.contains("table")),
        ),
        (
            "has the host parse a large document again and again",
            SELECT,
            // A million spaces and a 1: JSON all the same.
            "(memory.fill (i32.const 1024) (i32.const 32) (i32.const 1000000)) (i32.store8 (i32.const 1001024) (i32.const 49))
             (loop $l (call $select (i32.const 1024) (i32.const 1000001) (i32.const 8) (i32.const 0) (i32.const 64)) (br $l)) unreachable",
            |e| matches!(e, Ending::OutOfFuel),
        ),
        (
            "calls something JSON that is none",
            SELECT,
            "(call $select (i32.const 9) (i32.const 2) (i32.const 8) (i32.const 0) (i32.const 64)) unreachable",
            |e| matches!(e, Ending::Broke(how) if how.contains("data.select")),
        ),
        ("gives a length beyond its memory", NOOP, "(call $call (i32.const 8) (i32.const 100000000) (i32.const 64)) unreachable", |e| {
            matches!(e, Ending::Broke(_))
        }),
        (
            "gives text that is no UTF-8",
            NOOP,
            "(i32.store8 (i32.const 200) (i32.const 255)) (call $call (i32.const 200) (i32.const 1) (i32.const 64)) unreachable",
            |e| matches!(e, Ending::Broke(how) if how.contains("utf-8") || how.contains("UTF-8")),
        ),
        (
            "returns text that is no JSON",
            "",
            "(i32.store (i32.const 24) (i32.const 2)) (i32.const 16)",
            |e| matches!(e, Ending::Broke(how) if how.contains("not an output")),
        ),
        ("traps", "", "unreachable", |e| matches!(e, Ending::Broke(how) if how.contains("unreachable"))),
        ("asks for what the host stops it at", NOW, "(drop (call $now)) unreachable", |e| {
            matches!(e, Ending::Stopped(Stop::NotSupported(_)))
        }),
    ];
    for (what, imports, body, ends) in guests {
        let finished = run(&sandbox, imports, body, 200_000_000).await;
        assert!(ends(&finished.ending), "a guest that {what}: {:?}", finished.ending);
        let next = run(&sandbox, "", "(i32.const 16)", 1_000_000).await;
        assert!(matches!(&next.ending, Ending::Output(output) if output.as_str() == r#""ok""#), "after one that {what}: {:?}", next.ending);
    }
}

#[tokio::test]
async fn what_is_no_json_never_reaches_a_tool_and_surplus_log_lines_reach_nobody() {
    let sandbox = Sandbox::new(None).unwrap();
    let finished = run(&sandbox, NOOP, "(call $call (i32.const 9) (i32.const 2) (i32.const 64)) (i32.const 16)", 1_000_000).await;
    assert!(matches!(finished.ending, Ending::Output(_)), "{:?}", finished.ending);
    let effects = (finished.effects as Box<dyn Any>).downcast::<Counting>().unwrap();
    assert_eq!(effects.calls.load(Ordering::Relaxed), 0);

    let flood = "(local.set $n (i32.const 3000))
        (loop $l (call $log (i32.const 1) (i32.const 1024) (i32.const 20000)) (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))
        (i32.const 16)";
    let finished = run(&sandbox, LOG, flood, 1_000_000_000).await;
    assert!(matches!(finished.ending, Ending::Output(_)), "{:?}", finished.ending);
    let effects = (finished.effects as Box<dyn Any>).downcast::<Counting>().unwrap();
    assert_eq!(effects.lines.load(Ordering::Relaxed), limits::LOG_LINES_MAX);
}

/// Two rules make a megabyte of one letter. Whoever asks for that again and again pays for what is made.
#[tokio::test]
async fn what_rules_make_of_little_is_paid_for_by_its_size() {
    const DERIVE: &str = r#"(import "reprise:playbook/data@0.1.0" "derive" (func $derive (param i32 i32 i32 i32 i32)))"#;
    let sandbox = Sandbox::new(None).unwrap();
    let grow = format!(r#"{{"replace":{{"from":"x","to":"{}"}}}}"#, "x".repeat(1_000));
    let rules = format!(r#"[{grow},{grow},"upper"]"#);
    let data = format!(r#"(data (i32.const 2048) "\"x\"") (data (i32.const 4096) "{}")"#, rules.replace('"', "\\\""));
    let body = format!(
        "(loop $l (call $derive (i32.const 2048) (i32.const 3) (i32.const 4096) (i32.const {}) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable))
            (call $call (i32.const 8) (i32.const 4) (i32.const 64)) (br $l)) unreachable",
        rules.len()
    );
    let finished = run(&sandbox, &format!("{DERIVE} {NOOP} {data}"), &body, 200_000_000).await;
    assert!(matches!(finished.ending, Ending::OutOfFuel), "{:?}", finished.ending);
    let effects = (finished.effects as Box<dyn Any>).downcast::<Counting>().unwrap();
    let made = effects.calls.load(Ordering::Relaxed);
    assert!((5..=25).contains(&made), "{made} megabytes for 200 million units");

    // What are no rules is an answer and breaks nothing; what is no JSON breaks a rule of the contract.
    let no_rules = "(call $derive (i32.const 8) (i32.const 4) (i32.const 8) (i32.const 4) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable)) (i32.const 16)";
    let finished = run(&sandbox, DERIVE, no_rules, 1_000_000).await;
    assert!(matches!(finished.ending, Ending::Output(_)), "{:?}", finished.ending);
    let no_json = "(call $derive (i32.const 9) (i32.const 2) (i32.const 8) (i32.const 4) (i32.const 64)) unreachable";
    let finished = run(&sandbox, DERIVE, no_json, 1_000_000).await;
    assert!(matches!(&finished.ending, Ending::Broke(how) if how.contains("data.derive")), "{:?}", finished.ending);
}

/// 96 slots for 64 jobs and 8 admissions: even where every guest has all that one may have, none fails for want
/// of a slot.
#[test]
fn the_pool_has_a_slot_for_everyone_who_may_ask() {
    assert!(limits::JOBS_RUNNING_MAX + limits::ADMISSIONS_MAX <= limits::INSTANCES_MAX as usize);
}
