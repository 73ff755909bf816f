//! The text of the file, and where in it something stands.

use std::fmt::Display;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};
use crate::limits;

/// A configuration file that was read.
pub(super) struct Source {
    path: PathBuf,
    text: String,
    /// The file's real path; what it names is relative to its directory.
    pub(super) real: PathBuf,
}

impl Source {
    /// # Errors
    /// `file_not_found`, `too_large`, `invalid_configuration` where it is not text.
    pub(super) fn read(path: &Path) -> Result<Source> {
        let text = read_bounded(path)?;
        let real = path.canonicalize().map_err(|e| wrong(path.display(), format!("cannot be read: {e}")))?;
        Ok(Source { path: path.to_path_buf(), text, real })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong at this place, with file and line: `reprise.toml:7: …`.
    pub(super) fn wrong(&self, at: Range<usize>, why: impl Display) -> Error {
        let line = self.text.as_bytes()[..at.start.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        wrong(format!("{}:{line}", self.path.display()), why)
    }

    /// As [`Source::wrong`], for an error that another module made.
    pub(super) fn place<T>(&self, at: Range<usize>, result: Result<T>) -> Result<T> {
        result.map_err(|e| self.wrong(at, e.message))
    }

    /// A path in the file, relative to the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.real.parent().unwrap_or(Path::new("/")).join(path)
    }

    /// A file that the configuration names, which must be there.
    pub(super) fn file(&self, at: Range<usize>, path: &str) -> Result<PathBuf> {
        match self.resolve(path).canonicalize() {
            Ok(path) if path.is_file() => Ok(path),
            Ok(path) => Err(self.wrong(at, format!("{} is not a file", path.display()))),
            Err(e) => Err(self.wrong(at, format!("the file {path:?} cannot be used: {e}"))),
        }
    }
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

fn wrong(at: impl Display, why: impl Display) -> Error {
    Error::new(Code::InvalidConfiguration, format!("{at}: {why}"))
}
