//! How a plan makes a value: from constants, the job's input and earlier answers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, Json, text_of};

/// How one JSON value is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// This value.
    Constant(Json),
    /// A value that is known when the job runs.
    Value(Source),
    /// A value that may not be there when the job runs, and what stands for it then.
    Either {
        /// Where the value comes from.
        value: Source,
        /// What stands there without it.
        default: Json,
    },
    /// Text put together from parts.
    Text(Vec<Part>),
    /// An object with these fields.
    Object(BTreeMap<String, Template>),
    /// A list of these elements.
    Array(Vec<Template>),
}

/// One part of a [`Template::Text`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// This text.
    Literal(String),
    /// The text of a value: a string without its quotes, anything else as JSON.
    Value(Source),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The job's input: the field `name`, and below it what `pointer` (RFC 6901) names.
    Parameter {
        /// A field of the job's input.
        name: String,
        /// Below the field; empty is the whole.
        pointer: String,
    },
    /// The answer of an earlier step, and below it what `pointer` (RFC 6901) names.
    Output {
        /// The step's id.
        step: String,
        /// Below the answer; empty is the whole.
        pointer: String,
    },
}

/// What a template is evaluated against.
pub struct Known<'a> {
    /// The job's input.
    pub input: &'a Value,
    /// Answers so far, by step id.
    pub outputs: &'a BTreeMap<String, Value>,
}

impl Source {
    fn find<'a>(&self, known: &Known<'a>) -> Option<&'a Value> {
        match self {
            Source::Parameter { name, pointer } => known.input.get(name)?.pointer(pointer),
            Source::Output { step, pointer } => known.outputs.get(step)?.pointer(pointer),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Parameter { name, pointer } if name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') => {
                write!(f, "input.{name}{pointer}")
            }
            Source::Parameter { name, pointer } => write!(f, "input[{}]{pointer}", Value::from(name.as_str())),
            Source::Output { step, pointer } => write!(f, "{step}{pointer}"),
        }
    }
}

impl Template {
    /// The value that a job would make; the source that is missing otherwise. The emitted component must
    /// come to the same, which the proof checks.
    ///
    /// # Errors
    /// The first source that is not there.
    pub fn evaluate(&self, known: &Known<'_>) -> Result<Value, Source> {
        let found = |source: &Source| source.find(known).cloned().ok_or_else(|| source.clone());
        Ok(match self {
            Template::Constant(json) => json.value(),
            Template::Value(source) => found(source)?,
            Template::Either { value, default } => found(value).unwrap_or_else(|_| default.value()),
            Template::Text(parts) => {
                let texts: Result<Vec<String>, Source> = parts
                    .iter()
                    .map(|part| match part {
                        Part::Literal(text) => Ok(text.clone()),
                        Part::Value(source) => found(source).map(|value| text_of(&value)),
                    })
                    .collect();
                Value::String(texts?.concat())
            }
            Template::Object(fields) => {
                let fields: Result<serde_json::Map<_, _>, _> = fields.iter().map(|(k, t)| Ok((k.clone(), t.evaluate(known)?))).collect();
                Value::Object(fields?)
            }
            Template::Array(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|t| t.evaluate(known)).collect();
                Value::Array(items?)
            }
        })
    }

    /// Visits every source in it.
    pub fn for_each_source(&self, visit: &mut impl FnMut(&Source)) {
        self.for_each_need(&mut |source, _| visit(source));
    }

    /// Visits every source in it; true where there is nothing else to put in its place.
    pub(super) fn for_each_need(&self, visit: &mut impl FnMut(&Source, bool)) {
        self.for_each_place("", &mut |_, source, needed| visit(source, needed));
    }

    /// As `for_each_need`, with the JSON pointer to where the source stands below `at`.
    pub(super) fn for_each_place(&self, at: &str, visit: &mut impl FnMut(&str, &Source, bool)) {
        match self {
            Template::Constant(_) => {}
            Template::Value(source) => visit(at, source, true),
            Template::Either { value, .. } => visit(at, value, false),
            Template::Text(parts) => parts.iter().for_each(|part| match part {
                Part::Literal(_) => {}
                Part::Value(source) => visit(at, source, true),
            }),
            Template::Object(fields) => fields.iter().for_each(|(key, t)| t.for_each_place(&json::below(at, key), visit)),
            Template::Array(items) => items.iter().enumerate().for_each(|(n, t)| t.for_each_place(&format!("{at}/{n}"), visit)),
        }
    }

    /// True where a value in it may be absent.
    #[must_use]
    pub fn has_default(&self) -> bool {
        let mut found = false;
        self.for_each_need(&mut |_, needed| found |= !needed);
        found
    }

    /// True where nothing in it depends on the job.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        let mut constant = true;
        self.for_each_source(&mut |_| constant = false);
        constant
    }

    /// Levels of nesting, constants included.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Template::Constant(json) => depth_of(&json.value()),
            Template::Value(_) | Template::Text(_) => 0,
            Template::Either { default, .. } => depth_of(&default.value()),
            Template::Object(fields) => 1 + fields.values().map(Template::depth).max().unwrap_or(0),
            Template::Array(items) => 1 + items.iter().map(Template::depth).max().unwrap_or(0),
        }
    }

    /// The same value with as few templates as possible: what is constant throughout becomes one constant.
    #[must_use]
    pub fn simplified(self) -> Template {
        let nothing = Known { input: &Value::Null, outputs: &BTreeMap::new() };
        match self {
            t if t.is_constant() => Template::Constant(Json::from(&t.evaluate(&nothing).expect("a constant needs no source"))),
            Template::Object(fields) => Template::Object(fields.into_iter().map(|(k, t)| (k, t.simplified())).collect()),
            Template::Array(items) => Template::Array(items.into_iter().map(Template::simplified).collect()),
            other => other,
        }
    }
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

impl Template {
    /// The template of an object's field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Template> {
        match self {
            Template::Object(fields) => fields.get(name).cloned(),
            Template::Constant(json) => json.value().get(name).map(|value| Template::Constant(value.into())),
            _ => None,
        }
    }

    /// The text with which the made string begins in every job; none where that depends on the job.
    #[must_use]
    pub fn leading_text(self) -> Option<String> {
        match self {
            Template::Constant(json) => json.value().as_str().map(str::to_owned),
            Template::Text(parts) => match parts.first() {
                Some(Part::Literal(text)) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// As a person reads it: JSON with `input.version` and `s1/json/version` where values come from, and `+`
/// between the parts of a text.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Template::Constant(json) => write!(f, "{json}"),
            Template::Value(source) => write!(f, "{source}"),
            Template::Either { value, default } => write!(f, "{value} or {default}"),
            Template::Text(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    let plus = if at == 0 { "" } else { " + " };
                    match part {
                        Part::Literal(text) => write!(f, "{plus}{}", Value::from(text.as_str()))?,
                        Part::Value(source) => write!(f, "{plus}{source}")?,
                    }
                }
                Ok(())
            }
            Template::Object(fields) => {
                f.write_str("{")?;
                for (at, (key, template)) in fields.iter().enumerate() {
                    write!(f, "{}{key}: {template}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Template::Array(items) => {
                f.write_str("[")?;
                for (at, template) in items.iter().enumerate() {
                    write!(f, "{}{template}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}
