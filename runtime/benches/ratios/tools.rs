//! Calls of tools that components provide, beside what the guest itself takes.

use std::path::Path;
use std::time::{Duration, Instant};

use reprise::contract::ToolId;
use reprise::engine::{Engine, Settings, ToolUpload, Upload};
use reprise::ids::{PlaybookId, Space};
use reprise::json::Json;
use reprise::sandbox::Sandbox;
use reprise::tools::Grants;

use super::durable;
use super::guest;
use super::report::{Report, median};

/// Describes one tool, `still/tool`, which answers at once.
const STILL: &str = r#"(module
    (memory (export "memory") 4)
    (global $free (mut i32) (i32.const 65536))
    (data (i32.const 64) "still/tool") (data (i32.const 128) "{}")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
        (global.set $free (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
    (func $text (param i32 i32 i32) (i32.store (local.get 0) (local.get 1)) (i32.store (i32.add (local.get 0) (i32.const 4)) (local.get 2)))
    (func (export "reprise:playbook/tools@0.1.0#describe") (result i32)
        (call $text (i32.const 512) (i32.const 64) (i32.const 10)) (call $text (i32.const 520) (i32.const 64) (i32.const 10))
        (call $text (i32.const 528) (i32.const 128) (i32.const 2)) (call $text (i32.const 536) (i32.const 128) (i32.const 2))
        (call $text (i32.const 552) (i32.const 512) (i32.const 1)) (i32.const 552))
    (func (export "reprise:playbook/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32)
        (call $text (i32.const 564) (i32.const 128) (i32.const 2)) (i32.const 560))
    (func (export "reprise:playbook/tools@0.1.0#reconcile") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#;

async fn bring(engine: &Engine, bytes: Vec<u8>) {
    engine.upload_tools(ToolUpload { namespace: None, bytes }).await.expect("it provides tools");
}

pub(super) async fn called(home: &Path, report: &mut Report) {
    let engine = Engine::open(&Settings::of(home.join("tools"))).expect("the directory opens");
    let adder = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/adder.wasm")).expect("the example is there");
    let sandbox = Sandbox::new(None).expect("the engine starts");
    let provider = sandbox.load_provider(&reprise::ids::Digest::of(&adder), || Ok(adder.clone())).expect("it provides tools");
    let mut starts = Vec::new();
    for _ in 0..report.rounds(2_000) {
        let start = Instant::now();
        sandbox.try_start_provider(&provider).await.expect("it starts");
        starts.push(start.elapsed());
    }
    let start = median(starts);
    report.fact("a tool component, instantiate from memory", format!("{start:.1?}"));

    bring(&engine, adder).await;
    bring(&engine, guest::component(STILL, "", "export reprise:playbook/tools@0.1.0;")).await;
    let (add, input) = (ToolId::parse("adder/add").expect("an id"), Json::parse(br#"{"a":1,"b":2}"#).expect("it is JSON"));
    let mut calls = Vec::new();
    for _ in 0..report.rounds(5_000) {
        let start = Instant::now();
        engine.tools().call(&add, "key", &input, &Grants::none()).await.expect("it adds");
        calls.push(start.elapsed());
    }
    report.at_most(
        "  over that: check, JSON to values, call, JSON of the sum",
        median(calls).saturating_sub(start),
        Duration::from_micros(20),
    );

    // From a playbook: what one more call adds to a job, a tool that answers at once and whose calls are not flushed.
    let space = Space::default_space();
    let playbook = PlaybookId::parse("calls").expect("an id");
    let upload = Upload { playbook_id: Some(playbook.clone()), name: None, bytes: guest::caller_of("still/tool") };
    engine.upload(&space, upload).await.expect("it is a playbook");
    let (short, long): (u32, u32) = (10, if report.quick { 20 } else { 2_010 });
    let mut added = Vec::new();
    for _ in 0..report.rounds(15) {
        let start = Instant::now();
        durable::run(&engine, &playbook, short as usize).await;
        let middle = Instant::now();
        durable::run(&engine, &playbook, long as usize).await;
        added.push(middle.elapsed().saturating_sub(middle - start) / (long - short));
    }
    report.at_most(
        "a playbook's call of a tool component, over its instance",
        median(added).saturating_sub(start),
        Duration::from_micros(20),
    );
}
