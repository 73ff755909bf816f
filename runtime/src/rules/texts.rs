//! Rules that take texts apart and put them together.

use serde_json::Value;

use super::{shown, too_much};
use crate::json::text_of;
use crate::limits;

/// What stands after the first `after`, up to the next `before`.
pub(super) fn between<'a>(text: &'a str, after: &str, before: &str) -> Result<&'a str, String> {
    let lacks = |what: &str| format!("{} has no {}", shown(&Value::from(text)), Value::from(what));
    let from = text.find(after).ok_or_else(|| lacks(after))? + after.len();
    let rest = &text[from..];
    if before.is_empty() {
        return Ok(rest);
    }
    rest.find(before).map(|end| &rest[..end]).ok_or_else(|| format!("{} behind it", lacks(before)))
}

/// The pieces between `by`; where it is empty, between white space.
pub(super) fn pieces<'a>(text: &'a str, by: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    if by.is_empty() { Box::new(text.split_whitespace()) } else { Box::new(text.split(by)) }
}

/// One of the pieces; below 0 from the end.
pub(super) fn piece<'a>(text: &'a str, by: &'a str, at: i32) -> Result<&'a str, String> {
    let count = pieces(text, by).count();
    let place = usize::try_from(at).ok().or_else(|| count.checked_sub(usize::try_from(at.unsigned_abs()).ok()?));
    place.and_then(|place| pieces(text, by).nth(place)).ok_or_else(|| format!("{} has {count} pieces", shown(&Value::from(text))))
}

/// A list of texts.
pub(super) fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    let items: Vec<Value> = texts.take(limits::RULE_ITEMS_MAX + 1).map(Value::from).collect();
    if items.len() > limits::RULE_ITEMS_MAX { Err(format!("more than {} elements", limits::RULE_ITEMS_MAX)) } else { Ok(items.into()) }
}

/// The texts of a list's elements with `with` between them.
pub(super) fn join(value: &Value, with: &str) -> Result<String, String> {
    let items = value.as_array().ok_or_else(|| format!("{} is no list", shown(value)))?;
    let mut joined = String::new();
    for (at, item) in items.iter().enumerate() {
        joined.push_str(if at == 0 { "" } else { with });
        joined.push_str(&text_of(item));
        if joined.len() > limits::JSON_BYTES_MAX {
            return Err(too_much());
        }
    }
    Ok(joined)
}

/// The text with every `from` replaced. Without `from` nothing is: an empty text stands everywhere.
pub(super) fn replace(text: &str, from: &str, to: &str) -> Result<String, String> {
    if from.is_empty() {
        return Err("there is nothing to replace".to_owned());
    }
    // Counted first, so that nothing large is made to be thrown away.
    let growth = text.matches(from).count().saturating_mul(to.len().saturating_sub(from.len()));
    if text.len().saturating_add(growth) > limits::JSON_BYTES_MAX { Err(too_much()) } else { Ok(text.replace(from, to)) }
}
