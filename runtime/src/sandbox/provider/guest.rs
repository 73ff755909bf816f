//! The WASI side of a tool: what a store carries for one call, and the one linker of all tools.
//!
//! The rules that must stay true: everything is linked, so that ordinary components start; nothing reaches anything
//! unless [`Reach`] names it; and there is one line for each thing that it names.

use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Result, StoreContextMut};
use wasmtime_wasi::{Deterministic, FsPerms, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::files;
use super::log::Log;
use super::reach::Reach;
use super::spaces::{self, Buckets};
use super::web::Hooks;
use crate::ids::Digest;
use crate::limits;
use crate::sandbox::guest::{Bounds, charge};
use crate::sandbox::turns::{TakesTurns, Turns};

/// What a store carries for one call of a tool.
pub(in crate::sandbox) struct ToolGuest {
    wasi: WasiCtx,
    pub(super) table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    config: WasiConfigVariables,
    pub(super) buckets: Buckets,
    pub(super) limits: Bounds,
    pub(super) log: Log,
    turns: Turns,
}

impl TakesTurns for ToolGuest {
    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }
}

impl ToolGuest {
    /// # Errors
    /// A directory cannot be opened.
    pub(super) fn new(reach: Reach, limits: Bounds, log: Log) -> Result<Self> {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(log.clone()).stderr(log.clone()).max_random_size(limits::GUEST_RANDOM_BYTES_MAX);
        if !reach.clock {
            wasi.wall_clock(Stopped).monotonic_clock(Stopped);
        }
        if !reach.random {
            wasi.secure_random(same()).insecure_random(same()).insecure_random_seed(0);
        }
        wasi.envs(&reach.environment);
        for directory in &reach.directories {
            let may = if directory.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            wasi.preopened_dir(&directory.path, format!("/{}", directory.name), may)?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::GUEST_RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::GUEST_HTTP_FIELDS_BYTES_MAX);
        Ok(ToolGuest {
            wasi: wasi.build(),
            table,
            http,
            hooks: Hooks { web: reach.web, log: log.clone() },
            config: reach.configuration.into_iter().collect(),
            buckets: Buckets { spaces: reach.spaces, log: log.clone() },
            limits,
            log,
            // Whoever calls a tool bounds its time; this ends one that nobody waits for.
            turns: Turns::for_at_most(limits::TOOL_CALL_TIME_MAX + limits::GUEST_BUSY_TIME_MAX),
        })
    }
}

impl WasiView for ToolGuest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for ToolGuest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Every interface that a tool may import.
pub(in crate::sandbox) fn linker(engine: &Engine) -> Result<Linker<ToolGuest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    files::link(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |guest: &mut ToolGuest| WasiConfig::new(&guest.config))?;
    spaces::link(&mut linker)?;
    link_logging(&mut linker)?;
    Ok(linker)
}

/// `wasi:logging`, enum `level`.
#[derive(Debug, Clone, Copy, wasmtime::component::ComponentType, wasmtime::component::Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "a guest makes them")]
enum WitLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

fn link_logging(linker: &mut Linker<ToolGuest>) -> Result<()> {
    let mut logging = linker.instance("wasi:logging/logging@0.1.0-draft")?;
    logging.func_wrap("log", |mut store: StoreContextMut<'_, ToolGuest>, (level, context, message): (WitLevel, String, String)| {
        charge(&mut store, context.len() + message.len())?;
        let level = match level {
            WitLevel::Trace => "trace",
            WitLevel::Debug => "debug",
            WitLevel::Info => "info",
            WitLevel::Warn => "warn",
            WitLevel::Error => "error",
            WitLevel::Critical => "critical",
        };
        store.data().log.write(format!("[{level}] {context}{}{message}\n", if context.is_empty() { "" } else { ": " }).as_bytes());
        Ok(())
    })
}

/// A clock that always shows the beginning of 1970.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Bytes that look random and are the same in every call: hash maps need some, and nothing else should rely on them.
fn same() -> Deterministic {
    let blocks = (0..64_u8).flat_map(|n| *Digest::of(&[n]).as_bytes());
    Deterministic::new(blocks.collect())
}
