//! The tools: those that are built in, those of uploaded components, and what a job may reach with them.
//!
//! Its job: find a tool by its id, check the input against the tool's schema, perform the call within
//! its limits, and give an [`Outcome`]. It does not know guests, journals or jobs, and never decides
//! whether a call may be repeated: that follows from the [`Effect`] it declares.
//! The rule that must stay true: a call reaches what its [`Grants`] cover and nothing else, and no
//! outcome carries a host path.

pub mod asks;
pub mod grants;

mod components;
mod exec;
mod fs;
mod http;
mod kv;
mod look;
mod placeholders;
mod scrubbed;
mod tool;

pub use grants::{Access, Grant, Grants, HttpGrant, Method};
pub use http::{LookUp, Names};
pub use placeholders::FilledIn;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

use crate::contract::{Confirmation, Effect, ErrorKind, Namespace, Outcome, Reconciliation, ToolError, ToolId};
use crate::json::Json;
use crate::sandbox::Usage;
use crate::secrets::Secrets;
use crate::store::Store;
use crate::{limits, metrics, spans};

pub use components::{ComponentAdded, ComponentVersion, Components, NamespaceSummary, Offered, Preview, preview, words_of};
use tool::Panicked;
pub use tool::Performed;
pub(crate) use tool::{Call, Tool};

/// The name of the operator's configuration file. The file tools never change a file of this name, so that a job
/// cannot write its own grants.
pub const CONFIG_FILE_NAME: &str = "reprise.toml";

/// What everyone may know about a tool.
#[derive(Debug, Clone)]
pub struct Info {
    /// Its name.
    pub id: ToolId,
    /// For whoever writes a call: what it does, in a sentence or two.
    pub description: Cow<'static, str>,
    /// JSON Schema (2020-12) of the input.
    pub input_schema: Value,
    /// JSON Schema (2020-12) of the output.
    pub output_schema: Value,
    /// What repeating a call does.
    pub effect: Effect,
    /// What a job may do with it, for a security reviewer: "read files".
    pub words: Cow<'static, str>,
    /// What to know before it is granted on this machine, in a sentence; none where all is as documented.
    pub warning: Option<Cow<'static, str>>,
}

/// How long a call may take.
#[derive(Clone, Copy)]
struct Times {
    begin: Duration,
    answer: Duration,
}

/// What the tools stand on, apart from a job's grants.
#[derive(Clone)]
pub struct Surroundings {
    /// Says where the `http` tools find a name.
    pub names: Arc<dyn Names>,
    /// Put into requests where a grant says so, and taken out of everything that a tool answers.
    pub secrets: Secrets,
    /// Where the `kv` tools keep what they are given. Where there is none, they are listed and cannot be called.
    pub store: Option<Store>,
}

/// Names as this machine finds them, no secrets and no store.
impl Default for Surroundings {
    fn default() -> Self {
        Surroundings { names: Arc::new(http::OfThisMachine), secrets: Secrets::none(), store: None }
    }
}

/// Every tool there is, by id. Cheap to clone; clones see the same tools.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    /// Sorted by id.
    built: Vec<Arc<Tool>>,
    /// Those of uploaded components, by id. Held for a look-up or an exchange, never over an await.
    provided: RwLock<BTreeMap<ToolId, Arc<Tool>>>,
    times: Times,
    secrets: Secrets,
    ways: Ways,
    /// Calls that may still change something, by tool and key. Held for a moment, never over an await.
    under_way: Mutex<HashSet<(ToolId, String)>>,
}

impl Registry {
    /// The tools that are part of this program, in their usual surroundings.
    #[must_use]
    pub fn builtin() -> Registry {
        Registry::within(&Surroundings::default())
    }

    /// The tools that are part of this program.
    #[must_use]
    pub fn within(surroundings: &Surroundings) -> Registry {
        let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
        let ways = Ways::of(surroundings);
        Registry::made(ways.builtin(), times, surroundings, ways)
    }

    #[cfg(test)]
    fn of(tools: Vec<Tool>, times: Times) -> Registry {
        let surroundings = Surroundings::default();
        Registry::made(tools, times, &surroundings, Ways::of(&surroundings))
    }

    fn made(tools: Vec<Tool>, times: Times, surroundings: &Surroundings, ways: Ways) -> Registry {
        let mut built: Vec<Arc<Tool>> = tools.into_iter().map(Arc::new).collect();
        built.sort_by(|a, b| a.info.id.cmp(&b.info.id));
        let secrets = surroundings.secrets.clone();
        Registry(Arc::new(Inner { built, provided: RwLock::default(), times, secrets, ways, under_way: Mutex::default() }))
    }

    /// The built-in tools and these.
    #[cfg(test)]
    pub(crate) fn with(more: Vec<Tool>) -> Registry {
        let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
        Registry::of(Ways::of(&Surroundings::default()).builtin().into_iter().chain(more).collect(), times)
    }

    /// The same tools, apart from what is provided to the one or the other from now on.
    pub(crate) fn apart(&self) -> Registry {
        let Inner { built, provided, times, secrets, ways, .. } = &*self.0;
        let provided = RwLock::new(provided.read().unwrap_or_else(PoisonError::into_inner).clone());
        let (built, secrets, ways) = (built.clone(), secrets.clone(), ways.clone());
        Registry(Arc::new(Inner { built, provided, times: *times, secrets, ways, under_way: Mutex::default() }))
    }

    fn find(&self, id: &ToolId) -> Option<Arc<Tool>> {
        let built = &self.0.built;
        match built.binary_search_by(|tool| tool.info.id.cmp(id)) {
            Ok(at) => Some(Arc::clone(&built[at])),
            Err(_) => self.0.provided.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned(),
        }
    }

    /// What leads out of one call.
    fn ways(&self) -> &Ways {
        &self.0.ways
    }

    /// True where a tool of this program has this namespace.
    pub(crate) fn has_built(&self, namespace: &Namespace) -> bool {
        self.0.built.iter().any(|tool| tool.info.id.namespace() == namespace.as_str())
    }

    /// From now on a namespace has these tools and no others.
    fn provide(&self, namespace: &Namespace, tools: Vec<Tool>) {
        // A map stays whole whatever panicked while it was held.
        let mut provided = self.0.provided.write().unwrap_or_else(PoisonError::into_inner);
        provided.retain(|id, _| id.namespace() != namespace.as_str());
        provided.extend(tools.into_iter().map(|tool| (tool.info.id.clone(), Arc::new(tool))));
    }

    /// True where there is a tool of this id.
    #[must_use]
    pub fn contains(&self, id: &ToolId) -> bool {
        self.find(id).is_some()
    }

    /// What is known about the tool of this id.
    #[must_use]
    pub fn get(&self, id: &ToolId) -> Option<Arc<Info>> {
        self.find(id).map(|tool| Arc::clone(&tool.info))
    }

    /// Every tool, sorted by id.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Info>> {
        let provided = self.0.provided.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Info>> = self.0.built.iter().chain(provided.values()).map(|tool| Arc::clone(&tool.info)).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// What repeating this very call does: the tool's own effect, unless the grant that covers the call says more about
    /// the other side. [`Effect::Once`] for a tool that is not there, as for anything of which nothing is known.
    #[must_use]
    pub fn effect_of(&self, id: &ToolId, input: &Json, grants: &Grants) -> Effect {
        self.find(id).map_or(Effect::Once, |tool| tool.effect(input, grants))
    }

    /// How long a call of this tool may take at most.
    #[must_use]
    pub fn time_of(&self, id: &ToolId) -> Duration {
        self.find(id).and_then(|tool| tool.time).unwrap_or(self.0.times.answer)
    }

    /// Performs one call. `key` names this call for good: whoever repeats it after a crash gives the same one.
    ///
    /// The output is at most [`limits::JSON_BYTES_MAX`] bytes and comes within [`limits::TOOL_CALL_TIME_MAX`].
    /// Dropping the future stops a tool that waits for others (`http`) at once. It does not stop work on files that
    /// has begun; a second attempt with the same key is `unavailable` (of a once tool: `timeout`) until that work has
    /// ended, so that one call never runs beside itself.
    ///
    /// # Errors
    /// Each tool's page in `docs/TOOLS.md` lists its own. Any tool: `invalid-input` with every place that
    /// does not fit the schema, `not-found` where there is no such tool, `timeout`, `unavailable`, `broken`.
    pub async fn call(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Outcome {
        self.call_metered(id, key, input, grants).await.outcome
    }

    /// As [`Registry::call`], with what the call took and printed.
    pub async fn call_metered(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Performed {
        let (name, begun) = (id.to_string(), Instant::now());
        let span = spans::tool_call(&name, key);
        let before = self.0.secrets.known();
        let performed = async {
            let Performed { outcome, usage, log } = self.perform(id, key, input, grants).await;
            let outcome = scrubbed::outcome(id, outcome, Arc::clone(&before), &self.0.secrets).await;
            let performed = Performed { outcome, usage, log: scrubbed::log(log, before, &self.0.secrets).await };
            for line in performed.log.lines() {
                tracing::info!(tool = %id, "{line}");
            }
            performed
        };
        let performed = performed.instrument(span.clone()).await;
        let word = performed.outcome.as_ref().err().map_or("ok", |error| error.kind.as_str());
        span.record("outcome", word);
        let tool = if self.contains(id) { metrics::Tool::Registered(&name) } else { metrics::Tool::Unknown };
        let took = begun.elapsed();
        metrics::tool_call(tool, word, took.as_secs_f64());
        let wall_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Performed { usage: Usage { wall_us, ..performed.usage }, ..performed }
    }

    async fn perform(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Performed {
        match self.try_perform(id, key, input, grants).await {
            Ok(performed) => performed,
            Err(error) => Performed { outcome: Err(error), usage: Usage::default(), log: String::new() },
        }
    }

    async fn try_perform(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Result<Performed, ToolError> {
        let Some(tool) = self.find(id) else { return Err(self.no_such_tool(id)) };
        if input.as_str().len() > limits::JSON_BYTES_MAX {
            let text = format!("the input has {} bytes; a tool takes at most {}", input.as_str().len(), limits::JSON_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::InvalidInput, text));
        }
        let under_way = match tool.info.effect.touches_nothing() {
            true => None,
            false => Some(UnderWay::begin(&self.0, id, key).map_err(|e| match tool.effect(input, grants) {
                // `unavailable` would promise that nothing happened, and the other attempt may be just about to.
                Effect::Once => ToolError { kind: ErrorKind::Timeout, ..e },
                _ => e,
            })?),
        };
        let most = tool.time.unwrap_or(self.0.times.answer);
        match tokio::time::timeout(most, tool.perform(self.ask(key, input, grants), under_way)).await {
            Ok(Ok(performed)) => Ok(performed),
            Ok(Err(Panicked)) => Err(ToolError::new(ErrorKind::Broken, format!("{id} stopped unexpectedly; this is a mistake in Reprise"))),
            Err(_) => {
                let seconds = most.as_secs_f32();
                let known = if tool.info.effect.touches_nothing() { "" } else { ", and whether it took effect is not known" };
                Err(ToolError::new(ErrorKind::Timeout, format!("{id} did not answer within {seconds} s{known}")))
            }
        }
    }

    /// Asks after a crash, or after a `timeout`, whether the call with this key took effect. Changes nothing.
    /// The input is what the call was made with; it is not checked again.
    pub async fn reconcile(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Reconciliation {
        let before = self.0.secrets.known();
        let reconciliation = self.ask_what_became(id, key, input, grants).await;
        scrubbed::reconciliation(reconciliation, before, &self.0.secrets).await
    }

    async fn ask_what_became(&self, id: &ToolId, key: &str, input: &Json, grants: &Grants) -> Reconciliation {
        let Some(tool) = self.find(id) else { return Reconciliation::Unknown(self.no_such_tool(id).message) };
        // Held while it is asked: an answer about a call that is still at work would be out of date at once.
        let Ok(under_way) = UnderWay::begin(&self.0, id, key) else {
            return Reconciliation::Unknown(format!("an attempt at this very call of {id} is still under way"));
        };
        let asked = tool.reconcile(self.ask(key, input, grants), under_way);
        let why = match tokio::time::timeout(self.0.times.answer, asked).await {
            Ok(Ok(Some(reconciliation))) => return reconciliation,
            Ok(Ok(None)) => format!("{id} has no way to tell whether a call of it took effect"),
            Ok(Err(Panicked)) => format!("{id} stopped unexpectedly when it was asked; this is a mistake in Reprise"),
            Err(_) => format!("{id} did not say within {} s whether the call took effect", self.0.times.answer.as_secs_f32()),
        };
        Reconciliation::Unknown(why)
    }

    /// Asks whether the world still looks as the recorded `output` of a call with this `input` says. Changes nothing.
    pub async fn confirm(&self, id: &ToolId, input: &Json, output: &Json, grants: &Grants) -> Confirmation {
        let before = self.0.secrets.known();
        let confirmation = self.look_again(id, input, output, grants).await;
        scrubbed::confirmation(confirmation, before, &self.0.secrets).await
    }

    async fn look_again(&self, id: &ToolId, input: &Json, output: &Json, grants: &Grants) -> Confirmation {
        let Some(tool) = self.find(id) else { return Confirmation::Unknown(self.no_such_tool(id).message) };
        let asked = tool.confirm(self.ask("", input, grants), output.clone());
        let why = match tokio::time::timeout(self.0.times.answer, asked).await {
            Ok(Ok(Some(confirmation))) => return confirmation,
            Ok(Ok(None)) => format!("{id} has no way to tell whether its answer still holds"),
            Ok(Err(Panicked)) => format!("{id} stopped unexpectedly when it was asked; this is a mistake in Reprise"),
            Err(_) => format!("{id} did not say within {} s whether its answer still holds", self.0.times.answer.as_secs_f32()),
        };
        Confirmation::Unknown(why)
    }

    fn ask(&self, key: &str, input: &Json, grants: &Grants) -> Call {
        let (key, input, grants) = (key.to_owned(), input.clone(), grants.clone());
        Call { key, input, grants, secrets: self.0.secrets.known(), begin_until: Instant::now() + self.0.times.begin }
    }

    fn no_such_tool(&self, id: &ToolId) -> ToolError {
        let text = if id.is_external() {
            format!("{id} is performed by a worker from outside, which a job waits for, and never called here")
        } else {
            let ids: Vec<String> = self.list().iter().map(|info| info.id.to_string()).collect();
            format!("there is no tool {id}; there are {}", ids.join(", "))
        };
        ToolError::new(ErrorKind::NotFound, text)
    }
}

/// What leads out of one call, for tools of every kind.
#[derive(Clone)]
struct Ways {
    gate: http::gate::Gate,
    /// None where there is no store to keep anything in.
    spaces: Option<kv::Spaces>,
    /// Where no program may look; none where there is no store.
    data: Option<PathBuf>,
}

impl Ways {
    fn of(surroundings: &Surroundings) -> Ways {
        Ways {
            gate: http::gate::Gate::new(Arc::clone(&surroundings.names), surroundings.secrets.clone()),
            spaces: surroundings.store.clone().map(kv::Spaces::of),
            data: surroundings.store.as_ref().map(|store| store.dir().to_owned()),
        }
    }

    /// The tools that are part of this program.
    fn builtin(&self) -> Vec<Tool> {
        let exec = exec::tools(exec::Walls::of_this_kernel(), self.data.clone());
        fs::tools().into_iter().chain(http::tools(&self.gate)).chain(kv::tools(self.spaces.clone())).chain(exec).collect()
    }
}

/// The input as the tool's own type.
fn input<'v, T: Deserialize<'v>>(value: &'v Value) -> Result<T, ToolError> {
    T::deserialize(value).map_err(|e| ToolError::new(ErrorKind::InvalidInput, cut(&format!("the input does not fit: {e}"))))
}

/// As much of a message as one may be long.
fn cut(text: &str) -> String {
    text.chars().take(limits::GUEST_MESSAGE_CHARS_MAX).collect()
}

/// Marks a call that may still change something, until it is dropped.
struct UnderWay {
    inner: Arc<Inner>,
    call: (ToolId, String),
}

impl UnderWay {
    fn begin(inner: &Arc<Inner>, id: &ToolId, key: &str) -> Result<UnderWay, ToolError> {
        let call = (id.clone(), key.to_owned());
        // A set of names stays whole whatever panicked while it was held.
        let mut set = inner.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if !set.insert(call.clone()) {
            let text = format!("an earlier attempt at this very call of {id} is still under way; try again when it has ended");
            return Err(ToolError::new(ErrorKind::Unavailable, text));
        }
        drop(set);
        Ok(UnderWay { inner: Arc::clone(inner), call })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.call);
    }
}

#[cfg(test)]
mod tests;
