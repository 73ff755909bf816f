//! Plans whose steps are held to checks: the component asks for each, with what its plan says, and goes no further by itself.

use serde_json::{Value, json};

use super::sandbox;
use super::world::run;
use crate::compiler::emit::{Explained, emit, read_plan};
use crate::compiler::plan::Plan;
use crate::ids::Digest;

/// A plan over the list `list`.
fn plan(body: &Value, output: &Value) -> Result<Plan, String> {
    let text = json!({
        "plan_version": 3, "goal": "try it",
        "parameters": [{"name": "list", "schema": {"type": "array"}, "sample": []}],
        "body": body, "output": output,
    });
    Plan::parse(text.to_string().as_bytes()).map_err(|e| format!("{e}: {:?}", e.issues))
}

fn step(id: &str, input: Value, checks: Value) -> Value {
    json!({"step": {"id": id, "tool": "agent/one", "effect": "once", "input": input, "checks": checks}})
}

fn check(at: &str, is: Value) -> Value {
    json!({"at": at, "is": is, "origin": "given"})
}

fn constant(value: Value) -> Value {
    json!({"constant": value})
}

fn imports_checks(plan: &Plan) -> bool {
    let component = emit(plan).unwrap();
    assert_eq!(read_plan(&component), Explained::ByPlan(Box::new(plan.clone())));
    let playbook = sandbox().load(&Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
    playbook.imports().checks
}

#[test]
fn a_check_is_made_of_what_is_known_and_asks_about_the_answer() {
    // In each turn: the answer's n is the element's, and its text stands beside it whatever was asked meanwhile.
    let equals = json!({"object": {"kind": constant(json!("equals")), "pointer": constant(json!("/n")),
        "value": {"value": {"item": {"each": "e", "pointer": "/n"}}}}});
    let pattern = constant(json!({"kind": "output_regex", "pattern": "text"}));
    let exists = json!({"object": {"kind": constant(json!("file_exists")),
        "path": {"text": [{"literal": "project/"}, {"value": {"item": {"each": "e", "pointer": "/n"}}}, {"literal": "\"\\"}]}}});
    let body = step(
        "s1",
        json!({"value": {"item": {"each": "e", "pointer": ""}}}),
        json!([
            check("after", equals),
            check("before", exists),
            check("after", pattern),
            check("after", constant(json!({"kind": "always"}))),
        ]),
    );
    let text = json!({"output": {"step": "s1", "pointer": "/deep/text"}});
    let each = json!({"each": {"id": "e", "list": {"value": {"parameter": {"name": "list", "pointer": ""}}}, "body": [body], "output": {"value": text}}});
    let plan = plan(&json!([each]), &json!({"value": {"output": {"step": "e", "pointer": ""}}})).unwrap();
    assert!(imports_checks(&plan));
    let long = "0123456789".repeat(20_000);
    let answer = |n: u64| json!({"n": n, "deep": {"text": format!("{n}{long}")}});
    let list = json!({"list": [{"n": 1}, {"n": 2}, {"n": 3}]});
    let done = run(&plan, &list, &[answer(1), answer(2), answer(3)]);
    let all: Vec<Value> = (1..=3).map(|n| json!(format!("{n}{long}"))).collect();
    assert_eq!((done.calls.len(), done.end), (3, Ok(json!(all))));
    let done = run(&plan, &list, &[answer(1), answer(7), answer(3)]);
    assert_eq!(done.calls.len(), 2, "what stands behind the check is not done");
    let (_, message) = done.end.unwrap_err();
    assert!(message.contains("/n in the answer is 7 and not 2"), "{message}");
}

#[test]
fn a_handler_hears_of_a_check_and_a_plan_without_one_imports_nothing_for_it() {
    let held = step("s1", constant(json!(1)), json!([check("after", constant(json!({"kind": "exists", "pointer": "/no"})))]));
    let tried = json!([{"try": {"body": [held], "on_failure": [step("s2", constant(json!(2)), json!([]))]}}]);
    let plan_of = |body: &Value| plan(body, &constant(json!("done"))).unwrap();
    let done = run(&plan_of(&tried), &json!({"list": []}), &[json!({"n": 1})]);
    assert_eq!((done.calls.len(), done.end), (2, Ok(json!("done"))));
    assert!(!imports_checks(&plan_of(&json!([step("s1", constant(json!(1)), json!([]))]))));
}

#[test]
fn what_cannot_be_judged_is_no_check_of_a_plan() {
    for (checks, why) in [
        (json!([check("before", constant(json!({"kind": "exit_code", "equals": 0})))]), "there is no answer before the call"),
        (json!([check("after", constant(json!({"kind": "moon_is_full"})))]), "unknown variant"),
        (json!([check("after", constant(json!({"kind": "output_regex", "pattern": "("})))]), "the pattern cannot be used"),
        (json!([check("after", json!({"value": {"parameter": {"name": "list", "pointer": ""}}}))]), "whose \"kind\" is a constant"),
        (
            json!([check(
                "after",
                json!({"object": {"kind": constant(json!("equals")), "value": {"value": {"parameter": {"name": "list", "pointer": ""}}}}})
            )]),
            "equals has the fields",
        ),
        (
            json!([check(
                "after",
                json!({"object": {"kind": constant(json!("stdout_contains")), "text": {"value": {"output": {"step": "s1", "pointer": ""}}}}})
            )]),
            "no step \"s1\" before this one",
        ),
    ] {
        let error = plan(&json!([step("s1", constant(json!(1)), checks)]), &constant(json!(1))).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
