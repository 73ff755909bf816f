//! Patches on a small plan: what each does, and what none may do in silence.

use super::*;
use crate::compiler::Bindings;
use crate::compiler::diff::PlanDiff;
use crate::compiler::plan::Plan;
use crate::tools::Registry;
use serde_json::json;

/// Three steps: one that reads, one that writes what was read with a parameter in it, one that somebody outside does.
fn plan() -> Plan {
    let parameter = |name: &str| json!({"value": {"parameter": {"name": name, "pointer": ""}}});
    let answer = json!({"value": {"output": {"step": "s1", "pointer": "/text"}}});
    let text = json!({
        "plan_version": 1, "goal": "g", "output": {"value": {"output": {"step": "s3", "pointer": ""}}},
        "parameters": [{"name": "path", "schema": {"type": "string"}, "sample": "a.txt"}],
        "body": [
            {"step": {"id": "s1", "tool": "fs/read", "effect": "read", "recorded_as": "Read", "input": {"object": {"path": parameter("path")}}}},
            {"step": {"id": "s2", "tool": "fs/write", "effect": "idempotent", "recorded_as": "Write",
                "input": {"object": {"path": {"constant": "b.txt"}, "text": answer}}}},
            {"step": {"id": "s3", "tool": "agent/tell", "effect": "once", "recorded_as": "tell", "input": {"constant": {"who": "ann"}}}},
        ],
    });
    Plan::parse(text.to_string().as_bytes()).unwrap()
}

/// How its steps are shown. The second and the third were recorded under one number.
fn shown() -> Vec<Shown> {
    let one = |step_index, step: &str, tool_name: &str, tool_input: Value| {
        let of = Shown::of(&plan().steps().find(|s| s.id == step).unwrap().clone());
        Shown { step_index, tool_name: tool_name.to_owned(), tool_input, ..of }
    };
    vec![
        one(1, "s1", "Read", json!({"file_path": "a.txt"})),
        one(2, "s2", "Write", json!({"file_path": "b.txt", "content": "one"})),
        one(4, "s3", "tell", json!({"who": "ann"})),
    ]
}

fn put_on(patch: &Value, shown: &[Shown]) -> crate::error::Result<Patched> {
    let (plan, registry) = (plan(), Registry::builtin());
    let bindings = Bindings::builtin(&registry);
    let patch = Patch::parse(patch, "/patch")?;
    patch.apply(&Base { plan: &plan, shown, overlay: &Overlay::new(), recorded: false }, &bindings, &registry)
}

#[test]
fn a_patch_does_what_it_says_and_nothing_else() {
    let whole = |index: u32, tool: &str, input: Value| json!({"step_index": index, "tool_name": tool, "tool_input_template": input, "safety_level": "auto_ok"});
    for (patch, lines) in [
        // One field of a recorded input is another; the other keeps its source.
        (
            json!({"step_patches": [{"step_index": 2, "set": {"tool_input_template": {"file_path": "c.txt", "content": "one"}}}]}),
            vec!["~ s2 input/path: \"b.txt\" -> \"c.txt\""],
        ),
        (
            json!({"step_patches": [{"step_id": "s2", "set": {"input": {"constant": {"path": "c.txt", "text": "x"}}}}]}),
            vec!["~ s2 input/path: \"b.txt\" -> \"c.txt\"", "~ s2 input/text: s1/text -> \"x\""],
        ),
        (json!({"step_patches": [{"step_index": 4, "set": {"options": {"tries": 3}}}]}), vec!["~ s3 options: now {\"tries\":3}"]),
        (
            json!({"step_patches": [{"step_index": 2, "set": {"preconditions": [{"kind": "file_exists", "path": "b.txt"}]}}]}),
            vec![
                "~ s2 checks: now [{\"at\":\"before\",\"is\":{\"constant\":{\"kind\":\"file_exists\",\"path\":\"b.txt\"}},\"origin\":\"given\",\"reason\":\"as a repair set it\"}]",
            ],
        ),
        (
            json!({"insert_after": [{"step_index": 1, "steps": [{"tool": "fs/remove", "input": {"constant": {"path": "b.txt"}}}]}]}),
            vec!["+ r1 fs/remove (idempotent) {\"path\":\"b.txt\"}"],
        ),
        (
            json!({"insert_after": [{"steps": [{"step_id": "first", "tool_name": "Read", "tool_input_template": {"file_path": "x"}}]}]}),
            vec!["+ first fs/read (read) {\"path\":\"x\"}"],
        ),
        (json!({"remove_step_indices": [2]}), vec!["- s2 fs/write (idempotent) {path: \"b.txt\", text: s1/text}"]),
        (
            json!({"remove_steps": ["s3"], "output": {"value": {"output": {"step": "s2", "pointer": ""}}}}),
            vec!["- s3 agent/tell (once) {\"who\":\"ann\"}", "~ output: s3 -> s2"],
        ),
        (
            json!({"parameters": [{"name": "who", "schema": {"type": "string"}, "sample": "ann"}],
                "step_patches": [{"step_index": 4, "set": {"input": {"object": {"who": {"value": {"parameter": {"name": "who", "pointer": ""}}}}}}}]}),
            vec!["~ s3 input/who: \"ann\" -> input.who", "~ parameter who: now {\"schema\":{\"type\":\"string\"}}"],
        ),
        (json!({"policy_constraints": {"a": 1}, "risk_profile": "low"}), vec![]),
        // A list that was fetched, with one input changed, sent back whole: what is the same keeps its source.
        (
            json!({"steps_override": [
                whole(1, "Read", json!({"file_path": "a.txt"})),
                whole(2, "Write", json!({"file_path": "b.txt", "content": "one"})),
                whole(4, "tell", json!({"who": "bob"})),
            ]}),
            vec!["~ s3 input/who: \"ann\" -> \"bob\""],
        ),
    ] {
        let patched = put_on(&patch, &shown()).unwrap_or_else(|e| panic!("{patch}: {e} {:?}", e.issues));
        assert_eq!(PlanDiff::between(&plan(), &patched.plan).lines(), lines, "{patch}");
    }
}

#[test]
fn what_a_patch_sets_is_counted_and_shown() {
    let patch = json!({
        "remove_step_indices": [2], "matchers": {}, "risk_profile": "high",
        "step_patches": [{"step_index": 4, "set": {"safety_level": "manual_only", "retry_policy": {"max": 2}}}],
    });
    let Patched { summary, overlay, .. } = put_on(&patch, &shown()).unwrap();
    let names = vec!["matchers".to_owned(), "risk_profile".to_owned()];
    assert_eq!(
        summary,
        Summary { steps_override: false, step_patches_applied: 1, steps_removed: 1, steps_inserted: 0, top_level_updates: names }
    );
    assert_eq!(overlay.keys().collect::<Vec<_>>(), ["s3"]);
    assert_eq!(overlay["s3"].safety_level, Some(crate::runs::SafetyLevel::ManualOnly));
}

/// Every place that is wrong is named, and nothing is passed over.
#[test]
fn what_is_not_known_is_an_error_and_never_ignored() {
    let mut twice = shown();
    twice[2].step_index = 2;
    let plain = shown();
    let (invalid, none) = (Code::InvalidRequest, Code::NotCompilable);
    for (patch, shown, code, place) in [
        (json!({}), &plain, invalid, "/patch/"),
        (json!([]), &plain, invalid, "/patch"),
        (json!({"step_patch": []}), &plain, invalid, "/patch"),
        (json!({"step_patches": [{"step_index": 3, "set": {"options": {}}}]}), &plain, invalid, "/patch/step_patches/0"),
        (json!({"step_patches": [{"step_id": "s9", "set": {"options": {}}}]}), &plain, invalid, "/patch/step_patches/0"),
        (json!({"step_patches": [{"step_index": 2, "set": {"options": {}}}]}), &twice, invalid, "/patch/step_patches/0"),
        (json!({"step_patches": [{"step_index": 1, "step_id": "s1", "set": {}}]}), &plain, invalid, "/patch/step_patches/0/step_id"),
        (json!({"step_patches": [{"set": {}}]}), &plain, invalid, "/patch/step_patches/0/"),
        (json!({"step_patches": [{"step_index": 1}]}), &plain, invalid, "/patch/step_patches/0/set"),
        (json!({"step_patches": [{"step_index": 1, "set": {"colour": 1}}]}), &plain, invalid, "/patch/step_patches/0/set/colour"),
        (json!({"step_patches": [{"step_index": 1, "set": {"effect": "read"}}]}), &plain, invalid, "/patch/step_patches/0/set/effect"),
        (json!({"step_patches": [{"step_index": 1, "set": {"tool": "fs/dance"}}]}), &plain, invalid, "/patch/step_patches/0/set/tool"),
        (json!({"step_patches": [{"step_index": 1, "set": {"input": {"magic": 1}}}]}), &plain, invalid, "/patch/step_patches/0/set/input"),
        (
            json!({"step_patches": [{"step_index": 1, "set": {"safety_level": "wild"}}]}),
            &plain,
            invalid,
            "/patch/step_patches/0/set/safety_level",
        ),
        (json!({"remove_step_indices": [7]}), &plain, invalid, "/patch/remove_step_indices/0"),
        (json!({"remove_step_indices": ["2"]}), &plain, invalid, "/patch/remove_step_indices/0"),
        (json!({"remove_steps": ["s7"]}), &plain, invalid, "/patch/remove_steps/0"),
        (
            json!({"remove_steps": ["s2"], "step_patches": [{"step_id": "s2", "set": {"options": {}}}]}),
            &plain,
            invalid,
            "/patch/step_patches/0",
        ),
        (json!({"insert_after": [{"step_index": 9, "steps": []}]}), &plain, invalid, "/patch/insert_after/0"),
        (
            json!({"insert_after": [{"step_index": 1, "steps": [{"step_id": "s3", "tool": "fs/read", "input": {"constant": {}}}]}]}),
            &plain,
            invalid,
            "/patch/insert_after/0/steps/0/step_id",
        ),
        (
            json!({"insert_after": [{"step_index": 1, "steps": [{"tool": "fs/read"}]}]}),
            &plain,
            invalid,
            "/patch/insert_after/0/steps/0/tool_input_template",
        ),
        (json!({"parameters": [{"name": "x"}]}), &plain, invalid, "/patch/parameters/0"),
        (json!({"output": 1}), &plain, invalid, "/patch/output"),
        (json!({"risk_profile": "odd"}), &plain, invalid, "/patch/risk_profile"),
        (json!({"matchers": 1}), &plain, invalid, "/patch/matchers"),
        (json!({"steps_override": [1]}), &plain, invalid, "/patch/steps_override/0"),
        (
            json!({"steps_override": [{"step_index": 1, "tool_name": "Read"}, {"colour": 1}]}),
            &plain,
            invalid,
            "/patch/steps_override/1/colour",
        ),
        // What others need cannot be taken out.
        (json!({"remove_step_indices": [1]}), &plain, none, "/body/0/step/input/text"),
        (json!({"remove_step_indices": [4]}), &plain, none, "/output"),
        (json!({"steps_override": []}), &plain, none, "/body"),
    ] {
        let e = put_on(&patch, shown).expect_err(&patch.to_string());
        assert_eq!(e.code, code, "{patch}: {e}");
        let places: Vec<&str> = e.issues.iter().map(|issue| issue.path.as_str()).collect();
        assert!(places.contains(&place), "{patch}: {places:?} {e}");
    }
}

#[test]
fn hostile_text_in_a_patch_stays_text() {
    let odd = "\"}{{x}}\u{0}\\ue000→🦀$params.a";
    let patch = json!({"step_patches": [{"step_index": 4, "set": {"tool_input_template": {"who": odd}}}]});
    let Patched { plan, .. } = put_on(&patch, &shown()).unwrap();
    let step = plan.steps().nth(2).unwrap();
    assert_eq!(step.input, crate::compiler::template::Template::Constant(Json::from(&json!({"who": odd}))));
    assert!(Plan::parse(plan.to_json().as_str().as_bytes()).is_ok());
}
