//! That an operator permits tool components to draw random numbers.

use serde::{Deserialize, Serialize};

use super::{GrantName, To, Written, Wrong};

/// Random numbers of the host. Without it, they are a fixed stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomGrant {
    /// So that two grants can be told apart.
    pub name: GrantName,
    /// For whom it is.
    pub to: To,
}

impl RandomGrant {
    /// As it stands in a grant, and its name where none is given.
    pub const KIND: &str = "random";

    pub(super) fn read(written: &Written) -> Result<RandomGrant, Wrong> {
        written.only(&["to"])?;
        Ok(RandomGrant::for_components(written.name()?, written.to_components()?))
    }

    pub(super) fn for_components(name: Option<GrantName>, to: To) -> RandomGrant {
        RandomGrant { name: name.unwrap_or_else(|| GrantName::parse(RandomGrant::KIND).expect("a word")), to }
    }

    pub(super) fn words() -> String {
        "draw random numbers".to_owned()
    }
}
