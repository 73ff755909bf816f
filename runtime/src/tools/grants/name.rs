//! What a grant is called, and for whom it is.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::Namespace;
use crate::error::Result;

use super::malformed;

/// Names a grant within a job: 1 to 64 of `A-Z a-z 0-9 . _ -`, not `.` or `..`. A granted directory is
/// seen under this name: it is the first part of a tool path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GrantName(String);

impl GrantName {
    /// Characters in a name.
    pub const CHARS_MAX: usize = 64;

    /// Checks `text`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what a name may hold.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !matches!(text, "." | "..");
        if !fits {
            return Err(malformed(format!("{text:?} cannot name a grant; a name has 1 to {} of A-Z a-z 0-9 . _ -", Self::CHARS_MAX)));
        }
        Ok(GrantName(text.to_owned()))
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map by name can be asked with a part of a path.
impl Borrow<str> for GrantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GrantName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        GrantName::parse(&text).map_err(|e| serde::de::Error::custom(e.message))
    }
}

/// For whom a grant is: the tool components of these namespaces, or the built-in tools where it names none. What is
/// for the one is nothing to the other, so that a grant to a job's own files opens nothing to an uploaded tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct To(Vec<Namespace>);

impl To {
    /// The built-in tools.
    pub const BUILTIN: To = To(Vec::new());

    /// The built-in tools.
    #[must_use]
    pub fn builtin() -> To {
        To::BUILTIN
    }

    /// These namespaces, each once.
    #[must_use]
    pub fn components(mut namespaces: Vec<Namespace>) -> To {
        namespaces.sort();
        namespaces.dedup();
        To(namespaces)
    }

    /// True where it is for the built-in tools.
    #[must_use]
    pub fn is_builtin(&self) -> bool {
        self.0.is_empty()
    }

    /// The namespaces, sorted; none of the built-in tools.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace] {
        &self.0
    }

    /// True where `reader` may use the grant: a namespace, or the built-in tools where there is none.
    pub(super) fn covers(&self, reader: Option<&Namespace>) -> bool {
        match reader {
            None => self.0.is_empty(),
            Some(namespace) => self.0.contains(namespace),
        }
    }

    /// For people, at the end of a grant: `, for tools of search and mail`; empty for the built-in tools.
    pub(super) fn words(&self) -> String {
        let each: Vec<&str> = self.0.iter().map(Namespace::as_str).collect();
        match each.as_slice() {
            [] => String::new(),
            [one] => format!(", for the tools of {one}"),
            [first @ .., last] => format!(", for the tools of {} and {last}", first.join(", ")),
        }
    }
}
