//! Inputs that some runs had and others did without: what stood in their place is the default.
//!
//! It is read off where a run with the input used it as a whole: what the runs without it have at the same place of the same
//! call, the same in each of them, stands for it. Where there is no such place, the input stays unknown to the plan.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compiler::dataflow::walk;
use crate::compiler::trace::{Attempt, Trace};

/// The default of each input that not every run has, as far as the runs show one.
pub(super) fn of(runs: &[(&Trace, &[&Attempt])]) -> BTreeMap<String, Value> {
    let mut names: Vec<&String> =
        runs.iter().flat_map(|(trace, _)| trace.inputs.as_object().into_iter().flatten().map(|(name, _)| name)).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| Some((name.clone(), default_of(name, runs)?))).collect()
}

fn default_of(name: &str, runs: &[(&Trace, &[&Attempt])]) -> Option<Value> {
    let (with, without): (Vec<_>, Vec<_>) = runs.iter().partition(|(trace, _)| trace.inputs.get(name).is_some());
    let (trace, attempts) = with.first().filter(|_| !without.is_empty())?;
    let value = trace.inputs.get(name)?;
    let mut places: Vec<(usize, String)> = Vec::new();
    for (at, attempt) in attempts.iter().enumerate() {
        walk(&attempt.bound.input, "", &mut |pointer, found| {
            if found == value {
                places.push((at, pointer.to_owned()));
            }
        });
    }
    let there = |(_, attempts): &(&Trace, &[&Attempt]), at: usize, pointer: &str, tool: &Attempt| -> Option<Value> {
        let attempt = attempts.get(at).filter(|attempt| attempt.bound.tool == tool.bound.tool)?;
        attempt.bound.input.pointer(pointer).cloned()
    };
    places.into_iter().find_map(|(at, pointer)| {
        let tool = attempts.get(at)?;
        // Each run that has the input used it there, and those without it have the same value there.
        let used = with.iter().all(|run| there(run, at, &pointer, tool).as_ref() == run.0.inputs.get(name));
        let mut stands = without.iter().map(|run| there(run, at, &pointer, tool));
        let first = stands.next()??;
        let same = stands.all(|other| other.as_ref() == Some(&first));
        let typed = std::mem::discriminant(&first) == std::mem::discriminant(value);
        (used && same && typed).then_some(first)
    })
}
