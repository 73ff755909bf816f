//! What an operator permits a job to reach.
//!
//! Its job: read a grant from where an operator wrote it, say it in words, and open what it names, once. It does not know
//! which tool uses a grant. The rules that must stay true: [`Grants::none`] is the default and covers
//! nothing, each grant is one line that an operator wrote, two grants never share a name, and what is granted to the
//! built-in tools is nothing to a tool component, nor the other way round.
//!
//! One file a kind, each in the same order: what it permits, how it is read, how it covers, its words.

mod clock;
mod env;
mod exec;
mod fs;
mod http;
mod kept;
mod kv;
mod name;
mod open;
mod random;
mod secret;
mod written;

pub use clock::ClockGrant;
pub use env::EnvGrant;
pub use exec::{ArgPattern, ExecGrant};
pub use fs::{Access, At, FsGrant};
pub use http::{HttpGrant, Method, base_url};
pub use kept::{Kept, KeptGrant};
pub use kv::KvGrant;
pub use name::{GrantName, To};
pub use open::Grants;
pub(super) use open::OpenDir;
use open::check_together;
pub use random::RandomGrant;
pub use secret::{Place, SecretGrant};
pub use written::{Written, Wrong};

use serde::{Deserialize, Serialize};

use crate::contract::Namespace;
use crate::error::{Code, Error, Result};

/// The forms that [`Grant::parse_flag`] takes.
const FORMS: &str = "a grant is fs:DIR, fs:DIR:ro or fs:NAME=DIR[:ro|:rw], http:ORIGIN[=GET,POST], kv:SPACE[:ro|:rw], \
    exec:PROGRAM@GRANT[=ARGS], secret:SECRET@GRANT=PLACE; for tool components KIND@NAMESPACE:..., and \
    env@NAMESPACE:VARIABLE=VALUE, clock@NAMESPACE, random@NAMESPACE";

/// One permission that an operator gave. Kept in journals: a kind and its parts never change their meaning.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Grant {
    /// The files below a directory.
    Fs(FsGrant),
    /// Calls to one origin.
    Http(HttpGrant),
    /// One space of keys and values.
    Kv(KvGrant),
    /// One program.
    Exec(ExecGrant),
    /// A secret in one place of what is sent to one origin.
    Secret(SecretGrant),
    /// One variable.
    Env(EnvGrant),
    /// The time.
    Clock(ClockGrant),
    /// Random numbers.
    Random(RandomGrant),
}

/// Another grant that a grant stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs<'g> {
    /// The part that names it.
    pub field: &'static str,
    /// Of which kind it must be.
    pub kind: &'static str,
    /// Its name.
    pub name: &'g GrantName,
}

impl Grant {
    /// Every kind, in the order in which messages list them.
    pub const KINDS: [&str; 8] = [
        FsGrant::KIND,
        HttpGrant::KIND,
        KvGrant::KIND,
        ExecGrant::KIND,
        SecretGrant::KIND,
        EnvGrant::KIND,
        ClockGrant::KIND,
        RandomGrant::KIND,
    ];

    /// From a flag: `KIND:WHAT` for the built-in tools, `KIND@NAMESPACE,NAMESPACE:WHAT` for tool components. What stands
    /// for `WHAT` is said at each kind's `parse_flag`.
    ///
    /// # Errors
    /// `invalid_configuration` that says what would be right. A directory or program must be there.
    pub fn parse_flag(text: &str) -> Result<Grant> {
        Grant::from_flag(text).map_err(|e| Error { message: format!("{}; {FORMS}", e.message), ..e })
    }

    fn from_flag(text: &str) -> Result<Grant> {
        let (head, rest) = text.split_once(':').unwrap_or((text, ""));
        let (kind, to) = match head.split_once('@') {
            Some((kind, to)) => (kind, Some(to.split(',').map(Namespace::parse).collect::<Result<_>>().map_err(|e| malformed(e.message))?)),
            None => (head, None),
        };
        let components = to.is_some();
        let to = to.map_or_else(To::builtin, To::components);
        match kind {
            FsGrant::KIND => FsGrant::parse_flag(rest, to).map(Grant::Fs),
            HttpGrant::KIND => HttpGrant::parse_flag(rest, to).map(Grant::Http),
            KvGrant::KIND => KvGrant::parse_flag(rest, to).map(Grant::Kv),
            ExecGrant::KIND | SecretGrant::KIND if components => {
                Err(malformed(format!("a grant of kind {kind:?} is for no tool components by itself; leave @ and what follows it out")))
            }
            ExecGrant::KIND => ExecGrant::parse_flag(rest).map(Grant::Exec),
            SecretGrant::KIND => SecretGrant::parse_flag(rest).map(Grant::Secret),
            EnvGrant::KIND | ClockGrant::KIND | RandomGrant::KIND if !components => Err(malformed(format!(
                "a grant of kind {kind:?} is of use to tool components alone; name their namespaces, as in {kind}@search"
            ))),
            EnvGrant::KIND => EnvGrant::parse_flag(rest, to).map(Grant::Env),
            ClockGrant::KIND if rest.is_empty() => Ok(Grant::Clock(ClockGrant::for_components(None, to))),
            RandomGrant::KIND if rest.is_empty() => Ok(Grant::Random(RandomGrant::for_components(None, to))),
            _ => Err(malformed(format!("{text:?} is not a grant of this version"))),
        }
    }

    /// As it stands in a grant: `fs`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Grant::Fs(_) => FsGrant::KIND,
            Grant::Http(_) => HttpGrant::KIND,
            Grant::Kv(_) => KvGrant::KIND,
            Grant::Exec(_) => ExecGrant::KIND,
            Grant::Secret(_) => SecretGrant::KIND,
            Grant::Env(_) => EnvGrant::KIND,
            Grant::Clock(_) => ClockGrant::KIND,
            Grant::Random(_) => RandomGrant::KIND,
        }
    }

    /// The name under which jobs see it.
    #[must_use]
    pub fn name(&self) -> &GrantName {
        match self {
            Grant::Fs(grant) => &grant.name,
            Grant::Http(grant) => &grant.name,
            Grant::Kv(grant) => &grant.name,
            Grant::Exec(grant) => &grant.name,
            Grant::Secret(grant) => &grant.name,
            Grant::Env(grant) => &grant.name,
            Grant::Clock(grant) => &grant.name,
            Grant::Random(grant) => &grant.name,
        }
    }

    /// For whom it is. None of a `secret`: it is for whoever the `http` grant is for that it names.
    #[must_use]
    pub fn to(&self) -> Option<&To> {
        static BUILTIN: To = To::BUILTIN;
        match self {
            Grant::Fs(grant) => Some(&grant.to),
            Grant::Http(grant) => Some(&grant.to),
            Grant::Kv(grant) => Some(&grant.to),
            Grant::Exec(_) => Some(&BUILTIN),
            Grant::Secret(_) => None,
            Grant::Env(grant) => Some(&grant.to),
            Grant::Clock(grant) => Some(&grant.to),
            Grant::Random(grant) => Some(&grant.to),
        }
    }

    /// The other grant without which this one gives nothing.
    #[must_use]
    pub fn needs(&self) -> Option<Needs<'_>> {
        match self {
            Grant::Exec(grant) => Some(Needs { field: "directory", kind: FsGrant::KIND, name: &grant.directory }),
            Grant::Secret(grant) => Some(Needs { field: "http", kind: HttpGrant::KIND, name: &grant.http }),
            _ => None,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: GrantName) -> Grant {
        let own = match &mut self {
            Grant::Fs(grant) => &mut grant.name,
            Grant::Http(grant) => &mut grant.name,
            Grant::Kv(grant) => &mut grant.name,
            Grant::Exec(grant) => &mut grant.name,
            Grant::Secret(grant) => &mut grant.name,
            Grant::Env(grant) => &mut grant.name,
            Grant::Clock(grant) => &mut grant.name,
            Grant::Random(grant) => &mut grant.name,
        };
        *own = name;
        self
    }

    /// For people: `project: read and write files below /home/me/project`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}: {}", self.name(), self.what_and_for_whom())
    }

    /// As [`Grant::words`], without its name.
    #[must_use]
    pub fn what_and_for_whom(&self) -> String {
        let what = match self {
            Grant::Fs(grant) => grant.words(),
            Grant::Exec(grant) => grant.words(),
            _ => self.what(),
        };
        format!("{what}{}", self.to().map(To::words).unwrap_or_default())
    }

    /// As a job may see it, without its name and without anything of the host's disk: `read and write files below project/`.
    #[must_use]
    pub fn inside_words(&self) -> String {
        format!("{}{}", self.what(), self.to().map(To::words).unwrap_or_default())
    }

    /// Whether what it names is there, as it was when it was granted. Blocks.
    ///
    /// # Errors
    /// `invalid_configuration` that says what is not.
    pub fn usable_now(&self) -> Result<()> {
        match self {
            Grant::Fs(grant) => open::open_dir(grant).map(drop),
            Grant::Exec(grant) => grant.usable_now(),
            _ => Ok(()),
        }
    }

    fn what(&self) -> String {
        match self {
            Grant::Fs(grant) => grant.inside_words(),
            Grant::Http(grant) => grant.words(),
            Grant::Kv(grant) => grant.words(),
            Grant::Exec(grant) => grant.inside_words(),
            Grant::Secret(grant) => grant.words(),
            Grant::Env(grant) => grant.words(),
            Grant::Clock(_) => ClockGrant::words(),
            Grant::Random(_) => RandomGrant::words(),
        }
    }
}

/// The first of `grants` that stands on one which is not among `all`, and what is missing.
#[must_use]
pub fn dangling<'g>(grants: &'g [Grant], all: &[Grant]) -> Option<(&'g Grant, Needs<'g>, Error)> {
    grants.iter().find_map(|grant| {
        let needs = grant.needs()?;
        let there = all.iter().any(|other| other.name() == needs.name && other.kind() == needs.kind);
        let why = format!("there is no grant of kind {:?} named {:?}; grant that first", needs.kind, needs.name.as_str());
        (!there).then(|| (grant, needs, malformed(why)))
    })
}

fn malformed(message: String) -> Error {
    Error::new(Code::InvalidConfiguration, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn words(text: &str, dir: &Path) -> Result<String> {
        Grant::parse_flag(&text.replace("DIR", dir.to_str().unwrap())).map(|g| g.words().replace(dir.to_str().unwrap(), "DIR"))
    }

    #[test]
    fn a_flag_names_a_directory_and_what_may_be_done_below_it() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        for sub in ["project", "a=b", "x:ro", "with space"] {
            std::fs::create_dir(dir.join(sub)).unwrap();
        }
        std::os::unix::fs::symlink("project", dir.join("link")).unwrap();
        for (flag, expected) in [
            ("fs:DIR/project", "project: read and write files below DIR/project"),
            ("fs:DIR/project:rw", "project: read and write files below DIR/project"),
            ("fs:DIR/project:ro", "project: read files below DIR/project"),
            ("fs:DIR/project/", "project: read and write files below DIR/project"),
            ("fs:DIR/project/../project:ro", "project: read files below DIR/project"),
            ("fs:p.1-x_Y=DIR/project:ro", "p.1-x_Y: read files below DIR/project"),
            ("fs:x=DIR/x:ro:rw", "x: read and write files below DIR/x:ro"),
            ("fs:x=DIR/a=b", "x: read and write files below DIR/a=b"),
            ("fs:x=DIR/with space", "x: read and write files below DIR/with space"),
            ("fs:DIR/link", "project: read and write files below DIR/project"),
            ("fs:root=/:ro", "root: read files below /"),
        ] {
            assert_eq!(words(flag, &dir).unwrap(), expected, "{flag}");
        }
        assert_eq!(Grant::parse_flag("fs:src").unwrap().name().as_str(), "src", "relative to the working directory");
    }

    #[test]
    fn a_flag_that_is_no_grant_says_what_would_be_one() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("with space")).unwrap();
        std::fs::write(dir.join("file"), "").unwrap();
        for (flag, says) in [
            ("DIR", "is not a grant of this version; a grant is fs:DIR, fs:DIR:ro or fs:NAME=DIR[:ro|:rw], http:ORIGIN[=GET,POST], kv:"),
            ("tcp:example.com", "is not a grant of this version"),
            ("fs:DIR/none", "cannot be used"),
            ("fs:DIR/file", "is not a directory"),
            ("fs:DIR:wo", "cannot be used"),
            ("fs:DIR/with space", "give one as NAME=DIR"),
            ("fs:/", "give one as NAME=DIR"),
            ("fs:two words=DIR", "\"two words\" cannot name a grant"),
            ("fs:..=DIR", "\"..\" cannot name a grant"),
            ("fs:=DIR", "\"\" cannot name a grant"),
            ("fs:", "cannot be used"),
        ] {
            let error = words(flag, &dir).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfiguration, "{flag}");
            assert!(error.message.contains(says), "{flag}: {error}");
            assert!(error.message.contains(FORMS), "{flag}: {error}");
        }
        assert!(GrantName::parse(&"x".repeat(64)).is_ok());
        assert!(GrantName::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn a_grant_reads_back_from_json_and_its_name_is_checked_there_too() {
        let text = r#"{"kind":"fs","name":"project","path":"/srv/project","access":"ro"}"#;
        let grant: Grant = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&grant).unwrap(), text);
        assert!(serde_json::from_str::<Grant>(&text.replace("\"project\"", "\"..\"")).is_err());
        assert!(serde_json::from_str::<Grant>(&text.replace("\"ro\"", "\"wo\"")).is_err());
    }

    #[test]
    fn what_a_journal_once_held_reads_the_same_forever() {
        let lines: Vec<&str> = include_str!("../../../../tests/fixtures/grants/kept.jsonl").lines().collect();
        for line in &lines {
            let grant: Grant = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(serde_json::to_string(&grant).unwrap(), *line);
        }
        let there: BTreeSet<&str> = lines.iter().map(|line| serde_json::from_str::<Grant>(line).unwrap().kind()).collect();
        assert_eq!(there, BTreeSet::from(Grant::KINDS), "every kind stands in the fixture");
        for (line, says) in [
            (r#"{"kind":"kv","name":"a","access":"rw","more":1}"#, "unknown field `more`"),
            (r#"{"kind":"kv","name":"..","access":"rw"}"#, "cannot name a grant"),
            (r#"{"kind":"exec","name":"a","program":"sh","args":[],"directory":"p"}"#, "is not the absolute path"),
            (r#"{"kind":"exec","name":"a","program":"/bin/sh","args":["**","x"],"directory":"p"}"#, "in the last place"),
            (r#"{"kind":"secret","name":"a","secret":"k","http":"p","place":"header:host"}"#, "cannot carry a secret"),
            (r#"{"kind":"clock","name":"a","to":["A"]}"#, "is not a namespace"),
            (r#"{"kind":"tcp","name":"a"}"#, "unknown variant `tcp`"),
            (r#"{"kind":"fs","name":"a","path":"/a","at":"b/../c","access":"ro"}"#, "is no place below a grant's name"),
            (r#"{"kind":"fs","name":"a","path":"/a","at":"","access":"ro"}"#, "is no place below a grant's name"),
            (r#"{"kind":"fs","name":"a","path":"/a","at":"/b","access":"ro"}"#, "is no place below a grant's name"),
        ] {
            let error = serde_json::from_str::<Grant>(line).unwrap_err();
            assert!(error.to_string().contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn flags_name_the_other_kinds_and_for_whom() {
        for (flag, words) in [
            ("kv:notes", "notes: read and write keys in the space notes"),
            ("kv:notes:ro", "notes: read keys in the space notes"),
            ("kv@search,mail:notes:ro", "notes: read keys in the space notes, for the tools of mail and search"),
            ("http@search:https://a.example=GET", "a.example: GET at https://a.example, for the tools of search"),
            ("env@search:LANG=a=b:c", "LANG: see the variable LANG, for the tools of search"),
            ("clock@search", "clock: know the time, for the tools of search"),
            ("random@search:", "random: draw random numbers, for the tools of search"),
        ] {
            assert_eq!(Grant::parse_flag(flag).unwrap().words(), words, "{flag}");
        }
        for (flag, says) in [
            ("kv:", "\"\" cannot name a grant"),
            ("kv:a b", "cannot name a grant"),
            ("clock", "of use to tool components alone; name their namespaces, as in clock@search"),
            ("env:A=b", "of use to tool components alone"),
            ("env@search:A", "write env@NAMESPACE:VARIABLE=VALUE"),
            ("clock@search:now", "is not a grant of this version"),
            ("exec@search:/bin/sh@p", "leave @ and what follows it out"),
            ("kv@:notes", "\"\" is not a namespace"),
            ("kv@Search:notes", "is not a namespace"),
        ] {
            let error = Grant::parse_flag(flag).unwrap_err();
            assert!(error.message.contains(says), "{flag}: {error}");
        }
    }

    #[test]
    fn what_is_for_one_reader_is_nothing_to_another() {
        let tmp = tempfile::tempdir().unwrap();
        let flag = |text: &str| Grant::parse_flag(&text.replace("DIR", tmp.path().to_str().unwrap())).unwrap();
        let all = [
            flag("fs:own=DIR:ro"),
            flag("fs@search:index=DIR:ro"),
            flag("http:https://own.example"),
            flag("http@search:https://index.example"),
            flag("kv:own-space"),
            flag("kv@search:index-space"),
            flag("exec:/bin/sh@own"),
            flag("secret:own-key@own.example=body"),
            flag("secret:index-key@index.example=body"),
            flag("env@search:LANG=C"),
            flag("clock@search"),
            flag("random@search"),
        ];
        let own = Grants::open(&all).unwrap();
        let search = own.for_namespace(&Namespace::parse("search").unwrap());
        let stranger = own.for_namespace(&Namespace::parse("mail").unwrap());
        let seen = |grants: &Grants| {
            let name = |text: &str| GrantName::parse(text).unwrap();
            let http = |host: &str| grants.http(&format!("https://{host}"), Method::Get, "/").map(|grant| grant.name.to_string());
            let secrets = |host: &str| grants.secrets(&name(host)).map(|secret| secret.name.to_string()).collect::<Vec<_>>();
            let mut seen: Vec<String> = grants.dirs().map(|(name, _)| name.to_string()).collect();
            seen.extend(["own", "index"].into_iter().filter_map(|dir| grants.dir(dir)).map(|(name, _)| name.to_string()));
            seen.extend(["own.example", "index.example"].into_iter().filter_map(http));
            seen.extend(["own.example", "index.example"].into_iter().flat_map(secrets));
            seen.extend(["own-space", "index-space"].into_iter().filter_map(|space| grants.kv(space)).map(|kv| kv.name.to_string()));
            seen.extend(grants.exec("/bin/sh").map(|exec| exec.name.to_string()));
            seen.extend(grants.env().map(|env| env.variable.clone()));
            seen.extend(grants.clock().then(|| "clock".to_owned()));
            seen.extend(grants.random().then(|| "random".to_owned()));
            seen.join(" ")
        };
        assert_eq!(seen(&own), "own own own.example own-key own-space sh");
        assert_eq!(seen(&search), "index index index.example index-key index-space LANG clock random");
        assert_eq!(seen(&stranger), "");
        assert_eq!(seen(&Grants::none().for_namespace(&Namespace::parse("search").unwrap())), "");
        assert!(
            own.hint().ends_with("this job has: own (read)")
                && search.kv_hint().ends_with("the tools of search have: index-space (read and write)")
        );
        assert!(
            stranger.hint().contains("the tools of mail have no grants; an operator gives one with --grant fs@mail:DIR"),
            "{}",
            stranger.hint()
        );
        assert!(own.exec_hint().ends_with("sh (run the program sh without arguments in own/)"), "{}", own.exec_hint());
        assert!(stranger.http_hint().contains("http@mail:ORIGIN"), "{}", stranger.http_hint());
    }

    #[test]
    fn what_a_grant_stands_on_must_be_there_and_a_program_must_not_be_writable() {
        let tmp = tempfile::tempdir().unwrap();
        let program = tmp.path().canonicalize().unwrap().join("tool");
        std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
        let flag = |text: &str| Grant::parse_flag(&text.replace("DIR", tmp.path().to_str().unwrap())).unwrap();
        let (reads, writes) = (flag("fs:d=DIR:ro"), flag("fs:d=DIR"));
        for (grants, says) in [
            (vec![flag("exec:/bin/sh@d")], "grant \"sh\": directory: there is no grant of kind \"fs\" named \"d\"; grant that first"),
            (vec![flag("kv:d"), flag("exec:/bin/sh@d")], "there is no grant of kind \"fs\" named \"d\""),
            (vec![flag("secret:k@d=body"), reads.clone()], "grant \"k\": http: there is no grant of kind \"http\" named \"d\""),
            (vec![writes.clone(), flag("exec:DIR/tool@d")], "lies in the grant \"d\", so a job could rewrite it"),
        ] {
            let error = Grants::open(&grants).unwrap_err();
            assert!(error.code == Code::InvalidConfiguration && error.message.contains(says), "{error}");
        }
        assert!(Grants::open(&[reads, flag("exec:DIR/tool@d")]).is_ok());
        assert!(Grants::open(&[flag("exec:/bin/sh@d"), writes]).is_ok(), "the order does not matter");
    }

    #[test]
    fn nothing_is_granted_until_it_is_and_names_do_not_repeat() {
        assert!(Grants::none().list().is_empty() && Grants::default().list().is_empty());
        let tmp = tempfile::tempdir().unwrap();
        let grant = |name: &str| Grant::parse_flag(&format!("fs:{name}={}", tmp.path().display())).unwrap();
        let one = Grants::open(&[grant("a")]).unwrap();
        let two = one.with(&[grant("b")]).unwrap();
        assert_eq!((one.list().len(), two.list()), (1, [grant("a"), grant("b")].as_slice()));
        let error = two.with(&[grant("b")]).unwrap_err();
        assert!(error.code == Code::InvalidConfiguration && error.message.contains("two grants are named \"b\""), "{error}");
    }

    #[test]
    fn a_directory_that_was_removed_or_replaced_by_a_link_since_is_not_opened() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::create_dir_all(dir.join("other/b")).unwrap();
        let grant = Grant::parse_flag(&format!("fs:{}", dir.join("a/b").display())).unwrap();
        std::fs::rename(dir.join("a"), dir.join("moved")).unwrap();
        assert!(Grants::open(std::slice::from_ref(&grant)).unwrap_err().message.contains("cannot be opened"));
        std::os::unix::fs::symlink("other", dir.join("a")).unwrap();
        assert!(Grants::open(&[grant]).unwrap_err().message.contains("is now another one"));
    }
}
