//! One version of a playbook, and what it takes to make one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::compiler::Options;
use crate::ids::{Digest, PlaybookId, RunId};
use crate::json::Json;
use crate::tools::asks::Asks;

/// How far a version is trusted. Names are on disk and in answers: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, and not promoted yet.
    Draft,
    /// Runs beside the active one.
    Shadow,
    /// What runs.
    Active,
    /// Must not run.
    Disabled,
}

impl Status {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Shadow => "shadow",
            Status::Active => "active",
            Status::Disabled => "disabled",
        }
    }
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Compiled from a recorded run.
    Compiled(Box<Compilation>),
    /// Uploaded as a component.
    Uploaded,
    /// Compiled from a task graph, whose text each of its jobs has.
    Graph {
        /// SHA-256 of the graph's canonical JSON.
        digest: Digest,
    },
}

/// What was said and found when a run was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compilation {
    /// The run.
    pub run_id: RunId,
    /// What the compiler reports (`compile_summary`), an object.
    pub summary: Json,
    /// When the playbook applies, as the client put it.
    pub matchers: Option<Json>,
    /// What counts as success, as the client put it.
    pub success_criteria: Option<Json>,
    /// `low`, `medium` or `high`.
    pub risk_profile: String,
    /// Whatever else the client wanted to keep, an object.
    pub metadata: Option<Json>,
    /// How it was compiled, so that it can be compiled again. Rows of versions that were made before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Options>,
}

/// One immutable version of a playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// From 1, without gaps.
    pub version: u32,
    /// How far it is trusted.
    pub status: Status,
    /// For people.
    pub name: String,
    /// SHA-256 of the component.
    pub component: Digest,
    /// The component's size.
    pub component_bytes: u64,
    /// Where it came from.
    pub origin: Origin,
    /// What it asks for; none of one that was made before this was kept, whose component says it.
    pub asks: Option<Asks>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

/// A version that is to be made.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The playbook, new or not.
    pub playbook_id: PlaybookId,
    /// The number the client asked for.
    pub wanted: Option<u32>,
    /// For people.
    pub name: String,
    /// SHA-256 of the component, whose bytes are in the store.
    pub component: Digest,
    /// The component's size.
    pub component_bytes: u64,
    /// Where it came from.
    pub origin: Origin,
    /// What its component asks for.
    pub asks: Asks,
}

impl NewVersion {
    pub(super) fn numbered(self, version: u32) -> Version {
        let NewVersion { playbook_id, name, component, component_bytes, origin, asks, .. } = self;
        Version {
            playbook_id,
            version,
            status: Status::Draft,
            name,
            component,
            component_bytes,
            origin,
            asks: Some(asks),
            created_at_ms: clock::now_ms(),
        }
    }

    /// True where this content is what made `version`.
    pub(super) fn makes(&self, version: &Version) -> bool {
        self.identity() == version.identity()
    }

    /// By which the version that it makes is found again.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Json::from(&self.identity()).digest()
    }

    /// What makes two requests the same; shown in a conflict.
    pub(super) fn identity(&self) -> Value {
        identity(&self.name, &self.component, &self.origin)
    }
}

impl Version {
    /// As [`NewVersion::digest`].
    #[must_use]
    pub fn content(&self) -> Digest {
        Json::from(&self.identity()).digest()
    }

    /// What makes two versions the same; shown in a conflict.
    #[must_use]
    pub fn identity(&self) -> Value {
        identity(&self.name, &self.component, &self.origin)
    }
}

fn identity(name: &str, component: &Digest, origin: &Origin) -> Value {
    match origin {
        Origin::Uploaded => json!({"name": name, "component": component}),
        Origin::Graph { digest } => json!({"name": name, "component": component, "graph_digest": digest}),
        Origin::Compiled(c) => json!({
            "name": name, "component": component, "source_run_id": c.run_id, "matchers": c.matchers,
            "success_criteria": c.success_criteria, "risk_profile": c.risk_profile, "metadata": c.metadata,
        }),
    }
}
