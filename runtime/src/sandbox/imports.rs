//! What a component imports, read from its types, and whether the host can satisfy it.

use std::collections::BTreeMap;

use wasmparser::Payload;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};

use crate::contract::ToolId;
use crate::error::Issue;

/// The interface that every playbook exports.
pub const PLAYBOOK: &str = "reprise:playbook/playbook@0.1.0";
/// Steps, clock, randomness, log: recorded in the journal, reaches nothing.
pub const FLOW: &str = "reprise:playbook/flow@0.1.0";
/// Pure functions over JSON: reaches nothing.
pub const DATA: &str = "reprise:playbook/data@0.1.0";
/// What is asked of the world and of answers: recorded in the journal, sees what the job's grants cover.
pub const CHECKS: &str = "reprise:playbook/checks@0.1.0";
/// Only types.
pub const TYPES: &str = "reprise:playbook/types@0.1.0";

/// The functions of `flow` that this version provides.
const FLOW_FUNCTIONS: [&str; 15] = [
    "step",
    "step-with",
    "sleep",
    "wait-signal",
    "approve",
    "branch",
    "start-branch",
    "start-playbook",
    "join",
    "first",
    "cancel-child",
    "compensate",
    "now",
    "random-u64",
    "log",
];
const CHECKS_FUNCTIONS: [&str; 1] = ["require"];
const DATA_FUNCTIONS: [&str; 5] = ["select", "text", "quote", "check", "derive"];

/// Everything that a component may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imports {
    /// The tools it may call.
    pub tools: Vec<ToolId>,
    /// The functions of `flow` it uses.
    pub flow: Vec<String>,
    /// The functions of `data` it uses.
    pub data: Vec<String>,
    /// True where it asks for checks.
    pub checks: bool,
}

/// Sorts a component's imports into what the host provides and what is missing.
pub(super) fn sort(engine: &Engine, component: &Component, provides: impl Fn(&ToolId) -> bool) -> Result<Imports, Vec<Issue>> {
    let mut imports = Imports::default();
    let mut missing = Vec::new();
    let mut lack = |name: &str, message: String| missing.push(Issue { path: name.to_owned(), message });
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            if !matches!(item.ty, ComponentItem::Type(_) | ComponentItem::Resource(_)) {
                lack(name, "is imported directly; the host provides interfaces only".to_owned());
            }
            continue;
        };
        let functions = functions_of(engine, &instance);
        match name {
            TYPES if functions.is_empty() => {}
            FLOW => {
                for f in &functions {
                    if !FLOW_FUNCTIONS.contains(&f.as_str()) {
                        lack(&format!("{name}#{f}"), format!("flow has no such function; it has {}", FLOW_FUNCTIONS.join(", ")));
                    }
                }
                imports.flow = functions;
            }
            DATA => {
                for f in functions.iter().filter(|f| !DATA_FUNCTIONS.contains(&f.as_str())) {
                    lack(&format!("{name}#{f}"), format!("data has no such function; it has {}", DATA_FUNCTIONS.join(", ")));
                }
                imports.data = functions;
            }
            CHECKS => {
                for f in functions.iter().filter(|f| !CHECKS_FUNCTIONS.contains(&f.as_str())) {
                    lack(&format!("{name}#{f}"), format!("checks has no such function; it has {}", CHECKS_FUNCTIONS.join(", ")));
                }
                imports.checks = !functions.is_empty();
            }
            _ => match ToolId::from_import(name) {
                Some(tool) if functions != ["call"] => lack(
                    name,
                    format!(
                        "a tool has one function, call: func(input: json) -> result<json, tool-error>; {tool} is imported with {functions:?}"
                    ),
                ),
                Some(tool) if !tool.is_external() && !provides(&tool) => {
                    lack(name, format!("no tool {tool} here; `reprise tools list` shows what there is"));
                }
                Some(tool) => imports.tools.push(tool),
                None if name.starts_with("wasi:") => {
                    lack(name, "playbooks get no WASI: what they reach, they reach through the tools they import".to_owned());
                }
                None => lack(name, format!("the host provides {FLOW}, {DATA}, {CHECKS} and tool:<namespace>/<name>")),
            },
        }
    }
    imports.tools.sort();
    if missing.is_empty() { Ok(imports) } else { Err(missing) }
}

/// True where these bytes are a component that does not export the playbook interface, as far as its outermost layer is readable.
#[must_use]
pub fn is_no_playbook(bytes: &[u8]) -> bool {
    wasmparser::Parser::is_component(bytes) && !names_playbook(bytes)
}

fn names_playbook(bytes: &[u8]) -> bool {
    let mut within = 0_usize;
    for payload in wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => within += 1,
            Payload::End(_) => within = within.saturating_sub(1),
            Payload::ComponentExportSection(exports)
                if within == 0 && exports.clone().into_iter().map_while(Result::ok).any(|export| export.name.name == PLAYBOOK) =>
            {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// True where the component exports the playbook interface with `run`.
pub(super) fn exports_run(component: &Component) -> bool {
    component.get_export_index(None, PLAYBOOK).is_some_and(|interface| component.get_export_index(Some(&interface), "run").is_some())
}

/// Import names of tools, as the linker wants them.
pub(super) fn by_import_name(imports: &Imports) -> BTreeMap<String, ToolId> {
    imports.tools.iter().map(|tool| (tool.import_name(), tool.clone())).collect()
}

fn functions_of(engine: &Engine, instance: &ComponentInstance) -> Vec<String> {
    instance.exports(engine).filter(|(_, e)| matches!(e.ty, ComponentItem::ComponentFunc(_))).map(|(name, _)| name.to_owned()).collect()
}
