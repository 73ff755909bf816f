//! Jobs at the door of the scheduler: real guests, a real store, tools that count.
//!
//! Nothing here waits by the clock: a test waits for a row to change or for a tool to be called, with a deadline that is met
//! only where something is broken.

mod children;
mod control;
mod external;
mod leases;
mod rig;
mod scripted;
mod simulation;
mod steps;
mod waits;

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::sandbox::{Effects, Finished};

/// What stands in for a guest.
pub(super) type Guest = Arc<dyn Fn(Box<dyn Effects>) -> Pin<Box<dyn Future<Output = Finished> + Send>> + Send + Sync>;

/// A node that calls `test/<effect>` and says who it is.
fn call(id: &str, effect: &str) -> Value {
    json!({"id": id, "kind": "tool", "tool": format!("test/{effect}"), "input": {"me": id}})
}

/// The same with more fields.
fn call_with(id: &str, effect: &str, more: &Value) -> Value {
    let mut node = call(id, effect);
    for (key, value) in more.as_object().unwrap() {
        node[key] = value.clone();
    }
    node
}

fn wait(id: &str, signal: &str) -> Value {
    json!({"id": id, "kind": "wait", "signal": signal})
}
