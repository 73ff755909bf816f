//! The one who writes a job's journal.
//!
//! Its job: hold a job's journal open, keep entries in memory until they must be on disk, and put them there in one
//! guarded batch. It does not know tools, guests or schedules. The rule: what [`Log::flush`] has acknowledged is on
//! disk, and nothing is ever on disk that does not follow from what was there. A flush after which nobody needs to hold the job
//! (it waits, it stands, it has ended) lets go of it in the same batch.
//!
//! | write (one atomic batch each) | the process dies before | dies after |
//! |---|---|---|
//! | [`Log::create`]: first entry, job's row, the rows by which it is found, idempotency row | no job; the client asks again | the job is `ready` and found at the next start |
//! | [`Log::reopen`]: job's row with a higher epoch and another worker | the earlier worker may still write | the earlier worker cannot; the next one takes a higher epoch again |
//! | [`Log::flush`]: pending entries, job's row, the rows by which it is found, mail struck out, mail left for parent and children; with the last entry, and with the first by which the job is given up, what [`AtEnd`] says | none of them happened as far as anyone can tell | all of them are replayed |
//!
//! A value too large for an entry lies in a blob that is on disk before the entry that names it; a crash between the
//! two leaves a file that nothing names.

use std::mem;
use std::sync::Arc;

use super::chain::Tip;
use super::control::CancelRequested;
use super::entry::{Body, Entry};
use super::head::Head;
use super::index::{self, Row};
use super::mail::Mail;
use super::room::Filled;
use super::state::State;
use super::status::Status;
use super::waits::ChildEnded;
use super::{read, stored};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::store::{Batch, CommitError, EntryKey, IdempotencyKey, JobKey, MailKey, Store};
use crate::{clock, limits};

/// What somebody has to say of a job that has ended, or was given up: it is written in one with the job's last entry, or with the
/// first one by which it is set aside because it cannot go on by itself.
#[derive(Clone, Default)]
pub struct AtEnd(Option<Arc<Witness>>);

type Witness = dyn Fn(&Space, &JobId, &State) -> Batch + Send + Sync;

impl AtEnd {
    /// Says this of each job.
    pub fn new(witness: impl Fn(&Space, &JobId, &State) -> Batch + Send + Sync + 'static) -> AtEnd {
        AtEnd(Some(Arc::new(witness)))
    }
}

impl std::fmt::Debug for AtEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "AtEnd(..)" } else { "AtEnd" })
    }
}

/// A job's journal, open for writing by one worker.
#[derive(Debug)]
pub struct Log {
    store: Store,
    space: Space,
    job_id: JobId,
    /// Everything written and pending, folded.
    state: State,
    /// The end of the chain, pending entries included.
    tip: Tip,
    /// The job's row as it was last written, and its exact bytes: what the next write expects to find.
    head: Head,
    head_bytes: Vec<u8>,
    /// The rows by which the job is found, as they were last written.
    rows: Vec<Row>,
    worker: u64,
    pending: Vec<(u64, Vec<u8>)>,
    pending_bytes: usize,
    /// What is written with the next flush beside the journal: mail taken in, mail left for others.
    beside: Batch,
    /// Mail whose row goes with the next flush: it is still there to be read, and must not be entered again.
    struck: Vec<MailKey>,
    at_end: AtEnd,
    hold: Hold,
}

/// Whether this worker may still write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Nothing says otherwise.
    Held,
    /// Someone else's row was found: the job is theirs.
    Taken,
    /// A write ended without an answer, so what is on disk is not known. Only reading it again can tell.
    Unknown,
}

/// Why a job was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The idempotency key was used before; its row says for what.
    #[error("the idempotency key was used before")]
    KeyTaken,
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Log {
    /// Writes the first entry of a new job, and with it everything by which the job is found.
    ///
    /// `idempotency` is a row that must not be there yet and is there afterwards.
    ///
    /// # Errors
    /// [`CreateError::KeyTaken`]; `job_state_conflict` where the job is there already; what the store says.
    pub async fn create(
        store: &Store,
        space: &Space,
        job_id: JobId,
        created: Body,
        idempotency: Option<(IdempotencyKey, Vec<u8>)>,
        worker: u64,
    ) -> Result<Log, CreateError> {
        Self::create_where(store, space, job_id, created, idempotency, worker, Batch::new()).await
    }

    /// Writes the first entry of a child of this job, as [`Log::create`] does; only while this worker holds this job.
    ///
    /// # Errors
    /// As [`Log::create`]; `job_state_conflict` also where this job is another worker's by now.
    pub async fn create_child(&self, job_id: JobId, created: Body, worker: u64) -> Result<Log, CreateError> {
        let mut batch = Batch::new();
        batch.expect(&JobKey { space: self.space.clone(), job_id: self.job_id }, Some(&self.head_bytes));
        Self::create_where(&self.store, &self.space, job_id, created, None, worker, batch).await
    }

    async fn create_where(
        store: &Store,
        space: &Space,
        job_id: JobId,
        created: Body,
        idempotency: Option<(IdempotencyKey, Vec<u8>)>,
        worker: u64,
        mut batch: Batch,
    ) -> Result<Log, CreateError> {
        let first = Tip::first(&job_id);
        let (entry, bytes) = stored::seal(first.next_seq, clock::now_ms(), first.hash, created);
        let state = State::begin(&entry).map_err(|e| internal(&e))?;
        let tip = Tip::after(&entry);
        let head = Head::of(&state, &tip, bytes.len() as u64, 1, Some(worker));

        let job_key = JobKey { space: space.clone(), job_id };
        batch.expect(&job_key, None);
        batch.put(&job_key, head.encode());
        batch.put(&EntryKey { job_id, seq: entry.seq }, bytes);
        index::change(&mut batch, &[], &index::rows(&state, space, job_id));
        if let Some((key, row)) = &idempotency {
            batch.expect(key, None);
            batch.put(key, row.clone());
        }
        match store.commit(batch).await {
            Ok(()) => {}
            Err(CommitError::Store(e)) => return Err(CreateError::Failed(e)),
            Err(CommitError::Guard) => {
                if let Some((key, _)) = &idempotency
                    && store.get(key)?.is_some()
                {
                    return Err(CreateError::KeyTaken);
                }
                return Err(CreateError::Failed(Error::new(Code::JobStateConflict, format!("job {job_id} is there already"))));
            }
        }
        Ok(Self::fresh(store, space, job_id, worker, state, head))
    }

    /// Takes up a job where it was left: fences off whoever held it, then reads and verifies its journal.
    ///
    /// `from` is the worker that the caller knows to be gone, or none where nobody holds the job.
    ///
    /// The fence comes first, so that nothing is written any more while the journal is read. A worker that still
    /// writes does not keep the next one out; of two that take the job up at once, one gets it.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where the job has ended for good, or is held by another worker than `from`;
    /// `data_corrupt` that names the entry where the journal is not what was written.
    pub async fn reopen(store: &Store, space: &Space, job_id: JobId, worker: u64, from: Option<u64>) -> Result<(Log, Vec<Entry>)> {
        let head = take(store, space, job_id, worker, from).await?;
        let journal = read::whole(store, &job_id)?;
        journal.agrees_with(&head).map_err(|e| e.at(format!("job {job_id}")))?;
        let read::Journal { entries, state, .. } = journal;
        Ok((Self::fresh(store, space, job_id, worker, state, head), entries))
    }

    /// What this worker holds, with nothing pending: the journal's state, and the job's row as it lies in the store.
    fn fresh(store: &Store, space: &Space, job_id: JobId, worker: u64, state: State, head: Head) -> Log {
        Log {
            store: store.clone(),
            space: space.clone(),
            job_id,
            tip: head.tip(),
            head_bytes: head.encode(),
            rows: index::rows(&state, space, job_id),
            state,
            head,
            worker,
            pending: Vec::new(),
            pending_bytes: 0,
            beside: Batch::new(),
            struck: Vec::new(),
            at_end: AtEnd::default(),
            hold: Hold::Held,
        }
    }

    /// The same; what `at_end` says of the job is written with its last entry.
    #[must_use]
    pub fn witnessed(self, at_end: AtEnd) -> Log {
        Log { at_end, ..self }
    }

    /// Puts an entry behind the others, in memory. It is on disk after the next [`Log::flush`].
    ///
    /// # Errors
    /// `too_large` where the journal, or what waits for a flush, is at its limit (what ends a call, an attempt or the
    /// job still fits into a full journal); `internal_error` where the entry cannot follow; `job_state_conflict` where
    /// this worker lost the job. The log is then as it was.
    pub fn push(&mut self, body: Body) -> Result<Entry> {
        self.held()?;
        let seq = self.tip.next_seq;
        let at_ms = clock::now_ms().max(self.state.updated_at_ms);
        let (entry, bytes) = stored::seal(seq, at_ms, self.tip.hash, body);
        let full = |what| Error::new(Code::TooLarge, format!("job {}: {what}", self.job_id));
        self.filled().takes(&entry.body, bytes.len()).map_err(full)?;
        self.state.apply(&entry).map_err(|e| internal(&e))?;
        self.tip = Tip::after(&entry);
        self.pending_bytes += bytes.len();
        self.pending.push((seq, bytes));
        Ok(entry)
    }

    /// True where an entry of this body may come next.
    #[must_use]
    pub fn takes(&self, body: &Body) -> bool {
        self.state.takes(body)
    }

    /// A piece of mail that is entered now, or never will be: its row goes with the next flush.
    pub fn strike(&mut self, mail: &MailKey) {
        self.beside.delete(mail);
        self.struck.push(mail.clone());
    }

    /// True for a piece of mail that was struck since the last flush, so that its row is still there.
    #[must_use]
    pub fn has_struck(&self, mail: &MailKey) -> bool {
        self.struck.contains(mail)
    }

    /// Mail for another job of the same space: it is left with the next flush.
    pub fn send(&mut self, to: JobId, mail: Mail) {
        mail.leave(&mut self.beside, &self.space, to);
    }

    /// What has to be written in one with the next flush, and what must hold for it.
    pub fn beside(&mut self, batch: Batch) {
        self.beside.append(batch);
    }

    /// Lets go of the job, whatever it is doing: nobody holds it afterwards, and another worker may take it up.
    ///
    /// # Errors
    /// As [`Log::flush`].
    pub async fn release(&mut self) -> Result<()> {
        self.write(None).await
    }

    /// Puts everything pending on disk, in one batch. When this returns, it is there.
    ///
    /// # Errors
    /// `job_state_conflict` where another worker has taken the job: nothing of it was written. What the store says
    /// otherwise: then it is not known whether it was written, and this log writes no more; [`Log::reopen`] tells.
    pub async fn flush(&mut self) -> Result<()> {
        self.held()?;
        if self.pending.is_empty() && self.beside.is_empty() {
            return Ok(());
        }
        let needed = matches!(self.state.status(), Status::Ready | Status::Running);
        self.write(needed.then_some(self.worker)).await
    }

    async fn write(&mut self, worker: Option<u64>) -> Result<()> {
        self.held()?;
        let head = Head::of(&self.state, &self.tip, self.journal_bytes(), self.head.epoch, worker);
        let head_bytes = head.encode();
        let job_key = JobKey { space: self.space.clone(), job_id: self.job_id };
        let mut batch = Batch::new();
        batch.expect(&job_key, Some(&self.head_bytes));
        batch.put(&job_key, head_bytes.clone());
        let rows = index::rows(&self.state, &self.space, self.job_id);
        index::change(&mut batch, &self.rows, &rows);
        for (seq, bytes) in mem::take(&mut self.pending) {
            batch.put(&EntryKey { job_id: self.job_id, seq }, bytes);
        }
        batch.append(mem::take(&mut self.beside));
        if head.status.is_final() && !self.head.status.is_final() {
            self.tell_family(&mut batch);
            self.say(&mut batch);
        } else if self.state.is_given_up_first() && self.head.status != Status::Parked {
            self.say(&mut batch);
        }
        self.pending_bytes = 0;

        // Whoever drops this future in the middle, or meets a failing disk, leaves it so.
        self.hold = Hold::Unknown;
        match self.store.commit(batch).await {
            Ok(()) => {
                self.hold = Hold::Held;
                self.head = head;
                self.head_bytes = head_bytes;
                self.rows = rows;
                self.struck.clear();
                Ok(())
            }
            Err(CommitError::Guard) => {
                self.hold = Hold::Taken;
                Err(taken(&self.job_id))
            }
            Err(CommitError::Store(e)) => Err(e),
        }
    }

    fn say(&self, batch: &mut Batch) {
        if let Some(witness) = &self.at_end.0 {
            batch.append(witness(&self.space, &self.job_id, &self.state));
        }
    }

    /// A job that has ended says so to the one that started it, and leaves no child behind.
    fn tell_family(&self, batch: &mut Batch) {
        if let Some(parent) = &self.state.parent {
            let end = self.state.end_as_child();
            Mail::ChildEnded(ChildEnded { child: parent.child, end }).leave(batch, &self.space, parent.job_id);
        }
        for child in self.state.children.iter().filter(|child| child.end.is_none()) {
            let reason = format!("job {}, which had started it, is {}", self.job_id, self.state.status());
            let request = CancelRequested { by: CancelRequested::BY_PARENT.to_owned(), reason: Some(reason) };
            Mail::Cancel(request).leave(batch, &self.space, child.job_id);
        }
    }

    /// Everything written and pending, folded.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job_id
    }

    /// Whose it is.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// How often the job was taken up.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// Entries that wait for the next flush.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Bytes that wait for the next flush.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// True where so much waits that it should be flushed before more is pushed, though nothing requires it yet.
    #[must_use]
    pub fn should_flush(&self) -> bool {
        self.filled().should_flush()
    }

    fn journal_bytes(&self) -> u64 {
        self.head.journal_bytes + self.pending_bytes as u64
    }

    fn held(&self) -> Result<()> {
        match self.hold {
            Hold::Held => Ok(()),
            Hold::Taken => Err(taken(&self.job_id)),
            Hold::Unknown => Err(Error::new(
                Code::StoreUnavailable,
                format!("job {}: an earlier write ended without an answer; the journal must be reopened", self.job_id),
            )),
        }
    }

    fn filled(&self) -> Filled {
        Filled {
            entries: self.tip.next_seq - 1,
            bytes: self.journal_bytes(),
            pending: self.pending.len(),
            pending_bytes: self.pending_bytes,
        }
    }
}

/// Writes the job's row with the next epoch; whoever held the job before can write no more.
async fn take(store: &Store, space: &Space, job_id: JobId, worker: u64, from: Option<u64>) -> Result<Head> {
    let key = JobKey { space: space.clone(), job_id };
    let mut epoch = None;
    for _ in 0..limits::CONTENDED_TRIES_MAX {
        let bytes = store.get(&key)?.ok_or_else(|| read::no_such_job(&job_id))?;
        let found = read::decode_head(&job_id, &bytes)?;
        // A failed job can be begun again; what completed or was cancelled is done.
        if matches!(found.status, Status::Completed | Status::Cancelled) {
            return Err(Error::new(Code::JobStateConflict, format!("job {job_id} is {} and takes no more entries", found.status)));
        }
        if *epoch.get_or_insert(found.epoch) != found.epoch || (found.worker != from && found.worker != Some(worker)) {
            return Err(taken(&job_id));
        }
        let head = Head { epoch: found.epoch + 1, worker: Some(worker), ..found };
        let mut batch = Batch::new();
        batch.expect(&key, Some(&bytes));
        batch.put(&key, head.encode());
        match store.commit(batch).await {
            Ok(()) => return Ok(head),
            // The row moved on. Where only entries were added, the epoch is the same and the next try may succeed.
            Err(CommitError::Guard) => {}
            Err(CommitError::Store(e)) => return Err(e),
        }
    }
    Err(Error::new(Code::Contended, format!("job {job_id} is being written so fast that it cannot be taken up; try again")))
}

fn taken(job_id: &JobId) -> Error {
    Error::new(Code::JobStateConflict, format!("job {job_id}: another worker has taken this job"))
}

fn internal(e: &dyn std::fmt::Display) -> Error {
    Error::new(Code::InternalError, e.to_string())
}
