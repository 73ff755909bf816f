//! The host that a [`Script`] plays: the same functions as the real one has.
//!
//! A playbook runs on the thread of its test, so the script is kept there.

use std::cell::RefCell;
use std::string::{String, ToString as _};
use std::vec::Vec;

use serde_json::Value;

use super::script::{Expected, Script};
use crate::flow::{Level, StepOptions};
use crate::{ErrorKind, Failure, Interruption, ToolError};

/// A playbook in a test, and what it did up to now.
#[derive(Debug)]
pub(super) struct Stage {
    pub script: Script,
    tools: &'static [&'static str],
    pub steps: Vec<String>,
    pub logs: Vec<(Level, String)>,
    pub compensated: bool,
    children: Vec<Result<Value, Failure>>,
    pub cancelled_children: Vec<usize>,
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Takes the script off the thread, also where the playbook panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        STAGE.with(|stage| stage.take());
    }
}

/// Runs `play` with this script as its host.
pub(super) fn with<T>(script: Script, tools: &'static [&'static str], play: impl FnOnce() -> T) -> (T, Stage) {
    let stage = Stage {
        script,
        tools,
        steps: Vec::new(),
        logs: Vec::new(),
        compensated: false,
        children: Vec::new(),
        cancelled_children: Vec::new(),
    };
    let before = STAGE.with(|place| place.replace(Some(stage)));
    assert!(before.is_none(), "a playbook in a script cannot play another");
    let leave = Leave;
    let done = play();
    let stage = STAGE.with(|place| place.take()).expect("nobody takes it while it plays");
    drop(leave);
    (done, stage)
}

fn stage<T>(ask: impl FnOnce(&mut Stage) -> T) -> T {
    STAGE.with(|place| {
        let mut place = place.borrow_mut();
        ask(place.as_mut().expect("a playbook has a host: in a test, play it with `reprise_guest::testing::Script`"))
    })
}

/// The next thing that the script expects.
fn next(asked: &dyn Fn() -> String) -> Expected {
    stage(|stage| stage.script.expected.pop_front())
        .unwrap_or_else(|| panic!("the playbook asks for more than the script has: {}", asked()))
}

fn differs(expected: &Expected, asked: &str) -> ! {
    panic!("the playbook asks otherwise than the script says\n  script:   {expected:?}\n  playbook: {asked}")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("it was written as JSON")
}

pub(crate) fn last_step() -> Option<String> {
    stage(|stage| stage.steps.last().cloned())
}

pub(crate) fn step(id: &str) {
    stage(|stage| stage.steps.push(id.to_string()));
}

pub(crate) fn step_with(id: &str, _: &StepOptions) {
    step(id);
}

pub(crate) fn call(tool: &str, input: &str) -> Result<String, ToolError> {
    if stage(|stage| !stage.tools.contains(&tool)) {
        return Err(ToolError::new(ErrorKind::Denied, format!("{tool} does not stand in the playbook's list of tools")));
    }
    let asked = || format!("call {tool} with {input}");
    match next(&asked) {
        Expected::Call { tool: expected, input: with, answer } if expected == tool && with == json(input) => {
            answer.map(|answer| answer.to_string())
        }
        other => differs(&other, &asked()),
    }
}

pub(crate) fn sleep(milliseconds: u64) -> Result<(), Interruption> {
    let asked = || format!("sleep {milliseconds} ms");
    match next(&asked) {
        Expected::Sleep { milliseconds: expected, answer } if expected == milliseconds => {
            stage(|stage| stage.script.now = stage.script.now.saturating_add(milliseconds));
            answer
        }
        other => differs(&other, &asked()),
    }
}

pub(crate) fn wait_signal(name: &str, _: Option<u64>) -> Result<Value, Interruption> {
    let asked = || format!("wait for the signal {name}");
    match next(&asked) {
        Expected::Signal { name: expected, answer } if expected == name => answer,
        other => differs(&other, &asked()),
    }
}

pub(crate) fn approve(title: &str, request: &str, _: Option<u64>) -> Result<Value, Interruption> {
    let asked = || format!("ask for approval of {title:?}: {request}");
    match next(&asked) {
        Expected::Approval { title: expected, request: with, answer } if expected == title && with == json(request) => answer,
        other => differs(&other, &asked()),
    }
}

pub(crate) fn compensate() {
    stage(|stage| stage.compensated = true);
}

fn start(what: &str, input: &str) -> u32 {
    let asked = || format!("start {what} with {input}");
    match next(&asked) {
        Expected::Child { what: expected, input: with, answer } if expected == what && with == json(input) => stage(|stage| {
            stage.children.push(answer);
            u32::try_from(stage.children.len() - 1).expect("a script has few children")
        }),
        other => differs(&other, &asked()),
    }
}

pub(crate) fn start_branch(branch: &str, input: &str) -> u32 {
    start(&format!("the branch {branch}"), input)
}

pub(crate) fn start_playbook(playbook: &str, input: &str) -> Result<u32, Failure> {
    Ok(start(&format!("the playbook {playbook}"), input))
}

pub(crate) fn join(child: u32) -> Result<String, Failure> {
    stage(|stage| stage.children[child as usize].clone()).map(|output| output.to_string())
}

pub(crate) fn first(children: &[u32]) -> u32 {
    let place = stage(|stage| stage.script.firsts.pop_front()).unwrap_or(0);
    *children.get(place).unwrap_or_else(|| panic!("the script says that child {place} is first, of {}", children.len()))
}

pub(crate) fn cancel_child(child: u32) {
    stage(|stage| stage.cancelled_children.push(child as usize));
}

pub(crate) fn now() -> u64 {
    stage(|stage| stage.script.now)
}

pub(crate) fn random_u64() -> u64 {
    stage(|stage| stage.script.random.pop_front()).expect("the playbook asks for a random number that the script does not have")
}

pub(crate) fn log(level: Level, message: &str) {
    stage(|stage| stage.logs.push((level, message.to_string())));
}
