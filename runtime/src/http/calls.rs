//! `/v1/calls`: tool calls that a worker outside performs.
//!
//! A worker claims a call, performs it, and says what came of it; while it works it shows that it lives. It does not know
//! what the tools do, nor who their workers are.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::body::Posted;
use super::caller::{Asked, OfCall};
use super::control::{error, error_fields, given};
use super::jobs::text;
use super::openapi::{Components, Kind, field, required};
use super::playbooks::page_fields;
use super::route::{Gives, Route, Takes};
use super::view;
use crate::blocking;
use crate::contract::{Effect, ToolId};
use crate::engine::{Engine, call_cursor, call_row, cursor_of};
use crate::error::{Code, Result};
use crate::ids::Space;
use crate::jobs::{CallId, Claimed};
use crate::limits;

pub(super) fn routes() -> Vec<Route> {
    const OF_CLAIM: &[Code] = &[Code::InvalidRequest, Code::CallNotFound, Code::ClaimLost];
    let mut filters = page_fields();
    filters.push(field("tool", Kind::Given, "Only calls of this tool."));
    let token = || required("token", Kind::Given, "What the claim gave: it shows that the claim is yours.");
    vec![
        Route::get("/v1/calls", list, "list_calls", "Calls that wait for a worker outside, by tool.")
            .query(filters)
            .gives(200, "A page.", Gives::Json(page))
            .fails(&[Code::InvalidRequest]),
        Route::post("/v1/calls/claim", claim, "claim_call", "Claims the first call of these tools that nobody has claimed.")
            .takes(Takes::Json(vec![
                required("tools", Kind::Texts, "Which tools the worker has: `agent/<name>` each."),
                field(
                    "lease_ms",
                    Kind::Index,
                    "Time for which the claim holds without a word, at most 3,600,000; 60,000 where it is left out.",
                ),
            ]))
            .gives(200, "The call with its token; `call` is null where none waits.", Gives::Json(claimed))
            .fails(&[Code::InvalidRequest, Code::ShuttingDown]),
        Route::post("/v1/calls/{id}/result", result, "answer_call", "Says what came of a claimed call; its job goes on.")
            .takes(Takes::Json(vec![
                token(),
                field("output", Kind::Any, "What the call gave; this or `error`."),
                field("error", Kind::Fields(error_fields()), "How it failed; this or `output`."),
            ]))
            .gives(200, "It is on disk.", Gives::Json(answered))
            .fails(&[
                Code::InvalidRequest,
                Code::CallNotFound,
                Code::ClaimLost,
                Code::JobStateConflict,
                Code::TooLarge,
                Code::ShuttingDown,
            ]),
        Route::post("/v1/calls/{id}/extend", extend, "extend_call", "Lets the time of a claim begin anew.")
            .takes(Takes::Json(vec![token()]))
            .gives(200, "The claim holds for as long again.", Gives::Json(extended))
            .fails(OF_CLAIM),
    ]
}

async fn list(State(engine): State<Engine>, Asked { space, mut query }: Asked) -> Result<Json<Value>> {
    let tool = query.parsed("tool", "a tool, agent/<name>", |text| ToolId::parse(text).ok());
    let right = "a cursor that a page of this list gave as `next`";
    let after = query.parsed("cursor", right, |text| call_cursor(&space, tool.as_ref(), text));
    let limit = query.limit();
    query.done()?;
    let of = space.clone();
    let calls = blocking::run(move || engine.external_calls(&of, tool.as_ref(), after.as_ref(), limit)).await?;
    let next = calls.last().filter(|_| calls.len() == limit).map(cursor_of);
    let calls: Vec<Value> = calls.iter().map(call_row).collect();
    Ok(Json(view::in_space(&space, json!({"calls": calls, "next": next}))))
}

async fn claim(State(engine): State<Engine>, posted: Posted) -> Result<Json<Value>> {
    let mut fields = posted.fields()?;
    fields.require(&["tools"]);
    let tools = tools(fields.value("tools"));
    if let Some(Err(wrong)) = &tools {
        fields.issue("tools", wrong.clone());
    }
    let lease = fields.index("lease_ms").map(|ms| Duration::from_millis(ms.into()));
    fields.refuse_unknown("a claim");
    let tools = fields.build(tools.and_then(Result::ok))?;
    let call = engine.claim_call(&posted.space, &tools, &posted.by(), lease).await?;
    Ok(Json(view::in_space(&posted.space, json!({"call": call.as_ref().map(Claimed::to_json)}))))
}

/// A list of tools that are performed outside.
fn tools(value: Option<&Value>) -> Option<Result<Vec<ToolId>, String>> {
    let right = "is not a list of 1 to 100 tools, such as [\"agent/edit\"]";
    let names = value?.as_array().filter(|names| (1..=limits::CLAIM_TOOLS_MAX).contains(&names.len()));
    let tool = |name: &Value| {
        let tool = name.as_str().and_then(|name| ToolId::parse(name).ok()).filter(ToolId::is_external);
        tool.ok_or_else(|| format!("{name} is not a tool that is performed outside: agent/<name>"))
    };
    Some(names.ok_or_else(|| right.to_owned()).and_then(|names| names.iter().map(tool).collect()))
}

async fn result(State(engine): State<Engine>, OfCall(id): OfCall, posted: Posted) -> Result<Json<Value>> {
    let mut fields = posted.fields()?;
    fields.require(&["token"]);
    let token = fields.text("token", limits::ID_CHARS_MAX);
    let (output, failed) = (given(&mut fields, &posted.body, "output"), fields.has("error"));
    let error = error(&mut fields);
    if output.is_some() == failed {
        fields.issue("output", "is what came of the call, or else \"error\" is: one of the two".to_owned());
    }
    fields.refuse_unknown("a result");
    let outcome = output.map(Ok).or(error.map(Err));
    let (token, outcome) = fields.build(token.zip(outcome))?;
    engine.answer_call(&posted.space, id, &token, outcome).await?;
    Ok(Json(of_call(&posted.space, id)))
}

async fn extend(State(engine): State<Engine>, OfCall(id): OfCall, posted: Posted) -> Result<Json<Value>> {
    let mut fields = posted.fields()?;
    fields.require(&["token"]);
    let token = fields.text("token", limits::ID_CHARS_MAX);
    fields.refuse_unknown("this request");
    let token = fields.build(token)?;
    let lease = engine.extend_call(&posted.space, id, &token).await?;
    let mut view = of_call(&posted.space, id);
    view["lease_ms"] = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).into();
    Ok(Json(view))
}

fn of_call(space: &Space, id: CallId) -> Value {
    view::in_space(space, json!({"call_id": id.to_string(), "job_id": id.job_id}))
}

fn properties() -> Value {
    json!({
        "call_id": text("To answer it with."), "job_id": text("The job that waits."),
        "call": {"type": "integer", "description": "Its number within the job."}, "tool": text("`agent/<name>`."),
        "step": {"type": ["string", "null"], "description": "The job's step."},
        "key": text("The call's name: performing it twice under the same name should show."), "since": text("RFC 3339, UTC."),
        "until": {"type": ["string", "null"], "description": "RFC 3339, UTC; after it nobody waits any more. Null: for ever."},
        "claimed_by": {"type": ["string", "null"], "description": "Who has claimed it; null where nobody has."},
    })
}

const ALWAYS: [&str; 9] = ["call_id", "job_id", "call", "tool", "step", "key", "since", "until", "claimed_by"];

fn page(_: &mut Components) -> Value {
    let row = json!({"type": "object", "properties": properties(), "required": ALWAYS});
    let next = json!({"type": ["string", "null"], "description": "The next page's `cursor`; null where this is the last."});
    in_space(json!({"calls": {"type": "array", "items": row}, "next": next}))
}

fn claimed(_: &mut Components) -> Value {
    let mut properties = properties();
    properties["input"] = json!({"description": "What it is to be performed with."});
    properties["effect"] = json!({
        "type": "string", "enum": [Effect::Pure, Effect::Read, Effect::Idempotent, Effect::Once],
        "description": "What repeating it would do.",
    });
    properties["token"] = text("Shows that the claim is yours.");
    properties["lease_ms"] = json!({"type": "integer", "description": "After this time without a word, the claim ends."});
    let required = [&ALWAYS[..], &["input", "effect", "token", "lease_ms"]].concat();
    in_space(json!({"call": {"type": ["object", "null"], "properties": properties, "required": required}}))
}

fn answered(_: &mut Components) -> Value {
    in_space(json!({"call_id": text("The call."), "job_id": text("Its job.")}))
}

fn extended(_: &mut Components) -> Value {
    in_space(json!({"call_id": text("The call."), "job_id": text("Its job."), "lease_ms": {"type": "integer"}}))
}

/// An object of these, all of which are there, with whose it is.
fn in_space(mut properties: Value) -> Value {
    properties["tenant_id"] = text("Whose it is.");
    properties["scope"] = text("Whose it is.");
    let required: Vec<&String> = properties.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    json!({"type": "object", "required": required, "properties": properties})
}
