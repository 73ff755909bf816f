//! What if: the guest runs once more, and one answer is another one.
//!
//! Up to that answer it is held to its journal as in a replay. After it, a question that is on record further down gets the answer
//! that it got there, whatever its place; the first one that is not stops the guest and is what it would have done. No job is
//! made, and nothing is done.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{Given, OnRecord, Source, Would, of_child};
use super::replay;
use crate::checks::{At, Finding, Spec};
use crate::contract::{ToolError, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId};
use crate::journal::{
    Answer, AskedChild, Body, Checked, Cursor, Decision, Diverged, Ended, Entry, Exact, Next, NextCheck, NextRecorded, NextWait, On,
    RecordedKind, Wake,
};
use crate::json::Json;
use crate::sandbox::{Ending, Playbook, Sandbox, Stop};
use crate::store::{Payload, Store};

/// What came of a fork.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    /// The job.
    pub job_id: JobId,
    /// The entry whose answer was exchanged.
    pub at: u64,
    /// The questions from there on, in their order.
    pub asked: Vec<Asked>,
    /// How it ended.
    pub ending: ForkEnding,
}

/// A question behind the fork, and where its answer came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The question in words.
    pub what: String,
    /// The entry that asked it in the journal; none for the one whose answer was exchanged.
    pub recorded_at: Option<u64>,
}

/// How a fork ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ForkEnding {
    /// With this output.
    Output(Json),
    /// With the playbook's own failure, or broken.
    Failure(Value),
    /// At a question that is not on record: this it would have done.
    Would(Would),
    /// The guest does not do again what the journal says it did before the fork.
    Diverged(String),
}

/// The answer that is given instead.
#[derive(Debug, Clone)]
enum Told {
    Answer(Answer),
    Number(u64),
    Ended(Ended),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum InsteadOfAnswer {
    Output(Json),
    Error(ToolError),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum InsteadOfEnd {
    Elapsed,
    Expired,
    Cancelled,
    Signal(Json),
    Approved(Json),
    Rejected(Json),
    Child(u32),
}

/// What else is on record, question by question.
#[derive(Debug)]
struct OnFile<Q, A> {
    seq: u64,
    question: Q,
    answer: A,
}

type Calls = VecDeque<OnFile<(u64, ToolId, Digest), Option<Answer>>>;

/// The answers of a fork.
pub(super) struct WhatIf {
    before: Cursor,
    told: Option<Told>,
    calls: Calls,
    numbers: VecDeque<OnFile<RecordedKind, u64>>,
    waits: VecDeque<OnFile<On, Option<Ended>>>,
    checks: VecDeque<(u64, Checked)>,
    after: Cursor,
    pub asked: Vec<Asked>,
}

/// Runs the guest with `answer` in the place of what entry `at` says.
///
/// # Errors
/// `entry_not_found`; `invalid_request` where the entry is no answer, or `answer` is none for it.
pub async fn fork(
    sandbox: &Sandbox,
    playbook: &Playbook,
    store: &Store,
    job_id: JobId,
    exact: Exact,
    at: u64,
    answer: &Json,
) -> Result<Fork> {
    let Exact { entries, state, .. } = exact;
    let entry = usize::try_from(at).ok().and_then(|at| entries.get(at.checked_sub(1)?));
    let entry =
        entry.ok_or_else(|| Error::new(Code::EntryNotFound, format!("job {job_id} has {} entries and no entry {at}", entries.len())))?;
    let told = told(entry, answer)?;
    let what_if = WhatIf::new(&entries, at, told);
    let input = replay::load(store, &state).await?;
    let effects = OnRecord::new(Source::WhatIf(Box::new(what_if)), store.clone(), state.clone());
    let finished = sandbox.run(playbook, &input, Box::new(effects), state.fuel).await;
    let (ending, _, effects) = replay::taken(finished)?;
    let ending = match ending {
        Ending::Stopped(Stop::Host(e)) => return Err(e),
        Ending::Stopped(Stop::Stands) => {
            ForkEnding::Would(effects.would.clone().ok_or_else(|| Error::new(Code::InternalError, "a guest stands at no question"))?)
        }
        Ending::Stopped(Stop::Diverged { at, expected, found }) => {
            ForkEnding::Diverged(format!("entry {at} of the journal is {expected}, but the playbook came with {found}"))
        }
        Ending::Output(output) => ForkEnding::Output(output),
        Ending::Failure { step, message, detail } => {
            ForkEnding::Failure(json!({"step": step.or_else(|| effects.step().map(str::to_owned)), "message": message, "detail": detail}))
        }
        other => ForkEnding::Failure(json!({"step": effects.step(), "message": format!("it broke: {other:?}")})),
    };
    let Source::WhatIf(what_if) = effects.source else { return Err(Error::new(Code::InternalError, "a fork has its own answers")) };
    if what_if.told.is_some() && !matches!(ending, ForkEnding::Diverged(_)) {
        let never = format!("the guest ended before it asked what entry {at} answers");
        return Ok(Fork { job_id, at, asked: what_if.asked, ending: ForkEnding::Diverged(never) });
    }
    Ok(Fork { job_id, at, asked: what_if.asked, ending })
}

/// Reads the answer that this entry is to have instead.
fn told(entry: &Entry, answer: &Json) -> Result<Told> {
    let wrong = |takes: &str| Error::invalid("/answer", format!("entry {} is {}, and takes {takes}", entry.seq, entry.body.kind()));
    let value = answer.value();
    match &entry.body {
        Body::Returned { .. } => {
            let takes = r#"{"output": VALUE} or {"error": {"kind": "failed", "message": TEXT}}"#;
            Ok(Told::Answer(match serde_json::from_value(value).map_err(|_| wrong(takes))? {
                InsteadOfAnswer::Output(output) => Answer::Output(Payload::Inline(output)),
                InsteadOfAnswer::Error(error) => Answer::Error(error),
            }))
        }
        Body::Recorded { .. } => value.as_u64().map(Told::Number).ok_or_else(|| wrong("a whole number")),
        Body::Woken(woken) => {
            let takes = match woken.by {
                Wake::Approved(_) | Wake::Rejected(_) => r#"{"approved": VALUE}, {"rejected": VALUE}, "expired" or "cancelled""#,
                Wake::Signal { .. } => r#"{"signal": VALUE}, "expired" or "cancelled""#,
                Wake::Child { .. } => r#"{"child": NUMBER} or "cancelled""#,
                Wake::Elapsed => r#""elapsed" or "cancelled""#,
                Wake::Expired | Wake::Abandoned | Wake::Cancelled => {
                    r#""elapsed", "expired", "cancelled", {"signal": VALUE}, {"approved": VALUE} or {"rejected": VALUE}"#
                }
            };
            Ok(Told::Ended(match serde_json::from_value(value).map_err(|_| wrong(takes))? {
                InsteadOfEnd::Elapsed => Ended::Elapsed,
                InsteadOfEnd::Expired => Ended::Expired,
                InsteadOfEnd::Cancelled => Ended::Cancelled,
                InsteadOfEnd::Signal(payload) => Ended::Signal(Payload::Inline(payload)),
                InsteadOfEnd::Approved(answer) => Ended::Approved(answer),
                InsteadOfEnd::Rejected(answer) => Ended::Rejected(answer),
                InsteadOfEnd::Child(child) => Ended::Child(child),
            }))
        }
        other => {
            let what = format!("entry {} is {}; only the answers returned, recorded and woken can be exchanged", entry.seq, other.kind());
            Err(Error::invalid("/at", what))
        }
    }
}

impl WhatIf {
    fn new(entries: &[Entry], at: u64, told: Told) -> WhatIf {
        let split = entries.partition_point(|entry| entry.seq < at);
        let (before, after) = entries.split_at(split);
        let mut what_if = WhatIf {
            before: Cursor::new(before.to_vec()),
            told: Some(told),
            calls: Calls::new(),
            numbers: VecDeque::new(),
            waits: VecDeque::new(),
            checks: VecDeque::new(),
            // Children keep their order: what they are was on record before the fork or is so after it.
            after: Cursor::new(after.iter().filter(|entry| matches!(entry.body, Body::ChildStarted(_))).cloned().collect()),
            asked: Vec::new(),
        };
        let signals: Vec<(u64, &Payload)> = entries
            .iter()
            .filter_map(|entry| if let Body::Signalled(signal) = &entry.body { Some((entry.seq, &signal.payload)) } else { None })
            .collect();
        for entry in after.iter().skip(1) {
            what_if.file(entry, &signals);
        }
        what_if
    }

    /// Puts one entry behind the fork on file.
    fn file(&mut self, entry: &Entry, signals: &[(u64, &Payload)]) {
        let seq = entry.seq;
        match &entry.body {
            Body::Called { call, tool, input_digest, .. } => {
                self.calls.push_back(OnFile { seq, question: (*call, tool.clone(), *input_digest), answer: None });
            }
            Body::Returned { call, answer } => self.answered(*call, answer.clone()),
            Body::Resolved(resolved) => match &resolved.decision {
                Decision::Happened(output) => self.answered(resolved.call, Answer::Output(output.clone())),
                // A call that was handed over has its error, and keeps it.
                Decision::Fail(error) => self.failed(resolved.call, error),
                Decision::Retry => self.calls.retain(|call| call.question.0 < resolved.call),
            },
            Body::Retrying(retrying) => self.calls.retain(|call| call.question.0 < retrying.call),
            Body::Reattempted(again) => self.calls.retain(|call| call.question.0 < again.from_call),
            Body::Checked(checked) => self.checks.push_back((seq, checked.clone())),
            Body::Recorded { value, .. } => self.numbers.push_back(OnFile { seq, question: value.kind(), answer: value.number() }),
            Body::Waiting(waiting) if !matches!(waiting.on, On::External { .. } | On::Pause { .. }) => {
                self.waits.push_back(OnFile { seq, question: waiting.on.clone(), answer: None });
            }
            Body::Woken(woken) => {
                let ended = match &woken.by {
                    Wake::Elapsed => Some(Ended::Elapsed),
                    Wake::Expired | Wake::Abandoned => Some(Ended::Expired),
                    Wake::Cancelled => Some(Ended::Cancelled),
                    Wake::Signal { seq } => signals.iter().find(|(at, _)| at == seq).map(|(_, payload)| Ended::Signal((*payload).clone())),
                    Wake::Approved(verdict) => Some(Ended::Approved(verdict.answer.clone())),
                    Wake::Rejected(verdict) => Some(Ended::Rejected(verdict.answer.clone())),
                    Wake::Child { child } => Some(Ended::Child(*child)),
                };
                if let Some(wait) = self.waits.back_mut().filter(|wait| wait.answer.is_none()) {
                    wait.answer = ended;
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, call: u64, answer: Answer) {
        if let Some(open) = self.calls.iter_mut().find(|open| open.question.0 == call) {
            open.answer = Some(answer);
        }
    }

    fn failed(&mut self, call: u64, error: &ToolError) {
        if let Some(open) = self.calls.iter_mut().find(|open| open.question.0 == call && open.answer.is_none()) {
            open.answer = Some(Answer::Error(error.clone()));
        }
    }

    fn exchanged<T>(&mut self, what: String, answer: T) -> Given<T> {
        self.told = None;
        self.asked.push(Asked { what, recorded_at: None });
        Given::Answer(answer)
    }

    /// The first answer on file to this question; each is given once.
    fn on_file<Q, A>(file: &mut VecDeque<OnFile<Q, Option<A>>>, asked: &mut Vec<Asked>, what: String, is: impl Fn(&Q) -> bool) -> Given<A> {
        let Some(at) = file.iter().position(|row| is(&row.question) && row.answer.is_some()) else { return Given::Nothing };
        let row = file.remove(at);
        match row.and_then(|row| row.answer.map(|answer| (row.seq, answer))) {
            Some((seq, answer)) => {
                asked.push(Asked { what, recorded_at: Some(seq) });
                Given::Answer(answer)
            }
            None => Given::Nothing,
        }
    }

    pub(super) fn call(&mut self, step: Option<&str>, tool: &ToolId, input: Digest) -> Given<Answer> {
        let what = format!("a call of {tool} with the input of digest {input}");
        let Some(told) = self.told.clone() else {
            return Self::on_file(&mut self.calls, &mut self.asked, what, |(_, called, digest)| called == tool && *digest == input);
        };
        match (self.before.next_call(step, tool, input), told) {
            (Next::Answer { answer, .. }, _) => Given::Answer(answer),
            (Next::UnderWay { .. }, Told::Answer(answer)) => self.exchanged(what, answer),
            (Next::UnderWay { .. } | Next::Live { .. }, _) => self.elsewhere(what),
            (Next::Diverged(diverged), _) => Given::Diverged(diverged),
        }
    }

    pub(super) fn recorded(&mut self, step: Option<&str>, kind: RecordedKind) -> Given<u64> {
        let what = format!("a question for {kind}");
        let Some(told) = self.told.clone() else {
            let Some(at) = self.numbers.iter().position(|row| row.question == kind) else { return Given::Nothing };
            let row = self.numbers.remove(at).expect("its place was just found");
            self.asked.push(Asked { what, recorded_at: Some(row.seq) });
            return Given::Answer(row.answer);
        };
        match (self.before.next_recorded(step, kind), told) {
            (NextRecorded::Answer(value), _) => Given::Answer(value.number()),
            (NextRecorded::Live, Told::Number(number)) => self.exchanged(what, number),
            (NextRecorded::Live, _) => self.elsewhere(what),
            (NextRecorded::Diverged(diverged), _) => Given::Diverged(diverged),
        }
    }

    pub(super) fn wait(&mut self, step: Option<&str>, on: &On) -> Given<Ended> {
        let what = format!("a wait for {}", on.in_words());
        let Some(told) = self.told.clone() else {
            return Self::on_file(&mut self.waits, &mut self.asked, what, |waited| waited == on);
        };
        match (self.before.next_wait(step, on), told) {
            (NextWait::Answer(ended), _) => Given::Answer(ended),
            (NextWait::Standing, Told::Ended(ended)) => self.exchanged(what, ended),
            (NextWait::Standing | NextWait::Live, _) => self.elsewhere(what),
            (NextWait::Diverged(diverged), _) => Given::Diverged(diverged),
        }
    }

    /// After the fork, what can be judged from the answer is judged anew; of the world, what was found out then still counts.
    pub(super) fn check(&mut self, step: Option<&str>, at: At, check: &Json, answer: Option<&Json>) -> Given<Checked> {
        let what = format!("a check {}: {check}", at.as_str());
        if self.told.is_some() {
            return match self.before.next_check(step, at, check) {
                NextCheck::Answer { checked, .. } => Given::Answer(checked),
                NextCheck::Live => self.elsewhere(what),
                NextCheck::Diverged(diverged) => Given::Diverged(diverged),
            };
        }
        let on_file = self.checks.iter().position(|(_, filed)| filed.at == at && filed.check == *check);
        let filed = on_file.and_then(|place| self.checks.remove(place));
        let judged = Spec::parse(&check.value()).ok().and_then(|spec| spec.judge(answer.map(Json::value).as_ref()));
        let (recorded_at, checked) = match (judged, filed) {
            (Some(Finding { verdict, why }), filed) => {
                let step = step.map(str::to_owned);
                let checked = Checked { step, at, check: check.clone(), verdict, why, accepted: false };
                (filed.map(|(seq, _)| seq), checked)
            }
            (None, Some((seq, checked))) => (Some(seq), checked),
            (None, None) => return Given::Nothing,
        };
        self.asked.push(Asked { what, recorded_at });
        Given::Answer(checked)
    }

    pub(super) fn child(&mut self, step: Option<&str>, asked: AskedChild<'_>, input: Digest) -> Given<u32> {
        let next = if self.told.is_some() { self.before.next_child(step, asked, input) } else { self.after.next_child(step, asked, input) };
        match of_child(next) {
            // After the fork it is one that is not on record, where it is another than the next one that is.
            Given::Diverged(_) if self.told.is_none() => Given::Nothing,
            given => given,
        }
    }

    pub(super) fn cancel(&mut self, child: u32) -> Given<u32> {
        if self.told.is_some() { of_child(self.before.next_cancel(child)) } else { Given::Answer(child) }
    }

    /// The journal before the fork has ended, and this is not the question that the fork answers.
    fn elsewhere<T>(&self, found: String) -> Given<T> {
        Given::Diverged(Diverged { seq: 0, expected: "the question that the exchanged answer belongs to".to_owned(), found })
    }
}

impl Fork {
    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let asked: Vec<Value> = self.asked.iter().map(|asked| json!({"what": asked.what, "recorded_at": asked.recorded_at})).collect();
        let mut shown = json!({"job_id": self.job_id, "at": self.at, "asked": asked});
        let (word, value) = match &self.ending {
            ForkEnding::Output(output) => ("output", output.value()),
            ForkEnding::Failure(failure) => ("failure", failure.clone()),
            ForkEnding::Would(would) => ("would", would.to_json()),
            ForkEnding::Diverged(how) => ("diverged", how.as_str().into()),
        };
        let fields = shown.as_object_mut().expect("an object was written above");
        fields.insert("ending".to_owned(), word.into());
        fields.insert(word.to_owned(), value);
        shown
    }
}
