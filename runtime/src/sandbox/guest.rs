//! The component model's side of the contract: types as `wit/` has them, and the host functions behind
//! `flow`, `data` and each tool import. Everything that comes in here is hostile.

use std::collections::BTreeMap;

use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime::{Result, StoreContextMut, StoreLimits};

use super::checks::link_checks;
use super::effects::{Effects, Stop};
use super::flow::link_flow;
use super::imports::DATA;
use super::turns::{TakesTurns, Turns};
use crate::checks::Shape;
use crate::contract::{ErrorKind, Outcome, ToolError, ToolId};
use crate::json::{self, Json};
use crate::{limits, rules};

/// What a store carries for one guest.
pub(super) struct Guest {
    pub effects: Box<dyn Effects>,
    pub limits: Bounds,
    /// Why the host stopped the guest; the trap itself says only that it did.
    pub stop: Option<Stop>,
    pub log_lines: usize,
    pub turns: Turns,
}

impl TakesTurns for Guest {
    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }
}

/// The store's limits, and whether one of them was met: a guest that gets no memory traps somewhere else.
pub(super) struct Bounds {
    inner: StoreLimits,
    /// What was asked for and refused.
    pub refused: Option<String>,
    /// The most linear memory that the guest had.
    pub memory_bytes: usize,
}

impl Bounds {
    pub(super) fn new(inner: StoreLimits) -> Self {
        Bounds { inner, refused: None, memory_bytes: 0 }
    }
}

impl wasmtime::ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let allowed = self.inner.memory_growing(current, desired, maximum)?;
        match allowed {
            // Memory never shrinks, so the sum of what was added is the most there was.
            true => self.memory_bytes += desired - current,
            false => self.refused = Some(format!("it asked for {desired} bytes of memory; at most {}", limits::GUEST_MEMORY_BYTES_MAX)),
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let allowed = self.inner.table_growing(current, desired, maximum)?;
        if !allowed {
            self.refused = Some(format!("it asked for a table of {desired} elements; at most {}", limits::GUEST_TABLE_ELEMENTS_MAX));
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        self.inner.instances()
    }

    fn tables(&self) -> usize {
        self.inner.tables()
    }

    fn memories(&self) -> usize {
        self.inner.memories()
    }
}

/// `wit/types.wit`, record `failure`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct WitFailure {
    pub step: Option<String>,
    pub message: String,
    pub detail: Option<String>,
}

/// `wit/types.wit`, enum `error-kind`.
#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum WitErrorKind {
    #[component(name = "invalid-input")]
    InvalidInput,
    #[component(name = "denied")]
    Denied,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "conflict")]
    Conflict,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "broken")]
    Broken,
    #[component(name = "failed")]
    Failed,
    #[component(name = "cancelled")]
    Cancelled,
}

impl From<ErrorKind> for WitErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => WitErrorKind::InvalidInput,
            ErrorKind::Denied => WitErrorKind::Denied,
            ErrorKind::NotFound => WitErrorKind::NotFound,
            ErrorKind::Conflict => WitErrorKind::Conflict,
            ErrorKind::Unavailable => WitErrorKind::Unavailable,
            ErrorKind::Timeout => WitErrorKind::Timeout,
            ErrorKind::Broken => WitErrorKind::Broken,
            ErrorKind::Failed => WitErrorKind::Failed,
            ErrorKind::Cancelled => WitErrorKind::Cancelled,
        }
    }
}

/// `wit/types.wit`, record `tool-error`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct WitToolError {
    pub kind: WitErrorKind,
    pub message: String,
    pub detail: Option<String>,
}

impl From<ToolError> for WitToolError {
    fn from(error: ToolError) -> Self {
        let ToolError { kind, message, detail } = error;
        WitToolError { kind: kind.into(), message, detail: detail.map(|d| d.as_str().to_owned()) }
    }
}

/// Links every import that the host provides, for a component that imports `tools`.
pub(super) fn link(linker: &mut Linker<Guest>, tools: &BTreeMap<String, ToolId>) -> Result<()> {
    link_flow(linker)?;
    link_data(linker)?;
    link_checks(linker)?;
    for (import, tool) in tools {
        link_tool(linker, import, tool.clone())?;
    }
    Ok(())
}

/// Ends the guest: the reason waits in the store, the trap carries it to the log.
pub(super) fn stopped(mut store: StoreContextMut<'_, Guest>, stop: Stop) -> wasmtime::Error {
    let error = wasmtime::Error::msg(format!("stopped by the host: {stop:?}"));
    store.data_mut().stop = Some(stop);
    error
}

/// The guest's time on the processor starts anew: it came back to the host by itself.
pub(super) fn rewind_kill_switch(store: &mut StoreContextMut<'_, Guest>) {
    store.data_mut().turns.begin_anew();
}

fn link_data(linker: &mut Linker<Guest>) -> Result<()> {
    let mut data = linker.instance(DATA)?;
    data.func_wrap("select", |mut store: StoreContextMut<'_, Guest>, (document, pointer): (String, String)| {
        charge(&mut store, document.len() + pointer.len())?;
        let document = guest_json("select", "document", &document)?;
        Ok((document.pointer(&pointer).map(|value| value.to_string()),))
    })?;
    data.func_wrap("text", |mut store: StoreContextMut<'_, Guest>, (value,): (String,)| {
        charge(&mut store, value.len())?;
        Ok((json::text_of(&guest_json("text", "value", &value)?),))
    })?;
    data.func_wrap("quote", |mut store: StoreContextMut<'_, Guest>, (text,): (String,)| {
        charge(&mut store, text.len())?;
        Ok((serde_json::Value::String(text).to_string(),))
    })?;
    data.func_wrap("check", |mut store: StoreContextMut<'_, Guest>, (document, schema): (String, String)| {
        charge(&mut store, document.len().saturating_add(schema.len().saturating_mul(limits::SCHEMA_FUEL_FACTOR)))?;
        if schema.len() > limits::SCHEMA_BYTES_MAX {
            let bytes = schema.len();
            return Err(wasmtime::Error::msg(format!("data.check: the schema has {bytes} bytes; at most {}", limits::SCHEMA_BYTES_MAX)));
        }
        let document = guest_json("check", "document", &document)?;
        let schema = guest_json("check", "schema", &schema)?;
        let clip = |text: String| clipped(text, limits::GUEST_MESSAGE_CHARS_MAX);
        let shape = match Shape::of(&schema) {
            Ok(shape) => shape,
            Err(why) => return Ok((Err(clip(why)),)),
        };
        charge(&mut store, shape.work(&document).min(limits::SHAPE_WORK_MAX))?;
        Ok((check(&document, &shape).map_err(clip),))
    })?;
    data.func_wrap("derive", |mut store: StoreContextMut<'_, Guest>, (value, rules): (String, String)| {
        charge(&mut store, value.len().saturating_add(rules.len()))?;
        let value = guest_json("derive", "value", &value)?;
        let rules = match readable_rules(guest_json("derive", "rules", &rules)?) {
            Ok(rules) => rules,
            Err(why) => return Ok((Err(why),)),
        };
        // Each rule looks at what the one before it made, which may be more than the guest handed in.
        let derived = rules::paid(&value, &rules, |bytes| charge(&mut store, bytes))?;
        let text = derived.map(|value| value.to_string());
        Ok((text.map_err(|failed| clipped(failed.to_string(), limits::GUEST_MESSAGE_CHARS_MAX)),))
    })
}

/// A guest's rules, within the bounds of a plan's.
fn readable_rules(rules: serde_json::Value) -> Result<Vec<rules::Rule>, String> {
    let clip = |text: String| clipped(text, limits::GUEST_MESSAGE_CHARS_MAX);
    let rules: Vec<rules::Rule> = serde_json::from_value(rules).map_err(|e| clip(format!("these are no rules: {e}")))?;
    match rules::fault(&rules) {
        None => Ok(rules),
        Some((at, message)) => Err(clip(format!("rule {}: {message}", at + 1))),
    }
}

/// The host's work for a guest is paid in the guest's fuel, so that no loop of cheap calls is a long one.
pub(super) fn charge<T: TakesTurns>(store: &mut StoreContextMut<'_, T>, bytes: usize) -> Result<()> {
    let cost = limits::HOSTCALL_FUEL.saturating_add((bytes as u64).saturating_mul(limits::HOSTCALL_FUEL_PER_BYTE));
    if store.data_mut().turns().worked(cost) {
        store.set_epoch_deadline(0);
    }
    match store.get_fuel()?.checked_sub(cost) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(wasmtime::Trap::OutOfFuel.into())
        }
    }
}

/// What does not fit, one place a line.
fn check(document: &serde_json::Value, shape: &Shape) -> Result<(), String> {
    let misfits = shape.misfits(document, limits::GUEST_MISFITS_MAX)?;
    let faults: Vec<String> = misfits.iter().map(|misfit| format!("{}: {}", misfit.place, misfit.why)).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// A guest that calls text JSON when it is not broke a rule: a trap, not an answer.
pub(super) fn guest_json(function: &str, argument: &str, text: &str) -> Result<serde_json::Value> {
    json::parse(text.as_bytes()).map_err(|e| wasmtime::Error::msg(format!("data.{function}: its argument `{argument}` is not JSON: {e}")))
}

fn link_tool(linker: &mut Linker<Guest>, import: &str, tool: ToolId) -> Result<()> {
    linker.instance(import)?.func_wrap_async("call", move |mut store: StoreContextMut<'_, Guest>, (input,): (String,)| {
        let tool = tool.clone();
        Box::new(async move {
            // An input that is no JSON never reaches the journal: the answer depends on nothing but the input.
            let outcome = match tool_input(&input) {
                Err(refusal) => Err(refusal),
                Ok(input) => {
                    let answer = store.data_mut().effects.call(&tool, input).await;
                    rewind_kill_switch(&mut store);
                    match answer {
                        Ok(outcome) => outcome,
                        Err(stop) => return Err(stopped(store, stop)),
                    }
                }
            };
            Ok((wit_outcome(outcome),))
        })
    })
}

fn wit_outcome(outcome: Outcome) -> Result<String, WitToolError> {
    outcome.map(|output| output.as_str().to_owned()).map_err(WitToolError::from)
}

fn tool_input(text: &str) -> Result<Json, ToolError> {
    if text.len() > limits::JSON_BYTES_MAX {
        return Err(ToolError::new(
            ErrorKind::InvalidInput,
            format!("{} bytes; a tool's input has at most {}", text.len(), limits::JSON_BYTES_MAX),
        ));
    }
    Json::parse(text.as_bytes()).map_err(|e| ToolError::new(ErrorKind::InvalidInput, e.to_string()))
}

/// At most `chars_max` characters of a guest's text.
pub(super) fn clipped(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
