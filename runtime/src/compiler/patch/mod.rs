//! What is to be done otherwise in a plan: the words of a patch, read and put on.
//!
//! The words are Aionis' (`steps_override`, `remove_step_indices`, `step_patches`, `matchers`, `success_criteria`,
//! `risk_profile`, `policy_constraints`) and ours beside them (`step_id` wherever a step is named, `remove_steps`,
//! `insert_after`, `parameters`, `output`). Aionis passes over a word that it does not know and a step that is not there; here
//! both are errors, because a repair that silently does nothing is taken for one that was made.
//!
//! It knows a plan and how its steps are shown to clients; it does not know versions, reviews or where a patch came from.

mod apply;
mod step;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use apply::{Base, Patched, Shown, Summary};
pub use step::Recorded;

use crate::error::{Code, Issue, Result};
use crate::fields::{self, Fields};
use crate::json::Json;
use crate::limits;

/// What is said of one step.
type Said = Map<String, Value>;
/// Steps that are put behind another one, or before all.
type Insertion = (Option<StepName>, Vec<Said>);

/// A patch whose words are known. Whether its steps are there is seen when it is put on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    /// All of it, as it was sent: what is kept of a repair.
    pub document: Option<Json>,
    /// Instead of all steps.
    steps_override: Option<Vec<Said>>,
    /// Steps that are taken out.
    remove: Vec<(String, StepName)>,
    /// Steps of which something is set.
    set: Vec<(String, StepName, Said)>,
    /// Steps that are put behind another one, or before all.
    insert: Vec<(String, Insertion)>,
    /// Parameters that are added, or others of the same name.
    parameters: Vec<Value>,
    /// What a job gives back.
    output: Option<Value>,
    /// When the playbook applies, and the like.
    pub top_level: TopLevel,
}

/// What a patch says of the playbook as a whole. The words are Aionis'.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopLevel {
    /// When the playbook applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matchers: Option<Json>,
    /// What counts as success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_criteria: Option<Json>,
    /// `low`, `medium` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_profile: Option<String>,
    /// What a caller's deterministic gate is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_constraints: Option<Json>,
}

impl TopLevel {
    /// The names of what it sets, in the order in which Aionis names them.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let set = [
            (self.matchers.is_some(), "matchers"),
            (self.success_criteria.is_some(), "success_criteria"),
            (self.risk_profile.is_some(), "risk_profile"),
            (self.policy_constraints.is_some(), "policy_constraints"),
        ];
        set.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }
}

/// How a patch names a step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StepName {
    /// By its number, as `steps_template` shows it.
    Index(u32),
    /// By its id in the plan.
    Id(String),
}

/// The words of `risk_profile`.
const RISKS: &[(&str, &str)] = &[("low", "low"), ("medium", "medium"), ("high", "high")];

impl Patch {
    /// Reads a patch that stands at `at` of what was sent.
    ///
    /// # Errors
    /// `invalid_request` with an issue for each word that is not known or holds something else than it should;
    /// `too_large`.
    pub fn parse(value: &Value, at: &str) -> Result<Patch> {
        let mut fields = Fields::of(value, at)?;
        let document = fields::fitting(value, at)?;
        let mut issues = Vec::new();
        let mut patch = Patch { document: Some(document), ..Patch::default() };
        if let Some(steps) = fields.value("steps_override") {
            patch.steps_override = Some(objects(steps, &format!("{at}/steps_override"), &mut issues));
        }
        for (n, index) in list(fields.value("remove_step_indices"), &format!("{at}/remove_step_indices"), &mut issues) {
            let place = format!("{at}/remove_step_indices/{n}");
            match number(index) {
                Some(index) => patch.remove.push((place, StepName::Index(index))),
                None => issues.push(Issue { path: place, message: "is not a step's number".to_owned() }),
            }
        }
        for (n, id) in list(fields.value("remove_steps"), &format!("{at}/remove_steps"), &mut issues) {
            let place = format!("{at}/remove_steps/{n}");
            match id.as_str() {
                Some(id) => patch.remove.push((place, StepName::Id(id.to_owned()))),
                None => issues.push(Issue { path: place, message: "is not a step's id".to_owned() }),
            }
        }
        for (n, one) in list(fields.value("step_patches"), &format!("{at}/step_patches"), &mut issues) {
            let place = format!("{at}/step_patches/{n}");
            match step_patch(one, &place) {
                Ok((name, set)) => patch.set.push((place, name, set)),
                Err(e) => issues.extend(e.issues),
            }
        }
        for (n, one) in list(fields.value("insert_after"), &format!("{at}/insert_after"), &mut issues) {
            let place = format!("{at}/insert_after/{n}");
            match insertion(one, &place) {
                Ok(insertion) => patch.insert.push((place, insertion)),
                Err(e) => issues.extend(e.issues),
            }
        }
        for (_, one) in list(fields.value("parameters"), &format!("{at}/parameters"), &mut issues) {
            patch.parameters.push(one.clone());
        }
        patch.output = fields.value("output").cloned();
        patch.top_level = TopLevel {
            matchers: fields.meta_object("matchers"),
            success_criteria: fields.meta_object("success_criteria"),
            risk_profile: fields.choice("risk_profile", RISKS).map(str::to_owned),
            policy_constraints: fields.meta_object("policy_constraints"),
        };
        fields.check_meta();
        fields.refuse_unknown("a patch");
        fields.issues(issues);
        if patch.says_nothing() {
            fields.issue(
                "",
                "sets nothing: a patch has steps_override, remove_step_indices, step_patches, insert_after, matchers or the like"
                    .to_owned(),
            );
        }
        fields.build(Some(patch))
    }

    fn says_nothing(&self) -> bool {
        let steps = self.steps_override.is_none() && self.remove.is_empty() && self.set.is_empty() && self.insert.is_empty();
        steps && self.parameters.is_empty() && self.output.is_none() && self.top_level == TopLevel::default()
    }
}

fn step_patch(value: &Value, at: &str) -> Result<(StepName, Said)> {
    let mut fields = Fields::of(value, at)?;
    let name = name(&mut fields);
    if name.is_none() {
        fields.issue("", "names no step: give step_index, as steps_template shows it, or step_id".to_owned());
    }
    fields.require(&["set"]);
    let set = fields.value("set").and_then(Value::as_object).cloned();
    if set.is_none() && fields.has("set") {
        fields.issue("set", "is not an object".to_owned());
    }
    fields.refuse_unknown("a step's patch");
    fields.build(name.zip(set))
}

fn insertion(value: &Value, at: &str) -> Result<Insertion> {
    let mut fields = Fields::of(value, at)?;
    let name = name(&mut fields);
    fields.require(&["steps"]);
    let mut issues = Vec::new();
    let steps = fields.value("steps").map(|steps| objects(steps, &format!("{at}/steps"), &mut issues)).unwrap_or_default();
    fields.issues(issues);
    fields.refuse_unknown("an insertion");
    fields.build(Some((name, steps)))
}

fn name(fields: &mut Fields<'_>) -> Option<StepName> {
    let index = fields.index("step_index");
    let id = fields.text("step_id", limits::ID_CHARS_MAX);
    if index.is_some() && id.is_some() {
        fields.issue("step_id", "stands beside step_index; one of them names the step".to_owned());
    }
    id.map(StepName::Id).or(index.map(StepName::Index))
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// The elements of a list with their places; none where there is no list.
fn list<'a>(value: Option<&'a Value>, at: &str, issues: &mut Vec<Issue>) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
    let mut wrong = |message: String| issues.push(Issue { path: at.to_owned(), message });
    let items: &[Value] = match value {
        None => &[],
        Some(Value::Array(items)) if items.len() <= limits::PLAN_STEPS_MAX => items,
        Some(Value::Array(items)) => {
            wrong(format!("has {} elements; at most {} are allowed", items.len(), limits::PLAN_STEPS_MAX));
            &[]
        }
        Some(_) => {
            wrong("is not a list".to_owned());
            &[]
        }
    };
    items.iter().enumerate()
}

fn objects(value: &Value, at: &str, issues: &mut Vec<Issue>) -> Vec<Said> {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for (n, item) in list(Some(value), at, issues) {
        match item.as_object() {
            Some(object) => found.push(object.clone()),
            None => wrong.push(Issue { path: format!("{at}/{n}"), message: "is not a step: an object".to_owned() }),
        }
    }
    issues.extend(wrong);
    found
}

/// What a repair changed of how steps are shown, by step id.
pub type Overlay = BTreeMap<String, Recorded>;

/// Every issue as one refusal.
fn refused(issues: Vec<Issue>) -> crate::error::Error {
    fields::refusal(Code::InvalidRequest, issues)
}

#[cfg(test)]
mod tests;
