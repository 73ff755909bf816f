//! `fs/remove`: nothing under this name afterwards.

use std::io;

use cap_fs_ext::DirExt as _;
use cap_std::fs::Dir;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, ToolError, ToolId};

use super::{Call, Info, Missing, PATH, Place, atomic, input, sync_dir};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("fs/remove").expect("two kebab-case words"),
        description: "Removes a file, a symbolic link (never what it points to) or an empty directory. What is already gone is fine."
            .into(),
        input_schema: json!({
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "properties": { "path": { "type": "string", "description": PATH } },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "properties": { "path": { "type": "string" } },
        }),
        effect: Effect::Idempotent,
        words: "remove files and empty directories".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    path: &'v str,
}

pub(super) fn call(call: &Call, value: &Value) -> Result<Value, ToolError> {
    let Input { path } = input(value)?;
    let place = Place::to_change(call, path)?;
    match remove(&place) {
        // A repeat after a crash finds it gone, and must answer as the first attempt would have.
        Ok(()) => Ok(json!({ "path": place.text })),
        Err(e) if e.kind == ErrorKind::NotFound => Ok(json!({ "path": place.text })),
        Err(e) => Err(e),
    }
}

fn remove(place: &Place<'_>) -> Result<(), ToolError> {
    let fail = |e: io::Error| place.refusal(&e, "remove");
    let (dir, name) = place.parent(Missing::Fail)?;
    let removed = match dir.symlink_metadata(name) {
        Err(e) => Err(e),
        Ok(meta) if meta.is_dir() => remove_dir(&dir, name),
        Ok(meta) => {
            place.refuse_slash()?;
            if !meta.is_file() && !meta.is_symlink() {
                return Err(place.special());
            }
            dir.remove_file(name)
        }
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
            return Err(ToolError::new(ErrorKind::Conflict, format!("{:?} is not empty; remove what it holds first", place.text)));
        }
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    // Also where it was gone already: the attempt that removed it may have been cut short before this flush.
    sync_dir(&dir).map_err(fail)
}

fn remove_dir(dir: &Dir, name: &str) -> io::Result<()> {
    dir.remove_dir(name).or_else(|e| {
        // It may look empty to the job: fs/list does not show what calls that were cut short left.
        let emptied = e.kind() == io::ErrorKind::DirectoryNotEmpty && atomic::remove_leftovers(&dir.open_dir_nofollow(name)?)?;
        if emptied { dir.remove_dir(name) } else { Err(e) }
    })
}

#[cfg(test)]
mod tests {
    use super::super::atomic;
    use super::super::world::World;

    #[test]
    fn files_links_and_empty_directories_go_and_a_repeat_answers_the_same() {
        let w = World::new();
        w.file("a.txt", "");
        w.file("kept/b.txt", "kept");
        w.link("kept", "link");
        w.link("/etc", "out");
        std::fs::create_dir(w.path("empty")).unwrap();
        for (input, path) in [
            ("project/a.txt", "a.txt"),
            ("project/link", "link"),
            ("project/out", "out"),
            ("project/empty/", "empty"),
            ("project/no/such", "x"),
        ] {
            let input = serde_json::json!({ "path": input }).to_string();
            let first = w.call("fs/remove", &input).unwrap();
            assert_eq!(first.as_str(), input.replace("/\"", "\""));
            assert!(w.path(path).symlink_metadata().is_err(), "{path}");
            assert_eq!(w.call("fs/remove", &input).unwrap(), first);
        }
        assert_eq!(w.content("kept/b.txt"), "kept");
    }

    #[test]
    fn what_would_take_more_with_it_is_refused() {
        let w = World::new();
        w.file("full/a.txt", "");
        w.pipe("pipe");
        w.refuses("fs/remove", r#"{"path":"project/full"}"#, "conflict", "is not empty");
        w.refuses("fs/remove", r#"{"path":"project/full/a.txt/"}"#, "invalid-input", "leave the slash out");
        w.refuses("fs/remove", r#"{"path":"project/full/a.txt/x"}"#, "conflict", "as if it were a directory");
        w.refuses("fs/remove", r#"{"path":"project/pipe"}"#, "denied", "a pipe");
        w.refuses("fs/remove", r#"{"path":"project"}"#, "denied", "the grant \"project\" itself");
        w.refuses("fs/remove", r#"{"path":"project/."}"#, "denied", "the grant \"project\" itself");
        assert_eq!(w.names(""), ["full", "pipe"]);
    }

    #[test]
    fn a_directory_that_looks_empty_is_removed_unless_a_writer_is_at_work_in_it() {
        let w = World::new();
        let leftover = format!("looks-empty/{}", atomic::temporary_name("cut short"));
        w.file(&leftover, "ha");
        assert_eq!(w.call("fs/list", r#"{"path":"project/looks-empty"}"#).unwrap().value()["entries"], serde_json::json!([]));

        let writer = std::fs::File::open(w.path(&leftover)).unwrap();
        writer.lock().unwrap();
        w.refuses("fs/remove", r#"{"path":"project/looks-empty"}"#, "conflict", "is not empty");
        drop(writer);
        w.answers("fs/remove", r#"{"path":"project/looks-empty"}"#, r#"{"path":"project/looks-empty"}"#);
        assert!(w.names("").is_empty());
    }
}
