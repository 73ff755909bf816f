//! The functions that every emitted module has: its heap, what puts texts together, and the two ways to fail.

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::abi::{FN_QUOTE, FN_SELECT, FN_TEXT, HEAP, Numbers, PAGE, at, byte_at, int};
use super::layout::{ANSWER, Layout, RESULT};
use crate::contract::ErrorKind;

/// `cabi_realloc`: takes the next aligned bytes and grows the memory where it must. Traps where it cannot.
pub(super) fn realloc() -> Function {
    const OLD: u32 = 0;
    const OLD_SIZE: u32 = 1;
    const ALIGN: u32 = 2;
    const NEW_SIZE: u32 = 3;
    const START: u32 = 4;
    const END: u32 = 5;
    let mut f = Function::new([(2, ValType::I32)]);
    let mut i = f.instructions();
    // start = (heap + align - 1) & -align
    i.global_get(HEAP).local_get(ALIGN).i32_add().i32_const(1).i32_sub();
    i.i32_const(0).local_get(ALIGN).i32_sub().i32_and().local_tee(START);
    // end = start + new size; a sum that wraps is refused
    i.local_get(NEW_SIZE).i32_add().local_tee(END);
    i.local_get(START).i32_lt_u().if_(BlockType::Empty).unreachable().end();
    // pages needed beyond those there are
    i.local_get(END).memory_size(0).i32_const(16).i32_shl().i32_gt_u().if_(BlockType::Empty);
    i.local_get(END).i32_const(int(PAGE - 1)).i32_add().i32_const(16).i32_shr_u().memory_size(0).i32_sub();
    i.memory_grow(0).i32_const(-1).i32_eq().if_(BlockType::Empty).unreachable().end();
    i.end();
    i.local_get(END).global_set(HEAP);
    i.local_get(OLD_SIZE).if_(BlockType::Empty);
    i.local_get(START).local_get(OLD).local_get(OLD_SIZE).memory_copy(0, 0);
    i.end();
    i.local_get(START).end();
    f
}

/// Appends text to what is being put together at the top of the heap.
pub(super) fn push(numbers: &Numbers) -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    // realloc(0, 0, 1, len) is the address of the next `len` bytes; nothing lies between two pushes.
    i.i32_const(0).i32_const(0).i32_const(1).local_get(1).call(numbers.realloc);
    i.local_get(0).local_get(1).memory_copy(0, 0);
    i.end();
    f
}

/// Leaves address and length of what is in the slot whose address is in `local`.
fn load_slot(i: &mut InstructionSink<'_>, local: u32) {
    i.local_get(local).i32_load(at(0)).local_get(local).i32_load(at(4));
}

/// Moves the text at `offset` of the answer area into the slot whose address is in `local`.
fn store_slot(i: &mut InstructionSink<'_>, local: u32, offset: u32) {
    i.local_get(local).i32_const(int(ANSWER)).i32_load(at(offset)).i32_store(at(0));
    i.local_get(local).i32_const(int(ANSWER)).i32_load(at(offset + 4)).i32_store(at(4));
}

/// Appends what is in a slot.
pub(super) fn push_slot(numbers: &Numbers) -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    load_slot(&mut i, 0);
    i.call(numbers.push).end();
    f
}

/// (from, to): `to` = the text of the JSON value in `from`.
pub(super) fn text_into() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    load_slot(&mut i, 0);
    i.i32_const(int(ANSWER)).call(FN_TEXT);
    store_slot(&mut i, 1, 0);
    i.end();
    f
}

/// (start, to): `to` = the JSON string of the text from `start` to the top of the heap.
pub(super) fn quote_into() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).global_get(HEAP).local_get(0).i32_sub().i32_const(int(ANSWER)).call(FN_QUOTE);
    store_slot(&mut i, 1, 0);
    i.end();
    f
}

/// (document ptr, len, pointer ptr, len, slot): `slot` = the value there; 0 where there is none.
pub(super) fn select_into() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).local_get(1).local_get(2).local_get(3).i32_const(int(ANSWER)).call(FN_SELECT);
    store_slot(&mut i, 4, 4);
    i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).end();
    f
}

/// Moves what is in a slot down to the top of the heap, which has been lowered below it.
pub(super) fn keep_slot() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.global_get(HEAP);
    load_slot(&mut i, 0);
    i.memory_copy(0, 0);
    i.local_get(0).global_get(HEAP).i32_store(at(0));
    i.global_get(HEAP).local_get(0).i32_load(at(4)).i32_add().global_set(HEAP).end();
    f
}

/// `err(failure)` with this step (none where its length is 0) and message.
pub(super) fn missing() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    failure_head(&mut i);
    i.i32_const(int(RESULT)).local_get(2).i32_store(at(16));
    i.i32_const(int(RESULT)).local_get(3).i32_store(at(20));
    i.i32_const(int(RESULT)).i32_const(0).i32_store8(byte_at(24));
    i.i32_const(int(RESULT)).end();
    f
}

/// Writes `err`, and the step out of the first two parameters.
pub(super) fn failure_head(i: &mut InstructionSink<'_>) {
    i.i32_const(int(RESULT)).i32_const(1).i32_store8(byte_at(0));
    i.i32_const(int(RESULT)).local_get(1).i32_const(0).i32_ne().i32_store8(byte_at(4));
    i.i32_const(int(RESULT)).local_get(0).i32_store(at(8));
    i.i32_const(int(RESULT)).local_get(1).i32_store(at(12));
}

/// `err(failure)` out of the tool-error in the answer area: message `fs/read: denied: …`, detail
/// `{"detail":…,"kind":"denied","tool":"fs/read"}`. The parameters are the step's and the tool's names.
pub(super) fn refused(numbers: &Numbers, layout: &mut Layout) -> Function {
    const TOOL: u32 = 2;
    const TOOL_LEN: u32 = 3;
    const START: u32 = 4;
    const KIND: u32 = 5;
    let kinds = layout.table(&ErrorKind::ALL.map(ErrorKind::as_str));
    let mut f = Function::new([(2, ValType::I32)]);
    let mut i = f.instructions();
    failure_head(&mut i);
    let mut text = |i: &mut InstructionSink<'_>, text: &str| {
        let (address, len) = layout.text(text);
        i.i32_const(int(address)).i32_const(int(len)).call(numbers.push);
    };
    let tool = |i: &mut InstructionSink<'_>| {
        i.local_get(TOOL).local_get(TOOL_LEN).call(numbers.push);
    };
    let kind = |i: &mut InstructionSink<'_>| {
        i.local_get(KIND).i32_load(at(0)).local_get(KIND).i32_load(at(4)).call(numbers.push);
    };
    let finish = |i: &mut InstructionSink<'_>, field: u32| {
        i.i32_const(int(RESULT)).local_get(START).i32_store(at(field));
        i.i32_const(int(RESULT)).global_get(HEAP).local_get(START).i32_sub().i32_store(at(field + 4));
    };
    // kind = kinds + 8 * the error's kind
    i.i32_const(int(ANSWER)).i32_load8_u(byte_at(4)).i32_const(3).i32_shl().i32_const(int(kinds)).i32_add().local_set(KIND);
    i.global_get(HEAP).local_set(START);
    tool(&mut i);
    text(&mut i, ": ");
    kind(&mut i);
    text(&mut i, ": ");
    i.i32_const(int(ANSWER)).i32_load(at(8)).i32_const(int(ANSWER)).i32_load(at(12)).call(numbers.push);
    finish(&mut i, 16);
    i.i32_const(int(RESULT)).i32_const(1).i32_store8(byte_at(24));
    i.global_get(HEAP).local_set(START);
    text(&mut i, "{\"detail\":");
    i.i32_const(int(ANSWER)).i32_load8_u(byte_at(16)).if_(BlockType::Empty);
    i.i32_const(int(ANSWER)).i32_load(at(20)).i32_const(int(ANSWER)).i32_load(at(24)).call(numbers.push);
    i.else_();
    text(&mut i, "null");
    i.end();
    text(&mut i, ",\"kind\":\"");
    kind(&mut i);
    text(&mut i, "\",\"tool\":\"");
    tool(&mut i);
    text(&mut i, "\"}");
    finish(&mut i, 28);
    i.i32_const(int(RESULT)).end();
    f
}
