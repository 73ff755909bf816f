//! What recorders write down beside a step, read as checks.
//!
//! Recorders differ in how they name the fields of a condition, so that more than one name is read. What is not understood
//! stays as [`Spec::Other`]: it is shown, it is unknown, and it is never dropped in silence.

use serde_json::Value;

use super::Spec;
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
    spec.require_bounds().is_ok().then_some(spec)
}
