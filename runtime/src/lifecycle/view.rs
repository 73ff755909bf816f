//! What people and programs see of versions, evidence and verdicts: the same over HTTP and on the command line.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::evidence::{Drift, Event, EventKind, Outcome};
use super::ledger::Ledger;
use super::policy::wilson;
use super::{Change, ChangeKind, Judged, Provenance, Review, ReviewState, Status, Version};
use crate::clock::rfc3339;
use crate::config::Policy;
use crate::json::Json;

/// How a version came about.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangeView {
    /// What made it.
    pub kind: ChangeKind,
    /// The version that it is a copy or a repair of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u32>,
    /// Who, where that is known; `policy` for the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether the request came with the operator's token; otherwise `by` is what somebody called themselves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_operator: bool,
    /// What they said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why, where the policy did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the policy would still have asked for, where it was done all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrode: Vec<String>,
    /// RFC 3339, UTC.
    pub at: String,
}

impl ChangeView {
    /// Of a change.
    #[must_use]
    pub fn of(change: &Change) -> ChangeView {
        let Change { kind, from_version, by, by_operator, note, reason, overrode, at } = change.clone();
        ChangeView { kind, from_version, by, by_operator, note, reason, overrode, at: rfc3339(at) }
    }
}

/// A version in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VersionRow {
    /// From 1, without gaps.
    pub version: u32,
    /// How far it is trusted.
    pub status: Status,
    /// Whether it is the one that runs where none is named.
    pub runs: bool,
    /// For people.
    pub name: String,
    /// SHA-256 of the component.
    pub component_digest: String,
    /// How it came about.
    pub made_by: ChangeView,
    /// Where what it does comes from.
    pub provenance: Provenance,
    /// What a review says of it; absent of one that needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Which version says what a review made of it; absent where none has yet. A version never changes, so that `review` says how it
    /// was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewed_as: Option<ReviewedAs>,
    /// Whatever was to be kept with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// What a review made of a version.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct ReviewedAs {
    /// The version that says so.
    pub version: u32,
    /// What it says.
    pub state: ReviewState,
}

impl VersionRow {
    /// Of a version; `runs` is the number of the one that runs.
    #[must_use]
    pub fn of(version: &Version, runs: u32, reviewed: Option<&Version>) -> VersionRow {
        let said = reviewed.and_then(|by| Some(ReviewedAs { version: by.version, state: by.review.as_ref()?.state }));
        VersionRow {
            reviewed_as: said,
            version: version.version,
            status: version.status,
            runs: version.version == runs,
            name: version.name.clone(),
            component_digest: version.component.to_string(),
            made_by: ChangeView::of(&version.made_by),
            provenance: version.provenance.clone(),
            review: version.review.clone(),
            metadata: version.metadata.as_ref().map(Json::value),
            created_at: rfc3339(version.created_at_ms),
        }
    }
}

/// One piece of evidence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceView {
    /// Names it, and is a cursor.
    pub evidence_id: String,
    /// What was done.
    pub kind: EventKind,
    /// Under which number.
    pub version: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// False for what says nothing of the component: a failure for want of a grant or of time, one that was counted when its job was
    /// given up, or a success for which a person vouched.
    pub counts: bool,
    /// SHA-256 of a job's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_digest: Option<String>,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The recorded run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Where it went another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// Calls of tools.
    pub calls: u64,
    /// Milliseconds from beginning to end.
    pub milliseconds: u64,
    /// RFC 3339, UTC.
    pub at: String,
}

impl EvidenceView {
    /// Of one piece and its id.
    #[must_use]
    pub fn of(id: &[u8; 16], event: &Event) -> EvidenceView {
        EvidenceView {
            evidence_id: hex::encode(id),
            kind: event.kind,
            version: event.version,
            outcome: event.outcome,
            counts: event.counts,
            input_digest: event.input_digest.map(|digest| digest.to_string()),
            job_id: event.job_id.map(|job| job.to_string()),
            run_id: event.run_id.as_ref().map(ToString::to_string),
            drift: event.drift.clone(),
            calls: event.calls,
            milliseconds: event.ms,
            at: rfc3339(event.at),
        }
    }
}

/// The latest jobs of a component, under whatever version and status. Copies of a version share them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ComponentJobs {
    /// Those that succeeded.
    pub successes: u64,
    /// Those that failed.
    pub failures: u64,
    /// The least that the true share of successes is, with 97.5 % certainty.
    pub success_bound: f64,
}

/// What the policy makes of a version.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VerdictView {
    /// The version.
    pub version: u32,
    /// Its status.
    pub status: Status,
    /// Recordings that it was proved against.
    pub proofs: u64,
    /// Recordings that it reproduced without touching anything.
    pub recordings: u64,
    /// Jobs that succeeded and count for the status that it has: of an active version those since it is active.
    pub successes: u64,
    /// Jobs that failed and count for the status that it has.
    pub failures: u64,
    /// Different inputs among those that succeeded.
    pub distinct_inputs: u64,
    /// The least that its true share of successes is, with 97.5 % certainty.
    pub success_bound: f64,
    /// All jobs of its component, under whatever version and status: what `match` expects is counted so too.
    pub component: ComponentJobs,
    /// The status that it has earned; absent where that is the one it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earned: Option<Status>,
    /// What is missing for the next status, in words.
    pub missing: Vec<String>,
    /// Why it loses its status; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub falls: Option<String>,
}

impl VerdictView {
    /// Of a version and what was found of it.
    #[must_use]
    pub fn of(version: &Version, judged: &Judged) -> VerdictView {
        let Judged { tally, verdict, .. } = judged;
        VerdictView {
            version: version.version,
            status: version.status,
            proofs: tally.proofs,
            recordings: tally.recordings,
            successes: tally.successes,
            failures: tally.failures,
            distinct_inputs: tally.distinct_inputs,
            success_bound: (wilson(tally.successes, tally.failures) * 1000.0).round() / 1000.0,
            component: ComponentJobs {
                successes: tally.component.successes,
                failures: tally.component.failures,
                success_bound: tally.component.bound(),
            },
            earned: verdict.promote_to,
            missing: verdict.missing.clone(),
            falls: verdict.demote.clone(),
        }
    }
}

/// A page of versions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VersionPage {
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// The playbook.
    pub playbook_id: String,
    /// Newest first.
    pub versions: Vec<VersionRow>,
    /// The next page's `cursor`; null where this is the last.
    pub next: Option<String>,
}

/// A page of what became of a playbook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HistoryPage {
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// The playbook.
    pub playbook_id: String,
    /// Newest first.
    pub changes: Vec<HistoryRow>,
    /// The next page's `cursor`; null where this is the last.
    pub next: Option<String>,
}

/// One version, and how it came about.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HistoryRow {
    /// The version.
    pub version: u32,
    /// The status that it has.
    pub status: Status,
    /// How it came about.
    #[serde(flatten)]
    pub change: ChangeView,
}

/// A page of evidence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidencePage {
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// The playbook.
    pub playbook_id: String,
    /// The component that all of it is on; versions with the same one share it.
    pub component_digest: String,
    /// What the policy makes of it.
    pub verdict: VerdictView,
    /// Newest first.
    pub evidence: Vec<EvidenceView>,
    /// The next page's `cursor`; null where this is the last.
    pub next: Option<String>,
}

/// What a playbook saved, and a page of its jobs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LedgerPage {
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// The playbook.
    pub playbook_id: String,
    /// The sums.
    #[serde(flatten)]
    pub ledger: Ledger,
    /// Its jobs, newest first.
    pub rows: Vec<EvidenceView>,
    /// The next page's `cursor`; null where this is the last.
    pub next: Option<String>,
}

/// What a promotion came to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PromotionView {
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// The playbook.
    pub playbook_id: String,
    /// What was promoted.
    pub from_version: u32,
    /// The version that has the status.
    pub to_version: u32,
    /// The status.
    pub status: Status,
    /// True where the newest version had the status already, and nothing was made.
    pub unchanged: bool,
    /// The version that runs where none is named.
    pub active_version: u32,
    /// How it came about.
    pub change: ChangeView,
}

/// A policy, and what of it is settled where it was asked for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicyView {
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// The playbook; absent where it is the space's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playbook_id: Option<String>,
    /// What holds.
    pub policy: Policy,
    /// What of it was settled for exactly this; the rest is settled above it.
    #[schema(value_type = Object)]
    pub settled: Value,
}
