//! Tools: upload a component, list, read, call one once.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Component, Posted};
use super::caller::Asked;
use super::openapi::{self, Field, Kind, field, required};
use super::route::{Gives, Route, Takes};
use crate::blocking;
use crate::contract::{Namespace, ToolId};
use crate::engine::{Engine, ToolAnswer, ToolCall, ToolComponentView, ToolUpload, ToolView};
use crate::error::{Code, Error, Result};
use crate::limits;

/// What any route about one tool or component may fail with.
const OF_ONE: &[Code] = &[Code::InvalidRequest, Code::ToolNotFound];

pub(super) fn routes() -> Vec<Route> {
    let view = || Gives::Json(openapi::of::<ToolComponentView>);
    vec![
        Route::post(
            "/v1/tools",
            upload,
            "upload_tools",
            "Takes a component whose tools are to be called, linked and started once without reach.",
        )
        .for_all()
        .query(vec![field("namespace", Kind::Text, "The namespace of its tools; the one that the component names where it is left out.")])
        .takes(Takes::Component)
        .gives(201, "A new version. It is active unless it asks for more than the version that was.", view())
        .gives(200, "The version that the same bytes had made before.", view())
        .fails(&[
            Code::InvalidRequest,
            Code::TooLarge,
            Code::NotAComponent,
            Code::ImportsUnsatisfied,
            Code::ComponentTooDemanding,
            Code::ComponentDoesNotStart,
            Code::NoTools,
            Code::Contended,
        ]),
        Route::get("/v1/tools", list, "list_tools", "Every tool there is.").for_all().gives(
            200,
            "The tools, by id.",
            Gives::Json(openapi::of::<ToolList>),
        ),
        Route::get("/v1/tools/{namespace}/{name}", one, "get_tool", "What is known about a tool.")
            .for_all()
            .gives(200, "The tool.", Gives::Json(openapi::of::<ToolView>))
            .fails(OF_ONE),
        Route::post(
            "/v1/tools/{namespace}/{name}/call",
            call,
            "call_tool",
            "Calls a tool once, outside of any job, with what the operator granted to all.",
        )
        .for_all()
        .takes(Takes::Json(call_fields()))
        .gives(200, "What the tool answered, or why it did not; and what that took.", Gives::Json(openapi::of::<ToolAnswer>))
        .fails(&[Code::InvalidRequest, Code::ToolNotFound, Code::InvalidConfiguration]),
        Route::get("/v1/tool-components", namespaces, "list_tool_components", "The namespaces of uploaded tools.").for_all().gives(
            200,
            "By name.",
            Gives::Json(openapi::of::<NamespaceList>),
        ),
        Route::get("/v1/tool-components/{namespace}", versions, "list_tool_versions", "Every version of a tool component.")
            .for_all()
            .gives(200, "The newest first.", Gives::Json(openapi::of::<VersionList>))
            .fails(OF_ONE),
        Route::get("/v1/tool-components/{namespace}/versions/{version}", version, "get_tool_version", "One version of a tool component.")
            .for_all()
            .gives(200, "The version.", view())
            .fails(OF_ONE),
        Route::post(
            "/v1/tool-components/{namespace}/versions/{version}/activate",
            activate,
            "activate_tool_version",
            "Has a version's tools be the ones that are called, whatever it asks for.",
        )
        .for_all()
        .for_operators()
        .takes(Takes::Json(Vec::new()))
        .gives(200, "The version, active.", view())
        .fails(&[Code::InvalidRequest, Code::ToolNotFound, Code::Contended]),
    ]
}

fn call_fields() -> Vec<Field> {
    vec![
        required("input", Kind::Any, "What the tool is called with; its input schema says what fits."),
        field("key", Kind::Id, "Names the call for good: a repeat with the same key is the same call. A new one where it is left out."),
    ]
}

async fn upload(
    State(engine): State<Engine>,
    Asked { mut query, .. }: Asked,
    Component(bytes): Component,
) -> Result<(StatusCode, Json<ToolComponentView>)> {
    let namespace = query.text("namespace").map(|text| Namespace::parse(&text)).transpose()?;
    query.done()?;
    let view = engine.upload_tools(ToolUpload { namespace, bytes }).await?;
    Ok((if view.repeated { StatusCode::OK } else { StatusCode::CREATED }, Json(view)))
}

async fn list(State(engine): State<Engine>, Asked { query, .. }: Asked) -> Result<Json<ToolList>> {
    query.done()?;
    Ok(Json(ToolList { tools: engine.tools().list().iter().map(|info| ToolView::of(info)).collect() }))
}

type Names = std::result::Result<Path<(String, String)>, PathRejection>;

fn tool_id(names: Names) -> Result<ToolId> {
    let Path((namespace, name)) = names.map_err(|e| Error::invalid("/", e.body_text()))?;
    ToolId::parse(&format!("{namespace}/{name}"))
}

async fn one(State(engine): State<Engine>, names: Names, Asked { query, .. }: Asked) -> Result<Json<ToolView>> {
    query.done()?;
    engine.tool(&tool_id(names)?).map(Json)
}

async fn call(State(engine): State<Engine>, names: Names, posted: Posted) -> Result<Json<ToolAnswer>> {
    let tool = tool_id(names)?;
    let mut fields = posted.fields()?;
    fields.require(&["input"]);
    let (input, key) = (fields.json("input"), fields.text("key", limits::ID_CHARS_MAX));
    fields.refuse_unknown("a tool call");
    let call = fields.build(input.map(|input| ToolCall { tool, key, input }))?;
    engine.call_tool(call).await.map(Json)
}

async fn namespaces(State(engine): State<Engine>, Asked { query, .. }: Asked) -> Result<Json<NamespaceList>> {
    query.done()?;
    let rows = blocking::run(move || engine.tool_namespaces()).await?;
    let row = |row: crate::tools::NamespaceSummary| NamespaceView {
        namespace: row.namespace.to_string(),
        latest_version: row.latest_version,
        active_version: row.active_version,
    };
    Ok(Json(NamespaceList { namespaces: rows.into_iter().map(row).collect() }))
}

type OneName = std::result::Result<Path<String>, PathRejection>;

async fn versions(State(engine): State<Engine>, name: OneName, Asked { query, .. }: Asked) -> Result<Json<VersionList>> {
    query.done()?;
    let Path(namespace) = name.map_err(|e| Error::invalid("/", e.body_text()))?;
    let namespace = Namespace::parse(&namespace)?;
    let versions = blocking::run(move || engine.tool_versions(&namespace)).await?;
    Ok(Json(VersionList { versions }))
}

fn numbered(names: Names) -> Result<(Namespace, u32)> {
    let Path((namespace, version)) = names.map_err(|e| Error::invalid("/", e.body_text()))?;
    let number = version.parse().ok().filter(|n| *n > 0);
    let number = number.ok_or_else(|| Error::invalid("/version", format!("{version:?} is not the number of a version")))?;
    Ok((Namespace::parse(&namespace)?, number))
}

async fn version(State(engine): State<Engine>, names: Names, Asked { query, .. }: Asked) -> Result<Json<ToolComponentView>> {
    query.done()?;
    let (namespace, number) = numbered(names)?;
    engine.tool_component(&namespace, Some(number)).map(Json)
}

async fn activate(State(engine): State<Engine>, names: Names, posted: Posted) -> Result<Json<ToolComponentView>> {
    let (namespace, number) = numbered(names)?;
    let mut fields = posted.fields()?;
    fields.refuse_unknown("an activation");
    fields.build(Some(()))?;
    engine.activate_tools(&namespace, number).await.map(Json)
}

/// The answer of `GET /v1/tools`.
#[derive(Serialize, ToSchema)]
struct ToolList {
    /// By id.
    tools: Vec<ToolView>,
}

/// The answer of `GET /v1/tool-components`.
#[derive(Serialize, ToSchema)]
struct NamespaceList {
    /// By name.
    namespaces: Vec<NamespaceView>,
}

/// A namespace in a list.
#[derive(Serialize, ToSchema)]
struct NamespaceView {
    /// The namespace.
    namespace: String,
    /// Its newest version.
    latest_version: u32,
    /// The version whose tools are called.
    active_version: u32,
}

/// The answer of `GET /v1/tool-components/{namespace}`.
#[derive(Serialize, ToSchema)]
struct VersionList {
    /// The newest first.
    versions: Vec<ToolComponentView>,
}
