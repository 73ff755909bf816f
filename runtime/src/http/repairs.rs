//! `/v1/repairs`: what was mended of playbooks, and what became of it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::caller::{Asked, OfVersion};
use super::openapi::{self, Kind, field, words};
use super::playbooks::page_fields;
use super::route::{Gives, Route};
use crate::clock::rfc3339;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::ids::PlaybookId;
use crate::lifecycle::Status;
use crate::lifecycle::repairs::{Repair, RepairFilter, RepairSource, RepairState};

pub(super) fn routes() -> Vec<Route> {
    let mut query = page_fields();
    query.push(field("status", words(RepairState::NAMES), "Those that have come so far."));
    query.push(field("playbook_id", Kind::Id, "Those of one playbook."));
    vec![
        Route::get("/v1/repairs", list, "list_repairs", "Repairs in the order of playbooks and versions.")
            .query(query)
            .gives(200, "A page. It may be shorter than asked for and still not the last.", Gives::Json(openapi::of::<RepairPage>))
            .fails(&[Code::InvalidRequest]),
        Route::get("/v1/repairs/{id}/{version}", one, "get_repair", "A repair by its playbook and the version that it made.")
            .gives(
                200,
                "The repair with its patch, what it does otherwise, and what the recordings say.",
                Gives::Json(openapi::of::<RepairView>),
            )
            .fails(&[Code::InvalidRequest, Code::RepairNotFound]),
    ]
}

async fn list(State(engine): State<Engine>, Asked { space, mut query }: Asked) -> Result<Json<RepairPage>> {
    let after = query.parsed("cursor", "a cursor that a page gave as `next`", |text| {
        let (version, id) = text.split_once('.')?;
        Some((PlaybookId::parse(id).ok()?, version.parse().ok()?))
    });
    let limit = query.limit();
    let names: Vec<&str> = RepairState::NAMES.iter().map(|(name, _)| *name).collect();
    let state = query.parsed("status", &format!("one of {}", names.join(", ")), |text| {
        RepairState::NAMES.iter().find(|(name, _)| *name == text).map(|(_, state)| *state)
    });
    let playbook_id = query.parsed("playbook_id", "a playbook's id", |text| PlaybookId::parse(text).ok());
    query.done()?;
    let (rows, next) = engine.repairs(&space, RepairFilter { playbook_id, state }, after, limit).await?;
    let next = next.map(|(id, version)| format!("{version}.{id}"));
    let (tenant_id, scope) = (space.tenant().to_owned(), space.scope().to_owned());
    Ok(Json(RepairPage { tenant_id, scope, repairs: rows.into_iter().map(RepairLine::of).collect(), next }))
}

async fn one(State(engine): State<Engine>, OfVersion(id, version): OfVersion, Asked { space, query }: Asked) -> Result<Json<RepairView>> {
    query.done()?;
    let (repair, details) = engine.repair_of(&space, &id, version).await?;
    Ok(Json(RepairView {
        tenant_id: space.tenant().to_owned(),
        scope: space.scope().to_owned(),
        repair: RepairLine::of(repair),
        details: engine.repair_view(&details),
    }))
}

/// The answer of `GET /v1/repairs`.
#[derive(Serialize, ToSchema)]
struct RepairPage {
    /// Whose they are.
    tenant_id: String,
    /// Whose they are.
    scope: String,
    /// In the order of playbooks and versions.
    repairs: Vec<RepairLine>,
    /// The next page's `cursor`; null where this is the last.
    next: Option<String>,
}

/// A repair in a list.
#[derive(Serialize, ToSchema)]
struct RepairLine {
    /// The playbook.
    playbook_id: String,
    /// The version that the repair made.
    version: u32,
    /// The version that it mends.
    from_version: u32,
    /// How far it has come.
    status: RepairState,
    /// Where it came from.
    source: RepairSource,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    /// What they said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The status that it is meant for.
    target_status: Status,
    /// RFC 3339, UTC.
    made_at: String,
    /// The review, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed: Option<ReviewLine>,
}

/// What a review said.
#[derive(Serialize, ToSchema)]
struct ReviewLine {
    /// The version that it made.
    version: u32,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// What they said.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// RFC 3339, UTC.
    at: String,
}

/// The answer of `GET /v1/repairs/{id}/{version}`.
#[derive(Serialize, ToSchema)]
struct RepairView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    #[serde(flatten)]
    repair: RepairLine,
    /// The patch, what it does otherwise, what it may do more, and what the recordings say of it.
    #[schema(value_type = Object)]
    details: Value,
}

impl RepairLine {
    fn of(repair: Repair) -> Self {
        let Repair { playbook_id, version, row } = repair;
        RepairLine {
            playbook_id: playbook_id.to_string(),
            version,
            from_version: row.from_version,
            status: row.state,
            source: row.source,
            author: row.author,
            note: row.note,
            target_status: row.target_status,
            made_at: rfc3339(row.made_at),
            reviewed: row.reviewed.map(|said| ReviewLine { version: said.version, by: said.by, note: said.note, at: rfc3339(said.at) }),
        }
    }
}
