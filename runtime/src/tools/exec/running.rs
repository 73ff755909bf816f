//! A program while it runs: one thread that starts it behind its walls and waits for it, and the end of all that it started.
//!
//! The program leads a process group of its own, and what it starts belongs to that group unless it leaves on purpose. The
//! group is ended before the number of its leader is given back to the system: until then nobody else can have that number.
//!
//! The rule that must stay true: whatever ends a call (the program itself, its time, a dropped future), its group is gone.

use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use cap_std::fs::Dir;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use crate::secrets::Known;
use crate::{blocking, limits};

use super::output::{Captured, fitting};
use super::walls::{Inside, Walls};

/// What is started.
pub(super) struct Start {
    /// The grant's name.
    pub(super) name: String,
    /// As the grant has it, which is what the program is told it is called.
    pub(super) program: PathBuf,
    /// The file itself.
    pub(super) file: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) directory: Arc<Dir>,
    pub(super) writable: bool,
    pub(super) walls: Walls,
}

/// Why nothing runs.
pub(super) enum Failure {
    /// Its walls could not be built, so it was not started.
    Walls(String),
    /// The system did not start it.
    Start(std::io::Error),
    /// It may have been started, and was ended at once.
    Lost,
}

/// A program that was started. Dropped, it is ended, with all that it started.
pub(super) struct Running {
    group: Group,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: ChildStderr,
    captured: (Captured, Captured),
    ended: oneshot::Receiver<ExitStatus>,
}

/// What came of it.
pub(super) struct Ended {
    /// None where the system did not say.
    pub(super) status: Option<ExitStatus>,
    stdout: Captured,
    stderr: Captured,
}

/// A process group, until it is dropped.
struct Group(Arc<Mutex<Leader>>);

enum Leader {
    NotYet,
    /// Not yet waited for, so that its number is its own.
    Alive(Pid),
    /// Its group is gone.
    Gone,
    /// Nobody waits for it any more.
    GivenUp,
}

impl Group {
    /// True unless it was given up meanwhile.
    fn is_led_by(&self, pid: Pid) -> bool {
        // What it holds is whole whatever panicked while it was held.
        let mut leader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = !matches!(*leader, Leader::GivenUp);
        if wanted {
            *leader = Leader::Alive(pid);
        }
        wanted
    }

    fn end(&self, becomes: Leader) {
        let mut leader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Leader::Alive(pid) = *leader {
            // An error says that there is nobody left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if !matches!(*leader, Leader::Gone) {
            *leader = becomes;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end(Leader::GivenUp);
    }
}

struct Pipes {
    stdin: std::process::ChildStdin,
    stdout: std::process::ChildStdout,
    stderr: std::process::ChildStderr,
}

impl Running {
    /// Starts it.
    pub(super) async fn begin(start: Start) -> Result<Running, Failure> {
        let (tells_start, started) = oneshot::channel();
        let (tells_end, ended) = oneshot::channel();
        let group = Group(Arc::new(Mutex::new(Leader::NotYet)));
        let held = Group(Arc::clone(&group.0));
        let thread = std::thread::Builder::new().name("exec".to_owned());
        thread.spawn(move || hold(&start, held, tells_start, tells_end)).map_err(Failure::Start)?;
        let Pipes { stdin, stdout, stderr } = started.await.unwrap_or(Err(Failure::Lost))?;
        let piped =
            || Ok::<_, std::io::Error>((ChildStdin::from_std(stdin)?, ChildStdout::from_std(stdout)?, ChildStderr::from_std(stderr)?));
        let (stdin, stdout, stderr) = piped().map_err(|_| Failure::Lost)?;
        Ok(Running { group, stdin: Some(stdin), stdout, stderr, captured: Default::default(), ended })
    }

    /// Gives it its input, and waits for its end.
    pub(super) async fn end(&mut self, input: Vec<u8>) -> Ended {
        let status = self.until_end(&input).await;
        self.ended(status)
    }

    async fn until_end(&mut self, input: &[u8]) -> Option<ExitStatus> {
        let Running { stdin, stdout, stderr, captured: (out, err), ended, .. } = self;
        let feed = async {
            if let Some(mut stdin) = stdin.take() {
                // It need not read what it is given. Dropped, its input ends.
                let _ = stdin.write_all(input).await;
            }
        };
        let mut pipes = std::pin::pin!(async { tokio::join!(feed, out.read(stdout), err.read(stderr)) });
        let mut all_read = false;
        let status = loop {
            tokio::select! {
                status = &mut *ended => break status,
                _ = &mut pipes, if !all_read => all_read = true,
            }
        };
        if !all_read {
            // What its group left in the pipes is read. Who left the group may hold them open for ever.
            let _ = tokio::time::timeout(limits::EXEC_END_TIME_MAX, pipes).await;
        }
        status.ok()
    }

    /// Ends it, and waits until it is gone.
    pub(super) async fn stop(mut self) -> Ended {
        self.group.end(Leader::GivenUp);
        let status = tokio::time::timeout(limits::EXEC_END_TIME_MAX, &mut self.ended).await;
        self.ended(status.ok().and_then(Result::ok))
    }

    fn ended(&mut self, status: Option<ExitStatus>) -> Ended {
        let (stdout, stderr) = std::mem::take(&mut self.captured);
        Ended { status, stdout, stderr }
    }
}

/// Starts it, waits for it, and ends what it left behind.
fn hold(start: &Start, group: Group, started: oneshot::Sender<Result<Pipes, Failure>>, ended: oneshot::Sender<ExitStatus>) {
    let (mut child, pipes) = match spawn(start) {
        Ok(spawned) => spawned,
        Err(failure) => return drop(started.send(Err(failure))),
    };
    let pid = Pid::from_child(&child);
    if !group.is_led_by(pid) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    // Where nobody hears it, the group was given up, or will be.
    let _ = started.send(Ok(pipes));
    // Waits without giving its number back.
    while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_err_and(|e| e == rustix::io::Errno::INTR) {}
    group.end(Leader::Gone);
    if let Ok(status) = child.wait() {
        let _ = ended.send(status);
    }
}

fn spawn(start: &Start) -> Result<(Child, Pipes), Failure> {
    let Start { name: _, program, file, args, directory, writable, walls } = start;
    let inside = Inside { program: file, directory: &**directory, writable: *writable };
    walls.close_in(&inside).map_err(Failure::Walls)?;
    // The directory that was opened when the job began, whatever stands in its place by now.
    let here = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut command = Command::new(file);
    command.arg0(program).args(args).current_dir(here).env_clear().process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::Start)?;
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let ((stdin, stdout), stderr) = pipes.expect("all three were asked for");
    Ok((child, Pipes { stdin, stdout, stderr }))
}

impl Ended {
    /// With secrets taken out of all that it said.
    pub(super) async fn without(self, secrets: Arc<Known>) -> Ended {
        if secrets.scrubber().is_empty() {
            return self;
        }
        blocking::run(move || {
            let Ended { status, stdout, stderr } = self;
            Ended { status, stdout: stdout.without(secrets.scrubber()), stderr: stderr.without(secrets.scrubber()) }
        })
        .await
    }

    /// The answer.
    pub(super) fn output(&self, code: i32) -> Value {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        let (out, err) = (fitting(&stdout, limits::EXEC_OUTPUT_BYTES_MAX), fitting(&stderr, limits::EXEC_OUTPUT_BYTES_MAX));
        json!({
            "code": code,
            "stdout": out,
            "stderr": err,
            "stdout_truncated": self.stdout.is_cut() || out.len() < stdout.len(),
            "stderr_truncated": self.stderr.is_cut() || err.len() < stderr.len(),
        })
    }

    /// What goes with an error: the end of what it said.
    pub(super) fn detail(&self) -> Value {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        json!({ "code": self.status.and_then(|status| status.code()), "stdout": last(&stdout), "stderr": last(&stderr) })
    }

    /// The last thing that it said of its failure.
    pub(super) fn last_line(&self) -> Option<String> {
        let text = self.stderr.text();
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().filter(|c| !c.is_control()).take(limits::EXEC_REASON_CHARS_MAX).collect())
    }
}

fn last(text: &str) -> &str {
    let mut from = text.len().saturating_sub(limits::EXEC_ERROR_OUTPUT_BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}
