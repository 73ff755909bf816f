//! A graph as it was written: nodes by id, each with the ids that it names.

use crate::compiler::plan::check::Fault;
use crate::compiler::plan::{Condition, Join, Parameter, StepOptions, Until};
use crate::compiler::template::Template;
use crate::contract::ToolId;
use crate::error::Issue;

/// A graph whose fields were read. Where something was wrong, an issue says so and something plain stands in its place.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub goal: String,
    pub parameters: Vec<Parameter>,
    pub nodes: Vec<Written>,
    pub output: Template,
}

/// One node of a graph.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub id: String,
    /// Ids of nodes that come before it; none: the one before it in its list.
    pub after: Option<Vec<String>>,
    pub on_failure: OnFailure,
    pub kind: Kind,
}

/// What is done where a node fails.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OnFailure {
    /// The job fails.
    Stop,
    /// What comes after it goes on.
    Continue,
    /// These, and then what comes after it.
    Nodes(Vec<String>),
}

/// What is done where a wait came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Otherwise {
    /// The node fails.
    Fail,
    /// These, and then what comes after it.
    Nodes(Vec<String>),
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Tool { tool: ToolId, input: Template, options: StepOptions, compensate: Option<(ToolId, Template)> },
    Playbook { playbook: String, input: Template },
    Approval { title: String, asks: Asks, then: Vec<String>, timeout_ms: Option<u64>, on_reject: Otherwise, on_expire: Otherwise },
    Wait { until: Until, on_expire: Otherwise },
    Condition { condition: Condition, then: Vec<String>, otherwise: Vec<String> },
    Parallel { branches: Vec<Vec<String>>, join: Join },
    Each { list: Template, body: Vec<String>, give: Option<Template> },
    Fail { message: Template },
}

/// What an approval shows.
#[derive(Debug, Clone)]
pub(super) enum Asks {
    /// What this node will do, which is done once it is approved.
    For(String),
    /// This.
    Show(Template),
}

/// A list of ids in a node.
pub(super) struct Arm<'a> {
    /// JSON pointer below the node.
    pub field: String,
    pub ids: &'a [String],
    /// True where it runs whenever its node came to its end.
    pub always: bool,
}

impl Written {
    /// True for an approval after which the graph goes on though nobody approved.
    pub(super) fn goes_on_unapproved(&self) -> bool {
        let fails = |otherwise: &Otherwise| *otherwise == Otherwise::Fail;
        matches!(&self.kind, Kind::Approval { on_reject, on_expire, .. } if !fails(on_reject) || !fails(on_expire))
    }

    /// The lists of nodes that belong to it, in the order of the plan's arms.
    pub(super) fn arms(&self) -> Vec<Arm<'_>> {
        let arm = |field: &str, ids| Arm { field: field.to_owned(), ids, always: false };
        let other = |field: &str, otherwise| match otherwise {
            &Otherwise::Fail => None,
            Otherwise::Nodes(ids) => Some(arm(field, ids.as_slice())),
        };
        let mut arms: Vec<Arm<'_>> = match &self.kind {
            Kind::Tool { .. } | Kind::Playbook { .. } | Kind::Fail { .. } => Vec::new(),
            Kind::Approval { asks, then, on_reject, on_expire, .. } => {
                let always = !self.goes_on_unapproved();
                let approved = |field: &str, ids| Arm { field: field.to_owned(), ids, always };
                let guarded = if let Asks::For(id) = asks { Some(approved("/for", std::slice::from_ref(id))) } else { None };
                let arms = [guarded, Some(approved("/then", then)), other("/on_reject", on_reject), other("/on_expire", on_expire)];
                arms.into_iter().flatten().collect()
            }
            Kind::Wait { on_expire, .. } => other("/on_expire", on_expire).into_iter().collect(),
            // A list may have no element, so that nothing in it may run.
            Kind::Each { body, .. } => vec![arm("/do", body)],
            Kind::Condition { then, otherwise, .. } => vec![arm("/then", then), arm("/else", otherwise)],
            Kind::Parallel { branches, .. } => {
                branches.iter().enumerate().map(|(n, ids)| Arm { field: format!("/branches/{n}"), ids, always: true }).collect()
            }
        };
        if let OnFailure::Nodes(ids) = &self.on_failure {
            arms.push(arm("/on_failure", ids));
        }
        arms
    }
}

impl Document {
    /// The place of a node by its id.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// A fault of the plan in terms of the graph; none where another one says the same.
    pub(super) fn issue(&self, fault: Fault) -> Option<Issue> {
        let Some(place) = fault.node.as_deref().and_then(|id| self.place(id)) else {
            // What is wrong with the plan's body as a whole is wrong with the graph's nodes.
            let path = if fault.part.is_empty() || fault.part == "/body" { "/nodes".to_owned() } else { fault.part };
            return Some(Issue { path, message: fault.message });
        };
        let renamed = |from: &str, to: &str| fault.part.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        let guards = matches!(self.nodes[place].kind, Kind::Approval { asks: Asks::For(_), .. });
        if guards && fault.part.starts_with("/request") {
            // What is shown is made as the guarded node's input, whose own fault this is.
            return None;
        }
        let loops = matches!(self.nodes[place].kind, Kind::Each { .. });
        let part = if loops { renamed("/output", "/give").or_else(|| renamed("/body", "/do")) } else { None };
        let part = part
            .or_else(|| renamed("/request", "/show"))
            .or_else(|| renamed("/compensation", "/compensate"))
            .or_else(|| renamed("/until/signal/name", "/signal"))
            .unwrap_or(fault.part);
        Some(Issue { path: format!("/nodes/{place}{part}"), message: fault.message })
    }
}
