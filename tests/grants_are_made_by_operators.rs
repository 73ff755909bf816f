//! What all jobs may reach is said by operators, and by nobody else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;

use reprise::engine::{Engine, Settings};
use reprise::error::Code;
use reprise::tools::Grant;
use serde_json::{Value, json};

use crate::support::documented::document;
use crate::support::graphs::GraphJob;
use crate::support::server::Server;

/// A directory with a file in it.
fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    std::fs::write(project.path().join("notes.md"), "# Notes\n").unwrap();
    project
}

/// A grant of that directory, as HTTP takes it.
fn files(directory: &std::path::Path, access: &str) -> Value {
    json!({"kind": "fs", "path": directory, "access": access})
}

/// Starts a job that calls one tool; the job once it has ended.
fn job(server: &Server, tool: &str, input: &Value) -> Value {
    let nodes = json!([{"id": "it", "kind": "tool", "tool": tool, "input": input}]);
    GraphJob::start(server, &nodes, &json!({"$from": "it"}), &json!({})).stood()
}

fn names(server: &Server) -> Vec<String> {
    let granted = server.get("/v1/grants").ok();
    granted["grants"].as_array().unwrap().iter().map(|grant| grant["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_an_operator_grants_holds_from_the_next_job_on_until_it_is_taken_back() {
    let (mut server, project) = (Server::start(), project());
    let read = json!({"path": "project/notes.md"});
    let denied = job(&server, "fs/read", &read);
    assert_eq!(denied["failure"]["detail"]["kind"], "denied", "{denied}");

    let made = server.operator("PUT", "/v1/grants/project", Some(&files(project.path(), "ro")));
    assert_eq!(made.status, 201);
    let (made, real) = (made.json(), project.path().canonicalize().unwrap());
    assert_eq!((&made["name"], &made["source"], &made["words"]), (&json!("project"), &json!("store"), &json!("read files below project/")));
    assert_eq!(made["grant"], json!({"kind": "fs", "name": "project", "path": real, "access": "ro"}));
    assert_eq!(job(&server, "fs/read", &read)["output"]["text"], "# Notes\n");
    let written = job(&server, "fs/write", &json!({"path": "project/new", "text": ""}));
    assert!(written["failure"]["message"].as_str().unwrap().contains("read-only"), "{written}");

    let again = server.operator("PUT", "/v1/grants/project", Some(&files(project.path(), "rw")));
    assert_eq!((again.status, &again.json()["access"]), (200, &json!("rw")));
    assert_eq!(job(&server, "fs/write", &json!({"path": "project/new", "text": ""}))["status"], "completed");
    server.restart();
    assert_eq!(job(&server, "fs/read", &read)["status"], "completed", "it stays over a restart");

    assert_eq!(server.operator("DELETE", "/v1/grants/project", None).ok()["name"], "project");
    assert_eq!(job(&server, "fs/read", &read)["failure"]["detail"]["kind"], "denied");
    server.operator("DELETE", "/v1/grants/project", None).refused(404, "grant_not_found");
}

#[test]
fn only_who_shows_the_token_grants() {
    let (mut server, project) = (Server::start(), project());
    let body = files(project.path(), "ro");
    server.operator("PUT", "/v1/grants/kept", Some(&body)).ok();
    let token = server.operator_token();
    let file = std::fs::metadata(server.data().join("operator.token")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");

    let last = if token.ends_with('0') { '1' } else { '0' };
    let wrong = [
        format!("Bearer {}", &token[1..]),
        format!("Bearer {}{last}", &token[..63]),
        format!("Bearer {token}{token}"),
        format!("Basic {token}"),
        token.clone(),
        "Bearer".to_owned(),
    ];
    for (method, path) in operators_routes() {
        let body = (method != "DELETE").then(|| body.to_string().into_bytes());
        let json = ("content-type", "application/json");
        let missing = server.send(&method, &path, &[json], body.clone());
        let says = missing.refused(401, "operator_token_missing");
        assert!(says["message"].as_str().unwrap().contains("operator.token"), "{says}");
        assert_eq!(missing.headers["www-authenticate"], "Bearer");
        for wrong in &wrong {
            let says = server.send(&method, &path, &[json, ("authorization", wrong)], body.clone()).refused(403, "operator_token_wrong");
            assert!(says["message"].as_str().unwrap().contains("operator.token") && !says.to_string().contains(&token), "{says}");
        }
    }
    assert_eq!(names(&server), ["kept"], "nothing came of it");
    server.restart();
    assert_eq!(server.operator_token(), token, "it stays over a restart");
    // Who shows it sees the host's directory; who does not does not.
    let (all, some) = (server.operator("GET", "/v1/grants", None).ok(), server.get("/v1/grants").ok());
    let real = project.path().canonicalize().unwrap();
    assert_eq!((&all["grants"][0]["grant"]["path"], some["grants"][0].get("grant")), (&json!(real), None));
    assert!(!some.to_string().contains(real.to_str().unwrap()), "{some}");
    server.send("GET", "/v1/grants", &[("authorization", "Bearer x")], None).refused(403, "operator_token_wrong");
}

/// Every route that the document says is for operators, with something in each of its parts.
fn operators_routes() -> Vec<(String, String)> {
    let paths = document()["paths"].as_object().unwrap().iter();
    let routes = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap().iter().filter(|(_, operation)| operation["security"] == json!([{"operator": []}]));
        operations.map(move |(method, operation)| {
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.contains_key("401") && answers.contains_key("403"), "{method} {path}");
            (
                method.to_ascii_uppercase(),
                path.replace("{namespace}", "search").replace("{name}", "kept").replace("{id}", "p").replace("{version}", "1"),
            )
        })
    });
    let routes: Vec<(String, String)> = routes.collect();
    for granting in [("PUT", "/v1/grants/kept"), ("DELETE", "/v1/grants/kept")] {
        assert!(routes.iter().any(|(method, path)| (method.as_str(), path.as_str()) == granting), "{granting:?} is for operators");
    }
    assert_eq!(document()["components"]["securitySchemes"]["operator"]["scheme"], "bearer");
    routes
}

/// The server's own address is granted to the job, and still the job cannot grant.
#[test]
fn a_job_cannot_grant_itself_anything() {
    let (server, project) = (Server::start(), project());
    let own = json!({"kind": "http", "origin": format!("http://{}", server.address), "methods": ["GET", "PUT", "POST", "DELETE"]});
    server.operator("PUT", "/v1/grants/self", Some(&own)).ok();
    let url = format!("http://{}/v1/grants/more", server.address);
    let body = files(project.path(), "rw");
    // It reaches the server: what is for all is answered.
    let asked = job(&server, "http/get", &json!({"url": format!("http://{}/v1/grants", server.address)}));
    assert_eq!(asked["output"]["body"]["grants"][0]["name"], "self", "{asked}");
    for (tool, headers, status, error) in [
        ("http/put", json!({}), 401, "operator_token_missing"),
        ("http/put", json!({"authorization": "Bearer 0"}), 403, "operator_token_wrong"),
        ("http/delete", json!({}), 401, "operator_token_missing"),
    ] {
        let mut input = json!({"url": url, "headers": headers});
        if tool == "http/put" {
            input["body"] = body.clone();
        }
        let refused = job(&server, tool, &input);
        let detail = &refused["failure"]["detail"]["detail"];
        assert_eq!(
            (&refused["status"], &detail["status"], &detail["body"]["error"]),
            (&json!("failed"), &json!(status), &json!(error)),
            "{refused}"
        );
    }
    // Nor does a request, whoever sends it: a run, a playbook or a job has no field for it.
    let grants = json!([{"kind": "fs", "name": "more", "path": project.path(), "access": "rw"}]);
    let job = json!({"playbook_id": "p", "input": {}, "grants": grants});
    let says = server.post("/v1/jobs", &job).refused(400, "invalid_request");
    assert!(says["message"].as_str().unwrap().contains("an operator gives grants"), "{says}");
    assert_eq!(names(&server), ["self"]);
}

#[test]
fn no_job_reaches_the_token_through_its_files() {
    let data = tempfile::tempdir().unwrap();
    drop(Engine::open(&Settings::of(data.path())).unwrap());
    let holds = data.path().parent().unwrap().display().to_string();
    let inside = data.path().join("blobs").display().to_string();
    for directory in [&data.path().display().to_string(), &holds, &inside] {
        for access in ["ro", "rw"] {
            let flag = Grant::parse_flag(&format!("fs:d={directory}:{access}")).unwrap();
            let e = Engine::open(&Settings { grants: vec![flag], ..Settings::of(data.path()) }).err().unwrap();
            assert!(e.code == Code::InvalidConfiguration && e.message.contains("covers the data directory"), "{e}");
            let config = data.path().join("reprise.toml");
            for (to, says) in [("", "covers the data directory"), ("to = [\"search\"]\n", "so a tool could write its own grants")] {
                let grant = format!("[[grant]]\nkind = \"fs\"\nname = \"d\"\npath = {directory:?}\naccess = {access:?}\n{to}");
                std::fs::write(&config, grant).unwrap();
                let e = Engine::open(&Settings::of(data.path())).err().unwrap();
                let holds_the_file = access == "rw" && !directory.ends_with("blobs");
                let says = if holds_the_file { says } else { "covers the data directory" };
                assert!(e.code == Code::InvalidConfiguration && e.message.contains(says), "{e}");
            }
            std::fs::remove_file(&config).unwrap();
        }
    }
    let server = Server::start();
    for directory in [server.data(), server.data().parent().unwrap(), &server.data().join("sled")] {
        let says = server.operator("PUT", "/v1/grants/d", Some(&files(directory, "ro"))).refused(400, "invalid_configuration");
        assert!(says["message"].as_str().unwrap().contains("covers the data directory"), "{says}");
    }
    assert!(names(&server).is_empty());
}

#[test]
fn each_wrong_part_of_a_grant_is_named() {
    let (server, project) = (Server::granting(&["kv:flagged".to_owned()]), project());
    server.operator("PUT", "/v1/grants/project", Some(&files(project.path(), "rw"))).ok();
    for (name, body, place, says) in [
        ("a", json!({}), "/kind", "is missing"),
        ("a", json!({"kind": "tcp"}), "/kind", "the kinds are: \"fs\", \"http\""),
        ("a", json!({"kind": "fs"}), "/path", "missing field `path`"),
        ("a", json!({"kind": "fs", "path": "relative", "access": "ro"}), "/path", "write it from the root on"),
        ("a", json!({"kind": "fs", "path": "/no/such", "access": "ro"}), "/path", "cannot be used"),
        ("a", json!({"kind": "fs", "path": project.path(), "access": "wo"}), "/access", "is neither"),
        ("a", json!({"kind": "fs", "path": project.path(), "access": "ro", "origin": "x"}), "/origin", "has no `origin`"),
        ("a", json!({"kind": "fs", "path": project.path(), "access": "ro", "to": ["ok", "No"]}), "/to/1", "is not a namespace"),
        ("a", json!({"kind": "http", "origin": "pay.example"}), "/origin", "is not an origin"),
        ("a", json!({"kind": "http", "origin": "https://pay.example", "methods": ["GET", "TRACE"]}), "/methods/1", "is not a method"),
        ("a", json!({"kind": "http", "origin": "https://pay.example", "methods": "GET"}), "/methods", "is not a list of texts"),
        ("a", json!({"kind": "exec", "program": "sh", "directory": "project"}), "/program", "is not the absolute path"),
        ("a", json!({"kind": "env", "variable": "A", "value": ""}), "/to", "of use to tool components alone"),
        ("a", json!({"kind": "kv", "access": "rw", "name": "b"}), "", "\"name\" is not a field of a grant"),
        (".", json!({"kind": "kv", "access": "rw"}), "/name", "cannot name a grant"),
    ] {
        let path = format!("/v1/grants/{}", name.replace('.', "%2E%2E"));
        let refused = server.operator("PUT", &path, Some(&body)).refused(400, "invalid_request");
        let issue = &refused["issues"][0];
        assert!(issue["path"] == place && issue["message"].as_str().unwrap().contains(says), "{body}: {refused}");
    }
    for (name, body, status, error, says) in [
        (
            "a",
            json!({"kind": "exec", "program": "/bin/sh", "directory": "none"}),
            400,
            "invalid_configuration",
            "no grant of kind \"fs\" named \"none\"",
        ),
        ("flagged", json!({"kind": "kv", "access": "ro"}), 409, "id_conflict", "in reprise.toml or with a flag"),
    ] {
        let refused = server.operator("PUT", &format!("/v1/grants/{name}"), Some(&body)).refused(status, error);
        assert!(refused["message"].as_str().unwrap().contains(says), "{refused}");
    }
    // What another stands on is not taken away under it.
    server.operator("PUT", "/v1/grants/sh", Some(&json!({"kind": "exec", "program": "/bin/sh", "directory": "project"}))).ok();
    server.operator("DELETE", "/v1/grants/project", None).refused(409, "grant_in_use");
    server.operator("PUT", "/v1/grants/project", Some(&json!({"kind": "kv", "access": "ro"}))).refused(409, "grant_in_use");
    server.operator("DELETE", "/v1/grants/sh", None).ok();
    server.operator("DELETE", "/v1/grants/project", None).ok();
    server.operator("DELETE", "/v1/grants/flagged", None).refused(404, "grant_not_found");
}

#[test]
fn a_granted_directory_that_is_gone_is_said_to_the_operator() {
    let (server, project) = (Server::start(), project());
    let gone = project.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    server.operator("PUT", "/v1/grants/gone", Some(&files(&gone, "ro"))).ok();
    std::fs::remove_dir(&gone).unwrap();
    let listed = server.operator("GET", "/v1/grants", None).ok();
    assert!(listed["grants"][0]["problem"].as_str().unwrap().contains("cannot be opened"), "{listed}");
    assert_eq!(server.get("/v1/grants").ok()["grants"][0].get("problem"), None, "its path is nobody else's business");
    server.operator("DELETE", "/v1/grants/gone", None).ok();
}

#[test]
fn a_name_in_the_store_and_in_the_file_is_an_error_at_the_start() {
    let (data, project) = (tempfile::tempdir().unwrap(), project());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let grant = || Grant::parse_flag(&format!("fs:project={}", project.path().display())).unwrap();
    let engine = Engine::open(&Settings::of(data.path())).unwrap();
    runtime.block_on(engine.keep_grant(grant())).unwrap();
    drop(engine);
    let e = Engine::open(&Settings { grants: vec![grant()], ..Settings::of(data.path()) }).err().unwrap();
    assert!(e.code == Code::InvalidConfiguration && e.message.contains("`reprise grants remove project`"), "{e}");
}
