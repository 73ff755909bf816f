//! Keys of playbooks, their versions, and what made these.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::{Digest, PlaybookId, Space};

/// Names the row of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlaybookKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
}

impl PlaybookKey {
    /// All playbooks of a space, in the order of their ids.
    #[must_use]
    pub fn of_space(space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space))
    }
}

impl Key for PlaybookKey {
    const KIND: Kind = Kind::Playbook;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = PlaybookKey { space: fields.space()?, playbook_id: fields.parsed(PlaybookId::parse)? };
        fields.end(key)
    }
}

/// Names the row of one version of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// Which version of it.
    pub version: u32,
}

impl VersionKey {
    /// All versions of a playbook, the first one first.
    #[must_use]
    pub fn of_playbook(space: &Space, playbook_id: &PlaybookId) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(playbook_id.as_str()))
    }
}

impl Key for VersionKey {
    const KIND: Kind = Kind::Version;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str()).bytes(&self.version.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let (space, playbook_id) = (fields.space()?, fields.parsed(PlaybookId::parse)?);
        let key = VersionKey { space, playbook_id, version: u32::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

/// Names the row that says which version of a playbook a content made, so that a repeat finds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// Of what makes two versions the same.
    pub content: Digest,
}

impl Key for ContentKey {
    const KIND: Kind = Kind::Content;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str()).bytes(self.content.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let (space, playbook_id) = (fields.space()?, fields.parsed(PlaybookId::parse)?);
        let key = ContentKey { space, playbook_id, content: Digest::from_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, any_space, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = VersionKey> {
        (any_space(), any_id(), prop_oneof![0..3u32, any::<u32>()]).prop_map(|(space, id, version)| VersionKey {
            space,
            playbook_id: PlaybookId::parse(&id).unwrap(),
            version,
        })
    }

    fn any_content() -> impl Strategy<Value = ContentKey> {
        // A byte that ends a text stands first now and then.
        let bytes = (prop_oneof![Just(0), any::<u8>()], any::<[u8; 31]>()).prop_map(|(first, rest)| {
            let mut bytes = [first; 32];
            bytes[1..].copy_from_slice(&rest);
            bytes
        });
        (any_space(), any_id(), bytes).prop_map(|(space, id, bytes)| ContentKey {
            space,
            playbook_id: PlaybookId::parse(&id).unwrap(),
            content: Digest::from_bytes(bytes),
        })
    }

    fn text(space: &Space, id: &PlaybookId) -> (String, String, String) {
        (space.tenant().to_owned(), space.scope().to_owned(), id.as_str().to_owned())
    }

    proptest! {
        #[test]
        fn playbook_and_version_keys_come_back_and_sort_as_their_fields(a in any_version(), b in any_version()) {
            check(&a, &b, |k| (text(&k.space, &k.playbook_id), k.version));

            let of = |k: &VersionKey| PlaybookKey { space: k.space.clone(), playbook_id: k.playbook_id.clone() };
            check(&of(&a), &of(&b), |k| text(&k.space, &k.playbook_id));
            check_prefix(&PlaybookKey::of_space(&a.space), &of(&a), true);
            check_prefix(&PlaybookKey::of_space(&a.space), &of(&b), a.space == b.space);
        }

        #[test]
        fn content_keys_come_back_and_sort_as_their_fields(a in any_content(), b in any_content()) {
            check(&a, &b, |k| (text(&k.space, &k.playbook_id), *k.content.as_bytes()));
        }
    }
}
