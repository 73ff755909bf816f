//! Toolchains of guests: whether they are here, and the directory in which tests build with them.
//!
//! A test that needs one which is not here says so and passes; with `REPRISE_GUESTS=required` it fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where guests are built, kept from one run of the tests to the next: `target/guests/LANGUAGE`.
pub fn build_directory(language: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../guests").join(language);
    std::fs::create_dir_all(&directory).unwrap();
    directory.canonicalize().unwrap()
}

/// Says that a test does nothing, past the test harness, which would keep it to itself.
pub fn absent(what: &str, remedy: &str) {
    assert!(std::env::var_os("REPRISE_GUESTS").is_none_or(|word| word != "required"), "{what} is not here; {remedy}");
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {}: {what} is not here; {remedy}", std::thread::current().name().unwrap_or("a test"));
}

/// True where Rust can build components; says so where it cannot.
pub fn has_rust_for_components() -> bool {
    const TARGET: &str = "wasm32-wasip2";
    // A standard library outside of the toolchain is named in the flags.
    let flags = std::env::var("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS").unwrap_or_default();
    let asked = Command::new("rustc").args(flags.split_whitespace()).args(["--target", TARGET, "--print", "target-libdir"]).output();
    let libraries = asked.ok().map(|asked| PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim()));
    let entries = libraries.and_then(|libraries| std::fs::read_dir(libraries).ok()).into_iter().flatten();
    let has_std = entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"));
    if !has_std {
        absent("Rust's target wasm32-wasip2", "add it with: rustup target add wasm32-wasip2");
    }
    has_std
}

/// The environment in which a project of Rust is built as its user builds it, but for what is built already: `target/` in
/// the project gets what the user looks for, and the rest is shared.
pub fn rust_environment() -> Vec<(&'static str, Option<PathBuf>)> {
    let home = |name: &str, directory: &str| {
        std::env::var_os(name).map(PathBuf::from).or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(directory)))
    };
    vec![
        ("CARGO_HOME", home("CARGO_HOME", ".cargo")),
        ("RUSTUP_HOME", home("RUSTUP_HOME", ".rustup")),
        ("CARGO_BUILD_BUILD_DIR", Some(build_directory("rust"))),
        ("CARGO_TARGET_DIR", None),
        // They would win over those of the target.
        ("RUSTFLAGS", None),
    ]
}
