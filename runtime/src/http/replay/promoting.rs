//! `/v1/memory/replay/playbooks/promote`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::repairs::NextVersion;
use super::requests;
use crate::engine::{Engine, Promotion};
use crate::error::{Code, Result};
use crate::fields::Fields;
use crate::http::bearer;
use crate::http::body::Posted;
use crate::http::openapi::{self, Kind, field, required};
use crate::http::route::{Gives, Route, Takes};
use crate::ids::PlaybookId;
use crate::lifecycle::Status;
use crate::limits;

pub(super) fn routes() -> Vec<Route> {
    let statuses = || Kind::OneOf(requests::STATUSES.map(Status::as_str).to_vec());
    vec![
        Route::post(
            "/v1/memory/replay/playbooks/promote",
            promote,
            "replay_playbooks_promote",
            "Gives a playbook another status: the next version, with the same component.",
        )
        .takes(Takes::Json(vec![
            required("playbook_id", Kind::Id, "The playbook."),
            field("from_version", Kind::Index, "The version to copy; the newest where it is left out. An old one is how to go back."),
            required("target_status", statuses(), "What it becomes. Without the operator's token, what the evidence allows."),
            field("note", Kind::Text, "Why; kept for ever."),
            field("metadata", Kind::Object, "Whatever else is worth keeping."),
        ]))
        .gives(200, "It has that status, in a new version or already.", Gives::Json(openapi::of::<PromotedView>))
        .fails(&[
            Code::InvalidRequest,
            Code::ReplayPlaybookNotFound,
            Code::PromotionNotEarned,
            Code::Contended,
            Code::OperatorTokenMissing,
            Code::OperatorTokenWrong,
        ]),
    ]
}

async fn promote(State(engine): State<Engine>, headers: HeaderMap, posted: Posted) -> Result<Json<PromotedView>> {
    let by_operator = bearer::is_operator(&engine, &headers)?;
    let Posted { space, actor, body } = posted;
    let mut fields = Fields::of(&body, "")?;
    fields.require(&["playbook_id", "target_status"]);
    let playbook_id = fields.id("playbook_id", PlaybookId::parse);
    let from_version = fields.index("from_version");
    let target = fields.choice("target_status", &requests::STATUSES.map(|status| (status.as_str(), status)));
    let note = fields.text("note", limits::TEXT_CHARS_MAX);
    let metadata = fields.meta_object("metadata");
    fields.check_meta();
    let request = playbook_id.zip(target).map(|(playbook_id, target)| Promotion {
        playbook_id,
        from_version,
        target,
        note,
        metadata,
        by: actor,
        operator: by_operator,
    });
    let promoted = engine.promote(&space, &fields.build(request)?).await?;
    Ok(Json(PromotedView {
        next: NextVersion::of(&space, promoted.from.version, &promoted.version),
        unchanged: promoted.unchanged,
        reason: promoted.unchanged.then_some("already_target_status_on_latest"),
    }))
}

/// The answer of `playbooks/promote`.
#[derive(Serialize, ToSchema)]
struct PromotedView {
    #[serde(flatten)]
    next: NextVersion,
    /// Whether it had that status already, and no version was made.
    unchanged: bool,
    /// `already_target_status_on_latest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}
