//! Making a repair: the patch, what comes of it, and the version that waits for a review.

use serde_json::Value;

use super::{Details, Mendable, RepairRequest, RepairWith};
use crate::blocking;
use crate::clock;
use crate::compiler::diff::PlanDiff;
use crate::compiler::patch::{Base, Overlay, Patch, Patched};
use crate::compiler::rehearse::{Subject, Verdict};
use crate::compiler::{self, Bindings, emit, splice};
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::ids::{RunId, Space};
use crate::json::Json;
use crate::lifecycle::repairs::{self, RepairRow, RepairSource, RepairState};
use crate::lifecycle::{Authority, ChangeKind, Content, Mended, Next, Origin, Review, ReviewState, Status, Version};
use crate::tools::asks::Diff;

/// A repair that was made.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// The version that it mends.
    pub from_version: u32,
    /// The version that it is.
    pub version: Version,
    /// The rest.
    pub details: Details,
    /// True where the same request had made it before.
    pub repeated: bool,
}

/// A patch, and where it came from.
struct Source {
    patch: Value,
    kind: RepairSource,
    run: Option<RunId>,
    evidence: Option<Json>,
}

impl Engine {
    /// Mends a playbook. What comes of it is a version that waits for a review; what runs stays as it is. The same repair
    /// asked for again while it waits is answered with the version that it made.
    ///
    /// # Errors
    /// `replay_playbook_not_found`; `invalid_request` with each word and step of the patch that is wrong; `not_compilable` where
    /// what comes out is no playbook, or does not do what the spliced run did; `plan_not_found` for what was not compiled;
    /// `promotion_not_earned` where no review is asked for and the status is not to be had without one; `planner_failed`,
    /// `planner_unavailable`.
    pub async fn repair(&self, space: &Space, request: RepairRequest) -> Result<Repaired> {
        let mendable = self.mendable(space, &request.playbook_id, request.from_version).await?;
        let mut source = self.source(space, &request, &mendable).await?;
        // A patch becomes part of the playbook: a secret is named in it, and does not stand in it.
        source.patch = compiler::hidden(self.sources.clean(source.patch));
        let (mut patched, mut component) = self.patched(&mendable, &source.patch, source.run.is_some()).await?;
        if let Some(patch) = compiler::hidden_as_in(&patched.plan, &source.patch) {
            source.patch = patch;
            (patched, component) = self.patched(&mendable, &source.patch, source.run.is_some()).await?;
        }
        let digest = self.keep(component.clone()).await?;
        self.admit(digest, component.clone()).await?;
        let asks = self.asks(digest).await?;
        let before = self.asks_of(&mendable.version).await?;
        let Diff { added, removed } = Diff::between(&before, &asks);
        let diff = PlanDiff::between(&mendable.plan, &patched.plan);
        let subject = Subject { digest, component: component.clone() };
        let proof = self.proof(space, &mendable, source.run.as_ref(), &patched.plan, subject, &diff).await?;
        if let Some(spliced) = proof.iter().find(|held| source.run.as_ref().is_some_and(|run| run.as_str() == held.run_id))
            && spliced.verdict != Verdict::Same
        {
            let why = spliced.why.clone().unwrap_or_default();
            let message = format!("with this run spliced in, the playbook does not do what run {} did: {why}", spliced.run_id);
            return Err(Error::new(Code::NotCompilable, message));
        }
        let details = Details {
            patch: Json::from(&source.patch),
            summary: patched.summary.clone(),
            diff,
            asks_added: added,
            asks_removed: removed,
            proof,
            run_id: source.run.clone(),
            proposal: source.evidence.clone(),
        };
        let blob = self.keep(serde_json::to_vec(&details).expect("details have string keys only")).await?;
        if let Some(version) = self.waiting(space, &request, &mendable, &blob)? {
            return Ok(Repaired { from_version: mendable.version.version, version, details, repeated: true });
        }
        let content = Content {
            component: digest,
            component_bytes: component.len() as u64,
            origin: origin(&mendable, &source.patch, &patched, source.run.as_ref())?,
            asks: asks.clone(),
            provenance: provenance(&mendable.version, source.run.as_ref()),
        };
        let review = request.review_required.then(|| Review {
            state: ReviewState::PendingReview,
            author: request.author.clone(),
            reviewer: None,
            note: request.note.clone(),
        });
        let status = if request.review_required { Status::Draft } else { request.target_status };
        let authority = self.repair_authority(&request, status)?;
        let next = Next {
            content: Some(content),
            by: request.author.clone(),
            note: request.note.clone(),
            review,
            metadata: request.metadata.clone(),
            ..Next::of(mendable.version.clone(), before, status, ChangeKind::Repaired, authority)
        };
        let row = RepairRow {
            v: 1,
            from_version: mendable.version.version,
            source: source.kind,
            author: request.author,
            note: request.note,
            target_status: request.target_status,
            state: if request.review_required { RepairState::PendingReview } else { RepairState::NotRequired },
            made_at: clock::now_ms(),
            reviewed: None,
            details: blob,
        };
        let id = &request.playbook_id;
        let beside = |version: &Version| repairs::made(space, id, version.version, &row);
        let made = self.playbooks.add_status_version(space, id, |_| Ok(Some(next.clone())), beside).await?;
        let version = made.ok_or_else(|| Error::new(Code::InternalError, "a repair makes a version"))?;
        self.found();
        Ok(Repaired { from_version: mendable.version.version, version, details, repeated: false })
    }

    /// Without a review, a draft is anybody's; any other status is an operator's to give.
    fn repair_authority(&self, request: &RepairRequest, status: Status) -> Result<Authority> {
        if request.by_operator {
            return Ok(Authority::Operator);
        }
        if self.promotion_is_open() {
            return Ok(Authority::Anybody);
        }
        if request.review_required || status == Status::Draft {
            return Ok(Authority::Evidence);
        }
        let missing = "an operator's word, or a review: no evidence is there of what was repaired just now";
        let message = format!("a repair of playbook {} is no {} without {missing}", request.playbook_id, status.as_str());
        Err(Error::new(Code::PromotionNotEarned, message).with_details(serde_json::json!({"missing": [missing]})))
    }

    async fn source(&self, space: &Space, request: &RepairRequest, mendable: &Mendable) -> Result<Source> {
        match &request.with {
            RepairWith::Patch(patch) => Ok(Source { patch: patch.clone(), kind: RepairSource::Patch, run: None, evidence: None }),
            RepairWith::Run { run_id, failing_step } => {
                let (runs, tools) = (self.sources.clone(), self.tools.clone());
                let (space, run_id, failing) = (space.clone(), run_id.clone(), failing_step.clone());
                let (plan, options) = (mendable.plan.clone(), mendable.compilation.options.clone().unwrap_or_default());
                let patch = blocking::run(move || {
                    let run = runs.get(&space, &run_id)?;
                    let patch = splice::splice(&plan, &run, failing.as_deref(), &tools, &options)?;
                    Ok::<_, Error>((patch, run_id))
                });
                let (patch, run_id) = patch.await?;
                Ok(Source { patch: patch.value(), kind: RepairSource::Run, run: Some(run_id), evidence: None })
            }
            RepairWith::Propose { job_id, context } => {
                let (patch, evidence) = self.proposal(space, mendable, *job_id, context).await?;
                Ok(Source { patch, kind: RepairSource::Proposal, run: None, evidence: Some(evidence) })
            }
        }
    }

    /// The plan with the patch on it, and its component. `recorded`: a run was spliced in.
    pub(super) async fn patched(&self, mendable: &Mendable, patch: &Value, recorded: bool) -> Result<(Patched, Vec<u8>)> {
        let _place = self.admission().await;
        let tools = self.tools.clone();
        let (plan, shown, patch) = (mendable.plan.clone(), mendable.shown.clone(), patch.clone());
        let options = mendable.compilation.options.clone().unwrap_or_default();
        let overlay = mendable.compilation.mended.as_ref().map(|mended| mended.steps.clone()).unwrap_or_default();
        blocking::run(move || {
            let patch = Patch::parse(&patch, "/patch")?;
            let bindings = Bindings::builtin(&tools).extended(&options.bindings, &options.roots)?;
            let patched = patch.apply(&Base { plan: &plan, shown: &shown, overlay: &overlay, recorded }, &bindings, &tools)?;
            let component = emit::emit(&patched.plan)?;
            Ok((patched, component))
        })
        .await
    }

    /// The same repair, where it waits already.
    fn waiting(
        &self,
        space: &Space,
        request: &RepairRequest,
        mendable: &Mendable,
        details: &crate::ids::Digest,
    ) -> Result<Option<Version>> {
        let id = &request.playbook_id;
        let pending = self.playbooks.summary(space, id)?.pending;
        let waiting = pending.iter().map(|number| self.playbooks.repair(space, id, *number)).collect::<Result<Vec<_>>>()?;
        let same = waiting.iter().find(|repair| {
            let row = &repair.row;
            row.from_version == mendable.version.version
                && row.details == *details
                && row.author == request.author
                && row.target_status == request.target_status
        });
        same.map(|repair| self.playbooks.get(space, &request.playbook_id, Some(repair.version))).transpose()
    }
}

/// The origin of the mended version: what it was compiled from, with what the patch sets of the playbook as a whole.
fn origin(mendable: &Mendable, patch: &Value, patched: &Patched, run: Option<&RunId>) -> Result<Origin> {
    let top = Patch::parse(patch, "/patch")?.top_level;
    let mut compilation = mendable.compilation.clone();
    if let Some(run) = run.filter(|run| !compilation.runs().contains(run)) {
        compilation.source_runs = compilation.runs().iter().chain([run]).cloned().collect();
    }
    compilation.matchers = top.matchers.or(compilation.matchers);
    compilation.success_criteria = top.success_criteria.or(compilation.success_criteria);
    compilation.risk_profile = top.risk_profile.unwrap_or(compilation.risk_profile);
    let before = compilation.mended.take().map(|mended| *mended).unwrap_or_default();
    let steps: Overlay = patched.overlay.clone();
    let mended = Mended { policy_constraints: top.policy_constraints.or(before.policy_constraints), steps };
    compilation.mended = (mended != Mended::default()).then(|| Box::new(mended));
    Ok(Origin::Compiled(Box::new(compilation)))
}

/// Where the mended version comes from: where the one before did, and the run that was spliced in.
fn provenance(version: &Version, run: Option<&RunId>) -> crate::lifecycle::Provenance {
    let mut provenance = version.provenance.clone();
    if let Some(run) = run.filter(|run| !provenance.source_runs.contains(run)) {
        provenance.source_runs.push(run.clone());
    }
    provenance
}
