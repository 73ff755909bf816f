//! The answers of the four recording routes.

use serde::Serialize;
use utoipa::ToSchema;

use crate::ids::Space;
use crate::runs::{Answered, Ended, Opened, Receipt, RunStatus, Started, StepStatus};

/// The answer of `run/start`.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartedView {
    /// Whose run it is.
    pub tenant_id: String,
    /// Whose run it is.
    pub scope: String,
    /// The client's, or a fresh one.
    pub run_id: String,
    /// Always `started`.
    pub status: &'static str,
    /// A UUID that follows from space and run id.
    pub run_node_id: String,
    /// `aionis://{tenant}/{scope}/event/{run_node_id}`.
    pub run_uri: String,
    /// The write.
    #[serde(flatten)]
    pub commit: CommitFields,
}

/// The answer of `step/before`.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenedView {
    /// Whose run it is.
    pub tenant_id: String,
    /// Whose run it is.
    pub scope: String,
    /// Of this run.
    pub run_id: String,
    /// The client's, or the one that follows from the content.
    pub step_id: String,
    /// As sent.
    pub step_index: u32,
    /// Always `pending`.
    pub status: &'static str,
    /// A UUID that follows from space, run and step.
    pub step_node_id: String,
    /// `aionis://{tenant}/{scope}/procedure/{step_node_id}`.
    pub step_uri: String,
    /// The write.
    #[serde(flatten)]
    pub commit: CommitFields,
}

/// The answer of `step/after`.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnsweredView {
    /// Whose run it is.
    pub tenant_id: String,
    /// Whose run it is.
    pub scope: String,
    /// Of this run.
    pub run_id: String,
    /// Of this step.
    pub step_id: String,
    /// As sent.
    pub status: StepStatus,
    /// As sent.
    pub repair_applied: bool,
    /// The same, under the name that older clients read.
    pub replay_fallback_triggered: bool,
    /// A UUID that follows from space, run and step.
    pub step_result_node_id: String,
    /// `aionis://{tenant}/{scope}/evidence/{step_result_node_id}`.
    pub step_result_uri: String,
    /// The write.
    #[serde(flatten)]
    pub commit: CommitFields,
}

/// The answer of `run/end`.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndedView {
    /// Whose run it is.
    pub tenant_id: String,
    /// Whose run it is.
    pub scope: String,
    /// This run.
    pub run_id: String,
    /// As sent.
    pub status: RunStatus,
    /// A UUID that follows from space and run id.
    pub run_end_node_id: String,
    /// `aionis://{tenant}/{scope}/event/{run_end_node_id}`.
    pub run_end_uri: String,
    /// The write.
    #[serde(flatten)]
    pub commit: CommitFields,
}

/// What every mutation answers of its write.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommitFields {
    /// A UUID that follows from space and hash; the same for a repeat.
    pub commit_id: String,
    /// `aionis://{tenant}/{scope}/commit/{commit_id}`.
    pub commit_uri: String,
    /// SHA-256 of what was written.
    pub commit_hash: String,
}

/// The answer of `run/start`.
#[must_use]
pub fn started(space: &Space, answer: &Started) -> StartedView {
    let (tenant_id, scope) = names(space);
    let (run_node_id, run_uri, commit) = written(&answer.receipt);
    StartedView { tenant_id, scope, run_id: answer.run_id.to_string(), status: "started", run_node_id, run_uri, commit }
}

/// The answer of `step/before`.
#[must_use]
pub fn opened(space: &Space, answer: &Opened) -> OpenedView {
    let (tenant_id, scope) = names(space);
    let (step_node_id, step_uri, commit) = written(&answer.receipt);
    let (run_id, step_id) = (answer.run_id.to_string(), answer.step_id.to_string());
    OpenedView { tenant_id, scope, run_id, step_id, step_index: answer.step_index, status: "pending", step_node_id, step_uri, commit }
}

/// The answer of `step/after`.
#[must_use]
pub fn answered(space: &Space, answer: &Answered) -> AnsweredView {
    let (tenant_id, scope) = names(space);
    let (step_result_node_id, step_result_uri, commit) = written(&answer.receipt);
    AnsweredView {
        tenant_id,
        scope,
        run_id: answer.run_id.to_string(),
        step_id: answer.step_id.to_string(),
        status: answer.status,
        repair_applied: answer.repair_applied,
        replay_fallback_triggered: answer.repair_applied,
        step_result_node_id,
        step_result_uri,
        commit,
    }
}

/// The answer of `run/end`.
#[must_use]
pub fn ended(space: &Space, answer: &Ended) -> EndedView {
    let (tenant_id, scope) = names(space);
    let (run_end_node_id, run_end_uri, commit) = written(&answer.receipt);
    EndedView { tenant_id, scope, run_id: answer.run_id.to_string(), status: answer.status, run_end_node_id, run_end_uri, commit }
}

fn names(space: &Space) -> (String, String) {
    (space.tenant().to_owned(), space.scope().to_owned())
}

fn written(receipt: &Receipt) -> (String, String, CommitFields) {
    let commit = CommitFields {
        commit_id: receipt.commit.id.to_string(),
        commit_uri: receipt.commit.uri.clone(),
        commit_hash: receipt.commit.hash.to_string(),
    };
    (receipt.node.id.to_string(), receipt.node.uri.clone(), commit)
}
