//! One field of a job's input: what may stand there, and what stands there where nothing was given.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, Json};
use crate::limits;

/// One field of a job's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The field's name.
    pub name: String,
    /// JSON Schema of its value: `type`, and perhaps `enum` and `description`.
    pub schema: Json,
    /// The value it had in the source run.
    pub sample: Json,
    /// What stands for it where a job's input lacks it; none: it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "json::there")]
    pub default: Option<Json>,
}

/// The types that a parameter can have.
const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "null"];

impl Parameter {
    /// A parameter that must be given and of which only the type is known, as JSON Schema calls it.
    #[must_use]
    pub fn required(name: String, ty: &str, sample: Json) -> Self {
        Parameter { name, schema: Json::from(&serde_json::json!({ "type": ty })), sample, default: None }
    }

    /// True where it must be given, and nothing but its type is known.
    pub(super) fn is_plain(&self) -> bool {
        self.default.is_none() && self.schema.value().as_object().is_some_and(|fields| fields.len() == 1)
    }

    /// What is wrong with it: where below the parameter, and what would be right. A plan may come from anyone, and its
    /// schemas are checked against every job's input: no more than a type and some values, so that checking costs nothing.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let schema = self.schema.value();
        let form = || {
            format!(
                "{} is not of the form {{\"type\": one of {}}}, with \"enum\" and \"description\" where wanted",
                self.schema,
                TYPES.join(", ")
            )
        };
        let Some((fields, ty)) = schema.as_object().zip(schema["type"].as_str()).filter(|(_, ty)| TYPES.contains(ty)) else {
            return Some(("/schema", form()));
        };
        if fields.keys().any(|key| !["type", "enum", "description"].contains(&key.as_str())) {
            return Some(("/schema", form()));
        }
        let long = |value: &Value| value.as_str().is_none_or(|text| text.chars().count() > limits::TEXT_CHARS_MAX);
        if fields.get("description").is_some_and(long) {
            return Some(("/schema/description", format!("not a text of at most {} characters", limits::TEXT_CHARS_MAX)));
        }
        if let Some(fault) = fields.get("enum").and_then(|values| listed(values, ty)) {
            return Some(("/schema/enum", fault));
        }
        let default = self.default.as_ref()?.value();
        if !has_type(&default, ty) {
            return Some(("/default", format!("{} is no {ty}", Json::from(&default))));
        }
        let values = fields.get("enum").and_then(Value::as_array)?;
        let missing = !values.contains(&default);
        missing.then(|| ("/default", format!("{} is none of those in \"enum\"", Json::from(&default))))
    }

    /// The schema as a client sees it.
    pub(super) fn schema_with_default(&self) -> Value {
        let mut schema = self.schema.value();
        if let (Some(fields), Some(default)) = (schema.as_object_mut(), &self.default) {
            fields.insert("default".to_owned(), default.value());
        }
        schema
    }
}

/// What is wrong with the values of an `enum`.
fn listed(values: &Value, ty: &str) -> Option<String> {
    let most = limits::PARAMETER_VALUES_MAX;
    let Some(values) = values.as_array().filter(|values| !values.is_empty() && values.len() <= most) else {
        return Some(format!("not a list of 1 to {most} values"));
    };
    values.iter().find(|value| !has_type(value, ty)).map(|value| format!("{} is no {ty}", Json::from(value)))
}

/// True where JSON Schema says that `value` is of this type.
fn has_type(value: &Value, ty: &str) -> bool {
    match ty {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    }
}
