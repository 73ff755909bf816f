//! Versions that a review holds back, and why: as it stands now, since a version itself never changes.

use super::change::{ChangeKind, ReviewState};
use super::version::Version;
use super::{Playbooks, not_earned};
use crate::error::{Error, Result};
use crate::ids::Space;
use crate::limits;

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
        let mut before = None;
        loop {
            let page = self.versions(space, id, before, limits::VERSIONS_LOOK_BACK)?;
            before = page.last().map(|last| last.version);
            let is_it = |other: &Version| other.made_by.kind == ChangeKind::Reviewed && other.made_by.from_version == Some(number);
            if let Some(found) = page.into_iter().find(is_it) {
                return Ok(Some(found));
            }
            if before.is_none_or(|before| before <= number) {
                return Ok(None);
            }
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
