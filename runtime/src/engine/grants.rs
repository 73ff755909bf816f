//! What operators granted to all jobs: in the file, with flags, and in the store.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::Engine;
use crate::blocking;
use crate::clock::rfc3339;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::tools::grants::{Access, Grant, GrantName, Kept, KeptGrant, To, Written, Wrong};

/// Where a grant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The configuration file.
    File,
    /// A flag of this process.
    Flag,
    /// The store, where an operator put it.
    Store,
}

/// One grant to all jobs.
#[derive(Debug, Clone)]
pub struct Granted {
    /// What is granted.
    pub grant: Grant,
    /// Where it comes from.
    pub source: Source,
    /// Since when, of one in the store; in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Why it cannot be used now, where that is so: then no job runs until it can be, or is gone.
    pub problem: Option<String>,
}

impl Granted {
    fn of(grant: Grant, source: Source, since_ms: Option<u64>) -> Granted {
        let problem = grant.usable_now().err().map(|e| e.message);
        Granted { grant, source, since_ms, problem }
    }
}

impl Engine {
    /// What is granted to all jobs, and where each comes from. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn grants(&self) -> Result<Vec<Granted>> {
        let file = self.config.grants.iter().map(|grant| Granted::of(grant.clone(), Source::File, None));
        let flags = self.flags.iter().map(|grant| Granted::of(grant.clone(), Source::Flag, None));
        let kept = self.kept.list()?.into_iter().map(|kept| Granted::of(kept.grant, Source::Store, Some(kept.since_ms)));
        Ok(file.chain(flags).chain(kept).collect())
    }

    /// As [`Engine::grants`], without where from.
    ///
    /// # Errors
    /// What the store says.
    pub fn granted(&self) -> Result<Vec<Grant>> {
        Ok(self.given_at_start().into_iter().chain(self.kept.grants()?).collect())
    }

    /// What was granted at the start of this process.
    fn given_at_start(&self) -> Vec<Grant> {
        self.config.grants.iter().chain(self.flags.iter()).cloned().collect()
    }

    /// Puts a grant into the store, for an operator. It holds from the next attempt of any job on. True where it is new.
    ///
    /// # Errors
    /// The part that is wrong. Where it is none in particular: `id_conflict` where the name is taken elsewhere, `grant_in_use`,
    /// `too_large`, what the store says.
    pub async fn put_grant(&self, written: Written) -> Result<(Granted, bool), Wrong> {
        let whole = |error| Wrong { field: "", index: None, error };
        let grant = blocking::run(move || Ok(written.read(None))).await.map_err(whole)??;
        self.keep_grant(grant).await.map_err(whole)
    }

    /// As [`Engine::put_grant`], for one that was read already.
    ///
    /// # Errors
    /// `invalid_configuration`, and as [`Engine::put_grant`].
    pub async fn keep_grant(&self, grant: Grant) -> Result<(Granted, bool)> {
        let standing = self.given_at_start();
        let all: Vec<Grant> = standing.iter().cloned().chain(self.kept.grants()?).chain([grant.clone()]).collect();
        self.precincts.check(std::slice::from_ref(&grant), &all)?;
        let (KeptGrant { grant, since_ms }, made) = self.kept.put(grant, &standing).await?;
        blocking::run(move || Ok((Granted::of(grant, Source::Store, Some(since_ms)), made))).await
    }

    /// Takes a grant out of the store, for an operator. Jobs that run come to the end of their attempt with it.
    ///
    /// # Errors
    /// `grant_not_found`, `grant_in_use`, what the store says.
    pub async fn remove_grant(&self, name: &GrantName) -> Result<Granted> {
        let KeptGrant { grant, since_ms } = self.kept.remove(name, &self.given_at_start()).await?;
        blocking::run(move || Ok(Granted::of(grant, Source::Store, Some(since_ms)))).await
    }
}

/// A grant as a job sees it. The directory's place on the host is left out: whoever may ask a server to run
/// playbooks need not learn how its disk is laid out. Who shows the operator's token sees the whole.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GrantView {
    /// The first part of every path that a job uses; of other kinds, the space's or the grant's name.
    name: String,
    /// `fs`, `http`, `kv`, `exec`, `secret`, `env`, `clock` or `random`.
    kind: &'static str,
    /// Where it comes from.
    source: Source,
    /// The namespaces of the tool components that it is for; absent where it is for the built-in tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<String>,
    /// Of `fs` and `kv`: `ro` or `rw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'static str>,
    /// Of `http`: scheme, host and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// Of `http`: what may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<&'static str>>,
    /// Of `http`: where it may be sent, this path and those below it; everywhere where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// For people.
    words: String,
    /// Of one in the store: since when, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// For operators: all of it, as journals keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    grant: Option<Value>,
    /// For operators: why it cannot be used now, where that is so. No job runs until it can be, or is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl GrantView {
    /// `all` is for operators alone.
    #[must_use]
    pub fn of(granted: &Granted, all: bool) -> Self {
        let grant = &granted.grant;
        let (access, http) = match grant {
            Grant::Fs(fs) => (Some(fs.access), None),
            Grant::Kv(kv) => (Some(kv.access), None),
            Grant::Http(http) => (None, Some(http)),
            Grant::Exec(_) | Grant::Secret(_) | Grant::Env(_) | Grant::Clock(_) | Grant::Random(_) => (None, None),
        };
        GrantView {
            name: grant.name().to_string(),
            kind: grant.kind(),
            source: granted.source,
            to: grant.to().into_iter().flat_map(To::namespaces).map(ToString::to_string).collect(),
            access: access.map(Access::as_str),
            origin: http.map(|http| http.origin.clone()),
            methods: http.map(|http| http.methods.iter().map(|method| method.as_str()).collect()),
            path: http.and_then(|http| http.path.clone()),
            words: grant.inside_words(),
            since: granted.since_ms.map(rfc3339),
            grant: all.then(|| json!(grant)),
            problem: granted.problem.clone().filter(|_| all),
        }
    }
}

/// A name that stands in the store and elsewhere would mean one thing here and another there.
///
/// # Errors
/// `invalid_configuration` that names the grant and what to do.
pub(super) fn keep_apart(standing: &[Grant], kept: &Kept) -> Result<()> {
    for kept in kept.grants()? {
        if standing.iter().any(|grant| grant.name() == kept.name()) {
            let name = kept.name().as_str();
            let why = format!(
                "two grants are named {name:?}: one in the store, and one in reprise.toml or in a flag; give that one another name, or leave \
                 it out and remove the one in the store with `reprise grants remove {name}`"
            );
            return Err(Error::new(Code::InvalidConfiguration, why));
        }
    }
    Ok(())
}

/// What no grant may reach: who can change it could grant, or could rewrite the past.
#[derive(Debug, Clone)]
pub(super) struct Precincts {
    data: PathBuf,
    config: Option<PathBuf>,
    signing_key: Option<PathBuf>,
}

impl Precincts {
    /// Around this data directory, which is there, the configuration file, and the key that evidence is signed with.
    pub(super) fn around(data: &Path, config: Option<&Path>, signing_key: Option<&Path>) -> Precincts {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Precincts { data: real(data), config: config.map(real), signing_key: signing_key.map(real) }
    }

    /// Whether none of `new` reaches any of it; `all` is what is granted then.
    ///
    /// # Errors
    /// `invalid_configuration` that names the grant.
    pub(super) fn check(&self, new: &[Grant], all: &[Grant]) -> Result<()> {
        for grant in new {
            // A program may be granted into a directory that was harmless before.
            let directory = match grant {
                Grant::Exec(exec) => all.iter().find(|other| *other.name() == exec.directory),
                _ => Some(grant),
            };
            let Some(Grant::Fs(fs)) = directory else { continue };
            let wrong = |what: String| Err(Error::new(Code::InvalidConfiguration, format!("grant {:?} {what}", grant.name().as_str())));
            if self.data.starts_with(&fs.path) || fs.path.starts_with(&self.data) {
                return wrong(format!(
                    "covers the data directory {}; grant a directory that does not hold it and does not lie in it",
                    self.data.display()
                ));
            }
            if self.signing_key.as_ref().is_some_and(|key| key.starts_with(&fs.path)) {
                return wrong("covers the key that evidence is signed with, so a job could read it; keep the key elsewhere".to_owned());
            }
            let covered = self.config.as_ref().filter(|config| fs.access == Access::ReadWrite && config.starts_with(&fs.path));
            let runs_here = |other: &Grant| matches!(other, Grant::Exec(exec) if exec.directory == fs.name);
            // The built-in file tools never change a file of this name; nobody else is bound to that.
            let safe = |config: &Path| {
                config.file_name() == Some(config::FILE_NAME.as_ref()) && fs.to == To::BUILTIN && !all.iter().any(runs_here)
            };
            if let Some(config) = covered.filter(|config| !safe(config)) {
                return wrong(format!(
                    "covers the configuration file {}, so a job could write its own grants; make it \"ro\", or keep the file elsewhere",
                    config.display()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_grant_reaches_what_grants_are_made_of() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        for sub in ["data/sled", "project/sub", "etc", "keys"] {
            std::fs::create_dir_all(dir.join(sub)).unwrap();
        }
        for file in ["project/reprise.toml", "etc/production.toml", "keys/evidence.key"] {
            std::fs::write(dir.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(dir.join("data"), dir.join("link")).unwrap();
        let check = |config: &str, flags: &[&str]| {
            let grants: Vec<Grant> =
                flags.iter().map(|flag| Grant::parse_flag(&flag.replace("DIR", dir.to_str().unwrap())).unwrap()).collect();
            let precincts = Precincts::around(&dir.join("link"), Some(&dir.join(config)), Some(&dir.join("keys/evidence.key")));
            precincts.check(&grants, &grants).map_err(|e| e.message)
        };
        let (plain, other) = ("project/reprise.toml", "etc/production.toml");
        for (config, flags, says) in [
            (plain, &["fs:DIR:ro"][..], "covers the data directory"),
            (plain, &["fs:DIR/data:ro"], "covers the data directory"),
            (plain, &["fs:DIR/link:ro"], "covers the data directory"),
            (plain, &["fs:DIR/data/sled:ro"], "covers the data directory"),
            (plain, &["fs@search:DIR/data/sled:ro"], "covers the data directory"),
            (plain, &["fs:DIR/keys:ro"], "covers the key"),
            (other, &["fs:DIR/etc"], "grant \"etc\" covers the configuration file"),
            (plain, &["fs@search:DIR/project"], "grant \"project\" covers the configuration file"),
            (plain, &["fs:DIR/project", "exec:/bin/sh@project"], "covers the configuration file"),
        ] {
            let why = check(config, flags).unwrap_err();
            assert!(why.contains(says), "{flags:?}: {why}");
        }
        for (config, flags) in [
            (plain, &["fs:DIR/project"][..]),
            (plain, &["fs:DIR/project:ro", "exec:/bin/sh@project"]),
            (plain, &["fs@search:DIR/project:ro"]),
            (plain, &["fs@search:DIR/project/sub"]),
            (other, &["fs:DIR/etc:ro"]),
            (other, &["fs@search:DIR/project"]),
        ] {
            check(config, flags).unwrap_or_else(|why| panic!("{flags:?}: {why}"));
        }
    }
}
