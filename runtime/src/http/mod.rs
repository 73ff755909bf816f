//! HTTP in, one engine call, HTTP out.
//!
//! It is the only module that names axum and the only one that knows a status code. It deliberately decides
//! nothing: what a request means is the engine's, what it may hold is `limits`'. What must stay true: each route
//! stands once, in `route::table`, from which both the router and the OpenAPI document are made; and every
//! answer that is no success is the one `envelope`.
//!
//! ```text
//! connection   who may stay connected, and how long ┐
//! envelope     errors, panics and request ids       │ around every route
//! body, caller what was sent, and whose it is       ┘
//! route        the table: method, path, handler, description
//! replay       /v1/memory/replay/...   runs recorded and compiled, as Aionis names it
//! playbooks    /v1/playbooks           components up and down
//! jobs         /v1/jobs                start, list, read, journal
//! operator     /v1/tools, /v1/grants, /healthz, /health, /openapi.json
//! openapi      the document
//! ```
//!
//! Header sizes are hyper's own bounds: 100 headers, and about 400 KiB for all of them.

mod body;
mod caller;
mod connection;
mod envelope;
mod jobs;
mod openapi;
mod operator;
mod playbooks;
mod replay;
mod route;
mod view;

use std::future::{Future, IntoFuture as _};
use std::io;

use axum::Router;
use axum::middleware::from_fn;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::engine::Engine;
use crate::limits;

/// Every route over `engine`.
pub fn router(engine: Engine) -> Router {
    let add = |router: Router<Engine>, route: route::Route| router.route(route.path, route.handler);
    route::table()
        .into_iter()
        .fold(Router::new(), add)
        .fallback(route::not_found)
        .method_not_allowed_fallback(route::wrong_method)
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn(envelope::answer))
        .with_state(engine)
}

/// Serves `engine` on `listener` until `shutdown` resolves. From then on no connection is accepted, and requests
/// under way get [`limits::SHUTDOWN_TIME_MAX`] to end. Jobs are not its concern: [`Engine::shut_down`] ends those.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: TcpListener, engine: Engine, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let stop = async move {
        shutdown.await;
        let _ = tell.send(());
    };
    let patience = async move {
        // An error means that serving ended by itself; then the other arm has its answer.
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(limits::SHUTDOWN_TIME_MAX).await;
    };
    let listener = connection::Patient::new(listener, limits::HTTP_SILENCE_MAX);
    let serving = axum::serve(listener, router(engine)).with_graceful_shutdown(stop).into_future();
    tokio::select! {
        ended = serving => ended,
        () = patience => {
            tracing::warn!("some requests did not end within {:?} of the shutdown and are cut off", limits::SHUTDOWN_TIME_MAX);
            Ok(())
        }
    }
}

/// The OpenAPI 3.1 document of every route.
#[must_use]
pub fn openapi() -> serde_json::Value {
    openapi::document(&route::table())
}
