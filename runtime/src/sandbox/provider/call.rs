//! One call of a tool component: a fresh store, its limits, the call, and what came of it.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentType, Instance, Lift, Val};

use super::guest::ToolGuest;
use super::log::Log;
use super::{Described, Function, Offers, Provider, Reach};
use crate::contract::{Effect, ErrorKind, Outcome, Reconciliation, ToolError};
use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;
use crate::sandbox::Sandbox;
use crate::sandbox::guest::{Bounds, WitErrorKind, WitToolError, clipped};
use crate::sandbox::run::{Ending, broken, readable, store_limits};
use crate::sandbox::turns;
use crate::sandbox::values::Shape;

/// What a call took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ToolUsage)]
pub struct Usage {
    /// WebAssembly operations, roughly; 0 of a tool that is no guest. Differs between engine versions.
    pub fuel: u64,
    /// The most linear memory that the guest had, in bytes.
    pub memory_bytes: u64,
    /// Wall time in microseconds.
    pub wall_us: u64,
    /// Bytes of the output, or of the error.
    pub output_bytes: u64,
    /// Bytes that were printed; what is kept of them is bounded.
    pub log_bytes: u64,
}

/// What is left after a call.
#[derive(Debug)]
pub struct Called<T> {
    /// What the tool answered, or how it broke.
    pub answer: T,
    /// What it took.
    pub usage: Usage,
    /// What it printed, up to [`limits::TOOL_LOG_BYTES_MAX`].
    pub log: String,
}

/// One call of a tool, or a question about one.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Its name: `payments/refund` where the component describes itself, the function's name otherwise.
    pub tool: &'a str,
    /// Names the call for good.
    pub key: &'a str,
    /// Fits the schema, where it comes from a job.
    pub input: &'a Json,
}

/// A question that goes to another thread.
struct Owned {
    tool: String,
    key: String,
    input: Json,
}

impl Owned {
    fn of(question: Question<'_>) -> Owned {
        Owned { tool: question.tool.to_owned(), key: question.key.to_owned(), input: question.input.clone() }
    }

    fn question(&self) -> Question<'_> {
        Question { tool: &self.tool, key: &self.key, input: &self.input }
    }
}

/// `wit/tool.wit`, record `tool-info`.
#[derive(ComponentType, Lift)]
#[component(record)]
struct WitToolInfo {
    name: String,
    description: String,
    #[component(name = "input-schema")]
    input_schema: String,
    #[component(name = "output-schema")]
    output_schema: String,
    effect: WitEffect,
}

/// `wit/types.wit`, enum `effect`.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "a guest makes them")]
enum WitEffect {
    #[component(name = "pure")]
    Pure,
    #[component(name = "read")]
    Read,
    #[component(name = "idempotent")]
    Idempotent,
    #[component(name = "once")]
    Once,
}

/// `wit/tool.wit`, variant `reconciliation`.
#[derive(ComponentType, Lift)]
#[component(variant)]
enum WitReconciliation {
    #[component(name = "happened")]
    Happened(String),
    #[component(name = "did-not-happen")]
    DidNotHappen,
    #[component(name = "unknown")]
    Unknown,
}

/// An instance that is ready, and the store that it lives in.
struct Live {
    store: Store<ToolGuest>,
    instance: Instance,
}

/// What is measured while a call is under way.
struct Meter {
    begun: Instant,
    fuel: u64,
    log: Log,
}

impl Sandbox {
    /// Asks a component that describes itself for its tools. It reaches nothing while it answers.
    ///
    /// # Errors
    /// `component_does_not_start` that says how it broke.
    pub async fn describe(&self, provider: &Provider) -> Result<Vec<Described>> {
        let (sandbox, asked) = (self.clone(), provider.clone());
        self.shared.hands.run(&provider.loaded.manner, async move { sandbox.describe_here(&asked).await }).await
    }

    async fn describe_here(&self, provider: &Provider) -> Result<Vec<Described>> {
        let Offers::Described { describe, .. } = &provider.loaded.offers else { return Ok(Vec::new()) };
        let wrong = |how: String| Error::new(Code::ComponentDoesNotStart, format!("the component does not describe its tools: {how}"));
        let (_, mut store) = self.store(Reach::default(), limits::START_FUEL).map_err(wrong)?;
        let asked = async {
            let instance = provider.loaded.pre.instantiate_async(&mut store).await?;
            let describe = instance.get_typed_func::<(), (Vec<WitToolInfo>,)>(&mut store, describe)?;
            describe.call_async(&mut store, ()).await
        };
        let asked = asked.await;
        let (infos,) = asked.map_err(|e| wrong(how_it_broke(&e, &store, limits::START_FUEL)))?;
        let described = |info: WitToolInfo| Described {
            name: info.name,
            description: info.description,
            input_schema: info.input_schema,
            output_schema: info.output_schema,
            effect: match info.effect {
                WitEffect::Pure => Effect::Pure,
                WitEffect::Read => Effect::Read,
                WitEffect::Idempotent => Effect::Idempotent,
                WitEffect::Once => Effect::Once,
            },
        };
        Ok(infos.into_iter().map(described).collect())
    }

    /// Instantiates a component once, with little fuel and without reach: its start functions must come to an end.
    ///
    /// # Errors
    /// `component_does_not_start` that says how it broke.
    pub async fn try_start_provider(&self, provider: &Provider) -> Result<()> {
        let (sandbox, asked) = (self.clone(), provider.clone());
        self.shared.hands.run(&provider.loaded.manner, async move { sandbox.try_start_here(&asked).await }).await
    }

    async fn try_start_here(&self, provider: &Provider) -> Result<()> {
        let wrong = |how: String| Error::new(Code::ComponentDoesNotStart, format!("the component does not start: {how}"));
        let (_, mut store) = self.store(Reach::default(), limits::START_FUEL).map_err(wrong)?;
        let started = provider.loaded.pre.instantiate_async(&mut store).await.map(drop);
        started.map_err(|e| wrong(how_it_broke(&e, &store, limits::START_FUEL)))
    }

    /// Performs one call. An instance that breaks is an error of kind `broken`; the host stays as it was.
    pub async fn call_tool(&self, provider: &Provider, question: Question<'_>, reach: Reach) -> Called<Outcome> {
        let (sandbox, asked, own) = (self.clone(), provider.clone(), Owned::of(question));
        self.shared.hands.run(&provider.loaded.manner, async move { sandbox.call_here(&asked, own.question(), reach).await }).await
    }

    async fn call_here(&self, provider: &Provider, question: Question<'_>, reach: Reach) -> Called<Outcome> {
        let (meter, made) = self.live(provider, reach).await;
        let (answer, store) = match made {
            Err((error, store)) => (Err(error), store),
            Ok(mut live) => {
                let called = match &provider.loaded.offers {
                    Offers::Described { call, .. } => live.call_described(call, question).await,
                    Offers::Functions { functions, .. } => match functions.iter().find(|f| f.name == question.tool) {
                        Some(function) => live.call_function(function, question.input).await,
                        None => Ok(Err(ToolError::new(ErrorKind::NotFound, format!("the component has no function {}", question.tool)))),
                    },
                };
                let answer = called.unwrap_or_else(|e| Err(broke(&e, &live.store)));
                (answer, Some(live.store))
            }
        };
        let bytes = answer.as_ref().map_or_else(|e| e.message.len(), |output| output.as_str().len());
        meter.read(answer, bytes, store)
    }

    /// Asks what became of a call.
    pub async fn ask_tool(&self, provider: &Provider, question: Question<'_>, reach: Reach) -> Called<Reconciliation> {
        let (sandbox, asked, own) = (self.clone(), provider.clone(), Owned::of(question));
        self.shared.hands.run(&provider.loaded.manner, async move { sandbox.ask_here(&asked, own.question(), reach).await }).await
    }

    async fn ask_here(&self, provider: &Provider, question: Question<'_>, reach: Reach) -> Called<Reconciliation> {
        let Offers::Described { reconcile, .. } = &provider.loaded.offers else {
            let why = "a component that only exports functions cannot tell what became of a call".to_owned();
            return Called { answer: Reconciliation::Unknown(why), usage: Usage::default(), log: String::new() };
        };
        let (meter, made) = self.live(provider, reach).await;
        let (answer, store) = match made {
            Err((error, store)) => (Reconciliation::Unknown(error.message), store),
            Ok(mut live) => {
                let asked = live.reconcile(reconcile, question).await;
                let answer = asked.unwrap_or_else(|e| Reconciliation::Unknown(broke(&e, &live.store).message));
                (answer, Some(live.store))
            }
        };
        meter.read(answer, 0, store)
    }

    fn store(&self, reach: Reach, fuel: u64) -> Result<(Log, Store<ToolGuest>), String> {
        let log = Log::default();
        let guest = ToolGuest::new(reach, Bounds::new(store_limits()), log.clone())
            .map_err(|e| format!("a granted directory cannot be opened: {}", e.root_cause()))?;
        let mut store = Store::new(&self.shared.engine, guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_fuel(fuel).expect("the engine consumes fuel");
        store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
        turns::take(&mut store);
        Ok((log, store))
    }

    async fn live(&self, provider: &Provider, reach: Reach) -> (Meter, Result<Live, (ToolError, Option<Store<ToolGuest>>)>) {
        let mut meter = Meter { begun: Instant::now(), fuel: limits::TOOL_FUEL, log: Log::default() };
        let (log, mut store) = match self.store(reach, limits::TOOL_FUEL) {
            Ok(made) => made,
            Err(why) => return (meter, Err((ToolError::new(ErrorKind::Unavailable, why), None))),
        };
        meter.log = log;
        match provider.loaded.pre.instantiate_async(&mut store).await {
            Ok(instance) => (meter, Ok(Live { store, instance })),
            Err(e) => (meter, Err((broke(&e, &store), Some(store)))),
        }
    }
}

impl Meter {
    fn read<T>(self, answer: T, output_bytes: usize, store: Option<Store<ToolGuest>>) -> Called<T> {
        let (log, log_bytes) = self.log.take();
        let left = store.as_ref().map_or(self.fuel, |store| store.get_fuel().expect("the engine consumes fuel"));
        let usage = Usage {
            fuel: self.fuel.saturating_sub(left),
            memory_bytes: store.as_ref().map_or(0, |store| store.data().limits.memory_bytes as u64),
            wall_us: u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            output_bytes: output_bytes as u64,
            log_bytes,
        };
        Called { answer, usage, log }
    }
}

impl Live {
    async fn call_described(&mut self, call: &ComponentExportIndex, question: Question<'_>) -> wasmtime::Result<Outcome> {
        type Answer = (Result<String, WitToolError>,);
        let call = self.instance.get_typed_func::<(&str, &str, &str), Answer>(&mut self.store, call)?;
        let asked = (question.tool, question.key, question.input.as_str());
        let (answer,) = call.call_async(&mut self.store, asked).await?;
        Ok(match answer {
            Ok(output) => output_of(&output),
            Err(error) => Err(ToolError {
                kind: error.kind.into(),
                message: clipped(error.message, limits::GUEST_MESSAGE_CHARS_MAX),
                detail: error.detail.and_then(|detail| readable(&detail).ok()),
            }),
        })
    }

    async fn call_function(&mut self, function: &Function, input: &Json) -> wasmtime::Result<Outcome> {
        let params = match function.signature.lower(&input.value()) {
            Ok(params) => params,
            Err(issue) => return Ok(Err(does_not_fit(issue))),
        };
        let mut results = vec![Val::Bool(false); usize::from(function.signature.returns.is_some())];
        let called = self.instance.get_func(&mut self.store, function.index);
        let called = called.ok_or_else(|| wasmtime::Error::msg("the function is gone"))?;
        called.call_async(&mut self.store, &params, &mut results).await?;
        let (Some(result), Some(shape)) = (results.pop(), &function.signature.returns) else { return Ok(Ok(null())) };
        Ok(match (shape, result) {
            (Shape::Result(ok, _), Val::Result(Ok(value))) => match (ok, value) {
                (Some(shape), Some(value)) => raised(shape, &value),
                _ => Ok(null()),
            },
            (Shape::Result(_, err), Val::Result(Err(error))) => Err(failed(err.as_deref().zip(error.as_deref()))),
            (shape, value) => raised(shape, &value),
        })
    }

    async fn reconcile(&mut self, reconcile: &ComponentExportIndex, question: Question<'_>) -> wasmtime::Result<Reconciliation> {
        let reconcile = self.instance.get_typed_func::<(&str, &str, &str), (WitReconciliation,)>(&mut self.store, reconcile)?;
        let asked = (question.tool, question.key, question.input.as_str());
        let (answer,) = reconcile.call_async(&mut self.store, asked).await?;
        Ok(match answer {
            WitReconciliation::Happened(output) => match output_of(&output) {
                Ok(output) => Reconciliation::Happened(output),
                Err(error) => Reconciliation::Unknown(format!("the tool says that it happened, but {}", error.message)),
            },
            WitReconciliation::DidNotHappen => Reconciliation::DidNotHappen,
            WitReconciliation::Unknown => Reconciliation::Unknown("the tool does not know".to_owned()),
        })
    }
}

fn output_of(text: &str) -> Outcome {
    readable(text).map_err(|why| ToolError::new(ErrorKind::Broken, format!("the tool answered with something that is not JSON: {why}")))
}

fn null() -> Json {
    Json::from(&Value::Null)
}

fn raised(shape: &Shape, value: &Val) -> Outcome {
    let output =
        shape.raise(value).map_err(|issue| ToolError::new(ErrorKind::Failed, format!("the output cannot be kept: {}", at(&issue))))?;
    let output = Json::from(&output);
    match output.as_str().len() {
        bytes if bytes > limits::JSON_BYTES_MAX => {
            let text = format!("the output would have {bytes} bytes; one JSON value has at most {}", limits::JSON_BYTES_MAX);
            Err(ToolError::new(ErrorKind::Failed, text))
        }
        _ => Ok(output),
    }
}

/// The error of a function's own `result`.
fn failed(error: Option<(&Shape, &Val)>) -> ToolError {
    let detail = error.and_then(|(shape, value)| shape.raise(value).ok());
    let message = match &detail {
        Some(Value::String(text)) => clipped(text.clone(), limits::GUEST_MESSAGE_CHARS_MAX),
        Some(value) => clipped(value.to_string(), limits::GUEST_MESSAGE_CHARS_MAX),
        None => "the function returned an error".to_owned(),
    };
    let detail = detail.map(|value| Json::from(&value)).filter(|detail| detail.as_str().len() <= limits::JSON_BYTES_MAX);
    ToolError { kind: ErrorKind::Failed, message, detail }
}

fn at(issue: &Issue) -> String {
    if issue.path.is_empty() { issue.message.clone() } else { format!("{}: {}", issue.path, issue.message) }
}

fn does_not_fit(issue: Issue) -> ToolError {
    let message = clipped(format!("the input does not fit: {}", at(&issue)), limits::GUEST_MESSAGE_CHARS_MAX);
    let detail = Some(Json::from(&serde_json::json!({ "issues": [issue] })));
    ToolError { kind: ErrorKind::InvalidInput, message, detail }
}

/// A call that ended by a trap or a limit.
fn broke(error: &wasmtime::Error, store: &Store<ToolGuest>) -> ToolError {
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return ToolError::new(ErrorKind::Unavailable, "no place for another instance; nothing was called".to_owned());
    }
    ToolError::new(ErrorKind::Broken, format!("the tool {}", how_it_broke(error, store, limits::TOOL_FUEL)))
}

fn how_it_broke(error: &wasmtime::Error, store: &Store<ToolGuest>, fuel: u64) -> String {
    if let Some(wasmtime_wasi::I32Exit(code)) = error.downcast_ref() {
        return format!("ended itself with exit code {code}");
    }
    match (broken(error), &store.data().limits.refused) {
        (Ending::OutOfFuel, _) => format!("used up its {fuel} units of fuel"),
        (Ending::Broke(_), Some(refused)) => format!("broke after {refused}"),
        (Ending::OverTime(how) | Ending::OverLimit(how), _) => how,
        (Ending::Broke(how), None) => format!("broke: {how}"),
        (other, _) => format!("broke: {other:?}"),
    }
}

impl From<WitErrorKind> for ErrorKind {
    fn from(kind: WitErrorKind) -> Self {
        match kind {
            WitErrorKind::InvalidInput => ErrorKind::InvalidInput,
            WitErrorKind::Denied => ErrorKind::Denied,
            WitErrorKind::NotFound => ErrorKind::NotFound,
            WitErrorKind::Conflict => ErrorKind::Conflict,
            WitErrorKind::Unavailable => ErrorKind::Unavailable,
            WitErrorKind::Timeout => ErrorKind::Timeout,
            WitErrorKind::Broken => ErrorKind::Broken,
            WitErrorKind::Failed => ErrorKind::Failed,
            // A tool is not told of a job's end, so it cannot say so.
            WitErrorKind::Cancelled => ErrorKind::Failed,
        }
    }
}
