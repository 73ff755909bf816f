//! Numbers and lists made of what is known: a count, one more, the elements of a text.

use std::rc::Rc;

use super::derive::made_of;
use super::explain::words_of;
use super::known::{Fact, Known, Scope, Tier, weigh};
use crate::compiler::template::Rule;

/// Further than this nobody counts on by a constant.
const ADDED_MAX: i64 = 1_000;

/// What gives `facts`, none of which is a text, and why.
pub(super) fn find(scope: &Scope, name: &str, facts: &[Rc<Fact>]) -> Option<(Known, String)> {
    let in_all = |known: &Known| format!("is {} in all {}", words_of(known), facts.len());
    let needed = scope.needed_of_numbers();
    let enough = |known: &Known| known.bits + if known.name == name { 6 } else { 0 } >= needed;
    let mut derived: Vec<&Known> = scope.equal(facts).filter(|known| !known.rules.is_empty() && enough(known)).collect();
    derived.sort_by_key(|known| (known.tier, known.rules.len(), known.since));
    if let Some(known) = derived.first() {
        return Some(((*known).clone(), in_all(known)));
    }
    let lists = facts.iter().all(|fact| fact.value.is_array());
    if lists {
        let (_, weight) = weigh(facts);
        let rules = [
            vec![Rule::Lines],
            vec![Rule::Trim, Rule::Lines],
            vec![Rule::Split(",".to_owned())],
            vec![Rule::Split(", ".to_owned())],
            vec![Rule::Split(" ".to_owned())],
        ];
        let texts = scope.plain().iter().filter(|known| known.varies && known.tier != Tier::Echoed && known.first().value.is_string());
        let mut made = texts.flat_map(|known| {
            rules.iter().filter_map(|rules| {
                let made = made_of(known, rules)?;
                let same = made.iter().zip(facts).all(|(a, b)| a.canon == b.canon);
                same.then(|| known.derived(rules.clone(), made))
            })
        });
        return made.next().filter(|_| weight >= needed).map(|known| (known.clone(), in_all(&known)));
    }
    added(scope, facts).filter(&enough).map(|known| (known.clone(), in_all(&known)))
}

/// A known number and the same step further in every sample.
fn added(scope: &Scope, facts: &[Rc<Fact>]) -> Option<Known> {
    let numbers: Vec<i64> = facts.iter().map(|fact| fact.value.as_i64()).collect::<Option<_>>()?;
    let candidates = scope.plain().iter().filter(|known| known.varies && known.tier != Tier::Echoed);
    let mut found = candidates.filter_map(|known| {
        let steps: Option<Vec<i64>> = known.facts.iter().zip(&numbers).map(|(fact, n)| n.checked_sub(fact.value.as_i64()?)).collect();
        let steps = steps?;
        let step = *steps.first()?;
        let same = step != 0 && step.abs() <= ADDED_MAX && steps.iter().all(|other| *other == step);
        let rules = vec![Rule::Add(step)];
        same.then(|| made_of(known, &rules).map(|made| known.derived(rules, made)))?
    });
    found.next()
}
