//! What a plan has in it that whoever compiles must be told: secrets that jobs need, and conditions that nobody can judge.
//!
//! It reads a plan and decides nothing. It must stay true that nothing of this kind is in a plan without being named here, since a
//! playbook that writes a placeholder into a file, or never checks what it was thought to check, looks as if all were well.

use serde::Serialize;
use serde_json::Value;

use super::plan::Plan;
use super::template::{Part, Template};
use crate::checks::{Origin, not_understood, signature_not_understood};
use crate::contract::ToolId;
use crate::json::Json;
use crate::secrets::placeholders;
use crate::tools::{FilledIn, Registry};

/// A secret that a step's input names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecretUse {
    /// Under which name a job needs it.
    pub secret: String,
    /// The step.
    pub step: String,
    /// What it calls.
    #[schema(value_type = String)]
    pub tool: ToolId,
    /// JSON pointer into the step's input.
    pub at: String,
    /// Who puts the value in.
    pub filled_in: FilledIn,
}

impl SecretUse {
    /// As a person is told.
    #[must_use]
    pub fn words(&self) -> String {
        let SecretUse { secret, step, tool, at, .. } = self;
        let needs = format!("{step} needs the secret {secret} at {at} of what {tool} is given");
        match self.filled_in {
            FilledIn::ByHost => format!("{needs}; an operator sets it, and grants where it may go: `reprise secrets set {secret}`"),
            FilledIn::WhenSent => format!(
                "{needs}; an operator sets it (`reprise secrets set {secret}`), and it is put into what {tool} sends by HTTP, and nowhere else"
            ),
            FilledIn::Never => {
                format!("WARNING: {needs}, and nothing puts it in there: {tool} is given the text {{{{secret:{secret}}}}} as it stands")
            }
        }
    }
}

/// A recorded condition that nobody can judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NotUnderstood {
    /// The step.
    pub step: String,
    /// As it was recorded.
    #[schema(value_type = Value)]
    pub recorded: Json,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

impl NotUnderstood {
    /// What is open, and what settles it.
    #[must_use]
    pub fn question(&self) -> String {
        let NotUnderstood { recorded, why, .. } = self;
        format!(
            "the recorded condition {recorded} is not understood ({why}): it is unknown in every job, and fails a strict one; record it in a kind that is known, or take it out by a repair"
        )
    }

    /// As a person is told.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}: {}", self.step, self.question())
    }
}

/// Every secret that a plan's steps name, in their order.
#[must_use]
pub fn secrets_in(plan: &Plan, tools: &Registry) -> Vec<SecretUse> {
    let mut uses = Vec::new();
    for step in plan.steps() {
        let mut found: Vec<(String, String)> = Vec::new();
        in_template("", &step.input, &mut found);
        found.dedup();
        uses.extend(found.into_iter().map(|(at, secret)| SecretUse {
            secret,
            step: step.id.clone(),
            filled_in: tools.fills_in(&step.tool),
            tool: step.tool.clone(),
            at: if at.is_empty() { "/".to_owned() } else { at },
        }));
    }
    uses
}

/// Every recorded condition of a plan that nobody can judge, in the order of its steps.
#[must_use]
pub fn not_understood_in(plan: &Plan) -> Vec<NotUnderstood> {
    let mut all = Vec::new();
    for step in plan.steps() {
        let others = step.checks.iter().filter(|check| check.origin != Origin::Inferred && check.kind().as_deref() == Some("other"));
        for check in others {
            let Some(recorded) = check.spec().map(|spec| spec.to_json().value()["recorded"].take()) else { continue };
            let unsigned = || signature_not_understood(&recorded).into_iter().next().map(|(key, why)| format!("{key} {why}"));
            let why = match recorded.get("kind") {
                None => unsigned().or_else(|| not_understood(check.at, &recorded)),
                Some(_) => not_understood(check.at, &recorded),
            };
            let why = why.unwrap_or_else(|| "nobody here knows how to judge it".to_owned());
            all.push(NotUnderstood { step: step.id.clone(), recorded: Json::from(&recorded), why });
        }
    }
    all
}

fn in_template(at: &str, template: &Template, found: &mut Vec<(String, String)>) {
    match template {
        Template::Constant(json) => in_value(at, &json.value(), found),
        Template::Either { default, .. } => in_value(at, &default.value(), found),
        Template::Text(parts) => parts.iter().for_each(|part| {
            if let Part::Literal(text) = part {
                in_text(at, text, found);
            }
        }),
        Template::Object(fields) => fields.iter().for_each(|(name, below)| in_template(&below_of(at, name), below, found)),
        Template::Array(items) => items.iter().enumerate().for_each(|(n, item)| in_template(&format!("{at}/{n}"), item, found)),
        Template::Value(_) | Template::Derived { .. } => {}
    }
}

fn in_value(at: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => in_text(at, text, found),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| in_value(&format!("{at}/{n}"), item, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, below)| {
            in_text(&below_of(at, name), name, found);
            in_value(&below_of(at, name), below, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn in_text(at: &str, text: &str, found: &mut Vec<(String, String)>) {
    let names = placeholders(text.as_bytes()).filter_map(|placeholder| placeholder.name);
    found.extend(names.map(|name| (at.to_owned(), name.to_string())));
}

fn below_of(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
