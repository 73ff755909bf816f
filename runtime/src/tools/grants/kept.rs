//! Grants that an operator put into the store: they hold for all jobs, from the next attempt on.
//!
//! It keeps, lists and removes them. It does not know who may ask for that, nor what else is granted: both are said to
//! it. A row is `{"v":1,"grant":{...},"since":MS}`; a grant in it is as in a journal, and never changes its meaning.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::error::{Code, Error, Result};
use crate::store::{Batch, GrantKey, Store};
use crate::{clock, limits};

use super::{Grant, GrantName, check_together, dangling};

/// The grants of a store. Cheap to clone.
#[derive(Clone)]
pub struct Kept {
    store: Store,
    /// Held while a change is judged and written: what it was judged against must still be so.
    changing: Arc<Mutex<()>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptGrant {
    /// What is granted.
    pub grant: Grant,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Row {
    v: u8,
    grant: Grant,
    since: u64,
}

impl Kept {
    /// Over `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Kept { store, changing: Arc::default() }
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// `data_corrupt` that names the one that does not read back; what the store says.
    pub fn list(&self) -> Result<Vec<KeptGrant>> {
        let rows = self.store.scan(&GrantKey::all(), None, limits::GRANTS_MAX)?;
        rows.iter().map(|(key, row)| read(key, row)).collect()
    }

    /// As [`Kept::list`], without when.
    ///
    /// # Errors
    /// As [`Kept::list`].
    pub fn grants(&self) -> Result<Vec<Grant>> {
        Ok(self.list()?.into_iter().map(|kept| kept.grant).collect())
    }

    /// Puts `grant` in, in the place of the one with its name. `others` is what is granted elsewhere. True where there was
    /// none of the name.
    ///
    /// One row: if the process dies before it is written, nothing was granted; after, it is.
    ///
    /// # Errors
    /// `id_conflict` where the name is taken elsewhere; `invalid_configuration` where it stands on a grant that is not there,
    /// or another one stands on what it replaces; `too_large` where there are as many as there may be.
    pub async fn put(&self, grant: Grant, others: &[Grant]) -> Result<(KeptGrant, bool)> {
        let _held = self.changing.lock().await;
        if others.iter().any(|other| other.name() == grant.name()) {
            let why = format!(
                "{:?} is granted in reprise.toml or with a flag; change it there, or give this one another name",
                grant.name().as_str()
            );
            return Err(Error::new(Code::IdConflict, why));
        }
        let mut rest = self.grants()?;
        let before = rest.len();
        rest.retain(|other| other.name() != grant.name());
        let made = rest.len() == before;
        if made && before >= limits::GRANTS_MAX {
            return Err(Error::new(Code::TooLarge, format!("there are {before} grants in the store; at most {}", limits::GRANTS_MAX)));
        }
        rest.extend_from_slice(others);
        let all: Vec<Grant> = rest.iter().cloned().chain([grant.clone()]).collect();
        check_together(std::slice::from_ref(&grant), &all)?;
        let stand_on_it: Vec<Grant> = rest.into_iter().filter(|other| stands_on(other, grant.name())).collect();
        if let Some((other, needs, _)) = dangling(&stand_on_it, &all) {
            return Err(in_use(grant.name(), other, &format!("and needs it to be of kind {:?}", needs.kind)));
        }
        let kept = KeptGrant { grant, since_ms: clock::now_ms() };
        let row = Row { v: 1, grant: kept.grant.clone(), since: kept.since_ms };
        let mut batch = Batch::new();
        batch.put(&key(kept.grant.name()), serde_json::to_vec(&row).expect("a row prints"));
        self.store.commit(batch).await?;
        Ok((kept, made))
    }

    /// Takes the grant of this name out, and gives it back. `others` is what is granted elsewhere.
    ///
    /// # Errors
    /// `grant_not_found` that says where it stands instead, `grant_in_use` where another stands on it.
    pub async fn remove(&self, name: &GrantName, others: &[Grant]) -> Result<KeptGrant> {
        let _held = self.changing.lock().await;
        let mut rest = self.list()?;
        let Some(at) = rest.iter().position(|kept| kept.grant.name() == name) else {
            let elsewhere = others.iter().any(|other| other.name() == name);
            let hint = if elsewhere { "; it stands in reprise.toml or in a flag, and is taken out there" } else { "" };
            return Err(Error::new(Code::GrantNotFound, format!("the store has no grant named {:?}{hint}", name.as_str())));
        };
        let gone = rest.remove(at);
        if let Some(other) = rest.iter().map(|kept| &kept.grant).chain(others).find(|other| stands_on(other, name)) {
            return Err(in_use(name, other, "remove that one first"));
        }
        let mut batch = Batch::new();
        batch.delete(&key(name));
        self.store.commit(batch).await?;
        Ok(gone)
    }
}

fn stands_on(grant: &Grant, name: &GrantName) -> bool {
    grant.needs().is_some_and(|needs| needs.name == name)
}

fn in_use(name: &GrantName, by: &Grant, what: &str) -> Error {
    Error::new(
        Code::GrantInUse,
        format!("the grant {:?} of kind {:?} stands on {:?}; {what}", by.name().as_str(), by.kind(), name.as_str()),
    )
}

fn key(name: &GrantName) -> GrantKey {
    GrantKey { name: name.as_str().to_owned() }
}

fn read(key: &GrantKey, row: &[u8]) -> Result<KeptGrant> {
    let corrupt = |why: String| Error::new(Code::DataCorrupt, format!("the grant {:?} in the store does not read back: {why}", key.name));
    let Row { grant, since, .. } = serde_json::from_slice(row).map_err(|e| corrupt(e.to_string()))?;
    if grant.name().as_str() != key.name {
        return Err(corrupt(format!("its row says {:?}", grant.name().as_str())));
    }
    Ok(KeptGrant { grant, since_ms: since })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(text: &str) -> Grant {
        Grant::parse_flag(text).unwrap()
    }

    fn names(kept: &Kept) -> Vec<String> {
        kept.grants().unwrap().iter().map(|grant| grant.name().to_string()).collect()
    }

    #[tokio::test]
    async fn what_was_put_in_is_there_until_it_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(Store::open(dir.path()).unwrap());
        assert_eq!(names(&kept), [""; 0]);
        let (first, made) = kept.put(flag("kv:b:ro"), &[]).await.unwrap();
        assert!(made && kept.put(flag("kv:a"), &[]).await.unwrap().1);
        let (second, made) = kept.put(flag("kv:b:rw"), &[]).await.unwrap();
        assert!(!made && second.since_ms >= first.since_ms && second.grant == flag("kv:b:rw"));
        drop(kept);
        let kept = Kept::new(Store::open(dir.path()).unwrap());
        assert_eq!(kept.grants().unwrap(), [flag("kv:a"), flag("kv:b")]);
        assert_eq!(kept.remove(flag("kv:a").name(), &[]).await.unwrap().grant, flag("kv:a"));
        assert_eq!(names(&kept), ["b"]);
    }

    #[tokio::test]
    async fn what_does_not_hang_together_is_refused_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(Store::open(dir.path()).unwrap());
        let file = [flag("http:https://pay.example"), flag("kv:file")];
        let refused = |result: Result<(KeptGrant, bool)>, code: Code, says: &str| {
            let error = result.unwrap_err();
            assert!(error.code == code && error.message.contains(says), "{error}");
        };
        refused(kept.put(flag("kv:file"), &file).await, Code::IdConflict, "give this one another name");
        refused(kept.put(flag("secret:k@pay=body"), &file).await, Code::InvalidConfiguration, "no grant of kind \"http\" named \"pay\"");
        kept.put(flag("secret:k@pay.example=body"), &file).await.unwrap();
        kept.put(flag("http:https://mail.example"), &file).await.unwrap();
        kept.put(flag("secret:m@mail.example=body"), &file).await.unwrap();
        refused(kept.put(flag("kv:mail.example"), &file).await, Code::GrantInUse, "\"m\" of kind \"secret\" stands on \"mail.example\"");
        kept.put(flag("http:https://mail.example=GET,POST"), &file).await.unwrap();
        for (name, code, says) in [
            ("mail.example", Code::GrantInUse, "remove that one first"),
            ("file", Code::GrantNotFound, "is taken out there"),
            ("none", Code::GrantNotFound, "no grant named \"none\""),
        ] {
            let error = kept.remove(&GrantName::parse(name).unwrap(), &file).await.unwrap_err();
            assert!(error.code == code && error.message.contains(says), "{error}");
        }
        assert_eq!(names(&kept), ["k", "m", "mail.example"]);
    }

    #[tokio::test]
    async fn a_row_that_was_written_once_reads_forever_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let put = async |name: &str, row: &str| {
            let mut batch = Batch::new();
            batch.put(&GrantKey { name: name.to_owned() }, row.as_bytes().to_vec());
            store.commit(batch).await.unwrap();
        };
        put("notes", r#"{"v":1,"grant":{"kind":"kv","name":"notes","access":"rw"},"since":1700000000000}"#).await;
        let kept = Kept::new(store.clone());
        assert_eq!(kept.list().unwrap(), [KeptGrant { grant: flag("kv:notes"), since_ms: 1_700_000_000_000 }]);
        put("other", r#"{"v":1,"grant":{"kind":"kv","name":"notes","access":"rw"},"since":1}"#).await;
        let error = kept.list().unwrap_err();
        assert!(error.code == Code::DataCorrupt && error.message.contains("\"other\""), "{error}");
    }
}
