//! Numbers and lists made of what is known: a count, one more, the elements of a text.

use std::rc::Rc;

use super::derive::made_of;
use super::explain::{Decided, Unexplained, inside, unexplained, words_of};
use super::known::{Fact, Known, Scope, Tier, weigh};
use crate::compiler::dataflow::last_word;
use crate::compiler::template::Rule;

/// Further than this nobody counts on by a constant.
const ADDED_MAX: i64 = 1_000;
/// What it costs that the step is free: of so many, one fits any number by accident.
const ADDED_BITS: u32 = (2 * ADDED_MAX).ilog2();
/// What it is worth that a value stands in a field of the same name.
const NAMED: u32 = 6;

/// What gives `facts`, none of which is a text, and why.
pub(super) fn find(
    scope: &Scope,
    pointer: &str,
    facts: &[Rc<Fact>],
    decided: &mut Decided,
) -> Result<Option<(Known, String)>, Unexplained> {
    let name = last_word(pointer).unwrap_or_default();
    let named = |known: &Known| known.name == name;
    let needed = scope.needed_of_numbers();
    let enough = |known: &Known, needed: u32| known.bits + if named(known) { NAMED } else { 0 } >= needed;
    let mut derived: Vec<Known> = scope.equal(facts).filter(|known| !known.rules.is_empty() && enough(known, needed)).cloned().collect();
    let near = |known: &Known| (known.tier, known.rules.len(), known.since);
    derived.sort_by_key(near);
    if let Some(first) = derived.first() {
        let nearest = near(first);
        derived.retain(|known| near(known) == nearest);
        return settled(derived, pointer, facts, decided);
    }
    if facts.iter().all(|fact| fact.value.is_array()) {
        let mut made = if weigh(facts).1 >= needed { lists(scope, facts) } else { Vec::new() };
        if let Some(nearest) = made.first().map(near) {
            made.retain(|known| (known.tier, known.since) == (nearest.0, nearest.2));
        }
        return settled(made, pointer, facts, decided);
    }
    // A step that fits is found for any two numbers, so that no other explanation is farther fetched than this one.
    let mut added = added(scope, facts);
    added.retain(|known| enough(known, needed + ADDED_BITS));
    added.sort_by_key(|known| (known.tier, known.since, !named(known)));
    if added.iter().any(named) {
        added.retain(named);
    }
    settled(added, pointer, facts, decided)
}

/// The first of `found`, where nothing else explains `facts` alike: of two inputs neither is taken, of two answers the nearer one,
/// and that the other would do as well is said.
fn settled(found: Vec<Known>, pointer: &str, facts: &[Rc<Fact>], decided: &mut Decided) -> Result<Option<(Known, String)>, Unexplained> {
    let Some((taken, others)) = found.split_first() else { return Ok(None) };
    let alike = |other: &&Known| other.source != taken.source && !(inside(other, taken) && other.rules == taken.rules);
    let others: Vec<&Known> = others.iter().filter(alike).collect();
    let names = |of: &[&Known]| of.iter().map(|known| words_of(known)).collect::<Vec<_>>().join(" and ");
    let inputs: Vec<&Known> = others.iter().copied().filter(|other| other.tier == Tier::Given).collect();
    if taken.tier == Tier::Given && !inputs.is_empty() {
        let why =
            format!("is {} and {} alike; one more run in which they differ would say which is meant", words_of(taken), names(&inputs));
        return Err(unexplained(pointer, facts, why));
    }
    if !others.is_empty() {
        let question = format!(
            "{} was taken; {} gave the same in every run. A run in which they differ would settle it",
            words_of(taken),
            names(&others)
        );
        decided.questions.push((pointer.to_owned(), question));
    }
    let reason = format!("is {} in all {}", words_of(taken), facts.len());
    Ok(Some((taken.clone(), reason)))
}

/// Known texts that hold the elements of `facts`.
fn lists(scope: &Scope, facts: &[Rc<Fact>]) -> Vec<Known> {
    let rules = [
        vec![Rule::Lines],
        vec![Rule::Trim, Rule::Lines],
        vec![Rule::Split(",".to_owned())],
        vec![Rule::Split(", ".to_owned())],
        vec![Rule::Split(" ".to_owned())],
    ];
    let texts = scope.plain().iter().filter(|known| known.varies && known.tier != Tier::Echoed && known.first().value.is_string());
    let made = texts.flat_map(|known| {
        rules.iter().filter_map(|rules| {
            let made = made_of(known, rules)?;
            let same = made.iter().zip(facts).all(|(a, b)| a.canon == b.canon);
            same.then(|| known.derived(rules.clone(), made))
        })
    });
    made.collect()
}

/// Known numbers with the same step further in every sample.
fn added(scope: &Scope, facts: &[Rc<Fact>]) -> Vec<Known> {
    let numbers: Option<Vec<i64>> = facts.iter().map(|fact| fact.value.as_i64()).collect();
    let Some(numbers) = numbers else { return Vec::new() };
    let candidates = scope.plain().iter().filter(|known| known.varies && known.tier != Tier::Echoed);
    let found = candidates.filter_map(|known| {
        let mut steps = known.facts.iter().zip(&numbers).map(|(fact, n)| n.checked_sub(fact.value.as_i64()?));
        let step = steps.next()??;
        let same = step != 0 && step.abs() <= ADDED_MAX && steps.all(|other| other == Some(step));
        let rules = vec![Rule::Add(step)];
        same.then(|| made_of(known, &rules).map(|made| known.derived(rules, made)))?
    });
    found.collect()
}
