//! Text for people on stdout, or one JSON document for programs; errors on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::exit;
use crate::error::Error;

/// How a command reports.
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Output { json }
    }

    /// One JSON document where JSON was asked for, the text otherwise.
    pub(super) fn show(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json { line(&json().to_string()) } else { line(text().trim_end()) }
    }

    /// Text for people only.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            line(text.as_ref());
        }
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
                text
            },
        );
        code.into()
    }
}

/// A closed pipe (`reprise jobs list | head -1`) is no reason to panic.
fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
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

/// Without control characters: what guests and tools wrote must not steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// `1 step`, `2 steps`.
pub(super) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}
