//! Whatever is sent: it is refused with issues, or it is emitted and explains itself. Nothing in between.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{compiled, graph, tool, tool_with, undoable};
use crate::compiler::graph::{Graph, schema};
use crate::json::below;

/// A graph with a node of every kind.
fn whole() -> Value {
    let nodes = json!([
        undoable("a"),
        {"id": "c", "kind": "condition", "if": {"value": {"$from": "a", "pointer": "/n"}, "is": "greater", "to": 3}, "then": ["p"], "else": ["w", "ask"]},
        {"id": "p", "kind": "parallel", "branches": [["b"], ["d", "sub"]], "join": "first", "on_failure": ["mend"]},
        tool_with("b", json!({"retry": {"tries": 2, "first_pause_ms": 5}, "timeout_ms": 10, "step_timeout_ms": 20})),
        tool("d"), tool("mend"),
        {"id": "sub", "kind": "playbook", "playbook": "other", "input": {"d": {"$from": "d"}}, "on_failure": "continue"},
        {"id": "w", "kind": "wait", "signal": "go", "timeout_ms": 5, "on_expire": ["no"]},
        {"id": "no", "kind": "fail", "message": {"$text": ["late: ", {"$input": "/order/id"}]}},
        {"id": "ask", "kind": "approval", "title": "?", "for": "e", "then": ["f"], "timeout_ms": 9, "on_reject": ["g"], "on_expire": "fail"},
        tool_with("e", json!({"input": {"x": [{"$from": "w", "pointer": "/y", "default": null}, {"$literal": {"$x": 1}}]}})),
        tool("f"), tool("g"),
        {"id": "nap", "kind": "wait", "sleep_ms": 5, "after": ["c"]},
    ]);
    graph(nodes, json!({"b": {"$from": "b", "default": 0}, "all": {"$input": ""}}))
}

/// Every place in it.
fn places(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| places(value, below(&at, key), into)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| places(value, format!("{at}/{n}"), into)),
        _ => {}
    }
    into.push(at);
}

/// What may stand somewhere in a graph, rightly or not.
fn anything() -> impl Strategy<Value = Value> {
    let ids = ["a", "b", "c", "d", "e", "p", "w", "ask", "sub", "nap", "no", "nobody"];
    let id = prop::sample::select(ids.to_vec());
    prop_oneof![
        4 => id.clone().prop_map(Value::from),
        4 => prop::collection::vec(id.clone(), 0..3).prop_map(Value::from),
        3 => (id, any::<bool>()).prop_map(|(id, default)| if default { json!({"$from": id, "default": 1}) } else { json!({"$from": id}) }),
        3 => prop::sample::select(vec![
            json!(null), json!(true), json!(0), json!(7), json!(-1.5), json!(""), json!([]), json!({}), json!("continue"), json!("fail"), json!("tool"),
            json!("first"), json!("exists"), json!("fs/read"), json!({"$input": "/flag"}), json!({"$input": "flag"}), json!({"$text": [1]}), json!({"$": 1}),
        ]),
    ]
}

#[test]
fn the_graph_that_is_broken_is_whole() {
    compiled(&whole());
    assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&whole()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_graph_with_parts_exchanged_is_refused_with_issues_or_emitted(changes in prop::collection::vec((any::<prop::sample::Index>(), prop::option::weighted(0.8, anything())), 1..3)) {
        let mut value = whole();
        for (place, new) in changes {
            let mut all = Vec::new();
            places(&value, String::new(), &mut all);
            let place = place.get(&all).clone();
            match (new, place.rsplit_once('/')) {
                (Some(new), _) => *value.pointer_mut(&place).unwrap() = new,
                (None, Some((parent, key))) => match value.pointer_mut(parent).unwrap() {
                    Value::Object(fields) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))),
                    Value::Array(items) => drop(items.remove(key.parse().unwrap())),
                    _ => {}
                },
                (None, None) => {}
            }
        }
        match Graph::of(&value) {
            Ok(_) => drop(compiled(&value)),
            Err(e) => {
                prop_assert!(!e.issues.is_empty());
                let nodes = value["nodes"].as_array().map_or(0, Vec::len);
                for issue in &e.issues {
                    // The place is there, or it is a field that is missing in an object that is there.
                    let parent = issue.path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    prop_assert!(
                        value.pointer(&issue.path).is_some() || value.pointer(parent).is_some(),
                        "{} of {nodes} nodes: {}", issue.path, issue.message
                    );
                }
            }
        }
    }
}
