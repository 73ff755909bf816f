//! What held in every run becomes a check: where it does not hold any more, the world is another than the one that was seen,
//! and the playbook stops where it might go wrong.
//!
//! Only what nothing else accounts for: a value that a later step takes may differ, and one that repeats what the step was
//! given says nothing. Sizes and times are no invariants either, even where they happen to be equal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Pass;
use crate::checks::{At, Origin, Spec};
use crate::compiler::dataflow::{in_a_list, last_word, walk};
use crate::compiler::hide::holds_secret;
use crate::compiler::plan::{Check, Each, Node, Plan};
use crate::compiler::template::{Part, Rule, Source, Template};
use crate::json::Json;
use crate::limits;

/// Words in the names of fields whose values say when and how long, not what.
const INCIDENTAL: [&str; 12] = ["bytes", "size", "ms", "time", "date", "elapsed", "took", "pid", "mtime", "duration", "etag", "age"];
/// Bytes of a text that is held to be the same.
const TEXT_BYTES_MAX: usize = 2_000;

/// Columns or lines that a pattern speaks of.
const COLUMNS_MAX: usize = 24;
/// Calls that must agree on the lines of a text before they count as its form.
const SAME_LINES_CALLS_MIN: usize = 3;

/// A call's input and its answer.
type Call<'a> = (&'a Value, &'a Value);

/// Adds to each step of `plan` what held of its answers in every run. `calls` say which call of each pass belongs to which step.
pub(super) fn add(plan: &mut Plan, passes: &[Pass<'_>], calls: &[&[(String, usize)]]) {
    let used = Used::of(plan);
    let mut answers: BTreeMap<&str, Vec<Call<'_>>> = BTreeMap::new();
    for (pass, calls) in passes.iter().zip(calls) {
        for (step, at) in *calls {
            let attempt = pass.attempts[*at];
            answers.entry(step).or_default().push((&attempt.bound.input, &attempt.output));
        }
    }
    for step in plan.steps_mut() {
        // Of several runs, what was seen once is no invariant. Of one run everything was seen once, and nobody knows what may differ.
        let Some(answers) = answers.get(step.id.as_str()).filter(|answers| answers.len() > 1 || passes.len() == 1) else { continue };
        if passes.len() > 1 || step.effect.touches_nothing() {
            step.checks.extend(of_step(&step.id, answers, &used));
        }
        step.checks.truncate(limits::LEARN_CHECKS_MAX);
    }
}

/// What a plan takes out of answers.
struct Used {
    /// Step and pointer.
    taken: BTreeSet<(String, String)>,
    /// Step, pointer of a list, and pointer below its elements.
    elements: BTreeSet<(String, String, String)>,
    /// Step, pointer of a text whose lines are gone through, what these are split by, and whether the first is left out.
    split: BTreeSet<(String, String, String, bool)>,
}

impl Used {
    fn of(plan: &Plan) -> Used {
        let mut used = Used { taken: BTreeSet::new(), elements: BTreeSet::new(), split: BTreeSet::new() };
        let nodes = plan.nodes();
        let loops: Vec<&Each> = nodes.iter().filter_map(|node| if let Node::Each(each) = node { Some(each) } else { None }).collect();
        let of = |id: &str| loops.iter().find(|each| each.id == id).map(|each| &each.list);
        let mut note = |source: &Source| match source {
            Source::Output { step, pointer } => {
                used.taken.insert((step.clone(), pointer.clone()));
            }
            Source::Item { each, pointer } => {
                if let Some(Template::Value(Source::Output { step, pointer: list })) = of(each) {
                    used.elements.insert((step.clone(), list.clone(), pointer.clone()));
                }
            }
            _ => {}
        };
        super::each_template(&plan.body, &mut |template| template.for_each_source(&mut note));
        plan.output.for_each_source(&mut note);
        for node in &nodes {
            if let Node::Branch(branch) = node {
                note(&branch.condition.value);
            }
        }
        super::each_template(&plan.body, &mut |template| {
            each_derived(template, &mut |from, rules| {
                if let (Source::Item { each, .. }, Some(Rule::Piece { by, .. })) = (from, rules.first())
                    && let Some(Template::Derived { from: Source::Output { step, pointer }, rules: list }) = of(each)
                    && list.last() == Some(&Rule::Lines)
                    && by.chars().count() == 1
                {
                    let behind_first = matches!(list.first(), Some(Rule::Between { after, before }) if after == "\n" && before.is_empty());
                    used.split.insert((step.clone(), pointer.clone(), by.clone(), behind_first));
                }
            });
        });
        used
    }
}

/// Visits everything in a template that rules make.
fn each_derived(template: &Template, visit: &mut impl FnMut(&Source, &[Rule])) {
    match template {
        Template::Derived { from, rules } => visit(from, rules),
        Template::Text(parts) => parts.iter().for_each(|part| {
            if let Part::Derived { from, rules } = part {
                visit(from, rules);
            }
        }),
        Template::Object(fields) => fields.values().for_each(|field| each_derived(field, visit)),
        Template::Array(items) => items.iter().for_each(|item| each_derived(item, visit)),
        Template::Constant(_) | Template::Value(_) | Template::Either { .. } => {}
    }
}

fn of_step(step: &str, calls: &[Call<'_>], used: &Used) -> Vec<Check> {
    let (input, first) = calls[0];
    let mut given = BTreeSet::new();
    walk(input, "", &mut |_, value| {
        given.insert(value.to_string());
    });
    let mut checks = Vec::new();
    let held = |calls: usize| match calls {
        1 => "it was so in the one run that was recorded".to_owned(),
        n => format!("it was so in all {n} calls that were recorded"),
    };
    walk(first, "", &mut |pointer, value| {
        if in_a_list(first, pointer) && calls.len() > 1 {
            return;
        }
        let same = calls.iter().all(|(_, answer)| answer.pointer(pointer) == Some(value));
        if !same && value.is_string() && last_word(pointer) == Some("text") {
            checks.extend(same_lines(pointer, calls).map(|schema| Spec::Shape { schema: Json::from(&below(pointer, schema)) }));
        }
        if value.is_array() {
            checks.extend(of_list(step, pointer, calls, used).map(|schema| Spec::Shape { schema: Json::from(&below(pointer, schema)) }));
            return;
        }
        if used.taken.contains(&(step.to_owned(), pointer.to_owned())) {
            return;
        }
        if same && says_something(pointer, value) && !(value.is_string() && given.contains(&value.to_string())) {
            checks.push(match last_word(pointer) {
                Some("exit_code" | "code") if value.is_i64() => Spec::ExitCode { equals: value.as_i64().unwrap_or_default() },
                _ => Spec::Equals { pointer: pointer.to_owned(), value: Json::from(value) },
            });
        }
    });
    for (_, pointer, by, behind_first) in used.split.iter().filter(|(of, ..)| of == step) {
        checks.extend(pieces(pointer, by, *behind_first, calls).map(|schema| Spec::Shape { schema: Json::from(&below(pointer, schema)) }));
    }
    checks.into_iter().map(|spec| Check::of(At::After, &spec, Origin::Inferred, held(calls.len()))).collect()
}

/// True for a value that says how things stand, and not when they happened or how large they were.
fn says_something(pointer: &str, value: &Value) -> bool {
    let name = last_word(pointer).unwrap_or_default().to_lowercase();
    let incidental = name.split(['_', '-']).any(|word| INCIDENTAL.contains(&word));
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(_) => !incidental,
        Value::String(text) => !incidental && !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !holds_secret(&name, text),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// What held of a list: that it was never empty, and what its elements have in common.
fn of_list(step: &str, pointer: &str, calls: &[Call<'_>], used: &Used) -> Option<Map<String, Value>> {
    let lists: Vec<&Vec<Value>> =
        calls.iter().map(|(_, answer)| answer.pointer(pointer).and_then(Value::as_array)).collect::<Option<_>>()?;
    let mut schema = Map::from_iter([("type".to_owned(), json!("array"))]);
    if lists.iter().all(|list| !list.is_empty()) {
        schema.insert("minItems".to_owned(), json!(1));
    }
    // Where a later step takes what stands at one place of it, a list of another length is another list.
    let by_place = |(of, taken): &(String, String)| of == step && taken.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/'));
    let length = lists[0].len();
    if (calls.len() == 1 || used.taken.iter().any(by_place)) && lists.iter().all(|list| list.len() == length) {
        schema.insert("minItems".to_owned(), json!(length));
        schema.insert("maxItems".to_owned(), json!(length));
    }
    let items: Vec<&Value> = lists.into_iter().flatten().collect();
    let fields = items.first().and_then(|item| item.as_object()).filter(|_| calls.len() > 1 && items.len() > 1).into_iter().flatten();
    let same = fields.filter(|(name, value)| {
        let at = crate::json::below("", name);
        let taken = used.elements.contains(&(step.to_owned(), pointer.to_owned(), at.clone()));
        !taken && says_something(&at, value) && items.iter().all(|item| item.get(name.as_str()) == Some(value))
    });
    let properties: Map<String, Value> = same.map(|(name, value)| (name.clone(), json!({ "const": value }))).collect();
    if !properties.is_empty() {
        let required: Vec<&String> = properties.keys().collect();
        schema.insert("items".to_owned(), json!({"type": "object", "required": required, "properties": properties}));
    }
    (schema.len() > 1).then_some(schema)
}

/// That every line of a text has as many pieces as each line had in every run, and that each piece looks as it always did: not
/// blank where it never was, and in capitals where it always was.
fn pieces(pointer: &str, by: &str, behind_first: bool, calls: &[Call<'_>]) -> Option<Map<String, Value>> {
    let texts: Vec<&str> = calls.iter().map(|(_, answer)| answer.pointer(pointer).and_then(Value::as_str)).collect::<Option<_>>()?;
    let by = by.chars().next().filter(|by| *by != '\n')?;
    let head = texts[0].lines().next().filter(|head| behind_first && texts.iter().all(|text| text.lines().next() == Some(head)));
    let lines = || texts.iter().flat_map(|text| text.lines().skip(usize::from(behind_first)));
    let mut counts: Vec<usize> = lines().map(|line| line.matches(by).count()).collect();
    counts.sort_unstable();
    counts.dedup();
    let [separators] = counts.as_slice() else { return None };
    if *separators >= COLUMNS_MAX || (behind_first && head.is_none()) {
        return None;
    }
    let column = |at: usize| column(&lines().filter_map(|line| line.split(by).nth(at)).collect::<Vec<_>>(), by);
    let line = (0..=*separators).map(column).collect::<Vec<_>>().join(&literal(&by.to_string()));
    let pattern = match head {
        Some(head) => format!("\\A{}(?:\\n{line})*\\n?\\z", literal(head)),
        None => format!("\\A{line}(?:\\n{line})*\\n?\\z"),
    };
    Some(text_like(pattern))
}

/// A pattern that every piece of one column fits.
fn column(pieces: &[&str], by: char) -> String {
    let all = |test: &dyn Fn(&str) -> bool| pieces.iter().all(|piece| test(piece));
    let mut but = literal(&by.to_string());
    but.push_str("\\n");
    if all(&|piece| !piece.contains(|c: char| c.is_ascii_lowercase())) {
        but.push_str("a-z");
    }
    if all(&|piece| !piece.contains(|c: char| c.is_ascii_uppercase())) {
        but.push_str("A-Z");
    }
    if all(&|piece| !piece.is_empty() && piece.trim().len() == piece.len()) {
        return format!("[^{but}\\s](?:[^{but}]*[^{but}\\s])?");
    }
    if all(&|piece| !piece.trim().is_empty()) {
        return format!("[^{but}]*[^{but}\\s][^{but}]*");
    }
    format!("[^{but}]*")
}

/// That a text has the lines that it had in every run: as many, and each with what all have before its value.
fn same_lines(pointer: &str, calls: &[Call<'_>]) -> Option<Map<String, Value>> {
    if calls.len() < SAME_LINES_CALLS_MIN {
        return None;
    }
    let texts: Vec<Vec<&str>> = calls
        .iter()
        .map(|(_, answer)| answer.pointer(pointer).and_then(Value::as_str).map(|text| text.split('\n').collect()))
        .collect::<Option<_>>()?;
    if calls.iter().any(|(_, answer)| answer.pointer(pointer).and_then(Value::as_str).is_some_and(|text| holds_secret("", text))) {
        return None;
    }
    let count = texts[0].len();
    if !(3..=COLUMNS_MAX).contains(&count) || texts.iter().any(|lines| lines.len() != count) {
        return None;
    }
    let line = |at: usize| {
        let first = texts[0][at];
        if texts.iter().all(|lines| lines[at] == first) {
            return literal(first);
        }
        let key = first.find(['=', ':']).map_or("", |end| &first[..=end]);
        if !key.is_empty() && texts.iter().all(|lines| lines[at].starts_with(key)) {
            format!("{}[^\\n]*", literal(key))
        } else {
            "[^\\n]*".to_owned()
        }
    };
    Some(text_like(format!("\\A{}\\z", (0..count).map(line).collect::<Vec<_>>().join("\\n"))))
}

fn text_like(pattern: String) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!("string")), ("pattern".to_owned(), json!(pattern))])
}

/// A text as a pattern that fits it and nothing else.
fn literal(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '_';
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\x{{{:x}}}", u32::from(c)) }).collect()
}

/// A schema of the value that `pointer` names, as one of the whole answer.
fn below(pointer: &str, schema: Map<String, Value>) -> Value {
    let mut schema = Value::Object(schema);
    for key in pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
        let key = key.replace("~1", "/").replace("~0", "~");
        schema = json!({"type": "object", "required": [key], "properties": {key: schema}});
    }
    schema
}
