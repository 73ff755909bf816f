//! May this playbook stand in for the agent's own thinking? The deterministic gate, as Aionis has it.
//!
//! A pure read: nothing runs and nothing is written. Matching is equality of canonical JSON, not of patterns.

use serde::Serialize;
use utoipa::ToSchema;

use super::Engine;
use crate::error::Result;
use crate::ids::{PlaybookId, Space};
use crate::json::Json;
use crate::lifecycle::{Origin, Status, Version};

/// What a caller demands before a playbook may replace its own inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// False: the gate is not asked.
    pub enabled: bool,
    /// Whether a match makes a simulation a real, strict replay.
    pub prefer_deterministic_execution: bool,
    /// What a mismatch means.
    pub on_mismatch: OnMismatch,
    /// The version's status must be one of these.
    pub required_statuses: Vec<Status>,
    /// Must equal the playbook's; none demands nothing.
    pub matchers: Option<Json>,
    /// Must equal the playbook's; none demands nothing.
    pub policy_constraints: Option<Json>,
}

/// What a caller wants done on a mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// Go on as without a gate.
    Fallback,
    /// Do nothing.
    Reject,
}

impl Default for Gate {
    fn default() -> Self {
        Gate {
            enabled: true,
            prefer_deterministic_execution: true,
            on_mismatch: OnMismatch::Fallback,
            required_statuses: vec![Status::Shadow, Status::Active],
            matchers: None,
            policy_constraints: None,
        }
    }
}

/// How a playbook would be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing is done.
    Simulate,
    /// Exactly as compiled; the first failure ends it.
    Strict,
    /// Exactly as compiled; a failure stops it until somebody says how it goes on.
    Guided,
}

impl Mode {
    /// Every mode with its word.
    pub const NAMES: &'static [(&'static str, Mode)] = &[("simulate", Mode::Simulate), ("strict", Mode::Strict), ("guided", Mode::Guided)];
}

/// What the gate came to, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// There was no gate, or it was switched off.
    Disabled,
    /// Everything fits; the mode stays as it was.
    Matched,
    /// Everything fits, and the simulation becomes a strict replay.
    PromotedToStrict,
    /// Something does not fit; the mode stays as it was.
    FallbackToRequestedMode,
    /// Something does not fit, and nothing is to be done.
    Rejected,
}

/// The gate's answer, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Judgement {
    /// Whether the gate was asked.
    pub enabled: bool,
    /// As asked; `simulate` for a candidate.
    pub requested_mode: Mode,
    /// What the gate makes of it.
    pub effective_mode: Mode,
    /// In a word.
    pub decision: Decision,
    /// `status_not_allowed_for_deterministic_replay`, `matcher_fingerprint_mismatch`, `policy_constraints_fingerprint_mismatch`.
    pub mismatch_reasons: Vec<&'static str>,
    /// Whether the caller may leave out its own inference.
    pub inference_skipped: bool,
    /// The version's status.
    pub playbook_status: Status,
    /// As asked.
    pub required_statuses: Vec<Status>,
    /// Whether the status is one of them.
    pub status_match: bool,
    /// Whether the matchers are equal, or none were asked.
    pub matchers_match: bool,
    /// Whether the policy constraints are equal, or none were asked.
    pub policy_constraints_match: bool,
    /// Whether the gate was asked and all of it fits.
    pub matched: bool,
    /// SHA-256 of the canonical JSON; null where none were asked.
    pub request_matcher_fingerprint: Option<String>,
    /// SHA-256 of the canonical JSON.
    pub playbook_matcher_fingerprint: String,
    /// SHA-256 of the canonical JSON; null where none were asked.
    pub request_policy_fingerprint: Option<String>,
    /// SHA-256 of the canonical JSON.
    pub playbook_policy_fingerprint: String,
}

impl Engine {
    /// Holds a version against a gate; without one, the gate counts as switched off.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn candidate(&self, space: &Space, id: &PlaybookId, version: Option<u32>, gate: Option<&Gate>) -> Result<(Version, Judgement)> {
        self.judge(space, id, version, gate, Mode::Simulate)
    }

    /// The same for a run in another mode than a simulation.
    pub(super) fn judge(
        &self,
        space: &Space,
        id: &PlaybookId,
        version: Option<u32>,
        gate: Option<&Gate>,
        requested: Mode,
    ) -> Result<(Version, Judgement)> {
        let version = self.playbook(space, id, version)?;
        let (matchers, constraints) = match &version.origin {
            Origin::Compiled(compilation) => {
                let mended = compilation.mended.as_ref();
                (compilation.matchers.as_ref(), mended.and_then(|mended| mended.policy_constraints.as_ref()))
            }
            Origin::Uploaded | Origin::Graph { .. } => (None, None),
        };
        let judgement = judge(gate, requested, version.status, matchers, constraints);
        Ok((version, judgement))
    }
}

/// The gate itself. A playbook without matchers has `{}`, and one whose policy constraints no repair has set has `{}` of these.
fn judge(gate: Option<&Gate>, requested: Mode, status: Status, matchers: Option<&Json>, constraints: Option<&Json>) -> Judgement {
    let switched_off = Gate { enabled: false, prefer_deterministic_execution: false, ..Gate::default() };
    let gate = gate.unwrap_or(&switched_off);
    let nothing = Json::from(&serde_json::json!({}));
    let (matchers, constraints) = (matchers.unwrap_or(&nothing), constraints.unwrap_or(&nothing));
    let status_match = gate.required_statuses.contains(&status);
    let matchers_match = gate.matchers.as_ref().is_none_or(|asked| asked == matchers);
    let policy_constraints_match = gate.policy_constraints.as_ref().is_none_or(|asked| asked == constraints);
    let matched = gate.enabled && status_match && matchers_match && policy_constraints_match;
    let promoted = matched && gate.prefer_deterministic_execution && requested == Mode::Simulate;
    let effective = if promoted { Mode::Strict } else { requested };
    let reasons = [
        (status_match, "status_not_allowed_for_deterministic_replay"),
        (matchers_match, "matcher_fingerprint_mismatch"),
        (policy_constraints_match, "policy_constraints_fingerprint_mismatch"),
    ];
    let decision = match (gate.enabled, matched, gate.on_mismatch) {
        (false, ..) => Decision::Disabled,
        (true, true, _) if promoted => Decision::PromotedToStrict,
        (true, true, _) => Decision::Matched,
        (true, false, OnMismatch::Reject) => Decision::Rejected,
        (true, false, OnMismatch::Fallback) => Decision::FallbackToRequestedMode,
    };
    Judgement {
        enabled: gate.enabled,
        requested_mode: requested,
        effective_mode: effective,
        decision,
        mismatch_reasons: reasons.iter().filter(|(fits, _)| gate.enabled && !fits).map(|(_, reason)| *reason).collect(),
        inference_skipped: matched && effective == Mode::Strict,
        playbook_status: status,
        required_statuses: gate.required_statuses.clone(),
        status_match,
        matchers_match,
        policy_constraints_match,
        matched,
        request_matcher_fingerprint: gate.matchers.as_ref().map(|json| json.digest().to_string()),
        playbook_matcher_fingerprint: matchers.digest().to_string(),
        request_policy_fingerprint: gate.policy_constraints.as_ref().map(|json| json.digest().to_string()),
        playbook_policy_fingerprint: constraints.digest().to_string(),
    }
}

impl Judgement {
    /// What the caller should do now.
    #[must_use]
    pub fn next_action(&self) -> &'static str {
        match self.decision {
            Decision::Disabled => "deterministic_gate_not_requested",
            Decision::Matched | Decision::PromotedToStrict => "safe_to_skip_primary_inference",
            Decision::Rejected => "inspect_gate_mismatch_before_execution",
            Decision::FallbackToRequestedMode if !self.status_match => "promote_or_select_a_replayable_playbook_version",
            Decision::FallbackToRequestedMode => "fallback_to_normal_planner_or_simulate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Gate, status, matchers; what is decided, why, and what follows.
    type Case<'a> = (Option<Gate>, Status, &'a Option<Json>, Decision, Vec<&'a str>, &'a str);

    fn json_of(value: Value) -> Option<Json> {
        Some(Json::from(&value))
    }

    #[test]
    fn the_gate_opens_for_equality_alone() {
        let plain = Gate::default();
        let here = json_of(json!({"repo": "a", "branch": "main"}));
        let same = json_of(json!({"branch": "main", "repo": "a"}));
        let less = json_of(json!({"repo": "a"}));
        let empty = json_of(json!({}));
        let reject = |gate: Gate| Gate { on_mismatch: OnMismatch::Reject, ..gate };
        let matching = |matchers: &Option<Json>| Gate { matchers: matchers.clone(), ..Gate::default() };
        let policy = |policy: &Option<Json>| Gate { policy_constraints: policy.clone(), ..Gate::default() };
        let (status, matcher, constraints) =
            ("status_not_allowed_for_deterministic_replay", "matcher_fingerprint_mismatch", "policy_constraints_fingerprint_mismatch");
        let cases: Vec<Case<'_>> = vec![
            (None, Status::Active, &None, Decision::Disabled, vec![], "deterministic_gate_not_requested"),
            (
                Some(Gate { enabled: false, ..matching(&less) }),
                Status::Draft,
                &here,
                Decision::Disabled,
                vec![],
                "deterministic_gate_not_requested",
            ),
            (Some(plain.clone()), Status::Active, &here, Decision::PromotedToStrict, vec![], "safe_to_skip_primary_inference"),
            (Some(plain.clone()), Status::Shadow, &None, Decision::PromotedToStrict, vec![], "safe_to_skip_primary_inference"),
            (Some(matching(&same)), Status::Active, &here, Decision::PromotedToStrict, vec![], "safe_to_skip_primary_inference"),
            (Some(matching(&empty)), Status::Active, &None, Decision::PromotedToStrict, vec![], "safe_to_skip_primary_inference"),
            (
                Some(Gate { prefer_deterministic_execution: false, ..plain.clone() }),
                Status::Active,
                &None,
                Decision::Matched,
                vec![],
                "safe_to_skip_primary_inference",
            ),
            (
                Some(plain.clone()),
                Status::Draft,
                &None,
                Decision::FallbackToRequestedMode,
                vec![status],
                "promote_or_select_a_replayable_playbook_version",
            ),
            (Some(reject(plain)), Status::Disabled, &None, Decision::Rejected, vec![status], "inspect_gate_mismatch_before_execution"),
            (
                Some(matching(&less)),
                Status::Active,
                &here,
                Decision::FallbackToRequestedMode,
                vec![matcher],
                "fallback_to_normal_planner_or_simulate",
            ),
            (Some(policy(&empty)), Status::Active, &None, Decision::PromotedToStrict, vec![], "safe_to_skip_primary_inference"),
            (
                Some(Gate { matchers: less.clone(), ..reject(policy(&less)) }),
                Status::Draft,
                &None,
                Decision::Rejected,
                vec![status, matcher, constraints],
                "inspect_gate_mismatch_before_execution",
            ),
        ];
        for (gate, status, matchers, decision, reasons, next) in cases {
            let judged = judge(gate.as_ref(), Mode::Simulate, status, matchers.as_ref(), None);
            assert_eq!(
                (judged.decision, &judged.mismatch_reasons, judged.next_action()),
                (decision, &reasons, next),
                "{gate:?} {status:?}"
            );
            let strict = decision == Decision::PromotedToStrict;
            assert_eq!((judged.effective_mode == Mode::Strict, judged.inference_skipped), (strict, strict));
            assert_eq!(judged.matched, strict || decision == Decision::Matched);
        }
    }
}
