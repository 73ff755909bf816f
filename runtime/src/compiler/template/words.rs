//! Templates as a person reads them.

use std::fmt;

use serde_json::Value;

use super::{Part, Rule, Source, Template, Unmade};

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Parameter { name, pointer } if name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') => {
                write!(f, "input.{name}{pointer}")
            }
            Source::Parameter { name, pointer } => write!(f, "input[{}]{pointer}", Value::from(name.as_str())),
            Source::Output { step, pointer } => write!(f, "{step}{pointer}"),
            Source::Item { each, pointer } => write!(f, "item of {each}{pointer}"),
            Source::Today => f.write_str("today"),
        }
    }
}

impl fmt::Display for Unmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmade::Missing(source) => write!(f, "there is no {source}"),
            Unmade::Underivable { from, failed } => write!(f, "{from} does not follow {failed}"),
        }
    }
}

/// `s1/stdout (its lines; piece 1 from the end, split by "=")`.
struct Derived<'a>(&'a Source, &'a [Rule]);

impl fmt::Display for Derived<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Derived(from, rules) = self;
        write!(f, "{from} (")?;
        for (at, rule) in rules.iter().enumerate() {
            write!(f, "{}{rule}", if at == 0 { "" } else { "; " })?;
        }
        f.write_str(")")
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
            Template::Derived { from, rules } => write!(f, "{}", Derived(from, rules)),
            Template::Text(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    let plus = if at == 0 { "" } else { " + " };
                    match part {
                        Part::Literal(text) => write!(f, "{plus}{}", Value::from(text.as_str()))?,
                        Part::Value(source) => write!(f, "{plus}{source}")?,
                        Part::Derived { from, rules } => write!(f, "{plus}{}", Derived(from, rules))?,
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
