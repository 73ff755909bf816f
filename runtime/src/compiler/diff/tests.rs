//! Two plans side by side, and what is said of them.

use super::*;
use serde_json::json;

/// A plan of these nodes, as its JSON.
fn plan(body: Value, output: Value) -> Plan {
    let text = json!({
        "plan_version": 2, "goal": "g", "body": body, "output": output,
        "parameters": [{"name": "path", "schema": {"type": "string"}, "sample": "a.txt"}],
    });
    Plan::parse(text.to_string().as_bytes()).unwrap()
}

fn step(id: &str, input: Value) -> Value {
    json!({"step": {"id": id, "tool": "fs/write", "effect": "idempotent", "input": input,
        "decisions": [{"at": "/path", "kind": "constant", "reason": id}]}})
}

fn writes(path: &str, text: &str) -> Value {
    json!({"constant": {"path": path, "text": text}})
}

fn null() -> Value {
    json!({"constant": null})
}

#[test]
fn each_difference_is_one_line_and_what_is_the_same_is_none() {
    let a = || step("a", writes("a", "1"));
    let b = || step("b", writes("b", "2"));
    let c = || step("c", writes("c", "3"));
    let base = json!([a(), b(), c()]);
    let bound =
        step("b", json!({"object": {"path": {"value": {"parameter": {"name": "path", "pointer": ""}}}, "text": {"constant": "2"}}}));
    let branch = |then: Value| json!({"branch": {"id": "q", "if": {"value": {"parameter": {"name": "path", "pointer": ""}}, "is": "exists"}, "then": then, "else": []}});
    let why = || json!({"step": {"id": "a", "tool": "fs/write", "effect": "idempotent", "input": writes("a", "1"), "decisions": []}});
    for (old, new, lines) in [
        (base.clone(), base.clone(), vec![]),
        (base.clone(), json!([why(), b(), c()]), vec![]),
        (base.clone(), json!([a(), c()]), vec!["- b fs/write (idempotent) {\"path\":\"b\",\"text\":\"2\"}"]),
        (json!([a(), c()]), base.clone(), vec!["+ b fs/write (idempotent) {\"path\":\"b\",\"text\":\"2\"}"]),
        (base.clone(), json!([a(), step("b", writes("b", "9")), c()]), vec!["~ b input/text: \"2\" -> \"9\""]),
        (base.clone(), json!([a(), bound, c()]), vec!["~ b input/path: \"b\" -> input.path"]),
        (base.clone(), json!([c(), a(), b()]), vec!["> c stands at another place"]),
        (base.clone(), json!([a(), branch(json!([b()])), c()]), vec!["+ q if there is input.path:", "> b stands at another place"]),
        (
            json!([a(), branch(json!([b()]))]),
            json!([a(), branch(json!([b(), c()]))]),
            vec!["+ c fs/write (idempotent) {\"path\":\"c\",\"text\":\"3\"}"],
        ),
    ] {
        assert_eq!(PlanDiff::between(&plan(old, null()), &plan(new.clone(), null())).lines(), lines, "{new}");
    }
}

#[test]
fn goal_output_and_parameters_are_compared_and_a_sample_is_not() {
    let body = || json!([step("a", writes("a", "1"))]);
    let old = plan(body(), null());
    let mut new = plan(body(), json!({"value": {"output": {"step": "a", "pointer": ""}}}));
    new.goal = "h".to_owned();
    new.parameters[0].sample = crate::json::Json::from(&json!("b.txt"));
    assert_eq!(PlanDiff::between(&old, &new).lines(), ["~ goal: g -> h", "~ output: null -> a"]);
    new.parameters[0].name = "other".to_owned();
    assert_eq!(
        PlanDiff::between(&old, &new).lines()[..2],
        ["~ parameter other: now {\"schema\":{\"type\":\"string\"}}", "~ parameter path: no longer {\"schema\":{\"type\":\"string\"}}"]
    );
}

#[test]
fn two_thousand_steps_in_reverse_are_compared_in_no_time() {
    let steps: Vec<Value> = (0..2000).map(|n| step(&format!("s{n}"), writes("a", "1"))).collect();
    let reversed: Vec<Value> = steps.iter().rev().cloned().collect();
    let (old, new) = (plan(json!(steps), null()), plan(json!(reversed), null()));
    assert_eq!(PlanDiff::between(&old, &new).steps.len(), 1999);
    assert!(PlanDiff::between(&new, &new).is_empty());
}
