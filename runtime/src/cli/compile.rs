//! `reprise compile RUN...`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::args::{Compile, Global, parse_playbook_id};
use super::output::{Output, shell};
use super::{exit, show};
use crate::compiler::{Binding, Compiled, HeldOut, Learned, OpenQuestion, Options};
use crate::contract::ToolId;
use crate::engine::{CompileRequest, CompiledVersion, Engine, GrantProposal, GrantProposalView, LearnRequest, LearnedVersion, Wanted};
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
    let mut seen = BTreeSet::new();
    let runs: Vec<RunId> = args.runs.into_iter().filter(|run| seen.insert(run.as_str().to_owned())).collect();
    let (playbook, name) = (args.playbook, args.name);
    let first = runs.first().map(|run| shell(run.as_str())).unwrap_or_default();
    let space = global.space()?;
    let engine = global.existing().await?;
    let made = made(&engine, &space, runs, Wanted { name, ..Wanted::plain(playbook, options) }, args.alone).await?;
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
            if !made.replaces.is_empty() {
                shown["replaces"] = json!({"source_runs": made.replaces});
            }
            let secrets = engine.secrets_in(&compiled.plan);
            if !secrets.is_empty() {
                shown["secrets"] = json!(secrets);
            }
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
                false => format!("{}An operator grants just that with: reprise grants approve {}\n", show::proposals(&proposals), first),
            };
            let learned = show::learned(&shelled(&made.source_runs), &made.open_questions, &made.held_out, made.not_held_out.as_deref());
            let alone = match made.replaces.is_empty() {
                true => String::new(),
                false => format!("It is made of this run alone, and has nothing of {}, which the version before it was learned from; without --alone they are taken along.\n", shelled(&made.replaces).join(" ")),
            };
            format!("{head}\n\n{}{learned}{alone}\n{approve}{note}{next}", show::compiled(compiled))
        },
    );
    Ok(exit::OK)
}

fn shelled(runs: &[RunId]) -> Vec<String> {
    runs.iter().map(|run| shell(run.as_str())).collect()
}

/// What one run or several came to.
struct Made {
    version: Version,
    compiled: Compiled,
    proposals: Vec<GrantProposal>,
    open_questions: Vec<OpenQuestion>,
    held_out: Vec<HeldOut>,
    not_held_out: Option<String>,
    /// The runs of it, those that it had been learned from before included.
    source_runs: Vec<RunId>,
    /// The runs that a version before it was learned from, and it was not.
    replaces: Vec<RunId>,
}

async fn made(engine: &Engine, space: &Space, mut runs: Vec<RunId>, wanted: Wanted, alone: bool) -> Result<Made> {
    if alone && runs.len() > 1 {
        return Err(Error::invalid("--alone", "is for one run; of several, what they have in common is learned"));
    }
    // What a playbook has learned is not lost because one more run is named by itself.
    let learned = wanted.playbook_id.as_ref().map(|id| engine.learned_from(space, id)).transpose()?.unwrap_or_default();
    if runs.len() > 1 || (learned.len() > 1 && !alone) {
        let request = LearnRequest { run_ids: runs, wanted };
        let LearnedVersion { version, learned, source_runs, proposals, .. } = engine.compile_from_runs(space, request).await?;
        let Learned { compiled, open_questions, held_out, not_held_out, .. } = learned;
        return Ok(Made { version, compiled, proposals, source_runs, open_questions, held_out, not_held_out, replaces: Vec::new() });
    }
    let run_id = runs.pop().ok_or_else(|| Error::invalid("RUN", "name at least one run"))?;
    let source_runs = vec![run_id.clone()];
    let CompiledVersion { version, compiled, proposals, replaces, .. } =
        engine.compile_from_run(space, CompileRequest { run_id, wanted }).await?;
    let (open_questions, held_out) = (Vec::new(), Vec::new());
    Ok(Made { version, compiled, proposals, source_runs, open_questions, held_out, not_held_out: None, replaces })
}

/// The id of a playbook that may be new: a version cannot be named where one is made.
pub(super) fn parse_new_id(text: &str) -> Result<PlaybookId, String> {
    let id = parse_playbook_id(text)?;
    id.unfit_as_new().map_or(Ok(id), Err)
}
