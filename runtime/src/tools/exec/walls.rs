//! The walls around a program: what of the machine it can reach, held by the kernel (Landlock) where there is such a one.
//!
//! A thread takes the walls on, and whatever it starts has them for good; the thread ends with the program. What the program
//! may not do with the host's files, ports and processes follows from here alone.
//!
//! The rules that must stay true: where the kernel can build a wall, a program does not start without it; where it cannot,
//! that is said.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};

/// What every program reads and may execute: where systems keep programs and what these need.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What every program reads.
const SETTINGS: [&str; 1] = ["/etc"];
/// Devices that are no way to anything.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The newest version of Landlock whose rights were looked at here. An older kernel does what it can of them.
const KNOWN: ABI = ABI::V9;

/// What the kernel can build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::tools) enum Walls {
    /// Nothing.
    None,
    /// Around files, except that one which may be written elsewhere can be cut short (Landlock before version 3).
    MostFiles,
    /// Around files (3).
    Files,
    /// And TCP (4).
    FilesAndPorts,
    /// And other processes (6).
    Processes,
    /// And sockets that have a path (9).
    All,
}

impl Walls {
    /// What this machine's kernel can build; asked once.
    pub(in crate::tools) fn of_this_kernel() -> Walls {
        static FOUND: OnceLock<Walls> = OnceLock::new();
        // A thread takes on the narrowest walls there are, says what came of it, and ends.
        *FOUND.get_or_init(|| {
            std::thread::spawn(|| asked().map_or(Walls::None, |status| Walls::of(status.landlock))).join().unwrap_or(Walls::None)
        })
    }

    fn of(status: LandlockStatus) -> Walls {
        match status {
            LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => Walls::None,
            LandlockStatus::Available { effective_abi, .. } => match effective_abi {
                ABI::Unsupported => Walls::None,
                ABI::V1 | ABI::V2 => Walls::MostFiles,
                ABI::V3 => Walls::Files,
                ABI::V4 | ABI::V5 => Walls::FilesAndPorts,
                ABI::V6 | ABI::V7 | ABI::V8 => Walls::Processes,
                _ => Walls::All,
            },
        }
    }

    /// What is to be known before a program is granted.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Walls::None => Some(
                "This machine's kernel has no Landlock (Linux 5.13 or later has): a program is bounded by nothing but the rights of the user as whom Reprise runs.",
            ),
            Walls::MostFiles => Some(
                "This machine's kernel has an old Landlock: programs can cut short any file that the user may write, open connections, and signal the user's processes.",
            ),
            Walls::Files => {
                Some("This machine's kernel has an old Landlock: programs can open connections, and signal the user's processes.")
            }
            Walls::FilesAndPorts => Some("This machine's kernel has an old Landlock: programs can signal the user's processes."),
            Walls::Processes => {
                Some("This machine's kernel does not keep programs from sockets that have a path, such as /run/docker.sock.")
            }
            Walls::All => None,
        }
    }

    /// What stands in every answer.
    pub(super) fn warning(self) -> Option<&'static str> {
        (self == Walls::None).then_some("this machine's kernel has no Landlock, so that the program ran without walls")
    }

    /// Closes the calling thread in, and whatever it starts from now on.
    ///
    /// # Errors
    /// The kernel has Landlock and did not build what it was told to.
    pub(super) fn close_in(self, inside: &Inside<'_, impl AsFd>) -> Result<(), String> {
        let status = if self == Walls::None { unprivileged() } else { inside.closed() }.map_err(|e| e.to_string())?;
        if Walls::of(status.landlock) < self || !status.no_new_privs {
            return Err(format!("the kernel built less than it can: {status:?}"));
        }
        Ok(())
    }
}

/// What is on this side of the walls, beside what every program needs.
pub(super) struct Inside<'i, D> {
    pub(super) program: &'i Path,
    pub(super) directory: &'i D,
    pub(super) writable: bool,
}

impl<D: AsFd> Inside<'_, D> {
    fn closed(&self) -> Result<RestrictionStatus, RulesetError> {
        let look = AccessFs::ReadFile | AccessFs::ReadDir;
        // A file that a job wrote there must not become a program.
        let change = AccessFs::from_write(KNOWN) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
        let within: BitFlags<AccessFs> = if self.writable { look | change } else { look };
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, look | AccessFs::Execute))?
            .add_rules(path_beneath_rules([self.program], AccessFs::ReadFile | AccessFs::Execute))?
            .add_rules(path_beneath_rules(SETTINGS, look))?
            .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile))?;
        rules.add_rule(PathBeneath::new(self.directory.as_fd(), within))?.restrict_self()
    }
}

/// No walls, but no set-user-id either: that much every kernel does.
fn unprivileged() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default().handle_access(AccessFs::MakeBlock)?.create()?.restrict_self()
}

fn asked() -> Result<RestrictionStatus, RulesetError> {
    let nothing = std::path::PathBuf::from("/");
    match PathFd::new(&nothing) {
        Ok(root) => Inside { program: &nothing, directory: &root, writable: false }.closed(),
        Err(_) => Ruleset::default().handle_access(AccessFs::Execute)?.create()?.restrict_self(),
    }
}

/// The directory that every program reads and in which this path lies.
pub(super) fn readable(path: &Path) -> Option<&'static str> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let holds =
        |directory: &&&str| real.starts_with(Path::new(directory).canonicalize().unwrap_or_else(|_| Path::new(directory).to_owned()));
    SYSTEM.iter().chain(&SETTINGS).find(holds).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tools;
    use super::*;
    use crate::contract::ToolId;
    use crate::json::Json;
    use crate::limits;
    use crate::tools::{Grant, Grants, Registry, Times};

    #[test]
    fn what_every_program_reads_is_no_place_for_the_data_directory() {
        assert_eq!(readable(Path::new("/usr/local/var/reprise")), Some("/usr"));
        assert_eq!(readable(Path::new("/etc")), Some("/etc"));
        assert_eq!(readable(Path::new("/var/lib/reprise")), None);
        assert_eq!(readable(Path::new("/etcetera")), None);
    }

    #[test]
    fn where_the_kernel_builds_no_walls_that_is_said_before_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let grants = ["fs:work=DIR", "exec:/bin/sh@work=-c *"]
            .map(|flag| Grant::parse_flag(&flag.replace("DIR", dir.path().to_str().unwrap())).unwrap());
        let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
        let registry = Registry::of(tools(Walls::None, None), times);
        let id = ToolId::parse("exec/run").unwrap();
        assert!(registry.get(&id).unwrap().warning.as_ref().unwrap().contains("has no Landlock"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let input = Json::from(&json!({ "program": "/bin/sh", "args": ["-c", "cat /proc/self/status"] }));
        let output = runtime.block_on(registry.call(&id, "k", &input, &Grants::open(&grants).unwrap())).unwrap().value();
        assert!(output["warning"].as_str().unwrap().contains("ran without walls"), "{output}");
        assert!(output["stdout"].as_str().unwrap().contains("NoNewPrivs:\t1"), "{output}");
        assert!(
            [Walls::MostFiles, Walls::Files, Walls::FilesAndPorts, Walls::Processes]
                .iter()
                .all(|walls| walls.missing().is_some() && walls.warning().is_none())
        );
        assert_eq!((Walls::All.missing(), Walls::All.warning()), (None, None));
    }
}
