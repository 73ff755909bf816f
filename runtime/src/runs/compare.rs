//! Tells a repeat from a contradiction: what was sent must be what is stored.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Runs;
use super::request::{RunEnd, RunStart, StepAfter, StepBefore};
use super::saved;
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, RunId, Space, StepId};

/// Each gives `id_conflict` where it is not.
impl Runs {
    pub(super) fn same_start(&self, space: &Space, run_id: &RunId, stored: &[u8], sent: &RunStart) -> Result<()> {
        let run = saved::decode::<saved::Start>(stored, "a run")?.load(&self.store, space, run_id, Digest::ZERO)?;
        same(&format!("run {:?} was started", run_id.as_str()), run.as_start().content(), sent.content())
    }

    pub(super) fn same_step(&self, step_id: &StepId, stored: &[u8], sent: &StepBefore) -> Result<()> {
        let step = self.step_of(step_id.clone(), stored)?;
        same(&format!("step {:?} was recorded", step_id.as_str()), step.as_before(&sent.run_id).content(), sent.content())
    }

    pub(super) fn same_result(&self, step_id: &StepId, stored: &[u8], sent: &StepAfter) -> Result<()> {
        let after = saved::decode::<saved::After>(stored, "a step's result")?.load(&self.store, Digest::ZERO)?;
        let what = format!("the result of step {:?} was recorded", step_id.as_str());
        same(&what, after.as_after(&sent.run_id, step_id).content(), sent.content())
    }

    pub(super) fn same_end(&self, run_id: &RunId, stored: &saved::End, sent: &RunEnd) -> Result<()> {
        let end = stored.clone().load(&self.store, Digest::ZERO)?;
        same(&format!("run {:?} was ended", run_id.as_str()), end.as_end(run_id).content(), sent.content())
    }
}

/// What was sent must be what is stored.
fn same(what: &str, stored: Value, sent: Value) -> Result<()> {
    if stored == sent {
        return Ok(());
    }
    let names = |content: &Value| content.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    let all: BTreeSet<String> = [names(&stored), names(&sent)].into_iter().flat_map(|names: Vec<String>| names).collect();
    let differing: Vec<String> = all.into_iter().filter(|name| stored.get(name) != sent.get(name)).collect();
    Err(Error::new(Code::IdConflict, format!("{what} before with other content; it differs in {}", differing.join(", ")))
        .with_details(json!({"stored": stored, "sent": sent})))
}
