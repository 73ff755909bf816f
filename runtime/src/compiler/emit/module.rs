//! The core module: one function a step, a straight `run` that calls them, and a bump heap.
//!
//! Shape of a step function: make the texts, put the input together, call the tool, leave on an error, take
//! out of the answer what later steps need, and give the rest of the memory back. It returns 0, or the
//! address of the finished `result<json, failure>`.

mod writer;

use std::collections::BTreeMap;

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, InstructionSink, MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};

use super::layout::{ANSWER, Layout, RESULT};
use crate::compiler::plan::Plan;
use crate::contract::{ErrorKind, ToolId};
use crate::sandbox::{DATA, FLOW, PLAYBOOK};

use writer::Writer;

const HEAP: u32 = 0;
const PAGE: u32 = 65_536;

/// Function types by number.
mod ty {
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
const FN_STEP: u32 = 0;
const FN_SELECT: u32 = 1;
const FN_TEXT: u32 = 2;
const FN_QUOTE: u32 = 3;
const IMPORTS_BEFORE_TOOLS: u32 = 4;
/// Functions that every module has, so that a step's own code is little more than its constants.
const HELPERS: u32 = 9;

/// Function numbers that come after the imports.
struct Numbers {
    tools: BTreeMap<ToolId, u32>,
    realloc: u32,
    push: u32,
    push_slot: u32,
    text_into: u32,
    quote_into: u32,
    select_into: u32,
    keep_slot: u32,
    missing: u32,
    refused: u32,
    first_step: u32,
    run: u32,
}

impl Numbers {
    fn of(plan: &Plan) -> Self {
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

/// The module's bytes, without component metadata.
pub(super) fn build(plan: &Plan) -> Vec<u8> {
    let numbers = Numbers::of(plan);
    let mut layout = Layout::of(plan);
    let mut code = CodeSection::new();
    code.function(&realloc());
    code.function(&push(&numbers));
    code.function(&push_slot(&numbers));
    code.function(&text_into());
    code.function(&quote_into());
    code.function(&select_into());
    code.function(&keep_slot());
    code.function(&missing());
    code.function(&refused(&numbers, &mut layout));
    for (at, step) in plan.steps().enumerate() {
        code.function(&Writer::new(&numbers, &mut layout).step(plan, at, step));
    }
    code.function(&Writer::new(&numbers, &mut layout).run(plan));

    let mut functions = FunctionSection::new();
    for ty in [ty::REALLOC, ty::STEP, ty::SLOT, ty::STEP, ty::STEP, ty::SELECT_INTO, ty::SLOT, ty::FAIL, ty::FAIL] {
        functions.function(ty);
    }
    plan.body.iter().for_each(|_| {
        functions.function(ty::DO_STEP);
    });
    functions.function(ty::RUN);

    let heap_start = layout.heap_start();
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: u64::from(heap_start / PAGE + 1),
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(heap_start.cast_signed()));
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("cabi_realloc", ExportKind::Func, numbers.realloc);
    exports.export(&format!("{PLAYBOOK}#run"), ExportKind::Func, numbers.run);
    let mut data = DataSection::new();
    let (at, bytes) = layout.data();
    data.active(0, &ConstExpr::i32_const(at.cast_signed()), bytes.iter().copied());

    let mut module = Module::new();
    module
        .section(&types())
        .section(&imports(&numbers))
        .section(&functions)
        .section(&memories)
        .section(&globals)
        .section(&exports)
        .section(&code)
        .section(&data);
    module.finish()
}

fn types() -> TypeSection {
    let mut types = TypeSection::new();
    let mut add = |params: usize, results: usize| types.ty().function(vec![ValType::I32; params], vec![ValType::I32; results]);
    add(2, 0);
    add(3, 0);
    add(5, 0);
    add(4, 1);
    add(2, 1);
    add(0, 1);
    add(4, 1);
    add(1, 0);
    add(5, 1);
    types
}

fn imports(numbers: &Numbers) -> ImportSection {
    let mut imports = ImportSection::new();
    imports.import(FLOW, "step", EntityType::Function(ty::STEP));
    imports.import(DATA, "select", EntityType::Function(ty::SELECT));
    imports.import(DATA, "text", EntityType::Function(ty::TEXT));
    imports.import(DATA, "quote", EntityType::Function(ty::TEXT));
    for tool in numbers.tools.keys() {
        imports.import(&tool.import_name(), "call", EntityType::Function(ty::TEXT));
    }
    imports
}

fn at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 2, memory_index: 0 }
}

fn byte_at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 0, memory_index: 0 }
}

fn int(n: u32) -> i32 {
    n.cast_signed()
}

/// `cabi_realloc`: takes the next aligned bytes and grows the memory where it must. Traps where it cannot.
fn realloc() -> Function {
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
fn push(numbers: &Numbers) -> Function {
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
fn push_slot(numbers: &Numbers) -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    load_slot(&mut i, 0);
    i.call(numbers.push).end();
    f
}

/// (from, to): `to` = the text of the JSON value in `from`.
fn text_into() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    load_slot(&mut i, 0);
    i.i32_const(int(ANSWER)).call(FN_TEXT);
    store_slot(&mut i, 1, 0);
    i.end();
    f
}

/// (start, to): `to` = the JSON string of the text from `start` to the top of the heap.
fn quote_into() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).global_get(HEAP).local_get(0).i32_sub().i32_const(int(ANSWER)).call(FN_QUOTE);
    store_slot(&mut i, 1, 0);
    i.end();
    f
}

/// (document ptr, len, pointer ptr, len, slot): `slot` = the value there; 0 where there is none.
fn select_into() -> Function {
    let mut f = Function::new([]);
    let mut i = f.instructions();
    i.local_get(0).local_get(1).local_get(2).local_get(3).i32_const(int(ANSWER)).call(FN_SELECT);
    store_slot(&mut i, 4, 4);
    i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).end();
    f
}

/// Moves what is in a slot down to the top of the heap, which has been lowered below it.
fn keep_slot() -> Function {
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
fn missing() -> Function {
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
fn failure_head(i: &mut InstructionSink<'_>) {
    i.i32_const(int(RESULT)).i32_const(1).i32_store8(byte_at(0));
    i.i32_const(int(RESULT)).local_get(1).i32_const(0).i32_ne().i32_store8(byte_at(4));
    i.i32_const(int(RESULT)).local_get(0).i32_store(at(8));
    i.i32_const(int(RESULT)).local_get(1).i32_store(at(12));
}

/// `err(failure)` out of the tool-error in the answer area: message `fs/read: denied: …`, detail
/// `{"detail":…,"kind":"denied","tool":"fs/read"}`. The parameters are the step's and the tool's names.
fn refused(numbers: &Numbers, layout: &mut Layout) -> Function {
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
