//! What a job feels of guests that want all of the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use reprise::contract::{Namespace, ToolId};
use reprise::engine::{Engine, ToolCall, ToolUpload, Upload};
use reprise::ids::{PlaybookId, Space};
use reprise::json::Json;

use super::durable;
use super::guest;
use super::report::{Report, p99};

const LOOP: &str = "(loop $l (br $l)) unreachable";
/// All that one may have, and every byte of it written.
const GRAB: &str = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536))) unreachable";
/// Lines of half a megabyte, for ever.
const FLOOD_TOOL: &str =
    "(loop $l (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 500000)) (br $l)) unreachable";
const FLOOD: &str = "(loop $l (call $log (i32.const 1) (i32.const 0) (i32.const 500000)) (br $l)) unreachable";

const LOGGING: &str = "package wasi:logging@0.1.0-draft; interface logging {
    enum level { trace, debug, info, warn, error, critical } log: func(level: level, context: string, message: string); }";

fn tool(import: &str, f: &str, interfaces: &str, world: &str) -> Vec<u8> {
    let module = format!(
        r#"(module {import} (memory (export "memory") 16)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable) (func (export "f") (result i32) {f}))"#
    );
    guest::component(&module, interfaces, &format!("{world} export f: func() -> s32;"))
}

fn playbook(import: &str, run: &str, world: &str) -> Vec<u8> {
    let module = format!(
        r#"(module {import} (memory (export "memory") 16)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "reprise:playbook/playbook@0.1.0#run") (param i32 i32) (result i32) {run}))"#
    );
    guest::component(&module, "", &format!("{world} export reprise:playbook/playbook@0.1.0;"))
}

/// Jobs of three durable steps, one after the other.
async fn pace(engine: &Engine, neighbour: &PlaybookId, jobs: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..jobs {
        let start = Instant::now();
        durable::run(engine, neighbour, 3).await;
        times.push(start.elapsed());
    }
    p99(times)
}

/// One job after the other, alone and beside a ring of attackers, each of which begins anew as soon as it was ended.
pub(super) async fn neighbour(home: &Path, report: &mut Report) {
    let (engine, neighbour) = durable::with_caller(&home.join("walls")).await;
    let jobs = report.rounds(400);
    pace(&engine, &neighbour, jobs.div_ceil(10)).await;
    let alone = pace(&engine, &neighbour, jobs).await;
    report.fact("a job of 3 durable steps, alone, p99", format!("{alone:.1?}"));

    let log = r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
    let tools = [
        ("loops", tool("", LOOP, "", "")),
        ("grabs", tool("", GRAB, "", "")),
        ("floods", tool(log, FLOOD_TOOL, LOGGING, "import wasi:logging/logging@0.1.0-draft;")),
    ];
    let mut ring = tokio::task::JoinSet::new();
    for (name, bytes) in tools {
        let namespace = Some(Namespace::parse(name).expect("a word"));
        engine.upload_tools(ToolUpload { namespace, bytes }).await.expect("it provides a tool");
        let (engine, tool) = (engine.clone(), ToolId::parse(&format!("{name}/f")).expect("an id"));
        ring.spawn(async move {
            loop {
                let input = Json::parse(b"{}").expect("it is JSON");
                engine.call_tool(ToolCall { tool: tool.clone(), key: None, input }).await.expect("it is called");
            }
        });
    }
    pace(&engine, &neighbour, jobs.div_ceil(10)).await;
    let beside = pace(&engine, &neighbour, jobs).await;
    ring.shutdown().await;
    report.fact("  beside tools that loop, grab memory and flood the log, p99", format!("{beside:.1?}"));
    report.ratio_at_most("    the same against alone", beside.as_secs_f64() / alone.as_secs_f64(), 2.0, "x");

    let log = r#"(import "reprise:playbook/flow@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
    let playbooks = [
        ("loops", playbook("", LOOP, "")),
        ("grabs", playbook("", GRAB, "")),
        ("floods", playbook(log, FLOOD, "import reprise:playbook/flow@0.1.0;")),
    ];
    let mut ring = tokio::task::JoinSet::new();
    for (name, bytes) in playbooks {
        let id = PlaybookId::parse(name).expect("an id");
        let upload = Upload { playbook_id: Some(id.clone()), name: None, bytes };
        engine.upload(&Space::default_space(), upload).await.expect("it is a playbook");
        let engine = engine.clone();
        ring.spawn(async move {
            loop {
                durable::end(&engine, &id, 0).await;
            }
        });
    }
    pace(&engine, &neighbour, jobs.div_ceil(10)).await;
    let beside = pace(&engine, &neighbour, jobs).await;
    ring.shutdown().await;
    report.fact("  beside playbooks that do so, p99", format!("{beside:.1?}"));
    report.ratio_at_most("    the same against alone", beside.as_secs_f64() / alone.as_secs_f64(), 2.0, "x");
}
