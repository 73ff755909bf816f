//! `reprise compile RUN...`.

use std::collections::BTreeMap;

use serde_json::json;

use super::args::{Compile, Global};
use super::output::{Output, shell};
use super::{exit, show};
use crate::compiler::{Binding, Compiled, HeldOut, OpenQuestion, Options};
use crate::contract::ToolId;
use crate::engine::{CompileRequest, Engine, GrantProposal, GrantProposalView, LearnRequest, Wanted};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, RunId, Space};
use crate::lifecycle::Version;

pub(super) async fn compile(global: &Global, args: Compile, output: &Output) -> Result<u8> {
    let bind = |(name, tool): (String, String)| {
        let tool = ToolId::parse(&tool).map_err(|e| e.at(format!("--bind {name}={tool}")))?;
        Ok((name, Binding { tool, input: BTreeMap::new(), output: BTreeMap::new() }))
    };
    let bindings = args.bindings.into_iter().map(bind).collect::<Result<_>>()?;
    let options = Options { allow_partial: args.allow_partial, bindings, roots: args.roots.into_iter().collect() };
    let (runs, playbook, name) = (args.runs, args.playbook, args.name);
    let words = runs.iter().map(|run| shell(run.as_str())).collect::<Vec<_>>();
    let space = global.space()?;
    let engine = global.existing().await?;
    let made = made(&engine, &space, runs, playbook, name, options).await?;
    if let Some(path) = &args.out {
        std::fs::write(path, &made.compiled.component)
            .map_err(|e| Error::new(Code::StoreUnavailable, format!("cannot write {}: {e}", path.display())))?;
    }
    let (version, compiled) = (&made.version, &made.compiled);
    let standing = engine.standing(&space, version).await?;
    let needed = engine.inspect(compiled.component.clone()).await?.grants_needed;
    output.show(
        || {
            let mut shown = json!({
                "playbook_id": version.playbook_id, "version": version.version, "status": version.status, "component_digest": version.component,
                "component_bytes": version.component_bytes, "plan": compiled.plan, "dropped": compiled.dropped, "unused_inputs": compiled.unused_inputs,
                "proof": compiled.proof, "summary": compiled.summary, "activation": standing.activation, "active_version": standing.active_version,
                "asks": standing.asks, "permission_diff": standing.permission_diff,
                "grants_proposed": made.proposals.iter().map(|proposal| proposal.view(true)).collect::<Vec<_>>(),
                "source_runs": version.provenance.source_runs, "open_questions": made.open_questions, "held_out": made.held_out,
            });
            if let Some(why) = &made.not_held_out {
                shown["not_held_out"] = json!(why);
            }
            shown
        },
        || {
            let id = &version.playbook_id;
            let head = format!("Playbook {id}, version {}: {} bytes, sha256 {}", version.version, version.component_bytes, version.component);
            let grants: String = needed.iter().map(|(name, access)| format!(" --grant {}", shell(&format!("fs:{name}=DIR{}", if *access == "ro" { ":ro" } else { "" })))).collect();
            let (word, input) = (shell(&show::named(id, version.version, &standing)), shell(compiled.plan.sample_input().as_str()));
            let next = format!("Next: reprise inspect {word}\n      reprise run {word} --input {input}{grants}");
            let note = show::standing_note(id, version.version, &standing);
            let proposals: Vec<GrantProposalView> = made.proposals.iter().map(|proposal| proposal.view(true)).collect();
            let approve = match proposals.is_empty() {
                true => String::new(),
                false => format!("{}An operator grants just that with: reprise grants approve {}\n", show::proposals(&proposals), words.first().cloned().unwrap_or_default()),
            };
            let learned = show::learned(&words, &made.open_questions, &made.held_out, made.not_held_out.as_deref());
            format!("{head}\n\n{}{learned}\n{approve}{note}{next}", show::compiled(compiled))
        },
    );
    Ok(exit::OK)
}

/// What one run or several came to.
struct Made {
    version: Version,
    compiled: Compiled,
    proposals: Vec<GrantProposal>,
    open_questions: Vec<OpenQuestion>,
    held_out: Vec<HeldOut>,
    not_held_out: Option<String>,
}

async fn made(
    engine: &Engine,
    space: &Space,
    mut runs: Vec<RunId>,
    playbook_id: Option<PlaybookId>,
    name: Option<String>,
    options: Options,
) -> Result<Made> {
    let wanted = Wanted { name, ..Wanted::plain(playbook_id, options) };
    if runs.len() > 1 {
        let request = LearnRequest { run_ids: runs, wanted };
        let made = engine.compile_from_runs(space, request).await?;
        let crate::compiler::Learned { compiled, open_questions, held_out, not_held_out, .. } = made.learned;
        return Ok(Made { version: made.version, compiled, proposals: made.proposals, open_questions, held_out, not_held_out });
    }
    let run_id = runs.pop().ok_or_else(|| Error::invalid("RUN", "name at least one run"))?;
    let request = CompileRequest { run_id, wanted };
    let made = engine.compile_from_run(space, request).await?;
    let (open_questions, held_out) = (Vec::new(), Vec::new());
    Ok(Made { version: made.version, compiled: made.compiled, proposals: made.proposals, open_questions, held_out, not_held_out: None })
}
