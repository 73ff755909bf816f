//! Promotion, policy, evidence and history of playbooks, as people and programs ask for them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Engine;
use crate::compiler::diff::PlanDiff;
use crate::compiler::emit::Explained;
use crate::config::{Policy, PolicyChange};
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::lifecycle::evidence::{Event, EventKind};
use crate::lifecycle::ledger::{Ledger, RunCost, ledger};
use crate::lifecycle::{Authority, ChangeKind, Judged, Next, PlaybookFilter, Status, Summary, Version, promotion_not_earned};
use crate::store::Batch;
use crate::tools::asks::{Ask, Diff, PermissionDiff};
use crate::{blocking, limits};

/// A change of a version's status that somebody asks for.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version; the newest where none is named.
    pub from_version: Option<u32>,
    /// The status it is to have.
    pub target: Status,
    /// Who asks, where that is known.
    pub by: Option<String>,
    /// What they say about it.
    pub note: Option<String>,
    /// What is to be kept with the new version, an object.
    pub metadata: Option<crate::json::Json>,
    /// Whether an operator asks.
    pub operator: bool,
}

/// What a promotion came to.
#[derive(Debug, Clone)]
pub struct Promoted {
    /// What was asked to be promoted.
    pub from: Version,
    /// The version that has the status: a new one, or the newest where that has it already.
    pub version: Version,
    /// True where the newest version, with the same component, had the status already.
    pub unchanged: bool,
}

impl Engine {
    /// Gives a version's component another status, as the next version. An operator gives any; anybody else what the evidence
    /// allows, or any that asks for no more where the configuration opens promotion.
    ///
    /// # Errors
    /// `replay_playbook_not_found`; `promotion_not_earned` with what is missing; `operator_token_missing` where anybody else disables a
    /// playbook; `contended`.
    pub async fn promote(&self, space: &Space, promotion: &Promotion) -> Result<Promoted> {
        self.promote_where(space, promotion, |_| Ok(())).await
    }

    /// As [`Engine::promote`], where `may` has nothing against it of the playbook as it stands when it is written.
    pub(super) async fn promote_where(
        &self,
        space: &Space,
        promotion: &Promotion,
        may: impl Fn(&Summary) -> Result<()>,
    ) -> Result<Promoted> {
        let id = &promotion.playbook_id;
        let authority = match (promotion.operator, self.config.lifecycle.open_promotion) {
            (true, _) => Authority::Operator,
            (false, true) => Authority::Anybody,
            (false, false) => Authority::Evidence,
        };
        if authority == Authority::Evidence && promotion.target == Status::Disabled {
            // No evidence earns it, so that only the token is missing.
            self.playbooks.summary(space, id)?;
            self.check_operator(None)?;
        }
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let latest = self.playbooks.summary(space, id)?.latest_version;
            let from = self.playbook(space, id, Some(promotion.from_version.unwrap_or(latest)))?;
            let asks = self.asks_of(&from).await?;
            if from.status == Status::Draft && !from.is_held_back() {
                self.lifecycle.rehearse(space, &from).await?;
            }
            let like = self.lifecycle.newest_like(space, &from)?;
            if authority == Authority::Evidence
                && like.status == promotion.target
                && !from.is_held_back()
                && self.lifecycle.stands(space, &like)?
            {
                // What is so already is not made so anew: evidence would begin anew with it.
                return Ok(Promoted { from, version: like, unchanged: true });
            }
            let moved = AtomicBool::new(false);
            let next = |before: &Summary| {
                if before.latest_version != latest {
                    moved.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                may(before)?;
                let newest = self.playbook(space, id, Some(latest))?;
                let is_so = newest.component == from.component && newest.status == promotion.target;
                let stands = match promotion.target {
                    // An older version may have been let run in its place.
                    Status::Active => before.active_version == latest,
                    target => before.active_status != Status::Disabled || target == Status::Disabled,
                };
                if is_so && stands && !from.is_held_back() {
                    return Ok(None);
                }
                let missing = self.lifecycle.missing(space, &from, promotion.target)?;
                // Nobody gets rid of what was lost by naming a version from before that.
                let from = Version { trusted_since_ms: like.trusted_since_ms, ..from.clone() };
                if authority == Authority::Evidence && !missing.is_empty() {
                    return Err(promotion_not_earned(&from, promotion.target, &missing));
                }
                let next = Next::of(from, asks.clone(), promotion.target, ChangeKind::Promoted, authority);
                let raised = matches!(promotion.target, Status::Shadow | Status::Active);
                Ok(Some(Next {
                    by: promotion.by.clone(),
                    note: promotion.note.clone(),
                    metadata: promotion.metadata.clone(),
                    overrode: if raised { missing } else { Vec::new() },
                    ..next
                }))
            };
            match self.playbooks.add_status_version(space, id, next, |_| Batch::new()).await? {
                Some(version) => {
                    self.found();
                    return Ok(Promoted { from, version, unchanged: false });
                }
                None if !moved.load(Ordering::Relaxed) => {
                    let version = self.playbook(space, id, Some(latest))?;
                    return Ok(Promoted { from, version, unchanged: true });
                }
                None => {}
            }
        }
        Err(Error::new(Code::Contended, format!("many versions of playbook {id} are being added at once; try again")))
    }

    /// What holds for a playbook, or for a space where none is named, and what of it was settled there.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn policy(&self, space: &Space, id: Option<&PlaybookId>) -> Result<(Policy, PolicyChange)> {
        if let Some(id) = id {
            self.playbooks.summary(space, id)?;
        }
        let policies = self.lifecycle.policies();
        Ok((policies.of(space, id)?, policies.change(space, id)?))
    }

    /// Settles a policy for a playbook, or for a space where none is named, in the place of what was settled there before.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub async fn put_policy(&self, space: &Space, id: Option<&PlaybookId>, change: &PolicyChange) -> Result<Policy> {
        self.lifecycle.policies().put(space, id, change).await?;
        self.lifecycle.ring();
        Ok(self.policy(space, id)?.0)
    }

    /// Playbooks that a filter takes, in the order of their ids, and behind which one the next page begins.
    ///
    /// # Errors
    /// What the store says.
    pub fn playbooks_where(
        &self,
        space: &Space,
        filter: &PlaybookFilter,
        after: Option<&PlaybookId>,
        limit: usize,
    ) -> Result<(Vec<Summary>, Option<PlaybookId>)> {
        self.playbooks.list_where(space, filter, after, limit)
    }

    /// Versions of a playbook, newest first.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn versions(&self, space: &Space, id: &PlaybookId, before: Option<u32>, limit: usize) -> Result<Vec<Version>> {
        self.playbooks.versions(space, id, before, limit)
    }

    /// Evidence on the component of a version, newest first, each with its id.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn evidence_on(
        &self,
        space: &Space,
        id: &PlaybookId,
        version: Option<u32>,
        before: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<(Version, Vec<Piece>)> {
        let version = self.playbook(space, id, version)?;
        let events = self.lifecycle.evidence(space, &version, before, limit)?;
        Ok((version, events))
    }

    /// What is known of a version, and what its policy makes of it.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn judged(&self, space: &Space, version: &Version) -> Result<Judged> {
        let summary = self.playbooks.summary(space, &version.playbook_id)?;
        let policy = self.lifecycle.policies().of(space, Some(&version.playbook_id))?;
        self.lifecycle.judged(space, &summary, version, &policy)
    }

    /// Does what the policies say wherever there is something new, and waits for it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn consider(&self) -> Result<usize> {
        self.lifecycle.look().await
    }

    /// A version is there that was not there before.
    pub(super) fn found(&self) {
        self.lifecycle.ring();
    }
}

/// A piece of evidence with its id.
pub type Piece = ([u8; 16], Event);

/// What two versions do otherwise, and what one may do that the other may not.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct VersionDiff {
    /// The playbook.
    pub playbook_id: String,
    /// The older one.
    pub from: u32,
    /// The newer one.
    pub to: u32,
    /// True where both have the same component.
    pub same_component: bool,
    /// What their plans do otherwise; absent where one of them has no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanDiff>,
    /// What `to` asks for more and less than `from`.
    pub permission_diff: PermissionDiff,
    /// All of it in words.
    pub lines: Vec<String>,
}

impl Engine {
    /// What two versions of a playbook do otherwise.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, `data_corrupt`.
    pub async fn diff(&self, space: &Space, id: &PlaybookId, from: u32, to: u32) -> Result<VersionDiff> {
        let (old, new) = (self.playbook(space, id, Some(from))?, self.playbook(space, id, Some(to))?);
        let words = |tool: &ToolId| self.words(tool).map(|(words, _)| words);
        let permission_diff = Diff::between(&self.asks_of(&old).await?, &self.asks_of(&new).await?).words(words);
        let plan = match (self.explained(old.component).await?, self.explained(new.component).await?) {
            (Explained::ByPlan(old), Explained::ByPlan(new)) => Some(PlanDiff::between(&old, &new)),
            _ => None,
        };
        let mut lines = plan.as_ref().map(PlanDiff::lines).unwrap_or_default();
        lines.extend(permission_diff.added.iter().map(|words| format!("+ may {words}")));
        lines.extend(permission_diff.removed.iter().map(|words| format!("- may {words}")));
        Ok(VersionDiff {
            playbook_id: id.to_string(),
            from,
            to,
            same_component: old.component == new.component,
            plan,
            permission_diff,
            lines,
        })
    }

    /// What a playbook saved, over as many of its latest jobs as are looked back at, and a page of these jobs.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, what the store says.
    pub async fn ledger(&self, space: &Space, id: &PlaybookId, before: Option<[u8; 16]>, limit: usize) -> Result<(Ledger, Vec<Piece>)> {
        let (this, space, id) = (self.clone(), space.clone(), id.clone());
        blocking::run(move || {
            let versions = this.versions(&space, &id, None, limits::VERSIONS_LOOK_BACK)?;
            let jobs = this.jobs_of(&space, &versions, None, limits::EVIDENCE_LOOK_BACK)?;
            let runs: BTreeSet<_> = versions.iter().flat_map(|version| version.provenance.source_runs.clone()).collect();
            let mut costs = Vec::new();
            for run in runs.iter().take(limits::VERSIONS_LOOK_BACK) {
                match this.runs.get(&space, run) {
                    Ok(run) => costs.push(RunCost::of(&run)),
                    Err(e) if e.code == Code::ReplayRunNotFound => {}
                    Err(e) => return Err(e),
                }
            }
            let events: Vec<Event> = jobs.into_iter().map(|(_, event)| event).collect();
            Ok((ledger(&costs, &events), this.jobs_of(&space, &versions, before, limit)?))
        })
        .await
    }

    /// Evidence of jobs on any component of these versions, newest first.
    fn jobs_of(&self, space: &Space, versions: &[Version], before: Option<[u8; 16]>, limit: usize) -> Result<Vec<Piece>> {
        let mut seen = BTreeSet::new();
        let mut jobs: Vec<Piece> = Vec::new();
        for version in versions.iter().filter(|version| seen.insert(version.component)) {
            let mut before = before;
            // Proofs and rehearsals stand between the jobs.
            for _ in 0..=limits::EVIDENCE_LOOK_BACK / limits::PAGE_ROWS_MAX {
                let page = self.lifecycle.evidence(space, version, before, limits::PAGE_ROWS_MAX)?;
                before = page.last().map(|(id, _)| *id);
                let full = page.len() == limits::PAGE_ROWS_MAX;
                jobs.extend(page.into_iter().filter(|(_, event)| event.kind == EventKind::Job));
                if !full || jobs.len() >= limit {
                    break;
                }
            }
        }
        jobs.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        jobs.truncate(limit);
        Ok(jobs)
    }

    /// The version that a job without a number is of: the one that runs, or, for a share of them, the shadow beside an active one,
    /// where that asks for no more and repeats no harm. Which one follows from the job's id alone.
    pub(super) fn chosen(&self, space: &Space, id: &PlaybookId, job: &JobId) -> Result<(Version, Option<Version>)> {
        let runs = self.playbooks.to_start(space, id, None)?;
        let summary = self.playbooks.summary(space, id)?;
        let Some(shadow) = summary.shadow_version.filter(|_| runs.status == Status::Active) else { return Ok((runs, None)) };
        let share = self.lifecycle.policies().of(space, Some(id))?.canary_share;
        if !is_in_share(job, share) {
            return Ok((runs, None));
        }
        let shadow = self.playbook(space, id, Some(shadow))?;
        let (Some(active), Some(asks)) = (&summary.active_asks, &shadow.asks) else { return Ok((runs, None)) };
        let harmless = |ask: &Ask| match ask {
            Ask::Tool(tool) => self.words(tool).is_some_and(|(_, effect)| effect != Effect::Once),
            Ask::Playbooks => false,
            _ => true,
        };
        let may = shadow.status == Status::Shadow && !shadow.is_held_back() && !Diff::between(active, asks).asks_for_more();
        let canary = (may && asks.iter().all(harmless)).then_some(shadow);
        Ok((runs, canary))
    }
}

/// Whether a job is one of this share of all jobs.
fn is_in_share(job: &JobId, share: f64) -> bool {
    let digest = Digest::of(job.as_bytes());
    let first: [u8; 4] = digest.as_bytes()[..4].try_into().expect("4 of 32 bytes");
    f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0) < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_jobs_is_chosen_by_their_ids() {
        let jobs: Vec<JobId> = (0..2000u16).map(|n| JobId::from_bytes([n.to_be_bytes(); 8].concat().try_into().unwrap())).collect();
        let chosen = |share: f64| jobs.iter().filter(|job| is_in_share(job, share)).count();
        assert_eq!((chosen(0.0), chosen(1.0)), (0, 2000));
        assert!((100..300).contains(&chosen(0.1)), "{}", chosen(0.1));
        assert_eq!(chosen(0.1), chosen(0.1));
    }
}
