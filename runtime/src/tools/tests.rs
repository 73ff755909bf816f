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
    let listed: Vec<String> = registry.list().iter().map(|info| format!("{} ({}): {}", info.id, info.effect, info.words)).collect();
    assert_eq!(
        listed,
        [
            "exec/run (once): run granted programs",
            "fs/list (read): list directories",
            "fs/read (read): read files",
            "fs/remove (idempotent): remove files and empty directories",
            "fs/replace (once): replace text inside files",
            "fs/write (idempotent): create files, and replace the whole content of files",
            "http/delete (idempotent): delete things on web servers",
            "http/get (read): read from web servers",
            "http/patch (once): change parts of things on web servers",
            "http/post (once): have web servers do something",
            "http/put (idempotent): put things on web servers",
            "kv/delete (idempotent): delete keys and values",
            "kv/get (read): read keys and values",
            "kv/list (read): list keys",
            "kv/set (idempotent): set and replace values",
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
    assert_eq!(
        error.to_string(),
        "not-found: there is no tool fs/chmod; there are exec/run, fs/list, fs/read, fs/remove, fs/replace, fs/write, http/delete, http/get, http/patch, http/post, http/put, kv/delete, kv/get, kv/list, kv/set"
    );
    let error = call(&registry, "agent/edit", "k", "{}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "not-found: agent/edit is performed by a worker from outside, which a job waits for, and never called here"
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

fn hanging() -> Tool {
    let info = Info { id: ToolId::parse("test/hang").unwrap(), effect: Effect::Once, ..odd_info() };
    Tool::blocking(info, |_, _| {
        let _gate = GATE.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(json!("done"))
    })
}

pub(super) fn odd_info() -> Info {
    Info {
        id: ToolId::parse("test/odd").unwrap(),
        description: "".into(),
        input_schema: json!({}),
        output_schema: json!({}),
        effect: Effect::Read,
        words: "".into(),
        warning: None,
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
    assert_eq!(error.kind, ErrorKind::Timeout, "unavailable would promise that nothing happens");
    assert!(error.message.contains("still under way"), "{error}");
    drop(gate);
    // Once the first attempt has ended, the same key is taken again.
    loop {
        match attempt() {
            Ok(output) => return assert_eq!(output.as_str(), "\"done\""),
            Err(e) => assert_eq!(e.kind, ErrorKind::Timeout, "{e}"),
        }
    }
}

#[test]
fn a_tool_that_panics_is_broken_and_the_next_call_works() {
    let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
    let info = Info { effect: Effect::Once, ..odd_info() };
    let registry = Registry::of(
        vec![Tool::blocking(info, |_, value| if value["panic"] == json!(true) { panic!("on purpose") } else { Ok(json!(1)) })],
        times,
    );
    let error = call(&registry, "test/odd", "k", r#"{"panic":true}"#).unwrap_err();
    assert_eq!(error.to_string(), "broken: test/odd stopped unexpectedly; this is a mistake in Reprise");
    assert_eq!(call(&registry, "test/odd", "k", "{}").unwrap().as_str(), "1");
}

/// Runs the `fs` examples of `docs/TOOLS.md` from top to bottom, in the directory that the page describes. The
/// others need more than that, and are run by the black-box tests.
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
        documented.insert(tool.to_owned());
        if !tool.starts_with("fs/") {
            continue;
        }
        match world.call(tool, &example["input"].to_string()) {
            Ok(output) => assert_eq!(output, Json::from(&example["output"]), "{block}"),
            Err(error) => assert_eq!(serde_json::to_value(&error).unwrap(), example["error"], "{block}"),
        }
    }
    for info in Registry::builtin().list() {
        assert!(page.contains(&format!("\n### {}\n", info.id)), "{} has no section", info.id);
        assert!(documented.contains(&info.id.to_string()), "{} has no example", info.id);
    }
}

/// Tells when it is dropped.
struct Dropped(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_tool_that_waits_is_stopped_with_whoever_asked() {
    let (started, mut was_started) = tokio::sync::mpsc::channel(1);
    let dropped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tells = dropped.clone();
    let tool = Tool::waiting(Info { effect: Effect::Once, ..odd_info() }, move |call, _| {
        let (started, guard) = (started.clone(), Dropped(tells.clone()));
        async move {
            let _guard = guard;
            started.send(call.key).await.unwrap();
            std::future::pending().await
        }
    });
    let registry = Registry::with(vec![tool]);
    let (id, input) = (ToolId::parse("test/odd").unwrap(), Json::parse(b"{}").unwrap());
    runtime().block_on(async {
        let grants = Grants::none();
        tokio::select! {
            _ = registry.call(&id, "the key", &input, &grants) => panic!("it never answers"),
            key = was_started.recv() => assert_eq!(key.as_deref(), Some("the key")),
        }
        assert!(dropped.load(std::sync::atomic::Ordering::SeqCst), "nothing of it goes on");
        // So the same key is taken again at once.
        tokio::select! {
            outcome = registry.call(&id, "the key", &input, &grants) => panic!("it never answers: {outcome:?}"),
            key = was_started.recv() => assert!(key.is_some()),
        }
    });
}

#[test]
fn a_tool_that_waits_is_checked_bounded_and_may_panic_like_any_other() {
    let info = Info { input_schema: json!({ "type": "object" }), ..odd_info() };
    let tool = Tool::waiting(info, |_, value: Value| async move {
        tokio::task::yield_now().await;
        match value["do"].as_str() {
            Some("panic") => panic!("on purpose"),
            Some("boast") => Ok(json!("x".repeat(limits::JSON_BYTES_MAX))),
            _ => Ok(json!(1)),
        }
    });
    let registry = Registry::with(vec![tool]);
    for (input, says) in [
        ("[]", "invalid-input: the input does not fit test/odd"),
        (r#"{"do":"panic"}"#, "broken: test/odd stopped unexpectedly"),
        (r#"{"do":"boast"}"#, "failed: the output of test/odd would have 1048578 bytes"),
    ] {
        let error = call(&registry, "test/odd", "k", input).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    assert_eq!(call(&registry, "test/odd", "k", "{}").unwrap().as_str(), "1");
}

#[test]
fn a_tool_is_asked_what_became_of_a_call_and_whether_its_answer_holds() {
    let tool = Tool::waiting(Info { effect: Effect::Once, ..odd_info() }, |_, _| async { std::future::pending().await })
        .with_effect(|input, _| if input["keyed"] == json!(true) { Effect::Idempotent } else { Effect::Once })
        .reconciled_waiting(|call, input: Value| async move {
            match input["was"].as_str() {
                Some("done") => Reconciliation::Happened(Json::from(&json!({ "key": call.key }))),
                Some("panic") => panic!("on purpose"),
                _ => Reconciliation::DidNotHappen,
            }
        })
        .confirmed_waiting(|_, recorded| async move {
            if recorded.input == recorded.output { Confirmation::Holds } else { Confirmation::Changed("other".to_owned()) }
        });
    let registry = Registry::with(vec![tool]);
    let (id, none) = (ToolId::parse("test/odd").unwrap(), Grants::none());
    let json = |text: &str| Json::parse(text.as_bytes()).unwrap();
    let ask = |tool: &str, input: &str| {
        let tool = ToolId::parse(tool).unwrap();
        runtime().block_on(registry.reconcile(&tool, "the key", &json(input), &none))
    };
    assert_eq!(ask("test/odd", r#"{"was":"done"}"#), Reconciliation::Happened(json(r#"{"key":"the key"}"#)));
    assert_eq!(ask("test/odd", "{}"), Reconciliation::DidNotHappen);
    for (tool, input, says) in [
        ("test/odd", r#"{"was":"panic"}"#, "stopped unexpectedly"),
        ("fs/write", "{}", "no way to tell"),
        ("fs/chmod", "{}", "there is no tool"),
        ("agent/edit", "{}", "from outside"),
    ] {
        assert!(matches!(ask(tool, input), Reconciliation::Unknown(why) if why.contains(says)), "{tool} {input}");
    }

    let confirm = |input: &str, output: &str| runtime().block_on(registry.confirm(&id, &json(input), &json(output), &none));
    assert_eq!(confirm("1", "1"), Confirmation::Holds);
    assert_eq!(confirm("1", "2"), Confirmation::Changed("other".to_owned()));

    let effect = |tool: &str, input: &str| registry.effect_of(&ToolId::parse(tool).unwrap(), &json(input), &none);
    assert_eq!(effect("test/odd", "{}"), Effect::Once);
    assert_eq!(effect("test/odd", r#"{"keyed":true}"#), Effect::Idempotent);
    assert_eq!(effect("fs/read", "{}"), Effect::Read);
    assert_eq!(effect("fs/chmod", "{}"), Effect::Once, "of what is not there nothing is known");
}

#[test]
fn nobody_says_what_became_of_a_call_that_is_still_at_work() {
    let (started, mut was_started) = tokio::sync::mpsc::channel(1);
    let tool = Tool::waiting(Info { effect: Effect::Once, ..odd_info() }, move |_, _| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            std::future::pending().await
        }
    })
    .reconciled_waiting(|_, _| async { Reconciliation::DidNotHappen });
    let registry = Registry::with(vec![tool]);
    let (id, input, none) = (ToolId::parse("test/odd").unwrap(), Json::parse(b"{}").unwrap(), Grants::none());
    runtime().block_on(async {
        let mut at_work = std::pin::pin!(registry.call(&id, "k", &input, &none));
        tokio::select! {
            _ = &mut at_work => panic!("it never answers"),
            _ = was_started.recv() => {}
        }
        let asked = registry.reconcile(&id, "k", &input, &none).await;
        assert!(matches!(asked, Reconciliation::Unknown(why) if why.contains("still under way")));
        assert_eq!(registry.reconcile(&id, "another", &input, &none).await, Reconciliation::DidNotHappen);
    });
}
