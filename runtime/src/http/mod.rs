//! HTTP in, one engine call, HTTP out.
//!
//! It is the only module that names axum and the only one that knows a status code. It deliberately decides
//! nothing: what a request means is the engine's, what it may hold is `limits`'. What must stay true: each route
//! stands once, in `route::table`, from which both the router and the OpenAPI document are made; and every
//! answer that is no success is the one `envelope`.
//!
//! ```text
//! connection   who may stay connected, and how long ┐
//! observe      counts, times and spans              │
//! envelope     errors, panics and request ids       │ around every route
//! host         who asked for this machine by name    │
//! body, caller what was sent, and whose it is       │
//! bearer       who may ask what only operators may  ┘
//! route        the table: method, path, handler, description
//! replay       /v1/memory/replay/...   runs recorded and compiled, as Aionis names it
//! playbooks    /v1/playbooks           components up and down
//! jobs, events /v1/jobs                start, list, read, journal (also as it grows)
//! control      /v1/jobs/{id}/...       signals, cancel, pause, resume, retry, resolve
//! approvals    /v1/approvals           what waits for a person, and what they say
//! calls        /v1/calls               what waits for a worker outside, and what came of it
//! graphs       /v1/graphs            what a task graph would do
//! repairs      /v1/repairs           what was mended of playbooks
//! tools        /v1/tools, /v1/tool-components
//! grants       /v1/grants            what operators granted, and granting
//! secrets      /v1/secrets           values that operators keep, and nobody sees
//! operator     /healthz, /health, /metrics, /openapi.json
//! openapi      the document
//! ```
//!
//! Header sizes are hyper's own bounds: 100 headers, and about 400 KiB for all of them.

mod approvals;
mod bearer;
mod body;
mod caller;
mod calls;
mod connection;
mod control;
mod envelope;
mod evidence;
mod events;
mod grants;
mod graphs;
mod host;
mod jobs;
mod lifecycle;
mod matching;
mod observe;
mod openapi;
mod operator;
mod playbooks;
mod repairs;
mod replay;
mod route;
mod runs;
mod secrets;
mod tools;
mod view;

use std::future::{Future, IntoFuture as _};
use std::io;
use std::time::Duration;

use axum::middleware::from_fn;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::engine::Engine;
use crate::error::Code;
use crate::limits;

/// Every route over `engine`.
pub fn router(engine: Engine) -> Router {
    with_streams(engine, events::Streams::new())
}

fn with_streams(engine: Engine, streams: events::Streams) -> Router {
    let add = |router: Router<Engine>, route: route::Route| router.route(route.path, route.handler);
    let guarded = |route| bearer::guarded(&engine, route);
    let routes = route::table().into_iter().map(guarded).fold(Router::new(), add);
    answering(routes.fallback(route::not_found).method_not_allowed_fallback(route::wrong_method))
        .layer(Extension(streams))
        .with_state(engine)
}

/// What is around every route: panics become errors, and errors become envelopes.
fn answering<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn(host::is_ours))
        .layer(from_fn(envelope::answer))
        .layer(from_fn(observe::observe))
}

/// Serves `engine` on `listener` until `shutdown` resolves. From then on no connection is accepted, and requests
/// under way get [`limits::SHUTDOWN_TIME_MAX`] to end; journals that are sent as events end at once. Jobs are not its concern: [`Engine::shut_down`] ends those.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: TcpListener, engine: Engine, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let streams = events::Streams::new();
    let router = with_streams(engine, streams.clone());
    let shutdown = async move {
        shutdown.await;
        streams.stop();
    };
    serve_patiently(listener, router, shutdown, limits::SHUTDOWN_TIME_MAX).await
}

async fn serve_patiently(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    patience: Duration,
) -> io::Result<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let stop = async move {
        shutdown.await;
        let _ = tell.send(());
    };
    let out_of_patience = async move {
        // An error means that serving ended by itself; then the other arm has its answer.
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(patience).await;
    };
    let listener = connection::Patient::new(listener, limits::HTTP_SILENCE_MAX);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop).into_future();
    tokio::select! {
        ended = serving => ended,
        () = out_of_patience => {
            tracing::warn!("some requests did not end within {patience:?} of the shutdown and are cut off");
            Ok(())
        }
    }
}

/// The HTTP status that a code is answered with.
#[must_use]
pub fn status(code: Code) -> u16 {
    envelope::status(code.class()).as_u16()
}

/// The OpenAPI 3.1 document of every route.
#[must_use]
pub fn openapi() -> serde_json::Value {
    openapi::document(&route::table())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    /// A test that waits longer hangs.
    const HANGS: Duration = Duration::from_secs(20);

    async fn listening() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(GET).await.unwrap();
        (listener, client)
    }

    async fn heard(mut client: TcpStream) -> String {
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        heard
    }

    /// What a client hears of what `router` has at `/`.
    async fn answered(router: Router) -> String {
        let (listener, client) = listening().await;
        tokio::select! {
            heard = heard(client) => heard,
            ended = serve_patiently(listener, answering(router), std::future::pending(), HANGS) => panic!("{ended:?}"),
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_that_tells_nothing() {
        async fn breaks() -> &'static str {
            panic!("the secret is {}", 42)
        }
        let heard = answered(Router::new().route("/", get(breaks))).await;
        assert!(heard.starts_with("HTTP/1.1 500") && heard.contains("\"internal_error\"") && heard.contains("x-request-id: "), "{heard}");
        assert!(!heard.contains("secret"), "{heard}");
    }

    #[tokio::test]
    async fn a_store_that_cannot_write_asks_to_come_back_and_names_the_request_not_the_disk() {
        async fn refuses() -> Error {
            Error::new(Code::StorePoisoned, "/var/secret: no space left")
        }
        let heard = answered(Router::new().route("/", get(refuses))).await;
        assert!(heard.starts_with("HTTP/1.1 503") && heard.contains("retry-after: 1") && heard.contains("\"store_poisoned\""), "{heard}");
        let id = heard.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
        assert!(heard.contains(&format!("\"request_id\":\"{id}\"")) && !heard.contains("secret"), "{heard}");
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_after_the_server_was_told_to_stop() {
        let (listener, client) = listening().await;
        let (begun, stopping) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
        let (tell_begun, wait_for_stop) = (begun.clone(), stopping.clone());
        let handler = move || async move {
            tell_begun.notify_one();
            wait_for_stop.notified().await;
            "finished"
        };
        let shutdown = async move {
            begun.notified().await;
            stopping.notify_one();
        };
        let serving = serve_patiently(listener, Router::new().route("/", get(handler)), shutdown, HANGS);
        let (ended, heard) = tokio::time::timeout(HANGS, async { tokio::join!(serving, heard(client)) }).await.unwrap();
        assert!(ended.is_ok() && heard.ends_with("finished"), "{heard}");
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_does_not_keep_the_server() {
        let (listener, _client) = listening().await;
        let begun = std::sync::Arc::new(Notify::new());
        let tell_begun = begun.clone();
        let handler = move || async move {
            tell_begun.notify_one();
            std::future::pending::<()>().await;
        };
        let shutdown = async move { begun.notified().await };
        let serving = serve_patiently(listener, Router::new().route("/", get(handler)), shutdown, Duration::from_millis(20));
        tokio::time::timeout(HANGS, serving).await.expect("it gives up on the request").unwrap();
    }
}
