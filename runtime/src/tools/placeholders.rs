//! What becomes of `{{secret:NAME}}` in the input of a tool: only what a request carries is ever filled in.

use serde::Serialize;

use super::Registry;
use crate::contract::{Namespace, ToolId};

/// Who puts the secret in the place of its placeholder. The names are shown; one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilledIn {
    /// The host, just before the request goes out, where a `secret` grant lets it stand.
    ByHost,
    /// The tool, a component, is given the placeholder as text; in what it sends by HTTP the host puts the secret in.
    WhenSent,
    /// Nobody: the tool is given the placeholder as text.
    Never,
}

/// The namespace of the tools that send requests.
const HTTP: &str = "http";

impl Registry {
    /// Who fills in the placeholders in a call of this tool.
    #[must_use]
    pub fn fills_in(&self, tool: &ToolId) -> FilledIn {
        if tool.namespace() == HTTP {
            return FilledIn::ByHost;
        }
        let built = Namespace::parse(tool.namespace()).is_ok_and(|namespace| self.has_built(&namespace));
        if built || tool.is_external() { FilledIn::Never } else { FilledIn::WhenSent }
    }
}
