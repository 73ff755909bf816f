//! What a guest needs at hand: `use reprise_guest::prelude::*;`. In a crate without the standard library it brings strings, vectors
//! and maps too, from `alloc`.

pub use alloc::borrow::ToOwned;
pub use alloc::boxed::Box;
pub use alloc::collections::{BTreeMap, BTreeSet};
pub use alloc::string::{String, ToString};
pub use alloc::vec::Vec;
pub use alloc::{format, vec};
pub use core::time::Duration;

pub use serde::{self, Deserialize, Serialize};
pub use serde_json::{self, Value, json};

#[cfg(feature = "playbook")]
pub use crate::flow::{
    Child, Level, StepOptions, approve, call, compensate, first, log, now, random_u64, sleep, start_branch, start_playbook, step,
    step_with, wait_signal,
};
pub use crate::{ErrorKind, ToolError};
#[cfg(feature = "playbook")]
pub use crate::{Failure, Interruption, Playbook, playbook};
#[cfg(feature = "tool")]
pub use crate::{JsonSchema, Reconciliation, Tool, export_tools, tool};
