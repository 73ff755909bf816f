//! Repairs: what was mended of a playbook, what that was judged by, and what a review made of it.
//!
//! A row for each, named after the version that it made; the patch, the differences and the proof are a blob beside it. It does not
//! know what a patch means. The rules: a repair's row is written in one with the version that it is about, and a review changes it
//! exactly once, in one with the version that the review makes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Playbooks, Status};
use crate::clock::rfc3339;
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, PlaybookId, Space};
use crate::limits;
use crate::store::{Batch, RepairKey};

/// Repairs, and behind which playbook and version the next page begins; none where there is none.
pub type RepairsPage = (Vec<Repair>, Option<(PlaybookId, u32)>);

/// One repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version that it made.
    pub version: u32,
    /// The rest.
    pub row: RepairRow,
}

/// A repair as it is stored. A name here never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRow {
    /// 1.
    pub v: u8,
    /// The version that it mends.
    pub from_version: u32,
    /// Where it came from.
    pub source: RepairSource,
    /// Who made it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The status that it is meant for.
    pub target_status: Status,
    /// How far it has come.
    pub state: RepairState,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_at: u64,
    /// The review, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Reviewed>,
    /// The blob with patch, differences and proof.
    pub details: Digest,
}

/// Where a repair came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepairSource {
    /// Somebody wrote a patch.
    Patch,
    /// A run that got past the failing step was spliced in.
    Run,
    /// A model proposed it.
    Proposal,
}

/// How far a repair has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepairState {
    /// It waits for a review.
    PendingReview,
    /// It needed none.
    NotRequired,
    /// A review approved it.
    Approved,
    /// A review approved it, and the recordings did not: it is a draft that does not run by itself.
    ApprovedShadowBlocked,
    /// A review rejected it.
    Rejected,
}

impl RepairState {
    /// Every state with its word.
    pub const NAMES: &'static [(&'static str, RepairState)] = &[
        ("pending_review", RepairState::PendingReview),
        ("not_required", RepairState::NotRequired),
        ("approved", RepairState::Approved),
        ("approved_shadow_blocked", RepairState::ApprovedShadowBlocked),
        ("rejected", RepairState::Rejected),
    ];

    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, state)| *state == self).map(|(name, _)| *name).expect("every state stands there")
    }
}

impl Repair {
    /// The fields that lists show.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let RepairRow { from_version, source, author, note, target_status, state, made_at, reviewed, .. } = &self.row;
        let said = |said: &Reviewed| json!({"version": said.version, "by": said.by, "note": said.note, "at": rfc3339(said.at)});
        json!({
            "playbook_id": self.playbook_id, "version": self.version, "from_version": from_version, "status": state, "source": source,
            "author": author, "note": note, "target_status": target_status, "made_at": rfc3339(*made_at),
            "reviewed": reviewed.as_ref().map(said),
        })
    }
}

/// What a review said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The version that it made.
    pub version: u32,
    /// Who, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// Which repairs are asked for.
#[derive(Debug, Clone, Default)]
pub struct RepairFilter {
    /// Those of one playbook.
    pub playbook_id: Option<PlaybookId>,
    /// Those that have come so far.
    pub state: Option<RepairState>,
}

/// Rows that are looked at for one page, where a filter leaves most of them out.
const SCANNED_ROWS: usize = 500;

impl Playbooks {
    /// The repair that made a version.
    ///
    /// # Errors
    /// `repair_not_found`.
    pub fn repair(&self, space: &Space, id: &PlaybookId, version: u32) -> Result<Repair> {
        let key = RepairKey { space: space.clone(), playbook_id: id.clone(), version };
        let row = self.store.get(&key)?;
        let row = row.ok_or_else(|| Error::new(Code::RepairNotFound, format!("version {version} of playbook {id} is no repair")))?;
        read(&key, &row)
    }

    /// Repairs in the order of playbooks and versions, behind `after`, and behind which one the next page begins. It looks at a bounded
    /// number: where few fit, a page is shorter than asked for, and not the last.
    ///
    /// # Errors
    /// What the store says.
    pub fn repairs(&self, space: &Space, filter: &RepairFilter, after: Option<(PlaybookId, u32)>, limit: usize) -> Result<RepairsPage> {
        let prefix = match &filter.playbook_id {
            Some(id) => RepairKey::of_playbook(space, id),
            None => RepairKey::of_space(space),
        };
        let mut after = after.map(|(playbook_id, version)| RepairKey { space: space.clone(), playbook_id, version });
        let (mut found, mut looked): (Vec<Repair>, _) = (Vec::new(), 0);
        let named = |repair: &Repair| (repair.playbook_id.clone(), repair.version);
        loop {
            let rows = self.store.scan(&prefix, after.as_ref(), SCANNED_ROWS)?;
            for (key, row) in &rows {
                if looked >= limits::FILTERED_ROWS_MAX {
                    return Ok((found, after.map(|key| (key.playbook_id, key.version))));
                }
                looked += 1;
                let repair = read(key, row)?;
                let fits = filter.state.is_none_or(|state| state == repair.row.state);
                if fits && found.len() == limit {
                    let next = found.last().map(named);
                    return Ok((found, next));
                }
                after = Some(key.clone());
                if fits {
                    found.push(repair);
                }
            }
            if rows.len() < SCANNED_ROWS {
                return Ok((found, None));
            }
        }
    }
}

/// Writes a new repair's row.
#[must_use]
pub fn made(space: &Space, id: &PlaybookId, version: u32, row: &RepairRow) -> Batch {
    let key = RepairKey { space: space.clone(), playbook_id: id.clone(), version };
    let mut batch = Batch::new();
    batch.expect(&key, None);
    batch.put(&key, text(row));
    batch
}

/// Writes what a review said, where nobody reviewed it meanwhile.
#[must_use]
pub fn reviewed(space: &Space, repair: &Repair, state: RepairState, reviewed: Reviewed) -> Batch {
    let key = RepairKey { space: space.clone(), playbook_id: repair.playbook_id.clone(), version: repair.version };
    let mut batch = Batch::new();
    batch.expect(&key, Some(&text(&repair.row)));
    batch.put(&key, text(&RepairRow { state, reviewed: Some(reviewed), ..repair.row.clone() }));
    batch
}

fn text(row: &RepairRow) -> Vec<u8> {
    serde_json::to_vec(row).expect("a row prints")
}

fn read(key: &RepairKey, row: &[u8]) -> Result<Repair> {
    let row = serde_json::from_slice(row).map_err(|e| Error::stored("a repair's row", &e))?;
    Ok(Repair { playbook_id: key.playbook_id.clone(), version: key.version, row })
}
