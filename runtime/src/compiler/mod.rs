//! Runs in, proved components out: lift, emit, prove. Task graphs in, components out: lower, emit.
//!
//! It knows runs, tools and the sandbox; it does not know jobs, versions or where a component is kept. It must
//! stay true that no component made from a recording leaves here that was not shown to reproduce it.

mod bindings;
mod came_from;
pub mod cautions;
pub mod componentize;
mod dataflow;
pub mod diff;
pub mod emit;
pub mod graph;
mod hide;
pub mod learn;
mod lift;
pub mod patch;
pub mod plan;
mod prove;
mod recorded;
pub mod rehearse;
pub mod splice;
mod summary;
pub mod template;
mod trace;
pub mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use bindings::{Binding, Bindings};
pub use came_from::{CameFrom, came_from};
pub use dataflow::PERHAPS;
pub use learn::{CameTo, HeldOut, Learned, OpenQuestion, compile_runs};
pub use lift::Dropped;
pub use prove::{Fallback, Held, Mismatch, Proof, Script, prove_all};

use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::json::Json;
use crate::runs::{Run, RunStatus};
use crate::sandbox::{Line, Sandbox};
use crate::tools::Registry;
use emit::Explained;
use lift::Lifted;
use plan::Plan;
use template::Template;
use trace::Trace;

/// How a run is to be compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Take the successful steps of a run that did not end with success.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_partial: bool,
    /// More bindings of recorded tool names; they win over the built-in table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, Binding>,
    /// Recorded directory -> the grant under whose name a job will see it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roots: BTreeMap<String, String>,
}

/// A proved component and everything that was decided on the way.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What it does, step by step, with reasons.
    pub plan: Plan,
    /// Its bytes.
    pub component: Vec<u8>,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What the proof showed.
    pub proof: Proof,
    /// Recorded steps that are not part of it.
    pub dropped: Vec<Dropped>,
    /// Fields of the run's inputs that no step uses.
    pub unused_inputs: Vec<String>,
    /// The report in the field names that Aionis has, and ours beside them.
    pub summary: Json,
    /// What each step of the plan calls, with the input that was recorded.
    pub reached: Vec<Reached>,
}

/// One call of a plan.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The step.
    pub step: String,
    /// The tool.
    pub tool: ToolId,
    /// What repeating the call does.
    pub effect: Effect,
    /// How its input is made.
    pub input: Template,
    /// The input that was recorded; none where there is no recording.
    pub recorded: Option<Value>,
}

impl Reached {
    /// What a plan calls, as far as it says so by itself.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Vec<Reached> {
        let reached = |step: &plan::Step| Reached {
            step: step.id.clone(),
            tool: step.tool.clone(),
            effect: step.effect,
            input: step.input.clone(),
            recorded: None,
        };
        plan.steps().map(reached).collect()
    }

    /// The same with what was recorded of the kept attempts, one for each step.
    fn recorded(plan: &Plan, trace: &Trace, kept: &[usize]) -> Vec<Reached> {
        let inputs = kept.iter().map(|at| trace.attempts[*at].bound.input.clone());
        Reached::of_plan(plan).into_iter().zip(inputs).map(|(of, input)| Reached { recorded: Some(input), ..of }).collect()
    }
}

/// What compiling the run would make its playbook reach. Makes and proves nothing.
///
/// # Errors
/// As [`compile`], up to the proof.
pub fn reached(tools: &Registry, run: &Run, options: &Options) -> Result<Vec<Reached>> {
    require_success(run, options)?;
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    let (trace, Lifted { plan, kept, .. }) = lifted(run, &bindings)?;
    Ok(Reached::recorded(&plan, &trace, &kept))
}

/// A run's plan, with no secret of the recording in it.
fn lifted(run: &Run, bindings: &Bindings) -> Result<(Trace, Lifted)> {
    let mut trace = Trace::of(run, bindings);
    let lifted = lift::lift(&trace)?;
    let left = hide::left_in(&lifted.plan);
    if left.is_empty() {
        return Ok((trace, lifted));
    }
    hide::replace(&mut trace, &left);
    let lifted = lift::lift(&trace)?;
    Ok((trace, lifted))
}

/// A recorded run with placeholders where compiling it would put them, so that it can be shown and be spliced.
///
/// # Errors
/// `invalid_configuration` for bindings or roots.
pub fn without_secrets(run: &Run, tools: &Registry, options: &Options) -> Result<Run> {
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    Ok(hide::run(run, &bindings))
}

/// `value` with placeholders for what looks like a secret in it.
#[must_use]
pub fn hidden(value: Value) -> Value {
    hide::value(value)
}

/// `patch` with placeholders for what looks like a secret in the plan that came of it; none where there is nothing of it in the patch.
#[must_use]
pub fn hidden_as_in(plan: &Plan, patch: &Value) -> Option<Value> {
    let clean = hide::cleaned_of(patch.clone(), &hide::left_in(plan));
    (clean != *patch).then_some(clean)
}

/// Compiles a run. The same run with the same options gives the same bytes.
///
/// # Errors
/// `replay_compile_requires_successful_run`, `replay_compile_no_steps`, `invalid_configuration` for bindings
/// or roots, `not_compilable` that names the step.
pub async fn compile(sandbox: &Sandbox, tools: &Registry, run: &Run, options: &Options) -> Result<Compiled> {
    require_success(run, options)?;
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    let (mut trace, Lifted { plan, mut kept, mut dropped, mut unused_inputs, mut contradicted }) = lifted(run, &bindings)?;
    let provides = |tool: &ToolId| tools.get(tool).is_some();
    let mut proven = prove::prove(sandbox, provides, plan.clone(), &script(plan.sample_input(), &trace, &kept)).await?;
    let left = hide::left_in(&proven.plan);
    if !left.is_empty() {
        // The proof put what had been recorded in the place of what an earlier step answers.
        hide::replace(&mut trace, &left);
        let again = lift::lift(&trace)?;
        (kept, dropped, unused_inputs, contradicted) = (again.kept, again.dropped, again.unused_inputs, again.contradicted);
        let script = script(again.plan.sample_input(), &trace, &kept);
        proven = prove::prove(sandbox, provides, again.plan, &script).await?;
    }
    // What does not hold of the recording itself would hold of no job.
    proven.proof.fallbacks.extend(contradicted.into_iter().map(|(step, spec, why)| Fallback {
        step,
        at: "/checks".to_owned(),
        reason: hide::text(&format!("the recorded condition that {spec} is left out: the recording itself does not fulfil it ({why})")),
    }));
    let summary = summary::of(tools, run, &trace, &kept, &dropped, &unused_inputs, &proven);
    let prove::Proven { plan, component, digest, proof } = proven;
    let reached = Reached::recorded(&plan, &trace, &kept);
    Ok(Compiled { plan, component, digest, proof, dropped, unused_inputs, summary, reached })
}

/// What a component says of itself, held against its code and against what its tools do. A step's effect does
/// not show in the code, so it is looked up and not believed.
#[must_use]
pub fn explain(component: &[u8], tools: &Registry) -> Explained {
    let plan = match emit::read_plan(component) {
        Explained::ByPlan(plan) => plan,
        other => return other,
    };
    let known = |tool: &ToolId| tools.get(tool).map_or(Effect::Once, |info| info.effect);
    let wrong = plan.steps().find(|step| step.effect != known(&step.tool));
    let fault = wrong.map(|step| format!("step {} calls {} {}, and it is {}", step.id, step.tool, step.effect, known(&step.tool)));
    fault.map_or(Explained::ByPlan(plan), Explained::Falsely)
}

fn require_success(run: &Run, options: &Options) -> Result<()> {
    let status = run.end.as_ref().map(|end| end.status);
    if status == Some(RunStatus::Success) || (options.allow_partial && !run.steps.is_empty()) {
        return Ok(());
    }
    if run.steps.is_empty() {
        return Err(Error::new(Code::ReplayCompileNoSteps, format!("run {} has no steps", run.run_id)));
    }
    let found = status.map_or("it has not ended".to_owned(), |status| format!("it ended as {}", status.as_str()));
    Err(Error::new(
        Code::ReplayCompileRequiresSuccessfulRun,
        format!(
            "run {} did not end with success ({found}); end it with status success, or set allow_partial to take its successful steps",
            run.run_id
        ),
    ))
}

/// What the plan must reproduce: the kept steps' calls, and the recorded output or the last answer.
fn script(input: Json, trace: &Trace, kept: &[usize]) -> Script {
    let line = |at: &usize| {
        let attempt = &trace.attempts[*at];
        Line { tool: attempt.bound.tool.clone(), input: Json::from(&attempt.bound.input), outcome: Ok(Json::from(&attempt.output)) }
    };
    let last = kept.last().map_or(serde_json::Value::Null, |at| trace.attempts[*at].output.clone());
    Script { input, began_ms: None, lines: kept.iter().map(line).collect(), output: Json::from(trace.output.as_ref().unwrap_or(&last)) }
}
