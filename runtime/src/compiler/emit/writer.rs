//! What every function's code is made of: texts, templates put together, and answers taken apart.

use wasm_encoder::{BlockType, InstructionSink};

use super::abi::{HEAP, Numbers, at, int};
use super::features::Import;
use super::layout::{Layout, Slot};
use crate::compiler::plan::Plan;
use crate::compiler::template::{Part, Rule, Source, Template};

/// A piece of the JSON that is being put together.
enum Piece {
    Static(String),
    Slot(Slot),
    /// What is in the slot, or this text where there is nothing.
    SlotOr(Slot, String),
}

/// Where a text is: at an address that is known, or in a slot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    At(u32, u32),
    In(Slot),
}

impl From<(u32, u32)> for Text {
    fn from((address, len): (u32, u32)) -> Self {
        Text::At(address, len)
    }
}

/// Something to be taken out of an answer.
pub(super) struct Take {
    /// Where it lies in the answer; empty is the whole.
    pub pointer: String,
    /// Where it goes.
    pub slot: Slot,
    /// What the failure says where it is not there; none where that is no failure.
    pub missing: Option<String>,
}

/// Writes one function's code.
pub(super) struct Writer<'a> {
    pub plan: &'a Plan,
    pub numbers: &'a Numbers,
    pub layout: &'a mut Layout,
    /// What a failure says as its step; nothing for the plan's output.
    pub name: Text,
    /// The step that is being undone, where one is: what goes wrong is told and does not end the function.
    pub undoing: Option<String>,
    scratch: Slot,
}

/// Locals that every function has; the first two are parameters of `run`.
pub(super) const START: u32 = 2;
pub(super) const LEN: u32 = 3;
pub(super) const MARK: u32 = 4;
/// And those that only functions of trees have.
pub(super) const FAILED: u32 = 5;
pub(super) const CHILD: u32 = 6;

impl<'a> Writer<'a> {
    pub(super) fn new(plan: &'a Plan, numbers: &'a Numbers, layout: &'a mut Layout) -> Self {
        let scratch = layout.scratch;
        Writer { plan, numbers, layout, name: Text::At(0, 0), undoing: None, scratch }
    }

    /// Leaves a text's address and length.
    pub(super) fn text(&self, i: &mut InstructionSink<'_>, text: impl Into<Text>) {
        match text.into() {
            Text::At(address, len) => i.i32_const(int(address)).i32_const(int(len)),
            Text::In(slot) => i.i32_const(int(slot)).i32_load(at(0)).i32_const(int(slot)).i32_load(at(4)),
        };
    }

    /// The name of a node: its id, with the turns of the loops around it.
    pub(super) fn named(&mut self, i: &mut InstructionSink<'_>, id: &str) -> Text {
        let text = self.layout.text(id);
        self.name = match self.layout.around.get(id) {
            None => text.into(),
            Some(around) => {
                let (turn, name) = (self.layout.turns[around], self.layout.name);
                i.global_get(HEAP).local_set(START);
                self.text(i, text);
                i.call(self.numbers.push).i32_const(int(turn)).call(self.numbers.push_slot);
                i.i32_const(int(name)).local_get(START).i32_store(at(0));
                i.i32_const(int(name)).global_get(HEAP).local_get(START).i32_sub().i32_store(at(4));
                Text::In(name)
            }
        };
        self.name
    }

    pub(super) fn static_text(&mut self, i: &mut InstructionSink<'_>, text: &str) {
        let text = self.layout.text(text);
        self.text(i, text);
    }

    /// The function's number of an import that the plan uses.
    pub(super) fn import(&self, import: Import) -> u32 {
        self.numbers.imports[&import]
    }

    /// What later nodes need of the answer of node `id`, which `answerer` gives.
    pub(super) fn wanted(&self, id: &str, answerer: &str) -> Vec<Take> {
        let whole = Source::Output { step: id.to_owned(), pointer: String::new() };
        let of_node = self.layout.values.range(whole..).map_while(|(source, slot)| match source {
            Source::Output { step, pointer } if step == id => Some((source, pointer, *slot)),
            _ => None,
        });
        of_node
            .map(|(source, pointer, slot)| {
                let missing = || format!("{answerer} answered without {pointer}, which {} needs", self.layout.users[source]);
                let missing = (!self.layout.lazy.contains(source)).then(missing);
                Take { pointer: pointer.clone(), slot, missing }
            })
            .collect()
    }

    /// Takes what is wanted out of the answer in (START, LEN), moves it down to where the node's memory began, and
    /// gives the rest back.
    pub(super) fn take(&mut self, i: &mut InstructionSink<'_>, takes: &[Take], id: Text) {
        for Take { pointer, slot, missing } in takes {
            if pointer.is_empty() {
                i.i32_const(int(*slot)).local_get(START).i32_store(at(0));
                i.i32_const(int(*slot)).local_get(LEN).i32_store(at(4));
                continue;
            }
            i.local_get(START).local_get(LEN);
            self.select(i, pointer, *slot, id, missing.as_deref());
        }
        // The whole answer comes first in memory, then the values in the order in which they were taken; each
        // moves down, never over one that still has to move.
        i.local_get(MARK).global_set(HEAP);
        let (whole, parts): (Vec<_>, Vec<_>) = takes.iter().partition(|take| take.pointer.is_empty());
        for take in whole.into_iter().chain(parts) {
            if take.missing.is_none() && !take.pointer.is_empty() {
                i.i32_const(int(take.slot))
                    .i32_load(at(0))
                    .if_(BlockType::Empty)
                    .i32_const(int(take.slot))
                    .call(self.numbers.keep_slot)
                    .end();
            } else {
                i.i32_const(int(take.slot)).call(self.numbers.keep_slot);
            }
        }
    }

    /// `slot` = the value at `pointer` of the document whose address and length are on the stack; leaves the
    /// function with `missing` where there is none, or the slot empty.
    pub(super) fn select(&mut self, i: &mut InstructionSink<'_>, pointer: &str, slot: Slot, id: impl Into<Text>, missing: Option<&str>) {
        let pointer = self.layout.text(pointer);
        self.text(i, pointer);
        i.i32_const(int(slot));
        if !self.numbers.tree {
            i.call(self.numbers.select_into).i32_eqz();
        } else {
            // What undoes a step looks at the slot later, so that it must be empty where nothing was found.
            i.call(self.numbers.select_perhaps);
            if missing.is_none() {
                return;
            }
            i.i32_const(int(slot)).i32_load(at(0)).i32_eqz();
        }
        i.if_(BlockType::Empty);
        self.text(i, id);
        self.static_text(i, missing.unwrap_or_default());
        i.call(self.numbers.missing).return_().end();
    }

    /// Leaves the function where a value is not there that may be asked about, and is needed here.
    pub(super) fn require(&mut self, i: &mut InstructionSink<'_>, template: &Template, id: impl Into<Text>, user: &str) {
        let id = id.into();
        for source in needed(template).into_iter().filter(|source| self.layout.lazy.contains(source)).collect::<Vec<_>>() {
            i.i32_const(int(self.layout.values[&source])).i32_load(at(0)).i32_eqz().if_(BlockType::Empty);
            self.text(i, id);
            self.static_text(i, &format!("there is no {source}, which {user} needs"));
            i.call(self.numbers.missing).return_().end();
        }
    }

    /// Leaves address and length of the template's JSON in START and LEN.
    pub(super) fn put_together(&mut self, i: &mut InstructionSink<'_>, template: &Template) {
        self.scratch = self.layout.scratch;
        let mut pieces = Vec::new();
        self.pieces(i, template, &mut pieces);
        match pieces.as_slice() {
            [Piece::Static(text)] => {
                let (address, len) = self.layout.text(text);
                i.i32_const(int(address)).local_set(START).i32_const(int(len)).local_set(LEN);
            }
            [Piece::Slot(slot)] => {
                i.i32_const(int(*slot)).i32_load(at(0)).local_set(START).i32_const(int(*slot)).i32_load(at(4)).local_set(LEN);
            }
            pieces => {
                i.global_get(HEAP).local_set(START);
                self.push_all(i, pieces);
                i.global_get(HEAP).local_get(START).i32_sub().local_set(LEN);
            }
        }
    }

    fn push_all(&mut self, i: &mut InstructionSink<'_>, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Static(text) => {
                    let text = self.layout.text(text);
                    self.text(i, text);
                    i.call(self.numbers.push);
                }
                Piece::Slot(slot) => {
                    i.i32_const(int(*slot)).call(self.numbers.push_slot);
                }
                Piece::SlotOr(slot, text) => {
                    i.i32_const(int(*slot))
                        .i32_load(at(0))
                        .if_(BlockType::Empty)
                        .i32_const(int(*slot))
                        .call(self.numbers.push_slot)
                        .else_();
                    self.static_text(i, text);
                    i.call(self.numbers.push).end();
                }
            }
        }
    }

    /// The template as pieces in order; texts are made on the way, since nothing may be allocated while the
    /// pieces are being pushed.
    fn pieces(&mut self, i: &mut InstructionSink<'_>, template: &Template, into: &mut Vec<Piece>) {
        match template {
            Template::Constant(json) => add_static(into, json.as_str()),
            Template::Value(source) => into.push(Piece::Slot(self.layout.values[source])),
            Template::Either { value, default } => into.push(Piece::SlotOr(self.layout.values[value], default.as_str().to_owned())),
            Template::Derived { from, rules } => {
                let slot = self.derive(i, from, rules);
                into.push(Piece::Slot(slot));
            }
            Template::Text(parts) => {
                let slot = self.make_text(i, parts);
                into.push(Piece::Slot(slot));
            }
            Template::Object(fields) => {
                let mut before = "{";
                for (key, template) in fields {
                    add_static(into, &format!("{before}{}:", serde_json::Value::from(key.as_str())));
                    self.pieces(i, template, into);
                    before = ",";
                }
                add_static(into, if fields.is_empty() { "{}" } else { "}" });
            }
            Template::Array(items) => {
                let mut before = "[";
                for template in items {
                    add_static(into, before);
                    self.pieces(i, template, into);
                    before = ",";
                }
                add_static(into, if items.is_empty() { "[]" } else { "]" });
            }
        }
    }

    /// The slot of the JSON string that the parts make.
    fn make_text(&mut self, i: &mut InstructionSink<'_>, parts: &[Part]) -> Slot {
        let mut pieces = Vec::new();
        for part in parts {
            match part {
                Part::Literal(text) => add_static(&mut pieces, text),
                Part::Value(_) | Part::Derived { .. } => {
                    let from = match part {
                        Part::Derived { from, rules } => self.derive(i, from, rules),
                        Part::Value(source) => self.layout.values[source],
                        Part::Literal(_) => unreachable!("looked at above"),
                    };
                    let slot = self.next_scratch();
                    i.i32_const(int(from)).i32_const(int(slot)).call(self.numbers.text_into);
                    pieces.push(Piece::Slot(slot));
                }
            }
        }
        let slot = self.next_scratch();
        i.global_get(HEAP).local_set(START);
        self.push_all(i, &pieces);
        i.local_get(START).i32_const(int(slot)).call(self.numbers.quote_into);
        slot
    }

    /// The slot of what the rules make of a value. Where they make nothing of it, the function is left, or what is being
    /// undone is not.
    fn derive(&mut self, i: &mut InstructionSink<'_>, from: &Source, rules: &[Rule]) -> Slot {
        let (value, slot) = (self.layout.values[from], self.next_scratch());
        let rules = serde_json::to_string(rules).expect("rules have string keys only");
        i.i32_const(int(value));
        self.static_text(i, &rules);
        i.i32_const(int(slot)).call(self.numbers.derive_into).i32_eqz().if_(BlockType::Empty);
        match self.undoing.clone() {
            None => {
                self.text(i, self.name);
                self.static_text(i, &format!("{from} does not follow "));
                i.call(self.numbers.underivable).return_();
            }
            Some(step) => {
                self.static_text(i, &format!("; {step} could not be undone: {from} does not follow "));
                i.call(self.numbers.not_undone).i32_const(int(slot)).i32_load(at(0)).i32_const(int(slot)).i32_load(at(4));
                i.call(self.numbers.not_undone).br(1);
            }
        }
        i.end();
        slot
    }

    fn next_scratch(&mut self) -> Slot {
        self.scratch += 8;
        self.scratch - 8
    }
}

fn add_static(into: &mut Vec<Piece>, text: &str) {
    match into.last_mut() {
        Some(Piece::Static(before)) => before.push_str(text),
        _ => into.push(Piece::Static(text.to_owned())),
    }
}

/// The values without which a template cannot be made, each once.
pub(super) fn needed(template: &Template) -> std::collections::BTreeSet<Source> {
    let mut needed = std::collections::BTreeSet::new();
    template.for_each_need(&mut |source, need| {
        if need {
            needed.insert(source.clone());
        }
    });
    needed
}
