//! What an operator permits of the disk: one directory, to look or to change.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

use super::written::{need, resolved};
use super::{GrantName, To, Written, Wrong, malformed};

/// What may be done with what is granted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub enum Access {
    /// Look only.
    #[serde(rename = "ro")]
    ReadOnly,
    /// Look and change.
    #[serde(rename = "rw")]
    ReadWrite,
}

impl Access {
    /// From `ro` or `rw`.
    ///
    /// # Errors
    /// `invalid_configuration` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "ro" => Ok(Access::ReadOnly),
            "rw" => Ok(Access::ReadWrite),
            _ => Err(malformed(format!("access {text:?} is neither \"ro\" (read only) nor \"rw\" (read and write)"))),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        }
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Access::ReadOnly => "read",
            Access::ReadWrite => "read and write",
        }
    }

    /// From the end of a flag: `WHAT:ro`, `WHAT:rw`, or `WHAT`, which is to read and write.
    pub(super) fn at_end(text: &str) -> (&str, Access) {
        match text.rsplit_once(':') {
            Some((rest, "ro")) => (rest, Access::ReadOnly),
            Some((rest, "rw")) => (rest, Access::ReadWrite),
            _ => (text, Access::ReadWrite),
        }
    }
}

/// One directory of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FsGrant {
    /// What jobs see instead of the host path.
    pub name: GrantName,
    /// The directory: absolute, canonical, on the host.
    pub path: PathBuf,
    /// Where below its name jobs see it: `releases` is seen as `project/releases`. So a part of a directory can be granted
    /// to jobs that know the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// What may be done below it.
    pub access: Access,
    /// For whom it is.
    #[serde(default, skip_serializing_if = "To::is_builtin")]
    pub to: To,
}

/// A place below a grant's name: plain names, joined by slashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct At(Vec<String>);

impl At {
    /// From `releases/2026`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right.
    pub fn parse(text: &str) -> Result<At> {
        let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if text.len() > limits::FS_PATH_BYTES_MAX || !text.split('/').all(plain) {
            let why = format!("{text:?} is no place below a grant's name; one is plain names joined by slashes, such as releases/2026");
            return Err(malformed(why));
        }
        Ok(At(text.split('/').map(str::to_owned).collect()))
    }

    /// Each name on the way.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        At::parse(&text).map_err(|e| e.message)
    }
}

impl From<At> for String {
    fn from(at: At) -> String {
        at.to_string()
    }
}

impl FsGrant {
    /// As it stands in a grant.
    pub const KIND: &str = "fs";

    /// The directory `dir`, which must be there, under `name` or under its own name.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right.
    pub fn new(name: Option<GrantName>, dir: &Path, access: Access, to: To) -> Result<FsGrant> {
        let path = match dir.canonicalize() {
            Ok(path) if path.is_dir() => path,
            Ok(_) => return Err(malformed(format!("{} is not a directory", dir.display()))),
            Err(e) => return Err(malformed(format!("the directory {:?} cannot be used: {e}", dir.display().to_string()))),
        };
        if path.to_str().is_none() {
            return Err(malformed(format!("the path {} is not UTF-8, so it cannot be kept with a job", path.display())));
        }
        let name = match (name, path.file_name()) {
            (Some(name), _) => name,
            (None, Some(own)) => GrantName::parse(&own.to_string_lossy())
                .map_err(|e| Error { message: format!("{}; give one as NAME=DIR", e.message), ..e })?,
            (None, None) => return Err(malformed(format!("{} has no name of its own; give one as NAME=DIR", path.display()))),
        };
        Ok(FsGrant { name, path, at: None, access, to })
    }

    pub(super) fn read(written: &Written, base: Option<&Path>) -> Result<FsGrant, Wrong> {
        written.only(&["path", "at", "access", "to"])?;
        let path = need(written.path.as_ref(), "path")?;
        let access = written.access()?;
        let (name, to) = (written.name()?, written.to()?);
        let at = written.at.as_deref().map(At::parse).transpose().map_err(Wrong::field("at"))?;
        if at.is_some() && name.is_none() {
            let why = "missing field `name`: jobs see the directory as NAME/AT".to_owned();
            return Err(Wrong::field("name")(malformed(why)));
        }
        let grant = resolved(path, base).and_then(|dir| FsGrant::new(name, &dir, access, to)).map_err(Wrong::field("path"))?;
        Ok(FsGrant { at, ..grant })
    }

    /// From what stands after `fs:` in a flag: `DIR`, `DIR:ro` or `NAME=DIR[:ro|:rw]`. The name is the directory's own where
    /// none is given; the access is to read and write. A directory whose name ends in `:ro` or holds a `=` can be written as
    /// `./odd=name:ro:rw`.
    pub(super) fn parse_flag(rest: &str, to: To) -> Result<FsGrant> {
        let (rest, access) = Access::at_end(rest);
        // A part with a slash before the `=` is no name but a path.
        let (name, dir) = match rest.split_once('=') {
            Some((name, dir)) if !name.contains('/') => (Some(GrantName::parse(name)?), dir),
            _ => (None, rest),
        };
        FsGrant::new(name, Path::new(dir), access, to)
    }

    /// `read files below /srv/handbook`.
    pub(super) fn words(&self) -> String {
        let seen = self.at.as_ref().map(|_| format!(", seen as {}/", self.seen_as())).unwrap_or_default();
        format!("{} files below {}{seen}", self.access.words(), self.path.display())
    }

    /// `read files below handbook/`: a directory of the host is nobody's business elsewhere.
    pub(super) fn inside_words(&self) -> String {
        format!("{} files below {}/", self.access.words(), self.seen_as())
    }

    /// As jobs name the directory: `project`, `project/releases`.
    #[must_use]
    pub fn seen_as(&self) -> String {
        seen_as(&self.name, self.at.as_ref())
    }
}

/// As jobs name a directory.
pub(super) fn seen_as(name: &GrantName, at: Option<&At>) -> String {
    at.map_or_else(|| name.to_string(), |at| format!("{name}/{at}"))
}
