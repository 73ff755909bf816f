//! Where a request goes: a URL that reads in one way only, and the grant that covers it.
//!
//! The text is judged before it is parsed, since parsing mends what is odd in it (`..`, tabs, backslashes), and what
//! is mended here may be read in another way by the server. The rule that must stay true: what is sent is what was judged.

use reqwest::Url;

use crate::contract::{ErrorKind, ToolError};
use crate::limits;

use super::{Grants, HttpGrant, Method};

/// A URL with the grant that covers it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) grant: HttpGrant,
}

impl Target {
    /// Checks `text`, and finds the grant.
    pub(super) fn of(text: &str, method: Method, grants: &Grants) -> Result<Target, ToolError> {
        let url = parse(text)?;
        let origin = url.origin().ascii_serialization();
        match grants.http(&origin, method, url.path()) {
            Some(grant) => Ok(Target { grant: grant.clone(), url }),
            None => {
                let line = format!("{} {origin}{}", method.as_str(), url.path());
                Err(ToolError::new(ErrorKind::Denied, format!("no grant covers {line}; {}", grants.http_hint())))
            }
        }
    }

    /// Another place that an operator named in the same grant.
    pub(super) fn at(&self, url: &str) -> Result<Target, ToolError> {
        Ok(Target { url: parse(url)?, grant: self.grant.clone() })
    }

    /// For messages: without the query, which may hold a secret.
    pub(super) fn line(&self, method: Method) -> String {
        format!("{} {}{}", method.as_str(), self.url.origin().ascii_serialization(), self.url.path())
    }
}

fn parse(text: &str) -> Result<Url, ToolError> {
    let wrong = |why: String| ToolError::new(ErrorKind::InvalidInput, format!("the URL {why}"));
    if text.len() > limits::HTTP_URL_BYTES_MAX {
        return Err(wrong(format!("has {} bytes; a URL has at most {}", text.len(), limits::HTTP_URL_BYTES_MAX)));
    }
    if let Some(odd) = text.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '\\') {
        return Err(wrong(format!("holds {odd:?}; write it percent-encoded")));
    }
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        return Err(wrong("does not begin with http:// or https://".to_owned()));
    };
    let (authority, place) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(wrong("names a user; credentials go into a header".to_owned()));
    }
    if authority.contains('%') {
        return Err(wrong("has an encoded host; write it out".to_owned()));
    }
    if place.contains('#') {
        return Err(wrong("has a fragment, which is never sent; leave it out".to_owned()));
    }
    for segment in place.split('?').next().unwrap_or_default().split('/') {
        let lower = segment.to_ascii_lowercase();
        if let Some(encoded) = ["%2f", "%5c", "%00"].into_iter().find(|encoded| lower.contains(encoded)) {
            return Err(wrong(format!("holds {encoded} in its path, which some servers take for a separator")));
        }
        // Some servers cut what follows a semicolon off before they look at the dots.
        let decoded = lower.replace("%2e", ".").replace("%3b", ";");
        if matches!(decoded.split(';').next(), Some("." | "..")) {
            return Err(wrong(format!("holds {segment:?} in its path, which could lead out of a grant; write it without")));
        }
    }
    let url = Url::parse(text).map_err(|e| wrong(format!("is none: {e}")))?;
    if url.scheme() != scheme || url.host_str().is_none_or(str::is_empty) || url.cannot_be_a_base() {
        return Err(wrong("names no host".to_owned()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::super::super::Grant;
    use super::*;

    fn grants() -> Grants {
        let grant = |text: &str| -> Grant { serde_json::from_str(text).unwrap() };
        Grants::open(&[
            grant(r#"{"kind":"http","name":"api","origin":"https://api.example","methods":["GET","POST"],"path":"/v1"}"#),
            grant(
                r#"{"kind":"http","name":"keyed","origin":"https://api.example","methods":["POST"],"path":"/v1/pay","key_header":"X-Key"}"#,
            ),
            grant(r#"{"kind":"http","name":"local","origin":"http://127.0.0.1:9000"}"#),
        ])
        .unwrap()
    }

    #[test]
    fn a_covered_url_is_sent_as_it_was_written() {
        for (url, method, grant, sent) in [
            ("https://api.example/v1", Method::Get, "api", "https://api.example/v1"),
            ("https://API.example:443/v1/a?b=/../c&d=%2e%2e%2f", Method::Get, "api", "https://api.example/v1/a?b=/../c&d=%2e%2e%2f"),
            ("https://api.example/v1/caf%C3%A9/a.b/..c/...", Method::Post, "api", "https://api.example/v1/caf%C3%A9/a.b/..c/..."),
            ("https://api.example/v1/pay/1", Method::Post, "keyed", "https://api.example/v1/pay/1"),
            ("https://api.example/v1/pay/1", Method::Get, "api", "https://api.example/v1/pay/1"),
            ("https://api.example/v1/pays", Method::Post, "api", "https://api.example/v1/pays"),
            ("http://127.0.0.1:9000", Method::Get, "local", "http://127.0.0.1:9000/"),
            ("http://0x7f.0.0.1:9000/x", Method::Get, "local", "http://127.0.0.1:9000/x"),
        ] {
            let target = Target::of(url, method, &grants()).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!((target.grant.name.as_str(), target.url.as_str()), (grant, sent), "{url}");
        }
    }

    #[test]
    fn no_url_leads_out_of_its_grant() {
        for (url, kind, says) in [
            // Other origins.
            (
                "http://api.example/v1",
                "denied",
                "no grant covers GET http://api.example/v1; this job has: api (GET, POST at https://api.example below /v1)",
            ),
            ("https://api.example:8443/v1", "denied", "no grant covers"),
            ("https://api.example.evil.example/v1", "denied", "no grant covers"),
            ("https://api.example./v1", "denied", "no grant covers"),
            ("https://xapi.example/v1", "denied", "no grant covers"),
            ("http://127.0.0.1:9001/", "denied", "no grant covers"),
            ("http://[::ffff:127.0.0.1]:9000/", "denied", "no grant covers"),
            ("http://localhost:9000/", "denied", "no grant covers"),
            ("https://api.example@evil.example/v1", "invalid-input", "names a user"),
            ("https://user:secret@api.example/v1", "invalid-input", "names a user"),
            ("https://@api.example/v1", "invalid-input", "names a user"),
            ("https://evil.example#@api.example/v1", "invalid-input", "fragment"),
            ("https://evil.example\\@api.example/v1", "invalid-input", "holds '\\\\'"),
            ("https://evil.example%2f@api.example/v1", "invalid-input", "names a user"),
            ("https://api%2eexample/v1", "invalid-input", "encoded host"),
            ("https:\\\\api.example/v1", "invalid-input", "holds '\\\\'"),
            ("https:/api.example/v1", "invalid-input", "does not begin with"),
            ("//api.example/v1", "invalid-input", "does not begin with"),
            ("HTTPS://api.example/v1", "invalid-input", "does not begin with"),
            ("file:///etc/passwd", "invalid-input", "does not begin with"),
            ("gopher://api.example/v1", "invalid-input", "does not begin with"),
            ("https:///v1", "denied", "https://v1/"),
            ("https://:443/v1", "invalid-input", "the URL is none"),
            ("https://api.example:99999/v1", "invalid-input", "the URL is none"),
            // Other paths.
            ("https://api.example/", "denied", "no grant covers"),
            ("https://api.example", "denied", "no grant covers"),
            ("https://api.example?/v1", "denied", "no grant covers"),
            ("https://api.example/v10", "denied", "no grant covers"),
            ("https://api.example/V1", "denied", "no grant covers"),
            ("https://api.example//v1", "denied", "no grant covers"),
            ("https://api.example/%76%31", "denied", "no grant covers"),
            ("https://api.example/v1/../admin", "invalid-input", "\"..\""),
            ("https://api.example/v1/..", "invalid-input", "\"..\""),
            ("https://api.example/v1/./x", "invalid-input", "\".\""),
            ("https://api.example/v1/%2e%2e/admin", "invalid-input", "\"%2e%2e\""),
            ("https://api.example/v1/%2E./admin", "invalid-input", "\"%2E.\""),
            ("https://api.example/v1/..;a=b/admin", "invalid-input", "\"..;a=b\""),
            ("https://api.example/v1/..%3Ba/admin", "invalid-input", "..%3Ba"),
            ("https://api.example/v1/..%2fadmin", "invalid-input", "%2f"),
            ("https://api.example/v1/..%5Cadmin", "invalid-input", "%5c"),
            ("https://api.example/v1\\..\\admin", "invalid-input", "holds '\\\\'"),
            ("https://api.example/v1/a%00b", "invalid-input", "%00"),
            // Smuggled lines and white space.
            ("https://api.example/v1 HTTP/1.1\r\nHost: evil", "invalid-input", "holds ' '"),
            ("https://api.example/v1\r\nX: y", "invalid-input", "holds '\\r'"),
            ("https://api.exa\tmple/v1", "invalid-input", "holds '\\t'"),
            (" https://api.example/v1", "invalid-input", "holds ' '"),
            ("https://api.example/v1\u{a0}", "invalid-input", "holds"),
            ("", "invalid-input", "does not begin with"),
        ] {
            let error = Target::of(url, Method::Get, &grants()).unwrap_err();
            assert_eq!(error.kind.as_str(), kind, "{url}: {error}");
            assert!(error.message.contains(says), "{url}: {error}\ndoes not say: {says}");
            assert!(!error.message.contains("secret"), "{error}");
        }
        let long = format!("https://api.example/v1/{}", "x".repeat(limits::HTTP_URL_BYTES_MAX));
        assert!(Target::of(&long, Method::Get, &grants()).unwrap_err().message.contains("at most 8192"));
        assert_eq!(Target::of("https://api.example/v1", Method::Put, &grants()).unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(Target::of("http://127.0.0.1:9000/", Method::Post, &grants()).unwrap_err().kind, ErrorKind::Denied);
        assert!(Target::of("https://api.example/v1", Method::Get, &Grants::none()).unwrap_err().message.contains("has no http grants"));
    }
}
