//! The client's side of a journal that is sent as events.
//!
//! It takes up the journal behind the last entry it had, however often the connection breaks or the server starts
//! anew. It prints nothing.

use reqwest::header::ACCEPT;
use reqwest::{Client, Response, Url};
use serde_json::Value;

use crate::cli::remote;
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};
use crate::journal::Status;
use crate::limits;
use crate::outbound::reason;

/// A job on a server.
pub(super) struct Remote {
    client: Client,
    url: Url,
    /// The last entry that was seen.
    last: Option<u64>,
}

/// One event as it came.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<u64>,
    name: String,
    data: String,
}

/// What a connection came to.
enum Came {
    /// The job has ended.
    End(Status),
    /// The connection broke; true where it brought something first.
    Broke(bool),
}

impl Remote {
    /// # Errors
    /// `invalid_request` where `url` is not that of a server.
    pub(super) fn new(url: &str, space: &Space, job: &JobId, after: Option<u64>) -> Result<Remote> {
        let mut address = remote::address(url)?;
        address.set_path(&format!("{}/v1/jobs/{job}/journal", address.path().trim_end_matches('/')));
        address.query_pairs_mut().clear().append_pair("tenant_id", space.tenant()).append_pair("scope", space.scope());
        // The server says something every 15 s; one that is silent for four times as long is gone.
        let client = Client::builder().no_proxy().read_timeout(limits::EVENTS_SILENCE_MAX * 4).build();
        let client = client.map_err(|e| Error::new(Code::InternalError, format!("the HTTP client: {e}")))?;
        Ok(Remote { client, url: address, last: after })
    }

    /// Calls `each` for every entry, in order, until the job has ended.
    ///
    /// # Errors
    /// `server_unreachable`, what the server answers with.
    pub(super) async fn follow(mut self, mut each: impl FnMut(&Value)) -> Result<Status> {
        let mut answered = false;
        let mut in_vain = 0;
        loop {
            match self.connect().await {
                Ok(response) => {
                    answered = true;
                    match self.read(response, &mut each).await? {
                        Came::End(status) => return Ok(status),
                        Came::Broke(true) => in_vain = 0,
                        Came::Broke(false) => in_vain += 1,
                    }
                }
                // One that was never there is a wrong address; one that is away for a while comes back.
                Err(e) if answered && e.code == Code::ServerUnreachable && in_vain < limits::WATCH_RECONNECTS_MAX => in_vain += 1,
                Err(e) => return Err(e),
            }
            if in_vain > 0 {
                tokio::time::sleep(limits::WATCH_RECONNECT_PAUSE).await;
            }
            if in_vain >= limits::WATCH_RECONNECTS_MAX {
                return Err(self.unreachable("it ends the connection each time"));
            }
        }
    }

    async fn connect(&self) -> Result<Response> {
        let mut request = self.client.get(self.url.clone()).header(ACCEPT, "text/event-stream");
        if let Some(last) = self.last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&reason(e)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Value = response.bytes().await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let known = Code::ALL.iter().copied().find(|code| body["error"] == code.as_str());
        Err(match known {
            // It stops or is full for now, as one that is not there.
            Some(Code::ShuttingDown | Code::TooBusy) => self.unreachable(body["message"].as_str().unwrap_or_default()),
            Some(code) => Error::new(code, body["message"].as_str().unwrap_or_default()),
            None => self.unreachable(&format!("it answers with status {status}, and not as Reprise does")),
        })
    }

    async fn read(&mut self, mut response: Response, each: &mut impl FnMut(&Value)) -> Result<Came> {
        let mut lines = Lines::default();
        let mut brought = false;
        // A broken connection is no different from one that was closed: both are taken up again.
        while let Ok(Some(bytes)) = response.chunk().await {
            for event in lines.take(&bytes)? {
                let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
                match event.name.as_str() {
                    "end" => {
                        let status = data["status"].as_str().and_then(Status::parse);
                        return status
                            .map(Came::End)
                            .ok_or_else(|| self.unreachable("it ends a job in a way that this version does not know"));
                    }
                    "problem" => {
                        let code = Code::ALL.iter().copied().find(|code| data["error"] == code.as_str()).unwrap_or(Code::InternalError);
                        return Err(Error::new(code, data["message"].as_str().unwrap_or("the server cannot go on")));
                    }
                    _ => {
                        brought = true;
                        self.last = event.id.or(self.last);
                        each(&data);
                    }
                }
            }
        }
        Ok(Came::Broke(brought))
    }

    fn unreachable(&self, why: &str) -> Error {
        remote::unreachable(&self.url, why)
    }
}

/// Bytes to events.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    event: Event,
}

impl Lines {
    /// # Errors
    /// `too_large` for a line beyond what a server writes.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\r', '\n']), &mut events);
        }
        if self.rest.len() > limits::HTTP_BODY_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the server sends a line of more than {} bytes", limits::HTTP_BODY_BYTES_MAX)));
        }
        Ok(events)
    }

    fn line(&mut self, line: &str, events: &mut Vec<Event>) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            // A comment, or an empty line more.
            if event != Event::default() {
                events.push(event);
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.event.name),
            "data" => self.event.data.push_str(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let sent = ": here\n\nid: 3\r\nevent: called\ndata: {\"step\":\"ü\"}\n\nevent: end\ndata:{}\n\n".as_bytes();
        let event = |id, name: &str, data: &str| Event { id, name: name.to_owned(), data: data.to_owned() };
        let right = vec![event(Some(3), "called", "{\"step\":\"ü\"}"), event(None, "end", "{}")];
        for size in 1..=sent.len() {
            let mut lines = Lines::default();
            let events: Vec<Event> = sent.chunks(size).flat_map(|piece| lines.take(piece).unwrap()).collect();
            assert_eq!(events, right, "in pieces of {size}");
        }
        let endless = vec![b'x'; limits::HTTP_BODY_BYTES_MAX + 1];
        assert_eq!(Lines::default().take(&endless).unwrap_err().code, Code::TooLarge);
    }
}
