//! What clients see of playbook versions, wherever they meet one, and how JSON is sent.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::engine::{ImportLine, Standing};
use crate::ids::{self, Space};
use crate::json::Json;
use crate::lifecycle::{Origin, Status, Version};
use crate::runs::view::CommitFields;
use crate::runs::{Commit, uri};

/// One version of a playbook.
#[derive(Serialize, ToSchema)]
pub(super) struct VersionView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// The playbook.
    playbook_id: String,
    /// From 1, without gaps.
    version: u32,
    /// How far it is trusted.
    status: Status,
    /// For people.
    name: String,
    /// SHA-256 of the component.
    component_digest: String,
    /// The component's size.
    component_bytes: u64,
    /// `compiled`, `uploaded` or `graph`.
    origin: &'static str,
    /// The run it was compiled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_run_id: Option<String>,
    /// RFC 3339, UTC.
    created_at: String,
    /// Every import, and what it allows. There is nothing else.
    imports: Vec<ImportLine>,
    #[serde(flatten)]
    standing: Standing,
}

impl VersionView {
    pub(super) fn of(space: &Space, version: &Version, imports: Vec<ImportLine>, standing: Standing) -> Self {
        VersionView {
            tenant_id: space.tenant().to_owned(),
            scope: space.scope().to_owned(),
            playbook_id: version.playbook_id.to_string(),
            version: version.version,
            status: version.status,
            name: version.name.clone(),
            component_digest: version.component.to_string(),
            component_bytes: version.component_bytes,
            origin: match version.origin {
                Origin::Compiled(_) => "compiled",
                Origin::Uploaded => "uploaded",
                Origin::Graph { .. } => "graph",
            },
            source_run_id: source_run_id(version),
            created_at: rfc3339(version.created_at_ms),
            imports,
            standing,
        }
    }
}

/// The run that a version was compiled from.
pub(super) fn source_run_id(version: &Version) -> Option<String> {
    match &version.origin {
        Origin::Compiled(compilation) => Some(compilation.run_id.to_string()),
        Origin::Uploaded | Origin::Graph { .. } => None,
    }
}

/// A version's node, as Aionis names things: `(id, uri)`.
pub(super) fn node(space: &Space, version: &Version) -> (String, String) {
    let number = version.version.to_string();
    let parts = [space.tenant(), space.scope(), "playbook", version.playbook_id.as_str(), &number];
    let id = ids::derived_uuid("reprise:node", &parts.map(str::as_bytes));
    (id.to_string(), uri(space, "procedure", id))
}

/// The write that made a version. It follows from what never changes of it, so that a repeat is answered alike.
pub(super) fn commit(space: &Space, version: &Version) -> CommitFields {
    let made = json!({
        "playbook_id": version.playbook_id, "version": version.version, "created_at_ms": version.created_at_ms, "content": version.identity(),
    });
    let commit = Commit::of(space, Json::from(&made).digest());
    CommitFields { commit_id: commit.id.to_string(), commit_uri: commit.uri, commit_hash: commit.hash.to_string() }
}

/// What a client put, or an empty object as Aionis shows it.
pub(super) fn object_of(json: Option<&Json>) -> Value {
    json.map_or_else(|| json!({}), Json::value)
}

/// An object with whose it is put first.
pub(super) fn in_space(space: &Space, mut fields: Value) -> Value {
    if let Some(object) = fields.as_object_mut() {
        object.insert("tenant_id".to_owned(), space.tenant().into());
        object.insert("scope".to_owned(), space.scope().into());
    }
    fields
}

/// A success of `value`, printed here and now.
pub(super) fn printed(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("views have string keys only");
    sent(StatusCode::OK, "application/json", text)
}

/// Bytes of a type.
pub(super) fn sent(status: StatusCode, kind: &'static str, bytes: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(kind))], bytes.into()).into_response()
}
