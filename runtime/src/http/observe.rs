//! Around everything: each request is counted, timed and a span.
//!
//! It reads no body and changes nothing. The time is that to the answer's head: a journal that is sent as events
//! goes on after it.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::envelope::REQUEST_ID;
use crate::{metrics, spans};

pub(super) async fn observe(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // The pattern and not the path: ids must become neither labels nor span names.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let method = word(request.method());
    let span = spans::http_request(method, route.unwrap_or("none"));
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("status", status);
    if let Some(id) = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
        span.record("request_id", id);
    }
    metrics::http_request(route, method, status, begun.elapsed().as_secs_f64());
    response
}

/// A client may make up methods; they are all one to us.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
