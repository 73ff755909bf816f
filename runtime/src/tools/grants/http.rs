//! What an operator permits of the network: one origin, some methods, perhaps only below a path.
//!
//! It knows how an origin and a path are written, and whether they cover a target. It sends nothing.
//! The rule that must stay true: origins are compared as they are normalised, paths in whole segments, and a
//! grant that reads in two ways is refused.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::limits;

use super::written::need;
use super::{GrantName, To, Written, Wrong, malformed};

/// A method that an `http` tool sends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Looks.
    Get,
    /// Looks, without the body.
    Head,
    /// Puts a whole thing in its place.
    Put,
    /// Takes a thing away.
    Delete,
    /// Anything else.
    Post,
    /// Changes a part of a thing.
    Patch,
}

impl Method {
    /// Every one, in the order in which grants show them.
    pub const ALL: [Method; 6] = [Method::Get, Method::Head, Method::Put, Method::Delete, Method::Post, Method::Patch];

    /// As it goes over the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Post => "POST",
            Method::Patch => "PATCH",
        }
    }

    /// True of methods that only look.
    #[must_use]
    pub fn looks(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }

    /// From `GET`.
    ///
    /// # Errors
    /// `invalid_configuration` that lists those there are.
    pub fn parse(text: &str) -> Result<Method> {
        Method::ALL.into_iter().find(|method| method.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = Method::ALL.iter().map(|method| method.as_str()).collect();
            malformed(format!("{text:?} is not a method that http tools send; those are {}", all.join(", ")))
        })
    }
}

/// Calls to one origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct HttpGrant {
    /// For people, and so that two grants can be told apart.
    pub name: GrantName,
    /// Scheme, host and port, normalised: `https://api.example.com`.
    pub origin: String,
    /// What may be sent; sorted, not empty.
    pub methods: Vec<Method>,
    /// Where it may be sent: this path and those below it. Everywhere where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The header in which the other side looks for a call's key. That it is named says that the other side
    /// performs a call once per key, so that a repeat is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_header: Option<String>,
    /// Where to ask what became of a post: a path with `{key}` in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<String>,
    /// Whether the host's name may lead to an address that is not of the public internet: of this machine, or of a network
    /// that it stands in. Who rules the name in the DNS would otherwise decide which machine at home is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// For whom it is.
    #[serde(default, skip_serializing_if = "To::is_builtin")]
    pub to: To,
}

/// As a journal holds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    /// The origin's own name where there is none.
    name: Option<GrantName>,
    origin: String,
    /// `GET` where there is none.
    #[serde(default = "only_get")]
    methods: Vec<Method>,
    path: Option<String>,
    key_header: Option<String>,
    reconcile: Option<String>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    to: To,
}

fn only_get() -> Vec<Method> {
    vec![Method::Get]
}

impl HttpGrant {
    /// Stands for the call's key in [`HttpGrant::reconcile`].
    pub const KEY: &str = "{key}";

    /// As it stands in a grant.
    pub const KIND: &str = "http";

    /// Checks the parts, and says which one is wrong.
    fn new(parts: Parts) -> Result<HttpGrant, Wrong> {
        let Parts { name, origin, mut methods, path, key_header, reconcile, private, to } = parts;
        let origin = parse_origin(&origin).map_err(Wrong::field("origin"))?;
        methods.sort();
        methods.dedup();
        if methods.is_empty() {
            return Err(Wrong::field("methods")(malformed("methods is empty; name at least one, such as \"GET\"".to_owned())));
        }
        let path = path.map(|path| parse_path(&path)).transpose().map_err(Wrong::field("path"))?;
        if let Some(header) = &key_header {
            check_key_header(header).map_err(Wrong::field("key_header"))?;
        }
        if let Some(template) = &reconcile {
            check_template(template).map_err(Wrong::field("reconcile"))?;
        }
        let name = match name {
            Some(name) => name,
            None => own_name(&origin).map_err(Wrong::field("origin"))?,
        };
        // Empty stands for everything, as no path does.
        let path = path.filter(|path| !path.is_empty());
        Ok(HttpGrant { name, origin, methods, path, key_header, reconcile, private, to })
    }

    pub(super) fn read(written: &Written) -> Result<HttpGrant, Wrong> {
        written.only(&["origin", "methods", "path", "key_header", "reconcile", "private", "to"])?;
        let origin = need(written.origin.as_ref(), "origin")?.clone();
        let method =
            |(index, text): (usize, &String)| Method::parse(text).map_err(|error| Wrong { field: "methods", index: Some(index), error });
        let methods = match &written.methods {
            Some(list) => list.iter().enumerate().map(method).collect::<Result<_, _>>()?,
            None => only_get(),
        };
        HttpGrant::new(Parts {
            name: written.name()?,
            origin,
            methods,
            path: written.path.clone(),
            key_header: written.key_header.clone(),
            reconcile: written.reconcile.clone(),
            private: written.private.unwrap_or(false),
            to: written.to()?,
        })
    }

    /// From what stands after `http:` in a flag: `https://api.example.com=GET,POST`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right.
    pub(super) fn parse_flag(text: &str, to: To) -> Result<HttpGrant> {
        // No origin holds a `=`.
        let (origin, methods) = match text.split_once('=') {
            Some((origin, methods)) => (origin.to_owned(), methods.split(',').map(Method::parse).collect::<Result<_>>()?),
            None => (text.to_owned(), only_get()),
        };
        let (name, path, key_header, reconcile) = (None, None, None, None);
        HttpGrant::new(Parts { name, origin, methods, path, key_header, reconcile, private: false, to }).map_err(|wrong| wrong.error)
    }

    /// Whether an address that is not of the public internet may be asked: where the grant says so, and where its origin
    /// names such an address by itself (`http://127.0.0.1:9000`, `http://localhost`).
    #[must_use]
    pub fn names_private_addresses(&self) -> bool {
        let host = reqwest::Url::parse(&self.origin).ok();
        let host = host.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
        let literal = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        self.private || literal || host == "localhost"
    }

    /// True where this method and this path, as [`url::Url`]-like normalisation leaves it, are covered.
    #[must_use]
    pub fn covers(&self, origin: &str, method: Method, path: &str) -> bool {
        let below = |prefix: &String| path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.origin == origin && self.methods.contains(&method) && self.path.as_ref().is_none_or(below)
    }

    /// Where to ask about this key.
    pub(in crate::tools) fn reconcile_url(&self, key: &str) -> Option<String> {
        let template = self.reconcile.as_ref()?;
        Some(format!("{}{}", self.origin, template.replace(HttpGrant::KEY, &percent_encoded(key))))
    }

    /// `GET and POST at https://api.example.com below /v1`.
    #[must_use]
    pub fn words(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(|method| method.as_str()).collect();
        let below = self.path.as_ref().map(|path| format!(" below {path}")).unwrap_or_default();
        let private = if self.private { ", at a private address too" } else { "" };
        format!("{} at {}{below}{private}", methods.join(", "), self.origin)
    }
}

impl TryFrom<Parts> for HttpGrant {
    type Error = String;

    fn try_from(parts: Parts) -> Result<Self, String> {
        HttpGrant::new(parts).map_err(|wrong| wrong.error.message)
    }
}

fn parse_origin(text: &str) -> Result<String> {
    let wrong = |why: &str| malformed(format!("{text:?} is not an origin: {why}; an origin is http://HOST[:PORT] or https://HOST[:PORT]"));
    if text.len() > limits::HTTP_URL_BYTES_MAX || text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(wrong("it is too long, or holds a white space, a control character or a backslash"));
    }
    let url = reqwest::Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are spoken here"));
    }
    if text.contains('@') {
        return Err(wrong("it names a user"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || text.contains(['?', '#']) {
        return Err(wrong("it has more than scheme, host and port"));
    }
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err(wrong("a host is named, not matched"));
    }
    Ok(url.origin().ascii_serialization())
}

/// An origin and perhaps a path, under which a service is found, normalised: `https://api.example.com/v1`.
///
/// # Errors
/// `invalid_configuration` that says what would be right.
pub fn base_url(text: &str) -> Result<String> {
    let begin = text.find("://").map_or(0, |at| at + "://".len());
    let (origin, path) = text.split_at(text[begin..].find('/').map_or(text.len(), |at| begin + at));
    let path = if path.is_empty() { String::new() } else { parse_path(path)? };
    Ok(format!("{}{path}", parse_origin(origin)?))
}

/// A path prefix, without a slash at its end.
fn parse_path(text: &str) -> Result<String> {
    let wrong = |why: &str| malformed(format!("the path {text:?} {why}; a path looks like /v1/charges"));
    if !text.starts_with('/') {
        return Err(wrong("does not begin with a slash"));
    }
    plain(text).map_err(|why| wrong(&why))?;
    Ok(text.trim_end_matches('/').to_owned())
}

/// True of paths that mean the same to everyone: no `.` or `..`, nothing empty in the middle, nothing encoded.
fn plain(path: &str) -> Result<(), String> {
    if path.len() > limits::HTTP_URL_BYTES_MAX {
        return Err("is too long".to_owned());
    }
    if let Some(c) = path.chars().find(|c| !(c.is_ascii_alphanumeric() || "/-._~!$&'()*+,:@".contains(*c))) {
        return Err(format!("holds {c:?}"));
    }
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let empty = path.contains("//");
    match segments.iter().find(|segment| matches!(**segment, "." | "..")) {
        Some(dots) => Err(format!("holds {dots:?}")),
        None if empty => Err("holds two slashes in a row".to_owned()),
        None => Ok(()),
    }
}

fn check_template(text: &str) -> Result<()> {
    let wrong =
        |why: &str| malformed(format!("{text:?} cannot be asked about a call: {why}; it looks like /charges/by-key/{}", HttpGrant::KEY));
    if !text.starts_with('/') {
        return Err(wrong("it does not begin with a slash"));
    }
    if text.matches(HttpGrant::KEY).count() != 1 {
        return Err(wrong("it does not hold {key} exactly once"));
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    plain(&path.replace(HttpGrant::KEY, "k")).map_err(|why| wrong(&format!("it {why}")))?;
    let odd = query.replace(HttpGrant::KEY, "k").contains(|c: char| !(c.is_ascii_alphanumeric() || "-._~=&".contains(c)));
    if odd { Err(wrong("its query holds something else than names and values")) } else { Ok(()) }
}

fn check_key_header(name: &str) -> Result<()> {
    let fits = (1..=limits::HTTP_HEADER_NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !fits || crate::tools::http::headers::is_ours(&name.to_ascii_lowercase()) && !name.eq_ignore_ascii_case("idempotency-key") {
        return Err(malformed(format!("{name:?} cannot carry a call's key; a header such as Idempotency-Key can")));
    }
    Ok(())
}

/// `api.example.com` for `https://api.example.com`, `127.0.0.1-9000` for `http://127.0.0.1:9000`.
fn own_name(origin: &str) -> Result<GrantName> {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let text: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }).collect();
    let text = text.trim_matches('-');
    GrantName::parse(text.get(text.len().saturating_sub(64)..).unwrap_or(text))
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::super::Grant;
    use super::*;

    #[test]
    fn a_flag_names_an_origin_and_what_may_be_sent_to_it() {
        for (flag, name, words) in [
            ("http:https://api.example.com", "api.example.com", "GET at https://api.example.com"),
            ("http:https://API.Example.com:443/=POST,GET,GET", "api.example.com", "GET, POST at https://api.example.com"),
            (
                "http:http://127.0.0.1:9000=PATCH,POST,PUT,DELETE,HEAD,GET",
                "127.0.0.1-9000",
                "GET, HEAD, PUT, DELETE, POST, PATCH at http://127.0.0.1:9000",
            ),
            ("http:http://0x7f.1", "127.0.0.1", "GET at http://127.0.0.1"),
            ("http:http://[::1]:80=DELETE", "1", "DELETE at http://[::1]"),
            ("http:http://bücher.example", "xn--bcher-kva.example", "GET at http://xn--bcher-kva.example"),
        ] {
            let grant = Grant::parse_flag(flag).unwrap_or_else(|e| panic!("{flag}: {e}"));
            assert_eq!((grant.name().as_str(), grant.words()), (name, format!("{name}: {words}")), "{flag}");
        }
    }

    #[test]
    fn a_flag_that_reads_in_two_ways_is_refused() {
        for (flag, says) in [
            ("http:example.com", "is not an origin"),
            ("http:ftp://example.com", "only http and https"),
            ("http:https://", "is not an origin"),
            ("http:https://user@example.com", "names a user"),
            ("http:https://@example.com", "names a user"),
            ("http:https://example.com/v1", "more than scheme, host and port"),
            ("http:https://example.com?", "more than scheme, host and port"),
            ("http:https://example.com\\evil", "backslash"),
            ("http:https://exa\tmple.com", "control character"),
            ("http:https://*.example.com", "a host is named, not matched"),
            ("http:https://example.com=", "is not a method"),
            ("http:https://example.com=get", "\"get\" is not a method that http tools send; those are GET, HEAD, PUT, DELETE, POST, PATCH"),
            ("http:https://example.com=GET,TRACE", "\"TRACE\" is not a method"),
        ] {
            let error = Grant::parse_flag(flag).unwrap_err();
            assert!(error.message.contains(says), "{flag}: {error}");
        }
    }

    fn read(fields: &str) -> Result<HttpGrant, String> {
        let text = format!(r#"{{"kind":"http","name":"pay","origin":"https://pay.example"{fields}}}"#);
        match serde_json::from_str::<Grant>(&text) {
            Ok(Grant::Http(grant)) => Ok(grant),
            Ok(other) => panic!("{other:?}"),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn a_path_covers_whole_segments_only() {
        let origin = "https://pay.example";
        for (path, target, covered) in [
            ("/v1", "/v1", true),
            ("/v1/", "/v1/charges", true),
            ("/v1", "/v10", false),
            ("/v1", "/v1%2e", false),
            ("/v1", "/", false),
            ("/v1", "//v1", false),
            ("/v1/charges", "/v1/refunds", false),
            ("/", "/anything", true),
        ] {
            let grant = read(&format!(r#","path":"{path}""#)).unwrap();
            assert_eq!(grant.covers(origin, Method::Get, target), covered, "{path} {target}");
            assert!(!grant.covers(origin, Method::Post, target) && !grant.covers("http://pay.example", Method::Get, target));
        }
    }

    #[test]
    fn what_a_journal_holds_reads_back_and_is_checked_again() {
        let text = r#"{"kind":"http","name":"pay","origin":"https://pay.example","methods":["GET","POST"],"path":"/v1","key_header":"X-Key","reconcile":"/v1/by-key/{key}"}"#;
        let grant: Grant = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&grant).unwrap(), text);
        for (fields, says) in [
            (r#","path":"v1""#, "does not begin with a slash"),
            (r#","path":"/v1/../v2""#, "holds \"..\""),
            (r#","path":"/v1/%2e%2e""#, "holds '%'"),
            (r#","path":"/v1//v2""#, "two slashes"),
            (r#","path":"/v1?x""#, "holds '?'"),
            (r#","methods":[]"#, "methods is empty"),
            (r#","methods":["TRACE"]"#, "unknown variant `TRACE`"),
            (r#","key_header":"Host""#, "cannot carry a call's key"),
            (r#","key_header":"a b""#, "cannot carry a call's key"),
            (r#","reconcile":"/charges""#, "{key} exactly once"),
            (r#","reconcile":"/{key}/{key}""#, "{key} exactly once"),
            (r#","reconcile":"https://else/{key}""#, "begin with a slash"),
            (r#","reconcile":"/../{key}""#, "holds \"..\""),
            (r#","reconcile":"//else/{key}""#, "two slashes"),
            (r#","reconcile":"/c?k={key}#x""#, "its query"),
            (r#","more":1"#, "unknown field `more`"),
            (r#","to":["A b"]"#, "is not a namespace"),
        ] {
            let error = read(fields).unwrap_err();
            assert!(error.contains(says), "{fields}: {error}");
        }
        assert_eq!(read(r#","reconcile":"/c?k={key}""#).unwrap().reconcile_url("a/b c").unwrap(), "https://pay.example/c?k=a%2Fb%20c");
    }
}
