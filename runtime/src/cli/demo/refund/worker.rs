//! The processes of the story: one that serves, is asked over HTTP and is killed; one that takes up what it left.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::cannot;
use crate::error::{Code, Error, Result};
use crate::ids::JobId;
use crate::limits;

/// A server of its own.
pub(super) struct Worker {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Worker {
    /// On the data directory; its configuration lies there.
    pub(super) async fn start(data: &Path) -> Result<Worker> {
        let mut child = program(data)?
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| cannot("start a server", &e))?;
        let mut lines = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        let said = lines.next_line().await.map_err(|e| cannot("hear the server", &e))?.unwrap_or_default();
        let said: Value = serde_json::from_str(&said).unwrap_or_default();
        let url = said["listening"].as_str().ok_or_else(|| broken("the server did not start".to_owned()))?.to_owned();
        let client =
            reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_millis(limits::WAIT_MS_MAX * 2)).build();
        let client = client.map_err(|e| broken(format!("the HTTP client: {e}")))?;
        Ok(Worker { child, url, client })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.answer(self.client.get(format!("{}{path}", self.url)), path).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        self.answer(request.body(body.to_string()), path).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value> {
        let lost = |e: reqwest::Error| broken(format!("{path}: {e}"));
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let text = response.text().await.map_err(lost)?;
        if !status.is_success() {
            return Err(broken(format!("{path} was answered with {status}: {text}")));
        }
        serde_json::from_str(&text).map_err(|e| broken(format!("{path}: {e}")))
    }

    /// SIGKILL: nothing of it is left but what is on disk.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.map_err(|e| cannot("kill the server", &e))
    }
}

/// `reprise jobs resume JOB`, in a process of its own, to its end; the job as it says.
pub(super) async fn take_up(data: &Path, job: &JobId) -> Result<Value> {
    let out = program(data)?.args(["jobs", "resume", &job.to_string()]).kill_on_drop(true).output();
    let out = out.await.map_err(|e| cannot("start a process", &e))?;
    serde_json::from_slice(&out.stdout).map_err(|_| broken(format!("the job was not taken up: {}", String::from_utf8_lossy(&out.stderr))))
}

fn program(data: &Path) -> Result<Command> {
    let program = std::env::current_exe().map_err(|e| cannot("find the program", &e))?;
    let mut command = Command::new(program);
    command.arg("--data").arg(data).arg("--json").stdin(Stdio::null());
    Ok(command)
}

pub(super) fn broken(why: String) -> Error {
    Error::new(Code::InternalError, format!("the story cannot go on: {why}"))
}
