//! Which functions of the contract a plan uses, so that its component imports those and no others.

use std::collections::BTreeSet;

use wasm_encoder::ValType;

use crate::compiler::plan::{Join, Node, Plan, Test, Until};
use crate::compiler::template::Source;
use crate::sandbox::{CHECKS, DATA, FLOW};

/// A function of the contract that not every playbook imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Import {
    StepWith,
    Sleep,
    WaitSignal,
    Approve,
    Branch,
    StartBranch,
    StartPlaybook,
    Join,
    First,
    CancelChild,
    Compensate,
    Check,
    Require,
    Now,
    Derive,
}

impl Import {
    /// Interface and name, as `wit/playbook.wit` has them.
    pub(super) fn name(self) -> (&'static str, &'static str) {
        match self {
            Import::StepWith => (FLOW, "step-with"),
            Import::Sleep => (FLOW, "sleep"),
            Import::WaitSignal => (FLOW, "wait-signal"),
            Import::Approve => (FLOW, "approve"),
            Import::Branch => (FLOW, "branch"),
            Import::StartBranch => (FLOW, "start-branch"),
            Import::StartPlaybook => (FLOW, "start-playbook"),
            Import::Join => (FLOW, "join"),
            Import::First => (FLOW, "first"),
            Import::CancelChild => (FLOW, "cancel-child"),
            Import::Compensate => (FLOW, "compensate"),
            Import::Check => (DATA, "check"),
            Import::Require => (CHECKS, "require"),
            Import::Now => (FLOW, "now"),
            Import::Derive => (DATA, "derive"),
        }
    }

    /// Parameters and results as the canonical ABI flattens them; an answer that is no plain number comes through an
    /// address, which is the last parameter.
    pub(super) fn signature(self) -> (Vec<ValType>, Vec<ValType>) {
        const I: ValType = ValType::I32;
        const L: ValType = ValType::I64;
        match self {
            Import::StepWith => (vec![I, I, I, I, I, L, I, L, I, L], vec![]),
            Import::Sleep => (vec![L, I], vec![]),
            Import::WaitSignal => (vec![I, I, I, L, I], vec![]),
            Import::Approve => (vec![I, I, I, I, I, L, I], vec![]),
            Import::Branch => (vec![I], vec![]),
            Import::StartBranch => (vec![I, I, I, I], vec![I]),
            Import::StartPlaybook | Import::Check | Import::Derive => (vec![I, I, I, I, I], vec![]),
            Import::Require => (vec![I, I, I, I, I, I], vec![]),
            Import::Join => (vec![I, I], vec![]),
            Import::First => (vec![I, I], vec![I]),
            Import::CancelChild => (vec![I], vec![]),
            Import::Compensate => (vec![], vec![]),
            Import::Now => (vec![], vec![L]),
        }
    }

    /// What `plan` uses, in the order in which it is imported.
    pub(super) fn of(plan: &Plan) -> BTreeSet<Import> {
        let mut used = BTreeSet::new();
        for node in plan.nodes() {
            match node {
                Node::Branch(branch) if matches!(branch.condition.is, Test::Greater | Test::Less) => used.extend([Import::Check]),
                Node::Parallel(parallel) => {
                    used.extend([Import::Branch, Import::StartBranch, Import::Join, Import::CancelChild]);
                    used.extend((parallel.join == Join::First).then_some(Import::First));
                }
                Node::Wait(wait) => used.extend([if matches!(wait.until, Until::SleepMs(_)) { Import::Sleep } else { Import::WaitSignal }]),
                Node::Approve(_) => used.extend([Import::Approve]),
                Node::Playbook(_) => used.extend([Import::StartPlaybook, Import::Join]),
                Node::Step(step) => used.extend(step.compensation.as_ref().map(|_| Import::Compensate)),
                Node::Branch(_) | Node::Try(_) | Node::Fail(_) | Node::Each(_) => {}
            }
        }
        used.extend(has_checks(plan).then_some(Import::Require));
        let mut sources = Vec::new();
        for template in plan.nodes().into_iter().flat_map(Node::templates).chain([&plan.output]) {
            template.for_each_derivation("", &mut |_, _, _| used.extend([Import::Derive]));
            template.for_each_source(&mut |source| sources.push(source.clone()));
        }
        sources.extend(
            plan.nodes()
                .into_iter()
                .filter_map(|node| if let Node::Branch(branch) = node { Some(branch.condition.value.clone()) } else { None }),
        );
        if sources.contains(&Source::Today) {
            used.extend([Import::Now, Import::Derive]);
        }
        used.extend(plan.steps().any(|step| !step.options.is_none()).then_some(Import::StepWith));
        used
    }
}

/// True where a step is held to something: only then is there an interface for it in the component's world.
pub(super) fn has_checks(plan: &Plan) -> bool {
    plan.steps().any(|step| !step.checks.is_empty())
}
