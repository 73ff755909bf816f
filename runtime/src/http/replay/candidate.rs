//! `/v1/memory/replay/playbooks/candidate`: may a playbook stand in for the caller's own inference? Nothing runs.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::requests;
use crate::engine::{Decision, Engine, Judgement, Mode};
use crate::error::{Code, Result};
use crate::http::body::Posted;
use crate::http::openapi::{self, Field, Kind, field, required, words};
use crate::http::route::{Gives, Route, Takes};
use crate::http::view;
use crate::ids::Space;
use crate::lifecycle::{Status, Version};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/memory/replay/playbooks/candidate",
            candidate,
            "replay_playbooks_candidate",
            "Whether a playbook may stand in for the caller's own inference. Nothing runs.",
        )
        .takes(Takes::Json(candidate_fields()))
        .gives(200, "The gate's answer; a mismatch is one too.", Gives::Json(openapi::of::<CandidateView>))
        .fails(&[Code::InvalidRequest, Code::ReplayPlaybookNotFound]),
    ]
}

async fn candidate(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Json<CandidateView>> {
    let asked = requests::candidate(&body)?;
    let (version, gate) = engine.candidate(&space, &asked.playbook_id, asked.version, asked.gate.as_ref())?;
    Ok(Json(CandidateView::of(&space, &version, gate)))
}

/// The answer of `playbooks/candidate`.
#[derive(Serialize, ToSchema)]
pub(super) struct CandidateView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// The version that was judged.
    playbook: CandidatePlaybook,
    /// What follows from the judgement.
    candidate: CandidateFields,
    /// The judgement, part by part.
    deterministic_gate: Judgement,
    /// What it spares.
    cost_signals: CostSignals,
}

/// The version that was judged.
#[derive(Serialize, ToSchema)]
struct CandidatePlaybook {
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
    /// A UUID that follows from space, playbook and version.
    node_id: String,
}

/// What follows from the judgement.
#[derive(Serialize, ToSchema)]
struct CandidateFields {
    /// Whether it may be replayed without asking a model.
    eligible_for_deterministic_replay: bool,
    /// How it would be run.
    recommended_mode: Mode,
    /// What the caller should do now.
    next_action: &'static str,
    /// What does not fit.
    mismatch_reasons: Vec<&'static str>,
    /// Whether the gate says to do nothing.
    rejectable: bool,
}

/// What a replay spares.
#[derive(Serialize, ToSchema)]
pub(super) struct CostSignals {
    /// Always `replay_cost_signals_v1`.
    summary_version: &'static str,
    /// Whether the gate matched.
    deterministic_replay_eligible: bool,
    /// Whether the caller may leave out its own inference.
    primary_inference_skipped: bool,
    /// 0 or 1.
    estimated_primary_model_calls_avoided: u32,
    /// Whether a playbook was run although the gate did not match.
    fallback_executed: bool,
    /// As asked.
    requested_mode: Mode,
    /// What the gate makes of it.
    effective_mode: Mode,
    /// What does not fit.
    mismatch_reasons: Vec<&'static str>,
    /// What the saving comes from, or what stands in its way.
    primary_savings_levers: Vec<&'static str>,
}

impl CostSignals {
    pub(super) fn of(gate: &Judgement) -> Self {
        let levers = [
            (gate.matched, "deterministic_replay_match"),
            (gate.inference_skipped, "primary_inference_skipped"),
            (!gate.mismatch_reasons.is_empty(), "deterministic_gate_mismatch"),
        ];
        CostSignals {
            summary_version: "replay_cost_signals_v1",
            deterministic_replay_eligible: gate.matched,
            primary_inference_skipped: gate.inference_skipped,
            estimated_primary_model_calls_avoided: u32::from(gate.inference_skipped),
            fallback_executed: false,
            requested_mode: gate.requested_mode,
            effective_mode: gate.effective_mode,
            mismatch_reasons: gate.mismatch_reasons.clone(),
            primary_savings_levers: levers.iter().filter(|(holds, _)| *holds).map(|(_, lever)| *lever).collect(),
        }
    }
}

impl CostSignals {
    /// The same once it is known whether a playbook was run although the gate did not match.
    pub(super) fn after(mut self, fallback_executed: bool) -> Self {
        self.fallback_executed = fallback_executed;
        self
    }
}

impl CandidateView {
    pub(super) fn of(space: &Space, version: &Version, gate: Judgement) -> Self {
        let (node_id, uri) = view::node(space, version);
        CandidateView {
            tenant_id: space.tenant().to_owned(),
            scope: space.scope().to_owned(),
            playbook: CandidatePlaybook {
                playbook_id: version.playbook_id.to_string(),
                version: version.version,
                status: version.status,
                name: version.name.clone(),
                uri,
                node_id,
            },
            candidate: CandidateFields {
                eligible_for_deterministic_replay: gate.matched,
                recommended_mode: gate.effective_mode,
                next_action: gate.next_action(),
                mismatch_reasons: gate.mismatch_reasons.clone(),
                rejectable: gate.decision == Decision::Rejected,
            },
            cost_signals: CostSignals::of(&gate),
            deterministic_gate: gate,
        }
    }
}

fn candidate_fields() -> Vec<Field> {
    vec![
        required("playbook_id", Kind::Id, "The playbook."),
        field("version", Kind::Index, "The active one where it is left out."),
        field("deterministic_gate", Kind::Fields(gate_fields()), "What is demanded; without it nothing is eligible."),
    ]
}

/// What a gate may demand.
pub(super) fn gate_fields() -> Vec<Field> {
    let statuses = requests::STATUSES.map(Status::as_str).to_vec();
    vec![
        field("enabled", Kind::Flag, "True where it is left out."),
        field("prefer_deterministic_execution", Kind::Flag, "Whether a match becomes a strict replay; true where it is left out."),
        field("on_mismatch", words(requests::ON_MISMATCH), "`fallback` where it is left out."),
        field("required_statuses", Kind::SomeOf(statuses), "`shadow` and `active` where it is left out."),
        field("matchers", Kind::Object, "Must equal the playbook's."),
        field("policy_constraints", Kind::Object, "Must equal the playbook's."),
    ]
}
