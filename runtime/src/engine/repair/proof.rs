//! What the known recordings say of a mended playbook, and what a model is asked of one.

use serde_json::{Value, json};

use super::Mendable;
use crate::compiler::diff::PlanDiff;
use crate::compiler::patch::{Base, Patch};
use crate::compiler::plan::Plan;
use crate::compiler::rehearse::{self, Held, Leeway, Recording, Rehearsed, Subject, Touched};
use crate::compiler::{self, Bindings, Options};
use crate::contract::ToolId;
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, RunId, Space};
use crate::json::Json;
use crate::lifecycle::Version;
use crate::planner;
use crate::{blocking, limits};

impl Engine {
    /// The recordings that a version comes from, and `more`; those that are gone are passed over.
    pub(in crate::engine) async fn recordings(
        &self,
        space: &Space,
        version: &Version,
        more: Option<&RunId>,
        options: &Options,
    ) -> Result<Vec<Recording>> {
        let mut ids = version.provenance.source_runs.clone();
        ids.extend(more.filter(|run| !ids.contains(run)).cloned().into_iter().collect::<Vec<_>>());
        // The newest ones say most of how things are.
        let ids: Vec<RunId> = ids.into_iter().rev().take(limits::PROOF_RECORDINGS_MAX).rev().collect();
        let (runs, tools, space, options) = (self.sources.clone(), self.tools.clone(), space.clone(), options.clone());
        blocking::run(move || {
            let bindings = Bindings::builtin(&tools).extended(&options.bindings, &options.roots)?;
            let mut recordings = Vec::new();
            for id in &ids {
                match runs.get(&space, id) {
                    Ok(run) => recordings.push(Recording::of(&run, &bindings)),
                    Err(e) if e.code == Code::ReplayRunNotFound => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(recordings)
        })
        .await
    }

    /// Runs a component on a recording; nothing is touched. `leeway` names the steps that may do otherwise; none: all.
    pub(in crate::engine) async fn rehearsed(
        &self,
        subject: &Subject,
        input: Json,
        recording: &Recording,
        leeway: Option<std::collections::BTreeSet<String>>,
    ) -> Result<Rehearsed> {
        let _place = self.admission().await;
        let (sandbox, tools) = (self.sandbox.clone(), self.tools.clone());
        let (subject, recording) = (subject.clone(), recording.clone());
        let handle = tokio::runtime::Handle::current();
        blocking::run(move || {
            let provides = |tool: &ToolId| tools.get(tool).is_some();
            let may = |step: &str| leeway.as_ref().is_some_and(|steps| steps.contains(step));
            let leeway = if leeway.is_some() { Leeway::Of(&may) } else { Leeway::All };
            handle.block_on(rehearse::rehearse(&sandbox, provides, &subject, &input, &recording, leeway))
        })
        .await
    }

    /// What each known recording says of `plan`, which `diff` tells from the one before.
    pub(super) async fn proof(
        &self,
        space: &Space,
        mendable: &Mendable,
        run: Option<&RunId>,
        plan: &Plan,
        subject: Subject,
        diff: &PlanDiff,
    ) -> Result<Vec<Held>> {
        let options = mendable.compilation.options.clone().unwrap_or_default();
        let mut proof = Vec::new();
        for recording in self.recordings(space, &mendable.version, run, &options).await? {
            let (_, held) = self.held(&subject, plan, &recording, diff).await?;
            proof.push(held);
        }
        Ok(proof)
    }

    /// What one recording says of `plan`, and what was done on it.
    pub(super) async fn held(&self, subject: &Subject, plan: &Plan, recording: &Recording, diff: &PlanDiff) -> Result<(Rehearsed, Held)> {
        let touched = diff.touched();
        let rehearsed = self.rehearsed(subject, recording.input_of(plan), recording, Some(touched.clone())).await?;
        let output = diff.fields.iter().any(|field| field.at.split('/').next() == Some("output"));
        let held = rehearse::held(recording, &rehearsed, &Touched { steps: &touched, removes: !diff.removed().is_empty(), output });
        Ok((rehearsed, held))
    }

    /// Asks the configured endpoint for a patch. What comes back is held against all that a patch is held against, and is
    /// applied by nobody but a review.
    ///
    /// # Errors
    /// `invalid_request` where none is configured; `planner_failed`, `planner_unavailable`.
    pub(super) async fn proposal(&self, space: &Space, mendable: &Mendable, job: Option<JobId>, context: &Json) -> Result<(Value, Json)> {
        let settings = self.config.planner.as_ref().and_then(crate::config::PlannerSettings::chat).ok_or_else(|| {
            let message = "no chat endpoint is configured: a proposal needs [planner] with kind = \"chat\" in reprise.toml";
            Error::invalid("/propose", message)
        })?;
        let _place = self.planners.acquire().await.expect("it is never closed");
        let packet = match job {
            None => Value::Null,
            Some(job) => serde_json::to_value(self.repair_packet(space, &job).await?).expect("a packet has string keys only"),
        };
        let shown = self.steps(space, &mendable.version).await?;
        let told = json!({
            "goal": mendable.plan.goal, "packet": packet, "context": context.value(), "plan": mendable.plan.to_json().value(),
            "steps_template": shown,
        });
        // A packet and a context come from elsewhere than the recordings, and all of it leaves this place.
        let told = compiler::hidden(self.sources.clean(told));
        let (plan, steps) = (&mendable.plan, &mendable.shown);
        let overlay = mendable.compilation.mended.as_ref().map(|mended| mended.steps.clone()).unwrap_or_default();
        let options = mendable.compilation.options.clone().unwrap_or_default();
        let bindings = Bindings::builtin(&self.tools).extended(&options.bindings, &options.roots)?;
        let judge = |patch: &Value| {
            Patch::parse(patch, "/patch")?
                .apply(&Base { plan, shown: steps, overlay: &overlay, recorded: false }, &bindings, &self.tools)
                .map(drop)
        };
        planner::propose(&told, settings, &judge).await
    }
}
