//! JSON to component values and back, by type, and the JSON Schema of a type. `docs/COMPONENT-VALUES.md` has the table.
//!
//! A function's types are read once, held to limits, and kept as [`Signature`]; whoever has one can lower and
//! raise without meeting a type that has no JSON. It knows nothing of stores, instances or what a function does.
//! It must stay true that a value which was raised lowers to itself, that every value which lowers fits the
//! schema, and that no type and no value, however made, takes more than the limits say.

mod lower;
mod place;
mod raise;
mod schema;
mod shape;
#[cfg(test)]
mod tests;

use serde_json::Value;
use wasmtime::component::Val;
use wasmtime::component::types::ComponentFunc;

pub use shape::{Int, Named, Shape};

use crate::error::Issue;

/// What a function takes and returns.
#[derive(Debug, Clone)]
pub struct Signature {
    /// By the names that WIT gives them, in their order.
    pub params: Named<Shape>,
    /// None for a function that returns nothing. A `result` here is the function's own success or failure; what
    /// becomes of it is for whoever calls.
    pub returns: Option<Shape>,
}

impl Signature {
    /// Reads the types of the function called `name`.
    ///
    /// # Errors
    /// What has no JSON form (a resource, a stream, an async function) or is beyond a limit, with its place in words:
    /// function, parameter, and the way into the type.
    pub fn of(name: &str, function: &ComponentFunc) -> Result<Self, Issue> {
        let mut reader = shape::Reader::new(name);
        if function.async_() {
            return Err(reader.refused("is async; a tool's function returns when it is done"));
        }
        let params = reader.params(function.params())?;
        let returns = match function.results().next() {
            Some(ty) => Some(reader.returns(&ty)?),
            None => None,
        };
        Ok(Signature { params, returns })
    }

    /// The JSON Schema (2020-12) of the object that [`Self::lower`] takes.
    #[must_use]
    pub fn input_schema(&self) -> Value {
        schema::of_fields(&self.params)
    }

    /// An object with the parameters by name, as the arguments of a call. A parameter that is an `option` may be left out.
    ///
    /// # Errors
    /// What does not fit its type, with a JSON pointer to it.
    pub fn lower(&self, input: &Value) -> Result<Vec<Val>, Issue> {
        lower::arguments(&self.params, input)
    }
}
