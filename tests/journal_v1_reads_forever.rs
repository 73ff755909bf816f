//! Journals of form 1, as they lie on people's disks: `fixtures/journal-v1`.
//!
//! The files were written once and are never written again. Each line of a `.jsonl` file is one entry's stored bytes;
//! `heads.jsonl` has the jobs' rows. A new form gets a folder of its own beside this one, and this test stays.

use std::path::PathBuf;

use reprise::contract::{Effect, ErrorKind, ToolError, ToolId};
use reprise::ids::{Digest, JobId, PlaybookId};
use reprise::journal::{Answer, Body, Cause, Decision, Entry, Failure, Head, Recorded, Resolved, State, Status, Tip, chain, stored};
use reprise::json::Json;
use reprise::store::Payload;

/// A journal as the fixture must read: what happened, 250 ms apart.
struct Written {
    name: &'static str,
    job_id: JobId,
    epoch: u64,
    status: Status,
    bodies: Vec<Body>,
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn inline(text: &str) -> Payload {
    Payload::Inline(json(text))
}

fn created(playbook_id: &str, version: u32, input: &str, grants: Vec<Json>) -> Body {
    Body::Created {
        playbook_id: PlaybookId::parse(playbook_id).unwrap(),
        version,
        component: Digest::of(b"a component"),
        input: inline(input),
        input_digest: json(input).digest(),
        grants,
        engine: "wasmtime 48.0.8".to_owned(),
        fuel: 2_000_000_000,
        options: Box::default(),
        parent: None,
        origin: None,
    }
}

fn called(call: u64, step: Option<&str>, tool: &str, effect: Effect, input: &str) -> Body {
    Body::Called {
        call,
        step: step.map(str::to_owned),
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

fn written() -> Vec<Written> {
    let large = Digest::of(b"a large value");
    let not_found = ToolError { kind: ErrorKind::NotFound, message: "no file \"a\"\n".to_owned(), detail: Some(json("null")) };
    let denied = ToolError { kind: ErrorKind::Denied, message: "no grant".to_owned(), detail: None };
    vec![
        Written {
            name: "completed",
            job_id: JobId::parse("01980000-0000-7000-8000-000000000001").unwrap(),
            epoch: 2,
            status: Status::Completed,
            bodies: vec![
                created(
                    "prepare-release",
                    3,
                    r#"{"limit":18446744073709551615,"version":"1.3.0"}"#,
                    vec![json(r#"{"fs":{"dir":"tree"}}"#), json("null")],
                ),
                Body::Recorded { step: None, value: Recorded::Now(1_763_632_000_100) },
                called(1, Some("read"), "fs/read", Effect::Read, r#"{"path":"package.json"}"#),
                gave(1, r#"{"text":"{\n  \"version\": \"1.2.0\"\n}"}"#),
                called(
                    2,
                    Some("größe \u{1f600}"),
                    "fs/write",
                    Effect::Idempotent,
                    r#"{"data":[0.1,-9223372036854775808,1e+300],"path":"b"}"#,
                ),
                Body::Resumed { attempt: 2 },
                gave(2, "null"),
                called(3, None, "data/hash", Effect::Pure, r#""\u0000""#),
                Body::Returned { call: 3, answer: Answer::Error(not_found) },
                Body::Recorded { step: Some("read".to_owned()), value: Recorded::Random(u64::MAX) },
                called(4, Some("replace"), "fs/replace", Effect::Once, r#"{"path":"c"}"#),
                Body::Returned { call: 4, answer: Answer::Output(Payload::Blob { digest: large, bytes: 70_000 }) },
                Body::Completed { output: inline(r#"{"changed":["b","c"]}"#), fuel_used: 21_432 },
            ],
        },
        Written {
            name: "failed",
            job_id: JobId::parse("01980000-0000-7000-8000-000000000002").unwrap(),
            epoch: 1,
            status: Status::Failed,
            bodies: vec![
                created("p", 1, "null", vec![]),
                called(1, Some("s1"), "agent/edit", Effect::Once, "{}"),
                Body::Returned { call: 1, answer: Answer::Error(denied) },
                Body::Failed {
                    failure: Failure {
                        step: Some("s1".to_owned()),
                        message: "heading not found".to_owned(),
                        detail: Some(json(r#"{"expected":"a heading"}"#)),
                        cause: Cause::Playbook,
                    },
                    fuel_used: 900,
                },
            ],
        },
        Written {
            name: "uncertain",
            job_id: JobId::parse("01980000-0000-7000-8000-000000000003").unwrap(),
            epoch: 7,
            status: Status::Uncertain,
            bodies: vec![
                created("p", 1, "[]", vec![]),
                called(1, None, "http/post", Effect::Once, r#"{"url":"http://localhost/"}"#),
                Body::Resumed { attempt: 2 },
                Body::Uncertain { call: 1, reason: "the process ended before the tool answered".to_owned() },
            ],
        },
    ]
}

/// The lines of a fixture file, each as the bytes that a store holds.
fn lines(file: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/journal-v1").join(file);
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
    for (journal, head) in written().into_iter().zip(heads()) {
        let rows = lines(&format!("{}.jsonl", journal.name));
        chain::verify(&journal.job_id, rows.iter().map(Vec::as_slice), &head.tip()).unwrap();
        let entries: Vec<Entry> = rows.iter().map(|row| stored::decode(row).unwrap()).collect();
        assert_eq!(entries.iter().map(|e| &e.body).collect::<Vec<_>>(), journal.bodies.iter().collect::<Vec<_>>());
        for (entry, n) in entries.iter().zip(0..) {
            assert_eq!((entry.seq, entry.at_ms), (n + 1, 1_763_632_000_000 + 250 * n));
        }
        let state = State::fold(&entries).unwrap();
        assert_eq!(state.status(), journal.status, "{}", journal.name);
        let tip = Tip::after(entries.last().unwrap());
        let bytes = rows.iter().map(|row| row.len() as u64).sum();
        assert_eq!(head, Head::of(&state, &tip, bytes, journal.epoch, None), "{}", journal.name);
    }
}

#[test]
fn every_kind_that_form_1_had_is_in_the_files() {
    let kinds: Vec<&str> = written().iter().flat_map(|journal| journal.bodies.iter().map(Body::kind)).collect();
    for kind in ["created", "called", "returned", "recorded", "resumed", "uncertain", "completed", "failed"] {
        assert!(kinds.contains(&kind), "{kind}");
    }
}

#[test]
fn a_job_of_form_1_goes_on_in_form_2() {
    let journal = written().remove(2);
    let rows = lines("uncertain.jsonl");
    let entries: Vec<Entry> = rows.iter().map(|row| stored::decode(row).unwrap()).collect();
    let tip = Tip::after(entries.last().unwrap());
    let resolved = Resolved { call: 1, decision: Decision::Retry, by: "ada".to_owned(), note: None };
    let (entry, bytes) = stored::seal(tip.next_seq, 1_763_632_009_000, tip.hash, Body::Resolved(resolved));
    let whole: Vec<&[u8]> = rows.iter().map(Vec::as_slice).chain([bytes.as_slice()]).collect();
    chain::verify(&journal.job_id, whole, &Tip::after(&entry)).unwrap();
    let mut state = State::fold(&entries).unwrap();
    state.apply(&entry).unwrap();
    assert_eq!((state.status(), state.next_call()), (Status::Running, 1));
}
