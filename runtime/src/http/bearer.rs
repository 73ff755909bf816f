//! Who may ask what only an operator may: whoever shows the operator's token.
//!
//! It knows which routes are so ([`Route::for_operators`]), and not what they do. The rule: what grants something is
//! asked for with the token in `Authorization`, which no job has and no page of another origin can send unasked.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

use super::body;
use super::route::Route;
use crate::engine::Engine;
use crate::error::{Code, Result};

/// What such a route refuses with, beside its own.
pub(super) const REFUSALS: &[Code] = &[Code::OperatorTokenMissing, Code::OperatorTokenWrong];

/// The route, with the token asked for where it is for operators.
pub(super) fn guarded(engine: &Engine, route: Route) -> Route {
    if !route.for_operators {
        return route;
    }
    // Another method at the same path is no operator's matter, and is told so as everywhere.
    let handler = route.handler.route_layer(from_fn_with_state(engine.clone(), operators_only));
    Route { handler, ..route }
}

async fn operators_only(State(engine): State<Engine>, request: Request, next: Next) -> Response {
    match engine.check_operator(token(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(e) => {
            body::discard(request).await;
            e.into_response()
        }
    }
}

/// True where who asks shows the token; false where they show none.
///
/// # Errors
/// `operator_token_wrong` where they show something else.
pub(super) fn is_operator(engine: &Engine, headers: &HeaderMap) -> Result<bool> {
    match token(headers) {
        None => Ok(false),
        some => engine.check_operator(some).map(|()| true),
    }
}

/// What stands behind `Bearer`; text that is no such thing is a wrong token, not a missing one.
fn token(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let named = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(named.map_or("", |(_, token)| token.trim()))
}
