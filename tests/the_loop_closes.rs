//! The whole loop, over HTTP alone and without a hand on it: three recorded runs become a playbook that earns its status, loses
//! it when the world is another one, and earns it again once somebody has shown the way and somebody else has said yes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::recorder::{Recorded, record_ending};
use crate::support::server::Server;

/// Longer than anything here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Services with a description each, and a server that may work on them.
struct Workshop {
    tree: TempDir,
    server: Server,
}

impl Workshop {
    fn open() -> Workshop {
        let tree = tempfile::tempdir().unwrap();
        let server = Server::granting(&[format!("fs:project={}", tree.path().display())]);
        let workshop = Workshop { tree, server };
        std::fs::create_dir(workshop.tree.path().join("notes")).unwrap();
        for (name, version) in SERVICES {
            workshop.describe(&format!("services/{name}"), name, version);
        }
        workshop
    }

    fn describe(&self, directory: &str, name: &str, version: &str) {
        let directory = self.tree.path().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("service.json"), description(name, version).to_string()).unwrap();
    }

    /// Every description is where nobody looked for it so far.
    fn rearrange(&self) {
        for (name, version) in SERVICES {
            std::fs::remove_file(self.tree.path().join(format!("services/{name}/service.json"))).unwrap();
            self.describe(&format!("services/{name}/about"), name, version);
        }
    }

    fn note(&self, name: &str) -> String {
        std::fs::read_to_string(self.tree.path().join(format!("notes/{name}.md"))).unwrap()
    }

    /// A job that no version is named for, to its end.
    fn run(&self, name: &str) -> Value {
        let body = json!({"playbook_id": PLAYBOOK, "input": {"service": name}, "wait_ms": 50_000});
        self.server.post("/v1/jobs", &body).ok()
    }

    fn replay(&self, route: &str, body: &Value) -> Value {
        self.server.post(&format!("/v1/memory/replay/playbooks/{route}"), body).ok()
    }

    fn history(&self) -> Vec<Value> {
        let page = self.server.get(&format!("/v1/playbooks/{PLAYBOOK}/history?limit=100")).ok();
        page["changes"].as_array().unwrap().clone()
    }

    /// Asks for the newest version until it is `status`; what the policy does, it does in its own time.
    fn newest_becomes(&self, status: &str) -> Value {
        let begun = Instant::now();
        loop {
            let playbook = self.replay("get", &json!({"playbook_id": PLAYBOOK}))["playbook"].clone();
            if playbook["status"] == status {
                return playbook;
            }
            assert!(begun.elapsed() < PATIENCE, "never {status}: {playbook:#}\n{:#?}", self.history());
            std::thread::yield_now();
        }
    }
}

const PLAYBOOK: &str = "note-next-version";

const SERVICES: [(&str, &str); 9] = [
    ("billing", "1.4.2"),
    ("search", "0.9.9"),
    ("mail", "3.0.11"),
    ("orders", "2.7.0"),
    ("login", "5.1.3"),
    ("maps", "0.0.8"),
    ("chat", "4.12.6"),
    ("cache", "7.3.1"),
    ("proxy", "6.0.20"),
];

fn description(name: &str, version: &str) -> Value {
    json!({"service": name, "version": version, "owner": format!("{name}-team")})
}

fn next(version: &str) -> String {
    let (rest, patch) = version.rsplit_once('.').unwrap();
    format!("{rest}.{}", patch.parse::<u32>().unwrap() + 1)
}

fn noted(name: &str, version: &str) -> String {
    format!("# {name}\n\nnow {version}, next {}, by {name}-team\n", next(version))
}

/// What an agent does for a service whose description lies in `directory`.
fn steps(directory: &str, name: &str, version: &str) -> Vec<Recorded> {
    let (path, note, text) = (format!("project/{directory}/service.json"), format!("project/notes/{name}.md"), noted(name, version));
    let body = description(name, version);
    let read = json!({"path": path, "bytes": body.to_string().len(), "json": body});
    let wrote = json!({"path": note, "bytes": text.len(), "sha256": reprise::ids::Digest::of(text.as_bytes()).to_string()});
    vec![("fs/read", json!({"path": path, "as": "json"}), read), ("fs/write", json!({"path": note, "text": text}), wrote)]
}

#[test]
fn a_playbook_is_learned_trusted_distrusted_repaired_and_trusted_again() {
    let workshop = Workshop::open();
    let server = &workshop.server;
    let policy = json!({
        "auto_promote": true, "shadow": {"proved": true, "recordings": 3},
        "active": {"successes": 3, "distinct_inputs": 3, "wilson_floor": 0.4, "min_age_s": 0},
        "demote": {"floor": 0.3, "window": 10, "min_failures": 2}, "canary_share": 0.0, "separate_reviewer": true, "open_review": true,
    });
    server.operator("PUT", "/v1/policy", Some(&policy)).ok();

    // Recorded three times.
    for (name, version) in &SERVICES[..3] {
        let end = json!({"metrics": {"total_tokens": 9_000, "cost_usd": 0.05}});
        let recorded = steps(&format!("services/{name}"), name, version);
        record_ending(server, &format!("run-{name}"), "note the next version of a service", &json!({"service": name}), &recorded, &end);
    }
    let made =
        workshop.replay("compile_from_runs", &json!({"run_ids": ["run-billing", "run-search", "run-mail"], "playbook_id": PLAYBOOK}));
    assert_eq!(made["version"], 1, "{made:#}");

    // Active, by policy.
    workshop.newest_becomes("shadow");
    for (name, version) in &SERVICES[3..6] {
        let job = workshop.run(name);
        assert_eq!(job["status"], "completed", "{job:#}");
        assert_eq!(workshop.note(name), noted(name, version), "a version that no run had");
    }
    let active = workshop.newest_becomes("active");
    assert_eq!(active["active_version"], active["version"]);

    // The world is another one.
    workshop.rearrange();
    for (name, _) in &SERVICES[6..8] {
        let job = workshop.run(name);
        assert_eq!((&job["status"], &job["failure"]["step"]), (&json!("failed"), &json!("s1")), "{job:#}");
    }
    workshop.newest_becomes("draft");
    let demoted = workshop.history().into_iter().find(|change| change["kind"] == "auto_demoted").expect("it was demoted by policy");
    let reason = demoted["reason"].as_str().unwrap();
    assert!(reason.contains("s1") && reason.contains("service.json"), "the place is named: {reason}");

    // The correction, recorded by whoever found it; repaired by one, approved by another.
    let (name, version) = SERVICES[8];
    let recorded = steps(&format!("services/{name}/about"), name, version);
    record_ending(server, "run-corrected", "note the next version of a service", &json!({"service": name}), &recorded, &json!({}));
    let repair = workshop.replay(
        "repair",
        &json!({"playbook_id": PLAYBOOK, "run_id": "run-corrected", "failing_step": "s1", "actor": "ann", "note": "descriptions moved"}),
    );
    assert_eq!(repair["review_state"], "pending_review", "{repair:#}");
    let held_back = workshop.replay("get", &json!({"playbook_id": PLAYBOOK}))["playbook"].clone();
    assert_eq!(held_back["version"], repair["to_version"]);
    let review = json!({"playbook_id": PLAYBOOK, "action": "approve", "note": "looked at the diff"});
    let own = server.post("/v1/memory/replay/playbooks/repair/review", &with(&review, "actor", "ann"));
    own.refused(403, "reviewer_is_author");
    let approved = workshop.replay("repair/review", &with(&review, "actor", "bob"));
    assert_eq!(approved["review_state"], "approved", "{approved:#}");
    let again = server.post("/v1/memory/replay/playbooks/repair/review", &with(&review, "actor", "bob"));
    assert_eq!((&again.ok()["repeated"], &again.ok()["to_version"]), (&json!(true), &approved["to_version"]), "asked again, told again");
    let other = server.post("/v1/memory/replay/playbooks/repair/review", &with(&review, "actor", "eve"));
    other.refused(409, "replay_repair_not_pending_review");

    // Active again, by policy.
    workshop.newest_becomes("shadow");
    for (name, version) in &SERVICES[6..9] {
        let job = workshop.run(name);
        assert_eq!(job["status"], "completed", "{job:#}");
        assert_eq!(workshop.note(name), noted(name, version));
    }
    workshop.newest_becomes("active");
    let kinds: Vec<String> = workshop.history().iter().map(|change| change["kind"].as_str().unwrap().to_owned()).collect();
    let mut expected = ["learned", "auto_promoted", "auto_promoted", "auto_demoted", "repaired", "reviewed", "auto_promoted"];
    expected.reverse();
    assert_eq!(kinds, expected, "newest first, and nothing else");
    server.assert_alive();
}

fn with(body: &Value, name: &str, value: &str) -> Value {
    let mut body = body.clone();
    body[name] = value.into();
    body
}
