//! A job is watched while it runs: its journal as events, `reprise jobs watch`, and the numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reprise::engine::{Engine, JobRequest, Settings};
use reprise::ids::{JobId, PlaybookId, Space};
use reprise::jobs::Manner;
use reprise::json::Json;
use reprise::tools::Grant;
use reprise::{limits, metrics};
use serde_json::{Value, json};

use super::support::cli::{Place, agent, finished};

/// Long enough that the job stands between two steps until the test is over.
const FOR_EVER: Duration = Duration::from_secs(3_600);
const STEPS: usize = 12;
/// `created`, two for each call, `completed`.
const ENTRIES: u64 = 2 + 2 * STEPS as u64;

/// A server in this process, and the engine under it, so that a test can start jobs that go slowly.
struct Serving {
    place: Option<Place>,
    address: SocketAddr,
    engine: Option<Engine>,
    runtime: tokio::runtime::Runtime,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Serving {
    fn start() -> Serving {
        let place = Place::new();
        place.file("tree/old.txt", "old");
        // Large values: a client that does not read must find its connection full.
        let line = |n| {
            let input = json!({"path": format!("project/{n}.txt"), "text": format!("{n}{}", "x".repeat(30_000))});
            json!({"tool": "fs/write", "input": input, "output": {}}).to_string() + "\n"
        };
        let steps: String = (0..STEPS).map(line).collect();
        let run = |id: &str| format!(r#"{{"run": {{"run_id": "{id}", "goal": "write"}}}}"#) + "\n";
        let end = "{\"end\": {\"status\": \"success\"}}\n";
        place.playbook("long", &(run("long") + &steps + end));
        let missing = "{\"tool\": \"fs/read\", \"input\": {\"path\": \"project/missing.txt\"}, \"output\": {\"text\": \"\"}}\n";
        place.playbook("fails", &(run("fails") + missing + end));

        let grant = Grant::parse_flag(&format!("fs:project={}", place.path("tree").display())).unwrap();
        let settings = Settings { grants: vec![grant], ..Settings::of(place.path("data")) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let engine = Engine::open(&settings).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        engine.note(&format!("serving http://{address}, which answers the same questions")).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = reprise::http::serve(listener, engine.clone(), async {
            let _ = stopped.await;
        });
        let served = runtime.spawn(async { serving.await.unwrap() });
        Serving { place: Some(place), address, engine: Some(engine), runtime, stop: Some(stop), served: Some(served) }
    }

    fn job(&self, playbook: &str, pace: Duration) -> JobId {
        let request = JobRequest {
            playbook_id: PlaybookId::parse(playbook).unwrap(),
            version: None,
            input: Json::from(&json!({})),
            idempotency_key: None,
            grants: Vec::new(),
            options: reprise::journal::Options::default(),
        };
        let manner = Manner { pace: Some(pace), watched: true };
        self.runtime.block_on(self.engine.as_ref().unwrap().start_job(&Space::default_space(), request, manner)).unwrap()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Events of a job from here on.
    fn events(&self, job: &JobId, query: &str, last_seen: Option<u64>) -> Events {
        let mut request = agent().get(format!("{}/v1/jobs/{job}/journal{query}", self.url())).header("accept", "text/event-stream");
        if let Some(last) = last_seen {
            request = request.header("last-event-id", last.to_string());
        }
        let answer = request.call().unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
        Events(BufReader::new(Box::new(answer.into_body().into_reader())))
    }

    fn listed(&self, job: &JobId) -> Vec<Value> {
        let mut answer = agent().get(format!("{}/v1/jobs/{job}/journal?limit=500", self.url())).call().unwrap();
        answer.body_mut().read_json::<Value>().unwrap()["entries"].as_array().unwrap().clone()
    }

    fn place(&self) -> &Place {
        self.place.as_ref().unwrap()
    }

    /// Stops the server and closes the data directory.
    fn closed(mut self) -> Place {
        self.stopped();
        let engine = self.engine.take().unwrap();
        self.runtime.block_on(engine.shut_down());
        drop(engine);
        self.place.take().unwrap()
    }

    /// Tells the server to stop; the time until it has.
    fn stopped(&mut self) -> Duration {
        let begun = Instant::now();
        self.stop.take().unwrap().send(()).unwrap();
        self.runtime.block_on(self.served.take().unwrap()).unwrap();
        begun.elapsed()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.runtime.block_on(engine.shut_down());
        }
    }
}

/// What a server sends; ends where the connection does.
struct Events(BufReader<Box<dyn Read + Send>>);

impl Iterator for Events {
    /// Number, kind, value.
    type Item = (Option<u64>, String, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let mut event = (None, String::new(), Value::Null);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => event.0 = Some(id.parse().unwrap()),
                Some(("event", kind)) => event.1 = kind.to_owned(),
                Some(("data", data)) => event.2 = serde_json::from_str(data).unwrap(),
                None if line == "\n" && !event.1.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}

/// All that is heard up to the end of the job, which must be told last.
fn heard(events: Events) -> Vec<Value> {
    let mut all: Vec<_> = events.collect();
    let (id, kind, data) = all.pop().unwrap();
    assert_eq!((id, kind.as_str(), &data["status"]), (None, "end", &json!("completed")));
    let entry = |(id, kind, data): (Option<u64>, String, Value)| {
        assert_eq!((&json!(id), &json!(kind)), (&data["seq"], &data["kind"]));
        data
    };
    all.into_iter().map(entry).collect()
}

#[test]
fn each_client_hears_every_entry_once_whenever_it_comes_and_however_slowly_it_listens() {
    let serving = Serving::start();
    let job = serving.job("long", Duration::from_millis(30));
    let slow = serving.events(&job, "", None);
    let (tell, told) = mpsc::channel();
    let everything = std::thread::scope(|threads| {
        let first = threads.spawn(|| heard(Events(BufReader::new(Box::new(Telling { of: serving.events(&job, "", None).0, tell })))));
        // From a number on, while the job goes on.
        let behind = [0, 3, 7, ENTRIES].map(|after| (after, serving.events(&job, &format!("?after={after}"), None)));
        // In the middle of it.
        told.recv().expect("the job has begun");
        let middle = serving.events(&job, "", None);
        // One that loses its connection after every few events, and comes back with the same URL.
        let broken = threads.spawn(|| {
            let (mut seen, mut ended) = (Vec::new(), false);
            while !ended {
                assert!(seen.len() as u64 <= ENTRIES, "it hears again what it said it had");
                let last = seen.last().map(|entry: &Value| entry["seq"].as_u64().unwrap());
                for (_, kind, data) in serving.events(&job, "?after=2", last).take(3) {
                    ended = kind == "end";
                    if !ended {
                        seen.push(data);
                    }
                }
            }
            seen
        });
        let everything = first.join().unwrap();
        for (after, events) in behind {
            assert_eq!(heard(events), everything[usize::try_from(after).unwrap()..], "behind {after}");
        }
        assert_eq!(heard(middle), everything);
        assert_eq!(broken.join().unwrap(), everything[2..]);
        everything
    });
    assert_eq!(heard(slow), everything, "one that listens only when all is over");
    assert_eq!(heard(serving.events(&job, "", None)), everything, "one that comes when all is over");
    assert_eq!(everything, serving.listed(&job));
    assert_eq!(everything.len() as u64, ENTRIES);
}

#[test]
fn an_entry_is_heard_while_the_job_goes_on() {
    let serving = Serving::start();
    let live = (0..4).any(|attempt| {
        let job = serving.job("long", Duration::from_millis(30 << attempt));
        let heard = serving.events(&job, "", None).take(4).count();
        heard == 4 && (serving.listed(&job).len() as u64) < ENTRIES
    });
    assert!(live, "each time the job was over before its fourth entry was heard");
}

/// Passes on what it reads, and tells of the first bytes.
struct Telling {
    of: BufReader<Box<dyn Read + Send>>,
    tell: mpsc::Sender<()>,
}

impl Read for Telling {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.of.read(into)?;
        let _ = self.tell.send(());
        Ok(n)
    }
}

#[test]
fn what_cannot_be_sent_as_events_is_refused_before_the_first() {
    let serving = Serving::start();
    let job = serving.job("long", Duration::ZERO);
    let nobody = JobId::fresh();
    for (job, query, last, status, error) in [
        (&nobody, "", None, 404, "job_not_found"),
        (&job, "?limit=3", None, 400, "invalid_request"),
        (&job, "?after=x", None, 400, "invalid_request"),
        (&job, "", Some("seven"), 400, "invalid_request"),
        (&job, "?tenant_id=other", None, 404, "job_not_found"),
    ] {
        let mut request = agent().get(format!("{}/v1/jobs/{job}/journal{query}", serving.url())).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut answer = request.call().unwrap();
        let body: Value = answer.body_mut().read_json().unwrap();
        assert_eq!((answer.status().as_u16(), &body["error"]), (status, &json!(error)), "{query} {last:?}: {body}");
    }
}

#[test]
fn a_server_that_stops_ends_its_streams_at_once_and_says_no_end() {
    let mut serving = Serving::start();
    let job = serving.job("long", FOR_EVER);
    let mut events = serving.events(&job, "", None);
    assert_eq!(events.next().unwrap().1, "created");
    let took = serving.stopped();
    assert!(took < limits::SHUTDOWN_TIME_MAX, "{took:?}");
    assert_eq!(events.next(), None);
}

#[test]
fn no_more_journals_are_sent_at_once_than_the_limit_says() {
    let serving = Serving::start();
    let job = serving.job("long", FOR_EVER);
    let ask = || {
        let mut stream = TcpStream::connect(serving.address).unwrap();
        write!(stream, "GET /v1/jobs/{job}/journal HTTP/1.1\r\nhost: localhost\r\naccept: text/html, text/event-stream;q=0.9\r\n\r\n")
            .unwrap();
        let mut lines = BufReader::new(stream);
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        (first, lines)
    };
    let open: Vec<_> = (0..limits::JOURNAL_STREAMS_MAX).map(|_| ask()).collect();
    assert!(open.iter().all(|(first, _)| first.starts_with("HTTP/1.1 200")), "{:?}", open[0].0);
    assert!(ask().0.starts_with("HTTP/1.1 503"), "one more");
}

#[test]
fn jobs_watch_shows_a_servers_job_to_its_end_and_exits_as_it_ended() {
    let serving = Serving::start();
    let url = serving.url();
    let (long, fails) = (serving.job("long", Duration::from_millis(10)), serving.job("fails", Duration::ZERO));
    let watch = |job: &JobId, more: &[&str]| {
        let ran = serving.place().run(&[&["jobs", "watch", &job.to_string(), "--url", &url], more].concat());
        (ran.code, ran.stdout, ran.stderr)
    };
    let (code, stdout, stderr) = watch(&long, &["--json"]);
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (end, entries) = lines.split_last().unwrap();
    assert_eq!((code, end, entries), (0, &json!({"job_id": long, "status": "completed"}), &*serving.listed(&long)), "{stderr}");
    let (code, stdout, _) = watch(&fails, &[]);
    assert!(stdout.contains("called     call 1, step s1, tool fs/read") && stdout.ends_with(&format!("Job {fails}: failed\n")), "{stdout}");
    assert_eq!(code, 1);
    let (code, stdout, _) = watch(&long, &["--after", &(ENTRIES - 1).to_string()]);
    assert_eq!((code, stdout.lines().count()), (0, 2), "{stdout}");

    // The directory is this process's: the word where to ask stands in the error.
    let ran = serving.place().run(&["jobs", "watch", &long.to_string()]);
    assert_eq!(ran.code, 6);
    assert!(ran.stderr.contains(&format!("reprise jobs watch {long} --url {url}")), "{}", ran.stderr);
    for (address, code, error) in [("ftp://x", 2, "invalid_request"), ("http://127.0.0.1:1", 6, "server_unreachable")] {
        let ran = serving.place().run(&["--json", "jobs", "watch", &long.to_string(), "--url", address]);
        assert!(ran.code == code && ran.stderr.contains(error), "{ran:?}");
    }
}

#[test]
fn jobs_watch_without_a_server_shows_what_there_is_and_says_how_the_job_stands() {
    let serving = Serving::start();
    let (job, stands) = (serving.job("fails", Duration::ZERO), serving.job("long", FOR_EVER));
    let end = serving.events(&job, "", None).last().unwrap();
    assert_eq!(end.2["status"], "failed");
    let place = serving.closed();
    let ran = place.run(&["jobs", "watch", &job.to_string()]);
    assert!(ran.code == 1 && ran.stdout.contains("created") && ran.stdout.ends_with("failed\n"), "{ran:?}");
    let ran = place.run(&["jobs", "watch", &stands.to_string()]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let ran = place.run(&["jobs", "watch", &JobId::fresh().to_string()]);
    assert_eq!(ran.code, 3, "{ran:?}");
}

/// A server that breaks the connection after some entries: `jobs watch` comes back and says what it had.
#[test]
fn jobs_watch_takes_a_broken_stream_up_where_it_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let answers = [
            ("", "id: 1\nevent: created\ndata: {\"seq\":1,\"kind\":\"created\"}\n\nid: 2\nevent: called\ndata: {\"seq\":2,\"ki"),
            ("1", ": still here\n\nid: 2\nevent: called\ndata: {\"seq\":2,\"kind\":\"called\"}\n\n"),
            ("2", "event: end\ndata: {\"status\":\"cancelled\"}\n\n"),
        ];
        for (last_seen, sent) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
            let last = lines.filter_map(|line| line.strip_prefix("last-event-id: ").map(str::to_owned)).last().unwrap_or_default();
            assert_eq!(last, last_seen);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{sent}").unwrap();
        }
    });
    let place = Place::new();
    let ran = finished(&mut place.command(&["--json", "jobs", "watch", &JobId::fresh().to_string(), "--url", &url]));
    server.join().unwrap();
    let seqs: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone()).collect();
    assert_eq!((ran.code, seqs), (1, vec![json!(1), json!(2), Value::Null]), "{}", ran.stderr);
}

/// Name and kind of every series in a scrape.
fn kinds(text: &str) -> BTreeMap<String, String> {
    let of = |line: &str| line.strip_prefix("# TYPE ")?.split_once(' ').map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    text.lines().filter_map(of).collect()
}

#[test]
fn metrics_count_what_a_job_did_and_the_page_lists_every_series() {
    let serving = Serving::start();
    let job = serving.job("long", Duration::ZERO);
    heard(serving.events(&job, "", None));
    let stands = serving.job("long", FOR_EVER);
    assert_eq!(serving.events(&stands, "", None).next().unwrap().1, "created");
    let scrape = || {
        let mut answer = agent().get(format!("{}/metrics", serving.url())).call().unwrap();
        assert_eq!(answer.headers()["content-type"].to_str().unwrap(), metrics::CONTENT_TYPE);
        answer.body_mut().read_to_string().unwrap()
    };
    let text = scrape();
    let value = |series: &str| -> f64 {
        let line = scrape_line(&text, series).unwrap_or_else(|| panic!("{series} is not in\n{text}"));
        line.parse().unwrap()
    };
    assert!(value(r#"reprise_tool_calls_total{tool="fs/write",outcome="ok"}"#) >= STEPS as f64);
    assert!(value("reprise_store_flushes_total{outcome=\"ok\"}") >= STEPS as f64);
    assert!(value(r#"reprise_http_requests_total{route="/v1/jobs/{id}/journal",method="GET",status="200"}"#) >= 2.0);
    assert_eq!(value(r#"reprise_jobs{status="parked"}"#), 0.0);
    assert!(value(r#"reprise_jobs{status="ready"}"#) + value(r#"reprise_jobs{status="running"}"#) >= 1.0, "{text}");

    // A path that nobody has is one series, whatever it is.
    for path in ["/nowhere/1", "/nowhere/2"] {
        assert_eq!(agent().get(format!("{}{path}", serving.url())).call().unwrap().status(), 404);
    }
    assert!(!scrape().contains("nowhere") && scrape().contains(r#"route="none""#));

    metrics::job_started();
    metrics::job_ended("completed", 0.1);
    metrics::job_parked("budget");
    metrics::call_replayed();
    metrics::retried("call");
    metrics::call_uncertain();
    metrics::fuel_used(1);
    metrics::journal_written(1, 1);
    metrics::signal_stored();
    metrics::timer_fired();
    metrics::approval_decided("approved");
    metrics::lease("taken");
    let page = std::fs::read_to_string(super::support::page::repository().join("docs/OBSERVING.md")).unwrap();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap()));
    let listed: BTreeSet<(String, String)> = rows
        .filter(|(name, _)| name.starts_with("reprise_") || name.starts_with("process_"))
        .map(|(name, kind)| (name.split('{').next().unwrap().trim_end_matches("_total").to_owned(), kind.to_owned()))
        .collect();
    let real: BTreeSet<(String, String)> = kinds(&scrape()).into_iter().collect();
    assert_eq!(listed, real, "left: docs/OBSERVING.md, right: GET /metrics");
}

fn scrape_line<'t>(text: &'t str, series: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}
