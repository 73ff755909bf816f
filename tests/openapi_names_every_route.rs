//! The OpenAPI document and the server say the same: routes, methods, and the fields that requests may have.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Map, Value, json};

use crate::support::documented::document;
use crate::support::server::Server;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A path with something in each of its parts.
fn filled(template: &str) -> String {
    let job = "0192f0c1-2345-7000-8000-000000000000";
    let part_of_a_job = ["/v1/approvals/", "/v1/calls/"].iter().any(|of| template.starts_with(of));
    let id = if part_of_a_job { format!("{job}.1") } else { job.to_owned() };
    template.replace("{namespace}", "fs").replace("{name}", "read").replace("{id}", &id).replace("{version}", "1").replace("{seq}", "1")
}

fn operations() -> Vec<(&'static str, String, &'static Value)> {
    let of_path = |(path, operations): (&'static String, &'static Value)| {
        operations.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.to_ascii_uppercase(), operation))
    };
    document()["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

#[test]
fn each_documented_route_is_there_and_takes_no_other_method() {
    let server = Server::start();
    let documented: Vec<(&str, String)> = operations().into_iter().map(|(path, method, _)| (path, method)).collect();
    assert!(documented.len() >= 24, "{documented:?}");
    for (path, _) in &documented {
        for method in METHODS {
            let known = documented.contains(&(path, method.to_owned()));
            let body = (method != "GET").then(|| b"{}".to_vec());
            let answer = server.send(method, &filled(path), &[("content-type", "application/json")], body);
            let error = if answer.is_json() { answer.json()["error"].clone() } else { Value::Null };
            assert_ne!(error, "route_not_found", "{method} {path}");
            assert_eq!(error == "method_not_allowed", !known, "{method} {path}: {error}");
            if !known {
                let allowed: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(", ").collect();
                assert!(
                    allowed.iter().all(|m| documented.contains(&(path, (*m).to_owned()))) && !allowed.is_empty(),
                    "{path}: {allowed:?}"
                );
            }
        }
    }
}

/// The other direction: the router is made in one place and from the table alone, so that a route which is not in
/// the document cannot be there.
#[test]
fn there_is_no_way_to_add_a_route_beside_the_table() {
    let http = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut sources = vec![http];
    let mut makers = Vec::new();
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for maker in [".route(", ".nest(", ".merge(", "route_service(", "nest_service("] {
            let lines = code.lines().filter(|line| line.contains(maker));
            makers.extend(lines.map(|line| format!("{}: {}", path.file_name().unwrap().to_string_lossy(), line.trim())));
        }
    }
    assert_eq!(makers, ["mod.rs: let add = |router: Router<Engine>, route: route::Route| router.route(route.path, route.handler);"]);
}

#[test]
fn the_served_document_is_whole_and_its_references_lead_somewhere() {
    let server = Server::start();
    let served = server.get("/openapi.json").ok();
    assert_eq!(served, *document());
    assert_eq!(served["openapi"], "3.1.0");
    let text = served.to_string();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\"$ref\":\"#") {
        rest = &rest[at + 9..];
        let pointer = &rest[..rest.find('"').unwrap()];
        assert!(served.pointer(pointer).is_some(), "{pointer}");
    }
    let mut ids: Vec<&Value> = operations().iter().map(|(_, _, operation)| &operation["operationId"]).collect();
    let all = ids.len();
    ids.sort_by_key(|id| id.to_string());
    ids.dedup();
    assert_eq!(ids.len(), all, "each operation has a name of its own");
}

/// Each documented field of a JSON request is really read: a value of the wrong type is an issue at that field.
#[test]
fn each_documented_field_of_a_request_is_read() {
    let server = Server::start();
    let mut tried = 0;
    for (path, method, operation) in operations() {
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
        for (field, schema) in schema["properties"].as_object().unwrap() {
            // These are read before all others, and have codes of their own.
            let own_code = [("tenant_id", "invalid_tenant_id"), ("scope", "invalid_scope")].into_iter().find(|(name, _)| name == field);
            let Some(wrong) = wrong_value(schema) else { continue };
            let body = Value::Object(Map::from_iter([(field.clone(), wrong)]));
            let token = format!("Bearer {}", server.operator_token());
            let content = [("content-type", "application/json"), ("authorization", token.as_str())];
            let answer = server.send(&method, &filled(path), &content, Some(body.to_string().into_bytes()));
            tried += 1;
            match own_code {
                Some((_, code)) => drop(answer.refused(400, code)),
                None => {
                    let envelope = answer.json();
                    let places: Vec<&str> =
                        envelope["issues"].as_array().into_iter().flatten().filter_map(|i| i["path"].as_str()).collect();
                    let within = format!("/{field}");
                    assert!(
                        places.iter().any(|place| *place == within || place.starts_with(&format!("{within}/"))),
                        "{path} {field}: {envelope}"
                    );
                }
            }
        }
    }
    assert!(tried > 50, "only {tried} fields were tried");
}

/// A value that does not fit; none where anything does.
fn wrong_value(schema: &Value) -> Option<Value> {
    let takes = |kind: &str| match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(several) => several.iter().any(|one| one == kind),
        _ => true,
    };
    [("boolean", json!(true)), ("integer", json!(7))].into_iter().find_map(|(kind, value)| (!takes(kind)).then_some(value))
}
