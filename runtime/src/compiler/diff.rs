//! What one plan does otherwise than another: steps added, removed, changed and moved, in words and as data.
//!
//! It compares what is done and not why: reasons that a compiler gave are no difference. It knows a node only by its id,
//! its arms and its JSON, so that a kind of node that comes later is compared like the others. The rule that must stay true:
//! two plans without a difference here do the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{Node, Plan, Step};
use super::template::Template;
use crate::json;

/// What the newer of two plans does otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanDiff {
    /// Each step that is not as it was, in the order of the newer plan; what is gone stands first.
    pub steps: Vec<StepChange>,
    /// Each parameter that is not as it was.
    pub parameters: Vec<FieldChange>,
    /// The goal and the output, where they are not as they were.
    pub fields: Vec<FieldChange>,
}

/// One step, or another node, that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepChange {
    /// The step's id.
    pub step: String,
    /// What became of it.
    pub change: Change,
    /// The tool that it calls; none of a node that calls none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The whole step in words, where it was removed or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The whole step in words, where it was added or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Each part of a changed step that is another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It does something else.
    Changed,
    /// It does the same at another place.
    Moved,
}

/// One value that is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Where it stands: `input/path`, `tool`, `checks`.
    pub at: String,
    /// What stood there, in words; none where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What stands there now; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// The keys under which a node's JSON holds other nodes: they are compared as nodes of their own.
const ARMS: [&str; 8] = ["then", "else", "branches", "body", "on_failure", "expired", "approved", "rejected"];
/// What says why and not what.
const REASONS: [&str; 2] = ["decisions", "recorded_as"];
/// Characters of one side that are shown; a file's text in a constant is no reading matter.
const SHOWN_CHARS: usize = 400;

/// A node with where it stands and what it does by itself.
struct Placed<'a> {
    node: &'a Node,
    /// The node that it stands in, and which of its arms: empty at the top.
    under: String,
    own: Value,
}

impl PlanDiff {
    /// From `old` to `new`.
    #[must_use]
    pub fn between(old: &Plan, new: &Plan) -> PlanDiff {
        let (before, after) = (placed(old), placed(new));
        let ids = |nodes: &[(String, Placed<'_>)]| nodes.iter().enumerate().map(|(at, (id, _))| (id.clone(), at)).collect();
        let (old_places, new_places): (BTreeMap<String, usize>, BTreeMap<String, usize>) = (ids(&before), ids(&after));
        let gone = before.iter().filter(|(id, _)| !new_places.contains_key(id));
        let mut steps: Vec<StepChange> = gone.map(|(id, old)| lonely(id, Change::Removed, old)).collect();
        let stayed = unmoved(&after, &old_places);
        for (at, (id, now)) in after.iter().enumerate() {
            let Some((_, was)) = old_places.get(id).map(|at| &before[*at]) else {
                steps.push(lonely(id, Change::Added, now));
                continue;
            };
            let fields = parts(was, now);
            let change = match (fields.is_empty(), was.under == now.under && stayed.contains(&at)) {
                (true, true) => continue,
                (true, false) => Change::Moved,
                (false, _) => Change::Changed,
            };
            let (old, new) = (words(was.node), words(now.node));
            steps.push(StepChange { step: id.clone(), change, tool: tool(now.node), old: Some(old), new: Some(new), fields });
        }
        PlanDiff { steps, parameters: parameters(old, new), fields: own_fields(old, new) }
    }

    /// True where both do the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.parameters.is_empty() && self.fields.is_empty()
    }

    /// The steps that are new or do something else.
    #[must_use]
    pub fn touched(&self) -> BTreeSet<String> {
        self.steps.iter().filter(|step| step.change != Change::Removed).map(|step| step.step.clone()).collect()
    }

    /// The steps that are gone.
    #[must_use]
    pub fn removed(&self) -> BTreeSet<String> {
        self.steps.iter().filter(|step| step.change == Change::Removed).map(|step| step.step.clone()).collect()
    }

    /// For people, a line each: `+` added, `-` removed, `~` changed, `>` moved.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for step in &self.steps {
            let (old, new) = (step.old.as_deref().unwrap_or_default(), step.new.as_deref().unwrap_or_default());
            match step.change {
                Change::Added => lines.push(format!("+ {new}")),
                Change::Removed => lines.push(format!("- {old}")),
                Change::Moved => lines.push(format!("> {} stands at another place", step.step)),
                Change::Changed => lines.extend(step.fields.iter().map(|field| format!("~ {} {}", step.step, field.line()))),
            }
        }
        lines.extend(self.parameters.iter().map(|field| format!("~ parameter {}", field.line())));
        lines.extend(self.fields.iter().map(|field| format!("~ {}", field.line())));
        lines
    }
}

impl FieldChange {
    fn line(&self) -> String {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{}: {old} -> {new}", self.at),
            (None, Some(new)) => format!("{}: now {new}", self.at),
            (Some(old), None) => format!("{}: no longer {old}", self.at),
            (None, None) => self.at.clone(),
        }
    }
}

/// Every node in order under its id; a node without one is known by the first that stands in it.
fn placed(plan: &Plan) -> Vec<(String, Placed<'_>)> {
    let mut found = Vec::new();
    list(&plan.body, "", &mut found);
    found
}

fn list<'a>(nodes: &'a [Node], under: &str, found: &mut Vec<(String, Placed<'a>)>) {
    for node in nodes {
        let id = node.id().map_or_else(|| format!("try of {}", first_in(node)), str::to_owned);
        found.push((id.clone(), Placed { node, under: under.to_owned(), own: own(node) }));
        for (at, arm) in node.arms().into_iter().enumerate() {
            list(arm, &format!("{id}/{at}"), found);
        }
    }
}

fn first_in(node: &Node) -> String {
    let ids = node.arms().into_iter().flatten().map(|inner| inner.id().map_or_else(|| first_in(inner), str::to_owned));
    ids.into_iter().next().unwrap_or_default()
}

/// What a node does by itself, as JSON.
fn own(node: &Node) -> Value {
    let whole = serde_json::to_value(node).expect("a plan has string keys only");
    let inner = whole.as_object().and_then(|kinds| kinds.iter().next());
    let Some((kind, Value::Object(fields))) = inner else { return whole };
    let kept = fields.iter().filter(|(name, _)| !ARMS.contains(&name.as_str()) && !REASONS.contains(&name.as_str()));
    let mut kept: serde_json::Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    kept.insert("kind".to_owned(), Value::from(kind.as_str()));
    Value::Object(kept)
}

/// Places in `after` of nodes that stand in the same order as before: the longest such row, so that as few as can be have moved.
fn unmoved(after: &[(String, Placed<'_>)], old: &BTreeMap<String, usize>) -> BTreeSet<usize> {
    let known: Vec<(usize, usize)> = after.iter().enumerate().filter_map(|(at, (id, _))| Some((at, *old.get(id)?))).collect();
    // The row that ends with each node: the end of the best one of each length, and who came before.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; known.len()];
    for (n, (_, was)) in known.iter().enumerate() {
        let length = ends.partition_point(|end| known[*end].1 < *was);
        before[n] = length.checked_sub(1).map(|shorter| ends[shorter]);
        if length == ends.len() { ends.push(n) } else { ends[length] = n }
    }
    let mut row = BTreeSet::new();
    let mut at = ends.last().copied();
    while let Some(n) = at {
        row.insert(known[n].0);
        at = before[n];
    }
    row
}

fn lonely(id: &str, change: Change, placed: &Placed<'_>) -> StepChange {
    let words = words(placed.node);
    let (old, new) = if change == Change::Added { (None, Some(words)) } else { (Some(words), None) };
    StepChange { step: id.to_owned(), change, tool: tool(placed.node), old, new, fields: Vec::new() }
}

fn tool(node: &Node) -> Option<String> {
    node.step().map(|step| step.tool.to_string())
}

/// A node in a line, without what stands in it.
fn words(node: &Node) -> String {
    let line = match node {
        Node::Try(_) => "try".to_owned(),
        node => super::words::line(node),
    };
    clipped(&line)
}

/// The parts of a node that are others now.
fn parts(was: &Placed<'_>, now: &Placed<'_>) -> Vec<FieldChange> {
    if was.own == now.own {
        return Vec::new();
    }
    let nothing = serde_json::Map::new();
    let (old, new) = (was.own.as_object().unwrap_or(&nothing), now.own.as_object().unwrap_or(&nothing));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        match (name.as_str(), was.node.step(), now.node.step()) {
            ("input", Some(Step { input: old, .. }), Some(Step { input: new, .. })) => leaves("input", old, new, &mut changes),
            _ => changes.push(FieldChange { at: name.clone(), old: old.get(name).map(shown), new: new.get(name).map(shown) }),
        }
    }
    changes
}

/// The places at which two templates differ, as deep as both go.
fn leaves(at: &str, old: &Template, new: &Template, changes: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    let keys = |template: &Template| match template {
        Template::Object(fields) => Some(fields.keys().cloned().collect::<BTreeSet<String>>()),
        Template::Constant(constant) => constant.value().as_object().map(|fields| fields.keys().cloned().collect()),
        _ => None,
    };
    let (Some(old_keys), Some(new_keys)) = (keys(old), keys(new)) else {
        changes.push(FieldChange { at: at.to_owned(), old: Some(clipped(&old.to_string())), new: Some(clipped(&new.to_string())) });
        return;
    };
    for key in old_keys.union(&new_keys) {
        let place = json::below(at, key);
        match (old.field(key), new.field(key)) {
            (Some(old), Some(new)) => leaves(&place, &old, &new, changes),
            (old, new) => {
                let said = |side: Option<Template>| side.map(|template| clipped(&template.to_string()));
                changes.push(FieldChange { at: place, old: said(old), new: said(new) });
            }
        }
    }
}

fn parameters(old: &Plan, new: &Plan) -> Vec<FieldChange> {
    let all = |plan: &Plan| -> BTreeMap<String, Value> {
        let own = |parameter: &super::plan::Parameter| {
            let mut fields = serde_json::to_value(parameter).expect("a parameter has string keys only");
            // The value of one recording is evidence; what a job may be given is what counts.
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("sample");
                fields.remove("name");
            }
            (parameter.name.clone(), fields)
        };
        plan.parameters.iter().map(own).collect()
    };
    let (old, new) = (all(old), all(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| FieldChange { at: name.clone(), old: old.get(name).map(shown), new: new.get(name).map(shown) }).collect()
}

fn own_fields(old: &Plan, new: &Plan) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    if old.goal != new.goal {
        changes.push(FieldChange { at: "goal".to_owned(), old: Some(clipped(&old.goal)), new: Some(clipped(&new.goal)) });
    }
    leaves("output", &old.output, &new.output, &mut changes);
    changes
}

fn shown(value: &Value) -> String {
    clipped(&crate::json::Json::from(value).to_string())
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests;
