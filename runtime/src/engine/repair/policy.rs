//! What the policy says of repairs and their reviews.

use super::ReviewRequest;
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::{Authority, ChangeKind, Next, Status, Version};

impl Engine {
    /// Whether anybody may promote.
    pub(super) fn promotion_is_open(&self) -> bool {
        false
    }

    /// Whether who reviews a repair must be another than who made it.
    pub(super) fn separates_reviewers(&self, _space: &Space, _id: &PlaybookId) -> Result<bool> {
        Ok(true)
    }

    /// Promotes what a review has just approved.
    pub(super) async fn promote_reviewed(
        &self,
        space: &Space,
        request: &ReviewRequest,
        version: &Version,
        target: Status,
    ) -> Result<Version> {
        if !request.by_operator && !self.promotion_is_open() {
            return Err(Error::new(Code::PromotionNotEarned, "a review does not promote"));
        }
        let authority = if request.by_operator { Authority::Operator } else { Authority::Anybody };
        let next = Next {
            by: request.reviewer.clone(),
            note: request.note.clone(),
            ..Next::of(version.clone(), self.asks_of(version).await?, target, ChangeKind::Promoted, authority)
        };
        let made = self
            .playbooks
            .add_status_version(space, &version.playbook_id, |_| Ok(Some(next.clone())), |_| crate::store::Batch::new())
            .await?;
        made.ok_or_else(|| Error::new(Code::InternalError, "a promotion makes a version"))
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
        let id = &request.playbook_id;
        let latest = self.playbooks.summary(space, id)?.latest_version;
        let from = self.playbooks.get(space, id, Some(request.from_version.unwrap_or(latest)))?;
        if from.version == latest && from.status == request.target {
            return Ok(ReplayPromoted { from_version: from.version, version: from, unchanged: true });
        }
        if !request.by_operator {
            return Err(Error::new(Code::PromotionNotEarned, "only an operator promotes"));
        }
        let next = Next {
            by: request.by.clone(),
            note: request.note.clone(),
            metadata: request.metadata.clone(),
            ..Next::of(from.clone(), self.asks_of(&from).await?, request.target, ChangeKind::Promoted, Authority::Operator)
        };
        let made = self.playbooks.add_status_version(space, id, |_| Ok(Some(next.clone())), |_| crate::store::Batch::new()).await?;
        let version = made.ok_or_else(|| Error::new(Code::InternalError, "a promotion makes a version"))?;
        Ok(ReplayPromoted { from_version: from.version, version, unchanged: false })
    }
}
