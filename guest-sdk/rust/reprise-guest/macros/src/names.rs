//! Tool names, held to the rule that the host holds them to: two kebab-case words joined by a slash.

use syn::LitStr;

/// A tool's name, and where it stands.
pub(crate) struct ToolName {
    pub namespace: String,
    pub name: String,
    pub literal: LitStr,
}

impl ToolName {
    pub fn parse(literal: LitStr) -> syn::Result<ToolName> {
        let text = literal.value();
        match text.split_once('/') {
            Some((namespace, name)) if is_kebab(namespace) && is_kebab(name) => {
                Ok(ToolName { namespace: namespace.to_owned(), name: name.to_owned(), literal })
            }
            _ => Err(syn::Error::new(
                literal.span(),
                format!("{text:?} is not two kebab-case words joined by a slash, such as \"payments/refund\""),
            )),
        }
    }
}

/// Words of lower-case letters and digits, each beginning with a letter, joined by single dashes.
fn is_kebab(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    })
}
