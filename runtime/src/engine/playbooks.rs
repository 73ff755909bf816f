//! Playbooks: compile, upload, read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Engine;
use super::proposals::{GrantProposal, homes_of};
use crate::compiler::cautions::{SecretUse, secrets_in};
use crate::compiler::emit::{self, Explained};
use crate::compiler::plan::Plan;
use crate::compiler::{self, Compiled, Options};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, PlaybookId, RunId, Space};
use crate::json::Json;
use crate::lifecycle::evidence::proofs;
use crate::lifecycle::{Added, Compilation, NewVersion, Origin, Provenance, Summary, Version};
use crate::runs::Run;
use crate::{blocking, limits};

/// A run that is to become a playbook version.
#[derive(Debug, Clone)]
pub struct CompileRequest {
    /// The run.
    pub run_id: RunId,
    /// What is to become of it. Where no playbook is named, the one that follows from the run, so that a repeat finds it.
    pub wanted: Wanted,
}

/// What a version that is compiled is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The playbook.
    pub playbook_id: Option<PlaybookId>,
    /// For people; the goal where none is given.
    pub name: Option<String>,
    /// The number it must get.
    pub version: Option<u32>,
    /// When the playbook applies.
    pub matchers: Option<Json>,
    /// What counts as success.
    pub success_criteria: Option<Json>,
    /// `low`, `medium` or `high`.
    pub risk_profile: String,
    /// Whatever else the client wants to keep.
    pub metadata: Option<Json>,
    /// Bindings, roots, partial runs.
    pub options: Options,
}

impl Wanted {
    /// A version of this playbook, of which nothing else is said.
    #[must_use]
    pub fn plain(playbook_id: Option<PlaybookId>, options: Options) -> Wanted {
        Wanted {
            playbook_id,
            name: None,
            version: None,
            matchers: None,
            success_criteria: None,
            risk_profile: "medium".to_owned(),
            metadata: None,
            options,
        }
    }
}

/// A version that was compiled, and how.
#[derive(Debug, Clone)]
pub struct CompiledVersion {
    /// The version.
    pub version: Version,
    /// Plan, proof and what was left out.
    pub compiled: Compiled,
    /// The narrowest grants that cover what the run did.
    pub proposals: Vec<GrantProposal>,
    /// The runs that the playbook's newest version before it was learned from, where they were several: it has nothing of them.
    pub replaces: Vec<RunId>,
    /// True where the same request had made it before.
    pub repeated: bool,
}

/// A component made elsewhere.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The playbook; where none is named, the one that follows from the bytes.
    pub playbook_id: Option<PlaybookId>,
    /// For people; the playbook's id where none is given.
    pub name: Option<String>,
    /// The component.
    pub bytes: Vec<u8>,
}

/// A version that was uploaded.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The version.
    pub version: Version,
    /// True where the same bytes under the same name had made it before.
    pub repeated: bool,
}

impl Engine {
    /// Compiles a run into a new version of a playbook, proved against the run. The same request again answers
    /// with the same version.
    ///
    /// # Errors
    /// As [`compiler::compile`], `replay_run_not_found`, and `id_conflict` where the wanted version is taken.
    pub async fn compile_from_run(&self, space: &Space, request: CompileRequest) -> Result<CompiledVersion> {
        let CompileRequest { run_id, wanted } = request;
        let (runs, asked) = (self.sources.clone(), (space.clone(), run_id.clone()));
        let run = blocking::run(move || runs.get(&asked.0, &asked.1)).await?;
        let homes = homes_of(&wanted.options, BTreeMap::new());
        let compiled = self.compile(run, wanted.options.clone()).await?;
        let mut replaces = wanted.playbook_id.as_ref().map(|id| self.learned_from(space, id)).transpose()?.unwrap_or_default();
        let Added { version, repeated } = self.add_compiled(space, run_id, Vec::new(), wanted, &compiled).await?;
        if repeated || replaces.len() < 2 {
            replaces.clear();
        }
        let proposals = self.proposals(compiled.reached.clone(), homes).await?;
        Ok(CompiledVersion { version, compiled, proposals, replaces, repeated })
    }

    /// Keeps what was compiled from a run, or from several: `first` is one of `source_runs`, which is empty where it is the only one.
    pub(super) async fn add_compiled(
        &self,
        space: &Space,
        first: RunId,
        source_runs: Vec<RunId>,
        wanted: Wanted,
        compiled: &Compiled,
    ) -> Result<Added> {
        let component = self.keep(compiled.component.clone()).await?;
        let playbook_id = wanted.playbook_id.unwrap_or_else(|| {
            let mut ids: Vec<&[u8]> = source_runs.iter().map(|id| id.as_str().as_bytes()).collect();
            ids.sort_unstable();
            if ids.is_empty() {
                ids.push(first.as_str().as_bytes());
            }
            let spaces = [space.tenant().as_bytes(), space.scope().as_bytes()];
            PlaybookId::derived(&spaces.into_iter().chain(ids).collect::<Vec<_>>())
        });
        let compilation = Compilation {
            run_id: first,
            source_runs,
            summary: compiled.summary.clone(),
            matchers: wanted.matchers,
            success_criteria: wanted.success_criteria,
            risk_profile: wanted.risk_profile,
            metadata: wanted.metadata,
            mended: None,
            options: Some(wanted.options),
        };
        let origin = Origin::Compiled(Box::new(compilation));
        let new = NewVersion {
            playbook_id,
            wanted: wanted.version,
            name: wanted.name.unwrap_or_else(|| compiled.plan.goal.clone()),
            component,
            component_bytes: compiled.component.len() as u64,
            provenance: Provenance::of(&origin),
            origin,
            asks: self.asks(component).await?,
            by: None,
        };
        self.add(space, new).await
    }

    /// Every secret that a plan's steps name, and who puts it in.
    #[must_use]
    pub fn secrets_in(&self, plan: &Plan) -> Vec<SecretUse> {
        secrets_in(plan, &self.tools)
    }

    /// Compiles and proves a run without keeping anything.
    ///
    /// # Errors
    /// As [`compiler::compile`].
    pub async fn compile(&self, run: Run, options: Options) -> Result<Compiled> {
        let _place = self.admission().await;
        let run = self.sources.without_secrets(run);
        let (sandbox, tools) = (self.sandbox.clone(), self.tools.clone());
        let handle = tokio::runtime::Handle::current();
        // Emitting and machine code take milliseconds of pure computing; the run against the script awaits nothing.
        blocking::run(move || handle.block_on(compiler::compile(&sandbox, &tools, &run, &options))).await
    }

    /// Takes a component that was made elsewhere, after it was read, linked and started once without effects.
    ///
    /// # Errors
    /// `too_large`, `not_a_component`, `imports_unsatisfied` that lists what is missing, `component_too_demanding`,
    /// `component_does_not_start`.
    pub async fn upload(&self, space: &Space, upload: Upload) -> Result<Uploaded> {
        let Upload { playbook_id, name, bytes } = upload;
        if bytes.len() > limits::COMPONENT_BYTES_MAX {
            return Err(Error::new(
                Code::TooLarge,
                format!("the component has {} bytes; at most {}", bytes.len(), limits::COMPONENT_BYTES_MAX),
            ));
        }
        let digest = Digest::of(&bytes);
        let playbook_id = playbook_id.unwrap_or_else(|| PlaybookId::derived(&[digest.as_bytes()]));
        let component_bytes = bytes.len() as u64;
        self.admit(digest, bytes.clone()).await?;
        let component = self.keep(bytes).await?;
        let name = name.unwrap_or_else(|| playbook_id.to_string());
        let asks = self.asks(component).await?;
        let new = NewVersion {
            playbook_id,
            wanted: None,
            name,
            component,
            component_bytes,
            origin: Origin::Uploaded,
            asks,
            provenance: Provenance::default(),
            by: None,
        };
        let Added { version, repeated } = self.add(space, new).await?;
        Ok(Uploaded { version, repeated })
    }

    /// Reads, links and starts a component once, without letting it do anything.
    pub(super) async fn admit(&self, digest: Digest, bytes: Vec<u8>) -> Result<()> {
        let _place = self.admission().await;
        let (sandbox, tools) = (self.sandbox.clone(), self.tools.clone());
        let playbook = blocking::run(move || sandbox.load(&digest, |tool| tools.contains(tool), || Ok(bytes))).await?;
        self.sandbox.try_start(&playbook).await
    }

    pub(super) async fn keep(&self, bytes: Vec<u8>) -> Result<Digest> {
        let store = self.store.clone();
        blocking::run(move || store.blobs().put(&bytes)).await
    }

    pub(super) async fn add(&self, space: &Space, new: NewVersion) -> Result<Added> {
        if let Some(active) = self.playbooks.active_of_unknown_asks(space, &new.playbook_id)? {
            let asks = self.asks(active.component).await?;
            self.playbooks.remember_asks(space, &active, asks).await?;
        }
        let added = self.playbooks.add_with(space, new, |version| proofs(space, version)).await?;
        self.found();
        Ok(added)
    }

    /// A version; without a number the active one.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn playbook(&self, space: &Space, id: &PlaybookId, version: Option<u32>) -> Result<Version> {
        self.playbooks.get(space, id, version)
    }

    /// The newest version of a playbook, and the number of the one that runs.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn newest_playbook(&self, space: &Space, id: &PlaybookId) -> Result<(Version, u32)> {
        let Summary { latest_version, active_version, .. } = self.playbooks.summary(space, id)?;
        Ok((self.playbooks.get(space, id, Some(latest_version))?, active_version))
    }

    /// Playbooks in the order of their ids.
    ///
    /// # Errors
    /// What the store says.
    pub fn playbooks(&self, space: &Space, after: Option<&PlaybookId>, limit: usize) -> Result<Vec<Summary>> {
        self.playbooks.list(space, after, limit)
    }

    /// A component's bytes.
    ///
    /// # Errors
    /// `data_corrupt` where they are not what was stored.
    pub async fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        let store = self.store.clone();
        blocking::run(move || store.blobs().get(&digest)).await
    }

    /// What a stored component says of itself, held against its code.
    ///
    /// # Errors
    /// As [`Engine::component`].
    pub async fn explained(&self, digest: Digest) -> Result<Explained> {
        let (store, tools) = (self.store.clone(), self.tools.clone());
        blocking::run(move || store.blobs().get(&digest).map(|bytes| compiler::explain(&bytes, &tools))).await
    }

    /// A component's world as WIT text.
    ///
    /// # Errors
    /// As [`Engine::component`].
    pub async fn wit(&self, digest: Digest) -> Result<String> {
        let bytes = self.component(digest).await?;
        blocking::run(move || emit::wit_text(&bytes)).await
    }

    /// What a job's input must look like; none where only the code knows.
    ///
    /// # Errors
    /// As [`Engine::component`].
    pub async fn input_schema(&self, digest: &Digest) -> Result<Option<Value>> {
        match self.explained(*digest).await? {
            Explained::ByPlan(plan) => Ok(Some(plan.input_schema())),
            Explained::Falsely(_) | Explained::Not => Ok(None),
        }
    }
}
