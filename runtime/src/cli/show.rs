//! Plans, proofs and components in words.

use std::fmt::Write as _;

use super::output::{count, printable, table};
use crate::compiler::Compiled;
use crate::compiler::plan::{Decision, DecisionKind, Plan};
use crate::engine::Inspection;

/// What the compiler decided, and why.
pub(super) fn compiled(compiled: &Compiled) -> String {
    let mut text = String::new();
    text.push_str(&parameters(&compiled.plan));
    text.push_str(&steps(&compiled.plan));
    for dropped in &compiled.dropped {
        let _ = writeln!(text, "  left out {} {}: {}", dropped.step, dropped.tool, printable(&dropped.reason));
    }
    for input in &compiled.unused_inputs {
        let _ = writeln!(text, "  input {input:?} was given to the run, but no step uses its value");
    }
    let _ =
        writeln!(text, "Proved: the component makes the {} of the recording with byte-equal inputs.", count(compiled.proof.calls, "call"));
    for fallback in &compiled.proof.fallbacks {
        let _ = writeln!(text, "  {}{} became literal: {}", fallback.step, fallback.at, printable(&fallback.reason));
    }
    text
}

pub(super) fn parameters(plan: &Plan) -> String {
    let mut text = String::from("Input:\n");
    if plan.parameters.is_empty() {
        text.push_str("  none; it does the same each time\n");
    }
    for parameter in &plan.parameters {
        let schema = parameter.schema.value();
        let _ =
            writeln!(text, "  {} ({}), {} in the recording", parameter.name, schema["type"].as_str().unwrap_or("any"), parameter.sample);
    }
    text
}

/// One line a step, and below it why each part that is not constant is what it is; `--json` has the reasons of
/// constants too.
pub(super) fn steps(plan: &Plan) -> String {
    let mut text = String::from("Steps:\n");
    for step in plan.steps() {
        let recorded = step.recorded_as.as_ref().map(|name| format!(", recorded as {name:?}")).unwrap_or_default();
        let _ = writeln!(text, "  {} {} ({}{recorded}) {}", step.id, step.tool, step.effect, short(&step.input.to_string()));
        text.push_str(&reasons(&step.decisions));
    }
    text
}

fn reasons(decisions: &[Decision]) -> String {
    let mut text = String::new();
    for decision in decisions.iter().filter(|d| d.kind != DecisionKind::Constant) {
        let _ = writeln!(text, "       {} {}", decision.at, printable(&decision.reason));
    }
    text
}

fn short(text: &str) -> String {
    const CHARS: usize = 300;
    let text = printable(text);
    match text.char_indices().nth(CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What a security reviewer signs.
pub(super) fn inspection(inspection: &Inspection) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "Component  sha256 {}, {} bytes", inspection.component_digest, inspection.component_bytes);
    let source = match (inspection.explained_by, &inspection.plan_fault) {
        ("plan", _) => "compiled from a plan it carries; checked: compiling that plan again gives exactly these bytes".to_owned(),
        (_, Some(fault)) => {
            format!("WARNING: it carries a plan that is not what its code does ({fault}); only the imports below are certain")
        }
        _ => "written by hand or elsewhere; it carries no plan, so the imports below are all that is known of it".to_owned(),
    };
    let _ = writeln!(text, "Origin     {source}");
    if let Some(goal) = &inspection.goal {
        let _ = writeln!(text, "Made for   {}", printable(goal));
    }
    text.push_str("\nIt may reach, and nothing else:\n");
    let rows = inspection.imports.iter().map(|i| {
        let effect = i.effect.map(|e| e.to_string()).unwrap_or_default();
        [i.import.clone(), i.allows.clone(), if i.changes { "yes" } else { "no" }.to_owned(), effect]
    });
    let _ = writeln!(text, "{}", table(["import", "allows", "changes something", "effect"], rows));
    text.push_str("It cannot, since nothing it imports allows it:\n");
    for cannot in &inspection.cannot {
        let _ = writeln!(text, "  - {cannot}");
    }
    if !inspection.grants_needed.is_empty() {
        text.push_str("\nGrants it needs (the operator names the directory; the component sees only the name):\n");
        for (name, access) in &inspection.grants_needed {
            let (suffix, words) = if *access == "ro" { (":ro", "read") } else { ("", "read and write") };
            let _ = writeln!(text, "  {name}: {words}, for example --grant fs:{name}=DIR{suffix}");
        }
    }
    if let Some(schema) = &inspection.input_schema {
        let _ = writeln!(text, "\nInput      {}", schema["properties"]);
    }
    if !inspection.steps.is_empty() {
        text.push_str("\nIt does, in this order, and stops at the first error:\n");
    }
    for step in &inspection.steps {
        let _ = writeln!(text, "  {} {} ({}) {}", step.id, step.tool, step.effect, short(&step.input));
        text.push_str(&reasons(&step.decisions));
    }
    if let Some(output) = &inspection.output {
        let _ = writeln!(text, "It returns {}", short(output));
    }
    text
}
