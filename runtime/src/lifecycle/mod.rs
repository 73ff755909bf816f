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
use crate::tools::asks::{Asks, Diff};

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
    /// The number of the version that runs where none is named.
    pub active_version: u32,
    /// What that one asks for; none of one from before this was kept.
    pub active_asks: Option<Asks>,
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
    /// It becomes what runs where it is the first, or asks for nothing that the active one does not ask for. Where that is not
    /// known ([`Playbooks::active_of_unknown_asks`]), it does not.
    ///
    /// One batch: if the process dies before it, there is no version; after it, it is whole.
    ///
    /// # Errors
    /// `id_conflict` where the wanted number is taken by other content or would leave a gap; `details` shows both.
    pub async fn add(&self, space: &Space, new: NewVersion) -> Result<Added> {
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let key = playbook_key(space, &new.playbook_id);
            let row = self.store.get(&key)?;
            let before = row.as_deref().map(|row| saved::summary(row, &new.playbook_id)).transpose()?;
            let latest = before.as_ref().map_or(0, |summary| summary.latest_version);
            if let Some(same) = self.same_content(space, &new, latest)? {
                return Ok(Added { version: same, repeated: true });
            }
            let number = new.wanted.unwrap_or(latest + 1);
            if number != latest + 1 {
                return Err(self.number_conflict(space, &new, number, latest)?);
            }
            let version = new.clone().numbered(number);
            let (active_version, active_asks) = match before {
                None => (number, Some(new.asks.clone())),
                Some(Summary { active_asks: Some(asks), .. }) if !Diff::between(&asks, &new.asks).asks_for_more() => {
                    (number, Some(new.asks.clone()))
                }
                Some(before) => (before.active_version, before.active_asks),
            };
            let summary = Summary {
                playbook_id: new.playbook_id.clone(),
                name: version.name.clone(),
                latest_version: number,
                active_version,
                active_asks,
                updated_at_ms: version.created_at_ms,
            };
            let mut batch = Batch::new();
            batch.expect(&key, row.as_deref());
            batch.put(&key, saved::summary_row(&summary));
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
        Err(contended(&new.playbook_id))
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

    /// Makes a version the one that runs where none is named, whatever it asks for: an operator says so.
    ///
    /// One row: if the process dies before it is written, the other one runs on; after, this one.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub async fn activate(&self, space: &Space, version: &Version, asks: Asks) -> Result<()> {
        self.change(space, &version.playbook_id, |before| Summary {
            active_version: version.version,
            active_asks: Some(asks.clone()),
            ..before
        })
        .await
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
            match self.store.commit(batch).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(contended(id))
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

fn contended(id: &PlaybookId) -> Error {
    Error::new(Code::Contended, format!("many versions of playbook {id} are being added at once; try again"))
}

fn content_key(space: &Space, new: &NewVersion) -> ContentKey {
    ContentKey { space: space.clone(), playbook_id: new.playbook_id.clone(), content: new.digest() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::tools::asks::Ask;

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
            asks: Asks::default(),
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

    fn asking(content: &str, tools: &[&str]) -> NewVersion {
        let asks = tools.iter().map(|tool| Ask::parse(&format!("tool:{tool}")).unwrap()).collect();
        NewVersion { asks, ..new("p", content, None) }
    }

    #[tokio::test]
    async fn a_version_that_asks_for_more_is_kept_and_does_not_run_by_itself() {
        let (_dir, playbooks) = playbooks();
        let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
        for (content, tools, made, active) in [
            ("first", &["fs/read", "fs/list"][..], 1, 1),
            ("same", &["fs/list", "fs/read"], 2, 2),
            ("less", &["fs/read"], 3, 3),
            ("as much as there was", &["fs/list", "fs/read"], 4, 3),
            ("another", &["fs/list"], 5, 3),
            ("nothing", &[], 6, 6),
        ] {
            let added = playbooks.add(&space, asking(content, tools)).await.unwrap();
            assert_eq!((added.version.version, playbooks.get(&space, &id, None).unwrap().version), (made, active), "{content}");
            assert_eq!(playbooks.summary(&space, &id).unwrap().latest_version, made);
        }
        let fourth = playbooks.get(&space, &id, Some(4)).unwrap();
        playbooks.activate(&space, &fourth, fourth.asks.clone().unwrap()).await.unwrap();
        assert_eq!(playbooks.get(&space, &id, None).unwrap(), fourth);
        // It is held against the one that was activated now.
        playbooks.add(&space, asking("less again", &["fs/list"])).await.unwrap();
        assert_eq!(playbooks.get(&space, &id, None).unwrap().version, 7);
        // The same bytes again change nothing.
        assert!(playbooks.add(&space, asking("first", &["fs/read", "fs/list"])).await.unwrap().repeated);
        assert_eq!(playbooks.get(&space, &id, None).unwrap().version, 7);
        assert_eq!(playbooks.list(&space, None, 9).unwrap()[0].active_version, 7);
    }

    #[tokio::test]
    async fn what_a_version_from_before_asks_for_is_read_from_its_component() {
        let (_dir, playbooks) = playbooks();
        let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
        let first = playbooks.add(&space, asking("first", &["fs/read"])).await.unwrap().version;
        let mut batch = Batch::new();
        let row = br#"{"v":1,"name":"n","latest":1,"updated_at":1}"#.to_vec();
        batch.put(&PlaybookKey { space: space.clone(), playbook_id: id.clone() }, row);
        playbooks.store.commit(batch).await.unwrap();
        // Whatever is not known to be the same is more.
        playbooks.add(&space, asking("same", &["fs/read"])).await.unwrap();
        let active = playbooks.active_of_unknown_asks(&space, &id).unwrap().unwrap();
        assert_eq!(active, first);
        playbooks.remember_asks(&space, &active, first.asks.clone().unwrap()).await.unwrap();
        assert_eq!(playbooks.active_of_unknown_asks(&space, &id).unwrap(), None);
        for (content, tools, active) in [("more", &["fs/read", "fs/write"][..], 1), ("same again", &["fs/read"], 4)] {
            playbooks.add(&space, asking(content, tools)).await.unwrap();
            assert_eq!(playbooks.get(&space, &id, None).unwrap().version, active, "{content}");
        }
        // It is not the active one any more.
        playbooks.remember_asks(&space, &first, Asks::default()).await.unwrap();
        assert_eq!(playbooks.summary(&space, &id).unwrap().active_asks.unwrap(), first.asks.unwrap());
    }
}
