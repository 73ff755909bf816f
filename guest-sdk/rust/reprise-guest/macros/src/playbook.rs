//! `#[playbook(tools = ["fs/read", "fs/write"], branches = [ship])]`.
//!
//! The list of tools becomes the imports of the component, one interface for each, so what is not in the list cannot be
//! called: there is nothing to call.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, ItemFn, LitStr, Token, bracketed};

use crate::names::ToolName;
use crate::signature;

const HINT: &str = "write `fn(input: T) -> Result<U, Failure>`";

/// The words that the imports of tools are written in; the same file that the host reads.
const TYPES: &str = include_str!("../../wit/types.wit");

#[derive(Default)]
struct Arguments {
    tools: Vec<ToolName>,
    branches: Vec<Ident>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Arguments::default();
        let (mut tools, mut branches) = (false, false);
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let list;
            bracketed!(list in input);
            let twice = match word.to_string().as_str() {
                "tools" => {
                    for literal in Punctuated::<LitStr, Token![,]>::parse_terminated(&list)? {
                        let name = ToolName::parse(literal)?;
                        if arguments.tools.iter().any(|other| other.literal.value() == name.literal.value()) {
                            return Err(syn::Error::new(name.literal.span(), "this tool stands in the list twice"));
                        }
                        arguments.tools.push(name);
                    }
                    std::mem::replace(&mut tools, true)
                }
                "branches" => {
                    arguments.branches.extend(Punctuated::<Ident, Token![,]>::parse_terminated(&list)?);
                    std::mem::replace(&mut branches, true)
                }
                other => return Err(syn::Error::new(word.span(), format!("`{other}` is not one of `tools` and `branches`"))),
            };
            if twice {
                return Err(syn::Error::new(word.span(), format!("`{word}` stands here twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Arguments { tools, branches } = syn::parse2(arguments)?;
    let function: ItemFn = syn::parse2(item)?;
    signature::arguments(&function, "playbook", 1, HINT)?;
    let (this, vis) = (&function.sig.ident, &function.vis);
    let names: Vec<&LitStr> = tools.iter().map(|tool| &tool.literal).collect();
    let branch_names: Vec<LitStr> = branches.iter().map(|branch| LitStr::new(&branch.to_string(), branch.span())).collect();
    let component = component(this, &tools);
    Ok(quote! {
        #function

        // It stands for the function where a type is needed; types and functions have names of their own.
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it has the function's name, so that one word names both")]
        #vis enum #this {}

        impl ::reprise_guest::Playbook for #this {
            const TOOLS: &'static [&'static str] = &[#(#names),*];
            const BRANCHES: &'static [&'static str] = &[#(#branch_names),*];

            fn start(
                branch: ::core::option::Option<&str>,
                input: &str,
            ) -> ::core::result::Result<::reprise_guest::__private::String, ::reprise_guest::Failure> {
                match branch {
                    ::core::option::Option::None => ::reprise_guest::__private::played(input, #this),
                    #(::core::option::Option::Some(#branch_names) => ::reprise_guest::__private::played(input, #branches),)*
                    ::core::option::Option::Some(other) => ::reprise_guest::__private::no_such_branch(other, Self::BRANCHES),
                }
            }
        }

        // Without WebAssembly nobody exports it, and it would count as unused.
        const _: fn(
            ::core::option::Option<&str>,
            &str,
        ) -> ::core::result::Result<::reprise_guest::__private::String, ::reprise_guest::Failure> = <#this as ::reprise_guest::Playbook>::start;

        #component
    })
}

/// What makes a component of it: one import for each tool, and the export.
fn component(this: &Ident, tools: &[ToolName]) -> TokenStream {
    let world = LitStr::new(&world(tools), Span::call_site());
    let calls = tools.iter().map(|tool| {
        let (literal, namespace, name) = (&tool.literal, rust(&tool.namespace), rust(&tool.name));
        quote!(#literal => ::core::option::Option::Some(imports::tool::#namespace::#name::call(input)))
    });
    // A playbook without tools has nothing to generate.
    let imports = (!tools.is_empty()).then(|| {
        quote! {
            #[allow(clippy::all, missing_docs, unsafe_code, dead_code, unused, reason = "generated")]
            mod imports {
                ::reprise_guest::__private::wit_bindgen::generate!({
                    inline: #world,
                    world: "tools",
                    with: { "reprise:playbook/types@0.1.0": ::reprise_guest::__private::types },
                    runtime_path: "::reprise_guest::__private::wit_bindgen::rt",
                    generate_all,
                });
            }
        }
    });
    quote! {
        #[cfg(target_family = "wasm")]
        #[doc(hidden)]
        mod __reprise_playbook {
            #imports

            struct Exported;

            impl ::reprise_guest::__private::Exported for Exported {
                fn run(
                    input: ::reprise_guest::__private::String,
                ) -> ::core::result::Result<::reprise_guest::__private::String, ::reprise_guest::__private::WitFailure> {
                    ::reprise_guest::__private::exported::<super::#this>(&input)
                }
            }

            ::reprise_guest::__private::export_playbook!(Exported with_types_in ::reprise_guest::__private::playbook_world);

            // The crate's `call` finds the imports by this name.
            #[allow(unsafe_code, reason = "a name that the linker sees")]
            #[unsafe(no_mangle)]
            fn __reprise_call(
                tool: &str,
                input: &str,
            ) -> ::core::option::Option<::core::result::Result<::reprise_guest::__private::String, ::reprise_guest::__private::types::ToolError>> {
                match tool {
                    #(#calls,)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}

/// The world that imports these tools, with every package that it speaks of. A tool may be called like a keyword of
/// WIT; `%` makes any word a name.
fn world(tools: &[ToolName]) -> String {
    let mut imports = String::new();
    let mut packages: BTreeMap<&str, String> = BTreeMap::new();
    for ToolName { namespace, name, .. } in tools {
        let _ = writeln!(imports, "  import tool:%{namespace}/%{name};");
        let _ = write!(
            packages.entry(namespace).or_default(),
            "  interface %{name} {{\n    use reprise:playbook/types@0.1.0.{{json, tool-error}};\n    \
             call: func(input: json) -> result<json, tool-error>;\n  }}\n"
        );
    }
    let mut text = format!("package reprise:generated;\nworld tools {{\n{imports}}}\n");
    for (namespace, interfaces) in packages {
        let _ = write!(text, "package tool:%{namespace} {{\n{interfaces}}}\n");
    }
    let types = TYPES.strip_prefix("package reprise:playbook@0.1.0;").expect("types.wit begins with its package");
    let _ = writeln!(text, "package reprise:playbook@0.1.0 {{{types}}}");
    text
}

/// A kebab-case word as the generated code spells it.
fn rust(word: &str) -> Ident {
    let word = word.replace('-', "_");
    // As wit-bindgen does with the words that Rust keeps for itself.
    match syn::parse_str::<Ident>(&word) {
        Ok(ident) => ident,
        Err(_) => Ident::new(&format!("{word}_"), Span::call_site()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_playbook_is_said_in_words() {
        let good = quote!(
            fn run(input: Input) -> Result<Output, Failure> {}
        );
        let cases = [
            (quote!(tools = ["read"]), good.clone(), "\"read\" is not two kebab-case words"),
            (quote!(tools = ["fs/read", "fs/read"]), good.clone(), "this tool stands in the list twice"),
            (quote!(tools = [], tools = []), good.clone(), "`tools` stands here twice"),
            (quote!(tool = ["fs/read"]), good, "`tool` is not one of `tools` and `branches`"),
            (
                quote!(),
                quote!(
                    fn run() -> Result<Output, Failure> {}
                ),
                "this function has 0 arguments",
            ),
            (
                quote!(),
                quote!(
                    async fn run(input: Input) -> Result<Output, Failure> {}
                ),
                "a playbook is not async",
            ),
            (
                quote!(),
                quote!(
                    fn run(input: Input) {}
                ),
                "a playbook returns a Result",
            ),
        ];
        for (arguments, item, words) in cases {
            let said = expand(arguments.clone(), item.clone()).map(|t| t.to_string()).unwrap_err().to_string();
            assert!(said.contains(words), "{arguments} {item}: {said}");
        }
    }

    #[test]
    fn the_world_has_an_interface_for_each_tool() {
        let Arguments { tools, .. } = syn::parse_str(r#"tools = ["fs/read", "fs/list", "payments/use"]"#).unwrap();
        let text = world(&tools);
        for line in ["import tool:%fs/%read;", "import tool:%payments/%use;", "package tool:%fs {\n  interface %read", "interface types {"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(text.matches("package tool:%fs").count(), 1, "{text}");
        assert_eq!((rust("move").to_string(), rust("read-all").to_string()), ("move_".to_owned(), "read_all".to_owned()));
    }
}
