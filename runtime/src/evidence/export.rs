//! A bundle out of the store. It verifies first; a journal that does not hold together gives none.

use super::bundle::{Bundle, Making, Manifest};
use super::sign::Signer;
use crate::clock;
use crate::compiler::emit::{Explained, read_plan};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, Space};
use crate::journal;
use crate::store::Store;

/// The evidence of a job as it stands. Blocks.
///
/// # Errors
/// `job_not_found`; `data_corrupt` that names the entry, or the component, that is not what was written.
pub fn export(store: &Store, space: &Space, job_id: &JobId, signer: Option<&Signer>) -> Result<Bundle> {
    made(store, space, job_id, signer, Some(clock::now_ms()))
}

/// As [`export`], as of the journal's last entry: of the same journal it is the same, whenever it is asked for. Blocks.
///
/// # Errors
/// As [`export`].
pub fn export_as_of_its_end(store: &Store, space: &Space, job_id: &JobId, signer: Option<&Signer>) -> Result<Bundle> {
    made(store, space, job_id, signer, None)
}

fn made(store: &Store, space: &Space, job_id: &JobId, signer: Option<&Signer>, at_ms: Option<u64>) -> Result<Bundle> {
    let exact = journal::exact(store, space, job_id)?;
    let component = store.blobs().get(&exact.state.component).map_err(|e| e.at("the job's component"))?;
    // A plan that is not the component's code would prove the wrong thing.
    let plan = match read_plan(&component) {
        Explained::ByPlan(plan) => Some(plan.to_json()),
        Explained::Falsely(_) | Explained::Not => None,
    };
    let making = Making {
        space: space.clone(),
        plan_digest: plan.as_ref().map(crate::json::Json::digest),
        made_by: made_by(),
        made_at_ms: at_ms.or_else(|| exact.entries.last().map(|entry| entry.at_ms)).unwrap_or_default(),
        signed_by: signer.map(|signer| signer.public().to_string()),
    };
    let journal_bytes = exact.rows.iter().map(|row| row.len() as u64).sum();
    let manifest = Manifest::of(*job_id, &exact.entries, &exact.state, journal_bytes, making);
    let as_text = |row| String::from_utf8(row).map_err(|_| Error::new(Code::DataCorrupt, format!("job {job_id}: an entry is not text")));
    let entries = exact.rows.into_iter().map(as_text).collect::<Result<Vec<String>>>()?;
    let text = manifest.text();
    let signature = signer.map(|signer| signer.sign(&text));
    Ok(Bundle { manifest, manifest_digest: Digest::of(&text), plan, entries, signature })
}

/// This program and its version.
pub(super) fn made_by() -> String {
    format!("reprise {}", env!("CARGO_PKG_VERSION"))
}
