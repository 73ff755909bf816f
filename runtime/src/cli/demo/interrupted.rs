//! The second run: a real child process, a real SIGKILL, and the journal that carries the job across.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::super::output::Output;
use crate::engine::{Engine, JobView};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::jobs::Manner;

/// The date that the second release gets.
pub(super) const DATE: &str = "2026-12-01";
/// The child is killed once the answer to this call is on disk.
const KILL_AFTER_CALL: u64 = 4;
/// Milliseconds between the child's steps; the kill lands in one of these pauses.
const PACE: &str = "250";

/// A job whose process was killed.
pub(super) struct Killed {
    pub job: JobId,
    /// The last entry that was seen to be on disk.
    pub last_seq: u64,
}

/// Runs the playbook in a child process and kills it in the middle.
pub(super) async fn run_and_kill(home: &Path, project: &Path, output: &Output) -> Result<Killed> {
    let program = std::env::current_exe().map_err(|e| super::cannot("find the program", &e))?;
    let input = json!({"version": "1.0.0", "date": DATE}).to_string();
    output.say(format!("   reprise run release --input '{input}' --grant fs:project={}", project.display()));
    let mut child = tokio::process::Command::new(program)
        .arg("--data")
        .arg(home.join("data"))
        .args(["--json", "run", "release", "--follow", "--pace", PACE, "--input", &input, "--grant"])
        .arg(format!("fs:project={}", project.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| super::cannot("start a child process", &e))?;
    let pid = child.id().unwrap_or_default();
    let mut lines = BufReader::new(child.stderr.take().expect("it was piped")).lines();
    let mut job = None;
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.map_err(|e| super::cannot("hear the child process", &e))? {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        job = job.or_else(|| entry["job_id"].as_str().and_then(|id| JobId::parse(id).ok()));
        if let (Some("returned"), Some(call), Some(seq), Some(job)) =
            (entry["kind"].as_str(), entry["call"].as_u64(), entry["seq"].as_u64(), job)
        {
            output.say(format!("   call {call} answered, journal entry {seq} is on disk"));
            if call == KILL_AFTER_CALL {
                child.kill().await.map_err(|e| super::cannot("kill the child process", &e))?;
                output.say(format!("   SIGKILL to process {pid}: nothing of it is left but what is on disk"));
                return Ok(Killed { job, last_seq: seq });
            }
        }
        said = line;
    }
    Err(Error::new(Code::InternalError, format!("the child process ended before it could be killed; it said: {said}")))
}

/// Takes the job up and runs it to its end.
pub(super) async fn resume(engine: &Engine, space: &Space, killed: &Killed, output: &Output) -> Result<JobView> {
    output.say(format!("   reprise jobs resume {}", killed.job));
    engine.resume_job(space, &killed.job, Manner { pace: None, watched: true }).await?;
    engine.follow(space, &killed.job, |_| Ok(())).await?;
    let view = engine.job(space, &killed.job).await?;
    match &view.output {
        Some(_) => Ok(view),
        None => Err(Error::new(Code::InternalError, format!("the job did not complete: {}", view.to_json()))),
    }
}
