//! Playbooks rise by what they show and fall by what they fail at, over HTTP and by the policy alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cli::{Place, Served};
use crate::support::graphs::component;
use crate::support::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

/// A policy that a short test can satisfy.
fn eager() -> Value {
    json!({
        "shadow": {"recordings": 1}, "active": {"successes": 2, "distinct_inputs": 2, "wilson_floor": 0.1, "min_age_s": 0},
        "demote": {"floor": 0.35, "window": 4, "min_failures": 2}, "canary_share": 0,
    })
}

/// A directory with these files, granted as `project`.
fn world(files: &[&str]) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|file| std::fs::write(dir.path().join(file), format!("{file}\n")).unwrap());
    let server = Server::granting(&[format!("fs:project={}:ro", dir.path().display())]);
    (dir, server)
}

/// Records that `file` of the project was read, and compiles it as playbook `p`.
fn recorded(server: &Server, run: &str, file: &str) -> Value {
    let path = format!("project/{file}");
    server.post("/v1/memory/replay/run/start", &json!({"run_id": run, "goal": "read a file", "inputs": {"path": path}})).ok();
    let step = json!({"run_id": run, "step_id": format!("{run}-1"), "step_index": 1, "tool_name": "fs/read", "tool_input": {"path": path}});
    server.post("/v1/memory/replay/step/before", &step).ok();
    let answer = json!({"run_id": run, "step_id": format!("{run}-1"), "status": "success", "output": {"text": format!("{file}\n")}});
    server.post("/v1/memory/replay/step/after", &answer).ok();
    server
        .post(
            "/v1/memory/replay/run/end",
            &json!({"run_id": run, "status": "success", "metrics": {"total_tokens": 1200, "cost_usd": 0.25}}),
        )
        .ok();
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": run, "playbook_id": "p", "name": "read a file"})).ok()
}

/// The page, once `holds` of it.
fn until(server: &Server, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let page = server.get(path).ok();
        if holds(&page) {
            return page;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} stays {page:#}");
        std::thread::yield_now();
    }
}

fn until_status(server: &Server, status: &str) -> Value {
    until(server, "/v1/playbooks/p", |version| version["status"] == status)
}

fn job(server: &Server, input: &Value) -> Value {
    server.post("/v1/jobs", &json!({"playbook_id": "p", "input": input, "wait_ms": 50_000})).ok()
}

fn read(server: &Server, file: &str) -> Value {
    job(server, &json!({"path": format!("project/{file}")}))
}

fn history(server: &Server) -> Vec<Value> {
    server.get("/v1/playbooks/p/history").ok()["changes"].as_array().unwrap().clone()
}

/// Page by page, `kind` and `outcome` show what the whole list has of them, in its order.
fn filters_pick_out_evidence(server: &Server, kinds: &[&str], whole: &Value) {
    for kind in ["proof", "shadow", "job"] {
        for outcome in ["success", "failure"] {
            let is_one = |event: &&Value| event["kind"] == kind && event["outcome"] == outcome;
            let wanted: Vec<&Value> = whole["evidence"].as_array().unwrap().iter().filter(is_one).collect();
            let (mut found, mut cursor) = (Vec::new(), String::new());
            for _ in 0..=kinds.len() {
                let page = server.get(&format!("/v1/playbooks/p/evidence?kind={kind}&outcome={outcome}&limit=1{cursor}")).ok();
                found.extend(page["evidence"].as_array().unwrap().clone());
                let Some(next) = page["next"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{kind} {outcome}");
        }
    }
    server.get("/v1/playbooks/p/evidence?kind=rumour").refused(400, "invalid_request");
    server.get("/v1/playbooks/p/evidence?outcome=maybe").refused(400, "invalid_request");
}

#[test]
fn a_playbook_rises_by_evidence_and_falls_where_the_world_breaks() {
    let (dir, server) = world(&["a.txt", "b.txt"]);
    server.operator("PUT", "/v1/policy", Some(&eager())).ok();
    let made = recorded(&server, "first", "a.txt");
    assert_eq!((&made["version"], &made["status"]), (&json!(1), &json!("draft")));
    let shadow = until_status(&server, "shadow");
    assert_eq!((&shadow["version"], &shadow["component_digest"]), (&json!(2), &made["digest"]));
    // Nobody is told more than was earned.
    let refused = server.post("/v1/playbooks/p/promote", &json!({"target_status": "active"})).refused(409, "promotion_not_earned");
    let missing = refused["details"]["missing"].as_array().unwrap().clone();
    assert!(missing[0].as_str().unwrap().contains("0 of 2 successful jobs"), "{missing:?}");

    for file in ["a.txt", "a.txt", "b.txt"] {
        assert_eq!(read(&server, file)["status"], "completed");
    }
    assert_eq!(until_status(&server, "active")["version"], 3);
    std::fs::remove_file(dir.path().join("a.txt")).unwrap();
    for _ in 0..2 {
        assert_eq!(read(&server, "a.txt")["status"], "failed");
    }
    let fallen = until_status(&server, "draft");
    assert_eq!(fallen["version"], 4);
    let told = history(&server);
    let of = |field: &str| told.iter().map(|change| change[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("kind"), ["auto_demoted", "auto_promoted", "auto_promoted", "compiled"]);
    assert_eq!(of("from_version"), [json!(3), json!(2), json!(1), json!(null)]);
    assert_eq!(told[0]["by"], "policy");
    let why = told[0]["reason"].as_str().unwrap();
    assert!(why.contains("version 3: 2 of its latest") && why.contains("at step s1"), "the place is named: {why}");

    let evidence = server.get("/v1/playbooks/p/evidence").ok();
    let kinds: Vec<&str> = evidence["evidence"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["job", "job", "job", "job", "job", "shadow", "proof"]);
    assert_eq!(evidence["evidence"][0]["drift"]["step"], "s1");
    assert_eq!((&evidence["verdict"]["successes"], &evidence["verdict"]["failures"]), (&json!(0), &json!(0)), "it begins anew");
    // The version from before it fell is no way back, and neither is the shadow that it was.
    for (from, target) in [(3, "active"), (2, "active"), (2, "shadow"), (3, "shadow"), (4, "active")] {
        let asked = json!({"from_version": from, "target_status": target});
        let refused = server.post("/v1/playbooks/p/promote", &asked).refused(409, "promotion_not_earned");
        let missing = refused["details"]["missing"][0].as_str().unwrap();
        assert!(from == 4 || missing.contains("version 4 has the same component and is draft now"), "{asked}: {refused}");
    }
    assert_eq!(server.get("/v1/playbooks/p").ok()["version"], 4);
    let page = server.get("/v1/playbooks/p/evidence?limit=3").ok();
    let rest = server.get(&format!("/v1/playbooks/p/evidence?limit=9&cursor={}", page["next"].as_str().unwrap())).ok();
    assert_eq!((rest["evidence"].as_array().unwrap().len(), &rest["next"]), (4, &json!(null)));
    filters_pick_out_evidence(&server, &kinds, &evidence);
    let versions = server.get("/v1/playbooks/p/versions?limit=1&cursor=4").ok();
    assert_eq!(versions["versions"][0]["provenance"]["source_runs"], json!(["first"]), "provenance is kept through every version");

    // An operator does it all the same, and what was missing is shown for ever.
    let by_hand = json!({"target_status": "active", "note": "the file is back tomorrow", "actor": "ann"});
    let promoted = server.operator("POST", "/v1/playbooks/p/promote", Some(&by_hand)).ok();
    assert_eq!((&promoted["to_version"], &promoted["active_version"], &promoted["unchanged"]), (&json!(5), &json!(5), &json!(false)));
    let told = &history(&server)[0];
    assert_eq!((&told["by"], &told["note"]), (&json!("ann"), &json!("the file is back tomorrow")));
    assert!(!told["overrode"].as_array().unwrap().is_empty(), "{told}");
    let again = server.operator("POST", "/v1/playbooks/p/promote", Some(&by_hand)).ok();
    assert_eq!((&again["to_version"], &again["unchanged"]), (&json!(5), &json!(true)));

    let ledger = server.get("/v1/playbooks/p/ledger").ok();
    assert_eq!((&ledger["jobs"]["successes"], &ledger["jobs"]["failures"], &ledger["trend"]), (&json!(3), &json!(2), &json!("███▁▁")));
    assert_eq!(
        (&ledger["per_run"]["tokens"], &ledger["saved"]["tokens"], &ledger["saved"]["usd"]),
        (&json!(1200.0), &json!(3600.0), &json!(0.75))
    );
}

#[test]
fn who_disables_a_playbook_stops_every_start_until_it_is_promoted_again() {
    let (_dir, server) = world(&["a.txt"]);
    recorded(&server, "first", "a.txt");
    let disable = json!({"target_status": "disabled", "note": "it writes to the wrong place"});
    server.post("/v1/playbooks/p/promote", &disable).refused(401, "operator_token_missing");
    server.operator("POST", "/v1/playbooks/p/promote", Some(&disable)).ok();
    for body in [
        json!({"playbook_id": "p", "input": {"path": "project/a.txt"}}),
        json!({"playbook_id": "p", "version": 1, "input": {"path": "project/a.txt"}}),
    ] {
        let refused = server.post("/v1/jobs", &body).refused(409, "playbook_disabled");
        assert_eq!(refused["details"]["note"], "it writes to the wrong place");
    }
    recorded(&server, "second", "a.txt");
    server.operator("POST", "/v1/playbooks/p/versions/1/activate", Some(&json!({}))).refused(409, "playbook_disabled");
    server.post("/v1/jobs", &json!({"playbook_id": "p", "input": {"path": "project/a.txt"}})).refused(409, "playbook_disabled");
    let listed = |query: &str| server.get(&format!("/v1/playbooks?{query}")).ok()["playbooks"].as_array().unwrap().len();
    assert_eq!((listed("status=disabled"), listed("status=active"), listed("q=READ"), listed("q=write")), (1, 0, 1, 0));
    let back = server.operator("POST", "/v1/playbooks/p/promote", Some(&json!({"target_status": "draft", "from_version": 1}))).ok();
    assert_eq!(read(&server, "a.txt")["version"], back["to_version"]);
}

/// A component that reads `file` of the project, fails where it is not there, and comes to its `mark`.
fn reading(file: &str, mark: &str) -> Vec<u8> {
    component(&json!([{"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": format!("project/{file}")}}]), &json!(mark))
}

fn upload(server: &Server, bytes: Vec<u8>) -> Value {
    server.send("POST", "/v1/playbooks?id=p&name=p", &[("content-type", "application/wasm")], Some(bytes)).ok()
}

fn promote(server: &Server, from: u64, status: &str) -> Value {
    server.operator("POST", "/v1/playbooks/p/promote", Some(&json!({"target_status": status, "from_version": from}))).ok()
}

#[test]
fn what_falls_gives_way_to_the_last_good_version() {
    let (dir, server) = world(&["good.txt", "bad.txt"]);
    server.operator("PUT", "/v1/policy", Some(&eager())).ok();
    upload(&server, reading("good.txt", "good"));
    promote(&server, 1, "active");
    upload(&server, reading("bad.txt", "bad"));
    assert_eq!(job(&server, &json!({}))["output"], "good", "a draft never takes the place of an active version");
    promote(&server, 3, "active");
    assert_eq!(job(&server, &json!({}))["output"], "bad");
    std::fs::remove_file(dir.path().join("bad.txt")).unwrap();
    (0..4).for_each(|_| drop(job(&server, &json!({}))));
    until(&server, "/v1/playbooks/p", |version| version["version"] == 5);
    let told = &history(&server)[0];
    assert_eq!((&told["kind"], &told["from_version"], &told["status"]), (&json!("rolled_back"), &json!(2), &json!("active")));
    assert!(told["reason"].as_str().unwrap().contains("at step look"), "{told}");
    assert_eq!(job(&server, &json!({}))["output"], "good");
    let back = json!({"target_status": "active", "from_version": 4});
    let refused = server.post("/v1/playbooks/p/promote", &back).refused(409, "promotion_not_earned");
    assert!(refused["details"]["missing"][0].as_str().unwrap().contains("took the place of version 4"), "{refused}");
    assert_eq!(job(&server, &json!({}))["output"], "good");
    let diff = server.get("/v1/playbooks/p/diff?from=4&to=5").ok();
    assert_eq!((&diff["same_component"], &diff["permission_diff"]["added"]), (&json!(false), &json!([])));
}

#[test]
fn what_is_active_is_not_made_so_anew_and_its_failures_are_not_forgotten() {
    let (_dir, server) = world(&[]);
    server.operator("PUT", "/v1/policy", Some(&json!({"demote": {"min_failures": 9}}))).ok();
    upload(&server, reading("gone.txt", "x"));
    promote(&server, 1, "active");
    assert_eq!(job(&server, &json!({}))["status"], "failed");
    upload(&server, reading("other.txt", "y"));
    for from in [1, 2] {
        let asked = json!({"target_status": "active", "from_version": from});
        let again = server.post("/v1/playbooks/p/promote", &asked).ok();
        assert_eq!((&again["to_version"], &again["unchanged"]), (&json!(2), &json!(true)), "{again}");
    }
    let judged = until(&server, "/v1/playbooks/p/evidence", |page| page["evidence"].as_array().unwrap().len() == 1);
    assert_eq!(judged["verdict"]["failures"], 1, "{judged:#}");
}

#[test]
fn nobody_but_an_operator_adds_to_a_disabled_playbook_by_promoting_it() {
    let (_dir, server) = world(&["a.txt"]);
    recorded(&server, "first", "a.txt");
    server.operator("POST", "/v1/playbooks/p/promote", Some(&json!({"target_status": "disabled"}))).ok();
    for (from, target) in [(1, "draft"), (1, "shadow"), (1, "active"), (2, "draft")] {
        let asked = json!({"target_status": target, "from_version": from});
        let refused = server.post("/v1/playbooks/p/promote", &asked).refused(409, "promotion_not_earned");
        assert!(refused["message"].as_str().unwrap().contains("operator"), "{refused}");
    }
    assert_eq!(history(&server).len(), 2);
}

#[test]
fn no_client_calls_itself_by_the_name_of_the_policy() {
    let (_dir, server) = world(&["a.txt"]);
    recorded(&server, "first", "a.txt");
    for name in ["policy", " Policy "] {
        let asked = json!({"target_status": "shadow", "actor": name});
        let refused = server.operator("POST", "/v1/playbooks/p/promote", Some(&asked)).refused(400, "invalid_request");
        assert_eq!(refused["issues"][0]["path"], "/actor", "{refused}");
    }
}

#[test]
fn failures_for_want_of_a_grant_cost_nothing_and_without_auto_promotion_nothing_rises() {
    let (_dir, server) = world(&["a.txt"]);
    server.operator("PUT", "/v1/policy", Some(&json!({"auto_promote": false, "shadow": {"recordings": 1}}))).ok();
    recorded(&server, "first", "a.txt");
    promote(&server, 1, "active");
    for _ in 0..4 {
        let failed = job(&server, &json!({"path": "elsewhere/a.txt"}));
        assert_eq!(failed["status"], "failed", "{failed}");
    }
    let page = until(&server, "/v1/playbooks/p/evidence", |page| page["evidence"].as_array().unwrap().len() >= 5);
    assert!((0..4).all(|at| page["evidence"][at]["counts"] == false), "{page:#}");
    assert_eq!((&page["verdict"]["failures"], &page["verdict"]["status"]), (&json!(0), &json!("active")));
    assert_eq!(server.get("/v1/playbooks/p").ok()["version"], 2);
}

#[test]
fn a_share_of_jobs_goes_to_a_shadow_that_can_do_no_harm() {
    let (_dir, server) = world(&["a.txt"]);
    let share = |share: f64| drop(server.operator("PUT", "/v1/playbooks/p/policy", Some(&json!({"canary_share": share}))).ok());
    upload(&server, reading("a.txt", "old"));
    promote(&server, 1, "active");
    upload(&server, reading("a.txt", "new"));
    promote(&server, 3, "shadow");
    share(0.0);
    assert_eq!(job(&server, &json!({}))["output"], "old");
    share(1.0);
    let tried = job(&server, &json!({}));
    assert_eq!((&tried["output"], &tried["version"]), (&json!("new"), &json!(4)));
    let named = server.post("/v1/jobs", &json!({"playbook_id": "p", "version": 2, "wait_ms": 50_000})).ok();
    assert_eq!(named["output"], "old", "who names a version gets it");

    // One that asks for more, or whose calls happen again when they are repeated, is tried by nobody unasked.
    let write = json!([{"id": "w", "kind": "tool", "tool": "fs/replace", "input": {"path": "project/a.txt", "old": "x", "new": "y"}, "on_failure": "continue"}]);
    let wider = upload(&server, component(&write, &json!("wider")));
    promote(&server, wider["version"].as_u64().unwrap(), "shadow");
    assert_eq!(job(&server, &json!({}))["output"], "old");
    let active = promote(&server, wider["version"].as_u64().unwrap(), "active");
    let other = upload(&server, component(&write, &json!("other")));
    promote(&server, other["version"].as_u64().unwrap(), "shadow");
    assert_eq!(job(&server, &json!({}))["version"], active["to_version"], "it asks for no more, and calls once");
}

#[test]
fn a_policy_is_settled_by_operators_for_a_space_and_for_one_playbook() {
    let server = Server::configured(&[], "[lifecycle]\ncanary_share = 0.5\n\n[lifecycle.active]\nsuccesses = 7\n");
    let policy = |path: &str| server.get(path).ok()["policy"].clone();
    let whole = policy("/v1/policy");
    assert_eq!(
        (&whole["canary_share"], &whole["active"]["successes"], &whole["active"]["distinct_inputs"]),
        (&json!(0.5), &json!(7), &json!(3))
    );
    server.send("PUT", "/v1/policy", &[("content-type", "application/json")], Some(b"{}".to_vec())).refused(401, "operator_token_missing");
    let wrong = json!({"canary_share": 2, "active": {"succeses": 1}});
    let refused = server.operator("PUT", "/v1/policy", Some(&wrong)).refused(400, "invalid_request");
    assert_eq!(refused["issues"].as_array().unwrap().len(), 2, "{refused}");
    server.operator("PUT", "/v1/policy", Some(&json!({"active": {"successes": 9}}))).ok();
    upload(&server, reading("a.txt", "x"));
    server.operator("PUT", "/v1/playbooks/p/policy", Some(&json!({"canary_share": 0}))).ok();
    let of_p = policy("/v1/playbooks/p/policy");
    assert_eq!((&of_p["canary_share"], &of_p["active"]["successes"]), (&json!(0.0), &json!(9)));
    assert_eq!(policy("/v1/policy")["canary_share"], 0.5);
    server.operator("PUT", "/v1/playbooks/q/policy", Some(&json!({}))).refused(404, "replay_playbook_not_found");
}

#[test]
fn where_promotion_is_open_anybody_promotes_what_asks_for_no_more() {
    let server = Server::configured(&[], "[lifecycle]\nopen_promotion = true\n");
    upload(&server, reading("a.txt", "one"));
    let promoted = server.post("/v1/playbooks/p/promote", &json!({"target_status": "active", "from_version": 1})).ok();
    assert_eq!((&promoted["to_version"], &promoted["status"]), (&json!(2), &json!("active")));
    let nodes = json!([{"id": "look", "kind": "tool", "tool": "fs/list", "input": {"path": "project"}}]);
    upload(&server, component(&nodes, &json!("two")));
    server.post("/v1/playbooks/p/promote", &json!({"target_status": "active"})).refused(409, "promotion_not_earned");
}

const RECORDING: &str = r#"{"run": {"run_id": "first", "goal": "read a file", "inputs": {"path": "project/a.txt"}}}
{"tool": "fs/read", "input": {"path": "project/a.txt"}, "output": {"text": "a\n"}}
{"end": {"status": "success"}}
"#;

/// The server dies the moment it has said that the job ended: whatever it had considered by then, the next one has the evidence
/// of every job once, and comes to the same.
#[test]
fn evidence_survives_a_server_that_is_killed_when_a_job_has_ended() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("project")).unwrap();
    ["a.txt", "b.txt", "c.txt"].iter().for_each(|file| drop(place.file(&format!("project/{file}"), "a\n")));
    let policy =
        "[lifecycle]\nshadow = { recordings = 1 }\nactive = { successes = 3, distinct_inputs = 3, wilson_floor = 0.1, min_age_s = 0 }\n";
    let config = place.file("policy.toml", policy);
    place.playbook("p", RECORDING);
    let grant = format!("fs:project={}:ro", place.path("project").display());
    let start = || {
        let arguments = ["--json", "--config", config.to_str().unwrap(), "serve", "--listen", "127.0.0.1:0", "--grant", &grant];
        Served::from(&mut place.command(&arguments))
    };
    let mut served = start();
    for (at, file) in ["a.txt", "b.txt", "c.txt"].iter().enumerate() {
        let body = json!({"playbook_id": "p", "version": 1, "input": {"path": format!("project/{file}")}, "wait_ms": 50_000});
        let (status, job) = served.post("/v1/jobs", &body).unwrap();
        assert!(status < 300 && job["status"] == "completed", "{job}");
        served.child.kill();
        served = start();
        let page = served.get("/v1/playbooks/p/evidence?version=1").1;
        assert_eq!(page["evidence"].as_array().unwrap().iter().filter(|e| e["kind"] == "job").count(), at + 1, "{page:#}");
    }
    let begun = Instant::now();
    while served.get("/v1/playbooks/p").1["status"] != "active" {
        assert!(begun.elapsed() < PATIENCE, "{:#}", served.get("/v1/playbooks/p/evidence").1);
        std::thread::yield_now();
    }
    let told = served.get("/v1/playbooks/p/history").1;
    let kinds: Vec<&str> = told["changes"].as_array().unwrap().iter().map(|change| change["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["auto_promoted", "auto_promoted", "compiled"]);
}
