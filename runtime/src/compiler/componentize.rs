//! Makes a component of a core module that some other compiler wrote, so that a language needs nothing but a compiler
//! for plain WebAssembly.
//!
//! It knows WIT and how a module names what it imports and exports; it does not know jobs, tools or what a module does.
//! It must stay true that the component imports what the module imports and nothing beside it: no import is made up,
//! and none is lost without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use wasm_encoder::{CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, TypeSection};
use wasmparser::{FuncType, Parser, Payload, TypeRef, ValType};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::emit::{contract, world_of};
use crate::contract::ToolId;
use crate::error::{Code, Error, Result};
use crate::sandbox::CHECKS;

/// The module under which libraries for C import what WASI had before it had components.
const WASI_OF_MODULES: &str = "wasi_snapshot_preview1";
/// What a function of [`WASI_OF_MODULES`] answers that has nothing behind it: `badf`, of which libraries make "there is
/// no such file".
const BAD_FILE_DESCRIPTOR: i32 = 8;
/// How wit-bindgen names the section in which it leaves the world for us.
const WORLD_SECTION: &str = "component-type";
const CALL: &str = "reprise:playbook/tools@0.1.0#call";
const RUN: &str = "reprise:playbook/playbook@0.1.0#run";

/// How a module is to be made a component.
#[derive(Debug, Clone, Default)]
pub struct Making {
    /// A WIT file, or a directory with the WIT of a package: the world that the module implements. Without it, the
    /// world is the one that the module carries, or that of a playbook or of tools written for Reprise.
    pub wit: Option<PathBuf>,
    /// The world in it, where there are several.
    pub world: Option<String>,
    /// What is to become of calls to the WASI of modules.
    pub wasi: Wasi,
}

/// What becomes of calls to the WASI of modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wasi {
    /// There are none; a module that imports it is refused.
    #[default]
    None,
    /// Each fails as if there were no file, no clock and no argument.
    Stubbed,
    /// This module makes calls of WASI 0.2 of them.
    Adapted(Vec<u8>),
}

/// The component that wraps `module`.
///
/// # Errors
/// `not_a_component` where it cannot be one: what it lacks, or what it has too much.
pub fn componentize(module: &[u8], making: &Making) -> Result<Vec<u8>> {
    if !Parser::is_core_wasm(module) {
        let is = if Parser::is_component(module) { "a component already" } else { "no WebAssembly module" };
        return Err(refused(format!("this is {is}; a core module is wanted, as compilers for wasm32 write them")));
    }
    let face = Face::of(module).map_err(|e| refused(format!("the module does not parse: {e}")))?;
    let mut module = module.to_vec();
    if let Some((resolve, world)) = world(&face, making)? {
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|e| refused(format!("{e:#}")))?;
    }
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(|e| refused(format!("{e:#}")))?;
    if !face.wasi.is_empty() {
        let adapter = match &making.wasi {
            Wasi::None => return Err(refused(needs_wasi(&face))),
            Wasi::Stubbed => stubs(&face.wasi)?,
            Wasi::Adapted(adapter) => adapter.clone(),
        };
        encoder = encoder.adapter(WASI_OF_MODULES, &adapter).map_err(|e| refused(format!("the adapter does not fit: {e:#}")))?;
    }
    encoder.encode().map_err(|e| refused(format!("the module is not what its world says: {e:#}")))
}

fn refused(message: String) -> Error {
    Error::new(Code::NotAComponent, message)
}

fn needs_wasi(face: &Face) -> String {
    let names: Vec<&str> = face.wasi.keys().map(String::as_str).collect();
    format!(
        "the module imports {} of {WASI_OF_MODULES}, which components do not have; --stub-wasi has each fail, --adapt FILE takes an \
         adapter to WASI 0.2, and a module that does without them needs neither",
        names.join(", ")
    )
}

/// What a module imports and exports, as far as it says what the module is.
#[derive(Default)]
struct Face {
    /// It carries its world.
    has_world: bool,
    /// Modules that it imports from, without [`WASI_OF_MODULES`].
    imports: BTreeSet<String>,
    /// What it imports of [`WASI_OF_MODULES`].
    wasi: BTreeMap<String, FuncType>,
    exports: BTreeSet<String>,
}

impl Face {
    fn of(module: &[u8]) -> wasmparser::Result<Face> {
        let mut face = Face::default();
        let mut types = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        types.extend(group?.into_types());
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        let of_wasi = import.module == WASI_OF_MODULES;
                        match import.ty {
                            TypeRef::Func(index) if of_wasi => {
                                let ty = types
                                    .get(index as usize)
                                    .filter(|ty| matches!(ty.composite_type.inner, wasmparser::CompositeInnerType::Func(_)));
                                if let Some(ty) = ty {
                                    face.wasi.insert(import.name.to_owned(), ty.unwrap_func().clone());
                                }
                            }
                            _ => {
                                face.imports.insert(import.module.to_owned());
                            }
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        face.exports.insert(export?.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => face.has_world |= section.name().starts_with(WORLD_SECTION),
                _ => {}
            }
        }
        Ok(face)
    }
}

/// The world that is to be written into the module; none where it carries one.
fn world(face: &Face, making: &Making) -> Result<Option<(Resolve, WorldId)>> {
    if making.wit.is_some() {
        return from_wit(making).map(Some);
    }
    if face.has_world {
        return Ok(None);
    }
    let ours = |e: anyhow::Error| Error::new(Code::InternalError, format!("the contract has no such world: {e:#}"));
    if face.exports.contains(CALL) {
        if let Some(other) = face.imports.first() {
            return Err(refused(format!(
                "a component of tools that imports {other}: a tool calls no tool and nothing of playbooks; what else it imports is to stand in \
                 a world (--wit)"
            )));
        }
        let resolve = contract().clone();
        let (package, _) = resolve.packages.iter().next().expect("the contract is one package");
        let world = resolve.select_world(&[package], Some("tool-provider")).map_err(ours)?;
        return Ok(Some((resolve, world)));
    }
    if face.exports.contains(RUN) {
        let tools: Vec<ToolId> = face.imports.iter().filter_map(|name| ToolId::from_import(name)).collect();
        let other = face.imports.iter().find(|name| ToolId::from_import(name).is_none() && !name.starts_with("reprise:playbook/"));
        if let Some(other) = other {
            return Err(refused(format!("a playbook that imports {other}; it may import tool:<namespace>/<name>, flow and data")));
        }
        let checks = face.imports.iter().any(|name| name == CHECKS);
        return world_of(&tools, checks).map(Some).map_err(|e| refused(format!("{e:#}")));
    }
    Err(refused(format!(
        "the module does not say what it is: it exports neither {RUN} nor {CALL}, and carries no world; --wit names the world that it implements"
    )))
}

/// The world that the caller names. Their WIT need not repeat the contract, and may.
fn from_wit(making: &Making) -> Result<(Resolve, WorldId)> {
    let path = making.wit.as_deref().expect("asked before");
    let with_contract = || -> anyhow::Result<(Resolve, WorldId)> { select(contract().clone(), making) };
    let alone = || -> anyhow::Result<(Resolve, WorldId)> { select(Resolve::default(), making) };
    alone().or_else(|first| with_contract().map_err(|_| first)).map_err(|e| refused(format!("{}: {e:#}", path.display())))
}

fn select(mut resolve: Resolve, making: &Making) -> anyhow::Result<(Resolve, WorldId)> {
    let (package, _) = resolve.push_path(making.wit.as_deref().expect("asked before"))?;
    let world = resolve.select_world(&[package], making.world.as_deref())?;
    Ok((resolve, world))
}

/// A module with functions of these types that have nothing behind them.
fn stubs(functions: &BTreeMap<String, FuncType>) -> Result<Vec<u8>> {
    let (mut types, mut declared, mut exports, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    for (index, (name, ty)) in (0u32..).zip(functions) {
        let plain = |types: &[ValType]| -> Option<Vec<wasm_encoder::ValType>> { types.iter().map(|ty| plain(*ty)).collect() };
        let (Some(params), Some(results)) = (plain(ty.params()), plain(ty.results())) else {
            return Err(refused(format!("{WASI_OF_MODULES} has no {name} of such a type")));
        };
        types.ty().function(params, results.clone());
        declared.function(index);
        exports.export(name, ExportKind::Func, index);
        let mut body = Function::new([]);
        match results.as_slice() {
            [wasm_encoder::ValType::I32] => body.instructions().i32_const(BAD_FILE_DESCRIPTOR).end(),
            // Nothing comes back from here: `proc_exit`.
            _ => body.instructions().unreachable().end(),
        };
        code.function(&body);
    }
    Ok(Module::new().section(&types).section(&declared).section(&exports).section(&code).to_owned().finish())
}

fn plain(ty: ValType) -> Option<wasm_encoder::ValType> {
    match ty {
        ValType::I32 => Some(wasm_encoder::ValType::I32),
        ValType::I64 => Some(wasm_encoder::ValType::I64),
        ValType::F32 => Some(wasm_encoder::ValType::F32),
        ValType::F64 => Some(wasm_encoder::ValType::F64),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use crate::limits;
    use crate::sandbox::{Ending, Line, Sandbox, Scripted};
    use crate::{compiler::emit, ids::Digest};

    /// A playbook that hands its input to `fs/read`, and gives back what was answered.
    fn playbook(beside: &str) -> Vec<u8> {
        wat::parse_str(format!(
            r#"(module
                (import "tool:fs/read" "call" (func $read (param i32 i32 i32)))
                {beside}
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "reprise:playbook/playbook@0.1.0#run") (param i32 i32) (result i32)
                    (call $read (local.get 0) (local.get 1) (i32.const 16))
                    (i32.const 16)))"#
        ))
        .unwrap()
    }

    fn tools(beside: &str) -> Vec<u8> {
        wat::parse_str(format!(
            r#"(module
                {beside}
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "reprise:playbook/tools@0.1.0#describe") (result i32) (i32.const 0))
                (func (export "reprise:playbook/tools@0.1.0#call") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
                (func (export "reprise:playbook/tools@0.1.0#reconcile") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0)))"#
        ))
        .unwrap()
    }

    const WRITES: &str = r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;

    fn message(module: &[u8], making: &Making) -> String {
        let error = componentize(module, making).unwrap_err();
        assert_eq!(error.code, Code::NotAComponent);
        error.message
    }

    #[tokio::test]
    async fn a_module_of_a_playbook_becomes_one_that_imports_the_tools_it_calls() {
        let component = componentize(&playbook(""), &Making::default()).unwrap();
        let sandbox = Sandbox::new(None).unwrap();
        let playbook = sandbox.load(&Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
        assert_eq!(playbook.imports().tools, [ToolId::parse("fs/read").unwrap()]);
        assert!(playbook.imports().flow.is_empty() && playbook.imports().data.is_empty(), "{:?}", playbook.imports());
        let line = Line {
            tool: ToolId::parse("fs/read").unwrap(),
            input: Json::from(&serde_json::json!({"path": "a"})),
            outcome: Ok(Json::from(&serde_json::json!([1]))),
        };
        let scripted = Box::new(Scripted::new(vec![line]));
        match sandbox.run(&playbook, &Json::from(&serde_json::json!({"path": "a"})), scripted, limits::JOB_FUEL).await.ending {
            Ending::Output(output) => assert_eq!(output.as_str(), "[1]"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_module_of_tools_becomes_a_component_that_exports_them_and_imports_nothing() {
        let text = emit::wit_text(&componentize(&tools(""), &Making::default()).unwrap()).unwrap();
        assert!(text.contains("export reprise:playbook/tools@0.1.0;") && !text.contains("import wasi"), "{text}");
    }

    #[test]
    fn the_wasi_of_modules_is_refused_stubbed_or_adapted_as_was_said() {
        let module = tools(WRITES);
        let said = message(&module, &Making::default());
        assert!(said.contains("imports fd_write of wasi_snapshot_preview1") && said.contains("--stub-wasi"), "{said}");

        let stubbed = Making { wasi: Wasi::Stubbed, ..Making::default() };
        assert!(!emit::wit_text(&componentize(&module, &stubbed).unwrap()).unwrap().contains("wasi"));

        let adapter = r#"(module (func (export "fd_write") (param i32 i32 i32 i32) (result i32) (i32.const 52)))"#;
        let adapted = |text: &str| Making { wasi: Wasi::Adapted(wat::parse_str(text).unwrap()), ..Making::default() };
        componentize(&module, &adapted(adapter)).unwrap();
        let said = message(&module, &adapted("(module)"));
        assert!(said.contains("fd_write"), "{said}");
    }

    #[tokio::test]
    async fn a_stub_answers_that_there_is_no_such_file() {
        let calls = r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "[8]")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "reprise:playbook/playbook@0.1.0#run") (param i32 i32) (result i32)
                (if (i32.ne (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 8))
                    (then (call $exit (i32.const 1))))
                (i32.store (i32.const 20) (i32.const 64))
                (i32.store (i32.const 24) (i32.const 3))
                (i32.const 16)))"#;
        let making = Making { wasi: Wasi::Stubbed, ..Making::default() };
        let component = componentize(&wat::parse_str(calls).unwrap(), &making).unwrap();
        let sandbox = Sandbox::new(None).unwrap();
        let playbook = sandbox.load(&Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
        match sandbox
            .run(&playbook, &Json::from(&serde_json::json!({})), Box::new(Scripted::new(Vec::new())), limits::JOB_FUEL)
            .await
            .ending
        {
            Ending::Output(output) => assert_eq!(output.as_str(), "[8]"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_world_may_be_named_with_the_contract_beside_it_or_without() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("world.wit");
        let module = wat::parse_str(
            r#"(module (memory (export "memory") 1) (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#,
        )
        .unwrap();
        let said = message(&module, &Making::default());
        assert!(said.contains("exports neither") && said.contains("--wit"), "{said}");

        std::fs::write(
            &path,
            "package a:b;\nworld adds { export add: func(a: u32, b: u32) -> u32; }\nworld other { export add: func(); }\n",
        )
        .unwrap();
        let making = |world: Option<&str>| Making { wit: Some(path.clone()), world: world.map(str::to_owned), ..Making::default() };
        let text = emit::wit_text(&componentize(&module, &making(Some("adds"))).unwrap()).unwrap();
        assert!(text.contains("export add: func(a: u32, b: u32) -> u32;"), "{text}");
        assert!(message(&module, &making(Some("other"))).contains("not what its world says"));
        assert!(message(&module, &making(None)).contains("world"), "two worlds, and none named");

        std::fs::write(&path, "package a:b;\nworld w { import tool:fs/read; export reprise:playbook/playbook@0.1.0; }\npackage tool:fs { interface read { use reprise:playbook/types@0.1.0.{json, tool-error}; call: func(input: json) -> result<json, tool-error>; } }\n").unwrap();
        componentize(&playbook(""), &making(None)).unwrap();
    }

    #[test]
    fn what_is_no_module_or_the_wrong_one_is_refused_with_the_reason() {
        let component = componentize(&playbook(""), &Making::default()).unwrap();
        for (bytes, part) in [
            (b"no".to_vec(), "no WebAssembly module"),
            (component, "a component already"),
            (tools(r#"(import "tool:fs/read" "call" (func (param i32 i32 i32)))"#), "imports tool:fs/read"),
            (tools(r#"(import "env" "puts" (func (param i32)))"#), "imports env"),
            (playbook(r#"(import "env" "puts" (func (param i32)))"#), "imports env"),
            (playbook(r#"(import "reprise:playbook/flow@0.1.0" "rest" (func))"#), "rest"),
            (playbook(r#"(import "reprise:playbook/flow@0.1.0" "now" (func))"#), "now"),
        ] {
            let said = message(&bytes, &Making::default());
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
    }
}
