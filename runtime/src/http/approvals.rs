//! `/v1/approvals`: what waits for a person, and what they say.
//!
//! A decision names the digest of what the person saw, so that nobody approves what they were not shown. It knows nothing
//! of who may decide.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::body::Posted;
use super::caller::{Asked, OfApproval};
use super::control::{given, standing, stands};
use super::jobs::text;
use super::openapi::{Components, Kind, field, required};
use super::playbooks::page_fields;
use super::route::{Gives, Route, Takes};
use super::view;
use crate::blocking;
use crate::engine::{Engine, approval_row};
use crate::error::{Code, Result};
use crate::ids::Digest;
use crate::jobs::ApprovalId;
use crate::{json as values, limits};

pub(super) fn routes() -> Vec<Route> {
    let decides = |route: Route| {
        route
            .takes(Takes::Json(vec![
                required("digest", Kind::Digest, "The digest of what was looked at."),
                field("answer", Kind::Any, "What the playbook gets; an object with `comment`, or null, where it is left out."),
                field("comment", Kind::Text, "For people; part of `answer` where that is left out, and not allowed beside it."),
            ]))
            .gives(200, "It is decided so, now or before.", Gives::Json(standing))
            .fails(&[
                Code::InvalidRequest,
                Code::ApprovalNotFound,
                Code::JobStateConflict,
                Code::TooLarge,
                Code::TooBusy,
                Code::ShuttingDown,
            ])
    };
    vec![
        Route::get("/v1/approvals", list, "list_approvals", "What waits for a person, the oldest jobs first.")
            .query(page_fields())
            .gives(200, "A page.", Gives::Json(page))
            .fails(&[Code::InvalidRequest, Code::ApprovalNotFound]),
        Route::get("/v1/approvals/{id}", read, "get_approval", "One of them, with what will be done.")
            .gives(200, "The approval.", Gives::Json(approval))
            .fails(&[Code::InvalidRequest, Code::ApprovalNotFound]),
        decides(Route::post("/v1/approvals/{id}/approve", approve, "approve", "Says yes to what has this digest.")),
        decides(Route::post("/v1/approvals/{id}/reject", reject, "reject", "Says no to what has this digest.")),
    ]
}

async fn list(State(engine): State<Engine>, Asked { space, mut query }: Asked) -> Result<Json<Value>> {
    let after = query.parsed("cursor", "a cursor that a page gave as `next`", |text| ApprovalId::parse(text).ok());
    let limit = query.limit();
    query.done()?;
    let of = space.clone();
    let rows = blocking::run(move || engine.approvals(&of, after, limit)).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(id, _)| id.to_string());
    let rows: Vec<Value> = rows.iter().map(|(id, row)| approval_row(*id, row)).collect();
    Ok(Json(view::in_space(&space, json!({"approvals": rows, "next": next}))))
}

async fn read(State(engine): State<Engine>, OfApproval(id): OfApproval, Asked { space, query }: Asked) -> Result<Json<Value>> {
    query.done()?;
    let of = space.clone();
    let approval = blocking::run(move || engine.approval(&of, id)).await?;
    Ok(Json(view::in_space(&space, approval.to_json())))
}

async fn approve(engine: State<Engine>, id: OfApproval, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    decide(engine, id, posted, true).await
}

async fn reject(engine: State<Engine>, id: OfApproval, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    decide(engine, id, posted, false).await
}

async fn decide(State(engine): State<Engine>, OfApproval(id): OfApproval, posted: Posted, yes: bool) -> Result<(StatusCode, Json<Value>)> {
    let mut fields = posted.fields()?;
    fields.require(&["digest"]);
    let digest = match fields.value("digest") {
        Some(value) => {
            let digest = value.as_str().and_then(Digest::parse);
            if digest.is_none() {
                fields.issue("digest", "is not 64 lowercase hex digits, as the approval shows it".to_owned());
            }
            digest
        }
        None => None,
    };
    let answer = given(&mut fields, &posted.body, "answer");
    let comment = fields.text("comment", limits::TEXT_CHARS_MAX);
    if answer.is_some() && comment.is_some() {
        fields.issue("comment", "stands beside \"answer\"; put it into that".to_owned());
    }
    fields.refuse_unknown("a decision");
    let digest = fields.build(digest)?;
    let said = || values::Json::from(&comment.map_or(Value::Null, |comment| json!({ "comment": comment })));
    let status = engine.decide(&posted.space, id, yes, digest, posted.by(), answer.unwrap_or_else(said)).await?;
    // Whatever the job does next, the decision is made.
    Ok((StatusCode::OK, stands(&posted.space, id.job_id, status).1))
}

fn properties() -> Value {
    json!({
        "approval_id": text("To decide it with."), "job_id": text("The job that waits."), "title": text("In a line."),
        "step": {"type": ["string", "null"], "description": "The job's step."},
        "digest": text("SHA-256 of title and request; a decision names it."), "since": text("RFC 3339, UTC."),
        "until": {"type": ["string", "null"], "description": "RFC 3339, UTC; after it the approval has expired. Null: it waits for ever."},
    })
}

const ALWAYS: [&str; 7] = ["approval_id", "job_id", "title", "step", "digest", "since", "until"];

fn approval(_: &mut Components) -> Value {
    let mut properties = properties();
    properties["request"] = json!({"description": "What will be done."});
    properties["tenant_id"] = text("Whose it is.");
    properties["scope"] = text("Whose it is.");
    let required = [&ALWAYS[..], &["request", "tenant_id", "scope"]].concat();
    json!({"type": "object", "properties": properties, "required": required})
}

fn page(_: &mut Components) -> Value {
    let row = json!({"type": "object", "properties": properties(), "required": ALWAYS});
    let next = json!({"type": ["string", "null"], "description": "The next page's `cursor`; null where this is the last."});
    json!({"type": "object", "required": ["tenant_id", "scope", "approvals", "next"], "properties": {
        "tenant_id": text("Whose they are."), "scope": text("Whose they are."), "approvals": {"type": "array", "items": row}, "next": next,
    }})
}
