//! The store: ordered rows under typed keys, written in guarded atomic batches, and large values as blobs.
//!
//! Its one job: what it acknowledged is there, whole, whatever dies. A commit resolves after the flush; a
//! read sees only what was flushed; a failed flush ends all writing until a restart. It knows nothing of
//! runs, playbooks or jobs beyond their keys: a row's value is opaque bytes.
//!
//! ```text
//!           keys            batch -> committer -> tree (sled)     rows under keys
//! Store <                                                  data_dir: whose, which format
//!           Payload   ->    blobs                                 files under digests
//! ```
//!
//! What must stay true: a blob is on disk before the row that names it is committed.

mod batch;
mod blobs;
mod committer;
mod data_dir;
mod dying;
mod health;
mod key_file;
mod keys;
mod row;
mod tree;
mod watch;

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::batch::{Batch, CommitError};
pub use self::blobs::Blobs;
pub use self::dying::{CrashPoint, Moment, SCRATCH_FILE};
pub use self::key_file::KeyFile;
pub use self::keys::{
    AfterKey, ApprovalKey, ClaimKey, ConsiderKey, ContentKey, EntryKey, EvidenceKey, ExternalKey, GrantKey, IdempotencyKey, JobKey, Key,
    Kind, KvKey, KvSpaceKey, MailKey, NamespaceKey, PlaybookKey, PolicyKey, Prefix, RecordingKey, RepairKey, RunHeadKey, RunKey, SecretKey,
    StatusKey, StepKey, TimerKey, ToolVersionKey, VersionKey, WorkerKey,
};

use self::committer::Committer;
use self::data_dir::DataDir;
use self::health::Health;
use self::tree::{Flush, Order, Range, Tree};
use self::watch::Watchers;
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::json::Json;
use crate::{blocking, limits};

/// An open data directory. Clones share it; when the last one is dropped, what was handed over is written, the
/// committer's thread ends and the files are closed.
#[derive(Clone)]
pub struct Store(Arc<Open>);

struct Open {
    /// Taken when the store is closed, as is the tree.
    committer: Option<Committer>,
    tree: Option<Arc<Tree>>,
    blobs: Arc<Blobs>,
    health: Arc<Health>,
    dir: Arc<DataDir>,
    watchers: Arc<Watchers>,
    /// What becomes of the next commits, where a test says so.
    #[cfg(test)]
    fates: faults::Fates,
    /// Made anew at each opening: a row that names another was left by a process that has ended, since the lock is ours.
    opening: uuid::Uuid,
}

impl Open {
    fn tree(&self) -> &Tree {
        self.tree.as_deref().expect("it is taken only by drop")
    }

    fn committer(&self) -> &Committer {
        self.committer.as_ref().expect("it is taken only by drop")
    }
}

impl Drop for Open {
    /// Closes in order. A store that can write no more is left open until the process ends: sled would try to flush
    /// on closing, and wait for ever where one of its threads died; and nobody should open the directory anew
    /// while this process may still hold what the disk refused.
    fn drop(&mut self) {
        let finished = self.committer.take().is_some_and(Committer::finish);
        let tree = self.tree.take();
        if !finished || self.health.check().is_err() {
            mem::forget((tree, self.dir.clone()));
        } else if let Some(tree) = tree.and_then(Arc::into_inner) {
            tree.close();
        }
    }
}

impl Store {
    /// Opens a data directory, and creates it if it is not there. Recovers what a crash left.
    ///
    /// # Errors
    /// `data_dir_in_use` names the process that has it open; `data_dir_too_new` names both formats; `data_dir_not_ours`
    /// where it holds other things; `store_unavailable` with path and reason where the disk refuses; `data_corrupt`
    /// where the files are damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, |flush| flush)
    }

    /// As [`Store::open`], in a scratch directory; this process dies at the point.
    ///
    /// # Errors
    /// As [`Store::open`]; `data_dir_not_ours` where the directory holds no file [`SCRATCH_FILE`].
    pub fn open_to_die(dir: &Path, point: CrashPoint) -> Result<Self> {
        point.allowed_in(dir)?;
        Self::open_with(dir, |flush| point.around(flush))
    }

    /// As [`Store::open`]; a test may put something around the real flush.
    fn open_with(dir: &Path, around: impl FnOnce(Flush) -> Flush) -> Result<Self> {
        let dir = Arc::new(DataDir::open(dir)?);
        let blobs = Arc::new(Blobs::open(dir.path().join("blobs"))?);
        let tree = Arc::new(Tree::open(&dir.path().join("sled"))?);
        data_dir::sync_dir(dir.path())?;
        let health = Health::new();
        health::watch_sleds_threads(&health);
        let watchers = Arc::<Watchers>::default();
        let committer = Committer::start(tree.clone(), around(tree.flusher()?), health.clone(), watchers.clone())?;
        let opening = crate::ids::fresh_uuid();
        Ok(Store(Arc::new(Open {
            committer: Some(committer),
            tree: Some(tree),
            blobs,
            health,
            dir,
            watchers,
            opening,
            #[cfg(test)]
            fates: faults::Fates::default(),
        })))
    }

    /// The value of `key`, if it is there.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt`.
    pub fn get<K: Key>(&self, key: &K) -> Result<Option<Vec<u8>>> {
        self.0.tree().get(&key.encode())?.map(|row| row::value(&row, &self.0.blobs)).transpose()
    }

    /// Up to `limit` rows of a prefix in ascending order, those after `after` if one is given.
    ///
    /// Up to [`limits::SCAN_ROWS_AT_ONCE`] rows are of one moment; more are of several, in order.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt`.
    pub fn scan<K: Key>(&self, prefix: &Prefix<K>, after: Option<&K>, limit: usize) -> Result<Vec<(K, Vec<u8>)>> {
        let after = after.map(Key::encode).filter(|after| after.as_slice() >= prefix.bytes());
        let low = after.map_or_else(|| Bound::Included(prefix.bytes().to_vec()), Bound::Excluded);
        self.rows((low, Bound::Excluded(prefix.end())), Order::Up, limit)
    }

    /// Up to `limit` rows of a prefix in descending order, those before `before` if one is given.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan_back<K: Key>(&self, prefix: &Prefix<K>, before: Option<&K>, limit: usize) -> Result<Vec<(K, Vec<u8>)>> {
        let (first, end) = (prefix.bytes().to_vec(), prefix.end());
        let high = before.map(Key::encode).filter(|before| *before < end).unwrap_or(end);
        self.rows((Bound::Included(first), Bound::Excluded(high)), Order::Down, limit)
    }

    fn rows<K: Key>(&self, mut range: Range, order: Order, limit: usize) -> Result<Vec<(K, Vec<u8>)>> {
        let mut rows = Vec::new();
        while rows.len() < limit && !empty(&range) {
            let at_once = limits::SCAN_ROWS_AT_ONCE.min(limit - rows.len());
            let part = self.0.tree().scan(&range, order, at_once)?;
            let more = part.len() == at_once;
            if let Some((last, _)) = part.last() {
                let end = if order == Order::Up { &mut range.0 } else { &mut range.1 };
                *end = Bound::Excluded(last.clone());
            }
            for (key, row) in part {
                rows.push((K::decode(&key)?, row::value(&row, &self.0.blobs)?));
            }
            if !more {
                break;
            }
        }
        Ok(rows)
    }

    /// Writes a batch, all of it or nothing. Resolves only after the flush.
    ///
    /// The process dies before this resolves: the batch is there as a whole or not at all. After: it is there. A
    /// future dropped before it resolves leaves open which; the batch is never torn.
    ///
    /// # Errors
    /// [`CommitError::Guard`] if a guard did not hold. Otherwise `store_poisoned` after a failed flush, `too_large`,
    /// `store_unavailable`.
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        #[cfg(test)]
        return self.0.fates.meet(self.write(batch)).await;
        #[cfg(not(test))]
        self.write(batch).await
    }

    async fn write(&self, mut batch: Batch) -> Result<(), CommitError> {
        batch.check()?;
        if batch.has_large_rows() {
            let blobs = self.0.blobs.clone();
            batch = blocking::run(move || batch.set_large_rows_aside(&blobs).map(|()| batch)).await?;
        }
        self.0.committer().commit(batch).await
    }

    /// As [`Store::commit`], for threads that may block.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_blocking(&self, mut batch: Batch) -> Result<(), CommitError> {
        batch.check()?;
        batch.set_large_rows_aside(&self.0.blobs)?;
        self.0.committer().commit_blocking(batch)
    }

    /// Its `changed()` resolves after each write of `key` from now on, however it came about.
    #[must_use]
    pub fn watch<K: Key>(&self, key: &K) -> tokio::sync::watch::Receiver<u64> {
        self.0.watchers.watch(key.encode())
    }

    /// Names this opening of the data directory. One process at a time has it open, so whoever wrote another name has ended.
    #[must_use]
    pub fn opening(&self) -> uuid::Uuid {
        self.0.opening
    }

    /// The large values of this store.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// What a row keeps of `json`: the value itself, or the name of a blob that is on disk when this returns.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub fn save(&self, json: &Json) -> Result<Payload> {
        let text = json.as_str();
        if text.len() <= limits::INLINE_BYTES_MAX {
            return Ok(Payload::Inline(json.clone()));
        }
        Ok(Payload::Blob { digest: self.blobs().put(text.as_bytes())?, bytes: text.len() as u64 })
    }

    /// The value that [`Store::save`] was given.
    ///
    /// # Errors
    /// `data_corrupt`, `store_unavailable`.
    pub fn load(&self, payload: &Payload) -> Result<Json> {
        match payload {
            Payload::Inline(json) => Ok(json.clone()),
            Payload::Blob { digest, bytes: _ } => {
                let text = String::from_utf8(self.blobs().get(digest)?);
                let text = text.map_err(|_| Error::new(Code::DataCorrupt, format!("blob {digest} is not text, so it is no saved JSON")))?;
                Ok(Json::trusted(text))
            }
        }
    }

    /// Whether anything can still be written.
    ///
    /// # Errors
    /// `store_poisoned` once a flush has failed.
    pub fn check(&self) -> Result<()> {
        self.0.health.check()
    }

    /// The host's own secret of this name, made where there is none.
    ///
    /// # Errors
    /// `invalid_configuration` where others may read the file, or it is not what was written; `store_unavailable`.
    pub fn key_file(&self, name: &str) -> Result<KeyFile> {
        KeyFile::open(self.dir(), name)
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.0.dir.path()
    }

    /// Tells whoever finds the directory in use what this process does there, in a line.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub fn note(&self, note: &str) -> Result<()> {
        self.0.dir.write_lock(Some(note))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.dir().display())
    }
}

/// True for a range in which no key can be; the tree may not be asked for such a one.
fn empty((low, high): &Range) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Excluded(high)) | (Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}

/// A JSON value as a row keeps it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The value itself.
    Inline(Json),
    /// A value too large for a row.
    Blob {
        /// Of its canonical text.
        digest: Digest,
        /// Length of its canonical text.
        bytes: u64,
    },
}
