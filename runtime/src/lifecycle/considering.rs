//! Looks at playbooks of which there is news, and does what the policy says: up, down, back.
//!
//! Everything here follows from rows: which versions there are, what was seen of them, and the mark that there is something to
//! look at. The mark goes only when nothing is left to do for what it stood for. If the process dies anywhere, the mark is
//! still there, and the next look finds what was done and does the rest.
//!
//! | write (one atomic batch each) | the process dies before | dies after |
//! |---|---|---|
//! | a rehearsal's evidence | it is done again | it is not done again |
//! | the next version, guarded by the playbook's row | nothing changed | it is looked at again, and is found in its new status |
//! | the mark is taken away, guarded by itself | it is looked at again, and nothing is found | done |

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::change::is_higher;
use super::evidence::{self, Drift, EventKind, Mark, of_run};
use super::policy::{self, Standing, Tally, Verdict};
use super::{Authority, ChangeKind, Next, Origin, Playbooks, Policies, Sources, Status, Summary, Version};
use crate::compiler::emit::Explained;
use crate::compiler::plan::{Parameter, Plan};
use crate::compiler::rehearse::{Answered, End, Leeway, Recording, Rehearsed, Subject, rehearse};
use crate::compiler::{self, Bindings};
use crate::config::Policy;
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, RunId, Space};
use crate::journal::AtEnd;
use crate::json::Json;
use crate::sandbox::Sandbox;
use crate::store::{Batch, CommitError, ConsiderKey, Store};
use crate::tools::Registry;
use crate::tools::asks::{Asks, Diff};
use crate::{blocking, clock, limits};

/// The name under which the policy acts.
pub const BY_POLICY: &str = "policy";

/// All that it takes to hold playbooks against their policies. Cheap to clone.
#[derive(Clone)]
pub struct Lifecycle {
    store: Store,
    playbooks: Playbooks,
    policies: Policies,
    sources: Sources,
    sandbox: Sandbox,
    tools: Registry,
    bell: Arc<Notify>,
    /// Looks in quick succession that are left.
    looks: Arc<AtomicU32>,
}

/// What is known of a version, and what follows.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Beside its evidence.
    pub standing: Standing,
    /// Its evidence, counted.
    pub tally: Tally,
    /// What follows.
    pub verdict: Verdict,
}

impl Lifecycle {
    /// Over `store`, with what it takes to rehearse.
    #[must_use]
    pub fn new(store: Store, playbooks: Playbooks, policies: Policies, sources: Sources, sandbox: Sandbox, tools: Registry) -> Lifecycle {
        Lifecycle { playbooks, sources, store, policies, sandbox, tools, bell: Arc::default(), looks: Arc::default() }
    }

    /// What is written with the last entry of each job.
    #[must_use]
    pub fn at_end(&self) -> AtEnd {
        let (bell, looks) = (Arc::clone(&self.bell), Arc::clone(&self.looks));
        let (store, playbooks) = (self.store.clone(), self.playbooks.clone());
        AtEnd::new(move |space, job, state| {
            // What a review holds back shows nothing, whatever let it run.
            let held_back = playbooks.get(space, &state.playbook_id, Some(state.version)).is_ok_and(|version| version.is_held_back());
            if held_back {
                return Batch::new();
            }
            looks.store(limits::CONSIDER_LOOKS, Ordering::Relaxed);
            bell.notify_one();
            evidence::of_job(&store, space, job, state)
        })
    }

    /// Rings when there is, or soon will be, something to consider.
    #[must_use]
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Tells the one who looks that there is something.
    pub fn ring(&self) {
        self.looks.store(limits::CONSIDER_LOOKS, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Looks at everything that is marked and due; answers how long it may be until the next look. What fails is said, and tried again.
    pub async fn round(&self) -> Duration {
        match self.look().await {
            Ok(0) if self.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() => {
                limits::CONSIDER_TICK
            }
            Ok(_) => limits::CONSIDER_PAUSE,
            Err(e) => {
                tracing::error!("the evidence on playbooks could not be considered, and is again: {e}");
                limits::CONSIDER_TICK
            }
        }
    }

    /// Looks at everything that is marked and due; how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn look(&self) -> Result<usize> {
        // What there is to look at is looked at in any case.
        if let Err(e) = self.policies.resume().await {
            tracing::error!("what policies mean for the playbooks of their spaces is not done, and is tried again: {e}");
        }
        let (mut seen, mut after) = (0, None);
        loop {
            let marks = self.store.scan(&ConsiderKey::all(), after.as_ref(), limits::CONSIDERED_AT_ONCE)?;
            let Some((last, _)) = marks.last() else { return Ok(seen) };
            after = Some(last.clone());
            for (key, row) in &marks {
                // What cannot be read is due: it is written anew.
                if Mark::read(row).is_ok_and(|mark| mark.due.is_some_and(|due| due > clock::now_ms())) {
                    continue;
                }
                match self.consider_marked(key, row).await {
                    Ok(()) => seen += 1,
                    Err(e) if e.code == Code::StoreUnavailable => return Err(e),
                    // One that cannot be looked at must not keep the others from it; its mark stays.
                    Err(e) => tracing::error!(playbook = %key.playbook_id, "its evidence could not be considered, and is again: {e}"),
                }
            }
        }
    }

    async fn consider_marked(&self, key: &ConsiderKey, row: &[u8]) -> Result<()> {
        let due = self.consider(&key.space, &key.playbook_id).await?;
        let mut batch = Batch::new();
        // Where there is news by now, the mark is another one, and stays.
        batch.expect(key, Some(row));
        match due {
            Some(due) => batch.put(key, Mark::due(Some(due)).row()),
            None => batch.delete(key),
        }
        match self.store.commit(batch).await {
            Ok(()) | Err(CommitError::Guard) => Ok(()),
            Err(CommitError::Store(e)) => Err(e),
        }
    }

    /// Does what the policy says of a playbook; when it is to be looked at again though nothing happens.
    ///
    /// # Errors
    /// What the store says.
    pub async fn consider(&self, space: &Space, id: &PlaybookId) -> Result<Option<u64>> {
        for _ in 0..limits::CHANGES_AT_ONCE {
            let summary = match self.playbooks.summary(space, id) {
                Ok(summary) => summary,
                Err(e) if e.code == Code::ReplayPlaybookNotFound => return Ok(None),
                Err(e) => return Err(e),
            };
            if summary.active_status == Status::Disabled {
                return Ok(None);
            }
            let policy = self.policies.of(space, Some(id))?;
            let (next, due) = self.next(space, &summary, &policy).await?;
            let Some(next) = next else { return Ok(due) };
            let as_seen = |now: &Summary| Ok((now.latest_version == summary.latest_version).then(|| next.clone()));
            match self.playbooks.add_status_version(space, id, as_seen, |_| Batch::new()).await {
                Ok(Some(made)) => tracing::info!(playbook = %id, version = made.version, "the policy made it {}", made.status.as_str()),
                // Somebody else was faster: what stands now is looked at.
                Ok(None) => {}
                Err(e) if e.code == Code::PromotionNotEarned => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Ok(Some(clock::now_ms()))
    }

    /// What the policy does next, if anything; otherwise when age alone will have changed something.
    async fn next(&self, space: &Space, summary: &Summary, policy: &Policy) -> Result<(Option<Next>, Option<u64>)> {
        let mut due = None;
        for version in self.subjects(space, summary)? {
            if version.status == Status::Draft && policy.auto_promote {
                self.rehearse(space, &version).await?;
            }
            let judged = self.judged(space, summary, &version, policy)?;
            if let Some(why) = judged.verdict.demote {
                return Ok((Some(self.lowered(space, summary, version, why, policy)?), None));
            }
            if !policy.auto_promote {
                continue;
            }
            if let Some(status) = judged.verdict.promote_to {
                let asks = version.asks.clone().unwrap_or_default();
                let next = Next::of(version, asks, status, ChangeKind::AutoPromoted, Authority::Evidence);
                let reason = Some(earned(status, &judged.tally));
                return Ok((Some(Next { by: Some(BY_POLICY.to_owned()), reason, ..next }), None));
            }
            let at = judged.verdict.in_ms.map(|ms| clock::now_ms() + ms);
            due = due.into_iter().chain(at).min();
        }
        Ok((None, due))
    }

    /// The versions that can rise or fall: what runs, the shadow, and the newest draft behind both.
    fn subjects(&self, space: &Space, summary: &Summary) -> Result<Vec<Version>> {
        let id = &summary.playbook_id;
        let mut subjects = vec![self.playbooks.get(space, id, Some(summary.active_version))?];
        if let Some(shadow) = summary.shadow_version.filter(|shadow| *shadow != summary.active_version) {
            subjects.push(self.playbooks.get(space, id, Some(shadow))?);
        }
        let newest = subjects.iter().map(|version| version.version).max().unwrap_or(0);
        let behind = self.playbooks.versions(space, id, None, limits::VERSIONS_LOOK_BACK)?;
        let draft = behind.into_iter().take_while(|version| version.version > newest);
        subjects.extend(draft.filter(|version| version.status == Status::Draft && !version.is_held_back()).take(1));
        subjects.retain(|version| !version.is_held_back());
        Ok(subjects)
    }

    /// What is known of a version, and what its playbook's policy makes of it.
    ///
    /// # Errors
    /// What the store says.
    pub fn judged(&self, space: &Space, summary: &Summary, version: &Version, policy: &Policy) -> Result<Judged> {
        let tally = self.tally(space, version, policy)?;
        let wider = match (&summary.active_asks, &version.asks) {
            _ if version.version == summary.active_version => false,
            (Some(active), Some(asks)) => Diff::between(active, asks).asks_for_more(),
            _ => true,
        };
        let age_ms = clock::now_ms().saturating_sub(version.created_at_ms);
        let standing = Standing { status: version.status, age_ms, wider, lost: version.trusted_since_ms.is_some() };
        let verdict = policy::judge(policy, standing, &tally);
        Ok(Judged { standing, tally, verdict })
    }

    fn tally(&self, space: &Space, version: &Version, policy: &Policy) -> Result<Tally> {
        let events = evidence::for_decision(&self.store, space, &version.playbook_id, &version.component)?;
        // What is active has proved itself, and answers for what it did as such.
        let active_since = (version.status == Status::Active).then_some(version.created_at_ms);
        let since = version.trusted_since_ms.max(active_since).unwrap_or(0);
        Ok(policy::tally(&events, since, policy))
    }

    /// The latest jobs of a version's component, among whatever else a decision looks at.
    ///
    /// # Errors
    /// What the store says.
    pub fn jobs_of(&self, space: &Space, version: &Version) -> Result<Vec<evidence::Event>> {
        evidence::for_decision(&self.store, space, &version.playbook_id, &version.component)
    }

    /// What follows a version that lost its status: the last good one where it was active, else itself as a draft.
    fn lowered(&self, space: &Space, summary: &Summary, version: Version, why: String, policy: &Policy) -> Result<Next> {
        let place = format!("version {}: {why}", version.version);
        let by_policy = |next: Next| Next { by: Some(BY_POLICY.to_owned()), reason: Some(place.clone()), ..next };
        if version.status == Status::Active
            && let Some((good, asks)) = self.last_good(space, summary, &version, policy)?
        {
            return Ok(by_policy(Next::of(good, asks, Status::Active, ChangeKind::RolledBack, Authority::Evidence)));
        }
        let asks = version.asks.clone().or_else(|| summary.active_asks.clone()).unwrap_or_default();
        Ok(by_policy(Next::of(version, asks, Status::Draft, ChangeKind::AutoDemoted, Authority::Evidence)))
    }

    /// The newest version that was active before with another component, asks for no more, and has no evidence against it.
    fn last_good(&self, space: &Space, summary: &Summary, bad: &Version, policy: &Policy) -> Result<Option<(Version, Asks)>> {
        let before = self.playbooks.versions(space, &bad.playbook_id, Some(bad.version), limits::VERSIONS_LOOK_BACK)?;
        for version in before.into_iter().filter(|v| v.status == Status::Active && v.component != bad.component && !v.is_held_back()) {
            let Some(asks) = version.asks.clone() else { continue };
            let narrow = summary.active_asks.as_ref().is_some_and(|active| !Diff::between(active, &asks).asks_for_more());
            if narrow && !policy::is_bad(policy, &self.tally(space, &version, policy)?) {
                return Ok(Some((version, asks)));
            }
        }
        Ok(None)
    }

    /// Runs a version on each recording that it comes from and was not run on yet, without touching anything, and keeps what it showed.
    ///
    /// # Errors
    /// What the store says. What is wrong with a recording is evidence, and no error.
    pub async fn rehearse(&self, space: &Space, version: &Version) -> Result<()> {
        let (id, component) = (&version.playbook_id, &version.component);
        let events = evidence::for_decision(&self.store, space, id, component)?;
        let done = |run: &RunId| events.iter().any(|e| e.kind == EventKind::Shadow && e.run_id.as_ref() == Some(run));
        for run in version.provenance.source_runs.iter().filter(|run| !done(run)) {
            let drift = self.rehearsal(space, version, run).await?;
            let mut batch = Batch::new();
            let (drift, calls) = match drift {
                Ok(calls) => (None, calls),
                Err(drift) => (Some(drift), 0),
            };
            evidence::put(&mut batch, space, id, component, of_run(EventKind::Shadow, version, run, drift, calls));
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    /// How many calls it made as recorded, or where it went another way.
    async fn rehearsal(&self, space: &Space, version: &Version, run: &RunId) -> Result<Result<u64, Drift>> {
        let (this, space, version, run_id) = (self.clone(), space.clone(), version.clone(), run.clone());
        let handle = tokio::runtime::Handle::current();
        blocking::run(move || {
            let drift = |why: String| Ok(Err(Drift { step: None, why, cause: None }));
            let run = match this.sources.get(&space, &run_id) {
                Ok(run) => run,
                Err(e) if e.code == Code::ReplayRunNotFound => return drift("the recording is not there any more".to_owned()),
                Err(e) => return Err(e),
            };
            let options = match &version.origin {
                Origin::Compiled(compilation) => compilation.options.clone().unwrap_or_default(),
                Origin::Uploaded | Origin::Graph { .. } => compiler::Options::default(),
            };
            let bindings = match Bindings::builtin(&this.tools).extended(&options.bindings, &options.roots) {
                Ok(bindings) => bindings,
                Err(e) => return drift(e.to_string()),
            };
            let component = this.store.blobs().get(&version.component)?;
            let Explained::ByPlan(plan) = compiler::explain(&component, &this.tools) else {
                return drift("it carries no plan, which says what it would be given".to_owned());
            };
            let recording = Recording::of(&run, &bindings);
            let input = given(&recording, &plan);
            let subject = Subject { digest: version.component, component };
            let provides = |tool: &crate::contract::ToolId| this.tools.get(tool).is_some();
            let none = |_: &str| false;
            match handle.block_on(rehearse(&this.sandbox, provides, &subject, &input, &recording, Leeway::Of(&none))) {
                Ok(rehearsed) => Ok(same(&rehearsed, &recording)),
                Err(e) if e.code == Code::StoreUnavailable => Err(e),
                Err(e) => drift(e.to_string()),
            }
        })
        .await
    }
}

/// What a job would be given to do what was recorded: where the run did not have a parameter, the default stands for it.
fn given(recording: &Recording, plan: &Plan) -> Json {
    let value = |p: &Parameter| match recording.inputs.get(&p.name) {
        Some(value) => Some((p.name.clone(), value.clone())),
        None => p.default.is_none().then(|| (p.name.clone(), p.sample.value())),
    };
    Json::from(&serde_json::Value::Object(plan.parameters.iter().filter_map(value).collect()))
}

/// Whether every call, and what came of all, is as recorded.
fn same(rehearsed: &Rehearsed, recording: &Recording) -> Result<u64, Drift> {
    let drift = |step: Option<&str>, why: String| Drift { step: step.map(str::to_owned), why, cause: None };
    for (at, call) in rehearsed.calls.iter().enumerate() {
        if !matches!(call.answered, Answered::AsRecorded(_)) {
            let why = format!("call {} of {} is not the recorded one", at + 1, call.tool);
            return Err(drift(Some(&call.step), why));
        }
    }
    match &rehearsed.end {
        End::Output(_) if !rehearsed.left_out.is_empty() => {
            Err(drift(None, format!("{} recorded calls were not made", rehearsed.left_out.len())))
        }
        End::Output(output) if recording.output.as_ref().is_some_and(|recorded| recorded != output) => {
            Err(drift(None, "its output is not the recorded one".to_owned()))
        }
        End::Output(_) => Ok(rehearsed.calls.len() as u64),
        End::Unknown(why) => Err(drift(None, why.clone())),
        End::Failed { step, why } => Err(drift(step.as_deref(), why.clone())),
    }
}

/// What earned a status, in words.
fn earned(status: Status, tally: &Tally) -> String {
    if status == Status::Shadow {
        return format!("it was proved and reproduces {} recordings without touching anything", tally.recordings);
    }
    let (s, n) = (tally.successes, tally.successes + tally.failures);
    let bound = policy::wilson(tally.successes, tally.failures);
    format!("{s} of {n} jobs succeeded, with {} different inputs: a success rate of at least {bound:.2}", tally.distinct_inputs)
}

impl Lifecycle {
    /// Everything that is missing for a version to get a status by evidence. Evidence is of a component, and so what is judged is
    /// how the component stands now, whichever of its versions is named.
    ///
    /// # Errors
    /// What the store says.
    pub fn missing(&self, space: &Space, version: &Version, target: Status) -> Result<Vec<String>> {
        let policy = self.policies.of(space, Some(&version.playbook_id))?;
        let summary = self.playbooks.summary(space, &version.playbook_id)?;
        let newest = self.newest_like(space, version)?;
        let judged = self.judged(space, &summary, &newest, &policy)?;
        let mut missing = policy::missing(&policy, judged.standing, &judged.tally, target);
        let (number, status) = (newest.version, newest.status.as_str());
        if summary.active_status == Status::Disabled && version.status != Status::Disabled {
            missing.insert(0, "an operator's word: the playbook is disabled".to_owned());
        }
        if is_higher(version.status, newest.status) {
            missing.insert(0, format!("standing: version {number} has the same component and is {status} now; promote that one"));
        } else if newest.status == target && !self.stands(space, &newest)? {
            missing.insert(0, format!("an operator's word: another version took the place of version {number}, which was {status}"));
        }
        Ok(missing)
    }

    /// The newest version with the component of this one that no review holds back, with the latest time at which the component
    /// lost a status. The version itself where there is no newer one.
    ///
    /// # Errors
    /// What the store says.
    pub fn newest_like(&self, space: &Space, version: &Version) -> Result<Version> {
        let (mut newest, mut trusted, mut before) = (None, version.trusted_since_ms, None);
        loop {
            // All the way down to the one that is named: versions of other components in between must not hide a newer one.
            let page = self.playbooks.versions(space, &version.playbook_id, before, limits::VERSIONS_LOOK_BACK)?;
            before = page.last().map(|last| last.version);
            for like in page.into_iter().filter(|other| other.component == version.component && !other.is_held_back()) {
                trusted = trusted.max(like.trusted_since_ms);
                newest.get_or_insert(like);
            }
            if before.is_none_or(|before| before <= version.version) {
                break;
            }
        }
        let newest = newest.filter(|newest| newest.version > version.version).unwrap_or_else(|| version.clone());
        Ok(Version { trusted_since_ms: trusted, ..newest })
    }

    /// Whether a version's component has that version's status in the playbook as it is: nothing has taken its place.
    ///
    /// # Errors
    /// What the store says.
    pub fn stands(&self, space: &Space, version: &Version) -> Result<bool> {
        let summary = self.playbooks.summary(space, &version.playbook_id)?;
        let has_it = |number: u32| {
            let other = self.playbooks.get(space, &version.playbook_id, Some(number))?;
            Ok::<_, Error>(other.component == version.component && other.status == version.status)
        };
        match version.status {
            Status::Disabled => Ok(summary.active_status == Status::Disabled),
            _ if summary.active_status == Status::Disabled => Ok(false),
            Status::Active => has_it(summary.active_version),
            Status::Shadow => summary.shadow_version.map_or(Ok(false), has_it),
            // A draft stands nowhere, and so nothing takes its place.
            Status::Draft => Ok(true),
        }
    }

    /// The policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Evidence on a version's component, newest first, each with its id.
    ///
    /// # Errors
    /// What the store says.
    pub fn evidence(
        &self,
        space: &Space,
        version: &Version,
        before: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<Vec<([u8; 16], evidence::Event)>> {
        evidence::of_component(&self.store, space, &version.playbook_id, &version.component, before, limit)
    }
}

/// The refusal that names what is missing.
#[must_use]
pub fn not_earned(version: &Version, target: Status, missing: &[String]) -> Error {
    let Version { playbook_id: id, version: number, .. } = version;
    let message = format!(
        "version {number} of playbook {id} has not earned the status {}: {}; an operator may promote it all the same",
        target.as_str(),
        missing.join("; ")
    );
    super::not_earned(message, missing)
}
