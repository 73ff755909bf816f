//! Grants while a job runs: what they name held open, and who sees which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::contract::Namespace;
use crate::error::Result;

use super::fs::seen_as;
use super::{Access, At, EnvGrant, ExecGrant, FsGrant, Grant, GrantName, HttpGrant, KvGrant, Method, SecretGrant, To, dangling, malformed};

/// The grants of one job, opened. Cheap to clone; the default covers nothing.
///
/// What is asked here is asked for the built-in tools, unless it was narrowed with [`Grants::for_namespace`].
#[derive(Clone, Default)]
pub struct Grants {
    list: Arc<[Grant]>,
    dirs: Arc<BTreeMap<GrantName, OpenDir>>,
    /// Whose eyes these are: a tool component's, or the built-in tools'.
    reader: Option<Namespace>,
}

/// A granted directory, held open: whatever is renamed on the host, it stays this one.
#[derive(Clone)]
pub(in crate::tools) struct OpenDir {
    pub(in crate::tools) dir: Arc<Dir>,
    pub(in crate::tools) access: Access,
    /// Where below its name it is seen.
    pub(in crate::tools) at: Option<At>,
    to: To,
}

impl OpenDir {
    /// As jobs name it, who see it under `name`.
    pub(in crate::tools) fn seen_as(&self, name: &GrantName) -> String {
        seen_as(name, self.at.as_ref())
    }
}

impl Grants {
    /// Covers nothing.
    #[must_use]
    pub fn none() -> Self {
        Grants::default()
    }

    /// Opens what the grants name.
    ///
    /// # Errors
    /// `invalid_configuration`: a name stands twice, a grant stands on one that is not there, a program could be rewritten
    /// through a grant, or a directory is gone, cannot be opened or is no longer where the grant says (a part of its path
    /// has become a symbolic link).
    pub fn open(grants: &[Grant]) -> Result<Grants> {
        Grants::none().with(grants)
    }

    /// These and `more`, which may stand on these.
    ///
    /// # Errors
    /// As [`Grants::open`].
    pub fn with(&self, more: &[Grant]) -> Result<Grants> {
        let mut dirs = BTreeMap::clone(&self.dirs);
        let mut names: BTreeSet<&GrantName> = self.list.iter().map(Grant::name).collect();
        for grant in more {
            if !names.insert(grant.name()) {
                let other = match grant {
                    Grant::Fs(_) => "give one of them another name with NAME=DIR",
                    Grant::Http(_) => "name all its methods in one, or give one another name in reprise.toml",
                    _ => "give one of them another name in reprise.toml",
                };
                return Err(malformed(format!("two grants are named {:?}; {other}", grant.name().as_str())));
            }
            if let Grant::Fs(fs) = grant {
                dirs.insert(
                    fs.name.clone(),
                    OpenDir { dir: Arc::new(open_dir(fs)?), access: fs.access, at: fs.at.clone(), to: fs.to.clone() },
                );
            }
        }
        let list: Arc<[Grant]> = self.list.iter().chain(more).cloned().collect();
        check_together(more, &list)?;
        Ok(Grants { list, dirs: Arc::new(dirs), reader: self.reader.clone() })
    }

    /// The same grants as the tools of this namespace see them: those whose `to` names it, and no other.
    #[must_use]
    pub fn for_namespace(&self, namespace: &Namespace) -> Grants {
        Grants { reader: Some(namespace.clone()), ..self.clone() }
    }

    /// The grants as the operator gave them, in that order, whoever they are for.
    #[must_use]
    pub fn list(&self) -> &[Grant] {
        &self.list
    }

    fn covers(&self, to: &To) -> bool {
        to.covers(self.reader.as_ref())
    }

    /// The directory under this name.
    pub(in crate::tools) fn dir(&self, name: &str) -> Option<(&GrantName, &OpenDir)> {
        self.dirs.get_key_value(name).filter(|(_, open)| self.covers(&open.to))
    }

    /// Every directory, by name.
    pub(in crate::tools) fn dirs(&self) -> impl Iterator<Item = (&GrantName, &OpenDir)> {
        self.dirs.iter().filter(|(_, open)| self.covers(&open.to))
    }

    /// The grant that covers a call; where several do, the one with the longest path.
    pub(in crate::tools) fn http(&self, origin: &str, method: Method, path: &str) -> Option<&HttpGrant> {
        let covering = self.http_grants().filter(|grant| grant.covers(origin, method, path));
        covering.max_by_key(|grant| grant.path.as_ref().map_or(0, String::len))
    }

    /// Every grant to call an origin.
    pub(in crate::tools) fn http_grants(&self) -> impl Iterator<Item = &HttpGrant> {
        self.list.iter().filter_map(|grant| match grant {
            Grant::Http(http) if self.covers(&http.to) => Some(http),
            _ => None,
        })
    }

    /// The grant of this space.
    #[must_use]
    pub fn kv(&self, space: &str) -> Option<&KvGrant> {
        self.kv_grants().find(|grant| grant.name.as_str() == space)
    }

    /// Every granted space.
    pub fn kv_grants(&self) -> impl Iterator<Item = &KvGrant> {
        self.list.iter().filter_map(|grant| match grant {
            Grant::Kv(kv) if self.covers(&kv.to) => Some(kv),
            _ => None,
        })
    }

    /// The grants to start this program: several may name it, with other arguments or in other directories.
    pub fn exec<'g>(&'g self, program: &'g str) -> impl Iterator<Item = &'g ExecGrant> {
        self.exec_grants().filter(move |grant| grant.program.as_os_str() == program)
    }

    /// Every grant to start a program; none to a tool component.
    pub fn exec_grants(&self) -> impl Iterator<Item = &ExecGrant> {
        self.list.iter().filter_map(|grant| match grant {
            Grant::Exec(exec) if self.reader.is_none() => Some(exec),
            _ => None,
        })
    }

    /// The secrets that may go where this `http` grant leads; none where the grant is not for who asks.
    pub fn secrets<'g>(&'g self, http: &'g GrantName) -> impl Iterator<Item = &'g SecretGrant> {
        let seen = self.http_grants().any(|grant| grant.name == *http);
        self.list.iter().filter_map(move |grant| match grant {
            Grant::Secret(secret) if seen && secret.http == *http => Some(secret),
            _ => None,
        })
    }

    /// Every granted variable.
    pub fn env(&self) -> impl Iterator<Item = &EnvGrant> {
        self.list.iter().filter_map(|grant| match grant {
            Grant::Env(env) if self.covers(&env.to) => Some(env),
            _ => None,
        })
    }

    /// True where the time may be known.
    #[must_use]
    pub fn clock(&self) -> bool {
        self.list.iter().any(|grant| matches!(grant, Grant::Clock(clock) if self.covers(&clock.to)))
    }

    /// True where random numbers may be drawn.
    #[must_use]
    pub fn random(&self) -> bool {
        self.list.iter().any(|grant| matches!(grant, Grant::Random(random) if self.covers(&random.to)))
    }

    /// What a job may know of its `http` grants, for the end of a message: `this job has: pay (GET at https://pay.example)`.
    pub(in crate::tools) fn http_hint(&self) -> String {
        let each: Vec<String> = self.http_grants().map(|grant| format!("{} ({})", grant.name, grant.words())).collect();
        self.has("http grants", &each, "http:ORIGIN=METHODS")
    }

    /// What a job may know of its `fs` grants, for the end of a message: `this job has: project (read and write)`.
    pub(in crate::tools) fn hint(&self) -> String {
        let each: Vec<String> = self.dirs().map(|(name, open)| format!("{} ({})", open.seen_as(name), open.access.words())).collect();
        self.has("grants", &each, "fs:DIR")
    }

    /// What a job may know of its `kv` grants, for the end of a message: `this job has: notes (read)`.
    #[must_use]
    pub fn kv_hint(&self) -> String {
        let each: Vec<String> = self.kv_grants().map(|grant| format!("{} ({})", grant.name, grant.access.words())).collect();
        self.has("kv grants", &each, "kv:SPACE")
    }

    /// What a job may know of its `exec` grants, for the end of a message: `this job has: git (run the program git log * in project/)`.
    #[must_use]
    pub fn exec_hint(&self) -> String {
        let each: Vec<String> = self.exec_grants().map(|grant| format!("{} ({})", grant.name, grant.inside_words())).collect();
        self.has("exec grants", &each, "exec:PROGRAM@GRANT")
    }

    fn has(&self, what: &str, each: &[String], form: &str) -> String {
        let who = self.reader.as_ref().map_or_else(|| "this job has".to_owned(), |namespace| format!("the tools of {namespace} have"));
        if !each.is_empty() {
            return format!("{who}: {}", each.join(", "));
        }
        let form = match (&self.reader, form.split_once(':')) {
            (Some(namespace), Some((kind, rest))) => format!("{kind}@{namespace}:{rest}"),
            _ => form.to_owned(),
        };
        format!("{who} no {what}; an operator gives one with --grant {form} or in reprise.toml")
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter()).finish()
    }
}

pub(super) fn open_dir(grant: &FsGrant) -> Result<Dir> {
    let unusable = |why: String| malformed(format!("grant {:?}: the directory {} {why}", grant.name.as_str(), grant.path.display()));
    // A grant may be older than this process. If a part of its path was since replaced by a link, it would open something else.
    match grant.path.canonicalize() {
        Ok(path) if path == grant.path => {}
        Ok(path) => return Err(unusable(format!("is now another one, {}; grant that one if it is meant", path.display()))),
        Err(e) => return Err(unusable(format!("cannot be opened: {e}"))),
    }
    Dir::open_ambient_dir(&grant.path, ambient_authority()).map_err(|e| unusable(format!("cannot be opened: {e}")))
}

/// Whether `new` hang together with `all`, which holds them.
///
/// # Errors
/// `invalid_configuration`: one stands on a grant that is not there, or a program could be rewritten through one.
pub(super) fn check_together(new: &[Grant], all: &[Grant]) -> Result<()> {
    if let Some((grant, needs, e)) = dangling(new, all) {
        return Err(malformed(format!("grant {:?}: {}: {}", grant.name().as_str(), needs.field, e.message)));
    }
    keep_programs(all)
}

/// A job that may write a program decides what it does, and no pattern of arguments says otherwise.
fn keep_programs(grants: &[Grant]) -> Result<()> {
    for grant in grants {
        let Grant::Exec(exec) = grant else { continue };
        // What is not there by now cannot be started either.
        let real = exec.program.canonicalize().unwrap_or_else(|_| exec.program.clone());
        for other in grants {
            let Grant::Fs(fs) = other else { continue };
            if fs.access == Access::ReadWrite && (exec.program.starts_with(&fs.path) || real.starts_with(&fs.path)) {
                let why = format!(
                    "grant {:?}: the program {} lies in the grant {:?}, so a job could rewrite it; make that one \"ro\", or keep the program elsewhere",
                    exec.name.as_str(),
                    exec.program.display(),
                    fs.name.as_str()
                );
                return Err(malformed(why));
            }
        }
    }
    Ok(())
}
