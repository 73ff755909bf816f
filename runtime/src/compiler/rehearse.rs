//! A component held against recordings that it was not made from, or not any more: what would it have done there?
//!
//! Where [`super::prove`] asks whether every call is the recorded one, this asks where the first one is that is not, and goes on
//! for as long as the recording knows an answer. It is what a repair is judged by: a patch is meant to change a step, and must not
//! change another. Nothing is touched; what no recording answers is said to be unknown and is never made up.

use serde::{Deserialize, Serialize};

use super::Bindings;
use super::lift;
use super::plan::Plan;
use super::trace::Trace;
use crate::contract::{Outcome, ToolId};
use crate::error::Result;
use crate::ids::Digest;
use crate::json::Json;
use crate::limits;
use crate::runs::Run;
use crate::sandbox::{Answering, Effects, Ending, Level, Line, Sandbox, StepOptions, Stop};

/// A run as something to answer from.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The run.
    pub run_id: String,
    /// What it was given, an object.
    pub inputs: serde_json::Value,
    /// The calls that counted, in order.
    pub lines: Vec<Line>,
    /// What it gave back; none where the recording does not say.
    pub output: Option<Json>,
    /// When it began, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Recording {
    /// Reads a run; `bindings` say which recorded tool is which.
    #[must_use]
    pub fn of(run: &Run, bindings: &Bindings) -> Recording {
        // As it was compiled, so that there are placeholders at the same places; of what is no playbook, all that counts.
        let lifted = super::lifted(run, bindings).map(|(trace, lifted)| (trace, lifted.kept));
        let (trace, kept) = lifted.unwrap_or_else(|_| {
            let trace = Trace::of(run, bindings);
            let kept = lift::kept(&trace);
            (trace, kept)
        });
        let script = super::script(Json::from(&trace.inputs), &trace, &kept);
        Recording {
            run_id: run.run_id.to_string(),
            inputs: trace.inputs,
            lines: script.lines,
            output: trace.output.as_ref().map(Json::from),
            at_ms: run.started_at_ms,
        }
    }

    /// What a job of `plan` would be given to do the same: what the plan takes of the run's inputs.
    #[must_use]
    pub fn input_of(&self, plan: &Plan) -> Json {
        let value = |p: &super::plan::Parameter| {
            let given = self.inputs.get(&p.name).cloned();
            // What was not given stands for its default; where there is none, nobody knows better than the sample.
            let value = given.or_else(|| p.default.is_none().then(|| p.sample.value()))?;
            Some((p.name.clone(), value))
        };
        Json::from(&serde_json::Value::Object(plan.parameters.iter().filter_map(value).collect()))
    }
}

/// A component that is to be held against recordings.
#[derive(Clone)]
pub struct Subject {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub component: Vec<u8>,
}

/// Which calls may be answered although they are not the recorded ones.
pub enum Leeway<'a> {
    /// Every step's: who asks wants to see what would be called.
    All,
    /// These steps': they are meant to do something else.
    Of(&'a dyn Fn(&str) -> bool),
}

/// What a component did on a recording.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// Each call, in order.
    pub calls: Vec<Call>,
    /// Places of recorded calls that were not made.
    pub left_out: Vec<usize>,
    /// How it ended.
    pub end: End,
}

/// One call of a rehearsal.
#[derive(Debug, Clone)]
pub struct Call {
    /// The step that made it.
    pub step: String,
    /// What it called.
    pub tool: ToolId,
    /// With what.
    pub input: Json,
    /// How it was answered.
    pub answered: Answered,
}

/// Where the answer to a call came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The recording has this very call.
    AsRecorded(usize),
    /// The recording has a call of the same tool at this place, with another input.
    OfAnother(usize),
    /// The recording has no answer, and what comes after is not known.
    Not,
}

/// How a rehearsal ended.
#[derive(Debug, Clone)]
pub enum End {
    /// It gave this back.
    Output(Json),
    /// The recording has no answer to its last call.
    Unknown(String),
    /// It failed by itself.
    Failed {
        /// At which step.
        step: Option<String>,
        /// Why.
        why: String,
    },
}

/// Runs `subject` on a recording.
///
/// # Errors
/// As [`Sandbox::load`].
pub async fn rehearse(
    sandbox: &Sandbox,
    provides: impl Fn(&ToolId) -> bool,
    subject: &Subject,
    input: &Json,
    recording: &Recording,
    leeway: Leeway<'_>,
) -> Result<Rehearsed> {
    let playbook = sandbox.load(&subject.digest, &provides, || Ok(subject.component.clone()))?;
    // What may be answered is asked for with steps that are known only once they call, so that it is settled beforehand.
    let may = match leeway {
        Leeway::All => None,
        Leeway::Of(may) => {
            let steps = super::emit::read_plan(&subject.component);
            let super::emit::Explained::ByPlan(plan) = steps else { return Ok(Rehearsed::nothing("it has no plan")) };
            Some(plan.steps().map(|step| step.id.clone()).filter(|id| may(id)).collect())
        }
    };
    let effects = Answers { lines: recording.lines.clone(), at_ms: recording.at_ms, may, next: 0, step: String::new(), calls: Vec::new() };
    let finished = sandbox.run(&playbook, input, Box::new(effects), limits::JOB_FUEL).await;
    let effects: Box<dyn std::any::Any> = finished.effects;
    let Ok(effects) = effects.downcast::<Answers>() else { return Ok(Rehearsed::nothing("it lost its recording")) };
    let Answers { calls, lines, step, .. } = *effects;
    let made: std::collections::BTreeSet<usize> = calls.iter().filter_map(Call::place).collect();
    let end = match finished.ending {
        Ending::Output(output) => End::Output(output),
        Ending::Failure { step, message, .. } => End::Failed { step, why: message },
        Ending::Stopped(Stop::Diverged { expected, found, .. }) => {
            End::Unknown(format!("the recording has {expected}, and this would call {found}"))
        }
        Ending::Stopped(Stop::NotSupported(what)) => End::Unknown(what),
        Ending::Broke(why) | Ending::OverTime(why) | Ending::OverLimit(why) => End::Failed { step: Some(step), why },
        other => End::Failed { step: Some(step), why: format!("{other:?}") },
    };
    Ok(Rehearsed { left_out: (0..lines.len()).filter(|at| !made.contains(at)).collect(), calls, end })
}

impl Rehearsed {
    fn nothing(why: &str) -> Rehearsed {
        Rehearsed { calls: Vec::new(), left_out: Vec::new(), end: End::Unknown(why.to_owned()) }
    }
}

impl Call {
    fn place(&self) -> Option<usize> {
        match self.answered {
            Answered::AsRecorded(at) | Answered::OfAnother(at) => Some(at),
            Answered::Not => None,
        }
    }
}

/// A recording that answers what it can.
struct Answers {
    lines: Vec<Line>,
    at_ms: u64,
    /// The steps whose calls may be others; none: all.
    may: Option<std::collections::BTreeSet<String>>,
    next: usize,
    step: String,
    calls: Vec<Call>,
}

/// `s3` of `s3[2]`: the step in the plan that a turn of a loop belongs to.
#[must_use]
pub fn step_of_turn(step: &str) -> &str {
    step.split('[').next().unwrap_or(step)
}

impl Answers {
    fn answer(&mut self, tool: &ToolId, input: &Json) -> Result<Outcome, Stop> {
        let rest = &self.lines[self.next..];
        let same = rest.iter().position(|line| line.tool == *tool && line.input == *input).map(|skipped| self.next + skipped);
        let allowed = self.may.as_ref().is_none_or(|may| may.contains(step_of_turn(&self.step)));
        let alike = || rest.first().filter(|line| allowed && line.tool == *tool).map(|_| self.next);
        let answered = match (same, alike()) {
            (Some(at), _) => Answered::AsRecorded(at),
            (None, Some(at)) => Answered::OfAnother(at),
            (None, None) => Answered::Not,
        };
        self.calls.push(Call { step: self.step.clone(), tool: tool.clone(), input: input.clone(), answered });
        match answered {
            Answered::AsRecorded(at) | Answered::OfAnother(at) => {
                self.next = at + 1;
                Ok(self.lines[at].outcome.clone())
            }
            Answered::Not => {
                let expected = rest.first().map_or_else(|| "no further call".to_owned(), |line| format!("{} {}", line.tool, line.input));
                Err(Stop::Diverged { at: self.next as u64, expected, found: format!("{tool} {input}") })
            }
        }
    }
}

impl Effects for Answers {
    fn step(&mut self, id: String, _options: StepOptions) {
        self.step = id;
    }

    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome> {
        Box::pin(std::future::ready(self.answer(tool, &input)))
    }

    fn now(&mut self) -> Answering<'_, u64> {
        Box::pin(std::future::ready(Ok(self.at_ms)))
    }

    fn random(&mut self) -> Answering<'_, u64> {
        Box::pin(std::future::ready(Err(Stop::NotSupported("a recorded run has no random numbers to answer from".to_owned()))))
    }

    fn log(&mut self, _level: Level, _message: String) {}
}

/// What a patched plan comes to on one recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// The recording.
    pub run_id: String,
    /// In a word.
    pub verdict: Verdict,
    /// The first step that does otherwise; `output` is what the playbook gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What it does otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Calls that were made as recorded.
    pub calls_as_recorded: usize,
    /// Whether the recording answered all of it. False: what comes after the last answered call is not known.
    pub answered_to_the_end: bool,
}

/// What a recording says of a patched plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every call and the output are the recorded ones.
    Same,
    /// It does otherwise where the patch says so, and nowhere else.
    Differs,
    /// It fails, or does otherwise at a step that the patch does not touch.
    Broken,
}

/// What a patch is about.
pub struct Touched<'a> {
    /// Steps that are new or others.
    pub steps: &'a std::collections::BTreeSet<String>,
    /// Whether steps were taken out.
    pub removes: bool,
    /// Whether what is given back is another.
    pub output: bool,
}

/// Judges a rehearsal of a patched plan.
#[must_use]
pub fn held(recording: &Recording, rehearsed: &Rehearsed, touched: &Touched<'_>) -> Held {
    let as_recorded = rehearsed.calls.iter().filter(|call| matches!(call.answered, Answered::AsRecorded(_))).count();
    let complete = !matches!(rehearsed.end, End::Unknown(_));
    let say = |verdict, step: Option<String>, why: String| Held {
        run_id: recording.run_id.clone(),
        verdict,
        step,
        why: (!why.is_empty()).then_some(why),
        calls_as_recorded: as_recorded,
        answered_to_the_end: complete,
    };
    let odd = rehearsed.calls.iter().find(|call| !matches!(call.answered, Answered::AsRecorded(_)));
    let meant = |step: &str| touched.steps.contains(step_of_turn(step));
    let found = |call: &Call| format!("it would call {} {}", call.tool, super::prove::clip(call.input.as_str()));
    if let Some(call) = rehearsed.calls.iter().find(|call| !matches!(call.answered, Answered::AsRecorded(_)) && !meant(&call.step)) {
        return say(
            Verdict::Broken,
            Some(call.step.clone()),
            format!("{}, which is not recorded, and the patch does not touch this step", found(call)),
        );
    }
    if let End::Failed { step, why } = &rehearsed.end {
        return say(Verdict::Broken, step.clone(), why.clone());
    }
    if let Some(call) = odd {
        return say(Verdict::Differs, Some(call.step.clone()), found(call));
    }
    if let (Some(at), false) = (rehearsed.left_out.first(), complete) {
        let line = &recording.lines[*at];
        return say(Verdict::Broken, None, format!("it does not come to the recorded call {} of {}", at + 1, line.tool));
    }
    if let Some(at) = rehearsed.left_out.first() {
        let line = &recording.lines[*at];
        let why = format!("it does not make the recorded call {} of {}", at + 1, line.tool);
        let verdict = if touched.removes || !touched.steps.is_empty() { Verdict::Differs } else { Verdict::Broken };
        return say(verdict, None, why);
    }
    match &rehearsed.end {
        End::Output(output) if recording.output.as_ref().is_some_and(|recorded| recorded != output) => {
            let meant = touched.output || touched.removes || !touched.steps.is_empty();
            let why = format!("it gives back {}", super::prove::clip(output.as_str()));
            say(if meant { Verdict::Differs } else { Verdict::Broken }, Some("output".to_owned()), why)
        }
        _ => say(Verdict::Same, None, String::new()),
    }
}
