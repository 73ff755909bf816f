//! The rows of playbooks and versions, as JSON. A name here never changes its meaning; a new field means a
//! new `v`, and rows of the old one stay readable.

use serde::{Deserialize, Serialize};

use super::Summary;
use super::version::{Origin, Status, Version};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, PlaybookId};

#[derive(Serialize, Deserialize)]
struct PlaybookRow {
    v: u8,
    name: String,
    latest: u32,
    updated_at: u64,
}

#[derive(Serialize, Deserialize)]
struct VersionRow {
    v: u8,
    status: Status,
    name: String,
    component: Digest,
    component_bytes: u64,
    origin: Origin,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
struct ContentRow {
    v: u8,
    version: u32,
}

/// The row of the version's playbook, once this version is its newest.
pub(super) fn summary_row(version: &Version) -> Vec<u8> {
    let row = PlaybookRow { v: 1, name: version.name.clone(), latest: version.version, updated_at: version.created_at_ms };
    serde_json::to_vec(&row).expect("a row prints")
}

/// The playbook's id is in the key, not in the row.
pub(super) fn summary(row: &[u8], id: &PlaybookId) -> Result<Summary> {
    let row: PlaybookRow = read(row, "a playbook's row")?;
    Ok(Summary { playbook_id: id.clone(), name: row.name, latest_version: row.latest, updated_at_ms: row.updated_at })
}

pub(super) fn version_row(version: &Version) -> Vec<u8> {
    let Version { status, name, component, component_bytes, origin, created_at_ms, .. } = version.clone();
    serde_json::to_vec(&VersionRow { v: 1, status, name, component, component_bytes, origin, created_at: created_at_ms })
        .expect("a row prints")
}

pub(super) fn version(row: &[u8], id: &PlaybookId, number: u32) -> Result<Version> {
    let VersionRow { status, name, component, component_bytes, origin, created_at, .. } = read(row, "a version's row")?;
    Ok(Version { playbook_id: id.clone(), version: number, status, name, component, component_bytes, origin, created_at_ms: created_at })
}

/// Which version a content made.
pub(super) fn content_row(number: u32) -> Vec<u8> {
    serde_json::to_vec(&ContentRow { v: 1, version: number }).expect("a row prints")
}

pub(super) fn content(row: &[u8]) -> Result<u32> {
    read(row, "a content's row").map(|row: ContentRow| row.version)
}

fn read<'a, T: Deserialize<'a>>(row: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(row).map_err(|e| Error::new(Code::DataCorrupt, format!("{what} does not read back: {e}")))
}
