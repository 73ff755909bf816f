//! The host, as [`crate::flow`] asks it. Where a playbook is tested, a script stands in its place.

use alloc::format;
use alloc::string::{String, ToString as _};

use core::cell::RefCell;

use serde_json::Value;

use super::json;
use super::playbook::playbook_world::reprise::playbook::flow;
use super::playbook::types;
use crate::flow::{Level, StepOptions, milliseconds};
use crate::{ErrorKind, Failure, Interruption, ToolError};

/// The step last named. A component has one thread.
struct Last(RefCell<Option<String>>);

// SAFETY: a component has one thread.
#[expect(unsafe_code, reason = "the language cannot know that a component has one thread")]
unsafe impl Sync for Last {}

static LAST: Last = Last(RefCell::new(None));

pub(crate) fn last_step() -> Option<String> {
    LAST.0.borrow().clone()
}

pub(crate) fn step(id: &str) {
    LAST.0.replace(Some(id.to_string()));
    flow::step(id);
}

pub(crate) fn step_with(id: &str, options: &StepOptions) {
    LAST.0.replace(Some(id.to_string()));
    flow::step_with(
        id,
        flow::StepOptions {
            tries: options.tries,
            first_pause_milliseconds: options.first_pause.map(milliseconds),
            call_timeout_milliseconds: options.call_timeout.map(milliseconds),
            step_timeout_milliseconds: options.step_timeout.map(milliseconds),
        },
    );
}

#[expect(unsafe_code, reason = "the imports of tools are in the playbook's own crate")]
unsafe extern "Rust" {
    // SAFETY: `#[playbook]` defines it, with this signature.
    safe fn __reprise_call(tool: &str, input: &str) -> Option<Result<String, types::ToolError>>;
}

pub(crate) fn call(tool: &str, input: &str) -> Result<String, ToolError> {
    match __reprise_call(tool, input) {
        Some(answer) => answer.map_err(ToolError::from),
        None => Err(ToolError::new(ErrorKind::Denied, format!("{tool} does not stand in the playbook's list of tools"))),
    }
}

fn interrupted(interruption: flow::Interruption) -> Interruption {
    match interruption {
        flow::Interruption::Expired => Interruption::Expired,
        flow::Interruption::Rejected(answer) => Interruption::Rejected(json(answer)),
        flow::Interruption::Cancelled => Interruption::Cancelled,
    }
}

pub(crate) fn sleep(milliseconds: u64) -> Result<(), Interruption> {
    flow::sleep(milliseconds).map_err(interrupted)
}

pub(crate) fn wait_signal(name: &str, timeout: Option<u64>) -> Result<Value, Interruption> {
    flow::wait_signal(name, timeout).map(json).map_err(interrupted)
}

pub(crate) fn approve(title: &str, request: &str, timeout: Option<u64>) -> Result<Value, Interruption> {
    flow::approve(title, request, timeout).map(json).map_err(interrupted)
}

pub(crate) fn compensate() {
    flow::compensate();
}

pub(crate) fn start_branch(branch: &str, input: &str) -> u32 {
    flow::start_branch(branch, input)
}

pub(crate) fn start_playbook(playbook: &str, input: &str) -> Result<u32, Failure> {
    flow::start_playbook(playbook, input).map_err(Failure::from)
}

pub(crate) fn join(child: u32) -> Result<String, Failure> {
    flow::join(child).map_err(Failure::from)
}

pub(crate) fn first(children: &[u32]) -> u32 {
    flow::first(children)
}

pub(crate) fn cancel_child(child: u32) {
    flow::cancel_child(child);
}

pub(crate) fn now() -> u64 {
    flow::now()
}

pub(crate) fn random_u64() -> u64 {
    flow::random_u64()
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => flow::Level::Debug,
        Level::Info => flow::Level::Info,
        Level::Warn => flow::Level::Warn,
        Level::Error => flow::Level::Error,
    };
    flow::log(level, message);
}
