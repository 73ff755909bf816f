//! Keys of the key-value spaces: each value, and how full each space is.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;

/// Names the value that stands under a key in a space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KvKey {
    /// As a grant names it.
    pub space: String,
    /// Any text.
    pub key: String,
}

impl KvKey {
    /// The keys of a space that begin with this text, in the order of their bytes.
    #[must_use]
    pub fn beginning(space: &str, text: &str) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).text(space).bytes(text.as_bytes()))
    }
}

impl Key for KvKey {
    const KIND: Kind = Kind::Kv;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).text(&self.space).bytes(self.key.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = KvKey { space: fields.text()?.to_owned(), key: fields.last_text()?.to_owned() };
        fields.end(key)
    }
}

/// Names the row that says how full a space is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KvSpaceKey {
    /// As a grant names it.
    pub space: String,
}

impl Key for KvSpaceKey {
    const KIND: Kind = Kind::KvSpace;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).text(&self.space).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = KvSpaceKey { space: fields.text()?.to_owned() };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{check, check_prefix};
    use super::*;

    fn any_key() -> impl Strategy<Value = KvKey> {
        ("[a-b.]{1,2}", prop_oneof!["[a-b]{0,3}", "[!-~é漢😀 ]{0,12}"]).prop_map(|(space, key)| KvKey { space, key })
    }

    proptest! {
        #[test]
        fn keys_of_a_space_come_back_and_sort_by_their_bytes(a in any_key(), b in any_key(), begin in "[a-b]{0,2}") {
            check(&a, &b, |k| (k.space.clone(), k.key.clone()));
            check_prefix(&KvKey::beginning(&a.space, &begin), &b, a.space == b.space && b.key.starts_with(&begin));
            let full = |key: &KvKey| KvSpaceKey { space: key.space.clone() };
            check(&full(&a), &full(&b), |k| k.space.clone());
        }
    }
}
