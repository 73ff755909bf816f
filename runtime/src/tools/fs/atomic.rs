//! Whole new content under a name, or nothing changed.
//!
//! Its job: lock what stands under a name, let the caller make the new content from it, write that to a
//! temporary file beside it, flush, rename, flush the directory.
//!
//! | the process dies | what is there afterwards |
//! |---|---|
//! | before the rename | the old content, and perhaps the temporary file, whose name comes from the call's key: the repeat removes it |
//! | after the rename | the new content; before the directory's flush, a power cut may bring the old one back |
//!
//! The rules that must stay true: nobody ever sees half of a content; two calls that change one file do so one
//! after the other; another name of the same file (a hard link) keeps the old content.

use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

use crate::contract::{ErrorKind, ToolError};
use crate::ids::Digest;

use super::{Call, Place, denied, sync_dir};

/// A file that stands under the name, open and locked against other calls until dropped.
pub(super) struct Locked {
    pub(super) file: std::fs::File,
    /// As it was once locked.
    meta: std::fs::Metadata,
}

impl Locked {
    /// False once anything about the file changed, or another one stands under the name.
    fn is_still(&self, dir: &Dir, name: &str) -> io::Result<bool> {
        let now = match dir.symlink_metadata(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let was = &self.meta;
        let changed =
            cap_std::fs::MetadataExt::ctime(&now) != was.ctime() || cap_std::fs::MetadataExt::ctime_nsec(&now) != was.ctime_nsec();
        Ok(is_same(&now, was) && now.len() == was.len() && !changed)
    }
}

/// Puts what `make` makes of the present file (none where nothing is there) under `name` in `dir`, which is `place`.
/// `make` may be asked again: when someone who takes no locks changed the file meanwhile.
pub(super) fn exchange(
    call: &Call,
    place: &Place<'_>,
    (dir, name): (&Dir, &str),
    mut make: impl FnMut(Option<&mut Locked>) -> Result<Vec<u8>, ToolError>,
) -> Result<(), ToolError> {
    for tries in 0.. {
        let mut old = lock(call, place, dir, name)?;
        let content = make(old.as_mut())?;
        if !call.has_time() {
            break;
        }
        if put(call, place, (dir, name), &content, old.as_ref())? {
            return Ok(());
        }
        if !call.pause(tries) {
            break;
        }
    }
    Err(out_of_time(place))
}

fn out_of_time(place: &Place<'_>) -> ToolError {
    ToolError::new(ErrorKind::Unavailable, format!("{:?} is being changed by others all the time; nothing was changed", place.text))
}

/// Locks the file under `name`, if there is one; waits for whoever holds it.
fn lock(call: &Call, place: &Place<'_>, dir: &Dir, name: &str) -> Result<Option<Locked>, ToolError> {
    let fail = |e: io::Error| place.refusal(&e, "lock");
    for tries in 0.. {
        let meta = match dir.symlink_metadata(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(fail)?,
        };
        if meta.is_symlink() {
            let text = format!(
                "{:?} is a symbolic link in the grant {:?}; files are not changed through links, use the path that it points to",
                place.text,
                place.grant.as_str()
            );
            return Err(denied(text));
        }
        if meta.is_dir() {
            return Err(ToolError::new(ErrorKind::Conflict, format!("{:?} is a directory, not a file", place.text)));
        }
        // Opened for writing, so that a file which this process may not write is not replaced either.
        let file = match place.open_file(dir, name.as_ref(), meta.file_type(), true) {
            // Removed or replaced since it was looked up: look again.
            Err(e) if e.kind == ErrorKind::NotFound && call.has_time() => continue,
            other => other?.into_std(),
        };
        if let Some(locked) = try_lock(dir, name, file).map_err(fail)? {
            return Ok(Some(locked));
        }
        if !call.pause(tries) {
            break;
        }
    }
    Err(out_of_time(place))
}

/// Locks a file that was opened under `name`. None where someone holds it, or where another file stands under the
/// name by now: whoever held it may have put that there, and then that is the one to lock and to read.
fn try_lock(dir: &Dir, name: &str, file: std::fs::File) -> io::Result<Option<Locked>> {
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
        Err(std::fs::TryLockError::Error(e)) => return Err(e),
    }
    let meta = file.metadata()?;
    let named = dir.symlink_metadata(name).is_ok_and(|now| is_same(&now, &meta));
    Ok(named.then_some(Locked { file, meta }))
}

fn is_same(now: &cap_std::fs::Metadata, was: &std::fs::Metadata) -> bool {
    use cap_std::fs::MetadataExt as _;
    (now.dev(), now.ino()) == (was.dev(), was.ino())
}

/// False where `old` is no longer what it was; then nothing was changed.
fn put(call: &Call, place: &Place<'_>, (dir, name): (&Dir, &str), content: &[u8], old: Option<&Locked>) -> Result<bool, ToolError> {
    let temporary = temporary_name(&call.key);
    let written = write_temporary(dir, &temporary, content, old).and_then(|()| match old {
        Some(old) if !old.is_still(dir, name)? => Ok(false),
        _ => dir.rename(&temporary, dir, name).map(|()| true),
    });
    if !matches!(written, Ok(true)) {
        // The reason is on its way to the caller; a file that cannot be removed either is removed by the repeat.
        let _ = dir.remove_file(&temporary);
    }
    if !written.map_err(|e| place.refusal(&e, "write"))? {
        return Ok(false);
    }
    match sync_dir(dir) {
        Ok(()) => Ok(true),
        Err(e) => {
            let text = format!(
                "{:?} was changed, but its directory could not be flushed, so a power cut may bring the old content back: {e}",
                place.text
            );
            Err(ToolError::new(ErrorKind::Failed, text))
        }
    }
}

fn write_temporary(dir: &Dir, temporary: &str, content: &[u8], old: Option<&Locked>) -> io::Result<()> {
    // An attempt that was cut short may have left it. No other is under way with this key.
    match dir.remove_file(temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    // A replaced file's content may be for few eyes: until it has the old permissions, nobody else reads the new one.
    let mode = if old.is_some() { 0o600 } else { 0o666 };
    let options = OpenOptions::new().write(true).create_new(true).mode(mode).follow(FollowSymlinks::No).clone();
    let mut file = dir.open_with(temporary, &options)?.into_std();
    // Says that the file is no leftover; see `remove_leftovers`. Nobody else waits for it.
    let _ = file.try_lock();
    file.write_all(content)?;
    if let Some(old) = old {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.meta.uid(), old.meta.gid()) {
            // Only a privileged process can; otherwise the file becomes ours, as with any editor that saves by renaming.
            let _ = std::os::unix::fs::fchown(&file, Some(old.meta.uid()), Some(old.meta.gid()));
        }
        // The permission bits alone: set-user-id and its like do not survive new content.
        file.set_permissions(std::fs::Permissions::from_mode(old.meta.mode() & 0o777))?;
    }
    file.sync_all()
}

const BEFORE: &str = ".reprise-";
const AFTER: &str = ".tmp";

/// The same for each attempt at one call.
pub(super) fn temporary_name(key: &str) -> String {
    let digest = Digest::of(key.as_bytes()).to_string();
    format!("{BEFORE}{}{AFTER}", &digest[..32])
}

/// True for names that only this module may make. Upper case, for file systems that ignore case.
pub(super) fn is_temporary(name: &str) -> bool {
    let name = name.to_uppercase();
    name.starts_with(&BEFORE.to_uppercase()) && name.ends_with(&AFTER.to_uppercase())
}

/// Removes what calls that were cut short left in `dir`, if there is nothing else in it. True if something was removed.
pub(super) fn remove_leftovers(dir: &Dir) -> io::Result<bool> {
    let mut leftovers = Vec::new();
    for entry in dir.entries()? {
        match entry?.file_name().into_string() {
            Ok(name) if is_temporary(&name) => leftovers.push(name),
            _ => return Ok(false),
        }
    }
    for name in &leftovers {
        let options = OpenOptions::new().read(true).follow(FollowSymlinks::No).clone();
        if dir.open_with(name, &options)?.into_std().try_lock().is_err() {
            // Its writer lives.
            return Ok(false);
        }
        dir.remove_file(name)?;
    }
    Ok(!leftovers.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::world::World;
    use super::*;

    fn call(w: &World, time: Duration) -> Call {
        Call {
            key: "k".to_owned(),
            input: crate::json::Json::trusted("{}"),
            grants: w.grants.clone(),
            secrets: std::sync::Arc::default(),
            begin_until: Instant::now() + time,
        }
    }

    /// Appends an `x` to `project/a.txt`; `meanwhile` runs at each attempt between reading and writing.
    fn append(call: &Call, mut meanwhile: impl FnMut()) -> Result<(), ToolError> {
        let place = Place::to_change(call, "project/a.txt")?;
        let (dir, name) = place.parent(super::super::Missing::Fail)?;
        exchange(call, &place, (&dir, name), |old| {
            let mut text = String::new();
            io::Read::read_to_string(&mut old.expect("the file is there").file, &mut text).expect("it is text");
            meanwhile();
            Ok((text + "x").into_bytes())
        })
    }

    #[test]
    fn a_change_by_someone_who_takes_no_locks_is_not_lost() {
        let w = World::new();
        w.file("a.txt", "");
        let mut others = ["in place", "in place, longer", "by renaming"].into_iter();
        append(&call(&w, Duration::from_secs(20)), || match others.next() {
            Some("by renaming") => {
                w.file("new.txt", "by renaming");
                std::fs::rename(w.path("new.txt"), w.path("a.txt")).unwrap();
            }
            Some(text) => w.file("a.txt", text),
            None => {}
        })
        .unwrap();
        assert_eq!(w.content("a.txt"), "by renamingx");
        assert_eq!(w.names(""), ["a.txt"]);
    }

    #[test]
    fn a_file_that_was_replaced_while_it_was_being_opened_is_not_locked_for_the_new_one() {
        let w = World::new();
        let dir = Dir::open_ambient_dir(w.path(""), cap_std::ambient_authority()).unwrap();
        w.file("a.txt", "old");
        let old = std::fs::File::open(w.path("a.txt")).unwrap();
        w.file("new.txt", "new");
        std::fs::rename(w.path("new.txt"), w.path("a.txt")).unwrap();
        assert!(try_lock(&dir, "a.txt", old).unwrap().is_none());
        let new = std::fs::File::open(w.path("a.txt")).unwrap();
        let locked = try_lock(&dir, "a.txt", new.try_clone().unwrap()).unwrap().unwrap();
        assert!(try_lock(&dir, "a.txt", std::fs::File::open(w.path("a.txt")).unwrap()).unwrap().is_none(), "it is held");
        drop((locked, new));
        assert!(try_lock(&dir, "a.txt", std::fs::File::open(w.path("a.txt")).unwrap()).unwrap().is_some());
    }

    #[test]
    fn what_others_change_all_the_time_is_given_up_unchanged() {
        let w = World::new();
        w.file("a.txt", "");
        let mut n = 0;
        let error = append(&call(&w, Duration::from_millis(50)), || {
            n += 1;
            w.file("a.txt", &"o".repeat(n));
        })
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(w.content("a.txt"), "o".repeat(n));
        assert_eq!(w.names(""), ["a.txt"]);
    }

    #[test]
    fn nothing_begins_to_change_after_its_time() {
        let w = World::new();
        w.file("a.txt", "old");
        assert_eq!(append(&call(&w, Duration::ZERO), || {}).unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(w.content("a.txt"), "old");
        assert_eq!(w.names(""), ["a.txt"]);
    }
}
