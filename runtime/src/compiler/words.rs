//! A plan in words, a line for each thing that it does: what a reviewer reads where a list of steps says too little.

use super::plan::{Approve, Check, Condition, Join, Node, Plan, Step, StepOptions, Test, Until, Wait};
use crate::checks::{At, Origin};

/// One line of a plan in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How far it is set in: lines further in belong to the last one that is less so.
    pub level: usize,
    /// The words, with bindings as `input.name` and `s1/pointer`.
    pub text: String,
}

/// What a plan does, in order.
#[must_use]
pub fn outline(plan: &Plan) -> Vec<Line> {
    let mut lines = Vec::new();
    list(&plan.body, 0, &mut lines);
    lines
}

/// One node in a line, without what stands in it.
#[must_use]
pub(super) fn line(node: &Node) -> String {
    let mut lines = Vec::new();
    list(std::slice::from_ref(node), 0, &mut lines);
    lines.into_iter().next().map(|line| line.text).unwrap_or_default()
}

/// What a plan waits for, a line each: times, signals and people.
#[must_use]
pub fn waits(plan: &Plan) -> Vec<String> {
    let words = |node: &Node| match node {
        Node::Wait(wait) => Some(waiting(wait)),
        Node::Approve(ask) => Some(asking(ask)),
        _ => None,
    };
    plan.nodes().into_iter().filter_map(words).collect()
}

fn list(nodes: &[Node], level: usize, lines: &mut Vec<Line>) {
    for node in nodes {
        let mut say = |level: usize, text: String| lines.push(Line { level, text });
        match node {
            Node::Step(step) => {
                say(level, calling(step));
                step.checks.iter().for_each(|check| lines.push(Line { level: level + 1, text: held_to(check) }));
            }
            Node::Fail(fail) => say(level, format!("{} fails with {}", fail.id, fail.message)),
            Node::Playbook(start) => {
                say(level, format!("{} starts the playbook {} with {} and waits for its end", start.id, start.playbook, start.input));
            }
            Node::Each(each) => {
                say(level, format!("{} for each item of {}, one after the other:", each.id, each.list));
                list(&each.body, level + 1, lines);
                if let Some(output) = &each.output {
                    lines.push(Line { level: level + 1, text: format!("each turn gives {output}") });
                }
            }
            Node::Branch(branch) => {
                say(level, format!("{} if {}:", branch.id, asked(&branch.condition)));
                list(&branch.then, level + 1, lines);
                arm("otherwise", &branch.otherwise, level, lines);
            }
            Node::Parallel(parallel) => {
                let until = match parallel.join {
                    Join::All => "until all have ended",
                    Join::First => "until the first has ended; the others are cancelled",
                };
                say(level, format!("{} side by side, {until}:", parallel.id));
                for (place, branch) in parallel.branches.iter().enumerate() {
                    arm(&parallel.branch_name(place), branch, level + 1, lines);
                }
            }
            Node::Try(tried) => {
                list(&tried.body, level, lines);
                if tried.on_failure.is_empty() {
                    lines.push(Line { level: level + 1, text: "where that fails, it goes on".to_owned() });
                }
                arm("where that fails", &tried.on_failure, level + 1, lines);
            }
            Node::Wait(wait) => {
                say(level, waiting(wait));
                arm("where it does not come in time", wait.expired.as_deref().unwrap_or_default(), level + 1, lines);
            }
            Node::Approve(ask) => {
                say(level, asking(ask));
                arm("once approved", &ask.approved, level + 1, lines);
                for (when, nodes) in [("where rejected", &ask.rejected), ("where nobody decides in time", &ask.expired)] {
                    match nodes {
                        Some(nodes) => arm(when, nodes, level + 1, lines),
                        None => lines.push(Line { level: level + 1, text: format!("{when}, it fails") }),
                    }
                }
            }
        }
    }
}

fn arm(when: &str, nodes: &[Node], level: usize, lines: &mut Vec<Line>) {
    if !nodes.is_empty() {
        lines.push(Line { level, text: format!("{when}:") });
        list(nodes, level + 1, lines);
    }
}

fn calling(step: &Step) -> String {
    let undone = step.compensation.as_ref().map(|undo| format!("; undone by {} {}", undo.tool, undo.input));
    format!("{} {} ({}) {}{}{}", step.id, step.tool, step.effect, step.input, options(step.options), undone.unwrap_or_default())
}

fn held_to(check: &Check) -> String {
    let when = if check.at == At::Before { "before it" } else { "after it" };
    let origin = match check.origin {
        Origin::Recorded => "recorded",
        Origin::Inferred => "inferred",
        Origin::Given => "given",
    };
    let what = check.spec().map_or_else(|| check.is.to_string(), |spec| spec.to_string());
    let why = if check.reason.is_empty() { String::new() } else { format!(": {}", check.reason) };
    format!("{when}, {what} ({origin}{why})")
}

fn options(options: StepOptions) -> String {
    let StepOptions { tries, first_pause_ms, call_timeout_ms, step_timeout_ms } = options;
    let said = [
        tries.map(|n| format!("tried up to {n} times")),
        first_pause_ms.map(|ms| format!("first after {ms} ms")),
        call_timeout_ms.map(|ms| format!("{ms} ms for a call")),
        step_timeout_ms.map(|ms| format!("{ms} ms in all")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!(", {}", said.join(", ")) }
}

fn asked(condition: &Condition) -> String {
    let Condition { value, is, to } = condition;
    let to = to.as_ref().map(ToString::to_string).unwrap_or_default();
    match is {
        Test::True => format!("{value} is true"),
        Test::Exists => format!("there is {value}"),
        Test::Equals => format!("{value} equals {to}"),
        Test::NotEquals => format!("{value} does not equal {to}"),
        Test::Greater => format!("{value} is greater than {to}"),
        Test::Less => format!("{value} is less than {to}"),
    }
}

fn waiting(wait: &Wait) -> String {
    match &wait.until {
        Until::SleepMs(ms) => format!("{} sleeps {ms} ms", wait.id),
        Until::Signal { name, timeout_ms } => format!("{} waits for the signal {name:?}{}", wait.id, at_most(*timeout_ms)),
    }
}

fn asking(ask: &Approve) -> String {
    format!("{} asks a person {:?}, showing {}{}", ask.id, ask.title, ask.request, at_most(ask.timeout_ms))
}

fn at_most(ms: Option<u64>) -> String {
    ms.map(|ms| format!(", at most {ms} ms")).unwrap_or_default()
}
