//! A repair out of a recording: a run in which an agent got past the step at which a playbook fails.
//!
//! The run is aligned with the plan by tool and input: a recorded call that is what a step would have called, with the run's own
//! inputs and answers, is that step. Up to the point of failure all steps must be there, since their effects stand; from there
//! on what the run did otherwise comes in the place of what the plan says. A call that another step speaks of keeps its step: the
//! call of the run stands in for it, so that what was learned of the steps after it holds on. It comes as a patch like any other,
//! so that a person can read it, and nothing that a patch may not do is done by it. Nothing is guessed: what aligns badly is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::lift::{self, Lifted};
use super::plan::{Plan, Step};
use super::template::{Known, Source, Template};
use super::trace::{Attempt, Trace};
use super::{Bindings, Options};
use crate::error::{Code, Error, Result};
use crate::json::Json;
use crate::runs::Run;
use crate::tools::Registry;

/// The patch that makes `plan` do what `run` did from the step `failing` on; without one, from the first step on that the run
/// did not make.
///
/// # Errors
/// `not_compilable` where the run does not do what the plan does before that step, where the two do the same, or where the plan
/// is more than one step after the other; what compiling the run would fail with.
pub fn splice(plan: &Plan, run: &Run, failing: Option<&str>, tools: &Registry, options: &Options) -> Result<Json> {
    super::require_success(run, options)?;
    let steps = straight(plan)?;
    let at = match failing {
        None => None,
        Some(id) => Some(steps.iter().position(|step| step.id == id).ok_or_else(|| no_such_step(id, &steps))?),
    };
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    // Conditions and signatures go along as they were recorded: with placeholders, as everything else.
    let run = &super::hide::run(run, &bindings);
    let mut trace = Trace::of(run, &bindings);
    let Lifted { kept, .. } = lift::lift(&trace)?;
    let Aligned { steps: aligned, standing_in } = align(plan, &steps, &trace, &kept);
    let made = |at: &usize| aligned.iter().any(|(place, step)| step == at && !standing_in.contains_key(place));
    let first_missing = (0..steps.len()).find(|at| !made(at));
    let at = match (at, first_missing) {
        (Some(at), Some(missing)) if missing < at => return Err(leaves_out(run, steps[missing], steps[at])),
        (Some(at), _) => at,
        (None, missing) => missing.unwrap_or(steps.len()),
    };
    rename(&mut trace, plan, &aligned, &steps);
    let mut spliced = lift::lift(&trace)?;
    let left = super::hide::left_in(&spliced.plan);
    if !left.is_empty() {
        super::hide::replace(&mut trace, &left);
        spliced = lift::lift(&trace)?;
    }
    let Lifted { plan: spliced, kept, .. } = spliced;
    let patch = patch(plan, run, &steps, &spliced, &Aligned { steps: aligned, standing_in }, &kept);
    if patch.is_empty() {
        return Err(Error::new(
            Code::NotCompilable,
            format!("run {} does what the playbook does; there is nothing to repair from step {}", run.run_id, named(&steps, at)),
        ));
    }
    Ok(Json::from(&Value::Object(patch)))
}

fn named(steps: &[&Step], at: usize) -> String {
    steps.get(at).map_or_else(|| "the last one".to_owned(), |step| step.id.clone())
}

/// The steps of a plan that is no more than one after the other.
fn straight(plan: &Plan) -> Result<Vec<&Step>> {
    let steps: Option<Vec<&Step>> = plan.body.iter().map(|node| node.step().filter(|step| step.compensation.is_none())).collect();
    steps.ok_or_else(|| {
        let message = "a run is spliced into a playbook whose steps stand one after the other; this one has branches, loops or the like: \
                       send a patch, or learn a new version from several runs";
        Error::new(Code::NotCompilable, message)
    })
}

fn no_such_step(id: &str, steps: &[&Step]) -> Error {
    let known: Vec<&str> = steps.iter().take(20).map(|step| step.id.as_str()).collect();
    Error::invalid("/failing_step", format!("there is no step {id:?}; there are {}", known.join(", ")))
}

fn leaves_out(run: &Run, missing: &Step, failing: &Step) -> Error {
    let message = format!(
        "run {} does not make the call of step {} ({}), which stands before the failing step {}; a run is spliced in where it does the same up to there",
        run.run_id, missing.id, missing.tool, failing.id
    );
    Error::new(Code::NotCompilable, message).with_details(json!({"step": missing.id, "failing_step": failing.id}))
}

/// Which recorded call is which step.
struct Aligned {
    /// Places in the trace to places in the plan, both in order.
    steps: BTreeMap<usize, usize>,
    /// Of those, the calls that are not what their step would have called, with the parts of the step's input that are.
    standing_in: BTreeMap<usize, BTreeMap<String, Template>>,
}

fn align(plan: &Plan, steps: &[&Step], trace: &Trace, kept: &[usize]) -> Aligned {
    let mut aligned = Aligned { steps: BTreeMap::new(), standing_in: BTreeMap::new() };
    let mut outputs: BTreeMap<String, Value> = BTreeMap::new();
    let mut next = 0;
    for (n, at) in kept.iter().enumerate() {
        let attempt = &trace.attempts[*at];
        let is = |step: &&Step| calls(step, attempt, &trace.inputs, &outputs);
        let place = match steps[next..].iter().position(is) {
            Some(skipped) => next + skipped,
            None => {
                let comes_later = |step: &Step| kept[n + 1..].iter().any(|at| calls(step, &trace.attempts[*at], &trace.inputs, &outputs));
                let same = |step: &&&Step| step.tool == attempt.bound.tool && spoken_of(plan, &step.id) && !comes_later(step);
                let Some(step) = steps.get(next).filter(same) else { continue };
                aligned.standing_in.insert(*at, parts_as_recorded(step, attempt, &trace.inputs, &outputs));
                next
            }
        };
        aligned.steps.insert(*at, place);
        outputs.insert(steps[place].id.clone(), attempt.output.clone());
        next = place + 1;
    }
    aligned
}

/// True where another step or what the playbook gives back is made of this step's answer.
fn spoken_of(plan: &Plan, id: &str) -> bool {
    let mut found = false;
    let mut look = |source: &Source| found |= matches!(source, Source::Output { step, .. } if step == id);
    plan.steps().for_each(|step| step.input.for_each_source(&mut look));
    plan.output.for_each_source(&mut look);
    found
}

/// The parts of the step's input that come to what was recorded.
fn parts_as_recorded(step: &Step, attempt: &Attempt, inputs: &Value, outputs: &BTreeMap<String, Value>) -> BTreeMap<String, Template> {
    let known = Known::of(inputs, outputs);
    let Template::Object(fields) = &step.input else { return BTreeMap::new() };
    let same = |(name, part): &(&String, &Template)| {
        let recorded = attempt.bound.input.get(name.as_str());
        part.evaluate(&known).is_ok_and(|value| recorded.is_some_and(|recorded| Json::from(recorded) == Json::from(&value)))
    };
    fields.iter().filter(same).map(|(name, part)| (name.clone(), part.clone())).collect()
}

/// What was lifted of a call that stands in for a step, with the parts of the step that hold on.
fn standing_in(lifted: &Template, holding: &BTreeMap<String, Template>) -> Template {
    let mut fields = match lifted {
        Template::Object(fields) => fields.clone(),
        Template::Constant(constant) => match constant.value() {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), Template::Constant(value.into()))).collect(),
            _ => return lifted.clone(),
        },
        _ => return lifted.clone(),
    };
    fields.extend(holding.iter().map(|(name, part)| (name.clone(), part.clone())));
    Template::Object(fields).simplified()
}

/// True where the step would have made the recorded call, with the run's inputs and answers.
fn calls(step: &Step, attempt: &Attempt, inputs: &Value, outputs: &BTreeMap<String, Value>) -> bool {
    let known = Known::of(inputs, outputs);
    step.tool == attempt.bound.tool && step.input.evaluate(&known).is_ok_and(|value| Json::from(&value) == Json::from(&attempt.bound.input))
}

/// Gives each recorded call the id of its step, and the others ids that the plan does not have: then whatever is lifted from
/// the run speaks of the plan's steps.
fn rename(trace: &mut Trace, plan: &Plan, aligned: &BTreeMap<usize, usize>, steps: &[&Step]) {
    let taken: BTreeSet<&str> = plan.nodes().into_iter().filter_map(super::plan::Node::id).collect();
    let mut fresh = (1..).map(|n| format!("r{n}")).filter(|id| !taken.contains(id.as_str()));
    for (at, attempt) in trace.attempts.iter_mut().enumerate() {
        attempt.id = match aligned.get(&at) {
            Some(step) => steps[*step].id.clone(),
            None => fresh.next().expect("there are more numbers than steps"),
        };
    }
}

/// What was recorded of how a step is held to and asked about goes along with it.
fn hold(said: &mut Value, recorded: &crate::runs::Step) {
    let values = |list: &[Json]| Value::from(list.iter().map(Json::value).collect::<Vec<_>>());
    said["safety_level"] = json!(recorded.safety_level);
    let postconditions = recorded.after.as_ref().map(|after| after.postconditions.as_slice()).unwrap_or_default();
    for (name, list) in [("preconditions", recorded.preconditions.as_slice()), ("postconditions", postconditions)] {
        if !list.is_empty() {
            said[name] = values(list);
        }
    }
    let of = [("expected_output_signature", &recorded.expected_output_signature), ("retry_policy", &recorded.retry_policy)];
    for (name, value) in of {
        if let Some(value) = value {
            said[name] = value.value();
        }
    }
}

/// What is to be taken out of the plan and put in. `kept` are the places of the lifted steps in the trace.
fn patch(plan: &Plan, run: &Run, steps: &[&Step], spliced: &Plan, aligned: &Aligned, kept: &[usize]) -> Map<String, Value> {
    let stay: BTreeSet<usize> = aligned.steps.values().copied().collect();
    let mut changed: Vec<Value> = Vec::new();
    let removed: Vec<&str> = (0..steps.len()).filter(|at| !stay.contains(at)).map(|at| steps[at].id.as_str()).collect();
    let mut inserted: Vec<(Option<&str>, Vec<Value>)> = Vec::new();
    let mut after: Option<&str> = None;
    for (place, node) in kept.iter().zip(&spliced.body) {
        let Some(step) = node.step() else { continue };
        if let Some(at) = aligned.steps.get(place) {
            after = Some(steps[*at].id.as_str());
            if let Some(holding) = aligned.standing_in.get(place) {
                changed.push(json!({"step_id": step.id, "set": {"input": standing_in(&step.input, holding)}}));
            }
            continue;
        }
        let mut said = json!({"step_id": step.id, "tool": step.tool, "input": step.input});
        hold(&mut said, &run.steps[*place]);
        match inserted.last_mut().filter(|(anchor, _)| *anchor == after) {
            Some((_, group)) => group.push(said),
            None => inserted.push((after, vec![said])),
        }
    }
    let mut patch = Map::new();
    if !removed.is_empty() {
        patch.insert("remove_steps".to_owned(), json!(removed));
    }
    if !changed.is_empty() {
        patch.insert("step_patches".to_owned(), changed.into());
    }
    if !inserted.is_empty() {
        let group = |(after, steps): (Option<&str>, Vec<Value>)| match after {
            Some(after) => json!({"step_id": after, "steps": steps}),
            None => json!({"steps": steps}),
        };
        patch.insert("insert_after".to_owned(), inserted.into_iter().map(group).collect());
    }
    if patch.is_empty() {
        return patch;
    }
    let known: BTreeSet<&str> = plan.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let new: Vec<Value> = spliced
        .parameters
        .iter()
        .filter(|parameter| !known.contains(parameter.name.as_str()))
        .map(|parameter| serde_json::to_value(parameter).expect("a parameter has string keys only"))
        .collect();
    if !new.is_empty() {
        patch.insert("parameters".to_owned(), new.into());
    }
    // What the playbook gives back stays, unless it came out of a step that is gone, or of the last step, which is another now.
    let mut lost = false;
    plan.output.for_each_source(&mut |source| {
        if let Source::Output { step, .. } = source {
            lost |= removed.contains(&step.as_str());
        }
    });
    if lost {
        patch.insert("output".to_owned(), serde_json::to_value(&spliced.output).expect("a template has string keys only"));
    }
    patch
}

#[cfg(test)]
mod tests;
