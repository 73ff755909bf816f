//! `[[agent_tool]]`, `[concurrency]` and `[scheduler]`: how jobs run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::contract::{Effect, ToolId};
use crate::error::Result;
use crate::ids::PlaybookId;
use crate::limits;
use crate::tools::Registry;

use super::source::Source;

/// A tool that an agent or a worker outside performs.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentTool {
    /// `agent/edit`.
    pub id: ToolId,
    /// What repeating a call does; once where nothing is said.
    pub effect: Effect,
    /// For people.
    pub description: Option<String>,
}

/// How many may run at the same time, beside the limit on all jobs together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Concurrency {
    /// Calls of a tool.
    pub tools: BTreeMap<ToolId, usize>,
    /// Jobs of a playbook.
    pub playbooks: BTreeMap<PlaybookId, usize>,
}

/// How this process takes jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerSettings {
    /// How long a job stays with a process that says nothing more.
    pub lease: Duration,
    /// Jobs that run at the same time.
    pub running_max: usize,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        SchedulerSettings { lease: Duration::from_millis(limits::LEASE_MS_DEFAULT), running_max: limits::JOBS_RUNNING_MAX }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentTable {
    name: Spanned<String>,
    effect: Option<Effect>,
    description: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ConcurrencyTable {
    #[serde(default)]
    tools: BTreeMap<Spanned<String>, Spanned<i64>>,
    #[serde(default)]
    playbooks: BTreeMap<Spanned<String>, Spanned<i64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct SchedulerTable {
    lease_ms: Option<Spanned<i64>>,
    running_max: Option<Spanned<i64>>,
}

pub(super) fn read_agents(tables: &[AgentTable], source: &Source) -> Result<Vec<AgentTool>> {
    let mut tools: Vec<AgentTool> = Vec::new();
    for table in tables {
        let at = table.name.span();
        let id = source.place(at.clone(), ToolId::parse(table.name.get_ref()))?;
        if !id.is_external() {
            return Err(source.wrong(at, format!("{id} is not a tool that others perform; those are called agent/NAME")));
        }
        if tools.iter().any(|tool| tool.id == id) {
            return Err(source.wrong(at, format!("{id} stands twice")));
        }
        if let Some(long) = table.description.as_ref().filter(|text| text.get_ref().chars().count() > limits::TEXT_CHARS_MAX) {
            return Err(source.wrong(long.span(), format!("a description has at most {} characters", limits::TEXT_CHARS_MAX)));
        }
        let description = table.description.as_ref().map(|text| text.get_ref().clone());
        tools.push(AgentTool { id, effect: table.effect.unwrap_or(Effect::Once), description });
    }
    Ok(tools)
}

pub(super) fn read_concurrency(table: &ConcurrencyTable, source: &Source) -> Result<Concurrency> {
    let mut limits = Concurrency::default();
    let builtin = Registry::builtin();
    for (name, most) in &table.tools {
        let id = source.place(name.span(), ToolId::parse(name.get_ref()))?;
        // A limit on a name that nothing has would hold nothing, unseen.
        if !id.is_external() && builtin.get(&id).is_none() {
            let ids: Vec<String> = builtin.list().iter().map(|info| info.id.to_string()).collect();
            return Err(source.wrong(name.span(), format!("there is no tool {id}; there are {} and agent/NAME", ids.join(", "))));
        }
        limits.tools.insert(id, at_once(most, source)?);
    }
    for (name, most) in &table.playbooks {
        let id = source.place(name.span(), PlaybookId::parse(name.get_ref()))?;
        limits.playbooks.insert(id, at_once(most, source)?);
    }
    Ok(limits)
}

pub(super) fn read_scheduler(table: &SchedulerTable, source: &Source) -> Result<SchedulerSettings> {
    let default = SchedulerSettings::default();
    let lease = match &table.lease_ms {
        Some(lease) => Duration::from_millis(within(lease, limits::LEASE_MS_MIN, limits::LEASE_MS_MAX, source)?),
        None => default.lease,
    };
    let running_max = table.running_max.as_ref().map_or(Ok(default.running_max), |most| at_once(most, source))?;
    Ok(SchedulerSettings { lease, running_max })
}

/// A number of things that run at the same time.
fn at_once(value: &Spanned<i64>, source: &Source) -> Result<usize> {
    let most = within(value, 1, limits::JOBS_RUNNING_MAX as u64, source)?;
    Ok(usize::try_from(most).expect("it is at most a usize"))
}

/// The number, if it lies between these.
pub(super) fn within(value: &Spanned<i64>, least: u64, most: u64, source: &Source) -> Result<u64> {
    u64::try_from(*value.get_ref())
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| source.wrong(value.span(), format!("{} is not between {least} and {most}", value.get_ref())))
}
