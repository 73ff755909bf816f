//! The attributes of `reprise-guest`: they leave the function as it is, and put beside it what the host needs to call it.
//!
//! Everything that can be wrong with the attribute or with the function's signature is said here, at the place where it
//! stands, before the compiler sees generated code. `reprise-guest` documents the attributes for users.

mod names;
mod playbook;
mod signature;
mod tool;

use proc_macro::TokenStream;

/// Makes a tool of a function; see `reprise_guest::tool`.
#[proc_macro_attribute]
pub fn tool(arguments: TokenStream, item: TokenStream) -> TokenStream {
    tool::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a playbook of a function; see `reprise_guest::playbook`.
#[proc_macro_attribute]
pub fn playbook(arguments: TokenStream, item: TokenStream) -> TokenStream {
    playbook::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
