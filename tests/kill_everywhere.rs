//! A job is killed at every place there is, often, and far inside: nothing is lost and nothing is done twice.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::cli::assert_chained;
use crate::support::counter::When;
use crate::support::dying::{Killed, left};
use crate::support::site::{Job, Site};

/// Ten steps, twice each kind of call.
const TEN: [&str; 10] = ["read", "put", "keyed", "asked", "plain", "read", "plain", "asked", "keyed", "put"];

/// What nobody can be asked about is settled as somebody would who looks. True where that was needed.
fn settled(site: &Site, job: &Job, moment: &str) -> bool {
    let stood = site.stood(job);
    if stood["status"] != "uncertain" {
        assert_eq!(stood["status"], "completed", "{stood:#}");
        return false;
    }
    let seq = &stood["uncertain"]["seq"];
    let output = json!({"status": 200, "headers": {}, "body": {"id": "r-0"}});
    let decision = match moment {
        "before" => json!({"seq": seq, "decision": "happened", "output": output}),
        _ => json!({"seq": seq, "decision": "retry"}),
    };
    let (status, answer) = site.say(job, "resolve", &decision);
    assert!(status < 300, "{answer:#}");
    site.completed(job);
    true
}

#[test]
fn c12_killed_after_every_entry_of_a_ten_step_job_each_call_takes_effect_once() {
    let site = Site::new();
    let killed = Killed::new(&site, &TEN);
    let (mut points, mut uncertain, mut last) = (0, 0, BTreeSet::new());
    'sweep: for flush in 1.. {
        for moment in ["before", "after"] {
            let run = format!("{moment}-{flush}");
            let Some(job) = killed.at(&format!("{moment}:{flush}"), &run) else { break 'sweep };
            points += 1;
            uncertain += usize::from(settled(&site, &job, moment));
            let journal = site.journal(&job);
            assert_chained(&journal);
            if let Some(left) = left(&journal) {
                last.insert((moment, left["seq"].as_u64().unwrap()));
            }
            let mut repeated = 0;
            for (at, kind) in TEN.iter().enumerate() {
                let path = format!("{run}/{}", at + 1);
                let count = site.count(kind, &path);
                match *kind {
                    "asked" | "plain" => assert_eq!(count, 1, "{kind} {path}"),
                    _ => {
                        assert!((1..=2).contains(&count), "{kind} {path}: {count}");
                        repeated += count - 1;
                    }
                }
                if *kind != "read" {
                    let method = if *kind == "put" { "PUT" } else { "POST" };
                    let keys = site.counter.by_key(method, &format!("/{kind}/{path}"));
                    assert_eq!(keys.len(), 1, "{kind} {path}: each attempt has the same key");
                }
            }
            // What only looked is looked at again as far back as nothing was flushed.
            assert!(repeated <= 2, "{run}: {repeated} calls were repeated");
        }
    }
    // Two for opening and creating, eight calls that change something, the end; before and after each.
    assert!(points >= 22, "{points} points");
    assert_eq!(uncertain, 4, "two posts that nobody can be asked about, each before and after");
    assert!(last.len() >= 18, "the crashes left different journals: {last:?}");
    // Each of the eight and each keyed one made one thing; the counting server knows no other.
    assert_eq!(site.counter.issued(), (points + 1) * 6, "six things for each run");
}

/// Posts to `/KIND/NAME-1` and so on.
fn posts(site: &Site, kind: &str, name: &str, n: usize) -> Vec<Value> {
    (1..=n).map(|at| site.node(&format!("s{at}"), kind, &format!("{name}-{at}"))).collect()
}

#[test]
fn c11_of_twenty_five_steps_killed_in_the_sixteenth_there_are_twenty_five_calls() {
    let site = Site::new();
    let held = site.counter.hold("/asked/c11-16", When::After);
    let job = site.job(&posts(&site, "asked", "c11", 25), &json!({}));
    held.wait_until_held(1);
    site.kill();
    held.release();
    site.start();
    let done = site.completed(&job);
    assert_eq!((&done["usage"]["calls"], &done["usage"]["attempts"]), (&json!(25), &json!(2)));
    for at in 1..=25 {
        assert_eq!(site.count("asked", &format!("c11-{at}")), 1, "call {at}");
    }
    assert_eq!(site.counter.issued(), 25);
}

#[test]
fn c13_five_crashes_of_one_job_double_nothing() {
    let site = Site::new();
    let steps = posts(&site, "asked", "c13", 12);
    let at = [2, 4, 6, 8, 10];
    let gates: Vec<_> = at.iter().map(|at| site.counter.hold(&format!("/asked/c13-{at}"), When::After)).collect();
    let job = site.job(&steps, &json!({}));
    for gate in &gates {
        gate.wait_until_held(1);
        site.kill();
        gate.release();
        site.start();
    }
    let done = site.completed(&job);
    assert_eq!(done["usage"]["attempts"], 6);
    for at in 1..=12 {
        assert_eq!(site.count("asked", &format!("c13-{at}")), 1, "call {at}");
    }
    assert_chained(&site.journal(&job));
}

#[test]
fn c14_of_thirty_suppliers_killed_at_the_nineteenth_each_gets_exactly_one_order() {
    let site = Site::new();
    for (name, when) in [("before", When::Before), ("after", When::After)] {
        let held = site.counter.hold(&format!("/keyed/{name}-19"), when);
        let issued = site.counter.issued();
        let job = site.job(&posts(&site, "keyed", name, 30), &json!({}));
        held.wait_until_held(1);
        site.kill();
        held.release();
        site.start();
        site.completed(&job);
        assert_eq!(site.counter.issued() - issued, 30, "one order a supplier");
        let keys: BTreeSet<String> =
            (1..=30).flat_map(|at| site.counter.by_key("POST", &format!("/keyed/{name}-{at}")).into_keys()).collect();
        assert_eq!(keys.len(), 30, "each supplier's order has a key of its own");
        assert_eq!(site.count("keyed", &format!("{name}-19")), 2, "the one that was under way was sent again");
    }
}

#[test]
fn c09_and_c10_a_completed_job_is_rebuilt_from_its_journal_alone_and_replayed_without_a_call() {
    let site = Site::new();
    let nodes: Vec<Value> = TEN.iter().enumerate().map(|(at, kind)| site.node(&format!("s{at}"), kind, &format!("done/{at}"))).collect();
    let job = site.job(&nodes, &json!({}));
    let done = site.completed(&job);
    let journal = site.journal(&job);
    let seen = site.counter.seen().len();
    site.kill();
    // Nothing but the journal is needed: not the machine code, and not sled's snapshots.
    std::fs::remove_dir_all(site.place.path("data/compiled")).unwrap();
    for entry in std::fs::read_dir(site.place.path("data/sled")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with("snap.") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let replays: Vec<Value> = (0..2).map(|_| site.place.json(0, &["jobs", "replay", &job.id])).collect();
    assert_eq!((&replays[0]["verdict"], &replays[0]["output"]), (&json!("same"), &done["output"]), "{:#}", replays[0]);
    assert_eq!(replays[0], replays[1], "twice the same");
    site.start();
    assert_eq!((site.get(&job), site.journal(&job)), (done, journal), "read anew, it is what it was");
    assert_eq!(site.counter.seen().len(), seen, "nothing was called");
}
