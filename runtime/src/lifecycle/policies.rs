//! What operators settled about promotion since the server was configured: for a space, and for single playbooks in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::Playbooks;
use super::evidence::mark;
use crate::config::{Policy, PolicyChange};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::store::{Batch, CommitError, PlaybookKey, PolicyKey, Store};
use crate::{fields, limits};

/// The policy of each space and playbook. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    store: Store,
    playbooks: Playbooks,
    /// What the configuration file says.
    base: Policy,
    unmarked: Arc<Unmarked>,
}

/// Whether some space may have a policy because of which its playbooks are not all marked yet.
struct Unmarked {
    /// How often one was written. The first stands for what an earlier process left.
    written: AtomicU64,
    /// How many of those are seen to.
    seen_to: AtomicU64,
}

impl Policies {
    /// Over `store`; `base` holds where nothing else is said.
    #[must_use]
    pub fn new(store: Store, playbooks: Playbooks, base: Policy) -> Policies {
        let unmarked = Arc::new(Unmarked { written: AtomicU64::new(1), seen_to: AtomicU64::new(0) });
        Policies { store, playbooks, base, unmarked }
    }

    /// What holds for a playbook, or for a space where none is named.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(&self, space: &Space, id: Option<&PlaybookId>) -> Result<Policy> {
        let policy = self.base.with(&self.change(space, None)?);
        match id {
            Some(_) => Ok(policy.with(&self.change(space, id)?).tempered(&self.base)),
            None => Ok(policy.tempered(&self.base)),
        }
    }

    /// What was settled for it beyond what holds above it.
    ///
    /// # Errors
    /// What the store says.
    pub fn change(&self, space: &Space, id: Option<&PlaybookId>) -> Result<PolicyChange> {
        let row = self.store.get(&key(space, id))?;
        row.map_or(Ok(PolicyChange::default()), |row| read(&row))
    }

    /// Settles it, in the place of what was settled before; nothing at all takes that back. Whatever this earns or costs a status
    /// is found by the next look.
    ///
    /// | write (one atomic batch each) | the process dies before | dies after |
    /// |---|---|---|
    /// | a playbook's policy, and its mark | nothing changed | it is looked at |
    /// | a space's policy, and that its playbooks are to be marked | nothing changed | [`Policies::resume`] marks them, as it does where only the request went away |
    /// | marks, a page of playbooks each | [`Policies::resume`] marks those of this page | they are looked at, perhaps twice |
    /// | that they are marked | all are marked again | done |
    ///
    /// # Errors
    /// `invalid_request` where the policy that comes of it could do nothing of what it says ([`Policy::issues`]);
    /// `replay_playbook_not_found`, what the store says.
    pub async fn put(&self, space: &Space, id: Option<&PlaybookId>, change: &PolicyChange) -> Result<()> {
        self.check(space, id, change)?;
        let Some(id) = id else { return self.put_of_space(space, change).await };
        self.playbooks.summary(space, id)?;
        let mut batch = Batch::new();
        mark(&mut batch, space, id);
        settle(&mut batch, &key(space, Some(id)), &Row { v: 1, policy: change.clone(), unmarked: false });
        Ok(self.store.commit(batch).await?)
    }

    /// What is wrong above is not this change's doing, and keeps nobody from settling something else.
    fn check(&self, space: &Space, id: Option<&PlaybookId>, change: &PolicyChange) -> Result<()> {
        let above = match id {
            Some(_) => self.base.with(&self.change(space, None)?),
            None => self.base.clone(),
        };
        let there = above.issues();
        let issues: Vec<_> = above.with(change).issues().into_iter().filter(|issue| !there.contains(issue)).collect();
        if issues.is_empty() { Ok(()) } else { Err(fields::refusal(Code::InvalidRequest, issues)) }
    }

    async fn put_of_space(&self, space: &Space, change: &PolicyChange) -> Result<()> {
        let (key, row) = (key(space, None), Row { v: 1, policy: change.clone(), unmarked: true });
        let mut batch = Batch::new();
        settle(&mut batch, &key, &row);
        // Whoever asked for it may not wait for it any more: then nobody but the next look marks them.
        let unmarked = Arc::clone(&self.unmarked);
        batch.when_written(move || {
            unmarked.written.fetch_add(1, Ordering::AcqRel);
        });
        self.store.commit(batch).await?;
        self.mark_as_said(&key, row).await
    }

    /// Marks what was settled and not marked any more, by an earlier process or for a request that went away. For whoever looks;
    /// where there is nothing of that kind, it costs nothing.
    ///
    /// # Errors
    /// What the store says: it is tried again by whoever looks next.
    pub async fn resume(&self) -> Result<()> {
        let written = self.unmarked.written.load(Ordering::Acquire);
        if self.unmarked.seen_to.load(Ordering::Acquire) == written {
            return Ok(());
        }
        let (mut after, mut failed) = (None, false);
        loop {
            let page = self.store.scan(&PolicyKey::all(), after.as_ref(), limits::PAGE_ROWS_MAX)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, row) in page {
                // One space must not keep the others from it; whoever asks for it hears of it.
                let said =
                    |e: &Error| tracing::error!(space = %key.space.scope(), "what its policy means for its playbooks is not done: {e}");
                match parsed(&row) {
                    Ok(row) if row.unmarked => match self.mark_as_said(&key, row).await {
                        Ok(()) => {}
                        Err(e) if e.code == Code::StoreUnavailable => return Err(e),
                        Err(e) => {
                            said(&e);
                            failed = true;
                        }
                    },
                    Ok(_) => {}
                    Err(e) => said(&e),
                }
            }
        }
        if !failed {
            self.unmarked.seen_to.store(written, Ordering::Release);
        }
        Ok(())
    }

    async fn mark_as_said(&self, key: &PolicyKey, row: Row) -> Result<()> {
        self.mark_all(&key.space).await?;
        let mut batch = Batch::new();
        // Where something else was settled meanwhile, that is another word, with marks of its own.
        batch.expect(key, Some(&row.text()));
        settle(&mut batch, key, &Row { unmarked: false, ..row });
        match self.store.commit(batch).await {
            Ok(()) | Err(CommitError::Guard) => Ok(()),
            Err(CommitError::Store(e)) => Err(e),
        }
    }

    async fn mark_all(&self, space: &Space) -> Result<()> {
        let mut after = None;
        loop {
            // By their keys alone: one that does not read back must not keep the others from being marked.
            let page = self.store.scan(&PlaybookKey::of_space(space), after.as_ref(), limits::PAGE_ROWS_MAX)?;
            let mut batch = Batch::new();
            page.iter().for_each(|(key, _)| mark(&mut batch, space, &key.playbook_id));
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            self.store.commit(batch).await.map_err(Error::from)?;
        }
    }
}

fn key(space: &Space, id: Option<&PlaybookId>) -> PolicyKey {
    PolicyKey { space: space.clone(), playbook_id: id.cloned() }
}

#[derive(Serialize, Deserialize)]
struct Row {
    v: u8,
    policy: PolicyChange,
    /// True until every playbook of the space is marked to be looked at because of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unmarked: bool,
}

impl Row {
    fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a policy prints")
    }
}

/// Writes the row; where it says nothing any more, there is none.
fn settle(batch: &mut Batch, key: &PolicyKey, row: &Row) {
    if row.policy.is_empty() && !row.unmarked {
        batch.delete(key);
    } else {
        batch.put(key, row.text());
    }
}

fn corrupt(why: &str) -> Error {
    Error::new(Code::DataCorrupt, format!("a policy does not read back: {why}"))
}

fn parsed(row: &[u8]) -> Result<Row> {
    serde_json::from_slice(row).map_err(|e| corrupt(&e.to_string()))
}

/// Checked again: a row of another version of this program may name what is not known here.
fn read(row: &[u8]) -> Result<PolicyChange> {
    PolicyChange::read(&parsed(row)?.policy.to_json()).map_err(|issues| corrupt(&format!("{issues:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::lifecycle::{NewVersion, Origin, Provenance};
    use crate::store::ConsiderKey;
    use crate::tools::asks::Asks;
    use serde_json::json;

    /// The process died when the policy was on disk and not all playbooks were marked.
    #[tokio::test]
    async fn what_was_settled_and_not_marked_is_marked_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (playbooks, space) = (Playbooks::new(store.clone()), Space::default_space());
        let id = PlaybookId::parse("p").unwrap();
        let new = NewVersion {
            playbook_id: id.clone(),
            wanted: None,
            name: "n".to_owned(),
            component: Digest::of(b"c"),
            component_bytes: 1,
            origin: Origin::Uploaded,
            asks: Asks::default(),
            provenance: Provenance::default(),
            by: None,
        };
        playbooks.add(&space, new).await.unwrap();
        let marked = || store.get(&ConsiderKey { space: space.clone(), playbook_id: id.clone() }).unwrap().is_some();
        for change in [json!({"canary_share": 0.5}), json!({})] {
            let row = Row { v: 1, policy: PolicyChange::read(&change).unwrap(), unmarked: true };
            let mut batch = Batch::new();
            settle(&mut batch, &key(&space, None), &row);
            batch.delete(&ConsiderKey { space: space.clone(), playbook_id: id.clone() });
            store.commit(batch).await.unwrap();
            // Another process each time.
            let policies = Policies::new(store.clone(), playbooks.clone(), Policy::default());
            policies.resume().await.unwrap();
            assert!(marked(), "{change}");
            assert_eq!(policies.change(&space, None).unwrap(), row.policy);
            let kept = store.get(&key(&space, None)).unwrap();
            assert_eq!(kept.is_some(), !row.policy.is_empty(), "nothing is kept of what was taken back");
            assert!(kept.is_none_or(|kept| !parsed(&kept).unwrap().unmarked), "and it is done once");
        }
    }
}
