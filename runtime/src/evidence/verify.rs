//! A bundle held against itself, without a store, a network or a clock.
//!
//! Whatever is changed in a bundle is found: the file must be the very text that its content prints to, the manifest is
//! covered by its digest, the entries by their chain up to the hash in the manifest, the plan by its digest, and all that
//! the manifest says of the entries is worked out again. Against someone who makes all of it anew only a signature helps.

use super::bundle::{Bundle, Making, Manifest};
use super::export::made_by;
use super::sign::PublicKey;
use crate::compiler::emit::emit;
use crate::compiler::plan::Plan;
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, Space};
use crate::journal::{Body, CallState, Entry, On, State, Tip, chain, shown, stored};
use crate::limits;
use crate::store::Payload;

/// What a bundle shows.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What is in it.
    pub manifest: Manifest,
    /// Calls whose answer is not in the journal.
    pub open: Vec<Open>,
    /// Whether the plan in it compiles to the component's very digest with this version; none where there is no plan.
    pub plan_is_component: Option<bool>,
    /// Approvals whose request is too large for the journal, by entry: that it is what was shown can be seen only beside the blob.
    pub unseen_approvals: Vec<u64>,
}

/// A call whose answer is not in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Its entry.
    pub seq: u64,
    /// Its number.
    pub call: u64,
    /// The tool.
    pub tool: String,
    /// True where its worker died and nobody has said what became of it.
    pub uncertain: bool,
}

fn broken(place: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Code::EvidenceBroken, format!("{place}: {what}")).with_details(serde_json::json!({ "place": place }))
}

fn broken_entry(seq: u64, what: impl std::fmt::Display) -> Error {
    Error::new(Code::EvidenceBroken, format!("entries: {what}")).with_details(serde_json::json!({ "place": "entries", "seq": seq }))
}

/// Checks everything that can be checked without the store. Blocks: a plan is compiled again.
///
/// # Errors
/// `evidence_broken` that names the first place; `not_supported` where a newer version made it; `too_large`.
pub fn verify(bytes: &[u8], key: Option<&PublicKey>) -> Result<Verified> {
    if bytes.len() > limits::EVIDENCE_BYTES_MAX {
        return Err(Error::new(Code::TooLarge, format!("the bundle has {} bytes; at most {}", bytes.len(), limits::EVIDENCE_BYTES_MAX)));
    }
    let bundle = Bundle::parse(bytes)?;
    let printed = bundle.to_bytes();
    if printed != bytes {
        let at = printed.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or(printed.len().min(bytes.len()));
        return Err(broken("file", format!("byte {at} is not as a bundle of this content is written")));
    }
    let (entries, state) = journal(&bundle)?;
    manifest(&bundle, &entries, &state)?;
    signature(&bundle, key)?;
    let plan_is_component = plan(&bundle, &state)?;
    let unseen_approvals = approvals(&entries)?;
    Ok(Verified { open: open(&state), plan_is_component, unseen_approvals, manifest: bundle.manifest })
}

/// The chain up to the end that the manifest names, and every move legal.
fn journal(bundle: &Bundle) -> Result<(Vec<Entry>, State)> {
    let Manifest { job_id, entries: count, last_hash, .. } = bundle.manifest;
    let recorded = Tip { next_seq: count.saturating_add(1), hash: last_hash };
    chain::verify(&job_id, bundle.entries.iter().map(String::as_bytes), &recorded).map_err(|e| broken_entry(e.seq, &e))?;
    let decoded = bundle.entries.iter().map(|text| stored::decode(text.as_bytes()).map_err(|e| broken("entries", e)));
    let entries = decoded.collect::<Result<Vec<Entry>>>()?;
    let state = State::fold(&entries).map_err(|e| broken_entry(e.seq, &e))?;
    Ok((entries, state))
}

/// The manifest's own digest, and all that it says of the entries.
fn manifest(bundle: &Bundle, entries: &[Entry], state: &State) -> Result<()> {
    let given = &bundle.manifest;
    let space = Space::parse(Some(&given.tenant_id), Some(&given.scope)).map_err(|e| broken("manifest", e.message))?;
    let making = Making {
        space,
        plan_digest: bundle.plan.as_ref().map(crate::json::Json::digest),
        made_by: given.made_by.clone(),
        made_at_ms: given.made_at_ms,
        signed_by: given.signed_by.clone(),
    };
    let journal_bytes = bundle.entries.iter().map(|text| text.len() as u64).sum();
    if let Some(difference) = given.difference(&Manifest::of(given.job_id, entries, state, journal_bytes, making)) {
        return Err(broken("manifest", difference));
    }
    let is = Digest::of(&given.text());
    if is != bundle.manifest_digest {
        return Err(broken("manifest", format!("hashes to {is}, and manifest_digest says {}", bundle.manifest_digest)));
    }
    Ok(())
}

fn signature(bundle: &Bundle, key: Option<&PublicKey>) -> Result<()> {
    let named = match (&bundle.manifest.signed_by, &bundle.signature) {
        (None, None) if key.is_some() => return Err(broken("signature", "the bundle is not signed")),
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(broken("signature", "it is there, and the manifest names no key")),
        (Some(_), None) => return Err(broken("signature", "is missing; the manifest names the key that signed it")),
        (Some(named), Some(_)) => named,
    };
    let signer = PublicKey::parse(named).ok_or_else(|| broken("signature", "signed_by is no Ed25519 key"))?;
    if let Some(key) = key.filter(|key| **key != signer) {
        return Err(broken("signature", format!("signed by {signer}, not by {key}")));
    }
    let given = bundle.signature.as_deref().unwrap_or_default();
    if given.chars().any(|c| c.is_ascii_uppercase()) || !signer.signed(&bundle.manifest.text(), given) {
        return Err(broken("signature", format!("is not {signer}'s signature of this manifest")));
    }
    Ok(())
}

/// A plan that this version made is compiled again; another version may have compiled it otherwise.
fn plan(bundle: &Bundle, state: &State) -> Result<Option<bool>> {
    let Some(text) = &bundle.plan else { return Ok(None) };
    let ours = bundle.manifest.made_by == made_by();
    let is_component = match Plan::parse(text.as_str().as_bytes()).and_then(|plan| emit(&plan)) {
        Ok(component) => Digest::of(&component) == state.component,
        Err(e) if ours => return Err(broken("plan", e.message)),
        Err(_) => false,
    };
    if ours && !is_component {
        return Err(broken("plan", format!("does not compile to component {}", state.component)));
    }
    Ok(Some(is_component))
}

/// What was shown is what the decision names; that the decision names it, the fold has seen.
fn approvals(entries: &[Entry]) -> Result<Vec<u64>> {
    let mut unseen = Vec::new();
    for entry in entries {
        let Body::Waiting(waiting) = &entry.body else { continue };
        let On::Approval { title, request, digest } = &waiting.on else { continue };
        match request {
            Payload::Inline(request) if shown(title, request) == *digest => {}
            Payload::Inline(_) => {
                return Err(broken_entry(entry.seq, format!("entry {}: its digest is not that of what it shows", entry.seq)));
            }
            Payload::Blob { .. } => unseen.push(entry.seq),
        }
    }
    Ok(unseen)
}

fn open(state: &State) -> Vec<Open> {
    let is_open = |state| matches!(state, CallState::Intended | CallState::Uncertain);
    let open = state.calls.iter().filter(|row| is_open(row.state));
    open.map(|row| Open { seq: row.seq, call: row.call, tool: row.tool.to_string(), uncertain: row.state == CallState::Uncertain })
        .collect()
}

impl Verified {
    /// The job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.manifest.job_id
    }

    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let manifest = &self.manifest;
        let open = self.open.iter();
        let open = open.map(|o| serde_json::json!({"seq": o.seq, "call": o.call, "tool": o.tool, "uncertain": o.uncertain}));
        serde_json::json!({
            "verified": true, "job_id": manifest.job_id, "tenant_id": manifest.tenant_id, "scope": manifest.scope, "status": manifest.status,
            "entries": manifest.entries, "last_hash": manifest.last_hash, "component": manifest.component, "calls": manifest.calls,
            "open_calls": open.collect::<Vec<_>>(), "approvals": manifest.approvals, "signed_by": manifest.signed_by,
            "plan_is_component": self.plan_is_component, "unseen_approvals": self.unseen_approvals,
            "made_by": manifest.made_by, "made_at": crate::clock::rfc3339(manifest.made_at_ms),
        })
    }
}
