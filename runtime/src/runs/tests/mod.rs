//! The promises of this module, held against a real store. Requests and answers are JSON, as over HTTP.

mod imports;
mod model;
mod requests;
mod views;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Result;
use crate::ids::RunId;

/// A store of its own in a directory that goes with it.
struct House {
    runs: Runs,
    space: Space,
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(Store::open(dir.path()).unwrap());
        House { runs, space: Space::default_space(), dir }
    }

    /// The same directory, opened again.
    fn reopened(self) -> Self {
        let House { runs, space, dir } = self;
        drop(runs);
        House { runs: Runs::new(Store::open(dir.path()).unwrap()), space, dir }
    }

    async fn send(&self, route: &str, body: Value) -> Result<Value> {
        send(&self.runs, &self.space, route, &body).await
    }

    /// Sends what must be accepted.
    async fn send_all(&self, requests: &[(&str, Value)]) {
        for (route, body) in requests {
            self.send(route, body.clone()).await.unwrap_or_else(|e| panic!("{route} {body}: {e}"));
        }
    }

    fn get(&self, run_id: &str) -> Run {
        self.runs.get(&self.space, &RunId::parse(run_id).unwrap()).unwrap()
    }

    /// What the run's head counts.
    fn bytes(&self, run_id: &str) -> u64 {
        self.runs.head(&self.space, &RunId::parse(run_id).unwrap()).unwrap().unwrap().row.bytes
    }

    fn blobs(&self) -> usize {
        let shards = std::fs::read_dir(self.dir.path().join("blobs")).unwrap();
        shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }
}

async fn send(runs: &Runs, space: &Space, route: &str, body: &Value) -> Result<Value> {
    let answer = match route {
        "start" => serde_json::to_value(view::started(space, &runs.start(space, RunStart::parse(body)?).await?)),
        "before" => serde_json::to_value(view::opened(space, &runs.before(space, StepBefore::parse(body)?).await?)),
        "after" => serde_json::to_value(view::answered(space, &runs.after(space, StepAfter::parse(body)?).await?)),
        "end" => serde_json::to_value(view::ended(space, &runs.end(space, RunEnd::parse(body)?).await?)),
        other => panic!("no route {other}"),
    };
    Ok(answer.unwrap())
}

/// `base` with some fields replaced.
fn with(base: &Value, change: Value) -> Value {
    let mut body = base.clone();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

fn start(run_id: &str) -> (&'static str, Value) {
    ("start", json!({"run_id": run_id, "goal": "fix the build"}))
}

fn before(run_id: &str, step_id: &str, step_index: u32) -> (&'static str, Value) {
    ("before", json!({"run_id": run_id, "step_id": step_id, "step_index": step_index, "tool_name": "edit", "tool_input": {"path": "a"}}))
}

fn after(run_id: &str, step_id: &str) -> (&'static str, Value) {
    ("after", json!({"run_id": run_id, "step_id": step_id, "status": "success", "output": {"ok": true}}))
}

fn end(run_id: &str) -> (&'static str, Value) {
    ("end", json!({"run_id": run_id, "status": "success", "summary": "done"}))
}

/// The run without what differs from one recording of it to the next: times, space and what was stored where.
fn timeless(mut run: Run) -> Run {
    run.space = Space::default_space();
    (run.started_at_ms, run.written, run.actor) = (0, None, None);
    for step in &mut run.steps {
        (step.before_at_ms, step.written) = (0, None);
        if let Some(after) = &mut step.after {
            (after.at_ms, after.written) = (0, None);
        }
    }
    if let Some(end) = &mut run.end {
        (end.ended_at_ms, end.written) = (0, None);
    }
    run
}

/// Any JSON of a few levels.
pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof!["[a-z]{1,3}", ".{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Any JSON object of a few levels.
pub(super) fn any_object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-z]{1,3}", any_value(), 0..3).prop_map(|m| Value::Object(m.into_iter().collect()))
}
