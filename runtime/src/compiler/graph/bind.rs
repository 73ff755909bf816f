//! How a graph's JSON becomes the template of a value.
//!
//! | written | is |
//! |---|---|
//! | `{"$from": "id", "pointer": "/x"}` | what node `id` answered, and below it what the pointer names |
//! | `{"$input": "/order/id"}` | what the pointer names in the job's input |
//! | `{"$item": "id", "pointer": "/x"}` | the element that the loop `id` is at, and below it what the pointer names |
//! | `{"$today": true}` | the date on which the job began, `2026-11-20` |
//! | the first three with `"default": any` | that, where the value is not there |
//! | any of these with `"rules": [...]` | what the rules make of it, one after the other |
//! | `{"$text": ["Order ", {"$input": "/order"}]}` | text put together |
//! | `{"$literal": any}` | this very JSON, whatever its keys begin with |
//!
//! Anything else is itself. Bindings may stand anywhere inside an object or a list.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::compiler::plan::Parameter;
use crate::compiler::template::{Part, Source, Template};
use crate::error::Issue;
use crate::json::{Json, below};
use crate::limits;

const FORMS: &str = "the forms are {\"$from\": \"node id\", \"pointer\": \"/x\"}, {\"$input\": \"/x\"}, \
    {\"$item\": \"id of a loop\", \"pointer\": \"/x\"} (each with an optional \"default\"), {\"$today\": true} (all of them with optional \"rules\"), {\"$text\": [parts]} and {\"$literal\": any JSON}; write {\"$literal\": …} around an object whose keys begin with $";

/// Reads the values of one graph.
pub(super) struct Binder<'a> {
    pub parameters: &'a [Parameter],
    pub issues: &'a mut Vec<Issue>,
}

impl Binder<'_> {
    /// The template of what stands at `path`.
    pub(super) fn template(&mut self, value: &Value, path: &str) -> Template {
        self.value(value, path, 0).simplified()
    }

    /// The one source of what stands at `path`, where it is no more than a binding.
    pub(super) fn source(&mut self, value: &Value, path: &str) -> Option<Source> {
        match self.value(value, path, 0) {
            Template::Value(source) => Some(source),
            Template::Constant(_) if value.as_object().is_some_and(|fields| fields.keys().any(|key| key.starts_with('$'))) => None,
            _ => {
                self.issue(path, "a condition asks about one value: {\"$from\": …} or {\"$input\": …}, without a default".to_owned());
                None
            }
        }
    }

    fn issue(&mut self, path: &str, message: String) {
        self.issues.push(Issue { path: path.to_owned(), message });
    }

    fn value(&mut self, value: &Value, path: &str, depth: usize) -> Template {
        match value {
            Value::Object(fields) if fields.keys().any(|key| key.starts_with('$')) => self.binding(fields, path),
            Value::Object(_) | Value::Array(_) if depth > limits::LIFT_DEPTH_MAX && has_binding(value) => {
                self.issue(path, format!("bindings stand at most {} levels deep", limits::LIFT_DEPTH_MAX));
                Template::Constant(Json::from(&Value::Null))
            }
            Value::Object(fields) => {
                Template::Object(fields.iter().map(|(key, value)| (key.clone(), self.value(value, &below(path, key), depth + 1))).collect())
            }
            Value::Array(items) => {
                Template::Array(items.iter().enumerate().map(|(n, value)| self.value(value, &format!("{path}/{n}"), depth + 1)).collect())
            }
            plain => Template::Constant(Json::from(plain)),
        }
    }

    fn binding(&mut self, fields: &Map<String, Value>, path: &str) -> Template {
        let nothing = Template::Constant(Json::from(&Value::Null));
        let only = |allowed: &[&str]| fields.keys().all(|key| allowed.contains(&key.as_str()));
        if let Some(literal) = fields.get("$literal").filter(|_| only(&["$literal"])) {
            return Template::Constant(Json::from(literal));
        }
        if let Some(parts) = fields.get("$text").filter(|_| only(&["$text"])) {
            return self.text(parts, &below(path, "$text"));
        }
        let source = if let Some(from) = fields.get("$from").filter(|_| only(&["$from", "pointer", "default", "rules"])) {
            self.below(from, fields.get("pointer"), path, "$from").map(|(step, pointer)| Source::Output { step, pointer })
        } else if let Some(each) = fields.get("$item").filter(|_| only(&["$item", "pointer", "default", "rules"])) {
            self.below(each, fields.get("pointer"), path, "$item").map(|(each, pointer)| Source::Item { each, pointer })
        } else if let Some(pointer) = fields.get("$input").filter(|_| only(&["$input", "default", "rules"])) {
            if pointer.as_str() == Some("") && !fields.contains_key("default") && !fields.contains_key("rules") {
                return self.whole_input();
            }
            self.input(pointer, &below(path, "$input"))
        } else if fields.get("$today") == Some(&Value::Bool(true)) && only(&["$today", "rules"]) {
            Some(Source::Today)
        } else {
            let keys: Vec<String> = fields.keys().map(|key| format!("{key:?}")).collect();
            self.issue(path, format!("an object with the keys {} is no binding; {FORMS}", keys.join(", ")));
            None
        };
        match (source, fields.get("default"), fields.get("rules")) {
            (None, ..) => nothing,
            (Some(source), None, None) => Template::Value(source),
            (Some(value), Some(default), None) => Template::Either { value, default: Json::from(default) },
            (Some(from), None, Some(rules)) => match serde_json::from_value(rules.clone()) {
                Ok(rules) => Template::Derived { from, rules },
                Err(e) => {
                    self.issue(&below(path, "rules"), format!("these are no rules: {e}"));
                    nothing
                }
            },
            (Some(_), Some(_), Some(_)) => {
                self.issue(path, "has both a default and rules; one of them belongs here".to_owned());
                nothing
            }
        }
    }

    /// A node's id and what is meant of it.
    fn below(&mut self, id: &Value, pointer: Option<&Value>, path: &str, key: &str) -> Option<(String, String)> {
        let Some(id) = id.as_str() else {
            self.issue(&below(path, key), format!("{id} stands here; it must be a node's id"));
            return None;
        };
        let pointer = pointer.cloned().unwrap_or_else(|| Value::from(""));
        Some((id.to_owned(), self.pointer(&pointer, &below(path, "pointer"))?))
    }

    fn pointer(&mut self, value: &Value, path: &str) -> Option<String> {
        match value.as_str().filter(|text| text.is_empty() || text.starts_with('/')) {
            Some(text) => Some(text.to_owned()),
            None => {
                self.issue(path, format!("{value} is no JSON pointer, such as /customer/name; empty is the whole"));
                None
            }
        }
    }

    fn input(&mut self, value: &Value, path: &str) -> Option<Source> {
        let pointer = self.pointer(value, path)?;
        let (name, rest) = pointer.get(1..).map(|names| names.split_at(names.find('/').unwrap_or(names.len())))?;
        let name = name.replace("~1", "/").replace("~0", "~");
        if self.parameters.iter().any(|parameter| parameter.name == name) {
            return Some(Source::Parameter { name, pointer: rest.to_owned() });
        }
        let known: Vec<String> = self.parameters.iter().map(|parameter| below("", &parameter.name)).collect();
        let known = if known.is_empty() { "the graph has no parameters".to_owned() } else { format!("there are {}", known.join(", ")) };
        self.issue(path, format!("{name:?} is not among the graph's parameters; {known}"));
        None
    }

    fn whole_input(&self) -> Template {
        let field = |p: &Parameter| (p.name.clone(), Template::Value(Source::Parameter { name: p.name.clone(), pointer: String::new() }));
        Template::Object(self.parameters.iter().map(field).collect::<BTreeMap<_, _>>())
    }

    fn text(&mut self, parts: &Value, path: &str) -> Template {
        let Some(items) = parts.as_array() else {
            self.issue(path, "a list of texts and bindings belongs here".to_owned());
            return Template::Text(Vec::new());
        };
        let mut read = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{path}/{n}");
            match item {
                Value::String(text) => read.push(Part::Literal(text.clone())),
                Value::Object(_) => match self.value(item, &path, 0) {
                    Template::Value(source) => read.push(Part::Value(source)),
                    Template::Derived { from, rules } => read.push(Part::Derived { from, rules }),
                    Template::Constant(_) if item.get("$literal").is_none() => {}
                    _ => self.issue(&path, "a part of a text is a text, or a binding without a default".to_owned()),
                },
                _ => self.issue(&path, format!("{item} is neither a text nor a binding; write numbers as texts")),
            }
        }
        Template::Text(read)
    }
}

fn has_binding(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| key.starts_with('$') || has_binding(value)),
        Value::Array(items) => items.iter().any(has_binding),
        _ => false,
    }
}
