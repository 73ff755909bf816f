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

pub(super) mod check;
mod checks;
mod node;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use checks::Check;
pub(in crate::compiler) use node::all;
pub use node::{Approve, Branch, Condition, Fail, Join, Node, Parallel, StartPlaybook, Step, StepOptions, Test, Try, Until, Wait};

use super::template::Template;
use crate::contract::ToolId;
use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;

/// Changes whenever the meaning of a field changes or a field is added.
pub const PLAN_VERSION: u32 = 3;
/// The version of plans with arms, and without what came after them.
const TREE_VERSION: u32 = 2;
/// The version of plans that are no more than plain steps.
const STRAIGHT_VERSION: u32 = 1;

/// What a playbook does, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version that first had everything in it: 1 where the plan is no more than plain steps.
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

    /// A plan of the version that first had everything in it, so that the same plan gives the same component for ever.
    #[must_use]
    pub fn new(goal: String, parameters: Vec<Parameter>, body: Vec<Node>, output: Template) -> Plan {
        let mut plan = Plan { plan_version: PLAN_VERSION, goal, parameters, body, output };
        plan.plan_version = plan.least_version();
        plan
    }

    /// The version that first had everything that is in it.
    #[must_use]
    pub fn least_version(&self) -> u32 {
        if self.steps().any(|step| !step.checks.is_empty()) {
            PLAN_VERSION
        } else if self.is_straight() {
            STRAIGHT_VERSION
        } else {
            TREE_VERSION
        }
    }

    /// True where one plain step follows another and there is nothing else.
    #[must_use]
    pub fn is_straight(&self) -> bool {
        let plain = |node: &Node| matches!(node, Node::Step(step) if step.options.is_none() && step.compensation.is_none() && step.checks.is_empty());
        self.body.iter().all(plain) && !self.output.has_default() && self.steps().all(|step| !step.input.has_default())
    }

    /// Every node in the order of the plan, each before those in its arms.
    #[must_use]
    pub fn nodes(&self) -> Vec<&Node> {
        all(&self.body)
    }

    /// Every tool call in the order of the plan, each followed by the one that undoes it.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.nodes().into_iter().filter_map(Node::step).flat_map(|step| std::iter::once(step).chain(step.compensation.as_deref()))
    }

    /// The steps in order, to be changed; without those that undo others.
    pub(super) fn steps_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        let mut steps = Vec::new();
        node::steps_mut(&mut self.body, &mut steps);
        steps.into_iter()
    }

    /// The playbooks it starts, each once.
    #[must_use]
    pub fn playbooks(&self) -> BTreeSet<&str> {
        self.nodes()
            .into_iter()
            .filter_map(|node| if let Node::Playbook(start) = node { Some(start.playbook.as_str()) } else { None })
            .collect()
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
        let issues: Vec<Issue> = check::faults(self).into_iter().map(|fault| Issue { path: fault.path, message: fault.message }).collect();
        match issues.first() {
            None => Ok(()),
            Some(first) => {
                Err(Error::new(Code::NotCompilable, format!("the plan is not valid: {}: {}", first.path, first.message))
                    .with_issues(issues))
            }
        }
    }
}
