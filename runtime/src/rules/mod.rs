//! Small pure steps from one JSON value to another: a piece of a text, the next version, another day.
//!
//! A compiled playbook says with them how a value is made out of one that is known, and the same code runs where a plan
//! is evaluated and where the host answers `data.derive`. It knows neither plans nor guests. It must stay true that every
//! rule is total, an error being an answer too, and that no rule makes more than its bound: who writes the rules, and what
//! they are applied to, may be anyone.

mod numbers;
mod texts;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, text_of};
use crate::limits;

/// One step from a value to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Text that is JSON -> the value it stands for.
    Json,
    /// What this JSON pointer (RFC 6901) names.
    Pointer(String),
    /// List -> the list of what this JSON pointer names in each of its elements.
    Pluck(String),
    /// What stands in the text after the first `after`, up to the next `before`.
    #[serde(rename_all = "snake_case")]
    Between {
        /// Empty: from the start.
        after: String,
        /// Empty: to the end.
        before: String,
    },
    /// One of the pieces into which the text is split.
    Piece {
        /// What stands between two pieces; empty: white space, however much.
        by: String,
        /// Counted from 0; below 0 from the end, -1 being the last.
        at: i32,
    },
    /// Text -> its lines, without their ends.
    Lines,
    /// Text -> the list of the pieces between this; empty: white space, however much.
    Split(String),
    /// List -> one text, with this between the texts of its elements.
    Join(String),
    /// In lower case.
    Lower,
    /// In upper case.
    Upper,
    /// Without white space at its ends.
    Trim,
    /// The text with every `from` replaced.
    Replace {
        /// What is replaced, not empty.
        from: String,
        /// What stands there then.
        to: String,
    },
    /// The next version after one of three numbers; a leading `v` stays.
    Bump(Bump),
    /// A whole number and so much more; a text of digits stays a text with its leading zeros.
    Add(i64),
    /// A date `YYYY-MM-DD` and so many days more; a time behind it stays.
    Days(i64),
    /// Milliseconds since the Unix epoch -> their date in UTC, `YYYY-MM-DD`.
    Date,
    /// A value -> its text: a string as it is, anything else as JSON.
    Text,
    /// How many elements, fields or characters it has.
    Count,
    /// The value itself, where there is something in it; an empty text, list or object fails.
    Filled,
}

/// Which number of a version is the next one; those behind it become 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bump {
    /// The first.
    Major,
    /// The second.
    Minor,
    /// The third.
    Patch,
}

/// Which rule could not be followed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its place in the list, from 0.
    pub at: usize,
    /// In words.
    pub rule: String,
    /// What was wrong with the value it was given.
    pub why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} ({}): {}", self.at + 1, self.rule, self.why)
    }
}

/// What the rules make of `value`, one after the other.
///
/// # Errors
/// The first rule that could not be followed.
pub fn derive(value: &Value, rules: &[Rule]) -> Result<Value, Failed> {
    paid(value, rules, |_| Ok::<(), std::convert::Infallible>(())).unwrap_or_else(|never| match never {})
}

/// As [`derive`]; before each rule, and for the result, `pay` is told how many bytes of JSON are about to be looked at.
///
/// # Errors
/// What `pay` says; and within, as [`derive`].
pub fn paid<E>(value: &Value, rules: &[Rule], mut pay: impl FnMut(usize) -> Result<(), E>) -> Result<Result<Value, Failed>, E> {
    let mut current = value.clone();
    for (at, rule) in rules.iter().enumerate() {
        pay(weight(&current))?;
        let made = rule.apply(&current).and_then(|made| if weight(&made) > limits::JSON_BYTES_MAX { Err(too_much()) } else { Ok(made) });
        match made {
            Ok(made) => current = made,
            Err(why) => return Ok(Err(Failed { at, rule: rule.to_string(), why })),
        }
    }
    pay(weight(&current))?;
    Ok(Ok(current))
}

/// What is wrong with a list of rules before it is applied to anything: the place, and what would be right.
#[must_use]
pub fn fault(rules: &[Rule]) -> Option<(usize, String)> {
    if rules.len() > limits::RULES_MAX {
        return Some((limits::RULES_MAX, format!("{} rules; at most {}", rules.len(), limits::RULES_MAX)));
    }
    rules.iter().enumerate().find_map(|(at, rule)| rule.fault().map(|message| (at, message)))
}

impl Rule {
    /// What it makes of `value`.
    ///
    /// # Errors
    /// Why it makes nothing of it.
    pub fn apply(&self, value: &Value) -> Result<Value, String> {
        Ok(match self {
            Rule::Json => json::parse(text(value)?.as_bytes()).map_err(|e| format!("{} is not JSON: {}", shown(value), e.message))?,
            Rule::Pointer(pointer) => value.pointer(pointer).cloned().ok_or_else(|| format!("{} has no {pointer}", shown(value)))?,
            Rule::Pluck(pointer) => pluck(value, pointer)?,
            Rule::Between { after, before } => texts::between(text(value)?, after, before)?.into(),
            Rule::Piece { by, at } => texts::piece(text(value)?, by, *at)?.into(),
            Rule::Lines => texts::list(text(value)?.lines())?,
            Rule::Split(by) => texts::list(texts::pieces(text(value)?, by))?,
            Rule::Join(with) => texts::join(value, with)?.into(),
            Rule::Lower => text(value)?.to_lowercase().into(),
            Rule::Upper => text(value)?.to_uppercase().into(),
            Rule::Trim => text(value)?.trim().into(),
            Rule::Replace { from, to } => texts::replace(text(value)?, from, to)?.into(),
            Rule::Bump(which) => numbers::bump(text(value)?, *which)?.into(),
            Rule::Add(n) => numbers::add(value, *n)?,
            Rule::Days(n) => numbers::days(text(value)?, *n)?.into(),
            Rule::Date => numbers::date(value)?.into(),
            Rule::Text => text_of(value).into(),
            Rule::Count => match value {
                Value::Array(items) => items.len().into(),
                Value::Object(fields) => fields.len().into(),
                Value::String(text) => text.chars().count().into(),
                _ => return Err(format!("{} is neither list nor object nor text", shown(value))),
            },
            Rule::Filled => {
                let empty = match value {
                    Value::Array(items) => items.is_empty(),
                    Value::Object(fields) => fields.is_empty(),
                    Value::String(text) => text.is_empty(),
                    _ => false,
                };
                if empty { return Err("there is nothing in it".to_owned()) } else { value.clone() }
            }
        })
    }

    fn fault(&self) -> Option<String> {
        let texts: &[&String] = match self {
            Rule::Pointer(text) | Rule::Pluck(text) | Rule::Split(text) | Rule::Join(text) | Rule::Piece { by: text, .. } => &[text],
            Rule::Between { after, before } => &[after, before],
            Rule::Replace { from, to } => &[from, to],
            _ => &[],
        };
        let most = limits::RULE_TEXT_BYTES_MAX;
        if let Some(long) = texts.iter().find(|text| text.len() > most) {
            return Some(format!("a text of {} bytes; at most {most}", long.len()));
        }
        match self {
            Rule::Pointer(pointer) | Rule::Pluck(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
                Some(format!("{pointer:?} is not a JSON pointer"))
            }
            Rule::Replace { from, .. } if from.is_empty() => Some("there is nothing to replace".to_owned()),
            _ => None,
        }
    }
}

/// As it stands in the words of a plan.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| Value::from(text).to_string();
        let by = |by: &str| if by.is_empty() { "white space".to_owned() } else { quoted(by) };
        match self {
            Rule::Json => f.write_str("read as JSON"),
            Rule::Pointer(pointer) => write!(f, "at {pointer}"),
            Rule::Pluck(pointer) => write!(f, "of each element {pointer}"),
            Rule::Between { after, before } => match (after.as_str(), before.as_str()) {
                ("", "") => f.write_str("all of it"),
                (after, "") => write!(f, "after {}", quoted(after)),
                ("", before) => write!(f, "before {}", quoted(before)),
                (after, before) => write!(f, "between {} and {}", quoted(after), quoted(before)),
            },
            Rule::Piece { by: between, at } if *at < 0 => {
                write!(f, "piece {} from the end, split by {}", i64::from(*at).unsigned_abs(), by(between))
            }
            Rule::Piece { by: between, at } => write!(f, "piece {}, split by {}", i64::from(*at) + 1, by(between)),
            Rule::Lines => f.write_str("its lines"),
            Rule::Split(between) => write!(f, "split by {}", by(between)),
            Rule::Join(with) => write!(f, "joined with {}", quoted(with)),
            Rule::Lower => f.write_str("in lower case"),
            Rule::Upper => f.write_str("in upper case"),
            Rule::Trim => f.write_str("without white space at its ends"),
            Rule::Replace { from, to } => write!(f, "with {} for {}", quoted(to), quoted(from)),
            Rule::Bump(Bump::Major) => f.write_str("the next major version"),
            Rule::Bump(Bump::Minor) => f.write_str("the next minor version"),
            Rule::Bump(Bump::Patch) => f.write_str("the next patch version"),
            Rule::Add(n) if *n < 0 => write!(f, "minus {}", n.unsigned_abs()),
            Rule::Add(n) => write!(f, "plus {n}"),
            Rule::Days(n) if *n < 0 => write!(f, "{} days before", n.unsigned_abs()),
            Rule::Days(n) => write!(f, "{n} days later"),
            Rule::Date => f.write_str("its date"),
            Rule::Text => f.write_str("as text"),
            Rule::Count => f.write_str("how many"),
            Rule::Filled => f.write_str("not empty"),
        }
    }
}

fn pluck(value: &Value, pointer: &str) -> Result<Value, String> {
    let items = value.as_array().ok_or_else(|| format!("{} is no list", shown(value)))?;
    let of = |(at, item): (usize, &Value)| {
        item.pointer(pointer).cloned().ok_or_else(|| format!("element {at}, {}, has no {pointer}", shown(item)))
    };
    items.iter().enumerate().map(of).collect()
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{} is no text", shown(value)))
}

fn too_much() -> String {
    format!("it comes to more than {} bytes", limits::JSON_BYTES_MAX)
}

/// About the bytes that a value takes as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| weight(item) + 1).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(key, field)| key.len() + 4 + weight(field)).sum::<usize>(),
    }
}

/// The beginning of a value, for messages.
fn shown(value: &Value) -> String {
    // A long text is cut before it is printed: a message is not worth a copy of a megabyte.
    let text = match value {
        Value::String(text) => Value::from(text.chars().take(limits::RULE_VALUE_SHOWN_CHARS).collect::<String>()).to_string(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object of {}", fields.len()),
        other => other.to_string(),
    };
    let cut = value.as_str().is_some_and(|text| text.chars().nth(limits::RULE_VALUE_SHOWN_CHARS).is_some());
    if cut { format!("{text}…") } else { text }
}

#[cfg(test)]
mod tests;
