//! The functions of nodes that do one thing: call a tool, wait, ask a person, start a playbook, fail.
//!
//! Each returns 0 where it came to its answer, the address of the failure where it failed, and where the plan says
//! what is to be done otherwise: [`REJECTED`] or [`EXPIRED`].

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::abi::{CANCELLED, FN_STEP, FN_TEXT, HEAP, at, byte_at, int};
use super::each;
use super::features::Import;
use super::layout::{ANSWER, RESULT};
use super::parts::Part;
use super::writer::{CHILD, FAILED, LEN, MARK, START, Text, Writer};
use crate::checks::At;
use crate::compiler::plan::{Approve, Check, Fail, Node, StartPlaybook, Step, StepOptions, Until, Wait};
use crate::contract::ErrorKind;

/// A person said no, and the plan says what is done then.
pub(super) const REJECTED: u32 = 1;
/// The deadline passed, and the plan says what is done then.
pub(super) const EXPIRED: u32 = 2;

/// How an interruption that the plan does not provide for is told.
struct Words<'a> {
    expired: &'a str,
    rejected: &'a str,
    cancelled: &'a str,
}

impl<'a> Writer<'a> {
    /// The function of a node.
    pub(super) fn node(mut self, node: &Node, parts: &[Part<'_>]) -> Function {
        // Two locals more than needed keep the numbers the same as in `run`, whose first two are parameters.
        let locals = match node {
            Node::Each(_) => each::LOCALS,
            _ if self.numbers.tree => CHILD + 1,
            _ => MARK + 1,
        };
        let mut f = Function::new([(locals, ValType::I32)]);
        let mut i = f.instructions();
        match node {
            Node::Step(step) => self.step(&mut i, step),
            Node::Wait(wait) => self.wait(&mut i, wait),
            Node::Approve(ask) => self.approve(&mut i, ask),
            Node::Playbook(start) => self.playbook(&mut i, start),
            Node::Fail(fail) => self.fail(&mut i, fail),
            Node::Parallel(parallel) => self.parallel(&mut i, parallel, parts),
            Node::Each(each) => self.each(&mut i, each),
            Node::Branch(_) | Node::Try(_) => unreachable!("they have no function of their own"),
        }
        i.end();
        f
    }

    fn step(&mut self, i: &mut InstructionSink<'_>, step: &Step) {
        let id = self.begin(i, &step.id, step.options);
        self.checks(i, step, At::Before, id);
        self.require(i, &step.input, id, &step.id);
        self.put_together(i, &step.input);
        i.local_get(START).local_get(LEN).i32_const(int(ANSWER)).call(self.numbers.tools[&step.tool]);
        // err: leave with the tool's own words
        i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
        if self.numbers.tree {
            let kind = ErrorKind::ALL.iter().position(|kind| *kind == ErrorKind::Cancelled).expect("it is one of all");
            i.i32_const(int(ANSWER)).i32_load8_u(byte_at(4)).i32_const(i32::try_from(kind).expect("a few kinds")).i32_eq();
            i.global_set(CANCELLED);
        }
        self.text(i, id);
        self.static_text(i, &step.tool.to_string());
        i.call(self.numbers.refused).return_().end();
        i.i32_const(int(ANSWER)).i32_load(at(4)).local_set(START);
        i.i32_const(int(ANSWER)).i32_load(at(8)).local_set(LEN);
        // Done is done, whatever the answer lacks.
        if let Some(mark) = self.layout.done.get(&step.id).copied() {
            let (address, len) = self.layout.text("true");
            i.i32_const(int(mark)).i32_const(int(address)).i32_store(at(0));
            i.i32_const(int(mark)).i32_const(int(len)).i32_store(at(4));
        }
        self.checks(i, step, At::After, id);
        let takes = self.wanted(&step.id, &step.tool.to_string());
        self.take(i, &takes, id);
        i.i32_const(0);
    }

    /// Asks for the checks of one place, in their order, and leaves the function with the failure that the host makes of one
    /// that does not hold. After the call, its answer is in START and LEN, and stays there.
    fn checks(&mut self, i: &mut InstructionSink<'_>, step: &Step, when: At, id: Text) {
        let checks: Vec<&Check> = step.checks.iter().filter(|check| check.at == when).collect();
        if checks.is_empty() {
            return;
        }
        let after = when == At::After;
        if after {
            i.local_get(START).local_set(FAILED).local_get(LEN).local_set(CHILD);
        }
        for check in checks {
            self.require(i, &check.is, id, &step.id);
            self.put_together(i, &check.is);
            i.local_get(START).local_get(LEN).i32_const(i32::from(after));
            if after {
                i.local_get(FAILED).local_get(CHILD);
            } else {
                i.i32_const(0).i32_const(0);
            }
            i.i32_const(int(RESULT)).call(self.import(Import::Require));
            i.i32_const(int(RESULT)).i32_load8_u(byte_at(0)).if_(BlockType::Empty).i32_const(int(RESULT)).return_().end();
        }
        if after {
            i.local_get(FAILED).local_set(START).local_get(CHILD).local_set(LEN);
        }
    }

    /// Says to the host which step this is, and marks where its memory begins.
    pub(super) fn begin(&mut self, i: &mut InstructionSink<'_>, id: &str, options: StepOptions) -> Text {
        let id = self.named(i, id);
        self.text(i, id);
        if options.is_none() {
            i.call(FN_STEP);
        } else {
            i.i32_const(i32::from(options.tries.is_some())).i32_const(int(options.tries.unwrap_or_default()));
            for ms in [options.first_pause_ms, options.call_timeout_ms, options.step_timeout_ms] {
                optional(i, ms);
            }
            i.call(self.import(Import::StepWith));
        }
        i.global_get(HEAP).local_set(MARK);
        id
    }

    fn wait(&mut self, i: &mut InstructionSink<'_>, wait: &Wait) {
        let id = self.begin(i, &wait.id, StepOptions::default());
        match &wait.until {
            Until::SleepMs(ms) => {
                i.i64_const(ms.cast_signed()).i32_const(int(ANSWER)).call(self.import(Import::Sleep));
            }
            Until::Signal { name, timeout_ms } => {
                self.static_text(i, name);
                optional(i, *timeout_ms);
                i.i32_const(int(ANSWER)).call(self.import(Import::WaitSignal));
            }
        }
        let expired = match &wait.until {
            Until::SleepMs(_) => "the deadline passed during the sleep".to_owned(),
            Until::Signal { name, .. } => format!("no signal {name:?} came in time"),
        };
        let words = Words { expired: &expired, rejected: "the wait was rejected", cancelled: "cancelled while waiting" };
        self.interrupted(i, &wait.id, id, &words, (false, wait.expired.is_some()));
        if let Until::Signal { .. } = wait.until {
            i.i32_const(int(ANSWER)).i32_load(at(4)).local_set(START);
            i.i32_const(int(ANSWER)).i32_load(at(8)).local_set(LEN);
            let takes = self.wanted(&wait.id, "the signal");
            self.take(i, &takes, id);
        } else {
            // A sleep answers with nothing; whoever refers to it gets that.
            let nothing = self.layout.text("null");
            i.i32_const(int(nothing.0)).local_set(START).i32_const(int(nothing.1)).local_set(LEN);
            let takes = self.wanted(&wait.id, "the sleep");
            self.take(i, &takes, id);
        }
        i.i32_const(0);
    }

    fn approve(&mut self, i: &mut InstructionSink<'_>, ask: &Approve) {
        let id = self.begin(i, &ask.id, StepOptions::default());
        self.require(i, &ask.request, id, &ask.id);
        self.put_together(i, &ask.request);
        self.static_text(i, &ask.title);
        i.local_get(START).local_get(LEN);
        optional(i, ask.timeout_ms);
        i.i32_const(int(ANSWER)).call(self.import(Import::Approve));
        let (rejected, expired) = (format!("rejected: {}", ask.title), format!("nobody decided in time: {}", ask.title));
        let words = Words { expired: &expired, rejected: &rejected, cancelled: "cancelled while waiting for a decision" };
        self.interrupted(i, &ask.id, id, &words, (ask.rejected.is_some(), ask.expired.is_some()));
        i.i32_const(int(ANSWER)).i32_load(at(4)).local_set(START);
        i.i32_const(int(ANSWER)).i32_load(at(8)).local_set(LEN);
        let takes = self.wanted(&ask.id, "the person");
        self.take(i, &takes, id);
        i.i32_const(0);
    }

    /// Leaves the function where the answer area holds an interruption: with a failure, or with its number where the
    /// plan says what is done after a rejection or after the deadline.
    fn interrupted(&mut self, i: &mut InstructionSink<'_>, node: &str, id: Text, words: &Words<'_>, provided: (bool, bool)) {
        i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
        i.i32_const(int(ANSWER)).i32_load8_u(byte_at(4)).i32_const(2).i32_eq().if_(BlockType::Empty);
        i.i32_const(1).global_set(CANCELLED);
        self.failure(i, id, words.cancelled, r#"{"kind":"cancelled"}"#);
        i.end();
        i.i32_const(int(ANSWER)).i32_load8_u(byte_at(4)).i32_const(1).i32_eq().if_(BlockType::Empty);
        i.i32_const(int(ANSWER)).i32_load(at(8)).local_set(START);
        i.i32_const(int(ANSWER)).i32_load(at(12)).local_set(LEN);
        if provided.0 {
            let takes = self.wanted(node, "the person");
            self.take(i, &takes, id);
            i.i32_const(int(REJECTED)).return_();
        } else {
            i.global_get(HEAP).local_set(MARK);
            self.static_text(i, r#"{"answer":"#);
            i.call(self.numbers.push).local_get(START).local_get(LEN).call(self.numbers.push);
            self.static_text(i, r#","kind":"rejected"}"#);
            i.call(self.numbers.push);
            self.text(i, id);
            self.static_text(i, words.rejected);
            i.local_get(MARK).global_get(HEAP).local_get(MARK).i32_sub().call(self.numbers.fail).return_();
        }
        i.end();
        if provided.1 {
            i.i32_const(int(EXPIRED)).return_();
        } else {
            self.failure(i, id, words.expired, r#"{"kind":"expired"}"#);
        }
        i.end();
    }

    fn failure(&mut self, i: &mut InstructionSink<'_>, id: Text, message: &str, detail: &str) {
        self.text(i, id);
        self.static_text(i, message);
        self.static_text(i, detail);
        i.call(self.numbers.fail).return_();
    }

    fn playbook(&mut self, i: &mut InstructionSink<'_>, start: &StartPlaybook) {
        let id = self.begin(i, &start.id, StepOptions::default());
        self.require(i, &start.input, id, &start.id);
        self.put_together(i, &start.input);
        self.static_text(i, &start.playbook);
        i.local_get(START).local_get(LEN).i32_const(int(RESULT)).call(self.import(Import::StartPlaybook));
        let words = format!("playbook {}: ", start.playbook);
        self.of_playbook(i, id, &words);
        i.i32_const(int(RESULT)).i32_load(at(4)).i32_const(int(RESULT)).call(self.import(Import::Join));
        self.of_playbook(i, id, &words);
        i.i32_const(int(RESULT)).i32_load(at(4)).local_set(START);
        i.i32_const(int(RESULT)).i32_load(at(8)).local_set(LEN);
        let takes = self.wanted(&start.id, &format!("playbook {}", start.playbook));
        self.take(i, &takes, id);
        i.i32_const(0);
    }

    /// Leaves the function where the result area holds a failure.
    fn of_playbook(&mut self, i: &mut InstructionSink<'_>, id: Text, words: &str) {
        i.i32_const(int(RESULT)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
        self.text(i, id);
        self.static_text(i, words);
        i.call(self.numbers.of_playbook).return_().end();
    }

    fn fail(&mut self, i: &mut InstructionSink<'_>, fail: &Fail) {
        let id = self.begin(i, &fail.id, StepOptions::default());
        self.require(i, &fail.message, id, &fail.id);
        self.put_together(i, &fail.message);
        i.local_get(START).local_get(LEN).i32_const(int(ANSWER)).call(FN_TEXT);
        self.text(i, id);
        i.i32_const(int(ANSWER)).i32_load(at(0)).i32_const(int(ANSWER)).i32_load(at(4));
        i.call(self.numbers.missing);
    }
}

/// An `option<u64>` as the canonical ABI flattens it.
fn optional(i: &mut InstructionSink<'_>, value: Option<u64>) {
    i.i32_const(i32::from(value.is_some())).i64_const(value.unwrap_or_default().cast_signed());
}
