//! What a playbook can do besides computing: call tools, wait, and start other jobs. All of it is kept in the job's journal, so after a
//! crash the playbook begins anew and is given the same answers up to where it was.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ErrorKind, Failure, Interruption, ToolError};

#[cfg(target_family = "wasm")]
pub(crate) use crate::border::host;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::host;

/// Names the step that the calls from here on belong to.
pub fn step(id: &str) {
    host::step(id);
}

/// How the calls of a step are made, where it is to be otherwise than the job says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepOptions {
    /// How often a call is tried in all where the error may pass; 1 is once.
    pub tries: Option<u32>,
    /// The pause before the second try; doubled before each further one.
    pub first_pause: Option<Duration>,
    /// Time for one call.
    pub call_timeout: Option<Duration>,
    /// Time for the whole step, from here on; pauses count.
    pub step_timeout: Option<Duration>,
}

/// As [`step`], and says how its calls are made.
pub fn step_with(id: &str, options: &StepOptions) {
    host::step_with(id, options);
}

/// Calls a tool that stands in the playbook's attribute.
///
/// # Errors
/// What the tool answers in place of an output; `denied` for a tool that the attribute does not list; `broken` where the
/// answer does not fit `O`.
pub fn call<O: DeserializeOwned>(tool: &str, input: &impl Serialize) -> Result<O, ToolError> {
    let input = serde_json::to_string(input).map_err(|e| ToolError::new(ErrorKind::InvalidInput, format!("the input is no JSON: {e}")))?;
    let answer = host::call(tool, &input)?;
    serde_json::from_str(&answer).map_err(|e| ToolError::new(ErrorKind::Broken, format!("the answer of {tool} does not fit: {e}")))
}

/// Waits, for days if need be. Nothing is held in memory meanwhile. Less than a millisecond is none.
///
/// # Errors
/// `Cancelled` where the job is to be cancelled.
pub fn sleep(time: Duration) -> Result<(), Interruption> {
    host::sleep(milliseconds(time))
}

/// Waits for a signal of this name. One that came earlier is taken at once.
///
/// # Errors
/// `Expired` after `timeout`, `Cancelled` where the job is to be cancelled.
pub fn wait_signal(name: &str, timeout: Option<Duration>) -> Result<Value, Interruption> {
    host::wait_signal(name, timeout.map(milliseconds))
}

/// Waits for a person to approve `request` as it is shown to them, and gives what they answered.
///
/// # Errors
/// `Rejected` with what they answered, `Expired` after `timeout`, `Cancelled` where the job is to be cancelled.
pub fn approve(title: &str, request: &impl Serialize, timeout: Option<Duration>) -> Result<Value, Interruption> {
    // What cannot be written as JSON is shown as nothing: the person still decides.
    let request = serde_json::to_string(request).unwrap_or_else(|_| "null".to_string());
    host::approve(title, &request, timeout.map(milliseconds))
}

/// From here on the playbook undoes what it did. Until it says so, every call and every wait of a job that is to be cancelled
/// comes back with `cancelled`; from here on they go through again.
pub fn compensate() {
    host::compensate();
}

/// A job that this one started.
#[derive(Debug, PartialEq, Eq)]
pub struct Child(u32);

/// Starts a job that does another branch of this same playbook, beside this one: a function that the attribute lists under
/// `branches`, by its name.
///
/// # Errors
/// Where the input cannot be written as JSON.
pub fn start_branch(branch: &str, input: &impl Serialize) -> Result<Child, Failure> {
    Ok(Child(host::start_branch(branch, &serde_json::to_string(input)?)))
}

/// Starts a job that runs another playbook, in the version that is newest now.
///
/// # Errors
/// Where there is no such playbook, or the input cannot be written as JSON.
pub fn start_playbook(playbook: &str, input: &impl Serialize) -> Result<Child, Failure> {
    host::start_playbook(playbook, &serde_json::to_string(input)?).map(Child)
}

/// Waits until one of the children has ended, and gives its place in the list. The others go on. None where the list is empty.
#[must_use]
pub fn first(children: &[&Child]) -> Option<usize> {
    if children.is_empty() {
        return None;
    }
    let numbers: Vec<u32> = children.iter().map(|child| child.0).collect();
    let ended = host::first(&numbers);
    numbers.iter().position(|number| *number == ended)
}

impl Child {
    /// Waits until it has ended, and gives its output.
    ///
    /// # Errors
    /// What it failed with, or that its output does not fit `O`.
    pub fn join<O: DeserializeOwned>(&self) -> Result<O, Failure> {
        let output = host::join(self.0)?;
        serde_json::from_str(&output).map_err(|e| Failure::new(format!("the output of a child does not fit: {e}")))
    }

    /// Asks for it to be cancelled; [`Child::join`] says what became of it.
    pub fn cancel(&self) {
        host::cancel_child(self.0);
    }
}

/// Milliseconds since the Unix epoch, as the journal has it.
#[must_use]
pub fn now() -> u64 {
    host::now()
}

/// A random number, as the journal has it.
#[must_use]
pub fn random_u64() -> u64 {
    host::random_u64()
}

/// How loud a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever writes the playbook.
    Debug,
    /// For whoever watches the job.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// Writes to the job's log.
pub fn log(level: Level, message: impl fmt::Display) {
    let message: String = message.to_string();
    host::log(level, &message);
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
