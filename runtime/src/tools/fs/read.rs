//! `fs/read`: the content of one file, as text or as JSON.

use std::io::Read as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, ToolError, ToolId};
use crate::{json, limits};

use super::{Call, Found, Info, PATH, Place, input};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("fs/read").expect("two kebab-case words"),
        description: "Reads a file, as text (UTF-8) or as JSON.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "description": PATH },
                "as": { "enum": ["text", "json"], "default": "text", "description": "What the output holds." },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["path", "bytes"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string" },
                "bytes": { "type": "integer", "minimum": 0, "description": "The size of the file." },
                "text": { "type": "string", "description": "The content, unless it was asked for as JSON." },
                "json": { "description": "The content, where it was asked for as JSON." },
            },
            "oneOf": [{ "required": ["text"] }, { "required": ["json"] }],
        }),
        effect: Effect::Read,
        words: "read files".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    path: &'v str,
    #[serde(default, rename = "as")]
    form: Form,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Text,
    Json,
}

pub(super) fn call(call: &Call, value: &Value) -> Result<Value, ToolError> {
    let Input { path, form } = input(value)?;
    let place = Place::parse(call, path)?;
    place.refuse_slash()?;
    let bytes = match place.find()? {
        Found::Entry(dir, name, kind) => content(&place, place.open_file(&dir, &name, kind, false)?)?,
        Found::Directory(_) => {
            return Err(ToolError::new(ErrorKind::Conflict, format!("{:?} is a directory; fs/list reads those", place.text)));
        }
    };
    let (size, text) = (bytes.len(), utf8(&place, bytes)?);
    match form {
        Form::Text => Ok(json!({ "path": place.text, "bytes": size, "text": text })),
        Form::Json => {
            let refuse =
                |why: &str| ToolError::new(ErrorKind::Conflict, format!("{:?} is not JSON as it is taken here: {why}", place.text));
            let json = json::parse(text.as_bytes()).map_err(|e| refuse(&e.message))?;
            // The output stands around it, and must itself be JSON that is taken everywhere.
            if levels(&json) >= limits::JSON_DEPTH_MAX {
                return Err(refuse(&format!("nested deeper than {} levels", limits::JSON_DEPTH_MAX - 1)));
            }
            Ok(json!({ "path": place.text, "bytes": size, "json": json }))
        }
    }
}

/// How deep a value is nested: 0 for a number, 1 for a list of numbers.
fn levels(json: &Value) -> usize {
    match json {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// All of a file that is not too large.
pub(super) fn content(place: &Place<'_>, file: impl std::io::Read) -> Result<Vec<u8>, ToolError> {
    let mut bytes = Vec::new();
    file.take(limits::FS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| place.refusal(&e, "read"))?;
    if bytes.len() as u64 > limits::FS_FILE_BYTES_MAX {
        return Err(too_large(place));
    }
    Ok(bytes)
}

pub(super) fn too_large(place: &Place<'_>) -> ToolError {
    ToolError::new(
        ErrorKind::Failed,
        format!("{:?} is larger than the {} bytes that file tools take", place.text, limits::FS_FILE_BYTES_MAX),
    )
}

pub(super) fn utf8(place: &Place<'_>, bytes: Vec<u8>) -> Result<String, ToolError> {
    String::from_utf8(bytes).map_err(|e| {
        let text = format!("{:?} is not UTF-8 text: the byte at {} does not fit", place.text, e.utf8_error().valid_up_to());
        ToolError::new(ErrorKind::Conflict, text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::world::World;

    #[test]
    fn text_and_json_come_as_asked_for() {
        let w = World::new();
        w.file("a.json", "{\"b\": [1, 2.50]}\n");
        w.file("sub/ü.txt", "zwei\r\nZeilen\u{0}");
        w.answers("fs/read", r#"{"path":"project/a.json"}"#, r#"{"bytes":17,"path":"project/a.json","text":"{\"b\": [1, 2.50]}\n"}"#);
        w.answers("fs/read", r#"{"path":"project/a.json","as":"json"}"#, r#"{"bytes":17,"json":{"b":[1,2.5]},"path":"project/a.json"}"#);
        w.answers(
            "fs/read",
            r#"{"path":"./project//sub/./ü.txt"}"#,
            r#"{"bytes":13,"path":"project/sub/ü.txt","text":"zwei\r\nZeilen\u0000"}"#,
        );
    }

    #[test]
    fn what_is_not_text_or_json_is_a_conflict_that_says_where() {
        let w = World::new();
        w.bytes("latin1.txt", b"caf\xe9");
        w.file("broken.json", "{\n  \"a\": }\n");
        w.file("twice.json", r#"{"a":1,"a":2}"#);
        w.file("deep.json", &("[".repeat(10_000) + &"]".repeat(10_000)));
        w.refuses("fs/read", r#"{"path":"project/latin1.txt"}"#, "conflict", "the byte at 3");
        w.refuses("fs/read", r#"{"path":"project/latin1.txt","as":"json"}"#, "conflict", "not UTF-8");
        w.refuses("fs/read", r#"{"path":"project/broken.json","as":"json"}"#, "conflict", "line 2 column 8");
        w.refuses("fs/read", r#"{"path":"project/twice.json","as":"json"}"#, "conflict", "twice");
        w.refuses("fs/read", r#"{"path":"project/deep.json","as":"json"}"#, "conflict", "64 levels");
        // As deep as it may be: the output is one level deeper, and must be taken by whoever gets it.
        w.file("deep.json", &("[".repeat(63) + &"]".repeat(63)));
        let output = w.call("fs/read", r#"{"path":"project/deep.json","as":"json"}"#).unwrap();
        assert_eq!(crate::json::Json::parse(output.as_str().as_bytes()).unwrap(), output);
        w.file("deep.json", &("[".repeat(64) + &"]".repeat(64)));
        w.refuses("fs/read", r#"{"path":"project/deep.json","as":"json"}"#, "conflict", "63 levels");
    }

    #[test]
    fn a_file_that_is_absent_a_directory_or_too_large_is_refused() {
        let w = World::new();
        w.file("sub/a.txt", "a");
        w.bytes("max.txt", &vec![b'x'; 512 * 1024]);
        w.bytes("large.txt", &vec![b'x'; 512 * 1024 + 1]);
        w.bytes("controls.txt", &vec![1; 512 * 1024]);
        w.refuses("fs/read", r#"{"path":"project/b.txt"}"#, "not-found", "\"project/b.txt\" is not there");
        w.refuses("fs/read", r#"{"path":"project/no/b.txt"}"#, "not-found", "\"project/no/b.txt\" is not there");
        w.refuses("fs/read", r#"{"path":"project/sub"}"#, "conflict", "fs/list");
        w.refuses("fs/read", r#"{"path":"project"}"#, "conflict", "fs/list");
        w.refuses("fs/read", r#"{"path":"project/sub/a.txt/"}"#, "invalid-input", "leave the slash out");
        w.refuses("fs/read", r#"{"path":"project/sub/a.txt/b"}"#, "conflict", "as if it were a directory");
        w.refuses("fs/read", r#"{"path":"project/large.txt"}"#, "failed", "larger than the 524288 bytes");
        // Each of its characters takes six bytes in JSON.
        w.refuses("fs/read", r#"{"path":"project/controls.txt"}"#, "failed", "would have 3145");
        assert!(w.call("fs/read", r#"{"path":"project/max.txt"}"#).is_ok());
    }

    #[test]
    fn a_link_that_stays_inside_is_followed() {
        let w = World::new();
        w.file("AGENTS.md", "hello");
        w.link("AGENTS.md", "CLAUDE.md");
        w.file("packages/x/index.js", "x");
        w.link("../../packages/x/", "node_modules/@me/x");
        assert!(w.call("fs/read", r#"{"path":"project/CLAUDE.md"}"#).unwrap().as_str().contains("hello"));
        w.answers(
            "fs/read",
            r#"{"path":"project/node_modules/@me/x/index.js"}"#,
            r#"{"bytes":1,"path":"project/node_modules/@me/x/index.js","text":"x"}"#,
        );
    }
}
