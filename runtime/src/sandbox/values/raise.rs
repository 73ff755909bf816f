//! Component values into JSON.

use serde_json::{Map, Value, json};
use wasmtime::component::Val;

use super::lower::NO_NUMBERS;
use super::place::{Count, Place};
use super::shape::Shape;
use crate::error::Issue;

impl Shape {
    /// The JSON of a value of this type. Every value has one form.
    ///
    /// # Errors
    /// Where the value holds more places than a value may, or is not of this type, which would be the engine's mistake.
    pub fn raise(&self, value: &Val) -> Result<Value, Issue> {
        raise(self, value, &Place::Top, &mut Count::new())
    }
}

fn raise(shape: &Shape, value: &Val, at: &Place, count: &mut Count) -> Result<Value, Issue> {
    count.one(at)?;
    Ok(match (shape, value) {
        (Shape::Bool, Val::Bool(value)) => json!(value),
        (Shape::Int(_), Val::S8(value)) => json!(value),
        (Shape::Int(_), Val::U8(value)) => json!(value),
        (Shape::Int(_), Val::S16(value)) => json!(value),
        (Shape::Int(_), Val::U16(value)) => json!(value),
        (Shape::Int(_), Val::S32(value)) => json!(value),
        (Shape::Int(_), Val::U32(value)) => json!(value),
        (Shape::Int(_), Val::S64(value)) => json!(value),
        (Shape::Int(_), Val::U64(value)) => json!(value),
        (Shape::Float32, Val::Float32(value)) => of_single(*value),
        (Shape::Float64, Val::Float64(value)) => of_double(*value),
        (Shape::Char, Val::Char(value)) => json!(value),
        (Shape::String, Val::String(value)) => json!(value),
        (Shape::List(item), Val::List(values)) => items(item, values, at, count)?,
        (Shape::FixedList(item, length), Val::FixedLengthList(values)) if values.len() == *length => items(item, values, at, count)?,
        (Shape::Map(key, of), Val::Map(pairs)) => map(key, of, pairs, at, count)?,
        (Shape::Tuple(shapes), Val::Tuple(values)) if shapes.len() == values.len() => {
            let one = |(n, (shape, value))| raise(shape, value, &Place::Item(at, n), count);
            Value::Array(shapes.iter().zip(values).enumerate().map(one).collect::<Result<_, _>>()?)
        }
        (Shape::Record(shapes), Val::Record(values)) if shapes.names().eq(values.iter().map(|(name, _)| name)) => {
            let one = |((name, shape), (_, value)): ((&str, &Shape), &(String, Val))| {
                Ok((name.to_owned(), raise(shape, value, &Place::Field(at, name), count)?))
            };
            Value::Object(shapes.iter().zip(values).map(one).collect::<Result<_, Issue>>()?)
        }
        (Shape::Variant(cases), Val::Variant(name, payload)) => match (cases.find(name), payload) {
            (Some((_, None)), None) => json!(name),
            (Some((_, Some(shape))), Some(value)) => only(name, raise(shape, value, &Place::Field(at, name), count)?),
            _ => return Err(foreign(at)),
        },
        (Shape::Enum(names), Val::Enum(name)) if names.find(name).is_some() => json!(name),
        (Shape::Flags(names), Val::Flags(set)) if set.iter().all(|name| names.find(name).is_some()) => json!(set),
        (Shape::Option(_), Val::Option(None)) => Value::Null,
        (Shape::Option(inner), Val::Option(Some(value))) if inner.is_option() => {
            only("some", raise(inner, value, &Place::Field(at, "some"), count)?)
        }
        (Shape::Option(inner), Val::Option(Some(value))) => raise(inner, value, at, count)?,
        (Shape::Result(ok, _), Val::Result(Ok(payload))) => only("ok", side(ok.as_deref(), payload.as_deref(), at, count)?),
        (Shape::Result(_, err), Val::Result(Err(payload))) => only("err", side(err.as_deref(), payload.as_deref(), at, count)?),
        _ => return Err(foreign(at)),
    })
}

fn items(shape: &Shape, values: &[Val], at: &Place, count: &mut Count) -> Result<Value, Issue> {
    values.iter().enumerate().map(|(n, value)| raise(shape, value, &Place::Item(at, n), count)).collect()
}

/// Where a guest gives a key twice, the later value counts: so the component model has it.
fn map(key: &Shape, of: &Shape, pairs: &[(Val, Val)], at: &Place, count: &mut Count) -> Result<Value, Issue> {
    if let Shape::String = key {
        let one = |(name, value): &(Val, Val)| match name {
            Val::String(name) => Ok((name.clone(), raise(of, value, &Place::Field(at, name), count)?)),
            _ => Err(foreign(at)),
        };
        return Ok(Value::Object(pairs.iter().map(one).collect::<Result<_, Issue>>()?));
    }
    let mut list: Vec<Value> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for (n, (name, value)) in pairs.iter().enumerate() {
        let here = Place::Item(at, n);
        let name = raise(key, name, &Place::Item(&here, 0), count)?;
        let value = raise(of, value, &Place::Item(&here, 1), count)?;
        match places.get(&name.to_string()) {
            Some(place) => list[*place] = json!([name, value]),
            None => {
                places.insert(name.to_string(), list.len());
                list.push(json!([name, value]));
            }
        }
    }
    Ok(Value::Array(list))
}

fn side(shape: Option<&Shape>, payload: Option<&Val>, at: &Place, count: &mut Count) -> Result<Value, Issue> {
    match (shape, payload) {
        (Some(shape), Some(value)) => raise(shape, value, at, count),
        (None, None) => Ok(Value::Null),
        _ => Err(foreign(at)),
    }
}

fn of_double(float: f64) -> Value {
    if float.is_nan() {
        return json!("NaN");
    }
    match NO_NUMBERS.iter().find(|(_, other)| *other == float) {
        Some((name, _)) => json!(name),
        None => json!(float),
    }
}

/// With the shortest decimal that is read as this f32: what was sent as 3.14 is 3.14, not 3.140000104904175.
fn of_single(float: f32) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "asks whether it comes to the same")]
    let same = |double: &f64| (*double as f32).to_bits() == float.to_bits();
    of_double(float.to_string().parse::<f64>().ok().filter(same).unwrap_or_else(|| f64::from(float)))
}

/// An object with this one field.
fn only(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn foreign(at: &Place) -> Issue {
    at.fault("is not of the type that the component says it has")
}
