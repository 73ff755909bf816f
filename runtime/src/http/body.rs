//! What a client sent, read within bounds.
//!
//! A body that is too long is read to its end and thrown away, up to a bound of its own, before the refusal goes
//! out: a client that writes first and reads later would otherwise see a reset connection instead of the reason.
//! It knows sizes and times; what a document means is the caller's.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use serde_json::Value;

use super::caller;
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::fields::Fields;
use crate::ids::Space;
use crate::{blocking, json, limits};

/// A JSON object, whose it is and who says to have sent it.
pub(super) struct Posted {
    pub space: Space,
    pub actor: Option<String>,
    pub body: Value,
}

impl Posted {
    /// Its fields. Those that any route has are asked for already.
    pub(super) fn fields(&self) -> Result<Fields<'_>> {
        let mut fields = Fields::of(&self.body, "")?;
        for of_any_route in ["tenant_id", "scope", "actor"] {
            fields.has(of_any_route);
        }
        Ok(fields)
    }

    /// Who is to stand in the journal as the one who asked for it.
    pub(super) fn by(&self) -> String {
        self.actor.clone().unwrap_or_else(|| Engine::SOMEONE.to_owned())
    }
}

impl<S: Sync> FromRequest<S> for Posted {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let kind = expect_kind(request.headers(), &["application/json"]);
        let bytes = read(request, limits::HTTP_BODY_BYTES_MAX).await?;
        kind?;
        let body = match bytes.len() {
            0..=limits::HTTP_PARSE_HERE_BYTES_MAX => json::parse(&bytes)?,
            _ => blocking::run(move || json::parse(&bytes)).await?,
        };
        let Some(fields) = body.as_object() else {
            return Err(Error::invalid("", "the body is JSON, but not an object; send {\"field\": value, ...}"));
        };
        let (space, actor) = caller::of_body(fields)?;
        Ok(Posted { space, actor, body })
    }
}

/// The bytes of a component.
pub(super) struct Component(pub Vec<u8>);

impl<S: Sync> FromRequest<S> for Component {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let kind = expect_kind(request.headers(), &["application/wasm", "application/octet-stream"]);
        let bytes = read(request, limits::COMPONENT_BYTES_MAX).await?;
        kind?;
        Ok(Component(bytes.into()))
    }
}

/// Takes what a route has no use for, so that the client gets to its answer.
pub(super) async fn discard(request: Request) {
    let _ = read(request, 0).await;
}

/// The declared type must be one of `kinds`. This is also what keeps web pages out: a browser sends these types
/// across origins only after asking, and it is never told yes.
fn expect_kind(headers: &HeaderMap, kinds: &[&str]) -> Result<()> {
    let declared = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let kind = declared.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    if kinds.contains(&kind.as_str()) {
        return Ok(());
    }
    let found = declared.map_or("there is none".to_owned(), |value| format!("it is {value:?}"));
    Err(Error::invalid("content-type", format!("{found}; send the header \"content-type: {}\"", kinds[0])))
}

async fn read(request: Request, bytes_max: usize) -> Result<Bytes> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let waits_for_leave = request.headers().contains_key(EXPECT);
    let too_long = declared.is_some_and(|n| n > bytes_max as u64);
    if too_long && waits_for_leave {
        return Err(too_large(bytes_max));
    }
    collect(request.into_body(), bytes_max, limits::HTTP_REQUEST_TIME_MAX).await
}

async fn collect(body: Body, bytes_max: usize, time_max: Duration) -> Result<Bytes> {
    match tokio::time::timeout(time_max, gather(body, bytes_max)).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Code::RequestTooSlow, format!("the body did not arrive within {} s", time_max.as_secs_f32()))),
    }
}

async fn gather(mut body: Body, bytes_max: usize) -> Result<Bytes> {
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    // The usual request comes in one piece and is not copied.
    if body.is_end_stream() && first.len() <= bytes_max {
        return Ok(first);
    }
    let mut all = Vec::from(first);
    while all.len() <= bytes_max {
        match next(&mut body).await? {
            Some(more) => all.extend_from_slice(&more),
            None => return Ok(all.into()),
        }
    }
    let mut drained = all.len();
    drop(all);
    while let Some(more) = next(&mut body).await.ok().flatten() {
        drained += more.len();
        if drained > bytes_max + limits::HTTP_DRAIN_BYTES_MAX {
            break;
        }
    }
    Err(too_large(bytes_max))
}

/// The next bytes of the body; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(e)) => return Err(Error::invalid("", format!("the body did not arrive whole: {e}"))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(Code::TooLarge, format!("the body has more than {bytes_max} bytes, as many as this route takes"))
        .with_details(serde_json::json!({ "bytes_max": bytes_max }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up_on() {
        use tokio::io::AsyncWriteExt as _;
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = std::sync::Arc::new(std::sync::Mutex::new(Some(tell)));
        let handler = move |request: Request| async move {
            let collected = collect(request.into_body(), 10, Duration::from_millis(5)).await;
            tell.lock().unwrap().take().unwrap().send(collected).unwrap();
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123").await.unwrap();
        let router = axum::Router::new().route("/", axum::routing::post(handler));
        let told = tokio::time::timeout(Duration::from_secs(20), told);
        let collected = tokio::select! {
            collected = told => collected.expect("it gives up").unwrap(),
            ended = async { axum::serve(listener, router).await } => panic!("{ended:?}"),
        };
        assert_eq!(collected.unwrap_err().code, Code::RequestTooSlow);
    }

    #[tokio::test]
    async fn the_last_byte_that_fits_and_the_first_that_does_not() {
        let collected = |text: &'static str| collect(Body::from(text), 4, Duration::from_secs(5));
        assert_eq!(collected("").await.unwrap(), "");
        assert_eq!(collected("1234").await.unwrap(), "1234");
        let error = collected("12345").await.unwrap_err();
        assert!(error.code == Code::TooLarge && error.message.contains("more than 4 bytes"), "{error}");
    }
}
