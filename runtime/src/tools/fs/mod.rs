//! The file tools, and the one way from a tool path to an open directory.
//!
//! A tool path is `GRANT/part/part`. Its job: look each part up, one at a time, from the granted directory
//! down, and say why where that ends. It does not know what a tool does with what was found.
//!
//! The rule that must stay true: the operating system is only ever asked for one plain name inside a
//! directory that is already open, never for a path, never for `..`, and never to follow a link. Links are read
//! and their parts looked up in the same way, from the granted directory down, so that one that points out
//! is met here as an absolute target or as a `..` above the top. cap-std keeps each of these lookups beneath its directory
//! as well, but nothing here rests on that alone: the ways out of such libraries that became known went through
//! paths of several parts, through trailing slashes and through links (RUSTSEC-2026-0269).

mod atomic;
mod confirm;
mod list;
mod read;
mod remove;
mod replace;
mod write;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

use cap_fs_ext::{DirExt as _, FollowSymlinks, MetadataExt as _, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, File, FileType, Metadata, OpenOptions};

use crate::contract::{ErrorKind, ToolError};
use crate::limits;

use super::grants::{Access, At, GrantName, OpenDir};
use super::tool::Recorded;
use super::{CONFIG_FILE_NAME, Call, Info, Tool, input};

/// Each of them.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::blocking(list::info(), list::call).confirmed(confirm::list),
        Tool::blocking(read::info(), read::call).confirmed(confirm::read),
        Tool::blocking(remove::info(), remove::call).confirmed(confirm::gone),
        Tool::blocking(replace::info(), replace::call).reconciled(replace::reconcile).confirmed(confirm::content),
        Tool::blocking(write::info(), write::call).confirmed(confirm::content),
    ]
}

/// Whether anything is at this path, links followed. Fails where no grant covers it.
pub(super) fn is_there(call: &Call, path: &str) -> Result<bool, ToolError> {
    match Place::parse(call, path)?.find() {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Ok(false),
        Err(e) => Err(e),
    }
}

/// A path that a tool was given, its grant found, nothing looked up yet.
struct Place<'a> {
    grant: &'a GrantName,
    open: &'a OpenDir,
    /// Below the grant; none of them empty, `.`, `..` or with a slash.
    names: Vec<&'a str>,
    /// The path as tools give it back: without `.`, doubled and trailing slashes.
    text: String,
    /// The path ended in a slash, so it means a directory.
    slash: bool,
}

/// What a path led to.
enum Found {
    Directory(Dir),
    /// Anything else, as a name in the directory that holds it. Never a link: those were followed.
    Entry(Dir, OsString, FileType),
}

/// What to do where a directory on the way is not there.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Fail,
    Create,
}

impl<'a> Place<'a> {
    /// Checks `path` and finds its grant.
    fn parse(call: &'a Call, path: &'a str) -> Result<Self, ToolError> {
        if path.len() > limits::FS_PATH_BYTES_MAX {
            let text = format!("the path has {} bytes; a path has at most {}", path.len(), limits::FS_PATH_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::InvalidInput, text));
        }
        if path.contains('\0') {
            return Err(ToolError::new(ErrorKind::InvalidInput, format!("{path:?} holds a NUL character, which no path can")));
        }
        let hint = || call.grants.hint();
        if path.starts_with('/') {
            // Not repeated in the message: it may be a path of the host.
            return Err(denied(format!("the path is absolute; a path begins with the name of a grant; {}", hint())));
        }
        let mut names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        if names.is_empty() {
            return Err(ToolError::new(
                ErrorKind::InvalidInput,
                format!("{path:?} names nothing; a path begins with the name of a grant; {}", hint()),
            ));
        }
        let first = names.remove(0);
        let Some((grant, open)) = call.grants.dir(first) else {
            return Err(denied(format!("no grant named {first:?}; {}", hint())));
        };
        if names.contains(&"..") {
            return Err(denied(format!(
                "{path:?} holds a \"..\", which could leave the grant {:?}; write the path without it",
                grant.as_str()
            )));
        }
        if let Some(own) = names.iter().find(|name| atomic::is_temporary(name)) {
            return Err(denied(format!("{own:?} in the grant {:?} has the form of Reprise's own temporary files", grant.as_str())));
        }
        let text = std::iter::once(first).chain(names.iter().copied()).collect::<Vec<_>>().join("/");
        // Where a part of a directory is granted, paths still begin as those of the whole.
        let at = open.at.as_ref().map_or(&[][..], At::names);
        if names.len() < at.len() || names.iter().zip(at).any(|(name, at)| *name != at.as_str()) {
            let seen = open.seen_as(grant);
            return Err(denied(format!("the grant {:?} covers {seen:?} and what is below it, not {text:?}; {}", grant.as_str(), hint())));
        }
        names.drain(..at.len());
        Ok(Place { grant, open, names, text, slash: path.ends_with('/') })
    }

    /// As [`Place::parse`], for a tool that changes what is there: the grant must allow it, and the place must be below it.
    fn to_change(call: &'a Call, path: &'a str) -> Result<Self, ToolError> {
        let place = Place::parse(call, path)?;
        let grant = place.grant.as_str();
        if place.open.access == Access::ReadOnly {
            return Err(denied(format!("the grant {grant:?} is read-only, so {:?} cannot be changed; {}", place.text, call.grants.hint())));
        }
        match place.names.last() {
            None => Err(denied(format!("{:?} is the grant {grant:?} itself; name something below it", place.text))),
            // Upper case, since a file system that ignores case takes "ſ" for "S" as well.
            Some(name) if name.to_uppercase() == CONFIG_FILE_NAME.to_uppercase() => Err(denied(format!(
                "{:?} in the grant {grant:?} has the name of the file that holds the grants, which only an operator changes",
                place.text
            ))),
            Some(_) => Ok(place),
        }
    }

    /// The error for a trailing slash where a file is meant.
    fn refuse_slash(&self) -> Result<(), ToolError> {
        if self.slash {
            return Err(ToolError::new(
                ErrorKind::InvalidInput,
                format!("{:?} is given with a slash at its end, which means a directory; leave the slash out", self.text),
            ));
        }
        Ok(())
    }

    /// What the whole path leads to, links followed.
    fn find(&self) -> Result<Found, ToolError> {
        self.walk(&self.names, Missing::Fail)
    }

    /// The directory that holds the last name, and that name; for changes, which are made to the entry itself and never
    /// through a link. The place must be below its grant.
    fn parent(&self, missing: Missing) -> Result<(Dir, &'a str), ToolError> {
        let (name, above) = self.names.split_last().expect("a place to change is below its grant");
        match self.walk(above, missing)? {
            Found::Directory(dir) => Ok((dir, name)),
            Found::Entry(..) => Err(self.not_a_directory()),
        }
    }

    /// Looks `names` up from the grant down.
    fn walk(&self, names: &[&str], missing: Missing) -> Result<Found, ToolError> {
        let fail = |e: io::Error| self.refusal(&e, "look up");
        let mut dir = self.open.dir.try_clone().map_err(fail)?;
        // The way from the grant to `dir`, without links; what is still to be looked up, the next name last.
        let mut way: Vec<OsString> = Vec::new();
        let mut ahead: Vec<OsString> = names.iter().rev().map(OsString::from).collect();
        let mut lookups = 0;
        while let Some(name) = ahead.pop() {
            lookups += 1;
            // Both counted: a link to many parts, itself among them, costs memory before it costs time.
            if lookups + ahead.len() > limits::FS_LOOKUPS_MAX {
                let text = format!("{:?} leads through more links than are followed; they may be a circle", self.text);
                return Err(ToolError::new(ErrorKind::Conflict, text));
            }
            if name == ".." {
                // Not asked of the system: the directory may have been moved meanwhile, out of the grant even.
                if way.pop().is_none() {
                    return Err(self.leaves());
                }
                lookups += way.len();
                dir = descend(&self.open.dir, &way).map_err(fail)?;
                continue;
            }
            let meta = match dir.symlink_metadata(&name) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && missing == Missing::Create => {
                    create_dir(&dir, &name).map_err(|e| self.refusal(&e, "create the directory of"))?
                }
                other => other.map_err(fail)?,
            };
            if meta.is_symlink() {
                let target = dir.read_link_contents(&name).map_err(fail)?;
                self.push_link(&target, &mut ahead)?;
            } else if meta.is_dir() {
                dir = dir.open_dir_nofollow(&name).map_err(fail)?;
                way.push(name);
            } else if ahead.is_empty() {
                return Ok(Found::Entry(dir, name, meta.file_type()));
            } else {
                return Err(self.not_a_directory());
            }
        }
        Ok(Found::Directory(dir))
    }

    /// Puts the parts of a link before what is still to be looked up.
    fn push_link(&self, target: &Path, ahead: &mut Vec<OsString>) -> Result<(), ToolError> {
        for part in target.components().rev() {
            match part {
                Component::Normal(name) => ahead.push(name.to_owned()),
                Component::ParentDir => ahead.push(OsString::from("..")),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return Err(self.leaves()),
            }
        }
        Ok(())
    }

    /// Opens a regular file for reading, and for writing too if `write`; what it is was looked up before.
    fn open_file(&self, dir: &Dir, name: &OsStr, kind: FileType, write: bool) -> Result<File, ToolError> {
        if !kind.is_file() {
            return Err(self.special());
        }
        // Another thing may stand there by now: a link is not followed, and a pipe does not make us wait for its other end.
        let options = OpenOptions::new().read(true).write(write).follow(FollowSymlinks::No).nonblock(true).clone();
        let file = dir.open_with(name, &options).map_err(|e| self.refusal(&e, if write { "open for writing" } else { "read" }))?;
        if !file.metadata().map_err(|e| self.refusal(&e, "read"))?.is_file() {
            return Err(self.special());
        }
        Ok(file)
    }

    fn leaves(&self) -> ToolError {
        denied(format!("{:?} leads out of the grant {:?} through a symbolic link", self.text, self.grant.as_str()))
    }

    fn not_a_directory(&self) -> ToolError {
        ToolError::new(ErrorKind::Conflict, format!("{:?} leads through a file as if it were a directory", self.text))
    }

    fn special(&self) -> ToolError {
        denied(format!(
            "{:?} in the grant {:?} is a pipe, a socket or a device; file tools leave such alone",
            self.text,
            self.grant.as_str()
        ))
    }

    fn absent(&self) -> ToolError {
        let text = match self.open.dir.dir_metadata() {
            // A directory that was removed has no name left, but stays open here.
            Ok(meta) if meta.nlink() == 0 => {
                format!("the directory of the grant {:?} was removed, so {:?} is not there", self.grant.as_str(), self.text)
            }
            _ => format!("{:?} is not there", self.text),
        };
        ToolError::new(ErrorKind::NotFound, text)
    }

    /// What the system's answer means to a job. `doing` completes "could not …".
    fn refusal(&self, e: &io::Error, doing: &str) -> ToolError {
        let (path, grant) = (&self.text, self.grant.as_str());
        match e.kind() {
            io::ErrorKind::NotFound => self.absent(),
            // cap-std's word for leaving the directory has no number from the system.
            io::ErrorKind::PermissionDenied if e.raw_os_error().is_none() => self.leaves(),
            io::ErrorKind::PermissionDenied => denied(format!(
                "could not {doing} {path:?}: the permissions of the files below the grant {grant:?} do not let this process"
            )),
            io::ErrorKind::ReadOnlyFilesystem => {
                denied(format!("could not {doing} {path:?}: the grant {grant:?} is on a read-only file system"))
            }
            io::ErrorKind::NotADirectory => self.not_a_directory(),
            io::ErrorKind::IsADirectory => ToolError::new(ErrorKind::Conflict, format!("{path:?} is a directory")),
            io::ErrorKind::InvalidFilename => {
                ToolError::new(ErrorKind::InvalidInput, format!("{path:?} holds a name that is too long for the file system"))
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ToolError::new(ErrorKind::Unavailable, format!("could not {doing} {path:?}: no space is left for it; nothing was changed"))
            }
            io::ErrorKind::ExecutableFileBusy | io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted => {
                ToolError::new(ErrorKind::Unavailable, format!("could not {doing} {path:?}: it is in use; nothing was changed"))
            }
            _ => ToolError::new(ErrorKind::Failed, format!("could not {doing} {path:?}: {e}")),
        }
    }
}

/// Opens the directory `names` below `dir`, one plain name at a time; a link on the way is an error.
fn descend(dir: &Dir, names: &[impl AsRef<Path>]) -> io::Result<Dir> {
    let mut dir = dir.try_clone()?;
    for name in names {
        dir = dir.open_dir_nofollow(name)?;
    }
    Ok(dir)
}

/// Creates a directory so that it outlives a power cut; another call may have been first.
fn create_dir(dir: &Dir, name: &OsStr) -> io::Result<Metadata> {
    match dir.create_dir(name) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => sync_dir(dir)?,
    }
    dir.symlink_metadata(name)
}

/// Flushes a directory's entries. The handle itself cannot be flushed, so the directory is opened once more.
fn sync_dir(dir: &Dir) -> io::Result<()> {
    match dir.open(".")?.sync_all() {
        // Some network file systems have no flush for directories and say so.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

fn denied(text: String) -> ToolError {
    ToolError::new(ErrorKind::Denied, text)
}

/// What every `path` in a schema says.
const PATH: &str = "Begins with the name of a grant: project/src/main.rs. No \"..\", never absolute.";

#[cfg(test)]
mod attacks;
#[cfg(test)]
pub(super) mod world;
