//! A guest's questions, answered from a journal alone.
//!
//! It is the third side of [`Effects`]: like a durable job it answers from the journal, and where the journal has no more it
//! stops the guest and keeps what was asked. It has no tool, no log to write to and no clock.

use super::fork::WhatIf;
use crate::blocking;
use crate::checks::At;
use crate::contract::{Outcome, ToolError, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::journal::{
    Answer, AskedChild, ChildEnd, Cursor, Diverged, Ended, Next, NextCheck, NextChild, NextRecorded, NextWait, On, RecordedKind, State,
    shown,
};
use crate::json::Json;
use crate::limits;
use crate::sandbox::{Answering, ChildKind, ChildOutcome, Effects, GuestFailure, Interruption, Level, StepOptions, Stop, Waited};
use crate::store::{Payload, Store};

/// What a guest asked that nothing on record answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Would {
    /// The step that it had named last.
    pub step: Option<String>,
    /// What it asked, in words.
    pub what: String,
    /// The tool, where it was a call.
    pub tool: Option<ToolId>,
    /// With what.
    pub input: Option<Json>,
}

impl Would {
    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"step": self.step, "what": self.what, "tool": self.tool.as_ref().map(ToString::to_string), "input": self.input})
    }
}

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Given<T> {
    /// This is on record.
    Answer(T),
    /// Nothing is.
    Nothing,
    /// The journal has something else here.
    Diverged(Diverged),
}

/// Where answers come from.
pub(super) enum Source {
    /// The journal, in its order.
    Journal(Cursor),
    /// The journal up to an answer that is exchanged, and after it whatever fits.
    WhatIf(Box<WhatIf>),
}

/// The effects of a guest that runs against a record.
pub(super) struct OnRecord {
    pub source: Source,
    store: Store,
    state: State,
    step: Option<String>,
    /// Questions that were answered.
    pub answered: u64,
    /// The question at which the record ended.
    pub would: Option<Would>,
}

impl OnRecord {
    pub(super) fn new(source: Source, store: Store, state: State) -> Self {
        OnRecord { source, store, state, step: None, answered: 0, would: None }
    }

    /// The step that the guest named last.
    pub(super) fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    fn given<T>(&mut self, given: Given<T>, would: impl FnOnce() -> (String, Option<(ToolId, Json)>)) -> Result<T, Stop> {
        match given {
            Given::Answer(answer) => {
                self.answered += 1;
                Ok(answer)
            }
            Given::Diverged(Diverged { seq, expected, found }) => Err(Stop::Diverged { at: seq, expected, found }),
            Given::Nothing => {
                let (what, call) = would();
                let (tool, input) = call.unzip();
                self.would = Some(Would { step: self.step.clone(), what, tool, input });
                Err(Stop::Stands)
            }
        }
    }

    async fn load(&self, payload: Payload) -> Result<Json, Stop> {
        match payload {
            Payload::Inline(json) => Ok(json),
            blob @ Payload::Blob { .. } => {
                let store = self.store.clone();
                blocking::run(move || store.load(&blob)).await.map_err(Stop::Host)
            }
        }
    }

    async fn answer(&mut self, tool: &ToolId, input: Json) -> Result<Outcome, Stop> {
        let step = self.step.clone();
        let given = match &mut self.source {
            Source::Journal(cursor) => match cursor.next_call(step.as_deref(), tool, input.digest()) {
                Next::Answer { answer, .. } => Given::Answer(answer),
                Next::UnderWay { .. } | Next::Live { .. } => Given::Nothing,
                Next::Diverged(diverged) => Given::Diverged(diverged),
            },
            Source::WhatIf(what_if) => what_if.call(step.as_deref(), tool, input.digest()),
        };
        let answer = self.given(given, || (format!("a call of {tool}"), Some((tool.clone(), input))))?;
        Ok(match answer {
            Answer::Output(output) => Ok(self.load(output).await?),
            Answer::Error(error) => Err::<Json, ToolError>(error),
        })
    }

    fn number(&mut self, kind: RecordedKind) -> Result<u64, Stop> {
        let step = self.step.clone();
        let given = match &mut self.source {
            Source::Journal(cursor) => match cursor.next_recorded(step.as_deref(), kind) {
                NextRecorded::Answer(value) => Given::Answer(value.number()),
                NextRecorded::Live => Given::Nothing,
                NextRecorded::Diverged(diverged) => Given::Diverged(diverged),
            },
            Source::WhatIf(what_if) => what_if.recorded(step.as_deref(), kind),
        };
        self.given(given, || (format!("a question for {kind}"), None))
    }

    fn wait(&mut self, on: &On) -> Result<Ended, Stop> {
        let step = self.step.clone();
        let given = match &mut self.source {
            Source::Journal(cursor) => match cursor.next_wait(step.as_deref(), on) {
                NextWait::Answer(ended) => Given::Answer(ended),
                NextWait::Live | NextWait::Standing => Given::Nothing,
                NextWait::Diverged(diverged) => Given::Diverged(diverged),
            },
            Source::WhatIf(what_if) => what_if.wait(step.as_deref(), on),
        };
        self.given(given, || (format!("a wait for {}", on.in_words()), None))
    }

    async fn waited(&mut self, on: On) -> Result<Waited<Json>, Stop> {
        Ok(match self.wait(&on)? {
            Ended::Signal(payload) => Ok(self.load(payload).await?),
            Ended::Approved(answer) => Ok(answer),
            Ended::Rejected(answer) => Err(Interruption::Rejected(answer)),
            Ended::Cancelled => Err(Interruption::Cancelled),
            Ended::Expired | Ended::Elapsed | Ended::Child(_) => Err(Interruption::Expired),
        })
    }

    fn checked(&mut self, check: &Json, answer: Option<&Json>) -> Result<Result<(), GuestFailure>, Stop> {
        let (step, at) = (self.step.clone(), if answer.is_none() { At::Before } else { At::After });
        let given = match &mut self.source {
            Source::Journal(cursor) => match cursor.next_check(step.as_deref(), at, check) {
                NextCheck::Answer { checked, .. } => Given::Answer(checked),
                NextCheck::Live => Given::Nothing,
                NextCheck::Diverged(diverged) => Given::Diverged(diverged),
            },
            Source::WhatIf(what_if) => what_if.check(step.as_deref(), at, check, answer),
        };
        let checked = self.given(given, || (format!("a check {}: {check}", at.as_str()), None))?;
        if !checked.refuses(self.state.options.mode) {
            return Ok(Ok(()));
        }
        Ok(Err(GuestFailure { step, message: checked.message(), detail: Some(checked.detail()) }))
    }

    fn child(&mut self, asked: AskedChild<'_>, input: Digest) -> Result<u32, Stop> {
        let step = self.step.clone();
        let given = match &mut self.source {
            Source::Journal(cursor) => of_child(cursor.next_child(step.as_deref(), asked, input)),
            Source::WhatIf(what_if) => what_if.child(step.as_deref(), asked, input),
        };
        let what = match asked {
            AskedChild::Branch(name) => format!("a child that does branch {name:?}"),
            AskedChild::Playbook(id) => format!("a child that runs playbook {id:?}"),
        };
        self.given(given, || (what, None))
    }

    async fn outcome(&mut self, child: u32) -> Result<ChildOutcome, Stop> {
        let failed = |message: &str| Err(GuestFailure { step: None, message: message.to_owned(), detail: None });
        if self.wait(&On::Children { children: vec![child] })? == Ended::Cancelled {
            return Ok(failed("the job is to be cancelled"));
        }
        match self.state.child(child).and_then(|child| child.end.clone()) {
            Some(ChildEnd::Completed(output)) => Ok(Ok(self.load(output).await?)),
            Some(ChildEnd::Failed(why)) => Ok(Err(GuestFailure { step: why.step, message: why.message, detail: why.detail })),
            Some(ChildEnd::Cancelled) => Ok(failed("it was cancelled")),
            None => Err(Stop::Host(Error::new(Code::DataCorrupt, format!("child {child} ended and the journal does not say how")))),
        }
    }
}

pub(super) fn of_child(next: NextChild) -> Given<u32> {
    match next {
        NextChild::Answer(child) => Given::Answer(child),
        NextChild::Live => Given::Nothing,
        NextChild::Diverged(diverged) => Given::Diverged(diverged),
    }
}

/// A value as the journal would name it; nothing is written.
fn named(json: Json) -> Payload {
    let bytes = json.as_str().len();
    if bytes <= limits::INLINE_BYTES_MAX { Payload::Inline(json) } else { Payload::Blob { digest: json.digest(), bytes: bytes as u64 } }
}

fn ready<T: Send + 'static>(answer: Result<T, Stop>) -> Answering<'static, T> {
    Box::pin(std::future::ready(answer))
}

impl Effects for OnRecord {
    fn step(&mut self, id: String, _options: StepOptions) {
        self.step = Some(id);
    }

    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome> {
        Box::pin(self.answer(tool, input))
    }

    fn now(&mut self) -> Answering<'_, u64> {
        ready(self.number(RecordedKind::Now))
    }

    fn random(&mut self) -> Answering<'_, u64> {
        ready(self.number(RecordedKind::Random))
    }

    fn sleep(&mut self, ms: u64) -> Answering<'_, Waited<()>> {
        ready(self.wait(&On::Sleep { ms }).map(|ended| match ended {
            Ended::Cancelled => Err(Interruption::Cancelled),
            _ => Ok(()),
        }))
    }

    fn wait_signal(&mut self, name: String, _timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        Box::pin(self.waited(On::Signal { name }))
    }

    fn approve(&mut self, title: String, request: Json, _timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        let digest = shown(&title, &request);
        Box::pin(self.waited(On::Approval { title, request: named(request), digest }))
    }

    fn check(&mut self, check: Json, answer: Option<Json>) -> Answering<'_, Result<(), GuestFailure>> {
        ready(self.checked(&check, answer.as_ref()))
    }

    fn branch(&self) -> Option<String> {
        self.state.parent.as_ref().and_then(|parent| parent.branch.clone())
    }

    fn start_child(&mut self, kind: ChildKind, input: Json) -> Answering<'_, Result<u32, GuestFailure>> {
        let asked = match &kind {
            ChildKind::Branch(name) => AskedChild::Branch(name),
            ChildKind::Playbook(id) => AskedChild::Playbook(id),
        };
        ready(self.child(asked, input.digest()).map(Ok))
    }

    fn join(&mut self, child: u32) -> Answering<'_, ChildOutcome> {
        Box::pin(self.outcome(child))
    }

    fn first(&mut self, children: Vec<u32>) -> Answering<'_, u32> {
        let first = children.first().copied().unwrap_or_default();
        ready(self.wait(&On::Children { children }).map(|ended| match ended {
            Ended::Child(child) => child,
            _ => first,
        }))
    }

    fn cancel_child(&mut self, child: u32) -> Answering<'_, ()> {
        let given = match &mut self.source {
            Source::Journal(cursor) => of_child(cursor.next_cancel(child)),
            Source::WhatIf(what_if) => what_if.cancel(child),
        };
        ready(self.given(given, || (format!("child {child} to be cancelled"), None)).map(drop))
    }

    fn log(&mut self, _level: Level, _message: String) {}
}
