//! Tools that are uploaded: a component for each namespace, in numbered versions.
//!
//! Its job: take a component in, keep it with what it offers and asks for, and have the registry call the active version.
//! It does not know jobs, nor how a guest is run.
//! The rules that must stay true: versions never change; a version that asks for more than the active one does not become
//! active by itself; what a call reaches is what the component asks for *and* a grant gives to its namespace.

mod offer;
mod provided;
mod reach;
mod saved;
mod spaces;
mod web;

use std::sync::Arc;

use serde_json::Value;

use super::Registry;
use super::asks::{Activation, Ask, Asks, Diff};
use crate::contract::{Effect, Namespace, ToolId};
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Digest;
use crate::sandbox::{Capability, Provider, Sandbox};
use crate::store::{Batch, CommitError, NamespaceKey, Store, ToolVersionKey};
use crate::{blocking, clock, limits};

use provided::Provided;
use saved::NamespaceRow;

/// All uploaded tool components of a store. Cheap to clone.
#[derive(Clone)]
pub struct Components {
    store: Store,
    sandbox: Sandbox,
    registry: Registry,
}

/// One immutable version of a tool component.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentVersion {
    /// Its tools are `namespace/…`.
    pub namespace: Namespace,
    /// From 1, without gaps.
    pub version: u32,
    /// True where its tools are the ones that are called.
    pub active: bool,
    /// SHA-256 of the component.
    pub component: Digest,
    /// The component's size.
    pub component_bytes: u64,
    /// What it offers, sorted by id.
    pub tools: Vec<Offered>,
    /// What it asks for by what it imports.
    pub asks: Asks,
    /// Exported functions that are no tools, and why.
    pub left_out: Vec<Issue>,
    /// When it was uploaded, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

impl ComponentVersion {
    /// What a job may do with its tools, for a reviewer.
    #[must_use]
    pub fn words(&self) -> String {
        words_of(&self.asks)
    }

    /// Whether its tools are the ones that are called, compared with what the active version asks for.
    #[must_use]
    pub fn activation(&self, active: &Asks) -> Activation {
        match self.active {
            true => Activation::Active,
            false if Diff::between(active, &self.asks).asks_for_more() => Activation::NeedsApproval,
            false => Activation::Inactive,
        }
    }
}

/// One tool of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// `payments/refund`.
    pub id: ToolId,
    /// As the component knows it.
    pub own_name: String,
    /// For whoever writes a call.
    pub description: String,
    /// JSON Schema of the input.
    pub input_schema: Value,
    /// JSON Schema of the output.
    pub output_schema: Value,
    /// What repeating a call does.
    pub effect: Effect,
}

/// A version that stands in the store.
#[derive(Debug, Clone)]
pub struct ComponentAdded {
    /// The version.
    pub version: ComponentVersion,
    /// True where the same bytes had made it before.
    pub repeated: bool,
    /// What the version that was active when this one came asks for; none where there was none.
    pub active_asks: Option<Asks>,
}

/// One line of a list of namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceSummary {
    /// The namespace.
    pub namespace: Namespace,
    /// Its newest version.
    pub latest_version: u32,
    /// The version whose tools are called.
    pub active_version: u32,
}

impl Components {
    /// Has `registry` call the tools of every active version. Loads no code yet.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(store: Store, sandbox: Sandbox, registry: Registry) -> Result<Self> {
        let components = Components { store, sandbox, registry };
        for summary in components.namespaces()? {
            let active = components.get(&summary.namespace, Some(summary.active_version))?;
            components.provide(&active, None)?;
        }
        Ok(components)
    }

    /// Every namespace, by name.
    ///
    /// # Errors
    /// What the store says.
    pub fn namespaces(&self) -> Result<Vec<NamespaceSummary>> {
        let rows = self.store.scan(&NamespaceKey::all(), None, limits::TOOL_NAMESPACES_MAX)?;
        let summary = |(key, row): &(NamespaceKey, Vec<u8>)| {
            let row = NamespaceRow::read(row)?;
            Ok(NamespaceSummary { namespace: Namespace::parse(&key.namespace)?, latest_version: row.latest, active_version: row.active })
        };
        rows.iter().map(summary).collect()
    }

    /// A version; without a number the active one.
    ///
    /// # Errors
    /// `tool_not_found` that says which there are.
    pub fn get(&self, namespace: &Namespace, number: Option<u32>) -> Result<ComponentVersion> {
        let row = self.row(namespace)?;
        let number = number.unwrap_or(row.active);
        let key = ToolVersionKey { namespace: namespace.to_string(), version: number };
        let version = self
            .store
            .get(&key)?
            .ok_or_else(|| Error::new(Code::ToolNotFound, format!("{namespace} has no version {number}; it has 1 to {}", row.latest)))?;
        saved::version(&version, namespace, number, row.active)
    }

    /// Every version of a namespace, the newest first.
    ///
    /// # Errors
    /// `tool_not_found`.
    pub fn versions(&self, namespace: &Namespace) -> Result<Vec<ComponentVersion>> {
        let row = self.row(namespace)?;
        let rows = self.store.scan(&ToolVersionKey::of(namespace.as_str()), None, limits::TOOL_VERSIONS_MAX)?;
        rows.iter().rev().map(|(key, version)| saved::version(version, namespace, key.version, row.active)).collect()
    }

    fn row(&self, namespace: &Namespace) -> Result<NamespaceRow> {
        let row = self.store.get(&NamespaceKey { namespace: namespace.to_string() })?;
        row.as_deref().map(NamespaceRow::read).transpose()?.ok_or_else(|| {
            Error::new(Code::ToolNotFound, format!("no component provides tools of {namespace}; `reprise tools list` shows what there is"))
        })
    }

    /// Takes a component in as the next version of its namespace. It becomes active where it asks for no more than the version
    /// that is, or where there is none. The same bytes again answer with the version that they made.
    ///
    /// The bytes must be in the store already; `provider` is made of them. One batch: if the process dies before it, there is no
    /// version; after it, it is whole.
    ///
    /// # Errors
    /// `no_tools`, `invalid_request` (a namespace that cannot be had), `component_does_not_start`, `contended`.
    pub async fn add(&self, asked: Option<&Namespace>, digest: Digest, bytes: u64, provider: Provider) -> Result<ComponentAdded> {
        let offer = self.offer(asked, &provider).await?;
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let (added, batch) = self.next(&offer, digest, bytes, &provider)?;
            if added.repeated {
                return Ok(added);
            }
            match self.store.commit(batch).await {
                Ok(()) if added.version.active => {
                    self.provide(&added.version, Some(provider))?;
                    return Ok(added);
                }
                Ok(()) => return Ok(added),
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(Error::new(Code::Contended, format!("many versions of {} are being added at once; try again", offer.namespace)))
    }

    /// What [`Components::add`] would come to. Keeps nothing; where the version would be the one that is called, `registry` calls it.
    ///
    /// # Errors
    /// As [`Components::add`].
    pub async fn foresee(
        &self,
        asked: Option<&Namespace>,
        digest: Digest,
        bytes: u64,
        provider: &Provider,
        registry: &Registry,
    ) -> Result<ComponentAdded> {
        let offer = self.offer(asked, provider).await?;
        let (added, _) = self.next(&offer, digest, bytes, provider)?;
        if added.version.active {
            self.provide_in(registry, &added.version, Some(provider.clone()))?;
        }
        Ok(added)
    }

    /// The version that a component would be, and the rows that make it one; none of them where the same bytes made it before.
    fn next(&self, offer: &offer::Offer, digest: Digest, bytes: u64, provider: &Provider) -> Result<(ComponentAdded, Batch)> {
        let key = NamespaceKey { namespace: offer.namespace.to_string() };
        let before = self.store.get(&key)?;
        let mut row = before.as_deref().map(NamespaceRow::read).transpose()?.unwrap_or_else(NamespaceRow::new);
        let active = (row.active > 0).then(|| self.get(&offer.namespace, Some(row.active))).transpose()?;
        let active_asks = active.map(|active| active.asks);
        let mut batch = Batch::new();
        if let Some(at) = row.components.iter().position(|component| *component == digest) {
            let number = u32::try_from(at + 1).expect("versions are few");
            let version = self.get(&offer.namespace, Some(number))?;
            return Ok((ComponentAdded { version, repeated: true, active_asks }, batch));
        }
        self.has_room(&row)?;
        row.latest += 1;
        row.components.push(digest);
        let asks = asks(provider);
        if active_asks.as_ref().is_none_or(|given| !Diff::between(given, &asks).asks_for_more()) {
            row.active = row.latest;
        }
        let version = ComponentVersion {
            namespace: offer.namespace.clone(),
            version: row.latest,
            active: row.active == row.latest,
            component: digest,
            component_bytes: bytes,
            tools: offer.tools.clone(),
            asks,
            left_out: offer.left_out.clone(),
            created_at_ms: clock::now_ms(),
        };
        batch.expect(&key, before.as_deref());
        batch.put(&key, row.bytes());
        batch.put(&ToolVersionKey { namespace: offer.namespace.to_string(), version: version.version }, saved::version_row(&version));
        Ok((ComponentAdded { version, repeated: false, active_asks }, batch))
    }

    async fn offer(&self, asked: Option<&Namespace>, provider: &Provider) -> Result<offer::Offer> {
        let offer = match provider.functions() {
            None => offer::described(asked, self.sandbox.describe(provider).await?)?,
            Some(functions) => {
                self.sandbox.try_start_provider(provider).await?;
                offer::exported(asked, provider, functions)?
            }
        };
        let namespace = &offer.namespace;
        if self.registry.has_built(namespace) || namespace.as_str() == ToolId::AGENT {
            let message = format!("the namespace {namespace} is taken by tools that are not uploaded; choose another one");
            return Err(Error::invalid("namespace", message));
        }
        Ok(offer)
    }

    fn has_room(&self, row: &NamespaceRow) -> Result<()> {
        let full =
            |what: &str, most: usize| Err(Error::new(Code::TooLarge, format!("there are {most} {what} already, and no more are kept")));
        if row.components.len() >= limits::TOOL_VERSIONS_MAX {
            return full("versions of this namespace", limits::TOOL_VERSIONS_MAX);
        }
        if row.latest == 0 && self.namespaces()?.len() >= limits::TOOL_NAMESPACES_MAX {
            return full("namespaces", limits::TOOL_NAMESPACES_MAX);
        }
        Ok(())
    }

    /// Has a version's tools be the ones that are called, whatever it asks for.
    ///
    /// # Errors
    /// `tool_not_found`, `contended`.
    pub async fn activate(&self, namespace: &Namespace, number: u32) -> Result<ComponentVersion> {
        for _ in 0..limits::CONTENDED_TRIES_MAX {
            let version = self.get(namespace, Some(number))?;
            let key = NamespaceKey { namespace: namespace.to_string() };
            let before = self.store.get(&key)?;
            let mut row = self.row(namespace)?;
            row.active = number;
            let mut batch = Batch::new();
            batch.expect(&key, before.as_deref());
            batch.put(&key, row.bytes());
            match self.store.commit(batch).await {
                Ok(()) => {
                    let version = ComponentVersion { active: true, ..version };
                    self.provide(&version, None)?;
                    return Ok(version);
                }
                Err(CommitError::Guard) => {}
                Err(CommitError::Store(e)) => return Err(e),
            }
        }
        Err(Error::new(Code::Contended, format!("versions of {namespace} are being changed; try again")))
    }

    /// The component's own code and imports, for whoever inspects it.
    ///
    /// # Errors
    /// As [`Sandbox::load_provider`].
    pub async fn provider(&self, version: &ComponentVersion) -> Result<Provider> {
        let (sandbox, store, digest) = (self.sandbox.clone(), self.store.clone(), version.component);
        blocking::run(move || sandbox.load_provider(&digest, || store.blobs().get(&digest))).await
    }

    fn provide(&self, version: &ComponentVersion, loaded: Option<Provider>) -> Result<()> {
        self.provide_in(&self.registry, version, loaded)
    }

    fn provide_in(&self, registry: &Registry, version: &ComponentVersion, loaded: Option<Provider>) -> Result<()> {
        let provided = Arc::new(Provided::new(self.store.clone(), self.sandbox.clone(), self.registry.ways().clone(), version, loaded));
        let tools = version.tools.iter().map(|offered| Provided::tool(&provided, version, offered)).collect::<Result<Vec<_>>>()?;
        registry.provide(&version.namespace, tools);
        Ok(())
    }
}

/// What tools of a component that asks for this may do, for a reviewer.
#[must_use]
pub fn words_of(asks: &Asks) -> String {
    if asks.is_empty() {
        return "compute; it reaches nothing".to_owned();
    }
    asks.words(|_| None).join(", ")
}

/// What a component would offer, without taking it in.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The namespace that the component names; none where whoever uploads it names one.
    pub namespace: Option<Namespace>,
    /// What it offers, sorted by id. Where it names no namespace, the ids are in `unnamed`.
    pub tools: Vec<Offered>,
    /// What it asks for.
    pub asks: Asks,
    /// Exported functions that are no tools, and why.
    pub left_out: Vec<Issue>,
}

/// Looks at a component without taking it in. One that describes itself is asked, without reach.
///
/// # Errors
/// As [`Components::add`], but for what is here already.
pub async fn preview(sandbox: &Sandbox, provider: &Provider) -> Result<Preview> {
    let unnamed = Namespace::parse("unnamed").expect("a word is a namespace");
    let asks = asks(provider);
    match provider.functions() {
        None => {
            let offer = offer::described(None, sandbox.describe(provider).await?)?;
            Ok(Preview { namespace: Some(offer.namespace), tools: offer.tools, asks, left_out: offer.left_out })
        }
        Some(functions) => {
            let own = offer::exported(None, provider, functions);
            let namespace = own.as_ref().ok().map(|offer| offer.namespace.clone());
            let offer = own.or_else(|_| offer::exported(Some(&unnamed), provider, functions))?;
            Ok(Preview { namespace, tools: offer.tools, asks, left_out: offer.left_out })
        }
    }
}

/// What a component asks for by what it imports.
fn asks(provider: &Provider) -> Asks {
    let ask = |capability: &Capability| match capability {
        Capability::Files => Ask::Files,
        Capability::Web => Ask::Web,
        Capability::Environment => Ask::Environment,
        Capability::Clock => Ask::Clock,
        Capability::Randomness => Ask::Randomness,
        Capability::KeyValue => Ask::KeyValue,
        Capability::Configuration => Ask::Configuration,
    };
    provider.asks().iter().map(ask).collect()
}
