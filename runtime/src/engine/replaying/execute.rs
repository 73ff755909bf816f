//! A strict or guided run: a job, under grants, waited for as long as a request may wait.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ReplayRequest, Replayed, RunReport, StepReport, command, report, runs_programs};
use crate::compiler::rehearse::step_of_turn;
use crate::contract::ToolError;
use crate::engine::{Engine, JobRequest, JobView, Judgement, Mode, StepTemplate};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, RunId, Space};
use crate::jobs::Manner;
use crate::journal::{self, Answer, Body, CallState, Options, Status};
use crate::json::Json;
use crate::lifecycle::Version;
use crate::runs::SafetyLevel;
use crate::{blocking, limits};

/// One call that a job made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub call: u64,
    pub step: String,
    pub tool: String,
    pub input: Value,
    /// None while nobody has answered.
    pub answer: Option<Result<Json, ToolError>>,
}

impl Engine {
    pub(super) async fn execute(&self, space: &Space, request: ReplayRequest, version: Version, judgement: Judgement) -> Result<Replayed> {
        let steps = self.steps(space, &version).await?;
        let most = request.max_steps.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        if let Some(most) = most.filter(|most| steps.len() > *most) {
            let message = format!("the playbook has {} steps and may have {most}; a playbook is not run in part", steps.len());
            return Err(Error::invalid("/max_steps", message));
        }
        let runs_commands = steps.iter().any(|step| runs_programs(&step.tool));
        if runs_commands && !request.params.allow_local_exec {
            let message = "the playbook runs programs on this machine; say params.allow_local_exec = true";
            return Err(Error::new(Code::ReplayLocalExecConsentRequired, message));
        }
        if runs_commands && request.params.allowed_commands.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::new(Code::ReplayAllowedCommandsEmpty, "params.allowed_commands allows no command at all"));
        }
        let schema = self.input_schema(&version.component).await?;
        let input = Json::from(&Value::Object(request.params.input(schema.as_ref())));
        self.check_input(&version.component, &input).await?;
        let run_id = request.params.run_id.clone().unwrap_or_else(RunId::fresh);
        let mode = judgement.effective_mode;
        let refused: BTreeMap<&str, &'static str> =
            steps.iter().filter_map(|step| Some((step.step_id.as_str(), refusal(step, &request)?))).collect();
        let mut replayed = Replayed {
            steps: steps.iter().map(|step| not_run(step, mode, &refused)).collect(),
            run: RunReport {
                run_id: run_id.to_string(),
                status: if mode == Mode::Strict { "failed" } else { "partial" },
                ..RunReport::default()
            },
            version: version.clone(),
            mode,
            judgement,
            output: None,
            params: request.params.clone(),
            runs_commands,
        };
        let recorder = self.recorder(space, &run_id, &replayed, request.actor.clone()).await?;
        if !refused.is_empty() {
            recorder.end(&mut replayed, &[], &input).await?;
            return Ok(replayed);
        }
        recorder.require_open().await?;
        let job = self.start_replay(space, &request, &version, input.clone(), mode, &run_id).await?;
        let (view, made) = self.waited(space, &job).await?;
        tell(&mut replayed, &steps, &job, &view, &made);
        recorder.end(&mut replayed, &made, &input).await?;
        Ok(replayed)
    }

    async fn start_replay(
        &self,
        space: &Space,
        request: &ReplayRequest,
        version: &Version,
        input: Json,
        mode: Mode,
        run_id: &RunId,
    ) -> Result<JobId> {
        let options = Options { call_timeout_ms: request.params.timeout_ms, ..options(mode) };
        let order = JobRequest {
            playbook_id: version.playbook_id.clone(),
            version: Some(version.version),
            input,
            // The run's id names the request too: sent again after a lost answer, it finds the job that it made.
            idempotency_key: request.params.run_id.as_ref().map(|_| format!("replay-run:{run_id}")),
            grants: Vec::new(),
            options,
        };
        self.start_job(space, order, Manner::default()).await
    }

    /// The job as it stands once it has ended or waits for somebody, or once the request has waited long enough; and its calls.
    async fn waited(&self, space: &Space, job: &JobId) -> Result<(JobView, Vec<Made>)> {
        self.wait(space, job, Duration::from_millis(limits::WAIT_MS_MAX)).await?;
        let view = self.job(space, job).await?;
        let (engine, space, job) = (self.clone(), space.clone(), *job);
        let made = blocking::run(move || engine.calls_of(&space, &job)).await?;
        Ok((view, made))
    }

    /// What a job called, in order, each call once with its last answer.
    fn calls_of(&self, space: &Space, job: &JobId) -> Result<Vec<Made>> {
        let mut made: Vec<Made> = Vec::new();
        let mut after = None;
        loop {
            let entries = self.journal(space, job, after, limits::PAGE_ROWS_MAX)?;
            let Some(last) = entries.last() else { return Ok(made) };
            after = Some(last.seq);
            for entry in &entries {
                match &entry.body {
                    Body::Called { call, step, tool, input, .. } => {
                        let input = self.store.load(input)?.value();
                        made.retain(|other| other.call != *call);
                        made.push(Made {
                            call: *call,
                            step: step.clone().unwrap_or_default(),
                            tool: tool.to_string(),
                            input,
                            answer: None,
                        });
                    }
                    Body::Returned { call, answer } => {
                        let answer = match answer {
                            Answer::Output(payload) => Ok(self.store.load(payload)?),
                            Answer::Error(error) => Err(error.clone()),
                        };
                        if let Some(of) = made.iter_mut().find(|made| made.call == *call) {
                            of.answer = Some(answer);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// How the job of a mode is run.
fn options(mode: Mode) -> Options {
    let mode = match mode {
        Mode::Simulate => journal::Mode::Normal,
        Mode::Strict => journal::Mode::Strict,
        Mode::Guided => journal::Mode::Guided,
    };
    Options { mode, ..Options::default() }
}

/// Why a step may not run at all, in Aionis' words.
fn refusal(step: &StepTemplate, request: &ReplayRequest) -> Option<&'static str> {
    match step.safety_level {
        SafetyLevel::ManualOnly => return Some("manual_only_step"),
        SafetyLevel::NeedsConfirm if !request.params.auto_confirm => return Some("confirmation_required"),
        SafetyLevel::NeedsConfirm | SafetyLevel::AutoOk => {}
    }
    let allowed = request.params.allowed_commands.as_ref().filter(|_| runs_programs(&step.tool))?;
    // Only a program that is the same in every job can be known to be allowed.
    let constant = step.input.get("constant").cloned().or_else(|| {
        let program = step.input.get("object")?.get("program")?.get("constant")?;
        Some(json!({"program": program}))
    });
    let program = constant.and_then(|input| command(&step.tool, &input).0);
    // To the letter: `git` allows no `/tmp/git`, since who may write there would choose what runs.
    (!program.as_ref().is_some_and(|program| allowed.contains(program))).then_some("command_not_allowed_or_missing")
}

/// A step of a run of which nothing was done, because one of its steps may not run.
fn not_run(step: &StepTemplate, mode: Mode, refused: &BTreeMap<&str, &'static str>) -> StepReport {
    let of_this = refused.get(step.step_id.as_str());
    let failed = if mode == Mode::Strict { "failed" } else { "partial" };
    StepReport {
        status: Some(if of_this.is_some() { failed } else { "skipped" }),
        readiness: if of_this.is_some() { "blocked" } else { "unknown" },
        error: of_this.map(|why| (*why).to_owned()),
        notes: vec!["nothing was done: a step that may not run stops all of it before it begins".to_owned()],
        ..report(step)
    }
}

/// Tells how a job went.
fn tell(replayed: &mut Replayed, steps: &[StepTemplate], job: &JobId, view: &JobView, made: &[Made]) {
    let status = view.state.status();
    replayed.run.job_id = Some(*job);
    replayed.run.job_status = Some(status.as_str());
    replayed.output.clone_from(&view.output);
    replayed.run.status = match status {
        Status::Completed => "success",
        Status::Failed | Status::Cancelled => "failed",
        _ => "in_progress",
    };
    replayed.steps = steps.iter().map(|step| told(step, view, made, replayed.run.status != "in_progress")).collect();
}

/// How one step of a job went; `over` says that the job has ended.
fn told(step: &StepTemplate, view: &JobView, made: &[Made], over: bool) -> StepReport {
    let is_here = |named: Option<&str>| named.map(step_of_turn) == Some(&step.step_id);
    let last = made.iter().rfind(|made| is_here(Some(&made.step)));
    let answer = last.and_then(|made| made.answer.as_ref());
    let failure = view.state.failure.as_ref().filter(|failure| is_here(failure.step.as_deref()));
    let handed = view.state.handed_over.as_ref().map(|standing| &standing.handed).filter(|handed| is_here(handed.step.as_deref()));
    let doubt = view.state.calls.iter().any(|row| row.state == CallState::Uncertain && is_here(row.step.as_deref()));
    let (status, readiness) = match (answer, last.is_some()) {
        _ if failure.is_some() => ("failed", "blocked"),
        _ if handed.is_some() => ("partial", "partial"),
        (Some(Ok(_)), _) => ("success", "ready"),
        (Some(Err(_)), _) if over => ("failed", "blocked"),
        (None, false) if over => ("skipped", "unknown"),
        _ => ("pending", "pending"),
    };
    let error = match (failure, handed, answer) {
        (Some(failure), ..) => Some(failure.message.clone()),
        (None, Some(handed), _) => Some(format!("{}; POST /v1/jobs/{{id}}/resolve says how it goes on", handed.why)),
        (None, None, Some(Err(error))) => Some(error.message.clone()),
        _ if doubt => Some("nobody knows whether the call took effect; POST /v1/jobs/{id}/resolve settles it".to_owned()),
        _ => None,
    };
    let input = last.map(|made| made.input.clone());
    let output = answer.and_then(|answer| answer.as_ref().ok()).map(Json::value);
    let (program, argv) = command(&step.tool, input.as_ref().unwrap_or(&Value::Null));
    let pending = status == "pending";
    StepReport { status: Some(status), readiness, error, pending, command: program, argv, input, output, ..report(step) }
}
