//! Mail: what someone wants entered into the journal of a job that a worker holds.
//!
//! Only the worker that holds a job writes its journal. Whoever else has something to say leaves it here, as a row that is on
//! disk before it is acknowledged; the worker enters it at the next chance and strikes the row out in the same batch, so that
//! it is entered exactly once. It knows neither workers nor guests.

use serde::{Deserialize, Serialize};

use super::control::{CancelRequested, Paused};
use super::waits::{ChildEnded, Signalled};
use crate::error::{Error, Result};
use crate::ids::{self, JobId, Space};
use crate::limits;
use crate::store::{Batch, MailKey, Store};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mail {
    /// A signal arrived.
    Signal(Signalled),
    /// Someone asks for the job to end.
    Cancel(CancelRequested),
    /// Someone asks for the job to end at once, whatever it is undoing.
    End(CancelRequested),
    /// Someone asks for it to stop at the next step.
    Pause(Paused),
    /// A child has ended.
    ChildEnded(ChildEnded),
}

#[derive(Serialize, Deserialize)]
struct Row {
    v: u8,
    mail: Mail,
}

impl Mail {
    /// Makes `batch` leave this for a job. What steers the job comes before what its children say, and that before signals, of
    /// which there may be many.
    pub fn leave(self, batch: &mut Batch, space: &Space, job_id: JobId) {
        let mut id = ids::fresh_order();
        id[0] = match &self {
            Mail::Cancel(_) | Mail::End(_) | Mail::Pause(_) => 0,
            Mail::ChildEnded(_) => 1,
            Mail::Signal(_) => 2,
        };
        let row = serde_json::to_vec(&Row { v: 1, mail: self }).expect("mail prints");
        batch.put(&MailKey { space: space.clone(), job_id, id }, row);
    }

    /// All that was left for a job.
    ///
    /// # Errors
    /// `data_corrupt`, and what the store says.
    pub fn of_job(store: &Store, space: &Space, job_id: &JobId) -> Result<Vec<(MailKey, Mail)>> {
        let rows = store.scan(&MailKey::of_job(space, job_id), None, limits::MAIL_READ_MAX)?;
        let read = |(key, row): (MailKey, Vec<u8>)| match serde_json::from_slice::<Row>(&row) {
            Ok(row) => Ok((key, row.mail)),
            Err(e) => Err(Error::stored(format!("job {job_id}: a row of its mail"), &e)),
        };
        rows.into_iter().map(read).collect()
    }
}
