//! The form of an evidence bundle: one JSON file with all that is needed to check a job's past without its store.
//!
//! ```text
//! {"manifest": {...}, "manifest_digest": HEX, "plan": {...}?, "entries": ["<stored text>", ...], "signature": HEX?}
//! ```
//!
//! `entries` are the journal's bytes as they lie on the disk. Everything in the manifest but where and when it was made follows from
//! them, and is made by the one function that also checks it. The signature is over the manifest's text, which has the
//! last entry's hash and the number of entries in it, and so over all.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::journal::{Answer, Body, ChildEnd, Decision, Entry, On, State, Status, Tip, Wake};
use crate::json::Json;
use crate::store::Payload;

/// The form that is written.
pub const VERSION: u32 = 1;

/// A job's past, to be handed to a stranger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// What is in it.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's text.
    pub manifest_digest: Digest,
    /// What the component does, where it carries a plan that is its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Json>,
    /// The journal: each entry's text as it is stored.
    pub entries: Vec<String>,
    /// Ed25519 over the manifest's text, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What is in a bundle, and the root that is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub evidence_version: u32,
    /// The job.
    pub job_id: JobId,
    /// Whose it is.
    pub tenant_id: String,
    /// Whose it is.
    pub scope: String,
    /// Where it stood.
    pub status: Status,
    /// How many entries there are.
    pub entries: u64,
    /// Their bytes.
    pub journal_bytes: u64,
    /// Hash of the last one.
    pub last_hash: Digest,
    /// Tool calls in the ledger.
    pub calls: u64,
    /// Workers that have begun it.
    pub attempts: u32,
    /// The playbook it runs.
    pub playbook_id: PlaybookId,
    /// The playbook's version.
    pub playbook_version: u32,
    /// Digest of its component.
    pub component: Digest,
    /// Digest of the plan, where one is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<Digest>,
    /// Digest of what it was run with.
    pub input_digest: Digest,
    /// What executed it.
    pub engine: String,
    /// The permissions that were given to this job alone, without the host's directories.
    pub grants: Vec<Json>,
    /// What people decided.
    pub approvals: Vec<Approval>,
    /// Values that are too large for an entry, and so are not here.
    pub blobs: Vec<Blob>,
    /// What made the bundle.
    pub made_by: String,
    /// When, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
    /// The key that signed it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// A decision on an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The entry with the decision.
    pub seq: u64,
    /// The entry with what was shown.
    pub shown_at: u64,
    /// What it was about.
    pub title: String,
    /// Digest of what was shown, which the decision names too.
    pub digest: Digest,
    /// Who decided, as far as they said.
    pub by: String,
    /// Whether they said yes.
    pub approved: bool,
}

/// A value that lies beside the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// The entry that names it.
    pub seq: u64,
    /// SHA-256 of its canonical text.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// What a manifest has that does not follow from the journal.
#[derive(Debug, Clone)]
pub(super) struct Making {
    pub space: Space,
    pub plan_digest: Option<Digest>,
    pub made_by: String,
    pub made_at_ms: u64,
    pub signed_by: Option<String>,
}

impl Manifest {
    /// The manifest of a journal that folds to `state` and has so many bytes.
    pub(super) fn of(job_id: JobId, entries: &[Entry], state: &State, journal_bytes: u64, making: Making) -> Manifest {
        let tip = entries.last().map_or_else(|| Tip::first(&job_id), Tip::after);
        Manifest {
            evidence_version: VERSION,
            job_id,
            tenant_id: making.space.tenant().to_owned(),
            scope: making.space.scope().to_owned(),
            status: state.status(),
            entries: entries.len() as u64,
            journal_bytes,
            last_hash: tip.hash,
            calls: state.calls.len() as u64,
            attempts: state.attempts,
            playbook_id: state.playbook_id.clone(),
            playbook_version: state.version,
            component: state.component,
            plan_digest: making.plan_digest,
            input_digest: state.input_digest,
            engine: state.engine.clone(),
            grants: state.grants.iter().map(without_host_path).collect(),
            approvals: approvals(entries),
            blobs: entries.iter().flat_map(blobs).collect(),
            made_by: making.made_by,
            made_at_ms: making.made_at_ms,
            signed_by: making.signed_by,
        }
    }

    /// The text that is hashed and signed.
    pub(super) fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text, numbers and checked JSON print")
    }

    /// The first field in which two manifests differ.
    pub(super) fn difference(&self, should_be: &Manifest) -> Option<String> {
        let fields = |manifest: &Manifest| serde_json::to_value(manifest).expect("text, numbers and checked JSON print");
        let (is, should_be) = (fields(self), fields(should_be));
        let names = is.as_object().into_iter().chain(should_be.as_object()).flatten().map(|(name, _)| name);
        names
            .filter(|name| is.get(*name) != should_be.get(*name))
            .map(|name| format!("{name}: is {} and should be {}", is[name], should_be[name]))
            .next()
    }
}

impl Bundle {
    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("text, numbers and checked JSON print");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file; says nothing yet about whether it holds together.
    ///
    /// # Errors
    /// `evidence_broken`; `not_supported` where a newer version made it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Bundle> {
        #[derive(Deserialize)]
        struct Form {
            manifest: Of,
        }
        #[derive(Deserialize)]
        struct Of {
            evidence_version: u32,
        }
        let broken = |e: serde_json::Error| Error::new(Code::EvidenceBroken, format!("not an evidence bundle: {e}"));
        let form: Form = serde_json::from_slice(bytes).map_err(broken)?;
        let version = form.manifest.evidence_version;
        if version > VERSION {
            return Err(Error::new(
                Code::NotSupported,
                format!("evidence of form {version} was made by a newer version; this one reads form {VERSION}"),
            ));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

/// A directory of the host is nobody's business but the operator's.
fn without_host_path(grant: &Json) -> Json {
    let mut value = grant.value();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("path");
    }
    Json::from(&value)
}

fn approvals(entries: &[Entry]) -> Vec<Approval> {
    let mut shown: Option<(u64, &str, Digest)> = None;
    let mut approvals = Vec::new();
    for entry in entries {
        match &entry.body {
            Body::Waiting(waiting) => {
                shown = match &waiting.on {
                    On::Approval { title, digest, .. } => Some((entry.seq, title, *digest)),
                    _ => None,
                };
            }
            Body::Woken(woken) => {
                let (verdict, approved) = match &woken.by {
                    Wake::Approved(verdict) => (verdict, true),
                    Wake::Rejected(verdict) => (verdict, false),
                    _ => continue,
                };
                let Some((shown_at, title, digest)) = shown else { continue };
                approvals.push(Approval { seq: entry.seq, shown_at, title: title.to_owned(), digest, by: verdict.by.clone(), approved });
            }
            _ => {}
        }
    }
    approvals
}

fn blobs(entry: &Entry) -> Option<Blob> {
    let payload = match &entry.body {
        Body::Created { input, .. } | Body::Called { input, .. } => input,
        Body::Returned { answer: Answer::Output(output), .. } | Body::Completed { output, .. } => output,
        Body::Resolved(resolved) => match &resolved.decision {
            Decision::Happened(output) => output,
            _ => return None,
        },
        Body::Waiting(waiting) => match &waiting.on {
            On::Approval { request, .. } => request,
            _ => return None,
        },
        Body::Signalled(signal) => &signal.payload,
        Body::ChildStarted(child) => &child.input,
        Body::ChildEnded(child) => match &child.end {
            ChildEnd::Completed(output) => output,
            _ => return None,
        },
        _ => return None,
    };
    match payload {
        Payload::Blob { digest, bytes } => Some(Blob { seq: entry.seq, digest: *digest, bytes: *bytes }),
        Payload::Inline(_) => None,
    }
}
