//! Any bytes as an upload: what `POST /v1/playbooks` and `POST /v1/tools` do before they keep anything, and what is then read of them.
//!
//! Bytes that begin with `?` are choices, of which a component is made: almost all others end at the validator.

#![no_main]

use std::fmt::Write as _;
use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use reprise::compiler::emit::{Explained, emit, read_plan, wit_text};
use reprise::ids::Digest;
use reprise::sandbox::Sandbox;
use tokio::runtime::Runtime;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None).expect("the engine starts"));
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts"));

fuzz_target!(|bytes: &[u8]| {
    let Some(choices) = bytes.strip_prefix(b"?") else { return upload(bytes) };
    let Ok(text) = component(&mut Unstructured::new(choices)) else { return };
    if let Ok(made) = wat::parse_str(&text) {
        upload(&made);
    }
});

fn upload(bytes: &[u8]) {
    if let Explained::ByPlan(plan) = read_plan(bytes) {
        assert_eq!(emit(&plan).expect("it was emitted"), bytes);
    }
    // Every second namespace is there, so that both ways of an import are taken.
    let provides = |tool: &reprise::contract::ToolId| tool.namespace().len() % 2 == 0;
    if let Ok(playbook) = SANDBOX.load(&Digest::of(bytes), provides, || Ok(bytes.to_vec())) {
        assert!(playbook.imports().tools.len() <= reprise::limits::IMPORTS_MAX);
        wit_text(bytes).expect("what is kept can be shown");
        let _ = RUNTIME.block_on(SANDBOX.try_start(&playbook));
    }
    if let Ok(provider) = SANDBOX.load_provider(&Digest::of(bytes), || Ok(bytes.to_vec())) {
        for function in provider.functions().unwrap_or_default() {
            for schema in [&function.input_schema, &function.output_schema] {
                assert!(jsonschema::meta::is_valid(schema), "{schema}");
            }
        }
        let _ = RUNTIME.block_on(SANDBOX.try_start_provider(&provider));
        if provider.functions().is_none() {
            let _ = RUNTIME.block_on(SANDBOX.describe(&provider));
        }
    }
}

const INTERFACES: [&str; 14] = [
    "reprise:playbook/flow@0.1.0",
    "reprise:playbook/data@0.1.0",
    "reprise:playbook/types@0.1.0",
    "reprise:playbook/playbook@0.1.0",
    "reprise:playbook/tools@0.1.0",
    "reprise:playbook/flow@0.2.0",
    "tool:fs/read",
    "tool:abc/read",
    "tool:agent/x",
    "tool:fs/read@1.0.0",
    "wasi:cli/environment@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "a:b/c",
    "plain-name",
];
const FUNCTIONS: [&str; 10] = ["call", "run", "now", "random-u64", "log", "sleep", "step", "select", "text", "other"];
const TYPES: [&str; 10] = [
    "string",
    "u64",
    "bool",
    "(list u8)",
    "(option string)",
    "(result string (error string))",
    "(tuple u8 char)",
    "f64",
    "(list $r)",
    "(own $r)",
];

/// A component with imports, a core module that may do something when it starts, and an export.
fn component(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = "(component\n".to_owned();
    let mut write = |line: &str| text.push_str(line);
    for _ in 0..u.int_in_range(0..=5)? {
        let mut functions = String::new();
        for _ in 0..u.int_in_range(0..=3)? {
            let _ = write!(functions, " (export \"{}\" (func{}))", u.choose(&FUNCTIONS)?, signature(u)?);
        }
        let name = u.choose(&INTERFACES)?;
        match u.int_in_range(0..=7)? {
            0 => write(&format!("(import \"{name}\" (func{}))\n", signature(u)?)),
            1 => write(&format!("(import \"{name}\" (type (sub resource)))\n")),
            2 => write(&format!("(import \"{name}\" (component{functions}))\n")),
            3 => write(&format!("(import \"{name}\" (core module))\n")),
            _ => write(&format!("(import \"{name}\" (instance{functions}))\n")),
        }
    }
    let body = *u.choose(&[
        "nop",
        "unreachable",
        "(loop (br 0))",
        "(drop (memory.grow (i32.const 65536)))",
        "(call $s)",
        "(i32.store8 (i32.const -1) (i32.const 0))",
    ])?;
    let start = if u.arbitrary()? { "(start $s)" } else { "" };
    let (pages, elements) = (u.choose(&[0, 1, 1024, 65536])?, u.choose(&[0, 1, 20_000, 10_000_000])?);
    let modules = u.int_in_range(1..=20)?;
    for n in 0..modules {
        write(&format!(
            "(core module $m{n} (memory (export \"m\") {pages}) (table {elements} funcref) (func $s {body}) {start}
               (func (export \"f\") (param i32 i32) (result i32) i32.const 8) (func (export \"g\") (result i64) i64.const 7)
               (func (export \"r\") (param i32 i32 i32 i32) (result i32) i32.const 1024))
             (core instance $i{n} (instantiate $m{n}))\n"
        ));
    }
    let lifted = *u.choose(&[
        "(func $f (param \"input\" string) (result string) (canon lift (core func $i0 \"f\") (memory (core memory $i0 \"m\")) (realloc (core func $i0 \"r\"))))",
        "(func $f (param \"input\" string) (result (result string (error string))) (canon lift (core func $i0 \"f\") (memory (core memory $i0 \"m\")) (realloc (core func $i0 \"r\"))))",
        "(func $f (result u64) (canon lift (core func $i0 \"g\")))",
    ])?;
    write(lifted);
    let (name, interface) = (u.choose(&FUNCTIONS)?, u.choose(&INTERFACES)?);
    write(&format!("(instance $x (export \"{name}\" (func $f))) (export \"{interface}\" (instance $x))\n"));
    write(")");
    Ok(text)
}

fn signature(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    for n in 0..u.int_in_range(0..=2)? {
        let _ = write!(text, " (param \"{}\" {})", if n == 0 { "input" } else { "b" }, u.choose(&TYPES)?);
    }
    if u.arbitrary()? {
        let _ = write!(text, " (result {})", u.choose(&TYPES)?);
    }
    Ok(text)
}
