//! `reprise componentize MODULE.wasm`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit;
use super::output::Output;
use crate::compiler::componentize::{self as compiler, Making, Wasi};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::{blocking, limits};

#[derive(Args)]
pub(super) struct Componentize {
    /// The core module.
    #[arg(value_name = "MODULE.wasm")]
    pub module: PathBuf,
    /// Where the component goes.
    #[arg(short, long, value_name = "FILE.wasm")]
    pub output: PathBuf,
    /// The WIT of the world that it implements, a file or a directory [default: what the module carries, or a playbook's
    /// or a tool's world that follows from what it imports].
    #[arg(long, value_name = "PATH")]
    pub wit: Option<PathBuf>,
    /// Which world of the WIT, where it has several.
    #[arg(long, value_name = "NAME", requires = "wit")]
    pub world: Option<String>,
    /// Have each function of WASI 0.1 that it imports fail: no files, no clock, no printing.
    #[arg(long)]
    pub stub_wasi: bool,
    /// Have this adapter make calls of WASI 0.2 of those of WASI 0.1.
    #[arg(long, value_name = "ADAPTER.wasm", conflicts_with = "stub_wasi")]
    pub adapt: Option<PathBuf>,
}

pub(super) async fn componentize(args: Componentize, output: &Output) -> Result<u8> {
    let file = args.output.clone();
    let component = blocking::run(move || -> Result<Vec<u8>> {
        let wasi = match (&args.adapt, args.stub_wasi) {
            (Some(adapter), _) => Wasi::Adapted(read(adapter)?),
            (None, true) => Wasi::Stubbed,
            (None, false) => Wasi::None,
        };
        let component = compiler::componentize(&read(&args.module)?, &Making { wit: args.wit, world: args.world, wasi })?;
        let unwritable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot write {}: {e}", args.output.display()));
        std::fs::write(&args.output, &component).map_err(unwritable)?;
        Ok(component)
    })
    .await?;
    let (bytes, digest) = (component.len(), Digest::of(&component));
    output.show(
        || json!({"file": file, "component_bytes": bytes, "component_digest": digest}),
        || format!("{}: {bytes} bytes, sha256 {digest}\nNext: reprise inspect {}", file.display(), file.display()),
    );
    Ok(exit::OK)
}

/// A module is refused by its size before it is read.
fn read(file: &Path) -> Result<Vec<u8>> {
    let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", file.display()));
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > limits::COMPONENT_BYTES_MAX as u64 {
        let message = format!("{} has {bytes} bytes; at most {}", file.display(), limits::COMPONENT_BYTES_MAX);
        return Err(Error::new(Code::NotAComponent, message));
    }
    std::fs::read(file).map_err(unreadable)
}
