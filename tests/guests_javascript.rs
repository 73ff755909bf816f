//! Guests in JavaScript: the page is followed, and the worked examples are built, uploaded and called.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::{Place, Served};
use crate::support::graphs::GraphJob;
use crate::support::packages::{built, node_modules, worked_examples};
use crate::support::page::follow;
use crate::support::server::Server;

/// Builds a worked example, after its own tests in Node; the component's path.
fn worked(place: &Place, example: &str, component: &str) -> Option<String> {
    let modules = node_modules()?;
    let project = worked_examples("javascript", &place.path("")).join(example);
    std::os::unix::fs::symlink(modules, project.join("node_modules")).unwrap();
    let tested = built(Command::new("node").arg("--test").current_dir(&project));
    assert!(tested.contains("# fail 0") && !tested.contains("# pass 0"), "{tested}");
    built(Command::new("npm").args(["run", "build"]).current_dir(&project));
    Some(project.join(component).to_str().unwrap().to_owned())
}

fn imports(place: &Place, component: &str) -> Vec<String> {
    let inspected = place.json(0, &["inspect", component]);
    inspected["imports"].as_array().unwrap().iter().map(|line| line["import"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_page_about_guests_in_javascript_can_be_followed() {
    if node_modules().is_some() {
        assert!(follow("docs/GUEST-JAVASCRIPT.md") >= 15, "the commands are marked as tested");
    }
}

#[test]
fn a_tool_in_javascript_answers_refuses_and_never_takes_the_host_along() {
    let place = Place::new();
    let Some(component) = worked(&place, "tool", "tables.wasm") else { return };
    let uploaded = place.json(0, &["tools", "upload", &component]);
    assert_eq!((&uploaded["namespace"], &uploaded["asks"]), (&json!("tables"), &json!([])), "{uploaded}");
    let call = |tool: &str, input: &Value| {
        let ran = place.run(&["--json", "tools", "call", tool, "--input", &input.to_string()]);
        serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    };
    let parsed = call("tables/parse", &json!({"csv": "a,b\n\"x, \u{1f600}\",1.5\n", "numbers": true}));
    assert_eq!(parsed["output"], json!({"columns": ["a", "b"], "rows": [{"a": "x, \u{1f600}", "b": 1.5}]}), "{parsed}");
    let formatted = call("tables/format", &json!({"rows": parsed["output"]["rows"]}));
    assert_eq!(formatted["output"]["markdown"], json!("| a | b |\n|---|---:|\n| x, \u{1f600} | 1.5 |\n"), "{formatted}");

    let refused = call("tables/parse", &json!({"csv": "a,b\n1\n"}));
    assert_eq!(refused["error"]["kind"], json!("invalid-input"), "{refused}");
    assert_eq!(refused["error"]["detail"], json!({"row": 1, "cells": ["1"]}), "{refused}");
    let misfit = call("tables/parse", &json!({"cvs": ""}));
    assert_eq!(misfit["error"]["kind"], json!("invalid-input"), "{misfit}");
}

#[test]
fn a_playbook_in_javascript_waits_for_a_person_and_takes_back_what_it_did() {
    let place = Place::new();
    let Some(component) = worked(&place, "playbook", "publish.wasm") else { return };
    // What its code does not use, it does not ask for.
    let tools = ["tool:fs/read", "tool:fs/remove", "tool:fs/replace", "tool:fs/write"];
    let flow = ["flow.step", "flow.step-with", "flow.approve", "flow.compensate", "flow.now", "flow.random-u64", "flow.log", "data.check"];
    assert_eq!(imports(&place, &component), [&tools[..], &flow[..]].concat());
    place.json(0, &["upload", &component, "--playbook", "publish"]);

    place.file("site/drafts/spring.md", "# Spring\n\nIt is here.\n");
    place.file("site/index.md", "# News\n\n<!-- newest first -->\n");
    let grant = format!("fs:site={}", place.path("site").display());
    let run = |code: i32, input: &str| place.json(code, &["run", "publish", "--input", input, "--grant", &grant]);
    let approve = |job: &Value| {
        let approval = format!("{}.1", job["job_id"].as_str().unwrap());
        place.run(&["--json", "approvals", "approve", &approval, "--by", "ada"])
    };
    let waiting = run(7, r#"{"name": "spring"}"#);
    assert_eq!(waiting["waiting_on"]["title"], json!("Publish \"Spring\"?"), "{waiting}");
    let done = approve(&waiting);
    assert_eq!(done.code, 0, "{done:?}");
    let published = std::fs::read_to_string(place.path("site/public/spring.md")).unwrap();
    let index = std::fs::read_to_string(place.path("site/index.md")).unwrap();
    let day = published.lines().nth(2).unwrap().trim_matches('*').to_owned();
    assert!(day.len() == 10 && index.contains(&format!("- {day} [Spring](public/spring.md)")), "{published}{index}");

    // The index has no place for it: the page is taken back, and the failure is that of the tool.
    place.file("site/drafts/autumn.md", "# Autumn\n");
    place.file("site/index.md", "# News\n");
    let waiting = run(7, r#"{"name": "autumn"}"#);
    let failed = approve(&waiting);
    assert_eq!(failed.code, 1, "{failed:?}");
    let failed: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(failed["failure"]["step"], json!("take back"), "{failed}");
    assert!(failed["failure"]["message"].as_str().unwrap().starts_with("fs/replace: not-found: "), "{failed}");
    assert!(!place.path("site/public/autumn.md").exists());

    for (input, words) in [(r#"{"name": "../x"}"#, "the input does not fit: /name"), (r#"{"name": "winter"}"#, "fs/read: not-found: ")] {
        let failed = run(1, input);
        assert!(failed["failure"]["message"].as_str().unwrap().starts_with(words), "{failed}");
    }
    // One that is cancelled ends as cancelled.
    let waiting = run(7, r#"{"name": "spring"}"#);
    let cancelled = place.json(0, &["jobs", "cancel", waiting["job_id"].as_str().unwrap()]);
    assert_eq!(cancelled["status"], json!("cancelled"), "{cancelled}");

    let server = Served::start(&place, &["--grant", &grant]);
    let request = json!({"playbook_id": "publish", "input": {"name": "spring"}, "wait_ms": 50_000});
    let (_, job) = server.post("/v1/jobs", &request).unwrap();
    assert_eq!(job["status"], json!("waiting"), "{job}");
}

/// A project of one file, built; whether that succeeded, and what the build printed.
fn project(place: &Place, name: &str, reprise: &Value, source: &str) -> Option<(bool, String)> {
    project_with(place, name, reprise, source, &[])
}

fn project_with(place: &Place, name: &str, reprise: &Value, source: &str, flags: &[&str]) -> Option<(bool, String)> {
    let modules = node_modules()?;
    let library = worked_examples("javascript", &place.path("")).join("reprise");
    let project = library.parent().unwrap().join(name);
    std::fs::create_dir_all(&project).unwrap();
    if !project.join("node_modules").exists() {
        std::os::unix::fs::symlink(modules, project.join("node_modules")).unwrap();
    }
    std::fs::write(project.join("package.json"), json!({"name": name, "type": "module", "reprise": reprise}).to_string()).unwrap();
    std::fs::write(project.join("main.js"), source).unwrap();
    let done = Command::new("node").arg("../reprise/build.mjs").args(flags).current_dir(&project).output().unwrap();
    Some((done.status.success(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))))
}

#[test]
fn every_primitive_of_a_playbook_in_javascript_reaches_the_host() {
    let place = Place::new();
    let source = r#"
        import * as reprise from "../reprise/playbook.js";
        const { branch, callTool, ChildFailed, first, Interruption, join, log, misfit, now, random, sleep, startBranch, startPlaybook, step, waitSignal, cancelChild, ToolError } = reprise;
        export function run(input) {
            if (input.alone) return "alone";
            if (branch() === "double") return { twice: input.number * 2 };
            if (branch() === "fail") throw new reprise.Failure("no", { number: input.number });
            step("children", { tries: 2, firstPauseMs: 1, callTimeoutMs: 1000, stepTimeoutMs: 10000 });
            const double = startBranch("double", { number: 21 });
            const fail = startBranch("fail", { number: 4 });
            const winner = first([double]);
            let failure;
            try { join(fail); } catch (error) { failure = error instanceof ChildFailed && [error.message, error.detail]; }
            const other = join(startPlaybook("everything", { alone: true }));
            step("waits");
            sleep(1);
            let expired;
            try { waitSignal("never", { timeoutMs: 1 }); } catch (error) { expired = error instanceof Interruption && error.kind; }
            let denied;
            try { callTool("fs/read", { path: "nothing/here" }); } catch (error) { denied = error instanceof ToolError && error.kind; }
            console.log("said", 1);
            log("warn", "über");
            const chance = [random(), Math.random()];
            return {
                answer: join(double), first: winner === double, failure, other, expired, denied,
                fits: misfit({ a: 1 }, { type: "object" }), misfit: misfit(1, { type: "string" }),
                time: now() <= Date.now() && new Date().getFullYear() >= 2024, chance: chance.every((n) => n >= 0 && n < 1) && chance[0] !== chance[1],
                big: "\u{1f600}".repeat(3), nothing: undefined, number: 0.1,
            };
        }
    "#;
    let Some((built, printed)) = project(&place, "everything", &json!({"playbook": "main.js", "calls": ["fs/read"]}), source) else {
        return;
    };
    assert!(built, "{printed}");
    let component = std::fs::read(place.path("guest-sdk/javascript/everything/everything.wasm")).unwrap();
    let server = Server::start();
    let job = GraphJob::of(&server, "/v1/playbooks?id=everything", component, &json!({}));
    job.until("completed");
    let done = job.stood();
    let expected = json!({
        "answer": {"twice": 42}, "first": true, "failure": ["no", {"number": 4}], "other": "alone", "expired": "expired", "denied": "denied",
        "misfit": done["output"]["misfit"], "time": true, "chance": true, "big": "\u{1f600}\u{1f600}\u{1f600}", "number": 0.1,
    });
    assert_eq!(done["output"], expected, "{done:#}");
    assert!(done["output"]["misfit"].as_str().unwrap().contains("string"), "{done}");
}

#[test]
fn a_tool_in_javascript_has_a_clock_only_where_it_asks_and_is_granted_one() {
    let place = Place::new();
    let tool = |namespace: &str| {
        format!(
            "export const tools = [{{ name: '{namespace}/chance', description: 'd', effect: 'read', input: true, output: true, call: () => Math.random() }},
            {{ name: '{namespace}/time', description: 'd', effect: 'read', input: true, output: true, call: () => Date.now() }}];"
        )
    };
    for (namespace, flags) in [("without", &[][..]), ("with", &["--wasi"])] {
        let built = project_with(&place, namespace, &json!({"tool": "main.js"}), &tool(namespace), flags);
        let Some((built, printed)) = built else { return };
        assert!(built, "{printed}");
    }
    let upload = |name: &str| {
        let uploaded =
            place.json(0, &["tools", "upload", place.path(&format!("guest-sdk/javascript/{name}/{name}.wasm")).to_str().unwrap()]);
        uploaded["asks"].as_array().unwrap().len()
    };
    assert_eq!(upload("without"), 0);
    assert!(upload("with") > 0);
    let call = |tool: &str, grants: &[&str]| {
        let ran = place.run(&[&["--json", "tools", "call", tool][..], grants].concat());
        serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    };
    // Without WASI there is no clock to look at, and chance was settled when it was built.
    assert_eq!(call("without/time", &[])["error"]["kind"], json!("broken"));
    assert_eq!(call("without/chance", &[])["output"], call("without/chance", &[])["output"]);
    // With it, both are still until they are granted.
    assert_eq!(call("with/time", &[])["output"], json!(0));
    assert!(call("with/time", &["--grant", "clock@with"])["output"].as_f64().unwrap() > 1.7e12);
}

#[test]
fn a_mistake_in_javascript_is_told_where_it_is_made() {
    let place = Place::new();
    let tool = json!({"tool": "main.js"});
    let playbook = |calls: &[&str]| json!({"playbook": "main.js", "calls": calls});
    let named = |name: &str| {
        format!("export const tools = [{{ name: {name:?}, description: 'd', effect: 'pure', input: true, output: true, call() {{}} }}];")
    };
    for (reprise, source, words) in [
        (&tool, named("No Name"), r#"has no name like "orders/refund""#),
        (&tool, "export const tools = [{ name: 'a/b', description: 'd', effect: 'often' }];".to_owned(), "has no effect"),
        (&tool, "export const tools = [".to_owned(), "main.js"),
        (&json!({"tool": "main.js", "calls": ["fs/read"]}), named("a/b"), "a tool calls no other tools"),
        (&json!({}), String::new(), r#"has either "tool" or "playbook""#),
        (&playbook(&["fs.read"]), "export function run() {}".to_owned(), r#"a tool is named like "fs/read""#),
    ] {
        let Some((built, printed)) = project(&place, "wrong", reprise, source.as_str()) else { return };
        assert!(!built && printed.contains(words), "{source}: {printed} lacks {words:?}");
    }

    let source = "export function run(input) { return input.call ? missing : undefined.x; }";
    let Some((built, printed)) = project(&place, "mistaken", &playbook(&[]), source) else { return };
    assert!(built, "{printed}");
    place.json(0, &["upload", place.path("guest-sdk/javascript/mistaken/mistaken.wasm").to_str().unwrap(), "--playbook", "mistaken"]);
    let failed = place.json(1, &["run", "mistaken"]);
    let failure = &failed["failure"];
    assert!(failure["message"].as_str().unwrap().contains("undefined"), "{failed}");
    assert!(failure["detail"]["stack"][0].as_str().unwrap().contains("main.js:1"), "{failed}");
}
