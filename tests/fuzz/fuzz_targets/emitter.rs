//! Any plan that passes its check is emitted; the component is valid, carries the plan, and its types can be read.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use reprise::compiler::emit::{Explained, emit, read_plan, wit_text};
use reprise::compiler::plan::{
    Approve, Branch, Condition, Fail, Join, Node, Parallel, Parameter, Plan, StartPlaybook, Step, StepOptions, Test, Try, Until, Wait,
};
use reprise::compiler::template::{Part, Source, Template};
use reprise::contract::{Effect, ToolId};
use reprise::error::{Code, Error};
use reprise::json::Json;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(plan) = plan(&mut Unstructured::new(bytes)) else { return };
    if plan.check().is_err() {
        return;
    }
    let component = match emit(&plan) {
        Ok(component) => component,
        Err(Error { code: Code::NotCompilable, message, .. }) if message.contains("no place for large files") => return,
        Err(e) => panic!("{e}: {}", plan.to_json()),
    };
    wasmparser::Validator::new().validate_all(&component).expect("what is emitted is valid");
    match read_plan(&component) {
        Explained::ByPlan(read) => assert_eq!(*read, plan),
        other => panic!("{other:?}: {}", plan.to_json()),
    }
    wit_text(&component).expect("its types can be read");
});

/// What is known where a node is made.
#[derive(Clone, Default)]
struct Known {
    /// Nodes that have answered.
    sure: Vec<String>,
    /// Nodes that may have.
    perhaps: Vec<String>,
}

struct Maker<'u, 'b> {
    u: &'u mut Unstructured<'b>,
    parameters: Vec<String>,
    /// For ids, and to end.
    made: usize,
}

fn plan(u: &mut Unstructured<'_>) -> Result<Plan> {
    let parameters: Vec<String> =
        (0..u.int_in_range(0..=3)?).map(|n| Ok(format!("{}{n}", u.arbitrary::<String>()?))).collect::<Result<_>>()?;
    let goal = u.arbitrary::<String>()?;
    let mut maker = Maker { u, parameters, made: 0 };
    let mut known = Known::default();
    let body = maker.list(&mut known, 0)?;
    let output = maker.template(&known, 3)?;
    let types = ["string", "integer", "number", "boolean", "array", "object", "null"];
    let mut parameters = Vec::new();
    for name in std::mem::take(&mut maker.parameters) {
        let schema = Json::from(&json!({"type": *maker.u.choose(&types)?}));
        parameters.push(Parameter { name, schema, sample: maker.constant()?, default: None });
    }
    Ok(Plan::new(goal, parameters, body, output))
}

impl Maker<'_, '_> {
    fn list(&mut self, known: &mut Known, depth: usize) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for _ in 0..self.u.int_in_range(usize::from(depth == 0)..=4)? {
            if self.made > 60 {
                break;
            }
            nodes.push(self.node(known, depth)?);
            if matches!(nodes.last(), Some(Node::Fail(_))) {
                break;
            }
        }
        Ok(nodes)
    }

    /// An arm that may not be taken: what it answers is perhaps known afterwards.
    fn arm(&mut self, known: &Known, after: &mut Known, depth: usize) -> Result<Vec<Node>> {
        let mut inner = known.clone();
        let nodes = self.list(&mut inner, depth + 1)?;
        let new = inner.sure.into_iter().chain(inner.perhaps).filter(|id| !known.sure.contains(id) && !known.perhaps.contains(id));
        after.perhaps.extend(new.collect::<Vec<_>>());
        Ok(nodes)
    }

    fn id(&mut self) -> Result<String> {
        self.made += 1;
        // Visible characters, some of which mean something in JSON, in a pointer or in text.
        Ok(format!("{}{}", self.u.choose(&["s", "\"", "~1", "\\u", "ß", "🦀", "a.b", "{", "%"])?, self.made))
    }

    fn node(&mut self, known: &mut Known, depth: usize) -> Result<Node> {
        let id = self.id()?;
        let kind = self.u.int_in_range(0..=if depth > 5 { 4 } else { 10 })?;
        let before = known.clone();
        Ok(match kind {
            0..=2 => {
                let mut step = self.step(id.clone(), &before)?;
                known.sure.push(id);
                if self.u.arbitrary()? {
                    let undo = self.id()?;
                    step.compensation = Some(Box::new(self.step(undo, known)?));
                }
                Node::Step(step)
            }
            3 => {
                let input = self.template(known, 3)?;
                known.sure.push(id.clone());
                Node::Playbook(StartPlaybook { id, playbook: self.u.choose(&["other", "a-b", "x1"])?.to_string(), input })
            }
            4 => Node::Fail(Fail { id, message: self.template(known, 2)? }),
            5 => {
                let is = self.u.choose(&Test::NAMES)?.1;
                let to = match is {
                    Test::Greater | Test::Less => Some(Json::from(&json!(self.u.arbitrary::<i64>()?))),
                    Test::Equals | Test::NotEquals => Some(self.constant()?),
                    Test::True | Test::Exists => None,
                };
                let Some(value) = self.source(&before, true)? else {
                    return Ok(Node::Fail(Fail { id, message: self.template(known, 1)? }));
                };
                let then = self.arm(&before, known, depth)?;
                let otherwise = self.arm(&before, known, depth)?;
                Node::Branch(Branch { id, condition: Condition { value, is, to }, then, otherwise })
            }
            6 => {
                let join = *self.u.choose(&[Join::All, Join::First])?;
                let mut branches = Vec::new();
                for _ in 0..self.u.int_in_range(1..=4)? {
                    branches.push(self.arm(&before, known, depth)?);
                }
                Node::Parallel(Parallel { id, join, branches })
            }
            7 => {
                let body = self.arm(&before, known, depth)?;
                let mut failed = known.clone();
                failed.sure.clone_from(&before.sure);
                let on_failure = self.arm(&failed, known, depth)?;
                Node::Try(Try { body, on_failure })
            }
            8 => {
                let until = if self.u.arbitrary()? {
                    Until::SleepMs(self.u.arbitrary()?)
                } else {
                    let name = format!("{}x", self.u.arbitrary::<String>()?);
                    Until::Signal { name, timeout_ms: self.u.arbitrary()? }
                };
                let expired = if self.u.arbitrary()? { Some(self.arm(&before, known, depth)?) } else { None };
                if expired.is_none() {
                    known.sure.push(id.clone())
                } else {
                    known.perhaps.push(id.clone())
                }
                Node::Wait(Wait { id, until, expired })
            }
            _ => {
                let request = self.template(known, 3)?;
                let mut decided = before.clone();
                decided.sure.push(id.clone());
                let approved = self.arm(&decided, known, depth)?;
                let rejected = if self.u.arbitrary()? { Some(self.arm(&decided, known, depth)?) } else { None };
                let expired = if self.u.arbitrary()? { Some(self.arm(&before, known, depth)?) } else { None };
                known.perhaps.push(id.clone());
                Node::Approve(Approve {
                    id,
                    title: self.u.arbitrary()?,
                    request,
                    timeout_ms: self.u.arbitrary()?,
                    approved,
                    rejected,
                    expired,
                })
            }
        })
    }

    fn step(&mut self, id: String, known: &Known) -> Result<Step> {
        let tools = ["fs/read", "use/list", "agent/x", "interface/package", "a1/b2-c3", "http/post", "record/export", "world/with"];
        let options = StepOptions {
            tries: self.u.arbitrary()?,
            first_pause_ms: self.u.arbitrary()?,
            call_timeout_ms: self.u.arbitrary()?,
            step_timeout_ms: self.u.arbitrary()?,
        };
        Ok(Step {
            id,
            tool: ToolId::parse(self.u.choose(&tools)?).expect("these are names of tools"),
            effect: *self.u.choose(&[Effect::Pure, Effect::Read, Effect::Idempotent, Effect::Once])?,
            recorded_as: self.u.arbitrary()?,
            input: self.template(known, 4)?,
            decisions: Vec::new(),
            options: if self.u.arbitrary()? { options } else { StepOptions::default() },
            checks: Vec::new(),
            compensation: None,
        })
    }

    /// Where a value may come from; none where nothing is known yet.
    fn source(&mut self, known: &Known, perhaps: bool) -> Result<Option<Source>> {
        let pointer = match self.u.int_in_range(0..=4)? {
            0 | 1 => String::new(),
            2 => (*self.u.choose(&["/", "/a", "/0", "/a/b/0", "/~0~1", "/-"])?).to_owned(),
            _ => format!("/{}", self.u.arbitrary::<String>()?),
        };
        let mut ids = known.sure.clone();
        if perhaps {
            ids.extend(known.perhaps.clone());
        }
        let parameters = self.parameters.clone();
        if !parameters.is_empty() && (ids.is_empty() || self.u.arbitrary()?) {
            return Ok(Some(Source::Parameter { name: self.u.choose(&parameters)?.clone(), pointer }));
        }
        if ids.is_empty() {
            return Ok(None);
        }
        Ok(Some(Source::Output { step: self.u.choose(&ids)?.clone(), pointer }))
    }

    fn template(&mut self, known: &Known, depth: u32) -> Result<Template> {
        let kind = self.u.int_in_range(0..=if depth == 0 { 2 } else { 5 })?;
        Ok(match kind {
            0 => Template::Constant(self.constant()?),
            1 => match self.source(known, false)? {
                Some(source) => Template::Value(source),
                None => Template::Constant(self.constant()?),
            },
            2 => match self.source(known, true)? {
                Some(value) => Template::Either { value, default: self.constant()? },
                None => Template::Constant(self.constant()?),
            },
            3 => {
                let mut parts = Vec::new();
                for _ in 0..self.u.int_in_range(0..=3)? {
                    match self.source(known, false)? {
                        Some(source) if self.u.arbitrary()? => parts.push(Part::Value(source)),
                        _ => parts.push(Part::Literal(self.u.arbitrary()?)),
                    }
                }
                Template::Text(parts)
            }
            4 => {
                let mut fields = BTreeMap::new();
                for _ in 0..self.u.int_in_range(0..=3)? {
                    fields.insert(self.u.arbitrary()?, self.template(known, depth - 1)?);
                }
                Template::Object(fields)
            }
            _ => Template::Array((0..self.u.int_in_range(0..=3)?).map(|_| self.template(known, depth - 1)).collect::<Result<_>>()?),
        })
    }

    fn constant(&mut self) -> Result<Json> {
        Ok(Json::from(&match self.u.int_in_range(0..=5)? {
            0 => Value::Null,
            1 => json!(self.u.arbitrary::<bool>()?),
            2 => json!(self.u.arbitrary::<i64>()?),
            3 => json!(self.u.arbitrary::<String>()?),
            4 => json!({self.u.arbitrary::<String>()?: [self.u.arbitrary::<u8>()?]}),
            _ => {
                let float: f64 = self.u.arbitrary()?;
                if float.is_finite() { json!(float) } else { json!([]) }
            }
        }))
    }
}
