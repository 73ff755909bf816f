//! The replay run that stands beside a simulation or a job, as recorders write runs.
//!
//! It is a recording like any other: it can be read by `runs/get`, and be compiled again. What happened to a job is in its
//! journal; this says it once more for clients that read runs. The same run under the same id is written once.

use serde_json::{Value, json};

use super::execute::Made;
use super::{Replayed, StepReport};
use crate::blocking;
use crate::engine::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::ids::{RunId, Space, StepId};
use crate::json::Json;
use crate::runs::{self, RunEnd, RunStart, RunStatus, SafetyLevel, StepAfter, StepBefore, StepRef, StepStatus};

/// Where the end of a run names the job that did it. Stored.
const JOB: &str = "job_id";

/// Writes one run; or nothing, where none is to be recorded.
pub(super) struct Recorder<'a> {
    engine: &'a Engine,
    space: &'a Space,
    run_id: RunId,
    writes: bool,
    run_uri: Option<String>,
    commit_id_start: Option<String>,
}

impl Engine {
    /// Begins the record of a run.
    pub(super) async fn recorder<'a>(
        &'a self,
        space: &'a Space,
        run_id: &RunId,
        replayed: &Replayed,
        actor: Option<String>,
    ) -> Result<Recorder<'a>> {
        let writes = replayed.params.record_run;
        let mut recorder = Recorder { engine: self, space, run_id: run_id.clone(), writes, run_uri: None, commit_id_start: None };
        if !writes {
            return Ok(recorder);
        }
        let version = &replayed.version;
        let schema = self.input_schema(&version.component).await?;
        let metadata = json!({"replay": {"playbook_id": version.playbook_id, "version": version.version, "mode": replayed.mode}});
        let start = RunStart {
            run_id: Some(run_id.clone()),
            goal: format!("replay of {}", version.name),
            inputs: Some(Json::from(&Value::Object(replayed.params.input(schema.as_ref())))),
            context_snapshot_ref: None,
            context_snapshot_hash: None,
            metadata: Some(Json::from(&metadata)),
            actor,
        };
        let started = runs::view::started(space, &self.runs.start(space, start).await?);
        recorder.run_uri = Some(started.run_uri);
        recorder.commit_id_start = Some(started.commit.commit_id);
        Ok(recorder)
    }

    /// A simulation's record: what would be done, and that nothing was.
    pub(super) async fn record_simulation(
        &self,
        space: &Space,
        run_id: &RunId,
        replayed: &mut Replayed,
        actor: Option<String>,
    ) -> Result<()> {
        let recorder = self.recorder(space, run_id, replayed, actor).await?;
        if recorder.writes {
            for step in &replayed.steps {
                recorder.simulated(step).await?;
            }
        }
        recorder.close(replayed).await
    }
}

impl Recorder<'_> {
    /// Holds the run open for what is about to be done: nothing may be done for one that has ended without doing anything, since
    /// what came of it could not be written down. One that a job has ended is a repeat, and that job is found again.
    ///
    /// # Errors
    /// `run_ended`.
    pub(super) async fn require_open(&self) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let (runs, space, run_id) = (self.engine.runs.clone(), self.space.clone(), self.run_id.clone());
        let Some(end) = blocking::run(move || runs.end_of(&space, &run_id)).await? else { return Ok(()) };
        if end.metadata.is_some_and(|metadata| metadata.value().get(JOB).is_some()) {
            return Ok(());
        }
        let message =
            format!("run {:?} has ended, and nothing was done for it; what is to be done now is another run", self.run_id.as_str());
        Err(Error::new(Code::RunEnded, message))
    }

    /// Writes what was called, and the end where there is one.
    pub(super) async fn end(&self, replayed: &mut Replayed, made: &[Made], _input: &Json) -> Result<()> {
        if self.writes {
            for call in made {
                self.call(replayed, call).await?;
            }
        }
        self.close(replayed).await
    }

    async fn simulated(&self, step: &StepReport) -> Result<()> {
        let step_id = StepId::parse(&step.step_id)?;
        self.before(&step_id, step.step_index, &step.tool, step.input.clone().unwrap_or(Value::Null), step.safety_level).await?;
        let signature = json!({"simulated": true, "readiness": step.readiness});
        let after = StepAfter { status: StepStatus::Skipped, output_signature: Some(Json::from(&signature)), ..self.after(step_id) };
        self.engine.runs.after(self.space, after).await?;
        Ok(())
    }

    async fn call(&self, replayed: &Replayed, made: &Made) -> Result<()> {
        let of = replayed.steps.iter().find(|step| step.step_id == crate::compiler::rehearse::step_of_turn(&made.step));
        let (index, safety) = of.map_or((1, SafetyLevel::default()), |step| (step.step_index, step.safety_level));
        let step_id = StepId::parse(&format!("call-{}", made.call))?;
        self.before(&step_id, index, &made.tool, made.input.clone(), safety).await?;
        let Some(answer) = &made.answer else { return Ok(()) };
        let after = match answer {
            Ok(output) => StepAfter { status: StepStatus::Success, output: Some(output.clone()), ..self.after(step_id) },
            Err(error) => {
                let said = json!({"kind": error.kind.as_str(), "message": error.message});
                StepAfter { status: StepStatus::Failed, error: Some(Json::from(&said)), ..self.after(step_id) }
            }
        };
        self.engine.runs.after(self.space, after).await?;
        Ok(())
    }

    async fn before(&self, step_id: &StepId, step_index: u32, tool: &str, input: Value, safety_level: SafetyLevel) -> Result<()> {
        let before = StepBefore {
            run_id: self.run_id.clone(),
            step_id: Some(step_id.clone()),
            decision_id: None,
            step_index,
            tool_name: tool.to_owned(),
            tool_input: Json::from(&input),
            expected_output_signature: None,
            preconditions: Vec::new(),
            retry_policy: None,
            safety_level,
            metadata: None,
        };
        self.engine.runs.before(self.space, before).await?;
        Ok(())
    }

    fn after(&self, step_id: StepId) -> StepAfter {
        StepAfter {
            run_id: self.run_id.clone(),
            step: StepRef::Id(step_id),
            status: StepStatus::Skipped,
            output: None,
            output_signature: None,
            postconditions: Vec::new(),
            artifact_refs: Vec::new(),
            repair_applied: false,
            repair_note: None,
            error: None,
            metadata: None,
        }
    }

    /// Ends the run where what it tells has ended.
    async fn close(&self, replayed: &mut Replayed) -> Result<()> {
        replayed.run.run_uri.clone_from(&self.run_uri);
        replayed.run.commit_id_start.clone_from(&self.commit_id_start);
        let status = match replayed.run.status {
            "success" => RunStatus::Success,
            "failed" => RunStatus::Failed,
            "partial" => RunStatus::Partial,
            _ => return Ok(()),
        };
        if !self.writes {
            return Ok(());
        }
        // A simulation gives back what the recording gave: that is no output of a run that did something.
        let output = replayed.output.clone().filter(|_| replayed.mode != Mode::Simulate);
        let metadata = replayed.run.job_id.map(|job| Json::from(&json!({JOB: job})));
        let end = RunEnd { run_id: self.run_id.clone(), status, summary: None, success_criteria: None, metrics: None, metadata, output };
        let ended = runs::view::ended(self.space, &self.engine.runs.end(self.space, end).await?);
        replayed.run.run_end_uri = Some(ended.run_end_uri);
        replayed.run.commit_id_end = Some(ended.commit.commit_id);
        Ok(())
    }
}
