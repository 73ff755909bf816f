//! `fs/write`: a file with this text, whatever was there.
//!
//! The output says nothing about what was there before: a repeat after a crash must answer as the first
//! attempt would have, and it finds the file already written.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::ids::Digest;
use crate::limits;

use super::{Call, Info, Missing, PATH, Place, atomic, input};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("fs/write").expect("two kebab-case words"),
        description: "Writes a whole file: a new one, or in place of the one that is there. Nobody ever sees half of it.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["path", "text"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "description": PATH },
                "text": { "type": "string", "description": "All that the file will hold." },
                "create_dirs": { "type": "boolean", "default": false, "description": "Make the directories on the way that are not there." },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["path", "bytes", "sha256"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string" },
                "bytes": { "type": "integer", "minimum": 0, "description": "The size of the file." },
                "sha256": { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Of the content." },
            },
        }),
        effect: Effect::Idempotent,
        words: "create files, and replace the whole content of files".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    path: &'v str,
    text: &'v str,
    #[serde(default)]
    create_dirs: bool,
}

pub(super) fn call(call: &Call, value: &Value) -> Result<Value, ToolError> {
    let Input { path, text, create_dirs } = input(value)?;
    let place = Place::to_change(call, path)?;
    place.refuse_slash()?;
    if text.len() as u64 > limits::FS_FILE_BYTES_MAX {
        let text = format!("the text has {} bytes; a file written here has at most {}", text.len(), limits::FS_FILE_BYTES_MAX);
        return Err(ToolError::new(ErrorKind::InvalidInput, text));
    }
    let missing = if create_dirs { Missing::Create } else { Missing::Fail };
    let (dir, name) = place.parent(missing).map_err(|e| match e.kind {
        ErrorKind::NotFound => {
            ToolError::new(e.kind, format!("the directory for {:?} is not there; \"create_dirs\": true makes it", place.text))
        }
        _ => e,
    })?;
    atomic::exchange(call, &place, (&dir, name), |_| Ok(text.as_bytes().to_vec()))?;
    Ok(json!({ "path": place.text, "bytes": text.len(), "sha256": Digest::of(text.as_bytes()) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::super::atomic;
    use super::super::world::World;

    const HELLO: &str = r#"{"bytes":5,"path":"project/a.txt","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}"#;

    #[test]
    fn a_file_is_created_or_replaced_and_a_repeat_answers_the_same() {
        let w = World::new();
        let input = r#"{"path":"project/a.txt","text":"hello"}"#;
        w.answers("fs/write", input, HELLO);
        assert_eq!(w.content("a.txt"), "hello");
        w.answers("fs/write", input, HELLO);
        w.file("a.txt", "something longer that was there");
        w.answers("fs/write", input, HELLO);
        assert_eq!(w.content("a.txt"), "hello");
        assert_eq!(w.names(""), ["a.txt"], "no temporary file stays");
    }

    #[test]
    fn directories_are_made_only_where_asked_for() {
        let w = World::new();
        w.refuses("fs/write", r#"{"path":"project/x/y/a.txt","text":""}"#, "not-found", "create_dirs");
        assert!(!w.path("x").exists());
        let input = r#"{"path":"project/x/y/a.txt","text":"","create_dirs":true}"#;
        let first = w.call("fs/write", input).unwrap();
        assert_eq!(w.call("fs/write", input).unwrap(), first);
        assert_eq!(w.content("x/y/a.txt"), "");
        w.refuses("fs/write", r#"{"path":"project/x/y/a.txt/b","text":"","create_dirs":true}"#, "conflict", "as if it were a directory");
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_owner_and_its_other_names_their_content() {
        let w = World::new();
        w.file("run.sh", "old");
        w.mode("run.sh", 0o4750);
        std::fs::hard_link(w.path("run.sh"), w.path("other-name")).unwrap();
        let before = std::fs::metadata(w.path("run.sh")).unwrap();
        w.call("fs/write", r#"{"path":"project/run.sh","text":"new"}"#).unwrap();
        let after = std::fs::metadata(w.path("run.sh")).unwrap();
        assert_eq!(after.permissions().mode() & 0o7777, 0o750, "set-user-id does not survive new content");
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_eq!(w.content("other-name"), "old");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let w = World::new();
        w.file("sub/a.txt", "");
        w.refuses("fs/write", r#"{"path":"project/sub","text":""}"#, "conflict", "is a directory");
        w.refuses("fs/write", r#"{"path":"project/new.txt/","text":""}"#, "invalid-input", "leave the slash out");
        let long = serde_json::json!({ "path": format!("project/{}", "n".repeat(300)), "text": "" }).to_string();
        w.refuses("fs/write", &long, "invalid-input", "too long");
        let large = serde_json::json!({ "path": "project/large.txt", "text": "x".repeat(512 * 1024 + 1) }).to_string();
        w.refuses("fs/write", &large, "invalid-input", "at most 524288");
        assert_eq!(w.names(""), ["sub"]);
    }

    #[test]
    fn what_an_attempt_that_was_cut_short_left_is_gone_after_the_repeat() {
        let w = World::new();
        w.file("a.txt", "old");
        w.file(&atomic::temporary_name("the key"), "hel");
        w.answers_with_key("fs/write", "the key", r#"{"path":"project/a.txt","text":"hello"}"#, HELLO);
        assert_eq!(w.names(""), ["a.txt"]);
        assert_eq!(w.content("a.txt"), "hello");
    }

    #[test]
    fn a_link_planted_under_the_temporary_name_is_not_written_through() {
        let w = World::new();
        w.file("victim.txt", "precious");
        w.link("victim.txt", &atomic::temporary_name("the key"));
        w.answers_with_key("fs/write", "the key", r#"{"path":"project/a.txt","text":"hello"}"#, HELLO);
        assert_eq!(w.content("victim.txt"), "precious");
        assert_eq!(w.names(""), ["a.txt", "victim.txt"]);
    }
}
