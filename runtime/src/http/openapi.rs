//! The OpenAPI 3.1 document, made from the table of routes.
//!
//! Answers are described by the types that write them; requests, which are read field by field, by a list of
//! [`Field`]s. A test sends each of these fields a wrong value and expects to hear of it, and every answer that a
//! test gets is held against the document, so that it cannot drift from the code.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::bearer;
use super::envelope::{Envelope, status};
use super::route::{Gives, Route, Takes};
use crate::error::Code;
use crate::limits;

/// The security scheme of routes that are for operators.
const OPERATOR: &str = "operator";

/// Named schemas that answers refer to.
#[derive(Default)]
pub(super) struct Components(BTreeMap<String, Value>);

/// Describes an answer; named parts go to the components.
pub(super) type Shape = fn(&mut Components) -> Value;

/// The schema of an answer's type.
pub(super) fn of<T: ToSchema>(components: &mut Components) -> Value {
    let mut found: Vec<(String, RefOr<Schema>)> = vec![(T::name().into_owned(), <T as PartialSchema>::schema())];
    T::schemas(&mut found);
    components.0.extend(found.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).expect("a schema prints"))));
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// One field of a request.
pub(super) struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
    about: &'static str,
}

/// What a field may hold.
pub(super) enum Kind {
    /// 1 to 10,000 characters.
    Text,
    /// An id that the client chooses.
    Id,
    /// A job's id, a version's number and the like, as an answer gave it.
    Given,
    /// 64 hex digits.
    Digest,
    /// From 1.
    Index,
    /// From 0.
    Count,
    Flag,
    Any,
    Object,
    Objects,
    TextsOrObjects,
    TextOrObject,
    /// An object whose fields have this schema.
    Map(Value),
    OneOf(Vec<&'static str>),
    /// A list of these words.
    SomeOf(Vec<&'static str>),
    /// A list of texts.
    Texts,
    Fields(Vec<Field>),
    /// What a type of its own reads.
    Of(Shape),
}

/// A field that may be left out.
pub(super) fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

/// A field that must be there.
pub(super) fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

/// The words of a choice.
pub(super) fn words<T>(names: &[(&'static str, T)]) -> Kind {
    Kind::OneOf(names.iter().map(|(word, _)| *word).collect())
}

/// Whose it is, on every route about one tenant and scope.
fn space(with_actor: bool) -> Vec<Field> {
    let mut fields = vec![
        field("tenant_id", Kind::Id, "The tenant; `default` where it is left out."),
        field("scope", Kind::Id, "The scope within the tenant; `default` where it is left out."),
    ];
    if with_actor {
        fields.push(field("actor", Kind::Id, "Who sends this, as they say."));
    }
    fields
}

impl Kind {
    fn schema(&self, components: &mut Components) -> Value {
        let words = |words: &[&str]| json!({"type": "string", "enum": words});
        match self {
            Kind::Text => json!({"type": "string", "minLength": 1, "maxLength": limits::TEXT_CHARS_MAX}),
            Kind::Id => json!({"type": "string", "minLength": 1, "maxLength": limits::SCOPE_CHARS_MAX}),
            Kind::Given => json!({"type": "string"}),
            Kind::Digest => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
            Kind::Index => json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}),
            Kind::Count => json!({"type": "integer", "minimum": 0}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Any => json!({}),
            Kind::Object => json!({"type": "object"}),
            Kind::Objects => json!({"type": "array", "maxItems": limits::STEP_LIST_MAX, "items": {"type": "object"}}),
            Kind::TextsOrObjects => json!({"type": "array", "maxItems": limits::STEP_LIST_MAX, "items": {"type": ["string", "object"]}}),
            Kind::TextOrObject => json!({"type": ["string", "object"]}),
            Kind::Map(schema) => json!({"type": "object", "additionalProperties": schema}),
            Kind::OneOf(names) => words(names),
            Kind::SomeOf(names) => json!({"type": "array", "minItems": 1, "maxItems": names.len(), "items": words(names)}),
            Kind::Texts => json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
            Kind::Fields(fields) => object(fields, components),
            Kind::Of(shape) => shape(components),
        }
    }
}

fn object(fields: &[Field], components: &mut Components) -> Value {
    let described = |field: &Field| {
        let mut schema = field.kind.schema(components);
        schema.as_object_mut().expect("every kind is an object").insert("description".to_owned(), field.about.into());
        (field.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = fields.iter().map(described).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// The whole document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut components = Components::default();
    let envelope = of::<Envelope<'static>>(&mut components);
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let operation = operation(route, &envelope, &mut components);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Reprise",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Recorded agent runs become sandboxed, durable playbooks.",
            "description": "Every answer that is no success is an Envelope; branch on its `error`. Every answer carries `x-request-id`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components.0,
            "securitySchemes": {
                OPERATOR: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What only an operator may ask. The token is the text of the file `operator.token` in the data directory.",
                },
            },
        },
    })
}

fn operation(route: &Route, envelope: &Value, components: &mut Components) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters(route, components),
        "responses": responses(route, envelope, components),
    });
    if route.for_operators {
        operation["security"] = json!([{OPERATOR: []}]);
    }
    let content = match &route.takes {
        Takes::Nothing => return operation,
        Takes::Component => {
            let bytes = json!({"schema": {"type": "string", "format": "binary"}});
            json!({"application/wasm": bytes, "application/octet-stream": bytes})
        }
        Takes::Json(fields) => {
            let mut schema = object(fields, components);
            let space = object(&space(true), components);
            let properties = schema["properties"].as_object_mut().expect("object() makes one");
            properties.extend(space["properties"].as_object().cloned().unwrap_or_default());
            json!({"application/json": {"schema": schema}})
        }
    };
    operation["requestBody"] = json!({"required": true, "content": content});
    operation
}

/// What stands in the path and in the query.
fn parameters(route: &Route, components: &mut Components) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| {
        let kind = if name == "version" { Kind::Index } else { Kind::Given };
        json!({"name": name, "in": "path", "required": true, "schema": kind.schema(&mut Components::default())})
    });
    let space = if route.in_space && !matches!(route.takes, Takes::Json(_)) { space(false) } else { Vec::new() };
    let mut in_query = |field: &Field| json!({"name": field.name, "in": "query", "required": field.required, "description": field.about, "schema": field.kind.schema(components)});
    in_path.chain(route.query.iter().chain(&space).map(&mut in_query)).collect()
}

/// Successes by status; failures by status with their codes; anything else under `default`.
fn responses(route: &Route, envelope: &Value, components: &mut Components) -> Value {
    let mut responses = Map::new();
    for (status, when, gives) in &route.gives {
        let content = match gives {
            Gives::Json(shape) => json!({"application/json": {"schema": shape(components)}}),
            Gives::JsonOrEvents(shape) => {
                let events = "`id`: an entry's seq, `event`: its kind, `data`: the entry. At last `event: end` with the job's status.";
                json!({
                    "application/json": {"schema": shape(components)},
                    "text/event-stream": {"schema": {"type": "string", "description": events}},
                })
            }
            Gives::Component => json!({"application/wasm": {"schema": {"type": "string", "format": "binary"}}}),
            Gives::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
        };
        responses.insert(status.to_string(), json!({"description": when, "content": content}));
    }
    let mut failures: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in route.fails.iter().chain(if route.for_operators { bearer::REFUSALS } else { &[] }) {
        failures.entry(status(code.class()).as_u16()).or_default().push(format!("`{}`: {}", code.as_str(), code.meaning()));
    }
    let failure = |description: String| json!({"description": description, "content": {"application/json": {"schema": envelope}}});
    for (status, codes) in failures {
        responses.insert(status.to_string(), failure(codes.join("\n\n")));
    }
    let any: Vec<&str> =
        [Code::InvalidRequest, Code::StoreUnavailable, Code::StorePoisoned, Code::InternalError].map(Code::as_str).to_vec();
    responses.insert("default".to_owned(), failure(format!("Any other failure, such as {}.", any.join(", "))));
    Value::Object(responses)
}
