//! One request over one connection, and its answer, bounded while it comes.
//!
//! It does not know what a status means, nor how a connection is set up.
//! The rule that must stay true: an error says whether the request may have been sent.

use reqwest::header::LOCATION;

use crate::limits;
use crate::outbound::reason;

use super::gate::Hop;
use super::names::Forbidden;
use super::secret::Outgoing;
use super::{Answered, Method};

/// What came.
pub(super) enum Came {
    Answer(Answered),
    /// It is to be asked there.
    Elsewhere(String),
}

/// What came instead of an answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The name leads where the grant does not let it; nothing was sent.
    Forbidden(String),
    /// No connection came about, so nothing was sent.
    NotSent(String),
    /// It may have been sent.
    Cut(String),
    /// An answer of this status began, and its body is larger than the limit.
    TooLarge(u16),
}

/// Sends it, and reads the answer. Dropping the future closes the connection.
pub(super) async fn exchange(client: &reqwest::Client, hop: &Hop, outgoing: Outgoing) -> Result<Came, Broken> {
    let method = match hop.method() {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
        Method::Post => reqwest::Method::POST,
        Method::Patch => reqwest::Method::PATCH,
    };
    let mut built = client.request(method, outgoing.url).headers(outgoing.headers);
    if let Some(body) = outgoing.body {
        built = built.body(body);
    }
    let mut response = built.send().await.map_err(|e| match Forbidden::within(&e) {
        Some(forbidden) => Broken::Forbidden(forbidden.to_string()),
        None if e.is_connect() || e.is_builder() => Broken::NotSent(reason(e)),
        None => Broken::Cut(reason(e)),
    })?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let place = headers.get(LOCATION).and_then(|place| place.to_str().ok());
    if let (301..=303 | 307 | 308, Some(place), true) = (status, place, hop.follows()) {
        return Ok(Came::Elsewhere(place.to_owned()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| Broken::Cut(reason(e)))? {
        if body.len() + chunk.len() > limits::HTTP_ANSWER_BYTES_MAX {
            return Err(Broken::TooLarge(status));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Came::Answer(Answered { line: hop.line(), effect: hop.effect(), status, headers, body }))
}
