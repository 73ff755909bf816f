//! Jobs of task graphs: a graph that was sent, or one that a planner makes of a goal.
//!
//! A graph is lowered, compiled and kept as a playbook version like any other, under an id made of the graph's digest; its job
//! records the graph and where it came from in its first entry. What must stay true: nothing is kept of a graph that could
//! not be run with its input, and a planner is asked before the job is there and never again.

use std::time::Duration;

use serde_json::{Value, json};

use super::jobs::ExpectedInput;
use super::{Engine, Inspection, inspect_file};
use crate::compiler::emit;
use crate::compiler::graph::Graph;
use crate::compiler::plan::Plan;
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Result};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::jobs::{Manner, Order, Target};
use crate::journal::Options;
use crate::json::Json;
use crate::lifecycle::{Added, NewVersion, Origin, Provenance, Version};
use crate::planner::{self, Means, Offer, Planned, Wish};
use crate::tools::grants::To;
use crate::tools::{Grant, Registry};
use crate::{blocking, limits};

/// What is to be done, where nobody has made a playbook of it yet.
#[derive(Debug, Clone)]
pub enum Task {
    /// This.
    Graph(Box<Graph>),
    /// Whatever the configured planner makes of a goal.
    Goal {
        /// In words.
        goal: String,
        /// What else there is to know of it.
        context: Json,
        /// How long that may take in all; as long as the planner's own settings allow where nothing is said.
        within: Option<Duration>,
    },
}

/// What is asked for when a job of a task is started.
#[derive(Debug, Clone)]
pub struct TaskRequest {
    /// What is to be done.
    pub task: Task,
    /// What with; for a template, the goal's placeholders are added.
    pub input: Json,
    /// The client's name for this request.
    pub idempotency_key: Option<String>,
    /// Permissions for this job alone; only an operator's own hand gives any.
    pub grants: Vec<Grant>,
    /// How it is to be run.
    pub options: Options,
}

/// What a graph comes to, without keeping or running it.
#[derive(Debug, Clone)]
pub struct GraphCheck {
    /// SHA-256 of the graph's canonical JSON.
    pub graph_digest: Digest,
    /// The playbook that a job of it would run.
    pub playbook_id: PlaybookId,
    /// What its component may reach and does.
    pub inspection: Inspection,
}

/// A graph, compiled and not kept yet.
struct Made {
    component: Vec<u8>,
    digest: Digest,
}

impl TaskRequest {
    /// What makes two requests the same: all that was asked for, as it was asked.
    fn digest(&self) -> Digest {
        let grants = serde_json::to_vec(&self.grants).expect("grants print");
        let options = serde_json::to_vec(&self.options).expect("options print");
        let rest = [self.input.as_str().as_bytes(), &grants, &options];
        match &self.task {
            Task::Graph(graph) => Digest::of_parts(&[&[b"graph".as_slice(), graph.digest().as_bytes()], rest.as_slice()].concat()),
            Task::Goal { goal, context, .. } => {
                let of = [b"goal".as_slice(), goal.as_bytes(), context.as_str().as_bytes()];
                Digest::of_parts(&[of.as_slice(), rest.as_slice()].concat())
            }
        }
    }
}

impl GraphCheck {
    /// The fields that HTTP and `--json` show.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut shown = serde_json::to_value(&self.inspection).expect("an inspection has string keys");
        let fields = shown.as_object_mut().expect("an inspection is an object");
        fields.insert("graph_digest".to_owned(), json!(self.graph_digest));
        fields.insert("playbook_id".to_owned(), json!(self.playbook_id));
        shown
    }
}

impl Engine {
    /// Starts a job of a graph, or of the graph that the planner makes of a goal. It is on disk when this returns; where it
    /// fails, there is no job, and nothing that could be run was kept.
    ///
    /// # Errors
    /// `invalid_graph`, `input_does_not_fit` with each place, `planner_failed`, `planner_unavailable`; `invalid_request` where there is no planner;
    /// else as [`Engine::start_job`].
    pub async fn start_task(&self, space: &Space, request: TaskRequest, manner: Manner) -> Result<JobId> {
        let asked = request.digest();
        let promise = request.idempotency_key.clone().map(|key| (key, asked));
        if let Some(job) = self.promised(space, promise.as_ref(), manner).await? {
            return Ok(job);
        }
        self.check_request(&request.input, &request.grants).await?;
        let TaskRequest { task, input, grants, options, .. } = request;
        let (graph, input, evidence) = match task {
            Task::Graph(graph) => {
                self.fits(&graph, &input)?;
                (*graph, input, None)
            }
            Task::Goal { goal, context, within } => {
                let wish = Wish { goal: &goal, context: &context, input: &input };
                let Planned { graph, input, evidence } = in_time(self.plan(wish, &grants), within).await?;
                (graph, input, Some(evidence))
            }
        };
        let made = self.make(&graph).await?;
        let version = self.keep_graph(space, &graph, made).await?;
        let mut origin = json!({"graph_digest": graph.digest(), "graph": graph.text()});
        if let (Some(fields), Some(evidence)) = (origin.as_object_mut(), evidence) {
            fields.insert("planner".to_owned(), evidence.value());
        }
        let target = Target { playbook_id: version.playbook_id, version: version.version };
        let order = Order {
            job_id: JobId::fresh(),
            target,
            component: version.component,
            input,
            grants,
            options,
            origin: Some(Json::from(&origin)),
            promise,
        };
        self.scheduler.start(space, order, manner).await
    }

    /// What a graph would reach and do. Keeps and runs nothing.
    ///
    /// # Errors
    /// `invalid_graph`, and as [`Engine::inspect`].
    pub async fn check_graph(&self, graph: &Graph) -> Result<GraphCheck> {
        let component = compiled(graph, &self.tools)?;
        checked(graph, self.inspect(component).await?)
    }

    async fn plan(&self, wish: Wish<'_>, own: &[Grant]) -> Result<Planned> {
        let Some(settings) = &self.config.planner else {
            return Err(Error::invalid("/goal", "no planner is configured here; an operator adds [planner] to reprise.toml"));
        };
        if !(1..=limits::TEXT_CHARS_MAX).contains(&wish.goal.trim().chars().count()) {
            return Err(Error::invalid("/goal", format!("the goal must have 1 to {} characters", limits::TEXT_CHARS_MAX)));
        }
        if wish.context.as_str().len() > limits::JSON_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the context has more than {} bytes", limits::JSON_BYTES_MAX)));
        }
        let _place = self.planners.acquire().await.expect("it is never closed");
        let means = self.means(own)?;
        planner::plan(wish, &means, settings, &|graph, input| self.fits(graph, input)).await
    }

    /// What a planner may make a graph of.
    fn means(&self, own: &[Grant]) -> Result<Means> {
        let built_in = self.tools.list().into_iter().map(|info| Offer {
            id: info.id.clone(),
            description: info.description.to_string(),
            effect: info.effect,
            input_schema: Some(info.input_schema.clone()),
            output_schema: Some(info.output_schema.clone()),
        });
        let outside = self.config.agent_tools.iter().map(|tool| Offer {
            id: tool.id.clone(),
            description: tool.description.clone().unwrap_or_default(),
            effect: tool.effect,
            input_schema: None,
            output_schema: None,
        });
        // What is for tool components is nothing that a graph's own steps could use.
        let granted = self.granted()?;
        let all = granted.iter().chain(own).filter(|grant| grant.to().is_none_or(To::is_builtin));
        Ok(Means { tools: built_in.chain(outside).collect(), grants: all.map(Grant::inside_words).collect() })
    }

    /// Whether the graph could be run with this input.
    fn fits(&self, graph: &Graph, input: &Json) -> Result<()> {
        let plan = lowered(graph, &self.tools)?;
        ExpectedInput::of(plan.input_schema())?.check(input)
    }

    /// Compiles a graph, and shows that what came of it links and starts.
    async fn make(&self, graph: &Graph) -> Result<Made> {
        let (graph, tools) = (graph.clone(), self.tools.clone());
        let component = blocking::run(move || compiled(&graph, &tools)).await?;
        let digest = Digest::of(&component);
        self.admit(digest, component.clone()).await?;
        Ok(Made { component, digest })
    }

    async fn keep_graph(&self, space: &Space, graph: &Graph, made: Made) -> Result<Version> {
        let component_bytes = made.component.len() as u64;
        self.keep(made.component).await?;
        let new = NewVersion {
            playbook_id: playbook_id(graph)?,
            wanted: None,
            name: graph.goal().to_owned(),
            component: made.digest,
            component_bytes,
            origin: Origin::Graph { digest: graph.digest() },
            asks: self.asks(made.digest).await?,
            provenance: Provenance::default(),
            by: None,
        };
        let Added { version, .. } = self.add(space, new).await?;
        Ok(version)
    }
}

/// As [`Engine::check_graph`], without a data directory.
///
/// # Errors
/// As [`Engine::check_graph`].
pub async fn check_graph_file(graph: &Graph) -> Result<GraphCheck> {
    checked(graph, inspect_file(compiled(graph, &Registry::builtin())?).await?)
}

async fn in_time<T>(work: impl Future<Output = Result<T>>, within: Option<Duration>) -> Result<T> {
    let Some(time) = within else { return work.await };
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        let why = format!("the planner made no graph within the {} s that a request has; nothing was started", time.as_secs());
        Err(Error::new(Code::PlannerUnavailable, why))
    })
}

fn checked(graph: &Graph, inspection: Inspection) -> Result<GraphCheck> {
    Ok(GraphCheck { graph_digest: graph.digest(), playbook_id: playbook_id(graph)?, inspection })
}

/// The same graph is the same playbook, whoever sends it.
fn playbook_id(graph: &Graph) -> Result<PlaybookId> {
    const DIGITS: usize = 16;
    PlaybookId::parse(&format!("graph-{}", &graph.digest().to_string()[..DIGITS]))
}

fn compiled(graph: &Graph, tools: &Registry) -> Result<Vec<u8>> {
    // What the form allows and the compiler does not is the graph's fault, not ours.
    emit::emit(&lowered(graph, tools)?).map_err(|e| if e.code == Code::NotCompilable { Error { code: Code::InvalidGraph, ..e } } else { e })
}

/// An effect does not show in the code, so it is looked up here as it is looked up when the component is explained.
fn lowered(graph: &Graph, tools: &Registry) -> Result<Plan> {
    graph.lower(|tool: &ToolId| -> Option<Effect> { tools.get(tool).map(|info| info.effect) })
}
