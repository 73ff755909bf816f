//! `/v1/grants`: what operators granted to all jobs, and granting, which only they may.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::bearer;
use super::body::Posted;
use super::caller::OfGrant;
use super::openapi::{self, Field, Kind, field, required};
use super::replay::{self, requests};
use super::route::{Gives, Route, Takes};
use crate::blocking;
use crate::engine::{Engine, GrantProposalView, GrantView};
use crate::error::{Code, Error, Result};
use crate::fields::Fields;
use crate::ids::RunId;
use crate::limits;
use crate::tools::grants::{Grant, GrantName, Written, Wrong};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/grants", list, "list_grants", "What operators granted to all jobs; who shows the operator's token sees all of it.")
            .for_all()
            .gives(200, "The grants.", Gives::Json(openapi::of::<GrantList>))
            .fails(&[Code::OperatorTokenWrong]),
        Route::put("/v1/grants/{name}", put, "put_grant", "Grants something to all jobs, from their next attempt on.")
            .for_all()
            .for_operators()
            .takes(Takes::Json(fields()))
            .gives(201, "It is granted.", Gives::Json(openapi::of::<GrantView>))
            .gives(200, "It is granted in the place of what had this name.", Gives::Json(openapi::of::<GrantView>))
            .fails(&[Code::InvalidRequest, Code::InvalidConfiguration, Code::IdConflict, Code::GrantInUse, Code::TooLarge]),
        Route::post(
            "/v1/grant-proposals",
            propose,
            "propose_grants",
            "The narrowest grants that cover what a recorded run did. Grants nothing.",
        )
        .for_operators()
        .takes(Takes::Json(proposal_fields()))
        .gives(200, "The proposals.", Gives::Json(openapi::of::<Proposals>))
        .fails(&[
            Code::InvalidRequest,
            Code::InvalidConfiguration,
            Code::ReplayRunNotFound,
            Code::ReplayCompileRequiresSuccessfulRun,
            Code::ReplayCompileNoSteps,
            Code::NotCompilable,
        ]),
        Route::delete("/v1/grants/{name}", remove, "remove_grant", "Takes a grant back.")
            .for_all()
            .for_operators()
            .gives(200, "It was taken back: this was it.", Gives::Json(openapi::of::<GrantView>))
            .fails(&[Code::InvalidRequest, Code::GrantNotFound, Code::GrantInUse]),
    ]
}

/// All parts that a grant of any kind can have.
fn fields() -> Vec<Field> {
    vec![
        required("kind", Kind::OneOf(Grant::KINDS.to_vec()), "What is granted."),
        field("to", Kind::Texts, "For the tool components of these namespaces; for the built-in tools where it is left out."),
        field("path", Kind::Text, "Of `fs`: the directory, from the root on. Of `http`: this path and those below it."),
        field("at", Kind::Text, "Of `fs`: where below its name jobs see it; `releases` is seen as `NAME/releases`."),
        field("access", Kind::OneOf(vec!["ro", "rw"]), "Of `fs` and `kv`: read only, or read and write."),
        field("origin", Kind::Text, "Of `http`: scheme, host and port."),
        field("methods", Kind::Texts, "Of `http`: what may be sent; `GET` where it is left out."),
        field("key_header", Kind::Text, "Of `http`: the header by which the server performs a call once per key."),
        field("reconcile", Kind::Text, "Of `http`: where to ask what became of a post, with `{key}` in it."),
        field("private", Kind::Flag, "Of `http`: whether the host's name may lead to an address that is not of the public internet."),
        field("program", Kind::Text, "Of `exec`: the program's absolute path."),
        field("args", Kind::Texts, "Of `exec`: a pattern for each argument; none where it is left out."),
        field("directory", Kind::Text, "Of `exec`: the `fs` grant in whose directory it runs."),
        field("secret", Kind::Text, "Of `secret`: the name of a stored secret."),
        field("http", Kind::Text, "Of `secret`: the `http` grant toward whose server it may go."),
        field("place", Kind::Text, "Of `secret`: `header:NAME`, `query:NAME` or `body`."),
        field("variable", Kind::Text, "Of `env`: the variable's name."),
        field("value", Kind::Text, "Of `env`: what it holds."),
    ]
}

fn proposal_fields() -> Vec<Field> {
    let homes = json!({"type": "string"});
    let mut fields = replay::playbooks::run_fields();
    fields.push(field("directories", Kind::Map(homes), "Grant -> the directory of this host that jobs see under its name."));
    fields
}

async fn propose(State(engine): State<Engine>, posted: Posted) -> Result<Json<Proposals>> {
    let mut fields = posted.fields()?;
    fields.require(&["run_id"]);
    let run = fields.id("run_id", RunId::parse);
    let options = requests::options(&mut fields);
    let absolute = |value: &Value| {
        let path = value.as_str().map(PathBuf::from).filter(|path| path.is_absolute());
        path.ok_or_else(|| "is not the absolute path of a directory".to_owned())
    };
    let homes = requests::map(&mut fields, "directories", absolute);
    fields.refuse_unknown("a wish for proposals");
    let run = fields.build(run)?;
    let proposals = engine.propose_for_run(&posted.space, &run, options, homes).await?;
    Ok(Json(Proposals { proposals: proposals.iter().map(|proposal| proposal.view(true)).collect() }))
}

/// The answer of `POST /v1/grant-proposals`.
#[derive(Serialize, ToSchema)]
struct Proposals {
    /// Directories, web servers, spaces, programs, secrets.
    proposals: Vec<GrantProposalView>,
}

async fn list(State(engine): State<Engine>, headers: HeaderMap) -> Result<Json<GrantList>> {
    let all = bearer::is_operator(&engine, &headers)?;
    let granted = blocking::run(move || engine.grants()).await?;
    Ok(Json(GrantList { grants: granted.iter().map(|granted| GrantView::of(granted, all)).collect() }))
}

async fn put(State(engine): State<Engine>, OfGrant(name): OfGrant, posted: Posted) -> Result<(StatusCode, Json<GrantView>)> {
    let written = written(posted.fields()?, &name)?;
    let (granted, made) = engine.put_grant(written).await.map_err(refusal)?;
    Ok((if made { StatusCode::CREATED } else { StatusCode::OK }, Json(GrantView::of(&granted, true))))
}

async fn remove(State(engine): State<Engine>, OfGrant(name): OfGrant) -> Result<Json<GrantView>> {
    Ok(Json(GrantView::of(&engine.remove_grant(&name).await?, true)))
}

fn written(mut fields: Fields<'_>, name: &GrantName) -> Result<Written> {
    fields.require(&["kind"]);
    let mut text = |name: &'static str| fields.text(name, limits::TEXT_CHARS_MAX);
    let kind = text("kind");
    let rest = Written {
        name: Some(name.to_string()),
        path: text("path"),
        at: text("at"),
        access: text("access"),
        origin: text("origin"),
        key_header: text("key_header"),
        reconcile: text("reconcile"),
        program: text("program"),
        directory: text("directory"),
        secret: text("secret"),
        http: text("http"),
        place: text("place"),
        variable: text("variable"),
        ..Written::default()
    };
    let written = Written {
        value: variable_value(&mut fields),
        methods: texts(&mut fields, "methods"),
        to: texts(&mut fields, "to"),
        args: texts(&mut fields, "args"),
        private: fields.flag("private"),
        ..rest
    };
    fields.refuse_unknown("a grant");
    fields.build(kind.map(|kind| Written { kind, ..written }))
}

/// A variable may be empty.
fn variable_value(fields: &mut Fields<'_>) -> Option<String> {
    match fields.value("value")? {
        Value::String(text) if text.is_empty() => Some(String::new()),
        _ => fields.text("value", limits::TEXT_CHARS_MAX),
    }
}

fn texts(fields: &mut Fields<'_>, name: &'static str) -> Option<Vec<String>> {
    let Some(items) = fields.value(name)?.as_array() else {
        fields.issue(name, "is not a list of texts".to_owned());
        return None;
    };
    let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    if texts.is_none() {
        fields.issue(name, "holds something else than texts".to_owned());
    }
    texts
}

/// At the field that is wrong.
fn refusal(Wrong { field, index, error }: Wrong) -> Error {
    if error.code != Code::InvalidConfiguration || field.is_empty() {
        return error;
    }
    let index = index.map(|index| format!("/{index}")).unwrap_or_default();
    Error::invalid(format!("/{field}{index}"), error.message)
}

/// The answer of `GET /v1/grants`.
#[derive(Serialize, ToSchema)]
struct GrantList {
    /// Those of the file, then those of flags, then those of the store by name.
    grants: Vec<GrantView>,
}
