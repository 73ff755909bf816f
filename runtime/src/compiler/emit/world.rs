//! The WIT world of a plan: `flow`, `data`, its tools, and the playbook export.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use wit_parser::{Resolve, SourceMap, WorldId};

use crate::compiler::plan::Plan;

/// The contract's three files, parsed once.
fn contract() -> &'static Resolve {
    static CONTRACT: OnceLock<Resolve> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut files = SourceMap::new();
        files.push_str("types.wit", include_str!("../../../../wit/types.wit"));
        files.push_str("playbook.wit", include_str!("../../../../wit/playbook.wit"));
        files.push_str("tool.wit", include_str!("../../../../wit/tool.wit"));
        let group = files.parse().map_err(|(_, e)| e).expect("wit/ parses; a test builds on it");
        let mut resolve = Resolve::default();
        resolve.push_group(group).expect("wit/ resolves; a test builds on it");
        resolve
    })
}

/// The world that the plan's component implements.
pub(super) fn of(plan: &Plan) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = contract().clone();
    let mut namespaces: BTreeMap<&str, String> = BTreeMap::new();
    let mut world = String::from(
        "package reprise:generated;\nworld generated {\n import reprise:playbook/flow@0.1.0;\n import reprise:playbook/data@0.1.0;\n",
    );
    for tool in plan.tools() {
        // A tool may be called like a keyword of WIT; `%` makes any word an identifier.
        let interface = namespaces.entry(tool.namespace()).or_default();
        writeln!(interface, "interface %{} {{", tool.name())?;
        writeln!(interface, " use reprise:playbook/types@0.1.0.{{json, tool-error}};")?;
        writeln!(interface, " call: func(input: json) -> result<json, tool-error>;\n}}")?;
        writeln!(world, " import tool:%{}/%{};", tool.namespace(), tool.name())?;
    }
    world.push_str(" export reprise:playbook/playbook@0.1.0;\n}\n");
    for (namespace, interfaces) in namespaces {
        resolve.push_source("tool.wit", &format!("package tool:%{namespace};\n{interfaces}"))?;
    }
    let package = resolve.push_source("world.wit", &world)?;
    let world = resolve.select_world(&[package], Some("generated"))?;
    Ok((resolve, world))
}

/// A component's world as WIT text.
pub(super) fn text_of(component: &[u8]) -> anyhow::Result<String> {
    let decoded = wit_component::decode(component)?;
    let mut printer = wit_component::WitPrinter::default();
    printer.print(decoded.resolve(), decoded.package(), &[])?;
    Ok(printer.output.to_string())
}
