//! The WIT world of a plan: `flow`, `data`, its tools, and the playbook export.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock};

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap, WorldId};

use super::features::has_checks;
use crate::compiler::plan::Plan;
use crate::contract::ToolId;

/// The contract's three files, parsed once.
pub(in crate::compiler) fn contract() -> &'static Resolve {
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

/// Worlds kept at the most; agents use few sets of tools.
const KEPT_MAX: usize = 256;

/// Sections by their tools, and by whether there are checks.
type Sections = BTreeMap<(Vec<ToolId>, bool), Arc<[u8]>>;

/// The section of a core module that says which world it implements, the plan's. Depends on the set of tools
/// and on whether there are checks, and takes longer to make than the rest of a small component, so it is kept.
pub(super) fn section(plan: &Plan) -> anyhow::Result<Arc<[u8]>> {
    static KEPT: Mutex<Sections> = Mutex::new(BTreeMap::new());
    let named = (plan.tools().into_iter().cloned().collect(), has_checks(plan));
    if let Some(section) = KEPT.lock().expect("nobody panics while holding it").get(&named) {
        return Ok(Arc::clone(section));
    }
    let (resolve, world) = of(&named.0, named.1)?;
    let mut section = Vec::new();
    embed_component_metadata(&mut section, &resolve, world, StringEncoding::UTF8)?;
    let section: Arc<[u8]> = section.into();
    let mut kept = KEPT.lock().expect("nobody panics while holding it");
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(named, Arc::clone(&section));
    Ok(section)
}

/// The world of a component that calls `tools`, and is held to checks or not.
pub(in crate::compiler) fn of(tools: &[ToolId], checks: bool) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = contract().clone();
    let mut namespaces: BTreeMap<&str, String> = BTreeMap::new();
    let mut world = String::from(
        "package reprise:generated;\nworld generated {\n import reprise:playbook/flow@0.1.0;\n import reprise:playbook/data@0.1.0;\n",
    );
    if checks {
        world.push_str(" import reprise:playbook/checks@0.1.0;\n");
    }
    for tool in tools {
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

/// A component's world as WIT text, with the interfaces that it speaks of.
pub(super) fn text_of(component: &[u8]) -> anyhow::Result<String> {
    let decoded = wit_component::decode(component)?;
    let mut printer = wit_component::WitPrinter::default();
    let others: Vec<_> = decoded.resolve().packages.iter().map(|(id, _)| id).filter(|id| *id != decoded.package()).collect();
    printer.print(decoded.resolve(), decoded.package(), &others)?;
    Ok(printer.output.to_string())
}
