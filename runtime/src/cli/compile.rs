//! `reprise compile RUN`.

use std::collections::BTreeMap;

use serde_json::json;

use super::args::{Compile, Global};
use super::output::{Output, shell};
use super::{exit, show};
use crate::compiler::{Binding, Options};
use crate::contract::ToolId;
use crate::engine::{CompileRequest, GrantProposalView};
use crate::error::{Code, Error, Result};

pub(super) async fn compile(global: &Global, args: Compile, output: &Output) -> Result<u8> {
    let bind = |(name, tool): (String, String)| {
        let tool = ToolId::parse(&tool).map_err(|e| e.at(format!("--bind {name}={tool}")))?;
        Ok((name, Binding { tool, input: BTreeMap::new(), output: BTreeMap::new() }))
    };
    let bindings = args.bindings.into_iter().map(bind).collect::<Result<_>>()?;
    let options = Options { allow_partial: args.allow_partial, bindings, roots: args.roots.into_iter().collect() };
    let run = args.run.clone();
    let request = CompileRequest {
        run_id: args.run,
        playbook_id: args.playbook,
        name: args.name,
        version: None,
        matchers: None,
        success_criteria: None,
        risk_profile: "medium".to_owned(),
        metadata: None,
        options,
    };
    let space = global.space()?;
    let engine = global.existing().await?;
    let made = engine.compile_from_run(&space, request).await?;
    if let Some(path) = &args.out {
        std::fs::write(path, &made.compiled.component)
            .map_err(|e| Error::new(Code::StoreUnavailable, format!("cannot write {}: {e}", path.display())))?;
    }
    let (version, compiled) = (&made.version, &made.compiled);
    let standing = engine.standing(&space, version).await?;
    let needed = engine.inspect(compiled.component.clone()).await?.grants_needed;
    output.show(
        || {
            json!({
                "playbook_id": version.playbook_id, "version": version.version, "status": version.status, "component_digest": version.component,
                "component_bytes": version.component_bytes, "plan": compiled.plan, "dropped": compiled.dropped, "unused_inputs": compiled.unused_inputs,
                "proof": compiled.proof, "summary": compiled.summary, "activation": standing.activation, "active_version": standing.active_version,
                "asks": standing.asks, "permission_diff": standing.permission_diff,
                "grants_proposed": made.proposals.iter().map(|proposal| proposal.view(true)).collect::<Vec<_>>(),
            })
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
                false => format!("{}An operator grants just that with: reprise grants approve {}\n", show::proposals(&proposals), shell(run.as_str())),
            };
            format!("{head}\n\n{}\n{approve}{note}{next}", show::compiled(compiled))
        },
    );
    Ok(exit::OK)
}
