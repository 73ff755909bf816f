//! Repairs: a playbook mended by a patch, by a run that got past the failing step, or by what a model proposed.
//!
//! Each becomes a version that waits for a review, with what it does otherwise, what it may do more, and what every known
//! recording says of it. Nothing of it runs before somebody approved it. What must stay true: a proposal is data like any other
//! patch, held against everything that a patch is held against; and a repair never changes what runs.

mod again;
mod made;
mod policy;
mod proof;
mod review;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use made::Repaired;
pub use review::{AutoPromoteGate, AutoPromotion, GateAnswer, GateMetrics, ReviewOutcome, ReviewRequest, ShadowStep, ShadowValidation};

use super::Engine;
use crate::compiler::diff::PlanDiff;
use crate::compiler::emit::Explained;
use crate::compiler::patch::{Shown, Summary};
use crate::compiler::plan::Plan;
use crate::compiler::rehearse::Held;
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, PlaybookId, RunId, Space};
use crate::json::Json;
use crate::lifecycle::repairs::{Repair, RepairFilter, RepairsPage};
use crate::lifecycle::{Compilation, Origin, Status, Version};
use crate::tools::asks::{Asks, Diff, PermissionDiff};
use crate::{blocking, json, limits};

/// What is to be mended, and how.
#[derive(Debug, Clone)]
pub struct RepairRequest {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version; without one the newest that no review holds back.
    pub from_version: Option<u32>,
    /// Where the patch comes from.
    pub with: RepairWith,
    /// Who, where that is known.
    pub author: Option<String>,
    /// What they say about it.
    pub note: Option<String>,
    /// Whether somebody is to look at it before it may run.
    pub review_required: bool,
    /// The status that it is meant for.
    pub target_status: Status,
    /// Whatever else is to be kept.
    pub metadata: Option<Json>,
    /// Whether an operator asks.
    pub by_operator: bool,
}

/// Where a patch comes from.
#[derive(Debug, Clone)]
pub enum RepairWith {
    /// It was sent.
    Patch(Value),
    /// A run that got past the failing step is spliced in.
    Run {
        /// The run.
        run_id: RunId,
        /// The step at which the playbook fails; without one, the first that the run did not make.
        failing_step: Option<String>,
    },
    /// A model is asked.
    Propose {
        /// A job that failed, whose packet it is shown.
        job_id: Option<JobId>,
        /// What else there is to know.
        context: Json,
    },
}

/// Everything that is known of a repair beside its row. A name here never changes its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The patch, as it was sent or made.
    pub patch: Json,
    /// What it did, in numbers.
    pub summary: Summary,
    /// What the version does otherwise.
    pub diff: PlanDiff,
    /// What it asks for more than the version that it mends.
    pub asks_added: Asks,
    /// What that one asked for and it does not.
    pub asks_removed: Asks,
    /// What each known recording says of it.
    pub proof: Vec<Held>,
    /// The run that was spliced in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Which model proposed it, out of what. Holds no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Json>,
}

impl Details {
    /// What clients see of it.
    #[must_use]
    pub fn to_json(&self, words: impl Fn(&crate::contract::ToolId) -> Option<String>) -> Value {
        let permission_diff = Diff { added: self.asks_added.clone(), removed: self.asks_removed.clone() }.words(words);
        let mut shown = json!({
            "patch": self.patch.value(), "repair_summary": self.summary, "diff": self.diff, "diff_lines": self.diff.lines(),
            "permission_diff": permission_diff,
            "proof": self.proof,
        });
        if let Some(fields) = shown.as_object_mut() {
            fields.extend(self.run_id.iter().map(|run| ("source_run_id".to_owned(), json!(run))));
            fields.extend(self.proposal.iter().map(|evidence| ("proposal".to_owned(), evidence.value())));
        }
        shown
    }
}

/// What a version is, for whoever mends it.
struct Mendable {
    version: Version,
    compilation: Compilation,
    plan: Plan,
    shown: Vec<Shown>,
}

impl Engine {
    /// A repair with its details.
    ///
    /// # Errors
    /// `repair_not_found`, `replay_playbook_not_found`.
    pub async fn repair_of(&self, space: &Space, id: &PlaybookId, version: u32) -> Result<(Repair, Details)> {
        let repair = self.playbooks.repair(space, id, version)?;
        let details = self.repair_details(&repair).await?;
        Ok((repair, details))
    }

    /// Repairs in the order of playbooks and versions, and behind which one the next page begins.
    ///
    /// # Errors
    /// What the store says.
    pub async fn repairs(
        &self,
        space: &Space,
        filter: RepairFilter,
        after: Option<(PlaybookId, u32)>,
        limit: usize,
    ) -> Result<RepairsPage> {
        let (playbooks, space) = (self.playbooks.clone(), space.clone());
        blocking::run(move || playbooks.repairs(&space, &filter, after, limit)).await
    }

    /// A repair's details as clients see them.
    #[must_use]
    pub fn repair_view(&self, details: &Details) -> Value {
        details.to_json(|tool| self.words(tool).map(|(words, _)| words))
    }

    /// What a repair may do more and less than the version that it mends, in words.
    #[must_use]
    pub fn permission_diff_of(&self, details: &Details) -> PermissionDiff {
        let words = |tool: &crate::contract::ToolId| self.words(tool).map(|(words, _)| words);
        Diff { added: details.asks_added.clone(), removed: details.asks_removed.clone() }.words(words)
    }

    async fn repair_details(&self, repair: &Repair) -> Result<Details> {
        let (store, digest) = (self.store.clone(), repair.row.details);
        blocking::run(move || {
            let bytes = store.blobs().get(&digest)?;
            let value = json::parse(&bytes)?;
            serde_json::from_value(value).map_err(|e| Error::stored("the details of a repair", &e))
        })
        .await
    }

    /// The newest version that no review holds back; where all of the latest ones are, the one that runs, which none ever is.
    pub(super) async fn newest_sound(&self, space: &Space, id: &PlaybookId) -> Result<Version> {
        let latest = self.playbooks.versions(space, id, None, limits::VERSIONS_LOOK_BACK)?;
        match latest.into_iter().find(|version| !version.is_held_back()) {
            Some(version) => Ok(version),
            None => self.playbooks.get(space, id, None),
        }
    }

    async fn mendable(&self, space: &Space, id: &PlaybookId, number: Option<u32>) -> Result<Mendable> {
        let version = match number {
            Some(number) => self.playbooks.get(space, id, Some(number))?,
            None => self.newest_sound(space, id).await?,
        };
        let none = |why: &str| {
            let message = format!("version {} of playbook {id} cannot be repaired: {why}", version.version);
            Err(Error::new(Code::PlanNotFound, message))
        };
        let Origin::Compiled(compilation) = version.origin.clone() else {
            return none("it was not compiled from recordings; upload the next component, or send the graph as it is to be");
        };
        let plan = match self.explained(version.component).await? {
            Explained::ByPlan(plan) => *plan,
            Explained::Falsely(why) => return none(&why),
            Explained::Not => return none("its component has no plan"),
        };
        let shown = self.steps(space, &version).await?.iter().map(super::StepTemplate::as_shown).collect();
        Ok(Mendable { version, compilation: *compilation, plan, shown })
    }
}
