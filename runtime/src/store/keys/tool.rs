//! Keys of uploaded tool components: one row a namespace, one a version. They are shared by all tenants.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;

/// Names the row of a namespace of tools.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamespaceKey {
    /// `payments` of `payments/refund`.
    pub namespace: String,
}

impl NamespaceKey {
    /// Every namespace, in the order of their names.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for NamespaceKey {
    const KIND: Kind = Kind::Namespace;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).text(&self.namespace).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = NamespaceKey { namespace: fields.text()?.to_owned() };
        fields.end(key)
    }
}

/// Names the row of one version of a tool component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolVersionKey {
    /// Whose version it is.
    pub namespace: String,
    /// From 1.
    pub version: u32,
}

impl ToolVersionKey {
    /// All versions of a namespace, in their order.
    #[must_use]
    pub fn of(namespace: &str) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).text(namespace))
    }
}

impl Key for ToolVersionKey {
    const KIND: Kind = Kind::ToolVersion;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).text(&self.namespace).bytes(&self.version.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let namespace = fields.text()?.to_owned();
        let key = ToolVersionKey { namespace, version: u32::from_be_bytes(fields.bytes()?) };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = ToolVersionKey> {
        (any_id(), prop_oneof![0..3u32, any::<u32>()]).prop_map(|(namespace, version)| ToolVersionKey { namespace, version })
    }

    proptest! {
        #[test]
        fn keys_come_back_and_sort_as_their_fields(a in any_version(), b in any_version()) {
            check(&a, &b, |k| (k.namespace.clone(), k.version));
            check_prefix(&ToolVersionKey::of(&a.namespace), &b, a.namespace == b.namespace);
            let of = |k: &ToolVersionKey| NamespaceKey { namespace: k.namespace.clone() };
            check(&of(&a), &of(&b), |k| k.namespace.clone());
            check_prefix(&NamespaceKey::all(), &of(&b), true);
        }
    }
}
