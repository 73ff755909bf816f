//! The documents say what the program does: their commands are run, their lists are compared.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use reprise::compiler::emit::{Explained, emit, read_plan};
use reprise::compiler::plan::Plan;

use crate::support::page::{blocks, follow, repository};

fn read(page: &str) -> String {
    std::fs::read_to_string(repository().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"))
}

#[test]
fn the_readme_can_be_followed() {
    assert!(follow("README.md") >= 6, "the commands are marked as tested");
}

#[test]
fn the_first_run_can_be_followed() {
    assert!(follow("docs/FIRST-RUN.md") >= 15, "the commands are marked as tested");
}

#[test]
fn the_page_about_people_and_workers_can_be_followed() {
    assert!(follow("docs/HUMAN-IN-THE-LOOP.md") >= 20, "the commands are marked as tested");
}

#[test]
fn the_page_about_checks_can_be_followed() {
    assert!(follow("docs/CHECKS.md") >= 9, "the commands are marked as tested");
}

#[test]
fn the_page_about_secrets_can_be_followed() {
    assert!(follow("docs/SECRETS.md") >= 14, "the commands are marked as tested");
}

#[test]
fn the_cli_page_can_be_followed() {
    assert!(follow("docs/CLI.md") >= 8, "the commands are marked as tested");
}

#[test]
fn the_page_about_grants_can_be_followed() {
    assert!(follow("docs/GRANTS.md") >= 12, "the commands are marked as tested");
}

#[test]
fn the_page_about_bundles_can_be_followed() {
    assert!(follow("docs/BUNDLES.md") >= 10, "the commands are marked as tested");
}

#[test]
fn the_testing_page_can_be_followed() {
    assert!(follow("docs/TESTING.md") >= 10, "the commands are marked as tested");
}

/// `.ci/run` takes the first line that begins with `cargo test` for the command that a change must pass.
#[test]
fn the_readme_names_the_test_command_once() {
    let commands: Vec<String> = read("README.md").lines().filter(|line| line.starts_with("cargo test")).map(str::to_owned).collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert_eq!(commands[0].split('#').next().unwrap().trim(), "cargo test");
}

#[test]
fn every_direct_dependency_has_its_sentence() {
    let manifest: toml::Table = read("runtime/Cargo.toml").parse().unwrap();
    let used: BTreeSet<String> = ["dependencies", "dev-dependencies"]
        .iter()
        .flat_map(|table| manifest[*table].as_table().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    let page = read("docs/DEPENDENCIES.md");
    let rows = page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
    let explained: BTreeSet<String> = rows.collect();
    assert_eq!(used, explained, "left: runtime/Cargo.toml, right: docs/DEPENDENCIES.md");
}

/// The help text of `reprise` with these subcommands.
fn help(subcommands: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_reprise")).args(subcommands).arg("--help").output().unwrap();
    assert!(out.status.success(), "{subcommands:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// The subcommands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The flags that a help text lists.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.split_once("Options:\n").map_or("", |(_, list)| list).lines().filter(|line| line.trim_start().starts_with('-'));
    words
        .flat_map(|line| line.split_whitespace().take(2))
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches(',').to_owned())
        .collect()
}

#[test]
fn the_cli_page_has_every_command_flag_and_exit_code() {
    let page = read("docs/CLI.md");
    let mut missing = String::new();
    let top = help(&[]);
    for (code, line) in
        top.split_once("Exit codes:\n").unwrap().1.lines().take_while(|line| !line.is_empty()).filter_map(|l| l.trim().split_once("  "))
    {
        if !page.contains(&format!("| {code} | {line}")) {
            writeln!(missing, "exit code {code}: {line}").unwrap();
        }
    }
    let common = flags(&top);
    for flag in common.iter().filter(|flag| !page.contains(&format!("`{flag}"))) {
        writeln!(missing, "{flag}").unwrap();
    }
    for command in commands(&top) {
        let below = help(&[&command]);
        let subcommands = commands(&below);
        let all: Vec<Vec<&str>> = if subcommands.is_empty() {
            vec![vec![&command]]
        } else {
            subcommands.iter().map(|sub| vec![command.as_str(), sub.as_str()]).collect()
        };
        for words in all {
            let name = format!("reprise {}", words.join(" "));
            let Some((_, section)) = page.split_once(&format!("### {name}\n")) else {
                writeln!(missing, "{name}").unwrap();
                continue;
            };
            let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
            for flag in flags(&help(&words)).difference(&common).filter(|flag| !section.contains(&format!("`{flag}"))) {
                writeln!(missing, "{name} {flag}").unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "docs/CLI.md lacks:\n{missing}");
}

#[test]
fn the_rules_on_the_format_page_make_what_it_says() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PLAYBOOK-FORMAT.md")).unwrap();
    let table = page.split("\n| rule | of | makes |\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let cell =
        |cell: &str| -> serde_json::Value { serde_json::from_str(cell.trim().trim_matches('`')).unwrap_or_else(|e| panic!("{cell}: {e}")) };
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert!(rows.len() > 20, "{table}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [rule, of, makes] = cells[..] else { panic!("{row}") };
        let rule: reprise::rules::Rule = serde_json::from_value(cell(rule)).unwrap_or_else(|e| panic!("{row}: {e}"));
        assert_eq!(reprise::rules::derive(&cell(of), &[rule]), Ok(cell(makes)), "{row}");
    }
}

#[test]
fn the_plans_on_the_format_page_are_plans() {
    let plans: Vec<_> = blocks("docs/PLAYBOOK-FORMAT.md").into_iter().filter(|block| block.info == "json plan").collect();
    assert!(!plans.is_empty());
    for block in plans {
        let plan = Plan::parse(block.text.as_bytes()).unwrap_or_else(|e| panic!("{}: {e} {:?}", block.place, e.issues));
        let component = emit(&plan).unwrap();
        assert_eq!(read_plan(&component), Explained::ByPlan(Box::new(plan)), "{}", block.place);
    }
}

fn pages(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            pages(&path, into);
        } else if name.ends_with(".md") {
            into.push(path);
        }
    }
}

/// Files, and headings within them as GitHub names them.
#[test]
fn every_link_leads_somewhere() {
    let mut all = Vec::new();
    pages(&repository(), &mut all);
    let anchors = |text: &str| -> BTreeSet<String> {
        let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
        headings
            .map(|heading| {
                heading
                    .chars()
                    .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                    .map(|c| if c == ' ' { '-' } else { c })
                    .collect()
            })
            .collect()
    };
    let mut broken = Vec::new();
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|t| !t.contains("://") && !t.contains(' '))
        {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let linked = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let leads = match (linked.exists(), anchor) {
                (false, _) => false,
                (true, None) => true,
                (true, Some(anchor)) => anchors(&std::fs::read_to_string(&linked).unwrap()).contains(anchor),
            };
            if !leads {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A promise that no test shows is a wish.
#[test]
fn every_guarantee_names_tests_that_there_are() {
    let mut sources = String::new();
    let mut directories = vec![repository().join("tests"), repository().join("runtime/src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let page = read("docs/GUARANTEES.md");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let named: BTreeSet<&str> =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.matches('_').count() > 2).collect();
    assert!(named.len() > 60, "{}", named.len());
    let absent: Vec<&&str> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(absent.is_empty(), "docs/GUARANTEES.md names tests that are not there: {absent:#?}");
    // The cases that this version set itself, each with its number in a test's name.
    let cases = (1..=6).chain(9..=16).chain([18]).chain(20..=25).chain([28]).chain(30..=41).chain(50..=58).chain([60]);
    let cases = cases.chain(70..=72).chain([81, 83, 84, 90, 91, 93, 94]);
    let untested: Vec<u32> = cases.filter(|case| !named.iter().any(|name| format!("_{name}").contains(&format!("_c{case:02}_")))).collect();
    assert!(untested.is_empty(), "cases without a test: {untested:?}");
}
