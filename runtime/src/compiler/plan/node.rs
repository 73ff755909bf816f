//! The parts of a plan: what a playbook can do, as a tree.
//!
//! Every node has an id of its own, under which its answer is known to what comes later. A node without arms is one
//! thing that happens; one with arms decides which of them happen. It knows nothing of how any of it is emitted.

use serde::{Deserialize, Serialize};

use super::{Check, Decision, Template};
use crate::compiler::template::Source;
use crate::contract::{Effect, ToolId};
use crate::json::Json;

/// One part of a plan. A sequence is a list of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// One tool call.
    Step(Step),
    /// One of two arms, by a condition.
    Branch(Branch),
    /// Arms that are done side by side, each as a child job of the same component.
    Parallel(Parallel),
    /// What is done, and what is done where that fails.
    Try(Try),
    /// Stands until a time or a signal comes.
    Wait(Wait),
    /// Stands until a person decides.
    Approve(Approve),
    /// Another playbook, as a child job.
    Playbook(StartPlaybook),
    /// The same for each element of a list, one after the other.
    Each(Each),
    /// Ends in failure.
    Fail(Fail),
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
    /// How the call is made, where it is to be otherwise than the job says.
    #[serde(default, skip_serializing_if = "StepOptions::is_none")]
    pub options: StepOptions,
    /// What must hold before the call is made, and of its answer, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What undoes it, called when the job (or the branch) fails or is cancelled after the call succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Box<Step>>,
}

/// How the calls of one step are made; what is none is as the job says. See `step-options` in `wit/playbook.wit`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepOptions {
    /// How often a call is tried in all; 1 is once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// The pause before the second try; doubled before each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_pause_ms: Option<u64>,
    /// Time for one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_timeout_ms: Option<u64>,
    /// Time for the whole step; pauses count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_timeout_ms: Option<u64>,
}

impl Step {
    /// A call that is made as the job says, and that nothing undoes.
    #[must_use]
    pub fn new(id: String, tool: ToolId, effect: Effect, input: Template) -> Step {
        let (options, decisions, checks) = (StepOptions::default(), Vec::new(), Vec::new());
        Step { id, tool, effect, recorded_as: None, input, decisions, options, checks, compensation: None }
    }
}

impl StepOptions {
    /// True where the job's own ways are kept.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == StepOptions::default()
    }
}

/// One of two arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Names the node.
    pub id: String,
    /// What decides.
    #[serde(rename = "if")]
    pub condition: Condition,
    /// Where it holds.
    pub then: Vec<Node>,
    /// Where it does not.
    #[serde(rename = "else")]
    pub otherwise: Vec<Node>,
}

/// A question about one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The value asked about. It need not be there.
    pub value: Source,
    /// What is asked.
    pub is: Test,
    /// What it is compared with, where it is; `null` is something to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub to: Option<Json>,
}

/// A field that is there, be it `null`.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(d).map(Some)
}

/// What can be asked about a value. Of a value that is not there, only `not_equals` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It is `true`, and nothing else.
    True,
    /// Its canonical text is that of the other: `1` and `1.0` differ.
    Equals,
    /// It is anything else, or not there.
    NotEquals,
    /// It is there, be it `null`.
    Exists,
    /// It is a number above the other.
    Greater,
    /// It is a number below the other.
    Less,
}

impl Test {
    /// Every test with its name.
    pub const NAMES: [(&str, Test); 6] = [
        ("true", Test::True),
        ("equals", Test::Equals),
        ("not_equals", Test::NotEquals),
        ("exists", Test::Exists),
        ("greater", Test::Greater),
        ("less", Test::Less),
    ];

    /// True where it needs something to compare with.
    #[must_use]
    pub fn compares(self) -> bool {
        !matches!(self, Test::True | Test::Exists)
    }
}

/// Arms that are done side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parallel {
    /// Names the node.
    pub id: String,
    /// How many ends are waited for.
    pub join: Join,
    /// What is done side by side.
    pub branches: Vec<Vec<Node>>,
}

impl Parallel {
    /// The name of one of its branches, as `flow.branch` says it in the child.
    #[must_use]
    pub fn branch_name(&self, place: usize) -> String {
        format!("{}/{place}", self.id)
    }
}

/// Which ends a [`Parallel`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// All of them. Where one fails, those after it are cancelled and the node fails.
    All,
    /// The first one that ends decides, in success or failure; the others are cancelled.
    First,
}

/// What is done, and what is done where that fails. A cancelled job is not a failed one: its handlers are skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Try {
    /// What is done.
    pub body: Vec<Node>,
    /// What is done where that fails; the plan then goes on. Empty: it goes on at once.
    pub on_failure: Vec<Node>,
}

/// Stands until a time or a signal comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// Names the node.
    pub id: String,
    /// What is waited for.
    pub until: Until,
    /// What is done where the signal did not come in time; none: the node fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Vec<Node>>,
}

/// What a [`Wait`] waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// So many milliseconds.
    SleepMs(u64),
    /// A signal, whose payload is the node's answer.
    #[serde(rename_all = "snake_case")]
    Signal {
        /// The signal's name.
        name: String,
        /// How long at the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
}

/// Stands until a person decides. What the person answered is the node's answer, in both arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Names the node.
    pub id: String,
    /// What is asked, in words.
    pub title: String,
    /// What is shown: exactly what will be done.
    pub request: Template,
    /// How long at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What is done where the person approves, and never otherwise.
    pub approved: Vec<Node>,
    /// What is done where the person rejects; none: the node fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Vec<Node>>,
    /// What is done where nobody decided in time; none: the node fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Vec<Node>>,
}

/// Another playbook, as a child job in the version that is newest then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartPlaybook {
    /// Names the node.
    pub id: String,
    /// The playbook's id.
    pub playbook: String,
    /// How the child's input is made.
    pub input: Template,
}

/// The same for each element of a list, in its order. Where one turn fails, the node fails. Its answer is a list of
/// what each turn gave.
///
/// What the nodes in it answer belongs to one turn and is not known outside of it. In a journal their ids say the turn,
/// counted from 0: `s3[2]` is the third turn's `s3`, and `s4[2][0]` the first turn of a loop within it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// Names the node.
    pub id: String,
    /// How the list is made; what is no list, or too long a one, fails before the first turn.
    pub list: Template,
    /// What is done with each element, which [`Source::Item`] names.
    pub body: Vec<Node>,
    /// What each turn gives; none: the answer of the last node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Template>,
}

impl Each {
    /// What each turn gives; none where that is the answer of the last node and it has none.
    #[must_use]
    pub fn gives(&self) -> Option<Template> {
        let last = || Some(Source::Output { step: self.body.last()?.id()?.to_owned(), pointer: String::new() });
        self.output.clone().or_else(|| last().map(Template::Value))
    }
}

/// Ends in failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// Names the node.
    pub id: String,
    /// What the failure says.
    pub message: Template,
}

impl Node {
    /// Its id; none for a [`Try`], which nothing refers to.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Node::Step(node) => Some(&node.id),
            Node::Branch(node) => Some(&node.id),
            Node::Parallel(node) => Some(&node.id),
            Node::Try(_) => None,
            Node::Wait(node) => Some(&node.id),
            Node::Approve(node) => Some(&node.id),
            Node::Playbook(node) => Some(&node.id),
            Node::Each(node) => Some(&node.id),
            Node::Fail(node) => Some(&node.id),
        }
    }

    /// The tool call that it is.
    #[must_use]
    pub fn step(&self) -> Option<&Step> {
        if let Node::Step(step) = self { Some(step) } else { None }
    }

    /// The lists of nodes in it, in the order of the plan.
    #[must_use]
    pub fn arms(&self) -> Vec<&[Node]> {
        match self {
            Node::Step(_) | Node::Playbook(_) | Node::Fail(_) => Vec::new(),
            Node::Branch(node) => vec![&node.then, &node.otherwise],
            Node::Parallel(node) => node.branches.iter().map(Vec::as_slice).collect(),
            Node::Try(node) => vec![&node.body, &node.on_failure],
            Node::Each(node) => vec![&node.body],
            Node::Wait(node) => node.expired.iter().map(Vec::as_slice).collect(),
            Node::Approve(node) => {
                [Some(&node.approved), node.rejected.as_ref(), node.expired.as_ref()].into_iter().flatten().map(Vec::as_slice).collect()
            }
        }
    }

    pub(in crate::compiler) fn arms_mut(&mut self) -> Vec<&mut Vec<Node>> {
        match self {
            Node::Step(_) | Node::Playbook(_) | Node::Fail(_) => Vec::new(),
            Node::Branch(node) => vec![&mut node.then, &mut node.otherwise],
            Node::Parallel(node) => node.branches.iter_mut().collect(),
            Node::Try(node) => vec![&mut node.body, &mut node.on_failure],
            Node::Each(node) => vec![&mut node.body],
            Node::Wait(node) => node.expired.iter_mut().collect(),
            Node::Approve(node) => {
                [Some(&mut node.approved), node.rejected.as_mut(), node.expired.as_mut()].into_iter().flatten().collect()
            }
        }
    }

    /// What it makes values from, by itself; true where the value has to be there. Arms and compensation are not part of it.
    pub(in crate::compiler) fn for_each_need(&self, visit: &mut impl FnMut(&Source, bool)) {
        match self {
            Node::Step(node) => {
                node.input.for_each_need(visit);
                node.checks.iter().for_each(|check| check.is.for_each_need(visit));
            }
            Node::Branch(node) => visit(&node.condition.value, false),
            Node::Approve(node) => node.request.for_each_need(visit),
            Node::Playbook(node) => node.input.for_each_need(visit),
            Node::Each(node) => {
                node.list.for_each_need(visit);
                if let Some(gives) = node.gives() {
                    gives.for_each_need(visit);
                }
            }
            Node::Fail(node) => node.message.for_each_need(visit),
            Node::Parallel(_) | Node::Try(_) | Node::Wait(_) => {}
        }
    }
}

impl Node {
    /// The templates that it makes values from, by itself; what undoes a step is one of them.
    pub(in crate::compiler) fn templates(&self) -> Vec<&Template> {
        match self {
            Node::Step(node) => {
                let checks = node.checks.iter().map(|check| &check.is);
                std::iter::once(&node.input).chain(checks).chain(node.compensation.as_ref().map(|undo| &undo.input)).collect()
            }
            Node::Approve(node) => vec![&node.request],
            Node::Playbook(node) => vec![&node.input],
            Node::Each(node) => std::iter::once(&node.list).chain(&node.output).collect(),
            Node::Fail(node) => vec![&node.message],
            Node::Branch(_) | Node::Parallel(_) | Node::Try(_) | Node::Wait(_) => Vec::new(),
        }
    }
}

/// Every node, each before those in its arms.
pub fn all(nodes: &[Node]) -> Vec<&Node> {
    let mut found = Vec::new();
    for node in nodes {
        found.push(node);
        node.arms().into_iter().for_each(|arm| found.extend(all(arm)));
    }
    found
}

/// Every step, each followed by the one that undoes it.
pub(super) fn steps_mut<'a>(nodes: &'a mut [Node], into: &mut Vec<&'a mut Step>) {
    for node in nodes {
        match node {
            Node::Step(step) => into.push(step),
            other => other.arms_mut().into_iter().for_each(|arm| steps_mut(arm, into)),
        }
    }
}
