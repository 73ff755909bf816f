//! What runs where no number is named, after a version was added: the one rule, without a store.
//!
//! An active version runs until another active one, or its own loss of that status, takes its place. Before there is one, the
//! newest shadow runs, and before that the newest draft. What asks for more than what ran before needs an operator. A version
//! that a review holds back changes nothing, and neither does a draft that was mended on nobody's word but its author's. A disabled
//! playbook runs nothing until somebody promotes a version again.

use super::Summary;
use super::change::{Authority, ChangeKind};
use super::version::{Status, Version};
use crate::tools::asks::{Asks, Diff};

/// What a version that was just made is, as far as this rule asks.
pub(super) struct Entering<'a> {
    /// It.
    pub version: &'a Version,
    /// What it asks for.
    pub asks: &'a Asks,
    /// On whose word it has its status.
    pub authority: Authority,
    /// Whether it does what the version that runs does.
    pub does_as_active: bool,
    /// Whether it does what the shadow does.
    pub does_as_shadow: bool,
}

/// It would run, and asks for more than what runs; only an operator may let it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AsksForMore;

/// The playbook's line after the version was added to `before`.
///
/// # Errors
/// [`AsksForMore`] where it was to be active, or to enable the playbook. A shadow or a draft that asks for more is kept and does not run by itself.
pub(super) fn after(before: Option<&Summary>, entering: &Entering<'_>) -> Result<Summary, AsksForMore> {
    let Entering { version, asks, authority, does_as_active, does_as_shadow } = *entering;
    let (number, status, kind) = (version.version, version.status, version.made_by.kind);
    let Some(before) = before else {
        return Ok(Summary {
            playbook_id: version.playbook_id.clone(),
            name: version.name.clone(),
            latest_version: number,
            latest_status: status,
            active_version: number,
            active_status: status,
            active_asks: Some(asks.clone()),
            shadow_version: (status == Status::Shadow).then_some(number),
            pending: if version.awaits_review() { vec![number] } else { Vec::new() },
            updated_at_ms: version.created_at_ms,
        });
    };
    let mut after = Summary {
        name: version.name.clone(),
        latest_version: number,
        latest_status: status,
        updated_at_ms: version.created_at_ms,
        ..before.clone()
    };
    if kind == ChangeKind::Reviewed {
        after.pending.retain(|pending| Some(*pending) != version.made_by.from_version);
    }
    if version.awaits_review() {
        after.pending.push(number);
    }
    if version.is_held_back() {
        return Ok(after);
    }
    let wider = before.active_asks.as_ref().is_none_or(|active| Diff::between(active, asks).asks_for_more());
    let may = !wider || authority.may_widen();
    // A review lets what was mended stand beside what runs; that it may not lower, even where both have one component.
    // Whoever mends a playbook, or approves what was mended, without being an operator says by that alone what nobody can hold them to:
    // such a draft waits for evidence or for an operator, even where nothing but drafts is there.
    let mended = matches!(kind, ChangeKind::Repaired | ChangeKind::Reviewed);
    let on_claims = mended && status == Status::Draft && authority != Authority::Operator;
    let changes_standing = !kind.brings_content() && kind != ChangeKind::Reviewed;
    let lowered = changes_standing && does_as_active;
    let takes = match (before.active_status, status) {
        (_, Status::Disabled) => true,
        (Status::Disabled, _) => authority.may_enable() && (kind == ChangeKind::Promoted || status == Status::Active),
        (_, Status::Active) | (Status::Draft, _) | (Status::Shadow, Status::Shadow) => true,
        (Status::Active, Status::Shadow | Status::Draft) | (Status::Shadow, Status::Draft) => lowered,
    };
    let takes = takes && !on_claims;
    if takes && (may || status == Status::Disabled) {
        after.active_version = number;
        after.active_status = status;
        if status != Status::Disabled {
            after.active_asks = Some(asks.clone());
        }
    } else if takes && (status == Status::Active || (before.active_status == Status::Disabled && kind == ChangeKind::Promoted)) {
        return Err(AsksForMore);
    }
    after.shadow_version = match status {
        Status::Shadow => Some(number),
        _ if changes_standing && does_as_shadow => None,
        _ => before.shadow_version,
    };
    Ok(after)
}
