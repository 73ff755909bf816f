//! Looks at the store, and writes on condition that nothing has changed since.
//!
//! The rule: what a look decides holds for the batch that it makes, since the batch expects the rows that
//! were looked at. Where somebody else came first, nothing was written, and one looks again.

use super::Runs;
use super::read::Stored;
use super::saved::{self, Head};
use crate::blocking;
use crate::error::{Code, Error, Result};
use crate::ids::{RunId, Space};
use crate::json::Json;
use crate::limits;
use crate::store::{Batch, CommitError, RunHeadKey};

/// What looking at the store came to.
pub(super) enum Next<T> {
    /// It is there already.
    Answer(T),
    /// It may be written, once these values are blobs.
    SetAside(Vec<Json>),
    /// Write this, then answer.
    Write(Batch, T),
}

impl Runs {
    /// Looks and writes until nobody else came first in between. `look` is told whether the values that it
    /// asked to be set aside are: a blob costs a wait for the disk, so it is written only for a request that
    /// may be written at all, and not on a thread that serves others.
    pub(super) async fn settle<T>(&self, mut look: impl FnMut(bool) -> Result<Next<T>> + Send) -> Result<T> {
        let mut aside = false;
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            match look(aside)? {
                Next::Answer(answer) => return Ok(answer),
                Next::SetAside(values) => {
                    self.set_aside(values).await?;
                    aside = true;
                }
                Next::Write(batch, answer) => match self.store.commit(batch).await {
                    Ok(()) => return Ok(answer),
                    Err(CommitError::Guard) => {}
                    Err(CommitError::Store(e)) => return Err(e),
                },
            }
        }
        let tries = limits::CONTENDED_TRIES_MAX;
        Err(Error::new(Code::Contended, format!("others wrote to this run first, {tries} times in a row; send the same again")))
    }

    /// Writes large values as blobs, off the threads that serve others.
    pub(super) async fn set_aside(&self, values: Vec<Json>) -> Result<()> {
        let store = self.store.clone();
        blocking::run(move || values.iter().try_for_each(|json| store.save(json).map(drop))).await
    }

    /// Puts the next head into the batch, on condition that it still is as it was read. Gives its bytes.
    pub(super) fn put_head(&self, batch: &mut Batch, space: &Space, run_id: &RunId, read: Option<&Stored<Head>>, next: &Head) -> Vec<u8> {
        let key = RunHeadKey { space: space.clone(), run_id: run_id.clone() };
        let row = saved::encode(next);
        batch.expect(&key, read.map(|head| &head.bytes[..]));
        batch.put(&key, row.clone());
        row
    }
}

/// The values too large for a row, if there are any.
pub(super) fn large<'a>(values: impl IntoIterator<Item = &'a Json>) -> Option<Vec<Json>> {
    let large: Vec<Json> = values.into_iter().filter(|json| json.as_str().len() > limits::INLINE_BYTES_MAX).cloned().collect();
    if large.is_empty() { None } else { Some(large) }
}
