//! A graph in order becomes a plan: each kind of node is one node of the plan, or a small tree of them.

use super::document::{Asks, Document, Kind, OnFailure, Otherwise, Written};
use super::order::Groups;
use crate::compiler::plan::{Approve, Branch, Each, Fail, Node, Parallel, Plan, StartPlaybook, Step, Try, Wait};
use crate::compiler::template::Template;
use crate::contract::{Effect, ToolId};
use crate::error::Issue;
use crate::json::Json;

/// What undoing a node is called, after the node's id.
pub(super) const UNDO: &str = ".undo";

struct Lowering<'a> {
    document: &'a Document,
    groups: &'a Groups,
    effects: &'a dyn Fn(&ToolId) -> Option<Effect>,
    issues: Vec<Issue>,
}

/// The plan, and an issue for each tool that is not there.
pub(super) fn plan(document: &Document, groups: &Groups, effects: &dyn Fn(&ToolId) -> Option<Effect>) -> (Plan, Vec<Issue>) {
    let mut lowering = Lowering { document, groups, effects, issues: Vec::new() };
    let body = lowering.list(&groups.top);
    let plan = Plan::new(document.goal.clone(), document.parameters.clone(), body, document.output.clone());
    (plan, lowering.issues)
}

impl Lowering<'_> {
    fn list(&mut self, nodes: &[usize]) -> Vec<Node> {
        nodes.iter().map(|node| self.node(*node)).collect()
    }

    fn arm(&mut self, node: usize, field: &str) -> Vec<Node> {
        let groups = self.groups;
        self.list(groups.arm(node, field))
    }

    fn otherwise(&mut self, node: usize, field: &str, otherwise: &Otherwise) -> Option<Vec<Node>> {
        (*otherwise != Otherwise::Fail).then(|| self.arm(node, field))
    }

    fn node(&mut self, at: usize) -> Node {
        let document = self.document;
        let written = &document.nodes[at];
        let plain = self.plain(at, written);
        match written.on_failure {
            OnFailure::Stop => plain,
            OnFailure::Continue => Node::Try(Try { body: vec![plain], on_failure: Vec::new() }),
            OnFailure::Nodes(_) => Node::Try(Try { body: vec![plain], on_failure: self.arm(at, "/on_failure") }),
        }
    }

    fn plain(&mut self, at: usize, written: &Written) -> Node {
        let id = written.id.clone();
        match &written.kind {
            Kind::Tool { tool, input, options, compensate } => {
                let compensation = compensate.as_ref().map(|(undo, input)| {
                    let effect = self.effect(undo, at, "/compensate/tool");
                    Box::new(step(format!("{id}{UNDO}"), undo, effect, input))
                });
                let effect = self.effect(tool, at, "/tool");
                Node::Step(Step { options: *options, compensation, ..step(id, tool, effect, input) })
            }
            Kind::Playbook { playbook, input } => Node::Playbook(StartPlaybook { id, playbook: playbook.clone(), input: input.clone() }),
            Kind::Approval { title, asks, timeout_ms, on_reject, on_expire, .. } => {
                let request = match asks {
                    Asks::For(guarded) => self.shown(guarded),
                    Asks::Show(show) => show.clone(),
                };
                let approved = self.arm(at, "/then");
                let rejected = self.otherwise(at, "/on_reject", on_reject);
                let expired = self.otherwise(at, "/on_expire", on_expire);
                Node::Approve(Approve { id, title: title.clone(), request, timeout_ms: *timeout_ms, approved, rejected, expired })
            }
            Kind::Wait { until, on_expire } => {
                let expired = self.otherwise(at, "/on_expire", on_expire);
                Node::Wait(Wait { id, until: until.clone(), expired })
            }
            Kind::Condition { condition, .. } => {
                let (then, otherwise) = (self.arm(at, "/then"), self.arm(at, "/else"));
                Node::Branch(Branch { id, condition: condition.clone(), then, otherwise })
            }
            Kind::Parallel { branches, join } => {
                let branches = (0..branches.len()).map(|n| self.arm(at, &format!("/branches/{n}"))).collect();
                Node::Parallel(Parallel { id, join: *join, branches })
            }
            Kind::Each { list, give, .. } => Node::Each(Each { id, list: list.clone(), body: self.arm(at, "/do"), output: give.clone() }),
            Kind::Fail { message } => Node::Fail(Fail { id, message: message.clone() }),
        }
    }

    /// Exactly what a guarded node will do, made as it will be made.
    fn shown(&self, guarded: &str) -> Template {
        let text = |text: &str| Template::Constant(Json::from(&serde_json::Value::from(text)));
        let object = |what: &str, name: String, input: &Template| {
            Template::Object([(what.to_owned(), text(&name)), ("input".to_owned(), input.clone())].into_iter().collect()).simplified()
        };
        match self.document.nodes.iter().find(|node| node.id == guarded).map(|node| &node.kind) {
            Some(Kind::Tool { tool, input, .. }) => object("tool", tool.to_string(), input),
            Some(Kind::Playbook { playbook, input }) => object("playbook", playbook.clone(), input),
            _ => text(guarded),
        }
    }

    fn effect(&mut self, tool: &ToolId, at: usize, field: &str) -> Effect {
        match (self.effects)(tool) {
            Some(effect) => effect,
            None => {
                if !tool.is_external() {
                    let message =
                        format!("there is no tool {tool}; `reprise tools list` shows what there is, and agent/<name> is performed outside");
                    self.issues.push(Issue { path: format!("/nodes/{at}{field}"), message });
                }
                Effect::Once
            }
        }
    }
}

fn step(id: String, tool: &ToolId, effect: Effect, input: &Template) -> Step {
    Step {
        id,
        tool: tool.clone(),
        effect,
        recorded_as: None,
        input: input.clone(),
        decisions: Vec::new(),
        options: Default::default(),
        checks: Vec::new(),
        compensation: None,
    }
}
