//! What a plan with loops, derived values and defaults may say, and what is refused with the place named.

use serde_json::{Value, json};

use super::*;

/// A plan over the parameter `files`, with this body and output, as somebody might send it.
fn plan(body: &Value, output: &Value) -> Value {
    json!({
        "plan_version": 3, "goal": "try it",
        "parameters": [{"name": "files", "schema": {"type": "array"}, "sample": []}],
        "body": body, "output": output,
    })
}

fn step(id: &str, input: &Value) -> Value {
    json!({"step": {"id": id, "tool": "agent/one", "effect": "once", "input": input}})
}

fn each(id: &str, body: &Value) -> Value {
    json!({"each": {"id": id, "list": {"value": {"parameter": {"name": "files", "pointer": ""}}}, "body": body}})
}

fn item(each: &str) -> Value {
    json!({"value": {"item": {"each": each, "pointer": "/name"}}})
}

fn nothing() -> Value {
    json!({"constant": null})
}

/// The faults of a plan: path and message.
fn faults(plan: &Value) -> Vec<(String, String)> {
    match Plan::parse(plan.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(e) if e.issues.is_empty() => vec![(String::new(), e.message)],
        Err(e) => e.issues.into_iter().map(|issue| (issue.path, issue.message)).collect(),
    }
}

#[test]
fn a_plan_says_the_first_version_in_which_all_of_it_could_be_said() {
    let whole = |body: Value| -> u32 {
        let read: Plan = serde_json::from_value(plan(&body, &nothing())).unwrap();
        Plan::new(read.goal, read.parameters, read.body, read.output).plan_version
    };
    let plain = step("s1", &nothing());
    assert_eq!(whole(json!([plain])), 1);
    assert_eq!(whole(json!([{"try": {"body": [plain], "on_failure": []}}])), 2);
    assert_eq!(whole(json!([each("e", &json!([plain]))])), 3);
    assert_eq!(whole(json!([step("s1", &json!({"value": "today"}))])), 3);
    assert_eq!(whole(json!([step("s1", &json!({"text": [{"derived": {"from": "today", "rules": ["trim"]}}]}))])), 3);
    let steps = |n: usize| whole((1..=n).map(|at| step(&format!("s{at}"), &nothing())).collect());
    assert_eq!((steps(7), steps(8)), (1, 4), "of a long one, what steps have in common stands once");
    // Nobody may call a plan older than what it says.
    let mut old = plan(&json!([each("e", &json!([plain]))]), &nothing());
    old["plan_version"] = json!(2);
    assert_eq!(faults(&old), [("/plan_version".to_owned(), "2 where this version reads 3 to 4".to_owned())]);
    let mut later = plan(&json!([plain]), &nothing());
    assert_eq!(faults(&later), []);
    later["plan_version"] = json!(5);
    assert_eq!(faults(&later), [("/plan_version".to_owned(), "5 where this version reads 1 to 4".to_owned())]);
}

#[test]
fn what_a_loop_answers_is_bound_and_what_is_in_it_belongs_to_its_turn() {
    let of = |step: &str| json!({"value": {"output": {"step": step, "pointer": ""}}});
    let inner = json!([step("s1", &item("e")), step("s2", &of("s1"))]);
    assert_eq!(faults(&plan(&json!([each("e", &inner)]), &of("e"))), []);
    let table = [
        (plan(&json!([each("e", &inner)]), &of("s1")), "/output", "\"s1\" is in a loop, and has not answered in this turn"),
        (plan(&json!([each("e", &inner), step("s3", &item("e"))]), &nothing()), "/body/1/step/input", "not inside of a loop \"e\""),
        (plan(&json!([each("e", &json!([]))]), &nothing()), "/body/0/each/body", "nothing is done with the elements"),
        (
            plan(
                &json!([each("e", &json!([step("s1", &nothing()), {"try": {"body": [step("s2", &nothing())], "on_failure": []}}]))]),
                &nothing(),
            ),
            "/body/0/each/output",
            "the last node answers nothing itself",
        ),
        (
            plan(
                &json!([each(
                    "e",
                    &json!([{"parallel": {"id": "p", "join": "all", "branches": [[step("s1", &nothing())]]}}, step("s2", &nothing())])
                )]),
                &nothing(),
            ),
            "/body/0/each/body/0/parallel",
            "what is done in a loop is done in order",
        ),
        (plan(&json!([each("e", &json!([step("s[1]", &nothing())]))]), &nothing()), "/body/0/each/body/0/step/id", "has a \"[\""),
        (
            plan(&json!([each("e", &json!([step(&"s".repeat(124), &nothing())]))]), &nothing()),
            "/body/0/each/body/0/step/id",
            "too long to say its turn",
        ),
    ];
    for (plan, path, message) in table {
        let found = faults(&plan);
        assert!(found.iter().any(|(at, said)| at == path && said.contains(message)), "{path}: {message}: {found:?}");
    }
    let mut undone = step("s1", &nothing());
    undone["step"]["compensation"] = json!({"id": "u1", "tool": "agent/two", "effect": "once", "input": {"constant": 1}});
    let found = faults(&plan(&json!([each("e", &json!([undone]))]), &nothing()));
    assert_eq!(found[0].0, "/body/0/each/body/0/step/compensation", "{found:?}");
}

#[test]
fn absurd_rules_are_refused_with_their_place() {
    let derived = |rules: Value| json!({"object": {"a": {"derived": {"from": "today", "rules": rules}}}});
    let with = |rules: Value| faults(&plan(&json!([step("s1", &derived(rules))]), &nothing()));
    assert_eq!(with(json!(["trim", {"bump": "patch"}])), []);
    assert_eq!(with(json!([])), [("/body/0/step/input/a".to_owned(), "no rule says what is made of today".to_owned())]);
    assert_eq!(with(json!(vec!["trim"; 10_000]))[0].0, "/body/0/step/input/a");
    assert!(with(json!([{"replace": {"from": "", "to": "x"}}]))[0].1.contains("rule 1 for today: there is nothing to replace"));
    for unreadable in [json!(["explode"]), json!([{"piece": {"by": ",", "at": 3_000_000_000_u64}}]), json!([{"bump": "mega"}])] {
        assert!(with(unreadable.clone())[0].1.contains("not a plan"), "{unreadable}");
    }
}

#[test]
fn a_default_makes_a_parameter_optional_and_must_fit_its_schema() {
    let with = |schema: Value, default: Value| {
        let mut plan = plan(&json!([step("s1", &nothing())]), &nothing());
        plan["parameters"][0]["schema"] = schema;
        plan["parameters"][0]["default"] = default;
        plan
    };
    let fine = with(json!({"type": "string", "enum": ["minor", "patch"], "description": "how far"}), json!("patch"));
    let read = Plan::parse(fine.to_string().as_bytes()).unwrap();
    let schema = read.input_schema();
    assert_eq!(schema["required"], json!([]));
    assert_eq!(schema["properties"]["files"]["default"], json!("patch"));
    assert_eq!(schema["properties"]["files"]["enum"], json!(["minor", "patch"]));
    assert_eq!(read.completed(&json!({})), json!({"files": "patch"}));
    assert_eq!(read.completed(&json!({"files": "minor"})), json!({"files": "minor"}));
    // `null` is a value like another.
    let null = Plan::parse(with(json!({"type": "null"}), json!(null)).to_string().as_bytes()).unwrap();
    assert_eq!(null.completed(&json!({})), json!({"files": null}));
    assert_eq!(Plan::parse(null.to_json().as_str().as_bytes()).unwrap(), null);
    let table = [
        (with(json!({"type": "string"}), json!(1)), "/parameters/0/default"),
        (with(json!({"type": "string", "enum": ["a"]}), json!("b")), "/parameters/0/default"),
        (with(json!({"type": "string", "enum": []}), json!("b")), "/parameters/0/schema/enum"),
        (with(json!({"type": "string", "enum": ["a", 1]}), json!("a")), "/parameters/0/schema/enum"),
        (with(json!({"type": "string", "description": 7}), json!("a")), "/parameters/0/schema/description"),
        (with(json!({"type": "string", "pattern": "(a+)+$"}), json!("a")), "/parameters/0/schema"),
        (with(json!({"type": ["string"]}), json!("a")), "/parameters/0/schema"),
        (with(json!("string"), json!("a")), "/parameters/0/schema"),
    ];
    for (plan, path) in table {
        let found = faults(&plan);
        assert_eq!(found.first().map(|(at, _)| at.as_str()), Some(path), "{found:?}");
    }
}
