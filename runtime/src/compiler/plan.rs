//! The plan: the typed, readable form between a run and a component.
//!
//! It travels as JSON in the component's custom section `reprise:plan` and explains the component. It knows
//! neither where it came from nor how it is emitted. A plan that reads back is a plan that was checked:
//! [`Plan::parse`] refuses what the emitter could not honour.
//!
//! ```json
//! {"plan_version": 1, "goal": "…",
//!  "parameters": [{"name": "version", "schema": {"type": "string"}, "sample": "1.4.0"}],
//!  "body": [{"step": {"id": "s1", "tool": "fs/read", "effect": "read", "recorded_as": "Read",
//!                     "input": {"object": {"path": {"constant": "project/package.json"}}},
//!                     "decisions": [{"at": "/path", "kind": "constant", "reason": "…"}]}}],
//!  "output": {"value": {"output": {"step": "s1", "pointer": ""}}}}
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::template::{Source, Template};
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;

/// Changes whenever the meaning of a field changes or a field is added.
pub const PLAN_VERSION: u32 = 1;

/// What a playbook does, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub plan_version: u32,
    /// What the source run was for.
    pub goal: String,
    /// What a job's input must hold, in the order of their names.
    pub parameters: Vec<Parameter>,
    /// In the order in which they happen.
    pub body: Vec<Node>,
    /// What a job gives back.
    pub output: Template,
}

/// One field of a job's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The field's name.
    pub name: String,
    /// JSON Schema of its value, from the recorded sample's shape.
    pub schema: Json,
    /// The value it had in the source run.
    pub sample: Json,
}

/// The types that a parameter can have.
const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "null"];

impl Parameter {
    /// A plan may come from anyone, and its schemas are checked against every job's input: no more than a type,
    /// so that checking costs nothing.
    fn has_plain_schema(&self) -> bool {
        let schema = self.schema.value();
        let plain = |fields: &serde_json::Map<String, serde_json::Value>| fields.len() == 1;
        schema.as_object().is_some_and(plain) && schema["type"].as_str().is_some_and(|ty| TYPES.contains(&ty))
    }
}

/// One part of a plan. Sequences are lists of nodes; branches, loops, waits and parallel parts will be
/// further kinds here, each with its own emitter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// One tool call.
    Step(Step),
}

/// One tool call of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Names the step in journals and references: visible characters, no two alike.
    pub id: String,
    /// The tool it calls.
    pub tool: ToolId,
    /// What repeating the call does, as known when the plan was made.
    pub effect: Effect,
    /// The tool's name in the recording, where it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_as: Option<String>,
    /// How the input is made.
    pub input: Template,
    /// Why each part of the input is what it is.
    #[serde(default)]
    pub decisions: Vec<Decision>,
}

/// Why one value of a step's input is a constant, a parameter or a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// JSON pointer into the step's input.
    pub at: String,
    /// What it became.
    pub kind: DecisionKind,
    /// The evidence, in a sentence.
    pub reason: String,
}

/// What a recorded value became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// The same in every job.
    Constant,
    /// From the job's input.
    Parameter,
    /// From an earlier step's answer.
    Reference,
    /// Text put together from several of these.
    Composed,
}

impl Plan {
    /// Reads a plan and checks it.
    ///
    /// # Errors
    /// As [`crate::json::parse`]; `not_compilable` with an issue for each place that is wrong.
    pub fn parse(text: &[u8]) -> Result<Plan> {
        if text.len() > limits::PLAN_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the plan has {} bytes; at most {}", text.len(), limits::PLAN_BYTES_MAX)));
        }
        let plan: Plan = crate::json::parse_within(text, limits::PLAN_DEPTH_MAX)
            .and_then(|value| serde_json::from_value(value).map_err(|e| Error::invalid("", e.to_string())))
            .map_err(|e| Error::new(Code::NotCompilable, format!("not a plan: {}", e.message)))?;
        plan.check()?;
        Ok(plan)
    }

    /// The canonical text; the same plan gives the same bytes.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::from(&serde_json::to_value(self).expect("a plan has string keys only"))
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.body.iter().map(|Node::Step(step)| step)
    }

    /// The steps in order, to be changed.
    pub(super) fn steps_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        self.body.iter_mut().map(|Node::Step(step)| step)
    }

    /// The tools it calls, each once.
    #[must_use]
    pub fn tools(&self) -> BTreeSet<&ToolId> {
        self.steps().map(|step| &step.tool).collect()
    }

    /// JSON Schema of a job's input.
    #[must_use]
    pub fn input_schema(&self) -> serde_json::Value {
        let properties: serde_json::Map<_, _> = self.parameters.iter().map(|p| (p.name.clone(), p.schema.value())).collect();
        let required: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        })
    }

    /// The input that the source run had.
    #[must_use]
    pub fn sample_input(&self) -> Json {
        let fields: serde_json::Map<_, _> = self.parameters.iter().map(|p| (p.name.clone(), p.sample.value())).collect();
        Json::from(&serde_json::Value::Object(fields))
    }

    /// Everything that must hold before a plan is emitted, all faults at once.
    ///
    /// # Errors
    /// `not_compilable` with an issue for each.
    pub fn check(&self) -> Result<()> {
        let mut issues = Vec::new();
        let mut fault = |path: String, message: String| issues.push(Issue { path, message });
        if self.plan_version != PLAN_VERSION {
            fault("/plan_version".to_owned(), format!("{} where this version reads {PLAN_VERSION}", self.plan_version));
        }
        if self.body.is_empty() || self.body.len() > limits::PLAN_STEPS_MAX {
            fault("/body".to_owned(), format!("{} steps; 1 to {}", self.body.len(), limits::PLAN_STEPS_MAX));
        }
        let names: BTreeSet<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        if names.len() != self.parameters.len() {
            fault("/parameters".to_owned(), "a name stands twice".to_owned());
        }
        for (at, parameter) in self.parameters.iter().enumerate().filter(|(_, parameter)| !parameter.has_plain_schema()) {
            fault(
                format!("/parameters/{at}/schema"),
                format!("{} is not of the form {{\"type\": one of {}}}", parameter.schema, TYPES.join(", ")),
            );
        }
        let mut before = BTreeMap::new();
        for (at, step) in self.steps().enumerate() {
            let path = format!("/body/{at}/step");
            if crate::ids::StepId::parse(&step.id).is_err() {
                fault(format!("{path}/id"), format!("{:?} is not 1 to {} visible characters without \"/\"", step.id, limits::ID_CHARS_MAX));
            }
            check_sources(&step.input, &names, &before, &format!("{path}/input"), &mut fault);
            if before.insert(step.id.as_str(), at).is_some() {
                fault(format!("{path}/id"), format!("{:?} stands twice", step.id));
            }
        }
        check_sources(&self.output, &names, &before, "/output", &mut fault);
        match issues.first() {
            None => Ok(()),
            Some(first) => {
                Err(Error::new(Code::NotCompilable, format!("the plan is not valid: {}: {}", first.path, first.message))
                    .with_issues(issues))
            }
        }
    }
}

/// A template may only speak of parameters that exist and steps that come before it.
fn check_sources(
    template: &Template,
    names: &BTreeSet<&str>,
    before: &BTreeMap<&str, usize>,
    path: &str,
    fault: &mut impl FnMut(String, String),
) {
    if template.depth() > limits::JSON_DEPTH_MAX {
        fault(path.to_owned(), format!("nested deeper than {} levels", limits::JSON_DEPTH_MAX));
    }
    template.for_each_source(&mut |source| match source {
        Source::Parameter { name, .. } if !names.contains(name.as_str()) => fault(path.to_owned(), format!("no parameter {name:?}")),
        Source::Output { step, .. } if !before.contains_key(step.as_str()) => {
            fault(path.to_owned(), format!("no step {step:?} before this one"))
        }
        Source::Parameter { pointer, .. } | Source::Output { pointer, .. } if !pointer.is_empty() && !pointer.starts_with('/') => {
            fault(path.to_owned(), format!("{pointer:?} is not a JSON pointer"));
        }
        _ => {}
    });
}
