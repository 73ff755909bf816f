//! Playbooks to measure with.

use reprise::ids::Space;
use reprise::runs::{Recording, Run};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A hand-written playbook that calls a tool which is refused at once for want of a grant, as often as its input has letters (a JSON
/// string), and pays no attention to the answer. Each call has effect `idempotent`, so each is a durable step, and
/// nothing but the engine's own work is in it.
pub(super) fn caller() -> Vec<u8> {
    caller_of("http/put")
}

/// The same, of another tool, which takes any input.
pub(super) fn caller_of(tool: &str) -> Vec<u8> {
    let (namespace, name) = tool.split_once('/').expect("a tool's id");
    let interface = format!(
        "package tool:{namespace}; interface {name} {{ use reprise:playbook/types@0.1.0.{{json, tool-error}}; call: func(input: json) -> result<json, tool-error>; }}"
    );
    let module = include_str!("caller.wat").replace("tool:http/put", &format!("tool:{tool}"));
    component(&module, &interface, &format!("import tool:{tool}; export reprise:playbook/playbook@0.1.0;"))
}

/// The component that a core module is in a world.
pub(super) fn component(module: &str, interfaces: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("the text is a module");
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("wit/ parses");
    if !interfaces.is_empty() {
        resolve.push_source("more.wit", interfaces).expect("the interfaces parse");
    }
    let package = resolve.push_source("world.wit", &format!("package measure:it; world measured {{ {world} }}")).expect("the world parses");
    let world = resolve.select_world(&[package], Some("measured")).expect("it is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the module takes metadata");
    ComponentEncoder::default().module(&module).and_then(|mut encoder| encoder.encode()).expect("the module becomes a component")
}

/// The caller's input for `calls` calls.
pub(super) fn calls(calls: usize) -> String {
    format!("\"{}\"", "x".repeat(calls))
}

/// A recorded run of `steps` steps over five tools, each but the first using an answer of the one before.
pub(super) fn recorded(steps: usize) -> Run {
    recorded_of(steps, "1.4.0", "acme-widgets", 4711)
}

/// The same of other things: what differs is two inputs, and what the tools answer.
pub(super) fn recorded_of(steps: usize, version: &str, name: &str, ticket: usize) -> Run {
    let mut lines = vec![format!(r#"{{"run":{{"goal":"measure","inputs":{{"version":"{version}","name":"{name}"}}}}}}"#)];
    for n in 1..=steps {
        let before = n - 1;
        lines.push(format!(
            r#"{{"tool":"tool-{}","input":{{"path":"a/{n}.txt","old":"ticket-{before}-{ticket}","new":"{name} {version} of ticket-{before}-{ticket}"}},"output":{{"id":"ticket-{n}-{ticket}","ok":true}}}}"#,
            n % 5
        ));
    }
    lines.push(r#"{"end":{"status":"success"}}"#.to_owned());
    let recording = Recording::read(lines.join("\n").as_bytes()).expect("the recording is one");
    recording.as_run(&Space::default_space(), 0)
}
