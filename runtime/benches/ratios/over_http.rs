//! The same over HTTP on loopback, from kept-open connections.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use reprise::engine::{Engine, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::durable::with_caller;
use super::guest;
use super::report::{Report, median};

struct Server {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(engine: Engine) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it listens");
    let task = tokio::spawn(async move { drop(reprise::http::serve(listener, engine, std::future::pending()).await) });
    Server { address, task }
}

/// A kept-open connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket takes it");
        Client { stream, buffer: vec![0; 64 * 1024] }
    }

    /// Posts `body`; panics where the answer is not 2xx.
    async fn post(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("the server takes it");
        let mut have = 0;
        loop {
            have += self.stream.read(&mut self.buffer[have..]).await.expect("the server answers");
            let text = String::from_utf8_lossy(&self.buffer[..have]);
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse::<usize>().ok()));
            if rest.len() >= length.expect("the server says how long its answer is") {
                assert!(head.starts_with("HTTP/1.1 2"), "{path}: {text}");
                return;
            }
        }
    }
}

/// `clients` at once, each doing `each` with its own number until `time` is over; requests, rate and the middle.
async fn load<F>(address: SocketAddr, clients: usize, time: Duration, each: impl Fn(usize, usize, Client) -> F) -> (f64, Duration)
where
    F: Future<Output = Client> + Send + 'static,
{
    let start = Instant::now();
    let mut times = Vec::new();
    let mut open = Vec::new();
    for _ in 0..clients {
        open.push(Some(Client::connect(address).await));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in open.iter_mut().enumerate() {
        let future = each(number, 0, client.take().expect("it was just opened"));
        tasks.spawn(async move {
            let begun = Instant::now();
            (number, 0, future.await, begun.elapsed())
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, round, client, took) = done.expect("no client panics");
        times.push(took);
        if start.elapsed() < time {
            let future = each(number, round + 1, client);
            tasks.spawn(async move {
                let begun = Instant::now();
                (number, round + 1, future.await, begun.elapsed())
            });
        }
    }
    let requests = f64::from(u32::try_from(times.len()).expect("millions at the most"));
    (requests / start.elapsed().as_secs_f64(), median(times))
}

const REPLAY: &str = "/v1/memory/replay";

pub(super) async fn recording(home: &Path, report: &mut Report) {
    let server = serve(Engine::open(&Settings::of(home.join("recording"))).expect("the directory opens")).await;
    let time = Duration::from_millis(if report.quick { 50 } else { 4_000 });
    for (clients, label) in [(1, "one"), (64, "many")] {
        // Every client records into runs of its own, a new one every 1,000 steps, as agents do.
        let (rate, p50) = load(server.address, clients, time, |number, round, mut client| async move {
            let run = format!("{label}-{number}-{}", round / 1_000);
            if round % 1_000 == 0 {
                client.post(&format!("{REPLAY}/run/start"), &format!(r#"{{"run_id":"{run}","goal":"measure"}}"#)).await;
            }
            let step = format!(r#"{{"run_id":"{run}","step_id":"s{round}","step_index":{},"tool_name":"bash","tool_input":{{"argv":["echo","{round}"]}}}}"#, round % 1_000 + 1);
            client.post(&format!("{REPLAY}/step/before"), &step).await;
            client
        })
        .await;
        if clients == 1 {
            report.at_most("HTTP: record one step, durable, 1 connection, p50", p50, Duration::from_millis(1));
        } else {
            report.rate_at_least("HTTP: record one step, durable, 64 connections", rate, 10_000.0, "/s");
        }
    }
}

pub(super) async fn jobs(home: &Path, report: &mut Report) {
    let (engine, playbook) = with_caller(&home.join("jobs")).await;
    let server = serve(engine).await;
    let time = Duration::from_millis(if report.quick { 50 } else { 3_000 });
    let body = |steps: usize| format!(r#"{{"playbook_id":"{playbook}","input":{},"wait_ms":50000}}"#, guest::calls(steps));
    for (steps, target_us) in [(1, 800), (3, 1_200), (20, 4_500)] {
        let body = body(steps);
        let (_, p50) = load(server.address, 1, time, |_, _, mut client| {
            let body = body.clone();
            async move {
                client.post("/v1/jobs", &body).await;
                client
            }
        })
        .await;
        report.at_most(&format!("HTTP: whole job of {steps} durable steps, 1 client, p50"), p50, Duration::from_micros(target_us));
    }
    let body = body(3);
    let (rate, _) = load(server.address, 64, time, |_, _, mut client| {
        let body = body.clone();
        async move {
            client.post("/v1/jobs", &body).await;
            client
        }
    })
    .await;
    report.rate_at_least("HTTP: jobs of 3 durable steps, 64 clients", rate, 5_000.0, "/s");
}
