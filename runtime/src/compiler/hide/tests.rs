//! Secrets in every place of a plan in which a value can stand, and in all of a run.

use serde_json::json;

use super::*;
use crate::compiler::splice::splice;
use crate::compiler::{Options, compile, without_secrets};
use crate::ids::Space;
use crate::runs::Recording;
use crate::sandbox::Sandbox;
use crate::tools::Registry;

const KEY: &str = "sk-AAAAbbbb1111cccc2222";
const WORD: &str = "Hunter2!Hunter2";

fn recorded(id: &str, inputs: &Value, steps: &[Value]) -> Run {
    let mut lines = vec![json!({"run": {"run_id": id, "goal": "release", "inputs": inputs}}).to_string()];
    lines.extend(steps.iter().map(ToString::to_string));
    lines.push(json!({"end": {"status": "success"}}).to_string());
    Recording::read(lines.join("\n").as_bytes()).unwrap().as_run(&Space::default_space(), 0)
}

fn names(names: &[(&str, &str)]) -> BTreeMap<String, String> {
    names.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned())).collect()
}

/// What is found in a plan of this body, over the parameters `list` and `token`.
fn found(body: &Value, parameter: &Value) -> BTreeMap<String, String> {
    let text = json!({
        "plan_version": 3, "goal": "try it",
        "parameters": [{"name": "list", "schema": {"type": "array"}, "sample": []}, parameter],
        "body": body, "output": {"constant": 1},
    });
    left_in(&Plan::parse(text.to_string().as_bytes()).unwrap())
}

fn step(id: &str, checks: &Value) -> Value {
    json!({"step": {"id": id, "tool": "agent/one", "effect": "once", "input": {"constant": {}}, "checks": checks}})
}

#[test]
fn a_secret_is_found_in_checks_loops_conditions_and_parameters() {
    let plain = json!({"name": "token", "schema": {"type": "string"}, "sample": "x"});
    let check =
        json!({"at": "before", "is": {"constant": {"kind": "env_equals", "name": "DEPLOY_TOKEN", "value": WORD}}, "origin": "recorded"});
    assert_eq!(found(&json!([step("s1", &json!([check]))]), &plain), names(&[(WORD, "DEPLOY_TOKEN")]));
    let each = json!([{"each": {"id": "e", "list": {"constant": [{"password": WORD}]}, "body": [step("s1", &json!([]))]}}]);
    assert_eq!(found(&each, &plain), names(&[(WORD, "password")]));
    let asked = json!({"value": {"parameter": {"name": "token", "pointer": ""}}, "is": "equals", "to": WORD});
    let branch = json!([{"branch": {"id": "b", "if": asked, "then": [step("s1", &json!([]))], "else": []}}]);
    assert_eq!(found(&branch, &plain), names(&[(WORD, "token")]));
    let sampled = json!({"name": "token", "schema": {"type": "string"}, "sample": WORD, "default": KEY});
    assert_eq!(found(&json!([step("s1", &json!([]))]), &sampled), names(&[(WORD, "token"), (KEY, "token_2")]));
    let reasoned = json!([{"step": {"id": "s1", "tool": "agent/one", "effect": "once", "input": {"constant": 1},
        "decisions": [{"at": "", "kind": "constant", "reason": format!("it was {KEY}")}]}}]);
    assert_eq!(found(&reasoned, &plain), names(&[(KEY, "secret")]));
}

#[test]
fn two_secrets_in_fields_of_one_name_keep_two_names() {
    let calls = [
        json!({"tool": "one", "input": {"token": "first-4711-abcd"}, "output": {"ok": true}}),
        json!({"tool": "two", "input": {"token": "other-4712-efgh", "again": {"token": "first-4711-abcd"}}, "output": {"ok": true}}),
        json!({"tool": "curl", "input": {"argv": ["--token", "third-4713-ijkl"], "headers": [{"name": "X-Api-Key", "value": "fourth-4714-mnop"}]},
            "output": {"ok": true}}),
    ];
    let run = recorded("two", &json!({"token": "{{secret:token_2}}"}), &calls);
    let made = compiled(&run);
    let plan = made.plan.to_json();
    for (field, name) in [("first-4711", "token"), ("other-4712", "token_3"), ("third-4713", "token_4"), ("fourth-4714", "X-Api-Key")] {
        assert!(!plan.as_str().contains(field) && plan.as_str().contains(&format!("{{{{secret:{name}}}}}")), "{name}: {plan}");
    }
    assert_eq!(made.summary.value()["secrets_needed"], json!(["X-Api-Key", "token", "token_3", "token_4"]));
}

fn compiled(run: &Run) -> crate::compiler::Compiled {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(compile(&Sandbox::new(None).unwrap(), &Registry::builtin(), run, &Options::default())).unwrap()
}

#[test]
fn a_spliced_run_brings_no_secret_in_conditions_and_signatures_and_a_shown_one_has_none() {
    let tell = json!({"tool": "tell", "input": {"text": "done"}, "output": {"told": true}});
    let plan = compiled(&recorded("first", &json!({}), std::slice::from_ref(&tell))).plan;
    let held = json!({"tool": "login", "input": {"password": WORD}, "output": {"ok": true},
        "preconditions": [{"kind": "env_equals", "name": "DEPLOY_TOKEN", "value": "quiet-9911-word"}],
        "expected_output_signature": {"api_key": KEY}, "postconditions": [{"kind": "stdout_contains", "text": KEY}]});
    let run = recorded("second", &json!({}), &[held, tell]);
    let patch = splice(&plan, &run, None, &Registry::builtin(), &Options::default()).unwrap();
    let shown = without_secrets(&run, &Registry::builtin(), &Options::default()).unwrap();
    for secret in [WORD, KEY, "quiet-9911"] {
        assert!(!patch.as_str().contains(secret), "{secret}: {patch}");
        assert!(!format!("{shown:?}").contains(secret), "{secret}");
    }
    assert!(patch.as_str().contains("{{secret:DEPLOY_TOKEN}}") && patch.as_str().contains("{{secret:password}}"), "{patch}");
    let made = compiled(&run);
    assert!(!made.plan.to_json().as_str().contains("quiet-9911"));
    assert!(made.plan.to_json().as_str().contains(r#""env_exists""#), "{}", made.plan.to_json());
}
