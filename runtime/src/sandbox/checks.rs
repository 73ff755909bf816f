//! The host function behind `checks`, handed to [`Effects`](super::Effects).
//!
//! It does not know how a check is judged. What a guest hands in is bounded here and paid in its fuel.

use wasmtime::component::Linker;
use wasmtime::{Result, StoreContextMut};

use super::flow::ask;
use super::guest::{Guest, WitFailure, charge};
use super::imports::CHECKS;
use crate::json::Json;
use crate::limits;

pub(super) fn link_checks(linker: &mut Linker<Guest>) -> Result<()> {
    let mut checks = linker.instance(CHECKS)?;
    checks.func_wrap_async("require", |mut store: StoreContextMut<'_, Guest>, (check, answer): (String, Option<String>)| {
        Box::new(async move {
            // A pattern is compiled and a schema read; both cost more than to copy them.
            let answer_bytes = answer.as_ref().map_or(0, String::len);
            charge(&mut store, answer_bytes.saturating_add(check.len().saturating_mul(limits::SCHEMA_FUEL_FACTOR)))?;
            let check = argument("check", &check, limits::CHECK_BYTES_MAX)?;
            let answer = answer.map(|answer| argument("answer", &answer, limits::JSON_BYTES_MAX)).transpose()?;
            let judged = ask(store, |guest| guest.effects.check(check, answer)).await?;
            Ok((judged.map_err(WitFailure::from),))
        })
    })
}

/// A guest that hands in something else than JSON broke a rule: a trap, not a verdict.
fn argument(name: &str, text: &str, bytes_max: usize) -> Result<Json> {
    let wrong = |why: String| wasmtime::Error::msg(format!("checks.require: its argument `{name}` {why}"));
    if text.len() > bytes_max {
        return Err(wrong(format!("has {} bytes; at most {bytes_max}", text.len())));
    }
    Json::parse(text.as_bytes()).map_err(|e| wrong(format!("is not JSON: {e}")))
}
