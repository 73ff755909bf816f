//! `reprise upload FILE.wasm`.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use serde_json::json;

use super::args::{Global, Upload};
use super::output::Output;
use super::{exit, show};
use crate::error::{Code, Error, Result};
use crate::{blocking, engine, limits};

pub(super) async fn upload(global: &Global, args: Upload, output: &Output) -> Result<u8> {
    let bytes = read_component(args.file).await?;
    let space = global.space()?;
    let engine = global.engine(Vec::new()).await?;
    let uploaded = engine.upload(&space, engine::Upload { playbook_id: args.playbook, name: args.name, bytes }).await?;
    let version = &uploaded.version;
    let imports = engine.imports(version.component).await?;
    let standing = engine.standing(&space, version).await?;
    output.show(
        || {
            json!({
                "playbook_id": version.playbook_id, "version": version.version, "status": version.status, "component_digest": version.component,
                "component_bytes": version.component_bytes, "imports": imports, "repeated": uploaded.repeated,
                "activation": standing.activation, "active_version": standing.active_version, "asks": standing.asks,
                "permission_diff": standing.permission_diff,
            })
        },
        || {
            let (id, number) = (&version.playbook_id, version.version);
            let head = if uploaded.repeated {
                format!("Playbook {id}, version {number}: these bytes were uploaded before")
            } else {
                format!("Playbook {id}, version {number}: {} bytes, sha256 {}", version.component_bytes, version.component)
            };
            let names: Vec<&str> = imports.iter().map(|line| line.import.as_str()).collect();
            let note = show::standing_note(id, number, &standing);
            let named = show::named(id, number, &standing);
            let next = format!("Next: reprise inspect {named}\n      reprise run {named} --input JSON --grant fs:DIR");
            format!("{head}\nIt imports {}.\n{note}{next}", names.join(", "))
        },
    );
    Ok(exit::OK)
}

/// A component's bytes; where there are more than the engine takes, enough for it to say so.
pub(super) async fn read_component(file: PathBuf) -> Result<Vec<u8>> {
    blocking::run(move || {
        let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", file.display()));
        let mut bytes = Vec::new();
        File::open(&file).map_err(unreadable)?.take(limits::COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    })
    .await
}
