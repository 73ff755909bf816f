//! One request over one connection, and its answer, bounded while it comes.
//!
//! It does not know what a status means, nor how a connection is set up.
//! The rule that must stay true: an error says whether the request may have been sent.

use std::time::Duration;

use crate::contract::{Effect, ErrorKind, ToolError};
use crate::limits;
use crate::outbound::{client, reason};

use super::answer::Answered;
use super::{Method, Request};

/// What came instead of an answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// No connection came about, so nothing was sent.
    NotSent(String),
    /// It may have been sent.
    Sent(String),
    /// The time was over; it may have been sent.
    Late(Duration),
    /// An answer of this status began, and its body is larger than the limit.
    TooLarge(u16),
}

impl Lost {
    /// As the job sees it; `line` says what was asked.
    pub(super) fn told(self, line: &str, effect: Effect) -> ToolError {
        let known = if effect.touches_nothing() { "" } else { "; whether it took effect is not known" };
        let (kind, text) = match self {
            Lost::NotSent(why) => (ErrorKind::Unavailable, format!("{line} could not be sent: {why}; nothing was sent")),
            // Nothing was to be changed, so that trying again is all there is to do.
            Lost::Sent(why) if effect.touches_nothing() => (ErrorKind::Unavailable, format!("{line} got no whole answer: {why}")),
            Lost::Sent(why) => (ErrorKind::Timeout, format!("{line} got no whole answer: {why}{known}")),
            Lost::Late(time) => (ErrorKind::Timeout, format!("{line} was not answered within {} ms{known}", time.as_millis())),
            Lost::TooLarge(status) => {
                let max = limits::HTTP_ANSWER_BYTES_MAX;
                (ErrorKind::Failed, format!("{line} was answered with {status} and a body of more than the {max} bytes that are read"))
            }
        };
        ToolError::new(kind, text)
    }
}

/// Sends it, and reads the answer. Dropping the future closes the connection.
pub(super) async fn send(request: Request) -> Result<Answered, Lost> {
    let time = request.time;
    tokio::time::timeout(time, exchange(request)).await.unwrap_or(Err(Lost::Late(time)))
}

async fn exchange(request: Request) -> Result<Answered, Lost> {
    let client = client(request.target.url.scheme()).map_err(|why| Lost::NotSent(format!("no connection can be made from here: {why}")))?;
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
        Method::Post => reqwest::Method::POST,
    };
    let mut built = client.request(method, request.target.url).headers(request.headers);
    if let Some(body) = request.body {
        built = built.body(body);
    }
    let mut response = built.send().await.map_err(|e| match e.is_connect() || e.is_builder() {
        true => Lost::NotSent(reason(e)),
        false => Lost::Sent(reason(e)),
    })?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| Lost::Sent(reason(e)))? {
        if body.len() + chunk.len() > limits::HTTP_ANSWER_BYTES_MAX {
            return Err(Lost::TooLarge(status));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answered { status, headers, body })
}
