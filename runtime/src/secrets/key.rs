//! The file with the key under which secrets are sealed.
//!
//! `DIR/secrets.key`: 32 random bytes as 64 hex digits and a line feed, readable by its owner alone. It is made when the first
//! secret is set, and never changed from then on. The rule that must stay true: a key that others could have read is not used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::OsRng;
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{Code, Error, Result};

/// Its name within the data directory.
pub const KEY_FILE_NAME: &str = "secrets.key";

/// Written first, and renamed once it is whole.
const UNFINISHED: &str = "secrets.key.new";

/// Where the key lies, and what else is said of it.
pub(super) struct KeyFile {
    directory: PathBuf,
}

impl KeyFile {
    pub(super) fn in_directory(directory: &Path) -> KeyFile {
        KeyFile { directory: directory.to_owned() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(KEY_FILE_NAME)
    }

    /// The cipher under the key; none where there is no file.
    ///
    /// # Errors
    /// `secrets_locked` where it is not a key, or may be read by others; `store_unavailable` where the disk refuses.
    pub(super) fn read(&self) -> Result<Option<XChaCha20Poly1305>> {
        let path = self.path();
        let mode = match fs::symlink_metadata(&path) {
            Ok(file) => file.mode(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(refused("read", &path, &e)),
        };
        let locked = |why: String| Error::new(Code::SecretsLocked, format!("{} {why}", path.display()));
        if mode & 0o170_000 != 0o100_000 {
            return Err(locked("is not a regular file; put the file with the key there itself".to_owned()));
        }
        if mode & 0o077 != 0 {
            let why = format!("has mode {:04o}, so others than its owner may use it; set it to 0600 (chmod 600)", mode & 0o7777);
            return Err(locked(why));
        }
        let text = Zeroizing::new(fs::read(&path).map_err(|e| refused("read", &path, &e))?);
        let mut key = Zeroizing::new([0; 32]);
        let digits = text.strip_suffix(b"\n").unwrap_or(&text);
        hex::decode_to_slice(digits, key.as_mut_slice()).map_err(|_| {
            locked("does not hold 64 hex digits, so it is not a key; put the right file there, or remove it and all secrets".to_owned())
        })?;
        Ok(Some(XChaCha20Poly1305::new(Key::from_slice(key.as_slice()))))
    }

    /// Makes a key.
    ///
    /// The process dies before the rename: there is no key, and the next attempt begins anew. After: this is the key. No secret is
    /// sealed under it before this returns.
    ///
    /// # Errors
    /// `store_unavailable` where the disk refuses.
    pub(super) fn make(&self) -> Result<XChaCha20Poly1305> {
        let (new, path) = (self.directory.join(UNFINISHED), self.path());
        let mut key = XChaCha20Poly1305::generate_key(&mut OsRng);
        let mut text = Zeroizing::new(hex::encode(key));
        text.push('\n');
        let written = (|| {
            match fs::remove_file(&new) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()
        })();
        let cipher = XChaCha20Poly1305::new(&key);
        key.as_mut_slice().zeroize();
        written.map_err(|e| refused("write", &path, &e))?;
        Ok(cipher)
    }
}

fn refused(verb: &str, path: &Path, e: &io::Error) -> Error {
    Error::new(Code::StoreUnavailable, format!("cannot {verb} {}: {e}", path.display()))
}
