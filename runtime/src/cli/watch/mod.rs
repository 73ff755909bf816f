//! `reprise jobs watch JOB`: a journal as it grows, line by line.
//!
//! A job that a server runs is watched over HTTP, since the server alone has the data directory open. Without a
//! server nothing runs the job, so that its journal is shown as it is, and the exit code says how it stands.

mod remote;

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::args::Global;
use super::exit;
use super::interrupt::Interrupt;
use super::output::{Output, count, printable, shell};
use super::steering::JobWatch;
use crate::error::{Code, Error, Result};
use crate::ids::JobId;
use crate::journal::{Status, view};
use crate::limits;

use remote::Remote;

pub(super) async fn watch(global: &Global, args: JobWatch, output: &Output) -> Result<u8> {
    let job = args.job.job;
    let mut screen = Screen::new(job, output);
    let status = match &args.url {
        Some(url) => {
            let interrupt = Interrupt::listen()?;
            let remote = Remote::new(url, &global.space()?, &job, args.after)?;
            tokio::select! {
                status = remote.follow(|entry| screen.entry(entry)) => Some(status?),
                () = interrupt.asked() => None,
            }
        }
        None => Some(here(global, &args, &mut screen).await?),
    };
    screen.close(status);
    Ok(match status {
        Some(Status::Completed) => exit::OK,
        Some(Status::Failed | Status::Cancelled) => exit::JOB_FAILED,
        _ => exit::JOB_NOT_DONE,
    })
}

/// What the data directory has of the job.
async fn here(global: &Global, args: &JobWatch, screen: &mut Screen<'_>) -> Result<Status> {
    let engine = global.existing().await.map_err(|e| served(e, &args.job.job))?;
    let space = global.space()?;
    let mut after = args.after;
    loop {
        let page = engine.journal(&space, &args.job.job, after, limits::PAGE_ROWS_MAX)?;
        let Some(last) = page.last() else { break };
        after = Some(last.seq);
        page.iter().for_each(|entry| screen.entry(&view::object(entry)));
    }
    Ok(engine.job(&space, &args.job.job).await?.state.status())
}

/// A directory in use is most often a server's, and its note says where that listens.
fn served(e: Error, job: &JobId) -> Error {
    if e.code != Code::DataDirInUse {
        return e;
    }
    let note = e.details.as_ref().and_then(|details| details["note"].as_str()).unwrap_or_default();
    let url = note.split([' ', ',']).find(|word| word.starts_with("http://")).map_or_else(|| "http://127.0.0.1:7480".to_owned(), shell);
    Error { message: format!("{}; a job of a running server is watched with: reprise jobs watch {job} --url {url}", e.message), ..e }
}

/// Where the lines go, and below them, on a terminal, how far the job is.
struct Screen<'a> {
    job: JobId,
    output: &'a Output,
    bar: Option<ProgressBar>,
    calls: usize,
}

impl<'a> Screen<'a> {
    fn new(job: JobId, output: &'a Output) -> Self {
        const FRAME: Duration = Duration::from_millis(120);
        let shown = std::io::stderr().is_terminal() && !output.is_json();
        let bar = shown.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
                bar.set_style(style);
            }
            bar.set_message(format!("job {job}"));
            bar.enable_steady_tick(FRAME);
            bar
        });
        Screen { job, output, bar, calls: 0 }
    }

    fn entry(&mut self, entry: &Value) {
        self.calls += usize::from(entry["kind"] == "called");
        let show = || self.output.show(|| entry.clone(), || line(entry));
        match &self.bar {
            None => show(),
            Some(bar) => {
                bar.suspend(show);
                bar.set_message(self.progress(entry));
            }
        }
    }

    fn progress(&self, entry: &Value) -> String {
        let kind = printable(entry["kind"].as_str().unwrap_or_default());
        format!("job {}: entry {} ({kind}), {} so far", self.job, entry["seq"], count(self.calls, "call"))
    }

    fn close(self, status: Option<Status>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let status = status.map(Status::as_str);
        let job = self.job;
        self.output.show(
            || json!({"job_id": job, "status": status}),
            || match status {
                Some(status) => format!("Job {job}: {status}"),
                None => format!("Job {job} goes on; nobody watches it now"),
            },
        );
    }
}

/// An entry in one line. Made of the object that everybody outside sees, so that it is the same from here and over
/// HTTP, and so that a kind that a newer server writes is shown too.
fn line(entry: &Value) -> String {
    /// Shown elsewhere on the line, or of use to programs alone.
    const LEFT_OUT: [&str; 10] = ["seq", "at", "kind", "hash", "prev", "key", "component", "engine", "fuel", "input_digest"];
    /// These first: what a person looks for.
    const FIRST: [&str; 4] = ["call", "step", "tool", "effect"];
    const CHARS: usize = 120;
    let fields: Vec<(&String, &Value)> = entry.as_object().into_iter().flatten().collect();
    let of = |name: &str| fields.iter().find(|(field, _)| *field == name).copied();
    let rest = fields.iter().copied().filter(|(name, _)| !FIRST.contains(&name.as_str()) && !LEFT_OUT.contains(&name.as_str()));
    let words = FIRST.into_iter().filter_map(of).chain(rest).map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    });
    let words = words.collect::<Vec<_>>().join(", ");
    let cut = words.char_indices().nth(CHARS).map_or(words.clone(), |(end, _)| format!("{}…", &words[..end]));
    let kind = entry["kind"].as_str().unwrap_or_default();
    // One line, whatever a guest wrote.
    printable(&format!("{:>4}  {kind:<9}  {cut}", entry["seq"].as_u64().unwrap_or_default())).replace('\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_that_begins_with_what_a_person_looks_for() {
        let called = json!({"seq": 7, "at": "…", "hash": "h", "prev": "p", "key": "k", "kind": "called", "call": 2, "step": "s1",
            "tool": "fs/write", "effect": "once", "input": {"text": "a"}, "input_digest": "d"});
        assert_eq!(line(&called), r#"   7  called     call 2, step s1, tool fs/write, effect once, input {"text":"a"}"#);
        let hostile = line(&json!({"seq": 1, "kind": "uncertain", "reason": "a\u{1b}[2J\nb"}));
        assert_eq!(hostile, "   1  uncertain  reason a\u{fffd}[2J\u{fffd}b");
        let long = line(&json!({"seq": 1, "kind": "new-kind", "value": "ü".repeat(500)}));
        assert!(long.ends_with("ü…") && long.chars().count() < 150, "{long}");
    }

    #[test]
    fn a_directory_in_use_says_where_to_watch() {
        let job = JobId::fresh();
        let in_use = |note: Value| Error::new(Code::DataDirInUse, "in use").with_details(json!({"pid": 1, "note": note}));
        let hint = |note| served(in_use(note), &job).message;
        let serving = hint(json!("serving http://127.0.0.1:9000, which answers the same questions"));
        assert!(serving.ends_with(&format!("reprise jobs watch {job} --url http://127.0.0.1:9000")), "{serving}");
        assert!(hint(Value::Null).ends_with("--url http://127.0.0.1:7480"));
        assert_eq!(served(Error::new(Code::DataCorrupt, "x"), &job).message, "x");
    }
}
