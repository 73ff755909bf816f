//! What a recorded run is, to everyone who reads one.
//!
//! Plain data without behaviour of its own. The stored form is another one (`saved`), and so is the
//! form that clients see (`view`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::{RunEnd, RunStart, StepAfter, StepBefore, StepRef};
use crate::ids::{Digest, RunId, Space, StepId};
use crate::json::Json;

/// What an agent did once: a goal, the steps it took, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Within its space.
    pub run_id: RunId,
    /// Whose run it is.
    pub space: Space,
    /// What the agent set out to do, in words.
    pub goal: String,
    /// What the agent was given, an object; the candidates for a playbook's parameters.
    pub inputs: Option<Json>,
    /// Where the agent's context at the start can be found.
    pub context_snapshot_ref: Option<String>,
    /// SHA-256 of that context, 64 lower-case hex digits.
    pub context_snapshot_hash: Option<String>,
    /// Whatever else the recorder wanted to keep, an object.
    pub metadata: Option<Json>,
    /// Who started it.
    pub actor: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// SHA-256 of the row as stored; none for a run that was never stored.
    pub written: Option<Digest>,
    /// By `step_index`, then by arrival.
    pub steps: Vec<Step>,
    /// None while the run is in progress.
    pub end: Option<End>,
}

/// One tool call of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Within its run.
    pub step_id: StepId,
    /// The client's own count, from 1. Attempts at the same thing may share one.
    pub step_index: u32,
    /// How many steps of this run were recorded before it: the order of arrival.
    pub ordinal: u32,
    /// The decision that led to it, where the recorder keeps track of them.
    pub decision_id: Option<String>,
    /// The tool as the agent calls it.
    pub tool_name: String,
    /// What the tool was given; JSON null for nothing.
    pub tool_input: Json,
    /// What the agent expected of the output.
    pub expected_output_signature: Option<Json>,
    /// Objects.
    pub preconditions: Vec<Json>,
    /// An object.
    pub retry_policy: Option<Json>,
    /// Whether a repetition may go ahead unasked.
    pub safety_level: SafetyLevel,
    /// An object.
    pub metadata: Option<Json>,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub before_at_ms: u64,
    /// SHA-256 of the row as stored; none for a run that was never stored.
    pub written: Option<Digest>,
    /// What came of it; none while it is pending.
    pub after: Option<After>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// How it went.
    pub status: StepStatus,
    /// The tool's whole answer.
    pub output: Option<Json>,
    /// What the recorder kept of the answer instead, or beside it.
    pub output_signature: Option<Json>,
    /// Objects.
    pub postconditions: Vec<Json>,
    /// Texts or objects.
    pub artifact_refs: Vec<Json>,
    /// True where the agent had to mend something to get past this step.
    pub repair_applied: bool,
    /// What it mended.
    pub repair_note: Option<String>,
    /// Why it failed, a text or an object.
    pub error: Option<Json>,
    /// An object.
    pub metadata: Option<Json>,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// SHA-256 of the row as stored; none for a run that was never stored.
    pub written: Option<Digest>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How it went.
    pub status: RunStatus,
    /// In words.
    pub summary: Option<String>,
    /// An object.
    pub success_criteria: Option<Json>,
    /// An object.
    pub metrics: Option<Json>,
    /// An object.
    pub metadata: Option<Json>,
    /// What the whole run came to.
    pub output: Option<Json>,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub ended_at_ms: u64,
    /// SHA-256 of the row as stored; none for a run that was never stored.
    pub written: Option<Digest>,
}

/// One line of a list of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// Within its space.
    pub run_id: RunId,
    /// What the agent set out to do.
    pub goal: String,
    /// None while it is in progress.
    pub status: Option<RunStatus>,
    /// How many steps it has so far.
    pub steps: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it is in progress.
    pub ended_at_ms: Option<u64>,
}

// The names below are on disk, in recording files and in answers: they never change.

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// The goal was reached.
    Success,
    /// It was not.
    Failed,
    /// Some of it was.
    Partial,
}

impl RunStatus {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, RunStatus)] =
        &[("success", RunStatus::Success), ("failed", RunStatus::Failed), ("partial", RunStatus::Partial)];

    /// The name that clients use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Success => "success",
            RunStatus::Failed => "failed",
            RunStatus::Partial => "partial",
        }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// The tool did what it was asked.
    Success,
    /// It did not.
    Failed,
    /// It was never called.
    Skipped,
    /// It did some of it.
    Partial,
}

impl StepStatus {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, StepStatus)] = &[
        ("success", StepStatus::Success),
        ("failed", StepStatus::Failed),
        ("skipped", StepStatus::Skipped),
        ("partial", StepStatus::Partial),
    ];

    /// The name that clients use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Success => "success",
            StepStatus::Failed => "failed",
            StepStatus::Skipped => "skipped",
            StepStatus::Partial => "partial",
        }
    }
}

/// Whether repeating a step may go ahead unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SafetyLevel {
    /// It may.
    AutoOk,
    /// A person confirms it first.
    #[default]
    NeedsConfirm,
    /// Only a person does it.
    ManualOnly,
}

impl SafetyLevel {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, SafetyLevel)] =
        &[("auto_ok", SafetyLevel::AutoOk), ("needs_confirm", SafetyLevel::NeedsConfirm), ("manual_only", SafetyLevel::ManualOnly)];

    /// The name that clients use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SafetyLevel::AutoOk => "auto_ok",
            SafetyLevel::NeedsConfirm => "needs_confirm",
            SafetyLevel::ManualOnly => "manual_only",
        }
    }

    /// The one of the two under which less goes ahead unasked.
    #[must_use]
    pub fn stricter(self, other: SafetyLevel) -> SafetyLevel {
        match (self, other) {
            (SafetyLevel::ManualOnly, _) | (_, SafetyLevel::ManualOnly) => SafetyLevel::ManualOnly,
            (SafetyLevel::NeedsConfirm, _) | (_, SafetyLevel::NeedsConfirm) => SafetyLevel::NeedsConfirm,
            (SafetyLevel::AutoOk, SafetyLevel::AutoOk) => SafetyLevel::AutoOk,
        }
    }
}

impl Run {
    /// The same with everything that was recorded in it put through `change`; ids, counts and names of tools stay.
    #[must_use]
    pub fn rewritten(mut self, change: &dyn Fn(&Json) -> Json) -> Run {
        let text = |text: &mut String| {
            if let Some(changed) = change(&Json::from(&Value::from(text.as_str()))).value().as_str() {
                *text = changed.to_owned();
            }
        };
        let json = |json: &mut Json| *json = change(json);
        text(&mut self.goal);
        self.context_snapshot_ref.iter_mut().for_each(text);
        [&mut self.inputs, &mut self.metadata].into_iter().flatten().for_each(json);
        for step in &mut self.steps {
            json(&mut step.tool_input);
            step.preconditions.iter_mut().for_each(json);
            [&mut step.expected_output_signature, &mut step.retry_policy, &mut step.metadata].into_iter().flatten().for_each(json);
            let Some(after) = &mut step.after else { continue };
            after.postconditions.iter_mut().chain(&mut after.artifact_refs).for_each(json);
            [&mut after.output, &mut after.output_signature, &mut after.error, &mut after.metadata].into_iter().flatten().for_each(json);
            after.repair_note.iter_mut().for_each(text);
        }
        if let Some(end) = &mut self.end {
            [&mut end.success_criteria, &mut end.metrics, &mut end.metadata, &mut end.output].into_iter().flatten().for_each(json);
            end.summary.iter_mut().for_each(text);
        }
        self
    }
}

// What was sent to make each part. A repeat is recognised by comparing with it.

impl Run {
    /// How the run went; none while it is in progress.
    #[must_use]
    pub fn status(&self) -> Option<RunStatus> {
        self.end.as_ref().map(|end| end.status)
    }

    /// The request that would start this run.
    #[must_use]
    pub fn as_start(&self) -> RunStart {
        RunStart {
            run_id: Some(self.run_id.clone()),
            goal: self.goal.clone(),
            inputs: self.inputs.clone(),
            context_snapshot_ref: self.context_snapshot_ref.clone(),
            context_snapshot_hash: self.context_snapshot_hash.clone(),
            metadata: self.metadata.clone(),
            actor: self.actor.clone(),
        }
    }
}

impl Step {
    /// The request that would record this step of run `run_id`.
    #[must_use]
    pub fn as_before(&self, run_id: &RunId) -> StepBefore {
        StepBefore {
            run_id: run_id.clone(),
            step_id: Some(self.step_id.clone()),
            decision_id: self.decision_id.clone(),
            step_index: self.step_index,
            tool_name: self.tool_name.clone(),
            tool_input: self.tool_input.clone(),
            expected_output_signature: self.expected_output_signature.clone(),
            preconditions: self.preconditions.clone(),
            retry_policy: self.retry_policy.clone(),
            safety_level: self.safety_level,
            metadata: self.metadata.clone(),
        }
    }

    /// The request that would record what came of this step; none while it is pending.
    #[must_use]
    pub fn as_after(&self, run_id: &RunId) -> Option<StepAfter> {
        self.after.as_ref().map(|after| after.as_after(run_id, &self.step_id))
    }
}

impl After {
    /// The request that would record this of step `step_id` of run `run_id`.
    #[must_use]
    pub fn as_after(&self, run_id: &RunId, step_id: &StepId) -> StepAfter {
        StepAfter {
            run_id: run_id.clone(),
            step: StepRef::Id(step_id.clone()),
            status: self.status,
            output: self.output.clone(),
            output_signature: self.output_signature.clone(),
            postconditions: self.postconditions.clone(),
            artifact_refs: self.artifact_refs.clone(),
            repair_applied: self.repair_applied,
            repair_note: self.repair_note.clone(),
            error: self.error.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

impl End {
    /// The request that would end run `run_id` like this.
    #[must_use]
    pub fn as_end(&self, run_id: &RunId) -> RunEnd {
        RunEnd {
            run_id: run_id.clone(),
            status: self.status,
            summary: self.summary.clone(),
            success_criteria: self.success_criteria.clone(),
            metrics: self.metrics.clone(),
            metadata: self.metadata.clone(),
            output: self.output.clone(),
        }
    }
}
