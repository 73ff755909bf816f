//! Each run against a plan that was learned from the others: how the plan does with a run that it does not know.
//!
//! It is one more learning for each run. They know nothing of each other and go side by side; of long runs none is made,
//! and the answer says so.

use serde::Serialize;

use super::follow::{self, Followed};
use super::side_by_side::side_by_side;
use super::{Pass, plan_of};
use crate::limits;
use crate::runs::Run;

/// A run, and what a plan that was learned from the others would have done in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HeldOut {
    /// The run that was left out.
    pub run_id: String,
    /// What the plan would have done.
    pub came_to: CameTo,
    /// Why not the same; empty where it is.
    pub why: String,
}

/// What a plan does with a run that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameTo {
    /// Exactly the recorded calls.
    Same,
    /// It would have stopped, or there is no such plan.
    Refused,
    /// Another call than the recorded one.
    Different,
}

/// Each run against a plan that was learned from the others; or why there is none though there are enough runs.
pub(super) fn of(passes: &[Pass<'_>], runs: &[Run]) -> (Vec<HeldOut>, Option<String>) {
    if passes.len() < limits::LEARN_HELD_OUT_RUNS_MIN {
        return (Vec::new(), None);
    }
    let calls: usize = passes.iter().map(|pass| pass.attempts.len()).sum();
    if calls > limits::LEARN_HELD_OUT_CALLS_MAX {
        let most = limits::LEARN_HELD_OUT_CALLS_MAX;
        let why = format!(
            "the runs have {calls} calls together; each run is held against a plan that was learned without it up to {most}, since that is one more learning for each"
        );
        return (Vec::new(), Some(why));
    }
    (side_by_side(passes.len(), |at| without(passes, runs, at)), None)
}

/// The run at `left_out` against a plan that was learned from the others.
fn without(passes: &[Pass<'_>], runs: &[Run], left_out: usize) -> HeldOut {
    let others: Vec<Pass<'_>> = passes.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, pass)| pass.again()).collect();
    let (came_to, why) = match plan_of(&others) {
        Err(refusal) => (CameTo::Refused, format!("the other runs have no common plan: {}", refusal.why)),
        Ok(found) => match follow::follow_checked(&found.plan, &passes[left_out]) {
            Followed::Right(..) => (CameTo::Same, String::new()),
            Followed::Refused(why) => (CameTo::Refused, why),
            Followed::Wrong(why) => (CameTo::Different, why),
        },
    };
    HeldOut { run_id: runs[left_out].run_id.to_string(), came_to, why }
}
