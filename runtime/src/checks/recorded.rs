//! What recorders write down beside a step, read as checks.
//!
//! Recorders differ in how they name the fields of a condition, so that more than one name is read. What is not understood
//! stays as [`Spec::Other`]: it is shown, it is unknown, and it is never dropped in silence.

use serde_json::Value;

use super::{At, Spec};
use crate::fields;
use crate::json::Json;

/// One recorded condition of the state before a step.
#[must_use]
pub fn precondition(recorded: &Value) -> Spec {
    condition(recorded).filter(|spec| !spec.is_of_answer()).unwrap_or_else(|| other(recorded))
}

/// One recorded condition of the state after a step, its answer included.
#[must_use]
pub fn postcondition(recorded: &Value) -> Spec {
    condition(recorded).unwrap_or_else(|| other(recorded))
}

/// Why a condition is not understood, and what would be; none where it is. Whoever says a condition, rather than having recorded it, is
/// told: a slip of the hand in it would ask nothing in any job.
#[must_use]
pub fn not_understood(at: At, recorded: &Value) -> Option<String> {
    let of_answer = |kind: &str| ["exit_code", "stdout_contains", "stderr_contains", "output_regex"].contains(&kind);
    let known = CONDITIONS.iter().filter(|kind| at == At::After || !of_answer(kind));
    let Some(kind) = recorded.get("kind").and_then(Value::as_str) else {
        return Some(format!("names no kind; there are {}", listed(known)));
    };
    if !CONDITIONS.contains(&kind) {
        let meant = fields::nearest(kind, &CONDITIONS).map(|known| format!(", did you mean {known}")).unwrap_or_default();
        return Some(format!("there is no condition of the kind {kind:?}{meant}; there are {}", listed(known)));
    }
    if at == At::Before && of_answer(kind) {
        return Some(format!("{kind} asks about the answer, and before the call there is none; say it among the postconditions"));
    }
    match said(recorded) {
        None => Some(format!("is no whole condition: {}", with_fields(kind))),
        Some(spec) => spec.require_bounds().err().map(|e| e.message),
    }
}

/// As [`not_understood`], of what is expected of an answer: each key that asks nothing and was meant to. What recorders keep there beside
/// is left alone.
#[must_use]
pub fn signature_not_understood(recorded: &Value) -> Vec<(String, String)> {
    let wrong = |(key, value): (&String, &Value)| {
        let one = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        let found = signature(&one);
        let why = match (SIGNED.contains(&key.as_str()), found.as_slice()) {
            (true, specs) if specs.iter().any(|spec| matches!(spec, Spec::Other { .. })) => match key.as_str() {
                "exit_code" => "is not a whole number".to_owned(),
                "output_regex" => "is not a text".to_owned(),
                _ => "is neither a text nor a list of texts".to_owned(),
            },
            (true, specs) => specs.iter().find_map(|spec| spec.require_bounds().err())?.message,
            (false, _) => {
                let meant = fields::nearest(key, &SIGNED)?;
                format!("asks nothing; did you mean {meant}? There are {}", SIGNED.join(", "))
            }
        };
        Some((key.clone(), why))
    };
    recorded.as_object().into_iter().flatten().filter_map(wrong).collect()
}

/// The kinds that are read of what was recorded.
const CONDITIONS: [&str; 12] = [
    "always",
    "file_exists",
    "path_not_exists",
    "cwd_contains",
    "command_available",
    "env_exists",
    "env_equals",
    "port_free",
    "exit_code",
    "stdout_contains",
    "stderr_contains",
    "output_regex",
];
/// The keys of a signature that ask something.
const SIGNED: [&str; 4] = ["exit_code", "stdout_contains", "stderr_contains", "output_regex"];

fn listed<'a>(kinds: impl Iterator<Item = &'a &'static str>) -> String {
    kinds.map(|kind| with_fields(kind)).collect::<Vec<_>>().join(", ")
}

fn with_fields(kind: &str) -> String {
    match Spec::fields_of(kind) {
        Some(fields) if !fields.is_empty() => format!("{kind} (with {})", fields.join(" and ")),
        _ => kind.to_owned(),
    }
}

/// What a recorder expected of a step's answer: an object with `exit_code`, `stdout_contains`, `stderr_contains`, `output_regex`.
/// Recorders keep much else in a signature (a kind, a size, a digest): other keys ask nothing.
#[must_use]
pub fn signature(recorded: &Value) -> Vec<Spec> {
    let Some(fields) = recorded.as_object() else { return Vec::new() };
    let each = |(key, value): (&String, &Value)| -> Vec<Spec> {
        let texts = || match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let found = match key.as_str() {
            "exit_code" => value.as_i64().map(|equals| vec![Spec::ExitCode { equals }]),
            "stdout_contains" => texts().map(|all| all.into_iter().map(|text| Spec::StdoutContains { text }).collect()),
            "stderr_contains" => texts().map(|all| all.into_iter().map(|text| Spec::StderrContains { text }).collect()),
            "output_regex" => value.as_str().map(|pattern| vec![Spec::OutputRegex { pattern: pattern.to_owned() }]),
            _ => return Vec::new(),
        };
        found.unwrap_or_else(|| vec![other(&Value::Object([(key.clone(), value.clone())].into_iter().collect()))])
    };
    fields.iter().flat_map(each).collect()
}

/// What stands at the place of a secret begins with this.
const PLACEHOLDER: &str = "{{secret:";

fn other(recorded: &Value) -> Spec {
    Spec::Other { recorded: Json::from(recorded) }
}

fn condition(recorded: &Value) -> Option<Spec> {
    said(recorded).filter(|spec| spec.require_bounds().is_ok())
}

/// What a condition says, whether or not its patterns can be used.
fn said(recorded: &Value) -> Option<Spec> {
    let text = |names: &[&str]| names.iter().find_map(|name| recorded.get(name)?.as_str()).map(str::to_owned);
    let number = |names: &[&str]| names.iter().find_map(|name| recorded.get(name)?.as_i64());
    let path = || text(&["path", "file", "value", "target"]);
    let name = || text(&["name", "env", "key", "variable", "var"]);
    let part = || text(&["text", "contains", "value", "expected", "pattern"]);
    let spec = match recorded.get("kind")?.as_str()? {
        "always" => Spec::Always {},
        "file_exists" => Spec::FileExists { path: path()? },
        "path_not_exists" => Spec::PathNotExists { path: path()? },
        "command_available" => Spec::CommandAvailable { command: text(&["command", "name", "value", "program"])? },
        "env_exists" => Spec::EnvExists { name: name()? },
        "env_equals" => match text(&["value", "equals", "expected"])? {
            // No variable has the placeholder of a secret in it: that the variable is there is what is left to ask.
            value if value.contains(PLACEHOLDER) => Spec::EnvExists { name: name()? },
            value => Spec::EnvEquals { name: name()?, value },
        },
        "port_free" => Spec::PortFree { port: u16::try_from(number(&["port", "value"])?).ok()? },
        "cwd_contains" => Spec::CwdContains { path: text(&["path", "value", "name", "contains"])? },
        "exit_code" => Spec::ExitCode { equals: number(&["equals", "exit_code", "value", "code", "expected"])? },
        "stdout_contains" => Spec::StdoutContains { text: part()? },
        "stderr_contains" => Spec::StderrContains { text: part()? },
        "output_regex" => Spec::OutputRegex { pattern: text(&["pattern", "regex", "value"])? },
        _ => return None,
    };
    Some(spec)
}
