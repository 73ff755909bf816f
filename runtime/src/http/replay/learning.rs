//! Several runs compiled together: `/v1/memory/replay/playbooks/compile_from_runs`, and the same as `/v1/playbooks/compile`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::playbooks::{CompiledView, playbook_fields, reading_fields};
use super::requests;
use crate::compiler::{HeldOut, Learned, OpenQuestion};
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::http::bearer;
use crate::http::body::Posted;
use crate::http::openapi::{self, Field, Kind, required};
use crate::http::route::{Gives, Route, Takes};

pub(super) fn routes() -> Vec<Route> {
    const FAILS: &[Code] = &[
        Code::InvalidRequest,
        Code::InvalidConfiguration,
        Code::ReplayCompileRequiresSuccessfulRun,
        Code::ReplayCompileNoSteps,
        Code::ReplayRunNotFound,
        Code::IdConflict,
        Code::Contended,
        Code::NotCompilable,
        Code::OperatorTokenWrong,
    ];
    let route = |path, id| {
        Route::post(path, compile, id, "Compiles several runs of one task into a playbook version, proved against each of them.")
            .takes(Takes::Json(fields()))
            .gives(200, "The version was made, now or by the same request before.", Gives::Json(openapi::of::<LearnedView>))
            .fails(FAILS)
    };
    vec![
        route("/v1/memory/replay/playbooks/compile_from_runs", "replay_playbooks_compile_from_runs"),
        route("/v1/playbooks/compile", "compile_playbook"),
    ]
}

fn fields() -> Vec<Field> {
    let runs = "Runs of one task that ended with success. Where the playbook is there, the runs of its newest version are taken along.";
    std::iter::once(required("run_ids", Kind::Texts, runs)).chain(reading_fields()).chain(playbook_fields()).collect()
}

async fn compile(State(engine): State<Engine>, headers: HeaderMap, Posted { space, body, .. }: Posted) -> Result<Json<LearnedView>> {
    let all = bearer::is_operator(&engine, &headers)?;
    let made = engine.compile_from_runs(&space, requests::learn(&body)?).await?;
    let grants_proposed = made.proposals.iter().map(|proposal| proposal.view(all)).collect();
    let source_runs = made.source_runs.iter().map(ToString::to_string).collect();
    let compiled = CompiledView::of(&engine, &space, made.version, made.learned.compiled.clone(), grants_proposed).await?;
    let Learned { open_questions, held_out, not_held_out, secrets_needed, .. } = made.learned;
    Ok(Json(LearnedView { compiled, source_runs, open_questions, held_out, not_held_out, secrets_needed }))
}

/// The answer of `playbooks/compile_from_runs`.
#[derive(Serialize, ToSchema)]
struct LearnedView {
    #[serde(flatten)]
    compiled: CompiledView,
    /// The runs it was learned from.
    source_runs: Vec<String>,
    /// Where the runs do not decide: what was done, and what one more run would settle.
    open_questions: Vec<OpenQuestion>,
    /// Each run against a plan that was learned without it; empty for fewer than four.
    held_out: Vec<HeldOut>,
    /// Why no run was held out though there are four or more: they have too many calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_held_out: Option<String>,
    /// Secrets that the recordings had as they are: in the playbook stand placeholders, and a job needs them under these names.
    secrets_needed: Vec<String>,
}
