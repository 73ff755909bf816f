//! The entries about checks, and about what is handed over to a person.
//!
//! Its job: their words, and what the fold keeps of them. A check is judged once; a resumed guest gets the same verdict again.
//! Nothing that was handed over goes on by itself: somebody says what became of it ([`Resolved`](super::Resolved)).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::control::Decision;
use super::entry::{Cause, Failure};
use super::options::Mode;
use super::state::{CallState, State};
use super::waits::ChildEnd;
use crate::checks::{At, Verdict};
use crate::json::Json;
use crate::store::Payload;

/// A check was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// The step that the guest had named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Before the step's call, or of its answer.
    pub at: At,
    /// What was asked, as [`Spec`](crate::checks::Spec) reads it.
    pub check: Json,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, for people.
    pub why: String,
    /// True where the job goes on all the same: a person gave the step's answer, or the job is to be cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// The job stands until a person says what became of a step: its call came to an error, or a check of it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedOver {
    /// The call that it is about; where the check stands before the call, the number that the call is to have.
    pub call: u64,
    /// The step that the guest had named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Where the check stands that does not hold; none where the call came to an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// What went wrong, for people.
    pub why: String,
}

/// What a person is to see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The place of its entry.
    pub seq: u64,
    /// What the entry says.
    pub handed: HandedOver,
}

/// A check by which a step was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The place of its entry.
    pub seq: u64,
    /// What the entry says.
    pub checked: Checked,
    /// The number of the next call when it was judged.
    pub next_call: u64,
}

/// The place at which a job failed by a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// The step.
    pub step: Option<String>,
    /// Before its call, or of its answer.
    pub at: At,
    /// What was asked.
    pub check: Json,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, for people.
    pub why: String,
}

/// The `kind` in the detail of a failure that comes of a check.
const KIND: &str = "check_failed";

impl Checked {
    /// Whether the step must not go on by it.
    #[must_use]
    pub fn refuses(&self, mode: Mode) -> bool {
        !self.accepted && mode.refuses(self.verdict)
    }

    /// What the guest is told of it, for people.
    #[must_use]
    pub fn message(&self) -> String {
        let spec = crate::checks::Spec::read(&self.check.value()).map_or_else(|_| self.check.to_string(), |spec| spec.to_string());
        let (when, what) = match (self.at, self.verdict) {
            (At::Before, Verdict::Unknown) => ("before it", "nobody can tell whether"),
            (At::After, Verdict::Unknown) => ("after it", "nobody can tell whether"),
            (At::Before, _) => ("before it", "it does not hold that"),
            (At::After, _) => ("after it", "it does not hold that"),
        };
        format!("check_failed: {when}, {what} {spec}: {}", self.why)
    }

    /// The same for programs. By it the host knows a failure again that a guest hands on.
    #[must_use]
    pub fn detail(&self) -> Json {
        let Checked { step, at, check, verdict, why, .. } = self;
        let fields = json!({"kind": KIND, "step": step, "at": at, "check": check.value(), "verdict": verdict, "why": why});
        Json::from(&fields)
    }
}

impl Failure {
    /// The check by which the job failed; none where its cause is another.
    #[must_use]
    pub fn failed_check(&self) -> Option<FailedCheck> {
        let detail = self.detail.as_ref().filter(|_| self.cause == Cause::CheckFailed)?;
        let mut fields = detail.value();
        fields.as_object_mut()?.remove("kind");
        serde_json::from_value(fields).ok()
    }
}

impl FailedCheck {
    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("it has string keys only")
    }
}

impl State {
    /// Whose doing it is where the guest fails with this detail: a check's, where it hands on what it was told of one.
    #[must_use]
    pub fn cause_of(&self, detail: Option<&Json>) -> Cause {
        let Some(detail) = detail else { return Cause::Playbook };
        let of_own = self.refused.as_ref().is_some_and(|refused| refused.checked.detail() == *detail);
        let of_child = || {
            self.children.iter().any(|child| {
                matches!(&child.end, Some(ChildEnd::Failed(failure)) if failure.cause == Cause::CheckFailed && failure.detail.as_ref() == Some(detail))
            })
        };
        if of_own || of_child() { Cause::CheckFailed } else { Cause::Playbook }
    }

    /// True where a person gave the answer of the step that this check is about.
    #[must_use]
    pub fn accepts(&self, check: &Json) -> bool {
        self.accepted.contains(&(self.next_call(), check.digest()))
    }

    /// True where the last call can be made again: no wait and no child stands behind it.
    #[must_use]
    pub fn may_go_back(&self) -> bool {
        self.fixed_calls < self.calls.len()
    }

    /// A call that came to an error, or a check that refused its step, and nothing after it.
    pub(super) fn may_be_handed_over(&self, handed: &HandedOver) -> bool {
        let last = self.calls.last();
        match handed.at {
            None => last.is_some_and(|row| row.call == handed.call && row.state == CallState::Errored),
            Some(at) => self.refused.as_ref().is_some_and(|refused| {
                let about = if at == At::Before { refused.next_call } else { refused.next_call.saturating_sub(1) };
                refused.checked.at == at && handed.call == about && (at == At::Before || self.may_go_back())
            }),
        }
    }

    pub(super) fn checked(&mut self, seq: u64, checked: &Checked) {
        let next_call = self.next_call();
        let refuses = checked.refuses(self.options.mode);
        self.refused = refuses.then(|| Refused { seq, checked: checked.clone(), next_call });
    }

    /// What a person said of what was handed over. The answer that they gave for a call that was made is returned.
    pub(super) fn told(&mut self, handed: &HandedOver, decision: &Decision) -> Option<Payload> {
        self.handed_over = None;
        if let (Decision::Happened(_), Some(refused)) = (decision, &self.refused) {
            self.accepted.insert((refused.next_call, refused.checked.check.digest()));
        }
        match decision {
            Decision::Fail(_) => return None,
            Decision::Happened(output) => {
                self.refused = None;
                self.by_hand.get_or_insert_with(|| handed.clone());
                if handed.at != Some(At::Before) {
                    return Some(output.clone());
                }
                self.given = Some(output.clone());
            }
            Decision::Retry => {
                self.refused = None;
                self.step = None;
                if handed.at != Some(At::Before) {
                    self.calls.retain(|row| row.call < handed.call);
                }
            }
        }
        None
    }
}
