//! `/v1/jobs/{id}/...`: what people and clients say to a job.
//!
//! Each is one word to the engine, answered once it is on disk. It deliberately does not wait for what the job makes of it:
//! the answer says how the job stands at that moment, and the journal tells the rest.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::body::Posted;
use super::caller::OfJob;
use super::jobs::{code_of, text};
use super::openapi::{self, Components, Field, Kind, field, required, words};
use super::route::{Gives, Route, Takes};
use super::view;
use crate::contract::{ErrorKind, ToolError};
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::fields::Fields;
use crate::ids::{JobId, Space};
use crate::jobs::{Manner, Settlement};
use crate::journal::{Budget, Status};
use crate::limits;

const REFUSALS: &[Code] = &[Code::InvalidRequest, Code::JobNotFound, Code::JobStateConflict, Code::TooBusy, Code::ShuttingDown];
const REFUSALS_OF_VALUES: &[Code] =
    &[Code::InvalidRequest, Code::JobNotFound, Code::JobStateConflict, Code::TooLarge, Code::TooBusy, Code::ShuttingDown];

/// What someone may say about an uncertain call.
#[derive(Clone, Copy, PartialEq)]
enum Decided {
    Happened,
    Retry,
    Fail,
}

const DECISIONS: [(&str, Decided); 3] = [("happened", Decided::Happened), ("retry", Decided::Retry), ("fail", Decided::Fail)];

pub(super) fn routes() -> Vec<Route> {
    let reason = || field("reason", Kind::Text, "Why, for whoever reads the journal.");
    let says = |route: Route, fields, fails| {
        route
            .takes(Takes::Json(fields))
            .gives(202, "It is on disk; the job goes on, or stands.", Gives::Json(standing))
            .gives(200, "It is on disk, and the job has ended.", Gives::Json(standing))
            .fails(fails)
    };
    vec![
        says(
            Route::post("/v1/jobs/{id}/signals", signal, "signal_job", "Stores a signal; where the job waits for it, it goes on."),
            vec![
                required("name", Kind::Id, "Which signal: the job waits for it by this name, now or later."),
                field("payload", Kind::Any, "What the job gets; null where it is left out."),
                field("signal_id", Kind::Id, "The sender's name for this signal: the same one again is the same signal."),
            ],
            REFUSALS_OF_VALUES,
        ),
        says(
            Route::post(
                "/v1/jobs/{id}/cancel",
                cancel,
                "cancel_job",
                "Asks for a job to end; a playbook that can undo what it did is given the chance.",
            ),
            vec![reason(), field("force", Kind::Flag, "End it at once, whatever it is undoing.")],
            REFUSALS,
        ),
        says(Route::post("/v1/jobs/{id}/pause", pause, "pause_job", "Asks for a job to stop at its next step."), vec![reason()], REFUSALS),
        says(
            Route::post("/v1/jobs/{id}/resume", resume, "resume_job", "Lets a job go on that is paused, parked, or run by nobody."),
            vec![field("budget", Kind::Of(openapi::of::<Budget>), "What it may use up from now on, in place of what it could.")],
            REFUSALS,
        ),
        says(
            Route::post("/v1/jobs/{id}/retry", retry, "retry_job", "Begins a failed or parked job again from the calls that led to it."),
            Vec::new(),
            REFUSALS,
        ),
        says(
            Route::post("/v1/jobs/{id}/resolve", resolve, "resolve_job", "Settles an uncertain call, or a step that was handed over."),
            vec![
                required("seq", Kind::Index, "The entry in the journal: `uncertain.seq` or `handed_over.seq` of the job."),
                required("decision", words(&DECISIONS), "It happened; it may be made again; or the playbook is told that it failed."),
                field("output", Kind::Any, "What the call gave; with `happened`, and only there."),
                field("error", Kind::Fields(error_fields()), "What the playbook is told; with `fail`, and only there."),
                field("note", Kind::Text, "How the decision was come to, for whoever reads the journal."),
            ],
            REFUSALS_OF_VALUES,
        ),
    ]
}

async fn signal(State(engine): State<Engine>, OfJob(job): OfJob, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let mut fields = posted.fields()?;
    fields.require(&["name"]);
    let name = fields.text("name", limits::ID_CHARS_MAX);
    let payload = given(&mut fields, &posted.body, "payload").unwrap_or_else(|| crate::json::Json::from(&Value::Null));
    let signal_id = fields.text("signal_id", limits::ID_CHARS_MAX);
    fields.refuse_unknown("a signal");
    let name = fields.build(name)?;
    // Unlike elsewhere, nobody may be named: most signals come from programs.
    let status = engine.signal(&posted.space, job, name, payload, signal_id, posted.actor).await?;
    Ok(stands(&posted.space, job, status))
}

async fn cancel(State(engine): State<Engine>, OfJob(job): OfJob, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let mut fields = posted.fields()?;
    let reason = fields.text("reason", limits::TEXT_CHARS_MAX);
    let force = fields.value("force").map_or(Some(false), Value::as_bool);
    if force.is_none() {
        fields.issue("force", "is neither true nor false".to_owned());
    }
    fields.refuse_unknown("this request");
    let force = fields.build(force)?;
    let status = engine.cancel_job(&posted.space, job, posted.by(), reason, force).await?;
    Ok(stands(&posted.space, job, status))
}

async fn pause(State(engine): State<Engine>, OfJob(job): OfJob, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let reason = reason(&posted)?;
    let status = engine.pause_job(&posted.space, job, posted.by(), reason).await?;
    Ok(stands(&posted.space, job, status))
}

async fn resume(State(engine): State<Engine>, OfJob(job): OfJob, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let mut fields = posted.fields()?;
    let budget = fields.value("budget").map_or(Ok(Budget::default()), |budget| Budget::read(budget, "/budget"));
    let budget = budget.unwrap_or_else(|issues| {
        fields.issues(issues);
        Budget::default()
    });
    fields.refuse_unknown("this request");
    let budget = fields.build(Some(budget))?;
    let status = engine.let_go_on(&posted.space, job, posted.by(), budget, Manner::default()).await?;
    Ok(stands(&posted.space, job, status))
}

async fn retry(State(engine): State<Engine>, OfJob(job): OfJob, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let mut fields = posted.fields()?;
    fields.refuse_unknown("this request");
    fields.build(Some(()))?;
    let status = engine.retry_job(&posted.space, job, posted.by()).await?;
    Ok(stands(&posted.space, job, status))
}

async fn resolve(State(engine): State<Engine>, OfJob(job): OfJob, posted: Posted) -> Result<(StatusCode, Json<Value>)> {
    let mut fields = posted.fields()?;
    fields.require(&["seq", "decision"]);
    let seq = fields.index("seq");
    let decided = fields.choice("decision", &DECISIONS);
    let output = given(&mut fields, &posted.body, "output");
    let error = error(&mut fields);
    let note = fields.text("note", limits::TEXT_CHARS_MAX);
    for (name, there, with, belongs) in [
        ("output", posted.body.get("output").is_some(), "happened", Decided::Happened),
        ("error", posted.body.get("error").is_some_and(|error| !error.is_null()), "fail", Decided::Fail),
    ] {
        match decided {
            Some(decided) if decided == belongs && !there => fields.issue(name, format!("is missing; \"{with}\" needs it")),
            Some(decided) if decided != belongs && there => fields.issue(name, format!("belongs to \"{with}\" alone")),
            _ => {}
        }
    }
    fields.refuse_unknown("a decision");
    let settlement = match decided {
        Some(Decided::Happened) => output.map(Settlement::Happened),
        Some(Decided::Retry) => Some(Settlement::Retry),
        Some(Decided::Fail) => error.map(Settlement::Fail),
        None => None,
    };
    let (seq, settlement) = fields.build(seq.zip(settlement))?;
    let status = engine.resolve(&posted.space, job, seq.into(), settlement, posted.by(), note).await?;
    Ok(stands(&posted.space, job, status))
}

fn reason(posted: &Posted) -> Result<Option<String>> {
    let mut fields = posted.fields()?;
    let reason = fields.text("reason", limits::TEXT_CHARS_MAX);
    fields.refuse_unknown("this request");
    fields.build(Some(reason))
}

/// A value that may be null, which is not the same as being left out.
pub(super) fn given(fields: &mut Fields<'_>, body: &Value, name: &'static str) -> Option<crate::json::Json> {
    fields.has(name);
    body.get(name).map(crate::json::Json::from)
}

/// The fields of `error`, wherever someone says that a call failed.
pub(super) fn error_fields() -> Vec<Field> {
    vec![
        required("kind", Kind::OneOf(ErrorKind::ALL.map(ErrorKind::as_str).to_vec()), "What the playbook can branch on."),
        required("message", Kind::Text, "What happened, for people."),
        field("detail", Kind::Any, "The same for programs."),
    ]
}

/// `error`, read; what is wrong with it is noted.
pub(super) fn error(fields: &mut Fields<'_>) -> Option<ToolError> {
    let value = fields.value("error")?;
    let read = || {
        let mut error = Fields::of(value, "/error")?;
        error.require(&["kind", "message"]);
        let kind = error.choice("kind", &ErrorKind::ALL.map(|kind| (kind.as_str(), kind)));
        let message = error.text("message", limits::TEXT_CHARS_MAX);
        let detail = error.json("detail");
        error.refuse_unknown("an error");
        error.build(kind.zip(message).map(|(kind, message)| ToolError { kind, message, detail }))
    };
    read().map_err(|e: crate::error::Error| fields.issues(e.issues)).ok()
}

/// How a job stands.
pub(super) fn stands(space: &Space, job: JobId, status: Status) -> (StatusCode, Json<Value>) {
    (code_of(status), Json(view::in_space(space, json!({"job_id": job, "status": status}))))
}

/// The schema of how a job stands.
pub(super) fn standing(_: &mut Components) -> Value {
    json!({"type": "object", "required": ["tenant_id", "scope", "job_id", "status"], "properties": {
        "tenant_id": text("Whose it is."), "scope": text("Whose it is."), "job_id": text("The job."),
        "status": {"type": "string", "enum": Status::ALL.map(Status::as_str), "description": "How it stands now; `GET` it for more."},
    }})
}
