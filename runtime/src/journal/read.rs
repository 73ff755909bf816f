//! What can be read of jobs, by anyone, at any time.
//!
//! Its job: entries, folds and lists. It writes nothing and asks no worker: whoever reads sees what the journal
//! says. A job is looked for in its space first, so that an id alone opens nobody else's journal.

use super::chain::Tip;
use super::entry::Entry;
use super::head::Head;
use super::state::State;
use super::status::Status;
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, PlaybookId, Space};
use crate::limits;
use crate::store::{EntryKey, JobKey, StatusKey, Store};

/// The row of a job, where there is such a job.
///
/// # Errors
/// `data_corrupt`, `data_dir_too_new`, and what the store says.
pub fn head(store: &Store, space: &Space, job_id: &JobId) -> Result<Option<Head>> {
    let bytes = store.get(&JobKey { space: space.clone(), job_id: *job_id })?;
    bytes.map(|bytes| decode_head(job_id, &bytes)).transpose()
}

/// Entries after number `after` (from the first where none is given), oldest first, at most `limit` of them and
/// [`limits::PAGE_ROWS_MAX`]. The links between them are checked.
///
/// # Errors
/// `job_not_found`; `data_corrupt` that names the entry.
pub fn read(store: &Store, space: &Space, job_id: &JobId, after: Option<u64>, limit: usize) -> Result<Vec<Entry>> {
    head(store, space, job_id)?.ok_or_else(|| no_such_job(job_id))?;
    let mut tip = match after.unwrap_or(0) {
        0 => Tip::first(job_id),
        after => match entry(store, job_id, after)? {
            Some(entry) => Tip::after(&entry),
            None => return Ok(Vec::new()),
        },
    };
    let mut entries = Vec::new();
    page(store, job_id, &mut tip, limit.min(limits::PAGE_ROWS_MAX), &mut entries)?;
    Ok(entries)
}

/// What the job is now.
///
/// # Errors
/// As [`read`].
pub fn fold(store: &Store, space: &Space, job_id: &JobId) -> Result<State> {
    head(store, space, job_id)?.ok_or_else(|| no_such_job(job_id))?;
    whole(store, job_id).map(|journal| journal.state)
}

/// A journal as it lies on the disk, followed from its first entry to the end that the job's row has, and folded.
#[derive(Debug, Clone)]
pub struct Exact {
    /// The stored bytes of each entry.
    pub rows: Vec<Vec<u8>>,
    /// What they say.
    pub entries: Vec<Entry>,
    /// What the job is after the last of them.
    pub state: State,
    /// The job's row, which agrees with them.
    pub head: Head,
}

/// The job's journal as it was when its row was read; what is written meanwhile is not in it.
///
/// # Errors
/// `job_not_found`; `data_corrupt` that names the entry where it is not what was written.
pub fn exact(store: &Store, space: &Space, job_id: &JobId) -> Result<Exact> {
    let head = head(store, space, job_id)?.ok_or_else(|| no_such_job(job_id))?;
    let (mut rows, mut entries) = (Vec::new(), Vec::new());
    let (mut tip, mut bytes) = (Tip::first(job_id), 0);
    while tip.next_seq < head.next_seq {
        let left = usize::try_from(head.next_seq - tip.next_seq).unwrap_or(usize::MAX);
        let after = tip.next_seq.checked_sub(1).filter(|seq| *seq > 0).map(|seq| EntryKey { job_id: *job_id, seq });
        let piece = store.scan(&EntryKey::of_job(job_id), after.as_ref(), left.min(limits::JOURNAL_READ_ROWS))?;
        if piece.is_empty() {
            break;
        }
        for (_, row) in piece {
            entries.push(tip.follow(&row).map_err(|e| Error::from(e).at(format!("job {job_id}")))?);
            bytes += row.len() as u64;
            rows.push(row);
        }
    }
    let state = State::fold(&entries).map_err(|e| illegal(job_id, &e))?;
    let journal = Journal { entries, state, tip, bytes };
    journal.agrees_with(&head).map_err(|e| e.at(format!("job {job_id}")))?;
    let Journal { entries, state, .. } = journal;
    Ok(Exact { rows, entries, state, head })
}

fn illegal(job_id: &JobId, e: &super::Illegal) -> Error {
    Error::new(Code::DataCorrupt, format!("job {job_id}: {e}")).with_details(serde_json::json!({ "seq": e.seq }))
}

/// Which jobs a list has.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those of this playbook.
    pub playbook_id: Option<PlaybookId>,
}

/// Some jobs of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<(JobId, Head)>,
    /// Where the next page begins: hand it in as `before`. None at the end of the list. A page may be
    /// shorter than asked for and still not the last.
    pub next: Option<JobId>,
}

/// Jobs of a space, newest first, beginning with the one made before `before`; at most `limit` and [`limits::PAGE_ROWS_MAX`].
///
/// # Errors
/// `data_corrupt`, and what the store says.
pub fn list(store: &Store, space: &Space, filter: &Filter, before: Option<JobId>, limit: usize) -> Result<Page> {
    let limit = limit.clamp(1, limits::PAGE_ROWS_MAX);
    // Most jobs may be of other playbooks, so those are looked for in larger pieces.
    let piece = if filter.playbook_id.is_some() { limits::PAGE_ROWS_MAX } else { limit };
    let mut jobs = Vec::new();
    let mut next = before;
    let mut looked_at = 0;
    while looked_at < limits::LIST_SCAN_ROWS_MAX {
        let rows = newest(store, space, filter.status, next, piece)?;
        let last_piece = rows.len() < piece;
        for (job_id, head) in rows {
            looked_at += 1;
            next = Some(job_id);
            // A status row and its job are read one after the other; in between, the job may have moved on.
            let fits = filter.status.is_none_or(|s| s == head.status) && filter.playbook_id.as_ref().is_none_or(|p| *p == head.playbook_id);
            if fits {
                jobs.push((job_id, head));
            }
            if jobs.len() == limit {
                return Ok(Page { jobs, next });
            }
        }
        if last_piece {
            return Ok(Page { jobs, next: None });
        }
    }
    Ok(Page { jobs, next })
}

/// Every job that a worker should take up, in all spaces: first those that were under way, then those that were
/// accepted, each oldest first within its space. Finished jobs are not looked at.
///
/// # Errors
/// What the store says.
pub fn runnable(store: &Store) -> Result<Vec<(Space, JobId, Head)>> {
    let mut jobs = Vec::new();
    for status in Status::RUNNABLE {
        let prefix = StatusKey::of_status(status.number());
        let mut after: Option<StatusKey> = None;
        loop {
            let rows = store.scan(&prefix, after.as_ref(), limits::PAGE_ROWS_MAX)?;
            let last_page = rows.len() < limits::PAGE_ROWS_MAX;
            after = rows.last().map(|(key, _)| key.clone());
            for (StatusKey { space, job_id, .. }, _) in rows {
                // Between the two reads it may have moved on; then somebody has it.
                if let Some(head) = head(store, &space, &job_id)?.filter(|head| head.status == status) {
                    jobs.push((space, job_id, head));
                }
            }
            if last_page {
                break;
            }
        }
    }
    Ok(jobs)
}

/// A whole journal, its chain followed and its entries folded.
pub(super) struct Journal {
    pub(super) entries: Vec<Entry>,
    pub(super) state: State,
    pub(super) tip: Tip,
    pub(super) bytes: u64,
}

impl Journal {
    /// Compares what the journal says with the job's row.
    pub(super) fn agrees_with(&self, head: &Head) -> Result<()> {
        self.tip.must_be(&head.tip())?;
        let follows = Head::of(&self.state, &self.tip, self.bytes, head.epoch, head.worker);
        let Some(difference) = head.difference(&follows) else { return Ok(()) };
        let last = self.tip.next_seq - 1;
        let message = format!("entry {last}: the job's row does not follow from the journal: {difference}");
        Err(Error::new(Code::DataCorrupt, message).with_details(serde_json::json!({ "seq": last })))
    }
}

/// Reads, verifies and folds a whole journal. [`limits::JOURNAL_BYTES_MAX`] bounds it.
pub(super) fn whole(store: &Store, job_id: &JobId) -> Result<Journal> {
    let mut tip = Tip::first(job_id);
    let mut entries = Vec::new();
    let mut bytes = 0;
    loop {
        let before = entries.len();
        bytes += page(store, job_id, &mut tip, limits::JOURNAL_READ_ROWS, &mut entries)?;
        if entries.len() - before < limits::JOURNAL_READ_ROWS {
            break;
        }
    }
    let state = State::fold(&entries).map_err(|e| illegal(job_id, &e))?;
    Ok(Journal { entries, state, tip, bytes })
}

pub(super) fn no_such_job(job_id: &JobId) -> Error {
    Error::new(Code::JobNotFound, format!("no job {job_id} in this tenant and scope"))
}

/// Reads at most `limit` entries from `tip` on into `entries`, and moves `tip` behind them. Returns their bytes.
fn page(store: &Store, job_id: &JobId, tip: &mut Tip, limit: usize, entries: &mut Vec<Entry>) -> Result<u64> {
    let after = tip.next_seq.checked_sub(1).filter(|seq| *seq > 0).map(|seq| EntryKey { job_id: *job_id, seq });
    let rows = store.scan(&EntryKey::of_job(job_id), after.as_ref(), limit)?;
    entries.reserve(rows.len());
    let mut read = 0;
    for (_, bytes) in rows {
        entries.push(tip.follow(&bytes).map_err(|e| Error::from(e).at(format!("job {job_id}")))?);
        read += bytes.len() as u64;
    }
    Ok(read)
}

fn entry(store: &Store, job_id: &JobId, seq: u64) -> Result<Option<Entry>> {
    let bytes = store.get(&EntryKey { job_id: *job_id, seq })?;
    let at = |e| Error::from(e).at(format!("job {job_id}: entry {seq}"));
    bytes.map(|bytes| super::stored::decode(&bytes).map_err(at)).transpose()
}

/// The newest rows before `before`.
fn newest(store: &Store, space: &Space, status: Option<Status>, before: Option<JobId>, limit: usize) -> Result<Vec<(JobId, Head)>> {
    let Some(status) = status else {
        let before = before.map(|job_id| JobKey { space: space.clone(), job_id });
        let rows = store.scan_back(&JobKey::of_space(space), before.as_ref(), limit)?;
        return rows.into_iter().map(|(key, bytes)| Ok((key.job_id, decode_head(&key.job_id, &bytes)?))).collect();
    };
    let before = before.map(|job_id| StatusKey { status: status.number(), space: space.clone(), job_id });
    let rows = store.scan_back(&StatusKey::of_status_and_space(status.number(), space), before.as_ref(), limit)?;
    let mut jobs = Vec::with_capacity(rows.len());
    for (key, _) in rows {
        let head = head(store, space, &key.job_id)?;
        let missing = || Error::new(Code::DataCorrupt, format!("job {}: it has a status row and no row of its own", key.job_id));
        jobs.push((key.job_id, head.ok_or_else(missing)?));
    }
    Ok(jobs)
}

pub(super) fn decode_head(job_id: &JobId, bytes: &[u8]) -> Result<Head> {
    Head::decode(bytes).map_err(|e| Error::from(e).at(format!("job {job_id}")))
}
