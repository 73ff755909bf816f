//! One run of one playbook: a fresh store, its limits, one call, and what came of it.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::{Store, StoreLimitsBuilder, Trap};

use super::effects::{Effects, Stop};
use super::guest::{Bounds, Guest, WitFailure, clipped};
use super::turns::{self, Turns};
use super::{Playbook, Sandbox};
use crate::error::{Code, Error, Result};
use crate::json::Json;
use crate::limits;

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// `run` returned an output.
    Output(Json),
    /// `run` returned a failure.
    Failure {
        /// The id last given to `flow.step`, as the guest says.
        step: Option<String>,
        /// What happened.
        message: String,
        /// For programs.
        detail: Option<Json>,
    },
    /// The guest broke: a trap, unreadable output. The text says how.
    Broke(String),
    /// It used up its fuel.
    OutOfFuel,
    /// It ran for too long without asking the host for anything that takes time.
    OverTime(String),
    /// It reached a limit of memory or stack.
    OverLimit(String),
    /// The host stopped it.
    Stopped(Stop),
}

/// What is left after a run.
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// WebAssembly operations, roughly. Differs between engine versions.
    pub fuel_used: u64,
    /// The effects that were lent to the run.
    pub effects: Box<dyn Effects>,
}

impl Sandbox {
    /// Runs a playbook once, from the beginning. One that computes for long goes on where it holds up no one.
    pub async fn run(&self, playbook: &Playbook, input: &Json, effects: Box<dyn Effects>, fuel: u64) -> Finished {
        let (sandbox, asked, input) = (self.clone(), playbook.clone(), input.clone());
        let run = async move { sandbox.run_here(&asked, &input, effects, fuel).await };
        self.shared.hands.run_patiently(&playbook.ready.manner, run).await
    }

    async fn run_here(&self, playbook: &Playbook, input: &Json, effects: Box<dyn Effects>, fuel: u64) -> Finished {
        let mut store = self.store_with(effects, fuel);
        let called = call(playbook, &mut store, input).await;
        let fuel_used = fuel - store.get_fuel().expect("the engine consumes fuel").min(fuel);
        let Guest { effects, stop, limits: bounds, .. } = store.into_data();
        let ending = match (called, stop) {
            (_, Some(stop)) => Ending::Stopped(stop),
            (Err(error), None) => match (broken(&error), bounds.refused) {
                (Ending::Broke(_), Some(refused)) => Ending::OverLimit(refused),
                (ending, _) => ending,
            },
            (Ok(Ok(output)), None) => match readable(&output) {
                Ok(output) => Ending::Output(output),
                Err(why) => Ending::Broke(format!("run returned something that is not an output: {why}")),
            },
            (Ok(Err(failure)), None) => Ending::Failure {
                step: failure.step.map(|s| clipped(s, limits::ID_CHARS_MAX)),
                message: clipped(failure.message, limits::GUEST_MESSAGE_CHARS_MAX),
                detail: failure.detail.and_then(|d| readable(&d).ok()),
            },
        };
        Finished { ending, fuel_used, effects }
    }
}

impl Sandbox {
    /// Instantiates a playbook once, with little fuel and without effects: its start functions must come to an end.
    ///
    /// # Errors
    /// `component_does_not_start` that says how it broke.
    pub async fn try_start(&self, playbook: &Playbook) -> Result<()> {
        let mut store = self.store_with(Box::new(super::Scripted::default()), limits::START_FUEL);
        let started = playbook.ready.pre.instantiate_async(&mut store).await;
        let Err(e) = started else { return Ok(()) };
        let how = match (broken(&e), &store.data().limits.refused) {
            (Ending::Stopped(Stop::Host(e)), _) => return Err(e),
            (Ending::OutOfFuel, _) => format!("its start functions do not end within {} units of fuel", limits::START_FUEL),
            (Ending::Broke(_), Some(refused)) => refused.clone(),
            (Ending::OverLimit(how) | Ending::OverTime(how) | Ending::Broke(how), _) => how,
            (other, _) => format!("{other:?}"),
        };
        Err(Error::new(Code::ComponentDoesNotStart, format!("the component does not start: {how}")))
    }

    fn store_with(&self, effects: Box<dyn Effects>, fuel: u64) -> Store<Guest> {
        let turns = Turns::for_at_most(limits::GUEST_BUSY_TIME_MAX);
        let guest = Guest { effects, limits: Bounds::new(store_limits()), stop: None, log_lines: 0, turns };
        let mut store = Store::new(&self.shared.engine, guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_fuel(fuel).expect("the engine consumes fuel");
        store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
        turns::take(&mut store);
        store
    }
}

async fn call(playbook: &Playbook, store: &mut Store<Guest>, input: &Json) -> wasmtime::Result<Result<String, WitFailure>> {
    let instance = playbook.ready.pre.instantiate_async(&mut *store).await?;
    let run = instance.get_typed_func::<(&str,), (Result<String, WitFailure>,)>(&mut *store, playbook.ready.run)?;
    let (answer,) = run.call_async(store, (input.as_str(),)).await?;
    Ok(answer)
}

/// `run` must have the type that `wit/` gives it; found at upload, not at the first job.
pub(super) fn check_type(component: &Component) -> Result<()> {
    let wrong =
        |found: String| Error::new(Code::NotAComponent, format!("its run is not func(input: json) -> result<json, failure>: {found}"));
    let Some((ComponentItem::ComponentFunc(ty), _)) =
        component.get_export(None, super::PLAYBOOK).and_then(|(_, interface)| component.get_export(Some(&interface), "run"))
    else {
        return Err(wrong("it is not a function".to_owned()));
    };
    let params: Vec<_> = ty.params().map(|(_, t)| t).collect();
    let results: Vec<_> = ty.results().collect();
    match (params.as_slice(), results.as_slice()) {
        ([Type::String], [Type::Result(result)])
            if matches!(result.ok(), Some(Type::String)) && matches!(result.err(), Some(Type::Record(_))) =>
        {
            Ok(())
        }
        _ => Err(wrong(format!("it takes {} values and gives {}", params.len(), results.len()))),
    }
}

pub(super) fn store_limits() -> wasmtime::StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(limits::GUEST_MEMORY_BYTES_MAX)
        .table_elements(limits::GUEST_TABLE_ELEMENTS_MAX)
        .instances(limits::GUEST_CORE_INSTANCES_MAX as usize)
        .memories(limits::GUEST_MEMORIES_MAX as usize)
        .tables(limits::GUEST_TABLES_MAX as usize)
        .build()
}

pub(super) fn readable(text: &str) -> Result<Json, String> {
    if text.len() > limits::JSON_BYTES_MAX {
        return Err(format!("{} bytes; at most {}", text.len(), limits::JSON_BYTES_MAX));
    }
    Json::parse(text.as_bytes()).map_err(|e| e.to_string())
}

pub(super) fn broken(error: &wasmtime::Error) -> Ending {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Ending::OutOfFuel,
        Some(Trap::Interrupt) => Ending::OverTime(format!("ran for {} s without calling a tool", limits::GUEST_BUSY_TIME_MAX.as_secs())),
        Some(Trap::StackOverflow) => Ending::OverLimit(format!("its stack grew beyond {} bytes", limits::GUEST_STACK_BYTES_MAX)),
        Some(trap) => Ending::Broke(trap.to_string()),
        // The chain's last link says what happened; the ones before it are the guest's own frames.
        // The pool has a slot for everyone who may ask; if it is full all the same, it is not this guest's doing.
        None if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() => {
            Ending::Stopped(Stop::Host(Error::new(Code::TooBusy, format!("no place for another instance: {error:#}"))))
        }
        None => Ending::Broke(clipped(error.root_cause().to_string(), limits::GUEST_MESSAGE_CHARS_MAX)),
    }
}
