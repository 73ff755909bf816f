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
use crate::store::{Batch, CommitError, ContentKey, PlaybookKey, Store, VersionKey};

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
            // Where a number was wanted, the same content may make a second version: the newest is found.
            batch.put(&content_key(space, &new), saved::content_row(number));
            match self.store.commit(batch).await {
                Ok(()) => return Ok(Added { version, repeated: false }),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(Error::new(Code::Contended, format!("many versions of playbook {} are being added at once; try again", new.playbook_id)))
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

fn content_key(space: &Space, new: &NewVersion) -> ContentKey {
    ContentKey { space: space.clone(), playbook_id: new.playbook_id.clone(), content: new.digest() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    fn playbooks() -> (tempfile::TempDir, Playbooks) {
        let dir = tempfile::tempdir().unwrap();
        let playbooks = Playbooks::new(Store::open(dir.path()).unwrap());
        (dir, playbooks)
    }

    /// A version of playbook `id` whose component is `component`.
    fn new(id: &str, component: &str, wanted: Option<u32>) -> NewVersion {
        NewVersion {
            playbook_id: PlaybookId::parse(id).unwrap(),
            wanted,
            name: "n".to_owned(),
            component: Digest::of(component.as_bytes()),
            component_bytes: 1,
            origin: Origin::Uploaded,
        }
    }

    #[tokio::test]
    async fn the_same_content_answers_with_its_version_and_other_content_makes_the_next() {
        let (_dir, playbooks) = playbooks();
        let space = Space::default_space();
        for (id, content, wanted, number, repeated) in [
            ("p", "a", None, 1, false),
            ("p", "b", None, 2, false),
            ("q", "b", None, 1, false),
            ("p", "c", Some(3), 3, false),
            ("p", "a", None, 1, true),
            ("p", "b", None, 2, true),
            ("p", "c", None, 3, true),
            ("p", "b", Some(2), 2, true),
            // A number that is asked for is given, even to content that there is already; the newest then answers.
            ("p", "a", Some(4), 4, false),
            ("p", "a", None, 4, true),
            ("p", "a", Some(1), 1, true),
            ("p", "d", None, 5, false),
        ] {
            let added = playbooks.add(&space, new(id, content, wanted)).await.unwrap();
            assert_eq!((added.version.version, added.repeated), (number, repeated), "{id} {content} {wanted:?}");
            assert_eq!(playbooks.get(&space, &added.version.playbook_id, Some(number)).unwrap(), added.version);
        }
        let elsewhere = Space::parse(Some("other"), None).unwrap();
        assert!(!playbooks.add(&elsewhere, new("p", "a", None)).await.unwrap().repeated);
        for (content, wanted) in [("a", 2), ("a", 0), ("a", 7), ("x", 5), ("x", 7)] {
            let e = playbooks.add(&space, new("p", content, Some(wanted))).await.unwrap_err();
            assert_eq!(e.code, Code::IdConflict, "{content} {wanted}: {e}");
        }
        assert_eq!(playbooks.get(&space, &PlaybookId::parse("p").unwrap(), None).unwrap().version, 5);
    }

    /// The earlier versions are taken away, so that whoever looks at one says so.
    #[tokio::test]
    async fn adding_a_version_reads_none_of_the_earlier_ones() {
        let (_dir, playbooks) = playbooks();
        let space = Space::default_space();
        let mut batch = Batch::new();
        for number in 1..=9 {
            playbooks.add(&space, new("p", &number.to_string(), None)).await.unwrap();
            if number != 5 {
                batch.delete(&VersionKey { space: space.clone(), playbook_id: PlaybookId::parse("p").unwrap(), version: number });
            }
        }
        playbooks.store.commit(batch).await.unwrap();
        let added = playbooks.add(&space, new("p", "10", None)).await.unwrap();
        assert_eq!((added.version.version, added.repeated), (10, false));
        let again = playbooks.add(&space, new("p", "5", None)).await.unwrap();
        assert_eq!((again.version.version, again.repeated), (5, true));
    }
}
