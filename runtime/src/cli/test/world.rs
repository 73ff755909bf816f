//! A scratch world: a data directory with the playbooks in it, and copies of the directories that a job may see.
//!
//! ```text
//! DIR/data/SCRATCH        nothing in here will be missed
//! DIR/data/reprise.toml   grants, with paths relative to it, so that a copy of DIR is a world like it
//! DIR/roots/NAME/         what the job sees as NAME
//! ```
//!
//! It knows no jobs. What must stay true: nothing outside DIR is written, whatever a job does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config;
use crate::engine::Settings;
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::store::{CrashPoint, SCRATCH_FILE};
use crate::tools::grants::GrantName;
use crate::tools::{Grant, HttpGrant};

/// One scratch world.
#[derive(Clone)]
pub(super) struct World {
    dir: PathBuf,
    /// Where a process dies that opens it.
    die_at: Option<CrashPoint>,
}

/// A file, a directory or a link, so that two of them are equal if nobody can tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Directory,
    File(Digest),
    Link(PathBuf),
}

impl World {
    /// One that is there.
    pub(super) fn at(dir: PathBuf, die_at: Option<CrashPoint>) -> World {
        World { dir, die_at }
    }

    /// With a copy of each of these directories. Blocks.
    ///
    /// # Errors
    /// `file_not_found` that names what cannot be read, `store_unavailable` what cannot be written.
    pub(super) fn make(dir: &Path, roots: &[(GrantName, PathBuf)], web: &[HttpGrant]) -> Result<World> {
        let world = World::at(dir.to_owned(), None);
        let data = world.data();
        let made = fs::create_dir_all(&data).and_then(|()| fs::write(data.join(SCRATCH_FILE), "Made by `reprise test`.\n"));
        made.map_err(|e| cannot("write", &data, &e))?;
        for (name, root) in roots {
            copy(root, &world.roots().join(name.as_str()))?;
        }
        let fs_grant =
            |(name, _): &(GrantName, PathBuf)| json!({"kind": "fs", "name": name, "path": format!("../roots/{name}"), "access": "rw"});
        let web = web.iter().map(|grant| serde_json::to_value(Grant::Http(grant.clone())).expect("a grant has string keys"));
        let grants: Vec<Value> = roots.iter().map(fs_grant).chain(web).collect();
        let file = data.join(config::FILE_NAME);
        let text = toml::to_string(&json!({ "grant": grants })).expect("text, lists and tables have a form in TOML");
        fs::write(&file, text).map_err(|e| cannot("write", &file, &e))?;
        Ok(world)
    }

    /// A world like this one, in a directory of its own. Nobody may have the data directory open. Blocks.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub(super) fn copy_to(&self, dir: &Path) -> Result<World> {
        copy(&self.dir, dir)?;
        Ok(World::at(dir.to_owned(), None))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn roots(&self) -> PathBuf {
        self.dir.join("roots")
    }

    pub(super) fn settings(&self) -> Settings {
        Settings { die_at: self.die_at, ..Settings::of(self.data()) }
    }

    /// Everything below the directories that the job may see, by path as the job names it. Blocks.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub(super) fn files(&self) -> Result<BTreeMap<String, Found>> {
        let top = self.roots();
        let mut files = BTreeMap::new();
        let mut directories = if top.exists() { vec![top.clone()] } else { Vec::new() };
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).map_err(|e| cannot("list", &directory, &e))? {
                let path = entry.map_err(|e| cannot("list", &directory, &e))?.path();
                let found = look(&path).map_err(|e| cannot("read", &path, &e))?;
                if found == Found::Directory {
                    directories.push(path.clone());
                }
                let name = path.strip_prefix(&top).expect("it lies below").to_string_lossy().into_owned();
                files.insert(name, found);
            }
        }
        Ok(files)
    }

    /// Removes it. What cannot be removed now goes with the directory around it.
    pub(super) fn remove(self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn look(path: &Path) -> io::Result<Found> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        Ok(Found::Link(fs::read_link(path)?))
    } else if kind.is_dir() {
        Ok(Found::Directory)
    } else {
        Ok(Found::File(Digest::of(&fs::read(path)?)))
    }
}

/// Directories, files and links; anything else has no copy.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut pairs = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = pairs.pop() {
        let unreadable = |e: &io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", from.display()));
        let kind = fs::symlink_metadata(&from).map_err(|e| unreadable(&e))?.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&to).map_err(|e| cannot("create", &to, &e))?;
            for entry in fs::read_dir(&from).map_err(|e| unreadable(&e))? {
                let name = entry.map_err(|e| unreadable(&e))?.file_name();
                pairs.push((from.join(&name), to.join(name)));
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(|e| unreadable(&e))?;
            link(&target, &to).map_err(|e| cannot("create", &to, &e))?;
        } else if kind.is_file() {
            fs::copy(&from, &to).map_err(|e| cannot("copy to", &to, &e))?;
        } else {
            let message = format!("{} is neither file, directory nor link, so that a test cannot work on a copy of it", from.display());
            return Err(Error::new(Code::NotSupported, message));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

pub(super) fn cannot(verb: &str, path: &Path, e: &io::Error) -> Error {
    Error::new(Code::StoreUnavailable, format!("cannot {verb} {}: {e}", path.display()))
}
