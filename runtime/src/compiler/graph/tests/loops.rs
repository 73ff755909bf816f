//! Loops, rules and the date as graphs say them.

use serde_json::{Value, json};

use super::world::World;
use super::{graph, run_with, tool};
use crate::compiler::graph::{Graph, schema};
use crate::error::Issue;

/// For each line of an order: reserve it, and send it where it is worth much.
fn shipping() -> Value {
    graph(
        json!([
            {"id": "lines", "kind": "each", "list": {"$input": "/order/lines"}, "do": ["reserve", "dear"], "give": {"$from": "reserve", "pointer": "/did"},
             "on_failure": ["tell"]},
            {"id": "reserve", "kind": "tool", "tool": "agent/reserve",
             "input": {"what": {"$item": "lines", "pointer": "/name"}, "note": {"$text": ["by ", {"$today": true, "rules": [{"days": 3}]}]}}},
            {"id": "dear", "kind": "condition", "if": {"value": {"$item": "lines", "pointer": "/price"}, "is": "greater", "to": 10}, "then": ["send"]},
            {"id": "send", "kind": "tool", "tool": "agent/send", "input": {"first": {"$item": "lines", "pointer": "/name", "rules": [{"piece": {"by": "", "at": 0}}]}}},
            tool("tell"),
        ]),
        json!({"reserved": {"$from": "lines", "default": null}, "told": {"$from": "tell", "default": false}}),
    )
}

fn lines(lines: Value) -> Value {
    json!({"order": {"lines": lines}, "flag": true})
}

#[test]
fn a_loop_is_done_in_order_with_conditions_inside() {
    let input = lines(json!([{"name": "red paint", "price": 12}, {"name": "brush", "price": 2}]));
    let (ending, events) = run_with(&shipping(), &input, World::default());
    assert_eq!(ending, r#"{"reserved":["reserve[0]","reserve[1]"],"told":false}"#);
    assert_eq!(
        events,
        [
            r#"reserve[0] agent/reserve {"note":"by 1970-01-04","what":"red paint"}"#,
            r#"send[0] agent/send {"first":"red"}"#,
            r#"reserve[1] agent/reserve {"note":"by 1970-01-04","what":"brush"}"#,
        ]
    );
    let (ending, events) = run_with(&shipping(), &lines(json!([])), World::default());
    assert_eq!((ending.as_str(), events.len()), (r#"{"reserved":[],"told":false}"#, 0));
}

#[test]
fn a_turn_that_fails_fails_the_loop_and_its_handler_goes_on() {
    let input = lines(json!([{"name": "a", "price": 1}, {"name": "b", "price": 1}, {"name": "c", "price": 1}]));
    let (ending, events) = run_with(&shipping(), &input, World::default().refuses("reserve[1]"));
    assert_eq!(ending, r#"{"reserved":null,"told":{"did":"tell"}}"#);
    assert_eq!(events.len(), 3, "the third turn is not begun: {events:?}");
    let (ending, _) = run_with(&shipping(), &lines(json!("none")), World::default());
    assert_eq!(ending, r#"{"reserved":null,"told":{"did":"tell"}}"#);
}

#[test]
fn a_cancelled_loop_runs_no_handler() {
    let input = lines(json!([{"name": "a", "price": 1}, {"name": "b", "price": 1}]));
    let (ending, events) = run_with(&shipping(), &input, World::default().cancelled_at("reserve[1]"));
    assert!(ending.starts_with("failed at reserve[1]: agent/reserve: cancelled"), "{ending}");
    assert_eq!(events.len(), 1);
}

#[test]
fn a_branch_beside_others_has_loops_of_its_own_and_the_day_of_its_parent() {
    let nodes = json!([
        {"id": "both", "kind": "parallel", "branches": [["all"], ["other"]]},
        {"id": "all", "kind": "each", "list": {"$input": "/order/lines"}, "do": ["one"]},
        {"id": "one", "kind": "tool", "tool": "agent/one", "input": [{"$item": "all"}, {"$today": true}]},
        tool("other"),
    ]);
    let (ending, events) = run_with(&graph(nodes, json!({"$from": "all", "pointer": "/1"})), &lines(json!(["x", "y"])), World::default());
    assert_eq!(ending, r#"{"did":"one[1]"}"#);
    assert_eq!(events[0], r#"starts both/0 {"input":{"/order/lines":["x","y"]},"others":{"/today":"1970-01-01"},"outputs":{}}"#);
    assert!(events.contains(&r#"one[1] agent/one ["y","1970-01-01"]"#.to_owned()), "{events:?}");
}

#[test]
fn what_was_done_before_a_loop_that_fails_is_undone_and_what_undoing_cannot_derive_is_told() {
    let undo = json!({"tool": "agent/undo", "input": {"$from": "first", "pointer": "/did", "rules": [{"piece": {"by": "-", "at": 1}}]}});
    let nodes = json!([
        {"id": "first", "kind": "tool", "tool": "agent/first", "compensate": undo},
        {"id": "all", "kind": "each", "list": {"$input": "/order/lines"}, "do": ["one"]},
        tool("one"),
    ]);
    let fails = |world: World| run_with(&graph(nodes.clone(), json!(null)), &lines(json!([1])), world.refuses("one[0]"));
    let (ending, events) = fails(World::default().answers("first", json!({"did": "a-b"})));
    assert_eq!(events.last().map(String::as_str), Some(r#"first.undo agent/undo "b""#));
    assert!(!ending.contains("undone"), "{ending}");
    let (ending, events) = fails(World::default());
    assert_eq!(events.last().map(String::as_str), Some("compensates"));
    let told = r#"; first could not be undone: first/did does not follow rule 1 (piece 2, split by "-"): "first" has 1 pieces"#;
    assert!(ending.contains(told), "{ending}");
}

fn issues(nodes: Value, output: Value) -> Vec<Issue> {
    Graph::of(&graph(nodes, output)).err().map(|e| e.issues).unwrap_or_default()
}

#[test]
fn what_is_wrong_with_a_loop_is_said_in_terms_of_the_graph() {
    assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&shipping()));
    let each = |body: Value| json!({"id": "e", "kind": "each", "list": {"$input": "/order"}, "do": body});
    let item = json!({"id": "one", "kind": "tool", "tool": "agent/one", "input": {"$item": "e"}});
    let table = [
        (json!([each(json!([]))]), json!(null), "/nodes/0/do", "names no node"),
        (json!([{"id": "e", "kind": "each", "do": ["one"]}, tool("one")]), json!(null), "/nodes/0/list", "is missing"),
        (json!([item]), json!(null), "/nodes/0/input", "not inside of a loop \"e\""),
        (json!([each(json!(["one"])), tool("one")]), json!({"$from": "one"}), "/output", "\"one\" is in a loop"),
        (
            json!([each(json!(["c"])), {"id": "c", "kind": "condition", "if": {"value": {"$item": "e"}, "is": "true"}, "then": ["one"]}, tool("one")]),
            json!(null),
            "/nodes/0/give",
            "say what each turn gives",
        ),
        (
            json!([each(json!(["p"])), {"id": "p", "kind": "parallel", "branches": [["one"]]}, tool("one")]),
            json!(null),
            "/nodes/1",
            "in order",
        ),
        (json!([each(json!(["one"])), super::undoable("one")]), json!(null), "/nodes/1/compensate", "cannot be undone one by one"),
        (json!([tool("one")]), json!({"$from": "one", "rules": ["explode"]}), "/output/rules", "these are no rules"),
        (json!([tool("one")]), json!({"$from": "one", "rules": ["trim"], "default": 1}), "/output", "both a default and rules"),
        (json!([tool("one")]), json!({"$today": false}), "/output", "is no binding"),
    ];
    for (nodes, output, path, message) in table {
        let found = issues(nodes, output);
        assert!(found.iter().any(|issue| issue.path == path && issue.message.contains(message)), "{path}: {message}: {found:#?}");
    }
}

#[test]
fn a_parameter_of_a_graph_may_have_a_default() {
    let mut value = graph(json!([{"id": "one", "kind": "tool", "tool": "agent/one", "input": {"how": {"$input": "/how"}}}]), json!(null));
    value["parameters"] = json!([{"name": "how", "schema": {"type": "string", "enum": ["soft", "hard"]}, "default": "soft"}]);
    assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&value));
    assert_eq!(run_with(&value, &json!({}), World::default()).1, [r#"one agent/one {"how":"soft"}"#]);
    assert_eq!(run_with(&value, &json!({"how": "hard"}), World::default()).1, [r#"one agent/one {"how":"hard"}"#]);
}
