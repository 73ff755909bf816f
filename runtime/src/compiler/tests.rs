//! What must hold for every run and every plan, tried on random ones.

mod checks;
mod derived;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::emit::{Explained, emit, read_plan};
use super::plan::{Decision, DecisionKind, Node, PLAN_VERSION, Parameter, Plan, Step, StepOptions};
use super::prove::{Script, prove};
use super::template::{Known, Part, Source, Template};
use super::{Compiled, Options, compile};
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Result};
use crate::ids::Space;
use crate::json::Json;
use crate::limits;
use crate::runs::{Recording, Run};
use crate::sandbox::{Ending, Line, Sandbox, Scripted};
use crate::tools::Registry;

/// JSON of a few levels, with the values that like to go wrong.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        any::<f64>().prop_filter("JSON has finite numbers only", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof!["1\\.[0-9]\\.[0-9]", "[a-z]{3,8}-[0-9]{3,6}", "/[a-z]{2,5}/[a-z]{2,5}\\.txt", "\"\\\\[\u{0}-\u{1f}]→🦀"]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![Just("path".to_owned()), Just("version".to_owned()), "[a-z~/]{1,6}", any::<String>()]
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(key(), any_json(), 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
}

/// What a random step does with what was known before it.
#[derive(Debug, Clone)]
struct Draft {
    own: Value,
    output: Value,
    failed: bool,
    /// Picks among everything known so far: as it is, and inside text.
    picks: Vec<(prop::sample::Index, bool)>,
}

fn draft() -> impl Strategy<Value = Draft> {
    (object(), any_json(), prop::bool::weighted(0.2), prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4))
        .prop_map(|(own, output, failed, picks)| Draft { own, output, failed, picks })
}

/// A recorded run in which later steps use what earlier ones answered.
fn recording(inputs: &Value, drafts: &[Draft]) -> String {
    let mut known: Vec<Value> = Vec::new();
    collect(inputs, &mut known);
    let mut lines = vec![json!({"run": {"goal": "random", "inputs": inputs}}).to_string()];
    for (at, draft) in drafts.iter().enumerate() {
        let mut input = draft.own.clone();
        for (n, (pick, inside)) in draft.picks.iter().enumerate().filter(|_| !known.is_empty()) {
            let value = pick.get(&known).clone();
            let value = if *inside { Value::from(format!("<{}> and on", crate::json::text_of(&value))) } else { value };
            input[format!("picked {n}")] = value;
        }
        let status = if draft.failed { "failed" } else { "success" };
        lines.push(json!({"tool": format!("tool-{}", at % 3), "input": input, "output": draft.output, "status": status}).to_string());
        collect(&draft.output, &mut known);
    }
    lines.push(json!({"tool": "last", "input": {}, "output": {"done": true}}).to_string());
    lines.push(json!({"end": {"status": "success"}}).to_string());
    lines.join("\n")
}

fn collect(value: &Value, into: &mut Vec<Value>) {
    into.push(value.clone());
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
}

fn run_of(jsonl: &str) -> Run {
    Recording::read(jsonl.as_bytes()).unwrap().as_run(&Space::default_space(), 0)
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: std::sync::OnceLock<Sandbox> = std::sync::OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(None).unwrap())
}

fn compiled(run: &Run) -> Result<Compiled> {
    wait(compile(sandbox(), &Registry::builtin(), run, &Options::default()))
}

/// The calls that the run's successful steps made, read from the recording and not from the compiler.
fn recorded_calls(run: &Run) -> Vec<Line> {
    let done = run.steps.iter().filter(|step| step.after.as_ref().is_some_and(|after| after.status.as_str() == "success"));
    let line = |step: &crate::runs::Step| Line {
        tool: ToolId::agent(&step.tool_name),
        input: step.tool_input.clone(),
        outcome: Ok(step.after.as_ref().and_then(|after| after.output.clone()).unwrap_or_else(|| Json::from(&Value::Null))),
    };
    done.map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_random_run_compiled_makes_byte_equal_calls(inputs in object(), drafts in prop::collection::vec(draft(), 1..6)) {
        let run = run_of(&recording(&inputs, &drafts));
        let compiled = compiled(&run).unwrap();
        // Every value that was given a source must really come out of it: no fall-back is needed.
        prop_assert_eq!(&compiled.proof.fallbacks, &[]);
        let playbook = sandbox().load(&compiled.digest, |_| true, || Ok(compiled.component.clone())).unwrap();
        let script = Scripted::new(recorded_calls(&run));
        let finished = wait(sandbox().run(&playbook, &compiled.plan.sample_input(), Box::new(script), limits::JOB_FUEL));
        let left = (finished.effects as Box<dyn std::any::Any>).downcast::<Scripted>().unwrap().left();
        match finished.ending {
            Ending::Output(output) => prop_assert_eq!(output.as_str(), r#"{"done":true}"#),
            other => prop_assert!(false, "{other:?}"),
        }
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn a_plan_survives_encode_decode_emit_and_read_back(plan in any_plan()) {
        let decoded = Plan::parse(plan.to_json().as_str().as_bytes()).unwrap();
        prop_assert_eq!(&decoded, &plan);
        let component = emit(&plan).unwrap();
        prop_assert_eq!(&emit(&decoded).unwrap(), &component);
        prop_assert_eq!(read_plan(&component), Explained::ByPlan(Box::new(plan)));
    }

    #[test]
    fn the_component_comes_to_what_the_plan_evaluates_to(plan in any_plan(), input in object(), answers in prop::collection::vec(any_json(), 3)) {
        let mut outputs = BTreeMap::new();
        let mut lines = Vec::new();
        let mut expected = None;
        for (step, answer) in plan.steps().zip(&answers) {
            let Ok(value) = step.input.evaluate(&Known::of(&input, &outputs)) else { break };
            lines.push(Line { tool: step.tool.clone(), input: Json::from(&value), outcome: Ok(Json::from(answer)) });
            outputs.insert(step.id.clone(), answer.clone());
        }
        if lines.len() == plan.body.len() {
            expected = plan.output.evaluate(&Known::of(&input, &outputs)).ok();
        }
        let component = emit(&plan).unwrap();
        let playbook = sandbox().load(&crate::ids::Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
        let finished = wait(sandbox().run(&playbook, &Json::from(&input), Box::new(Scripted::new(lines)), limits::JOB_FUEL));
        match (finished.ending, expected) {
            (Ending::Output(output), Some(expected)) => prop_assert_eq!(output, Json::from(&expected)),
            (Ending::Failure { message, .. }, None) => prop_assert!(message.contains("lacks") || message.contains("answered without"), "{message}"),
            (ending, expected) => prop_assert!(false, "{ending:?} where {expected:?} was expected"),
        }
    }
}

/// A plan of three steps with every kind of template.
fn any_plan() -> impl Strategy<Value = Plan> {
    let steps = prop::collection::vec((template(0), template(1), template(2)), 1).prop_map(|mut all| all.remove(0));
    (any::<String>(), steps, template(3)).prop_map(|(goal, (a, b, c), output)| {
        let step = |n: usize, tool: &str, input: Template| {
            let decisions = vec![Decision { at: String::new(), kind: DecisionKind::Composed, reason: "tried at random".to_owned() }];
            Node::Step(Step {
                id: format!("s{n}"),
                tool: ToolId::parse(tool).unwrap(),
                effect: Effect::Once,
                recorded_as: Some("x".to_owned()),
                input,
                decisions,
                options: StepOptions::default(),
                checks: Vec::new(),
                compensation: None,
            })
        };
        let parameters = ["a", "b~/"].map(|name| Parameter {
            name: name.to_owned(),
            schema: Json::from(&json!({"type": "null"})),
            sample: Json::from(&Value::Null),
            default: None,
        });
        let body = vec![step(0, "agent/one", a), step(1, "agent/record", b), step(2, "agent/one", c)];
        Plan { plan_version: PLAN_VERSION, goal, parameters: parameters.to_vec(), body, output }
    })
}

fn template(steps_before: usize) -> impl Strategy<Value = Template> {
    let leaf = prop_oneof![
        any_json().prop_map(|value| Template::Constant(Json::from(&value))),
        source(steps_before).prop_map(Template::Value),
        prop::collection::vec(part(steps_before), 0..4).prop_map(Template::Text),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map(key(), inner.clone(), 0..3).prop_map(Template::Object),
            prop::collection::vec(inner, 0..3).prop_map(Template::Array),
        ]
    })
}

fn part(steps_before: usize) -> impl Strategy<Value = Part> {
    prop_oneof![any::<String>().prop_map(Part::Literal), source(steps_before).prop_map(Part::Value)]
}

fn source(steps_before: usize) -> impl Strategy<Value = Source> {
    let pointer = || prop_oneof![3 => Just(String::new()), 1 => Just("/0".to_owned()), 1 => Just("/path".to_owned())];
    let parameter =
        (prop_oneof![Just("a"), Just("b~/")], pointer()).prop_map(|(name, pointer)| Source::Parameter { name: name.to_owned(), pointer });
    if steps_before == 0 {
        return parameter.boxed();
    }
    let output = (0..steps_before, pointer()).prop_map(|(step, pointer)| Source::Output { step: format!("s{step}"), pointer });
    prop_oneof![parameter, output].boxed()
}

/// A run that prepares a release, as an agent with tools of its own would record it.
fn release() -> String {
    [
        json!({"run": {"goal": "Prepare a release", "inputs": {"version": "1.4.0", "unused": "nobody needs this"}}}),
        json!({"tool": "Read", "input": {"file_path": "/home/me/proj/package.json"}, "output": "{\"version\": \"1.3.0\"}"}),
        json!({"tool": "search", "input": {"q": "old-id-77"}, "output": {"hit": "candidate-4711"}}),
        json!({"tool": "open", "input": {"id": "candidate-4711"}, "status": "failed", "error": "gone"}),
        json!({"tool": "Edit", "input": {"file_path": "/home/me/proj/package.json", "old_string": "1.3.0", "new_string": "1.4.0"}, "output": {"path": "x", "replaced": 1, "sha256": "y"}}),
        json!({"tool": "Edit", "input": {"file_path": "/home/me/proj/a", "old_string": "a", "new_string": "b", "replace_all": true}, "output": null}),
        json!({"tool": "fs/list", "input": {"path": "project"}, "output": {"path": "project", "entries": []}}),
        json!({"tool": "fs/list", "input": {"path": "project"}, "output": {"path": "project", "entries": []}}),
        json!({"end": {"status": "success"}}),
    ]
    .map(|line| line.to_string())
    .join("\n")
}

#[test]
fn recorded_names_and_directories_are_bound_and_what_did_not_count_is_dropped() {
    let roots = BTreeMap::from([("/home/me/proj".to_owned(), "project".to_owned())]);
    let options = Options { roots, ..Options::default() };
    let compiled = wait(compile(sandbox(), &Registry::builtin(), &run_of(&release()), &options)).unwrap();
    let steps: Vec<(&str, String)> = compiled.plan.steps().map(|s| (s.id.as_str(), s.tool.to_string())).collect();
    let edit = ToolId::agent("Edit").to_string();
    let search = ("s2", "agent/search".to_owned());
    assert_eq!(steps, [("s1", "fs/read".to_owned()), search, ("s4", "fs/replace".to_owned()), ("s5", edit), ("s6", "fs/list".to_owned())]);
    let replace = compiled.plan.steps().nth(2).unwrap();
    assert_eq!(replace.input.to_string(), r#"{new: input.version, old: "1.3.0", path: "project/package.json"}"#);
    let dropped: Vec<(&str, &str)> = compiled.dropped.iter().map(|d| (d.step.as_str(), d.reason.as_str())).collect();
    assert_eq!(dropped, [("s3", "ended as failed: gone"), ("s7", "the same call with the same answer as s6, just before it")]);
    assert_eq!(compiled.unused_inputs, ["unused"]);
}

#[test]
fn a_read_that_only_a_failed_attempt_used_goes_with_it() {
    let jsonl = release().replace(r#""tool":"search""#, r#""tool":"fs/read""#);
    let jsonl = jsonl.replace(r#"{"q":"old-id-77"}"#, r#"{"path":"project/ids"}"#).replace(r#"{"hit":"#, r#"{"text":"#);
    let compiled = compiled(&run_of(&jsonl)).unwrap();
    let dropped: Vec<(&str, &str)> = compiled.dropped.iter().map(|d| (d.step.as_str(), d.reason.as_str())).collect();
    assert_eq!(dropped[0], ("s2", "only s3 used its answer"));
}

#[test]
fn only_a_run_that_succeeded_is_compiled() {
    let failed = release().replace(r#"{"end":{"status":"success"}}"#, r#"{"end":{"status":"failed"}}"#);
    assert_eq!(compiled(&run_of(&failed)).unwrap_err().code, Code::ReplayCompileRequiresSuccessfulRun);
    let partial = Options { allow_partial: true, ..Options::default() };
    assert!(wait(compile(sandbox(), &Registry::builtin(), &run_of(&failed), &partial)).is_ok());
    let nothing = json!({"run": {"goal": "nothing"}}).to_string() + "\n" + &json!({"end": {"status": "success"}}).to_string();
    assert_eq!(compiled(&run_of(&nothing)).unwrap_err().code, Code::ReplayCompileNoSteps);
}

/// A plan whose sources are wrong is proved all the same: what is wrong becomes literal, and says so.
#[test]
fn the_proof_makes_literal_what_its_source_does_not_give() {
    let step = |id: &str, input: Template| {
        Node::Step(Step {
            id: id.to_owned(),
            tool: ToolId::parse("agent/x").unwrap(),
            effect: Effect::Once,
            recorded_as: None,
            input,
            decisions: Vec::new(),
            options: StepOptions::default(),
            checks: Vec::new(),
            compensation: None,
        })
    };
    let of_s1 = |pointer: &str| Template::Value(Source::Output { step: "s1".to_owned(), pointer: pointer.to_owned() });
    let second = Template::Object(BTreeMap::from([
        ("absent".to_owned(), of_s1("/no")),
        ("right".to_owned(), of_s1("/a")),
        ("wrong".to_owned(), of_s1("/b")),
    ]));
    let plan = Plan {
        plan_version: PLAN_VERSION,
        goal: "go wrong".to_owned(),
        parameters: Vec::new(),
        body: vec![step("s1", Template::Constant(Json::from(&json!({})))), step("s2", second)],
        output: of_s1(""),
    };
    let line = |input: Value, answer: Value| Line {
        tool: ToolId::parse("agent/x").unwrap(),
        input: Json::from(&input),
        outcome: Ok(Json::from(&answer)),
    };
    let lines = vec![line(json!({}), json!({"a": 1, "b": 2})), line(json!({"absent": 4, "right": 1, "wrong": 3}), json!("done"))];
    let script = Script { input: plan.sample_input(), began_ms: None, lines, output: Json::from(&json!("done")) };
    let proven = wait(prove(sandbox(), |_| true, plan, &script)).unwrap();
    assert_eq!(proven.plan.steps().nth(1).unwrap().input.to_string(), "{absent: 4, right: s1/a, wrong: 3}");
    assert_eq!(proven.plan.output.to_string(), r#""done""#);
    let fallbacks: Vec<(&str, &str)> = proven.proof.fallbacks.iter().map(|f| (f.step.as_str(), f.at.as_str())).collect();
    assert_eq!(fallbacks, [("s2", "/absent"), ("s2", "/wrong"), ("output", "")]);
}

#[test]
fn what_an_agents_tool_says_without_meaning_it_does_not_keep_it_from_its_tool() {
    let plain = release().replace(r#""replace_all":true"#, r#""replace_all":false"#);
    let compiled = compiled(&run_of(&plain)).unwrap();
    assert_eq!(compiled.plan.steps().nth(3).unwrap().tool.to_string(), "fs/replace");
}

#[test]
fn a_word_that_may_come_from_an_input_is_left_literal_and_named() {
    let jsonl = [
        json!({"run": {"goal": "invite", "inputs": {"city": "Oslo"}}}),
        json!({"tool": "mail", "input": {"text": "See you in Oslo soon", "note": "Oslovian"}, "output": {}}),
        json!({"end": {"status": "success"}}),
    ];
    let compiled = compiled(&run_of(&jsonl.map(|line| line.to_string()).join("\n"))).unwrap();
    let decisions = &compiled.plan.steps().next().unwrap().decisions;
    let perhaps: Vec<&str> = decisions.iter().filter(|d| d.reason.starts_with(super::PERHAPS)).map(|d| d.at.as_str()).collect();
    assert_eq!(perhaps, ["/text"]);
}

#[test]
fn nothing_is_taken_out_of_an_answer_that_the_tool_does_not_give() {
    let jsonl = [
        json!({"run": {"goal": "write and tell"}}),
        json!({"tool": "Write", "input": {"file_path": "project/a", "content": "x"}, "output": {"id": "write-4711"}}),
        json!({"tool": "tell", "input": {"about": "write-4711", "sig": "sig-4711"}, "output": {}}),
        json!({"end": {"status": "success"}}),
    ];
    let compiled = compiled(&run_of(&jsonl.map(|line| line.to_string()).join("\n"))).unwrap();
    assert_eq!(compiled.plan.steps().nth(1).unwrap().input.to_string(), r#"{"about":"write-4711","sig":"sig-4711"}"#);
}

#[test]
fn a_plan_too_large_to_be_read_back_is_not_emitted() {
    let mut lines = vec![json!({"run": {"goal": "large"}}).to_string()];
    for n in 0..35 {
        lines.push(json!({"tool": "keep", "input": {"n": n, "text": "x".repeat(500_000)}, "output": {}}).to_string());
    }
    lines.push(json!({"end": {"status": "success"}}).to_string());
    let refused = compiled(&run_of(&lines.join("\n"))).unwrap_err();
    assert_eq!(refused.code, Code::NotCompilable);
    assert!(refused.message.contains("16777216"), "{refused}");
}

#[test]
fn a_large_input_of_which_little_is_used_makes_no_large_report() {
    let inputs = json!({"cfg": {"label": "abcd-1234", "rest": "x".repeat(100_000)}});
    let text = "abcd-1234 ".repeat(2_000);
    let jsonl = [
        json!({"run": {"goal": "report", "inputs": inputs}}),
        json!({"tool": "say", "input": {"text": text}, "output": {}}),
        json!({"end": {"status": "success"}}),
    ];
    let compiled = compiled(&run_of(&jsonl.map(|line| line.to_string()).join("\n"))).unwrap();
    let variables = &compiled.summary.value()["parameterization"]["variables"];
    assert_eq!(variables.as_array().unwrap().len(), 1);
    assert_eq!(variables[0]["sample"], "abcd-1234");
}

/// Found by the property test above.
#[test]
fn minus_zero_is_not_the_input_that_is_zero() {
    let jsonl = [
        json!({"run": {"goal": "zero", "inputs": {"path": [0.0]}}}),
        json!({"tool": "t", "input": {"path": [-0.0]}, "output": {}}),
        json!({"end": {"status": "success"}}),
    ];
    let compiled = compiled(&run_of(&jsonl.map(|line| line.to_string()).join("\n"))).unwrap();
    assert_eq!(compiled.proof.fallbacks, []);
    assert_eq!(compiled.plan.steps().next().unwrap().input.to_string(), r#"{"path":[-0.0]}"#);
}

/// The code does not show what a tool's call does, so a plan that plays it down must not be believed.
#[test]
fn a_plan_that_lies_about_an_effect_is_a_false_plan() {
    let registry = Registry::builtin();
    let mut plan = compiled(&run_of(&release())).unwrap().plan;
    assert!(matches!(super::explain(&emit(&plan).unwrap(), &registry), Explained::ByPlan(_)));
    let lying = plan.steps_mut().find(|step| step.effect == Effect::Once).unwrap();
    lying.effect = Effect::Read;
    let Explained::Falsely(fault) = super::explain(&emit(&plan).unwrap(), &registry) else { panic!("it is believed") };
    assert!(fault.contains("read, and it is once"), "{fault}");
}
