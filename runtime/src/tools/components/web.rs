//! The way out for components: their requests, through the gate of the `http` tools.

use std::time::Duration;

use reqwest::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use crate::limits;
use crate::sandbox::{Reached, Web, WebAnswer, WebRefusal, WebRequest};
use crate::tools::http::Answered;
use crate::tools::http::gate::{Gate, Key, Lost, Request, Why};
use crate::tools::{Grants, Method};

/// What the component's namespace was granted.
pub(super) struct Door {
    pub(super) gate: Gate,
    pub(super) grants: Grants,
}

impl Web for Door {
    fn send(&self, request: WebRequest) -> Reached<Result<WebAnswer, WebRefusal>> {
        let (gate, grants) = (self.gate.clone(), self.grants.clone());
        Box::pin(async move { Ok(answer(gate.send(read(request)?, &grants).await.map_err(refusal)?)) })
    }
}

fn read(request: WebRequest) -> Result<Request, WebRefusal> {
    let method = Method::parse(&request.method).map_err(|e| WebRefusal::Denied(e.message))?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers {
        let pair = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, value) = pair.ok_or_else(|| WebRefusal::Malformed(format!("the header {name:?} cannot be sent")))?;
        headers.append(name, value);
    }
    let time = request.timeout.unwrap_or(Duration::from_millis(limits::HTTP_TIMEOUT_MS_DEFAULT));
    Ok(Request {
        method,
        url: request.url,
        headers,
        body: (!request.body.is_empty()).then_some(request.body),
        time: time.min(Duration::from_millis(limits::HTTP_TIMEOUT_MS_MAX)),
        redirects: 0,
        key: Key::OfCaller,
    })
}

/// The body is whole, so what said how it came in pieces is left out.
fn answer(answered: Answered) -> WebAnswer {
    let passed = |name: &HeaderName| *name != CONNECTION && *name != TRANSFER_ENCODING;
    let headers = answered.headers.iter().filter(|(name, _)| passed(name));
    WebAnswer {
        status: answered.status,
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: answered.body,
    }
}

fn refusal(lost: Lost) -> WebRefusal {
    let why = lost.error.message;
    match lost.why {
        Why::Malformed => WebRefusal::Malformed(why),
        Why::Denied => WebRefusal::Denied(why),
        Why::NotSent => WebRefusal::Unreachable(why),
        Why::Cut | Why::Redirects => WebRefusal::Broken(why),
        Why::Late => WebRefusal::Late,
        Why::TooLarge => WebRefusal::TooLarge,
    }
}
