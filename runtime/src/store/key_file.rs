//! A secret of the host's own, in a file beside the store that nobody but its owner may read.
//!
//! ```text
//! DIR/<name>    64 hex digits and a line feed: 32 random bytes; mode 0600
//! ```
//!
//! It knows no one's use of it. What must stay true: the bytes are in no log, error or answer, and a file that others
//! may read is no secret.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::data_dir::{sync_dir, unavailable};
use crate::error::{Code, Error, Result};
use crate::ids;

/// What others than the owner may do with a file.
const OTHERS: u32 = 0o077;

/// 32 random bytes that stay from one start to the next.
#[derive(Clone)]
pub struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<[u8; 32]>,
}

impl KeyFile {
    /// Reads the file `name` in `dir`, and makes it where there is none. Whoever calls holds the directory's lock.
    ///
    /// The process dies before the file has its name: the next one makes another. After: it stays.
    ///
    /// # Errors
    /// As [`KeyFile::read`]; `store_unavailable` where the disk refuses.
    pub(super) fn open(dir: &Path, name: &str) -> Result<KeyFile> {
        let path = dir.join(name);
        match KeyFile::read(&path) {
            Err(e) if e.code == Code::FileNotFound => {}
            read => return read,
        }
        let bytes = Zeroizing::new(ids::secret_bytes());
        let new = dir.join(format!("{name}.new"));
        let written = remove_if_there(&new).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(format!("{}\n", hex::encode(*bytes)).as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        written.map_err(|e| unavailable("write", &path, &e))?;
        sync_dir(dir)?;
        Ok(KeyFile { path, bytes })
    }

    /// Reads a file that is there.
    ///
    /// # Errors
    /// `file_not_found`; `invalid_configuration` where others may read it, or it is not what was written.
    pub fn read(path: &Path) -> Result<KeyFile> {
        let cannot = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Error::new(Code::FileNotFound, format!("there is no file {}", path.display())),
            _ => unavailable("read", path, &e),
        };
        let mode = fs::metadata(path).map_err(cannot)?.permissions().mode();
        if mode & OTHERS != 0 {
            let why = format!(
                "{} is no secret: others may use it (mode {:o}); set it to 600, or have a new one made where they may have read it",
                path.display(),
                mode & 0o777
            );
            return Err(Error::new(Code::InvalidConfiguration, why));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(cannot)?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_end(), bytes.as_mut_slice()).map_err(|_| {
            Error::new(
                Code::InvalidConfiguration,
                format!("{} does not hold 64 hex digits; put back what it held, or remove it", path.display()),
            )
        })?;
        Ok(KeyFile { path: path.to_owned(), bytes })
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// As it stands in the file, for whoever has to show it.
    #[must_use]
    pub fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(*self.bytes))
    }

    /// True where `given` is what stands in the file. Takes the same time for every text of the right length.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        let own = self.hex();
        let differing = own.bytes().zip(given.bytes()).fold(0, |differing, (own, given)| differing | (own ^ given));
        // The optimiser is not to see that it could stop at the first difference.
        own.len() == given.len() && black_box(differing) == 0
    }
}

/// Without the bytes.
impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key.new"), "left by a crash").unwrap();
        let made = KeyFile::open(dir.path(), "key").unwrap();
        let again = KeyFile::open(dir.path(), "key").unwrap();
        assert_eq!((made.bytes(), made.hex()), (again.bytes(), again.hex()));
        assert_eq!(fs::metadata(made.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(made.path()).unwrap(), format!("{}\n", *made.hex()));
        assert!(!dir.path().join("key.new").exists());
        let other = KeyFile::open(dir.path(), "other").unwrap();
        assert_ne!(other.bytes(), made.bytes());
        assert!(!format!("{made:?}").contains(made.hex().as_str()), "{made:?}");
    }

    #[test]
    fn only_the_whole_text_is_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyFile::open(dir.path(), "key").unwrap();
        let text = key.hex();
        assert!(key.is(&text));
        let flipped = |at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            String::from_utf8(bytes).unwrap()
        };
        for wrong in
            ["", &text[1..], &text[..63], &format!("{}0", *text), &text.to_uppercase().replace('0', "O"), &flipped(0), &flipped(63)]
        {
            assert!(!key.is(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_or_that_holds_something_else_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let made = KeyFile::open(dir.path(), "key").unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(made.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::open(dir.path(), "key").unwrap_err();
            assert!(error.code == Code::InvalidConfiguration && error.message.contains("is no secret"), "{error}");
        }
        fs::set_permissions(made.path(), fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(66)] {
            fs::write(made.path(), text).unwrap();
            let error = KeyFile::open(dir.path(), "key").unwrap_err();
            assert!(error.code == Code::InvalidConfiguration && error.message.contains("64 hex digits"), "{error}");
            assert_eq!(fs::read_to_string(made.path()).unwrap(), text, "it is left as it was");
        }
    }
}
