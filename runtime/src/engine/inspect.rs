//! What a component may reach and does, in plain words: what a security reviewer signs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Engine;
use super::proposals::{self, GrantProposalView};
use crate::blocking;
use crate::compiler::plan::{Decision, Plan, Step};
use crate::compiler::template::Template;
use crate::compiler::{self, Reached, emit::Explained, words};
use crate::contract::{Effect, ToolId};
use crate::error::Result;
use crate::ids::Digest;
use crate::sandbox::{Imports, Playbook, Sandbox};
use crate::tools::Registry;

/// Everything there is to know of a component without running it.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// SHA-256 of the bytes.
    pub component_digest: Digest,
    /// Its size.
    pub component_bytes: usize,
    /// `plan`: it carries a plan, and its code is exactly what that plan compiles to. `false_plan`: it carries one
    /// that is not its code. `none`: it was written by hand or elsewhere.
    pub explained_by: &'static str,
    /// What is wrong with a false plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_fault: Option<String>,
    /// Every import, and what it allows. There is nothing else.
    pub imports: Vec<ImportLine>,
    /// What it can never do, since no import gives it.
    pub cannot: Vec<&'static str>,
    /// Directories by the grant name under which the plan expects them, with `ro` or `rw`.
    pub grants_needed: BTreeMap<String, &'static str>,
    /// The narrowest grants that cover what its plan names; where its directories lie, only an operator knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants_proposed: Vec<GrantProposalView>,
    /// Every step that can change something, in order. There is no other where a plan explains the component.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeLine>,
    /// What the source run was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// The input's JSON Schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<serde_json::Value>,
    /// The tools it calls, in order, each followed by the one that undoes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepLine>,
    /// What it does in words, set in by two spaces where a line belongs to one above; none where it is no more than its steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outline: Vec<String>,
    /// The playbooks that it starts, as jobs of their own with imports of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<String>,
    /// The times, signals and people that it waits for, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<String>,
    /// What it gives back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// One import in words.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ImportLine {
    /// As the component names it.
    pub import: String,
    /// What it allows.
    pub allows: String,
    /// What repeating a call does; none for what is no tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// True where it can change something outside.
    pub changes: bool,
    /// What to know before it is granted on this machine; absent where all is as documented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// One step that can change something.
#[derive(Debug, Clone, Serialize)]
pub struct ChangeLine {
    /// The step's id.
    pub step: String,
    /// The tool it calls.
    pub tool: ToolId,
    /// The file, as the plan makes its name; none where the plan does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// True where the job's input or an earlier answer is part of the name.
    pub chosen_at_run: bool,
}

/// One step in words.
#[derive(Debug, Clone, Serialize)]
pub struct StepLine {
    /// The step's id.
    pub id: String,
    /// The tool it calls.
    pub tool: ToolId,
    /// What repeating the call does.
    pub effect: Effect,
    /// The input, with `input.name` for parameters and `s1/pointer` for earlier answers.
    pub input: String,
    /// Why each part is what it is.
    pub decisions: Vec<Decision>,
}

impl Engine {
    /// Inspects a component's bytes without running or keeping it.
    ///
    /// # Errors
    /// As [`Engine::upload`], for what it imports and exports.
    pub async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspection> {
        let _place = self.admission().await;
        let (sandbox, tools) = (self.sandbox.clone(), self.tools.clone());
        blocking::run(move || inspect(&sandbox, &tools, bytes)).await
    }

    /// What a stored component may reach, in words. There is nothing else.
    ///
    /// # Errors
    /// As [`Engine::component`].
    pub async fn imports(&self, component: Digest) -> Result<Vec<ImportLine>> {
        Ok(import_lines(self.loaded(component).await?.imports(), &self.tools))
    }

    pub(super) async fn loaded(&self, component: Digest) -> Result<Playbook> {
        if let Some(playbook) = self.sandbox.ready(&component) {
            return Ok(playbook);
        }
        let (sandbox, tools, store) = (self.sandbox.clone(), self.tools.clone(), self.store.clone());
        blocking::run(move || sandbox.load(&component, |tool| tools.get(tool).is_some(), || store.blobs().get(&component))).await
    }

    pub(super) fn words(&self, tool: &ToolId) -> Option<(String, Effect)> {
        self.tools.get(tool).map(|info| (info.words.to_string(), info.effect))
    }
}

/// As [`Engine::inspect`], without a data directory.
///
/// # Errors
/// As [`Engine::inspect`].
pub async fn inspect_file(bytes: Vec<u8>) -> Result<Inspection> {
    blocking::run(move || inspect(&Sandbox::new(None)?, &Registry::builtin(), bytes)).await
}

fn inspect(sandbox: &Sandbox, tools: &Registry, bytes: Vec<u8>) -> Result<Inspection> {
    let digest = Digest::of(&bytes);
    let explained = compiler::explain(&bytes, tools);
    let component_bytes = bytes.len();
    let playbook = sandbox.load(&digest, |tool| tools.get(tool).is_some(), || Ok(bytes))?;
    Ok(described(digest, component_bytes, explained, playbook.imports(), tools))
}

fn described(digest: Digest, component_bytes: usize, explained: Explained, imports: &Imports, tools: &Registry) -> Inspection {
    let mut inspection = Inspection {
        component_digest: digest,
        component_bytes,
        explained_by: "none",
        plan_fault: None,
        imports: import_lines(imports, tools),
        cannot: cannot(imports),
        grants_needed: BTreeMap::new(),
        grants_proposed: Vec::new(),
        changes: Vec::new(),
        goal: None,
        input_schema: None,
        steps: Vec::new(),
        outline: Vec::new(),
        starts: Vec::new(),
        waits: Vec::new(),
        output: None,
    };
    match explained {
        Explained::Not => {}
        Explained::Falsely(fault) => {
            inspection.explained_by = "false_plan";
            inspection.plan_fault = Some(fault);
        }
        Explained::ByPlan(plan) => {
            inspection.explained_by = "plan";
            inspection.grants_needed = grants_needed(&plan);
            let proposed = proposals::propose(&Reached::of_plan(&plan), &proposals::Known::nothing());
            inspection.grants_proposed = proposed.iter().map(|proposal| proposal.view(false)).collect();
            inspection.changes = plan.steps().filter(|step| !step.effect.touches_nothing()).map(change).collect();
            inspection.goal = Some(plan.goal.clone());
            inspection.input_schema = Some(plan.input_schema());
            inspection.output = Some(plan.output.to_string());
            let line = |step: &Step| StepLine {
                id: step.id.clone(),
                tool: step.tool.clone(),
                effect: step.effect,
                input: step.input.to_string(),
                decisions: step.decisions.clone(),
            };
            inspection.steps = plan.steps().map(line).collect();
            if !plan.is_straight() {
                inspection.outline = words::outline(&plan).iter().map(|line| format!("{}{}", "  ".repeat(line.level), line.text)).collect();
            }
            inspection.starts = plan.playbooks().into_iter().map(str::to_owned).collect();
            inspection.waits = words::waits(&plan);
        }
    }
    inspection
}

pub(super) fn import_lines(imports: &Imports, tools: &Registry) -> Vec<ImportLine> {
    let plain = |import: &str, allows: &str| {
        let (import, allows) = (import.to_owned(), allows.to_owned());
        ImportLine { import, allows, effect: None, changes: false, warning: None }
    };
    let tool = |tool: &ToolId| {
        let info = tools.get(tool);
        let allows = info
            .as_ref()
            .map_or("asks an agent outside to do it; what that agent does, and where, nothing here bounds", |info| &info.words);
        let effect = info.as_ref().map_or(Effect::Once, |info| info.effect);
        let warning = info.as_ref().and_then(|info| info.warning.as_ref()).map(ToString::to_string);
        ImportLine { effect: Some(effect), changes: !effect.touches_nothing(), warning, ..plain(&tool.import_name(), allows) }
    };
    let flow = imports.flow.iter().map(|function| match function.as_str() {
        "step" => plain("flow.step", "names the step that follows, in the journal"),
        "step-with" => plain("flow.step-with", "names the step that follows, and says how often and how long it is tried"),
        "sleep" => plain("flow.sleep", "waits for a time"),
        "wait-signal" => plain("flow.wait-signal", "waits for a signal, and reads what it carries"),
        "approve" => plain("flow.approve", "asks a person to approve what it shows"),
        "branch" => plain("flow.branch", "asks which part of itself this job is to do"),
        "start-branch" => plain("flow.start-branch", "starts another part of itself as a job beside this one, with the same grants"),
        "start-playbook" => ImportLine {
            changes: true,
            ..plain("flow.start-playbook", "starts another playbook as a job; what that may reach is in that playbook's own imports")
        },
        "join" | "first" => plain(&format!("flow.{function}"), "waits for a job that it started to end"),
        "cancel-child" => plain("flow.cancel-child", "asks for a job that it started to be cancelled"),
        "compensate" => plain("flow.compensate", "says that it undoes what it did"),
        "now" => plain("flow.now", "reads the time; the journal keeps what it got"),
        "random-u64" => plain("flow.random-u64", "asks for a random number; the journal keeps what it got"),
        _ => plain(&format!("flow.{function}"), "writes a line to the log"),
    });
    let data =
        (!imports.data.is_empty()).then(|| plain(&format!("data.{}", imports.data.join(", data.")), "computes with JSON; reaches nothing"));
    let checks =
        imports.checks.then(|| plain("checks.require", "asks whether what its steps need is there, within the job's grants alone"));
    imports.tools.iter().map(tool).chain(flow).chain(data).chain(checks).collect()
}

/// Namespaces of tools of which it is known here what they reach.
const BUILT_IN: [&str; 4] = ["exec", "fs", "http", "kv"];

/// What no import gives. Said of what exists at all, so that a reviewer need not know the product. Where an agent
/// outside or a component is asked to act, or another playbook is started, nothing is said of what that one can do.
fn cannot(imports: &Imports) -> Vec<&'static str> {
    let has = |namespace: &str| imports.tools.iter().any(|tool| tool.namespace() == namespace);
    // A program reaches what its walls let it reach, and says so in its own line.
    let sees = has("fs") || has("exec");
    let writes = imports.tools.iter().any(|tool| tool.namespace() == "fs" && !matches!(tool.name(), "read" | "list"));
    let flow = |function: &str| imports.flow.iter().any(|f| f == function);
    let alone = imports.tools.iter().all(|tool| BUILT_IN.contains(&tool.namespace())) && !flow("start-playbook");
    let all = [
        (alone && !has("http") && !has("exec"), "open a network connection"),
        (alone && !has("exec"), "start a program"),
        (alone && !sees && !imports.checks, "see any file"),
        (alone && !sees && imports.checks, "see of a file more than whether it is there"),
        (alone && has("fs") && !has("exec") && !writes, "change any file"),
        (alone && has("fs") && !has("exec"), "see a file outside the directories granted to the job"),
        (alone && !flow("approve"), "ask an agent or a person to act"),
        (alone && !imports.checks, "read environment variables or secrets"),
        (alone && imports.checks, "read environment variables or secrets; it can ask whether a granted variable has a value"),
        (!flow("now"), "read the clock"),
        (!flow("random-u64"), "get a random number"),
        (true, "call a tool that is not in the list above"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, what)| what).collect()
}

fn change(step: &Step) -> ChangeLine {
    let path = step.input.field("path").filter(|_| step.tool.namespace() == "fs");
    ChangeLine {
        step: step.id.clone(),
        tool: step.tool.clone(),
        path: path.as_ref().map(ToString::to_string),
        chosen_at_run: path.is_none_or(|path| !path.is_constant()),
    }
}

/// The first word of each path that the plan names, and whether something is changed below it. Where a step changes what only the
/// job finds, such as each file of a list, it may lie below any of them.
pub(super) fn grants_needed(plan: &Plan) -> BTreeMap<String, &'static str> {
    let mut reads = BTreeSet::new();
    let mut writes = BTreeSet::new();
    let mut changes_what_it_finds = false;
    for step in plan.steps().filter(|step| step.tool.namespace() == "fs") {
        match (step.input.field("path").and_then(grant_name), step.effect.touches_nothing()) {
            (Some(name), true) => drop(reads.insert(name)),
            (Some(name), false) => drop(writes.insert(name)),
            (None, looks) => changes_what_it_finds |= !looks,
        }
    }
    if changes_what_it_finds {
        writes.extend(reads.iter().cloned());
    }
    let reads = reads.into_iter().map(|name| (name, "ro"));
    reads.chain(writes.into_iter().map(|name| (name, "rw"))).collect()
}

/// The name of the grant that a path begins with; none where it is known only when a job runs.
fn grant_name(path: Template) -> Option<String> {
    let whole = path.is_constant();
    let text = path.leading_text()?;
    let mut parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    // No grant makes an absolute path one that a job can see.
    let name = parts.next().filter(|_| !text.starts_with('/'))?;
    // `"pro" + input.x` may come to any name that begins so.
    (whole || text.trim_start_matches(['.', '/']).contains('/')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cannot_with(tools: &[&str]) -> Vec<&'static str> {
        cannot(&Imports { tools: tools.iter().map(|tool| ToolId::parse(tool).unwrap()).collect(), ..Imports::default() })
    }

    #[test]
    fn nothing_is_denied_of_a_playbook_that_its_tools_can_do_for_it() {
        let (file, files, network) = ("see any file", "see a file outside the directories granted to the job", "open a network connection");
        let program = "start a program";
        for (tools, can, cannot) in [
            (&["kv/get"][..], &[][..], &[file, network, program][..]),
            (&["fs/read"], &[file], &[files, network, program, "change any file"]),
            (&["http/get"], &[network], &[file, program]),
            (&["exec/run"], &[file, files, network, program], &["read environment variables or secrets"]),
            (&["exec/run", "fs/read"], &[file, files, network, program, "change any file"], &[]),
            // Of a component's tools, nothing is known here.
            (
                &["search/find"],
                &[file, files, network, program, "read environment variables or secrets"],
                &["call a tool that is not in the list above"],
            ),
            (&["agent/edit"], &[file, network, program, "ask an agent or a person to act"], &[]),
        ] {
            let said = cannot_with(tools);
            assert!(can.iter().all(|what| !said.contains(what)), "{tools:?}: {said:?}");
            assert!(cannot.iter().all(|what| said.contains(what)), "{tools:?}: {said:?}");
        }
    }
}
