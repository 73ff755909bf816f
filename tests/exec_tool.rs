//! `exec/run`: what starts, what it can reach, and that nothing of it is left.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reprise::contract::{ErrorKind, Outcome, ToolError, ToolId};
use reprise::ids::SecretName;
use reprise::json::Json;
use reprise::limits;
use reprise::secrets::{SecretText, Secrets};
use reprise::store::Store;
use reprise::tools::{Grant, Grants, Registry, Surroundings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::server::Server;

/// Longer than anything here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory `work`, one `docs` that is only read, one that nobody was granted, and a job.
struct Host {
    dir: TempDir,
    registry: Registry,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
}

impl Host {
    /// With these grants beside those of the directories; `DIR` stands for where they are.
    fn granting(flags: &[&str]) -> Host {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["work", "docs", "outside"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        std::fs::write(dir.path().join("outside/secret"), "the secret").unwrap();
        std::fs::write(dir.path().join("docs/guide"), "the guide").unwrap();
        let place = dir.path().canonicalize().unwrap();
        let flags = ["fs:DIR/work", "fs:DIR/docs:ro"].iter().chain(flags).map(|flag| flag.replace("DIR", place.to_str().unwrap()));
        let grants: Vec<Grant> = flags.map(|flag| Grant::parse_flag(&flag).unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Host { registry: Registry::builtin(), grants: Grants::open(&grants).unwrap(), dir, runtime }
    }

    /// Where any script may run.
    fn with_a_shell() -> Host {
        Host::granting(&["exec:/bin/sh@work=-c **"])
    }

    fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(sub)
    }

    fn call(&self, input: &Value) -> Outcome {
        let outcome = self.runtime.block_on(self.registry.call(&run(), "the-key", &Json::from(input), &self.grants));
        if let Ok(output) = &outcome {
            jsonschema::validate(&self.registry.get(&run()).unwrap().output_schema, &output.value()).unwrap();
        }
        outcome
    }

    fn refused(&self, input: &Value) -> ToolError {
        self.call(input).unwrap_err()
    }

    /// What a script of the shell comes to.
    fn script(&self, script: &str, args: &[&str]) -> (i64, String, String) {
        let args: Vec<&str> = ["-c", script, "sh"].iter().chain(args).copied().collect();
        let codes: Vec<u8> = (0..=255).collect();
        let output = self.call(&json!({ "program": "/bin/sh", "args": args, "codes": codes })).unwrap().value();
        let text = |name: &str| output[name].as_str().unwrap().to_owned();
        (output["code"].as_i64().unwrap(), text("stdout"), text("stderr"))
    }

    /// The number that a script wrote into this file.
    fn number_in(&self, sub: &str) -> u32 {
        number(&self.path(sub))
    }
}

fn run() -> ToolId {
    ToolId::parse("exec/run").unwrap()
}

fn wait_until<T>(what: &str, there: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Waits until there is no such process, or only its entry in the table, which whoever adopted it has not read.
fn wait_until_gone(pid: u32) {
    wait_until(&format!("process {pid} is gone"), || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        matches!(state, None | Some('Z' | 'X')).then_some(())
    });
}

/// True where this kernel builds walls; says so where it does not.
fn has_walls(host: &Host) -> bool {
    let warning = host.registry.get(&run()).unwrap().warning.clone().unwrap_or_default();
    let there = !warning.contains("has no Landlock");
    if !there {
        eprintln!("skipped: {warning}");
    }
    there
}

#[test]
fn a_granted_program_runs_in_its_directory_and_says_what_it_said() {
    let host = Host::granting(&["exec:/bin/cat@work=**", "exec:/bin/sh@docs=-c *", "exec:/usr/bin/env@work"]);
    std::fs::write(host.path("work/a.txt"), "one\n").unwrap();
    let output = host.call(&json!({ "program": "/bin/cat", "args": ["a.txt", "-"], "stdin": "zwö\n" })).unwrap().value();
    assert_eq!(output, json!({ "code": 0, "stdout": "one\nzwö\n", "stderr": "", "stdout_truncated": false, "stderr_truncated": false }));
    let output = host.call(&json!({ "program": "/bin/sh", "args": ["-c", "cat guide; echo no >&2; cat"] })).unwrap().value();
    assert_eq!((&output["stdout"], &output["stderr"]), (&json!("the guide"), &json!("no\n")), "another directory, and an input that ends");
    let output = host.call(&json!({ "program": "/usr/bin/env" })).unwrap().value();
    assert_eq!(output["stdout"], "", "the environment is empty");
    let large = "x".repeat(500_000);
    assert_eq!(host.call(&json!({ "program": "/bin/sh", "args": ["-c", "exit 0"], "stdin": large })).unwrap().value()["code"], 0, "unread");
    let counted = host.call(&json!({ "program": "/bin/sh", "args": ["-c", "wc -c"], "stdin": large })).unwrap().value();
    assert_eq!(counted["stdout"].as_str().unwrap().trim(), "500000");
}

#[test]
fn nothing_starts_that_is_not_granted_word_for_word() {
    let host = Host::granting(&["exec:/bin/cat@work=notes/* --number", "exec:/bin/ls@work=*", "exec:/bin/true@work"]);
    std::fs::create_dir(host.path("work/notes")).unwrap();
    std::fs::write(host.path("work/notes/a"), "a\n").unwrap();
    assert!(host.call(&json!({ "program": "/bin/cat", "args": ["notes/a", "--number"] })).is_ok());
    assert!(host.call(&json!({ "program": "/bin/true" })).is_ok());
    for (program, args, kind) in [
        ("/bin/sh", json!(["-c", "id"]), ErrorKind::Denied),
        ("/bin/cat", json!([]), ErrorKind::Denied),
        ("/bin/cat", json!(["notes/a"]), ErrorKind::Denied),
        ("/bin/cat", json!(["notes/a", "--number", "x"]), ErrorKind::Denied),
        ("/bin/cat", json!(["--number", "notes/a"]), ErrorKind::Denied),
        ("/bin/cat", json!(["x/notes/a", "--number"]), ErrorKind::Denied),
        ("/bin/cat", json!(["notes/a\u{0}", "--number"]), ErrorKind::InvalidInput),
        ("/bin/ls", json!(["-R"]), ErrorKind::Denied),
        ("/bin/ls", json!(["--hyperlink"]), ErrorKind::Denied),
        ("/bin/true", json!(["x"]), ErrorKind::Denied),
        ("true", json!([]), ErrorKind::Denied),
        ("./true", json!([]), ErrorKind::Denied),
        ("/bin/../bin/true", json!([]), ErrorKind::Denied),
        ("//bin/true", json!([]), ErrorKind::Denied),
        ("/usr/bin/true", json!([]), ErrorKind::Denied),
        ("/bin/true\u{0}", json!([]), ErrorKind::InvalidInput),
        ("", json!([]), ErrorKind::Denied),
        ("/bin/true", json!("x"), ErrorKind::InvalidInput),
        ("/bin/true", json!(vec!["x"; 1_001]), ErrorKind::InvalidInput),
    ] {
        let error = host.refused(&json!({ "program": program, "args": args }));
        assert_eq!(error.kind, kind, "{program} {args}: {error}");
    }
    let error = host.refused(&json!({ "program": "/bin/sh" }));
    assert_eq!(
        error.message,
        "no grant covers \"/bin/sh\" without arguments; this job has: cat (run the program cat notes/* --number in work/), ls (run the program ls * in work/), true (run the program true without arguments in work/)"
    );
    let nothing = Host::granting(&[]).refused(&json!({ "program": "/bin/true" }));
    assert!(nothing.kind == ErrorKind::Denied && nothing.message.contains("has no exec grants"), "off until granted: {nothing}");
    for more in
        [json!({ "env": {} }), json!({ "timeout_ms": 0 }), json!({ "codes": [] }), json!({ "codes": [256] }), json!({ "shell": true })]
    {
        let mut input = json!({ "program": "/bin/true" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(host.refused(&input).kind, ErrorKind::InvalidInput, "{more}");
    }
}

#[test]
fn where_several_grants_would_do_the_directory_says_which() {
    let host = Host::granting(&["exec:/bin/ls@work"]);
    let more: Grant =
        serde_json::from_value(json!({ "kind": "exec", "name": "ls-docs", "program": "/bin/ls", "directory": "docs" })).unwrap();
    let host = Host { grants: host.grants.with(&[more]).unwrap(), ..host };
    let error = host.refused(&json!({ "program": "/bin/ls" }));
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("say in \"directory\" which one is meant"), "{error}");
    assert_eq!(host.call(&json!({ "program": "/bin/ls", "directory": "docs" })).unwrap().value()["stdout"], "guide\n");
    assert_eq!(host.call(&json!({ "program": "/bin/ls", "directory": "work" })).unwrap().value()["stdout"], "");
    assert_eq!(host.refused(&json!({ "program": "/bin/ls", "directory": "outside" })).kind, ErrorKind::Denied);
}

#[test]
fn the_exit_code_is_an_answer_where_the_caller_says_so_and_a_failure_otherwise() {
    let host = Host::with_a_shell();
    let run = |script: &str, codes: Value| host.call(&json!({ "program": "/bin/sh", "args": ["-c", script], "codes": codes }));
    assert_eq!(run("echo part; exit 3", json!([0, 3])).unwrap().value()["code"], 3);
    let error = run("echo part; echo why >&2; echo; exit 3", json!([0])).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Failed, "sh ended with code 3: why"));
    assert_eq!(error.detail.unwrap().value(), json!({ "code": 3, "stdout": "part\n\n", "stderr": "why\n" }));
    assert!(run("exit 0", json!([1])).unwrap_err().message.ends_with("with code 0"));
    let error = run("kill -9 $$", json!([0])).unwrap_err();
    assert!(error.kind == ErrorKind::Failed && error.message.contains("signal: 9"), "{error}");
    assert_eq!(error.detail.unwrap().value()["code"], json!(null));
    let long = run("head -c 100000 /dev/zero | tr '\\0' e >&2; exit 1", json!([0])).unwrap_err();
    assert!(long.message.len() < 300 && long.detail.unwrap().as_str().len() < 10_000);
}

#[test]
fn what_a_program_says_of_a_secret_is_said_without_it_wherever_it_is_cut() {
    const CANARY: &str = "canary-47114711-tail";
    let data = tempfile::tempdir().unwrap();
    let host = Host::with_a_shell();
    let secrets = Secrets::open(&Store::open(data.path()).unwrap()).unwrap();
    host.runtime.block_on(secrets.set(&SecretName::parse("canary").unwrap(), SecretText::new(CANARY.to_owned()))).unwrap();
    let host = Host { registry: Registry::within(&Surroundings { secrets, ..Surroundings::default() }), ..host };
    std::fs::write(host.path("work/token"), CANARY).unwrap();
    assert_eq!(host.script("cat token; cat token >&2", &[]), (0, "{{secret:canary}}".to_owned(), "{{secret:canary}}".to_owned()));
    // Of what is kept, the last twelve bytes are the first ones of the secret.
    let (_, cut, _) = host.script("head -c 393204 /dev/zero | tr '\\0' x; cat token", &[]);
    assert!(cut.contains("xxx") && !cut.contains("canary-"), "{}", &cut[cut.len() - 40..]);
    for fill in 0..CANARY.len() {
        let script = format!("cat token >&2; head -c {} /dev/zero | tr '\\0' x >&2; exit 3", limits::EXEC_ERROR_OUTPUT_BYTES_MAX - fill);
        let error = host.refused(&json!({ "program": "/bin/sh", "args": ["-c", script] }));
        let said = format!("{} {}", error.message, error.detail.unwrap());
        assert!(!said.contains("4711") && !said.contains("-tail"), "{said}");
    }
    let late = host.refused(&json!({ "program": "/bin/sh", "args": ["-c", "cat token; sleep 60"], "timeout_ms": 500 }));
    assert!(late.kind == ErrorKind::Timeout && !late.detail.unwrap().as_str().contains("4711"));
}

#[test]
fn what_a_program_says_is_cut_and_it_need_not_wait_for_a_reader() {
    let host = Host::with_a_shell();
    for (script, out, err) in [
        ("head -c 5000000 /dev/zero", true, false),
        ("head -c 5000000 /dev/zero >&2", false, true),
        ("head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero >&2", true, true),
        ("head -c 393216 /dev/zero | tr '\\0' x", false, false),
        ("head -c 393217 /dev/zero | tr '\\0' x", true, false),
        ("head -c 65536 /dev/zero", false, false),
        ("head -c 65537 /dev/zero", true, false),
    ] {
        let output = host.call(&json!({ "program": "/bin/sh", "args": ["-c", script] })).unwrap();
        assert!(output.as_str().len() <= 1024 * 1024, "{script}");
        let output = output.value();
        assert_eq!((output["stdout_truncated"] == true, output["stderr_truncated"] == true), (out, err), "{script}");
    }
    assert_eq!(host.script("printf 'a\\377b'", &[]).1, "a\u{fffd}b", "what is no text is replaced");
}

#[test]
fn a_program_reaches_its_directory_and_the_system_and_nothing_else() {
    let host = Host::with_a_shell();
    if !has_walls(&host) {
        return;
    }
    let (outside, work) = (host.path("outside"), host.path("work"));
    let (secret, outside) = (outside.join("secret").display().to_string(), outside.display().to_string());
    std::os::unix::fs::symlink(&secret, work.join("link")).unwrap();
    std::os::unix::fs::symlink(&outside, work.join("dir")).unwrap();
    for (script, args) in [
        ("cat \"$1\"", vec![secret.as_str()]),
        ("cat ../outside/secret", vec![]),
        ("cat ../docs/guide", vec![]),
        ("cat link", vec![]),
        ("cat dir/secret", vec![]),
        ("ls \"$1\"", vec![outside.as_str()]),
        ("ls ..", vec![]),
        ("ln \"$1\" mine && cat mine", vec![&secret]),
        ("mv \"$1\" mine && cat mine", vec![&secret]),
        ("cp \"$1\" mine", vec![&secret]),
        ("cd \"$1\" && cat secret", vec![&outside]),
        ("echo x > \"$1\"", vec![&secret]),
        (": > \"$1\"", vec![&secret]),
        ("echo x > link", vec![]),
        ("echo x > dir/new", vec![]),
        ("echo x > ../new", vec![]),
        ("rm ../outside/secret", vec![]),
        ("mkdir ../outside/new", vec![]),
        ("touch \"$1/new\"", vec![&outside]),
        ("ls /proc", vec![]),
        ("cat /proc/self/environ", vec![]),
        ("cat /proc/$PPID/environ", vec![]),
        ("ls /root", vec![]),
        ("ls /tmp", vec![]),
        ("ls /", vec![]),
        ("echo x > /etc/reprise-was-here", vec![]),
        ("echo x > /usr/reprise-was-here", vec![]),
        ("echo x > /dev/shm/reprise-was-here", vec![]),
        ("echo x > /dev/tty", vec![]),
        // What a job wrote does not become a program.
        ("printf '#!/bin/sh\\necho ran' > mine.sh && chmod +x mine.sh && ./mine.sh", vec![]),
        ("cp /bin/echo mine && chmod +x mine && ./mine ran", vec![]),
        ("kill -0 $1", vec![&std::process::id().to_string()]),
    ] {
        let (code, stdout, stderr) = host.script(script, &args);
        assert!(
            code != 0 && !stdout.contains("secret") && !stdout.contains("guide") && !stdout.contains("ran"),
            "{script}: {stdout}{stderr}"
        );
        assert!(
            stderr.to_lowercase().contains("permission denied") || stderr.contains("not permitted") || stderr.contains("cross-device"),
            "{script}: {stderr}"
        );
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "the secret");
    assert_eq!(std::fs::read_dir(host.path("outside")).unwrap().count(), 1);
    for (script, says) in [
        ("mkdir a && echo x > a/b && mv a/b c && ln c d && ln -s c e && cat d e && : > c && rm -r a c d e && echo done", "x\nx\ndone\n"),
        ("cat /etc/hostname > /dev/null; head -c 3 /dev/urandom | wc -c", "3\n"),
        ("test -x /usr/bin/env && ls /usr/bin/env", "/usr/bin/env\n"),
    ] {
        let (code, stdout, stderr) = host.script(script, &[]);
        assert_eq!((code, stdout.as_str()), (0, says), "{script}: {stderr}");
    }
    let reader = Host::granting(&["exec:/bin/sh@docs=-c **"]);
    for script in
        ["echo x > guide", ": > guide", "touch new", "rm guide", "mv guide new", "mkdir new", "ln guide new", "chmod 777 guide && ./guide"]
    {
        let (code, _, stderr) = reader.script(script, &[]);
        assert!(code != 0, "{script}: {stderr}");
    }
    assert_eq!(std::fs::read_to_string(reader.path("docs/guide")).unwrap(), "the guide");
}

#[test]
fn a_program_has_no_network() {
    let host = Host::granting(&["exec:/bin/bash@work=-c *"]);
    if !has_walls(&host) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{} && echo connected", listener.local_addr().unwrap().port());
    let error = host.refused(&json!({ "program": "/bin/bash", "args": ["-c", script] }));
    assert!(error.message.contains("ermission denied"), "{error}");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
}

#[test]
fn a_program_that_a_job_could_have_written_is_not_started() {
    let host = Host::with_a_shell();
    let (tool, script) = (host.path("outside/tool"), host.path("work/script"));
    std::fs::write(&script, "#!/bin/sh\necho mine\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/bin/true", &tool).unwrap();
    let grant: Grant = serde_json::from_value(json!({ "kind": "exec", "name": "tool", "program": tool, "directory": "work" })).unwrap();
    let host = Host { grants: host.grants.with(&[grant]).unwrap(), ..host };
    assert_eq!(host.call(&json!({ "program": tool })).unwrap().value()["code"], 0);
    // What the operator granted led elsewhere then.
    std::fs::remove_file(&tool).unwrap();
    std::os::unix::fs::symlink(&script, &tool).unwrap();
    let error = host.refused(&json!({ "program": tool }));
    assert!(
        error.kind == ErrorKind::Denied && error.message.contains("reached through the grant \"work\", so a job could replace it"),
        "{error}"
    );
    std::fs::remove_file(&tool).unwrap();
    assert_eq!(host.refused(&json!({ "program": tool })).kind, ErrorKind::NotFound);
    std::fs::write(&tool, "no program").unwrap();
    assert_eq!(host.refused(&json!({ "program": tool })).kind, ErrorKind::NotFound);
}

#[test]
fn a_program_runs_in_the_directory_that_was_opened_whatever_stands_in_its_place() {
    let host = Host::with_a_shell();
    std::fs::write(host.path("work/here"), "right").unwrap();
    std::fs::rename(host.path("work"), host.path("moved")).unwrap();
    std::os::unix::fs::symlink(host.path("outside"), host.path("work")).unwrap();
    let (code, stdout, stderr) = host.script("cat here; echo x > new", &[]);
    assert_eq!((code, stdout.as_str()), (0, "right"), "{stderr}");
    assert!(host.path("moved/new").exists() && !host.path("outside/new").exists());
}

/// A shell that starts another process in the background, which writes its number into a file, and waits for it.
const WITH_A_CHILD: &str = "sleep 1000 & echo $! > child; echo begun; wait";

#[test]
fn when_its_time_is_over_it_is_gone_with_all_that_it_started() {
    let host = Host::with_a_shell();
    let error = host.refused(&json!({ "program": "/bin/sh", "args": ["-c", WITH_A_CHILD], "timeout_ms": 500 }));
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(error.message.starts_with("sh was not done within 500 ms and was ended, with all that it started"), "{error}");
    assert_eq!(error.detail.unwrap().value()["stdout"], "begun\n");
    wait_until_gone(host.number_in("work/child"));
    let deaf = host.refused(
        &json!({ "program": "/bin/sh", "args": ["-c", "trap '' TERM INT HUP; echo $$ > self; while :; do :; done"], "timeout_ms": 500 }),
    );
    assert_eq!(deaf.kind, ErrorKind::Timeout);
    wait_until_gone(host.number_in("work/self"));
}

#[test]
fn what_it_leaves_behind_when_it_ends_is_ended_too() {
    let host = Host::with_a_shell();
    for script in
        ["sleep 1000 & echo $! > child", "sleep 1000 > /dev/null 2>&1 < /dev/null & echo $! > child", "(sleep 1000 & echo $! > child) &"]
    {
        let begun = Instant::now();
        assert_eq!(
            host.script(&format!("rm -f child\n{script}\nwhile ! test -s child; do :; done; echo done"), &[]).1,
            "done\n",
            "{script}"
        );
        assert!(begun.elapsed() < PATIENCE, "{script}");
        wait_until_gone(host.number_in("work/child"));
    }
}

#[test]
fn who_left_the_group_on_purpose_is_not_waited_for() {
    let host = Host::with_a_shell();
    let begun = Instant::now();
    let (code, stdout, _) =
        host.script("setsid sh -c 'echo $$ > child; exec sleep 1000' & while ! test -s child; do :; done; echo done", &[]);
    assert_eq!((code, stdout.as_str()), (0, "done\n"), "though it holds the pipes open");
    assert!(begun.elapsed() < PATIENCE);
    let pid = host.number_in("work/child");
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    wait_until_gone(pid);
}

#[test]
fn a_call_that_is_dropped_leaves_nothing_running() {
    let host = Host::with_a_shell();
    let (registry, grants) = (host.registry.clone(), host.grants.clone());
    let input = Json::from(&json!({ "program": "/bin/sh", "args": ["-c", WITH_A_CHILD] }));
    let call = host.runtime.spawn(async move { registry.call(&run(), "k", &input, &grants).await });
    let child = host.number_in("work/child");
    call.abort();
    assert!(host.runtime.block_on(call).unwrap_err().is_cancelled());
    wait_until_gone(child);
}

/// Through a component, to the cancel of a job: compiled from a recording, granted, started, broken off.
#[test]
fn a_job_that_is_cancelled_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().canonicalize().unwrap();
    let server = Server::granting(&[format!("fs:work={}", place.display()), "exec:/bin/sh@work=-c *".to_owned()]);
    let listed = server.get("/v1/tools").ok();
    let tool = listed["tools"].as_array().unwrap().iter().find(|tool| tool["id"] == "exec/run").unwrap();
    assert_eq!((&tool["effect"], &tool["words"]), (&json!("once"), &json!("run granted programs")));
    let answered = json!({"code": 0, "stdout": "", "stderr": "", "stdout_truncated": false, "stderr_truncated": false});
    let step = json!({"run_id": "r", "step_index": 1, "tool_name": "exec/run", "tool_input": {"program": "/bin/sh", "args": ["-c", WITH_A_CHILD]}});
    server.post("/v1/memory/replay/run/start", &json!({"run_id": "r", "goal": "wait"})).ok();
    server.post("/v1/memory/replay/step/before", &step).ok();
    server.post("/v1/memory/replay/step/after", &json!({"run_id": "r", "step_index": 1, "status": "success", "output": answered})).ok();
    server.post("/v1/memory/replay/run/end", &json!({"run_id": "r", "status": "success"})).ok();
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "r", "playbook_id": "r"})).ok();
    let version = server.get("/v1/playbooks/r/versions/1").ok();
    let import = version["imports"].as_array().unwrap().iter().find(|import| import["import"] == "tool:exec/run").unwrap();
    assert_eq!((&import["allows"], import.get("warning")), (&json!("run granted programs"), tool.get("warning")), "{version:#}");
    let job = server.post("/v1/jobs", &json!({"playbook_id": "r", "input": {}})).ok();
    let child = number(&place.join("child"));
    let job = job["job_id"].as_str().unwrap();
    server.post(&format!("/v1/jobs/{job}/cancel"), &json!({})).ok();
    let ended = wait_until("the job has ended", || {
        let job = server.get(&format!("/v1/jobs/{job}")).ok();
        (job["status"] != "running" && job["status"] != "ready").then_some(job)
    });
    assert_ne!(ended["status"], "completed", "{ended:#}");
    wait_until_gone(child);
}

fn number(path: &Path) -> u32 {
    wait_until(&format!("{} holds a number", path.display()), || {
        std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')).and_then(|text| text.trim().parse().ok())
    })
}

/// Runs the `exec` examples of `docs/TOOLS.md` from top to bottom, with the grants and the file that the page names.
#[test]
fn the_examples_of_the_documentation_are_true() {
    let page = std::fs::read_to_string(crate::support::page::repository().join("docs/TOOLS.md")).unwrap();
    let host = Host::granting(&["exec:/bin/grep@work=-c -- * *.txt"]);
    std::fs::write(host.path("work/todo.txt"), "ship it\n").unwrap();
    let mut examples = 0;
    for block in page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap()).filter(|block| block.contains("\"exec/")) {
        let example: Value = serde_json::from_str(block).unwrap();
        match host.call(&example["input"]) {
            Ok(output) => assert_eq!(output.value(), example["output"], "{block}"),
            Err(error) => assert_eq!(serde_json::to_value(&error).unwrap(), example["error"], "{block}"),
        }
        examples += 1;
    }
    assert_eq!(examples, 3);
}
