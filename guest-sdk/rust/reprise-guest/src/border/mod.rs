//! The border to the host: the contract of `wit/`, and its types turned into those of this crate and back.
//!
//! Its names are part of what the macros expand to.

#[cfg(feature = "playbook")]
use alloc::string::String;

#[cfg(feature = "playbook")]
use serde_json::Value;

pub use wit_bindgen;

#[cfg(feature = "playbook")]
pub use playbook::*;
#[cfg(feature = "tool")]
pub use tool::*;

#[cfg(feature = "playbook")]
pub(crate) mod host;
#[cfg(feature = "playbook")]
mod playbook;
#[cfg(feature = "tool")]
mod tool;

#[cfg(feature = "playbook")]
/// What came over the border as JSON; text that is none stays text.
fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
