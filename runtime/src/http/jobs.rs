//! `/v1/jobs`: start, list, read, journal.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::body::Posted;
use super::caller::{Asked, OfJob};
use super::events::{self, Streams};
use super::graphs::{self, Terms, Wanted};
use super::openapi::{self, Components, Kind, field, words};
use super::playbooks::page_fields;
use super::route::{Gives, Route, Takes};
use super::view;
use crate::blocking;
use crate::clock::rfc3339;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::ids::{JobId, PlaybookId};
use crate::journal::{Body, Filter, Head, Mode, Options, Status};
use crate::{json, limits};

pub(super) fn routes() -> Vec<Route> {
    let mut takes = graphs::fields();
    takes.extend([
        field("input", Kind::Any, "What the playbook's input schema or the graph's parameters describe; `{}` where it is left out."),
        field("idempotency_key", Kind::Id, "Names this request: the same name with the same content is the same job."),
        field("options", Kind::Of(openapi::of::<Options>), "How it is to be run; what is left out is at its default."),
        field("mode", words(Mode::NAMES), "What becomes of a step that fails, and of a check that nobody can judge: as in `options`."),
        field("wait_ms", Kind::Count, "How long to wait for the end, at most 50,000; 0 where it is left out."),
    ]);
    let mut filters = page_fields();
    filters.push(field("status", Kind::OneOf(Status::ALL.map(Status::as_str).to_vec()), "Only jobs that stand so."));
    filters.push(field("playbook_id", Kind::Given, "Only jobs of this playbook."));
    vec![
        Route::post("/v1/jobs", start, "start_job", "Starts a job, and waits for it as long as asked.")
            .takes(Takes::Json(takes))
            .gives(202, "The job is on disk and goes on.", Gives::Json(job))
            .gives(200, "The job has ended.", Gives::Json(job))
            .fails(&[
                Code::InvalidRequest,
                Code::ReplayPlaybookNotFound,
                Code::InvalidGraph,
                Code::InputDoesNotFit,
                Code::PlannerFailed,
                Code::PlannerUnavailable,
                Code::IdConflict,
                Code::TooLarge,
                Code::TooBusy,
                Code::ShuttingDown,
            ]),
        Route::get("/v1/jobs", list, "list_jobs", "Jobs, newest first.")
            .query(filters)
            .gives(200, "A page. It may be shorter than asked for and still not the last.", Gives::Json(page))
            .fails(&[Code::InvalidRequest]),
        Route::get("/v1/jobs/{id}", read, "get_job", "A job, folded from its journal.")
            .query(vec![field("at", Kind::Index, "As it was once this entry was written; as it is where it is left out.")])
            .gives(200, "The job.", Gives::Json(job))
            .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::EntryNotFound]),
        Route::get("/v1/jobs/{id}/journal", journal, "get_job_journal", "A job's journal, oldest entry first; as events, as it grows.")
            .query(vec![
                field("after", Kind::Count, "Only entries behind this number: `next` of the page before."),
                field("limit", Kind::Index, "Entries on the page; 50 where it is left out, at most 500. Not for events."),
            ])
            .gives(200, "A page; or each entry as an event, with `accept: text/event-stream`.", Gives::JsonOrEvents(entries))
            .fails(&[Code::InvalidRequest, Code::JobNotFound, Code::TooBusy]),
    ]
}

async fn start(State(engine): State<Engine>, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let (wanted, terms, wait) = asked(&posted)?;
    let space = posted.space;
    let job_id = graphs::start(&engine, &space, wanted, terms).await?;
    if !wait.is_zero() {
        engine.wait(&space, &job_id, wait).await?;
    }
    let job = engine.job(&space, &job_id).await?;
    Ok((code_of(job.state.status()), Json(view::in_space(&space, job.to_json()))))
}

/// What has ended is answered with 200; what goes on, or stands, with 202.
pub(super) fn code_of(status: Status) -> StatusCode {
    if status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED }
}

/// What is to be run, and how long the client waits for it.
fn asked(posted: &Posted) -> Result<(Wanted, Terms, Duration)> {
    let mut fields = posted.fields()?;
    let wanted = graphs::wanted(&mut fields);
    let input = fields.value("input").map_or_else(|| json::Json::from(&json!({})), json::Json::from);
    let idempotency_key = fields.text("idempotency_key", limits::ID_CHARS_MAX);
    let wait_ms = fields.value("wait_ms").map_or(Some(0), Value::as_u64);
    if wait_ms.is_none() {
        fields.issue("wait_ms", "is not a whole number of milliseconds".to_owned());
    }
    if fields.has("grants") {
        let how =
            "is not for a request to say: an operator gives grants, with `reprise serve --grant fs:DIR` or a [[grant]] in reprise.toml";
        fields.issue("grants", how.to_owned());
    }
    let options = fields.value("options").map(|options| Options::read(options, "/options")).transpose();
    let options = options.unwrap_or_else(|issues| {
        fields.issues(issues);
        None
    });
    let mode = fields.choice("mode", Mode::NAMES);
    let mut options = options.unwrap_or_default();
    match mode {
        Some(mode) if options.mode != Mode::Normal && options.mode != mode => {
            fields.issue("mode", "is another one than in options; say it once".to_owned());
        }
        Some(mode) => options.mode = mode,
        None => {}
    }
    fields.refuse_unknown("a job's request");
    let wanted = fields.build(wanted)?;
    let terms = Terms { input, idempotency_key, options };
    Ok((wanted, terms, Duration::from_millis(wait_ms.unwrap_or_default().min(limits::WAIT_MS_MAX))))
}

async fn list(State(engine): State<Engine>, Asked { space, mut query }: Asked) -> Result<Json<Value>> {
    let words = format!("one of {}", Status::ALL.map(Status::as_str).join(", "));
    let filter = Filter {
        status: query.parsed("status", &words, Status::parse),
        playbook_id: query.parsed("playbook_id", "an id of 1 to 128 visible characters", |text| PlaybookId::parse(text).ok()),
    };
    let before = query.parsed("cursor", "a cursor that a page gave as `next`", |text| JobId::parse(text).ok());
    let limit = query.limit();
    query.done()?;
    let of = space.clone();
    let page = blocking::run(move || engine.jobs(&of, &filter, before, limit)).await?;
    let jobs: Vec<Value> = page.jobs.iter().map(|(job_id, head)| row(job_id, head)).collect();
    Ok(Json(view::in_space(&space, json!({"jobs": jobs, "next": page.next}))))
}

fn row(job_id: &JobId, head: &Head) -> Value {
    json!({
        "job_id": job_id, "status": head.status, "playbook_id": head.playbook_id, "version": head.version,
        "created_at": rfc3339(head.created_at_ms), "updated_at": rfc3339(head.updated_at_ms), "journal_entries": head.next_seq - 1,
    })
}

async fn read(State(engine): State<Engine>, OfJob(job_id): OfJob, Asked { space, mut query }: Asked) -> Result<Json<Value>> {
    let at = query.number("at", 1..=u64::MAX);
    query.done()?;
    let job = match at {
        None => engine.job(&space, &job_id).await?,
        Some(seq) => engine.state_at(&space, &job_id, seq).await?,
    };
    Ok(Json(view::in_space(&space, job.to_json())))
}

async fn journal(
    State(engine): State<Engine>,
    Extension(streams): Extension<Streams>,
    OfJob(job_id): OfJob,
    Asked { space, mut query }: Asked,
    headers: HeaderMap,
) -> Result<Response> {
    let after = query.number("after", 0..=u64::MAX);
    if events::are_wanted(&headers) {
        query.done()?;
        // A client that comes back sends the same URL as the first time; what it saw last stands in the header.
        let after = events::last_seen(&headers)?.or(after);
        return streams.send(engine.watch(&space, &job_id, after)?);
    }
    let limit = query.limit();
    query.done()?;
    let of = space.clone();
    let (entries, next) = blocking::run(move || {
        let entries = engine.journal(&of, &job_id, after, limit)?;
        let next = entries.last().filter(|_| entries.len() == limit).map(|entry| entry.seq);
        let shown: Vec<Value> = entries.iter().map(|entry| without_host_paths(engine.entry_view(entry))).collect();
        Ok::<_, crate::error::Error>((shown, next))
    })
    .await?;
    Ok(Json(view::in_space(&space, json!({"job_id": job_id, "entries": entries, "next": next}))).into_response())
}

/// A grant that an operator gave to one job names a directory of the host, which is nobody's business here.
pub(super) fn without_host_paths(mut entry: Value) -> Value {
    for grant in entry.get_mut("grants").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = grant.as_object_mut() {
            for of_the_host in ["path", "program", "value"] {
                fields.remove(of_the_host);
            }
        }
    }
    entry
}

/// The schema of a job.
pub(super) fn job(components: &mut Components) -> Value {
    let failure = json!({"type": "object", "required": ["message", "cause"], "properties": {
        "step": text("The step at which it happened."),
        "message": text("What happened."),
        "detail": {"description": "What the playbook or the tool adds, for programs."},
        "cause": text("What broke: the playbook itself, a check, a trap, fuel, time, a limit, nondeterminism, ..."),
        "check": failed_check(),
    }});
    let handed_over = json!({"type": "object", "required": ["seq", "call", "why", "step", "tool", "key", "at", "check"],
        "description": "A step that failed and is for a person to settle.", "properties": {
        "seq": {"type": "integer", "description": "Its entry in the journal, to settle it with."},
        "call": {"type": "integer", "description": "The call that it is about, or that was to be made next."},
        "why": text("What went wrong."), "step": {"type": ["string", "null"]}, "tool": {"type": ["string", "null"]},
        "key": {"type": ["string", "null"], "description": "The name under which the tool was called; null where it was not."},
        "at": {"type": ["string", "null"], "enum": ["before", "after", null], "description": "Where the check stands; null for a call's error."},
        "check": {"description": "The check that does not hold; null for a call's error."},
    }});
    let uncertain = json!({"type": "object", "required": ["call", "seq", "reason"], "properties": {
        "call": {"type": "integer", "description": "The call's number within the job."},
        "seq": {"type": "integer", "description": "Its entry in the journal."},
        "reason": text("Why nobody knows whether it took effect."),
        "tool": {"type": ["string", "null"]},
        "step": {"type": ["string", "null"]},
        "key": {"type": ["string", "null"], "description": "The name under which the tool was called; look for it there."},
    }});
    let usage = json!({"type": "object", "required": ["calls", "journal_entries", "attempts", "fuel_limit"], "properties": {
        "calls": {"type": "integer"}, "journal_entries": {"type": "integer"}, "attempts": {"type": "integer"},
        "fuel": {"type": ["integer", "null"], "description": "Used; null until the job has ended."}, "fuel_limit": {"type": "integer"},
    }});
    let mut properties = row_properties();
    properties.remove("journal_entries");
    properties.extend(object(json!({
        "tenant_id": text("Whose it is."), "scope": text("Whose it is."), "component_digest": text("SHA-256 of what it runs."),
        "usage": usage, "output": {"description": "What it gave back, once it has completed."}, "failure": failure, "uncertain": uncertain, "handed_over": handed_over,
        "in_doubt": {"type": "array", "description": "Calls of which nobody knows whether they took effect.", "items": {"type": "object",
            "required": ["call", "seq", "tool", "step", "key"], "properties": {
                "call": {"type": "integer"}, "seq": {"type": "integer"}, "tool": text("The tool."),
                "step": {"type": ["string", "null"]}, "key": text("The name under which it was called; look for it there."),
        }}},
        "options": openapi::of::<Options>(components), "waiting_on": waiting_on(), "children": {"type": "array", "items": child()},
        "parent": {"type": "object", "required": ["job_id", "child", "branch"], "description": "The job that started it.", "properties": {
            "job_id": text("The job."), "child": {"type": "integer", "description": "Which of its children this is."}, "branch": branch(),
        }},
        "parked": {"type": "object", "required": ["reason", "message"], "description": "Why it was set aside.", "properties": {
            "reason": text("For programs."), "message": text("For people."),
        }},
        "paused": asked_by("Who stopped it."), "cancel": asked_by("Who asked for it to be cancelled."),
        "origin": {"type": "object", "description": "Of a job of a graph: `graph_digest`, and `planner` where one made it. The graph stands in the journal's first entry."},
    })));
    let required =
        ["tenant_id", "scope", "job_id", "status", "playbook_id", "version", "component_digest", "created_at", "updated_at", "usage"];
    json!({"type": "object", "properties": properties, "required": required})
}

/// The check at which a step failed.
pub(super) fn failed_check() -> Value {
    json!({"type": "object", "required": ["at", "check", "verdict", "why", "step"], "description": "The check by which it failed.", "properties": {
        "step": {"type": ["string", "null"]}, "at": {"type": "string", "enum": ["before", "after"]},
        "check": {"description": "What was asked: a `kind` and its fields."},
        "verdict": {"type": "string", "enum": ["fail", "unknown"]}, "why": text("Why."),
    }})
}

fn waiting_on() -> Value {
    json!({"type": "object", "required": ["kind", "since"], "description": "What it waits for.", "properties": {
        "kind": {"type": "string", "enum": ["sleep", "signal", "approval", "external_call", "children", "retry"]},
        "since": text("RFC 3339, UTC."), "until": text("RFC 3339, UTC; after it nobody waits any more."), "step": text("The step."),
        "milliseconds": {"type": "integer", "description": "Of `sleep`: how long."}, "name": text("Of `signal`: its name."),
        "approval_id": text("Of `approval`: to decide it with."), "title": text("Of `approval`."),
        "digest": text("Of `approval`: digest of what it shows; a decision names it."),
        "call_id": text("Of `external_call`: to answer it with."), "tool": text("Of `external_call`: which tool."),
        "call": {"type": "integer", "description": "Of `retry`: the call that is tried again."},
        "children": {"type": "array", "items": {"type": "integer"}, "description": "Of `children`: any of these."},
    }})
}

fn child() -> Value {
    json!({"type": "object", "required": ["child", "job_id", "playbook_id", "branch", "ended"], "properties": {
        "child": {"type": "integer", "description": "Its number."}, "job_id": text("The job that it is."), "playbook_id": text("What it runs."),
        "branch": branch(), "ended": {"type": ["string", "null"], "description": "How it ended; null while it has not."},
    }})
}

fn branch() -> Value {
    json!({"type": ["string", "null"], "description": "The branch of the component; null where it runs a playbook of its own."})
}

fn asked_by(about: &str) -> Value {
    json!({"type": "object", "required": ["by", "reason"], "description": about, "properties": {
        "by": text("Who, as they said."), "reason": {"type": ["string", "null"]},
    }})
}

fn page(_: &mut Components) -> Value {
    let properties = row_properties();
    let required: Vec<&String> = properties.keys().collect();
    let row = json!({"type": "object", "properties": properties, "required": required});
    let next = json!({"type": ["string", "null"], "description": "The next page's `cursor`; null where this is the last."});
    json!({"type": "object", "required": ["tenant_id", "scope", "jobs", "next"], "properties": {
        "tenant_id": text("Whose they are."), "scope": text("Whose they are."), "jobs": {"type": "array", "items": row}, "next": next,
    }})
}

fn row_properties() -> Map<String, Value> {
    object(json!({
        "job_id": text("The job."), "status": {"type": "string", "enum": Status::ALL.map(Status::as_str)},
        "playbook_id": text("What it runs."), "version": {"type": "integer", "description": "The version it runs."},
        "created_at": text("RFC 3339, UTC."), "updated_at": text("RFC 3339, UTC."), "journal_entries": {"type": "integer"},
    }))
}

fn entries(_: &mut Components) -> Value {
    let entry = json!({
        "type": "object", "required": ["seq", "at", "hash", "prev", "kind"],
        "description": "The fields beside these depend on `kind`; a value that is large stands as `<name>_blob` with its digest.",
        "additionalProperties": true,
        "properties": {
            "seq": {"type": "integer", "description": "Its number, from 1."}, "at": text("RFC 3339, UTC."),
            "hash": text("SHA-256 of the entry as stored."), "prev": text("The hash of the entry before."),
            "kind": {"type": "string", "enum": Body::KINDS, "description": "What happened."},
        },
    });
    let next =
        json!({"type": ["integer", "null"], "description": "The next page's `after`; null where this was the end when it was read."});
    json!({"type": "object", "required": ["tenant_id", "scope", "job_id", "entries", "next"], "properties": {
        "tenant_id": text("Whose it is."), "scope": text("Whose it is."), "job_id": text("The job."),
        "entries": {"type": "array", "items": entry}, "next": next,
    }})
}

pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_own_grants_are_shown_without_the_hosts_directories() {
        let grants = json!([
            {"kind": "fs", "name": "project", "path": "/home/ada/acme", "access": "rw"},
            {"kind": "exec", "name": "git", "program": "/home/ada/bin/git", "args": ["log"], "directory": "project"},
            {"kind": "env", "name": "LANG", "variable": "LANG", "value": "C", "to": ["search"]},
        ]);
        let shown = without_host_paths(json!({"kind": "created", "grants": grants, "input": {"path": "kept"}}));
        let left = json!([
            {"kind": "fs", "name": "project", "access": "rw"},
            {"kind": "exec", "name": "git", "args": ["log"], "directory": "project"},
            {"kind": "env", "name": "LANG", "variable": "LANG", "to": ["search"]},
        ]);
        assert_eq!(shown, json!({"kind": "created", "grants": left, "input": {"path": "kept"}}));
        assert_eq!(without_host_paths(json!({"kind": "called"})), json!({"kind": "called"}));
    }
}
