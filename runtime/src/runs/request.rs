//! What a recorder sends: the start of a run, each step before and after, and the end.
//!
//! Parsed once, here, from an HTTP body or from a line of a recording file; behind it every field has
//! its type and fits its limit. Whose run it is (tenant, scope, actor) is not read here: that is
//! between the caller and whoever let the caller in.

use serde_json::{Value, json};

use super::run::{RunStatus, SafetyLevel, StepStatus};
use crate::error::{Code, Issue, Result};
use crate::fields::{self, Fields};
use crate::ids::{RunId, Space, StepId};
use crate::json::Json;
use crate::limits;

/// `run/start`: an agent begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    /// Made here where the client does not choose one; a repeat is recognised by it.
    pub run_id: Option<RunId>,
    /// What the agent sets out to do, in words.
    pub goal: String,
    /// What the agent was given, an object. Not known to Aionis.
    pub inputs: Option<Json>,
    /// Where the agent's context can be found.
    pub context_snapshot_ref: Option<String>,
    /// SHA-256 of that context, 64 lower-case hex digits.
    pub context_snapshot_hash: Option<String>,
    /// An object.
    pub metadata: Option<Json>,
    /// Who started it; set by the caller, never read from what was sent. Not part of the content.
    pub actor: Option<String>,
}

/// `step/before`: the agent is about to call a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepBefore {
    /// Of a run that was started.
    pub run_id: RunId,
    /// Follows from the run, the index and the content where the client does not choose one.
    pub step_id: Option<StepId>,
    /// The decision that led to it.
    pub decision_id: Option<String>,
    /// From 1. Attempts at the same thing may share one.
    pub step_index: u32,
    /// The tool as the agent calls it.
    pub tool_name: String,
    /// What the tool is given; JSON null for nothing.
    pub tool_input: Json,
    /// What the agent expects of the output.
    pub expected_output_signature: Option<Json>,
    /// Objects.
    pub preconditions: Vec<Json>,
    /// An object.
    pub retry_policy: Option<Json>,
    /// Whether a repetition may go ahead unasked.
    pub safety_level: SafetyLevel,
    /// An object.
    pub metadata: Option<Json>,
}

/// `step/after`: the tool has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepAfter {
    /// Of a run that was started.
    pub run_id: RunId,
    /// Which step.
    pub step: StepRef,
    /// How it went.
    pub status: StepStatus,
    /// The tool's whole answer. Not known to Aionis; a playbook's references come out of it.
    pub output: Option<Json>,
    /// What the recorder keeps of the answer instead, or beside it.
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
}

/// Names a step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepRef {
    /// By its id.
    Id(StepId),
    /// By its index; of several, the one that was recorded last.
    Index(u32),
}

/// `run/end`: the agent is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Of a run that was started.
    pub run_id: RunId,
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
    /// What the whole run came to. Not known to Aionis.
    pub output: Option<Json>,
}

impl RunStart {
    /// Reads a body. Unknown fields are ignored, null counts as absent.
    ///
    /// # Errors
    /// `invalid_request` or `too_large` with every place that is wrong.
    pub fn parse(body: &Value) -> Result<Self> {
        let mut fields = Fields::of(body, "")?;
        let made = Self::from_fields(&mut fields);
        fields.build(made)
    }

    pub(super) fn from_fields(f: &mut Fields<'_>) -> Option<Self> {
        f.require(&["goal"]);
        let run_id = f.id("run_id", RunId::parse);
        let goal = f.text("goal", limits::TEXT_CHARS_MAX);
        let inputs = f.json_object("inputs");
        let context_snapshot_ref = f.text("context_snapshot_ref", limits::TEXT_CHARS_MAX);
        let context_snapshot_hash = f.id("context_snapshot_hash", sha256_text);
        let metadata = f.meta_object("metadata");
        f.check_meta();
        Some(RunStart { run_id, goal: goal?, inputs, context_snapshot_ref, context_snapshot_hash, metadata, actor: None })
    }

    /// The values that may be too large for a row.
    pub(super) fn values(&self) -> impl Iterator<Item = &Json> {
        self.inputs.iter()
    }

    /// How much of a run's bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        length(self.values().chain(&self.metadata)) + self.goal.len() as u64
    }

    /// What a repeat must have the same of: everything that was sent but the id and the actor.
    #[must_use]
    pub fn content(&self) -> Value {
        without_nulls(json!({
            "goal": self.goal,
            "inputs": self.inputs,
            "context_snapshot_ref": self.context_snapshot_ref,
            "context_snapshot_hash": self.context_snapshot_hash,
            "metadata": self.metadata,
        }))
    }
}

impl StepBefore {
    /// Reads a body. Unknown fields are ignored, null counts as absent.
    ///
    /// # Errors
    /// `invalid_request` or `too_large` with every place that is wrong.
    pub fn parse(body: &Value) -> Result<Self> {
        let mut fields = Fields::of(body, "")?;
        fields.require(&["run_id", "step_index"]);
        let run_id = fields.id("run_id", RunId::parse);
        let step_index = fields.index("step_index");
        let made = Self::from_fields(&mut fields, run_id, step_index, ["tool_name", "tool_input"]);
        fields.build(made)
    }

    /// `names` are those of the tool and of its input.
    pub(super) fn from_fields(
        f: &mut Fields<'_>,
        run_id: Option<RunId>,
        step_index: Option<u32>,
        names: [&'static str; 2],
    ) -> Option<Self> {
        let [tool, input] = names;
        f.require(&[tool]);
        let step_id = f.id("step_id", StepId::parse);
        let decision_id = f.text("decision_id", limits::ID_CHARS_MAX);
        let tool_name = f.text(tool, limits::TOOL_NAME_CHARS_MAX);
        let tool_input = f.json(input).unwrap_or_else(|| Json::from(&Value::Null));
        let expected_output_signature = f.json("expected_output_signature");
        let preconditions = f.meta_objects("preconditions");
        let retry_policy = f.meta_object("retry_policy");
        let safety_level = f.choice("safety_level", SafetyLevel::NAMES).unwrap_or_default();
        let metadata = f.meta_object("metadata");
        f.check_meta();
        Some(StepBefore {
            run_id: run_id?,
            step_id,
            decision_id,
            step_index: step_index?,
            tool_name: tool_name?,
            tool_input,
            expected_output_signature,
            preconditions,
            retry_policy,
            safety_level,
            metadata,
        })
    }

    /// The values that may be too large for a row.
    pub(super) fn values(&self) -> impl Iterator<Item = &Json> {
        std::iter::once(&self.tool_input).chain(&self.expected_output_signature)
    }

    /// How much of a run's bytes it takes; names and numbers are few, as the steps are.
    pub(super) fn bytes(&self) -> u64 {
        length(self.values().chain(&self.preconditions).chain(&self.retry_policy).chain(&self.metadata))
    }

    /// What a repeat must have the same of: everything that was sent but the ids of run and step.
    #[must_use]
    pub fn content(&self) -> Value {
        without_nulls(json!({
            "decision_id": self.decision_id,
            "step_index": self.step_index,
            "tool_name": self.tool_name,
            "tool_input": self.tool_input,
            "expected_output_signature": self.expected_output_signature,
            "preconditions": self.preconditions,
            "retry_policy": self.retry_policy,
            "safety_level": self.safety_level,
            "metadata": self.metadata,
        }))
    }

    /// The step's id: the client's, or the one that follows from run, index and content, so that a
    /// repeat without an id finds what the first one made.
    #[must_use]
    pub fn id_in(&self, space: &Space) -> StepId {
        self.step_id.clone().unwrap_or_else(|| {
            let content = Json::from(&self.content());
            let parts = [space.tenant(), space.scope(), self.run_id.as_str(), content.as_str()];
            StepId::derived(&parts.map(str::as_bytes))
        })
    }
}

impl StepAfter {
    /// Reads a body. Unknown fields are ignored, null counts as absent. `step_id` goes before `step_index`.
    ///
    /// # Errors
    /// `replay_step_reference_required` where neither is given; `invalid_request` or `too_large` with
    /// every place that is wrong.
    pub fn parse(body: &Value) -> Result<Self> {
        let mut fields = Fields::of(body, "")?;
        fields.require(&["run_id", "status"]);
        let nameless = !fields.has("step_id") && !fields.has("step_index");
        let run_id = fields.id("run_id", RunId::parse);
        let (step_id, step_index) = (fields.id("step_id", StepId::parse), fields.index("step_index"));
        let step = step_id.map(StepRef::Id).or(step_index.map(StepRef::Index));
        let status = fields.choice("status", StepStatus::NAMES);
        if nameless {
            fields.issue("step_id", "is missing, and so is step_index; one of them says which step this is about".to_owned());
        }
        let made = Self::from_fields(&mut fields, run_id, step, status, "metadata");
        fields.build(made).map_err(|e| match &e.issues[..] {
            [Issue { .. }] if nameless => fields::refusal(Code::ReplayStepReferenceRequired, e.issues),
            _ => e,
        })
    }

    /// `metadata_name` is that of the metadata.
    pub(super) fn from_fields(
        f: &mut Fields<'_>,
        run_id: Option<RunId>,
        step: Option<StepRef>,
        status: Option<StepStatus>,
        metadata_name: &'static str,
    ) -> Option<Self> {
        let output = f.json("output");
        let output_signature = f.json("output_signature");
        let postconditions = f.meta_objects("postconditions");
        let artifact_refs = f.meta_texts_or_objects("artifact_refs");
        let repair_applied = f.flag("repair_applied").unwrap_or_default();
        let repair_note = f.text("repair_note", limits::TEXT_CHARS_MAX);
        let error = f.meta_text_or_object("error");
        let metadata = f.meta_object(metadata_name);
        f.check_meta();
        Some(StepAfter {
            run_id: run_id?,
            step: step?,
            status: status?,
            output,
            output_signature,
            postconditions,
            artifact_refs,
            repair_applied,
            repair_note,
            error,
            metadata,
        })
    }

    /// The values that may be too large for a row.
    pub(super) fn values(&self) -> impl Iterator<Item = &Json> {
        self.output.iter().chain(&self.output_signature)
    }

    /// How much of a run's bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        let meta = self.postconditions.iter().chain(&self.artifact_refs).chain(&self.error).chain(&self.metadata);
        length(self.values().chain(meta)) + self.repair_note.as_ref().map_or(0, |note| note.len() as u64)
    }

    /// What a repeat must have the same of: everything that was sent but which step it is about.
    #[must_use]
    pub fn content(&self) -> Value {
        without_nulls(json!({
            "status": self.status,
            "output": self.output,
            "output_signature": self.output_signature,
            "postconditions": self.postconditions,
            "artifact_refs": self.artifact_refs,
            "repair_applied": self.repair_applied,
            "repair_note": self.repair_note,
            "error": self.error,
            "metadata": self.metadata,
        }))
    }
}

impl RunEnd {
    /// Reads a body. Unknown fields are ignored, null counts as absent.
    ///
    /// # Errors
    /// `invalid_request` or `too_large` with every place that is wrong.
    pub fn parse(body: &Value) -> Result<Self> {
        let mut fields = Fields::of(body, "")?;
        fields.require(&["run_id"]);
        let run_id = fields.id("run_id", RunId::parse);
        let made = Self::from_fields(&mut fields, run_id);
        fields.build(made)
    }

    pub(super) fn from_fields(f: &mut Fields<'_>, run_id: Option<RunId>) -> Option<Self> {
        f.require(&["status"]);
        let status = f.choice("status", RunStatus::NAMES);
        let summary = f.text("summary", limits::TEXT_CHARS_MAX);
        let success_criteria = f.meta_object("success_criteria");
        let metrics = f.meta_object("metrics");
        let metadata = f.meta_object("metadata");
        let output = f.json("output");
        f.check_meta();
        Some(RunEnd { run_id: run_id?, status: status?, summary, success_criteria, metrics, metadata, output })
    }

    /// The values that may be too large for a row.
    pub(super) fn values(&self) -> impl Iterator<Item = &Json> {
        self.output.iter()
    }

    /// What a repeat must have the same of: everything that was sent but the run's id.
    #[must_use]
    pub fn content(&self) -> Value {
        without_nulls(json!({
            "status": self.status,
            "summary": self.summary,
            "success_criteria": self.success_criteria,
            "metrics": self.metrics,
            "metadata": self.metadata,
            "output": self.output,
        }))
    }
}

fn length<'a>(values: impl Iterator<Item = &'a Json>) -> u64 {
    values.map(|json| json.as_str().len() as u64).sum()
}

/// The rule of `context_snapshot_hash`.
fn sha256_text(text: &str) -> Result<String> {
    let hex = text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    match hex {
        true => Ok(text.to_owned()),
        false => Err(crate::error::Error::invalid("", format!("{text:?} is not 64 lower-case hex digits"))),
    }
}

/// Drops what is absent, so that a field added later leaves the content of older requests as it is.
fn without_nulls(mut content: Value) -> Value {
    if let Some(object) = content.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    content
}

#[cfg(test)]
mod tests;
