//! Guests that hand the host something odd: too long, too deep, forged, not text, not JSON.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use crate::support::guests::{Provided, component, provider};
use crate::support::walls::Walls;

/// A component with one tool, `guest/f`, whose type is `wit` (`func() -> string`) and which leaves the address of its result;
/// `realloc` is what its allocator does with the size in `local 3`.
fn returning(wit: &str, parameters: &str, module: &str, f: &str, realloc: &str) -> Vec<u8> {
    let core = format!(
        r#"(module {module}
            (memory (export "memory") 64)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
            (func (export "test:guest/mine#f") {parameters} (result i32) {f}))"#
    );
    component(&core, &format!("interface mine {{ f: {wit}; }}\nworld guest {{ export mine; }}"))
}

/// One whose result lies at 8: an address and a length.
fn pair(wit: &str, address: u32, length: u32) -> Vec<u8> {
    let store = format!("(i32.store (i32.const 8) (i32.const {address})) (i32.store (i32.const 12) (i32.const {length})) (i32.const 8)");
    returning(wit, "", "", &store, "(i32.const 65536)")
}

/// A component that describes itself with `describe` as the body of that function, and calls nothing.
pub fn describing(describe: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (memory (export "memory") 64)
            (data (i32.const 1024) "test/tool") (data (i32.const 2048) "{{}}")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func $text (param $place i32) (param $at i32) (param $length i32)
                (i32.store (local.get $place) (local.get $at)) (i32.store (i32.add (local.get $place) (i32.const 4)) (local.get $length)))
            (func $tool (param $place i32)
                (call $text (local.get $place) (i32.const 1024) (i32.const 9))
                (call $text (i32.add (local.get $place) (i32.const 8)) (i32.const 1024) (i32.const 9))
                (call $text (i32.add (local.get $place) (i32.const 16)) (i32.const 2048) (i32.const 2))
                (call $text (i32.add (local.get $place) (i32.const 24)) (i32.const 2048) (i32.const 2)))
            (func (export "reprise:playbook/tools@0.1.0#describe") (result i32) {describe})
            (func (export "reprise:playbook/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
            (func (export "reprise:playbook/tools@0.1.0#reconcile") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#
    );
    component(&core, "world guest { export reprise:playbook/tools@0.1.0; }")
}

/// A playbook whose `run` is `body`; it imports what `imports` says.
pub fn playbook(imports: &str, module: &str, body: &str) -> Vec<u8> {
    let core = format!(
        r#"(module {module}
            (memory (export "memory") 64)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "reprise:playbook/playbook@0.1.0#run") (param i32 i32) (result i32) {body}))"#
    );
    component(&core, &format!("world guest {{ {imports} export reprise:playbook/playbook@0.1.0; }}"))
}

/// Runs a playbook that must fail; what the failure says.
fn fails(walls: &Walls, id: &str, bytes: Vec<u8>) -> String {
    walls.bring_playbook(id, bytes).ok();
    let job = walls.server.post("/v1/jobs", &json!({"playbook_id": id, "input": {}, "wait_ms": 50_000})).ok();
    assert_eq!(job["status"], "failed", "{job}");
    job["failure"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_tool_that_answers_with_a_huge_string_is_refused_at_its_length() {
    let walls = Walls::up();
    walls.bring(pair("func() -> string", 65_536, 2_000_000)).ok();
    let answer = walls.call("guest/f", &json!({}));
    let says = answer["error"]["message"].as_str().unwrap();
    // Zero bytes take six each in JSON.
    assert!(says.contains("one JSON value has at most 1048576"), "{says}");
    walls.bring(provider(Provided {
        call: "(drop (memory.grow (i32.const 60))) (memory.fill (i32.const 131072) (i32.const 49) (i32.const 1100000))
            (i32.store8 (i32.const 560) (i32.const 0)) (i32.store (i32.const 564) (i32.const 131072)) (i32.store (i32.const 568) (i32.const 1100000))
            (return (i32.const 560))",
        ..Provided::default()
    }))
    .ok();
    let says = walls.breaks("test/tool");
    assert!(says.contains("1100000 bytes; at most 1048576"), "{says}");
    walls.stand();
}

#[test]
fn a_playbook_that_answers_with_a_huge_string_fails_at_its_length() {
    let walls = Walls::up();
    let body = "(memory.fill (i32.const 131072) (i32.const 49) (i32.const 1100000))
        (i32.store (i32.const 12) (i32.const 131072)) (i32.store (i32.const 16) (i32.const 1100000)) (i32.const 8)";
    let says = fails(&walls, "huge", playbook("", "", body));
    assert!(says.contains("1100000 bytes; at most 1048576"), "{says}");
    walls.stand();
}

/// A hundred thousand strings that lie on top of one another: four megabytes of guest that would be a terabyte of host.
#[test]
fn a_tool_that_answers_with_many_strings_in_one_place_does_not_fill_the_host() {
    let walls = Walls::up();
    let overlapping = "(local $n i32)
        (loop $l
            (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $n) (i32.const 3))) (i32.const 0))
            (i32.store (i32.add (i32.const 65540) (i32.shl (local.get $n) (i32.const 3))) (i32.const 1000000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $n) (i32.const 100000))))
        (i32.store (i32.const 8) (i32.const 65536)) (i32.store (i32.const 12) (i32.const 100000)) (i32.const 8)";
    walls.bring(returning("func() -> list<string>", "", "", overlapping, "(i32.const 65536)")).ok();
    let says = walls.breaks("guest/f");
    assert!(says.contains("fuel allocated for hostcalls has been exhausted"), "{says}");
    walls.stand();
}

#[test]
fn a_tool_gets_a_megabyte_of_input_and_no_more() {
    let walls = Walls::up();
    let length = returning("func(text: string) -> s32", "(param i32 i32)", "", "(local.get 1)", "(i32.const 65536)");
    walls.bring(length).ok();
    let most = 1024 * 1024 - r#"{"text":""}"#.len();
    let whole = walls.call("guest/f", &json!({"text": "x".repeat(most)}));
    assert_eq!(whole["output"], most, "{}", whole["error"]);
    let over = walls.server.post("/v1/tools/guest/f/call", &json!({"input": {"text": "x".repeat(most + 1)}}));
    let says = String::from_utf8_lossy(&over.bytes).into_owned();
    assert!(says.contains("1048577") && says.contains("1048576"), "{} {says}", over.status);
    walls.stand();
}

#[test]
fn a_tool_whose_allocator_answers_nonsense_is_ended() {
    let walls = Walls::up();
    for (realloc, says) in [
        ("(i32.const -16)", "beyond end of memory"),
        ("(i32.const 4194300)", "beyond end of memory"),
        ("unreachable", "unreachable"),
        ("(call 0 (local.get 0) (local.get 1) (local.get 2) (local.get 3))", "stack"),
    ] {
        walls.bring(returning("func(text: string) -> s32", "(param i32 i32)", "", "(local.get 1)", realloc)).ok();
        let answer = walls.call("guest/f", &json!({"text": "some words"}));
        let said = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{realloc}: {answer}"));
        assert!(said.contains(says), "{realloc}: {said}");
    }
    // Out of line for what it is to hold.
    let odd = "(i32.const 65537)";
    walls.bring(returning("func(numbers: list<u64>) -> s32", "(param i32 i32)", "", "(local.get 1)", odd)).ok();
    let answer = walls.call("guest/f", &json!({"numbers": [1, 2]}));
    assert!(answer["error"]["message"].as_str().unwrap().contains("not aligned"), "{answer}");
    // Over its own code's data: that is the guest's loss, and nobody else's.
    walls.bring(returning("func(text: string) -> s32", "(param i32 i32)", "", "(i32.load8_u (i32.const 0))", "(i32.const 0)")).ok();
    assert_eq!(walls.call("guest/f", &json!({"text": "A"}))["output"], 65);
    walls.stand();
}

#[test]
fn a_tool_that_forges_an_address_or_a_length_is_ended() {
    let walls = Walls::up();
    for (address, length) in [(0, u32::MAX), (u32::MAX, 1), (u32::MAX - 7, 16), (4_194_304, 1), (4_194_300, 5), (1 << 31, 1 << 31)] {
        walls.bring(pair("func() -> string", address, length)).ok();
        let says = walls.breaks("guest/f");
        assert!(says.contains("out of bounds") || says.contains("out-of-bounds"), "{address} {length}: {says}");
    }
    for address in ["(i32.const -8)", "(i32.const 4194304)", "(i32.const 4194300)"] {
        walls.bring(returning("func() -> string", "", "", address, "(i32.const 65536)")).ok();
        let says = walls.breaks("guest/f");
        assert!(says.contains("out of bounds") || says.contains("out-of-bounds"), "{address}: {says}");
    }
    walls.bring(returning("func() -> string", "", "", "(i32.const 7)", "(i32.const 65536)")).ok();
    assert!(walls.breaks("guest/f").contains("not aligned"));
    // More elements than there are numbers.
    walls.bring(pair("func() -> list<u64>", 0, 0x2000_0001)).ok();
    let says = walls.breaks("guest/f");
    assert!(says.contains("out of bounds") || says.contains("out-of-bounds"), "{says}");
    walls.stand();
}

#[test]
fn a_tool_that_answers_with_what_its_type_does_not_have_is_ended() {
    let walls = Walls::up();
    let one_of = "func() -> result<_, string>";
    walls.bring(returning(one_of, "", "", "(i32.store8 (i32.const 8) (i32.const 7)) (i32.const 8)", "(i32.const 65536)")).ok();
    assert!(walls.breaks("guest/f").contains("discriminant"));
    walls.bring(returning("func() -> char", "", "", "(i32.const 0xd800)", "(i32.const 65536)")).ok();
    assert!(walls.breaks("guest/f").contains("char"), "a surrogate is no character");
    walls.stand();
}

#[test]
fn a_tool_that_answers_with_bytes_that_are_no_text_is_ended() {
    let walls = Walls::up();
    let bytes = "(i32.store (i32.const 65536) (i32.const 0x22ff22)) (i32.store (i32.const 8) (i32.const 65536)) (i32.store (i32.const 12) (i32.const 3)) (i32.const 8)";
    walls.bring(returning("func() -> string", "", "", bytes, "(i32.const 65536)")).ok();
    let says = walls.breaks("guest/f");
    assert!(says.contains("utf-8"), "{says}");
    walls
        .bring(provider(Provided {
            call: "(i32.store (i32.const 32768) (i32.const 0x22ff22)) (i32.store8 (i32.const 560) (i32.const 0))
            (i32.store (i32.const 564) (i32.const 32768)) (i32.store (i32.const 568) (i32.const 3)) (return (i32.const 560))",
            ..Provided::default()
        }))
        .ok();
    let says = walls.breaks("test/tool");
    assert!(says.contains("utf-8"), "{says}");
    walls.stand();
}

#[test]
fn a_component_that_describes_itself_in_bytes_that_are_no_text_is_not_taken_in() {
    let walls = Walls::up();
    let one = |change: &str| {
        describing(&format!(
            "(call $tool (i32.const 4096)) {change} (i32.store (i32.const 8) (i32.const 4096)) (i32.store (i32.const 12) (i32.const 1)) (i32.const 8)"
        ))
    };
    for place in ["1024", "2048"] {
        let says = walls.refuses(one(&format!("(i32.store8 (i32.const {place}) (i32.const 255))")), 422, "component_does_not_start");
        assert!(says.contains("utf-8"), "{says}");
    }
    // Text, but no name: a control character, a path, a wide one.
    for bytes in ["0x1b", "0x2e", "0x20"] {
        walls.refuses(one(&format!("(i32.store8 (i32.const 1030) (i32.const {bytes}))")), 422, "no_tools");
    }
    walls.stand();
}

#[test]
fn a_component_that_describes_more_than_anyone_can_read_is_not_taken_in() {
    let walls = Walls::up();
    let many = |times: u32| {
        describing(&format!(
            "(local $n i32)
            (loop $l (call $tool (i32.add (i32.const 65536) (i32.mul (local.get $n) (i32.const 36))))
                (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const {times}))))
            (i32.store (i32.const 8) (i32.const 65536)) (i32.store (i32.const 12) (i32.const {times})) (i32.const 8)"
        ))
    };
    let says = walls.refuses(many(129), 422, "no_tools");
    assert!(says.contains("129 tools"), "{says}");
    let says = walls.refuses(many(100_000), 422, "component_does_not_start");
    assert!(says.contains("exhausted"), "{says}");
    let twice = walls.refuses(many(2), 422, "no_tools");
    assert!(twice.contains("twice"), "{twice}");
    // A list that ends nowhere, and one with a name of three megabytes.
    let forged = "(i32.store (i32.const 8) (i32.const 65536)) (i32.store (i32.const 12) (i32.const -1)) (i32.const 8)";
    let says = walls.refuses(describing(forged), 422, "component_does_not_start");
    assert!(says.contains("bounds"), "{says}");
    let long = "(call $tool (i32.const 4096)) (call $text (i32.const 4096) (i32.const 65536) (i32.const 3000000))
        (memory.fill (i32.const 65536) (i32.const 97) (i32.const 3000000))
        (i32.store (i32.const 8) (i32.const 4096)) (i32.store (i32.const 12) (i32.const 1)) (i32.const 8)";
    let says = walls.refuses(describing(long), 422, "no_tools");
    assert!(says.len() < 8_000, "{} bytes", says.len());
    walls.stand();
}

/// Fills from 131072 with `[`, and says how many.
fn brackets(count: u32) -> String {
    format!("(drop (memory.grow (i32.const 60))) (memory.fill (i32.const 131072) (i32.const 91) (i32.const {count}))")
}

#[test]
fn json_that_is_nested_without_end_is_refused_wherever_it_comes_from() {
    let walls = Walls::up();
    // A tool's answer.
    let call = format!(
        "{} (i32.store8 (i32.const 560) (i32.const 0)) (i32.store (i32.const 564) (i32.const 131072)) (i32.store (i32.const 568) (i32.const 1000000)) (return (i32.const 560))",
        brackets(1_000_000)
    );
    walls.bring(provider(Provided { call: &call, ..Provided::default() })).ok();
    let says = walls.breaks("test/tool");
    assert!(says.contains("64"), "{says}");
    // A tool's schema.
    let deep = format!("{}{}", r#"{"items":"#.repeat(1_000), "1");
    let says = walls.refuses(provider(Provided { schemas: [&deep, "{}"], ..Provided::default() }), 422, "no_tools");
    assert!(says.contains("not JSON") && says.contains("64"), "{says}");
    // A playbook's output.
    let body = format!(
        "{} (i32.store (i32.const 12) (i32.const 131072)) (i32.store (i32.const 16) (i32.const 1000000)) (i32.const 8)",
        brackets(1_000_000)
    );
    let says = fails(&walls, "deep", playbook("", "", &body));
    assert!(says.contains("64"), "{says}");
    // A request.
    let deep = format!(r#"{{"input": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let headers = [("content-type", "application/json")];
    walls.server.send("POST", "/v1/tools/calm/tool/call", &headers, Some(deep.into_bytes())).refused(400, "json_too_deep");
    walls.stand();
}

/// A schema that names itself does not take the host's stack with it.
#[test]
fn a_schema_that_leads_into_itself_ends() {
    let walls = Walls::up();
    let around = r##"{"$ref": "#"}"##;
    let taken = walls.bring(provider(Provided { schemas: [around, "{}"], ..Provided::default() }));
    if taken.status == 201 {
        let answer = walls.call("test/tool", &json!({}));
        assert!(answer["ok"].is_boolean(), "{answer}");
    } else {
        taken.refused(422, "no_tools");
    }
    // From outside nothing is fetched.
    let elsewhere = r#"{"$ref": "http://127.0.0.1:9/schema.json"}"#;
    let says = walls.refuses(provider(Provided { schemas: [elsewhere, "{}"], ..Provided::default() }), 422, "no_tools");
    assert!(says.contains("no JSON Schema"), "{says}");
    let file = r#"{"$ref": "file:///etc/passwd"}"#;
    walls.refuses(provider(Provided { schemas: [file, "{}"], ..Provided::default() }), 422, "no_tools");
    walls.stand();
}
