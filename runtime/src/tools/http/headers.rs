//! Which headers a job may send, which ones are the host's, and which of an answer's a job sees.
//!
//! The rule that must stay true: no header of a job changes where a request goes, what its method is, where its body
//! ends, or which key it carries.

use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::contract::{ErrorKind, ToolError};
use crate::limits;

use super::HttpGrant;
use super::gate::{Key, Request};

/// Of an answer's headers, those that a caller can use and that do not say how the bytes came.
const SHOWN: [&str; 9] =
    ["allow", "content-language", "content-type", "etag", "last-modified", "link", "location", "retry-after", "x-request-id"];

/// How the message travels (hop by hop), which the host decides.
const TRAVEL: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What some servers take for another method, path or caller than the request line and the connection say.
const DISGUISE: [&str; 8] =
    ["forwarded", "via", "x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-real-ip", "x-rewrite-url"];

const DISGUISE_BEGINNINGS: [&str; 2] = ["proxy-", "x-forwarded-"];

/// What carries the key where the grant names nothing else.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// True for headers, in lower case, that no job sends.
pub(in crate::tools) fn is_ours(name: &str) -> bool {
    name == KEY.as_str()
        || TRAVEL.contains(&name)
        || DISGUISE.contains(&name)
        || DISGUISE_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// The headers that a job names, as they are sent: each once.
pub(super) fn named(given: &Map<String, Value>) -> Result<HeaderMap, ToolError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(format!("{:?} is not the name of a header", shortened(name))))?;
        let value = value.as_str().unwrap_or_default();
        let value = HeaderValue::from_str(value).ok().filter(is_plain).ok_or_else(|| not_plain(name))?;
        if headers.insert(parsed, value).is_some() {
            return Err(wrong(format!("the header {:?} stands twice; names are the same in upper and lower case", shortened(name))));
        }
    }
    Ok(headers)
}

/// The headers of a request as they are sent under this grant: the caller's, judged, and the call's key.
pub(super) fn of_request(request: &Request, grant: &HttpGrant) -> Result<HeaderMap, ToolError> {
    let mut headers = request.headers.clone();
    if request.key == Key::OfCaller {
        leave_out_what_libraries_add(&mut headers, request.body.as_ref().map_or(0, Vec::len));
    }
    judge(&headers, &request.key, grant.key_header.as_deref())?;
    match &request.key {
        Key::OfCall(key) if !request.method.looks() => put_key(&mut headers, grant.key_header.as_deref(), key)?,
        _ => {}
    }
    Ok(headers)
}

/// How long a body is, and how it may be packed, is said by whoever sends it in the end. A length that is wrong stays, and is refused.
fn leave_out_what_libraries_add(headers: &mut HeaderMap, body_bytes: usize) {
    headers.remove(ACCEPT_ENCODING);
    if headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == body_bytes.to_string().as_bytes()) {
        headers.remove(CONTENT_LENGTH);
    }
}

fn judge(headers: &HeaderMap, key: &Key, key_header: Option<&str>) -> Result<(), ToolError> {
    if headers.len() > limits::HTTP_HEADERS_MAX {
        return Err(wrong(format!("there are {} headers; a request has at most {}", headers.len(), limits::HTTP_HEADERS_MAX)));
    }
    let mut bytes = 0;
    for (name, value) in headers {
        let carries_key = *name == KEY || key_header.is_some_and(|key| key.eq_ignore_ascii_case(name.as_str()));
        let free = carries_key && *key == Key::OfCaller;
        if (carries_key || is_ours(name.as_str())) && !free {
            return Err(wrong(format!("the header {:?} is set by Reprise or not at all; leave it out", shortened(name.as_str()))));
        }
        if name.as_str().len() > limits::HTTP_HEADER_NAME_CHARS_MAX {
            return Err(wrong(format!("{:?} is not the name of a header", shortened(name.as_str()))));
        }
        bytes += name.as_str().len() + value.len();
        if bytes > limits::HTTP_HEADER_BYTES_MAX {
            return Err(wrong(format!("the headers have more than {} bytes together", limits::HTTP_HEADER_BYTES_MAX)));
        }
        if !is_plain(value) {
            return Err(not_plain(name.as_str()));
        }
        if headers.get_all(name).iter().count() > 1 {
            return Err(wrong(format!("the header {:?} stands twice", name.as_str())));
        }
    }
    Ok(())
}

pub(super) fn is_plain(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// Its value may be a secret, so it is not shown.
fn not_plain(name: &str) -> ToolError {
    wrong(format!("the value of the header {:?} holds something else than visible ASCII, spaces and tabs", shortened(name)))
}

fn shortened(name: &str) -> String {
    name.chars().take(limits::HTTP_HEADER_NAME_CHARS_MAX).collect()
}

fn wrong(why: String) -> ToolError {
    ToolError::new(ErrorKind::InvalidInput, why)
}

/// The body's bytes, and the content type where the job named none.
pub(super) fn write_body(body: Value, headers: &mut HeaderMap) -> Result<Vec<u8>, ToolError> {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let bytes = match (kind, body) {
        (Some(kind), Value::String(text)) if !is_json(kind) => text.into_bytes(),
        (Some(kind), _) if !is_json(kind) => {
            return Err(wrong(format!("the content-type is {kind:?}, so the body must be a string, which is sent as it is")));
        }
        (kind, body) => {
            if kind.is_none() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            body.to_string().into_bytes()
        }
    };
    if bytes.len() > limits::HTTP_REQUEST_BYTES_MAX {
        return Err(wrong(format!("the body has {} bytes; at most {} are sent", bytes.len(), limits::HTTP_REQUEST_BYTES_MAX)));
    }
    Ok(bytes)
}

/// True for `application/json` and whatever ends in `+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Adds the call's key under the name that the grant gives, or under the usual one.
fn put_key(headers: &mut HeaderMap, key_header: Option<&str>, key: &str) -> Result<(), ToolError> {
    let broken = || ToolError::new(ErrorKind::Broken, "the call's key cannot be sent in a header; this is a mistake in Reprise");
    let name = key_header.map_or(Ok(KEY), |name| HeaderName::from_bytes(name.as_bytes())).map_err(|_| broken())?;
    headers.insert(name, HeaderValue::from_str(key).map_err(|_| broken())?);
    Ok(())
}

/// What a job sees of an answer's headers. Those that stand twice are joined, as HTTP lets them be.
pub(super) fn shown(headers: &HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in SHOWN {
        let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let joined = values.join(", ");
        if !values.is_empty() && joined.len() <= limits::HTTP_HEADER_BYTES_MAX {
            shown.insert(name.to_owned(), Value::String(joined));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(headers: &Value, key_header: Option<&str>) -> Result<HeaderMap, ToolError> {
        let headers = named(headers.as_object().unwrap())?;
        judge(&headers, &Key::OfCall("k".to_owned()), key_header).map(|()| headers)
    }

    fn refusal(headers: Value, key_header: Option<&str>) -> String {
        checked(&headers, key_header).unwrap_err().to_string()
    }

    #[test]
    fn no_header_of_a_job_says_where_how_or_with_which_key() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "CONNECTION",
            "keep-alive",
            "TE",
            "trailer",
            "Upgrade",
            "Expect",
            "accept-encoding",
            "HTTP2-Settings",
            "Idempotency-Key",
            "idempotency-key",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Forwarded-Host",
            "x-forwarded-for",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "Proxy-Authorization",
            "proxy-connection",
        ] {
            assert!(refusal(json!({ name: "x" }), None).contains("leave it out"), "{name}");
        }
        assert!(refusal(json!({ "x-key": "mine" }), Some("X-Key")).contains("leave it out"));
        assert!(checked(&json!({ "x-key": "mine" }), None).is_ok());
    }

    #[test]
    fn a_header_is_one_line_with_a_name() {
        for (headers, says) in [
            (json!({ "": "x" }), "is not the name"),
            (json!({ "a b": "x" }), "is not the name"),
            (json!({ "a:": "x" }), "is not the name"),
            (json!({ "a\r\nb": "x" }), "is not the name"),
            (json!({ "é": "x" }), "is not the name"),
            (json!({ "host ": "x" }), "is not the name"),
            (json!({ "n".repeat(200): "x" }), "is not the name"),
            (json!({ "a": "x\r\nHost: evil" }), "visible ASCII"),
            (json!({ "a": "x\ny" }), "visible ASCII"),
            (json!({ "a": "x\u{0}" }), "visible ASCII"),
            (json!({ "a": "é" }), "visible ASCII"),
            (json!({ "A": "x", "a": "y" }), "stands twice"),
            (json!({ "a": "x".repeat(limits::HTTP_HEADER_BYTES_MAX) }), "bytes together"),
        ] {
            let refusal = refusal(headers.clone(), None);
            assert!(refusal.contains(says), "{headers}: {refusal}");
            assert!(refusal.len() < 400 && !refusal.contains("evil"), "{refusal}");
        }
        let many: Map<String, Value> = (0..=limits::HTTP_HEADERS_MAX).map(|n| (format!("h{n}"), json!(""))).collect();
        assert!(checked(&Value::Object(many), None).unwrap_err().message.contains("at most 64"));
    }

    #[test]
    fn a_body_is_json_unless_its_type_says_otherwise() {
        let write = |kind: Option<&str>, body: Value| {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            }
            let bytes = write_body(body, &mut headers).map_err(|e| e.message)?;
            Ok::<_, String>((headers[CONTENT_TYPE].to_str().unwrap().to_owned(), String::from_utf8(bytes).unwrap()))
        };
        let of = |kind: &str, text: &str| Ok((kind.to_owned(), text.to_owned()));
        assert_eq!(write(None, json!({ "b": 1, "a": null })), of("application/json", r#"{"a":null,"b":1}"#));
        assert_eq!(write(None, json!("text")), of("application/json", "\"text\""));
        assert_eq!(write(None, Value::Null), of("application/json", "null"));
        assert_eq!(write(Some("Application/JSON; charset=utf-8"), json!("a")), of("Application/JSON; charset=utf-8", "\"a\""));
        assert_eq!(write(Some("application/merge-patch+json"), json!([1])), of("application/merge-patch+json", "[1]"));
        assert_eq!(write(Some("text/plain"), json!("a\nb")), of("text/plain", "a\nb"));
        assert!(write(Some("text/plain"), json!({})).unwrap_err().contains("must be a string"));
        assert!(write(None, json!("x".repeat(limits::HTTP_REQUEST_BYTES_MAX))).unwrap_err().contains("at most"));
    }
}
