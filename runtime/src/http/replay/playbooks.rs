//! `/v1/memory/replay/playbooks/...`: a run compiled, a playbook read, a playbook judged.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::requests;
use crate::clock::rfc3339;
use crate::compiler::cautions::SecretUse;
use crate::compiler::{Compiled, Dropped, Proof};
use crate::engine::{Engine, GrantProposalView, ImportLine, Standing, StepTemplate};
use crate::error::{Code, Result};
use crate::http::bearer;
use crate::http::body::Posted;
use crate::http::openapi::{self, Field, Kind, field, required, words};
use crate::http::route::{Gives, Route, Takes};
use crate::http::view;
use crate::ids::{RunId, Space};
use crate::lifecycle::{Origin, Review, Status, Version};
use crate::runs::view::CommitFields;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/memory/replay/playbooks/compile_from_run",
            compile_from_run,
            "replay_playbooks_compile_from_run",
            "Compiles a run into a playbook version, proved against the run.",
        )
        .takes(Takes::Json(compile_fields()))
        .gives(200, "The version was made, now or by the same request before.", Gives::Json(openapi::of::<CompiledView>))
        .fails(&[
            Code::InvalidRequest,
            Code::InvalidConfiguration,
            Code::ReplayCompileRequiresSuccessfulRun,
            Code::ReplayCompileNoSteps,
            Code::ReplayRunNotFound,
            Code::IdConflict,
            Code::Contended,
            Code::NotCompilable,
            Code::OperatorTokenWrong,
        ]),
        Route::post(
            "/v1/memory/replay/playbooks/get",
            get,
            "replay_playbooks_get",
            "The newest version of a playbook, and which one runs.",
        )
        .takes(Takes::Json(vec![required("playbook_id", Kind::Id, "The playbook.")]))
        .gives(200, "The playbook.", Gives::Json(openapi::of::<GetView>))
        .fails(&[Code::InvalidRequest, Code::ReplayPlaybookNotFound]),
    ]
}

async fn compile_from_run(
    State(engine): State<Engine>,
    headers: HeaderMap,
    Posted { space, body, .. }: Posted,
) -> Result<Json<CompiledView>> {
    let all = bearer::is_operator(&engine, &headers)?;
    let made = engine.compile_from_run(&space, requests::compile(&body)?).await?;
    let grants_proposed = made.proposals.iter().map(|proposal| proposal.view(all)).collect();
    let replaces = Replaces::of(&made.replaces);
    let view = CompiledView::of(&engine, &space, made.version, made.compiled, grants_proposed).await?;
    Ok(Json(CompiledView { replaces, ..view }))
}

async fn get(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Json<GetView>> {
    let (version, active_version) = engine.newest_playbook(&space, &requests::get(&body)?)?;
    let steps_template = engine.steps(&space, &version).await?;
    let playbook = PlaybookFields::of(&space, &version, active_version, steps_template);
    Ok(Json(GetView { tenant_id: space.tenant().to_owned(), scope: space.scope().to_owned(), playbook }))
}

/// The answer of `playbooks/compile_from_run`.
#[derive(Serialize, ToSchema)]
pub(super) struct CompiledView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// The client's, or the one that follows from the run.
    playbook_id: String,
    /// The version that was made.
    version: u32,
    /// Always `draft`.
    status: Status,
    /// The run.
    source_run_id: Option<String>,
    /// A UUID that follows from space, playbook and version.
    playbook_node_id: String,
    /// `aionis://{tenant}/{scope}/procedure/{playbook_node_id}`.
    playbook_uri: String,
    /// The compiler's report, in Aionis' fields and ours.
    #[schema(value_type = Object)]
    compile_summary: Value,
    /// What a language model used: none is asked.
    usage: Usage,
    /// SHA-256 of the component.
    digest: String,
    /// What a job's input must hold.
    parameters: Vec<ParameterView>,
    /// JSON Schema of a job's input.
    #[schema(value_type = Object)]
    input_schema: Value,
    /// Every import, and what it allows. There is nothing else.
    imports: Vec<ImportLine>,
    /// Recorded steps that are not part of the playbook, and why.
    dropped: Vec<Dropped>,
    /// What running it against the recording showed.
    proof: Proof,
    /// Secrets that the steps name: where each stands, and who puts it in. Not known to Aionis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretUse>,
    /// The narrowest grants that cover what the run did.
    grants_proposed: Vec<GrantProposalView>,
    /// What the playbook had learned and this version, made of one run, has nothing of. Not known to Aionis.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<Replaces>,
    #[serde(flatten)]
    standing: Standing,
    #[serde(flatten)]
    commit: CommitFields,
}

/// A version that was learned from several runs, and that one of a single run came after.
#[derive(Serialize, ToSchema)]
pub(super) struct Replaces {
    /// The runs that it was learned from.
    source_runs: Vec<String>,
    /// How to keep what they taught.
    note: &'static str,
}

impl Replaces {
    fn of(runs: &[RunId]) -> Option<Replaces> {
        const NOTE: &str = "this version is made of its one run alone; compile_from_runs with the same playbook_id takes these runs along";
        (!runs.is_empty()).then(|| Replaces { source_runs: runs.iter().map(ToString::to_string).collect(), note: NOTE })
    }
}

impl CompiledView {
    pub(super) async fn of(
        engine: &Engine,
        space: &Space,
        version: Version,
        compiled: Compiled,
        grants_proposed: Vec<GrantProposalView>,
    ) -> Result<CompiledView> {
        let (playbook_node_id, playbook_uri) = view::node(space, &version);
        let parameter = |p: &crate::compiler::plan::Parameter| ParameterView {
            name: p.name.clone(),
            schema: p.schema.value(),
            sample: p.sample.value(),
        };
        Ok(CompiledView {
            tenant_id: space.tenant().to_owned(),
            scope: space.scope().to_owned(),
            playbook_id: version.playbook_id.to_string(),
            version: version.version,
            status: version.status,
            source_run_id: view::source_run_id(&version),
            playbook_node_id,
            playbook_uri,
            compile_summary: compile_summary(&version),
            usage: Usage::default(),
            digest: version.component.to_string(),
            parameters: compiled.plan.parameters.iter().map(parameter).collect(),
            input_schema: compiled.plan.input_schema(),
            imports: engine.imports(version.component).await?,
            dropped: compiled.dropped,
            proof: compiled.proof,
            secrets: engine.secrets_in(&compiled.plan),
            grants_proposed,
            replaces: None,
            standing: engine.standing(space, &version).await?,
            commit: view::commit(space, &version),
        })
    }
}

/// One field of a job's input.
#[derive(Serialize, ToSchema)]
struct ParameterView {
    /// The field's name.
    name: String,
    /// JSON Schema of its value.
    #[schema(value_type = Object)]
    schema: Value,
    /// The value it had in the source run.
    #[schema(value_type = Value)]
    sample: Value,
}

/// What a language model used.
#[derive(Serialize, ToSchema)]
pub(super) struct Usage {
    /// Always 0.
    prompt_tokens: u64,
    /// Always 0.
    completion_tokens: u64,
    /// Always 0.
    total_tokens: u64,
    /// Always `no_model_call`.
    source: &'static str,
}

impl Default for Usage {
    fn default() -> Self {
        Usage { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0, source: "no_model_call" }
    }
}

/// The answer of `playbooks/get`.
#[derive(Serialize, ToSchema)]
struct GetView {
    /// Whose it is.
    tenant_id: String,
    /// Whose it is.
    scope: String,
    /// The newest version.
    playbook: PlaybookFields,
}

/// A playbook's newest version, as Aionis shows one.
#[derive(Serialize, ToSchema)]
struct PlaybookFields {
    /// The playbook.
    playbook_id: String,
    /// For people.
    name: String,
    /// In a line.
    text_summary: String,
    /// The newest version's number.
    version: u32,
    /// The number of the version that runs where none is named. Not known to Aionis.
    active_version: u32,
    /// How far it is trusted.
    status: Status,
    /// When it applies; empty where nothing was said.
    #[schema(value_type = Object)]
    matchers: Value,
    /// What counts as success; empty where nothing was said.
    #[schema(value_type = Object)]
    success_criteria: Value,
    /// What a caller's deterministic gate is held against; empty where no repair has set it.
    #[schema(value_type = Object)]
    policy_constraints: Value,
    /// What a review says of it; absent where it needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair_review: Option<Review>,
    /// `low`, `medium` or `high`.
    risk_profile: String,
    /// The run it was compiled from; null for an uploaded one.
    source_run_id: Option<String>,
    /// Its steps in order; empty for a component without a plan.
    steps_template: Vec<StepTemplate>,
    /// The compiler's report; empty for an uploaded one.
    #[schema(value_type = Object)]
    compile_summary: Value,
    /// As sent with the compilation.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Value::is_null")]
    metadata: Value,
    /// SHA-256 of the component.
    component_digest: String,
    /// `aionis://{tenant}/{scope}/procedure/{node_id}`.
    uri: String,
    /// A UUID that follows from space, playbook and version.
    node_id: String,
    /// RFC 3339, UTC.
    created_at: String,
    /// The same: a version never changes.
    updated_at: String,
    #[serde(flatten)]
    commit: CommitFields,
}

impl PlaybookFields {
    fn of(space: &Space, version: &Version, active_version: u32, steps_template: Vec<StepTemplate>) -> Self {
        let (node_id, uri) = view::node(space, version);
        let compilation = match &version.origin {
            Origin::Compiled(compilation) => Some(compilation),
            Origin::Uploaded | Origin::Graph { .. } => None,
        };
        let made = || match &version.origin {
            Origin::Graph { digest } => format!("Compiled from the task graph {digest}"),
            _ => "Uploaded as a component".to_owned(),
        };
        PlaybookFields {
            playbook_id: version.playbook_id.to_string(),
            name: version.name.clone(),
            text_summary: compilation.map_or_else(made, |c| format!("Replay playbook compiled from run {}", c.run_id)),
            version: version.version,
            active_version,
            status: version.status,
            policy_constraints: view::object_of(compilation.and_then(|c| c.mended.as_ref()?.policy_constraints.as_ref())),
            repair_review: version.review.clone(),
            matchers: view::object_of(compilation.and_then(|c| c.matchers.as_ref())),
            success_criteria: view::object_of(compilation.and_then(|c| c.success_criteria.as_ref())),
            risk_profile: compilation.map_or("medium", |c| c.risk_profile.as_str()).to_owned(),
            source_run_id: view::source_run_id(version),
            steps_template,
            compile_summary: compile_summary(version),
            metadata: compilation.and_then(|c| c.metadata.as_ref()).map_or(Value::Null, crate::json::Json::value),
            component_digest: version.component.to_string(),
            uri,
            node_id,
            created_at: rfc3339(version.created_at_ms),
            updated_at: rfc3339(version.created_at_ms),
            commit: view::commit(space, version),
        }
    }
}

/// The stored report, with the source run beside it as Aionis has it.
fn compile_summary(version: &Version) -> Value {
    let Origin::Compiled(compilation) = &version.origin else { return json!({}) };
    let mut summary = compilation.summary.value();
    if let Some(fields) = summary.as_object_mut() {
        fields.insert("source_run_id".to_owned(), compilation.run_id.as_str().into());
        fields.insert("generated_at".to_owned(), rfc3339(version.created_at_ms).into());
    }
    summary
}

fn compile_fields() -> Vec<Field> {
    run_fields().into_iter().chain(playbook_fields()).collect()
}

/// What is said of the playbook that a compilation makes.
pub(super) fn playbook_fields() -> Vec<Field> {
    vec![
        field("playbook_id", Kind::Id, "The playbook, new or not; follows from the run where it is left out."),
        field("name", Kind::Text, "For people; the run's goal where it is left out."),
        field("version", Kind::Index, "The number that the version must get; the next one where it is left out."),
        field("matchers", Kind::Object, "When the playbook applies."),
        field("success_criteria", Kind::Object, "What counts as success."),
        field("risk_profile", words(requests::RISKS), "`medium` where it is left out."),
        field("metadata", Kind::Object, "Whatever else is worth keeping."),
    ]
}

/// Which run, and how it is read.
pub(in crate::http) fn run_fields() -> Vec<Field> {
    std::iter::once(required("run_id", Kind::Id, "A run that ended with success.")).chain(reading_fields()).collect()
}

/// How runs are read.
pub(super) fn reading_fields() -> Vec<Field> {
    let binding = json!({
        "description": "A tool's id, or the tool and how field names translate.",
        "anyOf": [{"type": "string"}, {"type": "object", "required": ["tool"], "properties": {
            "tool": {"type": "string"},
            "input": {"type": "object", "additionalProperties": {"type": "string"}},
            "output": {"type": "object", "additionalProperties": {"type": "string"}},
        }}],
    });
    vec![
        field("allow_partial", Kind::Flag, "Take the successful steps of a run that did not end with success."),
        field("bindings", Kind::Map(binding), "Which recorded tool is which tool here, beyond the built-in table. Not known to Aionis."),
        field(
            "roots",
            Kind::Map(json!({"type": "string"})),
            "Recorded directory -> the grant under whose name a job will see it. Not known to Aionis.",
        ),
    ]
}
