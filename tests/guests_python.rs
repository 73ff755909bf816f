//! Guests in Python: the page is followed, and the worked examples are built, uploaded and called.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::{Place, Served};
use crate::support::packages::{built, python_environment, worked_examples};
use crate::support::page::follow;

/// `python3` in a project, with the compiler that the tests keep.
fn python(project: &Path, environment: &Path, arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python.args(arguments).current_dir(project).env("REPRISE_VENV", environment);
    python
}

/// Builds a worked example, after its own tests; the component's path.
fn worked(place: &Place, example: &str, component: &str) -> Option<String> {
    let environment = python_environment()?;
    let project = worked_examples("python", &place.path("")).join(example);
    let tested = built(&mut python(&project, &environment, &["-m", "unittest"]));
    assert!(tested.contains("\nOK") && !tested.contains("Ran 0 tests"), "{tested}");
    built(&mut python(&project, &environment, &["build.py"]));
    Some(project.join(component).to_str().unwrap().to_owned())
}

#[test]
fn the_page_about_guests_in_python_can_be_followed() {
    if python_environment().is_some() {
        assert!(follow("docs/GUEST-PYTHON.md") >= 10, "the commands are marked as tested");
    }
}

#[test]
fn a_tool_in_python_answers_and_refuses_over_http() {
    let place = Place::new();
    let Some(component) = worked(&place, "tool", "money.wasm") else { return };
    let uploaded = place.json(0, &["tools", "upload", &component]);
    assert_eq!((&uploaded["namespace"], &uploaded["asks"]), (&json!("money"), &json!([])), "{uploaded}");
    let server = Served::start(&place, &[]);
    let (_, described) = server.get("/v1/tools/money/split");
    assert_eq!(described["input_schema"]["properties"]["shares"]["description"], json!("how many parts each gets"), "{described}");
    let call = |tool: &str, input: Value| server.post(&format!("/v1/tools/money/{tool}/call"), &json!({"input": input})).unwrap().1;
    let total = call(
        "total",
        json!({"lines": [{"what": "chairs", "price": "19.99", "count": 3, "tax": "19"}, {"what": "stämps", "price": "0.85"}]}),
    );
    assert_eq!(total["output"], json!({"net": "60.82", "tax": {"19": "11.39"}, "gross": "72.21"}), "{total}");
    let split = call("split", json!({"amount": "0.05", "shares": [1, 1]}));
    assert_eq!(split["output"], json!(["0.03", "0.02"]), "{split}");

    for (input, words) in [
        (json!({"amount": "0.05", "shares": [0]}), "not all of them 0"),
        (json!({"amount": "0.055", "shares": [1]}), "0.055 is not a number of whole cents"),
        (json!({"amount": 1, "shares": [1]}), "value is not of type \"string\""),
    ] {
        let refused = call("split", input);
        assert_eq!(refused["error"]["kind"], json!("invalid-input"), "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(words), "{refused}");
    }
}

#[test]
fn a_playbook_in_python_waits_for_its_payment_and_undoes_when_it_is_cancelled() {
    let place = Place::new();
    let Some(component) = worked(&place, "playbook", "orders.wasm") else { return };
    let uploaded = place.json(0, &["upload", &component, "--playbook", "orders"]);
    // What its code does not use, it does not ask for.
    let imports: Vec<&str> = uploaded["imports"].as_array().unwrap().iter().map(|line| line["import"].as_str().unwrap()).collect();
    let tools = ["tool:fs/read", "tool:fs/remove", "tool:fs/write"];
    let flow = ["flow.step", "flow.step-with", "flow.wait-signal", "flow.compensate", "flow.now", "flow.log"];
    assert_eq!(imports, [&tools[..], &flow[..]].concat());

    place.file("shop/orders/7.json", r#"{"sum": "12.50", "items": ["a lämp"]}"#);
    let grant = format!("fs:shop={}", place.path("shop").display());
    let run = |code: i32, input: &str| place.json(code, &["run", "orders", "--input", input, "--grant", &grant]);
    let waiting = run(7, r#"{"order": "7"}"#);
    let job = waiting["job_id"].as_str().unwrap();
    assert!(place.path("shop/reserved/7.json").exists());
    // Each signal is taken by another process, which begins the playbook anew.
    place.run(&["jobs", "signal", job, "paid", "--payload", r#"{"amount": "10"}"#]);
    let done = place.json(0, &["jobs", "signal", job, "paid", "--payload", r#"{"amount": "2.50"}"#]);
    assert_eq!(done["output"], json!({"shipped": true, "because": null, "paid": "12.50"}), "{done}");
    assert!(place.path("shop/shipped/7.json").exists() && !place.path("shop/reserved/7.json").exists());

    let waiting = run(7, r#"{"order": "7"}"#);
    let cancelled = place.json(0, &["jobs", "cancel", waiting["job_id"].as_str().unwrap()]);
    assert_eq!(cancelled["status"], json!("cancelled"), "{cancelled}");
    assert!(!place.path("shop/reserved/7.json").exists(), "what was reserved is let go");

    for (input, words) in
        [(r#"{"order": 7}"#, "the input does not fit: /order: 7 is not str"), (r#"{"order": "8"}"#, "fs/read: not-found: ")]
    {
        let failed = run(1, input);
        assert!(failed["failure"]["message"].as_str().unwrap().starts_with(words), "{failed}");
    }
}

/// What schemas, values and the build make of Python, without WebAssembly.
const BY_TYPE: &str = r#"
import dataclasses, json, sys
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional
from reprise import build
from reprise.tool import ToolError, call, reconcile, tool, tools, DidNotHappen, Happened
from reprise.types import Misfit, json_from, schema_of, value_from

@dataclasses.dataclass
class Inner:
    n: int
    of: "list[Inner] | None" = None

@dataclasses.dataclass
class Outer:
    inner: Inner
    many: dict[str, list[float]]
    either: int | str | None = None
    word: Literal["a", "b"] = "a"
    exact: Annotated[Decimal, "to the cent"] = Decimal("1.50")
    anything: Any = None

given = {"inner": {"n": 2, "of": [{"n": 3}]}, "many": {"x": [1, 2.5]}, "either": "s", "exact": "10.00", "anything": [{"a": None}]}
value = value_from(Outer, given)
assert value == Outer(Inner(2, [Inner(3)]), {"x": [1.0, 2.5]}, "s", "a", Decimal("10.00"), [{"a": None}]), value
assert json_from(value)["exact"] == "10.00" and json_from(value)["inner"]["of"][0] == {"n": 3, "of": None}
for wrong, words in [
    ({**given, "inner": {"n": True}}, "/inner/n: True is not int"),
    ({**given, "inner": {"n": 1.5}}, "/inner/n: 1.5 is not int"),
    ({**given, "many": {"x": ["y"]}}, "/many/x/0: 'y' is not float"),
    ({**given, "either": 1.5}, "/either: 1.5 is not"),
    ({**given, "word": "c"}, "/word: 'c' is not one of 'a', 'b'"),
    ({**given, "exact": "NaN"}, "/exact: 'NaN' is not a decimal number"),
    ({**given, "exact": 1}, "/exact: 1 is not a decimal number"),
    ({**given, "more": 1}, "/more: there is no such field"),
    ({"inner": {"n": 1}}, "/many: is missing"),
    ([], "the input: [] is not an object"),
]:
    try:
        value_from(Outer, wrong)
        sys.exit(f"{wrong} was taken")
    except Misfit as misfit:
        assert words in str(misfit), misfit
@dataclasses.dataclass
class Flat:
    inner: list[str]
    exact: Annotated[Decimal, "to the cent"]
    either: int | None = None

assert schema_of(Flat)["required"] == ["inner", "exact"]
assert schema_of(Flat)["properties"]["exact"]["description"] == "to the cent"
assert schema_of(dict[str, int]) == {"type": "object", "additionalProperties": {"type": "integer"}}
assert schema_of(Optional[int]) == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
for without in (set[int], Outer):
    try:
        schema_of(without)
        sys.exit(f"{without} has a schema")
    except TypeError as error:
        assert "give the schema itself" in str(error)

happened = {}
def was_added(sum: int, key: str):
    return Happened(happened[key]) if key in happened else DidNotHappen()

@tool("ledger/add", effect="once", reconcile=was_added)
def add(sum: int, *, key: str) -> int:
    """Adds
    a sum.

    More about it."""
    if sum == 13:
        raise ZeroDivisionError("thirteen")
    happened[key] = sum
    return sum

assert tools["ledger/add"].description == "Adds a sum." and tools["ledger/add"].input_schema["required"] == ["sum"]
assert call("ledger/add", "k1", '{"sum": 5}') == "5"
assert reconcile("ledger/add", "k1", '{"sum": 5}') == Happened(5) and isinstance(reconcile("ledger/add", "k2", '{"sum": 5}'), DidNotHappen)
assert reconcile("ledger/gone", "k1", "{}") is None and reconcile("ledger/add", "k1", "{}") is None
for input, kind, words in [('{"sum": 13}', "broken", "ZeroDivisionError: thirteen"), ('{}', "invalid-input", "/sum: is missing")]:
    try:
        call("ledger/add", "k3", input)
        sys.exit(f"{input} was taken")
    except ToolError as error:
        assert (error.kind, words in error.message) == (kind, True), error
for name, effect, function, words in [
    ("Add", "once", add, "no name of a tool"),
    ("a/b", "often", add, "no effect"),
    ("ledger/add", "once", add, "stands twice"),
    ("a/c", "pure", was_added, "no documentation"),
]:
    try:
        tool(name, effect=effect)(function)
        sys.exit(f"{name} was taken")
    except ValueError as error:
        assert words in str(error), error
print("all held")
"#;

#[test]
fn types_in_python_are_schemas_and_values_are_held_against_them() {
    let place = Place::new();
    if python_environment().is_none() {
        return;
    }
    let library = worked_examples("python", &place.path(""));
    place.file("guest-sdk/python/by_type.py", BY_TYPE);
    let printed = built(Command::new("python3").arg("by_type.py").current_dir(&library));
    assert!(printed.ends_with("all held\n"), "{printed}");
}

#[test]
fn the_build_in_python_asks_for_what_the_code_imports() {
    let place = Place::new();
    if python_environment().is_none() {
        return;
    }
    let library: PathBuf = worked_examples("python", &place.path(""));
    let asked = |source: &str, calls: &str| {
        let project = library.join("asking");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::write(project.join("mine.py"), source).unwrap();
        // The compiler is one that does nothing: the world is written before it is called.
        let script = format!(
            "import sys; sys.path.insert(0, '..'); from reprise import build; build._compiler = lambda: 'false'; build.playbook('asking', module='mine', calls={calls})"
        );
        let done = Command::new("python3").args(["-c", &script]).current_dir(&project).output().unwrap();
        let read = |file: &str| std::fs::read_to_string(project.join("build/wit").join(file)).unwrap_or_default();
        let (world, contract) = (read("world.wit"), read("deps/reprise-playbook/playbook.wit"));
        let functions =
            contract.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": func(").map(|(name, _)| name.to_owned()));
        let functions: Vec<String> = functions.filter(|name| name != "run").collect();
        (functions, world, String::from_utf8(done.stderr).unwrap())
    };
    let (functions, world, _) =
        asked("from reprise.playbook import call_tool, step as s\nfrom reprise.playbook import misfit\n", "['use/list']");
    assert_eq!(functions, ["step", "step-with", "check"]);
    assert!(world.contains("import tool:%use/%list;") && world.contains("import reprise:playbook/data@0.1.0;"), "{world}");
    let (functions, world, _) = asked("import random\n", "[]");
    assert_eq!(functions, ["random-u64"]);
    assert!(world.contains("flow@0.1.0") && !world.contains("data@0.1.0"), "{world}");
    let (functions, world, _) = asked("x = 1\n", "[]");
    assert!(functions.is_empty() && !world.contains("import"), "{world}");
    // Where it cannot be told, it may be any.
    for source in ["import reprise.playbook\n", "from reprise import playbook\n", "from reprise.playbook import *\n"] {
        assert_eq!(asked(source, "[]").0.len(), 21, "{source}");
    }
    assert!(asked("", "['fs.read']").2.contains("no name of a tool"));
}
