//! Exported functions as tools: their names, and their schemas from their types.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

use crate::error::{Code, Error, Issue, Result};
use crate::limits;
use crate::sandbox::values::{Shape, Signature};

/// A function that can be called as a tool.
pub struct Function {
    /// In lower case; unique within the component.
    pub name: String,
    /// As WIT has it: `docs:adder/add@0.1.0#add`.
    pub export: String,
    /// JSON Schema of an object with the parameters.
    pub input_schema: Value,
    /// JSON Schema of the result.
    pub output_schema: Value,
    pub(super) index: ComponentExportIndex,
    pub(super) signature: Signature,
}

/// Where a function stands.
struct Found {
    interface: Option<String>,
    name: String,
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

/// What can be a tool, sorted by name, and what cannot.
///
/// # Errors
/// `no_tools` where there are more than a component may provide, before any of their types is read: each may be as large as
/// a type may be, and a component of a few kilobytes can export one function under thousands of names.
pub(super) fn exported(engine: &Engine, component: &Component) -> Result<(Vec<Function>, Vec<Issue>)> {
    let found = found(engine, component);
    if found.len() > limits::TOOLS_PER_COMPONENT_MAX {
        let message = format!("the component exports {} functions; at most {} are taken", found.len(), limits::TOOLS_PER_COMPONENT_MAX);
        return Err(Error::new(Code::NoTools, message));
    }
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for function in &found {
        *times.entry(function.name.to_ascii_lowercase()).or_default() += 1;
    }
    let (mut functions, mut refused) = (BTreeMap::new(), Vec::new());
    for function in found {
        let export = match &function.interface {
            Some(interface) => format!("{interface}#{}", function.name),
            None => function.name.clone(),
        };
        let plain = function.name.to_ascii_lowercase();
        let name = match &function.interface {
            Some(interface) if times[&plain] > 1 => format!("{}-{plain}", short(interface)),
            _ => plain,
        };
        match tool(name, export.clone(), function) {
            // Two versions of one interface: the later name stands, and the other is said to be left out.
            Ok(tool) if functions.contains_key(&tool.name) => {
                refused.push(Issue { path: export, message: format!("another function is the tool {}", tool.name) });
            }
            Ok(tool) => {
                functions.insert(tool.name.clone(), tool);
            }
            Err(issue) => refused.push(issue),
        }
    }
    Ok((functions.into_values().collect(), refused))
}

fn found(engine: &Engine, component: &Component) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => {
                let index = component.get_export_index(None, name).expect("it is exported");
                found.push(Found { interface: None, name: name.to_owned(), index, ty });
            }
            ComponentItem::ComponentInstance(instance) => {
                let interface = component.get_export_index(None, name).expect("it is exported");
                for (function, item) in instance.exports(engine) {
                    let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
                    let index = component.get_export_index(Some(&interface), function).expect("it is exported");
                    found.push(Found { interface: Some(name.to_owned()), name: function.to_owned(), index, ty });
                }
            }
            _ => {}
        }
    }
    found
}

/// `add` of `docs:adder/add@0.1.0`.
fn short(interface: &str) -> String {
    let unversioned = interface.split('@').next().unwrap_or(interface);
    unversioned.rsplit(['/', ':']).next().unwrap_or(unversioned).to_ascii_lowercase()
}

fn tool(name: String, export: String, found: Found) -> std::result::Result<Function, Issue> {
    if found.name.starts_with('[') {
        let message = "belongs to a resource, which JSON cannot name, and which would not outlive the call that made it";
        return Err(Issue { path: export, message: message.to_owned() });
    }
    let signature = Signature::of(&export, &found.ty)?;
    // A `result` is the function's own success or failure: the tool's output is what it succeeds with.
    let output_schema = match &signature.returns {
        None => nothing(),
        Some(Shape::Result(ok, _)) => ok.as_ref().map_or_else(nothing, |shape| shape.schema()),
        Some(shape) => shape.schema(),
    };
    let input_schema = signature.input_schema();
    for (which, schema) in [("input", &input_schema), ("output", &output_schema)] {
        let bytes = schema.to_string().len();
        if bytes > limits::SCHEMA_BYTES_MAX {
            let message = format!("has an {which} whose JSON Schema takes {bytes} bytes; at most {}", limits::SCHEMA_BYTES_MAX);
            return Err(Issue { path: export, message });
        }
    }
    Ok(Function { name, export, input_schema, output_schema, index: found.index, signature })
}

fn nothing() -> Value {
    json!({ "type": "null" })
}
