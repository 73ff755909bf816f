//! What a component offers, checked: names, one namespace, schemas that are schemas.

use serde_json::Value;

use super::Offered;
use crate::contract::{Effect, Namespace, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::json;
use crate::limits;
use crate::sandbox::{Described, Function, Provider};
use crate::tools::cut;
use crate::tools::tool::validator;

/// The namespace, and the tools in it, sorted by id.
pub(super) struct Offer {
    pub(super) namespace: Namespace,
    pub(super) tools: Vec<Offered>,
    /// Exported functions that are no tools, and why.
    pub(super) left_out: Vec<Issue>,
}

/// Of a component that describes itself.
///
/// # Errors
/// `no_tools` with every fault an issue; `invalid_request` where another namespace was asked for.
pub(super) fn described(asked: Option<&Namespace>, described: Vec<Described>) -> Result<Offer> {
    let mut tools: Vec<Offered> = Vec::new();
    let mut faults = Vec::new();
    if described.is_empty() || described.len() > limits::TOOLS_PER_COMPONENT_MAX {
        let message = format!("describe lists {} tools; a component provides 1 to {}", described.len(), limits::TOOLS_PER_COMPONENT_MAX);
        return Err(Error::new(Code::NoTools, message));
    }
    for info in described {
        let name: String = info.name.chars().take(limits::TOOL_NAME_CHARS_MAX).collect();
        match described_tool(info) {
            Ok(tool) if tools.iter().any(|other| other.id == tool.id) => {
                faults.push(Issue { path: name, message: "is described twice".to_owned() });
            }
            Ok(tool) => tools.push(tool),
            // What is wrong with it may repeat it, and it may be megabytes long.
            Err(message) => faults.push(Issue { path: name, message: cut(&message) }),
        }
    }
    if let Some(other) = tools.iter().find(|tool| tool.id.namespace() != tools[0].id.namespace()) {
        let message = format!("is in another namespace than {}; one component provides one namespace", tools[0].id);
        faults.push(Issue { path: other.id.to_string(), message });
    }
    if !faults.is_empty() {
        let each: Vec<String> = faults.iter().map(|i| format!("{:?} {}", i.path, i.message)).collect();
        return Err(
            Error::new(Code::NoTools, format!("what the component describes cannot be taken: {}", each.join("; "))).with_issues(faults)
        );
    }
    let namespace = tools[0].id.in_namespace();
    match asked {
        Some(asked) if *asked != namespace => {
            let message = format!("the component describes tools of {namespace} and not of {asked}; leave the namespace out");
            Err(Error::invalid("namespace", message))
        }
        _ => {
            tools.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(Offer { namespace, tools, left_out: Vec::new() })
        }
    }
}

fn described_tool(info: Described) -> Result<Offered, String> {
    let id = ToolId::parse(&info.name).map_err(|e| e.message)?;
    if info.description.chars().count() > limits::TEXT_CHARS_MAX {
        return Err(format!("has a description of more than {} characters", limits::TEXT_CHARS_MAX));
    }
    Ok(Offered {
        own_name: info.name,
        description: info.description,
        input_schema: schema("input-schema", &info.input_schema)?,
        output_schema: schema("output-schema", &info.output_schema)?,
        effect: info.effect,
        id,
    })
}

fn schema(which: &str, text: &str) -> Result<Value, String> {
    if text.len() > limits::SCHEMA_BYTES_MAX {
        return Err(format!("has an {which} of {} bytes; at most {}", text.len(), limits::SCHEMA_BYTES_MAX));
    }
    let schema = json::parse(text.as_bytes()).map_err(|e| format!("has an {which} that is not JSON: {e}"))?;
    validator(&schema).map_err(|e| format!("has an {which} that is no JSON Schema: {e}"))?;
    Ok(schema)
}

/// Of a component whose exported functions are its tools.
///
/// Such a component says nothing of effects: one that asks for nothing can do nothing but compute, and of any other one the
/// worst is assumed.
///
/// # Errors
/// `invalid_request` where no namespace was asked for and none follows from the exports; `no_tools`.
pub(super) fn exported(asked: Option<&Namespace>, provider: &Provider, functions: &[Function]) -> Result<Offer> {
    let namespace = match asked {
        Some(asked) => asked.clone(),
        None => functions.iter().find_map(|f| package(&f.export)).ok_or_else(|| {
            Error::invalid("namespace", "the component's functions stand in no package, so no namespace follows from them; name one")
        })?,
    };
    let effect = if provider.asks().is_empty() { Effect::Pure } else { Effect::Once };
    let mut left_out = provider.refused().to_vec();
    let mut tools = Vec::new();
    for function in functions {
        match ToolId::parse(&format!("{namespace}/{}", function.name)) {
            Ok(id) => tools.push(Offered {
                id,
                own_name: function.name.clone(),
                description: format!("The function {}.", function.export),
                input_schema: function.input_schema.clone(),
                output_schema: function.output_schema.clone(),
                effect,
            }),
            Err(e) => left_out.push(Issue { path: function.export.clone(), message: e.message }),
        }
    }
    if tools.is_empty() {
        let message = format!("no exported function can be a tool of {namespace}");
        return Err(Error::new(Code::NoTools, message).with_issues(left_out));
    }
    Ok(Offer { namespace, tools, left_out })
}

/// `adder` of `docs:adder/add@0.1.0#add`.
fn package(export: &str) -> Option<Namespace> {
    let (interface, _) = export.split_once('#')?;
    let (package, _) = interface.split_once('/')?;
    package.split_once(':').and_then(|(_, name)| Namespace::parse(name).ok())
}
