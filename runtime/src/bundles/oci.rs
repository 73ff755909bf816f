//! A bundle as the files of an OCI image layout, and back.
//!
//! `index.json` names an artifact for each component, as the WebAssembly OCI artifact convention has it: a config that lists
//! imports and exports, and one layer. Clients of that convention want exactly one, so all that is ours stands in an artifact
//! beside them, whose subject is the playbook's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Bundle, Files, Manifest, VERSION, broken};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::json::{self, Json};
use crate::limits;

pub(super) const LAYOUT_FILE: &str = "oci-layout";
pub(super) const INDEX_FILE: &str = "index.json";
/// Every other file is below this, named by its digest.
pub(super) const BLOBS: &str = "blobs/sha256/";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";
const BUNDLE: &str = "application/vnd.reprise.bundle.v1+json";
const PLAN: &str = "application/vnd.reprise.plan.v1+json";
const RECORDING: &str = "application/vnd.reprise.recording.v1+jsonl";
const EVIDENCE: &str = "application/vnd.reprise.evidence.v1+json";

/// By which an artifact of the layout is picked: `playbook`, `bundle`, `tools-NAMESPACE`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const TITLE: &str = "org.opencontainers.image.title";
/// The convention wants a time, and the same content must be the same bytes.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

type Annotations = BTreeMap<String, String>;

#[derive(Serialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: &'static str,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    schema_version: u32,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig {
    created: &'static str,
    author: Option<String>,
    architecture: &'static str,
    os: &'static str,
    layer_digests: Vec<String>,
    component: WasmComponent,
}

#[derive(Serialize)]
struct WasmComponent {
    exports: Vec<String>,
    imports: Vec<String>,
    target: Option<String>,
}

/// The files that are a bundle. The same bundle gives the same files.
pub(super) fn files(bundle: &Bundle) -> Result<Files> {
    let mut files = Files::new();
    let playbook = wasm_artifact(&mut files, &bundle.component, "playbook", &bundle.manifest.name)?;
    let mut manifests = vec![playbook.clone()];
    for (component, bytes) in bundle.manifest.components.iter().zip(&bundle.components) {
        let (reference, title) = (format!("tools-{}", component.namespace), format!("{}/…", component.namespace));
        manifests.push(wasm_artifact(&mut files, bytes, &reference, &title)?);
    }
    let config = put(&mut files, BUNDLE, printed(&bundle.manifest));
    let mut layers = Vec::new();
    if let Some(plan) = &bundle.plan {
        layers.push(put(&mut files, PLAN, plan.as_str().as_bytes().to_vec()));
    }
    layers.extend(bundle.recordings.iter().map(|recording| put(&mut files, RECORDING, recording.clone())));
    layers.extend(bundle.evidence.iter().map(|evidence| put(&mut files, EVIDENCE, evidence.clone())));
    let ours = Artifact {
        schema_version: 2,
        media_type: IMAGE_MANIFEST.to_owned(),
        artifact_type: Some(BUNDLE.to_owned()),
        config,
        layers,
        // What names the playbook's artifact here has no annotations: the reference's name is the index's.
        subject: Some(Descriptor { annotations: Annotations::new(), ..playbook }),
        annotations: Annotations::from([(TITLE.to_owned(), bundle.manifest.name.clone())]),
    };
    let named = put(&mut files, IMAGE_MANIFEST, printed(&ours));
    manifests.push(Descriptor { artifact_type: Some(BUNDLE.to_owned()), annotations: reference("bundle"), ..named });
    files.insert(INDEX_FILE.to_owned(), printed(&Index { schema_version: 2, media_type: INDEX.to_owned(), manifests }));
    files.insert(LAYOUT_FILE.to_owned(), printed(&Layout { version: "1.0.0" }));
    fits(&files)?;
    Ok(files)
}

fn fits(files: &Files) -> Result<()> {
    if files.len() > limits::BUNDLE_FILES_MAX {
        let message = format!("the bundle has {} files; at most {}", files.len(), limits::BUNDLE_FILES_MAX);
        return Err(Error::new(Code::TooLarge, message));
    }
    let bytes = files.values().map(|file| file.len() as u64).sum();
    match bytes > limits::BUNDLE_BYTES_MAX {
        true => Err(super::too_large("the bundle", bytes, limits::BUNDLE_BYTES_MAX)),
        false => Ok(()),
    }
}

fn wasm_artifact(files: &mut Files, component: &[u8], name: &str, title: &str) -> Result<Descriptor> {
    let layer = put(files, WASM, component.to_vec());
    let config = WasmConfig {
        created: NO_TIME,
        author: None,
        architecture: "wasm",
        os: "wasip2",
        layer_digests: vec![layer.digest.clone()],
        component: world(component).map_err(|e| broken(name, format!("the component does not parse: {e}")))?,
    };
    let artifact = Artifact {
        schema_version: 2,
        media_type: IMAGE_MANIFEST.to_owned(),
        artifact_type: None,
        config: put(files, WASM_CONFIG, printed(&config)),
        layers: vec![layer],
        subject: None,
        annotations: Annotations::from([(TITLE.to_owned(), title.to_owned())]),
    };
    Ok(Descriptor { annotations: reference(name), ..put(files, IMAGE_MANIFEST, printed(&artifact)) })
}

/// What the component itself imports and exports, not what is inside of it.
fn world(component: &[u8]) -> Result<WasmComponent, wasmparser::BinaryReaderError> {
    let mut world = WasmComponent { exports: Vec::new(), imports: Vec::new(), target: None };
    let mut depth = 0_usize;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload? {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            wasmparser::Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    world.imports.push(import?.name.name.to_owned());
                }
            }
            wasmparser::Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    world.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(world)
}

fn reference(name: &str) -> Annotations {
    Annotations::from([(REF_NAME.to_owned(), name.to_owned())])
}

fn put(files: &mut Files, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let digest = Digest::of(&bytes);
    let size = bytes.len() as u64;
    files.insert(format!("{BLOBS}{digest}"), bytes);
    Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{digest}"),
        size,
        artifact_type: None,
        annotations: Annotations::new(),
    }
}

/// In canonical form, so that a field more in these types changes no other byte.
fn printed(value: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("text, numbers and checked JSON print");
    json::text_of(&value).into_bytes()
}

/// The bundle that these files are.
///
/// # Errors
/// `bundle_broken` that names the first place; `not_supported`.
pub(super) fn bundle(files: Files) -> Result<Bundle> {
    for (path, bytes) in &files {
        let Some(name) = path.strip_prefix(BLOBS) else { continue };
        let is = Digest::of(bytes).to_string();
        if is != name {
            return Err(broken(path, format!("its {} bytes have the digest {is}", bytes.len())));
        }
    }
    let index: Index = read(INDEX_FILE, file(&files, INDEX_FILE)?)?;
    file(&files, LAYOUT_FILE)?;
    let mut ours = None;
    for named in &index.manifests {
        let artifact: Artifact = read(&named.digest, blob(&files, INDEX_FILE, named)?)?;
        for part in artifact.layers.iter().chain([&artifact.config]).chain(&artifact.subject) {
            blob(&files, &named.digest, part)?;
        }
        if named.annotations.get(REF_NAME).is_some_and(|name| name == "bundle") {
            ours = Some(artifact);
        }
    }
    let Some(ours) = ours else {
        return Err(broken(INDEX_FILE, "names no artifact \"bundle\": this is a layout of something else than `reprise pack` makes"));
    };
    let bundle = parts(&files, &ours)?;
    same(&files, &self::files(&bundle)?)?;
    Ok(bundle)
}

/// What the artifact of ours names.
fn parts(files: &Files, ours: &Artifact) -> Result<Bundle> {
    let manifest = manifest(blob(files, "bundle", &ours.config)?)?;
    let of_digest = |digest: &Digest| {
        let path = format!("{BLOBS}{digest}");
        let bytes = file(files, &path)?;
        match bytes.len() > limits::COMPONENT_BYTES_MAX {
            true => Err(super::too_large(&path, bytes.len() as u64, limits::COMPONENT_BYTES_MAX as u64)),
            false => Ok(bytes.clone()),
        }
    };
    let component = of_digest(&manifest.component)?;
    let components = manifest.components.iter().map(|component| of_digest(&component.digest)).collect::<Result<_>>()?;
    let mut bundle = Bundle { manifest, component, components, plan: None, recordings: Vec::new(), evidence: Vec::new() };
    for layer in &ours.layers {
        let bytes = blob(files, "bundle", layer)?;
        match layer.media_type.as_str() {
            PLAN if bundle.plan.is_none() => {
                let plan = json::parse_within(bytes, limits::PLAN_DEPTH_MAX).map_err(|e| broken("plan", e))?;
                bundle.plan = Some(Json::from(&plan));
            }
            RECORDING if bundle.recordings.len() < limits::LEARN_RUNS_MAX => bundle.recordings.push(bytes.clone()),
            EVIDENCE if bundle.evidence.len() < limits::BUNDLE_EVIDENCE_MAX => bundle.evidence.push(bytes.clone()),
            PLAN => return Err(broken("bundle", format!("has two layers of {PLAN}"))),
            RECORDING => return Err(broken("bundle", format!("has more than {} recordings", limits::LEARN_RUNS_MAX))),
            EVIDENCE => return Err(broken("bundle", format!("has evidence of more than {} jobs", limits::BUNDLE_EVIDENCE_MAX))),
            // Whoever leaves out what it does not know cannot say that everything was checked.
            other => return Err(Error::new(Code::NotSupported, format!("bundle: this version knows no layer of {other:?}"))),
        }
    }
    Ok(bundle)
}

fn manifest(bytes: &[u8]) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Form {
        bundle_version: u32,
    }
    let value = checked("manifest", bytes)?;
    let version = Form::deserialize(&value).map_err(|e| broken("manifest", e))?.bundle_version;
    if version > VERSION {
        let message = format!("a bundle of form {version} was made by a newer version; this one reads up to form {VERSION}");
        return Err(Error::new(Code::NotSupported, message));
    }
    let manifest = Manifest::deserialize(&value).map_err(|e| broken("manifest", e))?;
    match Manifest::form(&manifest.origin) {
        form if form == version => Ok(manifest),
        form => Err(broken("manifest", format!("is of form {version}, and what it says is written in form {form}"))),
    }
}

/// What was read is all that there is: packing it gives the same files.
fn same(given: &Files, packed: &Files) -> Result<()> {
    if let Some(extra) = given.keys().find(|path| !packed.contains_key(*path) && path.starts_with(BLOBS)) {
        return Err(broken(extra, "is no part of a bundle of this content"));
    }
    let differs = packed.iter().find(|(path, bytes)| given.get(*path) != Some(bytes));
    match differs {
        Some((path, _)) => Err(broken(path, "is not what a bundle of this content has there")),
        None => Ok(()),
    }
}

fn file<'f>(files: &'f Files, path: &str) -> Result<&'f Vec<u8>> {
    files.get(path).ok_or_else(|| broken(path, "is missing"))
}

/// The file that a descriptor names, of the size that it says.
fn blob<'f>(files: &'f Files, by: &str, descriptor: &Descriptor) -> Result<&'f Vec<u8>> {
    let name = descriptor.digest.strip_prefix("sha256:").and_then(Digest::parse);
    let name = name.ok_or_else(|| broken(by, format!("{:?} is no digest; sha256:HEX is", descriptor.digest)))?;
    let bytes = file(files, &format!("{BLOBS}{name}"))?;
    if bytes.len() as u64 != descriptor.size {
        return Err(broken(by, format!("says that {} has {} bytes, and it has {}", descriptor.digest, descriptor.size, bytes.len())));
    }
    Ok(bytes)
}

fn checked(place: &str, bytes: &[u8]) -> Result<Value> {
    if bytes.len() > limits::BUNDLE_JSON_BYTES_MAX {
        return Err(super::too_large(place, bytes.len() as u64, limits::BUNDLE_JSON_BYTES_MAX as u64));
    }
    json::parse_within(bytes, limits::PLAN_DEPTH_MAX).map_err(|e| broken(place, e))
}

fn read<T: for<'de> Deserialize<'de>>(place: &str, bytes: &[u8]) -> Result<T> {
    T::deserialize(&checked(place, bytes)?).map_err(|e| broken(place, e))
}
