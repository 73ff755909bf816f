//! JSON into component values.

use serde_json::{Map, Number, Value};
use wasmtime::component::Val;

use super::place::{Count, Place};
use super::shape::{Int, Named, Shape, shortened};
use crate::error::Issue;
use crate::limits;

/// What a float can be and a JSON number cannot, by the names that stand for it.
pub(super) const NO_NUMBERS: [(&str, f64); 3] = [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

/// The greatest `f32` as it is written. As a double it is a little more than [`f32::MAX`], which is the nearest `f32` to it.
pub(super) const SINGLE_MAX: f64 = 3.402_823_5e38;

/// Up to here, a double that is whole is the number that was written; beyond, it may be its neighbour.
const DOUBLE_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Shape {
    /// A value of this type.
    ///
    /// # Errors
    /// The first place that does not fit, as a JSON pointer.
    pub fn lower(&self, value: &Value) -> Result<Val, Issue> {
        lower(self, value, &Place::Top, &mut Count::new())
    }
}

/// The fields of `input` as the arguments of a call.
pub(super) fn arguments(params: &Named<Shape>, input: &Value) -> Result<Vec<Val>, Issue> {
    let fields = fields(params, input, &Place::Top, &mut Count::new())?;
    Ok(fields.into_iter().map(|(_, value)| value).collect())
}

fn lower(shape: &Shape, value: &Value, at: &Place, count: &mut Count) -> Result<Val, Issue> {
    count.one(at)?;
    Ok(match shape {
        Shape::Bool => Val::Bool(value.as_bool().ok_or_else(|| is_not(value, "true or false", at))?),
        Shape::Int(int) => whole(*int, value, at)?,
        Shape::Float32 => Val::Float32(single(value, at)?),
        Shape::Float64 => Val::Float64(double(value, at)?),
        Shape::Char => Val::Char(character(value, at)?),
        Shape::String => Val::String(text(value, "a string", at)?.to_owned()),
        Shape::List(item) => Val::List(items(item, list(value, at)?, at, count)?),
        Shape::FixedList(item, length) => Val::FixedLengthList(items(item, exactly(*length, list(value, at)?, at)?, at, count)?),
        Shape::Map(key, of) => Val::Map(map(key, of, value, at, count)?),
        Shape::Tuple(shapes) => {
            let values = exactly(shapes.len(), list(value, at)?, at)?;
            let one = |(n, (shape, value))| lower(shape, value, &Place::Item(at, n), count);
            Val::Tuple(shapes.iter().zip(values).enumerate().map(one).collect::<Result<_, _>>()?)
        }
        Shape::Record(shapes) => Val::Record(fields(shapes, value, at, count)?),
        Shape::Variant(cases) => variant(cases, value, at, count)?,
        Shape::Enum(names) => {
            let name = text(value, "one of the names of its enum", at)?;
            names.find(name).ok_or_else(|| at.fault(unknown("name of its enum", names)))?;
            Val::Enum(name.to_owned())
        }
        Shape::Flags(names) => Val::Flags(flags(names, value, at, count)?),
        Shape::Option(inner) => match value {
            Value::Null => Val::Option(None),
            value if inner.is_option() => {
                let right = "null, or an object {\"some\": …}, since an option in an option may be null itself";
                let some = only_field(value).filter(|(name, _)| *name == "some").ok_or_else(|| is_not(value, right, at))?.1;
                Val::Option(Some(Box::new(lower(inner, some, &Place::Field(at, "some"), count)?)))
            }
            value => Val::Option(Some(Box::new(lower(inner, value, at, count)?))),
        },
        Shape::Result(ok, err) => match only_field(value) {
            Some(("ok", payload)) => Val::Result(Ok(side(ok.as_deref(), payload, &Place::Field(at, "ok"), count)?)),
            Some(("err", payload)) => Val::Result(Err(side(err.as_deref(), payload, &Place::Field(at, "err"), count)?)),
            _ => return Err(is_not(value, "an object {\"ok\": …} or {\"err\": …}", at)),
        },
    })
}

/// A record's fields in their order, or a function's parameters.
fn fields(shapes: &Named<Shape>, value: &Value, at: &Place, count: &mut Count) -> Result<Vec<(String, Val)>, Issue> {
    let object = value.as_object().ok_or_else(|| is_not(value, "an object", at))?;
    if let Some(other) = object.keys().find(|name| shapes.find(name).is_none()) {
        return Err(at.fault(format!("has the field {:?}, which {}", shortened(other), unknown("field", shapes))));
    }
    let one = |(name, shape): (&str, &Shape)| {
        let here = Place::Field(at, name);
        let value = match object.get(name) {
            Some(value) => lower(shape, value, &here, count)?,
            None if shape.is_option() => {
                count.one(&here)?;
                Val::Option(None)
            }
            None => return Err(here.fault("is missing, and not optional")),
        };
        Ok((name.to_owned(), value))
    };
    shapes.iter().map(one).collect()
}

fn items(shape: &Shape, values: &[Value], at: &Place, count: &mut Count) -> Result<Vec<Val>, Issue> {
    values.iter().enumerate().map(|(n, value)| lower(shape, value, &Place::Item(at, n), count)).collect()
}

fn map(key: &Shape, of: &Shape, value: &Value, at: &Place, count: &mut Count) -> Result<Vec<(Val, Val)>, Issue> {
    if let Shape::String = key {
        let object = value.as_object().ok_or_else(|| is_not(value, "an object", at))?;
        let one = |(name, value): (&String, &Value)| {
            count.one(at)?;
            Ok((Val::String(name.clone()), lower(of, value, &Place::Field(at, name), count)?))
        };
        return object.iter().map(one).collect();
    }
    let mut seen = std::collections::BTreeSet::new();
    let one = |(n, pair): (usize, &Value)| {
        let here = Place::Item(at, n);
        let [name, value] = exactly(2, list(pair, &here)?, &here)? else { unreachable!("two were counted") };
        let name = lower(key, name, &Place::Item(&here, 0), count)?;
        // 5, 5.0 and "5" may be one key; as it is raised, it has one form.
        if !seen.insert(key.raise(&name)?.to_string()) {
            return Err(here.fault("has a key that stands before it already"));
        }
        Ok((name, lower(of, value, &Place::Item(&here, 1), count)?))
    };
    list(value, at)?.iter().enumerate().map(one).collect()
}

fn variant(cases: &Named<Option<Shape>>, value: &Value, at: &Place, count: &mut Count) -> Result<Val, Issue> {
    let (name, payload) = match value {
        Value::String(name) => (name.as_str(), None),
        value => {
            let right = "a case: its name where it carries nothing, or an object {\"case\": …} of one field";
            only_field(value).map(|(name, payload)| (name, Some(payload))).ok_or_else(|| is_not(value, right, at))?
        }
    };
    let (_, shape) = cases.find(name).ok_or_else(|| at.fault(unknown("case", cases)))?;
    match (shape, payload) {
        (None, None) => Ok(Val::Variant(name.to_owned(), None)),
        (Some(shape), Some(payload)) => {
            Ok(Val::Variant(name.to_owned(), Some(Box::new(lower(shape, payload, &Place::Field(at, name), count)?))))
        }
        (None, Some(_)) => Err(at.fault(format!("is an object, but the case {name} carries nothing: write \"{name}\""))),
        (Some(_), None) => Err(at.fault(format!("is a name alone, but the case {name} carries a value: write {{\"{name}\": …}}"))),
    }
}

/// The names that are set, in the order in which WIT has them.
fn flags(names: &Named<()>, value: &Value, at: &Place, count: &mut Count) -> Result<Vec<String>, Issue> {
    let mut set = std::collections::BTreeMap::new();
    for (n, value) in list(value, at)?.iter().enumerate() {
        let here = Place::Item(at, n);
        count.one(&here)?;
        let name = text(value, "the name of a flag", &here)?;
        let (place, ()) = names.find(name).ok_or_else(|| here.fault(unknown("flag", names)))?;
        if set.insert(place, name.to_owned()).is_some() {
            return Err(here.fault(format!("sets {name} for the second time")));
        }
    }
    Ok(set.into_values().collect())
}

/// What one side of a `result` carries.
fn side(shape: Option<&Shape>, payload: &Value, at: &Place, count: &mut Count) -> Result<Option<Box<Val>>, Issue> {
    match shape {
        Some(shape) => Ok(Some(Box::new(lower(shape, payload, at, count)?))),
        None if payload.is_null() => Ok(None),
        None => Err(is_not(payload, "null, since this side carries nothing", at)),
    }
}

fn whole(int: Int, value: &Value, at: &Place) -> Result<Val, Issue> {
    let (least, greatest) = int.range();
    let wide = if int.is_wide() { ", or such a number as a string of decimal digits" } else { "" };
    let right = || format!("a whole number from {least} to {greatest}{wide}");
    let number = match value {
        Value::Number(number) => exact(number),
        Value::String(text) if int.is_wide() => text.parse::<i128>().ok().filter(|number| number.to_string() == *text),
        _ => return Err(is_not(value, &right(), at)),
    };
    let fits = |number: i128| {
        Some(match int {
            Int::S8 => Val::S8(number.try_into().ok()?),
            Int::U8 => Val::U8(number.try_into().ok()?),
            Int::S16 => Val::S16(number.try_into().ok()?),
            Int::U16 => Val::U16(number.try_into().ok()?),
            Int::S32 => Val::S32(number.try_into().ok()?),
            Int::U32 => Val::U32(number.try_into().ok()?),
            Int::S64 => Val::S64(number.try_into().ok()?),
            Int::U64 => Val::U64(number.try_into().ok()?),
        })
    };
    number.and_then(fits).ok_or_else(|| at.fault(format!("is not {}", right())))
}

/// A JSON number that is whole. `5.0` and `5e0` are, as JSON Schema has it, up to where a double still is what was written.
fn exact(number: &Number) -> Option<i128> {
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    let double = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
    (double.fract() == 0.0 && double.abs() <= DOUBLE_EXACT_MAX).then_some(double as i128)
}

fn double(value: &Value, at: &Place) -> Result<f64, Issue> {
    let named = |text: &str| NO_NUMBERS.iter().find(|(name, _)| *name == text).map(|(_, float)| *float);
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => named(text),
        _ => None,
    }
    .ok_or_else(|| is_not(value, "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"", at))
}

fn single(value: &Value, at: &Place) -> Result<f32, Issue> {
    let double = double(value, at)?;
    if double.is_finite() && double.abs() > SINGLE_MAX {
        return Err(at.fault(format!("is a number beyond ±{SINGLE_MAX:e}, the greatest f32")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is what an f32 is asked for")]
    Ok(double as f32)
}

fn character(value: &Value, at: &Place) -> Result<char, Issue> {
    let right = "a string of exactly one character";
    let mut chars = text(value, right, at)?.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(at.fault(format!("is not {right} (one Unicode scalar value)"))),
    }
}

fn text<'v>(value: &'v Value, right: &str, at: &Place) -> Result<&'v str, Issue> {
    value.as_str().ok_or_else(|| is_not(value, right, at))
}

fn list<'v>(value: &'v Value, at: &Place) -> Result<&'v [Value], Issue> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| is_not(value, "an array", at))
}

fn exactly<'v>(length: usize, values: &'v [Value], at: &Place) -> Result<&'v [Value], Issue> {
    match values.len() {
        there if there == length => Ok(values),
        there => Err(at.fault(format!("has {there} items where there must be {length}"))),
    }
}

/// Name and value of an object that has one field.
fn only_field(value: &Value) -> Option<(&str, &Value)> {
    let fields: &Map<String, Value> = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.iter().next().map(|(name, value)| (name.as_str(), value))
}

fn is_not(value: &Value, right: &str, at: &Place) -> Issue {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    at.fault(format!("is {is}, and must be {right}"))
}

fn unknown<T>(what: &str, known: &Named<T>) -> String {
    let names: Vec<&str> = known.names().take(limits::COMPONENT_NAMES_SHOWN_MAX).collect();
    let more = known.names().len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match names.as_slice() {
        [] => format!("is no {what}: there is none"),
        names => format!("is no {what}; there is {}{more}", names.join(", ")),
    }
}
