//! Random types and values: what is raised is what was lowered, through a guest too, and it fits its schema.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{Echo, assert_fits};
use crate::sandbox::values::Shape;

/// A type to be written as WIT.
#[derive(Debug, Clone)]
enum Type {
    Plain(&'static str),
    List(Box<Type>),
    Fixed(Box<Type>, usize),
    Map(&'static str, Box<Type>),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
    Tuple(Vec<Type>),
    Record(Vec<Type>),
    Variant(Vec<Option<Type>>),
    Enum(usize),
    Flags(usize),
}

const PLAIN: [&str; 13] = ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];
const KEYS: [&str; 11] = ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "char", "string"];

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        6 => prop::sample::select(&PLAIN[..]).prop_map(Type::Plain),
        1 => (1..40_usize).prop_map(Type::Enum),
        1 => (1..32_usize).prop_map(Type::Flags),
    ];
    leaf.prop_recursive(5, 24, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            1 => boxed.clone().prop_map(Type::List),
            1 => (boxed.clone(), 1..4_usize).prop_map(|(item, length)| Type::Fixed(item, length)),
            1 => (prop::sample::select(&KEYS[..]), boxed.clone()).prop_map(|(key, value)| Type::Map(key, value)),
            2 => boxed.clone().prop_map(Type::Option),
            1 => (prop::option::of(boxed.clone()), prop::option::of(boxed)).prop_map(|(ok, err)| Type::Result(ok, err)),
            1 => prop::collection::vec(inner.clone(), 1..5).prop_map(Type::Tuple),
            2 => prop::collection::vec(inner.clone(), 1..5).prop_map(Type::Record),
            2 => prop::collection::vec(prop::option::of(inner), 1..5).prop_map(Type::Variant),
        ]
    })
}

impl Type {
    /// The type as it is written where it is used; what must be declared goes to `declarations`.
    fn write(&self, declarations: &mut String) -> String {
        let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>().join(", ");
        let (keyword, body) = match self {
            Type::Plain(name) => return (*name).to_owned(),
            Type::List(item) => return format!("list<{}>", item.write(declarations)),
            Type::Fixed(item, length) => return format!("list<{}, {length}>", item.write(declarations)),
            Type::Map(key, value) => return format!("map<{key}, {}>", value.write(declarations)),
            Type::Option(inner) => return format!("option<{}>", inner.write(declarations)),
            Type::Result(ok, err) => {
                let mut side = |side: &Option<Box<Type>>| side.as_ref().map_or("_".to_owned(), |ty| ty.write(declarations));
                return match (side(ok), side(err)) {
                    (ok, err) if err == "_" && ok == "_" => "result".to_owned(),
                    (ok, err) if err == "_" => format!("result<{ok}>"),
                    (ok, err) => format!("result<{ok}, {err}>"),
                };
            }
            Type::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|item| item.write(declarations)).collect();
                return format!("tuple<{}>", items.join(", "));
            }
            Type::Record(fields) => {
                let fields: Vec<String> =
                    fields.iter().enumerate().map(|(n, ty)| format!("some-{n}: {}", ty.write(declarations))).collect();
                ("record", fields.join(", "))
            }
            Type::Variant(cases) => {
                let mut case = |(n, ty): (usize, &Option<Type>)| match ty {
                    Some(ty) => format!("ok-{n}({})", ty.write(declarations)),
                    None => format!("ok-{n}"),
                };
                let cases: Vec<String> = cases.iter().enumerate().map(&mut case).collect();
                ("variant", cases.join(", "))
            }
            Type::Enum(count) => ("enum", names(*count)),
            Type::Flags(count) => ("flags", names(*count)),
        };
        let name = format!("t{}", declarations.lines().count());
        writeln!(declarations, "{keyword} {name} {{ {body} }}").unwrap();
        name
    }
}

/// A value of this shape, in the form in which it comes back.
fn any_value(shape: &Shape) -> BoxedStrategy<Value> {
    let some = |name: &str, inner: BoxedStrategy<Value>| {
        let name = name.to_owned();
        inner.prop_map(move |value| json!({ name.clone(): value })).boxed()
    };
    let side = |inner: &Option<Box<Shape>>| inner.as_ref().map_or(Just(Value::Null).boxed(), |shape| any_value(shape));
    let float = |float: f64| match float {
        f if f.is_nan() => json!("NaN"),
        f if f.is_infinite() => json!(if f > 0.0 { "Infinity" } else { "-Infinity" }),
        f => json!(f),
    };
    match shape {
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Int(int) => {
            let (least, greatest) = int.range();
            let any = i128::from(least)..=i128::from(greatest);
            let edge = prop::sample::select(vec![i128::from(least), i128::from(greatest)]);
            prop_oneof![any, edge].prop_map(|number| serde_json::from_str(&number.to_string()).unwrap()).boxed()
        }
        Shape::Float32 => any::<u32>().prop_map(move |bits| float(f32::from_bits(bits).to_string().parse().unwrap())).boxed(),
        Shape::Float64 => any::<u64>().prop_map(move |bits| float(f64::from_bits(bits))).boxed(),
        Shape::Char => any::<char>().prop_map(|c| json!(c)).boxed(),
        Shape::String => any::<String>().prop_map(Value::from).boxed(),
        Shape::List(item) => prop::collection::vec(any_value(item), 0..4).prop_map(Value::from).boxed(),
        Shape::FixedList(item, length) => prop::collection::vec(any_value(item), *length).prop_map(Value::from).boxed(),
        Shape::Map(key, value) => match **key {
            Shape::String => {
                let entries = prop::collection::btree_map(any::<String>(), any_value(value), 0..4);
                entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed()
            }
            _ => {
                let keyed = (any_value(key), any_value(value)).prop_map(|(key, value)| (key.to_string(), json!([key, value])));
                let pairs = prop::collection::vec(keyed, 0..4);
                pairs.prop_map(|pairs| pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_values().collect()).boxed()
            }
        },
        Shape::Tuple(items) => items.iter().map(any_value).collect::<Vec<_>>().prop_map(Value::from).boxed(),
        Shape::Record(fields) => {
            let names: Vec<String> = fields.names().map(str::to_owned).collect();
            let values: Vec<_> = fields.iter().map(|(_, shape)| any_value(shape)).collect();
            values.prop_map(move |values| Value::Object(names.iter().cloned().zip(values).collect())).boxed()
        }
        Shape::Variant(cases) => {
            let case = |(name, payload): (&str, &Option<Shape>)| match payload {
                Some(shape) => some(name, any_value(shape)),
                None => Just(json!(name)).boxed(),
            };
            prop::strategy::Union::new(cases.iter().map(case)).boxed()
        }
        Shape::Enum(names) => prop::sample::select(names.names().map(|name| json!(name)).collect::<Vec<_>>()).boxed(),
        Shape::Flags(names) => {
            let names: Vec<Value> = names.names().map(|name| json!(name)).collect();
            let count = names.len();
            prop::sample::subsequence(names, 0..=count).prop_map(Value::from).boxed()
        }
        Shape::Option(inner) => {
            let there = if matches!(**inner, Shape::Option(_)) { some("some", any_value(inner)) } else { any_value(inner) };
            prop_oneof![Just(Value::Null), there].boxed()
        }
        Shape::Result(ok, err) => prop_oneof![some("ok", side(ok)), some("err", side(err))].boxed(),
    }
}

proptest! {
    // Each type is a component that is compiled; 16 values go through it.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_raised_is_what_was_lowered(ty in any_type()) {
        let mut declarations = String::new();
        let written = ty.write(&mut declarations);
        let mut echo = Echo::new(&declarations, &written);
        let values = any_value(echo.shape());
        let mut runner = TestRunner::deterministic();
        for _ in 0..16 {
            let value = values.new_tree(&mut runner).unwrap().current();
            let shape = echo.shape();
            assert_fits(shape, &value);
            let lowered = shape.lower(&value).unwrap_or_else(|e| panic!("{declarations}{written}: {value}: {e:?}"));
            // By text, so that -0.0 is not 0.0.
            prop_assert_eq!(shape.raise(&lowered).unwrap().to_string(), value.to_string());
            prop_assert_eq!(echo.send(&value).to_string(), value.to_string());
        }
    }

    #[test]
    fn a_value_with_something_else_in_it_is_refused_or_fits(ty in any_type(), seed in any::<[u8; 16]>()) {
        let mut declarations = String::new();
        let written = ty.write(&mut declarations);
        let shape = super::shape(&declarations, &written);
        let values = any_value(&shape);
        let mut runner = TestRunner::deterministic();
        for byte in seed {
            let mut value = values.new_tree(&mut runner).unwrap().current();
            let places = places(&value, String::new());
            *value.pointer_mut(&places[usize::from(byte) % places.len()]).unwrap() = other(usize::from(byte) / 8);
            if let Ok(lowered) = shape.lower(&value) {
                assert_fits(&shape, &value);
                let raised = shape.raise(&lowered).unwrap();
                assert_fits(&shape, &raised);
                prop_assert_eq!(shape.lower(&raised).unwrap(), lowered);
            }
        }
    }
}

/// A pointer to each place of a document.
fn places(value: &Value, at: String) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Array(items) => items.iter().enumerate().flat_map(|(n, item)| places(item, format!("{at}/{n}"))).collect(),
        Value::Object(fields) => fields.iter().flat_map(|(name, item)| places(item, crate::json::below(&at, name))).collect(),
        _ => Vec::new(),
    };
    std::iter::once(at).chain(below).collect()
}

/// Something that may or may not have a place in a type.
fn other(n: usize) -> Value {
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.0),
        json!(0.5),
        json!(1e20),
        json!(u64::MAX),
        json!(""),
        json!("7"),
        json!("n0"),
        json!("NaN"),
        json!("ok-0"),
        json!([]),
        json!([0]),
        json!(["n0", "n1"]),
        json!(["n1", "n0"]),
        json!(["n0", "n0"]),
        json!([[0, 0]]),
        json!({}),
        json!({"some": null}),
        json!({"ok": null}),
        json!({"ok-0": 1}),
        json!({"some-0": null}),
        json!({"some-0": 1, "x": 1}),
    ];
    others[n % others.len()].clone()
}
