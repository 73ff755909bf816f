//! The files of a layout as a tar, and back.
//!
//! Two readers of a tar may see two things in it: a name given twice, a size in an extension, a file behind the end. So only
//! the plainest form is read: regular files with their names in their headers, each once, and nothing behind the end.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};

use super::oci::{BLOBS, INDEX_FILE, LAYOUT_FILE};
use super::{Files, broken, too_large};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::limits;

/// Of a name of ours, for whoever unpacks it.
const MODE: u32 = 0o644;

pub(super) fn write(files: &Files, path: &Path) -> Result<u64> {
    let refused = |e: std::io::Error| Error::new(Code::StoreUnavailable, format!("cannot write {}: {e}", path.display()));
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".reprise-").tempfile_in(beside).map_err(refused)?;
    let mut builder = Builder::new(BufWriter::new(temporary));
    for (name, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(MODE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_path(name).map_err(refused)?;
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).map_err(refused)?;
    }
    let mut out = builder.into_inner().map_err(refused)?;
    out.flush().map_err(refused)?;
    let temporary = out.into_inner().map_err(|e| refused(e.into_error()))?;
    let length = temporary.as_file().metadata().map_err(refused)?.len();
    readable(temporary.as_file()).map_err(refused)?;
    temporary.as_file().sync_all().map_err(refused)?;
    temporary.persist(path).map_err(|e| refused(e.error))?;
    Ok(length)
}

/// A temporary file is its owner's alone; what is handed on is as readable as any other file.
#[cfg(unix)]
fn readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(MODE))
}

#[cfg(not(unix))]
fn readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Files> {
    let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let most = limits::BUNDLE_BYTES_MAX + limits::BUNDLE_FILES_MAX as u64 * 1024;
    if length > most {
        return Err(too_large(&path.display().to_string(), length, most));
    }
    entries(BufReader::new(file).take(most))
}

/// Reads an archive from its first byte to its last.
pub(super) fn entries(reader: impl Read) -> Result<Files> {
    let not_a_tar = |e: std::io::Error| broken("archive", format!("does not read as a tar: {e}"));
    let mut archive = Archive::new(reader);
    let mut files = Files::new();
    let mut bytes = 0_u64;
    for (n, entry) in archive.entries().map_err(not_a_tar)?.raw(true).enumerate() {
        let mut entry = entry.map_err(not_a_tar)?;
        if n >= limits::BUNDLE_FILES_MAX {
            return Err(Error::new(Code::TooLarge, format!("the bundle has more than {} entries", limits::BUNDLE_FILES_MAX)));
        }
        let Some(name) = name(entry.header())? else { continue };
        let size = entry.header().entry_size().map_err(not_a_tar)?;
        bytes = bytes.saturating_add(size);
        if bytes > limits::BUNDLE_BYTES_MAX {
            return Err(too_large("the bundle", bytes, limits::BUNDLE_BYTES_MAX));
        }
        // What is reserved is what was read, not what a header promises.
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(not_a_tar)?;
        if content.len() as u64 != size {
            return Err(broken(&name, format!("the archive ends within it, after {} of {size} bytes", content.len())));
        }
        if files.insert(name.clone(), content).is_some() {
            return Err(broken(&name, "stands in the archive twice"));
        }
    }
    let mut rest = archive.into_inner();
    let mut chunk = [0; 4096];
    loop {
        match rest.read(&mut chunk).map_err(not_a_tar)? {
            0 => return Ok(files),
            n if chunk[..n].iter().all(|byte| *byte == 0) => {}
            _ => return Err(broken("archive", "something stands behind its end")),
        }
    }
}

/// The file that an entry is, by its path in the layout; none for a directory that files of the layout stand in.
fn name(header: &Header) -> Result<Option<String>> {
    let raw = header.path_bytes();
    let shown = String::from_utf8_lossy(&raw).into_owned();
    let kind = header.entry_type();
    let what = match kind {
        EntryType::Regular | EntryType::Directory => None,
        EntryType::Symlink | EntryType::Link => Some("is a link"),
        EntryType::GNUSparse => Some("is sparse"),
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink => {
            Some("is an extension of the tar format; pack it with `reprise pack`, or with `tar --format=ustar`")
        }
        _ => Some("is neither a file nor a directory"),
    };
    if let Some(what) = what {
        return Err(broken(&shown, what));
    }
    let plain = shown.strip_prefix("./").unwrap_or(&shown);
    if kind == EntryType::Directory {
        return match ["", ".", "blobs", "blobs/sha256"].contains(&plain.trim_end_matches('/')) {
            true => Ok(None),
            false => Err(broken(&shown, "is a directory that a bundle does not have")),
        };
    }
    match is_ours(plain) {
        true => Ok(Some(plain.to_owned())),
        false => Err(broken(&shown, wrong_path(plain))),
    }
}

/// True for the paths that files of a layout have, and no others.
pub(super) fn is_ours(path: &str) -> bool {
    [LAYOUT_FILE, INDEX_FILE].contains(&path) || path.strip_prefix(BLOBS).is_some_and(|name| Digest::parse(name).is_some())
}

pub(super) fn wrong_path(path: &str) -> &'static str {
    match path {
        path if path.starts_with('/') => "is an absolute path",
        path if path.split(['/', '\\']).any(|part| part == "..") => "leads out of the bundle",
        _ => "is no file of a bundle; it has oci-layout, index.json and blobs/sha256/DIGEST",
    }
}
