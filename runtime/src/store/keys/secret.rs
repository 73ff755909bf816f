//! Keys of secrets.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::SecretName;

/// Names the row of a secret. Secrets are the operator's, for all tenants alike, as grants are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// The secret.
    pub name: SecretName,
}

impl SecretKey {
    /// All secrets, in the order of their names.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for SecretKey {
    const KIND: Kind = Kind::Secret;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).text(self.name.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = SecretKey { name: fields.parsed(SecretName::parse)? };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    fn any_secret() -> impl Strategy<Value = SecretKey> {
        prop_oneof!["[a-c]{1,3}", "[A-Za-z0-9_-][A-Za-z0-9._-]{0,12}"]
            .prop_map(|name| SecretKey { name: SecretName::parse(&name).unwrap() })
    }

    proptest! {
        #[test]
        fn secret_keys_come_back_and_sort_as_their_names(a in any_secret(), b in any_secret()) {
            check(&a, &b, |k| k.name.clone());
            check_prefix(&SecretKey::all(), &a, true);
        }
    }

    #[test]
    fn the_kind_on_peoples_disks_keeps_its_number() {
        assert_eq!(SecretKey { name: SecretName::parse("k").unwrap() }.encode(), b"\x12k\0");
    }
}
