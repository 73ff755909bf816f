//! A playbook's side of the border: the contract `minimal`, and `run`.

use alloc::string::{String, ToString as _};

use super::json;
use crate::{ErrorKind, Failure, Playbook, ToolError};

#[expect(missing_docs, reason = "generated from wit/")]
pub mod playbook_world {
    wit_bindgen::generate!({
        path: "wit",
        world: "minimal",
        pub_export_macro: true,
        export_macro_name: "export_playbook",
        default_bindings_module: "::reprise_guest::__private::playbook_world",
        runtime_path: "::reprise_guest::__private::wit_bindgen::rt",
        generate_all,
    });
}

pub use playbook_world::export_playbook;
pub use playbook_world::exports::reprise::playbook::playbook::{Failure as WitFailure, Guest as Exported};
pub use playbook_world::reprise::playbook::types;

/// What the component's `run` does.
pub fn exported<P: Playbook>(input: &str) -> Result<String, WitFailure> {
    #[cfg(feature = "std")]
    std::panic::set_hook(std::boxed::Box::new(|info| crate::flow::log(crate::flow::Level::Error, info)));
    // What is never asked is not imported.
    let branch = if P::BRANCHES.is_empty() { None } else { playbook_world::reprise::playbook::flow::branch() };
    P::start(branch.as_deref(), input).map_err(|Failure { step, message, detail }| WitFailure {
        step,
        message,
        detail: detail.map(|detail| detail.to_string()),
    })
}

impl From<types::ToolError> for ToolError {
    fn from(error: types::ToolError) -> Self {
        let kind = match error.kind {
            types::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
            types::ErrorKind::Denied => ErrorKind::Denied,
            types::ErrorKind::NotFound => ErrorKind::NotFound,
            types::ErrorKind::Conflict => ErrorKind::Conflict,
            types::ErrorKind::Unavailable => ErrorKind::Unavailable,
            types::ErrorKind::Timeout => ErrorKind::Timeout,
            types::ErrorKind::Broken => ErrorKind::Broken,
            types::ErrorKind::Failed => ErrorKind::Failed,
            types::ErrorKind::Cancelled => ErrorKind::Cancelled,
        };
        ToolError { kind, message: error.message, detail: error.detail.map(json) }
    }
}

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        Failure { step: failure.step, message: failure.message, detail: failure.detail.map(json) }
    }
}
