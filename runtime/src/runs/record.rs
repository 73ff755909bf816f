//! Records what a recorder sends, each request in one atomic, flushed batch.
//!
//! Each of the four follows one order: read the head; is it a repeat? answer as the first time, or say
//! what differs; may it be written at all? then write, expecting the head to be as it was read, and
//! start over where somebody else came first.

use serde_json::{Value, json};

use super::read::Stored;
use super::receipt::{Answered, Commit, Ended, Node, Opened, Part, Receipt, Started};
use super::request::{RunEnd, RunStart, StepAfter, StepBefore, StepRef};
use super::saved::{self, Head, Last};
use super::{Runs, not_found};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, RunId, Space, StepId};
use crate::json::Json;
use crate::limits;
use crate::store::{AfterKey, Batch, CommitError, RunHeadKey, RunKey, StepKey};

/// What looking at the store came to.
pub(super) enum Next<T> {
    /// It is there already.
    Answer(T),
    /// It may be written, once these values are blobs.
    SetAside(Vec<Json>),
    /// Write this, then answer.
    Write(Batch, T),
}

impl Runs {
    /// Starts a run.
    ///
    /// # Errors
    /// `id_conflict` where a run of this id was started with other content; `contended`, `store_unavailable`,
    /// `store_poisoned`.
    pub async fn start(&self, space: &Space, sent: RunStart) -> Result<Started> {
        let run_id = sent.run_id.clone().unwrap_or_else(RunId::fresh);
        let key = RunKey { space: space.clone(), run_id: run_id.clone() };
        let node = Node::of_run(space, Part::Run, &run_id);
        let answer = |bytes: &[u8], repeated| Started { run_id: run_id.clone(), receipt: receipt(space, &node, bytes, repeated) };
        self.settle(|aside| {
            if let Some(bytes) = self.store.get(&key)? {
                self.same_start(space, &run_id, &bytes, &sent)?;
                return Ok(Next::Answer(answer(&bytes, true)));
            }
            if let Some(values) = large(sent.values()).filter(|_| !aside) {
                return Ok(Next::SetAside(values));
            }
            let row = saved::encode(&saved::Start::of(&self.store, &sent, clock::now_ms())?);
            let answer = answer(&row, false);
            let mut batch = Batch::new();
            batch.expect(&key, None);
            batch.put(&key, row);
            self.put_head(&mut batch, space, &run_id, None, &Head::default());
            Ok(Next::Write(batch, answer))
        })
        .await
    }

    /// Records a step before its call.
    ///
    /// # Errors
    /// `replay_run_not_found`; `id_conflict` where the run has another step of this id; `run_ended`; `too_large` for one step
    /// more than a run may have; `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn before(&self, space: &Space, sent: StepBefore) -> Result<Opened> {
        let run_id = sent.run_id.clone();
        let key = StepKey { space: space.clone(), run_id: run_id.clone(), step_id: sent.id_in(space) };
        let node = Node::of_step(space, Part::Step, &run_id, &key.step_id);
        let answer = |bytes: &[u8], repeated| Opened {
            run_id: run_id.clone(),
            step_id: key.step_id.clone(),
            step_index: sent.step_index,
            receipt: receipt(space, &node, bytes, repeated),
        };
        self.settle(|aside| {
            let head = self.head(space, &run_id)?.ok_or_else(|| not_found(space, &run_id))?;
            if let Some(bytes) = self.store.get(&key)? {
                self.same_step(&key.step_id, &bytes, &sent)?;
                return Ok(Next::Answer(answer(&bytes, true)));
            }
            let next = with_step(&run_id, &head.row, &sent, &key.step_id)?;
            if let Some(values) = large(sent.values()).filter(|_| !aside) {
                return Ok(Next::SetAside(values));
            }
            let row = saved::encode(&saved::Before::of(&self.store, &sent, head.row.steps, clock::now_ms())?);
            let answer = answer(&row, false);
            let mut batch = Batch::new();
            batch.expect(&key, None);
            batch.put(&key, row);
            self.put_head(&mut batch, space, &run_id, Some(&head), &next);
            Ok(Next::Write(batch, answer))
        })
        .await
    }

    /// Records what came of a step.
    ///
    /// # Errors
    /// `replay_run_not_found`, `replay_step_not_found`; `id_conflict` where something else came of the step before;
    /// `run_ended`; `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn after(&self, space: &Space, sent: StepAfter) -> Result<Answered> {
        let run_id = sent.run_id.clone();
        self.settle(|aside| {
            let head = self.head(space, &run_id)?.ok_or_else(|| not_found(space, &run_id))?;
            let step_id = self.find(space, &run_id, &head.row, &sent.step)?;
            let key = AfterKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() };
            let node = Node::of_step(space, Part::StepResult, &run_id, &step_id);
            let answer = |bytes: &[u8], repeated| Answered {
                run_id: run_id.clone(),
                step_id: step_id.clone(),
                status: sent.status,
                repair_applied: sent.repair_applied,
                receipt: receipt(space, &node, bytes, repeated),
            };
            if let Some(bytes) = self.store.get(&key)? {
                self.same_result(&step_id, &bytes, &sent)?;
                return Ok(Next::Answer(answer(&bytes, true)));
            }
            if head.row.end.is_some() {
                return Err(ended(&run_id, "a step's result"));
            }
            if let Some(values) = large(sent.values()).filter(|_| !aside) {
                return Ok(Next::SetAside(values));
            }
            let row = saved::encode(&saved::After::of(&self.store, &sent, clock::now_ms())?);
            let answer = answer(&row, false);
            let mut batch = Batch::new();
            batch.expect(&RunHeadKey { space: space.clone(), run_id: run_id.clone() }, Some(&head.bytes));
            batch.expect(&key, None);
            batch.put(&key, row);
            Ok(Next::Write(batch, answer))
        })
        .await
    }

    /// Ends a run. From then on nothing is added to it.
    ///
    /// # Errors
    /// `replay_run_not_found`; `id_conflict` where it has ended otherwise; `contended`, `store_unavailable`, `store_poisoned`.
    pub async fn end(&self, space: &Space, sent: RunEnd) -> Result<Ended> {
        let run_id = sent.run_id.clone();
        let node = Node::of_run(space, Part::RunEnd, &run_id);
        let answer = |bytes: &[u8], repeated| Ended {
            run_id: run_id.clone(),
            status: sent.status,
            receipt: receipt(space, &node, bytes, repeated),
        };
        self.settle(|aside| {
            let head = self.head(space, &run_id)?.ok_or_else(|| not_found(space, &run_id))?;
            if let Some(end) = &head.row.end {
                self.same_end(&run_id, end, &sent)?;
                return Ok(Next::Answer(answer(&head.bytes, true)));
            }
            if let Some(values) = large(sent.values()).filter(|_| !aside) {
                return Ok(Next::SetAside(values));
            }
            let next = Head { end: Some(saved::End::of(&self.store, &sent, clock::now_ms())?), ..head.row.clone() };
            let mut batch = Batch::new();
            let row = self.put_head(&mut batch, space, &run_id, Some(&head), &next);
            Ok(Next::Write(batch, answer(&row, false)))
        })
        .await
    }

    /// Looks and writes until nobody else came first in between. `look` is told whether the values that it
    /// asked to be set aside are: a blob costs a wait for the disk, so it is written only for a request that
    /// may be written at all, and not on a thread that serves others.
    pub(super) async fn settle<T>(&self, mut look: impl FnMut(bool) -> Result<Next<T>> + Send) -> Result<T> {
        let mut aside = false;
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            match look(aside)? {
                Next::Answer(answer) => return Ok(answer),
                Next::SetAside(values) => {
                    self.set_aside(values).await?;
                    aside = true;
                }
                Next::Write(batch, answer) => match self.store.commit(batch).await {
                    Ok(()) => return Ok(answer),
                    Err(CommitError::Guard) => {}
                    Err(CommitError::Store(e)) => return Err(e),
                },
            }
        }
        let tries = limits::CONTENDED_TRIES_MAX;
        Err(Error::new(Code::Contended, format!("others wrote to this run first, {tries} times in a row; send the same again")))
    }

    /// Writes blobs, the one place of this module that waits for a disk other than by a commit.
    pub(super) async fn set_aside(&self, values: Vec<Json>) -> Result<()> {
        let store = self.store.clone();
        let saved = tokio::task::spawn_blocking(move || values.iter().try_for_each(|json| store.save(json).map(drop))).await;
        saved.map_err(|e| Error::new(Code::InternalError, format!("writing a large value failed: {e}")))?
    }

    /// Puts the next head into the batch, on condition that it still is as it was read. Gives its bytes.
    pub(super) fn put_head(&self, batch: &mut Batch, space: &Space, run_id: &RunId, read: Option<&Stored<Head>>, next: &Head) -> Vec<u8> {
        let key = RunHeadKey { space: space.clone(), run_id: run_id.clone() };
        let row = saved::encode(next);
        batch.expect(&key, read.map(|head| &head.bytes[..]));
        batch.put(&key, row.clone());
        row
    }

    fn find(&self, space: &Space, run_id: &RunId, head: &Head, step: &StepRef) -> Result<StepId> {
        let found = match step {
            StepRef::Id(step_id) => {
                let key = StepKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() };
                self.store.get(&key)?.map(|_| step_id.clone())
            }
            StepRef::Index(step_index) => self.latest_with_index(space, run_id, head, *step_index)?,
        };
        found.ok_or_else(|| {
            let (name, value) = match step {
                StepRef::Id(step_id) => ("step_id", Value::from(step_id.as_str())),
                StepRef::Index(step_index) => ("step_index", Value::from(*step_index)),
            };
            Error::new(Code::ReplayStepNotFound, format!("run {:?} has no step with {name} {value}", run_id.as_str()))
                .with_details(json!({"run_id": run_id, name: value}))
        })
    }

    pub(super) fn same_start(&self, space: &Space, run_id: &RunId, stored: &[u8], sent: &RunStart) -> Result<()> {
        let run = saved::decode::<saved::Start>(stored, "a run")?.load(&self.store, space, run_id, Digest::ZERO)?;
        same(&format!("run {:?} was started", run_id.as_str()), run.as_start().content(), sent.content())
    }

    pub(super) fn same_step(&self, step_id: &StepId, stored: &[u8], sent: &StepBefore) -> Result<()> {
        let step = self.step_of(step_id.clone(), stored)?;
        same(&format!("step {:?} was recorded", step_id.as_str()), step.as_before(&sent.run_id).content(), sent.content())
    }

    pub(super) fn same_result(&self, step_id: &StepId, stored: &[u8], sent: &StepAfter) -> Result<()> {
        let after = saved::decode::<saved::After>(stored, "a step's result")?.load(&self.store, Digest::ZERO)?;
        let what = format!("the result of step {:?} was recorded", step_id.as_str());
        same(&what, after.as_after(&sent.run_id, step_id).content(), sent.content())
    }

    pub(super) fn same_end(&self, run_id: &RunId, stored: &saved::End, sent: &RunEnd) -> Result<()> {
        let end = stored.clone().load(&self.store, Digest::ZERO)?;
        same(&format!("run {:?} was ended", run_id.as_str()), end.as_end(run_id).content(), sent.content())
    }
}

/// The head with one step more.
pub(super) fn with_step(run_id: &RunId, head: &Head, sent: &StepBefore, step_id: &StepId) -> Result<Head> {
    if head.end.is_some() {
        return Err(ended(run_id, "a step"));
    }
    if head.steps as usize >= limits::RUN_STEPS_MAX {
        return Err(Error::new(
            Code::TooLarge,
            format!("run {:?} has {} steps, as many as one run may have", run_id.as_str(), limits::RUN_STEPS_MAX),
        ));
    }
    Ok(Head { steps: head.steps + 1, last: Some(Last { step_index: sent.step_index, step_id: step_id.clone() }), end: None })
}

pub(super) fn ended(run_id: &RunId, what: &str) -> Error {
    Error::new(Code::RunEnded, format!("run {:?} has ended and does not take {what} any more", run_id.as_str()))
        .with_details(json!({"run_id": run_id}))
}

/// The values too large for a row, if there are any.
pub(super) fn large<'a>(values: impl IntoIterator<Item = &'a Json>) -> Option<Vec<Json>> {
    let large: Vec<Json> = values.into_iter().filter(|json| json.as_str().len() > limits::INLINE_BYTES_MAX).cloned().collect();
    if large.is_empty() { None } else { Some(large) }
}

/// What was sent must be what is stored.
fn same(what: &str, stored: Value, sent: Value) -> Result<()> {
    if stored == sent {
        return Ok(());
    }
    let names = |content: &Value| content.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    let all: std::collections::BTreeSet<String> = [names(&stored), names(&sent)].into_iter().flat_map(|names: Vec<String>| names).collect();
    let differing: Vec<String> = all.into_iter().filter(|name| stored.get(name) != sent.get(name)).collect();
    Err(Error::new(Code::IdConflict, format!("{what} before with other content; it differs in {}", differing.join(", ")))
        .with_details(json!({"stored": stored, "sent": sent})))
}

fn receipt(space: &Space, node: &Node, row: &[u8], repeated: bool) -> Receipt {
    Receipt { commit: Commit::of(space, Digest::of(row)), node: node.clone(), repeated }
}
