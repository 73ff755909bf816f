//! From a typed function to a playbook: JSON text in and out, and the step that a failure belongs to.

use alloc::format;
use alloc::string::String;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::flow::host;

/// A function with the attribute [`playbook`](macro@crate::playbook). The attribute implements it, for a type with the function's name.
pub trait Playbook {
    /// The tools that it imports.
    const TOOLS: &'static [&'static str];
    /// The functions that [`start_branch`](crate::flow::start_branch) may name.
    const BRANCHES: &'static [&'static str];

    /// Runs it, or one of its branches, from the beginning.
    ///
    /// # Errors
    /// Where the text does not fit the function's input; otherwise what the function fails with.
    fn start(branch: Option<&str>, input: &str) -> Result<String, Failure>;
}

/// Calls a function with JSON text.
#[doc(hidden)]
pub fn played<I: DeserializeOwned, O: Serialize, E: Into<Failure>>(
    input: &str,
    function: impl FnOnce(I) -> Result<O, E>,
) -> Result<String, Failure> {
    let input = serde_json::from_str(input).map_err(|e| Failure::new(format!("the input does not fit: {e}")))?;
    let done = match function(input) {
        Ok(output) => serde_json::to_string(&output).map_err(|e| Failure::new(format!("the output is no JSON: {e}"))),
        Err(error) => Err(error.into()),
    };
    done.map_err(|failure| Failure { step: failure.step.or_else(host::last_step), ..failure })
}

/// A branch that the playbook does not list.
#[doc(hidden)]
pub fn no_such_branch(name: &str, known: &[&str]) -> Result<String, Failure> {
    Err(Failure::new(format!("this playbook has no branch {name:?}; its attribute lists {known:?}")))
}
