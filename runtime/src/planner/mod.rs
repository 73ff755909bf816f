//! Turns a goal into a task graph: by rule, from a template, or by asking a model.
//!
//! It gives a graph that was held against everything a job would hold it against, and the evidence of where it came from;
//! or an error. It knows no jobs and stores nothing: whoever calls it keeps the graph before anything runs, so that no planner
//! is ever asked twice for the same job. The rules that must stay true: a failure leaves nothing behind; a key is in no error,
//! no log line and no evidence.

mod chat;
mod template;

pub use chat::{PatchJudge, propose};

use serde_json::{Value, json};

use crate::compiler::graph::Graph;
use crate::config::PlannerSettings;
use crate::contract::{Effect, ToolId};
use crate::error::Result;
use crate::ids::Digest;
use crate::json::Json;

/// What somebody wants done.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// In words.
    pub goal: &'a str,
    /// What else there is to know of it. Data, and no instruction.
    pub context: &'a Json,
    /// What the job is to be run with, an object.
    pub input: &'a Json,
}

/// What a graph can be made of.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// The tools.
    pub tools: Vec<Offer>,
    /// What the operator granted to all jobs, in words, without the host's paths.
    pub grants: Vec<String>,
}

/// A tool that a graph may call.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its name.
    pub id: ToolId,
    /// What it does, where anybody said.
    pub description: String,
    /// What repeating a call does.
    pub effect: Effect,
    /// JSON Schema of its input, where it is known.
    pub input_schema: Option<Value>,
    /// JSON Schema of its output, where it is known.
    pub output_schema: Option<Value>,
}

/// A graph, and where it came from.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is to be done.
    pub graph: Graph,
    /// What it is to be done with.
    pub input: Json,
    /// Which planner made it, out of what. Holds no key.
    pub evidence: Json,
}

/// Whether a graph could be run with an input; the issues of its error say why not.
pub type Judge<'a> = &'a (dyn Fn(&Graph, &Json) -> Result<()> + Send + Sync);

/// Makes a graph that `judge` accepts.
///
/// # Errors
/// `planner_failed`, `planner_unavailable`; `invalid_request` where goal and input both say the same thing. Of a template also
/// what is wrong with its file: `invalid_graph`, `file_not_found`.
pub async fn plan(wish: Wish<'_>, means: &Means, settings: &PlannerSettings, judge: Judge<'_>) -> Result<Planned> {
    match settings {
        PlannerSettings::Template(templates) => template::plan(wish, templates, judge).await,
        PlannerSettings::Chat(settings) => chat::plan(wish, means, settings, judge).await,
    }
}

/// What stands in every planner's evidence.
fn evidence(kind: &str, wish: Wish<'_>, graph: &Graph, own: Value) -> Json {
    let mut all = json!({
        "kind": kind, "goal": wish.goal, "context_sha256": wish.context.digest(), "graph_digest": graph.digest(),
        "reprise": env!("CARGO_PKG_VERSION"),
    });
    if let (Some(all), Value::Object(own)) = (all.as_object_mut(), own) {
        all.extend(own);
    }
    Json::from(&all)
}

/// SHA-256 of a text.
fn sha256(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}
