//! How a plan makes a value: from constants, the job's input and earlier answers, and by rules out of these.

mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, Json, text_of};
use crate::rules::{self, Failed};
pub use crate::rules::{Bump, Rule};

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
    /// What rules make of such a value, one after the other.
    Derived {
        /// Where the value comes from.
        from: Source,
        /// What is done with it.
        rules: Vec<Rule>,
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
    /// The text of what rules make of a value.
    Derived {
        /// Where the value comes from.
        from: Source,
        /// What is done with it.
        rules: Vec<Rule>,
    },
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
    /// The element that a loop is at, and below it what `pointer` (RFC 6901) names.
    Item {
        /// The id of the loop.
        each: String,
        /// Below the element; empty is the whole.
        pointer: String,
    },
    /// The date in UTC on which the job began, `YYYY-MM-DD`.
    Today,
}

/// What a template is evaluated against.
pub struct Known<'a> {
    /// The job's input.
    pub input: &'a Value,
    /// Answers so far, by step id.
    pub outputs: &'a BTreeMap<String, Value>,
    /// The element that each loop is at, by the loop's id.
    pub items: &'a BTreeMap<String, Value>,
    /// The date, `YYYY-MM-DD`, where it is known.
    pub today: Option<&'a str>,
}

impl<'a> Known<'a> {
    /// Outside of any loop, at a time that nobody knows.
    #[must_use]
    pub fn of(input: &'a Value, outputs: &'a BTreeMap<String, Value>) -> Self {
        static NONE: BTreeMap<String, Value> = BTreeMap::new();
        Known { input, outputs, items: &NONE, today: None }
    }
}

/// Why a value cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmade {
    /// There is nothing where it should come from.
    Missing(Source),
    /// There is, and it does not follow the rules.
    Underivable {
        /// Where the value comes from.
        from: Source,
        /// Which rule, and why.
        failed: Failed,
    },
}

impl Source {
    /// True for what is in no input and no answer: a loop's element, the date.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        matches!(self, Source::Item { .. } | Source::Today)
    }

    /// The value, where there is one.
    #[must_use]
    pub fn find(&self, known: &Known<'_>) -> Option<Value> {
        match self {
            Source::Parameter { name, pointer } => known.input.get(name)?.pointer(pointer).cloned(),
            Source::Output { step, pointer } => known.outputs.get(step)?.pointer(pointer).cloned(),
            Source::Item { each, pointer } => known.items.get(each)?.pointer(pointer).cloned(),
            Source::Today => known.today.map(Value::from),
        }
    }
}

impl Template {
    /// The value that a job would make. The emitted component must come to the same, which the proof checks.
    ///
    /// # Errors
    /// The first source that is not there, or that does not follow its rules.
    pub fn evaluate(&self, known: &Known<'_>) -> Result<Value, Unmade> {
        let found = |source: &Source| source.find(known).ok_or_else(|| Unmade::Missing(source.clone()));
        let derived = |from: &Source, rules: &[Rule]| {
            rules::derive(&found(from)?, rules).map_err(|failed| Unmade::Underivable { from: from.clone(), failed })
        };
        Ok(match self {
            Template::Constant(json) => json.value(),
            Template::Value(source) => found(source)?,
            Template::Either { value, default } => found(value).unwrap_or_else(|_| default.value()),
            Template::Derived { from, rules } => derived(from, rules)?,
            Template::Text(parts) => {
                let texts: Result<Vec<String>, Unmade> = parts
                    .iter()
                    .map(|part| match part {
                        Part::Literal(text) => Ok(text.clone()),
                        Part::Value(source) => found(source).map(|value| text_of(&value)),
                        Part::Derived { from, rules } => derived(from, rules).map(|value| text_of(&value)),
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
            Template::Value(source) | Template::Derived { from: source, .. } => visit(at, source, true),
            Template::Either { value, .. } => visit(at, value, false),
            Template::Text(parts) => parts.iter().for_each(|part| match part {
                Part::Literal(_) => {}
                Part::Value(source) | Part::Derived { from: source, .. } => visit(at, source, true),
            }),
            Template::Object(fields) => fields.iter().for_each(|(key, t)| t.for_each_place(&json::below(at, key), visit)),
            Template::Array(items) => items.iter().enumerate().for_each(|(n, t)| t.for_each_place(&format!("{at}/{n}"), visit)),
        }
    }

    /// Visits every list of rules in it, with the JSON pointer to where the value stands below `at`.
    pub(super) fn for_each_derivation(&self, at: &str, visit: &mut impl FnMut(&str, &Source, &[Rule])) {
        match self {
            Template::Derived { from, rules } => visit(at, from, rules),
            Template::Text(parts) => parts.iter().for_each(|part| {
                if let Part::Derived { from, rules } = part {
                    visit(at, from, rules);
                }
            }),
            Template::Object(fields) => fields.iter().for_each(|(key, t)| t.for_each_derivation(&json::below(at, key), visit)),
            Template::Array(items) => items.iter().enumerate().for_each(|(n, t)| t.for_each_derivation(&format!("{at}/{n}"), visit)),
            Template::Constant(_) | Template::Value(_) | Template::Either { .. } => {}
        }
    }

    /// True where it says more than plans of trees could: rules, a loop's element, the date.
    #[must_use]
    pub fn derives(&self) -> bool {
        let mut found = false;
        self.for_each_derivation("", &mut |_, _, _| found = true);
        self.for_each_source(&mut |source| found |= source.is_derived());
        found
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
            Template::Value(_) | Template::Derived { .. } | Template::Text(_) => 0,
            Template::Either { default, .. } => depth_of(&default.value()),
            Template::Object(fields) => 1 + fields.values().map(Template::depth).max().unwrap_or(0),
            Template::Array(items) => 1 + items.iter().map(Template::depth).max().unwrap_or(0),
        }
    }

    /// The same value with as few templates as possible: what is constant throughout becomes one constant.
    #[must_use]
    pub fn simplified(self) -> Template {
        let outputs = BTreeMap::new();
        let nothing = Known::of(&Value::Null, &outputs);
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
