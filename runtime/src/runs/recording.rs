//! A run as a text file that a person can write: one JSON object a line. The format is in `docs/RECORDING.md`.
//!
//! Its job: read such a file, bounded and line by line, and name the line of whatever is wrong in it. A
//! person wrote it, so an unknown field is a slip of the hand and is refused, where HTTP ignores it.

use std::collections::HashMap;
use std::io::{BufRead, Read as _};

use serde_json::Value;

use super::request::{RunEnd, RunStart, StepAfter, StepBefore, StepRef};
use super::run::{After, End, Run, Step, StepStatus};
use crate::error::{Code, Error, Issue, Result};
use crate::fields::{self, Fields};
use crate::ids::{Digest, RunId, Space, StepId};
use crate::json::{self, Json};
use crate::limits;

/// A run as it was read from a file, or as it goes into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    pub(super) run_id: RunId,
    pub(super) start: RunStart,
    /// In the order of the lines.
    pub(super) steps: Vec<Recorded>,
    pub(super) end: Option<RunEnd>,
}

/// One step with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub before: StepBefore,
    /// None while the step is pending.
    pub after: Option<StepAfter>,
}

/// How the first line must look; errors show it.
const FIRST_LINE: &str = r#"a recording begins with a line {"run": {"goal": "..."}}"#;
/// The names in a step's line that stand for `tool_name` and `tool_input`.
const CALL_NAMES: [&str; 2] = ["tool", "input"];
/// The name of what `step/after` calls metadata, since a line has that of `step/before` too.
pub(super) const RESULT_METADATA: &str = "result_metadata";
/// What a step's line says of the result; a pending step has none of it.
const RESULT_NAMES: [&str; 8] =
    ["output", "output_signature", "postconditions", "artifact_refs", "repair_applied", "repair_note", "error", RESULT_METADATA];
/// The words for a step's status. A pending step is one of which nothing came yet.
const STATUS_NAMES: &[(&str, Option<StepStatus>)] = &[
    ("success", Some(StepStatus::Success)),
    ("failed", Some(StepStatus::Failed)),
    ("skipped", Some(StepStatus::Skipped)),
    ("partial", Some(StepStatus::Partial)),
    (PENDING, None),
];
/// The word for a step of which nothing came yet.
pub(super) const PENDING: &str = "pending";

impl Recording {
    /// Reads a recording file. Without a `run_id` in it, the id follows from what it says.
    ///
    /// # Errors
    /// `invalid_request`, `too_large` and the codes of [`json::parse`], each with the line; `store_unavailable`
    /// where `reader` fails.
    pub fn read(reader: impl BufRead) -> Result<Recording> {
        let mut lines = Lines { reader, number: 0, bytes: 0, line: Vec::new() };
        let Some((number, value)) = lines.next()? else { return Err(at_line(1, Error::invalid("", FIRST_LINE))) };
        let start = run_line(&value).map_err(|e| at_line(number, e))?;
        let mut seen = Digest::of(Json::from(&value).as_str().as_bytes());

        // A file without a run id gets its own at the last line; until then the steps stand under this one.
        let run_id = start.run_id.clone().unwrap_or_else(|| RunId::derived(&[]));
        let mut recording = Recording { run_id, start, steps: Vec::new(), end: None };
        let mut step_lines = HashMap::new();
        while let Some((number, value)) = lines.next()? {
            recording.take(number, &value, &mut step_lines).map_err(|e| at_line(number, e))?;
            seen = Digest::of_parts(&[seen.as_bytes(), Json::from(&value).as_str().as_bytes()]);
        }
        if recording.start.run_id.is_none() {
            recording.rename(&RunId::derived(&[seen.as_bytes()]));
        }
        Ok(recording)
    }

    /// The file's own id, or the one that follows from what it says.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// How many steps it has.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Says who recorded it. A file cannot.
    #[must_use]
    pub fn by(mut self, actor: &str) -> Self {
        self.start.actor = Some(actor.to_owned());
        self
    }

    /// The run that importing this into `space` makes, without storing it; `at_ms` stands for each time in it.
    #[must_use]
    pub fn as_run(&self, space: &Space, at_ms: u64) -> Run {
        let mut steps: Vec<Step> = (0..).zip(&self.steps).map(|(ordinal, recorded)| recorded.as_step(space, ordinal, at_ms)).collect();
        steps.sort_by_key(|step| (step.step_index, step.ordinal));
        let start = self.start.clone();
        Run {
            run_id: self.run_id.clone(),
            space: space.clone(),
            goal: start.goal,
            inputs: start.inputs,
            context_snapshot_ref: start.context_snapshot_ref,
            context_snapshot_hash: start.context_snapshot_hash,
            metadata: start.metadata,
            actor: start.actor,
            started_at_ms: at_ms,
            written: None,
            steps,
            end: self.end.clone().map(|end| End {
                status: end.status,
                summary: end.summary,
                success_criteria: end.success_criteria,
                metrics: end.metrics,
                metadata: end.metadata,
                output: end.output,
                ended_at_ms: at_ms,
                written: None,
            }),
        }
    }

    /// The values that may be too large for a row.
    pub(super) fn values(&self) -> impl Iterator<Item = &Json> {
        self.start.values().chain(self.steps.iter().flat_map(Recorded::values)).chain(self.end.iter().flat_map(RunEnd::values))
    }

    /// Takes one line after the first.
    fn take(&mut self, number: usize, value: &Value, step_lines: &mut HashMap<StepId, usize>) -> Result<()> {
        if self.end.is_some() {
            return Err(Error::invalid("", "the run has ended on a line before; {\"end\": ...} is the last line"));
        }
        if value.get("run").is_some() {
            return Err(Error::invalid("", "\"run\" stands on the first line alone; one file holds one run"));
        }
        if value.get("end").is_some() {
            self.end = Some(end_line(value, &self.run_id)?);
            return Ok(());
        }
        if self.steps.len() >= limits::RUN_STEPS_MAX {
            return Err(Error::new(Code::TooLarge, format!("one run has at most {} steps", limits::RUN_STEPS_MAX)));
        }
        let before = self.steps.last().map_or(0, |recorded| recorded.before.step_index);
        let recorded = step_line(value, &self.run_id, before.saturating_add(1))?;
        if let Some(first) = recorded.before.step_id.clone().and_then(|step_id| step_lines.insert(step_id, number)) {
            return Err(Error::invalid("/step_id", format!("line {first} has the same; each step has its own")));
        }
        self.steps.push(recorded);
        Ok(())
    }

    fn rename(&mut self, run_id: &RunId) {
        self.run_id = run_id.clone();
        for recorded in &mut self.steps {
            recorded.before.run_id = run_id.clone();
            if let Some(after) = &mut recorded.after {
                after.run_id = run_id.clone();
            }
        }
        if let Some(end) = &mut self.end {
            end.run_id = run_id.clone();
        }
    }
}

impl Recorded {
    fn values(&self) -> impl Iterator<Item = &Json> {
        self.before.values().chain(self.after.iter().flat_map(StepAfter::values))
    }

    fn as_step(&self, space: &Space, ordinal: u32, at_ms: u64) -> Step {
        let before = self.before.clone();
        Step {
            step_id: before.id_in(space),
            step_index: before.step_index,
            ordinal,
            decision_id: before.decision_id,
            tool_name: before.tool_name,
            tool_input: before.tool_input,
            expected_output_signature: before.expected_output_signature,
            preconditions: before.preconditions,
            retry_policy: before.retry_policy,
            safety_level: before.safety_level,
            metadata: before.metadata,
            before_at_ms: at_ms,
            written: None,
            after: self.after.clone().map(|after| After {
                status: after.status,
                output: after.output,
                output_signature: after.output_signature,
                postconditions: after.postconditions,
                artifact_refs: after.artifact_refs,
                repair_applied: after.repair_applied,
                repair_note: after.repair_note,
                error: after.error,
                metadata: after.metadata,
                at_ms,
                written: None,
            }),
        }
    }
}

/// `{"run": {...}}`
fn run_line(value: &Value) -> Result<RunStart> {
    if value.get("run").is_none() {
        return Err(Error::invalid("", FIRST_LINE));
    }
    let mut inner = Fields::of(only(value, "run")?, "/run")?;
    let made = RunStart::from_fields(&mut inner);
    inner.refuse_unknown("a run");
    inner.build(made)
}

/// `{"end": {...}}`
fn end_line(value: &Value, run_id: &RunId) -> Result<RunEnd> {
    let mut inner = Fields::of(only(value, "end")?, "/end")?;
    let made = RunEnd::from_fields(&mut inner, Some(run_id.clone()));
    inner.refuse_unknown("the end of a run");
    inner.build(made)
}

/// The value of the only field that a line has.
fn only<'a>(line: &'a Value, name: &'static str) -> Result<&'a Value> {
    let mut outer = Fields::of(line, "")?;
    outer.require(&[name]);
    let value = outer.value(name);
    outer.refuse_unknown(&format!("the line of \"{name}\""));
    outer.build(value)
}

/// `{"tool": ..., "input": ..., ...}`
fn step_line(value: &Value, run_id: &RunId, index_by_order: u32) -> Result<Recorded> {
    let mut f = Fields::of(value, "")?;
    let step_index = f.index("step_index").unwrap_or(index_by_order);
    let before = StepBefore::from_fields(&mut f, Some(run_id.clone()), Some(step_index), CALL_NAMES);
    let status = f.choice("status", STATUS_NAMES).unwrap_or(Some(StepStatus::Success));
    let after = StepAfter::from_fields(&mut f, Some(run_id.clone()), Some(StepRef::Index(step_index)), status, RESULT_METADATA);
    if status.is_none() {
        for name in RESULT_NAMES {
            if f.has(name) {
                f.issue(name, format!("stands beside the status \"{PENDING}\", which says that nothing came of the step yet"));
            }
        }
    }
    f.refuse_unknown("a step");
    f.build(before.map(|before| Recorded { before, after }))
}

/// Puts the line before each place that is wrong.
fn at_line(number: usize, e: Error) -> Error {
    let line = format!("line {number}");
    if e.issues.is_empty() {
        // The parser sees one line at a time and counts from it.
        let message = e.message.replace(" at line 1 column ", " at column ");
        let hint = if e.code == Code::InvalidJson { "; each line is one whole JSON object" } else { "" };
        return fields::refusal(e.code, vec![Issue { path: line, message: message + hint }]);
    }
    let place = |issue: Issue| if issue.path.is_empty() { line.clone() } else { format!("{line} {}", issue.path) };
    let issues = e.issues.into_iter().map(|issue| Issue { path: place(issue.clone()), message: issue.message }).collect();
    fields::refusal(e.code, issues)
}

/// The lines of a file, one in memory at a time.
struct Lines<R> {
    reader: R,
    number: usize,
    bytes: usize,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not blank, with its number.
    fn next(&mut self) -> Result<Option<(usize, Value)>> {
        loop {
            self.line.clear();
            self.number += 1;
            let most = limits::RECORDING_LINE_BYTES_MAX as u64 + 1;
            let read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line);
            let read = read.map_err(|e| Error::new(Code::StoreUnavailable, format!("line {} cannot be read: {e}", self.number)))?;
            if read == 0 {
                return Ok(None);
            }
            self.bytes += read;
            for (size, limit, what) in
                [(read, limits::RECORDING_LINE_BYTES_MAX, "a line"), (self.bytes, limits::RECORDING_BYTES_MAX, "a recording")]
            {
                if size > limit {
                    return Err(at_line(self.number, Error::new(Code::TooLarge, format!("{what} has at most {limit} bytes"))));
                }
            }
            // Some editors put a byte order mark before the first line; it is no part of the text.
            let text = self.line.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.number == 1).unwrap_or(&self.line);
            let text = text.trim_ascii_end();
            if !text.is_empty() {
                let value = json::parse(text).map_err(|e| at_line(self.number, e))?;
                return Ok(Some((self.number, value)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
