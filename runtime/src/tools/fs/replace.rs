//! `fs/replace`: other text in the place of some text, exactly as often as expected.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, Reconciliation, ToolError, ToolId};
use crate::ids::Digest;
use crate::json::Json;
use crate::limits;

use super::{Call, Info, Missing, PATH, Place, atomic, input, read};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("fs/replace").expect("two kebab-case words"),
        description: "Replaces text inside a file. The text must stand there exactly `count` times, or nothing is changed.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["path", "old", "new"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "description": PATH },
                "old": { "type": "string", "minLength": 1, "description": "The text to find, as it stands in the file." },
                "new": { "type": "string", "description": "What stands there afterwards." },
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": limits::FS_FILE_BYTES_MAX,
                    "default": 1,
                    "description": "How many times `old` must be there. Each is replaced. Places that overlap count once.",
                },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["path", "replaced", "sha256"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string" },
                "replaced": { "type": "integer", "minimum": 1, "description": "How many times." },
                "sha256": { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Of the file's content afterwards." },
            },
        }),
        effect: Effect::Once,
        words: "replace text inside files".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    path: &'v str,
    old: &'v str,
    new: &'v str,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

pub(super) fn call(call: &Call, value: &Value) -> Result<Value, ToolError> {
    let Input { path, old, new, count } = input(value)?;
    let place = Place::to_change(call, path)?;
    place.refuse_slash()?;
    let (dir, name) = place.parent(Missing::Fail)?;
    let mut sha256 = Digest::ZERO;
    atomic::exchange(call, &place, (&dir, name), |present| {
        let present = present.ok_or_else(|| place.absent())?;
        let text = read::utf8(&place, read::content(&place, &mut present.file)?)?;
        let found = text.matches(old).count();
        if found == 0 {
            let text = format!("the text to replace was not found in {:?}: {}", place.text, excerpt(old));
            return Err(ToolError::new(ErrorKind::NotFound, text));
        }
        if found != count {
            let text = format!(
                "{:?} holds the text to replace {found} times where \"count\" says {count}; nothing was changed: {}",
                place.text,
                excerpt(old)
            );
            return Err(ToolError { kind: ErrorKind::Conflict, message: text, detail: Some((&json!({ "found": found })).into()) });
        }
        let length = text.len() - count * old.len() + count.saturating_mul(new.len());
        if length as u64 > limits::FS_FILE_BYTES_MAX {
            return Err(read::too_large(&place));
        }
        let text = text.replace(old, new);
        sha256 = Digest::of(text.as_bytes());
        Ok(text.into_bytes())
    })?;
    Ok(output(&place, count, &sha256))
}

/// Looks at the file. It is believed only where the file can have come from one side alone: an input whose `new` stood
/// in the file all along says nothing.
///
/// | the file | |
/// |---|---|
/// | the call's own temporary file stands beside it | it did not happen: the rename takes that away |
/// | `old` is there `count` times, and the file is nothing that the call would leave | it did not happen |
/// | it is what the call would leave, and the call could not be made on it now | it happened |
/// | anything else, someone's later change included | not known |
pub(super) fn reconcile(call: &Call, value: &Value) -> Reconciliation {
    look(call, value).unwrap_or_else(|e| Reconciliation::Unknown(format!("the file could not be looked at: {e}")))
}

fn look(call: &Call, value: &Value) -> Result<Reconciliation, ToolError> {
    let Input { path, old, new, count } = input(value)?;
    let place = Place::to_change(call, path)?;
    let (dir, name) = place.parent(Missing::Fail)?;
    if dir.symlink_metadata(atomic::temporary_name(&call.key)).is_ok() {
        return Ok(Reconciliation::DidNotHappen);
    }
    let kind = dir.symlink_metadata(name).map_err(|e| place.refusal(&e, "look up"))?.file_type();
    let text = read::utf8(&place, read::content(&place, place.open_file(&dir, name.as_ref(), kind, false)?)?)?;

    let not_yet = text.matches(old).count() == count;
    let before = if new.is_empty() { None } else { Some(text.replace(new, old)) };
    // Bounded: as a file it would be too large, and then the call would not have taken it.
    let done = before.is_some_and(|before| {
        before.len() as u64 <= limits::FS_FILE_BYTES_MAX && before.matches(old).count() == count && before.replace(old, new) == text
    });
    Ok(match (not_yet, done) {
        (true, false) => Reconciliation::DidNotHappen,
        (false, true) => Reconciliation::Happened(Json::from(&output(&place, count, &Digest::of(text.as_bytes())))),
        _ => Reconciliation::Unknown(format!(
            "{:?} does not show whether the text was replaced: it holds {} {} times now",
            place.text,
            excerpt(old),
            text.matches(old).count()
        )),
    })
}

fn output(place: &Place<'_>, count: usize, sha256: &Digest) -> Value {
    json!({ "path": place.text, "replaced": count, "sha256": sha256 })
}

/// The beginning of the text, to recognise it by.
fn excerpt(text: &str) -> String {
    const CHARS: usize = 80;
    match text.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{:?} …", &text[..at]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use crate::contract::Reconciliation;
    use crate::ids::Digest;

    #[test]
    fn text_is_replaced_as_often_as_expected() {
        let w = World::new();
        w.file("package.json", "{\"version\": \"1.0.0\", \"ünï\": 1}");
        let out = w.call("fs/replace", r#"{"path":"project/package.json","old":"\"1.0.0\"","new":"\"1.1.0\""}"#).unwrap().value();
        assert_eq!(w.content("package.json"), "{\"version\": \"1.1.0\", \"ünï\": 1}");
        let sha256 = Digest::of(w.content("package.json").as_bytes());
        assert_eq!(out, serde_json::json!({ "path": "project/package.json", "replaced": 1, "sha256": sha256 }));

        w.file("aaaa.txt", "aaaa\naa");
        w.call("fs/replace", r#"{"path":"project/aaaa.txt","old":"aa","new":"","count":3}"#).unwrap();
        assert_eq!(w.content("aaaa.txt"), "\n");
        assert_eq!(w.names(""), ["aaaa.txt", "package.json"]);
    }

    #[test]
    fn any_other_number_of_places_changes_nothing_and_says_how_many() {
        let w = World::new();
        w.file("a.txt", "one two two");
        w.refuses(
            "fs/replace",
            r#"{"path":"project/a.txt","old":"three","new":""}"#,
            "not-found",
            "not found in \"project/a.txt\": \"three\"",
        );
        w.refuses("fs/replace", r#"{"path":"project/a.txt","old":"two","new":""}"#, "conflict", "2 times where \"count\" says 1");
        w.refuses("fs/replace", r#"{"path":"project/a.txt","old":"one","new":"","count":2}"#, "conflict", "1 times where \"count\" says 2");
        assert_eq!(
            w.call("fs/replace", r#"{"path":"project/a.txt","old":"two","new":""}"#).unwrap_err().detail.unwrap().as_str(),
            r#"{"found":2}"#
        );
        w.refuses("fs/replace", r#"{"path":"project/a.txt","old":"","new":"x"}"#, "invalid-input", "/old");
        w.refuses("fs/replace", r#"{"path":"project/a.txt","old":"one","new":"","count":0}"#, "invalid-input", "/count");
        w.refuses("fs/replace", r#"{"path":"project/a.txt","old":"one","new":"","count":1.0}"#, "invalid-input", "does not fit");
        let long = serde_json::json!({ "path": "project/a.txt", "old": "ä".repeat(10_000), "new": "" }).to_string();
        assert!(w.refuses("fs/replace", &long, "not-found", "…").message.len() < 400);
        assert_eq!(w.content("a.txt"), "one two two");
    }

    #[test]
    fn what_is_no_text_file_is_left_alone() {
        let w = World::new();
        w.bytes("latin1.txt", b"caf\xe9");
        w.bytes("large.txt", &vec![b'x'; 512 * 1024 + 1]);
        w.file("full.txt", &("a".to_owned() + &"x".repeat(512 * 1024 - 1)));
        w.file("sub/a.txt", "");
        w.refuses("fs/replace", r#"{"path":"project/none","old":"a","new":"b"}"#, "not-found", "\"project/none\" is not there");
        w.refuses("fs/replace", r#"{"path":"project/sub","old":"a","new":"b"}"#, "conflict", "is a directory");
        w.refuses("fs/replace", r#"{"path":"project/latin1.txt","old":"a","new":"b"}"#, "conflict", "not UTF-8");
        w.refuses("fs/replace", r#"{"path":"project/large.txt","old":"a","new":"b"}"#, "failed", "larger than");
        w.refuses("fs/replace", r#"{"path":"project/full.txt","old":"a","new":"bc"}"#, "failed", "larger than");
        assert_eq!(w.bytes_of("latin1.txt"), b"caf\xe9");
        assert_eq!(w.names(""), ["full.txt", "large.txt", "latin1.txt", "sub"]);
    }

    #[test]
    fn what_became_of_a_call_is_read_from_the_file() {
        let w = World::new();
        let input = |old: &str, new: &str, count: usize| {
            serde_json::json!({ "path": "project/a.txt", "old": old, "new": new, "count": count }).to_string()
        };
        let table = [
            // before or after the call or neither; old, new, count; what can be told
            ("v = 1.0", ("1.0", "1.1", 1), "did not happen"),
            ("v = 1.1", ("1.0", "1.1", 1), "happened"),
            ("v = 2.0", ("1.0", "1.1", 1), "unknown"),
            ("v = 1.0, 1.0", ("1.0", "1.1", 1), "unknown"),
            ("x x", ("x", "y", 2), "did not happen"),
            ("y y", ("x", "y", 2), "happened"),
            ("x y", ("x", "y", 2), "unknown"),
            ("y y y", ("x", "y", 2), "unknown"),
            // The new text holds the old one.
            ("a", ("a", "ab", 1), "did not happen"),
            ("ab", ("a", "ab", 1), "unknown"),
            ("aab", ("a", "aa", 2), "did not happen"),
            ("aaaab", ("a", "aa", 2), "happened"),
            // The new text stood there before.
            ("x y", ("x", "y", 1), "did not happen"),
            ("y y", ("x", "y", 1), "unknown"),
            // Removed text leaves no trace.
            ("x", ("x", "", 1), "did not happen"),
            ("", ("x", "", 1), "unknown"),
            ("x", ("x", "x", 1), "unknown"),
        ];
        for (content, (old, new, count), told) in table {
            w.file("a.txt", content);
            let input = input(old, new, count);
            let (short, output) = match w.reconcile("fs/replace", "k", &input) {
                Reconciliation::Happened(output) => ("happened", Some(output)),
                Reconciliation::DidNotHappen => ("did not happen", None),
                Reconciliation::Unknown(_) => ("unknown", None),
            };
            assert_eq!(short, told, "{content:?} {input}");
            assert_eq!(w.content("a.txt"), content, "looking changes nothing");
            // What is told must be what a call gives, in the one case and in the other.
            match output {
                Some(output) => {
                    w.file("a.txt", &content.replace(new, old));
                    assert_eq!(w.call("fs/replace", &input).unwrap(), output, "{content:?} {input}");
                    assert_eq!(w.content("a.txt"), content);
                }
                None if told == "did not happen" => assert!(w.call("fs/replace", &input).is_ok(), "{content:?} {input}"),
                None => {}
            }
        }
    }

    #[test]
    fn a_temporary_file_that_was_left_says_that_the_call_did_not_happen() {
        let w = World::new();
        let input = r#"{"path":"project/a.txt","old":"x","new":"y"}"#;
        w.file("a.txt", "y");
        w.file(&super::super::atomic::temporary_name("the key"), "y");
        assert_eq!(w.reconcile("fs/replace", "the key", input), Reconciliation::DidNotHappen);
        assert!(matches!(w.reconcile("fs/replace", "another key", input), Reconciliation::Happened(_)));
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_says_nothing() {
        let w = World::new();
        w.bytes("latin1.txt", b"caf\xe9");
        w.pipe("pipe");
        w.link("/etc/passwd", "link");
        for (path, says) in [
            ("project/none", "is not there"),
            ("project/latin1.txt", "not UTF-8"),
            ("project/pipe", "a pipe"),
            ("project/link", "a pipe, a socket or a device"),
            ("project", "the grant"),
            ("docs/guide.md", "read-only"),
            ("elsewhere/a.txt", "no grant"),
        ] {
            let input = serde_json::json!({ "path": path, "old": "x", "new": "y" }).to_string();
            let told = w.reconcile("fs/replace", "k", &input);
            assert!(matches!(&told, Reconciliation::Unknown(why) if why.contains(says)), "{path}: {told:?}");
        }
    }

    #[test]
    fn calls_on_one_file_at_once_do_not_lose_each_others_change() {
        const CALLS: usize = 24;
        let w = World::new();
        let numbers: Vec<String> = (0..CALLS).map(|n| format!("<{n}>")).collect();
        w.file("a.txt", &numbers.join(" "));
        std::thread::scope(|scope| {
            for n in 0..CALLS {
                let w = &w;
                scope.spawn(move || {
                    let input =
                        serde_json::json!({ "path": "project/a.txt", "old": format!("<{n}>"), "new": format!("[{n}]") }).to_string();
                    w.call("fs/replace", &input).unwrap();
                });
            }
        });
        assert_eq!(w.content("a.txt"), numbers.join(" ").replace('<', "[").replace('>', "]"));
        assert_eq!(w.names(""), ["a.txt"]);
    }

    #[test]
    fn a_file_that_someone_holds_is_unavailable_and_unchanged() {
        let w = World::in_a_hurry();
        w.file("a.txt", "old");
        let holder = std::fs::File::open(w.path("a.txt")).unwrap();
        holder.lock().unwrap();
        w.refuses("fs/replace", r#"{"path":"project/a.txt","old":"old","new":"new"}"#, "unavailable", "nothing was changed");
        w.refuses("fs/write", r#"{"path":"project/a.txt","text":"new"}"#, "unavailable", "nothing was changed");
        assert_eq!(w.content("a.txt"), "old");
        drop(holder);
        w.call("fs/replace", r#"{"path":"project/a.txt","old":"old","new":"new"}"#).unwrap();
        assert_eq!(w.content("a.txt"), "new");
    }
}
