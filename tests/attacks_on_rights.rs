//! Guests that want what is not theirs to have: the environment, the network, other tools, a newer version, a grant.

use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::guests::{Provided, component, provider};
use crate::support::walls::{Walls, attacker};

const JSON: (&str, &str) = ("content-type", "application/json");

const ENVIRONMENT: &str = "package wasi:cli@0.2.0 { interface environment { get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; initial-cwd: func() -> option<string>; } }";

fn counts_variables() -> Vec<u8> {
    let get = r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $get (param i32)))
        (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))
        (import "wasi:cli/environment@0.2.0" "initial-cwd" (func $cwd (param i32)))"#;
    // Variables, and a hundred for each argument, and ten thousand for a directory.
    let f = "(call $get (i32.const 8)) (call $arguments (i32.const 16)) (call $cwd (i32.const 24))
        (i32.add (i32.load (i32.const 12))
            (i32.add (i32.mul (i32.const 100) (i32.load (i32.const 20))) (i32.mul (i32.const 10000) (i32.load8_u (i32.const 24)))))";
    attacker(get, f, "import wasi:cli/environment@0.2.0;", ENVIRONMENT)
}

#[test]
fn a_tool_sees_no_variable_of_the_server_and_none_of_another_tool() {
    // The server's own process has variables.
    assert!(std::env::vars().count() > 1);
    for (grants, sees) in [(vec![], 0), (vec!["env@other:PATH=/x"], 0), (vec!["env@guest:MODE=test", "env@other:PATH=/x"], 1)] {
        let walls = Walls::granting(&grants.into_iter().map(str::to_owned).collect::<Vec<_>>());
        walls.bring(counts_variables()).ok();
        assert_eq!(walls.call("guest/f", &json!({}))["output"], sees);
        walls.stand();
    }
}

const SOCKETS: &str = "
    package wasi:sockets@0.2.0 {
        interface network {
            resource network;
            enum error-code { unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use, remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large, name-unresolvable, temporary-resolver-failure, permanent-resolver-failure }
            enum ip-address-family { ipv4, ipv6 }
        }
        interface instance-network { use network.{network}; instance-network: func() -> network; }
        interface tcp { resource tcp-socket; }
        interface udp { resource udp-socket; }
        interface tcp-create-socket { use network.{error-code, ip-address-family}; use tcp.{tcp-socket}; create-tcp-socket: func(family: ip-address-family) -> result<tcp-socket, error-code>; }
        interface udp-create-socket { use network.{error-code, ip-address-family}; use udp.{udp-socket}; create-udp-socket: func(family: ip-address-family) -> result<udp-socket, error-code>; }
        interface ip-name-lookup { use network.{network, error-code}; resource resolve-address-stream; resolve-addresses: func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>; }
    }";

const SOCKET_IMPORTS: &str = "import wasi:sockets/network@0.2.0; import wasi:sockets/instance-network@0.2.0; import wasi:sockets/tcp@0.2.0;
    import wasi:sockets/udp@0.2.0; import wasi:sockets/tcp-create-socket@0.2.0; import wasi:sockets/udp-create-socket@0.2.0;
    import wasi:sockets/ip-name-lookup@0.2.0;";

/// The number of an error, after a one that says that it is one.
const ACCESS_DENIED: u64 = 101;
/// `permanent-resolver-failure`: nobody was asked.
const NO_RESOLVER: u64 = 120;

#[test]
fn a_tool_makes_no_socket_and_looks_no_name_up() {
    let walls = Walls::granting(&["http@guest:http://127.0.0.1:9".to_owned()]);
    let imports = r#"
        (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $tcp (param i32 i32)))
        (import "wasi:sockets/udp-create-socket@0.2.0" "create-udp-socket" (func $udp (param i32 i32)))
        (import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
        (import "wasi:sockets/ip-name-lookup@0.2.0" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
        (data (i32.const 64) "localhost")"#;
    let code = "(i32.add (i32.mul (i32.const 100) (i32.load8_u (i32.const 8))) (i32.load8_u (i32.const 12)))";
    for family in [0, 1] {
        for make in ["$tcp", "$udp"] {
            let f = format!("(call {make} (i32.const {family}) (i32.const 8)) {code}");
            walls.bring(attacker(imports, &f, SOCKET_IMPORTS, SOCKETS)).ok();
            assert_eq!(walls.call("guest/f", &json!({}))["output"], ACCESS_DENIED, "{make} {family}");
        }
    }
    let f = format!("(call $resolve (call $network) (i32.const 64) (i32.const 9) (i32.const 8)) {code}");
    walls.bring(attacker(imports, &f, SOCKET_IMPORTS, SOCKETS)).ok();
    assert_eq!(walls.call("guest/f", &json!({}))["output"], NO_RESOLVER);
    walls.stand();
}

/// A component inside of it may import what it likes; what is to be put in its place must come from outside, where it is seen.
#[test]
fn a_playbook_calls_no_tool_that_it_does_not_import() {
    let walls = Walls::up();
    let hidden = r#"(component
        (component $inner
            (import "tool:fs/read" (instance (export "call" (func (param "input" string) (result string))))))
        (instance (instantiate $inner)))"#;
    let bytes = wat::parse_str(hidden).unwrap();
    walls.bring_playbook("hidden", bytes).refused(422, "not_a_component");
    // One that is put in its place by a component of its own is that component, and reaches nothing.
    let own = r#"(component
        (core module $m (func (export "call")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "call")))
        (instance $fake (export "call" (func $f)))
        (component $inner (import "tool:fs/read" (instance (export "call" (func)))))
        (instance (instantiate $inner (with "tool:fs/read" (instance $fake)))))"#;
    let refused = walls.bring_playbook("fake", wat::parse_str(own).unwrap()).refused(422, "not_a_component");
    assert!(refused["message"].as_str().unwrap().contains("does not export"), "{refused}");
    // A name that only looks like a tool's.
    for name in ["tool:fs/read@1.0.0", "tool:fs/reed", "wasi:filesystem/types@0.2.0", "wasi:sockets/tcp@0.2.0"] {
        let text = format!(r#"(component (import "{name}" (instance (export "call" (func (param "input" string) (result string))))))"#);
        let refused = walls.bring_playbook("odd", wat::parse_str(&text).unwrap()).refused(422, "imports_unsatisfied");
        assert!(refused["message"].as_str().unwrap().contains(name), "{refused}");
    }
    walls.stand();
}

/// What a job is started with says which grants it has: never more than the server's.
#[test]
fn a_job_does_not_grant_itself_anything() {
    let dir = tempfile::tempdir().unwrap();
    let walls = Walls::up();
    let bytes = wat::parse_file(crate::support::page::repository().join("guest-sdk/text/greet.wat")).unwrap();
    walls.bring_playbook("greet", bytes).ok();
    let grant = json!({"kind": "fs", "name": "place", "path": dir.path(), "access": "rw"});
    let asked = json!({"playbook_id": "greet", "input": {"path": "place"}, "grants": [grant]});
    let refused = walls.server.post("/v1/jobs", &asked);
    assert!((400..500).contains(&refused.status), "{}", String::from_utf8_lossy(&refused.bytes));
    let started = walls.server.post("/v1/jobs", &json!({"playbook_id": "greet", "input": {"path": "place"}, "wait_ms": 50_000})).ok();
    assert_eq!(started["status"], "failed", "{started}");
    assert!(started["failure"]["message"].as_str().unwrap().contains("no grants"), "{started}");
    // The same for a call of a tool by itself.
    let refused = walls.server.post("/v1/tools/fs/list/call", &json!({"input": {"path": "place"}, "grants": [grant]}));
    assert!((400..500).contains(&refused.status), "{}", String::from_utf8_lossy(&refused.bytes));
    walls.stand();
}

#[test]
fn a_tool_does_not_upgrade_itself_to_one_that_asks_for_more() {
    let walls = Walls::up();
    walls.bring(attacker("", "(i32.const 1)", "", "")).ok();
    let wider = walls.bring(counts_variables()).json();
    assert_eq!((&wider["version"], &wider["activation"]), (&json!(2), &json!("needs_approval")));
    let activate = "/v1/tool-components/guest/versions/2/activate";
    let token = walls.server.operator_token();
    let turned: String = token.chars().rev().collect();
    for header in [None, Some("Bearer "), Some("Bearer x"), Some("Basic eDp5"), Some(turned.as_str()), Some(token.as_str())] {
        let mut headers = vec![JSON];
        headers.extend(header.map(|header| ("authorization", header)));
        let refused = walls.server.send("POST", activate, &headers, Some(b"{}".to_vec()));
        assert!([401, 403].contains(&refused.status), "{header:?}: {}", String::from_utf8_lossy(&refused.bytes));
    }
    assert_eq!(walls.call("guest/f", &json!({}))["output"], 1, "the first version is the one that is called");
    // The same bytes again change nothing either.
    assert_eq!(walls.bring(counts_variables()).json()["activation"], "needs_approval");
    walls.stand();
}

/// What lies in a directory that a tool component may write is the tool's to change, by whatever name: so the server's own
/// configuration does not lie in one.
#[test]
fn a_configuration_file_that_a_tool_component_could_write_is_refused_at_the_start() {
    let place = Place::new();
    std::fs::create_dir(place.path("work")).unwrap();
    // So that there is a data directory.
    let greet = wat::parse_file(crate::support::page::repository().join("guest-sdk/text/greet.wat")).unwrap();
    std::fs::write(place.path("greet.wasm"), greet).unwrap();
    place.ok(&["upload", "greet.wasm", "--playbook", "greet"]);
    let grant = |to: &str, access: &str| format!("[[grant]]\nkind = \"fs\"\nname = \"work\"\npath = \".\"\naccess = \"{access}\"\n{to}");
    let config = place.path("work/reprise.toml");
    let run = |text: &str| {
        std::fs::write(&config, text).unwrap();
        place.run(&["--config", config.to_str().unwrap(), "run", "nothing", "--input", "{}"])
    };
    // No built-in tool changes a file of that name, and whoever may only read does not either: only the playbook is not there.
    for fine in [grant("", "rw"), grant("to = [\"test\"]\n", "ro")] {
        let ran = run(&fine);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
    }
    let refused = run(&grant("to = [\"test\"]\n", "rw"));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("could write its own grants"), "{}", refused.stderr);
    // The same where the grant comes on the command line.
    std::fs::write(&config, "").unwrap();
    let flag = format!("fs@test:work={}", place.path("work").display());
    let refused = place.run(&["--config", config.to_str().unwrap(), "run", "greet", "--input", "{}", "--grant", &flag]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("could write its own grants"), "{}", refused.stderr);
}

const CALLS_TOOL: &str = "package tool:calm { interface tool { use reprise:playbook/types@0.1.0.{json, tool-error}; call: func(input: json) -> result<json, tool-error>; } }";

#[test]
fn a_tool_calls_neither_its_caller_nor_another_tool() {
    let walls = Walls::up();
    let core = r#"(import "tool:calm/tool" "call" (func (param i32 i32 i32)))"#;
    let other = provider(Provided { core, imports: "import tool:calm/tool;", packages: CALLS_TOOL, ..Provided::default() });
    let says = walls.refuses(other, 422, "imports_unsatisfied");
    assert!(says.contains("tool:calm/tool") && says.contains("a tool calls no tools"), "{says}");
    // Nor does it start a playbook, or wait as one does.
    let core = r#"(module (import "reprise:playbook/flow@0.1.0" "start-playbook" (func (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 1) (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "test:guest/mine#f") (result i32) i32.const 1))"#;
    let bytes = component(core, "interface mine { f: func() -> s32; }\nworld guest { import reprise:playbook/flow@0.1.0; export mine; }");
    let says = walls.refuses(bytes, 422, "imports_unsatisfied");
    assert!(says.contains("reprise:playbook/flow") && says.contains("belongs to playbooks"), "{says}");
    walls.stand();
}

/// A table in docs/SECURITY.md names every attack and the test that makes it.
#[test]
fn every_attack_in_the_security_page_has_its_test() {
    let page = std::fs::read_to_string(crate::support::page::repository().join("docs/SECURITY.md")).unwrap();
    let (_, table) = page.split_once("## Attacks that are tried").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let named: Vec<&str> = table.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3).collect();
    assert!(named.len() > 40, "{}", named.len());
    let mut sources = String::new();
    let mut directories = vec![crate::support::page::repository().join("tests"), crate::support::page::repository().join("runtime/src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => sources.push_str(&std::fs::read_to_string(&path).unwrap()),
                _ if path.is_dir() => directories.push(path),
                _ => {}
            }
        }
    }
    let absent: Vec<&&str> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(absent.is_empty(), "docs/SECURITY.md names tests that are not there: {absent:#?}");
    // And the other way round: an attack that nobody reads of is half an attack.
    let files = ["attacks_by_computing", "attacks_by_data", "attacks_on_files", "attacks_on_rights"];
    for file in files {
        let text = std::fs::read_to_string(crate::support::page::repository().join(format!("tests/{file}.rs"))).unwrap();
        for test in text.split("#[test]\n").skip(1).filter_map(|rest| rest.strip_prefix("fn ")?.split_once('(')) {
            assert!(named.contains(&test.0) || test.0.starts_with("every_attack"), "docs/SECURITY.md does not name {}", test.0);
        }
    }
}

/// Answers of the gate that a guest did not make itself.
#[test]
fn a_stranger_who_asks_for_a_grant_is_told_that_only_an_operator_gives_one() {
    let walls = Walls::up();
    for (method, path, body) in
        [("PUT", "/v1/grants/more", json!({"kind": "clock", "to": ["guest"]})), ("DELETE", "/v1/grants/more", Value::Null)]
    {
        let refused = walls.server.send(method, path, &[JSON], Some(body.to_string().into_bytes()));
        assert!([401, 404, 405].contains(&refused.status), "{method}: {}", refused.status);
    }
    assert_eq!(walls.server.get("/v1/grants").ok()["grants"], json!([]));
    walls.stand();
}
