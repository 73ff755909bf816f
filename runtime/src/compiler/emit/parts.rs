//! The parts of a plan that run in jobs of their own: the main one, and each branch of each parallel node.
//!
//! A branch gets one JSON object with every value that it needs from before, and gives one back with what later
//! nodes need and with what it did that can be undone:
//!
//! ```text
//! in   {"input": {"/order": ...},             "outputs": {"s1": ..., "s1/json/name": ...}}
//! out  {"done":  {"reserve": true},           "outputs": {"s4/id": ...}}
//! ```
//!
//! A key is the pointer into the job's input, or a node's id and the pointer into its answer. What was not there is left out.
//! Where the branch asks for the date, or for the element of a loop around it, `others` stands behind `outputs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::compiler::plan::{Node, Plan, Step, all};
use crate::compiler::template::Source;
use crate::json::below;

/// A part of a plan that is one job.
pub(super) struct Part<'a> {
    /// As `flow.branch` says it; none for the main part.
    pub name: Option<String>,
    /// What it does.
    pub nodes: &'a [Node],
    /// Values from before that it needs.
    pub needs: BTreeSet<Source>,
    /// Values of its own that are needed after it.
    pub gives: BTreeSet<Source>,
    /// Steps in it that can be undone, in the order of the plan, those in branches of its own included.
    pub undoable: Vec<&'a Step>,
}

/// The main part, and then every branch in the order of the plan.
pub(super) fn of(plan: &Plan) -> Vec<Part<'_>> {
    let mut parts =
        vec![Part { name: None, nodes: &plan.body, needs: BTreeSet::new(), gives: BTreeSet::new(), undoable: undoable(&plan.body) }];
    let uses = Uses::of(plan);
    for node in plan.nodes() {
        let Node::Parallel(parallel) = node else { continue };
        for (place, nodes) in parallel.branches.iter().enumerate() {
            parts.push(uses.branch(parallel.branch_name(place), nodes));
        }
    }
    parts
}

/// One value that one node needs.
struct Use<'a> {
    /// None for the plan's output.
    by: Option<&'a str>,
    source: Source,
    /// True where it is for undoing the node.
    undoing: bool,
}

impl Use<'_> {
    /// The node that gives the value; none for the job's input.
    fn giver(&self) -> Option<&str> {
        match &self.source {
            Source::Output { step: id, .. } | Source::Item { each: id, .. } => Some(id),
            Source::Parameter { .. } | Source::Today => None,
        }
    }
}

/// Who needs what of whom.
struct Uses<'a> {
    all: Vec<Use<'a>>,
    /// Places in `all`, by who needs the value and by who gives it.
    by: BTreeMap<String, Vec<usize>>,
    of: BTreeMap<String, Vec<usize>>,
}

impl<'a> Uses<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut all = Vec::new();
        for node in plan.nodes() {
            node.for_each_need(&mut |source, _| all.push(Use { by: node.id(), source: source.clone(), undoing: false }));
            if let Node::Step(Step { compensation: Some(undo), .. }) = node {
                undo.input.for_each_source(&mut |source| all.push(Use { by: node.id(), source: source.clone(), undoing: true }));
            }
        }
        plan.output.for_each_source(&mut |source| all.push(Use { by: None, source: source.clone(), undoing: false }));
        let mut uses = Uses { all, by: BTreeMap::new(), of: BTreeMap::new() };
        for (at, each) in uses.all.iter().enumerate() {
            if let Some(id) = each.by {
                uses.by.entry(id.to_owned()).or_default().push(at);
            }
            if let Some(id) = each.giver() {
                uses.of.entry(id.to_owned()).or_default().push(at);
            }
        }
        uses
    }

    fn branch(&self, name: String, nodes: &'a [Node]) -> Part<'a> {
        let inside: BTreeSet<&str> = all(nodes).into_iter().filter_map(Node::id).collect();
        let among = |index: &BTreeMap<String, Vec<usize>>| -> Vec<&Use<'a>> {
            inside.iter().filter_map(|id| index.get(*id)).flatten().map(|at| &self.all[*at]).collect()
        };
        let from_before = |each: &&Use<'_>| !each.giver().is_some_and(|id| inside.contains(id));
        // Who started the branch also undoes it, once the branch itself is over.
        let for_later = |each: &&Use<'_>| each.undoing || !each.by.is_some_and(|id| inside.contains(id));
        Part {
            name: Some(name),
            nodes,
            needs: among(&self.by).into_iter().filter(from_before).map(|each| each.source.clone()).collect(),
            gives: among(&self.of).into_iter().filter(for_later).map(|each| each.source.clone()).collect(),
            undoable: undoable(nodes),
        }
    }
}

fn undoable(nodes: &[Node]) -> Vec<&Step> {
    all(nodes).into_iter().filter_map(Node::step).filter(|step| step.compensation.is_some()).collect()
}

/// The field of the object under which a value stands, and its key there.
pub(super) fn member(source: &Source) -> (&'static str, String) {
    match source {
        Source::Parameter { name, pointer } => ("input", format!("{}{pointer}", below("", name))),
        Source::Output { step, pointer } => ("outputs", format!("{step}{pointer}")),
        Source::Item { each, pointer } => ("others", format!("{each}{pointer}")),
        // No node is called like this.
        Source::Today => ("others", "/today".to_owned()),
    }
}

/// The pointer to it there.
pub(super) fn pointer_to(source: &Source) -> String {
    let (field, key) = member(source);
    below(&format!("/{field}"), &key)
}

/// The pointer to the mark that a step was done.
pub(super) fn pointer_to_done(step: &str) -> String {
    below("/done", step)
}
