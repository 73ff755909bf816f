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
        Ok(self.policy(space, Some(id))?.0.separate_reviewer)
    }

    /// Whether anybody may approve a repair as a shadow.
    pub(super) fn reviews_are_open(&self, space: &Space, id: &PlaybookId) -> Result<bool> {
        Ok(self.policy(space, Some(id))?.0.open_review)
    }

    /// Promotes what a review has just approved, where that is the reviewer's to say or the evidence allows it.
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
