//! The functions that the module of a tree has beside those of every module: values that may be absent, children's
//! objects, failures with detail, and what is said of what could not be undone.

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::abi::{HEAP, Numbers, at, byte_at, int};
use super::features::Import;
use super::layout::{ANSWER, Layout, RESULT};
use super::shared::failure_head;
use crate::contract::ErrorKind;

/// (document ptr, len, pointer ptr, len, slot): `slot` = the value there, or nothing.
pub(super) fn select_perhaps(numbers: &Numbers) -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).local_get(1).local_get(2).local_get(3).local_get(4).call(numbers.select_into).i32_eqz().if_(BlockType::Empty);
    i.local_get(4).i32_const(0).i32_store(at(0)).local_get(4).i32_const(0).i32_store(at(4));
    i.end().end();
    f
}

/// (slot, key ptr, len): appends the member to the object that is being put together, where there is a value. The key
/// comes with its quotes and its colon.
pub(super) fn push_member(numbers: &Numbers, layout: &mut Layout) -> Function {
    let comma = layout.text(",");
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).i32_load(at(0)).i32_eqz().if_(BlockType::Empty).return_().end();
    i.global_get(HEAP).i32_const(1).i32_sub().i32_load8_u(byte_at(0)).i32_const(i32::from(b'{')).i32_ne().if_(BlockType::Empty);
    i.i32_const(int(comma.0)).i32_const(int(comma.1)).call(numbers.push).end();
    i.local_get(1).local_get(2).call(numbers.push).local_get(0).call(numbers.push_slot).end();
    f
}

/// (slot, ptr, len) -> 1 where the slot holds exactly this text.
pub(super) fn same() -> Function {
    const AT: u32 = 3;
    let mut f = Function::new([(1, ValType::I32)]);
    let mut i = f.instructions();
    i.local_get(0).i32_load(at(0)).i32_eqz().if_(BlockType::Empty).i32_const(0).return_().end();
    i.local_get(0).i32_load(at(4)).local_get(2).i32_ne().if_(BlockType::Empty).i32_const(0).return_().end();
    i.loop_(BlockType::Empty);
    i.local_get(AT).local_get(2).i32_eq().if_(BlockType::Empty).i32_const(1).return_().end();
    i.local_get(0).i32_load(at(0)).local_get(AT).i32_add().i32_load8_u(byte_at(0));
    i.local_get(1).local_get(AT).i32_add().i32_load8_u(byte_at(0)).i32_ne();
    i.if_(BlockType::Empty).i32_const(0).return_().end();
    i.local_get(AT).i32_const(1).i32_add().local_set(AT).br(0).end();
    i.unreachable().end();
    f
}

/// `err(failure)` with this step, message and detail (none where its length is 0).
pub(super) fn fail() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    failure_head(&mut i);
    i.i32_const(int(RESULT)).local_get(2).i32_store(at(16)).i32_const(int(RESULT)).local_get(3).i32_store(at(20));
    i.i32_const(int(RESULT)).local_get(5).i32_const(0).i32_ne().i32_store8(byte_at(24));
    i.i32_const(int(RESULT)).local_get(4).i32_store(at(28)).i32_const(int(RESULT)).local_get(5).i32_store(at(32));
    i.i32_const(int(RESULT)).end();
    f
}

/// Puts text before the message of the failure that a child left in the result area, and this step in its place:
/// the child's own steps are of another playbook.
pub(super) fn of_playbook(numbers: &Numbers) -> Function {
    const START: u32 = 4;
    let mut f = Function::new([(1, ValType::I32)]);
    let mut i = f.instructions();
    failure_head(&mut i);
    i.global_get(HEAP).local_set(START).local_get(2).local_get(3).call(numbers.push);
    push_message(&mut i, numbers);
    finish_message(&mut i, START);
    i.i32_const(int(RESULT)).end();
    f
}

fn push_message(i: &mut InstructionSink<'_>, numbers: &Numbers) {
    i.i32_const(int(RESULT)).i32_load(at(16)).i32_const(int(RESULT)).i32_load(at(20)).call(numbers.push);
}

/// The failure's message is what was put together since `start`.
fn finish_message(i: &mut InstructionSink<'_>, start: u32) {
    i.i32_const(int(RESULT)).local_get(start).i32_store(at(16));
    i.i32_const(int(RESULT)).global_get(HEAP).local_get(start).i32_sub().i32_store(at(20));
}

/// (ptr, len): appends text to the failure's message.
pub(super) fn not_undone(numbers: &Numbers) -> Function {
    const START: u32 = 2;
    let mut f = Function::new([(1, ValType::I32)]);
    let mut i = f.instructions();
    i.global_get(HEAP).local_set(START);
    push_message(&mut i, numbers);
    i.local_get(0).local_get(1).call(numbers.push);
    finish_message(&mut i, START);
    i.end();
    f
}

/// (ptr, len): appends text to the failure's message, and the tool-error in the answer area.
pub(super) fn undo_refused(numbers: &Numbers, layout: &mut Layout) -> Function {
    const START: u32 = 2;
    const KIND: u32 = 3;
    let kinds = layout.table(&ErrorKind::ALL.map(ErrorKind::as_str));
    let colon = layout.text(": ");
    let mut f = Function::new([(2, ValType::I32)]);
    let mut i = f.instructions();
    i.i32_const(int(ANSWER)).i32_load8_u(byte_at(4)).i32_const(3).i32_shl().i32_const(int(kinds)).i32_add().local_set(KIND);
    i.global_get(HEAP).local_set(START);
    push_message(&mut i, numbers);
    i.local_get(0).local_get(1).call(numbers.push);
    i.local_get(KIND).i32_load(at(0)).local_get(KIND).i32_load(at(4)).call(numbers.push);
    i.i32_const(int(colon.0)).i32_const(int(colon.1)).call(numbers.push);
    i.i32_const(int(ANSWER)).i32_load(at(8)).i32_const(int(ANSWER)).i32_load(at(12)).call(numbers.push);
    finish_message(&mut i, START);
    i.end();
    f
}

/// (from, to, but): asks for the children whose numbers stand there to be cancelled, all but one.
pub(super) fn cancel_others(numbers: &Numbers) -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    // A plan without children has no such import, and nothing that calls this.
    if let Some(cancel) = numbers.imports.get(&Import::CancelChild) {
        i.loop_(BlockType::Empty);
        i.local_get(0).local_get(1).i32_lt_u().if_(BlockType::Empty);
        i.local_get(0).i32_load(at(0)).local_get(2).i32_ne().if_(BlockType::Empty).local_get(0).i32_load(at(0)).call(*cancel).end();
        i.local_get(0).i32_const(4).i32_add().local_set(0).br(1).end();
        i.end();
    }
    i.end();
    f
}
