//! Proof: the component, run against the recording, makes exactly the recorded calls with exactly the
//! recorded inputs and gives the recorded output. Where it does not, the values at fault become literal, one
//! by one, until it does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::emit::emit;
use super::plan::{Decision, DecisionKind, Plan};
use super::template::{Known, Template};
use crate::contract::ToolId;
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::json::{self, Json};
use crate::limits;
use crate::sandbox::{Ending, Line, Sandbox, Scripted, Stop};

/// The recorded calls that a plan must reproduce, and what it must give back.
#[derive(Debug, Clone)]
pub struct Script {
    /// One for each step of the plan, in order.
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
    let input = plan.sample_input();
    // Each round makes at least one step literal, so there are at most as many rounds as steps, and one.
    for _ in 0..=plan.body.len() {
        let component = emit(&plan)?;
        let digest = Digest::of(&component);
        let playbook = sandbox.load(&digest, &provides, || Ok(component.clone()))?;
        let finished = sandbox.run(&playbook, &input, Box::new(Scripted::new(script.lines.clone())), limits::JOB_FUEL).await;
        let effects: Box<dyn std::any::Any> = finished.effects;
        let left = effects.downcast::<Scripted>().map_or(0, |scripted| scripted.left());
        let (at, why) = match finished.ending {
            Ending::Output(output) if left == 0 && output == script.output => {
                return Ok(Proven { plan, component, digest, proof: Proof { calls: script.lines.len(), fallbacks } });
            }
            Ending::Output(_) if left == 0 => (script.lines.len(), "the output is not the recorded one".to_owned()),
            Ending::Stopped(Stop::Diverged { at, expected, found }) => (place(at), format!("expected {expected}, found {found}")),
            other => (script.lines.len() - left.min(script.lines.len()), format!("{other:?}")),
        };
        let fallback = literal(&mut plan, script, at, &why);
        fallbacks
            .push(fallback.ok_or_else(|| Error::new(Code::NotCompilable, format!("call {at} does not reproduce the recording: {why}")))?);
    }
    Err(Error::new(Code::NotCompilable, "even the literal plan does not reproduce the recording"))
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
    let input = plan.sample_input().value();
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
