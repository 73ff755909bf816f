//! Each known way to reach what was not granted, tried with every tool. [`World`] checks after each call that
//! neither the secret nor a host path got out and that the secret is as it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use super::Call;
use super::world::{SECRET, World};
use crate::tools::grants::Grants;

const EVERY_TOOL: [&str; 5] = ["fs/list", "fs/read", "fs/remove", "fs/replace", "fs/write"];
const CHANGING: [&str; 3] = ["fs/remove", "fs/replace", "fs/write"];

/// An input for this tool that would do the most harm at `path`.
fn input(tool: &str, path: &str) -> String {
    match tool {
        "fs/list" => json!({ "path": path, "recursive": true }),
        "fs/write" => json!({ "path": path, "text": "harm", "create_dirs": true }),
        "fs/replace" => json!({ "path": path, "old": "secret", "new": "harm" }),
        _ => json!({ "path": path }),
    }
    .to_string()
}

/// What a path leads to, made before it is tried.
type Prepare = fn(&World);

#[test]
fn no_path_leads_out_of_its_grant() {
    let attacks: &[(&str, Prepare, &str, &str)] = &[
        ("an absolute path", |_| {}, "/etc/passwd", "this job has: docs (read), project (read and write)"),
        ("two slashes", |_| {}, "//etc/passwd", "the path is absolute"),
        ("up from the grant", |_| {}, "project/../outside/secret.txt", "\"project\""),
        ("up after going down", |w| w.file("sub/a.txt", ""), "project/sub/../../outside/secret.txt", "\"project\""),
        ("up, hidden between dots", |_| {}, "project/./.././outside/secret.txt", "\"project\""),
        ("up at the end", |_| {}, "project/..", "\"project\""),
        ("up with a slash", |_| {}, "project/../", "\"project\""),
        (
            "up at the beginning",
            |_| {},
            "../outside/secret.txt",
            "no grant named \"..\"; this job has: docs (read), project (read and write)",
        ),
        ("up through what is not there", |_| {}, "project/no/such/../../../outside/secret.txt", "\"project\""),
        (
            "another directory's name",
            |_| {},
            "outside/secret.txt",
            "no grant named \"outside\"; this job has: docs (read), project (read and write)",
        ),
        ("backslashes", |_| {}, "project\\..\\outside\\secret.txt", "no grant named"),
        ("a link in a directory's place", |w| w.link("../outside", "out"), "project/out/secret.txt", "leads out of the grant \"project\""),
        (
            "an absolute link",
            |w| w.link(w.outside("").to_str().unwrap(), "out"),
            "project/out/secret.txt",
            "leads out of the grant \"project\"",
        ),
        (
            "a link with a slash at its end",
            |w| w.link("../outside/", "out"),
            "project/out/secret.txt",
            "leads out of the grant \"project\"",
        ),
        ("a link with a dot at its end", |w| w.link("../outside/.", "out"), "project/out/secret.txt", "leads out of the grant \"project\""),
        ("a link to above", |w| w.link("..", "up"), "project/up/outside/secret.txt", "leads out of the grant \"project\""),
        ("a link to above and back", |w| w.link("../granted", "round"), "project/round/a.txt", "leads out of the grant \"project\""),
        (
            "a link down and further up",
            |w| {
                w.file("sub/a.txt", "");
                w.link("sub/../../outside", "out");
            },
            "project/out/secret.txt",
            "leads out of the grant \"project\"",
        ),
        (
            "a chain of links",
            |w| {
                w.link("b", "a");
                w.link("c/../c", "b");
                w.link("../outside", "c");
            },
            "project/a/secret.txt",
            "leads out of the grant \"project\"",
        ),
        (
            "a link up through a link down",
            |w| {
                w.file("deep/er/a.txt", "");
                w.link("deep/er", "inside");
                w.link("inside/../../..", "up");
            },
            "project/up/outside/secret.txt",
            "leads out of the grant \"project\"",
        ),
        (
            "a link to the root of the host",
            |w| w.link("/proc/self/root", "root"),
            "project/root/etc/passwd",
            "leads out of the grant \"project\"",
        ),
        ("a link to nothing outside", |w| w.link("../outside/made", "out"), "project/out/new.txt", "leads out of the grant \"project\""),
        ("our own temporary file", |w| w.file(".reprise-0.tmp", "secret"), "project/.reprise-0.tmp", "temporary files"),
        ("our own temporary file, ignoring case", |_| {}, "project/.Repriſe-0.TMP/x", "temporary files"),
    ];
    for (name, prepare, path, says) in attacks {
        for tool in EVERY_TOOL {
            let w = World::new();
            prepare(&w);
            eprintln!("{name}: {tool} {path}");
            w.refuses(tool, &input(tool, path), "denied", says);
            assert_eq!(std::fs::read_dir(w.outside("")).unwrap().count(), 1, "{name}: {tool} left something outside");
        }
    }
}

#[test]
fn a_link_in_the_last_place_is_neither_read_nor_changed_through() {
    for target in ["../outside/secret.txt", "../outside/new.txt", "../outside/", "/etc/passwd", "/proc/self/environ"] {
        let w = World::new();
        w.link(target, "leak");
        for tool in ["fs/read", "fs/list"] {
            w.refuses(tool, &input(tool, "project/leak"), "denied", "leads out of the grant \"project\"");
        }
        for tool in ["fs/write", "fs/replace"] {
            w.refuses(tool, &input(tool, "project/leak"), "denied", "is a symbolic link in the grant \"project\"");
        }
        assert_eq!(std::fs::read_dir(w.outside("")).unwrap().count(), 1);
        // The link itself is an entry of the granted directory.
        w.call("fs/remove", &input("fs/remove", "project/leak")).unwrap();
        assert!(w.names("").is_empty());
    }
    let w = World::new();
    w.file("a.txt", "a secret");
    w.link("a.txt", "inside");
    for tool in ["fs/write", "fs/replace"] {
        w.refuses(tool, &input(tool, "project/inside"), "denied", "is a symbolic link in the grant \"project\"");
    }
    assert_eq!(w.content("a.txt"), "a secret");
}

#[test]
fn links_in_a_circle_and_links_without_end_are_a_conflict() {
    let w = World::new();
    w.link("b", "a");
    w.link("a", "b");
    w.link("self/self", "self");
    // Each stands for twice as many lookups as the one before.
    w.link(".", "0");
    for n in 0..60 {
        w.link(&format!("{n}/{n}"), &(n + 1).to_string());
    }
    // Each lookup makes thousands more.
    w.link(&format!("many/{}", "x/".repeat(2_000)), "many");
    w.file("down/a.txt", "");
    w.link(&format!("{}ups", "down/../".repeat(500)), "ups");
    for path in ["project/a/x", "project/self/x", "project/60/x", "project/many/x", "project/ups/x"] {
        for tool in EVERY_TOOL {
            w.refuses(tool, &input(tool, path), "conflict", "more links than are followed");
        }
    }
}

#[test]
fn names_that_only_look_like_a_way_out_are_names() {
    let w = World::new();
    w.file("..hidden", "1");
    w.file("...", "2");
    w.file("a\\..\\b", "3");
    for (path, text) in [("project/..hidden", "1"), ("project/...", "2"), ("project/a\\..\\b", "3")] {
        assert_eq!(w.call("fs/read", &input("fs/read", path)).unwrap().value()["text"], text);
    }
    for path in [
        "project/%2e%2e/outside/secret.txt",
        "project/\u{ff0e}\u{ff0e}/outside/secret.txt",
        "project/ ../outside/secret.txt",
        "project/~/secret.txt",
    ] {
        w.refuses("fs/read", &input("fs/read", path), "not-found", "is not there");
    }
}

#[test]
fn paths_that_no_system_takes_are_invalid() {
    let w = World::new();
    let long = format!("project/{}", "x/".repeat(2_100));
    for (path, says) in [("project/a\0.txt", "NUL"), ("", "names nothing"), ("./.", "names nothing"), (&long, "at most 4096")] {
        for tool in EVERY_TOOL {
            w.refuses(tool, &input(tool, path), "invalid-input", says);
        }
    }
}

#[test]
fn nothing_is_changed_below_a_read_only_grant_nor_the_grant_itself() {
    let w = World::new();
    for tool in CHANGING {
        for path in ["docs/guide.md", "docs/new.md", "docs/new/dir.md", "docs"] {
            w.refuses(tool, &input(tool, path), "denied", "the grant \"docs\" is read-only");
        }
        w.refuses(tool, &input(tool, "project"), "denied", "is the grant \"project\" itself");
    }
    assert_eq!(w.call("fs/read", r#"{"path":"docs/guide.md"}"#).unwrap().value()["text"], "guide");
    assert_eq!(w.call("fs/list", r#"{"path":"docs"}"#).unwrap().value()["entries"][0]["path"], "docs/guide.md");
}

#[test]
fn a_job_cannot_write_its_own_grants() {
    let w = World::new();
    w.file("reprise.toml", "secret");
    for path in ["project/reprise.toml", "project/REPRISE.toml", "project/repriſe.toml", "project/below/reprise.toml"] {
        for tool in CHANGING {
            w.refuses(tool, &input(tool, path), "denied", "only an operator changes");
        }
    }
    assert_eq!(w.content("reprise.toml"), "secret");
    w.file("reprise.toml.md", "");
    w.call("fs/remove", &input("fs/remove", "project/reprise.toml.md")).unwrap();
}

#[test]
fn pipes_sockets_and_devices_are_left_alone_and_never_waited_for() {
    let w = World::new();
    w.pipe("pipe");
    w.link("pipe", "link");
    let _socket = std::os::unix::net::UnixListener::bind(w.path("socket")).unwrap();
    for path in ["project/pipe", "project/socket"] {
        for tool in ["fs/read", "fs/write", "fs/replace", "fs/remove"] {
            w.refuses(tool, &input(tool, path), "denied", "a pipe, a socket or a device");
        }
    }
    w.refuses("fs/read", &input("fs/read", "project/link"), "denied", "a pipe, a socket or a device");
    w.refuses("fs/write", &input("fs/write", "project/pipe/x"), "conflict", "as if it were a directory");

    let devices = World::granted(&["fs:dev=/dev"]);
    for tool in ["fs/read", "fs/write", "fs/replace", "fs/remove"] {
        devices.refuses(tool, &input(tool, "dev/null"), "denied", "a pipe, a socket or a device");
    }
}

#[test]
fn a_job_without_grants_reaches_nothing() {
    let mut w = World::new();
    w.grants = Grants::none();
    for tool in EVERY_TOOL {
        w.refuses(tool, &input(tool, "project/a.txt"), "denied", "no grant named \"project\"; this job has no grants");
    }
}

#[test]
fn a_directory_that_turns_into_a_link_between_two_looks_does_not_let_anyone_out() {
    let w = World::new();
    w.file("real/secret.txt", "inside");
    /// Ends the other thread whichever way this one leaves, or a failed check would wait for it forever.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| {
            let (real, flip) = (w.path("real"), w.path("flip"));
            while !done.load(Ordering::Relaxed) {
                std::fs::rename(&real, &flip).unwrap();
                std::fs::rename(&flip, &real).unwrap();
                std::os::unix::fs::symlink(w.outside(""), &flip).unwrap();
                std::fs::remove_file(&flip).unwrap();
            }
        });
        // Many tries, each as short as can be: reading goes past the registry, and `World` checks the rest.
        let call = Call {
            key: "k".to_owned(),
            input: crate::json::Json::trusted("{}"),
            grants: w.grants.clone(),
            secrets: std::sync::Arc::default(),
            begin_until: Instant::now(),
        };
        for n in 0..20_000 {
            let read = super::read::call(&call, &json!({ "path": "project/flip/secret.txt" }));
            assert!(!format!("{read:?}").contains(SECRET), "the secret got out at try {n}");
            if n % 100 == 0 {
                let _ = w.call("fs/list", &input("fs/list", "project/flip"));
                let _ = w.call("fs/remove", &input("fs/remove", "project/flip/secret.txt"));
                let _ = w.call("fs/write", r#"{"path":"project/flip/new.txt","text":"harm"}"#);
            }
        }
    });
    assert_eq!(std::fs::read_dir(w.outside("")).unwrap().count(), 1, "something was written outside");
}

#[test]
fn a_granted_directory_that_was_removed_is_said_to_be() {
    let w = World::new();
    std::fs::remove_dir(w.path("")).unwrap();
    for tool in ["fs/read", "fs/replace"] {
        w.refuses(tool, &input(tool, "project/a.txt"), "not-found", "the directory of the grant \"project\" was removed");
    }
}

#[test]
fn where_a_part_of_a_directory_is_granted_nothing_beside_it_is_reached() {
    let mut w = World::new();
    w.file("part/inner/a.txt", "a");
    w.file("beside.txt", "beside");
    w.link("../beside.txt", "part/out");
    let grant =
        json!({"kind": "fs", "name": "project", "at": "part/inner", "path": w.path("part/inner").canonicalize().unwrap(), "access": "rw"});
    w.grants = Grants::open(&[serde_json::from_value(grant).unwrap()]).unwrap();
    w.answers("fs/read", r#"{"path":"project/part/inner/a.txt"}"#, r#"{"bytes":1,"path":"project/part/inner/a.txt","text":"a"}"#);
    let listed = w.call("fs/list", r#"{"path":"project/part/inner"}"#).unwrap();
    assert_eq!(listed.value()["entries"][0]["path"], "project/part/inner/a.txt");
    for path in [
        "project",
        "project/",
        "project/part",
        "project/beside.txt",
        "project/part/out",
        "project/part/inne",
        "project/part/inner2/a.txt",
        "project/inner/a.txt",
        "project/a.txt",
        "project/part/inner/../out",
        "project/part//../part/inner/a.txt",
    ] {
        for tool in EVERY_TOOL {
            let denied = w.call(tool, &input(tool, path)).unwrap_err();
            assert_eq!(denied.kind, crate::contract::ErrorKind::Denied, "{tool} {path}: {denied}");
            assert!(
                denied.message.ends_with("this job has: project/part/inner (read and write)") || path.contains(".."),
                "{tool} {path}: {denied}"
            );
        }
    }
    w.call("fs/write", r#"{"path":"project/part/inner/b.txt","text":"b"}"#).unwrap();
    assert_eq!((w.content("part/inner/b.txt"), w.content("beside.txt")), ("b".to_owned(), "beside".to_owned()));
}
