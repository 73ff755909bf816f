//! What whoever runs the server asks of it: its grants, its health, its numbers, its description.

use std::sync::LazyLock;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::openapi;
use super::route::{Gives, Route};
use super::view;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::tools::grants::To;
use crate::tools::{Access, Grant};
use crate::{blocking, metrics};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/grants", grants, "list_grants", "What the operator granted to all jobs, as a job sees it.").for_all().gives(
            200,
            "The grants.",
            Gives::Json(openapi::of::<GrantList>),
        ),
        Route::get("/healthz", healthz, "healthz", "Whether the server can do its work.")
            .for_all()
            .gives(200, "It can.", Gives::Json(openapi::of::<Healthz>))
            .fails(&[Code::StorePoisoned]),
        Route::get("/health", health, "health", "The same in the shape that Aionis' clients read.")
            .for_all()
            .gives(200, "It is there.", Gives::Json(openapi::of::<Health>))
            .fails(&[Code::StorePoisoned]),
        Route::get("/metrics", numbers, "metrics", "Numbers about this process and its jobs, for Prometheus.").for_all().gives(
            200,
            "OpenMetrics text.",
            Gives::Text,
        ),
        Route::get("/openapi.json", description, "openapi", "This document.").for_all().gives(
            200,
            "The document.",
            Gives::Json(|_| json!({"type": "object"})),
        ),
    ]
}

async fn grants(State(engine): State<Engine>) -> Json<GrantList> {
    Json(GrantList { grants: engine.grants().iter().map(GrantView::of).collect() })
}

async fn healthz(State(engine): State<Engine>) -> Result<Json<Healthz>> {
    engine.check()?;
    Ok(Json(Healthz { ok: true, version: env!("CARGO_PKG_VERSION"), store: StoreHealth { writable: true } }))
}

async fn health(State(engine): State<Engine>) -> Result<Json<Health>> {
    engine.check()?;
    let runtime = HealthRuntime { edition: "reprise", version: env!("CARGO_PKG_VERSION") };
    Ok(Json(Health { ok: true, runtime, storage: HealthStorage { backend: "sled" } }))
}

async fn numbers(State(engine): State<Engine>) -> Result<Response> {
    let jobs = blocking::run(move || engine.jobs_by_status()).await?;
    Ok(view::sent(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(&jobs)))
}

async fn description() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| super::openapi().to_string().into());
    view::sent(StatusCode::OK, "application/json", DOCUMENT.clone())
}

/// The answer of `GET /v1/grants`.
#[derive(Serialize, ToSchema)]
struct GrantList {
    /// In the order in which they were given.
    grants: Vec<GrantView>,
}

/// A grant as a job sees it. The directory's place on the host is left out: whoever may ask a server to run
/// playbooks need not learn how its disk is laid out. The operator, who wrote it down, sees it in `reprise.toml`.
#[derive(Serialize, ToSchema)]
struct GrantView {
    /// The first part of every path that a job uses; of an `http` grant, a name for people.
    name: String,
    /// `fs`, `http`, `kv`, `exec`, `secret`, `env`, `clock` or `random`.
    kind: &'static str,
    /// The namespaces of the tool components that it is for; absent where it is for the built-in tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<String>,
    /// Of `fs` and `kv`: `ro` or `rw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'static str>,
    /// Of `http`: scheme, host and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// Of `http`: what may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<&'static str>>,
    /// Of `http`: where it may be sent, this path and those below it; everywhere where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// For people.
    words: String,
}

impl GrantView {
    fn of(grant: &Grant) -> Self {
        let (access, http) = match grant {
            Grant::Fs(fs) => (Some(fs.access), None),
            Grant::Kv(kv) => (Some(kv.access), None),
            Grant::Http(http) => (None, Some(http)),
            Grant::Exec(_) | Grant::Secret(_) | Grant::Env(_) | Grant::Clock(_) | Grant::Random(_) => (None, None),
        };
        GrantView {
            name: grant.name().to_string(),
            kind: grant.kind(),
            to: grant.to().into_iter().flat_map(To::namespaces).map(ToString::to_string).collect(),
            access: access.map(Access::as_str),
            origin: http.map(|http| http.origin.clone()),
            methods: http.map(|http| http.methods.iter().map(|method| method.as_str()).collect()),
            path: http.and_then(|http| http.path.clone()),
            words: grant.inside_words(),
        }
    }
}

/// The answer of `GET /healthz`.
#[derive(Serialize, ToSchema)]
struct Healthz {
    /// Always true; a server that cannot do its work answers 503.
    ok: bool,
    /// The program's version.
    version: &'static str,
    /// The store.
    store: StoreHealth,
}

/// The store's health.
#[derive(Serialize, ToSchema)]
struct StoreHealth {
    /// Always true; after a failed flush the answer is 503 `store_poisoned`.
    writable: bool,
}

/// The answer of `GET /health`.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always true.
    ok: bool,
    /// What answers.
    runtime: HealthRuntime,
    /// What keeps the data.
    storage: HealthStorage,
}

/// What answers.
#[derive(Serialize, ToSchema)]
struct HealthRuntime {
    /// Always `reprise`.
    edition: &'static str,
    /// The program's version.
    version: &'static str,
}

/// What keeps the data.
#[derive(Serialize, ToSchema)]
struct HealthStorage {
    /// Always `sled`.
    backend: &'static str,
}
