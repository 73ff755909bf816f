//! `reprise new tool|playbook --lang LANGUAGE NAME`: a project that builds as it stands.
//!
//! Everything that it writes was compiled into this program, so a project can be begun without a clone and without a network;
//! what a toolchain then fetches is its own affair. The rule that must stay true: nothing that is there is written over.

mod templates;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::exit;
use super::output::Output;
use crate::blocking;
use crate::contract::{Namespace, ToolId};
use crate::error::{Code, Error, Result};
use crate::tools::Registry;
use templates::Template;

#[derive(Args)]
pub(super) struct New {
    /// What it is to be.
    #[arg(value_name = "tool|playbook", value_enum, hide_possible_values = true)]
    pub kind: Kind,
    /// Its name, in kebab-case, such as release-notes. A tool's name is its namespace too.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The language it is written in.
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    pub lang: Language,
    /// The directory to make [default: NAME, in the working directory].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What a project makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A component that provides tools.
    Tool,
    /// A component that calls them.
    Playbook,
}

/// What a project is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// Rust, for wasm32-wasip2.
    Rust,
    /// JavaScript, in QuickJS.
    #[value(name = "js")]
    Javascript,
    /// Python, with CPython in the component.
    Python,
    /// C, by clang or zig.
    C,
}

pub(super) async fn new(args: New, output: &Output) -> Result<u8> {
    let New { kind, name, lang, dir } = args;
    check(&name, kind, lang)?;
    let dir = dir.unwrap_or_else(|| PathBuf::from(&name));
    let template = Template::of(lang, kind);
    let filled = |text: &str| fill(text, &name);
    let (build, component) = (filled(template.build), filled(template.component));
    let upload = match kind {
        Kind::Tool => format!("reprise tools upload {component}"),
        Kind::Playbook => format!("reprise upload {component} --playbook {name}"),
    };
    let files: Vec<(String, String)> =
        template.files().map(|file| (file.path, if file.as_it_is { file.text.to_owned() } else { filled(file.text) })).collect();
    let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
    let into = dir.clone();
    blocking::run(move || write(&into, &files)).await?;
    output.show(
        || json!({"directory": dir, "files": paths, "build": build, "component": component, "upload": upload}),
        || {
            format!(
                "{} holds {name}, {} files. README.md in it says what is what.\nNext: cd {} && {build}\n      {upload}",
                dir.display(),
                paths.len(),
                dir.display()
            )
        },
    );
    Ok(exit::OK)
}

/// Words that cargo takes for no package: Rust's own, and its libraries'.
const RUST_WORDS: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// # Errors
/// `invalid_request` where the name is none for this kind of thing in this language.
fn check(name: &str, kind: Kind, language: Language) -> Result<()> {
    let wrong = |message: String| Err(Error::invalid("NAME", message));
    if Namespace::parse(name).is_err() {
        return wrong(format!(
            "{name:?} is not in kebab-case: words of lower-case letters and digits, each beginning with a letter, joined by single dashes, such as release-notes"
        ));
    }
    let taken = name == ToolId::AGENT || Registry::builtin().list().iter().any(|tool| tool.id.namespace() == name);
    if kind == Kind::Tool && taken {
        return wrong(format!(
            "{name:?} is the namespace of tools that Reprise has itself; a tool's namespace is its own, such as my-{name}"
        ));
    }
    if language == Language::Rust && RUST_WORDS.contains(&name) {
        return wrong(format!("{name:?} is a word of Rust, which names no package; my-{name} would do"));
    }
    Ok(())
}

/// The text with its placeholders filled in.
fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{namespace}}", name).replace("{{snake}}", &name.replace('-', "_"))
}

/// Makes the directory and writes the files.
///
/// # Errors
/// `file_exists` where the directory is there, `file_not_found` where it cannot be made or written.
fn write(dir: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir(dir).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already, and nothing is written over; name another place with --dir", dir.display());
            Error::new(Code::FileExists, message)
        }
        _ => Error::new(Code::FileNotFound, format!("cannot make the directory {}: {e}", dir.display())),
    })?;
    for (path, text) in files {
        let file = dir.join(path);
        write_one(&file, text).map_err(|e| Error::new(Code::FileNotFound, format!("cannot write {}: {e}", file.display())))?;
    }
    Ok(())
}

fn write_one(file: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    // The directory is our own; a file in it that is there was put there by somebody else meanwhile.
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if text.starts_with("#!") {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o755);
    }
    options.open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_for_what_it_is_to_name() {
        let said = |name: &str, kind| check(name, kind, Language::Rust).err().map(|e| e.issues[0].message.clone()).unwrap_or_default();
        for wrong in ["", "Notes", "my_notes", "my notes", "a--b", "-a", "9lives", "a/b", "../up", "ä"] {
            assert!(said(wrong, Kind::Playbook).contains("not in kebab-case"), "{wrong:?}");
        }
        for taken in ["fs", "http", "agent"] {
            assert!(said(taken, Kind::Tool).contains("that Reprise has itself"), "{taken}");
            assert_eq!(said(taken, Kind::Playbook), "", "{taken}");
        }
        for word in ["match", "std", "test", "proc-macro"] {
            assert!(said(word, Kind::Playbook).contains("a word of Rust"), "{word}");
        }
        for good in ["a", "release-notes", "sha256-sums", "n9"] {
            assert_eq!((said(good, Kind::Tool), said(good, Kind::Playbook)), (String::new(), String::new()), "{good}");
        }
    }

    #[test]
    fn placeholders_become_the_name() {
        assert_eq!(fill("{{name}} {{namespace}}/x {{snake}}.wasm {{other}}", "my-tool"), "my-tool my-tool/x my_tool.wasm {{other}}");
    }
}
