//! What the turns of a loop give, as a list: known beforehand under a name of its own for each thing that could be meant, and
//! made the loop's output where a later step took one of them.
//!
//! A loop gives one list. Where later steps take two different ones, there is no plan.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::known::{Fact, Known, Scope, Tier, weigh};
use crate::compiler::plan::{Condition, Node};
use crate::compiler::template::{Part, Rule, Source, Template};
use crate::limits;

/// How the pointer of such a name begins. No answer has a field that is called so in a plan: each is replaced or refused.
const MARK: &str = "/gathered ";

/// What each turn of a loop could give.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    each: String,
    number: usize,
    template: Template,
}

/// Adds to `scope` what the turns of the loop `each` could give: elements, answers, and what the inputs of the steps are made of.
/// `within` says to which sample of `scope` each sample of `inner`, a turn, belongs.
pub(super) fn add(scope: &mut Scope, each: &str, body: &[Node], inner: &Scope, within: &[usize], into: &mut Vec<Candidate>) {
    let steps: BTreeSet<&str> = body.iter().filter_map(Node::step).map(|step| step.id.as_str()).collect();
    let own = |known: &&Known| match &known.source {
        Source::Item { each: of, .. } => of == each,
        Source::Output { step, .. } => steps.contains(step.as_str()),
        _ => false,
    };
    let scalar = |known: &&Known| known.facts.iter().all(|fact| fact.value.is_string() || fact.value.is_number());
    let mut templates: Vec<Template> =
        inner.plain().iter().filter(own).filter(scalar).map(|known| Template::Value(known.source.clone())).collect();
    body.iter().filter_map(Node::step).for_each(|step| made_of(&step.input, &mut templates));
    let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
    for (number, template) in templates.into_iter().take(limits::LEARN_GATHERED_MAX).enumerate() {
        let turn = |at: usize| -> Option<Value> {
            match &template {
                Template::Text(parts) => {
                    parts.iter().map(|part| text_of_part(inner, part, at)).collect::<Option<String>>().map(Value::from)
                }
                Template::Value(source) => Some(inner.known_as(source, &[])?.facts[at].value.clone()),
                Template::Derived { from, rules } => Some(inner.known_as(from, rules)?.facts[at].value.clone()),
                _ => None,
            }
        };
        let values: Option<Vec<Vec<Value>>> = (0..scope.runs.len())
            .map(|sample| within.iter().enumerate().filter(|(_, of)| **of == sample).map(|(at, _)| turn(at)).collect())
            .collect();
        let Some(values) = values else { continue };
        let facts: Vec<Rc<Fact>> = values.into_iter().map(|values| Fact::new(Value::Array(values))).collect();
        let (varies, bits) = weigh(&facts);
        if !varies || !seen.insert(facts.iter().map(|fact| fact.canon.clone()).collect()) {
            continue;
        }
        let source = Source::Output { step: each.to_owned(), pointer: format!("{MARK}{number}") };
        let since = scope.steps();
        scope.add(Known {
            source,
            rules: Vec::new(),
            facts,
            name: String::new(),
            since,
            tier: Tier::Answered,
            listed: false,
            varies,
            elsewhere: false,
            bits,
        });
        into.push(Candidate { each: each.to_owned(), number, template });
    }
}

fn text_of_part(inner: &Scope, part: &Part, at: usize) -> Option<String> {
    Some(match part {
        Part::Literal(text) => text.clone(),
        Part::Value(source) => inner.known_as(source, &[])?.facts[at].text().to_owned(),
        Part::Derived { from, rules } => inner.known_as(from, rules)?.facts[at].text().to_owned(),
    })
}

/// The values that an input is made of: whole fields, each part of a text, and what stands behind its last slash.
fn made_of(template: &Template, into: &mut Vec<Template>) {
    match template {
        Template::Object(fields) => fields.values().for_each(|field| made_of(field, into)),
        Template::Text(parts) => {
            into.push(template.clone());
            into.extend(parts.iter().filter_map(|part| match part {
                Part::Literal(_) => None,
                Part::Value(source) => Some(Template::Value(source.clone())),
                Part::Derived { from, rules } => Some(Template::Derived { from: from.clone(), rules: rules.clone() }),
            }));
            let slash = parts.iter().enumerate().rev().find_map(|(at, part)| match part {
                Part::Literal(text) => text.rsplit_once('/').map(|(_, name)| (at, name.to_owned())),
                _ => None,
            });
            if let Some((at, name)) = slash.filter(|(at, _)| at + 1 < parts.len()) {
                let name = Some(name).filter(|name| !name.is_empty()).map(Part::Literal);
                into.push(Template::Text(name.into_iter().chain(parts[at + 1..].iter().cloned()).collect()));
            }
        }
        Template::Value(_) | Template::Derived { .. } => into.push(template.clone()),
        Template::Array(_) | Template::Constant(_) | Template::Either { .. } => {}
    }
}

/// Makes what was taken of a loop its output. The loop whose turns would have to give two things is named otherwise.
pub(super) fn settle(body: &mut [Node], output: &mut Template, candidates: &[Candidate]) -> Result<(), String> {
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    visit_sources(body, output, &mut |source, rules| {
        // How many turns there were is the same, whatever they gave.
        if let Source::Output { step, pointer } = source
            && rules != [Rule::Count]
            && candidates.iter().any(|candidate| candidate.each == *step)
        {
            let which = if pointer.starts_with(MARK) { pointer.clone() } else { String::new() };
            taken.entry(step.clone()).or_default().insert(which);
        }
    });
    for (each, which) in &taken {
        if which.len() > 1 {
            return Err(format!("later steps take different things of the turns of {each}; a loop gives one list"));
        }
    }
    let meant = |each: &str| -> Option<&Template> {
        let pointer = taken.get(each)?.first()?;
        candidates.iter().find(|c| c.each == each && *pointer == format!("{MARK}{}", c.number)).map(|c| &c.template)
    };
    outputs(body, &meant);
    visit_sources(body, output, &mut |source, _| {
        if let Source::Output { pointer, .. } = source
            && pointer.starts_with(MARK)
        {
            pointer.clear();
        }
    });
    Ok(())
}

fn outputs<'a>(nodes: &mut [Node], meant: &impl Fn(&str) -> Option<&'a Template>) {
    for node in nodes {
        match node {
            Node::Each(each) => {
                if let Some(template) = meant(&each.id) {
                    each.output = Some(template.clone());
                }
                outputs(&mut each.body, meant);
            }
            Node::Branch(branch) => {
                outputs(&mut branch.then, meant);
                outputs(&mut branch.otherwise, meant);
            }
            _ => {}
        }
    }
}

fn visit_sources(nodes: &mut [Node], output: &mut Template, visit: &mut impl FnMut(&mut Source, &[Rule])) {
    in_nodes(nodes, visit);
    in_template(output, visit);
}

fn in_nodes(nodes: &mut [Node], visit: &mut impl FnMut(&mut Source, &[Rule])) {
    for node in nodes {
        match node {
            Node::Step(step) => in_template(&mut step.input, visit),
            Node::Each(each) => {
                in_template(&mut each.list, visit);
                in_nodes(&mut each.body, visit);
                each.output.iter_mut().for_each(|output| in_template(output, visit));
            }
            Node::Branch(branch) => {
                let Condition { value, .. } = &mut branch.condition;
                visit(value, &[]);
                in_nodes(&mut branch.then, visit);
                in_nodes(&mut branch.otherwise, visit);
            }
            _ => {}
        }
    }
}

fn in_template(template: &mut Template, visit: &mut impl FnMut(&mut Source, &[Rule])) {
    match template {
        Template::Constant(_) => {}
        Template::Value(source) | Template::Either { value: source, .. } => visit(source, &[]),
        Template::Derived { from, rules } => visit(from, rules),
        Template::Text(parts) => parts.iter_mut().for_each(|part| match part {
            Part::Literal(_) => {}
            Part::Value(source) => visit(source, &[]),
            Part::Derived { from, rules } => visit(from, rules),
        }),
        Template::Object(fields) => fields.values_mut().for_each(|field| in_template(field, visit)),
        Template::Array(items) => items.iter_mut().for_each(|item| in_template(item, visit)),
    }
}
