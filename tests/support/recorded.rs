//! Runs as an Aionis client records them: with the fields that Aionis has, and no others.

use serde_json::{Value, json};

use super::server::Server;

/// Records a run of these calls (tool, input, fields of `step/before` beside); it ends with success. `ours` adds fields to the start.
pub fn record(server: &Server, run_id: &str, ours: Value, calls: &[(&str, Value, Value)]) {
    let replay = |route: &str, body: Value| server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
    let mut start = json!({"run_id": run_id, "goal": "write the notes", "metadata": {"client": "aionis"}});
    merge(&mut start, ours);
    replay("run/start", start);
    for (at, (tool, input, more)) in calls.iter().enumerate() {
        let index = at + 1;
        let mut before = json!({"run_id": run_id, "step_index": index, "tool_name": tool, "tool_input": input});
        let (mut after, mut said) = (json!({"run_id": run_id, "step_index": index, "status": "success"}), more.clone());
        if let Some(output) = said.as_object_mut().and_then(|said| said.remove("output")) {
            after["output"] = output;
        }
        merge(&mut before, said);
        replay("step/before", before);
        replay("step/after", after);
    }
    replay("run/end", json!({"run_id": run_id, "status": "success", "summary": "done", "metrics": {"total_tokens": 10}}));
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}
