//! Secrets in a request: put in at the last moment, where a grant lets them stand, and taken out of what comes back.
//!
//! A caller writes `{{secret:NAME}}`, and so does the journal. What this makes of it goes over the wire and is kept nowhere. It does
//! not know how a request is sent, nor whether its URL is covered: the `http` grant that covers it is given.
//!
//! | place | a placeholder there is read | the value is written |
//! |---|---|---|
//! | `header:NAME` | as it stands | as it is; visible ASCII, spaces and tabs |
//! | `query:NAME` | also percent-encoded | percent-encoded |
//! | `body`, JSON | also escaped | as the inside of a JSON string |
//! | `body`, a form | also percent-encoded | percent-encoded |
//! | `body`, anything else | as it stands | as it is |
//!
//! The rule that must stay true: a placeholder is replaced or the request is refused; it is never sent as text, and a value never
//! goes where no `secret` grant of this `http` grant says so.

use std::borrow::Cow;
use std::ops::Range;

use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::de::IgnoredAny;

use crate::blocking;
use crate::contract::{ErrorKind, ToolError};
use crate::ids::SecretName;
use crate::limits;
use crate::secrets::{Coding, Found, Known, Scrubber, placeholder, placeholders_without};

use super::super::grants::Place;
use super::{Grants, HttpGrant, headers};

/// A request as it goes over the wire.
pub(super) struct Outgoing {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    /// True where a secret is in it.
    pub(super) carries: bool,
}

/// What may be put where.
struct Filler<'a> {
    known: &'a Known,
    grants: &'a Grants,
    http: &'a HttpGrant,
    carries: bool,
}

/// With each placeholder replaced.
///
/// # Errors
/// `denied` where a grant or the secret is missing, or a placeholder stands where none may be; `failed` where the value does not fit its
/// place; `invalid-input` for what begins like a placeholder and is none.
pub(super) fn filled(
    known: &Known,
    grants: &Grants,
    http: &HttpGrant,
    mut url: Url,
    mut headers: HeaderMap,
    body: Option<&[u8]>,
) -> Result<Outgoing, ToolError> {
    let mut filler = Filler { known, grants, http, carries: false };
    nowhere(url.host_str().unwrap_or_default(), "the host of the URL")?;
    nowhere(url.path(), "the path of the URL")?;
    if let Some(query) = filler.query(url.query().unwrap_or_default())? {
        url.set_query(Some(&query));
        if url.as_str().len() > limits::HTTP_URL_BYTES_MAX {
            return Err(too_long("URL", limits::HTTP_URL_BYTES_MAX));
        }
    }
    filler.headers(&mut headers)?;
    let body = body.map(|body| filler.body(body, headers.get(CONTENT_TYPE))).transpose()?;
    Ok(Outgoing { url, headers, body, carries: filler.carries })
}

impl Filler<'_> {
    /// None where it stays as it is.
    fn query(&mut self, query: &str) -> Result<Option<String>, ToolError> {
        let mut changed = false;
        let mut pairs = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
            nowhere(name, "a name in the query of the URL")?;
            let decoded = percent_decoded(name);
            let shown = format!("{decoded} in the query of the URL");
            match self.replaced(value.unwrap_or_default().as_bytes(), Some(Coding::Percent), &Place::Query(decoded), &shown)? {
                Some(value) => {
                    changed = true;
                    // All of it was text of a URL, and what was put in is percent-encoded.
                    pairs.push(format!("{name}={}", String::from_utf8_lossy(&value)));
                }
                None => pairs.push(pair.to_owned()),
            }
        }
        Ok(changed.then(|| pairs.join("&")))
    }

    fn headers(&mut self, headers: &mut HeaderMap) -> Result<(), ToolError> {
        let mut bytes = 0;
        for (name, value) in headers.iter_mut() {
            let shown = format!("the header {:?}", name.as_str());
            if let Some(filled) = self.replaced(value.as_bytes(), None, &Place::Header(name.as_str().to_owned()), &shown)? {
                let mut filled = HeaderValue::from_bytes(&filled).ok().filter(headers::is_plain).ok_or_else(|| {
                    let why =
                        format!("a secret in {shown} holds something else than visible ASCII, spaces and tabs, so it cannot stand there");
                    ToolError::new(ErrorKind::Failed, why)
                })?;
                filled.set_sensitive(true);
                *value = filled;
            }
            bytes += name.as_str().len() + value.len();
        }
        if bytes > limits::HTTP_HEADER_BYTES_MAX { Err(too_long("headers", limits::HTTP_HEADER_BYTES_MAX)) } else { Ok(()) }
    }

    fn body(&mut self, body: &[u8], kind: Option<&HeaderValue>) -> Result<Vec<u8>, ToolError> {
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let coding = match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            _ if headers::is_json(kind) => Some(Coding::Json),
            "application/x-www-form-urlencoded" => Some(Coding::Percent),
            _ => None,
        };
        let filled = self.replaced(body, coding, &Place::Body, "the body")?.unwrap_or_else(|| body.to_vec());
        if filled.len() > limits::HTTP_REQUEST_BYTES_MAX { Err(too_long("body", limits::HTTP_REQUEST_BYTES_MAX)) } else { Ok(filled) }
    }

    /// `text` with its placeholders replaced, or none where it has none. `shown` names the place for people.
    fn replaced(&mut self, text: &[u8], coding: Option<Coding>, place: &Place, shown: &str) -> Result<Option<Vec<u8>>, ToolError> {
        let mut filled = Vec::new();
        let mut done = 0;
        for Found { at: Range { start, end }, name } in placeholders_without(text, coding) {
            let name = name.ok_or_else(|| broken(shown))?;
            let value = self.value(&name, place, shown)?;
            filled.extend_from_slice(&text[done..start]);
            match coding {
                Some(Coding::Json) => filled.extend_from_slice(json_escaped(value).as_bytes()),
                Some(_) => filled.extend_from_slice(percent_encoded(value).as_bytes()),
                None => filled.extend_from_slice(value.as_bytes()),
            }
            done = end;
            self.carries = true;
        }
        if done == 0 {
            return Ok(None);
        }
        filled.extend_from_slice(&text[done..]);
        Ok(Some(filled))
    }

    /// The value, where a grant lets it stand there.
    fn value(&self, name: &SecretName, place: &Place, shown: &str) -> Result<&str, ToolError> {
        let denied = |why: String| ToolError::new(ErrorKind::Denied, why);
        let holds = format!("{shown} holds {}", placeholder(name));
        let mut granted = self.grants.secrets(&self.http.name).filter(|grant| grant.secret.as_str() == name.as_str());
        if !granted.any(|grant| grant.place == *place) {
            let http = &self.http.name;
            return Err(denied(format!(
                "{holds}, and no grant lets that secret stand there toward {http}; an operator gives one with \
                 --grant secret:{name}@{http}={place} or in reprise.toml"
            )));
        }
        // Only whoever holds a grant of it learns that it is missing.
        let missing =
            || denied(format!("{holds}, and no secret of this name is set; an operator sets it with `reprise secrets set {name}`"));
        self.known.reveal(name).ok_or_else(missing)
    }
}

/// No secret stands here, whatever is granted.
fn nowhere(text: &str, place: &str) -> Result<(), ToolError> {
    match placeholders_without(text.as_bytes(), Some(Coding::Percent)).first() {
        None => Ok(()),
        Some(Found { name: None, .. }) => Err(broken(place)),
        Some(Found { name: Some(name), .. }) => {
            let why = format!("{place} holds {}; a secret goes into a header, a value of the query or the body", placeholder(name));
            Err(ToolError::new(ErrorKind::Denied, why))
        }
    }
}

fn broken(place: &str) -> ToolError {
    let why = format!("{place} holds the beginning of a placeholder without its end; a placeholder is {{{{secret:NAME}}}}");
    ToolError::new(ErrorKind::InvalidInput, why)
}

/// Without a number: it would tell how long the secret is.
fn too_long(what: &str, max: usize) -> ToolError {
    ToolError::new(ErrorKind::Failed, format!("with its secrets put in, the {what} of the request would have more than {max} bytes"))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        match digits.and_then(|digits| hex::decode(digits).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All but what is plain everywhere.
fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What stands between the quotation marks.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What came back, and may hold a secret.
pub(super) struct Came<'a> {
    pub(super) headers: &'a mut HeaderMap,
    pub(super) body: &'a mut Vec<u8>,
}

/// Takes the secrets out of an answer.
///
/// # Errors
/// Why that cannot be done. Only of an answer to a request that `carries` one.
pub(super) async fn scrubbed(known: &std::sync::Arc<Known>, carries: bool, came: Came<'_>) -> Result<(), String> {
    let scrubber = known.scrubber();
    if scrubber.is_empty() {
        return Ok(());
    }
    let packed = came.headers.get(CONTENT_ENCODING).filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if carries && packed.is_some() && !came.body.is_empty() {
        return Err("its body is compressed, though that was not asked for, so that the secret in it could not be found".to_owned());
    }
    for value in came.headers.values_mut() {
        if let Cow::Owned(clean) = scrubber.bytes(value.as_bytes()) {
            // A placeholder is plain, and the rest was a header's value before.
            *value = HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
    }
    let is_json = came.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(headers::is_json);
    let body = std::mem::take(came.body);
    let before = body.len();
    *came.body = if before > limits::SCRUB_HERE_BYTES_MAX {
        let known = std::sync::Arc::clone(known);
        blocking::run(move || clean_body(known.scrubber(), body, is_json)).await
    } else {
        clean_body(scrubber, body, is_json)
    };
    if came.body.len() != before && came.headers.contains_key(CONTENT_LENGTH) {
        came.headers.insert(CONTENT_LENGTH, HeaderValue::from(came.body.len()));
    }
    Ok(())
}

fn clean_body(scrubber: &Scrubber, body: Vec<u8>, is_json: bool) -> Vec<u8> {
    let clean = match scrubber.bytes(&body) {
        Cow::Borrowed(_) => return body,
        Cow::Owned(clean) => clean,
    };
    if is_json && serde_json::from_slice::<IgnoredAny>(&clean).is_err() {
        // The secret stood there as a number, which becomes a string.
        if let Ok(value) = serde_json::from_slice(&body) {
            return scrubber.value(value).to_string().into_bytes();
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::header::HeaderName;

    use super::super::super::Grant;
    use super::super::super::grants::Method;
    use super::*;

    const TOKEN: &str = "sk-live.4242";
    const ODD: &str = "p\"\\ ä&=%\n?";

    fn known() -> Known {
        Known::for_test(&[("token", TOKEN), ("odd", ODD), ("long", &"x".repeat(limits::HTTP_HEADER_BYTES_MAX))])
    }

    fn grants() -> Grants {
        let flags = [
            "http:https://pay.example=GET,POST",
            "http:https://other.example=GET,POST",
            "secret:token@pay.example=header:Authorization",
            "secret:t2@pay.example=header:authorization",
        ];
        let mut all: Vec<Grant> = flags.iter().map(|flag| Grant::parse_flag(flag).unwrap()).collect();
        let places = [
            ("token", "query:key"),
            ("token", "body"),
            ("odd", "query:q"),
            ("odd", "body"),
            ("odd", "header:x-odd"),
            ("long", "header:x-long"),
        ];
        all.extend(places.iter().enumerate().map(|(n, (secret, place))| {
            let text = format!(r#"{{"kind":"secret","name":"s{n}","secret":"{secret}","http":"pay.example","place":"{place}"}}"#);
            serde_json::from_str(&text).unwrap()
        }));
        Grants::open(&all).unwrap()
    }

    fn fill(url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Result<Outgoing, ToolError> {
        let url = Url::parse(url).unwrap();
        let grants = grants();
        let http = grants.http(&url.origin().ascii_serialization(), Method::Get, url.path()).unwrap().clone();
        let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        filled(&known(), &grants, &http, url, headers.iter().map(pair).collect(), body.map(str::as_bytes))
    }

    fn body_of(kind: &str, body: &str) -> String {
        String::from_utf8(fill("https://pay.example/", &[("content-type", kind)], Some(body)).unwrap().body.unwrap()).unwrap()
    }

    #[test]
    fn a_secret_stands_where_its_grant_says_written_as_its_place_needs_it() {
        let sent = fill(
            "https://pay.example/a?key={{secret:token}}&x=%7b1&q=a+%7B%7Bsecret%3Aodd%7D%7D&key=plain",
            &[("authorization", "Bearer {{secret:token}}")],
            None,
        )
        .unwrap();
        assert_eq!(sent.url.as_str(), "https://pay.example/a?key=sk-live.4242&x=%7b1&q=a+p%22%5C%20%C3%A4%26%3D%25%0A%3F&key=plain");
        assert_eq!(sent.headers["authorization"], "Bearer sk-live.4242");
        assert!(sent.headers["authorization"].is_sensitive() && sent.carries && sent.body.is_none());
        assert!(!format!("{:?}", sent.headers).contains(TOKEN));

        let json = body_of("application/json; charset=utf-8", r#"{"a":"{{secret:odd}}","b":"\u007b{secret:token}}"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), serde_json::json!({ "a": ODD, "b": TOKEN }));
        assert_eq!(
            body_of("application/x-www-form-urlencoded", "a={{secret:token}}&b=%7B%7Bsecret:odd}}"),
            "a=sk-live.4242&b=p%22%5C%20%C3%A4%26%3D%25%0A%3F"
        );
        assert_eq!(body_of("text/plain", "{{secret:odd}}{{secret:token}}."), format!("{ODD}{TOKEN}."));

        let plain = fill("https://other.example/a?b=%7B%7Bsecret%7D%7D&c", &[("x-a", "{secret:token}")], Some("{}")).unwrap();
        assert_eq!((plain.url.as_str(), plain.carries), ("https://other.example/a?b=%7B%7Bsecret%7D%7D&c", false));
        assert_eq!(plain.body.unwrap(), b"{}");
    }

    #[test]
    fn a_placeholder_that_is_not_replaced_is_refused_with_what_is_missing() {
        let pay = "https://pay.example/";
        let long = format!("{pay}?q={{{{secret:odd}}}}&pad=");
        let long = format!("{long}{}", "x".repeat(limits::HTTP_URL_BYTES_MAX - long.len()));
        for (url, header, body, kind, says) in [
            // Another place, another secret, another server.
            (
                pay,
                ("x-key", "{{secret:token}}"),
                None,
                ErrorKind::Denied,
                "the header \"x-key\" holds {{secret:token}}, and no grant lets that secret stand there toward pay.example; an operator gives one with --grant secret:token@pay.example=header:x-key",
            ),
            ("https://pay.example/?Key={{secret:token}}", ("a", "b"), None, ErrorKind::Denied, "secret:token@pay.example=query:Key"),
            (pay, ("authorization", "{{secret:odd}}"), None, ErrorKind::Denied, "secret:odd@pay.example=header:authorization"),
            (
                "https://other.example/",
                ("authorization", "{{secret:token}}"),
                None,
                ErrorKind::Denied,
                "toward other.example; an operator gives one with --grant secret:token@other.example=header:authorization",
            ),
            ("https://other.example/", ("a", "b"), Some("{{secret:token}}"), ErrorKind::Denied, "the body holds {{secret:token}}"),
            // Granted, and not there.
            (
                pay,
                ("authorization", "{{secret:t2}}"),
                None,
                ErrorKind::Denied,
                "no secret of this name is set; an operator sets it with `reprise secrets set t2`",
            ),
            // Where none may stand.
            (
                "https://pay.example/a/{{secret:token}}",
                ("a", "b"),
                None,
                ErrorKind::Denied,
                "the path of the URL holds {{secret:token}}; a secret goes into",
            ),
            ("https://pay.example/%7B%7bsecret%3atoken%7d%7d", ("a", "b"), None, ErrorKind::Denied, "the path of the URL holds"),
            ("https://pay.example/?{{secret:token}}=1", ("a", "b"), None, ErrorKind::Denied, "a name in the query of the URL holds"),
            ("https://pay.example/?{{secret:token}}", ("a", "b"), None, ErrorKind::Denied, "a name in the query of the URL holds"),
            // No placeholders.
            (
                pay,
                ("authorization", "{{secret:token}"),
                None,
                ErrorKind::InvalidInput,
                "holds the beginning of a placeholder without its end",
            ),
            (pay, ("a", "b"), Some("{{secret:}}"), ErrorKind::InvalidInput, "a placeholder is {{secret:NAME}}"),
            // Values that do not fit.
            (pay, ("x-odd", "{{secret:odd}}"), None, ErrorKind::Failed, "something else than visible ASCII"),
            (pay, ("x-long", "{{secret:long}}"), None, ErrorKind::Failed, "the headers of the request would have more than 8192 bytes"),
            (&long, ("a", "b"), None, ErrorKind::Failed, "the URL of the request would have more than 8192 bytes"),
        ] {
            let Err(error) = fill(url, &[header], body) else { panic!("{url} {header:?} {body:?} goes out") };
            assert!(error.kind == kind && error.message.contains(says), "{error}");
            assert!(!error.message.contains(TOKEN) && !error.message.contains(ODD), "{error}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_passed_on_without_secrets_in_headers_and_body() {
        let known = Arc::new(Known::for_test(&[("token", TOKEN), ("pin", "1234567890")]));
        for (kind, body, expected) in [
            ("text/plain", "you sent sk-live.4242", "you sent {{secret:token}}"),
            ("application/json", r#"{"a":"sk-live.4242"}"#, r#"{"a":"{{secret:token}}"}"#),
            ("application/json", r#"{"b": [1234567890], "a": 1}"#, r#"{"a":1,"b":["{{secret:pin}}"]}"#),
            ("application/json", r#"{"a": nothing}"#, r#"{"a": nothing}"#),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            headers.insert("x-echo", HeaderValue::from_static("Basic c2stbGl2ZS40MjQy"));
            let mut bytes = body.as_bytes().to_vec();
            scrubbed(&known, true, Came { headers: &mut headers, body: &mut bytes }).await.unwrap();
            assert_eq!(str::from_utf8(&bytes).unwrap(), expected);
            assert_eq!(headers[CONTENT_LENGTH], *bytes.len().to_string());
            assert_eq!(headers["x-echo"], "Basic {{secret:token}}");
        }
        let large = "1234567890 ".repeat(limits::SCRUB_HERE_BYTES_MAX / 10);
        let mut bytes = large.clone().into_bytes();
        scrubbed(&known, false, Came { headers: &mut HeaderMap::new(), body: &mut bytes }).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), large.replace("1234567890", "{{secret:pin}}"));

        let mut packed: HeaderMap = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))].into_iter().collect();
        let why = scrubbed(&known, true, Came { headers: &mut packed, body: &mut vec![1] }).await.unwrap_err();
        assert!(why.contains("is compressed"), "{why}");
        scrubbed(&known, false, Came { headers: &mut packed, body: &mut vec![1] }).await.unwrap();
    }
}
