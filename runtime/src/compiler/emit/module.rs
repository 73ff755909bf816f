//! The core module: one function a step, a straight `run` that calls them, and a bump heap.
//!
//! Shape of a step function: make the texts, put the input together, call the tool, leave on an error, take
//! out of the answer what later steps need, and give the rest of the memory back. It returns 0, or the
//! address of the finished `result<json, failure>`.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, InstructionSink, MemorySection, MemoryType, Module, TypeSection, ValType,
};

use super::abi::{FN_STEP, HEAP, Numbers, PAGE, at, byte_at, int, ty};
use super::layout::{ANSWER, INPUT, Layout, RESULT, Slot};
use super::shared;
use crate::compiler::plan::{Plan, Step};
use crate::compiler::template::{Part, Source, Template};
use crate::sandbox::{DATA, FLOW, PLAYBOOK};

/// The module's bytes, without component metadata.
pub(super) fn build(plan: &Plan) -> Vec<u8> {
    let numbers = Numbers::of(plan);
    let mut layout = Layout::of(plan);
    let mut code = CodeSection::new();
    code.function(&shared::realloc());
    code.function(&shared::push(&numbers));
    code.function(&shared::push_slot(&numbers));
    code.function(&shared::text_into());
    code.function(&shared::quote_into());
    code.function(&shared::select_into());
    code.function(&shared::keep_slot());
    code.function(&shared::missing());
    code.function(&shared::refused(&numbers, &mut layout));
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

/// A piece of the JSON that is being put together.
enum Piece {
    Static(String),
    Slot(Slot),
}

/// Writes one function's code.
struct Writer<'a> {
    numbers: &'a Numbers,
    layout: &'a mut Layout,
    scratch: Slot,
}

/// Locals of step functions and `run`.
const START: u32 = 2;
const LEN: u32 = 3;
const MARK: u32 = 4;

impl<'a> Writer<'a> {
    fn new(numbers: &'a Numbers, layout: &'a mut Layout) -> Self {
        let scratch = layout.scratch;
        Writer { numbers, layout, scratch }
    }

    fn step(mut self, plan: &Plan, place: usize, step: &Step) -> Function {
        // Two locals more than needed keep the numbers the same as in `run`, whose first two are parameters.
        let mut f = Function::new([(5, ValType::I32)]);
        let mut i = f.instructions();
        let id = self.layout.text(&step.id);
        self.text(&mut i, id);
        i.call(FN_STEP);
        i.global_get(HEAP).local_set(MARK);
        self.put_together(&mut i, &step.input);
        i.local_get(START).local_get(LEN).i32_const(int(ANSWER)).call(self.numbers.tools[&step.tool]);
        // err: leave with the tool's own words
        i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
        self.text(&mut i, id);
        let tool = self.layout.text(&step.tool.to_string());
        self.text(&mut i, tool);
        i.call(self.numbers.refused).return_().end();
        i.i32_const(int(ANSWER)).i32_load(at(4)).local_set(START);
        i.i32_const(int(ANSWER)).i32_load(at(8)).local_set(LEN);
        self.keep(&mut i, plan, place, step, id);
        i.i32_const(0).end();
        f
    }

    /// Takes what later steps need out of the answer in (START, LEN), moves it down to where the step's
    /// memory began, and gives the rest back.
    fn keep(&mut self, i: &mut InstructionSink<'_>, plan: &Plan, place: usize, step: &Step, id: (u32, u32)) {
        let of_step = |source: &&Source| matches!(source, Source::Output { step: of, .. } if *of == step.id);
        let needed: Vec<(Source, Slot)> =
            self.layout.values.iter().filter(|(s, _)| of_step(s)).map(|(s, slot)| (s.clone(), *slot)).collect();
        for (source, slot) in &needed {
            let Source::Output { pointer, .. } = source else { continue };
            if pointer.is_empty() {
                i.i32_const(int(*slot)).local_get(START).i32_store(at(0));
                i.i32_const(int(*slot)).local_get(LEN).i32_store(at(4));
                continue;
            }
            let user =
                plan.steps().skip(place + 1).find(|later| uses(&later.input, source)).map_or("the output", |later| later.id.as_str());
            let message = format!("{} answered without {pointer}, which {user} needs", step.tool);
            i.local_get(START).local_get(LEN);
            self.select(i, pointer, *slot, id, &message);
        }
        // The whole answer comes first in memory, then the values in the order in which they were taken; each
        // moves down, never over one that still has to move.
        i.local_get(MARK).global_set(HEAP);
        let whole_first = |(source, _): &&(Source, Slot)| matches!(source, Source::Output { pointer, .. } if pointer.is_empty());
        let (whole, parts): (Vec<_>, Vec<_>) = needed.iter().partition(|n| whole_first(n));
        for (_, slot) in whole.into_iter().chain(parts) {
            i.i32_const(int(*slot)).call(self.numbers.keep_slot);
        }
    }

    /// `slot` = the value at `pointer` of the document whose address and length are on the stack; leaves the
    /// function with `message` where there is none.
    fn select(&mut self, i: &mut InstructionSink<'_>, pointer: &str, slot: Slot, id: (u32, u32), message: &str) {
        let pointer = self.layout.text(pointer);
        self.text(i, pointer);
        i.i32_const(int(slot)).call(self.numbers.select_into).i32_eqz().if_(BlockType::Empty);
        self.text(i, id);
        let message = self.layout.text(message);
        self.text(i, message);
        i.call(self.numbers.missing).return_().end();
    }

    fn run(mut self, plan: &Plan) -> Function {
        let mut f = Function::new([(3, ValType::I32)]);
        let mut i = f.instructions();
        i.i32_const(int(INPUT)).local_get(0).i32_store(at(0));
        i.i32_const(int(INPUT)).local_get(1).i32_store(at(4));
        // All parameters before the first effect: a wrong input fails with nothing done.
        let values: Vec<(Source, Slot)> = self.layout.values.iter().map(|(source, slot)| (source.clone(), *slot)).collect();
        for (source, slot) in values {
            if let Source::Parameter { name, pointer } = &source {
                let pointer = format!("{}{pointer}", crate::json::below("", name));
                i.local_get(0).local_get(1);
                self.select(&mut i, &pointer, slot, (0, 0), &format!("the input lacks {pointer}"));
            }
        }
        for place in 0..u32::try_from(plan.body.len()).expect("a few thousand steps") {
            i.call(self.numbers.first_step + place).local_tee(START).if_(BlockType::Empty).local_get(START).return_().end();
        }
        self.put_together(&mut i, &plan.output);
        i.i32_const(int(RESULT)).i32_const(0).i32_store8(byte_at(0));
        i.i32_const(int(RESULT)).local_get(START).i32_store(at(4));
        i.i32_const(int(RESULT)).local_get(LEN).i32_store(at(8));
        i.i32_const(int(RESULT)).end();
        f
    }

    fn text(&self, i: &mut InstructionSink<'_>, (address, len): (u32, u32)) {
        i.i32_const(int(address)).i32_const(int(len));
    }

    /// Leaves address and length of the template's JSON in START and LEN.
    fn put_together(&mut self, i: &mut InstructionSink<'_>, template: &Template) {
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
            }
        }
    }

    /// The template as pieces in order; texts are made on the way, since nothing may be allocated while the
    /// pieces are being pushed.
    fn pieces(&mut self, i: &mut InstructionSink<'_>, template: &Template, into: &mut Vec<Piece>) {
        match template {
            Template::Constant(json) => add_static(into, json.as_str()),
            Template::Value(source) => into.push(Piece::Slot(self.layout.values[source])),
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
                Part::Value(source) => {
                    let (from, slot) = (self.layout.values[source], self.next_scratch());
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

fn uses(template: &Template, wanted: &Source) -> bool {
    let mut found = false;
    template.for_each_source(&mut |source| found |= source == wanted);
    found
}
