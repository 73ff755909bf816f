//! A small tool server in the test's own process, which outlives a kill of the product: it counts what arrives, by
//! method, path and key, in the order of arrival, and behaves as a test tells it to.
//!
//! Plain threads, one request a connection. A path is looked up among the rules that were added last first; those that
//! disturb (`fail_first`, `cut`, `hold`) let the next rule answer once they are used up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than anything here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server until it is dropped.
pub struct Counter {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request that was read to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// When a disturbance comes: before the request takes effect here, or after that and before the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    Before,
    After,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told of every change of the state.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// A prefix of paths, and what happens there; later ones come first.
    rules: Vec<(String, Rule)>,
    /// Requests that are held now or were, by gate.
    gates: Vec<Gate>,
    /// What `issues` made: the keys, in order. The id follows from the place.
    issued: Vec<Option<String>>,
    stopping: bool,
}

#[derive(Clone)]
enum Rule {
    Answer { status: u16, kind: String, headers: Vec<(String, String)>, body: Vec<u8> },
    Reply(Reply),
    Issues { by_key: bool },
    Fail { left: usize, status: u16 },
    Cut { left: usize, when: When },
    Hold { gate: usize, when: When },
}

/// Makes an answer of a request: status, headers, body.
pub type Reply = Arc<dyn Fn(&Seen) -> (u16, Vec<(&'static str, String)>, Vec<u8>) + Send + Sync>;

#[derive(Default)]
struct Gate {
    open: bool,
    held: usize,
    gone: usize,
}

/// Requests under a prefix wait here.
pub struct Held<'a> {
    counter: &'a Counter,
    gate: usize,
}

impl Counter {
    pub fn start() -> Counter {
        Counter::at("127.0.0.1:0")
    }

    /// On this address of this machine.
    pub fn at(address: &str) -> Counter {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.state().stopping {
                    return;
                }
                let (shared, stream) = (Arc::clone(&serving), stream.unwrap());
                // A client that was killed in the middle of its request is no failure of the server's.
                std::thread::spawn(move || serve(&shared, stream).ok());
            }
        });
        Counter { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers with this JSON, 200.
    pub fn json(&self, prefix: &str, body: &Value) {
        self.answer(prefix, 200, "application/json", &[], body.to_string());
    }

    /// Answers so; without a `content-type` where `kind` is empty.
    pub fn answer(&self, prefix: &str, status: u16, kind: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.add(prefix, Rule::Answer { status, kind: kind.to_owned(), headers, body: body.into() });
    }

    /// Answers each request with what `reply` makes of it.
    pub fn reply(&self, prefix: &str, reply: Reply) {
        self.add(prefix, Rule::Reply(reply));
    }

    /// POST makes a thing, `{"id": "r-1"}`: one for each key, or one for each request where `by_key` is false.
    /// GET `PREFIX/by-key/KEY` looks the key's first thing up, or answers 404.
    pub fn issues(&self, prefix: &str, by_key: bool) {
        self.add(prefix, Rule::Issues { by_key });
    }

    /// The first `n` requests get this status, and have no effect.
    pub fn fail_first(&self, prefix: &str, n: usize, status: u16) {
        self.add(prefix, Rule::Fail { left: n, status });
    }

    /// The next `n` requests are read, and their connection is closed without an answer.
    pub fn cut(&self, prefix: &str, n: usize, when: When) {
        self.add(prefix, Rule::Cut { left: n, when });
    }

    /// Requests are read and held until they are released.
    pub fn hold(&self, prefix: &str, when: When) -> Held<'_> {
        let gate = {
            let mut state = self.shared.state();
            state.gates.push(Gate::default());
            state.gates.len() - 1
        };
        self.add(prefix, Rule::Hold { gate, when });
        Held { counter: self, gate }
    }

    fn add(&self, prefix: &str, rule: Rule) {
        self.shared.state().rules.push((prefix.to_owned(), rule));
    }

    /// Every request so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// How many requests came with this method to this path.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.shared.state().seen.iter().filter(|seen| seen.method == method && seen.path == path).count()
    }

    /// How often each key came with this method to this path.
    pub fn by_key(&self, method: &str, path: &str) -> BTreeMap<String, usize> {
        let state = self.shared.state();
        let mut counts = BTreeMap::new();
        for seen in state.seen.iter().filter(|seen| seen.method == method && seen.path == path) {
            *counts.entry(seen.key.clone().unwrap_or_default()).or_default() += 1;
        }
        counts
    }

    /// How many things were made.
    pub fn issued(&self) -> usize {
        self.shared.state().issued.len()
    }

    /// Waits until so many requests have come.
    pub fn wait_for(&self, requests: usize) {
        self.shared.wait(|state| state.seen.len() >= requests);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.stopping = true;
        state.gates.iter_mut().for_each(|gate| gate.open = true);
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl Held<'_> {
    /// Waits until so many requests have come here.
    pub fn wait_until_held(&self, requests: usize) {
        self.counter.shared.wait(|state| state.gates[self.gate].held >= requests);
    }

    /// Waits until so many of those held were given up by whoever sent them.
    pub fn wait_until_gone(&self, requests: usize) {
        self.counter.shared.wait(|state| state.gates[self.gate].gone >= requests);
    }

    /// Lets all go on, and those that come later go through.
    pub fn release(&self) {
        self.counter.shared.state().gates[self.gate].open = true;
        self.counter.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        let (state, waited) = self.changed.wait_timeout_while(self.state(), PATIENCE, |state| !until(state)).unwrap();
        assert!(!waited.timed_out(), "it did not come; seen: {:?}", state.seen);
    }

    /// True while the disturbance at this place of the rules has something left; takes one.
    fn take(&self, at: usize) -> bool {
        match &mut self.state().rules[at].1 {
            Rule::Fail { left, .. } | Rule::Cut { left, .. } if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

fn serve(shared: &Arc<Shared>, mut stream: TcpStream) -> std::io::Result<()> {
    let Some(seen) = read(&stream)? else { return Ok(()) };
    let rules: Vec<(usize, Rule)> = {
        let mut state = shared.state();
        state.seen.push(seen.clone());
        let under = |prefix: &String| seen.path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        state.rules.iter().enumerate().rev().filter(|(_, (prefix, _))| under(prefix)).map(|(at, (_, rule))| (at, rule.clone())).collect()
    };
    shared.changed.notify_all();
    let mut afterwards = Vec::new();
    for (at, rule) in rules {
        match rule {
            Rule::Fail { status, .. } if shared.take(at) => return write(&mut stream, status, "text/plain", &[], b"told to fail"),
            Rule::Cut { when: When::Before, .. } if shared.take(at) => return Ok(()),
            Rule::Hold { gate, when: When::Before } => hold(shared, gate, &stream)?,
            Rule::Cut { when: When::After, .. } | Rule::Hold { when: When::After, .. } => afterwards.push((at, rule)),
            Rule::Fail { .. } | Rule::Cut { .. } => {}
            Rule::Answer { status, kind, headers, body } => {
                return disturbed(shared, &afterwards, &mut stream, |stream| write(stream, status, &kind, &headers, &body));
            }
            Rule::Reply(reply) => {
                let (status, headers, body) = reply(&seen);
                let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                return disturbed(shared, &afterwards, &mut stream, |stream| write(stream, status, "", &headers, &body));
            }
            Rule::Issues { by_key } => {
                let (status, body) = issue(shared, &seen, by_key);
                return disturbed(shared, &afterwards, &mut stream, |stream| {
                    write(stream, status, "application/json", &[], body.to_string().as_bytes())
                });
            }
        }
    }
    write(&mut stream, 404, "text/plain", &[], b"nothing here")
}

/// The effect took place; now the answer, unless something comes in between.
fn disturbed(
    shared: &Arc<Shared>,
    rules: &[(usize, Rule)],
    stream: &mut TcpStream,
    answer: impl FnOnce(&mut TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    for (at, rule) in rules {
        match rule {
            Rule::Cut { .. } if shared.take(*at) => return Ok(()),
            Rule::Hold { gate, .. } => hold(shared, *gate, stream)?,
            _ => {}
        }
    }
    answer(stream)
}

fn issue(shared: &Shared, seen: &Seen, by_key: bool) -> (u16, Value) {
    let mut state = shared.state();
    let asked = if seen.method == "GET" { seen.path.rsplit('/').next().map(str::to_owned) } else { seen.key.clone() };
    let there = asked.as_ref().and_then(|key| state.issued.iter().position(|issued| issued.as_ref() == Some(key)));
    let id = |at: usize| json!({ "id": format!("r-{}", at + 1) });
    match (seen.method.as_str(), there) {
        ("GET", None) => (404, json!({ "error": "no such key" })),
        ("GET", Some(at)) => (200, id(at)),
        (_, Some(at)) if by_key => (200, id(at)),
        _ => {
            state.issued.push(seen.key.clone());
            (200, id(state.issued.len() - 1))
        }
    }
}

/// Waits at the gate; an error where whoever sent the request is gone.
fn hold(shared: &Arc<Shared>, gate: usize, stream: &TcpStream) -> std::io::Result<()> {
    shared.state().gates[gate].held += 1;
    shared.changed.notify_all();
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (watched, watching, is_gone) = (stream.try_clone()?, Arc::clone(shared), Arc::clone(&gone));
    // A client sends nothing more; reading ends when it closes its side.
    std::thread::spawn(move || {
        let _ = (&watched).read(&mut [0]);
        let mut state = watching.state();
        if !state.gates[gate].open {
            state.gates[gate].gone += 1;
            is_gone.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        drop(state);
        watching.changed.notify_all();
    });
    let left = |gone: &std::sync::atomic::AtomicBool| gone.load(std::sync::atomic::Ordering::SeqCst);
    drop(shared.changed.wait_while(shared.state(), |state| !state.gates[gate].open && !left(&gone)).unwrap());
    if left(&gone) { Err(std::io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}

/// None where the client closed its side before a whole request.
pub(super) fn read(stream: &TcpStream) -> std::io::Result<Option<Seen>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    let key = headers.get("idempotency-key").cloned();
    Ok(Some(Seen { method, path, query, key, headers, body: String::from_utf8_lossy(&body).into_owned() }))
}

pub(super) fn write(stream: &mut TcpStream, status: u16, kind: &str, headers: &[(String, String)], body: &[u8]) -> std::io::Result<()> {
    let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} Told\r\n{kind}content-length: {}\r\nconnection: close\r\n{more}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())?;
    stream.shutdown(Shutdown::Write)?;
    // Until the client closes, so that what is on its way to it is not reset.
    stream.read(&mut [0]).map(drop)
}
