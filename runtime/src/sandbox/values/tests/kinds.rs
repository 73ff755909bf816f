//! Each kind of type: what is taken, what comes back, what is refused and where.

use serde_json::{Value, json};
use wasmtime::component::Val;

use super::{assert_fits, component, engine, read, shape};

/// Fails unless each pair's first is taken and comes back as its second, and both fit the schema.
fn takes(declarations: &str, ty: &str, pairs: &[(Value, Value)]) {
    let shape = shape(declarations, ty);
    for (given, back) in pairs {
        let lowered = shape.lower(given).unwrap_or_else(|e| panic!("{ty}: {given}: {e:?}"));
        assert_eq!(shape.raise(&lowered).unwrap().to_string(), back.to_string(), "{ty}: {given}");
        assert_fits(&shape, given);
        assert_fits(&shape, back);
    }
}

/// Fails unless each is taken and comes back as it is.
fn keeps(declarations: &str, ty: &str, values: &[Value]) {
    takes(declarations, ty, &values.iter().map(|value| (value.clone(), value.clone())).collect::<Vec<_>>());
}

/// Fails unless each is refused, here and by the schema, at this place with these words.
fn refuses(declarations: &str, ty: &str, cases: &[(Value, &str, &str)]) {
    let shape = shape(declarations, ty);
    for (value, path, words) in cases {
        let issue = shape.lower(value).expect_err(&format!("{ty}: {value}"));
        assert_eq!(issue.path, *path, "{ty}: {value}: {issue:?}");
        assert!(issue.message.contains(words), "{ty}: {value}: {issue:?}");
        assert!(jsonschema::validate(&shape.schema(), value).is_err(), "{ty}: {value} fits {}", shape.schema());
    }
}

#[test]
fn a_bool_is_a_boolean() {
    keeps("", "bool", &[json!(true), json!(false)]);
    refuses("", "bool", &[(json!(1), "", "is a number, and must be true or false"), (json!("true"), "", "is a string")]);
}

#[test]
fn whole_numbers_keep_their_bounds() {
    let bounds: [(&str, i128, i128); 8] = [
        ("s8", -128, 127),
        ("u8", 0, 255),
        ("s16", -32_768, 32_767),
        ("u16", 0, 65_535),
        ("s32", -2_147_483_648, 2_147_483_647),
        ("u32", 0, 4_294_967_295),
        ("s64", i64::MIN.into(), i64::MAX.into()),
        ("u64", 0, u64::MAX.into()),
    ];
    for (ty, least, greatest) in bounds {
        let number = |n: i128| serde_json::from_str::<Value>(&n.to_string()).unwrap();
        keeps("", ty, &[number(least), number(greatest), json!(7)]);
        let beyond = [(number(least - 1), "", "is not a whole number from"), (number(greatest + 1), "", &greatest.to_string())];
        // Beyond 64 bits, a JSON number is read as a double, which a schema may take for the bound itself.
        if ty.ends_with("64") {
            assert!(beyond.iter().all(|(value, ..)| shape("", ty).lower(value).is_err()), "{ty}");
        } else {
            refuses("", ty, &beyond);
        }
        refuses("", ty, &[(json!(1.5), "", "whole"), (json!(null), "", "null"), (json!("x"), "", ""), (json!([1]), "", "an array")]);
        // JSON Schema calls 5.0 an integer, and some write it.
        takes("", ty, &[(json!(5.0), json!(5)), (json!(-0.0), json!(0))]);
    }
    refuses("", "u32", &[(json!("5"), "", "is a string, and must be a whole number from 0 to 4294967295")]);
}

#[test]
fn whole_numbers_beyond_what_a_double_holds_are_exact() {
    let (two_53, least, greatest) = (json!(9_007_199_254_740_993_i64), json!(i64::MIN), json!(u64::MAX));
    keeps("", "s64", &[two_53.clone(), least.clone()]);
    keeps("", "u64", &[two_53.clone(), greatest.clone()]);
    takes("", "s64", &[(json!("9007199254740993"), two_53.clone()), (json!("-9223372036854775808"), least), (json!("0"), json!(0))]);
    takes("", "u64", &[(json!("18446744073709551615"), greatest), (json!("9007199254740993"), two_53)]);
    for not_decimal in ["+5", "05", "-0", " 5", "5 ", "0x5", "5.0", "5e0", ""] {
        refuses("", "s64", &[(json!(not_decimal), "", "string of decimal digits")]);
    }
    refuses("", "u64", &[(json!("-5"), "", "from 0 to 18446744073709551615")]);
    // A schema cannot say these two; lowering has the last word.
    for value in [json!("18446744073709551616"), json!(9.3e18), json!(9_007_199_254_740_994.0)] {
        let issue = shape("", "s64").lower(&value).unwrap_err();
        assert!(issue.message.contains("whole number"), "{value} may have been rounded: {issue:?}");
    }
}

#[test]
fn floats_are_numbers_and_what_is_no_number_has_a_name() {
    for ty in ["f32", "f64"] {
        keeps("", ty, &[json!(0.0), json!(-0.0), json!(-1.5), json!("NaN"), json!("Infinity"), json!("-Infinity")]);
        takes("", ty, &[(json!(3), json!(3.0))]);
        refuses(
            "",
            ty,
            &[(json!("nan"), "", "is a string, and must be a number, or \"NaN\""), (json!(null), "", "null"), (json!("1"), "", "")],
        );
    }
    keeps("", "f64", &[json!(f64::MAX), json!(f64::MIN_POSITIVE), json!(5e-324), json!(3.140_000_104_904_175)]);
    keeps("", "f32", &[json!(1.1), json!(0.1), json!(3.402_823_5e38), json!(-3.402_823_5e38), json!(1e-45)]);
    takes("", "f32", &[(json!(f64::from(f32::MAX)), json!(3.402_823_5e38))]);
    takes("", "f32", &[(json!(1.100_000_023_841_858), json!(1.1)), (json!(1e-300), json!(0.0))]);
    refuses("", "f32", &[(json!(3.402_823_6e38), "", "beyond ±3.4028235e38"), (json!(-1e300), "", "beyond")]);
    assert!(matches!(shape("", "f64").lower(&json!(-0.0)).unwrap(), Val::Float64(zero) if zero.is_sign_negative()));
}

#[test]
fn a_char_is_one_character_however_many_bytes() {
    keeps("", "char", &[json!("a"), json!("ß"), json!("€"), json!("🦀"), json!("\0"), json!("\u{10ffff}")]);
    refuses("", "char", &[(json!(""), "", "exactly one character"), (json!("ab"), "", "exactly one"), (json!(7), "", "a number")]);
    // A letter and its accent are two scalar values.
    refuses("", "char", &[(json!("e\u{301}"), "", "one Unicode scalar value")]);
}

#[test]
fn a_string_is_a_string() {
    keeps("", "string", &[json!(""), json!("line\n\"quoted\" \0 🦀")]);
    refuses("", "string", &[(json!(1), "", "is a number, and must be a string")]);
}

#[test]
fn lists_and_tuples_are_arrays() {
    keeps("", "list<u8>", &[json!([]), json!([0, 255])]);
    keeps("", "list<list<string>>", &[json!([[], ["a"]])]);
    refuses("", "list<list<u8>>", &[(json!([[1], [2, 256]]), "/1/1", "is not a whole number"), (json!([3]), "/0", "must be an array")]);
    refuses("", "list<u8>", &[(json!("AQI="), "", "is a string, and must be an array"), (json!({}), "", "an object")]);
    keeps("", "list<u8, 2>", &[json!([1, 2])]);
    refuses("", "list<u8, 2>", &[(json!([1]), "", "has 1 items where there must be 2"), (json!([1, 2, 3]), "", "has 3")]);
    keeps("", "tuple<u8, string>", &[json!([1, "a"])]);
    refuses(
        "",
        "tuple<u8, string>",
        &[(json!([1]), "", "has 1 items"), (json!([1, "a", 2]), "", "has 3 items"), (json!([1, 2]), "/1", "string")],
    );
}

#[test]
fn a_map_is_an_object_or_an_array_of_pairs() {
    keeps("", "map<string, u8>", &[json!({}), json!({"a/b": 1, "": 2})]);
    refuses("", "map<string, u8>", &[(json!({"a/b": 300}), "/a~1b", "whole number"), (json!([["a", 1]]), "", "must be an object")]);
    keeps("", "map<u64, string>", &[json!([]), json!([[2, "b"], [1, "a"]])]);
    refuses("", "map<u64, string>", &[(json!([[1]]), "/0", "has 1 items"), (json!([[1, 2]]), "/0/1", "a number"), (json!({}), "", "")]);
    let issue = shape("", "map<u64, string>").lower(&json!([[1, "a"], ["1", "b"]])).unwrap_err();
    assert_eq!((issue.path.as_str(), issue.message.as_str()), ("/1", "has a key that stands before it already"));
    // A guest may give a key twice; the later value counts.
    let twice = Val::Map([(1, "a"), (2, "b"), (1, "c")].map(|(k, v)| (Val::U64(k), Val::String(v.to_owned()))).to_vec());
    assert_eq!(shape("", "map<u64, string>").raise(&twice).unwrap(), json!([[1, "c"], [2, "b"]]));
}

#[test]
fn a_record_is_an_object_of_its_fields() {
    let point = "record point { x: s32, the-label: option<string> }";
    keeps(point, "point", &[json!({"x": 1, "the-label": null}), json!({"x": 1, "the-label": "a"})]);
    takes(point, "point", &[(json!({"x": 1}), json!({"x": 1, "the-label": null}))]);
    refuses(
        point,
        "point",
        &[
            (json!({"the-label": "a"}), "/x", "is missing, and not optional"),
            (json!({"x": 1, "y": 2}), "", "has the field \"y\", which is no field; there is x, the-label"),
            (json!({"x": null}), "/x", "is null"),
            (json!([1]), "", "must be an object"),
        ],
    );
}

#[test]
fn a_case_is_its_name_or_an_object_of_one_field() {
    let filter = "variant filter { all, some(list<u8>), maybe(option<u8>) }";
    keeps(filter, "filter", &[json!("all"), json!({"some": [1]}), json!({"maybe": null}), json!({"maybe": 1})]);
    refuses(
        filter,
        "filter",
        &[
            (json!("none"), "", "is no case; there is all, some, maybe"),
            (json!({"none": 1}), "", "is no case"),
            (json!({"all": null}), "", "carries nothing: write \"all\""),
            (json!("some"), "", "carries a value: write {\"some\": …}"),
            (json!("maybe"), "", "carries a value"),
            (json!({"some": [1], "maybe": 1}), "", "must be a case"),
            (json!({}), "", "must be a case"),
            (json!({"some": [1, "x"]}), "/some/1", "is a string"),
        ],
    );
}

#[test]
fn an_enum_is_a_name_and_flags_are_names() {
    keeps("enum color { red, dark-blue }", "color", &[json!("red"), json!("dark-blue")]);
    refuses("enum color { red, dark-blue }", "color", &[(json!("blue"), "", "there is red, dark-blue"), (json!(0), "", "a number")]);
    let access = "flags access { read, write, run }";
    keeps(access, "access", &[json!([]), json!(["read", "run"])]);
    takes(access, "access", &[(json!(["run", "read"]), json!(["read", "run"]))]);
    refuses(
        access,
        "access",
        &[
            (json!(["read", "read"]), "/1", "sets read for the second time"),
            (json!(["fly"]), "/0", "is no flag; there is read, write, run"),
            (json!("read"), "", "must be an array"),
            (json!([1]), "/0", "the name of a flag"),
        ],
    );
}

#[test]
fn options_in_options_are_told_apart() {
    keeps("", "option<u8>", &[json!(null), json!(1)]);
    let twice = shape("", "option<option<u8>>");
    let some = |value| Val::Option(Some(Box::new(value)));
    for (value, lowered) in
        [(json!(null), Val::Option(None)), (json!({"some": null}), some(Val::Option(None))), (json!({"some": 1}), some(some(Val::U8(1))))]
    {
        assert_eq!(twice.lower(&value).unwrap(), lowered, "{value}");
    }
    keeps("", "option<option<u8>>", &[json!(null), json!({"some": null}), json!({"some": 1})]);
    keeps("", "option<option<option<u8>>>", &[json!({"some": {"some": null}}), json!({"some": {"some": 1}})]);
    refuses("", "option<option<u8>>", &[(json!(1), "", "{\"some\": …}"), (json!({"some": 1, "x": 2}), "", "null, or an object")]);
    refuses("", "option<u8>", &[(json!({"some": 1}), "", "an object, and must be a whole number")]);
    // What only looks like an option is none.
    keeps("record r { some: option<u8> }", "option<r>", &[json!(null), json!({"some": null})]);
}

#[test]
fn a_result_says_which_side_it_is() {
    keeps("", "result<u8, string>", &[json!({"ok": 1}), json!({"err": "no"})]);
    keeps("", "result<_, string>", &[json!({"ok": null}), json!({"err": "no"})]);
    keeps("", "result", &[json!({"ok": null}), json!({"err": null})]);
    refuses(
        "",
        "result<_, u8>",
        &[
            (json!({"ok": 1}), "/ok", "must be null, since this side carries nothing"),
            (json!({"err": null}), "/err", "null"),
            (json!("ok"), "", "must be an object {\"ok\""),
            (json!({"ok": null, "err": 1}), "", "must be an object"),
        ],
    );
}

#[test]
fn parameters_are_an_object() {
    let signature = read("f: func(path: string, limit: option<u32>) -> result<string, string>;").unwrap();
    let schema = json!({
        "type": "object", "required": ["path"], "additionalProperties": false,
        "properties": {"path": {"type": "string"}, "limit": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32}]}},
    });
    assert_eq!(signature.input_schema(), schema);
    let none = Val::Option(None);
    assert_eq!(signature.lower(&json!({"path": "a"})).unwrap(), [Val::String("a".to_owned()), none]);
    for (input, path, words) in [
        (json!({}), "/path", "is missing"),
        (json!({"path": "a", "offset": 1}), "", "has the field \"offset\", which is no field; there is path, limit"),
        (json!({"path": "a", "limit": -1}), "/limit", "from 0 to 4294967295"),
        (json!("a"), "", "must be an object"),
    ] {
        let issue = signature.lower(&input).unwrap_err();
        assert!(issue.path == path && issue.message.contains(words), "{input}: {issue:?}");
    }
    let nothing = read("f: func();").unwrap();
    assert!(nothing.returns.is_none() && nothing.lower(&json!({})).unwrap().is_empty());
    assert!(nothing.lower(&json!({"x": 1})).unwrap_err().message.contains("there is none"));
}

#[test]
fn what_has_no_json_is_refused_with_its_place() {
    for (interface, path, words) in [
        ("resource r; f: func(x: r);", "f, parameter x", "is a resource, which is good within one instance only"),
        ("resource r; f: func(x: borrow<r>);", "f, parameter x", "is a borrowed resource"),
        ("resource r; f: func() -> list<option<r>>;", "f, result, item, value", "is a resource"),
        ("resource r; record o { h: result<u8, r> } f: func(x: o);", "f, parameter x, field h, err", "is a resource"),
        ("resource r; variant v { a, b(tuple<u8, r>) } f: func(y: u8, x: v);", "f, parameter x, case b, item 1", "is a resource"),
    ] {
        let issue = read(interface).unwrap_err();
        assert!(issue.path == path && issue.message.contains(words), "{interface}: {issue:?}");
    }
}

#[test]
fn what_belongs_to_async_components_does_not_get_as_far_as_here() {
    // The engine is built without them. Their arms in `shape` are for the day on which it is not.
    for interface in ["f: func(x: stream<u8>);", "f: func() -> future<u8>;", "f: func(x: error-context);"] {
        assert!(wasmtime::component::Component::new(&engine(), component(interface)).is_err(), "{interface}");
    }
}

#[test]
fn a_value_of_another_type_is_not_raised() {
    let record = "record r { a: u8, b: option<u8> }";
    let fields = |names: &[&str]| Val::Record(names.iter().map(|name| ((*name).to_owned(), Val::U8(1))).collect());
    let variant = "variant v { a, b(u8) }";
    let case = |name: &str, payload: Option<Val>| Val::Variant(name.to_owned(), payload.map(Box::new));
    for (declarations, ty, value) in [
        ("", "u8", Val::String("1".to_owned())),
        ("", "tuple<u8, u8>", Val::Tuple(vec![Val::U8(1)])),
        ("", "list<u8, 2>", Val::FixedLengthList(vec![Val::U8(1)])),
        (record, "r", fields(&["a"])),
        (record, "r", fields(&["b", "a"])),
        (variant, "v", case("c", None)),
        (variant, "v", case("a", Some(Val::U8(1)))),
        (variant, "v", case("b", None)),
        ("enum e { a }", "e", Val::Enum("b".to_owned())),
        ("flags g { a }", "g", Val::Flags(vec!["b".to_owned()])),
        ("", "result<u8>", Val::Result(Ok(None))),
        ("", "map<string, u8>", Val::Map(vec![(Val::U8(1), Val::U8(1))])),
    ] {
        let issue = shape(declarations, ty).raise(&value).expect_err(ty);
        assert!(issue.message.contains("not of the type"), "{issue:?}");
    }
}
