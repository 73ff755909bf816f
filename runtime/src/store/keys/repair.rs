//! Keys of repairs.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::{PlaybookId, Space};

/// Names the row of a repair, by the version that it made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepairKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The version that the repair made.
    pub version: u32,
}

impl RepairKey {
    /// All repairs of a space, in the order of playbooks and versions.
    #[must_use]
    pub fn of_space(space: &Space) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space))
    }

    /// All repairs of a playbook, the first one first.
    #[must_use]
    pub fn of_playbook(space: &Space, playbook_id: &PlaybookId) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(playbook_id.as_str()))
    }
}

impl Key for RepairKey {
    const KIND: Kind = Kind::Repair;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str()).bytes(&self.version.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let (space, playbook_id) = (fields.space()?, fields.parsed(PlaybookId::parse)?);
        let key = RepairKey { space, playbook_id, version: u32::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, any_space, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    fn any_repair() -> impl Strategy<Value = RepairKey> {
        (any_space(), any_id(), prop_oneof![0..3u32, any::<u32>()]).prop_map(|(space, id, version)| RepairKey {
            space,
            playbook_id: PlaybookId::parse(&id).unwrap(),
            version,
        })
    }

    proptest! {
        #[test]
        fn repair_keys_come_back_and_sort_as_their_fields(a in any_repair(), b in any_repair()) {
            let text = |k: &RepairKey| (k.space.tenant().to_owned(), k.space.scope().to_owned(), k.playbook_id.as_str().to_owned());
            check(&a, &b, |k| (text(k), k.version));
            check_prefix(&RepairKey::of_space(&a.space), &b, a.space == b.space);
            check_prefix(&RepairKey::of_playbook(&a.space, &a.playbook_id), &b, text(&a) == text(&b));
        }
    }
}
