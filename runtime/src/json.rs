//! JSON that was checked once and is canonical from then on.
//!
//! Its job: turn bytes from outside into [`Json`], or say what is wrong with them. Canonical means:
//! object keys in byte order, no white space, numbers as serde_json prints them. Two values are equal
//! exactly when their canonical texts are. A repeated key is refused. A whole number is kept exactly or,
//! outside 64 bits, refused. A fraction or a number with an exponent is read as the nearest double, as every
//! JSON library does: `0.1000000000000000055` and `0.1` are one value here; beyond a double's range it is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::limits;

/// One checked JSON document in canonical form. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks `text` and makes it canonical.
    ///
    /// # Errors
    /// `invalid_json`, `json_too_deep`, `json_duplicate_key`, `json_number_not_exact`.
    pub fn parse(text: &[u8]) -> Result<Self> {
        parse(text).map(|value| Json::from(&value))
    }

    /// The document as a tree.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("canonical JSON parses")
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the canonical text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// Takes text that this program wrote itself in canonical form.
    pub(crate) fn trusted(text: impl Into<Arc<str>>) -> Self {
        Json(text.into())
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        // serde_json's map is a BTreeMap here (no `preserve_order`), so keys come out in byte order; a test holds it to that.
        Json(serde_json::to_string(value).expect("a tree of JSON values prints").into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(s)
    }
}

/// Reads back what [`Serialize`] wrote: text of our own, or text whose enclosing document was checked by [`parse`].
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Json::from(&Value::deserialize(d)?))
    }
}

/// For a field that may be missing: one that is there has a value, even where the value is `null`.
pub(crate) fn there<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(d).map(Some)
}

/// Checks `text` and reads it as a tree.
///
/// # Errors
/// `invalid_json` with line and column, `json_too_deep`, `json_duplicate_key`, `json_number_not_exact`.
pub fn parse(text: &[u8]) -> Result<Value> {
    parse_within(text, limits::JSON_DEPTH_MAX)
}

/// As [`parse`], with another limit on nesting; serde_json's own is 128.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(text: &[u8], depth_max: usize) -> Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value =
        Checked { left: depth_max }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)).map_err(|e| refused(&e))?;
    match inexact_number(text) {
        None => Ok(value),
        Some(number) => Err(Error::new(
            Code::JsonNumberNotExact,
            format!("{number} does not fit into 64 bits and would be rounded; send it as a string"),
        )),
    }
}

/// The text of a value as a guest's `data.text` and an in-string splice see it: a string without quotes
/// and escapes, anything else as it is written.
#[must_use]
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// The JSON pointer (RFC 6901) to what lies under `key` of what `pointer` names.
#[must_use]
pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

const DEEP: &str = "nested too deep";
const TWICE: &str = "has the key";

fn refused(e: &serde_json::Error) -> Error {
    let text = e.to_string();
    if text.contains(DEEP) || text.contains("recursion limit") {
        Error::new(Code::JsonTooDeep, format!("nested deeper than {} levels ({text})", limits::JSON_DEPTH_MAX))
    } else if text.contains(TWICE) {
        Error::new(Code::JsonDuplicateKey, text)
    } else if text.contains("number out of range") {
        Error::new(Code::JsonNumberNotExact, text)
    } else {
        Error::new(Code::InvalidJson, text)
    }
}

/// Finds a whole number outside 64 bits in text that is already known to be JSON.
fn inexact_number(text: &[u8]) -> Option<&str> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += 1;
                while text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let len = text[at..].iter().take_while(|c| matches!(c, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')).count();
                let number = std::str::from_utf8(&text[at..at + len]).expect("only ASCII was taken");
                let whole = !number.contains(['.', 'e', 'E']);
                if whole && number != "-0" && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    return Some(number);
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    None
}

/// Reads a [`Value`] while counting depth and refusing repeated keys.
struct Checked {
    /// Levels that may still open.
    left: usize,
}

impl Checked {
    fn deeper<E: de::Error>(&self) -> Result<Checked, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Checked { left }),
            None => Err(E::custom(DEEP)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let left = self.deeper()?.left;
        while let Some(item) = seq.next_element_seed(Checked { left })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        let left = self.deeper()?.left;
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Checked { left })?;
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("an object {TWICE} {key:?} twice; a key may stand once")));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_text_has_sorted_keys_and_no_space() {
        let json = Json::parse(br#" { "b" : [1, 2.50], "a" : {"z":"\u0041","y":null} } "#).unwrap();
        assert_eq!(json.as_str(), r#"{"a":{"y":null,"z":"A"},"b":[1,2.5]}"#);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_code() {
        for (text, code) in [
            (r#"{"a":1,"a":2}"#, Code::JsonDuplicateKey),
            (r#"{"a":{"b":1,"b":1}}"#, Code::JsonDuplicateKey),
            ("18446744073709551616", Code::JsonNumberNotExact),
            ("[-9223372036854775809]", Code::JsonNumberNotExact),
            ("1e999", Code::JsonNumberNotExact),
            ("{", Code::InvalidJson),
            ("1 2", Code::InvalidJson),
            (r#""\ud800""#, Code::InvalidJson),
        ] {
            assert_eq!(Json::parse(text.as_bytes()).unwrap_err().code, code, "{text}");
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(Json::parse(deep.as_bytes()).unwrap_err().code, Code::JsonTooDeep);
        let deepest = "[".repeat(limits::JSON_DEPTH_MAX) + &"]".repeat(limits::JSON_DEPTH_MAX);
        assert!(Json::parse(deepest.as_bytes()).is_ok());
    }

    #[test]
    fn whole_numbers_of_64_bits_are_kept_exactly() {
        for text in ["9007199254740993", "18446744073709551615", "-9223372036854775808", r#"["99999999999999999999"]"#] {
            assert_eq!(Json::parse(text.as_bytes()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn fractions_are_read_as_the_nearest_double() {
        for (text, canonical) in
            [("0.1000000000000000055", "0.1"), ("9007199254740993.0", "9007199254740992.0"), ("1e2", "100.0"), ("1e-999", "0.0")]
        {
            assert_eq!(Json::parse(text.as_bytes()).unwrap().as_str(), canonical);
        }
    }

    #[test]
    fn a_pointer_finds_what_lies_under_a_key_of_any_kind() {
        for key in ["plain", "", "a/b", "~", "~1", "/~0"] {
            let document = serde_json::json!({ "outer": { key: 1 } });
            assert_eq!(document.pointer(&below("/outer", key)), Some(&Value::from(1)), "{key:?}");
        }
    }

    /// Any JSON of a few levels.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_as_itself(value in any_json()) {
            let json = Json::from(&value);
            let again = Json::parse(json.as_str().as_bytes()).unwrap();
            prop_assert_eq!(&again, &json);
            prop_assert_eq!(Json::from(&again.value()), json);
        }
    }
}
