//! The JSON Schema (2020-12) of a type: what a planner, a person or a form is shown.

use serde_json::{Map, Value, json};

use super::lower::{NO_NUMBERS, SINGLE_MAX};
use super::shape::{Int, Named, Shape};

/// A decimal as `lower` takes it for the wide numbers: no sign but `-`, no zero in front, at most as many digits as they have.
const DECIMAL: &str = "^(0|-?[1-9][0-9]{0,18})$";
const NATURAL: &str = "^(0|[1-9][0-9]{0,19})$";

impl Shape {
    /// The schema of this type's JSON. `lower` is a little stricter in two places where a schema cannot be: the greatest
    /// decimal in a string, and a wide number that is written with a fraction or an exponent.
    #[must_use]
    pub fn schema(&self) -> Value {
        match self {
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int(int) => of_int(*int),
            Shape::Float32 => of_float(json!({"type": "number", "minimum": -SINGLE_MAX, "maximum": SINGLE_MAX})),
            Shape::Float64 => of_float(json!({"type": "number"})),
            Shape::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            Shape::String => json!({"type": "string"}),
            Shape::List(item) => json!({"type": "array", "items": item.schema()}),
            Shape::FixedList(item, length) => {
                json!({"type": "array", "items": item.schema(), "minItems": length, "maxItems": length})
            }
            Shape::Map(key, value) => match **key {
                Shape::String => json!({"type": "object", "additionalProperties": value.schema()}),
                _ => json!({"type": "array", "items": of_tuple(&[key.schema(), value.schema()])}),
            },
            Shape::Tuple(items) => of_tuple(&items.iter().map(Shape::schema).collect::<Vec<_>>()),
            Shape::Record(fields) => of_fields(fields),
            Shape::Variant(cases) => of_cases(cases),
            Shape::Enum(names) => json!({"type": "string", "enum": names.names().collect::<Vec<_>>()}),
            Shape::Flags(names) => {
                json!({"type": "array", "items": {"enum": names.names().collect::<Vec<_>>()}, "uniqueItems": true})
            }
            Shape::Option(inner) => {
                let some = if inner.is_option() { only("some", inner.schema()) } else { inner.schema() };
                json!({"anyOf": [{"type": "null"}, some]})
            }
            Shape::Result(ok, err) => json!({"oneOf": [only("ok", of_payload(ok)), only("err", of_payload(err))]}),
        }
    }

    /// True where `null` is one of this type's values, so that an `option` around it must be told apart.
    pub(super) fn is_option(&self) -> bool {
        matches!(self, Shape::Option(_))
    }
}

/// An object with these fields and no others. What is an `option` may be left out.
pub(super) fn of_fields(fields: &Named<Shape>) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|(name, shape)| (name.to_owned(), shape.schema())).collect();
    let required: Vec<&str> = fields.iter().filter(|(_, shape)| !shape.is_option()).map(|(name, _)| name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn of_int(int: Int) -> Value {
    let (least, greatest) = int.range();
    let number = json!({"type": "integer", "minimum": least, "maximum": greatest});
    match int {
        Int::S64 => json!({"anyOf": [number, {"type": "string", "pattern": DECIMAL}]}),
        Int::U64 => json!({"anyOf": [number, {"type": "string", "pattern": NATURAL}]}),
        _ => number,
    }
}

fn of_float(number: Value) -> Value {
    json!({"anyOf": [number, {"enum": NO_NUMBERS.map(|(name, _)| name)}]})
}

fn of_tuple(items: &[Value]) -> Value {
    json!({"type": "array", "prefixItems": items, "items": false, "minItems": items.len(), "maxItems": items.len()})
}

/// Cases with a payload are objects of one field, the others are their names.
fn of_cases(cases: &Named<Option<Shape>>) -> Value {
    let bare: Vec<&str> = cases.iter().filter(|(_, payload)| payload.is_none()).map(|(name, _)| name).collect();
    let with = cases.iter().filter_map(|(name, payload)| Some(only(name, payload.as_ref()?.schema())));
    let bare = (!bare.is_empty()).then(|| json!({"type": "string", "enum": bare}));
    json!({"oneOf": bare.into_iter().chain(with).collect::<Vec<_>>()})
}

/// Of one side of a `result`: `null` where it carries nothing.
fn of_payload(payload: &Option<Box<Shape>>) -> Value {
    payload.as_ref().map_or_else(|| json!({"type": "null"}), |shape| shape.schema())
}

/// An object with this one field.
fn only(name: &str, schema: Value) -> Value {
    let properties = Map::from_iter([(name.to_owned(), schema)]);
    json!({"type": "object", "properties": properties, "required": [name], "additionalProperties": false})
}
