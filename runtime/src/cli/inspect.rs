//! `reprise inspect FILE.wasm|PLAYBOOK[@VERSION]`.

use std::path::Path;

use serde_json::json;

use super::args::{Global, Inspect, playbook_and_version};
use super::output::Output;
use super::{exit, show, tools};
use crate::engine;
use crate::error::{Code, Error, Result};
use crate::tools::asks::Activation;

pub(super) async fn inspect(global: &Global, args: Inspect, output: &Output) -> Result<u8> {
    let file = Path::new(&args.what);
    let mut stored = None;
    let inspection = if file.is_file() {
        let bytes = std::fs::read(file).map_err(|e| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", file.display())))?;
        if engine::is_tool_component(&bytes) {
            let inspection = engine::inspect_tool_file(bytes).await?;
            let value = serde_json::to_value(&inspection).expect("an inspection has string keys");
            output.show(|| value.clone(), || tools::inspection_in_words(&value));
            return Ok(exit::OK);
        }
        // A file needs no data directory, so that anyone can look at what they were sent. Where it imports tools that were
        // uploaded, only the directory knows what these are.
        match engine::inspect_file(bytes.clone()).await {
            Err(e) if e.code == Code::ImportsUnsatisfied && global.is_there()? => match global.existing().await {
                Ok(engine) => engine.inspect(bytes).await?,
                Err(_) => return Err(e),
            },
            inspected => inspected?,
        }
    } else if args.what.contains('/') || args.what.ends_with(".wasm") {
        return Err(Error::new(
            Code::FileNotFound,
            format!("there is no file {}; a playbook's id has no slash and does not end in .wasm", args.what),
        ));
    } else {
        let (id, version) = playbook_and_version(&args.what)?;
        let engine = global.existing().await?;
        let space = global.space()?;
        let version = engine.playbook(&space, &id, version)?;
        let standing = engine.standing(&space, &version).await?;
        let inspection = engine.inspect(engine.component(version.component).await?).await?;
        stored = Some((version, standing));
        inspection
    };
    output.show(
        || {
            let mut shown = serde_json::to_value(&inspection).expect("an inspection has string keys");
            if let (Some(fields), Some((version, standing))) = (shown.as_object_mut(), &stored) {
                fields.insert("playbook_id".to_owned(), json!(version.playbook_id));
                fields.insert("version".to_owned(), version.version.into());
                fields.extend(json!(standing).as_object().cloned().unwrap_or_default());
            }
            shown
        },
        || match &stored {
            Some((version, standing)) if standing.activation != Activation::Active => {
                let note = show::standing_note(&version.playbook_id, version.version, standing);
                format!("Playbook {}, version {}\n{note}{}", version.playbook_id, version.version, show::inspection(&inspection))
            }
            _ => show::inspection(&inspection),
        },
    );
    Ok(exit::OK)
}
