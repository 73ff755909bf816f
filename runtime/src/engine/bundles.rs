//! Bundles: pack a playbook with what it needs, and take one in once it has shown what it says.
//!
//! Whatever stands in a bundle is checked before anything of it is kept: components as with an upload, the plan against the
//! code, the recording by compiling it again, evidence as by `verify`. Packing ends with the same checks, so that nothing is
//! handed on that would be refused. Then blobs are written, the recording, the tools, and the version last: where the process
//! dies in between, the playbook is not there, what is there is whole, and installing again brings the rest.

mod recordings;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::permissions::asks_in;
use super::{Engine, ImportLine, Standing, ToolComponentView};
use crate::bundles::{Bundle, Compiled, Component, Home, LearnedFrom, Manifest, Origin, Tool, broken};
use crate::clock;
use crate::compiler::emit::Explained;
use crate::compiler::plan::Plan;
use crate::compiler::{self, Proof};
use crate::contract::{Effect, Namespace, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::evidence;
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::json::Json;
use crate::lifecycle::{self, Added, Compilation, NewVersion, Provenance, Version};
use crate::runs::Recording;
use crate::sandbox::{Imports, Provider, Sandbox};
use crate::tools::asks::Asks;
use crate::tools::{ComponentAdded, Registry};
use crate::{blocking, limits};

/// What installing a bundle comes to, or would come to.
#[derive(Debug, Clone, Serialize)]
pub struct Installation {
    /// True where nothing was kept.
    pub dry_run: bool,
    /// What packed the bundle.
    pub made_by: String,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// For people.
    pub name: String,
    /// Its number here.
    pub version: u32,
    /// True where the same content had made it before.
    pub repeated: bool,
    /// How it stands beside the version that runs; none where nothing was kept.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// By which the version is the same everywhere.
    pub content_digest: Digest,
    /// SHA-256 of the playbook's component.
    pub component_digest: Digest,
    /// `plan`: its code is exactly what the plan in the bundle compiles to. `none`: it was written by hand or elsewhere.
    pub explained_by: &'static str,
    /// What the recording showed; none where there is none, and the playbook is taken as an upload is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The recorded run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// All recorded runs, where it was learned from several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_runs: Vec<String>,
    /// Every import of the playbook, and what it allows.
    pub imports: Vec<ImportLine>,
    /// Directories by the grant name under which the plan expects them, with `ro` or `rw`. A bundle grants nothing.
    pub grants_needed: BTreeMap<String, &'static str>,
    /// The tool components in the bundle.
    pub tools: Vec<ToolComponentView>,
    /// The playbooks that it starts, and whether each is here. They are in no bundle but their own.
    pub starts: BTreeMap<String, bool>,
    /// The jobs whose evidence is in the bundle and holds together. It stays there.
    pub evidence: Vec<EvidenceLine>,
}

/// Evidence that holds together.
#[derive(Debug, Clone, Serialize)]
pub struct EvidenceLine {
    /// The job.
    pub job_id: JobId,
    /// Where it stood.
    pub status: String,
    /// How many entries its journal has.
    pub entries: u64,
    /// The key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// A bundle that showed what it says.
struct Shown {
    new: NewVersion,
    recordings: Vec<Recording>,
    components: Vec<(Component, ComponentAdded, Provider)>,
    installation: Installation,
}

impl Engine {
    /// A playbook version with the tool components that it needs, its plan, its recording, and the evidence of these jobs of it.
    /// Grants and secrets are never part of it. The same version gives the same bundle.
    ///
    /// # Errors
    /// `replay_playbook_not_found`, `job_not_found`, `secret_in_bundle`, `tool_not_found` for a tool that is not here, and all that
    /// [`Engine::install`] would refuse it with.
    pub async fn pack(&self, space: &Space, id: &PlaybookId, version: Option<u32>, jobs: &[JobId]) -> Result<(Bundle, Installation)> {
        let version = self.playbook(space, id, version)?;
        let component = self.component(version.component).await?;
        let plan = match self.explained(version.component).await? {
            Explained::ByPlan(plan) => Some(plan),
            Explained::Falsely(fault) => return Err(false_plan(&fault)),
            Explained::Not => None,
        };
        let imports = self.linked(component.clone(), &self.tools).await?;
        let (tools, components) = self.needed(&imports)?;
        let mut bytes = Vec::new();
        for component in &components {
            bytes.push(self.component(component.digest).await?);
        }
        let (recordings, learned_from) = match &version.origin {
            lifecycle::Origin::Compiled(compilation) => self.recordings_of(space, &version, compilation).await?,
            lifecycle::Origin::Uploaded | lifecycle::Origin::Graph { .. } => (Vec::new(), Vec::new()),
        };
        let origin = origin(&version, learned_from);
        let manifest = Manifest {
            bundle_version: Manifest::form(&origin),
            made_by: made_by(),
            playbook_id: version.playbook_id.clone(),
            name: version.name.clone(),
            content: version.content(),
            component: version.component,
            origin,
            tools,
            components,
            starts: plan.iter().flat_map(|plan| plan.playbooks()).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect(),
        };
        let plan = plan.map(|plan| plan.to_json());
        let evidence = self.packed_evidence(space, jobs).await?;
        let bundle = Bundle { manifest, component, components: bytes, plan, recordings, evidence };
        let (secrets, bundle) = (self.secrets.known(), bundle);
        let bundle = blocking::run(move || {
            for (place, text) in bundle.texts() {
                if matches!(secrets.scrubber().bytes(&text), std::borrow::Cow::Owned(_)) {
                    let why = "holds the value of a secret that is set here, and a bundle is for others";
                    return Err(Error::new(Code::SecretInBundle, format!("{place} {why}; record it again without, or set another value")));
                }
            }
            Ok(bundle)
        })
        .await?;
        let shown = self.shown(space, &bundle).await.map_err(|e| e.at("it could not be installed"))?;
        Ok((bundle, shown.installation))
    }

    /// Takes in a bundle once everything that it says of itself is shown, or says what would happen. Installing it again changes
    /// nothing.
    ///
    /// # Errors
    /// `bundle_broken` that names the place, `imports_unsatisfied` that lists what is not here, `evidence_broken`, `not_compilable`,
    /// `id_conflict` or `run_ended` where a run of the recording's id says something else; else as [`Engine::upload`] and [`Engine::upload_tools`].
    pub async fn install(&self, space: &Space, bundle: Bundle, dry_run: bool) -> Result<Installation> {
        let Shown { new, recordings, components, mut installation } = self.shown(space, &bundle).await?;
        if dry_run {
            return Ok(installation);
        }
        self.keep(bundle.component).await?;
        for bytes in bundle.components {
            self.keep(bytes).await?;
        }
        let began: Vec<u64> = match &bundle.manifest.origin {
            Origin::Compiled(compiled) => compiled.learned_from.iter().map(|run| run.began_ms).collect(),
            Origin::Uploaded {} | Origin::Graph { .. } => Vec::new(),
        };
        for (recording, began) in recordings.into_iter().zip(began.into_iter().chain(std::iter::repeat(clock::now_ms()))) {
            self.runs.import_of(space, recording, began).await?;
        }
        installation.tools.clear();
        for (component, foreseen, provider) in components {
            let bytes = foreseen.version.component_bytes;
            let added = self.components.add(Some(&component.namespace), component.digest, bytes, provider).await?;
            installation.tools.push(self.added_view(&added)?);
        }
        let Added { version, repeated } = self.add(space, new).await?;
        let standing = Some(self.standing(space, &version).await?);
        Ok(Installation { dry_run: false, version: version.version, repeated, standing, ..installation })
    }

    /// Checks everything, and keeps nothing.
    async fn shown(&self, space: &Space, bundle: &Bundle) -> Result<Shown> {
        let manifest = &bundle.manifest;
        bundle.names_its_components()?;
        // The tools as they will be, without anybody here seeing them yet.
        let tools = self.tools.apart();
        let components = self.foreseen(bundle, &tools).await?;
        are_here(manifest, &tools)?;
        let imports = self.linked(bundle.component.clone(), &tools).await.map_err(|e| e.at("the playbook"))?;
        let imported: BTreeSet<&ToolId> = imports.tools.iter().collect();
        if !manifest.tools.iter().map(|tool| &tool.id).eq(imported.iter().copied()) {
            return Err(broken("manifest", "its list of tools is not what the playbook imports"));
        }
        let plan = self.plan_shown(bundle, &tools).await?;
        let (recordings, proof, summary) = self.recordings_shown(space, bundle, plan.as_ref(), &tools).await?;
        let evidence = evidence_shown(bundle).await?;
        let new = new_version(bundle, summary, asks_in(&imports))?;
        if new.digest() != manifest.content {
            return Err(broken("manifest", format!("the version's content is {}, and it says {}", new.digest(), manifest.content)));
        }
        let (version, repeated) = self.playbooks.foresee(space, &new)?;
        let starts: BTreeSet<&str> = plan.as_ref().map(Plan::playbooks).into_iter().flatten().collect();
        if !manifest.starts.iter().map(String::as_str).eq(starts.iter().copied()) {
            return Err(broken("manifest", "its list of playbooks that are started is not the plan's"));
        }
        let is_here = |id: &str| PlaybookId::parse(id).is_ok_and(|id| self.playbook(space, &id, None).is_ok());
        let installation = Installation {
            dry_run: true,
            made_by: manifest.made_by.clone(),
            playbook_id: manifest.playbook_id.clone(),
            name: manifest.name.clone(),
            version,
            repeated,
            standing: None,
            content_digest: manifest.content,
            component_digest: manifest.component,
            explained_by: if plan.is_some() { "plan" } else { "none" },
            proof,
            run_id: recordings.first().map(|recording| recording.run_id().to_string()),
            source_runs: if recordings.len() > 1 { recordings.iter().map(|one| one.run_id().to_string()).collect() } else { Vec::new() },
            imports: super::inspect::import_lines(&imports, &tools),
            grants_needed: plan.as_ref().map(super::inspect::grants_needed).unwrap_or_default(),
            tools: components.iter().map(|(_, added, _)| self.added_view(added)).collect::<Result<_>>()?,
            starts: starts.into_iter().map(|id| (id.to_owned(), is_here(id))).collect(),
            evidence,
        };
        Ok(Shown { new, recordings, components, installation })
    }

    /// Reads, links and starts each tool component as an upload does, and has `tools` call those that would become active.
    async fn foreseen(&self, bundle: &Bundle, tools: &Registry) -> Result<Vec<(Component, ComponentAdded, Provider)>> {
        let named = &bundle.manifest.components;
        if !named.is_sorted_by(|a, b| a.namespace < b.namespace) {
            return Err(broken("manifest", "its tool components are not sorted, or two have one namespace"));
        }
        let mut foreseen = Vec::new();
        for (component, bytes) in named.iter().zip(&bundle.components) {
            let place = format!("the tools {}/…", component.namespace);
            let _place = self.admission().await;
            let (sandbox, digest, size, bytes) = (self.sandbox.clone(), component.digest, bytes.len() as u64, bytes.clone());
            let provider = blocking::run(move || sandbox.load_provider(&digest, || Ok(bytes))).await.map_err(|e| e.at(&place))?;
            let added = self.components.foresee(Some(&component.namespace), digest, size, &provider, tools).await;
            foreseen.push((component.clone(), added.map_err(|e| e.at(&place))?, provider));
        }
        Ok(foreseen)
    }

    /// Links the playbook to these tools and starts it once, beside everything that is kept of playbooks that are here.
    async fn linked(&self, component: Vec<u8>, tools: &Registry) -> Result<Imports> {
        let _place = self.admission().await;
        let tools = tools.clone();
        let (sandbox, playbook) = blocking::run(move || {
            let sandbox = Sandbox::new(None)?;
            let playbook = sandbox.load(&Digest::of(&component), |tool| tools.contains(tool), || Ok(component))?;
            Ok::<_, Error>((sandbox, playbook))
        })
        .await?;
        sandbox.try_start(&playbook).await?;
        Ok(playbook.imports().clone())
    }

    /// The plan that is the component's code, and no other.
    async fn plan_shown(&self, bundle: &Bundle, tools: &Registry) -> Result<Option<Plan>> {
        let (component, tools) = (bundle.component.clone(), tools.clone());
        let plan = match blocking::run(move || compiler::explain(&component, &tools)).await {
            Explained::ByPlan(plan) => Some(*plan),
            Explained::Falsely(fault) => return Err(false_plan(&fault)),
            Explained::Not => None,
        };
        match (&plan, &bundle.plan) {
            (Some(plan), Some(given)) if plan.to_json() == *given => {}
            (None, None) => {}
            (Some(_), Some(_)) => return Err(broken("plan", "is not the one that the component was made of")),
            (Some(_), None) => return Err(broken("plan", "is missing, and the component was made of one")),
            (None, Some(_)) => return Err(broken("plan", "the component was made of none")),
        }
        Ok(plan)
    }

    /// What the playbook calls, and the components that provide it.
    fn needed(&self, imports: &Imports) -> Result<(Vec<Tool>, Vec<Component>)> {
        let mut components = BTreeMap::new();
        let mut tools = Vec::new();
        for id in imports.tools.iter().collect::<BTreeSet<_>>() {
            let namespace = id.in_namespace();
            let from = if id.is_external() {
                Home::Outside
            } else if self.tools.has_built(&namespace) {
                Home::Builtin
            } else {
                components.insert(namespace.clone(), self.components.get(&namespace, None)?.component);
                Home::Bundle
            };
            tools.push(Tool { id: id.clone(), effect: effect(&self.tools, id), from });
        }
        let component = |(namespace, digest): (Namespace, Digest)| Component { namespace, digest };
        Ok((tools, components.into_iter().map(component).collect()))
    }

    async fn packed_evidence(&self, space: &Space, jobs: &[JobId]) -> Result<Vec<Vec<u8>>> {
        if jobs.len() > limits::BUNDLE_EVIDENCE_MAX {
            return Err(Error::new(Code::TooLarge, format!("evidence of at most {} jobs goes along", limits::BUNDLE_EVIDENCE_MAX)));
        }
        let mut packed = Vec::new();
        for job in jobs.iter().copied().collect::<BTreeSet<_>>() {
            let (store, space, signer) = (self.store.clone(), space.clone(), self.signer.clone());
            let bundle = blocking::run(move || evidence::export_as_of_its_end(&store, &space, &job, signer.as_ref())).await?;
            packed.push(bundle.to_bytes());
        }
        Ok(packed)
    }

    fn added_view(&self, added: &ComponentAdded) -> Result<ToolComponentView> {
        let view = self.component_view(&added.version, added.active_asks.as_ref())?;
        Ok(ToolComponentView { repeated: added.repeated, ..view })
    }
}

fn made_by() -> String {
    format!("reprise {}", env!("CARGO_PKG_VERSION"))
}

fn false_plan(fault: &str) -> Error {
    broken("component", format!("it carries a plan that is not what it does: {fault}"))
}

fn effect(tools: &Registry, id: &ToolId) -> Effect {
    tools.get(id).map_or(Effect::Once, |info| info.effect)
}

/// Every tool that the bundle names is here, or comes with it, and is what the plan was made for.
fn are_here(manifest: &Manifest, tools: &Registry) -> Result<()> {
    let mut issues = Vec::new();
    for tool in &manifest.tools {
        let lack = |message: String| Some(Issue { path: tool.id.import_name(), message });
        let is_built = tools.has_built(&tool.id.in_namespace());
        let issue = match tool.from {
            Home::Outside if tool.id.is_external() => None,
            Home::Outside => lack("is said to be done outside, and only agent/… is".to_owned()),
            _ if !tools.contains(&tool.id) => lack(match tool.from {
                Home::Builtin => "this version of Reprise has no such tool".to_owned(),
                _ => "the component that is active here, or comes with the bundle, has no such tool".to_owned(),
            }),
            Home::Builtin if !is_built => lack("is said to be built in, and is not".to_owned()),
            Home::Bundle if is_built => lack("is said to come with the bundle, and is built in here".to_owned()),
            _ => None,
        };
        let now = effect(tools, &tool.id);
        let other = || lack(format!("is {now} here, and the playbook was made for one that is {}", tool.effect));
        issues.extend(issue.or_else(|| if now == tool.effect { None } else { other() }));
    }
    if issues.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = issues.iter().map(|issue| format!("{} {}", issue.path, issue.message)).collect();
    Err(Error::new(Code::ImportsUnsatisfied, format!("the playbook cannot be linked here: {}", each.join("; "))).with_issues(issues))
}

async fn evidence_shown(bundle: &Bundle) -> Result<Vec<EvidenceLine>> {
    let mut shown = Vec::new();
    for (n, bytes) in bundle.evidence.iter().enumerate() {
        let place = format!("evidence {}", n + 1);
        let bytes = bytes.clone();
        let manifest = blocking::run(move || evidence::verify(&bytes, None)).await.map_err(|e| e.at(&place))?.manifest;
        if manifest.component != bundle.manifest.component {
            return Err(broken(&place, format!("job {} ran component {}, not this playbook", manifest.job_id, manifest.component)));
        }
        let evidence::Manifest { job_id, status, entries, signed_by, .. } = manifest;
        shown.push(EvidenceLine { job_id, status: status.to_string(), entries, signed_by });
    }
    match shown.is_sorted_by(|a, b| a.job_id < b.job_id) {
        true => Ok(shown),
        false => Err(broken("bundle", "its evidence is not sorted by job, or has one job twice")),
    }
}

fn origin(version: &Version, learned_from: Vec<LearnedFrom>) -> Origin {
    match &version.origin {
        lifecycle::Origin::Uploaded => Origin::Uploaded {},
        lifecycle::Origin::Graph { digest } => Origin::Graph { digest: *digest },
        lifecycle::Origin::Compiled(made) => Origin::Compiled(Box::new(Compiled {
            run_id: made.run_id.clone(),
            learned_from,
            options: made.options.clone().unwrap_or_default(),
            matchers: made.matchers.clone(),
            success_criteria: made.success_criteria.clone(),
            risk_profile: made.risk_profile.clone(),
            metadata: made.metadata.clone(),
        })),
    }
}

fn new_version(bundle: &Bundle, summary: Option<Json>, asks: Asks) -> Result<NewVersion> {
    let manifest = &bundle.manifest;
    let origin = match (&manifest.origin, summary) {
        (Origin::Uploaded {}, _) => lifecycle::Origin::Uploaded,
        (Origin::Graph { digest }, _) => lifecycle::Origin::Graph { digest: *digest },
        (Origin::Compiled(made), Some(summary)) => lifecycle::Origin::Compiled(Box::new(Compilation {
            run_id: made.run_id.clone(),
            source_runs: made.learned_from.iter().map(|run| run.run_id.clone()).collect(),
            summary,
            matchers: made.matchers.clone(),
            success_criteria: made.success_criteria.clone(),
            risk_profile: made.risk_profile.clone(),
            metadata: made.metadata.clone(),
            mended: None,
            options: Some(made.options.clone()),
        })),
        (Origin::Compiled(_), None) => return Err(broken("recording", "is missing, and the playbook was compiled from one")),
    };
    Ok(NewVersion {
        playbook_id: manifest.playbook_id.clone(),
        wanted: None,
        name: manifest.name.clone(),
        component: manifest.component,
        component_bytes: bundle.component.len() as u64,
        provenance: Provenance::of(&origin),
        origin,
        asks,
        by: None,
    })
}
