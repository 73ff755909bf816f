//! The entries about waiting: what a job waits for, what ended it, signals and children.
//!
//! It does not know which may follow which; that is `state`. The rule: what ended a wait is an entry of its own, so that
//! a resumed guest is told the same again, whatever the clock or a second signal says by then.

use serde::{Deserialize, Serialize};

use super::entry::Failure;
use crate::ids::{Digest, JobId, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

/// The job waits. It holds no memory meanwhile, and this entry is all that there is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// The wait's number within the job; the first is 1.
    pub wait: u64,
    /// The step that the guest had named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// For what.
    pub on: On,
    /// Until when at the most, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum On {
    /// The deadline itself: the guest sleeps.
    Sleep {
        /// How long the guest asked to sleep.
        ms: u64,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: String,
    },
    /// A person's yes or no.
    Approval {
        /// For the list.
        title: String,
        /// What will be done, as the person sees it.
        request: Payload,
        /// Digest of title and request: a decision names it, so that nobody approves what they did not see.
        digest: Digest,
    },
    /// Someone outside who performs a tool call.
    External {
        /// The call's number.
        call: u64,
    },
    /// The end of a child.
    Children {
        /// Their numbers. One: `join`; several: the first of them.
        children: Vec<u32>,
    },
    /// The pause before a call is tried again.
    Pause {
        /// The number that the call had and will have.
        call: u64,
    },
}

impl On {
    /// What is waited for, in a few words.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            On::Sleep { ms } => format!("{ms} ms to pass"),
            On::Signal { name } => format!("signal {name:?}"),
            On::Approval { title, .. } => format!("the approval of {title:?}"),
            On::External { call } => format!("someone outside to perform call {call}"),
            On::Children { children } => match children.as_slice() {
                [child] => format!("child {child} to end"),
                several => format!("the first of children {several:?} to end"),
            },
            On::Pause { call } => format!("the time at which call {call} is made again"),
        }
    }
}

/// The digest by which a person says that they saw what they decide on: of an approval's title and its request as a whole.
#[must_use]
pub fn shown(title: &str, request: &Json) -> Digest {
    Digest::of_parts(&[b"reprise:approval", title.as_bytes(), request.as_str().as_bytes()])
}

/// The digest of what a signal says: the same name for another content is a mistake of its sender.
#[must_use]
pub fn signal_content(name: &str, payload: &Payload) -> Digest {
    Digest::of_parts(&[b"reprise:signal", name.as_bytes(), super::stored::digest_of(payload).as_bytes()])
}

/// A wait is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Woken {
    /// Its number.
    pub wait: u64,
    /// What ended it.
    pub by: Wake,
}

/// What ended a wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Wake {
    /// It had slept long enough.
    Elapsed,
    /// The deadline passed before what was waited for came.
    Expired,
    /// A signal was taken.
    Signal {
        /// The entry that stored it.
        seq: u64,
    },
    /// A person said yes.
    Approved(Verdict),
    /// A person said no.
    Rejected(Verdict),
    /// A child has ended.
    Child {
        /// Its number.
        child: u32,
    },
    /// Whoever performed the call outside fell silent.
    Abandoned,
    /// The job is to be cancelled.
    Cancelled,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Who, as far as the caller said.
    pub by: String,
    /// The digest of what they saw.
    pub digest: Digest,
    /// What the guest is given.
    pub answer: Json,
}

/// A signal arrived. Taken by the first wait for its name, now or later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signalled {
    /// Its name.
    pub name: String,
    /// What the guest gets.
    pub payload: Payload,
    /// The sender's name for it: a second one of the same name is the same signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_id: Option<String>,
    /// Who sent it, as far as they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The guest started a child. On disk before the child is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildStarted {
    /// Its number; the first is 1.
    pub child: u32,
    /// The step that the guest had named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The job that it is.
    pub job_id: JobId,
    /// The branch that it does; none where it runs a playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What it runs.
    pub playbook_id: PlaybookId,
    /// The playbook's version.
    pub version: u32,
    /// Digest of its component.
    pub component: Digest,
    /// What it is run with.
    pub input: Payload,
}

/// The guest asked for a child to be cancelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildCancelled {
    /// Its number.
    pub child: u32,
}

/// A child has ended, and said so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildEnded {
    /// Its number.
    pub child: u32,
    /// How.
    pub end: ChildEnd,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChildEnd {
    /// With an output.
    Completed(Payload),
    /// Short.
    Failed(Failure),
    /// By request.
    Cancelled,
}
