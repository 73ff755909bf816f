//! What whoever repairs a playbook needs to know of a job that came to a halt: made of its journal and its plan alone.
//!
//! It is pure but for values that lie in blobs. It knows nothing of repairs: what is done with it is for others.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::checks::At;
use crate::compiler::plan::{Node, Plan, Step};
use crate::compiler::template::Known;
use crate::contract::{Effect, ToolError};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId};
use crate::journal::{Answer, Body, CallState, Cause, Decision, Entry, Exact, FailedCheck, LedgerRow, Status};
use crate::json::Json;
use crate::limits;
use crate::store::{Payload, Store};

/// A job that came to a halt, for whoever repairs its playbook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepairPacket {
    /// The job.
    pub job_id: JobId,
    /// Where it stands: `failed`, `waiting` where the step was handed over, `parked`.
    pub status: Status,
    /// What the playbook is for; none without a plan.
    pub goal: Option<String>,
    /// The playbook.
    pub playbook_id: String,
    /// Its version.
    pub version: u32,
    /// Digest of its component.
    pub component: Digest,
    /// Where it came to a halt, and why.
    pub failing: Failing,
    /// What the job knew.
    pub state: Reached,
    /// Steps that were done, in the order of the job.
    pub done: Vec<Done>,
    /// Steps of the plan that stand behind the failing one, in its order.
    pub remaining: Vec<Remaining>,
    /// Where the failing step stands in the plan; none without a plan.
    pub place: Option<Place>,
}

/// The step at which a job came to a halt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failing {
    /// The step that the guest had named last.
    pub step: Option<String>,
    /// What it calls.
    pub tool: Option<String>,
    /// What repeating the call does.
    pub effect: Option<Effect>,
    /// What the tool was given, or would have been given.
    pub input: Option<Json>,
    /// The call's number; none where it was not made.
    pub call: Option<u64>,
    /// What the call answered, where it is a check of the answer that does not hold.
    pub answer: Option<Json>,
    /// What the call came to, where that is an error.
    pub error: Option<ToolError>,
    /// The check that does not hold.
    pub check: Option<FailedCheck>,
    /// Whose doing it was.
    pub cause: Cause,
    /// What went wrong, for people.
    pub why: String,
    /// The entry to settle it with, while the job stands for it.
    pub seq: Option<u64>,
}

/// What a job knew when it came to a halt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reached {
    /// What it was run with.
    pub input: Json,
    /// What its steps answered.
    pub answers: BTreeMap<String, Json>,
    /// Steps whose answers are too large to stand here; the journal has them.
    pub omitted: Vec<String>,
}

/// A step that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The step.
    pub step: Option<String>,
    /// What it called.
    pub tool: String,
    /// The call's number.
    pub call: u64,
}

/// A step that was not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remaining {
    /// The step.
    pub step: String,
    /// What it calls.
    pub tool: String,
    /// How its input is made, for people.
    pub input: String,
}

/// Where a step stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// JSON pointer to the node of the plan's body that has the step in it.
    pub pointer: String,
    /// The step's number among all steps of the plan; the first is 0.
    pub index: usize,
}

/// The packet of a job as it stands.
///
/// # Errors
/// `job_state_conflict` where the job did not come to a halt; what the store says of values that lie in blobs.
pub fn packet(store: &Store, job_id: JobId, exact: &Exact, plan: Option<&Plan>) -> Result<RepairPacket> {
    let state = &exact.state;
    let calls = Calls { store, entries: &exact.entries };
    let mut failing = failing(&calls, job_id, exact)?;
    let input = store.load(&state.input)?;
    let mut reached = Reached { input, answers: BTreeMap::new(), omitted: Vec::new() };
    let (mut done, mut known) = (Vec::new(), BTreeMap::new());
    for row in state.calls.iter().filter(|row| row.state == CallState::Returned && Some(row.call) != failing.call) {
        done.push(Done { step: row.step.clone(), tool: row.tool.to_string(), call: row.call });
        let (Some(step), Some(answer)) = (&row.step, calls.answer(row)?) else { continue };
        known.insert(step.clone(), answer.value());
        if answer.as_str().len() <= limits::PACKET_ANSWER_BYTES_MAX {
            reached.answers.insert(step.clone(), answer);
        } else {
            reached.omitted.push(step.clone());
        }
    }
    let at = plan.zip(failing.step.as_deref()).and_then(|(plan, step)| place(plan, step));
    if let Some(step) = plan.zip(at.as_ref()).and_then(|(plan, place)| plan.steps().nth(place.index)) {
        would_be(&mut failing, step, &reached.input.value(), &known);
    }
    let behind = |plan: &Plan, place: &Place| {
        let remaining = |step: &Step| Remaining { step: step.id.clone(), tool: step.tool.to_string(), input: step.input.to_string() };
        let reached = |step: &&Step| !done.iter().any(|done| done.step.as_deref() == Some(&step.id));
        plan.steps().skip(place.index + 1).filter(reached).map(remaining).collect()
    };
    let remaining = plan.zip(at.as_ref()).map(|(plan, place)| behind(plan, place)).unwrap_or_default();
    Ok(RepairPacket {
        job_id,
        status: state.status(),
        goal: plan.map(|plan| plan.goal.clone()),
        playbook_id: state.playbook_id.to_string(),
        version: state.version,
        component: state.component,
        failing,
        state: reached,
        done,
        remaining,
        place: at,
    })
}

fn failing(calls: &Calls<'_>, job_id: JobId, exact: &Exact) -> Result<Failing> {
    let state = &exact.state;
    let (step, why, cause, seq) = match (&state.handed_over, &state.failure, &state.parked) {
        (Some(standing), ..) => {
            let cause = if standing.handed.at.is_some() { Cause::CheckFailed } else { Cause::Playbook };
            (standing.handed.step.clone(), standing.handed.why.clone(), cause, Some(standing.seq))
        }
        (None, Some(failure), _) => (failure.step.clone(), failure.message.clone(), failure.cause, None),
        (None, None, Some(parked)) => (state.step.as_ref().map(|(step, _)| step.clone()), parked.message.clone(), Cause::Playbook, None),
        (None, None, None) => {
            let status = state.status();
            return Err(Error::new(
                Code::JobStateConflict,
                format!("job {job_id} is {status}: there is a repair packet of a job that failed, was set aside or has handed a step over"),
            ));
        }
    };
    let check = match (&state.failure, &state.refused) {
        (Some(failure), _) => failure.failed_check(),
        (None, Some(refused)) if state.handed_over.as_ref().is_some_and(|standing| standing.handed.at.is_some()) => {
            let checked = refused.checked.clone();
            Some(FailedCheck { step: checked.step, at: checked.at, check: checked.check, verdict: checked.verdict, why: checked.why })
        }
        _ => None,
    };
    let row = state.calls.iter().rev().find(|row| row.step == step && check.as_ref().is_none_or(|check| check.at == At::After));
    let of_answer = check.as_ref().is_some_and(|check| check.at == At::After);
    Ok(Failing {
        tool: row.map(|row| row.tool.to_string()),
        effect: row.map(|row| row.effect),
        input: row.map(|row| calls.input(row)).transpose()?.flatten(),
        call: row.map(|row| row.call),
        answer: row.filter(|_| of_answer).map(|row| calls.answer(row)).transpose()?.flatten(),
        error: row.and_then(|row| calls.error(row)),
        step,
        check,
        cause,
        why,
        seq,
    })
}

/// A step whose call was not made: what it would have called, as its plan has it.
fn would_be(failing: &mut Failing, step: &Step, input: &Value, known: &BTreeMap<String, Value>) {
    failing.tool.get_or_insert_with(|| step.tool.to_string());
    failing.effect.get_or_insert(step.effect);
    if failing.input.is_none() {
        failing.input = step.input.evaluate(&Known::of(input, known)).ok().map(|value| Json::from(&value));
    }
}

/// Where the step stands. In a loop a job names it with its turn: `s3[2]`.
fn place(plan: &Plan, step: &str) -> Option<Place> {
    let named = |id: &str| plan.steps().position(|known| known.id == id).map(|index| (index, id.to_owned()));
    let (index, id) = named(step).or_else(|| named(step.rsplit_once('[')?.0))?;
    let has = |node: &Node| holds(node, &id);
    let at = plan.body.iter().position(has)?;
    Some(Place { pointer: format!("/body/{at}"), index })
}

/// True where the node is that step, is undone by it, or has it in one of its arms.
fn holds(node: &Node, id: &str) -> bool {
    let own = node.step().is_some_and(|step| step.id == id || step.compensation.as_ref().is_some_and(|undo| undo.id == id));
    own || node.arms().into_iter().flatten().any(|inner| holds(inner, id))
}

/// The journal seen by call.
struct Calls<'a> {
    store: &'a Store,
    entries: &'a [Entry],
}

impl Calls<'_> {
    fn input(&self, row: &LedgerRow) -> Result<Option<Json>> {
        let of = |entry: &&Entry| entry.seq == row.seq;
        match self.entries.iter().find(of).map(|entry| &entry.body) {
            Some(Body::Called { input, .. }) => self.store.load(input).map(Some),
            _ => Ok(None),
        }
    }

    /// The last answer behind the call: what a person said comes after what the tool did.
    fn last(&self, row: &LedgerRow) -> Option<Answer> {
        let behind = self.entries.iter().rev().take_while(|entry| entry.seq > row.seq);
        let mut behind = behind;
        behind.find_map(|entry| match &entry.body {
            Body::Returned { call, answer } if *call == row.call => Some(answer.clone()),
            Body::Resolved(resolved) if resolved.call == row.call => match &resolved.decision {
                Decision::Happened(output) => Some(Answer::Output(output.clone())),
                Decision::Fail(_) | Decision::Retry => None,
            },
            _ => None,
        })
    }

    fn answer(&self, row: &LedgerRow) -> Result<Option<Json>> {
        let load = |payload: &Payload| self.store.load(payload);
        match self.last(row) {
            Some(Answer::Output(output)) => load(&output).map(Some),
            _ => Ok(None),
        }
    }

    fn error(&self, row: &LedgerRow) -> Option<ToolError> {
        match self.last(row) {
            Some(Answer::Error(error)) => Some(error),
            _ => None,
        }
    }
}

impl RepairPacket {
    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a packet has string keys only")
    }
}
