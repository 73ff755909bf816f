//! The core module: one function a node, what calls them in the order of the plan, and a bump heap.
//!
//! Shape of a step's function: make the texts, put the input together, call the tool, leave on an error, take
//! out of the answer what later nodes need, and give the rest of the memory back. It returns 0, or the
//! address of the finished `result<json, failure>`. The module of a plan that is no more than plain steps has nothing
//! but what such plans need, in an order that never changes: the same steps give the same bytes.

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType,
    ImportSection, MemorySection, MemoryType, Module, TypeSection, ValType,
};

use super::abi::{Numbers, PAGE, has_function, ty};
use super::layout::Layout;
use super::share;
use super::writer::Writer;
use super::{parts, shared, shared_derived, shared_tree};
use crate::compiler::plan::{Node, Plan};
use crate::sandbox::{DATA, FLOW, PLAYBOOK};

/// The module's bytes, without component metadata.
pub(super) fn build(plan: &Plan) -> Vec<u8> {
    let parts = parts::of(plan);
    let mut numbers = Numbers::of(plan, &parts);
    let mut layout = Layout::of(plan);
    let mut code = CodeSection::new();
    let mut functions = FunctionSection::new();
    let mut add = |ty: u32, function: &Function| {
        functions.function(ty);
        code.function(function);
    };
    add(ty::REALLOC, &shared::realloc());
    add(ty::STEP, &shared::push(&numbers));
    add(ty::SLOT, &shared::push_slot(&numbers));
    add(ty::STEP, &shared::text_into());
    add(ty::STEP, &shared::quote_into());
    add(ty::SELECT_INTO, &shared::select_into());
    add(ty::SLOT, &shared::keep_slot());
    add(ty::FAIL, &shared::missing());
    add(ty::FAIL, &shared::refused(&numbers, &mut layout));
    if numbers.tree {
        add(ty::SELECT, &shared_tree::select_perhaps(&numbers));
        add(ty::TEXT, &shared_tree::push_member(&numbers, &mut layout));
        add(ty::SAME, &shared_tree::same());
        add(ty::FAIL_WITH, &shared_tree::fail());
        add(ty::FAIL, &shared_tree::of_playbook(&numbers));
        add(ty::STEP, &shared_tree::not_undone(&numbers));
        add(ty::STEP, &shared_tree::undo_refused(&numbers, &mut layout));
        add(ty::TEXT, &shared_tree::cancel_others(&numbers));
    }
    if numbers.derives {
        add(numbers.type_of_number(), &shared_derived::push_number(&numbers, &mut layout));
        add(ty::RUN, &shared_derived::item_end());
        add(ty::RUN, &shared_derived::count_items(&numbers));
        add(ty::FAIL, &shared_derived::derive_into(&numbers));
        add(ty::FAIL, &shared_derived::underivable(&numbers, &mut layout));
    }
    let nodes: Vec<&Node> = plan.nodes().into_iter().filter(|node| has_function(node)).collect();
    let mut common = Vec::new();
    if !plan.shares_code() {
        nodes.iter().for_each(|node| add(ty::DO_STEP, &Writer::new(plan, &numbers, &mut layout).node(node, &parts)));
    } else {
        // Those that call others are written once it is settled whom they call.
        let calls = |node: &Node| matches!(node, Node::Each(_) | Node::Parallel(_));
        let of = |node: &&Node| (!calls(node)).then(|| Writer::new(plan, &numbers, &mut layout).node(node, &parts));
        let written: Vec<Option<Function>> = nodes.iter().map(of).collect();
        let shared = share::share(&written, &mut layout);
        numbers.share(&nodes, &shared);
        for ((node, function), _) in nodes.iter().zip(written).zip(&shared.of).filter(|(_, shared)| shared.is_none()) {
            let function = function.unwrap_or_else(|| Writer::new(plan, &numbers, &mut layout).node(node, &parts));
            add(ty::DO_STEP, &function);
        }
        common = shared.common;
    }
    let mut types = types(&numbers);
    let of_record = types.len();
    if !common.is_empty() {
        types.ty().function([ValType::I32], [ValType::I32]);
    }
    common.iter().for_each(|function| add(of_record, function));
    for (part, [undo, finish, _]) in parts.iter().zip(&numbers.parts) {
        add(ty::DO_STEP, &Writer::new(plan, &numbers, &mut layout).undo(part));
        add(ty::DO_STEP, &Writer::new(plan, &numbers, &mut layout).finish(part));
        let ty = if part.name.is_none() { ty::RUN } else { ty::DO_STEP };
        add(ty, &Writer::new(plan, &numbers, &mut layout).part(part, &parts, *undo, *finish));
    }
    if !numbers.tree {
        add(ty::RUN, &Writer::new(plan, &numbers, &mut layout).run_straight());
    }

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
    let word = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    globals.global(word, &ConstExpr::i32_const(heap_start.cast_signed()));
    if numbers.tree {
        globals.global(word, &ConstExpr::i32_const(0));
    }
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("cabi_realloc", ExportKind::Func, numbers.realloc);
    exports.export(&format!("{PLAYBOOK}#run"), ExportKind::Func, numbers.run);
    let mut data = DataSection::new();
    let (at, bytes) = layout.data();
    data.active(0, &ConstExpr::i32_const(at.cast_signed()), bytes.iter().copied());

    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports(&numbers))
        .section(&functions)
        .section(&memories)
        .section(&globals)
        .section(&exports)
        .section(&code)
        .section(&data);
    module.finish()
}

fn types(numbers: &Numbers) -> TypeSection {
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
    if numbers.tree {
        add(3, 1);
        add(6, 1);
        for import in numbers.imports.keys() {
            let (params, results) = import.signature();
            types.ty().function(params, results);
        }
    }
    if numbers.derives {
        types.ty().function([ValType::I64], []);
    }
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
    for (import, ty) in numbers.imports.keys().zip(ty::FIRST_IMPORT..) {
        let (interface, name) = import.name();
        imports.import(interface, name, EntityType::Function(ty));
    }
    imports
}
