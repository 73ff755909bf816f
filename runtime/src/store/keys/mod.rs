//! Typed keys over ordered bytes: one file for each kind of thing.
//!
//! Its job: say once how a key is written, so that bytes sort as the fields do and come back as they
//! went in. It does not know what a row holds.
//!
//! A key on disk, drawn byte by byte:
//!
//! ```text
//! kind (1 byte) | field | field | ...
//!   text that ends with NUL    the bytes, then 0x00 (such text never holds one)
//!   a number                   big-endian, so that it sorts by size
//!   a job's id                 its 16 bytes
//!   text that stands last      the bytes alone
//! ```
//!
//! What must stay true: bytes compare as the tuple of the fields does, and a prefix made of the first
//! fields covers exactly the keys that begin with these fields.

mod grant;
mod job;
mod kv;
mod lifecycle;
mod playbook;
mod repair;
mod tool;
mod work;
mod run;
mod secret;

use std::fmt::Debug;
use std::marker::PhantomData;

pub use self::grant::GrantKey;
pub use self::job::{EntryKey, IdempotencyKey, JobKey, StatusKey};
pub use self::kv::{KvKey, KvSpaceKey};
pub use self::lifecycle::{ConsiderKey, EvidenceKey, PolicyKey, RecordingKey};
pub use self::playbook::{ContentKey, PlaybookKey, VersionKey};
pub use self::repair::RepairKey;
pub use self::run::{AfterKey, RunHeadKey, RunKey, StepKey};
pub use self::secret::SecretKey;
pub use self::tool::{NamespaceKey, ToolVersionKey};
pub use self::work::{ApprovalKey, ClaimKey, ExternalKey, MailKey, TimerKey, WorkerKey};

use crate::error::{Code, Error, Result};
use crate::ids::{JobId, Space};

/// The first byte of every key.
///
/// These numbers are on people's disks. **Never change one, never give one a second life**; a new
/// kind of key takes the next free number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`RunKey`]
    Run = 1,
    /// [`RunHeadKey`]
    RunHead = 2,
    /// [`StepKey`]
    Step = 3,
    /// [`AfterKey`]
    After = 4,
    /// [`PlaybookKey`]
    Playbook = 5,
    /// [`VersionKey`]
    Version = 6,
    /// [`JobKey`]
    Job = 7,
    /// [`EntryKey`]
    Entry = 8,
    /// [`StatusKey`]
    Status = 9,
    /// [`IdempotencyKey`]
    Idempotency = 10,
    /// [`ContentKey`]
    Content = 11,
    /// [`MailKey`]
    Mail = 12,
    /// [`TimerKey`]
    Timer = 13,
    /// [`ApprovalKey`]
    Approval = 14,
    /// [`ExternalKey`]
    External = 15,
    /// [`ClaimKey`]
    Claim = 16,
    /// [`WorkerKey`]
    Worker = 17,
    /// [`SecretKey`]
    Secret = 18,
    /// [`GrantKey`]
    Grant = 19,
    /// [`KvKey`]
    Kv = 20,
    /// [`NamespaceKey`]
    Namespace = 21,
    /// [`ToolVersionKey`]
    ToolVersion = 22,
    /// [`KvSpaceKey`]
    KvSpace = 23,
    /// [`EvidenceKey`]
    Evidence = 24,
    /// [`ConsiderKey`]
    Consider = 25,
    /// [`RepairKey`]
    Repair = 26,
    /// [`PolicyKey`]
    Policy = 27,
    /// [`RecordingKey`]
    Recording = 28,
}

/// What whoever watches a key watches: the row itself, and of mail all that there is for the job.
pub(super) fn topic(key: &[u8]) -> &[u8] {
    match key.first() {
        Some(kind) if *kind == Kind::Mail as u8 => &key[..key.len() - 16],
        _ => key,
    }
}

/// The name of one row.
pub trait Key: Sized + Clone + Debug {
    /// The first byte of all keys of this type.
    const KIND: Kind;

    /// The bytes that stand in the tree.
    fn encode(&self) -> Vec<u8>;

    /// The key that [`Key::encode`] made these bytes of.
    ///
    /// # Errors
    /// `data_corrupt` where the bytes are no such key.
    fn decode(bytes: &[u8]) -> Result<Self>;
}

/// All keys of one type that begin with the same fields. Made by constructors on the keys.
#[derive(Debug, Clone)]
pub struct Prefix<K> {
    bytes: Vec<u8>,
    of: PhantomData<fn() -> K>,
}

impl<K: Key> Prefix<K> {
    fn new(fields: Fields) -> Self {
        Prefix { bytes: fields.0, of: PhantomData }
    }

    /// What every key of the prefix begins with.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first bytes after all keys of the prefix.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut end = self.bytes.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        unreachable!("the first byte is a kind, and no kind is 255")
    }
}

/// Writes a key's fields in their order.
struct Fields(Vec<u8>);

impl Fields {
    fn of(kind: Kind) -> Self {
        Fields(vec![kind as u8])
    }

    fn text(mut self, text: &str) -> Self {
        debug_assert!(!text.contains('\0'), "ids and spaces hold no NUL: {text:?}");
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn space(self, space: &Space) -> Self {
        self.text(space.tenant()).text(space.scope())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a key's fields in their order.
struct Reader<'a> {
    kind: Kind,
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn of(kind: Kind, bytes: &'a [u8]) -> Result<Self> {
        match bytes.split_first() {
            Some((first, rest)) if *first == kind as u8 => Ok(Reader { kind, whole: bytes, rest }),
            _ => Err(Reader { kind, whole: bytes, rest: bytes }.corrupt("begins with another kind")),
        }
    }

    fn text(&mut self) -> Result<&'a str> {
        let end = self.rest.iter().position(|b| *b == 0).ok_or_else(|| self.corrupt("a text does not end"))?;
        let (text, rest) = (&self.rest[..end], &self.rest[end + 1..]);
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| self.corrupt("a text is not UTF-8"))
    }

    /// An id or another text with a rule of its own.
    fn parsed<T>(&mut self, parse: fn(&str) -> Result<T>) -> Result<T> {
        let text = self.text()?;
        parse(text).map_err(|e| self.corrupt(&e.message))
    }

    fn space(&mut self) -> Result<Space> {
        let (tenant, scope) = (self.text()?, self.text()?);
        Space::parse(Some(tenant), Some(scope)).map_err(|e| self.corrupt(&e.message))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| self.corrupt("a field is cut short"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn job_id(&mut self) -> Result<JobId> {
        Ok(JobId::from_bytes(self.bytes()?))
    }

    fn last_text(&mut self) -> Result<&'a str> {
        let rest = std::mem::take(&mut self.rest);
        std::str::from_utf8(rest).map_err(|_| self.corrupt("a text is not UTF-8"))
    }

    /// `key`, if nothing stands after its last field.
    fn end<K>(self, key: K) -> Result<K> {
        if self.rest.is_empty() { Ok(key) } else { Err(self.corrupt("bytes stand after the last field")) }
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::new(Code::DataCorrupt, format!("{} is no {:?} key: {what}", hex::encode(self.whole), self.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Digest, PlaybookId, RunId};
    use proptest::prelude::*;

    /// Text as ids have it: visible, any alphabet, short enough for two to share a beginning.
    pub(super) fn any_id() -> impl Strategy<Value = String> {
        prop_oneof!["[a-c]{1,3}", "[!-.0-~é漢😀]{1,12}"]
    }

    pub(super) fn any_space() -> impl Strategy<Value = Space> {
        ("[a-c0][a-c.]{0,2}", any_id())
            .prop_filter_map("a scope does not begin with `tenant:`", |(tenant, scope)| Space::parse(Some(&tenant), Some(&scope)).ok())
    }

    /// Holds a kind of key to its two promises, on two keys that may be near each other.
    pub(super) fn check<K: Key + PartialEq, F: Ord>(a: &K, b: &K, fields: impl Fn(&K) -> F) {
        for key in [a, b] {
            let bytes = key.encode();
            assert_eq!(bytes[0], K::KIND as u8);
            assert_eq!(&K::decode(&bytes).unwrap(), key, "a key comes back as it went in");
            for cut in 0..bytes.len() {
                // A shorter text of its own may stand last; everything else must not decode.
                assert!(K::decode(&bytes[..cut]).is_err() || matches!(K::KIND, Kind::Idempotency | Kind::Kv), "{key:?} cut at {cut}");
            }
        }
        assert_eq!(a.encode().cmp(&b.encode()), fields(a).cmp(&fields(b)), "bytes sort as the fields do: {a:?} {b:?}");
    }

    /// A prefix covers exactly the keys for which `inside` holds.
    pub(super) fn check_prefix<K: Key>(prefix: &Prefix<K>, key: &K, inside: bool) {
        let bytes = key.encode();
        let covered = bytes.as_slice() >= prefix.bytes() && bytes < prefix.end();
        assert_eq!(covered, inside, "{prefix:?} and {key:?}");
        assert_eq!(bytes.starts_with(prefix.bytes()), inside);
    }

    #[test]
    fn the_kinds_on_peoples_disks_keep_their_numbers() {
        let space = Space::default_space();
        let (run_id, job_id) = (RunId::parse("r").unwrap(), JobId::from_bytes([7; 16]));
        let playbook_id = PlaybookId::parse("p").unwrap();
        let step_id = crate::ids::StepId::parse("s").unwrap();
        let hex = |bytes: Vec<u8>| hex::encode(bytes);
        let (default, job) = ("64656661756c740064656661756c7400", "07".repeat(16));
        assert_eq!(hex(RunKey { space: space.clone(), run_id: run_id.clone() }.encode()), format!("01{default}7200"));
        assert_eq!(hex(RunHeadKey { space: space.clone(), run_id: run_id.clone() }.encode()), format!("02{default}7200"));
        let step = StepKey { space: space.clone(), run_id: run_id.clone(), step_id: step_id.clone() };
        assert_eq!(hex(step.encode()), format!("03{default}72007300"));
        assert_eq!(hex(AfterKey { space: space.clone(), run_id, step_id }.encode()), format!("04{default}72007300"));
        assert_eq!(hex(PlaybookKey { space: space.clone(), playbook_id: playbook_id.clone() }.encode()), format!("05{default}7000"));
        let component = Digest::from_bytes([0; 32]);
        let evidence = EvidenceKey { space: space.clone(), playbook_id: playbook_id.clone(), component, id: [1; 16] };
        assert_eq!(hex(evidence.encode()), format!("18{default}7000{}{}", "00".repeat(32), "01".repeat(16)));
        let shown = RecordingKey {
            space: space.clone(),
            playbook_id: playbook_id.clone(),
            component,
            rehearsed: true,
            run_id: RunId::parse("r").unwrap(),
        };
        assert_eq!(hex(shown.encode()), format!("1c{default}7000{}017200", "00".repeat(32)));
        assert_eq!(hex(ConsiderKey { space: space.clone(), playbook_id: playbook_id.clone() }.encode()), format!("19{default}7000"));
        let policy = |playbook_id| PolicyKey { space: space.clone(), playbook_id };
        assert_eq!(hex(policy(Some(playbook_id.clone())).encode()), format!("1b{default}7000"));
        assert_eq!(hex(policy(None).encode()), format!("1b{default}00"));
        let content = ContentKey { space: space.clone(), playbook_id: playbook_id.clone(), content: Digest::from_bytes([0; 32]) };
        assert_eq!(hex(content.encode()), format!("0b{default}7000{}", "00".repeat(32)));
        assert_eq!(hex(VersionKey { space: space.clone(), playbook_id, version: 258 }.encode()), format!("06{default}700000000102"));
        let of_repair = RepairKey { space: space.clone(), playbook_id: PlaybookId::parse("p").unwrap(), version: 258 };
        assert_eq!(hex(of_repair.encode()), format!("1a{default}700000000102"));
        assert_eq!(hex(JobKey { space: space.clone(), job_id }.encode()), format!("07{default}{job}"));
        assert_eq!(hex(EntryKey { job_id, seq: 258 }.encode()), format!("08{job}0000000000000102"));
        assert_eq!(hex(StatusKey { status: 3, space: space.clone(), job_id }.encode()), format!("0903{default}{job}"));
        assert_eq!(hex(IdempotencyKey { space, key: "k".to_owned() }.encode()), format!("0a{default}6b"));
        assert_eq!(hex(KvKey { space: "s".to_owned(), key: "k".to_owned() }.encode()), "1473006b");
        assert_eq!(hex(KvSpaceKey { space: "s".to_owned() }.encode()), "177300");
        assert_eq!(hex(NamespaceKey { namespace: "n".to_owned() }.encode()), "156e00");
        assert_eq!(hex(ToolVersionKey { namespace: "n".to_owned(), version: 258 }.encode()), "166e0000000102");
        assert_eq!(hex(GrantKey { name: "g".to_owned() }.encode()), "136700");
    }

    #[test]
    fn bytes_that_are_no_key_are_refused_with_what_is_wrong() {
        for (bytes, what) in [
            (&b""[..], "another kind"),
            (b"\x02a\0b\0r\0", "another kind"),
            (b"\x01a\0b\0r", "does not end"),
            (b"\x01a\0b\0r\0x", "after the last field"),
            (b"\x01a\0b\0\xff\0", "not UTF-8"),
            (b"\x01\0b\0r\0", "tenant_id"),
            (b"\x01a\0b\0\0", "0 characters"),
        ] {
            let error = RunKey::decode(bytes).unwrap_err();
            assert_eq!(error.code, Code::DataCorrupt);
            assert!(error.message.contains(what), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn a_prefix_that_ends_in_the_highest_byte_still_ends() {
        let prefix = EntryKey::of_job(&JobId::from_bytes([0xff; 16]));
        assert_eq!(prefix.end(), [9]);
    }
}
