//! Where everything lies in the module's memory, decided before a line of code is written.
//!
//! ```text
//! 0    16       48        96        slots_end         heap_start
//! |null|answer  |result   |slots ... |static text ... |heap, grows up
//! ```
//!
//! A slot is a text's address and length (8 bytes). The answer area is where host functions put what they
//! return; the result area is what `run` returns. Where the plan has parallel branches, a second result area and a
//! row of children's numbers stand behind the slots. Sizes are those of the canonical ABI for the types in `wit/`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::compiler::plan::{Node, Plan, Step, all};
use crate::compiler::template::{Part, Source, Template};

/// Where host functions put an answer: `result<json, tool-error>` is the largest (28 bytes).
pub(super) const ANSWER: u32 = 16;
/// Where `run` puts its `result<json, failure>` (36 bytes).
pub(super) const RESULT: u32 = 48;
/// Bytes of a `result<json, failure>`, and room to the next slot.
pub(super) const RESULT_BYTES: u32 = 40;
/// The slot of the job's input.
pub(super) const INPUT: u32 = 88;
const SLOTS: u32 = 96;

/// The address of a slot.
pub(super) type Slot = u32;

/// Addresses of everything that is known before code is written.
pub(super) struct Layout {
    /// Values that some step or the output needs, by where they come from.
    pub values: BTreeMap<Source, Slot>,
    /// The first node that needs each value, or the output.
    pub users: BTreeMap<Source, String>,
    /// Values that may be absent where they are asked about: no job fails before it needs one.
    pub lazy: BTreeSet<Source>,
    /// Marks of steps that can be undone: `true` once they are done.
    pub done: BTreeMap<String, Slot>,
    /// The innermost loop around each node in one.
    pub around: BTreeMap<String, String>,
    /// What says the turn behind an id, by the loop: `[2]`, or `[0][2]` of a loop in a loop.
    pub turns: BTreeMap<String, Slot>,
    /// A loop's id with it.
    pub names: BTreeMap<String, Slot>,
    /// The name of the node in a loop that is being done.
    pub name: Slot,
    /// A failure that is kept while other children are waited for.
    pub spare: u32,
    /// Numbers of children, 4 bytes each.
    pub children: u32,
    /// Texts made within one step; every step uses them anew.
    pub scratch: Slot,
    /// Static text, deduplicated.
    text: Vec<u8>,
    text_start: u32,
    known: HashMap<Vec<u8>, u32>,
}

impl Layout {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut values = BTreeMap::new();
        let mut lazy = BTreeSet::new();
        let mut done = BTreeMap::new();
        let mut next = SLOTS;
        let mut slot = || {
            next += 8;
            next - 8
        };
        let mut users = BTreeMap::new();
        let mut note = |user: &str, source: &Source, needed: bool| {
            users.entry(source.clone()).or_insert_with(|| user.to_owned());
            values.entry(source.clone()).or_insert_with(&mut slot);
            if !needed {
                lazy.insert(source.clone());
            }
        };
        let mut scratch = 0;
        let mut branches = 0;
        for node in plan.nodes() {
            node.for_each_need(&mut |source, needed| note(node.id().unwrap_or_default(), source, needed));
            scratch = scratch.max(node_scratch(node));
            match node {
                Node::Step(Step { compensation: Some(undo), .. }) => {
                    undo.input.for_each_need(&mut |source, needed| note(&undo.id, source, needed));
                }
                Node::Parallel(parallel) => branches = branches.max(parallel.branches.len()),
                _ => {}
            }
        }
        plan.output.for_each_need(&mut |source, needed| note("the output", source, needed));
        scratch = scratch.max(scratch_slots(&plan.output));
        for step in plan.nodes() {
            if let Node::Step(Step { id, compensation: Some(_), .. }) = step {
                done.insert(id.clone(), slot());
            }
        }
        let (mut turns, mut names) = (BTreeMap::new(), BTreeMap::new());
        let around = around(plan);
        for each in plan.nodes().into_iter().filter_map(|node| if let Node::Each(each) = node { Some(each) } else { None }) {
            turns.insert(each.id.clone(), slot());
            names.insert(each.id.clone(), slot());
        }
        let name = if turns.is_empty() { 0 } else { slot() };
        let spare = next;
        let children = if branches == 0 { spare } else { spare + RESULT_BYTES };
        let scratch_start = (children + 4 * u32::try_from(branches).expect("a few dozen branches")).next_multiple_of(8);
        let text_start = scratch_start + 8 * scratch;
        let (scratch, text) = (scratch_start, Vec::new());
        Layout { values, users, lazy, done, around, turns, names, name, spare, children, scratch, text, text_start, known: HashMap::new() }
    }

    /// Address and length of static text.
    pub(super) fn text(&mut self, text: &str) -> (u32, u32) {
        let len = u32::try_from(text.len()).expect("a plan is at most a few megabytes");
        if let Some(at) = self.known.get(text.as_bytes()) {
            return (*at, len);
        }
        let at = self.text_start + u32::try_from(self.text.len()).expect("a plan is at most a few megabytes");
        self.text.extend_from_slice(text.as_bytes());
        self.known.insert(text.as_bytes().to_vec(), at);
        (at, len)
    }

    /// A table of (address, length) pairs, as static bytes.
    pub(super) fn table(&mut self, texts: &[&str]) -> u32 {
        let pairs: Vec<u8> = texts
            .iter()
            .flat_map(|text| {
                let (at, len) = self.text(text);
                [at.to_le_bytes(), len.to_le_bytes()].concat()
            })
            .collect();
        self.aligned(pairs)
    }

    /// Numbers, one behind the other, as static bytes.
    pub(super) fn words(&mut self, words: &[i32]) -> u32 {
        self.aligned(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    fn aligned(&mut self, bytes: Vec<u8>) -> u32 {
        while !self.text.len().is_multiple_of(4) {
            self.text.push(0);
        }
        // The slots before are multiples of 8, so aligning within the text aligns in memory.
        let at = self.text_start + u32::try_from(self.text.len()).expect("a plan is at most a few megabytes");
        self.text.extend(bytes);
        at
    }

    /// Static bytes with their address.
    pub(super) fn data(&self) -> (u32, &[u8]) {
        (self.text_start, &self.text)
    }

    /// The first free address.
    pub(super) fn heap_start(&self) -> u32 {
        (self.text_start + u32::try_from(self.text.len()).expect("a plan is at most a few megabytes")).next_multiple_of(16)
    }
}

fn around(plan: &Plan) -> BTreeMap<String, String> {
    let mut around = BTreeMap::new();
    // A loop stands before those in it, so that the innermost is written last.
    for node in plan.nodes() {
        if let Node::Each(each) = node {
            around.extend(all(&each.body).into_iter().filter_map(Node::id).map(|id| (id.to_owned(), each.id.clone())));
        }
    }
    around
}

fn node_scratch(node: &Node) -> u32 {
    match node {
        Node::Step(step) => {
            let undo = step.compensation.as_ref().map_or(0, |undo| scratch_slots(&undo.input));
            let checks = step.checks.iter().map(|check| scratch_slots(&check.is)).max().unwrap_or(0);
            scratch_slots(&step.input).max(undo).max(checks)
        }
        Node::Approve(ask) => scratch_slots(&ask.request),
        Node::Playbook(start) => scratch_slots(&start.input),
        Node::Fail(fail) => scratch_slots(&fail.message),
        Node::Each(each) => scratch_slots(&each.list).max(each.output.as_ref().map_or(0, scratch_slots)),
        Node::Branch(_) | Node::Parallel(_) | Node::Try(_) | Node::Wait(_) => 0,
    }
}

/// A text template takes one slot for itself and one for each value in it; what is derived takes one.
fn scratch_slots(template: &Template) -> u32 {
    match template {
        Template::Constant(_) | Template::Value(_) | Template::Either { .. } => 0,
        Template::Derived { .. } => 1,
        Template::Text(parts) => {
            let slots = |part: &Part| match part {
                Part::Literal(_) => 0,
                Part::Value(_) => 1,
                Part::Derived { .. } => 2,
            };
            1 + parts.iter().map(slots).sum::<u32>()
        }
        Template::Object(fields) => fields.values().map(scratch_slots).sum(),
        Template::Array(items) => items.iter().map(scratch_slots).sum(),
    }
}
