//! The data directory: whose it is, who has it open, and in which format it is written.
//!
//! ```text
//! DIR/reprise.toml  the operator's own, who may write it before the first start; never touched here
//! DIR/LOCK      locked while a process has it open; "pid 4711" and, on a second line, a note
//! DIR/FORMAT    "format 1": written before anything else, so a directory without it holds nothing of ours
//! DIR/sled/     the tree
//! DIR/blobs/    large values
//! DIR/operator.token   what an operator shows to be one; see `key_file`
//! DIR/secrets.key      what secrets are sealed under, once there is one
//! ```
//!
//! It knows nothing of what stands in tree and blobs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::store::dying::SCRATCH_FILE;

/// What this version writes. Raise it with every change of what stands on disk, a mere addition included,
/// and keep reading the old one.
const FORMAT: u32 = 1;

const LOCK_FILE: &str = "LOCK";
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_FILE_NEW: &str = "FORMAT.new";

/// A data directory that this process holds; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates the directory if need be, locks it and checks its format.
    ///
    /// The process dies before `FORMAT` is in place: the directory is as good as empty, and the next open begins anew.
    /// After: it is ours.
    pub(super) fn open(path: &Path) -> Result<Self> {
        create_synced(path)?;
        // `FORMAT` comes before anything else of ours, so look for it after the rest was listed.
        let others = others_in(path)?;
        let format_file = path.join(FORMAT_FILE);
        if let (Some(other), false) = (others, format_file.exists()) {
            let message = format!("{} holds {other:?} and no store; use an empty or a new directory", path.display());
            return Err(Error::new(Code::DataDirNotOurs, message));
        }
        let lock = locked(path)?;
        let dir = DataDir { path: path.to_owned(), lock };
        match fs::read_to_string(&format_file) {
            Ok(text) => check_format(&format_file, &text)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => write_format(path)?,
            Err(e) => return Err(unavailable("read", &format_file, &e)),
        }
        dir.write_lock(None)?;
        Ok(dir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes who holds the directory, for the one who finds it held.
    pub(super) fn write_lock(&self, note: Option<&str>) -> Result<()> {
        let one_line = note.unwrap_or("").chars().map(|c| if c.is_control() { ' ' } else { c });
        let note: String = one_line.take(limits::LOCK_NOTE_CHARS_MAX).collect();
        let text = format!("pid {}\n{note}\n", std::process::id());
        let mut file = &self.lock;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        written.map_err(|e| unavailable("write", &self.path.join(LOCK_FILE), &e))
    }
}

/// Something in `dir` that is not part of opening it for the first time.
fn others_in(dir: &Path) -> Result<Option<String>> {
    for entry in fs::read_dir(dir).map_err(|e| unavailable("list", dir, &e))? {
        let name = entry.map_err(|e| unavailable("list", dir, &e))?.file_name().to_string_lossy().into_owned();
        // An ext4 volume mounted for the data has `lost+found` in its root, and an operator grants before the first start.
        if ![LOCK_FILE, FORMAT_FILE, FORMAT_FILE_NEW, SCRATCH_FILE, "lost+found", "reprise.toml"].contains(&name.as_str()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn locked(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(|e| unavailable("open", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(e)) => Err(unavailable("lock", &path, &e)),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Who holds it may be writing its name just now; then there is none to tell.
            let _ = file.read_to_string(&mut text);
            let mut lines = text.lines();
            let pid = lines.next().and_then(|line| line.strip_prefix("pid ")).and_then(|pid| pid.parse::<u32>().ok());
            let note = lines.next().filter(|note| !note.is_empty());
            let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            let note_text = note.map_or_else(String::new, |note| format!(" ({note})"));
            let message = format!("{} is in use by {who}{note_text}; stop it or use another directory", dir.display());
            Err(Error::new(Code::DataDirInUse, message).with_details(serde_json::json!({ "pid": pid, "note": note })))
        }
    }
}

fn check_format(path: &Path, text: &str) -> Result<()> {
    match text.trim_end().strip_prefix("format ").and_then(|number| number.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => {
            let message = format!("{} is of format {newer}; this version reads up to {FORMAT}: use a newer one", path.display());
            Err(Error::new(Code::DataDirTooNew, message).with_details(serde_json::json!({ "found": newer, "known": FORMAT })))
        }
        _ => Err(Error::new(Code::DataCorrupt, format!("{} says {text:?}; it should say \"format {FORMAT}\"", path.display()))),
    }
}

fn write_format(dir: &Path) -> Result<()> {
    let (new, path) = (dir.join(FORMAT_FILE_NEW), dir.join(FORMAT_FILE));
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(format!("format {FORMAT}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    written.map_err(|e| unavailable("write", &path, &e))?;
    sync_dir(dir)
}

/// Creates a directory and what is missing above it, each of them synced into its parent.
fn create_synced(dir: &Path) -> Result<()> {
    let dir = std::path::absolute(dir).map_err(|e| unavailable("find", dir, &e))?;
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made.map_err(|e| unavailable("create", dir, &e))?,
        }
        dir.parent().map_or(Ok(()), sync_dir)?;
    }
    Ok(())
}

/// Makes the names in `dir` survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| unavailable("sync", dir, &e))
}

/// The disk refused to do this to that path.
pub(super) fn unavailable(verb: &str, path: &Path, e: &io::Error) -> Error {
    Error::new(Code::StoreUnavailable, format!("cannot {verb} {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_open_makes_the_directory_with_all_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        let held = DataDir::open(&path).unwrap();
        assert_eq!(held.path(), path);
        assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "format 1\n");
        assert_eq!(fs::read_to_string(path.join("LOCK")).unwrap(), format!("pid {}\n\n", std::process::id()));
    }

    #[test]
    fn the_second_to_open_it_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert_eq!(error.code, Code::DataDirInUse);
        assert!(error.message.contains(&format!("process {};", std::process::id())), "{error}");
        held.write_lock(Some("serving\non 127.0.0.1:7480")).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(error.message.contains("(serving on 127.0.0.1:7480)"), "{error}");
        assert_eq!(error.details.unwrap()["pid"], std::process::id());
        drop(held);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn what_is_not_ours_newer_or_damaged_is_refused_with_its_code() {
        for (file, text, code, says) in [
            ("package.json", "{}", Code::DataDirNotOurs, "package.json"),
            ("reprise.toml.orig", "", Code::DataDirNotOurs, "reprise.toml.orig"),
            ("FORMAT", "format 2\n", Code::DataDirTooNew, "format 2; this version reads up to 1"),
            ("FORMAT", "format 0\n", Code::DataCorrupt, "format 0"),
            ("FORMAT", "", Code::DataCorrupt, "should say \"format 1\""),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(file), text).unwrap();
            let error = DataDir::open(dir.path()).unwrap_err();
            assert_eq!(error.code, code, "{file} {text:?}: {error}");
            assert!(error.message.contains(says) && error.message.contains(dir.path().to_str().unwrap()), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), text, "it is left as it was");
        }
    }

    #[test]
    fn a_first_open_that_was_cut_short_or_prepared_by_the_operator_goes_through() {
        for left in [&["LOCK"][..], &["LOCK", "FORMAT.new"], &["lost+found"], &["reprise.toml"]] {
            let dir = tempfile::tempdir().unwrap();
            for file in left {
                fs::write(dir.path().join(file), "").unwrap();
            }
            DataDir::open(dir.path()).unwrap();
        }
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [&file, &file.join("below"), Path::new("/proc/reprise")] {
            let error = DataDir::open(path).unwrap_err();
            assert_eq!(error.code, Code::StoreUnavailable);
            assert!(error.message.contains(path.to_str().unwrap()), "{error}");
            assert!(error.message.contains("os error"), "{error}");
        }
    }
}
