//! Children: jobs that a job starts, each with a journal of its own, so that nothing depends on which of them is faster.
//!
//! The order of work: the parent's `child_started` is on disk first, with the child's id; then the child is made. Where the
//! process dies in between, the parent makes it when it is taken up again. A child says how it ended in mail that is written
//! with its last entry; a parent that ends cancels in the same way whatever has not ended.

use std::sync::Arc;

use tokio::sync::watch;

use super::durable::{Durable, loaded, save, stop_of};
use super::scheduler::begin;
use super::shared::Shared;
use super::steer;
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, PlaybookId, Space};
use crate::journal::{
    self, AskedChild, Body, CancelRequested, Child, ChildCancelled, ChildEnd, ChildEnded, ChildStarted, CreateError, Ended, Entry, Log,
    Mail, NextChild, On, Options, Parent, State,
};
use crate::json::Json;
use crate::limits;
use crate::sandbox::{self, ChildKind, ChildOutcome, GuestFailure, Stop};
use crate::store::MailKey;

/// Changes when mail is left for the job.
pub(super) fn mailbox(shared: &Shared, space: &Space, job_id: JobId) -> watch::Receiver<u64> {
    let mut mailbox = shared.store.watch(&MailKey { space: space.clone(), job_id, id: [0; 16] });
    // Something may lie there already; the first step looks.
    mailbox.mark_changed();
    mailbox
}

/// Makes the children that the journal says were started and that a crash kept from being made, and hears from those whose
/// last word came while this job had ended.
pub(super) async fn make_missing(shared: &Arc<Shared>, log: &mut Log, entries: &mut Vec<Entry>) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    for child in log.state().children.clone().into_iter().filter(|child| child.end.is_none()) {
        match journal::head_of(&shared.store, log.space(), &child.job_id)? {
            None => make(shared, log, &child).await?,
            Some(head) if head.status.is_final() => {
                let ended = journal::fold(&shared.store, log.space(), &child.job_id)?;
                steer::push(log, entries, Body::ChildEnded(ChildEnded { child: child.child, end: ended.end_as_child() }))?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn make(shared: &Arc<Shared>, log: &Log, child: &Child) -> Result<()> {
    let of = log.state();
    let created = Body::Created {
        playbook_id: child.playbook_id.clone(),
        version: child.version,
        component: child.component,
        input: child.input.clone(),
        input_digest: digest_of(shared, child)?,
        grants: of.grants.clone(),
        engine: sandbox::ENGINE_VERSION.to_owned(),
        fuel: of.fuel,
        options: Box::new(inherited(of)),
        parent: Some(Parent { job_id: log.job_id(), child: child.child, depth: depth(of) + 1, branch: child.branch.clone() }),
        origin: None,
    };
    match log.create_child(child.job_id, created, shared.worker()).await {
        Ok(made) => {
            begin(shared, made.witnessed(shared.rules.at_end.clone()), shared.manner(&log.job_id()));
            Ok(())
        }
        Err(CreateError::Failed(e)) if e.code == Code::JobStateConflict => Ok(()),
        Err(CreateError::Failed(e)) => Err(e),
        Err(CreateError::KeyTaken) => Err(Error::new(Code::InternalError, "a child has no idempotency key")),
    }
}

fn digest_of(shared: &Shared, child: &Child) -> Result<crate::ids::Digest> {
    shared.store.load(&child.input).map(|input| input.digest())
}

/// A child is as urgent as its parent, tries as hard and has the same bounds for itself; its time is the parent's business.
fn inherited(of: &State) -> Options {
    Options { timeout_ms: None, budget: journal::Budget { wall_ms: None, ..of.budget }, job_tries: 1, ..of.options.clone() }
}

fn depth(of: &State) -> u32 {
    of.parent.as_ref().map_or(0, |parent| parent.depth)
}

impl Durable {
    pub(super) async fn child(&mut self, kind: ChildKind, input: Json) -> Result<Result<u32, GuestFailure>, Stop> {
        let asked = match &kind {
            ChildKind::Branch(name) => AskedChild::Branch(name),
            ChildKind::Playbook(id) => AskedChild::Playbook(id),
        };
        match self.cursor.next_child(self.step.as_deref(), asked, input.digest()) {
            NextChild::Answer(child) => return Ok(Ok(child)),
            NextChild::Diverged(diverged) => return Err(stop_of(diverged)),
            NextChild::Live => {}
        }
        self.between_steps().await?;
        let state = self.log.state();
        if state.children.len() >= limits::CHILDREN_MAX {
            return Err(Stop::Limit(format!("the job has {} children; it may have no more", limits::CHILDREN_MAX)));
        }
        if depth(state) >= limits::CHILD_DEPTH_MAX {
            return Err(Stop::Limit(format!("{} jobs stand above this one; there may be no further one below", limits::CHILD_DEPTH_MAX)));
        }
        let (branch, playbook_id, version, component) = match kind {
            ChildKind::Branch(name) => (Some(name), state.playbook_id.clone(), state.version, state.component),
            ChildKind::Playbook(id) => {
                let found = PlaybookId::parse(&id).and_then(|id| (self.shared.catalogue)(self.log.space(), &id));
                match found {
                    Ok((target, component)) => (None, target.playbook_id, target.version, component),
                    // Not on record: it is there or not when the guest asks again after a crash, and only what was started is.
                    Err(e) => return Err(Stop::Limit(format!("playbook {id:?} cannot be started: {}", e.message))),
                }
            }
        };
        let number = u32::try_from(self.log.state().children.len() + 1).expect("children are bounded");
        let input = save(&self.shared.store, input).await.map_err(Stop::Host)?;
        let (step, job_id) = (self.step.clone(), JobId::fresh());
        self.push(Body::ChildStarted(ChildStarted { child: number, step, job_id, branch, playbook_id, version, component, input }))?;
        if self.is_cancelled() {
            // It is told before it is there, and looks for mail before it does anything.
            let reason = Some(format!("job {}, which had started it, is to be cancelled", self.log.job_id()));
            self.log.send(job_id, Mail::Cancel(CancelRequested { by: CancelRequested::BY_PARENT.to_owned(), reason }));
        }
        self.flushed().await?;
        let child = self.log.state().child(number).expect("it was just entered").clone();
        make(&self.shared, &self.log, &child).await.map_err(Stop::Host)?;
        Ok(Ok(number))
    }

    pub(super) async fn child_outcome(&mut self, child: u32) -> Result<ChildOutcome, Stop> {
        let ended = self.wait_for(vec![child]).await?;
        if ended == Ended::Cancelled {
            return Ok(Err(failure("the job is to be cancelled")));
        }
        match self.log.state().child(child).and_then(|child| child.end.clone()) {
            Some(ChildEnd::Completed(output)) => Ok(Ok(loaded(&self.shared.store, output).await.map_err(Stop::Host)?)),
            Some(ChildEnd::Failed(why)) => Ok(Err(GuestFailure { step: why.step, message: why.message, detail: why.detail })),
            Some(ChildEnd::Cancelled) => Ok(Err(failure("it was cancelled"))),
            None => Err(Stop::Host(Error::new(Code::InternalError, format!("child {child} ended and did not say how")))),
        }
    }

    pub(super) async fn first_child(&mut self, children: Vec<u32>) -> Result<u32, Stop> {
        let first = children[0];
        match self.wait_for(children).await? {
            Ended::Child(child) => Ok(child),
            // Whoever joins it is told that the job is to be cancelled.
            _ => Ok(first),
        }
    }

    async fn wait_for(&mut self, children: Vec<u32>) -> Result<Ended, Stop> {
        if let Some(unknown) = children.iter().find(|child| self.log.state().child(**child).is_none()) {
            return Err(Stop::Limit(format!("there is no child {unknown}; the job has {}", self.log.state().children.len())));
        }
        self.wait(On::Children { children }, None).await
    }

    pub(super) async fn cancelled_child(&mut self, child: u32) -> Result<(), Stop> {
        match self.cursor.next_cancel(child) {
            NextChild::Answer(_) => return Ok(()),
            NextChild::Diverged(diverged) => return Err(stop_of(diverged)),
            NextChild::Live => {}
        }
        let Some(row) = self.log.state().child(child).cloned() else {
            return Err(Stop::Limit(format!("there is no child {child}; the job has {}", self.log.state().children.len())));
        };
        self.push(Body::ChildCancelled(ChildCancelled { child }))?;
        if row.end.is_some() {
            return Ok(());
        }
        let reason = Some(format!("job {} asked for it", self.log.job_id()));
        self.log.send(row.job_id, Mail::Cancel(CancelRequested { by: CancelRequested::BY_PARENT.to_owned(), reason }));
        self.flushed().await?;
        steer::nudge(&self.shared, self.log.space().clone(), row.job_id);
        Ok(())
    }
}

fn failure(message: &str) -> GuestFailure {
    GuestFailure { step: None, message: message.to_owned(), detail: None }
}
