//! A simulation: the component on the recording that it was made from. Nothing is touched.

use serde_json::Value;

use super::{CheckReport, ReplayRequest, Replayed, RunReport, StepReport, command, report, runs_programs};
use crate::checks;
use crate::compiler::Options;
use crate::compiler::emit::Explained;
use crate::compiler::rehearse::{self, Answered, Call, End, Recording, Rehearsed, Subject};
use crate::engine::{Engine, Judgement, StepTemplate};
use crate::error::Result;
use crate::ids::{RunId, Space};
use crate::json::Json;
use crate::lifecycle::{Origin, Version};

impl Engine {
    pub(super) async fn simulate(&self, space: &Space, request: ReplayRequest, version: Version, judgement: Judgement) -> Result<Replayed> {
        let mut steps = self.steps(space, &version).await?;
        steps.truncate(request.max_steps.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)));
        let schema = self.input_schema(&version.component).await?;
        let given = Json::from(&Value::Object(request.params.input(schema.as_ref())));
        let recording = self.source_recording(space, &version).await?;
        let rehearsed = match (&recording, self.explained(version.component).await?) {
            (Some(recording), Explained::ByPlan(plan)) => {
                let input = if given.as_str() == "{}" { recording.input_of(&plan) } else { given.clone() };
                self.check_input(&version.component, &input).await?;
                let subject = Subject { digest: version.component, component: self.component(version.component).await? };
                Some(self.rehearsed(&subject, input, recording, None).await?)
            }
            _ => None,
        };
        let steps: Vec<StepReport> = steps.iter().map(|step| self.simulated(step, rehearsed.as_ref())).collect();
        let output = rehearsed.and_then(|rehearsed| if let End::Output(output) = rehearsed.end { Some(output) } else { None });
        let any = |readiness: &str| steps.iter().any(|step| step.readiness == readiness);
        let status = if any("blocked") {
            "failed"
        } else if any("unknown") {
            "partial"
        } else {
            "success"
        };
        let run_id = request.params.run_id.clone().unwrap_or_else(RunId::fresh);
        let run = RunReport { run_id: run_id.to_string(), status, ..RunReport::default() };
        let mut replayed = Replayed {
            runs_commands: steps.iter().any(|step| runs_programs(&step.tool)),
            version,
            mode: judgement.effective_mode,
            judgement,
            run,
            steps,
            output,
            params: request.params,
        };
        self.record_simulation(space, &run_id, &mut replayed, request.actor).await?;
        Ok(replayed)
    }

    /// The recording that a version was made from; the newest of several.
    async fn source_recording(&self, space: &Space, version: &Version) -> Result<Option<Recording>> {
        let options = match &version.origin {
            Origin::Compiled(compilation) => compilation.options.clone().unwrap_or_default(),
            Origin::Uploaded | Origin::Graph { .. } => Options::default(),
        };
        Ok(self.recordings(space, version, None, &options).await?.pop())
    }

    fn simulated(&self, step: &StepTemplate, rehearsed: Option<&Rehearsed>) -> StepReport {
        let judged = |condition: &Value| {
            let spec = checks::precondition(condition);
            let finding = spec.judge(None).unwrap_or_else(|| checks::Finding::unknown("a simulation does not look at this machine"));
            CheckReport { kind: spec.kind().to_owned(), state: finding.verdict.as_str(), reason: finding.why }
        };
        let conditions: Vec<CheckReport> = step.preconditions.iter().map(judged).collect();
        let call = rehearsed.and_then(|of| of.calls.iter().find(|call| rehearse::step_of_turn(&call.step) == step.step_id));
        let (readiness, note) = match (self.standing_of(step), call, rehearsed.map(|of| &of.end)) {
            (Some(missing), ..) => ("blocked", missing),
            (None, ..) if conditions.iter().any(|c| c.state == "fail") => {
                ("blocked", "a precondition fails; a strict run would stop here".to_owned())
            }
            (None, ..) if conditions.iter().any(|c| c.state == "unknown") => {
                ("unknown", "what some preconditions come to is not known here".to_owned())
            }
            (None, Some(call), Some(end)) => answered(call, end),
            (None, None, Some(End::Output(_))) => ("ready", "not reached with this input".to_owned()),
            (None, None, Some(_)) => ("unknown", "what comes before it ends the rehearsal".to_owned()),
            (None, _, None) => ("unknown", "there is no recording to rehearse it on".to_owned()),
        };
        let recorded = call.map(|call| call.input.value());
        let (program, argv) = command(&step.tool, recorded.as_ref().unwrap_or(&step.tool_input_template));
        StepReport { checks: conditions, readiness, notes: vec![note], command: program, argv, input: recorded, ..report(step) }
    }

    /// Why no job could make the step's call; none where one could.
    fn standing_of(&self, step: &StepTemplate) -> Option<String> {
        let tool = crate::contract::ToolId::parse(&step.tool).ok()?;
        let here = tool.is_external() || self.tools.get(&tool).is_some();
        (!here).then(|| format!("there is no tool {tool} here"))
    }
}

/// What a rehearsed call says of its step.
fn answered(call: &Call, end: &End) -> (&'static str, String) {
    let failed_here = |step: &Option<String>| step.as_deref() == Some(call.step.as_str());
    match (call.answered, end) {
        (_, End::Failed { step, why }) if failed_here(step) => ("blocked", why.clone()),
        (Answered::AsRecorded(_), _) => ("ready", "called as recorded".to_owned()),
        (Answered::OfAnother(_), _) => ("ready", "called with another input than recorded; its answer is that of the recording".to_owned()),
        (Answered::Not, _) => ("unknown", "the recording has no answer to this call".to_owned()),
    }
}
