//! `reprise run PLAYBOOK|--graph FILE|--goal TEXT --input JSON --grant fs:...`.

use std::time::Duration;

use serde_json::json;

use super::args::{Global, Run, json_of, playbook_and_version};
use super::interrupt::Interrupt;
use super::output::{Output, printable};
use super::standing::in_words;
use super::{exit, graph};
use crate::engine::{Engine, JobRequest, Task, TaskRequest};
use crate::error::{Error, Result};
use crate::ids::{JobId, Space};
use crate::jobs::Manner;
use crate::journal::{Entry, Status, view};
use crate::json::Json;
use crate::tools::Grant;

pub(super) async fn run(global: &Global, args: Run, output: &Output) -> Result<u8> {
    let space = global.space()?;
    let manner = Manner { pace: args.pace.map(Duration::from_millis), watched: true };
    let interrupt = Interrupt::listen()?;
    let (engine, job) = started(global, &space, &args, manner).await?;
    let missing = missing_grants(&engine, &space, &job, &args.grants).await?;
    if !missing.is_empty() {
        let names = missing.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ");
        output.aside(
            || json!({"missing_grants": missing}),
            || format!("note: the playbook needs grants that this job does not have: {names}"),
        );
    }
    if args.follow {
        output.aside(|| json!({"job_id": job}), || format!("job {job}"));
    }
    to_its_end(&engine, &space, job, args.follow, interrupt, output).await
}

/// Starts the job: of a playbook, which must be there, or of a task.
async fn started(global: &Global, space: &Space, args: &Run, manner: Manner) -> Result<(Engine, JobId)> {
    let input = json_of("--input", &args.input)?;
    let (idempotency_key, grants, options) = (args.idempotency_key.clone(), args.grants.clone(), args.options.read()?);
    let task = match (&args.playbook, &args.graph, &args.goal) {
        (Some(playbook), ..) => {
            let (playbook_id, version) = playbook_and_version(playbook)?;
            let engine = global.existing().await?;
            let request = JobRequest { playbook_id, version, input, idempotency_key, grants, options };
            let job = engine.start_job(space, request, manner).await?;
            return Ok((engine, job));
        }
        (None, Some(file), _) => Task::Graph(Box::new(graph::read(file).await?)),
        (None, None, goal) => {
            let context = args.context.as_deref().map(|text| json_of("--context", text)).transpose()?;
            let context = context.unwrap_or_else(|| Json::from(&json!({})));
            Task::Goal { goal: goal.clone().unwrap_or_default(), context, within: None }
        }
    };
    let engine = global.engine(Vec::new()).await?;
    let job = engine.start_task(space, TaskRequest { task, input, idempotency_key, grants, options }, manner).await?;
    Ok((engine, job))
}

/// A plan names the grants that its paths begin with; better to hear of a missing one at once than at the step that
/// needs it. A word and not a refusal: not every step need be reached.
async fn missing_grants(engine: &Engine, space: &Space, job: &JobId, own: &[Grant]) -> Result<Vec<String>> {
    let component = engine.job(space, job).await?.state.component;
    let needed = engine.inspect(engine.component(component).await?).await?.grants_needed;
    let granted = engine.granted()?;
    let has = |name: &str| granted.iter().chain(own).any(|grant| grant.name().as_str() == name);
    Ok(needed.into_keys().filter(|name| !has(name)).collect())
}

/// Stays with a job until it has ended or stands, or the user interrupts; reports what became of it.
pub(super) async fn to_its_end(
    engine: &Engine,
    space: &Space,
    job: JobId,
    follow: bool,
    interrupt: Interrupt,
    output: &Output,
) -> Result<u8> {
    let show = |entry: &Entry| {
        if follow {
            output
                .aside(|| view::object(entry), || format!("{:>4}  {:<9}  {}", entry.seq, entry.body.kind(), printable(&view::line(entry))));
        }
        Ok(())
    };
    tokio::select! {
        status = engine.follow(space, &job, show) => { status.map_err(|e| out_of_sight(&job, e))?; }
        () = interrupt.asked() => engine.shut_down().await,
    }
    let job = engine.job(space, &job).await.map_err(|e| out_of_sight(&job, e))?;
    // What the job shows of its playbook is on disk with its end; where this fails, the next process considers it.
    if let Err(e) = engine.consider().await {
        tracing::warn!("what the job shows of its playbook is considered later: {e}");
    }
    output.show(|| job.to_json(), || in_words(&job.to_json(), None));
    Ok(match job.state.status() {
        Status::Completed => exit::OK,
        Status::Failed | Status::Cancelled => exit::JOB_FAILED,
        _ => exit::JOB_NOT_DONE,
    })
}

/// The job is safe on disk, but what became of it cannot be read now: say how to find out.
fn out_of_sight(job: &JobId, e: Error) -> Error {
    let then = format!("job {job} is not done; once this is mended, go on with: reprise jobs resume {job}");
    Error { message: format!("{}; {then}", e.message), ..e }.with_details(json!({"job_id": job}))
}
