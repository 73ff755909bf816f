//! `/v1/memory/replay/playbooks/repair` and its review.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::requests;
use crate::compiler::diff::PlanDiff;
use crate::compiler::patch::Summary;
use crate::compiler::rehearse::Held;
use crate::engine::{
    AutoPromoteGate, AutoPromotion, Engine, RepairRequest, RepairWith, Repaired, ReviewOutcome, ReviewRequest, ShadowValidation,
};
use crate::error::{Code, Result};
use crate::fields::Fields;
use crate::http::bearer;
use crate::http::body::Posted;
use crate::http::openapi::{self, Field, Kind, field, required, words};
use crate::http::route::{Gives, Route, Takes};
use crate::http::view;
use crate::ids::{JobId, PlaybookId, RunId, Space};
use crate::lifecycle::repairs::RepairState;
use crate::lifecycle::{Status, Version};
use crate::limits;
use crate::runs::view::CommitFields;
use crate::tools::asks::PermissionDiff;

/// What a review says.
const ACTIONS: &[(&str, bool)] = &[("approve", true), ("reject", false)];
/// How Aionis validates; here all of them run the component on the recordings and touch nothing.
const MODES: &[(&str, &str)] = &[("readiness", "readiness"), ("execute", "execute"), ("execute_sandbox", "execute_sandbox")];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/memory/replay/playbooks/repair",
            repair,
            "replay_playbooks_repair",
            "Mends a playbook: a version that waits for a review, with what it does otherwise and what every recording says of it.",
        )
        .takes(Takes::Json(repair_fields()))
        .gives(200, "The version, made now or by the same request before.", Gives::Json(openapi::of::<RepairedView>))
        .fails(&[
            Code::InvalidRequest,
            Code::ReplayPlaybookNotFound,
            Code::ReplayRunNotFound,
            Code::ReplayCompileRequiresSuccessfulRun,
            Code::ReplayCompileNoSteps,
            Code::JobNotFound,
            Code::PlanNotFound,
            Code::NotCompilable,
            Code::PromotionNotEarned,
            Code::PlannerFailed,
            Code::PlannerUnavailable,
            Code::TooLarge,
            Code::Contended,
            Code::OperatorTokenWrong,
        ]),
        Route::post(
            "/v1/memory/replay/playbooks/repair/review",
            review,
            "replay_playbooks_repair_review",
            "Approves or rejects a repair, exactly once.",
        )
        .takes(Takes::Json(review_fields()))
        .gives(200, "It is reviewed.", Gives::Json(openapi::of::<ReviewedView>))
        .fails(&[
            Code::InvalidRequest,
            Code::ReplayPlaybookNotFound,
            Code::ReplayRepairPatchMissing,
            Code::ReplayRepairNotPendingReview,
            Code::ReviewerIsAuthor,
            Code::PromotionNotEarned,
            Code::Contended,
            Code::OperatorTokenWrong,
        ]),
    ]
}

async fn repair(State(engine): State<Engine>, headers: HeaderMap, posted: Posted) -> Result<Json<RepairedView>> {
    let by_operator = bearer::is_operator(&engine, &headers)?;
    let Posted { space, actor, body } = posted;
    let mut fields = Fields::of(&body, "")?;
    fields.require(&["playbook_id"]);
    let playbook_id = fields.id("playbook_id", PlaybookId::parse);
    let from_version = fields.index("from_version");
    let with = with(&mut fields);
    let note = fields.text("note", limits::TEXT_CHARS_MAX);
    let review_required = fields.flag("review_required").unwrap_or(true);
    let target_status = status(&mut fields, "target_status").unwrap_or(Status::Draft);
    let metadata = fields.meta_object("metadata");
    fields.check_meta();
    let request = playbook_id.zip(with).map(|(playbook_id, with)| RepairRequest {
        playbook_id,
        from_version,
        with,
        author: actor,
        note,
        review_required,
        target_status,
        metadata,
        by_operator,
    });
    let request = fields.build(request)?;
    let repaired = engine.repair(&space, request).await?;
    Ok(Json(RepairedView::of(&engine, &space, repaired)))
}

/// Where the patch comes from: it is sent, or made of a run, or asked for.
fn with(fields: &mut Fields<'_>) -> Option<RepairWith> {
    let patch = fields.value("patch").filter(|patch| !patch.is_null()).cloned();
    if patch.as_ref().is_some_and(|patch| !patch.is_object()) {
        fields.issue("patch", "is not an object".to_owned());
    }
    let run_id = fields.id("run_id", RunId::parse);
    let failing_step = fields.text("failing_step", limits::ID_CHARS_MAX);
    let propose = fields.flag("propose").unwrap_or_default();
    let job_id = fields.id("job_id", JobId::parse);
    let context = fields.json_object("context").unwrap_or_else(|| crate::json::Json::from(&json!({})));
    let named = [(patch.is_some(), "patch"), (run_id.is_some(), "run_id"), (propose, "propose")];
    let named: Vec<&str> = named.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
    match named.as_slice() {
        [] => fields.issue("patch", "is missing; a repair is made with a patch, a run_id or propose".to_owned()),
        [_] => {}
        [first, second, ..] => fields.issue(second, format!("stands beside {first}; a repair is made with one of them")),
    }
    match (patch, run_id) {
        (Some(patch), _) => Some(RepairWith::Patch(patch)),
        (None, Some(run_id)) => Some(RepairWith::Run { run_id, failing_step }),
        (None, None) => propose.then_some(RepairWith::Propose { job_id, context }),
    }
}

fn status(fields: &mut Fields<'_>, name: &'static str) -> Option<Status> {
    fields.choice(name, &requests::STATUSES.map(|status| (status.as_str(), status)))
}

async fn review(State(engine): State<Engine>, headers: HeaderMap, posted: Posted) -> Result<Json<ReviewedView>> {
    let by_operator = bearer::is_operator(&engine, &headers)?;
    let Posted { space, actor, body } = posted;
    let mut fields = Fields::of(&body, "")?;
    fields.require(&["playbook_id", "action"]);
    let playbook_id = fields.id("playbook_id", PlaybookId::parse);
    let version = fields.index("version");
    let approve = fields.choice("action", ACTIONS);
    let note = fields.text("note", limits::TEXT_CHARS_MAX);
    let validate = fields.flag("auto_shadow_validate").unwrap_or(true);
    let validation_mode = fields.choice("shadow_validation_mode", MODES).unwrap_or("readiness").to_owned();
    let target_status = status(&mut fields, "target_status_on_approve");
    let promotes = fields.flag("auto_promote_on_pass").unwrap_or_default();
    let promote_to = status(&mut fields, "auto_promote_target_status").unwrap_or(Status::Active);
    let gate = fields.value("auto_promote_gate").map(gate).transpose().unwrap_or_else(|e| {
        fields.issues(e.issues);
        None
    });
    let metadata = fields.meta_object("metadata");
    fields.check_meta();
    let request = playbook_id.zip(approve).map(|(playbook_id, approve)| ReviewRequest {
        playbook_id,
        version,
        approve,
        reviewer: actor,
        note,
        validate,
        validation_mode,
        target_status,
        auto_promote: promotes.then_some(promote_to),
        gate: gate.unwrap_or_default(),
        metadata,
        by_operator,
    });
    let request = fields.build(request)?;
    let (approve, promotes) = (request.approve, request.auto_promote);
    let outcome = engine.review_repair(&space, request).await?;
    Ok(Json(ReviewedView::of(&space, outcome, approve, promotes)))
}

fn gate(asked: &Value) -> Result<AutoPromoteGate> {
    let mut fields = Fields::of(asked, "/auto_promote_gate")?;
    let plain = AutoPromoteGate::default();
    let require_shadow_pass = fields.flag("require_shadow_pass").unwrap_or(plain.require_shadow_pass);
    let mut count = |name: &'static str| {
        let value = fields.value(name).filter(|value| !value.is_null())?;
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        if number.is_none() {
            fields.issue(name, "is not a whole number from 0 up".to_owned());
        }
        number
    };
    let gate = AutoPromoteGate {
        require_shadow_pass,
        min_total_steps: count("min_total_steps").unwrap_or(plain.min_total_steps),
        max_failed_steps: count("max_failed_steps").unwrap_or(plain.max_failed_steps),
        max_blocked_steps: count("max_blocked_steps").unwrap_or(plain.max_blocked_steps),
        max_unknown_steps: count("max_unknown_steps").unwrap_or(plain.max_unknown_steps),
        min_success_ratio: plain.min_success_ratio,
    };
    let ratio = fields.value("min_success_ratio").filter(|value| !value.is_null());
    let number = ratio.and_then(Value::as_f64).filter(|ratio| (0.0..=1.0).contains(ratio));
    if ratio.is_some() && number.is_none() {
        fields.issue("min_success_ratio", "is not a number from 0 to 1".to_owned());
    }
    fields.build(Some(AutoPromoteGate { min_success_ratio: number.unwrap_or(plain.min_success_ratio), ..gate }))
}

/// The fields that any new version of a playbook is answered with.
#[derive(Serialize, ToSchema)]
pub(super) struct NextVersion {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// The playbook.
    playbook_id: String,
    /// The version that it follows from.
    from_version: u32,
    /// The version that it is.
    to_version: u32,
    /// How far that one is trusted.
    status: Status,
    /// A UUID that follows from space, playbook and version.
    playbook_node_id: String,
    /// `aionis://{tenant}/{scope}/procedure/{playbook_node_id}`.
    playbook_uri: String,
    #[serde(flatten)]
    commit: CommitFields,
}

impl NextVersion {
    pub(super) fn of(space: &Space, from_version: u32, version: &Version) -> Self {
        let (playbook_node_id, playbook_uri) = view::node(space, version);
        NextVersion {
            tenant_id: space.tenant().to_owned(),
            scope: space.scope().to_owned(),
            playbook_id: version.playbook_id.to_string(),
            from_version,
            to_version: version.version,
            status: version.status,
            playbook_node_id,
            playbook_uri,
            commit: view::commit(space, version),
        }
    }
}

/// The answer of `playbooks/repair`.
#[derive(Serialize, ToSchema)]
struct RepairedView {
    #[serde(flatten)]
    next: NextVersion,
    /// Whether somebody is to look at it before it may run.
    review_required: bool,
    /// `pending_review`, or `approved` where none is asked for.
    review_state: &'static str,
    /// What the patch did, in numbers.
    repair_summary: Summary,
    /// The patch, as it was sent or made. Not known to Aionis.
    #[schema(value_type = Object)]
    patch: Value,
    /// What the version does otherwise. Not known to Aionis.
    diff: PlanDiff,
    /// The same in lines. Not known to Aionis.
    diff_lines: Vec<String>,
    /// What it may do more and less than the version that it mends. Not known to Aionis.
    permission_diff: PermissionDiff,
    /// What each known recording says of it. Not known to Aionis.
    proof: Vec<Held>,
    /// The run that was spliced in. Not known to Aionis.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_run_id: Option<String>,
    /// Which model proposed it. Not known to Aionis.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<Value>,
    /// Whether the same request had made it before. Not known to Aionis.
    repeated: bool,
}

impl RepairedView {
    fn of(engine: &Engine, space: &Space, repaired: Repaired) -> Self {
        let Repaired { from_version, version, details, repeated } = repaired;
        let pending = version.awaits_review();
        RepairedView {
            next: NextVersion::of(space, from_version, &version),
            review_required: pending,
            review_state: if pending { "pending_review" } else { "approved" },
            permission_diff: engine.permission_diff_of(&details),
            diff_lines: details.diff.lines(),
            repair_summary: details.summary,
            patch: details.patch.value(),
            diff: details.diff,
            proof: details.proof,
            source_run_id: details.run_id.map(|run| run.to_string()),
            proposal: details.proposal.map(|evidence| evidence.value()),
            repeated,
        }
    }
}

/// The answer of `playbooks/repair/review`.
#[derive(Serialize, ToSchema)]
struct ReviewedView {
    #[serde(flatten)]
    next: NextVersion,
    /// As it was asked for.
    action: &'static str,
    /// `approved`, `approved_shadow_blocked` or `rejected`.
    review_state: RepairState,
    /// What the recordings say; null where they were not asked.
    shadow_validation: Option<ShadowValidation>,
    /// What became of the promotion.
    auto_promotion: AutoPromotion,
    /// How the promotion was settled.
    auto_promote_policy_resolution: PolicyResolution,
    /// What is learned of an approval.
    learning_projection_result: LearningProjection,
    /// Whether the same reviewer had decided the same before; then this is the answer of that time. Not known to Aionis.
    repeated: bool,
}

/// How a promotion was settled.
#[derive(Serialize, ToSchema)]
struct PolicyResolution {
    /// Always `request`: the request says what is promoted, and the server's policy whether it has earned that.
    source: &'static str,
    /// Whether a promotion was asked for.
    auto_promote_on_pass: bool,
    /// The status that was asked for.
    auto_promote_target_status: Option<Status>,
}

/// What is learned of an approval.
#[derive(Serialize, ToSchema)]
struct LearningProjection {
    /// Always false: what a playbook is worth follows from its evidence, which every job adds to.
    triggered: bool,
    /// Always `sync_inline`.
    delivery: &'static str,
    /// Always `skipped`.
    status: &'static str,
    /// Always `evidence_of_jobs_instead`.
    reason: &'static str,
}

impl ReviewedView {
    fn of(space: &Space, outcome: ReviewOutcome, approve: bool, promotes: Option<Status>) -> Self {
        let ReviewOutcome { repair, state, version, shadow_validation, auto_promotion, repeated, .. } = outcome;
        ReviewedView {
            next: NextVersion::of(space, repair.version, &version),
            action: if approve { "approve" } else { "reject" },
            review_state: state,
            shadow_validation,
            auto_promotion,
            auto_promote_policy_resolution: PolicyResolution {
                source: "request",
                auto_promote_on_pass: promotes.is_some(),
                auto_promote_target_status: promotes,
            },
            learning_projection_result: LearningProjection {
                triggered: false,
                delivery: "sync_inline",
                status: "skipped",
                reason: "evidence_of_jobs_instead",
            },
            repeated,
        }
    }
}

fn statuses() -> Kind {
    Kind::OneOf(requests::STATUSES.map(Status::as_str).to_vec())
}

fn repair_fields() -> Vec<Field> {
    vec![
        required("playbook_id", Kind::Id, "The playbook."),
        field("from_version", Kind::Index, "The version to mend; the newest that no review holds back where it is left out."),
        field("patch", Kind::Object, "What is to be another. A word or a step that is not known is an error."),
        field("run_id", Kind::Id, "Instead of a patch: a run that got past the failing step. Not known to Aionis."),
        field("failing_step", Kind::Given, "Beside `run_id`: the step at which the playbook fails. Not known to Aionis."),
        field("propose", Kind::Flag, "Instead of a patch: ask the configured chat endpoint for one. Not known to Aionis."),
        field("job_id", Kind::Given, "Beside `propose`: the job that stopped short. Not known to Aionis."),
        field("context", Kind::Object, "Beside `propose`: what else there is to know. Not known to Aionis."),
        field("note", Kind::Text, "Why."),
        field("review_required", Kind::Flag, "True where it is left out. Only an operator leaves the review out for more than a draft."),
        field("target_status", statuses(), "The status that it is meant for; `draft` where it is left out."),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}

fn review_fields() -> Vec<Field> {
    let gate = vec![
        field("require_shadow_pass", Kind::Flag, "True where it is left out."),
        field("min_total_steps", Kind::Count, "0 where it is left out."),
        field("max_failed_steps", Kind::Count, "0 where it is left out."),
        field("max_blocked_steps", Kind::Count, "0 where it is left out."),
        field("max_unknown_steps", Kind::Count, "0 where it is left out."),
        field("min_success_ratio", Kind::Of(|_| json!({"type": "number", "minimum": 0, "maximum": 1})), "1 where it is left out."),
    ];
    vec![
        required("playbook_id", Kind::Id, "The playbook."),
        field("version", Kind::Index, "The repair; the newest that waits where it is left out."),
        required("action", words(ACTIONS), "What is said of it."),
        field("note", Kind::Text, "Why."),
        field("auto_shadow_validate", Kind::Flag, "Whether the recordings are asked first; true where it is left out."),
        field("shadow_validation_mode", words(MODES), "Nothing is executed in any of them."),
        field(
            "target_status_on_approve",
            statuses(),
            "Left out: `shadow` for an operator and where the policy opens reviews, otherwise `draft`. More than that is an operator's to say.",
        ),
        field("auto_promote_on_pass", Kind::Flag, "Whether it is promoted at once where the gate lets it."),
        field("auto_promote_target_status", statuses(), "`active` where it is left out."),
        field("auto_promote_gate", Kind::Fields(gate), "What the validation must have shown for that."),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}
