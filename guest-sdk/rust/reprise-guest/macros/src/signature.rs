//! What a function must look like to be called by the host.

use syn::{FnArg, ItemFn, ReturnType, Type};

/// The function's own arguments' types.
pub(crate) fn arguments<'a>(function: &'a ItemFn, what: &str, at_most: usize, hint: &str) -> syn::Result<Vec<&'a Type>> {
    let signature = &function.sig;
    if let Some(word) = &signature.asyncness {
        return Err(syn::Error::new_spanned(word, format!("a {what} is not async: the host waits for it, and it waits by calling")));
    }
    if !signature.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&signature.generics, format!("a {what} has no generic parameters: its JSON has one shape")));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(syn::Error::new_spanned(signature, format!("a {what} returns a Result; {hint}")));
    }
    let types: Vec<&Type> = signature
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Typed(typed) => Ok(&*typed.ty),
            FnArg::Receiver(receiver) => Err(syn::Error::new_spanned(receiver, format!("a {what} is a free function; {hint}"))),
        })
        .collect::<syn::Result<_>>()?;
    if types.is_empty() || types.len() > at_most {
        return Err(syn::Error::new_spanned(signature, format!("this function has {} arguments; {hint}", types.len())));
    }
    Ok(types)
}
