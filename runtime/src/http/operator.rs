//! What whoever runs the server asks of it: its health, its numbers, its description.

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
use crate::{blocking, metrics};

pub(super) fn routes() -> Vec<Route> {
    vec![
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
