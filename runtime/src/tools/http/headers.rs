//! Which headers a job may send, which ones are the host's, and which of an answer's a job sees.
//!
//! The rule that must stay true: no header of a job changes where a request goes, what its method is, where its body
//! ends, or which key it carries.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::contract::{ErrorKind, ToolError};
use crate::limits;

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

/// The headers of a request, checked.
pub(super) fn checked(given: &Map<String, Value>, key_header: Option<&str>) -> Result<HeaderMap, ToolError> {
    let wrong = |why: String| ToolError::new(ErrorKind::InvalidInput, why);
    if given.len() > limits::HTTP_HEADERS_MAX {
        return Err(wrong(format!("there are {} headers; a request has at most {}", given.len(), limits::HTTP_HEADERS_MAX)));
    }
    let mut headers = HeaderMap::new();
    let mut bytes = 0;
    for (name, value) in given {
        let shown: String = name.chars().take(limits::HTTP_HEADER_NAME_CHARS_MAX).collect();
        let lower = name.to_ascii_lowercase();
        if is_ours(&lower) || key_header.is_some_and(|key| key.eq_ignore_ascii_case(name)) {
            return Err(wrong(format!("the header {shown:?} is set by Reprise or not at all; leave it out")));
        }
        let parsed = HeaderName::from_bytes(lower.as_bytes()).ok().filter(|_| name.len() <= limits::HTTP_HEADER_NAME_CHARS_MAX);
        let Some(parsed) = parsed else { return Err(wrong(format!("{shown:?} is not the name of a header"))) };
        let value = value.as_str().unwrap_or_default();
        bytes += name.len() + value.len();
        if bytes > limits::HTTP_HEADER_BYTES_MAX {
            return Err(wrong(format!("the headers have more than {} bytes together", limits::HTTP_HEADER_BYTES_MAX)));
        }
        // Its value may be a secret, so it is not shown.
        let fits = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        let Some(value) = HeaderValue::from_str(value).ok().filter(|_| fits) else {
            return Err(wrong(format!("the value of the header {shown:?} holds something else than visible ASCII, spaces and tabs")));
        };
        if headers.insert(parsed, value).is_some() {
            return Err(wrong(format!("the header {shown:?} stands twice; names are the same in upper and lower case")));
        }
    }
    Ok(headers)
}

/// The body's bytes, and the content type where the job named none.
pub(super) fn write_body(body: Value, headers: &mut HeaderMap) -> Result<Vec<u8>, ToolError> {
    let wrong = |why: String| ToolError::new(ErrorKind::InvalidInput, why);
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
pub(super) fn put_key(headers: &mut HeaderMap, key_header: Option<&str>, key: &str) -> Result<(), ToolError> {
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

    fn refusal(headers: Value, key_header: Option<&str>) -> String {
        checked(headers.as_object().unwrap(), key_header).unwrap_err().to_string()
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
        assert!(checked(json!({ "x-key": "mine" }).as_object().unwrap(), None).is_ok());
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
        assert!(checked(&many, None).unwrap_err().message.contains("at most 64"));
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
