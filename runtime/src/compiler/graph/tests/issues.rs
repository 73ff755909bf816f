//! What is wrong with a graph is said all at once, each with the place where it is.

use serde_json::{Value, json};

use super::{graph, tool, tool_with};
use crate::compiler::graph::Graph;
use crate::contract::Effect;
use crate::error::Code;

/// Paths and messages, `path: message`.
fn issues(value: &Value) -> Vec<String> {
    let refused = Graph::parse(value.to_string().as_bytes()).expect_err("it is not valid");
    assert_eq!(refused.code, Code::InvalidGraph);
    refused.issues.into_iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect()
}

fn of_nodes(nodes: Value) -> Vec<String> {
    issues(&graph(nodes, json!(null)))
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let found = issues(&json!({
        "graph_version": 2, "goal": "", "parameters": [{"name": "x", "schema": {"type": "string"}, "kind": 1}], "surplus": 1,
        "nodes": [
            {"id": "a", "kind": "tool", "tool": "nonsense", "input": {"x": {"$form": "a"}, "y": [{"$input": "/z"}]}, "retry": {"tries": 0}},
            {"id": "a", "kind": "wait"},
            {"kind": "approval", "title": "x", "for": "nobody", "show": 1},
            {"id": "c", "kind": "condition", "if": {"value": 1, "is": "same"}, "then": ["nobody"]},
            {"id": "d", "kind": "loop"},
        ],
        "output": {"$input": "x"},
    }));
    let places = [
        "/surplus: ",
        "/graph_version: ",
        "/goal: ",
        "/parameters/0/kind: ",
        "/nodes/0/tool: ",
        "/nodes/0/input/x: ",
        "/nodes/0/input/y/0/$input: ",
        "/nodes/0/retry/tries: ",
        "/nodes/1: ",
        "/nodes/1/id: ",
        "/nodes/2/id: ",
        "/nodes/2: ",
        "/nodes/3/if/value: ",
        "/nodes/3/if/is: ",
        "/nodes/3/then/0: ",
        "/nodes/4/kind: ",
        "/output/$input: ",
    ];
    for place in places {
        assert!(found.iter().any(|issue| issue.starts_with(place)), "{place} in {found:#?}");
    }
}

#[test]
fn each_way_to_hang_together_wrongly_has_its_own_words() {
    let condition = |then: Value, otherwise: Value| json!({"id": "c", "kind": "condition", "if": {"value": {"$input": "/flag"}, "is": "true"}, "then": then, "else": otherwise});
    let cases = [
        (json!([]), "/nodes: a list of 1 to 1000 nodes belongs here; it has 0"),
        (
            json!([tool_with("a", json!({"after": ["b"]})), tool_with("b", json!({"after": ["a"]}))]),
            r#"/nodes/0/after: a cycle: "a" comes after "b" comes after "a""#,
        ),
        (json!([tool_with("a", json!({"after": ["a"]}))]), r#"/nodes/0/after/0: "a" cannot come after itself"#),
        (json!([tool_with("a", json!({"after": ["x"]}))]), r#"/nodes/0/after/0: there is no node "x"; there are a"#),
        (json!([condition(json!(["a"]), json!(["a"])), tool("a")]), r#"/nodes/0/else/0: "a" already belongs to `then` of "c""#),
        (json!([condition(json!(["c"]), json!([]))]), r#"/nodes/0/then/0: "c" cannot belong to itself"#),
        (json!([condition(json!([]), json!([]))]), "/nodes/0/then: neither `then` nor `else` names a node"),
        (
            json!([condition(json!(["d"]), json!([])), {"id": "d", "kind": "parallel", "branches": [["c"]]}]),
            r#"/nodes/0: belongs to itself: "c" belongs to "d" belongs to "c"; nothing begins there"#,
        ),
        (
            json!([condition(json!(["a"]), json!(["b"])), tool("a"), tool_with("b", json!({"after": ["a"]}))]),
            r#"/nodes/2/after/0: "a" stands in another arm of "c""#,
        ),
        (
            json!([condition(json!(["a"]), json!([])), tool("a"), tool_with("b", json!({"after": ["a"]}))]),
            r#"/nodes/2/after/0: "a" depends on "c" and may not run"#,
        ),
        (
            json!([condition(json!(["a"]), json!([])), tool("a"), tool_with("b", json!({"input": {"x": [{"$from": "a"}]}}))]),
            r#"/nodes/2/input/x/0: "a" may not have run"#,
        ),
        (json!([tool_with("a", json!({"input": {"$from": "b"}})), tool("b")]), r#"/nodes/0/input: no step "b" before this one"#),
        (json!([tool_with("a", json!({"input": {"$from": "z"}}))]), r#"/nodes/0/input: no step "z" before this one"#),
        (
            json!([tool_with("a", json!({"on_failure": "continue"})), tool_with("b", json!({"input": {"$from": "a"}}))]),
            r#"/nodes/1/input: "a" may not have run, or may have failed"#,
        ),
        (
            json!([{"id": "p", "kind": "parallel", "branches": [["a"], ["b"]]}, tool("a"), tool_with("b", json!({"input": {"$from": "a"}}))]),
            r#"/nodes/2/input: no step "a" before this one"#,
        ),
        (
            json!([{"id": "p", "kind": "parallel", "branches": [["a"], ["b"]], "join": "first"}, tool("a"), tool("b"), tool_with("c", json!({"input": {"$from": "a"}}))]),
            r#"/nodes/3/input: "a" may not have run"#,
        ),
        (json!([{"id": "p", "kind": "parallel", "branches": [[]]}]), "/nodes/0/branches/0: names no node"),
        (
            json!([{"id": "p", "kind": "parallel", "branches": [["a"]]}, tool("a"), tool_with("b", json!({"input": {"$from": "p"}}))]),
            r#"/nodes/2/input: "p" answers nothing itself"#,
        ),
        (
            json!([{"id": "q", "kind": "approval", "title": "?", "for": "c"}, condition(json!(["a"]), json!([])), tool("a")]),
            r#"/nodes/0/for: "c" is no tool and no playbook"#,
        ),
        (
            json!([{"id": "q", "kind": "approval", "title": "?", "for": "a"}, condition(json!(["a"]), json!([])), tool("a")]),
            r#"/nodes/0/for: "a" stands in `then` of "c" and this approval does not; it would run there unasked"#,
        ),
        (
            json!([{"id": "q", "kind": "approval", "title": "?", "for": "a"}, {"id": "r", "kind": "approval", "title": "?", "for": "a"}, tool("a")]),
            r#"/nodes/1/for: "a" is guarded by "q" already"#,
        ),
        (
            json!([{"id": "q", "kind": "approval", "title": "?", "for": "a", "on_reject": ["n"]}, tool("a"), tool("n"), tool("b")]),
            r#"/nodes/3: "b" follows the approval "q", after which the graph goes on though nobody approved"#,
        ),
        (
            json!([{"id": "q", "kind": "approval", "title": "?", "for": "a", "on_reject": ["n"]}, tool("a"), tool("n"), tool_with("b", json!({"after": ["a"]}))]),
            r#"/nodes/3/after/0: "a" depends on "q" and may not run; put "b" into `then` of "q""#,
        ),
        (
            json!([{"id": "q", "kind": "approval", "title": "?", "show": 1, "on_expire": ["a"]}, tool("a")]),
            "/nodes/0/on_expire: there is no timeout_ms",
        ),
        (json!([{"id": "f", "kind": "fail", "message": "x"}, tool("a")]), "/nodes/1: no job comes here"),
        (json!([tool("a"), tool("a.undo")]), r#"/nodes/1/id: "a.undo" is what undoing "a" is called"#),
        (
            json!([tool_with("a", json!({"compensate": {"tool": "agent/b", "input": {"$from": "z"}}}))]),
            r#"/nodes/0/compensate/input: no step "z""#,
        ),
        (json!([{"id": "q", "kind": "approval", "title": "?", "show": {"x": {"$from": "z"}}}]), r#"/nodes/0/show/x: no step "z""#),
        (
            json!([tool_with("a", json!({"input": {"$from": "a", "pointr": ""}}))]),
            "/nodes/0/input: an object with the keys \"$from\", \"pointr\" is no binding",
        ),
    ];
    for (nodes, expected) in cases {
        let found = of_nodes(nodes.clone());
        assert!(found.iter().any(|issue| issue.starts_with(expected)), "{nodes}\nexpected {expected}\nfound {found:#?}");
    }
}

#[test]
fn what_is_meant_is_not_refused() {
    let condition =
        json!({"id": "c", "kind": "condition", "if": {"value": {"$input": "/flag"}, "is": "true"}, "then": ["a"], "else": ["b"]});
    for nodes in [
        json!([
            {"id": "q", "kind": "approval", "title": "?", "for": "a", "then": ["a", "b"], "on_reject": ["n"]},
            tool("a"), tool("n"), tool_with("b", json!({"after": ["a"], "input": {"$from": "a"}})),
        ]),
        json!([
            {"id": "q", "kind": "approval", "title": "?", "for": "a", "then": ["b"], "on_reject": ["n"]},
            tool("a"), tool("n"), tool_with("b", json!({"after": ["a"], "input": {"$from": "a"}})),
        ]),
        json!([condition, tool("a"), tool("b"), tool_with("end", json!({"after": ["a", "b"]}))]),
        json!([condition, tool("a"), tool("b"), tool_with("end", json!({"after": ["a", "c"]}))]),
        json!([condition, tool("a"), {"id": "b", "kind": "fail", "message": "x"}, tool_with("end", json!({"input": {"$from": "a"}}))]),
        json!([tool_with("x", json!({"after": []})), {"id": "q", "kind": "approval", "title": "?", "for": "y"}, tool_with("y", json!({"after": ["q", "x"]})), tool_with("z", json!({"after": ["y"]}))]),
        json!([{"id": "p", "kind": "parallel", "branches": [["q", "a"]]}, {"id": "q", "kind": "approval", "title": "?", "for": "a"}, tool("a")]),
    ] {
        Graph::parse(graph(nodes.clone(), json!(null)).to_string().as_bytes()).unwrap_or_else(|e| panic!("{nodes}: {:#?}", e.issues));
    }
}

#[test]
fn every_unknown_tool_is_named_and_what_agents_do_need_not_be_known() {
    let node = |id: &str, tool: &str, undo: &str| json!({"id": id, "kind": "tool", "tool": tool, "compensate": {"tool": undo}});
    let value = graph(json!([node("a", "fs/read", "fs/nothing"), node("b", "db/drop", "agent/any")]), json!(null));
    let graph = Graph::parse(value.to_string().as_bytes()).unwrap();
    let refused = graph.lower(|tool| (tool.to_string() == "fs/read").then_some(Effect::Read)).unwrap_err();
    let paths: Vec<&str> = refused.issues.iter().map(|issue| issue.path.as_str()).collect();
    assert_eq!((refused.code, paths), (Code::InvalidGraph, vec!["/nodes/0/compensate/tool", "/nodes/1/tool"]));
}

#[test]
fn more_tools_than_a_component_can_import_are_refused() {
    let tools = |n: usize| json!((0..n).map(|n| tool(&format!("t{n}"))).collect::<Vec<_>>());
    super::compiled(&graph(tools(256), json!(null)));
    assert_eq!(of_nodes(tools(257)), ["/nodes: calls 257 different tools; at most 256"]);
}

#[test]
fn a_graph_within_its_limits_can_be_read_back_from_its_component() {
    let deep = |levels: usize| (0..levels).fold(json!({"$input": "/flag"}), |inner, _| json!({"x": inner}));
    let found = of_nodes(json!([tool_with("a", json!({"input": deep(40)}))]));
    assert!(found.iter().any(|issue| issue.contains("bindings stand at most 24 levels deep")), "{found:?}");
    super::compiled(&graph(json!([tool_with("a", json!({"input": deep(24)}))]), json!(null)));
    let nested = |levels: usize| {
        let condition = |n: usize| json!({"id": format!("c{n}"), "kind": "condition", "if": {"value": {"$input": "/flag"}, "is": "true"}, "then": [format!("c{}", n + 1)]});
        let mut nodes: Vec<Value> = (0..levels).map(condition).collect();
        nodes.push(tool_with(&format!("c{levels}"), json!({"input": deep(24)})));
        graph(Value::from(nodes), json!(null))
    };
    super::compiled(&nested(16));
    let found = issues(&nested(17));
    assert!(found.iter().any(|issue| issue.contains("nested deeper than 16 levels")), "{found:?}");
}

#[test]
fn the_digest_is_that_of_the_graph_and_not_of_its_white_space() {
    let value = graph(json!([tool("a")]), json!(null));
    let digest = |text: String| Graph::parse(text.as_bytes()).unwrap().digest();
    assert_eq!(digest(value.to_string()), digest(serde_json::to_string_pretty(&value).unwrap()));
    assert_ne!(digest(value.to_string()), digest(graph(json!([tool("b")]), json!(null)).to_string()));
}
