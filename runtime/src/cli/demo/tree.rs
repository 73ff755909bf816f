//! The project of the story: real files, and what a release must do to them.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Code, Error, Result};

/// Writes a small project at `root`.
pub(super) fn make(root: &Path, name: &str, version: &str) -> io::Result<()> {
    fs::create_dir(root)?;
    for (file, text) in files(name, version) {
        fs::write(root.join(file), text)?;
    }
    Ok(())
}

fn files(name: &str, version: &str) -> [(&'static str, String); 4] {
    [
        ("package.json", format!("{{\n  \"name\": \"{name}\",\n  \"version\": \"{version}\"\n}}\n")),
        ("Cargo.toml", format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n")),
        ("README.md", format!("# {name}\n\nThis is {name} {version}.\n")),
        ("CHANGELOG.md", format!("# Changelog\n\n## {version}\n\nEarlier changes.\n")),
    ]
}

/// The project as it must be after exactly one release.
fn released(name: &str, old: &str, new: &str, date: &str) -> Vec<(String, String)> {
    let mut after: Vec<(String, String)> = files(name, new).into_iter().map(|(file, text)| (file.to_owned(), text)).collect();
    after[3].1 = format!("# Changelog\n\n## {new} - {date}\n\nAll changes since {old}.\n\n## {old}\n\nEarlier changes.\n");
    let notes = format!("{name} {new}, {date}, after {old}\nchanged: package.json, Cargo.toml, README.md, CHANGELOG.md\n");
    after.push((format!("releases/{new}.txt"), notes));
    after
}

/// Compares every file with what exactly one release makes of it.
pub(super) fn check(root: &Path, name: &str, old: &str, new: &str) -> Result<()> {
    for (file, expected) in released(name, old, new, super::interrupted::DATE) {
        let found = fs::read_to_string(root.join(&file)).map_err(|e| super::cannot(&format!("read {file}"), &e))?;
        if found != expected {
            return Err(Error::new(Code::InternalError, format!("{file} is not as one release makes it:\n{found}")));
        }
    }
    Ok(())
}

/// The lines that show it.
pub(super) fn excerpt(root: &Path) -> String {
    let line = |file: &str, wanted: &str| {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let found: Vec<&str> = text.lines().filter(|line| line.contains(wanted)).map(str::trim).collect();
        format!("{file:<14} {}", found.join(" | "))
    };
    [line("package.json", "version"), line("Cargo.toml", "version"), line("README.md", "This is"), line("CHANGELOG.md", "## ")].join("\n")
}
