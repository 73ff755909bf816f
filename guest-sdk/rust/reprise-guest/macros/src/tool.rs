//! `#[tool(name = "payments/refund", effect = once, reconcile = refunded)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, ExprLit, Ident, ItemFn, Lit, LitStr, Meta, Path, Token};

use crate::names::ToolName;
use crate::signature;

const HINT: &str = "write `fn(input: T) -> Result<U, ToolError>`, or with a second argument `key: &str`";

struct Arguments {
    name: ToolName,
    effect: Ident,
    reconcile: Option<Path>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (mut name, mut effect, mut reconcile) = (None, None, None);
        let whole = input.span();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let twice = match word.to_string().as_str() {
                "name" => name.replace(ToolName::parse(input.parse::<LitStr>()?)?).is_some(),
                "effect" => effect.replace(effect_of(&input.parse()?)?).is_some(),
                "reconcile" => reconcile.replace(input.parse::<Path>()?).is_some(),
                other => return Err(syn::Error::new(word.span(), format!("`{other}` is not one of `name`, `effect` and `reconcile`"))),
            };
            if twice {
                return Err(syn::Error::new(word.span(), format!("`{word}` stands here twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |what: &str, how: &str| syn::Error::new(whole, format!("the tool's {what} is missing: add `{how}`"));
        let (name, effect): (ToolName, Ident) = (
            name.ok_or_else(|| missing("name", "name = \"payments/refund\""))?,
            effect.ok_or_else(|| missing("effect", "effect = pure`, `read`, `idempotent` or `once"))?,
        );
        match &reconcile {
            Some(path) if effect != "Once" && effect != "Idempotent" => Err(syn::Error::new_spanned(
                path,
                "only a tool that changes something is asked afterwards: `reconcile` goes with `once` and `idempotent`",
            )),
            _ => Ok(Arguments { name, effect, reconcile }),
        }
    }
}

/// The variant of `Effect`, at the place of the word.
fn effect_of(word: &Ident) -> syn::Result<Ident> {
    let variant = match word.to_string().as_str() {
        "pure" => "Pure",
        "read" => "Read",
        "idempotent" => "Idempotent",
        "once" => "Once",
        other => return Err(syn::Error::new(word.span(), format!("`{other}` is no effect: it is one of pure, read, idempotent, once"))),
    };
    Ok(Ident::new(variant, word.span()))
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Arguments { name, effect, reconcile } = syn::parse2(arguments)?;
    let function: ItemFn = syn::parse2(item)?;
    let types = signature::arguments(&function, "tool", 2, HINT)?;
    let description = doc(&function.attrs);
    if description.is_empty() {
        return Err(syn::Error::new_spanned(&function.sig, "the tool has no description: say what it does in a doc comment above it"));
    }
    let (input, this, vis, name) = (types[0], &function.sig.ident, &function.vis, &name.literal);
    let pass_key = (types.len() == 2).then(|| quote!(, key));
    let reconciled = match &reconcile {
        Some(path) => quote!(::reprise_guest::__private::reconciled(input, |input: #input| #path(input, key))),
        None => quote!(::reprise_guest::Reconciliation::Unknown),
    };
    Ok(quote! {
        #function

        // It stands for the function where a type is needed; types and functions have names of their own.
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it has the function's name, so that one word names both")]
        #vis enum #this {}

        #[allow(unused_variables, reason = "not every tool has use for its key")]
        impl ::reprise_guest::Tool for #this {
            const NAME: &'static str = #name;

            fn describe() -> ::reprise_guest::Description {
                ::reprise_guest::__private::described(
                    #name,
                    #description,
                    ::reprise_guest::Effect::#effect,
                    |input: #input, key: &str| #this(input #pass_key),
                )
            }

            fn call(key: &str, input: &str) -> ::core::result::Result<::reprise_guest::__private::String, ::reprise_guest::ToolError> {
                ::reprise_guest::__private::answered(input, |input: #input| #this(input #pass_key))
            }

            fn reconcile(key: &str, input: &str) -> ::reprise_guest::Reconciliation<::reprise_guest::__private::String> {
                #reconciled
            }
        }
    })
}

/// The doc comment, as one text.
fn doc(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with the words that its error must hold.
    #[test]
    fn what_is_no_tool_is_said_in_words() {
        let good = quote!(
            #[doc = "Refunds."]
            fn refund(input: Refund) -> Result<Receipt, ToolError> {
                todo()
            }
        );
        let named = quote!(name = "payments/refund", effect = once);
        let cases = [
            (quote!(), good.clone(), "the tool's name is missing"),
            (quote!(name = "payments/refund"), good.clone(), "the tool's effect is missing"),
            (quote!(name = "refund", effect = once), good.clone(), "\"refund\" is not two kebab-case words"),
            (quote!(name = "payments/Refund", effect = once), good.clone(), "is not two kebab-case words"),
            (quote!(name = "payments/refund", effect = twice), good.clone(), "`twice` is no effect"),
            (quote!(name = "payments/refund", effect = once, effect = read), good.clone(), "`effect` stands here twice"),
            (quote!(name = "payments/refund", effect = once, color = red), good.clone(), "`color` is not one of"),
            (quote!(name = "payments/refund", effect = read, reconcile = asked), good, "`reconcile` goes with `once`"),
            (
                named.clone(),
                quote!(
                    fn refund(input: Refund) -> Result<Receipt, ToolError> {}
                ),
                "the tool has no description",
            ),
            (
                named.clone(),
                quote!(
                    #[doc = "x"]
                    async fn refund(input: Refund) -> Result<Receipt, ToolError> {}
                ),
                "a tool is not async",
            ),
            (
                named.clone(),
                quote!(
                    #[doc = "x"]
                    fn refund<T>(input: T) -> Result<Receipt, ToolError> {}
                ),
                "no generic parameters",
            ),
            (
                named.clone(),
                quote!(
                    #[doc = "x"]
                    fn refund() -> Result<Receipt, ToolError> {}
                ),
                "this function has 0 arguments",
            ),
            (
                named.clone(),
                quote!(
                    #[doc = "x"]
                    fn refund(a: A, b: &str, c: C) -> Result<R, ToolError> {}
                ),
                "this function has 3 arguments",
            ),
            (
                named.clone(),
                quote!(
                    #[doc = "x"]
                    fn refund(&self) -> Result<Receipt, ToolError> {}
                ),
                "a tool is a free function",
            ),
            (
                named,
                quote!(
                    #[doc = "x"]
                    fn refund(input: Refund) {}
                ),
                "a tool returns a Result",
            ),
        ];
        for (arguments, item, words) in cases {
            let said = expand(arguments.clone(), item.clone()).map(|t| t.to_string()).unwrap_err().to_string();
            assert!(said.contains(words), "{arguments} {item}: {said}");
        }
    }

    #[test]
    fn a_doc_comment_becomes_the_description() {
        let function: ItemFn = syn::parse_quote! {
            /// Refunds a payment.
            ///
            /// Once.
            #[inline]
            fn refund() {}
        };
        assert_eq!(doc(&function.attrs), "Refunds a payment.\n\nOnce.");
    }
}
