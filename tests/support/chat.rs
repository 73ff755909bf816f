//! A chat endpoint in the test's own process: answers as it was told to, one reply a request, and keeps what it was asked.
//!
//! Once its replies are used up it refuses, so that a request too many is seen.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::counter::{Seen, read, write};

/// What it does with one request.
pub enum Reply {
    /// A completion with this content.
    Says(String),
    /// A completion that was cut off.
    CutOff(String),
    /// Any body, with a status.
    Raw(u16, String),
    /// The connection is closed without an answer.
    Cuts,
    /// It reads the request and never answers.
    Hangs,
}

/// An endpoint until it is dropped.
pub struct Chat {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    replies: Vec<Reply>,
    seen: Vec<Seen>,
    /// Connections that are kept open.
    hanging: Vec<TcpStream>,
    stopping: bool,
}

impl Chat {
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Chat {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared { replies: replies.into_iter().collect(), ..Shared::default() }));
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.lock().unwrap().stopping {
                    return;
                }
                answer(&serving, stream.unwrap()).ok();
            }
        });
        Chat { address, shared }
    }

    /// `127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// `[planner]` of a configuration that asks it.
    pub fn config(&self, more: &str) -> String {
        format!("[planner]\nkind = \"chat\"\nurl = \"http://{}/v1\"\nmodel = \"planner-1\"\n{more}\n", self.address)
    }

    /// Further replies, behind those that are left.
    pub fn reply(&self, reply: Reply) {
        self.shared.lock().unwrap().replies.push(reply);
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().unwrap().seen.clone()
    }

    /// The bodies of every request so far.
    pub fn asked(&self) -> Vec<Value> {
        self.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.shared.lock().unwrap().stopping = true;
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(shared: &Mutex<Shared>, mut stream: TcpStream) -> std::io::Result<()> {
    let Some(seen) = read(&stream)? else { return Ok(()) };
    let mut shared = shared.lock().unwrap();
    let known = (seen.method.as_str(), seen.path.as_str()) == ("POST", "/v1/chat/completions");
    shared.seen.push(seen);
    let reply = if shared.replies.is_empty() { Reply::Raw(410, "nothing more to say".to_owned()) } else { shared.replies.remove(0) };
    let (status, body) = match reply {
        _ if !known => (404, "nothing here".to_owned()),
        Reply::Says(content) => (200, completion(&content, "stop").to_string()),
        Reply::CutOff(content) => (200, completion(&content, "length").to_string()),
        Reply::Raw(status, body) => (status, body),
        Reply::Cuts => return Ok(()),
        Reply::Hangs => {
            shared.hanging.push(stream);
            return Ok(());
        }
    };
    drop(shared);
    write(&mut stream, status, "application/json", &[], body.as_bytes())
}

/// As an OpenAI-compatible endpoint answers; it took 100 tokens and made 20.
fn completion(content: &str, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "planner-1-2026-11-01",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    })
}
