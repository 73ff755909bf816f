//! Several recorded runs of one task in, one proved component out.
//!
//! Its job: to find the one plan that all runs followed, and to say why each part of it is as it is. A single run shows
//! what was done; several show what may differ. So nothing becomes general here that does not explain every run: `align`
//! finds which calls belong together, `explain` the shortest expression that gives a value in all of them, `ways` what tells
//! two ways apart. It must stay true that nothing leaves here that was not proved against every run, that runs without a
//! common plan are refused with the place, and that what the data does not decide stays literal and is said.

mod align;
mod compose;
mod defaults;
mod derive;
mod explain;
mod follow;
mod gathered;
mod held_out;
mod invariants;
mod known;
mod numbers;
mod parameters;
mod side_by_side;
#[cfg(test)]
mod tests;
mod ways;
mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::thread;

use serde::Serialize;
use serde_json::{Value, json};

use super::bindings::Bindings;
use super::cautions::{NotUnderstood, not_understood_in};
use super::hide;
use super::lift::{self, Dropped};
use super::plan::{Node, Plan};
use super::prove::{self, Proof, Proven, Script};
use super::summary;
use super::template::{Source, Template};
use super::trace::{Attempt, Trace};
use super::{Compiled, Options, Reached, require_success};
use crate::contract::ToolId;
use crate::error::{Code, Error, Result};
use crate::ids::RunId;
use crate::json::Json;
use crate::limits;
use crate::runs::Run;
use crate::sandbox::{Line, Sandbox};
use crate::tools::Registry;
use align::{Learner, Place, Refusal};
use explain::Unexplained;
use follow::Followed;
pub use held_out::{CameTo, HeldOut};
use known::{Scope, Tier};
use side_by_side::side_by_side;

/// What was learned from several runs.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The component, proved against every run.
    pub compiled: Compiled,
    /// Where the data did not decide, what was done then, and what one more run would settle.
    pub open_questions: Vec<OpenQuestion>,
    /// Each run against a plan that was learned without it; empty where there are too few runs.
    pub held_out: Vec<HeldOut>,
    /// Why no run was held out though there are enough of them.
    pub not_held_out: Option<String>,
    /// Secrets that the recordings had as they are, and that a job needs under these names.
    pub secrets_needed: Vec<String>,
}

/// Something that the runs do not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OpenQuestion {
    /// The step; `input` is what a job gives, `output` what it gives back.
    pub step: String,
    /// JSON pointer into the step's input.
    pub at: String,
    /// What is open, what was done, and what one more run would settle.
    pub question: String,
}

/// One run, as far as it counts.
pub(super) struct Pass<'a> {
    pub trace: &'a Trace,
    pub attempts: Vec<&'a Attempt>,
    /// The date on which it was recorded, in UTC.
    pub today: String,
}

impl<'a> Pass<'a> {
    fn again(&self) -> Pass<'a> {
        Pass { trace: self.trace, attempts: self.attempts.clone(), today: self.today.clone() }
    }
}

/// Compiles several runs of one task. The same runs with the same options give the same bytes.
///
/// # Errors
/// As [`super::compile`] for each run; `not_compilable` that names the place where the runs have nothing in common.
pub async fn compile_runs(sandbox: &Sandbox, tools: &Registry, runs: &[Run], options: &Options) -> Result<Learned> {
    let Some(first) = runs.first() else {
        return Err(Error::new(Code::ReplayCompileNoSteps, "there is no run to compile"));
    };
    if runs.len() == 1 {
        return of_one(sandbox, tools, first, options).await;
    }
    if runs.len() > limits::LEARN_RUNS_MAX {
        return Err(Error::new(
            Code::NotCompilable,
            format!("{} runs; at most {} are compiled together", runs.len(), limits::LEARN_RUNS_MAX),
        ));
    }
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    runs.iter().try_for_each(|run| require_success(run, options))?;
    let mut traces = side_by_side(runs.len(), |at| Trace::of(&runs[at], &bindings));
    let sifted: Vec<(Vec<usize>, Vec<Dropped>)> = traces.iter().map(lift::sift).collect();
    if let Some(at) = sifted.iter().position(|(kept, _)| kept.is_empty()) {
        return Err(Error::new(Code::ReplayCompileNoSteps, format!("run {} has no successful step", runs[at].run_id)));
    }
    let mut found = plan_of(&passes_of(&traces, &sifted, runs)).map_err(|refusal| refused(&refusal, runs))?;
    let left = hide::left_in(&found.plan);
    if !left.is_empty() {
        // It had been answered by an earlier step, and yet nothing takes it from there.
        traces.iter_mut().for_each(|trace| hide::replace(trace, &left));
        found = plan_of(&passes_of(&traces, &sifted, runs)).map_err(|refusal| refused(&refusal, runs))?;
    }
    let passes = passes_of(&traces, &sifted, runs);
    let (made, plan) = (std::mem::take(&mut found.made), &found.plan);
    let provides = |tool: &ToolId| tools.get(tool).is_some();
    // What is to be proved is compiled while it is settled what it is to be held against.
    let (emitted, scripts) = thread::scope(|scope| {
        let emitting = thread::Builder::new().spawn_scoped(scope, || prove::emitted(sandbox, provides, plan));
        let scripts = scripts_of(plan, &passes, runs, made);
        let emitted = match emitting {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => prove::emitted(sandbox, provides, plan),
        };
        (emitted, scripts)
    });
    let (scripts, reached) = scripts?;
    let held = emitted?.held_against(sandbox, &scripts).await;
    let (component, digest, proofs) = held.all().map_err(|e| named(e, runs))?;
    let proof = Proof { calls: proofs.iter().map(|proof| proof.calls).sum(), fallbacks: Vec::new() };
    let proven = Proven { plan: found.plan, component, digest, proof };
    let (held_out, not_held_out) = held_out::of(&passes, runs);
    let mut open_questions: Vec<OpenQuestion> =
        found.questions.into_iter().map(|(Place { step, at }, question)| OpenQuestion { step, at, question }).collect();
    open_questions.extend(unjudged(&proven.plan));
    let used = |name: &String| proven.plan.parameters.iter().any(|p| p.name == *name);
    let unused: Vec<String> =
        traces[0].inputs.as_object().into_iter().flatten().map(|(name, _)| name.clone()).filter(|name| !used(name)).collect();
    let (kept, dropped) = &sifted[0];
    let summary = summary::of(tools, first, &traces[0], kept, dropped, &unused, &proven).value();
    let secrets_needed: BTreeSet<String> = traces.iter().flat_map(|trace| trace.secrets.iter().cloned()).collect();
    let mut summary = with_runs(summary, runs, &open_questions, &held_out, &secrets_needed);
    if let Some(why) = &not_held_out {
        summary["not_held_out"] = json!(why);
    }
    let summary = Json::from(&summary);
    let Proven { plan, component, digest, proof } = proven;
    let compiled = Compiled { plan, component, digest, proof, dropped: dropped.clone(), unused_inputs: unused, summary, reached };
    Ok(Learned { compiled, open_questions, held_out, not_held_out, secrets_needed: secrets_needed.into_iter().collect() })
}

/// One run, compiled as [`super::compile`] does, and held to what it saw: one run cannot say which of it may differ.
async fn of_one(sandbox: &Sandbox, tools: &Registry, run: &Run, options: &Options) -> Result<Learned> {
    let compiled = super::compile(sandbox, tools, run, options).await?;
    let bindings = Bindings::builtin(tools).extended(&options.bindings, &options.roots)?;
    let (trace, lifted) = super::lifted(run, &bindings)?;
    let pass = pass(&trace, &lifted.kept, run);
    let mut plan = compiled.plan.clone();
    let calls: Vec<(String, usize)> = plan.steps().enumerate().map(|(at, step)| (step.id.clone(), at)).collect();
    invariants::add(&mut plan, std::slice::from_ref(&pass), &[calls.as_slice()]);
    let plan = Plan::new(plan.goal, plan.parameters, plan.body, plan.output);
    plan.check()?;
    let made = made(&plan, &pass).map_err(|why| not_reproduced(run, &why))?;
    let (script, _) = script(&plan, &pass, made).map_err(|why| not_reproduced(run, &why))?;
    let script = Script { began_ms: Some(run.started_at_ms), ..script };
    let held = prove::prove_all(sandbox, |tool: &ToolId| tools.get(tool).is_some(), &plan, &[script]).await?;
    let (component, digest, _) = held.all().map_err(|e| named(e, std::slice::from_ref(run)))?;
    let mut summary = compiled.summary.value();
    summary["component_digest"] = json!(digest);
    summary["component_bytes"] = json!(component.len());
    let secrets_needed: BTreeSet<String> = trace.secrets.iter().cloned().collect();
    let open_questions: Vec<OpenQuestion> = unjudged(&plan).collect();
    let summary = Json::from(&with_runs(summary, std::slice::from_ref(run), &open_questions, &[], &secrets_needed));
    let compiled = Compiled { plan, component, digest, summary, ..compiled };
    Ok(Learned { compiled, open_questions, held_out: Vec::new(), not_held_out: None, secrets_needed: secrets_needed.into_iter().collect() })
}

/// What was recorded beside a step and is not understood is open.
fn unjudged(plan: &Plan) -> impl Iterator<Item = OpenQuestion> {
    let open = |one: NotUnderstood| OpenQuestion { question: one.question(), step: one.step, at: "/checks".to_owned() };
    not_understood_in(plan).into_iter().map(open)
}

fn passes_of<'a>(traces: &'a [Trace], sifted: &[(Vec<usize>, Vec<Dropped>)], runs: &[Run]) -> Vec<Pass<'a>> {
    traces.iter().zip(sifted).zip(runs).map(|((trace, (kept, _)), run)| pass(trace, kept, run)).collect()
}

fn pass<'a>(trace: &'a Trace, kept: &[usize], run: &Run) -> Pass<'a> {
    let today = crate::clock::rfc3339(run.started_at_ms).chars().take("2026-01-01".len()).collect();
    Pass { trace, attempts: kept.iter().map(|at| &trace.attempts[*at]).collect(), today }
}

/// A plan that explains every pass, and what stays open.
struct Found {
    plan: Plan,
    /// For each pass.
    made: Vec<Made>,
    questions: Vec<(Place, String)>,
}

/// What a plan makes of a pass.
struct Made {
    /// Step and place in the run, call by call.
    calls: Vec<(String, usize)>,
    output: Value,
}

/// What `plan` makes of a pass, where that is what was recorded.
fn made(plan: &Plan, pass: &Pass<'_>) -> std::result::Result<Made, String> {
    match follow::follow(plan, pass) {
        Followed::Right(calls, output) => Ok(Made { calls, output }),
        Followed::Refused(why) | Followed::Wrong(why) => Err(why),
    }
}

/// The plan that all passes followed.
fn plan_of(passes: &[Pass<'_>]) -> std::result::Result<Found, Refusal> {
    let mut scope = Scope::new((0..passes.len()).collect());
    let runs: Vec<(&Trace, &[&Attempt])> = passes.iter().map(|pass| (pass.trace, pass.attempts.as_slice())).collect();
    let defaults = defaults::of(&runs);
    let inputs: Vec<Value> = passes.iter().map(|pass| filled(&pass.trace.inputs, &defaults)).collect();
    for name in inputs[0].as_object().into_iter().flatten().map(|(name, _)| name) {
        let values: Option<Vec<&Value>> = inputs.iter().map(|inputs| inputs.get(name)).collect();
        if let Some(values) = values {
            scope.know(name, Tier::Given, 0, &values, &|pointer| Source::Parameter { name: name.clone(), pointer });
        }
    }
    scope.today(&passes.iter().map(|pass| pass.today.as_str()).collect::<Vec<_>>());
    let mut learner = Learner::new();
    let spans: Vec<&[&Attempt]> = passes.iter().map(|pass| pass.attempts.as_slice()).collect();
    let mut body = learner
        .sequence(&mut scope, &spans, 0)
        .map_err(|refusal| learner.furthest.take().filter(|f| f.depth > refusal.depth).unwrap_or(refusal))?;
    let mut questions = std::mem::take(&mut learner.questions);
    let mut output = output(passes, &mut scope, &body, &mut questions)?;
    let in_steps =
        |why: String| Refusal { place: Place { step: "steps".to_owned(), at: String::new() }, why, values: Vec::new(), depth: usize::MAX };
    gathered::settle(&mut body, &mut output, &learner.gathered).map_err(in_steps)?;
    let goal = passes[0].trace.goal.clone();
    let mut plan = Plan::new(goal, Vec::new(), body, output);
    let wrong =
        |why: String| Refusal { place: Place { step: "input".to_owned(), at: String::new() }, why, values: Vec::new(), depth: usize::MAX };
    let parameters = parameters::of(&plan, passes, &defaults, &mut questions).map_err(wrong)?;
    plan = Plan::new(plan.goal, parameters, plan.body, plan.output);
    let made = passes.iter().map(|pass| made(&plan, pass)).collect::<std::result::Result<Vec<Made>, String>>();
    let made = made.map_err(|why| wrong(format!("the runs have no plan in common: {why}")))?;
    let calls: Vec<&[(String, usize)]> = made.iter().map(|made| made.calls.as_slice()).collect();
    invariants::add(&mut plan, passes, &calls);
    plan = Plan::new(plan.goal, plan.parameters, plan.body, plan.output);
    plan.check().map_err(|e| wrong(e.message))?;
    Ok(Found { plan, made, questions })
}

/// Inputs with what stands for those that are not there.
fn filled(inputs: &Value, defaults: &BTreeMap<String, Value>) -> Value {
    let mut inputs = inputs.clone();
    if let Some(fields) = inputs.as_object_mut() {
        for (name, value) in defaults {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    inputs
}

/// What the playbook gives back: what the runs gave back, or the last answer where they did not say.
fn output(
    passes: &[Pass<'_>],
    scope: &mut Scope,
    body: &[Node],
    questions: &mut Vec<(Place, String)>,
) -> std::result::Result<Template, Refusal> {
    let recorded: Option<Vec<&Value>> = passes.iter().map(|pass| pass.trace.output.as_ref()).collect();
    if let Some(values) = recorded {
        let (template, open) = align::output(scope, &values).map_err(|Unexplained { at, why, values }| Refusal {
            place: Place { step: "output".to_owned(), at },
            why,
            values,
            depth: usize::MAX,
        })?;
        questions.extend(open);
        return Ok(template);
    }
    let answering = |node: &&Node| matches!(node, Node::Step(_) | Node::Each(_));
    Ok(match body.iter().rev().find(answering).and_then(Node::id) {
        Some(id) => Template::Value(Source::Output { step: id.to_owned(), pointer: String::new() }),
        None => Template::Constant(Json::from(&Value::Null)),
    })
}

/// Visits every template of the nodes: inputs, lists and outputs of loops.
pub(super) fn each_template(nodes: &[Node], visit: &mut impl FnMut(&Template)) {
    for node in super::plan::all(nodes) {
        match node {
            Node::Step(step) => visit(&step.input),
            Node::Each(each) => {
                visit(&each.list);
                each.output.iter().for_each(&mut *visit);
            }
            _ => {}
        }
    }
}

/// What the plan must reproduce of each run, and what its steps reach in them.
fn scripts_of(plan: &Plan, passes: &[Pass<'_>], runs: &[Run], made: Vec<Made>) -> Result<(Vec<Script>, Vec<Reached>)> {
    let (mut scripts, mut reached) = (Vec::new(), Vec::new());
    for ((pass, run), made) in passes.iter().zip(runs).zip(made) {
        let (script, calls) = script(plan, pass, made).map_err(|why| not_reproduced(run, &why))?;
        scripts.push(Script { began_ms: Some(run.started_at_ms), ..script });
        reached.extend(calls);
    }
    Ok((scripts, reached))
}

/// What the plan must reproduce of one run, and what its steps reach.
fn script(plan: &Plan, pass: &Pass<'_>, made: Made) -> std::result::Result<(Script, Vec<Reached>), String> {
    let Made { calls, output } = made;
    let line = |attempt: &&Attempt| Line {
        tool: attempt.bound.tool.clone(),
        input: Json::from(&attempt.bound.input),
        outcome: Ok(Json::from(&attempt.output)),
    };
    let lines = pass.attempts.iter().map(line).collect();
    let input = plan.completed(&follow::given(plan, &pass.trace.inputs)?);
    let templates: BTreeMap<&str, &super::plan::Step> = plan.steps().map(|step| (step.id.as_str(), step)).collect();
    let reached = calls.iter().filter_map(|(id, at)| {
        let step = templates.get(id.as_str())?;
        let recorded = Some(pass.attempts[*at].bound.input.clone());
        Some(Reached { step: id.clone(), tool: step.tool.clone(), effect: step.effect, input: step.input.clone(), recorded })
    });
    let reached = reached.collect();
    Ok((Script { input: Json::from(&input), began_ms: None, lines, output: Json::from(&output) }, reached))
}

fn refused(refusal: &Refusal, runs: &[Run]) -> Error {
    let Refusal { place: Place { step, at }, why, values, .. } = refusal;
    let place = if at.is_empty() { step.clone() } else { format!("{step} at {at}") };
    let shown = values.iter().enumerate().map(|(n, value)| match runs.get(n).filter(|_| values.len() == runs.len()) {
        Some(run) => format!("{} in run {}", value, run.run_id),
        None => value.clone(),
    });
    let shown: Vec<String> = shown.collect();
    let found = if shown.is_empty() { String::new() } else { format!(" ({})", shown.join("; ")) };
    Error::new(Code::NotCompilable, format!("{place}: {why}{found}"))
        .with_details(json!({"step": step, "at": at, "why": why, "values": values}))
}

fn not_reproduced(run: &Run, why: &str) -> Error {
    Error::new(Code::NotCompilable, format!("the runs have a plan in common that run {} does not follow: {why}", run.run_id))
        .with_details(json!({"run_id": run.run_id, "why": why}))
}

fn named(e: Error, runs: &[Run]) -> Error {
    let ids: Vec<&RunId> = runs.iter().map(|run| &run.run_id).collect();
    let details = json!({ "source_runs": ids });
    if e.code == Code::NotCompilable { e.with_details(details) } else { e }
}

fn with_runs(mut summary: Value, runs: &[Run], questions: &[OpenQuestion], held_out: &[HeldOut], secrets: &BTreeSet<String>) -> Value {
    summary["source_runs"] = runs.iter().map(|run| Value::from(run.run_id.as_str())).collect();
    summary["open_questions"] = json!(questions);
    summary["held_out"] = json!(held_out);
    if !secrets.is_empty() {
        summary["secrets_needed"] = json!(secrets);
    }
    summary
}
