//! What each kind comes to, and what is no check at all.

use serde_json::{Value, json};

use super::*;

fn spec(value: &Value) -> Spec {
    Spec::parse(value).unwrap_or_else(|e| panic!("{value}: {e}"))
}

fn verdict(check: &Value, answer: &Value) -> Verdict {
    let finding = spec(check).judge(Some(answer)).expect("it asks about the answer");
    assert!(!finding.why.is_empty());
    finding.verdict
}

#[test]
fn an_answer_holds_or_does_not_or_nobody_can_tell() {
    use Verdict::{Fail, Pass, Unknown};
    let ran = json!({"code": 0, "stdout": "12 passed", "stderr": "warn: x", "stdout_truncated": false});
    let cut = json!({"code": 0, "stdout": "12 pa", "stderr": "", "stdout_truncated": true});
    let plain = json!("12 passed");
    for (check, answer, expected) in [
        (json!({"kind": "exit_code", "equals": 0}), &ran, Pass),
        (json!({"kind": "exit_code", "equals": 1}), &ran, Fail),
        (json!({"kind": "exit_code", "equals": 0}), &json!({"exit_code": 0}), Pass),
        (json!({"kind": "exit_code", "equals": 0}), &plain, Unknown),
        (json!({"kind": "exit_code", "equals": 0}), &json!({"exit_code": "0"}), Unknown),
        (json!({"kind": "stdout_contains", "text": "passed"}), &ran, Pass),
        (json!({"kind": "stdout_contains", "text": "failed"}), &ran, Fail),
        (json!({"kind": "stdout_contains", "text": "passed"}), &plain, Pass),
        (json!({"kind": "stdout_contains", "text": "12"}), &cut, Pass),
        (json!({"kind": "stdout_contains", "text": "passed"}), &cut, Unknown),
        (json!({"kind": "stdout_contains", "text": "passed"}), &json!({"n": 1}), Unknown),
        (json!({"kind": "stderr_contains", "text": "warn"}), &ran, Pass),
        (json!({"kind": "stderr_contains", "text": "warn"}), &plain, Unknown),
        (json!({"kind": "output_regex", "pattern": "[0-9]+ passed"}), &ran, Pass),
        (json!({"kind": "output_regex", "pattern": "^[0-9]+ failed$"}), &ran, Fail),
        (json!({"kind": "output_regex", "pattern": "[0-9]+ passed"}), &cut, Unknown),
        (json!({"kind": "output_regex", "pattern": "\"n\":7"}), &json!({"n": 7}), Pass),
        (json!({"kind": "shape", "schema": {"type": "object", "required": ["code"]}}), &ran, Pass),
        (json!({"kind": "shape", "schema": {"type": "string"}}), &ran, Fail),
        (json!({"kind": "equals", "pointer": "/code", "value": 0}), &ran, Pass),
        (json!({"kind": "equals", "pointer": "/code", "value": 0.0}), &ran, Fail),
        (json!({"kind": "equals", "pointer": "/none", "value": null}), &ran, Fail),
        (json!({"kind": "equals", "pointer": "/none", "value": null}), &json!({"none": null}), Pass),
        (json!({"kind": "exists", "pointer": "/none"}), &json!({"none": null}), Pass),
        (json!({"kind": "exists", "pointer": "/none"}), &ran, Fail),
        (json!({"kind": "exists", "pointer": ""}), &ran, Pass),
        (json!({"kind": "always"}), &ran, Pass),
        (json!({"kind": "other", "recorded": {"kind": "moon_is_full"}}), &ran, Unknown),
    ] {
        assert_eq!(verdict(&check, answer), expected, "{check} of {answer}");
    }
}

#[test]
fn what_looks_at_the_world_is_not_judged_here() {
    for check in [
        json!({"kind": "file_exists", "path": "a/b"}),
        json!({"kind": "path_not_exists", "path": "a/b"}),
        json!({"kind": "command_available", "command": "git"}),
        json!({"kind": "env_exists", "name": "HOME"}),
        json!({"kind": "env_equals", "name": "HOME", "value": "/"}),
        json!({"kind": "port_free", "port": 80}),
        json!({"kind": "cwd_contains", "path": "a"}),
    ] {
        assert_eq!(spec(&check).judge(Some(&json!({"code": 0}))), None, "{check}");
        assert_eq!(spec(&check).judge(None), None, "{check}");
    }
    let early = spec(&json!({"kind": "exit_code", "equals": 0})).judge(None).unwrap();
    assert_eq!(early.verdict, Verdict::Unknown);
}

#[test]
fn every_kind_says_its_fields_and_reads_back() {
    for check in [
        json!({"kind": "always"}),
        json!({"kind": "file_exists", "path": "a/b"}),
        json!({"kind": "path_not_exists", "path": "a/b"}),
        json!({"kind": "command_available", "command": "git"}),
        json!({"kind": "env_exists", "name": "HOME"}),
        json!({"kind": "env_equals", "name": "HOME", "value": "/"}),
        json!({"kind": "port_free", "port": 80}),
        json!({"kind": "cwd_contains", "path": "a"}),
        json!({"kind": "exit_code", "equals": 0}),
        json!({"kind": "stdout_contains", "text": "x"}),
        json!({"kind": "stderr_contains", "text": "x"}),
        json!({"kind": "output_regex", "pattern": "x"}),
        json!({"kind": "shape", "schema": {"type": "string"}}),
        json!({"kind": "equals", "pointer": "/a", "value": [1]}),
        json!({"kind": "exists", "pointer": "/a"}),
        json!({"kind": "other", "recorded": 7}),
    ] {
        let read = spec(&check);
        assert_eq!(read.to_json(), Json::from(&check));
        assert_eq!(read.kind(), check["kind"]);
        let mut fields: Vec<&str> = check.as_object().unwrap().keys().map(String::as_str).filter(|key| *key != "kind").collect();
        fields.sort_unstable();
        assert_eq!(Spec::fields_of(read.kind()).unwrap(), fields, "{check}");
        assert!(!read.to_string().is_empty());
    }
    assert_eq!(Spec::fields_of("moon_is_full"), None);
}

#[test]
fn what_is_hostile_or_wrong_is_no_check() {
    let huge = "(a{1000}){1000}".to_owned();
    for bad in [
        json!(null),
        json!({}),
        json!({"kind": "moon_is_full"}),
        json!({"kind": "exit_code"}),
        json!({"kind": "exit_code", "equals": "0"}),
        json!({"kind": "exit_code", "equals": 0, "more": 1}),
        json!({"kind": "port_free", "port": 70_000}),
        json!({"kind": "equals", "pointer": "code", "value": 0}),
        json!({"kind": "output_regex", "pattern": "("}),
        json!({"kind": "output_regex", "pattern": huge}),
        json!({"kind": "output_regex", "pattern": "(a)\\1"}),
        json!({"kind": "shape", "schema": {"type": "moon"}}),
        json!({"kind": "shape", "schema": {"$ref": "https://example.com/schema.json"}}),
        json!({"kind": "stdout_contains", "text": "x".repeat(limits::CHECK_BYTES_MAX)}),
    ] {
        assert!(Spec::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pattern_that_would_backtrack_takes_no_longer_than_any_other() {
    let answer = json!("a".repeat(200_000));
    assert_eq!(verdict(&json!({"kind": "output_regex", "pattern": "^(a+)+$"}), &answer), Verdict::Pass);
    assert_eq!(verdict(&json!({"kind": "output_regex", "pattern": "^(a|aa)+b$"}), &answer), Verdict::Fail);
}

#[test]
fn reasons_are_short_whatever_the_answer_is() {
    let answer = json!({"a": "ä".repeat(100_000)});
    let finding = spec(&json!({"kind": "equals", "pointer": "/a", "value": "x"})).judge(Some(&answer)).unwrap();
    assert!(finding.why.chars().count() <= limits::CHECK_WHY_CHARS_MAX + 1, "{}", finding.why);
    let finding = spec(&json!({"kind": "shape", "schema": {"type": "array"}})).judge(Some(&answer)).unwrap();
    assert!(finding.why.chars().count() <= limits::CHECK_WHY_CHARS_MAX + 1, "{}", finding.why);
}

#[test]
fn what_recorders_wrote_down_becomes_checks() {
    let json = |specs: Vec<Spec>| specs.iter().map(|spec| spec.to_json().value()).collect::<Vec<_>>();
    assert_eq!(
        json(signature(&json!({"exit_code": 0, "stdout_contains": ["a", "b"], "stderr_contains": "c", "output_regex": "d"}))),
        [
            json!({"kind": "exit_code", "equals": 0}),
            json!({"kind": "output_regex", "pattern": "d"}),
            json!({"kind": "stderr_contains", "text": "c"}),
            json!({"kind": "stdout_contains", "text": "a"}),
            json!({"kind": "stdout_contains", "text": "b"}),
        ]
    );
    assert_eq!(json(signature(&json!({"exit_code": "0", "colour": "red"}))), [json!({"kind": "other", "recorded": {"exit_code": "0"}})]);
    for nothing in [json!(null), json!("file"), json!({"kind": "file", "bytes": 7})] {
        assert_eq!(signature(&nothing), [], "{nothing}");
    }
    for (recorded, check) in [
        (json!({"kind": "file_exists", "path": "a", "n": 1}), json!({"kind": "file_exists", "path": "a"})),
        (json!({"kind": "env_equals", "key": "A", "equals": "b"}), json!({"kind": "env_equals", "name": "A", "value": "b"})),
        (json!({"kind": "exit_code", "value": 3}), json!({"kind": "exit_code", "equals": 3})),
        (json!({"kind": "moon_is_full"}), json!({"kind": "other", "recorded": {"kind": "moon_is_full"}})),
        (json!({"kind": "port_free", "port": -1}), json!({"kind": "other", "recorded": {"kind": "port_free", "port": -1}})),
    ] {
        assert_eq!(postcondition(&recorded).to_json().value(), check, "{recorded}");
    }
    assert_eq!(precondition(&json!({"kind": "exit_code", "value": 3})).kind(), "other");
}

#[test]
fn what_is_said_and_not_understood_says_what_would_be() {
    for (at, said, told) in [
        (At::Before, json!({"kind": "file_exsts", "path": "a"}), "did you mean file_exists"),
        (At::Before, json!({"kind": "file_exists", "pth": "a"}), "file_exists (with path)"),
        (At::Before, json!({"kind": "exit_code", "equals": 0}), "postconditions"),
        (At::Before, json!({"path": "a"}), "env_equals (with name and value)"),
        (At::After, json!({"kind": "moon_is_full"}), "exit_code (with equals)"),
        (At::After, json!({"kind": "output_regex", "pattern": "("}), "output_regex: "),
    ] {
        let why = not_understood(at, &said).unwrap_or_else(|| panic!("{said} is understood"));
        assert!(why.contains(told), "{said}: {why}");
    }
    assert_eq!(not_understood(At::Before, &json!({"kind": "port_free", "port": 80})), None);
    assert_eq!(not_understood(At::After, &json!({"kind": "exit_code", "value": 0})), None);
    let signed = |value: Value| signature_not_understood(&value).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(
        signed(json!({"exit_code": "0", "stdout_contain": "x", "output_regex": "(", "kind": "file", "bytes": 7})),
        ["exit_code", "output_regex", "stdout_contain"]
    );
    assert_eq!(signed(json!({"exit_code": 0, "stdout_contains": ["a"], "kind": "file"})), [""; 0]);
}

#[test]
fn each_kind_is_listed_with_its_fields() {
    for kind in Spec::KINDS {
        assert!(Spec::fields_of(kind).is_some(), "{kind}");
    }
}
