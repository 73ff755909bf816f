//! A batch: what must still be so, and what is then written, all of it or none.
//!
//! It knows nothing of the tree. What must stay true: guards are judged before any write of the
//! batch, wherever they stand in it.

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::store::blobs::Blobs;
use crate::store::keys::Key;
use crate::store::row;

/// Guards and writes that happen as one.
#[derive(Default, Debug)]
pub struct Batch {
    /// Key, and the value it must have.
    pub(super) guards: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Key, and its new row; none removes it. Later ones win.
    pub(super) writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Who is told when it is written.
    pub(super) told: Told,
}

/// What is called when a batch is written.
#[derive(Default)]
pub(super) struct Told(Vec<Box<dyn FnOnce() + Send + Sync>>);

impl Told {
    pub(super) fn tell(self) {
        self.0.into_iter().for_each(|tell| tell());
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Told({})", self.0.len())
    }
}

impl Batch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Batch::default()
    }

    /// The batch is written only if `key` still has this value, or is still absent.
    pub fn expect<K: Key>(&mut self, key: &K, value: Option<&[u8]>) {
        self.guards.push((key.encode(), value.map(<[u8]>::to_vec)));
    }

    /// Gives `key` this value.
    pub fn put<K: Key>(&mut self, key: &K, value: Vec<u8>) {
        self.writes.push((key.encode(), Some(row::here(value))));
    }

    /// Removes `key`; it need not be there.
    pub fn delete<K: Key>(&mut self, key: &K) {
        self.writes.push((key.encode(), None));
    }

    /// Guards and writes of `other` too.
    pub fn append(&mut self, other: Batch) {
        self.guards.extend(other.guards);
        self.writes.extend(other.writes);
        self.told.0.extend(other.told.0);
    }

    /// Calls this once the batch is on disk and can be read, before whoever commits it hears of it, and even where nobody waits for
    /// that any more. It is called on the thread that writes: it must not wait for anything.
    pub fn when_written(&mut self, tell: impl FnOnce() + Send + Sync + 'static) {
        self.told.0.push(Box::new(tell));
    }

    /// True if there is nothing to check and nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.writes.is_empty()
    }

    /// Bytes that it takes in memory and, but for the guards, in the log.
    pub(super) fn bytes(&self) -> usize {
        self.guards.iter().chain(&self.writes).map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// True if some row must become a blob before the batch can be written.
    pub(super) fn has_large_rows(&self) -> bool {
        self.writes.iter().filter_map(|(_, row)| row.as_ref()).any(|row| row::too_large_for_the_tree(row))
    }

    /// Writes each large row to a blob, synced, and leaves its name in the batch.
    pub(super) fn set_large_rows_aside(&mut self, blobs: &Blobs) -> Result<()> {
        for row in self.writes.iter_mut().filter_map(|(_, row)| row.as_mut()).filter(|row| row::too_large_for_the_tree(row)) {
            row::set_aside(row, blobs)?;
        }
        Ok(())
    }

    /// # Errors
    /// `too_large`: a key, a row or the batch is beyond its limit.
    pub(super) fn check(&self) -> Result<()> {
        let too_large = |what: &str, bytes, max| Err(Error::new(Code::TooLarge, format!("{what} of {bytes} bytes; at most {max}")));
        let longest = self.guards.iter().chain(&self.writes).map(|(key, _)| key.len()).max().unwrap_or(0);
        if longest > limits::KEY_BYTES_MAX {
            return too_large("a key", longest, limits::KEY_BYTES_MAX);
        }
        let rows = || self.writes.iter().filter_map(|(_, row)| row.as_ref());
        let largest = rows().map(Vec::len).max().unwrap_or(1).saturating_sub(1);
        if largest > limits::ROW_BYTES_MAX {
            return too_large("a row", largest, limits::ROW_BYTES_MAX);
        }
        let aside: usize = rows().filter(|row| row::too_large_for_the_tree(row)).map(Vec::len).sum();
        let bytes = self.bytes() - aside;
        if bytes > limits::BATCH_BYTES_MAX {
            return too_large("a batch", bytes, limits::BATCH_BYTES_MAX);
        }
        Ok(())
    }
}

/// Why a batch was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A guard did not hold: nothing of the batch was written.
    #[error("a guard did not hold: nothing of the batch was written")]
    Guard,
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Guard => Error::new(Code::Contended, "another writer changed the same thing first; try again"),
            CommitError::Store(error) => error,
        }
    }
}
