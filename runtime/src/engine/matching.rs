//! Which playbooks apply to a task: found by words, filled from what is known, and told with what they would do.
//!
//! Nothing runs and nothing is written. What is in memory for it (the words of playbooks, what their components say, how their jobs went)
//! is built when it is first asked for, kept up with what is written, and bounded.

mod expected;
mod held;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Engine;
use super::inspect::grants_needed;
use crate::compiler::emit::Explained;
use crate::compiler::plan::Plan;
use crate::contract::ToolId;
use crate::error::{Code, Error, Issue, Result};
use crate::fields;
use crate::ids::{Digest, PlaybookId, Space};
use crate::lifecycle::matching::{Entry, words};
use crate::lifecycle::{Status, Version};
use crate::{blocking, limits};

/// A task that somebody is about to begin.
#[derive(Debug, Clone)]
pub struct MatchRequest {
    /// What is to be reached, in words.
    pub goal: String,
    /// What is known: names and values.
    pub context: Map<String, Value>,
    /// The tools that are at hand; none where that is not said.
    pub tools: Option<Vec<String>>,
    /// Shadows too.
    pub include_shadow: bool,
    /// How many at the most.
    pub limit: usize,
}

/// A playbook that has to do with the task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Match {
    /// The playbook.
    pub playbook_id: String,
    /// The version.
    pub version: u32,
    /// How far it is trusted.
    pub status: Status,
    /// For people.
    pub name: String,
    /// What its recorded run was for; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// The higher, the better its words fit, and the more of its parameters are known.
    pub score: f64,
    /// True where it could be started now: nothing is missing.
    pub ready: bool,
    /// What it could be started with.
    #[schema(value_type = Object)]
    pub input: Value,
    /// Where each value comes from.
    pub filled: Vec<Filled>,
    /// Parameters for which nothing fits.
    pub missing_parameters: Vec<String>,
    /// Tools that it calls and that are not at hand.
    pub missing_tools: Vec<String>,
    /// What to expect of a job.
    pub expected: Expected,
    /// What it would touch, in words.
    pub touches: Vec<String>,
}

/// The playbooks that have to do with a task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Matches {
    /// Best first.
    pub matches: Vec<Match>,
    /// True where there are more playbooks than are looked at, so that one that fits may be missing; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// A parameter and its value.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Filled {
    /// The parameter.
    pub parameter: String,
    /// Where the value stands: `context/version`, `default`.
    pub from: String,
    /// Why this value, in words.
    pub why: String,
}

/// What to expect of a job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Expected {
    /// The least that its share of successes is, with 97.5 % certainty; 0 where no job ran it.
    pub success: f64,
    /// Jobs that say so: the latest of its component, under whatever version and status.
    pub jobs: u64,
    /// Calls of tools, on average; as its plan has steps where no job ran it.
    pub calls: f64,
    /// Seconds, on average; absent where no job ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What there is to know of a component, as far as matching goes.
struct Facts {
    plan: Option<Plan>,
    validators: HashMap<String, jsonschema::Validator>,
}

/// The words of playbooks, and what their components say. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Matching {
    /// Held while it is asked and kept up: one after the other, since what changed is taken off a list.
    held: Arc<Mutex<held::Held>>,
    records: Arc<expected::Records>,
    facts: Arc<Mutex<HashMap<Digest, Arc<Facts>>>>,
}

impl Engine {
    /// The playbooks that have to do with a task, best first: active ones, and shadows where those are asked for.
    ///
    /// # Errors
    /// `invalid_request`, what the store says.
    pub async fn match_playbooks(&self, space: &Space, request: MatchRequest) -> Result<Matches> {
        let tools = request.tools.as_ref().map(|tools| parsed(tools)).transpose()?;
        let (this, space) = (self.clone(), space.clone());
        blocking::run(move || {
            // What is known by a name is no reason to do something that nobody asked for: it counts once it fills a parameter.
            let goal = words(&request.goal).into_iter().map(|word| (word, 1.0));
            let asked: Vec<(String, f64)> = goal.take(limits::MATCH_WORDS_MAX).collect();
            let wanted = |entry: &Entry| entry.status == Status::Active || (request.include_shadow && entry.has_shadow);
            let found = this.found_by_words(&space, &asked, wanted, request.limit.saturating_mul(LOOKED_AT))?;
            let mut matches = Vec::new();
            for (id, score) in found.playbooks {
                matches.extend(this.matched(&space, &id, score, &request, tools.as_deref())?);
            }
            matches.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.playbook_id.cmp(&b.playbook_id)));
            matches.truncate(request.limit);
            Ok(Matches { matches, incomplete: found.incomplete })
        })
        .await
    }

    /// What would become of a playbook that was found; none where no version of it may be proposed any more.
    fn matched(
        &self,
        space: &Space,
        id: &PlaybookId,
        words: f64,
        request: &MatchRequest,
        tools: Option<&[ToolId]>,
    ) -> Result<Option<Match>> {
        let summary = match self.playbooks.summary(space, id) {
            Ok(summary) => summary,
            Err(e) if e.code == Code::ReplayPlaybookNotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let number = match summary.active_status {
            Status::Active => summary.active_version,
            Status::Disabled => return Ok(None),
            Status::Draft | Status::Shadow => match summary.shadow_version.filter(|_| request.include_shadow) {
                Some(shadow) => shadow,
                None => return Ok(None),
            },
        };
        let version = self.playbook(space, id, Some(number))?;
        let facts = self.facts(&version)?;
        let (input, filled, missing_parameters) = fill(&facts, &request.context);
        let calls = |plan: &Plan| plan.steps().map(|step| step.tool.clone()).collect::<Vec<_>>();
        let called = facts.plan.as_ref().map(calls).unwrap_or_default();
        let at_hand = |tool: &ToolId| match tools {
            Some(tools) => tools.contains(tool),
            None => tool.is_external() || self.tools.get(tool).is_some(),
        };
        let mut missing_tools: Vec<String> = called.iter().filter(|tool| !at_hand(tool)).map(ToString::to_string).collect();
        missing_tools.dedup();
        let share = share(filled.len(), missing_parameters.len());
        Ok(Some(Match {
            playbook_id: id.to_string(),
            version: number,
            status: version.status,
            name: version.name.clone(),
            goal: facts.plan.as_ref().map(|plan| plan.goal.clone()),
            score: (words * (1.0 - UNKNOWN_WEIGHT + UNKNOWN_WEIGHT * share) * 1000.0).round() / 1000.0,
            ready: missing_parameters.is_empty() && missing_tools.is_empty(),
            input,
            filled,
            missing_parameters,
            missing_tools,
            expected: self.expected(space, &version, called.len())?,
            touches: self.touches(&version, &facts),
        }))
    }

    fn touches(&self, version: &Version, facts: &Facts) -> Vec<String> {
        let words = |tool: &ToolId| self.words(tool).map(|(words, _)| words);
        let mut touches = version.asks.as_ref().map(|asks| asks.words(words)).unwrap_or_default();
        for (grant, access) in facts.plan.as_ref().map(grants_needed).unwrap_or_default() {
            touches.push(format!("files below {grant} ({})", if access == "rw" { "read and written" } else { "read" }));
        }
        touches
    }

    fn facts(&self, version: &Version) -> Result<Arc<Facts>> {
        let held = || self.matching.facts.lock().expect("nobody panics while holding it");
        if let Some(facts) = held().get(&version.component) {
            return Ok(Arc::clone(facts));
        }
        let plan = match crate::compiler::explain(&self.store.blobs().get(&version.component)?, &self.tools) {
            Explained::ByPlan(plan) => Some(*plan),
            Explained::Falsely(_) | Explained::Not => None,
        };
        let schemas = plan.iter().flat_map(|plan| &plan.parameters);
        let validators = schemas.filter_map(|p| Some((p.name.clone(), jsonschema::validator_for(&p.schema.value()).ok()?))).collect();
        let facts = Arc::new(Facts { plan, validators });
        let mut all = held();
        if all.len() >= limits::COMPONENTS_IN_MEMORY_MAX {
            all.clear();
        }
        all.insert(version.component, Arc::clone(&facts));
        Ok(facts)
    }
}

/// How much of its score a playbook loses of whose parameters nothing is known.
const UNKNOWN_WEIGHT: f64 = 0.3;
/// Playbooks looked at for each that is told: what is known of parameters may change the order.
const LOOKED_AT: usize = 2;

fn share(filled: usize, missing: usize) -> f64 {
    let all = u32::try_from(filled + missing).unwrap_or(u32::MAX);
    if all == 0 { 1.0 } else { f64::from(u32::try_from(filled).unwrap_or(u32::MAX)) / f64::from(all) }
}

fn parsed(tools: &[String]) -> Result<Vec<ToolId>> {
    let mut issues = Vec::new();
    let mut ids = Vec::new();
    for (at, tool) in tools.iter().enumerate() {
        match ToolId::parse(tool) {
            Ok(id) => ids.push(id),
            Err(e) => issues.push(Issue { path: format!("/tools/{at}"), message: e.message }),
        }
    }
    if issues.is_empty() { Ok(ids) } else { Err(fields::refusal(Code::InvalidRequest, issues)) }
}

/// The input as far as the context gives it, where each value comes from, and what is missing.
fn fill(facts: &Facts, context: &Map<String, Value>) -> (Value, Vec<Filled>, Vec<String>) {
    let (mut input, mut filled, mut missing) = (Map::new(), Vec::new(), Vec::new());
    for parameter in facts.plan.iter().flat_map(|plan| &plan.parameters) {
        let name = &parameter.name;
        // A name is no reason where nothing says what may stand under it.
        let fits = |value: &Value| facts.validators.get(name).is_some_and(|validator| validator.is_valid(value));
        let found = named(context, name).into_iter().find(|(_, value)| fits(value));
        if let Some((from, value)) = found {
            let schema = parameter.schema.value();
            let what = if schema["enum"].is_array() { "one of the values that the parameter takes" } else { "of the parameter's type" };
            let why = format!("it has the parameter's name, and is {what}");
            filled.push(Filled { parameter: name.clone(), from: format!("context/{from}"), why });
            input.insert(name.clone(), value.clone());
        } else if parameter.default.is_some() {
            filled.push(Filled {
                parameter: name.clone(),
                from: "default".to_owned(),
                why: "the runs that it was learned from agree on it".to_owned(),
            });
        } else {
            missing.push(name.clone());
        }
    }
    (Value::Object(input), filled, missing)
}

/// Values of the context under this name, exactly first, then however it is written; one level down too.
fn named<'a>(context: &'a Map<String, Value>, name: &str) -> Vec<(String, &'a Value)> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(name);
    let below = context.iter().flat_map(|(outer, value)| {
        let inner = value.as_object().into_iter().flatten();
        inner.map(move |(inner, value)| (format!("{outer}/{inner}"), inner.as_str(), value))
    });
    let mut all: Vec<(String, &str, &Value)> = context.iter().map(|(key, value)| (key.clone(), key.as_str(), value)).chain(below).collect();
    all.retain(|(_, key, _)| plain(key) == wanted);
    all.sort_by_key(|(place, key, _)| (*key != name, place.matches('/').count()));
    all.into_iter().map(|(place, _, value)| (place, value)).collect()
}

impl MatchRequest {
    /// # Errors
    /// `invalid_request` where the goal is empty or too long.
    pub fn checked(self) -> Result<MatchRequest> {
        let chars = self.goal.trim().chars().count();
        if (1..=limits::TEXT_CHARS_MAX).contains(&chars) {
            return Ok(self);
        }
        Err(Error::invalid("/goal", format!("has {chars} characters; a goal has 1 to {}", limits::TEXT_CHARS_MAX)))
    }
}
