//! Keys of grants that an operator put into the store.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;

/// Names the row of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantKey {
    /// The grant's name.
    pub name: String,
}

impl GrantKey {
    /// All grants, in the order of their names.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for GrantKey {
    const KIND: Kind = Kind::Grant;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).text(&self.name).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = GrantKey { name: fields.text()?.to_owned() };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn grant_keys_come_back_and_sort_by_name(a in any_id(), b in any_id()) {
            let (a, b) = (GrantKey { name: a }, GrantKey { name: b });
            check(&a, &b, |key| key.name.clone());
            check_prefix(&GrantKey::all(), &a, true);
        }
    }
}
