//! Texts put together: the cheapest row of literals and known values that gives the text of every sample at once.
//!
//! The texts are read side by side from the start. A literal moves all of them on by the same characters; a known value
//! moves each of them on by its own text. Of all ways to the common end the cheapest is taken (Dijkstra), and what is cheap
//! is what is likely to be meant: few parts, near to what the user said, whole words. So no hole is found first and
//! explained later, and texts that happen to share the beginning of a version do not mislead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::known::{Known, Place, Scope, Tier};
use crate::compiler::dataflow::{stands_alone, telling_inside, telling_inside_parameter};
use crate::compiler::template::Source;
use crate::limits;

/// One part of the row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Literal(String),
    Known(Place),
}

/// Where each text is being read.
type At = Vec<u32>;

struct Reached {
    cost: u32,
    before: Option<(At, Option<Place>)>,
    done: bool,
}

/// The cheapest row; none where nothing explains what differs, or where looking would take too long.
pub(super) fn compose(scope: &Scope, texts: &[&str], derived: bool) -> Option<Vec<Piece>> {
    let first = *texts.first()?;
    if texts.iter().any(|text| text.len() > limits::LEARN_SEARCHED_BYTES_MAX) {
        return None;
    }
    let starts = starts(scope, first, derived);
    let end: At = texts.iter().map(|text| offset(text.len())).collect();
    let begin: At = vec![0; texts.len()];
    let mut reached = HashMap::from([(begin.clone(), Reached { cost: 0, before: None, done: false })]);
    let mut queue = BinaryHeap::from([Reverse((0_u32, begin))]);
    let mut looked = 0;
    while let Some(Reverse((cost, at))) = queue.pop() {
        let node = reached.get_mut(&at)?;
        if node.done {
            continue;
        }
        node.done = true;
        if at == end {
            return Some(row(&reached, end, first));
        }
        looked += 1;
        if looked > limits::LEARN_COMPOSE_PLACES_MAX {
            return None;
        }
        let mut go = |to: At, cost: u32, by: Option<Place>| {
            let better = reached.get(&to).is_none_or(|node| !node.done && cost < node.cost);
            if better {
                reached.insert(to.clone(), Reached { cost, before: Some((at.clone(), by)), done: false });
                queue.push(Reverse((cost, to)));
            }
        };
        let rest: Vec<&str> = texts.iter().zip(&at).map(|(text, at)| &text[*at as usize..]).collect();
        let here = starts.partition_point(|(start, _)| *start < at[0]);
        let next_start = starts[here..].iter().map(|(start, _)| *start).find(|start| *start > at[0]);
        if let Some(length) = common(&rest, next_start.map(|start| (start - at[0]) as usize)) {
            let to = at.iter().map(|at| at + offset(length)).collect();
            go(to, cost + offset(rest[0][..length].chars().count()), None);
        }
        for (_, place) in starts[here..].iter().take_while(|(start, _)| *start == at[0]) {
            let known = scope.get(*place);
            if known.facts.iter().zip(&rest).all(|(fact, rest)| rest.starts_with(fact.text())) {
                let to: At = known.facts.iter().zip(&at).map(|(fact, at)| at + offset(fact.text().len())).collect();
                let whole = alone(known, texts, &at);
                if known.varies || whole {
                    go(to, cost + price(known, whole), Some(*place));
                }
            }
        }
    }
    None
}

/// What a part costs; a literal character costs 1.
fn price(known: &Known, alone: bool) -> u32 {
    let near = match known.tier {
        Tier::Given => 10,
        Tier::Answered => 12,
        Tier::Echoed => 24,
    };
    // What is the same in every sample stands for its own letters and is no shorter than these: it wins where it tells, no more.
    let near = if known.varies { near } else { offset(known.first().text().chars().count()).saturating_sub(1) };
    let rules = offset(known.rules.len()) * 6;
    let date = u32::from(known.source == Source::Today);
    near + rules + date + if known.listed { 15 } else { 0 } + if alone { 0 } else { 8 }
}

/// Where in the text of the first sample which known values may begin, in order.
fn starts(scope: &Scope, text: &str, derived: bool) -> Vec<(u32, Place)> {
    let needed = (scope.needed(false), scope.needed(true));
    let usable = |place: &Place| {
        let known = scope.get(*place);
        if known.first().text().is_empty() || known.facts.iter().any(|fact| fact.value.is_object() || fact.value.is_null()) {
            return false;
        }
        match (place, known.varies) {
            // By its place in a list only where the list as a whole, joined, would do as well.
            (Place::Plain(_), true) => known.bits >= needed.0 && (derived || !known.listed),
            (Place::Derived(_), true) => derived && known.bits >= needed.1,
            (Place::Plain(_), false) => tells(known, text),
            (Place::Derived(_), false) => false,
        }
    };
    let mut starts = Vec::new();
    for (at, _) in text.char_indices() {
        starts.extend(scope.beginning(&text[at..]).filter(usable).map(|place| (offset(at), place)));
    }
    starts
}

/// True for a value that is the same everywhere and yet says by its looks that it is meant: of answers only. An input that
/// never differed is kept as it was by the playbook's parameters, see `parameters`; one that is the same only in the runs that
/// went this way is read as with a single run.
fn tells(known: &Known, text: &str) -> bool {
    match known.tier {
        Tier::Answered => !known.listed && telling_inside(&known.first().value),
        Tier::Given if known.since > 0 || known.elsewhere => {
            telling_inside_parameter(&known.first().value, !text.contains(char::is_whitespace))
        }
        Tier::Given | Tier::Echoed => false,
    }
}

/// True where the value is no part of a longer word in any text.
fn alone(known: &Known, texts: &[&str], at: &At) -> bool {
    let ends = known.facts.iter().zip(texts).zip(at);
    ends.into_iter().all(|((fact, text), at)| stands_alone(text, *at as usize, *at as usize + fact.text().len()))
}

/// How far all begin alike, no further than `most`, in whole characters; none where they do not.
fn common(rest: &[&str], most: Option<usize>) -> Option<usize> {
    let (first, others) = rest.split_first()?;
    let mut length = most.unwrap_or(first.len()).min(first.len());
    for other in others {
        length = first.as_bytes()[..length].iter().zip(other.as_bytes()).take_while(|(a, b)| a == b).count();
    }
    while !first.is_char_boundary(length) {
        length -= 1;
    }
    (length > 0).then_some(length)
}

/// The parts on the way to `end`, neighbouring literals as one.
fn row(reached: &HashMap<At, Reached>, end: At, first: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = end;
    while let Some((from, by)) = reached.get(&at).and_then(|node| node.before.clone()) {
        match (by, pieces.last_mut()) {
            (Some(place), _) => pieces.push(Piece::Known(place)),
            (None, Some(Piece::Literal(after))) => after.insert_str(0, &first[from[0] as usize..at[0] as usize]),
            (None, _) => pieces.push(Piece::Literal(first[from[0] as usize..at[0] as usize].to_owned())),
        }
        at = from;
    }
    pieces.reverse();
    pieces
}

/// Texts are bounded far below 4 GiB.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
