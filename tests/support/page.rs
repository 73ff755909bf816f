//! A page of the documentation, done as a reader does it: its commands in one shell, its requests to one server,
//! its printed answers held against the real ones.
//!
//! The word behind a code block's language says what the block is:
//!
//! | info string | what happens |
//! |---|---|
//! | `sh tested` | run in the page's shell; the last command ends with 0 |
//! | `sh tested exit=N` | the same; it ends with N |
//! | `text output` | what the block before printed; `…` stands for anything, on a line of its own for any lines |
//! | `sh serve` | one `reprise serve` command; it runs until the next `sh tested` block, on a port of its own |
//! | `sh http` | `curl` commands, sent to that server |
//! | `json answer` | part of the last answer; the text `…` stands for any value |
//!
//! Needs bash, and no curl.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::packages::package_environment;
use super::toolchains::rust_environment;

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A fenced code block.
#[derive(Debug)]
pub struct Block {
    /// `sh tested`, `json answer`, ...
    pub info: String,
    pub text: String,
    /// `README.md:12`.
    pub place: String,
}

/// The code blocks of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(repository().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { info: info.trim().to_owned(), text: String::new(), place: format!("{page}:{}", at + 1) })
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page} ends in a code block");
    blocks
}

/// Does everything on the page, from top to bottom; gives the number of blocks that were held against the program.
pub fn follow(page: &str) -> usize {
    let mut reader = Reader::new();
    let mut done = 0;
    for block in blocks(page) {
        let words: Vec<&str> = block.info.split_whitespace().collect();
        done += 1;
        match words.as_slice() {
            ["sh", "tested"] => reader.run(&block, 0),
            ["sh", "tested", code] => reader.run(&block, code.strip_prefix("exit=").and_then(|n| n.parse().ok()).expect("exit=N")),
            ["text", "output"] => assert!(
                fits(&block.text.trim_end().lines().collect::<Vec<_>>(), &reader.printed.trim_end().lines().collect::<Vec<_>>()),
                "{} is not what is printed:\n{}",
                block.place,
                reader.printed
            ),
            ["sh", "serve"] => reader.serve(&block),
            ["sh", "http"] => reader.request(&block),
            ["json", "answer"] => {
                let shown: Value = serde_json::from_str(&block.text).unwrap_or_else(|e| panic!("{}: {e}", block.place));
                assert!(is_part(&shown, &reader.answer), "{} is not part of the answer:\n{:#}", block.place, reader.answer);
            }
            _ => done -= 1,
        }
    }
    done
}

/// Someone who has just built a fresh clone.
struct Reader {
    home: TempDir,
    shell: Child,
    to_shell: ChildStdin,
    from_shell: BufReader<ChildStdout>,
    printed: String,
    server: Option<(Child, SocketAddr)>,
    answer: Value,
}

impl Reader {
    fn new() -> Reader {
        let home = tempfile::tempdir().unwrap();
        let clone = home.path().join("reprise");
        std::fs::create_dir_all(clone.join("target/release")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_reprise"), clone.join("target/release/reprise")).unwrap();
        for part in ["docs", "guest-sdk", "playbooks", "wit"] {
            std::os::unix::fs::symlink(repository().join(part), clone.join(part)).unwrap();
        }
        let mut shell = Command::new("bash");
        shell.arg("--norc").current_dir(&clone).env("HOME", home.path()).env("TMPDIR", home.path());
        for (name, value) in rust_environment() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.envs(package_environment());
        shell.env_remove("REPRISE_DATA").env_remove("REPRISE_LOG").env_remove("XDG_DATA_HOME");
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash is there");
        let mut to_shell = shell.stdin.take().unwrap();
        let from_shell = BufReader::new(shell.stdout.take().unwrap());
        writeln!(to_shell, "exec 2>&1").unwrap();
        Reader { home, shell, to_shell, from_shell, printed: String::new(), server: None, answer: Value::Null }
    }

    /// Everything that `commands` print, and the last one's exit code.
    fn sh(&mut self, commands: &str) -> (String, i32) {
        const DONE: &str = "-- done with ";
        writeln!(self.to_shell, "{{\n{commands}\n}} < /dev/null; printf '\\n{DONE}%s\\n' $?").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.from_shell.read_line(&mut line).unwrap() > 0, "the shell ended in: {commands}\n{printed}");
            if let Some(code) = line.strip_prefix(DONE) {
                printed.truncate(printed.len().saturating_sub(1));
                return (printed, code.trim().parse().unwrap());
            }
            printed.push_str(&line);
        }
    }

    fn run(&mut self, block: &Block, expected: i32) {
        self.stop_server();
        let (printed, code) = self.sh(&block.text);
        assert_eq!(code, expected, "{} ended with {code}:\n{printed}", block.place);
        self.printed = printed;
    }

    fn serve(&mut self, block: &Block) {
        let words = words(&block.text);
        assert_eq!(words[..2], ["reprise", "serve"], "{}", block.place);
        let (directory, _) = self.sh("pwd");
        let mut server = Command::new(env!("CARGO_BIN_EXE_reprise"));
        server.args(&words[1..]).args(["--listen", "127.0.0.1:0", "--json"]).current_dir(directory.trim()).env("HOME", self.home.path());
        server.env_remove("REPRISE_DATA").env_remove("XDG_DATA_HOME");
        let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let said: Value = serde_json::from_str(&first).unwrap_or_else(|e| panic!("{} says {first:?}: {e}", block.place));
        let address = said["listening"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        self.server = Some((server, address));
    }

    fn request(&mut self, block: &Block) {
        let (_, address) = self.server.as_ref().unwrap_or_else(|| panic!("{}: no server", block.place));
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut words = words(&block.text).into_iter().peekable();
        while let Some(word) = words.next() {
            assert_eq!(word, "curl", "{}", block.place);
            let (mut url, mut header, mut body) = (None, None, None);
            while words.peek().is_some_and(|word| word != "curl") {
                match words.next().unwrap().as_str() {
                    "-s" => {}
                    "-H" => header = words.next(),
                    "-d" => body = words.next(),
                    word => url = Some(word.replace("127.0.0.1:7480", &address.to_string())),
                }
            }
            let url = url.unwrap_or_else(|| panic!("{}: a curl without address", block.place));
            let answered = match body {
                None => agent.get(&url).call(),
                Some(body) => {
                    let header = header.unwrap_or_else(|| panic!("{}: curl would send a form", block.place));
                    let (name, value) = header.split_once(": ").unwrap();
                    agent.post(&url).header(name, value).send(&body)
                }
            };
            let mut answered = answered.unwrap_or_else(|e| panic!("{} {url}: {e}", block.place));
            let text = answered.body_mut().read_to_string().unwrap();
            assert!(answered.status().is_success(), "{} {url}: {text}", block.place);
            self.answer = serde_json::from_str(&text).unwrap();
        }
    }

    fn stop_server(&mut self) {
        if let Some((mut server, _)) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop_server();
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The words of shell commands: quotes are honoured, a backslash at a line's end joins it to the next; no variables.
fn words(commands: &str) -> Vec<String> {
    let commands = commands.replace("\\\n", " ");
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in commands.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// True where the lines are those shown; a line `…` stands for any number of lines.
fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|n| fits(rest, &printed[n..])),
        ([shown, rest @ ..], [line, lines @ ..]) => fits_line(shown, line) && fits(rest, lines),
        _ => false,
    }
}

/// True where the line is the one shown; `…` stands for any text.
fn fits_line(shown: &str, line: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown.trim_end() == line.trim_end() };
    let Some(line) = line.strip_prefix(start) else { return false };
    line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| fits_line(rest, &line[at..]))
}

/// True where everything shown stands in the answer; `"…"` stands for any value.
fn is_part(shown: &Value, answer: &Value) -> bool {
    match (shown, answer) {
        (Value::String(text), _) if text == "…" => !answer.is_null(),
        (Value::Object(shown), Value::Object(answer)) => {
            shown.iter().all(|(key, value)| answer.get(key).is_some_and(|found| is_part(value, found)))
        }
        (Value::Array(shown), Value::Array(answer)) => shown.len() == answer.len() && shown.iter().zip(answer).all(|(s, a)| is_part(s, a)),
        _ => shown == answer,
    }
}

#[test]
fn a_page_that_says_something_else_is_seen() {
    let lines = |text: &'static str| text.lines().collect::<Vec<_>>();
    assert!(fits(&lines("a\n…\nz …!"), &lines("a\nb\nc\nz 1!")));
    assert!(fits(&lines("a\n…\nz"), &lines("a\nz")));
    for (shown, printed) in [("a", "b"), ("a", "a\nb"), ("a\nb", "a"), ("a …", "b 1"), ("…\nz", "a\ny")] {
        assert!(!fits(&lines(shown), &lines(printed)), "{shown:?} {printed:?}");
    }
    let answer = serde_json::json!({"a": 1, "b": [{"c": "x", "d": 2}]});
    assert!(is_part(&serde_json::json!({"b": [{"c": "…"}]}), &answer));
    for wrong in
        [serde_json::json!({"a": 2}), serde_json::json!({"z": "…"}), serde_json::json!({"b": []}), serde_json::json!({"b": [{"c": "y"}]})]
    {
        assert!(!is_part(&wrong, &answer), "{wrong}");
    }
    assert_eq!(words("curl -d '{\"a\": 1}' \\\n  \"x y\"z"), ["curl", "-d", "{\"a\": 1}", "x yz"]);
}
