//! The bytes of an entry.
//!
//! Its job: entry to bytes and back. It does not know keys, chains of entries or what may follow what.
//!
//! One entry is one JSON object without white space, its fields in this order:
//!
//! ```text
//! {"v":2,"seq":2,"at":1763632000000,"prev":"<64 hex digits>","body":{"called":{"call":1,"step":"bump",
//!  "tool":"fs/write","effect":"idempotent","key":"...","input":{"inline":{"path":"a"}}}}}
//! ```
//!
//! - `v` stands first, so that a reader knows what it reads before it reads on. A field is added, removed or
//!   given another meaning only under a new number, and the old one is read forever
//!   (`tests/fixtures/journal-v1`). An entry says the least form that has everything in it.
//! - `body` has one field, the kind, and holds the kind's fields; see `StoredBody`.
//! - A value is either `{"inline":VALUE}` in canonical form or `{"blob":{"digest":HEX,"bytes":N}}`.
//! - An input's digest is not stored: it follows from the value, or is the blob's name.
//! - A field that may be missing is left out, never `null`.
//!
//! The rule that must stay true: what [`seal`] wrote reads back as the same entry, and sealing that again gives the
//! same bytes. The hash of an entry is the hash of its bytes as they lie on disk, never of what would be printed today.
//!
//! The enum is tagged from outside because serde buffers the other forms into trees, which loses the exact text
//! of numbers and costs most of the speed of a resume.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::checked::{Checked, HandedOver};
use super::control::{CancelRequested, Cancelled, Continued, Drifted, Parked, Paused, Reattempted, Resolved, Retrying};
use super::entry::{Answer, Body, Cause, Entry, Failure, Recorded};
use super::options::{Mode, Options, Parent};
use super::waits::{ChildCancelled, ChildEnd, ChildEnded, ChildStarted, Signalled, Waiting, Woken};
use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::error::{Code, Error};
use crate::ids::{Digest, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

/// The newest form that is written. Never reused for another form.
pub const VERSION: u32 = 3;
/// The form of everything that it can say; what came later says so with a higher number.
const COMMON_VERSION: u32 = 2;

/// How every entry of a form that this version reads begins. Form 1 had fewer kinds, and fewer fields in `created`; form 2
/// knew nothing of checks.
const BEGINNINGS: [&[u8]; 3] = [br#"{"v":1,"#, br#"{"v":2,"#, br#"{"v":3,"#];

/// The least form that can say this, so that a journal without checks is what it was before there were any.
fn form_of(body: &Body) -> u32 {
    let by_check = |failure: Option<&Failure>| failure.is_some_and(|failure| failure.cause == Cause::CheckFailed);
    let is_new = match body {
        Body::Checked(_) | Body::HandedOver(_) => true,
        Body::Created { options, .. } => options.mode != Mode::Normal,
        Body::Failed { failure, .. } => by_check(Some(failure)),
        Body::Reattempted(again) => by_check(Some(&again.failure)),
        Body::Cancelled(cancelled) => by_check(cancelled.failure.as_ref()),
        Body::ChildEnded(ended) => matches!(&ended.end, ChildEnd::Failed(failure) if by_check(Some(failure))),
        _ => false,
    };
    if is_new { VERSION } else { COMMON_VERSION }
}

/// Why stored bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A newer version of this program wrote them.
    #[error("form {0} was written by a newer version of reprise; this one reads up to form {VERSION}")]
    TooNew(u64),
    /// They are no entry in any form.
    #[error("not an entry: {0}")]
    Damaged(String),
}

impl From<Unreadable> for Error {
    fn from(e: Unreadable) -> Self {
        let code = match e {
            Unreadable::TooNew(_) => Code::DataDirTooNew,
            Unreadable::Damaged(_) => Code::DataCorrupt,
        };
        Error::new(code, e.to_string())
    }
}

/// Puts `body` at its place: the entry, and the bytes to store for it.
#[must_use]
pub fn seal(seq: u64, at_ms: u64, prev: Digest, body: Body) -> (Entry, Vec<u8>) {
    let stored = Stored { v: form_of(&body), seq, at: at_ms, prev, body: StoredBody::of(&body) };
    let bytes = serde_json::to_vec(&stored).expect("an entry holds text and checked JSON, which always print");
    let hash = Digest::of(&bytes);
    (Entry { seq, at_ms, prev, hash, body }, bytes)
}

/// Reads one entry.
///
/// # Errors
/// Where `bytes` are not what [`seal`] writes.
pub fn decode(bytes: &[u8]) -> Result<Entry, Unreadable> {
    if !BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning)) {
        return Err(unknown_form(bytes));
    }
    let damaged = |e: &dyn std::fmt::Display| Unreadable::Damaged(e.to_string());
    let text = std::str::from_utf8(bytes).map_err(|e| damaged(&e))?;
    let stored: Stored<'_> = serde_json::from_str(text).map_err(|e| damaged(&with_who_may_have_written_it(&e)))?;
    let body = stored.body.into_body().map_err(Unreadable::Damaged)?;
    Ok(Entry { seq: stored.seq, at_ms: stored.at, prev: stored.prev, hash: Digest::of(bytes), body })
}

/// What is JSON and not of a form that is known here need not be damaged.
pub(super) fn with_who_may_have_written_it(e: &serde_json::Error) -> String {
    match e.classify() {
        serde_json::error::Category::Data => {
            format!("{e}; where nobody changed it, another version of reprise wrote it, such as a development build")
        }
        _ => e.to_string(),
    }
}

/// Says what is wrong with bytes that do not begin as they should.
fn unknown_form(bytes: &[u8]) -> Unreadable {
    #[derive(Deserialize)]
    struct Form {
        v: u64,
    }
    match serde_json::from_slice::<Form>(bytes) {
        Ok(form) if form.v > u64::from(VERSION) => Unreadable::TooNew(form.v),
        Ok(form) => Unreadable::Damaged(format!("form {0} does not begin with {{\"v\":{0},", form.v)),
        Err(e) => Unreadable::Damaged(e.to_string()),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    v: u32,
    seq: u64,
    at: u64,
    prev: Digest,
    #[serde(borrow)]
    body: StoredBody<'a>,
}

/// The fields of each kind, as stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredBody<'a> {
    Created {
        #[serde(borrow)]
        playbook_id: Cow<'a, str>,
        version: u32,
        component: Digest,
        #[serde(borrow)]
        input: StoredPayload<'a>,
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        grants: Vec<&'a RawValue>,
        #[serde(borrow)]
        engine: Cow<'a, str>,
        fuel: u64,
        #[serde(default, skip_serializing_if = "is_default_options")]
        options: Cow<'a, Options>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
        origin: Option<&'a RawValue>,
    },
    Called {
        call: u64,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        step: Option<Cow<'a, str>>,
        #[serde(borrow)]
        tool: Cow<'a, str>,
        effect: Effect,
        #[serde(borrow)]
        key: Cow<'a, str>,
        #[serde(borrow)]
        input: StoredPayload<'a>,
    },
    Returned {
        call: u64,
        #[serde(borrow)]
        answer: StoredAnswer<'a>,
    },
    Recorded {
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        step: Option<Cow<'a, str>>,
        value: StoredRecorded,
    },
    Resumed {
        attempt: u32,
    },
    Uncertain {
        call: u64,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    Resolved(Cow<'a, Resolved>),
    Retrying(Cow<'a, Retrying>),
    Reattempted(Cow<'a, Reattempted>),
    Waiting(Cow<'a, Waiting>),
    Woken(Cow<'a, Woken>),
    Signalled(Cow<'a, Signalled>),
    ChildStarted(Cow<'a, ChildStarted>),
    ChildCancelled(Cow<'a, ChildCancelled>),
    ChildEnded(Cow<'a, ChildEnded>),
    Paused(Cow<'a, Paused>),
    Parked(Cow<'a, Parked>),
    Continued(Cow<'a, Continued>),
    Drifted(Cow<'a, Drifted>),
    Checked(Cow<'a, Checked>),
    HandedOver(Cow<'a, HandedOver>),
    CancelRequested(Cow<'a, CancelRequested>),
    Cancelled(Cow<'a, Cancelled>),
    Completed {
        #[serde(borrow)]
        output: StoredPayload<'a>,
        fuel_used: u64,
    },
    Failed {
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        step: Option<Cow<'a, str>>,
        #[serde(borrow)]
        message: Cow<'a, str>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
        detail: Option<&'a RawValue>,
        cause: Cause,
        fuel_used: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredPayload<'a> {
    Inline(#[serde(borrow)] &'a RawValue),
    Blob { digest: Digest, bytes: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredAnswer<'a> {
    Output(#[serde(borrow)] StoredPayload<'a>),
    Error {
        kind: ErrorKind,
        #[serde(borrow)]
        message: Cow<'a, str>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
        detail: Option<&'a RawValue>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredRecorded {
    Now(u64),
    Random(u64),
}

fn is_default_options(options: &Options) -> bool {
    options.is_default()
}

/// A field that is there has a value, even where the value is `null`.
fn there<'de, D: Deserializer<'de>>(d: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

impl<'a> StoredBody<'a> {
    fn of(body: &'a Body) -> Self {
        match body {
            Body::Created { playbook_id, version, component, input, input_digest, grants, engine, fuel, options, parent, origin } => {
                debug_assert_eq!(*input_digest, digest_of(input), "an input's digest follows from the input");
                StoredBody::Created {
                    playbook_id: playbook_id.as_str().into(),
                    version: *version,
                    component: *component,
                    input: StoredPayload::of(input),
                    grants: grants.iter().map(raw).collect(),
                    engine: engine.into(),
                    fuel: *fuel,
                    options: Cow::Borrowed(options),
                    parent: parent.clone(),
                    origin: origin.as_ref().map(raw),
                }
            }
            Body::Called { call, step, tool, effect, key, input, input_digest } => {
                debug_assert_eq!(*input_digest, digest_of(input), "an input's digest follows from the input");
                StoredBody::Called {
                    call: *call,
                    step: step.as_deref().map(Cow::from),
                    tool: tool.to_string().into(),
                    effect: *effect,
                    key: key.into(),
                    input: StoredPayload::of(input),
                }
            }
            Body::Returned { call, answer } => StoredBody::Returned { call: *call, answer: StoredAnswer::of(answer) },
            Body::Recorded { step, value } => StoredBody::Recorded {
                step: step.as_deref().map(Cow::from),
                value: match value {
                    Recorded::Now(ms) => StoredRecorded::Now(*ms),
                    Recorded::Random(bits) => StoredRecorded::Random(*bits),
                },
            },
            Body::Resumed { attempt } => StoredBody::Resumed { attempt: *attempt },
            Body::Uncertain { call, reason } => StoredBody::Uncertain { call: *call, reason: reason.into() },
            Body::Resolved(fields) => StoredBody::Resolved(Cow::Borrowed(fields)),
            Body::Retrying(fields) => StoredBody::Retrying(Cow::Borrowed(fields)),
            Body::Reattempted(fields) => StoredBody::Reattempted(Cow::Borrowed(fields)),
            Body::Waiting(fields) => StoredBody::Waiting(Cow::Borrowed(fields)),
            Body::Woken(fields) => StoredBody::Woken(Cow::Borrowed(fields)),
            Body::Signalled(fields) => StoredBody::Signalled(Cow::Borrowed(fields)),
            Body::ChildStarted(fields) => StoredBody::ChildStarted(Cow::Borrowed(fields)),
            Body::ChildCancelled(fields) => StoredBody::ChildCancelled(Cow::Borrowed(fields)),
            Body::ChildEnded(fields) => StoredBody::ChildEnded(Cow::Borrowed(fields)),
            Body::Paused(fields) => StoredBody::Paused(Cow::Borrowed(fields)),
            Body::Parked(fields) => StoredBody::Parked(Cow::Borrowed(fields)),
            Body::Continued(fields) => StoredBody::Continued(Cow::Borrowed(fields)),
            Body::Drifted(fields) => StoredBody::Drifted(Cow::Borrowed(fields)),
            Body::Checked(fields) => StoredBody::Checked(Cow::Borrowed(fields)),
            Body::HandedOver(fields) => StoredBody::HandedOver(Cow::Borrowed(fields)),
            Body::CancelRequested(fields) => StoredBody::CancelRequested(Cow::Borrowed(fields)),
            Body::Cancelled(fields) => StoredBody::Cancelled(Cow::Borrowed(fields)),
            Body::Completed { output, fuel_used } => StoredBody::Completed { output: StoredPayload::of(output), fuel_used: *fuel_used },
            Body::Failed { failure, fuel_used } => StoredBody::Failed {
                step: failure.step.as_deref().map(Cow::from),
                message: (&failure.message).into(),
                detail: failure.detail.as_ref().map(raw),
                cause: failure.cause,
                fuel_used: *fuel_used,
            },
        }
    }

    fn into_body(self) -> Result<Body, String> {
        Ok(match self {
            StoredBody::Created { playbook_id, version, component, input, grants, engine, fuel, options, parent, origin } => {
                let input = input.into_payload();
                Body::Created {
                    playbook_id: PlaybookId::parse(&playbook_id).map_err(|e| e.message)?,
                    version,
                    component,
                    input_digest: digest_of(&input),
                    input,
                    grants: grants.into_iter().map(json).collect(),
                    engine: engine.into_owned(),
                    fuel,
                    options: Box::new(options.into_owned()),
                    parent,
                    origin: origin.map(json),
                }
            }
            StoredBody::Called { call, step, tool, effect, key, input } => {
                let input = input.into_payload();
                Body::Called {
                    call,
                    step: step.map(Cow::into_owned),
                    tool: ToolId::parse(&tool).map_err(|e| e.message)?,
                    effect,
                    key: key.into_owned(),
                    input_digest: digest_of(&input),
                    input,
                }
            }
            StoredBody::Returned { call, answer } => Body::Returned { call, answer: answer.into_answer() },
            StoredBody::Recorded { step, value } => Body::Recorded {
                step: step.map(Cow::into_owned),
                value: match value {
                    StoredRecorded::Now(ms) => Recorded::Now(ms),
                    StoredRecorded::Random(bits) => Recorded::Random(bits),
                },
            },
            StoredBody::Resumed { attempt } => Body::Resumed { attempt },
            StoredBody::Uncertain { call, reason } => Body::Uncertain { call, reason: reason.into_owned() },
            StoredBody::Resolved(fields) => Body::Resolved(fields.into_owned()),
            StoredBody::Retrying(fields) => Body::Retrying(fields.into_owned()),
            StoredBody::Reattempted(fields) => Body::Reattempted(fields.into_owned()),
            StoredBody::Waiting(fields) => Body::Waiting(fields.into_owned()),
            StoredBody::Woken(fields) => Body::Woken(fields.into_owned()),
            StoredBody::Signalled(fields) => Body::Signalled(fields.into_owned()),
            StoredBody::ChildStarted(fields) => Body::ChildStarted(fields.into_owned()),
            StoredBody::ChildCancelled(fields) => Body::ChildCancelled(fields.into_owned()),
            StoredBody::ChildEnded(fields) => Body::ChildEnded(fields.into_owned()),
            StoredBody::Paused(fields) => Body::Paused(fields.into_owned()),
            StoredBody::Parked(fields) => Body::Parked(fields.into_owned()),
            StoredBody::Continued(fields) => Body::Continued(fields.into_owned()),
            StoredBody::Drifted(fields) => Body::Drifted(fields.into_owned()),
            StoredBody::Checked(fields) => Body::Checked(fields.into_owned()),
            StoredBody::HandedOver(fields) => Body::HandedOver(fields.into_owned()),
            StoredBody::CancelRequested(fields) => Body::CancelRequested(fields.into_owned()),
            StoredBody::Cancelled(fields) => Body::Cancelled(fields.into_owned()),
            StoredBody::Completed { output, fuel_used } => Body::Completed { output: output.into_payload(), fuel_used },
            StoredBody::Failed { step, message, detail, cause, fuel_used } => Body::Failed {
                failure: Failure { step: step.map(Cow::into_owned), message: message.into_owned(), detail: detail.map(json), cause },
                fuel_used,
            },
        })
    }
}

impl<'a> StoredPayload<'a> {
    fn of(payload: &'a Payload) -> Self {
        match payload {
            Payload::Inline(value) => StoredPayload::Inline(raw(value)),
            Payload::Blob { digest, bytes } => StoredPayload::Blob { digest: *digest, bytes: *bytes },
        }
    }

    fn into_payload(self) -> Payload {
        match self {
            StoredPayload::Inline(value) => Payload::Inline(json(value)),
            StoredPayload::Blob { digest, bytes } => Payload::Blob { digest, bytes },
        }
    }
}

impl<'a> StoredAnswer<'a> {
    fn of(answer: &'a Answer) -> Self {
        match answer {
            Answer::Output(output) => StoredAnswer::Output(StoredPayload::of(output)),
            Answer::Error(e) => StoredAnswer::Error { kind: e.kind, message: (&e.message).into(), detail: e.detail.as_ref().map(raw) },
        }
    }

    fn into_answer(self) -> Answer {
        match self {
            StoredAnswer::Output(output) => Answer::Output(output.into_payload()),
            StoredAnswer::Error { kind, message, detail } => {
                Answer::Error(ToolError { kind, message: message.into_owned(), detail: detail.map(json) })
            }
        }
    }
}

/// Digest of the canonical text that a payload stands for. A blob's name is just that.
pub(super) fn digest_of(payload: &Payload) -> Digest {
    match payload {
        Payload::Inline(value) => value.digest(),
        Payload::Blob { digest, .. } => *digest,
    }
}

fn raw(value: &Json) -> &RawValue {
    serde_json::from_str(value.as_str()).expect("canonical JSON parses")
}

/// What lies in the journal was canonical when it was written, and the chain says that it is still that.
fn json(value: &RawValue) -> Json {
    Json::trusted(value.get())
}

#[cfg(test)]
mod tests;
