//! Tests on the machine that one works on, without WebAssembly.
//!
//! A tool is a function: call it. [`call`] does so through JSON, as the host does. A playbook runs against a [`Script`].

#[cfg(feature = "playbook")]
pub(crate) mod host;
#[cfg(feature = "playbook")]
mod script;

#[cfg(feature = "playbook")]
pub use script::{Played, Script};

/// Calls a tool with JSON, as the host does.
///
/// # Errors
/// `invalid-input` where the JSON does not fit the tool's input; otherwise what the tool answers.
///
/// # Panics
/// Where the tool's output is no JSON.
#[cfg(feature = "tool")]
pub fn call<T: crate::Tool>(key: &str, input: &serde_json::Value) -> Result<serde_json::Value, crate::ToolError> {
    T::call(key, &input.to_string()).map(|output| serde_json::from_str(&output).expect("a tool's output was written as JSON"))
}
