//! The arguments. Help texts are written for someone who sees this for the first time.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::componentize::Componentize;
use super::exit;
use super::granting::{GrantsCommand, PlaybookActivate, SecretsCommand};
use super::lifecycle_args::{DiffArgs, Disable, OfPlaybook, PageOf, PolicyArgs, Promote};
use super::new::New;
use super::options::JobOptions;
use super::steering::{ApprovalsCommand, CallsCommand, JobsCommand};
use crate::engine::{Engine, Settings};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, RunId, Space};
use crate::json::Json;
use crate::limits;
use crate::runs::RunState;
use crate::store::CrashPoint;
use crate::tools::Grant;

/// Turn what an agent did once into something that runs by itself, safely, forever after.
#[derive(Parser)]
#[command(name = "reprise", version, after_help = exit::TABLE, max_term_width = 110)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args)]
pub(super) struct Global {
    /// Where runs, playbooks and jobs are kept; made if missing [default: ~/.local/share/reprise].
    #[arg(long, global = true, value_name = "DIR", env = "REPRISE_DATA")]
    data: Option<PathBuf>,
    /// Configuration with the grants to all jobs [default: reprise.toml in the data directory].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// Whose runs, playbooks and jobs.
    #[arg(long, global = true, value_name = "ID", default_value = "default", hide_default_value = true)]
    pub tenant: String,
    /// Which of the tenant's scopes.
    #[arg(long, global = true, value_name = "NAME", default_value = "default", hide_default_value = true)]
    pub scope: String,
    /// Die before or after a flush of the store; only in a scratch directory, see docs/TESTING.md.
    #[arg(long, global = true, hide = true, value_name = "before:N|after:N", value_parser = parse_crash_point)]
    pub die_at: Option<CrashPoint>,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// See the whole story in seconds, on a directory tree made for it: record, compile, prove, run, kill, resume.
    Demo(Demo),
    /// Take in a recording: one JSON object a line, see docs/RECORDING.md.
    Record(Record),
    /// Compile a recorded run into a playbook (a WebAssembly component) and prove it against the run.
    Compile(Compile),
    /// Take a component that was made elsewhere, by hand or in another language, as a playbook.
    Upload(Upload),
    /// Show in plain words what a component may reach and what it does, without running it.
    Inspect(Inspect),
    /// Write a playbook with the tools it needs, its plan and its recording into one file for another machine.
    Pack(super::bundle::Pack),
    /// Take in what `reprise pack` wrote, once everything that it says is shown.
    Install(super::bundle::Install),
    /// Make a component of a WebAssembly module that a compiler for plain wasm32 wrote, of C for instance.
    Componentize(Componentize),
    /// Begin a tool or a playbook in a language: writes a project that builds with one command.
    New(New),
    /// Task graphs: check.
    #[command(subcommand)]
    Graph(GraphCommand),
    /// Run a playbook, a task graph or a goal as a durable job, here, to its end.
    Run(Run),
    /// Try a playbook on copies of the directories that it may see, and kill it at every moment if you like.
    Test(Test),
    /// The process that `reprise test` kills: runs the job of a scratch world.
    #[command(hide = true)]
    TestedJob(TestedJob),
    /// Jobs: list, show, journal, watch; signal, cancel, pause, resume, retry, resolve; evidence, replay, fork, why.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// What waits for a person: list, show, approve, reject.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Tool calls that a worker outside performs: list, claim, complete, fail, extend.
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Check an evidence bundle: needs no data directory and no network.
    Verify(Verify),
    /// Recorded runs: list, show.
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Playbooks: list, show, versions, evidence, history, promote, disable, policy, diff, ledger, activate.
    #[command(subcommand)]
    Playbooks(PlaybooksCommand),
    /// What was mended of playbooks: list, show, propose, approve, reject.
    #[command(subcommand)]
    Repairs(super::repairs::RepairsCommand),
    /// Which playbooks apply to a task, with what is known filled in, and what they would touch.
    Match(super::matching::MatchArgs),
    /// What all jobs may reach: list, add, approve, remove.
    #[command(subcommand)]
    Grants(GrantsCommand),
    /// Values that jobs use and nobody sees: list, set, remove.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// The tools that a playbook can import: list, upload, show, call, activate.
    #[command(subcommand)]
    Tools(super::tools::ToolsCommand),
    /// Serve the same over HTTP on this machine; jobs that were running when the last process ended go on.
    Serve(Serve),
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Demo {
    /// Keep the directory with everything that the demo made.
    #[arg(long)]
    pub keep: bool,
    #[command(subcommand)]
    pub other: Option<DemoCommand>,
}

#[derive(Subcommand)]
pub(super) enum DemoCommand {
    /// A person in the loop: a refund is planned, approved, killed in the middle, taken up, and paid once.
    Refund(DemoRefund),
    /// A playbook that earns its trust: learned from five runs, promoted, demoted by failures, repaired under review.
    Learn(DemoLearn),
}

#[derive(Args)]
pub(super) struct DemoLearn {
    /// Keep the directory with everything that the demo made.
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args)]
pub(super) struct DemoRefund {
    /// Have you decide whether the refund is approved.
    #[arg(long)]
    pub ask: bool,
    /// Keep the directory with everything that the demo made.
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args)]
pub(super) struct Record {
    /// The recording; `-` reads standard input.
    #[arg(value_name = "FILE.jsonl")]
    pub file: PathBuf,
}

#[derive(Args)]
pub(super) struct Compile {
    /// The recorded run, as `reprise runs list` names it. Of several runs of one task, what they have in common is learned.
    #[arg(value_name = "RUN", required = true, value_parser = parse_run_id)]
    pub runs: Vec<RunId>,
    /// The playbook's id [default: one that follows from the runs]. One that was learned before takes its runs along.
    #[arg(long, value_name = "ID", value_parser = super::compile::parse_new_id)]
    pub playbook: Option<PlaybookId>,
    /// Make it of this one run, and leave out those that the playbook was learned from.
    #[arg(long)]
    pub alone: bool,
    /// The playbook's name for people [default: the run's goal].
    #[arg(long)]
    pub name: Option<String>,
    /// A tool that the recording calls NAME is TOOL here, such as Edit=fs/replace. Repeatable.
    #[arg(long = "bind", value_name = "NAME=TOOL", value_parser = parse_pair)]
    pub bindings: Vec<(String, String)>,
    /// The recorded directory DIR is what a job sees under the grant GRANT. Repeatable.
    #[arg(long = "root", value_name = "DIR=GRANT", value_parser = parse_pair)]
    pub roots: Vec<(String, String)>,
    /// Take the successful steps of a run that did not end with success.
    #[arg(long)]
    pub allow_partial: bool,
    /// Also write the component to this file.
    #[arg(long, value_name = "FILE.wasm")]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Upload {
    /// The component in binary form; `wasm-tools parse FILE.wat -o FILE.wasm` makes it of WebAssembly text.
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// The playbook's id [default: one that follows from the bytes].
    #[arg(long, value_name = "ID", value_parser = super::compile::parse_new_id)]
    pub playbook: Option<PlaybookId>,
    /// The playbook's name for people [default: its id].
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Args)]
pub(super) struct Inspect {
    /// A component file, or a playbook's id with or without @VERSION.
    #[arg(value_name = "FILE.wasm|PLAYBOOK[@VERSION]")]
    pub what: String,
}

#[derive(Args)]
pub(super) struct Run {
    /// The playbook's id, with or without @VERSION.
    #[arg(value_name = "PLAYBOOK[@VERSION]", required_unless_present_any = ["graph", "goal"], conflicts_with_all = ["graph", "goal"])]
    pub playbook: Option<String>,
    /// Run this task graph in the place of a playbook, see docs/GRAPHS.md.
    #[arg(long, value_name = "FILE.json", conflicts_with = "goal")]
    pub graph: Option<PathBuf>,
    /// Have the configured planner make a task graph of this goal, and run it.
    #[arg(long, value_name = "TEXT")]
    pub goal: Option<String>,
    /// What else the planner is to know: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON", requires = "goal", conflicts_with_all = ["playbook", "graph"])]
    pub context: Option<String>,
    /// What to run it with: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub input: String,
    /// Let this job see a directory, fs:DIR, fs:DIR:ro (read only) or fs:NAME=DIR, or call a web server,
    /// http:ORIGIN=GET,POST. Repeatable.
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant)]
    pub grants: Vec<Grant>,
    /// The same key with the same input is the same job.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Show every journal entry on stderr once it is on disk.
    #[arg(long)]
    pub follow: bool,
    /// Wait this long before each tool call, to watch or to interrupt.
    #[arg(long, value_name = "MILLISECONDS")]
    pub pace: Option<u64>,
    #[command(flatten)]
    pub options: JobOptions,
}

#[derive(Args)]
pub(super) struct TestedJob {
    /// The world, as `reprise test` laid it out.
    #[arg(value_name = "DIR")]
    pub world: PathBuf,
    /// The playbook's id; its input comes from standard input.
    #[arg(value_name = "PLAYBOOK", value_parser = parse_playbook_id)]
    pub playbook: PlaybookId,
}

#[derive(Args)]
pub(super) struct Test {
    /// The playbook's id, with or without @VERSION.
    #[arg(value_name = "PLAYBOOK[@VERSION]", required_unless_present = "graph")]
    pub playbook: Option<String>,
    /// Test this task graph instead of a playbook.
    #[arg(long, value_name = "FILE", conflicts_with = "playbook")]
    pub graph: Option<PathBuf>,
    /// What to run it with: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub input: String,
    /// Let it see a copy of the directory DIR as NAME. Repeatable.
    #[arg(long = "root", value_name = "NAME=DIR", value_parser = parse_pair)]
    pub roots: Vec<(String, String)>,
    /// Let it call a web server, http:ORIGIN=GET,POST: a test server, for it is really called, each time. Repeatable.
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant)]
    pub grants: Vec<Grant>,
    /// Kill it before and after every flush of the store, take it up again each time, and compare.
    #[arg(long)]
    pub crash_everywhere: bool,
    /// Also write the results as JUnit XML, a test case for each crash.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(super) enum GraphCommand {
    /// Show in plain words what a task graph may reach and what it does, without running it; or all that is wrong with it.
    Check(GraphCheck),
}

#[derive(Args)]
pub(super) struct GraphCheck {
    /// The graph, see docs/GRAPHS.md; `-` reads standard input.
    #[arg(value_name = "FILE.json")]
    pub file: PathBuf,
}

#[derive(Args)]
pub(super) struct Verify {
    /// The bundle, as `reprise jobs evidence` wrote it.
    #[arg(value_name = "BUNDLE.json")]
    pub file: PathBuf,
    /// It must be signed by this Ed25519 key: 64 hex digits.
    #[arg(long, value_name = "HEX")]
    pub public_key: Option<String>,
}

#[derive(Subcommand)]
pub(super) enum RunsCommand {
    /// Recorded runs in the order of their ids.
    List(RunsList),
    /// A recorded run with its steps.
    Show(RunArg),
}

#[derive(Args)]
pub(super) struct RunsList {
    /// Only runs that stand so: in_progress, success, failed, partial.
    #[arg(long, value_name = "STATUS", value_parser = super::lists::parse_run_state)]
    pub status: Option<RunState>,
    /// Only runs with a step that calls this tool, named as it was recorded.
    #[arg(long, value_name = "TOOL")]
    pub tool: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Args)]
pub(super) struct RunArg {
    /// The run's id.
    #[arg(value_name = "RUN", value_parser = parse_run_id)]
    pub run: RunId,
}

#[derive(Subcommand)]
pub(super) enum PlaybooksCommand {
    /// Playbooks in the order of their ids.
    List(PlaybooksList),
    /// How far a playbook is trusted, why, and what it saved.
    Show(OfPlaybook),
    /// Its versions, newest first.
    Versions(PageOf),
    /// What was seen of a version's component, and what the policy makes of it.
    Evidence(PageOf),
    /// Who or what made each version, and why.
    History(PageOf),
    /// Give a version another status, as the next version.
    Promote(Promote),
    /// Let nothing of a playbook start any more.
    Disable(Disable),
    /// The policy of a playbook or of the space; with --set, settle parts of it.
    Policy(PolicyArgs),
    /// What two versions do otherwise.
    Diff(DiffArgs),
    /// What its jobs spared, held against its recorded runs.
    Ledger(PageOf),
    /// Make a version the one that runs where none is named, whatever it asks for.
    Activate(PlaybookActivate),
}

#[derive(Args)]
pub(super) struct PlaybooksList {
    #[command(flatten)]
    pub page: Page,
}

#[derive(Args)]
pub(super) struct Page {
    /// How many rows at the most.
    #[arg(long, value_name = "N", default_value_t = limits::PAGE_ROWS_DEFAULT, value_parser = parse_limit)]
    pub limit: usize,
    /// Where the page before ended.
    #[arg(long, value_name = "ID")]
    pub cursor: Option<String>,
}

#[derive(Args)]
pub(super) struct Serve {
    /// The address to listen on. Only this machine's own: there is no authentication yet.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    pub listen: SocketAddr,
    /// Let all jobs see a directory, fs:DIR, fs:DIR:ro (read only) or fs:NAME=DIR, or call a web server,
    /// http:ORIGIN=GET,POST. Repeatable.
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant)]
    pub grants: Vec<Grant>,
}

impl Global {
    pub(super) fn space(&self) -> Result<Space> {
        Space::parse(Some(&self.tenant), Some(&self.scope))
    }

    /// What was named, or the user's own place for data. Never one in the working directory, which a job is often
    /// granted.
    pub(super) fn data(&self) -> Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        xdg.or_else(home)
            .map(|base| base.join("reprise"))
            .ok_or_else(|| Error::invalid("--data", "neither XDG_DATA_HOME nor HOME is set; name a data directory"))
    }

    /// True where there is a data directory.
    pub(super) fn is_there(&self) -> Result<bool> {
        Ok(self.data()?.exists())
    }

    /// Opens the engine on the data directory; blocks only while it opens.
    pub(super) async fn engine(&self, grants: Vec<Grant>) -> Result<Engine> {
        self.opened(Settings { grants, serves: false, ..self.settings()? }).await
    }

    /// As [`Global::engine`], for a process that looks after every job of the directory.
    pub(super) async fn serving(&self, grants: Vec<Grant>) -> Result<Engine> {
        self.opened(Settings { grants, ..self.settings()? }).await
    }

    /// As [`Global::engine`], for whoever looks after secrets: also where those that there are cannot be opened.
    pub(super) async fn keeping_secrets(&self) -> Result<Engine> {
        self.opened(Settings { serves: false, opens_locked: true, ..self.settings()? }).await
    }

    fn settings(&self) -> Result<Settings> {
        Ok(Settings { config: self.config.clone(), die_at: self.die_at, ..Settings::of(self.data()?) })
    }

    async fn opened(&self, settings: Settings) -> Result<Engine> {
        crate::blocking::run(move || Engine::open(&settings)).await
    }

    /// As [`Global::engine`], for commands that only read: a data directory that is not there is a typo, not a
    /// wish for an empty one.
    pub(super) async fn existing(&self) -> Result<Engine> {
        let data = self.data()?;
        if !data.exists() {
            let there = data.display();
            return Err(Error::new(
                Code::FileNotFound,
                format!("there is no data directory {there}; name one with --data, or make one with `reprise record`"),
            ));
        }
        self.engine(Vec::new()).await
    }
}

/// JSON, `@FILE`, or `@-` for standard input; `flag` is where it stood.
pub(super) fn json_of(flag: &str, text: &str) -> Result<Json> {
    let unreadable = |e| Error::new(Code::FileNotFound, format!("{flag} {text}: {e}"));
    let bytes = match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().take(limits::JSON_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            bytes
        }
        Some(path) => std::fs::read(path).map_err(unreadable)?,
    };
    Json::parse(&bytes).map_err(|e| e.at(flag))
}

/// `release@2` is version 2 of playbook `release`; an id may hold an `@` of its own where no number follows.
pub(super) fn playbook_and_version(text: &str) -> Result<(PlaybookId, Option<u32>)> {
    match text.rsplit_once('@').and_then(|(id, version)| Some((id, version.parse().ok()?))) {
        Some((id, version)) => Ok((PlaybookId::parse(id)?, Some(version))),
        None => Ok((PlaybookId::parse(text)?, None)),
    }
}

pub(super) fn parse_run_id(text: &str) -> Result<RunId, String> {
    RunId::parse(text).map_err(|e| e.message)
}

pub(super) fn parse_playbook_id(text: &str) -> Result<PlaybookId, String> {
    PlaybookId::parse(text).map_err(|e| e.message)
}

fn parse_crash_point(text: &str) -> Result<CrashPoint, String> {
    CrashPoint::parse(text).map_err(|e| e.message)
}

pub(super) fn parse_grant(text: &str) -> Result<Grant, String> {
    Grant::parse_flag(text).map_err(|e| e.message)
}

fn parse_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=limits::PAGE_ROWS_MAX).contains(&n) => Ok(n),
        _ => Err(format!("not a number from 1 to {}", limits::PAGE_ROWS_MAX)),
    }
}

pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => Err("not of the form LEFT=RIGHT".to_owned()),
    }
}
