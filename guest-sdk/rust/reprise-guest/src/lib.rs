//! Tools and playbooks for Reprise, as typed Rust functions.
//!
//! A **tool** is a function from one JSON value to another. Its types say what the JSON looks like: `serde` reads and writes it, and
//! `schemars` makes the schemas that the host shows and checks.
//!
//! ```
//! # #[cfg(all(feature = "tool", feature = "std"))] {
//! use reprise_guest::{JsonSchema, ToolError, tool};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Refund { order: u64, cents: u64 }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Receipt { id: String }
//!
//! /// Pays an order back.
//! #[tool(name = "payments/refund", effect = once)]
//! fn refund(input: Refund, key: &str) -> Result<Receipt, ToolError> {
//!     Ok(Receipt { id: format!("{}-{key}", input.order) })
//! }
//!
//! reprise_guest::export_tools!(refund);
//!
//! // On the host it is a plain function.
//! assert_eq!(refund(Refund { order: 7, cents: 1200 }, "k").unwrap().id, "7-k");
//! # }
//! ```
//!
//! A **playbook** is a function that calls tools and waits, as [`flow`] has it. The tools that it may call stand in the
//! attribute and become the component's imports; it can reach nothing else.
//!
//! ```
//! # #[cfg(all(feature = "playbook", feature = "std"))] {
//! use reprise_guest::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Order { id: u64, cents: u64 }
//!
//! #[playbook(tools = ["payments/refund"])]
//! fn pay_back(order: Order) -> Result<Value, Failure> {
//!     step("ask");
//!     approve("Pay it back?", &json!({"order": order.id, "cents": order.cents}), None)?;
//!     step("pay");
//!     Ok(call("payments/refund", &json!({"order": order.id, "cents": order.cents}))?)
//! }
//!
//! // On the host it runs against a script: what it is expected to ask for, and what it is answered.
//! use reprise_guest::testing::Script;
//! let order = json!({"order": 7, "cents": 1200});
//! let played = Script::new()
//!     .approve("Pay it back?", order.clone(), Ok(json!({"by": "ann"})))
//!     .call("payments/refund", order, Ok(json!({"id": "r-1"})))
//!     .play::<pay_back>(json!({"id": 7, "cents": 1200}));
//! assert_eq!(played.result, Ok(json!({"id": "r-1"})));
//! # }
//! ```
//!
//! # The standard library
//!
//! For WebAssembly the standard library asks the host for an environment, a clock and more (WASI). A tool may ask; what it is not
//! granted answers nothing. A playbook may not: its answers must come from its journal. So a playbook leaves the feature `std`
//! of this crate out and says `#![no_std]`; [`prelude`] has strings, vectors and maps.

#![cfg_attr(all(target_family = "wasm", not(feature = "std")), no_std)]

extern crate alloc;
// The attributes speak of this crate by its name, here too.
extern crate self as reprise_guest;

mod words;
#[cfg(feature = "tool")]
mod tools;
#[cfg(feature = "playbook")]
mod playbooks;
#[cfg(feature = "playbook")]
pub mod flow;
pub mod prelude;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
#[cfg(all(target_family = "wasm", not(feature = "std")))]
mod bare;
#[cfg(target_family = "wasm")]
mod border;

#[cfg(feature = "playbook")]
pub use playbooks::Playbook;
#[cfg(feature = "playbook")]
pub use reprise_guest_macros::playbook;
#[cfg(feature = "tool")]
pub use reprise_guest_macros::tool;
#[cfg(feature = "tool")]
pub use schemars::JsonSchema;
#[cfg(feature = "tool")]
pub use tools::{Description, Effect, Reconciliation, Tool};
pub use words::{ErrorKind, ToolError};
#[cfg(feature = "playbook")]
pub use words::{Failure, Interruption};

#[cfg(all(target_family = "wasm", not(feature = "std"), feature = "tool", feature = "playbook"))]
compile_error!("a component is a tool or a playbook: take one of the features `tool` and `playbook`");

/// What the macros of this crate expand to. Nothing here is for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use alloc::string::String;
    pub use alloc::vec::Vec;

    #[cfg(target_family = "wasm")]
    pub use crate::border::*;
    #[cfg(feature = "playbook")]
    pub use crate::playbooks::{no_such_branch, played};
    #[cfg(feature = "tool")]
    pub use crate::tools::{Entry, answered, described, reconciled, same_namespace};
}
