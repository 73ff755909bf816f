//! What calls the nodes' functions in the order of the plan: arms, handlers, the ends of each part, and undoing.

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::abi::{CANCELLED, HEAP, at, byte_at, int};
use super::features::Import;
use super::layout::{ANSWER, INPUT, RESULT};
use super::leaves::{EXPIRED, REJECTED};
use super::parts::{Part, pointer_to};
use super::writer::{CHILD, LEN, MARK, START, Writer, needed};
use crate::compiler::plan::{Condition, Node, Test};
use crate::compiler::template::{Rule, Source};
use crate::json::Json;

impl<'a> Writer<'a> {
    /// `run` of a plan that is no more than plain steps.
    pub(super) fn run_straight(mut self) -> Function {
        let mut f = Function::new([(3, ValType::I32)]);
        let mut i = f.instructions();
        self.read_input(&mut i);
        for node in &self.plan.body {
            self.call_node(&mut i, node);
            i.local_tee(START).if_(BlockType::Empty).local_get(START).return_().end();
        }
        self.put_together(&mut i, &self.plan.output);
        succeed(&mut i);
        i.i32_const(int(RESULT)).end();
        f
    }

    /// All parameters before the first effect: a wrong input fails with nothing done.
    fn read_input(&mut self, i: &mut InstructionSink<'_>) {
        i.i32_const(int(INPUT)).local_get(0).i32_store(at(0));
        i.i32_const(int(INPUT)).local_get(1).i32_store(at(4));
        if self.numbers.imports.contains_key(&Import::Branch) {
            return;
        }
        self.read_parameters(i);
    }

    fn read_parameters(&mut self, i: &mut InstructionSink<'_>) {
        let values: Vec<(Source, u32)> = self.layout.values.iter().map(|(source, slot)| (source.clone(), *slot)).collect();
        for (source, slot) in values {
            if let Source::Parameter { name, pointer } = &source {
                let pointer = format!("{}{pointer}", crate::json::below("", name));
                let missing = (!self.layout.lazy.contains(&source)).then(|| format!("the input lacks {pointer}"));
                i.local_get(0).local_get(1);
                match self.default_of(&source) {
                    None => self.select(i, &pointer, slot, (0, 0), missing.as_deref()),
                    Some(default) => self.select_or(i, &source, slot, &default, missing.as_deref()),
                }
            }
        }
        if let Some(slot) = self.layout.values.get(&Source::Today).copied() {
            self.today(i, slot);
        }
    }

    /// What stands for the whole parameter where the input lacks it.
    fn default_of(&self, source: &Source) -> Option<Json> {
        let Source::Parameter { name, .. } = source else { return None };
        self.plan.parameters.iter().find(|parameter| parameter.name == *name)?.default.clone()
    }

    /// As `select` from the input whose address and length are on the stack. Where the parameter is not given at all, its
    /// default is looked into; that is known now.
    fn select_or(&mut self, i: &mut InstructionSink<'_>, source: &Source, slot: u32, default: &Json, missing: Option<&str>) {
        let Source::Parameter { name, pointer } = source else { return };
        let whole = crate::json::below("", name);
        self.select(i, &format!("{whole}{pointer}"), slot, (0, 0), None);
        i.i32_const(int(slot)).i32_load(at(0)).i32_eqz().if_(BlockType::Empty);
        i.local_get(0).local_get(1);
        self.select(i, &whole, slot, (0, 0), None);
        i.i32_const(int(slot)).i32_load(at(0)).if_(BlockType::Empty);
        // It is given, and lacks what is wanted of it.
        i.i32_const(int(slot)).i32_const(0).i32_store(at(0)).i32_const(int(slot)).i32_const(0).i32_store(at(4));
        self.lacks(i, missing);
        i.else_();
        match default.value().pointer(pointer) {
            None => self.lacks(i, missing),
            Some(value) => {
                let (address, len) = self.layout.text(&value.to_string());
                i.i32_const(int(slot)).i32_const(int(address)).i32_store(at(0));
                i.i32_const(int(slot)).i32_const(int(len)).i32_store(at(4));
            }
        }
        i.end().end();
    }

    fn lacks(&mut self, i: &mut InstructionSink<'_>, missing: Option<&str>) {
        if let Some(missing) = missing {
            self.text(i, (0, 0));
            self.static_text(i, missing);
            i.call(self.numbers.missing).return_();
        }
    }

    /// The date on which the job began, looked up once for all of it.
    fn today(&mut self, i: &mut InstructionSink<'_>, slot: u32) {
        let rules = serde_json::to_string(&[Rule::Date]).expect("a rule has string keys only");
        i.global_get(HEAP).local_set(START).call(self.import(Import::Now)).call(self.numbers.push_number);
        i.i32_const(int(slot)).local_get(START).i32_store(at(0));
        i.i32_const(int(slot)).global_get(HEAP).local_get(START).i32_sub().i32_store(at(4));
        i.i32_const(int(slot));
        self.static_text(i, &rules);
        i.i32_const(int(slot)).call(self.numbers.derive_into).i32_eqz().if_(BlockType::Empty);
        self.text(i, (0, 0));
        self.static_text(i, "the clock's time does not follow ");
        i.call(self.numbers.underivable).return_().end();
    }

    /// The function of a part: `run` for the main one, which also hands over to the branches.
    pub(super) fn part(mut self, part: &Part<'_>, parts: &[Part<'_>], undo: u32, finish: u32) -> Function {
        let parameters = if part.name.is_none() { 2 } else { 0 };
        let mut f = Function::new([(CHILD + 1 - parameters, ValType::I32)]);
        let mut i = f.instructions();
        if part.name.is_none() {
            self.read_input(&mut i);
            self.hand_over(&mut i, parts);
        } else {
            for source in &part.needs {
                i.i32_const(int(INPUT)).i32_load(at(0)).i32_const(int(INPUT)).i32_load(at(4));
                self.select(&mut i, &pointer_to(source), self.layout.values[source], (0, 0), None);
            }
        }
        i.block(BlockType::Empty);
        self.body(&mut i, part.nodes, 0);
        i.call(finish).br_if(0).i32_const(int(RESULT)).return_().end();
        if !part.undoable.is_empty() {
            i.call(undo).drop();
        }
        i.i32_const(int(RESULT)).end();
        f
    }

    /// A child does its branch and nothing else.
    fn hand_over(&mut self, i: &mut InstructionSink<'_>, parts: &[Part<'_>]) {
        if !self.numbers.imports.contains_key(&Import::Branch) {
            return;
        }
        i.i32_const(int(ANSWER)).call(self.import(Import::Branch));
        i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
        for (part, [_, _, function]) in parts.iter().zip(&self.numbers.parts) {
            let Some(name) = &part.name else { continue };
            // The name's address and length lie there as in a slot.
            i.i32_const(int(ANSWER + 4));
            let name = self.layout.text(name);
            self.text(i, name);
            i.call(self.numbers.same).if_(BlockType::Empty).call(*function).return_().end();
        }
        self.text(i, (0, 0));
        self.static_text(i, "this playbook has no branch of that name");
        i.call(self.numbers.missing).return_().end();
        self.read_parameters(i);
    }

    /// Makes the part's output. Leaves like a node's function.
    pub(super) fn finish(mut self, part: &Part<'_>) -> Function {
        let mut f = Function::new([(CHILD + 1, ValType::I32)]);
        let mut i = f.instructions();
        if part.name.is_some() {
            self.gives(&mut i, part);
        } else {
            self.require(&mut i, &self.plan.output, (0, 0), "the output");
            self.put_together(&mut i, &self.plan.output);
        }
        succeed(&mut i);
        i.i32_const(0).end();
        f
    }

    /// The nodes in order. Where one fails, the code jumps to the label `exit` with the failure in the result area.
    pub(super) fn body(&mut self, i: &mut InstructionSink<'_>, nodes: &[Node], exit: u32) {
        for node in nodes {
            match node {
                Node::Step(_) | Node::Playbook(_) | Node::Fail(_) | Node::Parallel(_) | Node::Each(_) => {
                    self.call_node(i, node);
                    i.br_if(exit);
                }
                Node::Wait(wait) => {
                    self.call_node(i, node);
                    match &wait.expired {
                        None => {
                            i.br_if(exit);
                        }
                        Some(expired) => {
                            i.local_tee(START).i32_const(int(EXPIRED)).i32_gt_u().br_if(exit).local_get(START).if_(BlockType::Empty);
                            self.body(i, expired, exit + 1);
                            i.end();
                        }
                    }
                }
                Node::Approve(ask) => {
                    self.call_node(i, node);
                    i.local_tee(START).i32_const(int(EXPIRED)).i32_gt_u().br_if(exit);
                    i.local_get(START).i32_eqz().if_(BlockType::Empty);
                    self.body(i, &ask.approved, exit + 1);
                    i.else_().local_get(START).i32_const(int(REJECTED)).i32_eq().if_(BlockType::Empty);
                    self.body(i, ask.rejected.as_deref().unwrap_or_default(), exit + 2);
                    i.else_();
                    self.body(i, ask.expired.as_deref().unwrap_or_default(), exit + 2);
                    i.end().end();
                }
                Node::Branch(branch) => {
                    self.condition(i, &branch.condition);
                    i.if_(BlockType::Empty);
                    self.body(i, &branch.then, exit + 1);
                    i.else_();
                    self.body(i, &branch.otherwise, exit + 1);
                    i.end();
                }
                Node::Try(tried) => {
                    i.block(BlockType::Empty).block(BlockType::Empty);
                    self.body(i, &tried.body, 0);
                    i.br(1).end();
                    // Who cancels a job does not want its handlers.
                    i.global_get(CANCELLED).br_if(exit + 1);
                    self.body(i, &tried.on_failure, exit + 1);
                    i.end();
                }
            }
        }
    }

    fn call_node(&self, i: &mut InstructionSink<'_>, node: &Node) {
        let id = node.id().unwrap_or_default();
        if let Some(record) = self.numbers.records.get(id) {
            i.i32_const(int(*record));
        }
        i.call(self.numbers.nodes[id]);
    }

    /// Leaves 1 where the condition holds.
    fn condition(&mut self, i: &mut InstructionSink<'_>, condition: &Condition) {
        let slot = self.layout.values[&condition.value];
        let to = condition.to.as_ref().map_or("null", |to| to.as_str());
        match condition.is {
            Test::Exists => {
                i.i32_const(int(slot)).i32_load(at(0)).i32_const(0).i32_ne();
            }
            Test::True | Test::Equals | Test::NotEquals => {
                i.i32_const(int(slot));
                self.static_text(i, if condition.is == Test::True { "true" } else { to });
                i.call(self.numbers.same);
                if condition.is == Test::NotEquals {
                    i.i32_eqz();
                }
            }
            Test::Greater | Test::Less => {
                let bound = if condition.is == Test::Greater { "exclusiveMinimum" } else { "exclusiveMaximum" };
                i.i32_const(int(slot)).i32_load(at(0)).if_(BlockType::Result(ValType::I32));
                i.i32_const(int(slot)).i32_load(at(0)).i32_const(int(slot)).i32_load(at(4));
                self.static_text(i, &format!(r#"{{"{bound}":{to},"type":"number"}}"#));
                i.i32_const(int(ANSWER)).call(self.import(Import::Check));
                i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).i32_eqz();
                i.else_().i32_const(0).end();
            }
        }
    }

    /// Undoes what was done in a part, last first. What cannot be undone is added to the failure's message; the rest
    /// is undone all the same.
    pub(super) fn undo(mut self, part: &Part<'_>) -> Function {
        let mut f = Function::new([(CHILD + 1, ValType::I32)]);
        let mut i = f.instructions();
        if part.undoable.is_empty() {
            i.i32_const(0).end();
            return f;
        }
        i.i32_const(0);
        for step in &part.undoable {
            i.i32_const(int(self.layout.done[&step.id])).i32_load(at(0)).i32_or();
        }
        i.i32_eqz().if_(BlockType::Empty).i32_const(0).return_().end();
        i.call(self.import(Import::Compensate));
        for step in part.undoable.iter().rev() {
            let Some(undo) = step.compensation.as_deref() else { continue };
            i.block(BlockType::Empty);
            i.i32_const(int(self.layout.done[&step.id])).i32_load(at(0)).i32_eqz().br_if(0);
            self.undoing = Some(step.id.clone());
            self.begin(&mut i, &undo.id, undo.options);
            for source in needed(&undo.input) {
                i.i32_const(int(self.layout.values[&source])).i32_load(at(0)).i32_eqz().if_(BlockType::Empty);
                self.static_text(&mut i, &format!("; {} could not be undone: there is no {source}", step.id));
                i.call(self.numbers.not_undone).br(1).end();
            }
            self.put_together(&mut i, &undo.input);
            i.local_get(START).local_get(LEN).i32_const(int(ANSWER)).call(self.numbers.tools[&undo.tool]);
            i.i32_const(int(ANSWER)).i32_load8_u(byte_at(0)).if_(BlockType::Empty);
            self.static_text(&mut i, &format!("; {} could not be undone: {}: ", step.id, undo.tool));
            i.call(self.numbers.undo_refused);
            i.else_().local_get(MARK).global_set(HEAP).end();
            i.end();
        }
        i.i32_const(0).end();
        f
    }
}

/// `ok` of what is in START and LEN.
fn succeed(i: &mut InstructionSink<'_>) {
    i.i32_const(int(RESULT)).i32_const(0).i32_store8(byte_at(0));
    i.i32_const(int(RESULT)).local_get(START).i32_store(at(4));
    i.i32_const(int(RESULT)).local_get(LEN).i32_store(at(8));
}
