//! Task graphs over HTTP: `POST /v1/graphs/check`, and what `POST /v1/jobs` takes in the place of a playbook.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::body::Posted;
use super::openapi::{Components, Field, Kind, field, of, required};
use super::route::{Gives, Route, Takes};
use super::view;
use crate::compiler::graph::Graph;
use crate::engine::{Engine, ImportLine, JobRequest, Task, TaskRequest};
use crate::error::{Code, Error, Result};
use crate::fields::Fields;
use crate::ids::{JobId, PlaybookId, Space};
use crate::jobs::Manner;
use crate::journal::Options;
use crate::{json, limits};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/graphs/check", check, "check_graph", "Says what a task graph would reach and do. Keeps and runs nothing.")
            .takes(Takes::Json(vec![required("graph", Kind::Object, "The graph, as docs/GRAPHS.md has it.")]))
            .gives(200, "It can be run.", Gives::Json(checked))
            .fails(&[Code::InvalidRequest, Code::InvalidGraph, Code::TooLarge]),
    ]
}

/// What a job may be started of.
pub(super) fn fields() -> Vec<Field> {
    vec![
        field("playbook_id", Kind::Id, "What to run; or one of `graph` and `goal`."),
        field("version", Kind::Index, "The playbook's version; the newest where it is left out."),
        field("graph", Kind::Object, "A task graph to run, as docs/GRAPHS.md has it."),
        field("goal", Kind::Text, "What is to be reached; the configured planner makes a graph of it."),
        field("context", Kind::Any, "What else the planner is to know; `{}` where it is left out."),
    ]
}

/// What a job is to be started of.
pub(super) enum Wanted {
    Playbook(PlaybookId, Option<u32>),
    Graph(json::Json),
    Goal(String, json::Json),
}

/// How it is to be started.
pub(super) struct Terms {
    pub input: json::Json,
    pub idempotency_key: Option<String>,
    pub options: Options,
}

/// One of the three; none where an issue says why not.
pub(super) fn wanted(fields: &mut Fields<'_>) -> Option<Wanted> {
    let named: Vec<&str> = ["playbook_id", "graph", "goal"].into_iter().filter(|name| fields.has(name)).collect();
    let (playbook_id, version) = (fields.id("playbook_id", PlaybookId::parse), fields.index("version"));
    let (graph, goal) = (fields.json_object("graph"), fields.text("goal", limits::TEXT_CHARS_MAX));
    let context = fields.json("context");
    match named.as_slice() {
        [] => fields.issue("playbook_id", "is missing; a job is of a playbook_id, a graph or a goal".to_owned()),
        [_] => {}
        [first, second, ..] => fields.issue(second, format!("stands beside {first}; a job is of a playbook_id, a graph or a goal")),
    }
    for (name, there, of) in [("version", version.is_some(), "playbook_id"), ("context", context.is_some(), "goal")] {
        if there && !named.contains(&of) {
            fields.issue(name, format!("belongs to a {of}, and there is none"));
        }
    }
    let of_playbook = playbook_id.map(|id| Wanted::Playbook(id, version));
    let of_goal = || goal.map(|goal| Wanted::Goal(goal, context.unwrap_or_else(|| json::Json::from(&json!({})))));
    of_playbook.or_else(|| graph.map(Wanted::Graph)).or_else(of_goal)
}

/// Starts the job.
pub(super) async fn start(engine: &Engine, space: &Space, wanted: Wanted, terms: Terms) -> Result<JobId> {
    let Terms { input, idempotency_key, options } = terms;
    let (task, of_graph) = match wanted {
        Wanted::Playbook(playbook_id, version) => {
            let request = JobRequest { playbook_id, version, input, idempotency_key, grants: Vec::new(), options };
            return engine.start_job(space, request, Manner::default()).await;
        }
        Wanted::Graph(graph) => (Task::Graph(Box::new(Graph::of(&graph.value()).map_err(below_graph)?)), true),
        Wanted::Goal(goal, context) => (Task::Goal { goal, context, within: Some(limits::PLANNING_WITHIN_REQUEST_MAX) }, false),
    };
    let request = TaskRequest { task, input, idempotency_key, grants: Vec::new(), options };
    engine.start_task(space, request, Manner::default()).await.map_err(|e| if of_graph { below_graph(e) } else { e })
}

/// The graph is a field of what was sent.
fn below_graph(mut e: Error) -> Error {
    if e.code == Code::InvalidGraph {
        e.issues.iter_mut().for_each(|issue| issue.path.insert_str(0, "/graph"));
    }
    e
}

async fn check(State(engine): State<Engine>, Posted { space, body, .. }: Posted) -> Result<Json<Value>> {
    let mut fields = Fields::of(&body, "")?;
    fields.require(&["graph"]);
    let graph = fields.json_object("graph");
    for of_any_route in ["tenant_id", "scope", "actor"] {
        fields.has(of_any_route);
    }
    fields.refuse_unknown("a graph's check");
    let graph = Graph::of(&fields.build(graph)?.value()).map_err(below_graph)?;
    let checked = engine.check_graph(&graph).await.map_err(below_graph)?;
    Ok(Json(view::in_space(&space, checked.to_json())))
}

/// The schema of a check.
fn checked(components: &mut Components) -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let texts = |about: &str| json!({"type": "array", "items": {"type": "string"}, "description": about});
    let changes = json!({"type": "array", "description": "Every step that can change something, in order.", "items": {
        "type": "object", "required": ["step", "tool", "chosen_at_run"],
        "properties": {"step": {"type": "string"}, "tool": {"type": "string"}, "path": {"type": "string"}, "chosen_at_run": {"type": "boolean"}},
    }});
    let steps = json!({"type": "array", "description": "The tools it calls, in order.", "items": {"type": "object"}});
    json!({
        "type": "object",
        "required": ["tenant_id", "scope", "graph_digest", "playbook_id", "component_digest", "component_bytes", "explained_by", "goal", "imports", "cannot", "input_schema"],
        "properties": {
            "tenant_id": text("Whose it is."), "scope": text("Whose it is."),
            "graph_digest": text("SHA-256 of the graph's canonical JSON."),
            "playbook_id": text("The playbook that a job of it would run."),
            "component_digest": text("SHA-256 of the component that it is compiled to."), "component_bytes": {"type": "integer"},
            "explained_by": text("Always `plan`."), "goal": text("What it is for."),
            "imports": {"type": "array", "items": of::<ImportLine>(components), "description": "Every import, and what it allows. There is nothing else."},
            "cannot": texts("What no import gives."),
            "grants_proposed": {"type": "array", "items": {"type": "object"}, "description": "The narrowest grants that cover it, in words."},
            "grants_needed": {"type": "object", "additionalProperties": {"enum": ["ro", "rw"]}, "description": "Directories by the name of their grant."},
            "changes": changes, "steps": steps, "outline": texts("What it does in words, a line each."),
            "starts": texts("The playbooks that it starts."), "waits": texts("What it waits for."),
            "input_schema": {"type": "object", "description": "What a job's input must look like."},
            "output": text("What it gives back."),
        },
    })
}
