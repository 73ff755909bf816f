//! A recorded run as the compiler sees it: the attempts in order, bound to tool ids.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bindings::{Bindings, Bound};
use super::recorded;
use crate::checks::{At, Spec};
use crate::json::Json;
use crate::runs::{Run, StepStatus};

/// What the compiler needs to know of a run.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What the run was for.
    pub goal: String,
    /// What the agent was given; an object.
    pub inputs: Value,
    /// In the order in which they happened.
    pub attempts: Vec<Attempt>,
    /// What the run gave back, where the recording says so.
    pub output: Option<Value>,
    /// The names of the secrets that stand in it as placeholders: the recording had them as they are.
    pub secrets: BTreeSet<String>,
}

/// One recorded tool call.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `s1`, `s2`, ... by place in the run.
    pub id: String,
    /// The call as a playbook would make it.
    pub bound: Bound,
    /// What the tool answered, in the bound tool's terms; null where nothing was recorded.
    pub output: Value,
    /// How it ended; none while the recording has no answer.
    pub status: Option<StepStatus>,
    /// The error that was recorded with a failed attempt.
    pub error: Option<String>,
    /// What the recorder wrote down of the state before it and after it.
    pub checks: Vec<(At, Spec)>,
    /// True where a person or an agent had repaired the step during the run.
    pub repaired: bool,
}

impl Trace {
    /// Reads a run; `bindings` say which recorded tool is which.
    #[must_use]
    pub fn of(run: &Run, bindings: &Bindings) -> Trace {
        let mut trace = Trace::as_recorded(run, bindings);
        super::hide::hide(&mut trace);
        trace
    }

    /// The same with its secrets, which are only to be looked for.
    pub(super) fn as_recorded(run: &Run, bindings: &Bindings) -> Trace {
        let attempts = run.steps.iter().enumerate().map(|(at, step)| {
            let after = step.after.as_ref();
            // A signature says something of the answer and is not the answer: nothing can be taken out of it.
            let recorded = after.and_then(|a| a.output.as_ref()).map_or(Value::Null, Json::value);
            let bound = bindings.bind(&step.tool_name, &step.tool_input.value());
            Attempt {
                id: format!("s{}", at + 1),
                output: bound.output_of(recorded),
                bound,
                status: after.map(|a| a.status),
                error: after.and_then(|a| a.error.as_ref()).map(|e| crate::json::text_of(&e.value())),
                checks: recorded::of(step, bindings),
                repaired: after.is_some_and(|a| a.repair_applied),
            }
        });
        Trace {
            goal: run.goal.clone(),
            inputs: run.inputs.as_ref().map_or_else(|| Value::Object(serde_json::Map::new()), Json::value),
            attempts: attempts.collect(),
            output: run.end.as_ref().and_then(|end| end.output.as_ref()).map(Json::value),
            secrets: BTreeSet::new(),
        }
    }
}
