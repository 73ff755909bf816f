//! The report of a compilation: Aionis's `compile_summary` fields, and what this compiler decided beside them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cautions::{self, NotUnderstood, SecretUse};
use super::lift::Dropped;
use super::plan::DecisionKind;
use super::prove::Proven;
use super::template::Source;
use super::trace::Trace;
use crate::json::Json;
use crate::runs::{Run, SafetyLevel, Step, StepStatus};
use crate::tools::Registry;

/// Below this, a step counts as of low quality (Aionis's bound).
const LOW_QUALITY: f64 = 0.5;

/// The report on compiling `run`.
pub(super) fn of(
    tools: &Registry,
    run: &Run,
    trace: &Trace,
    kept: &[usize],
    dropped: &[Dropped],
    unused_inputs: &[String],
    proven: &Proven,
) -> Json {
    let duplicates: Vec<&Dropped> = dropped.iter().filter(|d| d.duplicate).collect();
    let index_of = |step: &str| trace.attempts.iter().position(|a| a.id == step).map(|at| run.steps[at].step_index);
    let scores: Vec<f64> = kept.iter().map(|at| quality(&run.steps[*at])).collect();
    let low: Vec<u32> =
        kept.iter().zip(&scores).filter(|(_, score)| **score < LOW_QUALITY).map(|(at, _)| run.steps[*at].step_index).collect();
    let average = scores.iter().sum::<f64>() / f64::from(u32::try_from(scores.len().max(1)).expect("a few thousand steps"));
    let mut summary = json!({
        "steps_total": proven.plan.body.len(),
        "source_steps_total": run.steps.len(),
        "steps_dedup_removed": duplicates.len(),
        "dedup_removed_step_indexes": duplicates.iter().filter_map(|d| index_of(&d.step)).collect::<Vec<_>>(),
        "steps_with_last_repair": kept.iter().filter(|at| trace.attempts[**at].repaired).count(),
        "parameterization": parameterization(proven),
        "quality": {"average_step_quality_score": (average * 1000.0).round() / 1000.0, "low_quality_steps": low},
        "recommendations": [],
        "usage_estimate": {"source": "no_model_call", "total_tokens": 0},
        "dropped": dropped,
        "unused_inputs": unused_inputs,
        "proof": proven.proof,
        "component_digest": proven.digest,
        "component_bytes": proven.component.len(),
    });
    let (secrets, unknown) = (cautions::secrets_in(&proven.plan, tools), cautions::not_understood_in(&proven.plan));
    if !secrets.is_empty() {
        summary["secrets"] = json!(secrets);
    }
    if !unknown.is_empty() {
        summary["not_understood"] = json!(unknown);
    }
    // What must not be overlooked comes first.
    let said = secrets.iter().map(SecretUse::words).chain(unknown.iter().map(NotUnderstood::words));
    summary["recommendations"] = said.chain(recommendations(trace, kept, unused_inputs, proven)).collect();
    if !trace.secrets.is_empty() {
        summary["secrets_needed"] = json!(trace.secrets);
    }
    Json::from(&summary)
}

/// Characters of a sample that the report shows.
const SAMPLE_CHARS: usize = 200;

/// Where each parameter and reference went, each source of a step once.
fn parameterization(proven: &Proven) -> Value {
    let input = proven.plan.sample_input().value();
    let mut variables: Vec<Value> = Vec::new();
    let mut steps = 0;
    for step in proven.plan.steps() {
        let at: Vec<&str> = step.decisions.iter().filter(|d| d.kind != DecisionKind::Constant).map(|d| d.at.as_str()).collect();
        let mut sources = BTreeSet::new();
        step.input.for_each_source(&mut |source| {
            sources.insert(source.clone());
        });
        steps += usize::from(!sources.is_empty());
        variables.extend(sources.iter().map(|source| {
            let (kind, sample) = match source {
                Source::Parameter { name, pointer } => ("parameter", input.get(name).and_then(|value| value.pointer(pointer)).map(sample)),
                Source::Output { .. } | Source::Item { .. } | Source::Today => ("reference", None),
            };
            json!({"name": source.to_string(), "kind": kind, "sample": sample, "step": step.id, "path": at})
        }));
    }
    json!({"variable_count": proven.plan.parameters.len(), "steps_with_variables": steps, "variables": variables})
}

/// A value as it was in the recording; a long one as the beginning of its text.
fn sample(value: &Value) -> Value {
    let text = value.to_string();
    match text.char_indices().nth(SAMPLE_CHARS) {
        None => value.clone(),
        Some((end, _)) => Value::from(format!("{}…", &text[..end])),
    }
}

fn recommendations(trace: &Trace, kept: &[usize], unused_inputs: &[String], proven: &Proven) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for attempt in kept.iter().map(|at| &trace.attempts[*at]) {
        if attempt.bound.tool.is_external() {
            lines.push(format!("{}: {}; so an agent outside has to do it", attempt.id, attempt.bound.reason));
        }
        let path = attempt.bound.input["path"].as_str().filter(|_| attempt.bound.tool.namespace() == "fs");
        if path.is_some_and(|path| path.split('/').any(|part| part == "..")) {
            lines.push(format!("{}: its path has \"..\", which no job may use; record it without", attempt.id));
        }
        if path.is_some_and(|path| path.starts_with('/')) {
            lines.push(format!(
                "{}: its path is absolute, which a job cannot reach; name the recorded directory and its grant as a root",
                attempt.id
            ));
        }
    }
    lines.extend(unused_inputs.iter().map(|name| format!("input {name:?}: no step uses its value")));
    if proven.plan.parameters.is_empty() {
        lines.push("no parameters: the playbook does the same each time; give the run `inputs` to say what may change".to_owned());
    }
    lines
}

/// Aionis's score of a recorded step.
fn quality(step: &Step) -> f64 {
    let after = step.after.as_ref();
    let points = [
        (true, 0.25),
        (step.tool_name.is_empty(), -0.25),
        (!step.preconditions.is_empty(), 0.2),
        (after.is_some_and(|a| !a.postconditions.is_empty()), 0.15),
        (step.expected_output_signature.is_some(), 0.15),
        (step.safety_level == SafetyLevel::AutoOk, 0.10),
        (step.safety_level == SafetyLevel::NeedsConfirm, 0.05),
        (after.is_some_and(|a| a.status == StepStatus::Success), 0.15),
        (after.is_some_and(|a| a.status == StepStatus::Failed), -0.1),
        (after.is_some_and(|a| a.repair_applied), -0.15),
    ];
    points.iter().filter(|(holds, _)| *holds).map(|(_, points)| points).sum()
}
