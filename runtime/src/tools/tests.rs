//! What every call goes through, whichever tool it is; and the page about the tools, run from top to bottom.

use std::sync::Mutex;

use serde_json::json;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn call(registry: &Registry, id: &str, key: &str, input: &str) -> Outcome {
    let id = ToolId::parse(id).unwrap();
    runtime().block_on(registry.call(&id, key, &Json::parse(input.as_bytes()).unwrap(), &Grants::none()))
}

#[test]
fn the_registry_lists_each_tool_with_its_effect_and_its_words() {
    let registry = Registry::builtin();
    let listed: Vec<String> = registry.list().map(|info| format!("{} ({}): {}", info.id, info.effect, info.words)).collect();
    assert_eq!(
        listed,
        [
            "fs/list (read): list directories",
            "fs/read (read): read files",
            "fs/remove (idempotent): remove files and empty directories",
            "fs/replace (once): replace text inside files",
            "fs/write (idempotent): create files, and replace the whole content of files",
        ]
    );
    for info in registry.list() {
        assert_eq!(registry.get(&info.id).unwrap().words, info.words);
        for schema in [&info.input_schema, &info.output_schema] {
            assert!(jsonschema::meta::is_valid(schema), "{schema}");
            assert_eq!(schema["additionalProperties"], json!(false), "{schema}");
        }
    }
    assert!(registry.get(&ToolId::parse("fs/chmod").unwrap()).is_none());
}

#[test]
fn a_tool_that_is_not_there_is_not_found_and_an_agents_tool_says_who_would_do_it() {
    let registry = Registry::builtin();
    let error = call(&registry, "fs/chmod", "k", "{}").unwrap_err();
    assert_eq!(error.to_string(), "not-found: there is no tool fs/chmod; there are fs/list, fs/read, fs/remove, fs/replace, fs/write");
    let error = call(&registry, "agent/edit", "k", "{}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "not-found: agent/edit must be performed by an agent or a worker from outside, and this version cannot ask one yet"
    );
}

#[test]
fn an_input_that_does_not_fit_lists_every_place_and_repeats_no_value() {
    let registry = Registry::builtin();
    let input = json!({ "path": 7, "text": [ "v".repeat(100_000) ], "mode": 1 }).to_string();
    let error = call(&registry, "fs/write", "k", &input).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    for part in ["/path: ", "/text: ", "'mode'"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert!(error.message.len() < 1_000, "{error}");
    let detail = error.detail.unwrap().value();
    assert_eq!(detail["issues"].as_array().unwrap().len(), 3, "{detail}");

    for (tool, input) in [
        ("fs/read", "{}"),
        ("fs/read", "null"),
        ("fs/read", r#"{"path":"a","as":"xml"}"#),
        ("fs/list", "[]"),
        ("fs/replace", r#"{"path":"a"}"#),
    ] {
        assert_eq!(call(&registry, tool, "k", input).unwrap_err().kind, ErrorKind::InvalidInput, "{tool} {input}");
    }
    let large = json!({ "path": "x".repeat(limits::JSON_BYTES_MAX) }).to_string();
    assert!(call(&registry, "fs/read", "k", &large).unwrap_err().message.contains("at most 1048576"));
    let key = json!({ "k".repeat(50_000): 1, "path": "a" }).to_string();
    assert!(call(&registry, "fs/read", "k", &key).unwrap_err().message.chars().count() <= limits::GUEST_MESSAGE_CHARS_MAX);
}

/// Held by a test for as long as its tool is to hang.
static GATE: Mutex<()> = Mutex::new(());

fn hanging() -> (Info, Run) {
    let info = Info { id: ToolId::parse("test/hang").unwrap(), effect: Effect::Once, ..odd_info() };
    (info, |_, _| {
        let _gate = GATE.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(json!("done"))
    })
}

fn odd_info() -> Info {
    Info {
        id: ToolId::parse("test/odd").unwrap(),
        description: "",
        input_schema: json!({}),
        output_schema: json!({}),
        effect: Effect::Read,
        words: "",
    }
}

#[test]
fn a_tool_that_hangs_is_given_up_and_never_runs_beside_itself() {
    let times = Times { begin: Duration::from_millis(10), answer: Duration::from_millis(20) };
    let registry = Registry::of(vec![hanging()], times);
    let id = ToolId::parse("test/hang").unwrap();
    let (runtime, input) = (runtime(), Json::parse(b"{}").unwrap());
    let attempt = || runtime.block_on(registry.call(&id, "the key", &input, &Grants::none()));

    let gate = GATE.lock().unwrap_or_else(PoisonError::into_inner);
    let error = attempt().unwrap_err();
    assert_eq!(error.to_string(), "timeout: test/hang did not answer within 0.02 s, and whether it took effect is not known");
    let error = attempt().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("still under way"), "{error}");
    drop(gate);
    // Once the first attempt has ended, the same key is taken again.
    loop {
        match attempt() {
            Ok(output) => return assert_eq!(output.as_str(), "\"done\""),
            Err(e) => assert!(matches!(e.kind, ErrorKind::Unavailable | ErrorKind::Timeout), "{e}"),
        }
    }
}

#[test]
fn a_tool_that_panics_is_broken_and_the_next_call_works() {
    let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
    let info = Info { effect: Effect::Once, ..odd_info() };
    let registry =
        Registry::of(vec![(info, |_, value| if value["panic"] == json!(true) { panic!("on purpose") } else { Ok(json!(1)) })], times);
    let error = call(&registry, "test/odd", "k", r#"{"panic":true}"#).unwrap_err();
    assert_eq!(error.to_string(), "broken: test/odd stopped unexpectedly; this is a mistake in Reprise");
    assert_eq!(call(&registry, "test/odd", "k", "{}").unwrap().as_str(), "1");
}

/// Runs the examples of `docs/TOOLS.md` from top to bottom, in the directory that the page describes.
#[test]
fn the_examples_of_the_documentation_are_true() {
    let page = include_str!("../../../docs/TOOLS.md");
    let world = fs::world::World::new();
    world.file("package.json", "{\"name\": \"demo\", \"version\": \"1.0.0\"}\n");
    world.file("notes/todo.txt", "ship it\n");
    let mut documented = HashSet::new();
    for block in page.split("```json\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let example = crate::json::parse(block.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{block}"));
        let tool = example["tool"].as_str().unwrap();
        match world.call(tool, &example["input"].to_string()) {
            Ok(output) => assert_eq!(output, Json::from(&example["output"]), "{block}"),
            Err(error) => assert_eq!(serde_json::to_value(&error).unwrap(), example["error"], "{block}"),
        }
        documented.insert(tool.to_owned());
    }
    for info in Registry::builtin().list() {
        assert!(page.contains(&format!("\n### {}\n", info.id)), "{} has no section", info.id);
        assert!(documented.contains(&info.id.to_string()), "{} has no example", info.id);
    }
}
