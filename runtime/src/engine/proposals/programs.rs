//! Programs: each that was started, with arguments as they were, and a `*` where they depend on the job or differed.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{GrantProposal, Known, ProposalStanding, Reached, free_name, proposal, texts};
use crate::compiler::template::Template;
use crate::tools::grants::{ExecGrant, Grant};

/// Starts of one program that one grant can cover.
struct Starts {
    program: String,
    args: Vec<Pattern>,
    directory: Option<String>,
    steps: Vec<String>,
}

/// One argument: how it begins, and whether anything may follow.
#[derive(Clone, PartialEq)]
struct Pattern {
    begin: String,
    open: bool,
}

impl Pattern {
    fn exactly(text: &str) -> Pattern {
        Pattern { begin: text.to_owned(), open: false }
    }

    fn beginning(text: &str) -> Pattern {
        Pattern { begin: text.to_owned(), open: true }
    }

    /// One that covers both; none where that would take an option for a name, which no pattern does.
    fn with(&self, other: &Pattern) -> Option<Pattern> {
        if self == other {
            return Some(self.clone());
        }
        let begin: String = self.begin.chars().zip(other.begin.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
        let is_option = |pattern: &Pattern| pattern.begin.starts_with('-');
        (!begin.is_empty() || !is_option(self) && !is_option(other)).then_some(Pattern { begin, open: true })
    }

    fn text(&self) -> String {
        // Two in a row stand for any further arguments, which nobody meant.
        let mut text = format!("{}{}", self.begin, if self.open { "*" } else { "" });
        while text.contains("**") {
            text = text.replace("**", "*");
        }
        text
    }
}

pub(super) fn propose(calls: &[Reached], known: &Known) -> Vec<GrantProposal> {
    let mut all: Vec<Starts> = Vec::new();
    for call in calls.iter().filter(|call| call.tool.to_string() == "exec/run") {
        let Some(program) = texts(call, "program").into_iter().find(|program| program.whole) else { continue };
        let directory = texts(call, "directory").into_iter().find(|directory| directory.whole).map(|directory| directory.text);
        let start = Starts { program: program.text, args: args(call), directory, steps: vec![call.step.clone()] };
        if !all.iter_mut().any(|starts| starts.take_in(&start)) {
            all.push(start);
        }
    }
    let mut taken: BTreeSet<String> =
        known.granted.iter().filter(|grant| grant.kind() != ExecGrant::KIND).map(|g| g.name().to_string()).collect();
    let mut proposals = Vec::new();
    for starts in all {
        if let Some(proposal) = of_starts(starts, known, &taken) {
            taken.insert(proposal.name.clone());
            proposals.push(proposal);
        }
    }
    proposals
}

impl Starts {
    /// Covers `other` too, where one grant can.
    fn take_in(&mut self, other: &Starts) -> bool {
        if self.program != other.program || self.directory != other.directory || self.args.len() != other.args.len() {
            return false;
        }
        let Some(args) = self.args.iter().zip(&other.args).map(|(one, another)| one.with(another)).collect() else { return false };
        self.args = args;
        self.steps.extend(other.steps.iter().cloned());
        true
    }
}

fn args(call: &Reached) -> Vec<Pattern> {
    let recorded = call.recorded.as_ref().and_then(|input| input["args"].as_array());
    let one = |template: &Template| match (template.is_constant(), template.clone().leading_text()) {
        (true, Some(text)) => Pattern::exactly(&text),
        (false, Some(text)) => Pattern::beginning(&text),
        (_, None) => Pattern::beginning(""),
    };
    match (call.input.field("args"), recorded) {
        (Some(Template::Array(items)), _) => items.iter().map(one).collect(),
        (Some(Template::Constant(list)), _) => strings(&list.value()),
        (_, Some(recorded)) => strings(&Value::Array(recorded.clone())),
        (_, None) => Vec::new(),
    }
}

fn strings(list: &Value) -> Vec<Pattern> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(Pattern::exactly).collect()
}

fn of_starts(starts: Starts, known: &Known, taken: &BTreeSet<String>) -> Option<GrantProposal> {
    let Starts { program, args, directory, steps } = starts;
    let patterns: Vec<String> = args.iter().map(Pattern::text).collect();
    // What the pattern stands for, as an argument that a grant would cover or not.
    let sample: Vec<String> = args.iter().map(|arg| arg.begin.clone()).collect();
    let granted = known.granted.iter().find_map(|grant| match grant {
        Grant::Exec(exec) if exec.covers(&program, &sample) && directory.as_ref().is_none_or(|d| *d == *exec.directory.as_str()) => {
            Some(exec)
        }
        _ => None,
    });
    let own = program.rsplit('/').next().unwrap_or_default();
    let name = match granted {
        Some(exec) => exec.name.clone(),
        None => free_name(own, taken)?,
    };
    let directory = directory.or_else(|| granted.map(|exec| exec.directory.to_string()));
    let mut parts = json!({"kind": "exec", "name": name, "program": program, "args": patterns});
    if let Some(directory) = &directory {
        parts["directory"] = directory.as_str().into();
        let grant: Grant = serde_json::from_value(parts).ok()?;
        let standing = known.standing(&grant, |other| granted.is_some_and(|exec| exec.name == *other.name()));
        return Some(proposal(&grant, standing, steps));
    }
    let parts: Map<String, Value> = parts.as_object().cloned().unwrap_or_default();
    Some(GrantProposal {
        name: name.to_string(),
        kind: ExecGrant::KIND,
        words: format!("run the program {own} {}", patterns.join(" ")).trim_end().to_owned(),
        standing: ProposalStanding::New,
        steps,
        missing: Some("directory = the name of the fs grant in whose directory it runs; the recording does not say".to_owned()),
        parts,
        of_the_host: false,
    })
}
