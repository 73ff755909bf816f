//! The recordings of a bundle: what is packed of them, and that compiling them again gives the very component.

use crate::bundles::{Bundle, Compiled, LearnedFrom, Origin, broken};
use crate::compiler::plan::Plan;
use crate::compiler::{self, Proof};
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::ids::{RunId, Space};
use crate::json::Json;
use crate::lifecycle::{ChangeKind, Compilation, Version};
use crate::runs::{Recording, Run};
use crate::sandbox::Sandbox;
use crate::tools::Registry;
use crate::{blocking, clock, limits};

impl Engine {
    /// The runs as files, and which they are where they were learned from together. What was compiled before the way was kept is
    /// tried without any.
    pub(super) async fn recordings_of(
        &self,
        space: &Space,
        version: &Version,
        compilation: &Compilation,
    ) -> Result<(Vec<Vec<u8>>, Vec<LearnedFrom>)> {
        let repaired = |other: &Version| other.component == version.component && other.made_by.kind == ChangeKind::Repaired;
        if self.versions(space, &version.playbook_id, None, limits::VERSIONS_LOOK_BACK)?.iter().any(repaired) {
            let message = "this version was repaired, and no recordings compile to it; upload its component where it is needed, or pack the version that was mended";
            return Err(Error::new(Code::NotCompilable, message));
        }
        let together = !compilation.source_runs.is_empty();
        let (runs, space, ids) = (self.sources.clone(), space.clone(), compilation.runs().to_vec());
        blocking::run(move || {
            let runs: Vec<Run> = ids.iter().map(|id| runs.get(&space, id)).collect::<Result<_>>()?;
            let learned = |run: &Run| LearnedFrom { run_id: run.run_id.clone(), began_ms: run.started_at_ms };
            let learned_from = if together { runs.iter().map(learned).collect() } else { Vec::new() };
            Ok((runs.iter().map(|run| written(&Recording::from(run))).collect(), learned_from))
        })
        .await
    }

    /// Compiles the recordings again: what comes of them must be the very component.
    pub(super) async fn recordings_shown(
        &self,
        space: &Space,
        bundle: &Bundle,
        plan: Option<&Plan>,
        tools: &Registry,
    ) -> Result<(Vec<Recording>, Option<Proof>, Option<Json>)> {
        let origin = match (&bundle.manifest.origin, bundle.recordings.is_empty()) {
            (Origin::Compiled(origin), false) => origin,
            (Origin::Compiled(_), true) => return Err(broken("recording", "is missing, and the playbook was compiled from one")),
            (Origin::Uploaded {} | Origin::Graph { .. }, false) => {
                return Err(broken("recording", "the playbook was compiled from none"));
            }
            (Origin::Graph { .. }, true) if plan.is_none() => {
                return Err(broken("plan", "is missing, and the playbook was compiled from a graph"));
            }
            (Origin::Uploaded {} | Origin::Graph { .. }, true) => return Ok((Vec::new(), None, None)),
        };
        let texts = bundle.recordings.clone();
        let recordings = blocking::run(move || texts.iter().map(|text| read(text)).collect::<Result<Vec<Recording>>>()).await?;
        let named: Vec<&RunId> = match origin.learned_from.first() {
            None => vec![&origin.run_id],
            Some(first) if first.run_id != origin.run_id => {
                return Err(broken("manifest", "names another run first than those that the playbook was learned from"));
            }
            Some(_) => origin.learned_from.iter().map(|run| &run.run_id).collect(),
        };
        if named.len() != recordings.len() {
            return Err(broken("recording", format!("there are {}, and the playbook was compiled from {}", recordings.len(), named.len())));
        }
        for (recording, named) in recordings.iter().zip(named) {
            if recording.run_id() != named {
                return Err(broken("recording", format!("is of run {}, and the playbook of run {named}", recording.run_id())));
            }
        }
        let what = if recordings.len() == 1 { "the recording" } else { "the recordings" };
        let made = self.recompiled(space, &recordings, origin, tools).await.map_err(|e| e.at(what))?;
        if made.digest != bundle.manifest.component {
            let component = bundle.manifest.component;
            let why = format!("compiles to component {}, not to {component}{}", made.digest, difference(&made.plan, plan));
            return Err(broken("recording", why));
        }
        for recording in &recordings {
            self.runs.could_import(space, recording)?;
        }
        Ok((recordings, Some(made.proof), Some(made.summary)))
    }

    /// As it was compiled: of one run, or of several together.
    async fn recompiled(&self, space: &Space, recordings: &[Recording], origin: &Compiled, tools: &Registry) -> Result<compiler::Compiled> {
        let _place = self.admission().await;
        let began = origin.learned_from.iter().map(|run| run.began_ms).chain(std::iter::repeat(clock::now_ms()));
        let runs: Vec<Run> = recordings.iter().zip(began).map(|(recording, began)| recording.as_run(space, began)).collect();
        let (options, tools, together) = (origin.options.clone(), tools.clone(), !origin.learned_from.is_empty());
        let handle = tokio::runtime::Handle::current();
        blocking::run(move || {
            let sandbox = Sandbox::new(None)?;
            match runs.as_slice() {
                [run] if !together => handle.block_on(compiler::compile(&sandbox, &tools, run, &options)),
                runs => handle.block_on(compiler::compile_runs(&sandbox, &tools, runs, &options)).map(|learned| learned.compiled),
            }
        })
        .await
    }
}

fn read(text: &[u8]) -> Result<Recording> {
    let recording = Recording::read(text).map_err(|e| Error { code: Code::BundleBroken, ..e.at("recording") })?;
    match written(&recording) == text {
        true => Ok(recording),
        false => Err(broken("recording", "is not written as `reprise pack` writes it")),
    }
}

/// Names the first step in which two plans differ.
fn difference(made: &Plan, given: Option<&Plan>) -> String {
    let Some(given) = given else { return String::new() };
    if made.plan_version != given.plan_version {
        let (made, given) = (made.plan_version, given.plan_version);
        return format!(
            "; its plan is of version {given}, and this version of reprise makes version {made}: pack it again where it was packed"
        );
    }
    let steps = made.steps().zip(given.steps()).find(|(made, given)| made != given);
    match steps {
        Some((made, given)) if made.tool != given.tool => {
            format!("; at step {} it calls {}, the playbook {}", made.id, made.tool, given.tool)
        }
        Some((made, given)) => {
            format!("; at step {} it calls {} with {}, the playbook with {}", made.id, made.tool, made.input, given.input)
        }
        None if made.steps().count() != given.steps().count() => {
            format!("; it has {} steps, the playbook {}", made.steps().count(), given.steps().count())
        }
        None => "; the steps are the same, and input or output is not".to_owned(),
    }
}

fn written(recording: &Recording) -> Vec<u8> {
    let mut text = Vec::new();
    recording.write(&mut text).expect("a vector takes everything");
    text
}
