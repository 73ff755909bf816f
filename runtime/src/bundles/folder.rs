//! The files of a layout as a directory, and back.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::archive::{is_ours, wrong_path};
use super::oci::BLOBS;
use super::{Files, broken, too_large};
use crate::error::{Code, Error, Result};
use crate::limits;

pub(super) fn write(files: &Files, path: &Path) -> Result<u64> {
    let refused = |e: io::Error| Error::new(Code::StoreUnavailable, format!("cannot write {}: {e}", path.display()));
    if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::invalid("--dir", format!("{} is not empty; name a directory that is, or is not there", path.display())));
    }
    fs::create_dir_all(path.join(BLOBS)).map_err(refused)?;
    for (name, bytes) in files {
        fs::write(path.join(name), bytes).map_err(refused)?;
    }
    Ok(files.values().map(|file| file.len() as u64).sum())
}

pub(super) fn read(path: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut bytes = 0;
    // Three levels, each with its name: whatever else stands in them is found, and nothing deeper is looked for.
    for (level, inner) in [("", "blobs"), ("blobs/", "sha256"), (BLOBS, "")] {
        take(path, level, inner, &mut files, &mut bytes)?;
    }
    Ok(files)
}

/// The files of one directory, but for the `inner` one.
fn take(top: &Path, level: &str, inner: &str, files: &mut Files, bytes: &mut u64) -> Result<()> {
    let unreadable = |place: &Path, e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => broken(&place.display().to_string(), "is missing"),
        _ => Error::new(Code::FileNotFound, format!("cannot read {}: {e}", place.display())),
    };
    let directory = top.join(level);
    for entry in fs::read_dir(&directory).map_err(|e| unreadable(&directory, e))? {
        let path = entry.map_err(|e| unreadable(&directory, e))?.path();
        let name = format!("{level}{}", path.file_name().unwrap_or_default().to_string_lossy());
        let kind = fs::symlink_metadata(&path).map_err(|e| unreadable(&path, e))?;
        if kind.is_symlink() {
            return Err(broken(&name, "is a link"));
        }
        if kind.is_dir() && !inner.is_empty() && name == format!("{level}{inner}") {
            continue;
        }
        if !kind.is_file() || !is_ours(&name) {
            return Err(broken(&name, if kind.is_dir() { "is a directory that a bundle does not have" } else { wrong_path(&name) }));
        }
        if files.len() >= limits::BUNDLE_FILES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the bundle has more than {} files", limits::BUNDLE_FILES_MAX)));
        }
        let mut content = Vec::new();
        let left = limits::BUNDLE_BYTES_MAX - *bytes;
        File::open(&path).and_then(|file| file.take(left + 1).read_to_end(&mut content)).map_err(|e| unreadable(&path, e))?;
        *bytes += content.len() as u64;
        if *bytes > limits::BUNDLE_BYTES_MAX {
            return Err(too_large("the bundle", *bytes, limits::BUNDLE_BYTES_MAX));
        }
        files.insert(name, content);
    }
    Ok(())
}
