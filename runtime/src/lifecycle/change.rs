//! How a version came about, where what it does comes from, and what a review said of it.
//!
//! All of it stands in the version's row and is written once. Names are on disk and in answers: they never change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::version::{Origin, Status};
use crate::ids::RunId;

/// What made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A recorded run was compiled.
    Compiled,
    /// A component was uploaded.
    Uploaded,
    /// A task graph was compiled.
    Graph,
    /// Several recorded runs were compiled.
    Learned,
    /// Somebody changed its status.
    Promoted,
    /// What it does was repaired.
    Repaired,
    /// A review approved or rejected it.
    Reviewed,
    /// The policy found that it had earned its status.
    AutoPromoted,
    /// The policy found that it had lost its status.
    AutoDemoted,
    /// The policy put the last good version back.
    RolledBack,
}

impl ChangeKind {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Compiled => "compiled",
            ChangeKind::Uploaded => "uploaded",
            ChangeKind::Graph => "graph",
            ChangeKind::Learned => "learned",
            ChangeKind::Promoted => "promoted",
            ChangeKind::Repaired => "repaired",
            ChangeKind::Reviewed => "reviewed",
            ChangeKind::AutoPromoted => "auto_promoted",
            ChangeKind::AutoDemoted => "auto_demoted",
            ChangeKind::RolledBack => "rolled_back",
        }
    }

    /// True where the version brings a component of its own; otherwise it is a copy with another standing.
    #[must_use]
    pub fn brings_content(self) -> bool {
        matches!(self, ChangeKind::Compiled | ChangeKind::Uploaded | ChangeKind::Graph | ChangeKind::Learned | ChangeKind::Repaired)
    }

    /// What makes a version of this origin.
    pub(super) fn of(origin: &Origin) -> ChangeKind {
        match origin {
            Origin::Compiled(compilation) if compilation.source_runs.len() > 1 => ChangeKind::Learned,
            Origin::Compiled(_) => ChangeKind::Compiled,
            Origin::Uploaded => ChangeKind::Uploaded,
            Origin::Graph { .. } => ChangeKind::Graph,
        }
    }
}

/// How a version came about: shown for as long as the version is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What made it.
    pub kind: ChangeKind,
    /// The version that it is a copy or a repair of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u32>,
    /// Who, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// True where the request came with the operator's token. Otherwise `by` is what somebody called themselves.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_operator: bool,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why, where the policy did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the policy would still have asked for, where an operator did it all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrode: Vec<String>,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Change {
    /// A change of this kind at this time, of which nothing else is known.
    #[must_use]
    pub fn plain(kind: ChangeKind, at: u64) -> Change {
        Change { kind, from_version: None, by: None, by_operator: false, note: None, reason: None, overrode: Vec::new(), at }
    }
}

/// Where what a version does comes from. Copied through every later version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// The runs that it was learned from, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub source_runs: Vec<RunId>,
    /// What the client said it was distilled from, in Aionis' words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation_origin: Option<String>,
}

impl Provenance {
    /// What an origin says by itself.
    #[must_use]
    pub fn of(origin: &Origin) -> Provenance {
        let source_runs = match origin {
            Origin::Compiled(compilation) => compilation.runs().to_vec(),
            Origin::Uploaded | Origin::Graph { .. } => Vec::new(),
        };
        Provenance { source_runs, distillation_origin: None }
    }
}

/// How far a review has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// It waits for somebody to look at it.
    PendingReview,
    /// Somebody did, and it may run.
    Approved,
    /// Somebody did, and it may not.
    Rejected,
    /// Somebody did and approved it, but a recording breaks with it: it does not run by itself.
    ApprovedShadowBlocked,
}

/// What is said of a version that may not run before somebody has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// How far it has come.
    pub state: ReviewState,
    /// Who made it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Who looked at it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// On whose word a version gets its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// An operator's: any status, and whatever the version asks for.
    Operator,
    /// Anybody's, where the operator opened that: any status, but nothing that asks for more.
    Anybody,
    /// That of the evidence: nothing that asks for more, and nothing that was disabled.
    Evidence,
}

impl Authority {
    /// Whether what asks for more than what ran before may run on this word.
    #[must_use]
    pub fn may_widen(self) -> bool {
        self == Authority::Operator
    }

    /// Whether a playbook that was disabled may run again on this word.
    #[must_use]
    pub fn may_enable(self) -> bool {
        self != Authority::Evidence
    }
}

/// True for a status that is worth more than the other one. Nothing is worth less than to be disabled.
#[must_use]
pub fn is_higher(status: Status, than: Status) -> bool {
    let rank = |status| match status {
        Status::Disabled => 0,
        Status::Draft => 1,
        Status::Shadow => 2,
        Status::Active => 3,
    };
    rank(status) > rank(than)
}
