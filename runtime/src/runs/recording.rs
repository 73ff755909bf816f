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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUN: &str = "{\"run\": {\"run_id\": \"r\", \"goal\": \"g\"}}\n";

    fn check(file: &str, code: Code, message: &str) {
        match Recording::read(file.as_bytes()) {
            Ok(recording) => panic!("{file} was accepted: {recording:?}"),
            Err(e) => assert_eq!((e.code, e.message.as_str()), (code, message), "{file}"),
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_line_and_what_would_be_right() {
        let first = "a recording begins with a line {\"run\": {\"goal\": \"...\"}}";
        for (file, message) in [
            ("", format!("line 1: {first}")),
            ("\n \n", format!("line 1: {first}")),
            ("\n{\"tool\": \"t\"}", format!("line 2: {first}")),
            ("[]", format!("line 1: {first}")),
            ("{\"run\": 3}", "line 1 /run: the number 3 stands here; it must be an object".to_owned()),
            ("{\"run\": {}}", "line 1 /run/goal: is missing".to_owned()),
            ("{\"run\": {\"goal\": \"g\"}, \"goal\": \"g\"}", "line 1: \"goal\" is not a field of the line of \"run\"".to_owned()),
            (
                "{\"run\": {\"goal\": \"g\", \"input\": {}}}",
                "line 1 /run: \"input\" is not a field of a run; did you mean \"inputs\"?".to_owned(),
            ),
            (
                "{\"run\": {\"goal\": \"g\", \"run_id\": \"a b\"}}",
                "line 1 /run/run_id: character ' ' is not allowed; an id has visible characters without \"/\"".to_owned(),
            ),
        ] {
            check(file, Code::InvalidRequest, &message);
        }
        for (line, message) in [
            ("{\"tool\": \"t\", \"inptu\": {}}", "line 2: \"inptu\" is not a field of a step; did you mean \"input\"?"),
            ("{\"tool_name\": \"t\"}", "line 2 /tool: is missing; line 2: \"tool_name\" is not a field of a step; did you mean \"tool\"?"),
            ("{\"tool\": \"t\", \"tool_input\": 1}", "line 2: \"tool_input\" is not a field of a step; did you mean \"input\"?"),
            ("{\"tool\": \"t\", \"colour\": 1}", "line 2: \"colour\" is not a field of a step"),
            (
                "{\"tool\": \"t\", \"a\": 1, \"b\": 1, \"c\": 1, \"d\": 1}",
                "line 2: \"a\" is not a field of a step; line 2: \"b\" is not a field of a step; line 2: \"c\" is not a field of a step; and 1 more",
            ),
            ("{\"input\": 1}", "line 2 /tool: is missing"),
            ("[1]", "line 2: a list stands here; it must be an object"),
            ("\"x\"", "line 2: the text \"x\" stands here; it must be an object"),
            (
                "{\"tool\": \"t\", \"status\": \"ok\"}",
                "line 2 /status: the text \"ok\" is not one of \"success\", \"failed\", \"skipped\", \"partial\", \"pending\"",
            ),
            (
                "{\"tool\": \"t\", \"status\": \"pending\", \"output\": 1}",
                "line 2 /output: stands beside the status \"pending\", which says that nothing came of the step yet",
            ),
            ("{\"tool\": \"t\", \"step_index\": 0}", "line 2 /step_index: the number 0 is not a whole number from 1 to 4294967295"),
            (
                "{\"tool\": \"t\", \"step_id\": \"s\"}\n\n{\"tool\": \"t\", \"step_id\": \"s\"}",
                "line 4 /step_id: line 2 has the same; each step has its own",
            ),
            ("{\"run\": {\"goal\": \"g\"}}", "line 2: \"run\" stands on the first line alone; one file holds one run"),
            ("{\"end\": {}}", "line 2 /end/status: is missing"),
            (
                "{\"end\": {\"status\": \"success\", \"sumary\": \"\"}}",
                "line 2 /end: \"sumary\" is not a field of the end of a run; did you mean \"summary\"?",
            ),
            ("{\"end\": {\"status\": \"success\"}, \"tool\": \"t\"}", "line 2: \"tool\" is not a field of the line of \"end\""),
            (
                "{\"end\": {\"status\": \"success\"}}\n{\"tool\": \"t\"}",
                "line 3: the run has ended on a line before; {\"end\": ...} is the last line",
            ),
        ] {
            check(&(RUN.to_owned() + line), Code::InvalidRequest, message);
        }
        for (line, code, message) in [
            ("{\"tool\":", Code::InvalidJson, "line 2: EOF while parsing a value at column 8; each line is one whole JSON object"),
            (
                "{\"tool\": \"t\"} {\"tool\": \"t\"}",
                Code::InvalidJson,
                "line 2: trailing characters at column 15; each line is one whole JSON object",
            ),
            (
                "{\"tool\": \"t\", \"tool\": \"u\"}",
                Code::JsonDuplicateKey,
                "line 2: an object has the key \"tool\" twice; a key may stand once at column 26",
            ),
            (
                "{\"tool\": \"t\", \"input\": 18446744073709551616}",
                Code::JsonNumberNotExact,
                "line 2: 18446744073709551616 does not fit into 64 bits and would be rounded; send it as a string",
            ),
        ] {
            check(&(RUN.to_owned() + line), code, message);
        }
    }

    /// The blocks of the page that begin with this fence.
    fn blocks<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
        let fence = format!("\n```{fence}\n");
        page.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
    }

    #[test]
    fn the_page_about_recording_files_shows_what_is_accepted_and_what_errors_say() {
        let page = include_str!("../../../docs/RECORDING.md");
        let accepted = blocks(page, "jsonl");
        assert_eq!(accepted.len(), 2);
        for file in accepted {
            Recording::read(file.as_bytes()).unwrap();
        }
        let (wrong, messages) = (blocks(page, "jsonl wrong"), blocks(page, "text"));
        assert_eq!((wrong.len(), messages.len()), (3, 3));
        for (file, message) in wrong.iter().zip(messages) {
            assert_eq!(Recording::read(file.as_bytes()).unwrap_err().message, message);
        }
    }

    #[test]
    fn the_page_about_recording_files_names_every_field_of_every_line() {
        let page = include_str!("../../../docs/RECORDING.md");
        let object = serde_json::json!({});
        let mut run = Fields::of(&object, "").unwrap();
        RunStart::from_fields(&mut run);
        let mut end = Fields::of(&object, "").unwrap();
        RunEnd::from_fields(&mut end, None);
        let mut step = Fields::of(&object, "").unwrap();
        step.index("step_index");
        step.choice("status", STATUS_NAMES);
        StepBefore::from_fields(&mut step, None, None, CALL_NAMES);
        StepAfter::from_fields(&mut step, None, None, None, RESULT_METADATA);
        for (title, fields) in [("### The run", run), ("### A step", step), ("### The end", end)] {
            let section = page.split(title).nth(1).unwrap().split("\n#").next().unwrap();
            for name in fields.names() {
                assert!(section.contains(&format!("`{name}`")), "{title} does not name {name}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused_without_reading_on() {
        /// Endless spaces: a line without an end.
        struct Endless;
        impl std::io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b' ');
                Ok(buffer.len())
            }
        }
        let e = Recording::read(std::io::BufReader::new(RUN.as_bytes().chain(Endless))).unwrap_err();
        assert_eq!((e.code, e.message), (Code::TooLarge, "line 2: a line has at most 8388608 bytes".to_owned()));
        let lines = std::iter::repeat_n(" ".repeat(limits::RECORDING_LINE_BYTES_MAX - 1) + "\n", 33).collect::<String>();
        let e = Recording::read((RUN.to_owned() + &lines).as_bytes()).unwrap_err();
        assert_eq!((e.code, e.message), (Code::TooLarge, "line 33: a recording has at most 268435456 bytes".to_owned()));
        let steps = RUN.to_owned() + &"{\"tool\": \"t\"}\n".repeat(limits::RUN_STEPS_MAX + 1);
        check(&steps, Code::TooLarge, "line 2002: one run has at most 2000 steps");
        let value = format!("{RUN}{{\"tool\": \"t\", \"output\": \"{}\"}}", "x".repeat(limits::JSON_BYTES_MAX));
        check(&value, Code::TooLarge, "line 2 /output: has 1048578 bytes; at most 1048576 are allowed in one value");
    }

    #[test]
    fn a_reader_that_fails_says_at_which_line() {
        struct Broken;
        impl std::io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the disk is gone"))
            }
        }
        let e = Recording::read(std::io::BufReader::new(RUN.as_bytes().chain(Broken))).unwrap_err();
        assert_eq!((e.code, e.message), (Code::StoreUnavailable, "line 2 cannot be read: the disk is gone".to_owned()));
    }

    #[test]
    fn steps_count_by_their_order_from_where_a_line_says() {
        let lines =
            ["{\"tool\": \"a\"}", "{\"tool\": \"b\", \"step_index\": 5}", "{\"tool\": \"c\"}", "{\"tool\": \"d\", \"step_index\": 6}"];
        let recording = Recording::read((RUN.to_owned() + &lines.join("\r\n")).as_bytes()).unwrap();
        let run = recording.as_run(&Space::default_space(), 0);
        let indexes: Vec<_> = run.steps.iter().map(|step| (step.tool_name.as_str(), step.step_index, step.ordinal)).collect();
        assert_eq!(indexes, [("a", 1, 0), ("b", 5, 1), ("c", 6, 2), ("d", 6, 3)]);
    }

    #[test]
    fn a_file_without_a_run_id_has_the_one_that_follows_from_what_it_says() {
        let id = |file: &str| Recording::read(file.as_bytes()).unwrap().run_id().to_string();
        let file = "{\"run\": {\"goal\": \"g\"}}\n{\"tool\": \"t\", \"input\": {\"a\": 1, \"b\": 2}}\n";
        let reformatted = "\u{feff}{ \"run\":{\"goal\":\"g\"} }\r\n\n{\"input\":{\"b\":2,\"a\":1},\"tool\":\"t\"}";
        assert_eq!(id(file), id(reformatted));
        for other in [file.replace("\"g\"", "\"h\""), file.replace('2', "3"), file.to_owned() + "{\"end\": {\"status\": \"success\"}}"] {
            assert_ne!(id(file), id(&other));
        }
        let recording = Recording::read((file.to_owned() + "{\"end\": {\"status\": \"success\"}}").as_bytes()).unwrap();
        let run_id = recording.run_id();
        assert_eq!((&recording.steps[0].before.run_id, &recording.end.as_ref().unwrap().run_id), (run_id, run_id));
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(lines in prop::collection::vec(crate::runs::tests::any_object(), 0..4), junk in ".*") {
            let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
            for file in [&junk, &(RUN.to_owned() + &junk), &(RUN.to_owned() + &lines.join("\n"))] {
                let _ = Recording::read(file.as_bytes());
            }
        }
    }
}
