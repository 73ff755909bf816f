//! The arguments of what is said to jobs: `reprise jobs`, `approvals` and `calls`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::args::{Page, parse_playbook_id};
use super::options::{BudgetFlags, parse_time};
use crate::contract::{ErrorKind, ToolId};
use crate::engine::Engine;
use crate::ids::{Digest, JobId, PlaybookId};
use crate::jobs::{ApprovalId, CallId};

/// Where it is said.
#[derive(Args, Clone)]
pub(super) struct At {
    /// The running server that has the data directory open, such as http://127.0.0.1:7480.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Who says it, and where.
#[derive(Args)]
pub(super) struct Said {
    /// Who says so, for the journal.
    #[arg(long, value_name = "WHO", default_value = Engine::SOMEONE, value_parser = parse_name)]
    pub by: String,
    #[command(flatten)]
    pub at: At,
}

#[derive(Subcommand)]
pub(super) enum JobsCommand {
    /// Jobs, newest first.
    List(JobsList),
    /// What became of a job.
    Show(JobShow),
    /// Every entry of a job's journal.
    Journal(JobJournal),
    /// A job's journal as it grows, until the job has ended.
    Watch(JobWatch),
    /// Send a job a signal; where it waits for it, it goes on.
    Signal(JobSignal),
    /// End a job; a playbook that can undo what it did is given the chance.
    Cancel(JobCancel),
    /// Stop a job at its next step.
    Pause(JobReason),
    /// Let a job go on that is paused, parked, or was left behind by an earlier process.
    Resume(JobResume),
    /// Begin a failed or parked job again from the calls that led to it.
    Retry(JobRetry),
    /// Say what became of a call of which nobody knows whether it took effect, or of a step that was handed over.
    Resolve(JobResolve),
    /// A job's past as one file that anyone can check with `reprise verify`.
    Evidence(JobEvidence),
    /// Run the guest once more, answered from its journal alone, and say where it differs. Calls no tool.
    Replay(JobArg),
    /// What if: replay with one answer exchanged, and say what would have come of it. Does nothing.
    Fork(JobFork),
    /// Who had an entry done, at which step, on which input, with whose approval.
    Why(JobWhy),
    /// A job that came to a halt, with all that whoever repairs its playbook needs to know.
    Packet(JobArg),
}

#[derive(Args)]
pub(super) struct JobsList {
    /// Only those that stand so: ready, running, uncertain, completed, failed, ...
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only those of this playbook.
    #[arg(long, value_name = "ID", value_parser = parse_playbook_id)]
    pub playbook: Option<PlaybookId>,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Args)]
pub(super) struct JobArg {
    /// The job's id.
    #[arg(value_name = "JOB", value_parser = parse_job_id)]
    pub job: JobId,
}

#[derive(Args)]
pub(super) struct JobJournal {
    #[command(flatten)]
    pub job: JobArg,
    /// Only entries behind this one.
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
}

#[derive(Args)]
pub(super) struct JobWatch {
    #[command(flatten)]
    pub job: JobArg,
    /// The running server that has the job, such as http://127.0.0.1:7480.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Only entries behind this one.
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
}

#[derive(Args)]
pub(super) struct JobShow {
    #[command(flatten)]
    pub job: JobArg,
    /// As it was once this entry was written.
    #[arg(long, value_name = "SEQ")]
    pub at: Option<u64>,
    #[command(flatten)]
    pub server: At,
}

#[derive(Args)]
pub(super) struct JobEvidence {
    #[command(flatten)]
    pub job: JobArg,
    /// Where to write it [default: standard output].
    #[arg(long, value_name = "FILE.json")]
    pub out: Option<PathBuf>,
    /// Sign it with the Ed25519 key in this file: 64 hex digits.
    #[arg(long, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct JobFork {
    #[command(flatten)]
    pub job: JobArg,
    /// The entry whose answer is exchanged: returned, recorded or woken.
    #[arg(long, value_name = "SEQ")]
    pub at: u64,
    /// What it says instead: {"output": VALUE}, {"error": {...}}, a number, {"approved": VALUE}, "expired", ...
    #[arg(long, value_name = "JSON")]
    pub answer: String,
}

#[derive(Args)]
pub(super) struct JobWhy {
    #[command(flatten)]
    pub job: JobArg,
    /// The entry's number, as `reprise jobs journal` shows it.
    #[arg(value_name = "SEQ")]
    pub seq: u64,
}

#[derive(Args)]
pub(super) struct JobSignal {
    #[command(flatten)]
    pub job: JobArg,
    /// The signal's name.
    #[arg(value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// What the job gets: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON", default_value = "null")]
    pub payload: String,
    /// Your name for this signal: the same one again is the same signal.
    #[arg(long, value_name = "ID", value_parser = parse_name)]
    pub signal_id: Option<String>,
    #[command(flatten)]
    pub said: Said,
}

#[derive(Args)]
pub(super) struct JobCancel {
    #[command(flatten)]
    pub reason: JobReason,
    /// End it at once, whatever it is undoing.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args)]
pub(super) struct JobReason {
    #[command(flatten)]
    pub job: JobArg,
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub said: Said,
}

#[derive(Args)]
pub(super) struct JobResume {
    #[command(flatten)]
    pub job: JobArg,
    /// Show every journal entry on stderr once it is on disk.
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub budget: BudgetFlags,
    #[command(flatten)]
    pub said: Said,
}

#[derive(Args)]
pub(super) struct JobRetry {
    #[command(flatten)]
    pub job: JobArg,
    #[command(flatten)]
    pub said: Said,
}

#[derive(Args)]
#[command(group = ArgGroup::new("decision").required(true))]
pub(super) struct JobResolve {
    #[command(flatten)]
    pub job: JobArg,
    /// The entry in the journal, as `reprise jobs show` names it.
    #[arg(value_name = "SEQ", value_parser = clap::value_parser!(u32).range(1..))]
    pub seq: u32,
    /// It happened, and gave this: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "OUTPUT", group = "decision")]
    pub happened: Option<String>,
    /// It may be made again.
    #[arg(long, group = "decision")]
    pub retry: bool,
    /// It failed: the playbook is told so.
    #[arg(long, value_name = "MESSAGE", group = "decision")]
    pub fail: Option<String>,
    /// With --fail: what the playbook can branch on.
    #[arg(long, value_name = "KIND", default_value = "failed", value_parser = parse_kind, conflicts_with_all = ["happened", "retry"])]
    pub kind: ErrorKind,
    /// How you know, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    #[command(flatten)]
    pub said: Said,
}

#[derive(Subcommand)]
pub(super) enum ApprovalsCommand {
    /// What waits for a person, the oldest jobs first.
    List(ApprovalsList),
    /// One of them, with what will be done.
    Show(ApprovalShow),
    /// Say yes to it.
    Approve(Decision),
    /// Say no to it.
    Reject(Decision),
}

#[derive(Args)]
pub(super) struct ApprovalsList {
    #[command(flatten)]
    pub page: Page,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct ApprovalShow {
    /// The approval, as `reprise approvals list` names it.
    #[arg(value_name = "APPROVAL", value_parser = parse_approval)]
    pub id: ApprovalId,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct Decision {
    /// The approval, as `reprise approvals list` names it.
    #[arg(value_name = "APPROVAL", value_parser = parse_approval)]
    pub id: ApprovalId,
    /// Decide only if this is still what it shows [default: what it shows now, which is printed].
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub digest: Option<Digest>,
    /// A word for the playbook and the journal.
    #[arg(long, value_name = "TEXT", conflicts_with = "answer")]
    pub comment: Option<String>,
    /// What the playbook gets: JSON, @FILE, or @- for standard input [default: {"comment": TEXT}, or null].
    #[arg(long, value_name = "JSON")]
    pub answer: Option<String>,
    #[command(flatten)]
    pub said: Said,
}

#[derive(Subcommand)]
pub(super) enum CallsCommand {
    /// Calls that wait for a worker, by tool.
    List(CallsList),
    /// Claim the first call that nobody has claimed.
    Claim(CallClaim),
    /// Say what a claimed call gave; its job goes on.
    Complete(CallComplete),
    /// Say that a claimed call failed; its job goes on.
    Fail(CallFail),
    /// Let the time of a claim begin anew.
    Extend(CallExtend),
}

#[derive(Args)]
pub(super) struct CallsList {
    /// Only calls of this tool.
    #[arg(long, value_name = "TOOL", value_parser = parse_tool)]
    pub tool: Option<ToolId>,
    #[command(flatten)]
    pub page: Page,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct CallClaim {
    /// The tools that you perform, such as agent/edit.
    #[arg(value_name = "TOOL", required = true, value_parser = parse_tool)]
    pub tools: Vec<ToolId>,
    /// How long the claim holds without a word, such as 90s or 10m [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub lease: Option<u64>,
    #[command(flatten)]
    pub said: Said,
}

/// A claimed call.
#[derive(Args)]
pub(super) struct OwnCall {
    /// The call, as the claim named it.
    #[arg(value_name = "CALL", value_parser = parse_call)]
    pub id: CallId,
    /// The claim's token.
    #[arg(long, value_name = "TOKEN")]
    pub token: String,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct CallComplete {
    #[command(flatten)]
    pub own: OwnCall,
    /// What it gave: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON")]
    pub output: String,
}

#[derive(Args)]
pub(super) struct CallFail {
    #[command(flatten)]
    pub own: OwnCall,
    /// What happened.
    #[arg(long, value_name = "TEXT")]
    pub message: String,
    /// What the playbook can branch on.
    #[arg(long, value_name = "KIND", default_value = "failed", value_parser = parse_kind)]
    pub kind: ErrorKind,
    /// The same for programs: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON")]
    pub detail: Option<String>,
}

#[derive(Args)]
pub(super) struct CallExtend {
    #[command(flatten)]
    pub own: OwnCall,
}

pub(super) fn parse_job_id(text: &str) -> Result<JobId, String> {
    JobId::parse(text).map_err(|e| e.message)
}

fn parse_approval(text: &str) -> Result<ApprovalId, String> {
    ApprovalId::parse(text).map_err(|_| "not an approval, <job>.<number>; see `reprise approvals list`".to_owned())
}

fn parse_call(text: &str) -> Result<CallId, String> {
    CallId::parse(text).map_err(|_| "not a call, <job>.<number>; see `reprise calls list`".to_owned())
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| "not 64 lowercase hex digits".to_owned())
}

fn parse_tool(text: &str) -> Result<ToolId, String> {
    let tool = ToolId::parse(text).map_err(|e| e.message)?;
    if tool.is_external() { Ok(tool) } else { Err("not a tool that is performed outside: agent/<name>".to_owned()) }
}

fn parse_kind(text: &str) -> Result<ErrorKind, String> {
    let known = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| format!("not one of {}", ErrorKind::ALL.map(ErrorKind::as_str).join(", ")))
}

fn parse_name(text: &str) -> Result<String, String> {
    let most = crate::limits::ID_CHARS_MAX;
    if (1..=most).contains(&text.chars().count()) { Ok(text.to_owned()) } else { Err(format!("not a text of 1 to {most} characters")) }
}
