//! A real server in this process, on a port and a data directory of its own.
//!
//! Every answer that a test gets from it is held against the OpenAPI document, so that no test passes on an answer
//! that is not documented.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use reprise::engine::{Engine, Settings};
use reprise::tools::Grant;
use serde_json::Value;
use tempfile::TempDir;
use ureq::http::{HeaderMap, Request};

use super::documented;

/// Longer than any request here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that runs until it is dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    data: TempDir,
    agent: ureq::Agent,
    running: Option<Running>,
}

struct Running {
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What a request came to.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Server {
    /// On an empty data directory, with no grants.
    pub fn start() -> Server {
        Server::granting(&[])
    }

    /// On an empty data directory; `grants` as on the command line.
    pub fn granting(grants: &[String]) -> Server {
        Server::configured(grants, "")
    }

    /// The same with this configuration.
    pub fn configured(grants: &[String], config: &str) -> Server {
        let data = tempfile::tempdir().unwrap();
        if !config.is_empty() {
            std::fs::write(data.path().join("reprise.toml"), config).unwrap();
        }
        let (address, running) = run(data.path(), grants);
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Server { address, data, agent: config.into(), running: Some(running) }
    }

    /// Stops the server in order and starts another one on the same data.
    pub fn restart(&mut self) {
        self.restart_granting(&[]);
    }

    /// As [`Server::restart`], with these grants.
    pub fn restart_granting(&mut self, grants: &[String]) {
        self.running.take().unwrap().stop();
        let (address, running) = run(self.data.path(), grants);
        self.address = address;
        self.running = Some(running);
    }

    /// `GET`; the answer must be as documented.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// `POST` of JSON; the answer must be as documented.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], Some(body.to_string().into_bytes()))
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Any request of an operator, with JSON or nothing.
    pub fn operator(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.operator_token());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, body.map(|body| body.to_string().into_bytes()))
    }

    /// Any request; the answer must be as documented.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut answered = answered.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let bytes = answered.body_mut().with_config().limit(64 * 1024 * 1024).read_to_vec().unwrap();
        let answer = Answer { status: answered.status().as_u16(), headers: answered.headers().clone(), bytes };
        assert!(answer.headers.contains_key("x-request-id"), "{method} {path} has no x-request-id");
        if answer.is_json() {
            documented::check(method, path, answer.status, &answer.json());
        }
        answer
    }

    /// What an operator shows.
    pub fn operator_token(&self) -> String {
        std::fs::read_to_string(self.data.path().join(reprise::engine::OPERATOR_TOKEN_FILE)).unwrap().trim().to_owned()
    }

    /// The server is there and can do its work.
    pub fn assert_alive(&self) {
        let answer = self.get("/healthz");
        assert_eq!((answer.status, &answer.json()["store"]["writable"]), (200, &Value::Bool(true)));
    }
}

impl Answer {
    pub fn is_json(&self) -> bool {
        self.headers.get("content-type").is_some_and(|kind| kind == "application/json")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The body of a success.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Fails unless the answer is this error; gives the envelope.
    pub fn refused(&self, status: u16, error: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["error"].as_str()), (status, Some(error)), "{body}");
        assert_eq!(body["status"], status, "{body}");
        body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

impl Running {
    fn stop(self) {
        let _ = self.stop.send(());
        let ended = self.thread.join();
        if !std::thread::panicking() {
            ended.expect("the server ends in order");
        }
    }
}

fn run(data: &Path, grants: &[String]) -> (SocketAddr, Running) {
    let grants = grants.iter().map(|text| Grant::parse_flag(text).unwrap()).collect();
    let settings = Settings { grants, ..Settings::of(data) };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (tell, told) = mpsc::channel();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let engine = Engine::open(&settings).unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            engine.resume_all().await.unwrap();
            let until_stopped = async {
                let _ = stopped.await;
            };
            reprise::http::serve(listener, engine.clone(), until_stopped).await.unwrap();
            engine.shut_down().await;
        });
    };
    let thread = std::thread::Builder::new().name("server".to_owned()).spawn(work).unwrap();
    (told.recv_timeout(PATIENCE).expect("the server starts"), Running { stop, thread })
}
