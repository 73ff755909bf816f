//! The agent of the story: it really calls the tools, and each call is recorded with its real answer.

use std::path::Path;

use serde_json::{Value, json};

use super::super::output::Output;
use crate::contract::ToolId;
use crate::engine::Engine;
use crate::error::Result;
use crate::ids::{RunId, Space};
use crate::json::Json;
use crate::runs::{RunEnd, RunStart, StepAfter, StepBefore};
use crate::tools::grants::{FsGrant, GrantName, To};
use crate::tools::{Access, Grant, Grants};

/// What the agent was asked for.
fn inputs() -> Value {
    json!({"version": "1.4.0", "date": "2026-11-20"})
}

/// Its tool calls, with what it thought at each; the fourth is a mistake that the fifth corrects.
fn calls() -> [(&'static str, Value, &'static str); 9] {
    let replace = |file: &str, old: &str, new: &str| json!({"path": format!("project/{file}"), "old": old, "new": new});
    let release = "project/releases/1.4.0.txt";
    let text = "acme-widgets 1.4.0, 2026-11-20, after 1.3.0\nchanged: package.json, Cargo.toml, README.md, CHANGELOG.md\n";
    [
        ("fs/list", json!({"path": "project"}), "look around"),
        ("fs/read", json!({"path": "project/package.json", "as": "json"}), "which version is it now?"),
        ("fs/replace", replace("package.json", "\"version\": \"1.3.0\"", "\"version\": \"1.4.0\""), "set it"),
        ("fs/replace", replace("Cargo.toml", "version = '1.3.0'", "version = '1.4.0'"), "the wrong quotes"),
        ("fs/replace", replace("Cargo.toml", "version = \"1.3.0\"", "version = \"1.4.0\""), "the right ones"),
        ("fs/replace", replace("README.md", "acme-widgets 1.3.0", "acme-widgets 1.4.0"), "set it in the text"),
        (
            "fs/replace",
            replace("CHANGELOG.md", "# Changelog\n", "# Changelog\n\n## 1.4.0 - 2026-11-20\n\nAll changes since 1.3.0.\n"),
            "a heading",
        ),
        ("fs/write", json!({"path": release, "text": text, "create_dirs": true}), "list what changed"),
        ("fs/read", json!({"path": release}), "read it back"),
    ]
}

/// Works on the project at `root` and records it.
pub(super) async fn prepare_release(engine: &Engine, space: &Space, root: &Path, output: &Output) -> Result<RunId> {
    let name = Some(GrantName::parse("project")?);
    let grants = Grants::open(&[Grant::Fs(FsGrant::new(name, root, Access::ReadWrite, To::builtin())?)])?;
    let start = RunStart::parse(&json!({"run_id": "release-acme-widgets", "goal": "Prepare a release", "inputs": inputs()}))?;
    let run_id = engine.runs().start(space, start).await?.run_id;
    for (at, (tool, input, thought)) in calls().into_iter().enumerate() {
        let step = at + 1;
        let before = json!({"run_id": run_id, "step_index": step, "tool_name": tool, "tool_input": input, "safety_level": "auto_ok"});
        engine.runs().before(space, StepBefore::parse(&before)?).await?;
        let outcome = engine.tools().call(&ToolId::parse(tool)?, &format!("demo-{step}"), &Json::from(&input), &grants).await;
        let (after, word) = match &outcome {
            Ok(answer) => (json!({"run_id": run_id, "step_index": step, "status": "success", "output": answer.value()}), "ok"),
            Err(error) => (json!({"run_id": run_id, "step_index": step, "status": "failed", "error": error.to_string()}), "FAILED"),
        };
        engine.runs().after(space, StepAfter::parse(&after)?).await?;
        let target = input["path"].as_str().unwrap_or_default();
        output.say(format!("   s{step} {tool:<11} {target:<28} {word:<7} {thought}"));
    }
    let end = json!({"run_id": run_id, "status": "success", "summary": "release 1.4.0 is prepared"});
    engine.runs().end(space, RunEnd::parse(&end)?).await?;
    Ok(run_id)
}
