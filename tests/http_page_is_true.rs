//! `docs/HTTP.md` is true: its examples work as printed, each route has one, and no error code is missing.
//!
//! Where an answer has what differs from one time to the next (UUIDs, digests, times, sizes), the page's value and the
//! real one must correspond: the same on the page is the same in fact. `"…"` stands for anything left out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::PathBuf;

use reprise::error::Code;
use serde_json::Value;

use crate::support::documented::{self, document};
use crate::support::server::Server;

const LEFT_OUT: &str = "…";
/// Numbers that follow from the compiler's and the engine's insides.
const SIZES: [&str; 2] = ["component_bytes", "fuel"];

fn page_path() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/HTTP.md")
}

fn page() -> String {
    std::fs::read_to_string(page_path()).unwrap()
}

/// A request on the page, and the answer printed after it.
struct Example {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// `json` or `text`, status, text.
    answer: Option<(String, u16, String)>,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```").filter(|fence| !fence.is_empty()) else { continue };
        let text: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        match fence.split_once(' ') {
            None if fence == "http" => examples.push(example(&text)),
            Some((kind @ ("json" | "text"), status)) => {
                let last = examples.last_mut().expect("an answer follows a request");
                last.answer = Some((kind.to_owned(), status.parse().unwrap(), text));
            }
            _ => {}
        }
    }
    examples
}

fn example(text: &str) -> Example {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut head = head.lines();
    let (method, path) = head.next().and_then(|line| line.split_once(' ')).expect("METHOD PATH");
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).expect("name: value");
    Example {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: head.map(header).collect(),
        body: (!body.is_empty()).then(|| body.trim_end().to_owned()),
        answer: None,
    }
}

/// What on the page is what in fact.
#[derive(Default)]
struct Known(HashMap<String, String>);

impl Known {
    /// `text` of the page with what is known put in.
    fn real(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (page, real)| text.replace(page, real))
    }

    fn same_text(&mut self, page: &str, real: &str) -> bool {
        let ((page, page_tokens), (real, real_tokens)) = (split(page), split(real));
        page == real
            && page_tokens.len() == real_tokens.len()
            && page_tokens.into_iter().zip(real_tokens).all(|(page, real)| {
                // A time may be the same millisecond by chance, so that only its form is held to the page.
                page.ends_with('Z') || *self.0.entry(page).or_insert_with(|| real.clone()) == real
            })
    }

    /// The first place at which they differ.
    fn differs(&mut self, page: &Value, real: &Value, at: &str) -> Option<String> {
        let differs = || Some(format!("{at}: the page has {page}, the answer {real}"));
        match (page, real) {
            (Value::String(page), _) if page == LEFT_OUT => None,
            (Value::String(p), Value::String(r)) => (!self.same_text(p, r)).then(differs).flatten(),
            (Value::Object(p), Value::Object(r)) => {
                let unknown = r.keys().find(|name| !p.contains_key(*name)).filter(|_| !p.contains_key(LEFT_OUT));
                if let Some(name) = unknown {
                    return Some(format!("{at}/{name} is not on the page"));
                }
                p.iter().filter(|(name, _)| *name != LEFT_OUT).find_map(|(name, page)| match r.get(name) {
                    Some(Value::Number(_)) if SIZES.contains(&name.as_str()) => None,
                    Some(real) => self.differs(page, real, &format!("{at}/{name}")),
                    None => Some(format!("{at}/{name} is on the page alone")),
                })
            }
            (Value::Array(p), Value::Array(r)) => {
                let left_out = |v: &Value| v == LEFT_OUT;
                let head = p.iter().take_while(|v| !left_out(v)).count();
                let tail = if head == p.len() { 0 } else { p.iter().rev().take_while(|v| !left_out(v)).count() };
                if r.len() < head + tail || (head == p.len() && r.len() != head) {
                    return differs();
                }
                let between = p.get(head + 1..p.len() - tail).unwrap_or_default().iter().find(|v| !left_out(v));
                let found = between.is_none_or(|page| r.iter().any(|real| self.differs(page, real, at).is_none()));
                let pairs: Vec<(&Value, &Value)> =
                    p.iter().zip(r).take(head).chain(p.iter().rev().zip(r.iter().rev()).take(tail)).collect();
                let pairs = pairs.into_iter().enumerate().find_map(|(n, (page, real))| self.differs(page, real, &format!("{at}/{n}")));
                pairs.or_else(|| (!found).then(differs).flatten())
            }
            _ => (page != real).then(differs).flatten(),
        }
    }
}

/// A text without its UUIDs, digests and times, and those.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut rest, mut plain, mut tokens) = (text, String::new(), Vec::new());
    while let Some(first) = rest.chars().next() {
        let token = [64, 36, 32, 24].into_iter().filter_map(|length| rest.get(..length)).find(|token| is_token(token));
        let (taken, put) = token.map_or((first.len_utf8(), &rest[..first.len_utf8()]), |token| (token.len(), "\u{0}"));
        tokens.extend(token.map(str::to_owned));
        plain.push_str(put);
        rest = &rest[taken..];
    }
    (plain, tokens)
}

fn is_token(text: &str) -> bool {
    let hex = || text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let like = |form: &str| {
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(|(c, f)| if f == b'0' { c.is_ascii_hexdigit() } else { c == f })
    };
    (matches!(text.len(), 64 | 32) && hex()) || like("00000000-0000-0000-0000-000000000000") || like("0000-00-00T00:00:00.000Z")
}

#[test]
fn every_example_works_as_printed() {
    let acme = tempfile::tempdir().unwrap();
    std::fs::write(acme.path().join("package.json"), "{\"name\": \"acme\", \"version\": \"2.0.0\"}\n").unwrap();
    let server = Server::granting(&[format!("fs:project={}", acme.path().display())]);
    let mut known = Known::default();
    known.0.insert("0123456789abcdef".repeat(4), server.operator_token());
    let mut component = Vec::new();
    for Example { method, path, headers, body, answer } in examples(&page()) {
        let path = known.real(&path);
        let headers: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (name, known.real(&value))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = body.map(|body| match body.strip_prefix('@') {
            Some("component") => component.clone(),
            Some(file) => std::fs::read(crate::support::page::repository().join(file)).unwrap(),
            None => known.real(&body).into_bytes(),
        });
        let real = server.send(&method, &path, &headers, body);
        let shown = String::from_utf8_lossy(&real.bytes);
        match answer {
            None => assert_eq!(real.status, 200, "{method} {path}: {shown}"),
            Some((kind, status, page)) => {
                assert_eq!(real.status, status, "{method} {path}: {shown}");
                let differs = match kind.as_str() {
                    "json" => known.differs(&serde_json::from_str(&page).unwrap(), &real.json(), ""),
                    _ => (known.real(&page) != shown).then(|| format!("the page has {page}, the answer {shown}")),
                };
                assert_eq!(differs, None, "{method} {path}");
            }
        }
        if path.ends_with("/component") {
            component = real.bytes;
        }
    }
    let after = std::fs::read_to_string(acme.path().join("package.json")).unwrap();
    assert_eq!(after, "{\"name\": \"acme\", \"version\": \"2.1.0\"}\n", "as the page says");
}

#[test]
fn each_route_has_a_heading_and_an_example() {
    let page = page();
    let examples = examples(&page);
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().map(|method| method.to_ascii_uppercase()) {
            assert!(page.contains(&format!("### {method} {path}\n")), "no heading for {method} {path}");
            let shown = examples.iter().any(|e| e.method == method && documented::fits(path, e.path.split('?').next().unwrap()));
            assert!(shown, "no example for {method} {path}");
        }
    }
}

/// With BLESS=1 the table is written anew.
#[test]
fn every_code_is_on_the_page() {
    let (begin, end) = ("<!-- codes: begin; written by the test `every_code_is_on_the_page` with BLESS=1 -->\n", "<!-- codes: end -->");
    let row = |code: &Code| format!("| {} | `{}` | {} |\n", reprise::http::status(*code), code.as_str(), code.meaning());
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| reprise::http::status(*code));
    let table: String = codes.iter().map(row).collect();
    let table = format!("\n| status | `error` | meaning |\n|---|---|---|\n{table}\n");
    let page = page();
    let (before, rest) = page.split_once(begin).expect("the page marks where the codes begin");
    let (found, after) = rest.split_once(end).expect("the page marks where the codes end");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(page_path(), format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "run this test once with BLESS=1");
}
