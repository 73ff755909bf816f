//! Jobs: start, read, list, follow, resume.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::Engine;
use crate::clock::rfc3339;
use crate::error::{Code, Error, Issue, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::jobs::{ApprovalId, CallId, Manner, Order, Target, waits_for_someone};
use crate::journal::{self, Entry, Filter, On, Options, State, Status};
use crate::json::Json;
use crate::store::JobKey;
use crate::tools::{Grant, Grants};
use crate::{blocking, fields, limits};

/// What is asked for when a job is started.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// Its version; the newest where none is named.
    pub version: Option<u32>,
    /// The input that the playbook's schema describes.
    pub input: Json,
    /// The client's name for this request.
    pub idempotency_key: Option<String>,
    /// Permissions for this job alone; only an operator's own hand gives any.
    pub grants: Vec<Grant>,
    /// How it is to be run.
    pub options: Options,
}

impl JobRequest {
    /// What makes two requests the same: all that was asked for, as it was asked.
    fn digest(&self) -> Digest {
        let grants = serde_json::to_vec(&self.grants).expect("grants print");
        let version = self.version.map(|version| version.to_string()).unwrap_or_default();
        let options = if self.options.is_default() { Vec::new() } else { serde_json::to_vec(&self.options).expect("options print") };
        let id = self.playbook_id.as_str().as_bytes();
        Digest::of_parts(&[id, version.as_bytes(), self.input.as_str().as_bytes(), &grants, &options])
    }
}

/// A job as its journal tells it.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job.
    pub job_id: JobId,
    /// The fold of its journal.
    pub state: State,
    /// What it returned, where it completed.
    pub output: Option<Json>,
}

/// One page of a list of jobs, newest first.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The jobs' rows.
    pub jobs: Vec<(JobId, journal::Head)>,
    /// Where the next page begins; none where this is the last.
    pub next: Option<JobId>,
}

/// The names of the input's fields.
fn takes(schema: &Value) -> String {
    let names: Vec<&str> = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).take(20).collect();
    if names.is_empty() { "no input ({})".to_owned() } else { names.join(", ") }
}

/// What each component takes, by digest: reading it out of a component means compiling its plan again.
#[derive(Clone, Default)]
pub(super) struct ExpectedInputs {
    /// Held for look-ups and inserts only.
    by_component: Arc<Mutex<HashMap<Digest, Arc<Option<ExpectedInput>>>>>,
}

/// A schema, ready to check with.
pub(super) struct ExpectedInput {
    schema: Value,
    validator: jsonschema::Validator,
}

impl ExpectedInput {
    pub(super) fn of(schema: Value) -> Result<ExpectedInput> {
        match jsonschema::validator_for(&schema) {
            Ok(validator) => Ok(ExpectedInput { schema, validator }),
            Err(e) => Err(Error::new(Code::InternalError, format!("the playbook's input schema: {e}"))),
        }
    }

    /// # Errors
    /// `input_does_not_fit` with each place.
    pub(super) fn check(&self, input: &Json) -> Result<()> {
        let ExpectedInput { schema, validator } = self;
        let value = input.value();
        // Masked: a message that repeats the value could be a megabyte long.
        let issue = |e: jsonschema::ValidationError| Issue { path: e.instance_path().to_string(), message: e.masked().to_string() };
        let issues: Vec<Issue> = validator.iter_errors(&value).take(limits::TOOL_ISSUES_MAX).map(issue).collect();
        if issues.is_empty() {
            return Ok(());
        }
        let refusal = fields::refusal(Code::InputDoesNotFit, issues)
            .at(format!("the input does not fit the playbook, which takes {}", takes(schema)));
        Err(refusal.with_details(json!({"input_schema": schema})))
    }
}

impl ExpectedInputs {
    fn get(&self, component: &Digest) -> Option<Arc<Option<ExpectedInput>>> {
        self.by_component.lock().expect("nobody panics while holding it").get(component).cloned()
    }

    fn keep(&self, component: &Digest, schema: Option<Value>) -> Result<Arc<Option<ExpectedInput>>> {
        let expected = Arc::new(schema.map(ExpectedInput::of).transpose()?);
        let mut all = self.by_component.lock().expect("nobody panics while holding it");
        if all.len() >= limits::COMPONENTS_IN_MEMORY_MAX {
            all.clear();
        }
        all.insert(*component, Arc::clone(&expected));
        Ok(expected)
    }
}

impl Engine {
    /// Checks the input against the playbook's schema and starts a job. It is on disk when this returns.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, `input_does_not_fit` with each place, `invalid_configuration` for a grant, `id_conflict` for the idempotency key,
    /// `too_large`, `too_busy`, `shutting_down`.
    pub async fn start_job(&self, space: &Space, request: JobRequest, manner: Manner) -> Result<JobId> {
        let asked = request.digest();
        let promise = request.idempotency_key.clone().map(|key| (key, asked));
        if let Some(job) = self.promised(space, promise.as_ref(), manner).await? {
            return Ok(job);
        }
        let job_id = JobId::fresh();
        let (mut version, canary) = match request.version {
            None => self.chosen(space, &request.playbook_id, &job_id)?,
            number => (self.playbooks.to_start(space, &request.playbook_id, number)?, None),
        };
        self.check_request(&request.input, &request.grants).await?;
        match canary {
            // One that takes another input is tried with jobs that have it.
            Some(canary) if self.check_input(&canary.component, &request.input).await.is_ok() => version = canary,
            _ => self.check_input(&version.component, &request.input).await?,
        }
        let target = Target { playbook_id: version.playbook_id, version: version.version };
        let JobRequest { input, grants, options, .. } = request;
        let order = Order { job_id, target, component: version.component, input, grants, options, origin: None, promise };
        self.scheduler.start(space, order, manner).await
    }

    /// The job that the same request made before. Asked before anything is looked up: a repeat is answered as the first
    /// time, whatever came since.
    pub(super) async fn promised(&self, space: &Space, promise: Option<&(String, Digest)>, manner: Manner) -> Result<Option<JobId>> {
        let Some((key, asked)) = promise else { return Ok(None) };
        self.scheduler.promised(space, key, asked, manner).await
    }

    /// Holds the input's size against its bound. The grants are opened once now, beside those to all jobs, so that one which
    /// cannot be used is an error here and not in the job.
    pub(super) async fn check_request(&self, input: &Json, own: &[Grant]) -> Result<()> {
        let bytes = input.as_str().len();
        if bytes > limits::JSON_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the input has {bytes} bytes; at most {}", limits::JSON_BYTES_MAX)));
        }
        if own.is_empty() {
            return Ok(());
        }
        let all = self.granted()?;
        self.precincts.check(own, &all.iter().chain(own).cloned().collect::<Vec<_>>())?;
        let own = own.to_vec();
        blocking::run(move || Grants::open(&all)?.with(&own).map(drop)).await
    }

    /// A compiled playbook says what it takes; one written by hand checks for itself.
    pub(super) async fn check_input(&self, component: &Digest, input: &Json) -> Result<()> {
        let expected = match self.inputs.get(component) {
            Some(expected) => expected,
            None => self.inputs.keep(component, self.input_schema(component).await?)?,
        };
        expected.as_ref().as_ref().map_or(Ok(()), |expected| expected.check(input))
    }

    /// A job, folded from its journal.
    ///
    /// # Errors
    /// `job_not_found`, `data_corrupt` that names the entry.
    pub async fn job(&self, space: &Space, job_id: &JobId) -> Result<JobView> {
        let (store, space, job_id) = (self.store.clone(), space.clone(), *job_id);
        blocking::run(move || {
            let state = journal::fold(&store, &space, &job_id)?;
            let output = state.output.as_ref().map(|payload| store.load(payload)).transpose()?;
            Ok(JobView { job_id, state, output })
        })
        .await
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn jobs(&self, space: &Space, filter: &Filter, before: Option<JobId>, limit: usize) -> Result<JobPage> {
        let page = journal::list(&self.store, space, filter, before, limit)?;
        Ok(JobPage { jobs: page.jobs, next: page.next })
    }

    /// Entries of a job's journal behind `after`.
    ///
    /// # Errors
    /// `job_not_found`, `data_corrupt`.
    pub fn journal(&self, space: &Space, job_id: &JobId, after: Option<u64>, limit: usize) -> Result<Vec<Entry>> {
        journal::read(&self.store, space, job_id, after, limit)
    }

    /// An entry as people and programs see it; a value that lies in a blob is named by its digest.
    #[must_use]
    pub fn entry_view(&self, entry: &Entry) -> Value {
        journal::view::object(entry)
    }

    /// Waits until the job has ended or stands, at most for `time`.
    ///
    /// # Errors
    /// `job_not_found`, what the store says.
    pub async fn wait(&self, space: &Space, job_id: &JobId, time: Duration) -> Result<Status> {
        self.scheduler.wait(space, job_id, time).await.map(|head| head.status)
    }

    /// Calls `each` for every entry of the job, in order and once it is on disk, until the job ends or stands.
    ///
    /// # Errors
    /// `job_not_found`, `data_corrupt`, what `each` fails with.
    pub async fn follow(&self, space: &Space, job_id: &JobId, mut each: impl FnMut(&Entry) -> Result<()>) -> Result<Status> {
        let mut moves = self.store.watch(&JobKey { space: space.clone(), job_id: *job_id });
        let mut after = None;
        loop {
            let status = journal::head_of(&self.store, space, job_id)?.map(|head| head.status);
            loop {
                let entries = self.journal(space, job_id, after, limits::PAGE_ROWS_MAX)?;
                let Some(last) = entries.last() else { break };
                after = Some(last.seq);
                entries.iter().try_for_each(&mut each)?;
            }
            match status {
                None => return Err(Error::new(Code::JobNotFound, format!("no job {job_id}"))),
                // A process that stays with one job stays with it while the clock or a child is all that it waits for.
                Some(Status::Ready | Status::Running) => {}
                Some(Status::Waiting) if !waits_for_someone(&self.store, space, job_id)? => {}
                Some(status) => return Ok(status),
            }
            // Whoever runs it lives in this process, or nobody does and the row says so.
            let running = self.scheduler.holds(job_id) || status == Some(Status::Waiting);
            let quiet = tokio::time::timeout(limits::WATCH_LOOK_AGAIN, moves.changed()).await.is_err();
            if quiet && !running {
                return Ok(status.unwrap_or(Status::Running));
            }
        }
    }

    /// Takes up one job where an earlier process left it.
    ///
    /// # Errors
    /// `job_not_found`, `job_state_conflict`.
    pub async fn resume_job(&self, space: &Space, job_id: &JobId, manner: Manner) -> Result<()> {
        self.scheduler.take_up(space, *job_id, manner).await
    }
}

impl JobView {
    /// The fields that HTTP and `--json` show.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let state = &self.state;
        let mut view = json!({
            "job_id": self.job_id, "status": state.status().as_str(), "playbook_id": state.playbook_id, "version": state.version,
            "component_digest": state.component, "created_at": rfc3339(state.created_at_ms), "updated_at": rfc3339(state.updated_at_ms),
            "usage": {"calls": state.calls.len(), "journal_entries": state.next_seq() - 1, "attempts": state.attempts, "fuel": state.fuel_used, "fuel_limit": state.fuel},
        });
        let fields = view.as_object_mut().expect("an object was written above");
        if let Some(output) = &self.output {
            fields.insert("output".to_owned(), output.value());
        }
        if let Some(failure) = &state.failure {
            fields.insert("failure".to_owned(), journal::view::failure(failure));
        }
        let doubts: Vec<Value> = state
            .in_doubt()
            .map(|row| json!({"call": row.call, "seq": row.seq, "tool": row.tool.to_string(), "step": row.step, "key": row.key}))
            .collect();
        if !doubts.is_empty() {
            fields.insert("in_doubt".to_owned(), doubts.into());
        }
        if let Some(parent) = &state.parent {
            fields.insert("parent".to_owned(), json!({"job_id": parent.job_id, "child": parent.child, "branch": parent.branch}));
        }
        if let Some(origin) = &state.origin {
            // The graph itself stands in the first entry of the journal.
            let told = origin
                .value()
                .as_object()
                .map(|origin| origin.iter().filter(|(name, _)| *name != "graph").map(|(n, v)| (n.clone(), v.clone())).collect());
            fields.insert("origin".to_owned(), Value::Object(told.unwrap_or_default()));
        }
        if !state.options.is_default() {
            fields.insert("options".to_owned(), serde_json::to_value(&state.options).expect("options print"));
        }
        if let Some(wait) = &state.wait {
            fields.insert("waiting_on".to_owned(), waiting_on(&self.job_id, wait, state));
        }
        if let Some(parked) = &state.parked {
            fields.insert("parked".to_owned(), json!({"reason": parked.reason.as_str(), "message": parked.message}));
        }
        if let Some(paused) = &state.paused {
            fields.insert("paused".to_owned(), json!({"by": paused.by, "reason": paused.reason}));
        }
        if let Some(cancel) = &state.cancel {
            fields.insert("cancel".to_owned(), json!({"by": cancel.by, "reason": cancel.reason}));
        }
        if !state.children.is_empty() {
            let child = |child: &journal::Child| {
                let end = child.end.as_ref().map(journal::ChildEnd::as_str);
                json!({"child": child.child, "job_id": child.job_id, "playbook_id": child.playbook_id, "branch": child.branch, "ended": end})
            };
            fields.insert("children".to_owned(), state.children.iter().map(child).collect());
        }
        if let Some(uncertain) = &state.uncertain {
            let row = state.calls.iter().find(|row| row.call == uncertain.call);
            fields.insert(
                "uncertain".to_owned(),
                json!({
                    "call": uncertain.call, "seq": uncertain.seq, "reason": uncertain.reason,
                    "tool": row.map(|row| row.tool.to_string()), "step": row.and_then(|row| row.step.clone()), "key": row.map(|row| row.key.clone()),
                }),
            );
        }
        if let Some(standing) = &state.handed_over {
            fields.insert("handed_over".to_owned(), handed_over(standing, state));
        }
        view
    }
}

/// A step that is for a person to settle, as clients see it; `seq` is what to settle it with.
fn handed_over(standing: &journal::Standing, state: &State) -> Value {
    let handed = &standing.handed;
    let row = state.calls.iter().find(|row| row.call == handed.call);
    let check = state.refused.as_ref().filter(|_| handed.at.is_some()).map(|refused| refused.checked.check.value());
    json!({
        "seq": standing.seq, "call": handed.call, "step": handed.step, "at": handed.at, "check": check, "why": handed.why,
        "tool": row.map(|row| row.tool.to_string()), "key": row.map(|row| row.key.clone()),
    })
}

/// What a job waits for, as clients see it; the id is the one to answer with.
fn waiting_on(job: &JobId, wait: &journal::Wait, state: &State) -> Value {
    let mut shown = match &wait.on {
        On::Sleep { ms } => json!({"kind": "sleep", "milliseconds": ms}),
        On::Signal { name } => json!({"kind": "signal", "name": name}),
        On::Approval { title, digest, .. } => {
            let id = ApprovalId { job_id: *job, wait: wait.wait };
            json!({"kind": "approval", "approval_id": id.to_string(), "title": title, "digest": digest})
        }
        On::External { call } => {
            let tool = state.calls.iter().find(|row| row.call == *call).map(|row| row.tool.to_string());
            json!({"kind": "external_call", "call_id": CallId { job_id: *job, call: *call }.to_string(), "tool": tool})
        }
        On::Children { children } => json!({"kind": "children", "children": children}),
        On::Pause { call } => json!({"kind": "retry", "call": call}),
    };
    let fields = shown.as_object_mut().expect("an object was written above");
    fields.insert("since".to_owned(), rfc3339(wait.since_ms).into());
    if let Some(step) = &wait.step {
        fields.insert("step".to_owned(), step.as_str().into());
    }
    if let Some(until) = wait.until_ms {
        fields.insert("until".to_owned(), rfc3339(until).into());
    }
    shown
}
