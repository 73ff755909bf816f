//! What a step of a playbook may ask of the world before it and of its answer after it.
//!
//! Its job: the kinds of checks as data ([`Spec`]), and the verdict about an answer, which is pure. What looks at the world
//! is judged where a job's grants are, and only what a grant covers; here such a check is none. It knows neither plans nor jobs.
//! The rule: there are three verdicts, each has its reason, and what nobody can tell is [`Verdict::Unknown`], never a pass.
//!
//! ```json
//! {"kind": "exit_code", "equals": 0}
//! {"kind": "output_regex", "pattern": "[0-9]+ passed"}
//! {"kind": "file_exists", "path": "project/package.json"}
//! ```

mod answer;
mod recorded;
mod shape;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use recorded::{not_understood, postcondition, precondition, signature, signature_not_understood};
pub use shape::{Misfit, Shape};

use crate::error::{Code, Error, Result};
use crate::json::Json;
use crate::limits;

/// When a check is judged. The names are stored; one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CheckAt)]
pub enum At {
    /// Before the step's call is made: where it fails, nothing was done.
    Before,
    /// Once the call has answered.
    After,
}

/// Where a check comes from. The names are stored; one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CheckOrigin)]
pub enum Origin {
    /// Whoever recorded the run wrote it down.
    Recorded,
    /// It held in every run that the playbook was made from.
    Inferred,
    /// Somebody put it into the plan.
    Given,
}

/// What a check came to. The names are stored; one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// Nobody here can tell.
    Unknown,
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What the check came to.
    pub verdict: Verdict,
    /// Why, for people.
    pub why: String,
}

/// What is asked. The names are stored, in plans and journals; one never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Spec {
    /// Nothing: it always holds.
    Always {},
    /// There is a file or a directory at this path, `<grant>/<path>`.
    FileExists {
        /// As the job's `fs` tools name it.
        path: String,
    },
    /// There is nothing at this path, `<grant>/<path>`.
    PathNotExists {
        /// As the job's `fs` tools name it.
        path: String,
    },
    /// A program can be started.
    CommandAvailable {
        /// Its path or its name.
        command: String,
    },
    /// A variable is set.
    EnvExists {
        /// Its name.
        name: String,
    },
    /// A variable has this value.
    EnvEquals {
        /// Its name.
        name: String,
        /// What it is to be.
        value: String,
    },
    /// Nothing listens at this port.
    PortFree {
        /// The port.
        port: u16,
    },
    /// The directory in which one works has this in it.
    CwdContains {
        /// A name in it.
        path: String,
    },
    /// A program ended with this code.
    ExitCode {
        /// The code.
        equals: i64,
    },
    /// A program wrote this to its output.
    StdoutContains {
        /// What must stand in it.
        text: String,
    },
    /// A program wrote this to its error output.
    StderrContains {
        /// What must stand in it.
        text: String,
    },
    /// The answer's text has a place that fits this pattern.
    OutputRegex {
        /// In the syntax of the `regex` crate: without what needs backtracking.
        pattern: String,
    },
    /// The answer fits this JSON Schema.
    Shape {
        /// A small one, without references.
        schema: Json,
    },
    /// The answer has this value at a place.
    Equals {
        /// JSON pointer into the answer; empty is the whole.
        pointer: String,
        /// What is to stand there.
        value: Json,
    },
    /// The answer has a value at a place, be it `null`.
    Exists {
        /// JSON pointer into the answer.
        pointer: String,
    },
    /// Something that was recorded and that nobody here can judge.
    Other {
        /// As it was recorded.
        recorded: Json,
    },
}

impl Spec {
    /// The name of each kind.
    pub const KINDS: [&str; 16] = [
        "always",
        "file_exists",
        "path_not_exists",
        "command_available",
        "env_exists",
        "env_equals",
        "port_free",
        "cwd_contains",
        "exit_code",
        "stdout_contains",
        "stderr_contains",
        "output_regex",
        "shape",
        "equals",
        "exists",
        "other",
    ];

    /// Reads a check and holds it to its bounds.
    ///
    /// # Errors
    /// `invalid_request` that says what is wrong with it.
    pub fn parse(value: &Value) -> Result<Spec> {
        let spec = Spec::read(value)?;
        spec.require_bounds()?;
        Ok(spec)
    }

    /// Reads a check to show it: whether its patterns and schemas can be used takes time to find out, and nobody asks.
    ///
    /// # Errors
    /// `invalid_request` where it is none.
    pub fn read(value: &Value) -> Result<Spec> {
        serde_json::from_value(value.clone()).map_err(|e| Error::invalid("check", format!("not a check: {e}")))
    }

    /// The same as JSON; [`Spec::parse`] reads it back.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::from(&serde_json::to_value(self).expect("a check has string keys only"))
    }

    /// The kind's name, as it is stored and shown.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Spec::Always {} => "always",
            Spec::FileExists { .. } => "file_exists",
            Spec::PathNotExists { .. } => "path_not_exists",
            Spec::CommandAvailable { .. } => "command_available",
            Spec::EnvExists { .. } => "env_exists",
            Spec::EnvEquals { .. } => "env_equals",
            Spec::PortFree { .. } => "port_free",
            Spec::CwdContains { .. } => "cwd_contains",
            Spec::ExitCode { .. } => "exit_code",
            Spec::StdoutContains { .. } => "stdout_contains",
            Spec::StderrContains { .. } => "stderr_contains",
            Spec::OutputRegex { .. } => "output_regex",
            Spec::Shape { .. } => "shape",
            Spec::Equals { .. } => "equals",
            Spec::Exists { .. } => "exists",
            Spec::Other { .. } => "other",
        }
    }

    /// The fields that a kind has beside its name; none where there is no such kind.
    #[must_use]
    pub fn fields_of(kind: &str) -> Option<&'static [&'static str]> {
        Some(match kind {
            "always" => &[],
            "file_exists" | "path_not_exists" | "cwd_contains" => &["path"],
            "command_available" => &["command"],
            "env_exists" => &["name"],
            "env_equals" => &["name", "value"],
            "port_free" => &["port"],
            "exit_code" => &["equals"],
            "stdout_contains" | "stderr_contains" => &["text"],
            "output_regex" => &["pattern"],
            "shape" => &["schema"],
            "equals" => &["pointer", "value"],
            "exists" => &["pointer"],
            "other" => &["recorded"],
            _ => return None,
        })
    }

    /// True where it asks about a step's answer and about nothing else: it can be judged from a recording.
    #[must_use]
    pub fn is_of_answer(&self) -> bool {
        matches!(
            self,
            Spec::ExitCode { .. }
                | Spec::StdoutContains { .. }
                | Spec::StderrContains { .. }
                | Spec::OutputRegex { .. }
                | Spec::Shape { .. }
                | Spec::Equals { .. }
                | Spec::Exists { .. }
        )
    }

    /// What can be said without looking at the world; none where the world must be looked at.
    #[must_use]
    pub fn judge(&self, answer: Option<&Value>) -> Option<Finding> {
        match (self, answer) {
            (Spec::Always {}, _) => Some(Finding::pass("it always holds")),
            (Spec::Other { recorded }, _) => Some(Finding::unknown(format!("nobody here knows how to judge {recorded}"))),
            (spec, Some(answer)) if spec.is_of_answer() => Some(answer::judge(spec, answer)),
            (spec, None) if spec.is_of_answer() => Some(Finding::unknown("there is no answer yet")),
            _ => None,
        }
    }

    /// What a check may ask for at all: nothing that is large, and no pattern or schema that cannot be used.
    fn require_bounds(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::invalid("check", format!("{}: {message}", self.kind())));
        let bytes = self.to_json().as_str().len();
        if bytes > limits::CHECK_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("a check has at most {} bytes; this one has {bytes}", limits::CHECK_BYTES_MAX)));
        }
        match self {
            Spec::OutputRegex { pattern } => match answer::pattern(pattern) {
                Ok(_) => Ok(()),
                Err(why) => wrong(why),
            },
            Spec::Shape { schema } => match Shape::of(&schema.value()) {
                Ok(_) => Ok(()),
                Err(why) => wrong(why),
            },
            Spec::Equals { pointer, .. } | Spec::Exists { pointer } if !pointer.is_empty() && !pointer.starts_with('/') => {
                wrong(format!("{pointer:?} is not a JSON pointer"))
            }
            _ => Ok(()),
        }
    }
}

/// As a person reads it.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Always {} => f.write_str("always holds"),
            Spec::FileExists { path } => write!(f, "{path} exists"),
            Spec::PathNotExists { path } => write!(f, "there is nothing at {path}"),
            Spec::CommandAvailable { command } => write!(f, "{command} can be run"),
            Spec::EnvExists { name } => write!(f, "the variable {name} is set"),
            Spec::EnvEquals { name, value } => write!(f, "the variable {name} is {value:?}"),
            Spec::PortFree { port } => write!(f, "nothing listens at port {port}"),
            Spec::CwdContains { path } => write!(f, "the directory has {path} in it"),
            Spec::ExitCode { equals } => write!(f, "it ends with code {equals}"),
            Spec::StdoutContains { text } => write!(f, "its output has {text:?} in it"),
            Spec::StderrContains { text } => write!(f, "its error output has {text:?} in it"),
            Spec::OutputRegex { pattern } => write!(f, "its answer fits the pattern {pattern:?}"),
            Spec::Shape { schema } => write!(f, "its answer fits {schema}"),
            Spec::Equals { pointer, value } => write!(f, "{} is {value}", answer::place(pointer)),
            Spec::Exists { pointer } => write!(f, "there is {}", answer::place(pointer)),
            Spec::Other { recorded } => write!(f, "recorded and not understood: {recorded}"),
        }
    }
}

impl At {
    /// The snake_case text that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            At::Before => "before",
            At::After => "after",
        }
    }
}

impl Verdict {
    /// The snake_case text that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Unknown => "unknown",
        }
    }
}

impl Finding {
    /// It holds.
    #[must_use]
    pub fn pass(why: impl Into<String>) -> Finding {
        Finding::of(Verdict::Pass, why.into())
    }

    /// It does not hold.
    #[must_use]
    pub fn fail(why: impl Into<String>) -> Finding {
        Finding::of(Verdict::Fail, why.into())
    }

    /// Nobody can tell.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Finding {
        Finding::of(Verdict::Unknown, why.into())
    }

    fn of(verdict: Verdict, why: String) -> Finding {
        Finding { verdict, why: clipped(&why, limits::CHECK_WHY_CHARS_MAX) }
    }
}

/// At most so many characters of a text.
fn clipped(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
