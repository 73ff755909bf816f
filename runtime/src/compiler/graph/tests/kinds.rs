//! Each kind of node: the calls that are made, in which order, with which inputs, and how it ends.

use serde_json::{Value, json};

use super::world::World;
use super::{compiled, graph, run, run_with, tool, tool_with, undoable};
use crate::compiler::emit::wit_text;
use crate::json::Json;
use crate::sandbox::{GuestFailure, Interruption};

fn from(id: &str) -> Value {
    json!({"$from": id})
}

#[test]
fn bindings_are_whole_values_anywhere_in_an_input() {
    let input = json!({
        "all": {"$input": ""}, "id": {"$input": "/order/id"}, "deep": [{"x": {"$from": "a", "pointer": "/list/1"}}],
        "text": {"$text": ["Order ", {"$input": "/order/id"}, " is ", {"$from": "a", "pointer": "/word"}]},
        "literal": {"$literal": {"$from": "nobody"}}, "absent": {"$from": "a", "pointer": "/none", "default": [0]},
        "there": {"$from": "a", "pointer": "/word", "default": 1},
    });
    let nodes = json!([tool("a"), {"id": "b", "kind": "tool", "tool": "agent/b", "input": input}]);
    let world = World::default().answers("a", json!({"list": [1, {"y": "ü"}], "word": "so\"so"}));
    let (ending, events) = run(&graph(nodes, json!({"b": from("b"), "kept": [1]})), world);
    assert_eq!(ending, r#"{"b":{"did":"b"},"kept":[1]}"#);
    let expected = json!({
        "all": {"flag": true, "order": {"amount": 12.5, "id": 7}}, "id": 7, "deep": [{"x": {"y": "ü"}}], "text": "Order 7 is so\"so",
        "literal": {"$from": "nobody"}, "absent": [0], "there": "so\"so",
    });
    assert_eq!(events[1], format!("b agent/b {expected}"));
}

#[test]
fn a_diamond_is_done_in_the_order_of_the_list_whatever_way_it_is_written() {
    let nodes = json!([
        tool_with("last", json!({"after": ["right", "left"]})),
        tool_with("right", json!({"after": ["first"]})),
        tool_with("left", json!({"after": ["first"]})),
        tool_with("first", json!({"after": []})),
    ]);
    let (ending, events) = run(&graph(nodes, from("last")), World::default());
    assert_eq!(ending, r#"{"did":"last"}"#);
    let order: Vec<&str> = events.iter().map(|event| event.split(' ').next().unwrap()).collect();
    assert_eq!(order, ["first", "right", "left", "last"]);
}

#[test]
fn a_condition_takes_one_arm() {
    let asked = |is: &str, to: Option<Value>, pointer: &str| {
        let mut asked = json!({"value": {"$from": "a", "pointer": pointer}, "is": is});
        if let Some(to) = to {
            asked["to"] = to;
        }
        let nodes =
            json!([tool("a"), {"id": "c", "kind": "condition", "if": asked, "then": ["yes"], "else": ["no"]}, tool("yes"), tool("no")]);
        let answer = json!({"n": 5, "f": 5.5, "t": true, "s": "open", "nothing": null, "o": {"b": 1, "a": [2]}});
        let output = json!([{"$from": "yes", "pointer": "/did", "default": "-"}, {"$from": "no", "pointer": "/did", "default": "-"}]);
        let (ending, events) = run(&graph(nodes, output), World::default().answers("a", answer));
        assert_eq!(events.len(), 2, "{events:?}");
        match ending.as_str() {
            r#"["yes","-"]"# => true,
            r#"["-","no"]"# => false,
            other => panic!("{other}"),
        }
    };
    for (is, to, pointer, holds) in [
        ("true", None, "/t", true),
        ("true", None, "/n", false),
        ("true", None, "/absent", false),
        ("exists", None, "/nothing", true),
        ("exists", None, "/absent", false),
        ("equals", Some(json!("open")), "/s", true),
        ("equals", Some(json!("opens")), "/s", false),
        ("equals", Some(json!({"a": [2], "b": 1})), "/o", true),
        ("equals", Some(json!(null)), "/absent", false),
        ("not_equals", Some(json!("open")), "/s", false),
        ("not_equals", Some(json!("shut")), "/s", true),
        ("not_equals", Some(json!(null)), "/absent", true),
        ("greater", Some(json!(4.5)), "/n", true),
        ("greater", Some(json!(5)), "/n", false),
        ("greater", Some(json!(1)), "/s", false),
        ("greater", Some(json!(1)), "/absent", false),
        ("less", Some(json!(6)), "/f", true),
        ("less", Some(json!(5)), "/f", false),
    ] {
        assert_eq!(asked(is, to.clone(), pointer), holds, "{pointer} {is} {to:?}");
    }
}

#[test]
fn a_failure_goes_where_the_graph_says() {
    let nodes = |on_failure: Value| {
        json!([
            tool("a"),
            tool_with("b", json!({"on_failure": on_failure})),
            tool_with("c", json!({"after": ["b"]})),
            tool("mend"),
            tool("tell")
        ])
    };
    let with = |on_failure: Value| {
        let mut nodes = nodes(on_failure.clone());
        if !on_failure.is_array() {
            nodes.as_array_mut().unwrap().truncate(3);
        }
        let (ending, events) = run(&graph(nodes, from("c")), World::default().refuses("b"));
        (ending, events.iter().map(|event| event.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let (ending, calls) = with(json!("stop"));
    assert_eq!(ending, r#"failed at b: agent/b: failed: it would not {"detail":null,"kind":"failed","tool":"agent/b"}"#);
    assert_eq!(calls, ["a", "b"]);
    assert_eq!(with(json!("continue")), (r#"{"did":"c"}"#.to_owned(), ["a", "b", "c"].map(str::to_owned).to_vec()));
    assert_eq!(with(json!(["mend", "tell"])), (r#"{"did":"c"}"#.to_owned(), ["a", "b", "mend", "tell", "c"].map(str::to_owned).to_vec()));
}

#[test]
fn what_was_done_is_undone_last_first_once_the_graph_fails() {
    let nodes = json!([undoable("a"), undoable("b"), tool("c"), undoable("d"), undoable("e")]);
    let (ending, events) = run(&graph(nodes.clone(), from("e")), World::default().refuses("d"));
    assert!(ending.starts_with("failed at d: agent/d: failed: it would not {"), "{ending}");
    assert_eq!(
        events[4..],
        ["compensates", r#"b.undo agent/undo-b {"of":"b"}"#, r#"a.undo agent/undo-a {"of":"a"}"#],
        "what failed and what never began is not undone"
    );
    let (ending, events) = run(&graph(nodes.clone(), from("e")), World::default().refuses("a"));
    assert!(ending.starts_with("failed at a"), "{ending}");
    assert_eq!(events.len(), 1, "nothing was done, so nothing is undone and nobody is told: {events:?}");
    let (ending, events) = run(&graph(nodes.clone(), from("e")), World::default());
    assert_eq!((ending.as_str(), events.len()), (r#"{"did":"e"}"#, 5));
    let (ending, events) = run(&graph(nodes, from("e")), World::default().refuses("d").refuses("b.undo"));
    assert!(ending.contains("it would not; b could not be undone: agent/undo-b: failed: it would not {"), "{ending}");
    assert_eq!(events.last().unwrap(), r#"a.undo agent/undo-a {"of":"a"}"#, "the rest is undone all the same");
}

#[test]
fn what_undoing_needs_and_the_answer_lacks_is_told() {
    let nodes = json!([undoable("a"), undoable("b"), tool("c")]);
    let (ending, events) = run(&graph(nodes, from("c")), World::default().answers("b", json!({})));
    assert!(
        ending.starts_with("failed at b: agent/b answered without /did, which b.undo needs; b could not be undone: there is no b/did"),
        "{ending}"
    );
    assert_eq!(events[2..], ["compensates", "a.undo agent/undo-a {\"of\":\"a\"}"]);
}

#[test]
fn a_cancelled_graph_runs_no_handler_and_undoes_what_it_did() {
    for cancelled_at in ["b", "w", "ask"] {
        let nodes = json!([
            undoable("a"),
            tool_with("b", json!({"on_failure": ["mend"]})),
            {"id": "w", "kind": "wait", "signal": "go", "timeout_ms": 10, "on_expire": ["late"]},
            {"id": "ask", "kind": "approval", "title": "Go on?", "show": 1, "then": ["c"], "on_reject": ["no"]},
            tool("c"), tool("mend"), tool("late"), tool("no"),
        ]);
        let (ending, events) = run(&graph(nodes, json!(null)), World::default().cancelled_at(cancelled_at));
        assert!(ending.starts_with(&format!("failed at {cancelled_at}: ")) && ending.contains(r#""kind":"cancelled""#), "{ending}");
        assert_eq!(events[events.len() - 2..], ["compensates", "a.undo agent/undo-a {\"of\":\"a\"}"]);
        assert!(!events.iter().any(|e| ["mend", "late", "no", "c"].iter().any(|id| e.starts_with(&format!("{id} ")))), "{events:?}");
    }
}

#[test]
fn an_approval_shows_exactly_the_call_that_is_made_then() {
    let pay = json!({"id": "pay", "kind": "tool", "tool": "agent/pay", "input": {"to": {"$from": "a", "pointer": "/did"}, "sum": {"$input": "/order/amount"}}});
    let ask = json!({"id": "ask", "kind": "approval", "title": "Pay?", "for": "pay", "timeout_ms": 1000});
    let nodes =
        json!([tool("a"), ask, pay, tool_with("b", json!({"input": {"said": {"$from": "ask", "pointer": "/by"}, "paid": from("pay")}}))]);
    let world = World::default().answers("ask", json!({"by": "ada"}));
    let (ending, events) = run(&graph(nodes.clone(), from("b")), world);
    assert_eq!(ending, r#"{"did":"b"}"#);
    let call = r#"{"sum":12.5,"to":"a"}"#;
    assert_eq!(
        events[1..],
        [
            format!(r#"ask asks "Pay?" {{"input":{call},"tool":"agent/pay"}} Some(1000)"#),
            format!("pay agent/pay {call}"),
            r#"b agent/b {"paid":{"did":"pay"},"said":"ada"}"#.to_owned(),
        ]
    );
    for (interruption, ending) in [
        (
            Interruption::Rejected(Json::from(&json!("too much"))),
            r#"failed at ask: rejected: Pay? {"answer":"too much","kind":"rejected"}"#,
        ),
        (Interruption::Expired, r#"failed at ask: nobody decided in time: Pay? {"kind":"expired"}"#),
    ] {
        let (found, events) = run(&graph(nodes.clone(), from("b")), World::default().interrupts("ask", interruption));
        assert_eq!(found, ending);
        assert_eq!(events.len(), 2, "the guarded call was not made: {events:?}");
    }
}

#[test]
fn a_rejection_and_an_expiry_go_their_own_ways() {
    let nodes = json!([
        {"id": "ask", "kind": "approval", "title": "Pay?", "for": "pay", "then": ["thank"], "timeout_ms": 1, "on_reject": ["sorry"], "on_expire": ["remind"]},
        tool("pay"), tool("thank"),
        tool_with("sorry", json!({"input": {"why": from("ask")}})),
        tool("remind"),
        tool_with("end", json!({"after": ["ask"]})),
    ]);
    let calls = |world: World| -> Vec<String> {
        let (ending, events) = run(&graph(nodes.clone(), from("end")), world);
        assert_eq!(ending, r#"{"did":"end"}"#);
        events[1..].to_vec()
    };
    let me = |id: &str| format!("{id} agent/{id} {{\"me\":\"{id}\"}}");
    assert_eq!(calls(World::default()), [me("pay"), me("thank"), me("end")]);
    let rejected = World::default().interrupts("ask", Interruption::Rejected(Json::from(&json!("no"))));
    assert_eq!(calls(rejected), [r#"sorry agent/sorry {"why":"no"}"#.to_owned(), me("end")]);
    assert_eq!(calls(World::default().interrupts("ask", Interruption::Expired)), [me("remind"), me("end")]);
}

#[test]
fn a_wait_sleeps_or_takes_a_signal() {
    let nodes = json!([
        {"id": "nap", "kind": "wait", "sleep_ms": 250},
        {"id": "go", "kind": "wait", "signal": "paid", "timeout_ms": 9, "on_expire": ["late"]},
        {"id": "more", "kind": "wait", "signal": "more"},
        tool("late"),
    ]);
    let output = json!({"go": {"$from": "go", "default": "none"}, "more": from("more"), "nap": from("nap")});
    let (ending, events) = run(&graph(nodes.clone(), output.clone()), World::default().answers("go", json!([1])));
    assert_eq!(ending, r#"{"go":[1],"more":{"did":"more"},"nap":null}"#);
    assert_eq!(events, ["nap sleeps 250", "go waits for paid Some(9)", "more waits for more None"]);
    let (ending, events) = run(&graph(nodes.clone(), output.clone()), World::default().interrupts("go", Interruption::Expired));
    assert_eq!(ending, r#"{"go":"none","more":{"did":"more"},"nap":null}"#);
    assert_eq!(events[2], r#"late agent/late {"me":"late"}"#);
    let (ending, _) = run(&graph(nodes, output), World::default().interrupts("more", Interruption::Expired));
    assert_eq!(ending, r#"failed at more: no signal "more" came in time {"kind":"expired"}"#);
}

#[test]
fn a_playbook_is_started_and_waited_for() {
    let nodes = json!([tool("a"), {"id": "p", "kind": "playbook", "playbook": "refund", "input": {"of": from("a")}}]);
    let graph = graph(nodes, json!([from("p"), {"$from": "p", "pointer": "/did"}]));
    let (ending, events) = run(&graph, World::default());
    assert_eq!(ending, r#"[{"did":"refund"},"refund"]"#);
    assert_eq!(events[1], r#"p starts playbook refund {"of":{"did":"a"}}"#);
    let failed = GuestFailure { step: Some("s9".to_owned()), message: "no money".to_owned(), detail: Some(Json::from(&json!(1))) };
    let (ending, _) = run(&graph, World::default().playbook("refund", Err(failed)));
    assert_eq!(ending, "failed at p: playbook refund: no money 1");
}

#[test]
fn step_options_are_said_before_the_call() {
    let more = json!({"retry": {"tries": 5, "first_pause_ms": 20}, "timeout_ms": 3000, "step_timeout_ms": 60000});
    let (_, events) = run(&graph(json!([tool_with("a", more)]), from("a")), World::default());
    let options = "StepOptions { tries: Some(5), first_pause_ms: Some(20), call_timeout_ms: Some(3000), step_timeout_ms: Some(60000) }";
    assert_eq!(events, [format!("a agent/a {{\"me\":\"a\"}} {options}")]);
}

#[test]
fn a_graph_can_end_in_failure_by_itself() {
    let nodes =
        json!([undoable("a"), {"id": "no", "kind": "fail", "message": {"$text": ["order ", {"$input": "/order/id"}, " is closed"]}}]);
    let (ending, events) = run(&graph(nodes, json!(null)), World::default());
    assert_eq!(ending, "failed at no: order 7 is closed");
    assert_eq!(events[1..], ["compensates", "a.undo agent/undo-a {\"of\":\"a\"}"]);
}

/// Two branches that each need something from before and give something back.
fn side_by_side(join: &str) -> Value {
    let nodes = json!([
        undoable("a"),
        {"id": "both", "kind": "parallel", "branches": [["b", "c"], ["d"]], "join": join},
        tool_with("b", json!({"input": {"a": {"$from": "a", "pointer": "/did"}, "id": {"$input": "/order/id"}}})),
        tool_with("c", json!({"input": {"b": from("b")}, "compensate": {"tool": "agent/undo-c", "input": {"of": {"$from": "c", "pointer": "/did"}}}})),
        undoable("d"),
        tool_with("e", json!({"after": ["both"], "input": {"c": {"$from": "c", "default": 0}, "d": {"$from": "d", "pointer": "/did", "default": 0}}})),
    ]);
    graph(nodes, from("e"))
}

#[test]
fn branches_are_children_that_get_what_they_need_and_give_back_what_is_needed() {
    let (ending, events) = run(&side_by_side("all"), World::default());
    assert_eq!(ending, r#"{"did":"e"}"#);
    assert_eq!(
        events[1..],
        [
            r#"starts both/0 {"input":{"/order/id":7},"outputs":{"a/did":"a"}}"#,
            r#"starts both/1 {"input":{},"outputs":{}}"#,
            r#"b agent/b {"a":"a","id":7}"#,
            r#"c agent/c {"b":{"did":"b"}}"#,
            r#"d agent/d {"me":"d"}"#,
            r#"e agent/e {"c":{"did":"c"},"d":"d"}"#,
        ]
    );
}

#[test]
fn a_branch_that_fails_undoes_its_own_and_its_parent_the_rest() {
    let (ending, events) = run(&side_by_side("all"), World::default().refuses("d"));
    assert!(ending.starts_with("failed at d: agent/d: failed"), "{ending}");
    assert_eq!(
        events[5..],
        [r#"d agent/d {"me":"d"}"#, "compensates", r#"c.undo agent/undo-c {"of":"c"}"#, r#"a.undo agent/undo-a {"of":"a"}"#]
    );
    let (ending, events) = run(&side_by_side("all"), World::default().refuses("c"));
    assert!(ending.starts_with("failed at c: agent/c: failed"), "{ending}");
    assert_eq!(events[5..], ["cancels 1", "compensates", r#"a.undo agent/undo-a {"of":"a"}"#], "the other branch never called anything");
    let (_, events) = run(&side_by_side("all"), World::default().refuses("e"));
    let undone =
        ["compensates", r#"d.undo agent/undo-d {"of":"d"}"#, r#"c.undo agent/undo-c {"of":"c"}"#, r#"a.undo agent/undo-a {"of":"a"}"#];
    assert_eq!(events[7..], undone, "what branches did is undone by their parent");
}

#[test]
fn the_first_branch_to_end_decides_and_the_others_are_cancelled() {
    let (ending, events) = run(&side_by_side("first"), World::default().first(1));
    assert_eq!(ending, r#"{"did":"e"}"#);
    assert_eq!(events[3..], [r#"d agent/d {"me":"d"}"#, "cancels 0", r#"e agent/e {"c":0,"d":"d"}"#]);
    let (ending, _) = run(&side_by_side("first"), World::default().first(1).refuses("d"));
    assert!(ending.starts_with("failed at d"), "{ending}");
}

#[test]
fn a_component_imports_what_its_graph_uses_and_nothing_else() {
    let imports = |nodes: Value| -> Vec<String> {
        let wit = wit_text(&compiled(&graph(nodes, json!(null)))).unwrap();
        let names = [
            "step-with",
            "sleep",
            "wait-signal",
            "approve",
            "branch",
            "start-branch",
            "start-playbook",
            "join",
            "first",
            "cancel-child",
            "compensate",
            "check",
            "now",
        ];
        names.into_iter().filter(|name| wit.contains(&format!(" {name}: func("))).map(str::to_owned).collect()
    };
    assert!(imports(json!([tool("a")])).is_empty());
    assert_eq!(imports(json!([undoable("a")])), ["compensate"]);
    assert_eq!(imports(json!([{"id": "w", "kind": "wait", "sleep_ms": 5}])), ["sleep"]);
    assert_eq!(imports(json!([{"id": "w", "kind": "approval", "title": "x", "show": 5}])), ["approve"]);
    assert_eq!(imports(json!([{"id": "p", "kind": "playbook", "playbook": "x"}])), ["start-playbook", "join"]);
    let parallel = json!([{"id": "p", "kind": "parallel", "branches": [["a"]]}, tool("a")]);
    assert_eq!(imports(parallel), ["branch", "start-branch", "join", "cancel-child"]);
}

#[test]
fn an_input_that_lacks_a_value_fails_before_anything_is_done() {
    let graph = graph(json!([tool("a"), tool_with("b", json!({"input": {"$input": "/order/id"}}))]), json!(null));
    let (ending, events) = run_with(&graph, &json!({"order": {}, "flag": true}), World::default());
    assert_eq!((ending.as_str(), events.len()), ("failed at : the input lacks /order/id", 0));
}
