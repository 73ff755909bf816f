//! A playbook whose one step is held to conditions, over HTTP: it replaces a line in `project/notes.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::Server;

/// A server that may change a directory, and that directory.
pub struct Held {
    pub server: Server,
    pub tree: TempDir,
    /// Playbooks that ask for the name of a mark: it stands in one of their conditions.
    marked: RefCell<BTreeSet<String>>,
}

impl Held {
    /// The notes say `draft`; `grants` beside that of the directory.
    pub fn new(grants: &[String]) -> Held {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("notes.md"), "draft\n").unwrap();
        let own = format!("fs:project={}", tree.path().display());
        Held { server: Server::granting(&[&[own], grants].concat()), tree, marked: RefCell::default() }
    }

    /// Records the one step with these conditions, and compiles it.
    pub fn playbook(&self, id: &str, before: &Value, after: &Value, signature: &Value) -> Value {
        let replay = |route: &str, body: Value| self.server.post(&format!("/v1/memory/replay/{route}"), &body).ok();
        let input = json!({"path": "project/notes.md", "old": "draft", "new": "final"});
        replay("run/start", json!({"run_id": id, "goal": "finish the notes", "inputs": {"mark": "done.txt"}}));
        replay(
            "step/before",
            json!({"run_id": id, "step_index": 1, "tool_name": "fs/replace", "tool_input": input,
            "preconditions": before, "expected_output_signature": signature}),
        );
        replay(
            "step/after",
            json!({"run_id": id, "step_index": 1, "status": "success", "postconditions": after,
            "output": {"path": "project/notes.md", "replaced": 1}}),
        );
        replay("step/before", json!({"run_id": id, "step_index": 2, "tool_name": "fs/list", "tool_input": {"path": "project"}}));
        replay(
            "step/after",
            json!({"run_id": id, "step_index": 2, "status": "success",
            "output": {"path": "project", "entries": [{"path": "project/notes.md", "kind": "file", "bytes": 6}]}}),
        );
        replay("run/end", json!({"run_id": id, "status": "success"}));
        let made = self.server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": id, "playbook_id": id})).ok();
        if made["parameters"][0]["name"] == "mark" {
            self.marked.borrow_mut().insert(id.to_owned());
        }
        made
    }

    /// Starts a job and waits until it has ended or stands.
    pub fn job(&self, id: &str, mode: &str) -> Value {
        let input = if self.marked.borrow().contains(id) { json!({"mark": "done.txt"}) } else { json!({}) };
        let request = json!({"playbook_id": id, "mode": mode, "wait_ms": 50_000, "input": input});
        self.server.post("/v1/jobs", &request).json()
    }

    pub fn get(&self, job: &Value) -> Value {
        self.server.get(&format!("/v1/jobs/{}", job["job_id"].as_str().unwrap())).ok()
    }

    pub fn journal(&self, job: &Value) -> Vec<Value> {
        let page = self.server.get(&format!("/v1/jobs/{}/journal?limit=500", job["job_id"].as_str().unwrap())).ok();
        page["entries"].as_array().unwrap().clone()
    }

    /// The kinds of the journal's entries.
    pub fn kinds(&self, job: &Value) -> Vec<String> {
        self.journal(job).iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Says what is to become of what the job has handed over, and waits until it has ended or stands.
    pub fn resolve(&self, job: &Value, decision: &Value) -> Value {
        let mut body = decision.clone();
        body["seq"] = self.get(job)["handed_over"]["seq"].clone();
        body["actor"] = json!("ada");
        let id = job["job_id"].as_str().unwrap();
        let answer = self.server.post(&format!("/v1/jobs/{id}/resolve"), &body);
        assert!(answer.status < 300, "{}", answer.json());
        self.stood(job)
    }

    /// The job once it has ended or stands.
    pub fn stood(&self, job: &Value) -> Value {
        let id = job["job_id"].as_str().unwrap();
        let mut after = 0;
        loop {
            let shown = self.get(job);
            if !matches!(shown["status"].as_str(), Some("ready" | "running")) {
                return shown;
            }
            after += 1;
            assert!(after < 100_000, "job {id} does not come to a stand: {shown}");
            std::thread::yield_now();
        }
    }

    /// What `fs/replace` could have answered.
    pub fn answer(replaced: u32) -> Value {
        json!({"path": "project/notes.md", "replaced": replaced, "sha256": "0".repeat(64)})
    }

    pub fn notes(&self) -> String {
        std::fs::read_to_string(self.tree.path().join("notes.md")).unwrap()
    }

    pub fn file(&self, name: &str) {
        std::fs::write(self.tree.path().join(name), "").unwrap();
    }

    pub fn no_file(&self, name: &str) {
        std::fs::remove_file(self.tree.path().join(name)).unwrap();
    }
}
