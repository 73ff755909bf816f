//! Components that provide tools: load, describe, call.
//!
//! Its job: find what a component offers, and perform one call of it in a store of its own. It does not know grants:
//! what a call may reach is handed in as [`Reach`]. It does not know the journal either.
//! The rules that must stay true: each call has a fresh instance; a tool reaches nothing that its [`Reach`] does not
//! name; it never calls a playbook or another tool.

mod call;
mod files;
mod functions;
mod guest;
mod imports;
mod log;
mod reach;
mod spaces;
mod web;

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

pub use call::{Called, Question, Usage};
pub use functions::Function;
pub use imports::Capability;
pub use reach::{Directory, Reach, Reached, Space, SpaceError, Spaces, Web, WebAnswer, WebRefusal, WebRequest};

use super::Sandbox;
use super::hands::Manner;
use crate::contract::Effect;
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Digest;
use guest::ToolGuest;

/// The interface by which a component describes its tools itself.
pub const TOOLS: &str = "reprise:playbook/tools@0.1.0";

pub(super) use guest::linker;
pub(super) type ToolLinker = wasmtime::component::Linker<ToolGuest>;

/// A component that provides tools, compiled and linked. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    loaded: Arc<Loaded>,
}

struct Loaded {
    pre: InstancePre<ToolGuest>,
    offers: Offers,
    asks: BTreeSet<Capability>,
    manner: Manner,
}

/// How its tools are called.
enum Offers {
    /// It exports [`TOOLS`].
    Described { describe: ComponentExportIndex, call: ComponentExportIndex, reconcile: ComponentExportIndex },
    /// Its exported functions are the tools.
    Functions { functions: Vec<Function>, refused: Vec<Issue> },
}

/// What a component says of one of its tools, not yet checked.
#[derive(Debug, Clone)]
pub struct Described {
    /// `payments/refund`.
    pub name: String,
    /// For whoever writes a call.
    pub description: String,
    /// JSON text.
    pub input_schema: String,
    /// JSON text.
    pub output_schema: String,
    /// What repeating a call does.
    pub effect: Effect,
}

impl Provider {
    /// What it asks for by what it imports.
    #[must_use]
    pub fn asks(&self) -> &BTreeSet<Capability> {
        &self.loaded.asks
    }

    /// Its exported functions; none where it describes itself.
    #[must_use]
    pub fn functions(&self) -> Option<&[Function]> {
        match &self.loaded.offers {
            Offers::Functions { functions, .. } => Some(functions),
            Offers::Described { .. } => None,
        }
    }

    /// Exported functions that cannot be tools, and why.
    #[must_use]
    pub fn refused(&self) -> &[Issue] {
        match &self.loaded.offers {
            Offers::Functions { refused, .. } => refused,
            Offers::Described { .. } => &[],
        }
    }
}

impl Sandbox {
    /// The provider of this digest, from the disk cache or compiled from `bytes`. Blocks while compiling.
    ///
    /// # Errors
    /// `not_a_component`, `component_too_demanding`, `imports_unsatisfied` (each import that a tool cannot have an issue),
    /// `no_tools` where nothing that it exports can be one, and what `bytes` fails with.
    pub fn load_provider(&self, digest: &Digest, bytes: impl FnOnce() -> Result<Vec<u8>>) -> Result<Provider> {
        match self.shared.cache.compiled(&self.shared.engine, digest) {
            Some(component) => self.provider(&component),
            None => {
                let component = self.compile(&bytes()?)?;
                let provider = self.provider(&component)?;
                self.shared.cache.keep_compiled(digest, &component);
                Ok(provider)
            }
        }
    }

    fn provider(&self, component: &Component) -> Result<Provider> {
        let unsatisfied = |what: String, issues| Error::new(Code::ImportsUnsatisfied, what).with_issues(issues);
        let asks = imports::asks(&self.shared.engine, component).map_err(|missing| {
            let each: Vec<String> = missing.iter().map(|i| format!("{} {}", i.path, i.message)).collect();
            unsatisfied(format!("a tool cannot have what it imports: {}", each.join("; ")), missing)
        })?;
        let offers = self.offers(component)?;
        let pre = self
            .shared
            .tool_linker
            .instantiate_pre(component)
            .map_err(|e| unsatisfied(format!("an import is not what WASI 0.2 has under that name: {e:#}"), Vec::new()))?;
        Ok(Provider { loaded: Arc::new(Loaded { pre, offers, asks, manner: Manner::default() }) })
    }

    fn offers(&self, component: &Component) -> Result<Offers> {
        if let Some(tools) = component.get_export_index(None, TOOLS) {
            let function = |name: &str| {
                component.get_export_index(Some(&tools), name).ok_or_else(|| {
                    Error::new(Code::NotAComponent, format!("its {TOOLS} has no {name}; wit/tool.wit says what belongs there"))
                })
            };
            return Ok(Offers::Described { describe: function("describe")?, call: function("call")?, reconcile: function("reconcile")? });
        }
        let (functions, refused) = functions::exported(&self.shared.engine, component)?;
        if functions.is_empty() {
            let why = match refused.is_empty() {
                true => "the component exports no function; a tool component exports reprise:playbook/tools or functions".to_owned(),
                false => {
                    let each: Vec<String> = refused.iter().map(|i| format!("{}: {}", i.path, i.message)).collect();
                    format!("no function that the component exports can be a tool: {}", each.join("; "))
                }
            };
            return Err(Error::new(Code::NoTools, why).with_issues(refused));
        }
        Ok(Offers::Functions { functions, refused })
    }
}
