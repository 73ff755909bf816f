//! A server that can be killed, and a counting server that outlives it. Five kinds of calls go there:
//!
//! | path | tool | what repeating a call does |
//! |---|---|---|
//! | `/read` | `http/get` | nothing: `read` |
//! | `/put` | `http/put` | nothing more: `idempotent` |
//! | `/keyed` | `http/post` | the server performs it once per key: `idempotent` |
//! | `/asked` | `http/post` | a second thing: `once`, but the server can be asked by key |
//! | `/plain` | `http/post` | a second thing: `once`, and nobody can be asked |

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::{Ref, RefCell};

use serde_json::{Value, json};

use super::cli::{Place, Served};
use super::counter::Counter;

/// The kinds of calls, by path and tool.
pub const KINDS: [(&str, &str); 5] =
    [("read", "http/get"), ("put", "http/put"), ("keyed", "http/post"), ("asked", "http/post"), ("plain", "http/post")];

/// All of it; what runs is killed when it is dropped.
pub struct Site {
    pub place: Place,
    pub counter: Counter,
    /// Behind a cell, so that a test can hold requests of the counting server while this one is killed.
    server: RefCell<Option<Served>>,
}

/// A job that was asked for; the same request again is the same job.
pub struct Job {
    pub id: String,
    request: Value,
}

impl Site {
    pub fn new() -> Site {
        Site::configured("")
    }

    /// With `more` in the configuration. The server runs.
    pub fn configured(more: &str) -> Site {
        let (place, counter) = (Place::new(), Counter::start());
        counter.json("/read", &json!({"n": 1}));
        counter.json("/put", &json!({"put": true}));
        counter.issues("/keyed", true);
        counter.issues("/asked", false);
        counter.issues("/plain", false);
        let grant = |name: &str, more: &str| {
            let methods = r#"["GET", "PUT", "POST", "DELETE"]"#;
            format!(
                "[[grant]]\nkind = \"http\"\nname = \"{name}\"\norigin = \"{}\"\npath = \"/{name}\"\nmethods = {methods}\n{more}\n",
                counter.origin()
            )
        };
        let grants = [
            grant("read", ""),
            grant("put", ""),
            grant("keyed", "key_header = \"Idempotency-Key\""),
            grant("asked", "reconcile = \"/asked/by-key/{key}\""),
            grant("plain", ""),
        ];
        place.file("data/reprise.toml", &format!("{}\n{more}", grants.concat()));
        // So that a process can be told where to die.
        place.file("data/SCRATCH", "");
        let site = Site { place, counter, server: RefCell::new(None) };
        site.start();
        site
    }

    pub fn start(&self) {
        let started = Served::start(&self.place, &[]);
        self.server.replace(Some(started));
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.server.take().unwrap().child.kill();
    }

    /// As [`Site::kill`], where it runs.
    pub fn stop(&self) {
        drop(self.server.take());
    }

    pub fn restart(&self) {
        self.kill();
        self.start();
    }

    pub fn server(&self) -> Ref<'_, Served> {
        Ref::map(self.server.borrow(), |server| server.as_ref().unwrap())
    }

    /// A node that calls `/KIND/REST`.
    pub fn node(&self, id: &str, kind: &str, rest: &str) -> Value {
        let tool = KINDS.iter().find(|(name, _)| *name == kind).unwrap().1;
        let mut node = json!({"id": id, "kind": "tool", "tool": tool, "input": {"url": self.counter.url(&format!("/{kind}/{rest}"))}});
        if tool != "http/get" {
            node["input"]["body"] = json!({"from": id});
        }
        node
    }

    /// Starts a job of these nodes, with what `more` adds to the request.
    pub fn job(&self, nodes: &[Value], more: &Value) -> Job {
        let last = nodes.iter().rev().find(|node| node["kind"] == "tool").map_or(Value::Null, |node| json!({"$from": node["id"]}));
        let graph = json!({"graph_version": 1, "goal": "try it", "nodes": nodes, "output": last});
        let mut request = json!({"graph": graph, "idempotency_key": format!("{:x}", reprise::ids::random_u64())});
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        self.ask(request)
    }

    pub fn ask(&self, request: Value) -> Job {
        let (status, job) = self.server().post("/v1/jobs", &request).unwrap();
        assert!(status == 202 || status == 200, "{status} {job:#}");
        Job { id: job["job_id"].as_str().unwrap().to_owned(), request }
    }

    /// The job once it has ended, or stands until somebody says something.
    pub fn stood(&self, job: &Job) -> Value {
        let mut request = job.request.clone();
        request["wait_ms"] = json!(50_000);
        let (_, stood) = self.server().post("/v1/jobs", &request).unwrap();
        assert_eq!(stood["job_id"], job.id, "it is the same job");
        stood
    }

    /// As [`Site::stood`], and it completed.
    pub fn completed(&self, job: &Job) -> Value {
        let stood = self.stood(job);
        assert_eq!(stood["status"], "completed", "{stood:#}");
        stood
    }

    /// Says something to a job: `POST /v1/jobs/{id}/WHAT`.
    pub fn say(&self, job: &Job, what: &str, body: &Value) -> (u16, Value) {
        self.server().post(&format!("/v1/jobs/{}/{what}", job.id), body).unwrap()
    }

    pub fn get(&self, job: &Job) -> Value {
        self.server().get(&format!("/v1/jobs/{}", job.id)).1
    }

    pub fn journal(&self, job: &Job) -> Vec<Value> {
        let mut entries: Vec<Value> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry| entry["seq"].as_u64().unwrap());
            let page = self.server().get(&format!("/v1/jobs/{}/journal?after={after}&limit=500", job.id)).1;
            entries.extend(page["entries"].as_array().unwrap().iter().cloned());
            if page["next"].is_null() {
                return entries;
            }
        }
    }

    /// Requests with these methods to this path.
    pub fn count(&self, kind: &str, rest: &str) -> usize {
        let method = match kind {
            "read" => "GET",
            "put" => "PUT",
            _ => "POST",
        };
        self.counter.count(method, &format!("/{kind}/{rest}"))
    }
}

/// The kinds of a journal's entries.
pub fn kinds(journal: &[Value]) -> Vec<&str> {
    journal.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

/// True where the large sizes are asked for: `REPRISE_TEST_FULL=1`.
pub fn in_full() -> bool {
    std::env::var_os("REPRISE_TEST_FULL").is_some()
}
