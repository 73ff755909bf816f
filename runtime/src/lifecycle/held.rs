//! Versions that a review holds back, and why: as it stands now, since a version itself never changes.

use super::change::ReviewState;
use super::version::Version;
use super::{Playbooks, not_earned};
use crate::error::{Code, Error, Result};
use crate::ids::Space;

impl Playbooks {
    /// The version in which a review said what becomes of this one; none where it waits for one, or needs none.
    ///
    /// # Errors
    /// What the store says.
    pub fn reviewed_as(&self, space: &Space, version: &Version) -> Result<Option<Version>> {
        let (id, number) = (&version.playbook_id, version.version);
        if !version.awaits_review() || self.summary(space, id)?.pending.contains(&number) {
            return Ok(None);
        }
        // The row of its repair names it; to look for it would read all versions that came since.
        match self.repair(space, id, number) {
            Ok(repair) => repair.row.reviewed.map(|said| self.get(space, id, Some(said.version))).transpose(),
            Err(e) if e.code == Code::RepairNotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Why a version is held back, as it stands now: what waited for a review may have had one.
    pub(super) fn held_back(&self, space: &Space, version: &Version) -> Error {
        match self.reviewed_as(space, version) {
            Ok(reviewed) => held_back(version, reviewed.as_ref()),
            Err(e) => e,
        }
    }
}

fn held_back(version: &Version, reviewed: Option<&Version>) -> Error {
    let what = |version: &Version| match version.review.as_ref().map(|review| review.state) {
        Some(ReviewState::Rejected) => "was rejected by a review",
        Some(ReviewState::ApprovedShadowBlocked) => "breaks on a recording",
        Some(ReviewState::Approved) => "was approved by a review",
        _ => "waits for a review",
    };
    let missing = match reviewed {
        Some(reviewed) => format!("version {} {}, which is version {}", version.version, what(reviewed), reviewed.version),
        None => format!("version {} {}", version.version, what(version)),
    };
    not_earned(format!("{missing}; only what a review approved is promoted or started"), &[missing])
}
