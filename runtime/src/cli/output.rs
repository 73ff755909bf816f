//! Text for people on stdout, or one JSON document for programs; errors on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::exit;
use crate::error::{Code, Error, Result};
use crate::ids;

/// How a command reports.
pub(super) struct Output {
    json: bool,
    /// Set where stdout took less than it was given.
    cut: AtomicBool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Output { json, cut: AtomicBool::new(false) }
    }

    /// True where a program reads.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One JSON document where JSON was asked for, the text otherwise.
    pub(super) fn show(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json { self.line(&json().to_string()) } else { self.line(text().trim_end()) }
    }

    /// A document that is to be kept as it is, byte for byte, whoever asked for it.
    pub(super) fn exactly(&self, text: &str) {
        self.line(text);
    }

    /// Text for people only.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            self.line(text.as_ref());
        }
    }

    fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            // A closed pipe (`reprise jobs list | head -1`) is the reader's wish.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => self.cut.store(true, Ordering::Relaxed),
            _ => {}
        }
    }

    /// # Errors
    /// `store_unavailable` where stdout did not take all that was to be shown.
    pub(super) fn all_shown(&self) -> Result<()> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(Error::new(Code::StoreUnavailable, "the output could not be written; what was asked for was done"));
        }
        Ok(())
    }

    /// A line beside the result: progress, hints.
    pub(super) fn aside(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        let text = if self.json { json().to_string() } else { text() };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// The error with every place that is wrong, and its exit code.
    pub(super) fn error(&self, error: &Error) -> ExitCode {
        let code = exit::of(error.code.class());
        self.aside(
            || json!({"error": error.code.as_str(), "message": error.message, "details": error.details, "issues": error.issues, "exit_code": code}),
            || {
                let mut text = format!("error: {} ({})", error.message, error.code.as_str());
                for issue in error.issues.iter().filter(|i| !error.message.contains(&i.message)) {
                    text.push_str(&format!("\n  {}: {}", issue.path, issue.message));
                }
                // Where two contents disagree, both are shown.
                let details = error.details.iter().filter(|details| details.get("stored").is_some() && details.get("sent").is_some());
                for (name, value) in details.flat_map(|details| ["stored", "sent"].map(|name| (name, &details[name]))) {
                    text.push_str(&format!("\n  {name}: {}", clipped(&printable(&value.to_string()))));
                }
                text
            },
        );
        code.into()
    }
}

/// As much of a value as is of use in an error; `--json` has all of it.
fn clipped(text: &str) -> String {
    const CHARS: usize = 2_000;
    match text.char_indices().nth(CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A table with these columns; as wide as the terminal, or 120 where there is none.
pub(super) fn table<const N: usize>(columns: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(columns);
    if !std::io::stdout().is_terminal() {
        table.set_width(120);
    }
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    table.to_string()
}

/// Without control and invisible characters: what guests and tools wrote must not steer a terminal, nor look like
/// something else.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if (c.is_control() && c != '\n') || ids::is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// `1 step`, `2 steps`.
pub(super) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// One word of a shell command, so that a line which is meant to be pasted does what it says and no more.
pub(super) fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", printable(word).replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_the_shell_is_one_word() {
        assert_eq!(shell("release-1.4@2"), "release-1.4@2");
        assert_eq!(shell("it's $(id); x"), "'it'\\''s $(id); x'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn what_a_person_cannot_see_is_shown_as_such() {
        assert_eq!(printable("a\u{202e}b\u{200b}c\u{1b}[31m\nd"), "a\u{fffd}b\u{fffd}c\u{fffd}[31m\nd");
    }
}
