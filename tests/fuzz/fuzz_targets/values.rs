//! Any type, and JSON that nearly fits it: what is taken fits the schema, and comes back as it went.

#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use reprise::sandbox::{Int, Named, Shape};
use serde_json::{Map, Number, Value, json};
use wasmtime::component::Val;

fuzz_target!(|bytes: &[u8]| {
    let _ = one(&mut Unstructured::new(bytes));
});

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    let shape = shape(u, 4)?;
    let schema = shape.schema();
    let validator = jsonschema::validator_for(&schema).expect("the schema of a type is a schema");
    for _ in 0..4 {
        let value = value(u, &shape)?;
        let Ok(lowered) = shape.lower(&value) else { continue };
        assert!(validator.is_valid(&value), "{value} was taken and does not fit {schema}");
        let raised = shape.raise(&lowered).expect("what was lowered is of its type");
        assert!(validator.is_valid(&raised), "{raised} came back and does not fit {schema}");
        let again = shape.lower(&raised).expect("what was raised is taken");
        // By text, so that -0.0 is not 0.0.
        assert_eq!(shape.raise(&again).expect("as before").to_string(), raised.to_string());
        assert_eq!(again, lowered, "{shape:?}: {value}");
    }
    // What a guest returns is of its type; what is not must be said and not trusted.
    let _ = shape.raise(&foreign(u, 3)?);
    Ok(())
}

const INTS: [Int; 8] = [Int::S8, Int::U8, Int::S16, Int::U16, Int::S32, Int::U32, Int::S64, Int::U64];

fn shape(u: &mut Unstructured<'_>, depth: u32) -> Result<Shape> {
    let boxed = |u: &mut Unstructured<'_>| shape(u, depth - 1).map(Box::new);
    Ok(match u.int_in_range(0..=if depth == 0 { 7 } else { 15 })? {
        0 => Shape::Bool,
        1 => Shape::Int(*u.choose(&INTS)?),
        2 => Shape::Float32,
        3 => Shape::Float64,
        4 => Shape::Char,
        5 => Shape::String,
        6 => Shape::Enum(named(u, |_| Ok(()))?),
        7 => Shape::Flags(named(u, |_| Ok(()))?),
        8 => Shape::List(boxed(u)?),
        9 => Shape::FixedList(boxed(u)?, u.int_in_range(1..=3)?),
        10 => {
            let key = *u.choose(&[0, 1, 4, 5])?;
            let key = match key {
                0 => Shape::Bool,
                1 => Shape::Int(*u.choose(&INTS)?),
                4 => Shape::Char,
                _ => Shape::String,
            };
            Shape::Map(Box::new(key), boxed(u)?)
        }
        11 => Shape::Tuple((0..u.int_in_range(1..=3)?).map(|_| shape(u, depth - 1)).collect::<Result<_>>()?),
        12 => Shape::Record(named(u, |u| shape(u, depth - 1))?),
        13 => Shape::Variant(named(u, |u| if u.arbitrary()? { Ok(Some(shape(u, depth - 1)?)) } else { Ok(None) })?),
        14 => Shape::Option(boxed(u)?),
        _ => {
            let ok = if u.arbitrary()? { Some(boxed(u)?) } else { None };
            Shape::Result(ok, if u.arbitrary()? { Some(boxed(u)?) } else { None })
        }
    })
}

/// Names that could be taken for something else come first.
const NAMES: [&str; 6] = ["some", "ok", "err", "a", "n-0", "null"];

fn named<T>(u: &mut Unstructured<'_>, mut of: impl FnMut(&mut Unstructured<'_>) -> Result<T>) -> Result<Named<T>> {
    let count = u.int_in_range(1..=NAMES.len())?;
    NAMES[..count].iter().map(|name| Ok(((*name).to_owned(), of(u)?))).collect()
}

fn value(u: &mut Unstructured<'_>, shape: &Shape) -> Result<Value> {
    // Now and then something else.
    if u.ratio(1, 16)? {
        return any(u, 2);
    }
    let pick = |u: &mut Unstructured<'_>| u.choose(&NAMES).map(|name| (*name).to_owned());
    Ok(match shape {
        Shape::Bool => json!(u.arbitrary::<bool>()?),
        Shape::Int(_) | Shape::Float32 | Shape::Float64 => number(u)?,
        Shape::Char => json!(u.arbitrary::<char>()?),
        Shape::String => json!(u.arbitrary::<String>()?),
        Shape::Enum(_) => json!(pick(u)?),
        Shape::Flags(_) => (0..u.int_in_range(0..=3)?).map(|_| pick(u).map(Value::from)).collect::<Result<_>>()?,
        Shape::List(item) => (0..u.int_in_range(0..=3)?).map(|_| value(u, item)).collect::<Result<_>>()?,
        Shape::FixedList(item, length) => (0..*length).map(|_| value(u, item)).collect::<Result<_>>()?,
        Shape::Map(key, item) => {
            let pairs = (0..u.int_in_range(0..=3)?).map(|_| Ok((value(u, key)?, value(u, item)?))).collect::<Result<Vec<_>>>()?;
            if matches!(**key, Shape::String) {
                pairs.into_iter().map(|(key, item)| (key.to_string(), item)).collect()
            } else {
                pairs.into_iter().map(|(key, item)| json!([key, item])).collect()
            }
        }
        Shape::Tuple(shapes) => shapes.iter().map(|shape| value(u, shape)).collect::<Result<_>>()?,
        Shape::Record(fields) => {
            let mut object = Map::new();
            for (name, shape) in fields.iter() {
                if !u.ratio(1, 8)? {
                    object.insert(name.to_owned(), value(u, shape)?);
                }
            }
            Value::Object(object)
        }
        Shape::Variant(cases) => {
            let name = pick(u)?;
            match cases.find(&name) {
                Some((_, Some(payload))) => json!({ name: value(u, payload)? }),
                _ => json!(name),
            }
        }
        Shape::Option(inner) => match (u.int_in_range(0..=2)?, &**inner) {
            (0, _) => Value::Null,
            (1, _) => value(u, inner)?,
            _ => json!({ "some": value(u, inner)? }),
        },
        Shape::Result(ok, err) => {
            let (name, side) = if u.arbitrary()? { ("ok", ok) } else { ("err", err) };
            json!({ name: side.as_ref().map_or(Ok(Value::Null), |shape| value(u, shape))? })
        }
    })
}

fn number(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=6)? {
        0 => json!(u.arbitrary::<i8>()?),
        1 => json!(u.arbitrary::<i64>()?),
        2 => json!(u.arbitrary::<u64>()?),
        3 => Number::from_f64(u.arbitrary::<f64>()?).map_or(json!("NaN"), Value::Number),
        4 => Number::from_f64(f64::from(u.arbitrary::<f32>()?)).map_or(json!("-Infinity"), Value::Number),
        5 => json!(u.arbitrary::<i64>()?.to_string()),
        _ => json!(*u.choose(&["NaN", "Infinity", "-Infinity", "-0", "0", "18446744073709551616", "-9223372036854775809", "007", "+1"])?),
    })
}

fn any(u: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    Ok(match u.int_in_range(0..=if depth == 0 { 3 } else { 5 })? {
        0 => Value::Null,
        1 => json!(u.arbitrary::<bool>()?),
        2 => number(u)?,
        3 => json!(u.arbitrary::<String>()?),
        4 => (0..u.int_in_range(0..=2)?).map(|_| any(u, depth - 1)).collect::<Result<_>>()?,
        _ => {
            let mut object = Map::new();
            for _ in 0..u.int_in_range(0..=2)? {
                object.insert((*u.choose(&NAMES)?).to_owned(), any(u, depth - 1)?);
            }
            Value::Object(object)
        }
    })
}

/// A component value of whatever type.
fn foreign(u: &mut Unstructured<'_>, depth: u32) -> Result<Val> {
    let boxed = |u: &mut Unstructured<'_>| if u.arbitrary()? { Ok(Some(Box::new(foreign(u, depth - 1)?))) } else { Ok(None) };
    let name = |u: &mut Unstructured<'_>| u.choose(&NAMES).map(|name| (*name).to_owned());
    Ok(match u.int_in_range(0..=if depth == 0 { 6 } else { 14 })? {
        0 => Val::Bool(u.arbitrary()?),
        1 => Val::S64(u.arbitrary()?),
        2 => Val::Float32(u.arbitrary()?),
        3 => Val::Char(u.arbitrary()?),
        4 => Val::String(u.arbitrary()?),
        5 => Val::Enum(name(u)?),
        6 => Val::Flags((0..u.int_in_range(0..=3)?).map(|_| name(u)).collect::<Result<_>>()?),
        7 => Val::List((0..u.int_in_range(0..=3)?).map(|_| foreign(u, depth - 1)).collect::<Result<_>>()?),
        8 => Val::FixedLengthList((0..u.int_in_range(0..=3)?).map(|_| foreign(u, depth - 1)).collect::<Result<_>>()?),
        9 => Val::Map((0..u.int_in_range(0..=3)?).map(|_| Ok((foreign(u, depth - 1)?, foreign(u, depth - 1)?))).collect::<Result<_>>()?),
        10 => Val::Tuple((0..u.int_in_range(0..=3)?).map(|_| foreign(u, depth - 1)).collect::<Result<_>>()?),
        11 => Val::Record((0..u.int_in_range(0..=3)?).map(|_| Ok((name(u)?, foreign(u, depth - 1)?))).collect::<Result<_>>()?),
        12 => Val::Variant(name(u)?, boxed(u)?),
        13 => Val::Option(boxed(u)?),
        _ => Val::Result(if u.arbitrary()? { Ok(boxed(u)?) } else { Err(boxed(u)?) }),
    })
}
