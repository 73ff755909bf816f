//! What a job has to give: a parameter for each input that the plan uses, and what is known of its values.
//!
//! An input that was the same in every run, and whose value also stands in the plan as it is, is kept as it was: a job that
//! gives another value is refused before it does anything, since no run showed what would follow from it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::align::Place;
use super::{Pass, each_template};
use crate::compiler::dataflow::stands_alone;
use crate::compiler::plan::{Node, Parameter, Plan};
use crate::compiler::template::{Part, Source, Template};
use crate::json::{Json, text_of};

/// The parameters of `plan`, and the inputs that are neither used nor kept as they were.
pub(super) fn of(
    plan: &Plan,
    passes: &[Pass<'_>],
    defaults: &BTreeMap<String, Value>,
    questions: &mut Vec<(Place, String)>,
) -> Result<Vec<Parameter>, String> {
    let used = used(plan);
    let mut names: BTreeSet<&String> = BTreeSet::new();
    for pass in passes {
        names.extend(pass.trace.inputs.as_object().into_iter().flatten().map(|(name, _)| name));
    }
    let mut parameters = Vec::new();
    for name in names {
        let values: Vec<&Value> = passes.iter().filter_map(|pass| pass.trace.inputs.get(name)).collect();
        let in_all = values.len() == passes.len();
        let Some(first) = values.first() else { continue };
        let same = values.iter().all(|value| Json::from(*value) == Json::from(*first));
        let is_used = used.contains(name);
        if !in_all && !is_used {
            continue;
        }
        let Some(ty) = common_type(&values) else {
            if is_used {
                return Err(format!("the input {name:?} is of different types in the runs"));
            }
            continue;
        };
        let mut parameter = Parameter::required(name.clone(), ty, Json::from(*first));
        let fixed = in_all && same && (!is_used || stands_in(plan, first));
        if fixed {
            parameter.schema = Json::from(&json!({"type": ty, "enum": [first]}));
            parameter.default = Some(Json::from(*first));
            let place = Place { step: "input".to_owned(), at: crate::json::below("", name) };
            let question = format!(
                "was {} in every run, and no other value is taken; a run with another one would show what it changes",
                super::explain::shown(first)
            );
            questions.push((place, question));
        } else if let Some(default) = defaults.get(name).filter(|_| !in_all) {
            parameter.default = Some(Json::from(default));
        } else if !is_used {
            // It differed and changed nothing: a job may give it, and need not.
            parameter.default = Some(Json::from(*first));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

/// The inputs that the plan uses.
fn used(plan: &Plan) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut note = |source: &Source| {
        if let Source::Parameter { name, .. } = source {
            used.insert(name.clone());
        }
    };
    each_template(&plan.body, &mut |template| template.for_each_source(&mut note));
    plan.output.for_each_source(&mut note);
    for node in plan.nodes() {
        if let Node::Branch(branch) = node {
            note(&branch.condition.value);
        }
    }
    used
}

/// True where the value, or one in it, stands in the plan as it is.
fn stands_in(plan: &Plan, value: &Value) -> bool {
    let mut needles = Vec::new();
    crate::compiler::dataflow::walk(value, "", &mut |_, value| {
        if (value.is_string() || value.is_number()) && text_of(value).chars().count() >= 2 {
            needles.push(text_of(value).to_lowercase());
        }
    });
    let holds = |text: &str| {
        let text = text.to_lowercase();
        needles.iter().any(|needle| text.match_indices(needle.as_str()).any(|(at, hit)| stands_alone(&text, at, at + hit.len())))
    };
    let mut found = false;
    let mut look = |template: &Template| found |= literal(template, &holds);
    each_template(&plan.body, &mut look);
    look(&plan.output);
    found
}

fn literal(template: &Template, holds: &dyn Fn(&str) -> bool) -> bool {
    match template {
        Template::Constant(json) => {
            let mut found = false;
            crate::compiler::dataflow::walk(&json.value(), "", &mut |_, value| {
                found |= (value.is_string() || value.is_number()) && holds(&text_of(value))
            });
            found
        }
        Template::Text(parts) => parts.iter().any(|part| matches!(part, Part::Literal(text) if holds(text))),
        Template::Object(fields) => fields.values().any(|field| literal(field, holds)),
        Template::Array(items) => items.iter().any(|item| literal(item, holds)),
        Template::Value(_) | Template::Either { .. } | Template::Derived { .. } => false,
    }
}

/// JSON Schema's name of the type that all have; none where they have several.
fn common_type(values: &[&Value]) -> Option<&'static str> {
    let mut types: Vec<&'static str> = values.iter().map(|value| crate::compiler::lift::type_of(value)).collect();
    types.sort_unstable();
    types.dedup();
    match types.as_slice() {
        [one] => Some(one),
        ["integer", "number"] => Some("number"),
        _ => None,
    }
}
