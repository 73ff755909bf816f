//! What an operator permits of the key-value store: one space of it.

use serde::{Deserialize, Serialize};

use crate::error::Result;

use super::written::need;
use super::{Access, GrantName, To, Written, Wrong};

/// One space of keys and values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvGrant {
    /// The space: whoever is granted it under this name shares its keys.
    pub name: GrantName,
    /// What may be done in it.
    pub access: Access,
    /// For whom it is.
    #[serde(default, skip_serializing_if = "To::is_builtin")]
    pub to: To,
}

impl KvGrant {
    /// As it stands in a grant.
    pub const KIND: &str = "kv";

    pub(super) fn read(written: &Written) -> Result<KvGrant, Wrong> {
        written.only(&["access", "to"])?;
        need(written.name.as_ref(), "name")?;
        let name = written.name()?.expect("it is there");
        Ok(KvGrant { name, access: written.access()?, to: written.to()? })
    }

    /// From what stands after `kv:` in a flag: `SPACE[:ro|:rw]`.
    pub(super) fn parse_flag(rest: &str, to: To) -> Result<KvGrant> {
        let (name, access) = Access::at_end(rest);
        Ok(KvGrant { name: GrantName::parse(name)?, access, to })
    }

    /// `read and write keys in the space notes`.
    pub(super) fn words(&self) -> String {
        format!("{} keys in the space {}", self.access.words(), self.name)
    }
}
