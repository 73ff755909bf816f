//! Playbook versions: immutable, numbered from 1, each naming its component by digest.
//!
//! It keeps what is known of a version beside its bytes. It does not know how a component is made or run.
//! Promotion, evidence, repair and review will stand here; until then every version is a draft.

mod saved;
mod version;

pub use version::{Compilation, NewVersion, Origin, Status, Version};

use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::limits;
use crate::store::{Batch, CommitError, PlaybookKey, Store, VersionKey};

/// All playbooks of a store. Cheap to clone.
#[derive(Clone)]
pub struct Playbooks {
    store: Store,
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
        Playbooks { store }
    }

    /// Adds a version. The component's bytes must be in the store already. The same content again answers with
    /// the version that it made the first time. Without a wanted number it becomes the latest plus one.
    ///
    /// One batch: if the process dies before it, there is no version; after it, it is whole.
    ///
    /// # Errors
    /// `id_conflict` where the wanted number is taken by other content or would leave a gap; `details` shows both.
    pub async fn add(&self, space: &Space, new: NewVersion) -> Result<Added> {
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let key = PlaybookKey { space: space.clone(), playbook_id: new.playbook_id.clone() };
            let row = self.store.get(&key)?;
            let latest =
                row.as_deref().map(|row| saved::summary(row, &new.playbook_id)).transpose()?.map_or(0, |summary| summary.latest_version);
            if let Some(same) = self.same_content(space, &new, latest)? {
                return Ok(Added { version: same, repeated: true });
            }
            let number = new.wanted.unwrap_or(latest + 1);
            if number != latest + 1 {
                return Err(self.number_conflict(space, &new, number, latest)?);
            }
            let version = new.clone().numbered(number);
            let mut batch = Batch::new();
            batch.expect(&key, row.as_deref());
            batch.put(&key, saved::summary_row(&version));
            let version_key = VersionKey { space: space.clone(), playbook_id: new.playbook_id.clone(), version: number };
            batch.expect(&version_key, None);
            batch.put(&version_key, saved::version_row(&version));
            match self.store.commit(batch).await {
                Ok(()) => return Ok(Added { version, repeated: false }),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(Error::new(Code::Contended, format!("many versions of playbook {} are being added at once; try again", new.playbook_id)))
    }

    /// A version; without a number the newest.
    ///
    /// # Errors
    /// `replay_playbook_not_found` that says which versions there are.
    pub fn get(&self, space: &Space, id: &PlaybookId, number: Option<u32>) -> Result<Version> {
        let key = PlaybookKey { space: space.clone(), playbook_id: id.clone() };
        let not_found = |message| Error::new(Code::ReplayPlaybookNotFound, message);
        let row = self
            .store
            .get(&key)?
            .ok_or_else(|| not_found(format!("no playbook {:?} in tenant {}, scope {}", id.as_str(), space.tenant(), space.scope())))?;
        let latest = saved::summary(&row, id)?.latest_version;
        let number = number.unwrap_or(latest);
        let key = VersionKey { space: space.clone(), playbook_id: id.clone(), version: number };
        let row = self
            .store
            .get(&key)?
            .ok_or_else(|| not_found(format!("playbook {:?} has no version {number}; it has 1 to {latest}", id.as_str())))?;
        saved::version(&row, id, number)
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

    /// All versions of a playbook, oldest first.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn versions(&self, space: &Space, id: &PlaybookId) -> Result<Vec<Version>> {
        let newest = self.get(space, id, None)?;
        let rows = self.store.scan(&VersionKey::of_playbook(space, id), None, newest.version as usize)?;
        rows.iter().map(|(key, row)| saved::version(row, id, key.version)).collect()
    }

    /// The version that the same content made before: the wanted one, or any where none is wanted.
    fn same_content(&self, space: &Space, new: &NewVersion, latest: u32) -> Result<Option<Version>> {
        let numbers = match new.wanted {
            Some(number) => number..=number.min(latest),
            None => 1..=latest,
        };
        for number in numbers.rev() {
            let version = self.get(space, &new.playbook_id, Some(number))?;
            if new.makes(&version) {
                return Ok(Some(version));
            }
        }
        Ok(None)
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
