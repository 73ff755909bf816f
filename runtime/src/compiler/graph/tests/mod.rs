//! Graphs run in the sandbox against a world that is scripted by node, children included.

mod broken;
mod issues;
mod kinds;
mod loops;
mod random;
mod world;

use serde_json::{Value, json};

use super::Graph;
use crate::compiler::emit::{Explained, emit, read_plan};
use crate::compiler::plan::{PLAN_VERSION, Plan};
use crate::contract::Effect;
use crate::sandbox::Ending;
use world::World;

/// A graph of these nodes, with the parameters `order` (an object) and `flag`.
fn graph(nodes: Value, output: Value) -> Value {
    json!({
        "graph_version": 1,
        "goal": "try it",
        "parameters": [{"name": "order", "schema": {"type": "object"}}, {"name": "flag", "schema": {"type": "boolean"}}],
        "nodes": nodes,
        "output": output,
    })
}

fn compiled(value: &Value) -> Vec<u8> {
    let graph = Graph::parse(value.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}: {:#?}", e.issues));
    let plan = graph.lower(|_| Some(Effect::Once)).unwrap_or_else(|e| panic!("{e}: {:#?}", e.issues));
    let component = emit(&plan).unwrap();
    assert_eq!(emit(&plan).unwrap(), component, "the same plan gives the same bytes");
    assert_eq!(read_plan(&component), Explained::ByPlan(Box::new(plan)), "the component explains itself");
    component
}

/// What came of it, in a line, and what was asked of the world, in order.
fn run(value: &Value, world: World) -> (String, Vec<String>) {
    run_with(value, &json!({"order": {"id": 7, "amount": 12.5}, "flag": true}), world)
}

fn run_with(value: &Value, input: &Value, world: World) -> (String, Vec<String>) {
    let component = compiled(value);
    let Explained::ByPlan(plan) = read_plan(&component) else { panic!("it was compiled") };
    let (ending, events) = world::run(component, input, world.clone());
    let (shared, then) = world::run(emit(&Plan { plan_version: PLAN_VERSION, ..*plan }).unwrap(), input, world);
    assert_eq!((told(shared), &then), (told(ending.clone()), &events), "as a long plan is emitted");
    (told(ending), events)
}

fn told(ending: Ending) -> String {
    match ending {
        Ending::Output(output) => output.to_string(),
        Ending::Failure { step, message, detail } => {
            let detail = detail.map(|detail| format!(" {detail}")).unwrap_or_default();
            format!("failed at {}: {message}{detail}", step.unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

/// A tool node whose input is its own id.
fn tool(id: &str) -> Value {
    json!({"id": id, "kind": "tool", "tool": format!("agent/{id}"), "input": {"me": id}})
}

/// The same with more fields.
fn tool_with(id: &str, more: Value) -> Value {
    let mut node = tool(id);
    for (key, value) in more.as_object().unwrap() {
        node[key] = value.clone();
    }
    node
}

/// A tool node that `undo-<id>` undoes.
fn undoable(id: &str) -> Value {
    tool_with(id, json!({"compensate": {"tool": format!("agent/undo-{id}"), "input": {"of": {"$from": id, "pointer": "/did"}}}}))
}
