//! Lifts a recorded run into a plan: drops what did not count, finds the data flow, gives a reason for each.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dataflow::Origins;
use super::plan::{Node, Parameter, Plan, Step, StepOptions};
use super::recorded;
use super::template::{Source, Template};
use super::trace::{Attempt, Trace};
use crate::checks::Spec;
use crate::contract::Effect;
use crate::error::{Code, Error, Result};
use crate::runs::StepStatus;

/// A plan, and what lifting it left behind.
#[derive(Debug, Clone)]
pub struct Lifted {
    /// What a playbook will do.
    pub plan: Plan,
    /// Places in the trace of the steps that the plan kept, in order.
    pub kept: Vec<usize>,
    /// Recorded steps that did not become part of the plan.
    pub dropped: Vec<Dropped>,
    /// Fields of the run's inputs that no step uses.
    pub unused_inputs: Vec<String>,
    /// Recorded conditions that the recording itself does not fulfil, by step, with the reason.
    pub contradicted: Vec<(String, Spec, String)>,
}

/// A recorded step that did not become part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dropped {
    /// `s1`, `s2`, ... by place in the run.
    pub step: String,
    /// The tool it called.
    pub tool: String,
    /// Why it is not part of the plan.
    pub reason: String,
    /// True where it repeated the step before it.
    pub duplicate: bool,
}

/// Lifts `trace`.
///
/// # Errors
/// `replay_compile_no_steps` where nothing is left.
pub fn lift(trace: &Trace) -> Result<Lifted> {
    let (kept, dropped) = sift(trace);
    if kept.is_empty() {
        return Err(Error::new(Code::ReplayCompileNoSteps, "the run has no successful step; a playbook needs at least one"));
    }
    let mut origins = Origins::of_inputs(&trace.inputs);
    let (mut body, mut contradicted) = (Vec::new(), Vec::new());
    for attempt in kept.iter().map(|at| &trace.attempts[*at]) {
        let mut decisions = Vec::new();
        let input = origins.explain("", &attempt.bound.input, &mut decisions).simplified();
        let (checks, not_so) = recorded::lifted(&attempt.checks, &attempt.output, &origins);
        contradicted.extend(not_so.into_iter().map(|(spec, why)| (attempt.id.clone(), spec, why)));
        origins.learn(&attempt.id, &attempt.bound.input, &attempt.output);
        let Attempt { id, bound, .. } = attempt;
        body.push(Node::Step(Step {
            id: id.clone(),
            tool: bound.tool.clone(),
            effect: bound.effect,
            recorded_as: bound.recorded_as.clone(),
            input,
            decisions,
            options: StepOptions::default(),
            checks,
            compensation: None,
        }));
    }
    let last = &trace.attempts[*kept.last().expect("looked at above")];
    let output = match &trace.output {
        Some(recorded) => origins.explain("", recorded, &mut Vec::new()).simplified(),
        None => Template::Value(Source::Output { step: last.id.clone(), pointer: String::new() }),
    };
    let mut plan = Plan::new(trace.goal.clone(), Vec::new(), body, output);
    plan.parameters = parameters(&plan, &trace.inputs);
    let used = |name: &String| plan.parameters.iter().any(|p| p.name == *name);
    let unused_inputs = trace.inputs.as_object().into_iter().flatten().map(|(name, _)| name.clone()).filter(|name| !used(name)).collect();
    plan.check()?;
    Ok(Lifted { plan, kept, dropped, unused_inputs, contradicted })
}

/// Places of the steps that count.
pub(super) fn kept(trace: &Trace) -> Vec<usize> {
    sift(trace).0
}

/// Places of the steps that count, and the others with the reason.
pub(super) fn sift(trace: &Trace) -> (Vec<usize>, Vec<Dropped>) {
    let mut why: Vec<Option<(String, bool)>> = trace.attempts.iter().map(|a| failed(a).map(|reason| (reason, false))).collect();
    let mut previous: Option<usize> = None;
    for (at, attempt) in trace.attempts.iter().enumerate() {
        if why[at].is_some() {
            continue;
        }
        match previous {
            Some(before) if repeats(attempt, &trace.attempts[before]) => {
                why[at] = Some((format!("the same call with the same answer as {}, just before it", trace.attempts[before].id), true));
            }
            _ => previous = Some(at),
        }
    }
    only_for_dropped(trace, &mut why);
    let kept = (0..trace.attempts.len()).filter(|at| why[*at].is_none()).collect();
    let dropped = trace.attempts.iter().zip(why).filter_map(|(attempt, why)| {
        let (reason, duplicate) = why?;
        Some(Dropped { step: attempt.id.clone(), tool: attempt.bound.tool.to_string(), reason, duplicate })
    });
    (kept, dropped.collect())
}

fn failed(attempt: &Attempt) -> Option<String> {
    match attempt.status {
        Some(StepStatus::Success) => None,
        Some(status) => {
            let error = attempt.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
            Some(format!("ended as {}{error}", status.as_str()))
        }
        None => Some("has no recorded answer".to_owned()),
    }
}

/// A repeat of a call that may be repeated. Two equal `once` calls may both have been meant.
fn repeats(attempt: &Attempt, before: &Attempt) -> bool {
    let same = attempt.bound.tool == before.bound.tool && attempt.bound.input == before.bound.input && attempt.output == before.output;
    same && attempt.bound.effect != Effect::Once && !attempt.repaired && !before.repaired
}

/// Drops reads whose answers went into dropped steps and nowhere else. From the back, so that a read that
/// only a dropped read used goes too.
fn only_for_dropped(trace: &Trace, why: &mut [Option<(String, bool)>]) {
    // Where nothing was dropped, nothing went into what was; finding out what went where takes longer than all the rest.
    if why.iter().all(Option::is_none) {
        return;
    }
    let failed: Vec<bool> = why.iter().map(Option::is_some).collect();
    let users = users(trace, &failed);
    for at in (0..trace.attempts.len()).rev() {
        let reads = trace.attempts[at].bound.effect.touches_nothing();
        let Some(first) = users[at].first().filter(|_| reads && why[at].is_none()) else { continue };
        if users[at].iter().all(|user| why.get(*user).is_some_and(Option::is_some)) {
            why[at] = Some((format!("only {} used its answer", trace.attempts[*first].id), false));
        }
    }
}

/// For each step, the places of the later steps whose inputs its answer flows into; the run's own output is
/// the place after the last.
fn users(trace: &Trace, failed: &[bool]) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); trace.attempts.len()];
    let mut origins = Origins::of_inputs(&trace.inputs);
    let inputs = trace.attempts.iter().map(|a| &a.bound.input).chain(&trace.output);
    for (at, input) in inputs.enumerate() {
        origins.explain("", input, &mut Vec::new()).for_each_source(&mut |source| {
            if let Source::Output { step, .. } = source
                && let Some(from) = trace.attempts.iter().position(|a| a.id == *step)
                && users[from].last() != Some(&at)
            {
                users[from].push(at);
            }
        });
        // What a dropped attempt answered is nobody's origin: the plan will not have it.
        if let Some(attempt) = trace.attempts.get(at).filter(|_| !failed[at]) {
            origins.learn(&attempt.id, &attempt.bound.input, &attempt.output);
        }
    }
    users
}

/// A parameter for each input that the plan uses.
fn parameters(plan: &Plan, inputs: &Value) -> Vec<Parameter> {
    let mut used = std::collections::BTreeSet::new();
    let mut note = |source: &Source| {
        if let Source::Parameter { name, .. } = source {
            used.insert(name.clone());
        }
    };
    plan.nodes().into_iter().for_each(|node| node.for_each_need(&mut |source, _| note(source)));
    plan.output.for_each_source(&mut note);
    let parameter = |name: String| {
        let sample = &inputs[&name];
        Parameter::required(name, type_of(sample), sample.into())
    };
    used.into_iter().map(parameter).collect()
}

/// JSON Schema's name for the type of `value`.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
