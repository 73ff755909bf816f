//! Checks of a durable job, and steps that are handed over to a person.
//!
//! A check is judged once and its verdict is entered; a resumed guest gets the same one. It is entered like a clock reading:
//! pending until the next flush, since between two calls a guest cannot touch anything.
//!
//! | the process dies | on resume |
//! |---|---|
//! | before `checked` is on disk | nothing was done because of it: it is judged anew |
//! | after it, before `handed_over` is | the guest is told the same verdict, and the step is handed over then |
//! | after `handed_over` is on disk | the job stands until somebody says what became of the step |
//! | after `resolved` is on disk | what was said holds: a given answer is given, and no tool is called for it |

use std::time::Duration;

use super::durable::{Durable, loaded, stop_of};
use crate::checks::{At, Finding, Spec, Verdict};
use crate::contract::{ErrorKind, Outcome, ToolError};
use crate::journal::{Body, Checked, HandedOver, Mode, NextCheck};
use crate::json::Json;
use crate::limits;
use crate::sandbox::{GuestFailure, Stop};

impl Durable {
    pub(super) async fn require(&mut self, check: Json, answer: Option<Json>) -> Result<Result<(), GuestFailure>, Stop> {
        let at = if answer.is_none() { At::Before } else { At::After };
        let (checked, settled) = match self.cursor.next_check(self.step.as_deref(), at, &check) {
            NextCheck::Answer { checked, settled } => (checked, settled),
            NextCheck::Diverged(diverged) => return Err(stop_of(diverged)),
            NextCheck::Live => (self.judge(at, check, answer).await?, false),
        };
        if !checked.refuses(self.log.state().options.mode) {
            return Ok(Ok(()));
        }
        let message = checked.message();
        // An answer that is of no call just made cannot be given anew: such a check, of a playbook written by hand, just fails.
        let of_a_step = at == At::Before || self.log.state().may_go_back();
        if !settled && of_a_step && self.hands_over() {
            return Err(self.hand_over(Some(at), message).await);
        }
        Ok(Err(GuestFailure { step: self.step.clone(), message, detail: Some(checked.detail()) }))
    }

    async fn judge(&mut self, at: At, check: Json, answer: Option<Json>) -> Result<Checked, Stop> {
        let cancelled = self.is_cancelled();
        let Finding { verdict, why } = match cancelled {
            true => Finding::unknown("the job is to be cancelled; nobody looked"),
            false => self.found(&check, answer).await,
        };
        let accepted = verdict != Verdict::Pass && (cancelled || self.log.state().accepts(&check));
        let checked = Checked { step: self.step.clone(), at, check, verdict, why, accepted };
        self.push(Body::Checked(checked.clone()))?;
        if self.log.should_flush() {
            self.flushed().await?;
        }
        Ok(checked)
    }

    /// What a check comes to. To read a pattern or a schema takes a while, and to look through a large answer too: neither is
    /// for the threads that serve everyone, and neither may take for ever.
    async fn found(&self, check: &Json, answer: Option<Json>) -> Finding {
        let asked = check.clone();
        let judged = crate::blocking::run(move || {
            let spec = match Spec::parse(&asked.value()) {
                Ok(spec) => spec,
                Err(e) => return Ok(Finding::unknown(e.message)),
            };
            spec.judge(answer.as_ref().map(Json::value).as_ref()).ok_or(spec)
        });
        match tokio::time::timeout(Duration::from_millis(limits::CHECK_JUDGED_MS_MAX), judged).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(spec)) => self.shared.tools.look(&spec, &self.grants).await,
            Err(_) => Finding::unknown(format!("nobody could say so within {} s", limits::CHECK_JUDGED_MS_MAX / 1000)),
        }
    }

    /// A call came to an error: where the job is guided, a person says what becomes of it.
    pub(super) async fn see_to(&mut self, outcome: &Outcome, settled: bool) -> Result<(), Stop> {
        let told: Option<&ToolError> = outcome.as_ref().err().filter(|error| error.kind != ErrorKind::Cancelled);
        match told {
            Some(error) if !settled && self.hands_over() => Err(self.hand_over(None, error.to_string()).await),
            _ => Ok(()),
        }
    }

    /// What a person said that the next call came to, before it was made.
    pub(super) async fn given(&self) -> Result<Option<Json>, Stop> {
        match self.log.state().given.clone() {
            Some(payload) => loaded(&self.shared.store, payload).await.map(Some).map_err(Stop::Host),
            None => Ok(None),
        }
    }

    /// True where a step that fails now is for a person. What the journal goes on from was seen to already, and what undoes a
    /// job on its way out is not held up.
    fn hands_over(&self) -> bool {
        let state = self.log.state();
        state.options.mode == Mode::Guided && self.cursor.is_live() && !self.compensating && state.cancel.is_none()
    }

    async fn hand_over(&mut self, at: Option<At>, why: String) -> Stop {
        let state = self.log.state();
        let call = if at == Some(At::Before) { state.next_call() } else { state.calls.len() as u64 };
        match self.push(Body::HandedOver(HandedOver { call, step: self.step.clone(), at, why })) {
            Ok(()) => self.stand().await,
            Err(stop) => stop,
        }
    }
}
