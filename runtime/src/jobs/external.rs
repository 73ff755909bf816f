//! Calls that someone outside performs (`agent/<name>`): which wait, who has claimed them, what came of them.
//!
//! A claim is a lease: whoever has it must extend it, or it is taken back and the call goes to somebody else, as far as its effect
//! allows that. The job waits as for anything else and holds nothing. What must stay true: an answer is taken only from who has
//! the claim, once; the claim's row is removed in the batch that enters the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::durable::save;
use super::lease::JobAt;
use super::scheduler::Scheduler;
use super::shared::Shared;
use super::steer::{Word, steer};
use crate::contract::{Effect, Outcome, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::{self, JobId, Space};
use crate::journal::{self, Answer, Body, OpenCall, State, Wake, Woken};
use crate::json::Json;
use crate::store::{Batch, ClaimKey, CommitError, ExternalKey, Store};
use crate::{clock, limits, metrics};

/// Names one external call: `<job>.<call>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId {
    /// The job.
    pub job_id: JobId,
    /// The call's number within it.
    pub call: u64,
}

impl CallId {
    /// From its text.
    ///
    /// # Errors
    /// `call_not_found` where it names none.
    pub fn parse(text: &str) -> Result<CallId> {
        let none = || no_such_call(text);
        let (job, call) = text.rsplit_once('.').ok_or_else(none)?;
        Ok(CallId { job_id: JobId::parse(job).map_err(|_| none())?, call: call.parse().map_err(|_| none())? })
    }
}

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.job_id, self.call)
    }
}

/// A call that waits for someone outside.
#[derive(Debug, Clone)]
pub struct WaitingCall {
    /// Its name.
    pub id: CallId,
    /// The tool.
    pub tool: String,
    /// What its row says.
    pub row: OpenCall,
    /// Who has claimed it.
    pub claimed_by: Option<String>,
}

/// A call that the caller is to perform now.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The call.
    pub call: WaitingCall,
    /// What it is to be performed with.
    pub input: Json,
    /// What repeating it would do.
    pub effect: Effect,
    /// Shows that the claim is one's own; part of every further word about it.
    pub token: String,
    /// Time after which the claim ends where it is not extended.
    pub lease: Duration,
}

#[derive(Clone, Serialize, Deserialize)]
struct Claim {
    v: u8,
    token: String,
    by: String,
    lease_ms: u64,
    beat: u64,
}

impl Scheduler {
    /// Calls that wait for someone outside, of one tool or of all, those of the oldest jobs first within a tool.
    ///
    /// # Errors
    /// `data_corrupt`, and what the store says.
    pub fn external_calls(
        &self,
        space: &Space,
        tool: Option<&ToolId>,
        after: Option<&ExternalKey>,
        limit: usize,
    ) -> Result<Vec<WaitingCall>> {
        let store = &self.shared.store;
        let prefix = tool.map_or_else(|| ExternalKey::of_space(space), |tool| ExternalKey::of_tool(space, &tool.to_string()));
        let rows = store.scan(&prefix, after, limit.min(limits::PAGE_ROWS_MAX))?;
        rows.into_iter().map(|(key, row)| waiting(store, key, &row)).collect()
    }

    /// Claims the first call of one of these tools that nobody has claimed; none where there is none.
    ///
    /// # Errors
    /// `invalid_request` where the lease is beyond its limit; what the store says.
    pub async fn claim(&self, space: &Space, tools: &[ToolId], by: &str, lease: Duration) -> Result<Option<Claimed>> {
        if lease.is_zero() || lease > limits::CLAIM_TIME_MAX {
            let most = limits::CLAIM_TIME_MAX.as_millis();
            return Err(Error::invalid("/lease_ms", format!("{} is not between 1 and {most}", lease.as_millis())));
        }
        self.ready().await?;
        for tool in tools {
            let mut after = None;
            loop {
                let calls = self.external_calls(space, Some(tool), after.as_ref(), limits::PAGE_ROWS_MAX)?;
                let Some(last) = calls.last() else { break };
                after = Some(ExternalKey { space: space.clone(), tool: tool.to_string(), job_id: last.id.job_id, call: last.id.call });
                let now = clock::now_ms();
                let open = |call: &WaitingCall| call.claimed_by.is_none() && call.row.until_ms.is_none_or(|until| until > now);
                for call in calls.into_iter().filter(open) {
                    if let Some(claimed) = self.claim_one(space, call, by, lease).await? {
                        return Ok(Some(claimed));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn claim_one(&self, space: &Space, call: WaitingCall, by: &str, lease: Duration) -> Result<Option<Claimed>> {
        let store = &self.shared.store;
        let external = ExternalKey { space: space.clone(), tool: call.tool.clone(), job_id: call.id.job_id, call: call.id.call };
        let token = ids::secret();
        let lease_ms = u64::try_from(lease.as_millis()).expect("bounded above");
        let claim = Claim { v: 1, token: token.clone(), by: by.to_owned(), lease_ms, beat: 0 };
        let mut batch = Batch::new();
        // It still waits, and still nobody has it.
        batch.expect(&external, Some(&serde_json::to_vec(&call.row).expect("text and numbers print")));
        batch.expect(&key_of(space, call.id), None);
        batch.put(&key_of(space, call.id), encode(&claim));
        match store.commit(batch).await {
            Err(CommitError::Guard) => return Ok(None),
            Err(CommitError::Store(e)) => return Err(e),
            Ok(()) => {}
        }
        let entry = journal::read(store, space, &call.id.job_id, Some(call.row.seq - 1), 1)?.into_iter().next();
        let Some(Body::Called { input, effect, .. }) = entry.map(|entry| entry.body) else {
            return Err(Error::new(Code::DataCorrupt, format!("call {}: its row names an entry that is no call", call.id)));
        };
        let input = super::durable::loaded(store, input).await?;
        Ok(Some(Claimed { call: WaitingCall { claimed_by: Some(by.to_owned()), ..call }, input, effect, token, lease }))
    }

    /// Shows that the claimer lives: the claim's time begins anew.
    ///
    /// # Errors
    /// `call_not_found` where nobody waits for the call; `claim_lost` where the claim is not, or no longer, the caller's.
    pub async fn extend(&self, space: &Space, id: CallId, token: &str) -> Result<Duration> {
        let (row, claim) = self.own_claim(space, id, token)?;
        let lease = Duration::from_millis(claim.lease_ms);
        let mut batch = Batch::new();
        batch.expect(&key_of(space, id), Some(&row));
        batch.put(&key_of(space, id), encode(&Claim { beat: claim.beat + 1, ..claim }));
        match self.shared.store.commit(batch).await {
            Ok(()) => Ok(lease),
            Err(CommitError::Guard) => Err(claim_lost(id)),
            Err(CommitError::Store(e)) => Err(e),
        }
    }

    /// Takes the answer to a claimed call; the job goes on with it.
    ///
    /// # Errors
    /// As [`Scheduler::extend`].
    pub async fn answer_call(&self, space: &Space, id: CallId, token: &str, outcome: Outcome) -> Result<()> {
        metrics::tool_call(metrics::Tool::Agent, outcome.as_ref().err().map_or("ok", |e| e.kind.as_str()), 0.0);
        let answer = match outcome {
            Ok(output) => Answer::Output(save(&self.shared.store, output).await?),
            Err(error) => Answer::Error(error),
        };
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let (row, _) = self.own_claim(space, id, token)?;
            let seen = row.clone();
            let (claim_key, answer) = (key_of(space, id), answer.clone());
            let make = move |state: &State| {
                still_waits(state, id)?;
                let mut batch = Batch::new();
                batch.expect(&claim_key, Some(&row));
                batch.delete(&claim_key);
                Ok((vec![Body::Returned { call: id.call, answer: answer.clone() }], batch))
            };
            let (scheduler, of) = (self.clone(), space.clone());
            let told = self
                .finish(Box::pin(async move { steer(&scheduler.shared, &of, id.job_id, Word::Entries(Box::new(make))).await.map(drop) }))
                .await;
            match told {
                // Extended at this moment: the claim is still the caller's.
                Err(e) if e.code == Code::JobStateConflict && self.own_claim(space, id, token)?.0 != seen => {}
                told => return told,
            }
        }
        Err(Error::new(Code::Contended, format!("the claim of call {id} is extended so fast that its answer cannot be taken; try again")))
    }

    fn own_claim(&self, space: &Space, id: CallId, token: &str) -> Result<(Vec<u8>, Claim)> {
        let Some(row) = self.shared.store.get(&key_of(space, id))? else {
            journal::head_of(&self.shared.store, space, &id.job_id)?.ok_or_else(|| no_such_call(&id.to_string()))?;
            return Err(claim_lost(id));
        };
        let claim = decode(&row)?;
        if claim.token == token { Ok((row, claim)) } else { Err(claim_lost(id)) }
    }
}

/// Claims as they were last seen, and since when they are so.
#[derive(Default)]
pub(super) struct Claims {
    seen: HashMap<(Space, JobId, u64), (Vec<u8>, Instant)>,
}

impl Claims {
    /// How long the claims have been the same is not known any more.
    pub(super) fn forget_times(&mut self) {
        let now = Instant::now();
        self.seen.values_mut().for_each(|(_, since)| *since = now);
    }

    /// Takes back the claims of those who fell silent.
    pub(super) async fn round(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let rows = shared.store.scan(&ClaimKey::all(), None, limits::DUE_AT_ONCE)?;
        let named = |key: &ClaimKey| (key.space.clone(), key.job_id, key.call);
        self.seen.retain(|seen, _| rows.iter().any(|(key, _)| named(key) == *seen));
        for (key, row) in rows {
            let (before, since) = self.seen.entry(named(&key)).or_insert_with(|| (row.clone(), Instant::now()));
            if *before != row {
                (*before, *since) = (row, Instant::now());
                continue;
            }
            if since.elapsed() >= Duration::from_millis(decode(&row)?.lease_ms) && shared.looks_after(&key.job_id) {
                // In a task of its own: a job that is under way for a moment must not keep the lease from being renewed.
                *since = Instant::now();
                let of = Arc::clone(shared);
                shared.spawn(async move {
                    let at = (key.space.clone(), key.job_id);
                    if let Err(e) = abandoned(&of, at, key, row).await
                        && e.code != Code::JobStateConflict
                    {
                        tracing::error!("a claim whose time is over could not be taken back now: {e}");
                    }
                });
            }
        }
        Ok(())
    }
}

/// Nobody says anything about a claimed call any more. What may be repeated goes to somebody else; of what may not, nobody
/// knows whether it happened.
async fn abandoned(shared: &Arc<Shared>, (space, job): JobAt, key: ClaimKey, row: Vec<u8>) -> Result<()> {
    let id = CallId { job_id: job, call: key.call };
    tracing::warn!(call = %id, "whoever had claimed this call fell silent");
    let mut free = Batch::new();
    free.expect(&key, Some(&row));
    free.delete(&key);
    let state = journal::fold(&shared.store, &space, &job)?;
    let once = still_waits(&state, id).is_ok() && state.open_call().is_some_and(|open| open.effect == Effect::Once);
    if !once {
        return match shared.store.commit(free).await {
            Ok(()) | Err(CommitError::Guard) => Ok(()),
            Err(CommitError::Store(e)) => Err(e),
        };
    }
    metrics::call_uncertain();
    let by = decode(&row)?.by;
    let make = move |state: &State| {
        still_waits(state, id)?;
        let wait = state.wait.as_ref().expect("it waits").wait;
        let reason =
            format!("{by} claimed it and fell silent; it may or may not have taken effect, and it is not handed out again unasked");
        let mut batch = Batch::new();
        batch.expect(&key, Some(&row));
        batch.delete(&key);
        Ok((vec![Body::Woken(Woken { wait, by: Wake::Abandoned }), Body::Uncertain { call: id.call, reason }], batch))
    };
    steer(shared, &space, job, Word::Entries(Box::new(make))).await.map(drop)
}

fn still_waits(state: &State, id: CallId) -> Result<()> {
    let waits = state.wait.as_ref().is_some_and(|wait| wait.on == journal::On::External { call: id.call });
    if waits && state.open_call().is_some_and(|open| open.call == id.call) {
        return Ok(());
    }
    Err(Error::new(Code::JobStateConflict, format!("call {id} waits for nobody any more; its job is {}", state.status())))
}

fn waiting(store: &Store, key: ExternalKey, row: &[u8]) -> Result<WaitingCall> {
    let id = CallId { job_id: key.job_id, call: key.call };
    let row = serde_json::from_slice(row).map_err(|e| Error::stored(format!("the row of call {id}"), &e))?;
    let claim = store.get(&key_of(&key.space, id))?.map(|row| decode(&row)).transpose()?;
    Ok(WaitingCall { id, tool: key.tool, row, claimed_by: claim.map(|claim| claim.by) })
}

fn key_of(space: &Space, id: CallId) -> ClaimKey {
    ClaimKey { space: space.clone(), job_id: id.job_id, call: id.call }
}

fn encode(claim: &Claim) -> Vec<u8> {
    serde_json::to_vec(claim).expect("text and numbers print")
}

fn decode(row: &[u8]) -> Result<Claim> {
    serde_json::from_slice(row).map_err(|e| Error::stored("the row of a claim", &e))
}

fn no_such_call(id: &str) -> Error {
    Error::new(Code::CallNotFound, format!("no external call {id:?}; `reprise calls list` shows those that wait"))
}

fn claim_lost(id: CallId) -> Error {
    Error::new(Code::ClaimLost, format!("the claim of call {id} is not, or no longer, yours"))
}
