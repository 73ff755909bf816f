//! The functions that the module of a plan with loops, rules or the date has beside those of a tree: numbers as text, a
//! list taken apart, and values that the host derives.
//!
//! A list is the canonical text that the host gives or that was put together here: without white space, so that an
//! element begins behind a bracket or a comma and ends before the next one of its level.

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::abi::{HEAP, Numbers, at, byte_at, int};
use super::features::Import;
use super::layout::{ANSWER, Layout};

/// (number): appends its digits.
pub(super) fn push_number(numbers: &Numbers, layout: &mut Layout) -> Function {
    let digits = layout.text("0123456789");
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).i64_const(10).i64_ge_u().if_(BlockType::Empty);
    i.local_get(0).i64_const(10).i64_div_u().call(numbers.push_number).end();
    i.local_get(0).i64_const(10).i64_rem_u().i32_wrap_i64().i32_const(int(digits.0)).i32_add().i32_const(1).call(numbers.push);
    i.end();
    f
}

/// (start, end) -> where the element that starts there ends: at a comma, or at the list's own bracket.
pub(super) fn item_end() -> Function {
    const AT: u32 = 0;
    const END: u32 = 1;
    const DEPTH: u32 = 2;
    const QUOTED: u32 = 3;
    const BYTE: u32 = 4;
    let mut f = Function::new([(3, ValType::I32)]);
    let mut i = f.instructions();
    let is = |i: &mut InstructionSink<'_>, byte: u8| {
        i.local_get(BYTE).i32_const(i32::from(byte)).i32_eq();
    };
    i.loop_(BlockType::Empty);
    // There is no list without its bracket.
    i.local_get(AT).local_get(END).i32_ge_u().if_(BlockType::Empty).unreachable().end();
    i.local_get(AT).i32_load8_u(byte_at(0)).local_set(BYTE);
    i.local_get(QUOTED).if_(BlockType::Empty);
    is(&mut i, b'\\');
    i.if_(BlockType::Empty).local_get(AT).i32_const(1).i32_add().local_set(AT).end();
    is(&mut i, b'"');
    i.if_(BlockType::Empty).i32_const(0).local_set(QUOTED).end();
    i.else_();
    is(&mut i, b'"');
    i.if_(BlockType::Empty).i32_const(1).local_set(QUOTED).end();
    is(&mut i, b'[');
    is(&mut i, b'{');
    i.i32_or().local_get(DEPTH).i32_add().local_set(DEPTH);
    is(&mut i, b',');
    i.local_get(DEPTH).i32_eqz().i32_and().if_(BlockType::Empty).local_get(AT).return_().end();
    is(&mut i, b']');
    is(&mut i, b'}');
    i.i32_or().if_(BlockType::Empty);
    i.local_get(DEPTH).i32_eqz().if_(BlockType::Empty).local_get(AT).return_().end();
    i.local_get(DEPTH).i32_const(1).i32_sub().local_set(DEPTH).end();
    i.end();
    i.local_get(AT).i32_const(1).i32_add().local_set(AT).br(0).end();
    i.unreachable().end();
    f
}

/// (start, length) -> how many elements the list has; -1 where it is none.
pub(super) fn count_items(numbers: &Numbers) -> Function {
    const AT: u32 = 0;
    /// The length at first.
    const END: u32 = 1;
    const COUNT: u32 = 2;
    let mut f = Function::new([(1, ValType::I32)]);
    let mut i = f.instructions();
    i.local_get(AT).local_get(END).i32_add().local_set(END);
    i.local_get(AT).i32_load8_u(byte_at(0)).i32_const(i32::from(b'[')).i32_ne().if_(BlockType::Empty).i32_const(-1).return_().end();
    i.local_get(AT).i32_load8_u(byte_at(1)).i32_const(i32::from(b']')).i32_eq().if_(BlockType::Empty).i32_const(0).return_().end();
    i.loop_(BlockType::Empty);
    i.local_get(COUNT).i32_const(1).i32_add().local_set(COUNT);
    // What was a bracket or a comma lies behind.
    i.local_get(AT).i32_const(1).i32_add().local_get(END).call(numbers.item_end).local_tee(AT);
    i.i32_load8_u(byte_at(0)).i32_const(i32::from(b',')).i32_eq().br_if(0).end();
    i.local_get(COUNT).end();
    f
}

/// (from, rules ptr, len, to) -> 1 where `to` is what the rules make of the value in `from`; else it holds why not.
pub(super) fn derive_into(numbers: &Numbers) -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    // A plan without rules has no such import, and nothing that calls this.
    let Some(derive) = numbers.imports.get(&Import::Derive) else {
        i.unreachable().end();
        return f;
    };
    i.local_get(0).i32_load(at(0)).local_get(0).i32_load(at(4)).local_get(1).local_get(2).i32_const(int(ANSWER)).call(*derive);
    i.local_get(3).i32_const(int(ANSWER)).i32_load(at(4)).i32_store(at(0));
    i.local_get(3).i32_const(int(ANSWER)).i32_load(at(8)).i32_store(at(4));
    i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).i32_eqz().end();
    f
}

/// `err(failure)` with this step, and as its message this text with what `derive` said behind it.
pub(super) fn underivable(numbers: &Numbers, layout: &mut Layout) -> Function {
    const START: u32 = 4;
    let detail = layout.text(r#"{"kind":"not_derivable"}"#);
    let mut f = Function::new([(1, ValType::I32)]);
    let mut i = f.instructions();
    i.global_get(HEAP).local_set(START).local_get(2).local_get(3).call(numbers.push);
    i.i32_const(int(ANSWER)).i32_load(at(4)).i32_const(int(ANSWER)).i32_load(at(8)).call(numbers.push);
    i.local_get(0).local_get(1).local_get(START).global_get(HEAP).local_get(START).i32_sub();
    i.i32_const(int(detail.0)).i32_const(int(detail.1)).call(numbers.fail).end();
    f
}
