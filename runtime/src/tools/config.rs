//! `reprise.toml`: the operator's file.
//!
//! Its job: read the file, or say on which line what is wrong and what would be right. It opens nothing.
//! The rule that must stay true: nothing that a job can write is read here as an operator's word.
//!
//! ```toml
//! [[grant]]
//! kind = "fs"
//! name = "project"      # optional: the directory's own name
//! path = "./project"    # relative to this file
//! access = "rw"         # or "ro"
//! ```

use std::fmt::Display;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::error::{Code, Error, Result};
use crate::limits;

use super::grants::{Access, Grant, GrantName};

/// The name that the configuration file has. The file tools never change a file of this name, so that a job
/// cannot write its own grants.
pub const FILE_NAME: &str = "reprise.toml";

/// What an operator configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// In the order of the file.
    pub grants: Vec<Grant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    grant: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: Spanned<String>,
    name: Option<Spanned<String>>,
    path: Spanned<String>,
    access: Spanned<String>,
}

impl Config {
    /// What holds where there is no file: nothing is granted.
    #[must_use]
    pub fn empty() -> Config {
        Config { grants: Vec::new() }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `file_not_found`; `too_large`; `invalid_configuration` with file, line and what would be right.
    pub fn read(path: &Path) -> Result<Config> {
        let text = read_bounded(path)?;
        let file: File = toml::from_str(&text).map_err(|e| {
            let at = line(path, &text, e.span().map_or(0, |span| span.start));
            wrong(at, e.message().trim())
        })?;
        // Paths in the file are relative to it.
        let base = path.canonicalize().map_err(|e| wrong(path.display(), format!("cannot be read: {e}")))?;
        let mut grants: Vec<Grant> = Vec::new();
        for table in &file.grant {
            let grant = read_grant(table, base.parent().unwrap_or(Path::new("/")), |at| line(path, &text, at))?;
            if grants.iter().any(|g| g.name() == grant.name()) {
                let at = table.name.as_ref().unwrap_or(&table.path).span().start;
                return Err(wrong(
                    line(path, &text, at),
                    format!("two grants are named {:?}; give this one another name", grant.name().as_str()),
                ));
            }
            if let Grant::Fs(fs) = &grant
                && fs.access == Access::ReadWrite
                && base.starts_with(&fs.path)
                && base.file_name() != Some(FILE_NAME.as_ref())
            {
                let why = format!(
                    "this grant holds the configuration file itself, so a job could write its own grants; \
                     make it \"ro\", grant a directory below, or name the file {FILE_NAME}, which no tool changes"
                );
                return Err(wrong(line(path, &text, table.path.span().start), why));
            }
            grants.push(grant);
        }
        Ok(Config { grants })
    }
}

fn read_grant(table: &Table, base: &Path, line: impl Fn(usize) -> String) -> Result<Grant> {
    if table.kind.get_ref() != "fs" {
        return Err(wrong(
            line(table.kind.span().start),
            format!("kind {:?} is not of this version; the kinds are: \"fs\"", table.kind.get_ref()),
        ));
    }
    let at = |place: &Spanned<String>, e: Error| wrong(line(place.span().start), e.message);
    let access = Access::parse(table.access.get_ref()).map_err(|e| at(&table.access, e))?;
    let name = match &table.name {
        Some(name) => Some(GrantName::parse(name.get_ref()).map_err(|e| at(name, e))?),
        None => None,
    };
    Grant::fs(name, &base.join(table.path.get_ref()), access).map_err(|e| at(&table.path, e))
}

fn read_bounded(path: &Path) -> Result<String> {
    let unreadable = |e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { Code::FileNotFound } else { Code::InvalidConfiguration };
        Error::new(code, format!("{} cannot be read: {e}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limits::CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES_MAX {
        return Err(Error::new(Code::TooLarge, format!("{} is larger than {} bytes", path.display(), limits::CONFIG_BYTES_MAX)));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        wrong(format!("{}:{}", path.display(), before.iter().filter(|b| **b == b'\n').count() + 1), "not UTF-8 text")
    })
}

/// `reprise.toml:7`, for the byte `at` of the text.
fn line(path: &Path, text: &str, at: usize) -> String {
    format!("{}:{}", path.display(), text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1)
}

fn wrong(at: impl Display, why: impl Display) -> Error {
    Error::new(Code::InvalidConfiguration, format!("{at}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads this text as `dir/name`.
    fn read(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<String>> {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("etc/project")).unwrap();
        let path = dir.join("etc").join(name);
        std::fs::write(&path, text).unwrap();
        let shown = |text: String| text.replace(dir.to_str().unwrap(), "DIR");
        match Config::read(&path) {
            Ok(config) => Ok(config.grants.iter().map(|g| shown(g.words())).collect()),
            Err(e) => Err(Error { message: shown(e.message.clone()), ..e }),
        }
    }

    const GOOD: &str = "[[grant]]\nkind = \"fs\"\nname = \"p\"\npath = \"./project\"\naccess = \"ro\"\n";

    #[test]
    fn grants_are_read_relative_to_the_file() {
        assert_eq!(read("reprise.toml", "").unwrap(), Vec::<String>::new());
        assert_eq!(read("reprise.toml", "# nothing yet\n").unwrap(), Vec::<String>::new());
        let own_name = GOOD.replace("name = \"p\"\n", "").replace("\"ro\"", "\"rw\"");
        assert_eq!(
            read("reprise.toml", format!("{GOOD}{own_name}")).unwrap(),
            ["p: read files below DIR/etc/project", "project: read and write files below DIR/etc/project"]
        );
    }

    #[test]
    fn each_mistake_is_shown_with_its_line_and_what_would_be_right() {
        for (text, says) in [
            (GOOD.replace("\"ro\"", "\"wo\""), "DIR/etc/reprise.toml:5: access \"wo\" is neither \"ro\""),
            (GOOD.replace("\"fs\"", "\"http\""), "DIR/etc/reprise.toml:2: kind \"http\" is not of this version; the kinds are: \"fs\""),
            (GOOD.replace("./project", "./none"), "DIR/etc/reprise.toml:4: the directory"),
            (GOOD.replace("\"p\"", "\"a/b\""), "DIR/etc/reprise.toml:3: \"a/b\" cannot name a grant"),
            (format!("{GOOD}\n{GOOD}"), "DIR/etc/reprise.toml:9: two grants are named \"p\""),
            (
                GOOD.replace("access", "acess"),
                "DIR/etc/reprise.toml:5: unknown field `acess`, expected one of `kind`, `name`, `path`, `access`",
            ),
            (GOOD.replace("access = \"ro\"\n", ""), "DIR/etc/reprise.toml:1: missing field `access`"),
            (GOOD.replace("[[grant]]", "[[grants]]"), "DIR/etc/reprise.toml:1: unknown field `grants`, expected `grant`"),
            (GOOD.replace("\"p\"", "7"), "DIR/etc/reprise.toml:3: invalid type"),
            ("[[grant]]\nkind = ".to_owned(), "DIR/etc/reprise.toml:2: "),
        ] {
            let error = read("reprise.toml", &text).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfiguration, "{text}");
            assert!(error.message.starts_with(says), "{error}\ndoes not begin with {says}");
        }
    }

    #[test]
    fn a_file_that_is_absent_not_text_or_too_large_is_refused() {
        assert_eq!(Config::read(Path::new("no/such/reprise.toml")).unwrap_err().code, Code::FileNotFound);
        assert!(read("reprise.toml", b"\n\n# caf\xe9").unwrap_err().message.ends_with("reprise.toml:3: not UTF-8 text"));
        let large = "#".repeat(usize::try_from(limits::CONFIG_BYTES_MAX).unwrap() + 1);
        assert_eq!(read("reprise.toml", large).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn a_file_that_a_job_could_write_is_refused() {
        let around = GOOD.replace("./project", ".").replace("\"ro\"", "\"rw\"");
        let error = read("production.toml", &around).unwrap_err();
        assert!(error.message.starts_with("DIR/etc/production.toml:4: this grant holds the configuration file itself"), "{error}");
        // The file tools never change a file of this name.
        assert!(read("reprise.toml", &around).is_ok());
        assert!(read("production.toml", around.replace("\"rw\"", "\"ro\"")).is_ok());
    }
}
