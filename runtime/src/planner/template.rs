//! The planner by rule: the first template whose goal fits gives the graph, and its placeholders the job's input.
//!
//! It understands nothing: a goal fits where its words are the template's, one by one.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Judge, Planned, Wish, evidence};
use crate::blocking;
use crate::compiler::graph::Graph;
use crate::config::{GoalPart, GoalTemplate};
use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;

pub(super) async fn plan(wish: Wish<'_>, templates: &[GoalTemplate], judge: Judge<'_>) -> Result<Planned> {
    let goal = wish.goal.trim();
    let fitting = templates.iter().find_map(|template| Some((template, found(&template.parts, goal)?)));
    let Some((template, found)) = fitting else {
        let known: Vec<&str> = templates.iter().map(|template| template.goal.as_str()).collect();
        return Err(Error::new(Code::PlannerFailed, format!("no template fits the goal; there are: {}", known.join("; "))));
    };
    let path = template.graph.clone();
    let text = blocking::run(move || read(&path)).await?;
    let graph = Graph::parse(&text).map_err(|e| e.at(format!("the graph of the template {:?}", template.goal)))?;
    let input = input(&graph, wish.input, found)?;
    judge(&graph, &input)?;
    let evidence = evidence("template", wish, &graph, json!({"template": template.goal, "rounds": 0}));
    Ok(Planned { graph, input, evidence })
}

/// The operator's file; what the host calls it is not for whoever asks.
fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("the template's graph {name} cannot be read: {e}"));
    let mut text = Vec::new();
    // One byte more than is taken: enough for the graph to be refused.
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limits::JSON_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// What stands for each placeholder, where the whole goal fits. A placeholder takes as little as it can, and never nothing.
fn found<'a>(parts: &[GoalPart], goal: &'a str) -> Option<Vec<(String, &'a str)>> {
    let mut found = Vec::new();
    let mut rest = goal;
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            GoalPart::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            GoalPart::Placeholder(name) => {
                let first = rest.chars().next()?.len_utf8();
                let end = match parts.peek() {
                    None => rest.len(),
                    Some(GoalPart::Text(text)) => {
                        let last = {
                            let mut ahead = parts.clone();
                            ahead.next();
                            ahead.peek().is_none()
                        };
                        // The goal's end is fixed, and whatever stands before it is the placeholder's.
                        let at = if last { rest.strip_suffix(text.as_str())?.len() } else { first + rest[first..].find(text.as_str())? };
                        Some(at).filter(|at| *at >= first)?
                    }
                    Some(GoalPart::Placeholder(_)) => return None,
                };
                found.push((name.clone(), rest[..end].trim()));
                rest = &rest[end..];
            }
        }
    }
    (rest.is_empty() && found.iter().all(|(_, value)| !value.is_empty())).then_some(found)
}

/// The request's own input, and what the goal says.
fn input(graph: &Graph, given: &Json, found: Vec<(String, &str)>) -> Result<Json> {
    let mut fields: Map<String, Value> = match given.value() {
        Value::Object(fields) => fields,
        _ => return Err(Error::invalid("/input", "must be an object; the goal's placeholders are added to it")),
    };
    let types = types(graph);
    let mut issues = Vec::new();
    for (name, text) in found {
        let value = typed(types.get(&name).map_or("string", String::as_str), text);
        if fields.get(&name).is_some_and(|there| *there != value) {
            let message = format!("the goal says {text:?} for {name:?}, and the input something else");
            issues.push(Issue { path: crate::json::below("/input", &name), message });
        }
        fields.insert(name, value);
    }
    match issues.first() {
        None => Ok(Json::from(&Value::Object(fields))),
        Some(first) => Err(Error::new(Code::InvalidRequest, first.message.clone()).with_issues(issues)),
    }
}

/// The type of each of the graph's parameters.
fn types(graph: &Graph) -> std::collections::BTreeMap<String, String> {
    let text = graph.text().value();
    let of = |parameter: &Value| {
        let kind = parameter["schema"]["type"].as_str().unwrap_or("string");
        Some((parameter["name"].as_str()?.to_owned(), kind.to_owned()))
    };
    text["parameters"].as_array().into_iter().flatten().filter_map(of).collect()
}

/// `42` for a parameter that is a number; the text itself where it is none, so that the input's check says so.
fn typed(kind: &str, text: &str) -> Value {
    if kind == "string" {
        return text.into();
    }
    crate::json::parse(text.as_bytes()).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(goal: &str) -> Vec<GoalPart> {
        let mut parts = Vec::new();
        for piece in goal.split_inclusive('}') {
            let (text, name) = piece.split_once('{').map_or((piece, None), |(text, name)| (text, name.strip_suffix('}')));
            parts.extend((!text.is_empty()).then(|| GoalPart::Text(text.to_owned())));
            parts.extend(name.map(|name| GoalPart::Placeholder(name.to_owned())));
        }
        parts
    }

    #[test]
    fn a_goal_fits_as_a_whole_or_not_at_all() {
        for (template, goal, expected) in [
            ("refund {order}", "refund A-1", Some(vec![("order", "A-1")])),
            ("refund {order}", "refund the order A-1 ", Some(vec![("order", "the order A-1")])),
            ("refund {order}", "refund ", None),
            ("refund {order}", "Refund A-1", None),
            ("refund {order}", "please refund A-1", None),
            ("move {a} to {b}", "move x to y to z", Some(vec![("a", "x"), ("b", "y to z")])),
            ("move {a} to {b}", "move  to y", None),
            ("move {a} to {b} now", "move x to y now", Some(vec![("a", "x"), ("b", "y")])),
            ("move {a} to {b} now", "move x to y now now", Some(vec![("a", "x"), ("b", "y now")])),
            ("move {a} to {b} now", "move x to y", None),
            ("{all}", "anything", Some(vec![("all", "anything")])),
            ("{all}!", "ünï!", Some(vec![("all", "ünï")])),
            ("{all}!", "!", None),
            ("tidy up", "tidy up", Some(vec![])),
            ("tidy up", "tidy up now", None),
        ] {
            let found = found(&parts(template), goal.trim_start());
            let found = found.as_ref().map(|found| found.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>());
            assert_eq!(found, expected, "{template:?} {goal:?}");
        }
    }

    #[test]
    fn a_placeholder_takes_the_type_that_the_graph_wants() {
        for (kind, text, value) in [
            ("string", "42", json!("42")),
            ("integer", "42", json!(42)),
            ("number", "4.5", json!(4.5)),
            ("boolean", "true", json!(true)),
            ("array", "[1]", json!([1])),
            ("integer", "many", json!("many")),
        ] {
            assert_eq!(typed(kind, text), value, "{kind} {text}");
        }
    }
}
