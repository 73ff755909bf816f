//! The host functions behind `flow`: steps, waits, children, clock and log, each handed to [`Effects`].
//!
//! It knows nothing of what an answer is made from. What a guest hands in is cut or refused here, so that nothing
//! unbounded comes further.

use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime::{Result, StoreContextMut};

use super::effects::{Answering, ChildKind, GuestFailure, Interruption, Level, StepOptions};
use super::guest::{Guest, WitFailure, charge, clipped, rewind_kill_switch, stopped};
use super::imports::FLOW;
use crate::json::Json;
use crate::limits;

/// `wit/playbook.wit`, record `step-options`.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(record)]
struct WitStepOptions {
    tries: Option<u32>,
    #[component(name = "first-pause-milliseconds")]
    first_pause: Option<u64>,
    #[component(name = "call-timeout-milliseconds")]
    call_timeout: Option<u64>,
    #[component(name = "step-timeout-milliseconds")]
    step_timeout: Option<u64>,
}

impl From<WitStepOptions> for StepOptions {
    fn from(wit: WitStepOptions) -> Self {
        StepOptions {
            tries: wit.tries,
            first_pause_ms: wit.first_pause,
            call_timeout_ms: wit.call_timeout,
            step_timeout_ms: wit.step_timeout,
        }
    }
}

/// `wit/playbook.wit`, variant `interruption`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum WitInterruption {
    #[component(name = "expired")]
    Expired,
    #[component(name = "rejected")]
    Rejected(String),
    #[component(name = "cancelled")]
    Cancelled,
}

impl From<Interruption> for WitInterruption {
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::Expired => WitInterruption::Expired,
            Interruption::Rejected(words) => WitInterruption::Rejected(words.as_str().to_owned()),
            Interruption::Cancelled => WitInterruption::Cancelled,
        }
    }
}

impl From<GuestFailure> for WitFailure {
    fn from(failure: GuestFailure) -> Self {
        let GuestFailure { step, message, detail } = failure;
        WitFailure { step, message, detail: detail.map(|d| d.as_str().to_owned()) }
    }
}

type Store<'a> = StoreContextMut<'a, Guest>;

/// Waits for the effects' answer. The guest's own time does not run meanwhile.
pub(super) async fn ask<T>(mut store: Store<'_>, question: impl for<'e> FnOnce(&'e mut Guest) -> Answering<'e, T>) -> Result<T> {
    let answer = question(store.data_mut()).await;
    rewind_kill_switch(&mut store);
    answer.map_err(|stop| stopped(store, stop))
}

pub(super) fn link_flow(linker: &mut Linker<Guest>) -> Result<()> {
    let mut flow = linker.instance(FLOW)?;
    flow.func_wrap("step", |mut store: Store<'_>, (id,): (String,)| {
        charge(&mut store, id.len())?;
        store.data_mut().effects.step(clipped(id, limits::ID_CHARS_MAX), StepOptions::default());
        Ok(())
    })?;
    flow.func_wrap("step-with", |mut store: Store<'_>, (id, options): (String, WitStepOptions)| {
        charge(&mut store, id.len())?;
        store.data_mut().effects.step(clipped(id, limits::ID_CHARS_MAX), options.into());
        Ok(())
    })?;
    flow.func_wrap_async("sleep", |store: Store<'_>, (ms,): (u64,)| {
        Box::new(async move {
            let waited = ask(store, |guest| guest.effects.sleep(ms)).await?;
            Ok((waited.map_err(WitInterruption::from),))
        })
    })?;
    flow.func_wrap_async("wait-signal", |store: Store<'_>, (name, timeout): (String, Option<u64>)| {
        Box::new(async move {
            let name = short("wait-signal", "name", name)?;
            let waited = ask(store, |guest| guest.effects.wait_signal(name, timeout)).await?;
            Ok((waited.map(text).map_err(WitInterruption::from),))
        })
    })?;
    flow.func_wrap_async("approve", |store: Store<'_>, (title, request, timeout): (String, String, Option<u64>)| {
        Box::new(async move {
            let (title, request) = (clipped(title, limits::TEXT_CHARS_MAX), input("approve", "request", &request)?);
            let waited = ask(store, |guest| guest.effects.approve(title, request, timeout)).await?;
            Ok((waited.map(text).map_err(WitInterruption::from),))
        })
    })?;
    link_children(&mut flow)?;
    flow.func_wrap_async("compensate", |store: Store<'_>, (): ()| Box::new(ask(store, |guest| guest.effects.compensate())))?;
    flow.func_wrap_async("now", |store: Store<'_>, (): ()| Box::new(async move { Ok((ask(store, |guest| guest.effects.now()).await?,)) }))?;
    flow.func_wrap_async("random-u64", |store: Store<'_>, (): ()| {
        Box::new(async move { Ok((ask(store, |guest| guest.effects.random()).await?,)) })
    })?;
    flow.func_wrap("log", |mut store: Store<'_>, (level, message): (Level, String)| {
        charge(&mut store, message.len())?;
        let guest = store.data_mut();
        guest.log_lines += 1;
        if guest.log_lines <= limits::LOG_LINES_MAX {
            guest.effects.log(level, clipped(message, limits::LOG_LINE_CHARS_MAX));
        }
        Ok(())
    })
}

fn link_children(flow: &mut wasmtime::component::LinkerInstance<'_, Guest>) -> Result<()> {
    flow.func_wrap("branch", |store: Store<'_>, (): ()| Ok((store.data().effects.branch(),)))?;
    flow.func_wrap_async("start-branch", |store: Store<'_>, (branch, given): (String, String)| {
        Box::new(async move {
            let (branch, given) = (short("start-branch", "branch", branch)?, input("start-branch", "input", &given)?);
            let started = ask(store, |guest| guest.effects.start_child(ChildKind::Branch(branch), given)).await?;
            // A branch is of this same component, which is there: where none can be started, a limit was met.
            started.map(|child| (child,)).map_err(|failure| wasmtime::Error::msg(failure.message))
        })
    })?;
    flow.func_wrap_async("start-playbook", |store: Store<'_>, (playbook, given): (String, String)| {
        Box::new(async move {
            let (playbook, given) = (short("start-playbook", "playbook", playbook)?, input("start-playbook", "input", &given)?);
            let started = ask(store, |guest| guest.effects.start_child(ChildKind::Playbook(playbook), given)).await?;
            Ok((started.map_err(WitFailure::from),))
        })
    })?;
    flow.func_wrap_async("join", |store: Store<'_>, (child,): (u32,)| {
        Box::new(async move {
            let outcome = ask(store, |guest| guest.effects.join(child)).await?;
            Ok((outcome.map(text).map_err(WitFailure::from),))
        })
    })?;
    flow.func_wrap_async("first", |store: Store<'_>, (children,): (Vec<u32>,)| {
        Box::new(async move {
            if children.is_empty() || children.len() > limits::CHILDREN_MAX {
                let given = children.len();
                return Err(wasmtime::Error::msg(format!("flow.first: {given} children; it takes 1 to {}", limits::CHILDREN_MAX)));
            }
            Ok((ask(store, |guest| guest.effects.first(children)).await?,))
        })
    })?;
    flow.func_wrap_async("cancel-child", |store: Store<'_>, (child,): (u32,)| {
        Box::new(ask(store, move |guest| guest.effects.cancel_child(child)))
    })
}

fn text(json: Json) -> String {
    json.as_str().to_owned()
}

/// A name that a guest made up: never cut, since two names must not become one.
fn short(function: &str, argument: &str, text: String) -> Result<String> {
    if text.is_empty() || text.chars().count() > limits::ID_CHARS_MAX {
        return Err(wasmtime::Error::msg(format!(
            "flow.{function}: its argument `{argument}` has to have 1 to {} characters",
            limits::ID_CHARS_MAX
        )));
    }
    Ok(text)
}

/// A value that a guest hands on.
fn input(function: &str, argument: &str, text: &str) -> Result<Json> {
    let wrong = |why: String| wasmtime::Error::msg(format!("flow.{function}: its argument `{argument}` {why}"));
    if text.len() > limits::JSON_BYTES_MAX {
        return Err(wrong(format!("has {} bytes; at most {}", text.len(), limits::JSON_BYTES_MAX)));
    }
    Json::parse(text.as_bytes()).map_err(|e| wrong(format!("is not JSON: {e}")))
}
