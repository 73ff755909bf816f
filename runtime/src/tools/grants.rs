//! What an operator permits a job to reach.
//!
//! Its job: read a grant from a flag, say it in words, and open what it names, once. It does not know
//! which tool uses a grant. The rules that must stay true: [`Grants::none`] is the default and covers
//! nothing, each grant is one line that an operator wrote, and two grants never share a name.

mod http;

pub use http::{HttpGrant, Method, Part, Written, base_url};

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// The forms that [`Grant::parse_flag`] takes.
const FORMS: &str = "a grant is fs:DIR, fs:DIR:ro or fs:NAME=DIR[:ro|:rw], or http:ORIGIN[=GET,POST]";

/// Names a grant within a job: 1 to 64 of `A-Z a-z 0-9 . _ -`, not `.` or `..`. A granted directory is
/// seen under this name: it is the first part of a tool path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GrantName(String);

impl GrantName {
    /// Characters in a name.
    const CHARS_MAX: usize = 64;

    /// Checks `text`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what a name may hold.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !matches!(text, "." | "..");
        if !fits {
            return Err(malformed(format!("{text:?} cannot name a grant; a name has 1 to {} of A-Z a-z 0-9 . _ -", Self::CHARS_MAX)));
        }
        Ok(GrantName(text.to_owned()))
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map by name can be asked with a part of a path.
impl Borrow<str> for GrantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GrantName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        GrantName::parse(&text).map_err(|e| serde::de::Error::custom(e.message))
    }
}

/// What may be done below a granted directory.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
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

    /// For people.
    fn words(self) -> &'static str {
        match self {
            Access::ReadOnly => "read",
            Access::ReadWrite => "read and write",
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
    /// What may be done below it.
    pub access: Access,
}

/// One permission that an operator gave.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Grant {
    /// The files below a directory.
    Fs(FsGrant),
    /// Calls to one origin.
    Http(HttpGrant),
}

impl Grant {
    /// From `fs:DIR`, `fs:DIR:ro` or `fs:NAME=DIR[:ro|:rw]`, or from `http:ORIGIN[=METHODS]`. The name is the directory's own where none is
    /// given; the access is to read and write. A directory whose name ends in `:ro` or holds a `=` can be
    /// written as `./odd=name:ro:rw`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right. The directory must be there.
    pub fn parse_flag(text: &str) -> Result<Grant> {
        let grant = match (text.strip_prefix("fs:"), text.strip_prefix("http:")) {
            (Some(rest), _) => Grant::parse_fs(rest),
            (_, Some(rest)) => HttpGrant::parse_flag(rest).map(Grant::Http),
            _ => Err(malformed(format!("{text:?} is not a grant of this version"))),
        };
        grant.map_err(|e| Error { message: format!("{}; {FORMS}", e.message), ..e })
    }

    fn parse_fs(rest: &str) -> Result<Grant> {
        let (rest, access) = match rest.rsplit_once(':') {
            Some((rest, "ro")) => (rest, Access::ReadOnly),
            Some((rest, "rw")) => (rest, Access::ReadWrite),
            _ => (rest, Access::ReadWrite),
        };
        // A part with a slash before the `=` is no name but a path.
        let (name, dir) = match rest.split_once('=') {
            Some((name, dir)) if !name.contains('/') => (Some(GrantName::parse(name)?), dir),
            _ => (None, rest),
        };
        Grant::fs(name, Path::new(dir), access)
    }

    /// The directory `dir`, which must be there, under `name` or under its own name.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right.
    pub fn fs(name: Option<GrantName>, dir: &Path, access: Access) -> Result<Grant> {
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
        Ok(Grant::Fs(FsGrant { name, path, access }))
    }

    /// The name under which jobs see it.
    #[must_use]
    pub fn name(&self) -> &GrantName {
        match self {
            Grant::Fs(grant) => &grant.name,
            Grant::Http(grant) => &grant.name,
        }
    }

    /// For people: `project: read and write files below /home/me/project`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Grant::Fs(grant) => format!("{}: {} files below {}", grant.name, grant.access.words(), grant.path.display()),
            Grant::Http(grant) => format!("{}: {}", grant.name, grant.words()),
        }
    }
}

/// The grants of one job, opened. Cheap to clone; the default covers nothing.
#[derive(Clone, Default)]
pub struct Grants {
    list: Arc<[Grant]>,
    dirs: Arc<BTreeMap<GrantName, OpenDir>>,
}

/// A granted directory, held open: whatever is renamed on the host, it stays this one.
#[derive(Clone)]
pub(super) struct OpenDir {
    pub(super) dir: Arc<Dir>,
    pub(super) access: Access,
}

impl Grants {
    /// Covers nothing.
    #[must_use]
    pub fn none() -> Self {
        Grants::default()
    }

    /// Opens what the grants name.
    ///
    /// # Errors
    /// `invalid_configuration`: a name stands twice, or a directory is gone, cannot be opened or is no longer
    /// where the grant says (a part of its path has become a symbolic link).
    pub fn open(grants: &[Grant]) -> Result<Grants> {
        Grants::none().with(grants)
    }

    /// These and `more`.
    ///
    /// # Errors
    /// As [`Grants::open`].
    pub fn with(&self, more: &[Grant]) -> Result<Grants> {
        let mut dirs = BTreeMap::clone(&self.dirs);
        let mut names: BTreeSet<&GrantName> = self.list.iter().map(Grant::name).collect();
        for grant in more {
            if !names.insert(grant.name()) {
                let other = match grant {
                    Grant::Fs(_) => "give one of them another name with NAME=DIR",
                    Grant::Http(_) => "name all its methods in one, or give one another name in reprise.toml",
                };
                return Err(malformed(format!("two grants are named {:?}; {other}", grant.name().as_str())));
            }
            if let Grant::Fs(fs) = grant {
                dirs.insert(fs.name.clone(), OpenDir { dir: Arc::new(open_dir(fs)?), access: fs.access });
            }
        }
        Ok(Grants { list: self.list.iter().chain(more).cloned().collect(), dirs: Arc::new(dirs) })
    }

    /// The grants as the operator gave them, in that order.
    #[must_use]
    pub fn list(&self) -> &[Grant] {
        &self.list
    }

    pub(super) fn dir(&self, name: &str) -> Option<(&GrantName, &OpenDir)> {
        self.dirs.get_key_value(name)
    }

    /// The grant that covers a call; where several do, the one with the longest path.
    pub(super) fn http(&self, origin: &str, method: Method, path: &str) -> Option<&HttpGrant> {
        let covering = self.http_grants().filter(|grant| grant.covers(origin, method, path));
        covering.max_by_key(|grant| grant.path.as_ref().map_or(0, String::len))
    }

    fn http_grants(&self) -> impl Iterator<Item = &HttpGrant> {
        self.list.iter().filter_map(|grant| match grant {
            Grant::Http(http) => Some(http),
            Grant::Fs(_) => None,
        })
    }

    /// What a job may know of its `http` grants, for the end of a message: `this job has: pay (GET at https://pay.example)`.
    pub(super) fn http_hint(&self) -> String {
        let each: Vec<String> = self.http_grants().map(|grant| format!("{} ({})", grant.name, grant.words())).collect();
        if each.is_empty() {
            return "this job has no http grants; an operator gives one with --grant http:ORIGIN=METHODS or in reprise.toml".to_owned();
        }
        format!("this job has: {}", each.join(", "))
    }

    /// What a job may know of its `fs` grants, for the end of a message: `this job has: project (read and write)`.
    pub(super) fn hint(&self) -> String {
        if self.dirs.is_empty() {
            return "this job has no grants; an operator gives one with --grant fs:DIR or in reprise.toml".to_owned();
        }
        let each: Vec<String> = self.dirs.iter().map(|(name, open)| format!("{name} ({})", open.access.words())).collect();
        format!("this job has: {}", each.join(", "))
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter()).finish()
    }
}

fn open_dir(grant: &FsGrant) -> Result<Dir> {
    let unusable = |why: String| malformed(format!("grant {:?}: the directory {} {why}", grant.name.as_str(), grant.path.display()));
    // A grant may be older than this process. If a part of its path was since replaced by a link, it would open something else.
    match grant.path.canonicalize() {
        Ok(path) if path == grant.path => {}
        Ok(path) => return Err(unusable(format!("is now another one, {}; grant that one if it is meant", path.display()))),
        Err(e) => return Err(unusable(format!("cannot be opened: {e}"))),
    }
    Dir::open_ambient_dir(&grant.path, ambient_authority()).map_err(|e| unusable(format!("cannot be opened: {e}")))
}

fn malformed(message: String) -> Error {
    Error::new(Code::InvalidConfiguration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, dir: &Path) -> Result<String> {
        Grant::parse_flag(&text.replace("DIR", dir.to_str().unwrap())).map(|g| g.words().replace(dir.to_str().unwrap(), "DIR"))
    }

    #[test]
    fn a_flag_names_a_directory_and_what_may_be_done_below_it() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        for sub in ["project", "a=b", "x:ro", "with space"] {
            std::fs::create_dir(dir.join(sub)).unwrap();
        }
        std::os::unix::fs::symlink("project", dir.join("link")).unwrap();
        for (flag, expected) in [
            ("fs:DIR/project", "project: read and write files below DIR/project"),
            ("fs:DIR/project:rw", "project: read and write files below DIR/project"),
            ("fs:DIR/project:ro", "project: read files below DIR/project"),
            ("fs:DIR/project/", "project: read and write files below DIR/project"),
            ("fs:DIR/project/../project:ro", "project: read files below DIR/project"),
            ("fs:p.1-x_Y=DIR/project:ro", "p.1-x_Y: read files below DIR/project"),
            ("fs:x=DIR/x:ro:rw", "x: read and write files below DIR/x:ro"),
            ("fs:x=DIR/a=b", "x: read and write files below DIR/a=b"),
            ("fs:x=DIR/with space", "x: read and write files below DIR/with space"),
            ("fs:DIR/link", "project: read and write files below DIR/project"),
            ("fs:root=/:ro", "root: read files below /"),
        ] {
            assert_eq!(words(flag, &dir).unwrap(), expected, "{flag}");
        }
        assert_eq!(Grant::parse_flag("fs:src").unwrap().name().as_str(), "src", "relative to the working directory");
    }

    #[test]
    fn a_flag_that_is_no_grant_says_what_would_be_one() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("with space")).unwrap();
        std::fs::write(dir.join("file"), "").unwrap();
        for (flag, says) in [
            ("DIR", "is not a grant of this version; a grant is fs:DIR, fs:DIR:ro or fs:NAME=DIR[:ro|:rw], or http:ORIGIN[=GET,POST]"),
            ("tcp:example.com", "is not a grant of this version"),
            ("fs:DIR/none", "cannot be used"),
            ("fs:DIR/file", "is not a directory"),
            ("fs:DIR:wo", "cannot be used"),
            ("fs:DIR/with space", "give one as NAME=DIR"),
            ("fs:/", "give one as NAME=DIR"),
            ("fs:two words=DIR", "\"two words\" cannot name a grant"),
            ("fs:..=DIR", "\"..\" cannot name a grant"),
            ("fs:=DIR", "\"\" cannot name a grant"),
            ("fs:", "cannot be used"),
        ] {
            let error = words(flag, &dir).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfiguration, "{flag}");
            assert!(error.message.contains(says), "{flag}: {error}");
            assert!(error.message.contains(FORMS), "{flag}: {error}");
        }
        assert!(GrantName::parse(&"x".repeat(64)).is_ok());
        assert!(GrantName::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn a_grant_reads_back_from_json_and_its_name_is_checked_there_too() {
        let text = r#"{"kind":"fs","name":"project","path":"/srv/project","access":"ro"}"#;
        let grant: Grant = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&grant).unwrap(), text);
        assert!(serde_json::from_str::<Grant>(&text.replace("\"project\"", "\"..\"")).is_err());
        assert!(serde_json::from_str::<Grant>(&text.replace("\"ro\"", "\"wo\"")).is_err());
    }

    #[test]
    fn nothing_is_granted_until_it_is_and_names_do_not_repeat() {
        assert!(Grants::none().list().is_empty() && Grants::default().list().is_empty());
        let tmp = tempfile::tempdir().unwrap();
        let grant = |name: &str| Grant::parse_flag(&format!("fs:{name}={}", tmp.path().display())).unwrap();
        let one = Grants::open(&[grant("a")]).unwrap();
        let two = one.with(&[grant("b")]).unwrap();
        assert_eq!((one.list().len(), two.list()), (1, [grant("a"), grant("b")].as_slice()));
        let error = two.with(&[grant("b")]).unwrap_err();
        assert!(error.code == Code::InvalidConfiguration && error.message.contains("two grants are named \"b\""), "{error}");
    }

    #[test]
    fn a_directory_that_was_removed_or_replaced_by_a_link_since_is_not_opened() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::create_dir_all(dir.join("other/b")).unwrap();
        let grant = Grant::parse_flag(&format!("fs:{}", dir.join("a/b").display())).unwrap();
        std::fs::rename(dir.join("a"), dir.join("moved")).unwrap();
        assert!(Grants::open(std::slice::from_ref(&grant)).unwrap_err().message.contains("cannot be opened"));
        std::os::unix::fs::symlink("other", dir.join("a")).unwrap();
        assert!(Grants::open(&[grant]).unwrap_err().message.contains("is now another one"));
    }
}
