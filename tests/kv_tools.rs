//! The `kv` tools: what is kept, for whom, how much of it, and that it is on disk before the answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use reprise::contract::{Confirmation, ErrorKind, Outcome, ToolError, ToolId};
use reprise::json::Json;
use reprise::store::Store;
use reprise::tools::{Grant, Grants, Registry, Surroundings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::server::Server;

/// A store, and a job with these grants.
struct Kept {
    dir: TempDir,
    registry: Registry,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
}

fn granted(flags: &[&str]) -> Grants {
    Grants::open(&flags.iter().map(|flag| Grant::parse_flag(flag).unwrap()).collect::<Vec<_>>()).unwrap()
}

fn over(dir: &Path) -> Registry {
    Registry::within(&Surroundings { store: Some(Store::open(dir).unwrap()), ..Surroundings::default() })
}

impl Kept {
    fn new() -> Kept {
        Kept::granting(&["kv:notes", "kv:settings:ro"])
    }

    fn granting(flags: &[&str]) -> Kept {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Kept { registry: over(dir.path()), grants: granted(flags), dir, runtime }
    }

    fn call(&self, tool: &str, input: &Value) -> Outcome {
        let outcome = self.runtime.block_on(self.registry.call(&id(tool), "the-key", &Json::from(input), &self.grants));
        if let Ok(output) = &outcome {
            jsonschema::validate(&self.registry.get(&id(tool)).unwrap().output_schema, &output.value()).unwrap();
        }
        outcome
    }

    fn answer(&self, tool: &str, input: &Value) -> Value {
        self.call(tool, input).unwrap_or_else(|e| panic!("{tool} {input}: {e}")).value()
    }

    fn refused(&self, tool: &str, input: &Value) -> ToolError {
        self.call(tool, input).unwrap_err()
    }

    fn set(&self, key: &str, value: &Value) {
        self.answer("kv/set", &json!({ "space": "notes", "key": key, "value": value }));
    }

    fn get(&self, key: &str) -> Value {
        self.answer("kv/get", &json!({ "space": "notes", "key": key }))["value"].clone()
    }
}

fn id(tool: &str) -> ToolId {
    ToolId::parse(tool).unwrap()
}

#[test]
fn a_key_has_the_value_that_it_was_given_last_and_a_repeat_answers_the_same() {
    let kept = Kept::new();
    let none = json!({ "space": "notes", "key": "a", "found": false, "value": null });
    assert_eq!(kept.answer("kv/get", &json!({ "space": "notes", "key": "a" })), none);
    for value in [json!({ "b": [1, null], "a": 0.5 }), json!(null), json!(""), json!(u64::MAX), json!({ "b": [1, null], "a": 0.5 })] {
        let set = json!({ "space": "notes", "key": "a", "value": value });
        let first = kept.answer("kv/set", &set);
        assert_eq!(first, json!({ "space": "notes", "key": "a", "bytes": value.to_string().len() }));
        assert_eq!(kept.answer("kv/set", &set), first);
        assert_eq!(
            kept.answer("kv/get", &json!({ "space": "notes", "key": "a" })),
            json!({ "space": "notes", "key": "a", "found": true, "value": value })
        );
    }
    for _ in 0..2 {
        assert_eq!(kept.answer("kv/delete", &json!({ "space": "notes", "key": "a" })), json!({ "space": "notes", "key": "a" }));
        assert_eq!(kept.answer("kv/get", &json!({ "space": "notes", "key": "a" })), none);
    }
}

#[test]
fn keys_are_listed_in_order_by_their_beginning_and_a_page_at_a_time() {
    let kept = Kept::new();
    let list = |more: Value| {
        let mut input = json!({ "space": "notes" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let page = kept.answer("kv/list", &input);
        (
            page["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" "),
            page["more"] == true,
        )
    };
    let listed = |keys: &str, more: bool| (keys.to_owned(), more);
    assert_eq!(list(json!({})), listed("", false));
    for key in ["b/2", "b", "a", "b/10", "ä", "b/1"] {
        kept.set(key, &json!(1));
    }
    assert_eq!(list(json!({})), listed("a b b/1 b/10 b/2 ä", false));
    assert_eq!(list(json!({ "prefix": "b" })), listed("b b/1 b/10 b/2", false));
    assert_eq!(list(json!({ "prefix": "b/" })), listed("b/1 b/10 b/2", false));
    assert_eq!(list(json!({ "prefix": "b/", "limit": 2 })), listed("b/1 b/10", true));
    assert_eq!(list(json!({ "prefix": "b/", "limit": 2, "after": "b/10" })), listed("b/2", false));
    assert_eq!(list(json!({ "prefix": "b/", "limit": 3 })), listed("b/1 b/10 b/2", false));
    assert_eq!(list(json!({ "after": "b", "limit": 1 })), listed("b/1", true));
    assert_eq!(list(json!({ "prefix": "b", "after": "a" })), listed("b b/1 b/10 b/2", false), "what comes before does no harm");
    assert_eq!(list(json!({ "prefix": "b", "after": "c" })), listed("", false));
    for number in 0..200 {
        kept.set(&format!("many/{number:03}"), &json!(number));
    }
    let (keys, more) = list(json!({ "prefix": "many/", "limit": 150 }));
    assert_eq!((keys.split(' ').count(), keys.ends_with("many/149"), more), (150, true, true), "over more rows than are read at once");
}

#[test]
fn a_space_is_reached_only_as_far_as_it_is_granted() {
    let kept = Kept::new();
    for (tool, more, says) in [
        (
            "kv/get",
            json!({ "space": "other", "key": "a" }),
            "no grant covers the space \"other\"; this job has: notes (read and write), settings (read)",
        ),
        ("kv/list", json!({ "space": "other" }), "no grant covers the space \"other\""),
        ("kv/set", json!({ "space": "other", "key": "a", "value": 1 }), "no grant covers the space \"other\""),
        ("kv/delete", json!({ "space": "", "key": "a" }), "no grant covers the space \"\""),
        ("kv/get", json!({ "space": "notes\u{0}a", "key": "a" }), "no grant covers"),
        ("kv/get", json!({ "space": "Notes", "key": "a" }), "no grant covers"),
        (
            "kv/set",
            json!({ "space": "settings", "key": "a", "value": 1 }),
            "the grant \"settings\" is read-only, so \"a\" cannot be changed",
        ),
        ("kv/delete", json!({ "space": "settings", "key": "a" }), "the grant \"settings\" is read-only"),
    ] {
        let error = kept.refused(tool, &more);
        assert!(error.kind == ErrorKind::Denied && error.message.contains(says), "{tool} {more}: {error}");
    }
    assert_eq!(kept.answer("kv/get", &json!({ "space": "settings", "key": "a" }))["found"], false);
    kept.set("a", &json!("notes alone"));
    assert_eq!(kept.answer("kv/list", &json!({ "space": "settings" }))["keys"], json!([]), "spaces hold nothing of each other");

    let nothing = Kept::granting(&["kv@search:notes"]);
    let error = nothing.refused("kv/get", &json!({ "space": "notes", "key": "a" }));
    assert!(
        error.kind == ErrorKind::Denied && error.message.contains("has no kv grants"),
        "what is for components is not for these: {error}"
    );
    let elsewhere = nothing.runtime.block_on(Registry::builtin().call(
        &id("kv/get"),
        "k",
        &Json::from(&json!({ "space": "notes", "key": "a" })),
        &kept.grants,
    ));
    assert_eq!(elsewhere.unwrap_err().kind, ErrorKind::Unavailable, "without a store, nothing is made up");
}

#[test]
fn keys_and_values_have_their_limits() {
    let kept = Kept::new();
    let (long, wide) = ("k".repeat(256), "ä".repeat(129));
    for (key, fits) in [
        ("", false),
        ("a\u{0}b", false),
        ("a\nb", false),
        ("a\u{7f}", false),
        (&long, true),
        (&format!("{long}k"), false),
        (&wide, false),
        ("../../a", true),
        (" ", true),
    ] {
        for (tool, input) in [
            ("kv/set", json!({ "space": "notes", "key": key, "value": 1 })),
            ("kv/get", json!({ "space": "notes", "key": key })),
            ("kv/delete", json!({ "space": "notes", "key": key })),
        ] {
            match kept.call(tool, &input) {
                Ok(_) => assert!(fits, "{tool} {key:?}"),
                Err(e) => assert!(!fits && e.kind == ErrorKind::InvalidInput, "{tool} {key:?}: {e}"),
            }
        }
    }
    let largest = "v".repeat(32 * 1024 - 2);
    kept.set("large", &json!(largest));
    let error = kept.refused("kv/set", &json!({ "space": "notes", "key": "large", "value": format!("{largest}v") }));
    assert!(
        error.kind == ErrorKind::InvalidInput && error.message.contains("has 32769 bytes; one in a space has at most 32768"),
        "{error}"
    );
    assert_eq!(kept.get("large"), json!(largest));
    let deepest: Value = serde_json::from_str(&("[".repeat(63) + &"]".repeat(63))).unwrap();
    kept.set("deep", &deepest);
    assert_eq!(kept.get("deep"), deepest);
}

/// Copies what a crash at this moment would leave.
fn crash_image(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { crash_image(&entry.path(), &to) } else { assert!(std::fs::copy(entry.path(), to).is_ok()) }
    }
}

#[test]
fn what_was_answered_for_is_on_disk() {
    let kept = Kept::new();
    let image = tempfile::tempdir().unwrap();
    for (n, gone) in [(1, false), (2, false), (3, true)] {
        kept.set("a", &json!(n));
        if gone {
            kept.answer("kv/delete", &json!({ "space": "notes", "key": "a" }));
        }
        let place = image.path().join(n.to_string());
        crash_image(kept.dir.path(), &place);
        let after = Kept { registry: over(&place), grants: kept.grants.clone(), ..Kept::new() };
        assert_eq!(after.get("a"), if gone { json!(null) } else { json!(n) });
    }
}

#[test]
fn many_who_change_a_space_at_once_lose_nothing() {
    let kept = Kept::new();
    let calls = (0..64).map(|n| {
        let (registry, grants) = (kept.registry.clone(), kept.grants.clone());
        let input = Json::from(&json!({ "space": "notes", "key": format!("key-{:02}", n % 32), "value": n }));
        kept.runtime.spawn(async move { registry.call(&id("kv/set"), &n.to_string(), &input, &grants).await })
    });
    for call in calls.collect::<Vec<_>>() {
        kept.runtime.block_on(call).unwrap().unwrap();
    }
    assert_eq!(kept.answer("kv/list", &json!({ "space": "notes" }))["keys"].as_array().unwrap().len(), 32);
    for n in 0..32 {
        let value = kept.get(&format!("key-{n:02}"));
        assert!(value == json!(n) || value == json!(n + 32), "{value}");
    }
}

#[test]
fn whether_an_answer_still_holds_is_seen_in_the_space() {
    let kept = Kept::new();
    let confirm = |tool: &str, input: &Value, output: &Value| {
        kept.runtime.block_on(kept.registry.confirm(&id(tool), &Json::from(input), &Json::from(output), &kept.grants))
    };
    let (get, set) = (json!({ "space": "notes", "key": "a" }), json!({ "space": "notes", "key": "a", "value": 1 }));
    let asked = [("kv/get", &get), ("kv/list", &json!({ "space": "notes" })), ("kv/set", &set), ("kv/delete", &get)];
    // In the order in which they are made, each holds until the next change.
    let set_output = kept.answer("kv/set", &set);
    assert_eq!(confirm("kv/set", &set, &set_output), Confirmation::Holds);
    let (got, listed) = (kept.answer("kv/get", &get), kept.answer("kv/list", asked[1].1));
    assert_eq!((confirm("kv/get", &get, &got), confirm("kv/list", asked[1].1, &listed)), (Confirmation::Holds, Confirmation::Holds));
    let deleted = kept.answer("kv/delete", &get);
    assert_eq!(confirm("kv/delete", &get, &deleted), Confirmation::Holds);
    for (tool, input, output) in [("kv/set", &set, &set_output), ("kv/get", &get, &got), ("kv/list", asked[1].1, &listed)] {
        assert!(matches!(confirm(tool, input, output), Confirmation::Changed(_)), "{tool}");
    }
    kept.set("a", &json!(2));
    assert!(matches!(confirm("kv/delete", &get, &deleted), Confirmation::Changed(why) if why.contains("again")));
    let denied = confirm("kv/get", &json!({ "space": "other", "key": "a" }), &got);
    assert!(matches!(denied, Confirmation::Unknown(_)), "{denied:?}");
}

/// Runs the `kv` examples of `docs/TOOLS.md` from top to bottom, in a space that is empty at first.
#[test]
fn the_examples_of_the_documentation_are_true() {
    let page = std::fs::read_to_string(crate::support::page::repository().join("docs/TOOLS.md")).unwrap();
    let kept = Kept::granting(&["kv:notes"]);
    let mut examples = 0;
    for block in page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap()).filter(|block| block.contains("\"kv/")) {
        let example: Value = serde_json::from_str(block).unwrap();
        match kept.call(example["tool"].as_str().unwrap(), &example["input"]) {
            Ok(output) => assert_eq!(output.value(), example["output"], "{block}"),
            Err(error) => assert_eq!(serde_json::to_value(&error).unwrap(), example["error"], "{block}"),
        }
        examples += 1;
    }
    assert_eq!(examples, 6);
}

/// Through a component: recorded, compiled, run, and its answers in the journal.
#[test]
fn a_job_remembers_for_the_next_one_and_its_reads_are_in_its_journal() {
    let server = Server::granting(&["kv:notes".to_owned()]);
    let step = |index: u32, tool: &str, input: Value, output: Value| {
        let before = json!({"run_id": "r", "step_index": index, "tool_name": tool, "tool_input": input});
        server.post("/v1/memory/replay/step/before", &before).ok();
        server
            .post("/v1/memory/replay/step/after", &json!({"run_id": "r", "step_index": index, "status": "success", "output": output}))
            .ok();
    };
    server.post("/v1/memory/replay/run/start", &json!({"run_id": "r", "goal": "remember"})).ok();
    step(1, "kv/get", json!({"space": "notes", "key": "last"}), json!({"space": "notes", "key": "last", "found": false, "value": null}));
    step(2, "kv/set", json!({"space": "notes", "key": "last", "value": "here"}), json!({"space": "notes", "key": "last", "bytes": 6}));
    server.post("/v1/memory/replay/run/end", &json!({"run_id": "r", "status": "success"})).ok();
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "r", "playbook_id": "r"})).ok();
    for found in [false, true] {
        let job = server.post("/v1/jobs", &json!({"playbook_id": "r", "input": {}, "wait_ms": 30_000})).ok();
        assert_eq!(job["status"], "completed", "{job}");
        let journal = server.get(&format!("/v1/jobs/{}/journal", job["job_id"].as_str().unwrap())).ok();
        let read = journal["entries"].as_array().unwrap().iter().find(|entry| entry["kind"] == "returned").unwrap();
        assert_eq!(read["output"]["found"], found, "{journal:#}");
    }
}
