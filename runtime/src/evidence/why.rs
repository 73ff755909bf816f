//! Who had an entry done: at which step, on which input and where that came from, with whose approval, under which grants.
//!
//! Its job: one answer from a journal and, where there is one, the plan. It is pure: values in, values out.

use serde_json::{Map, Value, json};

use crate::compiler::plan::Plan;
use crate::compiler::template::{Part, Rule, Source, Template};
use crate::error::{Code, Error, Result};
use crate::ids::JobId;
use crate::journal::{Body, Entry, Exact, On, Verdict, Wake, view};

/// Everything that a journal and a plan say about one entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// The job.
    pub job_id: JobId,
    /// The entry that was asked about, as people and programs see it.
    pub entry: Value,
    /// The same in a line.
    pub line: String,
    /// The step that the guest had named last.
    pub step: Option<String>,
    /// Who had it done, in words.
    pub by: String,
    /// The call that it belongs to, as its `called` entry has it.
    pub call: Option<Value>,
    /// Where the call's input came from, by JSON pointer; none without a plan.
    pub input_from: Vec<Origin>,
    /// How often the call was tried, this time included.
    pub tries: u32,
    /// The attempt of the job that did it.
    pub attempt: u32,
    /// The person's decision that stands before it.
    pub approval: Option<Value>,
    /// The permissions that were given to this job alone, without the host's directories.
    pub grants: Vec<Value>,
    /// What came of it: the entries that answer the call or end the wait.
    pub came_to: Vec<Value>,
    /// How often the job was taken up so far.
    pub epoch: u64,
}

/// Where one value of an input came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Where it stands in the input.
    pub at: String,
    /// Where it came from: the job's input, an earlier step's answer, or the plan itself.
    pub from: String,
    /// The entry with that answer, for an earlier step's.
    pub seq: Option<u64>,
}

/// The answer for entry `seq`.
///
/// # Errors
/// `entry_not_found`.
pub fn why(job_id: JobId, exact: &Exact, plan: Option<&Plan>, seq: u64) -> Result<Why> {
    let entries = &exact.entries;
    let index = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1)).filter(|index| *index < entries.len());
    let index =
        index.ok_or_else(|| Error::new(Code::EntryNotFound, format!("job {job_id} has {} entries and no entry {seq}", entries.len())))?;
    let entry = &entries[index];
    let called = call_of(&entry.body).and_then(|call| called(entries, index, call));
    let step = step_of(&entry.body).or_else(|| called.and_then(|at| step_of(&entries[at].body)));
    let since = called.unwrap_or(index);
    Ok(Why {
        job_id,
        entry: shown(entry),
        line: view::line(entry),
        by: by(entry, exact),
        input_from: called.zip(plan).map(|(at, plan)| origins(entries, at, plan)).unwrap_or_default(),
        tries: called.map_or(0, |at| tries(entries, at)),
        attempt: attempt(&entries[..=index]),
        approval: approval(&entries[..=since]),
        grants: exact.state.grants.iter().map(|grant| without_path(grant.value())).collect(),
        came_to: came_to(entries, since, called),
        call: called.map(|at| shown(&entries[at])),
        epoch: exact.head.epoch,
        step,
    })
}

fn shown(entry: &Entry) -> Value {
    let mut shown = view::object(entry);
    if let Some(grants) = shown.get_mut("grants").and_then(Value::as_array_mut) {
        *grants = grants.drain(..).map(without_path).collect();
    }
    shown
}

/// A directory of the host is nobody's business but the operator's.
fn without_path(mut grant: Value) -> Value {
    if let Some(fields) = grant.as_object_mut() {
        fields.remove("path");
    }
    grant
}

/// The call that an entry is about.
fn call_of(body: &Body) -> Option<u64> {
    match body {
        Body::Called { call, .. } | Body::Returned { call, .. } | Body::Uncertain { call, .. } => Some(*call),
        Body::Resolved(resolved) => Some(resolved.call),
        Body::Retrying(retrying) => Some(retrying.call),
        Body::Drifted(drifted) => Some(drifted.call),
        Body::HandedOver(handed) => Some(handed.call),
        Body::Waiting(waiting) => match waiting.on {
            On::External { call } => Some(call),
            _ => None,
        },
        _ => None,
    }
}

/// The newest `called` entry of this number, up to `index`.
fn called(entries: &[Entry], index: usize, number: u64) -> Option<usize> {
    entries[..=index].iter().rposition(|entry| matches!(&entry.body, Body::Called { call, .. } if *call == number))
}

fn step_of(body: &Body) -> Option<String> {
    match body {
        Body::Called { step, .. } | Body::Recorded { step, .. } => step.clone(),
        Body::Waiting(waiting) => waiting.step.clone(),
        Body::ChildStarted(child) => child.step.clone(),
        Body::Checked(checked) => checked.step.clone(),
        Body::HandedOver(handed) => handed.step.clone(),
        Body::Failed { failure, .. } => failure.step.clone(),
        _ => None,
    }
}

fn by(entry: &Entry, exact: &Exact) -> String {
    let person = match &entry.body {
        Body::Resolved(resolved) => Some(&resolved.by),
        Body::Paused(paused) => Some(&paused.by),
        Body::Continued(continued) => Some(&continued.by),
        Body::CancelRequested(cancel) => Some(&cancel.by),
        Body::Reattempted(again) => again.by.as_ref(),
        Body::Signalled(signal) => signal.by.as_ref(),
        Body::Woken(woken) => match &woken.by {
            Wake::Approved(verdict) | Wake::Rejected(verdict) => Some(&verdict.by),
            _ => None,
        },
        _ => None,
    };
    let state = &exact.state;
    match (person, &state.parent) {
        (Some(person), _) => person.clone(),
        (None, None) => {
            format!("playbook {} version {}, component {}, as a client asked", state.playbook_id, state.version, state.component)
        }
        (None, Some(parent)) => format!(
            "playbook {} version {}, component {}, as child {} of job {}",
            state.playbook_id, state.version, state.component, parent.child, parent.job_id
        ),
    }
}

/// Times that this call was begun in vain before the `called` entry at `at`, and once more.
fn tries(entries: &[Entry], at: usize) -> u32 {
    let Body::Called { call: number, .. } = &entries[at].body else { return 0 };
    let again = entries[..at].iter().filter(|entry| match &entry.body {
        Body::Retrying(retrying) => retrying.call == *number,
        Body::Resolved(resolved) => resolved.call == *number && resolved.decision == crate::journal::Decision::Retry,
        _ => false,
    });
    u32::try_from(again.count() + 1).unwrap_or(u32::MAX)
}

/// The attempt that wrote the last of these entries.
fn attempt(entries: &[Entry]) -> u32 {
    let resumed = entries.iter().rev().find_map(|entry| if let Body::Resumed { attempt } = entry.body { Some(attempt) } else { None });
    resumed.unwrap_or(1)
}

/// The newest decision of a person among these, with the entry that showed what it is about.
fn approval(entries: &[Entry]) -> Option<Value> {
    let decision = |entry: &Entry| -> Option<(u64, u64, Verdict, bool)> {
        let Body::Woken(woken) = &entry.body else { return None };
        match &woken.by {
            Wake::Approved(verdict) => Some((entry.seq, woken.wait, verdict.clone(), true)),
            Wake::Rejected(verdict) => Some((entry.seq, woken.wait, verdict.clone(), false)),
            _ => None,
        }
    };
    let (seq, wait, verdict, approved) = entries.iter().rev().find_map(decision)?;
    let asked = entries.iter().find_map(|entry| match &entry.body {
        Body::Waiting(waiting) if waiting.wait == wait => match &waiting.on {
            On::Approval { title, .. } => Some((entry.seq, title.clone())),
            _ => None,
        },
        _ => None,
    });
    let (shown_at, title) = asked?;
    Some(json!({
        "seq": seq, "shown_at": shown_at, "title": title, "digest": verdict.digest, "by": verdict.by, "approved": approved, "answer": verdict.answer,
    }))
}

/// The entries that say what became of the call or the wait at `at`.
fn came_to(entries: &[Entry], at: usize, called: Option<usize>) -> Vec<Value> {
    let after = &entries[at + 1..];
    let number = called.and_then(|at| call_of(&entries[at].body));
    let answers = |entry: &&Entry| match (&entry.body, &entries[at].body) {
        (Body::Called { .. } | Body::Drifted(_) | Body::Waiting(_), _) => false,
        (Body::Woken(woken), Body::Waiting(waiting)) => woken.wait == waiting.wait,
        (Body::ChildEnded(ended), Body::ChildStarted(started)) => ended.child == started.child,
        (body, Body::Called { .. }) => number.is_some() && call_of(body) == number,
        _ => false,
    };
    let until =
        after.iter().position(|entry| matches!(&entry.body, Body::Called { call, .. } if Some(*call) == number)).unwrap_or(after.len());
    after[..until].iter().filter(answers).map(shown).collect()
}

/// Where each part of a call's input came from, as the plan has it.
fn origins(entries: &[Entry], at: usize, plan: &Plan) -> Vec<Origin> {
    let Body::Called { step: Some(id), .. } = &entries[at].body else { return Vec::new() };
    let id = plan.without_turns(id);
    let Some(step) = plan.steps().find(|step| step.id == id) else { return Vec::new() };
    let mut origins = Vec::new();
    below(&step.input, "", &mut |pointer, from| {
        let seq = match from {
            // The newest: within a turn of a loop, that turn's.
            From::Source(Source::Output { step, .. }) | From::Derived(Source::Output { step, .. }, _) => {
                answer_of(&entries[..at], |of| plan.without_turns(of) == step)
            }
            _ => None,
        };
        origins.push(Origin { at: pointer.to_owned(), from: from.in_words(), seq });
    });
    origins
}

enum From<'a> {
    Plan,
    Source(&'a Source),
    Derived(&'a Source, &'a [Rule]),
}

impl From<'_> {
    fn in_words(&self) -> String {
        match self {
            From::Plan => "the plan".to_owned(),
            From::Source(source @ Source::Parameter { .. }) => format!("the job's input, {source}"),
            From::Source(Source::Output { step, pointer }) => format!("the answer of step {step}{pointer}"),
            From::Source(source @ Source::Item { .. }) => format!("the {source}"),
            From::Source(Source::Today) => "the day on which the job began".to_owned(),
            From::Derived(source, rules) => {
                let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
                format!("{}, by rules: {}", From::Source(source).in_words(), rules.join("; "))
            }
        }
    }
}

fn below(template: &Template, at: &str, visit: &mut impl FnMut(&str, From<'_>)) {
    match template {
        Template::Constant(_) => visit(at, From::Plan),
        Template::Value(source) | Template::Either { value: source, .. } => visit(at, From::Source(source)),
        Template::Derived { from, rules } => visit(at, From::Derived(from, rules)),
        Template::Text(parts) => parts.iter().for_each(|part| match part {
            Part::Literal(_) => visit(at, From::Plan),
            Part::Value(source) => visit(at, From::Source(source)),
            Part::Derived { from, rules } => visit(at, From::Derived(from, rules)),
        }),
        Template::Object(fields) => {
            for (name, template) in fields {
                below(template, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), visit);
            }
        }
        Template::Array(items) => {
            for (n, template) in items.iter().enumerate() {
                below(template, &format!("{at}/{n}"), visit);
            }
        }
    }
}

/// The newest answer to a call of such a step.
fn answer_of(entries: &[Entry], wanted: impl Fn(&str) -> bool) -> Option<u64> {
    let calls: Vec<u64> = entries
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Called { call, step: Some(of), .. } if wanted(of) => Some(*call),
            _ => None,
        })
        .collect();
    let answers = |entry: &&Entry| match &entry.body {
        Body::Returned { call, .. } => calls.contains(call),
        Body::Resolved(resolved) => calls.contains(&resolved.call),
        _ => false,
    };
    entries.iter().rev().find(answers).map(|entry| entry.seq)
}

impl Why {
    /// What programs see.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut shown = Map::new();
        let origins = |o: &Origin| json!({"at": o.at, "from": o.from, "seq": o.seq});
        for (name, value) in [
            ("job_id", json!(self.job_id)),
            ("entry", self.entry.clone()),
            ("step", json!(self.step)),
            ("by", json!(self.by)),
            ("call", json!(self.call)),
            ("input_from", self.input_from.iter().map(origins).collect()),
            ("tries", json!(self.tries)),
            ("attempt", json!(self.attempt)),
            ("epoch", json!(self.epoch)),
            ("approval", json!(self.approval)),
            ("grants", json!(self.grants)),
            ("came_to", json!(self.came_to)),
        ] {
            shown.insert(name.to_owned(), value);
        }
        Value::Object(shown)
    }
}
