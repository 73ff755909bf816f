//! Keys of jobs: the job, its journal's entries, the index by status, and what a repeated request finds.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::{JobId, Space};

/// Names the row of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobKey {
    /// Whose it is.
    pub space: Space,
    /// The job.
    pub job_id: JobId,
}

impl JobKey {
    /// All jobs of a space, oldest first: a job's id begins with the time of its making.
    #[must_use]
    pub fn of_space(space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space))
    }
}

impl Key for JobKey {
    const KIND: Kind = Kind::Job;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).bytes(self.job_id.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = JobKey { space: fields.space()?, job_id: fields.job_id()? };
        fields.end(key)
    }
}

/// Names one entry of a job's journal. Without the space: a job's id is unique by itself, and entries
/// are the most numerous rows of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryKey {
    /// The job.
    pub job_id: JobId,
    /// The entry's place in its journal.
    pub seq: u64,
}

impl EntryKey {
    /// The journal of a job in its order.
    #[must_use]
    pub fn of_job(job_id: &JobId) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).bytes(job_id.as_bytes()))
    }
}

impl Key for EntryKey {
    const KIND: Kind = Kind::Entry;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).bytes(self.job_id.as_bytes()).bytes(&self.seq.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = EntryKey { job_id: fields.job_id()?, seq: u64::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

/// Names a job's place in the index by status, so that whoever looks for work passes no finished job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusKey {
    /// The status as a number; the store does not know which.
    pub status: u8,
    /// Whose it is.
    pub space: Space,
    /// The job.
    pub job_id: JobId,
}

impl StatusKey {
    /// All jobs of a status, by space.
    #[must_use]
    pub fn of_status(status: u8) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).bytes(&[status]))
    }

    /// The jobs of a status in one space, oldest first.
    #[must_use]
    pub fn of_status_and_space(status: u8, space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).bytes(&[status]).space(space))
    }
}

impl Key for StatusKey {
    const KIND: Kind = Kind::Status;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).bytes(&[self.status]).space(&self.space).bytes(self.job_id.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let [status] = fields.bytes()?;
        let key = StatusKey { status, space: fields.space()?, job_id: fields.job_id()? };
        fields.end(key)
    }
}

/// Names the row that a repeated request finds: which job the first one made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Whose it is.
    pub space: Space,
    /// What the client sent. It stands last, so any text is fine.
    pub key: String,
}

impl Key for IdempotencyKey {
    const KIND: Kind = Kind::Idempotency;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).bytes(self.key.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = IdempotencyKey { space: fields.space()?, key: fields.last_text()?.to_owned() };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_space, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    /// Ids that are often near each other, zero and the highest bytes among them.
    fn any_job() -> impl Strategy<Value = JobId> {
        prop_oneof![prop::sample::select(vec![[0; 16], [0xff; 16]]), any::<[u8; 16]>()].prop_map(JobId::from_bytes)
    }

    fn any_number() -> impl Strategy<Value = u64> {
        prop_oneof![0..3u64, 254..258u64, any::<u64>()]
    }

    fn text(space: &Space) -> (String, String) {
        (space.tenant().to_owned(), space.scope().to_owned())
    }

    proptest! {
        #[test]
        fn job_keys_come_back_and_sort_as_their_fields((sa, ja) in (any_space(), any_job()), (sb, jb) in (any_space(), any_job())) {
            let (a, b) = (JobKey { space: sa.clone(), job_id: ja }, JobKey { space: sb.clone(), job_id: jb });
            check(&a, &b, |k| (text(&k.space), k.job_id));
            check_prefix(&JobKey::of_space(&sa), &a, true);
            check_prefix(&JobKey::of_space(&sa), &b, sa == sb);
        }

        #[test]
        fn entry_keys_come_back_and_sort_as_their_fields((ja, na) in (any_job(), any_number()), (jb, nb) in (any_job(), any_number())) {
            let (a, b) = (EntryKey { job_id: ja, seq: na }, EntryKey { job_id: jb, seq: nb });
            check(&a, &b, |k| (k.job_id, k.seq));
            check_prefix(&EntryKey::of_job(&ja), &a, true);
            check_prefix(&EntryKey::of_job(&ja), &b, ja == jb);
        }

        #[test]
        fn status_keys_come_back_and_sort_as_their_fields(
            (na, sa, ja) in (any::<u8>(), any_space(), any_job()),
            (nb, sb, jb) in (0..3u8, any_space(), any_job()),
        ) {
            let (a, b) = (StatusKey { status: na, space: sa.clone(), job_id: ja }, StatusKey { status: nb, space: sb.clone(), job_id: jb });
            check(&a, &b, |k| (k.status, text(&k.space), k.job_id));
            check_prefix(&StatusKey::of_status(na), &a, true);
            check_prefix(&StatusKey::of_status(na), &b, na == nb);
            check_prefix(&StatusKey::of_status_and_space(na, &sa), &a, true);
            check_prefix(&StatusKey::of_status_and_space(na, &sa), &b, (na, &sa) == (nb, &sb));
        }

        #[test]
        fn idempotency_keys_come_back_and_sort_as_their_fields((sa, ka) in (any_space(), ".{0,6}"), (sb, kb) in (any_space(), "[\0a]{0,3}")) {
            let (a, b) = (IdempotencyKey { space: sa, key: ka }, IdempotencyKey { space: sb, key: kb });
            check(&a, &b, |k| (text(&k.space), k.key.clone()));
        }
    }
}
