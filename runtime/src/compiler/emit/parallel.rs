//! Branches side by side: each is a child that runs this same component and is told by `flow.branch` which part it is.
//!
//! The parent starts all of them, waits, and takes out of what they give back the values that later nodes need, and
//! the marks of what they did that can be undone: a branch that came to its end is undone by its parent.

use wasm_encoder::{BlockType, InstructionSink};

use super::abi::{HEAP, at, byte_at, int};
use super::features::Import;
use super::layout::{RESULT, RESULT_BYTES};
use super::parts::{Part, member, pointer_to, pointer_to_done};
use super::writer::{CHILD, FAILED, LEN, MARK, START, Take, Writer};
use crate::compiler::plan::{Join, Parallel, StepOptions};
use crate::compiler::template::Source;

impl<'a> Writer<'a> {
    pub(super) fn parallel(&mut self, i: &mut InstructionSink<'_>, parallel: &Parallel, parts: &[Part<'_>]) {
        let id = self.begin(i, &parallel.id, StepOptions::default());
        let named = |place| parts.iter().find(|part| part.name.as_deref() == Some(parallel.branch_name(place).as_str()));
        let branches: Vec<&Part<'_>> = (0..parallel.branches.len()).filter_map(named).collect();
        let count = u32::try_from(branches.len()).expect("a few dozen branches");
        let (from, to) = (self.layout.children, self.layout.children + 4 * count);
        let child = |n: u32| from + 4 * n;
        for (n, part) in (0..).zip(&branches) {
            self.needs(i, part);
            i.i32_const(int(child(n)));
            self.static_text(i, part.name.as_deref().unwrap_or_default());
            i.local_get(START).local_get(LEN).call(self.import(Import::StartBranch)).i32_store(at(0));
            i.local_get(MARK).global_set(HEAP);
        }
        i.i32_const(0).local_set(FAILED);
        if parallel.join == Join::First {
            i.i32_const(int(from)).i32_const(int(count)).call(self.import(Import::First)).local_set(CHILD);
            i.i32_const(int(from)).i32_const(int(to)).local_get(CHILD).call(self.numbers.cancel_others);
        }
        for (n, part) in (0..).zip(&branches) {
            i.global_get(HEAP).local_set(MARK);
            i.i32_const(int(child(n))).i32_load(at(0)).i32_const(int(RESULT)).call(self.import(Import::Join));
            i.i32_const(int(RESULT)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
            match parallel.join {
                Join::All => i.local_get(FAILED).i32_eqz(),
                Join::First => i.i32_const(int(child(n))).i32_load(at(0)).local_get(CHILD).i32_eq(),
            };
            i.if_(BlockType::Empty).i32_const(1).local_set(FAILED);
            i.i32_const(int(self.layout.spare)).i32_const(int(RESULT)).i32_const(int(RESULT_BYTES)).memory_copy(0, 0);
            if parallel.join == Join::All {
                // No child has this number.
                i.i32_const(int(child(n + 1))).i32_const(int(to)).i32_const(-1).call(self.numbers.cancel_others);
            }
            i.end().else_();
            i.i32_const(int(RESULT)).i32_load(at(4)).local_set(START);
            i.i32_const(int(RESULT)).i32_load(at(8)).local_set(LEN);
            let takes = self.given(part);
            self.take(i, &takes, id);
            i.end();
        }
        i.local_get(FAILED).if_(BlockType::Empty);
        i.i32_const(int(RESULT)).i32_const(int(self.layout.spare)).i32_const(int(RESULT_BYTES)).memory_copy(0, 0);
        i.i32_const(int(RESULT)).return_().end();
        i.i32_const(0);
    }

    /// What a branch gives back. It says itself what it lacks, and fails then.
    fn given(&self, part: &Part<'_>) -> Vec<Take> {
        let value = |source: &Source| Take { pointer: pointer_to(source), slot: self.layout.values[source], missing: None };
        let mark = |id: &str| Take { pointer: pointer_to_done(id), slot: self.layout.done[id], missing: None };
        part.gives.iter().map(value).chain(part.undoable.iter().map(|step| mark(&step.id))).collect()
    }

    /// Leaves the object with what a branch needs in START and LEN.
    fn needs(&mut self, i: &mut InstructionSink<'_>, part: &Part<'_>) {
        i.global_get(HEAP).local_set(START);
        self.open(i, r#"{"input":{"#);
        self.members(i, part.needs.iter().filter(|source| matches!(source, Source::Parameter { .. })));
        self.open(i, r#"},"outputs":{"#);
        self.members(i, part.needs.iter().filter(|source| matches!(source, Source::Output { .. })));
        if part.needs.iter().any(Source::is_derived) {
            self.open(i, r#"},"others":{"#);
            self.members(i, part.needs.iter().filter(|source| source.is_derived()));
        }
        self.open(i, "}}");
        i.global_get(HEAP).local_get(START).i32_sub().local_set(LEN);
    }

    /// Leaves the object with what a branch gives back in START and LEN.
    pub(super) fn gives(&mut self, i: &mut InstructionSink<'_>, part: &Part<'_>) {
        i.global_get(HEAP).local_set(START);
        self.open(i, r#"{"done":{"#);
        for step in &part.undoable {
            self.member(i, self.layout.done[&step.id], &step.id);
        }
        self.open(i, r#"},"outputs":{"#);
        self.members(i, part.gives.iter());
        self.open(i, "}}");
        i.global_get(HEAP).local_get(START).i32_sub().local_set(LEN);
    }

    fn open(&mut self, i: &mut InstructionSink<'_>, text: &str) {
        self.static_text(i, text);
        i.call(self.numbers.push);
    }

    fn members<'s>(&mut self, i: &mut InstructionSink<'_>, sources: impl Iterator<Item = &'s Source>) {
        for source in sources {
            self.member(i, self.layout.values[source], &member(source).1);
        }
    }

    fn member(&mut self, i: &mut InstructionSink<'_>, slot: u32, key: &str) {
        i.i32_const(int(slot));
        self.static_text(i, &format!("{}:", serde_json::Value::from(key)));
        i.call(self.numbers.push_member);
    }
}
