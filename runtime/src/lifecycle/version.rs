//! One version of a playbook, and what it takes to make one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::change::{Authority, Change, ChangeKind, Provenance, Review, ReviewState, is_higher};
use crate::clock;
use crate::compiler::Options;
use crate::compiler::patch::Overlay;
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
    /// Every status, for those who list or read them.
    pub const ALL: [Status; 4] = [Status::Draft, Status::Shadow, Status::Active, Status::Disabled];

    /// Each by its name.
    pub const NAMES: [(&'static str, Status); 4] =
        [("draft", Status::Draft), ("shadow", Status::Shadow), ("active", Status::Active), ("disabled", Status::Disabled)];

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

    /// The status of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Compiled from recorded runs.
    Compiled(Box<Compilation>),
    /// Uploaded as a component.
    Uploaded,
    /// Compiled from a task graph, whose text each of its jobs has.
    Graph {
        /// SHA-256 of the graph's canonical JSON.
        digest: Digest,
    },
}

/// What was said and found when runs were compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compilation {
    /// The run; where there were several, the first of them.
    pub run_id: RunId,
    /// All the runs, in their order, where there were several; empty where there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_runs: Vec<RunId>,
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
    /// What repairs set beside the plan; none where nobody repaired it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended: Option<Box<Mended>>,
    /// How it was compiled, so that it can be compiled again. Rows of versions that were made before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Options>,
}

/// What repairs set of a playbook beside its plan. Kept through every later version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// What a caller's deterministic gate is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_constraints: Option<Json>,
    /// How its steps are shown and held to, by step id, where that is not as recorded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: Overlay,
}

impl Compilation {
    /// All the runs, the first one first.
    #[must_use]
    pub fn runs(&self) -> &[RunId] {
        if self.source_runs.is_empty() { std::slice::from_ref(&self.run_id) } else { &self.source_runs }
    }
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
    /// How it came about.
    pub made_by: Change,
    /// Where what it does comes from.
    pub provenance: Provenance,
    /// What a review says of it; none of one that needs none.
    pub review: Option<Review>,
    /// Whatever was to be kept with this version, an object.
    pub metadata: Option<Json>,
    /// Evidence from before this counts for nothing: the component lost its status then. In milliseconds since the Unix epoch.
    pub trusted_since_ms: Option<u64>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

/// A version with a component of its own, a draft, that is to be made.
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
    /// Where what it does comes from; [`Provenance::of`] the origin where nothing more is known.
    pub provenance: Provenance,
    /// Who made it, where that is known.
    pub by: Option<String>,
}

/// What replaces a version's component in the next one.
#[derive(Debug, Clone)]
pub struct Content {
    /// SHA-256 of the component, whose bytes are in the store.
    pub component: Digest,
    /// The component's size.
    pub component_bytes: u64,
    /// Where it came from.
    pub origin: Origin,
    /// What its component asks for.
    pub asks: Asks,
    /// Where what it does comes from.
    pub provenance: Provenance,
}

/// A version that follows from another one: with another status, or repaired.
#[derive(Debug, Clone)]
pub struct Next {
    /// What it is a copy of.
    pub from: Version,
    /// What `from` asks for.
    pub asks: Asks,
    /// What is done in the place of the component of `from`; none keeps it.
    pub content: Option<Content>,
    /// Its status.
    pub status: Status,
    /// What makes it.
    pub kind: ChangeKind,
    /// Who, where that is known.
    pub by: Option<String>,
    /// What they say about it.
    pub note: Option<String>,
    /// Why, where the policy does it.
    pub reason: Option<String>,
    /// What the policy would still have asked for.
    pub overrode: Vec<String>,
    /// What is said by a review; none keeps what was said of `from`.
    pub review: Option<Review>,
    /// What is to be kept with it; none keeps that of `from`.
    pub metadata: Option<Json>,
    /// On whose word.
    pub authority: Authority,
}

impl Next {
    /// A copy of `from`, which asks for `asks`, with this status, and nothing else said.
    #[must_use]
    pub fn of(from: Version, asks: Asks, status: Status, kind: ChangeKind, authority: Authority) -> Next {
        Next {
            from,
            asks,
            content: None,
            status,
            kind,
            by: None,
            note: None,
            reason: None,
            overrode: Vec::new(),
            review: None,
            metadata: None,
            authority,
        }
    }

    /// What it asks for.
    pub(super) fn asked(&self) -> &Asks {
        self.content.as_ref().map_or(&self.asks, |content| &content.asks)
    }

    pub(super) fn numbered(self, version: u32) -> Version {
        let now = clock::now_ms();
        let asked = self.asked().clone();
        let Next { from, content, status, kind, by, note, reason, overrode, review, metadata, authority, .. } = self;
        let by_operator = authority == Authority::Operator;
        let made_by = Change { kind, from_version: Some(from.version), by, by_operator, note, reason, overrode, at: now };
        let lost = content.is_none() && is_higher(from.status, status);
        // What is done has changed, or was found wanting: what was shown before shows nothing of it.
        let trusted_since_ms = if lost { Some(now) } else { from.trusted_since_ms.filter(|_| content.is_none()) };
        // What was said of other content says nothing of this one.
        let review = if content.is_some() { review } else { review.or(from.review) };
        let content = content.unwrap_or(Content {
            component: from.component,
            component_bytes: from.component_bytes,
            origin: from.origin,
            asks: asked.clone(),
            provenance: from.provenance,
        });
        Version {
            playbook_id: from.playbook_id,
            version,
            status,
            name: from.name,
            component: content.component,
            component_bytes: content.component_bytes,
            origin: content.origin,
            asks: Some(asked),
            made_by,
            provenance: content.provenance,
            review,
            metadata: metadata.or(from.metadata),
            trusted_since_ms,
            created_at_ms: now,
        }
    }
}

impl NewVersion {
    pub(super) fn numbered(self, version: u32) -> Version {
        let NewVersion { playbook_id, name, component, component_bytes, origin, asks, provenance, by, .. } = self;
        let now = clock::now_ms();
        Version {
            playbook_id,
            version,
            status: Status::Draft,
            name,
            component,
            component_bytes,
            made_by: Change { by, ..Change::plain(ChangeKind::of(&origin), now) },
            origin,
            asks: Some(asks),
            provenance,
            review: None,
            metadata: None,
            trusted_since_ms: None,
            created_at_ms: now,
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

    /// True where somebody has yet to look at it, or did and rejected it: then it never runs by itself.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.review.as_ref().is_some_and(|review| review.state != ReviewState::Approved)
    }

    /// True where it waits for somebody to look at it.
    #[must_use]
    pub fn awaits_review(&self) -> bool {
        self.review.as_ref().is_some_and(|review| review.state == ReviewState::PendingReview)
    }
}

fn identity(name: &str, component: &Digest, origin: &Origin) -> Value {
    match origin {
        Origin::Uploaded => json!({"name": name, "component": component}),
        Origin::Graph { digest } => json!({"name": name, "component": component, "graph_digest": digest}),
        Origin::Compiled(c) => {
            let mut identity = json!({
                "name": name, "component": component, "source_run_id": c.run_id, "matchers": c.matchers,
                "success_criteria": c.success_criteria, "risk_profile": c.risk_profile, "metadata": c.metadata,
            });
            if !c.source_runs.is_empty() {
                identity["source_run_ids"] = json!(c.source_runs);
            }
            identity
        }
    }
}
