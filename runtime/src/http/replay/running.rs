//! `/v1/memory/replay/playbooks/run` and `dispatch`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::candidate::{CandidateView, CostSignals, gate_fields};
use super::playbooks::Usage;
use super::requests;
use crate::engine::{Decision, Engine, Judgement, Mode, Params, ReplayRequest, Replayed, RunReport, StepReport};
use crate::error::{Code, Result};
use crate::fields::Fields;
use crate::http::body::Posted;
use crate::http::openapi::{self, Field, Kind, field, required, words};
use crate::http::route::{Gives, Route, Takes};
use crate::http::view;
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::Status;
use crate::limits;

/// What a run may refuse with.
const REFUSALS: &[Code] = &[
    Code::InvalidRequest,
    Code::ReplayPlaybookNotFound,
    Code::ReplayDeterministicGateMismatch,
    Code::ReplayLocalExecConsentRequired,
    Code::ReplayAllowedCommandsEmpty,
    Code::InputDoesNotFit,
    Code::PlaybookDisabled,
    Code::IdConflict,
    Code::RunEnded,
    Code::TooLarge,
    Code::TooBusy,
    Code::ShuttingDown,
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/memory/replay/playbooks/run",
            run,
            "replay_playbooks_run",
            "Runs a playbook: simulated on its recording, strictly, or guided.",
        )
        .takes(Takes::Json(run_fields()))
        .gives(200, "How it went, or stands.", Gives::Json(openapi::of::<ReplayedView>))
        .fails(REFUSALS),
        Route::post(
            "/v1/memory/replay/playbooks/dispatch",
            dispatch,
            "replay_playbooks_dispatch",
            "Runs a playbook strictly where the deterministic gate lets it, and as told where it does not.",
        )
        .takes(Takes::Json(dispatch_fields()))
        .gives(200, "What was decided, and how it went.", Gives::Json(openapi::of::<DispatchView>))
        .fails(REFUSALS),
    ]
}

async fn run(State(engine): State<Engine>, posted: Posted) -> Result<Json<ReplayedView>> {
    let Posted { space, actor, body } = posted;
    let mut fields = Fields::of(&body, "")?;
    let mode = fields.choice("mode", Mode::NAMES).unwrap_or(Mode::Simulate);
    let request = request(&mut fields, mode, actor);
    let request = fields.build(request)?;
    let replayed = engine.replay_playbook(&space, request).await?;
    Ok(Json(ReplayedView::of(&space, replayed)))
}

async fn dispatch(State(engine): State<Engine>, posted: Posted) -> Result<Json<DispatchView>> {
    let Posted { space, actor, body } = posted;
    let mut fields = Fields::of(&body, "")?;
    let fallback_mode = fields.choice("fallback_mode", Mode::NAMES).unwrap_or(Mode::Simulate);
    let execute_fallback = fields.flag("execute_fallback").unwrap_or(true);
    fields.has("mode");
    let request = request(&mut fields, Mode::Simulate, actor);
    let request = fields.build(request)?;
    let (version, judgement) = engine.candidate(&space, &request.playbook_id, request.version, request.gate.as_ref())?;
    let candidate = CandidateView::of(&space, &version, judgement.clone());
    // The version that was judged is the one that runs, whatever is promoted meanwhile.
    let request = ReplayRequest { version: Some(version.version), ..request };
    let (decision, replayed) = match (judgement.decision, execute_fallback) {
        (Decision::PromotedToStrict, _) => (
            "deterministic_replay_executed",
            Some(engine.replay_playbook(&space, ReplayRequest { mode: Mode::Simulate, ..request }).await?),
        ),
        (_, false) => ("candidate_only", None),
        (_, true) => {
            ("fallback_replay_executed", Some(engine.replay_playbook(&space, ReplayRequest { mode: fallback_mode, ..request }).await?))
        }
    };
    let (skipped, fallback) = (decision == "deterministic_replay_executed", decision == "fallback_replay_executed");
    Ok(Json(DispatchView {
        tenant_id: space.tenant().to_owned(),
        scope: space.scope().to_owned(),
        dispatch: DispatchFields { decision, primary_inference_skipped: skipped, fallback_executed: fallback },
        candidate,
        replay: replayed.map(|replayed| ReplayedView::of(&space, replayed)),
        cost_signals: CostSignals::of(&judgement).after(fallback),
    }))
}

fn request(fields: &mut Fields<'_>, mode: Mode, actor: Option<String>) -> Option<ReplayRequest> {
    fields.require(&["playbook_id"]);
    let playbook_id = fields.id("playbook_id", PlaybookId::parse);
    let version = fields.index("version");
    let gate = requests::gate_of(fields);
    let params = Params::parse(fields.value("params")).map_err(|e| fields.issues(e.issues)).ok();
    let max_steps = fields.index("max_steps");
    if max_steps.is_some_and(|most| most > limits::REPLAY_STEPS_MAX) {
        fields.issue("max_steps", format!("is more than {}", limits::REPLAY_STEPS_MAX));
    }
    fields.text("project_id", limits::ID_CHARS_MAX);
    let (playbook_id, params) = playbook_id.zip(params)?;
    Some(ReplayRequest { playbook_id, version, mode, gate, params, max_steps, actor })
}

/// The answer of `playbooks/run`.
#[derive(Serialize, ToSchema)]
struct ReplayedView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// What was run.
    playbook: ReplayedPlaybook,
    /// How it was run.
    mode: Mode,
    /// What the gate made of it.
    deterministic_gate: Judgement,
    /// The run on record, and the job.
    run: RunReport,
    /// In numbers.
    summary: SummaryFields,
    /// Each step.
    steps: Vec<StepReport>,
    /// Under which terms.
    execution: Execution,
    /// As it was asked.
    #[schema(value_type = Object)]
    params_echo: Value,
    /// What a language model used: none is asked.
    usage: Usage,
    /// What it spares.
    cost_signals: CostSignals,
    /// What it gave back; of a simulation what it would. Not known to Aionis.
    #[schema(value_type = Value)]
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
}

/// What was run.
#[derive(Serialize, ToSchema)]
struct ReplayedPlaybook {
    /// The playbook.
    playbook_id: String,
    /// The version's number.
    version: u32,
    /// How far it is trusted.
    status: Status,
    /// For people.
    name: String,
    /// `aionis://{tenant}/{scope}/procedure/{node_id}`.
    uri: String,
}

/// A run in numbers: of a simulation the first four, of any other the rest.
#[derive(Serialize, ToSchema)]
struct SummaryFields {
    /// Steps of the playbook.
    total_steps: usize,
    /// Simulated: would be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_steps: Option<usize>,
    /// Steps that may not run, or cannot.
    blocked_steps: usize,
    /// Simulated: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_steps: Option<usize>,
    /// Steps that were called.
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_steps: Option<usize>,
    /// Steps that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    succeeded_steps: Option<usize>,
    /// Steps that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_steps: Option<usize>,
    /// Always 0: nothing is mended without a review.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired_steps: Option<usize>,
    /// Steps that were not called.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_steps: Option<usize>,
    /// Steps at which the job waits, or that it has not come to yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_steps: Option<usize>,
    /// `ready`, `partial` or `blocked` simulated; else `success`, `partial` or `failed`.
    replay_readiness: &'static str,
    /// What to do now.
    next_action: &'static str,
}

/// Under which terms a playbook was run.
#[derive(Serialize, ToSchema)]
struct Execution {
    /// Whether the caller may leave out its own inference.
    inference_skipped: bool,
    /// Whether the gate matched.
    deterministic_gate_matched: bool,
    /// Always `durable_job`; a simulation is on `recording`.
    execution_backend: &'static str,
    /// Whether the playbook runs commands of this machine and may.
    local_executor_enabled: bool,
    /// Always true: every playbook is a component in a sandbox.
    sandbox_executor_available: bool,
    /// Always null.
    sandbox_project_id: Option<String>,
    /// Time for one call, in milliseconds; null where the tools' own bounds hold.
    timeout_ms: Option<u64>,
    /// The commands that the request allows; null where all that are granted are.
    allowed_commands: Option<Vec<String>>,
    /// Whether steps ran that need somebody's word.
    auto_confirm: bool,
    /// Always true: a step that fails ends a strict run, and hands a guided one over.
    stop_on_failure: bool,
    /// Whether a run was recorded.
    record_run: bool,
    /// Always `none`: a repair is proposed by `playbooks/repair`, and reviewed.
    guided_repair_strategy: &'static str,
}

/// The answer of `playbooks/dispatch`.
#[derive(Serialize, ToSchema)]
struct DispatchView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// What was decided.
    dispatch: DispatchFields,
    /// Why.
    candidate: CandidateView,
    /// How it went; null where nothing was run.
    replay: Option<ReplayedView>,
    /// What it spares.
    cost_signals: CostSignals,
}

/// What was decided.
#[derive(Serialize, ToSchema)]
struct DispatchFields {
    /// `deterministic_replay_executed`, `candidate_only` or `fallback_replay_executed`.
    decision: &'static str,
    /// Whether the caller may leave out its own inference.
    primary_inference_skipped: bool,
    /// Whether it was run although the gate did not match.
    fallback_executed: bool,
}

impl ReplayedView {
    fn of(space: &Space, replayed: Replayed) -> Self {
        let Replayed { version, judgement, mode, run, steps, output, params, runs_commands } = replayed;
        let simulated = mode == Mode::Simulate;
        ReplayedView {
            tenant_id: space.tenant().to_owned(),
            scope: space.scope().to_owned(),
            playbook: ReplayedPlaybook {
                playbook_id: version.playbook_id.to_string(),
                version: version.version,
                status: version.status,
                name: version.name.clone(),
                uri: view::node(space, &version).1,
            },
            mode,
            summary: if simulated { simulation(&steps) } else { execution(&steps, &run) },
            execution: Execution {
                inference_skipped: judgement.inference_skipped,
                deterministic_gate_matched: judgement.matched,
                execution_backend: if simulated { "recording" } else { "durable_job" },
                local_executor_enabled: runs_commands && params.allow_local_exec,
                sandbox_executor_available: true,
                sandbox_project_id: None,
                timeout_ms: params.timeout_ms,
                allowed_commands: params.allowed_commands.clone(),
                auto_confirm: params.auto_confirm,
                stop_on_failure: true,
                record_run: params.record_run,
                guided_repair_strategy: "none",
            },
            params_echo: Value::Object(params.sent),
            usage: Usage::default(),
            cost_signals: CostSignals::of(&judgement),
            deterministic_gate: judgement,
            run,
            steps,
            output: output.map(|output| output.value()),
        }
    }
}

fn simulation(steps: &[StepReport]) -> SummaryFields {
    let count = |readiness: &str| steps.iter().filter(|step| step.readiness == readiness).count();
    let (blocked, unknown) = (count("blocked"), count("unknown"));
    let (replay_readiness, next_action) = match (blocked, unknown) {
        (1.., _) => ("blocked", "look at the blocked steps before a strict run; a repair changes them"),
        (0, 1..) => ("partial", "some steps are not known to succeed: a recording or a grant would tell"),
        (0, 0) => ("ready", "a strict run does what the recording shows, where the grants cover it"),
    };
    SummaryFields {
        total_steps: steps.len(),
        ready_steps: Some(count("ready")),
        blocked_steps: blocked,
        unknown_steps: Some(unknown),
        executed_steps: None,
        succeeded_steps: None,
        failed_steps: None,
        repaired_steps: None,
        skipped_steps: None,
        pending_steps: None,
        replay_readiness,
        next_action,
    }
}

fn execution(steps: &[StepReport], run: &RunReport) -> SummaryFields {
    let count = |status: &str| steps.iter().filter(|step| step.status == Some(status)).count();
    let (succeeded, failed, pending) = (count("success"), count("failed"), count("pending"));
    let blocked = steps.iter().filter(|step| step.readiness == "blocked").count();
    let (replay_readiness, next_action) = match run.status {
        "failed" => ("failed", "look at the failed step; playbooks/repair mends the playbook, /v1/jobs/{id}/retry goes on from it"),
        "success" => ("success", "the playbook did what it is for"),
        "partial" => ("partial", "look at the blocked steps; a repair changes them"),
        _ => ("partial", "the job goes on; ask again with the same run_id, or GET /v1/jobs/{id}"),
    };
    SummaryFields {
        total_steps: steps.len(),
        ready_steps: None,
        blocked_steps: blocked,
        unknown_steps: None,
        executed_steps: Some(steps.iter().filter(|step| step.input.is_some()).count()),
        succeeded_steps: Some(succeeded),
        failed_steps: Some(failed),
        repaired_steps: Some(0),
        skipped_steps: Some(count("skipped")),
        pending_steps: Some(pending),
        replay_readiness,
        next_action,
    }
}

fn run_fields() -> Vec<Field> {
    let mut fields = of_any_run();
    fields.push(field("mode", words(Mode::NAMES), "`simulate` where it is left out."));
    fields
}

fn dispatch_fields() -> Vec<Field> {
    let mut fields = of_any_run();
    fields.push(field(
        "fallback_mode",
        words(Mode::NAMES),
        "How it is run where the gate does not match; `simulate` where it is left out.",
    ));
    fields.push(field("execute_fallback", Kind::Flag, "Whether it is run then at all; true where it is left out."));
    fields
}

fn of_any_run() -> Vec<Field> {
    vec![
        required("playbook_id", Kind::Id, "The playbook."),
        field("version", Kind::Index, "The one in force where it is left out."),
        field("deterministic_gate", Kind::Fields(gate_fields()), "What is demanded; a match makes a simulation a strict run."),
        field(
            "params",
            Kind::Of(|_| {
                json!({"type": "object", "properties": {
                    "run_id": {"type": "string"}, "record_run": {"type": "boolean"}, "allow_local_exec": {"type": "boolean"},
                    "auto_confirm": {"type": "boolean"}, "allowed_commands": {"type": "array", "items": {"type": "string"}},
                    "timeout_ms": {"type": "integer", "minimum": limits::REPLAY_CALL_MS_MIN, "maximum": limits::REPLAY_CALL_MS_MAX},
                }})
            }),
            "What Aionis understands, and the playbook's input, held against its schema.",
        ),
        field(
            "max_steps",
            Kind::Of(|_| json!({"type": "integer", "minimum": 1, "maximum": limits::REPLAY_STEPS_MAX})),
            "A playbook with more steps is not run in part.",
        ),
        field("project_id", Kind::Text, "Echoed nowhere; read for Aionis' clients."),
    ]
}
