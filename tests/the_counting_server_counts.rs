//! The tool server that other tests count with does what it is told, and counts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use crate::support::counter::{Counter, When};

fn send(method: &str, url: &str, key: Option<&str>) -> Result<(u16, String), ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut answer = agent.run(request.body("body").unwrap())?;
    Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
}

#[test]
fn requests_are_counted_by_method_path_and_key_in_their_order() {
    let counter = Counter::start();
    counter.json("/a", &json!({ "n": 1 }));
    assert_eq!(send("POST", &counter.url("/a/b?x=1"), Some("k1")).unwrap(), (200, r#"{"n":1}"#.to_owned()));
    send("POST", &counter.url("/a/b"), Some("k1")).unwrap();
    send("PUT", &counter.url("/a/b"), Some("k2")).unwrap();
    assert_eq!(send("POST", &counter.url("/ab"), None).unwrap().0, 404, "whole segments");
    assert_eq!(counter.by_key("POST", "/a/b"), [("k1".to_owned(), 2)].into());
    assert_eq!((counter.count("PUT", "/a/b"), counter.count("PUT", "/a")), (1, 0));
    let seen = counter.seen();
    assert_eq!(seen.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["POST", "POST", "PUT", "POST"]);
    assert_eq!((seen[0].query.as_str(), seen[0].body.as_str()), ("x=1", "body"));
}

#[test]
fn one_thing_is_made_for_each_key_and_found_by_it() {
    let counter = Counter::start();
    counter.issues("/refunds", true);
    counter.issues("/payments", false);
    assert_eq!(send("GET", &counter.url("/refunds/by-key/k1"), None).unwrap().0, 404);
    for (path, key, id) in [
        ("/refunds", "k1", "r-1"),
        ("/refunds", "k1", "r-1"),
        ("/refunds", "k2", "r-2"),
        ("/payments", "k3", "r-3"),
        ("/payments", "k3", "r-4"),
    ] {
        assert_eq!(send("POST", &counter.url(path), Some(key)).unwrap().1, json!({ "id": id }).to_string());
    }
    assert_eq!(send("GET", &counter.url("/refunds/by-key/k2"), None).unwrap().1, r#"{"id":"r-2"}"#);
    assert_eq!(counter.issued(), 4);
}

#[test]
fn it_fails_and_cuts_as_often_as_told() {
    let counter = Counter::start();
    counter.issues("/r", true);
    counter.cut("/r", 1, When::After);
    counter.cut("/r", 1, When::Before);
    counter.fail_first("/r", 1, 503);
    assert_eq!(send("POST", &counter.url("/r"), Some("k")).unwrap().0, 503);
    assert!(send("POST", &counter.url("/r"), Some("k")).is_err());
    assert_eq!(counter.issued(), 0, "cut before the effect");
    assert!(send("POST", &counter.url("/r"), Some("k")).is_err());
    assert_eq!(counter.issued(), 1, "cut after the effect");
    assert_eq!(send("POST", &counter.url("/r"), Some("k")).unwrap().1, r#"{"id":"r-1"}"#);
    assert_eq!(counter.by_key("POST", "/r"), [("k".to_owned(), 4)].into());
}

#[test]
fn it_holds_until_released() {
    let counter = Counter::start();
    counter.issues("/r", true);
    let held = counter.hold("/r", When::Before);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send("POST", &counter.url("/r"), Some("k")).unwrap());
        counter.wait_for(1);
        held.wait_until_held(1);
        assert_eq!((counter.issued(), counter.seen().len()), (0, 1));
        held.release();
        assert_eq!(sending.join().unwrap().0, 200);
    });
    assert_eq!(counter.issued(), 1);
}
