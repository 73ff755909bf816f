//! The rows by which a job is found: by status, by what is due, by who is asked to decide or to do something.
//!
//! Its job: say which rows belong to a state. The log writes the difference with each flush, in the same batch as the
//! entries, so that no index ever says something else than the journal. It is pure.

use serde::{Deserialize, Serialize};

use super::state::State;
use super::status::Status;
use super::waits::On;
use crate::ids::{Digest, JobId, Space};
use crate::store::{ApprovalKey, Batch, ExternalKey, Payload, StatusKey, TimerKey};

/// One row that says where a job is to be found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Row {
    Status(StatusKey),
    Timer(TimerKey),
    Approval(ApprovalKey, Vec<u8>),
    External(ExternalKey, Vec<u8>),
}

/// An approval that waits for a person, as its row has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenApproval {
    v: u8,
    /// For the list.
    pub title: String,
    /// What will be done, as the person sees it.
    pub request: Payload,
    /// Digest of title and request; a decision names it.
    pub digest: Digest,
    /// The step it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Since when it waits, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// A call that waits for someone outside, as its row has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenCall {
    v: u8,
    /// The place of its `called` entry.
    pub seq: u64,
    /// What the performer should use as the call's name, so that doing it twice shows.
    pub key: String,
    /// The step it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Since when it waits, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// The rows of a job in this state.
pub(super) fn rows(state: &State, space: &Space, job_id: JobId) -> Vec<Row> {
    let status = state.status();
    let mut rows = vec![Row::Status(StatusKey { status: status.number(), space: space.clone(), job_id })];
    if let Some(due_ms) = state.due_ms() {
        rows.push(Row::Timer(TimerKey { due_ms, space: space.clone(), job_id }));
    }
    let Some(wait) = state.wait.as_ref().filter(|_| status == Status::Waiting) else { return rows };
    match &wait.on {
        On::Approval { title, request, digest } => {
            let row = OpenApproval {
                v: 1,
                title: title.clone(),
                request: request.clone(),
                digest: *digest,
                step: wait.step.clone(),
                since_ms: wait.since_ms,
                until_ms: wait.until_ms,
            };
            let key = ApprovalKey { space: space.clone(), job_id, wait: wait.wait };
            rows.push(Row::Approval(key, serde_json::to_vec(&row).expect("text and numbers print")));
        }
        On::External { call } => {
            if let Some(open) = state.open_call().filter(|open| open.call == *call) {
                let row = OpenCall {
                    v: 1,
                    seq: open.seq,
                    key: open.key.clone(),
                    step: open.step.clone(),
                    since_ms: wait.since_ms,
                    until_ms: wait.until_ms,
                };
                let key = ExternalKey { space: space.clone(), tool: open.tool.to_string(), job_id, call: *call };
                rows.push(Row::External(key, serde_json::to_vec(&row).expect("text and numbers print")));
            }
        }
        On::Sleep { .. } | On::Signal { .. } | On::Children { .. } | On::Pause { .. } => {}
    }
    rows
}

/// Makes `batch` turn the rows that are there into those that should be.
pub(super) fn change(batch: &mut Batch, there: &[Row], should_be: &[Row]) {
    for row in there.iter().filter(|row| !should_be.contains(row)) {
        match row {
            Row::Status(key) => batch.delete(key),
            Row::Timer(key) => batch.delete(key),
            Row::Approval(key, _) => batch.delete(key),
            Row::External(key, _) => batch.delete(key),
        }
    }
    for row in should_be.iter().filter(|row| !there.contains(row)) {
        match row {
            Row::Status(key) => batch.put(key, Vec::new()),
            Row::Timer(key) => batch.put(key, Vec::new()),
            Row::Approval(key, row) => batch.put(key, row.clone()),
            Row::External(key, row) => batch.put(key, row.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
