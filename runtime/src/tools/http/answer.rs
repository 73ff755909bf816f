//! What an answer means to a job.
//!
//! | status | kind |
//! |---|---|
//! | 2xx, 3xx | no error |
//! | 404, 410 | `not-found` |
//! | 409, 412 | `conflict` |
//! | 425, 429 | `unavailable`: the other side says that it did not begin |
//! | 408, 502, 503, 504 | `unavailable`; of a once call `timeout`, since something in between may have spoken |
//! | other 5xx | `unavailable`; for a once call `failed`: the server itself says that it failed |
//! | other 4xx | `failed` |
//!
//! The rule that must stay true: a once call is told `unavailable` only where nothing happened.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, ToolError};
use crate::json::{self, Json};
use crate::limits;

use super::headers;

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What was asked in the end, for messages.
    pub(super) line: String,
    pub(super) effect: Effect,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    /// The tool's output, or what the status says instead.
    pub(super) fn outcome(self) -> Result<Value, ToolError> {
        let line = &self.line;
        if let Some(kind) = error_kind(self.status, self.effect) {
            let known = if kind == ErrorKind::Timeout { "; whether it took effect is not known" } else { "" };
            let message = format!("{line} was answered with {}{known}", self.status);
            return Err(ToolError { kind, message, detail: Some(self.detail()) });
        }
        let (status, body) = (self.status, self.parsed());
        // The other side did what it was asked; only its answer cannot be passed on.
        let body = body.map_err(|why| {
            let detail = Json::from(&json!({ "status": status }));
            ToolError { detail: Some(detail), ..ToolError::new(ErrorKind::Failed, format!("{line} was answered with {status}, but {why}")) }
        })?;
        Ok(json!({ "status": status, "headers": headers::shown(&self.headers), "body": body }))
    }

    fn parsed(&self) -> Result<Value, String> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        let Ok(text) = str::from_utf8(&self.body) else { return Err("the body is not UTF-8 text".to_owned()) };
        if !self.says_json() {
            return Ok(Value::String(text.to_owned()));
        }
        // The output stands around it, and must itself be JSON that is taken everywhere.
        json::parse_within(text.as_bytes(), limits::JSON_DEPTH_MAX - 1)
            .map_err(|e| format!("its JSON body is not JSON as it is taken here: {}", e.message))
    }

    fn says_json(&self) -> bool {
        self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(headers::is_json)
    }

    /// What the other side said of its refusal; as text, and cut, where it is not small JSON.
    fn detail(&self) -> Json {
        let small = self.body.len() <= limits::HTTP_ERROR_BODY_BYTES_MAX;
        let parsed = json::parse_within(&self.body, limits::HTTP_ERROR_BODY_DEPTH_MAX).ok().filter(|_| small && self.says_json());
        let body = parsed.unwrap_or_else(|| {
            let bytes = &self.body[..self.body.len().min(limits::HTTP_ERROR_BODY_BYTES_MAX)];
            if bytes.is_empty() { Value::Null } else { Value::String(String::from_utf8_lossy(bytes).into_owned()) }
        });
        Json::from(&json!({ "status": self.status, "headers": headers::shown(&self.headers), "body": body }))
    }
}

fn error_kind(status: u16, effect: Effect) -> Option<ErrorKind> {
    let once = effect == Effect::Once;
    match status {
        0..400 => None,
        404 | 410 => Some(ErrorKind::NotFound),
        409 | 412 => Some(ErrorKind::Conflict),
        // The other side says of itself that it did not begin.
        425 | 429 => Some(ErrorKind::Unavailable),
        // Something in between may say these after the request was passed on.
        408 | 502..=504 if once => Some(ErrorKind::Timeout),
        408 => Some(ErrorKind::Unavailable),
        500.. if !once => Some(ErrorKind::Unavailable),
        _ => Some(ErrorKind::Failed),
    }
}
