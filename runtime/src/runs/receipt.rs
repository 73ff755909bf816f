//! What a recorder gets back for each write: names for what was written that never change.
//!
//! Everything here follows from the tenant, the scope, the client's ids and the stored bytes, so that a
//! repeat is answered exactly as the first time.

use std::fmt::Write as _;

use uuid::Uuid;

use super::run::{RunStatus, StepStatus};
use crate::ids::{self, Digest, RunId, Space, StepId};

/// Proof of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The write itself.
    pub commit: Commit,
    /// What it made.
    pub node: Node,
    /// True where it had been written before; then this is the first write's receipt.
    pub repeated: bool,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Follows from space and hash.
    pub id: Uuid,
    /// `aionis://{tenant}/{scope}/commit/{id}`.
    pub uri: String,
    /// SHA-256 of the row as stored.
    pub hash: Digest,
}

/// One stored thing, under the names that Aionis gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What part of a run it is.
    pub part: Part,
    /// Follows from space, run and step.
    pub id: Uuid,
    /// `aionis://{tenant}/{scope}/{type}/{id}`.
    pub uri: String,
}

/// The parts of a run, each a node to Aionis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The start.
    Run,
    /// A step before.
    Step,
    /// A step after.
    StepResult,
    /// The end.
    RunEnd,
}

/// A run was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The client's, or a fresh one.
    pub run_id: RunId,
    /// Proof.
    pub receipt: Receipt,
}

/// A step was recorded before its call; it is pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Of this run.
    pub run_id: RunId,
    /// The client's, or the one that follows from the content.
    pub step_id: StepId,
    /// As sent.
    pub step_index: u32,
    /// Proof.
    pub receipt: Receipt,
}

/// What came of a step was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Of this run.
    pub run_id: RunId,
    /// Of this step.
    pub step_id: StepId,
    /// As sent.
    pub status: StepStatus,
    /// As sent.
    pub repair_applied: bool,
    /// Proof.
    pub receipt: Receipt,
}

/// A run was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// This run.
    pub run_id: RunId,
    /// As sent.
    pub status: RunStatus,
    /// Proof.
    pub receipt: Receipt,
}

impl Commit {
    /// The commit that wrote bytes of this digest.
    #[must_use]
    pub fn of(space: &Space, hash: Digest) -> Self {
        let id = ids::derived_uuid("reprise:commit", &[space.tenant().as_bytes(), space.scope().as_bytes(), hash.as_bytes()]);
        Commit { id, uri: uri(space, "commit", id), hash }
    }
}

impl Node {
    /// The run's node, or that of its end.
    #[must_use]
    pub fn of_run(space: &Space, part: Part, run_id: &RunId) -> Self {
        Node::of(space, part, &[run_id.as_str()])
    }

    /// A step's node, or that of what came of it.
    #[must_use]
    pub fn of_step(space: &Space, part: Part, run_id: &RunId, step_id: &StepId) -> Self {
        Node::of(space, part, &[run_id.as_str(), step_id.as_str()])
    }

    fn of(space: &Space, part: Part, names: &[&str]) -> Self {
        let parts: Vec<&[u8]> =
            [space.tenant(), space.scope(), part.replay_kind()].iter().chain(names).map(|name| name.as_bytes()).collect();
        let id = ids::derived_uuid("reprise:node", &parts);
        Node { part, id, uri: uri(space, part.node_type(), id) }
    }
}

impl Part {
    /// Aionis' `replay_kind`.
    #[must_use]
    pub fn replay_kind(self) -> &'static str {
        match self {
            Part::Run => "run",
            Part::Step => "step",
            Part::StepResult => "step_result",
            Part::RunEnd => "run_end",
        }
    }

    /// Aionis' node type.
    #[must_use]
    pub fn node_type(self) -> &'static str {
        match self {
            Part::Run | Part::RunEnd => "event",
            Part::Step => "procedure",
            Part::StepResult => "evidence",
        }
    }
}

/// `aionis://{tenant}/{scope}/{kind}/{id}`, a scope's slashes and the like percent-encoded.
#[must_use]
pub fn uri(space: &Space, kind: &str, id: Uuid) -> String {
    let mut uri = "aionis://".to_owned();
    for part in [space.tenant(), space.scope()] {
        for byte in part.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => {
                    uri.push(char::from(byte));
                }
                _ => write!(uri, "%{byte:02X}").expect("a string takes all that is written to it"),
            }
        }
        uri.push('/');
    }
    uri + kind + "/" + &id.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_four_parts_whatever_the_scope() {
        let id = Uuid::nil();
        for (scope, part) in [("default", "default"), ("team/repo", "team%2Frepo"), ("größe?#", "gr%C3%B6%C3%9Fe%3F%23")] {
            let space = Space::parse(Some("acme"), Some(scope)).unwrap();
            assert_eq!(uri(&space, "event", id), format!("aionis://acme/{part}/event/{id}"));
        }
    }

    #[test]
    fn nodes_of_different_parts_runs_steps_and_spaces_differ() {
        let (here, there) = (Space::default_space(), Space::parse(None, Some("there")).unwrap());
        let (run, step) = (RunId::parse("r").unwrap(), StepId::parse("s").unwrap());
        let mut nodes = Vec::new();
        for space in [&here, &there] {
            nodes.extend([Part::Run, Part::RunEnd].map(|part| Node::of_run(space, part, &run).id));
            nodes.extend([Part::Step, Part::StepResult].map(|part| Node::of_step(space, part, &run, &step).id));
        }
        nodes.push(Node::of_run(&here, Part::Run, &RunId::parse("q").unwrap()).id);
        nodes.push(Node::of_step(&here, Part::Step, &RunId::parse("rs").unwrap(), &StepId::parse("s").unwrap()).id);
        let all = nodes.len();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(nodes.len(), all);
    }
}
