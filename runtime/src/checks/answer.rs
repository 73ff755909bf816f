//! Judging a step's answer. Pure: the same answer gives the same verdict for ever, so that a recording can be judged too.

use serde_json::Value;

use super::shape::Shape;
use super::{Finding, Spec, clipped};
use crate::json::{Json, text_of};
use crate::limits;

/// What `spec` says of `answer`.
pub(super) fn judge(spec: &Spec, answer: &Value) -> Finding {
    match spec {
        Spec::ExitCode { equals } => exit_code(answer, *equals),
        Spec::StdoutContains { text } => contains(&stdout(answer), "output", text),
        Spec::StderrContains { text } => contains(&stream(answer, "stderr"), "error output", text),
        Spec::OutputRegex { pattern } => matches(answer, pattern),
        Spec::Shape { schema } => shape(answer, schema),
        Spec::Equals { pointer, value } => equals(answer, pointer, value),
        Spec::Exists { pointer } => match answer.pointer(pointer) {
            Some(_) => Finding::pass(format!("there is {}", place(pointer))),
            None => Finding::fail(format!("there is no {}", place(pointer))),
        },
        _ => Finding::unknown("it does not ask about the answer"),
    }
}

/// A pattern that takes time in proportion to the text.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text)
        .size_limit(limits::CHECK_PATTERN_BYTES_MAX)
        .build()
        .map_err(|e| format!("the pattern cannot be used: {}", e.to_string().lines().last().unwrap_or_default()))
}

/// A place in the answer, in words.
pub(super) fn place(pointer: &str) -> String {
    if pointer.is_empty() { "the answer".to_owned() } else { format!("{pointer} in the answer") }
}

/// What a program wrote, as far as the answer has it.
enum Text {
    Whole(String),
    /// The answer has only its beginning.
    Beginning(String),
    Absent,
}

/// An answer that is text is what the program wrote: so agents record their shells.
fn stdout(answer: &Value) -> Text {
    match answer {
        Value::String(text) => Text::Whole(text.clone()),
        other => stream(other, "stdout"),
    }
}

fn stream(answer: &Value, name: &str) -> Text {
    match answer.get(name).and_then(Value::as_str) {
        None => Text::Absent,
        Some(text) if answer.get(format!("{name}_truncated")) == Some(&Value::Bool(true)) => Text::Beginning(text.to_owned()),
        Some(text) => Text::Whole(text.to_owned()),
    }
}

fn contains(text: &Text, name: &str, part: &str) -> Finding {
    match text {
        Text::Whole(text) | Text::Beginning(text) if text.contains(part) => Finding::pass(format!("{part:?} stands in its {name}")),
        Text::Whole(_) => Finding::fail(format!("{part:?} does not stand in its {name}")),
        Text::Beginning(_) => Finding::unknown(format!("{part:?} does not stand in what was kept of its {name}; the rest was cut off")),
        Text::Absent => Finding::unknown(format!("the answer has no {name}")),
    }
}

fn exit_code(answer: &Value, wanted: i64) -> Finding {
    let found = ["exit_code", "code"].into_iter().find_map(|field| answer.get(field)).and_then(Value::as_i64);
    match found {
        None => Finding::unknown("the answer has no exit code"),
        Some(code) if code == wanted => Finding::pass(format!("it ended with code {code}")),
        Some(code) => Finding::fail(format!("it ended with code {code} and not with {wanted}")),
    }
}

/// Output and error output where the answer has them, the whole answer as text otherwise.
fn matches(answer: &Value, text: &str) -> Finding {
    let pattern = match pattern(text) {
        Ok(pattern) => pattern,
        Err(why) => return Finding::unknown(why),
    };
    let (mut cut, mut said) = (false, Vec::new());
    for part in [stdout(answer), stream(answer, "stderr")] {
        cut |= matches!(part, Text::Beginning(_));
        if let Text::Whole(text) | Text::Beginning(text) = part {
            said.push(text);
        }
    }
    let whole = if said.is_empty() { text_of(answer) } else { said.join("\n") };
    match pattern.is_match(&whole) {
        true => Finding::pass(format!("a place in the answer fits {text:?}")),
        false if cut => Finding::unknown(format!("nothing that was kept of the answer fits {text:?}; the rest was cut off")),
        false => Finding::fail(format!("nothing in the answer fits {text:?}")),
    }
}

fn shape(answer: &Value, wanted: &Json) -> Finding {
    match Shape::of(&wanted.value()).and_then(|shape| shape.misfits(answer, 1)) {
        Err(why) => Finding::unknown(why),
        Ok(misfits) => match misfits.first() {
            None => Finding::pass("the answer has the shape that it is to have"),
            Some(misfit) => Finding::fail(format!("{}: {}", place(&misfit.place), clipped(&misfit.why, limits::CHECK_VALUE_CHARS_MAX))),
        },
    }
}

fn equals(answer: &Value, pointer: &str, wanted: &Json) -> Finding {
    let short = |json: &Json| clipped(json.as_str(), limits::CHECK_VALUE_CHARS_MAX);
    match answer.pointer(pointer).map(Json::from) {
        None => Finding::fail(format!("there is no {}", place(pointer))),
        Some(found) if found == *wanted => Finding::pass(format!("{} is {}", place(pointer), short(&found))),
        Some(found) => Finding::fail(format!("{} is {} and not {}", place(pointer), short(&found), short(wanted))),
    }
}
