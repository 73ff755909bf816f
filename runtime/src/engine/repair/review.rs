//! The review of a repair: approved or rejected, exactly once, and what the recordings say of it then.
//!
//! Aionis validates a repair by running its commands on the host, or by looking at preconditions alone. Here the mended component
//! runs on every known recording, in the sandbox, and touches nothing: a step is ready where a recording answers its very call,
//! blocked where a recording breaks at it, and unknown where no recording says anything of it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Details;
use crate::clock;
use crate::compiler::emit::Explained;
use crate::compiler::rehearse::{self, Answered, Held, Subject, Verdict};
use crate::engine::{Engine, StepTemplate};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::json::Json;
use crate::lifecycle::repairs::{self, Repair, RepairState, Reviewed};
use crate::lifecycle::{Authority, ChangeKind, Next, Origin, Review, ReviewState, Status, Version};

/// What somebody says about a repair.
#[derive(Debug, Clone)]
pub struct ReviewRequest {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version; without one the newest that waits for a review.
    pub version: Option<u32>,
    /// Whether it may run.
    pub approve: bool,
    /// Who says so, where that is known.
    pub reviewer: Option<String>,
    /// What they say.
    pub note: Option<String>,
    /// Whether the recordings are asked.
    pub validate: bool,
    /// `readiness`, `execute` or `execute_sandbox`; here they are one.
    pub validation_mode: String,
    /// The status that it gets where it is approved and the recordings say nothing against it. None: a shadow where the reviewer
    /// may say so, otherwise a draft.
    pub target_status: Option<Status>,
    /// The status that it gets after that where the gate lets it.
    pub auto_promote: Option<Status>,
    /// The gate.
    pub gate: AutoPromoteGate,
    /// Whatever else is to be kept.
    pub metadata: Option<Json>,
    /// Whether an operator says it.
    pub by_operator: bool,
}

/// What the numbers of a validation must be for the next promotion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct AutoPromoteGate {
    /// Whether the validation must have passed.
    pub require_shadow_pass: bool,
    /// Steps at the least.
    pub min_total_steps: u32,
    /// Failed steps at the most.
    pub max_failed_steps: u32,
    /// Blocked steps at the most.
    pub max_blocked_steps: u32,
    /// Unknown steps at the most.
    pub max_unknown_steps: u32,
    /// Ready steps of all, at the least.
    pub min_success_ratio: f64,
}

impl Default for AutoPromoteGate {
    fn default() -> Self {
        AutoPromoteGate {
            require_shadow_pass: true,
            min_total_steps: 0,
            max_failed_steps: 0,
            max_blocked_steps: 0,
            max_unknown_steps: 0,
            min_success_ratio: 1.0,
        }
    }
}

/// What a review came to.
#[derive(Debug, Clone)]
pub struct ReviewOutcome {
    /// The repair, as it was.
    pub repair: Repair,
    /// What was known of it.
    pub details: Details,
    /// How far it has come.
    pub state: RepairState,
    /// The version that the review made, or the one that its promotion made.
    pub version: Version,
    /// What the recordings said; none where they were not asked.
    pub shadow_validation: Option<ShadowValidation>,
    /// What became of the promotion.
    pub auto_promotion: AutoPromotion,
    /// True where the same reviewer had decided the same before.
    pub repeated: bool,
}

/// What the recordings say of a mended playbook, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShadowValidation {
    /// As it was asked for. Nothing is executed in any of them.
    pub mode: String,
    /// Whether no step is blocked.
    pub pass: bool,
    /// Steps of the playbook.
    pub total_steps: u32,
    /// Steps whose very calls a recording answers.
    pub ready_steps: u32,
    /// Steps at which a recording breaks.
    pub blocked_steps: u32,
    /// Steps of which no recording says anything.
    pub unknown_steps: u32,
    /// Each step.
    pub checks: Vec<ShadowStep>,
    /// Each recording. Not known to Aionis.
    pub recordings: Vec<Held>,
    /// Always false: no command runs, no file is touched. Not known to Aionis.
    pub executed: bool,
}

/// One step of a validation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShadowStep {
    /// The step's number.
    pub step_index: u32,
    /// The step within the plan.
    pub step_id: String,
    /// The tool as the agent called it.
    pub tool_name: String,
    /// `ready`, `blocked` or `unknown`.
    pub readiness: &'static str,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of the promotion that a review may bring with it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AutoPromotion {
    /// Whether it was asked for, and the review approved.
    pub attempted: bool,
    /// Whether there is a version with the other status now.
    pub promoted: bool,
    /// Why not: `auto_shadow_validate_required`, `review_not_in_target_status_on_approve`, `gate_not_passed`, `already_target_status`,
    /// `promotion_not_earned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What the gate said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateAnswer>,
    /// From which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u32>,
    /// To which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_version: Option<u32>,
    /// What would still have to be shown. Not known to Aionis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GateAnswer {
    /// Whether all of it holds.
    pub pass: bool,
    /// What does not.
    pub reasons: Vec<&'static str>,
    /// What was asked.
    pub gate_echo: AutoPromoteGate,
    /// What was found; none without a validation.
    pub metrics: Option<GateMetrics>,
}

/// The numbers that a gate is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct GateMetrics {
    /// Whether the validation passed.
    pub pass: bool,
    /// Steps of the playbook.
    pub total_steps: u32,
    /// Ready ones.
    pub succeeded_steps: u32,
    /// Blocked ones: nothing is executed, so that nothing else fails.
    pub failed_steps: u32,
    /// Blocked ones.
    pub blocked_steps: u32,
    /// Unknown ones.
    pub unknown_steps: u32,
    /// Ready ones of all.
    pub success_ratio: f64,
}

impl ShadowValidation {
    fn metrics(&self) -> GateMetrics {
        let ratio = if self.total_steps == 0 { 0.0 } else { f64::from(self.ready_steps) / f64::from(self.total_steps) };
        GateMetrics {
            pass: self.pass,
            total_steps: self.total_steps,
            succeeded_steps: self.ready_steps,
            failed_steps: self.blocked_steps,
            blocked_steps: self.blocked_steps,
            unknown_steps: self.unknown_steps,
            success_ratio: ratio,
        }
    }
}

impl AutoPromoteGate {
    fn answer(self, metrics: Option<GateMetrics>) -> GateAnswer {
        let reasons = match &metrics {
            None => vec!["missing_shadow_validation_metrics"],
            Some(m) => [
                (self.require_shadow_pass && !m.pass, "shadow_validation_not_pass"),
                (m.total_steps < self.min_total_steps, "total_steps_below_threshold"),
                (m.failed_steps > self.max_failed_steps, "failed_steps_above_threshold"),
                (m.blocked_steps > self.max_blocked_steps, "blocked_steps_above_threshold"),
                (m.unknown_steps > self.max_unknown_steps, "unknown_steps_above_threshold"),
                (m.success_ratio < self.min_success_ratio, "success_ratio_below_threshold"),
            ]
            .into_iter()
            .filter(|(wrong, _)| *wrong)
            .map(|(_, reason)| reason)
            .collect(),
        };
        GateAnswer { pass: reasons.is_empty(), reasons, gate_echo: self, metrics }
    }
}

impl AutoPromotion {
    fn not(attempted: bool, reason: Option<&'static str>) -> AutoPromotion {
        AutoPromotion { attempted, promoted: false, reason, gate: None, from_version: None, to_version: None, missing: Vec::new() }
    }
}

impl Engine {
    /// Approves or rejects a repair, exactly once. Of two who do so at once, one does and the other one hears that it is done, unless
    /// it is the same decision by the same reviewer: that is answered as the first time.
    ///
    /// # Errors
    /// `replay_repair_patch_missing`, `replay_repair_not_pending_review`; `reviewer_is_author` where the policy asks for another;
    /// `promotion_not_earned` where the status that it is to get is an operator's to give.
    pub async fn review_repair(&self, space: &Space, request: ReviewRequest) -> Result<ReviewOutcome> {
        // Who names no version may mean the answer that was lost, and not the repair that is next in line.
        if request.version.is_none()
            && let Some(done) = self.same_review(space, &request)?
        {
            return self.answered_again(space, &request, done).await;
        }
        match self.review_once(space, &request).await {
            Err(refused) => self.reviewed_before(space, &request, refused).await,
            done => done,
        }
    }

    async fn review_once(&self, space: &Space, request: &ReviewRequest) -> Result<ReviewOutcome> {
        let from = self.to_review(space, request).await?;
        let (repair, details) = self.repair_of(space, &request.playbook_id, from.version).await?;
        self.check_reviewer(space, request, &repair)?;
        let (authority, target) = self.review_authority(space, request)?;
        let shadow_validation =
            if request.approve && request.validate { Some(self.shadow_validation(space, request, &from, &details).await?) } else { None };
        let blocked = shadow_validation.as_ref().is_some_and(|validation| !validation.pass);
        let (state, review, status) = match (request.approve, blocked) {
            (false, _) => (RepairState::Rejected, ReviewState::Rejected, Status::Draft),
            (true, true) => (RepairState::ApprovedShadowBlocked, ReviewState::ApprovedShadowBlocked, Status::Draft),
            (true, false) => (RepairState::Approved, ReviewState::Approved, target),
        };
        let review =
            Review { state: review, author: repair.row.author.clone(), reviewer: request.reviewer.clone(), note: request.note.clone() };
        let next = Next {
            by: request.reviewer.clone(),
            note: request.note.clone(),
            review: Some(review),
            metadata: request.metadata.clone(),
            ..Next::of(from.clone(), self.asks_of(&from).await?, status, ChangeKind::Reviewed, authority)
        };
        let said = |version: u32| Reviewed { version, by: request.reviewer.clone(), note: request.note.clone(), at: clock::now_ms() };
        let beside = |version: &Version| repairs::reviewed(space, &repair, state, said(version.version));
        let made = self.playbooks.add_status_version(space, &request.playbook_id, |_| Ok(Some(next.clone())), beside).await?;
        let version = made.ok_or_else(|| Error::new(Code::InternalError, "a review makes a version"))?;
        self.found();
        let (version, auto_promotion) =
            self.after_review(space, request, (state, target), version, shadow_validation.as_ref(), false).await?;
        Ok(ReviewOutcome { repair, details, state, version, shadow_validation, auto_promotion, repeated: false })
    }

    /// The version that is to be reviewed.
    async fn to_review(&self, space: &Space, request: &ReviewRequest) -> Result<Version> {
        let id = &request.playbook_id;
        let summary = self.playbooks.summary(space, id)?;
        let number = request.version.or(summary.pending.last().copied()).unwrap_or(summary.latest_version);
        let version = self.playbooks.get(space, id, Some(number))?;
        if version.awaits_review() && summary.pending.contains(&number) {
            return Ok(version);
        }
        let pending = json!({"version": number, "pending": summary.pending});
        if version.review.is_none() {
            let message = format!("version {number} of playbook {id} is no repair, and none before it is");
            return Err(Error::new(Code::ReplayRepairPatchMissing, message).with_details(pending));
        }
        let message = format!("version {number} of playbook {id} waits for no review");
        Err(Error::new(Code::ReplayRepairNotPendingReview, message).with_details(pending))
    }

    fn check_reviewer(&self, space: &Space, request: &ReviewRequest, repair: &Repair) -> Result<()> {
        let same = request.reviewer.is_some() && request.reviewer == repair.row.author;
        // To take one's own repair back is nobody else's to allow.
        if !same || !request.approve || !self.separates_reviewers(space, &request.playbook_id)? {
            return Ok(());
        }
        let who = request.reviewer.clone().unwrap_or_default();
        let message = format!("{who:?} made the repair in version {}; the policy asks for another one to approve it", repair.version);
        Err(Error::new(Code::ReviewerIsAuthor, message).with_details(json!({"author": repair.row.author, "reviewer": who})))
    }

    /// On whose word it gets which status. A shadow is trusted already: a share of jobs may go to it, and it runs where nothing is
    /// active. So without an operator an approval makes a draft, unless the policy opens reviews, and nobody else makes it active.
    pub(super) fn review_authority(&self, space: &Space, request: &ReviewRequest) -> Result<(Authority, Status)> {
        let shadow = Status::Shadow;
        if !request.approve {
            return Ok((Authority::Evidence, Status::Draft));
        }
        if request.by_operator {
            return Ok((Authority::Operator, request.target_status.unwrap_or(shadow)));
        }
        if self.promotion_is_open() {
            return Ok((Authority::Anybody, request.target_status.unwrap_or(shadow)));
        }
        let highest = if self.reviews_are_open(space, &request.playbook_id)? { shadow } else { Status::Draft };
        let status = request.target_status.unwrap_or(highest);
        if status == Status::Draft || status == highest {
            return Ok((Authority::Evidence, status));
        }
        let then = if highest == shadow { "which rises by what it shows" } else { "which an operator promotes" };
        let missing = format!("an operator's word: approve it as a {}, {then}", highest.as_str());
        let message = format!("a review makes no version {} without {missing}", status.as_str());
        Err(Error::new(Code::PromotionNotEarned, message).with_details(json!({"missing": [missing]})))
    }

    pub(super) async fn shadow_validation(
        &self,
        space: &Space,
        request: &ReviewRequest,
        version: &Version,
        details: &Details,
    ) -> Result<ShadowValidation> {
        let Explained::ByPlan(plan) = self.explained(version.component).await? else {
            return Err(Error::new(Code::PlanNotFound, "the repaired version has no plan"));
        };
        let options = match &version.origin {
            Origin::Compiled(compilation) => compilation.options.clone().unwrap_or_default(),
            Origin::Uploaded | Origin::Graph { .. } => crate::compiler::Options::default(),
        };
        let subject = Subject { digest: version.component, component: self.component(version.component).await? };
        let (mut answered, mut recordings): (BTreeSet<String>, Vec<Held>) = (BTreeSet::new(), Vec::new());
        for recording in self.recordings(space, version, None, &options).await? {
            let (rehearsed, held) = self.held(&subject, &plan, &recording, &details.diff).await?;
            let as_recorded = rehearsed.calls.iter().filter(|call| matches!(call.answered, Answered::AsRecorded(_)));
            answered.extend(as_recorded.map(|call| rehearse::step_of_turn(&call.step).to_owned()));
            recordings.push(held);
        }
        let steps = self.steps(space, version).await?;
        let broken = |step: &StepTemplate| {
            let at =
                |held: &&Held| held.verdict == Verdict::Broken && held.step.as_deref().map(rehearse::step_of_turn) == Some(&step.step_id);
            recordings.iter().find(at)
        };
        let check = |step: &StepTemplate| {
            let (readiness, why) = match broken(step) {
                Some(held) => ("blocked", held.why.clone()),
                None if answered.contains(&step.step_id) => ("ready", None),
                None => ("unknown", Some("no recording answers this step's call".to_owned())),
            };
            let (step_index, step_id, tool_name) = (step.step_index, step.step_id.clone(), step.tool_name.clone());
            ShadowStep { step_index, step_id, tool_name, readiness, why }
        };
        let checks: Vec<ShadowStep> = steps.iter().map(check).collect();
        let count = |readiness: &str| u32::try_from(checks.iter().filter(|c| c.readiness == readiness).count()).unwrap_or(u32::MAX);
        let broken = u32::try_from(recordings.iter().filter(|held| held.verdict == Verdict::Broken).count()).unwrap_or(u32::MAX);
        // What breaks at no step that is shown, such as the output, blocks all the same.
        let blocked_steps = count("blocked").max(broken.min(1));
        Ok(ShadowValidation {
            mode: request.validation_mode.clone(),
            pass: blocked_steps == 0,
            total_steps: u32::try_from(checks.len()).unwrap_or(u32::MAX),
            ready_steps: count("ready"),
            blocked_steps,
            unknown_steps: count("unknown"),
            checks,
            recordings,
            executed: false,
        })
    }

    /// The promotion that a review may bring with it; `again` where the review is not the first of its kind.
    pub(super) async fn after_review(
        &self,
        space: &Space,
        request: &ReviewRequest,
        (state, approved_as): (RepairState, Status),
        version: Version,
        validation: Option<&ShadowValidation>,
        again: bool,
    ) -> Result<(Version, AutoPromotion)> {
        let Some(target) = request.auto_promote.filter(|_| request.approve) else { return Ok((version, AutoPromotion::not(false, None))) };
        if validation.is_none() {
            return Ok((version, AutoPromotion::not(true, Some("auto_shadow_validate_required"))));
        }
        if state != RepairState::Approved || version.status != approved_as {
            return Ok((version, AutoPromotion::not(true, Some("review_not_in_target_status_on_approve"))));
        }
        let gate = request.gate.answer(validation.map(ShadowValidation::metrics));
        if !gate.pass {
            return Ok((version, AutoPromotion { gate: Some(gate), ..AutoPromotion::not(true, Some("gate_not_passed")) }));
        }
        if version.status == target {
            return Ok((version, AutoPromotion { gate: Some(gate), ..AutoPromotion::not(true, Some("already_target_status")) }));
        }
        let from = version.version;
        let promoted = match again {
            true => self.promoted_before(space, request, &version, target).await,
            false => self.promote_reviewed(space, request, &version, target).await,
        };
        match promoted {
            Ok(promoted) => {
                let (from_version, to_version) = (Some(from), Some(promoted.version));
                let done = AutoPromotion { promoted: true, gate: Some(gate), from_version, to_version, ..AutoPromotion::not(true, None) };
                Ok((promoted, done))
            }
            Err(e) if e.code == Code::PromotionNotEarned => {
                let missing = e.details.as_ref().and_then(|details| details["missing"].as_array().cloned()).unwrap_or_default();
                let missing = missing.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect();
                Ok((version, AutoPromotion { gate: Some(gate), missing, ..AutoPromotion::not(true, Some("promotion_not_earned")) }))
            }
            Err(e) => Err(e),
        }
    }
}
