//! The answer of `runs/get`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::ids::Digest;
use crate::json::Json;
use crate::runs::{Commit, Node, Part, Run, RunStatus, SafetyLevel, Step};

/// The answer of `runs/get`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunView<'a> {
    /// Whose run it is.
    pub tenant_id: &'a str,
    /// Whose run it is.
    pub scope: &'a str,
    /// The run itself.
    pub run: RunFields<'a>,
    /// By `step_index`, then by arrival; empty where not asked for.
    pub steps: Vec<StepFields<'a>>,
    /// The artifacts of all steps; empty where not asked for.
    #[schema(value_type = Vec<Value>)]
    pub artifacts: Vec<&'a Json>,
    /// Everything that was recorded, in the order of recording.
    pub timeline: Vec<TimelineEntry<'a>>,
    /// How much there is.
    pub counters: Counters,
}

/// A run without its steps.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunFields<'a> {
    /// As the client chose it, or made here.
    pub run_id: &'a str,
    /// `in_progress`, `success`, `failed` or `partial`.
    pub status: &'a str,
    /// What the agent set out to do.
    pub goal: &'a str,
    /// A UUID that follows from space and run id.
    pub run_node_id: String,
    /// `aionis://{tenant}/{scope}/event/{run_node_id}`.
    pub run_uri: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; null while the run is in progress.
    pub ended_at: Option<String>,
    /// What the agent was given.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<&'a Json>,
    /// What the whole run came to.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<&'a Json>,
    /// How it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'a str>,
    /// As sent with the end.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_criteria: Option<&'a Json>,
    /// As sent with the end.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<&'a Json>,
    /// As sent with the start.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Json>,
    /// As sent with the end.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_metadata: Option<&'a Json>,
    /// Where the agent's context can be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_snapshot_ref: Option<&'a str>,
    /// SHA-256 of that context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_snapshot_hash: Option<&'a str>,
    /// Who started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<&'a str>,
}

/// A step with what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepFields<'a> {
    /// As the client chose it, or derived here.
    pub step_id: &'a str,
    /// The client's own count, from 1.
    pub step_index: u32,
    /// The tool as the agent calls it.
    pub tool_name: &'a str,
    /// `pending`, `success`, `failed`, `skipped` or `partial`.
    pub status: &'a str,
    /// Whether a repetition may go ahead unasked.
    pub safety_level: SafetyLevel,
    /// True where the agent had to mend something to get past this step.
    pub repair_applied: bool,
    /// As sent before the call.
    #[schema(value_type = Vec<Object>)]
    pub preconditions: &'a [Json],
    /// As sent after the call.
    #[schema(value_type = Vec<Object>)]
    pub postconditions: &'a [Json],
    /// As sent after the call.
    #[schema(value_type = Vec<Value>)]
    pub artifact_refs: &'a [Json],
    /// `aionis://{tenant}/{scope}/procedure/{uuid}`.
    pub step_uri: String,
    /// `aionis://{tenant}/{scope}/evidence/{uuid}`; null while the step is pending.
    pub result_uri: Option<String>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// What the tool was given.
    #[schema(value_type = Value)]
    pub tool_input: &'a Json,
    /// The tool's whole answer.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<&'a Json>,
    /// What the recorder kept of the answer.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_signature: Option<&'a Json>,
    /// What the agent expected of the answer.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_output_signature: Option<&'a Json>,
    /// Why it failed.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a Json>,
    /// What the agent mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_note: Option<&'a str>,
    /// As sent before the call.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<&'a Json>,
    /// The decision that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<&'a str>,
    /// As sent before the call.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Json>,
    /// As sent after the call.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_metadata: Option<&'a Json>,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<String>,
}

/// One thing that was recorded.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry<'a> {
    /// `aionis://{tenant}/{scope}/{type}/{node_id}`.
    pub uri: String,
    /// A UUID that follows from space, run and step.
    pub node_id: String,
    /// `event`, `procedure` or `evidence`.
    #[serde(rename = "type")]
    pub node_type: &'static str,
    /// `run`, `step`, `step_result` or `run_end`.
    pub replay_kind: &'static str,
    /// A line for people.
    pub title: String,
    /// The goal, the tool, the outcome or the summary.
    pub text_summary: &'a str,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The write that made it; null for a run that was never stored.
    pub commit_id: Option<String>,
    /// `aionis://{tenant}/{scope}/commit/{commit_id}`.
    pub commit_uri: Option<String>,
}

/// How much there is of a run.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counters {
    /// Entries of the timeline.
    pub total_nodes: usize,
    /// Steps.
    pub step_nodes: usize,
    /// Steps that are not pending.
    pub step_result_nodes: usize,
    /// Elements of `artifacts`.
    pub artifact_refs: usize,
}

/// Which parts of a run were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Include {
    /// `include_steps`
    pub steps: bool,
    /// `include_artifacts`
    pub artifacts: bool,
}

impl Include {
    /// Both, as where nothing is said.
    pub const ALL: Include = Include { steps: true, artifacts: true };
}

/// The whole answer of `runs/get` as a tree.
#[must_use]
pub fn run(run: &Run) -> Value {
    serde_json::to_value(RunView::of(run, Include::ALL)).expect("text, numbers and checked JSON make a tree")
}

impl<'a> RunView<'a> {
    /// Those parts of a run that were asked for.
    #[must_use]
    pub fn of(run: &'a Run, include: Include) -> Self {
        let afters = || run.steps.iter().filter_map(|step| step.after.as_ref());
        let artifacts: Vec<&Json> = afters().filter(|_| include.artifacts).flat_map(|after| &after.artifact_refs).collect();
        let timeline = timeline(run);
        RunView {
            tenant_id: run.space.tenant(),
            scope: run.space.scope(),
            run: run_fields(run),
            steps: run.steps.iter().filter(|_| include.steps).map(|step| step_fields(run, step)).collect(),
            counters: Counters {
                total_nodes: timeline.len(),
                step_nodes: run.steps.len(),
                step_result_nodes: afters().count(),
                artifact_refs: artifacts.len(),
            },
            artifacts,
            timeline,
        }
    }
}

fn run_fields(run: &Run) -> RunFields<'_> {
    let node = Node::of_run(&run.space, Part::Run, &run.run_id);
    let end = run.end.as_ref();
    RunFields {
        run_id: run.run_id.as_str(),
        status: run.status().map_or("in_progress", RunStatus::as_str),
        goal: &run.goal,
        run_node_id: node.id.to_string(),
        run_uri: node.uri,
        started_at: rfc3339(run.started_at_ms),
        ended_at: end.map(|end| rfc3339(end.ended_at_ms)),
        inputs: run.inputs.as_ref(),
        output: end.and_then(|end| end.output.as_ref()),
        summary: end.and_then(|end| end.summary.as_deref()),
        success_criteria: end.and_then(|end| end.success_criteria.as_ref()),
        metrics: end.and_then(|end| end.metrics.as_ref()),
        metadata: run.metadata.as_ref(),
        end_metadata: end.and_then(|end| end.metadata.as_ref()),
        context_snapshot_ref: run.context_snapshot_ref.as_deref(),
        context_snapshot_hash: run.context_snapshot_hash.as_deref(),
        actor: run.actor.as_deref(),
    }
}

fn step_fields<'a>(run: &'a Run, step: &'a Step) -> StepFields<'a> {
    let node = |part| Node::of_step(&run.space, part, &run.run_id, &step.step_id).uri;
    let after = step.after.as_ref();
    StepFields {
        step_id: step.step_id.as_str(),
        step_index: step.step_index,
        tool_name: &step.tool_name,
        status: after.map_or("pending", |after| after.status.as_str()),
        safety_level: step.safety_level,
        repair_applied: after.is_some_and(|after| after.repair_applied),
        preconditions: &step.preconditions,
        postconditions: after.map_or(&[], |after| &after.postconditions),
        artifact_refs: after.map_or(&[], |after| &after.artifact_refs),
        step_uri: node(Part::Step),
        result_uri: after.map(|_| node(Part::StepResult)),
        created_at: rfc3339(step.before_at_ms),
        tool_input: &step.tool_input,
        output: after.and_then(|after| after.output.as_ref()),
        output_signature: after.and_then(|after| after.output_signature.as_ref()),
        expected_output_signature: step.expected_output_signature.as_ref(),
        error: after.and_then(|after| after.error.as_ref()),
        repair_note: after.and_then(|after| after.repair_note.as_deref()),
        retry_policy: step.retry_policy.as_ref(),
        decision_id: step.decision_id.as_deref(),
        metadata: step.metadata.as_ref(),
        result_metadata: after.and_then(|after| after.metadata.as_ref()),
        answered_at: after.map(|after| rfc3339(after.at_ms)),
    }
}

/// The start, the steps and their results by time, the end. The clock may have been set back in between,
/// so that the start and the end keep their places whatever it said.
fn timeline(run: &Run) -> Vec<TimelineEntry<'_>> {
    let entry = |node: Node, at_ms: u64, written: Option<Digest>, title: String, text_summary| {
        let commit = written.map(|hash| Commit::of(&run.space, hash));
        TimelineEntry {
            uri: node.uri,
            node_id: node.id.to_string(),
            node_type: node.part.node_type(),
            replay_kind: node.part.replay_kind(),
            title,
            text_summary,
            created_at: rfc3339(at_ms),
            commit_id: commit.as_ref().map(|commit| commit.id.to_string()),
            commit_uri: commit.map(|commit| commit.uri),
        }
    };
    let of_step = |step: &Step, part| Node::of_step(&run.space, part, &run.run_id, &step.step_id);

    let mut steps: Vec<&Step> = run.steps.iter().collect();
    steps.sort_by_key(|step| step.ordinal);
    let mut between = Vec::new();
    for step in steps {
        let title = format!("step {}: {}", step.step_index, step.tool_name);
        between.push((step.before_at_ms, entry(of_step(step, Part::Step), step.before_at_ms, step.written, title, &step.tool_name)));
        if let Some(after) = &step.after {
            let title = format!("step {}: {}", step.step_index, after.status.as_str());
            let text = after.repair_note.as_deref().unwrap_or(after.status.as_str());
            between.push((after.at_ms, entry(of_step(step, Part::StepResult), after.at_ms, after.written, title, text)));
        }
    }
    between.sort_by_key(|(at_ms, _)| *at_ms);

    let node = |part| Node::of_run(&run.space, part, &run.run_id);
    let mut timeline = vec![entry(node(Part::Run), run.started_at_ms, run.written, format!("run {}", run.run_id), &run.goal)];
    timeline.extend(between.into_iter().map(|(_, entry)| entry));
    timeline.extend(run.end.as_ref().map(|end| {
        let text = end.summary.as_deref().unwrap_or(end.status.as_str());
        entry(node(Part::RunEnd), end.ended_at_ms, end.written, format!("run {}: {}", run.run_id, end.status.as_str()), text)
    }));
    timeline
}
