//! Values go through a real guest and come back as they were.

use serde_json::json;

use super::Echo;

#[test]
fn every_kind_goes_through_a_guest() {
    let declarations = "
        record point { x: s32, label: option<string> }
        variant filter { all, only(list<point>) }
        enum color { red, dark-blue }
        flags access { read, write }
        record everything {
            a-bool: bool, bytes: list<u8>, a-s8: s8, a-s16: s16, a-u16: u16, a-u32: u32, a-s64: s64, a-u64: u64, a-f32: f32, a-f64: f64,
            a-char: char, text: string, pair: tuple<u8, string>, four: list<u16, 4>, by-name: map<string, u8>, by-number: map<u64, string>,
            points: list<point>, filter: filter, color: color, access: access, deep: option<option<u8>>,
            did: result<u8, string>, plain: result,
        }";
    let mut echo = Echo::new(declarations, "everything");
    let value = json!({
        "a-bool": true, "bytes": [0, 255], "a-s8": -128, "a-s16": -2, "a-u16": 65535, "a-u32": 4_294_967_295_u32,
        "a-s64": i64::MIN, "a-u64": u64::MAX, "a-f32": 1.1, "a-f64": -0.0, "a-char": "🦀", "text": "naïve \0", "pair": [1, ""],
        "four": [1, 2, 3, 4], "by-name": {"a": 1, "b/c": 2}, "by-number": [[2, "b"], [1, "a"]],
        "points": [{"x": 1, "label": null}, {"x": -1, "label": "a"}], "filter": {"only": [{"x": 0, "label": ""}]},
        "color": "dark-blue", "access": ["read", "write"], "deep": {"some": null}, "did": {"err": "no"}, "plain": {"ok": null},
    });
    assert_eq!(echo.send(&value).to_string(), value.to_string());
}

#[test]
fn what_is_no_number_goes_through_a_guest() {
    let mut echo = Echo::new("", "tuple<f32, f32, f64, f64>");
    for value in [json!(["NaN", "Infinity", "NaN", "-Infinity"]), json!([-0.0, 1e-45, 5e-324, -0.0])] {
        assert_eq!(echo.send(&value).to_string(), value.to_string());
    }
}
