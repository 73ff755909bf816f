//! The host's own words for what `wit/` says: tool names, effects and errors, as plain data.
//!
//! It knows neither wasmtime nor any tool. The sandbox turns the component model's types into these.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json::Json;

/// What calling a tool twice does to the world; decides what a crash in the middle of a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The same input always gives the same output and nothing is touched. May be repeated.
    Pure,
    /// Looks at the world and changes nothing. May be repeated.
    Read,
    /// Repeating with the same key has the effect once. May be repeated with that key.
    Idempotent,
    /// Must never be repeated unasked.
    Once,
}

impl Effect {
    /// True where a call changes nothing, so that it may run before its intent is on disk.
    #[must_use]
    pub fn touches_nothing(self) -> bool {
        matches!(self, Effect::Pure | Effect::Read)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Pure => "pure",
            Effect::Read => "read",
            Effect::Idempotent => "idempotent",
            Effect::Once => "once",
        })
    }
}

/// Why a tool did not do what it was asked; the same nine as in `wit/types.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The input does not fit the tool's input schema.
    InvalidInput,
    /// No grant covers what the call needs. The message names the missing grant.
    Denied,
    /// What the call speaks of is not there.
    NotFound,
    /// The world is not as the call expects it.
    Conflict,
    /// Worth trying again later. From a tool whose effect is [`Effect::Once`] it is a promise: nothing happened.
    Unavailable,
    /// No answer within the time, or the answer was lost. For a tool that changes something: it is not known whether
    /// it happened. A once call that ends so is asked after ([`Reconciliation`]), never simply repeated.
    Timeout,
    /// The tool broke its own contract.
    Broken,
    /// The tool did its work and the work failed.
    Failed,
    /// The job is to be cancelled: the call was not made, or was broken off.
    Cancelled,
}

impl ErrorKind {
    /// In the order of `wit/types.wit`; a compiled playbook turns the number into the name.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::InvalidInput,
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Broken,
        ErrorKind::Failed,
        ErrorKind::Cancelled,
    ];

    /// The name in `wit/types.wit`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidInput => "invalid-input",
            ErrorKind::Denied => "denied",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Broken => "broken",
            ErrorKind::Failed => "failed",
            ErrorKind::Cancelled => "cancelled",
        }
    }
}

/// What a guest gets instead of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolError {
    /// What the guest can branch on.
    pub kind: ErrorKind,
    /// For people. Never holds a host path or a secret.
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::there")]
    pub detail: Option<Json>,
}

impl ToolError {
    /// Without detail.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ToolError { kind, message: message.into(), detail: None }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

/// What a tool call came to.
pub type Outcome = std::result::Result<Json, ToolError>;

/// What a tool says when it is asked after a crash: did the call with this key take effect? As in `wit/tool.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciliation {
    /// It did, and this is what it answered, or would have.
    Happened(Json),
    /// It did not, and no attempt is under way that still could: a new one is the first.
    DidNotHappen,
    /// The tool cannot tell, for this reason, in words for people. A person has to decide.
    Unknown(String),
}

/// What a tool says when it is asked whether the world still is as its recorded answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// It is.
    Holds,
    /// It is not: what differs, in words for people.
    Changed(String),
    /// The tool cannot tell, for this reason.
    Unknown(String),
}

/// A tool's name: two kebab-case words, `fs/read`. A component imports it as `tool:fs/read`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolId {
    namespace: String,
    name: String,
}

impl ToolId {
    /// The namespace of tools that an agent or a worker provides from outside.
    pub const AGENT: &str = "agent";

    /// From `fs/read`.
    ///
    /// # Errors
    /// `invalid_request` where it is not two kebab-case words joined by a slash.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((namespace, name)) if is_kebab(namespace) && is_kebab(name) => {
                Ok(ToolId { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(Error::invalid("tool", format!("{text:?} is not two kebab-case words joined by a slash, such as fs/read"))),
        }
    }

    /// From the import name `tool:fs/read`; none where it is not one.
    #[must_use]
    pub fn from_import(import: &str) -> Option<Self> {
        ToolId::parse(import.strip_prefix("tool:")?).ok()
    }

    /// `tool:agent/<name>` for a recorded name that nothing here provides. Letters are lowered, everything
    /// that a WIT name cannot hold becomes a dash; where that loses something, six hex digits of the
    /// recorded name's digest keep two names apart.
    #[must_use]
    pub fn agent(recorded: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        for word in recorded.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
            let starts_well = word.starts_with(|c: char| c.is_ascii_alphabetic());
            words.push(if starts_well { word.to_ascii_lowercase() } else { format!("n{}", word.to_ascii_lowercase()) });
        }
        let plain: String = words.join("-").chars().take(100).collect();
        let plain = plain.trim_end_matches('-');
        let digest = crate::ids::Digest::of(recorded.as_bytes()).to_string();
        let name = match (plain == recorded, plain.is_empty()) {
            (_, true) => format!("x{}", &digest[..6]),
            (true, false) => plain.to_owned(),
            (false, false) => format!("{plain}-x{}", &digest[..6]),
        };
        ToolId { namespace: ToolId::AGENT.to_owned(), name }
    }

    /// The namespace that it is in.
    #[must_use]
    pub fn in_namespace(&self) -> Namespace {
        Namespace(self.namespace.clone())
    }

    /// `fs` of `fs/read`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `read` of `fs/read`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `tool:fs/read`.
    #[must_use]
    pub fn import_name(&self) -> String {
        format!("tool:{self}")
    }

    /// True for tools that someone outside must perform.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.namespace == ToolId::AGENT
    }
}

/// The first word of a [`ToolId`]: whose tools they are. One uploaded component provides all tools of a namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Namespace(String);

impl Namespace {
    /// From `search`.
    ///
    /// # Errors
    /// `invalid_request` where it is not a kebab-case word.
    pub fn parse(text: &str) -> Result<Self> {
        if is_kebab(text) {
            return Ok(Namespace(text.to_owned()));
        }
        let why =
            format!("{text:?} is not a namespace: lower-case words joined by single dashes, each beginning with a letter, such as search");
        Err(Error::invalid("namespace", why))
    }

    /// As it stands before the slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Namespace::parse(&text).map_err(|e| serde::de::Error::custom(e.message))
    }
}

/// WIT's rule: words joined by single dashes, each beginning with a letter, lower case.
fn is_kebab(text: &str) -> bool {
    text.len() <= 128
        && text.split('-').all(|word| {
            word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

impl fmt::Display for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ToolId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ToolId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        ToolId::parse(&text).map_err(|e| serde::de::Error::custom(e.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_names_become_kebab_words_and_stay_apart() {
        assert_eq!(ToolId::agent("edit").to_string(), "agent/edit");
        let github = ToolId::agent("mcp__github__create_issue");
        assert!(github.to_string().starts_with("agent/mcp-github-create-issue-x"), "{github}");
        assert_ne!(ToolId::agent("Read"), ToolId::agent("READ"));
        for odd in ["", "2fa", "日本", "a b", "-", "UPPER", &"x".repeat(500)] {
            let id = ToolId::agent(odd);
            assert_eq!(ToolId::parse(&id.to_string()).unwrap(), id, "{odd:?}");
        }
    }

    #[test]
    fn a_tool_id_is_two_kebab_words() {
        for bad in ["fs", "fs/", "/read", "fs/read/x", "Fs/read", "fs/re_ad", "fs/-read", "fs/read-", "fs/2read", "fs/a--b"] {
            assert!(ToolId::parse(bad).is_err(), "{bad}");
        }
    }
}
