//! What every part of the emitter must agree on: function types and numbers, the heap's global, addresses.

use std::collections::BTreeMap;

use wasm_encoder::MemArg;

use crate::compiler::plan::Plan;
use crate::contract::ToolId;

pub(super) const HEAP: u32 = 0;
pub(super) const PAGE: u32 = 65_536;

/// Function types by number.
pub(super) mod ty {
    /// (ptr, len)
    pub const STEP: u32 = 0;
    /// (ptr, len, answer)
    pub const TEXT: u32 = 1;
    /// (ptr, len, ptr, len, answer)
    pub const SELECT: u32 = 2;
    /// (old, old size, align, new size) -> ptr
    pub const REALLOC: u32 = 3;
    /// (ptr, len) -> result
    pub const RUN: u32 = 4;
    /// () -> 0 or result
    pub const DO_STEP: u32 = 5;
    /// (step ptr, step len, text ptr, text len) -> result
    pub const FAIL: u32 = 6;
    /// (slot)
    pub const SLOT: u32 = 7;
    /// (document ptr, len, pointer ptr, len, slot) -> 1 where it is there
    pub const SELECT_INTO: u32 = 8;
}

/// Function numbers that are the same in every module; the tools' imports follow `QUOTE`.
pub(super) const FN_STEP: u32 = 0;
pub(super) const FN_SELECT: u32 = 1;
pub(super) const FN_TEXT: u32 = 2;
pub(super) const FN_QUOTE: u32 = 3;
pub(super) const IMPORTS_BEFORE_TOOLS: u32 = 4;
/// Functions that every module has, so that a step's own code is little more than its constants.
pub(super) const HELPERS: u32 = 9;

/// Function numbers that come after the imports.
pub(super) struct Numbers {
    pub(super) tools: BTreeMap<ToolId, u32>,
    pub(super) realloc: u32,
    pub(super) push: u32,
    pub(super) push_slot: u32,
    pub(super) text_into: u32,
    pub(super) quote_into: u32,
    pub(super) select_into: u32,
    pub(super) keep_slot: u32,
    pub(super) missing: u32,
    pub(super) refused: u32,
    pub(super) first_step: u32,
    pub(super) run: u32,
}

impl Numbers {
    pub(super) fn of(plan: &Plan) -> Self {
        let tools: BTreeMap<ToolId, u32> = (IMPORTS_BEFORE_TOOLS..).zip(plan.tools()).map(|(n, tool)| (tool.clone(), n)).collect();
        let count = |n: usize| u32::try_from(n).expect("a plan has a few thousand steps at the most");
        let realloc = IMPORTS_BEFORE_TOOLS + count(tools.len());
        let first_step = realloc + HELPERS;
        Numbers {
            tools,
            realloc,
            push: realloc + 1,
            push_slot: realloc + 2,
            text_into: realloc + 3,
            quote_into: realloc + 4,
            select_into: realloc + 5,
            keep_slot: realloc + 6,
            missing: realloc + 7,
            refused: realloc + 8,
            first_step,
            run: first_step + count(plan.body.len()),
        }
    }
}

pub(super) fn at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 2, memory_index: 0 }
}

pub(super) fn byte_at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 0, memory_index: 0 }
}

pub(super) fn int(n: u32) -> i32 {
    n.cast_signed()
}
