//! `reprise grants`, on a data directory and at a server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::support::cli::{Place, Served, finished};

fn listed(list: &Value) -> Vec<(String, String)> {
    let text = |grant: &Value, name: &str| grant[name].as_str().unwrap().to_owned();
    list["grants"].as_array().unwrap().iter().map(|grant| (text(grant, "name"), text(grant, "source"))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect()
}

#[test]
fn a_grant_is_added_listed_used_and_removed_in_a_data_directory() {
    let place = Place::new();
    place.file("tree/notes.md", "# Notes\n");
    place.file("look.json", &look().to_string());
    let missing = place.run(&["grants", "list"]);
    assert!(missing.code == 3 && missing.stderr.contains("there is no data directory"), "{missing:#?}");
    assert_eq!(place.run(&["run", "--graph", "look.json"]).code, 1, "nothing is granted");

    let added = place.ok(&["grants", "add", "fs:tree:ro"]);
    let tree = place.path("tree").canonicalize().unwrap().display().to_string();
    assert_eq!(added, format!("All jobs may now read files below {tree}.\nTake it back with: reprise grants remove tree\n"));
    place.ok(&["grants", "add", "kv:notes", "--name", "other-notes"]);
    let list = place.json(0, &["grants", "list"]);
    assert_eq!(listed(&list), pairs(&[("other-notes", "store"), ("tree", "store")]));
    assert_eq!(list["grants"][1]["grant"]["path"], tree);
    let table = place.ok(&["grants", "list"]);
    assert!(table.contains("read files below") && table.contains("store"), "{table}");
    assert_eq!(place.run(&["run", "--graph", "look.json"]).code, 0, "it holds for a job that is run here");

    std::fs::write(place.path("data/reprise.toml"), "[[grant]]\nkind = \"kv\"\nname = \"from-file\"\naccess = \"ro\"\n").unwrap();
    assert_eq!(listed(&place.json(0, &["grants", "list"])), pairs(&[("from-file", "file"), ("other-notes", "store"), ("tree", "store")]));
    for (arguments, code, says) in [
        (&["grants", "add", "kv:from-file"][..], 4, "in reprise.toml or with a flag"),
        (&["grants", "add", "tcp:x"], 2, "a grant is fs:DIR"),
        (&["grants", "add", "fs:data"], 2, "covers the data directory"),
        (&["grants", "add", "fs:."], 2, "covers the data directory"),
        (&["grants", "add", "exec:/bin/sh@none"], 2, "there is no grant of kind \"fs\" named \"none\""),
        (&["grants", "remove", "none"], 3, "the store has no grant named \"none\""),
        (&["grants", "remove", "from-file"], 3, "is taken out there"),
        (&["grants", "remove", "a/b"], 2, "cannot name a grant"),
    ] {
        let ran = place.run(arguments);
        assert!(ran.code == code && ran.stderr.contains(says), "{arguments:?}: {ran:#?}");
    }
    let gone = place.ok(&["grants", "remove", "tree"]);
    assert_eq!(gone, format!("tree is granted no more: read files below {tree}\n"));
    assert_eq!(place.json(0, &["grants", "remove", "other-notes"])["name"], "other-notes");
    assert_eq!(place.run(&["run", "--graph", "look.json"]).code, 1);
}

/// Reads `tree/notes.md`.
fn look() -> Value {
    json!({
        "graph_version": 1, "goal": "look", "parameters": [],
        "nodes": [{"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": "tree/notes.md"}}],
        "output": {"$from": "look", "pointer": "/text"},
    })
}

#[test]
fn a_server_is_asked_with_the_token_that_the_command_finds_by_itself() {
    let place = Place::new();
    place.file("tree/notes.md", "");
    place.file("elsewhere/x", "");
    let served = Served::start(&place, &["--grant", "kv:flagged"]);
    let at = ["--url", served.url.as_str()];
    let with = |arguments: &[&'static str]| -> Vec<&str> { arguments.iter().copied().chain(at).collect() };
    let busy = place.run(&["grants", "add", "fs:tree"]);
    assert!(busy.code == 6 && busy.stderr.contains("add: --url http://127.0.0.1:"), "{busy:#?}");
    assert_eq!(place.json(0, &with(&["grants", "add", "fs:tree"]))["source"], "store");
    let list = place.json(0, &with(&["grants", "list"]));
    assert_eq!(listed(&list), pairs(&[("flagged", "flag"), ("tree", "store")]));
    assert!(list["grants"][1]["grant"]["path"].is_string(), "an operator sees the whole: {list}");

    // Without the data directory at hand, the environment says it.
    let token = std::fs::read_to_string(place.path("data/operator.token")).unwrap();
    let from_elsewhere = |token: Option<&str>, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("REPRISE_DATA", place.path("elsewhere")).env_remove("REPRISE_OPERATOR_TOKEN");
        if let Some(token) = token {
            command.env("REPRISE_OPERATOR_TOKEN", token);
        }
        finished(&mut command)
    };
    let remove = with(&["grants", "remove", "tree"]);
    let ran = from_elsewhere(None, &remove);
    assert!(ran.code == 9 && ran.stderr.contains("operator.token") && ran.stderr.contains("set REPRISE_OPERATOR_TOKEN"), "{ran:#?}");
    let ran = from_elsewhere(Some("0123"), &remove);
    assert!(ran.code == 9 && ran.stderr.contains("what was sent is from REPRISE_OPERATOR_TOKEN"), "{ran:#?}");
    let some = from_elsewhere(None, &with(&["grants", "list"]));
    assert!(some.code == 0 && some.stdout.contains("read and write files below tree/"), "{some:#?}");
    assert_eq!(from_elsewhere(Some(token.trim()), &remove).code, 0);
    assert_eq!(listed(&place.json(0, &with(&["grants", "list"]))), pairs(&[("flagged", "flag")]));

    // A token that others may read is none.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(place.path("data/operator.token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = place.run(&with(&["grants", "add", "fs:tree"]));
    assert!(ran.code == 2 && ran.stderr.contains("is no secret: others may use it"), "{ran:#?}");
}
