//! Task graphs: JSON that a person, a program or a planner writes, lowered to a plan and compiled like everything else.
//!
//! ```text
//! text ──read──> document ──order──> groups ──lower──> plan ──emit──> component
//! ```
//!
//! It knows the graph's form (`docs/GRAPHS.md`, and [`schema`] for programs) and plans; it knows no jobs. It must stay
//! true that a graph which passes here is emitted, and that one which does not is told everything that is wrong with it at
//! once, each with a JSON pointer into what was sent.

mod bind;
mod document;
mod lower;
mod order;
mod read;

#[cfg(test)]
mod tests;

use super::plan::Plan;
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Digest;
use crate::json::Json;
use crate::limits;
use document::Document;
use order::Groups;

/// The `graph_version` that this version reads.
pub const GRAPH_VERSION: u64 = 1;

/// A task graph that was read and whose form and order are right.
#[derive(Debug, Clone)]
pub struct Graph {
    text: Json,
    document: Document,
    groups: Groups,
}

impl Graph {
    /// Reads a graph.
    ///
    /// # Errors
    /// As [`crate::json::parse`]; `too_large`; `invalid_graph` with an issue for each place that is wrong. Whether the tools
    /// are there is asked by [`Graph::lower`].
    pub fn parse(text: &[u8]) -> Result<Graph> {
        if text.len() > limits::JSON_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the graph has {} bytes; at most {}", text.len(), limits::JSON_BYTES_MAX)));
        }
        Graph::of(&crate::json::parse(text)?)
    }

    /// As [`Graph::parse`], of JSON that was read already.
    ///
    /// # Errors
    /// `invalid_graph`.
    pub fn of(value: &serde_json::Value) -> Result<Graph> {
        let (document, mut issues) = read::document(value);
        let groups = order::groups(&document, &mut issues);
        let graph = Graph { text: Json::from(value), document, groups };
        if issues.is_empty() {
            // What is bound to what is asked of the plan, which only a graph of right form and order has.
            let (plan, _) = graph.plan(&|_| Some(Effect::Once));
            issues = graph.faults(&plan);
        }
        if issues.is_empty() { Ok(graph) } else { Err(invalid(issues)) }
    }

    /// What it is for.
    #[must_use]
    pub fn goal(&self) -> &str {
        &self.document.goal
    }

    /// The graph as it was sent, in canonical form.
    #[must_use]
    pub fn text(&self) -> &Json {
        &self.text
    }

    /// SHA-256 of [`Graph::text`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.text.digest()
    }

    /// The plan that does what the graph says. `effects` says what repeating a tool's call does; none where there is no
    /// such tool. Tools under `agent/` are performed outside and need not be known.
    ///
    /// # Errors
    /// `invalid_graph` that lists every unknown tool.
    pub fn lower(&self, effects: impl Fn(&ToolId) -> Option<Effect>) -> Result<Plan> {
        let (plan, mut issues) = self.plan(&effects);
        issues.extend(self.faults(&plan));
        if issues.is_empty() { Ok(plan) } else { Err(invalid(issues)) }
    }

    fn plan(&self, effects: &dyn Fn(&ToolId) -> Option<Effect>) -> (Plan, Vec<Issue>) {
        lower::plan(&self.document, &self.groups, effects)
    }

    /// What the plan's own check finds, in terms of the graph.
    fn faults(&self, plan: &Plan) -> Vec<Issue> {
        let mut issues: Vec<Issue> = super::plan::check::faults(plan).into_iter().filter_map(|fault| self.document.issue(fault)).collect();
        if issues.is_empty()
            && let Err(e) = Plan::parse(plan.to_json().as_str().as_bytes())
        {
            issues.push(Issue { path: "/nodes".to_owned(), message: e.message });
        }
        issues
    }
}

fn invalid(issues: Vec<Issue>) -> Error {
    const SPELLED_OUT: usize = 3;
    let spelled = issues.iter().take(SPELLED_OUT).map(|issue| format!("{}: {}", issue.path, issue.message));
    let more = issues.len().saturating_sub(SPELLED_OUT);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let message = format!("the graph is not valid: {}{more}", spelled.collect::<Vec<_>>().join("; "));
    Error::new(Code::InvalidGraph, message).with_issues(issues)
}

/// The form of a graph as JSON Schema, for editors, planners and the HTTP interface. It says what a form can say; what it
/// cannot, [`Graph::parse`] does.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::from_str(include_str!("graph.schema.json")).expect("the file is JSON; a test reads it")
}
