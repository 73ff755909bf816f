//! A value cut out of a longer text: what stands between neighbours that are the same in every sample.
//!
//! Looked for last, and from the value back: where the text has the value in every sample, and what stands before and behind
//! it is the same in all of them.

use std::rc::Rc;

use super::derive::made_of;
use super::explain::words_of;
use super::known::{Fact, Known, Scope, Tier};
use crate::compiler::template::Rule;
use crate::limits;

/// Bytes of neighbours that are looked at on either side.
const NEIGHBOURS_MAX: usize = 40;
/// Places of the value in one text that are tried.
const PLACES_MAX: usize = 16;

/// A known text in which `facts` stand between the same neighbours, and why.
pub(super) fn find(scope: &Scope, facts: &[Rc<Fact>]) -> Option<(Known, String)> {
    let texts: Vec<&str> = facts.iter().map(|fact| fact.value.as_str()).collect::<Option<_>>()?;
    if texts.iter().any(|text| text.is_empty()) {
        return None;
    }
    let weight = super::known::weigh(facts).1;
    let longer = |known: &&Known| {
        known.varies
            && known.tier != Tier::Echoed
            && known.facts.iter().zip(&texts).all(|(fact, text)| fact.value.as_str().is_some_and(|whole| whole.len() > text.len()))
    };
    let candidates: Vec<&Known> = scope.plain().iter().filter(longer).collect();
    if weight < scope.needed(true) {
        return None;
    }
    candidates.into_iter().take(limits::LEARN_SEARCHED_TEXTS_MAX).find_map(|known| {
        let rules = between(known, &texts)?;
        let made = made_of(known, &rules)?;
        let known = known.derived(rules, made);
        let reason = format!("stands in {} in all {}", words_of(&known), facts.len());
        Some((known, reason))
    })
}

/// The rule that cuts each text out of the known one.
fn between(known: &Known, texts: &[&str]) -> Option<Vec<Rule>> {
    let wholes: Vec<&str> = known.facts.iter().map(|fact| fact.value.as_str()).collect::<Option<_>>()?;
    if wholes.iter().any(|whole| whole.len() > limits::LEARN_SEARCHED_BYTES_MAX) {
        return None;
    }
    let right = |rule: &Rule| {
        let rules = std::slice::from_ref(rule);
        made_of(known, rules).is_some_and(|made| made.iter().zip(texts).all(|(fact, text)| fact.text() == *text))
    };
    wholes[0].match_indices(texts[0]).take(PLACES_MAX).find_map(|(at, _)| {
        let (before, behind) = (&wholes[0][..at], &wholes[0][at + texts[0].len()..]);
        let afters = suffixes(before);
        let befores = prefixes(behind);
        afters.iter().flat_map(|after| befores.iter().map(move |before| (after, before))).find_map(|(after, before)| {
            let rule = Rule::Between { after: (*after).to_owned(), before: (*before).to_owned() };
            right(&rule).then(|| vec![rule])
        })
    })
}

/// Ends of what stands before, from whole words to longer ones; none where it is the start of the text.
fn suffixes(before: &str) -> Vec<&str> {
    if before.is_empty() {
        return vec![""];
    }
    let mut ends: Vec<&str> = before
        .char_indices()
        .rev()
        .take_while(|(at, _)| before.len() - at <= NEIGHBOURS_MAX)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || !before[..*at].ends_with(char::is_alphanumeric) || !before[*at..].starts_with(char::is_alphanumeric))
        .map(|at| &before[at..])
        .collect();
    ends.retain(|end| end.chars().any(|c| !c.is_whitespace()) || end.starts_with('\n'));
    ends
}

/// Beginnings of what stands behind: one character, or the rest.
fn prefixes(behind: &str) -> Vec<&str> {
    match behind.char_indices().nth(1) {
        _ if behind.is_empty() => vec![""],
        Some((end, _)) => vec![&behind[..end], behind.char_indices().nth(2).map_or(behind, |(end, _)| &behind[..end])],
        None => vec![behind],
    }
}
