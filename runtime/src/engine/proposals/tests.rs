//! What is proposed for calls as they were recorded, and as a plan makes them.

use super::*;
use crate::compiler::template::{Part, Source, Template};
use crate::contract::{Effect, ToolId};
use crate::json::Json;

/// A call whose whole input is known, as a constant of the plan.
fn call(step: &str, tool: &str, input: &Value) -> Reached {
    let effect = match tool {
        "fs/read" | "fs/list" | "http/get" | "kv/get" => Effect::Read,
        _ => Effect::Once,
    };
    let tool = ToolId::parse(tool).unwrap();
    Reached { step: step.to_owned(), tool, effect, input: Template::Constant(Json::from(input)), recorded: Some(input.clone()) }
}

/// The same where `field` is this text and then something that depends on the job.
fn beginning(step: &str, tool: &str, recorded: &Value, field: &str, begin: &str) -> Reached {
    let value = Source::Parameter { name: "x".to_owned(), pointer: String::new() };
    let made =
        if begin.is_empty() { Template::Value(value) } else { Template::Text(vec![Part::Literal(begin.to_owned()), Part::Value(value)]) };
    Reached { input: Template::Object([(field.to_owned(), made)].into()), ..call(step, tool, recorded) }
}

fn known(grants: &[Grant]) -> Known {
    Known::of(grants.to_vec(), BTreeMap::new())
}

/// Name, words, standing and steps of each proposal.
fn proposed(calls: &[Reached], known: &Known) -> Vec<(String, String, ProposalStanding, String)> {
    let shown = |p: GrantProposal| (p.name, p.words, p.standing, p.steps.join(" "));
    propose(calls, known).into_iter().map(shown).collect()
}

fn line(name: &str, words: &str, standing: ProposalStanding, steps: &str) -> (String, String, ProposalStanding, String) {
    (name.to_owned(), words.to_owned(), standing, steps.to_owned())
}

use ProposalStanding::{Changes, Narrows, New, Same};

#[test]
fn the_deepest_directory_that_all_paths_of_a_grant_have_in_common() {
    let read = |step: &str, path: &str| call(step, "fs/read", &json!({ "path": path }));
    let write = |step: &str, path: &str| call(step, "fs/write", &json!({ "path": path, "text": "" }));
    let list = |step: &str, path: &str| call(step, "fs/list", &json!({ "path": path }));
    for (calls, words) in [
        (vec![read("s1", "p/a/b/c.txt")], "read files below p/a/b/"),
        (vec![read("s1", "p/a/b/c.txt"), read("s2", "p/a/bc/d.txt")], "read files below p/a/"),
        (vec![read("s1", "p/a/b/c.txt"), write("s2", "p/a/b/d.txt")], "read and write files below p/a/b/"),
        (vec![read("s1", "p/a.txt"), write("s2", "p/a/b.txt")], "read and write files below p/"),
        (vec![list("s1", "p/a/b")], "read files below p/a/b/"),
        (vec![list("s1", "p"), read("s2", "p/a/b.txt")], "read files below p/"),
        (vec![read("s1", "./p//a/./b.txt")], "read files below p/a/"),
        (vec![beginning("s1", "fs/write", &json!({"path": "p/out/2026/x.md"}), "path", "p/out/")], "read and write files below p/out/"),
        (vec![beginning("s1", "fs/write", &json!({"path": "p/out-1/x.md"}), "path", "p/out-")], "read and write files below p/"),
        (vec![beginning("s1", "fs/list", &json!({"path": "p/out/a"}), "path", "p/out/")], "read files below p/out/"),
        // Nothing of it is fixed: what was recorded.
        (vec![beginning("s1", "fs/read", &json!({"path": "p/found/x.md"}), "path", "")], "read files below p/found/"),
        (vec![beginning("s1", "fs/read", &json!({"path": "p/found/x.md"}), "path", "p")], "read files below p/found/"),
    ] {
        let steps = calls.iter().map(|call| call.step.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(proposed(&calls, &Known::nothing()), [line("p", words, New, &steps)], "{words}");
    }
    let two = [read("s1", "a/x/1"), read("s2", "b/y/1"), write("s3", "b/y/2")];
    let expected = [line("a", "read files below a/x/", New, "s1"), line("b", "read and write files below b/y/", New, "s2 s3")];
    assert_eq!(proposed(&two, &Known::nothing()), expected);
    let found = |step: &str, tool: &str| Reached { recorded: None, ..beginning(step, tool, &json!({"path": "p/a/x"}), "path", "") };
    let all = [list("s1", "p/a"), found("s2", "fs/read"), found("s3", "fs/remove")];
    assert_eq!(proposed(&all, &Known::nothing()), [line("p", "read and write files below p/a/", New, "s1 s2 s3")], "what a loop removes");
    for path in ["/etc/passwd", "p/../q", "../p"] {
        assert_eq!(proposed(&[read("s1", path)], &Known::nothing()), [], "no grant makes {path} one that a job can use");
    }
}

#[test]
fn what_is_granted_says_where_a_directory_lies_and_is_narrowed() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().canonicalize().unwrap();
    std::fs::create_dir_all(dir.join("p/a/b")).unwrap();
    std::fs::create_dir_all(dir.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.join("elsewhere"), dir.join("p/a/link")).unwrap();
    let flag = |text: &str| Grant::parse_flag(&text.replace("DIR", dir.to_str().unwrap())).unwrap();
    let at = |at: &str, access: &str| -> Grant {
        serde_json::from_value(json!({"kind": "fs", "name": "p", "path": dir.join("p").join(at), "at": at, "access": access})).unwrap()
    };
    let read = |path: &str| [call("s1", "fs/read", &json!({ "path": path }))];
    for (granted, path, grant, standing) in [
        (flag("fs:p=DIR/p"), "p/a/b/c", Some(at("a/b", "ro")), Narrows),
        (flag("fs:p=DIR/p:ro"), "p/c", Some(flag("fs:p=DIR/p:ro")), Same),
        (flag("fs:p=DIR/p"), "p/c", Some(flag("fs:p=DIR/p:ro")), Narrows),
        // What is not there cannot be granted; what holds it can.
        (flag("fs:p=DIR/p"), "p/a/new/deep/c", Some(at("a", "ro")), Narrows),
        // Behind a link, it would be another directory.
        (flag("fs:p=DIR/p"), "p/a/link/c", Some(at("a", "ro")), Narrows),
        (at("a", "rw"), "p/a/b/c", Some(at("a/b", "ro")), Narrows),
        (at("a/b", "ro"), "p/a/b/c", Some(at("a/b", "ro")), Same),
        (at("a/b", "ro"), "p/a/c", Some(at("a", "ro")), Changes),
        (flag("fs@search:p=DIR/p"), "p/a/b/c", None, New),
        (flag("kv:p"), "p/a/b/c", None, Changes),
    ] {
        let made = propose(&read(path), &known(std::slice::from_ref(&granted))).remove(0);
        assert_eq!((made.grant(), made.standing), (grant, standing), "{path} {granted:?}");
        let (all, some) = (made.view(true), made.view(false));
        assert_eq!(all.grant.is_some(), made.grant().is_some());
        assert!(some.grant.is_none() && !format!("{some:?}").contains(dir.to_str().unwrap()), "{some:?}");
    }
    let changed = propose(&[call("s1", "fs/write", &json!({"path": "p/x"}))], &known(&[flag("fs:p=DIR/p:ro")])).remove(0);
    assert_eq!((changed.grant(), changed.standing), (Some(flag("fs:p=DIR/p")), Changes));

    // Where nothing is granted, whoever asks says where it lies; else an operator has to.
    let said = Known::of(Vec::new(), [("p".to_owned(), dir.join("p"))].into());
    let made = propose(&read("p/a/b/c"), &said).remove(0);
    assert_eq!((made.grant(), made.standing), (Some(at("a/b", "ro")), New));
    assert!(made.view(false).grant.is_some(), "the caller said where");
    let unknown = propose(&read("p/a/b/c"), &Known::nothing()).remove(0);
    let toml = "[[grant]]\naccess = \"ro\"\nat = \"a/b\"\nkind = \"fs\"\nname = \"p\"\n# path = the directory that jobs see as p/a/b; approve with --root p=DIR, the one that they see as p\n";
    assert_eq!((unknown.grant(), unknown.view(true).grant, unknown.view(true).toml.as_deref()), (None, None, Some(toml)));
}

#[test]
fn the_methods_and_the_longest_path_that_all_requests_have_in_common() {
    let get = |step: &str, url: &str| call(step, "http/get", &json!({ "url": url }));
    let post = |step: &str, url: &str| call(step, "http/post", &json!({ "url": url }));
    for (calls, words) in [
        (vec![get("s1", "https://a.example/v1/orders/7")], "GET at https://a.example below /v1/orders/7"),
        (
            vec![get("s1", "https://A.example:443/v1/orders/7?x=1"), post("s2", "https://a.example/v1/refunds")],
            "GET, POST at https://a.example below /v1",
        ),
        (vec![get("s1", "https://a.example/v1"), get("s2", "https://a.example/v10")], "GET at https://a.example"),
        (vec![get("s1", "https://a.example")], "GET at https://a.example"),
        (vec![get("s1", "https://a.example/v1/caf%C3%A9/x")], "GET at https://a.example below /v1"),
        (
            vec![beginning("s1", "http/get", &json!({"url": "https://a.example/orders/7/lines"}), "url", "https://a.example/orders/")],
            "GET at https://a.example below /orders",
        ),
        (
            vec![beginning("s1", "http/get", &json!({"url": "https://a.example/orders-7"}), "url", "https://a.example/orders-")],
            "GET at https://a.example",
        ),
        (
            vec![beginning("s1", "http/get", &json!({"url": "https://a.example/find?q=7"}), "url", "https://a.example/find?q=")],
            "GET at https://a.example below /find",
        ),
        // Where the host is not fixed, it is the recorded one.
        (
            vec![beginning("s1", "http/get", &json!({"url": "https://a.example/orders/7"}), "url", "https://a.exam")],
            "GET at https://a.example below /orders/7",
        ),
    ] {
        let steps = calls.iter().map(|call| call.step.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(proposed(&calls, &Known::nothing()), [line("a.example", words, New, &steps)], "{words}");
    }
    let two = [get("s1", "https://a.example/x"), get("s2", "http://a.example:81/y")];
    assert_eq!(proposed(&two, &Known::nothing()).len(), 2, "each origin by itself");
    assert_eq!(proposed(&[get("s1", "ftp://a.example/x"), get("s2", "nowhere")], &Known::nothing()), []);
}

#[test]
fn a_granted_web_server_is_narrowed_and_its_promises_stay() {
    let granted = |fields: &Value| -> Grant {
        let mut grant = json!({"kind": "http", "name": "pay", "origin": "https://a.example", "methods": ["GET", "POST"], "key_header": "X-Key", "reconcile": "/by/{key}", "private": true});
        grant.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(grant).unwrap()
    };
    let calls = [call("s1", "http/post", &json!({"url": "https://a.example/v1/pay"}))];
    let narrow = granted(&json!({"methods": ["POST"], "path": "/v1/pay"}));
    for (have, made, standing) in [
        (granted(&json!({})), narrow.clone(), Narrows),
        (granted(&json!({"path": "/v1"})), narrow.clone(), Narrows),
        (narrow.clone(), narrow.clone(), Same),
    ] {
        let proposal = propose(&calls, &known(&[have])).remove(0);
        assert_eq!((proposal.grant(), proposal.standing), (Some(made), standing));
    }
    // One that does not cover it promises nothing about it.
    let other = propose(&calls, &known(&[granted(&json!({"path": "/v2"}))])).remove(0);
    assert_eq!((other.name.as_str(), other.standing), ("a.example", New));
}

#[test]
fn spaces_programs_and_secrets() {
    let calls = [
        call("s1", "kv/get", &json!({"space": "notes", "key": "a"})),
        call("s2", "kv/set", &json!({"space": "seen", "key": "a", "value": 1})),
        call("s3", "kv/get", &json!({"space": "seen", "key": "a"})),
    ];
    let expected =
        [line("notes", "read keys in the space notes", New, "s1"), line("seen", "read and write keys in the space seen", New, "s2 s3")];
    assert_eq!(proposed(&calls, &Known::nothing()), expected);
    assert_eq!(proposed(&calls[..1], &known(&[Grant::parse_flag("kv:notes").unwrap()]))[0].2, Narrows);

    let run = |step: &str, args: &[&str]| call(step, "exec/run", &json!({"program": "/usr/bin/git", "args": args, "directory": "p"}));
    for (calls, words) in [
        (vec![run("s1", &["log", "-1"])], vec!["run the program git log -1 in p/"]),
        (vec![run("s1", &["show", "abc"]), run("s2", &["show", "abd"])], vec!["run the program git show ab* in p/"]),
        (vec![run("s1", &["show", "abc"]), run("s2", &["show", "xyz"])], vec!["run the program git show * in p/"]),
        (vec![run("s1", &["log"]), run("s2", &["log", "-1"])], vec!["run the program git log in p/", "run the program git-2 log -1 in p/"]),
        // No pattern takes an option for a name.
        (
            vec![run("s1", &["show", "-p"]), run("s2", &["show", "abc"])],
            vec!["run the program git show -p in p/", "run the program git-2 show abc in p/"],
        ),
        (vec![run("s1", &["a**b"])], vec!["run the program git a*b in p/"]),
    ] {
        let made = propose(&calls, &Known::nothing());
        assert_eq!(made.iter().map(|p| p.words.as_str()).collect::<Vec<_>>(), words);
        for call in &calls {
            let args: Vec<String> = serde_json::from_value(call.recorded.as_ref().unwrap()["args"].clone()).unwrap();
            let covered = made.iter().any(|p| matches!(p.grant(), Some(Grant::Exec(exec)) if exec.covers("/usr/bin/git", &args)));
            assert!(covered, "{args:?} {words:?}");
        }
    }
    let nowhere = propose(&[call("s1", "exec/run", &json!({"program": "/usr/bin/git"}))], &Known::nothing()).remove(0);
    assert!(nowhere.grant().is_none() && nowhere.missing.as_ref().unwrap().starts_with("directory = "), "{nowhere:?}");

    let secret = call(
        "s1",
        "http/post",
        &json!({
            "url": "https://a.example/v1?key={{secret:query-key}}&x=1",
            "headers": {"Authorization": "Bearer {{secret:token}}"},
            "body": {"pin": "{{secret:token}}"},
        }),
    );
    let expected = [
        line("a.example", "POST at https://a.example below /v1", New, "s1"),
        line("query-key", "put the secret query-key into key in the query, toward a.example", New, "s1"),
        line("token", "put the secret token into the body, toward a.example", New, "s1"),
        line("token-2", "put the secret token into the header authorization, toward a.example", New, "s1"),
    ];
    assert_eq!(proposed(&[secret], &Known::nothing()), expected);
}

#[test]
fn every_proposal_is_a_grant_that_hangs_together_and_reads_back_from_its_toml() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().canonicalize().unwrap();
    std::fs::create_dir_all(dir.join("p/a")).unwrap();
    let calls = [
        call("s1", "fs/write", &json!({"path": "p/a/x", "text": ""})),
        call("s2", "http/get", &json!({"url": "https://a.example/v1", "headers": {"x-token": "{{secret:token}}"}})),
        call("s3", "kv/set", &json!({"space": "seen", "key": "a", "value": 1})),
        call("s4", "exec/run", &json!({"program": "/bin/sh", "args": ["-c", "true"], "directory": "p"})),
    ];
    let made = propose(&calls, &Known::of(Vec::new(), [("p".to_owned(), dir.join("p"))].into()));
    let grants: Vec<Grant> = made.iter().map(|proposal| proposal.grant().unwrap()).collect();
    assert_eq!(grants.iter().map(Grant::kind).collect::<Vec<_>>(), ["fs", "http", "kv", "exec", "secret"]);
    crate::tools::Grants::open(&grants).unwrap();
    let text: String = made.iter().map(|proposal| proposal.view(true).toml.unwrap()).collect();
    let file = dir.join("proposed.toml");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(crate::config::Config::read(&file).unwrap().grants, grants, "{text}");
}
