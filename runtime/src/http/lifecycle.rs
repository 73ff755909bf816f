//! `/v1/policy` and what lies below a playbook: its versions, evidence, history, ledger, its policy, and promotion.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::bearer;
use super::body::Posted;
use super::caller::{Asked, OfPlaybook, Query};
use super::openapi::{self, Field, Kind, field, required};
use super::playbooks::page_fields;
use super::route::{Gives, Route, Takes};
use crate::blocking;
use crate::config::PolicyChange;
use crate::engine::{Engine, Promotion, VersionDiff};
use crate::error::{Code, Error, Result};
use crate::fields;
use crate::lifecycle::Status;
use crate::lifecycle::evidence::{EventFilter, EventKind, Outcome};
use crate::lifecycle::view::{EvidencePage, HistoryPage, LedgerPage, PolicyView, PromotionView, VersionPage};
use crate::limits;

pub(super) fn routes() -> Vec<Route> {
    const OF_ONE: &[Code] = &[Code::InvalidRequest, Code::ReplayPlaybookNotFound];
    let mut evidence_fields = page_fields();
    evidence_fields.push(field("version", Kind::Index, "The version whose component it is on; the one that runs where it is left out."));
    evidence_fields.push(field("kind", openapi::words(EventKind::NAMES), "Only evidence of this kind."));
    evidence_fields.push(field("outcome", openapi::words(Outcome::NAMES), "Only what came to this."));
    vec![
        Route::get("/v1/playbooks/{id}/versions", versions, "list_playbook_versions", "Versions of a playbook, newest first.")
            .query(page_fields())
            .gives(200, "A page.", Gives::Json(openapi::of::<VersionPage>))
            .fails(OF_ONE),
        Route::get(
            "/v1/playbooks/{id}/history",
            history,
            "get_playbook_history",
            "What became of a playbook, newest first: who or what made each version, from which, and why.",
        )
        .query(page_fields())
        .gives(200, "A page.", Gives::Json(openapi::of::<HistoryPage>))
        .fails(OF_ONE),
        Route::get(
            "/v1/playbooks/{id}/evidence",
            evidence,
            "list_playbook_evidence",
            "What was seen of a version's component, newest first, and what the policy makes of it.",
        )
        .query(evidence_fields)
        .gives(200, "A page. It may be shorter than asked for and still not the last.", Gives::Json(openapi::of::<EvidencePage>))
        .fails(OF_ONE),
        Route::get("/v1/playbooks/{id}/diff", diff, "diff_playbook_versions", "What two versions do otherwise, and may do more or less.")
            .query(vec![
                field("from", Kind::Index, "The older version; required."),
                field("to", Kind::Index, "The newer version; the one that runs where it is left out."),
            ])
            .gives(200, "The difference.", Gives::Json(openapi::of::<VersionDiff>))
            .fails(OF_ONE),
        Route::get(
            "/v1/playbooks/{id}/ledger",
            ledger,
            "get_playbook_ledger",
            "What a playbook's jobs spared, held against its recorded runs.",
        )
        .query(page_fields())
        .gives(200, "The sums, and a page of jobs.", Gives::Json(openapi::of::<LedgerPage>))
        .fails(OF_ONE),
        Route::post(
            "/v1/playbooks/{id}/promote",
            promote,
            "promote_playbook",
            "Gives a version another status, as the next version: an operator any, anybody else what the evidence has earned.",
        )
        .takes(Takes::Json(vec![
            required("target_status", openapi::words(&Status::NAMES), "The status."),
            field("from_version", Kind::Index, "The version; the newest where it is left out."),
            field("note", Kind::Text, "Why; shown for as long as the playbook is there."),
            field("metadata", Kind::Object, "What is to be kept with the new version."),
        ]))
        .gives(200, "It has the status, now or before.", Gives::Json(openapi::of::<PromotionView>))
        .fails(&[
            Code::InvalidRequest,
            Code::ReplayPlaybookNotFound,
            Code::PromotionNotEarned,
            Code::Contended,
            Code::OperatorTokenMissing,
            Code::OperatorTokenWrong,
        ]),
        Route::get("/v1/playbooks/{id}/policy", playbook_policy, "get_playbook_policy", "The policy that holds for a playbook.")
            .gives(200, "The policy.", Gives::Json(openapi::of::<PolicyView>))
            .fails(OF_ONE),
        Route::put(
            "/v1/playbooks/{id}/policy",
            put_playbook_policy,
            "put_playbook_policy",
            "Settles parts of the policy for one playbook.",
        )
        .for_operators()
        .takes(Takes::Json(policy_fields()))
        .gives(200, "The policy that holds now.", Gives::Json(openapi::of::<PolicyView>))
        .fails(OF_ONE),
        Route::get(
            "/v1/policy",
            policy,
            "get_policy",
            "The policy that holds for the playbooks of a space, where nothing else is settled for one.",
        )
        .gives(200, "The policy.", Gives::Json(openapi::of::<PolicyView>))
        .fails(&[Code::InvalidRequest]),
        Route::put("/v1/policy", put_policy, "put_policy", "Settles parts of the policy for a space.")
            .for_operators()
            .takes(Takes::Json(policy_fields()))
            .gives(200, "The policy that holds now.", Gives::Json(openapi::of::<PolicyView>))
            .fails(&[Code::InvalidRequest]),
    ]
}

fn policy_fields() -> Vec<Field> {
    vec![
        field("auto_promote", Kind::Flag, "Whether evidence alone promotes."),
        field("auto_demote", Kind::Flag, "Whether evidence alone demotes."),
        field("shadow", Kind::Object, "What makes a draft a shadow: `proved`, `recordings`."),
        field("active", Kind::Object, "What makes a shadow active: `successes`, `distinct_inputs`, `wilson_floor`, `min_age_s`."),
        field("demote", Kind::Object, "What takes a status away: `floor`, `window`, `min_failures`."),
        field("canary_share", Kind::Any, "The share of jobs that goes to a shadow beside an active version, 0 to 1."),
        field("separate_reviewer", Kind::Flag, "Whether whoever repaired a version may not approve it."),
        field("open_review", Kind::Flag, "Whether anybody may approve a repair as a shadow; otherwise only as a draft."),
    ]
}

/// A cursor that is a piece of evidence's id.
fn evidence_cursor(query: &mut Query) -> Option<[u8; 16]> {
    query.parsed("cursor", "a cursor that a page gave as `next`", |text| hex::decode(text).ok()?.try_into().ok())
}

async fn versions(State(engine): State<Engine>, OfPlaybook(id): OfPlaybook, Asked { space, query }: Asked) -> Result<Json<VersionPage>> {
    let (before, limit) = number_cursor(query)?;
    blocking::run(move || engine.versions_page(&space, &id, before, limit)).await.map(Json)
}

async fn history(State(engine): State<Engine>, OfPlaybook(id): OfPlaybook, Asked { space, query }: Asked) -> Result<Json<HistoryPage>> {
    let (before, limit) = number_cursor(query)?;
    blocking::run(move || engine.history_page(&space, &id, before, limit)).await.map(Json)
}

/// A cursor that is a version's number, and how many rows.
fn number_cursor(mut query: Query) -> Result<(Option<u32>, usize)> {
    let before = query.parsed("cursor", "a cursor that a page gave as `next`", |text| text.parse::<u32>().ok());
    let limit = query.limit();
    query.done()?;
    Ok((before, limit))
}

async fn evidence(
    State(engine): State<Engine>,
    OfPlaybook(id): OfPlaybook,
    Asked { space, mut query }: Asked,
) -> Result<Json<EvidencePage>> {
    let (before, limit) = (evidence_cursor(&mut query), query.limit());
    let number = query.number("version", 1..=u64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok());
    let filter = EventFilter {
        kind: query.parsed("kind", "proof, shadow or job", |text| named(EventKind::NAMES, text)),
        outcome: query.parsed("outcome", "success or failure", |text| named(Outcome::NAMES, text)),
    };
    query.done()?;
    blocking::run(move || engine.evidence_page(&space, &id, number, filter, before, limit)).await.map(Json)
}

fn named<T: Copy>(names: &[(&str, T)], text: &str) -> Option<T> {
    names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

async fn diff(State(engine): State<Engine>, OfPlaybook(id): OfPlaybook, Asked { space, mut query }: Asked) -> Result<Json<VersionDiff>> {
    let mut number = |name| query.number(name, 1..=u64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok());
    let (from, to) = (number("from"), number("to"));
    query.done()?;
    let from = from.ok_or_else(|| Error::invalid("?from", "is missing; give the number of the older version"))?;
    let to = to.map_or_else(|| engine.playbook(&space, &id, None).map(|runs| runs.version), Ok)?;
    engine.diff(&space, &id, from, to).await.map(Json)
}

async fn ledger(State(engine): State<Engine>, OfPlaybook(id): OfPlaybook, Asked { space, mut query }: Asked) -> Result<Json<LedgerPage>> {
    let (before, limit) = (evidence_cursor(&mut query), query.limit());
    query.done()?;
    engine.ledger_page(&space, &id, before, limit).await.map(Json)
}

async fn promote(
    State(engine): State<Engine>,
    headers: HeaderMap,
    OfPlaybook(id): OfPlaybook,
    posted: Posted,
) -> Result<Json<PromotionView>> {
    let operator = bearer::is_operator(&engine, &headers)?;
    let mut fields = posted.fields()?;
    fields.require(&["target_status"]);
    let target = fields.choice("target_status", &Status::NAMES);
    let from_version = fields.index("from_version");
    let note = fields.text("note", limits::TEXT_CHARS_MAX);
    let metadata = fields.meta_object("metadata");
    fields.check_meta();
    fields.refuse_unknown("a promotion");
    let target = fields.build(target)?;
    let promotion = Promotion { playbook_id: id, from_version, target, by: posted.actor.clone(), note, metadata, operator };
    let promoted = engine.promote(&posted.space, &promotion).await?;
    engine.promotion_view(&posted.space, &promoted).map(Json)
}

async fn policy(State(engine): State<Engine>, Asked { space, query }: Asked) -> Result<Json<PolicyView>> {
    query.done()?;
    engine.policy_view(&space, None).map(Json)
}

async fn playbook_policy(
    State(engine): State<Engine>,
    OfPlaybook(id): OfPlaybook,
    Asked { space, query }: Asked,
) -> Result<Json<PolicyView>> {
    query.done()?;
    engine.policy_view(&space, Some(&id)).map(Json)
}

async fn put_policy(State(engine): State<Engine>, posted: Posted) -> Result<Json<PolicyView>> {
    engine.put_policy(&posted.space, None, &change(&posted)?).await?;
    engine.policy_view(&posted.space, None).map(Json)
}

async fn put_playbook_policy(State(engine): State<Engine>, OfPlaybook(id): OfPlaybook, posted: Posted) -> Result<Json<PolicyView>> {
    engine.put_policy(&posted.space, Some(&id), &change(&posted)?).await?;
    engine.policy_view(&posted.space, Some(&id)).map(Json)
}

/// What of the policy the body settles.
fn change(posted: &Posted) -> Result<PolicyChange> {
    let common = ["tenant_id", "scope", "actor"];
    let of_body = posted.body.as_object().cloned().unwrap_or_default();
    let settled: Map<String, Value> = of_body.into_iter().filter(|(name, _)| !common.contains(&name.as_str())).collect();
    PolicyChange::read(&Value::Object(settled)).map_err(|issues| fields::refusal(Code::InvalidRequest, issues))
}
