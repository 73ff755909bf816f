//! Plans with loops, rules, defaults and the date: the component does what the plan says, whatever the plan is.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{Done, read, run};
use crate::compiler::emit::{Explained, emit, read_plan};
use crate::compiler::plan::Plan;
use crate::json::Json;
use crate::limits;

/// A plan over the parameters `list` (must be given) and `how` (need not be).
fn plan(body: &Value, output: &Value) -> Plan {
    let text = json!({
        "plan_version": 3, "goal": "try it",
        "parameters": [
            {"name": "list", "schema": {"type": "array"}, "sample": []},
            {"name": "how", "schema": {"type": "object"}, "sample": {}, "default": {"name": "by default", "deep": [1, {"a\"": "\\"}]}},
        ],
        "body": body, "output": output,
    });
    Plan::parse(text.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}: {:?}\n{text}", e.issues))
}

fn step(id: &str, input: Value) -> Value {
    json!({"step": {"id": id, "tool": "agent/one", "effect": "once", "input": input}})
}

fn input(name: &str, pointer: &str) -> Value {
    json!({"parameter": {"name": name, "pointer": pointer}})
}

fn output(step: &str, pointer: &str) -> Value {
    json!({"output": {"step": step, "pointer": pointer}})
}

fn item(each: &str, pointer: &str) -> Value {
    json!({"item": {"each": each, "pointer": pointer}})
}

fn both(plan: &Plan, input: &Value, answers: &[Value]) -> Done {
    let (done, expected) = (run(plan, input, answers), read(plan, input, answers));
    assert_eq!(done.calls, expected.calls, "{}", plan.to_json());
    match (&done.end, &expected.end) {
        (Ok(done), Ok(expected)) => assert_eq!(Json::from(done), Json::from(expected), "{}", plan.to_json()),
        (Err((step, message)), Err((of, why))) => {
            assert_eq!(step, of, "{message} and {why} of {}", plan.to_json());
            if why.contains("does not follow") {
                assert_eq!(message, why);
            }
        }
        (done, expected) => panic!("{done:?} where {expected:?} was expected of {}", plan.to_json()),
    }
    done
}

#[test]
fn a_loop_does_its_body_once_for_each_element_under_a_name_of_its_own() {
    let inner = json!([
        step("s1", json!({"object": {"name": {"value": item("e", "/name")}, "whole": {"value": item("e", "")}}})),
        {"each": {"id": "f", "list": {"value": item("e", "/parts")}, "body": [
            step("s2", json!({"array": [{"value": item("f", "")}, {"value": item("e", "/name")}, {"value": output("s1", "/n")}]})),
        ], "output": {"text": [{"value": item("f", "")}, {"literal": "="}, {"value": output("s2", "/n")}]}}},
        step("s3", json!({"value": output("f", "")})),
    ]);
    let each = json!({"each": {"id": "e", "list": {"value": input("list", "")}, "body": inner}});
    let plan = plan(&json!([each, step("s4", json!({"value": output("e", "/1/n")}))]), &json!({"value": output("e", "")}));
    // Everything that a scanner of JSON could take for the end of an element.
    let list = json!([{"name": "a],\"[{", "parts": ["x\\", "\\\"y,", "]"]}, {"name": "", "parts": []}]);
    let answers = [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})];
    let done = both(&plan, &json!({"list": list}), &answers);
    let names: Vec<&str> = done.calls.iter().map(|call| call.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["s1[0]", "s2[0][0]", "s2[0][1]", "s2[0][2]", "s3[0]", "s1[1]", "s3[1]", "s4"]);
    assert_eq!(done.calls[4], r#"s3[0] agent/one ["x\\=2","\\\"y,=3","]=1"]"#);
    assert_eq!(done.end, Ok(json!([{"n": 2}, {"n": 1}])));
    let nothing = both(&plan, &json!({"list": []}), &answers);
    assert_eq!(nothing.end, Err((Some("e".to_owned()), "the loop answered without /1/n, which s4 needs".to_owned())));
}

#[test]
fn what_one_turn_answered_is_not_known_in_the_next() {
    let asked = json!({"value": item("e", "/first"), "is": "true"});
    let inner = json!([
        {"branch": {"id": "b", "if": asked, "then": [step("s1", json!({"constant": 1}))], "else": []}},
        step("s2", json!({"either": {"value": output("s1", ""), "default": "nothing"}})),
    ]);
    let plan = plan(&json!([{"each": {"id": "e", "list": {"value": input("list", "")}, "body": inner}}]), &json!({"constant": 0}));
    let done = both(&plan, &json!({"list": [{"first": true}, {"first": false}]}), &[json!("the first turn's")]);
    assert_eq!(done.calls[1..], [r#"s2[0] agent/one "the first turn's""#, r#"s2[1] agent/one "nothing""#]);
}

#[test]
fn what_is_no_list_or_too_long_a_one_fails_before_the_first_turn() {
    let each = json!({"each": {"id": "e", "list": {"value": input("list", "")}, "body": [step("s1", json!({"constant": 1}))]}});
    let plan = plan(&json!([each]), &json!({"value": output("e", "")}));
    let of = |list: Value| run(&plan, &json!({"list": list}), &[json!(1)]);
    for wrong in [json!({"a": [1]}), json!("[1]"), json!(7), json!(null)] {
        let done = of(wrong.clone());
        assert!(done.calls.is_empty(), "{wrong}");
        assert_eq!(
            done.end,
            Err((Some("e".to_owned()), "input.list is no list, for each element of which e is to do something".to_owned()))
        );
    }
    let longest = of(json!(vec![0; limits::EACH_ITEMS_MAX]));
    assert_eq!(longest.calls.len(), limits::EACH_ITEMS_MAX);
    assert!(longest.calls.last().unwrap().starts_with("s1[999] "), "{:?}", longest.calls.last());
    let beyond = of(json!(vec![0; limits::EACH_ITEMS_MAX + 1]));
    assert!(beyond.calls.is_empty() && beyond.end.unwrap_err().1.contains("more than 1000 elements"));
}

#[test]
fn the_memory_of_a_turn_is_given_back_when_it_ends() {
    let each = json!({"each": {"id": "e", "list": {"value": input("list", "")}, "body": [
        step("s1", json!({"value": item("e", "")})), step("s2", json!({"value": output("s1", "")})),
    ], "output": {"constant": 0}}});
    let plan = plan(&json!([each]), &json!({"value": output("e", "/999")}));
    // A gigabyte of answers goes through a guest of 64 MiB.
    let done = run(&plan, &json!({"list": vec![0; 1_000]}), &[json!("x".repeat(500_000))]);
    assert_eq!((done.calls.len(), done.end), (2_000, Ok(json!(0))));
}

#[test]
fn a_rule_that_cannot_be_followed_ends_the_playbook_with_step_and_rule() {
    let third = json!({"derived": {"from": output("s1", "/text"), "rules": ["trim", {"piece": {"by": ",", "at": 2}}]}});
    let each = |body: Value| json!({"each": {"id": "e", "list": {"value": input("list", "")}, "body": body}});
    let plan = plan(
        &json!([each(json!([step("s1", json!({"constant": 1})), step("s2", json!({"object": {"third": third}}))]))]),
        &json!({"constant": 1}),
    );
    let answers = [json!({"text": " a,b,c\n"}), json!(true), json!({"text": "a,b"})];
    let done = both(&plan, &json!({"list": [1, 2]}), &answers);
    assert_eq!(done.calls[1], r#"s2[0] agent/one {"third":"c"}"#);
    let message = r#"s1/text does not follow rule 2 (piece 3, split by ","): "a,b" has 2 pieces"#;
    assert_eq!(done.end, Err((Some("s2[1]".to_owned()), message.to_owned())));
}

#[test]
fn the_date_is_that_on_which_the_job_began_and_a_default_stands_where_nothing_was_given() {
    let made = json!({"object": {
        "today": {"value": "today"},
        "next": {"text": [{"literal": "due "}, {"derived": {"from": "today", "rules": [{"days": 1}]}}]},
        "name": {"value": input("how", "/name")},
        "deep": {"value": input("how", "/deep/1")},
        "perhaps": {"either": {"value": input("how", "/absent"), "default": "nothing"}},
    }});
    let plan = plan(&json!([step("s1", made)]), &json!({"value": output("s1", "")}));
    let done = both(&plan, &json!({"list": []}), &[json!(1)]);
    assert_eq!(
        done.calls,
        [r#"s1 agent/one {"deep":{"a\"":"\\"},"name":"by default","next":"due 2027-01-01","perhaps":"nothing","today":"2026-12-31"}"#]
    );
    let given = both(&plan, &json!({"list": [], "how": {"name": "as given", "deep": [0, 1], "absent": null}}), &[json!(1)]);
    assert_eq!(given.calls, [r#"s1 agent/one {"deep":1,"name":"as given","next":"due 2027-01-01","perhaps":null,"today":"2026-12-31"}"#]);
    // What was given is not mended with the default.
    let lacking = both(&plan, &json!({"list": [], "how": {"name": "as given"}}), &[json!(1)]);
    assert_eq!((lacking.calls.len(), lacking.end), (0, Err((None, "the input lacks /how/deep/1".to_owned()))));
}

#[test]
fn hostile_texts_in_rules_and_lists_stay_texts() {
    let hostile = "\u{0}\"]}{{secret:x}}\u{fffd}\u{10ffff}\\u0000";
    let rules = json!([{"between": {"after": hostile, "before": "\u{0}"}}, {"replace": {"from": "\"", "to": hostile}}]);
    let each = json!({"each": {"id": "e", "list": {"value": input("list", "")}, "body": [
        step("s1", json!({"text": [{"literal": hostile}, {"derived": {"from": item("e", ""), "rules": rules}}]})),
    ]}});
    let plan = plan(&json!([each]), &json!({"value": output("e", "")}));
    let done = both(&plan, &json!({"list": [format!("x{hostile}a\"b\u{0}rest")]}), &[json!(hostile)]);
    let expected = json!(format!("{hostile}a{hostile}b"));
    assert_eq!(done.calls, [format!("s1[0] agent/one {}", Json::from(&expected))]);
    assert_eq!(read_plan(&emit(&plan).unwrap()), Explained::ByPlan(Box::new(plan)));
    // A lone surrogate is no text at all.
    let lone =
        r#"{"plan_version":3,"goal":"x","parameters":[],"body":[],"output":{"derived":{"from":"today","rules":[{"split":"\ud800"}]}}}"#;
    assert!(Plan::parse(lone.as_bytes()).unwrap_err().message.contains("not a plan"));
}

/// Decisions read off a tape, so that what is found can be made smaller.
struct Maker<'a> {
    tape: std::slice::Iter<'a, u16>,
    ids: usize,
    /// Ids that have answered, and surely so.
    known: Vec<(String, bool)>,
    loops: Vec<String>,
}

impl Maker<'_> {
    fn pick(&mut self, of: usize) -> usize {
        self.tape.next().map_or(0, |n| usize::from(*n) % of.max(1))
    }

    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{}", self.ids)
    }

    fn pointer(&mut self) -> &'static str {
        ["", "", "/n", "/list", "/text", "/0", "/list/1"][self.pick(7)]
    }

    /// A source, and whether it may be absent.
    fn source(&mut self) -> (Value, bool) {
        let outputs = self.known.len();
        let at = self.pick(4 + self.loops.len() + outputs);
        if at < outputs {
            let (id, sure) = self.known[at].clone();
            let pointer = if sure { self.pointer() } else { "" };
            return (output(&id, pointer), !sure);
        }
        if let Some(each) = self.loops.get(at - outputs).cloned() {
            return (item(&each, self.pointer()), false);
        }
        match self.pick(4) {
            0 => (json!("today"), false),
            1 => (input("how", ["", "/name", "/deep"][self.pick(3)]), false),
            _ => (input("list", ["", "/0", "/1"][self.pick(3)]), false),
        }
    }

    fn rules(&mut self) -> Value {
        let all = [
            json!("text"),
            json!("json"),
            json!("lines"),
            json!("trim"),
            json!("upper"),
            json!("count"),
            json!({"add": 1}),
            json!({"days": 40}),
            json!({"split": ","}),
            json!({"join": "-"}),
            json!({"pointer": "/list"}),
            json!({"bump": "minor"}),
            json!({"piece": {"by": "", "at": -1}}),
            json!({"between": {"after": "", "before": ","}}),
            json!({"replace": {"from": "\"", "to": "'"}}),
        ];
        let mut rules = vec![json!("text")];
        if self.pick(3) == 0 {
            rules.clear();
        }
        for _ in 0..=self.pick(2) {
            rules.push(all[self.pick(all.len())].clone());
        }
        json!(rules)
    }

    fn template(&mut self, depth: usize) -> Value {
        match self.pick(if depth < 2 { 8 } else { 5 }) {
            0 => json!({"constant": {"a": [1, "x,y"]}}),
            1 | 2 => match self.source() {
                (source, true) => json!({"either": {"value": source, "default": ["default"]}}),
                (source, false) => json!({"value": source}),
            },
            3 => match self.source() {
                (source, true) => json!({"either": {"value": source, "default": null}}),
                (from, false) => json!({"derived": {"from": from, "rules": self.rules()}}),
            },
            4 => {
                let parts: Vec<Value> = (0..self.pick(4))
                    .map(|_| match (self.source(), self.pick(3)) {
                        ((_, true), _) | (_, 0) => json!({"literal": "<\">"}),
                        ((source, false), 1) => json!({"value": source}),
                        ((from, false), _) => json!({"derived": {"from": from, "rules": self.rules()}}),
                    })
                    .collect();
                json!({"text": parts})
            }
            5 => json!({"array": (0..self.pick(3)).map(|_| self.template(depth + 1)).collect::<Vec<_>>()}),
            _ => json!({"object": {"a": self.template(depth + 1), "b\"": self.template(depth + 1)}}),
        }
    }

    fn nodes(&mut self, depth: usize, least: usize) -> Vec<Value> {
        let count = least + self.pick(3);
        (0..count).map(|_| self.node(depth)).collect()
    }

    /// Nodes that may not have been done when what comes after them is.
    fn perhaps(&mut self, depth: usize) -> Vec<Value> {
        let before = self.known.len();
        let nodes = self.nodes(depth + 1, 0);
        self.known[before..].iter_mut().for_each(|(_, sure)| *sure = false);
        nodes
    }

    fn node(&mut self, depth: usize) -> Value {
        match self.pick(if depth < 3 { 7 } else { 3 }) {
            3 | 4 => {
                let (id, list) = (self.id("e"), self.list());
                let before = self.known.clone();
                self.loops.push(id.clone());
                let mut body = self.nodes(depth + 1, 0);
                let last = self.id("s");
                let made = self.template(1);
                body.push(step(&last, made));
                self.known.push((last, true));
                let mut each = json!({"id": id, "list": list, "body": body});
                if self.pick(2) == 0 {
                    each["output"] = self.template(1);
                }
                self.loops.pop();
                self.known = before;
                self.known.push((id, true));
                json!({"each": each})
            }
            5 => {
                let (value, _) = self.source();
                let (is, to) = [
                    ("true", None),
                    ("exists", None),
                    ("equals", Some(json!("a"))),
                    ("not_equals", Some(json!(null))),
                    ("less", Some(json!(3))),
                ][self.pick(5)]
                .clone();
                let mut condition = json!({"value": value, "is": is});
                if let Some(to) = to {
                    condition["to"] = to;
                }
                let before = self.known.clone();
                let then = self.perhaps(depth);
                let after: Vec<_> = self.known.drain(before.len()..).collect();
                let otherwise = self.perhaps(depth);
                self.known.extend(after);
                json!({"branch": {"id": self.id("b"), "if": condition, "then": then, "else": otherwise}})
            }
            6 => {
                let before = self.known.len();
                let body = self.perhaps(depth);
                let handled = self.perhaps(depth);
                self.known[before..].iter_mut().for_each(|(_, sure)| *sure = false);
                json!({"try": {"body": body, "on_failure": handled}})
            }
            _ => {
                let id = self.id("s");
                let made = self.template(0);
                self.known.push((id.clone(), true));
                step(&id, made)
            }
        }
    }

    fn list(&mut self) -> Value {
        match self.pick(3) {
            0 => json!({"array": [self.template(1), {"constant": "],["}]}),
            1 => match self.source() {
                (source, true) => json!({"either": {"value": source, "default": ["x", {"list": [1, 2]}]}}),
                (source, false) => json!({"value": source}),
            },
            _ => json!({"value": input("list", "")}),
        }
    }
}

fn any_answer() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!({"n": 2, "text": "v1.2.3,2026-02-28\nlast line", "list": ["a,b", {"n": 1, "text": "]", "list": []}]})),
        2 => Just(json!({"n": "7", "text": "{\"list\":[1,2]}", "list": [[1, [2]], "\\\"", {}]})),
        1 => Just(json!(["x", 3])),
        1 => Just(json!(true)),
        1 => Just(Value::Null),
        1 => super::any_json(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_random_plan_does_what_reading_it_says(
        tape in prop::collection::vec(any::<u16>(), 0..120),
        list in prop_oneof![3 => prop::collection::vec(any_answer(), 0..4).prop_map(Value::from), 1 => super::any_json()],
        how in prop_oneof![2 => Just(None), 1 => any_answer().prop_map(Some)],
        answers in prop::collection::vec(any_answer(), 1..6),
    ) {
        let mut maker = Maker { tape: tape.iter(), ids: 0, known: Vec::new(), loops: Vec::new() };
        let body = maker.nodes(0, 1);
        let made = maker.template(0);
        let plan = plan(&json!(body), &made);
        let mut given = json!({"list": list});
        if let Some(how) = how {
            given["how"] = how;
        }
        both(&plan, &given, &answers);
        let component = emit(&plan).unwrap();
        prop_assert_eq!(read_plan(&component), Explained::ByPlan(Box::new(plan)));
    }
}
