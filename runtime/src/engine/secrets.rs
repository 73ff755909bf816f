//! Secrets, as an operator keeps them: set, listed, removed, and never shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::Engine;
use crate::blocking;
use crate::clock::rfc3339;
use crate::compiler;
use crate::error::{Code, Error, Result};
use crate::ids::{RunId, SecretName, Space};
use crate::runs::Run;
use crate::secrets::{About, SecretText};
use crate::tools::grants::Grant;

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecretView {
    /// A guest writes `{{secret:NAME}}`.
    pub name: String,
    /// Bytes of its value.
    pub bytes: usize,
    /// When it was set first, RFC 3339, UTC.
    pub created_at: String,
    /// When it was set last, RFC 3339, UTC.
    pub updated_at: String,
    /// The grants to all jobs that name it. Without one it goes nowhere.
    pub grants: Vec<String>,
}

impl SecretView {
    fn of(about: About, granted: &[Grant]) -> SecretView {
        let names = |grant: &Grant| match grant {
            Grant::Secret(grant) if grant.secret.as_str() == about.name.as_str() => Some(grant.name.to_string()),
            _ => None,
        };
        SecretView {
            name: about.name.to_string(),
            bytes: about.bytes,
            created_at: rfc3339(about.created_ms),
            updated_at: rfc3339(about.updated_ms),
            grants: granted.iter().filter_map(names).collect(),
        }
    }
}

impl Engine {
    /// A recorded run to look at: with a placeholder wherever a secret stands, or what looks like one. It is kept as it was recorded.
    ///
    /// # Errors
    /// `replay_run_not_found`.
    pub async fn run_without_secrets(&self, space: &Space, run_id: &RunId) -> Result<Run> {
        let (sources, tools, space, run_id) = (self.sources.clone(), self.tools.clone(), space.clone(), run_id.clone());
        blocking::run(move || compiler::without_secrets(&sources.get(&space, &run_id)?, &tools, &compiler::Options::default())).await
    }

    /// Every secret, by name. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn secrets(&self) -> Result<Vec<SecretView>> {
        let granted = self.granted()?;
        Ok(self.secrets.list().into_iter().map(|about| SecretView::of(about, &granted)).collect())
    }

    /// Keeps a value under a name, in the place of the one that was there. It is on disk when this returns. Whether the name is new
    /// is told beside it.
    ///
    /// # Errors
    /// `invalid_request` for a value that cannot be a secret, `too_large`, `secrets_locked`, `store_unavailable`, `store_poisoned`.
    pub async fn set_secret(&self, name: &SecretName, value: SecretText) -> Result<(SecretView, bool)> {
        let (about, new) = self.secrets.set(name, value).await?;
        Ok((self.view_of_secret(about).await?, new))
    }

    /// Forgets a secret, and says once more which one it was.
    ///
    /// # Errors
    /// `secret_not_found`, `store_unavailable`, `store_poisoned`.
    pub async fn remove_secret(&self, name: &SecretName) -> Result<SecretView> {
        let about = self.secrets.list().into_iter().find(|about| about.name == *name);
        self.secrets.remove(name).await?;
        // It was there, or it could not have been removed; who removed it first in between told what it was.
        let about = about.ok_or_else(|| Error::new(Code::Contended, "another one set this secret just now; try again"))?;
        self.view_of_secret(about).await
    }

    async fn view_of_secret(&self, about: About) -> Result<SecretView> {
        let engine = self.clone();
        blocking::run(move || Ok(SecretView::of(about, &engine.granted()?))).await
    }
}
