//! The steps of a compiled version in the fields that Aionis has, and what this compiler made of each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Engine;
use crate::blocking;
use crate::compiler::emit::Explained;
use crate::compiler::patch::{Recorded, Shown};
use crate::compiler::{self, Options, plan};
use crate::contract::Effect;
use crate::error::{Code, Result};
use crate::ids::Space;
use crate::json::Json;
use crate::lifecycle::{Compilation, Origin, Version};
use crate::runs::{Run, SafetyLevel, Step};
use crate::tools::Registry;

/// One step of a playbook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StepTemplate {
    /// The recorded step's own count; the place in the plan where its steps are not recorded ones in their order.
    pub step_index: u32,
    /// The step within the plan and in journals.
    pub step_id: String,
    /// The tool as the agent called it.
    pub tool_name: String,
    /// The tool that a job calls.
    pub tool: String,
    /// What repeating the call does.
    pub effect: Effect,
    /// The input as it was recorded, with placeholders for secrets.
    #[schema(value_type = Value)]
    pub tool_input_template: Value,
    /// How a job makes the input: constants, parameters, earlier answers.
    #[schema(value_type = Value)]
    pub input: Value,
    /// Why each part of the input is what it is.
    #[schema(value_type = Vec<Object>)]
    pub decisions: Value,
    /// What the step is held to in a job; left out where that is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub checks: Vec<Value>,
    /// As recorded, or what was seen.
    #[schema(value_type = Value)]
    pub expected_output_signature: Value,
    /// As recorded.
    #[schema(value_type = Vec<Object>)]
    pub preconditions: Vec<Value>,
    /// As recorded.
    #[schema(value_type = Vec<Object>)]
    pub postconditions: Vec<Value>,
    /// As recorded.
    #[schema(value_type = Option<Object>)]
    pub retry_policy: Value,
    /// As recorded; where several recorded steps became this one, the strictest of theirs.
    pub safety_level: SafetyLevel,
    /// Always `replay_first_reason_if_needed`.
    pub replay_mode: &'static str,
    /// How the recorded step went.
    pub last_outcome: &'static str,
    /// Whether the agent had to mend something.
    pub repair_applied_last_run: bool,
}

impl Engine {
    /// The steps of a version, in order; none for a component without a plan.
    ///
    /// # Errors
    /// As [`Engine::component`], and what the store says of the source run.
    pub async fn steps(&self, space: &Space, version: &Version) -> Result<Vec<StepTemplate>> {
        let Explained::ByPlan(plan) = self.explained(version.component).await? else { return Ok(Vec::new()) };
        let sources = match &version.origin {
            Origin::Compiled(compilation) => self.sources_of(space, &plan, compilation).await?,
            Origin::Uploaded | Origin::Graph { .. } => Recordings::default(),
        };
        // Of a plan that is no line, and where a repair put steps between those of the run, their places are their numbers, so that no
        // two have the same.
        let numbered = sources.in_line && plan.steps().all(|step| sources.recorded.contains_key(&step.id));
        let mended = match &version.origin {
            Origin::Compiled(compilation) => compilation.mended.as_deref(),
            Origin::Uploaded | Origin::Graph { .. } => None,
        };
        let shown = |(at, step): (usize, &plan::Step)| {
            let mut shown = template(at, step, sources.recorded.get(&step.id));
            shown.safety_level = sources.levels.get(&step.id).copied().unwrap_or(shown.safety_level);
            if !numbered {
                shown.step_index = u32::try_from(at + 1).unwrap_or(u32::MAX);
            }
            if let Some(set) = mended.and_then(|mended| mended.steps.get(&step.id)) {
                shown.mend(set);
            }
            shown
        };
        Ok(plan.steps().enumerate().map(shown).collect())
    }

    /// What was recorded for the steps of a plan.
    async fn sources_of(&self, space: &Space, plan: &plan::Plan, compilation: &Compilation) -> Result<Recordings> {
        let (sources, tools, space, plan) = (self.sources.clone(), self.tools.clone(), space.clone(), plan.clone());
        let (ids, options) = (compilation.runs().to_vec(), compilation.options.clone().unwrap_or_default());
        blocking::run(move || {
            let mut runs = Vec::new();
            for id in &ids {
                match sources.get(&space, id) {
                    Ok(run) => runs.push(run),
                    Err(e) if e.code == Code::ReplayRunNotFound => {}
                    Err(e) => return Err(e),
                }
            }
            match runs.as_slice() {
                [run] if ids.len() == 1 && run.end.is_some() => Recordings::of_one(run, &tools, &options),
                runs => Recordings::of_several(&plan, runs, ids.len(), &tools, &options),
            }
        })
        .await
    }
}

impl StepTemplate {
    /// Shows what a repair set in the place of what was recorded.
    fn mend(&mut self, set: &Recorded) {
        if let Some(signature) = &set.expected_output_signature {
            self.expected_output_signature = signature.value();
        }
        let values = |list: &Vec<Json>| list.iter().map(Json::value).collect();
        self.preconditions = set.preconditions.as_ref().map_or_else(|| std::mem::take(&mut self.preconditions), values);
        self.postconditions = set.postconditions.as_ref().map_or_else(|| std::mem::take(&mut self.postconditions), values);
        if let Some(policy) = &set.retry_policy {
            self.retry_policy = policy.value();
        }
        self.safety_level = set.safety_level.unwrap_or(self.safety_level);
    }

    /// The step as a patch is held against it.
    pub(super) fn as_shown(&self) -> Shown {
        Shown {
            step_index: self.step_index,
            step: self.step_id.clone(),
            tool_name: self.tool_name.clone(),
            tool_input: self.tool_input_template.clone(),
            expected_output_signature: self.expected_output_signature.clone(),
            preconditions: self.preconditions.clone(),
            postconditions: self.postconditions.clone(),
        }
    }
}

/// What was recorded for the steps of a plan, by their ids there.
#[derive(Default)]
struct Recordings {
    recorded: BTreeMap<String, Step>,
    /// Where that is not the level of the one recorded step.
    levels: BTreeMap<String, SafetyLevel>,
    /// True where the plan's steps are recorded ones one after the other.
    in_line: bool,
}

impl Recordings {
    /// The compiler calls recorded steps `s1`, `s2`, ... by their place in the run. Only a run that has ended keeps its places.
    fn of_one(run: &Run, tools: &Registry, options: &Options) -> Result<Recordings> {
        // Shown as the compiler saw it: what it took for a secret is shown to nobody.
        let run = compiler::without_secrets(run, tools, options)?;
        let recorded = run.steps.into_iter().enumerate().map(|(at, step)| (format!("s{}", at + 1), step)).collect();
        Ok(Recordings { recorded, levels: BTreeMap::new(), in_line: true })
    }

    /// Of a plan whose steps have other places than those of the runs: a loop had several turns there, a branch one arm, or the
    /// run went on after it was compiled (and then nothing but the plan is shown).
    fn of_several(plan: &plan::Plan, runs: &[Run], of: usize, tools: &Registry, options: &Options) -> Result<Recordings> {
        let found = compiler::came_from(plan, runs, tools, options)?;
        // What a run said that is no longer there may have been stricter than what nobody said anything of.
        let least = if runs.len() < of { SafetyLevel::default() } else { SafetyLevel::AutoOk };
        let levels = found.iter().map(|(id, of)| (id.clone(), of.safety_level.stricter(least))).collect();
        let mut hidden: BTreeMap<usize, Run> = BTreeMap::new();
        let mut recorded = BTreeMap::new();
        for (id, (at, place)) in found.into_iter().filter_map(|(id, of)| Some((id, of.first?))).filter(|_| of > 1) {
            let run = match hidden.entry(at) {
                Entry::Occupied(run) => run.into_mut(),
                Entry::Vacant(none) => none.insert(compiler::without_secrets(&runs[at], tools, options)?),
            };
            recorded.insert(id, run.steps[place].clone());
        }
        let in_line = plan.nodes().into_iter().all(|node| node.step().is_some()) && hidden.keys().all(|at| *at == 0);
        Ok(Recordings { recorded, levels, in_line })
    }
}

fn template(at: usize, step: &plan::Step, recorded: Option<&Step>) -> StepTemplate {
    let after = recorded.and_then(|step| step.after.as_ref());
    let value = |json: Option<&Json>| json.map_or(Value::Null, Json::value);
    let values = |list: Option<&Vec<Json>>| list.map(|list| list.iter().map(Json::value).collect()).unwrap_or_default();
    let seen = || after.and_then(|after| after.output_signature.as_ref());
    StepTemplate {
        step_index: recorded.map_or_else(|| u32::try_from(at + 1).unwrap_or(u32::MAX), |step| step.step_index),
        step_id: step.id.clone(),
        tool_name: recorded
            .map(|step| step.tool_name.clone())
            .or_else(|| step.recorded_as.clone())
            .unwrap_or_else(|| step.tool.to_string()),
        tool: step.tool.to_string(),
        effect: step.effect,
        tool_input_template: value(recorded.map(|step| &step.tool_input)),
        input: serde_json::to_value(&step.input).expect("a template has string keys only"),
        decisions: serde_json::to_value(&step.decisions).expect("decisions are text"),
        checks: step.checks.iter().map(|check| serde_json::to_value(check).expect("a check has string keys only")).collect(),
        expected_output_signature: value(recorded.and_then(|step| step.expected_output_signature.as_ref()).or_else(seen)),
        preconditions: values(recorded.map(|step| &step.preconditions)),
        postconditions: values(after.map(|after| &after.postconditions)),
        retry_policy: value(recorded.and_then(|step| step.retry_policy.as_ref())),
        safety_level: recorded.map_or_else(SafetyLevel::default, |step| step.safety_level),
        replay_mode: "replay_first_reason_if_needed",
        last_outcome: after.map_or("pending", |after| after.status.as_str()),
        repair_applied_last_run: after.is_some_and(|after| after.repair_applied),
    }
}
