//! Types and values that are made to cost more than they should.

use std::fmt::Write as _;

use serde_json::{Value, json};
use wasmtime::component::Val;

use super::{read, shape};
use crate::limits;

/// How deep objects and arrays stand in each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// `inner` within `levels` variants, which have the deepest schemas of all.
fn nested(levels: usize, inner: &str) -> String {
    let mut declarations = format!("variant v0 {{ a({inner}), b }}\n");
    for level in 1..levels {
        writeln!(declarations, "variant v{level} {{ a(v{}), b }}", level - 1).unwrap();
    }
    format!("{declarations}f: func(x: v{});", levels - 1)
}

#[test]
fn the_deepest_type_has_a_schema_that_can_be_read() {
    let deepest = read(&nested(limits::COMPONENT_TYPE_DEPTH_MAX - 1, "f64")).unwrap();
    let levels = depth(&deepest.input_schema());
    assert!((40..=limits::JSON_DEPTH_MAX - 8).contains(&levels), "{levels}");
}

#[test]
fn a_type_nested_deeper_is_refused() {
    let issue = read(&nested(limits::COMPONENT_TYPE_DEPTH_MAX, "f64")).unwrap_err();
    assert!(issue.message.contains("is nested deeper than 12 types"), "{issue:?}");
    assert!(issue.path.starts_with("f, parameter x, case a, case a"), "{issue:?}");
}

#[test]
fn a_type_that_doubles_at_each_level_is_refused() {
    let mut interface = "record r0 { a: u8, b: u8 }\n".to_owned();
    for level in 1..11 {
        writeln!(interface, "record r{level} {{ a: r{0}, b: r{0} }}", level - 1).unwrap();
    }
    let issue = read(&format!("{interface}f: func(x: r10);")).unwrap_err();
    assert!(issue.message.contains("a function has at most 2000"), "{issue:?}");
}

#[test]
fn thousands_of_fields_cases_or_parameters_are_refused() {
    let names = |item: &str| (0..2_001).map(|n| format!("a{n}{item}")).collect::<Vec<_>>().join(", ");
    for interface in [
        format!("record r {{ {} }} f: func(x: r);", names(": u8")),
        format!("variant v {{ {} }} f: func(x: v);", names("")),
        format!("enum e {{ {} }} f: func(x: e);", names("")),
        // The limit is for the function as a whole.
        format!("record r {{ {} }} f: func(x: r) -> r;", (0..600).map(|n| format!("a{n}: u8")).collect::<Vec<_>>().join(", ")),
    ] {
        let issue = read(&interface).unwrap_err();
        assert!(issue.message.contains("is one type or name too many"), "{issue:?}");
    }
}

#[test]
fn a_name_of_a_thousand_letters_is_refused_and_not_repeated() {
    let name = "a".repeat(1_000);
    for interface in [
        format!("record r {{ {name}: u8 }} f: func(x: r);"),
        format!("enum e {{ {name} }} f: func(x: e);"),
        format!("variant v {{ {name} }} f: func(x: v);"),
        format!("f: func({name}: u8);"),
    ] {
        let issue = read(&interface).unwrap_err();
        assert!(issue.message.contains("has a name of 1000 bytes") && issue.message.len() < 300, "{issue:?}");
    }
    let issue = shape("record r { a: u8 }", "r").lower(&json!({ "a": 1, name: 1 })).unwrap_err();
    assert!(issue.message.len() < 300, "{issue:?}");
}

#[test]
fn left_out_fields_are_counted() {
    let fields = (0..600).map(|n| format!("a{n}: option<u8>")).collect::<Vec<_>>().join(", ");
    let list = shape(&format!("record r {{ {fields} }}"), "list<r>");
    let empty = |count: usize| Value::Array(vec![json!({}); count]);
    assert!(list.lower(&empty(100)).is_ok());
    // Six kilobytes of JSON, more than a million values.
    let issue = list.lower(&empty(2_000)).unwrap_err();
    assert!(issue.message.contains("is more than 600000 values together"), "{issue:?}");
    assert!(issue.path.starts_with("/998/"), "{issue:?}");
}

#[test]
fn the_largest_json_of_numbers_is_taken_and_more_is_not() {
    let list = shape("", "list<u8>");
    let digits = limits::JSON_BYTES_MAX / 2;
    assert!(list.lower(&Value::Array(vec![json!(1); digits])).is_ok());
    assert!(list.lower(&Value::Array(vec![json!(1); limits::COMPONENT_VALUE_PLACES_MAX])).is_err());
    let of_a_guest = Val::List(vec![Val::U8(1); limits::COMPONENT_VALUE_PLACES_MAX]);
    assert!(list.raise(&of_a_guest).unwrap_err().message.contains("values together"));
}

#[test]
fn a_message_lists_only_the_first_names() {
    let names = (0..100).map(|n| format!("a{n}")).collect::<Vec<_>>().join(", ");
    let issue = shape(&format!("enum e {{ {names} }}"), "e").lower(&json!("b")).unwrap_err();
    assert!(issue.message.ends_with("a14, a15 and 84 more"), "{issue:?}");
}
