//! What operators settled about promotion since the server was configured: for a space, and for single playbooks in it.

use serde::{Deserialize, Serialize};

use super::Playbooks;
use super::evidence::mark;
use crate::config::{Policy, PolicyChange};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::limits;
use crate::store::{Batch, PolicyKey, Store};

/// The policy of each space and playbook. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    store: Store,
    playbooks: Playbooks,
    /// What the configuration file says.
    base: Policy,
}

impl Policies {
    /// Over `store`; `base` holds where nothing else is said.
    #[must_use]
    pub fn new(store: Store, playbooks: Playbooks, base: Policy) -> Policies {
        Policies { store, playbooks, base }
    }

    /// What holds for a playbook, or for a space where none is named.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(&self, space: &Space, id: Option<&PlaybookId>) -> Result<Policy> {
        let policy = self.base.with(&self.change(space, None)?);
        match id {
            Some(_) => Ok(policy.with(&self.change(space, id)?)),
            None => Ok(policy),
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
    /// # Errors
    /// `replay_playbook_not_found`, what the store says.
    pub async fn put(&self, space: &Space, id: Option<&PlaybookId>, change: &PolicyChange) -> Result<()> {
        let mut batch = Batch::new();
        match id {
            Some(id) => {
                self.playbooks.summary(space, id)?;
                mark(&mut batch, space, id);
            }
            None => self.mark_all(space).await?,
        }
        if change.is_empty() {
            batch.delete(&key(space, id));
        } else {
            batch.put(&key(space, id), row(change));
        }
        self.store.commit(batch).await?;
        if id.is_none() {
            // Those that were looked at in between were held against what held before.
            self.mark_all(space).await?;
        }
        Ok(())
    }

    async fn mark_all(&self, space: &Space) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.playbooks.list(space, after.as_ref(), limits::PAGE_ROWS_MAX)?;
            let mut batch = Batch::new();
            page.iter().for_each(|summary| mark(&mut batch, space, &summary.playbook_id));
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.playbook_id.clone());
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
}

fn row(change: &PolicyChange) -> Vec<u8> {
    serde_json::to_vec(&Row { v: 1, policy: change.clone() }).expect("a policy prints")
}

/// Checked again: a row of another version of this program may name what is not known here.
fn read(row: &[u8]) -> Result<PolicyChange> {
    let corrupt = |why: String| Error::new(Code::DataCorrupt, format!("a policy does not read back: {why}"));
    let row: Row = serde_json::from_slice(row).map_err(|e| corrupt(e.to_string()))?;
    PolicyChange::read(&row.policy.to_json()).map_err(|issues| corrupt(format!("{issues:?}")))
}
