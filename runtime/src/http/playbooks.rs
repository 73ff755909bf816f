//! `/v1/playbooks`: components up and down.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Component, Posted};
use super::caller::{Asked, OfPlaybook, OfVersion};
use super::openapi::{self, Field, Kind, field};
use super::route::{Gives, Route, Takes};
use super::view::{self, VersionView};
use crate::blocking;
use crate::clock::rfc3339;
use crate::compiler::emit::Explained;
use crate::engine::{Engine, Upload};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::{PlaybookFilter, Status, Summary, Version};
use crate::limits;

pub(super) fn routes() -> Vec<Route> {
    const OF_ONE: &[Code] = &[Code::InvalidRequest, Code::ReplayPlaybookNotFound];
    vec![
        Route::post(
            "/v1/playbooks",
            upload,
            "upload_playbook",
            "Takes a component that was made elsewhere, linked and started once without effects.",
        )
        .query(vec![
            field("id", Kind::Given, "The playbook, new or not; follows from the bytes where it is left out."),
            field("name", Kind::Text, "For people; the playbook's id where it is left out."),
        ])
        .takes(Takes::Component)
        .gives(201, "A new version; `activation` says whether it is the one that runs.", Gives::Json(openapi::of::<VersionView>))
        .gives(200, "The version that the same bytes and name had made before.", Gives::Json(openapi::of::<VersionView>))
        .fails(&[
            Code::InvalidRequest,
            Code::TooLarge,
            Code::NotAComponent,
            Code::ImportsUnsatisfied,
            Code::ComponentTooDemanding,
            Code::ComponentDoesNotStart,
            Code::Contended,
        ]),
        Route::get("/v1/playbooks", list, "list_playbooks", "Playbooks in the order of their ids.")
            .query(list_fields())
            .gives(200, "A page.", Gives::Json(openapi::of::<PlaybookPage>))
            .fails(&[Code::InvalidRequest]),
        Route::get(
            "/v1/playbooks/{id}",
            active,
            "get_playbook",
            "The active version of a playbook: the one that runs where none is named.",
        )
        .gives(200, "The version.", Gives::Json(openapi::of::<VersionView>))
        .fails(OF_ONE),
        Route::get("/v1/playbooks/{id}/versions/{version}", version, "get_playbook_version", "One version of a playbook.")
            .gives(200, "The version.", Gives::Json(openapi::of::<VersionView>))
            .fails(OF_ONE),
        Route::post(
            "/v1/playbooks/{id}/versions/{version}/activate",
            activate,
            "activate_playbook_version",
            "Makes a version the one that runs where none is named, whatever it asks for: promotes it to active, as the next version.",
        )
        .for_operators()
        .takes(Takes::Json(vec![field("note", Kind::Text, "Why; shown for as long as the playbook is there.")]))
        .gives(200, "It runs, as this version, now or before.", Gives::Json(openapi::of::<VersionView>))
        .fails(&[
            Code::InvalidRequest,
            Code::ReplayPlaybookNotFound,
            Code::PlaybookDisabled,
            Code::PromotionNotEarned,
            Code::Contended,
        ]),
        Route::get("/v1/playbooks/{id}/versions/{version}/component", component, "get_playbook_component", "The component's bytes.")
            .gives(200, "The component.", Gives::Component)
            .fails(OF_ONE),
        Route::get("/v1/playbooks/{id}/versions/{version}/plan", plan, "get_playbook_plan", "The plan that the component was made from.")
            .gives(200, "The plan.", Gives::Json(|_| serde_json::json!({"type": "object"})))
            .fails(&[Code::InvalidRequest, Code::ReplayPlaybookNotFound, Code::PlanNotFound]),
        Route::get(
            "/v1/playbooks/{id}/versions/{version}/wit",
            wit,
            "get_playbook_wit",
            "The component's world in WIT: what it imports and exports.",
        )
        .gives(200, "The world.", Gives::Text)
        .fails(OF_ONE),
    ]
}

fn list_fields() -> Vec<Field> {
    let mut fields = page_fields();
    fields.push(field(
        "status",
        openapi::words(&Status::NAMES),
        "Only those of which a version with this status runs, or is what keeps them from it.",
    ));
    fields.push(field("q", Kind::Text, "Only those with this text in their id or name, whatever its case."));
    fields
}

/// `cursor` and `limit` of any list.
pub(super) fn page_fields() -> Vec<Field> {
    vec![
        field("cursor", Kind::Given, "Where the page begins: `next` of the page before."),
        field("limit", Kind::Index, "Rows on the page; 50 where it is left out, at most 500."),
    ]
}

async fn upload(
    State(engine): State<Engine>,
    Asked { space, mut query }: Asked,
    Component(bytes): Component,
) -> Result<(StatusCode, Json<VersionView>)> {
    let playbook_id = query.text("id").map(|id| PlaybookId::parse(&id)).transpose()?;
    let name = query.parsed("name", &format!("a name of 1 to {} characters", limits::TEXT_CHARS_MAX), |name| {
        (1..=limits::TEXT_CHARS_MAX).contains(&name.chars().count()).then(|| name.to_owned())
    });
    query.done()?;
    let uploaded = engine.upload(&space, Upload { playbook_id, name, bytes }).await?;
    let status = if uploaded.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(shown(&engine, &space, &uploaded.version).await?)))
}

async fn list(State(engine): State<Engine>, Asked { space, mut query }: Asked) -> Result<Json<PlaybookPage>> {
    let after = query.parsed("cursor", "a cursor that a page gave as `next`", |text| PlaybookId::parse(text).ok());
    let limit = query.limit();
    let status = query.parsed("status", "draft, shadow, active or disabled", Status::parse);
    let text = query.parsed("q", &format!("a text of 1 to {} characters", limits::TEXT_CHARS_MAX), |text| {
        (1..=limits::TEXT_CHARS_MAX).contains(&text.chars().count()).then(|| text.to_owned())
    });
    query.done()?;
    let (tenant_id, scope) = (space.tenant().to_owned(), space.scope().to_owned());
    let filter = PlaybookFilter { status, text };
    let (rows, next) = blocking::run(move || engine.playbooks_where(&space, &filter, after.as_ref(), limit)).await?;
    let next = next.map(|id| id.to_string());
    Ok(Json(PlaybookPage { tenant_id, scope, playbooks: rows.into_iter().map(PlaybookRow::of).collect(), next }))
}

async fn active(State(engine): State<Engine>, OfPlaybook(id): OfPlaybook, Asked { space, query }: Asked) -> Result<Json<VersionView>> {
    query.done()?;
    let version = engine.playbook(&space, &id, None)?;
    shown(&engine, &space, &version).await.map(Json)
}

async fn version(State(engine): State<Engine>, asked: AskedVersion) -> Result<Json<VersionView>> {
    let (space, version) = asked.read(&engine)?;
    shown(&engine, &space, &version).await.map(Json)
}

async fn activate(State(engine): State<Engine>, OfVersion(id, number): OfVersion, posted: Posted) -> Result<Json<VersionView>> {
    let mut fields = posted.fields()?;
    let note = fields.text("note", limits::TEXT_CHARS_MAX);
    fields.refuse_unknown("an activation");
    fields.build(Some(()))?;
    let version = engine.activate_playbook(&posted.space, &id, number, posted.actor.clone(), note).await?;
    shown(&engine, &posted.space, &version).await.map(Json)
}

async fn component(State(engine): State<Engine>, asked: AskedVersion) -> Result<Response> {
    let (_, version) = asked.read(&engine)?;
    Ok(view::sent(StatusCode::OK, "application/wasm", engine.component(version.component).await?))
}

async fn plan(State(engine): State<Engine>, asked: AskedVersion) -> Result<Response> {
    let (_, version) = asked.read(&engine)?;
    let (id, number) = (&version.playbook_id, version.version);
    let none = |why: String| Err(Error::new(Code::PlanNotFound, format!("playbook {id} version {number} has no plan: {why}")));
    match engine.explained(version.component).await? {
        Explained::ByPlan(plan) => Ok(view::sent(StatusCode::OK, "application/json", plan.to_json().as_str().to_owned())),
        Explained::Not => none("its component was made by hand or elsewhere; /wit says what it imports".to_owned()),
        Explained::Falsely(fault) => none(format!("its component carries something under that name, but {fault}")),
    }
}

async fn wit(State(engine): State<Engine>, asked: AskedVersion) -> Result<Response> {
    let (_, version) = asked.read(&engine)?;
    Ok(view::sent(StatusCode::OK, "text/plain; charset=utf-8", engine.wit(version.component).await?))
}

/// A version named by the path, in a space named by the query.
struct AskedVersion {
    of: OfVersion,
    asked: Asked,
}

impl<S: Sync + Send> FromRequestParts<S> for AskedVersion {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Ok(AskedVersion { of: OfVersion::from_request_parts(parts, state).await?, asked: Asked::from_request_parts(parts, state).await? })
    }
}

impl AskedVersion {
    fn read(self, engine: &Engine) -> Result<(Space, Version)> {
        let AskedVersion { of: OfVersion(id, number), asked: Asked { space, query } } = self;
        query.done()?;
        let version = engine.playbook(&space, &id, Some(number))?;
        Ok((space, version))
    }
}

async fn shown(engine: &Engine, space: &Space, version: &Version) -> Result<VersionView> {
    let imports = engine.imports(version.component).await?;
    Ok(VersionView::of(space, version, imports, engine.standing(space, version).await?))
}

/// The answer of `GET /v1/playbooks`.
#[derive(Serialize, ToSchema)]
struct PlaybookPage {
    /// Whose they are.
    tenant_id: String,
    /// Whose they are.
    scope: String,
    /// In the order of their ids.
    playbooks: Vec<PlaybookRow>,
    /// The next page's `cursor`; null where this is the last.
    next: Option<String>,
}

/// A playbook in a list.
#[derive(Serialize, ToSchema)]
struct PlaybookRow {
    /// The playbook.
    playbook_id: String,
    /// Its newest version's name.
    name: String,
    /// Its newest version's number.
    latest_version: u32,
    /// Its newest version's status.
    latest_status: Status,
    /// The number of the version that runs where none is named.
    active_version: u32,
    /// That one's status; `disabled`: nothing of the playbook is started.
    status: Status,
    /// The shadow, whether it runs or stands beside what does; null where there is none.
    shadow_version: Option<u32>,
    /// How many versions wait for a review.
    reviews_pending: usize,
    /// RFC 3339, UTC.
    updated_at: String,
}

impl PlaybookRow {
    fn of(summary: Summary) -> Self {
        PlaybookRow {
            playbook_id: summary.playbook_id.to_string(),
            name: summary.name,
            latest_version: summary.latest_version,
            latest_status: summary.latest_status,
            active_version: summary.active_version,
            status: summary.active_status,
            shadow_version: summary.shadow_version,
            reviews_pending: summary.pending.len(),
            updated_at: rfc3339(summary.updated_at_ms),
        }
    }
}
