//! That an operator permits tool components to know the time.

use serde::{Deserialize, Serialize};

use super::{GrantName, To, Written, Wrong};

/// The time of day, and time that passes. Without it, clocks stand at 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockGrant {
    /// So that two grants can be told apart.
    pub name: GrantName,
    /// For whom it is.
    pub to: To,
}

impl ClockGrant {
    /// As it stands in a grant, and its name where none is given.
    pub const KIND: &str = "clock";

    pub(super) fn read(written: &Written) -> Result<ClockGrant, Wrong> {
        written.only(&["to"])?;
        Ok(ClockGrant::for_components(written.name()?, written.to_components()?))
    }

    pub(super) fn for_components(name: Option<GrantName>, to: To) -> ClockGrant {
        ClockGrant { name: name.unwrap_or_else(|| GrantName::parse(ClockGrant::KIND).expect("a word")), to }
    }

    pub(super) fn words() -> String {
        "know the time".to_owned()
    }
}
