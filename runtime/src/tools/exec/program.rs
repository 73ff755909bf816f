//! The file behind a granted path: followed by hand, link by link, so that every place which decides what runs is seen.
//!
//! The rule that must stay true: no place on the way lies where a job may write. It opens nothing and starts nothing.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::contract::{ErrorKind, ToolError};
use crate::limits;

use super::super::{Access, Grant};

/// Why a program is not started.
#[derive(Debug, PartialEq)]
pub(super) enum Unfit {
    /// There is no such file.
    Missing,
    /// It is something else than a file that may be executed.
    NoProgram,
    /// This grant lets a job write at a place on the way to it.
    Writable(String),
    /// Too many links.
    Loop,
}

impl Unfit {
    /// As the job sees it, without a path of the host.
    pub(super) fn told(self, name: &str) -> ToolError {
        match self {
            Unfit::Missing => ToolError::new(ErrorKind::NotFound, format!("the program of the grant {name:?} is not there any more")),
            Unfit::NoProgram => {
                ToolError::new(ErrorKind::NotFound, format!("the program of the grant {name:?} is no file that may be executed"))
            }
            Unfit::Loop => ToolError::new(ErrorKind::NotFound, format!("the program of the grant {name:?} is behind too many links")),
            Unfit::Writable(grant) => {
                let text = format!(
                    "the program of the grant {name:?} is reached through the grant {grant:?}, so a job could replace it; it is not started"
                );
                ToolError::new(ErrorKind::Denied, text)
            }
        }
    }
}

/// The program's own file, with no link left in its path. `grants`: all that there are, whoever they are for.
pub(super) fn find(program: &Path, grants: &[Grant]) -> Result<PathBuf, Unfit> {
    let writable: Vec<(&str, &Path)> = grants
        .iter()
        .filter_map(|grant| match grant {
            Grant::Fs(fs) if fs.access == Access::ReadWrite => Some((fs.name.as_str(), fs.path.as_path())),
            _ => None,
        })
        .collect();
    let mut left: VecDeque<OsString> = parts(program);
    let mut place = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            place.pop();
            continue;
        }
        place.push(&part);
        if let Some((name, _)) = writable.iter().find(|(_, path)| place.starts_with(path)) {
            return Err(Unfit::Writable((*name).to_owned()));
        }
        let found = fs::symlink_metadata(&place).map_err(|_| Unfit::Missing)?;
        if !found.is_symlink() {
            continue;
        }
        links += 1;
        if links > limits::EXEC_LINKS_MAX {
            return Err(Unfit::Loop);
        }
        let target = fs::read_link(&place).map_err(|_| Unfit::Missing)?;
        if target.is_absolute() {
            place = PathBuf::from("/");
        } else {
            place.pop();
        }
        let behind = std::mem::replace(&mut left, parts(&target));
        left.extend(behind);
    }
    match fs::metadata(&place) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => Ok(place),
        Ok(_) => Err(Unfit::NoProgram),
        Err(_) => Err(Unfit::Missing),
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_place_on_the_way_to_a_program_is_looked_at() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        for sub in ["bin", "work/inner", "safe"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        for file in ["bin/tool", "work/script"] {
            fs::write(dir.join(file), "#!/bin/sh\n").unwrap();
            fs::set_permissions(dir.join(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(dir.join("bin/text"), "").unwrap();
        symlink("../bin/tool", dir.join("safe/link")).unwrap();
        symlink(dir.join("bin"), dir.join("safe/dir")).unwrap();
        symlink("dir/../bin/tool", dir.join("safe/far")).unwrap();
        symlink("../bin/tool", dir.join("work/link")).unwrap();
        symlink("../../bin", dir.join("work/inner/dir")).unwrap();
        // Through the granted directory and out of it again: the end is harmless, the way is not.
        symlink("../work/inner/dir/tool", dir.join("safe/through")).unwrap();
        symlink("../work/inner/dir", dir.join("safe/through-dir")).unwrap();
        symlink("../work", dir.join("safe/work")).unwrap();
        symlink("loop", dir.join("safe/loop")).unwrap();
        symlink("nowhere", dir.join("safe/broken")).unwrap();
        let grants = |access: &str| vec![Grant::parse_flag(&format!("fs:{}:{access}", dir.join("work").display())).unwrap()];
        let tool = Ok(dir.join("bin/tool"));
        let writable = || Err(Unfit::Writable("work".to_owned()));
        for (path, expected) in [
            ("bin/tool", tool),
            ("safe/link", Ok(dir.join("bin/tool"))),
            ("safe/dir/tool", Ok(dir.join("bin/tool"))),
            ("safe/far", Ok(dir.join("bin/tool"))),
            ("bin/text", Err(Unfit::NoProgram)),
            ("bin", Err(Unfit::NoProgram)),
            ("bin/none", Err(Unfit::Missing)),
            ("safe/broken", Err(Unfit::Missing)),
            ("safe/loop", Err(Unfit::Loop)),
            ("work/script", writable()),
            ("work/link", writable()),
            ("work", writable()),
            ("safe/through", writable()),
            ("safe/through-dir/tool", writable()),
            ("safe/work/script", writable()),
            ("safe/work/none", writable()),
        ] {
            assert_eq!(find(&dir.join(path), &grants("rw")), expected, "{path}");
        }
        assert_eq!(find(&dir.join("safe/through"), &grants("ro")), Ok(dir.join("bin/tool")), "nobody writes there");
    }
}
