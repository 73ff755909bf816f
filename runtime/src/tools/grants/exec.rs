//! What an operator permits of the host's programs: one of them, with these arguments, in one directory.
//!
//! It knows whether a grant covers a program and its arguments. It starts nothing.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

use super::written::need;
use super::{GrantName, Written, Wrong, malformed};

/// One program of the host. Only the built-in `exec/run` uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct ExecGrant {
    /// For people, and so that two grants can be told apart.
    pub name: GrantName,
    /// The program: an absolute path, started as it is written here.
    pub program: PathBuf,
    /// What its arguments must look like, in their order; no arguments where there are none.
    pub args: Vec<ArgPattern>,
    /// The `fs` grant in whose directory it runs.
    pub directory: GrantName,
}

/// As a journal holds it: not looked for on the disk again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    name: GrantName,
    program: String,
    #[serde(default)]
    args: Vec<ArgPattern>,
    directory: GrantName,
}

impl TryFrom<Saved> for ExecGrant {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        let program = absolute(&saved.program).map_err(|e| e.message)?;
        check_patterns(&saved.args).map_err(|(_, e)| e.message)?;
        Ok(ExecGrant { name: saved.name, program, args: saved.args, directory: saved.directory })
    }
}

impl ExecGrant {
    /// As it stands in a grant.
    pub const KIND: &str = "exec";

    pub(super) fn read(written: &Written) -> Result<ExecGrant, Wrong> {
        written.only(&["program", "args", "directory"])?;
        let program = program(need(written.program.as_ref(), "program")?).map_err(Wrong::field("program"))?;
        let at = |(index, error)| Wrong { field: "args", index: Some(index), error };
        let args = patterns(written.args.iter().flatten().map(String::as_str)).map_err(at)?;
        let directory = GrantName::parse(need(written.directory.as_ref(), "directory")?).map_err(Wrong::field("directory"))?;
        let name = match written.name()? {
            Some(name) => name,
            None => own_name(&program).map_err(Wrong::field("program"))?,
        };
        Ok(ExecGrant { name, program, args, directory })
    }

    /// From what stands after `exec:` in a flag: `/usr/bin/git@project=log *`. Arguments are parted by spaces; one with a
    /// space in it, and a program with a `@` or `=` in its path, can be written in a file.
    pub(super) fn parse_flag(rest: &str) -> Result<ExecGrant> {
        let (what, args) = rest.split_once('=').unwrap_or((rest, ""));
        let Some((path, directory)) = what.rsplit_once('@') else {
            return Err(malformed(format!(
                "{what:?} does not say in which directory the program runs; write exec:PROGRAM@NAME, with the name of an fs grant"
            )));
        };
        let (program, directory) = (program(path)?, GrantName::parse(directory)?);
        let args = patterns(args.split(' ').filter(|arg| !arg.is_empty())).map_err(|(_, e)| e)?;
        Ok(ExecGrant { name: own_name(&program)?, program, args, directory })
    }

    pub(super) fn usable_now(&self) -> Result<()> {
        self.program.to_str().ok_or_else(|| malformed("the path of the program is not UTF-8".to_owned())).and_then(program).map(drop)
    }

    /// True where this program may be started with these arguments.
    #[must_use]
    pub fn covers(&self, program: &str, args: &[String]) -> bool {
        if self.program.as_os_str() != program {
            return false;
        }
        let (named, rest) = match self.args.split_last() {
            Some((last, first)) if last.0 == ArgPattern::REST => (first, true),
            _ => (self.args.as_slice(), false),
        };
        let enough = if rest { args.len() >= named.len() } else { args.len() == named.len() };
        enough && named.iter().zip(args).all(|(pattern, arg)| pattern.matches(arg))
    }

    /// `run /usr/bin/git log * in project/`.
    pub(super) fn words(&self) -> String {
        format!("run {}{} in {}/", self.program.display(), self.args_words(), self.directory)
    }

    /// `run the program git log * in project/`: where it lies on the host is nobody's business elsewhere.
    pub(super) fn inside_words(&self) -> String {
        format!("run the program {}{} in {}/", self.name, self.args_words(), self.directory)
    }

    fn args_words(&self) -> String {
        if self.args.is_empty() {
            return " without arguments".to_owned();
        }
        self.args.iter().map(|arg| format!(" {}", if arg.0.contains(' ') { format!("{:?}", arg.0) } else { arg.0.clone() })).collect()
    }
}

/// What one argument must look like: this text, in which each `*` stands for any characters, or none.
///
/// A pattern that begins with `*` matches no argument that begins with `-`: what was meant for a name must not become
/// an option. [`ArgPattern::REST`] in the last place stands for any further arguments, options too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArgPattern(String);

impl ArgPattern {
    /// Any further arguments, whatever they are.
    pub const REST: &str = "**";

    /// As the operator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where this argument fits.
    #[must_use]
    pub fn matches(&self, arg: &str) -> bool {
        if self.0.starts_with('*') && arg.starts_with('-') {
            return false;
        }
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| arg.strip_prefix(first)) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The first place will do: what comes after has the more room the earlier this one ends.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

fn patterns<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<ArgPattern>, (usize, Error)> {
    let patterns: Vec<ArgPattern> = texts.map(|text| ArgPattern(text.to_owned())).collect();
    check_patterns(&patterns)?;
    Ok(patterns)
}

fn check_patterns(patterns: &[ArgPattern]) -> Result<(), (usize, Error)> {
    let at_most = limits::EXEC_ARGS_MAX;
    if patterns.len() > at_most {
        return Err((at_most, malformed(format!("there are {} arguments; a grant names at most {at_most}", patterns.len()))));
    }
    let too_long = |text: &str| text.len() > limits::EXEC_ARG_BYTES_MAX || text.contains('\0');
    for (index, ArgPattern(text)) in patterns.iter().enumerate() {
        if too_long(text) {
            let why = format!("an argument has at most {} bytes and no NUL character", limits::EXEC_ARG_BYTES_MAX);
            return Err((index, malformed(why)));
        }
        let rest_is_last = !text.contains(ArgPattern::REST) || text == ArgPattern::REST && index + 1 == patterns.len();
        if !rest_is_last {
            let why = format!(
                "{text:?}: ** stands for any further arguments, alone and in the last place; * stands for any characters within one"
            );
            return Err((index, malformed(why)));
        }
    }
    Ok(())
}

/// A path that reads in one way, from the root on.
fn absolute(text: &str) -> Result<PathBuf> {
    let path = Path::new(text);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || text.contains('\0') {
        return Err(malformed(format!(
            "{text:?} is not the absolute path of a program, such as /usr/bin/git; no search path is used here"
        )));
    }
    Ok(path.to_owned())
}

/// A program that is there.
fn program(text: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = absolute(text)?;
    match path.metadata() {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(path),
        Ok(_) => Err(malformed(format!("{text} is not a program: a file that may be executed"))),
        Err(e) => Err(malformed(format!("the program {text:?} cannot be used: {e}"))),
    }
}

fn own_name(program: &Path) -> Result<GrantName> {
    let own = program.file_name().unwrap_or_default().to_string_lossy();
    GrantName::parse(&own).map_err(|e| Error { message: format!("{}; give the grant a name", e.message), ..e })
}

#[cfg(test)]
mod tests {
    use super::super::Grant;
    use super::*;

    #[test]
    fn a_pattern_matches_an_argument_as_a_whole() {
        for (pattern, arg, fits) in [
            ("log", "log", true),
            ("log", "logs", false),
            ("log", "", false),
            ("", "", true),
            ("*", "", true),
            ("*", "anything at all", true),
            ("*", "-rf", false),
            ("*.txt", "-x.txt", false),
            ("-*", "-rf", true),
            ("--depth=*", "--depth=1", true),
            ("--depth=*", "--deep=1", false),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.sh", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a--b--bc", true),
            ("a*b*c", "a--c--b", false),
            ("*ab*ab", "ab", false),
        ] {
            assert_eq!(ArgPattern(pattern.to_owned()).matches(arg), fits, "{pattern} {arg}");
        }
    }

    fn covers(args: &str, given: &[&str]) -> bool {
        let args = args.split(' ').filter(|arg| !arg.is_empty()).map(|arg| ArgPattern(arg.to_owned())).collect();
        let name = GrantName::parse("project").unwrap();
        let grant = ExecGrant { name: name.clone(), program: "/bin/sh".into(), args, directory: name };
        let given: Vec<String> = given.iter().map(|arg| (*arg).to_owned()).collect();
        assert!(!grant.covers("/bin/../bin/sh", &given) && !grant.covers("sh", &given));
        grant.covers("/bin/sh", &given)
    }

    #[test]
    fn arguments_fit_one_by_one_and_no_more_of_them_unless_it_says_so() {
        assert!(covers("", &[]) && !covers("", &["x"]));
        assert!(covers("log *", &["log", "main"]) && !covers("log *", &["log"]) && !covers("log *", &["log", "main", "x"]));
        assert!(covers("log **", &["log"]) && covers("log **", &["log", "-x", "y"]) && !covers("log **", &[]));
    }

    #[test]
    fn a_flag_names_the_program_its_directory_and_its_arguments() {
        for (flag, words) in [
            ("exec:/bin/sh@project", "sh: run /bin/sh without arguments in project/"),
            ("exec:/bin/sh@project=-c *", "sh: run /bin/sh -c * in project/"),
            ("exec:/bin/sh@project=a=b **", "sh: run /bin/sh a=b ** in project/"),
        ] {
            assert_eq!(Grant::parse_flag(flag).unwrap().words(), words, "{flag}");
        }
        for (flag, says) in [
            ("exec:/bin/sh", "does not say in which directory"),
            ("exec:sh@project", "is not the absolute path of a program"),
            ("exec:/bin/../bin/sh@project", "is not the absolute path of a program"),
            ("exec:/bin/no-such-program@project", "cannot be used"),
            ("exec:/bin@project", "is not a program"),
            ("exec:/bin/sh@a/b", "cannot name a grant"),
            ("exec:/bin/sh@project=** x", "in the last place"),
            ("exec:/bin/sh@project=a**", "in the last place"),
        ] {
            let error = Grant::parse_flag(flag).unwrap_err();
            assert!(error.message.contains(says), "{flag}: {error}");
        }
    }
}
