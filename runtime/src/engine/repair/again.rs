//! A review that is asked for again, by somebody who may not have heard the answer: it is answered as the first time.
//!
//! What must stay true: nothing is decided twice. The same decision by the same reviewer is found, and what it came to is told; any
//! other one hears that the review is done. Only what a crash left undone of it is done.

use super::{ReviewOutcome, ReviewRequest};
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::ids::Space;
use crate::lifecycle::repairs::{Repair, RepairState};
use crate::lifecycle::{ChangeKind, Status, Version};
use crate::limits;

impl Engine {
    /// What `refused`, the refusal of a review that is done, comes to: the first answer, where this is the same review.
    pub(super) async fn reviewed_before(&self, space: &Space, request: &ReviewRequest, refused: Error) -> Result<ReviewOutcome> {
        if refused.code != Code::ReplayRepairNotPendingReview {
            return Err(refused);
        }
        match self.same_review(space, request)? {
            Some(done) => self.answered_again(space, request, done).await,
            None => Err(refused),
        }
    }

    /// What a review came to that is done.
    pub(super) async fn answered_again(
        &self,
        space: &Space,
        request: &ReviewRequest,
        (repair, version): (Repair, Version),
    ) -> Result<ReviewOutcome> {
        let (repair, details) = self.repair_of(space, &repair.playbook_id, repair.version).await?;
        let from = self.playbook(space, &repair.playbook_id, Some(repair.version))?;
        let shadow_validation =
            if request.approve && request.validate { Some(self.shadow_validation(space, request, &from, &details).await?) } else { None };
        let state = repair.row.state;
        let as_approved = (state, version.status);
        let (version, auto_promotion) = self.after_review(space, request, as_approved, version, shadow_validation.as_ref(), true).await?;
        Ok(ReviewOutcome { repair, details, state, version, shadow_validation, auto_promotion, repeated: true })
    }

    /// The repair and the version of the review, where that decided the same and was the same reviewer's.
    pub(super) fn same_review(&self, space: &Space, request: &ReviewRequest) -> Result<Option<(Repair, Version)>> {
        let id = &request.playbook_id;
        let Some(number) = self.last_reviewed(space, request)? else { return Ok(None) };
        let repair = match self.playbooks.repair(space, id, number) {
            Ok(repair) => repair,
            Err(e) if e.code == Code::RepairNotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(said) = &repair.row.reviewed else { return Ok(None) };
        if said.by != request.reviewer || request.approve == (repair.row.state == RepairState::Rejected) {
            return Ok(None);
        }
        let version = self.playbook(space, id, Some(said.version))?;
        // To approve it as something else is another decision.
        if repair.row.state == RepairState::Approved && self.review_authority(space, request)?.1 != version.status {
            return Ok(None);
        }
        Ok(Some((repair, version)))
    }

    /// The version that the request is about: the one that it names, else the one that was reviewed last, where nothing happened since
    /// but what that review brought with it.
    fn last_reviewed(&self, space: &Space, request: &ReviewRequest) -> Result<Option<u32>> {
        if request.version.is_some() {
            return Ok(request.version);
        }
        let summary = self.playbooks.summary(space, &request.playbook_id)?;
        let mut made_by = self.playbook(space, &request.playbook_id, Some(summary.latest_version))?.made_by;
        if made_by.kind == ChangeKind::Promoted && request.auto_promote.is_some() {
            let from = made_by.from_version.unwrap_or(summary.latest_version);
            made_by = self.playbook(space, &request.playbook_id, Some(from))?.made_by;
        }
        Ok(made_by.from_version.filter(|_| made_by.kind == ChangeKind::Reviewed))
    }

    /// The promotion that the review brought with it the first time. Where there is none, and nothing has happened since, it is made
    /// now: whoever asked may have lost the server in between.
    pub(super) async fn promoted_before(
        &self,
        space: &Space,
        request: &ReviewRequest,
        reviewed: &Version,
        target: Status,
    ) -> Result<Version> {
        let id = &request.playbook_id;
        let since = self.playbooks.versions(space, id, None, limits::VERSIONS_LOOK_BACK)?;
        let was = |version: &&Version| {
            let by = &version.made_by;
            by.kind == ChangeKind::Promoted
                && by.from_version == Some(reviewed.version)
                && by.by == request.reviewer
                && version.status == target
        };
        if let Some(promoted) = since.iter().rev().find(was) {
            return Ok(promoted.clone());
        }
        if since.first().is_some_and(|latest| latest.version == reviewed.version) {
            return self.promote_reviewed(space, request, reviewed, target).await;
        }
        let missing = "a word of its own: other versions came since the review";
        let message = format!("version {} of playbook {id} was reviewed before; to promote it takes {missing}", reviewed.version);
        Err(Error::new(Code::PromotionNotEarned, message).with_details(serde_json::json!({"missing": [missing]})))
    }
}
