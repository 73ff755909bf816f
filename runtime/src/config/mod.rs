//! `reprise.toml`: the operator's file.
//!
//! Its job: read the file, or say on which line what is wrong and what would be right. It opens nothing, and does not
//! know who acts on what it says. The rule that must stay true: nothing that a job can write is read here as an
//! operator's word.
//!
//! ```toml
//! [[grant]]
//! kind = "fs"
//! name = "project"      # optional: the directory's own name
//! path = "./project"    # relative to this file
//! access = "rw"         # or "ro"
//!
//! [[grant]]
//! kind = "http"
//! name = "payments"                       # optional: the host's name
//! origin = "https://pay.example.com"
//! methods = ["GET", "POST"]               # optional: GET alone
//! path = "/v1"                            # optional: this path and those below it
//! key_header = "Idempotency-Key"          # optional: the server performs a call once per key in this header
//! reconcile = "/v1/charges/by-key/{key}"  # optional: where to ask what became of a post
//! private = true                          # optional: the name may lead to a private address
//! to = ["search"]                         # optional: for the tool components of these namespaces
//!
//! [[grant]]
//! kind = "kv"
//! name = "notes"        # the space
//! access = "rw"
//!
//! [[grant]]
//! kind = "exec"
//! program = "/usr/bin/git"
//! args = ["log", "*"]   # optional: one pattern for each argument
//! directory = "project" # an fs grant
//!
//! [[grant]]
//! kind = "secret"
//! secret = "pay-key"
//! http = "payments"     # an http grant
//! place = "header:Authorization"
//!
//! [[grant]]
//! kind = "env"          # or clock, random: for tool components alone
//! variable = "LANG"
//! value = "C"
//! to = ["search"]
//!
//! [[agent_tool]]
//! name = "agent/edit"
//! effect = "idempotent"                   # optional: once
//! description = "Edits a file as asked"   # optional
//!
//! [concurrency]
//! tools = { "http/post" = 4 }
//! playbooks = { "prepare-release" = 2 }
//!
//! [scheduler]
//! lease_ms = 10000
//! running_max = 64
//!
//! [planner]
//! kind = "template"                       # or "chat": url, model, api_key_env, timeout_ms
//!
//! [[planner.template]]
//! goal = "refund {order}"
//! graph = "refund.json"                   # relative to this file
//!
//! [lifecycle]
//! auto_promote = true                     # and the other parts of a policy: shadow, active, demote, canary_share
//! open_promotion = false                  # true: anybody may promote, as with Aionis
//!
//! [evidence]
//! signing_key = "evidence.key"            # relative to this file
//! ```

mod grants;
mod jobs;
mod planner;
mod policy;
mod source;

pub use jobs::{AgentTool, Concurrency, SchedulerSettings};
pub use planner::{ChatSettings, GoalPart, GoalTemplate, PlannerSettings};

pub use policy::{ActiveRule, DemoteRule, LifecycleSettings, Policy, PolicyChange, ShadowRule};

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::error::Result;
use crate::tools::{CONFIG_FILE_NAME, Grant};

use source::Source;

/// The name that the configuration file has. The file tools never change a file of this name, so that a job
/// cannot write its own grants.
pub const FILE_NAME: &str = CONFIG_FILE_NAME;

/// What an operator configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// What all jobs may reach, in the order of the file.
    pub grants: Vec<Grant>,
    /// What is known of tools that others perform, in the order of the file.
    pub agent_tools: Vec<AgentTool>,
    /// How many may run at the same time.
    pub concurrency: Concurrency,
    /// How this process takes jobs.
    pub scheduler: SchedulerSettings,
    /// Who turns a goal into a graph.
    pub planner: Option<PlannerSettings>,
    /// When versions of playbooks rise and fall.
    pub lifecycle: LifecycleSettings,
    /// The file with the Ed25519 key that evidence is signed with: 64 hex digits. Not read here.
    pub signing_key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    grant: Vec<Spanned<grants::Table>>,
    #[serde(default)]
    agent_tool: Vec<jobs::AgentTable>,
    #[serde(default)]
    concurrency: jobs::ConcurrencyTable,
    #[serde(default)]
    scheduler: jobs::SchedulerTable,
    planner: Option<planner::Table>,
    lifecycle: Option<Spanned<policy::Table>>,
    #[serde(default)]
    evidence: EvidenceTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct EvidenceTable {
    signing_key: Option<Spanned<String>>,
}

impl Config {
    /// What holds where there is no file: nothing is granted.
    #[must_use]
    pub fn empty() -> Config {
        Config::default()
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `file_not_found`; `too_large`; `invalid_configuration` with file, line and what would be right.
    pub fn read(path: &Path) -> Result<Config> {
        let source = Source::read(path)?;
        let file: File = toml::from_str(source.text()).map_err(|e| source.wrong(e.span().unwrap_or(0..0), e.message().trim()))?;
        let grants = grants::read(&file.grant, &source)?;
        let signing_key = file.evidence.signing_key.as_ref().map(|key| signing_key(key, &grants, &source)).transpose()?;
        Ok(Config {
            grants,
            agent_tools: jobs::read_agents(&file.agent_tool, &source)?,
            concurrency: jobs::read_concurrency(&file.concurrency, &source)?,
            scheduler: jobs::read_scheduler(&file.scheduler, &source)?,
            planner: file.planner.as_ref().map(|table| planner::read(table, &source)).transpose()?,
            lifecycle: policy::read(file.lifecycle.as_ref(), &source)?,
            signing_key,
        })
    }
}

/// A key that a job could read signs nothing.
fn signing_key(key: &Spanned<String>, grants: &[Grant], source: &Source) -> Result<PathBuf> {
    let path = source.file(key.span(), key.get_ref())?;
    let holds = |grant: &&Grant| matches!(grant, Grant::Fs(fs) if path.starts_with(&fs.path));
    match grants.iter().find(holds) {
        Some(grant) => {
            let why = format!("the key lies in the grant {:?}, so a job could read it; keep it elsewhere", grant.name().as_str());
            Err(source.wrong(key.span(), why))
        }
        None => Ok(path),
    }
}

#[cfg(test)]
mod tests;
