//! Jobs: signals, cancel, pause, going on, settling, approvals, external calls. Each is the scheduler's; here the input is held
//! against its bounds.

use std::time::Duration;

use serde_json::{Value, json};

use super::Engine;
use crate::clock::rfc3339;
use crate::compiler::emit::Explained;
use crate::contract::{Outcome, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::ids::{Digest, JobId, Space};
use crate::jobs::{ApprovalId, CallId, Claimed, Manner, Settlement, WaitingCall, waits_for_someone};
use crate::journal::{self, Budget, OpenApproval, State, Status};
use crate::json::Json;
use crate::limits;
use crate::store::ExternalKey;

/// An approval with what the person is to see.
#[derive(Debug, Clone)]
pub struct ApprovalView {
    /// Its name.
    pub id: ApprovalId,
    /// What its row says.
    pub row: OpenApproval,
    /// What will be done.
    pub request: Json,
}

impl ApprovalView {
    /// The fields that HTTP and `--json` show.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut view = approval_row(self.id, &self.row);
        view["request"] = self.request.value();
        view
    }
}

impl Engine {
    /// Who did it, where nobody says who they are.
    pub const SOMEONE: &str = "operator";

    /// From now on this process moves the job whenever it can go on, also where it looks after no others.
    pub fn look_after(&self, job: JobId, manner: Manner) {
        self.scheduler.look_after(job, manner);
    }

    /// Stores a signal for a job; where the job waits for it, it goes on. A second one with the same `signal_id` is the same signal.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where the job has ended; `too_large`, `too_busy`.
    pub async fn signal(
        &self,
        space: &Space,
        job: JobId,
        name: String,
        payload: Json,
        signal_id: Option<String>,
        by: Option<String>,
    ) -> Result<Status> {
        bounded("/payload", &payload)?;
        self.scheduler.signal(space, job, name, payload, signal_id, by).await
    }

    /// Asks for a job to end; with `force`, whatever it is undoing.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it has ended.
    pub async fn cancel_job(&self, space: &Space, job: JobId, by: String, reason: Option<String>, force: bool) -> Result<Status> {
        self.scheduler.cancel(space, job, by, reason, force).await
    }

    /// Asks for a job to stop at the next step.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it has ended.
    pub async fn pause_job(&self, space: &Space, job: JobId, by: String, reason: Option<String>) -> Result<Status> {
        self.scheduler.pause(space, job, by, reason).await
    }

    /// Lets a paused or parked job go on, with a larger budget where one is given.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where it is neither.
    pub async fn continue_job(&self, space: &Space, job: JobId, by: String, budget: Budget) -> Result<Status> {
        self.scheduler.go_on(space, job, by, budget).await
    }

    /// Lets a job go on, whatever it is that keeps it: a pause, the reason it is parked for, or that nobody runs it.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where nothing keeps it, or where it is a person's word that it waits for.
    pub async fn let_go_on(&self, space: &Space, job: JobId, by: String, budget: Budget, manner: Manner) -> Result<Status> {
        if budget == Budget::default()
            && let Some(status) = self.pick_up(space, job, manner).await?
        {
            return Ok(status);
        }
        self.continue_job(space, job, by, budget).await
    }

    /// Takes up a job that nobody needs to say a word to; none where somebody must.
    async fn pick_up(&self, space: &Space, job: JobId, manner: Manner) -> Result<Option<Status>> {
        let head = journal::head_of(&self.store, space, &job)?;
        match head.map(|head| head.status) {
            Some(status @ (Status::Ready | Status::Running)) => self.resume_job(space, &job, manner).await.map(|()| Some(status)),
            Some(Status::Waiting) if !waits_for_someone(&self.store, space, &job)? => self.stay_with(space, job, manner).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The clock or its children are what it waits for: this process looks after it, and after them.
    async fn stay_with(&self, space: &Space, job: JobId, manner: Manner) -> Result<Status> {
        self.look_after(job, manner);
        let status = self.scheduler.look(space, job).await?;
        let state = journal::fold(&self.store, space, &job)?;
        for child in state.children.iter().filter(|child| child.end.is_none()) {
            match Box::pin(self.pick_up(space, child.job_id, manner)).await {
                Ok(_) => {}
                // It runs here already.
                Err(e) if e.code == Code::JobStateConflict => {}
                Err(e) => return Err(e),
            }
        }
        Ok(status)
    }

    /// Begins a failed or parked job again from the calls that led to it.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` that says why it cannot be.
    pub async fn retry_job(&self, space: &Space, job: JobId, by: String) -> Result<Status> {
        self.scheduler.retry(space, job, by).await
    }

    /// Settles the uncertain call whose `called` entry is `seq`.
    ///
    /// # Errors
    /// `job_not_found`; `job_state_conflict` where that call is not uncertain.
    pub async fn resolve(
        &self,
        space: &Space,
        job: JobId,
        seq: u64,
        settlement: Settlement,
        by: String,
        note: Option<String>,
    ) -> Result<Status> {
        if let Settlement::Happened(output) = &settlement {
            bounded("/output", output)?;
            self.is_an_answer(space, &job, output).await?;
        }
        self.scheduler.resolve(space, job, seq, settlement, by, note).await
    }

    /// Approvals that wait for a person, those of the oldest jobs first, behind `after`.
    ///
    /// # Errors
    /// What the store says.
    pub fn approvals(&self, space: &Space, after: Option<ApprovalId>, limit: usize) -> Result<Vec<(ApprovalId, OpenApproval)>> {
        self.scheduler.approvals(space, after, limit)
    }

    /// One approval that waits for a person.
    ///
    /// # Errors
    /// `approval_not_found`.
    pub fn approval(&self, space: &Space, id: ApprovalId) -> Result<ApprovalView> {
        let row = self.scheduler.approval(space, id)?;
        let request = self.store.load(&row.request)?;
        Ok(ApprovalView { id, row, request })
    }

    /// Says yes or no to what has this digest.
    ///
    /// # Errors
    /// `approval_not_found`; `job_state_conflict` where it was decided otherwise or shows something else.
    pub async fn decide(&self, space: &Space, id: ApprovalId, yes: bool, digest: Digest, by: String, answer: Json) -> Result<Status> {
        bounded("/answer", &answer)?;
        self.scheduler.decide(space, id, yes, digest, by, answer).await
    }

    /// Calls that wait for someone outside.
    ///
    /// # Errors
    /// What the store says.
    pub fn external_calls(
        &self,
        space: &Space,
        tool: Option<&ToolId>,
        after: Option<&ExternalKey>,
        limit: usize,
    ) -> Result<Vec<WaitingCall>> {
        self.scheduler.external_calls(space, tool, after, limit)
    }

    /// Claims the first call of one of these tools that nobody has claimed; none where there is none.
    ///
    /// # Errors
    /// `invalid_request` where the lease is out of its bounds.
    pub async fn claim_call(&self, space: &Space, tools: &[ToolId], by: &str, lease: Option<Duration>) -> Result<Option<Claimed>> {
        self.scheduler.claim(space, tools, by, lease.unwrap_or(limits::CLAIM_TIME_DEFAULT)).await
    }

    /// Lets a claim's time begin anew.
    ///
    /// # Errors
    /// `call_not_found`, `claim_lost`.
    pub async fn extend_call(&self, space: &Space, id: CallId, token: &str) -> Result<Duration> {
        self.scheduler.extend(space, id, token).await
    }

    /// Takes what came of a claimed call.
    ///
    /// # Errors
    /// `call_not_found`, `claim_lost`, `job_state_conflict`, `too_large`.
    pub async fn answer_call(&self, space: &Space, id: CallId, token: &str, outcome: Outcome) -> Result<()> {
        if let Ok(output) = &outcome {
            bounded("/output", output)?;
        }
        self.scheduler.answer_call(space, id, token, outcome).await
    }
}

/// An approval in a list, as HTTP and `--json` show it.
#[must_use]
pub fn approval_row(id: ApprovalId, row: &OpenApproval) -> Value {
    json!({
        "approval_id": id.to_string(), "job_id": id.job_id, "title": row.title, "step": row.step, "digest": row.digest,
        "since": rfc3339(row.since_ms), "until": row.until_ms.map(rfc3339),
    })
}

/// Where a list of calls goes on behind this one: what [`call_cursor`] reads.
#[must_use]
pub fn cursor_of(call: &WaitingCall) -> String {
    format!("{}.{}", call.tool, call.id)
}

/// From its text; none where it is no cursor of a list of calls, or not of one of this tool's alone.
#[must_use]
pub fn call_cursor(space: &Space, of: Option<&ToolId>, text: &str) -> Option<ExternalKey> {
    let (tool, id) = text.split_once('.')?;
    let id = CallId::parse(id).ok().filter(|_| of.is_none_or(|of| of.to_string() == tool))?;
    Some(ExternalKey { space: space.clone(), tool: tool.to_owned(), job_id: id.job_id, call: id.call })
}

/// A call that waits for someone outside, as HTTP and `--json` show it.
#[must_use]
pub fn call_row(call: &WaitingCall) -> Value {
    json!({
        "call_id": call.id.to_string(), "job_id": call.id.job_id, "call": call.id.call, "tool": call.tool, "step": call.row.step,
        "key": call.row.key, "since": rfc3339(call.row.since_ms), "until": call.row.until_ms.map(rfc3339), "claimed_by": call.claimed_by,
    })
}

impl Claimed {
    /// The fields that HTTP and `--json` show.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut view = call_row(&self.call);
        view["input"] = self.input.value();
        view["effect"] = json!(self.effect);
        view["token"] = json!(self.token);
        view["lease_ms"] = json!(u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX));
        view
    }
}

impl Engine {
    /// What is said to have been the answer of a tool that is here must be one that it can give.
    async fn is_an_answer(&self, space: &Space, job: &JobId, output: &Json) -> Result<()> {
        let state = journal::fold(&self.store, space, job)?;
        let handed = state.handed_over.as_ref().map(|standing| &standing.handed);
        let about = state.uncertain.as_ref().map(|uncertain| uncertain.call).or(handed.map(|handed| handed.call));
        let tool = match about.and_then(|call| state.calls.iter().find(|row| row.call == call)) {
            Some(row) => Some(row.tool.clone()),
            // The call was not made yet: its plan says what it would be.
            None => self.tool_of(&state, handed.and_then(|handed| handed.step.as_deref())).await?,
        };
        let Some(info) = tool.and_then(|tool| self.tools.get(&tool)) else { return Ok(()) };
        let Ok(validator) = jsonschema::validator_for(&info.output_schema) else { return Ok(()) };
        let value = output.value();
        let issue =
            |e: jsonschema::ValidationError| Issue { path: format!("/output{}", e.instance_path()), message: e.masked().to_string() };
        let issues: Vec<Issue> = validator.iter_errors(&value).take(limits::TOOL_ISSUES_MAX).map(issue).collect();
        if issues.is_empty() {
            return Ok(());
        }
        let refusal = crate::fields::refusal(Code::InvalidRequest, issues);
        Err(refusal.at(format!("this is no answer of {}", info.id)).with_details(serde_json::json!({"output_schema": info.output_schema})))
    }
}

impl Engine {
    /// What a step of the job's plan calls; none without a plan. In a loop a job names it with its turn: `s3[2]`.
    async fn tool_of(&self, state: &State, step: Option<&str>) -> Result<Option<ToolId>> {
        let (Some(step), Explained::ByPlan(plan)) = (step, self.explained(state.component).await?) else { return Ok(None) };
        let turn_of = step.rsplit_once('[').map(|(id, _)| id);
        let own = |id: &str| plan.steps().find(|known| known.id == id).map(|known| known.tool.clone());
        Ok(own(step).or_else(|| turn_of.and_then(own)))
    }
}

fn bounded(at: &str, value: &Json) -> Result<()> {
    let bytes = value.as_str().len();
    if bytes > limits::JSON_BYTES_MAX {
        return Err(Error::new(Code::TooLarge, format!("{at} has {bytes} bytes; at most {}", limits::JSON_BYTES_MAX)));
    }
    Ok(())
}
