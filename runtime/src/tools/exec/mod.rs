//! `exec/run`: starts a granted program with granted arguments in a granted directory, and says what came of it.
//!
//! Its job: find the grant, look at the program's file, start it behind walls, and give its output within bounds. It does
//! not know how the walls are built.
//!
//! The rules that must stay true: nothing starts that a grant does not cover word for word; nobody who could have written
//! the program's file decides what runs; nothing that was started outlives the call, however the call ends.

mod output;
mod program;
mod running;
mod walls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::json::Json;
use crate::{blocking, limits};

use super::grants::{ExecGrant, OpenDir};
use super::{Access, Call, Grants, Info, Tool, input};
use running::{Ended, Failure, Running, Start};
pub(super) use walls::Walls;

/// What the tool stands on.
struct Exec {
    walls: Walls,
    /// Which no program may see.
    data: Option<PathBuf>,
}

/// The tool; `data` is the data directory.
pub(super) fn tools(walls: Walls, data: Option<PathBuf>) -> Vec<Tool> {
    let exec = Arc::new(Exec { walls, data });
    vec![
        Tool::waiting(info(walls), move |call, value| perform(Arc::clone(&exec), call, value))
            .lasting(Duration::from_millis(limits::EXEC_TIMEOUT_MS_MAX) + limits::EXEC_END_TIME_MAX * 2),
    ]
}

fn info(walls: Walls) -> Info {
    let text = json!({ "type": "string" });
    let cut =
        |what: &str| json!({ "type": "boolean", "description": format!("Whether {what} had more than is given; the first part is.") });
    Info {
        id: ToolId::parse("exec/run").expect("two kebab-case words"),
        description: "Runs a program of the host in a granted directory, without a shell, an environment or a network, and waits for it."
            .into(),
        input_schema: json!({
            "type": "object",
            "required": ["program"],
            "additionalProperties": false,
            "properties": {
                "program": { "type": "string", "description": "Its absolute path, as an exec grant has it." },
                "args": { "type": "array", "items": text, "maxItems": limits::EXEC_ARGS_GIVEN_MAX, "default": [] },
                "directory": { "type": "string", "description": "The grant in whose directory it runs, where several would do." },
                "stdin": { "type": "string", "default": "" },
                "codes": {
                    "type": "array",
                    "items": { "type": "integer", "minimum": 0, "maximum": 255 },
                    "minItems": 1,
                    "maxItems": 256,
                    "default": [0],
                    "description": "The exit codes that are answers; any other is a failure.",
                },
                "timeout_ms": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": limits::EXEC_TIMEOUT_MS_MAX,
                    "default": limits::EXEC_TIMEOUT_MS_DEFAULT,
                    "description": "After which it is ended, with all that it started.",
                },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["code", "stdout", "stderr", "stdout_truncated", "stderr_truncated"],
            "additionalProperties": false,
            "properties": {
                "code": { "type": "integer", "minimum": 0, "maximum": 255 },
                "stdout": text,
                "stderr": text,
                "stdout_truncated": cut("stdout"),
                "stderr_truncated": cut("stderr"),
                "warning": { "type": "string", "description": "Where it ran without walls." },
            },
        }),
        effect: Effect::Once,
        words: "run granted programs".into(),
        warning: walls.missing().map(Into::into),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    program: String,
    #[serde(default)]
    args: Vec<String>,
    directory: Option<String>,
    #[serde(default)]
    stdin: String,
    #[serde(default = "only_success")]
    codes: Vec<i32>,
    #[serde(default = "default_timeout")]
    timeout_ms: u64,
}

fn only_success() -> Vec<i32> {
    vec![0]
}

fn default_timeout() -> u64 {
    limits::EXEC_TIMEOUT_MS_DEFAULT
}

async fn perform(exec: Arc<Exec>, call: Call, value: Value) -> Result<Value, ToolError> {
    let input: Input = input(&value)?;
    let time = Duration::from_millis(input.timeout_ms);
    let (checking, secrets) = (Arc::clone(&exec), Arc::clone(&call.secrets));
    let (start, input) = blocking::run(move || Ok::<_, ToolError>((start(&checking, &call, &input)?, input))).await?;
    let name = start.name.clone();
    let mut running = Running::begin(start).await.map_err(|failure| not_started(&name, failure))?;
    match tokio::time::timeout(time, running.end(input.stdin.into_bytes())).await {
        Ok(ended) => outcome(&exec, &name, ended.without(secrets).await, &input.codes),
        Err(_) => {
            let ended = running.stop().await.without(secrets).await;
            let message = format!(
                "{name} was not done within {} ms and was ended, with all that it started; what it did until then stays done",
                time.as_millis()
            );
            Err(ToolError { detail: Some(Json::from(&ended.detail())), ..ToolError::new(ErrorKind::Timeout, message) })
        }
    }
}

/// What is started, after every check.
fn start(exec: &Exec, call: &Call, input: &Input) -> Result<Start, ToolError> {
    let Input { program, args, directory, stdin: _, codes: _, timeout_ms: _ } = input;
    if program.contains('\0') || args.iter().any(|arg| arg.contains('\0')) {
        return Err(ToolError::new(ErrorKind::InvalidInput, "no program takes a NUL character in an argument"));
    }
    let grant = covering(&call.grants, program, args, directory.as_deref())?;
    let Some((_, OpenDir { dir, access, .. })) = call.grants.dir(grant.directory.as_str()) else {
        let message = format!(
            "the grant {:?} needs the grant {:?} of a directory, which this job does not have",
            grant.name.as_str(),
            grant.directory.as_str()
        );
        return Err(ToolError::new(ErrorKind::Denied, message));
    };
    let name = grant.name.as_str().to_owned();
    if let Some(seen) = exec.data.as_ref().and_then(|data| walls::readable(data)) {
        let message =
            format!("no program is run here: every one can read {seen}, and the data directory lies in it; an operator must move it");
        return Err(ToolError::new(ErrorKind::Denied, message));
    }
    let file = program::find(&grant.program, call.grants.list()).map_err(|why| why.told(&name))?;
    if !call.has_time() {
        return Err(ToolError::new(ErrorKind::Unavailable, format!("no time was left to begin; {name} was not started")));
    }
    let writable = *access == Access::ReadWrite;
    Ok(Start { name, program: grant.program.clone(), file, args: args.clone(), directory: Arc::clone(dir), writable, walls: exec.walls })
}

/// Whether a granted program is there and would be started.
pub(super) fn can_start(program: &std::path::Path, grants: &Grants) -> bool {
    program::find(program, grants.list()).is_ok()
}

/// The one grant that covers it.
fn covering<'g>(grants: &'g Grants, program: &'g str, args: &[String], directory: Option<&str>) -> Result<&'g ExecGrant, ToolError> {
    let fits = |grant: &&ExecGrant| grant.covers(program, args) && directory.is_none_or(|directory| grant.directory.as_str() == directory);
    let mut covering = grants.exec(program).filter(fits);
    let Some(first) = covering.next() else {
        let within = directory.map(|directory| format!(" in {directory:?}")).unwrap_or_default();
        let with = if args.is_empty() { "without arguments" } else { "with these arguments" };
        return Err(ToolError::new(ErrorKind::Denied, format!("no grant covers {program:?} {with}{within}; {}", grants.exec_hint())));
    };
    if covering.any(|other| other.directory != first.directory) {
        let message = format!(
            "several grants let {program:?} run, in different directories; say in \"directory\" which one is meant: {}",
            grants.exec_hint()
        );
        return Err(ToolError::new(ErrorKind::InvalidInput, message));
    }
    Ok(first)
}

fn not_started(name: &str, failure: Failure) -> ToolError {
    let (kind, why) = match failure {
        Failure::Walls(why) => (ErrorKind::Unavailable, format!("its walls could not be set up: {why}")),
        Failure::Start(e) => {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                std::io::ErrorKind::ArgumentListTooLong => ErrorKind::InvalidInput,
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::OutOfMemory => ErrorKind::Unavailable,
                _ => ErrorKind::Failed,
            };
            (kind, e.to_string())
        }
        Failure::Lost => {
            let message = format!("{name} could not be listened to, and was ended at once; whether it did anything is not known");
            return ToolError::new(ErrorKind::Timeout, message);
        }
    };
    ToolError::new(kind, format!("{name} could not be started: {why}; nothing was done"))
}

fn outcome(exec: &Exec, name: &str, ended: Ended, codes: &[i32]) -> Result<Value, ToolError> {
    let Some(status) = ended.status else {
        let message = format!("{name} has ended, and the system does not say how; whether it did what it was to do is not known");
        return Err(ToolError { detail: Some(Json::from(&ended.detail())), ..ToolError::new(ErrorKind::Timeout, message) });
    };
    let how = match status.code() {
        Some(code) if codes.contains(&code) => {
            let mut output = ended.output(code);
            if let Some(warning) = exec.walls.warning() {
                output["warning"] = Value::String(warning.to_owned());
            }
            return Ok(output);
        }
        Some(code) => format!("with code {code}"),
        None => format!("by {status}"),
    };
    let said = ended.last_line().map(|line| format!(": {line}")).unwrap_or_default();
    Err(ToolError { detail: Some(Json::from(&ended.detail())), ..ToolError::new(ErrorKind::Failed, format!("{name} ended {how}{said}")) })
}
