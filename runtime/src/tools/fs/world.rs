//! What the tests of the file tools share: a directory granted as `project`, one granted read-only as `docs`,
//! a secret outside of both, and calls through the registry. Each outcome is checked for what must always hold.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::contract::{Confirmation, Outcome, Reconciliation, ToolError, ToolId};
use crate::json::Json;
use crate::tools::grants::{Grant, Grants};
use crate::tools::{Registry, Times, fs};

pub(in crate::tools) struct World {
    dir: tempfile::TempDir,
    registry: Registry,
    pub(in crate::tools) grants: Grants,
    calls: AtomicUsize,
    runtime: tokio::runtime::Runtime,
}

/// What no tool may ever give out or change.
pub(in crate::tools) const SECRET: &str = "the secret outside of every grant";

impl World {
    pub(in crate::tools) fn new() -> World {
        World::with(Registry::builtin())
    }

    /// Calls give up on what others hold after a moment.
    pub(in crate::tools) fn in_a_hurry() -> World {
        let times = Times { begin: Duration::from_millis(50), answer: Duration::from_secs(10) };
        World::with(Registry::of(fs::tools(), times))
    }

    /// With these grants alone.
    pub(in crate::tools) fn granted(flags: &[&str]) -> World {
        let grants: Vec<Grant> = flags.iter().map(|flag| Grant::parse_flag(flag).unwrap()).collect();
        World { grants: Grants::open(&grants).unwrap(), ..World::new() }
    }

    pub(in crate::tools) fn with(registry: Registry) -> World {
        let dir = tempfile::Builder::new().prefix("host-path-").tempdir().unwrap();
        for sub in ["granted", "read-only", "outside"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        std::fs::write(dir.path().join("outside/secret.txt"), SECRET).unwrap();
        std::fs::write(dir.path().join("read-only/guide.md"), "guide").unwrap();
        let grant = |text: String| Grant::parse_flag(&text).unwrap();
        let grants = [
            grant(format!("fs:project={}", dir.path().join("granted").display())),
            grant(format!("fs:docs={}:ro", dir.path().join("read-only").display())),
        ];
        let grants = Grants::open(&grants).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        World { dir, registry, grants, calls: AtomicUsize::new(0), runtime }
    }

    /// On the host; `sub` is below the grant `project`.
    pub(in crate::tools) fn path(&self, sub: &str) -> PathBuf {
        if sub.is_empty() { self.dir.path().join("granted") } else { self.dir.path().join("granted").join(sub) }
    }

    pub(in crate::tools) fn outside(&self, sub: &str) -> PathBuf {
        self.dir.path().join("outside").join(sub)
    }

    pub(in crate::tools) fn bytes(&self, sub: &str, content: &[u8]) {
        std::fs::create_dir_all(self.path(sub).parent().unwrap()).unwrap();
        std::fs::write(self.path(sub), content).unwrap();
    }

    pub(in crate::tools) fn file(&self, sub: &str, text: &str) {
        self.bytes(sub, text.as_bytes());
    }

    /// `sub` becomes a link with exactly this target.
    pub(in crate::tools) fn link(&self, target: &str, sub: &str) {
        std::fs::create_dir_all(self.path(sub).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, self.path(sub)).unwrap();
    }

    pub(in crate::tools) fn pipe(&self, sub: &str) {
        let made = std::process::Command::new("mkfifo").arg(self.path(sub)).status().unwrap();
        assert!(made.success());
    }

    pub(in crate::tools) fn mode(&self, sub: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.path(sub), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(in crate::tools) fn content(&self, sub: &str) -> String {
        String::from_utf8(self.bytes_of(sub)).unwrap()
    }

    pub(in crate::tools) fn bytes_of(&self, sub: &str) -> Vec<u8> {
        std::fs::read(self.path(sub)).unwrap()
    }

    /// What the directory holds, temporary files included, sorted.
    pub(in crate::tools) fn names(&self, sub: &str) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.path(sub)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// One call with a key of its own.
    pub(in crate::tools) fn call(&self, tool: &str, input: &str) -> Outcome {
        self.call_with_key(tool, &format!("key {}", self.calls.fetch_add(1, Ordering::Relaxed)), input)
    }

    fn call_with_key(&self, tool: &str, key: &str, input: &str) -> Outcome {
        let id = ToolId::parse(tool).unwrap();
        let input = Json::parse(input.as_bytes()).unwrap();
        let outcome = self.runtime.block_on(self.registry.call(&id, key, &input, &self.grants));
        let shown = format!("{outcome:?}");
        assert!(!shown.contains("host-path-"), "a host path got out: {shown}");
        assert!(!shown.contains(SECRET), "the secret got out: {shown}");
        assert_eq!(std::fs::read_to_string(self.outside("secret.txt")).unwrap(), SECRET, "the secret was changed by {tool} {input}");
        if let Ok(output) = &outcome {
            let schema = &self.registry.get(&id).unwrap().output_schema;
            if let Err(e) = jsonschema::validate(schema, &output.value()) {
                panic!("{tool} answered {output}, which its schema does not allow: {e}");
            }
        }
        outcome
    }

    pub(in crate::tools) fn reconcile(&self, tool: &str, key: &str, input: &str) -> Reconciliation {
        let input = Json::parse(input.as_bytes()).unwrap();
        let told = self.runtime.block_on(self.registry.reconcile(&ToolId::parse(tool).unwrap(), key, &input, &self.grants));
        assert!(!format!("{told:?}").contains("host-path-"), "a host path got out: {told:?}");
        told
    }

    pub(in crate::tools) fn confirm(&self, tool: &str, input: &str, output: &Json) -> Confirmation {
        let input = Json::parse(input.as_bytes()).unwrap();
        let told = self.runtime.block_on(self.registry.confirm(&ToolId::parse(tool).unwrap(), &input, output, &self.grants));
        assert!(!format!("{told:?}").contains("host-path-"), "a host path got out: {told:?}");
        told
    }

    /// The call must give exactly this output.
    pub(in crate::tools) fn answers(&self, tool: &str, input: &str, output: &str) {
        assert_eq!(self.call(tool, input).unwrap().as_str(), output, "{tool} {input}");
    }

    pub(in crate::tools) fn answers_with_key(&self, tool: &str, key: &str, input: &str, output: &str) {
        assert_eq!(self.call_with_key(tool, key, input).unwrap().as_str(), output, "{tool} {input}");
    }

    /// The call must be refused with this kind, and the message must say this.
    pub(in crate::tools) fn refuses(&self, tool: &str, input: &str, kind: &str, says: &str) -> ToolError {
        let shown: String = input.chars().take(200).collect();
        let error = self.call(tool, input).expect_err(&format!("{tool} {shown} must be refused"));
        assert_eq!(error.kind.as_str(), kind, "{tool} {shown}: {error}");
        assert!(error.message.contains(says), "{tool} {shown}: {error}\ndoes not say: {says}");
        error
    }
}
