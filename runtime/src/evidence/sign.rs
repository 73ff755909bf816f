//! Ed25519 keys, and what they signed. It knows nothing of what is signed.

use std::fmt;
use std::path::Path;

use ed25519_dalek::Signer as _;

use crate::error::{Code, Error, Result};

/// A key that signs.
#[derive(Clone)]
pub struct Signer(ed25519_dalek::SigningKey);

impl fmt::Debug for Signer {
    /// Never the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public())
    }
}

/// The key by which a signature is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl Signer {
    /// From its 32 secret bytes.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Signer {
        Signer(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// From a file that holds them as 64 hex digits.
    ///
    /// # Errors
    /// `file_not_found`; `invalid_configuration` where it holds something else.
    pub fn read(path: &Path) -> Result<Signer> {
        let place = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| Error::new(Code::FileNotFound, format!("{place}: {e}")))?;
        let secret = bytes::<32>(text.trim());
        let wrong = || {
            Error::new(Code::InvalidConfiguration, format!("{place}: a signing key is 64 hex digits, as `openssl rand -hex 32` makes them"))
        };
        secret.map(|secret| Signer::from_bytes(&secret)).ok_or_else(wrong)
    }

    /// What others check its signatures by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of `message`, in hex.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        hex::encode(self.0.sign(message).to_bytes())
    }
}

impl PublicKey {
    /// From 64 hex digits; none where they are no key.
    #[must_use]
    pub fn parse(text: &str) -> Option<PublicKey> {
        ed25519_dalek::VerifyingKey::from_bytes(&bytes::<32>(text)?).ok().map(PublicKey)
    }

    /// True where this key signed `message` so.
    pub(super) fn signed(&self, message: &[u8], signature: &str) -> bool {
        let signature = bytes::<64>(signature).map(|bytes| ed25519_dalek::Signature::from_bytes(&bytes));
        signature.is_some_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.to_bytes()))
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}
