//! What can happen to a job, one variant each.
//!
//! Its job: the words of the journal. It does not know which word may follow which (`state`), what the
//! words look like on disk (`stored`) or who writes them. The rule: an entry says what happened and is
//! never changed; whatever else is known about a job follows from its entries in order.
//!
//! The fields of what is about waiting stand in `waits`, of what is about control in `control`; nothing else about a
//! job has a place of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::checked::{Checked, HandedOver};
use super::control::{CancelRequested, Cancelled, Continued, Drifted, Parked, Paused, Reattempted, Resolved, Retrying};
use super::options::{Options, Parent};
use super::waits::{ChildCancelled, ChildEnded, ChildStarted, Signalled, Waiting, Woken};
use crate::contract::{Effect, ToolError, ToolId};
use crate::ids::{Digest, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

/// One thing that happened, at its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place: the first entry is 1, so that "after 0" means all of them.
    pub seq: u64,
    /// When it was written, in milliseconds since the Unix epoch. Never earlier than the entry before it.
    pub at_ms: u64,
    /// [`Entry::hash`] of the entry before it; see [`Tip::first`](super::chain::Tip::first) for the first one's.
    pub prev: Digest,
    /// SHA-256 of its stored bytes.
    pub hash: Digest,
    /// What happened.
    pub body: Body,
}

/// What happened. The names of the variants, in snake case, are the kinds that people and programs see.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// The job was accepted. Always the first entry and never a later one.
    Created {
        /// The playbook it runs.
        playbook_id: PlaybookId,
        /// The playbook's version; versions never change.
        version: u32,
        /// Digest of the component, so that the journal alone says which code it belongs to.
        component: Digest,
        /// What `run` is called with.
        input: Payload,
        /// Digest of the input's canonical text.
        input_digest: Digest,
        /// The permissions that were given to this job alone, as JSON objects that only `tools` reads.
        grants: Vec<Json>,
        /// What executes it, such as `wasmtime 48.0.8`: fuel is comparable only within one version.
        engine: String,
        /// Fuel it may use.
        fuel: u64,
        /// How it is to be run.
        options: Box<Options>,
        /// The job that started it, where one did.
        parent: Option<Parent>,
        /// Where its plan came from, where it was made for this job: for people and programs, never read here.
        origin: Option<Json>,
    },
    /// A tool is about to be called. On disk before a call that changes anything begins.
    Called {
        /// The call's number within the job; the first is 1.
        call: u64,
        /// The step that the guest had named last.
        step: Option<String>,
        /// The tool.
        tool: ToolId,
        /// What repeating the call would do.
        effect: Effect,
        /// What the tool sees as this call's name, after a crash too.
        key: String,
        /// What the tool gets.
        input: Payload,
        /// Digest of the input's canonical text.
        input_digest: Digest,
    },
    /// The tool answered.
    Returned {
        /// The number of the call that it answers.
        call: u64,
        /// What the guest got, and gets again on every resume.
        answer: Answer,
    },
    /// The guest asked for something that is different each time.
    Recorded {
        /// The step that the guest had named last.
        step: Option<String>,
        /// What it got, and gets again on every resume.
        value: Recorded,
    },
    /// A worker took up the job where an earlier one had left it.
    Resumed {
        /// How many workers have begun it, this one included.
        attempt: u32,
    },
    /// A call whose effect must not be repeated was under way when its worker died, and nobody knows
    /// whether it took effect. The job stands until that is settled.
    Uncertain {
        /// The number of the call.
        call: u64,
        /// Why nobody knows, for people.
        reason: String,
    },
    /// Someone, or the tool itself, said what became of an uncertain call.
    Resolved(Resolved),
    /// A call is to be made again.
    Retrying(Retrying),
    /// The job is to go on from calls that are made again.
    Reattempted(Reattempted),
    /// The job waits.
    Waiting(Waiting),
    /// A wait is over.
    Woken(Woken),
    /// A signal arrived.
    Signalled(Signalled),
    /// The guest started a child.
    ChildStarted(ChildStarted),
    /// The guest asked for a child to be cancelled.
    ChildCancelled(ChildCancelled),
    /// A child has ended.
    ChildEnded(ChildEnded),
    /// A person stopped the job until they say otherwise.
    Paused(Paused),
    /// The job was set aside with the reason.
    Parked(Parked),
    /// A paused or parked job may go on.
    Continued(Continued),
    /// The world is no longer as a recorded answer says.
    Drifted(Drifted),
    /// A check was judged.
    Checked(Checked),
    /// A person is to say what became of a step.
    HandedOver(HandedOver),
    /// Someone asked for the job to end.
    CancelRequested(CancelRequested),
    /// The job ended by request. Nothing follows.
    Cancelled(Cancelled),
    /// The playbook returned. Nothing follows.
    Completed {
        /// What it returned.
        output: Payload,
        /// Fuel used by the attempt that completed.
        fuel_used: u64,
    },
    /// The job stopped short. Nothing follows.
    Failed {
        /// Why.
        failure: Failure,
        /// Fuel used by the attempt that failed.
        fuel_used: u64,
    },
}

/// What a tool call came to, as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The tool's output.
    Output(Payload),
    /// What the guest got instead of an output.
    Error(ToolError),
}

/// A value that is different each time it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Wall-clock time in milliseconds since the Unix epoch.
    Now(u64),
    /// 64 random bits.
    Random(u64),
}

/// What a guest can ask for that is different each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedKind {
    /// [`Recorded::Now`].
    Now,
    /// [`Recorded::Random`].
    Random,
}

/// Why a job stopped short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step that the guest had named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What went wrong, for people.
    pub message: String,
    /// The same for programs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::there")]
    pub detail: Option<Json>,
    /// Whose doing it was.
    pub cause: Cause,
}

impl Failure {
    /// False for a failure that would have met any playbook: nobody granted what it needs, or whoever started the job gave it too
    /// little, or this program is at fault.
    #[must_use]
    pub fn is_of_the_playbook(&self) -> bool {
        let kind = self.detail.as_ref().map(|detail| detail.value()["kind"].clone());
        let denied = kind.is_some_and(|kind| kind == "denied");
        !denied && !matches!(self.cause, Cause::Fuel | Cause::Time | Cause::Limit | Cause::NotSupported | Cause::Internal)
    }
}

/// Whose doing a failure was. The names are stored; one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The playbook itself returned a failure: a check did not hold, or a tool's error was not handled.
    Playbook,
    /// The guest broke a rule of WebAssembly: an unreachable instruction, an access outside its memory, too deep a recursion.
    Trap,
    /// The guest used up its fuel.
    Fuel,
    /// The guest computed for longer than the kill switch allows.
    Time,
    /// The job met one of the bounds in `limits`; the message names it.
    Limit,
    /// Resumed, the guest did not do what its journal says it did.
    Nondeterminism,
    /// The playbook needs something that is not in this version.
    NotSupported,
    /// The world was no longer as a recorded answer says, and the job asked for that to be strict.
    Drift,
    /// A check of the plan did not hold, or nobody could tell in a job that is strict; the detail names it
    /// ([`Failure::failed_check`]).
    CheckFailed,
    /// The component could not be read, compiled or linked.
    Component,
    /// A mistake of ours; the log has the rest.
    Internal,
}

impl Body {
    /// Every kind, in the order of the variants.
    pub const KINDS: [&'static str; 25] = [
        "created",
        "called",
        "returned",
        "recorded",
        "resumed",
        "uncertain",
        "resolved",
        "retrying",
        "reattempted",
        "waiting",
        "woken",
        "signalled",
        "child_started",
        "child_cancelled",
        "child_ended",
        "paused",
        "parked",
        "continued",
        "drifted",
        "checked",
        "handed_over",
        "cancel_requested",
        "cancelled",
        "completed",
        "failed",
    ];

    /// The variant's name as it is stored and shown.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Created { .. } => "created",
            Body::Called { .. } => "called",
            Body::Returned { .. } => "returned",
            Body::Recorded { .. } => "recorded",
            Body::Resumed { .. } => "resumed",
            Body::Uncertain { .. } => "uncertain",
            Body::Resolved(_) => "resolved",
            Body::Retrying(_) => "retrying",
            Body::Reattempted(_) => "reattempted",
            Body::Waiting(_) => "waiting",
            Body::Woken(_) => "woken",
            Body::Signalled(_) => "signalled",
            Body::ChildStarted(_) => "child_started",
            Body::ChildCancelled(_) => "child_cancelled",
            Body::ChildEnded(_) => "child_ended",
            Body::Paused(_) => "paused",
            Body::Parked(_) => "parked",
            Body::Continued(_) => "continued",
            Body::Drifted(_) => "drifted",
            Body::Checked(_) => "checked",
            Body::HandedOver(_) => "handed_over",
            Body::CancelRequested(_) => "cancel_requested",
            Body::Cancelled(_) => "cancelled",
            Body::Completed { .. } => "completed",
            Body::Failed { .. } => "failed",
        }
    }

    /// True for what ends something that was begun (a call, an attempt, the job). It always fits into
    /// a journal that is full, so that a job at its limit can still say what became of it.
    #[must_use]
    pub fn ends_something(&self) -> bool {
        matches!(
            self,
            Body::Returned { .. }
                | Body::Uncertain { .. }
                | Body::Resumed { .. }
                | Body::Reattempted(_)
                | Body::Paused(_)
                | Body::Continued(_)
                | Body::Resolved(_)
                | Body::Woken(_)
                | Body::ChildEnded(_)
                | Body::Parked(_)
                | Body::HandedOver(_)
                | Body::CancelRequested(_)
                | Body::Cancelled(_)
                | Body::Completed { .. }
                | Body::Failed { .. }
        )
    }
}

impl Recorded {
    /// What was asked for.
    #[must_use]
    pub fn kind(self) -> RecordedKind {
        match self {
            Recorded::Now(_) => RecordedKind::Now,
            Recorded::Random(_) => RecordedKind::Random,
        }
    }

    /// The number that the guest got.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Recorded::Now(n) | Recorded::Random(n) => n,
        }
    }
}

impl fmt::Display for RecordedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordedKind::Now => "the time",
            RecordedKind::Random => "a random number",
        })
    }
}

impl Cause {
    /// The snake_case text that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Playbook => "playbook",
            Cause::Trap => "trap",
            Cause::Fuel => "fuel",
            Cause::Time => "time",
            Cause::Limit => "limit",
            Cause::Nondeterminism => "nondeterminism",
            Cause::NotSupported => "not_supported",
            Cause::Drift => "drift",
            Cause::CheckFailed => "check_failed",
            Cause::Component => "component",
            Cause::Internal => "internal",
        }
    }
}
