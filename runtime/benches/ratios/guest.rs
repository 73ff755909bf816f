//! Playbooks to measure with.

use reprise::ids::Space;
use reprise::runs::{Recording, Run};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A hand-written playbook that calls a tool which is refused at once for want of a grant, as often as its input has letters (a JSON
/// string), and pays no attention to the answer. Each call has effect `idempotent`, so each is a durable step, and
/// nothing but the engine's own work is in it.
pub(super) fn caller() -> Vec<u8> {
    let mut module = wat::parse_str(include_str!("caller.wat")).expect("the text is a module");
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("wit/ parses");
    let tool = "package tool:http; interface put { use reprise:playbook/types@0.1.0.{json, tool-error}; call: func(input: json) -> result<json, tool-error>; }";
    resolve.push_source("tool.wit", tool).expect("the tool's interface parses");
    let world = "package measure:it; world caller { import tool:http/put; export reprise:playbook/playbook@0.1.0; }";
    let package = resolve.push_source("world.wit", world).expect("the world parses");
    let world = resolve.select_world(&[package], Some("caller")).expect("it is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the module takes metadata");
    ComponentEncoder::default().module(&module).and_then(|mut encoder| encoder.encode()).expect("the module becomes a component")
}

/// The caller's input for `calls` calls.
pub(super) fn calls(calls: usize) -> String {
    format!("\"{}\"", "x".repeat(calls))
}

/// A recorded run of `steps` steps over five tools, each but the first using an answer of the one before.
pub(super) fn recorded(steps: usize) -> Run {
    let mut lines = vec![r#"{"run":{"goal":"measure","inputs":{"version":"1.4.0","name":"acme-widgets"}}}"#.to_owned()];
    for n in 1..=steps {
        let before = n - 1;
        lines.push(format!(
            r#"{{"tool":"tool-{}","input":{{"path":"a/{n}.txt","old":"ticket-{before}-4711","new":"acme-widgets 1.4.0 of ticket-{before}-4711"}},"output":{{"id":"ticket-{n}-4711","ok":true}}}}"#,
            n % 5
        ));
    }
    lines.push(r#"{"end":{"status":"success"}}"#.to_owned());
    let recording = Recording::read(lines.join("\n").as_bytes()).expect("the recording is one");
    recording.as_run(&Space::default_space(), 0)
}
