//! What became of each step, as its journal has it, beside what the shop saw.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::journal::{Body, Decision, Entry, On, Wake};
use crate::store::Payload;

/// One step of the story's job.
pub(super) struct Told {
    pub step: String,
    pub what: String,
    /// How often it went out.
    pub times: String,
    /// What was done about it by the process that took the job up.
    pub afterwards: String,
}

impl Told {
    pub(super) fn to_json(&self) -> Value {
        json!({"step": self.step, "what": self.what, "times": self.times, "after_the_kill": self.afterwards})
    }
}

/// Every step in order; `seen` is how often each request came to the shop.
pub(super) fn steps(entries: &[Entry], seen: &BTreeMap<String, usize>) -> Vec<Told> {
    let killed_at = entries.iter().find(|entry| matches!(entry.body, Body::Resumed { .. })).map_or(u64::MAX, |entry| entry.seq);
    entries.iter().filter_map(|entry| call(entry, entries, seen, killed_at).or_else(|| approval(entry, entries, killed_at))).collect()
}

fn call(entry: &Entry, entries: &[Entry], seen: &BTreeMap<String, usize>, killed_at: u64) -> Option<Told> {
    let Body::Called { call, step, tool, effect, input, .. } = &entry.body else { return None };
    let (method, place) = (tool.name().to_ascii_uppercase(), place(input));
    let sent = seen.get(&format!("{method} {place}")).copied().unwrap_or_default();
    let answered = entries.iter().find(|later| matches!(&later.body, Body::Returned { call: of, .. } if of == call));
    let settled = entries.iter().find_map(|later| match &later.body {
        Body::Resolved(resolved) if resolved.call == *call => Some(resolved),
        _ => None,
    });
    let afterwards = match (settled, answered) {
        (Some(resolved), _) if resolved.by == "reconcile" && matches!(resolved.decision, Decision::Happened(_)) => {
            "the shop was asked by key: it had happened, so it was not sent again".to_owned()
        }
        (Some(resolved), _) => format!("settled by {}", resolved.by),
        (None, Some(answer)) if answer.seq < killed_at => "answered from the journal, not sent again".to_owned(),
        (None, Some(_)) => "sent".to_owned(),
        (None, None) => "not answered".to_owned(),
    };
    Some(Told {
        step: step.clone().unwrap_or_default(),
        what: format!("{method} {place} ({effect})"),
        times: format!("sent {}", times(sent)),
        afterwards,
    })
}

fn approval(entry: &Entry, entries: &[Entry], killed_at: u64) -> Option<Told> {
    let Body::Waiting(waiting) = &entry.body else { return None };
    let On::Approval { title, .. } = &waiting.on else { return None };
    let woken = entries.iter().find_map(|later| match &later.body {
        Body::Woken(woken) if woken.wait == waiting.wait => Some((later.seq, &woken.by)),
        _ => None,
    });
    let (decision, afterwards) = match woken {
        Some((seq, Wake::Approved(verdict))) if seq < killed_at => {
            (format!("approved by {}", verdict.by), "stands in the journal, nobody was asked again")
        }
        Some((_, Wake::Approved(verdict))) => (format!("approved by {}", verdict.by), "asked"),
        Some((_, Wake::Rejected(verdict))) => (format!("rejected by {}", verdict.by), "-"),
        _ => ("open".to_owned(), "-"),
    };
    let step = waiting.step.clone().unwrap_or_default();
    Some(Told { step, what: format!("a person: {title}"), times: decision, afterwards: afterwards.to_owned() })
}

/// The path of the call's URL.
fn place(input: &Payload) -> String {
    let Payload::Inline(input) = input else { return String::new() };
    let input = input.value();
    let url = input["url"].as_str().unwrap_or_default();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').map_or(String::new(), |at| rest[at..].to_owned())
}

fn times(n: usize) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}
