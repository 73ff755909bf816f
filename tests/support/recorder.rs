//! Runs recorded over HTTP, step by step, as an agent's harness sends them.

use serde_json::{Value, json};

use super::server::Server;

/// One step: the tool, what it was given, what it answered.
pub type Recorded = (&'static str, Value, Value);

/// Sends a whole run that ended with success.
pub fn record(server: &Server, run_id: &str, goal: &str, inputs: &Value, steps: &[Recorded]) {
    record_ending(server, run_id, goal, inputs, steps, &json!({}));
}

/// The same with these fields at its end.
pub fn record_ending(server: &Server, run_id: &str, goal: &str, inputs: &Value, steps: &[Recorded], end: &Value) {
    let replay = |route: &str, body: &Value| server.post(&format!("/v1/memory/replay/{route}"), body).ok();
    replay("run/start", &json!({"run_id": run_id, "goal": goal, "inputs": inputs}));
    for (index, (tool, input, output)) in (1..).zip(steps) {
        replay("step/before", &json!({"run_id": run_id, "step_index": index, "tool_name": tool, "tool_input": input}));
        replay("step/after", &json!({"run_id": run_id, "step_index": index, "status": "success", "output": output}));
    }
    let mut ended = json!({"run_id": run_id, "status": "success"});
    for (name, value) in end.as_object().unwrap() {
        ended[name] = value.clone();
    }
    replay("run/end", &ended);
}
