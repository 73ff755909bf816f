//! Tool calls of a durable job: made once, tried again where that does no harm, settled where nobody knows.
//!
//! | the process dies | on resume |
//! |---|---|
//! | before `called` is on disk | the call never happened: it is made |
//! | after it, before `returned` is | `pure`, `read`: made again; `idempotent`: made again with the same key; `once`: the tool is asked what became of it, and where it does not know, the job stands as uncertain |
//! | after `returned` is on disk | the recorded answer is given, and nothing is called |

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::durable::{Durable, outcome_of, save, stop_of};
use super::shared::lost;
use super::trying;
use crate::contract::{Confirmation, Effect, ErrorKind, Outcome, Reconciliation, ToolError, ToolId};
use crate::error::Result;
use crate::ids::Digest;
use crate::journal::{
    Answer, Body, Cause, Confirm, Decision, Drifted, Failure, Mail, Mode, Next, On, ParkReason, Resolved, Retrying, Waiting, WhenExhausted,
};
use crate::json::Json;
use crate::sandbox::Stop;
use crate::{clock, limits, metrics};

/// A call that is about to be made or under way.
struct Call<'a> {
    call: u64,
    tool: &'a ToolId,
    input: &'a Json,
    digest: Digest,
    effect: Effect,
    key: String,
}

/// What trying a call once came to.
enum Tried {
    /// The guest gets this.
    Answer(Outcome),
    /// It is to be made again, under the same number.
    Again,
}

impl Durable {
    pub(super) async fn answer(&mut self, tool: &ToolId, input: Json) -> Result<Outcome, Stop> {
        let (outcome, settled) = self.outcome(tool, input).await?;
        self.see_to(&outcome, settled).await?;
        self.told_of_cancel |= outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::Cancelled);
        Ok(outcome)
    }

    /// What the call came to, and whether a person has seen to that already.
    async fn outcome(&mut self, tool: &ToolId, input: Json) -> Result<(Outcome, bool), Stop> {
        let digest = input.digest();
        let (mut number, mut begun) = match self.cursor.next_call(self.step.as_deref(), tool, digest) {
            Next::Answer { call, answer, settled } => {
                metrics::call_replayed();
                let outcome = outcome_of(&self.shared.store, answer).await.map_err(Stop::Host)?;
                self.hold_against_the_world(call, tool, &input, &outcome).await?;
                return Ok((outcome, settled));
            }
            Next::Diverged(diverged) => return Err(stop_of(diverged)),
            Next::UnderWay { call, key, effect } => (call, Some((key, effect))),
            Next::Live { call } => (call, None),
        };
        loop {
            let tried = match begun.take() {
                Some((key, effect)) => {
                    let call = Call { call: number, tool, input: &input, digest, effect, key };
                    self.under_way(&call).await?
                }
                None => self.live(number, tool, &input, digest).await?,
            };
            match tried {
                Tried::Answer(outcome) => return Ok((outcome, false)),
                Tried::Again => {
                    self.cursor.again(number);
                    number = self.log.state().next_call();
                }
            }
        }
    }

    /// An earlier attempt began it, and its journal ends there.
    async fn under_way(&mut self, call: &Call<'_>) -> Result<Tried, Stop> {
        // A grant that promised more when the call was made may have been taken back since.
        let now = if call.tool.is_external() { call.effect } else { self.shared.tools.effect_of(call.tool, call.input, &self.grants) };
        let effect = if call.effect.touches_nothing() || now != Effect::Once { call.effect } else { Effect::Once };
        match effect {
            _ if call.tool.is_external() => self.hand_out(call.call).await,
            Effect::Once => {
                let reason = format!(
                    "the process died after {} was called and before its answer was recorded; it may or may not have taken effect, and it is not repeated unasked",
                    call.tool
                );
                let known = self.what_became_of(call).await;
                self.settle(call, known, reason).await
            }
            _ => {
                let _gate = self.turn(call.tool).await?;
                self.between_steps().await?;
                if self.is_cancelled() {
                    let message = format!("the job is to be cancelled; {} had begun, and whether it took effect is not known", call.tool);
                    return self.returned(call.call, Err(ToolError::new(ErrorKind::Cancelled, message))).await;
                }
                self.perform(call).await
            }
        }
    }

    async fn live(&mut self, number: u64, tool: &ToolId, input: &Json, digest: Digest) -> Result<Tried, Stop> {
        // Waited for before the call is on record: a crash in the queue leaves nothing in doubt.
        let _gate = self.turn(tool).await?;
        self.between_steps().await?;
        let effect = match tool.is_external() {
            true => self.shared.external_effect(tool),
            false => self.shared.tools.effect_of(tool, input, &self.grants),
        };
        let call = Call { call: number, tool, input, digest, effect, key: self.key(number, tool, &digest) };
        if self.is_cancelled() {
            let error = ToolError::new(ErrorKind::Cancelled, format!("the job is to be cancelled; {tool} was not called"));
            return self.refused(&call, error).await;
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            let error = ToolError::new(ErrorKind::Timeout, format!("the step's time is over; {tool} was not called"));
            return self.refused(&call, error).await;
        }
        self.within_budget(input).await?;
        let given = self.given().await?;
        self.called(&call).await?;
        if let Some(output) = given {
            // Somebody did it by hand: both entries go to the disk in one, so that nothing is ever in doubt.
            return self.returned(number, Ok(output)).await;
        }
        if tool.is_external() {
            return self.hand_out(number).await;
        }
        if !effect.touches_nothing() || self.log.should_flush() {
            self.flushed().await?;
        }
        self.perform(&call).await
    }

    /// A place among those who call the tool, where an operator bounds their number. Who is to stop does not wait for one.
    async fn turn(&mut self, tool: &ToolId) -> Result<Option<OwnedSemaphorePermit>, Stop> {
        let shared = self.shared.clone();
        let name = tool.to_string();
        let mut gate = std::pin::pin!(shared.tool_gates.enter(&name));
        let mut told_to_stop = std::pin::pin!(shared.stop.notified());
        told_to_stop.as_mut().enable();
        loop {
            if shared.is_stopping() || self.is_cancelled() {
                return Ok(None);
            }
            tokio::select! {
                biased;
                place = &mut gate => return Ok(place),
                () = &mut told_to_stop => {}
                changed = self.mailbox.changed() => {
                    if changed.is_err() {
                        return Ok(gate.await);
                    }
                    self.mailbox.mark_changed();
                    self.hear().await?;
                }
            }
        }
    }

    async fn called(&mut self, call: &Call<'_>) -> Result<(), Stop> {
        let input = save(&self.shared.store, call.input.clone()).await.map_err(Stop::Host)?;
        self.push(Body::Called {
            call: call.call,
            step: self.step.clone(),
            tool: call.tool.clone(),
            effect: call.effect,
            key: call.key.clone(),
            input,
            input_digest: call.digest,
        })
    }

    /// The call is not made, and the journal says so: a resumed guest must meet the same.
    async fn refused(&mut self, call: &Call<'_>, error: ToolError) -> Result<Tried, Stop> {
        self.called(call).await?;
        self.push(Body::Returned { call: call.call, answer: Answer::Error(error.clone()) })?;
        Ok(Tried::Answer(Err(error)))
    }

    /// Someone outside performs it: the job waits until they say what came of it.
    async fn hand_out(&mut self, call: u64) -> Result<Tried, Stop> {
        let own = self.step_options.call_timeout_ms.or(self.log.state().options.call_timeout_ms).map(Duration::from_millis);
        let most = own.into_iter().chain(self.time_left()).min();
        let until_ms = most.map(|most| clock::now_ms().saturating_add(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)));
        let wait = self.log.state().waits + 1;
        self.push(Body::Waiting(Waiting { wait, step: self.step.clone(), on: On::External { call }, until_ms }))?;
        Err(self.stand().await)
    }

    /// The name that a tool sees for a call: made of job, place, step, tool and input, never of the attempt.
    fn key(&self, call: u64, tool: &ToolId, input: &Digest) -> String {
        let job = self.log.job_id();
        let (call, tool) = (call.to_be_bytes(), tool.to_string());
        let step = self.step.as_deref().unwrap_or_default();
        let whole = Digest::of_parts(&[job.as_bytes(), &call, step.as_bytes(), tool.as_bytes(), input.as_bytes()]);
        hex::encode(&whole.as_bytes()[..16])
    }

    async fn within_budget(&mut self, input: &Json) -> Result<(), Stop> {
        let state = self.log.state();
        if state.cancel.is_some() {
            // It is on its way out, and undoes what it did: to stand now would keep it from both.
            return Ok(());
        }
        if let Some(most) = state.budget.calls.filter(|most| state.calls.len() as u64 >= *most) {
            return Err(self.park(ParkReason::Calls, format!("has made its {most} calls")).await);
        }
        let bytes = state.bytes.saturating_add(input.as_str().len() as u64);
        if let Some(most) = state.budget.bytes.filter(|most| bytes > *most) {
            return Err(self.park(ParkReason::Bytes, format!("would have moved {bytes} bytes of {most}")).await);
        }
        Ok(())
    }

    async fn perform(&mut self, call: &Call<'_>) -> Result<Tried, Stop> {
        let outcome = self.try_once(call).await?;
        if let Err(error) = &outcome {
            if error.kind == ErrorKind::Cancelled && !call.effect.touches_nothing() {
                return self.broken_off(call, error.clone()).await;
            }
            if error.kind == ErrorKind::Timeout && call.effect == Effect::Once {
                let known = self.what_became_of(call).await;
                if known != Reconciliation::DidNotHappen {
                    return self.settle(call, known, format!("{}: {}", call.tool, error.message)).await;
                }
                // As certain as an `unavailable`, and tried as often.
                if self.again(call, error).await? {
                    return Ok(Tried::Again);
                }
                return self.returned(call.call, outcome).await;
            }
            if trying::may_pass(error.kind, call.effect) && self.again(call, error).await? {
                return Ok(Tried::Again);
            }
        }
        self.returned(call.call, outcome).await
    }

    async fn returned(&mut self, call: u64, outcome: Outcome) -> Result<Tried, Stop> {
        let answer = match &outcome {
            Ok(output) => Answer::Output(save(&self.shared.store, output.clone()).await.map_err(Stop::Host)?),
            Err(error) => Answer::Error(error.clone()),
        };
        self.push(Body::Returned { call, answer })?;
        if self.log.should_flush() {
            self.flushed().await?;
        }
        Ok(Tried::Answer(outcome))
    }

    /// Makes the call, as long as there is time for it and nobody breaks it off.
    async fn try_once(&mut self, call: &Call<'_>) -> Result<Outcome, Stop> {
        let own = self.step_options.call_timeout_ms.or(self.log.state().options.call_timeout_ms).map(Duration::from_millis);
        let most = own.into_iter().chain(self.time_left()).min();
        let (shared, grants) = (self.shared.clone(), self.grants.clone());
        let mut called = std::pin::pin!(shared.tools.call(call.tool, &call.key, call.input, &grants));
        let time_is_over = tokio::time::sleep(most.unwrap_or_else(|| shared.tools.time_of(call.tool) * 2));
        let mut time_is_over = std::pin::pin!(time_is_over);
        let mut heard = false;
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut called => break outcome,
                _ = self.lease.changed() => return Err(Stop::Host(lost())),
                // The sender lives in the store, which this job keeps open.
                _ = self.mailbox.changed(), if !self.compensating => {
                    heard = true;
                    self.hear_in_call()?;
                    if self.is_cancelled() {
                        let message = format!("the job is to be cancelled; {} was broken off, and whether it took effect is not known", call.tool);
                        break Err(ToolError::new(ErrorKind::Cancelled, message));
                    }
                }
                () = &mut time_is_over => {
                    let ms = most.unwrap_or_default().as_millis();
                    break Err(ToolError::new(ErrorKind::Timeout, format!("{} did not answer within {ms} ms", call.tool)));
                }
            }
        };
        if heard {
            // The rest of the mail is looked at between two steps.
            self.mailbox.mark_changed();
        }
        Ok(outcome)
    }

    /// Mail that comes while a call is under way: a request to cancel is looked for, the rest has time.
    fn hear_in_call(&mut self) -> Result<(), Stop> {
        let mail = Mail::of_job(&self.shared.store, self.log.space(), &self.log.job_id()).map_err(Stop::Host)?;
        let asks = |mail: &Mail| matches!(mail, Mail::Cancel(_) | Mail::End(_));
        let cancel = mail.into_iter().find(|(key, mail)| asks(mail) && !self.log.has_struck(key));
        match cancel {
            Some((key, Mail::Cancel(cancel))) if self.log.state().cancel.is_none() => {
                self.push(Body::CancelRequested(cancel))?;
                self.log.strike(&key);
            }
            // What is to end at once ends at the next chance: this word is taken in there.
            Some((_, Mail::End(cancel))) if self.log.state().cancel.is_none() => self.push(Body::CancelRequested(cancel))?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the call is to be made again after an error that may pass. It has waited, or the job waits, when this returns.
    async fn again(&mut self, call: &Call<'_>, error: &ToolError) -> Result<bool, Stop> {
        let options = self.log.state().options.clone();
        let most = self.step_options.tries.unwrap_or(options.tries).clamp(1, limits::TRIES_MAX);
        let tries = self.log.state().tries + 1;
        let first = self.step_options.first_pause_ms.unwrap_or(options.first_pause_ms).min(limits::PAUSE_MS_MAX);
        let pause = Duration::from_millis(trying::pause_ms(first, tries));
        if self.is_cancelled() || most == 1 {
            return Ok(false);
        }
        if tries >= most {
            // A playbook that says itself how often a step is tried knows what to do then, and a guided job hands it over.
            if self.step_options.tries.is_some() || options.when_exhausted == WhenExhausted::Fail || options.mode == Mode::Guided {
                return Ok(false);
            }
            let retrying = Retrying { call: call.call, tries, error: error.clone(), until_ms: clock::now_ms() };
            self.push(Body::Retrying(retrying))?;
            let message = format!("{} failed {tries} times; the last time: {error}", call.tool);
            return Err(self.park(ParkReason::Retries, message).await);
        }
        if self.time_left().is_some_and(|left| left <= pause) {
            return Ok(false);
        }
        metrics::retried("call");
        let until_ms = clock::now_ms().saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self.push(Body::Retrying(Retrying { call: call.call, tries, error: error.clone(), until_ms }))?;
        if pause <= limits::PAUSE_HELD_MAX {
            self.flushed().await?;
            self.pause(pause).await?;
            return Ok(true);
        }
        let wait = self.log.state().waits + 1;
        let on = On::Pause { call: call.call };
        self.push(Body::Waiting(Waiting { wait, step: self.step.clone(), on, until_ms: Some(until_ms) }))?;
        Err(self.stand().await)
    }

    /// Waits with the guest in hand; a request to cancel ends it.
    async fn pause(&mut self, pause: Duration) -> Result<(), Stop> {
        let mut over = std::pin::pin!(tokio::time::sleep(pause));
        let mut heard = false;
        while !self.is_cancelled() {
            tokio::select! {
                () = &mut over => break,
                _ = self.lease.changed() => return Err(Stop::Host(lost())),
                _ = self.mailbox.changed() => {
                    heard = true;
                    self.hear_in_call()?;
                }
            }
        }
        if heard {
            self.mailbox.mark_changed();
        }
        Ok(())
    }

    /// A call that was broken off since the job is to be cancelled may have taken effect all the same. The tool is asked: what
    /// happened can then be undone.
    async fn broken_off(&mut self, call: &Call<'_>, error: ToolError) -> Result<Tried, Stop> {
        match self.what_became_of(call).await {
            Reconciliation::Happened(output) => self.returned(call.call, Ok(output)).await,
            Reconciliation::DidNotHappen => {
                let message = format!("the job is to be cancelled; {} was broken off and did not take effect", call.tool);
                self.returned(call.call, Err(ToolError::new(ErrorKind::Cancelled, message))).await
            }
            Reconciliation::Unknown(_) => {
                metrics::call_uncertain();
                self.returned(call.call, Err(error)).await
            }
        }
    }

    /// The tool is asked.
    async fn what_became_of(&self, call: &Call<'_>) -> Reconciliation {
        self.shared.tools.reconcile(call.tool, &call.key, call.input, &self.grants).await
    }

    /// Nobody knew whether the call took effect. Where the tool does not know either, the job stands.
    async fn settle(&mut self, call: &Call<'_>, known: Reconciliation, reason: String) -> Result<Tried, Stop> {
        metrics::call_uncertain();
        let reason = match &known {
            Reconciliation::Unknown(why) => format!("{reason}. {why}"),
            _ => reason,
        };
        self.push(Body::Uncertain { call: call.call, reason })?;
        let resolved =
            |decision| Body::Resolved(Resolved { call: call.call, decision, by: Resolved::BY_RECONCILING.to_owned(), note: None });
        match known {
            Reconciliation::Happened(output) => {
                let payload = save(&self.shared.store, output.clone()).await.map_err(Stop::Host)?;
                self.push(resolved(Decision::Happened(payload)))?;
                Ok(Tried::Answer(Ok(output)))
            }
            Reconciliation::DidNotHappen => {
                self.push(resolved(Decision::Retry))?;
                Ok(Tried::Again)
            }
            Reconciliation::Unknown(_) => Err(self.stand().await),
        }
    }

    /// Before a resumed job goes on from a recorded answer: does the world still look so? Only where the job asks for it, and
    /// only while it is answered from its journal.
    async fn hold_against_the_world(&mut self, call: u64, tool: &ToolId, input: &Json, outcome: &Outcome) -> Result<(), Stop> {
        let confirm = self.log.state().options.confirm;
        let (false, Ok(output)) = (confirm == Confirm::Off || tool.is_external(), outcome) else { return Ok(()) };
        let Confirmation::Changed(what) = self.shared.tools.confirm(tool, input, output, &self.grants).await else { return Ok(()) };
        match confirm {
            Confirm::Off => Ok(()),
            Confirm::Warn if self.log.state().drifted.contains(&call) => Ok(()),
            Confirm::Warn => {
                tracing::warn!(job = %self.log.job_id(), call, "the world is no longer as the recorded answer says: {what}");
                self.push(Body::Drifted(Drifted { call, what }))
            }
            Confirm::Ask if self.log.state().drift_accepted => Ok(()),
            Confirm::Ask => {
                let message = format!("the answer to call {call} of {tool} is no longer so: {what}");
                Err(self.park(ParkReason::Drift, message).await)
            }
            Confirm::Strict => {
                let message = format!("the answer to call {call} of {tool} is no longer so: {what}");
                let failure = Failure { step: self.step.clone(), message, detail: None, cause: Cause::Drift };
                self.push(Body::Failed { failure, fuel_used: 0 })?;
                Err(self.stand().await)
            }
        }
    }
}
