//! Holds an answer against the OpenAPI document: it must fit the schema, and have no field that the schema leaves out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(reprise::http::openapi);
/// By the schema's text.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The whole document.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Fails unless `body` is what the document says that this request may be answered with.
pub fn check(method: &str, path: &str, status: u16, body: &Value) {
    let schema = schema_of(method, path, status);
    let whole = json!({"allOf": [schema], "components": DOCUMENT["components"]});
    let validator = Arc::clone(
        VALIDATORS.lock().unwrap().entry(schema.to_string()).or_insert_with(|| Arc::new(jsonschema::validator_for(&whole).unwrap())),
    );
    let misfits: Vec<String> = validator.iter_errors(body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(misfits.is_empty(), "{method} {path} {status} is not as documented: {misfits:#?}\n{body:#}");
    let unknown = undocumented(schema, body, "");
    assert!(unknown.is_empty(), "{method} {path} {status} has fields that are not documented: {unknown:?}");
}

/// The schema of this answer; an error's where the path is no route.
fn schema_of(method: &str, path: &str, status: u16) -> &'static Value {
    let path = path.split('?').next().unwrap();
    let operation = DOCUMENT["paths"]
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(template, operations)| fits(template, path).then(|| operations.get(method.to_ascii_lowercase())).flatten());
    let Some(operation) = operation else {
        assert!(status >= 400, "{method} {path} is not documented and answers {status}");
        return &DOCUMENT["components"]["schemas"]["Envelope"];
    };
    let responses = &operation["responses"];
    let documented = responses.get(status.to_string());
    assert!(documented.is_some() || status >= 400, "{method} {path} does not document {status}");
    &documented.unwrap_or(&responses["default"])["content"]["application/json"]["schema"]
}

/// True where `template` with its `{parts}` filled in is `path`. A route without parts wins, since axum says so.
pub fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t.starts_with('{') || t == p)
}

/// Places of `value` that `schema` does not speak of.
fn undocumented(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let alternatives = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(name)?.as_array());
    if let Some(alternatives) = alternatives {
        let mut complaints = alternatives.iter().map(|schema| undocumented(schema, value, at));
        return complaints.clone().find(Vec::is_empty).unwrap_or_else(|| complaints.next().unwrap_or_default());
    }
    match value {
        Value::Array(items) => {
            let Some(schema) = resolved(schema).get("items") else { return Vec::new() };
            items.iter().enumerate().flat_map(|(n, item)| undocumented(schema, item, &format!("{at}/{n}"))).collect()
        }
        Value::Object(fields) => {
            let Some(properties) = properties(schema) else { return Vec::new() };
            let of_field = |(name, value): (&String, &Value)| match properties.get(name) {
                Some(schema) => undocumented(schema, value, &format!("{at}/{name}")),
                None => vec![format!("{at}/{name}")],
            };
            fields.iter().flat_map(of_field).collect()
        }
        _ => Vec::new(),
    }
}

/// Every property that the schema and its parts have; none where it allows any.
fn properties(schema: &Value) -> Option<HashMap<String, &Value>> {
    let schema = resolved(schema);
    if schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false)) {
        return None;
    }
    let own = schema.get("properties").and_then(Value::as_object);
    let parts = schema.get("allOf").and_then(Value::as_array);
    if own.is_none() && parts.is_none() {
        return None;
    }
    let mut all: HashMap<String, &Value> = own.into_iter().flatten().map(|(name, schema)| (name.clone(), schema)).collect();
    for part in parts.into_iter().flatten() {
        all.extend(properties(part)?);
    }
    Some(all)
}

fn resolved(schema: &Value) -> &Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => DOCUMENT.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not in the document")),
        None => schema,
    }
}
