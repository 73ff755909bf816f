//! The ordered tree on disk. This is the only file that names sled.
//!
//! Its job: read what is durable; apply one group of changes as one; flush it for real. It does not know
//! who waits for a group, nor what keys and rows mean.
//!
//! What must stay true: **nobody reads what a crash could take back.** sled shows a write as soon as it
//! is applied, before it is on disk. An answer built on such a read ("this was recorded before") would
//! acknowledge what is not safe yet. So while a group is under way, readers are given the rows as they
//! were before it, and after a failed flush they are given these for good.
//!
//! Three things about sled 0.34.7 that this file is built around (its sources, `pagecache/`):
//!
//! - Its flush ends with `sync_file_range`, which writes neither the file's size nor the disk's cache.
//!   Therefore [`Tree::flusher`] adds an `fdatasync` of its own.
//! - It puts large pages into files beside the log and never syncs these. Therefore no row is so large
//!   ([`limits::STORE_SEGMENT_BYTES`]).
//! - It may panic, also when it is dropped. Therefore every call goes through [`caught`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::store::data_dir::{sync_dir, unavailable};

/// The bytes of a stored row. Cheap to clone.
pub(super) type Row = sled::IVec;

/// Makes all that was applied survive a power cut; says why where it could not.
pub(super) type Flush = Box<dyn FnMut() -> Result<(), String> + Send>;

/// A key that a group looked at.
pub(super) struct Seen {
    /// The row that is on disk.
    pub durable: Option<Row>,
    /// What the group makes of it: a new row, or none.
    pub change: Option<Option<Vec<u8>>>,
}

/// All keys that a group looked at.
pub(super) type Group = BTreeMap<Vec<u8>, Seen>;

/// Ends of a range of keys.
pub(super) type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Which way a range is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Up,
    Down,
}

/// The tree of one data directory.
pub(super) struct Tree {
    db: sled::Db,
    /// sled's log, opened a second time: to sync it, and to wait until sled has let go of it.
    log: File,
    /// The group that is applied and not flushed. Readers hold it while they read, so that a group comes into view
    /// whole; never over an await.
    unflushed: RwLock<Group>,
}

impl Tree {
    /// Opens the tree in `dir` and recovers what a crash left: every flushed group whole, and of one that was under
    /// way all or nothing.
    ///
    /// # Errors
    /// `store_unavailable` where the disk refuses, `data_corrupt` where the files are not sled's or are damaged.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let config = sled::Config::new()
            .path(dir)
            .flush_every_ms(None)
            .segment_size(limits::STORE_SEGMENT_BYTES)
            .cache_capacity(limits::STORE_CACHE_BYTES);
        remove_snapshots(dir, |name| name.ends_with(".generating"))?;
        let db = caught(|| config.open()).or_else(|first| {
            // sled's snapshot only spares it reading the whole log. One that a crash or a full disk tore must not
            // stand before data that is there: without it, the log is read, and the log alone decides.
            let name = |name: &str| name.starts_with("snap.");
            if !matches!(first.code, Code::DataCorrupt) || !remove_snapshots(dir, name)? {
                return Err(first);
            }
            tracing::warn!("the store's snapshot was damaged and is made anew from the log: {first}");
            caught(|| config.open())
        });
        let db = db.map_err(|e| e.at(format_args!("cannot open {}", dir.display())))?;
        let path = dir.join("db");
        let log = File::open(&path).map_err(|e| unavailable("open", &path, &e))?;
        // sled syncs neither its settings nor what recovery wrote into the log, and no directory.
        let settings = dir.join("conf");
        File::open(&settings).and_then(|file| file.sync_all()).map_err(|e| unavailable("sync", &settings, &e))?;
        caught(|| db.flush())?;
        log.sync_all().map_err(|e| unavailable("sync", &path, &e))?;
        sync_dir(dir)?;
        Ok(Tree { db, log, unflushed: RwLock::default() })
    }

    /// What is on disk under `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Row>> {
        let unflushed = self.unflushed.read().unwrap_or_else(PoisonError::into_inner);
        match unflushed.get(key) {
            Some(seen) => Ok(seen.durable.clone()),
            None => caught(|| self.db.get(key)),
        }
    }

    /// Up to `limit` rows of a range as they are on disk, all of one moment.
    pub(super) fn scan(&self, range: &Range, order: Order, limit: usize) -> Result<Vec<(Vec<u8>, Row)>> {
        let unflushed = self.unflushed.read().unwrap_or_else(PoisonError::into_inner);
        let hidden = unflushed.range(range.clone()).map(|(key, seen)| (key.as_slice(), seen.durable.as_ref()));
        let rows = self.db.range(range.clone());
        match order {
            Order::Up => caught(|| merge(rows, hidden, |a, b| a <= b, limit)),
            Order::Down => caught(|| merge(rows.rev(), hidden.rev(), |a, b| a >= b, limit)),
        }
    }

    /// What `key` has for the committer, who is the only one that writes: with no group under way, the same as on disk.
    pub(super) fn latest(&self, key: &[u8]) -> Result<Option<Row>> {
        caught(|| self.db.get(key))
    }

    /// Applies a group's changes as one, out of the readers' sight until [`Tree::reveal`].
    ///
    /// The process dies just before, during or just after: nothing of it was acknowledged, and recovery keeps all or
    /// nothing of it.
    pub(super) fn apply(&self, mut group: Group) -> Result<()> {
        let mut batch = sled::Batch::default();
        for (key, seen) in &mut group {
            match seen.change.take() {
                None => {}
                Some(Some(row)) => batch.insert(key.as_slice(), row),
                Some(None) => batch.remove(key.as_slice()),
            }
        }
        *self.unflushed.write().unwrap_or_else(PoisonError::into_inner) = group;
        caught(|| self.db.apply_batch(batch))
    }

    /// Shows readers the group that was applied and flushed.
    pub(super) fn reveal(&self) {
        let group = std::mem::take(&mut *self.unflushed.write().unwrap_or_else(PoisonError::into_inner));
        // Here, with the lock released, its many small pieces are freed.
        drop(group);
    }

    /// What makes applied groups durable: sled writes its buffers to the file, then the file is synced for real.
    pub(super) fn flusher(&self) -> Result<Flush> {
        let log = self.log.try_clone().map_err(|e| Error::new(Code::StoreUnavailable, format!("cannot hold the log open twice: {e}")))?;
        Ok(self.flusher_onto(log))
    }

    /// As [`Tree::flusher`], syncing the file that is given. Separate so that a test can give one that cannot be synced.
    pub(super) fn flusher_onto(&self, log: File) -> Flush {
        let db = self.db.clone();
        Box::new(move || {
            caught(|| db.flush()).map_err(|e| e.message)?;
            log.sync_data().map_err(|e| format!("the disk refused to sync the log: {e}"))
        })
    }

    /// Closes sled's files. When this returns, they can be opened again.
    pub(super) fn close(self) {
        let Tree { db, log, unflushed: _ } = self;
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!("the tree could not be closed in order; what was acknowledged is on disk");
        }
        // A thread of sled's may hold the locked file a moment longer. There is nobody else to wait for: the
        // data directory is still locked.
        if let Err(e) = log.lock() {
            tracing::warn!("cannot wait for the log to be closed: {e}");
        }
    }
}

/// Removes sled's snapshot files of such names; true where there were any.
fn remove_snapshots(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<bool> {
    let mut removed = false;
    let files = match std::fs::read_dir(dir) {
        Ok(files) => files,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(unavailable("read", dir, &e)),
    };
    for file in files {
        let path = file.map_err(|e| unavailable("read", dir, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && wanted(name) {
            std::fs::remove_file(&path).map_err(|e| unavailable("remove", &path, &e))?;
            removed = true;
        }
    }
    Ok(removed)
}

/// Two ordered sequences as one; where both have a key, the hidden row stands. `first(a, b)`: a comes no later than b.
fn merge<'a>(
    rows: impl Iterator<Item = sled::Result<(Row, Row)>>,
    hidden: impl Iterator<Item = (&'a [u8], Option<&'a Row>)>,
    first: fn(&[u8], &[u8]) -> bool,
    limit: usize,
) -> sled::Result<Vec<(Vec<u8>, Row)>> {
    let (mut rows, mut hidden) = (rows.peekable(), hidden.peekable());
    let mut out = Vec::new();
    while out.len() < limit {
        let next = match rows.peek() {
            Some(Err(_)) => return Err(rows.next().expect("it was just seen").expect_err("it was just seen")),
            Some(Ok((key, _))) => Some(key),
            None => None,
        };
        let hidden_first = hidden.peek().is_some_and(|(key, _)| next.is_none_or(|next| first(key, next)));
        if hidden_first {
            let (key, row) = hidden.next().expect("it was just seen");
            if next.is_some_and(|next| next == key) {
                rows.next();
            }
            out.extend(row.map(|row| (key.to_vec(), row.clone())));
        } else if let Some(row) = rows.next() {
            let (key, row) = row?;
            out.push((key.to_vec(), row));
        } else {
            break;
        }
    }
    Ok(out)
}

/// Runs one of sled's operations; a panic becomes an error like any other.
fn caught<T>(operation: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(error(&e)),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::new(Code::DataCorrupt, format!("the tree found itself damaged: {}", what.unwrap_or("it did not say how"))))
        }
    }
}

fn error(e: &sled::Error) -> Error {
    match e {
        // Whoever opens the directory holds its LOCK, and asks for the tree only then: here somebody holds the tree and not LOCK.
        sled::Error::Io(e) if e.kind() == io::ErrorKind::WouldBlock || e.to_string().contains("could not acquire lock") => {
            let why = "another process has it open, although the file LOCK in the data directory does not say so (it was removed or replaced while that process ran); stop that process, or use another directory";
            Error::new(Code::DataDirInUse, why)
        }
        sled::Error::Io(e) => Error::new(Code::StoreUnavailable, format!("the disk refused: {e}")),
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => {
            Error::new(Code::DataCorrupt, format!("the tree's files are damaged: {e}"))
        }
        sled::Error::CollectionNotFound(_) | sled::Error::ReportableBug(_) => {
            Error::new(Code::InternalError, format!("the tree failed: {e}"))
        }
    }
}
