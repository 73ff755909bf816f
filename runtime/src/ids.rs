//! Names of things, parsed once at the edge. Behind it a `RunId` is a `RunId`, not a string.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Error, Result};
use crate::limits;

/// True for what a person can see and a path segment can carry: no control, space or invisible
/// character, no `/`. The invisible ones are Unicode's zero-width, bidi and tag characters.
fn visible(c: char) -> bool {
    c != '/' && !c.is_control() && !c.is_whitespace() && !is_invisible(c)
}

/// True for characters that show nothing, or change how others are shown.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Checks a client's id; `path` says where it stood.
fn checked(path: &str, text: &str) -> Result<()> {
    let n = text.chars().count();
    if n == 0 || n > limits::ID_CHARS_MAX {
        return Err(Error::invalid(path, format!("{n} characters; an id has 1 to {}", limits::ID_CHARS_MAX)));
    }
    match text.chars().find(|c| !visible(*c)) {
        Some(c) => Err(Error::invalid(path, format!("character {c:?} is not allowed; an id has visible characters without \"/\""))),
        None => Ok(()),
    }
}

/// An id that a client may choose.
macro_rules! client_id {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// 1 to 128 visible characters without `/`.
            ///
            /// # Errors
            /// `invalid_request` that names the field and what is wrong.
            pub fn parse(text: &str) -> Result<Self> {
                checked(concat!("/", $field), text)?;
                Ok(Self(text.to_owned()))
            }

            /// A new one, ordered by time of making (UUID version 7).
            #[must_use]
            pub fn fresh() -> Self { Self(fresh_uuid().to_string()) }

            /// The one that follows from `parts`: the same parts give the same id, so that a
            /// repeated request without an id of its own finds what the first one made.
            #[must_use]
            pub fn derived(parts: &[&[u8]]) -> Self { Self(derived_uuid(concat!("reprise:", $field), parts).to_string()) }

            /// As the client wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text).map_err(|e| serde::de::Error::custom(e.message))
            }
        }
    };
}

client_id!(
    /// Names a recorded run within a [`Space`].
    RunId, "run_id");
client_id!(
    /// Names a step within a run.
    StepId, "step_id");
client_id!(
    /// Names a playbook within a [`Space`].
    PlaybookId, "playbook_id");

impl PlaybookId {
    /// What is wrong with it as the id of a new playbook: one that ends like a version's number is taken for that wherever a version can
    /// be named, and one that is all dots for a place in a path. Where such a one is stored, it stays what it is.
    #[must_use]
    pub fn unfit_as_new(&self) -> Option<String> {
        if matches!(self.0.as_str(), "." | "..") {
            return Some(format!("{:?} means a place in a path; give it a name", self.0));
        }
        let (id, number) = self.0.rsplit_once('@')?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| {
            format!("{:?} means version {number} of a playbook {id:?}; leave out @{number}: versions are numbered by themselves", self.0)
        })
    }
}

/// Names a job. Made here, ordered by time (UUID version 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(uuid::Uuid);

impl JobId {
    /// A new one.
    #[must_use]
    pub fn fresh() -> Self {
        JobId(fresh_uuid())
    }

    /// # Errors
    /// `job_not_found`: an id that is no UUID names no job.
    pub fn parse(text: &str) -> Result<Self> {
        uuid::Uuid::parse_str(text)
            .map(JobId)
            .map_err(|_| Error::new(Code::JobNotFound, format!("no job {text:?}; a job id is a UUID, see `reprise jobs list`")))
    }

    /// The 16 bytes that keys hold.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From the 16 bytes that keys hold.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        JobId(uuid::Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sixteen bytes that sort by the time of their making, each later than the one before in this process.
#[must_use]
pub fn fresh_order() -> [u8; 16] {
    *fresh_uuid().as_bytes()
}

/// A text that nobody guesses.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the module that other code is sent to")]
pub fn secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// 32 bytes that nobody guesses. Two UUIDs of version 4 hold 244 random bits; the digest spreads them.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the module that other code is sent to")]
pub fn secret_bytes() -> [u8; 32] {
    Digest::of_parts(&[uuid::Uuid::new_v4().as_bytes(), uuid::Uuid::new_v4().as_bytes()]).0
}

/// Whose it is: a tenant and a scope within it. Part of every key, so that nothing leaks across.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Space {
    tenant: String,
    scope: String,
}

impl Space {
    /// Missing parts are `default`.
    ///
    /// # Errors
    /// `invalid_tenant_id` (`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`), `invalid_scope` (1 to 256 visible
    /// characters, not beginning with `tenant:`).
    pub fn parse(tenant: Option<&str>, scope: Option<&str>) -> Result<Self> {
        let tenant = tenant.unwrap_or("default");
        let first_ok = tenant.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest_ok = tenant.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !first_ok || !rest_ok || tenant.len() > 64 {
            return Err(Error::new(
                Code::InvalidTenantId,
                format!("tenant_id {tenant:?} does not match ^[a-zA-Z0-9][a-zA-Z0-9._-]{{0,63}}$"),
            ));
        }
        let scope = scope.unwrap_or("default");
        let n = scope.chars().count();
        let visible = scope.chars().all(|c| c == '/' || visible(c));
        if n == 0 || n > limits::SCOPE_CHARS_MAX || !visible || scope.starts_with("tenant:") {
            return Err(Error::new(
                Code::InvalidScope,
                format!("scope {scope:?} is not 1 to {} visible characters without the prefix \"tenant:\"", limits::SCOPE_CHARS_MAX),
            ));
        }
        Ok(Space { tenant: tenant.to_owned(), scope: scope.to_owned() })
    }

    /// `default`/`default`.
    #[must_use]
    pub fn default_space() -> Self {
        Space { tenant: "default".to_owned(), scope: "default".to_owned() }
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The scope within the tenant.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

/// Names a secret: 1 to 64 of `A-Z a-z 0-9 . _ -`, as a grant is named, so that it can stand in a placeholder, a path and a flag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SecretName(String);

impl SecretName {
    /// Characters in a name.
    pub const CHARS_MAX: usize = 64;

    /// # Errors
    /// `invalid_request` that says what a name may hold.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !matches!(text, "." | "..");
        if fits {
            return Ok(SecretName(text.to_owned()));
        }
        // What stands where a name is expected may be the secret itself, so it is not repeated.
        Err(Error::invalid("/name", format!("cannot name a secret; a name has 1 to {} of A-Z a-z 0-9 . _ -", Self::CHARS_MAX)))
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of some bytes: the name of a blob, a component or an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// Digest of `parts`, each with its length before it, so that moving a border changes it.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Digest(hash.finalize().into())
    }

    /// From 64 lowercase hex digits; none otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        let mut all = 0;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (HEX_VALUES[usize::from(pair[0])], HEX_VALUES[usize::from(pair[1])]);
            all |= high | low;
            *byte = high << 4 | low;
        }
        (all <= 0xf).then_some(Digest(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }

    /// All zero: the digest of nothing that anyone knows.
    pub const ZERO: Digest = Digest([0; 32]);
}

/// What each lowercase hex digit stands for; 0xff for every other byte. Every entry of a journal that is resumed has a
/// digest to read, and a table has no branch that random digits would mislead.
const HEX_VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Hex;
        impl serde::de::Visitor<'_> for Hex {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 lowercase hex digits")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                Digest::parse(text).ok_or_else(|| E::custom(format!("{text:?} is not 64 lowercase hex digits")))
            }
        }
        d.deserialize_str(Hex)
    }
}

/// A new UUID version 7.
#[expect(clippy::disallowed_methods, reason = "this is the module that other code is sent to")]
pub(crate) fn fresh_uuid() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// A UUID version 8 (RFC 9562, custom) out of the SHA-256 of `parts`.
#[must_use]
pub fn derived_uuid(kind: &str, parts: &[&[u8]]) -> uuid::Uuid {
    let digest = Digest::of_parts(&[&[kind.as_bytes()], parts].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// 64 random bits for a guest that asks; the journal keeps what it got.
#[expect(clippy::disallowed_methods, reason = "this is the module that other code is sent to")]
#[must_use]
pub fn random_u64() -> u64 {
    #[cfg(test)]
    if let Some(seed) = SCRIPTED_RANDOM.get() {
        SCRIPTED_RANDOM.set(Some(seed.wrapping_add(1)));
        return u64::from_be_bytes(Digest::of(&seed.to_be_bytes()).0[..8].try_into().expect("8 of 32 bytes"));
    }
    // A UUID version 4 holds 122 random bits; the digest spreads them over the 6 fixed ones.
    let digest = Digest::of(uuid::Uuid::new_v4().as_bytes());
    u64::from_be_bytes(digest.0[..8].try_into().expect("8 of 32 bytes"))
}

#[cfg(test)]
thread_local! {
    /// The seed of this thread's next random number, where a test scripts it.
    pub(crate) static SCRIPTED_RANDOM: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_lowercase_hex_digits_and_nothing_else() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&text), Some(digest));
        assert_eq!(serde_json::from_str::<Digest>(&format!("{text:?}")).ok(), Some(digest));
        for n in 0..=255u8 {
            let repeated = format!("{n:02x}").repeat(32);
            assert_eq!(Digest::parse(&repeated), Some(Digest([n; 32])));
        }
        for wrong in [
            &text[1..],
            &format!("{text}0"),
            &text.to_uppercase(),
            &text.replace('a', "g"),
            &text.replace('a', "/"),
            &text.replace("ba", "é"),
            "",
        ] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }
}
