//! What an operator permits of the environment: one variable with a value that he writes down. Nothing of the host's own
//! environment is ever passed on.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::limits;

use super::written::need;
use super::{GrantName, To, Written, Wrong, malformed};

/// One variable, for tool components; `wasi:config` answers with it as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvGrant {
    /// For people, and so that two grants can be told apart.
    pub name: GrantName,
    /// The variable.
    pub variable: String,
    /// What it holds.
    pub value: String,
    /// For whom it is.
    pub to: To,
}

impl EnvGrant {
    /// As it stands in a grant.
    pub const KIND: &str = "env";

    pub(super) fn read(written: &Written) -> Result<EnvGrant, Wrong> {
        written.only(&["variable", "value", "to"])?;
        let variable = variable(need(written.variable.as_ref(), "variable")?).map_err(Wrong::field("variable"))?;
        let value = value(need(written.value.as_ref(), "value")?).map_err(Wrong::field("value"))?;
        let name = match written.name()? {
            Some(name) => name,
            None => GrantName::parse(&variable).map_err(Wrong::field("variable"))?,
        };
        Ok(EnvGrant { name, variable, value, to: written.to_components()? })
    }

    /// From what stands after `env@NAMESPACE:` in a flag: `LANG=C`.
    pub(super) fn parse_flag(rest: &str, to: To) -> Result<EnvGrant> {
        let Some((name, text)) = rest.split_once('=') else {
            return Err(malformed(format!("{rest:?} does not say what the variable holds; write env@NAMESPACE:VARIABLE=VALUE")));
        };
        Ok(EnvGrant { name: GrantName::parse(name)?, variable: variable(name)?, value: value(text)?, to })
    }

    /// `see the variable LANG`. The value may be something that not everyone is to see.
    pub(super) fn words(&self) -> String {
        format!("see the variable {}", self.variable)
    }
}

fn variable(text: &str) -> Result<String> {
    let fits = (1..=limits::ENV_VARIABLE_CHARS_MAX).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !fits {
        let why = format!("{text:?} cannot name a variable; a name has 1 to {} of A-Z a-z 0-9 . _ -", limits::ENV_VARIABLE_CHARS_MAX);
        return Err(malformed(why));
    }
    Ok(text.to_owned())
}

fn value(text: &str) -> Result<String> {
    if text.len() > limits::ENV_VALUE_BYTES_MAX || text.contains('\0') {
        return Err(malformed(format!("a value has at most {} bytes and no NUL character", limits::ENV_VALUE_BYTES_MAX)));
    }
    Ok(text.to_owned())
}
