//! A bundle as a directory, changed the way a forger would: every digest, size and descriptor follows the change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reprise::ids::Digest;
use serde_json::{Value, json};

const BLOBS: &str = "blobs/sha256";

/// A copy of a bundle's directory.
pub struct Layout {
    dir: tempfile::TempDir,
}

impl Layout {
    pub fn copy(bundle: &Path) -> Layout {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(BLOBS)).unwrap();
        for (name, bytes) in files(bundle) {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        Layout { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn blob(&self, digest: &str) -> PathBuf {
        self.file(BLOBS).join(digest.trim_start_matches("sha256:"))
    }

    pub fn json(&self, path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    pub fn index(&self) -> Value {
        self.json(&self.file("index.json"))
    }

    /// The place in the index of the artifact of this name.
    pub fn place_of(&self, reference: &str) -> usize {
        let index = self.index();
        let named = |m: &Value| m["annotations"]["org.opencontainers.image.ref.name"] == reference;
        index["manifests"].as_array().unwrap().iter().position(named).unwrap()
    }

    pub fn artifact(&self, reference: &str) -> Value {
        self.json(&self.blob(self.index()["manifests"][self.place_of(reference)]["digest"].as_str().unwrap()))
    }

    /// The bundle's own account of itself.
    pub fn manifest(&self) -> Value {
        self.json(&self.blob(self.artifact("bundle")["config"]["digest"].as_str().unwrap()))
    }

    /// Writes a blob in the place of the one that `descriptor` names, and has it name the new one.
    pub fn exchange(&self, descriptor: &mut Value, bytes: &[u8]) {
        let _ = std::fs::remove_file(self.blob(descriptor["digest"].as_str().unwrap()));
        let digest = Digest::of(bytes).to_string();
        std::fs::write(self.blob(&digest), bytes).unwrap();
        descriptor["digest"] = json!(format!("sha256:{digest}"));
        descriptor["size"] = json!(bytes.len());
    }

    /// Changes an artifact of the layout, and what names it.
    pub fn with_artifact(&self, reference: &str, change: impl FnOnce(&mut Value)) {
        let (place, mut index) = (self.place_of(reference), self.index());
        let mut artifact = self.artifact(reference);
        change(&mut artifact);
        self.exchange(&mut index["manifests"][place], artifact.to_string().as_bytes());
        std::fs::write(self.file("index.json"), index.to_string()).unwrap();
    }

    pub fn with_manifest(&self, change: impl FnOnce(&mut Value)) {
        self.with_artifact("bundle", |ours| {
            let mut manifest = self.json(&self.blob(ours["config"]["digest"].as_str().unwrap()));
            change(&mut manifest);
            self.exchange(&mut ours["config"], manifest.to_string().as_bytes());
        });
    }
}

/// Every file of a layout, by its path in it.
pub fn files(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for below in ["", BLOBS] {
        for entry in std::fs::read_dir(bundle.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(bundle).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}
