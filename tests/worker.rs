//! What a worker writes into a job's journal, for tests.

use reprise::contract::{Effect, ToolId};
use reprise::ids::{Digest, PlaybookId, Space};
use reprise::journal::{Answer, Body, Cause, Failure, Options, Recorded};
use reprise::json::Json;
use reprise::store::{Payload, Store};

/// A store in a directory of its own, which goes away with it.
pub struct Place {
    pub store: Store,
    pub space: Space,
    pub dir: tempfile::TempDir,
}

pub fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    Place { store: Store::open(dir.path()).unwrap(), space: Space::default_space(), dir }
}

pub fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

pub fn created_for(playbook_id: &str) -> Body {
    let input = json(r#"{"version":"1.3.0"}"#);
    Body::Created {
        playbook_id: PlaybookId::parse(playbook_id).unwrap(),
        version: 1,
        component: Digest::of(b"component"),
        input_digest: input.digest(),
        input: Payload::Inline(input),
        grants: vec![json(r#"{"fs":{"dir":"tree"}}"#)],
        engine: "wasmtime 48.0.8".to_owned(),
        fuel: 2_000_000_000,
        options: Box::new(Options::default()),
        parent: None,
        origin: None,
    }
}

pub fn created() -> Body {
    created_for("prepare-release")
}

pub fn called(call: u64) -> Body {
    let input = json(&format!(r#"{{"path":"file-{call}"}}"#));
    Body::Called {
        call,
        step: Some("write".to_owned()),
        tool: ToolId::parse("fs/replace").unwrap(),
        effect: Effect::Once,
        key: format!("key-{call}"),
        input_digest: input.digest(),
        input: Payload::Inline(input),
    }
}

pub fn returned(call: u64) -> Body {
    Body::Returned { call, answer: Answer::Output(Payload::Inline(json(r#"{"bytes":9}"#))) }
}

pub fn time(ms: u64) -> Body {
    Body::Recorded { step: None, value: Recorded::Now(ms) }
}

pub fn uncertain(call: u64) -> Body {
    Body::Uncertain { call, reason: "the process ended before the tool answered".to_owned() }
}

pub fn completed() -> Body {
    Body::Completed { output: Payload::Inline(json("{}")), fuel_used: 20_000 }
}

pub fn failed() -> Body {
    let failure = Failure { step: None, message: "heading not found".to_owned(), detail: None, cause: Cause::Playbook };
    Body::Failed { failure, fuel_used: 900 }
}
