//! From a typed function to a tool: its schemas, and JSON text in and out.

use alloc::format;
use alloc::string::{String, ToString as _};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ErrorKind, ToolError};

/// What calling a tool twice does to the world. It decides what happens when the host dies between asking and hearing the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The same input always gives the same output and nothing is touched. May be repeated.
    Pure,
    /// Looks at the world and changes nothing. May be repeated.
    Read,
    /// Repeating with the same key has the effect once. May be repeated with that key.
    Idempotent,
    /// Must never be repeated unasked. Where the tool cannot be asked (`reconcile`), a person is.
    Once,
}

/// What a tool says when it is asked after a crash: did the call with this key take effect?
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciliation<T> {
    /// It did, and this is what it answered, or would have.
    Happened(T),
    /// It did not, and no attempt is under way that still could.
    DidNotHappen,
    /// The tool cannot tell. A person decides.
    Unknown,
}

/// A tool as the host lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// `payments/refund`.
    pub name: &'static str,
    /// The doc comment of the function.
    pub description: &'static str,
    /// JSON Schema (2020-12) of what it takes.
    pub input_schema: String,
    /// JSON Schema (2020-12) of what it answers.
    pub output_schema: String,
    /// What calling it twice does.
    pub effect: Effect,
}

/// A function with the attribute [`tool`](macro@crate::tool). The attribute implements it, for a type with the function's name.
pub trait Tool {
    /// `payments/refund`.
    const NAME: &'static str;

    /// How it is listed.
    fn describe() -> Description;

    /// Calls the function with what the JSON text says.
    ///
    /// # Errors
    /// `invalid-input` where the text does not fit the function's input; otherwise what the function answers.
    fn call(key: &str, input: &str) -> Result<String, ToolError>;

    /// Asks what became of a call.
    fn reconcile(key: &str, input: &str) -> Reconciliation<String>;
}

/// A tool among others, of which only the names differ.
#[doc(hidden)]
pub struct Entry {
    pub name: &'static str,
    pub describe: fn() -> Description,
    pub call: fn(&str, &str) -> Result<String, ToolError>,
    pub reconcile: fn(&str, &str) -> Reconciliation<String>,
}

impl Entry {
    /// The entry of a tool.
    #[must_use]
    pub const fn of<T: Tool>() -> Entry {
        Entry { name: T::NAME, describe: T::describe, call: T::call, reconcile: T::reconcile }
    }
}

/// Makes the component export these tools: `reprise_guest::export_tools!(refund, lookup);`, once in a crate.
///
/// All of them have one namespace, the word before the slash: a component owns its namespace.
#[macro_export]
macro_rules! export_tools {
    ($($tool:path),+ $(,)?) => {
        const _: () = assert!(
            $crate::__private::same_namespace(&[$(<$tool as $crate::Tool>::NAME),+]),
            "all tools of a component have the same namespace, the word before the slash"
        );

        const _: () = {
            // Without WebAssembly too, where nobody exports them and they would count as unused.
            static TOOLS: &[$crate::__private::Entry] = &[$($crate::__private::Entry::of::<$tool>()),+];

            #[cfg(target_family = "wasm")]
            $crate::__private::provide_tools!(TOOLS);
        };
    };
}

/// True where all names have the same word before the slash.
#[doc(hidden)]
#[must_use]
pub const fn same_namespace(names: &[&str]) -> bool {
    let first = names[0].as_bytes();
    let mut at = 1;
    while at < names.len() {
        let name = names[at].as_bytes();
        let mut byte = 0;
        // Both have a slash: the attribute saw to it.
        while first[byte] == name[byte] && first[byte] != b'/' {
            byte += 1;
        }
        if first[byte] != name[byte] {
            return false;
        }
        at += 1;
    }
    true
}

/// The description of a tool that is this function.
#[doc(hidden)]
pub fn described<I: JsonSchema, O: JsonSchema>(
    name: &'static str,
    description: &'static str,
    effect: Effect,
    _function: fn(I, &str) -> Result<O, ToolError>,
) -> Description {
    // What is read and what is written can differ: a field with a default may be left out of an input, never of an output.
    let input_schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<I>();
    let output_schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<O>();
    Description {
        name,
        description,
        input_schema: input_schema.as_value().to_string(),
        output_schema: output_schema.as_value().to_string(),
        effect,
    }
}

/// Calls a function with JSON text.
#[doc(hidden)]
pub fn answered<I: DeserializeOwned, O: Serialize>(
    input: &str,
    function: impl FnOnce(I) -> Result<O, ToolError>,
) -> Result<String, ToolError> {
    let input = serde_json::from_str(input).map_err(|e| ToolError::new(ErrorKind::InvalidInput, format!("the input does not fit: {e}")))?;
    text_of(&function(input)?)
}

/// Asks a function what became of a call.
#[doc(hidden)]
pub fn reconciled<I: DeserializeOwned, O: Serialize>(input: &str, function: impl FnOnce(I) -> Reconciliation<O>) -> Reconciliation<String> {
    // An input that does not fit was never given to the tool.
    let Ok(input) = serde_json::from_str(input) else { return Reconciliation::DidNotHappen };
    match function(input) {
        Reconciliation::Happened(output) => match text_of(&output) {
            Ok(text) => Reconciliation::Happened(text),
            Err(_) => Reconciliation::Unknown,
        },
        Reconciliation::DidNotHappen => Reconciliation::DidNotHappen,
        Reconciliation::Unknown => Reconciliation::Unknown,
    }
}

fn text_of<O: Serialize>(output: &O) -> Result<String, ToolError> {
    serde_json::to_string(output).map_err(|e| ToolError::new(ErrorKind::Broken, format!("the output is no JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::same_namespace;

    #[test]
    fn a_component_has_one_namespace() {
        for (names, same) in [
            (&["a/x"][..], true),
            (&["a/x", "a/y", "a/x-long"], true),
            (&["a/x", "b/x"], false),
            (&["a/x", "ab/x"], false),
            (&["ab/x", "a/x"], false),
        ] {
            assert_eq!(same_namespace(names), same, "{names:?}");
        }
    }
}
