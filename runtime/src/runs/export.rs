//! Writes a run as a recording file, so that reading and importing it again gives the same run.

use std::io::{self, Write};

use serde::Serialize;

use super::recording::{PENDING, Recorded, Recording};
use super::request::StepAfter;
use super::run::{Run, SafetyLevel, Step};
use crate::ids::{RunId, StepId};
use crate::json::Json;

impl From<&Run> for Recording {
    fn from(run: &Run) -> Self {
        let mut steps: Vec<&Step> = run.steps.iter().collect();
        steps.sort_by_key(|step| step.ordinal);
        Recording {
            run_id: run.run_id.clone(),
            start: run.as_start(),
            steps: steps
                .into_iter()
                .map(|step| Recorded { before: step.as_before(&run.run_id), after: step.as_after(&run.run_id) })
                .collect(),
            end: run.end.as_ref().map(|end| end.as_end(&run.run_id)),
        }
    }
}

impl Recording {
    /// Writes the file: the run, a line for each step in the order of arrival, the end where there is one.
    /// Times and the actor are not part of it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let run = RunFields {
            run_id: &self.run_id,
            goal: &self.start.goal,
            inputs: self.start.inputs.as_ref(),
            context_snapshot_ref: self.start.context_snapshot_ref.as_deref(),
            context_snapshot_hash: self.start.context_snapshot_hash.as_deref(),
            metadata: self.start.metadata.as_ref(),
        };
        write_line(&mut out, &RunLine { run })?;
        let mut by_order = 1;
        for recorded in &self.steps {
            write_line(&mut out, &StepLine::of(recorded, by_order))?;
            by_order = recorded.before.step_index.saturating_add(1);
        }
        if let Some(end) = &self.end {
            let end = EndFields {
                status: end.status.as_str(),
                summary: end.summary.as_deref(),
                output: end.output.as_ref(),
                success_criteria: end.success_criteria.as_ref(),
                metrics: end.metrics.as_ref(),
                metadata: end.metadata.as_ref(),
            };
            write_line(&mut out, &EndLine { end })?;
        }
        out.flush()
    }
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

// Fields in the order in which a person likes to read them.

#[derive(Serialize)]
struct RunLine<'a> {
    run: RunFields<'a>,
}

#[derive(Serialize)]
struct RunFields<'a> {
    run_id: &'a RunId,
    goal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_snapshot_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_snapshot_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Json>,
}

#[derive(Serialize)]
struct EndLine<'a> {
    end: EndFields<'a>,
}

#[derive(Serialize)]
struct EndFields<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_criteria: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Json>,
}

#[derive(Serialize)]
struct StepLine<'a> {
    tool: &'a str,
    input: &'a Json,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_id: Option<&'a StepId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_level: Option<SafetyLevel>,
    #[serde(skip_serializing_if = "<[Json]>::is_empty")]
    preconditions: &'a [Json],
    #[serde(skip_serializing_if = "<[Json]>::is_empty")]
    postconditions: &'a [Json],
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_output_signature: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_signature: Option<&'a Json>,
    #[serde(skip_serializing_if = "<[Json]>::is_empty")]
    artifact_refs: &'a [Json],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<&'a Json>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repair_applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair_note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_metadata: Option<&'a Json>,
}

impl<'a> StepLine<'a> {
    fn of(recorded: &'a Recorded, index_by_order: u32) -> Self {
        let before = &recorded.before;
        let after: Option<&StepAfter> = recorded.after.as_ref();
        StepLine {
            tool: &before.tool_name,
            input: &before.tool_input,
            status: after.map_or(PENDING, |after| after.status.as_str()),
            output: after.and_then(|after| after.output.as_ref()),
            error: after.and_then(|after| after.error.as_ref()),
            step_id: before.step_id.as_ref(),
            step_index: (before.step_index != index_by_order).then_some(before.step_index),
            decision_id: before.decision_id.as_deref(),
            safety_level: (before.safety_level != SafetyLevel::default()).then_some(before.safety_level),
            preconditions: &before.preconditions,
            postconditions: after.map_or(&[], |after| &after.postconditions),
            expected_output_signature: before.expected_output_signature.as_ref(),
            output_signature: after.and_then(|after| after.output_signature.as_ref()),
            artifact_refs: after.map_or(&[], |after| &after.artifact_refs),
            retry_policy: before.retry_policy.as_ref(),
            repair_applied: after.is_some_and(|after| after.repair_applied),
            repair_note: after.and_then(|after| after.repair_note.as_deref()),
            metadata: before.metadata.as_ref(),
            result_metadata: after.and_then(|after| after.metadata.as_ref()),
        }
    }
}
