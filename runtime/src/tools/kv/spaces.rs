//! The spaces: keys and values that outlive a job, for the `kv` tools and for components that import `wasi:keyvalue`.
//!
//! Its job: open a space where a grant lets it, and read and change what it holds, within its limits. Values are bytes;
//! what they mean is for those who wrote them.
//!
//! The rules that must stay true: a change is answered for after the flush; a space never holds more than its limits,
//! however many change it at once; a read-only grant changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::contract::{ErrorKind, ToolError};
use crate::error::Error;
use crate::limits;
use crate::store::{Batch, CommitError, KvKey, KvSpaceKey, Store};

use super::{Access, Grants};

/// Every space of a store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Spaces(Arc<Inner>);

struct Inner {
    store: Store,
    /// Who changes a space waits for his turn, since the row that says how full it is changes each time. Guards would see
    /// to it alone, at the price of trying again.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// One space, as far as a grant opens it.
#[derive(Clone)]
pub(crate) struct Bucket {
    spaces: Spaces,
    space: String,
    access: Access,
}

/// Keys in order.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// Whether there are keys after the last one.
    pub(crate) more: bool,
}

/// How full a space is. On people's disks: a field never changes its meaning.
#[derive(Default, Serialize, Deserialize)]
struct Filled {
    keys: u64,
    /// Of keys and values.
    bytes: u64,
}

impl Spaces {
    pub(crate) fn of(store: Store) -> Spaces {
        Spaces(Arc::new(Inner { store, turns: Mutex::default() }))
    }

    /// # Errors
    /// `denied` where no grant names the space.
    pub(crate) fn open(&self, grants: &Grants, space: &str) -> Result<Bucket, ToolError> {
        let Some(grant) = grants.kv(space) else {
            return Err(ToolError::new(ErrorKind::Denied, format!("no grant covers the space {space:?}; {}", grants.kv_hint())));
        };
        Ok(Bucket { spaces: self.clone(), space: space.to_owned(), access: grant.access })
    }

    fn turn(&self, space: &str) -> Arc<tokio::sync::Mutex<()>> {
        // A map of locks stays whole whatever panicked while it was held.
        let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(space.to_owned()).or_default())
    }
}

impl Bucket {
    /// As the grant names it.
    pub(crate) fn space(&self) -> &str {
        &self.space
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `invalid-input` for what is no key; `unavailable` where the store cannot be read.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ToolError> {
        self.store().get(&self.key(key)?).map_err(|e| unavailable(&e))
    }

    /// True where the key has a value.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub(crate) fn exists(&self, key: &str) -> Result<bool, ToolError> {
        Ok(self.get(key)?.is_some())
    }

    /// Up to `limit` keys that begin with `prefix`, in the order of their bytes, those after `after` if one is given. Blocks.
    ///
    /// # Errors
    /// `unavailable` where the store cannot be read.
    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, ToolError> {
        let mut after = after.map(|after| KvKey { space: self.space.clone(), key: after.to_owned() });
        let (prefix, mut keys) = (KvKey::beginning(&self.space, prefix), Vec::new());
        loop {
            // One more than asked for says whether there are more.
            let at_once = limits::KV_LIST_ROWS_AT_ONCE.min(limit + 1 - keys.len());
            let rows = self.store().scan(&prefix, after.as_ref(), at_once).map_err(|e| unavailable(&e))?;
            let whole = rows.len() == at_once;
            after = rows.last().map(|(key, _)| key.clone());
            keys.extend(rows.into_iter().map(|(key, _)| key.key));
            if keys.len() > limit {
                keys.truncate(limit);
                return Ok(Page { keys, more: true });
            }
            if !whole {
                return Ok(Page { keys, more: false });
            }
        }
    }

    /// Gives a key a value. Resolves after the flush.
    ///
    /// # Errors
    /// `denied` where the grant only reads; `invalid-input` for what is no key, or a value that is too large; `failed` where
    /// the space is full; `unavailable` where the store cannot take it.
    pub(crate) async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), ToolError> {
        self.change(key, move |_| Ok(Some(value.clone()))).await
    }

    /// Takes a key away; it need not be there. Resolves after the flush.
    ///
    /// # Errors
    /// As [`Bucket::set`].
    pub(crate) async fn delete(&self, key: &str) -> Result<(), ToolError> {
        self.change(key, |_| Ok(None)).await
    }

    /// Replaces what stands under a key by what `new` makes of it, and by nothing else that came in between: `new` is asked
    /// again where the value has changed meanwhile. Resolves after the flush.
    ///
    /// # Errors
    /// As [`Bucket::set`], and what `new` says.
    pub(crate) async fn change(
        &self,
        key: &str,
        new: impl Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, ToolError>,
    ) -> Result<(), ToolError> {
        if self.access != Access::ReadWrite {
            return Err(ToolError::new(
                ErrorKind::Denied,
                format!("the grant {:?} is read-only, so {key:?} cannot be changed", self.space),
            ));
        }
        let (key, filled_key) = (self.key(key)?, KvSpaceKey { space: self.space.clone() });
        let turn = self.spaces.turn(&self.space);
        let _turn = turn.lock().await;
        loop {
            let old = self.store().get(&key).map_err(|e| unavailable(&e))?;
            let new = new(old.as_deref())?;
            if new == old {
                // What is read was flushed.
                return Ok(());
            }
            let old_filled = self.store().get(&filled_key).map_err(|e| unavailable(&e))?;
            let filled = self.after(&key, old.as_deref(), new.as_deref(), old_filled.as_deref())?;
            let mut batch = Batch::new();
            batch.expect(&key, old.as_deref());
            batch.expect(&filled_key, old_filled.as_deref());
            match new {
                Some(value) => batch.put(&key, value),
                None => batch.delete(&key),
            }
            batch.put(&filled_key, filled);
            match self.store().commit(batch).await {
                Ok(()) => return Ok(()),
                // Somebody whose call was dropped had his change still on the way.
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(unavailable(&e)),
            }
        }
    }

    /// How full the space is after the change.
    fn after(&self, key: &KvKey, old: Option<&[u8]>, new: Option<&[u8]>, filled: Option<&[u8]>) -> Result<Vec<u8>, ToolError> {
        let filled: Filled = filled.map(serde_json::from_slice).transpose().map_err(|e| damaged(&e))?.unwrap_or_default();
        let of = |value: Option<&[u8]>| value.map_or((0, 0), |value| (1, (key.key.len() + value.len()) as u64));
        let ((old_keys, old_bytes), (new_keys, new_bytes)) = (of(old), of(new));
        let keys = filled.keys.saturating_sub(old_keys) + new_keys;
        let bytes = filled.bytes.saturating_sub(old_bytes) + new_bytes;
        if let Some(value) = new.filter(|value| value.len() > limits::KV_VALUE_BYTES_MAX) {
            let text = format!("the value has {} bytes; one in a space has at most {}", value.len(), limits::KV_VALUE_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::InvalidInput, text));
        }
        // A space that is full can be emptied, and a value be made smaller.
        if keys > limits::KV_KEYS_MAX && keys > filled.keys || bytes > limits::KV_SPACE_BYTES_MAX && bytes > filled.bytes {
            let (keys_max, bytes_max) = (limits::KV_KEYS_MAX, limits::KV_SPACE_BYTES_MAX);
            let text =
                format!("the space {} is full: it holds at most {keys_max} keys, and {bytes_max} bytes of keys and values", self.space);
            return Err(ToolError::new(ErrorKind::Failed, text));
        }
        serde_json::to_vec(&Filled { keys, bytes }).map_err(|e| damaged(&e))
    }

    fn key(&self, key: &str) -> Result<KvKey, ToolError> {
        if !(1..=limits::KV_KEY_BYTES_MAX).contains(&key.len()) || key.chars().any(char::is_control) {
            let text = format!("a key has 1 to {} bytes of text without control characters", limits::KV_KEY_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::InvalidInput, text));
        }
        Ok(KvKey { space: self.space.clone(), key: key.to_owned() })
    }

    fn store(&self) -> &Store {
        &self.spaces.0.store
    }
}

/// A change is the same made twice, so that nobody need know whether it was made. The reason may name a path of the host,
/// and is for the log.
fn unavailable(error: &Error) -> ToolError {
    tracing::error!(%error, "the store does not serve the kv tools");
    ToolError::new(ErrorKind::Unavailable, "the store cannot do it now")
}

fn damaged(error: &serde_json::Error) -> ToolError {
    tracing::error!(%error, "the row that says how full a space is cannot be read");
    ToolError::new(ErrorKind::Broken, "what is kept of how full the space is cannot be read; the log has the reason")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Grant;

    /// A space of a fresh store, and the place where it says how full it is.
    fn space(filled: &Filled) -> (tempfile::TempDir, Bucket) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut batch = Batch::new();
        batch.put(&KvSpaceKey { space: "notes".to_owned() }, serde_json::to_vec(filled).unwrap());
        store.commit_blocking(batch).unwrap();
        let grants = Grants::open(&[Grant::parse_flag("kv:notes").unwrap()]).unwrap();
        (dir, Spaces::of(store).open(&grants, "notes").unwrap())
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn filled(bucket: &Bucket) -> (u64, u64) {
        let row = bucket.store().get(&KvSpaceKey { space: bucket.space.clone() }).unwrap().unwrap();
        let filled: Filled = serde_json::from_slice(&row).unwrap();
        (filled.keys, filled.bytes)
    }

    #[test]
    fn a_space_knows_how_full_it_is_whatever_was_done_to_it() {
        let (_dir, bucket) = space(&Filled::default());
        for (key, value, expected) in [
            ("a", Some("12345"), (1, 6)),
            ("bb", Some("1"), (2, 9)),
            ("a", Some("123"), (2, 7)),
            ("a", Some("123"), (2, 7)),
            ("c", None, (2, 7)),
            ("a", None, (1, 3)),
            ("a", None, (1, 3)),
            ("bb", None, (0, 0)),
        ] {
            run(bucket.change(key, |_| Ok(value.map(|value| value.as_bytes().to_vec())))).unwrap();
            assert_eq!(filled(&bucket), expected, "{key} {value:?}");
        }
    }

    #[test]
    fn a_space_that_is_full_takes_nothing_more_and_can_be_emptied() {
        let (_dir, bucket) = space(&Filled { keys: limits::KV_KEYS_MAX - 1, bytes: 0 });
        run(bucket.set("a", b"1".to_vec())).unwrap();
        let error = run(bucket.set("b", b"1".to_vec())).unwrap_err();
        assert!(error.kind == ErrorKind::Failed && error.message.contains("the space notes is full"), "{error}");
        run(bucket.set("a", b"22".to_vec())).unwrap();
        run(bucket.delete("a")).unwrap();
        run(bucket.set("b", b"1".to_vec())).unwrap();

        let (_dir, bucket) = space(&Filled { keys: 0, bytes: limits::KV_SPACE_BYTES_MAX - 11 });
        run(bucket.set("a", vec![b'1'; 10])).unwrap();
        assert_eq!(run(bucket.set("a", vec![b'1'; 11])).unwrap_err().kind, ErrorKind::Failed);
        run(bucket.set("a", vec![b'1'; 9])).unwrap();
        assert_eq!(run(bucket.set("bb", Vec::new())).unwrap_err().kind, ErrorKind::Failed);
        run(bucket.set("b", Vec::new())).unwrap();
    }

    #[test]
    fn a_change_that_came_in_between_is_seen_and_not_written_over() {
        let (_dir, bucket) = space(&Filled::default());
        run(bucket.set("n", b"1".to_vec())).unwrap();
        let asked = std::cell::Cell::new(0);
        run(bucket.change("n", |old| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                // As one does whose call was dropped when its change was already on the way.
                let mut batch = Batch::new();
                batch.put(&KvKey { space: "notes".to_owned(), key: "n".to_owned() }, b"2".to_vec());
                bucket.store().commit_blocking(batch).unwrap();
            }
            Ok(old.map(|old| [old, &b"+"[..]].concat()))
        }))
        .unwrap();
        assert_eq!((bucket.get("n").unwrap().unwrap(), asked.get()), (b"2+".to_vec(), 2));
    }
}
