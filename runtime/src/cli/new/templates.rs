//! What `reprise new` writes, as it stands in `guest-sdk/` and `wit/`.
//!
//! A list names each file, since the compiler takes them in one by one; the tests hold the lists against the directories, and each
//! template's README against the commands that are shown.

use super::{Kind, Language};

/// A template: its own files, and what is written beside them.
pub(super) struct Template {
    own: &'static [Embedded],
    /// Written without looking for placeholders, each list below a directory of the project.
    beside: &'static [(&'static str, &'static [Embedded])],
    /// The one command that builds it, run in its directory.
    pub build: &'static str,
    /// What the command makes, below its directory.
    pub component: &'static str,
}

/// A path below its directory, and the text.
type Embedded = (&'static str, &'static str);

/// A file to be written.
pub(super) struct File {
    /// Below the project.
    pub path: String,
    /// The text, with its placeholders.
    pub text: &'static str,
    /// True where two braces are no placeholder.
    pub as_it_is: bool,
}

/// The files of a directory of this repository.
macro_rules! files {
    ($directory:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../", $directory, "/", $path)))),+]
    };
}

const WIT: &[Embedded] = files!("wit": "playbook.wit", "tool.wit", "types.wit");

const RUST_CRATE: &[Embedded] = files!("guest-sdk/rust/reprise-guest":
    "Cargo.toml",
    "macros/Cargo.toml",
    "macros/src/lib.rs",
    "macros/src/names.rs",
    "macros/src/playbook.rs",
    "macros/src/signature.rs",
    "macros/src/tool.rs",
    "src/bare.rs",
    "src/border/host.rs",
    "src/border/mod.rs",
    "src/border/playbook.rs",
    "src/border/tool.rs",
    "src/flow.rs",
    "src/lib.rs",
    "src/playbooks.rs",
    "src/prelude.rs",
    "src/testing/host.rs",
    "src/testing/mod.rs",
    "src/testing/script.rs",
    "src/tools.rs",
    "src/words.rs",
);

const LICENCE: &[Embedded] = &[("LICENSE", include_str!("../../../../LICENSE"))];

/// The crate is on no registry, so a project has a copy of it.
const RUST_BESIDE: &[(&str, &[Embedded])] =
    &[("vendor/reprise-guest", RUST_CRATE), ("vendor/reprise-guest", LICENCE), ("vendor/reprise-guest/wit", WIT)];

const RUST_TOOL: Template = Template {
    own: files!("guest-sdk/rust/template-tool": ".gitignore", "Cargo.lock", "Cargo.toml", "README.md", "src/lib.rs"),
    beside: RUST_BESIDE,
    build: "cargo build --release --target wasm32-wasip2",
    component: "target/wasm32-wasip2/release/{{snake}}.wasm",
};

const RUST_PLAYBOOK: Template = Template {
    own: files!("guest-sdk/rust/template-playbook": ".gitignore", "Cargo.lock", "Cargo.toml", "README.md", "src/lib.rs"),
    beside: RUST_BESIDE,
    build: "cargo build --release --target wasm32-wasip2",
    component: "target/wasm32-wasip2/release/{{snake}}.wasm",
};

const JAVASCRIPT_LIBRARY: &[Embedded] = files!("guest-sdk/javascript/reprise": "build.mjs", "playbook.js", "testing.js", "tool.js");

const JAVASCRIPT_BESIDE: &[(&str, &[Embedded])] = &[("reprise", JAVASCRIPT_LIBRARY), ("reprise", LICENCE), ("reprise/wit", WIT)];

const JAVASCRIPT_TOOL: Template = Template {
    own: files!("guest-sdk/javascript/template-tool": ".gitignore", "README.md", "package.json", "src/tool.js", "test/tool.test.js"),
    beside: JAVASCRIPT_BESIDE,
    build: "npm install && npm run build",
    component: "{{name}}.wasm",
};

const JAVASCRIPT_PLAYBOOK: Template = Template {
    own: files!("guest-sdk/javascript/template-playbook":
        ".gitignore", "README.md", "package.json", "src/playbook.js", "test/playbook.test.js",
    ),
    beside: JAVASCRIPT_BESIDE,
    build: "npm install && npm run build",
    component: "{{name}}.wasm",
};

const PYTHON_LIBRARY: &[Embedded] =
    files!("guest-sdk/python/reprise": "__init__.py", "build.py", "playbook.py", "testing.py", "tool.py", "types.py");

const PYTHON_BESIDE: &[(&str, &[Embedded])] = &[("reprise", PYTHON_LIBRARY), ("reprise", LICENCE), ("reprise/wit", WIT)];

const PYTHON_TOOL: Template = Template {
    own: files!("guest-sdk/python/template-tool": ".gitignore", "README.md", "build.py", "test_tool.py", "tool.py"),
    beside: PYTHON_BESIDE,
    build: "python3 build.py",
    component: "{{name}}.wasm",
};

const PYTHON_PLAYBOOK: Template = Template {
    own: files!("guest-sdk/python/template-playbook": ".gitignore", "README.md", "build.py", "playbook.py", "test_playbook.py"),
    beside: PYTHON_BESIDE,
    build: "python3 build.py",
    component: "{{name}}.wasm",
};

const C_LIBRARY: &[Embedded] = files!("guest-sdk/c/reprise": "abi.h", "json.c", "json.h", "playbook.c", "playbook.h", "tool.c", "tool.h");

/// Its contract is `abi.h`.
const C_BESIDE: &[(&str, &[Embedded])] = &[("reprise", C_LIBRARY), ("reprise", LICENCE)];

const C_TOOL: Template = Template {
    own: files!("guest-sdk/c/template-tool": ".gitignore", "README.md", "build.sh", "src/tool.c"),
    beside: C_BESIDE,
    build: "./build.sh",
    component: "{{name}}.wasm",
};

const C_PLAYBOOK: Template = Template {
    own: files!("guest-sdk/c/template-playbook": ".gitignore", "README.md", "build.sh", "src/playbook.c"),
    beside: C_BESIDE,
    build: "./build.sh",
    component: "{{name}}.wasm",
};

impl Template {
    pub(super) fn of(language: Language, kind: Kind) -> &'static Template {
        match (language, kind) {
            (Language::Rust, Kind::Tool) => &RUST_TOOL,
            (Language::Rust, Kind::Playbook) => &RUST_PLAYBOOK,
            (Language::Javascript, Kind::Tool) => &JAVASCRIPT_TOOL,
            (Language::Javascript, Kind::Playbook) => &JAVASCRIPT_PLAYBOOK,
            (Language::Python, Kind::Tool) => &PYTHON_TOOL,
            (Language::Python, Kind::Playbook) => &PYTHON_PLAYBOOK,
            (Language::C, Kind::Tool) => &C_TOOL,
            (Language::C, Kind::Playbook) => &C_PLAYBOOK,
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = File> {
        let own = self.own.iter().map(|(path, text)| File { path: (*path).to_owned(), text, as_it_is: false });
        let beside = self.beside.iter().flat_map(|(directory, files)| {
            files.iter().map(move |(path, text)| File { path: format!("{directory}/{path}"), text, as_it_is: true })
        });
        own.chain(beside)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use clap::ValueEnum as _;

    use super::*;

    /// Every file below a directory that is not left behind by a build, or a test of the crate itself.
    fn walk(directory: &Path, top: &Path, into: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            match (path.is_dir(), below.as_str()) {
                // The contract is a link to `wit/`, and written on its own; the crate's own tests stay at home.
                (true, "target" | "node_modules" | "wit" | "tests" | "__pycache__") => {}
                (true, _) => walk(&path, top, into),
                (false, _) => {
                    into.insert(below);
                }
            }
        }
    }

    #[test]
    fn no_file_of_a_template_is_forgotten() {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        for (directory, files) in [
            ("wit", WIT),
            ("guest-sdk/rust/reprise-guest", RUST_CRATE),
            ("guest-sdk/rust/template-tool", RUST_TOOL.own),
            ("guest-sdk/rust/template-playbook", RUST_PLAYBOOK.own),
            ("guest-sdk/javascript/reprise", JAVASCRIPT_LIBRARY),
            ("guest-sdk/javascript/template-tool", JAVASCRIPT_TOOL.own),
            ("guest-sdk/javascript/template-playbook", JAVASCRIPT_PLAYBOOK.own),
            ("guest-sdk/python/reprise", PYTHON_LIBRARY),
            ("guest-sdk/python/template-tool", PYTHON_TOOL.own),
            ("guest-sdk/python/template-playbook", PYTHON_PLAYBOOK.own),
            ("guest-sdk/c/reprise", C_LIBRARY),
            ("guest-sdk/c/template-tool", C_TOOL.own),
            ("guest-sdk/c/template-playbook", C_PLAYBOOK.own),
        ] {
            let mut there = BTreeSet::new();
            walk(&repository.join(directory), &repository.join(directory), &mut there);
            let listed: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(listed, there, "left: the list, right: {directory}");
        }
    }

    #[test]
    fn every_readme_shows_the_commands() {
        for language in Language::value_variants() {
            for kind in Kind::value_variants() {
                let template = Template::of(*language, *kind);
                let readme = template.own.iter().find(|(path, _)| *path == "README.md").expect("a template has a README.md").1;
                for shown in [template.build, template.component] {
                    assert!(readme.contains(shown), "{language:?} {kind:?}: README.md lacks {shown:?}");
                }
            }
        }
    }
}
