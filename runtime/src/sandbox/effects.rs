//! What a guest may ask of the world, and the one trait that answers it.
//!
//! The trait has two real sides: *durable* (`jobs`: answer from the journal, or record and do) and
//! [`Scripted`](super::Scripted) (answer from a recorded run). The sandbox does not know which one it serves.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use crate::checks::{Finding, Spec, Verdict};
use crate::contract::{Outcome, ToolId};
use crate::error::Error;
use crate::json::Json;

/// A boxed future that may borrow from the effects.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Stop>> + Send + 'a>>;

/// How the calls of a step are made; what is none is as the job says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepOptions {
    /// How often a call is tried in all; 1 is once.
    pub tries: Option<u32>,
    /// The pause before the second try, in milliseconds; doubled before each further one.
    pub first_pause_ms: Option<u64>,
    /// Time for one call, in milliseconds.
    pub call_timeout_ms: Option<u64>,
    /// Time for the whole step from its beginning, in milliseconds.
    pub step_timeout_ms: Option<u64>,
}

/// Why a wait came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interruption {
    /// The deadline passed first.
    Expired,
    /// A person said no, with these words.
    Rejected(Json),
    /// The job is to be cancelled.
    Cancelled,
}

/// What a wait came to.
pub type Waited<T> = Result<T, Interruption>;

/// What a child job is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildKind {
    /// Another branch of the same component.
    Branch(String),
    /// Another playbook, in its active version.
    Playbook(String),
}

/// Why a child, or a playbook, stopped short, as a guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFailure {
    /// The step at which it did.
    pub step: Option<String>,
    /// What happened.
    pub message: String,
    /// For programs.
    pub detail: Option<Json>,
}

/// What a child came to.
pub type ChildOutcome = Result<Json, GuestFailure>;

/// Answers a guest's imports. An `Err` of [`Answering`] stops the guest at once; it never sees it.
///
/// Waits and children belong to durable jobs; effects that have none refuse them, as the methods here do by themselves.
pub trait Effects: Any + Send {
    /// The calls from here on belong to this step.
    fn step(&mut self, id: String, options: StepOptions);
    /// A tool call. `input` is canonical.
    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome>;
    /// Wall-clock time in milliseconds since the Unix epoch.
    fn now(&mut self) -> Answering<'_, u64>;
    /// 64 random bits.
    fn random(&mut self) -> Answering<'_, u64>;
    /// Waits so many milliseconds.
    fn sleep(&mut self, _ms: u64) -> Answering<'_, Waited<()>> {
        not_provided("waits")
    }
    /// Waits for a signal of this name; its payload.
    fn wait_signal(&mut self, _name: String, _timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        not_provided("signals")
    }
    /// Waits until a person approves `request`; what they answered.
    fn approve(&mut self, _title: String, _request: Json, _timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        not_provided("approvals")
    }
    /// Judges a check: before the step's call where there is no answer yet. The failure is what the guest is told. By itself
    /// it is judged from the answer alone, and what would need a look at the world passes.
    fn check(&mut self, check: Json, answer: Option<Json>) -> Answering<'_, Result<(), GuestFailure>> {
        Box::pin(std::future::ready(Ok(judged_alone(&check, answer.as_ref()))))
    }
    /// The branch that this job is to do; none in the job that a client started.
    fn branch(&self) -> Option<String> {
        None
    }
    /// Starts a child; its number. The failure says why there can be none.
    fn start_child(&mut self, _kind: ChildKind, _input: Json) -> Answering<'_, Result<u32, GuestFailure>> {
        not_provided("children")
    }
    /// Waits for the end of a child.
    fn join(&mut self, _child: u32) -> Answering<'_, ChildOutcome> {
        not_provided("children")
    }
    /// Waits for the first of these children to end; its number.
    fn first(&mut self, _children: Vec<u32>) -> Answering<'_, u32> {
        not_provided("children")
    }
    /// Asks for a child to be cancelled.
    fn cancel_child(&mut self, _child: u32) -> Answering<'_, ()> {
        not_provided("children")
    }
    /// From here on the guest undoes what it did: a cancelled job's calls go through again.
    fn compensate(&mut self) -> Answering<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// A line for people. Bounded in length and number by the sandbox.
    fn log(&mut self, level: Level, message: String);
}

/// What can be said of a check without looking at the world.
fn judged_alone(check: &Json, answer: Option<&Json>) -> Result<(), GuestFailure> {
    let finding = match Spec::parse(&check.value()) {
        Ok(spec) => spec.judge(answer.map(Json::value).as_ref()),
        Err(e) => Some(Finding::unknown(e.message)),
    };
    match finding {
        Some(Finding { verdict: Verdict::Fail, why }) => {
            Err(GuestFailure { step: None, message: format!("check_failed: {why}"), detail: Some(check.clone()) })
        }
        _ => Ok(()),
    }
}

fn not_provided<T: Send + 'static>(what: &str) -> Answering<'static, T> {
    Box::pin(std::future::ready(Err(Stop::NotSupported(format!("there are no {what} to answer from")))))
}

/// Why the host stopped a guest.
#[derive(Debug, Clone)]
pub enum Stop {
    /// The journal or the disk failed. Nothing is wrong with the guest; it can go on later.
    Host(Error),
    /// The guest did not do what the journal or the recording says it did.
    Diverged {
        /// The place: of the call in a script, from 0; of the entry in a journal, from 1.
        at: u64,
        /// What was recorded there.
        expected: String,
        /// What the guest did.
        found: String,
    },
    /// The job stands: its journal says what it waits for. The guest is dropped, and begins anew when it goes on.
    Stands,
    /// A limit of the job was reached.
    Limit(String),
    /// Part of the contract that this version does not provide.
    NotSupported(String),
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, wasmtime::component::ComponentType, wasmtime::component::Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it; they are those of wit/playbook.wit")]
pub enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}
