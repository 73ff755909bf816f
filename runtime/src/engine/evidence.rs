//! What can be proved of a job, and what can be asked of its past.

use super::{Engine, JobView};
use crate::blocking;
use crate::compiler::emit::Explained;
use crate::error::{Code, Error, Result};
use crate::evidence::{self, Bundle, Fork, PublicKey, RepairPacket, Replay, Signer, Verified, Why};
use crate::ids::{Digest, JobId, Space};
use crate::journal::{self, Exact, State};
use crate::json::Json;
use crate::sandbox::Playbook;

impl Engine {
    /// The evidence of a job as it stands: one file that anyone can check without this data directory. Signed with `signer`, or
    /// with the key that the operator configured.
    ///
    /// # Errors
    /// `job_not_found`; `data_corrupt` that names what is not as it was written.
    pub async fn evidence(&self, space: &Space, job_id: &JobId, signer: Option<&Signer>) -> Result<Bundle> {
        let signer = signer.or(self.signer.as_ref()).cloned();
        let (store, space, job_id) = (self.store.clone(), space.clone(), *job_id);
        blocking::run(move || evidence::export(&store, &space, &job_id, signer.as_ref())).await
    }

    /// Runs the job's guest once more, answered from its journal alone, and says where it differs. Calls no tool.
    ///
    /// # Errors
    /// `job_not_found`, `data_corrupt`, and what loading its component fails with.
    pub async fn replay(&self, space: &Space, job_id: &JobId) -> Result<Replay> {
        let exact = self.exact(space, job_id).await?;
        let playbook = self.component_of(exact.state.component).await?;
        evidence::replay(&self.sandbox, &playbook, &self.store, *job_id, exact).await
    }

    /// As [`Engine::replay`], with another answer in the place of the one that entry `at` has. Makes no job and does nothing.
    ///
    /// # Errors
    /// As [`Engine::replay`]; `entry_not_found`; `invalid_request` where the entry is no answer, or this is none for it.
    pub async fn fork(&self, space: &Space, job_id: &JobId, at: u64, answer: &Json) -> Result<Fork> {
        let exact = self.exact(space, job_id).await?;
        let playbook = self.component_of(exact.state.component).await?;
        evidence::fork(&self.sandbox, &playbook, &self.store, *job_id, exact, at, answer).await
    }

    /// What the job was once entry `seq` was written.
    ///
    /// # Errors
    /// `job_not_found`, `entry_not_found`, `data_corrupt`.
    pub async fn state_at(&self, space: &Space, job_id: &JobId, seq: u64) -> Result<JobView> {
        let Exact { entries, .. } = self.exact(space, job_id).await?;
        let count = entries.len();
        let until = usize::try_from(seq).ok().filter(|until| (1..=count).contains(until));
        let until = until.ok_or_else(|| Error::new(Code::EntryNotFound, format!("job {job_id} has {count} entries and no entry {seq}")))?;
        let state = State::fold(&entries[..until]).map_err(|e| Error::new(Code::DataCorrupt, format!("job {job_id}: {e}")))?;
        let (store, job_id) = (self.store.clone(), *job_id);
        blocking::run(move || {
            let output = state.output.as_ref().map(|payload| store.load(payload)).transpose()?;
            Ok(JobView { job_id, state, output })
        })
        .await
    }

    /// Who had entry `seq` done, at which step, on which input, with whose approval.
    ///
    /// # Errors
    /// `job_not_found`, `entry_not_found`, `data_corrupt`.
    pub async fn why(&self, space: &Space, job_id: &JobId, seq: u64) -> Result<Why> {
        let exact = self.exact(space, job_id).await?;
        let plan = match self.explained(exact.state.component).await? {
            Explained::ByPlan(plan) => Some(plan),
            Explained::Falsely(_) | Explained::Not => None,
        };
        evidence::why(*job_id, &exact, plan.as_deref(), seq)
    }

    /// A job that failed, was set aside or has handed a step over, for whoever repairs its playbook.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it did not come to a halt; `data_corrupt`.
    pub async fn repair_packet(&self, space: &Space, job_id: &JobId) -> Result<RepairPacket> {
        let exact = self.exact(space, job_id).await?;
        let plan = match self.explained(exact.state.component).await? {
            Explained::ByPlan(plan) => Some(plan),
            Explained::Falsely(_) | Explained::Not => None,
        };
        let (store, job_id) = (self.store.clone(), *job_id);
        blocking::run(move || evidence::packet(&store, job_id, &exact, plan.as_deref())).await
    }

    async fn exact(&self, space: &Space, job_id: &JobId) -> Result<Exact> {
        let (store, space, job_id) = (self.store.clone(), space.clone(), *job_id);
        blocking::run(move || journal::exact(&store, &space, &job_id)).await
    }

    async fn component_of(&self, component: Digest) -> Result<Playbook> {
        if let Some(playbook) = self.sandbox.ready(&component) {
            return Ok(playbook);
        }
        let _place = self.admission().await;
        let (sandbox, tools, store) = (self.sandbox.clone(), self.tools.clone(), self.store.clone());
        blocking::run(move || sandbox.load(&component, |tool| tools.get(tool).is_some(), || store.blobs().get(&component))).await
    }
}

/// Checks a bundle; needs no data directory.
///
/// # Errors
/// `evidence_broken` that names the first place, `not_supported`, `too_large`.
pub async fn verify_evidence(bytes: Vec<u8>, key: Option<PublicKey>) -> Result<Verified> {
    blocking::run(move || evidence::verify(&bytes, key.as_ref())).await
}
