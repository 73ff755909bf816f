//! Whether the files still look as a recorded answer says.
//!
//! It does not know what should follow when they do not: that is for whoever asks.
//! The rule that must stay true: it changes nothing and takes no lock.

use serde_json::Value;

use crate::contract::{Confirmation, ErrorKind, ToolError};
use crate::ids::Digest;

use super::{Call, Found, Place, Recorded, list, read};

/// `fs/list`: the same look gives the same answer.
pub(super) fn list(call: &Call, recorded: &Recorded) -> Confirmation {
    looked_again(call, recorded, list::call(call, &recorded.input))
}

/// `fs/read`: the same look gives the same answer.
pub(super) fn read(call: &Call, recorded: &Recorded) -> Confirmation {
    looked_again(call, recorded, read::call(call, &recorded.input))
}

fn looked_again(call: &Call, recorded: &Recorded, now: Result<Value, ToolError>) -> Confirmation {
    told(now.map(|now| {
        let now = call.secrets.scrubber().value(now);
        let path = &recorded.output["path"];
        if now == recorded.output { Ok(()) } else { Err(format!("{path} is not as it was when it was looked at")) }
    }))
}

/// `fs/write` and `fs/replace`: the file has the content that the call left, by its digest.
pub(super) fn content(call: &Call, recorded: &Recorded) -> Confirmation {
    told(content_now(call, recorded).map(|now| {
        let path = &recorded.output["path"];
        if recorded.output["sha256"] == now.to_string() { Ok(()) } else { Err(format!("{path} holds something else by now")) }
    }))
}

fn content_now(call: &Call, recorded: &Recorded) -> Result<Digest, ToolError> {
    let place = Place::parse(call, recorded.input["path"].as_str().unwrap_or_default())?;
    match place.find()? {
        Found::Entry(dir, name, kind) => Ok(Digest::of(&read::content(&place, place.open_file(&dir, &name, kind, false)?)?)),
        Found::Directory(_) => Err(ToolError::new(ErrorKind::Conflict, format!("{:?} is a directory by now", place.text))),
    }
}

/// `fs/remove`: nothing is there.
pub(super) fn gone(call: &Call, recorded: &Recorded) -> Confirmation {
    let there = Place::parse(call, recorded.input["path"].as_str().unwrap_or_default()).and_then(|place| {
        let (dir, name) = place.parent(super::Missing::Fail)?;
        dir.symlink_metadata(name).map(drop).map_err(|e| place.refusal(&e, "look up"))
    });
    match there {
        Err(e) if e.kind == ErrorKind::NotFound => Confirmation::Holds,
        other => told(other.map(|()| Err(format!("{} is there again", recorded.output["path"])))),
    }
}

/// An error about the file is a change: when the answer was given there was none. One about the grant or the
/// machine says nothing about the file.
fn told(looked: Result<Result<(), String>, ToolError>) -> Confirmation {
    match looked {
        Ok(Ok(())) => Confirmation::Holds,
        Ok(Err(what)) => Confirmation::Changed(what),
        Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Confirmation::Changed(e.message),
        Err(e) => Confirmation::Unknown(e.message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::World;
    use super::Confirmation;

    #[test]
    fn an_answer_holds_until_the_files_change_and_again_when_they_change_back() {
        for (tool, input) in [
            ("fs/read", r#"{"path":"project/sub/a.txt"}"#),
            ("fs/read", r#"{"path":"project/sub/a.txt","as":"json"}"#),
            ("fs/list", r#"{"path":"project","recursive":true}"#),
            ("fs/write", r#"{"path":"project/sub/a.txt","text":"[1]"}"#),
            ("fs/replace", r#"{"path":"project/sub/a.txt","old":"[0]","new":"[1]"}"#),
        ] {
            let w = World::new();
            w.file("sub/a.txt", if tool == "fs/replace" { "[0]" } else { "[1]" });
            let output = w.call(tool, input).unwrap();
            let confirm = || w.confirm(tool, input, &output);
            assert_eq!(confirm(), Confirmation::Holds, "{tool}");
            w.file("sub/a.txt", "[1, 2]");
            assert!(matches!(confirm(), Confirmation::Changed(what) if what.contains("project")), "{tool}");
            std::fs::remove_file(w.path("sub/a.txt")).unwrap();
            assert!(matches!(confirm(), Confirmation::Changed(_)), "{tool}");
            std::fs::create_dir(w.path("sub/a.txt")).unwrap();
            assert!(matches!(confirm(), Confirmation::Changed(_)), "{tool}");
            std::fs::remove_dir(w.path("sub/a.txt")).unwrap();
            w.file("sub/a.txt", "[1]");
            assert_eq!(confirm(), Confirmation::Holds, "{tool}");
        }
    }

    #[test]
    fn what_was_removed_must_stay_away() {
        let w = World::new();
        w.file("sub/a.txt", "");
        let input = r#"{"path":"project/sub/a.txt"}"#;
        let output = w.call("fs/remove", input).unwrap();
        assert_eq!(w.confirm("fs/remove", input, &output), Confirmation::Holds);
        std::fs::remove_dir(w.path("sub")).unwrap();
        assert_eq!(w.confirm("fs/remove", input, &output), Confirmation::Holds);
        w.link("elsewhere", "sub/a.txt");
        assert!(matches!(w.confirm("fs/remove", input, &output), Confirmation::Changed(what) if what.contains("again")));
    }

    #[test]
    fn what_may_not_be_looked_at_is_not_known() {
        let w = World::new();
        let output = w.call("fs/list", r#"{"path":"docs"}"#).unwrap();
        for tool in ["fs/read", "fs/list", "fs/write", "fs/replace", "fs/remove"] {
            let told = w.confirm(tool, r#"{"path":"elsewhere/a.txt"}"#, &output);
            assert!(matches!(&told, Confirmation::Unknown(why) if why.contains("no grant named")), "{tool}: {told:?}");
        }
    }
}
