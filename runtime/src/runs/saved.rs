//! What is on disk of a run: four kinds of rows.
//!
//! A row is one byte, the version of its form, and one JSON object. A field never changes its meaning;
//! a new field makes a new version, and [`decode`] goes on reading the old ones.
//!
//! | key | row | written |
//! |---|---|---|
//! | `RunKey` | [`Start`]: what `run/start` brought | once |
//! | `RunHeadKey` | [`Head`]: how many steps and bytes, which came last, and the end | by each step, each result and the end; never after it |
//! | `StepKey` | [`Before`]: what `step/before` brought | once |
//! | `AfterKey` | [`After`]: what `step/after` brought | once |
//!
//! Every write is one atomic batch that expects the head to be as it was read. So two steps never get
//! the same ordinal, and nothing is added to a run that has ended. A crash before the batch is flushed
//! leaves nothing of it; after, all of it. Large values are blobs, written before the row that names
//! them: a crash in between leaves a blob that nothing names, and costs disk alone.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::request::{RunEnd, RunStart, StepAfter, StepBefore};
use super::run::{self, Run, RunStatus, RunSummary, SafetyLevel, Step, StepStatus};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, RunId, Space, StepId};
use crate::json::Json;
use crate::store::{Payload, Store};

/// The version that is written.
const VERSION: u8 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub goal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_snapshot_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_snapshot_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    pub at_ms: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Head {
    /// How many steps there are; the next one's ordinal.
    pub steps: u32,
    /// What start, steps and results were sent with so far.
    pub bytes: u64,
    /// The step that came last, so that a `step/after` by index need not look through all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Last {
    pub step_index: u32,
    pub step_id: StepId,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Before {
    pub step_index: u32,
    pub ordinal: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    pub tool_name: String,
    pub tool_input: Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_output_signature: Option<Payload>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<Json>,
    pub safety_level: SafetyLevel,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    pub at_ms: u64,
}

/// The two numbers of a [`Before`] that finding a step by its index needs.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub step_index: u32,
    pub ordinal: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct After {
    pub status: StepStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_signature: Option<Payload>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postconditions: Vec<Json>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifact_refs: Vec<Json>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repair_applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    pub at_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct End {
    pub status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_criteria: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    pub at_ms: u64,
}

/// The bytes of a row.
pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, row).expect("rows hold text, numbers and checked JSON, which all print");
    bytes
}

/// Reads a row; `what` names it in errors.
///
/// # Errors
/// `data_dir_too_new` for a version of the form that this program does not know, `data_corrupt`.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|e| Error::stored(format!("the stored row of {what}"), &e)),
        Some((version, _)) => Err(Error::new(
            Code::DataDirTooNew,
            format!("the stored row of {what} has version {version}; this program reads up to {VERSION}"),
        )),
        None => Err(Error::new(Code::DataCorrupt, format!("the stored row of {what} is empty"))),
    }
}

impl Start {
    pub(super) fn of(store: &Store, sent: &RunStart, at_ms: u64) -> Result<Self> {
        Ok(Start {
            goal: sent.goal.clone(),
            inputs: save(store, &sent.inputs)?,
            context_snapshot_ref: sent.context_snapshot_ref.clone(),
            context_snapshot_hash: sent.context_snapshot_hash.clone(),
            metadata: sent.metadata.clone(),
            actor: sent.actor.clone(),
            at_ms,
        })
    }

    /// The run without its steps and end.
    pub(super) fn load(self, store: &Store, space: &Space, run_id: &RunId, written: Digest) -> Result<Run> {
        Ok(Run {
            run_id: run_id.clone(),
            space: space.clone(),
            goal: self.goal,
            inputs: load(store, self.inputs)?,
            context_snapshot_ref: self.context_snapshot_ref,
            context_snapshot_hash: self.context_snapshot_hash,
            metadata: self.metadata,
            actor: self.actor,
            started_at_ms: self.at_ms,
            written: Some(written),
            steps: Vec::new(),
            end: None,
        })
    }

    pub(super) fn summary(self, run_id: RunId, head: &Head) -> RunSummary {
        RunSummary {
            run_id,
            goal: self.goal,
            status: head.end.as_ref().map(|end| end.status),
            steps: head.steps,
            started_at_ms: self.at_ms,
            ended_at_ms: head.end.as_ref().map(|end| end.at_ms),
        }
    }
}

impl Before {
    pub(super) fn of(store: &Store, sent: &StepBefore, ordinal: u32, at_ms: u64) -> Result<Self> {
        Ok(Before {
            step_index: sent.step_index,
            ordinal,
            decision_id: sent.decision_id.clone(),
            tool_name: sent.tool_name.clone(),
            tool_input: store.save(&sent.tool_input)?,
            expected_output_signature: save(store, &sent.expected_output_signature)?,
            preconditions: sent.preconditions.clone(),
            retry_policy: sent.retry_policy.clone(),
            safety_level: sent.safety_level,
            metadata: sent.metadata.clone(),
            at_ms,
        })
    }

    /// The step, pending.
    pub(super) fn load(self, store: &Store, step_id: StepId, written: Digest) -> Result<Step> {
        Ok(Step {
            step_id,
            step_index: self.step_index,
            ordinal: self.ordinal,
            decision_id: self.decision_id,
            tool_name: self.tool_name,
            tool_input: store.load(&self.tool_input)?,
            expected_output_signature: load(store, self.expected_output_signature)?,
            preconditions: self.preconditions,
            retry_policy: self.retry_policy,
            safety_level: self.safety_level,
            metadata: self.metadata,
            before_at_ms: self.at_ms,
            written: Some(written),
            after: None,
        })
    }
}

impl After {
    pub(super) fn of(store: &Store, sent: &StepAfter, at_ms: u64) -> Result<Self> {
        Ok(After {
            status: sent.status,
            output: save(store, &sent.output)?,
            output_signature: save(store, &sent.output_signature)?,
            postconditions: sent.postconditions.clone(),
            artifact_refs: sent.artifact_refs.clone(),
            repair_applied: sent.repair_applied,
            repair_note: sent.repair_note.clone(),
            error: sent.error.clone(),
            metadata: sent.metadata.clone(),
            at_ms,
        })
    }

    pub(super) fn load(self, store: &Store, written: Digest) -> Result<run::After> {
        Ok(run::After {
            status: self.status,
            output: load(store, self.output)?,
            output_signature: load(store, self.output_signature)?,
            postconditions: self.postconditions,
            artifact_refs: self.artifact_refs,
            repair_applied: self.repair_applied,
            repair_note: self.repair_note,
            error: self.error,
            metadata: self.metadata,
            at_ms: self.at_ms,
            written: Some(written),
        })
    }
}

impl End {
    pub(super) fn of(store: &Store, sent: &RunEnd, at_ms: u64) -> Result<Self> {
        Ok(End {
            status: sent.status,
            summary: sent.summary.clone(),
            success_criteria: sent.success_criteria.clone(),
            metrics: sent.metrics.clone(),
            metadata: sent.metadata.clone(),
            output: save(store, &sent.output)?,
            at_ms,
        })
    }

    pub(super) fn load(self, store: &Store, written: Digest) -> Result<run::End> {
        Ok(run::End {
            status: self.status,
            summary: self.summary,
            success_criteria: self.success_criteria,
            metrics: self.metrics,
            metadata: self.metadata,
            output: load(store, self.output)?,
            ended_at_ms: self.at_ms,
            written: Some(written),
        })
    }
}

/// Null counts as absent, for callers too who make a request without parsing one.
fn save(store: &Store, value: &Option<Json>) -> Result<Option<Payload>> {
    value.as_ref().filter(|json| json.as_str() != "null").map(|json| store.save(json)).transpose()
}

fn load(store: &Store, value: Option<Payload>) -> Result<Option<Json>> {
    value.map(|payload| store.load(&payload)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of version 1 as they are on people's disks. Never change one; a new version adds its own.
    const START: &str = r#"{"goal":"g","inputs":{"inline":{"v":2}},"context_snapshot_ref":"ref","context_snapshot_hash":"00","metadata":{"m":1},"actor":"me","at_ms":1}"#;
    const HEAD: &str = r#"{"steps":2,"bytes":9,"last":{"step_index":7,"step_id":"s"},"end":{"status":"partial","summary":"x","success_criteria":{},"metrics":{"n":1},"metadata":{},"output":{"inline":[1]},"at_ms":2}}"#;
    const BEFORE: &str = r#"{"step_index":7,"ordinal":1,"decision_id":"d","tool_name":"t","tool_input":{"blob":{"digest":"abababababababababababababababababababababababababababababababab","bytes":40000}},"expected_output_signature":{"inline":1.5},"preconditions":[{}],"retry_policy":{},"safety_level":"auto_ok","metadata":{},"at_ms":3}"#;
    const AFTER: &str = r#"{"status":"skipped","output":{"inline":"o"},"output_signature":{"inline":[]},"postconditions":[{}],"artifact_refs":["a",{}],"repair_applied":true,"repair_note":"n","error":"e","metadata":{},"at_ms":4}"#;
    const BARE: [&str; 4] = [
        r#"{"goal":"g","at_ms":1}"#,
        r#"{"steps":0,"bytes":0}"#,
        r#"{"step_index":1,"ordinal":0,"tool_name":"t","tool_input":{"inline":null},"safety_level":"needs_confirm","at_ms":1}"#,
        r#"{"status":"success","at_ms":1}"#,
    ];

    fn check<T: Serialize + DeserializeOwned>(row: &str) {
        let bytes = [&[1], row.as_bytes()].concat();
        let read: T = decode(&bytes, "a row").unwrap();
        assert_eq!(String::from_utf8(encode(&read)[1..].to_vec()).unwrap(), row);
    }

    #[test]
    fn rows_of_version_1_are_read_and_written_as_they_always_were() {
        for (start, head, before, after) in [(START, HEAD, BEFORE, AFTER), (BARE[0], BARE[1], BARE[2], BARE[3])] {
            check::<Start>(start);
            check::<Head>(head);
            check::<Before>(before);
            check::<After>(after);
        }
        let place: Place = decode(&[&[1], BEFORE.as_bytes()].concat(), "a step").unwrap();
        assert_eq!((place.step_index, place.ordinal), (7, 1));
    }

    #[test]
    fn a_row_of_a_later_version_or_a_damaged_one_is_refused_as_such() {
        for (bytes, code) in [
            (&b"\x02{}"[..], Code::DataDirTooNew),
            (b"", Code::DataCorrupt),
            (b"\x01", Code::DataCorrupt),
            (b"\x01{\"steps\":-1}", Code::DataCorrupt),
            (b"\x01{\"steps\":1}x", Code::DataCorrupt),
        ] {
            assert_eq!(decode::<Head>(bytes, "a run's head").unwrap_err().code, code, "{bytes:?}");
        }
        // What is JSON and of another form was written so, by another version; what is none was damaged.
        let said = |bytes: &[u8]| decode::<Head>(bytes, "a run's head").unwrap_err().message;
        let other = said(b"\x01{\"steps\":\"one\"}");
        assert!(other.contains("another version of reprise wrote it") && other.contains("a run's head"), "{other}");
        assert!(!said(b"\x01{\"steps\"").contains("another version"), "cut");
    }
}
