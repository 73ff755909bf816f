//! What each rule makes, what it refuses, and what none of them does.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn made(value: Value, rules: Value) -> Result<Value, String> {
    let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
    assert_eq!(fault(&rules), None);
    derive(&value, &rules).map_err(|failed| failed.to_string())
}

#[test]
fn each_rule_makes_what_it_says() {
    let table = [
        (json!("{\"a\": [1, 2.50]}"), json!(["json", {"pointer": "/a/1"}]), json!(2.5)),
        (json!({"a": 1}), json!([{"pointer": ""}]), json!({"a": 1})),
        (json!([{"path": "a"}, {"path": null}]), json!([{"pluck": "/path"}]), json!(["a", null])),
        (json!("name=x; version=1.2.3\n"), json!([{"between": {"after": "version=", "before": "\n"}}]), json!("1.2.3")),
        (json!("a: b: c"), json!([{"between": {"after": ": ", "before": ""}}]), json!("b: c")),
        (json!("a: b: c"), json!([{"between": {"after": "", "before": ":"}}]), json!("a")),
        (json!("a,b,c"), json!([{"piece": {"by": ",", "at": 1}}]), json!("b")),
        (json!("a,b,c"), json!([{"piece": {"by": ",", "at": -3}}]), json!("a")),
        (json!("  total   3  kB"), json!([{"piece": {"by": "", "at": -2}}, {"add": 4}]), json!("7")),
        (json!("one\r\ntwo\n\nfour"), json!(["lines"]), json!(["one", "two", "", "four"])),
        (json!("a/b//c"), json!([{"split": "/"}, {"join": "+"}]), json!("a+b++c")),
        (json!([1, "x", null, {"b": 2}]), json!([{"join": " "}]), json!("1 x null {\"b\":2}")),
        (json!("ÄbC"), json!(["lower"]), json!("äbc")),
        (json!("ß"), json!(["upper"]), json!("SS")),
        (json!("\t x \u{a0}\n"), json!(["trim"]), json!("x")),
        (json!("a.b.c"), json!([{"replace": {"from": ".", "to": "::"}}]), json!("a::b::c")),
        (json!("v1.9.41"), json!([{"bump": "patch"}]), json!("v1.9.42")),
        (json!("1.9.41"), json!([{"bump": "minor"}]), json!("1.10.0")),
        (json!("0.9.1"), json!([{"bump": "major"}]), json!("1.0.0")),
        (json!(-1), json!([{"add": 3}]), json!(2)),
        (json!(i64::MAX), json!([{"add": 1}]), json!(9_223_372_036_854_775_808_u64)),
        (json!("099"), json!([{"add": 1}]), json!("100")),
        (json!("007"), json!([{"add": -8}]), json!("-001")),
        (json!("9"), json!([{"add": 1}]), json!("10")),
        (json!("2028-02-28"), json!([{"days": 1}]), json!("2028-02-29")),
        (json!("2026-01-01T10:00:00Z"), json!([{"days": -1}]), json!("2025-12-31T10:00:00Z")),
        (json!(1_798_761_599_999_u64), json!(["date"]), json!("2026-12-31")),
        (json!({"b": 1}), json!(["text"]), json!("{\"b\":1}")),
        (json!("äö"), json!(["count"]), json!(2)),
        (json!([[], []]), json!(["count"]), json!(2)),
        (json!(null), json!([]), json!(null)),
        (json!("x"), json!(["filled"]), json!("x")),
        (json!(0), json!(["filled"]), json!(0)),
    ];
    for (value, rules, expected) in table {
        assert_eq!(made(value.clone(), rules.clone()), Ok(expected), "{rules} of {value}");
    }
}

#[test]
fn a_rule_that_cannot_be_followed_says_which_and_why() {
    let table = [
        (json!(7), json!(["trim"]), "rule 1 (without white space at its ends): 7 is no text"),
        (json!("a,b"), json!(["trim", {"piece": {"by": ",", "at": 2}}]), "rule 2 (piece 3, split by \",\"): \"a,b\" has 2 pieces"),
        (json!("a"), json!([{"piece": {"by": ",", "at": -2}}]), "rule 1 (piece 2 from the end, split by \",\"): \"a\" has 1 pieces"),
        (json!("a"), json!([{"piece": {"by": ",", "at": i32::MIN}}]), "\"a\" has 1 pieces"),
        (json!("x=1"), json!([{"between": {"after": "x=", "before": ";"}}]), "\"x=1\" has no \";\" behind it"),
        (json!("x=1"), json!([{"between": {"after": "y=", "before": ""}}]), "rule 1 (after \"y=\"): \"x=1\" has no \"y=\""),
        (json!("{\"a\":1,\"a\":2}"), json!(["json"]), "is not JSON"),
        (json!("\"\\ud800\""), json!(["json"]), "is not JSON"),
        (json!({"a": 1}), json!([{"pointer": "/b"}]), "rule 1 (at /b): an object of 1 has no /b"),
        (json!([{"a": 1}, {"b": 1}]), json!([{"pluck": "/a"}]), "rule 1 (of each element /a): element 1, an object of 1, has no /a"),
        (json!({}), json!([{"pluck": ""}]), "an object of 0 is no list"),
        (json!("1.2"), json!([{"bump": "patch"}]), "\"1.2\" is no version of three numbers"),
        (json!("1.2.3-rc1"), json!([{"bump": "patch"}]), "is no version of three numbers"),
        (json!("1.02.3"), json!([{"bump": "patch"}]), "is no version of three numbers"),
        (json!("1.2.18446744073709551615"), json!([{"bump": "patch"}]), "is no version of three numbers"),
        (json!(1.5), json!([{"add": 1}]), "1.5 is no whole number"),
        (json!(u64::MAX), json!([{"add": 1}]), "18446744073709551616 does not fit into 64 bits"),
        (json!("1e3"), json!([{"add": 1}]), "\"1e3\" is no whole number"),
        (json!("2026-02-30"), json!([{"days": 1}]), "\"2026-02-30\" is no date YYYY-MM-DD"),
        (json!("2026-02-03x"), json!([{"days": 1}]), "is no date YYYY-MM-DD"),
        (json!("9999-12-31"), json!([{"days": 1}]), "1 days lead out of the years 0 to 9999"),
        (json!("2026-02-03"), json!([{"days": i64::MIN}]), "lead out of the years 0 to 9999"),
        (json!(-1), json!(["date"]), "-1 is no time in milliseconds since 1970"),
        (json!(u64::MAX), json!(["date"]), "is no time in milliseconds since 1970"),
        (json!(true), json!(["count"]), "true is neither list nor object nor text"),
        (json!("x"), json!([{"join": ","}]), "\"x\" is no list"),
        (json!("a,,b"), json!([{"piece": {"by": ",", "at": 1}}, "filled"]), "rule 2 (not empty): there is nothing in it"),
        (json!([]), json!(["filled"]), "there is nothing in it"),
        (json!({}), json!(["filled"]), "there is nothing in it"),
    ];
    for (value, rules, expected) in table {
        let failed = made(value.clone(), rules.clone()).unwrap_err();
        assert!(failed.contains(expected), "{rules} of {value}: {failed}");
    }
}

#[test]
fn no_rule_makes_more_than_its_bound() {
    let long = "x".repeat(limits::RULE_TEXT_BYTES_MAX);
    let grows = json!([{"replace": {"from": "x", "to": long}}, {"replace": {"from": "x", "to": long}}]);
    assert!(made(json!("xx"), grows).unwrap_err().contains("rule 2"), "a text does not grow beyond {}", limits::JSON_BYTES_MAX);
    let pieces = made(json!(",".repeat(limits::RULE_ITEMS_MAX)), json!([{"split": ","}])).unwrap_err();
    assert!(pieces.contains("more than"), "{pieces}");
    let list: Vec<Value> = vec![json!("y"); 3_000];
    assert!(made(json!(list), json!([{"join": long}])).unwrap_err().contains("comes to more than"));
    // Every character takes three bytes in upper case where it took two.
    let wide = "ŉ".repeat(limits::JSON_BYTES_MAX / 2 - 10);
    assert!(made(json!(wide), json!(["upper"])).unwrap_err().contains("comes to more than"));
}

#[test]
fn a_message_shows_no_more_than_the_beginning_of_a_value() {
    let failed = made(json!("é".repeat(100_000)), json!([{"bump": "patch"}])).unwrap_err();
    assert!(failed.chars().count() < 300, "{} characters", failed.chars().count());
}

#[test]
fn rules_that_make_no_sense_are_refused_before_they_are_applied() {
    let fault_of = |rules: Value| fault(&serde_json::from_value::<Vec<Rule>>(rules).unwrap());
    assert_eq!(fault_of(json!(["trim", {"pointer": "a"}])), Some((1, "\"a\" is not a JSON pointer".to_owned())));
    assert_eq!(fault_of(json!([{"replace": {"from": "", "to": "x"}}])).unwrap().0, 0);
    assert!(fault_of(json!([{"split": "x".repeat(limits::RULE_TEXT_BYTES_MAX + 1)}])).is_some());
    assert!(fault_of(json!(vec!["trim"; limits::RULES_MAX + 1])).is_some());
    assert_eq!(fault_of(json!(vec!["trim"; limits::RULES_MAX])), None);
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let text = || prop_oneof![Just(String::new()), Just(",".to_owned()), Just("/".to_owned()), any::<String>()];
    prop_oneof![
        Just(Rule::Json),
        text().prop_map(Rule::Pointer),
        (text(), text()).prop_map(|(after, before)| Rule::Between { after, before }),
        (text(), any::<i32>()).prop_map(|(by, at)| Rule::Piece { by, at }),
        (text(), -3..3).prop_map(|(by, at)| Rule::Piece { by, at }),
        Just(Rule::Lines),
        text().prop_map(Rule::Pluck),
        text().prop_map(Rule::Split),
        text().prop_map(Rule::Join),
        Just(Rule::Lower),
        Just(Rule::Upper),
        Just(Rule::Trim),
        (text(), text()).prop_map(|(from, to)| Rule::Replace { from, to }),
        prop_oneof![Just(Bump::Major), Just(Bump::Minor), Just(Bump::Patch)].prop_map(Rule::Bump),
        any::<i64>().prop_map(Rule::Add),
        any::<i64>().prop_map(Rule::Days),
        Just(Rule::Date),
        Just(Rule::Text),
        Just(Rule::Count),
        Just(Rule::Filled),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9v.,/ =-]{0,12}".prop_map(Value::from),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]?".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~]{0,2}", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_rules_of_any_value_give_a_value_or_an_error_and_the_same_each_time(value in any_value(), rules in prop::collection::vec(any_rule(), 0..6)) {
        let first = derive(&value, &rules);
        prop_assert_eq!(&first, &derive(&value, &rules));
        if let Ok(made) = &first {
            // What comes out is JSON that everyone reads as the same value.
            prop_assert_eq!(&json::parse(made.to_string().as_bytes()).unwrap(), made);
        }
        let written = serde_json::to_string(&rules).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<Rule>>(&written).unwrap(), rules);
    }
}
