//! Keys of what is to be done about jobs: mail, timers, decisions and calls that wait for someone, claims, workers.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::{JobId, Space};

/// Names one piece of mail: what someone wants entered into the journal of a job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MailKey {
    /// Whose the job is.
    pub space: Space,
    /// The job.
    pub job_id: JobId,
    /// Ordered by time.
    pub id: [u8; 16],
}

impl MailKey {
    /// All mail there is, by job.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }

    /// A job's mail, oldest first.
    #[must_use]
    pub fn of_job(space: &Space, job_id: &JobId) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).bytes(job_id.as_bytes()))
    }
}

impl Key for MailKey {
    const KIND: Kind = Kind::Mail;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).bytes(self.job_id.as_bytes()).bytes(&self.id).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = MailKey { space: fields.space()?, job_id: fields.job_id()?, id: fields.bytes()? };
        fields.end(key)
    }
}

/// Names the time at which something is due for a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimerKey {
    /// When, in milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// Whose the job is.
    pub space: Space,
    /// The job.
    pub job_id: JobId,
}

impl TimerKey {
    /// All timers, the next one first.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for TimerKey {
    const KIND: Kind = Kind::Timer;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).bytes(&self.due_ms.to_be_bytes()).space(&self.space).bytes(self.job_id.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = TimerKey { due_ms: u64::from_be_bytes(fields.bytes()?), space: fields.space()?, job_id: fields.job_id()? };
        fields.end(key)
    }
}

/// Names an approval that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ApprovalKey {
    /// Whose the job is.
    pub space: Space,
    /// The job.
    pub job_id: JobId,
    /// The number of its wait.
    pub wait: u64,
}

impl ApprovalKey {
    /// The approvals of a space, those of the oldest jobs first.
    #[must_use]
    pub fn of_space(space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space))
    }
}

impl Key for ApprovalKey {
    const KIND: Kind = Kind::Approval;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).bytes(self.job_id.as_bytes()).bytes(&self.wait.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = ApprovalKey { space: fields.space()?, job_id: fields.job_id()?, wait: u64::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

/// Names a call that waits for someone outside to perform it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalKey {
    /// Whose the job is.
    pub space: Space,
    /// The tool, `agent/<name>`.
    pub tool: String,
    /// The job.
    pub job_id: JobId,
    /// The call's number within it.
    pub call: u64,
}

impl ExternalKey {
    /// The calls of a space, by tool.
    #[must_use]
    pub fn of_space(space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space))
    }

    /// The calls of one tool, those of the oldest jobs first.
    #[must_use]
    pub fn of_tool(space: &Space, tool: &str) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(tool))
    }
}

impl Key for ExternalKey {
    const KIND: Kind = Kind::External;

    fn encode(&self) -> Vec<u8> {
        let fields = Fields::of(Self::KIND).space(&self.space).text(&self.tool);
        fields.bytes(self.job_id.as_bytes()).bytes(&self.call.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = ExternalKey {
            space: fields.space()?,
            tool: fields.text()?.to_owned(),
            job_id: fields.job_id()?,
            call: u64::from_be_bytes(fields.bytes()?),
        };
        fields.end(key)
    }
}

/// Names the claim of whoever performs a call outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    /// Whose the job is.
    pub space: Space,
    /// The job.
    pub job_id: JobId,
    /// The call's number within it.
    pub call: u64,
}

impl ClaimKey {
    /// All claims there are.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for ClaimKey {
    const KIND: Kind = Kind::Claim;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).bytes(self.job_id.as_bytes()).bytes(&self.call.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = ClaimKey { space: fields.space()?, job_id: fields.job_id()?, call: u64::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

/// Names a worker that may hold jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerKey {
    /// Its number; never used twice.
    pub worker: u64,
}

impl WorkerKey {
    /// All workers, the oldest first.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for WorkerKey {
    const KIND: Kind = Kind::Worker;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).bytes(&self.worker.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = WorkerKey { worker: u64::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}
