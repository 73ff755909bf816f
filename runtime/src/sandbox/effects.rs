//! What a guest may ask of the world, and the one trait that answers it.
//!
//! The trait has two real sides: *durable* (`jobs`: answer from the journal, or record and do) and
//! [`Scripted`](super::Scripted) (answer from a recorded run). The sandbox does not know which one it serves.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use crate::contract::{Outcome, ToolId};
use crate::error::Error;
use crate::json::Json;

/// A boxed future that may borrow from the effects.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Stop>> + Send + 'a>>;

/// Answers a guest's imports. An `Err` stops the guest at once; it never sees it.
pub trait Effects: Any + Send {
    /// The calls from here on belong to this step.
    fn step(&mut self, id: String);
    /// A tool call. `input` is canonical.
    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome>;
    /// Wall-clock time in milliseconds since the Unix epoch.
    fn now(&mut self) -> Answering<'_, u64>;
    /// 64 random bits.
    fn random(&mut self) -> Answering<'_, u64>;
    /// A line for people. Bounded in length and number by the sandbox.
    fn log(&mut self, level: Level, message: String);
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
    /// A call that must not be repeated was under way when an earlier process died.
    Uncertain {
        /// Number of the tool call, from 1.
        call: u64,
    },
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
