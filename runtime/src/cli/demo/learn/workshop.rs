//! The place of the story: services that each describe themselves, and an agent who notes their next versions.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::super::super::output::Output;
use crate::contract::ToolId;
use crate::engine::Engine;
use crate::error::Result;
use crate::ids::{RunId, Space};
use crate::json::Json;
use crate::runs::{RunEnd, RunStart, StepAfter, StepBefore};
use crate::tools::Grants;

/// What the agent is asked for.
pub(super) const GOAL: &str = "Note the next version of a service";

/// Where a service describes itself: at first, and once somebody has tidied up.
pub(super) const PLACES: [&str; 2] = ["service.json", "about/service.json"];

/// Each service and its version.
pub(super) const SERVICES: [(&str, &str); 11] = [
    ("billing", "1.4.2"),
    ("search", "0.9.9"),
    ("mail", "3.0.11"),
    ("orders", "2.7.0"),
    ("login", "5.1.3"),
    ("maps", "0.0.8"),
    ("chat", "4.12.6"),
    ("cache", "7.3.1"),
    ("proxy", "6.0.20"),
    ("queue", "1.19.4"),
    ("store", "2.2.2"),
];

/// Writes every service's description.
pub(super) fn make(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("notes"))?;
    SERVICES.iter().try_for_each(|(name, version)| describe(root, PLACES[0], name, version))
}

/// Puts every description somewhere else.
pub(super) fn tidy_up(root: &Path) -> io::Result<()> {
    SERVICES.iter().try_for_each(|(name, version)| {
        fs::remove_file(root.join(name).join(PLACES[0]))?;
        describe(root, PLACES[1], name, version)
    })
}

fn describe(root: &Path, place: &str, name: &str, version: &str) -> io::Result<()> {
    let path = root.join(name).join(place);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, format!("{}\n", json!({"service": name, "version": version, "owner": format!("{name}-team")})))
}

/// The note that there must be.
pub(super) fn noted(name: &str, version: &str) -> String {
    format!("# {name}\n\nnow {version}, next {}, by {name}-team\n", next(version))
}

/// The note that there is.
pub(super) fn note(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join("notes").join(format!("{name}.md"))).unwrap_or_default()
}

fn next(version: &str) -> String {
    let (rest, patch) = version.rsplit_once('.').unwrap_or(("", version));
    format!("{rest}.{}", patch.parse::<u64>().map_or(0, |patch| patch + 1))
}

/// The agent at work: real calls, each recorded with its real answer.
pub(super) struct Agent<'a> {
    pub engine: &'a Engine,
    pub space: &'a Space,
    pub grants: &'a Grants,
    pub output: &'a Output,
}

impl Agent<'_> {
    /// Notes the next version of a service, and looks for its description in these places in turn.
    pub(super) async fn note(&self, run_id: &str, name: &str, places: &[&str]) -> Result<RunId> {
        let runs = self.engine.runs();
        let start = json!({"run_id": run_id, "goal": GOAL, "inputs": {"service": name}});
        let run_id = runs.start(self.space, RunStart::parse(&start)?).await?.run_id;
        let (mut description, mut step) = (Value::Null, 0);
        for place in places {
            step += 1;
            let input = json!({"path": format!("project/{name}/{place}"), "as": "json"});
            if let Some(answer) = self.call(&run_id, step, "fs/read", &input).await? {
                description = answer["json"].clone();
                break;
            }
        }
        let version = description["version"].as_str().unwrap_or_default();
        let owner = description["owner"].as_str().unwrap_or_default();
        let text = format!("# {name}\n\nnow {version}, next {}, by {owner}\n", next(version));
        self.call(&run_id, step + 1, "fs/write", &json!({"path": format!("project/notes/{name}.md"), "text": text})).await?;
        let end = json!({"run_id": run_id, "status": "success", "metrics": {"total_tokens": 6_200, "cost_usd": 0.04}});
        runs.end(self.space, RunEnd::parse(&end)?).await?;
        Ok(run_id)
    }

    async fn call(&self, run_id: &RunId, step: u32, tool: &str, input: &Value) -> Result<Option<Value>> {
        let before = json!({"run_id": run_id, "step_index": step, "tool_name": tool, "tool_input": input, "safety_level": "auto_ok"});
        self.engine.runs().before(self.space, StepBefore::parse(&before)?).await?;
        let outcome = self.engine.tools().call(&ToolId::parse(tool)?, &format!("{run_id}-{step}"), &Json::from(input), self.grants).await;
        let (after, word) = match &outcome {
            Ok(answer) => (json!({"run_id": run_id, "step_index": step, "status": "success", "output": answer.value()}), "ok"),
            Err(error) => (json!({"run_id": run_id, "step_index": step, "status": "failed", "error": error.to_string()}), "FAILED"),
        };
        self.engine.runs().after(self.space, StepAfter::parse(&after)?).await?;
        self.output.say(format!("   {run_id:<12} {tool:<9} {:<34} {word}", input["path"].as_str().unwrap_or_default()));
        Ok(outcome.ok().map(|answer| answer.value()))
    }
}
