//! `[[grant]]`: what all jobs may reach.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::error::Result;
use crate::tools::grants::{Access, Grant, Written, Wrong, dangling};

use super::FILE_NAME;
use super::source::Source;

type Text = Spanned<String>;
type List = Spanned<Vec<Text>>;

/// One `[[grant]]`, of any kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    kind: Text,
    name: Option<Text>,
    path: Option<Text>,
    access: Option<Text>,
    origin: Option<Text>,
    methods: Option<List>,
    key_header: Option<Text>,
    reconcile: Option<Text>,
    private: Option<Spanned<bool>>,
    to: Option<List>,
    program: Option<Text>,
    args: Option<List>,
    at: Option<Text>,
    directory: Option<Text>,
    secret: Option<Text>,
    http: Option<Text>,
    place: Option<Text>,
    variable: Option<Text>,
    value: Option<Text>,
}

/// Reads them in their order.
pub(super) fn read(tables: &[Spanned<Table>], source: &Source) -> Result<Vec<Grant>> {
    let mut grants: Vec<Grant> = Vec::new();
    for table in tables {
        let (at, table) = (table.span(), table.get_ref());
        let grant = table.grant(&at, source)?;
        if grants.iter().any(|g| g.name() == grant.name()) {
            let names = ["name", "path", "origin", "program", "secret", "variable"];
            let named = names.into_iter().find_map(|field| table.place(field, None)).unwrap_or(at);
            return Err(source.wrong(named, format!("two grants are named {:?}; give this one another name", grant.name().as_str())));
        }
        grants.push(grant);
    }
    // In a file, what a grant stands on may also come after it.
    for (table, grant) in tables.iter().zip(&grants) {
        if let Some((_, needs, e)) = dangling(std::slice::from_ref(grant), &grants) {
            return Err(source.wrong(table.get_ref().place(needs.field, None).unwrap_or(table.span()), e.message));
        }
    }
    Ok(grants)
}

impl Table {
    fn grant(&self, at: &Range<usize>, source: &Source) -> Result<Grant> {
        let beside = source.real.parent();
        let grant = self
            .written()
            .read(beside)
            .map_err(|Wrong { field, index, error }| source.wrong(self.place(field, index).unwrap_or(at.clone()), error.message))?;
        if let Grant::Fs(fs) = &grant
            && fs.access == Access::ReadWrite
            && source.real.starts_with(&fs.path)
            && (source.real.file_name() != Some(FILE_NAME.as_ref()) || !fs.to.is_builtin())
        {
            let (who, or) = match fs.to.is_builtin() {
                true => ("job", format!(", or name the file {FILE_NAME}, which no built-in tool changes")),
                false => ("tool", String::new()),
            };
            let why = format!(
                "this grant holds the configuration file itself, so a {who} could write its own grants; make it \"ro\", grant a directory below{or}"
            );
            return Err(source.wrong(self.place("path", None).unwrap_or(at.clone()), why));
        }
        Ok(grant)
    }

    fn written(&self) -> Written {
        let text = |field: &Option<Text>| field.as_ref().map(|text| text.get_ref().clone());
        let list = |field: &Option<List>| field.as_ref().map(|list| list.get_ref().iter().map(|text| text.get_ref().clone()).collect());
        Written {
            kind: self.kind.get_ref().clone(),
            name: text(&self.name),
            path: text(&self.path),
            at: text(&self.at),
            access: text(&self.access),
            origin: text(&self.origin),
            methods: list(&self.methods),
            key_header: text(&self.key_header),
            reconcile: text(&self.reconcile),
            private: self.private.as_ref().map(|private| *private.get_ref()),
            to: list(&self.to),
            program: text(&self.program),
            args: list(&self.args),
            directory: text(&self.directory),
            secret: text(&self.secret),
            http: text(&self.http),
            place: text(&self.place),
            variable: text(&self.variable),
            value: text(&self.value),
        }
    }

    /// Where a part stands, or an element of it.
    fn place(&self, field: &str, index: Option<usize>) -> Option<Range<usize>> {
        let list = |list: &Option<List>| {
            let list = list.as_ref()?;
            Some(index.and_then(|index| list.get_ref().get(index)).map_or_else(|| list.span(), Spanned::span))
        };
        let text = match field {
            "methods" => return list(&self.methods),
            "to" => return list(&self.to),
            "args" => return list(&self.args),
            "private" => return self.private.as_ref().map(Spanned::span),
            "kind" => Some(&self.kind),
            "name" => self.name.as_ref(),
            "path" => self.path.as_ref(),
            "at" => self.at.as_ref(),
            "access" => self.access.as_ref(),
            "origin" => self.origin.as_ref(),
            "key_header" => self.key_header.as_ref(),
            "reconcile" => self.reconcile.as_ref(),
            "program" => self.program.as_ref(),
            "directory" => self.directory.as_ref(),
            "secret" => self.secret.as_ref(),
            "http" => self.http.as_ref(),
            "place" => self.place.as_ref(),
            "variable" => self.variable.as_ref(),
            "value" => self.value.as_ref(),
            _ => None,
        };
        text.map(Spanned::span)
    }
}
