//! What every part of the emitter must agree on: function types and numbers, the heap's global, addresses.

use std::collections::BTreeMap;

use wasm_encoder::MemArg;

use super::features::Import;
use super::parts::Part;
use super::share::Shared;
use crate::compiler::plan::{Node, Plan};
use crate::contract::ToolId;

pub(super) const HEAP: u32 = 0;
/// 1 where a call or a wait came back with `cancelled`; in modules of trees only.
pub(super) const CANCELLED: u32 = 1;
pub(super) const PAGE: u32 = 65_536;

/// Function types by number.
pub(super) mod ty {
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
    /// (slot, ptr, len) -> 1 where they are the same; from here on in modules of trees only
    pub const SAME: u32 = 9;
    /// (step ptr, step len, text ptr, text len, detail ptr, detail len) -> result
    pub const FAIL_WITH: u32 = 10;
    /// The first type of an import that not every playbook has.
    pub const FIRST_IMPORT: u32 = 11;
}

/// Function numbers that are the same in every module; the tools' imports follow `QUOTE`.
pub(super) const FN_STEP: u32 = 0;
pub(super) const FN_SELECT: u32 = 1;
pub(super) const FN_TEXT: u32 = 2;
pub(super) const FN_QUOTE: u32 = 3;
pub(super) const IMPORTS_BEFORE_TOOLS: u32 = 4;
/// Functions that every module has, so that a step's own code is little more than its constants.
pub(super) const HELPERS: u32 = 9;
/// Functions that the module of a tree has beside them.
pub(super) const TREE_HELPERS: u32 = 8;
/// And those of a plan that derives: loops, rules, defaults.
pub(super) const DERIVE_HELPERS: u32 = 5;

/// Function numbers that come after the imports.
pub(super) struct Numbers {
    pub(super) tools: BTreeMap<ToolId, u32>,
    pub(super) imports: BTreeMap<Import, u32>,
    pub(super) realloc: u32,
    pub(super) push: u32,
    pub(super) push_slot: u32,
    pub(super) text_into: u32,
    pub(super) quote_into: u32,
    pub(super) select_into: u32,
    pub(super) keep_slot: u32,
    pub(super) missing: u32,
    pub(super) refused: u32,
    /// True where the plan is more than plain steps; only then are there the functions up to `nodes`.
    pub(super) tree: bool,
    pub(super) select_perhaps: u32,
    pub(super) push_member: u32,
    pub(super) same: u32,
    pub(super) fail: u32,
    pub(super) of_playbook: u32,
    pub(super) not_undone: u32,
    pub(super) undo_refused: u32,
    pub(super) cancel_others: u32,
    /// True where the plan has loops, rules, the date or defaults; only then are there the functions up to `nodes`.
    pub(super) derives: bool,
    pub(super) push_number: u32,
    pub(super) item_end: u32,
    pub(super) count_items: u32,
    pub(super) derive_into: u32,
    pub(super) underivable: u32,
    /// The function of each node that has one.
    pub(super) nodes: BTreeMap<String, u32>,
    /// For each part of the plan: what undoes it, what makes its output, and all of it. The main part's is `run`.
    pub(super) parts: Vec<[u32; 3]>,
    pub(super) run: u32,
    /// The record of each node that has its function in common with others; that function takes its address.
    pub(super) records: BTreeMap<String, u32>,
}

/// True where a node is done by a function of its own; the others are code between calls.
pub(super) fn has_function(node: &Node) -> bool {
    !matches!(node, Node::Branch(_) | Node::Try(_))
}

impl Numbers {
    /// The type (i64) -> (), behind those of the imports.
    pub(super) fn type_of_number(&self) -> u32 {
        ty::FIRST_IMPORT + u32::try_from(self.imports.len()).expect("a few imports")
    }

    pub(super) fn of(plan: &Plan, parts: &[Part<'_>]) -> Self {
        let tree = !plan.is_straight();
        let tools: BTreeMap<ToolId, u32> = (IMPORTS_BEFORE_TOOLS..).zip(plan.tools()).map(|(n, tool)| (tool.clone(), n)).collect();
        let count = |n: usize| u32::try_from(n).expect("a plan has a few thousand steps at the most");
        let after_tools = IMPORTS_BEFORE_TOOLS + count(tools.len());
        let imports: BTreeMap<Import, u32> = Import::of(plan).into_iter().zip(after_tools..).collect();
        let realloc = after_tools + count(imports.len());
        let tree_helpers = realloc + HELPERS;
        let derives = plan.derives();
        let derive_helpers = if tree { tree_helpers + TREE_HELPERS } else { tree_helpers };
        let first_node = if derives { derive_helpers + DERIVE_HELPERS } else { derive_helpers };
        let own = plan.nodes().into_iter().filter(|node| has_function(node)).filter_map(Node::id);
        let nodes: BTreeMap<String, u32> = own.zip(first_node..).map(|(id, n)| (id.to_owned(), n)).collect();
        let mut next = first_node + count(nodes.len());
        let mut part = || {
            next += 3;
            [next - 3, next - 2, next - 1]
        };
        let parts: Vec<[u32; 3]> = if tree { parts.iter().map(|_| part()).collect() } else { Vec::new() };
        Numbers {
            tools,
            imports,
            realloc,
            push: realloc + 1,
            push_slot: realloc + 2,
            text_into: realloc + 3,
            quote_into: realloc + 4,
            select_into: realloc + 5,
            keep_slot: realloc + 6,
            missing: realloc + 7,
            refused: realloc + 8,
            tree,
            select_perhaps: tree_helpers,
            push_member: tree_helpers + 1,
            same: tree_helpers + 2,
            fail: tree_helpers + 3,
            of_playbook: tree_helpers + 4,
            not_undone: tree_helpers + 5,
            undo_refused: tree_helpers + 6,
            cancel_others: tree_helpers + 7,
            derives,
            push_number: derive_helpers,
            item_end: derive_helpers + 1,
            count_items: derive_helpers + 2,
            derive_into: derive_helpers + 3,
            underivable: derive_helpers + 4,
            nodes,
            run: parts.first().map_or(next, |main| main[2]),
            records: BTreeMap::new(),
            parts,
        }
    }

    /// Settles anew which functions do `nodes`: their own come first, then those that several have in common, then the parts.
    pub(super) fn share(&mut self, nodes: &[&Node], shared: &Shared) {
        let count = |n: usize| u32::try_from(n).expect("a plan has a few thousand steps at the most");
        let Some(first) = self.nodes.values().min().copied() else { return };
        let first_common = first + count(shared.of.iter().filter(|of| of.is_none()).count());
        let mut own = first..;
        for (node, of) in nodes.iter().zip(&shared.of) {
            let id = node.id().unwrap_or_default().to_owned();
            let function = match of {
                Some((common, record)) => {
                    self.records.insert(id.clone(), *record);
                    Some(first_common + count(*common))
                }
                None => own.next(),
            };
            self.nodes.extend(function.map(|function| (id, function)));
        }
        // Each that became one with another moves what stands behind the nodes forward.
        let fewer = count(nodes.len()) - (first_common - first) - count(shared.common.len());
        self.parts.iter_mut().flatten().for_each(|function| *function -= fewer);
        self.run -= fewer;
    }
}

pub(super) fn at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 2, memory_index: 0 }
}

pub(super) fn byte_at(offset: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align: 0, memory_index: 0 }
}

pub(super) fn int(n: u32) -> i32 {
    n.cast_signed()
}
