//! Proof: the component, run against the recording, makes exactly the recorded calls with exactly the
//! recorded inputs and gives the recorded output. Where a plan of one run does not, the values at fault become literal,
//! one by one, until it does; a plan of several runs is held against each of them as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::emit::emit;
use super::plan::{Decision, DecisionKind, Plan};
use super::template::{Known, Template};
use crate::contract::ToolId;
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Digest;
use crate::json::{self, Json};
use crate::limits;
use crate::sandbox::{Ending, Line, Playbook, Sandbox, Scripted, Stop};

/// One recorded run that a plan must reproduce.
#[derive(Debug, Clone)]
pub struct Script {
    /// The job's input. What the plan has no parameter for is not looked at.
    pub input: Json,
    /// When it began, in milliseconds since the Unix epoch; for plans that ask for the date.
    pub began_ms: Option<u64>,
    /// The calls in the order in which they were made.
    pub lines: Vec<Line>,
    /// The recorded output.
    pub output: Json,
}

/// A component that was proved.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The plan after all fall-backs.
    pub plan: Plan,
    /// The component emitted from it.
    pub component: Vec<u8>,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// What was shown.
    pub proof: Proof,
}

/// What a proof showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Proof {
    /// Calls that were made as recorded.
    pub calls: usize,
    /// Values that had to become literal.
    pub fallbacks: Vec<Fallback>,
}

/// A value that could not be reproduced from its source and became literal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fallback {
    /// The step; `output` is the playbook's own.
    pub step: String,
    /// JSON pointer into the step's input.
    pub at: String,
    /// What went wrong with the source.
    pub reason: String,
}

/// Emits `plan` and proves it against `script`.
///
/// # Errors
/// `not_compilable` where even the literal plan does not reproduce the recording; the message names the step.
pub async fn prove(sandbox: &Sandbox, provides: impl Fn(&ToolId) -> bool, mut plan: Plan, script: &Script) -> Result<Proven> {
    let mut fallbacks = by_evaluation(&mut plan, script);
    // Each round makes at least one step literal, so there are at most as many rounds as steps, and one.
    for _ in 0..=plan.body.len() {
        let component = emit(&plan)?;
        let digest = Digest::of(&component);
        let playbook = sandbox.load(&digest, &provides, || Ok(component.clone()))?;
        let Mismatch { at, why } = match reproduces(sandbox, &playbook, script).await {
            Ok(calls) => return Ok(Proven { plan, component, digest, proof: Proof { calls, fallbacks } }),
            Err(mismatch) => mismatch,
        };
        let fallback = literal(&mut plan, script, at, &why);
        fallbacks
            .push(fallback.ok_or_else(|| Error::new(Code::NotCompilable, format!("call {at} does not reproduce the recording: {why}")))?);
    }
    Err(Error::new(Code::NotCompilable, "even the literal plan does not reproduce the recording"))
}

/// A component that was held against several recorded runs.
#[derive(Debug, Clone)]
pub struct Held {
    /// The component emitted from the plan.
    pub component: Vec<u8>,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// For each script in turn, what was shown, or where it differs.
    pub proofs: Vec<Result<Proof, Mismatch>>,
}

/// Where a component did something else than a recorded run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The place of the call, from 0; the number of calls where it is the output.
    pub at: usize,
    /// What was recorded, and what was found.
    pub why: String,
}

impl Held {
    /// The component with what was shown, where every script was reproduced.
    ///
    /// # Errors
    /// `not_compilable` with an issue for each run that was not, by its place in the list.
    pub fn all(self) -> Result<(Vec<u8>, Digest, Vec<Proof>)> {
        let wrong: Vec<Issue> = self
            .proofs
            .iter()
            .enumerate()
            .filter_map(|(n, proof)| {
                let Mismatch { at, why } = proof.as_ref().err()?;
                Some(Issue { path: format!("/runs/{n}"), message: format!("call {at} does not reproduce the recording: {why}") })
            })
            .collect();
        match wrong.first() {
            None => Ok((self.component, self.digest, self.proofs.into_iter().flatten().collect())),
            Some(first) => {
                let message =
                    format!("{} of {} runs are not reproduced: {}: {}", wrong.len(), self.proofs.len(), first.path, first.message);
                Err(Error::new(Code::NotCompilable, message).with_issues(wrong))
            }
        }
    }
}

/// A component that is ready to be held against recorded runs.
pub struct Emitted {
    component: Vec<u8>,
    digest: Digest,
    playbook: Playbook,
}

/// Emits `plan`, loops, arms and all.
///
/// # Errors
/// As [`emit`]; what the sandbox says of the component.
pub fn emitted(sandbox: &Sandbox, provides: impl Fn(&ToolId) -> bool, plan: &Plan) -> Result<Emitted> {
    let component = emit(plan)?;
    let digest = Digest::of(&component);
    let playbook = sandbox.load(&digest, &provides, || Ok(component.clone()))?;
    Ok(Emitted { component, digest, playbook })
}

impl Emitted {
    /// Holds it against each of `scripts`. Nothing is made literal: what holds for several runs is not mended by what one of
    /// them did.
    pub async fn held_against(self, sandbox: &Sandbox, scripts: &[Script]) -> Held {
        let mut proofs = Vec::with_capacity(scripts.len());
        for script in scripts {
            let shown = reproduces(sandbox, &self.playbook, script).await;
            proofs.push(shown.map(|calls| Proof { calls, fallbacks: Vec::new() }));
        }
        Held { component: self.component, digest: self.digest, proofs }
    }
}

/// Emits `plan` and holds it against each of `scripts`.
///
/// # Errors
/// As [`emitted`].
pub async fn prove_all(sandbox: &Sandbox, provides: impl Fn(&ToolId) -> bool, plan: &Plan, scripts: &[Script]) -> Result<Held> {
    Ok(emitted(sandbox, provides, plan)?.held_against(sandbox, scripts).await)
}

/// Runs `playbook` against `script`; how many calls it made, all of them as recorded.
async fn reproduces(sandbox: &Sandbox, playbook: &Playbook, script: &Script) -> Result<usize, Mismatch> {
    let effects = Scripted::new(script.lines.clone()).begun_at(script.began_ms);
    let finished = sandbox.run(playbook, &script.input, Box::new(effects), limits::JOB_FUEL).await;
    let effects: Box<dyn std::any::Any> = finished.effects;
    let calls = script.lines.len();
    let left = effects.downcast::<Scripted>().map_or(0, |scripted| scripted.left());
    Err(match finished.ending {
        Ending::Output(output) if left == 0 && output == script.output => return Ok(calls),
        Ending::Output(_) if left == 0 => Mismatch { at: calls, why: "the output is not the recorded one".to_owned() },
        Ending::Stopped(Stop::Diverged { at, expected, found }) => {
            Mismatch { at: place(at), why: format!("expected {expected}, found {found}") }
        }
        other => Mismatch { at: calls - left.min(calls), why: format!("{other:?}") },
    })
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Makes all of one step (or the output) literal; none where it already was.
fn literal(plan: &mut Plan, script: &Script, at: usize, why: &str) -> Option<Fallback> {
    let fallback = |step: &str| Fallback { step: step.to_owned(), at: String::new(), reason: clip(why) };
    if at >= script.lines.len() {
        let constant = Template::Constant(script.output.clone());
        return (plan.output != constant).then(|| {
            plan.output = constant;
            fallback("output")
        });
    }
    let step = plan.steps_mut().nth(at)?;
    let constant = Template::Constant(script.lines[at].input.clone());
    if step.input == constant {
        return None;
    }
    step.input = constant;
    step.decisions = vec![Decision {
        at: String::new(),
        kind: DecisionKind::Constant,
        reason: format!("the proof failed with its source: {}", clip(why)),
    }];
    Some(fallback(&step.id.clone()))
}

/// Evaluates every template against the recording and makes literal, leaf by leaf, what comes out wrong.
fn by_evaluation(plan: &mut Plan, script: &Script) -> Vec<Fallback> {
    let input = plan.completed(&script.input.value());
    let mut outputs = BTreeMap::new();
    let mut fallbacks = Vec::new();
    for (step, line) in plan.steps_mut().zip(&script.lines) {
        let known = Known::of(&input, &outputs);
        let mut wrong = Vec::new();
        step.input =
            corrected(std::mem::replace(&mut step.input, Template::Array(Vec::new())), &line.input.value(), &known, "", &mut wrong)
                .simplified();
        for (at, reason) in wrong {
            step.decisions.retain(|decision| decision.at != at);
            step.decisions.push(Decision {
                at: at.clone(),
                kind: DecisionKind::Constant,
                reason: format!("the proof failed with its source: {reason}"),
            });
            fallbacks.push(Fallback { step: step.id.clone(), at, reason });
        }
        outputs.insert(step.id.clone(), line.outcome.as_ref().map_or(Value::Null, Json::value));
    }
    let known = Known::of(&input, &outputs);
    let mut wrong = Vec::new();
    plan.output =
        corrected(std::mem::replace(&mut plan.output, Template::Array(Vec::new())), &script.output.value(), &known, "", &mut wrong)
            .simplified();
    fallbacks.extend(wrong.into_iter().map(|(at, reason)| Fallback { step: "output".to_owned(), at, reason }));
    fallbacks
}

/// `template` with every leaf that does not come to `recorded` made literal.
fn corrected(template: Template, recorded: &Value, known: &Known<'_>, pointer: &str, wrong: &mut Vec<(String, String)>) -> Template {
    let reason = match template.evaluate(known) {
        // By their text: -0.0 and 0.0 are equal, and not the same bytes.
        Ok(value) if Json::from(&value) == Json::from(recorded) => return template,
        Ok(value) => format!("it gives {}", clip(&value.to_string())),
        Err(unmade) => unmade.to_string(),
    };
    match (template, recorded) {
        (Template::Object(fields), Value::Object(values)) if fields.keys().eq(values.keys()) => Template::Object(
            fields
                .into_iter()
                .map(|(key, t)| {
                    let t = corrected(t, &values[&key], known, &json::below(pointer, &key), wrong);
                    (key, t)
                })
                .collect(),
        ),
        (Template::Array(items), Value::Array(values)) if items.len() == values.len() => Template::Array(
            items.into_iter().zip(values).enumerate().map(|(i, (t, v))| corrected(t, v, known, &format!("{pointer}/{i}"), wrong)).collect(),
        ),
        _ => {
            wrong.push((pointer.to_owned(), reason));
            Template::Constant(recorded.into())
        }
    }
}

pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(200) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
