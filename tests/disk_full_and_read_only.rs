//! A disk that takes no more, and one that takes nothing: the answer is clear, and nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::support::cli::{Child, Place, Served, finished};

/// No file of the process grows beyond 12 MB (24,000 blocks of 512 bytes, twice that where the shell counts in 1024), and it
/// gets an error rather than a signal where one would.
const FULL: &str = r#"trap "" XFSZ; ulimit -f 24000;"#;
/// Steps that are far more than the limit takes.
const STEPS_MAX: u32 = 2_000;
/// Reads whose answers are more than the limit takes.
const READS: u32 = 900;

fn step(n: u32) -> Value {
    // Below the size from which a value is a file of its own.
    let text = format!("{n} ").repeat(30_000 / 5);
    json!({"run_id": "big", "step_index": n, "tool_name": "fs/write", "tool_input": {"text": text}})
}

#[test]
fn a_full_disk_is_answered_with_503_and_after_a_restart_all_that_was_acknowledged_is_there() {
    let place = Place::new();
    let mut server = Served::from(&mut place.through_shell(FULL, &["--json", "serve", "--listen", "127.0.0.1:0"]));
    let started = server.post("/v1/memory/replay/run/start", &json!({"run_id": "big", "goal": "fill the disk"})).unwrap();
    assert_eq!(started.0, 200, "{started:?}");
    let mut acknowledged = Vec::new();
    let refused = (1..STEPS_MAX).find_map(|n| match server.post("/v1/memory/replay/step/before", &step(n)).unwrap() {
        (200, answer) => {
            acknowledged.push((n, answer));
            None
        }
        refused => Some(refused),
    });
    let (status, answer) = refused.expect("the limit is reached");
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    assert_eq!(status, 503, "{answer:#}");
    assert_store_error(&answer);
    // The kernel's reason, with a path of this machine in it, is for who runs the server.
    server.child.hear_text("File too large");

    // It goes on to say so.
    for n in STEPS_MAX..STEPS_MAX + 3 {
        let (status, answer) = server.post("/v1/memory/replay/step/before", &step(n)).unwrap();
        assert_eq!(status, 503, "{answer:#}");
        assert_store_error(&answer);
    }
    let (status, health) = server.get("/healthz");
    assert_eq!(status, 503, "{health:#}");
    assert_store_error(&health);
    // A read may have to tidy a page of the tree, which is a write: then it says so too.
    match server.post("/v1/memory/replay/runs/get", &json!({"run_id": "big"})).unwrap() {
        (200, run) => assert_eq!(run["run"]["run_id"], "big"),
        (status, answer) => {
            assert_eq!(status, 503, "{answer:#}");
            assert_store_error(&answer);
        }
    }
    assert!(server.child.lives());
    server.child.interrupt();
    server.child.ended();

    let server = Served::start(&place, &[]);
    assert_eq!(server.get("/healthz").0, 200);
    let (_, run) = server.post("/v1/memory/replay/runs/get", &json!({"run_id": "big"})).unwrap();
    let there: BTreeSet<u64> = run["steps"].as_array().unwrap().iter().map(|step| step["step_index"].as_u64().unwrap()).collect();
    for (n, answer) in &acknowledged {
        assert!(there.contains(&u64::from(*n)), "step {n} was acknowledged and is lost");
        let again = server.post("/v1/memory/replay/step/before", &step(*n)).unwrap();
        assert_eq!(again, (200, answer.clone()), "step {n} is stored as it was sent");
    }
    let (status, answer) = server.post("/v1/memory/replay/step/before", &step(STEPS_MAX)).unwrap();
    assert_eq!(status, 200, "it takes more again: {answer:#}");
}

fn assert_store_error(answer: &Value) {
    let code = answer["error"].as_str().unwrap_or_default();
    assert!(["store_unavailable", "store_poisoned"].contains(&code), "{answer:#}");
}

#[test]
fn a_disk_that_is_full_from_the_start_is_named_with_the_reason() {
    let place = Place::new();
    let ran = finished(&mut place.through_shell(r#"trap "" XFSZ; ulimit -f 0;"#, &["jobs", "list"]));
    assert_eq!(ran.code, 3, "there is nothing to list yet: {ran:#?}");
    place.playbook(
        "read",
        "{\"run\": {\"goal\": \"x\"}}\n{\"tool\": \"fs/read\", \"input\": {\"path\": \"p/a\"}}\n{\"end\": {\"status\": \"success\"}}\n",
    );
    for arguments in [&["record", "read.jsonl"][..], &["run", "read"], &["serve", "--listen", "127.0.0.1:0"]] {
        // Files, pipes for what it says among them, are not limited: only what it writes to a file is.
        let ran = finished(&mut place.through_shell(r#"trap "" XFSZ; ulimit -f 0;"#, arguments));
        assert_eq!(ran.code, 6, "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(place.path("data").to_str().unwrap()) && ran.stderr.contains("File too large"), "{ran:#?}");
    }
    assert_eq!(place.json(0, &["playbooks", "list"])["playbooks"][0]["playbook_id"], "read", "it did no harm");
}

/// Whether this process may mount, in a name space of its own that goes away with the command.
fn unshare() -> Option<&'static str> {
    let able = |how: &&str| {
        let tried = Command::new("sh").args(["-c", &format!("{how} sh -c 'mount --bind /tmp /tmp'")]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    ["unshare --mount", "unshare --map-root-user --mount"].into_iter().find(able)
}

#[test]
fn a_data_directory_on_a_read_only_disk_is_named_with_the_reason() {
    let place = Place::new();
    place.playbook(
        "read",
        "{\"run\": {\"goal\": \"x\"}}\n{\"tool\": \"fs/read\", \"input\": {\"path\": \"p/a\"}}\n{\"end\": {\"status\": \"success\"}}\n",
    );
    std::fs::create_dir(place.path("empty")).unwrap();
    let (data, empty) = (place.path("data"), place.path("empty"));
    for (directory, command) in [
        (&data, "jobs list"),
        (&data, "serve --listen 127.0.0.1:0"),
        (&empty, "record read.jsonl"),
        (&empty.join("below"), "record read.jsonl"),
    ] {
        let mounted = if directory.ends_with("below") { &empty } else { directory };
        let Some(mut reprise) = read_only(&place, mounted) else { return };
        let ran = finished(reprise.arg("--data").arg(directory).args(command.split(' ')));
        assert_eq!(ran.code, 6, "{command}: {ran:#?}");
        let (path, code) = (directory.to_str().unwrap(), "store_unavailable");
        let reason = ran.stderr.contains("Read-only file system") || ran.stderr.contains("Permission denied");
        assert!(ran.stderr.contains(path) && ran.stderr.contains(code) && reason, "{command}: {ran:#?}");
    }
    assert_eq!(place.json(0, &["playbooks", "list"])["playbooks"][0]["playbook_id"], "read", "it did no harm");
}

/// The binary where nothing can be written to `directory`: on a read-only mount, or by its mode where nobody may mount.
fn read_only(place: &Place, directory: &std::path::Path) -> Option<Command> {
    let path = directory.to_str().unwrap();
    if let Some(unshare) = unshare() {
        let mount = format!(r#"{unshare} sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "{path}""#);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"exec {mount} "$0" "$@""#), env!("CARGO_BIN_EXE_reprise")]).current_dir(place.path(""));
        return Some(shell);
    }
    // Whoever may write everywhere is not stopped by a mode.
    let mut permissions = std::fs::metadata(directory).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o555);
    std::fs::set_permissions(directory, permissions).unwrap();
    if std::fs::write(directory.join("probe"), "").is_ok() {
        eprintln!("skipped: this process may neither mount nor is it stopped by a directory's mode");
        return None;
    }
    Some(place.command(&[]))
}

#[test]
fn a_job_on_a_full_disk_stops_and_goes_on_once_there_is_room() {
    let place = Place::new();
    // The answers of the reads fill the journal: 30 kB each, which is below the size that makes a file of its own.
    let read = |n| format!("{{\"tool\": \"fs/read\", \"input\": {{\"path\": \"p/{n}.txt\"}}, \"output\": {{}}}}\n");
    let reads: String = (0..READS).map(read).collect();
    let mark = r#"{"tool": "fs/replace", "input": {"path": "p/mark.txt", "old": "END", "new": "mark\nEND"}, "output": {}}"#;
    place.playbook("fill", &format!("{{\"run\": {{\"goal\": \"x\"}}}}\n{mark}\n{reads}{{\"end\": {{\"status\": \"success\"}}}}\n"));
    for n in 0..READS {
        place.file(&format!("p/{n}.txt"), &"a".repeat(30_000));
    }
    place.file("p/mark.txt", "END");
    let mut child = Child::start(&mut place.through_shell(FULL, &["--json", "run", "fill", "--grant", "fs:p", "--follow"]));
    let job = child.hear(|line| line.get("job_id").is_some())["job_id"].as_str().unwrap().to_owned();
    // 7 where the job can still be read, 6 where reading it would have to tidy a page of the tree.
    assert!(matches!(child.ended(), Some(6 | 7)));
    let before = place.json(0, &["jobs", "show", &job]);
    assert_eq!(before["status"], "running", "{before:#}");
    assert!(before["usage"]["calls"].as_u64().unwrap() > 50, "{before:#}");
    assert_eq!(place.json(0, &["jobs", "resume", &job])["status"], "completed");
    assert_eq!(std::fs::read_to_string(place.path("p/mark.txt")).unwrap(), "mark\nEND", "it was done once");
}
