//! One process at a time has a data directory; the next one learns who has it, and gets it once that one is gone.

use super::support::cli::{Place, Served};

#[test]
fn whoever_comes_second_is_told_who_is_there_and_gets_in_after_a_kill() {
    let place = Place::new();
    place.playbook(
        "read",
        "{\"run\": {\"goal\": \"x\"}}\n{\"tool\": \"fs/read\", \"input\": {\"path\": \"p/a\"}}\n{\"end\": {\"status\": \"success\"}}\n",
    );
    let mut first = Served::start(&place, &[]);
    let pid = first.child.pid();
    for second in [&["serve", "--listen", "127.0.0.1:0"][..], &["jobs", "list"], &["run", "read"], &["record", "read.jsonl"]] {
        let ran = place.run(second);
        assert_eq!(ran.code, 6, "{second:?}: {ran:#?}");
        let data = place.path("data");
        for word in ["data_dir_in_use", &format!("process {pid}"), data.to_str().unwrap(), "stop it or use another directory"] {
            assert!(ran.stderr.contains(word), "{second:?} does not say {word:?}: {ran:#?}");
        }
        let ran = place.run(&[&["--json"], second].concat());
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!((&error["error"], &error["details"]["pid"]), (&"data_dir_in_use".into(), &pid.into()), "{error:#}");
    }
    assert_eq!(first.get("/healthz").0, 200, "the first does not notice");

    first.child.kill();
    let second = Served::start(&place, &[]);
    assert_eq!(second.get("/healthz").0, 200);
    assert_eq!(second.get("/v1/playbooks/read").0, 200, "what was there is there");
}

#[test]
fn a_server_that_is_asked_to_stop_ends_well_and_lets_the_next_one_in() {
    let place = Place::new();
    let mut first = Served::start(&place, &[]);
    first.child.interrupt();
    assert_eq!(first.child.ended(), Some(0));
    assert_eq!(place.json(0, &["jobs", "list"])["jobs"], serde_json::json!([]));
}
