//! What a tool component imports, and what it asks for by that.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::Issue;

/// A kind of reach that a component asks for by importing an interface. Asking gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// `wasi:filesystem`
    Files,
    /// `wasi:http`
    Web,
    /// `wasi:cli/environment`
    Environment,
    /// `wasi:clocks`
    Clock,
    /// `wasi:random`
    Randomness,
    /// `wasi:keyvalue`
    KeyValue,
    /// `wasi:config`
    Configuration,
}

/// What the import of one interface asks for.
enum Import {
    Asks(Capability),
    /// Reaches nothing: streams, the log, the end of the program.
    Free,
}

/// Sorts a component's imports.
///
/// # Errors
/// Each import that a tool cannot have.
pub(super) fn asks(engine: &Engine, component: &Component) -> Result<BTreeSet<Capability>, Vec<Issue>> {
    let mut asks = BTreeSet::new();
    let mut missing = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        match &item.ty {
            ComponentItem::ComponentInstance(_) => match import(name) {
                Ok(Import::Asks(ask)) => {
                    asks.insert(ask);
                }
                Ok(Import::Free) => {}
                Err(message) => missing.push(Issue { path: name.to_owned(), message }),
            },
            ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
            _ => {
                let message = "is imported directly; the host provides interfaces only".to_owned();
                missing.push(Issue { path: name.to_owned(), message });
            }
        }
    }
    if missing.is_empty() { Ok(asks) } else { Err(missing) }
}

fn import(name: &str) -> Result<Import, String> {
    let interface = name.split('@').next().unwrap_or(name);
    let Some((package, part)) = interface.split_once('/') else {
        return Err("is not an interface; tools import interfaces of WASI 0.2 only".to_owned());
    };
    Ok(match package {
        "wasi:io" | "wasi:logging" => Import::Free,
        // Sockets are there, so that programs which name them start; none is ever opened.
        "wasi:sockets" => Import::Free,
        "wasi:cli" if part == "environment" => Import::Asks(Capability::Environment),
        "wasi:cli" => Import::Free,
        "wasi:config" => Import::Asks(Capability::Configuration),
        "wasi:filesystem" => Import::Asks(Capability::Files),
        "wasi:clocks" => Import::Asks(Capability::Clock),
        "wasi:random" => Import::Asks(Capability::Randomness),
        "wasi:http" if part == "incoming-handler" => return Err("a tool does not take requests".to_owned()),
        "wasi:http" => Import::Asks(Capability::Web),
        "wasi:keyvalue" => Import::Asks(Capability::KeyValue),
        "reprise:playbook" if part == "types" => Import::Free,
        "reprise:playbook" => return Err("belongs to playbooks; a tool has no steps, waits or children".to_owned()),
        _ if name.starts_with("tool:") => {
            return Err("a tool calls no tools, so that none can call its caller; a playbook calls them one after the other".to_owned());
        }
        _ => return Err("nothing here provides it; tools import interfaces of WASI 0.2 only".to_owned()),
    })
}
