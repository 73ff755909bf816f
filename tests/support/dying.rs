//! A job that is killed at an exact place: the process dies by itself at a flush, as only scratch data directories allow.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::site::{Job, Site};

/// One graph, run again and again on one site, each time under another name and with other paths.
pub struct Killed<'a> {
    pub site: &'a Site,
    graph: Value,
}

impl<'a> Killed<'a> {
    /// Calls of these kinds, one after the other; in a run called X they go to `/KIND/X/1`, `/KIND/X/2` and so on.
    pub fn new(site: &'a Site, kinds: &[&str]) -> Killed<'a> {
        let node = |(at, kind): (usize, &&str)| {
            let mut node = site.node(&format!("s{}", at + 1), kind, "");
            let url = node["input"]["url"].as_str().unwrap().to_owned();
            node["input"]["url"] = json!({"$text": [url, {"$input": "/run"}, format!("/{}", at + 1)]});
            node
        };
        let nodes: Vec<Value> = kinds.iter().enumerate().map(node).collect();
        let last = json!({"$from": format!("s{}", kinds.len())});
        let graph = json!({"graph_version": 1, "goal": "die", "parameters": [{"name": "run"}], "nodes": nodes, "output": last});
        site.place.file("graph.json", &graph.to_string());
        Killed { site, graph }
    }

    /// Runs the job called `run` in a process that dies at `point`, and starts the server on what is left. None where it
    /// ended before.
    pub fn at(&self, point: &str, run: &str) -> Option<Job> {
        self.site.stop();
        let input = json!({"run": run}).to_string();
        let arguments = ["--json", "--die-at", point, "run", "--graph", "graph.json", "--input", &input, "--idempotency-key", run];
        let ran = super::cli::finished(&mut self.site.place.command(&arguments));
        if ran.code == 0 {
            return None;
        }
        assert_eq!(ran.code, -1, "it died by a signal: {ran:#?}");
        self.site.start();
        Some(self.site.ask(json!({"graph": self.graph, "input": {"run": run}, "idempotency_key": run})))
    }

    /// Kills one run after the other, each a flush later, up to the first that leaves a journal whose last entry is `wanted`.
    /// Its name and its job; the server runs.
    pub fn where_last_is(&self, moment: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> (String, Job) {
        for flush in 1.. {
            let run = format!("{name}-{moment}-{flush}");
            let Some(job) = self.at(&format!("{moment}:{flush}"), &run) else { break };
            self.site.stood(&job);
            let journal = self.site.journal(&job);
            if left(&journal).is_some_and(&wanted) {
                return (run, job);
            }
        }
        panic!("no crash {moment} a flush leaves such a journal");
    }
}

/// The last entry that was there before the job was taken up; none where it was not taken up.
pub fn left(journal: &[Value]) -> Option<&Value> {
    let resumed = journal.iter().position(|entry| entry["kind"] == "resumed");
    resumed.map_or(journal.last(), |at| journal.get(at.checked_sub(1)?))
}
