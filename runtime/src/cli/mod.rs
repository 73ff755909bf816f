//! The command line: arguments in, one engine call, text or JSON out, exit code.
//!
//! It is the only module that names clap. It decides nothing that the engine decides.

mod approve;
mod args;
mod asks;
mod bundle;
mod compile;
mod componentize;
mod demo;
mod evidence;
mod exit;
mod grants;
mod granting;
mod graph;
mod inspect;
mod interrupt;
mod jobs;
mod lifecycle;
mod lifecycle_args;
mod lists;
mod logging;
mod matching;
mod new;
mod options;
mod output;
mod record;
mod remote;
mod repairs;
mod run;
mod secrets;
mod serve;
mod show;
mod standing;
mod steer;
mod steering;
mod test;
mod tools;
mod upload;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command, GraphCommand, PlaybooksCommand, RunsCommand};
use granting::{GrantsCommand, SecretsCommand};
use output::Output;
use repairs::RepairsCommand;
use steering::{ApprovalsCommand, CallsCommand, JobsCommand};

use crate::error::{Code, Error, Result};

/// Parses the arguments, does what they say, and reports. The whole program.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // Whoever speaks HTTP from here on finds its cryptography; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<OsString> = arguments.collect();
    let in_json = arguments.iter().any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(e) if e.use_stderr() && in_json => {
            let text = e.render().to_string();
            return Output::new(true).error(&Error::new(Code::InvalidRequest, text.trim_start_matches("error: ").trim()));
        }
        Err(e) => {
            // Help and version are no errors; clap prints each to the right stream.
            let _ = e.print();
            return if e.use_stderr() { exit::USAGE.into() } else { exit::OK.into() };
        }
    };
    let serves = matches!(arguments.command, Command::Serve(_));
    let logging = logging::start(if serves { "reprise=info,guest=info" } else { "reprise=error,guest=info" });
    crate::metrics::begin();
    // A client for TLS needs to be told, once for the process, who does the arithmetic; a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let output = Output::new(arguments.global.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.error(&Error::new(Code::InternalError, format!("cannot start the threads of the program: {e}"))),
    };
    let done = runtime.block_on(command(arguments, &output));
    // A tool call that does not come back must not keep the process.
    runtime.shutdown_timeout(crate::limits::SHUTDOWN_TIME_MAX);
    logging.end();
    match done.and_then(|code| output.all_shown().map(|()| code)) {
        Ok(code) => code.into(),
        Err(e) => output.error(&e),
    }
}

async fn command(arguments: Arguments, output: &Output) -> Result<u8> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Serve(args) => serve::serve(&global, args, output).await,
        Command::Demo(args) => demo::demo(args, output).await,
        Command::Record(args) => record::record(&global, args, output).await,
        Command::Compile(args) => compile::compile(&global, args, output).await,
        Command::Upload(args) => upload::upload(&global, args, output).await,
        Command::Inspect(args) => inspect::inspect(&global, args, output).await,
        Command::Pack(args) => bundle::pack(&global, args, output).await,
        Command::Install(args) => bundle::install(&global, args, output).await,
        Command::Componentize(args) => componentize::componentize(args, output).await,
        Command::New(args) => new::new(args, output).await,
        Command::Graph(GraphCommand::Check(args)) => graph::check(args, output).await,
        Command::Run(args) => run::run(&global, args, output).await,
        Command::Test(args) => Box::pin(test::test(&global, args, output)).await,
        Command::TestedJob(args) => test::tested_job(&global, args).await,
        Command::Jobs(JobsCommand::List(args)) => jobs::list(&global, args, output).await,
        Command::Jobs(JobsCommand::Show(args)) => jobs::show(&global, args, output).await,
        Command::Jobs(JobsCommand::Journal(args)) => jobs::journal(&global, args, output).await,
        Command::Jobs(JobsCommand::Watch(args)) => watch::watch(&global, args, output).await,
        Command::Jobs(JobsCommand::Evidence(args)) => evidence::export(&global, args, output).await,
        Command::Jobs(JobsCommand::Replay(args)) => evidence::replay(&global, args, output).await,
        Command::Jobs(JobsCommand::Fork(args)) => evidence::fork(&global, args, output).await,
        Command::Jobs(JobsCommand::Why(args)) => evidence::why(&global, args, output).await,
        Command::Jobs(JobsCommand::Packet(args)) => evidence::packet(&global, args, output).await,
        Command::Verify(args) => evidence::verify(args, output).await,
        Command::Jobs(JobsCommand::Signal(args)) => steer::signal(&global, args, output).await,
        Command::Jobs(JobsCommand::Cancel(args)) => steer::cancel(&global, args, output).await,
        Command::Jobs(JobsCommand::Pause(args)) => steer::pause(&global, args, output).await,
        Command::Jobs(JobsCommand::Resume(args)) => steer::resume(&global, args, output).await,
        Command::Jobs(JobsCommand::Retry(args)) => steer::retry(&global, args, output).await,
        Command::Jobs(JobsCommand::Resolve(args)) => steer::resolve(&global, args, output).await,
        Command::Approvals(ApprovalsCommand::List(args)) => asks::approvals(&global, args, output).await,
        Command::Approvals(ApprovalsCommand::Show(args)) => asks::approval(&global, args, output).await,
        Command::Approvals(ApprovalsCommand::Approve(args)) => asks::decide(&global, args, true, output).await,
        Command::Approvals(ApprovalsCommand::Reject(args)) => asks::decide(&global, args, false, output).await,
        Command::Calls(CallsCommand::List(args)) => asks::calls(&global, args, output).await,
        Command::Calls(CallsCommand::Claim(args)) => asks::claim(&global, args, output).await,
        Command::Calls(CallsCommand::Complete(args)) => asks::complete(&global, args, output).await,
        Command::Calls(CallsCommand::Fail(args)) => asks::fail(&global, args, output).await,
        Command::Calls(CallsCommand::Extend(args)) => asks::extend(&global, args.own, output).await,
        Command::Match(args) => matching::matches(&global, args, output).await,
        Command::Runs(RunsCommand::List(args)) => lists::runs(&global, args, output).await,
        Command::Runs(RunsCommand::Show(args)) => lists::run(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::List(args)) => lists::playbooks(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Show(args)) => lifecycle::show(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Versions(args)) => lifecycle::versions(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Evidence(args)) => lifecycle::evidence(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::History(args)) => lifecycle::history(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Promote(args)) => lifecycle::promote(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Disable(args)) => lifecycle::disable(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Policy(args)) => lifecycle::policy(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Diff(args)) => lifecycle::diff(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Ledger(args)) => lifecycle::ledger(&global, args, output).await,
        Command::Playbooks(PlaybooksCommand::Activate(args)) => grants::activate(&global, args, output).await,
        Command::Repairs(command) => match command {
            RepairsCommand::List(args) => repairs::list(&global, args, output).await,
            RepairsCommand::Show(args) => repairs::show(&global, args, output).await,
            RepairsCommand::Propose(args) => repairs::propose(&global, args, output).await,
            RepairsCommand::Approve(args) => repairs::review(&global, args, true, output).await,
            RepairsCommand::Reject(args) => repairs::review(&global, args, false, output).await,
        },
        Command::Grants(GrantsCommand::List(args)) => grants::list(&global, args, output).await,
        Command::Grants(GrantsCommand::Add(args)) => grants::add(&global, args, output).await,
        Command::Grants(GrantsCommand::Approve(args)) => approve::approve(&global, args, output).await,
        Command::Grants(GrantsCommand::Remove(args)) => grants::remove(&global, args, output).await,
        Command::Secrets(SecretsCommand::List(args)) => secrets::list(&global, args, output).await,
        Command::Secrets(SecretsCommand::Set(args)) => secrets::set(&global, args, output).await,
        Command::Secrets(SecretsCommand::Remove(args)) => secrets::remove(&global, args, output).await,
        Command::Tools(command) => tools::tools(&global, command, output).await,
    }
}
