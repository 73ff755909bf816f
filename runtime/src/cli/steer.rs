//! `reprise jobs signal|cancel|pause|resume|retry|resolve`: what is said to a job.
//!
//! Where a server has the data directory, the same is said to it over HTTP. Otherwise the directory is opened here, and this
//! process stays with the job that it woke, since nobody else would run it.

use std::future::Future;

use serde_json::{Value, json};

use super::args::{Global, json_of};
use super::interrupt::Interrupt;
use super::output::Output;
use super::remote::{self, Server, Token};
use super::standing::in_words;
use super::steering::{At, JobCancel, JobReason, JobResolve, JobResume, JobRetry, JobSignal};
use super::{exit, run};
use crate::contract::ToolError;
use crate::engine::Engine;
use crate::error::Result;
use crate::ids::{JobId, Space};
use crate::jobs::{Manner, Settlement};

/// Where the data is.
#[expect(clippy::large_enum_variant, reason = "a command has one")]
pub(super) enum Door {
    /// In the data directory, which is open here.
    Here(Engine),
    /// At a running server.
    There(Server),
}

/// # Errors
/// `data_dir_in_use` that names the server, where one has the directory and `--url` was not given.
pub(super) async fn open(global: &Global, at: &At) -> Result<Door> {
    match &at.url {
        Some(url) => Ok(Door::There(Server::at(url, global.space()?)?)),
        None => Ok(Door::Here(global.existing().await.map_err(remote::served)?)),
    }
}

/// As [`open`], for what an operator asks: whoever can open the data directory is one, and a server is shown the token.
///
/// # Errors
/// As [`open`]; `invalid_configuration` where the token's file is no secret any more.
pub(super) async fn open_as_operator(global: &Global, at: &At) -> Result<Door> {
    match open(global, at).await? {
        Door::There(server) => Ok(Door::There(server.asked_with(Token::find(&global.data()?)?))),
        here => Ok(here),
    }
}

/// What is said to a job, as HTTP takes it.
pub(super) struct Word<'a> {
    pub job: JobId,
    pub at: &'a At,
    pub by: Option<&'a str>,
    pub path: String,
    pub body: Value,
    pub follow: bool,
}

/// Says it to the server, or does `here`, and stays with the job until it has ended or stands.
pub(super) async fn say<F>(global: &Global, word: Word<'_>, output: &Output, here: impl FnOnce(Engine, Space) -> F) -> Result<u8>
where
    F: Future<Output = Result<()>>,
{
    let space = global.space()?;
    match open(global, word.at).await? {
        Door::There(server) => {
            server.post(&word.path, word.by, word.body).await?;
            let job = server.get(&format!("/v1/jobs/{}", word.job), &[]).await?;
            output.show(|| job.clone(), || in_words(&job, word.at.url.as_deref()));
            Ok(exit::OK)
        }
        Door::Here(engine) => {
            let interrupt = Interrupt::listen()?;
            engine.look_after(word.job, MANNER);
            here(engine.clone(), space.clone()).await?;
            run::to_its_end(&engine, &space, word.job, word.follow, interrupt, output).await
        }
    }
}

/// A person stands beside it.
const MANNER: Manner = Manner { pace: None, watched: true };

fn of_job(job: JobId, what: &str) -> String {
    format!("/v1/jobs/{job}/{what}")
}

pub(super) async fn signal(global: &Global, args: JobSignal, output: &Output) -> Result<u8> {
    let job = args.job.job;
    let payload = json_of("--payload", &args.payload)?;
    let body = json!({"name": args.name, "payload": payload.value(), "signal_id": args.signal_id});
    let by = Some(args.said.by.as_str());
    let word = Word { job, at: &args.said.at, by, path: of_job(job, "signals"), body, follow: false };
    let (name, id, by) = (args.name.clone(), args.signal_id.clone(), args.said.by.clone());
    say(global, word, output, |engine, space| async move { engine.signal(&space, job, name, payload, id, Some(by)).await.map(drop) }).await
}

pub(super) async fn cancel(global: &Global, args: JobCancel, output: &Output) -> Result<u8> {
    let (force, args) = (args.force, args.reason);
    let job = args.job.job;
    let body = json!({"reason": args.reason, "force": force});
    let word = Word { job, at: &args.said.at, by: Some(&args.said.by), path: of_job(job, "cancel"), body, follow: false };
    let (by, reason) = (args.said.by.clone(), args.reason.clone());
    let said = say(global, word, output, |engine, space| async move { engine.cancel_job(&space, job, by, reason, force).await.map(drop) });
    // That it ends, or stands, is what was asked for.
    said.await.map(|_| exit::OK)
}

pub(super) async fn pause(global: &Global, args: JobReason, output: &Output) -> Result<u8> {
    let job = args.job.job;
    let body = json!({"reason": args.reason});
    let word = Word { job, at: &args.said.at, by: Some(&args.said.by), path: of_job(job, "pause"), body, follow: false };
    let (by, reason) = (args.said.by.clone(), args.reason.clone());
    let said = say(global, word, output, |engine, space| async move { engine.pause_job(&space, job, by, reason).await.map(drop) });
    said.await.map(|_| exit::OK)
}

pub(super) async fn resume(global: &Global, args: JobResume, output: &Output) -> Result<u8> {
    let job = args.job.job;
    let budget = args.budget.read()?;
    let body = json!({"budget": args.budget.to_json()});
    let word = Word { job, at: &args.said.at, by: Some(&args.said.by), path: of_job(job, "resume"), body, follow: args.follow };
    let by = args.said.by.clone();
    say(global, word, output, |engine, space| async move { engine.let_go_on(&space, job, by, budget, MANNER).await.map(drop) }).await
}

pub(super) async fn retry(global: &Global, args: JobRetry, output: &Output) -> Result<u8> {
    let job = args.job.job;
    let word = Word { job, at: &args.said.at, by: Some(&args.said.by), path: of_job(job, "retry"), body: json!({}), follow: false };
    let by = args.said.by.clone();
    say(global, word, output, |engine, space| async move { engine.retry_job(&space, job, by).await.map(drop) }).await
}

pub(super) async fn resolve(global: &Global, args: JobResolve, output: &Output) -> Result<u8> {
    let job = args.job.job;
    let note = args.note.clone();
    let (body, settlement) = match (&args.happened, &args.fail) {
        (Some(happened), _) => {
            let given = json_of("--happened", happened)?;
            (json!({"seq": args.seq, "decision": "happened", "output": given.value(), "note": note}), Settlement::Happened(given))
        }
        (None, Some(message)) => {
            let error = json!({"kind": args.kind.as_str(), "message": message});
            let settlement = Settlement::Fail(ToolError::new(args.kind, message.clone()));
            (json!({"seq": args.seq, "decision": "fail", "error": error, "note": note}), settlement)
        }
        (None, None) => (json!({"seq": args.seq, "decision": "retry", "note": note}), Settlement::Retry),
    };
    let word = Word { job, at: &args.said.at, by: Some(&args.said.by), path: of_job(job, "resolve"), body, follow: false };
    let (seq, by) = (u64::from(args.seq), args.said.by.clone());
    say(global, word, output, |engine, space| async move { engine.resolve(&space, job, seq, settlement, by, note).await.map(drop) }).await
}
