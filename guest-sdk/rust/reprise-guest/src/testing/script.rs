//! A job's past, written down before it happens: what a playbook is expected to ask for, in order, and what it is answered.

use std::collections::VecDeque;
use std::string::{String, ToString as _};
use std::time::Duration;
use std::vec::Vec;

use serde::Serialize;
use serde_json::Value;

use super::host;
use crate::flow::Level;
use crate::{Failure, Interruption, Playbook, ToolError};

/// What a playbook is expected to ask for, and what it is answered.
///
/// The order is that of the playbook. A call that stands at another place, or with another input, is a panic that shows both.
#[derive(Debug, Default)]
pub struct Script {
    pub(super) expected: VecDeque<Expected>,
    pub(super) firsts: VecDeque<usize>,
    pub(super) now: u64,
    pub(super) random: VecDeque<u64>,
}

/// One thing that a playbook asks for.
#[derive(Debug)]
pub(super) enum Expected {
    Call { tool: String, input: Value, answer: Result<Value, ToolError> },
    Sleep { milliseconds: u64, answer: Result<(), Interruption> },
    Signal { name: String, answer: Result<Value, Interruption> },
    Approval { title: String, request: Value, answer: Result<Value, Interruption> },
    Child { what: String, input: Value, answer: Result<Value, Failure> },
}

/// What a playbook did.
#[derive(Debug)]
#[must_use]
pub struct Played {
    /// What it came to.
    pub result: Result<Value, Failure>,
    /// The steps that it named, in order.
    pub steps: Vec<String>,
    /// What it wrote to the log.
    pub logs: Vec<(Level, String)>,
    /// True where it said that it undoes what it did.
    pub compensated: bool,
    /// The children it asked to be cancelled, by the place at which they were started.
    pub cancelled_children: Vec<usize>,
}

impl Script {
    /// Nothing is expected; it is 1970, and there are no random numbers.
    #[must_use]
    pub fn new() -> Script {
        Script::default()
    }

    fn then(mut self, expected: Expected) -> Script {
        self.expected.push_back(expected);
        self
    }

    /// A call of `tool` with exactly this input.
    #[must_use]
    pub fn call(self, tool: &str, input: Value, answer: Result<Value, ToolError>) -> Script {
        self.then(Expected::Call { tool: tool.to_string(), input, answer })
    }

    /// A sleep of this length. It moves the time that [`now`](crate::flow::now) gives.
    #[must_use]
    pub fn sleep(self, time: Duration, answer: Result<(), Interruption>) -> Script {
        self.then(Expected::Sleep { milliseconds: crate::flow::milliseconds(time), answer })
    }

    /// A wait for the signal `name`.
    #[must_use]
    pub fn signal(self, name: &str, answer: Result<Value, Interruption>) -> Script {
        self.then(Expected::Signal { name: name.to_string(), answer })
    }

    /// A question to a person, with this title and exactly this request.
    #[must_use]
    pub fn approve(self, title: &str, request: Value, answer: Result<Value, Interruption>) -> Script {
        self.then(Expected::Approval { title: title.to_string(), request, answer })
    }

    /// A child job that does another branch of the playbook, and what it comes to. The branch itself is played by
    /// [`Script::play_branch`].
    #[must_use]
    pub fn branch(self, branch: &str, input: Value, answer: Result<Value, Failure>) -> Script {
        self.then(Expected::Child { what: format!("the branch {branch}"), input, answer })
    }

    /// A child job that runs another playbook, and what it comes to.
    #[must_use]
    pub fn playbook(self, playbook: &str, input: Value, answer: Result<Value, Failure>) -> Script {
        self.then(Expected::Child { what: format!("the playbook {playbook}"), input, answer })
    }

    /// Which child the next [`first`](crate::flow::first) gives, by its place in the list that it is asked about. Without this word it is
    /// the first of the list.
    #[must_use]
    pub fn first(mut self, place: usize) -> Script {
        self.firsts.push_back(place);
        self
    }

    /// The time at the start, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now(mut self, milliseconds: u64) -> Script {
        self.now = milliseconds;
        self
    }

    /// The random numbers, in order.
    #[must_use]
    pub fn random(mut self, numbers: impl IntoIterator<Item = u64>) -> Script {
        self.random.extend(numbers);
        self
    }

    /// Runs the playbook on this input, through JSON, as a job does.
    ///
    /// # Panics
    /// Where the playbook asks for something else than the script says, or ends while the script expects more.
    pub fn play<P: Playbook>(self, input: impl Serialize) -> Played {
        self.play_part::<P>(None, input)
    }

    /// Runs a branch of the playbook, as a child job does.
    ///
    /// # Panics
    /// As [`Script::play`].
    pub fn play_branch<P: Playbook>(self, branch: &str, input: impl Serialize) -> Played {
        self.play_part::<P>(Some(branch), input)
    }

    fn play_part<P: Playbook>(self, branch: Option<&str>, input: impl Serialize) -> Played {
        let input = serde_json::to_string(&input).expect("the input of a test is JSON");
        let (result, stage) = host::with(self, P::TOOLS, || P::start(branch, &input));
        assert!(
            stage.script.expected.is_empty(),
            "the playbook ended with {result:?}, and the script expects more: {:#?}",
            stage.script.expected
        );
        Played {
            result: result.map(|output| serde_json::from_str(&output).expect("a playbook's output was written as JSON")),
            steps: stage.steps,
            logs: stage.logs,
            compensated: stage.compensated,
            cancelled_children: stage.cancelled_children,
        }
    }
}
