//! `/v1/memory/replay/...`: runs recorded and compiled, with the routes and field names that Aionis has.
//!
//! Each handler reads, asks the engine once, and shows what came of it. Unknown fields are passed over, as
//! Aionis does; fields of ours stand beside its own and never change what those mean.

mod learning;
pub(super) mod playbooks;
mod candidate;
mod promoting;
mod repairs;
pub(super) mod requests;
mod running;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::body::Posted;
use super::openapi::{self, Field, Kind, field, required, words};
use super::route::{Gives, Route, Takes};
use super::view;
use crate::blocking;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::fields::Fields;
use crate::ids::RunId;
use crate::runs::view::{AnsweredView, EndedView, Include, OpenedView, RunView, StartedView};
use crate::runs::{self, RunEnd, RunStart, RunStatus, SafetyLevel, StepAfter, StepBefore, StepStatus};

/// The routes of this file, of [`playbooks`] and of [`learning`].
pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::post("/v1/memory/replay/run/start", run_start, "replay_run_start", "Starts a run.")
            .takes(Takes::Json(start_fields()))
            .gives(200, "The run was started, now or by the same request before.", Gives::Json(openapi::of::<StartedView>))
            .fails(&[Code::InvalidRequest, Code::IdConflict, Code::TooLarge]),
        Route::post("/v1/memory/replay/step/before", step_before, "replay_step_before", "Records a step before its call.")
            .takes(Takes::Json(before_fields()))
            .gives(200, "The step is pending, now or by the same request before.", Gives::Json(openapi::of::<OpenedView>))
            .fails(&[Code::InvalidRequest, Code::ReplayRunNotFound, Code::IdConflict, Code::RunEnded, Code::TooLarge]),
        Route::post("/v1/memory/replay/step/after", step_after, "replay_step_after", "Records what came of a step.")
            .takes(Takes::Json(after_fields()))
            .gives(200, "It is recorded, now or by the same request before.", Gives::Json(openapi::of::<AnsweredView>))
            .fails(&[
                Code::InvalidRequest,
                Code::ReplayStepReferenceRequired,
                Code::ReplayRunNotFound,
                Code::ReplayStepNotFound,
                Code::IdConflict,
                Code::RunEnded,
                Code::TooLarge,
            ]),
        Route::post("/v1/memory/replay/run/end", run_end, "replay_run_end", "Ends a run; nothing is added to it from then on.")
            .takes(Takes::Json(end_fields()))
            .gives(200, "The run has ended, now or by the same request before.", Gives::Json(openapi::of::<EndedView>))
            .fails(&[Code::InvalidRequest, Code::ReplayRunNotFound, Code::IdConflict, Code::TooLarge]),
        Route::post("/v1/memory/replay/runs/get", runs_get, "replay_runs_get", "The whole run as recorded so far.")
            .takes(Takes::Json(vec![
                required("run_id", Kind::Id, "The run."),
                field("include_steps", Kind::Flag, "Whether `steps` is filled; true where it is left out."),
                field("include_artifacts", Kind::Flag, "Whether `artifacts` is filled; true where it is left out."),
            ]))
            .gives(200, "The run.", Gives::Json(openapi::of::<RunView<'static>>))
            .fails(&[Code::InvalidRequest, Code::ReplayRunNotFound]),
    ];
    routes.extend(playbooks::routes());
    routes.extend(learning::routes());
    routes.extend(candidate::routes());
    routes.extend(promoting::routes());
    routes.extend(repairs::routes());
    routes.extend(running::routes());
    routes
}

async fn run_start(State(engine): State<Engine>, Posted { space, actor, body }: Posted) -> Result<Json<StartedView>> {
    let sent = RunStart { actor, ..RunStart::parse(&body)? };
    let started = engine.runs().start(&space, sent).await?;
    Ok(Json(runs::view::started(&space, &started)))
}

async fn step_before(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Json<OpenedView>> {
    let opened = engine.runs().before(&space, StepBefore::parse(&body)?).await?;
    Ok(Json(runs::view::opened(&space, &opened)))
}

async fn step_after(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Json<AnsweredView>> {
    let answered = engine.runs().after(&space, StepAfter::parse(&body)?).await?;
    Ok(Json(runs::view::answered(&space, &answered)))
}

async fn run_end(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Json<EndedView>> {
    let ended = engine.runs().end(&space, RunEnd::parse(&body)?).await?;
    Ok(Json(runs::view::ended(&space, &ended)))
}

async fn runs_get(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Response> {
    let mut fields = Fields::of(&body, "")?;
    fields.require(&["run_id"]);
    let run_id = fields.id("run_id", RunId::parse);
    let include =
        Include { steps: fields.flag("include_steps").unwrap_or(true), artifacts: fields.flag("include_artifacts").unwrap_or(true) };
    let run_id = fields.build(run_id)?;
    // A run may have thousands of steps: reading and printing it is not for a thread that serves others.
    blocking::run(move || engine.runs().get(&space, &run_id).map(|run| view::printed(&runs::view::RunView::of(&run, include)))).await
}

fn start_fields() -> Vec<Field> {
    vec![
        field("run_id", Kind::Id, "Names the run; made here where it is left out. A repeat is recognised by it."),
        required("goal", Kind::Text, "What the agent sets out to do, in words."),
        field("inputs", Kind::Object, "What the agent was given: the candidates for a playbook's parameters. Not known to Aionis."),
        field("context_snapshot_ref", Kind::Text, "Where the agent's context can be found."),
        field("context_snapshot_hash", Kind::Digest, "SHA-256 of that context."),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}

fn before_fields() -> Vec<Field> {
    vec![
        required("run_id", Kind::Id, "A run that was started."),
        field("step_id", Kind::Id, "Names the step; follows from run, index and content where it is left out."),
        field("decision_id", Kind::Id, "The decision that led to it."),
        required("step_index", Kind::Index, "The client's own count. Attempts at the same thing may share one."),
        required("tool_name", Kind::Text, "The tool as the agent calls it."),
        field("tool_input", Kind::Any, "What the tool is given."),
        field("expected_output_signature", Kind::Any, "What the agent expects of the output."),
        field("preconditions", Kind::Objects, "What must hold before the call."),
        field("retry_policy", Kind::Object, "How a repetition may be tried again."),
        field(
            "safety_level",
            words(SafetyLevel::NAMES),
            "Whether a repetition may go ahead unasked; `needs_confirm` where it is left out.",
        ),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}

fn after_fields() -> Vec<Field> {
    vec![
        required("run_id", Kind::Id, "A run that was started."),
        field("step_id", Kind::Id, "The step; or else `step_index`."),
        field("step_index", Kind::Index, "Of several steps with this index, the one recorded last is meant."),
        required("status", words(StepStatus::NAMES), "How it went."),
        field("output", Kind::Any, "The tool's whole answer; a playbook's references come out of it. Not known to Aionis."),
        field("output_signature", Kind::Any, "What the recorder keeps of the answer instead, or beside it."),
        field("postconditions", Kind::Objects, "What held after the call."),
        field("artifact_refs", Kind::TextsOrObjects, "What it left behind."),
        field("repair_applied", Kind::Flag, "Whether the agent had to mend something to get past this step."),
        field("repair_note", Kind::Text, "What it mended."),
        field("error", Kind::TextOrObject, "Why it failed."),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}

fn end_fields() -> Vec<Field> {
    vec![
        required("run_id", Kind::Id, "A run that was started."),
        required("status", words(RunStatus::NAMES), "How it went."),
        field("summary", Kind::Text, "How it went, in words."),
        field("success_criteria", Kind::Object, "What counted as success."),
        field("metrics", Kind::Object, "What was measured."),
        field("output", Kind::Any, "What the whole run came to: what a playbook gives back. Not known to Aionis."),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}
