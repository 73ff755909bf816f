//! Entries with any values, whether or not a journal could have them anywhere.

use proptest::prelude::*;
use serde_json::Value;

use super::super::checked::{Checked, HandedOver};
use super::super::control::*;
use super::super::entry::{Answer, Body, Cause, Failure, Recorded};
use super::super::options::{Budget, Confirm, Mode, Options, Parent, WhenExhausted};
use super::super::stored;
use super::super::waits::*;
use super::parsed;
use crate::checks::{self, At};
use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::ids::{Digest, JobId, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

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

pub(super) fn any_payload() -> impl Strategy<Value = Payload> {
    let blob = (any::<u64>(), any::<u32>())
        .prop_map(|(seed, bytes)| Payload::Blob { digest: Digest::of(&seed.to_be_bytes()), bytes: bytes.into() });
    prop_oneof![4 => any_value().prop_map(Payload::Inline), 1 => blob]
}

fn any_effect() -> impl Strategy<Value = Effect> {
    prop::sample::select(vec![Effect::Pure, Effect::Read, Effect::Idempotent, Effect::Once])
}

pub(super) fn any_step() -> impl Strategy<Value = Option<String>> {
    prop::option::of(".{0,8}")
}

pub(super) fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![any_payload().prop_map(Answer::Output), any_error().prop_map(Answer::Error)]
}

pub(super) fn any_error() -> impl Strategy<Value = ToolError> {
    let kind = prop::sample::select(ErrorKind::ALL.to_vec());
    (kind, ".*", prop::option::of(any_value())).prop_map(|(kind, message, detail)| ToolError { kind, message, detail })
}

pub(super) fn any_recorded() -> impl Strategy<Value = Recorded> {
    prop_oneof![any::<u64>().prop_map(Recorded::Now), any::<u64>().prop_map(Recorded::Random)]
}

pub(super) fn any_failure() -> impl Strategy<Value = Failure> {
    let causes = vec![
        Cause::Playbook,
        Cause::Trap,
        Cause::Fuel,
        Cause::Time,
        Cause::Limit,
        Cause::Nondeterminism,
        Cause::NotSupported,
        Cause::CheckFailed,
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

fn any_limit() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(any::<u64>())
}

fn any_budget() -> impl Strategy<Value = Budget> {
    (any_limit(), any_limit(), any_limit(), any_limit()).prop_map(|(fuel, calls, bytes, wall_ms)| Budget { fuel, calls, bytes, wall_ms })
}

fn any_options() -> impl Strategy<Value = Options> {
    let exhausted = prop::sample::select(vec![WhenExhausted::Park, WhenExhausted::Fail]);
    let confirm = prop::sample::select(vec![Confirm::Off, Confirm::Strict, Confirm::Warn, Confirm::Ask]);
    let tries = (any::<u8>(), 0..3u32, any::<u64>(), 0..3u32, exhausted);
    let mode = prop::sample::select(vec![Mode::Normal, Mode::Strict, Mode::Guided]);
    let times = (any_limit(), any_limit(), any_limit(), any_budget(), (confirm, mode));
    (tries, times).prop_map(
        |(
            (priority, tries, first_pause_ms, job_tries, when_exhausted),
            (call_timeout_ms, step_timeout_ms, timeout_ms, budget, (confirm, mode)),
        )| {
            Options {
                priority,
                tries,
                first_pause_ms,
                job_tries,
                when_exhausted,
                call_timeout_ms,
                step_timeout_ms,
                timeout_ms,
                budget,
                confirm,
                mode,
            }
        },
    )
}

fn any_job() -> impl Strategy<Value = JobId> {
    any::<[u8; 16]>().prop_map(JobId::from_bytes)
}

fn any_parent() -> impl Strategy<Value = Parent> {
    (any_job(), any::<u32>(), any::<u32>(), any_step()).prop_map(|(job_id, child, depth, branch)| Parent { job_id, child, depth, branch })
}

pub(super) fn any_created() -> impl Strategy<Value = Body> {
    let work = (any::<u32>(), any_payload(), prop::collection::vec(any_value(), 0..3), ".*", any::<u64>());
    // Options of the common sort: a job with a deadline of its own is looked at where the deadline matters.
    let manner = (prop_oneof![Just(Options::default()), any_options()], prop::option::of(any_parent()), prop::option::of(any_value()));
    (work, manner).prop_map(|((version, input, grants, engine, fuel), (options, parent, origin))| Body::Created {
        playbook_id: PlaybookId::parse("ключ-\u{e9}").unwrap(),
        version,
        component: Digest::of(engine.as_bytes()),
        input_digest: stored::digest_of(&input),
        input,
        grants,
        engine,
        fuel,
        options: Box::new(options),
        parent,
        origin,
    })
}

pub(super) fn any_called() -> impl Strategy<Value = Body> {
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

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

pub(super) fn any_decision() -> impl Strategy<Value = Decision> {
    prop_oneof![any_payload().prop_map(Decision::Happened), Just(Decision::Retry), any_error().prop_map(Decision::Fail)]
}

fn any_on() -> impl Strategy<Value = On> {
    prop_oneof![
        any::<u64>().prop_map(|ms| On::Sleep { ms }),
        ".*".prop_map(|name| On::Signal { name }),
        (".*", any_payload(), any_digest()).prop_map(|(title, request, digest)| On::Approval { title, request, digest }),
        any::<u64>().prop_map(|call| On::External { call }),
        prop::collection::vec(any::<u32>(), 0..4).prop_map(|children| On::Children { children }),
        any::<u64>().prop_map(|call| On::Pause { call }),
    ]
}

fn any_wake() -> impl Strategy<Value = Wake> {
    let verdict = || (".*", any_digest(), any_value()).prop_map(|(by, digest, answer)| Verdict { by, digest, answer });
    prop_oneof![
        Just(Wake::Elapsed),
        Just(Wake::Expired),
        any::<u64>().prop_map(|seq| Wake::Signal { seq }),
        verdict().prop_map(Wake::Approved),
        verdict().prop_map(Wake::Rejected),
        any::<u32>().prop_map(|child| Wake::Child { child }),
        Just(Wake::Cancelled),
    ]
}

pub(super) fn any_end() -> impl Strategy<Value = ChildEnd> {
    prop_oneof![any_payload().prop_map(ChildEnd::Completed), any_failure().prop_map(ChildEnd::Failed), Just(ChildEnd::Cancelled)]
}

/// Any entry about waiting.
fn any_of_waits() -> impl Strategy<Value = Body> {
    prop_oneof![
        (any::<u64>(), any_step(), any_on(), any_limit()).prop_map(|(wait, step, on, until_ms)| Body::Waiting(Waiting {
            wait,
            step,
            on,
            until_ms
        })),
        (any::<u64>(), any_wake()).prop_map(|(wait, by)| Body::Woken(Woken { wait, by })),
        (".*", any_payload(), any_step(), any_step()).prop_map(|(name, payload, signal_id, by)| Body::Signalled(Signalled {
            name,
            payload,
            signal_id,
            by
        })),
        (any::<u32>(), any_step(), any_job(), any_step(), any::<u32>(), any_digest(), any_payload()).prop_map(
            |(child, step, job_id, branch, version, component, input)| {
                let playbook_id = PlaybookId::parse("ключ-\u{e9}").unwrap();
                Body::ChildStarted(ChildStarted { child, step, job_id, branch, playbook_id, version, component, input })
            }
        ),
        any::<u32>().prop_map(|child| Body::ChildCancelled(ChildCancelled { child })),
        (any::<u32>(), any_end()).prop_map(|(child, end)| Body::ChildEnded(ChildEnded { child, end })),
    ]
}

/// Any entry about control.
fn any_of_control() -> impl Strategy<Value = Body> {
    let reasons = vec![
        ParkReason::Retries,
        ParkReason::Fuel,
        ParkReason::Calls,
        ParkReason::Bytes,
        ParkReason::WallTime,
        ParkReason::Poison,
        ParkReason::Drift,
    ];
    prop_oneof![
        (any::<u64>(), any_decision(), ".*", any_step()).prop_map(|(call, decision, by, note)| Body::Resolved(Resolved {
            call,
            decision,
            by,
            note
        })),
        (any::<u64>(), any::<u32>(), any_error(), any::<u64>()).prop_map(|(call, tries, error, until_ms)| Body::Retrying(Retrying {
            call,
            tries,
            error,
            until_ms
        })),
        (any::<u64>(), any::<u32>(), any_failure(), any_step())
            .prop_map(|(from_call, tries, failure, by)| Body::Reattempted(Reattempted { from_call, tries, failure, by })),
        (".*", any_step()).prop_map(|(by, reason)| Body::Paused(Paused { by, reason })),
        (prop::sample::select(reasons), ".*").prop_map(|(reason, message)| Body::Parked(Parked { reason, message })),
        (".*", any_budget()).prop_map(|(by, budget)| Body::Continued(Continued { by, budget })),
        (any::<u64>(), ".*").prop_map(|(call, what)| Body::Drifted(Drifted { call, what })),
        (".*", any_step()).prop_map(|(by, reason)| Body::CancelRequested(CancelRequested { by, reason })),
        (prop::option::of(any_failure()), any::<u64>()).prop_map(|(failure, fuel_used)| Body::Cancelled(Cancelled { failure, fuel_used })),
    ]
}

fn any_of_checks() -> impl Strategy<Value = Body> {
    let at = || prop::sample::select(vec![At::Before, At::After]);
    let verdict = prop::sample::select(vec![checks::Verdict::Pass, checks::Verdict::Fail, checks::Verdict::Unknown]);
    prop_oneof![
        (any_step(), at(), any_value(), verdict, ".*", any::<bool>())
            .prop_map(|(step, at, check, verdict, why, accepted)| { Body::Checked(Checked { step, at, check, verdict, why, accepted }) }),
        (any::<u64>(), any_step(), prop::option::of(at()), ".*").prop_map(|(call, step, at, why)| Body::HandedOver(HandedOver {
            call,
            step,
            at,
            why
        })),
    ]
}

/// Any body with any values, whether or not a journal could have it anywhere.
pub(in super::super) fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        1 => any_created(),
        1 => any_called(),
        1 => (any::<u64>(), any_answer()).prop_map(|(call, answer)| Body::Returned { call, answer }),
        1 => (any_step(), any_recorded()).prop_map(|(step, value)| Body::Recorded { step, value }),
        1 => any::<u32>().prop_map(|attempt| Body::Resumed { attempt }),
        1 => (any::<u64>(), ".*").prop_map(|(call, reason)| Body::Uncertain { call, reason }),
        1 => (any_payload(), any::<u64>()).prop_map(|(output, fuel_used)| Body::Completed { output, fuel_used }),
        1 => (any_failure(), any::<u64>()).prop_map(|(failure, fuel_used)| Body::Failed { failure, fuel_used }),
        6 => any_of_waits(),
        9 => any_of_control(),
        2 => any_of_checks(),
    ]
}
