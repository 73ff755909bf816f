//! What the policy says of repairs and their reviews.

use super::ReviewRequest;
use crate::engine::{Engine, Promotion};
use crate::error::Result;
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::{Status, Version};

impl Engine {
    /// Whether anybody may promote.
    pub(super) fn promotion_is_open(&self) -> bool {
        self.config.lifecycle.open_promotion
    }

    /// Whether who reviews a repair must be another than who made it.
    pub(super) fn separates_reviewers(&self, space: &Space, id: &PlaybookId) -> Result<bool> {
        Ok(self.lifecycle.policies().of(space, Some(id))?.separate_reviewer)
    }

    /// Promotes what a review has just approved.
    pub(super) async fn promote_reviewed(
        &self,
        space: &Space,
        request: &ReviewRequest,
        version: &Version,
        target: Status,
    ) -> Result<Version> {
        let promotion = Promotion {
            playbook_id: version.playbook_id.clone(),
            from_version: Some(version.version),
            target,
            by: request.reviewer.clone(),
            note: request.note.clone(),
            metadata: None,
            operator: request.by_operator,
        };
        Ok(self.promote(space, &promotion).await?.version)
    }
}

/// What is to get another status.
#[derive(Debug, Clone)]
pub struct ReplayPromotion {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version to copy; the newest where none is named.
    pub from_version: Option<u32>,
    /// What it becomes.
    pub target: Status,
    /// Why.
    pub note: Option<String>,
    /// Whatever else is to be kept.
    pub metadata: Option<crate::json::Json>,
    /// Who, where that is known.
    pub by: Option<String>,
    /// Whether an operator says it.
    pub by_operator: bool,
}

/// What came of a promotion.
#[derive(Debug, Clone)]
pub struct ReplayPromoted {
    /// The version that was copied.
    pub from_version: u32,
    /// The version that has the status now.
    pub version: Version,
    /// Whether it had that already.
    pub unchanged: bool,
}

impl Engine {
    /// Gives a version another status.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, `promotion_not_earned`.
    pub async fn promote_playbook(&self, space: &Space, request: ReplayPromotion) -> Result<ReplayPromoted> {
        let ReplayPromotion { playbook_id, from_version, target, note, metadata, by, by_operator: operator } = request;
        let promotion = Promotion { playbook_id, from_version, target, by, note, metadata, operator };
        let promoted = self.promote(space, &promotion).await?;
        Ok(ReplayPromoted { from_version: promoted.from.version, version: promoted.version, unchanged: promoted.unchanged })
    }
}
