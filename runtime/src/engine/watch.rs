//! A job's journal as it grows.
//!
//! What must stay true: each entry is told once, in order, and only when it is on disk; and whoever is told of the
//! end was told of every entry before. So the subscription stands before the first read, and the job's status is
//! read before the entries: a job that had ended by then gets no further ones.

use tokio::sync::watch;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::{self, Entry, Status};
use crate::store::{JobKey, StatusKey};
use crate::{blocking, limits};

/// What there is to tell of a job.
#[derive(Debug)]
pub enum News {
    /// The next entries; never none.
    Entries(Vec<Entry>),
    /// There are no further ones: the job has ended so.
    End(Status),
}

/// Reads one job's journal to its end, and waits where there is no more of it yet.
pub struct Watch {
    engine: Engine,
    space: Space,
    job_id: JobId,
    /// The last entry that was told.
    after: Option<u64>,
    /// Of the job's row, which each of its entries is written with.
    changes: watch::Receiver<u64>,
}

impl Engine {
    /// Begins to watch a job behind entry `after`, from the first where none is given.
    ///
    /// # Errors
    /// `job_not_found`, what the store says.
    pub fn watch(&self, space: &Space, job_id: &JobId, after: Option<u64>) -> Result<Watch> {
        let changes = self.store.watch(&JobKey { space: space.clone(), job_id: *job_id });
        if journal::head_of(&self.store, space, job_id)?.is_none() {
            return Err(Error::new(Code::JobNotFound, format!("no job {job_id}; `reprise jobs list` shows what there is")));
        }
        Ok(Watch { engine: self.clone(), space: space.clone(), job_id: *job_id, after, changes })
    }

    /// How many jobs stand in each status that is no end, up to [`limits::JOBS_COUNTED_MAX`] each. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn jobs_by_status(&self) -> Result<Vec<(&'static str, u64)>> {
        let standing = Status::ALL.into_iter().filter(|status| !status.is_final());
        let count = |status: Status| {
            let rows = self.store.scan(&StatusKey::of_status(status.number()), None, limits::JOBS_COUNTED_MAX)?;
            Ok((status.as_str(), rows.len() as u64))
        };
        standing.map(count).collect()
    }
}

impl Watch {
    /// The job.
    #[must_use]
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }

    /// The next news, waiting for them where there are none. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `data_corrupt` that names the entry, what the store says.
    pub async fn next(&mut self) -> Result<News> {
        loop {
            // Before the read: what is written from here on is a change.
            self.changes.borrow_and_update();
            let (engine, space, job_id, after) = (self.engine.clone(), self.space.clone(), self.job_id, self.after);
            let (status, entries) = blocking::run(move || {
                let head = journal::head_of(&engine.store, &space, &job_id)?;
                let status = head.map(|head| head.status).ok_or_else(|| Error::new(Code::JobNotFound, format!("job {job_id} is gone")))?;
                Ok::<_, Error>((status, engine.journal(&space, &job_id, after, limits::WATCHED_AT_ONCE)?))
            })
            .await?;
            if let Some(last) = entries.last() {
                self.after = Some(last.seq);
                return Ok(News::Entries(entries));
            }
            if status.is_final() {
                return Ok(News::End(status));
            }
            // A wake-up is a hint: without one it is looked all the same, only later.
            let _ = tokio::time::timeout(limits::WATCH_LOOK_AGAIN, self.changes.changed()).await;
        }
    }
}
