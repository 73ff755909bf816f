//! Two ways through a task: steps that some runs made and others did not, and the value that tells these apart.
//!
//! A condition is believed where it asks for a flag, or for a value that came back in several runs; never for a value that
//! merely was another in each run, which tells any two runs apart. A flag or a word that a step answered, an exit code of zero
//! included, may differ by accident, so that it has to have stood each way in two runs. Where two different values would tell the runs apart, none is taken: one more
//! run would settle it; and where there are more of them than are tried, none is either.

use std::collections::BTreeSet;

use serde_json::Value;

use super::align::{Learner, Place, Refusal, Span};
use super::known::{Known, Scope, Tier};
use crate::compiler::plan::{Branch, Condition, Node, Test};
use crate::compiler::template::Source;
use crate::json::Json;
use crate::limits;

/// A question that tells the samples apart.
struct Parting {
    condition: Condition,
    /// By sample: true where the condition holds.
    holds: Vec<bool>,
    tier: Tier,
}

/// A branch that all samples followed from `at`, which is moved behind it.
pub(super) fn find(learner: &mut Learner, scope: &mut Scope, spans: &[Span<'_>], at: &mut [usize], depth: usize) -> Option<Node> {
    if depth >= limits::LEARN_NESTING_MAX || spans.len() < 2 {
        return None;
    }
    let (partings, seen_once) = partings(scope);
    if partings.len() > limits::LEARN_PARTINGS_MAX {
        let most = limits::LEARN_PARTINGS_MAX;
        refuse(learner, spans, at, format!("{} values could tell them apart, and no more than {most} are tried", partings.len()));
        return None;
    }
    let mut found: Option<(Node, Vec<usize>, Vec<bool>, Condition)> = None;
    for parting in &partings {
        if let Some((_, _, holds, taken)) = &found
            && same_split(holds, &parting.holds)
        {
            // It tells the same runs apart. Of two inputs neither is nearer; what was answered later repeats what was said.
            let place = || Place { step: "ways".to_owned(), at: String::new() };
            let both = format!(
                "{} and {} both tell the runs apart; a run in which they disagree would settle which is meant",
                taken.value, parting.condition.value
            );
            let inputs = matches!((&taken.value, &parting.condition.value), (Source::Parameter { .. }, Source::Parameter { .. }));
            if inputs && taken.value != parting.condition.value {
                learner.note(Refusal { place: place(), why: both, values: Vec::new(), depth: usize::MAX });
                return None;
            }
            learner.questions.push((place(), both));
            continue;
        }
        let mark = learner.mark();
        let Some((node, after)) = arms(learner, scope, spans, at, parting, depth) else {
            learner.back_to(&mark);
            continue;
        };
        if found.is_some() {
            learner.back_to(&mark);
            let why = "the runs go different ways here, and two different values would tell them apart".to_owned();
            learner.note(Refusal {
                place: Place { step: "ways".to_owned(), at: String::new() },
                why,
                values: Vec::new(),
                depth: usize::MAX,
            });
            return None;
        }
        found = Some((node, after, parting.holds.clone(), parting.condition.clone()));
    }
    if let (None, Some(flag)) = (&found, seen_once) {
        refuse(learner, spans, at, format!("{flag} differs with them, and may do so by accident; a further run each way would settle it"));
    }
    let (node, after, _, _) = found?;
    at.copy_from_slice(&after);
    Some(node)
}

/// Notes why no way was taken where the samples make different calls.
fn refuse(learner: &mut Learner, spans: &[Span<'_>], at: &[usize], why: String) {
    let mut next = spans.iter().zip(at).map(|(span, at)| span.get(*at).map(|attempt| &attempt.bound.tool));
    let first = next.next();
    if next.any(|tool| Some(tool) != first) {
        let place = Place { step: "ways".to_owned(), at: String::new() };
        let why = format!("the runs go different ways here: {why}");
        learner.note(Refusal { place, why, values: Vec::new(), depth: usize::MAX });
    }
}

fn same_split(one: &[bool], other: &[bool]) -> bool {
    one.iter().zip(other).all(|(a, b)| a == b) || one.iter().zip(other).all(|(a, b)| a != b)
}

/// Both arms, as short as they can be, and where the samples stand behind them.
fn arms(
    learner: &mut Learner,
    scope: &mut Scope,
    spans: &[Span<'_>],
    at: &[usize],
    parting: &Parting,
    depth: usize,
) -> Option<(Node, Vec<usize>)> {
    let most = limits::LEARN_BLOCK_STEPS_MAX;
    let room = |holds: bool| {
        let own = spans.iter().zip(at).zip(&parting.holds).filter(|(_, of)| **of == holds);
        own.map(|((span, at), _)| span.len() - at).min().unwrap_or(0)
    };
    let (then_room, else_room) = (room(true), room(false));
    for total in 1..=most {
        for then_length in (0..=total.min(then_room)).rev() {
            let else_length = total - then_length;
            if else_length > else_room || !learner.may_try() {
                continue;
            }
            let length = |sample: usize| if parting.holds[sample] { then_length } else { else_length };
            let after: Vec<usize> = at.iter().enumerate().map(|(sample, at)| at + length(sample)).collect();
            if !meets(learner, scope, spans, &after) {
                continue;
            }
            let mark = learner.mark();
            let id = learner.node_id("if");
            let mut arm = |holds: bool| -> Option<Vec<Node>> {
                let own: Vec<usize> = (0..spans.len()).filter(|sample| parting.holds[*sample] == holds).collect();
                let spans: Vec<Span<'_>> = own.iter().map(|sample| &spans[*sample][at[*sample]..after[*sample]]).collect();
                learner.sequence(&mut scope.project(&own), &spans, depth + 1).map_err(|refusal| learner.note(refusal)).ok()
            };
            let (then, otherwise) = (arm(true), arm(false));
            // The same calls with other values are two ways only where each way was gone twice: a flag tells any two runs apart.
            let twice = |holds: bool| parting.holds.iter().filter(|of| **of == holds).count() > 1;
            let sound = then_length != else_length || !same_tools(spans, at, parting, then_length) || (twice(true) && twice(false));
            if let (Some(then), Some(otherwise)) = (then.filter(|_| sound), otherwise) {
                return Some((Node::Branch(Branch { id, condition: parting.condition.clone(), then, otherwise }), after));
            }
            learner.back_to(&mark);
        }
    }
    None
}

/// True where both ways make the same calls.
fn same_tools(spans: &[Span<'_>], at: &[usize], parting: &Parting, length: usize) -> bool {
    let tools = |holds: bool| {
        let sample = parting.holds.iter().position(|of| *of == holds)?;
        Some(spans[sample][at[sample]..at[sample] + length].iter().map(|attempt| attempt.bound.tool.to_string()).collect::<Vec<_>>())
    };
    tools(true) == tools(false)
}

/// True where all samples go on alike from `at`: with the same call, explained, or not at all.
fn meets(learner: &mut Learner, scope: &mut Scope, spans: &[Span<'_>], at: &[usize]) -> bool {
    if spans.iter().zip(at).all(|(span, at)| *at == span.len()) {
        return true;
    }
    let tools: BTreeSet<String> =
        spans.iter().zip(at).map(|(span, at)| span.get(*at).map_or(String::new(), |a| a.bound.tool.to_string())).collect();
    if tools.len() != 1 || tools.contains("") {
        return false;
    }
    let mark = learner.mark();
    let all: Vec<usize> = (0..spans.len()).collect();
    let goes_on = learner.step(&mut scope.project(&all), spans, at).is_ok();
    learner.back_to(&mark);
    goes_on
}

/// The questions that tell the samples apart, what the user said first; and a flag that was not seen often enough to be one.
fn partings(scope: &Scope) -> (Vec<Parting>, Option<String>) {
    let mut found: Vec<Parting> = Vec::new();
    let mut seen_once = None;
    let usable = |known: &&Known| known.varies && known.tier != Tier::Echoed && !known.listed && known.source != Source::Today;
    for known in scope.plain().iter().filter(usable) {
        match flag(known).or_else(|| word(known)) {
            Some(asked) if known.tier == Tier::Given || twice(scope, &asked.holds) => found.push(asked),
            Some(asked) => seen_once = seen_once.or_else(|| Some(asked.condition.value.to_string())),
            None => {}
        }
    }
    found.sort_by_key(|parting| parting.tier);
    (found, seen_once)
}

/// True where it held in two runs and did not hold in two. What changes within a run is answered anew in each turn of a loop, and
/// each turn counts.
fn twice(scope: &Scope, holds: &[bool]) -> bool {
    let samples = || scope.runs.iter().zip(holds);
    let by_turn = samples().any(|(run, one)| samples().any(|(of, other)| run == of && one != other));
    let often = |side: bool| {
        let on_it = samples().filter(|(_, holds)| **holds == side).map(|(run, _)| *run);
        if by_turn { on_it.count() } else { on_it.collect::<BTreeSet<usize>>().len() }
    };
    often(true) > 1 && often(false) > 1
}

/// A flag: true in some samples, false in the others.
fn flag(known: &Known) -> Option<Parting> {
    let holds: Option<Vec<bool>> = known.facts.iter().map(|fact| fact.value.as_bool()).collect();
    let condition = Condition { value: known.source.clone(), is: Test::True, to: None };
    Some(Parting { condition, holds: holds?, tier: known.tier })
}

/// A word or a number that came back: it is the same wherever the condition holds, in two samples at the least, or it is zero,
/// which is how programs say that all is well.
fn word(known: &Known) -> Option<Parting> {
    let mut values: Vec<(&str, usize)> = Vec::new();
    for fact in &known.facts {
        match values.iter_mut().find(|(canon, _)| *canon == fact.canon) {
            Some((_, count)) => *count += 1,
            None => values.push((&fact.canon, 1)),
        }
    }
    let short =
        |fact: &Value| fact.as_str().is_some_and(|text| text.chars().count() <= 40) || fact.is_i64() || fact.is_u64() || fact.is_null();
    let zero = values.iter().find(|(canon, _)| *canon == "0").map(|(canon, _)| *canon);
    let again = values.iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count).map(|(canon, _)| *canon);
    let asked = zero.or(again.filter(|_| values.len() == 2))?;
    let fact = known.facts.iter().find(|fact| fact.canon == asked)?;
    let condition = Condition { value: known.source.clone(), is: Test::Equals, to: Some(Json::from(&fact.value)) };
    let holds = known.facts.iter().map(|fact| fact.canon == asked).collect();
    short(&fact.value).then_some(Parting { condition, holds, tier: known.tier })
}
