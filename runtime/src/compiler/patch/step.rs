//! One step of a patch: what may be said of a step, and what becomes of it.
//!
//! A literal input (`tool_input_template`, as Aionis knows it) is held against the one that was shown: what stayed the same in
//! it keeps its source, so that a client that changes one field of a step does not turn the others into constants.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::apply::Shown;
use crate::checks::{self, At, Origin, Spec};
use crate::compiler::bindings::Bindings;
use crate::compiler::plan::{Check, Decision, DecisionKind, Step, StepOptions};
use crate::compiler::template::Template;
use crate::contract::{Effect, ToolId};
use crate::error::Issue;
use crate::json::Json;
use crate::limits;
use crate::runs::SafetyLevel;
use crate::tools::Registry;

/// What is shown of a step beside what the plan says: as it was recorded, or as a repair set it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// What is expected of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_output_signature: Option<Json>,
    /// What must hold before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Vec<Json>>,
    /// What must hold after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postconditions: Option<Vec<Json>>,
    /// How a repetition may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<Json>,
    /// Whether a repetition may go ahead unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_level: Option<SafetyLevel>,
}

/// What `get` shows of a step that follows from the rest and cannot be set.
const FOLLOWS: [&str; 8] =
    ["step_index", "step_id", "effect", "decisions", "replay_mode", "last_outcome", "repair_applied_last_run", "template_variables"];
/// What can be said of a step.
const KNOWN: [&str; 11] = [
    "tool_name",
    "tool",
    "tool_input_template",
    "input",
    "options",
    "checks",
    "expected_output_signature",
    "preconditions",
    "postconditions",
    "retry_policy",
    "safety_level",
];

/// Whether a step that is sent back whole may hold what follows from the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `steps_override` and `insert_after`: as `get` shows it.
    Whole,
    /// `set`: nothing but what is to be another.
    Part,
}

/// What is needed to make a step.
pub(super) struct Workshop<'a> {
    pub bindings: &'a Bindings,
    pub registry: &'a Registry,
    /// Whether conditions were recorded, and not said by somebody who can be told.
    pub recorded: bool,
}

/// A step that is there, and how it is shown.
pub(super) type Was<'a> = Option<(&'a Step, &'a Shown)>;

impl Workshop<'_> {
    /// The step that `said` makes of `was`, or a new one under `id`. What is wrong goes to `issues`.
    pub(super) fn step(
        &self,
        id: &str,
        said: &Map<String, Value>,
        was: Was<'_>,
        form: Form,
        at: &str,
        issues: &mut Vec<Issue>,
    ) -> Option<(Step, Recorded)> {
        let before = issues.len();
        let mut wrong = |name: &str, message: String| issues.push(Issue { path: format!("{at}/{name}"), message });
        for name in said.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
            match FOLLOWS.contains(&name.as_str()) {
                true if form == Form::Whole => {}
                true => wrong(name, format!("follows from the rest and is not set; a step has {}", KNOWN.join(", "))),
                false => wrong(name, format!("is not a field of a step, which has {}", KNOWN.join(", "))),
            }
        }
        let (tool, recorded_as, input) = self.call(said, was, &mut wrong);
        let options = match said.get("options").filter(|value| !value.is_null()).map(StepOptions::deserialize) {
            None => was.map(|(step, _)| step.options).unwrap_or_default(),
            Some(Ok(options)) => options,
            Some(Err(e)) => {
                wrong("options", e.to_string());
                StepOptions::default()
            }
        };
        let recorded = recorded(said, &mut wrong);
        let checks = checks(said, &recorded, was, &mut wrong);
        if !self.recorded {
            understood(&recorded, was, &mut wrong);
        }
        if issues.len() > before {
            return None;
        }
        let (tool, input) = (tool?, input?);
        let effect = self.registry.get(&tool).map_or(Effect::Once, |info| info.effect);
        let mut step = was.map_or_else(|| Step::new(id.to_owned(), tool.clone(), effect, input.clone()), |(step, _)| step.clone());
        if step.input != input || step.tool != tool || was.is_none() {
            step.decisions = vec![Decision { at: String::new(), kind: DecisionKind::Constant, reason: "as a repair set it".to_owned() }];
        }
        (step.tool, step.effect, step.recorded_as, step.input, step.options) = (tool, effect, recorded_as, input, options);
        step.checks = checks;
        Some((step, recorded))
    }

    /// Which tool is called, with what.
    fn call(
        &self,
        said: &Map<String, Value>,
        was: Was<'_>,
        wrong: &mut impl FnMut(&str, String),
    ) -> (Option<ToolId>, Option<String>, Option<Template>) {
        let text = |name: &str| said.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        for name in ["tool", "tool_name"] {
            if said.get(name).is_some_and(|value| !value.is_null()) && text(name).is_none() {
                wrong(name, "is not a tool's name".to_owned());
            }
        }
        let other_tool = text("tool").filter(|tool| was.is_none_or(|(step, _)| step.tool.to_string() != *tool));
        let other_name = text("tool_name").filter(|name| was.is_none_or(|(_, shown)| shown.tool_name != *name));
        let literal = said.get("tool_input_template");
        let other_literal = literal.filter(|literal| other_name.is_some() || was.is_none_or(|(_, shown)| shown.tool_input != **literal));
        let made = said.get("input").filter(|value| !value.is_null());
        let other_made = made.filter(|made| was.is_none_or(|(step, _)| serde_json::to_value(&step.input).ok().as_ref() != Some(made)));
        let name = text("tool_name").or(was.map(|(_, shown)| shown.tool_name.as_str()));

        // A template says exactly what is called; a literal is read as a recording is.
        if let Some(made) = other_made {
            if other_literal.is_some() && was.is_some() {
                wrong("input", "is another one, and so is tool_input_template; say it once".to_owned());
            }
            let input = Template::deserialize(made).map_err(|e| wrong("input", e.to_string())).ok();
            let bound = other_name.or(if was.is_none() { name } else { None }).map(|name| self.bindings.bind(name, &Value::Null));
            let tool = match (other_tool, bound, was) {
                (Some(tool), ..) => self.tool(tool, wrong),
                (None, Some(bound), _) => Some(bound.tool),
                (None, None, Some((step, _))) => Some(step.tool.clone()),
                (None, None, None) => {
                    wrong("tool", "is missing: which tool is called?".to_owned());
                    None
                }
            };
            let recorded_as = was.and_then(|(step, _)| step.recorded_as.clone()).filter(|_| other_tool.is_none());
            return (tool, recorded_as, input);
        }
        match (other_literal, was) {
            (Some(literal), _) => {
                if !fits(literal) {
                    wrong("tool_input_template", format!("is larger than {} bytes", limits::JSON_BYTES_MAX));
                    return (None, None, None);
                }
                let asked = other_tool.and_then(|tool| self.tool(tool, wrong));
                let called = asked.as_ref().map(ToString::to_string).or(name.map(str::to_owned));
                let Some(called) = called else {
                    wrong("tool_name", "is missing: which tool is called?".to_owned());
                    return (None, None, None);
                };
                let bound = self.bindings.bind(&called, literal);
                let input = match was.filter(|(step, _)| step.tool == bound.tool) {
                    Some((step, shown)) => {
                        let old = self.bindings.bind(&shown.tool_name, &shown.tool_input);
                        edited(&step.input, &old.input, &bound.input)
                    }
                    None => Template::Constant(Json::from(&bound.input)),
                };
                (Some(bound.tool), bound.recorded_as, Some(input.simplified()))
            }
            (None, Some((step, _))) => {
                let tool = match (other_tool, other_name) {
                    (Some(tool), _) => self.tool(tool, wrong),
                    (None, Some(name)) => Some(self.bindings.bind(name, &Value::Null).tool),
                    (None, None) => Some(step.tool.clone()),
                };
                (tool, step.recorded_as.clone(), Some(step.input.clone()))
            }
            (None, None) => {
                wrong("tool_input_template", "is missing: what is the tool given? (or `input`, a template)".to_owned());
                (None, None, None)
            }
        }
    }

    fn tool(&self, text: &str, wrong: &mut impl FnMut(&str, String)) -> Option<ToolId> {
        match ToolId::parse(text) {
            Ok(tool) if tool.is_external() || self.registry.get(&tool).is_some() => Some(tool),
            Ok(tool) => {
                wrong("tool", format!("there is no tool {tool} here; `reprise tools list` shows what there is"));
                None
            }
            Err(e) => {
                wrong("tool", e.message);
                None
            }
        }
    }
}

fn fits(value: &Value) -> bool {
    Json::from(value).as_str().len() <= limits::JSON_BYTES_MAX
}

/// `template`, which came to `old`, so that it comes to `new`: what is the same in both keeps its source.
fn edited(template: &Template, old: &Value, new: &Value) -> Template {
    if old == new {
        return template.clone();
    }
    match (old, new) {
        (Value::Object(was), Value::Object(now)) => {
            let field = |(key, value): (&String, &Value)| {
                let kept = was.get(key).and_then(|old| Some(edited(&template.field(key)?, old, value)));
                (key.clone(), kept.unwrap_or_else(|| Template::Constant(value.into())))
            };
            Template::Object(now.iter().map(field).collect())
        }
        (Value::Array(was), Value::Array(now)) => {
            let Template::Array(items) = template else { return Template::Constant(new.into()) };
            if was.len() != now.len() || items.len() != now.len() {
                return Template::Constant(new.into());
            }
            Template::Array(items.iter().zip(was.iter().zip(now)).map(|(item, (old, new))| edited(item, old, new)).collect())
        }
        _ => Template::Constant(new.into()),
    }
}

/// What the step is held to: `checks` as they are, or what the recorded conditions come to where one of them is set.
fn checks(said: &Map<String, Value>, recorded: &Recorded, was: Was<'_>, wrong: &mut impl FnMut(&str, String)) -> Vec<Check> {
    let before = was.map(|(step, _)| step.checks.clone()).unwrap_or_default();
    if let Some(all) = said.get("checks").filter(|value| !value.is_null()) {
        return given_checks(all, wrong);
    }
    if recorded.preconditions.is_none() && recorded.postconditions.is_none() && recorded.expected_output_signature.is_none() {
        return before;
    }
    let shown = was.map(|(_, shown)| shown);
    let list = |set: &Option<Vec<Json>>, shown: Option<&Vec<Value>>| match set {
        Some(set) => set.iter().map(Json::value).collect(),
        None => shown.cloned().unwrap_or_default(),
    };
    let (pre, post) =
        (list(&recorded.preconditions, shown.map(|s| &s.preconditions)), list(&recorded.postconditions, shown.map(|s| &s.postconditions)));
    let signature = match &recorded.expected_output_signature {
        Some(set) => set.value(),
        None => shown.map(|shown| shown.expected_output_signature.clone()).unwrap_or_default(),
    };
    let given = |at: At| move |spec: Spec| Check::of(at, &spec, Origin::Given, "as a repair set it");
    let kept = before.into_iter().filter(|check| check.origin == Origin::Inferred);
    let before_call = pre.iter().map(checks::precondition).map(given(At::Before));
    let of_answer = checks::signature(&signature).into_iter().chain(post.iter().map(checks::postcondition)).map(given(At::After));
    kept.chain(before_call).chain(of_answer).collect()
}

/// What was shown and is sent back as it was shown stays as it is; a condition that is said anew must be understood.
fn understood(said: &Recorded, was: Was<'_>, wrong: &mut impl FnMut(&str, String)) {
    let shown = was.map(|(_, shown)| shown);
    for (name, at, said, shown) in [
        ("preconditions", At::Before, &said.preconditions, shown.map(|shown| &shown.preconditions)),
        ("postconditions", At::After, &said.postconditions, shown.map(|shown| &shown.postconditions)),
    ] {
        for (n, condition) in said.iter().flatten().map(Json::value).enumerate() {
            if shown.is_none_or(|shown| !shown.contains(&condition)) {
                checks::not_understood(at, &condition).into_iter().for_each(|why| wrong(&format!("{name}/{n}"), why));
            }
        }
    }
    if let Some(signature) = said.expected_output_signature.as_ref().map(Json::value) {
        for (key, why) in checks::signature_not_understood(&signature) {
            if shown.is_none_or(|shown| shown.expected_output_signature.get(&key) != signature.get(&key)) {
                wrong(&format!("expected_output_signature/{key}"), why);
            }
        }
    }
}

/// Checks as a plan has them, each of which can be judged.
fn given_checks(all: &Value, wrong: &mut impl FnMut(&str, String)) -> Vec<Check> {
    let Some(items) = all.as_array() else {
        wrong("checks", "is not a list of checks".to_owned());
        return Vec::new();
    };
    let mut given = Vec::new();
    for (n, item) in items.iter().enumerate() {
        match Check::deserialize(item) {
            Ok(check) => match check.fault() {
                Some(why) => wrong(&format!("checks/{n}"), why),
                None => given.push(check),
            },
            Err(e) => wrong(&format!("checks/{n}"), e.to_string()),
        }
    }
    given
}

fn recorded(said: &Map<String, Value>, wrong: &mut impl FnMut(&str, String)) -> Recorded {
    let mut object = |name: &str| match said.get(name) {
        None | Some(Value::Null) => None,
        Some(value) if value.is_object() => Some(Json::from(value)),
        Some(_) => {
            wrong(name, "is not an object".to_owned());
            None
        }
    };
    let expected_output_signature = said.get("expected_output_signature").filter(|value| !value.is_null()).map(Json::from);
    let retry_policy = object("retry_policy");
    let mut conditions = |name: &str| match said.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) if items.iter().all(Value::is_object) && items.len() <= limits::STEP_LIST_MAX => {
            Some(items.iter().map(Json::from).collect())
        }
        Some(_) => {
            wrong(name, format!("is not a list of at most {} objects", limits::STEP_LIST_MAX));
            None
        }
    };
    let (preconditions, postconditions) = (conditions("preconditions"), conditions("postconditions"));
    let safety_level = match said.get("safety_level").filter(|value| !value.is_null()) {
        None => None,
        Some(word) => {
            let known = word.as_str().and_then(|word| SafetyLevel::NAMES.iter().find(|(name, _)| *name == word));
            if known.is_none() {
                wrong("safety_level", "is not auto_ok, needs_confirm or manual_only".to_owned());
            }
            known.map(|(_, level)| *level)
        }
    };
    Recorded { expected_output_signature, preconditions, postconditions, retry_policy, safety_level }
}

impl Recorded {
    /// What was set before, with what is set now in its place.
    pub(super) fn over(self, before: Recorded) -> Recorded {
        Recorded {
            expected_output_signature: self.expected_output_signature.or(before.expected_output_signature),
            preconditions: self.preconditions.or(before.preconditions),
            postconditions: self.postconditions.or(before.postconditions),
            retry_policy: self.retry_policy.or(before.retry_policy),
            safety_level: self.safety_level.or(before.safety_level),
        }
    }

    /// True where nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Recorded::default()
    }
}
