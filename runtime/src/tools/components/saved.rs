//! The rows of tool components, as JSON. A name here never changes its meaning; a new field means a new `v`, and rows
//! of the old one stay readable.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ComponentVersion, Offered};
use crate::contract::{Effect, Namespace, ToolId};
use crate::error::{Error, Issue, Result};
use crate::ids::Digest;
use crate::tools::asks::Asks;

/// What stands under a namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NamespaceRow {
    v: u8,
    /// The newest version.
    pub(super) latest: u32,
    /// The version whose tools are called.
    pub(super) active: u32,
    /// Of the versions, in their order: whether the same bytes were uploaded before is looked up here.
    pub(super) components: Vec<Digest>,
}

#[derive(Serialize, Deserialize)]
struct VersionRow {
    v: u8,
    component: Digest,
    component_bytes: u64,
    tools: Vec<ToolRow>,
    asks: Asks,
    left_out: Vec<Issue>,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
struct ToolRow {
    id: ToolId,
    own_name: String,
    description: String,
    input_schema: Value,
    output_schema: Value,
    effect: Effect,
}

impl NamespaceRow {
    pub(super) fn new() -> Self {
        NamespaceRow { v: 1, latest: 0, active: 0, components: Vec::new() }
    }

    pub(super) fn read(row: &[u8]) -> Result<Self> {
        read(row, "a namespace's row")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a row prints")
    }
}

pub(super) fn version_row(version: &ComponentVersion) -> Vec<u8> {
    let ComponentVersion { component, component_bytes, tools, asks, left_out, created_at_ms, .. } = version.clone();
    let tool = |Offered { id, own_name, description, input_schema, output_schema, effect }| ToolRow {
        id,
        own_name,
        description,
        input_schema,
        output_schema,
        effect,
    };
    let tools = tools.into_iter().map(tool).collect();
    let row = VersionRow { v: 1, component, component_bytes, tools, asks, left_out, created_at: created_at_ms };
    serde_json::to_vec(&row).expect("a row prints")
}

/// The namespace and the number are in the key, and which one is active in the namespace's row.
pub(super) fn version(row: &[u8], namespace: &Namespace, number: u32, active: u32) -> Result<ComponentVersion> {
    let VersionRow { component, component_bytes, tools, asks, left_out, created_at, .. } = read(row, "a tool component's row")?;
    let tool = |ToolRow { id, own_name, description, input_schema, output_schema, effect }| Offered {
        id,
        own_name,
        description,
        input_schema,
        output_schema,
        effect,
    };
    Ok(ComponentVersion {
        namespace: namespace.clone(),
        version: number,
        active: number == active,
        component,
        component_bytes,
        tools: tools.into_iter().map(tool).collect(),
        asks,
        left_out,
        created_at_ms: created_at,
    })
}

fn read<'a, T: Deserialize<'a>>(row: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(row).map_err(|e| Error::stored(what, &e))
}
