//! Secrets that stand in recorded runs go no further: into no component, no plan, no answer, and to no model.

use serde_json::{Value, json};

use crate::support::chat::{Chat, Reply};
use crate::support::recorded::record;
use crate::support::server::Server;

/// Known to the operator, and in fields that do not say so.
const KEPT: &str = "canary-kept 77 by/the operator";
/// Known by the header that it stands in.
const HEADER: &str = "canary-in-a-header-4711";
/// Known by the variable that a condition names.
const CHECKED: &str = "canary-in-a-check-4712";
/// Known by its form, in what was expected of an answer.
const SIGNED: &str = "sk-canary-in-a-signature-4713";

fn login() -> (&'static str, Value, Value) {
    let beside = json!({
        "safety_level": "auto_ok", "output": {"ok": true, "said": format!("welcome {KEPT}")},
        "preconditions": [{"kind": "env_equals", "name": "DEPLOY_TOKEN", "value": CHECKED}, {"kind": "stdout_contains", "text": KEPT}],
        "expected_output_signature": {"note": SIGNED, "kept": KEPT},
    });
    ("login", json!({"headers": {"x-api-key": HEADER}, "note": KEPT}), beside)
}

fn tell(version: &str) -> (&'static str, Value, Value) {
    ("tell", json!({"text": format!("released {version} with {KEPT}")}), json!({"safety_level": "auto_ok", "output": {"told": true}}))
}

fn inputs(version: &str) -> Value {
    json!({"inputs": {"version": version, "note": KEPT}, "goal": format!("release as {KEPT}")})
}

#[test]
fn what_is_made_of_a_run_and_what_is_told_of_it_has_no_secret_of_the_run() {
    let chat = Chat::start([Reply::Says(r#"{"cannot": "no idea"}"#.to_owned())]);
    let server = Server::configured(&[], &chat.config(""));
    server.operator("PUT", "/v1/secrets/kept", Some(&json!({"value": KEPT})));
    record(&server, "first", inputs("1.4.0"), &[login(), tell("1.4.0")]);
    record(&server, "second", inputs("2.0.7"), &[login(), tell("2.0.7")]);
    record(&server, "plain", json!({"inputs": {"version": "3.0.1"}}), &[("tell", json!({"text": "x"}), json!({"output": {"told": true}}))]);
    let compile = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/playbooks/{route}"), &body);
    let mut answers = vec![
        compile("compile_from_run", json!({"run_id": "first", "playbook_id": "one"})),
        compile("compile_from_runs", json!({"run_ids": ["first", "second"], "playbook_id": "two"})),
        compile("compile_from_run", json!({"run_id": "plain", "playbook_id": "mended"})),
        compile("repair", json!({"playbook_id": "mended", "run_id": "first"})),
        compile(
            "repair",
            json!({"playbook_id": "one", "patch": {"step_patches": [{"step_id": "s1", "set": {"input": {"constant":
            {"headers": {"x-api-key": HEADER}, "note": KEPT, "more": 1}}}}]}}),
        ),
    ];
    let simulated = compile("run", json!({"playbook_id": "two", "mode": "simulate"}));
    // With the same placeholders, its recording answers all that it asks.
    assert_eq!(simulated.json()["output"], json!({"told": true}), "{}", simulated.json());
    answers.push(simulated);
    for id in ["one", "two", "mended"] {
        answers.push(compile("get", json!({"playbook_id": id})));
        answers.push(server.get(&format!("/v1/playbooks/{id}/evidence")));
        for version in 1..=if id == "two" { 1 } else { 2 } {
            answers.push(server.get(&format!("/v1/playbooks/{id}/versions/{version}/component")));
            answers.push(server.get(&format!("/v1/playbooks/{id}/versions/{version}/plan")));
        }
    }
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    }
    answers.push(compile(
        "repair",
        json!({"playbook_id": "one", "from_version": 1, "propose": true, "context": {"password": HEADER, "said": KEPT}}),
    ));
    let asked = chat.asked();
    assert_eq!(asked.len(), 1, "{}", answers[answers.len() - 1].json());
    let asked = asked[0].to_string();
    assert!(asked.contains("{{secret:x-api-key}}") && asked.contains("{{secret:kept}}"), "{asked}");
    for secret in ["canary-kept", HEADER, CHECKED, SIGNED] {
        assert!(!asked.contains(secret), "{secret} was told to the model: {asked}");
        for (at, answer) in answers.iter().enumerate() {
            let text = String::from_utf8_lossy(&answer.bytes);
            assert!(!text.contains(secret), "{secret} in answer {at}: {text}");
        }
    }
    let made = server.get("/v1/playbooks/mended/versions/2/plan").ok().to_string();
    assert!(made.contains("{{secret:x-api-key}}") && made.contains("{{secret:kept}}"), "{made}");
}
