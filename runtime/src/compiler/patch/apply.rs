//! A patch put on a plan: steps replaced, taken out, set, put in; and everything that does not fit, at once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::step::{Form, Recorded, Workshop};
use super::{Overlay, Patch, StepName, refused};
use crate::compiler::bindings::Bindings;
use crate::compiler::plan::{Node, Parameter, Plan, Step};
use crate::compiler::template::Template;
use crate::error::{Code, Error, Issue, Result};
use crate::limits;
use crate::tools::Registry;

/// What a patch is put on.
pub struct Base<'a> {
    /// The plan as it is.
    pub plan: &'a Plan,
    /// Its steps as clients see them, in the order of [`Plan::steps`].
    pub shown: &'a [Shown],
    /// What earlier repairs set of how steps are shown.
    pub overlay: &'a Overlay,
    /// True where the patch was made of a recorded run: what was recorded and is not understood stays, as it does in a compilation.
    pub recorded: bool,
}

/// A step as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The number under which it is shown.
    pub step_index: u32,
    /// Its id in the plan.
    pub step: String,
    /// The tool as the agent called it.
    pub tool_name: String,
    /// The input as it was recorded.
    pub tool_input: Value,
    /// What is expected of its answer, as it was recorded or set.
    pub expected_output_signature: Value,
    /// What must hold before, as it was recorded or set.
    pub preconditions: Vec<Value>,
    /// What must hold after, as it was recorded or set.
    pub postconditions: Vec<Value>,
}

impl Shown {
    /// A step of which nothing was recorded.
    #[must_use]
    pub fn of(step: &Step) -> Shown {
        Shown {
            step_index: 0,
            step: step.id.clone(),
            tool_name: step.tool.to_string(),
            tool_input: Value::Null,
            expected_output_signature: Value::Null,
            preconditions: Vec::new(),
            postconditions: Vec::new(),
        }
    }
}

/// A plan with a patch on it.
#[derive(Debug, Clone)]
pub struct Patched {
    /// The plan, checked.
    pub plan: Plan,
    /// What is shown of its steps beside the plan.
    pub overlay: Overlay,
    /// What was done, in numbers.
    pub summary: Summary,
}

/// What a patch did, in numbers. The names are Aionis', but for those that say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Summary {
    /// Whether all steps were replaced.
    pub steps_override: bool,
    /// Steps of which something was set.
    pub step_patches_applied: usize,
    /// Steps that were taken out.
    pub steps_removed: usize,
    /// Steps that were put in. Not known to Aionis.
    #[serde(default)]
    pub steps_inserted: usize,
    /// `matchers`, `success_criteria`, `risk_profile`, `policy_constraints`.
    pub top_level_updates: Vec<String>,
}

struct Work<'a> {
    workshop: Workshop<'a>,
    plan: Plan,
    /// Which steps have a number: more than one where attempts shared it.
    numbers: BTreeMap<u32, Vec<String>>,
    shown: BTreeMap<String, Shown>,
    overlay: Overlay,
    taken: BTreeSet<String>,
    summary: Summary,
    issues: Vec<Issue>,
}

impl Patch {
    /// Puts the patch on. Steps are named as they were shown before it (or as `steps_override` numbers them).
    ///
    /// # Errors
    /// `invalid_request` with an issue for each step that is not there and each field that does not fit; `not_compilable`
    /// where what comes out is no plan, with the places: a step that needs what was taken out.
    pub fn apply(&self, base: &Base<'_>, bindings: &Bindings, registry: &Registry) -> Result<Patched> {
        let mut numbers: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for shown in base.shown {
            numbers.entry(shown.step_index).or_default().push(shown.step.clone());
        }
        let taken = base.plan.nodes().into_iter().filter_map(Node::id).map(str::to_owned);
        let mut work = Work {
            workshop: Workshop { bindings, registry, recorded: base.recorded },
            plan: base.plan.clone(),
            numbers,
            shown: base.shown.iter().map(|shown| (shown.step.clone(), shown.clone())).collect(),
            overlay: base.overlay.clone(),
            taken: taken.chain(base.plan.steps().map(|step| step.id.clone())).collect(),
            summary: Summary { top_level_updates: self.top_level.names().into_iter().map(str::to_owned).collect(), ..Summary::default() },
            issues: Vec::new(),
        };
        if let Some(steps) = &self.steps_override {
            work.override_all(steps);
        }
        let gone: Vec<String> = self.remove.iter().filter_map(|(at, name)| work.named(name, at)).collect();
        for (at, name, set) in &self.set {
            work.set(at, name, set, &gone);
        }
        let behind: Vec<(Option<String>, Vec<Node>)> =
            self.insert.iter().filter_map(|(at, (name, steps))| work.made(at, name.as_ref(), steps)).collect();
        // From the last to the first, so that two insertions behind one step stand in the order in which they were sent.
        for (after, nodes) in behind.into_iter().rev() {
            work.summary.steps_inserted += nodes.len();
            insert(&mut work.plan.body, after.as_deref(), nodes);
        }
        for id in gone.iter().collect::<BTreeSet<_>>() {
            work.summary.steps_removed += usize::from(remove(&mut work.plan.body, id));
            work.overlay.remove(id);
        }
        work.own_fields(self);
        work.finish()
    }
}

impl Work<'_> {
    fn wrong(&mut self, path: &str, message: String) {
        self.issues.push(Issue { path: path.to_owned(), message });
    }

    /// The step that a patch names.
    fn named(&mut self, name: &StepName, at: &str) -> Option<String> {
        let known = |numbers: &BTreeMap<u32, Vec<String>>| {
            let all = numbers.iter().flat_map(|(number, ids)| ids.iter().map(move |id| format!("{number} ({id})")));
            let shown: Vec<String> = all.take(20).collect();
            shown.join(", ")
        };
        match name {
            StepName::Id(id) if self.plan.steps().any(|step| step.id == *id) => return Some(id.clone()),
            StepName::Id(id) => self.wrong(at, format!("there is no step {id:?}; there are {}", known(&self.numbers))),
            StepName::Index(index) => match self.numbers.get(index).map(Vec::as_slice) {
                Some([one]) => return Some(one.clone()),
                Some(several) => {
                    let message = format!("{index} is the number of {}; name the one that is meant by step_id", several.join(" and "));
                    self.wrong(at, message);
                }
                None => self.wrong(at, format!("there is no step {index}; there are {}", known(&self.numbers))),
            },
        }
        None
    }

    /// An id that no node has.
    fn fresh(&mut self, wanted: Option<&str>) -> String {
        let wanted = wanted.filter(|id| crate::ids::StepId::parse(id).is_ok()).map(str::to_owned);
        let counted = (1..).map(|n| format!("r{n}"));
        let id = wanted.into_iter().chain(counted).find(|id| !self.taken.contains(id)).expect("there are more numbers than steps");
        self.taken.insert(id.clone());
        id
    }

    fn override_all(&mut self, steps: &[Map<String, Value>]) {
        let at = "/patch/steps_override";
        let plain = |node: &Node| node.step().is_some_and(|step| step.compensation.is_none());
        if !self.plan.body.iter().all(plain) {
            let why = "the playbook has more than one step after the other, which a list of steps cannot say; use step_patches, insert_after and remove_steps";
            return self.wrong(at, why.to_owned());
        }
        let old: BTreeMap<String, Step> = self.plan.steps().map(|step| (step.id.clone(), step.clone())).collect();
        let (old_numbers, old_shown) = (std::mem::take(&mut self.numbers), self.shown.clone());
        let (mut body, mut overlay, mut used) = (Vec::new(), Overlay::new(), BTreeSet::new());
        for (n, said) in steps.iter().enumerate() {
            let place = format!("{at}/{n}");
            let number = said.get("step_index").and_then(super::number);
            let by_id = said.get("step_id").and_then(Value::as_str);
            let by_number = || number.and_then(|number| old_numbers.get(&number)).filter(|ids| ids.len() == 1).map(|ids| ids[0].clone());
            let id = by_id.map(str::to_owned).filter(|id| old.contains_key(id)).or_else(by_number).filter(|id| !used.contains(id));
            let was = id.as_ref().and_then(|id| Some((old.get(id)?, old_shown.get(id)?)));
            let id = id.clone().unwrap_or_else(|| self.fresh(by_id));
            used.insert(id.clone());
            self.numbers.entry(number.unwrap_or_else(|| u32::try_from(n + 1).unwrap_or(u32::MAX))).or_default().push(id.clone());
            let mut issues = Vec::new();
            if let Some((step, recorded)) = self.workshop.step(&id, said, was, Form::Whole, &place, &mut issues) {
                overlay.insert(id, recorded);
                body.push(Node::Step(step));
            }
            self.issues.extend(issues);
        }
        self.plan.body = body;
        self.overlay = overlay;
        self.summary.steps_override = true;
    }

    fn set(&mut self, at: &str, name: &StepName, set: &Map<String, Value>, gone: &[String]) {
        let Some(id) = self.named(name, at) else { return };
        if gone.contains(&id) {
            return self.wrong(at, format!("step {id} is taken out by the same patch"));
        }
        let Some(step) = self.plan.steps().find(|step| step.id == id).cloned() else { return };
        // Only what an override has just made is not shown yet.
        let shown = self.shown.get(&id).cloned().unwrap_or_else(|| Shown::of(&step));
        let mut issues = Vec::new();
        let made = self.workshop.step(&id, set, Some((&step, &shown)), Form::Part, &format!("{at}/set"), &mut issues);
        self.issues.extend(issues);
        let Some((made, recorded)) = made else { return };
        replace(&mut self.plan.body, &id, &made);
        let before = self.overlay.remove(&id).unwrap_or_default();
        self.overlay.insert(id, recorded.over(before));
        self.summary.step_patches_applied += 1;
    }

    /// New steps, and behind which one they stand.
    fn made(&mut self, at: &str, name: Option<&StepName>, steps: &[Map<String, Value>]) -> Option<(Option<String>, Vec<Node>)> {
        let after = match name {
            None => None,
            Some(name) => Some(self.named(name, at)?),
        };
        let mut nodes = Vec::new();
        for (n, said) in steps.iter().enumerate() {
            let wanted = said.get("step_id").and_then(Value::as_str);
            if let Some(wanted) = wanted.filter(|id| self.taken.contains(*id)) {
                self.wrong(&format!("{at}/steps/{n}/step_id"), format!("there is a step {wanted:?} already"));
            }
            let id = self.fresh(wanted);
            let mut issues = Vec::new();
            if let Some((step, recorded)) = self.workshop.step(&id, said, None, Form::Whole, &format!("{at}/steps/{n}"), &mut issues) {
                self.overlay.insert(id, recorded);
                nodes.push(Node::Step(step));
            }
            self.issues.extend(issues);
        }
        Some((after, nodes))
    }

    fn own_fields(&mut self, patch: &Patch) {
        for (n, said) in patch.parameters.iter().enumerate() {
            match Parameter::deserialize(said) {
                Ok(parameter) => {
                    self.plan.parameters.retain(|other| other.name != parameter.name);
                    self.plan.parameters.push(parameter);
                    self.plan.parameters.sort_by(|a, b| a.name.cmp(&b.name));
                }
                Err(e) => self.wrong(&format!("/patch/parameters/{n}"), e.to_string()),
            }
        }
        match patch.output.as_ref().map(Template::deserialize) {
            None => {}
            Some(Ok(output)) => self.plan.output = output,
            Some(Err(e)) => self.wrong("/patch/output", e.to_string()),
        }
    }

    fn finish(self) -> Result<Patched> {
        if !self.issues.is_empty() {
            return Err(refused(self.issues));
        }
        let Plan { goal, parameters, body, output, .. } = self.plan;
        let plan = Plan::new(goal, parameters, body, output);
        plan.check().map_err(|e| {
            let message = format!("with this patch the playbook is none: {}", e.message);
            Error::new(Code::NotCompilable, message).with_issues(e.issues)
        })?;
        if plan.to_json().as_str().len() > limits::PLAN_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("with this patch the plan has more than {} bytes", limits::PLAN_BYTES_MAX)));
        }
        let overlay: BTreeMap<String, Recorded> = self.overlay.into_iter().filter(|(_, recorded)| !recorded.is_empty()).collect();
        Ok(Patched { plan, overlay, summary: self.summary })
    }
}

/// Puts nodes behind the step `after`, or before all; where the step undoes another one, behind that.
fn insert(nodes: &mut Vec<Node>, after: Option<&str>, new: Vec<Node>) -> Option<Vec<Node>> {
    let Some(after) = after else {
        nodes.splice(0..0, new);
        return None;
    };
    let is = |step: &Step| step.id == after || step.compensation.as_ref().is_some_and(|undo| undo.id == after);
    if let Some(at) = nodes.iter().position(|node| node.step().is_some_and(is)) {
        nodes.splice(at + 1..at + 1, new);
        return None;
    }
    let mut left = Some(new);
    for arm in nodes.iter_mut().flat_map(Node::arms_mut) {
        left = insert(arm, Some(after), left?);
    }
    left
}

/// Takes a step out; true where it was there.
fn remove(nodes: &mut Vec<Node>, id: &str) -> bool {
    let before = nodes.len();
    nodes.retain(|node| node.step().is_none_or(|step| step.id != id));
    let mut found = nodes.len() < before;
    for node in nodes.iter_mut() {
        if let Node::Step(step) = node
            && step.compensation.as_ref().is_some_and(|undo| undo.id == id)
        {
            step.compensation = None;
            found = true;
        }
        found |= node.arms_mut().into_iter().any(|arm| remove(arm, id));
    }
    found
}

fn replace(nodes: &mut [Node], id: &str, made: &Step) {
    for node in nodes {
        if let Node::Step(step) = node {
            if step.id == id {
                *step = made.clone();
            } else if let Some(undo) = step.compensation.as_mut().filter(|undo| undo.id == id) {
                **undo = made.clone();
            }
        }
        node.arms_mut().into_iter().for_each(|arm| replace(arm, id, made));
    }
}
