//! Playbooks run as Aionis runs them: simulated, strictly, or guided; with its parameters, its consent, and a run on record.
//!
//! A simulation is a rehearsal on a recording: nothing is touched. A strict or guided run is a job like any other, under the grants
//! that operators gave, with the record of it in the journal; what is written as a replay run beside it is for clients that read
//! runs. What must stay true: a step that must not run stops all of it before anything is done, and not in the middle.

mod execute;
mod params;
mod record;
mod simulate;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub use params::Params;

use super::{Engine, Gate, Judgement, Mode, StepTemplate};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, PlaybookId, Space};
use crate::json::Json;
use crate::lifecycle::Version;
use crate::runs::SafetyLevel;

/// How a playbook is to be run.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version; the one in force where none is named.
    pub version: Option<u32>,
    /// How.
    pub mode: Mode,
    /// What must hold for it to stand in for the caller's own inference.
    pub gate: Option<Gate>,
    /// What it is run with.
    pub params: Params,
    /// Steps at the most; a playbook with more is not run in part.
    pub max_steps: Option<u32>,
    /// Who asks.
    pub actor: Option<String>,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// What was run.
    pub version: Version,
    /// What the gate made of it.
    pub judgement: Judgement,
    /// How it was run.
    pub mode: Mode,
    /// The run on record, and the job.
    pub run: RunReport,
    /// Each step.
    pub steps: Vec<StepReport>,
    /// What it gave back.
    pub output: Option<Json>,
    /// As it was asked.
    pub params: Params,
    /// Whether it runs commands of this machine.
    pub runs_commands: bool,
}

/// The run on record.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct RunReport {
    /// The client's, or a fresh one.
    pub run_id: String,
    /// `success`, `failed`, `partial`, or `in_progress` where the job has not ended yet.
    pub status: &'static str,
    /// Null where nothing was recorded.
    pub run_uri: Option<String>,
    /// Null where nothing was recorded, or the run has not ended.
    pub run_end_uri: Option<String>,
    /// The write that began the run.
    pub commit_id_start: Option<String>,
    /// The write that ended it.
    pub commit_id_end: Option<String>,
    /// The job that did it. Not known to Aionis.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// How the job stands. Not known to Aionis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_status: Option<&'static str>,
}

/// One step of a run.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct StepReport {
    /// The step's number.
    pub step_index: u32,
    /// The step within the plan. Not known to Aionis.
    pub step_id: String,
    /// The tool as the agent called it.
    pub tool_name: String,
    /// The tool that a job calls. Not known to Aionis.
    pub tool: String,
    /// As recorded, or as a repair set it.
    pub safety_level: SafetyLevel,
    /// `success`, `failed`, `partial`, `skipped` or `pending`; absent in a simulation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// `ready`, `blocked`, `unknown`, `partial` or `pending`.
    pub readiness: &'static str,
    /// The program, where the step runs one.
    pub command: Option<String>,
    /// Its arguments, itself first.
    pub argv: Vec<String>,
    /// How many conditions were recorded for before the step.
    pub precondition_total: usize,
    /// Each condition with its verdict.
    pub checks: Vec<CheckReport>,
    /// In words.
    pub notes: Vec<String>,
    /// Why it failed, or may not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// True while the job waits at it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// What was called with. Not known to Aionis.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What came back. Not known to Aionis.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// A condition with its verdict.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckReport {
    /// As recorded.
    pub kind: String,
    /// `pass`, `fail` or `unknown`.
    pub state: &'static str,
    /// Why.
    pub reason: String,
}

impl Engine {
    /// Runs a playbook. The same `run_id` again is answered with the same job.
    ///
    /// # Errors
    /// `replay_playbook_not_found`; `replay_deterministic_gate_mismatch`; `input_does_not_fit`;
    /// `replay_local_exec_consent_required`, `replay_allowed_commands_empty`; `id_conflict` where the run's id is another run's;
    /// `run_ended` where it has ended without doing anything;
    /// else as [`Engine::start_job`].
    pub async fn replay_playbook(&self, space: &Space, request: ReplayRequest) -> Result<Replayed> {
        let (version, judgement) = self.judge(space, &request.playbook_id, request.version, request.gate.as_ref(), request.mode)?;
        if judgement.decision == super::Decision::Rejected {
            let message = format!(
                "the deterministic gate does not let playbook {} run: {}",
                request.playbook_id,
                judgement.mismatch_reasons.join(", ")
            );
            return Err(Error::new(Code::ReplayDeterministicGateMismatch, message)
                .with_details(serde_json::json!({"deterministic_gate": judgement})));
        }
        match judgement.effective_mode {
            Mode::Simulate => self.simulate(space, request, version, judgement).await,
            Mode::Strict | Mode::Guided => self.execute(space, request, version, judgement).await,
        }
    }
}

/// A step before anything is known of how it goes.
fn report(step: &StepTemplate) -> StepReport {
    StepReport {
        step_index: step.step_index,
        step_id: step.step_id.clone(),
        tool_name: step.tool_name.clone(),
        tool: step.tool.clone(),
        safety_level: step.safety_level,
        precondition_total: step.preconditions.len(),
        readiness: "unknown",
        ..StepReport::default()
    }
}

/// The program and the arguments of a call that runs one.
fn command(tool: &str, input: &Value) -> (Option<String>, Vec<String>) {
    let program = ["program", "command"].iter().find_map(|name| input.get(name)?.as_str());
    let Some(program) = program.filter(|_| runs_programs(tool)) else { return (None, Vec::new()) };
    let arguments = ["args", "arguments", "argv"].iter().find_map(|name| input.get(name)?.as_array());
    let arguments = arguments.into_iter().flatten().filter_map(|argument| argument.as_str().map(str::to_owned));
    (Some(program.to_owned()), std::iter::once(program.to_owned()).chain(arguments).collect())
}

/// True for tools that run programs of this machine.
fn runs_programs(tool: &str) -> bool {
    tool.starts_with("exec/")
}
