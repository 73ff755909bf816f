//! The words that tools, playbooks and the host share, as `wit/types.wit` has them.

use alloc::string::String;
#[cfg(feature = "playbook")]
use alloc::string::ToString as _;
use core::fmt;

use serde_json::Value;

/// Why a tool did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input does not fit the tool's input schema.
    InvalidInput,
    /// No grant covers what the call needs.
    Denied,
    /// What the call speaks of is not there.
    NotFound,
    /// It is there, but not as the call expects it.
    Conflict,
    /// Worth trying again later. From a tool whose effect is `once` it is a promise: nothing happened.
    Unavailable,
    /// The time limit passed. Whether the effect happened is not known.
    Timeout,
    /// The tool answered with something that its output schema does not allow, or trapped.
    Broken,
    /// The tool did its work and the work failed.
    Failed,
    /// Someone asked for the job to be cancelled; the call was not made, or was broken off.
    Cancelled,
}

impl ErrorKind {
    /// The name in the contract: `not-found`.
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

/// What a tool answers in place of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolError {
    /// What a playbook can branch on.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
    /// For programs.
    pub detail: Option<Value>,
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

impl core::error::Error for ToolError {}

/// Why a playbook stopped short.
#[cfg(feature = "playbook")]
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The step it stopped in; filled with the one last named where it is left out.
    pub step: Option<String>,
    /// For people.
    pub message: String,
    /// For programs.
    pub detail: Option<Value>,
}

#[cfg(feature = "playbook")]
impl Failure {
    /// In the step last named, without detail.
    pub fn new(message: impl Into<String>) -> Self {
        Failure { step: None, message: message.into(), detail: None }
    }
}

#[cfg(feature = "playbook")]
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(feature = "playbook")]
impl core::error::Error for Failure {}

/// A tool's error ends the playbook with its message, and with its detail where it has one.
#[cfg(feature = "playbook")]
impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Failure { step: None, message: error.to_string(), detail: error.detail }
    }
}

/// JSON that is not as the playbook needs it.
#[cfg(feature = "playbook")]
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::new(error.to_string())
    }
}

/// Why a wait ended without what was waited for.
#[cfg(feature = "playbook")]
#[derive(Debug, Clone, PartialEq)]
pub enum Interruption {
    /// The deadline passed first.
    Expired,
    /// A person said no; the value is what they answered.
    Rejected(Value),
    /// Someone asked for the job to be cancelled.
    Cancelled,
}

#[cfg(feature = "playbook")]
impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interruption::Expired => f.write_str("the time to wait was over"),
            Interruption::Rejected(answer) => write!(f, "rejected: {answer}"),
            Interruption::Cancelled => f.write_str("the job is to be cancelled"),
        }
    }
}

#[cfg(feature = "playbook")]
impl core::error::Error for Interruption {}

/// An interruption that the playbook has no other answer to ends it.
#[cfg(feature = "playbook")]
impl From<Interruption> for Failure {
    fn from(interruption: Interruption) -> Self {
        let message = interruption.to_string();
        let detail = match interruption {
            Interruption::Rejected(answer) => Some(answer),
            Interruption::Expired | Interruption::Cancelled => None,
        };
        Failure { step: None, message, detail }
    }
}
