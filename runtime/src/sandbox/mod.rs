//! Runs guests: instantiate, limit, call, and turn what they import into [`Effects`].
//!
//! It is the only module that names wasmtime. It does not know jobs, journals or what a tool does. It must
//! stay true that a guest reaches the world only through [`Effects`], that each run has a fresh store, and
//! that only components which this process's own engine compiled are ever deserialised.

mod cache;
mod checks;
mod effects;
mod flow;
mod guest;
mod hands;
mod imports;
mod provider;
mod run;
mod scripted;
mod turns;
mod values;

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

pub use effects::{Answering, ChildKind, ChildOutcome, Effects, GuestFailure, Interruption, Level, StepOptions, Stop, Waited};
pub use imports::{CHECKS, DATA, FLOW, Imports, PLAYBOOK, TYPES, is_no_playbook};
pub use provider::{
    Called, Capability, Described, Directory, Function, Provider, Question, Reach, Reached, Space, SpaceError, Spaces, TOOLS, Usage, Web,
    WebAnswer, WebRefusal, WebRequest,
};
pub use run::{Ending, Finished};
pub use scripted::{Line, Scripted};
pub use values::{Int, Named, Shape, Signature};

use crate::contract::ToolId;
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::limits;
use guest::Guest;

/// The process's one engine with its cache of compiled components. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    /// What every tool component may import.
    tool_linker: provider::ToolLinker,
    cache: cache::Cache,
    /// Where the guests of tools run.
    hands: hands::Hands,
    /// Ends the thread that ticks the kill switch when the last sandbox is dropped.
    _ticker: Ticker,
}

/// A component that is compiled, linked and ready to be instantiated in microseconds. Cheap to clone.
#[derive(Clone)]
pub struct Playbook {
    ready: Arc<Ready>,
}

struct Ready {
    pre: InstancePre<Guest>,
    run: wasmtime::component::ComponentExportIndex,
    imports: Imports,
    manner: hands::Manner,
}

impl Playbook {
    /// What it may reach.
    #[must_use]
    pub fn imports(&self) -> &Imports {
        &self.ready.imports
    }
}

/// The engine that results were made with, as `Cargo.lock` has it (a test compares); fuel is never compared across
/// versions.
pub const ENGINE_VERSION: &str = "wasmtime 48.0.8";

impl Sandbox {
    /// `cache_dir`: where compiled components are kept between processes; none keeps them in memory only.
    ///
    /// # Errors
    /// `internal_error` where this machine cannot run the engine (its message says why), `store_unavailable`
    /// where the cache directory cannot be made.
    pub fn new(cache_dir: Option<&Path>) -> Result<Self> {
        let engine = Engine::new(&config())
            .map_err(|e| Error::new(Code::InternalError, format!("the WebAssembly engine does not start on this machine: {e:#}")))?;
        let cache = cache::Cache::new(&engine, cache_dir)?;
        let tool_linker = provider::linker(&engine).expect("each interface is linked once");
        let hands =
            hands::Hands::new().map_err(|e| Error::new(Code::InternalError, format!("no threads for guests can be started: {e}")))?;
        Ok(Sandbox { shared: Arc::new(Shared { _ticker: Ticker::start(&engine), engine, tool_linker, cache, hands }) })
    }

    /// The playbook of this digest, from memory, from the disk cache, or compiled from `bytes`. Blocks
    /// while compiling; a cached one takes well under a millisecond.
    ///
    /// `provides` says which tools there are; externally performed ones (`agent/...`) need none.
    ///
    /// # Errors
    /// `not_a_component`, `component_too_demanding`, `imports_unsatisfied` (each missing import an issue),
    /// and what `bytes` fails with.
    pub fn load(&self, digest: &Digest, provides: impl Fn(&ToolId) -> bool, bytes: impl FnOnce() -> Result<Vec<u8>>) -> Result<Playbook> {
        if let Some(playbook) = self.shared.cache.ready(digest) {
            return Ok(playbook);
        }
        let playbook = match self.shared.cache.compiled(&self.shared.engine, digest) {
            Some(component) => self.linked(&component, provides)?,
            None => {
                let component = self.compile(&bytes()?)?;
                let playbook = self.linked(&component, provides)?;
                // Only what can run here is worth the disk.
                self.shared.cache.keep_compiled(digest, &component);
                playbook
            }
        };
        self.shared.cache.keep_ready(digest, &playbook);
        Ok(playbook)
    }

    /// The playbook of this digest, if it is in memory.
    #[must_use]
    pub fn ready(&self, digest: &Digest) -> Option<Playbook> {
        self.shared.cache.ready(digest)
    }

    fn compile(&self, bytes: &[u8]) -> Result<Component> {
        let refused = |message: String| Error::new(Code::NotAComponent, message);
        if wasmparser::Parser::is_core_wasm(bytes) {
            return Err(refused(
                "this is a core module; a playbook is a component (`reprise componentize` makes one of the other)".to_owned(),
            ));
        }
        if !wasmparser::Parser::is_component(bytes) {
            return Err(refused(format!("these {} bytes do not begin as a WebAssembly component does", bytes.len())));
        }
        wasmparser::Validator::new().validate_all(bytes).map_err(|e| refused(format!("not a valid component: {e}")))?;
        Component::from_binary(&self.shared.engine, bytes)
            .map_err(|e| Error::new(Code::ComponentTooDemanding, format!("asks for more than the sandbox gives: {e:#}")))
    }

    fn linked(&self, component: &Component, provides: impl Fn(&ToolId) -> bool) -> Result<Playbook> {
        let engine = &self.shared.engine;
        let unsatisfied = |what: String, issues| Error::new(Code::ImportsUnsatisfied, what).with_issues(issues);
        let imports = imports::sort(engine, component, provides).map_err(|missing| {
            let names: Vec<&str> = missing.iter().map(|i| i.path.as_str()).collect();
            unsatisfied(format!("nothing here provides {}", names.join(", ")), missing)
        })?;
        if imports.tools.len() > limits::IMPORTS_MAX {
            return Err(Error::new(
                Code::ComponentTooDemanding,
                format!("imports {} tools; at most {}", imports.tools.len(), limits::IMPORTS_MAX),
            ));
        }
        if !imports::exports_run(component) {
            return Err(Error::new(
                Code::NotAComponent,
                format!("a component, but not a playbook: it does not export {PLAYBOOK} with run"),
            ));
        }
        let mut linker = Linker::new(engine);
        guest::link(&mut linker, &imports::by_import_name(&imports)).expect("each import name is linked once");
        let pre = linker
            .instantiate_pre(component)
            .map_err(|e| unsatisfied(format!("an import has another type than wit/ gives it: {e:#}"), Vec::new()))?;
        let interface = component.get_export_index(None, PLAYBOOK).expect("looked at above");
        let run = component.get_export_index(Some(&interface), "run").expect("looked at above");
        run::check_type(component)?;
        Ok(Playbook { ready: Arc::new(Ready { pre, run, imports, manner: hands::Manner::default() }) })
    }
}

/// Everything that decides what a guest can do and what its results depend on. Fuel limits are
/// deterministic; the epoch is a kill switch for a guest that does not come back.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .max_wasm_stack(limits::GUEST_STACK_BYTES_MAX)
        .async_stack_size(limits::GUEST_STACK_BYTES_MAX + 512 * 1024)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits::INSTANCES_MAX)
        .total_core_instances(limits::INSTANCES_MAX * limits::GUEST_CORE_INSTANCES_MAX)
        .total_memories(limits::INSTANCES_MAX * limits::GUEST_MEMORIES_MAX)
        .total_tables(limits::INSTANCES_MAX * limits::GUEST_TABLES_MAX)
        .total_stacks(limits::INSTANCES_MAX)
        .max_core_instances_per_component(limits::GUEST_CORE_INSTANCES_MAX)
        .max_memories_per_component(limits::GUEST_MEMORIES_MAX)
        .max_tables_per_component(limits::GUEST_TABLES_MAX)
        .max_memory_size(limits::GUEST_MEMORY_BYTES_MAX)
        .table_elements(limits::GUEST_TABLE_ELEMENTS_MAX);
    pool
}

/// A thread that advances the engine's epoch.
struct Ticker {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let engine = engine.clone();
        let tick = move || {
            while stopped.recv_timeout(limits::EPOCH_TICK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(tick).expect("a process can start one thread");
        Ticker { stop, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
