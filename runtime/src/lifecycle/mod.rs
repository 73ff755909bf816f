//! Playbook versions: immutable, numbered from 1, each naming its component by digest.
//!
//! It keeps what is known of a version beside its bytes. It does not know how a component is made or run. The rule: a version
//! never changes; a change of its status is the next version, with the same component, and what runs where no number is
//! named follows from the versions in their order alone.

mod change;
mod considering;
pub mod evidence;
mod force;
mod held;
pub mod ledger;
mod lists;
pub mod matching;
mod policies;
pub mod policy;
pub mod repairs;
mod saved;
mod sources;
mod version;
pub mod view;

#[cfg(test)]
mod tests;

pub use change::{Authority, Change, ChangeKind, Provenance, Review, ReviewState};
pub use considering::{BY_POLICY, Judged, Lifecycle, not_earned as promotion_not_earned};
pub use lists::PlaybookFilter;
pub use policies::Policies;
pub use sources::Sources;
pub use version::{Compilation, Content, Mended, NewVersion, Next, Origin, Status, Version};

use force::Entering;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::limits;
use crate::store::{Batch, CommitError, ContentKey, PlaybookKey, Store, VersionKey};
use crate::tools::asks::Asks;

/// All playbooks of a store. Cheap to clone.
#[derive(Clone)]
pub struct Playbooks {
    store: Store,
    /// What was written since somebody asked. Held for inserts and the asking only.
    changed: Arc<Mutex<Changed>>,
}

#[derive(Default)]
struct Changed {
    playbooks: HashSet<(Space, PlaybookId)>,
    /// True where there were more than are noted.
    too_many: bool,
}

impl Changed {
    fn note(&mut self, space: Space, id: PlaybookId) {
        if self.playbooks.len() >= limits::CHANGED_PLAYBOOKS_MAX {
            *self = Changed { playbooks: HashSet::new(), too_many: true };
        }
        if !self.too_many {
            self.playbooks.insert((space, id));
        }
    }
}

/// One line of a list of playbooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// Its newest version's name.
    pub name: String,
    /// Its newest version's number.
    pub latest_version: u32,
    /// Its newest version's status.
    pub latest_status: Status,
    /// The number of the version that runs where none is named.
    pub active_version: u32,
    /// That one's status. `disabled`: nothing of the playbook runs.
    pub active_status: Status,
    /// What that one asks for, or the last one before the playbook was disabled; none of one from before this was kept.
    pub active_asks: Option<Asks>,
    /// The newest version that is a shadow, whether it is the one that runs or stands beside it.
    pub shadow_version: Option<u32>,
    /// The versions that wait for a review.
    pub pending: Vec<u32>,
    /// When the newest version was made, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
}

/// A version that stands in the store.
#[derive(Debug, Clone)]
pub struct Added {
    /// The version.
    pub version: Version,
    /// True where the same content had made it before.
    pub repeated: bool,
}

impl Playbooks {
    /// Over `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Playbooks { store, changed: Arc::default() }
    }

    /// Adds a version. The component's bytes must be in the store already. The same content again answers with
    /// the version that it made the first time. Without a wanted number it becomes the latest plus one.
    ///
    /// It becomes what runs where it is the first, or asks for nothing that the active one does not ask for. Where that is not
    /// known ([`Playbooks::active_of_unknown_asks`]), it does not.
    ///
    /// One batch: if the process dies before it, there is no version; after it, it is whole.
    ///
    /// # Errors
    /// `id_conflict` where the wanted number is taken by other content or would leave a gap; `details` shows both.
    pub async fn add(&self, space: &Space, new: NewVersion) -> Result<Added> {
        self.add_with(space, new, |_| Batch::new()).await
    }

    /// As [`Playbooks::add`]; `beside` is written in one with a version that was not there before.
    ///
    /// # Errors
    /// As [`Playbooks::add`].
    pub async fn add_with(&self, space: &Space, new: NewVersion, beside: impl Fn(&Version) -> Batch) -> Result<Added> {
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let key = playbook_key(space, &new.playbook_id);
            let row = self.store.get(&key)?;
            let before = row.as_deref().map(|row| saved::summary(row, &new.playbook_id)).transpose()?;
            let latest = before.as_ref().map_or(0, |summary| summary.latest_version);
            if let Some(same) = self.same_content(space, &new, latest)? {
                return Ok(Added { version: same, repeated: true });
            }
            if let Some(wrong) = new.playbook_id.unfit_as_new().filter(|_| before.is_none()) {
                return Err(Error::invalid("/playbook_id", wrong));
            }
            let number = new.wanted.unwrap_or(latest + 1);
            if number != latest + 1 {
                return Err(self.number_conflict(space, &new, number, latest)?);
            }
            let version = new.clone().numbered(number);
            let entering = Entering {
                version: &version,
                asks: &new.asks,
                authority: Authority::Evidence,
                does_as_active: false,
                does_as_shadow: false,
            };
            let summary = force::after(before.as_ref(), &entering).map_err(|_| asks_for_more(&version))?;
            let mut batch = beside(&version);
            batch.append(rows(space, row.as_deref(), &summary, &version));
            // Where a number was wanted, the same content may make a second version: the newest is found.
            batch.put(&content_key(space, &new), saved::content_row(number));
            self.note_with(&mut batch, space, &new.playbook_id);
            match self.store.commit(batch).await {
                Ok(()) => return Ok(Added { version, repeated: false }),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(contended(&new.playbook_id))
    }

    /// Adds the version that follows from another one, where `next` says so of the playbook as it stands; none where it does not.
    /// It is asked again where somebody else was faster: of two at once, one finds what the other one did.
    ///
    /// One batch, in which `beside` is written too: if the process dies before it, there is no version; after it, it is whole.
    ///
    /// # Errors
    /// `replay_playbook_not_found`; `promotion_not_earned` where it asks for more than what runs, or is held back by a review;
    /// `replay_repair_not_pending_review` where it is to be reviewed and waits for none; `too_large` where too many wait for
    /// one; what `next` fails with.
    pub async fn add_status_version(
        &self,
        space: &Space,
        id: &PlaybookId,
        next: impl Fn(&Summary) -> Result<Option<Next>>,
        beside: impl Fn(&Version) -> Batch,
    ) -> Result<Option<Version>> {
        let key = playbook_key(space, id);
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let row = self.row(&key)?;
            let before = saved::summary(&row, id)?;
            let Some(next) = next(&before)? else { return Ok(None) };
            may_follow(&before, &next, |version| self.held_back(space, version))?;
            let does_as = |number| self.get(space, id, Some(number)).map(|other| other.component == next.from.component);
            let does_as_active = does_as(before.active_version)?;
            let does_as_shadow = before.shadow_version.map_or(Ok(false), does_as)?;
            let (authority, asks) = (next.authority, next.asked().clone());
            let version = next.numbered(before.latest_version + 1);
            let entering = Entering { version: &version, asks: &asks, authority, does_as_active, does_as_shadow };
            let after = force::after(Some(&before), &entering).map_err(|_| asks_for_more(&version))?;
            let mut batch = beside(&version);
            batch.append(rows(space, Some(&row), &after, &version));
            self.note_with(&mut batch, space, id);
            match self.store.commit(batch).await {
                Ok(()) => return Ok(Some(version)),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(contended(id))
    }

    /// What [`Playbooks::add`] would come to without a wanted number: the version's, and whether it is there already. Keeps nothing.
    ///
    /// # Errors
    /// What the store says.
    pub fn foresee(&self, space: &Space, new: &NewVersion) -> Result<(u32, bool)> {
        let row = self.store.get(&PlaybookKey { space: space.clone(), playbook_id: new.playbook_id.clone() })?;
        let summary = row.as_deref().map(|row| saved::summary(row, &new.playbook_id)).transpose()?;
        let latest = summary.map_or(0, |summary| summary.latest_version);
        let same = self.same_content(space, new, latest)?;
        Ok(same.map_or((latest + 1, false), |same| (same.version, true)))
    }

    /// Whether an operator may make a version the one that runs: no review holds it back, and neither it nor the playbook is
    /// disabled. Whoever disabled a playbook said so of all that runs; taking that back is a promotion that says so.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, `playbook_disabled`, and `promotion_not_earned` where a review holds it back.
    pub fn may_activate(&self, space: &Space, version: &Version) -> Result<()> {
        if version.is_held_back() {
            return Err(self.held_back(space, version));
        }
        if version.status == Status::Disabled {
            return Err(disabled(version));
        }
        let runs = self.get(space, &version.playbook_id, None)?;
        if runs.status == Status::Disabled { Err(disabled(&runs)) } else { Ok(()) }
    }

    /// The active version, where what it asks for was not kept yet: its component says so.
    ///
    /// # Errors
    /// What the store says.
    pub fn active_of_unknown_asks(&self, space: &Space, id: &PlaybookId) -> Result<Option<Version>> {
        match self.store.get(&playbook_key(space, id))?.map(|row| saved::summary(&row, id)).transpose()? {
            Some(Summary { active_asks: None, active_version, .. }) => self.get(space, id, Some(active_version)).map(Some),
            _ => Ok(None),
        }
    }

    /// Keeps what a version asks for, where it is still the active one.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub async fn remember_asks(&self, space: &Space, active: &Version, asks: Asks) -> Result<()> {
        self.change(space, &active.playbook_id, |before| match before.active_version == active.version {
            true => Summary { active_asks: Some(asks.clone()), ..before },
            false => before,
        })
        .await
    }

    async fn change(&self, space: &Space, id: &PlaybookId, change: impl Fn(Summary) -> Summary) -> Result<()> {
        let key = playbook_key(space, id);
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let row = self.row(&key)?;
            let mut batch = Batch::new();
            batch.expect(&key, Some(&row));
            batch.put(&key, saved::summary_row(&change(saved::summary(&row, id)?)));
            self.note_with(&mut batch, space, id);
            match self.store.commit(batch).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(contended(id))
    }

    /// Notes it when the batch is written, whether or not whoever commits it still waits for that: what is written and not noted
    /// would never be found by its words.
    fn note_with(&self, batch: &mut Batch, space: &Space, id: &PlaybookId) {
        let (changed, space, id) = (Arc::clone(&self.changed), space.clone(), id.clone());
        batch.when_written(move || changed.lock().unwrap_or_else(PoisonError::into_inner).note(space, id));
    }

    /// The playbooks that were written since this was asked before: whoever keeps something made of them makes it anew. None where
    /// those were more than are noted: then all of it is to be made anew.
    #[must_use]
    pub fn changed(&self) -> Option<Vec<(Space, PlaybookId)>> {
        let Changed { playbooks, too_many } = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        (!too_many).then(|| playbooks.into_iter().collect())
    }

    /// A playbook's line in the list.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn summary(&self, space: &Space, id: &PlaybookId) -> Result<Summary> {
        saved::summary(&self.row(&playbook_key(space, id))?, id)
    }

    fn row(&self, key: &PlaybookKey) -> Result<Vec<u8>> {
        self.store.get(key)?.ok_or_else(|| {
            let (id, space) = (key.playbook_id.as_str(), &key.space);
            Error::new(Code::ReplayPlaybookNotFound, format!("no playbook {id:?} in tenant {}, scope {}", space.tenant(), space.scope()))
        })
    }

    /// A version; without a number the one that runs.
    ///
    /// # Errors
    /// `replay_playbook_not_found` that says which versions there are.
    pub fn get(&self, space: &Space, id: &PlaybookId, number: Option<u32>) -> Result<Version> {
        let not_found = |message| Error::new(Code::ReplayPlaybookNotFound, message);
        let Summary { latest_version: latest, active_version, .. } = self.summary(space, id)?;
        let number = number.unwrap_or(active_version);
        let key = VersionKey { space: space.clone(), playbook_id: id.clone(), version: number };
        let row = self
            .store
            .get(&key)?
            .ok_or_else(|| not_found(format!("playbook {:?} has no version {number}; it has 1 to {latest}", id.as_str())))?;
        saved::version(&row, id, number)
    }

    /// A version that is to be started; without a number the one that runs.
    ///
    /// # Errors
    /// As [`Playbooks::get`]; `playbook_disabled` where the playbook is, or the version that is named; `promotion_not_earned` where
    /// a review holds that one back.
    pub fn to_start(&self, space: &Space, id: &PlaybookId, number: Option<u32>) -> Result<Version> {
        let runs = self.get(space, id, None)?;
        if runs.status == Status::Disabled {
            return Err(disabled(&runs));
        }
        let Some(number) = number.filter(|number| *number != runs.version) else { return Ok(runs) };
        let named = self.get(space, id, Some(number))?;
        match named.status {
            Status::Disabled => Err(disabled(&named)),
            // Nobody has looked at it, or somebody did and said no: to know its number is no reason to let it act.
            _ if named.is_held_back() => Err(self.held_back(space, &named)),
            _ => Ok(named),
        }
    }

    /// Versions of a playbook, the newest first; those before `before` where one is given.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn versions(&self, space: &Space, id: &PlaybookId, before: Option<u32>, limit: usize) -> Result<Vec<Version>> {
        self.summary(space, id)?;
        let before = before.map(|version| VersionKey { space: space.clone(), playbook_id: id.clone(), version });
        let rows = self.store.scan_back(&VersionKey::of_playbook(space, id), before.as_ref(), limit)?;
        rows.iter().map(|(key, row)| saved::version(row, id, key.version)).collect()
    }

    /// Playbooks in the order of their ids.
    ///
    /// # Errors
    /// What the store says.
    pub fn list(&self, space: &Space, after: Option<&PlaybookId>, limit: usize) -> Result<Vec<Summary>> {
        let after = after.map(|id| PlaybookKey { space: space.clone(), playbook_id: id.clone() });
        let rows = self.store.scan(&PlaybookKey::of_space(space), after.as_ref(), limit)?;
        rows.iter().map(|(key, row)| saved::summary(row, &key.playbook_id)).collect()
    }

    /// The version that the same content made before: the wanted one, or any where none is wanted.
    fn same_content(&self, space: &Space, new: &NewVersion, latest: u32) -> Result<Option<Version>> {
        let number = match new.wanted {
            Some(number) => Some(number).filter(|number| (1..=latest).contains(number)),
            None => self.store.get(&content_key(space, new))?.as_deref().map(saved::content).transpose()?,
        };
        let version = number.map(|number| self.get(space, &new.playbook_id, Some(number))).transpose()?;
        Ok(version.filter(|version| new.makes(version)))
    }

    fn number_conflict(&self, space: &Space, new: &NewVersion, number: u32, latest: u32) -> Result<Error> {
        if number == 0 || number > latest {
            return Ok(Error::new(
                Code::IdConflict,
                format!("version {number} would leave a gap: playbook {} is at version {latest}", new.playbook_id),
            )
            .with_details(serde_json::json!({"latest_version": latest, "next_version": latest + 1})));
        }
        let stored = self.get(space, &new.playbook_id, Some(number))?;
        Ok(Error::new(
            Code::IdConflict,
            format!("playbook {} has another version {number}; versions never change, the next one is {}", new.playbook_id, latest + 1),
        )
        .with_details(serde_json::json!({"stored": stored.identity(), "sent": new.identity()})))
    }
}

fn playbook_key(space: &Space, id: &PlaybookId) -> PlaybookKey {
    PlaybookKey { space: space.clone(), playbook_id: id.clone() }
}

/// What is written of a version that is added, and what must hold for it.
fn rows(space: &Space, before: Option<&[u8]>, after: &Summary, version: &Version) -> Batch {
    let mut batch = Batch::new();
    let key = playbook_key(space, &version.playbook_id);
    batch.expect(&key, before);
    batch.put(&key, saved::summary_row(after));
    let key = VersionKey { space: space.clone(), playbook_id: version.playbook_id.clone(), version: version.version };
    batch.expect(&key, None);
    batch.put(&key, saved::version_row(version));
    batch
}

/// What holds for every version that follows from another one.
fn may_follow(before: &Summary, next: &Next, held_back: impl Fn(&Version) -> Error) -> Result<()> {
    let (from, reviews) = (&next.from, next.kind == ChangeKind::Reviewed);
    if reviews && !before.pending.contains(&from.version) {
        let message = format!("version {} of playbook {} waits for no review", from.version, from.playbook_id);
        return Err(Error::new(Code::ReplayRepairNotPendingReview, message)
            .with_details(serde_json::json!({"version": from.version, "pending": before.pending})));
    }
    if from.is_held_back() && !reviews && next.content.is_none() {
        return Err(held_back(from));
    }
    let waits = next.review.as_ref().is_some_and(|review| review.state == ReviewState::PendingReview);
    if waits && before.pending.len() >= limits::REVIEWS_PENDING_MAX {
        let message = format!(
            "{} versions of playbook {} wait for a review; at most {}",
            before.pending.len(),
            from.playbook_id,
            limits::REVIEWS_PENDING_MAX
        );
        return Err(Error::new(Code::TooLarge, message));
    }
    Ok(())
}

fn not_earned(message: String, missing: &[String]) -> Error {
    Error::new(Code::PromotionNotEarned, message).with_details(serde_json::json!({"missing": missing}))
}

fn asks_for_more(version: &Version) -> Error {
    let missing = "an operator's word: it asks for more than the version that runs".to_owned();
    not_earned(format!("playbook {} cannot be promoted so: {missing}", version.playbook_id), &[missing])
}

fn disabled(version: &Version) -> Error {
    let Version { playbook_id: id, version: number, .. } = version;
    Error::new(Code::PlaybookDisabled, format!("playbook {id} is disabled since version {number}; promote a version to let it run again"))
        .with_details(serde_json::json!({"playbook_id": id, "version": number, "note": version.made_by.note}))
}

fn contended(id: &PlaybookId) -> Error {
    Error::new(Code::Contended, format!("many versions of playbook {id} are being added at once; try again"))
}

fn content_key(space: &Space, new: &NewVersion) -> ContentKey {
    ContentKey { space: space.clone(), playbook_id: new.playbook_id.clone(), content: new.digest() }
}
