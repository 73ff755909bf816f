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
mod parameter;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use checks::Check;
pub(in crate::compiler) use node::all;
pub use node::{Approve, Branch, Condition, Each, Fail, Join, Node, Parallel, StartPlaybook, Step, StepOptions, Test, Try, Until, Wait};
pub use parameter::Parameter;

use super::template::Template;
use crate::contract::ToolId;
use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;

/// Changes whenever the meaning of a field changes or a field is added.
pub const PLAN_VERSION: u32 = SHARED_VERSION;
/// The version of plans that are no more than plain steps.
const STRAIGHT_VERSION: u32 = 1;
/// The version of plans that are trees, and in which every value is as it was given.
const TREE_VERSION: u32 = 2;
/// The version of plans that derive values or hold answers to checks.
const DERIVED_VERSION: u32 = 3;
/// The version of plans whose steps share the code that they have in common.
const SHARED_VERSION: u32 = 4;

/// What a playbook does, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How it is read and emitted: the version that first had everything in it, or that of long plans.
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

    /// A plan of the version that first had everything in it, so that the same plan gives the same component for ever; a long one is of
    /// the version whose steps share code.
    #[must_use]
    pub fn new(goal: String, parameters: Vec<Parameter>, body: Vec<Node>, output: Template) -> Plan {
        let mut plan = Plan { plan_version: PLAN_VERSION, goal, parameters, body, output };
        let long = plan.nodes().len() >= limits::PLAN_SHARED_NODES_MIN;
        plan.plan_version = if long { SHARED_VERSION } else { plan.least_version() };
        plan
    }

    /// True where the code that its steps have in common is to stand once.
    #[must_use]
    pub fn shares_code(&self) -> bool {
        self.plan_version >= SHARED_VERSION
    }

    /// The version that first had everything that is in it.
    #[must_use]
    pub fn least_version(&self) -> u32 {
        if self.derives() || self.steps().any(|step| !step.checks.is_empty()) {
            DERIVED_VERSION
        } else if self.is_straight() {
            STRAIGHT_VERSION
        } else {
            TREE_VERSION
        }
    }

    /// True where it has loops, derived values, the date, or parameters that need not be given or of which more than
    /// their type is known.
    #[must_use]
    pub fn derives(&self) -> bool {
        let derives = |node: &Node| matches!(node, Node::Each(_)) || node.templates().into_iter().any(Template::derives);
        let asks = |node: &Node| matches!(node, Node::Branch(branch) if branch.condition.value.is_derived());
        let nodes = self.nodes();
        self.parameters.iter().any(|p| !p.is_plain()) || self.output.derives() || nodes.into_iter().any(|node| derives(node) || asks(node))
    }

    /// True where one plain step follows another and there is nothing else.
    #[must_use]
    pub fn is_straight(&self) -> bool {
        let plain = |node: &Node| matches!(node, Node::Step(step) if step.options.is_none() && step.compensation.is_none() && step.checks.is_empty());
        self.body.iter().all(plain) && !self.derives() && !self.output.has_default() && self.steps().all(|step| !step.input.has_default())
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

    /// The node's id of one that a journal names: that of a node in a loop says its turns there.
    #[must_use]
    pub fn without_turns<'a>(&self, id: &'a str) -> &'a str {
        let loops = self.nodes().into_iter().any(|node| matches!(node, Node::Each(_)));
        if loops { id.split('[').next().unwrap_or(id) } else { id }
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
        let properties: serde_json::Map<_, _> = self.parameters.iter().map(|p| (p.name.clone(), p.schema_with_default())).collect();
        let required: Vec<&str> = self.parameters.iter().filter(|p| p.default.is_none()).map(|p| p.name.as_str()).collect();
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

    /// `input` with the defaults of the parameters that it lacks: what a job sees.
    #[must_use]
    pub fn completed(&self, input: &serde_json::Value) -> serde_json::Value {
        let mut input = input.clone();
        if let Some(fields) = input.as_object_mut() {
            for (parameter, default) in self.parameters.iter().filter_map(|p| Some((p, p.default.as_ref()?))) {
                fields.entry(parameter.name.clone()).or_insert_with(|| default.value());
            }
        }
        input
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

#[cfg(test)]
mod tests;
