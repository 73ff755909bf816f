//! Journals of form 2, as they lie on people's disks: `fixtures/journal-v2`, with every kind of entry in them.
//!
//! The files were written once and are never written again. Each line of a `.jsonl` file is one entry's stored bytes;
//! `heads.jsonl` has the jobs' rows. A new form gets a folder of its own beside this one, and this test stays.

use std::path::PathBuf;

use reprise::contract::{Effect, ErrorKind, ToolError, ToolId};
use reprise::ids::{Digest, JobId, PlaybookId};
use reprise::journal::*;
use reprise::json::Json;
use reprise::store::Payload;

/// A journal as the fixture must read: what happened, 250 ms apart.
struct Written {
    name: &'static str,
    job_id: JobId,
    epoch: u64,
    worker: Option<u64>,
    status: Status,
    bodies: Vec<Body>,
}

const START: u64 = 1_763_632_000_000;

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn inline(text: &str) -> Payload {
    Payload::Inline(json(text))
}

fn job(n: u8) -> JobId {
    JobId::parse(&format!("01980000-0000-7000-8000-0000000000{n:02}")).unwrap()
}

fn created(options: Options, parent: Option<Parent>, origin: Option<Json>) -> Body {
    Body::Created {
        playbook_id: PlaybookId::parse("refund").unwrap(),
        version: 3,
        component: Digest::of(b"a component"),
        input: inline(r#"{"limit":18446744073709551615,"order":"7"}"#),
        input_digest: json(r#"{"limit":18446744073709551615,"order":"7"}"#).digest(),
        grants: vec![json(r#"{"http":{"host":"localhost"}}"#)],
        engine: "wasmtime 48.0.8".to_owned(),
        fuel: 2_000_000_000,
        options: Box::new(options),
        parent,
        origin,
    }
}

fn called(call: u64, tool: &str, effect: Effect, input: &str) -> Body {
    Body::Called {
        call,
        step: Some(format!("größe {call}")),
        tool: ToolId::parse(tool).unwrap(),
        effect,
        key: format!("5f1c{call:028}"),
        input: inline(input),
        input_digest: json(input).digest(),
    }
}

fn gave(call: u64, output: &str) -> Body {
    Body::Returned { call, answer: Answer::Output(inline(output)) }
}

fn waiting(wait: u64, on: On, until_ms: Option<u64>) -> Body {
    Body::Waiting(Waiting { wait, step: Some("wait".to_owned()), on, until_ms })
}

fn woken(wait: u64, by: Wake) -> Body {
    Body::Woken(Woken { wait, by })
}

fn unavailable() -> ToolError {
    ToolError { kind: ErrorKind::Unavailable, message: "not \"now\"\n".to_owned(), detail: Some(json("null")) }
}

fn failure(step: Option<&str>) -> Failure {
    Failure { step: step.map(str::to_owned), message: "no heading".to_owned(), detail: Some(json("[1]")), cause: Cause::Playbook }
}

fn signal(name: &str, signal_id: Option<&str>, by: Option<&str>) -> Body {
    let (signal_id, by) = (signal_id.map(str::to_owned), by.map(str::to_owned));
    Body::Signalled(Signalled { name: name.to_owned(), payload: inline(r#"{"n":7}"#), signal_id, by })
}

fn approval() -> On {
    On::Approval { title: "refund order 7".to_owned(), request: inline(r#"{"euros":20.5}"#), digest: Digest::of(b"what is shown") }
}

fn verdict(answer: &str) -> Verdict {
    Verdict { by: "ada".to_owned(), digest: Digest::of(b"what is shown"), answer: json(answer) }
}

fn child(child: u32, branch: Option<&str>) -> Body {
    Body::ChildStarted(ChildStarted {
        child,
        step: None,
        job_id: job(50 + u8::try_from(child).unwrap()),
        branch: branch.map(str::to_owned),
        playbook_id: PlaybookId::parse("refund").unwrap(),
        version: 3,
        component: Digest::of(b"a component"),
        input: inline(r#"{"part":1}"#),
    })
}

fn ended(child: u32, end: ChildEnd) -> Body {
    Body::ChildEnded(ChildEnded { child, end })
}

fn everything_said() -> Options {
    Options {
        priority: 9,
        tries: 4,
        first_pause_ms: 20,
        job_tries: 2,
        when_exhausted: WhenExhausted::Fail,
        call_timeout_ms: Some(1_000),
        step_timeout_ms: Some(2_000),
        timeout_ms: Some(86_400_000),
        budget: Budget { fuel: Some(1), calls: Some(2), bytes: Some(3), wall_ms: Some(4) },
        mode: Mode::Normal,
        confirm: Confirm::Ask,
    }
}

fn continued(budget: Budget) -> Body {
    Body::Continued(Continued { by: "ada".to_owned(), budget })
}

/// A job that waits for everything that can be waited for.
fn waits() -> Vec<Body> {
    let large = Payload::Blob { digest: Digest::of(b"a large value"), bytes: 70_000 };
    vec![
        created(Options::default(), None, None),
        signal("go", Some("first"), None),
        waiting(1, On::Sleep { ms: 5 }, Some(START + 5)),
        woken(1, Wake::Elapsed),
        waiting(2, On::Signal { name: "go".to_owned() }, None),
        woken(2, Wake::Signal { seq: 2 }),
        waiting(3, On::Signal { name: "go".to_owned() }, Some(START + 9_000)),
        signal("stop", None, Some("bob")),
        woken(3, Wake::Expired),
        waiting(4, approval(), Some(START + 90_000)),
        woken(4, Wake::Approved(verdict("null"))),
        waiting(5, approval(), None),
        woken(5, Wake::Rejected(verdict(r#"{"why":"too much"}"#))),
        called(1, "agent/call-customer", Effect::Once, "{}"),
        waiting(6, On::External { call: 1 }, Some(START + 100_000)),
        Body::Returned { call: 1, answer: Answer::Output(large) },
        child(1, Some("left")),
        child(2, None),
        Body::ChildCancelled(ChildCancelled { child: 1 }),
        waiting(7, On::Children { children: vec![1, 2] }, None),
        ended(2, ChildEnd::Completed(inline("[]"))),
        ended(1, ChildEnd::Cancelled),
        woken(7, Wake::Child { child: 2 }),
        child(3, Some("right")),
        ended(3, ChildEnd::Failed(failure(None))),
        Body::Completed { output: inline(r#"{"refunded":true}"#), fuel_used: 21_432 },
    ]
}

/// A job that has trouble, and people who see to it.
fn steered() -> Vec<Body> {
    let parent = Parent { job_id: job(1), child: 3, depth: 1, branch: Some("right".to_owned()) };
    let resolved = |call, decision, note: Option<&str>| {
        Body::Resolved(Resolved { call, decision, by: "ada".to_owned(), note: note.map(str::to_owned) })
    };
    let uncertain = |call| Body::Uncertain { call, reason: "the process ended before the tool answered".to_owned() };
    vec![
        created(everything_said(), Some(parent), Some(json(r#"{"planner":"rule"}"#))),
        Body::Recorded { step: None, value: Recorded::Now(START) },
        Body::Recorded { step: Some("r".to_owned()), value: Recorded::Random(u64::MAX) },
        called(1, "http/post", Effect::Idempotent, r#"{"data":[0.1,-9223372036854775808,1e+300]}"#),
        Body::Retrying(Retrying { call: 1, tries: 1, error: unavailable(), until_ms: START + 1_000 }),
        waiting(1, On::Pause { call: 1 }, Some(START + 1_000)),
        woken(1, Wake::Elapsed),
        called(1, "http/post", Effect::Idempotent, r#"{"data":[0.1,-9223372036854775808,1e+300]}"#),
        gave(1, "null"),
        called(2, "http/post", Effect::Once, "{}"),
        Body::Resumed { attempt: 2 },
        uncertain(2),
        resolved(2, Decision::Retry, Some("the log has nothing")),
        called(2, "http/post", Effect::Once, "{}"),
        uncertain(2),
        resolved(2, Decision::Happened(inline(r#"{"id":1}"#)), None),
        called(3, "http/post", Effect::Once, "{}"),
        uncertain(3),
        resolved(3, Decision::Fail(unavailable()), None),
        Body::Reattempted(Reattempted { from_call: 3, tries: 1, failure: failure(Some("größe 3")), by: Some("ada".to_owned()) }),
        Body::Drifted(Drifted { call: 1, what: "the file is gone".to_owned() }),
        Body::Parked(Parked { reason: ParkReason::Fuel, message: "1 of 1".to_owned() }),
        continued(Budget { fuel: Some(5_000), ..Budget::default() }),
        Body::Paused(Paused { by: "bob".to_owned(), reason: Some("lunch".to_owned()) }),
        continued(Budget::default()),
        Body::CancelRequested(CancelRequested { by: "bob".to_owned(), reason: Some("no longer wanted".to_owned()) }),
        waiting(2, On::Sleep { ms: 5 }, Some(START + 5)),
        woken(2, Wake::Cancelled),
        Body::Cancelled(Cancelled { failure: Some(failure(None)), fuel_used: 900 }),
    ]
}

fn written() -> Vec<Written> {
    let standing = |reason| vec![created(Options::default(), None, None), Body::Parked(Parked { reason, message: String::new() })];
    let failed = vec![
        created(Options { priority: 0, ..Options::default() }, None, None),
        called(1, "fs/read", Effect::Read, "{}"),
        Body::Returned { call: 1, answer: Answer::Error(unavailable()) },
        Body::Failed { failure: failure(Some("größe 1")), fuel_used: 7 },
    ];
    let running = vec![created(Options::default(), None, None), called(1, "data/hash", Effect::Pure, r#""\u0000""#)];
    let mut all = vec![
        Written { name: "waits", job_id: job(1), epoch: 9, worker: None, status: Status::Completed, bodies: waits() },
        Written { name: "steered", job_id: job(2), epoch: 4, worker: None, status: Status::Cancelled, bodies: steered() },
        Written { name: "failed", job_id: job(3), epoch: 1, worker: None, status: Status::Failed, bodies: failed },
        Written { name: "running", job_id: job(4), epoch: 1, worker: Some(u64::MAX), status: Status::Running, bodies: running },
    ];
    let reasons = [
        ("parked-retries", ParkReason::Retries),
        ("parked-calls", ParkReason::Calls),
        ("parked-bytes", ParkReason::Bytes),
        ("parked-wall-time", ParkReason::WallTime),
        ("parked-poison", ParkReason::Poison),
        ("parked-drift", ParkReason::Drift),
    ];
    for (n, (name, reason)) in (5..).zip(reasons) {
        all.push(Written { name, job_id: job(n), epoch: 1, worker: None, status: Status::Parked, bodies: standing(reason) });
    }
    all
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/journal-v2")
}

/// The lines of a fixture file, each as the bytes that a store holds.
fn lines(file: &str) -> Vec<Vec<u8>> {
    let path = folder().join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "each line ends");
    lines
}

fn heads() -> Vec<Head> {
    lines("heads.jsonl").iter().map(|line| Head::decode(line).unwrap()).collect()
}

#[test]
fn the_files_read_as_what_happened() {
    let heads = heads();
    assert_eq!(heads.len(), written().len());
    for (journal, head) in written().into_iter().zip(heads) {
        let rows = lines(&format!("{}.jsonl", journal.name));
        chain::verify(&journal.job_id, rows.iter().map(Vec::as_slice), &head.tip()).unwrap();
        let entries: Vec<Entry> = rows.iter().map(|row| stored::decode(row).unwrap()).collect();
        assert_eq!(entries.iter().map(|e| &e.body).collect::<Vec<_>>(), journal.bodies.iter().collect::<Vec<_>>());
        for (entry, n) in entries.iter().zip(0..) {
            assert_eq!((entry.seq, entry.at_ms), (n + 1, START + 250 * n));
        }
        let state = State::fold(&entries).unwrap();
        assert_eq!(state.status(), journal.status, "{}", journal.name);
        let tip = Tip::after(entries.last().unwrap());
        let bytes = rows.iter().map(|row| row.len() as u64).sum();
        assert_eq!(head, Head::of(&state, &tip, bytes, journal.epoch, journal.worker), "{}", journal.name);
        assert_eq!(
            Cursor::new(entries).end().is_ok(),
            journal.name.starts_with("parked"),
            "{}: the guest is told what it was told",
            journal.name
        );
    }
}

/// The entries and the row of a journal, as this version writes them.
fn written_now(journal: Written) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut tip = Tip::first(&journal.job_id);
    let mut entries = Vec::new();
    let mut rows = Vec::new();
    for (body, n) in journal.bodies.into_iter().zip(0..) {
        let (entry, bytes) = stored::seal(tip.next_seq, START + 250 * n, tip.hash, body);
        tip = Tip::after(&entry);
        entries.push(entry);
        rows.push(bytes);
    }
    let state = State::fold(&entries).unwrap();
    let bytes = rows.iter().map(|row| row.len() as u64).sum();
    (rows, Head::of(&state, &tip, bytes, journal.epoch, journal.worker).encode())
}

#[test]
fn form_2_is_still_written_byte_for_byte() {
    for journal in written() {
        let name = journal.name;
        let (rows, head) = written_now(journal);
        let then = lines(&format!("{name}.jsonl"));
        assert_eq!(rows.len(), then.len(), "{name}");
        for (now, then) in rows.iter().zip(then) {
            assert_eq!(String::from_utf8_lossy(now), String::from_utf8_lossy(&then), "{name}");
        }
        assert!(lines("heads.jsonl").contains(&head), "{name}");
    }
}

#[test]
fn every_kind_of_entry_that_form_2_has_is_in_the_files() {
    let kinds: Vec<&str> = written().iter().flat_map(|journal| journal.bodies.iter().map(Body::kind)).collect();
    for kind in Body::KINDS.into_iter().filter(|kind| !matches!(*kind, "checked" | "handed_over")) {
        assert!(kinds.contains(&kind), "{kind}");
    }
}
