//! What a playbook version asks for, beside what the active one asks for, and which one is active.

use serde::Serialize;
use utoipa::ToSchema;

use super::{AskView, Engine, Promotion};
use crate::contract::ToolId;
use crate::error::Result;
use crate::ids::{Digest, PlaybookId, Space};
use crate::lifecycle::{Status, Summary, Version};
use crate::sandbox::Imports;
use crate::tools::asks::{Activation, Ask, Asks, Diff, PermissionDiff};

/// How a version stands beside the one that runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Standing {
    /// Whether it is the one.
    pub activation: Activation,
    /// The version that runs where none is named.
    pub active_version: u32,
    /// What this version asks for, in words.
    pub asks: Vec<AskView>,
    /// What it asks for more and less than the active one.
    pub permission_diff: PermissionDiff,
}

impl Engine {
    /// How a version stands beside the one that runs.
    ///
    /// # Errors
    /// As [`Engine::component`].
    pub async fn standing(&self, space: &Space, version: &Version) -> Result<Standing> {
        let asks = self.asks_of(version).await?;
        let words = |tool: &ToolId| self.words(tool).map(|(words, _)| words);
        let active_version = self.playbooks.summary(space, &version.playbook_id)?.active_version;
        let shown = asks.iter().map(|ask| AskView { ask: ask.to_string(), words: ask.words(words) }).collect();
        let (activation, diff) = if active_version == version.version {
            (Activation::Active, Diff::default())
        } else {
            let active = self.playbook(space, &version.playbook_id, Some(active_version))?;
            let diff = Diff::between(&self.asks_of(&active).await?, &asks);
            (if diff.asks_for_more() { Activation::NeedsApproval } else { Activation::Inactive }, diff)
        };
        Ok(Standing { activation, active_version, asks: shown, permission_diff: diff.words(words) })
    }

    /// Makes a version the one that runs where none is named, for an operator: a promotion, so that the history says who did it and
    /// why. What it answers with is the version that runs now, which has the same component.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, `playbook_disabled`; `promotion_not_earned` where a review holds it back; `contended`.
    pub async fn activate_playbook(
        &self,
        space: &Space,
        id: &PlaybookId,
        number: u32,
        by: Option<String>,
        note: Option<String>,
    ) -> Result<Version> {
        let version = self.playbook(space, id, Some(number))?;
        self.playbooks.may_activate(space, &version)?;
        let note = note.unwrap_or_else(|| format!("version {number} was activated"));
        let promotion = Promotion {
            playbook_id: id.clone(),
            from_version: Some(number),
            target: Status::Active,
            by,
            note: Some(note),
            metadata: None,
            operator: true,
        };
        // Asked again in the write: somebody may disable the playbook meanwhile.
        let may = |before: &Summary| match before.active_status {
            Status::Disabled => self.playbooks.may_activate(space, &version),
            _ => Ok(()),
        };
        Ok(self.promote_where(space, &promotion, may).await?.version)
    }

    pub(super) async fn asks_of(&self, version: &Version) -> Result<Asks> {
        match &version.asks {
            Some(asks) => Ok(asks.clone()),
            None => self.asks(version.component).await,
        }
    }

    /// What a stored component asks for: the tools that it imports, and whether it starts other playbooks.
    pub(super) async fn asks(&self, component: Digest) -> Result<Asks> {
        Ok(asks_in(self.loaded(component).await?.imports()))
    }
}

/// What these imports ask for.
pub(super) fn asks_in(imports: &Imports) -> Asks {
    let starts = imports.flow.iter().any(|function| function == "start-playbook").then_some(Ask::Playbooks);
    imports.tools.iter().cloned().map(Ask::Tool).chain(starts).collect()
}
