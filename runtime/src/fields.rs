//! Reads the fields of one JSON object that somebody sent, and collects everything that is wrong with it.
//!
//! It knows types, limits and how to say what would have been right; it does not know what a run is.
//! The rule: a field that reads as `None` is either absent or has left an issue, so a caller who asks
//! for what is required and then calls [`Fields::build`] gets the value or every issue at once.

use serde_json::{Map, Value};

use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;

/// Issues that an error's message spells out; all of them are in `issues`.
const ISSUES_IN_MESSAGE: usize = 3;

/// One object while it is being read.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// Pointer to the object within what was sent.
    at: String,
    asked: Vec<&'static str>,
    issues: Vec<Issue>,
    /// How many of the issues are about size in bytes alone.
    oversized: usize,
    meta_bytes: usize,
}

impl<'a> Fields<'a> {
    /// `at` is the pointer to `value` within what was sent; empty for the whole.
    pub(crate) fn of(value: &'a Value, at: &str) -> Result<Self> {
        match value.as_object() {
            Some(object) => Ok(Fields { object, at: at.to_owned(), asked: Vec::new(), issues: Vec::new(), oversized: 0, meta_bytes: 0 }),
            None => {
                let message = format!("{} stands here; it must be an object", found(value));
                Err(refusal(Code::InvalidRequest, vec![Issue { path: at.to_owned(), message }]))
            }
        }
    }

    /// Notes an issue for each of `names` that is absent.
    pub(crate) fn require(&mut self, names: &[&'static str]) {
        for name in names {
            if self.get(name).is_none() {
                self.issue(name, "is missing".to_owned());
            }
        }
    }

    /// True where the field is there and not null.
    pub(crate) fn has(&mut self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// The field as it stands.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.get(name)
    }

    /// Notes that `name` is wrong.
    pub(crate) fn issue(&mut self, name: &str, message: String) {
        self.issues.push(Issue { path: format!("{}/{name}", self.at), message });
    }

    /// Notes what someone else found wrong with what stands in a field.
    pub(crate) fn issues(&mut self, found: Vec<Issue>) {
        self.issues.extend(found);
    }

    /// 1 to `chars_max` characters.
    pub(crate) fn text(&mut self, name: &'static str, chars_max: usize) -> Option<String> {
        let value = self.get(name)?;
        let Some(text) = value.as_str() else { return self.wrong(name, value, &format!("a text of 1 to {chars_max} characters")) };
        match text.chars().count() {
            0 => self.wrong(name, value, &format!("a text of 1 to {chars_max} characters")),
            n if n > chars_max => {
                self.issue(name, format!("has {n} characters; at most {chars_max} are allowed"));
                None
            }
            _ => Some(text.to_owned()),
        }
    }

    /// A text that follows a rule of its own, which `parse` knows.
    pub(crate) fn id<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T>) -> Option<T> {
        let value = self.get(name)?;
        let Some(text) = value.as_str() else { return self.wrong(name, value, "a text of 1 to 128 visible characters") };
        match parse(text) {
            Ok(id) => Some(id),
            Err(e) => {
                let message = e.issues.into_iter().next().map_or(e.message, |issue| issue.message);
                self.issue(name, message);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let value = self.get(name)?;
        let chosen = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match chosen {
            Some((_, meaning)) => Some(*meaning),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                self.wrong(name, value, &format!("one of {}", words.join(", ")))
            }
        }
    }

    /// A whole number from 1 up.
    pub(crate) fn index(&mut self, name: &'static str) -> Option<u32> {
        let value = self.get(name)?;
        match value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= 1) {
            Some(n) => Some(n),
            None => self.wrong(name, value, &format!("a whole number from 1 to {}", u32::MAX)),
        }
    }

    /// True or false.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.get(name)?;
        match value.as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(name, value, "true or false"),
        }
    }

    /// Any JSON that fits into one value.
    pub(crate) fn json(&mut self, name: &'static str) -> Option<Json> {
        let value = self.get(name)?;
        if !self.shallow_enough(name, value) {
            return None;
        }
        let json = Json::from(value);
        let bytes = json.as_str().len();
        if bytes > limits::JSON_BYTES_MAX {
            self.oversized += 1;
            self.issue(name, format!("has {bytes} bytes; at most {} are allowed in one value", limits::JSON_BYTES_MAX));
            return None;
        }
        Some(json)
    }

    /// An object that fits into one value.
    pub(crate) fn json_object(&mut self, name: &'static str) -> Option<Json> {
        let value = self.get(name)?;
        if value.is_object() { self.json(name) } else { self.wrong(name, value, "an object") }
    }

    /// A small object, counted towards the limit that [`Fields::check_meta`] holds.
    pub(crate) fn meta_object(&mut self, name: &'static str) -> Option<Json> {
        let value = self.get(name)?;
        if value.is_object() { self.meta(name, value) } else { self.wrong(name, value, "an object") }
    }

    /// A text or a small object, counted likewise.
    pub(crate) fn meta_text_or_object(&mut self, name: &'static str) -> Option<Json> {
        let value = self.get(name)?;
        if is_text_or_object(value) { self.meta(name, value) } else { self.wrong(name, value, "a text or an object") }
    }

    /// A list of objects, counted likewise. Absent means empty.
    pub(crate) fn meta_objects(&mut self, name: &'static str) -> Vec<Json> {
        self.list(name, Value::is_object, "an object")
    }

    /// A list of texts or objects, counted likewise. Absent means empty.
    pub(crate) fn meta_texts_or_objects(&mut self, name: &'static str) -> Vec<Json> {
        self.list(name, is_text_or_object, "a text or an object")
    }

    /// Ends one row's small fields: together they must stay within their limit.
    pub(crate) fn check_meta(&mut self) {
        let bytes = std::mem::take(&mut self.meta_bytes);
        if bytes > limits::STEP_META_BYTES_MAX {
            self.oversized += 1;
            let message =
                format!("metadata, conditions, error and the like have {bytes} bytes; at most {} are allowed", limits::STEP_META_BYTES_MAX);
            self.issues.push(Issue { path: self.at.clone(), message });
        }
    }

    /// Notes an issue for each field that nobody asked for; `what` says what the object is.
    pub(crate) fn refuse_unknown(&mut self, what: &str) {
        for name in self.object.keys().filter(|name| !self.asked.contains(&name.as_str())) {
            let meant = nearest(name, &self.asked).map(|known| format!("; did you mean \"{known}\"?"));
            let message = format!("{name:?} is not a field of {what}{}", meant.unwrap_or_default());
            self.issues.push(Issue { path: self.at.clone(), message });
        }
    }

    /// The names that were asked for.
    #[cfg(test)]
    pub(super) fn names(&self) -> &[&'static str] {
        &self.asked
    }

    /// What was made of the fields, or everything that is wrong with them.
    ///
    /// # Errors
    /// `too_large` where nothing but sizes is wrong, else `invalid_request`; `issues` lists each place.
    pub(crate) fn build<T>(self, made: Option<T>) -> Result<T> {
        if self.issues.is_empty() {
            return Ok(made.expect("a required field that is absent or wrong has left an issue"));
        }
        let code = if self.oversized == self.issues.len() { Code::TooLarge } else { Code::InvalidRequest };
        Err(refusal(code, self.issues))
    }

    /// The field, unless it is absent or null, which is the same.
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn wrong<T>(&mut self, name: &str, value: &Value, right: &str) -> Option<T> {
        self.issue(name, format!("{} is not {right}", found(value)));
        None
    }

    fn meta(&mut self, name: &str, value: &Value) -> Option<Json> {
        if !self.shallow_enough(name, value) {
            return None;
        }
        let json = Json::from(value);
        self.meta_bytes += json.as_str().len();
        Some(json)
    }

    fn list(&mut self, name: &'static str, fits: fn(&Value) -> bool, right: &str) -> Vec<Json> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong::<()>(name, value, "a list");
            return Vec::new();
        };
        if items.len() > limits::STEP_LIST_MAX {
            self.issue(name, format!("has {} elements; at most {} are allowed", items.len(), limits::STEP_LIST_MAX));
            return Vec::new();
        }
        let mut list = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let place = format!("{name}/{n}");
            if fits(item) { list.extend(self.meta(&place, item)) } else { self.wrong::<()>(&place, item, right).unwrap_or_default() }
        }
        list
    }

    fn shallow_enough(&mut self, name: &str, value: &Value) -> bool {
        let fits = fits_depth(value, limits::RECORDED_DEPTH_MAX);
        if !fits {
            self.issue(name, format!("is nested deeper than {} levels", limits::RECORDED_DEPTH_MAX));
        }
        fits
    }
}

/// An error out of many issues, the first few of them in its message.
pub(crate) fn refusal(code: Code, issues: Vec<Issue>) -> Error {
    let spelled: Vec<String> = issues
        .iter()
        .take(ISSUES_IN_MESSAGE)
        .map(|issue| if issue.path.is_empty() { issue.message.clone() } else { format!("{}: {}", issue.path, issue.message) })
        .collect();
    let more = issues.len().saturating_sub(ISSUES_IN_MESSAGE);
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    Error::new(code, spelled.join("; ") + &tail).with_issues(issues)
}

/// A document of its own within a request, bounded as one value is.
///
/// # Errors
/// `too_large`, `invalid_request` where it is nested too deep.
pub(crate) fn fitting(value: &Value, at: &str) -> Result<Json> {
    if !fits_depth(value, limits::JSON_DEPTH_MAX) {
        return Err(Error::invalid(at, format!("is nested deeper than {} levels", limits::JSON_DEPTH_MAX)));
    }
    let json = Json::from(value);
    let bytes = json.as_str().len();
    if bytes > limits::JSON_BYTES_MAX {
        let issue = Issue { path: at.to_owned(), message: format!("has {bytes} bytes; at most {} are allowed", limits::JSON_BYTES_MAX) };
        return Err(refusal(Code::TooLarge, vec![issue]));
    }
    Ok(json)
}

fn is_text_or_object(value: &Value) -> bool {
    value.is_object() || value.as_str().is_some_and(|text| !text.is_empty())
}

/// Recursion is bounded: the enclosing document was accepted, so it is at most `JSON_DEPTH_MAX` deep.
fn fits_depth(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| fits_depth(item, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|field| fits_depth(field, levels - 1)),
        _ => true,
    }
}

/// What stands there, in words, short enough for a message.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The known name that `name` was most likely meant to be: one within it, or a few slips of the hand away.
pub(crate) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name: String = name.chars().take(limits::ID_CHARS_MAX).collect();
    let near = |known: &&'static str| {
        let slips = slips(&name, known);
        (slips <= known.len() / 3 + 1 || name.contains(*known)).then_some((slips, *known))
    };
    known.iter().filter_map(near).min().map(|(_, known)| known)
}

/// Letters added, dropped, changed or swapped with their neighbour between two words.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slip_of_the_hand_is_recognised_and_a_foreign_word_is_not() {
        let known = ["tool", "input", "status", "output", "error", "step_id"];
        for (name, meant) in [
            ("inptu", Some("input")),
            ("tool_input", Some("input")),
            ("tool_name", Some("tool")),
            ("Tool", Some("tool")),
            ("outputs", Some("output")),
            ("stepid", Some("step_id")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), &known), None);
    }

    #[test]
    fn sizes_alone_are_too_large_and_anything_else_beside_them_is_invalid() {
        let big = "x".repeat(limits::JSON_BYTES_MAX);
        for (body, code) in [
            (json!({"a": big}), Code::TooLarge),
            (json!({"a": big, "b": 0}), Code::InvalidRequest),
            (json!({"c": {"x": "y".repeat(limits::STEP_META_BYTES_MAX)}}), Code::TooLarge),
        ] {
            let mut fields = Fields::of(&body, "").unwrap();
            let (_, _, _) = (fields.json("a"), fields.index("b"), fields.meta_object("c"));
            fields.check_meta();
            assert_eq!(fields.build(Some(())).unwrap_err().code, code);
        }
    }
}
