//! One tool: what it says of itself, and the functions that do it, blocking or waiting.
//!
//! Its job: check an input against the schema, run the function where it may run, and bound what comes out.
//! It does not know which tools there are, nor how long a call may take.
//! The rules that must stay true: a panic inside of a tool ends that call and nothing else; dropping the future of a
//! tool that waits stops it at once.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::contract::{Confirmation, Effect, ErrorKind, Outcome, Reconciliation, ToolError};
use crate::error::Issue;
use crate::json::Json;
use crate::sandbox::Usage;
use crate::secrets::Known;
use crate::{blocking, limits};

use super::{Grants, Info, cut};

/// One call, as a tool sees it.
#[derive(Clone)]
pub(crate) struct Call {
    /// Names this call for good: the same after a crash. Empty where a tool is asked to confirm.
    pub(crate) key: String,
    /// What it is called with, as it came.
    pub(crate) input: Json,
    pub(crate) grants: Grants,
    /// Those that there were when it began. What is compared with a recorded answer is without them, as that is.
    pub(crate) secrets: Arc<Known>,
    /// Nothing may begin to change after this.
    pub(super) begin_until: Instant,
}

impl Call {
    /// True while there is time to begin something.
    pub(super) fn has_time(&self) -> bool {
        Instant::now() < self.begin_until
    }

    /// Waits a little, longer with each of the `tries`, for what another call holds. False once the time is over.
    pub(super) fn pause(&self, tries: u32) -> bool {
        let pause = Duration::from_millis(1 << tries.min(10)).min(limits::TOOL_PAUSE_MAX);
        std::thread::sleep(pause.min(self.begin_until.saturating_duration_since(Instant::now())));
        self.has_time()
    }
}

/// What a call came to, what it took, and what it printed.
#[derive(Debug, Clone)]
pub struct Performed {
    /// The output, or why there is none.
    pub outcome: Outcome,
    /// What it took.
    pub usage: Usage,
    /// What a tool component printed, up to [`limits::TOOL_LOG_BYTES_MAX`].
    pub log: String,
}

/// What a call gave, for comparing it with the world.
pub(crate) struct Recorded {
    pub(crate) input: Value,
    pub(crate) output: Value,
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A function of a tool. `A` is what it is given, an input that fits the schema or a recorded call.
enum Work<A, T> {
    /// On a thread that may block. It runs to its end even if nobody waits for it any more.
    Blocking(fn(&Call, &A) -> T),
    /// In the task of whoever asks, and stopped with it.
    Waiting(Arc<dyn Fn(Call, A) -> Waiting<T> + Send + Sync>),
}

// Derived, it would ask that `A` and `T` can be cloned.
impl<A, T> Clone for Work<A, T> {
    fn clone(&self) -> Self {
        match self {
            Work::Blocking(run) => Work::Blocking(*run),
            Work::Waiting(run) => Work::Waiting(Arc::clone(run)),
        }
    }
}

impl<A: Send + 'static, T: Send + 'static> Work<A, T> {
    fn waiting<F: Future<Output = T> + Send + 'static>(run: impl Fn(Call, A) -> F + Send + Sync + 'static) -> Self {
        Work::Waiting(Arc::new(move |call, argument| Box::pin(run(call, argument))))
    }

    /// `prepare` runs on a thread that may block, before or with the work; `held` is dropped when the work has ended.
    async fn run<E: From<Panicked> + Send + 'static>(
        &self,
        call: Call,
        prepare: impl FnOnce() -> Result<A, E> + Send + 'static,
        held: impl Send + 'static,
    ) -> Result<T, E> {
        match self {
            Work::Blocking(run) => {
                let run = *run;
                let work = move || {
                    let _until_done = held;
                    catch_unwind(AssertUnwindSafe(|| Ok(run(&call, &prepare()?)))).unwrap_or_else(|_| Err(Panicked.into()))
                };
                blocking::run(work).await
            }
            Work::Waiting(run) => {
                let _until_done = held;
                let argument = blocking::run(prepare).await?;
                Ok(caught(|| run(call, argument)).await?)
            }
        }
    }
}

/// A tool panicked. The panic itself is in the log.
pub(super) struct Panicked;

/// Makes a future and awaits it; a panic in either ends only that.
async fn caught<T>(make: impl FnOnce() -> Waiting<T>) -> Result<T, Panicked> {
    let mut future = catch_unwind(AssertUnwindSafe(make)).map_err(|_| Panicked)?;
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// What repeating a call does, by its input and grants.
type EffectOf = Box<dyn Fn(&Value, &Grants) -> Effect + Send + Sync>;

/// How a tool does its work.
enum Run {
    /// A function of this program.
    Built(Work<Value, Result<Value, ToolError>>),
    /// A guest's function, which checks its output itself.
    Guest(GuestWork),
}

type GuestWork = Arc<dyn Fn(Call) -> Waiting<Performed> + Send + Sync>;

/// A tool: what it says of itself, and the functions that do it.
pub(crate) struct Tool {
    pub(super) info: Arc<Info>,
    input: Arc<jsonschema::Validator>,
    run: Run,
    effect: Option<EffectOf>,
    /// How long a call may take, where that is not what most may.
    pub(super) time: Option<Duration>,
    reconcile: Option<Work<Value, Reconciliation>>,
    confirm: Option<Work<Recorded, Confirmation>>,
}

impl Tool {
    fn new(info: Info, run: Work<Value, Result<Value, ToolError>>) -> Tool {
        let input = validator(&info.input_schema).expect("a built-in tool's input schema is a schema; a test holds it to that");
        Tool {
            info: Arc::new(info),
            input: Arc::new(input),
            run: Run::Built(run),
            effect: None,
            time: None,
            reconcile: None,
            confirm: None,
        }
    }

    /// One that a component provides; it can be stopped while it works.
    ///
    /// # Errors
    /// Why its input schema is none.
    pub(super) fn guest<F: Future<Output = Performed> + Send + 'static>(
        info: Info,
        run: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Result<Tool, String> {
        let input = Arc::new(validator(&info.input_schema)?);
        let run: GuestWork = Arc::new(move |call| Box::pin(run(call)));
        Ok(Tool { info: Arc::new(info), input, run: Run::Guest(run), effect: None, time: None, reconcile: None, confirm: None })
    }

    /// One whose function blocks.
    pub(super) fn blocking(info: Info, run: fn(&Call, &Value) -> Result<Value, ToolError>) -> Tool {
        Tool::new(info, Work::Blocking(run))
    }

    /// One whose function waits, and can be stopped while it does.
    pub(crate) fn waiting<F: Future<Output = Result<Value, ToolError>> + Send + 'static>(
        info: Info,
        run: impl Fn(Call, Value) -> F + Send + Sync + 'static,
    ) -> Tool {
        Tool::new(info, Work::waiting(run))
    }

    /// With an effect that depends on the input and the grants; given a JSON value that need not fit the schema.
    pub(super) fn with_effect(self, effect: impl Fn(&Value, &Grants) -> Effect + Send + Sync + 'static) -> Tool {
        Tool { effect: Some(Box::new(effect)), ..self }
    }

    /// With a time of its own, after which a call is given up.
    pub(super) fn lasting(self, time: Duration) -> Tool {
        Tool { time: Some(time), ..self }
    }

    /// With a way to find out what became of a call; blocks.
    pub(super) fn reconciled(self, reconcile: fn(&Call, &Value) -> Reconciliation) -> Tool {
        Tool { reconcile: Some(Work::Blocking(reconcile)), ..self }
    }

    /// With a way to find out what became of a call; waits.
    pub(crate) fn reconciled_waiting<F: Future<Output = Reconciliation> + Send + 'static>(
        self,
        reconcile: impl Fn(Call, Value) -> F + Send + Sync + 'static,
    ) -> Tool {
        Tool { reconcile: Some(Work::waiting(reconcile)), ..self }
    }

    /// With a check that its answer still holds; blocks.
    pub(super) fn confirmed(self, confirm: fn(&Call, &Recorded) -> Confirmation) -> Tool {
        Tool { confirm: Some(Work::Blocking(confirm)), ..self }
    }

    /// With a check that its answer still holds; waits.
    pub(crate) fn confirmed_waiting<F: Future<Output = Confirmation> + Send + 'static>(
        self,
        confirm: impl Fn(Call, Recorded) -> F + Send + Sync + 'static,
    ) -> Tool {
        Tool { confirm: Some(Work::waiting(confirm)), ..self }
    }

    pub(super) fn effect(&self, input: &Json, grants: &Grants) -> Effect {
        self.effect.as_ref().map_or(self.info.effect, |effect| effect(&input.value(), grants))
    }

    /// Checks the input and runs; `held` is dropped when the work has ended.
    pub(super) async fn perform(&self, call: Call, held: impl Send + 'static) -> Result<Performed, Panicked> {
        let (schema, id, input) = (Arc::clone(&self.input), self.info.id.clone(), call.input.clone());
        let prepare = move || check(&schema, &id, &input).map_err(Refused::Input);
        let run = match &self.run {
            Run::Built(run) => run,
            Run::Guest(run) => {
                let _until_done = held;
                // Moving a small input to another thread and back takes longer than checking it.
                let checked = match call.input.as_str().len() <= limits::TOOL_CHECK_HERE_BYTES_MAX {
                    true => caught(|| Box::pin(std::future::ready(prepare()))).await.unwrap_or(Err(Refused::Panicked)),
                    false => blocking::run(prepare).await,
                };
                return match checked {
                    Ok(_) => caught(|| run(call)).await.map_err(|Panicked| self.panicked()),
                    Err(Refused::Input(error)) => Ok(built(Err(error))),
                    Err(Refused::Panicked) => Err(self.panicked()),
                };
            }
        };
        let output = match run.run(call, prepare, held).await {
            Ok(output) => output,
            Err(Refused::Input(error)) => return Ok(built(Err(error))),
            Err(Refused::Panicked) => return Err(self.panicked()),
        };
        Ok(built(output.map_err(|e| ToolError { message: cut(&e.message), ..e }).and_then(|output| {
            let output = Json::from(&output);
            let bytes = output.as_str().len();
            if bytes > limits::JSON_BYTES_MAX {
                let id = &self.info.id;
                let text = format!("the output of {id} would have {bytes} bytes; one JSON value has at most {}", limits::JSON_BYTES_MAX);
                return Err(ToolError::new(ErrorKind::Failed, text));
            }
            Ok(output)
        })))
    }

    /// None where the tool has no way to tell.
    pub(super) async fn reconcile(&self, call: Call, held: impl Send + 'static) -> Result<Option<Reconciliation>, Panicked> {
        let Some(reconcile) = &self.reconcile else { return Ok(None) };
        let input = call.input.clone();
        reconcile.run(call, move || Ok(input.value()), held).await.map(Some).map_err(|Panicked| self.panicked())
    }

    /// None where the tool has no way to tell.
    pub(super) async fn confirm(&self, call: Call, output: Json) -> Result<Option<Confirmation>, Panicked> {
        let Some(confirm) = &self.confirm else { return Ok(None) };
        let input = call.input.clone();
        let prepare = move || Ok(Recorded { input: input.value(), output: output.value() });
        confirm.run(call, prepare, ()).await.map(Some).map_err(|Panicked| self.panicked())
    }

    fn panicked(&self) -> Panicked {
        tracing::error!(tool = %self.info.id, "a tool panicked");
        Panicked
    }
}

/// What a tool of this program came to: it prints nothing, and takes no fuel.
fn built(outcome: Outcome) -> Performed {
    let bytes = outcome.as_ref().map_or_else(|e| e.message.len(), |output| output.as_str().len());
    Performed { outcome, usage: Usage { output_bytes: bytes as u64, ..Usage::default() }, log: String::new() }
}

/// Without backtracking, a pattern takes time in proportion to the text.
pub(super) fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex()).build(schema).map_err(|e| cut(&e.to_string()))
}

/// Why a function was not run, or not to its end.
enum Refused {
    Input(ToolError),
    Panicked,
}

impl From<Panicked> for Refused {
    fn from(_: Panicked) -> Self {
        Refused::Panicked
    }
}

/// The input, if it fits the schema.
fn check(schema: &jsonschema::Validator, id: &crate::contract::ToolId, input: &Json) -> Result<Value, ToolError> {
    let input = input.value();
    let issues: Vec<Issue> = schema
        .iter_errors(&input)
        .take(limits::TOOL_ISSUES_MAX)
        // Masked: a message that repeats the value could be a megabyte long.
        .map(|e| Issue { path: e.instance_path().to_string(), message: cut(&e.masked().to_string()) })
        .collect();
    if issues.is_empty() {
        return Ok(input);
    }
    let listed: Vec<String> =
        issues.iter().map(|i| if i.path.is_empty() { i.message.clone() } else { format!("{}: {}", i.path, i.message) }).collect();
    let detail = Json::from(&serde_json::json!({ "issues": issues }));
    let message = cut(&format!("the input does not fit {id}: {}", listed.join("; ")));
    Err(ToolError { kind: ErrorKind::InvalidInput, message, detail: Some(detail) })
}
