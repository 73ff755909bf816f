//! Tools: upload a component, see what it offers and asks for, call one tool once.

use serde::Serialize;
use serde_json::Value;

use super::Engine;
use crate::contract::{Effect, Namespace, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Digest;
use crate::json::Json;
use crate::sandbox::{Sandbox, Usage};
use crate::tools::asks::{Activation, Asks, Diff, PermissionDiff};
use crate::tools::{ComponentAdded, ComponentVersion, Grants, Info, NamespaceSummary, Offered, Preview, preview};
use crate::{blocking, limits};

/// A tool component made elsewhere.
#[derive(Debug, Clone)]
pub struct ToolUpload {
    /// The namespace; where none is named, the one that the component names.
    pub namespace: Option<Namespace>,
    /// The component.
    pub bytes: Vec<u8>,
}

/// One call of a tool, outside of any job.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The tool.
    pub tool: ToolId,
    /// Names the call for good; where none is given, one that nobody has used.
    pub key: Option<String>,
    /// What it is called with.
    pub input: Json,
}

/// What a call gave, as every face shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ToolAnswer {
    /// The tool.
    pub tool: String,
    /// The key that the tool saw.
    pub key: String,
    /// True where there is an output.
    pub ok: bool,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub output: Option<Json>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolRefusal>,
    /// What it took.
    pub usage: Usage,
    /// What it printed, up to a bound.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log: String,
}

/// A tool's error.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ToolRefusal {
    /// `denied`, `not-found`, ...
    pub kind: &'static str,
    /// For people.
    pub message: String,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub detail: Option<Json>,
}

/// A version of a tool component in plain words, as every face shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ToolComponentView {
    /// Its tools are `namespace/…`.
    pub namespace: String,
    /// From 1.
    pub version: u32,
    /// Whether its tools are the ones that are called.
    pub activation: Activation,
    /// SHA-256 of the component.
    pub component_digest: String,
    /// Its size.
    pub component_bytes: u64,
    /// What it offers.
    pub tools: Vec<ToolView>,
    /// What it asks for, in words. What was granted is another matter.
    pub asks: Vec<AskView>,
    /// What it asks for beside, and no more, compared with the version that is active.
    pub permission_diff: PermissionDiff,
    /// Exported functions that are no tools, and why.
    pub left_out: Vec<Issue>,
    /// True where the same bytes had been uploaded before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// A kind of reach that is asked for.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AskView {
    /// `files`, `web`, ...
    pub ask: String,
    /// What it comes to, for a reviewer.
    pub words: String,
}

/// What everyone may know about a tool.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ToolView {
    /// `fs/read`; a component imports it as `tool:fs/read`.
    pub id: String,
    /// What it does, for whoever writes a call.
    pub description: String,
    /// What a job may do with it, for a reviewer.
    pub words: String,
    /// What to know before it is granted on this machine; absent where all is as documented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What repeating a call does.
    pub effect: Effect,
    /// JSON Schema of the input.
    #[schema(value_type = Object)]
    pub input_schema: Value,
    /// JSON Schema of the output.
    #[schema(value_type = Object)]
    pub output_schema: Value,
}

/// A tool component in plain words, before anyone takes it in.
#[derive(Debug, Clone, Serialize)]
pub struct ToolInspection {
    /// SHA-256 of the component.
    pub component_digest: String,
    /// Its size.
    pub component_bytes: usize,
    /// The namespace that it names; none where whoever uploads it names one.
    pub namespace: Option<String>,
    /// What it offers.
    pub tools: Vec<ToolView>,
    /// What it asks for, in words.
    pub asks: Vec<AskView>,
    /// Exported functions that are no tools, and why.
    pub left_out: Vec<Issue>,
}

/// True where these bytes are a component that could only provide tools.
#[must_use]
pub fn is_tool_component(bytes: &[u8]) -> bool {
    crate::sandbox::is_no_playbook(bytes)
}

/// Inspects the bytes of a tool component without running any of its tools, and without a data directory.
///
/// # Errors
/// As [`Engine::upload_tools`].
pub async fn inspect_tool_file(bytes: Vec<u8>) -> Result<ToolInspection> {
    let (digest, component_bytes) = (Digest::of(&bytes), bytes.len());
    let (sandbox, provider) = blocking::run(move || {
        let sandbox = Sandbox::new(None)?;
        let provider = sandbox.load_provider(&digest, || Ok(bytes))?;
        Ok::<_, Error>((sandbox, provider))
    })
    .await?;
    let Preview { namespace, tools, asks, left_out } = preview(&sandbox, &provider).await?;
    let words = crate::tools::words_of(&asks);
    Ok(ToolInspection {
        component_digest: digest.to_string(),
        component_bytes,
        namespace: namespace.map(|namespace| namespace.to_string()),
        tools: tools.iter().map(|tool| offered_view(tool, &words)).collect(),
        asks: ask_views(&asks),
        left_out,
    })
}

fn offered_view(tool: &Offered, words: &str) -> ToolView {
    ToolView {
        id: tool.id.to_string(),
        description: tool.description.clone(),
        words: words.to_owned(),
        warning: None,
        effect: tool.effect,
        input_schema: tool.input_schema.clone(),
        output_schema: tool.output_schema.clone(),
    }
}

fn ask_views(asks: &Asks) -> Vec<AskView> {
    asks.iter().map(|ask| AskView { ask: ask.to_string(), words: ask.words(|_| None) }).collect()
}

impl ToolView {
    /// Of a tool that is here.
    #[must_use]
    pub fn of(info: &Info) -> Self {
        ToolView {
            id: info.id.to_string(),
            description: info.description.to_string(),
            words: info.words.to_string(),
            warning: info.warning.as_ref().map(ToString::to_string),
            effect: info.effect,
            input_schema: info.input_schema.clone(),
            output_schema: info.output_schema.clone(),
        }
    }
}

impl Engine {
    /// Takes a component whose tools are to be called, after it was read, linked and started once without reach.
    ///
    /// # Errors
    /// `too_large`, `not_a_component`, `imports_unsatisfied` that lists what a tool cannot have, `component_too_demanding`,
    /// `component_does_not_start`, `no_tools`, `invalid_request` (the namespace).
    pub async fn upload_tools(&self, upload: ToolUpload) -> Result<ToolComponentView> {
        let ToolUpload { namespace, bytes } = upload;
        if bytes.len() > limits::COMPONENT_BYTES_MAX {
            let message = format!("the component has {} bytes; at most {}", bytes.len(), limits::COMPONENT_BYTES_MAX);
            return Err(Error::new(Code::TooLarge, message));
        }
        let _place = self.admission().await;
        let (sandbox, digest, size) = (self.sandbox.clone(), Digest::of(&bytes), bytes.len() as u64);
        let (bytes, provider) = blocking::run(move || {
            let provider = sandbox.load_provider(&digest, || Ok(bytes.clone()))?;
            Ok::<_, Error>((bytes, provider))
        })
        .await?;
        let digest = self.keep(bytes).await?;
        let ComponentAdded { version, repeated, active_asks } = self.components.add(namespace.as_ref(), digest, size, provider).await?;
        let view = self.component_view(&version, active_asks.as_ref())?;
        Ok(ToolComponentView { repeated, ..view })
    }

    /// Has a version's tools be the ones that are called.
    ///
    /// # Errors
    /// `tool_not_found`, `contended`.
    pub async fn activate_tools(&self, namespace: &Namespace, version: u32) -> Result<ToolComponentView> {
        let version = self.components.activate(namespace, version).await?;
        self.component_view(&version, None)
    }

    /// Every namespace of uploaded tools.
    ///
    /// # Errors
    /// What the store says.
    pub fn tool_namespaces(&self) -> Result<Vec<NamespaceSummary>> {
        self.components.namespaces()
    }

    /// A version of a tool component; without a number the active one.
    ///
    /// # Errors
    /// `tool_not_found`.
    pub fn tool_component(&self, namespace: &Namespace, version: Option<u32>) -> Result<ToolComponentView> {
        self.component_view(&self.components.get(namespace, version)?, None)
    }

    /// Every version of a namespace, the newest first.
    ///
    /// # Errors
    /// `tool_not_found`.
    pub fn tool_versions(&self, namespace: &Namespace) -> Result<Vec<ToolComponentView>> {
        self.components.versions(namespace)?.iter().map(|version| self.component_view(version, None)).collect()
    }

    /// What is known about a tool.
    ///
    /// # Errors
    /// `tool_not_found` that lists what there is.
    pub fn tool(&self, id: &ToolId) -> Result<ToolView> {
        self.tools.get(id).map(|info| ToolView::of(&info)).ok_or_else(|| {
            let ids: Vec<String> = self.tools.list().iter().map(|info| info.id.to_string()).collect();
            Error::new(Code::ToolNotFound, format!("there is no tool {id}; there are {}", ids.join(", ")))
        })
    }

    /// Calls a tool once, outside of any job, with what the operator granted to all.
    ///
    /// # Errors
    /// `tool_not_found`. What the tool itself refuses is an answer.
    pub async fn call_tool(&self, call: ToolCall) -> Result<ToolAnswer> {
        let ToolCall { tool, key, input } = call;
        self.tool(&tool)?;
        let given = self.granted()?;
        let grants = blocking::run(move || Grants::open(&given)).await?;
        let key = key.unwrap_or_else(crate::ids::secret);
        let performed = self.tools.call_metered(&tool, &key, &input, &grants).await;
        let (output, error) = match performed.outcome {
            Ok(output) => (Some(output), None),
            Err(e) => (None, Some(ToolRefusal { kind: e.kind.as_str(), message: e.message, detail: e.detail })),
        };
        let ok = output.is_some();
        Ok(ToolAnswer { tool: tool.to_string(), key, ok, output, error, usage: performed.usage, log: performed.log })
    }

    /// `against`: what the version asked for that was active when this one came; without it, the one that is active now.
    pub(super) fn component_view(&self, version: &ComponentVersion, against: Option<&Asks>) -> Result<ToolComponentView> {
        let against = match against {
            Some(against) => against.clone(),
            None => match self.components.get(&version.namespace, None) {
                Ok(active) => active.asks,
                // It is the first of its namespace, and not kept yet.
                Err(e) if e.code == Code::ToolNotFound => version.asks.clone(),
                Err(e) => return Err(e),
            },
        };
        let no_tools = |_: &ToolId| None;
        let words = version.words();
        Ok(ToolComponentView {
            namespace: version.namespace.to_string(),
            version: version.version,
            activation: version.activation(&against),
            component_digest: version.component.to_string(),
            component_bytes: version.component_bytes,
            tools: version.tools.iter().map(|tool| offered_view(tool, &words)).collect(),
            asks: ask_views(&version.asks),
            permission_diff: Diff::between(&against, &version.asks).words(no_tools),
            left_out: version.left_out.clone(),
            repeated: false,
        })
    }
}
