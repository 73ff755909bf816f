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

use std::collections::BTreeSet;

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
    let everything = uses(plan);
    for node in plan.nodes() {
        let Node::Parallel(parallel) = node else { continue };
        for (place, nodes) in parallel.branches.iter().enumerate() {
            parts.push(branch(parallel.branch_name(place), nodes, &everything));
        }
    }
    parts
}

/// Who needs what: the node's id (none for the plan's output), the value, and whether it is for undoing the node.
fn uses(plan: &Plan) -> Vec<(Option<&str>, Source, bool)> {
    let mut uses = Vec::new();
    for node in plan.nodes() {
        node.for_each_need(&mut |source, _| uses.push((node.id(), source.clone(), false)));
        if let Node::Step(Step { compensation: Some(undo), .. }) = node {
            undo.input.for_each_source(&mut |source| uses.push((node.id(), source.clone(), true)));
        }
    }
    plan.output.for_each_source(&mut |source| uses.push((None, source.clone(), false)));
    uses
}

fn branch<'a>(name: String, nodes: &'a [Node], everything: &[(Option<&str>, Source, bool)]) -> Part<'a> {
    let inside: BTreeSet<&str> = all(nodes).into_iter().filter_map(Node::id).collect();
    let made_inside = |source: &Source| matches!(source, Source::Output { step, .. } if inside.contains(step.as_str()));
    let used_inside = |user: &Option<&str>| user.is_some_and(|id| inside.contains(id));
    let (mut needs, mut gives) = (BTreeSet::new(), BTreeSet::new());
    for (user, source, undoing) in everything {
        match (used_inside(user), made_inside(source)) {
            (true, false) => {
                needs.insert(source.clone());
            }
            // Who started the branch also undoes it, once the branch itself is over.
            (inside, true) if !inside || *undoing => {
                gives.insert(source.clone());
            }
            _ => {}
        }
    }
    Part { name: Some(name), nodes, needs, gives, undoable: undoable(nodes) }
}

fn undoable(nodes: &[Node]) -> Vec<&Step> {
    all(nodes).into_iter().filter_map(Node::step).filter(|step| step.compensation.is_some()).collect()
}

/// The field of the object under which a value stands, and its key there.
pub(super) fn member(source: &Source) -> (&'static str, String) {
    match source {
        Source::Parameter { name, pointer } => ("input", format!("{}{pointer}", below("", name))),
        Source::Output { step, pointer } => ("outputs", format!("{step}{pointer}")),
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
