//! `/v1/jobs/{id}/evidence|replay|fork|why`: what can be proved of a job, and what can be asked of its past.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::body::Posted;
use super::caller::{Asked, OfEntry, OfJob};
use super::jobs::failed_check;
use super::openapi::{Components, Kind, required};
use super::route::{Gives, Route, Takes};
use super::view;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::fields::Fields;
use crate::{blocking, json as checked};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/jobs/{id}/evidence",
            evidence,
            "get_job_evidence",
            "The job's past as one file that anyone can check: `reprise verify`.",
        )
        .gives(200, "The bundle, to be kept byte for byte.", Gives::Json(bundle))
        .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::DataCorrupt]),
        Route::get(
            "/v1/jobs/{id}/replay",
            replay,
            "replay_job",
            "Runs the guest once more, answered from its journal alone. Calls no tool.",
        )
        .gives(200, "How it compares with the journal.", Gives::Json(report))
        .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::DataCorrupt]),
        Route::post("/v1/jobs/{id}/fork", fork, "fork_job", "The same with one answer exchanged. Makes no job and does nothing.")
            .takes(Takes::Json(vec![
                required("at", Kind::Index, "The entry whose answer is exchanged: `returned`, `recorded` or `woken`."),
                required(
                    "answer",
                    Kind::Any,
                    "What it says instead: `{\"output\": VALUE}`, a number, `{\"approved\": VALUE}`, `\"expired\"`, ...",
                ),
            ]))
            .gives(200, "What would have come of it.", Gives::Json(report))
            .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::EntryNotFound, Code::DataCorrupt]),
        Route::get(
            "/v1/jobs/{id}/repair-packet",
            packet,
            "get_job_repair_packet",
            "A job that came to a halt, with all that whoever repairs its playbook needs to know.",
        )
        .gives(200, "The packet.", Gives::Json(shape_of_packet))
        .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::JobStateConflict, Code::DataCorrupt]),
        Route::get(
            "/v1/jobs/{id}/why/{seq}",
            why,
            "why_job_entry",
            "Who had an entry done, at which step, on which input, with whose approval.",
        )
        .gives(200, "The answer.", Gives::Json(report))
        .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::EntryNotFound, Code::DataCorrupt]),
    ]
}

async fn evidence(State(engine): State<Engine>, OfJob(job_id): OfJob, Asked { space, query }: Asked) -> Result<Response> {
    query.done()?;
    let bundle = engine.evidence(&space, &job_id, None).await?;
    // Its own bytes, not what a printer makes of its content: those are what is checked.
    let bytes = blocking::run(move || bundle.to_bytes()).await;
    let mut response = bytes.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn replay(State(engine): State<Engine>, OfJob(job_id): OfJob, Asked { space, query }: Asked) -> Result<Json<Value>> {
    query.done()?;
    let replay = engine.replay(&space, &job_id).await?;
    Ok(Json(view::in_space(&space, replay.to_json())))
}

async fn fork(State(engine): State<Engine>, OfJob(job_id): OfJob, Posted { space, body, .. }: Posted) -> Result<Json<Value>> {
    let mut fields = Fields::of(&body, "")?;
    fields.require(&["at", "answer"]);
    let at = fields.index("at");
    let answer = fields.value("answer").map(checked::Json::from);
    for of_any_route in ["tenant_id", "scope", "actor"] {
        fields.has(of_any_route);
    }
    fields.refuse_unknown("a fork");
    let (at, answer) = fields.build(at.zip(answer))?;
    let fork = engine.fork(&space, &job_id, at.into(), &answer).await?;
    Ok(Json(view::in_space(&space, fork.to_json())))
}

async fn why(State(engine): State<Engine>, OfEntry(job_id, seq): OfEntry, Asked { space, query }: Asked) -> Result<Json<Value>> {
    query.done()?;
    let why = engine.why(&space, &job_id, seq).await?;
    Ok(Json(view::in_space(&space, why.to_json())))
}

async fn packet(State(engine): State<Engine>, OfJob(job_id): OfJob, Asked { space, query }: Asked) -> Result<Json<Value>> {
    query.done()?;
    let packet = engine.repair_packet(&space, &job_id).await?;
    Ok(Json(view::in_space(&space, packet.to_json())))
}

fn shape_of_packet(_: &mut Components) -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let perhaps = |about: &str| json!({"type": ["string", "null"], "description": about});
    let number = |about: &str| json!({"type": ["integer", "null"], "description": about});
    let failing = json!({"type": "object", "required": ["step", "tool", "effect", "input", "call", "answer", "error", "check", "cause", "why", "seq"],
        "description": "Where it came to a halt, and why.", "properties": {
        "step": perhaps("The step."), "tool": perhaps("What it calls."), "effect": perhaps("What repeating the call does."),
        "input": {"description": "What the tool was given, or would have been given."}, "call": number("The call; null where it was not made."),
        "answer": {"description": "What the call answered, where a check of it does not hold."},
        "error": {"description": "What the call came to, where that is an error."}, "check": {"oneOf": [{"type": "null"}, failed_check()]},
        "cause": text("Whose doing it was."), "why": text("What went wrong."),
        "seq": number("What to settle it with, while the job stands for it."),
    }});
    let state = json!({"type": "object", "required": ["input", "answers", "omitted"], "description": "What the job knew.", "properties": {
        "input": {"description": "What it was run with."}, "answers": {"type": "object", "additionalProperties": true, "description": "By step."},
        "omitted": {"type": "array", "items": text("A step whose answer is too large to stand here.")},
    }});
    let done = json!({"type": "object", "required": ["step", "tool", "call"], "properties": {
        "step": perhaps("The step."), "tool": text("What it called."), "call": {"type": "integer"},
    }});
    let remaining = json!({"type": "object", "required": ["step", "tool", "input"], "properties": {
        "step": text("The step."), "tool": text("What it calls."), "input": text("How its input is made, for people."),
    }});
    let place = json!({"type": ["object", "null"], "required": ["pointer", "index"], "description": "Where the step stands in the plan.", "properties": {
        "pointer": text("JSON pointer into the plan."), "index": {"type": "integer", "description": "Its number among the steps, from 0."},
    }});
    json!({"type": "object",
        "required": ["tenant_id", "scope", "job_id", "status", "goal", "playbook_id", "version", "component", "failing", "state", "done", "remaining", "place"],
        "properties": {
        "tenant_id": text("Whose it is."), "scope": text("Whose it is."), "job_id": text("The job."), "status": text("Where it stands."),
        "goal": perhaps("What the playbook is for; null without a plan."), "playbook_id": text("The playbook."),
        "version": {"type": "integer"}, "component": text("SHA-256 of what it runs."), "failing": failing, "state": state,
        "done": {"type": "array", "items": done}, "remaining": {"type": "array", "items": remaining}, "place": place,
    }})
}

fn bundle(_: &mut Components) -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({"type": "object", "required": ["manifest", "manifest_digest", "entries"], "properties": {
        "manifest": {"type": "object", "additionalProperties": true, "description": "What is in it; see docs/EVIDENCE.md."},
        "manifest_digest": text("SHA-256 of the manifest's text."),
        "plan": {"description": "What the component does, where it carries a plan that is its code."},
        "entries": {"type": "array", "items": text("An entry as it is stored."), "description": "The journal."},
        "signature": text("Ed25519 over the manifest's text, in hex."),
    }})
}

fn report(_: &mut Components) -> Value {
    json!({"type": "object", "additionalProperties": true, "required": ["tenant_id", "scope", "job_id"],
           "description": "See docs/EVIDENCE.md for the fields.", "properties": {
        "tenant_id": {"type": "string", "description": "Whose it is."}, "scope": {"type": "string", "description": "Whose it is."},
        "job_id": {"type": "string", "description": "The job."},
    }})
}
