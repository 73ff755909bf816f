//! The one door: a clonable handle with a method for each thing a user can ask. CLI and HTTP are two callers
//! of the same methods.
//!
//! It puts the parts together and decides nothing that a part decides. It does not know JSON over HTTP, flags
//! or exit codes.

mod bundles;
mod candidate;
mod control;
mod evidence;
mod grants;
mod graphs;
mod inspect;
mod jobs;
mod learning;
mod lifecycle;
mod lifecycle_pages;
mod matching;
mod operator;
mod playbooks;
mod proposals;
mod permissions;
mod repair;
mod replaying;
mod secrets;
mod steps;
mod tools;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::lifecycle::{Promoted, Promotion, VersionDiff};
pub use bundles::{EvidenceLine, Installation};
pub use candidate::{Decision, Gate, Judgement, Mode, OnMismatch};
pub use control::{ApprovalView, approval_row, call_cursor, call_row, cursor_of};
pub use evidence::verify_evidence;
pub use grants::{GrantView, Granted, Source};
pub use graphs::{GraphCheck, Task, TaskRequest, check_graph_file};
pub use inspect::{ChangeLine, ImportLine, Inspection, StepLine, inspect_file};
pub use jobs::{JobPage, JobRequest, JobView};
pub use learning::{LearnRequest, LearnedVersion};
pub use matching::{Expected, Filled, Match, MatchRequest, Matches};
pub use operator::{OPERATOR_TOKEN_FILE, operator_token};
pub use permissions::Standing;
pub use playbooks::{CompileRequest, CompiledVersion, Upload, Uploaded, Wanted};
pub use proposals::{GrantProposal, GrantProposalView, ProposalStanding};
pub use repair::{
    AutoPromoteGate, AutoPromotion, Details, GateAnswer, GateMetrics, RepairRequest, RepairWith, Repaired, ReviewOutcome, ReviewRequest,
    ShadowStep, ShadowValidation,
};
pub use replaying::{CheckReport, Params, ReplayRequest, Replayed, RunReport, StepReport};
pub use secrets::SecretView;
pub use steps::StepTemplate;
pub use tools::{
    AskView, ToolAnswer, ToolCall, ToolComponentView, ToolInspection, ToolRefusal, ToolUpload, ToolView, inspect_tool_file,
    is_tool_component,
};
pub use watch::{News, Watch};

use crate::config::{self, Config};
use crate::error::Result;
use crate::evidence::Signer;
use crate::jobs::{Catalogue, Round, Rules, Scheduler, Target};
use crate::lifecycle::{Lifecycle, Playbooks, Policies, Sources};
use crate::limits;
use crate::runs::Runs;
use crate::sandbox::Sandbox;
use crate::secrets::Secrets;
use crate::store::{CrashPoint, KeyFile, Store};
use crate::tools::grants::Kept;
use crate::tools::{Components, Grant, Grants, Registry, Surroundings};
use grants::Precincts;

/// Everything a process needs to serve one data directory. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    sandbox: Sandbox,
    tools: Registry,
    secrets: Secrets,
    components: Components,
    runs: Runs,
    /// The same for whatever makes something of them.
    sources: Sources,
    playbooks: Playbooks,
    /// What holds playbooks against their policies.
    lifecycle: Lifecycle,
    /// False in a process that is to die at a chosen flush: it makes none but those of its jobs.
    considers: bool,
    /// The words of playbooks.
    matching: matching::Matching,
    scheduler: Scheduler,
    inputs: jobs::ExpectedInputs,
    /// What an operator shows to be one.
    operator: Arc<KeyFile>,
    /// What evidence is signed with, where the operator named a key.
    signer: Option<Signer>,
    /// What the operator configured.
    config: Arc<Config>,
    /// Further grants to all jobs, from the command line.
    flags: Arc<[Grant]>,
    /// Grants to all jobs in the store.
    kept: Kept,
    /// What no grant may reach.
    precincts: Arc<Precincts>,
    /// Taken by whatever compiles a component, so that no crowd of uploads takes the processors from the jobs.
    admissions: Arc<Semaphore>,
    /// Taken by whoever asks the planner.
    planners: Arc<Semaphore>,
}

/// Where an engine keeps its data, and what it grants.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory; made where it is missing.
    pub data: PathBuf,
    /// The configuration file; without one, `reprise.toml` in the data directory where there is one. Never one
    /// in the working directory: a checkout that someone else wrote must not be able to grant anything.
    pub config: Option<PathBuf>,
    /// Further grants to all jobs, from the command line.
    pub grants: Vec<Grant>,
    /// Whether this process looks after every job of the directory (timers, mail, jobs of workers that died), as a server
    /// does, or only after those that it is told to run.
    pub serves: bool,
    /// Whether to open although there are secrets that cannot be opened: for whoever is about to list or remove them.
    pub opens_locked: bool,
    /// Where this process is to die; only in a scratch directory ([`crate::store::SCRATCH_FILE`]).
    pub die_at: Option<CrashPoint>,
}

impl Settings {
    /// A data directory without further grants.
    #[must_use]
    pub fn of(data: impl Into<PathBuf>) -> Self {
        Settings { data: data.into(), config: None, grants: Vec::new(), serves: true, opens_locked: false, die_at: None }
    }

    fn config(&self) -> Result<Config> {
        let beside_data = self.data.join(config::FILE_NAME);
        let config = match &self.config {
            Some(path) => Config::read(path)?,
            None if beside_data.exists() => Config::read(&beside_data)?,
            None => Config::empty(),
        };
        // Opened once now, so that a directory that is not there is an error at the start and not in a job.
        Grants::open(&config.grants)?.with(&self.grants)?;
        Ok(config)
    }
}

impl Engine {
    /// Opens the data directory. Runs no job yet: [`Engine::resume_all`] takes up what was running. Blocks.
    ///
    /// # Errors
    /// `data_dir_in_use`, `data_dir_too_new`, `store_unavailable`, `invalid_configuration`, `secrets_locked`.
    pub fn open(settings: &Settings) -> Result<Engine> {
        let config = settings.config()?;
        let store = match settings.die_at {
            Some(point) => Store::open_to_die(&settings.data, point)?,
            None => Store::open(&settings.data)?,
        };
        let config_file = settings.config.clone().unwrap_or_else(|| settings.data.join(config::FILE_NAME));
        let precincts = Precincts::around(&settings.data, Some(&config_file), config.signing_key.as_deref());
        let standing: Vec<Grant> = config.grants.iter().chain(&settings.grants).cloned().collect();
        precincts.check(&standing, &standing)?;
        let kept = Kept::new(store.clone());
        grants::keep_apart(&standing, &kept)?;
        let operator = Arc::new(store.key_file(OPERATOR_TOKEN_FILE)?);
        let sandbox = Sandbox::new(Some(&settings.data.join("compiled")))?;
        let secrets = Secrets::open(&store)?;
        if !settings.opens_locked {
            // A secret that cannot be read cannot be kept out of a journal either.
            secrets.check()?;
        }
        let tools = Registry::within(&Surroundings { secrets: secrets.clone(), store: Some(store.clone()), ..Surroundings::default() });
        let components = Components::open(store.clone(), sandbox.clone(), tools.clone())?;
        let admissions = Arc::new(Semaphore::new(limits::ADMISSIONS_MAX));
        let playbooks = Playbooks::new(store.clone());
        let policies = Policies::new(store.clone(), playbooks.clone(), config.lifecycle.policy.clone());
        let runs = Runs::new(store.clone());
        let sources = Sources::new(runs.clone(), secrets.clone());
        let lifecycle = Lifecycle::new(store.clone(), playbooks.clone(), policies, sources.clone(), sandbox.clone(), tools.clone());
        let rules = Rules { at_end: lifecycle.at_end(), ..rules(&config, standing, settings.serves) };
        let scheduler = Scheduler::new(store.clone(), sandbox.clone(), tools.clone(), rules, catalogue(&playbooks));
        Ok(Engine {
            runs,
            sources,
            playbooks,
            lifecycle,
            considers: settings.die_at.is_none(),
            matching: matching::Matching::default(),
            store,
            sandbox,
            tools,
            secrets,
            components,
            scheduler,
            operator,
            inputs: jobs::ExpectedInputs::default(),
            admissions,
            planners: Arc::new(Semaphore::new(limits::PLANNERS_MAX)),
            signer: config.signing_key.as_deref().map(Signer::read).transpose()?,
            config: Arc::new(config),
            flags: settings.grants.clone().into(),
            kept,
            precincts: Arc::new(precincts),
        })
    }

    /// Recorded runs.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The tools that are here.
    #[must_use]
    pub fn tools(&self) -> &Registry {
        &self.tools
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.store.dir()
    }

    /// Whether what is asked to be kept can be kept.
    ///
    /// # Errors
    /// `store_poisoned` once a flush has failed.
    pub fn check(&self) -> Result<()> {
        self.store.check()
    }

    /// Waits for a place among those that compile.
    async fn admission(&self) -> SemaphorePermit<'_> {
        self.admissions.acquire().await.expect("it is never closed")
    }

    /// Tells whoever finds the data directory in use what it is used for, in a line.
    ///
    /// # Errors
    /// `store_unavailable` where the disk refuses.
    pub fn note(&self, what: &str) -> Result<()> {
        self.store.note(what)
    }

    /// Takes up every job that was ready or running when the last process ended; how many. From here on what jobs show of
    /// their playbooks is considered, first of all what was not before the last process ended.
    ///
    /// # Errors
    /// What the store says.
    pub async fn resume_all(&self) -> Result<usize> {
        let resumed = self.scheduler.resume_all().await?;
        if !self.considers {
            return Ok(resumed);
        }
        let lifecycle = self.lifecycle.clone();
        let round = move || -> Round {
            let lifecycle = lifecycle.clone();
            Box::pin(async move { lifecycle.round().await })
        };
        self.scheduler.attend(self.lifecycle.bell(), round);
        Ok(resumed)
    }

    /// Lets running jobs come to the end of their step.
    pub async fn shut_down(&self) {
        self.scheduler.shut_down().await;
    }
}

/// What the operator settled for all jobs.
fn rules(config: &Config, grants: Vec<Grant>, looks_after_all: bool) -> Rules {
    Rules {
        grants,
        lease: config.scheduler.lease,
        running_max: config.scheduler.running_max,
        tools: config.concurrency.tools.iter().map(|(tool, most)| (tool.clone(), *most)).collect(),
        playbooks: config.concurrency.playbooks.iter().map(|(playbook, most)| (playbook.to_string(), *most)).collect(),
        external: config.agent_tools.iter().map(|tool| (tool.id.clone(), tool.effect)).collect(),
        looks_after_all,
        ..Rules::default()
    }
}

/// Finds what a job starts as its child.
fn catalogue(playbooks: &Playbooks) -> Catalogue {
    let playbooks = playbooks.clone();
    Arc::new(move |space, id| {
        let version = playbooks.to_start(space, id, None)?;
        Ok((Target { playbook_id: version.playbook_id, version: version.version }, version.component))
    })
}
