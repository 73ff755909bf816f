//! Keys of recorded runs: the run, its head, and each step with what was heard of it before and after.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::{RunId, Space, StepId};

/// Names the row of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// Whose it is.
    pub space: Space,
    /// The run.
    pub run_id: RunId,
}

impl RunKey {
    /// All runs of a space, in the order of their ids.
    #[must_use]
    pub fn of_space(space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space))
    }
}

impl Key for RunKey {
    const KIND: Kind = Kind::Run;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.run_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = RunKey { space: fields.space()?, run_id: fields.parsed(RunId::parse)? };
        fields.end(key)
    }
}

/// Names the row that changes with every step of a run, apart from the run's own so that it stays small.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunHeadKey {
    /// Whose it is.
    pub space: Space,
    /// The run.
    pub run_id: RunId,
}

impl Key for RunHeadKey {
    const KIND: Kind = Kind::RunHead;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.run_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = RunHeadKey { space: fields.space()?, run_id: fields.parsed(RunId::parse)? };
        fields.end(key)
    }
}

/// Names the row of a step: what was said before it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// Whose it is.
    pub space: Space,
    /// The run.
    pub run_id: RunId,
    /// The step in it.
    pub step_id: StepId,
}

impl StepKey {
    /// All steps of a run, in the order of their ids.
    #[must_use]
    pub fn of_run(space: &Space, run_id: &RunId) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(run_id.as_str()))
    }
}

impl Key for StepKey {
    const KIND: Kind = Kind::Step;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.run_id.as_str()).text(self.step_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = StepKey { space: fields.space()?, run_id: fields.parsed(RunId::parse)?, step_id: fields.parsed(StepId::parse)? };
        fields.end(key)
    }
}

/// Names the row of a step's outcome: what was said after it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AfterKey {
    /// Whose it is.
    pub space: Space,
    /// The run.
    pub run_id: RunId,
    /// The step in it.
    pub step_id: StepId,
}

impl AfterKey {
    /// The outcomes of a run's steps, in the order of the steps' ids.
    #[must_use]
    pub fn of_run(space: &Space, run_id: &RunId) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(run_id.as_str()))
    }
}

impl Key for AfterKey {
    const KIND: Kind = Kind::After;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.run_id.as_str()).text(self.step_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = AfterKey { space: fields.space()?, run_id: fields.parsed(RunId::parse)?, step_id: fields.parsed(StepId::parse)? };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, any_space, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    fn any_run() -> impl Strategy<Value = (Space, RunId)> {
        (any_space(), any_id()).prop_map(|(space, id)| (space, RunId::parse(&id).unwrap()))
    }

    fn any_step() -> impl Strategy<Value = (Space, RunId, StepId)> {
        (any_run(), any_id()).prop_map(|((space, run_id), id)| (space, run_id, StepId::parse(&id).unwrap()))
    }

    fn text(space: &Space, run_id: &RunId) -> (String, String, String) {
        (space.tenant().to_owned(), space.scope().to_owned(), run_id.as_str().to_owned())
    }

    proptest! {
        #[test]
        fn run_keys_come_back_and_sort_as_their_fields((sa, ra) in any_run(), (sb, rb) in any_run()) {
            let of = |space: &Space, run_id: &RunId| RunKey { space: space.clone(), run_id: run_id.clone() };
            let (a, b) = (of(&sa, &ra), of(&sb, &rb));
            check(&a, &b, |k| text(&k.space, &k.run_id));
            check_prefix(&RunKey::of_space(&sa), &a, true);
            check_prefix(&RunKey::of_space(&sa), &b, sa == sb);
            let of = |space: &Space, run_id: &RunId| RunHeadKey { space: space.clone(), run_id: run_id.clone() };
            check(&of(&sa, &ra), &of(&sb, &rb), |k| text(&k.space, &k.run_id));
        }

        #[test]
        fn step_keys_come_back_and_sort_as_their_fields((sa, ra, ta) in any_step(), (sb, rb, tb) in any_step()) {
            let a = StepKey { space: sa.clone(), run_id: ra.clone(), step_id: ta.clone() };
            let b = StepKey { space: sb.clone(), run_id: rb.clone(), step_id: tb.clone() };
            check(&a, &b, |k| (text(&k.space, &k.run_id), k.step_id.clone()));
            check_prefix(&StepKey::of_run(&sa, &ra), &a, true);
            check_prefix(&StepKey::of_run(&sa, &ra), &b, (&sa, &ra) == (&sb, &rb));
            let a = AfterKey { space: sa.clone(), run_id: ra.clone(), step_id: ta };
            let b = AfterKey { space: sb.clone(), run_id: rb.clone(), step_id: tb };
            check(&a, &b, |k| (text(&k.space, &k.run_id), k.step_id.clone()));
            check_prefix(&AfterKey::of_run(&sa, &ra), &a, true);
            check_prefix(&AfterKey::of_run(&sa, &ra), &b, (&sa, &ra) == (&sb, &rb));
        }
    }
}
