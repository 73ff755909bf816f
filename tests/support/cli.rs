//! The real binary, run as a person or a script runs it, in a directory of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything here takes, also on a busy machine; a test that hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An empty directory: commands run in it, with `data` in it as their data directory.
pub struct Place {
    dir: TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Writes a file, with the directories above it.
    pub fn file(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Every file below a directory with its text, by path.
    pub fn tree(&self, below: &str) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let top = self.path(below);
        let mut directories = vec![top.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let name = path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        files
    }

    /// The binary on this place's data directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.environment(Command::new(env!("CARGO_BIN_EXE_reprise")), arguments)
    }

    /// The binary through a shell that first does `before`, which may end in a wrapper such as `unshare`.
    pub fn through_shell(&self, before: &str, arguments: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"{before} exec "$0" "$@""#), env!("CARGO_BIN_EXE_reprise")]);
        self.environment(shell, arguments)
    }

    fn environment(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("REPRISE_DATA", self.path("data")).env("HOME", self.dir.path()).env_remove("XDG_DATA_HOME").env_remove("REPRISE_LOG");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finished(&mut self.command(arguments))
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:#?}");
        ran.stdout
    }

    /// Runs a command with `--json` that must exit with `code`; the one document that it printed.
    pub fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let ran = self.run(&[&["--json"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{arguments:?} does not print JSON: {e}: {ran:#?}"))
    }

    /// Stores a recording and compiles it under the run's id.
    pub fn playbook(&self, id: &str, recording: &str) {
        let path = self.file(&format!("{id}.jsonl"), recording);
        let run = self.json(0, &["record", path.to_str().unwrap()]);
        self.json(0, &["compile", run["run_id"].as_str().unwrap(), "--playbook", id]);
    }

    /// The entries of a job's journal.
    pub fn journal(&self, job: &str) -> Vec<Value> {
        self.json(0, &["jobs", "journal", job])["entries"].as_array().unwrap().clone()
    }
}

/// Runs it to its end.
pub fn finished(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A running process, of which every line is heard. Dropping it kills it.
pub struct Child {
    process: std::process::Child,
    stdout: Lines,
    stderr: Lines,
}

impl Child {
    pub fn start(command: &mut Command) -> Child {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Lines::of(process.stdout.take().unwrap()), Lines::of(process.stderr.take().unwrap()));
        Child { process, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line of stdout as JSON.
    pub fn answer(&mut self) -> Value {
        match self.stdout.next() {
            Some(line) => serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}")),
            None => panic!("it ended without an answer: {}", self.stderr.rest()),
        }
    }

    /// Hears stderr as JSON lines up to the first that `wanted` accepts.
    pub fn hear(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut heard = String::new();
        while let Some(line) = self.stderr.next() {
            match serde_json::from_str(&line) {
                Ok(entry) if wanted(&entry) => return entry,
                _ => heard = heard + &line + "\n",
            }
        }
        panic!("it ended before it said so; it said: {heard}");
    }

    /// Hears stderr up to the first line that holds `text`.
    pub fn hear_text(&mut self, text: &str) {
        let mut heard = String::new();
        while let Some(line) = self.stderr.next() {
            if line.contains(text) {
                return;
            }
            heard = heard + &line + "\n";
        }
        panic!("it ended before it said {text:?}; it said: {heard}");
    }

    /// SIGKILL: nothing of it is left but what is on disk.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        assert!(Command::new("kill").args(["-INT", &self.pid().to_string()]).status().unwrap().success());
    }

    /// Its exit code, once it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// True until it has ended.
    pub fn lives(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Lines(Receiver<String>);

impl Lines {
    /// A thread reads all the time, so that the process never waits for a full pipe.
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (send, receive) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Lines(receive)
    }

    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it said nothing for {PATIENCE:?}"),
        }
    }

    fn rest(&mut self) -> String {
        let until = Instant::now() + PATIENCE;
        let next = || self.0.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).collect::<Vec<_>>().join("\n")
    }
}

/// `reprise serve` as a process of its own.
pub struct Served {
    pub child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    agent: ureq::Agent,
}

impl Served {
    /// On a free port; `arguments` behind `serve`.
    pub fn start(place: &Place, arguments: &[&str]) -> Served {
        Served::from(&mut place.command(&[&["--json", "serve", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    pub fn from(command: &mut Command) -> Served {
        let mut child = Child::start(command);
        let url = child.answer()["listening"].as_str().unwrap().to_owned();
        Served { child, url: url.clone(), agent: agent() }
    }

    /// The status and the answer; none where the server went away.
    pub fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        post(&self.agent, &self.url, path, body)
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(json!(null)))
    }
}

/// A client that takes any status for an answer.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

/// As [`Served::post`], for other threads.
pub fn post(agent: &ureq::Agent, url: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut answer = agent.post(format!("{url}{path}")).send_json(body).ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.body_mut().read_json().ok()?))
}

/// Compares with the golden file `tests/golden/NAME`; `BLESS=1` rewrites it, and a person reads the difference.
pub fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} differs; BLESS=1 rewrites it", path.display());
}

/// Each entry must carry the hash of the one before.
pub fn assert_chained(journal: &[Value]) {
    for (n, pair) in journal.windows(2).enumerate() {
        assert_eq!(pair[0]["seq"], n + 1);
        assert_eq!(pair[1]["prev"], pair[0]["hash"], "entry {}", n + 2);
    }
}

/// The calls in a journal: number, key.
pub fn calls(journal: &[Value]) -> Vec<(u64, String)> {
    let called = journal.iter().filter(|entry| entry["kind"] == "called");
    called.map(|entry| (entry["call"].as_u64().unwrap(), entry["key"].as_str().unwrap().to_owned())).collect()
}
