//! Where a recorded value came from: the run's inputs, an earlier answer, or nowhere.
//!
//! One run proves little, so the rule is: no reason, no change. A value counts as explained only where it is
//! telling (long or odd enough not to coincide), where it was not known before the answer it is found in, and
//! where it stands in a place that does not depend on the order of a list. Everything else stays literal.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde_json::Value;

use super::plan::{Decision, DecisionKind};
use super::template::{Part, Source, Template};
use crate::json::{self, Json};
use crate::limits;

/// How a reason begins that says where a literal may have come from.
pub const PERHAPS: &str = "may come from";

/// Text longer than this is compared as a whole only; searching it for every earlier value would take too long.
const SEARCHED_CHARS_MAX: usize = 64 * 1024;
/// Values taken from one answer at the most; a listing of thousands of files explains nothing.
const VALUES_PER_ANSWER_MAX: usize = 512;
/// Earlier values that are looked for inside text: the latest ones, so that a long run stays fast.
const SEARCHED_VALUES_MAX: usize = 4096;
/// Origins that a reason names.
const SHOWN_ORIGINS: usize = 4;
/// Characters of a value that a reason shows.
const SHOWN_CHARS: usize = 40;

/// A value that was known before a step, and where from.
#[derive(Debug, Clone)]
struct Known {
    source: Source,
    value: Value,
    /// The last word of its path, for values that tell only together with their name.
    name: String,
    /// When it became known: 0 for the run's inputs, then one more with each step.
    since: usize,
}

/// What a recorded value may have come from.
enum Origin<'a> {
    /// This, and nothing else that became known as early.
    One(&'a Known),
    /// Any of these: the run cannot say which.
    Several(Vec<&'a Known>),
    Nothing,
}

/// Of values that are alike, what became known first counts; among those the one whose name fits, or the only
/// one.
fn origin<'a>(alike: impl IntoIterator<Item = &'a Known>, name: &str) -> Origin<'a> {
    let mut alike: Vec<&Known> = alike.into_iter().collect();
    let first = alike.iter().map(|known| known.since).min();
    alike.retain(|known| Some(known.since) == first);
    match (alike.iter().find(|known| known.name == name), alike.as_slice()) {
        (_, []) => Origin::Nothing,
        (Some(fitting), _) => Origin::One(fitting),
        (None, [only]) => Origin::One(only),
        (None, _) => Origin::Several(alike),
    }
}

/// All values known so far in a run.
#[derive(Debug, Default)]
pub struct Origins {
    parameters: Vec<Known>,
    outputs: Vec<Known>,
    /// Places in `outputs` by the value's text, earliest first.
    by_text: HashMap<String, Vec<usize>>,
    /// Places in `outputs` of values that tell inside longer text, latest last.
    inside: VecDeque<usize>,
    /// Values that stood in a list: seen, but not usable as an origin, since the next job's list may be another.
    listed: HashMap<String, Source>,
    /// Texts that stood in the inputs of steps so far: an answer that repeats one is an echo.
    given: HashSet<String>,
    /// Steps learned from.
    learned: usize,
}

impl Origins {
    /// Starts from the run's inputs.
    #[must_use]
    pub fn of_inputs(inputs: &Value) -> Self {
        let mut origins = Origins::default();
        for (name, value) in inputs.as_object().into_iter().flatten() {
            walk(value, "", &mut |pointer, value| {
                let source = Source::Parameter { name: name.clone(), pointer: pointer.to_owned() };
                let name = last_word(pointer).unwrap_or(name).to_owned();
                origins.parameters.push(Known { name, source, value: value.clone(), since: 0 });
            });
        }
        origins
    }

    /// Adds what step `id` was given and what it answered.
    pub fn learn(&mut self, id: &str, input: &Value, output: &Value) {
        walk(input, "", &mut |_, value| {
            self.given.insert(value.to_string());
        });
        self.learned += 1;
        let mut taken = 0;
        walk(output, "", &mut |pointer, value| {
            if taken >= VALUES_PER_ANSWER_MAX || self.given.contains(&value.to_string()) {
                return;
            }
            taken += 1;
            let source = Source::Output { step: id.to_owned(), pointer: pointer.to_owned() };
            let known =
                Known { source, name: last_word(pointer).unwrap_or_default().to_owned(), value: value.clone(), since: self.learned };
            if in_a_list(output, pointer) {
                self.listed.entry(value.to_string()).or_insert(known.source);
            } else {
                self.add_output(known);
            }
        });
    }

    fn add_output(&mut self, known: Known) {
        let place = self.outputs.len();
        self.by_text.entry(known.value.to_string()).or_default().push(place);
        if telling_inside(&known.value) {
            self.inside.push_back(place);
            if self.inside.len() > SEARCHED_VALUES_MAX {
                self.inside.pop_front();
            }
        }
        self.outputs.push(known);
    }

    /// The template for `value` at `pointer` of a step's input, with a decision for each leaf.
    pub fn explain(&self, pointer: &str, value: &Value, decisions: &mut Vec<Decision>) -> Template {
        match self.whole(last_word(pointer).unwrap_or_default(), value) {
            Origin::Nothing => {}
            Origin::Several(alike) => {
                let names: Vec<String> = alike.iter().take(SHOWN_ORIGINS).map(|known| known.source.to_string()).collect();
                let reason = format!("{PERHAPS} {}; one run cannot say which, so it stays literal", names.join(" or "));
                decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Constant, reason });
                return Template::Constant(value.into());
            }
            Origin::One(known) => {
                let (kind, reason) = match &known.source {
                    Source::Parameter { .. } => (DecisionKind::Parameter, format!("equals the run's {}", known.source)),
                    Source::Output { step, pointer } => {
                        (DecisionKind::Reference, format!("equals what {step} answered{} ({})", at(pointer), shown(value)))
                    }
                    other => (DecisionKind::Reference, format!("equals {other} ({})", shown(value))),
                };
                decisions.push(Decision { at: pointer.to_owned(), kind, reason });
                return Template::Value(known.source.clone());
            }
        }
        let below = |key: &str| json::below(pointer, key);
        let shallow = pointer.matches('/').count() < limits::LIFT_DEPTH_MAX;
        match value {
            Value::Object(fields) if shallow && !fields.is_empty() => {
                Template::Object(fields.iter().map(|(key, value)| (key.clone(), self.explain(&below(key), value, decisions))).collect())
            }
            Value::Array(items) if shallow && !items.is_empty() => {
                Template::Array(items.iter().enumerate().map(|(i, value)| self.explain(&below(&i.to_string()), value, decisions)).collect())
            }
            Value::String(text) => self.explain_text(pointer, text, decisions),
            other => self.constant(pointer, other, decisions),
        }
    }

    fn constant(&self, pointer: &str, value: &Value, decisions: &mut Vec<Decision>) -> Template {
        let listed = self.listed.get(&value.to_string()).filter(|_| telling_alone(value));
        let reason = match (listed, self.perhaps(value)) {
            (Some(source), _) => format!("stands in a list as {source}; one run cannot say whether its place matters, so it stays literal"),
            (None, Some(source)) => format!("{PERHAPS} {source}, but a word like that may stand there by chance, so it stays literal"),
            (None, None) => "no input and no earlier answer explains it".to_owned(),
        };
        decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Constant, reason });
        Template::Constant(value.into())
    }

    /// A known value in `value` that is not telling enough to be its source, but worth a word to a person.
    fn perhaps(&self, value: &Value) -> Option<&Source> {
        let text = value.as_str().filter(|text| text.len() <= SEARCHED_CHARS_MAX)?;
        let holds = |known: &&Known| {
            let needle = known.value.as_str().filter(|needle| needle.chars().count() >= 3);
            needle.is_some_and(|needle| text.match_indices(needle).any(|(start, hit)| stands_alone(text, start, start + hit.len())))
        };
        let long = |known: &&Known| known.value.as_str().is_some_and(|text| text.chars().count() >= 8);
        let outputs = self.outputs.iter().rev().take(SEARCHED_VALUES_MAX).filter(long);
        self.parameters.iter().chain(outputs).find(holds).map(|known| &known.source)
    }

    /// Known values that equal all of `value` and tell: inputs first, then the earliest answer.
    fn whole(&self, name: &str, value: &Value) -> Origin<'_> {
        // By their text: -0.0 and 0.0 are equal, and not the same bytes.
        let text = value.to_string();
        let same = |known: &&Known| known.value == *value && Json::from(&known.value).as_str() == text;
        let parameter = |known: &&Known| same(known) && (telling_parameter(value) || known.name == name);
        let output = |known: &&Known| telling_alone(value) || (known.name == name && telling_with_name(value));
        let places = self.by_text.get(&text).into_iter().flatten();
        let outputs = places.map(|at| &self.outputs[*at]).filter(output);
        origin(self.parameters.iter().filter(parameter).chain(outputs), name)
    }

    fn explain_text(&self, pointer: &str, text: &str, decisions: &mut Vec<Decision>) -> Template {
        let found = self.inside(text);
        if found.is_empty() {
            return self.constant(pointer, &Value::from(text), decisions);
        }
        let mut parts = Vec::new();
        let mut reasons = Vec::new();
        let mut done = 0;
        for (start, end, known) in found {
            if start > done {
                parts.push(Part::Literal(text[done..start].to_owned()));
            }
            let reason = match &known.source {
                Source::Parameter { .. } => format!("holds the run's {}", known.source),
                Source::Output { step, pointer } => format!("holds what {step} answered{} ({})", at(pointer), shown(&known.value)),
                other => format!("holds {other} ({})", shown(&known.value)),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
            parts.push(Part::Value(known.source.clone()));
            done = end;
        }
        if done < text.len() {
            parts.push(Part::Literal(text[done..].to_owned()));
        }
        decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Composed, reason: reasons.join("; ") });
        Template::Text(parts)
    }

    /// Known values inside `text`, left to right without overlap; of several that start together the longest.
    fn inside(&self, text: &str) -> Vec<(usize, usize, &Known)> {
        if text.len() > SEARCHED_CHARS_MAX {
            return Vec::new();
        }
        let path_like = !text.contains(char::is_whitespace);
        let parameters = self.parameters.iter().filter(|known| telling_inside_parameter(&known.value, path_like));
        let outputs = self.inside.iter().map(|at| &self.outputs[*at]);
        let mut alike: BTreeMap<String, Vec<&Known>> = BTreeMap::new();
        for known in parameters.chain(outputs) {
            alike.entry(crate::json::text_of(&known.value)).or_default().push(known);
        }
        let mut found: Vec<(usize, usize, &Known)> = Vec::new();
        for (needle, alike) in alike {
            if let Origin::One(known) = origin(alike, "") {
                found.extend(text.match_indices(&needle).map(|(start, hit)| (start, start + hit.len(), known)));
            }
        }
        found.retain(|(start, end, _)| stands_alone(text, *start, *end));
        found.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let mut done = 0;
        found.retain(|(start, end, _)| {
            let free = *start >= done;
            if free {
                done = *end;
            }
            free
        });
        found
    }
}

/// Visits a value and everything in it, outermost first.
pub(super) fn walk(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(pointer, value);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(value, &json::below(pointer, key), visit)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| walk(value, &format!("{pointer}/{i}"), visit)),
        _ => {}
    }
}

/// True where the way to `pointer` leads through a list.
pub(super) fn in_a_list(document: &Value, pointer: &str) -> bool {
    pointer.match_indices('/').any(|(end, _)| document.pointer(&pointer[..end]).is_some_and(Value::is_array))
}

pub(super) fn last_word(pointer: &str) -> Option<&str> {
    pointer.rsplit_once('/').map(|(_, word)| word)
}

/// A run's input as a whole: an agent that used the value most likely meant the input.
pub(super) fn telling_parameter(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().count() >= 3,
        Value::Number(number) => number.as_f64().is_some_and(|n| n.abs() >= 10.0),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Null => false,
    }
}

/// An answer's value as a whole.
pub(super) fn telling_alone(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().count() >= 4,
        Value::Number(number) => number.as_f64().is_some_and(|n| n.abs() >= 1000.0),
        Value::Array(items) => items.iter().any(telling_alone),
        Value::Object(fields) => fields.values().any(telling_alone),
        Value::Bool(_) | Value::Null => false,
    }
}

/// An answer's value together with a field of the same name.
pub(super) fn telling_with_name(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        _ => false,
    }
}

/// An answer's value inside longer text.
pub(super) fn telling_inside(value: &Value) -> bool {
    let (Value::String(_) | Value::Number(_)) = value else { return false };
    let text = crate::json::text_of(value);
    let n = text.chars().count();
    let digits = text.chars().filter(char::is_ascii_digit).count();
    (digits > 0 && digits < n && n >= 4) || (digits == n && n >= 6) || n >= 12
}

/// A run's input inside longer text; a plain word only where it is a part of a path.
pub(super) fn telling_inside_parameter(value: &Value, path_like: bool) -> bool {
    let (Value::String(_) | Value::Number(_)) = value else { return false };
    let text = crate::json::text_of(value);
    let n = text.chars().count();
    let odd = text.contains(|c: char| !c.is_alphabetic());
    ((odd || path_like) && n >= 3) || n >= 10
}

/// True where the text at `start..end` is not a part of a longer word or number: letters do not go on as
/// letters, digits not as digits, and a version or decimal number not with a further `.5`.
pub(super) fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let (before, inside, after) = (&text[..start], &text[start..end], &text[end..]);
    let same = |a: Option<char>, b: Option<char>| matches!((a, b), (Some(a), Some(b)) if (a.is_alphabetic() && b.is_alphabetic()) || (a.is_ascii_digit() && b.is_ascii_digit()));
    let (first, last) = (inside.chars().next(), inside.chars().next_back());
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let goes_on = digit(last) && after.starts_with('.') && digit(after.chars().nth(1));
    let came_from = digit(first) && before.ends_with('.') && digit(before.chars().rev().nth(1));
    !same(before.chars().next_back(), first) && !same(last, after.chars().next()) && !goes_on && !came_from
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at {pointer}") }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The kind of the decision for `input` after a run with `inputs` whose only earlier step answered `answer`.
    fn kind(inputs: Value, answer: Value, input: Value) -> (DecisionKind, String) {
        let mut origins = Origins::of_inputs(&inputs);
        origins.learn("s1", &json!({"path": "project/a.txt"}), &answer);
        let mut decisions = Vec::new();
        origins.explain("/text", &input, &mut decisions);
        let decision = decisions.pop().unwrap();
        (decision.kind, decision.reason)
    }

    #[test]
    fn a_value_is_explained_only_with_a_reason() {
        use DecisionKind::{Composed, Constant, Parameter, Reference};
        let version = || json!({"version": "1.4.0", "dry": true, "n": 3, "name": "release"});
        for (what, answer, input, expected) in [
            ("equals an input", json!(null), json!("1.4.0"), Parameter),
            ("holds an input", json!(null), json!("tag v1.4.0 now"), Composed),
            ("a longer number", json!(null), json!("tag 11.4.0 now"), Constant),
            ("a longer version", json!(null), json!("1.4.0.1"), Constant),
            ("a version inside another", json!(null), json!("2.1.4.0"), Constant),
            ("a plain word in prose", json!(null), json!("the release is out"), Constant),
            ("a plain word in a path", json!(null), json!("dist/release/x"), Composed),
            ("a small number", json!(null), json!(3), Constant),
            ("a boolean", json!(null), json!(true), Constant),
            ("equals an answer", json!({"id": "inv-4711"}), json!("inv-4711"), Reference),
            ("holds an answer", json!({"id": "inv-4711"}), json!("/invoices/inv-4711/pay"), Composed),
            ("an echo of what the step was given", json!({"path": "project/a.txt"}), json!("project/a.txt"), Constant),
            ("one of several in a list", json!({"ids": ["inv-1", "inv-2"]}), json!("inv-2"), Constant),
            ("the only one of a list", json!({"ids": ["inv-1"]}), json!("inv-1"), Constant),
            ("one of two that are alike", json!({"id": "inv-1", "own": "inv-1"}), json!("inv-1"), Constant),
            ("a short answer", json!({"ok": "yes"}), json!("yes"), Constant),
        ] {
            let (found, reason) = kind(version(), answer, input);
            assert_eq!(found, expected, "{what}: {reason}");
        }
    }

    #[test]
    fn of_values_that_are_alike_the_one_whose_name_fits_is_meant() {
        let origins = Origins::of_inputs(&json!({"author": "anabel", "reviewer": "anabel"}));
        let mut decisions = Vec::new();
        let template =
            origins.explain("", &json!({"reviewer": "anabel", "who": "anabel", "note": "by anabel-x1 for anabel"}), &mut decisions);
        assert_eq!(template.to_string(), r#"{note: "by anabel-x1 for anabel", reviewer: input.reviewer, who: "anabel"}"#);
        let who = decisions.iter().find(|d| d.at == "/who").unwrap();
        assert_eq!(who.reason, "may come from input.author or input.reviewer; one run cannot say which, so it stays literal");
    }

    #[test]
    fn an_input_comes_before_an_answer_and_the_longest_before_a_part() {
        let mut origins = Origins::of_inputs(&json!({"tag": "v1.4.0-rc1"}));
        origins.learn("s1", &json!({}), &json!({"tag": "v1.4.0-rc1", "version": "v1.4.0"}));
        let mut decisions = Vec::new();
        let template = origins.explain("/x", &json!("notes for v1.4.0-rc1 and v1.4.0"), &mut decisions);
        let Template::Text(parts) = template else { panic!("{template:?}") };
        let tag = Source::Parameter { name: "tag".to_owned(), pointer: String::new() };
        let version = Source::Output { step: "s1".to_owned(), pointer: "/version".to_owned() };
        assert_eq!(
            parts,
            [Part::Literal("notes for ".to_owned()), Part::Value(tag), Part::Literal(" and ".to_owned()), Part::Value(version)]
        );
    }
}
