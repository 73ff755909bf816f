//! Journals of form 3, as they lie on people's disks: `fixtures/journal-v3`. Form 3 added checks and what is handed over; an
//! entry that says nothing of either is still of form 2.
//!
//! The files were written once and are never written again. Each line of a file is one entry's stored bytes.

use std::path::PathBuf;

use reprise::checks::{At, Spec, Verdict};
use reprise::contract::{Effect, ErrorKind, ToolError, ToolId};
use reprise::ids::{Digest, JobId, PlaybookId};
use reprise::journal::{
    Answer, Body, Cause, Checked, ChildEnd, ChildEnded, ChildStarted, Cursor, Decision, Entry, Failure, HandedOver, Mode, Options,
    Reattempted, Resolved, State, Status, Tip, chain, stored,
};
use reprise::json::Json;
use reprise::store::Payload;
use serde_json::{Value, json};

/// A journal as the fixture must read: what happened, 250 ms apart.
struct Written {
    name: &'static str,
    job_id: JobId,
    status: Status,
    bodies: Vec<Body>,
}

const START: u64 = 1_763_632_000_000;

fn job(n: u8) -> JobId {
    JobId::parse(&format!("01980000-0000-7000-8000-0000000000{n:02}")).unwrap()
}

fn inline(value: &Value) -> Payload {
    Payload::Inline(Json::from(value))
}

fn created(mode: Mode) -> Body {
    let input = json!({"order": "7"});
    Body::Created {
        playbook_id: PlaybookId::parse("refund").unwrap(),
        version: 3,
        component: Digest::of(b"a component"),
        input: inline(&input),
        input_digest: Json::from(&input).digest(),
        grants: Vec::new(),
        engine: "wasmtime 48.0.8".to_owned(),
        fuel: 2_000_000_000,
        options: Box::new(Options { mode, ..Options::default() }),
        parent: None,
        origin: None,
    }
}

fn called(call: u64) -> Body {
    Body::Called {
        call,
        step: Some(format!("s{call}")),
        tool: ToolId::parse("exec/run").unwrap(),
        effect: Effect::Once,
        key: format!("5f1c{call:028}"),
        input: inline(&json!({"program": "/bin/true"})),
        input_digest: Json::from(&json!({"program": "/bin/true"})).digest(),
    }
}

fn gave(call: u64, output: &Value) -> Body {
    Body::Returned { call, answer: Answer::Output(inline(output)) }
}

fn checked(step: &str, at: At, check: &Value, verdict: Verdict, why: &str) -> Checked {
    let check = Spec::parse(check).unwrap().to_json();
    Checked { step: Some(step.to_owned()), at, check, verdict, why: why.to_owned(), accepted: false }
}

fn handed_over(call: u64, at: Option<At>, why: &str) -> Body {
    Body::HandedOver(HandedOver { call, step: Some(format!("s{call}")), at, why: why.to_owned() })
}

fn resolved(call: u64, decision: Decision) -> Body {
    Body::Resolved(Resolved { call, decision, by: "ada".to_owned(), note: Some("looked".to_owned()) })
}

/// Everything that a person can say of what was handed over.
fn guided() -> Vec<Body> {
    let exists = json!({"kind": "file_exists", "path": "project/ü.md"});
    let before = || checked("s1", At::Before, &exists, Verdict::Fail, "\"project/ü.md\" is not there");
    let ended = json!({"kind": "exit_code", "equals": 0});
    let error = ToolError::new(ErrorKind::Failed, "true ended with code 1");
    vec![
        created(Mode::Guided),
        Body::Checked(before()),
        handed_over(1, Some(At::Before), "it is not there"),
        resolved(1, Decision::Retry),
        Body::Checked(before()),
        handed_over(1, Some(At::Before), "it is not there"),
        resolved(1, Decision::Happened(inline(&json!({"code": 3})))),
        Body::Checked(Checked { accepted: true, ..before() }),
        called(1),
        gave(1, &json!({"code": 3})),
        Body::Checked(checked("s1", At::After, &ended, Verdict::Fail, "it ended with code 3 and not with 0")),
        handed_over(1, Some(At::After), "it ended with code 3"),
        resolved(1, Decision::Happened(inline(&json!({"code": 0})))),
        Body::Checked(checked("s1", At::After, &ended, Verdict::Pass, "it ended with code 0")),
        called(2),
        Body::Returned { call: 2, answer: Answer::Error(error.clone()) },
        handed_over(2, None, "failed: true ended with code 1"),
        resolved(2, Decision::Fail(error)),
    ]
}

/// A job that fails by a check, is tried again, and fails by that of a child.
fn failed() -> Vec<Body> {
    let unknown = checked("s1", At::Before, &json!({"kind": "port_free", "port": 80}), Verdict::Unknown, "nobody can tell");
    let failure =
        Failure { step: Some("s1".to_owned()), message: unknown.message(), detail: Some(unknown.detail()), cause: Cause::CheckFailed };
    let child = ChildStarted {
        child: 1,
        step: None,
        job_id: job(90),
        branch: None,
        playbook_id: PlaybookId::parse("other").unwrap(),
        version: 1,
        component: Digest::of(b"another component"),
        input: inline(&json!(null)),
    };
    vec![
        created(Mode::Strict),
        Body::Checked(unknown.clone()),
        Body::Failed { failure: failure.clone(), fuel_used: 7 },
        Body::Reattempted(Reattempted { from_call: 1, tries: 1, failure: failure.clone(), by: Some("ada".to_owned()) }),
        Body::Checked(Checked { verdict: Verdict::Pass, ..unknown }),
        Body::ChildStarted(child),
        Body::ChildEnded(ChildEnded { child: 1, end: ChildEnd::Failed(failure.clone()) }),
        Body::Failed { failure, fuel_used: 9 },
    ]
}

fn written() -> Vec<Written> {
    vec![
        Written { name: "guided", job_id: job(1), status: Status::Running, bodies: guided() },
        Written { name: "failed", job_id: job(2), status: Status::Failed, bodies: failed() },
    ]
}

fn lines(name: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/journal-v3/{name}.jsonl"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "each line ends");
    lines
}

#[test]
fn the_files_of_form_3_read_as_what_happened() {
    for journal in written() {
        let rows = lines(journal.name);
        let entries: Vec<Entry> = rows.iter().map(|row| stored::decode(row).unwrap()).collect();
        let tip = Tip::after(entries.last().unwrap());
        chain::verify(&journal.job_id, rows.iter().map(Vec::as_slice), &tip).unwrap();
        assert_eq!(entries.iter().map(|e| &e.body).collect::<Vec<_>>(), journal.bodies.iter().collect::<Vec<_>>(), "{}", journal.name);
        let state = State::fold(&entries).unwrap();
        assert_eq!(state.status(), journal.status, "{}", journal.name);
        assert!(Cursor::new(entries).end().is_err(), "{}: the guest is told what it was told", journal.name);
        if let Some(failure) = &state.failure {
            let check = failure.failed_check().unwrap();
            assert_eq!((check.step.as_deref(), check.at, check.verdict), (Some("s1"), At::Before, Verdict::Unknown));
        }
    }
}

#[test]
fn form_3_is_still_written_byte_for_byte_and_what_is_older_in_its_own_form() {
    for journal in written() {
        let mut tip = Tip::first(&journal.job_id);
        for ((body, n), then) in journal.bodies.into_iter().zip(0..).zip(lines(journal.name)) {
            let is_old = matches!(body, Body::Called { .. } | Body::Returned { .. } | Body::Resolved(_) | Body::ChildStarted(_));
            let (entry, now) = stored::seal(tip.next_seq, START + 250 * n, tip.hash, body);
            tip = Tip::after(&entry);
            assert_eq!(String::from_utf8_lossy(&now), String::from_utf8_lossy(&then), "{}", journal.name);
            assert_eq!(then.starts_with(br#"{"v":2,"#), is_old, "{}", String::from_utf8_lossy(&then));
        }
    }
}
