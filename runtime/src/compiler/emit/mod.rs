//! Turns a plan into a WebAssembly component: no toolchain, no network, no generated source.
//!
//! The core module (`module`) is a path with an error exit between any two calls, and structured code where a plan
//! has arms (`body`) or repeats itself (`each`); branches that run side by side are children of the same component (`parallel`), and
//! code that many steps of a long plan have in common stands once (`share`). `wit-component`
//! makes it a component whose imports are exactly the plan's tools beside `flow` and `data`. The same plan
//! gives the same bytes, so a component's digest names what it does, and a plan carried by a component can be
//! held against its code ([`read_plan`]).

mod abi;
mod body;
mod each;
mod features;
mod layout;
mod leaves;
mod module;
mod parallel;
mod parts;
mod share;
mod shared;
mod shared_derived;
mod shared_tree;
mod world;
mod writer;

use wasm_encoder::{ComponentSection as _, CustomSection, Encode as _};
use wit_component::ComponentEncoder;

pub(super) use world::{contract, of as world_of};

use super::plan::Plan;
use crate::error::{Code, Error, Result};
use crate::limits;

/// The custom section that holds the plan as JSON.
pub const PLAN_SECTION: &str = "reprise:plan";

/// The component that does what `plan` says, with the plan in its custom section.
///
/// # Errors
/// `not_compilable` where the plan does not pass its own check; `internal_error` where the emitted bytes do
/// not validate, which is a mistake of ours.
pub fn emit(plan: &Plan) -> Result<Vec<u8>> {
    plan.check()?;
    let text = plan.to_json();
    if text.as_str().len() > limits::PLAN_BYTES_MAX {
        let (bytes, most) = (text.as_str().len(), limits::PLAN_BYTES_MAX);
        return Err(Error::new(
            Code::NotCompilable,
            format!("the plan has {bytes} bytes; at most {most}: a playbook is no place for large files"),
        ));
    }
    let ours = |what: &str, e: anyhow::Error| Error::new(Code::InternalError, format!("{what}: {e:#}"));
    let mut module = module::build(plan);
    module.extend_from_slice(&world::section(plan).map_err(|e| ours("the playbook's world does not parse", e))?);
    let mut component = ComponentEncoder::default()
        .validate(cfg!(debug_assertions))
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| ours("the module does not become a component", e))?;
    let section = CustomSection { name: PLAN_SECTION.into(), data: text.as_str().as_bytes().into() };
    component.push(section.id());
    section.encode(&mut component);
    Ok(component)
}

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Explained {
    /// It carries a plan, and emitting that plan gives these very bytes: the plan is what the code does.
    ByPlan(Box<Plan>),
    /// It carries something under the plan's name that is not what its code was made of.
    Falsely(String),
    /// It carries no plan: written by hand, or elsewhere.
    Not,
}

/// Reads the plan of a component and holds it against the component's bytes.
#[must_use]
pub fn read_plan(component: &[u8]) -> Explained {
    let mut found = None;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload {
            Ok(wasmparser::Payload::CustomSection(section)) if section.name() == PLAN_SECTION => found = Some(section.data()),
            Ok(_) => {}
            Err(e) => return Explained::Falsely(format!("it does not parse: {e}")),
        }
    }
    let Some(text) = found else { return Explained::Not };
    match Plan::parse(text).and_then(|plan| emit(&plan).map(|bytes| (plan, bytes))) {
        Ok((plan, bytes)) if bytes == component => Explained::ByPlan(Box::new(plan)),
        Ok(_) => Explained::Falsely("the code is not what this version emits for the plan".to_owned()),
        Err(e) => Explained::Falsely(e.to_string()),
    }
}

/// A component's world as WIT text.
///
/// # Errors
/// `not_a_component` where the bytes do not decode.
pub fn wit_text(component: &[u8]) -> Result<String> {
    world::text_of(component).map_err(|e| Error::new(Code::NotAComponent, format!("its types do not decode: {e:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiler::plan::{Node, PLAN_VERSION, Parameter, Step, StepOptions};
    use crate::compiler::template::{Part, Source, Template};
    use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
    use crate::ids::Digest;
    use crate::json::Json;
    use crate::limits;
    use crate::sandbox::{Ending, Line, Sandbox, Scripted};
    use serde_json::json;

    fn step(id: &str, tool: &str, input: Template) -> Node {
        Node::Step(Step {
            id: id.to_owned(),
            tool: ToolId::parse(tool).unwrap(),
            effect: Effect::Once,
            recorded_as: None,
            input,
            decisions: Vec::new(),
            options: StepOptions::default(),
            checks: Vec::new(),
            compensation: None,
        })
    }

    fn object(fields: &[(&str, Template)]) -> Template {
        Template::Object(fields.iter().map(|(k, t)| ((*k).to_owned(), t.clone())).collect())
    }

    fn output(step: &str, pointer: &str) -> Source {
        Source::Output { step: step.to_owned(), pointer: pointer.to_owned() }
    }

    /// Two steps whose tools have names that are keywords of WIT.
    fn plan() -> Plan {
        let version = Source::Parameter { name: "ver/sion".to_owned(), pointer: String::new() };
        let text = Template::Text(vec![
            Part::Literal("v\"".to_owned()),
            Part::Value(version),
            Part::Literal("\n→".to_owned()),
            Part::Value(output("s1", "/n")),
        ]);
        let first = object(&[("path", Template::Constant(Json::from(&json!({"b": [1, 2.5], "a": "ä"}))))]);
        let second = object(&[
            ("all", Template::Value(output("s1", ""))),
            ("list", Template::Array(vec![text, Template::Value(output("s1", "/deep/0"))])),
        ]);
        Plan {
            plan_version: PLAN_VERSION,
            goal: "try it".to_owned(),
            parameters: vec![Parameter {
                name: "ver/sion".to_owned(),
                schema: Json::from(&json!({"type": "string"})),
                sample: Json::from(&json!("1")),
                default: None,
            }],
            body: vec![step("s1", "use/list", first), step("s2", "use/interface", second)],
            output: object(&[("got", Template::Value(output("s2", "")))]),
        }
    }

    async fn run(plan: &Plan, input: serde_json::Value, lines: Vec<Line>) -> Ending {
        let component = emit(plan).unwrap();
        let sandbox = Sandbox::new(None).unwrap();
        let playbook = sandbox.load(&Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
        sandbox.run(&playbook, &Json::from(&input), Box::new(Scripted::new(lines)), limits::JOB_FUEL).await.ending
    }

    fn line(tool: &str, input: serde_json::Value, outcome: crate::contract::Outcome) -> Line {
        Line { tool: ToolId::parse(tool).unwrap(), input: Json::from(&input), outcome }
    }

    #[tokio::test]
    async fn a_component_does_what_its_plan_says() {
        let first = json!({"path": {"a": "ä", "b": [1, 2.5]}});
        let answer = json!({"n": 7, "deep": [{"x": null}], "text": "0123456789".repeat(10_000)});
        let second = json!({"all": answer, "list": ["v\"2.0\n→7", {"x": null}]});
        let lines = vec![line("use/list", first, Ok(Json::from(&answer))), line("use/interface", second, Ok(Json::from(&json!([1]))))];
        match run(&plan(), json!({"ver/sion": "2.0"}), lines).await {
            Ending::Output(output) => assert_eq!(output.as_str(), r#"{"got":[1]}"#),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_missing_or_refused_ends_the_run_with_step_and_reason() {
        match run(&plan(), json!({}), Vec::new()).await {
            Ending::Failure { step: None, message, .. } => assert_eq!(message, "the input lacks /ver~1sion"),
            other => panic!("{other:?}"),
        }
        let first = || json!({"path": {"a": "ä", "b": [1, 2.5]}});
        let lines = vec![line("use/list", first(), Ok(Json::from(&json!({"deep": [1]}))))];
        match run(&plan(), json!({"ver/sion": "2.0"}), lines).await {
            Ending::Failure { step: Some(step), message, .. } => {
                assert_eq!((step.as_str(), message.as_str()), ("s1", "use/list answered without /n, which s2 needs"));
            }
            other => panic!("{other:?}"),
        }
        let detail = Some(Json::from(&json!({"why": "\""})));
        let refusal = ToolError { kind: ErrorKind::Conflict, message: "it \"was\" there".to_owned(), detail };
        match run(&plan(), json!({"ver/sion": "2.0"}), vec![line("use/list", first(), Err(refusal))]).await {
            Ending::Failure { step, message, detail } => {
                assert_eq!(step.as_deref(), Some("s1"));
                assert_eq!(message, "use/list: conflict: it \"was\" there");
                assert_eq!(detail.unwrap().as_str(), r#"{"detail":{"why":"\""},"kind":"conflict","tool":"use/list"}"#);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_component_carries_its_plan_and_a_false_one_is_seen() {
        let component = emit(&plan()).unwrap();
        assert_eq!(read_plan(&component), Explained::ByPlan(Box::new(plan())));
        let mut other = plan();
        other.body.pop();
        other.output = Template::Constant(Json::from(&json!(null)));
        let code_end = component.len() - plan().to_json().as_str().len() - PLAN_SECTION.len() - 10;
        let mut forged = component[..code_end].to_vec();
        let text = other.to_json();
        let section = CustomSection { name: PLAN_SECTION.into(), data: text.as_str().as_bytes().into() };
        // Cut the plan off where its section begins, and put another plan there.
        while wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&forged).is_err() {
            forged.push(component[forged.len()]);
        }
        assert_eq!(read_plan(&forged), Explained::Not);
        forged.push(section.id());
        section.encode(&mut forged);
        assert!(matches!(read_plan(&forged), Explained::Falsely(_)));
    }
}
