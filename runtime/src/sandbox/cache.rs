//! Compiled components: ready ones in memory, machine code on disk under digest and engine.
//!
//! A crash while writing leaves a file under a temporary name, never a half one under its real name. A file
//! that does not load is compiled anew.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::Playbook;
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::limits;

/// A cached file is machine code and the SHA-256 of it: damaged code must not run.
const DIGEST_BYTES: usize = 32;

pub(super) struct Cache {
    /// Where the machine code lies; none keeps nothing between processes.
    dir: Option<PathBuf>,
    /// Held for look-ups and inserts only, never while compiling.
    ready: Mutex<Recent>,
}

/// Playbooks in memory; the one not used for longest goes first.
#[derive(Default)]
struct Recent {
    uses: u64,
    by_digest: HashMap<Digest, (Playbook, u64)>,
}

impl Cache {
    pub(super) fn new(engine: &Engine, dir: Option<&Path>) -> Result<Self> {
        let dir = dir.map(|dir| dir.join(format!("{:016x}", compatibility(engine))));
        if let Some(dir) = &dir {
            std::fs::create_dir_all(dir).map_err(|e| Error::new(Code::StoreUnavailable, format!("cannot make {}: {e}", dir.display())))?;
        }
        Ok(Cache { dir, ready: Mutex::default() })
    }

    pub(super) fn ready(&self, digest: &Digest) -> Option<Playbook> {
        let mut recent = self.ready.lock().expect("nobody panics while holding it");
        recent.uses += 1;
        let now = recent.uses;
        let (playbook, used) = recent.by_digest.get_mut(digest)?;
        *used = now;
        Some(playbook.clone())
    }

    pub(super) fn keep_ready(&self, digest: &Digest, playbook: &Playbook) {
        let mut recent = self.ready.lock().expect("nobody panics while holding it");
        if recent.by_digest.len() >= limits::COMPONENTS_IN_MEMORY_MAX {
            let oldest = recent.by_digest.iter().min_by_key(|(_, (_, used))| *used).map(|(digest, _)| *digest);
            oldest.map(|digest| recent.by_digest.remove(&digest));
        }
        let now = recent.uses;
        recent.by_digest.insert(*digest, (playbook.clone(), now));
    }

    /// The machine code that an earlier [`Cache::keep_compiled`] of this engine wrote.
    pub(super) fn compiled(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest)?;
        let bytes = std::fs::read(&path).ok()?;
        let (code, sum) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
        if Digest::of(code).as_bytes() != sum {
            tracing::warn!(path = %path.display(), "a cached component is damaged and is compiled anew");
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the file lies in a directory of our own, under the digest of what we compiled and the hash of the engine that did, and is as it was written"
        )]
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded.inspect_err(|e| tracing::warn!(path = %path.display(), "a cached component does not load and is compiled anew: {e:#}")).ok()
    }

    /// A full disk costs the cache, not the answer.
    pub(super) fn keep_compiled(&self, digest: &Digest, component: &Component) {
        let Some(path) = self.path(digest) else { return };
        if let Err(e) = write(&path, component) {
            tracing::warn!(path = %path.display(), "cannot keep a compiled component: {e:#}");
        }
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("{digest}.cwasm")))
    }
}

/// Synced before it gets its name, since a file that is whole in name only would be mapped as machine code.
fn write(path: &Path, component: &Component) -> anyhow::Result<()> {
    let dir = path.parent().expect("the path was joined to a directory");
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let code = component.serialize().map_err(anyhow::Error::from)?;
    file.write_all(&code)?;
    file.write_all(Digest::of(&code).as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Changes with the engine's version and every setting that machine code depends on.
fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Sandbox;

    #[test]
    fn damaged_machine_code_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = wat::parse_str("(component)").unwrap();
        let sandbox = Sandbox::new(Some(dir.path())).unwrap();
        let (engine, cache) = (&sandbox.shared.engine, &sandbox.shared.cache);
        let digest = Digest::of(&bytes);
        cache.keep_compiled(&digest, &Component::from_binary(engine, &bytes).unwrap());
        assert!(cache.compiled(engine, &digest).is_some());
        let path = cache.path(&digest).unwrap();
        let mut file = std::fs::read(&path).unwrap();
        let middle = file.len() / 2;
        file[middle] ^= 1;
        std::fs::write(&path, file).unwrap();
        assert!(cache.compiled(engine, &digest).is_none());
        std::fs::write(&path, b"short").unwrap();
        assert!(cache.compiled(engine, &digest).is_none());
    }
}
