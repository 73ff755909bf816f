//! Guests in C: the page is followed, and the worked examples are built, uploaded and called.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::graphs::GraphJob;
use crate::support::packages::{built, has_c_for_components, has_zig, worked_examples};
use crate::support::page::follow;
use crate::support::server::Server;

/// `build.sh` of a project below the library.
fn build(project: PathBuf, compiler: &str) -> Command {
    let mut build = Command::new(project.join("build.sh"));
    build.env("REPRISE", env!("CARGO_BIN_EXE_reprise")).env("REPRISE_CC", compiler);
    build
}

/// Builds a worked example; the component's path.
fn worked(place: &Place, example: &str, component: &str, compiler: &str) -> String {
    let project = worked_examples("c", &place.path("")).join(example);
    let printed = built(&mut build(project.clone(), compiler));
    assert!(!printed.contains("warning"), "{printed}");
    project.join(component).to_str().unwrap().to_owned()
}

/// A project of one file, built with the build of a worked example; its component.
fn project(place: &Place, name: &str, border: &str, source: &str) -> String {
    let library = worked_examples("c", &place.path(""));
    let script = std::fs::read_to_string(library.join("tool/build.sh")).unwrap();
    let script = script.replace("name=words", &format!("name={name}")).replace("border=tool", &format!("border={border}"));
    let own = library.join(name);
    std::fs::create_dir_all(own.join("src")).unwrap();
    std::fs::copy(library.join("tool/build.sh"), own.join("build.sh")).unwrap();
    std::fs::write(own.join("build.sh"), script).unwrap();
    std::fs::write(own.join("src/main.c"), source).unwrap();
    let printed = built(&mut build(own.clone(), "any"));
    assert!(!printed.contains("warning"), "{printed}");
    own.join(format!("{name}.wasm")).to_str().unwrap().to_owned()
}

/// Calls a tool on the command line; its answer, whether it is an output or an error.
fn call(place: &Place, tool: &str, input: &Value) -> Value {
    let ran = place.run(&["--json", "tools", "call", tool, "--input", &input.to_string()]);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

#[test]
fn the_page_about_guests_in_c_can_be_followed() {
    if has_c_for_components() {
        assert!(follow("docs/GUEST-C.md") >= 12, "the commands are marked as tested");
    }
}

/// The same promises whichever compiler built it.
fn the_tool_keeps_its_promises(compiler: &str) {
    let place = Place::new();
    let component = worked(&place, "tool", "words.wasm", compiler);
    let uploaded = place.json(0, &["tools", "upload", &component]);
    assert_eq!((&uploaded["namespace"], &uploaded["asks"]), (&json!("words"), &json!([])), "{uploaded}");
    let nearest =
        call(&place, "words/nearest", &json!({"word": "recieve", "among": ["deceive", "receive", "relief", "käse", ""], "most": 2}));
    let expected = json!({"nearest": [{"word": "receive", "distance": 1}, {"word": "deceive", "distance": 2}]});
    assert_eq!(nearest["output"], expected, "{nearest}");
    let empty = call(&place, "words/nearest", &json!({"word": "\"x\"", "among": []}));
    assert_eq!(empty["error"], json!({"kind": "not-found", "message": "there is no word to compare \"\"x\"\" with"}), "{empty}");
    assert_eq!(call(&place, "words/nearest", &json!({"word": 1, "among": []}))["error"]["kind"], json!("invalid-input"));
}

#[test]
fn a_tool_in_c_answers_and_refuses() {
    if has_c_for_components() {
        the_tool_keeps_its_promises("any");
    }
}

#[test]
fn a_tool_in_c_is_built_with_zig_too() {
    if has_zig() {
        the_tool_keeps_its_promises("zig");
    }
}

#[test]
fn a_playbook_in_c_calls_tools_and_goes_on_where_one_refuses() {
    if !has_c_for_components() {
        return;
    }
    let place = Place::new();
    let component = worked(&place, "playbook", "count-words.wasm", "any");
    let uploaded = place.json(0, &["upload", &component, "--playbook", "count-words"]);
    let imports: Vec<&str> = uploaded["imports"].as_array().unwrap().iter().map(|line| line["import"].as_str().unwrap()).collect();
    assert_eq!(imports, ["tool:fs/list", "tool:fs/read", "tool:fs/write", "flow.step", "flow.log", "data.check"]);
    place.file("notes/a.txt", "one  two\nthree\n");
    place.file("notes/deep/ü.txt", "four");
    std::fs::write(place.path("notes/picture"), [0xff, 0xfe]).unwrap();
    let grant = format!("fs:notes={}", place.path("notes").display());
    let run = |code: i32, input: &str| place.json(code, &["run", "count-words", "--input", input, "--grant", &grant]);
    let table = "| file | words |\n|---|---|\n| notes/a.txt | 3 |\n| notes/deep/ü.txt | 1 |\n| all | 4 |\n";
    // A second time the table is there already, and is no file to be counted.
    for _ in 0..2 {
        assert_eq!(run(0, r#"{"path": "notes"}"#)["output"], json!({"files": 2, "words": 4}));
        assert_eq!(std::fs::read_to_string(place.path("notes/WORDS.md")).unwrap(), table);
    }
    for (input, step, words) in [
        (r#"{"path": "gone"}"#, json!("list"), "fs/list: denied: "),
        (r#"{"path": "notes/picture"}"#, json!("list"), "fs/list: conflict: "),
        (r#"{"paht": "notes"}"#, Value::Null, "the value does not fit: "),
    ] {
        let failed = run(1, input);
        assert_eq!(failed["failure"]["step"], step, "{failed}");
        assert!(failed["failure"]["message"].as_str().unwrap().starts_with(words), "{failed}");
    }
    assert_eq!(run(1, r#"{"path": "gone"}"#)["failure"]["detail"]["kind"], json!("denied"));

    let server = Server::granting(&[grant]);
    let bytes = std::fs::read(&component).unwrap();
    server.send("POST", "/v1/playbooks?id=count-words", &[("content-type", "application/wasm")], Some(bytes)).ok();
    let job = server.post("/v1/jobs", &json!({"playbook_id": "count-words", "input": {"path": "notes"}, "wait_ms": 60_000})).ok();
    assert_eq!(job["output"], json!({"files": 2, "words": 4}), "{job}");
}

/// A tool that reads a text as JSON and prints it again, and one that makes numbers of numbers.
const PROBE: &str = r#"
#include "reprise/tool.h"

static json *again(const json *input, const char *key) {
    (void)key;
    const json *text = json_get(input, "text");
    const char *problem;
    json *read = json_parse(json_text(text), json_text_length(text), &problem);
    if (!read) return reprise_fail_with(REPRISE_CONFLICT, json_from_integer((int64_t)json_text_length(text)), "%s", problem);
    size_t length;
    char *printed = json_print(read, &length);
    return json_from_bytes(printed, length);
}

static json *numbers(const json *input, const char *key) {
    (void)key;
    json *made = json_list();
    for (size_t i = 0; i < json_count(input); i++) {
        int64_t whole;
        double number;
        json *one = json_object();
        if (json_integer(json_at(input, i), &whole)) json_set(one, "whole", json_from_integer(whole));
        if (json_number(json_at(input, i), &number)) json_set(one, "number", json_from_number(number));
        json_add(made, one);
    }
    return made;
}

static json *nothing(const json *input, const char *key) {
    (void)input, (void)key;
    return NULL;
}

static reprise_reconciliation became(const json *input, const char *key, json **output) {
    (void)key;
    *output = json_from_text("then");
    return json_is_true(input) ? REPRISE_HAPPENED : json_kind_of(input) == JSON_FALSE ? REPRISE_DID_NOT_HAPPEN : REPRISE_UNKNOWN;
}

REPRISE_TOOLS(
    {.name = "probe/again", .description = "Reads and prints.", .effect = REPRISE_PURE, .call = again},
    {.name = "probe/numbers", .description = "Makes numbers.", .effect = REPRISE_PURE, .call = numbers},
    {.name = "probe/nothing", .description = "Forgets to answer.", .effect = REPRISE_ONCE, .call = nothing, .reconcile = became},
)
"#;

#[test]
fn json_in_c_is_what_json_is() {
    if !has_c_for_components() {
        return;
    }
    let place = Place::new();
    place.json(0, &["tools", "upload", &project(&place, "probe", "tool", PROBE)]);
    let again = |text: &str| call(&place, "probe/again", &json!({"text": text}));
    let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    for (text, printed) in [
        ("null", "null"),
        (" [ ] ", "[]"),
        ("{}", "{}"),
        ("{\"a\" : [true,false , null], \"b\":{\"c\":-0.50e+10}}", r#"{"a":[true,false,null],"b":{"c":-0.50e+10}}"#),
        (r#""\u00fc\ud83d\ude00 \"\\\/\n\t\r\b\f\u0000""#, "\"ü\u{1f600} \\\"\\\\/\\u000a\\u0009\\u000d\\u0008\\u000c\\u0000\""),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r#"{"":1,"ä":2}"#, r#"{"":1,"ä":2}"#),
        (&deep, &deep),
    ] {
        assert_eq!(again(text)["output"], json!(printed), "{text}");
    }
    let too_deep = format!("[{deep}]");
    for (text, problem) in [
        ("", "the text ends"),
        ("nul", "a value is expected"),
        ("01", "something follows"),
        ("1.", "no digit behind its point"),
        ("1e", "no digit in its exponent"),
        ("-", "a value is expected"),
        ("[1", "a list goes on"),
        ("[1,]", "a value is expected"),
        ("{\"a\"}", "followed by :"),
        ("{\"a\":1", "an object goes on"),
        ("{a:1}", "begins with its name"),
        ("\"abc", "does not end"),
        ("\"abc\\", "does not end"),
        ("\"\\x\"", "an escape that there is not"),
        ("\"\\u12\"", "an escape that there is not"),
        ("\"\\ud800\"", "an escape that there is not"),
        ("\"\\udc00\"", "an escape that there is not"),
        ("\"\\ud800\\u0041\"", "an escape that there is not"),
        ("\"a\nb\"", "control character"),
        ("1 2", "something follows"),
        (&too_deep, "more levels than 64"),
    ] {
        let refused = again(text);
        assert_eq!(refused["error"]["kind"], json!("conflict"), "{text}: {refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(problem), "{text}: {refused}");
        assert_eq!(refused["error"]["detail"], json!(text.len()), "{refused}");
    }

    let given = json!([0, -1, i64::MAX, i64::MIN, u64::MAX, 0.1, 1e300, -2.5e-7, 100, 1e2, "1", null]);
    let made = call(&place, "probe/numbers", &given);
    let expected = json!([
        {"whole": 0, "number": 0}, {"whole": -1, "number": -1}, {"whole": i64::MAX, "number": 9.223372036854776e18},
        {"whole": i64::MIN, "number": -9.223372036854776e18}, {"number": 1.8446744073709552e19}, {"number": 0.1}, {"number": 1e300},
        {"number": -2.5e-7}, {"whole": 100, "number": 100}, {"number": 100}, {}, {},
    ]);
    let same = |a: &Value, b: &Value| a["whole"] == b["whole"] && a["number"].as_f64() == b["number"].as_f64();
    let (list, wanted) = (made["output"].as_array().unwrap(), expected.as_array().unwrap());
    assert!(list.len() == wanted.len() && list.iter().zip(wanted).all(|(a, b)| same(a, b)), "{made} is not {expected}");

    let forgot = call(&place, "probe/nothing", &json!(1));
    assert_eq!(forgot["error"]["kind"], json!("broken"), "{forgot}");
    assert!(forgot["error"]["message"].as_str().unwrap().contains("neither an output nor an error"), "{forgot}");
}

/// Everything that a playbook can ask.
const EVERYTHING: &str = r#"
#include "reprise/playbook.h"

#include <string.h>

REPRISE_USES(fs_read, "fs/read")

static json *text_of_problem(void) { return json_from_format("%d %s", reprise_problem().kind, reprise_problem().message); }

json *run(const json *input) {
    const char *branch = reprise_branch();
    int64_t number = 0;
    json_integer(json_get(input, "number"), &number);
    if (branch && strcmp(branch, "double") == 0) return json_from_integer(2 * number);
    if (json_is_true(json_get(input, "alone"))) return json_from_text("alone");
    if (branch) return reprise_give_up("no %s", branch);

    json *told = json_object();
    reprise_step_with("children", (reprise_step_options){.tries = 2, .first_pause_ms = 1, .call_timeout_ms = 1000, .step_timeout_ms = 10000});
    json *given = json_set(json_object(), "number", json_from_integer(21));
    uint32_t children[] = {reprise_start_branch("double", given), reprise_start_branch("fail", given)};
    json_set(told, "first", json_bool(reprise_first(children, 1) == children[0]));
    json_set(told, "answer", reprise_join(children[0]));
    if (!reprise_join(children[1])) json_set(told, "failure", text_of_problem());
    uint32_t other;
    if (reprise_start_playbook("everything", json_set(json_object(), "alone", json_bool(true)), &other)) json_set(told, "other", reprise_join(other));

    reprise_step("waits");
    json_set(told, "slept", json_bool(reprise_sleep(1)));
    if (!reprise_wait_signal("never", 1)) json_set(told, "expired", text_of_problem());
    if (!fs_read(json_set(json_object(), "path", json_from_text("nothing/here")))) json_set(told, "denied", json_bool(reprise_problem().kind == REPRISE_DENIED));
    reprise_log(REPRISE_WARN, "%s", "über");
    json_set(told, "time", json_bool(reprise_now() > 1700000000000));
    json_set(told, "chance", json_bool(reprise_random() != reprise_random()));
    json_set(told, "fits", json_bool(reprise_check(given, "{\"type\": \"object\"}")));
    json_set(told, "misfit", json_bool(reprise_check(given, "{\"type\": \"array\"}")));
    return told;
}
"#;

#[test]
fn every_primitive_of_a_playbook_in_c_reaches_the_host() {
    if !has_c_for_components() {
        return;
    }
    let place = Place::new();
    let component = std::fs::read(project(&place, "everything", "playbook", EVERYTHING)).unwrap();
    let server = Server::start();
    let job = GraphJob::of(&server, "/v1/playbooks?id=everything", component, &json!({}));
    job.until("completed");
    let done = job.stood();
    let expected = json!({
        "first": true, "answer": 42, "failure": "12 no fail", "other": "alone", "slept": true, "expired": "10 never: the deadline passed first",
        "denied": true, "time": true, "chance": true, "fits": true, "misfit": false,
    });
    assert_eq!(done["output"], expected, "{done:#}");
}
