//! Plans, proofs and components in words.

use std::fmt::Write as _;

use super::output::{count, printable, shell, table};
use crate::compiler::plan::{Decision, DecisionKind, Plan};
use crate::compiler::{CameTo, Compiled, HeldOut, OpenQuestion, PERHAPS};
use crate::contract::Effect;
use crate::engine::{GrantProposalView, Inspection, Standing};
use crate::ids::PlaybookId;
use crate::limits;
use crate::tools::asks::Activation;

/// What the compiler decided, and why.
pub(super) fn compiled(compiled: &Compiled) -> String {
    let mut text = String::new();
    text.push_str(&parameters(&compiled.plan));
    text.push_str(&steps(&compiled.plan));
    for dropped in &compiled.dropped {
        let _ = writeln!(text, "  left out {} {}: {}", dropped.step, dropped.tool, printable(&dropped.reason));
    }
    for hint in compiled.summary.value()["recommendations"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  note: {}", printable(hint.as_str().unwrap_or_default()));
    }
    let _ =
        writeln!(text, "Proved: the component makes the {} of the recording with byte-equal inputs.", count(compiled.proof.calls, "call"));
    for fallback in &compiled.proof.fallbacks {
        let _ = writeln!(text, "  {}{} became literal: {}", fallback.step, fallback.at, printable(&fallback.reason));
    }
    text
}

/// What several runs do not decide, and how a plan does with a run that it was not learned from.
pub(super) fn learned(runs: &[String], questions: &[OpenQuestion], held_out: &[HeldOut], not_held_out: Option<&str>) -> String {
    let mut text = String::new();
    if runs.len() > 1 {
        let _ = writeln!(text, "Learned from {} runs: {}.", runs.len(), runs.join(" "));
    }
    for OpenQuestion { step, at, question } in questions {
        let _ = writeln!(text, "  open: {step}{at} {}", printable(question));
    }
    if !held_out.is_empty() {
        let same = held_out.iter().filter(|run| run.came_to == CameTo::Same).count();
        let _ = writeln!(text, "Left out in turn, {same} of {} runs came out the same:", held_out.len());
    }
    if let Some(why) = not_held_out {
        let _ = writeln!(text, "No run was left out in turn: {why}.");
    }
    for HeldOut { run_id, came_to, why } in held_out {
        let word = match came_to {
            CameTo::Same => "the same",
            CameTo::Refused => "refused",
            CameTo::Different => "different",
        };
        let _ = writeln!(text, "  {run_id}: {word}{}{}", if why.is_empty() { "" } else { ", " }, printable(why));
    }
    text
}

pub(super) fn parameters(plan: &Plan) -> String {
    let mut text = String::from("Input:\n");
    if plan.parameters.is_empty() {
        text.push_str("  none; it does the same each time\n");
    }
    for parameter in &plan.parameters {
        let schema = parameter.schema.value();
        let _ =
            writeln!(text, "  {} ({}), {} in the recording", parameter.name, schema["type"].as_str().unwrap_or("any"), parameter.sample);
    }
    text
}

/// One line a step, and below it why each part that is not constant is what it is; `--json` has the reasons of
/// constants too.
pub(super) fn steps(plan: &Plan) -> String {
    let mut text = String::from("Steps:\n");
    for step in plan.steps() {
        let recorded = step.recorded_as.as_ref().map(|name| format!(", recorded as {name:?}")).unwrap_or_default();
        let _ = writeln!(text, "  {} {} ({}{recorded}) {}", step.id, step.tool, step.effect, short(&step.input.to_string()));
        text.push_str(&reasons(&step.decisions));
    }
    text
}

fn reasons(decisions: &[Decision]) -> String {
    let mut text = String::new();
    for decision in decisions.iter().filter(|d| d.kind != DecisionKind::Constant || d.reason.starts_with(PERHAPS)) {
        let _ = writeln!(text, "       {} {}", decision.at, printable(&decision.reason));
    }
    text
}

fn short(text: &str) -> String {
    const CHARS: usize = 300;
    let text = printable(text);
    match text.char_indices().nth(CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The narrowest grants that cover what was done, a line each.
pub(super) fn proposals(proposals: &[GrantProposalView]) -> String {
    if proposals.is_empty() {
        return String::new();
    }
    let mut text = String::from("The narrowest grants that cover it:\n");
    for proposal in proposals {
        let _ = writeln!(text, "  {}: {}", proposal.name, printable(&proposal.words));
    }
    text
}

/// The version as a command takes it: by its number where it is not the one that runs.
pub(super) fn named(id: &PlaybookId, version: u32, standing: &Standing) -> String {
    match standing.activation {
        Activation::Active => id.to_string(),
        _ => format!("{id}@{version}"),
    }
}

/// How a version stands beside the one that runs; empty where it is the one.
pub(super) fn standing_note(id: &PlaybookId, version: u32, standing: &Standing) -> String {
    let active = standing.active_version;
    let mut text = match standing.activation {
        Activation::Active => return String::new(),
        Activation::Inactive => format!("It is not active: where no version is named, version {active} runs.\n"),
        Activation::NeedsApproval => {
            format!("NOT ACTIVE: it asks for more than version {active}, which goes on running where no version is named.\n")
        }
    };
    for (sign, asks) in [("+", &standing.permission_diff.added), ("-", &standing.permission_diff.removed)] {
        for ask in asks {
            let _ = writeln!(text, "  {sign} {}", printable(ask));
        }
    }
    let _ = writeln!(text, "An operator makes it active with: reprise playbooks activate {}", shell(&named(id, version, standing)));
    text
}

/// What a security reviewer signs.
pub(super) fn inspection(inspection: &Inspection) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "Component  sha256 {}, {} bytes", inspection.component_digest, inspection.component_bytes);
    let source = match (inspection.explained_by, &inspection.plan_fault) {
        ("plan", _) => "compiled from a plan it carries; checked: compiling that plan again gives exactly these bytes".to_owned(),
        (_, Some(fault)) => {
            format!("WARNING: it carries a plan that is not what its code does ({fault}); only the imports below are certain")
        }
        _ => "written by hand or elsewhere; it carries no plan, so the imports below are all that is known of it".to_owned(),
    };
    let _ = writeln!(text, "Origin     {source}");
    if let Some(goal) = &inspection.goal {
        let _ = writeln!(text, "Made for   {}", printable(goal));
    }
    text.push_str(&reach(inspection));
    text.push_str(&needs(inspection));
    text.push_str(&proposals(&inspection.grants_proposed));
    text.push_str(&changes(inspection));
    text.push_str(&standing(inspection));
    text.push_str(&doing(inspection));
    if let Some(output) = &inspection.output {
        let _ = writeln!(text, "It returns {}", short(output));
    }
    text
}

/// What it does, in order.
fn doing(inspection: &Inspection) -> String {
    let mut text = String::new();
    if !inspection.outline.is_empty() {
        text.push_str("\nIt does this, in this order, and stops at the first error for which nothing else is said:\n");
        for line in &inspection.outline {
            let _ = writeln!(text, "  {}", short(line));
        }
        return text;
    }
    if !inspection.steps.is_empty() {
        text.push_str("\nIt does this, in this order, and stops at the first error:\n");
    }
    for step in &inspection.steps {
        let _ = writeln!(text, "  {} {} ({}) {}", step.id, step.tool, step.effect, short(&step.input));
        text.push_str(&reasons(&step.decisions));
    }
    text
}

/// Whom and what it waits for, and which jobs it starts.
fn standing(inspection: &Inspection) -> String {
    let mut text = String::new();
    if !inspection.waits.is_empty() {
        text.push_str("\nIt waits, without being held in memory:\n");
        for wait in &inspection.waits {
            let _ = writeln!(text, "  {}", short(wait));
        }
    }
    if !inspection.starts.is_empty() {
        text.push_str("\nIt starts these playbooks, in the version that is active then; inspect each:\n");
        for playbook in &inspection.starts {
            let _ = writeln!(text, "  {}", printable(playbook));
        }
    }
    text
}

fn reach(inspection: &Inspection) -> String {
    let mut text = String::from("\nIt may reach this, and nothing else:\n");
    let rows = inspection.imports.iter().map(|i| {
        let effect = i.effect.map(|e| e.to_string()).unwrap_or_default();
        [i.import.clone(), i.allows.clone(), if i.changes { "yes" } else { "no" }.to_owned(), effect]
    });
    let _ = writeln!(text, "{}", table(["import", "allows", "changes something", "effect"], rows));
    let has = |effect| inspection.imports.iter().any(|import| import.effect == Some(effect));
    for (effect, meaning) in [
        (Effect::Idempotent, "after a crash a call is repeated under the same key, and its effect is there once"),
        (Effect::Once, "after a crash in the middle of a call it is not repeated; the job stands until someone has looked"),
    ] {
        if has(effect) {
            let _ = writeln!(text, "  {effect}: {meaning}");
        }
    }
    for (import, warning) in inspection.imports.iter().filter_map(|i| Some((&i.import, i.warning.as_ref()?))) {
        let _ = writeln!(text, "  WARNING about {import}: {}", printable(warning));
    }
    text.push_str("It cannot, since nothing it imports allows it:\n");
    for cannot in &inspection.cannot {
        let _ = writeln!(text, "  - {cannot}");
    }
    let mib = limits::GUEST_MEMORY_BYTES_MAX / 1024 / 1024;
    let _ = writeln!(
        text,
        "It is stopped at {} of fuel (about a second of computing), {mib} MiB of memory or {} journal entries.",
        limits::JOB_FUEL,
        limits::JOURNAL_ENTRIES_MAX
    );
    text
}

/// What it has to be given.
fn needs(inspection: &Inspection) -> String {
    let mut text = String::new();
    if !inspection.grants_needed.is_empty() {
        text.push_str("\nGrants it needs (the operator names the directory; the component sees only the name):\n");
        for (name, access) in &inspection.grants_needed {
            let (suffix, words) = if *access == "ro" { (":ro", "read") } else { ("", "read and write") };
            let _ = writeln!(text, "  {}: {words}, for example --grant fs:{}=DIR{suffix}", printable(name), printable(name));
        }
    }
    if let Some(schema) = &inspection.input_schema {
        text.push_str("\nInput, which whoever starts a job chooses (nothing else is taken):\n");
        let fields = schema["properties"].as_object();
        for (name, schema) in fields.into_iter().flatten() {
            let _ = writeln!(text, "  {}: {}", printable(name), short(&schema.to_string()));
        }
        if fields.is_none_or(serde_json::Map::is_empty) {
            text.push_str("  none\n");
        }
    }
    text
}

/// What a plan says that it changes; a component without one may do whatever its imports allow.
fn changes(inspection: &Inspection) -> String {
    if inspection.explained_by != "plan" {
        return String::new();
    }
    if inspection.changes.is_empty() {
        let itself = if inspection.starts.is_empty() { "" } else { " itself" };
        return format!("\nIt changes nothing{itself}.\n");
    }
    let mut text = String::new();
    let (outside, own): (Vec<_>, Vec<_>) = inspection.changes.iter().partition(|change| change.tool.is_external());
    if !own.is_empty() {
        text.push_str("\nIt changes these files below its grants, and no other:\n");
    }
    for change in &own {
        let what = change.path.as_deref().map_or_else(|| "known only when a job runs".to_owned(), short);
        let mark = if change.chosen_at_run { "  <- not fixed" } else { "" };
        let _ = writeln!(text, "  {} {} {what}{mark}", change.step, change.tool);
    }
    if own.iter().any(|change| change.chosen_at_run) {
        text.push_str("  not fixed: the input or an earlier answer is part of it; it cannot leave the job's grants, whatever that says\n");
    }
    if !outside.is_empty() {
        text.push_str("\nIt asks an agent outside to act; what that agent does, and where, nothing here bounds:\n");
    }
    for change in &outside {
        let _ = writeln!(text, "  {} {}", change.step, change.tool);
    }
    text
}
