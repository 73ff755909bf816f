//! A playbook and what it needs, in one file that can be carried to a machine without a network.
//!
//! ```text
//! mod      what is in a bundle                                      ┐ meaning
//! oci      the same as files: an OCI image layout, and back         ┘
//! archive  files as a tar                                           ┐ form
//! folder   files as a directory                                     ┘
//! ```
//!
//! It knows forms and digests. It does not know the store, nor whether a recording proves a component: that is the engine's to
//! find out, before anything is kept.
//! The rules that must stay true: the same content is the same bytes; a file is taken for a bundle only where packing what was
//! read in it gives that very file again, so that nothing in it goes unread.

mod archive;
mod folder;
mod oci;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::compiler::Options;
use crate::contract::{Effect, Namespace, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, PlaybookId, RunId};
use crate::json::Json;

/// The newest form that is written and read.
pub const VERSION: u32 = 2;
/// The form of what was made of one recording, or of none: the same bytes as ever.
const FORM_OF_ONE: u32 = 1;

/// The files of a layout, by their path in it.
type Files = BTreeMap<String, Vec<u8>>;

/// A playbook version and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What is in it.
    pub manifest: Manifest,
    /// The playbook.
    pub component: Vec<u8>,
    /// The components of uploaded tools, as [`Manifest::components`] names them.
    pub components: Vec<Vec<u8>>,
    /// What the playbook does, where its component carries a plan.
    pub plan: Option<Json>,
    /// What it was compiled from, each a recording file, in the order of the runs.
    pub recordings: Vec<Vec<u8>>,
    /// Evidence of jobs of it, sorted by job.
    pub evidence: Vec<Vec<u8>>,
}

/// What a bundle says of itself. Everything in it is held against the rest before it is believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`Manifest::form`].
    pub bundle_version: u32,
    /// What packed it.
    pub made_by: String,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// For people.
    pub name: String,
    /// By which the version is the same everywhere: of name, component and origin.
    pub content: Digest,
    /// SHA-256 of the playbook's component.
    pub component: Digest,
    /// Where the version came from.
    pub origin: Origin,
    /// Every tool that the playbook calls, sorted, with what it must be.
    pub tools: Vec<Tool>,
    /// The tool components in the bundle, sorted by namespace.
    pub components: Vec<Component>,
    /// The playbooks that it starts. They are not in the bundle.
    pub starts: Vec<String>,
}

/// Where a version came from, without what is worked out again when it is installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Compiled from the recording in the bundle.
    Compiled(Box<Compiled>),
    /// Uploaded as a component.
    Uploaded {},
    /// Compiled from a task graph, which its plan stands for here.
    Graph {
        /// SHA-256 of the graph's canonical JSON.
        digest: Digest,
    },
}

/// How a recording was compiled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// The run; of several, the first.
    pub run_id: RunId,
    /// The runs that it was learned from together, and when each began: a recording does not say on which day it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned_from: Vec<LearnedFrom>,
    /// Bindings, roots, partial runs.
    pub options: Options,
    /// When the playbook applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matchers: Option<Json>,
    /// What counts as success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_criteria: Option<Json>,
    /// `low`, `medium` or `high`.
    pub risk_profile: String,
    /// Whatever else was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// One of the runs that a playbook was learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedFrom {
    /// The run.
    pub run_id: RunId,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
}

impl Manifest {
    /// The oldest form in which it can be written, which is the one that is.
    #[must_use]
    pub fn form(origin: &Origin) -> u32 {
        match origin {
            Origin::Compiled(compiled) if !compiled.learned_from.is_empty() => VERSION,
            _ => FORM_OF_ONE,
        }
    }
}

/// A tool that the playbook calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// `fs/read`.
    pub id: ToolId,
    /// What repeating a call does. The plan was made for this.
    pub effect: Effect,
    /// Where it comes from.
    pub from: Home,
}

/// Where a tool comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// Reprise itself has it.
    Builtin,
    /// A component in the bundle.
    Bundle,
    /// Someone outside does it.
    Outside,
}

/// A tool component in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its tools are `namespace/…`.
    pub namespace: Namespace,
    /// SHA-256 of it.
    pub digest: Digest,
}

impl Bundle {
    /// Reads a tar or a directory. Every digest and every size is right in what this returns, nothing is in it that belongs to
    /// nothing, and packing it again gives the same. What it proves is another question. Blocks.
    ///
    /// # Errors
    /// `bundle_broken` that names the place; `too_large`; `not_supported` where a newer version packed it; `file_not_found`.
    pub fn read(path: &Path) -> Result<Bundle> {
        let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", path.display()));
        let files = match std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            true => folder::read(path)?,
            false => archive::read(path)?,
        };
        oci::bundle(files)
    }

    /// Writes one file, whole or not at all. Gives its length. Blocks.
    ///
    /// # Errors
    /// `too_large`, `store_unavailable`.
    pub fn write_file(&self, path: &Path) -> Result<u64> {
        archive::write(&oci::files(self)?, path)
    }

    /// Writes a directory that is not there yet, or is empty. Gives the length of its files. Blocks.
    ///
    /// # Errors
    /// `too_large`, `store_unavailable`, `invalid_request` where the directory holds something.
    pub fn write_folder(&self, path: &Path) -> Result<u64> {
        folder::write(&oci::files(self)?, path)
    }

    /// Whether the components are those that the manifest names. Of a bundle that was read they are.
    ///
    /// # Errors
    /// `bundle_broken` that names the component.
    pub fn names_its_components(&self) -> Result<()> {
        let playbook = ("the playbook".to_owned(), self.manifest.component, &self.component);
        let tools = self.manifest.components.iter().zip(&self.components);
        let tools = tools.map(|(component, bytes)| (format!("the tools {}/…", component.namespace), component.digest, bytes));
        for (place, named, bytes) in tools.chain([playbook]) {
            let is = Digest::of(bytes);
            if is != named {
                return Err(broken(&place, format!("the component has the digest {is}, and it is said to be {named}")));
            }
        }
        match self.manifest.components.len() == self.components.len() {
            true => Ok(()),
            false => Err(broken("manifest", "names another number of tool components than there are")),
        }
    }

    /// Everything in it that is text or may hold one.
    pub fn texts(&self) -> impl Iterator<Item = (String, Cow<'_, [u8]>)> {
        let manifest = serde_json::to_vec(&self.manifest).expect("a manifest prints");
        let plan = self.plan.iter().map(|plan| ("its plan".to_owned(), Cow::from(plan.as_str().as_bytes())));
        let recording = self.recordings.iter().map(|recording| ("its recording".to_owned(), Cow::from(recording)));
        let evidence = self.evidence.iter().enumerate().map(|(n, evidence)| (format!("evidence {}", n + 1), Cow::from(evidence)));
        let named = self.manifest.components.iter().zip(&self.components);
        let components = named.map(|(component, bytes)| (format!("the component of {}/…", component.namespace), Cow::from(bytes)));
        let own = [("what is said of it".to_owned(), Cow::from(manifest)), ("its component".to_owned(), Cow::from(&self.component))];
        own.into_iter().chain(plan).chain(recording).chain(evidence).chain(components)
    }
}

/// What is wrong with a bundle, and where.
pub(crate) fn broken(place: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Code::BundleBroken, format!("{place}: {what}")).with_details(serde_json::json!({ "place": place }))
}

/// One file beyond its limit, or all together.
fn too_large(what: &str, bytes: u64, most: u64) -> Error {
    Error::new(Code::TooLarge, format!("{what} has {bytes} bytes; at most {most}"))
}
