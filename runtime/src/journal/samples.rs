//! Entries for tests: one of each kind, random ones, and journals that a well-behaved worker could have written.

use proptest::prelude::*;
use serde_json::Value;

use super::chain::Tip;
use super::entry::{Answer, Body, Cause, Entry, Failure, Recorded};
use super::status::Status;
use super::stored;
use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::ids::{Digest, JobId, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

pub(super) fn job() -> JobId {
    JobId::parse("01980000-0000-7000-8000-000000000001").unwrap()
}

pub(super) fn parsed(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

pub(super) fn inline(text: &str) -> Payload {
    Payload::Inline(parsed(text))
}

pub(super) fn created() -> Body {
    let input = inline(r#"{"version":"1.3.0"}"#);
    Body::Created {
        playbook_id: PlaybookId::parse("prepare-release").unwrap(),
        version: 1,
        component: Digest::of(b"component"),
        input_digest: stored::digest_of(&input),
        input,
        grants: vec![parsed(r#"{"fs":{"dir":"tree"}}"#)],
        engine: "wasmtime 48.0.8".to_owned(),
        fuel: 2_000_000_000,
    }
}

pub(super) fn called(call: u64, effect: Effect) -> Body {
    called_with(call, effect, "fs/write", &format!(r#"{{"path":"file-{call}"}}"#))
}

pub(super) fn called_with(call: u64, effect: Effect, tool: &str, input: &str) -> Body {
    let input = inline(input);
    Body::Called {
        call,
        step: Some(format!("s{call}")),
        tool: ToolId::parse(tool).unwrap(),
        effect,
        key: format!("key-{call}"),
        input_digest: stored::digest_of(&input),
        input,
    }
}

pub(super) fn returned(call: u64) -> Body {
    Body::Returned { call, answer: Answer::Output(inline(&format!(r#"{{"bytes":{call}}}"#))) }
}

pub(super) fn recorded(ms: u64) -> Body {
    Body::Recorded { step: None, value: Recorded::Now(ms) }
}

pub(super) fn uncertain(call: u64) -> Body {
    Body::Uncertain { call, reason: "the process ended before the tool answered".to_owned() }
}

pub(super) fn completed() -> Body {
    Body::Completed { output: inline(r#"{"changed":4}"#), fuel_used: 21_000 }
}

pub(super) fn failed() -> Body {
    let failure = Failure { step: Some("s2".to_owned()), message: "heading not found".to_owned(), detail: None, cause: Cause::Playbook };
    Body::Failed { failure, fuel_used: 900 }
}

/// `bodies` as one chain, and the stored bytes of each.
pub(super) fn sealed(job_id: &JobId, bodies: Vec<Body>) -> (Vec<Entry>, Vec<Vec<u8>>) {
    let mut tip = Tip::first(job_id);
    let mut at_ms = 1_763_632_000_000;
    let seal = |body| {
        at_ms += 7;
        let (entry, bytes) = stored::seal(tip.next_seq, at_ms, tip.hash, body);
        tip = Tip::after(&entry);
        (entry, bytes)
    };
    bodies.into_iter().map(seal).unzip()
}

pub(super) fn entries(bodies: Vec<Body>) -> Vec<Entry> {
    sealed(&job(), bodies).0
}

/// Any JSON of a few levels; numbers that a float cannot hold and texts that need escapes are in it.
fn any_value() -> impl Strategy<Value = Json> {
    let awkward =
        ["null", "18446744073709551615", "-9223372036854775808", "0.1", "1e300", r#""\u0000\ud83d\ude00\u2028""#, r#"{"":[[]],"a":{}}"#];
    let leaf = prop_oneof![
        prop::sample::select(awkward.to_vec()).prop_map(|text| parsed(text).value()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    nested.prop_map(|value| Json::from(&value))
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let blob = (any::<u64>(), any::<u32>())
        .prop_map(|(seed, bytes)| Payload::Blob { digest: Digest::of(&seed.to_be_bytes()), bytes: bytes.into() });
    prop_oneof![4 => any_value().prop_map(Payload::Inline), 1 => blob]
}

fn any_effect() -> impl Strategy<Value = Effect> {
    prop::sample::select(vec![Effect::Pure, Effect::Read, Effect::Idempotent, Effect::Once])
}

fn any_step() -> impl Strategy<Value = Option<String>> {
    prop::option::of(".{0,8}")
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let error = (prop::sample::select(ErrorKind::ALL.to_vec()), ".*", prop::option::of(any_value()));
    prop_oneof![
        any_payload().prop_map(Answer::Output),
        error.prop_map(|(kind, message, detail)| Answer::Error(ToolError { kind, message, detail })),
    ]
}

fn any_recorded() -> impl Strategy<Value = Recorded> {
    prop_oneof![any::<u64>().prop_map(Recorded::Now), any::<u64>().prop_map(Recorded::Random)]
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let causes = vec![
        Cause::Playbook,
        Cause::Trap,
        Cause::Fuel,
        Cause::Time,
        Cause::Limit,
        Cause::Nondeterminism,
        Cause::NotSupported,
        Cause::Component,
        Cause::Internal,
    ];
    (any_step(), ".*", prop::option::of(any_value()), prop::sample::select(causes)).prop_map(|(step, message, detail, cause)| Failure {
        step,
        message,
        detail,
        cause,
    })
}

fn any_created() -> impl Strategy<Value = Body> {
    (any::<u32>(), any_payload(), prop::collection::vec(any_value(), 0..3), ".*", any::<u64>()).prop_map(
        |(version, input, grants, engine, fuel)| Body::Created {
            playbook_id: PlaybookId::parse("ключ-\u{e9}").unwrap(),
            version,
            component: Digest::of(engine.as_bytes()),
            input_digest: stored::digest_of(&input),
            input,
            grants,
            engine,
            fuel,
        },
    )
}

fn any_called() -> impl Strategy<Value = Body> {
    let tools = vec!["fs/read", "fs/write", "http/post", "agent/create-issue-x12ab34"];
    (any::<u64>(), any_step(), prop::sample::select(tools), any_effect(), ".*", any_payload()).prop_map(
        |(call, step, tool, effect, key, input)| Body::Called {
            call,
            step,
            tool: ToolId::parse(tool).unwrap(),
            effect,
            key,
            input_digest: stored::digest_of(&input),
            input,
        },
    )
}

/// Any body with any values, whether or not a journal could have it anywhere.
pub(super) fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any_created(),
        any_called(),
        (any::<u64>(), any_answer()).prop_map(|(call, answer)| Body::Returned { call, answer }),
        (any_step(), any_recorded()).prop_map(|(step, value)| Body::Recorded { step, value }),
        any::<u32>().prop_map(|attempt| Body::Resumed { attempt }),
        (any::<u64>(), ".*").prop_map(|(call, reason)| Body::Uncertain { call, reason }),
        (any_payload(), any::<u64>()).prop_map(|(output, fuel_used)| Body::Completed { output, fuel_used }),
        (any_failure(), any::<u64>()).prop_map(|(failure, fuel_used)| Body::Failed { failure, fuel_used }),
    ]
}

/// What a worker might do next; which entry that makes depends on where the job is.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Call(Body),
    Answer(Answer),
    Record(Option<String>, Recorded),
    Die,
    GiveUp,
    Complete(Payload),
    Fail(Failure),
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => any_called().prop_map(Deed::Call),
        8 => any_answer().prop_map(Deed::Answer),
        3 => (any_step(), any_recorded()).prop_map(|(step, value)| Deed::Record(step, value)),
        2 => Just(Deed::Die),
        1 => Just(Deed::GiveUp),
        1 => any_payload().prop_map(Deed::Complete),
        1 => any_failure().prop_map(Deed::Fail),
    ]
}

/// What a journal of [`legal_journal`] must fold to, counted while it was made and without asking the fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) status: Status,
    pub(super) calls: usize,
    pub(super) open: Option<u64>,
    pub(super) attempts: u32,
}

/// A journal that a worker could have left, at any point of its life.
pub(super) fn legal_journal() -> impl Strategy<Value = (Vec<Body>, Expected)> {
    (any_created(), prop::collection::vec(any_deed(), 0..40)).prop_map(|(created, deeds)| {
        let mut bodies = vec![created];
        let mut now = Expected { status: Status::Ready, calls: 0, open: None, attempts: 0 };
        let mut open_effect = None;
        for deed in deeds {
            let body = match (deed, now.open) {
                (Deed::Call(Body::Called { step, tool, effect, key, input, input_digest, .. }), None) => {
                    now.calls += 1;
                    let call = now.calls as u64;
                    now.open = Some(call);
                    open_effect = Some(effect);
                    Body::Called { call, step, tool, effect, key, input, input_digest }
                }
                (Deed::Answer(answer), Some(call)) => {
                    now.open = None;
                    Body::Returned { call, answer }
                }
                (Deed::Record(step, value), None) => Body::Recorded { step, value },
                (Deed::Die, _) => {
                    now.attempts += 1;
                    Body::Resumed { attempt: now.attempts }
                }
                (Deed::GiveUp, Some(call)) if open_effect == Some(Effect::Once) => {
                    now.status = Status::Uncertain;
                    Body::Uncertain { call, reason: "?".to_owned() }
                }
                (Deed::Complete(output), None) => {
                    now.status = Status::Completed;
                    Body::Completed { output, fuel_used: 1 }
                }
                (Deed::Fail(failure), _) => {
                    now.status = Status::Failed;
                    Body::Failed { failure, fuel_used: 2 }
                }
                _ => continue,
            };
            bodies.push(body);
            now.attempts = now.attempts.max(1);
            match now.status {
                Status::Ready | Status::Running => now.status = Status::Running,
                _ => break,
            }
        }
        if now.status == Status::Uncertain {
            now.open = None;
        }
        (bodies, now)
    })
}
