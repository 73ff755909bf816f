//! The table of routes: each stands once, with what it does, takes and gives.
//!
//! The router and the OpenAPI document are both made from it, so that neither can have a route that the other
//! lacks.

use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{self, MethodRouter};

use super::openapi::{Field, Shape};
use super::{
    approvals, body, calls, control, evidence, grants, graphs, jobs, lifecycle, matching, operator, playbooks, repairs, replay, runs,
    secrets, tools,
};
use crate::engine::Engine;
use crate::error::{Code, Error};

/// One route.
pub(super) struct Route {
    pub method: Method,
    /// As axum and OpenAPI both write it: `/v1/jobs/{id}`.
    pub path: &'static str,
    pub handler: MethodRouter<Engine>,
    /// Names the operation for generated clients.
    pub id: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// True where it is about one tenant and scope.
    pub in_space: bool,
    /// True where only an operator may ask.
    pub for_operators: bool,
    pub query: Vec<Field>,
    pub takes: Takes,
    /// Each success: status, when, what.
    pub gives: Vec<(u16, &'static str, Gives)>,
    /// The codes that are its own, beside those that any route has.
    pub fails: &'static [Code],
}

/// What a route takes as its body.
pub(super) enum Takes {
    Nothing,
    Json(Vec<Field>),
    Component,
}

/// What a route gives.
pub(super) enum Gives {
    Json(Shape),
    /// JSON, or the same piece by piece as server-sent events, as the client asks.
    JsonOrEvents(Shape),
    Component,
    Text,
}

impl Route {
    pub(super) fn get<T: 'static>(path: &'static str, handler: impl Handler<T, Engine>, id: &'static str, summary: &'static str) -> Route {
        Route::of(Method::GET, path, routing::get(handler), id, summary)
    }

    pub(super) fn post<T: 'static>(path: &'static str, handler: impl Handler<T, Engine>, id: &'static str, summary: &'static str) -> Route {
        Route::of(Method::POST, path, routing::post(handler), id, summary)
    }

    pub(super) fn put<T: 'static>(path: &'static str, handler: impl Handler<T, Engine>, id: &'static str, summary: &'static str) -> Route {
        Route::of(Method::PUT, path, routing::put(handler), id, summary)
    }

    pub(super) fn delete<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Engine>,
        id: &'static str,
        summary: &'static str,
    ) -> Route {
        Route::of(Method::DELETE, path, routing::delete(handler), id, summary)
    }

    fn of(method: Method, path: &'static str, handler: MethodRouter<Engine>, id: &'static str, summary: &'static str) -> Route {
        let (query, takes, gives) = (Vec::new(), Takes::Nothing, Vec::new());
        Route { method, path, handler, id, summary, in_space: true, for_operators: false, query, takes, gives, fails: &[] }
    }

    /// It is about the whole server.
    pub(super) fn for_all(mut self) -> Route {
        self.in_space = false;
        self
    }

    /// It grants something: who asks must show the operator's token.
    pub(super) fn for_operators(mut self) -> Route {
        self.for_operators = true;
        self
    }

    pub(super) fn query(mut self, fields: Vec<Field>) -> Route {
        self.query = fields;
        self
    }

    pub(super) fn takes(mut self, takes: Takes) -> Route {
        self.takes = takes;
        self
    }

    pub(super) fn gives(mut self, status: u16, when: &'static str, what: Gives) -> Route {
        self.gives.push((status, when, what));
        self
    }

    pub(super) fn fails(mut self, codes: &'static [Code]) -> Route {
        self.fails = codes;
        self
    }
}

/// Every route there is.
pub(super) fn table() -> Vec<Route> {
    let of_jobs = [graphs::routes(), jobs::routes(), control::routes(), approvals::routes(), calls::routes(), evidence::routes()];
    let of_all = [repairs::routes(), tools::routes(), grants::routes(), secrets::routes(), operator::routes()];
    let of_playbooks = [replay::routes(), runs::routes(), playbooks::routes(), lifecycle::routes(), matching::routes()];
    of_playbooks.into_iter().chain(of_jobs).chain(of_all).flatten().collect()
}

/// Any path that is not in the table.
pub(super) async fn not_found(request: Request) -> Error {
    let message = format!("no route {}; /openapi.json lists all there are", request.uri().path());
    body::discard(request).await;
    Error::new(Code::RouteNotFound, message)
}

/// A path of the table with another method.
pub(super) async fn wrong_method(path: MatchedPath, request: Request) -> Response {
    let method = request.method().clone();
    body::discard(request).await;
    let allowed: Vec<String> = table().iter().filter(|route| route.path == path.as_str()).map(|route| route.method.to_string()).collect();
    let allowed = allowed.join(", ");
    let message = format!("{} does not take {method}; it takes {allowed}", path.as_str());
    let mut response = Error::new(Code::MethodNotAllowed, message).into_response();
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}
