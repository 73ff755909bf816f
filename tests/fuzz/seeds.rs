//! Writes what the fuzzers begin with to `corpus/`: components, plans and graphs that the repository has.
//!
//! Run it in `tests/fuzz`, with `-runs=0`: it is a target itself, since what is watched is linked with libFuzzer only.

#![no_main]

use std::path::Path;

use reprise::compiler::emit::emit;
use reprise::compiler::graph::Graph;
use reprise::compiler::plan::Plan;
use reprise::contract::Effect;
use reprise::ids::Digest;

/// Components that are no more than what they import or export; each takes another way through what sorts imports.
const SMALL: [&str; 8] = [
    r#"(component)"#,
    r#"(component (import "tool:fs/read" (instance (export "call" (func (param "input" string) (result string))))))"#,
    r#"(component (import "tool:abc/read" (instance (export "call" (func (param "input" string) (result string))))))"#,
    r#"(component (import "tool:agent/x" (instance (export "call" (func)) (export "other" (func)))))"#,
    r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get-environment" (func (result (list (tuple string string))))))))"#,
    r#"(component (import "reprise:playbook/flow@0.1.0" (instance (export "now" (func (result u64))) (export "none" (func)))))"#,
    r#"(component (core module $m (func (export "f") (result i32) i32.const 7)) (core instance $i (instantiate $m))
         (func $f (result u32) (canon lift (core func $i "f"))) (instance $x (export "run" (func $f)))
         (export "reprise:playbook/playbook@0.1.0" (instance $x)))"#,
    r#"(component (core module $m (start 0) (func (loop (br 0)))) (core instance (instantiate $m)))"#,
];

libfuzzer_sys::fuzz_target!(init: write(), |_bytes: &[u8]| {});

fn write() {
    let repository = Path::new("../..");
    let mut plans = Vec::new();
    for page in ["docs/PLAYBOOK-FORMAT.md", "docs/GRAPHS.md", "docs/HTTP.md", "docs/TESTING.md"] {
        let text = std::fs::read_to_string(repository.join(page)).expect("the page is there");
        plans.extend(
            text.split("\n```")
                .filter_map(|block| block.strip_prefix("json").and_then(|block| block.split_once('\n')))
                .map(|(_, json)| json.to_owned()),
        );
    }
    plans.push(std::fs::read_to_string(repository.join("docs/examples/refund.json")).expect("the example is there"));
    // What mentions neither is an answer over HTTP.
    plans.retain(|text| text.contains("plan_version") || text.contains("graph_version"));
    for text in &plans {
        keep("plan", text.trim().as_bytes());
        let graph = Graph::parse(text.as_bytes()).and_then(|graph| graph.lower(|_| Some(Effect::Once)));
        if let Ok(plan) = graph.or_else(|_| Plan::parse(text.as_bytes())) {
            keep("plan", plan.to_json().as_str().as_bytes());
            keep("upload", &emit(&plan).expect("a plan is emitted"));
        }
    }
    for text in SMALL {
        keep("upload", &wat::parse_str(text).expect("it is WAT"));
    }
    for file in ["guest-sdk/text/greet.wat", "tests/guests/clock.wat"] {
        keep("upload", &wat::parse_file(repository.join(file)).expect("it is WAT"));
    }
    // Where bytes are read as choices, any bytes are a beginning.
    let mut digest = Digest::of(b"seed");
    for length in [64, 256, 1024, 4096] {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            digest = Digest::of(digest.as_bytes());
            bytes.extend_from_slice(digest.as_bytes());
        }
        keep("values", &bytes);
        keep("emitter", &bytes);
        keep("upload", &[b"?", bytes.as_slice()].concat());
    }
}

fn keep(target: &str, bytes: &[u8]) {
    let directory = Path::new("corpus").join(target);
    std::fs::create_dir_all(&directory).expect("the corpus can be made");
    std::fs::write(directory.join(Digest::of(bytes).to_string()), bytes).expect("a seed can be written");
}
