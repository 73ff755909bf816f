//! The rows of playbooks and versions, as JSON. A name here never changes its meaning; a new field means a
//! new `v`, and rows of the old one stay readable.

use serde::{Deserialize, Serialize};

use super::Summary;
use super::change::{Change, ChangeKind, Provenance, Review};
use super::version::{Origin, Status, Version};
use crate::error::{Error, Result};
use crate::ids::{Digest, PlaybookId};
use crate::json::Json;
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
    /// From `v` 3 on; before, every version was a draft.
    #[serde(default = "draft")]
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<u32>,
}

fn draft() -> Status {
    Status::Draft
}

/// The version that runs.
#[derive(Serialize, Deserialize)]
struct ActiveRow {
    version: u32,
    /// From `v` 3 on.
    #[serde(default = "draft")]
    status: Status,
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
    /// From `v` 3 on; before, the origin said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_by: Option<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    review: Option<Review>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::there")]
    metadata: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted_since: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct ContentRow {
    v: u8,
    version: u32,
}

pub(super) fn summary_row(summary: &Summary) -> Vec<u8> {
    let Summary { name, latest_version, updated_at_ms, active_version, active_status, active_asks, .. } = summary.clone();
    let active = Some(ActiveRow { version: active_version, status: active_status, asks: active_asks });
    let row = PlaybookRow {
        v: 3,
        name,
        latest: latest_version,
        updated_at: updated_at_ms,
        active,
        status: summary.latest_status,
        shadow: summary.shadow_version,
        pending: summary.pending.clone(),
    };
    serde_json::to_vec(&row).expect("a row prints")
}

/// The playbook's id is in the key, not in the row.
pub(super) fn summary(row: &[u8], id: &PlaybookId) -> Result<Summary> {
    let PlaybookRow { name, latest, updated_at, active, status, shadow, pending, .. } = read(row, "a playbook's row")?;
    let active = active.unwrap_or(ActiveRow { version: latest, status: Status::Draft, asks: None });
    Ok(Summary {
        playbook_id: id.clone(),
        name,
        latest_version: latest,
        latest_status: status,
        active_version: active.version,
        active_status: active.status,
        active_asks: active.asks,
        shadow_version: shadow,
        pending,
        updated_at_ms: updated_at,
    })
}

pub(super) fn version_row(version: &Version) -> Vec<u8> {
    let version = version.clone();
    let row = VersionRow {
        v: 3,
        status: version.status,
        name: version.name,
        component: version.component,
        component_bytes: version.component_bytes,
        origin: version.origin,
        created_at: version.created_at_ms,
        asks: version.asks,
        made_by: Some(version.made_by),
        provenance: Some(version.provenance),
        review: version.review,
        metadata: version.metadata,
        trusted_since: version.trusted_since_ms,
    };
    serde_json::to_vec(&row).expect("a row prints")
}

pub(super) fn version(row: &[u8], id: &PlaybookId, number: u32) -> Result<Version> {
    let row: VersionRow = read(row, "a version's row")?;
    Ok(Version {
        playbook_id: id.clone(),
        version: number,
        status: row.status,
        name: row.name,
        component: row.component,
        component_bytes: row.component_bytes,
        asks: row.asks,
        made_by: row.made_by.unwrap_or_else(|| Change::plain(ChangeKind::of(&row.origin), row.created_at)),
        provenance: row.provenance.unwrap_or_else(|| Provenance::of(&row.origin)),
        review: row.review,
        metadata: row.metadata,
        trusted_since_ms: row.trusted_since,
        created_at_ms: row.created_at,
        origin: row.origin,
    })
}

/// Which version a content made.
pub(super) fn content_row(number: u32) -> Vec<u8> {
    serde_json::to_vec(&ContentRow { v: 1, version: number }).expect("a row prints")
}

pub(super) fn content(row: &[u8]) -> Result<u32> {
    read(row, "a content's row").map(|row: ContentRow| row.version)
}

fn read<'a, T: Deserialize<'a>>(row: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(row).map_err(|e| Error::stored(what, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::asks::Ask;

    fn asks() -> Asks {
        [Ask::parse("tool:fs/read").unwrap()].into_iter().collect()
    }

    #[test]
    fn rows_of_earlier_forms_read_forever_and_their_versions_are_drafts() {
        let id = PlaybookId::parse("p").unwrap();
        let first = summary(br#"{"v":1,"name":"n","latest":3,"updated_at":1700000000000}"#, &id).unwrap();
        assert_eq!((first.latest_version, first.active_version, &first.active_asks), (3, 3, &None));
        let row = r#"{"v":2,"name":"n","latest":3,"updated_at":1700000000000,"active":{"version":2,"asks":["tool:fs/read"]}}"#;
        let second = summary(row.as_bytes(), &id).unwrap();
        assert_eq!(second, Summary { active_version: 2, active_asks: Some(asks()), ..first.clone() });
        assert_eq!((first.latest_status, first.active_status, first.shadow_version), (Status::Draft, Status::Draft, None));
        let third =
            Summary { latest_status: Status::Shadow, active_status: Status::Active, shadow_version: Some(3), pending: vec![1], ..second };
        let row = r#"{"v":3,"name":"n","latest":3,"updated_at":1700000000000,"active":{"version":2,"status":"active","asks":["tool:fs/read"]},"status":"shadow","shadow":3,"pending":[1]}"#;
        assert_eq!(String::from_utf8(summary_row(&third)).unwrap(), row);
        assert_eq!(summary(row.as_bytes(), &id).unwrap(), third);
        let unknown = Summary { active_asks: None, ..third };
        assert_eq!(summary(&summary_row(&unknown), &id).unwrap(), unknown, "which one is active is not forgotten");
    }

    #[test]
    fn a_version_of_an_earlier_form_says_by_its_origin_what_made_it() {
        let id = PlaybookId::parse("p").unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let row = |v: u8, origin: &str, more: &str| {
            format!(
                r#"{{"v":{v},"status":"draft","name":"n","component":"{digest}","component_bytes":7,"origin":{origin},"created_at":1700000000000{more}}}"#
            )
        };
        let first = version(row(1, r#""uploaded""#, "").as_bytes(), &id, 1).unwrap();
        assert_eq!((first.component.to_string().as_str(), &first.asks), (digest, &None));
        assert_eq!(first.made_by, Change::plain(ChangeKind::Uploaded, 1_700_000_000_000));
        let second = version(row(2, r#""uploaded""#, r#","asks":["tool:fs/read"]"#).as_bytes(), &id, 1).unwrap();
        assert_eq!(second, Version { asks: Some(asks()), ..first });
        let compiled =
            r#"{"compiled":{"run_id":"r","summary":{},"matchers":null,"success_criteria":null,"risk_profile":"low","metadata":null}}"#;
        let compiled = version(row(2, compiled, "").as_bytes(), &id, 1).unwrap();
        assert_eq!((compiled.made_by.kind, compiled.provenance.source_runs[0].as_str()), (ChangeKind::Compiled, "r"));

        let more = r#","asks":["tool:fs/read"],"made_by":{"kind":"auto_demoted","from_version":4,"by":"policy","by_operator":true,"note":"n","reason":"why","overrode":["age"],"at":5},"provenance":{"source_runs":["a","b"],"distillation_origin":"d"},"review":{"state":"approved","author":"ann","reviewer":"bob","note":"good"},"metadata":{"k":1},"trusted_since":5"#;
        let whole = row(3, r#""uploaded""#, more);
        let third = version(whole.as_bytes(), &id, 1).unwrap();
        assert_eq!(String::from_utf8(version_row(&third)).unwrap(), whole);
        assert_eq!(version(&version_row(&second), &id, 1).unwrap(), second);
    }
}
