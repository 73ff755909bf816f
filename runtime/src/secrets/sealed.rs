//! A secret as it lies on disk.
//!
//! ```text
//! 1             the form of this row
//! created_ms    8 bytes, big-endian
//! updated_ms    8 bytes, big-endian
//! nonce         24 random bytes, new at every setting
//! sealed        the value under XChaCha20-Poly1305, with the secret's name as associated data; 16 bytes longer than it
//! ```
//!
//! So a row cannot be moved under another name, and one that was changed does not open.

use chacha20poly1305::aead::{Aead as _, OsRng, Payload};
use chacha20poly1305::{AeadCore as _, Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::ids::SecretName;
use crate::store::KeyFile;

const FORM: u8 = 1;
const NONCE_BYTES: usize = 24;
/// What Poly1305 adds.
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + 8 + 8 + NONCE_BYTES;

/// A row, without what it hides.
pub(super) struct Sealed {
    pub(super) created_ms: u64,
    pub(super) updated_ms: u64,
    nonce: [u8; NONCE_BYTES],
    sealed: Vec<u8>,
}

impl Sealed {
    pub(super) fn seal(key: &KeyFile, name: &SecretName, value: &str, created_ms: u64, updated_ms: u64) -> Result<Sealed> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: value.as_bytes(), aad: name.as_str().as_bytes() };
        let sealed =
            cipher(key).encrypt(&nonce, payload).map_err(|_| Error::new(Code::InternalError, "the cipher takes no secret of this size"))?;
        Ok(Sealed { created_ms, updated_ms, nonce: nonce.into(), sealed })
    }

    /// The value; none where the key is another one, or the row is not what was written.
    pub(super) fn open(&self, key: &KeyFile, name: &SecretName) -> Option<Zeroizing<String>> {
        let payload = Payload { msg: &self.sealed, aad: name.as_str().as_bytes() };
        let mut bytes = Zeroizing::new(cipher(key).decrypt(XNonce::from_slice(&self.nonce), payload).ok()?);
        let value = String::from_utf8(std::mem::take(&mut *bytes));
        // Only texts are sealed, so that there is nothing to wipe where this one is none.
        value.ok().map(Zeroizing::new)
    }

    /// Bytes of the value.
    pub(super) fn bytes(&self) -> usize {
        self.sealed.len().saturating_sub(TAG_BYTES)
    }

    pub(super) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(HEAD_BYTES + self.sealed.len());
        row.push(FORM);
        row.extend(self.created_ms.to_be_bytes());
        row.extend(self.updated_ms.to_be_bytes());
        row.extend(self.nonce);
        row.extend(&self.sealed);
        row
    }

    /// None where it is no such row.
    pub(super) fn of_row(row: &[u8]) -> Option<Sealed> {
        let (_, rest) = row.split_first().filter(|(form, _)| **form == FORM)?;
        let (created, rest) = rest.split_first_chunk()?;
        let (updated, rest) = rest.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let (created_ms, updated_ms) = (u64::from_be_bytes(*created), u64::from_be_bytes(*updated));
        Some(Sealed { created_ms, updated_ms, nonce: *nonce, sealed: sealed.to_vec() })
    }
}

fn cipher(key: &KeyFile) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(Key::from_slice(key.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_row_opens_under_its_key_and_its_name_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name = |text: &str| SecretName::parse(text).unwrap();
        let (own, other) = (store.key_file("own").unwrap(), store.key_file("other").unwrap());
        let row = Sealed::seal(&own, &name("a"), "hunter2hunter2", 1, 258).unwrap().to_row();
        let sealed = Sealed::of_row(&row).unwrap();
        assert_eq!((sealed.created_ms, sealed.updated_ms, sealed.bytes()), (1, 258, 14));
        assert_eq!(sealed.open(&own, &name("a")).unwrap().as_str(), "hunter2hunter2");
        assert!(sealed.open(&other, &name("a")).is_none(), "another key");
        assert!(sealed.open(&own, &name("b")).is_none(), "another name");
        assert!(!row.windows(8).any(|window| window == b"hunter2h"), "the value does not stand in it");
        for at in 17..row.len() {
            let mut changed = row.clone();
            changed[at] ^= 1;
            assert!(Sealed::of_row(&changed).unwrap().open(&own, &name("a")).is_none(), "byte {at} was changed");
        }
        for cut in 0..HEAD_BYTES {
            assert!(Sealed::of_row(&row[..cut]).is_none(), "cut at {cut}");
        }
        let again = Sealed::seal(&own, &name("a"), "hunter2hunter2", 1, 258).unwrap().to_row();
        assert_ne!(row, again, "the nonce is new each time");
    }
}
