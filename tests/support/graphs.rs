//! Task graphs as playbooks: written as JSON, compiled here, uploaded as anybody's component is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};

use reprise::compiler::emit::emit;
use reprise::compiler::graph::Graph;
use reprise::contract::Effect;
use serde_json::{Value, json};

use super::server::{Answer, Server};

/// The component of a graph without parameters.
pub fn component(nodes: &Value, output: &Value) -> Vec<u8> {
    let graph = json!({"graph_version": 1, "goal": "try it", "parameters": [], "nodes": nodes, "output": output});
    let graph = Graph::of(&graph).unwrap_or_else(|e| panic!("{e}: {:#?}", e.issues));
    emit(&graph.lower(|_| Some(Effect::Once)).unwrap()).unwrap()
}

/// A job of a graph on a server.
pub struct GraphJob<'a> {
    pub server: &'a Server,
    pub id: String,
    request: Value,
}

impl<'a> GraphJob<'a> {
    /// Uploads the graph and starts a job of it, with what `more` adds to the request; returns when it stands or has ended.
    pub fn start(server: &'a Server, nodes: &Value, output: &Value, more: &Value) -> GraphJob<'a> {
        GraphJob::of(server, "/v1/playbooks", component(nodes, output), more)
    }

    /// The same with a playbook that somebody wrote: `upload` is where it goes, with the name that it is to have.
    pub fn of(server: &'a Server, upload: &str, component: Vec<u8>, more: &Value) -> GraphJob<'a> {
        let uploaded = server.send("POST", upload, &[("content-type", "application/wasm")], Some(component)).ok();
        let key = format!("key-{}", reprise::ids::secret());
        let mut request = json!({"playbook_id": uploaded["playbook_id"], "idempotency_key": key, "wait_ms": 50_000});
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        let id = server.post("/v1/jobs", &request).ok()["job_id"].as_str().unwrap().to_owned();
        GraphJob { server, id, request }
    }

    /// The job once it stands or has ended: the same request again waits for that.
    pub fn stood(&self) -> Value {
        self.server.post("/v1/jobs", &self.request).ok()
    }

    /// Hears the journal as it grows, up to the first entry of this kind.
    pub fn until(&self, kind: &str) -> Value {
        let url = format!("http://{}/v1/jobs/{}/journal", self.server.address, self.id);
        let answer = ureq::get(url).header("accept", "text/event-stream").call().unwrap();
        let mut lines = BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap);
        let mut heard = Vec::new();
        while let Some(line) = lines.next() {
            let Some(name) = line.strip_prefix("event: ") else { continue };
            let data = lines.next().unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_ne!(name, "end", "job {} ended without {kind}: {heard:?} {data}", self.id);
            if name == kind {
                return data;
            }
            heard.push(name.to_owned());
        }
        panic!("job {} has no {kind}: {heard:?}", self.id);
    }

    /// Says something to the job.
    pub fn say(&self, what: &str, body: &Value) -> Answer {
        self.server.post(&format!("/v1/jobs/{}/{what}", self.id), body)
    }

    /// The kinds of the journal's entries.
    pub fn kinds(&self) -> Vec<String> {
        let journal = self.server.get(&format!("/v1/jobs/{}/journal?limit=500", self.id)).ok();
        journal["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    }
}

/// A node that calls `agent/<name>`.
pub fn agent(id: &str) -> Value {
    json!({"id": id, "kind": "tool", "tool": format!("agent/{id}"), "input": {"me": id}})
}

/// A node that waits for the signal of its name.
pub fn signal(id: &str) -> Value {
    json!({"id": id, "kind": "wait", "signal": id})
}
