//! Types are written as WIT, made into components, and read by the engine, as those of an upload are.

mod echo;
mod hostile;
mod kinds;
mod page;
mod random;

use std::fmt::Write as _;

use serde_json::Value;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Func, Linker};
use wasmtime::{Config, Engine, Store};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;
use wit_parser::abi::{AbiVariant, WasmType};

use super::{Shape, Signature};
use crate::error::Issue;

/// An engine for every type that is read, those included that the product's own does not take.
pub fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
    Engine::new(&config).unwrap()
}

/// A component that exports an interface with these types and functions. A function whose arguments and result both go through
/// memory gives back what it got; any other traps.
pub fn component(interface: &str) -> Vec<u8> {
    let wit = format!("package test:t;\ninterface i {{\n{interface}\n}}\nworld w {{ export i; }}\n");
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let package = resolve.push_source("t.wit", &wit).unwrap_or_else(|e| panic!("{e:#}\n{wit}"));
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let (_, interface) = resolve.interfaces.iter().next().unwrap();
    let mut functions = String::new();
    for (name, function) in &interface.functions {
        let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
        let types = |types: &[WasmType]| types.iter().map(core).collect::<Vec<_>>().join(" ");
        let body = if signature.indirect_params && signature.retptr { "local.get 0" } else { "unreachable" };
        let (params, results) = (types(&signature.params), types(&signature.results));
        writeln!(functions, "(func (export \"test:t/i#{name}\") (param {params}) (result {results}) {body})").unwrap();
    }
    let module = format!(
        "(module (memory (export \"memory\") 256) (global $top (mut i32) (i32.const 65536)) {functions}
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
             (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
             (global.get $top)
             (global.set $top (i32.add (global.get $top) (local.get 3)))))"
    );
    let mut module = wat::parse_str(&module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(false).module(&module).unwrap().encode().unwrap()
}

fn core(ty: &WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// The engine's own word on the type of a function of [`component`].
pub fn function(engine: &Engine, component: &Component, name: &str) -> ComponentFunc {
    let exports = component.component_type();
    let exported = exports.exports(engine).find(|(name, _)| *name == "test:t/i").unwrap().1;
    let ComponentItem::ComponentInstance(instance) = exported.ty else { panic!("an interface is an instance") };
    let item = instance.exports(engine).find(|(other, _)| *other == name).unwrap().1;
    let ComponentItem::ComponentFunc(function) = item.ty else { panic!("{name} is a function") };
    function
}

/// Reads the function `f` of an interface.
pub fn read(interface: &str) -> Result<Signature, Issue> {
    let engine = engine();
    let component = Component::new(&engine, component(interface)).unwrap_or_else(|e| panic!("{e:#}\n{interface}"));
    Signature::of("f", &function(&engine, &component, "f"))
}

/// The shape of a type that is written as `ty` beside these declarations.
pub fn shape(declarations: &str, ty: &str) -> Shape {
    read(&format!("{declarations}\nf: func() -> {ty};")).unwrap().returns.unwrap()
}

/// A guest with one function, which gives back what it got.
pub struct Echo {
    store: Store<()>,
    function: Func,
    pub signature: Signature,
}

impl Echo {
    /// `ty`, with so much beside it that arguments and result go through memory.
    pub fn new(declarations: &str, ty: &str) -> Self {
        let padded = format!("tuple<{ty}{}>", ", u8".repeat(Self::PADDING));
        let engine = engine();
        let interface = format!("{declarations}\nf: func(x: {padded}) -> {padded};");
        let component = Component::new(&engine, component(&interface)).unwrap_or_else(|e| panic!("{e:#}\n{interface}"));
        let signature = Signature::of("f", &function(&engine, &component, "f")).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let interface = component.get_export_index(None, "test:t/i").unwrap();
        let function = instance.get_func(&mut store, component.get_export_index(Some(&interface), "f").unwrap()).unwrap();
        Echo { store, function, signature }
    }

    const PADDING: usize = 17;

    /// The shape of what is echoed.
    pub fn shape(&self) -> &Shape {
        let Some(Shape::Tuple(items)) = &self.signature.returns else { panic!("see above") };
        &items[0]
    }

    /// What comes back of `value` when it has been through the guest.
    pub fn send(&mut self, value: &Value) -> Value {
        let mut items = vec![value.clone()];
        items.resize(1 + Self::PADDING, Value::from(1));
        let arguments = self.signature.lower(&serde_json::json!({ "x": items })).unwrap();
        let mut results = [wasmtime::component::Val::Bool(false)];
        self.function.call(&mut self.store, &arguments, &mut results).unwrap();
        let raised = self.signature.returns.as_ref().unwrap().raise(&results[0]).unwrap();
        assert_eq!(raised[1], 1, "the rest came back too");
        raised[0].clone()
    }
}

/// Fails unless `value` fits the schema of its shape.
pub fn assert_fits(shape: &Shape, value: &Value) {
    let schema = shape.schema();
    assert!(jsonschema::meta::is_valid(&schema), "{schema}");
    if let Err(e) = jsonschema::validate(&schema, value) {
        panic!("{value} does not fit {schema}: {e}");
    }
}
