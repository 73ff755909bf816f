//! Components made elsewhere: the good one runs, every other one is refused at the door with its reason.

use serde_json::{Value, json};

use crate::support::server::{Answer, Server};

/// A playbook written by hand to the contract in `wit/`: it hands its input to `fs/list` and gives back the answer.
const LISTER: &str = r#"
(component
  (import "tool:fs/list" (instance $list
    (type $kind' (enum "invalid-input" "denied" "not-found" "conflict" "unavailable" "timeout" "broken" "failed" "cancelled"))
    (export "error-kind" (type $kind (eq $kind')))
    (type $error' (record (field "kind" $kind) (field "message" string) (field "detail" (option string))))
    (export "tool-error" (type $error (eq $error')))
    (export "call" (func (param "input" string) (result (result string (error $error)))))))

  (core module $libc-code
    (memory (export "memory") 32)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc-code))
  (core func $call (canon lower (func $list "call") (memory $libc "memory") (realloc (func $libc "realloc"))))

  (core module $main-code
    (import "libc" "memory" (memory 1))
    (import "tool" "call" (func $call (param i32 i32 i32)))
    (func $start (nop))
    (start $start)
    (func (export "run") (param i32 i32) (result i32)
      (call $call (local.get 0) (local.get 1) (i32.const 512))
      ;; An ok with its text lies at 512 as `run` gives it too; an error becomes a failure with its message.
      (if (result i32) (i32.load8_u (i32.const 512))
        (then
          (i32.store8 (i32.const 600) (i32.const 1))
          (i32.store (i32.const 616) (i32.load (i32.const 520)))
          (i32.store (i32.const 620) (i32.load (i32.const 524)))
          (i32.const 600))
        (else (i32.const 512)))))
  (core instance $main (instantiate $main-code
    (with "libc" (instance $libc))
    (with "tool" (instance (export "call" (func $call))))))

  (type $failure (record (field "step" (option string)) (field "message" string) (field "detail" (option string))))
  (func $run (param "input" string) (result (result string (error $failure)))
    (canon lift (core func $main "run") (memory $libc "memory") (realloc (func $libc "realloc"))))
  (component $shell
    (type $failure' (record (field "step" (option string)) (field "message" string) (field "detail" (option string))))
    (import "failure" (type $failure-in (eq $failure')))
    (import "run" (func $run (param "input" string) (result (result string (error $failure-in)))))
    (export $failure "failure" (type $failure'))
    (export "run" (func $run) (func (param "input" string) (result (result string (error $failure))))))
  (instance $playbook (instantiate $shell (with "failure" (type $failure)) (with "run" (func $run))))
  (export "reprise:playbook/playbook@0.1.0" (instance $playbook)))
"#;

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

/// The lister with one thing in it another.
fn changed(from: &str, to: &str) -> Vec<u8> {
    assert!(LISTER.contains(from), "{from} is not there to be changed");
    component(&LISTER.replacen(from, to, 1))
}

fn upload(server: &Server, query: &str, bytes: Vec<u8>) -> Answer {
    server.send("POST", &format!("/v1/playbooks{query}"), &[("content-type", "application/wasm")], Some(bytes))
}

#[test]
fn a_component_made_elsewhere_is_kept_shown_and_run() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("a.txt"), "hello").unwrap();
    let mut server = Server::granting(&[format!("fs:project={}:ro", tree.path().display())]);
    let bytes = component(LISTER);

    let first = upload(&server, "?id=lister&name=Lists%20a%20directory", bytes.clone());
    assert_eq!(first.status, 201);
    let version = first.json();
    assert_eq!(
        json!([
            version["playbook_id"],
            version["version"],
            version["status"],
            version["name"],
            version["origin"],
            version["component_bytes"]
        ]),
        json!(["lister", 1, "draft", "Lists a directory", "uploaded", bytes.len()])
    );
    let list = &version["imports"][0];
    assert_eq!(json!([list["import"], list["effect"], list["changes"]]), json!(["tool:fs/list", "read", false]));

    let again = upload(&server, "?id=lister&name=Lists%20a%20directory", bytes.clone());
    assert_eq!((again.status, again.json()), (200, version.clone()));
    let next = upload(&server, "?id=lister", changed("(nop)", "(nop) (nop)"));
    assert_eq!((next.status, next.json()["version"].clone(), next.json()["name"].clone()), (201, json!(2), json!("lister")));
    let nameless = upload(&server, "", bytes.clone()).ok();
    assert_ne!(nameless["playbook_id"], version["playbook_id"]);

    let mut now = version.clone();
    (now["activation"], now["active_version"]) = (json!("inactive"), json!(2));
    assert_eq!(server.get("/v1/playbooks/lister/versions/1").ok(), now, "nothing of it changes but how it stands beside the newer one");
    assert_eq!(server.get("/v1/playbooks/lister/versions/1/component").bytes, bytes);
    let world = String::from_utf8(server.get("/v1/playbooks/lister/versions/1/wit").bytes).unwrap();
    assert!(world.contains("import tool:fs/%list;"), "a keyword of WIT is escaped: {world}");
    let none = server.get("/v1/playbooks/lister/versions/1/plan").refused(404, "plan_not_found");
    assert!(none["message"].as_str().unwrap().contains("by hand"), "{none}");
    let shown = server.post("/v1/memory/replay/playbooks/get", &json!({"playbook_id": "lister"})).ok();
    assert_eq!(json!([shown["playbook"]["steps_template"], shown["playbook"]["source_run_id"]]), json!([[], null]));

    let run = |server: &Server, input: Value| {
        let request = json!({"playbook_id": "lister", "version": 1, "input": input, "wait_ms": 50_000});
        let answer = server.post("/v1/jobs", &request);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    };
    let job = run(&server, json!({"path": "project"}));
    assert_eq!(job["output"], json!({"path": "project", "entries": [{"path": "project/a.txt", "kind": "file", "bytes": 5}]}), "{job}");
    let denied = run(&server, json!({"path": "elsewhere"}));
    assert_eq!(denied["status"], "failed");
    assert!(denied["failure"]["message"].as_str().unwrap().contains("elsewhere"), "{denied}");

    // What was uploaded is there for the next process, which has no grants.
    server.restart();
    assert_eq!(run(&server, json!({"path": "project"}))["status"], "failed");
    assert_eq!(server.get("/v1/playbooks/lister/versions/1").ok(), now);
}

#[test]
fn playbooks_are_listed_by_id_in_pages_and_within_their_space() {
    let server = Server::start();
    for id in ["c", "a", "d", "b", "e"] {
        upload(&server, &format!("?id={id}"), component(LISTER)).ok();
    }
    upload(&server, "?id=hidden&tenant_id=acme", component(LISTER)).ok();
    let mut ids = Vec::new();
    let mut next = Some(String::new());
    let mut pages = 0;
    while let Some(cursor) = next {
        let page = server.get(&format!("/v1/playbooks?limit=2{cursor}")).ok();
        ids.extend(page["playbooks"].as_array().unwrap().iter().map(|row| row["playbook_id"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().map(|cursor| format!("&cursor={cursor}"));
        pages += 1;
    }
    assert_eq!((ids.join(""), pages), ("abcde".to_owned(), 3));
    let acme = server.get("/v1/playbooks?tenant_id=acme&limit=1").ok();
    assert_eq!((&acme["playbooks"][0]["playbook_id"], &acme["next"]), (&json!("hidden"), &Value::Null));
    server.get("/v1/playbooks/hidden").refused(404, "replay_playbook_not_found");
}

#[test]
fn what_is_no_playbook_is_refused_with_its_reason() {
    let server = Server::start();
    let whole = component(LISTER);
    let mut garbage = whole.clone();
    garbage.iter_mut().skip(8).for_each(|byte| *byte ^= 0x5a);
    let run_type = r#"(func $run (param "input" string) (result (result string (error $failure)))"#;
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("nothing", Vec::new(), "not_a_component", "0 bytes"),
        ("text", b"(component)".to_vec(), "not_a_component", "do not begin"),
        ("garbage behind a good beginning", garbage, "not_a_component", "not a valid component"),
        ("a core module", component("(module)"), "not_a_component", "core module"),
        ("half of it", whole[..whole.len() / 2].to_vec(), "not_a_component", "not a valid component"),
        ("all but a byte", whole[..whole.len() - 1].to_vec(), "not_a_component", "not a valid component"),
        ("an empty component", component("(component)"), "not_a_component", "does not export"),
        (
            "another export",
            changed("\"reprise:playbook/playbook@0.1.0\"", "\"acme:other/playbook@0.1.0\""),
            "not_a_component",
            "does not export",
        ),
        ("another version", changed("playbook@0.1.0", "playbook@9.0.0"), "not_a_component", "does not export"),
        (
            "a run of another type",
            component(
                &LISTER
                    .replace(run_type, &run_type.replace("string)", "u64)"))
                    .replace("(param i32 i32) (result i32)", "(param i64) (result i32)")
                    .replace("(call $call (local.get 0) (local.get 1) (i32.const 512))", "")
                    .replace(
                        "(param \"input\" string) (result (result string (error $failure",
                        "(param \"input\" u64) (result (result string (error $failure",
                    ),
            ),
            "not_a_component",
            "its run is not",
        ),
        ("a memory of 4 GiB", changed("\"memory\") 32)", "\"memory\") 65536)"), "component_too_demanding", "memory"),
        ("a table of millions", changed("(func $start", "(table 100000000 funcref) (func $start"), "component_too_demanding", "table"),
        ("a start without end", changed("(nop)", "(loop (br 0))"), "component_does_not_start", "do not end"),
        ("a start that traps", changed("(nop)", "(unreachable)"), "component_does_not_start", "unreachable"),
        (
            "a start that calls a tool",
            changed("(nop)", "(i32.store8 (i32.const 0) (i32.const 55)) (call $call (i32.const 0) (i32.const 1) (i32.const 512))"),
            "component_does_not_start",
            "fs/list",
        ),
        ("a start without bottom", changed("(nop)", "(call $start)"), "component_does_not_start", "stack"),
    ];
    for (what, bytes, code, says) in cases {
        let answer = upload(&server, "", bytes);
        assert_ne!(answer.status, 201, "{what} was taken");
        let body = answer.refused(422, code);
        assert!(body["message"].as_str().unwrap().contains(says), "{what}: {body}");
        server.assert_alive();
    }
    assert_eq!(server.get("/v1/playbooks").ok()["playbooks"], json!([]));
}

#[test]
fn an_import_that_nothing_can_satisfy_is_listed_with_all_others() {
    let server = Server::start();
    let with = |imports: &str| component(&LISTER.replacen("(component", &format!("(component {imports}"), 1));
    let wait = r#"(import "reprise:playbook/flow@0.1.0" (instance (export "nap" (func (param "milliseconds" u64)))))"#;
    let several = r#"(import "wasi:cli/environment@0.2.0" (instance)) (import "acme:own/thing" (instance)) (import "loose" (func))"#;
    let cases: Vec<(Vec<u8>, &[&str], &str)> = vec![
        (changed("tool:fs/list", "tool:net/fly"), &["tool:net/fly"], "no tool net/fly here"),
        (with(wait), &["reprise:playbook/flow@0.1.0#nap"], "flow has no such function"),
        (with(several), &["wasi:cli/environment@0.2.0", "acme:own/thing", "loose"], "no WASI"),
        (with(r#"(import "tool:fs/read" (instance (export "peek" (func))))"#), &["tool:fs/read"], "one function, call"),
        (
            with(r#"(import "reprise:playbook/data@0.1.0" (instance (export "guess" (func))))"#),
            &["reprise:playbook/data@0.1.0#guess"],
            "no such function",
        ),
    ];
    for (bytes, missing, says) in cases {
        let body = upload(&server, "", bytes).refused(422, "imports_unsatisfied");
        let issues = body["issues"].as_array().unwrap();
        let paths: Vec<&str> = issues.iter().filter_map(|issue| issue["path"].as_str()).collect();
        assert_eq!(paths, missing);
        assert!(issues.iter().any(|issue| issue["message"].as_str().unwrap().contains(says)), "{body}");
    }
    let other_type = with(r#"(import "tool:fs/read" (instance (export "call" (func (param "input" u32) (result string)))))"#);
    let body = upload(&server, "", other_type).refused(422, "imports_unsatisfied");
    assert!(body["message"].as_str().unwrap().contains("another type"), "{body}");
    server.assert_alive();
}

#[test]
fn an_upload_over_the_limit_is_answered_and_the_server_goes_on() {
    let server = Server::start();
    for bytes in [reprise::limits::COMPONENT_BYTES_MAX + 1, 100_000_000] {
        let body = upload(&server, "", vec![0; bytes]).refused(413, "too_large");
        assert_eq!(body["details"]["bytes_max"], reprise::limits::COMPONENT_BYTES_MAX);
        server.assert_alive();
    }
}

#[test]
fn a_query_or_type_that_is_wrong_is_said_before_the_bytes_are_looked_at() {
    let server = Server::start();
    let long_name = format!("?name={}", "x".repeat(10_001));
    for (query, says) in [
        ("?id=a%2Fb", "'/'"),
        ("?id=", "1 to 128"),
        ("?nmae=x", "?nmae"),
        ("?name=", "1 to 10000"),
        (long_name.as_str(), "1 to 10000"),
        ("?version=2", "?version"),
    ] {
        let body = upload(&server, query, b"no component".to_vec()).refused(400, "invalid_request");
        assert!(body["message"].as_str().unwrap().contains(says), "{query}: {body}");
    }
    upload(&server, "?scope=tenant%3Ax", component(LISTER)).refused(400, "invalid_scope");
    let as_json = server.send("POST", "/v1/playbooks", &[("content-type", "application/json")], Some(component(LISTER)));
    let body = as_json.refused(400, "invalid_request");
    assert!(body["message"].as_str().unwrap().contains("content-type: application/wasm"), "{body}");
    let as_bytes = server.send("POST", "/v1/playbooks", &[("content-type", "application/octet-stream")], Some(component(LISTER)));
    assert_eq!(as_bytes.status, 201);
}

/// A plan is believed only where the code is what it compiles to.
#[test]
fn a_component_with_somebody_elses_plan_is_not_explained_by_it() {
    let server = Server::start();
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
    replay("run/start", json!({"run_id": "r", "goal": "look"}));
    replay("step/before", json!({"run_id": "r", "step_index": 1, "tool_name": "fs/list", "tool_input": {"path": "project"}}));
    replay("step/after", json!({"run_id": "r", "step_index": 1, "status": "success", "output": {"path": "project", "entries": []}}));
    replay("run/end", json!({"run_id": "r", "status": "success"}));
    let made = replay("playbooks/compile_from_run", json!({"run_id": "r", "playbook_id": "honest"}));
    let honest = server.get("/v1/playbooks/honest/versions/1/component").bytes;
    let plan = server.get("/v1/playbooks/honest/versions/1/plan");

    let copy = upload(&server, "?id=copy", honest).ok();
    assert_eq!(copy["component_digest"], made["digest"]);
    assert_eq!(server.get("/v1/playbooks/copy/versions/1/plan").bytes, plan.bytes);

    let mut liar = component(LISTER);
    let name = b"reprise:plan";
    let mut section = vec![u8::try_from(name.len()).unwrap()];
    section.extend_from_slice(name);
    section.extend_from_slice(&plan.bytes);
    liar.push(0);
    let mut length = section.len();
    while length >= 0x80 {
        liar.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    liar.push(u8::try_from(length).unwrap());
    liar.extend(section);
    upload(&server, "?id=liar", liar).ok();
    let body = server.get("/v1/playbooks/liar/versions/1/plan").refused(404, "plan_not_found");
    assert!(body["message"].as_str().unwrap().contains("the code is not what"), "{body}");
    let shown = server.post("/v1/memory/replay/playbooks/get", &json!({"playbook_id": "liar"})).ok();
    assert_eq!(shown["playbook"]["steps_template"], json!([]));
}
