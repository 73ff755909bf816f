//! What the requests take, what they refuse, and that they say every wrong place at once.

use super::*;
use crate::error::Error;
use proptest::prelude::*;

/// Each place that is wrong, as `path message`.
fn places<T>(parsed: Result<T>) -> Vec<String> {
    let Err(e) = parsed else { return vec!["accepted".to_owned()] };
    e.issues.iter().map(|issue| format!("{} {}", issue.path, issue.message)).collect()
}

fn check<T>(parsed: Result<T>, code: Code, wrong: &[&str]) {
    let e = parsed.err().unwrap_or_else(|| Error::new(Code::InternalError, "it was accepted"));
    assert_eq!(e.code, code, "{e}");
    assert_eq!(places::<()>(Err(e)), wrong);
}

#[test]
fn every_wrong_place_is_named_at_once() {
    check(
        StepBefore::parse(&json!({
            "run_id": "a/b", "step_index": 0, "tool_name": "", "preconditions": [{}, 3], "retry_policy": [],
            "safety_level": "yolo", "metadata": "x", "decision_id": 7
        })),
        Code::InvalidRequest,
        &[
            "/run_id character '/' is not allowed; an id has visible characters without \"/\"",
            "/step_index the number 0 is not a whole number from 1 to 4294967295",
            "/decision_id the number 7 is not a text of 1 to 128 characters",
            "/tool_name an empty text is not a text of 1 to 256 characters",
            "/preconditions/1 the number 3 is not an object",
            "/retry_policy a list is not an object",
            "/safety_level the text \"yolo\" is not one of \"auto_ok\", \"needs_confirm\", \"manual_only\"",
            "/metadata the text \"x\" is not an object",
        ],
    );
    check(
        RunStart::parse(&json!({"run_id": "", "inputs": [1], "context_snapshot_hash": "ABC", "metadata": 1})),
        Code::InvalidRequest,
        &[
            "/goal is missing",
            "/run_id 0 characters; an id has 1 to 128",
            "/inputs a list is not an object",
            "/context_snapshot_hash \"ABC\" is not 64 lower-case hex digits",
            "/metadata the number 1 is not an object",
        ],
    );
    check(
        StepAfter::parse(&json!({"status": "done", "repair_applied": "yes", "artifact_refs": ["", null, "a", {}], "error": 5})),
        Code::InvalidRequest,
        &[
            "/run_id is missing",
            "/status the text \"done\" is not one of \"success\", \"failed\", \"skipped\", \"partial\"",
            "/step_id is missing, and so is step_index; one of them says which step this is about",
            "/artifact_refs/0 an empty text is not a text or an object",
            "/artifact_refs/1 null is not a text or an object",
            "/repair_applied the text \"yes\" is not true or false",
            "/error the number 5 is not a text or an object",
        ],
    );
    check(
        RunEnd::parse(&json!({"status": true})),
        Code::InvalidRequest,
        &["/run_id is missing", "/status true is not one of \"success\", \"failed\", \"partial\""],
    );
    check(RunEnd::parse(&json!([1])), Code::InvalidRequest, &[" a list stands here; it must be an object"]);
}

#[test]
fn each_limit_is_named_with_the_size_that_broke_it() {
    let start = |name: &str, value: Value| RunStart::parse(&json!({"goal": "g", name: value}));
    let before = |name: &str, value: Value| StepBefore::parse(&json!({"run_id": "r", "step_index": 1, "tool_name": "t", name: value}));
    let after = |name: &str, value: Value| StepAfter::parse(&json!({"run_id": "r", "step_id": "s", "status": "success", name: value}));
    let end = |name: &str, value: Value| RunEnd::parse(&json!({"run_id": "r", "status": "success", name: value}));
    let long = |n: usize| Value::from("x".repeat(n));
    let conditions = |n: usize| Value::from(vec![json!({}); n]);
    let deep = |n: usize| (0..n).fold(Value::Null, |inner, _| json!([inner]));
    let deep_object = |n: usize| json!({ "d": deep(n - 1) });
    let (value, meta) = (limits::JSON_BYTES_MAX, limits::STEP_META_BYTES_MAX);
    let meta_message = format!(" metadata, conditions, error and the like have {} bytes; at most {meta} are allowed", meta + 1);
    let value_message = |name: &str| format!("/{name} has {} bytes; at most {value} are allowed in one value", value + 1);
    let list_message = |name: &str| format!("/{name} has 201 elements; at most 200 are allowed");
    let object = |n: usize| json!({ "a": "x".repeat(n - r#"{"a":""}"#.len()) });
    let text = |n: usize| long(n - 2);

    for (right, wrong, message) in [
        (
            places(start("goal", long(10_000))),
            places(start("goal", long(10_001))),
            "/goal has 10001 characters; at most 10000 are allowed".to_owned(),
        ),
        (places(start("run_id", long(128))), places(start("run_id", long(129))), "/run_id 129 characters; an id has 1 to 128".to_owned()),
        (
            places(before("tool_name", long(256))),
            places(before("tool_name", long(257))),
            "/tool_name has 257 characters; at most 256 are allowed".to_owned(),
        ),
        (places(before("preconditions", conditions(200))), places(before("preconditions", conditions(201))), list_message("preconditions")),
        (
            places(after("postconditions", conditions(200))),
            places(after("postconditions", conditions(201))),
            list_message("postconditions"),
        ),
        (places(after("artifact_refs", conditions(200))), places(after("artifact_refs", conditions(201))), list_message("artifact_refs")),
        (places(before("tool_input", text(value))), places(before("tool_input", text(value + 1))), value_message("tool_input")),
        (places(after("output", text(value))), places(after("output", text(value + 1))), value_message("output")),
        (places(start("inputs", object(value))), places(start("inputs", object(value + 1))), value_message("inputs")),
        (places(before("metadata", object(meta))), places(before("metadata", object(meta + 1))), meta_message.clone()),
        (places(after("error", text(meta))), places(after("error", text(meta + 1))), meta_message.clone()),
        (places(end("metrics", object(meta))), places(end("metrics", object(meta + 1))), meta_message.clone()),
        (places(end("output", deep(62))), places(end("output", deep(63))), "/output is nested deeper than 62 levels".to_owned()),
        (
            places(start("metadata", deep_object(62))),
            places(start("metadata", deep_object(63))),
            "/metadata is nested deeper than 62 levels".to_owned(),
        ),
    ] {
        assert_eq!(right, ["accepted"], "{message}");
        assert_eq!(wrong, [message]);
    }
    assert_eq!(before("tool_input", long(value)).unwrap_err().code, Code::TooLarge);
    assert_eq!(after("error", long(meta)).unwrap_err().code, Code::TooLarge);
    assert_eq!(start("goal", long(10_001)).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn absent_and_null_are_the_same_and_unknown_fields_are_ignored() {
    let plain = json!({"run_id": "r", "step_index": 1, "tool_name": "t"});
    let nulls = json!({"run_id": "r", "step_index": 1, "tool_name": "t", "step_id": null, "tool_input": null, "preconditions": null,
        "safety_level": null, "metadata": null, "tenant_id": "x", "actor": "y", "memory_lane": "z"});
    let parsed = StepBefore::parse(&plain).unwrap();
    assert_eq!(parsed, StepBefore::parse(&nulls).unwrap());
    assert_eq!((parsed.safety_level, parsed.tool_input.as_str()), (SafetyLevel::NeedsConfirm, "null"));
}

#[test]
fn a_step_after_must_say_which_step_it_is_about() {
    let neither = StepAfter::parse(&json!({"run_id": "r", "status": "success"})).unwrap_err();
    assert_eq!((neither.code, neither.issues.len()), (Code::ReplayStepReferenceRequired, 1));
    let both = StepAfter::parse(&json!({"run_id": "r", "status": "success", "step_id": "s", "step_index": 4})).unwrap();
    assert_eq!(both.step, StepRef::Id(StepId::parse("s").unwrap()));
    let by_index = StepAfter::parse(&json!({"run_id": "r", "status": "success", "step_index": 4})).unwrap();
    assert_eq!(by_index.step, StepRef::Index(4));
}

#[test]
fn a_derived_step_id_depends_on_space_run_index_and_content_alone() {
    let body = json!({"run_id": "r", "step_index": 1, "tool_name": "t", "tool_input": {"a": 1}});
    let id = |change: Value, space: &Space| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        StepBefore::parse(&body).unwrap().id_in(space)
    };
    let space = Space::default_space();
    let first = id(json!({}), &space);
    assert_eq!(first, id(json!({"safety_level": "needs_confirm", "metadata": null}), &space));
    assert_eq!(id(json!({"step_id": "mine"}), &space).as_str(), "mine");
    for change in [json!({"run_id": "q"}), json!({"step_index": 2}), json!({"tool_input": {"a": 2}}), json!({"metadata": {}})] {
        assert_ne!(first, id(change, &space));
    }
    assert_ne!(first, id(json!({}), &Space::parse(Some("other"), None).unwrap()));
    assert_ne!(first, id(json!({}), &Space::parse(None, Some("other")).unwrap()));
    // Retries reach across an upgrade, so the id of a known request is fixed here.
    assert_eq!(first.as_str(), "4463f18a-68a3-8608-a8d1-c74c22e9255b");
}

proptest! {
    #[test]
    fn no_body_makes_the_parsers_panic(body in crate::runs::tests::any_value()) {
        let _ = (RunStart::parse(&body), StepBefore::parse(&body), StepAfter::parse(&body), RunEnd::parse(&body));
    }
}
