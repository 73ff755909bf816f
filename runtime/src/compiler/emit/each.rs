//! The function of a loop: a real one, that goes through the text of its list and does its body for each element.
//!
//! ```text
//! MARK          GIVEN                 TOP
//! |list ...     |[answer,answer,      |the turn's own memory ...
//! ```
//!
//! What a turn needs is taken back when it ends; its answer is moved down to those before it. The nodes in the body have
//! functions of their own, as everywhere, and find the turn's name in a slot.

use wasm_encoder::{BlockType, InstructionSink};

use super::abi::{HEAP, at, byte_at, int};
use super::layout::RESULT;
use super::writer::{LEN, MARK, START, Text, Writer};
use crate::compiler::plan::{Each, Node, all};
use crate::compiler::template::Source;
use crate::limits;

/// Locals that only the functions of loops have.
const AT: u32 = 7;
const END: u32 = 8;
const TURN: u32 = 9;
const GIVEN: u32 = 10;
const TOP: u32 = 11;
const NEXT: u32 = 12;
/// How many locals that makes, the two that are parameters of `run` among them.
pub(super) const LOCALS: u32 = NEXT + 1;

impl<'a> Writer<'a> {
    pub(super) fn each(&mut self, i: &mut InstructionSink<'_>, each: &Each) {
        let id = self.named(i, &each.id);
        i.global_get(HEAP).local_set(MARK);
        self.require(i, &each.list, id, &each.id);
        self.put_together(i, &each.list);
        self.count(i, each, id);
        i.local_get(START).i32_const(1).i32_add().local_set(AT).local_get(START).local_get(LEN).i32_add().local_set(END);
        i.global_get(HEAP).local_set(GIVEN).i32_const(0).local_set(TURN);
        self.pushed(i, "[");
        i.block(BlockType::Empty).block(BlockType::Empty).loop_(BlockType::Empty);
        i.local_get(AT).i32_load8_u(byte_at(0)).i32_const(i32::from(b']')).i32_eq().br_if(1);
        self.turn(i, each);
        i.local_get(NEXT).local_get(NEXT).i32_load8_u(byte_at(0)).i32_const(i32::from(b',')).i32_eq().i32_add().local_set(AT);
        i.local_get(TURN).i32_const(1).i32_add().local_set(TURN).br(0).end().end();
        self.pushed(i, "]");
        i.global_get(HEAP).local_get(GIVEN).i32_sub().local_set(LEN);
        // The nodes in the body had their names where this one's was.
        let id = self.named(i, &each.id);
        i.local_get(GIVEN).local_set(START);
        let takes = self.wanted(&each.id, "the loop");
        self.take(i, &takes, id);
        i.i32_const(0).return_().end();
        i.i32_const(int(RESULT));
    }

    /// Leaves the function where the list is none, or too long, before anything is done with it.
    fn count(&mut self, i: &mut InstructionSink<'_>, each: &Each, id: Text) {
        i.local_get(START).local_get(LEN).call(self.numbers.count_items).local_tee(NEXT);
        i.i32_const(-1).i32_eq().if_(BlockType::Empty);
        self.text(i, id);
        self.static_text(i, &format!("{} is no list, for each element of which {} is to do something", each.list, each.id));
        i.call(self.numbers.missing).return_().end();
        let most = u32::try_from(limits::EACH_ITEMS_MAX).expect("a few thousand elements");
        i.local_get(NEXT).i32_const(int(most)).i32_gt_u().if_(BlockType::Empty);
        self.text(i, id);
        self.static_text(i, &format!("{} has more than {most} elements, for each of which {} is to do something", each.list, each.id));
        i.call(self.numbers.missing).return_().end();
    }

    /// One turn, within the loop and two blocks: where it fails, the code jumps behind the outer one.
    fn turn(&mut self, i: &mut InstructionSink<'_>, each: &Each) {
        i.local_get(TURN).if_(BlockType::Empty);
        self.pushed(i, ",");
        i.end();
        i.global_get(HEAP).local_set(TOP);
        i.local_get(AT).local_get(END).call(self.numbers.item_end).local_set(NEXT);
        let name = self.turn_name(i, each);
        self.forget(i, each);
        self.item(i, each, name);
        self.body(i, &each.body, 2);
        if let Some(gives) = each.gives() {
            self.name = name;
            self.require(i, &gives, name, &each.id);
            self.put_together(i, &gives);
        }
        i.local_get(TOP).global_set(HEAP).local_get(START).local_get(LEN).call(self.numbers.push);
    }

    /// `files[2]`, and what of it the nodes in the body put behind their ids.
    fn turn_name(&mut self, i: &mut InstructionSink<'_>, each: &Each) -> Text {
        let (name, turn) = (self.layout.names[&each.id], self.layout.turns[&each.id]);
        i.global_get(HEAP).local_set(START);
        self.pushed(i, &each.id);
        if let Some(around) = self.layout.around.get(&each.id) {
            i.i32_const(int(self.layout.turns[around])).call(self.numbers.push_slot);
        }
        self.pushed(i, "[");
        i.local_get(TURN).i64_extend_i32_u().call(self.numbers.push_number);
        self.pushed(i, "]");
        let id_bytes = u32::try_from(each.id.len()).expect("an id is short");
        for (slot, from) in [(name, 0), (turn, id_bytes)] {
            i.i32_const(int(slot)).local_get(START).i32_const(int(from)).i32_add().i32_store(at(0));
            i.i32_const(int(slot)).global_get(HEAP).local_get(START).i32_sub().i32_const(int(from)).i32_sub().i32_store(at(4));
        }
        Text::In(name)
    }

    /// What nodes in the body answered in the turn before is not known in this one.
    fn forget(&mut self, i: &mut InstructionSink<'_>, each: &Each) {
        let inside: std::collections::BTreeSet<&str> = all(&each.body).into_iter().filter_map(Node::id).collect();
        let lazy = self.layout.lazy.iter().filter(|source| matches!(source, Source::Output { step, .. } if inside.contains(step.as_str())));
        for slot in lazy.map(|source| self.layout.values[source]) {
            i.i32_const(int(slot)).i32_const(0).i32_store(at(0)).i32_const(int(slot)).i32_const(0).i32_store(at(4));
        }
    }

    /// What the body needs of the element between AT and NEXT.
    fn item(&mut self, i: &mut InstructionSink<'_>, each: &Each, name: Text) {
        let values: Vec<(Source, u32)> = self.layout.values.iter().map(|(source, slot)| (source.clone(), *slot)).collect();
        for (source, slot) in values {
            let Source::Item { each: of, pointer } = &source else { continue };
            if *of != each.id {
                continue;
            }
            if pointer.is_empty() {
                i.i32_const(int(slot)).local_get(AT).i32_store(at(0));
                i.i32_const(int(slot)).local_get(NEXT).local_get(AT).i32_sub().i32_store(at(4));
                continue;
            }
            let missing = || format!("the element has no {pointer}, which {} needs", self.layout.users[&source]);
            let missing = (!self.layout.lazy.contains(&source)).then(missing);
            i.local_get(AT).local_get(NEXT).local_get(AT).i32_sub();
            self.select(i, pointer, slot, name, missing.as_deref());
        }
    }

    fn pushed(&mut self, i: &mut InstructionSink<'_>, text: &str) {
        self.static_text(i, text);
        i.call(self.numbers.push);
    }
}
