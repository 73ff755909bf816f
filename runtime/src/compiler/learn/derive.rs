//! What rules make of a known value, listed before anyone asks: pieces of paths and versions, fields of JSON in a text,
//! values behind a key, the next version, the day after.
//!
//! Only what differs between the samples is taken apart: what is the same everywhere explains nothing that differs. The
//! list is bounded, and its length is what the evidence for any of its members has to outweigh.

use std::rc::Rc;

use serde_json::Value;

use super::known::{Fact, Known};
use crate::compiler::dataflow::walk;
use crate::compiler::template::{Bump, Rule};
use crate::limits;
use crate::rules;

/// Texts longer than this are documents: only their lines and fields are looked at.
const SHORT_CHARS_MAX: usize = 256;
/// Lines of a document that are looked at.
const LINES_MAX: usize = 200;
/// Between what pieces stand.
const SEPARATORS: [&str; 12] = ["/", ".", "-", "_", ":", " ", ",", "=", "@", "|", "\t", ";"];
/// Pieces that are counted from the start.
const PIECES_MAX: usize = 6;
/// What people replace when they make a name of a title or a path.
const REPLACED: [(&str, &str); 9] =
    [(" ", "-"), (" ", "_"), ("-", "_"), ("_", "-"), (".", "-"), (".", "_"), ("/", "-"), ("-", " "), ("_", " ")];
/// What people put between the elements of a list.
const JOINED: [&str; 8] = ["\n", "", ", ", ",", " ", "\n- ", "\n* ", "; "];
/// Steps in days that people take.
const DAYS: [i64; 8] = [1, -1, 7, -7, 14, -14, 30, -30];

/// All that is made of `known`.
pub(super) fn all(known: &Known) -> Vec<Known> {
    if !known.varies || known.tier == super::known::Tier::Echoed {
        return Vec::new();
    }
    let mut made = Vec::new();
    let texts: Option<Vec<&str>> = known.facts.iter().map(|fact| fact.value.as_str()).collect();
    match texts {
        Some(texts) => of_texts(known, &texts, &mut made),
        None => {
            if known.facts.iter().all(|fact| fact.value.is_i64() || fact.value.is_u64()) {
                [1, -1].into_iter().for_each(|by| push(known, vec![Rule::Add(by)], &mut made));
            }
            let plain =
                |fact: &Rc<Fact>| fact.value.as_array().is_some_and(|items| items.iter().all(|item| item.is_string() || item.is_number()));
            if known.facts.iter().all(plain) {
                JOINED.into_iter().for_each(|with| push(known, vec![Rule::Join(with.to_owned())], &mut made));
            }
            if known.facts.iter().all(|fact| fact.value.is_array()) {
                push(known, vec![Rule::Count], &mut made);
            }
        }
    }
    made.truncate(limits::LEARN_DERIVED_PER_VALUE_MAX);
    made
}

fn of_texts(known: &Known, texts: &[&str], made: &mut Vec<Known>) {
    if texts.iter().any(|text| text.len() > limits::LEARN_SEARCHED_BYTES_MAX) {
        return;
    }
    let first = made.len();
    if texts.iter().all(|text| text.trim_start().starts_with(['{', '['])) {
        fields(known, made);
    }
    let short = texts.iter().all(|text| text.chars().count() <= SHORT_CHARS_MAX && !text.trim_end().contains('\n'));
    if short {
        of_a_word(known, &[], made);
        between_words(known, texts, made);
    } else {
        keyed(known, texts[0], made);
        sections(known, texts, made);
        [0, -1].into_iter().for_each(|at| push(known, vec![Rule::Trim, Rule::Piece { by: "\n".to_owned(), at }], made));
    }
    // What was found inside a document is a word, and may be taken apart once more.
    let words: Vec<Known> = made[first..].iter().filter(|word| word.varies && is_word(word)).take(64).cloned().collect();
    for word in words {
        of_a_word(known, &word.rules, made);
        if made.len() > limits::LEARN_DERIVED_PER_VALUE_MAX {
            return;
        }
    }
}

/// True for a piece that may itself be taken apart: of a path, or of a document.
fn is_word(known: &Known) -> bool {
    let short = known.facts.iter().all(|fact| fact.value.as_str().is_some_and(|text| text.chars().count() <= SHORT_CHARS_MAX));
    let last = known.rules.last();
    short && matches!(last, Some(Rule::Piece { .. } | Rule::Between { .. } | Rule::Pointer(_) | Rule::Trim))
}

/// True for a piece of a list of values: what is done with it is about its letters, it is not taken apart again.
fn is_cell(before: &[Rule]) -> bool {
    matches!(before.last(), Some(Rule::Piece { by, .. }) if !["/", "\n", " "].contains(&by.as_str()))
}

/// What people do with one word.
fn of_a_word(known: &Known, before: &[Rule], made: &mut Vec<Known>) {
    let texts: Option<Vec<String>> = known.facts.iter().map(|fact| applied(fact, before)?.as_str().map(str::to_owned)).collect();
    let Some(texts) = texts else { return };
    let with = |rules: &[Rule]| before.iter().chain(rules).cloned().collect::<Vec<Rule>>();
    let any = |test: &dyn Fn(&str) -> bool| texts.iter().any(|text| test(text));
    let every = |test: &dyn Fn(&str) -> bool| texts.iter().all(|text| test(text));
    if any(&|text| text.trim() != text) {
        push(known, with(&[Rule::Trim]), made);
    }
    if any(&|text| text.to_lowercase() != *text) {
        push(known, with(&[Rule::Lower]), made);
    }
    if any(&|text| text.to_uppercase() != *text) {
        push(known, with(&[Rule::Upper]), made);
    }
    let trimmed = any(&|text| text.trim() != text);
    if trimmed && any(&|text| text.to_lowercase() != *text) {
        push(known, with(&[Rule::Trim, Rule::Lower]), made);
    }
    if trimmed && any(&|text| text.to_uppercase() != *text) {
        push(known, with(&[Rule::Trim, Rule::Upper]), made);
    }
    let separators = if is_cell(before) { &SEPARATORS[..0] } else { &SEPARATORS[..] };
    for by in separators.iter().copied().filter(|by| every(&|text| text.trim().contains(by))) {
        let counts: Vec<usize> = texts.iter().map(|text| text.split(by).count()).collect();
        let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
        let piece = |at: usize, from_end: bool| {
            let at = i32::try_from(at).unwrap_or(i32::MAX);
            Rule::Piece { by: by.to_owned(), at: if from_end { -at } else { at } }
        };
        (0..least.min(PIECES_MAX)).filter(|at| least != most || at + 1 < least).for_each(|at| push(known, with(&[piece(at, false)]), made));
        (1..=least.min(PIECES_MAX)).filter(|at| least != most || *at == 1).for_each(|at| push(known, with(&[piece(at, true)]), made));
    }
    for (from, to) in REPLACED.into_iter().filter(|(from, _)| any(&|text| text.contains(from))) {
        let replace = Rule::Replace { from: from.to_owned(), to: to.to_owned() };
        push(known, with(std::slice::from_ref(&replace)), made);
        if any(&|text| text.to_lowercase() != *text) {
            push(known, with(&[Rule::Lower, replace]), made);
        }
    }
    if every(&|text| text.trim_start_matches('v').split('.').count() == 3) {
        [Bump::Patch, Bump::Minor, Bump::Major].into_iter().for_each(|by| push(known, with(&[Rule::Bump(by)]), made));
    }
    if every(&|text| text.len() >= 10 && text.as_bytes()[..10].iter().filter(|byte| **byte == b'-').count() == 2) {
        DAYS.into_iter().for_each(|by| push(known, with(&[Rule::Days(by)]), made));
    }
    if every(&|text| text.parse::<i64>().is_ok()) {
        [1, -1].into_iter().for_each(|by| push(known, with(&[Rule::Add(by)]), made));
        push(known, with(&[Rule::Json]), made);
    }
}

/// Fields of the JSON that a text is.
fn fields(known: &Known, made: &mut Vec<Known>) {
    let Some(document) = applied(known.first(), &[Rule::Json]) else { return };
    let mut pointers = Vec::new();
    walk(&document, "", &mut |pointer, _| pointers.push(pointer.to_owned()));
    let of_pointer = |pointer: String| match pointer.is_empty() {
        true => vec![Rule::Json],
        false => vec![Rule::Json, Rule::Pointer(pointer)],
    };
    pointers.into_iter().take(LINES_MAX).for_each(|pointer| push(known, of_pointer(pointer), made));
}

/// Values behind a key, line by line: `key = value`, `key: value`, `"key": "value",`, `key   value`.
fn keyed(known: &Known, text: &str, made: &mut Vec<Known>) {
    for line in text.lines().take(LINES_MAX) {
        let Some((key, separator, value)) = key_and_value(line) else { continue };
        let quote = value.chars().next().filter(|c| *c == '"' || *c == '\'');
        let opened = format!("{key}{separator}{}", quote.map(String::from).unwrap_or_default());
        let ends: &[&str] = if quote.is_some() { &["\""] } else { &["\n", ""] };
        let ends: Vec<String> = match quote {
            Some(quote) => vec![quote.to_string()],
            None => ends.iter().map(|end| (*end).to_owned()).collect(),
        };
        let expected = value.trim_start_matches(['"', '\'']);
        // At the start of a line where it can be, so that the key is not the end of a longer one.
        for after in [format!("\n{opened}"), opened] {
            let found = ends.iter().find_map(|before| {
                let rules = vec![Rule::Between { after: after.clone(), before: before.clone() }];
                let first = applied(known.first(), &rules)?;
                let right = first.as_str().is_some_and(|found| expected.starts_with(found) && !found.is_empty());
                (right && made_of(known, &rules).is_some()).then_some(rules)
            });
            if let Some(rules) = found {
                push(known, rules, made);
                break;
            }
        }
    }
}

/// What stands between the words that all have in common: `FAIL a.txt: expected <1> but found <2>`.
fn between_words(known: &Known, texts: &[&str], made: &mut Vec<Known>) {
    if texts.len() < 2 {
        return;
    }
    let mut common = tokens(texts[0]);
    for text in &texts[1..] {
        common = shared(&common, &tokens(text));
    }
    // Runs of common tokens that stand side by side in the first text are the neighbours of what differs.
    let mut neighbours: Vec<String> = vec![String::new()];
    let mut rest = common.iter().peekable();
    for token in tokens(texts[0]) {
        match rest.next_if(|next| **next == token) {
            Some(_) => neighbours.last_mut().into_iter().for_each(|run| run.push_str(token)),
            None if neighbours.last().is_some_and(|run| !run.is_empty()) => neighbours.push(String::new()),
            None => {}
        }
    }
    for pair in neighbours.windows(2) {
        let rules = vec![Rule::Between { after: pair[0].clone(), before: pair[1].clone() }];
        if pair[0].len() <= limits::RULE_TEXT_BYTES_MAX && pair[1].len() <= limits::RULE_TEXT_BYTES_MAX {
            push(known, rules, made);
        }
    }
    if let Some(first) = neighbours.first().filter(|run| !run.is_empty() && !texts[0].starts_with(run.as_str())) {
        push(known, vec![Rule::Between { after: String::new(), before: first.clone() }], made);
    }
}

/// Words, and each other character by itself.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut start = 0;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if at > start && !(word(c) && word(before)) {
            tokens.push(&text[start..at]);
            start = at;
        }
        before = c;
    }
    if start < text.len() {
        tokens.push(&text[start..]);
    }
    tokens
}

/// The longest row of tokens that both have in this order.
fn shared<'t>(one: &[&'t str], other: &[&str]) -> Vec<&'t str> {
    let (n, m) = (one.len(), other.len());
    let mut lengths = vec![vec![0_u16; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            lengths[i][j] = if one[i] == other[j] { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < n && j < m {
        if one[i] == other[j] {
            found.push(one[i]);
            i += 1;
            j += 1;
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// What stands below a heading that all have: up to the next heading, an empty line, or the end.
fn sections(known: &Known, texts: &[&str], made: &mut Vec<Known>) {
    let heading = |line: &&str| line.starts_with(['#', '[', '=', '-']) || line.trim_end().ends_with(':');
    for line in texts[0].lines().take(LINES_MAX).filter(heading) {
        if !texts[1..].iter().all(|text| text.lines().any(|other| other == line)) || line.len() > SHORT_CHARS_MAX {
            continue;
        }
        let mark: String = line.chars().take_while(|c| *c == '#').collect();
        let next = if mark.is_empty() { line.chars().take(1).collect() } else { format!("{mark} ") };
        for after in [format!("{line}\n\n"), format!("{line}\n")] {
            for before in [format!("\n\n{next}"), format!("\n{next}"), "\n\n".to_owned(), String::new()] {
                push(known, vec![Rule::Between { after: after.clone(), before }], made);
            }
        }
    }
}

/// A line's key, what stands between it and its value, and its value.
fn key_and_value(line: &str) -> Option<(&str, &str, &str)> {
    let end = line
        .find(['=', ':'])
        .or_else(|| line.trim_start().find(char::is_whitespace).map(|at| at + line.len() - line.trim_start().len()))?;
    let key = line[..end].trim_end();
    let rest = &line[key.len()..];
    let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=' || c == ':');
    let separator = &rest[..rest.len() - value.len()];
    (!key.trim().is_empty() && !value.is_empty() && key.len() <= SHORT_CHARS_MAX && separator.len() <= 16)
        .then_some((key, separator, value))
}

/// Adds what the rules make, where they make something different and telling in every sample.
fn push(known: &Known, rules: Vec<Rule>, made: &mut Vec<Known>) {
    let Some(facts) = made_of(known, &rules) else { return };
    let empty = facts.iter().any(|fact| fact.text().is_empty());
    let derived = known.derived(rules, facts);
    let same = |other: &Known| other.facts.iter().zip(&derived.facts).all(|(a, b)| a.canon == b.canon);
    if derived.varies && !empty && !made.iter().any(same) && !same(known) {
        made.push(derived);
    }
}

/// What the rules make in every sample; none where they fail in one.
pub(super) fn made_of(known: &Known, rules: &[Rule]) -> Option<Vec<Rc<Fact>>> {
    known.facts.iter().map(|fact| applied(fact, rules).map(Fact::new)).collect()
}

fn applied(fact: &Fact, rules: &[Rule]) -> Option<Value> {
    rules::derive(&fact.value, rules).ok()
}

/// The lists that people read out of a text: its lines, and what stands between commas.
pub(super) fn lists(known: &Known) -> Vec<Known> {
    let every = |test: &dyn Fn(&str) -> bool| known.facts.iter().all(|fact| fact.value.as_str().is_some_and(test));
    let with = |rules: &[Rule]| {
        let rules: Vec<Rule> = known.rules.iter().chain(rules).cloned().collect();
        let facts = known.facts.iter().map(|fact| applied(fact, &rules[known.rules.len()..]).map(Fact::new)).collect::<Option<Vec<_>>>()?;
        Some(known.derived(rules, facts))
    };
    let bounded = every(&|text| text.len() <= limits::LEARN_SEARCHED_BYTES_MAX);
    let mut found = Vec::new();
    if bounded && every(&|text| text.trim_start().starts_with(['{', '['])) {
        let Some(document) = applied(known.first(), &[Rule::Json]) else { return found };
        let mut pointers = Vec::new();
        walk(&document, "", &mut |pointer, value| pointers.extend(value.is_array().then(|| pointer.to_owned())));
        found.extend(pointers.into_iter().take(LINES_MAX).filter_map(|pointer| match pointer.is_empty() {
            true => with(&[Rule::Json]),
            false => with(&[Rule::Json, Rule::Pointer(pointer)]),
        }));
        return found;
    }
    if bounded && known.facts.iter().any(|fact| fact.value.as_str().is_some_and(|text| text.trim_end().contains('\n'))) {
        let behind_the_first = || Rule::Between { after: "\n".to_owned(), before: String::new() };
        found.extend(with(&[Rule::Lines]));
        found.extend(with(&[Rule::Trim, Rule::Lines]));
        found.extend(with(&[behind_the_first(), Rule::Lines]));
        found.extend(with(&[behind_the_first(), Rule::Trim, Rule::Lines]));
    }
    for by in [", ", ",", ";"] {
        if bounded && known.facts.iter().any(|fact| fact.value.as_str().is_some_and(|text| text.contains(by))) {
            found.extend(with(&[Rule::Split(by.to_owned())]));
        }
    }
    found
}
