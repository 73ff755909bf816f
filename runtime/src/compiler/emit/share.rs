//! Functions of nodes that differ in nothing but their constants become one.
//!
//! A long run calls a few tools many times over, so that most of its steps are the same code about other texts and slots;
//! and compiling that code to machine code is most of what a long plan costs. What several have in common stands once and
//! reads its constants from a record; whoever calls a node says where its record is.

use std::collections::BTreeMap;
use std::ops::Range;

use wasm_encoder::{Encode as _, Function, ValType};
use wasmparser::{BinaryReader, FunctionBody, Operator};

use super::abi::at;
use super::layout::Layout;

/// The local that holds the record's address; the functions of nodes leave it alone.
const RECORD: u32 = 0;
/// How `i32.const` begins.
const I32_CONST: u8 = 0x41;

/// What functions of nodes have in common.
pub(super) struct Shared {
    /// For each node, which of `common` does it, and the address of its record; none where it has a function of its own.
    pub of: Vec<Option<(usize, u32)>>,
    /// Functions that take the address of a record: (record) -> 0 or result.
    pub common: Vec<Function>,
}

/// A body, taken apart.
struct Shape {
    /// Everything but the constants. Two bodies with the same key do the same, with other constants.
    key: Vec<u8>,
    /// Where in the body each constant is, and what it is.
    constants: Vec<(Range<usize>, i32)>,
    /// Where the instructions begin.
    start: usize,
    locals: u32,
}

/// What the functions of `nodes` have in common; those that are none yet stay apart.
pub(super) fn share(nodes: &[Option<Function>], layout: &mut Layout) -> Shared {
    let bodies: Vec<Vec<u8>> = nodes.iter().map(|node| node.clone().map(Function::into_raw_body).unwrap_or_default()).collect();
    let shapes: Vec<Option<Shape>> = bodies.iter().map(|body| shape_of(body)).collect();
    let mut alike: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (node, shape) in shapes.iter().enumerate() {
        if let Some(shape) = shape {
            alike.entry(&shape.key).or_default().push(node);
        }
    }
    let mut groups: Vec<Vec<usize>> = alike.into_values().filter(|members| members.len() > 1).collect();
    groups.sort_unstable();
    let (mut of, mut common) = (vec![None; nodes.len()], Vec::new());
    for members in groups {
        let shapes: Vec<&Shape> = members.iter().filter_map(|node| shapes[*node].as_ref()).collect();
        let columns = columns_of(&shapes);
        for (member, node) in members.iter().enumerate() {
            let record: Vec<i32> = columns.distinct.iter().map(|column| column[member]).collect();
            of[*node] = Some((common.len(), layout.words(&record)));
        }
        common.push(common_of(&bodies[members[0]], shapes[0], &columns));
    }
    Shared { of, common }
}

/// Which constants differ between the members, and where in a record each of them stands.
struct Columns {
    /// By constant; none where all members have the same.
    of: Vec<Option<u32>>,
    /// The values of each place in a record, by member.
    distinct: Vec<Vec<i32>>,
}

fn columns_of(members: &[&Shape]) -> Columns {
    let (mut of, mut distinct, mut known) = (Vec::new(), Vec::new(), BTreeMap::new());
    for constant in 0..members[0].constants.len() {
        let column: Vec<i32> = members.iter().map(|shape| shape.constants[constant].1).collect();
        of.push(if column.iter().all(|value| *value == column[0]) {
            None
        } else {
            Some(*known.entry(column).or_insert_with_key(|column| {
                distinct.push(column.clone());
                u32::try_from(distinct.len() - 1).expect("a function has a few hundred constants")
            }))
        });
    }
    Columns { of, distinct }
}

/// What all have in common: as the first has it, with loads from the record in the place of what differs.
fn common_of(body: &[u8], shape: &Shape, columns: &Columns) -> Function {
    let mut made = Function::new([(shape.locals - 1, ValType::I32)]);
    let mut from = shape.start;
    for ((range, _), column) in shape.constants.iter().zip(&columns.of) {
        let Some(column) = column else { continue };
        made.raw(body[from..range.start].iter().copied());
        made.instructions().local_get(RECORD).i32_load(at(4 * column));
        from = range.end;
    }
    made.raw(body[from..].iter().copied());
    made
}

/// None where the body cannot be shared: one that has a use for the local of the record.
fn shape_of(body: &[u8]) -> Option<Shape> {
    let read = FunctionBody::new(BinaryReader::new(body, 0));
    let locals = read.get_locals_reader().ok()?.into_iter().try_fold(0, |sum, group| group.ok().map(|(count, _)| sum + count))?;
    let mut operators = read.get_operators_reader().ok()?;
    let start = operators.original_position();
    let (mut key, mut constants) = (Vec::new(), Vec::new());
    locals.encode(&mut key);
    while !operators.eof() {
        let (operator, from) = operators.read_with_offset().ok()?;
        let range = from..operators.original_position();
        match operator {
            Operator::I32Const { value } => {
                key.push(I32_CONST);
                constants.push((range, value));
            }
            Operator::LocalGet { local_index } | Operator::LocalSet { local_index } | Operator::LocalTee { local_index }
                if local_index == RECORD =>
            {
                return None;
            }
            _ => key.extend_from_slice(&body[range]),
        }
    }
    (locals > 0).then_some(Shape { key, constants, start, locals })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::compiler::emit::emit;
    use crate::compiler::plan::Plan;
    use crate::json::Json;

    /// `steps` calls of two tools, as this version has them; each says its own number and what the one before answered.
    fn plan(steps: usize, plan_version: u32) -> Plan {
        let step = |n: usize| {
            let before = match n {
                0 => json!({"constant": "nothing"}),
                n => json!({"value": {"output": {"step": format!("s{n}"), "pointer": "/id"}}}),
            };
            let input = json!({"object": {"n": {"constant": n}, "before": before}});
            json!({"step": {"id": format!("s{}", n + 1), "tool": format!("agent/{}", ["get", "put"][n % 2]), "effect": "once", "input": input}})
        };
        let body: Vec<serde_json::Value> = (0..steps).map(step).collect();
        let plan = json!({"plan_version": plan_version, "goal": "g", "parameters": [], "body": body, "output": {"constant": null}});
        Plan::parse(plan.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}: {}", Json::from(&plan)))
    }

    /// Bytes of code in the component, and how many functions that is.
    fn code(component: &[u8]) -> (usize, u32) {
        let payloads = wasmparser::Parser::new(0).parse_all(component).map(Result::unwrap);
        let sections = payloads.filter_map(|payload| match payload {
            wasmparser::Payload::CodeSectionStart { count, range, .. } => Some((range.len(), count)),
            _ => None,
        });
        // The first module is the playbook's own; what lifts and lowers its calls follows.
        sections.into_iter().next().unwrap()
    }

    #[test]
    fn what_many_steps_have_in_common_stands_once() {
        let [apart, shared] = [1, 4].map(|version| code(&emit(&plan(200, version)).unwrap()));
        // The first step has no step before it, and nobody needs the last one's answer: the others are `get` or `put`.
        assert_eq!(apart.1 - shared.1, 198 - 2);
        assert!(shared.0 * 5 < apart.0, "{shared:?} and {apart:?}");
    }

    #[test]
    fn what_only_one_has_stays_its_own() {
        let [apart, shared] = [1, 4].map(|version| code(&emit(&plan(2, version)).unwrap()));
        assert_eq!(shared, apart);
    }
}
