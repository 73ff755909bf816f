//! Recorded runs: what an agent did once, step by step, kept from outside while it worked.
//!
//! Its job: take each part of a run as a recorder sends it, keep it for good, and give the whole back. It
//! does not know what a playbook is, what a tool does, or who may record; a run is data.
//!
//! The rules that must stay true: what was acknowledged is flushed; what was written never changes; the
//! same request sent again is answered as the first time, and the same id with other content is refused.

mod compare;
mod export;
mod import;
mod list;
mod read;
mod receipt;
mod record;
mod recording;
mod request;
mod run;
mod saved;
mod settle;
#[cfg(test)]
mod tests;
pub mod view;

pub use list::{RunFilter, RunPage, RunState};
pub use receipt::{Answered, Commit, Ended, Node, Opened, Part, Receipt, Started, uri};
pub use recording::Recording;
pub use request::{RunEnd, RunStart, StepAfter, StepBefore, StepRef};
pub use run::{After, End, Run, RunStatus, RunSummary, SafetyLevel, Step, StepStatus};

use crate::error::{Code, Error};
use crate::ids::{RunId, Space};
use crate::store::Store;

/// Every recorded run of a store. Cheap to clone.
#[derive(Clone)]
pub struct Runs {
    store: Store,
}

impl Runs {
    /// On top of `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Runs { store }
    }
}

fn not_found(space: &Space, run_id: &RunId) -> Error {
    let (tenant, scope) = (space.tenant(), space.scope());
    Error::new(Code::ReplayRunNotFound, format!("no run {:?} in tenant {tenant:?}, scope {scope:?}", run_id.as_str()))
        .with_details(serde_json::json!({"run_id": run_id, "tenant_id": tenant, "scope": scope}))
}
