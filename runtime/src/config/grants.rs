//! `[[grant]]`: what all jobs may reach.

use serde::Deserialize;
use toml::Spanned;

use crate::error::Result;
use crate::tools::grants::{Part, Written};
use crate::tools::{Access, Grant, GrantName, HttpGrant, Method};

use super::FILE_NAME;
use super::source::Source;

/// One `[[grant]]`, of either kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    kind: Spanned<String>,
    name: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    access: Option<Spanned<String>>,
    origin: Option<Spanned<String>>,
    methods: Option<Spanned<Vec<Spanned<String>>>>,
    key_header: Option<Spanned<String>>,
    reconcile: Option<Spanned<String>>,
}

/// Reads them in their order.
pub(super) fn read(tables: &[Spanned<Table>], source: &Source) -> Result<Vec<Grant>> {
    let mut grants: Vec<Grant> = Vec::new();
    for table in tables {
        let at = table.span();
        let table = table.get_ref();
        let grant = match table.kind.get_ref().as_str() {
            "fs" => table.fs(at.clone(), source)?,
            "http" => table.http(at.clone(), source)?,
            other => {
                let why = format!("kind {other:?} is not of this version; the kinds are: \"fs\", \"http\"");
                return Err(source.wrong(table.kind.span(), why));
            }
        };
        if grants.iter().any(|g| g.name() == grant.name()) {
            let named = [&table.name, &table.path, &table.origin].into_iter().flatten().next().map_or(at, Spanned::span);
            return Err(source.wrong(named, format!("two grants are named {:?}; give this one another name", grant.name().as_str())));
        }
        grants.push(grant);
    }
    Ok(grants)
}

impl Table {
    fn fs(&self, at: std::ops::Range<usize>, source: &Source) -> Result<Grant> {
        let keys = [
            ("origin", self.origin.as_ref().map(Spanned::span)),
            ("methods", self.methods.as_ref().map(Spanned::span)),
            ("key_header", self.key_header.as_ref().map(Spanned::span)),
            ("reconcile", self.reconcile.as_ref().map(Spanned::span)),
        ];
        refuse("fs", keys, "kind, name, path and access", source)?;
        let path = need(self.path.as_ref(), "path", &at, source)?;
        let access = need(self.access.as_ref(), "access", &at, source)?;
        let read = source.place(access.span(), Access::parse(access.get_ref()))?;
        let directory = source.resolve(path.get_ref());
        let grant = source.place(path.span(), Grant::fs(self.name(source)?, &directory, read))?;
        if let Grant::Fs(fs) = &grant
            && fs.access == Access::ReadWrite
            && source.real.starts_with(&fs.path)
            && source.real.file_name() != Some(FILE_NAME.as_ref())
        {
            let why = format!(
                "this grant holds the configuration file itself, so a job could write its own grants; \
                 make it \"ro\", grant a directory below, or name the file {FILE_NAME}, which no tool changes"
            );
            return Err(source.wrong(path.span(), why));
        }
        Ok(grant)
    }

    fn http(&self, at: std::ops::Range<usize>, source: &Source) -> Result<Grant> {
        let keys = [("access", self.access.as_ref().map(Spanned::span))];
        refuse("http", keys, "kind, name, origin, methods, path, key_header and reconcile", source)?;
        let origin = need(self.origin.as_ref(), "origin", &at, source)?;
        let methods = match &self.methods {
            Some(list) => {
                let read = |method: &Spanned<String>| source.place(method.span(), Method::parse(method.get_ref()));
                list.get_ref().iter().map(read).collect::<Result<_>>()?
            }
            None => vec![Method::Get],
        };
        let text = |field: &Option<Spanned<String>>| field.as_ref().map(|text| text.get_ref().clone());
        let written = Written {
            name: self.name(source)?,
            origin: origin.get_ref().clone(),
            methods,
            path: text(&self.path),
            key_header: text(&self.key_header),
            reconcile: text(&self.reconcile),
        };
        let grant = HttpGrant::new(written).map_err(|(part, e)| {
            let field = match part {
                Part::Origin => Some(origin.span()),
                Part::Methods => self.methods.as_ref().map(Spanned::span),
                Part::Path => self.path.as_ref().map(Spanned::span),
                Part::KeyHeader => self.key_header.as_ref().map(Spanned::span),
                Part::Reconcile => self.reconcile.as_ref().map(Spanned::span),
            };
            source.wrong(field.unwrap_or(at), e.message)
        })?;
        Ok(Grant::Http(grant))
    }

    fn name(&self, source: &Source) -> Result<Option<GrantName>> {
        self.name.as_ref().map(|name| source.place(name.span(), GrantName::parse(name.get_ref()))).transpose()
    }
}

/// A key that this kind must have.
fn need<'t>(field: Option<&'t Spanned<String>>, name: &str, at: &std::ops::Range<usize>, source: &Source) -> Result<&'t Spanned<String>> {
    field.ok_or_else(|| source.wrong(at.clone(), format!("missing field `{name}`")))
}

/// Keys that belong to another kind.
fn refuse<const N: usize>(kind: &str, keys: [(&str, Option<std::ops::Range<usize>>); N], has: &str, source: &Source) -> Result<()> {
    for (name, at) in keys {
        if let Some(at) = at {
            return Err(source.wrong(at, format!("a grant of kind {kind:?} has no `{name}`; it has {has}")));
        }
    }
    Ok(())
}
