//! The house rules that a program can check. Each failure names file and line.
//!
//! It reads the sources as text: comments are taken out, and where a rule is about the product, tests are too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of a file; beyond that it tells more than one story.
const LINES_MAX: usize = 500;

/// A crate or a word, and where it may be named: modules, or files.
const NAMED_ONLY_IN: &[(&[&str], &[&str])] = &[
    (&["sled::"], &["store"]),
    (&["wasmtime::"], &["sandbox"]),
    (&["chacha20poly1305::"], &["secrets"]),
    (&["cap_std::", "cap_fs_ext::", "landlock::"], &["tools"]),
    (&["wasm_encoder::", "wit_component::", "wit_parser::"], &["compiler"]),
    (&["tar::"], &["bundles"]),
    (&["axum::", "tower::", "tower_http::"], &["http"]),
    (&["reqwest::"], &["outbound.rs", "tools", "planner", "cli"]),
    (&["rustls::"], &["outbound.rs", "cli"]),
    (&["clap::", "comfy_table::", "indicatif::", "tracing_subscriber::", "opentelemetry::", "opentelemetry_otlp::"], &["cli"]),
    (&["prometheus_client::"], &["metrics.rs"]),
    (&["tokio::spawn(", "task::spawn(", "JoinSet"], &["jobs", "http"]),
    (&["spawn_blocking"], &["blocking.rs"]),
    (&["SystemTime"], &["clock.rs"]),
];

/// Nothing of this is left in what is handed over.
const NOWHERE: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "#![allow(", "#[allow("];

/// One source file.
struct Source {
    /// Below the repository.
    path: String,
    text: String,
    /// The product's part, by line, without comments: up to the tests at its end.
    code: Vec<String>,
    /// True for a file that is a test as a whole.
    test: bool,
}

impl Source {
    /// The module below `runtime/src`: `store` for `store/keys/job.rs`, `error.rs` for `error.rs`.
    fn module(&self) -> Option<&str> {
        self.path.strip_prefix("runtime/src/").map(|path| path.split('/').next().unwrap())
    }

    /// How many modules lie between the crate and what is in this file: 1 for `error.rs` and `store/mod.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.trim_start_matches("runtime/src/").split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the repository.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for directory in ["runtime/src", "runtime/benches", "tests"] {
        walk(&root().join(directory), &mut paths);
    }
    let read = |path: &PathBuf| (path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap());
    let files: Vec<(String, String)> = paths.iter().map(read).collect();
    let tests: Vec<String> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &str| {
        !path.starts_with("runtime/src/") || tests.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")))
    };
    let source = |(path, text): (String, String)| Source { test: is_test(&path), code: code(&text), path, text };
    files.into_iter().map(source).collect()
}

fn walk(directory: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    into.sort();
}

/// `runtime/src/store/tests` for `#[cfg(test)] mod tests;` in `runtime/src/store/mod.rs`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let home = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let named =
        lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| pair[1].strip_suffix(';')?.split("mod ").nth(1));
    named.map(|name| format!("{home}/{name}")).collect()
}

/// The modules that a file says it has: `runtime/src/store/tests` for `mod tests;` in `runtime/src/store/mod.rs`.
fn modules(path: &str, text: &str) -> Vec<String> {
    let home = path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/lib");
    text.lines().filter_map(|line| line.strip_suffix(';')?.split_once("mod ").map(|(_, name)| format!("{home}/{name}"))).collect()
}

/// Without comments, and without a test module at the end; as many lines as before it.
fn code(text: &str) -> Vec<String> {
    let product = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    product.lines().map(|line| line.split("//").next().unwrap().to_owned()).collect()
}

/// Fails with every complaint.
fn assert_none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n{}", complaints.join("\n"));
}

#[test]
fn each_crate_is_named_by_the_one_module_that_hides_it() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !source.test) {
        let module = source.module().unwrap();
        for (n, line) in source.code.iter().enumerate() {
            for (words, modules) in NAMED_ONLY_IN.iter().filter(|(_, modules)| !modules.contains(&module)) {
                for word in words.iter().filter(|word| names(line, word)) {
                    complaints.push(format!("{}:{}: {word} is for {}", source.path, n + 1, modules.join(" and ")));
                }
            }
        }
    }
    assert_none("some crates and words have one place", &complaints);
}

/// True where `word` stands in `line` and does not merely end a longer one.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The modules in the order of `lib.rs`, and how many of them stand above the blank line: below it is what all use.
fn order() -> (Vec<String>, usize) {
    let lib = std::fs::read_to_string(root().join("runtime/src/lib.rs")).unwrap();
    let (above, below) = lib.split_once("\n\npub mod blocking;").unwrap();
    let modules = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_suffix(';')?.split_once("mod ").map(|(_, name)| name.to_owned())).collect()
    };
    let (mut above, below) = (modules(above), modules(&format!("pub mod blocking;{below}")));
    let layers = above.len();
    above.extend(below);
    (above, layers)
}

/// Which top-level modules each one names.
fn arrows() -> BTreeMap<(String, String), String> {
    let mut arrows = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.test) {
        let from = source.module().unwrap().trim_end_matches(".rs").to_owned();
        let code = source.code.join("\n");
        // From `store/keys/job.rs`, the third `super` is the crate.
        let way_up = "super::".repeat(source.depth());
        for root in ["crate::", &way_up] {
            let starts = code.match_indices(root).filter(|(at, _)| !code[..*at].ends_with("super::") && !code[..*at].ends_with('$'));
            for (at, _) in starts {
                for to in named_after(&code[at + root.len()..]) {
                    let line = code[..at].matches('\n').count() + 1;
                    arrows.entry((from.clone(), to)).or_insert_with(|| format!("{}:{line}", source.path));
                }
            }
        }
    }
    arrows
}

/// `x` of `x::y`, and `a` and `b` of `{a::{c, d}, b}`.
fn named_after(rest: &str) -> Vec<String> {
    let word = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut begin, mut words) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                words.push(word(&list[begin..at]));
                begin = at + 1;
            }
            '}' if depth == 0 => {
                words.push(word(&list[begin..at]));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn modules_name_only_those_below_them_in_lib_rs() {
    let (order, layers) = order();
    assert!(layers >= 11 && order.len() > layers, "{order:?}");
    let place = |module: &str| order.iter().position(|name| name == module);
    let arrows = arrows();
    assert!(arrows.len() > 60, "the sources were read: {arrows:?}");
    let up = |((from, to), at): (&(String, String), &String)| {
        let (Some(here), Some(there)) = (place(from), place(to)) else { return None };
        // What all use has no order of its own, but may not name what uses it.
        let wrong = if here < layers { there < here } else { there < layers };
        wrong.then(|| format!("{at}: {from} names {to}"))
    };
    assert_none("arrows point down the list in lib.rs", &arrows.iter().filter_map(up).collect::<Vec<_>>());

    // Nor may those at the bottom name each other in a circle.
    let mut left: BTreeSet<&String> = order[layers..].iter().collect();
    while let Some(free) = left.iter().find(|name| !arrows.keys().any(|(from, to)| from == **name && to != from && left.contains(to))) {
        let free = *free;
        left.remove(free);
    }
    assert!(left.is_empty(), "these name each other in a circle: {left:?}");
}

#[test]
fn nothing_unfinished_is_left_and_no_test_is_switched_off() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.path != "tests/tidy.rs") {
        for (n, line) in source.text.lines().enumerate() {
            complaints.extend(NOWHERE.iter().filter(|word| line.contains(**word)).map(|word| format!("{}:{}: {word}", source.path, n + 1)));
        }
    }
    assert_none("these words have no place here", &complaints);
}

#[test]
fn tests_wait_for_what_happens_and_not_for_time_to_pass() {
    let sources = sources();
    let tests = sources.iter().filter(|source| source.path != "tests/tidy.rs").map(|source| {
        let from = if source.test { 0 } else { source.code.len() };
        (source, source.text.lines().enumerate().skip(from))
    });
    // What stands in for the sleep of a job is no sleep.
    let sleeps = |line: &str| ["thread::sleep(", "time::sleep(", "time::sleep;"].iter().any(|word| line.contains(word));
    let complaints: Vec<String> = tests
        .flat_map(|(source, lines)| {
            lines.filter(|(_, line)| sleeps(line)).map(|(n, line)| format!("{}:{}: {}", source.path, n + 1, line.trim()))
        })
        .collect();
    assert_none("a test that sleeps is slow where it works and fails where it does not", &complaints);
}

#[test]
fn every_limit_is_used_and_says_why() {
    let sources = sources();
    let limits = sources.iter().find(|source| source.path == "runtime/src/limits.rs").unwrap();
    let lines: Vec<&str> = limits.text.lines().collect();
    let mut complaints = Vec::new();
    let mut count = 0;
    for (n, line) in lines.iter().enumerate() {
        let Some(name) = line.strip_prefix("pub const ").and_then(|rest| rest.split(':').next()) else { continue };
        count += 1;
        let place = format!("runtime/src/limits.rs:{}: {name}", n + 1);
        if n == 0 || !lines[n - 1].starts_with("/// ") {
            complaints.push(format!("{place} does not say why"));
        }
        let used = |source: &Source| source.code.iter().any(|line| names(line, name) && !line.starts_with(&format!("pub const {name}:")));
        if !sources.iter().filter(|source| !source.test).any(used) {
            complaints.push(format!("{place} bounds nothing"));
        }
    }
    assert!(count > 50, "{count}");
    assert_none("a limit holds something, for a reason", &complaints);
}

#[test]
fn a_file_tells_one_story() {
    let sources = sources();
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{} has {lines} lines", source.path))
    };
    assert_none(&format!("at most {LINES_MAX} lines"), &sources.iter().filter_map(long).collect::<Vec<_>>());
    let silent = |source: &Source| (!source.text.starts_with("//!") && !source.text.starts_with("#!")).then(|| source.path.clone());
    assert_none("a file begins with what it is for", &sources.iter().filter_map(silent).collect::<Vec<_>>());
}

#[test]
fn no_file_lies_there_unseen_by_the_compiler() {
    let sources = sources();
    let declared: BTreeSet<String> = sources.iter().flat_map(|source| modules(&source.path, &source.text)).collect();
    let unseen = |source: &&Source| {
        let module = source.path.strip_suffix("/mod.rs").or_else(|| source.path.strip_suffix(".rs")).unwrap();
        let root = ["runtime/src/lib", "runtime/src/main"].contains(&module);
        source.module().is_some() && !root && !declared.contains(module)
    };
    assert_none("no module is declared for", &sources.iter().filter(unseen).map(|source| source.path.clone()).collect::<Vec<_>>());
}
