//! The tools that are built in, and what a job may reach with them.
//!
//! Its job: find a tool by its id, check the input against the tool's schema, perform the call within
//! its limits, and give an [`Outcome`]. It does not know guests, journals or jobs, and never decides
//! whether a call may be repeated: that follows from the [`Effect`] it declares.
//! The rule that must stay true: a call reaches what its [`Grants`] cover and nothing else, and no
//! outcome carries a host path.

pub mod config;
pub mod grants;

mod fs;

pub use config::Config;
pub use grants::{Access, FsGrant, Grant, GrantName, Grants};

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

use crate::contract::{Effect, ErrorKind, Outcome, ToolError, ToolId};
use crate::error::Issue;
use crate::json::Json;
use crate::{blocking, limits, metrics, spans};

/// What everyone may know about a tool.
#[derive(Debug, Clone)]
pub struct Info {
    /// Its name.
    pub id: ToolId,
    /// For whoever writes a call: what it does, in a sentence or two.
    pub description: &'static str,
    /// JSON Schema (2020-12) of the input.
    pub input_schema: Value,
    /// JSON Schema (2020-12) of the output.
    pub output_schema: Value,
    /// What repeating a call does.
    pub effect: Effect,
    /// What a job may do with it, for a security reviewer: "read files".
    pub words: &'static str,
}

/// A tool: what it says of itself, and the blocking function that does it.
struct Tool {
    info: Info,
    input: jsonschema::Validator,
    run: Run,
}

/// Performs a call whose input fits the schema. Blocks.
type Run = fn(&Call, &Value) -> Result<Value, ToolError>;

/// One call, as a tool sees it.
struct Call {
    /// Names this call for good: the same after a crash.
    key: String,
    grants: Grants,
    /// Nothing may begin to change after this.
    begin_until: Instant,
}

impl Call {
    /// True while there is time to begin something.
    fn has_time(&self) -> bool {
        Instant::now() < self.begin_until
    }

    /// Waits a little, longer with each of the `tries`, for what another call holds. False once the time is over.
    fn pause(&self, tries: u32) -> bool {
        let pause = Duration::from_millis(1 << tries.min(10)).min(limits::TOOL_PAUSE_MAX);
        std::thread::sleep(pause.min(self.begin_until.saturating_duration_since(Instant::now())));
        self.has_time()
    }
}

/// How long a call may take.
#[derive(Clone, Copy)]
struct Times {
    begin: Duration,
    answer: Duration,
}

/// Every tool there is, by id. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    /// Sorted by id.
    tools: Vec<Tool>,
    times: Times,
    /// Calls that may still change something, by tool and key. Held for a moment, never over an await.
    under_way: Mutex<HashSet<(ToolId, String)>>,
}

impl Registry {
    /// The tools that are part of this program.
    #[must_use]
    pub fn builtin() -> Registry {
        let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
        Registry::of(fs::tools(), times)
    }

    fn of(tools: Vec<(Info, Run)>, times: Times) -> Registry {
        let mut tools: Vec<Tool> = tools
            .into_iter()
            .map(|(info, run)| {
                let input = jsonschema::validator_for(&info.input_schema)
                    .expect("a built-in tool's input schema is a schema; a test holds it to that");
                Tool { info, input, run }
            })
            .collect();
        tools.sort_by(|a, b| a.info.id.cmp(&b.info.id));
        Registry(Arc::new(Inner { tools, times, under_way: Mutex::default() }))
    }

    fn find(&self, id: &ToolId) -> Option<usize> {
        self.0.tools.binary_search_by(|tool| tool.info.id.cmp(id)).ok()
    }

    /// What is known about the tool of this id.
    #[must_use]
    pub fn get(&self, id: &ToolId) -> Option<&Info> {
        self.find(id).map(|at| &self.0.tools[at].info)
    }

    /// Every tool, sorted by id.
    pub fn list(&self) -> impl Iterator<Item = &Info> {
        self.0.tools.iter().map(|tool| &tool.info)
    }

    /// Performs one call. `key` names this call for good: whoever repeats it after a crash gives the same one.
    ///
    /// The output is at most [`limits::JSON_BYTES_MAX`] bytes and comes within [`limits::TOOL_CALL_TIME_MAX`].
    /// Dropping the future does not stop work that has begun; a second attempt with the same key is
    /// `unavailable` until that work has ended, so that one call never runs beside itself.
    ///
    /// # Errors
    /// Each tool's page in `docs/TOOLS.md` lists its own. Any tool: `invalid-input` with every place that
    /// does not fit the schema, `not-found` where there is no such tool, `timeout`, `unavailable`, `broken`.
    pub async fn call(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Outcome {
        let (name, begun) = (id.to_string(), Instant::now());
        let span = spans::tool_call(&name, key);
        let outcome = self.perform(id, key, input, grants).instrument(span.clone()).await;
        let word = outcome.as_ref().err().map_or("ok", |error| error.kind.as_str());
        span.record("outcome", word);
        let tool = if self.find(id).is_some() { metrics::Tool::Registered(&name) } else { metrics::Tool::Unknown };
        metrics::tool_call(tool, word, begun.elapsed().as_secs_f64());
        outcome
    }

    async fn perform(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Outcome {
        let Some(at) = self.find(id) else { return Err(self.no_such_tool(id)) };
        let tool = &self.0.tools[at];
        if input.as_str().len() > limits::JSON_BYTES_MAX {
            let text = format!("the input has {} bytes; a tool takes at most {}", input.as_str().len(), limits::JSON_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::InvalidInput, text));
        }
        let under_way = if tool.info.effect.touches_nothing() { None } else { Some(UnderWay::begin(&self.0, id, key)?) };

        let call = Call { key: key.to_owned(), grants: grants.clone(), begin_until: Instant::now() + self.0.times.begin };
        let (inner, input) = (Arc::clone(&self.0), input.clone());
        let work = blocking::run(move || {
            let _until_done = under_way;
            catch_unwind(AssertUnwindSafe(|| inner.tools[at].perform(&call, &input)))
        });
        match tokio::time::timeout(self.0.times.answer, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                tracing::error!(tool = %id, "a built-in tool panicked");
                Err(ToolError::new(ErrorKind::Broken, format!("{id} stopped unexpectedly; this is a mistake in Reprise")))
            }
            Err(_) => {
                let seconds = self.0.times.answer.as_secs_f32();
                let known = if tool.info.effect.touches_nothing() { "" } else { ", and whether it took effect is not known" };
                Err(ToolError::new(ErrorKind::Timeout, format!("{id} did not answer within {seconds} s{known}")))
            }
        }
    }

    fn no_such_tool(&self, id: &ToolId) -> ToolError {
        let text = if id.is_external() {
            format!("{id} must be performed by an agent or a worker from outside, and this version cannot ask one yet")
        } else {
            let ids: Vec<String> = self.list().map(|info| info.id.to_string()).collect();
            format!("there is no tool {id}; there are {}", ids.join(", "))
        };
        ToolError::new(ErrorKind::NotFound, text)
    }
}

impl Tool {
    fn perform(&self, call: &Call, input: &Json) -> Outcome {
        let input = input.value();
        let issues: Vec<Issue> = self
            .input
            .iter_errors(&input)
            .take(limits::TOOL_ISSUES_MAX)
            // Masked: a message that repeats the value could be a megabyte long.
            .map(|e| Issue { path: e.instance_path().to_string(), message: cut(&e.masked().to_string()) })
            .collect();
        if !issues.is_empty() {
            let listed: Vec<String> =
                issues.iter().map(|i| if i.path.is_empty() { i.message.clone() } else { format!("{}: {}", i.path, i.message) }).collect();
            let detail = Json::from(&serde_json::json!({ "issues": issues }));
            let message = cut(&format!("the input does not fit {}: {}", self.info.id, listed.join("; ")));
            return Err(ToolError { kind: ErrorKind::InvalidInput, message, detail: Some(detail) });
        }
        let output = (self.run)(call, &input).map_err(|e| ToolError { message: cut(&e.message), ..e })?;
        let output = Json::from(&output);
        let bytes = output.as_str().len();
        if bytes > limits::JSON_BYTES_MAX {
            let text =
                format!("the output of {} would have {bytes} bytes; one JSON value has at most {}", self.info.id, limits::JSON_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::Failed, text));
        }
        Ok(output)
    }
}

/// The input as the tool's own type.
fn input<'v, T: Deserialize<'v>>(value: &'v Value) -> Result<T, ToolError> {
    T::deserialize(value).map_err(|e| ToolError::new(ErrorKind::InvalidInput, cut(&format!("the input does not fit: {e}"))))
}

/// As much of a message as one may be long.
fn cut(text: &str) -> String {
    text.chars().take(limits::GUEST_MESSAGE_CHARS_MAX).collect()
}

/// Marks a call that may still change something, until it is dropped.
struct UnderWay {
    inner: Arc<Inner>,
    call: (ToolId, String),
}

impl UnderWay {
    fn begin(inner: &Arc<Inner>, id: &ToolId, key: &str) -> Result<UnderWay, ToolError> {
        let call = (id.clone(), key.to_owned());
        // A set of names stays whole whatever panicked while it was held.
        let mut set = inner.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if !set.insert(call.clone()) {
            let text = format!("an earlier attempt at this very call of {id} is still under way; try again when it has ended");
            return Err(ToolError::new(ErrorKind::Unavailable, text));
        }
        drop(set);
        Ok(UnderWay { inner: Arc::clone(inner), call })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.call);
    }
}

#[cfg(test)]
mod tests;
