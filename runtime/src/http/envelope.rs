//! Every answer that is no success: one envelope, and the request's name on every answer.
//!
//! Its job: class to status, error to body, panic to error. It knows no route. The rule: what a client may not
//! know (a path, a panic's text, another tenant's key) goes to the log under the request's id, and the client
//! gets the id.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::error::{Class, Code, Error, Issue};
use crate::{ids, limits};

/// Names a request, in its answer and in the log. A client may choose it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The body of every answer that is no success.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope<'a> {
    /// The HTTP status.
    status: u16,
    /// A stable code; branch on this.
    error: &'a str,
    /// What was wrong, where, and what would be right; for people.
    message: &'a str,
    /// Values for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    /// Each place of the request that is wrong.
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
}

/// An error on its way out; [`answer`] makes the body of it, since only that knows the request.
#[derive(Clone)]
struct Refused(Error);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = status(self.code.class()).into_response();
        response.extensions_mut().insert(Refused(self));
        response
    }
}

/// The status of a class.
pub(super) fn status(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Class::Conflict => StatusCode::CONFLICT,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Around everything: gives each request its name, and each error its body.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = next.run(request).await;
    if let Some(Refused(error)) = response.extensions_mut().remove::<Refused>() {
        let id = id.to_str().unwrap_or_default();
        if is_ours(error.code) {
            tracing::error!(request = id, %method, path = uri.path(), details = ?error.details, "{error}");
        }
        let class = error.code.class();
        *response.body_mut() = Body::from(body(error, id));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if class == Class::Unauthenticated {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if class == Class::Unavailable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// What a panic in a handler becomes.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::new(Code::InternalError, format!("a handler panicked: {}", text.unwrap_or("without a message"))).into_response()
}

fn body(error: Error, request: &str) -> Vec<u8> {
    let code = error.code;
    let (message, details, issues) = if is_ours(code) {
        let meaning = code.meaning().trim_end_matches('.');
        (format!("{meaning}; the log has the rest under request {request}"), Some(json!({ "request_id": request })), Vec::new())
    } else {
        // Aionis' clients look for the contract's name here.
        let contract = (code == Code::InvalidRequest).then(|| json!({"contract": "error_v1"}));
        (error.message, error.details.or(contract), error.issues)
    };
    let envelope = Envelope { status: status(code.class()).as_u16(), error: code.as_str(), message: &message, details, issues: &issues };
    serde_json::to_vec(&envelope).expect("text, numbers and JSON print")
}

/// True where the message may speak of the host's files or of our own workings.
fn is_ours(code: Code) -> bool {
    code.class() == Class::Internal
        || matches!(code, Code::StoreUnavailable | Code::StorePoisoned | Code::DataDirInUse | Code::DataDirTooNew | Code::CannotListen)
}

/// The client's own name for its request where it gave a plain one, or a new one.
fn request_id(request: &Request) -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    /// Tells the requests of one process from those of the next.
    static PROCESS: OnceLock<u64> = OnceLock::new();
    let plain = |id: &&HeaderValue| (1..=limits::ID_CHARS_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if let Some(given) = request.headers().get(REQUEST_ID).filter(plain) {
        return given.clone();
    }
    let process = PROCESS.get_or_init(ids::random_u64);
    let id = format!("{process:016x}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).expect("hex digits, a dash and digits are a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_stays_ours() {
        for code in Code::ALL.iter().copied().filter(|code| is_ours(*code)) {
            let error = Error::new(code, "/secret/path is full")
                .with_details(json!({"path": "/secret"}))
                .with_issues(vec![Issue { path: "/secret".to_owned(), message: "secret".to_owned() }]);
            let text = String::from_utf8(body(error, "r-1")).unwrap();
            assert!(!text.contains("secret") && text.contains("r-1") && text.contains(code.as_str()), "{text}");
        }
        let theirs = String::from_utf8(body(Error::invalid("/goal", "is missing"), "r-1")).unwrap();
        assert!(theirs.contains("is missing") && theirs.contains("error_v1") && !theirs.contains("r-1"), "{theirs}");
    }
}
