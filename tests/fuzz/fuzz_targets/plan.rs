//! Any text as a plan and as a task graph: what passes the check is what it says, and is emitted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise::compiler::emit::emit;
use reprise::compiler::graph::Graph;
use reprise::compiler::plan::Plan;
use reprise::contract::Effect;
use reprise::error::{Code, Error};

fuzz_target!(|text: &[u8]| {
    if let Ok(plan) = Plan::parse(text) {
        let again = Plan::parse(plan.to_json().as_str().as_bytes()).expect("the canonical text of a plan is a plan");
        assert_eq!(again, plan);
        emitted(&plan);
    }
    if let Ok(graph) = Graph::parse(text) {
        let plan = graph.lower(|_| Some(Effect::Once)).expect("a graph that passes is lowered");
        emitted(&plan);
    }
});

/// The check is the emitter's only condition, but for the size of the text.
fn emitted(plan: &Plan) {
    match emit(plan) {
        Ok(_) => {}
        Err(Error { code: Code::NotCompilable, message, .. }) if message.contains("no place for large files") => {}
        Err(e) => panic!("{e}: {}", plan.to_json()),
    }
}
