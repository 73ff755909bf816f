//! `reprise runs|playbooks list`, `reprise runs show`.

use serde_json::json;

use super::args::{Global, PlaybooksList, RunArg, RunsList};
use super::exit;
use super::output::{Output, printable, table};
use crate::clock::rfc3339;
use crate::error::Result;
use crate::ids::{PlaybookId, RunId};
use crate::runs::{RunFilter, RunState, view};

pub(super) async fn runs(global: &Global, args: RunsList, output: &Output) -> Result<u8> {
    let engine = global.existing().await?;
    let after = args.page.cursor.as_deref().map(RunId::parse).transpose()?;
    let (space, filter) = (global.space()?, RunFilter { state: args.status, tool: args.tool });
    let page = view::RunsPage::of(&space, engine.runs().page(&space, &filter, after.as_ref(), args.page.limit)?);
    output.show(
        || json!(page),
        || {
            let row = |r: &view::RunRow| [r.run_id.clone(), r.status.to_owned(), r.steps.to_string(), r.started_at.clone(), r.goal.clone()];
            let more = page.next.as_ref().map(|next| format!("\nmore with --cursor {next}")).unwrap_or_default();
            format!("{}{more}", table(["run", "status", "steps", "started", "goal"], page.runs.iter().map(row)))
        },
    );
    Ok(exit::OK)
}

pub(super) fn parse_run_state(text: &str) -> Result<RunState, String> {
    let names = || RunState::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    RunState::parse(text).ok_or_else(|| format!("not one of {}", names()))
}

pub(super) async fn run(global: &Global, args: RunArg, output: &Output) -> Result<u8> {
    let run = global.existing().await?.run_without_secrets(&global.space()?, &args.run).await?;
    output.show(
        || view::run(&run),
        || {
            let rows = run.steps.iter().map(|step| {
                let status = step.after.as_ref().map_or("pending", |after| after.status.as_str());
                let answer = step.after.as_ref().and_then(|a| a.error.as_ref().or(a.output.as_ref()).or(a.output_signature.as_ref()));
                [
                    step.step_index.to_string(),
                    step.tool_name.clone(),
                    status.to_owned(),
                    short(step.tool_input.as_str()),
                    answer.map(|a| short(a.as_str())).unwrap_or_default(),
                ]
            });
            let inputs = run.inputs.as_ref().map_or("none", |inputs| inputs.as_str());
            let status = run.status().map_or("in_progress", |status| status.as_str());
            format!(
                "Run {}: {}\nstatus {status}, inputs {inputs}\n{}",
                run.run_id,
                printable(&run.goal),
                table(["#", "tool", "status", "input", "answer"], rows)
            )
        },
    );
    Ok(exit::OK)
}

fn short(text: &str) -> String {
    const CHARS: usize = 100;
    match text.char_indices().nth(CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

pub(super) async fn playbooks(global: &Global, args: PlaybooksList, output: &Output) -> Result<u8> {
    let engine = global.existing().await?;
    let after = args.page.cursor.as_deref().map(PlaybookId::parse).transpose()?;
    let playbooks = engine.playbooks(&global.space()?, after.as_ref(), args.page.limit)?;
    let next = (playbooks.len() == args.page.limit).then(|| playbooks.last().map(|p| p.playbook_id.clone())).flatten();
    output.show(
        || {
            let playbook = |p: &crate::lifecycle::Summary| {
                json!({"playbook_id": p.playbook_id, "name": p.name, "latest_version": p.latest_version, "active_version": p.active_version, "updated_at": rfc3339(p.updated_at_ms)})
            };
            json!({"playbooks": playbooks.iter().map(playbook).collect::<Vec<_>>(), "next": next})
        },
        || {
            let rows = playbooks.iter().map(|p| [
                    p.playbook_id.to_string(),
                    p.active_version.to_string(),
                    p.latest_version.to_string(),
                    rfc3339(p.updated_at_ms),
                    p.name.clone(),
                ]);
            let more = next.as_ref().map(|next| format!("\nmore with --cursor {next}")).unwrap_or_default();
            format!("{}{more}", table(["playbook", "active version", "newest", "updated", "name"], rows))
        },
    );
    Ok(exit::OK)
}
