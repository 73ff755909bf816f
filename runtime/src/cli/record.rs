//! `reprise record FILE.jsonl`.

use std::fs::File;
use std::io::BufReader;

use serde_json::json;

use super::args::{Global, Record};
use super::exit;
use super::output::{Output, count, shell};
use crate::blocking;
use crate::error::{Code, Error, Result};
use crate::runs::Recording;

pub(super) async fn record(global: &Global, args: Record, output: &Output) -> Result<u8> {
    let path = args.file;
    let recording = blocking::run(move || {
        if path.as_os_str() == "-" {
            return Recording::read(std::io::stdin().lock());
        }
        let unreadable = |e| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", path.display()));
        let file = File::open(&path).map_err(unreadable)?;
        Recording::read(BufReader::new(file)).map_err(|e| e.at(path.display()))
    })
    .await?;
    let space = global.space()?;
    let engine = global.engine(Vec::new()).await?;
    let run_id = engine.runs().import(&space, recording).await?;
    let run = engine.runs().get(&space, &run_id)?;
    let status = run.status().map_or("in_progress", |status| status.as_str());
    output.show(
        || json!({"run_id": run_id, "status": status, "steps": run.steps.len()}),
        || {
            let next = match status {
                "success" => format!("Next: reprise compile {}", shell(run_id.as_str())),
                other => format!("It is {other}: `reprise compile {} --allow-partial` takes its successful steps.", shell(run_id.as_str())),
            };
            format!("Recorded run {run_id}: {}, {status}.\n{next}", count(run.steps.len(), "step"))
        },
    );
    Ok(exit::OK)
}
