//! How one value is made: the shortest expression that gives it in every sample.
//!
//! What is the same in every sample is a constant, unless one of the plain sources of it tells as much as a single run
//! would have to. What differs has to be explained by something that differs with it, and weighs enough not to do so by
//! accident; where nothing does, there is no plan. Two inputs that were equal in every sample are told apart by the name of
//! the field, or not at all.

use std::rc::Rc;

use serde_json::Value;

use super::compose::{self, Piece};
use super::known::{Fact, Known, Place, Scope, Tier, weigh};
use super::numbers;
use super::within;
use crate::compiler::dataflow::{last_word, stands_alone, telling_alone, telling_parameter, telling_with_name};
use crate::compiler::plan::{Decision, DecisionKind};
use crate::compiler::template::{Part, Rule, Source, Template};
use crate::json::{self, Json};
use crate::limits;

/// Characters of a value that a reason shows.
const SHOWN_CHARS: usize = 60;
/// Values that a message shows.
const SHOWN_VALUES: usize = 5;

/// What was decided on the way.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub decisions: Vec<Decision>,
    /// Where the data did not decide: JSON pointer, what was done, and what one more run would settle.
    pub questions: Vec<(String, String)>,
    /// True where a number may be how often a loop went round, be it the same in every run: in what a playbook gives back.
    pub counts: bool,
}

/// A value that nothing explains.
#[derive(Debug, Clone)]
pub(super) struct Unexplained {
    /// JSON pointer into the step's input.
    pub at: String,
    pub why: String,
    /// The values, by sample.
    pub values: Vec<String>,
}

/// The template of the values at `pointer`, one for each sample.
pub(super) fn explain(scope: &mut Scope, pointer: &str, values: &[&Value], decided: &mut Decided) -> Result<Template, Unexplained> {
    let facts: Vec<Rc<Fact>> = values.iter().map(|value| Fact::new((*value).clone())).collect();
    let (varies, _) = weigh(&facts);
    if let Some(template) = if varies { differing(scope, pointer, &facts, decided)? } else { alike(scope, pointer, &facts, decided) } {
        return Ok(template);
    }
    let shallow = pointer.matches('/').count() < limits::LIFT_DEPTH_MAX;
    if shallow && let Some(template) = parts(scope, pointer, values, decided)? {
        return Ok(template);
    }
    if !varies && let Some(template) = told(scope, pointer, &facts, decided) {
        return Ok(template);
    }
    if !varies {
        let reason = match values.len() {
            1 => "no input and no earlier answer explains it".to_owned(),
            n => format!("the same in all {n}; no input and no earlier answer explains it"),
        };
        decided.questions.extend(unsettled(scope, &facts[0]).map(|question| (pointer.to_owned(), question)));
        decided.decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Constant, reason });
        return Ok(Template::Constant(values[0].into()));
    }
    if let Some(template) = made(scope, pointer, &facts, decided)? {
        return Ok(template);
    }
    Err(unexplained(pointer, &facts, "differs between the runs, and no input and no earlier answer explains how".to_owned()))
}

/// Field by field, or element by element, where all have the same ones.
fn parts(scope: &mut Scope, pointer: &str, values: &[&Value], decided: &mut Decided) -> Result<Option<Template>, Unexplained> {
    match values[0] {
        Value::Object(fields) if !fields.is_empty() => {
            let alike = |value: &&Value| value.as_object().is_some_and(|other| other.keys().eq(fields.keys()));
            if !values.iter().all(alike) {
                return Ok(None);
            }
            let field = |key: &String| {
                let below: Vec<&Value> = values.iter().map(|value| &value[key]).collect();
                explain(scope, &json::below(pointer, key), &below, decided).map(|template| (key.clone(), template))
            };
            fields.keys().map(field).collect::<Result<_, _>>().map(|fields| Some(Template::Object(fields)))
        }
        Value::Array(items) if !items.is_empty() => {
            if !values.iter().all(|value| value.as_array().is_some_and(|other| other.len() == items.len())) {
                return Ok(None);
            }
            let item = |at: usize| {
                let below: Vec<&Value> = values.iter().map(|value| &value[at]).collect();
                explain(scope, &format!("{pointer}/{at}"), &below, decided)
            };
            (0..items.len()).map(item).collect::<Result<_, _>>().map(|items| Some(Template::Array(items)))
        }
        _ => Ok(None),
    }
}

/// A value that is the same in every sample: its source where one tells, as with a single run.
fn alike(scope: &Scope, pointer: &str, facts: &[Rc<Fact>], decided: &mut Decided) -> Option<Template> {
    let name = last_word(pointer).unwrap_or_default();
    let value = &facts[0].value;
    if value.as_str().is_some_and(|text| text.contains("{{secret:")) {
        return None;
    }
    let tells = |known: &&Known| {
        known.rules.is_empty()
            && match known.tier {
                Tier::Given => telling_parameter(value) || known.name == name,
                Tier::Answered => !known.listed && (telling_alone(value) || (known.name == name && telling_with_name(value))),
                Tier::Echoed => false,
            }
    };
    if let Some(known) = scope.counted(facts).filter(|_| decided.counts && value.is_u64()) {
        let reason = format!("is how many turns {} had in all {}", known.source, facts.len());
        decided.decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Composed, reason });
        return Some(Template::Derived { from: known.source.clone(), rules: vec![Rule::Count] });
    }
    let found: Vec<&Known> = scope.equal(facts).filter(tells).collect();
    let (known, ties) = choose(&found, name)?;
    if !ties.is_empty() {
        let names: Vec<String> = std::iter::once(known).chain(ties).map(|known| known.source.to_string()).collect();
        decided.questions.push((
            pointer.to_owned(),
            format!(
                "{} is the same as {}; it stays as it was. A run in which they differ would say which is meant",
                shown(value),
                names.join(" and ")
            ),
        ));
        return None;
    }
    let mut reason = reason_of(known, facts);
    if facts.len() > 1 {
        reason.push_str("; it was the same in all of them");
    }
    decided.decisions.push(Decision { at: pointer.to_owned(), kind: kind_of(&known.source), reason });
    Some(Template::Value(known.source.clone()))
}

/// A value that differs and is, as a whole, what is known.
fn differing(scope: &mut Scope, pointer: &str, facts: &[Rc<Fact>], decided: &mut Decided) -> Result<Option<Template>, Unexplained> {
    let name = last_word(pointer).unwrap_or_default();
    let needed = if facts.iter().all(|fact| fact.value.is_string()) { scope.needed(false) } else { scope.needed_of_numbers() };
    let found: Vec<&Known> = scope.equal(facts).filter(|known| known.rules.is_empty()).collect();
    let enough = |known: &&Known| known.bits + named(known, name) >= needed;
    let strong: Vec<&Known> = found.iter().copied().filter(enough).collect();
    let Some((known, ties)) = choose(&strong, name) else {
        if let Some(weak) = found.first() {
            decided.questions.push((
                pointer.to_owned(),
                format!(
                    "equals {} in every run, which may be chance: the values are short. One more run with other values would settle it",
                    weak.source
                ),
            ));
        }
        return Ok(None);
    };
    if !ties.is_empty() && known.tier == Tier::Given {
        let names: Vec<String> = std::iter::once(known).chain(ties).map(|known| known.source.to_string()).collect();
        let why = format!("equals {} alike; one more run in which they differ would say which is meant", names.join(" and "));
        return Err(unexplained(pointer, facts, why));
    }
    if !ties.is_empty() {
        let names: Vec<String> = ties.iter().map(|known| known.source.to_string()).collect();
        decided.questions.push((
            pointer.to_owned(),
            format!(
                "{} was taken; {} had the same value in every run. A run in which they differ would settle it",
                known.source,
                names.join(" and ")
            ),
        ));
    }
    decided.decisions.push(Decision { at: pointer.to_owned(), kind: kind_of(&known.source), reason: reason_of(known, facts) });
    Ok(Some(Template::Value(known.source.clone())))
}

/// A value that differs and is made of what is known.
fn made(scope: &mut Scope, pointer: &str, facts: &[Rc<Fact>], decided: &mut Decided) -> Result<Option<Template>, Unexplained> {
    let texts: Option<Vec<&str>> = facts.iter().map(|fact| fact.value.as_str()).collect();
    let found = match &texts {
        Some(texts) => {
            let plain = compose::compose(scope, texts, false);
            let pieces = plain.or_else(|| {
                scope.derive();
                compose::compose(scope, texts, true)
            });
            if let Some(both) = pieces.as_ref().and_then(|pieces| alike_inputs(scope, pieces)) {
                let why = format!("holds {both}, which are alike in every run; one more run in which they differ would say which is meant");
                return Err(unexplained(pointer, facts, why));
            }
            pieces.map(|pieces| template_of(scope, pieces, facts.len())).or_else(|| {
                let (known, reason) = within::find(scope, facts)?;
                Some((value_of(&known), reason))
            })
        }
        None => {
            scope.derive();
            if decided.counts
                && let Some(known) = scope.counted(facts)
            {
                let template = Template::Derived { from: known.source.clone(), rules: vec![Rule::Count] };
                Some((template, format!("is how many turns {} had in all {}", known.source, facts.len())))
            } else {
                numbers::find(scope, pointer, facts, decided)?.map(|(known, reason)| (value_of(&known), reason))
            }
        }
    };
    let Some((template, reason)) = found else { return Ok(None) };
    decided.decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Composed, reason });
    Ok(Some(template))
}

/// A text that is the same in every sample and has in it what an earlier step answered: where that tells as much as a single run
/// would have to, it is taken from there.
fn told(scope: &Scope, pointer: &str, facts: &[Rc<Fact>], decided: &mut Decided) -> Option<Template> {
    let texts: Vec<&str> = facts.iter().map(|fact| fact.value.as_str()).collect::<Option<_>>()?;
    let pieces = compose::compose(scope, &texts, false)?;
    if !pieces.iter().any(|piece| matches!(piece, Piece::Known(_))) {
        return None;
    }
    let (template, reason) = template_of(scope, pieces, facts.len());
    decided.decisions.push(Decision { at: pointer.to_owned(), kind: DecisionKind::Composed, reason });
    Some(template)
}

/// A text that stays as it was, and has an input in it that differs between the runs, though not between those that went this way.
fn unsettled(scope: &Scope, fact: &Fact) -> Option<String> {
    let text = fact.value.as_str()?;
    let inside = |known: &&Known| {
        let value = known.first().text();
        let at = || text.match_indices(value).any(|(at, _)| stands_alone(text, at, at + value.len()));
        known.elsewhere && !known.varies && known.tier == Tier::Given && !value.is_empty() && at()
    };
    let known = scope.plain().iter().find(inside)?;
    let (value, from) = (shown(&fact.value), &known.source);
    Some(format!(
        "{value} has what {from} was in all runs that went this way; it stays as it was. A run that goes this way with another one would say whether it is meant"
    ))
}

/// Two inputs of which nothing says which one stands in the text.
fn alike_inputs(scope: &Scope, pieces: &[Piece]) -> Option<String> {
    let known = pieces.iter().filter_map(|piece| if let Piece::Known(place) = piece { Some(scope.get(*place)) } else { None });
    known.filter(|known| known.tier == Tier::Given && known.rules.is_empty() && known.varies).find_map(|known| {
        let mut others = scope.equal(&known.facts).filter(|other| other.tier == Tier::Given && other.rules.is_empty());
        let other = others.find(|other| other.source != known.source && !inside(other, known))?;
        Some(format!("{} or {}", known.source, other.source))
    })
}

/// What a row of parts comes to, and why.
fn template_of(scope: &Scope, pieces: Vec<Piece>, samples: usize) -> (Template, String) {
    let known: Vec<&Known> =
        pieces.iter().filter_map(|piece| if let Piece::Known(place) = piece { Some(scope.get(*place)) } else { None }).collect();
    let mut names: Vec<String> = known.iter().map(|known| words_of(known)).collect();
    names.dedup();
    let reason = format!("made of {} in all {samples}", names.join(" and "));
    let only = |place: Place| value_of(scope.get(place));
    let template = match pieces.as_slice() {
        [Piece::Known(place)] if scope.get(*place).facts.iter().all(|fact| fact.value.is_string()) => only(*place),
        _ => Template::Text(
            pieces
                .into_iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => Part::Literal(text),
                    Piece::Known(place) => part_of(scope.get(place)),
                })
                .collect(),
        ),
    };
    (template, reason)
}

pub(super) fn value_of(known: &Known) -> Template {
    match known.rules.is_empty() {
        true => Template::Value(known.source.clone()),
        false => Template::Derived { from: known.source.clone(), rules: known.rules.clone() },
    }
}

fn part_of(known: &Known) -> Part {
    match known.rules.is_empty() {
        true => Part::Value(known.source.clone()),
        false => Part::Derived { from: known.source.clone(), rules: known.rules.clone() },
    }
}

/// The source and its rules in words.
pub(super) fn words_of(known: &Known) -> String {
    value_of(known).to_string()
}

/// The one that is meant, and those that could be meant as well. What became known first counts: what came later repeats it.
fn choose<'a>(found: &[&'a Known], name: &str) -> Option<(&'a Known, Vec<&'a Known>)> {
    let rank = |known: &&&Known| (known.tier == Tier::Echoed, known.since, known.listed, named(known, name) == 0);
    let best = found.iter().min_by_key(|known| (rank(known), known.source.to_string().len()))?;
    let ties = found.iter().filter(|known| rank(known) == rank(&best) && known.source != best.source && !inside(known, best)).copied();
    Some((best, ties.collect()))
}

/// True where one answer, or one element, has the same value at another place: it says the same twice.
pub(super) fn inside(other: &Known, best: &Known) -> bool {
    match (&other.source, &best.source) {
        (Source::Output { step: a, .. }, Source::Output { step: b, .. }) | (Source::Item { each: a, .. }, Source::Item { each: b, .. }) => {
            a == b
        }
        _ => false,
    }
}

/// What it is worth that a value stands in a field of the same name.
fn named(known: &Known, name: &str) -> u32 {
    const NAMED: u32 = 6;
    if !name.is_empty() && known.name == name && name.parse::<usize>().is_err() { NAMED } else { 0 }
}

fn kind_of(source: &Source) -> DecisionKind {
    match source {
        Source::Parameter { .. } => DecisionKind::Parameter,
        _ => DecisionKind::Reference,
    }
}

fn reason_of(known: &Known, facts: &[Rc<Fact>]) -> String {
    let mut different: Vec<&str> = facts.iter().map(|fact| fact.canon.as_str()).collect();
    different.sort_unstable();
    different.dedup();
    match facts.len() {
        1 => format!("equals {}", known.source),
        n => format!("equals {} in all {n}, with {} different values", known.source, different.len()),
    }
}

pub(super) fn unexplained(pointer: &str, facts: &[Rc<Fact>], why: String) -> Unexplained {
    Unexplained { at: pointer.to_owned(), why, values: facts.iter().take(SHOWN_VALUES).map(|fact| shown(&fact.value)).collect() }
}

pub(super) fn shown(value: &Value) -> String {
    let text = Json::from(value).as_str().to_owned();
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
