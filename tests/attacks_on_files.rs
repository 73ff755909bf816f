//! Guests that have one granted directory and want another file, or have it to read and want to write.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::support::guests::{Provided, provider};
use crate::support::walls::Walls;

/// What `wasi:filesystem` answers with, in its order.
const CODES: &str = "access would-block already bad-descriptor busy deadlock quota exist file-too-large illegal-byte-sequence in-progress \
    interrupted invalid io is-directory loop too-many-links message-size name-too-long no-device no-entry no-lock insufficient-memory \
    insufficient-space not-directory not-empty not-recoverable unsupported no-tty no-such-device overflow not-permitted pipe read-only \
    invalid-seek text-file-busy cross-device";

const IMPORTS: &str =
    "import wasi:io/error@0.2.0; import wasi:io/streams@0.2.0; import wasi:filesystem/types@0.2.0; import wasi:filesystem/preopens@0.2.0;";

const PACKAGES: &str = "
    package wasi:io@0.2.0 {
        interface error { resource error; }
        interface streams { use error.{error}; resource output-stream; }
    }
    package wasi:filesystem@0.2.0 {
        interface types {
            use wasi:io/streams@0.2.0.{output-stream};
            enum error-code { CODES }
            flags descriptor-flags { read, write, file-integrity-sync, data-integrity-sync, requested-write-sync, mutate-directory }
            flags path-flags { symlink-follow }
            flags open-flags { create, directory, exclusive, truncate }
            resource descriptor {
                open-at: func(path-flags: path-flags, path: string, open-flags: open-flags, %flags: descriptor-flags) -> result<descriptor, error-code>;
                read: func(length: u64, offset: u64) -> result<tuple<list<u8>, bool>, error-code>;
                write: func(buffer: list<u8>, offset: u64) -> result<u64, error-code>;
                write-via-stream: func(offset: u64) -> result<output-stream, error-code>;
                append-via-stream: func() -> result<output-stream, error-code>;
                set-size: func(size: u64) -> result<_, error-code>;
                create-directory-at: func(path: string) -> result<_, error-code>;
                remove-directory-at: func(path: string) -> result<_, error-code>;
                unlink-file-at: func(path: string) -> result<_, error-code>;
                readlink-at: func(path: string) -> result<string, error-code>;
                symlink-at: func(old-path: string, new-path: string) -> result<_, error-code>;
                link-at: func(old-path-flags: path-flags, old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;
                rename-at: func(old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;
            }
        }
        interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }
    }";

/// What the guests below have in common: the directory's handle, and functions that answer with 200 where a thing was done and with
/// 100 and the error's number where not.
const CORE: &str = r#"
    (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.read" (func $read-at (param i32 i64 i64 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.write" (func $write-at (param i32 i32 i32 i64 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.write-via-stream" (func $write-stream-at (param i32 i64 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.append-via-stream" (func $append-stream-at (param i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.set-size" (func $set-size-at (param i32 i64 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.create-directory-at" (func $mkdir-at (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.remove-directory-at" (func $rmdir-at (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.unlink-file-at" (func $unlink-at (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.readlink-at" (func $readlink-at (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.symlink-at" (func $symlink-at (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.link-at" (func $link-at (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.0" "[method]descriptor.rename-at" (func $rename-at (param i32 i32 i32 i32 i32 i32 i32)))
    (global $file (mut i32) (i32.const 0))
    (global $inside (mut i32) (i32.const 0))
    (func $root (result i32)
        (if (global.get $inside) (then (return (global.get $inside))))
        (call $directories (i32.const 40960))
        (if (i32.eqz (i32.load (i32.const 40964))) (then (return (i32.const -1))))
        (i32.load (i32.load (i32.const 40960))))
    (func $of (param $payload i32) (result i32)
        (if (i32.load8_u (i32.const 41000)) (then (return (i32.add (i32.const 100) (i32.load8_u (i32.add (i32.const 41000) (local.get $payload)))))))
        (i32.const 200))
    ;; Four numbers: whether links are followed, the path, how to open, what for.
    (func $open (param $follow i32) (param $at i32) (param $length i32) (param $how i32) (param $for i32) (result i32)
        (local $code i32)
        (call $open-at (call $root) (local.get $follow) (local.get $at) (local.get $length) (local.get $how) (local.get $for) (i32.const 41000))
        (local.set $code (call $of (i32.const 4)))
        (if (i32.eq (local.get $code) (i32.const 200)) (then (global.set $file (i32.load (i32.const 41004)))))
        (local.get $code))
    (func $read (result i32) (call $read-at (global.get $file) (i64.const 4096) (i64.const 0) (i32.const 41000)) (call $of (i32.const 4)))
    (func $write (result i32) (call $write-at (global.get $file) (i32.const 64) (i32.const 4) (i64.const 0) (i32.const 41000)) (call $of (i32.const 8)))
    (func $write-stream (result i32) (call $write-stream-at (global.get $file) (i64.const 0) (i32.const 41000)) (call $of (i32.const 4)))
    (func $append-stream (result i32) (call $append-stream-at (global.get $file) (i32.const 41000)) (call $of (i32.const 4)))
    (func $truncate (result i32) (call $set-size-at (global.get $file) (i64.const 0) (i32.const 41000)) (call $of (i32.const 1)))
    (func $mkdir (param i32 i32) (result i32) (call $mkdir-at (call $root) (local.get 0) (local.get 1) (i32.const 41000)) (call $of (i32.const 1)))
    (func $rmdir (param i32 i32) (result i32) (call $rmdir-at (call $root) (local.get 0) (local.get 1) (i32.const 41000)) (call $of (i32.const 1)))
    (func $unlink (param i32 i32) (result i32) (call $unlink-at (call $root) (local.get 0) (local.get 1) (i32.const 41000)) (call $of (i32.const 1)))
    (func $readlink (param i32 i32) (result i32) (call $readlink-at (call $root) (local.get 0) (local.get 1) (i32.const 41000)) (call $of (i32.const 4)))
    (func $symlink (param i32 i32 i32 i32) (result i32)
        (call $symlink-at (call $root) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 41000)) (call $of (i32.const 1)))
    (func $link (param $follow i32) (param i32 i32 i32 i32) (result i32)
        (call $link-at (call $root) (local.get $follow) (local.get 1) (local.get 2) (call $root) (local.get 3) (local.get 4) (i32.const 41000))
        (call $of (i32.const 1)))
    (func $rename (param i32 i32 i32 i32) (result i32)
        (call $rename-at (call $root) (local.get 0) (local.get 1) (call $root) (local.get 2) (local.get 3) (i32.const 41000)) (call $of (i32.const 1)))
    ;; The answer: the three digits of a number, as a JSON number.
    (func $say (param $n i32) (result i32)
        (i32.store8 (i32.const 45000) (i32.add (i32.const 48) (i32.div_u (local.get $n) (i32.const 100))))
        (i32.store8 (i32.const 45001) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $n) (i32.const 10)) (i32.const 10))))
        (i32.store8 (i32.const 45002) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
        (i32.store8 (i32.const 560) (i32.const 0))
        (i32.store (i32.const 564) (i32.const 45000)) (i32.store (i32.const 568) (i32.const 3))
        (i32.const 560))"#;

const FOLLOW: u32 = 1;
const CREATE: u32 = 1;
const DIRECTORY: u32 = 2;
const TRUNCATE: u32 = 8;
const READ: u32 = 1;
const WRITE: u32 = 2;
const MUTATE: u32 = 32;

/// What a guest does, one after the other, until something is refused.
#[derive(Clone, Copy)]
enum Do<'a> {
    /// Follow, path, how, for what.
    Open(u32, &'a str, u32, u32),
    /// From here on paths begin in the directory that was opened.
    GoIn,
    Read,
    Write,
    WriteStream,
    AppendStream,
    Truncate,
    MakeDirectory(&'a str),
    RemoveDirectory(&'a str),
    Unlink(&'a str),
    ReadLink(&'a str),
    Symlink(&'a str, &'a str),
    Link(u32, &'a str, &'a str),
    Rename(&'a str, &'a str),
}

use Do::{
    AppendStream, GoIn, Link, MakeDirectory, Open, Read, ReadLink, RemoveDirectory, Rename, Symlink, Truncate, Unlink, Write, WriteStream,
};

/// A guest that does these things.
fn guest(deeds: &[Do<'_>]) -> Vec<u8> {
    let (mut data, mut body, mut place) = (String::new(), String::new(), 32_768);
    let mut text = |text: &str| {
        let escaped: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
        data.push_str(&format!("(data (i32.const {place}) \"{escaped}\")"));
        let at = format!("(i32.const {place}) (i32.const {})", text.len());
        place += text.len().max(1);
        at
    };
    for deed in deeds {
        let done = match *deed {
            Open(follow, path, how, what_for) => {
                format!("(call $open (i32.const {follow}) {} (i32.const {how}) (i32.const {what_for}))", text(path))
            }
            GoIn => "(global.set $inside (global.get $file)) (i32.const 200)".to_owned(),
            Read => "(call $read)".to_owned(),
            Write => "(call $write)".to_owned(),
            WriteStream => "(call $write-stream)".to_owned(),
            AppendStream => "(call $append-stream)".to_owned(),
            Truncate => "(call $truncate)".to_owned(),
            MakeDirectory(path) => format!("(call $mkdir {})", text(path)),
            RemoveDirectory(path) => format!("(call $rmdir {})", text(path)),
            Unlink(path) => format!("(call $unlink {})", text(path)),
            ReadLink(path) => format!("(call $readlink {})", text(path)),
            Symlink(to, path) => format!("(call $symlink {} {})", text(to), text(path)),
            Link(follow, from, to) => format!("(call $link (i32.const {follow}) {} {})", text(from), text(to)),
            Rename(from, to) => format!("(call $rename {} {})", text(from), text(to)),
        };
        body.push_str(&format!(
            "(local.set $code {done}) (if (i32.ne (local.get $code) (i32.const 200)) (then (return (local.get $code))))\n"
        ));
    }
    let attack = format!(
        "(func $attack (result i32) (local $code i32)
            (if (i32.eq (call $root) (i32.const -1)) (then (return (i32.const 300))))
            {body} (i32.const 200))"
    );
    let packages = PACKAGES.replace("CODES", &CODES.split_whitespace().map(|code| format!("%{code}")).collect::<Vec<_>>().join(", "));
    let core = format!("{CORE} {attack} {data}");
    provider(Provided {
        effect: 3,
        imports: IMPORTS,
        packages: &packages,
        core: &core,
        call: "(return (call $say (call $attack)))",
        ..Provided::default()
    })
}

/// A granted directory with links that lead out of it, and a file beside it that must stay as it is, and unread.
struct Place {
    walls: Walls,
    dir: TempDir,
}

impl Place {
    /// `for_whom` is what stands behind `fs`, `access` what stands at the end.
    fn granted(for_whom: &str, access: &str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for directory in ["outside", "granted/sub"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        std::fs::write(at("outside/secret.txt"), "secret").unwrap();
        std::fs::write(at("granted/inside.txt"), "inside").unwrap();
        symlink("../outside/secret.txt", at("granted/out")).unwrap();
        symlink("../outside", at("granted/out-directory")).unwrap();
        symlink("/etc/passwd", at("granted/absolute")).unwrap();
        symlink("/", at("granted/top")).unwrap();
        symlink("loop", at("granted/loop")).unwrap();
        symlink("/proc/self/environ", at("granted/environ")).unwrap();
        let grant = format!("fs{for_whom}:place={}{access}", at("granted").display());
        Place { walls: Walls::granting(&[grant]), dir }
    }

    fn writable() -> Place {
        Place::granted("@test", "")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The name of the error that ended the guest, or `done`.
    fn after(&self, deeds: &[Do<'_>]) -> &'static str {
        self.walls.bring(guest(deeds)).ok();
        let answer = self.walls.call("test/tool", &json!({}));
        match answer["output"].as_u64().unwrap_or_else(|| panic!("{answer}")) {
            200 => "done",
            300 => "no directory",
            code => CODES.split_whitespace().nth(usize::try_from(code).unwrap() - 100).unwrap(),
        }
    }

    /// Nothing outside was read, changed or left behind.
    fn outside_is_as_it_was(&self) {
        assert_eq!(std::fs::read_to_string(self.path("outside/secret.txt")).unwrap(), "secret");
        assert_eq!(names(&self.path("outside")), ["secret.txt"]);
        assert_eq!(names(self.dir.path()), ["granted", "outside"]);
        self.walls.stand();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The guests below do what they say: within the grant it is done.
#[test]
fn a_tool_reads_and_writes_in_the_directory_that_was_granted_to_it() {
    let place = Place::writable();
    assert_eq!(place.after(&[Open(FOLLOW, "inside.txt", 0, READ), Read]), "done");
    assert_eq!(place.after(&[Open(FOLLOW, "sub/new.txt", CREATE, READ | WRITE), Write]), "done");
    assert_eq!(std::fs::read_to_string(place.path("granted/sub/new.txt")).unwrap(), "test");
    assert_eq!(place.after(&[Symlink("inside.txt", "link"), Open(FOLLOW, "link", 0, READ), Read]), "done");
    assert_eq!(place.after(&[Rename("sub/new.txt", "moved.txt"), Unlink("moved.txt"), RemoveDirectory("sub")]), "done");
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_without_a_grant_of_its_own_has_no_directory() {
    for for_whom in ["", "@other"] {
        let place = Place::granted(for_whom, "");
        assert_eq!(place.after(&[Open(FOLLOW, "inside.txt", 0, READ)]), "no directory", "{for_whom}");
        place.outside_is_as_it_was();
    }
}

#[test]
fn a_tool_opens_no_file_by_an_absolute_path() {
    let place = Place::writable();
    let own = place.path("outside/secret.txt");
    for path in ["/etc/passwd", "//etc/passwd", "/", "/place/inside.txt", own.to_str().unwrap()] {
        assert_eq!(place.after(&[Open(FOLLOW, path, 0, READ)]), "not-permitted", "{path}");
        assert_eq!(place.after(&[Open(0, path, 0, READ)]), "not-permitted", "{path}");
    }
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_opens_no_file_by_going_up() {
    let place = Place::writable();
    for path in [
        "../outside/secret.txt",
        "sub/../../outside/secret.txt",
        "sub/.././../outside/secret.txt",
        "..",
        "../..",
        "../granted/inside.txt",
        "./../outside/secret.txt",
    ] {
        assert_eq!(place.after(&[Open(FOLLOW, path, 0, READ)]), "not-permitted", "{path}");
    }
    assert_eq!(place.after(&[MakeDirectory("../made")]), "not-permitted");
    assert_eq!(place.after(&[Unlink("../outside/secret.txt")]), "not-permitted");
    assert_eq!(place.after(&[RemoveDirectory("../outside")]), "not-permitted");
    assert_eq!(place.after(&[ReadLink("../granted/out")]), "not-permitted");
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_opens_no_file_through_a_link_that_leads_out() {
    let place = Place::writable();
    for path in ["out", "absolute", "out-directory/secret.txt", "top/etc/passwd", "sub/../out", "environ"] {
        assert_eq!(place.after(&[Open(FOLLOW, path, 0, READ)]), "not-permitted", "{path}");
        let unfollowed = place.after(&[Open(0, path, 0, READ)]);
        assert!(["not-permitted", "loop"].contains(&unfollowed), "{path}: {unfollowed}");
        let written = place.after(&[Open(FOLLOW, path, CREATE | TRUNCATE, WRITE)]);
        assert_eq!(written, "not-permitted", "{path}");
    }
    for path in ["out-directory", "top"] {
        assert_eq!(place.after(&[Open(FOLLOW, path, DIRECTORY, READ)]), "not-permitted", "{path}");
    }
    assert_eq!(place.after(&[Open(FOLLOW, "loop", 0, READ)]), "loop");
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_opens_no_file_through_a_link_that_it_makes_itself() {
    let place = Place::writable();
    for (n, to) in ["/etc/passwd", "../outside/secret.txt", "out", "sub/../../outside/secret.txt", "/proc/self/environ"].iter().enumerate()
    {
        let link = format!("mine-{n}");
        let refused = place.after(&[Symlink(to, &link), Open(FOLLOW, &link, 0, READ)]);
        assert_eq!(refused, "not-permitted", "{to}");
    }
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_opens_no_file_through_a_link_that_it_moved() {
    let place = Place::writable();
    // What led to a file inside leads out from where it is now.
    std::fs::create_dir_all(place.path("granted/sub/deeper")).unwrap();
    symlink("../../outside/secret.txt", place.path("granted/sub/deeper/near")).unwrap();
    assert_eq!(place.after(&[Rename("sub/deeper/near", "sub/near"), Open(FOLLOW, "sub/near", 0, READ)]), "not-permitted");
    assert_eq!(place.after(&[Rename("out", "plain.txt"), Open(FOLLOW, "plain.txt", 0, READ)]), "not-permitted");
    assert_eq!(place.after(&[Rename("inside.txt", "../outside/stolen.txt")]), "not-permitted");
    assert_eq!(place.after(&[Rename("../outside/secret.txt", "mine.txt")]), "not-permitted");
    assert_eq!(place.after(&[Rename("out-directory/secret.txt", "mine.txt")]), "not-permitted");
    assert_eq!(place.after(&[Rename("inside.txt", "out-directory/stolen.txt")]), "not-permitted");
    assert_eq!(place.after(&[Rename("inside.txt", "/tmp/stolen.txt")]), "not-permitted");
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_gets_no_file_by_a_hard_link() {
    let place = Place::writable();
    for from in ["../outside/secret.txt", "/etc/passwd", "out-directory/secret.txt", "top/etc/passwd"] {
        assert_eq!(place.after(&[Link(0, from, "mine.txt")]), "not-permitted", "{from}");
    }
    // A hard link that follows a symbolic one does not exist here; one of the symbolic link itself leads no further than that.
    let followed = place.after(&[Link(FOLLOW, "out", "mine.txt")]);
    assert!(["invalid", "not-permitted"].contains(&followed), "{followed}");
    assert_eq!(place.after(&[Link(0, "out", "again"), Open(FOLLOW, "again", 0, READ)]), "not-permitted");
    for to in ["../outside/left.txt", "out-directory/left.txt", "/tmp/left.txt"] {
        assert_eq!(place.after(&[Link(0, "inside.txt", to)]), "not-permitted", "{to}");
    }
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_opens_no_file_by_a_slash_at_the_end() {
    let place = Place::writable();
    for path in ["../outside/", "out-directory/", "top/", "../outside/secret.txt/", "absolute/", "out/", "/etc/passwd/", "out-directory/."]
    {
        for how in [0, DIRECTORY] {
            let refused = place.after(&[Open(0, path, how, READ)]);
            assert!(["not-permitted", "not-directory", "loop"].contains(&refused), "{path}: {refused}");
            let refused = place.after(&[Open(FOLLOW, path, how, READ)]);
            assert!(["not-permitted", "not-directory"].contains(&refused), "{path}: {refused}");
        }
    }
    assert_eq!(place.after(&[Symlink("../outside/", "slashed"), Open(FOLLOW, "slashed/secret.txt", 0, READ)]), "not-permitted");
    place.outside_is_as_it_was();
}

/// Names that the machine reads otherwise than they look.
#[test]
fn a_tool_opens_no_file_by_an_odd_name() {
    let place = Place::writable();
    for path in [
        "",
        "\0",
        "inside.txt\0/../../outside/secret.txt",
        "..\\outside\\secret.txt",
        "%2e%2e/outside/secret.txt",
        "~/x",
        "file:///etc/passwd",
    ] {
        let refused = place.after(&[Open(FOLLOW, path, 0, READ)]);
        assert!(["no-entry", "invalid", "illegal-byte-sequence", "not-permitted"].contains(&refused), "{path:?}: {refused}");
    }
    let long = "a/".repeat(3_000);
    let refused = place.after(&[Open(FOLLOW, &long, 0, READ)]);
    assert!(["name-too-long", "no-entry"].contains(&refused), "{refused}");
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_writes_nothing_where_it_may_only_read() {
    let place = Place::granted("@test", ":ro");
    assert_eq!(place.after(&[Open(FOLLOW, "inside.txt", 0, READ), Read]), "done");
    let before = names(&place.path("granted"));
    let refusals = ["not-permitted", "read-only", "bad-descriptor", "access"];
    for deeds in [
        &[Open(FOLLOW, "inside.txt", 0, WRITE)] as &[Do<'_>],
        &[Open(FOLLOW, "inside.txt", 0, READ | WRITE)],
        &[Open(FOLLOW, "new.txt", CREATE, READ)],
        &[Open(FOLLOW, "sub/new.txt", CREATE, READ | WRITE)],
        &[Open(FOLLOW, "sub", DIRECTORY, READ | MUTATE), GoIn, MakeDirectory("made")],
        &[Open(FOLLOW, "sub", DIRECTORY, READ | MUTATE), GoIn, Open(FOLLOW, "new.txt", CREATE, WRITE)],
        &[Open(FOLLOW, "inside.txt", 0, READ), Write],
        &[Open(FOLLOW, "inside.txt", 0, READ), WriteStream],
        &[Open(FOLLOW, "inside.txt", 0, READ), AppendStream],
        &[MakeDirectory("made")],
        &[RemoveDirectory("sub")],
        &[Unlink("inside.txt")],
        &[Symlink("inside.txt", "link")],
        &[Link(0, "inside.txt", "twin")],
        &[Rename("inside.txt", "other.txt")],
    ] {
        let refused = place.after(deeds);
        assert!(refusals.contains(&refused), "{refused}");
        assert_eq!((names(&place.path("granted")), names(&place.path("granted/sub"))), (before.clone(), Vec::new()));
        assert_eq!(std::fs::read_to_string(place.path("granted/inside.txt")).unwrap(), "inside");
    }
    place.outside_is_as_it_was();
}

#[test]
fn a_tool_cuts_no_file_off_where_it_may_only_read() {
    let place = Place::granted("@test", ":ro");
    for deeds in [
        &[Open(FOLLOW, "inside.txt", TRUNCATE, READ)] as &[Do<'_>],
        &[Open(FOLLOW, "inside.txt", TRUNCATE, 0)],
        &[Open(FOLLOW, "inside.txt", TRUNCATE, WRITE)],
        &[Open(FOLLOW, "inside.txt", CREATE | TRUNCATE, READ)],
        &[Open(FOLLOW, "inside.txt", 0, READ), Truncate],
    ] {
        let refused = place.after(deeds);
        assert!(["not-permitted", "read-only", "bad-descriptor", "invalid"].contains(&refused), "{refused}");
        assert_eq!(std::fs::read_to_string(place.path("granted/inside.txt")).unwrap(), "inside");
    }
    // Where it may write, one that was opened to be read is not cut off either.
    let place = Place::writable();
    let refused = place.after(&[Open(FOLLOW, "inside.txt", 0, READ), Truncate]);
    assert!(["not-permitted", "bad-descriptor", "invalid"].contains(&refused), "{refused}");
    assert_eq!(std::fs::read_to_string(place.path("granted/inside.txt")).unwrap(), "inside");
    place.outside_is_as_it_was();
}

/// Opening a queue for reading waits for someone who writes, which nobody will: on a thread that nobody can call back.
#[test]
fn a_tool_that_opens_a_queue_holds_nobody_up() {
    let place = Place::writable();
    let made = std::process::Command::new("mkfifo").arg(place.path("granted/queue")).status().unwrap();
    assert!(made.success());
    place.walls.bring(guest(&[Open(FOLLOW, "queue", 0, READ), Read])).ok();
    std::thread::scope(|threads| {
        let attacks: Vec<_> = (0..3).map(|_| threads.spawn(|| place.walls.call("test/tool", &json!({})))).collect();
        place.walls.stand();
        for attack in attacks {
            let answer = attack.join().unwrap();
            assert_eq!(answer["output"], 131, "not-permitted: {answer}");
        }
    });
    place.outside_is_as_it_was();
}
