//! `fs/list`: what a directory holds.

use std::collections::VecDeque;
use std::io;

use cap_std::fs::{Dir, Metadata};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::limits;

use super::{Call, Found, Info, PATH, Place, atomic, descend, input};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("fs/list").expect("two kebab-case words"),
        description: "Lists a directory, and the directories below it where asked to. Symbolic links are listed, not followed.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "description": PATH },
                "recursive": { "type": "boolean", "default": false, "description": "List the directories below as well." },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["path", "entries"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string" },
                "entries": {
                    "type": "array",
                    "description": "Sorted by path, by bytes.",
                    "maxItems": limits::FS_LIST_ENTRIES_MAX,
                    "items": {
                        "type": "object",
                        "required": ["path", "kind"],
                        "additionalProperties": false,
                        "properties": {
                            "path": { "type": "string", "description": "The whole path, as the other tools take it." },
                            "kind": { "enum": ["file", "directory", "symlink", "other"] },
                            "bytes": { "type": "integer", "minimum": 0, "description": "The size, of a file." },
                        },
                    },
                },
            },
        }),
        effect: Effect::Read,
        words: "list directories".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    path: &'v str,
    #[serde(default)]
    recursive: bool,
}

pub(super) fn call(call: &Call, value: &Value) -> Result<Value, ToolError> {
    let Input { path, recursive } = input(value)?;
    let place = Place::parse(call, path)?;
    let Found::Directory(top) = place.find()? else {
        return Err(ToolError::new(ErrorKind::Conflict, format!("{:?} is a file, not a directory; fs/read reads those", place.text)));
    };
    let mut entries: Vec<Entry> = Vec::new();
    // Names from `top` down. One directory is open at a time, however deep or wide the tree is.
    let mut ahead: VecDeque<Vec<String>> = VecDeque::from([Vec::new()]);
    while let Some(names) = ahead.pop_front() {
        let dir = match descend(&top, &names) {
            // Removed meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !names.is_empty() => continue,
            other => other.map_err(|e| place.refusal(&e, "list"))?,
        };
        for (name, meta) in read_dir(&dir, &place, &names)? {
            let entry = Entry::new(&place, &names, &name, &meta)?;
            if entries.len() == limits::FS_LIST_ENTRIES_MAX {
                let text = format!(
                    "{:?} holds more than the {} entries that fs/list gives; list a directory below it",
                    place.text,
                    limits::FS_LIST_ENTRIES_MAX
                );
                return Err(ToolError::new(ErrorKind::Failed, text));
            }
            if recursive && meta.is_dir() {
                ahead.push_back(names.iter().cloned().chain([name]).collect());
            }
            entries.push(entry);
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let entries: Vec<Value> = entries.into_iter().map(Entry::json).collect();
    Ok(json!({ "path": place.text, "entries": entries }))
}

struct Entry {
    path: String,
    kind: &'static str,
    bytes: Option<u64>,
}

impl Entry {
    fn new(place: &Place<'_>, names: &[String], name: &str, meta: &Metadata) -> Result<Entry, ToolError> {
        let above = names.iter().map(String::as_str);
        let path = std::iter::once(place.text.as_str()).chain(above).chain([name]).collect::<Vec<_>>().join("/");
        if path.len() > limits::FS_PATH_BYTES_MAX {
            let text =
                format!("below {:?} there is a path longer than the {} bytes that tools take", place.text, limits::FS_PATH_BYTES_MAX);
            return Err(ToolError::new(ErrorKind::Failed, text));
        }
        let kind = match () {
            () if meta.is_symlink() => "symlink",
            () if meta.is_dir() => "directory",
            () if meta.is_file() => "file",
            () => "other",
        };
        Ok(Entry { path, kind, bytes: meta.is_file().then(|| meta.len()) })
    }

    fn json(self) -> Value {
        match self.bytes {
            Some(bytes) => json!({ "path": self.path, "kind": self.kind, "bytes": bytes }),
            None => json!({ "path": self.path, "kind": self.kind }),
        }
    }
}

/// The entries of one directory, links not followed, without our own temporary files.
fn read_dir(dir: &Dir, place: &Place<'_>, names: &[String]) -> Result<Vec<(String, Metadata)>, ToolError> {
    let fail = |e: io::Error| place.refusal(&e, "list");
    let mut entries = Vec::new();
    for entry in dir.entries().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().into_string().map_err(|name| {
            let below = [std::slice::from_ref(&place.text), names].concat().join("/");
            let text = format!("{below:?} holds a name that is not UTF-8, {:?}, which JSON cannot give; rename it", name.to_string_lossy());
            ToolError::new(ErrorKind::Conflict, text)
        })?;
        if atomic::is_temporary(&name) {
            continue;
        }
        match entry.metadata() {
            // Removed meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail(e)),
            Ok(meta) => entries.push((name, meta)),
        }
        // One directory can hold millions: stop reading where the caller stops counting.
        if entries.len() > limits::FS_LIST_ENTRIES_MAX {
            break;
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::world::World;

    #[test]
    fn entries_are_sorted_whole_paths_and_links_are_not_followed() {
        let w = World::new();
        w.file("b.txt", "12345");
        w.file("a/x.txt", "");
        w.file("a-b.txt", "1");
        w.link("/etc", "out");
        w.pipe("pipe");
        w.answers(
            "fs/list",
            r#"{"path":"project/"}"#,
            r#"{"entries":[{"kind":"directory","path":"project/a"},{"bytes":1,"kind":"file","path":"project/a-b.txt"},{"bytes":5,"kind":"file","path":"project/b.txt"},{"kind":"symlink","path":"project/out"},{"kind":"other","path":"project/pipe"}],"path":"project"}"#,
        );
        // Sorted by bytes of the path: "a-b.txt" stands before "a/x.txt".
        w.answers(
            "fs/list",
            r#"{"path":"project","recursive":true}"#,
            r#"{"entries":[{"kind":"directory","path":"project/a"},{"bytes":1,"kind":"file","path":"project/a-b.txt"},{"bytes":0,"kind":"file","path":"project/a/x.txt"},{"bytes":5,"kind":"file","path":"project/b.txt"},{"kind":"symlink","path":"project/out"},{"kind":"other","path":"project/pipe"}],"path":"project"}"#,
        );
        w.answers(
            "fs/list",
            r#"{"path":"project/a"}"#,
            r#"{"entries":[{"bytes":0,"kind":"file","path":"project/a/x.txt"}],"path":"project/a"}"#,
        );
    }

    #[test]
    fn each_path_listed_is_taken_by_the_other_tools() {
        let w = World::new();
        w.file("deep/er/file with space.txt", "x");
        w.link("deep", "inside");
        let listed = w.call("fs/list", r#"{"path":"project/inside","recursive":true}"#).unwrap().value();
        let path = listed["entries"][1]["path"].as_str().unwrap();
        assert_eq!(path, "project/inside/er/file with space.txt");
        let input = serde_json::json!({ "path": path }).to_string();
        assert_eq!(w.call("fs/read", &input).unwrap().value()["text"], "x");
    }

    #[test]
    fn more_entries_than_the_limit_are_an_error_and_never_a_shorter_list() {
        let w = World::new();
        for n in 0..5_000 {
            w.file(&format!("many/{n}"), "");
        }
        assert_eq!(w.call("fs/list", r#"{"path":"project/many"}"#).unwrap().value()["entries"].as_array().unwrap().len(), 5_000);
        w.file("many/one-more", "");
        w.refuses("fs/list", r#"{"path":"project/many"}"#, "failed", "more than the 5000 entries");
        w.refuses("fs/list", r#"{"path":"project","recursive":true}"#, "failed", "more than the 5000 entries");
    }

    #[test]
    fn what_is_no_directory_or_has_no_name_in_json_is_refused() {
        let w = World::new();
        w.file("a.txt", "");
        w.refuses("fs/list", r#"{"path":"project/a.txt"}"#, "conflict", "fs/read");
        w.refuses("fs/list", r#"{"path":"project/none"}"#, "not-found", "is not there");
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::ffi::OsStrExt as _;
            std::fs::write(w.path("").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
            w.refuses("fs/list", r#"{"path":"project"}"#, "conflict", "not UTF-8");
        }
    }
}
