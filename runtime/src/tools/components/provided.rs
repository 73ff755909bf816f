//! A version whose tools are called: its code, loaded at the first call, and one tool for each thing that it offers.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::reach::reach;
use super::{ComponentVersion, Offered};
use crate::contract::{ErrorKind, Namespace, Outcome, Reconciliation, ToolError};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::sandbox::{Provider, Question, Reach, Sandbox, Usage};
use crate::store::Store;
use crate::tools::asks::Asks;
use crate::tools::tool::validator;
use crate::tools::{Call, Info, Performed, Tool, Ways};
use crate::{blocking, limits};

/// An active version.
pub(super) struct Provided {
    store: Store,
    sandbox: Sandbox,
    ways: Ways,
    namespace: Namespace,
    digest: Digest,
    asks: Asks,
    /// Made at the first call: a server with many components starts without their code.
    provider: OnceCell<Provider>,
}

impl Provided {
    pub(super) fn new(store: Store, sandbox: Sandbox, ways: Ways, version: &ComponentVersion, loaded: Option<Provider>) -> Self {
        let provider = loaded.map_or_else(OnceCell::new, |provider| OnceCell::new_with(Some(provider)));
        let (namespace, digest, asks) = (version.namespace.clone(), version.component, version.asks.clone());
        Provided { store, sandbox, ways, namespace, digest, asks, provider }
    }

    /// One of its tools, as the registry calls it.
    pub(super) fn tool(this: &Arc<Self>, version: &ComponentVersion, offered: &Offered) -> Result<Tool> {
        let unreadable = |why: String| Error::new(Code::DataCorrupt, format!("the tool {} has a schema that is none: {why}", offered.id));
        let info = Info {
            id: offered.id.clone(),
            description: offered.description.clone().into(),
            input_schema: offered.input_schema.clone(),
            output_schema: offered.output_schema.clone(),
            effect: offered.effect,
            words: version.words().into(),
            warning: None,
        };
        let output = Arc::new(validator(&offered.output_schema).map_err(unreadable)?);
        let (calling, own_name) = (Arc::clone(this), offered.own_name.clone());
        let call = move |call: Call| {
            let (this, own_name, output) = (Arc::clone(&calling), own_name.clone(), Arc::clone(&output));
            async move { this.call(&own_name, call, &output).await }
        };
        let (asking, own_name) = (Arc::clone(this), offered.own_name.clone());
        let reconcile = move |call: Call, _| {
            let (this, own_name) = (Arc::clone(&asking), own_name.clone());
            async move { this.reconcile(&own_name, call).await }
        };
        Ok(Tool::guest(info, call).map_err(unreadable)?.reconciled_waiting(reconcile))
    }

    async fn call(&self, tool: &str, call: Call, output: &jsonschema::Validator) -> Performed {
        let provider = match self.provider().await {
            Ok(provider) => provider,
            Err(error) => return Performed { outcome: Err(error), usage: Usage::default(), log: String::new() },
        };
        let question = Question { tool, key: &call.key, input: &call.input };
        let called = self.sandbox.call_tool(provider, question, self.reach(&call)).await;
        let outcome = called.answer.and_then(|answer| self.fits(tool, answer, output));
        Performed { outcome, usage: called.usage, log: called.log }
    }

    /// Whether the component keeps to what it says of its answers.
    fn fits(&self, tool: &str, answer: crate::json::Json, output: &jsonschema::Validator) -> Outcome {
        match output.validate(&answer.value()) {
            Ok(()) => Ok(answer),
            Err(e) => {
                let place = e.instance_path().to_string();
                let text =
                    format!("{tool} answered with something that its own output schema does not allow, at {place:?}: {}", e.masked());
                Err(ToolError::new(ErrorKind::Broken, text.chars().take(limits::GUEST_MESSAGE_CHARS_MAX).collect::<String>()))
            }
        }
    }

    async fn reconcile(&self, tool: &str, call: Call) -> Reconciliation {
        match self.provider().await {
            Ok(provider) => {
                let question = Question { tool, key: &call.key, input: &call.input };
                self.sandbox.ask_tool(provider, question, self.reach(&call)).await.answer
            }
            Err(error) => Reconciliation::Unknown(error.message),
        }
    }

    async fn provider(&self) -> Result<&Provider, ToolError> {
        let load = || async {
            let (sandbox, store, digest) = (self.sandbox.clone(), self.store.clone(), self.digest);
            blocking::run(move || sandbox.load_provider(&digest, || store.blobs().get(&digest))).await
        };
        self.provider.get_or_try_init(load).await.map_err(|e| {
            tracing::error!(namespace = %self.namespace, "a tool component does not load: {e}");
            ToolError::new(ErrorKind::Unavailable, format!("the component of {} does not load; nothing was called", self.namespace))
        })
    }

    /// What it asks for, as far as it was granted.
    fn reach(&self, call: &Call) -> Reach {
        reach(&self.asks, &call.grants.for_namespace(&self.namespace), &self.ways)
    }
}
