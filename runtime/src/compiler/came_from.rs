//! Which recorded steps the steps of a plan came from, where several runs became one plan.
//!
//! The plan is followed over each run by the tools it calls: a loop any number of times, one arm of a branch. Where more than
//! one way through it fits, a recorded step counts for each plan step that it can have been. It must stay true that no recorded
//! step is left out where it may belong: how strictly a step is held is the strictest of what was recorded for it.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::bindings::Bindings;
use super::lift;
use super::plan::{Node, Plan, Step};
use super::trace::Trace;
use crate::contract::ToolId;
use crate::error::Result;
use crate::runs::{Run, SafetyLevel};
use crate::tools::Registry;

/// What was recorded for a step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CameFrom {
    /// The place of the first run that did it, and the place of the step in that run; none where it cannot be told.
    pub first: Option<(usize, usize)>,
    /// The strictest over everything that it can have come from.
    pub safety_level: SafetyLevel,
}

/// For each step of `plan`, by its id, what it came from in `runs`.
///
/// # Errors
/// `invalid_configuration` for bindings or roots.
pub fn came_from(plan: &Plan, runs: &[Run], tools: &Registry, options: &Options) -> Result<BTreeMap<String, CameFrom>> {
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    let traces: Vec<Trace> = runs.iter().map(|run| Trace::of(run, &bindings)).collect();
    let kept: Vec<Vec<usize>> = traces.iter().map(lift::kept).collect();
    let followed = Ways::through(plan).and_then(|ways| {
        let tools = |at: usize| kept[at].iter().map(|place| &traces[at].attempts[*place].bound.tool).collect::<Vec<_>>();
        (0..runs.len()).map(|at| ways.along(&tools(at))).collect::<Option<Vec<_>>>()
    });
    let Some(followed) = followed else { return Ok(by_tool(plan, runs, &traces, &kept)) };
    let mut found: BTreeMap<String, CameFrom> = BTreeMap::new();
    for (at, run) in followed.into_iter().enumerate() {
        for (steps, place) in run.into_iter().zip(&kept[at]) {
            let recorded = CameFrom { first: Some((at, *place)), safety_level: runs[at].steps[*place].safety_level };
            for step in steps {
                let of = found.entry(step.id.clone()).or_insert(recorded);
                of.safety_level = of.safety_level.stricter(recorded.safety_level);
            }
        }
    }
    Ok(found)
}

/// Where a plan is no longer what the runs did, as after a repair: nothing recorded for the same tool is held less strictly. A step
/// that nothing like it was recorded of is held as strictly as anything that was.
fn by_tool(plan: &Plan, runs: &[Run], traces: &[Trace], kept: &[Vec<usize>]) -> BTreeMap<String, CameFrom> {
    let recorded = || {
        let steps = |(run, trace): (&'_ Run, &'_ Trace)| -> Vec<(ToolId, SafetyLevel)> {
            run.steps.iter().zip(&trace.attempts).map(|(step, attempt)| (attempt.bound.tool.clone(), step.safety_level)).collect()
        };
        runs.iter().zip(traces).flat_map(steps)
    };
    let line = plan.nodes().into_iter().all(|node| matches!(node, Node::Step(_)));
    let of = |step: &Step| {
        let place = step.id.strip_prefix('s').and_then(|number| number.parse::<usize>().ok()?.checked_sub(1)).filter(|_| line);
        let place = place.and_then(|number| kept.first()?.get(number).copied());
        let first = place.filter(|place| traces[0].attempts[*place].bound.tool == step.tool).map(|place| (0, place));
        let alike = recorded().filter(|(tool, _)| *tool == step.tool).map(|(_, level)| level).reduce(SafetyLevel::stricter);
        let any = || recorded().map(|(_, level)| level).fold(SafetyLevel::default(), SafetyLevel::stricter);
        let least = if first.is_some() { SafetyLevel::AutoOk } else { SafetyLevel::default() };
        CameFrom { first, safety_level: alike.unwrap_or_else(any).stricter(least) }
    };
    plan.steps().map(|step| (step.id.clone(), of(step))).collect()
}

/// The orders in which the steps of a plan can come.
struct Ways<'a> {
    steps: Vec<&'a Step>,
    /// For each step, those that can come right after it.
    after: Vec<BTreeSet<usize>>,
    whole: Part,
}

/// A part of a plan: the steps it can begin with and end with, and whether it can be without any.
#[derive(Default)]
struct Part {
    empty: bool,
    first: BTreeSet<usize>,
    last: BTreeSet<usize>,
}

impl<'a> Ways<'a> {
    /// None for a plan with parts that are not learned from runs.
    fn through(plan: &'a Plan) -> Option<Ways<'a>> {
        let mut ways = Ways { steps: Vec::new(), after: Vec::new(), whole: Part::default() };
        ways.whole = ways.sequence(&plan.body)?;
        Some(ways)
    }

    fn sequence(&mut self, nodes: &'a [Node]) -> Option<Part> {
        let mut so_far = Part { empty: true, ..Part::default() };
        for node in nodes {
            let next = self.part(node)?;
            self.joined(&so_far.last, &next.first);
            if so_far.empty {
                so_far.first.extend(&next.first);
            }
            if next.empty {
                so_far.last.extend(next.last);
            } else {
                so_far.last = next.last;
            }
            so_far.empty &= next.empty;
        }
        Some(so_far)
    }

    fn part(&mut self, node: &'a Node) -> Option<Part> {
        match node {
            Node::Step(step) if step.compensation.is_none() => {
                let at = self.steps.len();
                self.steps.push(step);
                self.after.push(BTreeSet::new());
                Some(Part { empty: false, first: BTreeSet::from([at]), last: BTreeSet::from([at]) })
            }
            Node::Branch(branch) => {
                let (mut either, other) = (self.sequence(&branch.then)?, self.sequence(&branch.otherwise)?);
                either.first.extend(other.first);
                either.last.extend(other.last);
                either.empty |= other.empty;
                Some(either)
            }
            Node::Each(each) => {
                let turn = self.sequence(&each.body)?;
                self.joined(&turn.last, &turn.first);
                Some(Part { empty: true, ..turn })
            }
            _ => None,
        }
    }

    fn joined(&mut self, last: &BTreeSet<usize>, first: &BTreeSet<usize>) {
        last.iter().for_each(|at| self.after[*at].extend(first));
    }

    /// For each call of a run, the steps that it can have been; none where no way through the plan makes these calls.
    fn along(&self, calls: &[&ToolId]) -> Option<Vec<Vec<&'a Step>>> {
        let calling = |at: &usize, tool: &ToolId| self.steps[*at].tool == *tool;
        let mut reached: Vec<BTreeSet<usize>> = Vec::new();
        for tool in calls {
            let next: BTreeSet<usize> = match reached.last() {
                None => self.whole.first.clone(),
                Some(before) => before.iter().flat_map(|at| self.after[*at].iter().copied()).collect(),
            };
            reached.push(next.into_iter().filter(|at| calling(at, tool)).collect());
        }
        // Backwards, since what was reached need not lead to the end.
        let mut later: Option<BTreeSet<usize>> = None;
        for here in reached.iter_mut().rev() {
            match &later {
                None => here.retain(|at| self.whole.last.contains(at)),
                Some(later) => here.retain(|at| !self.after[*at].is_disjoint(later)),
            }
            later = Some(here.clone());
        }
        let fits = if calls.is_empty() { self.whole.empty } else { reached.iter().all(|steps| !steps.is_empty()) };
        fits.then(|| reached.iter().map(|steps| steps.iter().map(|at| self.steps[*at]).collect()).collect())
    }
}
