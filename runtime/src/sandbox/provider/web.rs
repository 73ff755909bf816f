//! `wasi:http` for tools: every request is handed, whole, to the door that decides.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::reach::{Web, WebAnswer, WebRefusal, WebRequest};
use crate::limits;

/// Sends what a guest wants sent.
pub(super) struct Hooks {
    pub(super) web: Option<Arc<dyn Web>>,
    /// Why requests were refused, for the tool's log.
    pub(super) log: super::log::Log,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Io) -> Sent {
        let (web, log) = (self.web.clone(), self.log.clone());
        Box::new(async move {
            let Some(web) = web else {
                log.write(b"[denied] this tool has no http grant; a request was not sent\n");
                return Err(Error::HttpRequestDenied);
            };
            let answer = web.send(whole(request, options).await?).await.map_err(|refusal| told(&log, refusal))?;
            Ok((response(answer)?, Box::new(std::future::ready(Ok(()))) as Io))
        })
    }

    /// A guest names the place to go by the request's authority; the gate writes the header.
    fn set_host_header(&mut self) -> bool {
        false
    }
}

async fn whole(request: Request<WasiBody>, options: Option<RequestOptions>) -> Result<WebRequest, Error> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, limits::HTTP_REQUEST_BYTES_MAX).collect().await.map_err(|e| match e.is::<LengthLimitError>() {
        true => Error::HttpRequestBodySize(Some(limits::HTTP_REQUEST_BYTES_MAX as u64 + 1)),
        false => Error::InternalError(Some("the request's body broke off".to_owned())),
    })?;
    let timeout = options.and_then(|o| o.first_byte_timeout);
    Ok(WebRequest {
        method: parts.method.as_str().to_owned(),
        url: parts.uri.to_string(),
        headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: body.to_bytes().to_vec(),
        timeout,
    })
}

/// The guest gets a code; the words go to its log, for whoever reads it.
fn told(log: &super::log::Log, refusal: WebRefusal) -> Error {
    let (error, words) = match refusal {
        WebRefusal::Denied(why) => (Error::HttpRequestDenied, format!("[denied] {why}")),
        WebRefusal::Malformed(why) => (Error::HttpRequestUriInvalid, format!("[refused] {why}")),
        WebRefusal::Unreachable(why) => (Error::DestinationUnavailable, format!("[unreachable] {why}")),
        WebRefusal::Late => (Error::HttpResponseTimeout, "[late] no answer in time".to_owned()),
        WebRefusal::TooLarge => (Error::HttpResponseBodySize(None), "[too large] the answer is larger than what is read".to_owned()),
        WebRefusal::Broken(why) => (Error::ConnectionTerminated, format!("[broken] {why}")),
    };
    log.write(words.as_bytes());
    log.write(b"\n");
    error
}

fn response(answer: WebAnswer) -> Result<Response<WasiBody>, Error> {
    let mut built = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        built = built.header(name, value);
    }
    let body = Full::new(Bytes::from(answer.body)).map_err(|never| match never {}).boxed_unsync();
    built.body(body).map_err(|e| Error::InternalError(Some(e.to_string())))
}
