//! A grant as an operator writes it, in whichever place: the parts by their names, not yet checked.
//!
//! Its job: one way from what was written to a [`Grant`], so that the file, the flags and the store mean the same, and
//! a mistake names the part that holds it. Where that part stands (a line, a field of a request) its reader knows.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::contract::Namespace;
use crate::error::{Error, Result};

use super::{
    Access, ClockGrant, EnvGrant, ExecGrant, FsGrant, Grant, GrantName, HttpGrant, KvGrant, RandomGrant, SecretGrant, To, malformed,
};

/// All parts that a grant of any kind can have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// One of [`Grant::KINDS`].
    pub kind: String,
    /// What it is called; most kinds have a name of their own where there is none.
    pub name: Option<String>,
    /// Of `fs`: a directory. Of `http`: where below the origin.
    pub path: Option<String>,
    /// Of `fs`: where below its name jobs see it.
    pub at: Option<String>,
    /// Of `fs` and `kv`: `ro` or `rw`.
    pub access: Option<String>,
    /// Of `http`.
    pub origin: Option<String>,
    /// Of `http`.
    pub methods: Option<Vec<String>>,
    /// Of `http`.
    pub key_header: Option<String>,
    /// Of `http`.
    pub reconcile: Option<String>,
    /// Of `http`.
    pub private: Option<bool>,
    /// Namespaces of tool components that it is for.
    pub to: Option<Vec<String>>,
    /// Of `exec`.
    pub program: Option<String>,
    /// Of `exec`.
    pub args: Option<Vec<String>>,
    /// Of `exec`: the name of an `fs` grant.
    pub directory: Option<String>,
    /// Of `secret`: the name of a stored secret.
    pub secret: Option<String>,
    /// Of `secret`: the name of an `http` grant.
    pub http: Option<String>,
    /// Of `secret`.
    pub place: Option<String>,
    /// Of `env`.
    pub variable: Option<String>,
    /// Of `env`.
    pub value: Option<String>,
}

/// What is wrong with what was written, and in which part.
#[derive(Debug)]
pub struct Wrong {
    /// The part, which may be missing; empty where it is the whole.
    pub field: &'static str,
    /// Which element of it, where it is a list.
    pub index: Option<usize>,
    /// `invalid_configuration` that says what would be right.
    pub error: Error,
}

impl Wrong {
    /// With a part as a whole.
    pub(super) fn field(field: &'static str) -> impl FnOnce(Error) -> Wrong {
        move |error| Wrong { field, index: None, error }
    }
}

impl Written {
    /// Checks it. `base` is where its paths begin; without one they must be absolute.
    ///
    /// # Errors
    /// The part that is wrong, and why. A directory or a program must be there.
    pub fn read(&self, base: Option<&Path>) -> Result<Grant, Wrong> {
        let read: fn(&Written, Option<&Path>) -> Result<Grant, Wrong> = match self.kind.as_str() {
            FsGrant::KIND => |written, base| FsGrant::read(written, base).map(Grant::Fs),
            HttpGrant::KIND => |written, _| HttpGrant::read(written).map(Grant::Http),
            KvGrant::KIND => |written, _| KvGrant::read(written).map(Grant::Kv),
            ExecGrant::KIND => |written, _| ExecGrant::read(written).map(Grant::Exec),
            SecretGrant::KIND => |written, _| SecretGrant::read(written).map(Grant::Secret),
            EnvGrant::KIND => |written, _| EnvGrant::read(written).map(Grant::Env),
            ClockGrant::KIND => |written, _| ClockGrant::read(written).map(Grant::Clock),
            RandomGrant::KIND => |written, _| RandomGrant::read(written).map(Grant::Random),
            other => {
                let kinds: Vec<String> = Grant::KINDS.iter().map(|kind| format!("{kind:?}")).collect();
                let why = format!("kind {other:?} is not of this version; the kinds are: {}", kinds.join(", "));
                return Err(Wrong::field("kind")(malformed(why)));
            }
        };
        read(self, base)
    }

    /// The parts that were written, beside `kind` and `name`.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let parts = [
            ("path", self.path.is_some()),
            ("at", self.at.is_some()),
            ("access", self.access.is_some()),
            ("origin", self.origin.is_some()),
            ("methods", self.methods.is_some()),
            ("key_header", self.key_header.is_some()),
            ("reconcile", self.reconcile.is_some()),
            ("private", self.private.is_some()),
            ("to", self.to.is_some()),
            ("program", self.program.is_some()),
            ("args", self.args.is_some()),
            ("directory", self.directory.is_some()),
            ("secret", self.secret.is_some()),
            ("http", self.http.is_some()),
            ("place", self.place.is_some()),
            ("variable", self.variable.is_some()),
            ("value", self.value.is_some()),
        ];
        parts.into_iter().filter_map(|(part, given)| given.then_some(part))
    }

    /// Refuses parts that belong to another kind; `has` lists what this one has beside `kind` and `name`.
    pub(super) fn only(&self, has: &[&str]) -> Result<(), Wrong> {
        let Some(odd) = self.given().find(|part| !has.contains(part)) else { return Ok(()) };
        let (last, first) = has.split_last().expect("each kind has a part");
        let first: String = first.iter().map(|part| format!(", {part}")).collect();
        let why = format!("a grant of kind {:?} has no `{odd}`; it has kind, name{first} and {last}", self.kind);
        Err(Wrong::field(odd)(malformed(why)))
    }

    pub(super) fn name(&self) -> Result<Option<GrantName>, Wrong> {
        self.name.as_deref().map(GrantName::parse).transpose().map_err(Wrong::field("name"))
    }

    pub(super) fn access(&self) -> Result<Access, Wrong> {
        Access::parse(need(self.access.as_ref(), "access")?).map_err(Wrong::field("access"))
    }

    /// For whom it is.
    pub(super) fn to(&self) -> Result<To, Wrong> {
        let read = |(index, text): (usize, &String)| {
            Namespace::parse(text).map_err(|e| Wrong { field: "to", index: Some(index), error: malformed(last(e)) })
        };
        Ok(To::components(self.to.iter().flatten().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// For whom it is, where the built-in tools have no use for it.
    pub(super) fn to_components(&self) -> Result<To, Wrong> {
        let to = self.to()?;
        if to.is_builtin() {
            return Err(Wrong::field("to")(malformed(only_components(&self.kind))));
        }
        Ok(to)
    }
}

/// What is wrong with an element, without the place that its own reader gave it.
fn last(e: Error) -> String {
    e.issues.into_iter().next().map_or(e.message, |issue| issue.message)
}

/// Why a grant of this kind must name namespaces.
pub(super) fn only_components(kind: &str) -> String {
    format!("a grant of kind {kind:?} is of use to tool components alone; name their namespaces in `to`, such as to = [\"search\"]")
}

/// A part that this kind must have.
pub(super) fn need<'w, T>(part: Option<&'w T>, name: &'static str) -> Result<&'w T, Wrong> {
    part.ok_or_else(|| Wrong::field(name)(malformed(format!("missing field `{name}`"))))
}

/// A path as it was written, from where it begins.
pub(super) fn resolved(path: &str, base: Option<&Path>) -> Result<PathBuf> {
    match base {
        Some(base) => Ok(base.join(path)),
        None if Path::new(path).is_absolute() => Ok(PathBuf::from(path)),
        None => Err(malformed(format!("the path {path:?} is relative, and to what is not said; write it from the root on"))),
    }
}
