//! Several runs of one task become one playbook version.

use std::collections::{BTreeMap, BTreeSet};

use super::proposals::{GrantProposal, homes_of};
use super::{Engine, Wanted};
use crate::compiler::{self, Learned, Options};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, RunId, Space};
use crate::lifecycle::{Added, Origin, Version};
use crate::runs::Run;
use crate::{blocking, limits};

/// Runs that are to become a playbook version together.
#[derive(Debug, Clone)]
pub struct LearnRequest {
    /// The runs, each once.
    pub run_ids: Vec<RunId>,
    /// What is to become of them. Where its playbook is there already, the runs that its newest version was learned from are
    /// taken along; where none is named, it is the one that follows from the runs, so that a repeat finds it.
    pub wanted: Wanted,
}

/// A version that was learned, and how.
#[derive(Debug, Clone)]
pub struct LearnedVersion {
    /// The version.
    pub version: Version,
    /// Plan, proof, and what the runs do not decide.
    pub learned: Learned,
    /// The runs it was learned from, those of the version before it first.
    pub source_runs: Vec<RunId>,
    /// The narrowest grants that cover what the runs did.
    pub proposals: Vec<GrantProposal>,
    /// True where the same request had made it before.
    pub repeated: bool,
}

impl Engine {
    /// Compiles several runs of one task into a new version of a playbook, proved against each of them. The same request again
    /// answers with the same version.
    ///
    /// # Errors
    /// As [`compiler::compile_runs`], `replay_run_not_found`, and `id_conflict` where the wanted version is taken.
    pub async fn compile_from_runs(&self, space: &Space, request: LearnRequest) -> Result<LearnedVersion> {
        let source_runs = self.runs_of(space, &request)?;
        let Some(first) = source_runs.first().cloned() else {
            return Err(Error::invalid("/run_ids", "name at least one run"));
        };
        let (runs, asked) = (self.sources.clone(), (space.clone(), source_runs.clone()));
        let read = move || asked.1.iter().map(|id| runs.get(&asked.0, id)).collect::<Result<Vec<Run>>>();
        let runs: Vec<Run> = blocking::run(read).await?;
        let homes = homes_of(&request.wanted.options, BTreeMap::new());
        let learned = self.learn(runs, request.wanted.options.clone()).await?;
        let Added { version, repeated } = self.add_compiled(space, first, source_runs.clone(), request.wanted, &learned.compiled).await?;
        let proposals = self.proposals(learned.compiled.reached.clone(), homes).await?;
        Ok(LearnedVersion { version, learned, source_runs, proposals, repeated })
    }

    /// Compiles and proves several runs together without keeping anything.
    ///
    /// # Errors
    /// As [`compiler::compile_runs`].
    pub async fn learn(&self, runs: Vec<Run>, options: Options) -> Result<Learned> {
        let _place = self.admission().await;
        let runs: Vec<Run> = runs.into_iter().map(|run| self.sources.without_secrets(run)).collect();
        let (sandbox, tools) = (self.sandbox.clone(), self.tools.clone());
        let handle = tokio::runtime::Handle::current();
        // As with one run: pure computing, and a component that is answered from a script.
        blocking::run(move || handle.block_on(compiler::compile_runs(&sandbox, &tools, &runs, &options))).await
    }

    /// The runs that are asked for, each once, behind those that the playbook was learned from so far.
    fn runs_of(&self, space: &Space, request: &LearnRequest) -> Result<Vec<RunId>> {
        let mut ids = match &request.wanted.playbook_id {
            Some(id) => self.learned_from(space, id)?,
            None => Vec::new(),
        };
        ids.extend(request.run_ids.iter().cloned());
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.to_string()));
        if ids.len() > limits::LEARN_RUNS_MAX {
            let message =
                format!("{} runs with those of the playbook; at most {} are compiled together", ids.len(), limits::LEARN_RUNS_MAX);
            return Err(Error::invalid("/run_ids", message));
        }
        Ok(ids)
    }

    /// The runs that a playbook's newest version was compiled from; none where there is no such playbook.
    ///
    /// # Errors
    /// What the store says.
    pub fn learned_from(&self, space: &Space, id: &PlaybookId) -> Result<Vec<RunId>> {
        let latest = match self.playbooks.summary(space, id) {
            Ok(summary) => summary.latest_version,
            Err(e) if e.code == Code::ReplayPlaybookNotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        Ok(match self.playbooks.get(space, id, Some(latest))?.origin {
            Origin::Compiled(compilation) => compilation.runs().to_vec(),
            Origin::Uploaded | Origin::Graph { .. } => Vec::new(),
        })
    }
}
