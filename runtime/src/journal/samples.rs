//! Entries for tests: some of each kind, random ones (`any`), and journals that a well-behaved worker could have written (`legal`).

mod any;
mod legal;

use super::chain::Tip;
use super::checked::{Checked, HandedOver};
use super::control::*;
use super::entry::{Answer, Body, Cause, Entry, Failure, Recorded};
use super::options::{Budget, Options};
use super::stored;
use super::waits::*;
use crate::checks::At;
use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::ids::{Digest, JobId, PlaybookId};
use crate::json::Json;
use crate::store::Payload;

pub(super) use any::any_body;
pub(super) use legal::legal_journal;

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
        options: Box::new(Options::default()),
        parent: None,
        origin: None,
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

/// An answer that is an error of this kind.
pub(super) fn erred(call: u64, kind: ErrorKind) -> Body {
    Body::Returned { call, answer: Answer::Error(ToolError::new(kind, "not now")) }
}

pub(super) fn resolved(call: u64, decision: Decision) -> Body {
    Body::Resolved(Resolved { call, decision, by: "ada".to_owned(), note: None })
}

pub(super) fn happened(call: u64) -> Body {
    resolved(call, Decision::Happened(inline(&format!(r#"{{"bytes":{call}}}"#))))
}

pub(super) fn not_done() -> Decision {
    Decision::Fail(ToolError::new(ErrorKind::Failed, "it never happened"))
}

pub(super) fn retrying(call: u64, tries: u32) -> Body {
    Body::Retrying(Retrying { call, tries, error: ToolError::new(ErrorKind::Unavailable, "not now"), until_ms: 1_763_632_001_000 })
}

pub(super) fn reattempted(from_call: u64) -> Body {
    let failure = Failure { step: None, message: "not now".to_owned(), detail: None, cause: Cause::Playbook };
    Body::Reattempted(Reattempted { from_call, tries: 1, failure, by: None })
}

pub(super) fn waiting(wait: u64, on: On, until_ms: Option<u64>) -> Body {
    Body::Waiting(Waiting { wait, step: Some("w".to_owned()), on, until_ms })
}

pub(super) fn woken(wait: u64, by: Wake) -> Body {
    Body::Woken(Woken { wait, by })
}

pub(super) fn on_signal(name: &str) -> On {
    On::Signal { name: name.to_owned() }
}

/// A wait for a person; its digest is that of what they are shown.
pub(super) fn on_approval() -> On {
    On::Approval { title: "refund".to_owned(), request: inline(r#"{"euros":20}"#), digest: Digest::of(b"shown") }
}

/// What a person says who saw this.
pub(super) fn verdict(seen: &[u8]) -> Verdict {
    Verdict { by: "ada".to_owned(), digest: Digest::of(seen), answer: parsed(r#"{"ok":1}"#) }
}

pub(super) fn signalled(name: &str, signal_id: Option<&str>) -> Body {
    Body::Signalled(Signalled { name: name.to_owned(), payload: inline(r#"{"n":7}"#), signal_id: signal_id.map(str::to_owned), by: None })
}

pub(super) fn child_started(child: u32) -> Body {
    Body::ChildStarted(ChildStarted {
        child,
        step: Some("c".to_owned()),
        job_id: JobId::from_bytes([u8::try_from(child).unwrap_or(u8::MAX); 16]),
        branch: Some("left".to_owned()),
        playbook_id: PlaybookId::parse("prepare-release").unwrap(),
        version: 1,
        component: Digest::of(b"component"),
        input: inline(r#"{"part":1}"#),
    })
}

pub(super) fn child_cancelled(child: u32) -> Body {
    Body::ChildCancelled(ChildCancelled { child })
}

pub(super) fn child_ended(child: u32) -> Body {
    Body::ChildEnded(ChildEnded { child, end: ChildEnd::Completed(inline("[1]")) })
}

pub(super) fn paused() -> Body {
    Body::Paused(Paused { by: "ada".to_owned(), reason: Some("lunch".to_owned()) })
}

pub(super) fn parked() -> Body {
    Body::Parked(Parked { reason: ParkReason::Retries, message: "3 tries".to_owned() })
}

pub(super) fn continued() -> Body {
    Body::Continued(Continued { by: "ada".to_owned(), budget: Budget::default() })
}

pub(super) fn drifted(call: u64) -> Body {
    Body::Drifted(Drifted { call, what: "the file is gone".to_owned() })
}

pub(super) fn checked(step: &str, at: At, verdict: crate::checks::Verdict) -> Body {
    let check = parsed(r#"{"equals":0,"kind":"exit_code"}"#);
    let why = "it ended with code 3 and not with 0".to_owned();
    Body::Checked(Checked { step: Some(step.to_owned()), at, check, verdict, why, accepted: false })
}

pub(super) fn handed_over(call: u64, at: Option<At>) -> Body {
    Body::HandedOver(HandedOver { call, step: Some(format!("s{call}")), at, why: "not now".to_owned() })
}

pub(super) fn cancel_requested() -> Body {
    Body::CancelRequested(CancelRequested { by: "ada".to_owned(), reason: None })
}

pub(super) fn cancelled() -> Body {
    Body::Cancelled(Cancelled { failure: None, fuel_used: 11 })
}

/// One entry of each kind, in the order of [`Body::KINDS`]; they do not follow one another.
pub(super) fn one_of_each_kind() -> Vec<Body> {
    let all = vec![
        created(),
        called(1, Effect::Once),
        returned(1),
        recorded(1),
        Body::Resumed { attempt: 1 },
        uncertain(1),
        happened(1),
        retrying(1, 1),
        reattempted(1),
        waiting(1, on_signal("go"), Some(9)),
        woken(1, Wake::Approved(verdict(b"shown"))),
        signalled("go", Some("a")),
        child_started(1),
        child_cancelled(1),
        child_ended(1),
        paused(),
        parked(),
        continued(),
        drifted(1),
        checked("s1", At::After, crate::checks::Verdict::Fail),
        handed_over(1, Some(At::After)),
        cancel_requested(),
        cancelled(),
        completed(),
        failed(),
    ];
    assert_eq!(all.iter().map(Body::kind).collect::<Vec<_>>(), Body::KINDS);
    all
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
