//! Attacks on where a request goes: names that change their answer, redirects, headers that say something else than the
//! request line. Each leads, if it works, to a listener of this test that then counts it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use reprise::contract::{ErrorKind, Outcome, ToolError, ToolId};
use reprise::json::Json;
use reprise::tools::{Grant, Grants, LookUp, Names, Registry, Surroundings};
use serde_json::{Value, json};

use crate::support::counter::Counter;

/// Answers each question with the next of its answers, and the last one from then on.
struct Changing {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Changing {
    fn new(answers: &[&[&str]]) -> Arc<Changing> {
        let addresses = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Changing { answers: Mutex::new(answers.iter().map(addresses).collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Names for Changing {
    fn look_up(&self, host: &str) -> LookUp {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}

/// A job with these grants, in a world where names are found so.
struct Job {
    registry: Registry,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
}

impl Job {
    fn new(names: Arc<Changing>, grants: &[Value]) -> Job {
        let grants: Vec<Grant> = grants.iter().map(|grant| serde_json::from_value(grant.clone()).unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Job {
            registry: Registry::within(&Surroundings { names, ..Surroundings::default() }),
            grants: Grants::open(&grants).unwrap(),
            runtime,
        }
    }

    fn call(&self, tool: &str, input: &Value) -> Outcome {
        self.runtime.block_on(self.registry.call(&ToolId::parse(tool).unwrap(), "the-key", &Json::from(input), &self.grants))
    }

    fn get(&self, url: &str) -> Outcome {
        self.call("http/get", &json!({ "url": url, "redirects": 1 }))
    }

    fn refused(&self, url: &str) -> ToolError {
        self.get(url).unwrap_err()
    }
}

fn granting(name: &str, origin: &str) -> Value {
    json!({ "kind": "http", "name": name, "origin": origin, "methods": ["GET", "POST"] })
}

/// Two listeners on one port of two addresses of this machine.
fn twins() -> (Counter, Counter) {
    for _ in 0..64 {
        let first = Counter::start();
        let other = format!("127.0.0.2:{}", first.port());
        if std::net::TcpListener::bind(&other).is_ok() {
            return (first, Counter::at(&other));
        }
    }
    panic!("no port is free on both addresses");
}

#[test]
fn a_name_that_changes_its_answer_between_check_and_use_is_asked_once_and_reached_where_it_was_judged() {
    let (judged, other) = twins();
    judged.json("/", &json!("judged"));
    other.json("/", &json!("other"));
    for (host, private) in [("localhost", false), ("inside.example", true)] {
        let names = Changing::new(&[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1"]]);
        let origin = format!("http://{host}:{}", judged.port());
        let mut grant = granting("near", &origin);
        grant["private"] = json!(private);
        let job = Job::new(names.clone(), &[grant]);
        let before = other.seen().len();
        assert_eq!(job.get(&origin).unwrap().value()["body"], "judged");
        assert_eq!((names.asked(), other.seen().len()), (1, before));
        // A new call asks anew: nothing that was judged once is trusted for ever.
        assert_eq!(job.get(&origin).unwrap().value()["body"], "other");
        assert_eq!(names.asked(), 2);
    }
    // The other way round: what was public yesterday is not trusted today.
    let origin = format!("http://pay.example:{}", judged.port());
    let job = Job::new(Changing::new(&[&[], &["127.0.0.1"]]), &[granting("pay", &origin)]);
    assert_eq!(job.refused(&origin).kind, ErrorKind::Unavailable);
    assert_eq!(job.refused(&origin).kind, ErrorKind::Denied);
    assert_eq!((judged.seen().len(), other.seen().len()), (2, 2));
}

#[test]
fn a_name_that_stands_for_a_private_address_is_refused_and_the_error_says_which() {
    let counter = Counter::start();
    counter.json("/", &json!(1));
    let port = counter.port();
    for (answer, says) in [
        (&["127.0.0.1"][..], "pay.example stands for 127.0.0.1, a loopback address, where the grant does not let it go"),
        (&["10.0.0.1"], "pay.example stands for 10.0.0.1, a private address"),
        (&["169.254.169.254"], "pay.example stands for 169.254.169.254, a link-local address"),
        (&["100.64.0.1"], "a provider's shared space"),
        (&["0.0.0.0"], "the unspecified address"),
        (&["::1"], "a loopback address"),
        (&["::ffff:127.0.0.1"], "a loopback address"),
        (&["::ffff:10.0.0.1"], "a private address"),
        (&["64:ff9b::7f00:1"], "a loopback address"),
        (&["2002:7f00:1::"], "a loopback address"),
        (&["fe80::1"], "a link-local address"),
        (&["fd00:ec2::254"], "a unique local address"),
        (&["224.0.0.1"], "a multicast address"),
        // A public one beside it does not make it better.
        (&["2001:4860:4860::8888", "127.0.0.1"], "pay.example stands for 127.0.0.1, a loopback address"),
        (&["127.0.0.1", "2001:4860:4860::8888"], "pay.example stands for 127.0.0.1, a loopback address"),
    ] {
        for scheme in ["http", "https"] {
            let names = Changing::new(&[answer]);
            let origin = format!("{scheme}://pay.example:{port}");
            let job = Job::new(names.clone(), &[granting("pay", &origin)]);
            let error = job.refused(&format!("{origin}/v1?token=secret"));
            assert!(no_certificates(&error) || error.kind == ErrorKind::Denied && error.message.contains(says), "{answer:?}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
    let posted = Job::new(Changing::new(&[&["127.0.0.1"]]), &[granting("pay", &format!("http://pay.example:{port}"))]);
    let error = posted.call("http/post", &json!({ "url": format!("http://pay.example:{port}/") })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "nothing was sent, and that is known: {error}");
    assert_eq!(counter.seen(), []);
}

/// A machine without certificates of others to judge by says so before it looks a name up.
fn no_certificates(error: &ToolError) -> bool {
    error.message.contains("No CA certificates")
}

#[test]
fn an_address_or_localhost_that_stands_in_the_origin_is_granted_by_name() {
    let counter = Counter::start();
    counter.json("/", &json!("here"));
    let port = counter.port();
    for (origin, url, asked) in [
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/"), 0),
        (format!("http://0x7f.1:{port}"), format!("http://127.0.0.1:{port}/"), 0),
        (format!("http://[::ffff:127.0.0.1]:{port}"), format!("http://[::ffff:7f00:1]:{port}/"), 0),
        (format!("http://localhost:{port}"), format!("http://localhost:{port}/"), 1),
    ] {
        let names = Changing::new(&[&["127.0.0.1"]]);
        let job = Job::new(names.clone(), &[granting("here", &origin)]);
        assert_eq!(job.get(&url).unwrap().value()["body"], "here", "{origin}");
        assert_eq!(names.asked(), asked, "{origin}");
    }
    // Whoever answers for localhost answers for this machine.
    for (elsewhere, says) in [("10.0.0.1", "a private address"), ("2001:4860:4860::8888", "an address of another machine")] {
        let origin = format!("http://localhost:{port}");
        let error = Job::new(Changing::new(&[&[elsewhere]]), &[granting("here", &origin)]).refused(&origin);
        assert!(error.kind == ErrorKind::Denied && error.message.contains(says), "{error}");
    }
    // And a grant may say that its name leads inside.
    for (scheme, answer) in [("http", "127.0.0.1"), ("http", "::ffff:127.0.0.1")] {
        let origin = format!("{scheme}://inside.example:{port}");
        let mut grant = granting("inside", &origin);
        grant["private"] = json!(true);
        let job = Job::new(Changing::new(&[&[answer]]), &[grant]);
        assert_eq!(job.get(&format!("{origin}/")).unwrap().value()["body"], "here", "{answer}");
    }
    let mut grant = granting("inside", "http://inside.example");
    grant["private"] = json!(true);
    let nowhere = Job::new(Changing::new(&[&["0.0.0.0"]]), &[grant]).refused("http://inside.example/");
    assert!(nowhere.kind == ErrorKind::Denied && nowhere.message.contains("the unspecified address"), "{nowhere}");
    let nothing = Job::new(Changing::new(&[&[]]), &[granting("pay", "http://pay.example")]).refused("http://pay.example/");
    assert!(nothing.kind == ErrorKind::Unavailable && nothing.message.contains("pay.example has no address"), "{nothing}");
}

#[test]
fn a_redirect_is_followed_only_where_it_is_asked_for_and_each_place_is_granted() {
    let (first, second) = (Counter::start(), Counter::start());
    second.json("/x", &json!("arrived"));
    let moved = |path: &str, place: &str| first.answer(path, 302, "text/plain", &[("location", place)], "see there");
    moved("/there", &second.url("/x?q=1"));
    moved("/here", "../b/./c?d=1#e");
    first.json("/b/c", &json!("relative"));
    moved("/loop", "/loop");
    moved("/two", "/here");
    let headers = json!({ "authorization": "Bearer x", "x-api-key": "y", "cookie": "z", "accept": "application/json" });
    let get = |job: &Job, path: &str, redirects: u32| {
        job.call("http/get", &json!({ "url": first.url(path), "headers": headers, "redirects": redirects }))
    };
    let both = Job::new(Changing::new(&[&[]]), &[granting("first", &first.origin()), granting("second", &second.origin())]);

    let answer = get(&both, "/there", 0).unwrap().value();
    assert_eq!((&answer["status"], &answer["headers"]["location"]), (&json!(302), &json!(second.url("/x?q=1"))), "it is an answer");
    assert_eq!(second.seen().len(), 0);

    assert_eq!(get(&both, "/there", 1).unwrap().value()["body"], "arrived");
    let seen = second.seen().pop().unwrap();
    assert_eq!((seen.path.as_str(), seen.query.as_str(), seen.headers["accept"].as_str()), ("/x", "q=1", "application/json"));
    for credential in ["authorization", "x-api-key", "cookie", "referer"] {
        assert!(!seen.headers.contains_key(credential), "{credential} went to another origin: {seen:?}");
    }

    assert_eq!(get(&both, "/here", 1).unwrap().value()["body"], "relative");
    let seen = first.seen().pop().unwrap();
    assert_eq!((seen.path.as_str(), seen.query.as_str(), seen.headers["x-api-key"].as_str()), ("/b/c", "d=1", "y"), "the same origin");
    assert_eq!(get(&both, "/two", 2).unwrap().value()["body"], "relative");
    assert!(get(&both, "/two", 1).unwrap_err().message.ends_with("was redirected more than 1 times"));
    let error = get(&both, "/loop", 5).unwrap_err();
    assert!(error.kind == ErrorKind::Failed && error.message.contains("was redirected more than 5 times"), "{error}");
    assert_eq!(first.count("GET", "/loop"), 6);
    for tool in ["http/get", "http/post"] {
        let error = both.call(tool, &json!({ "url": first.url("/"), "redirects": 6 })).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
    }

    let arrived = second.seen().len();
    let one = Job::new(Changing::new(&[&[]]), &[granting("first", &first.origin())]);
    let error = get(&one, "/there", 5).unwrap_err();
    let says = format!("GET {} was redirected to {}: no grant covers GET {}", first.url("/there"), second.url("/x"), second.url("/x"));
    assert!(error.kind == ErrorKind::Denied && error.message.starts_with(&says), "{error}\nnot: {says}");
    assert_eq!(second.seen().len(), arrived);
}

#[test]
fn a_redirect_leads_to_no_place_that_could_not_be_called() {
    let counter = Counter::start();
    let port = counter.port();
    // What the names stand for would reach the counter, were it not for the checks.
    let names = Changing::new(&[&["127.0.0.1"]]);
    let grants = [granting("first", &counter.origin()), granting("inside", &format!("http://inside.example:{port}"))];
    let job = Job::new(names, &grants);
    for (place, kind, says) in [
        (format!("http://inside.example:{port}/x"), ErrorKind::Denied, "inside.example stands for 127.0.0.1, a loopback address"),
        (format!("http://inside.example:{port}/x"), ErrorKind::Denied, "/moved redirected it"),
        (format!("http://localhost:{port}/x"), ErrorKind::Denied, "no grant covers GET http://localhost"),
        (format!("http://[::ffff:127.0.0.1]:{port}/x"), ErrorKind::Denied, "no grant covers"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), ErrorKind::Denied, "no grant covers GET http://169.254.169.254/latest"),
        (format!("https://127.0.0.1:{port}/x"), ErrorKind::Denied, "no grant covers GET https://"),
        (format!("http://user:secret@127.0.0.1:{port}/x"), ErrorKind::Failed, "names a user"),
        ("file:///etc/passwd".to_owned(), ErrorKind::Failed, "does not begin with http"),
        ("/x/..%2fadmin".to_owned(), ErrorKind::Failed, "%2f"),
        ("/x/..;/admin".to_owned(), ErrorKind::Failed, "..;"),
        ("http://".to_owned(), ErrorKind::Failed, "no URL"),
    ] {
        counter.answer("/moved", 307, "text/plain", &[("location", &place)], "");
        let error = job.refused(&counter.url("/moved"));
        assert!(error.kind == kind && error.message.contains(says), "{place}: {error}\nnot: {says}");
        assert!(error.message.contains("redirected") && !error.message.contains("secret"), "{error}");
    }
    assert!(counter.seen().iter().all(|seen| seen.path == "/moved"), "{:?}", counter.seen());
}

#[test]
fn no_header_of_a_job_makes_two_requests_of_one_or_leads_it_elsewhere() {
    let counter = Counter::start();
    counter.json("/", &json!(1));
    let job = Job::new(Changing::new(&[&[]]), &[granting("web", &counter.origin())]);
    for (headers, says) in [
        (json!({ "Host": "evil.example" }), "\"host\" is set by Reprise"),
        (json!({ "host": counter.origin() }), "is set by Reprise"),
        (json!({ "Transfer-Encoding": "chunked" }), "is set by Reprise"),
        (json!({ "transfer-encoding": "identity, chunked" }), "is set by Reprise"),
        (json!({ "Transfer-Encoding ": "chunked" }), "is not the name of a header"),
        (json!({ "Transfer-Encoding\n": "chunked" }), "is not the name of a header"),
        (json!({ "Transfer\u{0}Encoding": "chunked" }), "is not the name of a header"),
        (json!({ "Content-Length": "0" }), "is set by Reprise"),
        (json!({ "content-length": "4", "Content-Length": "0" }), "stands twice"),
        (json!({ "X-A": "1", "x-a": "2" }), "stands twice"),
        (json!({ "Connection": "x-secret" }), "is set by Reprise"),
        (json!({ "Keep-Alive": "timeout=1" }), "is set by Reprise"),
        (json!({ "Proxy-Connection": "keep-alive" }), "is set by Reprise"),
        (json!({ "Proxy-Authorization": "Basic eA==" }), "is set by Reprise"),
        (json!({ "TE": "trailers" }), "is set by Reprise"),
        (json!({ "Trailer": "x" }), "is set by Reprise"),
        (json!({ "Upgrade": "h2c" }), "is set by Reprise"),
        (json!({ "HTTP2-Settings": "x" }), "is set by Reprise"),
        (json!({ "Expect": "100-continue" }), "is set by Reprise"),
        (json!({ "Idempotency-Key": "mine" }), "is set by Reprise"),
        (json!({ "X-HTTP-Method-Override": "DELETE" }), "is set by Reprise"),
        (json!({ "X-Forwarded-For": "127.0.0.1" }), "is set by Reprise"),
        (json!({ "a": "1\r\nHost: evil.example" }), "visible ASCII"),
        (json!({ "a": "1\nContent-Length: 0" }), "visible ASCII"),
        (json!({ "a": "1\r\n\r\nGET /admin HTTP/1.1" }), "visible ASCII"),
        (json!({ "a": "1\u{0}" }), "visible ASCII"),
        (json!({ "a": "\u{560a}\u{560d}Host: evil" }), "visible ASCII"),
        (json!({ "ä": "1" }), "is not the name of a header"),
        (json!({ ":authority": "evil.example" }), "is not the name of a header"),
        (json!({ "a: b\r\nc": "d" }), "is not the name of a header"),
        (json!({ "": "x" }), "is not the name of a header"),
    ] {
        for tool in ["http/get", "http/post"] {
            let error = job.call(tool, &json!({ "url": counter.url("/"), "headers": headers })).unwrap_err();
            assert!(error.kind == ErrorKind::InvalidInput && error.message.contains(says), "{headers}: {error}");
            assert!(!error.message.contains("evil"), "{error}");
        }
    }
    assert_eq!(counter.seen(), [], "nothing arrived");
}
