//! The rows of playbooks and versions, as JSON. A name here never changes its meaning; a new field means a
//! new `v`, and rows of the old one stay readable.

use serde::{Deserialize, Serialize};

use super::Summary;
use super::version::{Origin, Status, Version};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, PlaybookId};
use crate::tools::asks::Asks;

#[derive(Serialize, Deserialize)]
struct PlaybookRow {
    v: u8,
    name: String,
    latest: u32,
    updated_at: u64,
    /// From `v` 2 on; before, the newest was what ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active: Option<ActiveRow>,
}

/// The version that runs.
#[derive(Serialize, Deserialize)]
struct ActiveRow {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asks: Option<Asks>,
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
    /// From `v` 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asks: Option<Asks>,
}

#[derive(Serialize, Deserialize)]
struct ContentRow {
    v: u8,
    version: u32,
}

pub(super) fn summary_row(summary: &Summary) -> Vec<u8> {
    let Summary { name, latest_version, updated_at_ms, active_version, active_asks, .. } = summary.clone();
    let active = Some(ActiveRow { version: active_version, asks: active_asks });
    let row = PlaybookRow { v: 2, name, latest: latest_version, updated_at: updated_at_ms, active };
    serde_json::to_vec(&row).expect("a row prints")
}

/// The playbook's id is in the key, not in the row.
pub(super) fn summary(row: &[u8], id: &PlaybookId) -> Result<Summary> {
    let mut row: PlaybookRow = read(row, "a playbook's row")?;
    let (active_version, active_asks) = row.active.take().map_or((row.latest, None), |active| (active.version, active.asks));
    let PlaybookRow { name, latest: latest_version, updated_at: updated_at_ms, .. } = row;
    Ok(Summary { playbook_id: id.clone(), name, latest_version, active_version, active_asks, updated_at_ms })
}

pub(super) fn version_row(version: &Version) -> Vec<u8> {
    let Version { status, name, component, component_bytes, origin, asks, created_at_ms, .. } = version.clone();
    serde_json::to_vec(&VersionRow { v: 2, status, name, component, component_bytes, origin, created_at: created_at_ms, asks })
        .expect("a row prints")
}

pub(super) fn version(row: &[u8], id: &PlaybookId, number: u32) -> Result<Version> {
    let VersionRow { status, name, component, component_bytes, origin, created_at, asks, .. } = read(row, "a version's row")?;
    let playbook_id = id.clone();
    Ok(Version { playbook_id, version: number, status, name, component, component_bytes, origin, asks, created_at_ms: created_at })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::asks::Ask;

    #[test]
    fn rows_of_the_first_form_read_forever_and_their_newest_version_is_the_active_one() {
        let id = PlaybookId::parse("p").unwrap();
        let old = summary(br#"{"v":1,"name":"n","latest":3,"updated_at":1700000000000}"#, &id).unwrap();
        assert_eq!((old.latest_version, old.active_version, &old.active_asks), (3, 3, &None));
        let asks: Asks = [Ask::parse("tool:fs/read").unwrap()].into_iter().collect();
        let new = Summary { active_version: 2, active_asks: Some(asks), ..old };
        let row = r#"{"v":2,"name":"n","latest":3,"updated_at":1700000000000,"active":{"version":2,"asks":["tool:fs/read"]}}"#;
        assert_eq!(String::from_utf8(summary_row(&new)).unwrap(), row);
        assert_eq!(summary(row.as_bytes(), &id).unwrap(), new);
        let unknown = Summary { active_asks: None, ..new };
        assert_eq!(summary(&summary_row(&unknown), &id).unwrap(), unknown, "which one is active is not forgotten");

        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let row = |v: u8, asks: &str| {
            format!(
                r#"{{"v":{v},"status":"draft","name":"n","component":"{digest}","component_bytes":7,"origin":"uploaded","created_at":1700000000000{asks}}}"#
            )
        };
        let old = version(row(1, "").as_bytes(), &id, 1).unwrap();
        assert_eq!((old.component.to_string().as_str(), &old.asks), (digest, &None));
        let new = version(row(2, r#","asks":["tool:fs/read"]"#).as_bytes(), &id, 1).unwrap();
        assert_eq!(String::from_utf8(version_row(&new)).unwrap(), row(2, r#","asks":["tool:fs/read"]"#));
    }
}
