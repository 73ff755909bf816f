//! The shop of the story: orders to look up, and refunds, each made once per `Idempotency-Key` and found again by it.
//!
//! A real server on this machine, in plain threads, one request a connection. Told to hold, it makes the next refund and
//! then keeps its answer to itself: that is the moment at which nobody but the shop knows that it happened.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::error::Result;

/// The order of the story.
pub(super) const ORDER: &str = "A-1001";
/// A client that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one request.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// The shop, until it is dropped.
pub(super) struct Shop {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told once a refund was made whose answer is held back.
    holds: Notify,
}

#[derive(Default)]
struct State {
    /// How often each came: `GET /orders/A-1001`.
    seen: BTreeMap<String, usize>,
    refunds: Vec<Refund>,
    hold: bool,
    closed: bool,
}

struct Refund {
    key: String,
    id: String,
    order: Value,
    amount: Value,
}

impl Refund {
    fn shown(&self) -> Value {
        json!({"id": self.id, "order": self.order, "amount": self.amount})
    }
}

impl Shop {
    pub(super) fn open() -> Result<Shop> {
        let listening = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening.map_err(|e| super::super::cannot("open the shop", &e))?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.state().closed {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A client that was killed in the middle of its request is no failure of the shop's.
                std::thread::spawn(move || serve(&shared, stream).ok());
            }
        });
        Ok(Shop { address, shared })
    }

    /// `http://127.0.0.1:PORT`
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next refund is made, and not answered.
    pub(super) fn hold(&self) {
        self.shared.state().hold = true;
    }

    /// Waits until a refund was made and is held.
    pub(super) async fn held(&self) {
        self.shared.holds.notified().await;
    }

    /// How many refunds were made.
    pub(super) fn refunds(&self) -> usize {
        self.shared.state().refunds.len()
    }

    /// How often each request came.
    pub(super) fn seen(&self) -> BTreeMap<String, usize> {
        self.shared.state().seen.clone()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let Some(Asked { line, key, body }) = read(&stream)? else { return Ok(()) };
    let (status, answer, held) = {
        let mut state = shared.state();
        // Keys differ from one telling to the next.
        let name = line.split_once("/by-key/").map_or(line.clone(), |(place, _)| format!("{place}/by-key/…"));
        *state.seen.entry(name).or_default() += 1;
        let (status, answer) = answered(&mut state, &line, key, &body);
        let held = line == "POST /refunds" && status == 200 && std::mem::take(&mut state.hold);
        (status, answer, held)
    };
    if held {
        shared.holds.notify_one();
        // Until whoever asked is gone.
        return stream.read(&mut [0]).map(drop);
    }
    let body = answer.to_string();
    let head =
        format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}

fn answered(state: &mut State, line: &str, key: Option<String>, body: &[u8]) -> (u16, Value) {
    let none = (404, json!({"error": "there is nothing of this name"}));
    if line == format!("GET /orders/{ORDER}") {
        return (200, json!({"order": ORDER, "customer": "Ada", "amount": 49.9, "days": 12}));
    }
    if let Some(key) = line.strip_prefix("GET /refunds/by-key/") {
        return state.refunds.iter().find(|refund| refund.key == key).map_or(none, |refund| (200, refund.shown()));
    }
    if line != "POST /refunds" {
        return none;
    }
    let (Some(key), Ok(asked)) = (key, serde_json::from_slice::<Value>(body)) else {
        return (400, json!({"error": "a refund has a key and is JSON"}));
    };
    if let Some(there) = state.refunds.iter().find(|refund| refund.key == key) {
        return (200, there.shown());
    }
    let refund =
        Refund { key, id: format!("R-{}", state.refunds.len() + 1), order: asked["order"].clone(), amount: asked["amount"].clone() };
    let shown = refund.shown();
    state.refunds.push(refund);
    (200, shown)
}

/// One request.
struct Asked {
    /// `POST /refunds`
    line: String,
    key: Option<String>,
    body: Vec<u8>,
}

/// None where the client closed its side before a whole request.
fn read(stream: &TcpStream) -> std::io::Result<Option<Asked>> {
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let (mut key, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Some(Asked { line: format!("{method} {path}"), key, body }))
}
