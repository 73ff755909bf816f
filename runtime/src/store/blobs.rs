//! Large values as files, each named by the SHA-256 of its content: `blobs/ab/cdef...`.
//!
//! Its job: when [`Blobs::put`] returns, the file survives a power cut, and it never has other content
//! than its name says. It does not know who names a blob, so it never removes one.
//!
//! The order of work is: temporary file, fsync, rename into place, fsync of the directory. So:
//!
//! | the process dies | what is left |
//! |---|---|
//! | before the rename | a temporary file; [`Blobs::open`] removes it |
//! | after it | the whole blob, named by nothing unless its row was committed: harmless |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::store::data_dir::{sync_dir, unavailable};

/// Temporary files begin with this; no shard does, as it is no hex digit.
const TEMPORARY: &str = "tmp-";

/// The blobs of one data directory.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    /// One per first byte of a digest. It is held while a blob of the shard is written, and is true once the shard's
    /// directory and all that an earlier process left in it are known to be on disk. Never held over an await.
    shards: Vec<Mutex<bool>>,
}

impl Blobs {
    /// Opens `dir`, which the caller holds locked, and removes what a dying process left half written.
    pub(super) fn open(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).map_err(|e| unavailable("create", &dir, &e))?;
        for entry in fs::read_dir(&dir).map_err(|e| unavailable("list", &dir, &e))? {
            let path = entry.map_err(|e| unavailable("list", &dir, &e))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY)) {
                fs::remove_file(&path).map_err(|e| unavailable("remove", &path, &e))?;
            }
        }
        Ok(Blobs { dir, shards: (0..=u8::MAX).map(|_| Mutex::new(false)).collect() })
    }

    /// Stores `bytes` and returns their name. Cheap where they are stored already.
    ///
    /// # Errors
    /// `store_unavailable`: the disk refused; nothing of it is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        let shard_dir = path.parent().expect("a blob's path has its shard before it");
        let mut on_disk = self.shards[usize::from(digest.as_bytes()[0])].lock().unwrap_or_else(PoisonError::into_inner);
        if !*on_disk {
            // Whatever an earlier process renamed into the shard may not have been synced before it died.
            fs::create_dir_all(shard_dir).map_err(|e| unavailable("create", shard_dir, &e))?;
            sync_dir(&self.dir)?;
            sync_dir(shard_dir)?;
            *on_disk = true;
        }
        if fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64) {
            return Ok(digest);
        }
        let temporary = self.dir.join(format!("{TEMPORARY}{digest}"));
        let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
        if let Err(e) = written {
            let _ = fs::remove_file(&temporary);
            return Err(unavailable("write", &path, &e));
        }
        sync_dir(shard_dir).inspect_err(|_| {
            // A second sync could succeed without having written anything, so nobody may find the file.
            let _ = fs::remove_file(&path);
            *on_disk = false;
        })?;
        Ok(digest)
    }

    /// The bytes of a blob, checked against its name.
    ///
    /// # Errors
    /// `data_corrupt` where it is missing or not what it was; `store_unavailable` where it cannot be read.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = fs::read(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::new(Code::DataCorrupt, format!("blob {digest} is missing: no file {}", path.display())),
            _ => unavailable("read", &path, &e),
        })?;
        if Digest::of(&bytes) != *digest {
            let message = format!("blob {digest} does not read back as it was written: {} bytes in {}", bytes.len(), path.display());
            return Err(Error::new(Code::DataCorrupt, message));
        }
        Ok(bytes)
    }

    /// Where the blob of this name is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let (shard, rest) = name.split_at(2);
        self.dir.join(shard).join(rest)
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        (dir, blobs)
    }

    #[test]
    fn a_blob_reads_back_under_the_digest_of_its_bytes() {
        let (_dir, blobs) = blobs();
        for bytes in [&b""[..], b"a", &vec![7; 300_000]] {
            assert!(!blobs.path(&Digest::of(bytes)).exists());
            let digest = blobs.put(bytes).unwrap();
            assert_eq!(digest, Digest::of(bytes));
            assert!(blobs.path(&digest).is_file());
            assert_eq!(blobs.get(&digest).unwrap(), bytes);
        }
        let a = Digest::of(b"a").to_string();
        assert!(blobs.path(&Digest::of(b"a")).ends_with(format!("blobs/{}/{}", &a[..2], &a[2..])));
    }

    #[test]
    fn what_is_stored_already_is_not_written_again() {
        let (_dir, blobs) = blobs();
        let digest = blobs.put(b"once").unwrap();
        let written = fs::metadata(blobs.path(&digest)).unwrap().modified().unwrap();
        fs::File::open(blobs.path(&digest)).unwrap().set_modified(written - std::time::Duration::from_secs(60)).unwrap();
        blobs.put(b"once").unwrap();
        assert!(fs::metadata(blobs.path(&digest)).unwrap().modified().unwrap() < written);
    }

    #[test]
    fn a_changed_missing_or_cut_blob_is_corrupt_and_a_cut_one_can_be_put_again() {
        let (_dir, blobs) = blobs();
        let digest = blobs.put(b"as it was").unwrap();
        fs::write(blobs.path(&digest), b"as it Was").unwrap();
        assert_eq!(blobs.get(&digest).unwrap_err().code, Code::DataCorrupt);
        fs::remove_file(blobs.path(&digest)).unwrap();
        assert_eq!(blobs.get(&digest).unwrap_err().code, Code::DataCorrupt);
        fs::write(blobs.path(&digest), b"as it").unwrap();
        blobs.put(b"as it was").unwrap();
        assert_eq!(blobs.get(&digest).unwrap(), b"as it was");
    }

    #[test]
    fn what_a_dying_process_left_half_written_is_gone_after_open() {
        let (dir, blobs) = blobs();
        let digest = blobs.put(b"whole").unwrap();
        let left = dir.path().join("blobs").join(format!("{TEMPORARY}{digest}"));
        fs::write(&left, b"who").unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        assert!(!left.exists());
        assert_eq!(blobs.get(&digest).unwrap(), b"whole");
    }

    #[test]
    fn a_refused_write_names_the_file_and_leaves_nothing() {
        let (dir, blobs) = blobs();
        let digest = Digest::of(b"nowhere");
        fs::write(dir.path().join("blobs").join(&digest.to_string()[..2]), b"a file where the shard should be").unwrap();
        let error = blobs.put(b"nowhere").unwrap_err();
        assert_eq!(error.code, Code::StoreUnavailable);
        assert!(error.message.contains(&digest.to_string()[..2]), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 1);
    }

    #[test]
    fn many_threads_put_the_same_and_other_blobs() {
        let (_dir, blobs) = blobs();
        std::thread::scope(|scope| {
            for thread in 0..8u8 {
                let blobs = &blobs;
                scope.spawn(move || {
                    for n in 0..20u8 {
                        let shared = blobs.put(&[n; 100]).unwrap();
                        assert_eq!(blobs.get(&shared).unwrap(), [n; 100]);
                        blobs.put(&[n, thread]).unwrap();
                    }
                });
            }
        });
    }
}
