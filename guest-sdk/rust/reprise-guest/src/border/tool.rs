//! A tool's side of the border: the contract `tool-provider`, answered from a table of tools.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::tools::Entry;
use crate::{Effect, ErrorKind, Reconciliation, ToolError};

#[expect(missing_docs, reason = "generated from wit/")]
pub mod tool_world {
    wit_bindgen::generate!({
        path: "wit",
        world: "tool-provider",
        pub_export_macro: true,
        export_macro_name: "export_tool_provider",
        default_bindings_module: "::reprise_guest::__private::tool_world",
        runtime_path: "::reprise_guest::__private::wit_bindgen::rt",
        generate_all,
    });
}

pub use tool_world::export_tool_provider;
pub use tool_world::exports::reprise::playbook::tools as provider;
use tool_world::reprise::playbook::types;

/// Exports a table of tools from the module it stands in.
#[doc(hidden)]
#[macro_export]
macro_rules! __provide_tools {
    ($tools:expr) => {
        struct Provided;

        impl $crate::__private::provider::Guest for Provided {
            fn describe() -> $crate::__private::Vec<$crate::__private::provider::ToolInfo> {
                $crate::__private::provide_descriptions($tools)
            }

            fn call(
                name: $crate::__private::String,
                key: $crate::__private::String,
                input: $crate::__private::String,
            ) -> ::core::result::Result<$crate::__private::String, $crate::__private::provider::ToolError> {
                $crate::__private::provide_call($tools, &name, &key, &input)
            }

            fn reconcile(
                name: $crate::__private::String,
                key: $crate::__private::String,
                input: $crate::__private::String,
            ) -> $crate::__private::provider::Reconciliation {
                $crate::__private::provide_reconciliation($tools, &name, &key, &input)
            }
        }

        $crate::__private::export_tool_provider!(Provided with_types_in $crate::__private::tool_world);
    };
}
pub use __provide_tools as provide_tools;

/// The tools as the host lists them.
#[must_use]
pub fn provide_descriptions(tools: &[Entry]) -> Vec<provider::ToolInfo> {
    tools
        .iter()
        .map(|tool| {
            let told = (tool.describe)();
            provider::ToolInfo {
                name: told.name.to_string(),
                description: told.description.to_string(),
                input_schema: told.input_schema,
                output_schema: told.output_schema,
                effect: match told.effect {
                    Effect::Pure => provider::Effect::Pure,
                    Effect::Read => provider::Effect::Read,
                    Effect::Idempotent => provider::Effect::Idempotent,
                    Effect::Once => provider::Effect::Once,
                },
            }
        })
        .collect()
}

/// Calls the tool of this name.
///
/// # Errors
/// `not-found` where none has it; otherwise what the tool answers.
pub fn provide_call(tools: &[Entry], name: &str, key: &str, input: &str) -> Result<String, provider::ToolError> {
    let answer = match tools.iter().find(|tool| tool.name == name) {
        Some(tool) => (tool.call)(key, input),
        None => Err(ToolError::new(ErrorKind::NotFound, alloc::format!("this component has no tool {name}"))),
    };
    answer.map_err(|error| provider::ToolError {
        kind: match error.kind {
            ErrorKind::InvalidInput => types::ErrorKind::InvalidInput,
            ErrorKind::Denied => types::ErrorKind::Denied,
            ErrorKind::NotFound => types::ErrorKind::NotFound,
            ErrorKind::Conflict => types::ErrorKind::Conflict,
            ErrorKind::Unavailable => types::ErrorKind::Unavailable,
            ErrorKind::Timeout => types::ErrorKind::Timeout,
            ErrorKind::Broken => types::ErrorKind::Broken,
            ErrorKind::Failed => types::ErrorKind::Failed,
            ErrorKind::Cancelled => types::ErrorKind::Cancelled,
        },
        message: error.message,
        detail: error.detail.map(|detail| detail.to_string()),
    })
}

/// Asks the tool of this name what became of a call.
#[must_use]
pub fn provide_reconciliation(tools: &[Entry], name: &str, key: &str, input: &str) -> provider::Reconciliation {
    match tools.iter().find(|tool| tool.name == name).map(|tool| (tool.reconcile)(key, input)) {
        Some(Reconciliation::Happened(output)) => provider::Reconciliation::Happened(output),
        Some(Reconciliation::DidNotHappen) => provider::Reconciliation::DidNotHappen,
        Some(Reconciliation::Unknown) | None => provider::Reconciliation::Unknown,
    }
}
