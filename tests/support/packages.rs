//! Toolchains of guests that come from npm, PyPI and the system: installed once, below `target/guests`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::page::repository;
use super::toolchains::{absent, build_directory};

/// Runs a command of a toolchain; none where the program is not here.
fn said(program: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())
}

/// Installed once in a process, whichever test comes first; none where it cannot be.
fn once(kept: &'static OnceLock<Option<PathBuf>>, what: &str, remedy: &str, install: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    let installed = kept.get_or_init(install).clone();
    if installed.is_none() {
        absent(what, remedy);
    }
    installed
}

/// `node_modules` with what projects in JavaScript are built with; says so where it cannot be had.
pub fn node_modules() -> Option<PathBuf> {
    static KEPT: OnceLock<Option<PathBuf>> = OnceLock::new();
    once(&KEPT, "componentize-qjs, which makes components of JavaScript,", "Node 18 or newer and npm install it", || {
        let version = String::from_utf8(said("node", &["--version"])?.stdout).unwrap();
        let major: u32 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
        if major < 18 {
            return None;
        }
        let home = build_directory("javascript");
        std::fs::copy(repository().join("guest-sdk/javascript/tool/package.json"), home.join("package.json")).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--prefer-offline", "--no-audit", "--no-fund"]).current_dir(&home);
        npm.output().ok().filter(|output| output.status.success())?;
        Some(home.join("node_modules"))
    })
}

/// A virtual environment with what projects in Python are built with; says so where it cannot be had.
pub fn python_environment() -> Option<PathBuf> {
    static KEPT: OnceLock<Option<PathBuf>> = OnceLock::new();
    once(&KEPT, "componentize-py, which makes components of Python,", "Python 3.11 or newer with venv installs it", || {
        said("python3", &["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])?;
        let home = build_directory("python").join("venv");
        let wanted = build_py("COMPILER");
        let marked = home.join(wanted.replace('=', "-"));
        if !marked.exists() {
            said("python3", &["-m", "venv", home.to_str().unwrap()])?;
            said(home.join("bin/python").to_str().unwrap(), &["-m", "pip", "install", "--quiet", &wanted])?;
            std::fs::write(marked, "").unwrap();
        }
        Some(home)
    })
}

/// A constant of the build in Python, so that the two cannot drift apart.
fn build_py(name: &str) -> String {
    let text = std::fs::read_to_string(repository().join("guest-sdk/python/reprise/build.py")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} = \""))).unwrap();
    line.trim_end_matches('"').to_owned()
}

/// True where C can be compiled for WebAssembly: with clang and wasi-libc, with zig, or with the zig of `REPRISE_ZIG_VENV`.
pub fn has_c_for_components() -> bool {
    let clang = ["clang-21", "clang-20", "clang-19", "clang-18", "clang"].iter().any(|clang| {
        let library = said(clang, &["--target=wasm32-wasi", "-print-libgcc-file-name"]);
        library.is_some_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
    });
    let libc = Path::new("/usr/lib/wasm32-wasi/libc.a").exists() || std::env::var_os("WASI_SYSROOT").is_some();
    let found = clang && libc || has_zig();
    if !found {
        absent("a compiler of C for WebAssembly", "Debian has it: apt install clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc");
    }
    found
}

/// True where zig is here already; it is large, so no test fetches it.
pub fn has_zig() -> bool {
    let environment = std::env::var_os("REPRISE_ZIG_VENV").map(|venv| Path::new(&venv).join("bin/python"));
    said("zig", &["version"]).is_some() || environment.is_some_and(|python| python.exists())
}

/// Where npm and pip find their settings and what they fetched before, for a shell that has another home.
pub fn package_environment() -> Vec<(&'static str, PathBuf)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut kept = vec![
        ("npm_config_userconfig", home.join(".npmrc")),
        ("npm_config_cache", home.join(".npm")),
        ("PIP_CACHE_DIR", home.join(".cache/pip")),
        ("PIP_CONFIG_FILE", home.join(".config/pip/pip.conf")),
        ("ZIG_GLOBAL_CACHE_DIR", home.join(".cache/zig")),
    ];
    kept.retain(|(name, path)| std::env::var_os(name).is_none() && path.exists());
    kept
}

/// A copy of what a worked example needs: the library and the examples of a language, and the contract. Gives the language's
/// directory.
pub fn worked_examples(language: &str, into: &Path) -> PathBuf {
    copy(&repository().join("wit"), &into.join("wit"));
    let directory = into.join("guest-sdk").join(language);
    copy(&repository().join("guest-sdk").join(language), &directory);
    directory
}

/// Without what a build left behind.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let left_behind = ["node_modules", "build", "__pycache__", "target"].contains(&name.as_str()) || name.starts_with('.');
        if path.is_dir() && !left_behind {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Runs a command of a project, which must succeed; what it printed.
pub fn built(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let printed = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}:\n{printed}");
    printed
}
