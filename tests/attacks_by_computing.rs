//! Guests that want all of the machine: time, memory, handles, log. Each ends with the reason, and the others go on.

use serde_json::json;

use crate::support::guests::{Provided, provider};
use crate::support::walls::{Walls, attacker};

const ENDLESS: &str = "(loop $l (br $l)) unreachable";

const RANDOM: &str = "package wasi:random@0.2.0 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }";

const STDOUT: &str = r#"
    package wasi:io@0.2.0 {
        interface error { resource error; }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource output-stream {
                check-write: func() -> result<u64, stream-error>;
                write: func(contents: list<u8>) -> result<_, stream-error>;
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }
    package wasi:cli@0.2.0 {
        interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
    }"#;
const STDOUT_IMPORTS: &str = "import wasi:io/error@0.2.0; import wasi:io/streams@0.2.0; import wasi:cli/stdout@0.2.0;";
const GET_STDOUT: &str = r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))"#;

const LOGGING: &str = "package wasi:logging@0.1.0-draft { interface logging {
    enum level { trace, debug, info, warn, error, critical }
    log: func(level: level, context: string, message: string); } }";

#[test]
fn a_tool_that_loops_for_ever_ends_and_others_are_answered_meanwhile() {
    let walls = Walls::up();
    walls.bring(attacker("", ENDLESS, "", "")).ok();
    std::thread::scope(|threads| {
        // As many as the server has threads.
        let attacks: Vec<_> = (0..2).map(|_| threads.spawn(|| walls.breaks("guest/f"))).collect();
        let mut answered = 0;
        while attacks.iter().any(|attack| !attack.is_finished()) {
            walls.stand();
            answered += 1;
        }
        assert!(answered > 20, "only {answered} calls were answered while guests looped");
        for attack in attacks {
            let says = attack.join().unwrap_or_default();
            assert!(says.contains("used up its 10000000000 units of fuel") || says.contains("did not answer within 30 s"), "{says}");
        }
    });
    walls.stand();
}

#[test]
fn a_tool_that_recurses_for_ever_meets_the_end_of_its_stack() {
    let walls = Walls::up();
    let deep = "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))";
    walls.bring(attacker(deep, "(call $deep (i32.const 0))", "", "")).ok();
    for _ in 0..2 {
        let says = walls.breaks("guest/f");
        assert!(says.contains("stack grew beyond 524288 bytes"), "{says}");
    }
    walls.stand();
}

#[test]
fn a_tool_that_grabs_memory_gets_no_more_than_its_part() {
    let walls = Walls::up();
    // Page by page until there is no more, and every byte of it is written.
    let grab = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))
        unreachable";
    walls.bring(attacker("", grab, "", "")).ok();
    for _ in 0..3 {
        let answer = walls.call("guest/f", &json!({}));
        let says = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(says.contains("bytes of memory; at most 67108864"), "{answer}");
        assert!(answer["usage"]["memory_bytes"].as_u64().is_some_and(|bytes| (60_000_000..=67_108_864).contains(&bytes)), "{answer}");
    }
    walls.stand();
}

#[test]
fn a_component_that_wants_more_memory_than_there_is_for_it_does_not_start() {
    let walls = Walls::up();
    let core = r#"(component (core module $m (memory 2000) (func (export "f") (result i32) i32.const 1))
        (core instance $i (instantiate $m)) (func $f (result s32) (canon lift (core func $i "f"))) (export "f" (func $f)))"#;
    let bytes = wat::parse_str(core).unwrap_or_default();
    let refused = walls.server.send("POST", "/v1/tools?namespace=large", &[("content-type", "application/wasm")], Some(bytes));
    let says = refused.refused(422, "component_too_demanding");
    assert!(says["message"].as_str().unwrap_or_default().contains("memory"), "{says}");
    walls.stand();
}

#[test]
fn a_tool_that_grabs_a_table_gets_no_more_than_its_part() {
    let walls = Walls::up();
    let grab = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable)) (i32.const 1)";
    walls.bring(attacker("(table $t 1 funcref)", grab, "", "")).ok();
    let says = walls.breaks("guest/f");
    assert!(says.contains("a table of 1000001 elements; at most 20000"), "{says}");
    walls.stand();
}

#[test]
fn a_component_whose_start_function_loops_is_not_taken_in() {
    let walls = Walls::up();
    let says = walls.refuses(attacker("(func $s (loop $l (br $l))) (start $s)", "(i32.const 1)", "", ""), 422, "component_does_not_start");
    assert!(says.contains("does not start: used up its 200000000 units of fuel"), "{says}");
    walls.stand();
}

#[test]
fn a_component_whose_describe_loops_is_not_taken_in() {
    let walls = Walls::up();
    // Where `describe` stores what it answers with, a start function would end; a memory without a place for it ends it too.
    let loops = provider(Provided { core: "(func $s (loop $l (br $l))) (start $s)", ..Provided::default() });
    let says = walls.refuses(loops, 422, "component_does_not_start");
    assert!(says.contains("does not describe its tools: used up its 200000000 units of fuel"), "{says}");
    let walked = super::attacks_by_data::describing("(loop $l (br $l)) unreachable");
    let says = walls.refuses(walked, 422, "component_does_not_start");
    assert!(says.contains("does not describe its tools: used up its 200000000 units of fuel"), "{says}");
    walls.stand();
}

#[test]
fn a_playbook_whose_start_function_loops_is_not_taken_in() {
    let walls = Walls::up();
    let bytes = super::attacks_by_data::playbook("", "(func $s (loop $l (br $l))) (start $s)", "unreachable");
    let refused = walls.bring_playbook("loops", bytes).refused(422, "component_does_not_start");
    assert!(refused["message"].as_str().unwrap_or_default().contains("do not end within 200000000 units of fuel"), "{refused}");
    walls.stand();
}

#[test]
fn a_tool_that_floods_the_log_through_its_output_keeps_the_first_part_of_it() {
    let walls = Walls::up();
    let write =
        r#"(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))"#;
    let flood = "(local $n i32) (local $out i32) (local.set $out (call $stdout)) (local.set $n (i32.const 5000))
        (memory.fill (i32.const 1024) (i32.const 120) (i32.const 4096))
        (loop $l (call $write (local.get $out) (i32.const 1024) (i32.const 4096) (i32.const 65536))
            (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))
        (i32.const 1)";
    walls.bring(attacker(&format!("{GET_STDOUT} {write}"), flood, STDOUT_IMPORTS, STDOUT)).ok();
    let answer = walls.call("guest/f", &json!({}));
    assert_eq!((&answer["output"], &answer["usage"]["log_bytes"]), (&json!(1), &json!(5000 * 4096)), "{}", answer["usage"]);
    assert_eq!(answer["log"].as_str().map(str::len), Some(64 * 1024));
    walls.stand();
}

/// A stream says how much it takes at once; one who writes more broke a rule.
#[test]
fn a_tool_that_writes_more_than_a_stream_takes_is_ended() {
    let walls = Walls::up();
    let write = r#"(import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))"#;
    let flood = "(call $write (call $stdout) (i32.const 0) (i32.const 200000) (i32.const 262000)) (i32.const 1)";
    walls.bring(attacker(&format!("{GET_STDOUT} {write}"), flood, STDOUT_IMPORTS, STDOUT)).ok();
    let says = walls.breaks("guest/f");
    assert!(says.contains("65536"), "{says}");
    walls.stand();
}

#[test]
fn a_tool_that_floods_the_log_in_large_lines_lets_others_run() {
    let walls = Walls::up();
    let log = r#"(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
    // Three megabytes a line, for ever.
    let flood = "(drop (memory.grow (i32.const 60))) (memory.fill (i32.const 1024) (i32.const 120) (i32.const 3000000))
        (loop $l (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 3000000)) (br $l)) unreachable";
    walls.bring(attacker(log, flood, "import wasi:logging/logging@0.1.0-draft;", LOGGING)).ok();
    others_go_on(&walls, 2);
}

#[test]
fn a_tool_that_floods_itself_with_random_numbers_lets_others_run() {
    let walls = Walls::up();
    let random = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;
    let flood = "(loop $l (call $random (i64.const 65536) (i32.const 8)) (br $l)) unreachable";
    walls.bring(attacker(random, flood, "import wasi:random/random@0.2.0;", RANDOM)).ok();
    others_go_on(&walls, 2);
}

#[test]
fn a_tool_that_wants_a_gigabyte_of_random_numbers_at_once_is_ended() {
    let walls = Walls::up();
    let random = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;
    let grab = "(call $random (i64.const 1000000000) (i32.const 8)) (i32.const 1)";
    walls.bring(attacker(random, grab, "import wasi:random/random@0.2.0;", RANDOM)).ok();
    let says = walls.breaks("guest/f");
    assert!(says.contains("1000000000 exceeds limit 65536"), "{says}");
    walls.stand();
}

#[test]
fn a_tool_that_hoards_handles_meets_their_number() {
    let walls = Walls::up();
    let hoard = "(loop $l (drop (call $stdout)) (br $l)) unreachable";
    walls.bring(attacker(GET_STDOUT, hoard, STDOUT_IMPORTS, STDOUT)).ok();
    for _ in 0..2 {
        let says = walls.breaks("guest/f");
        assert!(says.contains("table has no free keys") || says.contains("handles"), "{says}");
    }
    walls.stand();
}

/// Calls `guest/f`, which does not come back by itself, `times` at once; whoever else calls is answered meanwhile.
fn others_go_on(walls: &Walls, times: usize) {
    std::thread::scope(|threads| {
        let attacks: Vec<_> = (0..times).map(|_| threads.spawn(|| walls.breaks("guest/f"))).collect();
        let begun = std::time::Instant::now();
        let mut slowest = std::time::Duration::ZERO;
        for _ in 0..20 {
            let asked = std::time::Instant::now();
            walls.stand();
            slowest = slowest.max(asked.elapsed());
        }
        assert!(attacks.iter().any(|attack| !attack.is_finished()), "the attack was over after {:?}", begun.elapsed());
        // Held up by the guests, a call would take as long as they do.
        assert!(slowest < std::time::Duration::from_secs(5), "a call took {slowest:?}");
        for attack in attacks {
            let says = attack.join().unwrap_or_default();
            assert!(says.contains("units of fuel") || says.contains("did not answer within 30 s"), "{says}");
        }
    });
    walls.stand();
}
