//! Guests in Rust: what `reprise new` writes and what stands in `guest-sdk/rust` is built as a user builds it, uploaded, granted
//! and called, on the command line and over HTTP.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::page::{follow, repository};
use crate::support::server::Server;
use crate::support::toolchains::{has_rust_for_components, rust_environment};

/// `cargo` in a project, as its user types it; gives what it printed.
fn cargo(project: &Path, arguments: &str) -> String {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments.split(' ')).current_dir(project);
    for (name, value) in rust_environment() {
        match value {
            Some(value) => cargo.env(name, value),
            None => cargo.env_remove(name),
        };
    }
    let done = cargo.output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "cargo {arguments} in {}:\n{printed}", project.display());
    printed
}

/// Begins a project, tests it, builds it with the command that is shown, and gives the component's path.
fn begun_and_built(place: &Place, kind: &str, name: &str) -> String {
    let begun = place.json(0, &["new", kind, "--lang", "rust", name]);
    let project = place.path(name);
    let tested = cargo(&project, "test");
    assert!(tested.contains("test result: ok. 2 passed"), "{tested}");
    let build = begun["build"].as_str().unwrap();
    let printed = cargo(&project, build.strip_prefix("cargo ").unwrap());
    assert!(!printed.contains("warning"), "{printed}");
    project.join(begun["component"].as_str().unwrap()).to_str().unwrap().to_owned()
}

/// A command that must fail with `code`; its error.
fn refused(place: &Place, code: i32, arguments: &[&str]) -> Value {
    let ran = place.run(&[&["--json"], arguments].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    serde_json::from_str(&ran.stderr).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {ran:?}"))
}

/// Builds a worked example of the repository, and gives its component.
fn worked(place: &Place, directory: &str, name: &str) -> String {
    let target = place.path(&format!("{name}-target"));
    let project = repository().join("guest-sdk/rust").join(directory);
    cargo(&project, &format!("build --release --locked --target wasm32-wasip2 --target-dir {}", target.display()));
    target.join(format!("wasm32-wasip2/release/{name}.wasm")).to_str().unwrap().to_owned()
}

/// The id of the one approval that waits.
fn waiting_approval(place: &Place) -> String {
    let list = place.json(0, &["approvals", "list"]);
    let [approval] = list["approvals"].as_array().unwrap().as_slice() else { panic!("{list}") };
    approval["approval_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_fresh_playbook_is_built_with_one_command_and_waits_for_a_person() {
    if !has_rust_for_components() {
        return;
    }
    let place = Place::new();
    let component = begun_and_built(&place, "playbook", "sign-off");
    let inspected = place.json(0, &["inspect", &component]);
    let imports: Vec<&str> = inspected["imports"].as_array().unwrap().iter().map(|line| line["import"].as_str().unwrap()).collect();
    assert_eq!(imports, ["tool:fs/read", "tool:fs/write", "flow.step", "flow.approve", "flow.now", "flow.log"]);

    place.file("tree/plan.md", "# The plan\nSleep.\n");
    let grant = format!("fs:project={}", place.path("tree").display());
    place.json(0, &["upload", &component, "--playbook", "sign-off"]);
    let waiting = place.json(7, &["run", "sign-off", "--input", r#"{"document": "project/plan.md"}"#, "--grant", &grant]);
    assert_eq!(waiting["waiting_on"]["title"], json!("Sign project/plan.md?"), "{waiting}");
    let done = place.json(0, &["approvals", "approve", &waiting_approval(&place), "--by", "ada", "--comment", "gladly"]);
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({"signature": "project/plan.md.signed"})), "{done}");
    let signed = std::fs::read_to_string(place.path("tree/plan.md.signed")).unwrap();
    assert!(signed.starts_with("# The plan\nsigned at ") && signed.contains(r#"{"comment":"gladly"}"#), "{signed}");

    // What goes wrong names the step, and the input is held against the type.
    for (input, step, words) in [
        (r#"{"document": "project/gone.md"}"#, json!("read"), "not-found: \"project/gone.md\" is not there"),
        (r#"{"dokument": "project/plan.md"}"#, Value::Null, "the input does not fit: missing field `document`"),
    ] {
        let failure = place.json(1, &["run", "sign-off", "--input", input, "--grant", &grant])["failure"].clone();
        assert_eq!(failure["step"], step, "{failure}");
        assert!(failure["message"].as_str().unwrap().contains(words), "{failure}");
    }

    // The same bytes over HTTP.
    let server = Server::granting(&[grant]);
    let component = std::fs::read(&component).unwrap();
    server.send("POST", "/v1/playbooks?id=sign-off", &[("content-type", "application/wasm")], Some(component)).ok();
    let job =
        server.post("/v1/jobs", &json!({"playbook_id": "sign-off", "input": {"document": "project/plan.md"}, "wait_ms": 60_000})).ok();
    assert_eq!((&job["status"], &job["waiting_on"]["title"]), (&json!("waiting"), &json!("Sign project/plan.md?")), "{job}");
}

#[test]
fn a_fresh_tool_is_built_with_one_command_and_called() {
    if !has_rust_for_components() {
        return;
    }
    let place = Place::new();
    let component = begun_and_built(&place, "tool", "version-tools");
    let uploaded = place.json(0, &["tools", "upload", &component]);
    assert_eq!((&uploaded["namespace"], &uploaded["asks"]), (&json!("version-tools"), &json!([])), "{uploaded}");
    let call = |code: i32, input: &str| place.json(code, &["tools", "call", "version-tools/bump", "--input", input]);
    assert_eq!(call(0, r#"{"version": "1.2.3", "part": "minor"}"#)["output"], json!({"version": "1.3.0"}));
    let wrong = call(1, r#"{"version": "1.2", "part": "minor"}"#);
    assert_eq!((&wrong["ok"], &wrong["error"]["kind"]), (&json!(false), &json!("invalid-input")), "{wrong}");

    let server = Server::start();
    let bytes = std::fs::read(&component).unwrap();
    server.send("POST", "/v1/tools", &[("content-type", "application/wasm")], Some(bytes)).ok();
    let tool = server.get("/v1/tools/version-tools/bump").ok();
    assert_eq!(
        (&tool["effect"], &tool["description"]),
        (&json!("pure"), &json!("Raises one part of a version, and sets those behind it to 0."))
    );
    assert_eq!(tool["input_schema"]["properties"]["version"]["description"], json!("A version: three numbers joined by dots."), "{tool}");
    let answer = server.post("/v1/tools/version-tools/bump/call", &json!({"input": {"version": "1.2.3", "part": "major"}})).ok();
    assert_eq!(answer["output"], json!({"version": "2.0.0"}), "{answer}");
    let misfit = server.post("/v1/tools/version-tools/bump/call", &json!({"input": {"version": "1.2.3", "part": "all"}})).ok();
    assert_eq!(misfit["error"]["kind"], json!("invalid-input"), "{misfit}");
}

#[test]
fn the_worked_tool_and_the_worked_playbook_do_their_work_together() {
    if !has_rust_for_components() {
        return;
    }
    let place = Place::new();
    let (ledger, expenses) = (worked(&place, "tool", "ledger"), worked(&place, "playbook", "expenses"));
    // A playbook whose tool is not there is refused.
    let early = refused(&place, 5, &["upload", &expenses, "--playbook", "expenses"]);
    assert_eq!(early["error"], json!("imports_unsatisfied"), "{early}");
    place.json(0, &["tools", "upload", &ledger]);
    place.json(0, &["upload", &expenses, "--playbook", "expenses"]);

    for (claim, cents) in [("small", 1_200), ("large", 90_000), ("huge", 9_000_000)] {
        place.file(
            &format!("claims/{claim}.json"),
            &json!({"employee": "ann", "cents": cents, "what": "a train, \"first\" class"}).to_string(),
        );
    }
    std::fs::create_dir(place.path("books")).unwrap();
    let claims = format!("fs:claims={}", place.path("claims").display());
    let books = format!("fs@ledger:books={}", place.path("books").display());
    let start = |code: i32, claim: &str, books: &str| {
        let input = json!({"claim": claim}).to_string();
        place.json(code, &["run", "expenses", "--input", &input, "--grant", &claims, "--grant", books])
    };
    // Nothing that is not granted: the ledger is a tool of its own, which no grant for the built-in tools reaches.
    let builtin = format!("fs:books={}", place.path("books").display());
    let denied = start(1, "small", &builtin);
    assert_eq!(denied["failure"]["step"], json!("book"), "{denied}");
    assert!(denied["failure"]["message"].as_str().unwrap().contains("there is no directory /books"), "{denied}");

    let small = start(0, "small", &books);
    assert_eq!(small["output"], json!({"decision": "paid", "line": 1}), "{small}");
    let decided = |word: &str, claim: &str| {
        start(7, claim, &books);
        place.json(0, &["approvals", word, &waiting_approval(&place), "--by", "ada"])["output"].clone()
    };
    assert_eq!(decided("approve", "large"), json!({"decision": "paid", "line": 2}));
    assert_eq!(decided("reject", "huge")["decision"], json!("rejected"));
    assert!(place.path("claims/huge.decision.json").exists());

    let balance = place.json(0, &["tools", "call", "ledger/balance", "--input", r#"{"account": "ann"}"#, "--grant", &books]);
    assert_eq!(balance["output"], json!({"cents": 91_200, "entries": 2}), "{balance}");
    let lines = std::fs::read_to_string(place.path("books/ledger.csv")).unwrap();
    assert!(lines.lines().all(|line| line.ends_with(r#",ann,1200,"a train, ""first"" class""#) || line.contains(",ann,90000,")), "{lines}");
}

/// A `once` call that is cut off is not repeated: the tool says from its file what became of it, and the job goes on.
#[test]
fn the_worked_tool_books_once_wherever_the_process_dies() {
    if !has_rust_for_components() {
        return;
    }
    let place = Place::new();
    place.file("data/SCRATCH", "");
    place.json(0, &["tools", "upload", &worked(&place, "tool", "ledger")]);
    place.json(0, &["upload", &worked(&place, "playbook", "expenses"), "--playbook", "expenses"]);
    std::fs::create_dir(place.path("books")).unwrap();
    let mut asked = 0;
    for moment in ["before", "after"] {
        for flush in 1.. {
            let (claim, point) = (format!("{moment}-{flush}"), format!("{moment}:{flush}"));
            place.file(&format!("claims/{claim}.json"), &json!({"employee": claim, "cents": 100, "what": "x"}).to_string());
            let input = json!({"claim": claim}).to_string();
            let run = ["run", "expenses", "--input", &input, "--idempotency-key", &claim];
            let grants = ["--grant", "fs:claims=claims", "--grant", "fs@ledger:books=books"];
            let died = place.run(&[&["--json", "--die-at", &point], &run[..], &grants].concat());
            if died.code == 0 {
                assert!(flush > 4, "{flush} flushes {moment} the end");
                break;
            }
            assert_eq!(died.code, -1, "it died by a signal: {died:?}");
            let job = place.json(0, &[&run[..], &grants].concat());
            assert_eq!(job["status"], json!("completed"), "{point}: {job}");
            let journal = place.journal(job["job_id"].as_str().unwrap());
            asked += journal.iter().filter(|entry| entry["kind"] == "resolved").count();
        }
    }
    assert!(asked > 0, "a call was in doubt at least once");
    let ledger = std::fs::read_to_string(place.path("books/ledger.csv")).unwrap();
    let mut owners: Vec<&str> = ledger.lines().map(|line| line.split(',').nth(1).unwrap()).collect();
    owners.sort_unstable();
    let claims = owners.len();
    owners.dedup();
    assert_eq!(owners.len(), claims, "nothing is booked twice: {ledger}");
    let decided = place.tree("claims").keys().filter(|file| file.ends_with(".decision.json")).count();
    assert_eq!(claims, decided, "{ledger}");
}

#[test]
fn the_page_about_guests_in_rust_can_be_followed() {
    if !has_rust_for_components() {
        return;
    }
    assert!(follow("docs/GUEST-RUST.md") >= 15, "the commands are marked as tested");
}

#[test]
fn a_project_is_begun_once_and_nothing_is_written_over() {
    let place = Place::new();
    let first = place.json(0, &["new", "tool", "--lang", "rust", "version-tools"]);
    let written = place.tree("version-tools");
    let listed: Vec<&str> = first["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    let mut there: Vec<&str> = written.keys().map(String::as_str).collect();
    there.sort_unstable();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, there);
    let own = ["Cargo.toml", "Cargo.lock", "README.md", "src/lib.rs"];
    for (path, text) in written.iter().filter(|(path, _)| own.contains(&path.as_str())) {
        assert!(text.contains("version-tools") && !text.contains("{{"), "{path}");
    }
    // The contract is the one that the host was built with.
    for file in ["playbook.wit", "tool.wit", "types.wit"] {
        let own = std::fs::read_to_string(repository().join("wit").join(file)).unwrap();
        assert_eq!(written[&format!("vendor/reprise-guest/wit/{file}")], own);
    }
    place.file("version-tools/src/lib.rs", "mine");
    assert_eq!(refused(&place, 4, &["new", "playbook", "--lang", "rust", "version-tools"])["error"], json!("file_exists"));
    // A file, a link and an empty directory are there too.
    place.file("a-file", "mine");
    std::fs::create_dir(place.path("empty")).unwrap();
    std::os::unix::fs::symlink(place.path("nowhere"), place.path("link")).unwrap();
    for dir in ["a-file", "empty", "link"] {
        assert_eq!(refused(&place, 4, &["new", "tool", "--lang", "rust", "mine", "--dir", dir])["error"], json!("file_exists"), "{dir}");
    }
    assert_eq!(place.tree("version-tools")["src/lib.rs"], "mine");
    assert!(!place.path("nowhere").exists());
}

#[test]
fn a_project_begins_in_every_language() {
    let place = Place::new();
    for language in ["rust", "js", "python", "c"] {
        for kind in ["tool", "playbook"] {
            let name = format!("my-{language}-{kind}");
            let begun = place.json(0, &["new", kind, "--lang", language, &name]);
            let (build, files) = (begun["build"].as_str().unwrap(), place.tree(&name));
            assert!(files["README.md"].contains(build) && files["README.md"].contains(&name), "{name}");
            for (path, text) in &files {
                // What is left of a placeholder would be a word in braces.
                let left = ["{{name}}", "{{namespace}}", "{{snake}}"].iter().any(|word| text.contains(word));
                assert!(!left, "{name}/{path}");
                // What is run is executable.
                let mode =
                    std::os::unix::fs::PermissionsExt::mode(&place.path(&format!("{name}/{path}")).metadata().unwrap().permissions());
                assert_eq!(text.starts_with("#!"), mode & 0o100 != 0, "{name}/{path}");
            }
        }
    }
}

#[test]
fn a_project_that_cannot_be_begun_says_why() {
    let place = Place::new();
    for (arguments, code, words) in [
        (&["tool", "--lang", "rust", "Version_Tools"][..], 2, "kebab-case"),
        (&["tool", "--lang", "rust", "../up"], 2, "kebab-case"),
        (&["tool", "--lang", "rust", "fs"], 2, "that Reprise has itself"),
        (&["playbook", "--lang", "rust", "match"], 2, "a word of Rust"),
        (&["playbook", "--lang", "cobol", "x"], 2, "cobol"),
        (&["plugin", "--lang", "rust", "x"], 2, "plugin"),
        (&["tool", "--lang", "rust", "x", "--dir", "no/such/place"], 3, "no/such/place"),
    ] {
        let mut all = vec!["new"];
        all.extend(arguments);
        let refused = place.run(&all);
        assert_eq!(refused.code, code, "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(words), "{arguments:?}: {refused:?}");
        assert!(!place.path("x").exists());
    }
}
