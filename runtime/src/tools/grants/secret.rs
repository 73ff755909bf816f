//! What an operator permits of a secret: that it is put into one place of the requests that one `http` grant covers.
//!
//! It knows where a secret may go, and never what it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::limits;
use crate::tools::http::headers;

use super::written::need;
use super::{GrantName, Written, Wrong, malformed};

/// One place for one secret. It is for whoever the `http` grant is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretGrant {
    /// For people, and so that two grants can be told apart.
    pub name: GrantName,
    /// The name of the secret; a guest writes `{{secret:NAME}}`.
    pub secret: GrantName,
    /// The `http` grant toward whose server it may go.
    pub http: GrantName,
    /// Where in a request.
    pub place: Place,
}

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// The value of this header, in lower case.
    Header(String),
    /// The value of this part of the query.
    Query(String),
    /// The body.
    Body,
}

impl Place {
    /// From `header:NAME`, `query:NAME` or `body`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right.
    pub fn parse(text: &str) -> Result<Place> {
        match text.split_once(':') {
            Some(("header", name)) => header(name).map(Place::Header),
            Some(("query", name)) => query(name).map(Place::Query),
            None if text == "body" => Ok(Place::Body),
            _ => Err(malformed(format!("{text:?} is no place for a secret; a place is header:NAME, query:NAME or body"))),
        }
    }

    /// `the header authorization`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Place::Header(name) => format!("the header {name}"),
            Place::Query(name) => format!("{name} in the query"),
            Place::Body => "the body".to_owned(),
        }
    }
}

fn header(name: &str) -> Result<String> {
    let lower = name.to_ascii_lowercase();
    let fits = (1..=limits::HTTP_HEADER_NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !fits || headers::is_ours(&lower) {
        return Err(malformed(format!("{name:?} cannot carry a secret; a header such as Authorization can")));
    }
    Ok(lower)
}

fn query(name: &str) -> Result<String> {
    let fits = (1..=limits::HTTP_HEADER_NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~'));
    if fits {
        Ok(name.to_owned())
    } else {
        Err(malformed(format!("{name:?} cannot carry a secret; a part of the query such as api_key can")))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header(name) => write!(f, "header:{name}"),
            Place::Query(name) => write!(f, "query:{name}"),
            Place::Body => f.write_str("body"),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Place::parse(&text).map_err(|e| e.message)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.to_string()
    }
}

impl SecretGrant {
    /// As it stands in a grant.
    pub const KIND: &str = "secret";

    pub(super) fn read(written: &Written) -> Result<SecretGrant, Wrong> {
        written.only(&["secret", "http", "place"])?;
        let named = |part: Option<&String>, field| GrantName::parse(need(part, field)?).map_err(Wrong::field(field));
        let secret = named(written.secret.as_ref(), "secret")?;
        let http = named(written.http.as_ref(), "http")?;
        let place = Place::parse(need(written.place.as_ref(), "place")?).map_err(Wrong::field("place"))?;
        Ok(SecretGrant { name: written.name()?.unwrap_or_else(|| secret.clone()), secret, http, place })
    }

    /// From what stands after `secret:` in a flag: `pay-key@payments=header:Authorization`.
    pub(super) fn parse_flag(rest: &str) -> Result<SecretGrant> {
        let parts = rest.split_once('=').and_then(|(what, place)| Some((what.split_once('@')?, place)));
        let Some(((secret, http), place)) = parts else {
            return Err(malformed(format!(
                "{rest:?} does not say where the secret may go; write secret:NAME@GRANT=PLACE, with the name of an http grant"
            )));
        };
        let secret = GrantName::parse(secret)?;
        Ok(SecretGrant { name: secret.clone(), secret, http: GrantName::parse(http)?, place: Place::parse(place)? })
    }

    /// `put the secret pay-key into the header authorization, toward payments`.
    pub(super) fn words(&self) -> String {
        format!("put the secret {} into {}, toward {}", self.secret, self.place.words(), self.http)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grant;

    #[test]
    fn a_flag_names_the_secret_and_where_it_may_go() {
        for (flag, words) in [
            ("secret:key@pay=header:Authorization", "key: put the secret key into the header authorization, toward pay"),
            ("secret:key@pay=query:api_key", "key: put the secret key into api_key in the query, toward pay"),
            ("secret:key@pay=body", "key: put the secret key into the body, toward pay"),
        ] {
            let grant = Grant::parse_flag(flag).unwrap();
            assert_eq!(grant.words(), words, "{flag}");
            let kept = serde_json::to_string(&grant).unwrap();
            assert_eq!(serde_json::from_str::<Grant>(&kept).unwrap(), grant, "{kept}");
        }
        for (flag, says) in [
            ("secret:key", "does not say where"),
            ("secret:key=body", "does not say where"),
            ("secret:key@pay=host", "is no place for a secret"),
            ("secret:key@pay=header:Host", "cannot carry a secret"),
            ("secret:key@pay=header:a b", "cannot carry a secret"),
            ("secret:key@pay=query:a&b", "cannot carry a secret"),
            ("secret:a/b@pay=body", "cannot name a grant"),
        ] {
            let error = Grant::parse_flag(flag).unwrap_err();
            assert!(error.message.contains(says), "{flag}: {error}");
        }
    }
}
