//! Small guests from WebAssembly text: a core module and the world that it implements.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

/// The component that core module `core` (text) is in the world `guest` of the package `test:guest`, whose WIT is `wit`.
/// The world may name what stands in `wit/`; packages of others stand in `wit` too, nested.
pub fn component(core: &str, wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let mut contract = SourceMap::new();
    for name in ["types.wit", "playbook.wit", "tool.wit"] {
        contract.push_str(name, std::fs::read_to_string(super::page::repository().join("wit").join(name)).unwrap());
    }
    resolve.push_group(contract.parse().map_err(|(_, e)| e).unwrap()).unwrap();
    let mut own = SourceMap::new();
    own.push_str("guest.wit", format!("package test:guest;\n{wit}"));
    let package = resolve.push_group(own.parse().map_err(|(_, e)| e).unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).and_then(|mut encoder| encoder.encode()).unwrap()
}

/// A tool as a component describes it, and what it does.
#[derive(Clone, Copy)]
pub struct Provided<'a> {
    /// `payments/refund`.
    pub name: &'a str,
    /// 0 pure, 1 read, 2 idempotent, 3 once.
    pub effect: u8,
    /// Of input and output.
    pub schemas: [&'a str; 2],
    /// WIT of what the world imports: `import wasi:cli/environment@0.2.0;`.
    pub imports: &'a str,
    /// WIT of the packages that these stand in.
    pub packages: &'a str,
    /// Imports, functions and data of the core module.
    pub core: &'a str,
    /// Instructions of `call`. They may leave the address of a result behind, or fall through to `answer`.
    pub call: &'a str,
    /// What `call` answers with.
    pub answer: &'a str,
}

impl Default for Provided<'_> {
    fn default() -> Self {
        let any = "{}";
        Provided { name: "test/tool", effect: 0, schemas: [any, any], imports: "", packages: "", core: "", call: "", answer: "\"done\"" }
    }
}

/// A component that describes one tool.
///
/// Its memory: name at 64, schemas at 1024 and 8192, answer at 16384; below 64 KiB the rest from 32768 on is free, and above it the
/// allocator's. `call`'s parameters are `$name $name-len $key $key-len $input $input-len`.
pub fn provider(tool: Provided<'_>) -> Vec<u8> {
    let Provided { name, effect, schemas: [input, output], imports, packages, core, call, answer } = tool;
    let data = |at: usize, text: &str| {
        let escaped: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
        format!("(data (i32.const {at}) \"{escaped}\")")
    };
    let text_at = |place: usize, at: usize, text: &str| {
        format!("(i32.store (i32.const {place}) (i32.const {at})) (i32.store (i32.const {}) (i32.const {}))", place + 4, text.len())
    };
    let module = format!(
        r#"(module
            {core}
            (memory (export "memory") 4)
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
                    (then (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1))))))
                local.get $at)
            {data_name} {data_input} {data_output} {data_answer}
            (func (export "reprise:playbook/tools@0.1.0#describe") (result i32)
                {at_name} {at_description} {at_input} {at_output}
                (i32.store8 (i32.const 544) (i32.const {effect}))
                (i32.store (i32.const 552) (i32.const 512)) (i32.store (i32.const 556) (i32.const 1))
                i32.const 552)
            (func (export "reprise:playbook/tools@0.1.0#call")
                (param $name i32) (param $name-len i32) (param $key i32) (param $key-len i32) (param $input i32) (param $input-len i32)
                (result i32)
                {call}
                (i32.store8 (i32.const 560) (i32.const 0)) {at_answer}
                i32.const 560)
            (func (export "reprise:playbook/tools@0.1.0#reconcile") (param i32 i32 i32 i32 i32 i32) (result i32)
                (i32.store8 (i32.const 600) (i32.const 2))
                i32.const 600))"#,
        data_name = data(64, name),
        data_input = data(1024, input),
        data_output = data(8192, output),
        data_answer = data(16384, answer),
        at_name = text_at(512, 64, name),
        at_description = text_at(520, 64, name),
        at_input = text_at(528, 1024, input),
        at_output = text_at(536, 8192, output),
        at_answer = text_at(564, 16384, answer),
    );
    component(&module, &format!("{packages}\nworld guest {{\n {imports}\n export reprise:playbook/tools@0.1.0;\n}}"))
}
