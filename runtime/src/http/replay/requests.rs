//! What is asked of recorded runs as playbooks: to compile one, to read one, to judge one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compiler::{Binding, Options};
use crate::engine::{CompileRequest, Gate, LearnRequest, OnMismatch, Wanted};
use crate::error::Result;
use crate::fields::Fields;
use crate::ids::{PlaybookId, RunId};
use crate::lifecycle::Status;
use crate::limits;

/// The words of `risk_profile`.
pub(super) const RISKS: &[(&str, &str)] = &[("low", "low"), ("medium", "medium"), ("high", "high")];
/// The words of a gate's `on_mismatch`.
pub(super) const ON_MISMATCH: &[(&str, OnMismatch)] = &[("fallback", OnMismatch::Fallback), ("reject", OnMismatch::Reject)];
/// The words of a gate's `required_statuses`.
pub(super) const STATUSES: [Status; 4] = [Status::Draft, Status::Shadow, Status::Active, Status::Disabled];

/// `playbooks/compile_from_run`.
pub(super) fn compile(body: &Value) -> Result<CompileRequest> {
    let mut fields = Fields::of(body, "")?;
    fields.require(&["run_id"]);
    let run_id = fields.id("run_id", RunId::parse);
    let wanted = wanted(&mut fields);
    fields.build(run_id.map(|run_id| CompileRequest { run_id, wanted }))
}

/// `playbooks/compile_from_runs`.
pub(super) fn learn(body: &Value) -> Result<LearnRequest> {
    let mut fields = Fields::of(body, "")?;
    fields.require(&["run_ids"]);
    let run_ids = run_ids(&mut fields);
    let wanted = wanted(&mut fields);
    fields.build(run_ids.map(|run_ids| LearnRequest { run_ids, wanted }))
}

/// What both say of the version that is to be made.
fn wanted(fields: &mut Fields<'_>) -> Wanted {
    let playbook_id = fields.id("playbook_id", PlaybookId::parse);
    let name = fields.text("name", limits::TEXT_CHARS_MAX);
    let version = fields.index("version");
    let matchers = fields.meta_object("matchers");
    let success_criteria = fields.meta_object("success_criteria");
    let risk_profile = fields.choice("risk_profile", RISKS).unwrap_or("medium").to_owned();
    let metadata = fields.meta_object("metadata");
    fields.check_meta();
    let options = options(fields);
    Wanted { playbook_id, name, version, matchers, success_criteria, risk_profile, metadata, options }
}

/// A list of runs, each named once or more.
fn run_ids(fields: &mut Fields<'_>) -> Option<Vec<RunId>> {
    let value = fields.value("run_ids")?;
    let Some(list) = value.as_array().filter(|list| (1..=limits::LEARN_RUNS_MAX).contains(&list.len())) else {
        fields.issue("run_ids", format!("is not a list of 1 to {} ids of runs", limits::LEARN_RUNS_MAX));
        return None;
    };
    let mut ids = Vec::new();
    for (at, id) in list.iter().enumerate() {
        match id.as_str().map(RunId::parse) {
            Some(Ok(id)) => ids.push(id),
            Some(Err(e)) => fields.issue(&format!("run_ids/{at}"), e.message),
            None => fields.issue(&format!("run_ids/{at}"), "is not the id of a run".to_owned()),
        }
    }
    (ids.len() == list.len()).then_some(ids)
}

/// How a run is read.
pub(in crate::http) fn options(fields: &mut Fields<'_>) -> Options {
    Options {
        allow_partial: fields.flag("allow_partial").unwrap_or_default(),
        bindings: map(fields, "bindings", binding),
        roots: map(fields, "roots", |value| value.as_str().map(str::to_owned).ok_or_else(|| "is not the name of a grant".to_owned())),
    }
}

/// `playbooks/get`.
pub(super) fn get(body: &Value) -> Result<PlaybookId> {
    let mut fields = Fields::of(body, "")?;
    fields.require(&["playbook_id"]);
    let id = fields.id("playbook_id", PlaybookId::parse);
    fields.build(id)
}

/// `playbooks/candidate`.
pub(super) struct Candidate {
    pub playbook_id: PlaybookId,
    pub version: Option<u32>,
    pub gate: Option<Gate>,
}

/// `playbooks/candidate`.
pub(super) fn candidate(body: &Value) -> Result<Candidate> {
    let mut fields = Fields::of(body, "")?;
    fields.require(&["playbook_id"]);
    let playbook_id = fields.id("playbook_id", PlaybookId::parse);
    let version = fields.index("version");
    let gate = gate_of(&mut fields);
    fields.build(playbook_id.map(|playbook_id| Candidate { playbook_id, version, gate }))
}

/// `deterministic_gate` of any request.
pub(super) fn gate_of(fields: &mut Fields<'_>) -> Option<Gate> {
    fields.value("deterministic_gate").map(gate).transpose().unwrap_or_else(|e| {
        fields.issues(e.issues);
        None
    })
}

fn gate(asked: &Value) -> Result<Gate> {
    let mut fields = Fields::of(asked, "/deterministic_gate")?;
    let plain = Gate::default();
    let required_statuses = statuses(&mut fields).unwrap_or(plain.required_statuses);
    let gate = Gate {
        enabled: fields.flag("enabled").unwrap_or(plain.enabled),
        prefer_deterministic_execution: fields.flag("prefer_deterministic_execution").unwrap_or(plain.prefer_deterministic_execution),
        on_mismatch: fields.choice("on_mismatch", ON_MISMATCH).unwrap_or(plain.on_mismatch),
        required_statuses,
        matchers: fields.meta_object("matchers"),
        policy_constraints: fields.meta_object("policy_constraints"),
    };
    fields.check_meta();
    fields.build(Some(gate))
}

fn statuses(fields: &mut Fields<'_>) -> Option<Vec<Status>> {
    let value = fields.value("required_statuses")?;
    let status = |word: &Value| STATUSES.into_iter().find(|status| word.as_str() == Some(status.as_str()));
    let statuses: Option<Vec<Status>> =
        value.as_array().filter(|list| (1..=STATUSES.len()).contains(&list.len())).and_then(|list| list.iter().map(status).collect());
    if statuses.is_none() {
        let words = STATUSES.map(|status| format!("{:?}", status.as_str())).join(", ");
        fields.issue("required_statuses", format!("is not a list of 1 to {} of {words}", STATUSES.len()));
    }
    statuses
}

/// An object read field by field; each wrong one is an issue.
pub(in crate::http) fn map<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    read: impl Fn(&Value) -> std::result::Result<T, String>,
) -> BTreeMap<String, T> {
    let Some(value) = fields.value(name) else { return BTreeMap::new() };
    let Some(object) = value.as_object() else {
        fields.issue(name, "is not an object".to_owned());
        return BTreeMap::new();
    };
    let mut map = BTreeMap::new();
    for (key, value) in object {
        match read(value) {
            Ok(value) => drop(map.insert(key.clone(), value)),
            Err(why) => fields.issue(&crate::json::below(name, key), why),
        }
    }
    map
}

/// `"fs/replace"` is short for `{"tool": "fs/replace"}`.
fn binding(value: &Value) -> std::result::Result<Binding, String> {
    let long = if value.is_string() { serde_json::json!({ "tool": value }) } else { value.clone() };
    serde_json::from_value(long).map_err(|e| e.to_string())
}
